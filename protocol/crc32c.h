/*
 * CRC32C (Castagnoli), the checksum of record batches v2. Three implementations of one function:
 * x86-64 with SSE4.2 and PCLMUL, ARMv8 with its CRC extension, and tables for every other machine;
 * the best one is chosen before main runs.
 */
#pragma once

#include "runtime/base.h"

/* The CRC of what came before (0 at the start) followed by SIZE bytes of DATA. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/*
 * What the difference between two CRCs becomes when ZERO_COUNT equal bytes follow the place where
 * the messages differ. The CRC is linear, so a few bytes at the start of a long message can be
 * replaced without reading the rest: new = old ^ crc32c_difference_shift(crc32c(0, old_bytes) ^
 * crc32c(0, new_bytes), bytes_behind).
 */
uint32_t crc32c_difference_shift(uint32_t difference, uint64_t zero_count);

/* The implementations that this machine can run, for tests and benchmarks; NULL ends the table. */
struct crc32c_implementation {
	const char *name;
	uint32_t (*update)(uint32_t crc, const void *data, size_t size);
};
const struct crc32c_implementation *crc32c_implementations(void);
