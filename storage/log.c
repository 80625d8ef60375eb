/* What is known of a log without the disk: its settings, its offsets, its list of segments, and who
 * may work on it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/errors.h"
#include "storage/log_internal.h"

void log_config_init(struct log_config *config)
{
	*config = (struct log_config){
		.segment_size_bytes = 1 << 30,
		.segment_ms = 7ll * 24 * 3600 * 1000,
		.max_compaction_lag_ms = INT64_MAX,
		.delete_retention_ms = 24ll * 3600 * 1000,
		.min_cleanable_dirty_ratio = 0.5,
		.segment_index_size_bytes = 10 << 20,
		.index_interval_bytes = 4096,
		.retention_ms = 7ll * 24 * 3600 * 1000,
		.retention_size_bytes = -1,
		.file_delete_delay_ms = 60000,
		.flush_messages = INT64_MAX,
		.flush_ms = INT64_MAX,
		.max_message_bytes = 1048588,
		.timestamp_before_max_ms = INT64_MAX,
		.timestamp_after_max_ms = 3600000,
		.timestamp_type = TIMESTAMP_CREATE,
		.compression = LOG_COMPRESSION_PRODUCER,
		.compression_level = LOG_COMPRESSION_LEVEL_STANDARD,
		.delete_old = true,
	};
}

void log_config_init_metadata(struct log_config *config)
{
	log_config_init(config);
	config->max_message_bytes = INT32_MAX;
	config->retention_ms = -1;
	config->delete_old = false;
	config->timestamp_after_max_ms = INT64_MAX;
}

void *log_owner(const struct log *log)
{
	return log->owner;
}

struct log_store *log_store_of(const struct log *log)
{
	return log->store;
}

struct str log_topic(const struct log *log)
{
	return log->topic;
}

int32_t log_partition(const struct log *log)
{
	return log->partition;
}

const char *log_folder(const struct log *log)
{
	return log->folder;
}

const char *log_path(const struct log *log)
{
	return log->path;
}

const struct log_config *log_config(const struct log *log)
{
	return &log->config;
}

void log_config_set(struct log *log, const struct log_config *config)
{
	log->config = *config;
	log_flush_schedule(log);
}

/* ---- offsets ---- */

int64_t log_start(const struct log *log)
{
	return log->start;
}

int64_t log_high_watermark(const struct log *log)
{
	return log->high_watermark;
}

int64_t log_readable_end(const struct log *log)
{
	return log->readable_end;
}

int64_t log_settled_end(const struct log *log)
{
	const struct log_append *first;

	if (list_is_empty(&log->durable))
		return log->readable_end;
	first = container_of(list_first(&log->durable), struct log_append, node);
	return min_of(first->base_offset, log->readable_end);
}

int64_t log_end(const struct log *log)
{
	return log->end;
}

int64_t log_recovery_point(const struct log *log)
{
	return log->recovery_point;
}

int64_t log_last_stable_offset(const struct log *log)
{
	int64_t unstable = producer_state_first_unstable(&log->producers);

	if (unstable < 0 || unstable >= log->high_watermark)
		return log->high_watermark;
	return max_of(unstable, log->start);
}

int64_t log_high_watermark_set(struct log *log, int64_t offset)
{
	offset = min_of(offset, log->readable_end);
	if (offset > log->high_watermark) {
		log->high_watermark = offset;
		producer_state_replicated(&log->producers, offset);
	}
	return log->high_watermark;
}

void log_start_move(struct log *log, int64_t offset)
{
	if (offset <= log->start)
		return;
	log->start = offset;
	log->high_watermark = max_of(log->high_watermark, offset);
	producer_state_replicated(&log->producers, offset);
	log->producers.map_end = max_of(log->producers.map_end, offset);
	if (epoch_cache_truncate_start(&log->epochs, offset))
		log_epochs_changed(log);
}

int log_start_advance(struct log *log, int64_t offset)
{
	if (offset > log->high_watermark)
		return -ERANGE;
	log_start_move(log, offset);
	return 0;
}

/* ---- epochs ---- */

int32_t log_latest_epoch(const struct log *log)
{
	return epoch_cache_latest(&log->epochs);
}

int log_epoch_assign(struct log *log, int32_t epoch, int64_t start_offset)
{
	int changed = epoch_cache_assign(&log->epochs, epoch, start_offset);

	if (changed > 0)
		log_epochs_grown(log);
	return min_of(changed, 0);
}

void log_epoch_end_offset(
	const struct log *log, int32_t epoch, int32_t *ret_epoch, int64_t *ret_end_offset)
{
	epoch_cache_end_offset(&log->epochs, epoch, log->readable_end, ret_epoch, ret_end_offset);
}

int32_t log_epoch_at(const struct log *log, int64_t offset)
{
	return epoch_cache_at(&log->epochs, offset);
}

/* ---- producers ---- */

uint32_t log_producer_count(const struct log *log)
{
	return log->producers.count;
}

