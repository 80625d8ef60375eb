/*
 * Questions to a log: reads and offsets by time. Each is a plain function that answers from memory
 * and page cache; when it meets -EAGAIN, the same function runs again in a fiber, where it may wait
 * for the disk. So the tail is served without a fiber, and what is cold never stops the loop.
 */
#include <errno.h>
#include <stdlib.h>

#include "protocol/batch_records.h"
#include "protocol/errors.h"
#include "storage/log_internal.h"

/* ---- running them ---- */

static int lookup_run(struct log_lookup *lookup)
{
	struct log *log = lookup->log;
	uint32_t generation;
	int error;

	do {
		if (log->error)
			return -EIO;
		generation = log->generation;
		error = lookup->attempt(lookup);
		/* In a fiber -EAGAIN says that something was cut away while it waited. */
	} while (fiber_current(log->shard) && (generation != log->generation || error == -EAGAIN));
	return error;
}

static void lookup_answer(struct shard *shard, struct task *task)
{
	struct log_lookup *lookup = container_of(task, struct log_lookup, task);

	lookup->answer(lookup, 0);
}

static void lookup_answer_error(struct shard *shard, struct task *task)
{
	struct log_lookup *lookup = container_of(task, struct log_lookup, task);

	lookup->answer(lookup, -EIO);
}

static void lookup_complete(struct log_lookup *lookup, int error)
{
	/* Damaged batches are told to who asked; what the disk refuses fails the folder. */
	if (error < 0 && error > -4000 && !log_error_is_passing(error) && error != -EAGAIN &&
		!lookup->log->error && !lookup->log->closing)
		log_fail(lookup->log, error);
	lookup->task.run = error ? lookup_answer_error : lookup_answer;
	shard_post(lookup->log->shard, &lookup->task);
}

static void lookups_serve(struct shard *shard, void *argument)
{
	struct log_store *store = argument;
	struct list_node *node;

	while ((node = list_pop_front(&store->lookups))) {
		struct log_lookup *lookup = container_of(node, struct log_lookup, node);
		struct log *log = lookup->log;

		lookup_complete(lookup, lookup_run(lookup));
		log_fiber_end(log);
	}
	store->lookup_fibers--;
}

static void lookup_begin(struct log *log, struct log_lookup *lookup)
{
	struct log_store *store = log->store;
	int error;

	lookup->log = log;
	lookup->node = (struct list_node){0};
	error = log->closing ? -EIO : lookup_run(lookup);
	if (error != -EAGAIN) {
		lookup_complete(lookup, error);
		return;
	}
	log->fibers++;
	list_push_back(&store->lookups, &lookup->node);
	if (store->lookup_fibers == LOG_LOOKUP_FIBERS_MAX)
		return;
	store->lookup_fibers++;
	if (fiber_start(log->shard, lookups_serve, store) == 0)
		return;
	store->lookup_fibers--;
	if (store->lookup_fibers > 0)
		return; /* the others come to it */
	list_remove(&lookup->node);
	lookup_complete(lookup, -ENOMEM);
	log_fiber_end(log);
}

/* ---- read ---- */

/* Where the bytes below END stop in segment INDEX. */
static int limit_find(
	struct log *log, uint32_t index, int64_t end, uint64_t from, uint64_t *ret_limit)
{
	struct segment *segment = log->segments[index];
	const struct log_ring_entry *ring;
	struct batch_header header;
	int error;

	*ret_limit = segment->tail.size;
	if (log_segment_end(log, index) <= end)
		return 0;
	if (segment == log_active(log)) {
		ring = log_ring_find(log, end);
		if (ring) {
			*ret_limit = ring->position;
			return 0;
		}
	}
	segment_ref(segment);
	error = segment_find(segment, end, segment->tail.size, ret_limit, &header);
	segment_unref(segment);
	return error < 0 ? error : 0;
}

