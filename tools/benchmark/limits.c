/*
 * What this machine could do if a broker were nothing but its system calls: the measure beside which
 * every figure stands. Bare servers that take the same load from the same generator, in one thread:
 *
 *	limits echo PORT		answer every framed request with as many bytes as a Produce response
 *	limits store PORT FILE		the same, after a checksum over what came and a write() of it
 *	limits store PORT FOLDER FILES	the same, and each request's bytes go to the next of so many files there
 *	limits discard PORT FILE	the same without the checksum
 *	limits sendfile PORT FILE	answer every request with a megabyte of FILE (made here)
 *	limits relay PORT FOLDER FILES	what is produced goes to its partition's file and on to the
 *					consumer that waits for it (relay.h)
 *	limits durable PORT FOLDER FILES	what is produced is answered when it is on the disk (durable.h)
 *
 * and without a network, what one fdatasync after each write of 4 KiB allows (prints two rates a second:
 * appending, and overwriting space that is there already):
 *
 *	limits sync FILE SECONDS
 *
 * Answers carry nothing but the correlation id: the generator is told `unchecked=1`. (Those that
 * relay's consumers get are whole.)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "protocol/crc32c.h"
#include "tools/benchmark/durable.h"
#include "tools/benchmark/relay.h"

enum {
	RECEIVE_BYTES = 1 << 18,
	SLICE_BYTES = 1 << 20,
	SLICES = 512,
	SYNC_BYTES = 4096,
	PEEK_BYTES = 12, /* size, key, version, correlation id */
};

enum mode { MODE_ECHO, MODE_STORE, MODE_DISCARD, MODE_SENDFILE };

struct peer {
	struct bare_peer bare;
	uint8_t peek[PEEK_BYTES];
	size_t peek_size; /* of the frame that has begun */
	size_t left;	  /* bytes of its rest */
	int file;	  /* where it goes, of a store in several files */
};

static enum mode mode;
static int file;
static struct bare_files files; /* of a store in several */
static unsigned next_file;
static uint64_t slice;
static uint32_t checksum; /* of everything, so that no compiler leaves it out */

static void slice_send(struct peer *peer, const uint8_t *correlation_id)
{
	uint8_t head[8];
	off_t at = (off_t)(slice++ % SLICES) * SLICE_BYTES;
	size_t left = SLICE_BYTES;

	store_be32(head, SLICE_BYTES + 4);
	memcpy(head + 4, correlation_id, 4);
	bare_send(peer->bare.fd, head, sizeof(head), MSG_MORE);
	while (left > 0) {
		ssize_t n = sendfile(peer->bare.fd, file, &at, left);

		if (n <= 0)
			bare_die("sendfile");
		left -= (size_t)n;
	}
}

/* Of a frame that begins. */
static void file_choose(struct peer *peer)
{
	if (files.count == 0)
		return;
	peer->file = files.fds[next_file];
	next_file = (next_file + 1) % files.count;
}

/* Answers the frames that end in the SIZE bytes at DATA. */
static void frames_answer(struct peer *peer, const uint8_t *data, size_t size)
{
	static uint8_t answers[RECEIVE_BYTES];
	size_t answers_size = 0;

	while (size > 0) {
		size_t n;

		if (peer->peek_size < PEEK_BYTES) {
			n = min_of(PEEK_BYTES - peer->peek_size, size);
			memcpy(peer->peek + peer->peek_size, data, n);
			peer->peek_size += n;
			if (peer->peek_size == PEEK_BYTES) {
				peer->left = load_be32(peer->peek) - (PEEK_BYTES - 4);
				file_choose(peer);
			}
		} else {
			n = min_of(peer->left, size);
			peer->left -= n;
			if (files.count > 0 && write(peer->file, data, n) != (ssize_t)n)
				bare_die("write");
		}
		data += n;
		size -= n;
		if (peer->peek_size < PEEK_BYTES || peer->left > 0)
			continue;
		peer->peek_size = 0;
		if (mode == MODE_SENDFILE) {
			slice_send(peer, peer->peek + 8);
			continue;
		}
		if (answers_size + BARE_ANSWER_BYTES > sizeof(answers)) {
			bare_send(peer->bare.fd, answers, answers_size, 0);
			answers_size = 0;
		}
		bare_answer(answers + answers_size, peer->peek + 8);
		answers_size += BARE_ANSWER_BYTES;
	}
	if (answers_size)
		bare_send(peer->bare.fd, answers, answers_size, 0);
}

