/*
 * Opening and closing. Opening a log that was closed cleanly lists its folder and looks at the
 * end of the active segment: the time doesn't depend on how much it holds. After a crash
 * everything past the recovery point is read and checked, in the order of Kafka's LogLoader:
 *
 *	leftovers (.deleted, .cleaned, .swap) -> segments -> recovery past the recovery point
 *	-> producers, epochs
 *
 * The first bad batch ends the log: it, what follows it in its segment, and the segments behind
 * are dropped.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/errors.h"
#include "storage/checkpoint_file.h"
#include "storage/log_internal.h"
#include "storage/partition_metadata.h"

enum {
	SCAN_SIZE = 1 << 20,
	SNAPSHOT_SIZE_MAX = 256 << 20,
	EPOCHS_SIZE_MAX = 64 << 20,
	YIELD_BATCHES = 256,
};

struct opening {
	struct log *log;
	const struct log_open *ask;
	struct log_recovery recovery;
	struct path_listing *listing;
	bool producers_loaded; /* recovery carries them along */
};

/* ---- scanning ---- */

struct scan {
	struct segment *segment;
	uint8_t *buffer;
	size_t capacity;
	uint64_t position, size; /* of what the buffer holds */
};

static int scan_begin(struct scan *scan, struct segment *segment)
{
	*scan = (struct scan){.segment = segment, .capacity = SCAN_SIZE};
	scan->buffer = malloc(SCAN_SIZE);
	return scan->buffer ? 0 : -ENOMEM;
}

static void scan_end(struct scan *scan)
{
	free(scan->buffer);
}

/* SIZE bytes at POSITION in memory: 1, 0 when the file ends before, or a negative errno. */
static int scan_bytes(struct scan *scan, uint64_t position, size_t size, const uint8_t **ret_bytes)
{
	int64_t got;

	if (position < scan->position || position + size > scan->position + scan->size) {
		if (size > scan->capacity) {
			uint8_t *grown = realloc(scan->buffer, size);

			if (!grown)
				return -ENOMEM;
			scan->buffer = grown;
			scan->capacity = size;
		}
		got = segment_read(scan->segment, scan->buffer, scan->capacity, position);
		scan->size = 0;
		if (got < 0)
			return (int)got;
		scan->position = position;
		scan->size = (uint64_t)got;
		if ((uint64_t)got < size)
			return 0;
	}
	*ret_bytes = scan->buffer + (position - scan->position);
	return 1;
}

/*
 * The whole batch at POSITION with its checksum looked at: 1; 0 when the rest of the file is no
 * good batch, and why.
 */
static int scan_batch(struct scan *scan, uint64_t position, uint64_t end, int64_t next_offset,
	const uint8_t **ret_data, struct batch_header *ret_header, const char **ret_why)
{
	const uint8_t *bytes = NULL;
	int found;

	*ret_why = "it is cut off";
	if (end - position < BATCH_SIZE_MIN)
		return 0;
	found = scan_bytes(scan, position,
		(size_t)min_of(end - position, (uint64_t)BATCH_HEADER_SIZE), &bytes);
	if (found <= 0)
		return found;
	found = batch_header_parse(
		bytes, (size_t)min_of(end - position, (uint64_t)BATCH_HEADER_SIZE), ret_header);
	if (found == -EAGAIN)
		return 0;
	if (found < 0) {
		*ret_why = "its header makes no sense";
		return 0;
	}
	if ((uint64_t)ret_header->size > end - position)
		return 0;
	found = scan_bytes(scan, position, (size_t)ret_header->size, &bytes);
	if (found <= 0)
		return found;
	*ret_why = "its checksum is wrong";
	if (batch_check(bytes, ret_header) < 0)
		return 0;
	*ret_why = "its offsets do not follow those before";
	if (ret_header->base_offset < next_offset ||
		ret_header->last_offset < ret_header->base_offset ||
		ret_header->last_offset - scan->segment->base_offset > INT32_MAX)
		return 0;
	*ret_data = bytes;
	return 1;
}

/* ---- producers ---- */

/* The producers as of the newest readable snapshot at or below OFFSET; without one, empty from the
 * log's start. */
static int snapshot_load(struct log *log, int64_t offset)
{
	char path[SEGMENT_PATH_SIZE_MAX];
	int64_t expiration_ms = log->store->options.producer_id_expiration_ms;
	int64_t at;
	char *data;
	size_t size;
	int error;

	for (uint32_t i = log->snapshot_count; i > 0; i = min_of(i - 1, log->snapshot_count)) {
		at = log->snapshots[i - 1];
		if (at > offset)
			continue;
		log_snapshot_path(log, at, LOG_FILE_LIVE, path);
		error = fiber_read_whole(log->shard, path, SNAPSHOT_SIZE_MAX, &data, &size);
		if (!error) {
			error = producer_state_decode(&log->producers, (uint8_t *)data, size, at,
				shard_wall_ms(log->shard),
				expiration_ms > 0 ? expiration_ms : INT64_MAX);
			free(data);
			if (!error) {
				log->snapshot_offset = at;
				return 0;
			}
		}
		if (error != -EBADMSG && error != -ENOENT && error != -EFBIG)
			return error;
		error = log_snapshots_remove(log, at, at + 1);
		if (error)
			return error;
	}
	log->snapshot_offset = 0;
	producer_state_clear(&log->producers, log->segments[0]->base_offset);
	return 0;
}

