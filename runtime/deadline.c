#include "runtime/deadline.h"

static bool deadline_is_earlier(const struct deadline *a, const struct deadline *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

/* Joins two heaps, given by their roots; the result's `previous` is left to the caller. */
static struct deadline *deadlines_meld(struct deadline *a, struct deadline *b)
{
	if (!a)
		return b;
	if (!b)
		return a;
	if (deadline_is_earlier(b, a)) {
		struct deadline *swap = a;
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
static struct deadline *deadlines_meld_siblings(struct deadline *first)
{
	struct deadline *pairs = NULL, *root = NULL; /* pairs: by `next`, the last first */

	while (first) {
		struct deadline *a = first, *b = a->next;
		first = b ? b->next : NULL;
		a->next = NULL;
		if (b)
			b->next = NULL;
		a = deadlines_meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct deadline *rest = pairs->next;
		pairs->next = NULL;
		root = deadlines_meld(root, pairs);
		pairs = rest;
	}
	return root;
}

static void deadlines_root_set(struct deadlines *deadlines, struct deadline *root)
{
	deadlines->root = root;
	if (root) {
		root->previous = root;
		root->next = NULL;
	}
}

void deadline_stop(struct deadlines *deadlines, struct deadline *deadline)
{
	if (!deadline_is_set(deadline))
		return;
	struct deadline *orphans = deadlines_meld_siblings(deadline->child);
	if (deadline == deadlines->root) {
		deadlines_root_set(deadlines, orphans);
	} else {
		if (deadline->previous->child == deadline)
			deadline->previous->child = deadline->next;
		else
			deadline->previous->next = deadline->next;
		if (deadline->next)
			deadline->next->previous = deadline->previous;
		deadlines_root_set(deadlines, deadlines_meld(deadlines->root, orphans));
	}
	deadline->child = deadline->next = deadline->previous = NULL;
}

void deadline_set(struct deadlines *deadlines, struct deadline *deadline, int64_t at)
{
	deadline_stop(deadlines, deadline);
	deadline->at = at;
	deadline->order = deadlines->sets++;
	deadlines_root_set(deadlines, deadlines_meld(deadlines->root, deadline));
}

struct deadline *deadline_pop(struct deadlines *deadlines, int64_t now)
{
	struct deadline *first = deadlines->root;

	if (!first || first->at > now)
		return NULL;
	deadline_stop(deadlines, first);
	return first;
}
