#include "history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/simulated/memory.h"

#define OFFSET_UNKNOWN UINT64_MAX

void history_init(struct history *history, unsigned partition_count, unsigned producer_count)
{
	ensure(partition_count <= PARTITIONS_MAX && producer_count <= PRODUCERS_MAX);
	memset(history, 0, sizeof(*history));
	history->partition_count = partition_count;
	history->producer_count = producer_count;
}

void history_done(struct history *history)
{
	for (unsigned i = 0; i < history->partition_count; i++) {
		for (unsigned k = 0; k < history->producer_count; k++)
			free(history->partitions[i].producers[k].values);
		free(history->partitions[i].offsets);
	}
}

void history_violation(struct history *history, const char *format, ...)
{
	va_list values;

	if (history->violation[0] != '\0')
		return;
	va_start(values, format);
	vsnprintf(history->violation, sizeof(history->violation), format, values);
	va_end(values);
}

uint32_t history_attempt(struct history *history, unsigned partition, unsigned producer)
{
	struct history_values *values = &history->partitions[partition].producers[producer];

	if (values->count == values->capacity) {
		values->capacity = max_of(64u, values->capacity * 2);
		values->values =
			world_realloc(values->values, values->capacity * sizeof(*values->values));
	}
	values->values[values->count] =
		(struct history_value){.acknowledged_offset = -1, .seen_offset = -1};
	history->attempted++;
	return values->count++;
}

static uint64_t value_id(unsigned producer, uint32_t number)
{
	return (uint64_t)producer << 32 | number;
}

/* What is at OFFSET now, and must have been before. */
static void offset_note(struct history *history, unsigned partition, int64_t offset,
	unsigned producer, uint32_t number, const char *by)
{
	struct history_partition *log = &history->partitions[partition];
	uint64_t at = (uint64_t)offset, before;

	if (at >= log->offset_capacity) {
		uint64_t capacity = max_of(at + 1, log->offset_capacity * 2 + 256);

		log->offsets = world_realloc(log->offsets, capacity * sizeof(*log->offsets));
		log->offset_capacity = capacity;
	}
	while (log->offset_count <= at)
		log->offsets[log->offset_count++] = OFFSET_UNKNOWN;
	before = log->offsets[at];
	if (before != OFFSET_UNKNOWN && before != value_id(producer, number))
		history_violation(history,
			"partition %u offset %" PRId64 " held value %u/%u, and was %s as %u/%u",
			partition, offset, (unsigned)(before >> 32), (unsigned)before, by, producer,
			number);
	log->offsets[at] = value_id(producer, number);
}

void history_acknowledge(struct history *history, unsigned partition, unsigned producer,
	uint32_t number, int64_t offset)
{
	struct history_value *value =
		&history->partitions[partition].producers[producer].values[number];

	ensure(!value->is_acknowledged);
	value->is_acknowledged = true;
	value->acknowledged_offset = offset;
	history->acknowledged++;
	if (offset < -1)
		history_violation(
			history, "partition %u acknowledged offset %" PRId64, partition, offset);
	if (offset < 0)
		return;
	if (value->seen_offset >= 0 && value->seen_offset != offset)
		history_violation(history,
			"partition %u value %u/%u read at %" PRId64 " but acknowledged at %" PRId64,
			partition, producer, number, value->seen_offset, offset);
	offset_note(history, partition, offset, producer, number, "acknowledged");
}

static uint8_t value_byte(uint64_t id, unsigned partition, size_t place)
{
	uint64_t mixed = (id + partition + 1) * 0x9e3779b97f4a7c15ull + place / 8;

	mixed ^= mixed >> 29;
	mixed *= 0xbf58476d1ce4e5b9ull;
	return (uint8_t)(mixed >> 8 * (place % 8));
}

size_t history_value_make(uint8_t *buffer, unsigned partition, unsigned producer, uint32_t number)
{
	uint64_t id = value_id(producer, number);
	size_t size = VALUE_SIZE_MIN +
		      (id * 0xd6e8feb86659fd93ull >> 40) % (VALUE_SIZE_MAX - VALUE_SIZE_MIN + 1);

	store_be32(buffer, producer);
	store_be32(buffer + 4, number);
	for (size_t i = 8; i < size; i++)
		buffer[i] = value_byte(id, partition, i);
	return size;
}

