/* Appends that take long to judge: they are judged by another thread and keep their place. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/errors.h"
#include "storage/log_fixture.h"
#include "storage/log_internal.h"

static struct world *world;
static struct host *host;

static void world_begin(void)
{
	world = world_new(&(struct world_options){.seed = 7, .disk_delay_max_ns = 200000});
	host = world_host_new(world, "a", "10.0.0.1");
}

static void world_end(void)
{
	world_free(world);
}

TestSuite(log_check, .init = world_begin, .fini = world_end);

static void run(void (*body)(struct fixture *fixture))
{
	struct fixture fixture;

	fixture_init(&fixture, body, NULL);
	fixture.config.segment_size_bytes = 8 << 20;
	fixture.config.max_message_bytes = 8 << 20;
	must_eq(fixture_run(world, host, &fixture), 0, "open %d close %d", fixture.open_error,
		fixture.close_error);
}

/* An append that isn't waited for at once; the order in which they are answered. */
struct asked {
	struct log_append op;
	uint8_t *bytes;
	int place; /* 0: not answered */
};

static int answered;
static struct fiber *waiting; /* NULL: it waits for something else */

static void ask_done(struct log_append *op)
{
	struct asked *asked = container_of(op, struct asked, op);

	asked->place = ++answered;
	if (waiting)
		fiber_wake(log_store_shard(log_store_of(op->log)), waiting);
}

static void ask(struct fixture *fixture, struct asked *asked, const struct fixture_batch *batch)
{
	uint32_t size;

	*asked = (struct asked){.bytes = fixture_batch_new(batch, &size)};
	asked->op = (struct log_append){.records = asked->bytes,
		.size = size,
		.origin = APPEND_CLIENT,
		.produce_version = 9,
		.done = ask_done};
	log_append(fixture->log, &asked->op);
}

static void ask_wait(struct fixture *fixture, struct asked *asked)
{
	waiting = fiber_current(fixture->shard);
	while (!asked->place)
		fiber_wait(fixture->shard);
	waiting = NULL;
}

static void ask_end(struct asked *asked)
{
	log_append_done(&asked->op);
	free(asked->bytes);
}

/* 1 MB of values that compress to a few KB, and to more than is looked at on the loop. */
static const struct fixture_batch hiding = {.count = 100,
	.from_ms = 1000,
	.producer_id = -1,
	.compression = COMPRESSION_GZIP,
	.value_size = 10000};
static const struct fixture_batch small = {.count = 5, .from_ms = 5000, .producer_id = -1};

static void keeps_its_place(struct fixture *fixture)
{
	struct asked asked[3];

	answered = 0;
	ask(fixture, &asked[0], &small);
	must_not(fixture->log->checking);
	ask(fixture, &asked[1], &hiding);
	must_eq(fixture->log->checking, &asked[1].op);
	ask(fixture, &asked[2], &small);
	ask_wait(fixture, &asked[2]);
	for (int i = 0; i < 3; i++) {
		must_eq(asked[i].place, i + 1);
		must_eq(asked[i].op.error_code, 0);
	}
	must_eq(asked[1].op.base_offset, 5);
	must_eq(asked[1].op.last_offset, 104);
	must_eq(asked[2].op.base_offset, 105);
	must_eq(fixture_read_all(fixture->log, 0, NULL, NULL), 3);
	for (int i = 0; i < 3; i++)
		ask_end(&asked[i]);
}

Test(log_check, what_takes_long_is_judged_elsewhere_and_keeps_its_place)
{
	run(keeps_its_place);
}

static void compresses_anew(struct fixture *fixture)
{
	struct fixture_batch plain = hiding;
	struct asked asked;
	struct log_slice slice;
	struct batch_header header;
	uint8_t *data;

	plain.compression = COMPRESSION_NONE;
	fixture->config.compression = COMPRESSION_ZSTD;
	log_config_set(fixture->log, &fixture->config);
	ask(fixture, &asked, &plain);
	must_eq(fixture->log->checking, &asked.op);
	ask_wait(fixture, &asked);
	must_eq(asked.op.error_code, 0);
	must_eq(fixture_read(fixture->log, 0, 100, 1 << 20, true, &slice, &data), 0);
	must_gt(batch_next(data, slice.size, &header), 0);
	must_eq(batch_check(data, &header), 0);
	must_eq(batch_compression(&header), COMPRESSION_ZSTD);
	must_eq(header.record_count, 100);
	free(data);
	ask_end(&asked);
}

Test(log_check, a_large_batch_is_compressed_anew_elsewhere)
{
	run(compresses_anew);
}

static void tells_why(struct fixture *fixture)
{
	struct asked asked;

	fixture->config.timestamp_before_max_ms = 1;
	log_config_set(fixture->log, &fixture->config);
	ask(fixture, &asked, &hiding);
	must_eq(fixture->log->checking, &asked.op);
	ask_wait(fixture, &asked);
	must_eq(asked.op.error_code, KAFKA_INVALID_TIMESTAMP);
	must(asked.op.error_message != NULL);
	must_eq(asked.op.record_error_count, 100);
	must_eq(log_end(fixture->log), 0);
	ask_end(&asked);
}

Test(log_check, what_was_refused_elsewhere_says_why)
{
	run(tells_why);
}

/* A roll begun meanwhile waits, so that the offsets still fit. */
static void rolls_behind(struct fixture *fixture)
{
	struct asked asked;

	fixture_append(fixture->log, &small);
	ask(fixture, &asked, &hiding);
	must_eq(fixture->log->checking, &asked.op);
	must_eq(log_roll(fixture->log), 0);
	ask_wait(fixture, &asked);
	must_eq(asked.op.error_code, 0);
	must_eq(asked.op.base_offset, 5);
	must_eq(fixture_read_all(fixture->log, 0, NULL, NULL), 2);
	ask_end(&asked);
}

Test(log_check, a_roll_waits_for_it)
{
	run(rolls_behind);
}

/* The write before it fails: its offsets would leave a gap, so it is refused and may come again. */
static void loses_its_ground(struct fixture *fixture)
{
	struct asked before, asked;

	fixture_append(fixture->log, &small);
	fiber_sleep(fixture->shard, NS_PER_S);
	host_fail_operation(host, 1, ENOSPC);
	ask(fixture, &before, &small);
	ask(fixture, &asked, &hiding);
	must_eq(fixture->log->checking, &asked.op);
	ask_wait(fixture, &before);
	ask_wait(fixture, &asked);
	must_eq(before.op.error_code, KAFKA_KAFKA_STORAGE_ERROR);
	must_eq(asked.op.error_code, KAFKA_KAFKA_STORAGE_ERROR);
	must_eq(log_end(fixture->log), 5);
	must_eq(fixture_append(fixture->log, &hiding).base_offset, 5);
	ask_end(&before);
	ask_end(&asked);
}

Test(log_check, it_is_refused_when_the_append_before_it_was_taken_back)
{
	run(loses_its_ground);
}
