/*
 * Our side of the log comparison: runs the operations that Logs.java wrote on a log of our own,
 * or tells what a log holds, as text. On the real machine, on real files.
 *
 *	log_peer apply FOLDER CASES		makes FOLDER/topic-0
 *	log_peer read FOLDER clean|unclean	what FOLDER/topic-0 holds
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/fiber.h"
#include "runtime/linux/machine.h"
#include "storage/log_internal.h"

enum operation { END, APPEND, ROLL, TRUNCATE, REOPEN, COMPACT };

struct peer {
	const char *folder, *argument;
	bool applies, compacted;
	int64_t clean_end; /* from one opening to the next */
	struct shard *shard;
	struct log_store *store;
	struct log *log;
	struct fiber *fiber;
	const uint8_t *cases, *cases_end;
};

static void fail(const char *what, int64_t error)
{
	fprintf(stderr, "log_peer: %s: %" PRId64 "\n", what, error);
	exit(1);
}

static void log_begin(struct peer *peer, bool clean)
{
	struct log_open ask = {
		.folder = peer->folder,
		.name = "topic-0",
		.topic = STR("topic"),
		.clean = clean,
	};
	struct log_recovery recovery;
	int error;

	log_config_init(&ask.config);
	ask.config.compact = peer->compacted;
	ask.config.delete_old = !peer->compacted;
	ask.config.delete_retention_ms = 20000;
	ask.clean_end = peer->clean_end;
	ask.config.segment_size_bytes = 20000;
	ask.config.segment_index_size_bytes = 600;
	ask.config.index_interval_bytes = 1000;
	ask.config.segment_ms = 600000;
	ask.config.retention_ms = -1;
	ask.config.file_delete_delay_ms = 0;
	error = log_open(peer->store, &ask, &peer->log, &recovery);
	if (error)
		fail("open", error);
	if (recovery.dropped_bytes)
		fail(recovery.reason, recovery.dropped_bytes);
}

static uint32_t take_int(struct peer *peer)
{
	uint32_t value;

	if (peer->cases_end - peer->cases < 4)
		fail("the cases are cut off", 0);
	value = load_be32(peer->cases);
	peer->cases += 4;
	return value;
}

struct append_wait {
	struct log_append op;
	struct peer *peer;
};

static void append_wake(struct log_append *op)
{
	struct append_wait *wait = container_of(op, struct append_wait, op);

	fiber_wake(wait->peer->shard, wait->peer->fiber);
}

static void append(struct peer *peer)
{
	static const enum append_origin origins[] = {
		APPEND_CLIENT, APPEND_COORDINATOR, APPEND_REPLICA};
	struct append_wait wait = {.peer = peer, .op.done = append_wake, .op.produce_version = -1};
	uint8_t *bytes;

	wait.op.origin = origins[take_int(peer) % 3];
	wait.op.leader_epoch = (int32_t)take_int(peer);
	wait.op.size = take_int(peer);
	if ((size_t)(peer->cases_end - peer->cases) < wait.op.size)
		fail("the cases are cut off", 0);
	bytes = malloc(wait.op.size);
	memcpy(bytes, peer->cases, wait.op.size);
	peer->cases += wait.op.size;
	wait.op.records = bytes;
	log_append(peer->log, &wait.op);
	fiber_wait(peer->shard);
	if (wait.op.error_code)
		fail("append", wait.op.error_code);
	log_append_done(&wait.op);
	free(bytes);
}

static int64_t take_long(struct peer *peer)
{
	int64_t high = (int64_t)take_int(peer) << 32;

	return high | take_int(peer);
}

static void compact(struct peer *peer)
{
	struct log *log = peer->log;
	struct log_clean ask = {
		.now_ms = take_long(peer),
		.map_bytes = take_int(peer),
		.io_buffer_bytes = 20000,
		.load_factor = 0.9,
		.bytes_per_second = 1e18,
		.compress = compress_context_new(),
	};
	struct log_cleaning cleaning;
	int error;

	log_high_watermark_set(log, log_readable_end(log));
	/* What rolls have begun is waited for. */
	for (uint32_t i = 0; i < log_segment_count(log); i++)
		while (i < log_segment_count(log) && log->segments[i]->finishing)
			log_drain_wait(log);
	error = log_cleanable(log, &ask.range);
	if (!error && ask.range.dirty_bytes > 0)
		error = log_clean(log, &ask, &cleaning);
	compress_context_free(ask.compress);
	if (error)
		fail("compact", error);
}

static void apply(struct peer *peer)
{
	size_t size;
	char *cases;
	int error = fiber_read_whole(peer->shard, peer->argument, 256 << 20, &cases, &size);

	if (error)
		fail("cases", error);
	peer->cases = (uint8_t *)cases;
	peer->cases_end = peer->cases + size;
	peer->compacted = take_int(peer) == 1;
	log_begin(peer, true);
	for (;;) {
		switch ((enum operation)take_int(peer)) {
		case APPEND:
			append(peer);
			continue;
		case ROLL:
			error = log_roll(peer->log);
			break;
		case TRUNCATE:
			error = log_truncate(peer->log, take_long(peer));
			break;
		case COMPACT:
			compact(peer);
			continue;
		case REOPEN:
			peer->clean_end = log_clean_end(peer->log);
			error = log_close(peer->log);
			log_begin(peer, true);
			break;
		case END:
			error = log_close(peer->log);
			free(cases);
			if (error)
				fail("close", error);
			return;
		}
		if (error)
			fail("operation", error);
	}
}

