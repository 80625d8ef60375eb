#include "history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/simulated/memory.h"

#define OFFSET_UNKNOWN UINT64_MAX

void history_done(struct history *history)
{
	for (unsigned i = 0; i < history->log_count; i++) {
		struct history_log *log = history->logs[i];

		for (unsigned k = 0; k < PRODUCERS_MAX; k++)
			free(log->producers[k].values);
		free(log->offsets);
		free(log);
	}
	free(history->logs);
}

unsigned history_logs_add(struct history *history, unsigned count)
{
	unsigned first = history->log_count;

	if (first + count > history->log_capacity) {
		history->log_capacity = max_of(first + count, history->log_capacity * 2);
		history->logs = world_realloc(
			history->logs, history->log_capacity * sizeof(*history->logs));
	}
	for (unsigned i = 0; i < count; i++) {
		struct history_log *log = world_alloc_zero(1, sizeof(*log));

		log->scan_next = -1;
		history->logs[history->log_count++] = log;
	}
	return first;
}

void history_violation(struct history *history, const char *format, ...)
{
	va_list values;

	if (history_is_violated(history))
		return;
	va_start(values, format);
	vsnprintf(history->violation, sizeof(history->violation), format, values);
	va_end(values);
}

/* ---- producing ---- */

uint32_t history_attempt(struct history *history, unsigned log, unsigned producer)
{
	struct history_values *values = &history->logs[log]->producers[producer];

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

void history_resend(
	struct history *history, unsigned log, unsigned producer, uint32_t number, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		history->logs[log]->producers[producer].values[number + i].was_resent = true;
}

static uint64_t value_id(unsigned producer, uint32_t number)
{
	return (uint64_t)producer << 32 | number;
}

/* What is at OFFSET now, and must have been before. */
static void offset_note(struct history *history, unsigned index, int64_t offset, unsigned producer,
	uint32_t number, const char *by)
{
	struct history_log *log = history->logs[index];
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
			"log %u offset %" PRId64 " held value %u/%u, and was %s as %u/%u", index,
			offset, (unsigned)(before >> 32), (unsigned)before, by, producer, number);
	log->offsets[at] = value_id(producer, number);
}

/* May the value stand in the log at more than one offset? */
static bool value_may_repeat(
	const struct history *history, unsigned producer, const struct history_value *value)
{
	return history->promises[producer] == PROMISE_AT_LEAST_ONCE && value->was_resent;
}

/* Offsets beyond what a run can write would take all memory to remember. */
#define OFFSET_MAX ((int64_t)1 << 24)

void history_acknowledge(
	struct history *history, unsigned log, unsigned producer, uint32_t number, int64_t offset)
{
	struct history_value *value = &history->logs[log]->producers[producer].values[number];

	ensure(!value->is_acknowledged);
	value->is_acknowledged = true;
	value->acknowledged_offset = offset;
	history->acknowledged++;
	if (offset < -1 || offset > OFFSET_MAX)
		history_violation(history, "log %u acknowledged offset %" PRId64, log, offset);
	if (offset < 0 || offset > OFFSET_MAX)
		return;
	if (value->seen_offset >= 0 && value->seen_offset != offset &&
		!value_may_repeat(history, producer, value))
		history_violation(history,
			"log %u value %u/%u read at %" PRId64 " but acknowledged at %" PRId64, log,
			producer, number, value->seen_offset, offset);
	history->logs[log]->acknowledged_end =
		max_of(history->logs[log]->acknowledged_end, offset + 1);
	offset_note(history, log, offset, producer, number, "acknowledged");
}

static uint8_t value_byte(uint64_t id, unsigned log, size_t place)
{
	uint64_t mixed = (id + log + 1) * 0x9e3779b97f4a7c15ull + place / 8;

	mixed ^= mixed >> 29;
	mixed *= 0xbf58476d1ce4e5b9ull;
	return (uint8_t)(mixed >> 8 * (place % 8));
}

size_t history_value_make(uint8_t *buffer, unsigned log, unsigned producer, uint32_t number)
{
	uint64_t id = value_id(producer, number);
	size_t size = VALUE_SIZE_MIN +
		      (id * 0xd6e8feb86659fd93ull >> 40) % (VALUE_SIZE_MAX - VALUE_SIZE_MIN + 1);

	store_be32(buffer, producer);
	store_be32(buffer + 4, number);
	for (size_t i = 8; i < size; i++)
		buffer[i] = value_byte(id, log, i);
	return size;
}

/* ---- reading ---- */

