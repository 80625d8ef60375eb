#include "runtime/hash.h"

#include <string.h>

/* The high and low half of a 128-bit product, folded: one multiplication mixes 8 bytes into 64 bits
 * (the idea of wyhash). */
static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed)
{
	const uint8_t *at = data;
	uint64_t state = seed ^ 0x2d358dccaa6c78a5u;
	size_t left = size;

	for (; left >= 16; left -= 16, at += 16) {
		uint64_t a, b;
		memcpy(&a, at, 8);
		memcpy(&b, at + 8, 8);
		state = hash_fold(a ^ 0x8bb84b93962eacc9u, b ^ state);
	}
	uint64_t a = 0, b = 0;
	if (left > 8) {
		memcpy(&a, at, 8);
		memcpy(&b, at + 8, left - 8);
	} else if (left > 0) {
		memcpy(&a, at, left);
	}
	state = hash_fold(a ^ 0x4b33a62ed433d4a3u, b ^ state);
	return hash_fold(state ^ (uint64_t)size, 0x4d5a2da51de1aa47u);
}
