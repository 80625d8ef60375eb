#include "tools/benchmark/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/crc32c.h"
#include "runtime/base.h"

enum {
	KEY_FETCH = 1,
	WAITING_MAX = 65536,  /* bytes of batches that no Fetch has asked for yet, of a partition */
	FETCH_HEAD_BYTES = 57, /* of a response, up to the size of the records */
	FETCH_TAIL_BYTES = 3,  /* tags of the partition, the topic, the response */
	UVARINT_MAX = 5,
};

struct relay_peer {
	struct bare_framed_peer framed;
	struct mailbox *mailbox; /* of a consumer that has asked */
};

/* Of a partition: a Fetch that waits, or batches that wait for one. */
struct mailbox {
	int consumer; /* its socket; valid while IS_ASKED */
	bool is_asked;
	uint8_t correlation_id[4];
	uint8_t *batches;
	size_t size;
};

static const struct bare_files *files;
static struct mailbox *mailboxes; /* [partition] */
static uint32_t checksum;	  /* of everything, so that no compiler leaves it out */
/* Of the Produce requests that came at once. No request is smaller than its answer: they fit. */
static uint8_t answers[BARE_FRAME_MAX];
static size_t answers_size;

/* Requests are as the generator makes them: their fields are not checked. */
static const uint8_t *uvarint_read(const uint8_t *at, uint32_t *ret)
{
	*ret = 0;
	for (int shift = 0; shift < 35; shift += 7) {
		*ret |= (uint32_t)(*at & 0x7f) << shift;
		if (!(*at++ & 0x80))
			break;
	}
	return at;
}

static uint8_t *uvarint_write(uint8_t *to, uint32_t value)
{
	for (; value >= 0x80; value >>= 7)
		*to++ = (uint8_t)(value | 0x80);
	*to++ = (uint8_t)value;
	return to;
}

/* Behind the header of a request: size, key, version, correlation id, client id, tags. */
static const uint8_t *body_of(const uint8_t *frame)
{
	return frame + 12 + 2 + load_be16(frame + 12) + 1;
}

/* Behind the count of topics: one topic's name and the count of its partitions, one. */
static const uint8_t *partition_of(const uint8_t *at, uint32_t *ret_partition)
{
	uint32_t size;

	at = uvarint_read(at, &size);
	at = uvarint_read(at + size - 1, &size);
	*ret_partition = load_be32(at);
	return at + 4;
}

static struct mailbox *mailbox_of(uint32_t partition)
{
	if (partition >= files->count) {
		errno = EINVAL;
		bare_die("a partition without a file");
	}
	return &mailboxes[partition];
}

/* Answers the Fetch that waits with SIZE bytes of batches. */
static void mailbox_answer(struct mailbox *mailbox, const uint8_t *batches, size_t size)
{
	/* Size, correlation id, tags, throttle time, error; session 1; one topic without a name; one
	 * partition with its index, error and three offsets; no aborted transactions, no preferred
	 * replica. */
	static uint8_t answer[FETCH_HEAD_BYTES + UVARINT_MAX + WAITING_MAX + FETCH_TAIL_BYTES] = {
		[18] = 1, [19] = 2, [20] = 1, [21] = 2, [52] = 1};
	uint8_t *at = uvarint_write(answer + FETCH_HEAD_BYTES, (uint32_t)size + 1);

	memcpy(at, batches, size);
	memset(at + size, 0, FETCH_TAIL_BYTES);
	at += size + FETCH_TAIL_BYTES;
	store_be32(answer, (uint32_t)(at - answer) - 4);
	memcpy(answer + 4, mailbox->correlation_id, 4);
	mailbox->is_asked = false;
	bare_send(mailbox->consumer, answer, (size_t)(at - answer), 0);
}

static void mailbox_keep(struct mailbox *mailbox, const uint8_t *batch, size_t size)
{
	if (!mailbox->batches)
		mailbox->batches = malloc(WAITING_MAX);
	if (!mailbox->batches || mailbox->size + size > WAITING_MAX) {
		errno = ENOBUFS;
		bare_die("a consumer does not ask");
	}
	memcpy(mailbox->batches + mailbox->size, batch, size);
	mailbox->size += size;
}

/* Version 12; one that names no topic asks as the one before did. */
static void fetch_serve(struct relay_peer *peer, const uint8_t *frame)
{
	/* Replica, wait, least and most bytes, isolation, session and its epoch. */
	const uint8_t *at = body_of(frame) + 4 + 4 + 4 + 4 + 1 + 4 + 4;
	struct mailbox *mailbox;
	uint32_t topics, partition;

	at = uvarint_read(at, &topics);
	if (topics > 1) {
		partition_of(at, &partition);
		peer->mailbox = mailbox_of(partition);
	}
	mailbox = peer->mailbox;
	mailbox->consumer = peer->framed.bare.fd;
	mailbox->is_asked = true;
	memcpy(mailbox->correlation_id, frame + 8, 4);
	if (mailbox->size > 0)
		mailbox_answer(mailbox, mailbox->batches, mailbox->size);
	mailbox->size = 0;
}

/* Version 12, of one batch. */
static void produce_serve(const uint8_t *frame)
{
	/* No transactional id, acks, timeout. */
	const uint8_t *at = body_of(frame) + 1 + 2 + 4;
	struct mailbox *mailbox;
	uint32_t partition, size;

	at = uvarint_read(at, &size); /* topics: one */
	at = partition_of(at, &partition);
	at = uvarint_read(at, &size);
	size--;
	mailbox = mailbox_of(partition);
	checksum = crc32c(checksum, at, size);
	if (write(files->fds[partition], at, size) != (ssize_t)size)
		bare_die("write");
	if (mailbox->is_asked)
		mailbox_answer(mailbox, at, size);
	else
		mailbox_keep(mailbox, at, size);
}

static void consumer_forget(struct relay_peer *peer)
{
	if (peer->mailbox)
		peer->mailbox->is_asked = false;
}

static void frame_serve(struct bare_framed_peer *framed, const uint8_t *frame, size_t size)
{
	if (load_be16(frame + 4) == KEY_FETCH) {
		fetch_serve(container_of(framed, struct relay_peer, framed), frame);
		return;
	}
	bare_answer(answers + answers_size, frame + 8);
	answers_size += BARE_ANSWER_BYTES;
	produce_serve(frame);
}

static bool relay_peer_serve(struct bare_peer *bare)
{
	struct relay_peer *peer = container_of(bare, struct relay_peer, framed.bare);

	answers_size = 0;
	if (!bare_frames_receive(&peer->framed, frame_serve)) {
		consumer_forget(peer);
		return false;
	}
	if (answers_size)
		bare_send(bare->fd, answers, answers_size, 0);
	return true;
}

void relay_serve(uint16_t port, const struct bare_files *given)
{
	files = given;
	mailboxes = calloc(files->count, sizeof(*mailboxes));
	if (!mailboxes)
		bare_die("mailboxes");
	bare_serve(port, sizeof(struct relay_peer), relay_peer_serve, NULL);
}
