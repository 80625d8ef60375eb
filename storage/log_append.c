/*
 * The way of an append: queued -> checked -> accepted (flying) -> written -> durable when asked.
 * Log end, producers, epochs and the tail of the active segment move when an append is accepted, so
 * that the next one can be checked against them while this one is on its way; the readable end, the
 * segment's tail and the indexes move when its write completed. One write at a time is in flight,
 * and it takes along all that was accepted meanwhile.
 *
 * A failed write takes back everything accepted and not written, newest first. No space: what was
 * written in part is cut off, and the log goes on; any other error fails the folder (KIP-112).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/batch_validate.h"
#include "protocol/errors.h"
#include "storage/log_internal.h"

enum { FREE_APPENDS_MAX = 512 };

static void write_soon(struct log *log);
static void open_begin(struct log *log);

/* ---- completion ---- */

static void private_clear(struct log_append_private *private)
{
	if (private->rebuilt)
		record_buffer_done(&private->buffer);
	if (private->arena_used)
		arena_done(&private->arena);
	free(private->more_changes);
	memset(private, 0, offsetof(struct log_append_private, first));
}

static void private_free(struct log_append_private *private)
{
	private_clear(private);
	free(private);
}

/* On the log's shard, while the pool may be touched. The texts of a refusal stay with the
 * operation. */
static void private_give(struct log_store *store, struct log_append *op)
{
	struct log_append_private *private = op->private_;

	if (!private || op->error_code)
		return;
	op->private_ = NULL;
	if (store->free_append_count == FREE_APPENDS_MAX) {
		private_free(private);
		return;
	}
	private_clear(private);
	list_push_front(&store->free_appends, &private->node); /* the warmest is taken next */
	store->free_append_count++;
}

static void append_answer(struct log_append *op)
{
	private_give(op->store, op);
	op->done(op);
}

static void append_answer_run(struct shard *shard, struct task *task)
{
	append_answer(container_of(task, struct log_append, task));
}

/* What the client will send again must come before what it sent behind it. */
static void append_expect_again(struct log_append *op)
{
	struct batch_header first;

	if (op->origin == APPEND_CLIENT && batch_next(op->records, op->size, &first) > 0 &&
		batch_has_producer_id(&first))
		producer_state_refuse(&op->log->producers, &first);
}

static void append_result(struct log_append *op, int16_t error_code, struct list *answers)
{
	if (error_code == KAFKA_KAFKA_STORAGE_ERROR)
		append_expect_again(op);
	op->error_code = error_code;
	op->log_start = op->log->start;
	if (error_code) {
		op->base_offset = op->last_offset = -1;
		op->log_append_time_ms = -1;
	}
	list_push_back(answers, &op->node);
}

/* OP, which is in no list, and its retries that came while it was under way have their result, and are put
 * behind ANSWERS. */
static void append_settle(struct log_append *op, int16_t error_code, struct list *answers)
{
	struct log_append *duplicate = NULL, *next;

	if (op->private_) {
		duplicate = op->private_->duplicates;
		op->private_->duplicates = NULL;
	}
	append_result(op, error_code, answers);
	for (; duplicate; duplicate = next) {
		next = duplicate->private_->next_duplicate;
		append_result(duplicate, error_code, answers);
	}
}

/* Each is answered in a step of its own. */
static void append_complete(struct log_append *op, int16_t error_code)
{
	struct list answers;
	struct list_node *node;

	list_init(&answers);
	append_settle(op, error_code, &answers);
	while ((node = list_pop_front(&answers))) {
		struct log_append *answered = container_of(node, struct log_append, node);

		answered->task.run = append_answer_run;
		shard_post(answered->log->shard, &answered->task);
	}
}

void log_append_refuse(struct log_append *op, int16_t error_code)
{
	append_complete(op, error_code);
}

void log_append_refuse_queued(struct log *log)
{
	struct list waiting;
	struct list_node *node;

	/* Who is refused may come again at once. */
	list_init(&waiting);
	list_append_all(&waiting, &log->queued);
	while ((node = list_pop_front(&waiting)))
		log_append_refuse(
			container_of(node, struct log_append, node), KAFKA_KAFKA_STORAGE_ERROR);
}

