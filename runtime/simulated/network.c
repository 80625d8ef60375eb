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

#include "runtime/simulated/world_internal.h"

#define GIVE_UP_NS (30 * NS_PER_S)
#define RETRY_NS   (200 * NS_PER_MS)

struct link;

struct stream {
	uint8_t *ring; /* window_bytes; NULL until the first byte */
	uint64_t sent, arrived, received;
	bool end_sent, end_arrived;
	uint64_t cut_since_ns; /* 0: not held up */
	struct event arrival;
};

struct end {
	struct link *link;
	struct end *other;
	struct host *host;
	struct wire_socket *socket; /* NULL: closed, or not made yet */
	bool is_open;
	bool is_broken; /* the other side broke it, and that news has arrived */
	int error;
	struct stream out;	/* to the other end */
	struct event send_more; /* a send goes on */
	struct event break_news;
};

struct link {
	struct list_node node; /* in world->links */
	struct world *world;
	uint64_t number;
	uint32_t window_bytes;
	struct end ends[2]; /* the one who asked, the one who listened */
	struct address addresses[2];
};

struct wire_socket {
	struct socket base;    /* first */
	struct list_node node; /* in process->sockets */
	struct machine *process;
	struct end *end;
	struct wire_listener *listener; /* until ACCEPTED ran */
	struct list_node accept_node;
	struct task accept_task;
};

struct wire_listener {
	struct listener base;  /* first */
	struct list_node node; /* in process->listeners */
	struct machine *process;
	struct address address;
	struct list unaccepted;
	bool is_paused;
};

static struct wire_socket *wire_of(struct socket *socket)
{
	return (struct wire_socket *)(void *)socket;
}

static struct world *end_world(const struct end *end)
{
	return end->link->world;
}

static bool direction_is_cut(const struct end *from)
{
	return end_world(from)->cuts[from->host->index][from->other->host->index];
}

