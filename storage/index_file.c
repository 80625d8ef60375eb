#include "storage/index_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/log_internal.h"

/* A tail grows beyond a page only while a write is in flight or fails for lack of space. */
enum { TAIL_SIZE_MAX = 16 << 20 };

void index_file_init(struct index_file *index, struct segment *segment, enum index_kind kind)
{
	*index = (struct index_file){.segment = segment, .kind = kind};
}

void index_file_done(struct index_file *index)
{
	ensure(!index->writing);
	file_unref(index->file);
	free(index->tail);
	free(index->flight);
	index->file = NULL;
	index->tail = index->flight = NULL;
}

uint32_t index_file_count(const struct index_file *index)
{
	return index->written + index->flying + index->gathered;
}

static enum log_file_kind file_kind(const struct index_file *index)
{
	return index->kind == INDEX_OFFSET ? LOG_FILE_OFFSET_INDEX : LOG_FILE_TIME_INDEX;
}

static void index_path(
	const struct index_file *index, enum log_file_state state, char path[SEGMENT_PATH_SIZE_MAX])
{
	segment_path(index->segment, file_kind(index), state, path);
}

int index_file_open(struct index_file *index)
{
	struct segment *segment = index->segment;
	struct shard *shard = segment->log->shard;
	char path[SEGMENT_PATH_SIZE_MAX];
	struct file *file;
	uint64_t size;
	int error;

	if (index->file && index->counted) {
		segment_touch(segment);
		return 0;
	}
	if (!fiber_current(shard))
		return -EAGAIN;
	if (!index->file) {
		index_path(index, index->unnamed ? LOG_FILE_TEMPORARY : segment->state, path);
		error = fiber_open(shard, path, FILE_READ | FILE_WRITE, &file);
		if (error)
			return error;
		if (index->file) { /* another fiber was faster */
			file_unref(file);
		} else {
			index->file = file;
			segment_opened(segment);
		}
		segment_touch(segment);
	}
	if (!index->counted) {
		file = file_ref(index->file);
		error = fiber_file_size(shard, file, &size);
		file_unref(file);
		if (error)
			return error;
		if (!index->counted) {
			index->written = (uint32_t)(size / index_entry_size(index->kind));
			index->counted = true;
			index->unsynced = true; /* as far as this process knows */
		}
	}
	return index->file ? 0 : index_file_open(index);
}

static void entry_decode(
	const struct index_file *index, const uint8_t *from, struct index_entry *ret)
{
	int64_t base = index->segment->base_offset;

	if (index->kind == INDEX_OFFSET)
		*ret = (struct index_entry){
			.offset = base + (int32_t)load_be32(from),
			.timestamp = NO_TIMESTAMP,
			.position = load_be32(from + 4),
		};
	else
		*ret = (struct index_entry){
			.timestamp = (int64_t)load_be64(from),
			.offset = base + (int32_t)load_be32(from + 8),
		};
}

static int page_load(struct index_file *index, struct index_page *page, uint32_t slot)
{
	struct shard *shard = index->segment->log->shard;
	uint32_t entry_size = index_entry_size(index->kind),
		 per_page = INDEX_PAGE_SIZE / entry_size;
	uint32_t first = slot - slot % per_page;
	struct file *file = index->file;
	int64_t size;

	page->index = NULL;
	size = file_read_cached(
		shard, file, page->bytes, per_page * entry_size, (uint64_t)first * entry_size);
	if (size == -EAGAIN) {
		if (!fiber_current(shard))
			return -EAGAIN;
		file_ref(file);
		size = fiber_read(shard, file, page->bytes, per_page * entry_size,
			(uint64_t)first * entry_size);
		file_unref(file);
	}
	if (size < 0)
		return (int)size;
	page->first = first;
	page->count = (uint32_t)size / entry_size;
	/* The file is shorter than it was when its entries were counted: somebody cut it. */
	if (slot >= page->first + page->count)
		return -EIO;
	page->index = index;
	return 0;
}

int index_file_entry(struct index_file *index, struct index_page *page, uint32_t slot,
	struct index_entry *ret_entry)
{
	uint32_t entry_size = index_entry_size(index->kind);
	int error;

	for (;;) {
		ensure(slot < index_file_count(index));
		if (slot >= index->written + index->flying) {
			entry_decode(index,
				index->tail + (slot - index->written - index->flying) * entry_size,
				ret_entry);
			return 0;
		}
		if (slot >= index->written) {
			entry_decode(index, index->flight + (slot - index->written) * entry_size,
				ret_entry);
			return 0;
		}
		if (page->index == index && slot >= page->first &&
			slot < page->first + page->count) {
			entry_decode(
				index, page->bytes + (slot - page->first) * entry_size, ret_entry);
			return 0;
		}
		error = index_file_open(index);
		if (error)
			return error;
		error = page_load(index, page, slot);
		if (error)
			return error;
		/* Loading may have waited, and the index may have been cut meanwhile. */
		if (slot >= index_file_count(index))
			return -EAGAIN;
	}
}