/* Who sent these bytes; false after saying that nobody did. */
static bool value_identify(struct history *history, unsigned log, int64_t offset,
	struct bytes value, unsigned *ret_producer, uint32_t *ret_number)
{
	uint8_t wanted[VALUE_SIZE_MAX];
	unsigned producer;
	uint32_t number;

	if (value.size >= VALUE_SIZE_MIN) {
		producer = load_be32(value.data);
		number = load_be32(value.data + 4);
		if (producer < PRODUCERS_MAX &&
			number < history->logs[log]->producers[producer].count &&
			history_value_make(wanted, log, producer, number) == (size_t)value.size &&
			memcmp(wanted, value.data, (size_t)value.size) == 0) {
			*ret_producer = producer;
			*ret_number = number;
			return true;
		}
	}
	history_violation(history, "log %u offset %" PRId64 " holds %d bytes nobody sent", log,
		offset, value.size);
	return false;
}

void history_see(struct history *history, unsigned log, int64_t offset, struct bytes bytes)
{
	struct history_value *value;
	unsigned producer;
	uint32_t number;

	history->read++;
	if (offset < 0 || offset > OFFSET_MAX) {
		history_violation(history, "log %u read at offset %" PRId64, log, offset);
		return;
	}
	if (!value_identify(history, log, offset, bytes, &producer, &number))
		return;
	value = &history->logs[log]->producers[producer].values[number];
	if (value->seen_offset >= 0 && value->seen_offset != offset) {
		history->duplicates++;
		if (!value_may_repeat(history, producer, value))
			history_violation(history,
				"log %u value %u/%u is at %" PRId64 " and at %" PRId64, log,
				producer, number, value->seen_offset, offset);
	}
	if (value->is_acknowledged && value->acknowledged_offset >= 0 &&
		value->acknowledged_offset != offset && !value_may_repeat(history, producer, value))
		history_violation(history,
			"log %u value %u/%u acknowledged at %" PRId64 " is at %" PRId64, log,
			producer, number, value->acknowledged_offset, offset);
	value->seen_offset = offset;
	offset_note(history, log, offset, producer, number, "read");
}

/* ---- log starts ---- */

void history_start_ask(struct history *history, unsigned log, int64_t offset)
{
	history->logs[log]->start_asked = max_of(history->logs[log]->start_asked, offset);
}

void history_start_acknowledge(struct history *history, unsigned log, int64_t offset)
{
	history->logs[log]->start_acknowledged =
		max_of(history->logs[log]->start_acknowledged, offset);
}

void history_start_see(struct history *history, unsigned log, int64_t offset, int64_t floor)
{
	const struct history_log *known = history->logs[log];

	if (offset < floor || offset > known->start_asked)
		history_violation(history,
			"log %u starts at %" PRId64 ", which is not between %" PRId64
			" and %" PRId64,
			log, offset, floor, known->start_asked);
}

void history_starts_forget(struct history *history)
{
	for (unsigned i = 0; i < history->log_count; i++)
		history->logs[i]->start_acknowledged = 0;
}

/* ---- rot ---- */

void history_rot(struct history *history, unsigned log, int64_t first, int64_t end)
{
	struct history_log *known = history->logs[log];

	ensure(known->rot_count < ROTS_MAX);
	known->rots[known->rot_count++] = (struct history_rot){first, end};
}

int64_t history_rot_skip(const struct history *history, unsigned log, int64_t offset)
{
	const struct history_log *known = history->logs[log];

	for (unsigned i = 0; i < known->rot_count; i++)
		if (offset >= known->rots[i].first && offset < known->rots[i].end)
			return history_rot_skip(history, log, known->rots[i].end);
	return offset;
}

/* ---- the scan ---- */

/* Values that nobody can expect behind START: those known to be before it, or not known at all. */
static void scan_pass_over(struct history *history, unsigned index, int64_t to)
{
	struct history_log *log = history->logs[index];

	for (int64_t i = max_of(log->scan_next, (int64_t)0);
		i < to && (uint64_t)i < log->offset_count; i++) {
		uint64_t id = log->offsets[i];

		if (id != OFFSET_UNKNOWN)
			log->producers[id >> 32].scanned =
				max_of(log->producers[id >> 32].scanned, (uint32_t)id + 1);
	}
}

void history_scan_begin(struct history *history, unsigned log, int64_t start)
{
	struct history_log *known = history->logs[log];

	for (unsigned i = 0; i < PRODUCERS_MAX; i++)
		known->producers[i].scanned = 0;
	memset(known->newest, -1, sizeof(known->newest));
	known->scan_start = start;
	known->scan_next = 0;
	history_scan_skip(history, log, start);
}

