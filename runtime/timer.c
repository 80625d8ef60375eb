/* Timers: the deadlines of a shard, by the monotonic clock. */
#include "runtime/machine_ops.h"

void timer_stop(struct shard *shard, struct timer *timer)
{
	deadline_stop(&shard->timers, &timer->deadline);
}

void timer_set(struct shard *shard, struct timer *timer, uint64_t deadline_ns)
{
	ensure(timer->fire);
	deadline_set(&shard->timers, &timer->deadline, (int64_t)min_of(deadline_ns, INT64_MAX));
}

uint64_t shard_next_deadline_ns(const struct shard *shard)
{
	return shard->timers.root ? (uint64_t)deadline_next(&shard->timers) : UINT64_MAX;
}

bool shard_timer_step(struct shard *shard)
{
	struct deadline *due = deadline_pop(&shard->timers, (int64_t)shard->now_ns);

	if (!due)
		return false;
	struct timer *timer = container_of(due, struct timer, deadline);
	shard->step_code = (const void *)(uintptr_t)timer->fire;
	timer->fire(shard, timer);
	return true;
}