enum search { BY_KEY, BY_POSITION, BY_OFFSET };

static int64_t search_value(const struct index_entry *entry, enum index_kind kind, enum search by)
{
	switch (by) {
	case BY_POSITION:
		return entry->position;
	case BY_OFFSET:
		return entry->offset;
	case BY_KEY:
		break;
	}
	return kind == INDEX_OFFSET ? entry->offset : entry->timestamp;
}

/* The first slot whose value is above KEY. */
static int above(struct index_file *index, struct index_page *page, enum search by, int64_t key,
	int64_t *ret_slot)
{
	int64_t low = 0, high;
	struct index_entry entry;
	int error;

	error = index->counted ? 0 : index_file_open(index);
	if (error)
		return error;
	high = index_file_count(index);
	while (low < high) {
		int64_t middle = low + (high - low) / 2;

		if (middle >= index_file_count(index)) /* cut while we waited */
			return -EAGAIN;
		error = index_file_entry(index, page, (uint32_t)middle, &entry);
		if (error)
			return error;
		if (search_value(&entry, index->kind, by) > key)
			high = middle;
		else
			low = middle + 1;
	}
	*ret_slot = low;
	return 0;
}

int index_file_floor(
	struct index_file *index, struct index_page *page, int64_t key, int64_t *ret_slot)
{
	int64_t slot;
	int error = above(index, page, BY_KEY, key, &slot);

	if (!error)
		*ret_slot = slot - 1;
	return error;
}

int index_file_offset_floor(
	struct index_file *index, struct index_page *page, int64_t offset, int64_t *ret_slot)
{
	int64_t slot;
	int error = above(index, page, BY_OFFSET, offset, &slot);

	if (!error)
		*ret_slot = slot - 1;
	return error;
}

int index_file_position_ceiling(
	struct index_file *index, struct index_page *page, uint64_t position, int64_t *ret_slot)
{
	return above(index, page, BY_POSITION, (int64_t)position - 1, ret_slot);
}

/* ---- writing ---- */

bool index_file_append(struct index_file *index, const struct index_entry *entry)
{
	uint32_t entry_size = index_entry_size(index->kind);
	uint32_t used = index->gathered * entry_size;
	int64_t relative = entry->offset - index->segment->base_offset;
	uint8_t *to;

	ensure(relative >= 0 && relative <= INT32_MAX);
	if (used + entry_size > index->tail_capacity) {
		uint32_t capacity = max_of(index->tail_capacity * 2, (uint32_t)INDEX_PAGE_SIZE / 8);
		void *tail = capacity > TAIL_SIZE_MAX ? NULL : realloc(index->tail, capacity);

		if (!tail)
			return false;
		index->tail = tail;
		index->tail_capacity = capacity;
	}
	to = index->tail + used;
	if (index->kind == INDEX_OFFSET) {
		store_be32(to, (uint32_t)relative);
		store_be32(to + 4, entry->position);
	} else {
		store_be64(to, (uint64_t)entry->timestamp);
		store_be32(to + 8, (uint32_t)relative);
	}
	index->gathered++;
	if (used + 2 * entry_size > INDEX_PAGE_SIZE && index->file && index->counted)
		index_file_flush_begin(index);
	return true;
}

static void write_done(struct shard *shard, struct file_op *op)
{
	struct index_file *index = container_of(op, struct index_file, op);
	struct segment *segment = index->segment;
	struct log *log = segment->log;
	uint32_t entry_size = index_entry_size(index->kind);

	index->writing = false;
	index->unsynced = true;
	file_unref(index->op_file);
	index->op_file = NULL;
	if (op->result >= 0) {
		index->written += index->flying;
		index->flying = 0;
		free(index->flight);
		index->flight = NULL;
	} else {
		/* Back in front of the tail: tried again with the next page, or made anew after a
		 * crash. */
		uint32_t flying = index->flying * entry_size,
			 gathered = index->gathered * entry_size;
		uint8_t *joined = realloc(index->flight, flying + gathered + entry_size);

		if (joined) {
			if (gathered)
				memcpy(joined + flying, index->tail, gathered);
			free(index->tail);
			index->tail = joined;
			index->tail_capacity = flying + gathered + entry_size;
			index->gathered += index->flying;
			index->flying = 0;
			index->flight = NULL;
		} else {
			op->result = -ENOMEM;
		}
		if (op->result != -ENOSPC)
			log_fail(log, (int)op->result);
	}
	log_drain_wake(log);
	segment_unref(segment);
}