uint32_t log_producers(const struct log *log, struct log_producer *rows, uint32_t capacity)
{
	for (uint32_t i = 0; i < log->producers.count && i < capacity; i++) {
		const struct producer_entry *entry = log->producers.entries[i].entry;
		const struct producer_batch *newest = producer_entry_newest(entry);

		rows[i] = (struct log_producer){
			.producer_id = entry->producer_id,
			.producer_epoch = entry->producer_epoch,
			.last_sequence = newest ? newest->last_sequence : NO_SEQUENCE,
			.last_timestamp_ms = entry->last_timestamp,
			.coordinator_epoch = entry->coordinator_epoch,
			.transaction_start_offset = entry->transaction_first_offset,
		};
	}
	return log->producers.count;
}

bool log_transaction_is_open(const struct log *log, int64_t producer_id, int16_t producer_epoch)
{
	const struct producer_entry *entry = producer_state_find(&log->producers, producer_id);

	return entry && entry->transaction_first_offset >= 0 &&
	       entry->producer_epoch == producer_epoch;
}

/* ---- segments ---- */

uint64_t log_size_bytes(const struct log *log)
{
	return log->closed_size_bytes + log_active(log)->tail.size;
}

uint32_t log_segment_count(const struct log *log)
{
	return log->segment_count;
}

bool log_is_usable(const struct log *log)
{
	return log->error == 0;
}

void log_index_capacities(const struct log *log, uint32_t capacities[INDEX_KINDS])
{
	for (int kind = 0; kind < INDEX_KINDS; kind++)
		capacities[kind] = index_file_capacity(
			(enum index_kind)kind, log->config.segment_index_size_bytes);
}

