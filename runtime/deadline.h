/*
 * Deadlines: a pairing heap of nodes that live in the objects they belong to, so that setting one
 * never allocates. Setting costs O(1), stopping and popping O(log n) amortised. Equal deadlines
 * come in the order in which they were set, so that every run of the same events is the same.
 *
 * The heap knows no clock: its owner chooses one and its unit (the shard's timers: monotonic
 * nanoseconds; a coordinator: the milliseconds that come with its events).
 */
#pragma once

#include "runtime/base.h"

/* Zeroed: not set. */
struct deadline {
	int64_t at;
	uint64_t order;			/* breaks ties */
	struct deadline *child, *next;	/* the first child, the next sibling */
	struct deadline *previous;	/* the previous sibling or, of a first child, the parent;
					   the root's is itself; NULL: not set */
	int kind;			/* the owner's, where one heap holds several kinds */
};

struct deadlines {
	struct deadline *root;
	uint64_t sets;
};

static inline bool deadline_is_set(const struct deadline *deadline)
{
	return deadline->previous != NULL;
}

/* Setting again moves it. */
void deadline_set(struct deadlines *deadlines, struct deadline *deadline, int64_t at);
/* Does nothing when it is not set. */
void deadline_stop(struct deadlines *deadlines, struct deadline *deadline);
/* The first that is due at NOW, taken off; NULL when none is. */
struct deadline *deadline_pop(struct deadlines *deadlines, int64_t now);
/* When the first is due; INT64_MAX when none is set. */
static inline int64_t deadline_next(const struct deadlines *deadlines)
{
	return deadlines->root ? deadlines->root->at : INT64_MAX;
}