void index_file_flush_begin(struct index_file *index)
{
	uint32_t entry_size = index_entry_size(index->kind);

	ensure(index->file && index->counted);
	if (index->writing || index->gathered == 0 || index->flying > 0)
		return;
	index->flight = index->tail;
	index->flying = index->gathered;
	index->tail = NULL;
	index->tail_capacity = index->gathered = 0;
	index->part = (struct iovec){
		.iov_base = index->flight,
		.iov_len = (size_t)index->flying * entry_size,
	};
	index->op = (struct file_op){.done = write_done};
	index->op_file = file_ref(index->file);
	index->writing = true;
	segment_ref(index->segment);
	file_write(index->segment->log->shard, &index->op, index->op_file, &index->part, 1,
		(uint64_t)index->written * entry_size);
}

static void write_wait(struct index_file *index)
{
	struct log *log = index->segment->log;

	while (index->writing)
		log_drain_wait(log);
}

int index_file_flush(struct index_file *index)
{
	int error;

	while (index->writing || index->gathered) {
		error = index_file_open(index);
		if (error)
			return error;
		index_file_flush_begin(index);
		write_wait(index);
		if (index->op.result < 0)
			return (int)index->op.result;
	}
	return 0;
}

static int file_resize(struct index_file *index, uint64_t size)
{
	struct shard *shard = index->segment->log->shard;
	struct file *file;
	int error = index_file_open(index);

	if (error)
		return error;
	file = file_ref(index->file);
	error = fiber_truncate(shard, file, size);
	index->unsynced = true;
	file_unref(file);
	return error;
}

int index_file_truncate(struct index_file *index, uint32_t count)
{
	uint32_t entry_size = index_entry_size(index->kind);
	int error = index_file_open(index);

	if (error)
		return error;
	write_wait(index);
	if (count >= index->written) {
		/* What is gathered stays as far as it is kept. */
		if (count - index->written < index->gathered)
			index->gathered = count - index->written;
		return 0;
	}
	index->written = count;
	index->gathered = 0;
	/* Through the exact size, so that what lies behind reads as zero when it is extended again.
	 */
	return file_resize(index, (uint64_t)count * entry_size);
}

int index_file_extend(struct index_file *index, int32_t size_bytes)
{
	uint32_t entry_size = index_entry_size(index->kind);
	int error = index_file_open(index);

	if (error)
		return error;
	return file_resize(
		index, (uint64_t)index_file_capacity(index->kind, size_bytes) * entry_size);
}

int index_file_trim(struct index_file *index)
{
	int error = index_file_flush(index);

	if (error)
		return error;
	error = index_file_open(index);
	if (error)
		return error;
	return file_resize(index, (uint64_t)index->written * index_entry_size(index->kind));
}

/*
 * Its size need not be synced: a file that a power cut left shorter is extended when it is opened, and
 * one that it left out is made anew.
 */
int index_file_create(struct index_file *index, int32_t size_bytes)
{
	struct segment *segment = index->segment;
	struct shard *shard = segment->log->shard;
	uint32_t capacity = index_file_capacity(index->kind, size_bytes);
	char path[SEGMENT_PATH_SIZE_MAX];
	struct file *file;
	int error;

	index_path(index, segment->state, path);
	error = fiber_open(
		shard, path, FILE_READ | FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
	if (error)
		return error;
	error = fiber_truncate(shard, file, (uint64_t)capacity * index_entry_size(index->kind));
	file_unref(file);
	index->counted = !error;
	return error;
}

int index_file_sync(struct index_file *index)
{
	char from[SEGMENT_PATH_SIZE_MAX], to[SEGMENT_PATH_SIZE_MAX];
	struct file *file;
	int error;

	if (!index->unsynced)
		return 0;
	error = index_file_open(index);
	if (error)
		return error;
	index->unsynced = false;
	file = file_ref(index->file);
	error = log_file_sync(index->segment->log, file);
	file_unref(file);
	if (error)
		index->unsynced = true;
	if (error || !index->unnamed)
		return error;
	index_path(index, LOG_FILE_TEMPORARY, from);
	index_path(index, LOG_FILE_LIVE, to);
	error = fiber_rename(index->segment->log->shard, from, to);
	if (!error)
		index->unnamed = false;
	else
		index->unsynced = true; /* so that the next sync gives it its name */
	return error;
}

int index_file_renew(struct index_file *index)
{
	char path[SEGMENT_PATH_SIZE_MAX];
	struct file *file;
	int error;

	ensure(!index->file && !index->unnamed && !index->writing && index->flying + index->gathered == 0);
	index_path(index, LOG_FILE_TEMPORARY, path);
	error = fiber_open(index->segment->log->shard, path,
		FILE_READ | FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
	if (error)
		return error;
	file_unref(file);
	index->unnamed = index->unsynced = true;
	index->counted = false;
	return 0;
}