static struct log_append_private *private_take(struct log_store *store)
{
	struct list_node *node = list_pop_front(&store->free_appends);

	if (!node)
		return calloc(1, sizeof(struct log_append_private));
	store->free_append_count--;
	return container_of(node, struct log_append_private, node); /* cleared when it was given */
}

/* From any shard: what is left here was refused, and is not reused. */
void log_append_done(struct log_append *op)
{
	if (op->private_)
		private_free(op->private_);
	op->private_ = NULL;
}

/* ---- the ring of the newest batches ---- */

void log_ring_reset(struct log *log)
{
	log->ring_first = log->ring_count = 0;
}

static struct log_ring_entry *ring_at(const struct log *log, uint32_t index)
{
	return &log->ring[(log->ring_first + index) % LOG_RING_SIZE];
}

static void ring_push(struct log *log, const struct batch_header *batch, uint32_t position)
{
	/* Without memory for a ring readers use the index. */
	if (!log->ring)
		log->ring = malloc(LOG_RING_SIZE * sizeof(*log->ring));
	if (!log->ring)
		return;
	if (log->ring_count == LOG_RING_SIZE) {
		log->ring_first = (log->ring_first + 1) % LOG_RING_SIZE;
		log->ring_count--;
	}
	*ring_at(log, log->ring_count++) = (struct log_ring_entry){
		.base_offset = batch->base_offset,
		.last_offset = batch->last_offset,
		.position = position,
		.size = (uint32_t)batch->size,
	};
}

const struct log_ring_entry *log_ring_find(const struct log *log, int64_t offset)
{
	uint32_t low = 0, high = log->ring_count;

	if (high == 0)
		return NULL;
	/* Below the ring lies what only the index knows, unless the ring begins with the segment.
	 */
	if (offset < ring_at(log, 0)->base_offset && ring_at(log, 0)->position != 0)
		return NULL;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (ring_at(log, middle)->last_offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == log->ring_count ||
		ring_at(log, low)->position + ring_at(log, low)->size > log_active(log)->tail.size)
		return NULL;
	return ring_at(log, low);
}

/* ---- walking ---- */

/*
 * The next batch of a checked append: *POSITION, 0 at first, moves behind it. The first header is
 * kept, since nearly every append is one batch, and is looked at by each stage on its way.
 */
static bool append_batch_next(const struct log_append_private *private, uint32_t *position,
	struct batch_header *ret_batch)
{
	if (*position == private->size)
		return false;
	if (*position == 0)
		*ret_batch = private->first;
	else
		ensure(batch_next(private->bytes + *position, private->size - *position,
			       ret_batch) > 0);
	*position += (uint32_t)ret_batch->size;
	return true;
}

/* ---- rolling ---- */

struct append_span {
	int64_t first_offset, last_offset, max_timestamp;
};

static struct append_span append_span(const struct log_append_private *private)
{
	struct append_span span = {.first_offset = -1, .last_offset = -1, .max_timestamp = -1};
	struct batch_header batch;
	uint32_t position = 0;

	while (append_batch_next(private, &position, &batch)) {
		if (span.first_offset < 0)
			span.first_offset = batch.base_offset;
		span.last_offset = batch.last_offset;
		span.max_timestamp = max_of(span.max_timestamp, batch.max_timestamp);
	}
	return span;
}

/* The conditions of Kafka's LogSegment.shouldRoll, on what is accepted. */
static bool roll_is_due(const struct log *log, uint32_t size, const struct append_span *span)
{
	const struct segment *active = log_active(log);
	const struct segment_tail *tail = &log->accepted;
	uint32_t capacities[INDEX_KINDS];
	int64_t waited_ms, segment_ms = log->config.segment_ms;

	/* What is active is not compacted. */
	if (log->config.compact && log->config.max_compaction_lag_ms > 0)
		segment_ms = min_of(segment_ms, log->config.max_compaction_lag_ms);
	log_index_capacities(log, capacities);
	if ((int64_t)tail->size > (int64_t)log->config.segment_size_bytes - size)
		return true;
	if (tail->size > 0) {
		waited_ms = tail->first_timestamp >= 0
				    ? span->max_timestamp - tail->first_timestamp
				    : shard_wall_ms(log->shard) - active->created_ms;
		if (waited_ms > segment_ms - active->jitter_ms)
			return true;
		if (tail->offset_entries >= capacities[INDEX_OFFSET] ||
			tail->time_entries + 1 >= capacities[INDEX_TIME])
			return true;
	}
	return span->last_offset - active->base_offset > INT32_MAX;
}

