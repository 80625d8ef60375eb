/* Histograms against sorted lists of the same values. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tools/benchmark/histogram.h"

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

Test(histogram, quantiles_are_within_one_percent_of_the_sorted_values)
{
	/* Values over nine powers of ten, as latencies with rare stalls are. */
	enum { COUNT = 20000 };
	static struct histogram histogram;
	static uint64_t values[COUNT];
	const double quantiles[] = {0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1};
	uint64_t seed = 1;

	for (int i = 0; i < COUNT; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		values[i] = (seed >> 33) >> (seed % 30);
		histogram_add(&histogram, values[i]);
	}
	qsort(values, COUNT, sizeof(*values), by_value);
	for (size_t i = 0; i < array_length(quantiles); i++) {
		uint64_t exact = values[(int)(quantiles[i] * COUNT + 0.5) - 1];
		uint64_t got = histogram_quantile(&histogram, quantiles[i]);

		cr_assert(got >= exact && got <= exact + exact / 100 + 1, "%g: %lu for %lu",
			quantiles[i], got, exact);
	}
	cr_assert_eq(histogram_quantile(&histogram, 1), values[COUNT - 1]);
}

Test(histogram, every_counter_ends_where_the_next_begins)
{
	/* For each power of two: its value and the one below it land in counters that hold them. */
	for (int bit = 0; bit < HISTOGRAM_VALUE_BITS; bit++) {
		for (int below = 0; below < 2; below++) {
			struct histogram *one = calloc(1, sizeof(*one));
			uint64_t value = (UINT64_C(1) << bit) - (uint64_t)below;

			histogram_add(one, value);
			histogram_add(one, UINT64_C(1) << 39);
			cr_assert(histogram_quantile(one, 0.5) >= value);
			cr_assert(histogram_quantile(one, 0.5) <= value + value / 100);
			free(one);
		}
	}
}

Test(histogram, merged_is_as_if_all_values_had_been_added_to_one)
{
	static struct histogram all, odd, even;

	for (uint64_t i = 0; i < 5000; i++) {
		histogram_add(&all, i * i);
		histogram_add(i % 2 ? &odd : &even, i * i);
	}
	histogram_merge(&odd, &even);
	cr_assert_arr_eq(&odd, &all, sizeof(all));
}

Test(histogram, an_empty_one_answers_zero_and_a_huge_value_stays_the_maximum)
{
	static struct histogram histogram;

	cr_assert_eq(histogram_quantile(&histogram, 0.99), 0);
	histogram_add(&histogram, UINT64_MAX);
	cr_assert_eq(histogram.max, UINT64_MAX);
	cr_assert_eq(histogram_quantile(&histogram, 0.5), (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1);
}
