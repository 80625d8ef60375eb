/*
 * Timers in a pairing heap: the nodes are the timers themselves, so setting one never allocates;
 * setting costs O(1), stopping and firing O(log n) amortised.
 *
 * A timer's `child` is its first child, `next` its next sibling, `previous` its previous sibling
 * or, for a first child, its parent. The root's `previous` is itself, so that a set timer always
 * has one.
 */
#include "runtime/machine_ops.h"

static bool timer_is_earlier(const struct timer *a, const struct timer *b)
{
	return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns
						: a->order < b->order;
}

/* Joins two heaps, given by their roots; the result's `previous` is left to the caller. */
static struct timer *timers_meld(struct timer *a, struct timer *b)
{
	if (!a)
		return b;
	if (!b)
		return a;
	if (timer_is_earlier(b, a)) {
		struct timer *swap = a;
		a = b;
		b = swap;
	}
	b->next = a->child;
	if (a->child)
		a->child->previous = b;
	b->previous = a;
	a->child = b;
	a->next = NULL;
	return a;
}

/* One heap out of a chain of siblings: melded in pairs from the left, then together from the right.
 */
static struct timer *timers_meld_siblings(struct timer *first)
{
	struct timer *pairs = NULL; /* chained by `next`, the last pair first */

	while (first) {
		struct timer *a = first, *b = a->next;

		first = b ? b->next : NULL;
		a->next = NULL;
		if (b)
			b->next = NULL;
		a = timers_meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	struct timer *root = NULL;
	while (pairs) {
		struct timer *rest = pairs->next;

		pairs->next = NULL;
		root = timers_meld(root, pairs);
		pairs = rest;
	}
	return root;
}

static void shard_timers_become(struct shard *shard, struct timer *root)
{
	shard->timers = root;
	if (root) {
		root->previous = root;
		root->next = NULL;
	}
}

void timer_stop(struct shard *shard, struct timer *timer)
{
	if (!timer_is_set(timer))
		return;
	struct timer *orphans = timers_meld_siblings(timer->child);
	if (timer == shard->timers) {
		shard_timers_become(shard, orphans);
	} else {
		if (timer->previous->child == timer)
			timer->previous->child = timer->next;
		else
			timer->previous->next = timer->next;
		if (timer->next)
			timer->next->previous = timer->previous;
		shard_timers_become(shard, timers_meld(shard->timers, orphans));
	}
	timer->child = timer->next = timer->previous = NULL;
}

void timer_set(struct shard *shard, struct timer *timer, uint64_t deadline_ns)
{
	ensure(timer->fire);
	timer_stop(shard, timer);
	timer->deadline_ns = deadline_ns;
	timer->order = shard->timers_set++;
	shard_timers_become(shard, timers_meld(shard->timers, timer));
}

uint64_t shard_next_deadline_ns(const struct shard *shard)
{
	return shard->timers ? shard->timers->deadline_ns : UINT64_MAX;
}

bool shard_timer_step(struct shard *shard)
{
	struct timer *timer = shard->timers;

	if (!timer || timer->deadline_ns > shard->now_ns)
		return false;
	timer_stop(shard, timer);
	shard->step_code = (const void *)(uintptr_t)timer->fire;
	timer->fire(shard, timer);
	return true;
}
