#include "storage/segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/log_internal.h"

struct segment *segment_new(struct log *log, int64_t base_offset)
{
	struct segment *segment = calloc(1, sizeof(*segment));
	uint64_t random;

	if (!segment)
		return NULL;
	segment->log = log;
	segment->base_offset = base_offset;
	segment->references = 1;
	segment->tail = segment_tail_empty(base_offset);
	segment->created_ms = segment->modified_ms = shard_wall_ms(log->shard);
	index_file_init(&segment->indexes[INDEX_OFFSET], segment, INDEX_OFFSET);
	index_file_init(&segment->indexes[INDEX_TIME], segment, INDEX_TIME);
	if (log->config.segment_jitter_ms > 0 && log->config.segment_ms > 0) {
		shard_entropy(log->shard, &random, sizeof(random));
		segment->jitter_ms =
			(int64_t)(random % (uint64_t)min_of(log->config.segment_jitter_ms,
						   log->config.segment_ms));
	}
	return segment;
}

struct segment *segment_ref(struct segment *segment)
{
	ensure(segment->references > 0);
	segment->references++;
	return segment;
}

void segment_unref(struct segment *segment)
{
	if (!segment || --segment->references > 0)
		return;
	segment_close_files(segment);
	index_file_done(&segment->indexes[INDEX_OFFSET]);
	index_file_done(&segment->indexes[INDEX_TIME]);
	free(segment->aborted);
	free(segment);
}

void segment_path(const struct segment *segment, enum log_file_kind kind, enum log_file_state state,
	char to[SEGMENT_PATH_SIZE_MAX])
{
	char name[NAME_FILE_SIZE_MAX];

	log_file_name_print(name, segment->base_offset, kind, state);
	snprintf(to, SEGMENT_PATH_SIZE_MAX, "%s/%s", segment->log->path, name);
}

void segment_touch(struct segment *segment)
{
	struct log_store *store = segment->log->store;

	list_remove(&segment->open_node);
	if (segment->open_files == 0 || segment->pinned)
		return;
	list_push_back(&store->open_segments, &segment->open_node);
}

void segment_opened(struct segment *segment)
{
	segment->open_files++;
	segment->log->store->open_files++;
	segment_touch(segment);
	log_store_reap(segment->log->store);
}

static void file_close(struct segment *segment, struct file **file)
{
	if (!*file)
		return;
	file_unref(*file);
	*file = NULL;
	segment->open_files--;
	segment->log->store->open_files--;
}

void segment_close_indexes(struct segment *segment)
{
	file_close(segment, &segment->indexes[INDEX_OFFSET].file);
	file_close(segment, &segment->indexes[INDEX_TIME].file);
	if (segment->open_files == 0)
		list_remove(&segment->open_node);
}

void segment_close_files(struct segment *segment)
{
	file_close(segment, &segment->file);
	segment_close_indexes(segment);
	ensure(segment->open_files == 0);
}

int segment_open_file(struct segment *segment)
{
	struct shard *shard = segment->log->shard;
	char path[SEGMENT_PATH_SIZE_MAX];
	struct file *file;
	int error;

	if (!segment->file) {
		if (!fiber_current(shard))
			return -EAGAIN;
		segment_path(segment, LOG_FILE_DATA, segment->state, path);
		error = fiber_open(shard, path, FILE_READ | FILE_WRITE, &file);
		if (error)
			return error;
		if (segment->file) {
			file_unref(file);
		} else {
			segment->file = file;
			segment_opened(segment);
		}
	}
	segment_touch(segment);
	return segment->file ? 0 : -EMFILE;
}

int64_t segment_read(struct segment *segment, void *to, size_t size, uint64_t position)
{
	struct shard *shard = segment->log->shard;
	struct file *file;
	int64_t result;
	int error = segment_open_file(segment);

	if (error)
		return error;
	result = file_read_cached(shard, segment->file, to, size, position);
	if (result != -EAGAIN || !fiber_current(shard))
		return result;
	file = file_ref(segment->file);
	result = fiber_read(shard, file, to, size, position);
	file_unref(file);
	return result;
}

