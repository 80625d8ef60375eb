/*
 * What is asked of an append's bytes before the log takes them, and the offsets that they get. Small
 * ones are judged in a step of the loop. What takes long (decompressing, or compressing anew) is
 * done by another thread, so that the other clients of the shard don't wait for it; the log's later
 * appends do, since each continues the offsets of the one before.
 *
 *	           small                               refused or good
 *	queued ----------------------------------------------------------> checked
 *	   |                                                                  ^
 *	   '--large, or small and turns out larger--> log->checking ----------'
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/batch_validate.h"
#include "protocol/errors.h"
#include "runtime/offload.h"
#include "storage/log_internal.h"

enum {
	ERROR_ARENA_SIZE = 64 << 10,
	FREE_CHECKS_MAX = 4, /* kept for reuse; each has a codec's working memory */
};

/*
 * What the loop looks at itself: bytes that come, and bytes that they may decompress to. Each is
 * at most about a millisecond's work. Compressing costs ten times what decompressing does, and a
 * plain batch only its checksum and a glance at each record.
 */
enum {
	PLAIN_SIZE_MAX = 2 << 20,
	COMPRESSED_SIZE_MAX = 64 << 10,
	COMPRESSED_OUTPUT_MAX = 512 << 10,
	REBUILT_SIZE_MAX = 16 << 10,
	REBUILT_OUTPUT_MAX = 64 << 10,
};

struct log_check {
	struct offload_op offload;
	struct list_node node; /* free list */
	struct log *log;
	struct log_append *op;
	struct compress_context *compress;
	int64_t end; /* of the log, when the check began */

	struct batch_rules rules;
	struct batch_verdict verdict;
	int rebuild_error; /* as batch_rebuild's */
};

static void check_rules_fill(struct log_check *check)
{
	const struct log *log = check->log;
	const struct log_config *config = &log->config;
	int compression = config->compression == LOG_COMPRESSION_PRODUCER ? COMPRESSION_PRODUCER
									  : config->compression;

	check->rules = (struct batch_rules){
		.now_ms = shard_wall_ms(log->shard),
		.timestamp_before_max_ms = config->timestamp_before_max_ms,
		.timestamp_after_max_ms = config->timestamp_after_max_ms,
		.decompressed_limit = log->store->options.decompressed_bytes_max,
		.timestamp_type = config->timestamp_type,
		.origin = check->op->origin == APPEND_CLIENT ? BATCH_ORIGIN_CLIENT
							     : BATCH_ORIGIN_COORDINATOR,
		.batch_size_max = config->max_message_bytes,
		.compression = compression,
		.compression_level =
			compression == COMPRESSION_PRODUCER ||
					config->compression_level != LOG_COMPRESSION_LEVEL_STANDARD
				? config->compression_level
				: compression_levels((enum compression)compression).standard,
		.produce_version = check->op->produce_version,
		.compacted = config->compact,
	};
}

/* The answer's texts: they live in the operation's own arena. */
static void check_tell(const struct log_check *check)
{
	const struct batch_rules *rules = &check->rules;
	const struct batch_verdict *verdict = &check->verdict;
	const struct log *log = check->log;
	struct log_append *op = check->op;
	struct arena *arena = &op->private_->arena;
	struct str text = batch_verdict_text(rules, verdict, log->topic, log->partition, arena);

	op->error_message = str_is_null(text) ? NULL : arena_printf(arena, "%.*s", STR_ARGS(text));
	op->record_errors = arena_new_array(
		arena, struct log_record_error, (size_t)verdict->record_error_listed);
	if (!op->record_errors)
		return;
	for (int32_t i = 0; i < verdict->record_error_listed; i++) {
		text = batch_record_error_text(
			rules, &verdict->record_errors[i], log->topic, log->partition, arena);
		op->record_errors[op->record_error_count++] = (struct log_record_error){
			.batch_index = verdict->record_errors[i].index,
			.message = str_is_null(text) ? NULL
						     : arena_printf(arena, "%.*s", STR_ARGS(text)),
		};
	}
}

/*
 * The work itself, on whichever thread: judges, and writes the new batch where one is needed. It
 * touches the operation's bytes and private part, which nobody else does meanwhile, and of the log
 * only what CHECK brought along.
 */