/* ---- accepting ---- */

static void changes_revert(struct log *log, struct log_append_private *private)
{
	while (private->change_count > 0) {
		private->change_count--;
		producer_state_revert(&log->producers,
			private->change_count == 0
				? &private->change
				: &private->more_changes[private->change_count - 1]);
	}
	private->completed_count = 0;
}

/* Room for COUNT changes and completed transactions beside the first. */
static int changes_reserve(struct log_append_private *private, uint32_t count)
{
	if (count <= 1)
		return 0;
	private->more_changes = malloc(
		(count - 1) * (sizeof(*private->more_changes) + sizeof(*private->more_completed)));
	if (!private->more_changes)
		return -ENOMEM;
	private->more_completed = (void *)(private->more_changes + (count - 1));
	return 0;
}

/* The append under way that OP repeats; NULL when it is over. */
static struct log_append *original_find(const struct log *log, const struct log_append *op)
{
	const struct list *lists[] = {&log->flying, &log->durable};

	for (size_t i = 0; i < array_length(lists); i++)
		list_for_each (node, lists[i]) {
			struct log_append *original = container_of(node, struct log_append, node);

			if (original->base_offset <= op->base_offset &&
				original->last_offset >= op->last_offset)
				return original;
		}
	return NULL;
}

/* A retry promises as much as what it repeats, so it is not answered earlier. */
static void duplicate_answer(struct log *log, struct log_append *op)
{
	struct log_append *original = original_find(log, op);

	if (!original) {
		append_complete(op, KAFKA_NONE);
		return;
	}
	op->private_->next_duplicate = original->private_->duplicates;
	original->private_->duplicates = op;
}

/* The producers' part; 1 when the append is a duplicate and is answered with its former offsets. */
static int16_t producers_apply(struct log *log, struct log_append *op, bool *ret_duplicate)
{
	struct log_append_private *private = op->private_;
	enum producer_check check = op->origin == APPEND_CLIENT	       ? PRODUCER_CLIENT
				    : op->origin == APPEND_COORDINATOR ? PRODUCER_COORDINATOR
								       : PRODUCER_TRUSTED;
	const struct producer_batch *duplicate;
	struct producer_completed *completed;
	struct producer_change *change;
	struct batch_header batch;
	uint32_t position = 0, count = 0;
	int16_t error_code;

	*ret_duplicate = false;
	while (append_batch_next(private, &position, &batch))
		count++;
	if (changes_reserve(private, count) < 0)
		return KAFKA_UNKNOWN_SERVER_ERROR;
	position = 0;
	while (append_batch_next(private, &position, &batch)) {
		if (check == PRODUCER_CLIENT && batch_has_producer_id(&batch)) {
			duplicate = producer_state_duplicate(&log->producers, &batch);
			if (duplicate) {
				op->base_offset = duplicate->last_offset - duplicate->offset_delta;
				op->last_offset = duplicate->last_offset;
				op->log_append_time_ms = duplicate->timestamp;
				op->duplicate = *ret_duplicate = true;
				changes_revert(log, private);
				return KAFKA_NONE;
			}
		}
		change = private->change_count == 0
				 ? &private->change
				 : &private->more_changes[private->change_count - 1];
		completed = private->completed_count == 0
				    ? &private->completed
				    : &private->more_completed[private->completed_count - 1];
		error_code = producer_state_apply(&log->producers, &batch,
			private->bytes + position - batch.size, check, op->transaction_version,
			change, completed);
		if (error_code) {
			changes_revert(log, private);
			return error_code;
		}
		private->change_count++;
		if (completed->producer_id != NO_PRODUCER_ID)
			private->completed_count++;
	}
	return KAFKA_NONE;
}

