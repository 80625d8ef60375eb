/*
 * Persistent ordered maps: a version of a map never changes; putting or removing gives a new
 * version that shares all but the path to the change with the old one (a weight-balanced tree,
 * O(log n) new nodes). Versions and objects are counted by references with atomic counters, so
 * any number of threads may read and drop versions, while each makes new ones only from versions
 * it owns. Where nobody else holds a node it is changed in place, so building a map costs no
 * copies.
 *
 *	struct persistent_map topics = {0};
 *	persistent_map_put(&topic_map_type, &topics, topic);	// takes over the reference
 *	struct persistent_map snapshot = persistent_map_ref(topics);
 *	persistent_map_remove(&topic_map_type, &topics, &name);	// snapshot still has it
 *	persistent_map_for_each (iterator, object, topics) ...
 *	persistent_map_unref(&topic_map_type, snapshot);
 */
#pragma once

#include "runtime/base.h"

struct persistent_node;

/* How the objects of a kind of map are compared and counted. */
struct persistent_map_type {
	int (*compare)(const void *key, const void *object); /* sign of key - object's key */
	const void *(*key)(const void *object);
	void (*ref)(void *object);
	void (*unref)(void *object);
};

/* A version; zeroed it is the empty one. A value: assignment moves, persistent_map_ref copies. */
struct persistent_map {
	struct persistent_node *root;
};

struct persistent_map persistent_map_ref(struct persistent_map map);
void persistent_map_unref(const struct persistent_map_type *type, struct persistent_map map);

/* Replaces *MAP by the version that has OBJECT under its key (in place of another, which is let
 * go); takes over the caller's reference to OBJECT. True when the key was not there before. */
bool persistent_map_put(
	const struct persistent_map_type *type, struct persistent_map *map, void *object);
/* Replaces *MAP by the version without KEY; false when it was not there. KEY may lie in the object
 * that goes. */
bool persistent_map_remove(
	const struct persistent_map_type *type, struct persistent_map *map, const void *key);

/* Borrowed from the map; NULL when there is none. */
void *persistent_map_get(
	const struct persistent_map_type *type, struct persistent_map map, const void *key);
/* The first object whose key is not below KEY. */
void *persistent_map_at_or_after(
	const struct persistent_map_type *type, struct persistent_map map, const void *key);
/* The first object whose key is above KEY. */
void *persistent_map_after(
	const struct persistent_map_type *type, struct persistent_map map, const void *key);
/* The object at INDEX in order, from 0; NULL behind the last. */
void *persistent_map_at(struct persistent_map map, uint32_t index);
uint32_t persistent_map_count(struct persistent_map map);

/*
 * Calls CHANGED for every key at which two versions differ, in ascending order, with the objects of
 * both; NULL on the side that lacks it. What the versions share is skipped, so the cost is that of
 * the change, not of the maps.
 */
void persistent_map_diff(const struct persistent_map_type *type, struct persistent_map before,
	struct persistent_map after,
	void (*changed)(void *argument, void *object_before, void *object_after), void *argument);

/* Deep enough for 2^32 objects at the balance that is kept. */
#define PERSISTENT_MAP_DEPTH_MAX 80

struct persistent_map_iterator {
	const struct persistent_node *path[PERSISTENT_MAP_DEPTH_MAX];
	int depth;
};

/* In ascending order; NULL at the end. The map must be held meanwhile. */
void *persistent_map_first(struct persistent_map_iterator *iterator, struct persistent_map map);
void *persistent_map_next(struct persistent_map_iterator *iterator);

#define persistent_map_for_each(type, object, map)                                            \
	for (struct persistent_map_iterator object##_iterator_,                               \
		*object##_once_ = &object##_iterator_;                                        \
		object##_once_; object##_once_ = NULL)                                        \
		for (type *object = persistent_map_first(&object##_iterator_, (map)); object; \
			object = persistent_map_next(&object##_iterator_))
