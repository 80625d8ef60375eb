/*
 * What will happen in a simulated world, ordered by time, then by the order of asking. An event is
 * embedded in what it is about; a zeroed one with FIRE set is ready to be scheduled.
 */
#pragma once

#include "runtime/base.h"

struct world;

struct event {
	uint64_t time_ns, order;
	uint32_t place; /* 1 + index in the heap; 0: not scheduled */
	void (*fire)(struct world *world, struct event *event);
};

struct event_queue {
	struct event **heap;
	uint32_t count, capacity;
	uint64_t orders;
};

void event_queue_done(struct event_queue *queue);
/* Scheduled already: it moves. */
void event_schedule(struct event_queue *queue, struct event *event, uint64_t time_ns);
void event_cancel(struct event_queue *queue, struct event *event);
static inline bool event_is_scheduled(const struct event *event)
{
	return event->place != 0;
}
/* NULL when empty. */
static inline struct event *event_first(const struct event_queue *queue)
{
	return queue->count ? queue->heap[0] : NULL;
}