static int16_t append_accept(struct log *log, struct log_append *op, bool *ret_duplicate)
{
	struct log_append_private *private = op->private_;
	struct segment *active = log_active(log);
	uint32_t capacities[INDEX_KINDS];
	struct segment_entries entries;
	struct batch_header batch;
	uint32_t position = 0;
	int64_t messages = 0;
	int16_t error_code;
	int changed;

	error_code = producers_apply(log, op, ret_duplicate);
	if (error_code || *ret_duplicate)
		return error_code;
	log_index_capacities(log, capacities);
	op->base_offset = -1;
	while (append_batch_next(private, &position, &batch)) {
		if (op->base_offset < 0)
			op->base_offset = batch.base_offset;
		op->last_offset = batch.last_offset;
		messages += batch.last_offset - batch.base_offset + 1;
		changed = 0;
		if (batch.magic < 2)
			changed = epoch_cache_clear(&log->epochs);
		else if (batch.partition_leader_epoch >= 0)
			changed = epoch_cache_assign(
				&log->epochs, batch.partition_leader_epoch, batch.base_offset);
		/* Without memory an epoch's start is lost until the next start finds it in the
		 * batches. */
		if (changed > 0)
		private->epoch_changes++;
		ring_push(log, &batch, log->accepted.size);
		segment_tail_advance(&log->accepted, &batch,
			(uint32_t)log->config.index_interval_bytes, capacities, &entries);
	}
	ensure(op->last_offset >= log->end && op->last_offset - active->base_offset <= INT32_MAX);
	if (private->epoch_changes)
		log_epochs_grown(log);
	private->after = log->accepted;
	log->end = op->last_offset + 1;
	log->end_is_gap = false;
	log->unsynced_messages += (uint64_t)messages;
	if (log->config.flush_messages < INT64_MAX &&
		log->unsynced_messages >= (uint64_t)log->config.flush_messages) {
		private->durable = true;
		log->unsynced_messages = 0;
	}
	private->durable |= op->durable;
	list_push_back(&log->flying, &op->node);
	return KAFKA_NONE;
}

/* ---- writing ---- */

/* The written batches go into the indexes. -ENOMEM when an aborted transaction was lost: its
 * records would be shown. */
static int append_index(struct log *log, struct log_append *op)
{
	struct log_append_private *private = op->private_;
	struct segment *active = log_active(log);
	int error = 0;
	uint32_t capacities[INDEX_KINDS];
	struct segment_entries entries;
	struct batch_header batch;
	uint32_t position = 0;

	log_index_capacities(log, capacities);
	while (append_batch_next(private, &position, &batch)) {
		segment_tail_advance(&active->tail, &batch,
			(uint32_t)log->config.index_interval_bytes, capacities, &entries);
		segment_index(active, &entries);
	}
	for (uint32_t i = 0; i < private->completed_count; i++) {
		const struct producer_completed *completed =
			i == 0 ? &private->completed : &private->more_completed[i - 1];

		if (completed->aborted && segment_aborted_add(active, completed) < 0)
			error = -ENOMEM;
	}
	ensure(active->tail.size == private->after.size);
	active->modified_ms = shard_wall_ms(log->shard);
	log->readable_end = op->last_offset + 1;
	log->snapshot_bytes += private->size;
	return error;
}

static void cut_and_go_on(struct shard *shard, void *argument)
{
	struct log *log = argument;
	struct segment *active = log_active(log);
	int error;

	log_busy_begin(log);
	error = log->error;
	if (!error)
		error = segment_open_file(active);
	if (!error)
		error = fiber_truncate(shard, active->file, active->tail.size);
	if (error && !log->error)
		log_fail(log, error);
	log_busy_end(log);
	log_append_release(log);
	log_fiber_end(log);
}

/* Everything accepted and not written is taken back, newest first, and refused. */
static void flying_fail(struct log *log, int16_t error_code)
{
	struct log_append *op;
	bool epochs_changed = false;

	if (!list_is_empty(&log->flying)) {
		op = container_of(list_first(&log->flying), struct log_append, node);
		epochs_changed = epoch_cache_truncate_end(
			&log->epochs, log->readable_end + (op->private_->epoch_changes ? 0 : 1));
	}
	for (struct list_node *node = list_last(&log->flying); node; node = node->previous) {
		if (node == &log->flying.head)
			break;
		changes_revert(log, container_of(node, struct log_append, node)->private_);
	}
	log->accepted = log_active(log)->tail;
	log->end = log->readable_end;
	while (log->ring_count > 0 &&
		ring_at(log, log->ring_count - 1)->position >= log_active(log)->tail.size)
		log->ring_count--;
	while (!list_is_empty(&log->flying)) {
		op = container_of(list_pop_front(&log->flying), struct log_append, node);
		append_complete(op, error_code);
	}
	if (epochs_changed)
		log_epochs_changed(log);
}

