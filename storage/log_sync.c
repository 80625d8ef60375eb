/*
 * Durability. A data sync serves everybody who waits: the appends that asked for it, log_sync,
 * flush.messages. A checkpoint syncs indexes and epochs too, and moves the recovery point; it runs
 * in the background while there is something unsynced. After a failed sync the bytes are in doubt:
 * the folder has failed, nothing is tried again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/checkpoint_file.h"
#include "storage/log_internal.h"

/*
 * Between snapshots of the producers, so that a recovery need not read the headers of more than that: at the most,
 * and where so many logs are written to that all of them together would be more than a start should read.
 */
#define SNAPSHOT_INTERVAL_BYTES	    (64ull << 20)
#define SNAPSHOT_INTERVAL_BYTES_MIN (1ull << 20)

/* ---- data ---- */

static void sync_answer(struct shard *shard, struct task *task)
{
	struct log_sync *op = container_of(task, struct log_sync, task);

	op->done(op);
}

static void sync_complete(struct log_sync *op, int result)
{
	op->result = result;
	op->task.run = sync_answer;
	shard_post(op->log->shard, &op->task);
}

/* Closed segments stand before the active one: while one is unsynced, so is everything behind it.
 */
static struct segment *closed_first_unsynced(const struct log *log)
{
	struct segment *first = NULL;

	for (uint32_t i = log->segment_count - 1; i > 0; i--)
		if (!log->segments[i - 1]->synced)
			first = log->segments[i - 1];
	return first;
}

static void synced_tell(struct log *log)
{
	log_append_durable_done(log);
	list_for_each_safe (node, &log->syncs) {
		struct log_sync *op = container_of(node, struct log_sync, node);

		/* An append that failed took the log end back. */
		if (min_of(op->offset, log->end) <= log->durable_end) {
			list_remove(&op->node);
			sync_complete(op, 0);
		}
	}
}

static void sync_failed_fiber(struct shard *shard, void *argument)
{
	struct log *log = argument;

	log_sync_failed(log, log->sync_error);
	log->syncing = false;
	log_fail(log, log->sync_error);
	log_drain_wake(log);
	log_fiber_end(log);
}

static void sync_done(struct shard *shard, struct file_op *file_op)
{
	struct log *log = container_of(file_op, struct log, sync_op);

	file_unref(log->sync_file);
	log->sync_file = NULL;
	if (file_op->result < 0 && !log->sync_error) {
		log->sync_error = log_sync_error((int)file_op->result);
		if (log_fiber_start(log, sync_failed_fiber) == 0)
			return;
	}
	log->syncing = false;
	if (log->sync_error) {
		log_fail(log, log->sync_error);
	} else if (!log->error && log->sync_generation == log->generation) {
		log->durable_end = max_of(log->durable_end, log->sync_target);
	}
	if (!log->error)
		log_sync_run(log);
	log_drain_wake(log);
}

struct file *log_sync_end_file(const struct log *log)
{
	struct file *file = log_active(log)->file;

	return file && !closed_first_unsynced(log) ? file_ref(file) : NULL;
}

bool log_sync_is_long(const struct log *log)
{
	return log->names_unsynced || closed_first_unsynced(log) || !log_active(log)->file;
}

void log_sync_done(struct log *log)
{
	log->syncing = false;
	log_drain_wake(log);
	if (!log->error)
		log_sync_run(log);
}

void log_sync_run(struct log *log)
{
	struct segment *active = log_active(log), *closed;

	synced_tell(log);
	if (log->syncing || log->error || log->sync_error ||
		(list_is_empty(&log->durable) && list_is_empty(&log->syncs)))
		return;
	if (log->readable_end <= log->durable_end)
		return; /* run again when the write is done */
	closed = closed_first_unsynced(log);
	if (closed && closed->finishing)
		return; /* run again when that is done */
	log->syncing = true;
	if (log_sync_is_long(log)) {
		if (log_long_sync(log) < 0) {
			log->syncing = false;
			log_fail(log, -ENOMEM);
		}
		return;
	}
	log->sync_target = log->readable_end;
	log->sync_generation = log->generation;
	log->sync_file = file_ref(active->file);
	log->sync_op = (struct file_op){.done = sync_done};
	file_sync(log->shard, &log->sync_op, log->sync_file);
}