static int aborted_add(struct log_read *op, uint32_t *capacity, const struct segment_aborted *row)
{
	if (op->aborted_count == *capacity) {
		uint32_t grown = *capacity ? *capacity * 2 : 8;
		void *rows = realloc(op->aborted, grown * sizeof(*op->aborted));

		if (!rows)
			return -ENOMEM;
		op->aborted = rows;
		*capacity = grown;
	}
	op->aborted[op->aborted_count++] =
		(struct log_aborted_transaction){row->producer_id, row->first_offset};
	return 0;
}

/* The aborted transactions that touch what the slice can hold, by Kafka's bound: the index entry
 * behind its end. */
static int aborted_collect(struct log *log, struct log_read *op, uint32_t index, uint64_t slice_end)
{
	struct segment *segment = log->segments[index];
	struct index_file *offsets = &segment->indexes[INDEX_OFFSET];
	uint32_t generation = log->generation, capacity = 0;
	struct index_page page = {0};
	struct index_entry entry;
	int64_t slot, upper;
	int error = 0;

	op->aborted_count = 0;
	upper = log_segment_end(log, index);
	if (slice_end < segment->tail.size) {
		segment_ref(segment);
		error = index_file_position_ceiling(offsets, &page, slice_end, &slot);
		if (!error && slot < index_file_count(offsets)) {
			error = index_file_entry(offsets, &page, (uint32_t)slot, &entry);
			if (!error)
				upper = entry.offset;
		}
		segment_unref(segment);
	}
	while (!error && generation == log->generation && index < log->segment_count) {
		segment = segment_ref(log->segments[index]);
		error = segment_aborted_load(segment);
		for (uint32_t i = 0; !error && i < segment->aborted_count; i++) {
			const struct segment_aborted *row = &segment->aborted[i];

			if (row->last_offset >= op->offset && row->first_offset < upper)
				error = aborted_add(op, &capacity, row);
			if (row->last_stable_offset >= upper) {
				segment_unref(segment);
				return error;
			}
		}
		segment_unref(segment);
		index++;
	}
	return error;
}

static int read_attempt(struct log_lookup *lookup)
{
	struct log_read *op = container_of(lookup, struct log_read, lookup);
	struct log *log = lookup->log;
	int64_t end = min_of(op->end, log->readable_end), index;
	const struct log_ring_entry *ring;
	uint64_t position, limit, size;
	uint32_t generation = log->generation;
	struct batch_header header = {0};
	struct segment *segment;
	int error;

	op->slice = (struct log_slice){0};
	free(op->aborted);
	op->aborted = NULL;
	op->aborted_count = 0;
	op->error_code = KAFKA_NONE;
	if (op->offset < log->start || op->offset > log->readable_end) {
		op->error_code = KAFKA_OFFSET_OUT_OF_RANGE;
		return 0;
	}
	if (op->offset >= end)
		return 0;
	index = log_segment_floor(log, op->offset);
	ensure(index >= 0);
	for (;; index++) {
		if (index == log->segment_count)
			return 0;
		segment = log->segments[index];
		ring = segment == log_active(log) ? log_ring_find(log, op->offset) : NULL;
		if (ring) {
			position = ring->position;
			header.size = (int32_t)ring->size;
			header.base_offset = ring->base_offset;
			error = segment_open_file(segment);
			if (error)
				return error;
			break;
		}
		segment_ref(segment);
		error = segment_find(segment, op->offset, segment->tail.size, &position, &header);
		segment_unref(segment);
		if (generation != log->generation)
			return -EAGAIN;
		if (error < 0)
			return error;
		if (error > 0)
			break;
	}
	error = limit_find(log, (uint32_t)index, end, position, &limit);
	if (error)
		return error;
	if (generation != log->generation)
		return -EAGAIN;
	if (limit <= position)
		return 0;
	size = op->max_bytes;
	if (op->at_least_one)
		size = max_of(size, (uint64_t)header.size);
	size = min_of(size, limit - position);
	if (op->aborted_wanted) {
		error = aborted_collect(log, op, (uint32_t)index, position + size);
		if (error)
			return error;
		if (generation != log->generation)
			return -EAGAIN;
	}
	if (size == 0)
		return 0;
	error = segment_open_file(segment);
	if (error)
		return error;
	if (generation != log->generation)
		return -EAGAIN;
	op->slice = (struct log_slice){
		.file = file_ref(segment->file),
		.position = position,
		.size = (uint32_t)size,
		.first_batch_size = (uint32_t)header.size,
	};
	return 0;
}

