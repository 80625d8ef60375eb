#include "broker/api/name_index.h"

bool name_index_init(struct name_index *index, struct arena *arena, int32_t capacity, uint64_t seed)
{
	index->nodes = arena_new_array(arena, struct name_index_node, (size_t)capacity);
	index->count = 0;
	index->capacity = capacity;
	map_init(&index->map, seed);
	return index->nodes != NULL;
}

void name_index_done(struct name_index *index)
{
	map_done(&index->map);
}

int32_t name_index_place(struct name_index *index, struct str name)
{
	size_t size = (size_t)max_of(name.size, 0);
	struct name_index_node *node =
		map_find_entry(&index->map, name.data, size, struct name_index_node, node);

	if (node)
		return node->place;
	ensure(index->count < index->capacity);
	node = &index->nodes[index->count];
	node->place = index->count++;
	map_insert(&index->map, &node->node, name.data, size);
	return node->place;
}
