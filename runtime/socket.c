/*
 * The front of sockets and listeners. An operation stands in its slot of the socket from the call
 * until DONE runs, so that socket_close finds it whether the machine has answered it yet or not:
 * nothing that completes after the close looks like success.
 */
#include "runtime/socket.h"

#include <errno.h>

#include "runtime/machine_ops.h"

static void socket_op_task_run(struct shard *shard, struct task *task)
{
	struct socket_op *op = container_of(task, struct socket_op, task);
	struct socket *socket = op->ask.socket;

	if (socket) {
		if (socket->receiving == op)
			socket->receiving = NULL;
		else
			socket->sending = NULL;
		op->ask.socket = NULL;
	}
	shard->step_code = (const void *)(uintptr_t)op->done;
	op->done(shard, op);
}

void socket_op_complete(struct socket_op *op, int64_t result)
{
	op->result = result;
	shard_post(op->ask.shard, &op->task);
}

bool socket_op_is_open(const struct socket_op *op)
{
	return op && !list_node_is_linked(&op->task.node);
}

static void socket_op_begin(struct socket_op *op, struct shard *shard, struct socket *socket)
{
	ensure(op->done);
	ensure(!list_node_is_linked(&op->task.node));
	op->task.run = socket_op_task_run;
	op->result = 0;
	op->socket = NULL;
	memset(&op->ask, 0, sizeof(op->ask));
	op->ask.shard = shard;
	op->ask.socket = socket;
}

void socket_connect(struct shard *shard, struct socket_op *op, const struct address *to)
{
	socket_op_begin(op, shard, NULL);
	op->ask.address = *to;
	shard->ops->socket_connect(shard, op);
}

void socket_attach(struct shard *shard, struct socket *socket)
{
	ensure(!socket->shard);
	socket->shard = shard;
	socket->ops->socket_attach(socket);
}

struct address socket_peer(const struct socket *socket)
{
	return socket->ops->socket_peer(socket);
}

void socket_receive(struct socket *socket, struct socket_op *op, void *buffer, size_t size)
{
	ensure(socket->shard && !socket->receiving);
	ensure(size > 0); /* 0 bytes would read as the end of the stream */
	socket_op_begin(op, socket->shard, socket);
	op->ask.buffer = buffer;
	op->ask.size = size;
	socket->receiving = op;
	socket->ops->socket_receive(socket, op);
}

void socket_send(
	struct socket *socket, struct socket_op *op, struct piece *pieces, uint32_t piece_count)
{
	ensure(socket->shard && !socket->sending);
	socket_op_begin(op, socket->shard, socket);
	op->ask.pieces = pieces;
	op->ask.piece_count = piece_count;
	socket->sending = op;
	socket->ops->socket_send(socket, op);
}

static void socket_op_cancel(struct socket_op *op)
{
	if (!op)
		return;
	op->ask.socket = NULL;
	op->result = -ECANCELED;
	if (socket_op_is_open(op))
		shard_post(op->ask.shard, &op->task);
}

void socket_close(struct socket *socket)
{
	if (!socket)
		return;
	socket_op_cancel(socket->receiving);
	socket_op_cancel(socket->sending);
	socket->receiving = socket->sending = NULL;
	socket->ops->socket_close(socket);
}

int listener_open(struct shard *shard, const struct address *address, struct listener_events events,
	struct listener **ret)
{
	ensure(events.accepted);
	return shard->ops->listener_open(shard, address, events, ret);
}

struct address listener_address(const struct listener *listener)
{
	return listener->ops->listener_address(listener);
}

void listener_pause(struct listener *listener, bool paused)
{
	listener->ops->listener_pause(listener, paused);
}

void listener_close(struct listener *listener)
{
	if (listener)
		listener->ops->listener_close(listener);
}
