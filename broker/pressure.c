#include "broker/pressure.h"

#include <stdlib.h>

#include "broker/connection.h"

enum {
	ROUND_MS = 500,	      /* between two looks, while somebody waits */
	STUCK_MS = 2000,      /* without a request taken or an answer sent */
	SHED_SHARE = 4,	      /* a round frees one part in so many of the limit */
	HELD_MIN = 32 * 1024, /* not worth a connection */
};

struct pressure_note {
	struct task task;
};

/* The connection that holds most among those that have been stuck since before STUCK_BEFORE_NS. */
static struct connection *pressure_victim(
	struct broker_shard *shard, uint64_t stuck_before_ns, size_t *ret_held)
{
	struct connection *victim = NULL;

	*ret_held = HELD_MIN;
	list_for_each (node, &shard->connections) {
		struct connection *connection = container_of(node, struct connection, node);
		size_t held;

		if (connection->closed || connection->progress_ns > stuck_before_ns)
			continue;
		held = connection_held_bytes(connection);
		if (held <= *ret_held)
			continue;
		victim = connection;
		*ret_held = held;
	}
	return victim;
}

static void pressure_shed(struct shard *shard, struct task *task)
{
	struct broker_shard *here = broker_shard_of(shard);
	uint64_t now_ns = shard_now_ns(shard);
	size_t target =
		buffer_budget_limit(here->broker->budget) / SHED_SHARE / here->broker->shard_count;
	size_t freed = 0, held;
	struct connection *victim;

	free(container_of(task, struct pressure_note, task));
	if (now_ns < STUCK_MS * NS_PER_MS)
		return;
	while (freed < target &&
		(victim = pressure_victim(here, now_ns - STUCK_MS * NS_PER_MS, &held))) {
		connection_close(victim, "it held much memory for which others were waiting, and "
					 "neither sent nor read anything");
		freed += held;
	}
}

static void pressure_round(struct shard *shard, struct timer *timer)
{
	struct broker_shard *here = container_of(timer, struct broker_shard, pressure);

	if (here->waiting_for_memory == 0)
		return;
	for (unsigned i = 0; i < here->broker->shard_count; i++) {
		struct pressure_note *note = malloc(sizeof(*note));
		if (!note)
			break; /* the next round tries again */
		*note = (struct pressure_note){.task.run = pressure_shed};
		shard_send(shard, i, &note->task);
	}
	timer_set(shard, timer, shard_now_ns(shard) + ROUND_MS * NS_PER_MS);
}

void pressure_waiting(struct broker_shard *shard)
{
	shard->waiting_for_memory++;
	if (timer_is_set(&shard->pressure))
		return;
	shard->pressure.fire = pressure_round;
	timer_set(
		shard->shard, &shard->pressure, shard_now_ns(shard->shard) + ROUND_MS * NS_PER_MS);
}

void pressure_served(struct broker_shard *shard)
{
	ensure(shard->waiting_for_memory > 0);
	shard->waiting_for_memory--;
}
