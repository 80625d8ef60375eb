/*
 * Compaction of one log, as Kafka's Cleaner does it: first the offsets of the newest records of each key are
 * learnt from the dirty part, as many as the map has room for; then every segment up to there is written anew
 * without what is superseded, small neighbours into one, and the new take the places of the old. Offsets never
 * change.
 *
 *	         clean_end = first_dirty          end <= last stable offset, active segment
 *	|------------------|--------------------------|----------
 *	   compacted before    learnt into the map        untouched
 *
 * A fiber does it beside the log's other work: reading and writing wait for the disk, looking into batches
 * happens on another thread. The log is held (log_busy_begin) only while segments change places. What changes
 * segments meanwhile (log->generation) ends the compaction; another begins where the last one ended.
 *
 * Segments are closed and synced before they are touched. The new one's files change names so that after a stop
 * anywhere the log has either all of the old or all of the new (log_folder.c finishes it):
 *
 *	BASE.*.cleaned, written and synced		a start removes them
 *	-> BASE.*.swap, folder synced			from here on a start puts them in place
 *	-> the old ones .deleted, in ascending order	so that no value outlives its tombstone
 *	-> BASE.*, folder synced
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/clean_filter.h"
#include "storage/log_internal.h"

enum {
	IO_BUFFER_MIN = 4096,
	ATTEMPTS_MAX = 3,
	SURE_TRIES = 100,
};
#define SURE_RETRY_NS (100 * NS_PER_MS)
#define PAUSE_MAX_NS	(100 * NS_PER_MS) /* the log may be closed meanwhile */

/* ---- what may be compacted ---- */

/* The segments that [from, to) touches: the first and the one behind the last. */
static void segments_of(const struct log *log, int64_t from, int64_t to, uint32_t *ret_first,
	uint32_t *ret_end)
{
	uint32_t first = (uint32_t)max_of(log_segment_floor(log, from), (int64_t)0), end = first;

	while (from < to && end < log->segment_count && log->segments[end]->base_offset < to)
		end++;
	*ret_first = first;
	*ret_end = end;
}

static uint64_t segments_size(const struct log *log, int64_t from, int64_t to)
{
	uint64_t size = 0;
	uint32_t first, end;

	for (segments_of(log, from, to, &first, &end); first < end; first++)
		size += log->segments[first]->tail.size;
	return size;
}

/* Lags by the timestamps of closed segments from the first dirty one on. */
static int lags_look(struct log *log, struct log_cleanable *range, int64_t *upper)
{
	const struct log_config *config = &log->config;
	int64_t now_ms = shard_wall_ms(log->shard), largest_ms;
	int64_t lag_ms = max_of(config->min_compaction_lag_ms, (int64_t)0);
	uint32_t generation = log->generation;
	int64_t first = max_of(log_segment_floor(log, range->first_dirty), (int64_t)0);
	bool is_found = lag_ms == 0;
	int error = 0;

	if (is_found && config->max_compaction_lag_ms == INT64_MAX)
		return 0;
	for (uint32_t i = (uint32_t)first; !error && i + 1 < log->segment_count; i++) {
		struct segment *segment = segment_ref(log->segments[i]);

		error = segment_largest_timestamp(segment, &largest_ms);
		if (!error && generation != log->generation)
			error = -EAGAIN;
		if (!error && !is_found && largest_ms > now_ms - lag_ms) {
			*upper = min_of(*upper, segment->base_offset);
			is_found = true;
		}
		if (!error && segment->tail.first_timestamp > 0 &&
			config->max_compaction_lag_ms < now_ms &&
			segment->tail.first_timestamp < now_ms - config->max_compaction_lag_ms)
			range->is_late = true;
		segment_unref(segment);
	}
	return error;
}