void log_sync(struct log *log, struct log_sync *op)
{
	op->log = log;
	op->offset = log->end;
	op->node = (struct list_node){0};
	if (log->error) {
		sync_complete(op, log->error);
		return;
	}
	list_push_back(&log->syncs, &op->node);
	log_sync_run(log);
}

void log_sync_fail_all(struct log *log, int error)
{
	struct list_node *node;

	while ((node = list_pop_front(&log->syncs)))
		sync_complete(container_of(node, struct log_sync, node), error);
}

/* ---- epochs ---- */

int log_epochs_write(struct log *log)
{
	struct checkpoint_epoch_offset *entries;
	char path[SEGMENT_PATH_SIZE_MAX];
	struct arena arena;
	struct str text;
	int error = 0;

	while (log->epochs_writing)
		log_drain_wait(log);
	if (!log->epochs_dirty)
		return 0;
	log->epochs_writing = true;
	snprintf(path, sizeof(path), "%s/leader-epoch-checkpoint", log->path);
	while (!error && log->epochs_dirty) {
		log->epochs_dirty = false;
		arena_init(&arena, 4096 + (size_t)log->epochs.count * 256);
		entries = arena_new_array(
			&arena, struct checkpoint_epoch_offset, log->epochs.count + 1);
		for (uint32_t i = 0; entries && i < log->epochs.count; i++)
			entries[i] = (struct checkpoint_epoch_offset){
				log->epochs.entries[i].epoch, log->epochs.entries[i].start_offset};
		text = entries ? checkpoint_epoch_offsets_format(
					 &arena, entries, (int32_t)log->epochs.count)
			       : STR_NULL;
		error = str_is_null(text)
				? -ENOMEM
				: fiber_replace(log->shard, path, text.data, (size_t)text.size);
		if (error)
			log->epochs_dirty = true;
		arena_done(&arena);
	}
	log->epochs_writing = false;
	log_drain_wake(log);
	return error;
}

static void epochs_write_behind(struct log *log)
{
	int error = log_epochs_write(log);

	/* On a full disk it stays dirty and goes with a later checkpoint. */
	if (error && error != -ENOSPC && !log_error_is_passing(error) && !log->error)
		log_fail(log, error);
	log_fiber_end(log);
}

static void epochs_fiber(struct shard *shard, void *argument)
{
	struct log_store *store = argument;
	struct list_node *node;

	fiber_is_chore(shard, true);
	while ((node = list_pop_front(&store->epochs)))
		epochs_write_behind(container_of(node, struct log, epochs_node));
	store->epochs_fibers--;
}

/* A few fibers serve all logs of a shard: ten thousand may be opened at once. */
void log_epochs_changed(struct log *log)
{
	struct log_store *store = log->store;

	log->epochs_dirty = true;
	if (list_node_is_linked(&log->epochs_node) || log->epochs_writing || log->closing ||
		log->loading)
		return;
	if (store->epochs_fibers < LOG_EPOCHS_FIBERS_MAX &&
		fiber_start(store->shard, epochs_fiber, store) == 0)
		store->epochs_fibers++;
	if (store->epochs_fibers == 0)
		return; /* without memory for a fiber it goes with the next checkpoint */
	log->fibers++;
	list_push_back(&store->epochs, &log->epochs_node);
}

/* ---- snapshots of the producers ---- */

void log_snapshot_path(const struct log *log, int64_t offset, enum log_file_state state,
	char to[SEGMENT_PATH_SIZE_MAX])
{
	char name[NAME_FILE_SIZE_MAX];

	log_file_name_print(name, offset, LOG_FILE_SNAPSHOT, state);
	snprintf(to, SEGMENT_PATH_SIZE_MAX, "%s/%s", log->path, name);
}

