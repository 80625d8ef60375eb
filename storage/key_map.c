#include "storage/key_map.h"

#include <errno.h>
#include <stdlib.h>

#include "runtime/bytes.h"

_Static_assert(sizeof(struct key_map_slot) == KEY_MAP_SLOT_SIZE, "three words");

/* ---- SipHash-2-4 with 128 bits ---- */

static inline uint64_t rotated(uint64_t value, int bits)
{
	return value << bits | value >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotated(v[1], 13) ^ v[0];
	v[0] = rotated(v[0], 32);
	v[2] += v[3];
	v[3] = rotated(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotated(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotated(v[1], 17) ^ v[2];
	v[2] = rotated(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

static uint64_t little_endian(const uint8_t *bytes, size_t size)
{
	uint64_t word = 0;

	for (size_t i = 0; i < size; i++)
		word |= (uint64_t)bytes[i] << (8 * i);
	return word;
}

static void sip_hash(
	const uint64_t secret[2], const uint8_t *data, size_t size, uint64_t ret_hash[2])
{
	uint64_t v[4] = {
		0x736f6d6570736575u ^ secret[0],
		0x646f72616e646f6du ^ secret[1] ^ 0xee,
		0x6c7967656e657261u ^ secret[0],
		0x7465646279746573u ^ secret[1],
	};
	size_t at = 0;

	for (; at + 8 <= size; at += 8)
		sip_word(v, little_endian(data + at, 8));
	sip_word(v, little_endian(data + at, size - at) | (uint64_t)size << 56);
	v[2] ^= 0xee;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	ret_hash[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
	v[1] ^= 0xdd;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	ret_hash[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- the map ---- */

int key_map_init(struct key_map *map, uint64_t keys, uint64_t memory_bytes, double load_factor,
	const uint64_t secret[2])
{
	uint64_t slots = memory_bytes / KEY_MAP_SLOT_SIZE, count_max;

	ensure(load_factor > 0 && load_factor <= 1);
	slots = min_of(max_of(slots, UINT64_C(2)), (uint64_t)UINT32_MAX);
	count_max = (uint64_t)((double)slots * load_factor);
	if (keys < count_max) {
		count_max = keys;
		slots = min_of((uint64_t)((double)keys / load_factor) + 2, slots);
	}
	/* A search ends at an empty slot. */
	count_max = min_of(max_of(count_max, UINT64_C(1)), slots - 1);
	*map = (struct key_map){
		.slots = calloc((size_t)slots, sizeof(*map->slots)),
		.slot_count = (uint32_t)slots,
		.count_max = (uint32_t)count_max,
		.latest_offset = -1,
		.secret = {secret[0], secret[1]},
	};
	return map->slots ? 0 : -ENOMEM;
}

void key_map_done(struct key_map *map)
{
	free(map->slots);
	map->slots = NULL;
}

/* Its slot, or the empty one where it would go. */
static struct key_map_slot *slot_find(const struct key_map *map, const uint64_t hash[2])
{
	uint32_t at = (uint32_t)(((unsigned __int128)hash[0] * map->slot_count) >> 64);

	for (;; at = at + 1 == map->slot_count ? 0 : at + 1) {
		struct key_map_slot *slot = &map->slots[at];

		if (slot->next == 0 || (slot->hash[0] == hash[0] && slot->hash[1] == hash[1]))
			return slot;
	}
}

bool key_map_put(struct key_map *map, const void *key, size_t size, int64_t offset)
{
	struct key_map_slot *slot;
	uint64_t hash[2];

	ensure(offset > map->latest_offset);
	if (map->count >= map->count_max)
		return false;
	sip_hash(map->secret, key, size, hash);
	slot = slot_find(map, hash);
	if (slot->next == 0) {
		slot->hash[0] = hash[0];
		slot->hash[1] = hash[1];
		map->count++;
	}
	slot->next = offset + 1;
	map->latest_offset = offset;
	return true;
}

int64_t key_map_find(const struct key_map *map, const void *key, size_t size)
{
	uint64_t hash[2];

	sip_hash(map->secret, key, size, hash);
	return slot_find(map, hash)->next - 1;
}