static int range_find(struct log *log, struct log_cleanable *ret)
{
	struct log_cleanable range = {.first_dirty = max_of(log->clean_end, log->start)};
	int64_t upper = min_of(log_last_stable_offset(log), log_active(log)->base_offset);
	uint32_t synced = 0;
	int error;

	while (synced + 1 < log->segment_count && log->segments[synced]->synced &&
		!log->segments[synced]->finishing)
		synced++;
	upper = min_of(upper, log->segments[synced]->base_offset);
	error = lags_look(log, &range, &upper);
	if (error)
		return error;
	/* To the beginning of the segment that holds it. */
	upper = max_of(upper, range.first_dirty);
	range.end = log->segments[max_of(log_segment_floor(log, upper), (int64_t)0)]->base_offset;
	range.clean_bytes = segments_size(log, 0, range.first_dirty);
	range.dirty_bytes = segments_size(log, min_of(range.first_dirty, range.end), range.end);
	*ret = range;
	return 0;
}

int log_cleanable(struct log *log, struct log_cleanable *ret)
{
	int error = -EAGAIN;

	log_busy_begin(log);
	for (int i = 0; i < ATTEMPTS_MAX && error == -EAGAIN; i++)
		error = log->error ? log->error : range_find(log, ret);
	log_busy_end(log);
	return error;
}

/* ---- under way ---- */

struct cleaning {
	struct offload_op offload;
	struct log *log;
	const struct log_clean *ask;
	struct log_cleaning *told;
	struct clean_filter filter;
	struct clean_producer *producers;
	uint32_t generation; /* of the log, as far as it was followed */

	uint8_t *buffer; /* what was read */
	size_t capacity, size, used;
	struct record_buffer out;
	bool learns; /* else it writes */
	int result;  /* of the filter */

	struct segment **sources; /* with a reference each */
	uint32_t source_count;
	uint64_t since_ns;
	double moved_bytes; /* since then, for the throttle */
};

static int interrupted(const struct cleaning *cleaning)
{
	const struct log *log = cleaning->log;

	return log->closing || log->error || !log->config.compact ||
			       cleaning->generation != log->generation
		       ? -ECANCELED
		       : 0;
}

static int throttle(struct cleaning *cleaning, uint64_t bytes)
{
	struct shard *shard = cleaning->log->shard;
	double pause_s;
	int error;

	cleaning->moved_bytes += (double)bytes;
	for (;;) {
		pause_s = cleaning->moved_bytes / cleaning->ask->bytes_per_second -
			  (double)(shard_now_ns(shard) - cleaning->since_ns) / NS_PER_S;
		error = interrupted(cleaning);
		if (error || !(pause_s > 0))
			return error;
		fiber_sleep(shard, pause_s * NS_PER_S < (double)PAUSE_MAX_NS
					   ? (uint64_t)(pause_s * NS_PER_S) + 1
					   : PAUSE_MAX_NS);
	}
}

static void filter_work(struct offload_op *offload)
{
	struct cleaning *cleaning = container_of(offload, struct cleaning, offload);

	cleaning->out.size = 0;
	cleaning->result =
		cleaning->learns
			? clean_filter_learn(&cleaning->filter, cleaning->buffer, cleaning->size,
				  &cleaning->used)
			: clean_filter_apply(&cleaning->filter, cleaning->buffer, cleaning->size,
				  &cleaning->out, &cleaning->used);
}

/* The batch that the buffer begins with is larger than it. */
static int buffer_grow(struct cleaning *cleaning, uint64_t left)
{
	struct batch_header header;
	uint8_t *larger;

	if (batch_header_parse(cleaning->buffer, cleaning->size, &header) < 0 ||
		(uint64_t)header.size > left || (size_t)header.size <= cleaning->capacity)
		return BATCH_ERROR_CORRUPT;
	larger = realloc(cleaning->buffer, (size_t)header.size);
	if (!larger)
		return -ENOMEM;
	cleaning->buffer = larger;
	cleaning->capacity = (size_t)header.size;
	return 0;
}

static int kept_write(struct cleaning *cleaning, struct segment *to);

/* From POSITION on: into the map, or what is kept to the segment TO. 0, 1 when the map is full, errors. */
static int segment_pass(
	struct cleaning *cleaning, struct segment *from, uint64_t position, struct segment *to)
{
	struct shard *shard = cleaning->log->shard;
	uint64_t end = from->tail.size;
	int64_t got;
	int error;

