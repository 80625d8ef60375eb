#include "broker/memory_limit.h"

#include <errno.h>

#include "broker/pressure.h"

enum { RESERVE_SHARE = 8 }; /* the reserve is one part in so many of the limit */

int memory_limit_init(struct broker *broker, size_t limit_bytes)
{
	size_t reserve_bytes = limit_bytes / RESERVE_SHARE;

	/* One that is too small for anybody would only be missing in the common part. */
	if (reserve_bytes < MEMORY_SMALL_MAX)
		reserve_bytes = 0;
	broker->budget = buffer_budget_new(broker->shard_count, limit_bytes - reserve_bytes);
	if (reserve_bytes > 0)
		broker->reserve = buffer_budget_new(broker->shard_count, reserve_bytes);
	return broker->budget && (broker->reserve || reserve_bytes == 0) ? 0 : -ENOMEM;
}

void memory_limit_done(struct broker *broker)
{
	buffer_budget_free(broker->budget);
	buffer_budget_free(broker->reserve);
	broker->budget = broker->reserve = NULL;
}

struct buffer *memory_reserve_buffer_new(struct broker_shard *shard, size_t capacity)
{
	struct buffer_budget *reserve = shard->broker->reserve;
	struct buffer *buffer = reserve ? buffer_new(shard->shard, reserve, capacity) : NULL;

	if (buffer)
		pressure_reserve_used(shard);
	return buffer;
}

struct buffer_budget *memory_to_begin(struct broker_shard *shard, bool is_small)
{
	struct broker *broker = shard->broker;

	if (!buffer_budget_is_over(broker->budget))
		return broker->budget;
	if (is_small && broker->reserve && !buffer_budget_is_over(broker->reserve))
		return broker->reserve;
	return NULL;
}

static void memory_ready(struct memory_waiter *waiter)
{
	memory_wait_cancel(waiter);
	waiter->ready(waiter);
}

static void memory_common_ready(struct shard *shard, struct buffer_waiter *common)
{
	memory_ready(container_of(common, struct memory_waiter, common));
}

static void memory_reserve_ready(struct shard *shard, struct buffer_waiter *reserve)
{
	memory_ready(container_of(reserve, struct memory_waiter, reserve));
}

void memory_wait(
	struct broker_shard *shard, struct memory_waiter *waiter, size_t size, bool is_small)
{
	struct broker *broker = shard->broker;

	ensure(!waiter->is_waiting && waiter->ready);
	waiter->is_waiting = true;
	waiter->shard = shard;
	pressure_waiting(shard);
	waiter->common.size = waiter->reserve.size = size;
	waiter->common.ready = memory_common_ready;
	waiter->reserve.ready = memory_reserve_ready;
	buffer_wait(shard->shard, broker->budget, &waiter->common);
	if (is_small)
		memory_wait_is_small(waiter);
}

void memory_wait_is_small(struct memory_waiter *waiter)
{
	struct broker_shard *shard = waiter->shard;

	ensure(waiter->is_waiting);
	if (shard->broker->reserve && !list_node_is_linked(&waiter->reserve.node))
		buffer_wait(shard->shard, shard->broker->reserve, &waiter->reserve);
}

void memory_wait_cancel(struct memory_waiter *waiter)
{
	if (!waiter->is_waiting)
		return;
	waiter->is_waiting = false;
	pressure_served(waiter->shard);
	buffer_wait_cancel(waiter->shard->shard, &waiter->common);
	buffer_wait_cancel(waiter->shard->shard, &waiter->reserve);
}
