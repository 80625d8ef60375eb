#include "storage/epoch_cache.h"

#include <criterion/criterion.h>

static struct epoch_cache cache;

static void begin(void)
{
	cache = (struct epoch_cache){0};
	cr_assert_eq(epoch_cache_assign(&cache, 2, 10), 1);
	cr_assert_eq(epoch_cache_assign(&cache, 4, 20), 1);
	cr_assert_eq(epoch_cache_assign(&cache, 5, 30), 1);
}

static void end(void)
{
	epoch_cache_done(&cache);
}

TestSuite(epoch_cache, .init = begin, .fini = end);

Test(epoch_cache, an_assignment_drops_what_contradicts_it)
{
	cr_assert_eq(epoch_cache_assign(&cache, 5, 40), 0, "the epoch goes on");
	cr_assert_eq(epoch_cache_assign(&cache, 6, 25), 1);
	cr_assert_eq(cache.count, 3);
	cr_assert_eq(cache.entries[2].epoch, 6);
	cr_assert_eq(cache.entries[2].start_offset, 25);
	cr_assert_eq(epoch_cache_assign(&cache, 3, 15), 1, "an older leader won");
	cr_assert_eq(cache.count, 2);
	cr_assert_eq(epoch_cache_latest(&cache), 3);
}

/* The rows are those of Kafka's LeaderEpochFileCache.endOffsetFor. */
Test(epoch_cache, the_end_of_an_epoch)
{
	static const struct {
		int32_t epoch, found;
		int64_t end;
	} cases[] = {{-1, -1, -1}, {0, 0, 10}, {2, 2, 20}, {3, 2, 20}, {4, 4, 30}, {5, 5, 99},
		{6, -1, -1}};
	int32_t found;
	int64_t end_offset;

	for (size_t i = 0; i < array_length(cases); i++) {
		epoch_cache_end_offset(&cache, cases[i].epoch, 99, &found, &end_offset);
		cr_assert_eq(found, cases[i].found, "epoch %d: %d", cases[i].epoch, found);
		cr_assert_eq(end_offset, cases[i].end, "epoch %d", cases[i].epoch);
	}
}

Test(epoch_cache, an_offset_has_the_epoch_that_began_last_before_it)
{
	cr_assert_eq(epoch_cache_at(&cache, 9), -1);
	cr_assert_eq(epoch_cache_at(&cache, 10), 2);
	cr_assert_eq(epoch_cache_at(&cache, 29), 4);
	cr_assert_eq(epoch_cache_at(&cache, 1000), 5);
}

Test(epoch_cache, both_ends_are_cut)
{
	cr_assert_not(epoch_cache_truncate_end(&cache, 31));
	cr_assert(epoch_cache_truncate_end(&cache, 30));
	cr_assert_eq(epoch_cache_latest(&cache), 4);
	cr_assert_not(epoch_cache_truncate_start(&cache, 9));
	cr_assert(epoch_cache_truncate_start(&cache, 25));
	cr_assert_eq(cache.count, 1);
	cr_assert_eq(cache.entries[0].epoch, 4);
	cr_assert_eq(cache.entries[0].start_offset, 25);
	cr_assert_not(epoch_cache_truncate_start(&cache, 25));
	cr_assert(epoch_cache_clear(&cache));
	cr_assert_eq(epoch_cache_latest(&cache), -1);
}
