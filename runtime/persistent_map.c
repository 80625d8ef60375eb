#include "runtime/persistent_map.h"

#include <stdlib.h>

#include "runtime/memory.h"

/*
 * A weight-balanced tree (Adams; with the parameters that Hirai and Yamamoto proved right for all
 * operations). With weight = size + 1, neither subtree weighs more than BALANCE times the other.
 */
enum { BALANCE = 3, SINGLE = 2 };

struct persistent_node {
	uint32_t references; /* atomic */
	uint32_t size;	     /* of the subtree, this node counted */
	struct persistent_node *left, *right;
	void *object;
};

static uint32_t size_of(const struct persistent_node *node)
{
	return node ? node->size : 0;
}

static struct persistent_node *node_ref(struct persistent_node *node)
{
	if (node)
		__atomic_add_fetch(&node->references, 1, __ATOMIC_RELAXED);
	return node;
}

static void node_unref(const struct persistent_map_type *type, struct persistent_node *node)
{
	/* To the right by the loop, to the left by recursion, which is as deep as the tree. */
	while (node && __atomic_sub_fetch(&node->references, 1, __ATOMIC_ACQ_REL) == 0) {
		struct persistent_node *right = node->right;

		node_unref(type, node->left);
		type->unref(node->object);
		free(node);
		node = right;
	}
}

/* A node that only the caller holds, with NODE's content; the caller's reference to NODE is used
 * up. */
static struct persistent_node *node_own(
	const struct persistent_map_type *type, struct persistent_node *node)
{
	struct persistent_node *copy;

	if (__atomic_load_n(&node->references, __ATOMIC_ACQUIRE) == 1)
		return node;
	copy = memory_new_object(struct persistent_node);
	copy->references = 1;
	copy->size = node->size;
	copy->left = node_ref(node->left);
	copy->right = node_ref(node->right);
	copy->object = node->object;
	type->ref(copy->object);
	node_unref(type, node);
	return copy;
}

static void resize(struct persistent_node *node)
{
	node->size = size_of(node->left) + size_of(node->right) + 1;
}

/* The owned NODE goes down to the left, its right child comes up; the result is owned. */
static struct persistent_node *rotate_left(
	const struct persistent_map_type *type, struct persistent_node *node)
{
	struct persistent_node *top = node_own(type, node->right);

	node->right = top->left;
	top->left = node;
	resize(node);
	resize(top);
	return top;
}

static struct persistent_node *rotate_right(
	const struct persistent_map_type *type, struct persistent_node *node)
{
	struct persistent_node *top = node_own(type, node->left);

	node->left = top->right;
	top->right = node;
	resize(node);
	resize(top);
	return top;
}

/* Restores the balance of an owned NODE whose subtrees are balanced and one of which changed by one
 * object. */
static struct persistent_node *balance(
	const struct persistent_map_type *type, struct persistent_node *node)
{
	uint64_t left = (uint64_t)size_of(node->left) + 1,
		 right = (uint64_t)size_of(node->right) + 1;

	resize(node);
	if (right > BALANCE * left) {
		const struct persistent_node *heavy = node->right;

		if ((uint64_t)size_of(heavy->left) + 1 >=
			SINGLE * ((uint64_t)size_of(heavy->right) + 1)) {
			node->right = rotate_right(type, node_own(type, node->right));
			resize(node);
		}
		return rotate_left(type, node);
	}
	if (left > BALANCE * right) {
		const struct persistent_node *heavy = node->left;

		if ((uint64_t)size_of(heavy->right) + 1 >=
			SINGLE * ((uint64_t)size_of(heavy->left) + 1)) {
			node->left = rotate_left(type, node_own(type, node->left));
			resize(node);
		}
		return rotate_right(type, node);
	}
	return node;
}

static struct persistent_node *insert(const struct persistent_map_type *type,
	struct persistent_node *node, void *object, const void *key, bool *ret_new)
{
	int order;

	if (!node) {
		node = memory_new_object(struct persistent_node);
		node->references = 1;
		node->size = 1;
		node->object = object;
		*ret_new = true;
		return node;
	}
	node = node_own(type, node);
	order = type->compare(key, node->object);
	if (order == 0) {
		void *replaced = node->object;

		node->object = object;
		type->unref(replaced);
		*ret_new = false;
		return node;
	}
	if (order < 0)
		node->left = insert(type, node->left, object, key, ret_new);
	else
		node->right = insert(type, node->right, object, key, ret_new);
	return balance(type, node);
}

/* Takes the first node out of an owned subtree; *ret_first is owned, alone. */
static struct persistent_node *take_first(const struct persistent_map_type *type,
	struct persistent_node *node, struct persistent_node **ret_first)
{
	node = node_own(type, node);
	if (!node->left) {
		struct persistent_node *rest = node->right;

		node->right = NULL;
		*ret_first = node;
		return rest;
	}
	node->left = take_first(type, node->left, ret_first);
	return balance(type, node);
}

static struct persistent_node *delete (const struct persistent_map_type *type,
	struct persistent_node *node, const void *key, void **ret_object)
{
	int order;

	node = node_own(type, node);
	order = type->compare(key, node->object);
	if (order < 0) {
		node->left = delete (type, node->left, key, ret_object);
	} else if (order > 0) {
		node->right = delete (type, node->right, key, ret_object);
	} else {
		struct persistent_node *left = node->left, *right = node->right, *first;

		*ret_object = node->object;
		free(node);
		if (!left || !right)
			return left ? left : right;
		right = take_first(type, right, &first);
		first->left = left;
		first->right = right;
		node = first;
	}
	return balance(type, node);
}

struct persistent_map persistent_map_ref(struct persistent_map map)
{
	node_ref(map.root);
	return map;
}

