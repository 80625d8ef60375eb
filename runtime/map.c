#include "runtime/map.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/hash.h"

void map_init(struct map *map, uint64_t seed)
{
	*map = (struct map){.bucket_count = 1, .seed = seed};
	list_init(&map->order);
}

void map_done(struct map *map)
{
	if (map->bucket_count > 1)
		free(map->buckets);
	map->buckets = NULL;
	map->bucket_count = 1;
	map->first_bucket = NULL;
	map->count = 0;
	list_init(&map->order);
}

/* Not a stored pointer for the single bucket, so that a map may be moved while it is empty. */
static struct map_node **map_buckets(const struct map *map)
{
	return map->bucket_count > 1 ? map->buckets
				     : (struct map_node **)(uintptr_t)&map->first_bucket;
}

static uint32_t map_hash(const struct map *map, const void *key, size_t key_size)
{
	return (uint32_t)hash_bytes(key, key_size, map->seed);
}

struct map_node *map_find(const struct map *map, const void *key, size_t key_size)
{
	uint32_t hash = map_hash(map, key, key_size);
	struct map_node *node = map_buckets(map)[hash & (map->bucket_count - 1)];

	while (node && (node->hash != hash || node->key_size != key_size ||
			       (key_size > 0 && memcmp(node->key, key, key_size) != 0)))
		node = node->next;
	return node;
}

/* Twice the buckets; without memory for them the map goes on with longer chains. */
static void map_grow(struct map *map)
{
	uint32_t count = map->bucket_count > 1 ? map->bucket_count * 2 : 8;

	if (count > UINT32_MAX / 4)
		return;
	struct map_node **buckets = calloc(count, sizeof(*buckets));
	if (!buckets)
		return;
	if (map->bucket_count > 1)
		free(map->buckets);
	map->buckets = buckets;
	map->bucket_count = count;
	map->first_bucket = NULL;
	map_for_each(node, map)
	{
		struct map_node **bucket = &buckets[node->hash & (count - 1)];
		node->next = *bucket;
		*bucket = node;
	}
}

void map_insert(struct map *map, struct map_node *node, const void *key, size_t key_size)
{
	ensure(!map_node_is_linked(node));
	ensure(key_size <= UINT32_MAX);
	ensure(!map_find(map, key, key_size));
	if (map->count >= map->bucket_count)
		map_grow(map);
	node->key = key;
	node->key_size = (uint32_t)key_size;
	node->hash = map_hash(map, key, key_size);
	struct map_node **bucket = &map_buckets(map)[node->hash & (map->bucket_count - 1)];
	node->next = *bucket;
	*bucket = node;
	list_push_back(&map->order, &node->order);
	map->count++;
}

void map_remove(struct map *map, struct map_node *node)
{
	ensure(map_node_is_linked(node));
	struct map_node **link = &map_buckets(map)[node->hash & (map->bucket_count - 1)];
	while (*link != node) {
		ensure(*link);
		link = &(*link)->next;
	}
	*link = node->next;
	node->next = NULL;
	list_remove(&node->order);
	map->count--;
}
