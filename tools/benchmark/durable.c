#include "tools/benchmark/durable.h"

#include <unistd.h>

#include "protocol/crc32c.h"

enum { ANSWERS_MAX = 4096 }; /* that wait for a sync; more connections than any row has */

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

static void produce_serve(struct bare_framed_peer *peer, const uint8_t *frame, size_t size)
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
	struct bare_framed_peer *peer = container_of(bare, struct bare_framed_peer, bare);

	if (bare_frames_receive(peer, produce_serve))
		return true;
	turn_end(); /* none of its answers may wait longer than its socket is open */
	return false;
}

void durable_serve(uint16_t port, const struct bare_files *given)
{
	files = given;
	bare_serve(port, sizeof(struct bare_framed_peer), durable_peer_serve, turn_end);
}