/* ---- the tail ---- */

struct segment_tail segment_tail_empty(int64_t base_offset)
{
	return (struct segment_tail){
		.indexed_offset = -1,
		.indexed_timestamp = -1,
		.max_timestamp = -1,
		.max_timestamp_offset = base_offset,
		.first_timestamp = -1,
	};
}

void segment_tail_advance(struct segment_tail *tail, const struct batch_header *batch,
	uint32_t index_interval_bytes, const uint32_t capacities[INDEX_KINDS],
	struct segment_entries *ret_entries)
{
	*ret_entries = (struct segment_entries){0};
	if (tail->size == 0)
		tail->first_timestamp = batch->max_timestamp;
	if (batch->max_timestamp > tail->max_timestamp) {
		tail->max_timestamp = batch->max_timestamp;
		tail->max_timestamp_offset = batch->last_offset;
	}
	if (tail->since_index > index_interval_bytes) {
		if (tail->offset_entries < capacities[INDEX_OFFSET] &&
			(tail->offset_entries == 0 || batch->last_offset > tail->indexed_offset)) {
			ret_entries->offset_added = true;
			ret_entries->offset = (struct index_entry){
				.offset = batch->last_offset,
				.timestamp = NO_TIMESTAMP,
				.position = tail->size,
			};
			tail->offset_entries++;
			tail->indexed_offset = batch->last_offset;
		}
		/* The last place is kept for the entry at the end. */
		if (tail->time_entries + 1 < capacities[INDEX_TIME] &&
			tail->max_timestamp > tail->indexed_timestamp) {
			ret_entries->time_added = true;
			ret_entries->time = (struct index_entry){
				.offset = tail->max_timestamp_offset,
				.timestamp = tail->max_timestamp,
			};
			tail->time_entries++;
			tail->indexed_timestamp = tail->max_timestamp;
		}
		tail->since_index = 0;
	}
	tail->since_index += (uint32_t)batch->size;
	tail->size += (uint32_t)batch->size;
}

void segment_index(struct segment *segment, const struct segment_entries *entries)
{
	if (entries->offset_added)
		index_file_append(&segment->indexes[INDEX_OFFSET], &entries->offset);
	if (entries->time_added)
		index_file_append(&segment->indexes[INDEX_TIME], &entries->time);
}

/* ---- scans ---- */

int segment_header(struct segment *segment, struct segment_window *window, uint64_t position,
	uint64_t end, struct batch_header *ret_header)
{
	struct batch_header header;
	int64_t size;
	int error;

	if (position >= end || end - position < BATCH_SIZE_MIN)
		return 0;
	for (bool again = false;; again = true) {
		if (position >= window->position && position < window->position + window->size) {
			uint64_t skip = position - window->position;
			uint64_t available = min_of(window->size - skip, end - position);

			error = batch_header_parse(
				window->bytes + skip, (size_t)available, &header);
			if (error == 0) {
				if ((uint64_t)header.size > end - position)
					return 0;
				*ret_header = header;
				return 1;
			}
			if (error != -EAGAIN)
				return BATCH_ERROR_CORRUPT;
			if (again || available == end - position)
				return 0;
		} else if (again) {
			return 0; /* the file ends before its tail says so */
		}
		size = segment_read(segment, window->bytes, sizeof(window->bytes), position);
		window->size = size < 0 ? 0 : (uint32_t)size;
		window->position = position;
		if (size < 0)
			return (int)size;
	}
}

int segment_find(struct segment *segment, int64_t offset, uint64_t end, uint64_t *ret_position,
	struct batch_header *ret_header)
{
	struct index_file *index = &segment->indexes[INDEX_OFFSET];
	struct segment_window window;
	struct index_page page;
	struct index_entry entry;
	uint64_t position = 0;
	int64_t slot;
	int error;

