/*
 * A set of (topic, partition) pairs that one request has named, to tell duplicates in linear time.
 * Topics are told apart by an address of theirs: of the image's topic, of a place in the request.
 */
#pragma once

#include "runtime/arena.h"

struct seen_slot {
	const void *topic; /* NULL: free */
	int32_t index;
	void *value;
};

struct seen {
	struct seen_slot *slots;
	uint32_t mask;
	uint32_t seed;
};

/* Room for COUNT pairs. False when the arena is exhausted. */
bool seen_init(struct seen *seen, struct arena *arena, uint32_t count, uint32_t seed);
/* The value kept with a pair, which is NULL at first: points to where the caller keeps its own.
 * TOPIC is not NULL. */
void **seen_add(struct seen *seen, const void *topic, int32_t index);