static int producers_replay(struct log *log, struct segment *segment, int64_t to_offset)
{
	struct producer_completed completed;
	struct segment_window window = {0};
	struct producer_change change;
	struct batch_header header;
	uint64_t position;
	uint8_t *data = NULL;
	uint32_t count = 0;
	int64_t got;
	int error;

	error = segment_find(
		segment, log->producers.map_end, segment->tail.size, &position, &header);
	while (error > 0 && header.base_offset < to_offset) {
		if (batch_has_producer_id(&header) && batch_is_control(&header)) {
			data = malloc((size_t)header.size);
			if (!data)
				return -ENOMEM;
			got = segment_read(segment, data, (size_t)header.size, position);
			if (got != header.size) {
				free(data);
				return got < 0 ? (int)got : -EIO;
			}
		}
		if (header.base_offset >= log->producers.map_end)
			producer_state_apply(&log->producers, &header, data, PRODUCER_TRUSTED, 0,
				&change, &completed);
		free(data);
		data = NULL;
		position += (uint32_t)header.size;
		if (++count % YIELD_BATCHES == 0)
			fiber_yield(log->shard);
		error = segment_header(segment, &window, position, segment->tail.size, &header);
	}
	return error == BATCH_ERROR_CORRUPT ? -EIO : min_of(error, 0);
}

int log_producers_load(struct log *log, int64_t offset)
{
	int64_t floor;
	int error;

	producer_state_clear(&log->producers, 0);
	error = snapshot_load(log, offset);
	floor = max_of(log_segment_floor(log, log->producers.map_end), (int64_t)0);
	for (uint32_t i = (uint32_t)floor; !error && i < log->segment_count; i++) {
		if (log->segments[i]->base_offset >= offset)
			break;
		error = producers_replay(log, log->segments[i], offset);
	}
	if (error)
		return error;
	log->producers.map_end = offset;
	producer_state_replicated(&log->producers, log->high_watermark);
	return 0;
}

int log_producers_keep(struct log *log)
{
	int64_t offset;
	uint8_t *data;
	size_t size;
	int error;

	if (log->producers.map_end <= log->snapshot_offset)
		return 0;
	error = log_snapshot_take(log, &data, &size, &offset);
	if (!error)
		error = log_snapshot_write(log, data, size, offset, true);
	return error;
}

/* ---- leftovers ---- */

static int listing_load(struct opening *opening)
{
	struct path_listing *listing;
	int error = fiber_list(opening->log->shard, opening->log->path, &listing);

	if (error)
		return error;
	path_listing_free(opening->listing);
	opening->listing = listing;
	return 0;
}

static int leftover_remove(struct opening *opening, const char *name)
{
	char path[SEGMENT_PATH_SIZE_MAX];
	int error;

	snprintf(path, sizeof(path), "%s/%s", opening->log->path, name);
	error = fiber_unlink(opening->log->shard, path);
	opening->recovery.leftovers_removed++;
	return error == -ENOENT ? 0 : error;
}

/* Metadata snapshots and their leavings belong to whoever writes them. */
static bool ends_with(const char *name, const char *ending)
{
	size_t size = strlen(name), ending_size = strlen(ending);

	return size >= ending_size && strcmp(name + size - ending_size, ending) == 0;
}

/* Behind the last whole batch of a .swap file, which a cleaner had finished and synced. */
static int swap_end(struct opening *opening, int64_t base_offset, int64_t *ret_end)
{
	struct log *log = opening->log;
	struct segment *segment = segment_new(log, base_offset);
	struct segment_window window = {0};
	struct batch_header header;
	uint64_t position = 0, size = 0;
	int error;

	if (!segment)
		return -ENOMEM;
	segment->state = LOG_FILE_SWAP;
	*ret_end = base_offset;
	error = segment_open_file(segment);
	if (!error)
		error = fiber_file_size(log->shard, segment->file, &size);
	while (!error) {
		error = segment_header(segment, &window, position, size, &header);
		if (error <= 0)
			break;
		*ret_end = header.last_offset + 1;
		position += (uint32_t)header.size;
		error = 0;
	}
	segment_unref(segment);
	return error == BATCH_ERROR_CORRUPT ? 0 : error;
}

/*
 * What a stop in the middle of a deletion or of compaction left: .deleted goes; a .cleaned file is
 * unfinished and goes, with .swap files at or behind it; other .swap files are finished and take
 * the place of what they cover.
 */