	segment_window_init(&window);
	if (end > SEGMENT_WINDOW_SIZE) {
		page.index = NULL;
		error = index_file_floor(index, &page, offset, &slot);
		if (error)
			return error;
		if (slot >= 0) {
			error = index_file_entry(index, &page, (uint32_t)slot, &entry);
			if (error)
				return error;
			if (entry.position < end)
				position = entry.position;
		}
	}
	for (uint32_t steps = 1;; steps++) {
		error = segment_header(segment, &window, position, end, ret_header);
		if (error <= 0)
			return error;
		if (ret_header->last_offset >= offset) {
			*ret_position = position;
			return 1;
		}
		position += (uint32_t)ret_header->size;
		if (steps % 1024 == 0 && fiber_current(segment->log->shard))
			fiber_yield(segment->log->shard);
	}
}

int segment_know_tail(struct segment *segment)
{
	struct index_file *time = &segment->indexes[INDEX_TIME];
	struct index_file *offset = &segment->indexes[INDEX_OFFSET];
	struct segment_tail tail = segment->tail;
	struct segment_window window = {0};
	struct index_page page = {0};
	struct index_entry entry;
	struct batch_header header;
	uint64_t position = 0;
	int64_t slot;
	int error;

	if (segment->tail_known)
		return 0;
	error = index_file_open(time);
	if (!error)
		error = index_file_open(offset);
	if (error)
		return error;
	tail.offset_entries = index_file_count(offset);
	tail.time_entries = index_file_count(time);
	if (tail.offset_entries) {
		error = index_file_entry(offset, &page, tail.offset_entries - 1, &entry);
		if (error)
			return error;
		tail.indexed_offset = entry.offset;
	}
	if (tail.time_entries) {
		error = index_file_entry(time, &page, tail.time_entries - 1, &entry);
		if (error)
			return error;
		tail.indexed_timestamp = tail.max_timestamp = entry.timestamp;
		tail.max_timestamp_offset = entry.offset;
	}
	error = segment_header(segment, &window, 0, tail.size, &header);
	if (error < 0 && error != BATCH_ERROR_CORRUPT)
		return error;
	if (error == 1)
		tail.first_timestamp = header.max_timestamp;
	/*
	 * A closed segment's last time entry is its maximum. That of the active one may be behind
	 * it when the process died: look at the batches behind the last offset entry too.
	 */
	if (segment == log_active(segment->log)) {
		if (tail.time_entries && tail.offset_entries) {
			error = index_file_floor(offset, &page, tail.max_timestamp_offset, &slot);
			if (error)
				return error;
			if (slot >= 0) {
				error = index_file_entry(offset, &page, (uint32_t)slot, &entry);
				if (error)
					return error;
				position = entry.position;
			}
		}
		while ((error = segment_header(segment, &window, position, tail.size, &header)) >
			0) {
			if (header.max_timestamp > tail.max_timestamp) {
				tail.max_timestamp = header.max_timestamp;
				tail.max_timestamp_offset = header.last_offset;
			}
			position += (uint32_t)header.size;
		}
		if (error < 0 && error != BATCH_ERROR_CORRUPT)
			return error;
	}
	if (!segment->tail_known) {
		segment->tail = tail;
		segment->tail_known = true;
	}
	return 0;
}

int segment_largest_timestamp(struct segment *segment, int64_t *ret_timestamp)
{
	int error = segment_know_tail(segment);

	if (error)
		return error;
	*ret_timestamp = segment->tail.max_timestamp >= 0 ? segment->tail.max_timestamp
							  : segment->modified_ms;
	return 0;
}

/* ---- the transaction index ---- */

static int aborted_put(struct segment *segment, const struct segment_aborted *row)
{
	if (segment->aborted_count == segment->aborted_capacity) {
		uint32_t capacity = segment->aborted_capacity ? segment->aborted_capacity * 2 : 8;
		void *rows = realloc(segment->aborted, capacity * sizeof(*segment->aborted));

		if (!rows)
			return -ENOMEM;
		segment->aborted = rows;
		segment->aborted_capacity = capacity;
	}
	segment->aborted[segment->aborted_count++] = *row;
	return 0;
}

