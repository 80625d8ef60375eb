/* Growing inside an arena: the old bytes stay behind until the arena is reset, so capacity doubles.
 */
#include "protocol/output.h"

#include <errno.h>

#define OUTPUT_CAPACITY_MIN 256

void output_init(struct output *output, struct arena *arena, size_t capacity)
{
	*output = (struct output){.arena = arena};
	if (capacity > 0 && output_append_slow(output, capacity))
		output->size = 0;
}

uint8_t *output_append_slow(struct output *output, size_t size)
{
	size_t capacity = max_of(output->capacity * 2, (size_t)OUTPUT_CAPACITY_MIN);
	uint8_t *data;

	if (output->failure)
		return NULL;
	if (size > SIZE_MAX / 4 || output->size > SIZE_MAX / 4)
		goto exhausted;
	capacity = max_of(capacity, output->size + size);
	data = arena_alloc(output->arena, capacity);
	if (!data)
		goto exhausted;
	if (output->size > 0)
		memcpy(data, output->data, output->size);
	output->data = data;
	output->capacity = capacity;
	output->size += size;
	return data + output->size - size;
exhausted:
	output->failure = -ENOMEM;
	/* Nothing more fits: every later append comes here and fails too. */
	output->capacity = output->size;
	return NULL;
}

int output_gap_add(struct output *output, void *external, int32_t size)
{
	ensure(size >= 0);
	if (output->failure)
		return output->failure;
	if (output->gap_count == output->gap_capacity) {
		int32_t capacity = max_of(output->gap_capacity * 2, 8);
		struct output_gap *gaps =
			arena_new_array(output->arena, struct output_gap, (size_t)capacity);
		if (!gaps)
			return output->failure = -ENOMEM;
		if (output->gap_count > 0)
			memcpy(gaps, output->gaps, (size_t)output->gap_count * sizeof(*gaps));
		output->gaps = gaps;
		output->gap_capacity = capacity;
	}
	output->gaps[output->gap_count++] =
		(struct output_gap){.offset = output->size, .external = external, .size = size};
	output->gaps_size += (size_t)size;
	return 0;
}

struct bytes output_bytes(const struct output *output)
{
	ensure(output->gap_count == 0 && output->size <= INT32_MAX);
	return (struct bytes){.data = output->data, .size = (int32_t)output->size};
}
