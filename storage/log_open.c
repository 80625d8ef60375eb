/*
 * Opening and closing. Opening a log that was closed cleanly lists its folder and looks at the end
 * of the active segment: the time doesn't depend on how much it holds. After a crash everything
 * past the recovery point is read and checked, in the order of Kafka's LogLoader:
 *
 *	leftovers (.deleted, .cleaned, .swap) -> segments -> recovery past the recovery point
 *	-> producers, epochs
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/errors.h"
#include "storage/checkpoint_file.h"
#include "storage/log_opening.h"

enum { EPOCHS_SIZE_MAX = 64 << 20 };

/* ---- opening ---- */

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

static int log_first_segment(struct log *log, int64_t offset, bool in_new_folder)
{
	struct segment *segment = segment_new(log, offset);
	int error;

	if (!segment)
		return -ENOMEM;
	log_names_unsynced(log);
	error = in_new_folder ? segment_create_first(segment) : segment_create(segment);
	if (!error)
		error = log_segment_add(log, segment);
	if (error)
		segment_unref(segment);
	return error;
}

static int opening_read(struct opening *opening)
{
	int error = opening_settle(opening);

	if (!error)
		error = opening_segments_find(opening);
	if (!error && opening_has_name(opening, "leader-epoch-checkpoint"))
		error = epochs_load(opening->log);
	return error;
}

/* What was found is to be written on: its tail is known, its indexes have their full size. */
static int active_segment_ready(struct segment *active)
{
	int error = segment_know_tail(active);

	for (int kind = 0; !error && kind < INDEX_KINDS; kind++)
		error = index_file_extend(&active->indexes[kind],
			active->log->config.segment_index_size_bytes);
	return error ? error : segment_aborted_load(active);
}

static int log_load(struct opening *opening)
{
	const struct log_open *ask = opening->ask;
	struct log *log = opening->log;
	struct segment *active;
	bool is_made = false;
	int64_t end = 0;
	int error;

	error = opening_claim(opening);
	if (!error && !opening->is_new)
		error = opening_read(opening);
	if (error)
		return error;
	log->start = ask->log_start;
	if (log->segment_count > 0) {
		error = opening_recover(opening, &end);
		if (error)
			return error;
		/* The log ends before where it is said to begin: what there is was deleted. */
		if (end < log->start) {
			opening->recovery.dropped_from_offset = end;
			error = opening_segments_drop(opening, 0);
			if (error)
				return error;
			end = log->start;
		}
	} else {
		end = log->start;
	}
	if (log->segment_count == 0) {
		error = log_first_segment(log, end, opening->is_new);
		if (error)
			return error;
		is_made = true;
	}
	active = log_active(log);
	active->synced = false;
	log->files_start = log->segments[0]->base_offset;
	log->start = max_of(log->start, log->files_start);
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
	if (!is_made)
		error = active_segment_ready(active);
	if (error)
		return error;
	/* The start of a log that lost its end, or was made anew. */
	if (log->clean_end > end)
		log->clean_end = 0;
	/* Perhaps nothing of it was ever synced, not even its names. What the recovery point says may
	 * be of another log of this name, deleted since; and what recovery shows may have to be on
	 * the disk. */
	if (!ask->clean) {
		log_names_unsynced(log);
		log->owner_in_doubt = !opening->is_new;
	}
	if (log->names_unsynced && opening->sync_recovered && opening->recovery.segments_scanned) {
		error = log_names_sync(log);
		if (error)
			return error;
	}
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
	/* What was read from batches need not be read again. */
	if (opening->recovery.segments_scanned && log->producers.count > 0)
		log_snapshot_want(log);
	else
		log->snapshot_bytes = (uint64_t)opening->recovery.scanned_bytes;
	producer_state_replicated(&log->producers, log->high_watermark);
	log->accepted = active->tail;
	for (uint32_t i = 0; i < log->segment_count; i++)
		if (log_segment_end(log, i) <= log->recovery_point)
			log->segments[i]->checkpointed_size = log->segments[i]->tail.size;
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
	log_backlog_forget(log);
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
	log->no_room = ask->no_room;
	log->owner = ask->owner;
	log->folder = ask->folder;
	log->config = ask->config;
	log->partition = ask->partition;
	log->clean_end = ask->clean_end;
	log->flush_timer.fire = log_flush_due;
	log->long_sync_timer.fire = log_long_sync_retry;
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
	struct opening opening = {
		.ask = ask,
		.recovery.dropped_from_offset = -1,
		.sync_recovered =
			ask->durable_appends || ask->config.flush_messages < INT64_MAX,
	};
	int error;

	ensure(fiber_current(store->shard));
	if (log_store_folder_find(store, ask->folder))
		return -EIO;
	opening.log = log_new(store, ask);
	if (!opening.log)
		return -ENOMEM;
	opening.log->loading = true;
	log_store_opening_begin(store);
	error = log_load(&opening);
	log_store_opening_end(store);
	opening.log->loading = false;
	path_listing_free(opening.listing);
	if (!error && opening.log->error)
		error = opening.log->error;
	/* The folder may have failed meanwhile, by another log: that only told the logs it knew. */
	if (!error && log_store_folder_find(store, ask->folder))
		error = -EIO;
	if (error) {
		/* Damaged bytes, a foreign folder and a full disk are told to who asked; what else the
		 * disk refuses fails the folder. */
		if (error > -4000 && !log_error_is_passing(error) && error != -EEXIST &&
			error != -ENOSPC && !opening.log->error)
			log_fail(opening.log, error);
		opening.log->closing = true;
		while (opening.log->fibers > 0)
			log_drain_wait(opening.log);
		log_free(opening.log);
		return error;
	}
	list_push_back(&store->logs, &opening.log->node);
	log_backlog_count(opening.log);
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
	timer_stop(log->shard, &log->flush_timer);
	log_append_hold(log);
	log_append_fail_all(log, KAFKA_KAFKA_STORAGE_ERROR);
	/* Not with the log held: what is under way may still wait for its turn. */
	do {
		while (log->fibers > 0 || log->syncing || log->epochs_writing)
			log_drain_wait(log);
		log_busy_begin(log);
		log_busy_end(log);
	} while (log->fibers > 0 || log->syncing || log->epochs_writing);
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
