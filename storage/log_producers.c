/*
 * The producer state of a log as of an offset: the newest snapshot file at or below it, and the
 * batches from there on.
 */
#include <errno.h>
#include <stdlib.h>

#include "storage/log_internal.h"

enum {
	SNAPSHOT_SIZE_MAX = 256 << 20,
	YIELD_BATCHES = 256,
};

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