/* Who sent these bytes; false after saying that nobody did. */
static bool value_identify(struct history *history, unsigned partition, int64_t offset,
	struct bytes value, unsigned *ret_producer, uint32_t *ret_number)
{
	uint8_t wanted[VALUE_SIZE_MAX];
	unsigned producer;
	uint32_t number;

	if (value.size >= VALUE_SIZE_MIN) {
		producer = load_be32(value.data);
		number = load_be32(value.data + 4);
		if (producer < history->producer_count &&
			number < history->partitions[partition].producers[producer].count &&
			history_value_make(wanted, partition, producer, number) ==
				(size_t)value.size &&
			memcmp(wanted, value.data, (size_t)value.size) == 0) {
			*ret_producer = producer;
			*ret_number = number;
			return true;
		}
	}
	history_violation(history, "partition %u offset %" PRId64 " holds %d bytes nobody sent",
		partition, offset, value.size);
	return false;
}

void history_see(struct history *history, unsigned partition, int64_t offset, struct bytes bytes)
{
	struct history_value *value;
	unsigned producer;
	uint32_t number;

	history->read++;
	if (offset < 0) {
		history_violation(
			history, "partition %u read at offset %" PRId64, partition, offset);
		return;
	}
	if (!value_identify(history, partition, offset, bytes, &producer, &number))
		return;
	value = &history->partitions[partition].producers[producer].values[number];
	if (value->seen_offset >= 0 && value->seen_offset != offset)
		history_violation(history,
			"partition %u value %u/%u is at %" PRId64 " and at %" PRId64, partition,
			producer, number, value->seen_offset, offset);
	if (value->is_acknowledged && value->acknowledged_offset >= 0 &&
		value->acknowledged_offset != offset)
		history_violation(history,
			"partition %u value %u/%u acknowledged at %" PRId64 " is at %" PRId64,
			partition, producer, number, value->acknowledged_offset, offset);
	value->seen_offset = offset;
	offset_note(history, partition, offset, producer, number, "read");
}

void history_scan_begin(struct history *history, unsigned partition)
{
	struct history_partition *log = &history->partitions[partition];

	log->scan_next = 0;
	memset(log->scan_numbers, 0, sizeof(log->scan_numbers));
}

void history_scan_see(
	struct history *history, unsigned partition, int64_t offset, struct bytes bytes)
{
	struct history_partition *log = &history->partitions[partition];
	unsigned producer;
	uint32_t number;

	if (offset != log->scan_next)
		history_violation(history,
			"partition %u has offset %" PRId64 " where %" PRId64 " should be",
			partition, offset, log->scan_next);
	log->scan_next = offset + 1;
	history_see(history, partition, offset, bytes);
	if (!value_identify(history, partition, offset, bytes, &producer, &number))
		return;
	/* In the order of sending, each once: the numbers just count. */
	if (number != log->scan_numbers[producer])
		history_violation(history,
			"partition %u offset %" PRId64 " holds value %u/%u where %u/%u should be",
			partition, offset, producer, number, producer, log->scan_numbers[producer]);
	log->scan_numbers[producer] = number + 1;
}

void history_scan_end(struct history *history, unsigned partition, int64_t log_end)
{
	struct history_partition *log = &history->partitions[partition];

	if (log->scan_next != log_end)
		history_violation(history,
			"partition %u ends at %" PRId64 " but reads up to %" PRId64, partition,
			log_end, log->scan_next);
	for (unsigned i = 0; i < history->producer_count; i++)
		for (uint32_t n = log->scan_numbers[i]; n < log->producers[i].count; n++)
			if (log->producers[i].values[n].is_acknowledged)
				history_violation(history,
					"partition %u lost acknowledged value %u/%u (offset "
					"%" PRId64 ", end %" PRId64 ")",
					partition, i, n,
					log->producers[i].values[n].acknowledged_offset, log_end);
	for (uint64_t i = (uint64_t)log_end; i < log->offset_count; i++)
		if (log->offsets[i] != OFFSET_UNKNOWN)
			history_violation(history,
				"partition %u lost offset %" PRIu64 ", which held value %u/%u",
				partition, i, (unsigned)(log->offsets[i] >> 32),
				(unsigned)log->offsets[i]);
}
