/*
 * Recovery: reading what may be damaged. After a crash everything past the recovery point is read
 * and checked, in any case what has lost its indexes; the first bad batch ends the log: it, what
 * follows it in its segment, and the segments behind are dropped. Follows Kafka's LogLoader.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/log_opening.h"

enum { YIELD_BATCHES = 256 };

/* ---- scanning ---- */

struct scan {
	struct segment *segment;
	struct log_scan_buffer *shared; /* with other recoveries: pages that were touched once */
	uint8_t *buffer;		/* the same, or a larger one for a larger batch */
	size_t capacity;
	uint64_t position, size; /* of what the buffer holds */
};

static int scan_begin(struct scan *scan, struct segment *segment)
{
	struct list_node *node = list_pop_front(&segment->log->store->scan_buffers);
	struct log_scan_buffer *shared =
		node ? container_of(node, struct log_scan_buffer, node) : malloc(sizeof(*shared));

	if (!shared)
		return -ENOMEM;
	shared->node = (struct list_node){0};
	*scan = (struct scan){.segment = segment,
		.shared = shared,
		.buffer = shared->bytes,
		.capacity = LOG_SCAN_SIZE};
	return 0;
}

static void scan_end(struct scan *scan)
{
	if (scan->buffer != scan->shared->bytes)
		free(scan->buffer);
	list_push_front(&scan->segment->log->store->scan_buffers, &scan->shared->node);
}

/* Makes the buffer begin at POSITION with at least SIZE bytes of room: how many of them it has. */
static int64_t scan_move(struct scan *scan, uint64_t position, size_t size)
{
	uint8_t *buffer = scan->buffer;
	size_t kept = 0;

	if (position >= scan->position && position < scan->position + scan->size)
		kept = (size_t)(scan->position + scan->size - position);
	if (size > scan->capacity) {
		buffer = malloc(size);
		if (!buffer)
			return -ENOMEM;
		scan->capacity = size;
	}
	memmove(buffer, scan->buffer + scan->size - kept, kept);
	if (buffer != scan->buffer && scan->buffer != scan->shared->bytes)
		free(scan->buffer);
	scan->buffer = buffer;
	scan->position = position;
	scan->size = kept;
	return (int64_t)kept;
}