int64_t log_segment_floor(const struct log *log, int64_t offset)
{
	int64_t low = 0, high = log->segment_count;

	while (low < high) {
		int64_t middle = low + (high - low) / 2;

		if (log->segments[middle]->base_offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low - 1;
}

int64_t log_segment_end(const struct log *log, uint32_t index)
{
	return index + 1 < log->segment_count ? log->segments[index + 1]->base_offset
					      : log->readable_end;
}

int log_segment_add(struct log *log, struct segment *segment)
{
	if (log->segment_count == log->segment_capacity) {
		uint32_t capacity = log->segment_capacity ? log->segment_capacity * 2 : 2;
		void *segments = realloc(log->segments, capacity * sizeof(struct segment *));

		if (!segments)
			return -ENOMEM;
		log->segments = segments;
		log->segment_capacity = capacity;
	}
	if (log->segment_count > 0) {
		ensure(log_active(log)->base_offset < segment->base_offset);
		log->closed_size_bytes += log_active(log)->tail.size;
	}
	log->segments[log->segment_count++] = segment;
	return 0;
}

void log_segment_remove(struct log *log, uint32_t index)
{
	ensure(index < log->segment_count);
	/* The active one counts when another stops being it. */
	if (index + 1 < log->segment_count)
		log->closed_size_bytes -= log->segments[index]->tail.size;
	else if (index > 0)
		log->closed_size_bytes -= log->segments[index - 1]->tail.size;
	memmove(log->segments + index, log->segments + index + 1,
		(log->segment_count - index - 1) * sizeof(struct segment *));
	log->segment_count--;
	log->generation++;
	log_backlog_count(log);
}

void log_segments_replace(struct log *log, uint32_t from, uint32_t count, struct segment *segment)
{
	ensure(count > 0 && from + count < log->segment_count);
	for (uint32_t i = 0; i < count; i++)
		log->closed_size_bytes -= log->segments[from + i]->tail.size;
	log->segments[from] = segment;
	log->closed_size_bytes += segment->tail.size;
	memmove(log->segments + from + 1, log->segments + from + count,
		(log->segment_count - from - count) * sizeof(struct segment *));
	log->segment_count -= count - 1;
	log->generation++;
	log_backlog_count(log);
}

/* ---- failing ---- */

void log_folder_full(const struct log *log)
{
	const struct log_store_options *options = &log->store->options;

	if (options->folder_full)
		options->folder_full(options->argument, log->folder);
}

static void folders_tell(struct shard *shard, struct task *task)
{
	struct log_store *store = container_of(task, struct log_store, folders_task);
	struct list_node *node;

	while ((node = list_pop_front(&store->folders_told))) {
		struct log_folder *folder = container_of(node, struct log_folder, node);

		list_push_back(&store->folders, &folder->node);
		if (store->options.folder_failed)
			store->options.folder_failed(
				store->options.argument, folder->path, folder->error);
	}
}

const struct log_folder *log_store_folder_find(const struct log_store *store, const char *path)
{
	list_for_each (node, &store->folders)
		if (strcmp(container_of(node, struct log_folder, node)->path, path) == 0)
			return container_of(node, struct log_folder, node);
	list_for_each (node, &store->folders_told)
		if (strcmp(container_of(node, struct log_folder, node)->path, path) == 0)
			return container_of(node, struct log_folder, node);
	return NULL;
}

static void folder_fail(struct log_store *store, const char *path, int error, bool tell)
{
	struct log_folder *folder;

	if (log_store_folder_find(store, path))
		return;
	folder = calloc(1, sizeof(*folder));
	if (folder)
		folder->path = strdup(path);
	/* Without memory to say so the process must not go on as if the disk were well. */
	ensure(folder && folder->path);
	folder->error = error;
	if (!tell) {
		list_push_back(&store->folders, &folder->node);
	} else {
		if (list_is_empty(&store->folders_told)) {
			store->folders_task.run = folders_tell;
			shard_post(store->shard, &store->folders_task);
		}
		list_push_back(&store->folders_told, &folder->node);
	}
	list_for_each (node, &store->logs) {
		struct log *log = container_of(node, struct log, node);

		if (log->error || strcmp(log->folder, path) != 0)
			continue;
		log->error = error;
		log_backlog_forget(log);
		log_append_fail_all(log, KAFKA_KAFKA_STORAGE_ERROR);
		log_sync_fail_all(log, error);
		log_drain_wake(log);
	}
}

void log_store_folder_fail(struct log_store *store, const char *folder)
{
	folder_fail(store, folder, -EIO, false);
}

void log_fail(struct log *log, int error)
{
	ensure(error < 0);
	if (log->error)
		return;
	folder_fail(log->store, log->folder, error, true);
	/* A log that is still being opened is not in the list. */
	if (!log->error)
		log->error = error;
}

int log_file_sync(struct log *log, struct file *file)
{
	int error = fiber_sync(log->shard, file);

	if (error)
		log_sync_failed(log, error);
	return log->sync_error;
}

void log_sync_failed(struct log *log, int error)
{
	if (!log->sync_error)
		log->sync_error = log_sync_error(error);
	/* Not synced: it is for who finds the page cache as we leave it. What can be done when even
	 * this fails? */
	log_doubt_mark(log);
}

int log_doubt_mark(struct log *log)
{
	char path[SEGMENT_PATH_SIZE_MAX];
	struct file *mark;
	int error;

	snprintf(path, sizeof(path), "%s/" LOG_DOUBT_NAME, log->path);
	error = fiber_open(log->shard, path, FILE_WRITE | FILE_CREATE, &mark);
	if (!error)
		file_unref(mark);
	return error;
}

/* ---- turns ---- */

void log_drain_wait(struct log *log)
{
	struct log_waiter waiter = {.fiber = fiber_current(log->shard)};

	ensure(waiter.fiber);
	list_push_back(&log->drain_waiters, &waiter.node);
	fiber_wait(log->shard);
	ensure(!list_node_is_linked(&waiter.node));
}

void log_drain_wake(struct log *log)
{
	struct list waiting;
	struct list_node *node;

	list_init(&waiting);
	list_append_all(&waiting, &log->drain_waiters);
	while ((node = list_pop_front(&waiting)))
		fiber_wake(log->shard, container_of(node, struct log_waiter, node)->fiber);
}

void log_busy_begin(struct log *log)
{
	struct log_waiter waiter = {.fiber = fiber_current(log->shard)};

	ensure(waiter.fiber);
	if (log->busy) {
		/* Handed over by log_busy_end. */
		list_push_back(&log->busy_waiters, &waiter.node);
		fiber_wait(log->shard);
		ensure(log->busy && !list_node_is_linked(&waiter.node));
		return;
	}
	log->busy = true;
}

void log_busy_end(struct log *log)
{
	struct list_node *node = list_pop_front(&log->busy_waiters);

	ensure(log->busy);
	if (node)
		fiber_wake(log->shard, container_of(node, struct log_waiter, node)->fiber);
	else
		log->busy = false;
}

void log_append_hold(struct log *log)
{
	log->holds++;
	while (log->checking || log->writing || log->write_is_due || log->opening || log->rolling || !list_is_empty(&log->flying))
		log_drain_wait(log);
}

void log_append_release(struct log *log)
{
	ensure(log->holds > 0);
	log->holds--;
	log_append_run(log);
}

int64_t log_first_segment_offset(const struct log *log)
{
	return log->segments[0]->base_offset;
}

bool log_start_is_untold(const struct log *log)
{
	return log->start > log->files_start;
}

int32_t log_segment_offsets_before(
	const struct log *log, int64_t timestamp_ms, int64_t *offsets, int32_t capacity)
{
	const struct segment *last = log->segments[log->segment_count - 1];
	int64_t index = (int64_t)log->segment_count - 1;
	int32_t count = 0;

	if (timestamp_ms == INT64_MIN) {
		index = 0;
	} else if (log->readable_end > last->base_offset &&
		   timestamp_ms >= shard_wall_ms(log->shard)) {
		/* The log end counts as written now. */
		if (count < capacity)
			offsets[count++] = log->readable_end;
	} else {
		while (index >= 0 && log->segments[index]->modified_ms > timestamp_ms)
			index--;
	}
	for (; index >= 0 && count < capacity; index--)
		offsets[count++] = max_of(log->segments[index]->base_offset, log->start);
	return count;
}