static bool peer_serve(struct bare_peer *bare)
{
	struct peer *peer = container_of(bare, struct peer, bare);
	static uint8_t data[RECEIVE_BYTES];
	ssize_t n = recv(peer->bare.fd, data, sizeof(data), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		return false;
	if (n < 0)
		return true;
	if (mode == MODE_STORE)
		checksum = crc32c(checksum, data, (size_t)n);
	if ((mode == MODE_STORE || mode == MODE_DISCARD) && files.count == 0 &&
		write(file, data, (size_t)n) != n)
		bare_die("write");
	frames_answer(peer, data, (size_t)n);
	return true;
}

static void slices_write(void)
{
	uint8_t *data = malloc(SLICE_BYTES);

	for (int i = 0; i < SLICE_BYTES; i++)
		data[i] = (uint8_t)(i * 31 + (i >> 8));
	for (int i = 0; i < SLICES; i++) {
		if (write(file, data, SLICE_BYTES) != SLICE_BYTES)
			bare_die("write");
	}
	free(data);
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Writes of 4 KiB that are on the disk, a second: from offset 0 on, for SECONDS or up to MAX. */
static double sync_rate(double seconds, uint64_t max, uint64_t *ret_count)
{
	static uint8_t block[SYNC_BYTES];
	double begin = now_s(), end = begin;
	uint64_t count = 0;

	for (; count < max && end - begin < seconds; count++) {
		block[0]++;
		if (pwrite(file, block, SYNC_BYTES, (off_t)(count * SYNC_BYTES)) != SYNC_BYTES ||
			fdatasync(file) < 0)
			bare_die("pwrite or fdatasync");
		end = now_s();
	}
	*ret_count = count;
	return (double)count / (end - begin);
}

static void sync_measure(double seconds)
{
	uint64_t count, again;
	double appending = sync_rate(seconds, UINT64_MAX, &count);

	printf("{\"append_per_s\": %.1f, \"overwrite_per_s\": %.1f}\n", appending,
		sync_rate(seconds, count, &again));
}

int main(int argc, char **argv)
{
	static const char *const modes[] = {"echo", "store", "discard", "sendfile"};
	const char *path = argc > 3 ? argv[3] : "/dev/null";
	bool is_sync = argc == 4 && strcmp(argv[1], "sync") == 0;

	if (argc < 3) {
		fputs("usage: limits echo|store|discard|sendfile PORT [FILE]\n"
		      "       limits store|relay|durable PORT FOLDER FILES\n"
		      "       limits sync FILE SECONDS\n",
			stderr);
		return 2;
	}
	if (is_sync)
		path = argv[2];
	if (argc > 4) {
		bare_files_open(&files, path, (unsigned)atoi(argv[4]));
		path = "/dev/null";
	}
	file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0)
		bare_die(path);
	if (is_sync) {
		sync_measure(atof(argv[3]));
		return 0;
	}
	if (files.count > 0 && strcmp(argv[1], "relay") == 0)
		relay_serve((uint16_t)atoi(argv[2]), &files);
	if (files.count > 0 && strcmp(argv[1], "durable") == 0)
		durable_serve((uint16_t)atoi(argv[2]), &files);
	for (size_t i = 0; i < array_length(modes); i++) {
		mode = (enum mode)i;
		if (strcmp(modes[i], argv[1]) != 0)
			continue;
		if (mode == MODE_SENDFILE)
			slices_write();
		bare_serve((uint16_t)atoi(argv[2]), sizeof(struct peer), peer_serve, NULL);
	}
	fprintf(stderr, "limits: there is no %s\n", argv[1]);
	return 2;
}
