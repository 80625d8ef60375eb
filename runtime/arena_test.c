#include "runtime/arena.h"

#include <criterion/criterion.h>

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
