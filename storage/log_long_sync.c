/*
 * Syncs that take more than a sync of one file: names of new logs, closed segments, a file that is to be opened
 * first, whole checkpoints for flush.ms. Ten thousand logs may ask at once, and each fiber has a stack: a few
 * fibers of the shard take the logs off a list.
 *
 *	      log_long_sync, log_long_flush              a fiber takes it
 *	idle -------------------------------> in the list ---------------> served --> idle
 *	                                           ^                          |
 *	                                           '---- LONG_SYNC_RETRY_NS --'  the disk is full, or
 *	                                                                         something else that passes;
 *	                                                                         while somebody waits for it
 * A log that is not idle counts as a fiber of its own, so that it stays open.
 */
#include <errno.h>

#include "storage/log_internal.h"

#define LONG_SYNC_RETRY_NS (100 * NS_PER_MS)

/* 0, or an error that may pass. */
static int names_or_segments_sync(struct log *log)
{
	int error = log->error;

	/* Somebody's checkpoint may have done it since it was asked for. */
	if (!error && log->names_unsynced)
		error = log_names_sync_and_end(log);
	else if (!error && log_sync_is_long(log))
		error = log_checkpoint(log);
	if (error == -ENOSPC || log_error_is_passing(error))
		return error;
	if (error && !log->error)
		log_fail(log, error);
	return 0;
}

static void serve(struct log *log)
{
	bool syncs = log->long_sync_wanted, flushes = log->long_flush_wanted;

	log->long_sync_wanted = log->long_flush_wanted = false;
	if (flushes)
		log_checkpoint(log);
	if (syncs && names_or_segments_sync(log) != 0) {
		log->fibers++; /* the timer's */
		timer_set(log->shard, &log->long_sync_timer,
			shard_now_ns(log->shard) + LONG_SYNC_RETRY_NS);
	} else if (syncs) {
		log_sync_done(log);
	}
	log_fiber_end(log);
}

static void serve_fiber(struct shard *shard, void *argument)
{
	struct log_store *store = argument;
	struct list_node *node;

	while ((node = list_pop_front(&store->long_syncs)))
		serve(container_of(node, struct log, long_sync_node));
	store->long_sync_fibers--;
}

static int serve_soon(struct log *log)
{
	struct log_store *store = log->store;
	int error = 0;

	if (list_node_is_linked(&log->long_sync_node))
		return 0;
	if (store->long_sync_fibers < LOG_LONG_SYNC_FIBERS_MAX) {
		error = fiber_start(store->shard, serve_fiber, store);
		store->long_sync_fibers += error == 0;
	}
	if (store->long_sync_fibers == 0)
		return error;
	log->fibers++;
	list_push_back(&store->long_syncs, &log->long_sync_node);
	return 0;
}

int log_long_sync(struct log *log)
{
	int error = serve_soon(log);

	log->long_sync_wanted = error == 0;
	return error;
}

int log_long_flush(struct log *log)
{
	int error = serve_soon(log);

	log->long_flush_wanted = error == 0;
	return error;
}

void log_long_sync_retry(struct shard *shard, struct timer *timer)
{
	struct log *log = container_of(timer, struct log, long_sync_timer);
	bool is_awaited = !list_is_empty(&log->durable) || !list_is_empty(&log->syncs);

	/* A log that is being closed must not wait for a disk that stays full. */
	if (log->closing || !is_awaited) {
		log->syncing = false;
	} else if (log_long_sync(log) < 0) {
		timer_set(shard, timer, shard_now_ns(shard) + LONG_SYNC_RETRY_NS);
		return;
	}
	log_fiber_end(log);
}
