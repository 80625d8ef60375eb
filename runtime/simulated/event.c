#include "runtime/simulated/event.h"

#include <stdlib.h>

#include "runtime/simulated/memory.h"

static bool event_before(const struct event *a, const struct event *b)
{
	return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->order < b->order;
}

static void event_put(struct event_queue *queue, struct event *event, uint32_t index)
{
	queue->heap[index] = event;
	event->place = index + 1;
}

static void event_settle(struct event_queue *queue, struct event *event, uint32_t index)
{
	while (index > 0 && event_before(event, queue->heap[(index - 1) / 2])) {
		event_put(queue, queue->heap[(index - 1) / 2], index);
		index = (index - 1) / 2;
	}
	for (;;) {
		uint32_t child = 2 * index + 1;

		if (child + 1 < queue->count &&
			event_before(queue->heap[child + 1], queue->heap[child]))
			child++;
		if (child >= queue->count || !event_before(queue->heap[child], event))
			break;
		event_put(queue, queue->heap[child], index);
		index = child;
	}
	event_put(queue, event, index);
}

void event_queue_done(struct event_queue *queue)
{
	free(queue->heap);
	*queue = (struct event_queue){0};
}

void event_schedule(struct event_queue *queue, struct event *event, uint64_t time_ns)
{
	uint32_t index;

	ensure(event->fire);
	event->time_ns = time_ns;
	event->order = ++queue->orders;
	if (event->place) {
		index = event->place - 1;
	} else {
		if (queue->count == queue->capacity) {
			queue->capacity = max_of(64u, queue->capacity * 2);
			queue->heap =
				world_realloc(queue->heap, queue->capacity * sizeof(*queue->heap));
		}
		index = queue->count++;
	}
	event_settle(queue, event, index);
}

void event_cancel(struct event_queue *queue, struct event *event)
{
	uint32_t index = event->place - 1;
	struct event *last;

	if (!event->place)
		return;
	event->place = 0;
	last = queue->heap[--queue->count];
	if (last != event)
		event_settle(queue, last, index);
}
