/*
 * Sending: memory by sendmsg, several pieces in one call; slices of files by sendfile as long as
 * they are in the page cache. A slice that is not is read by a disk thread into a chunk and sent
 * from there, so that the loop never waits for a disk:
 *
 *	cached? --yes--> sendfile
 *	   |no
 *	   v
 *	a chunk free? --no--> wait in line --> (a chunk is released)
 *	   |yes
 *	   v
 *	disk thread reads ----> send from the chunk ----> release it
 *
 * Small slices in the page cache are copied and go with the memory around them: an answer of a few
 * hundred bytes from each of fifty partitions is one call then, not a hundred.
 *
 * A chunk is never kept while the socket has no room: what it held is in the page cache by then,
 * so a peer that does not read holds no memory of ours.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/linux/internal.h"

enum {
	SEND_PARTS = 64,	 /* of one sendmsg */
	SEND_STEP_MAX = 1 << 20, /* bytes, before other steps get their turn */
	SEND_PIECE_COST = 2048,	 /* what a piece costs beside its bytes, in bytes: slices are read or sent by a call each */
	SLICE_MAX = 512 * 1024,	 /* probed and sent at once */
	CHUNK_SIZE = 256 * 1024,
	CHUNKS_MAX = 32, /* of one shard, in use and free */
	CHUNKS_KEPT = 4, /* free ones of one shard */
	SMALL_SLICE_MAX = 16 * 1024,  /* copying so much costs less than sendfile's own work */
	SMALL_SLICES_SIZE = 64 * 1024, /* of all that go with one sendmsg */
};

struct chunk {
	struct task task;
	struct chunk *next_free;
	struct linux_shard *home;
	struct linux_socket *socket; /* NULL: it was closed meanwhile */
	struct file *file;	     /* a reference, while a disk thread reads */
	uint64_t offset;	     /* in the file, of the next byte to send */
	size_t size;		     /* to read */
	int64_t left;		     /* bytes not sent yet, or a negative errno */
	char *next;
	char data[CHUNK_SIZE];
};

static void chunk_start(struct chunk *chunk, struct linux_socket *socket);

/* Goes to the first in line, if there is one: so a chunk is free only while nobody waits. */
static void chunk_release(struct chunk *chunk)
{
	struct linux_shard *shard = chunk->home;
	struct list_node *waiter = list_pop_front(&shard->chunk_waiters);

	if (waiter) {
		chunk_start(chunk, container_of(waiter, struct linux_socket, chunk_waiter));
	} else if (shard->chunk_count > CHUNKS_KEPT) {
		shard->chunk_count--;
		free(chunk);
	} else {
		chunk->next_free = shard->free_chunks;
		shard->free_chunks = chunk;
	}
}

void chunks_free(struct linux_shard *shard)
{
	while (shard->free_chunks) {
		struct chunk *chunk = shard->free_chunks;

		shard->free_chunks = chunk->next_free;
		free(chunk);
	}
	free(shard->small_slices);
	shard->small_slices = NULL;
}

static void chunk_done(struct shard *shard, struct task *task)
{
	struct chunk *chunk = container_of(task, struct chunk, task);
	struct linux_socket *socket = chunk->socket;

	file_unref(chunk->file);
	chunk->file = NULL;
	if (!socket) {
		chunk_release(chunk);
		return;
	}
	socket->chunk_pending = false;
	socket->chunk = chunk;
	send_advance(chunk->home, socket);
}

static void chunk_read(struct shard *none, struct task *task)
{
	struct chunk *chunk = container_of(task, struct chunk, task);

	chunk->left = file_read_blocking(
		linux_file_of(chunk->file)->fd, chunk->data, chunk->size, chunk->offset);
	chunk->next = chunk->data;
	chunk->task.run = chunk_done;
	shard_deliver(chunk->home, &chunk->task);
}

