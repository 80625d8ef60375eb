/*
 * Rolling: the active segment is closed and a new one begins. Appends wait only until the new one's
 * files are there; the old one is finished, synced and the recovery point moved behind their back.
 */
#include <errno.h>
#include <stdlib.h>

#include "protocol/errors.h"
#include "storage/log_internal.h"

struct roll {
	struct segment *old; /* a reference; NULL when nothing was closed */
	uint8_t *snapshot;
	size_t snapshot_size;
	int64_t snapshot_offset;
};

/* Nothing is in flight. The log goes on in a segment at OFFSET. */
static int roll_switch(struct log *log, int64_t offset, struct roll *ret)
{
	struct segment *old = log_active(log), *segment;
	int error, failed;

	*ret = (struct roll){0};
	ensure(offset >= old->base_offset && old->tail.size == log->accepted.size);
	if (offset == old->base_offset)
		return 0; /* it is empty and begins where it should */
	segment = segment_new(log, offset);
	if (!segment)
		return -ENOMEM;
	/*
	 * Recovery takes a gap in front of a segment for lost bytes, unless a snapshot of the
	 * producers stands there. So where the gap is meant, the old segment and that come first.
	 * Nor may the first segment's name be lost, and this one's not.
	 */
	error = log_names_sync(log);
	if (error)
		goto fail;
	if (offset != log->end || log->end_is_gap) {
		error = segment_sync(old);
		log->producers.map_end = max_of(log->producers.map_end, offset);
		if (!error)
			error = log_producers_keep(log);
		if (error)
			goto fail;
	}
	error = segment_create(segment);
	if (error)
		goto fail;
	ensure(list_is_empty(&log->flying) && old == log_active(log));
	log->producers.map_end = max_of(log->producers.map_end, offset);
	if (log->producers.map_end > log->snapshot_offset) {
		error = log_snapshot_take(
			log, &ret->snapshot, &ret->snapshot_size, &ret->snapshot_offset);
		if (error)
			goto fail;
	}
	error = log_segment_add(log, segment);
	if (error)
		goto fail;
	log->accepted = segment->tail;
	log_ring_reset(log);
	/* A replica's batch may begin behind the end. */
	ret->old = segment_ref(old);
	old->finishing = true;
	return 0;
fail:
	free(ret->snapshot);
	*ret = (struct roll){0};
	/* The old segment goes on past that offset: a file of that name would cut it off at the
	 * next start. */
	failed = segment_unlink(segment);
	segment_unref(segment);
	return failed ? failed : error;
}

int log_segment_close(struct log *log, struct segment *segment)
{
	int64_t base;
	int error;

	ensure(segment != log_active(log) && !segment->synced && segment->finishing);
	error = log_names_sync(log);
	if (!error)
		error = segment_finish(segment);
	if (!error)
		error = segment_sync(segment);
	if (!error)
		error = log_epochs_write(log);
	if (!error)
		error = fiber_sync_folder(log->shard, log->path);
	if (error)
		return error;
	segment->synced = true;
	segment->checkpointed_size = segment->tail.size;
	/* Behind it, as far as those before it are synced too; it may have been deleted meanwhile.
	 */
	for (uint32_t i = 0; i + 1 < log->segment_count && log->segments[i]->synced; i++) {
		base = min_of(log->segments[i + 1]->base_offset, log->readable_end);
		log->recovery_point = max_of(log->recovery_point, base);
		log->durable_end = max_of(log->durable_end, base);
	}
	log_backlog_count(log);
	return 0;
}

static int roll_finish(struct log *log, struct roll *roll)
{
	int error = 0;

	if (!roll->old)
		return 0;
	/* What a full disk leaves undone the next checkpoint does. */
	error = log_segment_close(log, roll->old);
	if (!error && roll->snapshot)
		error = log_snapshot_write(
			log, roll->snapshot, roll->snapshot_size, roll->snapshot_offset, true);
	else if (roll->snapshot)
		log_snapshot_drop(log, roll->snapshot);
	if (error == -ENOSPC || log_error_is_passing(error))
		error = 0;
	roll->old->finishing = false;
	log_drain_wake(log);
	segment_unref(roll->old);
	return error;
}

static void roll_fiber(struct shard *shard, void *argument)
{
	struct log *log = argument;
	struct roll roll;
	int error;

	error = roll_switch(log, log->roll_offset, &roll);
	log->rolling = false;
	if (error == -ENOSPC || log_error_is_passing(error)) {
		/* No room for a new segment now: those that wait are refused and come again. */
		if (error == -ENOSPC)
			log_folder_full(log);
		log_append_refuse_queued(log);
		error = 0;
	}
	log_drain_wake(log);
	if (!error) {
		log_append_run(log);
		error = roll_finish(log, &roll);
	}
	if (error && !log->error)
		log_fail(log, error);
	if (!log->error)
		log_sync_run(log);
	log_fiber_end(log);
}

void log_roll_begin(struct log *log, int64_t offset)
{
	struct list_node *node;

	ensure(!log->rolling && list_is_empty(&log->flying) && !log->writing);
	log->rolling = true;
	log->roll_offset = offset;
	if (log_fiber_start(log, roll_fiber) == 0)
		return;
	log->rolling = false;
	while ((node = list_pop_front(&log->queued)))
		log_append_refuse(
			container_of(node, struct log_append, node), KAFKA_KAFKA_STORAGE_ERROR);
}

int log_roll(struct log *log)
{
	struct roll roll = {0};
	int error;

	log_append_hold(log);
	error = log->error;
	if (!error) {
		log->rolling = true;
		error = roll_switch(log, log->end, &roll);
		log->rolling = false;
		log_drain_wake(log);
	}
	log_append_release(log);
	if (!error)
		error = roll_finish(log, &roll);
	if (error && error != -ENOSPC && !log_error_is_passing(error) && !log->error)
		log_fail(log, error);
	if (!log->error)
		log_sync_run(log);
	return error;
}
