/*
 * Intrusive doubly linked lists. The node lives inside the object, so linking never allocates; a
 * zeroed node is unlinked, and linking a linked node is a broken invariant.
 *
 *	struct waiter { struct list_node node; ... };
 *	struct list waiters;
 *	list_init(&waiters);
 *	list_push_back(&waiters, &waiter->node);
 *	list_for_each (node, &waiters) {
 *		struct waiter *waiter = container_of(node, struct waiter, node);
 *	}
 */
#pragma once

#include "runtime/base.h"

struct list_node {
	struct list_node *next, *previous; /* both NULL: not linked */
};

struct list {
	struct list_node head; /* a ring through the head */
};

#define LIST_INIT(list)                                                   \
	{                                                                 \
		.head = {.next = &(list).head, .previous = &(list).head } \
	}

static inline void list_init(struct list *list)
{
	list->head.next = list->head.previous = &list->head;
}

static inline bool list_is_empty(const struct list *list)
{
	return list->head.next == &list->head;
}

static inline bool list_node_is_linked(const struct list_node *node)
{
	return node->next != NULL;
}

static inline void list_insert_between_(
	struct list_node *node, struct list_node *previous, struct list_node *next)
{
	ensure(!list_node_is_linked(node));
	node->previous = previous;
	node->next = next;
	previous->next = node;
	next->previous = node;
}

static inline void list_push_back(struct list *list, struct list_node *node)
{
	list_insert_between_(node, list->head.previous, &list->head);
}

static inline void list_push_front(struct list *list, struct list_node *node)
{
	list_insert_between_(node, &list->head, list->head.next);
}

static inline void list_insert_before(struct list_node *place, struct list_node *node)
{
	list_insert_between_(node, place->previous, place);
}

/* Unlinking an unlinked node does nothing. */
static inline void list_remove(struct list_node *node)
{
	if (!list_node_is_linked(node))
		return;
	node->previous->next = node->next;
	node->next->previous = node->previous;
	node->next = node->previous = NULL;
}

static inline struct list_node *list_first(const struct list *list)
{
	return list_is_empty(list) ? NULL : list->head.next;
}

static inline struct list_node *list_last(const struct list *list)
{
	return list_is_empty(list) ? NULL : list->head.previous;
}

static inline struct list_node *list_next(const struct list *list, const struct list_node *node)
{
	return node->next == &list->head ? NULL : node->next;
}

/* NULL when empty. */
static inline struct list_node *list_pop_front(struct list *list)
{
	struct list_node *node = list_first(list);

	if (node)
		list_remove(node);
	return node;
}

/* All nodes of FROM go behind those of TO; FROM is empty then. */
static inline void list_append_all(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->head.next->previous = to->head.previous;
	to->head.previous->next = from->head.next;
	from->head.previous->next = &to->head;
	to->head.previous = from->head.previous;
	list_init(from);
}

#define list_for_each(node, list) \
	for (struct list_node *node = (list)->head.next; node != &(list)->head; node = node->next)

/* The body may remove NODE (and only NODE). */
#define list_for_each_safe(node, list)                                               \
	for (struct list_node *node = (list)->head.next, *node##_next_ = node->next; \
		node != &(list)->head; node = node##_next_, node##_next_ = node->next)
