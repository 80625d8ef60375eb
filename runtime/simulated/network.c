/*
 * The network of a world as its processes ask for it: listeners, connecting, names, sockets. What
 * happens to the bytes between two sockets is link.c's.
 */
#include <errno.h>
#include <stdlib.h>

#include "runtime/simulated/network_internal.h"

static struct wire_socket *wire_of(struct socket *socket)
{
	return (struct wire_socket *)(void *)socket;
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
