/*
 * The limit of memory for requests, answers and buffers (barnabas.memory.limit.bytes), in two parts.
 * Most of it is common: first come, first served. The rest is a reserve, for connections that hold
 * little themselves, when the common part is used up or others wait for it. So those who fill the
 * limit wait for one another, and somebody who asks for little beside them is served at once.
 *
 * Each part is a budget of its own, and what was taken of one goes back to that one: small requests
 * without end cannot keep the common part from those who wait for it, nor large ones the reserve.
 * Who holds little waits for either, whichever has room first. What lies idle in the reserve is
 * moved to the common part when that has room (pressure.h).
 */
#pragma once

#include "broker/state.h"

/* What a connection may hold in all and still take of the reserve. */
enum { MEMORY_SMALL_MAX = 64 * 1024 };

struct memory_waiter {
	struct buffer_waiter common, reserve; /* private */
	struct broker_shard *shard;	      /* private */
	bool is_waiting; /* from memory_wait until READY or memory_wait_cancel */
	/* A step of its own, in which the room that was waited for is kept, as in buffer_wait. */
	void (*ready)(struct memory_waiter *waiter);
};

/* Divides LIMIT_BYTES between BROKER's two parts; -ENOMEM. Undone by memory_limit_done. */
int memory_limit_init(struct broker *broker, size_t limit_bytes);
void memory_limit_done(struct broker *broker);

/* As buffer_new, of the reserve: for who holds little even with it, and found no room in the common
 * part. */
struct buffer *memory_reserve_buffer_new(struct broker_shard *shard, size_t capacity);
/* The part that something more may be charged to as it is begun; NULL when it has to wait, for
 * memory_wait with a size of 1. */
struct buffer_budget *memory_to_begin(struct broker_shard *shard, bool is_small);
/* Until there is room for SIZE bytes. */
void memory_wait(
	struct broker_shard *shard, struct memory_waiter *waiter, size_t size, bool is_small);
/* WAITER, who waits, holds little by now. */
void memory_wait_is_small(struct memory_waiter *waiter);
/* Does nothing when WAITER does not wait. */
void memory_wait_cancel(struct memory_waiter *waiter);