/*
 * Values behind START whose number is lower than one before START that is known can't be there; of
 * the others that are not known nothing can be said but that they come in order.
 */
void history_scan_skip(struct history *history, unsigned log, int64_t to)
{
	scan_pass_over(history, log, to);
	history->logs[log]->scan_next = to;
}

/*
 * Does VALUE, which is not before OFFSET though one behind it stands there, stand only behind it?
 * The log may start inside of a batch that was sent again: then what the batch has below the start
 * stands a second time where it was acknowledged.
 */
static bool value_is_late(const struct history *history, const struct history_log *log,
	unsigned producer, const struct history_value *value, int64_t offset)
{
	return value->acknowledged_offset >= offset &&
	       !(offset == log->scan_start && value_may_repeat(history, producer, value));
}

void history_scan_see(struct history *history, unsigned log, int64_t offset, struct bytes bytes)
{
	struct history_log *known = history->logs[log];
	struct history_values *values;
	unsigned producer;
	uint32_t number;

	if (history->is_compacted && offset > known->scan_next)
		history->superseded += (uint64_t)(offset - known->scan_next);
	else if (offset != known->scan_next)
		history_violation(history,
			"log %u has offset %" PRId64 " where %" PRId64 " should be", log, offset,
			known->scan_next);
	known->scan_next = offset + 1;
	history_see(history, log, offset, bytes);
	if (!value_identify(history, log, offset, bytes, &producer, &number))
		return;
	known->newest[producer][number % HISTORY_KEYS] = offset;
	values = &known->producers[producer];
	if (history->promises[producer] == PROMISE_AT_MOST_ONCE || history->is_compacted)
		return;
	if (number < values->scanned &&
		value_may_repeat(history, producer, &values->values[number]))
		return;
	/* Passed over below the log's start or in rot it may have been without anybody's having
	 * seen it. */
	if (number > values->scanned && (known->start_asked > 0 || known->rot_count > 0)) {
		for (uint32_t n = values->scanned; n < number; n++)
			if (value_is_late(history, known, producer, &values->values[n], offset))
				history_violation(history,
					"log %u misses value %u/%u before offset %" PRId64, log,
					producer, n, offset);
	} else if (number != values->scanned) {
		/* In the order of sending, each once: the numbers just count. */
		history_violation(history,
			"log %u offset %" PRId64 " holds value %u/%u where %u/%u should be", log,
			offset, producer, number, producer, values->scanned);
	}
	values->scanned = number + 1;
}

/* What was known to be there and is not has a newer record of its key. */
static void scan_end_compacted(struct history *history, unsigned index, int64_t log_end)
{
	const struct history_log *log = history->logs[index];

	for (int64_t i = log->scan_start; i < log_end && (uint64_t)i < log->offset_count; i++) {
		unsigned producer = (unsigned)(log->offsets[i] >> 32);
		uint32_t number = (uint32_t)log->offsets[i];

		if (log->offsets[i] != OFFSET_UNKNOWN &&
			log->newest[producer][number % HISTORY_KEYS] < i)
			history_violation(history,
				"log %u lost value %u/%u of offset %" PRId64
				", and has no newer one of its key",
				index, producer, number, i);
	}
}

void history_scan_end(struct history *history, unsigned index, int64_t log_end)
{
	struct history_log *log = history->logs[index];

	if (history->is_compacted)
		scan_end_compacted(history, index, log_end);
	else if (log->scan_next != log_end)
		history_violation(history, "log %u ends at %" PRId64 " but reads up to %" PRId64,
			index, log_end, log->scan_next);
	for (unsigned i = 0; i < PRODUCERS_MAX; i++) {
		const struct history_values *values = &log->producers[i];

		for (uint32_t n = values->scanned; n < values->count && !history->is_compacted; n++)
			/* What was acknowledged without an offset may be below the start. */
			if (values->values[n].is_acknowledged &&
				(values->values[n].acknowledged_offset >= 0 ||
					(log->start_asked == 0 && log->rot_count == 0)))
				history_violation(history,
					"log %u lost acknowledged value %u/%u (offset %" PRId64
					", end %" PRId64 ")",
					index, i, n, values->values[n].acknowledged_offset,
					log_end);
	}
	for (uint64_t i = (uint64_t)log_end; i < log->offset_count; i++)
		if (log->offsets[i] != OFFSET_UNKNOWN)
			history_violation(history,
				"log %u lost offset %" PRIu64 ", which held value %u/%u", index, i,
				(unsigned)(log->offsets[i] >> 32), (unsigned)log->offsets[i]);
}
