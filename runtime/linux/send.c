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
	SLICE_MAX = 512 * 1024,	 /* probed and sent at once */
	CHUNK_SIZE = 256 * 1024,
	CHUNKS_MAX = 32, /* of one shard, in use and free */
	CHUNKS_KEPT = 4, /* free ones of one shard */
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

static int64_t send_memory(struct linux_socket *socket, const struct piece *pieces, uint32_t count)
{
	struct iovec parts[SEND_PARTS];
	struct msghdr message = {.msg_iov = parts};
	uint32_t taken = 0;
	size_t total = 0;

	for (; taken < count && !pieces[taken].file && total < SEND_STEP_MAX; taken++) {
		if (message.msg_iovlen == SEND_PARTS)
			break;
		if (pieces[taken].size == 0)
			continue;
		parts[message.msg_iovlen++] = (struct iovec){
			.iov_base = (void *)(uintptr_t)pieces[taken].data,
			.iov_len = pieces[taken].size,
		};
		total += pieces[taken].size;
	}
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
		int64_t put = piece->file
				      ? send_slice(shard, socket, piece, op->ask.piece_count == 1)
				      : send_memory(socket, piece, op->ask.piece_count);
		if (put > 0) {
			send_consume(op, (uint64_t)put);
			budget -= min_of(budget, (uint64_t)put);
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
