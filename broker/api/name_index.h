/*
 * Names of one request, each with its place of first appearance: answers that Kafka keeps in maps
 * name a topic once, however often the request did.
 */
#pragma once

#include "runtime/arena.h"
#include "runtime/map.h"

struct name_index_node {
	struct map_node node;
	int32_t place;
};

struct name_index {
	struct map map;
	struct name_index_node *nodes;
	int32_t count, capacity;
};

/* Room for CAPACITY names. False when the arena is exhausted. */
bool name_index_init(
	struct name_index *index, struct arena *arena, int32_t capacity, uint64_t seed);
void name_index_done(struct name_index *index);
/* The place of NAME: that of its first appearance, or a new one. NAME lives as long as the index.
 */
int32_t name_index_place(struct name_index *index, struct str name);