	while (position < end) {
		cleaning->size = (size_t)min_of(end - position, (uint64_t)cleaning->capacity);
		got = segment_read(from, cleaning->buffer, cleaning->size, position);
		error = interrupted(cleaning);
		if (error)
			return error;
		if (got < 0)
			return (int)got;
		if ((uint64_t)got < cleaning->size)
			return BATCH_ERROR_CORRUPT;
		/* The room that is left is not for us. */
		if (to && cleaning->log->no_room &&
			__atomic_load_n(cleaning->log->no_room, __ATOMIC_RELAXED))
			return -ENOSPC;
		cleaning->learns = to == NULL;
		cleaning->offload = (struct offload_op){.work = filter_work};
		fiber_offload(shard, &cleaning->offload);
		error = interrupted(cleaning);
		if (error)
			return error;
		if (cleaning->result != 0)
			return cleaning->result == -ENOBUFS ? BATCH_ERROR_TOO_LARGE
							    : cleaning->result;
		if (cleaning->used == 0) {
			error = buffer_grow(cleaning, end - position);
			if (error)
				return error;
			continue;
		}
		if (to && cleaning->out.size > 0) {
			error = kept_write(cleaning, to);
			if (error)
				return error;
		}
		position += cleaning->used;
		cleaning->told->read_bytes += cleaning->used;
		error = throttle(cleaning, cleaning->used + (to ? cleaning->out.size : 0));
		if (error)
			return error;
	}
	return 0;
}

/* The rows of aborted transactions that touch [FROM, TO) are what the filter meets next. */
static int aborted_tell(struct cleaning *cleaning, int64_t from, int64_t to)
{
	struct log *log = cleaning->log;
	struct clean_aborted rows = {0};
	int64_t index = max_of(log_segment_floor(log, from), (int64_t)0);
	bool is_behind = false;
	int error = 0;

	for (; !error && !is_behind && index < log->segment_count; index++) {
		struct segment *segment = segment_ref(log->segments[index]);

		error = segment_aborted_load(segment);
		if (interrupted(cleaning))
			error = -ECANCELED;
		for (uint32_t i = 0; !error && !is_behind && i < segment->aborted_count; i++) {
			const struct segment_aborted *row = &segment->aborted[i];

			if (row->last_offset >= from && row->first_offset < to)
				error = clean_aborted_add(&rows, row);
			is_behind = row->last_stable_offset >= to;
		}
		segment_unref(segment);
	}
	if (!error)
		error = clean_transactions_add(&cleaning->filter.transactions, &rows);
	free(rows.rows);
	return error;
}

static uint64_t random_word(struct log *log)
{
	uint64_t word;

	shard_entropy(log->shard, &word, sizeof(word));
	return word;
}

/* ---- the map ---- */

static int keys_learn(struct cleaning *cleaning)
{
	const struct log_cleanable *range = &cleaning->ask->range;
	struct key_map *map = &cleaning->filter.map;
	struct batch_header header;
	uint64_t position;
	int64_t next;
	int result;

	clean_transactions_init(&cleaning->filter.transactions, random_word(cleaning->log));
	result = aborted_tell(cleaning, range->first_dirty, range->end);
	for (uint32_t i = 0; !result && i < cleaning->source_count; i++) {
		struct segment *source = cleaning->sources[i];

		next = i + 1 < cleaning->source_count ? cleaning->sources[i + 1]->base_offset
						      : range->end;
		if (next <= range->first_dirty)
			continue;
		result = segment_find(
			source, range->first_dirty, source->tail.size, &position, &header);
		if (interrupted(cleaning))
			result = -ECANCELED;
		if (result > 0)
			result = segment_pass(cleaning, source, position, NULL);
		if (!result)
			map->latest_offset = max_of(map->latest_offset, next - 1);
	}
	clean_transactions_done(&cleaning->filter.transactions);
	return min_of(result, 0);
}

/* ---- one new segment ---- */