static void write_done(struct shard *shard, struct file_op *file_op)
{
	struct log *log = container_of(file_op, struct log, write_op);
	int64_t result = file_op->result;
	bool durable = false;
	struct list answers;
	struct list_node *node;

	list_init(&answers);
	log->writing = false;
	file_unref(log->write_file);
	log->write_file = NULL;
	if (log->error && result >= 0)
		result = log->error;
	if (result < 0) {
		log->write_count = 0;
		flying_fail(log, KAFKA_KAFKA_STORAGE_ERROR);
		if (!log->error) {
			if (result == -ENOSPC) {
				log_folder_full(log);
				log->holds++;
				if (log_fiber_start(log, cut_and_go_on) < 0) {
					log->holds--;
					log_fail(log, -ENOMEM);
				}
			} else {
				log_fail(log, (int)result);
			}
		}
	} else {
		while (log->write_count > 0) {
			struct log_append *op =
				container_of(list_pop_front(&log->flying), struct log_append, node);

			log->write_count--;
			result = min_of(result, (int64_t)append_index(log, op));
			if (op->private_->durable) {
				list_push_back(&log->durable, &op->node);
				durable = true;
			} else {
				append_settle(op, KAFKA_NONE, &answers);
			}
		}
		if (log->unsynced_since_ns == 0) {
			log->unsynced_since_ns = max_of(shard_now_ns(shard), 1ull);
			log_flush_schedule(log);
		}
		log_store_housekeeping_start(log->store);
		log_backlog_count(log);
		log_backlog_bound(log->store);
		if (result < 0)
			log_fail(log, (int)result);
		if (durable || !list_is_empty(&log->syncs))
			log_sync_run(log);
	}
	log_drain_wake(log);
	log_append_run(log);
	/* All that one write took along is answered in one step, while it is in the caches: at the end,
	 * since who is answered may append again. */
	while ((node = list_pop_front(&answers)))
		append_answer(container_of(node, struct log_append, node));
}

static void write_begin(struct log *log)
{
	struct segment *active = log_active(log);
	uint64_t position = active->tail.size;
	int count = 0;

	if (log->writing || log->opening || list_is_empty(&log->flying))
		return;
	if (!active->file) { /* closed for room since */
		open_begin(log);
		return;
	}
	list_for_each (node, &log->flying) {
		struct log_append_private *private =
			container_of(node, struct log_append, node)->private_;

		if (count == LOG_WRITE_PARTS_MAX)
			break;
		log->parts[count++] =
			(struct iovec){.iov_base = private->bytes, .iov_len = private->size};
	}
	log->write_count = (uint32_t)count;
	log->writing = true;
	log->write_file = file_ref(active->file);
	log->write_op = (struct file_op){.done = write_done};
	file_write(log->shard, &log->write_op, log->write_file, log->parts, count, position);
}

static void write_due(struct shard *shard, struct task *task)
{
	struct log *log = container_of(task, struct log, write_task);

	log->write_is_due = false;
	write_begin(log);
	if (!log->writing)
		log_drain_wake(log);
}

/* As a step of its own: what the steps before it append goes into the same write. A client that
 * pipelines a hundred requests costs one call into the kernel, not two. */
static void write_soon(struct log *log)
{
	if (log->write_is_due || log->writing || log->opening || list_is_empty(&log->flying))
		return;
	log->write_is_due = true;
	log->write_task.run = write_due;
	shard_post(log->shard, &log->write_task);
}

static void open_done(struct shard *shard, struct file_op *file_op)
{
	struct log *log = container_of(file_op, struct log, open_op);
	struct segment *active = log_active(log);

	log->opening = false;
	free((char *)(uintptr_t)log->open_path);
	log->open_path = NULL;
	if (log_error_is_passing((int)file_op->result)) {
		log_append_refuse_queued(log);
	} else if (file_op->result < 0) {
		log_fail(log, (int)file_op->result);
	} else if (active->file || log->error || log->open_segment != active) {
		file_unref(file_op->ret.file);
	} else {
		active->file = file_op->ret.file;
		segment_opened(active);
	}
	segment_unref(log->open_segment);
	log->open_segment = NULL;
	log_drain_wake(log);
	log_append_run(log);
}

