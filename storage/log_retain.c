/* What makes a log shorter: retention and DeleteRecords at its start, truncation at its end,
 * deletion of all of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/log_internal.h"

/* ---- segments ---- */

int log_segment_files_bury(struct segment *segment)
{
	static const enum log_file_kind kinds[] = {LOG_FILE_DATA, LOG_FILE_OFFSET_INDEX,
		LOG_FILE_TIME_INDEX, LOG_FILE_TRANSACTION_INDEX};
	struct log *log = segment->log;
	char from[SEGMENT_PATH_SIZE_MAX], to[SEGMENT_PATH_SIZE_MAX];
	int error = 0, failed;

	for (size_t i = 0; i < array_length(kinds); i++) {
		segment_path(segment, kinds[i], LOG_FILE_LIVE, from);
		segment_path(segment, kinds[i], LOG_FILE_DELETED, to);
		failed = fiber_rename(log->shard, from, to);
		if (!failed) {
			log_store_bury(log->store, to, false, log->config.file_delete_delay_ms);
			/*
			 * The records go first, also on the disk. Had a power cut taken that back,
			 * but not the deletion of an index or of the next segment, then there would
			 * be a segment without indexes, or a gap that recovery takes for lost bytes.
			 */
			if (kinds[i] == LOG_FILE_DATA)
				failed = fiber_sync_folder(log->shard, log->path);
		}
		if (failed && failed != -ENOENT)
			error = failed;
	}
	segment->state = LOG_FILE_DELETED;
	return error;
}

int log_segments_delete(struct log *log, uint32_t from, uint32_t to)
{
	uint32_t count = to - from;
	struct segment **doomed;
	int error = 0;

	ensure(log->busy && from <= to && to <= log->segment_count && count < log->segment_count);
	if (count == 0)
		return 0;
	doomed = malloc(count * sizeof(*doomed));
	if (!doomed)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		doomed[i] = log->segments[from];
		log_segment_remove(log, from);
	}
	for (uint32_t i = 0; i < count; i++) {
		while (doomed[i]->finishing) /* its files are in use by name */
			log_drain_wait(log);
		/* After a failure the others keep their names, so that there is no gap. */
		if (!error)
			error = log_segment_files_bury(doomed[i]);
		if (!error)
			error = log_snapshots_remove(
				log, doomed[i]->base_offset, doomed[i]->base_offset + 1);
		segment_unref(doomed[i]);
	}
	free(doomed);
	if (!error && from == 0)
		log->files_start = max_of(log->files_start, log->segments[0]->base_offset);
	return error;
}

/* ---- the start ---- */

/* When its newest record was written: its timestamp, but not one that lies in the future (Kafka
 * would keep it till then). */
static int segment_age_from(struct segment *segment, int64_t now_ms, int64_t *ret_ms)
{
	int error = segment_largest_timestamp(segment, ret_ms);

	if (!error && *ret_ms > now_ms)
		*ret_ms = min_of(segment->modified_ms, now_ms);
	return error;
}

/* How many segments at the start may go: in Kafka's order by start offset, size, time; each below
 * the high watermark. */
static int deletable_count(struct log *log, uint32_t *ret_count)
{
	const struct log_config *config = &log->config;
	int64_t now_ms = shard_wall_ms(log->shard), newest_ms;
	uint64_t size = log_size_bytes(log);
	uint32_t generation = log->generation;
	bool by_size = config->delete_old && config->retention_size_bytes >= 0;
	bool by_time = config->delete_old && config->retention_ms >= 0;
	uint32_t count;
	int error;

	for (count = 0; count < log->segment_count; count++) {
		struct segment *segment = log->segments[count];
		bool is_last = count + 1 == log->segment_count, goes = false;

		if (is_last && segment->tail.size == 0)
			break;
		if (log->high_watermark < log_segment_end(log, count) ||
			(is_last && log->end != log->readable_end))
			break;
		if (!is_last && log->segments[count + 1]->base_offset <= log->start)
			goes = true;
		else if (by_size && size >= segment->tail.size &&
			 size - segment->tail.size >= (uint64_t)config->retention_size_bytes)
			goes = true;
		if (!goes && by_time) {
			segment_ref(segment);
			error = segment_age_from(segment, now_ms, &newest_ms);
			segment_unref(segment);
			if (error)
				return error;
			if (generation != log->generation)
				return -EAGAIN;
			goes = now_ms - newest_ms > config->retention_ms;
		}
		if (!goes)
			break;
		size -= segment->tail.size;
	}
	*ret_count = count;
	return 0;
}

