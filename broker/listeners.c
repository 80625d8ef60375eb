#include "broker/listeners.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/connection.h"
#include "runtime/fiber.h"

/* How many connections a client address has. */
struct address_count {
	struct map_node node;
	uint8_t octets[16];
	uint32_t count;
};

struct admission {
	struct task task; /* on its way; its node among those that came early */
	struct broker *broker;
	struct socket *socket; /* until the connection has it */
	unsigned listener;
	struct address_count *address;
};

/* ---- limits ---- */

/* Brokers talk to each other also when clients have taken all the room. */
static bool is_protected(const struct broker *broker, unsigned listener)
{
	int32_t count;
	const struct listener_config *configs = config_listeners(broker->config, &count);
	int32_t bound = 0;

	for (int32_t i = 0; i < count; i++)
		bound += !configs[i].is_controller;
	return bound > 1 &&
	       str_equal(configs[listener].name, config_inter_broker_listener(broker->config));
}

static void listeners_pause(struct broker *broker, bool paused)
{
	if (broker->listeners_paused == paused)
		return;
	broker->listeners_paused = paused;
	for (unsigned i = 0; i < broker->listener_count; i++)
		if (broker->listeners[i].listener && !is_protected(broker, i))
			listener_pause(broker->listeners[i].listener, paused);
}

static uint32_t connections_max(const struct broker *broker)
{
	return (uint32_t)config_int(broker->config, SETTING_MAX_CONNECTIONS);
}

/* A search for a connection that can be closed: from shard to shard until one has any. */
struct excess {
	struct task task;
	struct broker *broker;
	unsigned visited;
};

/* Behind the connection's own news that it has gone, which came the same way. */
static void excess_over(struct shard *shard, struct task *task)
{
	struct excess *excess = container_of(task, struct excess, task);

	excess->broker->excess_closing--;
	free(excess);
}

static void excess_there(struct shard *shard, struct task *task)
{
	struct excess *excess = container_of(task, struct excess, task);
	struct broker_shard *here = broker_shard_of(shard);
	struct connection *idlest = NULL;

	list_for_each (node, &here->connections) {
		struct connection *connection = container_of(node, struct connection, node);
		if (connection->closed ||
			is_protected(excess->broker, (unsigned)connection->listener))
			continue;
		if (!idlest || connection->active_ns < idlest->active_ns)
			idlest = connection;
	}
	if (idlest)
		connection_close(idlest, "the broker has more than max.connections");
	if (!idlest && ++excess->visited < excess->broker->shard_count) {
		shard_send(shard, (here->index + 1) % excess->broker->shard_count, task);
		return;
	}
	task->run = excess_over;
	shard_send(shard, SHARD_MAIN, task);
}

/* As many connections go as are over MAX, with those whose search is under way. */
static void excess_close(struct broker *broker, uint32_t max)
{
	while (broker->connection_count > max &&
		broker->excess_closing < broker->connection_count - max) {
		struct excess *excess = malloc(sizeof(*excess));
		if (!excess)
			return;
		*excess = (struct excess){.task.run = excess_there, .broker = broker};
		shard_send(broker->shards[SHARD_MAIN].shard,
			broker->excess_closing++ % broker->shard_count, &excess->task);
	}
}

void listeners_limits_changed(struct broker *broker)
{
	uint32_t max = connections_max(broker);

	listeners_pause(broker, broker->connection_count >= max);
	excess_close(broker, max);
}

/* ---- admissions ---- */

static struct address_count *address_take(struct broker *broker, const struct address *peer)
{
	struct address_count *address = map_find_entry(&broker->addresses, peer->octets,
		sizeof(peer->octets), struct address_count, node);

	if (!address) {
		address = calloc(1, sizeof(*address));
		if (!address)
			return NULL;
		memcpy(address->octets, peer->octets, sizeof(address->octets));
		map_insert(&broker->addresses, &address->node, address->octets,
			sizeof(address->octets));
	}
	address->count++;
	return address;
}

static void address_leave(struct broker *broker, struct address_count *address)
{
	if (--address->count > 0)
		return;
	map_remove(&broker->addresses, &address->node);
	free(address);
}

/* Of the connections that PEER may have, with this one. */
static bool address_has_room(
	struct broker *broker, const struct address *peer, const struct address_count *address)
{
	char text[ADDRESS_TEXT_SIZE];
	int32_t max = config_connections_per_address(
		broker->config, str_from(address_format_host(peer, text)));

	if (address->count <= (uint32_t)max)
		return true;
	log_event(&broker->shards[SHARD_MAIN].logger, LOG_CONNECTION_REFUSED,
		log_text("address", text), log_text("limit", "max.connections.per.ip"),
		log_int("connections", max));
	return false;
}