void persistent_map_unref(const struct persistent_map_type *type, struct persistent_map map)
{
	node_unref(type, map.root);
}

bool persistent_map_put(
	const struct persistent_map_type *type, struct persistent_map *map, void *object)
{
	bool is_new = false;

	map->root = insert(type, map->root, object, type->key(object), &is_new);
	return is_new;
}

bool persistent_map_remove(
	const struct persistent_map_type *type, struct persistent_map *map, const void *key)
{
	void *object = NULL;

	if (!persistent_map_get(type, *map, key))
		return false;
	map->root = delete (type, map->root, key, &object);
	ensure(object);
	type->unref(object);
	return true;
}

void *persistent_map_get(
	const struct persistent_map_type *type, struct persistent_map map, const void *key)
{
	const struct persistent_node *node = map.root;

	while (node) {
		int order = type->compare(key, node->object);

		if (order == 0)
			return node->object;
		node = order < 0 ? node->left : node->right;
	}
	return NULL;
}

/* The first object whose key is above KEY, or not below it. */
static void *search_up(const struct persistent_map_type *type, struct persistent_map map,
	const void *key, bool inclusive)
{
	const struct persistent_node *node = map.root, *best = NULL;

	while (node) {
		int order = type->compare(key, node->object);

		if (order < 0 || (inclusive && order == 0)) {
			best = node;
			node = node->left;
		} else {
			node = node->right;
		}
	}
	return best ? best->object : NULL;
}

void *persistent_map_at_or_after(
	const struct persistent_map_type *type, struct persistent_map map, const void *key)
{
	return search_up(type, map, key, true);
}

void *persistent_map_after(
	const struct persistent_map_type *type, struct persistent_map map, const void *key)
{
	return search_up(type, map, key, false);
}

void *persistent_map_at(struct persistent_map map, uint32_t index)
{
	const struct persistent_node *node = map.root;

	while (node) {
		uint32_t before = size_of(node->left);

		if (index == before)
			return node->object;
		if (index < before) {
			node = node->left;
		} else {
			index -= before + 1;
			node = node->right;
		}
	}
	return NULL;
}

uint32_t persistent_map_count(struct persistent_map map)
{
	return size_of(map.root);
}

static void push_left(struct persistent_map_iterator *iterator, const struct persistent_node *node)
{
	for (; node; node = node->left) {
		ensure(iterator->depth < PERSISTENT_MAP_DEPTH_MAX);
		iterator->path[iterator->depth++] = node;
	}
}

/* The path's top is the node whose object comes next. */
static void *current(const struct persistent_map_iterator *iterator)
{
	return iterator->depth > 0 ? iterator->path[iterator->depth - 1]->object : NULL;
}

void *persistent_map_first(struct persistent_map_iterator *iterator, struct persistent_map map)
{
	iterator->depth = 0;
	push_left(iterator, map.root);
	return current(iterator);
}

void *persistent_map_next(struct persistent_map_iterator *iterator)
{
	const struct persistent_node *node;

	ensure(iterator->depth > 0);
	node = iterator->path[--iterator->depth];
	push_left(iterator, node->right);
	return current(iterator);
}

/* ---- differences ---- */

/* What is left of one version, next key on top: whole subtrees, and nodes whose left side is done.
 */
struct diff_cursor {
	struct {
		const struct persistent_node *node;
		bool whole;
	} stack[2 * PERSISTENT_MAP_DEPTH_MAX];
	int depth;
};

static void diff_push(struct diff_cursor *cursor, const struct persistent_node *node, bool whole)
{
	if (!node)
		return;
	ensure(cursor->depth < 2 * PERSISTENT_MAP_DEPTH_MAX);
	cursor->stack[cursor->depth].node = node;
	cursor->stack[cursor->depth++].whole = whole;
}

/* Opens the subtree on top: its left side, the node, its right side. */
static void diff_open(struct diff_cursor *cursor)
{
	const struct persistent_node *node = cursor->stack[--cursor->depth].node;

	diff_push(cursor, node->right, true);
	diff_push(cursor, node, false);
	diff_push(cursor, node->left, true);
}

static bool diff_top_is_whole(const struct diff_cursor *cursor)
{
	return cursor->depth > 0 && cursor->stack[cursor->depth - 1].whole;
}

static const struct persistent_node *diff_top(const struct diff_cursor *cursor)
{
	return cursor->depth > 0 ? cursor->stack[cursor->depth - 1].node : NULL;
}

void persistent_map_diff(const struct persistent_map_type *type, struct persistent_map before,
	struct persistent_map after,
	void (*changed)(void *argument, void *object_before, void *object_after), void *argument)
{
	struct diff_cursor a = {.depth = 0}, b = {.depth = 0};

	diff_push(&a, before.root, true);
	diff_push(&b, after.root, true);
	while (a.depth > 0 || b.depth > 0) {
		const struct persistent_node *left = diff_top(&a), *right = diff_top(&b);
		bool left_whole = diff_top_is_whole(&a), right_whole = diff_top_is_whole(&b);

		if (left_whole && right_whole && left == right) {
			a.depth--;
			b.depth--;
			continue;
		}
		/* The larger subtree is opened first, so that equal ones come to lie opposite. */
		if (left_whole && (!right_whole || left->size >= right->size)) {
			diff_open(&a);
			continue;
		}
		if (right_whole) {
			diff_open(&b);
			continue;
		}
		int order = !left    ? 1
			    : !right ? -1
				     : type->compare(type->key(left->object), right->object);
		if (order <= 0)
			a.depth--;
		if (order >= 0)
			b.depth--;
		if (order < 0)
			changed(argument, left->object, NULL);
		else if (order > 0)
			changed(argument, NULL, right->object);
		else if (left->object != right->object)
			changed(argument, left->object, right->object);
	}
}