static int kept_write(struct cleaning *cleaning, struct segment *to)
{
	struct log *log = cleaning->log;
	struct record_buffer *out = &cleaning->out;
	uint32_t capacities[INDEX_KINDS];
	struct segment_entries entries;
	struct batch_header header;
	struct file *file;
	int64_t size;
	int error;

	if (out->size > (size_t)INT32_MAX - to->tail.size)
		return BATCH_ERROR_TOO_LARGE;
	error = segment_open_file(to);
	if (error)
		return error;
	file = file_ref(to->file);
	error = fiber_write(log->shard, file, out->data, out->size, to->tail.size);
	file_unref(file);
	if (error)
		return error;
	log_index_capacities(log, capacities);
	for (size_t at = 0; at < out->size; at += (size_t)size) {
		size = batch_next(out->data + at, out->size - at, &header);
		ensure(size > 0);
		if (header.last_offset - to->base_offset > INT32_MAX)
			return BATCH_ERROR_CORRUPT;
		segment_tail_advance(&to->tail, &header,
			(uint32_t)log->config.index_interval_bytes, capacities, &entries);
		segment_index(to, &entries);
	}
	cleaning->told->written_bytes += out->size;
	return 0;
}

/* Who must not be forgotten, as of now. */
static int producers_note(struct cleaning *cleaning)
{
	const struct producer_state *state = &cleaning->log->producers;

	free(cleaning->producers);
	cleaning->filter.producers = cleaning->producers =
		calloc(max_of(state->count, 1u), sizeof(*cleaning->producers));
	cleaning->filter.producer_count = 0;
	if (!cleaning->producers)
		return -ENOMEM;
	for (uint32_t i = 0; i < state->count; i++) {
		const struct producer_entry *entry = state->entries[i].entry;
		const struct producer_batch *newest = producer_entry_newest(entry);

		cleaning->producers[i] = (struct clean_producer){
			.producer_id = entry->producer_id,
			.last_data_offset = newest ? newest->last_offset : -1,
			.epoch = entry->producer_epoch,
		};
	}
	cleaning->filter.producer_count = state->count;
	return 0;
}

/* What the COUNT segments from FIRST on leave, in TO, which has the name of the first; on the disk. */
static int segment_fill(
	struct cleaning *cleaning, uint32_t first, uint32_t count, struct segment *to)
{
	struct clean_aborted *kept = &cleaning->filter.transactions.kept;
	int64_t horizon_ms = 0, next;
	int error = producers_note(cleaning);

	for (uint32_t i = 0; i < cleaning->source_count; i++)
		if (cleaning->sources[i]->base_offset < cleaning->ask->range.first_dirty)
			horizon_ms = cleaning->sources[i]->modified_ms -
				     min_of(cleaning->filter.delete_retention_ms,
					     cleaning->sources[i]->modified_ms);
	/* What a compaction that failed left. */
	if (!error)
		error = segment_unlink(to);
	if (!error)
		error = segment_create(to);
	for (uint32_t i = first; !error && i < first + count; i++) {
		struct segment *source = cleaning->sources[i];

		next = i + 1 < cleaning->source_count ? cleaning->sources[i + 1]->base_offset
						      : cleaning->ask->range.end;
		error = aborted_tell(cleaning, source->base_offset, next);
		cleaning->filter.keep_legacy_tombstones = source->modified_ms > horizon_ms;
		if (!error)
			error = segment_pass(cleaning, source, 0, to);
		to->modified_ms = source->modified_ms;
	}
	for (uint32_t i = 0; !error && i < kept->count; i++)
		error = segment_aborted_add(
			to, &(struct producer_completed){
				    .producer_id = kept->rows[i].producer_id,
				    .first_offset = kept->rows[i].first_offset,
				    .last_offset = kept->rows[i].last_offset,
				    .last_stable_offset = kept->rows[i].last_stable_offset,
				    .aborted = true,
			    });
	kept->count = 0;
	if (!error)
		error = segment_finish(to);
	if (!error)
		error = segment_sync(to);
	if (!error) {
		to->synced = true;
		to->checkpointed_size = to->tail.size;
	}
	return error ? error : interrupted(cleaning);
}