/* Has a disk thread read the beginning of the piece that SOCKET sends. */
static void chunk_start(struct chunk *chunk, struct linux_socket *socket)
{
	struct linux_shard *shard = linux_shard_of(socket->socket.shard);
	const struct piece *piece = socket->socket.sending->ask.pieces;

	chunk->task = (struct task){.run = chunk_read};
	chunk->home = shard;
	chunk->socket = socket;
	chunk->file = file_ref(piece->file);
	chunk->offset = piece->offset;
	chunk->size = min_of(piece->size, (size_t)CHUNK_SIZE);
	/* Found again when the socket is closed meanwhile. */
	socket->chunk = chunk;
	pool_submit(&shard->shard.machine->reads, &chunk->task);
}

/* Starts with a free chunk, or gets in line for one. 0 or -ENOMEM. */
static int chunk_ask(struct linux_shard *shard, struct linux_socket *socket)
{
	struct chunk *chunk = shard->free_chunks;

	if (chunk) {
		shard->free_chunks = chunk->next_free;
	} else if (shard->chunk_count < CHUNKS_MAX && (chunk = malloc(sizeof(*chunk)))) {
		shard->chunk_count++;
	} else if (shard->chunk_count == 0) {
		return -ENOMEM;
	}
	socket->chunk_pending = true;
	if (chunk)
		chunk_start(chunk, socket);
	else
		list_push_back(&shard->chunk_waiters, &socket->chunk_waiter);
	return 0;
}

/* The socket takes no more for now: a chunk in hand goes back. */
static void send_blocked(struct linux_socket *socket)
{
	socket->writable = false;
	if (socket->chunk && !socket->chunk_pending) {
		struct chunk *chunk = socket->chunk;

		socket->chunk = NULL;
		chunk_release(chunk);
	}
}

/* A small slice that is in memory, copied to SMALL_SLICES from USED on; NULL when it has to go by
 * itself. */
static const void *small_slice_read(
	struct linux_shard *shard, const struct piece *piece, size_t used)
{
	if (piece->size > SMALL_SLICE_MAX || piece->size > SMALL_SLICES_SIZE - used)
		return NULL;
	if (!shard->small_slices)
		shard->small_slices = malloc(SMALL_SLICES_SIZE);
	if (!shard->small_slices)
		return NULL;
	uint8_t *to = shard->small_slices + used;
	int64_t got = linux_file_read_cached(
		&shard->shard, piece->file, to, piece->size, piece->offset);
	return got == (int64_t)piece->size ? to : NULL;
}

/* What goes in one call: memory and small slices, up to the first slice that has to go by itself.
 * Bytes sent, 0 when that is the first piece, or a negative errno. */
static int64_t send_gathered(struct linux_shard *shard, struct linux_socket *socket,
	const struct piece *pieces, uint32_t count)
{
	struct iovec parts[SEND_PARTS];
	struct msghdr message = {.msg_iov = parts};
	uint32_t taken = 0;
	size_t total = 0, copied = 0;

	for (; taken < count && total < SEND_STEP_MAX; taken++) {
		const struct piece *piece = &pieces[taken];
		const void *data = piece->data;

		if (message.msg_iovlen == SEND_PARTS)
			break;
		if (piece->size == 0)
			continue;
		if (piece->file) {
			data = small_slice_read(shard, piece, copied);
			if (!data)
				break;
			copied += piece->size;
		}
		parts[message.msg_iovlen++] = (struct iovec){
			.iov_base = (void *)(uintptr_t)data,
			.iov_len = piece->size,
		};
		total += piece->size;
	}
	if (total == 0)
		return 0;
	/* More to come at once: let it share the packets. */
	int more = taken < count ? MSG_MORE : 0;
	ssize_t put = sendmsg(socket->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT | more);
	return put < 0 ? -errno : put;
}