static void open_begin(struct log *log)
{
	struct segment *active = log_active(log);
	char path[SEGMENT_PATH_SIZE_MAX];

	segment_path(active, LOG_FILE_DATA, active->state, path);
	log->open_path = strdup(path);
	if (!log->open_path) {
		log_fail(log, -ENOMEM);
		return;
	}
	log->opening = true;
	log->open_segment = segment_ref(active);
	log->open_op = (struct file_op){.done = open_done};
	file_open(log->shard, &log->open_op, log->open_path, FILE_READ | FILE_WRITE);
}

void log_append_run(struct log *log)
{
	while (!list_is_empty(&log->queued) && !log->holds && !log->opening && !log->rolling &&
		!log->checking) {
		struct log_append *op =
			container_of(list_first(&log->queued), struct log_append, node);
		struct append_span span;
		int16_t error_code;
		bool duplicate = false;

		if (log->error) {
			log_append_fail_all(log, KAFKA_KAFKA_STORAGE_ERROR);
			return;
		}
		/* With writes in flight the file is referenced, but may be closed for room. It is not
		 * waited for, in a fiber neither: another step would take the same append. */
		if (!log_active(log)->file) {
			open_begin(log);
			return;
		}
		segment_touch(log_active(log));
		if (!op->private_->checked && !log_append_check(log, op))
			break; /* goes on when that is done */
		error_code = op->private_->check_error;
		/* What it was checked against was taken back since. */
		if (!error_code && op->private_->checked_end != log->end)
			error_code = KAFKA_KAFKA_STORAGE_ERROR;
		if (!error_code && op->private_->size > 0) {
			span = append_span(op->private_);
			if (roll_is_due(log, op->private_->size, &span)) {
				if (!list_is_empty(&log->flying))
					break; /* run again when they are written */
				log_roll_begin(log, max_of(span.first_offset, log->end));
				return;
			}
			list_remove(&op->node);
			error_code = append_accept(log, op, &duplicate);
			if (!error_code) {
				if (duplicate)
					duplicate_answer(log, op);
				continue;
			}
		} else {
			list_remove(&op->node);
		}
		append_complete(op, error_code);
	}
	write_soon(log);
}

void log_append(struct log *log, struct log_append *op)
{
	ensure(op->size <= INT32_MAX); /* what a frame can hold; more is a length that was not checked */
	op->log = log;
	op->store = log->store;
	op->error_code = KAFKA_NONE;
	op->duplicate = false;
	op->base_offset = op->last_offset = -1;
	op->log_append_time_ms = -1;
	op->error_message = NULL;
	op->record_errors = NULL;
	op->record_error_count = 0;
	op->node = (struct list_node){0};
	op->private_ = private_take(log->store);
	if (!op->private_ || log->error || log->closing ||
		(log->no_room && __atomic_load_n(log->no_room, __ATOMIC_RELAXED))) {
		append_complete(
			op, op->private_ ? KAFKA_KAFKA_STORAGE_ERROR : KAFKA_UNKNOWN_SERVER_ERROR);
		return;
	}
	list_push_back(&log->queued, &op->node);
	log_append_run(log);
}

void log_append_fail_all(struct log *log, int16_t error_code)
{
	struct list_node *node;

	/* What is being written is failed by the write's end: its bytes are still in use. */
	if (!log->writing)
		flying_fail(log, error_code);
	while ((node = list_pop_front(&log->queued)))
		append_complete(container_of(node, struct log_append, node), error_code);
	while ((node = list_pop_front(&log->durable)))
		append_complete(container_of(node, struct log_append, node), error_code);
}

void log_append_durable_done(struct log *log)
{
	list_for_each_safe (node, &log->durable) {
		struct log_append *op = container_of(node, struct log_append, node);

		if (op->last_offset >= log->durable_end)
			break;
		list_remove(&op->node);
		append_complete(op, KAFKA_NONE);
	}
}