int log_snapshot_note(struct log *log, int64_t offset)
{
	uint32_t place = log->snapshot_count;

	while (place > 0 && log->snapshots[place - 1] >= offset)
		place--;
	if (place < log->snapshot_count && log->snapshots[place] == offset)
		return 0;
	if (log->snapshot_count == log->snapshot_capacity) {
		uint32_t capacity = log->snapshot_capacity ? log->snapshot_capacity * 2 : 2;
		void *snapshots = realloc(log->snapshots, capacity * sizeof(*log->snapshots));

		if (!snapshots)
			return -ENOMEM;
		log->snapshots = snapshots;
		log->snapshot_capacity = capacity;
	}
	memmove(log->snapshots + place + 1, log->snapshots + place,
		(log->snapshot_count - place) * sizeof(*log->snapshots));
	log->snapshots[place] = offset;
	log->snapshot_count++;
	return 0;
}

void log_snapshot_want(struct log *log)
{
	log->snapshot_bytes = SNAPSHOT_INTERVAL_BYTES + 1;
}

int log_snapshot_take(struct log *log, uint8_t **ret_data, size_t *ret_size, int64_t *ret_offset)
{
	int error;

	ensure(list_is_empty(&log->flying));
	error = producer_state_encode(&log->producers, ret_data, ret_size);
	if (error)
		return error;
	*ret_offset = log->producers.map_end;
	log->snapshot_bytes = 0;
	return 0;
}

int log_snapshot_write(struct log *log, uint8_t *data, size_t size, int64_t offset, bool sync)
{
	char path[SEGMENT_PATH_SIZE_MAX];
	struct file *file;
	int error;

	log_snapshot_path(log, offset, LOG_FILE_LIVE, path);
	error = fiber_open(log->shard, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);
	if (!error) {
		error = fiber_write(log->shard, file, data, size, 0);
		if (!error && sync)
			error = log_file_sync(log, file);
		file_unref(file);
	}
	if (!error)
		error = log_snapshot_note(log, offset);
	if (!error)
		log->snapshot_offset = offset;
	else
		log_snapshot_want(log);
	free(data);
	return error;
}

void log_snapshot_drop(struct log *log, uint8_t *data)
{
	free(data);
	log_snapshot_want(log);
}

int log_snapshots_remove(struct log *log, int64_t from, int64_t to)
{
	char path[SEGMENT_PATH_SIZE_MAX];
	int error = 0;

	for (uint32_t i = 0; i < log->snapshot_count;) {
		int64_t offset = log->snapshots[i];
		int failed;

		if (offset < from || offset >= to) {
			i++;
			continue;
		}
		memmove(log->snapshots + i, log->snapshots + i + 1,
			(log->snapshot_count - i - 1) * sizeof(*log->snapshots));
		log->snapshot_count--;
		log_snapshot_path(log, offset, LOG_FILE_LIVE, path);
		failed = fiber_unlink(log->shard, path);
		if (failed && failed != -ENOENT)
			error = failed;
		i = 0; /* others may have come and gone meanwhile */
	}
	return error;
}

/* As Kafka's removeStraySnapshots: the newest stays unless a segment begins behind it. */
int log_snapshots_tidy(struct log *log)
{
	int64_t newest = -1, floor;
	int error = 0;

	for (uint32_t i = 0; !error && i < log->snapshot_count; i++) {
		floor = log_segment_floor(log, log->snapshots[i]);
		if (floor >= 0 && log->segments[floor]->base_offset == log->snapshots[i])
			continue;
		if (newest >= 0) {
			error = log_snapshots_remove(log, newest, newest + 1);
			newest = -1;
			i = (uint32_t)-1; /* from the start: the list has changed */
			continue;
		}
		newest = log->snapshots[i];
	}
	if (!error && newest >= 0 && newest < log_active(log)->base_offset)
		error = log_snapshots_remove(log, newest, newest + 1);
	return error;
}

/* ---- checkpoints ---- */

static uint64_t snapshot_interval_bytes(const struct log_store *store)
{
	uint64_t bytes_max = log_backlog_bytes_max(store);
	uint64_t share = 2 * bytes_max / max_of(store->backlog_count, 1u);

	share = max_of(share, min_of(bytes_max, SNAPSHOT_INTERVAL_BYTES_MIN));
	return min_of(share, SNAPSHOT_INTERVAL_BYTES);
}