static void admission_over(struct shard *shard, struct task *task)
{
	struct admission *admission = container_of(task, struct admission, task);
	struct broker *broker = admission->broker;

	address_leave(broker, admission->address);
	free(admission);
	broker->connection_count--;
	if (broker->phase != BROKER_STOPPING)
		listeners_pause(broker, broker->connection_count >= connections_max(broker));
}

void admission_end(struct broker_shard *shard, struct admission *admission)
{
	if (!admission)
		return;
	admission->task.run = admission_over;
	shard_send(shard->shard, SHARD_MAIN, &admission->task);
}

static void admitted_there(struct shard *shard, struct task *task)
{
	struct admission *admission = container_of(task, struct admission, task);

	connection_start(broker_shard_of(shard), admission->socket, (int)admission->listener,
		admission);
}

static void admission_place(struct broker *broker, struct admission *admission)
{
	unsigned to = broker->next_shard++ % broker->shard_count;

	admission->task.run = admitted_there;
	shard_send(broker->shards[SHARD_MAIN].shard, to, &admission->task);
}

static void accepted(
	struct shard *shard, struct listener *listener, struct socket *socket, void *argument)
{
	const struct broker_listener *which = argument;
	struct broker *broker = which->broker;
	struct address peer = socket_peer(socket);
	struct address_count *address =
		broker->phase == BROKER_STOPPING ? NULL : address_take(broker, &peer);
	struct admission *admission = address ? malloc(sizeof(*admission)) : NULL;

	if (!admission || !address_has_room(broker, &peer, address)) {
		free(admission);
		if (address)
			address_leave(broker, address);
		socket_close(socket);
		return;
	}
	*admission = (struct admission){.broker = broker,
		.socket = socket,
		.listener = (unsigned)which->index,
		.address = address};
	broker->connection_count++;
	listeners_limits_changed(broker);
	/* The port had to be known for the registration; whoever comes before the logs are open
	 * waits. */
	if (broker->phase == BROKER_STARTING)
		list_push_back(&broker->early, &admission->task.node);
	else
		admission_place(broker, admission);
}

static void accept_failed(
	struct shard *shard, struct listener *listener, int error, void *argument)
{
	struct broker_listener *which = argument;
	char text[ADDRESS_TEXT_SIZE];

	log_event(&which->broker->shards[SHARD_MAIN].logger, LOG_ACCEPT_FAILED,
		log_text("listener", address_format(&which->address, text)),
		log_errno("error", error));
}

/* ---- binding ---- */

struct resolving {
	struct resolve_op op;
	struct fiber *fiber;
	bool done;
};

static void resolved(struct shard *shard, struct resolve_op *op)
{
	struct resolving *resolving = container_of(op, struct resolving, op);

	resolving->done = true;
	fiber_wake(shard, resolving->fiber);
}

int listeners_open(struct broker *broker)
{
	struct broker_shard *main_shard = &broker->shards[SHARD_MAIN];
	struct shard *shard = main_shard->shard;
	int32_t count;
	const struct listener_config *configs = config_listeners(broker->config, &count);

	broker->listeners = calloc((size_t)count, sizeof(*broker->listeners));
	if (!broker->listeners)
		return -ENOMEM;
	for (int32_t i = 0; i < count; i++) {
		const struct listener_config *config = &configs[i];
		struct broker_listener *listener = &broker->listeners[i];
		struct address addresses[8];
		char host[256];
		struct resolving resolving = {.op.done = resolved, .fiber = fiber_current(shard)};

		listener->broker = broker;
		listener->index = i;
		broker->listener_count++;
		if (config->is_controller)
			continue; /* the quorum of one is in this process: nobody else talks to it
				   */
		snprintf(host, sizeof(host), "%.*s", STR_ARGS(config->host));
		address_resolve(shard, &resolving.op, host, addresses, array_length(addresses));
		while (!resolving.done)
			fiber_wait(shard);
		int error = resolving.op.result <= 0
				    ? (resolving.op.result < 0 ? (int)resolving.op.result : -ENOENT)
				    : 0;
		if (error == 0) {
			addresses[0].port = config->port;
			error = listener_open(shard, &addresses[0],
				(struct listener_events){.accepted = accepted,
					.failed = accept_failed,
					.argument = listener},
				&listener->listener);
		}
		if (error < 0) {
			log_event(&main_shard->logger, LOG_LISTEN_FAILED,
				log_str("listener", config->name), log_str("host", config->host),
				log_int("port", config->port), log_errno("error", error));
			return error;
		}
		listener->address = listener_address(listener->listener);
	}
	return 0;
}

void listeners_serve(struct broker *broker)
{
	for (struct list_node *node; (node = list_pop_front(&broker->early));)
		admission_place(broker, container_of(node, struct admission, task.node));
}

void listeners_close(struct broker *broker)
{
	for (unsigned i = 0; i < broker->listener_count; i++) {
		if (broker->listeners[i].listener)
			listener_close(broker->listeners[i].listener);
		broker->listeners[i].listener = NULL;
	}
}