static int64_t send_from_chunk(struct linux_socket *socket, const struct piece *piece, bool is_last)
{
	struct chunk *chunk = socket->chunk;
	size_t size = min_of((size_t)chunk->left, piece->size);
	bool more = !is_last || piece->size > size;

	ssize_t put = send(
		socket->fd, chunk->next, size, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
	if (put < 0)
		return -errno;
	chunk->next += put;
	chunk->offset += (uint64_t)put;
	chunk->left -= put;
	return put;
}

/* Bytes sent; 0 when a disk thread has to read first; or a negative errno. */
static int64_t send_slice(struct linux_shard *shard, struct linux_socket *socket,
	const struct piece *piece, bool is_last)
{
	struct chunk *chunk = socket->chunk;

	if (chunk) {
		int64_t result = chunk->left > 0    ? send_from_chunk(socket, piece, is_last)
				 : chunk->left == 0 ? -ENODATA
						    : chunk->left;

		if (chunk->left <= 0) {
			socket->chunk = NULL;
			chunk_release(chunk);
		}
		return result;
	}
	size_t size = min_of(piece->size, (size_t)SLICE_MAX);
	if (!file_is_cached(&shard->shard, piece->file, piece->offset, size))
		return chunk_ask(shard, socket);
	off_t offset = (off_t)piece->offset;
	ssize_t put = sendfile(socket->fd, linux_file_of(piece->file)->fd, &offset, size);
	if (put == 0)
		return -ENODATA;
	return put < 0 ? -errno : put;
}

/* Moves the op's pieces forward by SIZE sent bytes and past empty ones. */
static void send_consume(struct socket_op *op, uint64_t size)
{
	while (op->ask.piece_count > 0) {
		struct piece *piece = op->ask.pieces;
		size_t part = min_of((uint64_t)piece->size, size);

		if (piece->file)
			piece->offset += part;
		else
			piece->data = (const char *)piece->data + part;
		piece->size -= part;
		size -= part;
		if (piece->size > 0)
			break;
		op->ask.pieces++;
		op->ask.piece_count--;
	}
	ensure(size == 0);
}

void send_advance(struct linux_shard *shard, struct linux_socket *socket)
{
	struct socket_op *op = socket->socket.sending;
	uint64_t budget = SEND_STEP_MAX;

	if (socket->chunk_pending || list_node_is_linked(&socket->again.node))
		return; /* goes on by itself */
	send_consume(op, 0);
	while (op->ask.piece_count > 0) {
		struct piece *piece = op->ask.pieces;

		if (!socket->writable)
			return;
		if (budget == 0) {
			shard_post(&shard->shard, &socket->again);
			return;
		}
		uint32_t piece_count = op->ask.piece_count;
		int64_t put = socket->chunk ? 0
					    : send_gathered(shard, socket, piece,
						      op->ask.piece_count);
		if (put == 0)
			put = send_slice(shard, socket, piece, op->ask.piece_count == 1);
		if (put > 0) {
			send_consume(op, (uint64_t)put);
			uint64_t pieces = piece_count - op->ask.piece_count;
			budget -= min_of(budget, (uint64_t)put + pieces * SEND_PIECE_COST);
		} else if (put == 0) {
			return;
		} else if (put == -EAGAIN || put == -EWOULDBLOCK) {
			send_blocked(socket);
			return;
		} else if (put != -EINTR) {
			send_blocked(socket);
			socket->writable = true;
			socket_op_complete(op, put);
			return;
		}
	}
	socket_op_complete(op, 0);
}

void send_again_run(struct shard *shard, struct task *task)
{
	struct linux_socket *socket = container_of(task, struct linux_socket, again);

	if (socket_op_is_open(socket->socket.sending))
		send_advance(linux_shard_of(shard), socket);
}

void send_abandon(struct linux_shard *shard, struct linux_socket *socket)
{
	list_remove(&socket->again.node);
	list_remove(&socket->chunk_waiter);
	if (socket->chunk) {
		if (socket->chunk_pending)
			socket->chunk->socket = NULL;
		else
			chunk_release(socket->chunk);
		socket->chunk = NULL;
	}
}