/* Rows whose version is not ours end the index, as damage does. */
int segment_aborted_load(struct segment *segment)
{
	enum { INDEX_LIMIT = 256 << 20 };
	struct shard *shard = segment->log->shard;
	char path[SEGMENT_PATH_SIZE_MAX];
	char *data = NULL;
	size_t size = 0;
	int error;

	if (segment->aborted_loaded)
		return 0;
	if (!fiber_current(shard))
		return -EAGAIN;
	segment_path(segment, LOG_FILE_TRANSACTION_INDEX, segment->state, path);
	error = fiber_read_whole(shard, path, INDEX_LIMIT, &data, &size);
	if (error && error != -ENOENT)
		return error;
	if (!segment->aborted_loaded) {
		segment->aborted_count = 0;
		for (size_t at = 0; at + SEGMENT_ABORTED_SIZE <= size; at += SEGMENT_ABORTED_SIZE) {
			const uint8_t *row = (const uint8_t *)data + at;

			if (load_be16(row) != 0)
				break;
			error = aborted_put(
				segment, &(struct segment_aborted){
						 .producer_id = (int64_t)load_be64(row + 2),
						 .first_offset = (int64_t)load_be64(row + 10),
						 .last_offset = (int64_t)load_be64(row + 18),
						 .last_stable_offset = (int64_t)load_be64(row + 26),
					 });
			if (error)
				break;
		}
		segment->aborted_written = segment->aborted_count;
		segment->aborted_loaded = error != -ENOMEM;
	}
	free(data);
	return error == -ENOMEM ? -ENOMEM : 0;
}

int segment_aborted_add(struct segment *segment, const struct producer_completed *completed)
{
	return aborted_put(segment, &(struct segment_aborted){
					    .producer_id = completed->producer_id,
					    .first_offset = completed->first_offset,
					    .last_offset = completed->last_offset,
					    .last_stable_offset = completed->last_stable_offset,
				    });
}

static void aborted_encode(const struct segment_aborted *row, uint8_t to[SEGMENT_ABORTED_SIZE])
{
	store_be16(to, 0);
	store_be64(to + 2, (uint64_t)row->producer_id);
	store_be64(to + 10, (uint64_t)row->first_offset);
	store_be64(to + 18, (uint64_t)row->last_offset);
	store_be64(to + 26, (uint64_t)row->last_stable_offset);
}

