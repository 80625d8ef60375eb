/*
 * What a message is encoded into: bytes that grow inside an arena, with gaps where bytes belong
 * that are not in memory (slices of log files). A gap costs nothing here: it is noted with its
 * place, size and the caller's pointer, and the connection sends the pieces in order: DATA up to
 * the first gap, the first gap's slice, DATA up to the second, and so on.
 *
 *	for (at = 0, i = 0; i < output.gap_count; at = output.gaps[i++].offset) {
 *		send_bytes(output.data + at, output.gaps[i].offset - at);
 *		send_slice(output.gaps[i].external);
 *	}
 *	send_bytes(output.data + at, output.size - at);
 *
 * The bytes may move while the output grows; offsets stay. The first failure sticks, so callers
 * may check once at the end.
 */
#pragma once

#include "runtime/arena.h"

struct output_gap {
	size_t offset; /* in DATA, of the byte that follows the gap */
	void *external;
	int32_t size; /* bytes of the slice */
};

struct output {
	struct arena *arena;
	uint8_t *data;
	size_t size, capacity;
	struct output_gap *gaps; /* ascending by offset */
	int32_t gap_count, gap_capacity;
	size_t gaps_size; /* sum of the gaps' sizes */
	int failure;	  /* 0, or -ENOMEM once the arena is exhausted */
};

/* Room for CAPACITY bytes is made at once when it is not 0. */
void output_init(struct output *output, struct arena *arena, size_t capacity);

/* Room for SIZE bytes at the end, to be filled now; counted as written. NULL when the arena is
 * exhausted. */
uint8_t *output_append_slow(struct output *output, size_t size);

static inline uint8_t *output_append(struct output *output, size_t size)
{
	if (likely(output->capacity - output->size >= size)) {
		uint8_t *at = output->data + output->size;
		output->size += size;
		return at;
	}
	return output_append_slow(output, size);
}

/* 0 or -ENOMEM. */
int output_gap_add(struct output *output, void *external, int32_t size);

/* Bytes of all of it, gaps included. */
static inline size_t output_total_size(const struct output *output)
{
	return output->size + output->gaps_size;
}

/* What was written, as one view; only for an output without gaps. */
struct bytes output_bytes(const struct output *output);
