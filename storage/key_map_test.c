#include "storage/key_map.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const uint64_t secret[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

static bool put(struct key_map *map, int64_t key, int64_t offset)
{
	return key_map_put(map, &key, sizeof(key), offset);
}

static int64_t find(struct key_map *map, int64_t key)
{
	return key_map_find(map, &key, sizeof(key));
}

/* The function's authors publish vectors for the key 00 01 … 0f and the inputs (), (00), (00 01) …; a slot
 * holds the two words of the result. */
Test(key_map, hashes_as_published)
{
	static const struct {
		size_t size;
		uint64_t low, high;
	} vectors[] = {
		{0, 0xe6a825ba047f81a3u, 0x930255c71472f66du},
		{1, 0x44af996bd8c187dau, 0x45fc229b11597634u},
	};

	for (size_t i = 0; i < array_length(vectors); i++) {
		uint8_t input[1] = {0};
		struct key_map map;
		bool found = false;

		cr_assert_eq(key_map_init(&map, 4, 1 << 20, 0.9, secret), 0);
		cr_assert(key_map_put(&map, input, vectors[i].size, 5));
		for (uint32_t at = 0; at < map.slot_count; at++)
			found |= map.slots[at].next == 6 && map.slots[at].hash[0] == vectors[i].low &&
				 map.slots[at].hash[1] == vectors[i].high;
		cr_assert(found, "%zu", vectors[i].size);
		key_map_done(&map);
	}
}

Test(key_map, the_newest_offset_of_each_key_is_found)
{
	struct key_map map;

	cr_assert_eq(key_map_init(&map, 30000, 1 << 20, 0.9, secret), 0);
	for (int64_t i = 0; i < 30000; i++)
		cr_assert(put(&map, i % 10000, i));
	cr_assert_eq(map.count, 10000);
	cr_assert_eq(map.latest_offset, 29999);
	for (int64_t i = 0; i < 10000; i++)
		cr_assert_eq(find(&map, i), 20000 + i);
	cr_assert_eq(find(&map, 10000), -1);
	key_map_done(&map);
}

Test(key_map, is_full_when_its_memory_is_used)
{
	struct key_map map;
	int64_t i = 0;

	cr_assert_eq(key_map_init(&map, 1000000, 2400, 0.9, secret), 0);
	while (put(&map, i, i))
		i++;
	cr_assert_eq(i, 90);
	cr_assert_eq(map.latest_offset, 89);
	cr_assert_not(put(&map, 5, 200));
	cr_assert_eq(find(&map, 5), 5);
	cr_assert_eq(find(&map, 90), -1);
	key_map_done(&map);
}

Test(key_map, takes_no_more_memory_than_its_keys_need)
{
	struct key_map map;

	cr_assert_eq(key_map_init(&map, 9, UINT64_C(128) << 20, 0.9, secret), 0);
	cr_assert_leq(map.slot_count, 12);
	for (int64_t i = 0; i < 9; i++)
		cr_assert(put(&map, i, i));
	key_map_done(&map);
	cr_assert_eq(key_map_init(&map, 1, 0, 1, secret), 0);
	cr_assert(put(&map, 1, 7));
	cr_assert_eq(find(&map, 2), -1);
	key_map_done(&map);
}
