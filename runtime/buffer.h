/*
 * Reference-counted byte buffers out of a budget. Record batches stay in the buffer that the socket
 * filled until the last user is done. The budget is one for the process (queued.max.request.bytes
 * and what the configuration adds): at its limit a connection waits for room instead of allocating,
 * and is told when some came back.
 */
#pragma once

#include "runtime/shard.h"

struct buffer_budget; /* one a process; counters are atomic, waiters live on their shards */

struct buffer {
	uint32_t references; /* atomic */
	uint32_t capacity;   /* bytes in data[] */
	struct buffer_budget *budget;
	struct buffer *next_free; /* private to the pool */
	uint8_t data[];
};

struct buffer_waiter {
	struct list_node node;
	struct task task; /* private */
	size_t size;
	void (*ready)(struct shard *shard,
		struct buffer_waiter *waiter); /* try again; it may have to wait again */
};

struct buffer_budget *buffer_budget_new(unsigned shard_count, size_t limit_bytes);
void buffer_budget_free(struct buffer_budget *budget);
size_t buffer_budget_used(const struct buffer_budget *budget);

/* At least CAPACITY bytes, one reference; NULL when the budget has no room (then buffer_wait) or
 * memory is out. A buffer larger than the whole limit is granted when nothing else is out, so that
 * one legal request can always pass. */
struct buffer *buffer_new(struct shard *shard, struct buffer_budget *budget, size_t capacity);
void buffer_wait(struct shard *shard, struct buffer_budget *budget, struct buffer_waiter *waiter);
void buffer_wait_cancel(struct shard *shard, struct buffer_waiter *waiter);
/* From any shard. NULL is allowed in unref. */
struct buffer *buffer_ref(struct buffer *buffer);
void buffer_unref(struct shard *shard, struct buffer *buffer);
