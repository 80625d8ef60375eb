/*
 * Topics and partitions that a request names more than once: what Kafka keeps in maps by topic and
 * partition is answered, and done, once. Topics are noted first, in the order of the request; each
 * has a place, which is that of its first appearance. Then partitions are looked up by place.
 *
 *	merge_init; merge_topic for each topic; merge_partitions_init;
 *	merge_place(i) and merge_partition for each partition; merge_done.
 */
#pragma once

#include "broker/api/name_index.h"
#include "broker/api/seen.h"

struct merge {
	struct arena *arena;
	uint64_t seed;
	struct name_index names;
	int32_t *places; /* of the request's topics */
	int32_t *sizes;	 /* by place: partitions named, repeated ones too */
	int32_t topic_count, place_count;
	uint32_t partition_count;
	struct seen seen;
};

/* Room for TOPICS topics; false when the arena is exhausted. */
bool merge_init(struct merge *merge, struct arena *arena, int32_t topics, uint64_t seed);
void merge_done(struct merge *merge);

/* Notes the next topic of the request with so many partitions. KEY, its name or the bytes of its
 * id, lives as long as the merge. */
void merge_topic(struct merge *merge, struct str key, int32_t partitions);
/* As merge_topic, for an answer that names a topic as often as the request does. */
void merge_topic_apart(struct merge *merge, int32_t partitions);

/* The next topic of the request is in no place: it is not answered. */
void merge_topic_left_out(struct merge *merge);

/* After the last topic; false when the arena is exhausted. */
bool merge_partitions_init(struct merge *merge);

#define MERGE_LEFT_OUT (-1)

/* The place of the request's topic at INDEX. */
static inline int32_t merge_place(const struct merge *merge, int32_t index)
{
	ensure(index < merge->topic_count);
	return merge->places[index];
}

/* What the caller keeps with a partition, NULL at first: points to where it stands. */
void **merge_partition(struct merge *merge, int32_t place, int32_t partition);
