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
	struct list_node node;	      /* private */
	struct buffer_budget *budget; /* private */
	uint64_t ticket;	      /* private: the smallest of all shards is next */
	size_t size;		      /* the capacity that is wanted: set by the caller */
	/* A step of its own. Room for SIZE is kept for a buffer_new inside it, which then fails
	 * only when memory is out; what is not taken there goes to the next one. */
	void (*ready)(struct shard *shard, struct buffer_waiter *waiter);
};

/* NULL when memory is out. It is freed when all its buffers are, nobody waits, and no shard runs
 * any more: one may still be about to look for a waiter. */
struct buffer_budget *buffer_budget_new(unsigned shard_count, size_t limit_bytes);
void buffer_budget_free(struct buffer_budget *budget);
/* Bytes of all buffers that are out, capacities rounded up as they are, and what is charged. */
size_t buffer_budget_used(const struct buffer_budget *budget);
size_t buffer_budget_limit(const struct buffer_budget *budget);
/* Counts SIZE bytes that lie elsewhere but belong to the same limit. They are there already, so it
 * never fails; no buffer is granted until what is out fits again. From any shard. */
void buffer_budget_charge(struct buffer_budget *budget, size_t size);
void buffer_budget_discharge(struct shard *shard, struct buffer_budget *budget, size_t size);
/* More is charged than the limit allows: who can, waits (for the smallest buffer). */
static inline bool buffer_budget_is_over(const struct buffer_budget *budget)
{
	return buffer_budget_used(budget) > buffer_budget_limit(budget);
}

/* At least CAPACITY bytes, one reference; NULL when the budget has no room (then buffer_wait) or
 * memory is out. A buffer larger than the whole limit is granted when nothing else is out, so that
 * one legal request can always pass. While others wait there is no room: small requests do not
 * overtake a large one for ever. */
struct buffer *buffer_new(struct shard *shard, struct buffer_budget *budget, size_t capacity);
/* BUFFER, to which nobody else refers, with at least CAPACITY bytes and what is in it: only what it
 * grows by is charged and waited for. NULL as buffer_new; BUFFER is as it was then. It may have
 * moved in memory. */
struct buffer *buffer_grow(struct shard *shard, struct buffer *buffer, size_t capacity);
/* The size to wait for when buffer_grow found no room. */
size_t buffer_growth(const struct buffer *buffer, size_t capacity);
/* BUFFER, to which nobody else refers, counts for the budget TO from now on, if that has room as
 * for a new one. */
bool buffer_move(struct shard *shard, struct buffer *buffer, struct buffer_budget *to);
/* A buffer of CAPACITY bytes is no larger than the limit. */
bool buffer_can_fit(const struct buffer_budget *budget, size_t capacity);
/* First come, first served, over all shards. */
void buffer_wait(struct shard *shard, struct buffer_budget *budget, struct buffer_waiter *waiter);
/* Does nothing when WAITER does not wait. */
void buffer_wait_cancel(struct shard *shard, struct buffer_waiter *waiter);
/* From any shard. NULL is allowed in unref. */
struct buffer *buffer_ref(struct buffer *buffer);
void buffer_unref(struct shard *shard, struct buffer *buffer);
/* True when the caller's reference is the only one. */
static inline bool buffer_is_unshared(const struct buffer *buffer)
{
	return __atomic_load_n(&buffer->references, __ATOMIC_ACQUIRE) == 1;
}