int log_retain(struct log *log)
{
	uint32_t count = 0;
	int error;

	log_busy_begin(log);
	error = log->error;
	while (!error) {
		error = deletable_count(log, &count);
		if (error == -EAGAIN) {
			error = 0;
			continue;
		}
		break;
	}
	if (!error && count > 0) {
		if (count == log->segment_count) {
			error = log_roll(log); /* one always stays */
			if (!error && count >= log->segment_count)
				count = log->segment_count - 1;
		}
		if (!error) {
			log_start_move(log, log->segments[count]->base_offset);
			error = log_segments_delete(log, 0, count);
		}
	}
	if (error && error != -ENOSPC && !log_error_is_passing(error) && !log->error)
		log_fail(log, error);
	log_busy_end(log);
	return error;
}

int log_delete_before(struct log *log, int64_t offset)
{
	uint32_t count = 0;
	int error;

	log_busy_begin(log);
	error = log->error ? log->error : log_start_advance(log, offset);
	if (!error) {
		while (count + 1 < log->segment_count &&
			log->segments[count + 1]->base_offset <= log->start)
			count++;
		error = log_segments_delete(log, 0, count);
		if (error && !log_error_is_passing(error) && !log->error)
			log_fail(log, error);
	}
	log_busy_end(log);
	return error;
}

/* ---- the end ---- */

static void ends_set(struct log *log, int64_t offset)
{
	log->readable_end = log->end = offset;
	log->start = min_of(log->start, offset);
	log->high_watermark = min_of(log->high_watermark, offset);
	log->recovery_point = min_of(log->recovery_point, offset);
	log->durable_end = min_of(log->durable_end, offset);
	log->clean_end = min_of(log->clean_end, offset);
}

/* The rest of SEGMENT, which is active now, goes from the first batch that reaches OFFSET. */
static int segment_cut(struct log *log, struct segment *segment, int64_t offset)
{
	struct index_page page = {0};
	struct segment_tail tail;
	struct batch_header header;
	uint64_t position;
	int64_t slot;
	int error, found;

	found = segment_find(segment, offset, segment->tail.size, &position, &header);
	if (found < 0)
		return found == BATCH_ERROR_CORRUPT ? -EIO : found;
	if (found == 0)
		position = segment->tail.size;
	log->end_is_gap = found == 0 || header.base_offset != offset;
	tail = segment_tail_empty(segment->base_offset);
	tail.size = (uint32_t)position;
	error = index_file_floor(&segment->indexes[INDEX_OFFSET], &page, offset - 1, &slot);
	if (!error)
		error = index_file_truncate(&segment->indexes[INDEX_OFFSET], (uint32_t)(slot + 1));
	page.index = NULL;
	if (!error)
		error = index_file_offset_floor(
			&segment->indexes[INDEX_TIME], &page, offset - 1, &slot);
	if (!error)
		error = index_file_truncate(&segment->indexes[INDEX_TIME], (uint32_t)(slot + 1));
	for (int kind = 0; !error && kind < INDEX_KINDS; kind++)
		error = index_file_extend(
			&segment->indexes[kind], log->config.segment_index_size_bytes);
	if (!error)
		error = segment_aborted_truncate(segment, offset);
	if (!error)
		error = segment_open_file(segment);
	if (!error)
		error = fiber_truncate(log->shard, segment->file, position);
	if (error)
		return error;
	segment->tail = tail;
	segment->checkpointed_size = min_of(segment->checkpointed_size, tail.size);
	segment->tail_known = false;
	return segment_know_tail(segment);
}

static int truncate_fully(struct log *log, int64_t offset)
{
	struct segment *segment = segment_new(log, offset), **doomed;
	uint32_t count = log->segment_count;
	int error = 0, failed;

	doomed = malloc(count * sizeof(*doomed));
	if (!segment || !doomed) {
		segment_unref(segment);
		free(doomed);
		return -ENOMEM;
	}
	memcpy(doomed, log->segments, count * sizeof(*doomed));
	log->segments[0] = segment;
	log->segment_count = 1;
	log->closed_size_bytes = 0;
	log->generation++;
	segment->tail_known = segment->aborted_loaded = true;
	log->accepted = segment->tail;
	log_ring_reset(log);
	ends_set(log, offset);
	log->start = log->high_watermark = log->durable_end = offset;
	log->clean_end = 0;
	log_backlog_count(log);
	log->files_start = min_of(log->files_start, offset);
	if (epoch_cache_clear(&log->epochs))
		log_epochs_changed(log);
	producer_state_clear(&log->producers, offset);
	log->snapshot_offset = offset;
	log->end_is_gap = false;
	for (uint32_t i = 0; i < count; i++) {
		while (doomed[i]->finishing)
			log_drain_wait(log);
		failed = log_segment_files_bury(doomed[i]);
		error = error ? error : failed;
		segment_unref(doomed[i]);
	}
	free(doomed);
	failed = log_snapshots_remove(log, 0, INT64_MAX);
	error = error ? error : failed;
	if (!error)
		error = segment_create(segment);
	if (!error)
		error = fiber_sync_folder(log->shard, log->path);
	if (!error)
		log->files_start = offset;
	return error;
}