static void read_answer(struct log_lookup *lookup, int error)
{
	struct log_read *op = container_of(lookup, struct log_read, lookup);

	if (error) {
		op->error_code = KAFKA_KAFKA_STORAGE_ERROR;
		file_unref(op->slice.file);
		op->slice = (struct log_slice){0};
	}
	op->log_start = lookup->log->start;
	op->done(op);
}

void log_read(struct log *log, struct log_read *op)
{
	op->slice = (struct log_slice){0};
	op->aborted = NULL;
	op->aborted_count = 0;
	op->lookup.attempt = read_attempt;
	op->lookup.answer = read_answer;
	lookup_begin(log, &op->lookup);
}

void log_read_done(struct log_read *op)
{
	free(op->aborted);
	op->aborted = NULL;
	op->aborted_count = 0;
}

/* ---- by time ---- */

/* A whole batch in malloc'ed memory; 0 or a negative error. */
static int batch_load(struct segment *segment, uint64_t position, const struct batch_header *header,
	uint8_t **ret_data)
{
	uint8_t *data = malloc((size_t)header->size);
	int64_t size;

	if (!data)
		return -ENOMEM;
	size = segment_read(segment, data, (size_t)header->size, position);
	if (size == header->size) {
		*ret_data = data;
		return 0;
	}
	free(data);
	return size < 0 ? (int)size : -EIO;
}

/* The first record of the batch at or behind both bounds: 1, 0 when there is none. */
static int record_find_time(struct log *log, const uint8_t *data, const struct batch_header *header,
	int64_t timestamp, int64_t from_offset, struct record *ret_record)
{
	struct batch_records records;
	int error;

	error = batch_records_begin(&records, log->store->compress, data, header,
		BATCH_RECORDS_SKIM, log->store->options.decompressed_bytes_max);
	if (error)
		return error;
	while ((error = batch_records_next(&records, ret_record)) > 0)
		if (ret_record->timestamp >= timestamp && ret_record->offset >= from_offset)
			break;
	if (error >= 0)
		batch_records_end(&records);
	return error;
}

static void time_found(struct log_time_lookup *op, int64_t offset, int64_t timestamp,
	const struct batch_header *header)
{
	op->offset = offset;
	op->found_timestamp_ms = timestamp;
	op->leader_epoch = header->magic >= 2 ? header->partition_leader_epoch : -1;
}

/* Kafka's LogSegment.findOffsetByTimestamp. */
static int time_find_in(struct log_time_lookup *op, struct segment *segment)
{
	struct log *log = op->lookup.log;
	struct segment_window window = {0};
	struct index_page page = {0};
	struct batch_header header;
	struct index_entry entry;
	struct record record;
	int64_t slot, from = segment->base_offset;
	uint64_t position = 0;
	uint8_t *data = NULL;
	int error;

	error = index_file_floor(&segment->indexes[INDEX_TIME], &page, op->timestamp_ms, &slot);
	if (!error && slot >= 0) {
		error = index_file_entry(
			&segment->indexes[INDEX_TIME], &page, (uint32_t)slot, &entry);
		from = entry.offset;
	}
	from = max_of(from, log->start);
	if (!error)
		error = index_file_floor(&segment->indexes[INDEX_OFFSET], &page, from, &slot);
	if (!error && slot >= 0) {
		error = index_file_entry(
			&segment->indexes[INDEX_OFFSET], &page, (uint32_t)slot, &entry);
		position = entry.position;
	}
	if (error)
		return error;
	while ((error = segment_header(segment, &window, position, segment->tail.size, &header)) >
		0) {
		if (header.max_timestamp >= op->timestamp_ms) {
			error = batch_load(segment, position, &header, &data);
			if (error)
				return error;
			error = record_find_time(
				log, data, &header, op->timestamp_ms, log->start, &record);
			free(data);
			if (error < 0)
				return error;
			if (error > 0) {
				time_found(op, record.offset, record.timestamp, &header);
				return 0;
			}
		}
		position += (uint32_t)header.size;
	}
	return error < 0 ? error : 0;
}

