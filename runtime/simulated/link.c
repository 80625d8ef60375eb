/*
 * Connections between the hosts of a world.
 *
 * A link has two ends and a stream in each direction. Bytes that a socket sends go into the stream
 * as its window allows (that is where the sender's kernel has them), arrive together some time
 * later, in order, and wait there until the other socket receives them:
 *
 *	sent >= arrived >= received, sent - received <= window
 *
 * An end is open until its socket is closed or its process ends. Closing sends an end-of-stream
 * behind the bytes; bytes that reach a closed end break the link. A broken link answers every
 * operation with its error. While a direction is cut nothing arrives; after GIVE_UP_NS the sender
 * breaks the link.
 *
 * The link is freed when both ends are closed; until then what is under way still arrives.
 */
#include <errno.h>
#include <stdlib.h>

#include "runtime/simulated/network_internal.h"

static struct world *end_world(const struct end *end)
{
	return end->link->world;
}

static bool direction_is_cut(const struct end *from)
{
	return end_world(from)->cuts[from->host->index][from->other->host->index];
}

static void link_note(const struct end *end, const char *what, uint64_t value)
{
	chooser_note(&end_world(end)->chooser, what,
		end->link->number << 1 | (end == &end->link->ends[1]), value, 0);
}

static void op_answer(struct wire_socket *socket, struct socket_op *op, int64_t result)
{
	socket_op_complete(op, result);
	process_touch(shard_of(socket->base.shard));
}

void link_free(struct link *link)
{
	for (unsigned i = 0; i < 2; i++) {
		struct end *end = &link->ends[i];

		event_cancel(&link->world->events, &end->out.arrival);
		event_cancel(&link->world->events, &end->send_more);
		event_cancel(&link->world->events, &end->break_news);
		free(end->out.ring);
	}
	list_remove(&link->node);
	free(link);
}

/* Everything that is still to be answered on this end gets the link's error. */
static void end_break(struct end *end, int error)
{
	struct wire_socket *socket = end->socket;

	if (end->is_broken)
		return;
	link_note(end, "break", (uint64_t)error);
	end->is_broken = true;
	end->error = error;
	event_cancel(&end_world(end)->events, &end->out.arrival);
	event_cancel(&end_world(end)->events, &end->send_more);
	if (!socket)
		return;
	if (socket_op_is_open(socket->base.receiving))
		op_answer(socket, socket->base.receiving, error);
	if (socket_op_is_open(socket->base.sending))
		op_answer(socket, socket->base.sending, error);
}

static void break_news_fire(struct world *world, struct event *event)
{
	struct end *end = container_of(event, struct end, break_news);

	if (direction_is_cut(end->other))
		event_schedule(&world->events, event, world->now_ns + RETRY_NS);
	else
		end_break(end, -ECONNRESET);
}

/* This side gives the link up; the other learns of it later. */
static void link_break_from(struct end *end, int error)
{
	struct world *world = end_world(end);

	end_break(end, error);
	if (!end->other->is_broken && !event_is_scheduled(&end->other->break_news))
		event_schedule(&world->events, &end->other->break_news,
			world->now_ns + network_delay(world));
}

void end_receive(struct end *end)
{
	struct wire_socket *socket = end->socket;
	struct stream *in = &end->other->out;
	struct world *world = end_world(end);
	struct socket_op *op = socket ? socket->base.receiving : NULL;
	uint64_t size;

	if (!socket_op_is_open(op))
		return;
	if (end->is_broken) {
		op_answer(socket, op, end->error);
		return;
	}
	size = min_of(in->arrived - in->received, (uint64_t)op->ask.size);
	if (size == 0) {
		if (in->end_arrived && in->received == in->sent)
			op_answer(socket, op, 0);
		return;
	}
	if (choose_fault(&world->chooser, FAULT_SHORT_MOVE, world->options.network_short_ppm))
		size = choose_between(&world->chooser, 1, size);
	for (uint64_t done = 0; done < size;) {
		uint64_t at = (in->received + done) % end->link->window_bytes;
		uint64_t part = min_of(size - done, end->link->window_bytes - at);

		memcpy((uint8_t *)op->ask.buffer + done, in->ring + at, part);
		done += part;
	}
	in->received += size;
	link_note(end, "receive", size);
	/* The window opened: the news travels back. */
	if (end->other->socket && socket_op_is_open(end->other->socket->base.sending) &&
		!event_is_scheduled(&end->other->send_more) && !end->other->is_broken)
		event_schedule(&world->events, &end->other->send_more,
			world->now_ns + network_delay(world));
	op_answer(socket, op, (int64_t)size);
}

static void arrival_schedule(struct end *from)
{
	struct world *world = end_world(from);

	if (!event_is_scheduled(&from->out.arrival) && !from->is_broken)
		event_schedule(
			&world->events, &from->out.arrival, world->now_ns + network_delay(world));
}

static void arrival_fire(struct world *world, struct event *event)
{
	struct end *from = container_of(event, struct end, out.arrival);
	struct end *to = from->other;
	struct stream *stream = &from->out;

	if (direction_is_cut(from)) {
		if (stream->cut_since_ns == 0)
			stream->cut_since_ns = world->now_ns;
		if (world->now_ns - stream->cut_since_ns >= GIVE_UP_NS)
			link_break_from(from, -ETIMEDOUT);
		else
			event_schedule(&world->events, event, world->now_ns + RETRY_NS);
		return;
	}
	stream->cut_since_ns = 0;
	if (choose_fault(&world->chooser, FAULT_RESET, world->options.network_reset_ppm)) {
		link_break_from(to, -ECONNRESET);
		return;
	}
	stream->arrived = stream->sent;
	stream->end_arrived = stream->end_sent;
	link_note(to, "arrive", stream->arrived);
	if (to->is_broken)
		return;
	if (!to->is_open) {
		/* Nobody is there any more: bytes are answered with a reset. */
		if (stream->arrived > stream->received && from->is_open)
			link_break_from(to, -ECONNRESET);
		return;
	}
	end_receive(to);
}