static int leftovers_settle(struct opening *opening)
{
	struct log *log = opening->log;
	int64_t cleaned_from = INT64_MAX, swap_from = INT64_MAX, swap_to = -1, end;
	char from[SEGMENT_PATH_SIZE_MAX], to[SEGMENT_PATH_SIZE_MAX];
	struct log_file_name name;
	bool changed = false;
	int error = 0;

	for (uint32_t i = 0; i < opening->listing->count; i++) {
		name = log_file_name_parse(opening->listing->entries[i].name);
		if (name.state == LOG_FILE_CLEANED && name.base_offset >= 0)
			cleaned_from = min_of(cleaned_from, name.base_offset);
	}
	for (uint32_t i = 0; !error && i < opening->listing->count; i++) {
		const char *file = opening->listing->entries[i].name;

		name = log_file_name_parse(file);
		if (opening->listing->entries[i].is_folder)
			continue;
		if (name.state == LOG_FILE_SWAP && name.base_offset >= 0 &&
			name.base_offset < cleaned_from) {
			if (name.kind == LOG_FILE_DATA) {
				error = swap_end(opening, name.base_offset, &end);
				swap_from = min_of(swap_from, name.base_offset);
				swap_to = max_of(swap_to, end);
			}
			changed = true;
			continue;
		}
		if ((name.state == LOG_FILE_DELETED && !ends_with(file, ".checkpoint.deleted")) ||
			name.state == LOG_FILE_CLEANED || name.state == LOG_FILE_SWAP ||
			(name.state == LOG_FILE_TEMPORARY && name.base_offset >= 0) ||
			strcmp(file, "leader-epoch-checkpoint.tmp") == 0 ||
			strcmp(file, "partition.metadata.tmp") == 0) {
			error = leftover_remove(opening, file);
			changed = true;
		}
	}
	for (uint32_t i = 0; !error && i < opening->listing->count; i++) {
		const char *file = opening->listing->entries[i].name;

		name = log_file_name_parse(file);
		if (name.base_offset >= swap_from && name.base_offset < swap_to &&
			name.state == LOG_FILE_LIVE && name.kind != LOG_FILE_SNAPSHOT)
			error = leftover_remove(opening, file);
	}
	for (uint32_t i = 0; !error && i < opening->listing->count; i++) {
		name = log_file_name_parse(opening->listing->entries[i].name);
		if (name.state != LOG_FILE_SWAP || name.base_offset < 0 ||
			name.base_offset >= cleaned_from)
			continue;
		snprintf(from, sizeof(from), "%s/%s", log->path, opening->listing->entries[i].name);
		snprintf(to, sizeof(to), "%.*s", (int)(strlen(from) - strlen(".swap")), from);
		error = fiber_rename(log->shard, from, to);
	}
	if (!error && changed)
		error = listing_load(opening);
	return error;
}

/* ---- segments ---- */