/* The batch that the maximum comes from, then the first record in it that has it. */
static int time_find_max(struct log_time_lookup *op, struct segment *segment)
{
	struct log *log = op->lookup.log;
	struct segment_window window = {0};
	struct index_page page = {0};
	struct index_entry entry;
	struct batch_header header;
	uint64_t position = 0;
	int64_t slot, offset;
	uint8_t *data = NULL;
	int error;

	error = index_file_floor(
		&segment->indexes[INDEX_OFFSET], &page, segment->tail.max_timestamp_offset, &slot);
	if (!error && slot >= 0) {
		error = index_file_entry(
			&segment->indexes[INDEX_OFFSET], &page, (uint32_t)slot, &entry);
		position = entry.position;
	}
	if (error)
		return error;
	while ((error = segment_header(segment, &window, position, segment->tail.size, &header)) >
		0) {
		if (header.max_timestamp == segment->tail.max_timestamp) {
			error = batch_load(segment, position, &header, &data);
			if (error)
				return error;
			error = batch_max_timestamp_offset(log->store->compress, data, &header,
				log->store->options.decompressed_bytes_max, &offset);
			free(data);
			if (error < 0)
				return error;
			if (error > 0)
				time_found(op, offset, header.max_timestamp, &header);
			return 0;
		}
		position += (uint32_t)header.size;
	}
	return error < 0 ? error : 0;
}

static int time_attempt(struct log_lookup *lookup)
{
	struct log_time_lookup *op = container_of(lookup, struct log_time_lookup, lookup);
	struct log *log = lookup->log;
	uint32_t generation = log->generation;
	struct segment *segment, *chosen = NULL;
	int64_t timestamp;
	int error = 0;

	op->error_code = KAFKA_NONE;
	op->offset = op->found_timestamp_ms = -1;
	op->leader_epoch = -1;
	for (uint32_t i = 0; i < log->segment_count; i++) {
		segment = segment_ref(log->segments[i]);
		error = segment_largest_timestamp(segment, &timestamp);
		segment_unref(segment);
		if (error)
			return error;
		if (generation != log->generation)
			return -EAGAIN;
		if (op->timestamp_ms == LOG_TIMESTAMP_MAX) {
			if (segment->tail.max_timestamp >= 0 &&
				(!chosen ||
					segment->tail.max_timestamp > chosen->tail.max_timestamp))
				chosen = segment;
		} else if (timestamp >= op->timestamp_ms) {
			chosen = segment;
			break;
		}
	}
	if (!chosen)
		return 0;
	segment_ref(chosen);
	error = op->timestamp_ms == LOG_TIMESTAMP_MAX ? time_find_max(op, chosen)
						      : time_find_in(op, chosen);
	segment_unref(chosen);
	return error;
}

static void time_answer(struct log_lookup *lookup, int error)
{
	struct log_time_lookup *op = container_of(lookup, struct log_time_lookup, lookup);

	if (error) {
		op->error_code = KAFKA_KAFKA_STORAGE_ERROR;
		op->offset = op->found_timestamp_ms = -1;
		op->leader_epoch = -1;
	}
	op->done(op);
}

void log_offset_for_time(struct log *log, struct log_time_lookup *op)
{
	op->lookup.attempt = time_attempt;
	op->lookup.answer = time_answer;
	lookup_begin(log, &op->lookup);
}