/* ---- changing places ---- */

static const enum log_file_kind file_kinds[] = {LOG_FILE_DATA, LOG_FILE_OFFSET_INDEX,
	LOG_FILE_TIME_INDEX, LOG_FILE_TRANSACTION_INDEX};

static int files_rename(struct segment *segment, enum log_file_state state)
{
	struct log *log = segment->log;
	char from[SEGMENT_PATH_SIZE_MAX], to[SEGMENT_PATH_SIZE_MAX];
	int error = 0;

	for (size_t i = 0; !error && i < array_length(file_kinds); i++) {
		if (file_kinds[i] == LOG_FILE_TRANSACTION_INDEX && segment->aborted_count == 0)
			continue;
		segment_path(segment, file_kinds[i], segment->state, from);
		segment_path(segment, file_kinds[i], state, to);
		error = fiber_rename(log->shard, from, to);
		/* Done by an attempt that failed behind it. */
		if (error == -ENOENT && state == LOG_FILE_LIVE)
			error = 0;
	}
	return error;
}

/* Once the log has the new segment there is no way back: what may pass is waited for. */
static int surely(struct segment *segment, int (*step)(struct segment *segment))
{
	struct log *log = segment->log;
	int error = step(segment);

	for (int i = 1; i < SURE_TRIES && (error == -ENOSPC || log_error_is_passing(error)); i++) {
		fiber_sleep(log->shard, SURE_RETRY_NS);
		error = step(segment);
	}
	return error;
}

static int step_sync(struct segment *segment)
{
	return fiber_sync_folder(segment->log->shard, segment->log->path);
}

static int step_go_live(struct segment *segment)
{
	return files_rename(segment, LOG_FILE_LIVE);
}

static int files_open(struct segment *segment)
{
	int error = segment_open_file(segment);

	for (int kind = 0; !error && kind < INDEX_KINDS; kind++)
		error = index_file_open(&segment->indexes[kind]);
	return error;
}

/* Its files don't lose their names before they are open: a read that comes meanwhile needs no names. */
static int files_pin(struct segment *segment)
{
	int error;

	segment->pinned = true;
	list_remove(&segment->open_node);
	error = files_open(segment);
	if (error) {
		segment->pinned = false;
		segment_touch(segment);
	}
	return error;
}

