#include "runtime/arena.h"

#include <criterion/criterion.h>

#include "runtime/buffer.h"

/* Allocates until NULL and sums what was handed out: the sum never passes the limit. */
Test(arena, never_grows_beyond_its_limit)
{
	struct arena arena;
	size_t total = 0;

	arena_init(&arena, 100000);
	while (arena_alloc(&arena, 1000))
		total += 1000;
	cr_assert_leq(total, 100000);
	cr_assert_geq(total, 90000);
	cr_assert_leq(arena.used_bytes, 100000);
	cr_assert_null(arena_alloc(&arena, SIZE_MAX));
	cr_assert_null(arena_alloc_zero(&arena, SIZE_MAX / 2, 4));
	arena_done(&arena);
}

/* Fills several blocks, resets, and allocates again: memory use does not add up over uses. */
Test(arena, reset_keeps_one_block)
{
	struct arena arena;

	arena_init(&arena, 1 << 20);
	for (int i = 0; i < 1000; i++)
		cr_assert_not_null(arena_alloc(&arena, 512));
	arena_reset(&arena);
	cr_assert_leq(arena.used_bytes, 4096);
	cr_assert_not_null(arena_alloc(&arena, 512));
	arena_done(&arena);
}

/* Beyond what is free of charge all blocks count, the first ones too, until they are given back. */
Test(arena, is_charged_for_what_it_holds_as_it_grows)
{
	struct buffer_budget *budget = buffer_budget_new(1, 1 << 20);
	struct arena arena;

	arena_init(&arena, 1 << 20);
	arena_charge_to(&arena, budget, 8192);
	for (int i = 0; i < 6; i++)
		cr_assert_not_null(arena_alloc(&arena, 1024));
	cr_expect_eq(buffer_budget_used(budget), 0, "an ordinary one costs nothing");
	for (int i = 0; i < 100; i++) {
		cr_assert_not_null(arena_alloc(&arena, 1024));
		cr_expect_eq(arena_charged_bytes(&arena), buffer_budget_used(budget));
		if (arena.used_bytes > 8192)
			cr_expect_eq(buffer_budget_used(budget), arena.used_bytes);
	}
	cr_expect_gt(buffer_budget_used(budget), 100 * 1024);
	arena_discharge(&arena, NULL);
	cr_expect_eq(buffer_budget_used(budget), 0);
	arena_reset(&arena);
	/* In its next use it is charged again. */
	cr_assert_not_null(arena_alloc(&arena, 100000));
	cr_expect_eq(buffer_budget_used(budget), arena.used_bytes);
	arena_discharge(&arena, NULL);
	arena_done(&arena);
	buffer_budget_free(budget);
}

/* A null string stays null, an empty one stays empty. */
Test(arena, copies_strings_with_their_nullness)
{
	struct arena arena;

	arena_init(&arena, 1 << 20);
	cr_assert(str_is_null(arena_str(&arena, STR_NULL)));
	cr_assert(str_equal(arena_str(&arena, STR("")), STR("")));
	cr_assert(str_equal(arena_str(&arena, STR("topic")), STR("topic")));
	cr_assert_str_eq(arena_printf(&arena, "%s-%d", "topic", 7), "topic-7");
	arena_done(&arena);
}
