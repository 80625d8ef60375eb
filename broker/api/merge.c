#include "broker/api/merge.h"

bool merge_init(struct merge *merge, struct arena *arena, int32_t topics, uint64_t seed)
{
	*merge = (struct merge){
		.arena = arena,
		.seed = seed,
		.places = arena_new_array(arena, int32_t, (size_t)topics),
		.sizes = arena_new_array(arena, int32_t, (size_t)topics),
	};
	return name_index_init(&merge->names, arena, topics, seed) && merge->places && merge->sizes;
}

void merge_done(struct merge *merge)
{
	name_index_done(&merge->names);
}

static void merge_topic_at(struct merge *merge, int32_t place, int32_t partitions)
{
	ensure(merge->topic_count < merge->names.capacity);
	merge->places[merge->topic_count++] = place;
	merge->place_count = max_of(merge->place_count, place + 1);
	merge->sizes[place] += max_of(partitions, 0);
	merge->partition_count += (uint32_t)max_of(partitions, 0);
}

void merge_topic(struct merge *merge, struct str key, int32_t partitions)
{
	merge_topic_at(merge, name_index_place(&merge->names, key), partitions);
}

void merge_topic_apart(struct merge *merge, int32_t partitions)
{
	merge_topic_at(merge, merge->place_count, partitions);
}

void merge_topic_left_out(struct merge *merge)
{
	ensure(merge->topic_count < merge->names.capacity);
	merge->places[merge->topic_count++] = MERGE_LEFT_OUT;
}

bool merge_partitions_init(struct merge *merge)
{
	return seen_init(&merge->seen, merge->arena, merge->partition_count, (uint32_t)merge->seed);
}

void **merge_partition(struct merge *merge, int32_t place, int32_t partition)
{
	/* Places are told apart by where their sizes stand. */
	return seen_add(&merge->seen, &merge->sizes[place], partition);
}
