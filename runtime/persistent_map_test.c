#include "runtime/persistent_map.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "runtime/memory.h"

struct number {
	uint32_t references;
	int key, value;
};

static int live_count;

static struct number *number_new(int key, int value)
{
	struct number *number = memory_new_object(struct number);

	number->references = 1;
	number->key = key;
	number->value = value;
	live_count++;
	return number;
}

static int number_compare(const void *key, const void *object)
{
	int a = *(const int *)key, b = ((const struct number *)object)->key;

	return (a > b) - (a < b);
}

static const void *number_key(const void *object)
{
	return &((const struct number *)object)->key;
}

static void number_ref(void *object)
{
	((struct number *)object)->references++;
}

static void number_unref(void *object)
{
	struct number *number = object;

	if (--number->references == 0) {
		live_count--;
		free(number);
	}
}

static const struct persistent_map_type numbers = {
	number_compare, number_key, number_ref, number_unref};

static unsigned next_random(unsigned *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* Keys that are in the model, in order, and nothing else; the values too. */
static void expect_equal(struct persistent_map map, const int *model, int size)
{
	struct persistent_map_iterator iterator;
	struct number *number = persistent_map_first(&iterator, map);
	uint32_t index = 0;

	for (int key = 0; key < size; key++) {
		const struct number *found = persistent_map_get(&numbers, map, &key);

		cr_assert_eq(found != NULL, model[key] != 0);
		if (!model[key])
			continue;
		cr_assert_eq(found->value, model[key]);
		cr_assert_eq(number->key, key);
		cr_assert_eq(persistent_map_at(map, index), number);
		cr_assert_eq(persistent_map_at_or_after(&numbers, map, &key), number);
		number = persistent_map_next(&iterator);
		cr_assert_eq(persistent_map_after(&numbers, map, &key), number);
		index++;
	}
	cr_assert_null(number);
	cr_assert_eq(persistent_map_count(map), index);
	cr_assert_null(persistent_map_at(map, index));
}

/* Random puts and removes beside an array as model, with versions kept and compared later; nothing
 * is left at the end. */
Test(persistent_map, every_version_stays_as_it_was)
{
	enum { KEYS = 60, STEPS = 3000, KEPT = 40 };
	static int models[KEPT][KEYS];
	struct persistent_map map = {0}, kept[KEPT];
	int model[KEYS] = {0}, kept_count = 0;
	unsigned seed = 7;

	for (int step = 0; step < STEPS; step++) {
		int key = (int)(next_random(&seed) % KEYS);

		if (next_random(&seed) % 5 < 3) {
			cr_assert_eq(persistent_map_put(&numbers, &map, number_new(key, step + 1)),
				model[key] == 0);
			model[key] = step + 1;
		} else {
			cr_assert_eq(persistent_map_remove(&numbers, &map, &key), model[key] != 0);
			model[key] = 0;
		}
		if (step % (STEPS / KEPT) == 0) {
			memcpy(models[kept_count], model, sizeof(model));
			kept[kept_count++] = persistent_map_ref(map);
		}
	}
	expect_equal(map, model, KEYS);
	for (int i = 0; i < kept_count; i++)
		expect_equal(kept[i], models[i], KEYS);
	for (int i = 0; i < kept_count; i++)
		persistent_map_unref(&numbers, kept[i]);
	persistent_map_unref(&numbers, map);
	cr_assert_eq(live_count, 0);
}

/* Ascending keys are the worst case for a tree without balance: the iterator's path would overflow
 * its limit. */
Test(persistent_map, stays_balanced_under_ascending_keys)
{
	enum { COUNT = 100000 };
	struct persistent_map map = {0};
	struct persistent_map_iterator iterator;
	int deepest = 0;

	for (int key = 0; key < COUNT; key++)
		persistent_map_put(&numbers, &map, number_new(key, key));
	for (struct number *number = persistent_map_first(&iterator, map); number;
		number = persistent_map_next(&iterator))
		deepest = max_of(deepest, iterator.depth);
	cr_assert_leq(deepest, 40);
	for (int key = 0; key < COUNT; key++)
		cr_assert(persistent_map_remove(&numbers, &map, &key));
	cr_assert_null(map.root);
	cr_assert_eq(live_count, 0);
}

/* One put into a large shared map makes only a path of new nodes: counted by the references that
 * objects gained. */
Test(persistent_map, an_update_costs_as_much_as_the_change)
{
	enum { COUNT = 4096 };
	struct persistent_map map = {0}, old;
	int copied = 0;

	for (int key = 0; key < COUNT; key++)
		persistent_map_put(&numbers, &map, number_new(key, 1));
	old = persistent_map_ref(map);
	persistent_map_put(&numbers, &map, number_new(COUNT / 3, 2));
	persistent_map_for_each (struct number, number, old)
		copied += number->references > 1;
	cr_assert_gt(copied, 0);
	cr_assert_leq(copied, 40);
	persistent_map_unref(&numbers, old);
	persistent_map_unref(&numbers, map);
	cr_assert_eq(live_count, 0);
}

/* What persistent_map_diff told. */
struct told {
	int last_key, count;
	const int *before, *after;
};

static void tell(void *argument, void *object_before, void *object_after)
{
	struct told *told = argument;
	const struct number *before = object_before, *after = object_after;
	int key = before ? before->key : after->key;

	cr_assert_gt(key, told->last_key);
	cr_assert_eq(before ? before->value : 0, told->before[key]);
	cr_assert_eq(after ? after->value : 0, told->after[key]);
	cr_assert_neq(told->before[key], told->after[key]);
	told->last_key = key;
	told->count++;
}

/* Two versions some random steps apart, against arrays: each key that differs is told once, in
 * order, and no other. */
Test(persistent_map, a_difference_names_what_differs_and_nothing_else)
{
	enum { KEYS = 200, ROUNDS = 300 };
	struct persistent_map map = {0};
	int model[KEYS] = {0}, value = 0;
	unsigned seed = 11;

	for (int round = 0; round < ROUNDS; round++) {
		struct persistent_map old = persistent_map_ref(map);
		int old_model[KEYS], expected = 0;

		memcpy(old_model, model, sizeof(model));
		for (unsigned steps = next_random(&seed) % 20; steps > 0; steps--) {
			int key = (int)(next_random(&seed) % KEYS);
			if (next_random(&seed) % 3 == 0) {
				persistent_map_remove(&numbers, &map, &key);
				model[key] = 0;
			} else {
				persistent_map_put(&numbers, &map, number_new(key, ++value));
				model[key] = value;
			}
		}
		for (int key = 0; key < KEYS; key++)
			expected += old_model[key] != model[key];
		struct told told = {.last_key = -1, .before = old_model, .after = model};
		persistent_map_diff(&numbers, old, map, tell, &told);
		cr_assert_eq(told.count, expected);
		persistent_map_unref(&numbers, old);
	}
	persistent_map_unref(&numbers, map);
	cr_assert_eq(live_count, 0);
}
