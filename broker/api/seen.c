#include "broker/api/seen.h"

bool seen_init(struct seen *seen, struct arena *arena, uint32_t count, uint32_t seed)
{
	uint32_t size = 8;

	ensure(count <= UINT32_MAX / 4);
	while (size < count * 2)
		size *= 2;
	seen->slots = arena_new_array(arena, struct seen_slot, size);
	seen->mask = size - 1;
	seen->seed = seed;
	return seen->slots != NULL;
}

void **seen_add(struct seen *seen, const void *topic, int32_t index)
{
	/* A multiplicative hash; the seed keeps a client from choosing partitions that collide. */
	uint64_t hash =
		(uint64_t)(uintptr_t)topic + ((uint64_t)(uint32_t)index << 22) + seen->seed;

	hash *= 0x9e3779b97f4a7c15u;
	hash ^= hash >> 29;
	hash *= 0xbf58476d1ce4e5b9u;
	for (uint32_t place = (uint32_t)(hash >> 32);; place++) {
		struct seen_slot *slot = &seen->slots[place & seen->mask];
		if (!slot->topic) {
			*slot = (struct seen_slot){.topic = topic, .index = index};
			return &slot->value;
		}
		if (slot->topic == topic && slot->index == index)
			return &slot->value;
	}
}