static bool listing_has(const struct opening *opening, int64_t base_offset, enum log_file_kind kind)
{
	char name[NAME_FILE_SIZE_MAX];

	log_file_name_print(name, base_offset, kind, LOG_FILE_LIVE);
	for (uint32_t low = 0, high = opening->listing->count; low < high;) {
		uint32_t middle = low + (high - low) / 2;
		int order = strcmp(opening->listing->entries[middle].name, name);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static int segments_list(struct opening *opening)
{
	struct log *log = opening->log;
	char path[SEGMENT_PATH_SIZE_MAX];
	struct segment *segment;
	struct log_file_name name;
	uint64_t size;
	int64_t modified_ms;
	bool is_folder;
	int error = 0;

	for (uint32_t i = 0; !error && i < opening->listing->count; i++) {
		const char *file = opening->listing->entries[i].name;

		name = log_file_name_parse(file);
		if (opening->listing->entries[i].is_folder || name.base_offset < 0 ||
			name.state != LOG_FILE_LIVE) {
			if (strcmp(file, "partition.metadata") != 0 &&
				strcmp(file, "leader-epoch-checkpoint") != 0 &&
				strcmp(file, "quorum-state") != 0 &&
				!ends_with(file, ".checkpoint"))
				opening->recovery.files_skipped++;
			continue;
		}
		switch (name.kind) {
		case LOG_FILE_DATA:
			snprintf(path, sizeof(path), "%s/%s", log->path, file);
			error = fiber_path_status(
				log->shard, path, &size, &modified_ms, &is_folder);
			if (error)
				break;
			error = -EFBIG;
			if (size > INT32_MAX)
				break;
			error = -ENOMEM;
			segment = segment_new(log, name.base_offset);
			if (!segment)
				break;
			segment->tail.size = (uint32_t)size;
			segment->modified_ms = modified_ms;
			segment->synced = true;
			error = log_segment_add(log, segment);
			if (error)
				segment_unref(segment);
			break;
		case LOG_FILE_SNAPSHOT:
			error = log_snapshot_note(log, name.base_offset);
			break;
		case LOG_FILE_OFFSET_INDEX:
		case LOG_FILE_TIME_INDEX:
		case LOG_FILE_TRANSACTION_INDEX:
			if (!listing_has(opening, name.base_offset, LOG_FILE_DATA))
				error = leftover_remove(opening, file);
			break;
		case LOG_FILE_OTHER:
			break;
		}
	}
	return error;
}

static int epochs_load(struct log *log)
{
	struct checkpoint_epoch_offset *entries;
	char path[SEGMENT_PATH_SIZE_MAX];
	struct arena arena;
	int32_t count;
	size_t size;
	char *data;
	int error;

	snprintf(path, sizeof(path), "%s/leader-epoch-checkpoint", log->path);
	error = fiber_read_whole(log->shard, path, EPOCHS_SIZE_MAX, &data, &size);
	if (error)
		return error == -ENOENT ? 0 : error;
	arena_init(&arena, 4096 + size * 8);
	error = checkpoint_epoch_offsets_parse(
		&arena, (struct str){.data = data, .size = (int32_t)size}, &entries, &count);
	for (int32_t i = 0; !error && i < count; i++)
		if (entries[i].epoch >= 0 && entries[i].offset >= 0)
			error = min_of(epoch_cache_assign(
					       &log->epochs, entries[i].epoch, entries[i].offset),
				0);
	arena_done(&arena);
	free(data);
	/* A damaged file says nothing; the batches past the recovery point still do. */
	if (error == -EBADMSG || error == -EPROTONOSUPPORT) {
		epoch_cache_clear(&log->epochs);
		error = 0;
	}
	return error;
}

/* ---- recovery ---- */

static int index_ready(struct index_file *index, enum log_file_kind kind)
{
	struct segment *segment = index->segment;
	char path[SEGMENT_PATH_SIZE_MAX];
	struct file *file;
	int error = index_file_open(index);

	if (error != -ENOENT)
		return error;
	segment_path(segment, kind, LOG_FILE_LIVE, path);
	error = fiber_open(segment->log->shard, path, FILE_READ | FILE_WRITE | FILE_CREATE, &file);
	if (error)
		return error;
	file_unref(file);
	return index_file_open(index);
}

/*
 * From where the segment that holds OFFSET must be read: the last index entry below it, if the
 * index up to there is sound and leads to a batch; else its start. Entries behind are dropped.
 */
static int recovery_place(struct segment *segment, int64_t offset, struct segment_tail *tail)
{
	struct index_file *offsets = &segment->indexes[INDEX_OFFSET];
	struct index_file *times = &segment->indexes[INDEX_TIME];
	struct segment_window window = {0};
	struct index_page page = {0};
	struct index_entry entry, before = {.offset = -1}, last = {.offset = -1};
	struct batch_header header;
	uint32_t count = 0, time_count = 0;
	int error;

	*tail = segment_tail_empty(segment->base_offset);
	for (; count < index_file_count(offsets); count++) {
		error = index_file_entry(offsets, &page, count, &entry);
		if (error)
			return error;
		if (entry.offset >= offset || entry.position >= segment->tail.size ||
			(count > 0 && (entry.offset <= before.offset ||
					      entry.position <= before.position)))
			break;
		before = entry;
	}
	/* The next entry must be past the offset or not be: a hole in front of it means that pages
	 * were lost. */
	last = before;
	if (count > 0) {
		error = segment_header(
			segment, &window, last.position, segment->tail.size, &header);
		if (error < 0 && error != BATCH_ERROR_CORRUPT)
			return error;
		if (error != 1 || header.last_offset != last.offset)
			count = 0;
	}
	page.index = NULL;
	before = (struct index_entry){.timestamp = -1, .offset = -1};
	for (; count > 0 && time_count < index_file_count(times); time_count++) {
		error = index_file_entry(times, &page, time_count, &entry);
		if (error)
			return error;
		if (entry.offset > last.offset)
			break;
		if (entry.timestamp <= before.timestamp || entry.offset <= before.offset) {
			count = 0;
			break;
		}
		before = entry;
	}
	if (count == 0)
		return 0;
	/*
	 * The batch of that entry is read again and would be entered again: so it goes, and its
	 * predecessors stay.
	 */
	tail->size = last.position;
	tail->offset_entries = count - 1;
	tail->indexed_offset = -1;
	if (count > 1) {
		error = index_file_entry(offsets, &page, count - 2, &entry);
		if (error)
			return error;
		tail->indexed_offset = entry.offset;
	}
	tail->since_index = INT32_MAX;
	page.index = NULL;
	for (time_count = 0; time_count < index_file_count(times); time_count++) {
		error = index_file_entry(times, &page, time_count, &entry);
		if (error)
			return error;
		if (entry.offset >= header.base_offset)
			break;
		tail->indexed_timestamp = tail->max_timestamp = entry.timestamp;
		tail->max_timestamp_offset = entry.offset;
	}
	tail->time_entries = time_count;
	error = segment_header(segment, &window, 0, segment->tail.size, &header);
	if (error < 0)
		return error == BATCH_ERROR_CORRUPT ? -EIO : error;
	if (error == 1)
		tail->first_timestamp = header.max_timestamp;
	return 0;
}

static int batch_recover(struct log *log, struct segment *segment, struct segment_tail *tail,
	const uint8_t *data, const struct batch_header *header, const uint32_t *capacities)
{
	struct producer_completed completed = {.producer_id = NO_PRODUCER_ID};
	struct segment_entries entries;
	struct producer_change change;

	segment_tail_advance(
		tail, header, (uint32_t)log->config.index_interval_bytes, capacities, &entries);
	segment_index(segment, &entries);
	if (header->magic >= 2 &&
		header->partition_leader_epoch > epoch_cache_latest(&log->epochs)) {
		int changed = epoch_cache_assign(
			&log->epochs, header->partition_leader_epoch, header->base_offset);

		if (changed < 0)
			return changed;
		log->epochs_dirty = true;
	}
	if (header->last_offset >= log->producers.map_end)
		producer_state_apply(
			&log->producers, header, data, PRODUCER_TRUSTED, 0, &change, &completed);
	if (completed.producer_id != NO_PRODUCER_ID && completed.aborted)
		return segment_aborted_add(segment, &completed);
	return 0;
}

/*
 * Reads the segment from where the recovery point says, makes its indexes anew from there, and cuts
 * it at the first bad batch. RET_NEXT: the offset behind its last good batch.
 */
static int segment_recover(struct opening *opening, struct segment *segment, int64_t from_offset,
	int64_t *ret_next, bool *ret_cut)
{
	struct log *log = opening->log;
	uint64_t size = segment->tail.size;
	uint32_t capacities[INDEX_KINDS], count = 0;
	struct segment_tail tail;
	struct batch_header header;
	const uint8_t *data;
	const char *why = "";
	struct scan scan;
	int64_t next = segment->base_offset;
	int error;

	error = index_ready(&segment->indexes[INDEX_OFFSET], LOG_FILE_OFFSET_INDEX);
	if (!error)
		error = index_ready(&segment->indexes[INDEX_TIME], LOG_FILE_TIME_INDEX);
	if (!error)
		error = recovery_place(segment, from_offset, &tail);
	if (!error)
		error = index_file_truncate(&segment->indexes[INDEX_OFFSET], tail.offset_entries);
	if (!error)
		error = index_file_truncate(&segment->indexes[INDEX_TIME], tail.time_entries);
	if (!error)
		error = segment_open_file(segment);
	if (error)
		return error;
	error = scan_begin(&scan, segment);
	if (error)
		return error;
	/* The first good batch tells where its producers must be known from. */
	error = scan_batch(&scan, tail.size, size, segment->base_offset, &data, &header, &why);
	if (error > 0)
		next = header.base_offset;
	if (error >= 0 && !opening->producers_loaded)
		error = min_of(log_producers_load(log, next), 0);
	opening->producers_loaded = true;
	if (error >= 0)
		error = segment_aborted_truncate(segment, next);
	log_index_capacities(log, capacities);
	while (error >= 0 && tail.size < size) {
		error = scan_batch(&scan, tail.size, size, next, &data, &header, &why);
		if (error <= 0)
			break;
		next = header.last_offset + 1;
		error = batch_recover(log, segment, &tail, data, &header, capacities);
		opening->recovery.scanned_bytes += header.size;
		if (++count % YIELD_BATCHES == 0)
			fiber_yield(log->shard);
	}
	scan_end(&scan);
	if (error < 0)
		return error;
	opening->recovery.segments_scanned++;
	opening->recovery.indexes_rebuilt += INDEX_KINDS;
	*ret_cut = tail.size < size;
	if (*ret_cut) {
		opening->recovery.dropped_bytes += (int64_t)(size - tail.size);
		opening->recovery.dropped_from_offset = next;
		snprintf(opening->recovery.reason, sizeof(opening->recovery.reason),
			"the batch at byte %u of segment %lld: %s", tail.size,
			(long long)segment->base_offset, why);
		error = segment_open_file(segment);
		if (!error)
			error = fiber_truncate(log->shard, segment->file, tail.size);
		if (error)
			return error;
	}
	/* Kafka enters the largest timestamp at the end of a recovered segment, too. */
	if (tail.max_timestamp > tail.indexed_timestamp) {
		if (index_file_append(&segment->indexes[INDEX_TIME],
			    &(struct index_entry){.offset = tail.max_timestamp_offset,
				    .timestamp = tail.max_timestamp})) {
			tail.indexed_timestamp = tail.max_timestamp;
			tail.time_entries++;
		}
	}
	tail.since_index = 0;
	segment->tail = tail;
	segment->tail_known = true;
	segment->synced = false;
	for (int kind = 0; !error && kind < INDEX_KINDS; kind++)
		error = index_file_trim(&segment->indexes[kind]);
	if (!error)
		error = segment_aborted_flush(segment, false);
	/*
	 * What was read may be in the page cache alone: a process that was killed wrote it and never
	 * synced it. From now on it is shown, and a retry is answered as a duplicate; so it must not
	 * go with the power. Once for each such segment.
	 */
	if (!error && tail.size > 0)
		error = log_file_sync(log->shard, segment->file);
	*ret_next = next;
	return error;
}

/* Removes a segment before anybody has seen it. */
static int segment_drop(struct opening *opening, uint32_t index)
{
	struct segment *segment = opening->log->segments[index];
	int error = segment_unlink(segment);

	if (error)
		return error;
	opening->recovery.dropped_bytes += segment->tail.size;
	opening->recovery.segments_dropped++;
	log_segment_remove(opening->log, index);
	segment_unref(segment);
	return 0;
}

/* From the end, so that a crash in between leaves no gap. */
static int segments_drop(struct opening *opening, uint32_t from)
{
	int error = 0;

	while (!error && opening->log->segment_count > from)
		error = segment_drop(opening, opening->log->segment_count - 1);
	return error;
}

/* Where the last segment ends, from its last index entry on; -EBADMSG when it doesn't end with a
 * whole batch. */
static int end_find(struct log *log, int64_t *ret_end)
{
	struct segment *active = log_active(log);
	struct index_file *offsets = &active->indexes[INDEX_OFFSET];
	struct segment_window window = {0};
	struct index_page page = {0};
	struct batch_header header;
	struct index_entry entry;
	uint64_t position = 0;
	uint32_t count;
	int error;

	*ret_end = active->base_offset;
	if (active->tail.size == 0)
		return 0;
	error = index_file_open(offsets);
	if (error)
		return error;
	count = index_file_count(offsets);
	if (count > 0) {
		error = index_file_entry(offsets, &page, count - 1, &entry);
		if (error)
			return error;
		if (entry.offset < active->base_offset || entry.position >= active->tail.size)
			return -EBADMSG;
		position = entry.position;
	}
	while ((error = segment_header(active, &window, position, active->tail.size, &header)) >
		0) {
		*ret_end = header.last_offset + 1;
		position += (uint32_t)header.size;
	}
	if (error == BATCH_ERROR_CORRUPT || (error == 0 && position != active->tail.size))
		return -EBADMSG;
	return error;
}

static bool indexes_are_there(const struct opening *opening, const struct segment *segment)
{
	return listing_has(opening, segment->base_offset, LOG_FILE_OFFSET_INDEX) &&
	       listing_has(opening, segment->base_offset, LOG_FILE_TIME_INDEX);
}

static int log_recover(struct opening *opening, int64_t *ret_end)
{
	struct log *log = opening->log;
	const struct log_open *ask = opening->ask;
	int64_t floor = log_segment_floor(log, ask->recovery_point), end = 0;
	bool cut = false, scanned = false;
	int error = 0;

	floor = max_of(floor, (int64_t)0);
	for (uint32_t i = 0; !error && !cut && i < log->segment_count; i++) {
		struct segment *segment = log->segments[i];
		bool past = !ask->clean && i >= floor;

		if (!past && indexes_are_there(opening, segment))
			continue;
		scanned = i + 1 == log->segment_count;
		error = segment_recover(opening, segment,
			past ? max_of(ask->recovery_point, segment->base_offset)
			     : segment->base_offset,
			&end, &cut);
		/* Made by a roll that the process did not live to finish; the one before it went
		 * on. */
		while (!error && !cut && i + 1 < log->segment_count &&
			log->segments[i + 1]->base_offset < end &&
			log->segments[i + 1]->tail.size == 0)
			error = segment_drop(opening, i + 1);
		/*
		 * A file that lost its end in a power cut may end with a whole batch. A snapshot of
		 * the producers at the next segment says that this one was synced, and that the gap
		 * is meant (compaction leaves such, and replicas of compacted logs have them).
		 */
		if (!error && !cut && past && !log->config.compact && i + 1 < log->segment_count &&
			log->segments[i + 1]->base_offset != end &&
			!listing_has(
				opening, log->segments[i + 1]->base_offset, LOG_FILE_SNAPSHOT)) {
			snprintf(opening->recovery.reason, sizeof(opening->recovery.reason),
				"segment %lld: the one before it ends at %lld",
				(long long)log->segments[i + 1]->base_offset, (long long)end);
			opening->recovery.dropped_from_offset = end;
			cut = true;
		}
		if (!error && cut)
			error = segments_drop(opening, i + 1);
		scanned |= cut;
		/* What Kafka, too, leaves at each segment that it recovered. */
		if (!error && i + 1 < log->segment_count && past &&
			!listing_has(
				opening, log->segments[i + 1]->base_offset, LOG_FILE_SNAPSHOT)) {
			log->producers.map_end = log->segments[i + 1]->base_offset;
			error = log_producers_keep(log);
		}
	}
	if (!error && !scanned) {
		error = end_find(log, &end);
		if (error == -EBADMSG)
			error = segment_recover(
				opening, log_active(log), log_active(log)->base_offset, &end, &cut);
	}
	*ret_end = end;
	return error;
}

/* ---- opening ---- */

static int log_first_segment(struct log *log, int64_t offset)
{
	struct segment *segment = segment_new(log, offset);
	int error;

	if (!segment)
		return -ENOMEM;
	error = segment_create(segment);
	if (!error)
		error = fiber_sync_folder(log->shard, log->path);
	if (!error)
		error = log_segment_add(log, segment);
	if (error)
		segment_unref(segment);
	return error;
}

/* Whose folder it is: 0 and the id, zero when nothing says so; or a negative errno. */
static int folder_topic_id(struct log *log, const char *path, struct uuid *ret_id)
{
	char *text;
	size_t size;
	int error = fiber_read_whole(log->shard, path, PARTITION_METADATA_FILE_LIMIT, &text, &size);

	*ret_id = UUID_ZERO;
	if (error)
		return error == -ENOENT ? 0 : error;
	/* One that was torn before it was durable had no records behind it. */
	if (partition_metadata_parse((struct str){text, (int32_t)size}, ret_id) < 0)
		*ret_id = UUID_ZERO;
	free(text);
	return 0;
}

/* Makes the folder, or finds it: its name, and which topic it belongs to, are durable before
 * anything is in it. -EEXIST: it is another topic's. */
static int folder_claim(struct log *log, const struct uuid *topic_id)
{
	char text[PARTITION_METADATA_TEXT_SIZE + 1], path[SEGMENT_PATH_SIZE_MAX];
	struct uuid found;
	int error = fiber_make_folder(log->shard, log->path);

	if (error == -EEXIST)
		error = 0;
	else if (error == 0)
		error = fiber_sync_folder(log->shard, log->folder);
	if (error || uuid_is_zero(topic_id))
		return error;
	if ((size_t)snprintf(path, sizeof(path), "%s/" PARTITION_METADATA_FILE_NAME, log->path) >=
		sizeof(path))
		return -ENAMETOOLONG;
	error = folder_topic_id(log, path, &found);
	if (error || uuid_equal(&found, topic_id))
		return error;
	if (!uuid_is_zero(&found))
		return -EEXIST;
	partition_metadata_format(topic_id, text);
	return fiber_replace(log->shard, path, text, strlen(text));
}

static int log_load(struct opening *opening)
{
	const struct log_open *ask = opening->ask;
	struct log *log = opening->log;
	struct segment *active;
	int64_t end = 0;
	int error;

	error = folder_claim(log, &ask->topic_id);
	if (!error)
		error = listing_load(opening);
	if (!error)
		error = leftovers_settle(opening);
	if (!error)
		error = segments_list(opening);
	if (!error)
		error = epochs_load(log);
	if (error)
		return error;
	log->start = ask->log_start;
	if (log->segment_count > 0) {
		error = log_recover(opening, &end);
		if (error)
			return error;
		/* The log ends before where it is said to begin: what there is was deleted. */
		if (end < log->start) {
			opening->recovery.dropped_from_offset = end;
			error = segments_drop(opening, 0);
			if (error)
				return error;
			end = log->start;
		}
	} else {
		end = log->start;
	}
	if (log->segment_count == 0) {
		error = log_first_segment(log, end);
		if (error)
			return error;
	}
	active = log_active(log);
	active->synced = false;
	log->start = max_of(log->start, log->segments[0]->base_offset);
	log->end = log->readable_end = end;
	log->high_watermark = max_of(ask->high_watermark, log->start);
	log->high_watermark = min_of(log->high_watermark, end);
	log->recovery_point = max_of(ask->recovery_point, log->segments[0]->base_offset);
	if (log->recovery_point > end || (ask->clean && !opening->recovery.segments_scanned))
		log->recovery_point = end;
	log->durable_end = log->recovery_point;
	if (epoch_cache_truncate_end(&log->epochs, end))
		log->epochs_dirty = true;
	if (epoch_cache_truncate_start(&log->epochs, log->start))
		log->epochs_dirty = true;
	error = segment_know_tail(active);
	for (int kind = 0; !error && kind < INDEX_KINDS; kind++)
		error = index_file_extend(
			&active->indexes[kind], log->config.segment_index_size_bytes);
	if (!error)
		error = segment_aborted_load(active);
	if (error)
		return error;
	/* Those behind the end are of bytes that are gone. */
	error = log_snapshots_remove(log, end + 1, INT64_MAX);
	if (error)
		return error;
	/* Kafka, too, takes a clean log without any snapshot for one without producers. */
	if (ask->clean && log->snapshot_count == 0)
		producer_state_clear(&log->producers, end);
	else if (log->producers.map_end != end || !opening->recovery.segments_scanned)
		error = log_producers_load(log, end);
	if (!error)
		error = log_snapshots_tidy(log);
	/* Of an empty log there is nothing to keep. */
	if (!error && opening->recovery.segments_scanned)
		error = log_producers_keep(log);
	producer_state_replicated(&log->producers, log->high_watermark);
	log->accepted = active->tail;
	if (log->recovery_point < end)
		log->unsynced_since_ns = max_of(shard_now_ns(log->shard), 1ull);
	return error;
}

void log_free(struct log *log)
{
	ensure(log->fibers == 0 && !log->checking && !log->writing && !log->write_is_due && !log->opening && !log->syncing);
	ensure(list_is_empty(&log->queued) && list_is_empty(&log->flying) &&
		list_is_empty(&log->durable));
	list_remove(&log->node);
	timer_stop(log->shard, &log->flush_timer);
	for (uint32_t i = 0; i < log->segment_count; i++)
		segment_unref(log->segments[i]);
	free(log->segments);
	free(log->ring);
	free(log->snapshots);
	producer_state_done(&log->producers);
	epoch_cache_done(&log->epochs);
	free(log->topic_text);
	free(log->path);
	free(log);
}

static struct log *log_new(struct log_store *store, const struct log_open *ask)
{
	struct log *log = calloc(1, sizeof(*log));
	size_t path_size = strlen(ask->folder) + strlen(ask->name) + 2;

	if (!log)
		return NULL;
	log->store = store;
	log->shard = store->shard;
	log->owner = ask->owner;
	log->folder = ask->folder;
	log->config = ask->config;
	log->partition = ask->partition;
	log->flush_timer.fire = log_flush_due;
	list_init(&log->queued);
	list_init(&log->flying);
	list_init(&log->durable);
	list_init(&log->syncs);
	list_init(&log->busy_waiters);
	list_init(&log->drain_waiters);
	producer_state_init(&log->producers, store->options.producer_ids_max);
	log->path = malloc(path_size);
	log->topic_text = malloc((size_t)max_of(ask->topic.size, 0) + 1);
	if (!log->path || !log->topic_text ||
		path_size + NAME_FILE_SIZE_MAX > SEGMENT_PATH_SIZE_MAX) {
		log_free(log);
		return NULL;
	}
	snprintf(log->path, path_size, "%s/%s", ask->folder, ask->name);
	snprintf(log->topic_text, (size_t)max_of(ask->topic.size, 0) + 1, "%.*s",
		STR_ARGS(ask->topic));
	log->topic = (struct str){.data = log->topic_text, .size = max_of(ask->topic.size, 0)};
	return log;
}

int log_open(struct log_store *store, const struct log_open *ask, struct log **ret_log,
	struct log_recovery *ret_recovery)
{
	struct opening opening = {.ask = ask, .recovery.dropped_from_offset = -1};
	int error;

	ensure(fiber_current(store->shard));
	if (log_store_folder_find(store, ask->folder))
		return -EIO;
	opening.log = log_new(store, ask);
	if (!opening.log)
		return -ENOMEM;
	opening.log->loading = true;
	error = log_load(&opening);
	opening.log->loading = false;
	path_listing_free(opening.listing);
	if (!error && opening.log->error)
		error = opening.log->error;
	if (!error && opening.log->epochs_dirty)
		error = log_epochs_write(opening.log);
	if (error) {
		/* Damaged bytes and a foreign folder are told to who asked; what the disk refuses
		 * fails the folder. */
		if (error > -4000 && error != -ENOMEM && error != -EEXIST && !opening.log->error)
			log_fail(opening.log, error);
		opening.log->closing = true;
		while (opening.log->fibers > 0)
			log_drain_wait(opening.log);
		log_free(opening.log);
		return error;
	}
	list_push_back(&store->logs, &opening.log->node);
	log_store_housekeeping_start(store);
	log_flush_schedule(opening.log);
	if (ret_recovery)
		*ret_recovery = opening.recovery;
	*ret_log = opening.log;
	return 0;
}

/* ---- closing ---- */

void log_quiesce(struct log *log)
{
	log->closing = true;
	log_append_hold(log);
	log_append_fail_all(log, KAFKA_KAFKA_STORAGE_ERROR);
	log_busy_begin(log);
	while (log->fibers > 0 || log->syncing || log->epochs_writing)
		log_drain_wait(log);
	log_busy_end(log);
}

static void closed_note(struct log *log)
{
	struct log_closed *closed = malloc(sizeof(*closed) + (size_t)log->topic.size);

	/* Without memory the checkpoints lack it: the next start reads more. */
	if (!closed)
		return;
	*closed = (struct log_closed){
		.folder = log->folder,
		.start = log->start,
		.high_watermark = log->high_watermark,
		.recovery_point = log->recovery_point,
		.partition = log->partition,
		.topic = {.data = closed->text, .size = log->topic.size},
	};
	memcpy(closed->text, log->topic.data, (size_t)log->topic.size);
	list_push_back(&log->store->closed, &closed->node);
}

int log_close(struct log *log)
{
	uint8_t *snapshot;
	size_t snapshot_size;
	int64_t snapshot_offset;
	int error;

	ensure(!log->closing);
	log->closing = true;
	log_append_hold(log);
	error = log->error;
	if (!error)
		error = log_checkpoint(log);
	log_quiesce(log);
	if (!error)
		error = log->error;
	if (!error)
		error = segment_finish(log_active(log));
	if (!error)
		error = segment_sync(log_active(log));
	if (!error && log->producers.map_end > log->snapshot_offset) {
		error = log_snapshot_take(log, &snapshot, &snapshot_size, &snapshot_offset);
		if (!error)
			error = log_snapshot_write(
				log, snapshot, snapshot_size, snapshot_offset, true);
	}
	if (!error)
		error = fiber_sync_folder(log->shard, log->path);
	log_sync_fail_all(log, -ESHUTDOWN);
	if (!error && log->recovery_point == log->end)
		closed_note(log);
	log_free(log);
	return error;
}

void log_abandon(struct log *log)
{
	log->closing = true;
	if (!log->error)
		log->error = -ESHUTDOWN;
	log_append_fail_all(log, KAFKA_KAFKA_STORAGE_ERROR);
	log_sync_fail_all(log, -ESHUTDOWN);
	log_free(log);
}
