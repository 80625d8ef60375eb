/*
 * The backlog: the bytes past the recovery points, which a start after a crash reads. Time alone does not
 * bound them, for ten seconds of a fast producer are gigabytes. So each log counts its own, the store sums
 * them, and when there are too many a round of checkpoints begins at once: it takes the logs in the order in
 * which their bytes came and ends when half of what is allowed is left. It is a best effort: where the disk is
 * slower than the producers one round follows the other.
 *
 * Logs with less than their even share of that half are left to the time: without them the round gets there
 * as well, and a checkpoint of a few records costs as much as that of a megabyte.
 */
#include "storage/log_internal.h"

/* Read at 2 GB/s and more, by one core: beside opening its files a start takes half a second for them. */
#define BACKLOG_BYTES_MAX_DEFAULT (1ull << 30)
/* Reading that takes a fraction of a sync. Of a small bound it is less. */
#define SHARE_BYTES_MIN (64ull << 10)
/* After a round that moved no recovery point. */
#define FRUITLESS_NS NS_PER_S
/* The owner, within a round. */
#define TELL_NS NS_PER_S

/* ---- the count ---- */

static uint64_t backlog_bytes(const struct log *log)
{
	uint64_t bytes = 0;

	for (uint32_t i = log->segment_count; i > 0; i--) {
		const struct segment *segment = log->segments[i - 1];
		bool is_below = i < log->segment_count &&
				log->segments[i]->base_offset <= log->recovery_point;

		if (is_below)
			break;
		bytes += segment->tail.size;
		if (segment->base_offset < log->recovery_point)
			bytes -= min_of(segment->checkpointed_size, segment->tail.size);
	}
	return bytes;
}

static void backlog_set(struct log *log, uint64_t bytes)
{
	struct log_store *store = log->store;
	bool is_listed = list_node_is_linked(&log->backlog_node);

	ensure(store->backlog_bytes >= log->backlog_bytes);
	store->backlog_bytes = store->backlog_bytes - log->backlog_bytes + bytes;
	log->backlog_bytes = bytes;
	if (bytes > 0 && !is_listed) {
		list_push_back(&store->backlog, &log->backlog_node);
		store->backlog_count++;
	} else if (bytes == 0 && is_listed) {
		list_remove(&log->backlog_node);
		store->backlog_count--;
	}
}

void log_backlog_count(struct log *log)
{
	backlog_set(log, log->loading || log->error ? 0 : backlog_bytes(log));
}

void log_backlog_forget(struct log *log)
{
	backlog_set(log, 0);
}

/* ---- rounds ---- */

uint64_t log_backlog_bytes_max(const struct log_store *store)
{
	if (store->options.backlog_bytes_max)
		return store->options.backlog_bytes_max;
	return BACKLOG_BYTES_MAX_DEFAULT / shard_count(store->shard);
}

static void tell(struct log_store *store)
{
	store->backlog_told_ns = shard_now_ns(store->shard);
	if (store->options.recovery_points_moved)
		store->options.recovery_points_moved(store->options.argument);
}

static void serve(struct log *log)
{
	struct log_store *store = log->store;
	int64_t before = log->recovery_point;

	log->fibers++;
	log->backlog_is_served = true;
	log_checkpoint(log);
	log->backlog_is_served = false;
	if (log->recovery_point > before) {
		store->backlog_moved = true;
		/* On a slow disk a round takes long. */
		if (shard_now_ns(store->shard) - store->backlog_told_ns >= TELL_NS)
			tell(store);
	}
	log_fiber_end(log);
}

static void round_end(struct log_store *store)
{
	if (!store->backlog_moved)
		store->backlog_not_before_ns = shard_now_ns(store->shard) + FRUITLESS_NS;
	else
		tell(store);
}

static void round_fiber(struct shard *shard, void *argument)
{
	struct log_store *store = argument;

	fiber_is_chore(shard, true);
	while (store->backlog_left > 0 && store->backlog_bytes > log_backlog_bytes_max(store) / 2) {
		struct log *log =
			container_of(list_first(&store->backlog), struct log, backlog_node);

		/* Behind those that are waiting for their turn. */
		list_remove(&log->backlog_node);
		list_push_back(&store->backlog, &log->backlog_node);
		store->backlog_left--;
		if (log->backlog_bytes >= store->backlog_share && !log->closing &&
			!log->backlog_is_served)
			serve(log);
	}
	if (--store->backlog_fibers > 0)
		return;
	if (store->freed)
		log_store_free(store);
	else
		round_end(store);
}

void log_backlog_bound(struct log_store *store)
{
	uint64_t max = log_backlog_bytes_max(store);

	if (store->backlog_bytes <= max || store->backlog_fibers > 0 ||
		shard_now_ns(store->shard) < store->backlog_not_before_ns)
		return;
	store->backlog_left = store->backlog_count;
	store->backlog_share =
		max_of(max / 2 / store->backlog_count, min_of(max / 64, SHARE_BYTES_MIN));
	store->backlog_moved = false;
	store->backlog_told_ns = shard_now_ns(store->shard);
	while (store->backlog_fibers < min_of(store->backlog_count, (uint32_t)LOG_BACKLOG_FIBERS_MAX) &&
		fiber_start(store->shard, round_fiber, store) == 0)
		store->backlog_fibers++;
	if (store->backlog_fibers == 0)
		store->backlog_not_before_ns = shard_now_ns(store->shard) + FRUITLESS_NS;
}
