#include "tools/benchmark/durable.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/crc32c.h"

enum {
	RECEIVED_MAX = 1 << 14, /* of one connection: its requests are small, and it has few in flight */
	ANSWERS_MAX = 4096,	/* that wait for a sync; more connections than any row has */
};

struct durable_peer {
	struct bare_peer bare;
	size_t size;
	uint8_t data[RECEIVED_MAX];
};

/* Of a request that is written and not yet answered. */
struct answer {
	int peer;
	uint8_t bytes[BARE_ANSWER_BYTES];
};

static const struct bare_files *files;
static unsigned next_file, files_dirty;
static struct answer answers[ANSWERS_MAX];
static unsigned answer_count;
static uint32_t checksum; /* of everything, so that no compiler leaves it out */

static void turn_end(void)
{
	/* Any file names the file system; of one file it is the one that was written. */
	int file = files->fds[(next_file + files->count - 1) % files->count];

	if (answer_count == 0)
		return;
	if ((files_dirty > 1 ? syncfs(file) : fdatasync(file)) < 0)
		bare_die("sync");
	for (unsigned i = 0; i < answer_count; i++)
		bare_send(answers[i].peer, answers[i].bytes, BARE_ANSWER_BYTES, 0);
	answer_count = files_dirty = 0;
}

static void produce_serve(const struct durable_peer *peer, const uint8_t *frame, size_t size)
{
	if (answer_count == ANSWERS_MAX)
		turn_end();
	checksum = crc32c(checksum, frame, size);
	if (write(files->fds[next_file], frame, size) != (ssize_t)size)
		bare_die("write");
	next_file = (next_file + 1) % files->count;
	files_dirty = min_of(files_dirty + 1, files->count);
	answers[answer_count].peer = peer->bare.fd;
	bare_answer(answers[answer_count++].bytes, frame + 8);
}

static bool durable_peer_serve(struct bare_peer *bare)
{
	struct durable_peer *peer = container_of(bare, struct durable_peer, bare);
	ssize_t n =
		recv(bare->fd, peer->data + peer->size, RECEIVED_MAX - peer->size, MSG_DONTWAIT);
	size_t at = 0;

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0) {
		turn_end(); /* none of its answers may wait longer than its socket is open */
		return false;
	}
	peer->size += (size_t)n;
	while (peer->size - at >= 4) {
		size_t size = load_be32(peer->data + at) + 4;

		if (size > RECEIVED_MAX) {
			errno = EMSGSIZE;
			bare_die("a request");
		}
		if (size > peer->size - at)
			break;
		produce_serve(peer, peer->data + at, size);
		at += size;
	}
	memmove(peer->data, peer->data + at, peer->size - at);
	peer->size -= at;
	return true;
}

void durable_serve(uint16_t port, const struct bare_files *given)
{
	files = given;
	bare_serve(port, sizeof(struct durable_peer), durable_peer_serve, turn_end);
}
