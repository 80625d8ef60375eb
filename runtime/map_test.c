#include "runtime/map.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct entry {
	struct map_node node;
	uint64_t key;
	bool in;
};

/* Random inserts and removals against a flag in each entry: the map finds exactly what is in it. */
Test(map, finds_what_was_inserted_and_nothing_else)
{
	enum { COUNT = 2000 };
	static struct entry entries[COUNT];
	struct map map;
	unsigned present = 0;

	srand(7);
	map_init(&map, 42);
	for (int i = 0; i < COUNT; i++)
		entries[i].key = (uint64_t)i;
	for (int i = 0; i < 50000; i++) {
		struct entry *entry = &entries[rand() % COUNT];
		if (entry->in) {
			map_remove(&map, &entry->node);
			present--;
		} else {
			map_insert(&map, &entry->node, &entry->key, sizeof(entry->key));
			present++;
		}
		entry->in = !entry->in;
		struct entry *probe = &entries[rand() % COUNT];
		struct entry *found =
			map_find_entry(&map, &probe->key, sizeof(probe->key), struct entry, node);
		cr_assert_eq(found, probe->in ? probe : NULL);
	}
	cr_assert_eq(map.count, present);
	map_done(&map);
}

/* Order of iteration is order of insertion, whatever was removed in between. */
Test(map, iterates_in_the_order_of_insertion)
{
	struct entry entries[100] = {0};
	struct map map;
	uint64_t last = 0;

	map_init(&map, 1);
	for (int i = 0; i < 100; i++) {
		entries[i].key = (uint64_t)i + 1;
		map_insert(&map, &entries[i].node, &entries[i].key, sizeof(entries[i].key));
	}
	for (int i = 0; i < 100; i += 3)
		map_remove(&map, &entries[i].node);
	map_for_each(node, &map)
	{
		struct entry *entry = map_entry(node, struct entry, node);
		cr_assert_gt(entry->key, last);
		last = entry->key;
	}
	cr_assert_eq(map.count, 66);
	map_for_each_safe(node, &map) map_remove(&map, node);
	cr_assert_eq(map.count, 0);
	map_done(&map);
}
