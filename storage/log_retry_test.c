/*
 * What a client that sends several batches at once, and sends them again, may rely on while the
 * first ones are still on their way or have failed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "protocol/errors.h"
#include "storage/log_fixture.h"

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

TestSuite(log_retry, .init = world_begin, .fini = world_end);

/* Appends that are under way at the same time. */
struct sent {
	struct log_append op;
	struct fiber *fiber;
	struct shard *shard;
	uint8_t *bytes;
	int64_t readable_end, durable_end; /* when it was answered */
	bool is_answered;
};

static void sent_answered(struct log_append *op)
{
	struct sent *sent = container_of(op, struct sent, op);

	sent->is_answered = true;
	sent->readable_end = log_readable_end(op->log);
	sent->durable_end = log_settled_end(op->log);
	fiber_wake(sent->shard, sent->fiber);
}

static void batch_send(struct fixture *fixture, struct sent *sent, int32_t sequence)
{
	uint32_t size;

	*sent = (struct sent){.fiber = fiber_current(fixture->shard), .shard = fixture->shard};
	sent->bytes = fixture_batch_new(
		&(struct fixture_batch){
			.count = 2, .from_ms = 1000, .producer_id = 42, .sequence = sequence},
		&size);
	sent->op = (struct log_append){.records = sent->bytes,
		.size = size,
		.origin = APPEND_CLIENT,
		.produce_version = 9,
		.done = sent_answered};
	log_append(fixture->log, &sent->op);
}

static int16_t answer_of(struct fixture *fixture, struct sent *sent)
{
	while (!sent->is_answered)
		fiber_wait(fixture->shard);
	log_append_done(&sent->op);
	free(sent->bytes);
	return sent->op.error_code;
}

static void retried_early(struct fixture *fixture)
{
	struct sent first, again;

	batch_send(fixture, &first, 0);
	batch_send(fixture, &again, 0);
	must_eq(answer_of(fixture, &first), 0);
	must_eq(answer_of(fixture, &again), 0);
	must(again.op.duplicate);
	must_eq(again.op.base_offset, 0);
	must_eq(again.op.last_offset, 1);
	must_eq(again.readable_end, 2, "answered before it was written");
	must_eq(again.durable_end, 2, "answered before it was synced");
	must_eq(log_end(fixture->log), 2);
}

Test(log_retry, a_duplicate_of_what_is_under_way_is_answered_with_it)
{
	struct fixture fixture;

	fixture_init(&fixture, retried_early, NULL);
	must_eq(fixture_run(world, host, &fixture), 0);
}

Test(log_retry, a_duplicate_of_what_is_being_synced_is_answered_with_it)
{
	struct fixture fixture;

	fixture_init(&fixture, retried_early, NULL);
	fixture.config.flush_messages = 1;
	must_eq(fixture_run(world, host, &fixture), 0);
}

static void refused_first(struct fixture *fixture)
{
	struct sent first, again, second, third;

	host_fail_operation(host, 1, ENOSPC);
	batch_send(fixture, &first, 0);
	batch_send(fixture, &again, 0);
	batch_send(fixture, &second, 2);
	must_eq(answer_of(fixture, &first), KAFKA_KAFKA_STORAGE_ERROR);
	must_eq(answer_of(fixture, &again), KAFKA_KAFKA_STORAGE_ERROR);
	must_eq(answer_of(fixture, &second), KAFKA_KAFKA_STORAGE_ERROR);
	/* Sent before that answer came. */
	batch_send(fixture, &third, 4);
	must_eq(answer_of(fixture, &third), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
	must_eq(log_producer_count(fixture->log), 0, "who was only refused is nobody");
	batch_send(fixture, &first, 0);
	batch_send(fixture, &second, 2);
	batch_send(fixture, &third, 4);
	must_eq(answer_of(fixture, &first), 0);
	must_eq(answer_of(fixture, &second), 0);
	must_eq(answer_of(fixture, &third), 0);
	must_eq(first.op.base_offset, 0);
	must_eq(log_end(fixture->log), 6);
}

Test(log_retry, behind_a_new_producers_failed_batch_nothing_is_taken)
{
	struct fixture fixture;

	fixture_init(&fixture, refused_first, NULL);
	must_eq(fixture_run(world, host, &fixture), 0);
}
