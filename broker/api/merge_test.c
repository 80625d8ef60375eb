/*
 * What a request names more than once, read as the order in which an answer would name it: each
 * test notes topics as a handler does and looks at the places and at what is kept with partitions.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "broker/api/merge.h"

static struct arena arena;
static struct merge merge;

static void merge_begin(int32_t topics)
{
	arena_init(&arena, 1 << 20);
	cr_assert(merge_init(&merge, &arena, topics, 42));
}

static void merge_end(void)
{
	merge_done(&merge);
	arena_done(&arena);
}

Test(merge, a_topic_named_twice_has_the_place_of_its_first_appearance)
{
	merge_begin(4);
	merge_topic(&merge, str_from("a"), 1);
	merge_topic(&merge, str_from("b"), 2);
	merge_topic(&merge, str_from("a"), 3);
	merge_topic(&merge, str_from(""), 0);
	cr_assert(merge_partitions_init(&merge));
	cr_expect_eq(merge_place(&merge, 0), 0);
	cr_expect_eq(merge_place(&merge, 1), 1);
	cr_expect_eq(merge_place(&merge, 2), 0);
	cr_expect_eq(merge_place(&merge, 3), 2);
	cr_expect_eq(merge.place_count, 3);
	cr_expect_eq(merge.sizes[0], 4, "room for the partitions of both");
	cr_expect_eq(merge.sizes[1], 2);
	merge_end();
}

Test(merge, a_topic_left_out_takes_no_place)
{
	merge_begin(3);
	merge_topic(&merge, str_from("a"), 1);
	merge_topic_left_out(&merge);
	merge_topic(&merge, str_from("b"), 1);
	cr_assert(merge_partitions_init(&merge));
	cr_expect_eq(merge_place(&merge, 0), 0);
	cr_expect_eq(merge_place(&merge, 1), MERGE_LEFT_OUT);
	cr_expect_eq(merge_place(&merge, 2), 1);
	merge_end();
}

Test(merge, an_answer_may_name_a_topic_as_often_as_the_request)
{
	merge_begin(2);
	merge_topic_apart(&merge, 1);
	merge_topic_apart(&merge, 1);
	cr_assert(merge_partitions_init(&merge));
	cr_expect_eq(merge_place(&merge, 0), 0);
	cr_expect_eq(merge_place(&merge, 1), 1);
	*merge_partition(&merge, 0, 7) = &merge;
	cr_expect_null(*merge_partition(&merge, 1, 7), "the same partition of another place");
	merge_end();
}

/* Every pair of 50 places and 50 partitions, each named twice. */
Test(merge, what_is_kept_with_a_partition_is_found_when_it_is_named_again)
{
	enum { COUNT = 50 };
	static char names[COUNT][4];
	static int kept[COUNT][COUNT];

	merge_begin(2 * COUNT);
	for (int i = 0; i < 2 * COUNT; i++) {
		snprintf(names[i % COUNT], sizeof(names[0]), "%d", i % COUNT);
		merge_topic(&merge, str_from(names[i % COUNT]), COUNT);
	}
	cr_assert(merge_partitions_init(&merge));
	for (int i = 0; i < 2 * COUNT; i++) {
		for (int p = 0; p < COUNT; p++) {
			void **value = merge_partition(&merge, merge_place(&merge, i), p);
			void *mine = &kept[i % COUNT][p];

			cr_assert_eq(*value, i < COUNT ? NULL : mine, "topic %d, partition %d", i, p);
			*value = mine;
		}
	}
	merge_end();
}

Test(merge, a_count_below_zero_counts_as_none)
{
	merge_begin(2);
	merge_topic(&merge, str_from("a"), -1);
	merge_topic(&merge, str_from("a"), 2);
	cr_assert(merge_partitions_init(&merge));
	cr_expect_eq(merge.sizes[0], 2);
	merge_end();
}

Test(merge, says_so_when_the_arena_is_exhausted)
{
	struct merge none;

	arena_init(&arena, 128);
	cr_expect_not(merge_init(&none, &arena, 1000, 42));
	merge_done(&none);
	arena_done(&arena);
}
