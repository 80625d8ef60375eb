/*
 * Intrusive hash maps: the node lives inside the object, so inserting never allocates on the
 * caller's behalf and never fails. Keys are byte strings that lie in the object too (or live as
 * long); iteration is in the order of insertion, so that every run sees the same.
 *
 *	struct topic { struct map_node node; struct str name; ... };
 *	struct map topics;
 *	map_init(&topics, seed);
 *	map_insert(&topics, &topic->node, topic->name.data, topic->name.size);
 *	struct topic *found = map_find_entry(&topics, name.data, name.size, struct topic, node);
 *	map_for_each (node, &topics) {
 *		struct topic *topic = map_entry(node, struct topic, node);
 *	}
 */
#pragma once

#include "runtime/list.h"

struct map_node {
	struct map_node *next; /* in its bucket */
	struct list_node order;
	const void *key;
	uint32_t key_size; /* bytes */
	uint32_t hash;
};

struct map {
	struct map_node **buckets;
	struct map_node *first_bucket; /* an empty map has one bucket, and needs no memory */
	uint32_t bucket_count;	       /* a power of two */
	uint32_t count;
	uint64_t seed;
	struct list order;
};

void map_init(struct map *map, uint64_t seed);
/* Frees the buckets; the nodes are the caller's. */
void map_done(struct map *map);

/* NULL when there is none. */
struct map_node *map_find(const struct map *map, const void *key, size_t key_size);
/* The key must not be there yet, and stays alive and unchanged as long as the node is in the map.
 */
void map_insert(struct map *map, struct map_node *node, const void *key, size_t key_size);
/* NODE must be in the map. */
void map_remove(struct map *map, struct map_node *node);

static inline bool map_node_is_linked(const struct map_node *node)
{
	return list_node_is_linked(&node->order);
}

static inline struct map_node *map_first(const struct map *map)
{
	struct list_node *node = list_first(&map->order);

	return node ? container_of(node, struct map_node, order) : NULL;
}

static inline struct map_node *map_next(const struct map *map, const struct map_node *node)
{
	struct list_node *next = list_next(&map->order, &node->order);

	return next ? container_of(next, struct map_node, order) : NULL;
}

#define map_entry(node, type, member) container_of(node, type, member)

#define map_find_entry(map, key, key_size, type, member)                      \
	({                                                                    \
		struct map_node *found_ = map_find((map), (key), (key_size)); \
		found_ ? container_of(found_, type, member) : NULL;           \
	})

#define map_for_each(node, map) \
	for (struct map_node *node = map_first(map); node; node = map_next((map), node))

/* The body may remove NODE (and only NODE). */
#define map_for_each_safe(node, map)                                              \
	for (struct map_node *node = map_first(map),                              \
			     *node##_next_ = node ? map_next((map), node) : NULL; \
		node; node = node##_next_, node##_next_ = node ? map_next((map), node) : NULL)
