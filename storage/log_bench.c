/*
 * What the log costs on this machine: nanoseconds for each append of one batch (checked, written
 * to the page cache, answered) and for each lookup of a slice, at the tail and anywhere. Built
 * with the tests, not run by them.
 *
 *	log_bench FOLDER [BATCHES [BYTES]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/batch_builder.h"
#include "runtime/fiber.h"
#include "runtime/linux/machine.h"
#include "storage/log.h"

enum { IN_FLIGHT = 16 };

struct bench {
	const char *folder;
	int64_t batches;
	int32_t record_size;
	struct shard *shard;
	struct fiber *fiber;
	struct log *log;
	struct record_buffer batch;
	int64_t submitted, completed;
};

struct bench_append {
	struct log_append op;
	struct bench *bench;
	uint8_t *bytes;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void append_next(struct bench_append *append)
{
	struct bench *bench = append->bench;

	/* As it came from the socket: the last append wrote its offset into it. */
	batch_base_offset_set(append->bytes, 0);
	append->op.records = append->bytes;
	append->op.size = (uint32_t)bench->batch.size;
	bench->submitted++;
	log_append(bench->log, &append->op);
}

static void append_done(struct log_append *op)
{
	struct bench_append *append = container_of(op, struct bench_append, op);
	struct bench *bench = append->bench;

	if (op->error_code) {
		fprintf(stderr, "append: error %d\n", op->error_code);
		exit(1);
	}
	log_append_done(op);
	bench->completed++;
	if (bench->submitted < bench->batches)
		append_next(append);
	else if (bench->completed == bench->batches)
		fiber_wake(bench->shard, bench->fiber);
}

struct bench_read {
	struct log_read op;
	struct bench *bench;
};

static void read_done(struct log_read *op)
{
	struct bench_read *read = container_of(op, struct bench_read, op);

	fiber_wake(read->bench->shard, read->bench->fiber);
}

static uint64_t reads(struct bench *bench, int64_t count, bool tail)
{
	struct bench_read read = {.bench = bench, .op.done = read_done};
	int64_t end = log_readable_end(bench->log);
	uint64_t began = now_ns(), random = 1;

	for (int64_t i = 0; i < count; i++) {
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		read.op.offset =
			tail ? end - 1 - i % 32 : (int64_t)((random >> 20) % (uint64_t)end);
		read.op.end = end;
		read.op.max_bytes = 1 << 20;
		read.op.at_least_one = true;
		log_read(bench->log, &read.op);
		fiber_wait(bench->shard);
		if (read.op.error_code || read.op.slice.size == 0) {
			fprintf(stderr, "read of %" PRId64 ": error %d\n", read.op.offset,
				read.op.error_code);
			exit(1);
		}
		file_unref(read.op.slice.file);
		log_read_done(&read.op);
	}
	return now_ns() - began;
}

static void body(struct shard *shard, void *argument)
{
	struct bench *bench = argument;
	struct log_store_options options = {.background_sync_ms = INT64_MAX / NS_PER_MS};
	struct log_store *store = log_store_new(shard, &options);
	struct log_open ask = {
		.folder = bench->folder, .name = "bench-0", .topic = STR("bench"), .clean = true};
	struct batch_options batch_options = BATCH_OPTIONS_DEFAULT;
	struct bench_append appends[IN_FLIGHT] = {0};
	struct batch_builder builder;
	uint64_t began, took;
	uint8_t *value = calloc(1, (size_t)bench->record_size);
	int64_t lookups = 200000;
	int error;

	bench->shard = shard;
	bench->fiber = fiber_current(shard);
	log_config_init(&ask.config);
	ask.config.segment_size_bytes = 256 << 20;
	error = log_open(store, &ask, &bench->log, NULL);
	if (error) {
		fprintf(stderr, "open: %d\n", error);
		exit(1);
	}
	record_buffer_init(&bench->batch, 64 << 20);
	batch_builder_begin(&builder, &batch_options, NULL, &bench->batch);
	batch_builder_append(&builder, 0, shard_wall_ms(shard), BYTES_NULL,
		(struct bytes){value, bench->record_size}, NULL, 0);
	batch_builder_end(&builder);
	began = now_ns();
	for (int i = 0; i < IN_FLIGHT; i++) {
		appends[i].bench = bench;
		appends[i].op.done = append_done;
		appends[i].op.origin = APPEND_CLIENT;
		appends[i].op.produce_version = 9;
		appends[i].bytes = malloc(bench->batch.size);
		memcpy(appends[i].bytes, bench->batch.data, bench->batch.size);
		append_next(&appends[i]);
	}
	fiber_wait(shard);
	took = now_ns() - began;
	printf("append %" PRIu64 " ns/batch of %zu bytes, %.0f MB/s\n",
		took / (uint64_t)bench->batches, bench->batch.size,
		(double)bench->batches * (double)bench->batch.size * 1e3 / (double)took);
	printf("read at the tail %" PRIu64 " ns/slice\n",
		reads(bench, lookups, true) / (uint64_t)lookups);
	printf("read anywhere %" PRIu64 " ns/slice\n",
		reads(bench, lookups, false) / (uint64_t)lookups);
	log_delete(bench->log);
	log_store_free(store);
	machine_exit(shard, 0);
}

static void start(struct shard *shard, void *argument)
{
	fiber_start(shard, body, argument);
}

int main(int count, char **arguments)
{
	struct linux_machine_options options = {.shard_count = 1};
	struct bench bench = {.batches = 200000, .record_size = 1000};
	struct program program = {.start = start, .argument = &bench};

	if (count < 2) {
		fprintf(stderr, "log_bench FOLDER [BATCHES [BYTES]]\n");
		return 2;
	}
	bench.folder = arguments[1];
	if (count > 2)
		bench.batches = max_of(atoll(arguments[2]), (long long)IN_FLIGHT);
	if (count > 3)
		bench.record_size = atoi(arguments[3]);
	return linux_machine_run(&options, &program);
}