static int truncate_to(struct log *log, int64_t offset)
{
	struct segment *segment;
	bool segments_go;
	int64_t floor;
	int error;

	/* A segment that is being closed must not be opened again under it. */
	for (uint32_t i = 0; i < log->segment_count; i++)
		while (i < log->segment_count && log->segments[i]->finishing)
			log_drain_wait(log);
	floor = log_segment_floor(log, offset);
	if (floor < 0 || (offset == log->segments[0]->base_offset && floor == 0))
		return truncate_fully(log, offset);
	/* The end becomes the offset, though the batch that held it may begin before it. */
	ends_set(log, offset);
	log->generation++;
	log_ring_reset(log);
	segments_go = floor + 1 < log->segment_count;
	error = log_segments_delete(log, (uint32_t)floor + 1, log->segment_count);
	/*
	 * On the disk, too, what lies behind goes first: if a power cut left the cut and brought a
	 * later segment back with its snapshot, recovery would take the gap for one that is meant.
	 */
	if (!error && segments_go)
		error = log_snapshots_remove(log, offset + 1, INT64_MAX);
	if (!error && segments_go)
		error = fiber_sync_folder(log->shard, log->path);
	if (error)
		return error;
	segment = log_active(log);
	segment->synced = false;
	error = segment_cut(log, segment, offset);
	if (log->recovery_point == offset)
		segment->checkpointed_size = segment->tail.size;
	log_backlog_count(log);
	log->accepted = segment->tail;
	log->generation++;
	if (epoch_cache_truncate_end(&log->epochs, offset))
		log_epochs_changed(log);
	if (!error)
		error = log_snapshots_remove(log, offset + 1, INT64_MAX);
	if (!error && offset != log->producers.map_end)
		error = log_producers_load(log, offset);
	if (!error)
		error = log_producers_keep(log);
	if (!error)
		error = segment_sync(segment);
	if (!error)
		error = fiber_sync_folder(log->shard, log->path);
	return error;
}

int log_truncate(struct log *log, int64_t offset)
{
	int error;

	ensure(offset >= 0);
	log_busy_begin(log);
	log_append_hold(log);
	error = log->error;
	if (!error && offset < log->end) {
		error = log_names_sync(log);
		if (!error)
			error = truncate_to(log, offset);
		if (error && !log->error)
			log_fail(log, error);
	}
	log_busy_end(log);
	log_append_release(log);
	log_sync_run(log);
	return error;
}

int log_truncate_fully(struct log *log, int64_t offset)
{
	int error;

	ensure(offset >= 0);
	log_busy_begin(log);
	log_append_hold(log);
	error = log->error;
	if (!error) {
		error = log_names_sync(log);
		if (!error)
			error = truncate_fully(log, offset);
		if (error && !log->error)
			log_fail(log, error);
	}
	log_busy_end(log);
	log_append_release(log);
	log_sync_run(log);
	return error;
}

/* ---- all of it ---- */

/* PATH, the folder of a partition in FOLDER, gets a name that no partition has, and goes later. */
static int folder_bury(struct log_store *store, const char *folder, const char *path,
	struct str topic, int32_t partition, int64_t delay_ms)
{
	char to[SEGMENT_PATH_SIZE_MAX], name[NAME_FOLDER_SIZE_MAX + 1];
	struct uuid unique;
	int error;

	shard_entropy(store->shard, &unique, sizeof(unique));
	log_folder_name_print_suffixed(name, topic, partition, &unique, "-delete");
	snprintf(to, sizeof(to), "%s/%s", folder, name);
	error = fiber_rename(store->shard, path, to);
	if (!error)
		error = fiber_sync_folder(store->shard, folder);
	if (!error)
		log_store_bury(store, to, true, delay_ms);
	return error;
}

int log_delete(struct log *log)
{
	int error = log->error;

	log_quiesce(log);
	if (!error) {
		error = folder_bury(log->store, log->folder, log->path, log->topic, log->partition,
			log->config.file_delete_delay_ms);
		if (error && !log->error)
			log_fail(log, error);
	}
	log_free(log);
	return error;
}

int log_delete_unopened(struct log_store *store, const char *folder, struct str topic,
	int32_t partition, int64_t delay_ms)
{
	char path[SEGMENT_PATH_SIZE_MAX];
	int error;

	snprintf(path, sizeof(path), "%s/%.*s-%d", folder, STR_ARGS(topic), partition);
	error = folder_bury(store, folder, path, topic, partition, delay_ms);
	return error == -ENOENT ? 0 : error;
}