int segment_aborted_flush(struct segment *segment, bool sync)
{
	struct shard *shard = segment->log->shard;
	uint32_t from = segment->aborted_written, count = segment->aborted_count - from;
	char path[SEGMENT_PATH_SIZE_MAX];
	struct file *file;
	uint8_t *rows;
	int error;

	if (!segment->aborted_loaded || (count == 0 && (!sync || from == 0)))
		return 0;
	rows = malloc((size_t)count * SEGMENT_ABORTED_SIZE + 1);
	if (!rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		aborted_encode(
			&segment->aborted[from + i], rows + (size_t)i * SEGMENT_ABORTED_SIZE);
	segment_path(segment, LOG_FILE_TRANSACTION_INDEX, segment->state, path);
	error = fiber_open(shard, path, FILE_READ | FILE_WRITE | FILE_CREATE, &file);
	if (!error) {
		if (count)
			error = fiber_write(shard, file, rows, (size_t)count * SEGMENT_ABORTED_SIZE,
				(uint64_t)from * SEGMENT_ABORTED_SIZE);
		if (!error)
			segment->aborted_written = from + count;
		if (!error && sync)
			error = log_file_sync(segment->log, file);
		file_unref(file);
	}
	free(rows);
	return error;
}

int segment_aborted_truncate(struct segment *segment, int64_t offset)
{
	struct shard *shard = segment->log->shard;
	char path[SEGMENT_PATH_SIZE_MAX];
	struct file *file;
	int error = segment_aborted_load(segment);

	if (error)
		return error;
	while (segment->aborted_count &&
		segment->aborted[segment->aborted_count - 1].last_offset >= offset)
		segment->aborted_count--;
	if (segment->aborted_written <= segment->aborted_count)
		return 0;
	segment->aborted_written = segment->aborted_count;
	segment_path(segment, LOG_FILE_TRANSACTION_INDEX, segment->state, path);
	error = fiber_open(shard, path, FILE_READ | FILE_WRITE, &file);
	if (error)
		return error == -ENOENT ? 0 : error;
	error = fiber_truncate(
		shard, file, (uint64_t)segment->aborted_count * SEGMENT_ABORTED_SIZE);
	file_unref(file);
	return error;
}

/* ---- whole segments ---- */

int segment_sync(struct segment *segment)
{
	struct file *file;
	int error = segment_open_file(segment);

	if (error)
		return error;
	file = file_ref(segment->file);
	error = log_file_sync(segment->log, file);
	file_unref(file);
	for (int kind = 0; !error && kind < INDEX_KINDS; kind++) {
		error = index_file_flush(&segment->indexes[kind]);
		if (!error)
			error = index_file_sync(&segment->indexes[kind]);
	}
	return error ? error : segment_aborted_flush(segment, true);
}

static int data_create(struct segment *segment)
{
	struct log *log = segment->log;
	char path[SEGMENT_PATH_SIZE_MAX];
	struct file *file;
	int error;

	segment_path(segment, LOG_FILE_DATA, segment->state, path);
	error = fiber_open(log->shard, path, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_TRUNCATE,
		&file);
	if (error)
		return error;
	segment->file = file;
	segment_opened(segment);
	if (!log->config.preallocate)
		return 0;
	file_ref(file);
	error = fiber_allocate(log->shard, file, (uint64_t)log->config.segment_size_bytes);
	file_unref(file);
	return error;
}

int segment_create_first(struct segment *segment)
{
	int error = data_create(segment);

	for (int kind = 0; !error && kind < INDEX_KINDS; kind++)
		error = index_file_create(
			&segment->indexes[kind], segment->log->config.segment_index_size_bytes);
	if (!error)
		segment->tail_known = segment->aborted_loaded = true;
	return error;
}

int segment_create(struct segment *segment)
{
	char path[SEGMENT_PATH_SIZE_MAX];
	int error;

	segment_path(segment, LOG_FILE_TRANSACTION_INDEX, segment->state, path);
	error = fiber_unlink(segment->log->shard, path);
	if (error && error != -ENOENT)
		return error;
	return segment_create_first(segment);
}

int segment_unlink(struct segment *segment)
{
	static const enum log_file_kind kinds[] = {LOG_FILE_DATA, LOG_FILE_OFFSET_INDEX,
		LOG_FILE_TIME_INDEX, LOG_FILE_TRANSACTION_INDEX};
	char path[SEGMENT_PATH_SIZE_MAX];
	int error = 0;

	for (size_t i = 0; i < array_length(kinds); i++) {
		int failed;

		segment_path(segment, kinds[i], segment->state, path);
		failed = fiber_unlink(segment->log->shard, path);
		if (failed && failed != -ENOENT)
			error = failed;
	}
	return error;
}

int segment_finish(struct segment *segment)
{
	struct index_file *time = &segment->indexes[INDEX_TIME];
	struct segment_tail *tail = &segment->tail;
	struct file *file;
	int error = segment_know_tail(segment);

	if (error)
		return error;
	if (tail->max_timestamp > tail->indexed_timestamp) {
		if (!index_file_append(time, &(struct index_entry){
						     .offset = tail->max_timestamp_offset,
						     .timestamp = tail->max_timestamp,
					     }))
			return -ENOMEM;
		tail->indexed_timestamp = tail->max_timestamp;
		tail->time_entries++;
	}
	error = index_file_trim(&segment->indexes[INDEX_OFFSET]);
	if (!error)
		error = index_file_trim(time);
	if (!error && segment->log->config.preallocate) {
		error = segment_open_file(segment);
		if (error)
			return error;
		file = file_ref(segment->file);
		error = fiber_truncate(segment->log->shard, file, tail->size);
		file_unref(file);
	}
	return error;
}