/* SIZE bytes at POSITION in memory: 1, 0 when the file ends before, or a negative errno. */
static int scan_bytes(struct scan *scan, uint64_t position, size_t size, const uint8_t **ret_bytes)
{
	int64_t kept, got;

	if (position < scan->position || position + size > scan->position + scan->size) {
		/* What is left of the last batch is not read again. */
		kept = scan_move(scan, position, size);
		if (kept < 0)
			return (int)kept;
		got = segment_read(scan->segment, scan->buffer + kept,
			scan->capacity - (size_t)kept, position + (uint64_t)kept);
		if (got < 0)
			return (int)got;
		scan->size += (uint64_t)got;
		if (scan->size < size)
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

/* ---- recovery ---- */

static const enum log_file_kind index_kinds[INDEX_KINDS] = {
	[INDEX_OFFSET] = LOG_FILE_OFFSET_INDEX,
	[INDEX_TIME] = LOG_FILE_TIME_INDEX,
};

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
 * From where the segment that holds OFFSET must be read: the last index entry below it up to which
 * both indexes are sound, if it leads to a batch; else its start. Entries behind are dropped.
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
	bool times_go_on = false;
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
	last = before;
	page.index = NULL;
	before = (struct index_entry){.timestamp = -1, .offset = -1};
	for (; count > 0 && time_count < index_file_count(times); time_count++) {
		error = index_file_entry(times, &page, time_count, &entry);
		if (error)
			return error;
		times_go_on = entry.offset > last.offset;
		if (times_go_on || entry.timestamp <= before.timestamp ||
			entry.offset <= before.offset)
			break;
		before = entry;
	}
	/*
	 * An entry behind shows that none is missed in front of it. Without one, the zeros may be the tail
	 * of the file, or a page that was lost, or the file itself was. Where the last batch that the
	 * offset index knows is no later than the last time, there was nothing to enter; else only what
	 * the last entry covers is believed.
	 */
	page.index = NULL;
	if (!times_go_on && time_count > 0 && last.offset > before.offset) {
		error = segment_header(
			segment, &window, last.position, segment->tail.size, &header);
		if (error < 0 && error != BATCH_ERROR_CORRUPT)
			return error;
		times_go_on = error == 1 && header.max_timestamp <= before.timestamp;
	}
	while (!times_go_on && count > 0 && last.offset > before.offset) {
		last = (struct index_entry){.offset = -1};
		if (--count == 0)
			break;
		error = index_file_entry(offsets, &page, count - 1, &last);
		if (error)
			return error;
	}
	if (count > 0) {
		error = segment_header(
			segment, &window, last.position, segment->tail.size, &header);
		if (error < 0 && error != BATCH_ERROR_CORRUPT)
			return error;
		if (error != 1 || header.last_offset != last.offset)
			count = 0;
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
	while (tail->time_entries < time_count) {
		error = index_file_entry(times, &page, tail->time_entries, &entry);
		if (error)
			return error;
		if (entry.offset >= header.base_offset)
			break;
		tail->indexed_timestamp = tail->max_timestamp = entry.timestamp;
		tail->max_timestamp_offset = entry.offset;
		tail->time_entries++;
	}
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

/* See log_doubt_mark. */
static int segment_rewrite(struct segment *segment, uint8_t *buffer, uint64_t from, uint64_t to)
{
	struct file *file = file_ref(segment->file);
	int64_t moved = 0;

	while (from < to && moved >= 0) {
		size_t size = (size_t)min_of(to - from, (uint64_t)LOG_SCAN_SIZE);

		moved = segment_read(segment, buffer, size, from);
		if (moved >= 0)
			moved = moved < (int64_t)size ? -EIO
						      : fiber_write(segment->log->shard, file,
								buffer, size, from);
		from += size;
	}
	file_unref(file);
	return (int)min_of(moved, (int64_t)0);
}

/*
 * Are indexes to be made anew from the segment's start that a later start would believe up to
 * FROM_OFFSET? When this one does not live to the end, one of them may be there and the other not.
 */
static bool index_is_missed(
	const struct opening *opening, const struct segment *segment, int64_t from_offset)
{
	return from_offset > segment->base_offset &&
	       (int64_t)segment->tail.size > opening->log->config.index_interval_bytes;
}

enum { WHOLE = -1 };

/*
 * Reads the segment from where the recovery point says, makes its indexes anew from there, and cuts
 * it at the first bad batch. RET_NEXT: the offset behind its last good batch. FROM_OFFSET is WHOLE
 * where the recovery point says nothing, but an index is missing or makes no sense.
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
	bool full = false;
	uint64_t rewrite_from;
	int error = 0;

	for (int kind = 0; !error && kind < INDEX_KINDS; kind++)
		error = from_offset == WHOLE ? index_file_renew(&segment->indexes[kind])
					     : index_ready(&segment->indexes[kind], index_kinds[kind]);
	if (!error)
		error = recovery_place(segment,
			opening->in_doubt || from_offset == WHOLE ? segment->base_offset
								  : from_offset,
			&tail);
	if (!error && tail.size == 0 && !opening->in_doubt &&
		index_is_missed(opening, segment, from_offset)) {
		opening->in_doubt = true;
		error = log_doubt_mark(log);
		if (!error)
			error = fiber_sync_folder(log->shard, log->path);
	}
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
	rewrite_from = tail.size;
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
		if (next <= opening->ask->recovery_point)
			rewrite_from = tail.size + (uint32_t)header.size;
		error = batch_recover(log, segment, &tail, data, &header, capacities);
		opening->recovery.scanned_bytes += header.size;
		if (++count % YIELD_BATCHES == 0)
			fiber_yield(log->shard);
	}
	/*
	 * A process may be killed between a sync that failed and its mark. Where a record is shown
	 * only when it is on the disk, what the page cache shows is never taken for that.
	 */
	if (error >= 0 &&
		(opening->in_doubt || (opening->sync_recovered && from_offset != WHOLE))) {
		error = segment_open_file(segment);
		if (!error)
			error = segment_rewrite(segment, scan.buffer, rewrite_from, tail.size);
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
	segment->checkpointed_size = (uint32_t)rewrite_from;
	segment->tail_known = true;
	segment->synced = false;
	/* The active segment's are extended to their full size soon. */
	for (int kind = 0; !error && kind < INDEX_KINDS; kind++)
		error = segment == log_active(log) ? index_file_flush(&segment->indexes[kind])
						   : index_file_trim(&segment->indexes[kind]);
	/* On a full disk the entries stay in memory; who has no room can still be read, and deleted. */
	full = error == -ENOSPC && segment == log_active(log) && !opening->in_doubt;
	if (full)
		error = 0;
	if (!error)
		error = segment_aborted_flush(segment, from_offset == WHOLE);
	for (int kind = 0; !error && kind < INDEX_KINDS; kind++)
		if (opening->in_doubt || (from_offset == WHOLE && !full))
			error = index_file_sync(&segment->indexes[kind]);
	/*
	 * What was read may be in the page cache alone: a process that was killed wrote it and never
	 * synced it. From now on it is shown, and a retry is answered as a duplicate: where an answer
	 * promises that the record is on the disk, it must not go with the power. Elsewhere the
	 * background sync takes it along. But what was cut off must not come back behind new batches,
	 * and a snapshot at the next segment will say that this one is whole.
	 */
	if (!error && (*ret_cut || segment != log_active(log) || opening->in_doubt ||
			      (opening->sync_recovered && tail.size > 0))) {
		error = segment_open_file(segment);
		if (!error)
			error = log_file_sync(log, segment->file);
	}
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
int opening_segments_drop(struct opening *opening, uint32_t from)
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
	return opening_has(opening, segment->base_offset, LOG_FILE_OFFSET_INDEX) &&
	       opening_has(opening, segment->base_offset, LOG_FILE_TIME_INDEX);
}

int opening_recover(struct opening *opening, int64_t *ret_end)
{
	struct log *log = opening->log;
	const struct log_open *ask = opening->ask;
	int64_t floor = log_segment_floor(log, ask->recovery_point), end = 0;
	char mark[SEGMENT_PATH_SIZE_MAX];
	bool cut = false, scanned = false;
	int error = 0;

	floor = max_of(floor, (int64_t)0);
	for (uint32_t i = 0; !error && !cut && i < log->segment_count; i++) {
		struct segment *segment = log->segments[i];
		bool past = (!ask->clean || opening->in_doubt) && i >= floor;

		if (!past && indexes_are_there(opening, segment))
			continue;
		scanned = i + 1 == log->segment_count;
		error = segment_recover(opening, segment,
			past ? max_of(ask->recovery_point, segment->base_offset) : WHOLE, &end,
			&cut);
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
			!opening_has(
				opening, log->segments[i + 1]->base_offset, LOG_FILE_SNAPSHOT)) {
			snprintf(opening->recovery.reason, sizeof(opening->recovery.reason),
				"segment %lld: the one before it ends at %lld",
				(long long)log->segments[i + 1]->base_offset, (long long)end);
			opening->recovery.dropped_from_offset = end;
			cut = true;
		}
		if (!error && cut)
			error = opening_segments_drop(opening, i + 1);
		scanned |= cut;
		/*
		 * A roll writes the snapshot last. Without one it was not finished, and the next
		 * segment's name may go with the power, whatever is synced of its bytes. The
		 * snapshot is what Kafka, too, leaves at each segment that it recovered.
		 */
		if (!error && i + 1 < log->segment_count && past &&
			!opening_has(
				opening, log->segments[i + 1]->base_offset, LOG_FILE_SNAPSHOT)) {
			error = fiber_sync_folder(log->shard, log->path);
			log->producers.map_end = log->segments[i + 1]->base_offset;
			if (!error)
				error = log_producers_keep(log);
		}
	}
	if (!error && !scanned) {
		error = end_find(log, &end);
		if (error == -EBADMSG) {
			segment_close_files(log_active(log));
			error = segment_recover(opening, log_active(log), WHOLE, &end, &cut);
		}
	}
	if (!error && opening->in_doubt) {
		snprintf(mark, sizeof(mark), "%s/" LOG_DOUBT_NAME, log->path);
		/* The names of indexes that were made here must not be younger than the mark's end. */
		error = fiber_sync_folder(log->shard, log->path);
		if (!error)
			error = fiber_unlink(log->shard, mark);
	}
	*ret_end = end;
	return error;
}