static uint64_t network_delay(struct world *world)
{
	return world_delay(world, world->options.network_delay_max_ns);
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

static void link_free(struct link *link)
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

/* What has arrived at END goes to a receive that waits. */
static void end_receive(struct end *end)
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

static void end_send(struct end *end)
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

static struct link *link_new(struct world *world, struct host *asking, struct host *listening)
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

static struct wire_socket *wire_socket_new(
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

/* Nobody holds END any more. ABRUPT: what was sent and has not arrived is lost. May free the link.
 */
static void end_close(struct end *end, bool abrupt)
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

static void wire_socket_end(struct wire_socket *socket, bool abrupt)
{
	struct end *end = socket->end;

	list_remove(&socket->node);
	list_remove(&socket->accept_node);
	free(socket);
	end_close(end, abrupt);
}

static bool octets_are_loopback(const struct address *address)
{
	static const uint8_t v6[16] = {[15] = 1};
	static const uint8_t v4_prefix[13] = {[10] = 0xff, [11] = 0xff, [12] = 127};

	return memcmp(address->octets, v6, 16) == 0 ||
	       memcmp(address->octets, v4_prefix, sizeof(v4_prefix)) == 0;
}

static bool octets_are_any(const struct address *address)
{
	static const uint8_t v6[16];
	static const uint8_t v4[16] = {[10] = 0xff, [11] = 0xff};

	return memcmp(address->octets, v6, 16) == 0 || memcmp(address->octets, v4, 16) == 0;
}

static bool octets_equal(const struct address *a, const struct address *b)
{
	return memcmp(a->octets, b->octets, sizeof(a->octets)) == 0;
}

static struct host *host_find(struct host *from, const struct address *address)
{
	struct world *world = from->world;

	if (octets_are_loopback(address) || octets_are_any(address))
		return from;
	for (unsigned i = 0; i < world->host_count; i++)
		if (octets_equal(&world->hosts[i]->address, address))
			return world->hosts[i];
	return NULL;
}

static struct wire_listener *listener_find(struct host *host, const struct address *address)
{
	if (!host->process)
		return NULL;
	list_for_each (node, &host->process->listeners) {
		struct wire_listener *listener = container_of(node, struct wire_listener, node);

		if (listener->address.port == address->port &&
			(octets_are_any(&listener->address) ||
				octets_equal(&listener->address, address)))
			return listener;
	}
	return NULL;
}

static uint16_t port_take(struct host *host)
{
	for (;;) {
		struct address address = {0};

		host->last_port = host->last_port == UINT16_MAX ? 32768 : host->last_port + 1;
		address.port = host->last_port;
		if (!listener_find(host, &address))
			return host->last_port;
	}
}

int network_listener_open(struct shard *shard, const struct address *address,
	struct listener_events events, struct listener **ret)
{
	struct machine *process = process_of(shard);
	struct host *host = process->host;
	struct wire_listener *listener;

	if (host_find(host, address) != host)
		return -EADDRNOTAVAIL;
	list_for_each (node, &process->listeners) {
		struct wire_listener *other = container_of(node, struct wire_listener, node);

		if (other->address.port == address->port &&
			(octets_equal(&other->address, address) ||
				octets_are_any(&other->address) || octets_are_any(address)))
			return -EADDRINUSE;
	}
	listener = world_alloc_zero(1, sizeof(*listener));
	listener->base.ops = shard->ops;
	listener->base.shard = shard;
	listener->base.events = events;
	listener->process = process;
	listener->address = *address;
	if (address->port == 0)
		listener->address.port = port_take(host);
	list_init(&listener->unaccepted);
	list_push_back(&process->listeners, &listener->node);
	*ret = &listener->base;
	return 0;
}

struct address network_listener_address(const struct listener *listener)
{
	return ((const struct wire_listener *)(const void *)listener)->address;
}

void network_listener_close(struct listener *base)
{
	struct wire_listener *listener = (struct wire_listener *)(void *)base;
	struct list_node *node;

	while ((node = list_first(&listener->unaccepted))) {
		struct wire_socket *socket = container_of(node, struct wire_socket, accept_node);

		/* Its task is queued: out of the queue before the socket is freed. */
		list_remove(&socket->accept_task.node);
		wire_socket_end(socket, true);
	}
	list_remove(&listener->node);
	free(listener);
}

static void accept_run(struct shard *shard, struct task *task)
{
	struct wire_socket *socket = container_of(task, struct wire_socket, accept_task);
	struct wire_listener *listener = socket->listener;

	if (listener->is_paused)
		return; /* posted again when it goes on */
	list_remove(&socket->accept_node);
	socket->listener = NULL;
	listener->base.events.accepted(
		shard, &listener->base, &socket->base, listener->base.events.argument);
}

void network_listener_pause(struct listener *base, bool paused)
{
	struct wire_listener *listener = (struct wire_listener *)(void *)base;

	listener->is_paused = paused;
	if (paused)
		return;
	list_for_each (node, &listener->unaccepted) {
		struct wire_socket *socket = container_of(node, struct wire_socket, accept_node);

		if (!list_node_is_linked(&socket->accept_task.node))
			shard_post(base->shard, &socket->accept_task);
	}
}

struct connect_wait {
	struct process_wait wait; /* first */
	struct socket_op *op;
	int result; /* what is on its way back */
	struct link *link;
	uint64_t asked_ns;
};

static void connect_drop(struct process_wait *wait)
{
	struct connect_wait *connect = (struct connect_wait *)(void *)wait;

	if (connect->link)
		end_close(&connect->link->ends[0], true);
}

/* The answer is back. */
static void connect_answer_fire(struct world *world, struct event *event)
{
	struct connect_wait *connect =
		(struct connect_wait *)(void *)container_of(event, struct process_wait, event);
	struct machine *process = connect->wait.process;
	struct socket_op *op = connect->op;
	struct shard *shard = op->ask.shard;

	chooser_note(
		&world->chooser, "connected", process->host->index, (uint64_t)connect->result, 0);
	if (connect->result == 0) {
		struct wire_socket *socket =
			wire_socket_new(process, shard->ops, &connect->link->ends[0]);

		socket->base.shard = shard;
		op->socket = &socket->base;
	}
	socket_op_complete(op, connect->result);
	process_wait_end(&connect->wait);
	free(connect);
	process_touch(shard_of(shard));
}

/* The question has reached the other host, or would have. */
static void connect_ask_fire(struct world *world, struct event *event)
{
	struct connect_wait *connect =
		(struct connect_wait *)(void *)container_of(event, struct process_wait, event);
	struct machine *process = connect->wait.process;
	struct host *from = process->host, *to = host_find(from, &connect->op->ask.address);
	struct wire_listener *listener;

	if (!to) {
		connect->result = -EHOSTUNREACH;
	} else if (world->cuts[from->index][to->index] || world->cuts[to->index][from->index]) {
		if (world->now_ns - connect->asked_ns < GIVE_UP_NS) {
			process_wait_start(process, &connect->wait, connect_ask_fire, RETRY_NS);
			return;
		}
		connect->result = -ETIMEDOUT;
	} else if (!(listener = listener_find(to, &connect->op->ask.address))) {
		connect->result = -ECONNREFUSED;
	} else {
		struct link *link = link_new(world, from, to);
		struct wire_socket *socket =
			wire_socket_new(listener->process, listener->base.ops, &link->ends[1]);

		connect->link = link;
		/* Who asks for a loopback address comes from there. */
		link->addresses[1] = connect->op->ask.address;
		link->addresses[0] = octets_are_loopback(&link->addresses[1]) ? link->addresses[1]
									      : from->address;
		link->addresses[0].port = port_take(from);
		socket->listener = listener;
		list_push_back(&listener->unaccepted, &socket->accept_node);
		socket->accept_task.run = accept_run;
		shard_post(listener->base.shard, &socket->accept_task);
		process_touch(shard_of(listener->base.shard));
	}
	process_wait_start(process, &connect->wait, connect_answer_fire, network_delay(world));
}

void network_connect(struct shard *shard, struct socket_op *op)
{
	struct machine *process = process_of(shard);
	struct connect_wait *connect = world_alloc_zero(1, sizeof(*connect));

	connect->op = op;
	connect->wait.drop = connect_drop;
	connect->asked_ns = process->world->now_ns;
	process_wait_start(
		process, &connect->wait, connect_ask_fire, network_delay(process->world));
}

void network_attach(struct socket *socket)
{
}

struct address network_peer(const struct socket *socket)
{
	const struct end *end = ((const struct wire_socket *)(const void *)socket)->end;

	return end->link->addresses[end == &end->link->ends[0] ? 1 : 0];
}

void network_receive(struct socket *socket, struct socket_op *op)
{
	end_receive(wire_of(socket)->end);
}

void network_send(struct socket *socket, struct socket_op *op)
{
	end_send(wire_of(socket)->end);
}

void network_close(struct socket *socket)
{
	wire_socket_end(wire_of(socket), false);
}

struct resolve_wait {
	struct process_wait wait; /* first */
	struct resolve_op *op;
};

static void resolve_fire(struct world *world, struct event *event)
{
	struct resolve_wait *resolve =
		(struct resolve_wait *)(void *)container_of(event, struct process_wait, event);
	struct resolve_op *op = resolve->op;
	int64_t result = -ENOENT;

	for (unsigned i = 0; i < world->host_count; i++) {
		if (strcmp(world->hosts[i]->name, op->name) != 0)
			continue;
		op->addresses[0] = world->hosts[i]->address;
		result = 1;
	}
	if (strcmp(op->name, "localhost") == 0) {
		op->addresses[0] = resolve->wait.process->host->address;
		result = 1;
	}
	process_wait_end(&resolve->wait);
	free(resolve);
	resolve_op_complete(op, result);
	process_touch(shard_of(op->shard));
}

void network_resolve(struct shard *shard, struct resolve_op *op)
{
	struct machine *process = process_of(shard);
	struct resolve_wait *resolve = world_alloc_zero(1, sizeof(*resolve));

	resolve->op = op;
	process_wait_start(process, &resolve->wait, resolve_fire, network_delay(process->world));
}

void network_process_end(struct machine *process, enum crash how)
{
	struct list_node *node;

	while ((node = list_first(&process->listeners)))
		network_listener_close(&container_of(node, struct wire_listener, node)->base);
	/* A kernel that lives on still delivers what it was given; often it resets as well. */
	while ((node = list_first(&process->sockets)))
		wire_socket_end(container_of(node, struct wire_socket, node),
			how == CRASH_POWER || choose_chance(&process->world->chooser, 500000));
}

void network_done(struct world *world)
{
	list_for_each_safe (node, &world->links)
		link_free(container_of(node, struct link, node));
}