struct read_wait {
	struct log_read op;
	struct peer *peer;
};

static void read_wake(struct log_read *op)
{
	struct read_wait *wait = container_of(op, struct read_wait, op);

	fiber_wake(wait->peer->shard, wait->peer->fiber);
}

static void slice_print(struct peer *peer, const struct log_slice *slice, int64_t *offset)
{
	uint8_t *data = malloc(slice->size);
	struct batch_header batch;
	uint32_t position = 0;
	int64_t size;

	if (fiber_read(peer->shard, slice->file, data, slice->size, slice->position) != slice->size)
		fail("read", 0);
	while ((size = batch_next(data + position, slice->size - position, &batch)) > 0) {
		if (batch_check(data + position, &batch) < 0)
			fail("a bad batch at", batch.base_offset);
		printf("batch %" PRId64 " %" PRId64 " %d %u %" PRId64 "\n", batch.base_offset,
			batch.last_offset, batch.partition_leader_epoch, batch.crc,
			batch.max_timestamp);
		*offset = batch.last_offset + 1;
		position += (uint32_t)size;
	}
	free(data);
}

static void tell(struct peer *peer)
{
	struct read_wait wait = {.peer = peer, .op.done = read_wake};
	struct log_producer *producers;
	struct log *log;
	int64_t offset, before;
	int32_t epoch;

	log_begin(peer, strcmp(peer->argument, "clean") == 0);
	log = peer->log;
	log_high_watermark_set(log, log_readable_end(log));
	printf("log %" PRId64 " %" PRId64 " %" PRId64 "\n", log_start(log), log_end(log),
		log_last_stable_offset(log));
	for (offset = log_start(log); offset < log_end(log);) {
		before = offset;
		wait.op.offset = offset;
		wait.op.end = log_readable_end(log);
		wait.op.max_bytes = 100000;
		wait.op.at_least_one = true;
		log_read(log, &wait.op);
		fiber_wait(peer->shard);
		if (wait.op.error_code)
			fail("read", wait.op.error_code);
		if (wait.op.slice.size)
			slice_print(peer, &wait.op.slice, &offset);
		file_unref(wait.op.slice.file);
		log_read_done(&wait.op);
		if (offset == before)
			break;
	}
	producers = calloc(log_producer_count(log) + 1, sizeof(*producers));
	log_producers(log, producers, log_producer_count(log));
	for (uint32_t i = 0; i < log_producer_count(log); i++)
		printf("producer %" PRId64 " %d %d %" PRId64 " %d %" PRId64 "\n",
			producers[i].producer_id, producers[i].producer_epoch,
			producers[i].last_sequence, producers[i].last_timestamp_ms,
			producers[i].coordinator_epoch, producers[i].transaction_start_offset);
	free(producers);
	wait.op.offset = log_start(log);
	wait.op.end = log_readable_end(log);
	wait.op.max_bytes = INT32_MAX;
	wait.op.aborted_wanted = true;
	/* As a consumer walks from segment to segment; some are told twice. */
	for (offset = log_start(log); offset < log_end(log);) {
		wait.op.offset = offset;
		log_read(log, &wait.op);
		fiber_wait(peer->shard);
		if (wait.op.error_code)
			fail("read", wait.op.error_code);
		for (uint32_t i = 0; i < wait.op.aborted_count; i++)
			printf("aborted %" PRId64 " %" PRId64 "\n", wait.op.aborted[i].producer_id,
				wait.op.aborted[i].first_offset);
		if (wait.op.slice.size == 0)
			break;
		struct batch_header batch;
		uint8_t *data = malloc(wait.op.slice.size);
		int64_t size;

		fiber_read(peer->shard, wait.op.slice.file, data, wait.op.slice.size,
			wait.op.slice.position);
		for (uint32_t position = 0; (size = batch_next(data + position,
						     wait.op.slice.size - position, &batch)) > 0;
			position += (uint32_t)size)
			offset = batch.last_offset + 1;
		free(data);
		file_unref(wait.op.slice.file);
		log_read_done(&wait.op);
	}
	for (epoch = 0; epoch <= log_latest_epoch(log); epoch++)
		for (offset = log_start(log); offset < log_end(log); offset++)
			if (log_epoch_at(log, offset) == epoch) {
				printf("epoch %d %" PRId64 "\n", epoch, offset);
				break;
			}
	if (log_close(log) < 0)
		fail("close", 0);
}

static void body(struct shard *shard, void *argument)
{
	struct log_store_options options = {.producer_id_expiration_ms = 86400000};
	struct peer *peer = argument;

	peer->shard = shard;
	peer->fiber = fiber_current(shard);
	peer->store = log_store_new(shard, &options);
	if (peer->applies)
		apply(peer);
	else
		tell(peer);
	log_store_free(peer->store);
	machine_exit(shard, 0);
}

static void start(struct shard *shard, void *argument)
{
	if (fiber_start(shard, body, argument) < 0)
		fail("fiber", 0);
}

int main(int count, char **arguments)
{
	struct linux_machine_options options = {.shard_count = 1};
	struct peer peer = {0};
	struct program program = {.start = start, .argument = &peer};

	if (count != 4) {
		fprintf(stderr, "log_peer apply|read FOLDER CASES|clean|unclean\n");
		return 2;
	}
	peer.applies = strcmp(arguments[1], "apply") == 0;
	peer.folder = arguments[2];
	peer.argument = arguments[3];
	return linux_machine_run(&options, &program);
}
