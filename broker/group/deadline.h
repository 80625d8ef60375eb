/*
 * Deadlines of a machine that takes its time from events: a pairing heap of nodes that live in the
 * objects they belong to. Equal deadlines fire in the order in which they were set, so that every
 * run of the same events is the same.
 */
#pragma once

#include "runtime/base.h"

struct deadline {
	int64_t at_ms;
	uint64_t order;
	struct deadline *child, *next, *previous; /* previous: elder sibling, or parent; the root's
						     is itself; NULL: not set */
	int kind;				  /* the owner's */
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
void deadline_set(struct deadlines *deadlines, struct deadline *deadline, int64_t at_ms);
/* Does nothing when it is not set. */
void deadline_stop(struct deadlines *deadlines, struct deadline *deadline);
/* The first that is due at NOW_MS, taken off; NULL when none is. */
struct deadline *deadline_pop(struct deadlines *deadlines, int64_t now_ms);
/* INT64_MAX when none is set. */
int64_t deadline_next_ms(const struct deadlines *deadlines);