/* Copies up to SIZE bytes of the piece into the stream: how many, fewer only where the slice's file
 * ends; or a negative errno. */
static int64_t piece_copy(struct end *end, const struct piece *piece, uint64_t size)
{
	struct stream *out = &end->out;
	uint64_t done = 0;

	while (done < size) {
		uint64_t at = (out->sent + done) % end->link->window_bytes;
		uint64_t part = min_of(size - done, end->link->window_bytes - at);

		if (piece->file) {
			int64_t got = files_read_now(
				piece->file, out->ring + at, part, piece->offset + done);

			if (got <= 0)
				return got < 0 ? got : (int64_t)done;
			part = (uint64_t)got;
		} else {
			memcpy(out->ring + at, (const uint8_t *)piece->data + done, part);
		}
		chooser_note_bytes(&end_world(end)->chooser, "send", out->ring + at, part);
		done += part;
	}
	return (int64_t)done;
}

void end_send(struct end *end)
{
	struct wire_socket *socket = end->socket;
	struct socket_op *op = socket ? socket->base.sending : NULL;
	struct world *world = end_world(end);
	struct stream *out = &end->out;

	if (!socket_op_is_open(op))
		return;
	if (end->is_broken) {
		op_answer(socket, op, -EPIPE);
		return;
	}
	if (choose_fault(&world->chooser, FAULT_RESET, world->options.network_reset_ppm)) {
		link_break_from(end, -ECONNRESET);
		return;
	}
	if (!out->ring)
		out->ring = world_alloc(end->link->window_bytes);
	while (op->ask.piece_count > 0) {
		struct piece *piece = op->ask.pieces;
		uint64_t room = end->link->window_bytes - (out->sent - out->received);
		uint64_t size = min_of((uint64_t)piece->size, room);
		int64_t copied;

		if (piece->size > 0 && size == 0)
			break; /* end_receive of the other end lets it go on */
		if (size > 1 && choose_fault(&world->chooser, FAULT_SHORT_MOVE, world->options.network_short_ppm)) {
			size = choose_between(&world->chooser, 1, size - 1);
			event_schedule(&world->events, &end->send_more,
				world->now_ns + network_delay(world));
		}
		copied = piece_copy(end, piece, size);
		if (copied > 0) {
			out->sent += (uint64_t)copied;
			arrival_schedule(end);
		}
		if (copied < (int64_t)size) {
			/* What follows on the wire would not be what was promised. */
			event_cancel(&world->events, &end->send_more);
			op_answer(socket, op, copied < 0 ? copied : -ENODATA);
			return;
		}
		if (piece->file)
			piece->offset += size;
		else
			piece->data = (const uint8_t *)piece->data + size;
		piece->size -= size;
		if (piece->size == 0) {
			op->ask.pieces++;
			op->ask.piece_count--;
		}
		if (event_is_scheduled(&end->send_more))
			return;
	}
	if (op->ask.piece_count == 0) {
		link_note(end, "sent", out->sent);
		op_answer(socket, op, 0);
	}
}

static void send_more_fire(struct world *world, struct event *event)
{
	end_send(container_of(event, struct end, send_more));
}

struct link *link_new(struct world *world, struct host *asking, struct host *listening)
{
	static const uint32_t windows_bytes[] = {4096, 65536, 262144};
	struct link *link = world_alloc_zero(1, sizeof(*link));

	link->world = world;
	link->number = ++world->links_made;
	link->window_bytes =
		windows_bytes[choose_below(&world->chooser, array_length(windows_bytes))];
	list_push_back(&world->links, &link->node);
	for (unsigned i = 0; i < 2; i++) {
		struct end *end = &link->ends[i];

		end->link = link;
		end->other = &link->ends[1 - i];
		end->host = i == 0 ? asking : listening;
		end->is_open = true;
		end->out.arrival.fire = arrival_fire;
		end->send_more.fire = send_more_fire;
		end->break_news.fire = break_news_fire;
	}
	return link;
}

struct wire_socket *wire_socket_new(
	struct machine *process, const struct machine_ops *ops, struct end *end)
{
	struct wire_socket *socket = world_alloc_zero(1, sizeof(*socket));

	socket->base.ops = ops;
	socket->process = process;
	socket->end = end;
	end->socket = socket;
	list_push_back(&process->sockets, &socket->node);
	return socket;
}

void end_close(struct end *end, bool abrupt)
{
	struct link *link = end->link;

	link_note(end, "close", abrupt);
	end->socket = NULL;
	end->is_open = false;
	event_cancel(&link->world->events, &end->send_more);
	if (!end->other->is_open) {
		link_free(link);
	} else if (!end->is_broken) {
		if (abrupt || end->other->out.arrived > end->other->out.received) {
			link_break_from(end, -ECONNRESET);
		} else {
			end->out.end_sent = true;
			arrival_schedule(end);
		}
	}
}

void wire_socket_end(struct wire_socket *socket, bool abrupt)
{
	struct end *end = socket->end;

	list_remove(&socket->node);
	list_remove(&socket->accept_node);
	free(socket);
	end_close(end, abrupt);
}