static void check_run(struct log_check *check)
{
	struct log_append *op = check->op;
	struct log_append_private *private = op->private_;

	arena_init(&private->arena, ERROR_ARENA_SIZE);
	private->arena_used = true;
	check->rebuild_error = 0;
	batch_validate(check->compress, &check->rules, op->records, op->size, &private->arena,
		&check->verdict);
	if (check->verdict.error || check->verdict.batch_count == 0 || !check->verdict.rebuild)
		return;
	private->rebuilt = true;
	check->rebuild_error = batch_rebuild(check->compress, &check->rules, &check->verdict,
		op->records, check->end, op->leader_epoch, &private->buffer);
}

/* On the log's shard: what came of the work, as Kafka's error code. */
static int16_t check_result(const struct log_check *check)
{
	const struct batch_verdict *verdict = &check->verdict;
	struct log_append *op = check->op;
	struct log_append_private *private = op->private_;

	if (verdict->error) {
		check_tell(check);
		return batch_error_code(verdict->error);
	}
	if (check->rebuild_error)
		return check->rebuild_error == -ENOBUFS ? KAFKA_RECORD_LIST_TOO_LARGE
							: batch_error_code(check->rebuild_error);
	private->bytes = op->records;
	private->size = verdict->batch_count ? (uint32_t)verdict->valid_size : 0;
	if (private->size == 0)
		return KAFKA_NONE;
	if (private->rebuilt) {
		private->bytes = private->buffer.data;
		private->size = (uint32_t) private->buffer.size;
	} else {
		batch_assign(&check->rules, verdict, op->records, check->end, op->leader_epoch);
	}
	op->log_append_time_ms = check->rules.timestamp_type == TIMESTAMP_LOG_APPEND
					 ? check->rules.now_ms
					 : -1;
	return KAFKA_NONE;
}

/* The operation is judged: what every kind of append is asked at last. */
static void check_settle(struct log *log, struct log_append *op, int64_t end, int16_t error_code)
{
	struct log_append_private *private = op->private_;

	if (!error_code && private->size > (uint32_t)log->config.segment_size_bytes)
		error_code = KAFKA_RECORD_LIST_TOO_LARGE;
	if (!error_code && private->size > 0)
		ensure(batch_next(private->bytes, private->size, &private->first) > 0);
	private->checked = true;
	private->checked_end = end;
	private->check_error = error_code;
}

/* ---- on another thread ---- */

static struct log_check *check_take(struct log_store *store)
{
	struct list_node *node = list_pop_front(&store->free_checks);
	struct log_check *check;

	if (node) {
		store->free_check_count--;
		return container_of(node, struct log_check, node);
	}
	check = calloc(1, sizeof(*check));
	if (!check)
		return NULL;
	check->compress = compress_context_new();
	if (!check->compress) {
		free(check);
		return NULL;
	}
	return check;
}

static void check_free(struct log_check *check)
{
	compress_context_free(check->compress);
	free(check);
}

static void check_give(struct log_store *store, struct log_check *check)
{
	if (store->free_check_count == FREE_CHECKS_MAX) {
		check_free(check);
		return;
	}
	list_push_front(&store->free_checks, &check->node);
	store->free_check_count++;
}

void log_checks_free(struct log_store *store)
{
	struct list_node *node;

	while ((node = list_pop_front(&store->free_checks)))
		check_free(container_of(node, struct log_check, node));
}

static void check_work(struct offload_op *offload)
{
	check_run(container_of(offload, struct log_check, offload));
}

static void check_done(struct shard *shard, struct offload_op *offload)
{
	struct log_check *check = container_of(offload, struct log_check, offload);
	struct log *log = check->log;
	struct log_append *op = check->op;

	log->checking = NULL;
	check_settle(log, op, check->end, check_result(check));
	check_give(log->store, check);
	/* A log that has failed meanwhile refuses it from there. */
	list_push_front(&log->queued, &op->node);
	log_drain_wake(log);
	log_append_run(log);
}

/* False without memory. */
static bool check_elsewhere(struct log *log, struct log_append *op)
{
	struct log_check *check = check_take(log->store);

	if (!check)
		return false;
	check->log = log;
	check->op = op;
	check->end = log->end;
	check_rules_fill(check);
	record_buffer_init(&op->private_->buffer, (size_t)log->config.segment_size_bytes);
	list_remove(&op->node);
	log->checking = op;
	check->offload = (struct offload_op){.work = check_work, .done = check_done};
	offload(log->shard, &check->offload);
	return true;
}

/* ---- by origin ---- */

static bool check_rebuilds(const struct batch_rules *rules, const struct batch_header *first)
{
	return first->magic < 2 || (rules->compression != COMPRESSION_PRODUCER &&
					   rules->compression != batch_compression(first));
}

