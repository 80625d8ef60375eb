#include "broker/pressure.h"

#include <stdlib.h>

#include "broker/connection.h"

enum {
	ROUND_MS = 500,	      /* between two looks, while somebody waits */
	STUCK_MS = 2000,      /* without a request taken or an answer sent, or much of one */
	SHED_SHARE = 2,	      /* a round frees one part in so many of the limit */
	HELD_MIN = 32 * 1024, /* not worth a connection */
	STEP_MAX = 64,	      /* connections that are closed in one step */
};

struct pressure_note {
	struct task task;
	size_t target; /* bytes that are still to be freed in this round */
};

struct pressure_victim {
	struct connection *connection;
	size_t held;
	unsigned place; /* in the shard's list: breaks ties */
};

static int pressure_order(const void *a, const void *b)
{
	const struct pressure_victim *first = a, *second = b;

	if (first->held != second->held)
		return first->held > second->held ? -1 : 1;
	return first->place < second->place ? -1 : 1;
}

/* What of this shard's connections may be closed, those that hold most first; NULL without memory,
 * or without connections. */
static struct pressure_victim *pressure_victims(struct broker_shard *here, unsigned *ret_count)
{
	uint64_t now_ns = shard_now_ns(here->shard);
	unsigned count = 0, place = 0;
	struct pressure_victim *victims;

	if (here->connection_count == 0)
		return NULL;
	victims = malloc(here->connection_count * sizeof(*victims));
	if (!victims)
		return NULL;
	list_for_each (node, &here->connections) {
		struct connection *connection = container_of(node, struct connection, node);
		size_t held;

		place++;
		if (connection->closed ||
			!connection_is_stuck(connection, now_ns, STUCK_MS * NS_PER_MS) ||
			count == here->connection_count)
			continue;
		held = connection_held_bytes(connection);
		if (held > HELD_MIN)
			victims[count++] = (struct pressure_victim){connection, held, place};
	}
	qsort(victims, count, sizeof(*victims), pressure_order);
	*ret_count = count;
	return victims;
}

static void pressure_shed(struct shard *shard, struct task *task)
{
	struct pressure_note *note = container_of(task, struct pressure_note, task);
	unsigned count, closed = 0;
	struct pressure_victim *victims = pressure_victims(broker_shard_of(shard), &count);

	if (!victims) {
		free(note); /* the next round tries again */
		return;
	}
	for (; closed < count && closed < STEP_MAX && note->target > 0; closed++) {
		connection_close(victims[closed].connection,
			"it held much memory for which others were waiting, and neither sent nor "
			"read anything");
		note->target -= min_of(victims[closed].held, note->target);
	}
	free(victims);
	/* Thousands may have to go: others have their turn in between. */
	if (closed < count && note->target > 0)
		shard_post_late(shard, &note->task);
	else
		free(note);
}

/* True when something of this shard's connections has to stay there. */
static bool pressure_leave_reserve(struct broker_shard *here)
{
	bool stays = false;

	list_for_each (node, &here->connections) {
		struct connection *connection = container_of(node, struct connection, node);

		if (!connection_leave_reserve(connection))
			stays = true;
	}
	return stays;
}

static void pressure_round(struct shard *shard, struct timer *timer)
{
	struct broker_shard *here = container_of(timer, struct broker_shard, pressure);

	here->reserve_used = here->reserve_used && pressure_leave_reserve(here);
	if (here->waiting_for_memory == 0 && !here->reserve_used)
		return;
	/* One round for all shards that have somebody waiting. */
	uint64_t now_ns = shard_now_ns(shard);
	uint64_t last_ns = __atomic_load_n(&here->broker->pressure_round_ns, __ATOMIC_SEQ_CST);
	timer_set(shard, timer, now_ns + ROUND_MS * NS_PER_MS);
	if (here->waiting_for_memory == 0 || now_ns < last_ns + ROUND_MS * NS_PER_MS / 2 ||
		!__atomic_compare_exchange_n(&here->broker->pressure_round_ns, &last_ns, now_ns,
			false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	for (unsigned i = 0; i < here->broker->shard_count; i++) {
		struct pressure_note *note = malloc(sizeof(*note));
		if (!note)
			break; /* the next round tries again */
		*note = (struct pressure_note){.task.run = pressure_shed,
			.target = buffer_budget_limit(here->broker->budget) / SHED_SHARE /
				  here->broker->shard_count};
		shard_send(shard, i, &note->task);
	}
}

static void pressure_watch(struct broker_shard *shard)
{
	if (timer_is_set(&shard->pressure))
		return;
	shard->pressure.fire = pressure_round;
	timer_set(
		shard->shard, &shard->pressure, shard_now_ns(shard->shard) + ROUND_MS * NS_PER_MS);
}

void pressure_waiting(struct broker_shard *shard)
{
	shard->waiting_for_memory++;
	pressure_watch(shard);
}

void pressure_reserve_used(struct broker_shard *shard)
{
	shard->reserve_used = true;
	pressure_watch(shard);
}

void pressure_served(struct broker_shard *shard)
{
	ensure(shard->waiting_for_memory > 0);
	shard->waiting_for_memory--;
}
