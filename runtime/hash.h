/*
 * Hashes for tables in memory. They are seeded so that whoever chooses the keys cannot choose the
 * collisions; what they give is never stored or sent.
 */
#pragma once

#include "runtime/base.h"

/* A bijection that spreads every input bit over all output bits. */
static inline uint64_t hash_u64(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	return x;
}

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed);