/* Offsets are given here: one batch comes out, in the request's bytes or rebuilt. False: elsewhere.
 */
static bool check_client(struct log *log, struct log_append *op)
{
	struct log_check check = {
		.log = log, .op = op, .compress = log->store->compress, .end = log->end};
	struct log_append_private *private = op->private_;
	uint64_t limit, size_max = PLAIN_SIZE_MAX, output_max = UINT64_MAX;
	struct batch_header first;

	check_rules_fill(&check);
	limit = check.rules.decompressed_limit;
	if (batch_next(op->records, op->size, &first) > 0) {
		if (check_rebuilds(&check.rules, &first)) {
			size_max = REBUILT_SIZE_MAX;
			output_max = REBUILT_OUTPUT_MAX;
		} else if (batch_is_compressed(&first)) {
			size_max = COMPRESSED_SIZE_MAX;
			output_max = COMPRESSED_OUTPUT_MAX;
		}
	}
	if (op->size > size_max && check_elsewhere(log, op))
		return false;
	check.rules.decompressed_limit = min_of(limit, output_max);
	record_buffer_init(&private->buffer, (size_t)log->config.segment_size_bytes);
	check_run(&check);
	if (limit > output_max && (check.verdict.error == BATCH_ERROR_BOMB ||
					  check.rebuild_error == BATCH_ERROR_BOMB)) {
		/* It holds more than it looked like: once more, from the beginning. */
		record_buffer_done(&private->buffer);
		arena_done(&private->arena);
		private->rebuilt = private->arena_used = false;
		if (check_elsewhere(log, op))
			return false;
		check.rules.decompressed_limit = limit;
		record_buffer_init(&private->buffer, (size_t)log->config.segment_size_bytes);
		check_run(&check);
	}
	check_settle(log, op, check.end, check_result(&check));
	return true;
}

/* Batches of our own metadata log: offsets are given, everything else is as its writer made it. */
static int16_t check_raft(struct log *log, struct log_append *op)
{
	struct log_append_private *private = op->private_;
	struct batch_header batch;
	int64_t offset = log->end, size;
	uint32_t position = 0;

	while ((size = batch_next(op->records + position, op->size - position, &batch)) > 0) {
		if (batch.magic != 2 || batch_check(op->records + position, &batch) < 0)
			return KAFKA_CORRUPT_MESSAGE;
		batch_base_offset_set(op->records + position, offset);
		batch_partition_leader_epoch_set(op->records + position, op->leader_epoch);
		offset += batch.last_offset - batch.base_offset + 1;
		position += (uint32_t)size;
	}
	if (size < 0 || position != op->size)
		return KAFKA_CORRUPT_MESSAGE;
	private->bytes = op->records;
	private->size = position;
	return KAFKA_NONE;
}

/* Offsets are there already and must go on where the log ends; a batch cut off at the end is left
 * out. */
static int16_t check_replica(struct log *log, struct log_append *op)
{
	struct log_append_private *private = op->private_;
	struct batch_header batch;
	int64_t next = log->end, size;
	uint32_t position = 0;

	while ((size = batch_next(op->records + position, op->size - position, &batch)) > 0) {
		if (batch_check(op->records + position, &batch) < 0)
			return KAFKA_CORRUPT_MESSAGE;
		/* A batch of a leader that we don't know yet comes again when we do (KIP-966). */
		if (op->leader_epoch >= 0 && batch.magic >= 2 &&
			batch.partition_leader_epoch > op->leader_epoch)
			break;
		if (batch.base_offset < next || batch.last_offset < batch.base_offset)
			return KAFKA_OFFSET_OUT_OF_RANGE;
		next = batch.last_offset + 1;
		position += (uint32_t)size;
	}
	if (size < 0)
		return KAFKA_CORRUPT_MESSAGE;
	private->bytes = op->records;
	private->size = position;
	return KAFKA_NONE;
}

bool log_append_check(struct log *log, struct log_append *op)
{
	int16_t error_code = KAFKA_NONE;

	switch (op->origin) {
	case APPEND_CLIENT:
	case APPEND_COORDINATOR:
		return check_client(log, op);
	case APPEND_RAFT_LEADER:
		error_code = check_raft(log, op);
		break;
	case APPEND_REPLICA:
		error_code = check_replica(log, op);
		break;
	}
	check_settle(log, op, log->end, error_code);
	return true;
}