/* The places of the sources in the log; false when others are there now, or they are not closed. */
static bool sources_are_there(const struct log *log, struct segment **sources, uint32_t count,
	uint32_t *ret_first)
{
	int64_t first = log_segment_floor(log, sources[0]->base_offset);

	if (first < 0 || first + count >= log->segment_count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (log->segments[first + i] != sources[i] || !sources[i]->synced ||
			sources[i]->finishing)
			return false;
	*ret_first = (uint32_t)first;
	return true;
}

/* TO is in the log now; its files, and those it replaces, get their names. */
static int names_settle(struct log *log, struct segment **sources, uint32_t count, struct segment *to)
{
	int error = 0;

	for (uint32_t i = 0; !error && i < count; i++) {
		error = surely(sources[i], log_segment_files_bury);
		if (!error)
			error = surely(to, step_sync);
	}
	if (!error)
		error = surely(to, step_go_live);
	if (error)
		return error;
	to->state = LOG_FILE_LIVE;
	to->pinned = false;
	segment_touch(to);
	error = surely(to, step_sync);
	for (uint32_t i = 1; !error && i < count; i++)
		error = log_snapshots_remove(
			log, sources[i]->base_offset, sources[i]->base_offset + 1);
	return error;
}

/* *RET_TAKEN: TO is the log's; whatever fails from there on has failed the log. */
static int segments_swap(struct cleaning *cleaning, struct segment **sources, uint32_t count,
	struct segment *to, bool *ret_taken)
{
	struct log *log = cleaning->log;
	uint32_t first;
	int error;

	*ret_taken = false;
	log_busy_begin(log);
	error = interrupted(cleaning);
	if (!error && !sources_are_there(log, sources, count, &first))
		error = -ECANCELED;
	if (!error)
		error = files_rename(to, LOG_FILE_SWAP);
	if (!error) {
		to->state = LOG_FILE_SWAP;
		error = fiber_sync_folder(log->shard, log->path);
	}
	if (!error)
		error = files_pin(to);
	/* Lookups don't care who is busy, but a failure or the end of the log may have come. */
	if (!error)
		error = interrupted(cleaning);
	if (!error) {
		*ret_taken = true;
		log_segments_replace(log, first, count, to);
		cleaning->generation = log->generation;
		error = names_settle(log, sources, count, to);
		for (uint32_t i = 0; i < count; i++)
			segment_unref(sources[i]); /* the log's reference */
		if (error && !log->error)
			log_fail(log, log_sync_error(error));
	}
	log_busy_end(log);
	return error;
}

/* What was written of a segment that does not come to stand in the log. */
static int remains_remove(struct segment *segment)
{
	int error;

	segment->pinned = false;
	segment_close_files(segment);
	segment->state = LOG_FILE_SWAP;
	error = segment_unlink(segment);
	segment->state = LOG_FILE_CLEANED;
	return error ? error : segment_unlink(segment);
}

static int group_clean(struct cleaning *cleaning, uint32_t first, uint32_t count)
{
	struct log *log = cleaning->log;
	struct segment *to = segment_new(log, cleaning->sources[first]->base_offset);
	bool taken = false;
	int error, failed;

	if (!to)
		return -ENOMEM;
	to->state = LOG_FILE_CLEANED;
	error = segment_fill(cleaning, first, count, to);
	if (!error)
		error = segments_swap(cleaning, cleaning->sources + first, count, to, &taken);
	if (!taken) {
		for (int kind = 0; kind < INDEX_KINDS; kind++)
			while (to->indexes[kind].writing)
				log_drain_wait(log);
		failed = log->error ? 0 : remains_remove(to);
		if (failed && !log_error_is_passing(failed))
			error = failed;
		segment_unref(to);
	}
	return error;
}

/* ---- all of it ---- */

static int index_sizes_know(struct segment *segment)
{
	int error = 0;

	for (int kind = 0; !error && kind < INDEX_KINDS; kind++)
		if (!segment->indexes[kind].counted)
			error = index_file_open(&segment->indexes[kind]);
	return error;
}

static uint64_t index_size(const struct segment *segment, enum index_kind kind)
{
	return (uint64_t)index_file_count(&segment->indexes[kind]) * index_entry_size(kind);
}

/* How many neighbours from FIRST on go into one segment: by the bounds that a segment has. */
static int group_size(struct cleaning *cleaning, uint32_t first, uint32_t *ret_count)
{
	const struct log_config *config = &cleaning->log->config;
	struct segment **sources = cleaning->sources;
	uint64_t size = 0, index_sizes[INDEX_KINDS] = {0};
	uint32_t i;
	int error = 0;

	for (i = first; i < cleaning->source_count; i++) {
		int64_t last = (i + 1 < cleaning->source_count ? sources[i + 1]->base_offset
							       : cleaning->ask->range.end) -
			       1;
		bool fits = size + sources[i]->tail.size <= (uint64_t)config->segment_size_bytes;

		error = index_sizes_know(sources[i]);
		if (!error)
			error = interrupted(cleaning);
		if (error)
			return error;
		for (int kind = 0; kind < INDEX_KINDS; kind++) {
			index_sizes[kind] += index_size(sources[i], kind);
			fits = fits &&
			       index_sizes[kind] <= (uint64_t)config->segment_index_size_bytes;
		}
		if (sources[i]->tail.size > 0 && last - sources[first]->base_offset > INT32_MAX)
			fits = false;
		if (i > first && !fits)
			break;
		size += sources[i]->tail.size;
	}
	*ret_count = i - first;
	return 0;
}

static int segments_clean(struct cleaning *cleaning)
{
	int64_t end = cleaning->filter.map.latest_offset + 1;
	uint32_t count = 0;
	int error = 0;

	while (cleaning->source_count > 0 &&
		cleaning->sources[cleaning->source_count - 1]->base_offset >= end)
		segment_unref(cleaning->sources[--cleaning->source_count]);
	clean_transactions_init(&cleaning->filter.transactions, random_word(cleaning->log));
	for (uint32_t i = 0; !error && i < cleaning->source_count; i += count) {
		error = group_size(cleaning, i, &count);
		if (!error)
			error = group_clean(cleaning, i, count);
		if (!error)
			cleaning->told->segments_after++;
	}
	clean_transactions_done(&cleaning->filter.transactions);
	return error;
}

static int cleaning_begin(struct cleaning *cleaning)
{
	const struct log_clean *ask = cleaning->ask;
	struct log *log = cleaning->log;
	uint64_t secret[2] = {random_word(log), random_word(log)};
	uint32_t end = 0;
	int error;

	cleaning->capacity = max_of(ask->io_buffer_bytes / 2, (uint32_t)IO_BUFFER_MIN);
	record_buffer_init(&cleaning->out, INT32_MAX);
	cleaning->buffer = malloc(cleaning->capacity);
	cleaning->sources = calloc(log->segment_count, sizeof(struct segment *));
	if (!cleaning->buffer || !cleaning->sources)
		return -ENOMEM;
	error = key_map_init(&cleaning->filter.map,
		(uint64_t)(ask->range.end - ask->range.first_dirty), ask->map_bytes,
		ask->load_factor, secret);
	if (error)
		return error;
	while (end + 1 < log->segment_count && log->segments[end]->base_offset < ask->range.end)
		cleaning->sources[cleaning->source_count++] = segment_ref(log->segments[end++]);
	cleaning->told->segments_before = cleaning->source_count;
	return cleaning->source_count > 0 ? 0 : -ECANCELED;
}

/* A large map's pages go back to the system one by one. */
static void map_free_work(struct offload_op *offload)
{
	key_map_done(&container_of(offload, struct cleaning, offload)->filter.map);
}

int log_clean(struct log *log, const struct log_clean *ask, struct log_cleaning *ret)
{
	struct cleaning cleaning = {
		.log = log,
		.ask = ask,
		.told = ret,
		.generation = log->generation,
		.since_ns = shard_now_ns(log->shard),
		.filter = {
			.compress = ask->compress,
			.decompressed_limit = log->store->options.decompressed_bytes_max,
			.start_offset = ask->range.first_dirty,
			.upper_bound = ask->range.end,
			.now_ms = ask->now_ms,
			.delete_retention_ms = log->config.delete_retention_ms,
		},
	};
	int error;

	*ret = (struct log_cleaning){.from_offset = ask->range.first_dirty};
	log->fibers++;
	error = interrupted(&cleaning);
	if (!error)
		error = cleaning_begin(&cleaning);
	if (!error)
		error = keys_learn(&cleaning);
	if (!error)
		error = segments_clean(&cleaning);
	ret->to_offset = cleaning.filter.map.latest_offset + 1;
	if (!error && !interrupted(&cleaning))
		log->clean_end = ret->to_offset;
	for (uint32_t i = 0; i < cleaning.source_count; i++)
		segment_unref(cleaning.sources[i]);
	free(cleaning.sources);
	free(cleaning.producers);
	free(cleaning.buffer);
	record_buffer_done(&cleaning.out);
	cleaning.offload = (struct offload_op){.work = map_free_work};
	fiber_offload(log->shard, &cleaning.offload);
	if (error <= BATCH_ERROR_CORRUPT)
		log->uncleanable = true;
	else if (error && error != -ECANCELED && error != -ENOSPC && error != -EAGAIN &&
		 !log_error_is_passing(error) && !log->error)
		log_fail(log, error);
	ret->error = error;
	ret->records_read = cleaning.filter.records_read;
	ret->records_kept = cleaning.filter.records_kept;
	ret->duration_ns = shard_now_ns(log->shard) - cleaning.since_ns;
	log_fiber_end(log);
	return error;
}

int64_t log_clean_end(const struct log *log)
{
	return log->clean_end;
}

bool log_is_uncleanable(const struct log *log)
{
	return log->uncleanable;
}