int log_checkpoint(struct log *log)
{
	uint32_t generation;
	struct segment *active;
	uint8_t *snapshot = NULL;
	size_t snapshot_size;
	int64_t target, snapshot_offset;
	uint64_t messages;
	uint32_t size;
	int error;

	log_busy_begin(log);
	error = log->error;
	if (error || log->segment_count == 0)
		goto out;
	error = log_names_sync(log);
	if (error)
		goto failed;
	for (uint32_t i = 0; i + 1 < log->segment_count; i++) {
		struct segment *closed = log->segments[i];

		if (closed->synced || closed->finishing)
			continue;
		segment_ref(closed);
		closed->finishing = true;
		error = log_segment_close(log, closed);
		closed->finishing = false;
		log_drain_wake(log);
		segment_unref(closed);
		if (error)
			goto failed;
	}
	/* What is on its way may fail, and would be a producer's last batch all the same. */
	if (log->snapshot_bytes > snapshot_interval_bytes(log->store)) {
		log_append_hold(log);
		if (!log->error)
			log_snapshot_take(log, &snapshot, &snapshot_size, &snapshot_offset);
		log_append_release(log);
	}
	generation = log->generation;
	active = segment_ref(log_active(log));
	target = log->readable_end;
	size = active->tail.size;
	messages = log->unsynced_messages;
	/* What is in flight was accepted a moment ago. */
	log->unsynced_since_ns = log->end > target ? max_of(shard_now_ns(log->shard), 1ull) : 0;
	error = log->error;
	if (!error)
		error = segment_sync(active);
	if (!error)
		error = log_epochs_write(log);
	if (snapshot) {
		if (!error)
			error = log_snapshot_write(
				log, snapshot, snapshot_size, snapshot_offset, true);
		else
			log_snapshot_drop(log, snapshot);
		if (!error)
			error = log_snapshots_tidy(log);
	}
	if (!error && generation == log->generation && !closed_first_unsynced(log)) {
		log->durable_end = max_of(log->durable_end, target);
		log->recovery_point = max_of(log->recovery_point, target);
		active->checkpointed_size = max_of(active->checkpointed_size, size);
		log_backlog_count(log);
		log->unsynced_messages -= min_of(messages, log->unsynced_messages);
	} else if (log->unsynced_since_ns == 0) {
		log->unsynced_since_ns = max_of(shard_now_ns(log->shard), 1ull);
	}
	segment_unref(active);
failed:
	if (error && error != -ENOSPC && !log_error_is_passing(error) && !log->error)
		log_fail(log, error);
out:
	log_busy_end(log);
	log_flush_schedule(log);
	/* What a full disk refused is not tried again at the pace of a short flush.ms. */
	if (error && timer_is_set(&log->flush_timer))
		timer_set(log->shard, &log->flush_timer, shard_now_ns(log->shard) + NS_PER_S);
	if (!log->error)
		log_sync_run(log);
	return error;
}

/* ---- flush.ms ---- */

void log_flush_due(struct shard *shard, struct timer *timer)
{
	struct log *log = container_of(timer, struct log, flush_timer);
	uint64_t now_ns = shard_now_ns(shard);

	if (log->unsynced_since_ns == 0 || log->closing || log->error)
		return; /* another sync was earlier, or nobody waits for this one any more */
	if (now_ns - log->unsynced_since_ns < (uint64_t)log->config.flush_ms * NS_PER_MS)
		log_flush_schedule(log);
	else if (log_long_flush(log) < 0)
		timer_set(shard, timer, now_ns + NS_PER_S);
}

void log_flush_schedule(struct log *log)
{
	if (log->unsynced_since_ns == 0 || log->closing || log->error ||
		log->config.flush_ms >= log->store->options.background_sync_ms)
		timer_stop(log->shard, &log->flush_timer);
	else
		timer_set(log->shard, &log->flush_timer,
			log->unsynced_since_ns + (uint64_t)log->config.flush_ms * NS_PER_MS);
}
