/* Counters by the position of the highest bit and the seven bits below it. */
#include "tools/benchmark/histogram.h"

static uint32_t counter_of(uint64_t value)
{
	const uint64_t limit = UINT64_C(1) << HISTOGRAM_VALUE_BITS;
	int shift;

	if (value >= limit)
		value = limit - 1;
	if (value < 1 << HISTOGRAM_SUB_BITS)
		return (uint32_t)value;
	/* The value shifted so far right that its highest bit is bit SUB_BITS: 128 to 255. */
	shift = 63 - __builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	return (uint32_t)(((uint64_t)shift << HISTOGRAM_SUB_BITS) + (value >> shift));
}

/* The largest value that lands in COUNTER. */
static uint64_t counter_end(uint32_t counter)
{
	uint32_t shift = counter >> HISTOGRAM_SUB_BITS;

	if (shift <= 1)
		return counter;
	shift--;
	return ((uint64_t)(counter - (shift << HISTOGRAM_SUB_BITS) + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->counters[counter_of(value)]++;
	histogram->count++;
	histogram->sum += value;
	if (value > histogram->max)
		histogram->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	for (uint32_t i = 0; i < HISTOGRAM_COUNTERS; i++)
		into->counters[i] += from->counters[i];
	into->count += from->count;
	into->sum += from->sum;
	into->max = max_of(into->max, from->max);
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
	uint64_t wanted = (uint64_t)(quantile * (double)histogram->count + 0.5), seen = 0;

	wanted = min_of(max_of(wanted, UINT64_C(1)), histogram->count);
	for (uint32_t i = 0; i < HISTOGRAM_COUNTERS && histogram->count; i++) {
		seen += histogram->counters[i];
		if (seen >= wanted)
			return min_of(counter_end(i), histogram->max);
	}
	return 0;
}
