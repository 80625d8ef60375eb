/*
 * Latencies in counters whose width grows with the value: every value is known to better than 1%,
 * adding one costs a few instructions, and histograms of several connections add up.
 */
#pragma once

#include "runtime/base.h"

enum {
	HISTOGRAM_SUB_BITS = 7, /* 128 counters for each power of two */
	HISTOGRAM_VALUE_BITS = 40,
	HISTOGRAM_COUNTERS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
	uint64_t counters[HISTOGRAM_COUNTERS];
	uint64_t count, max, sum;
};

/* Values of 2^40 and more (18 minutes in nanoseconds) count as the largest. */
void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/*
 * The value that QUANTILE (0 to 1) of all values do not pass, rounded up to the end of its counter
 * and never above the maximum. 0 without values.
 */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);
