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

static void batch_send(struct fixture *fixture, struct fixture_sent *sent, int32_t sequence)
{
	fixture_send(fixture->log, sent,
		&(struct fixture_batch){
			.count = 2, .from_ms = 1000, .producer_id = 42, .sequence = sequence});
}

static void retried_early(struct fixture *fixture)
{
	struct fixture_sent first, again;

	batch_send(fixture, &first, 0);
	batch_send(fixture, &again, 0);
	must_eq(fixture_answer_wait(&first), 0);
	must_eq(fixture_answer_wait(&again), 0);
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
	struct fixture_sent first, again, second, third;

	host_fail_operation(host, 1, ENOSPC);
	batch_send(fixture, &first, 0);
	batch_send(fixture, &again, 0);
	batch_send(fixture, &second, 2);
	must_eq(fixture_answer_wait(&first), KAFKA_KAFKA_STORAGE_ERROR);
	must_eq(fixture_answer_wait(&again), KAFKA_KAFKA_STORAGE_ERROR);
	must_eq(fixture_answer_wait(&second), KAFKA_KAFKA_STORAGE_ERROR);
	/* Sent before that answer came. */
	batch_send(fixture, &third, 4);
	must_eq(fixture_answer_wait(&third), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
	must_eq(log_producer_count(fixture->log), 0, "who was only refused is nobody");
	batch_send(fixture, &first, 0);
	batch_send(fixture, &second, 2);
	batch_send(fixture, &third, 4);
	must_eq(fixture_answer_wait(&first), 0);
	must_eq(fixture_answer_wait(&second), 0);
	must_eq(fixture_answer_wait(&third), 0);
	must_eq(first.op.base_offset, 0);
	must_eq(log_end(fixture->log), 6);
}

Test(log_retry, behind_a_new_producers_failed_batch_nothing_is_taken)
{
	struct fixture fixture;

	fixture_init(&fixture, refused_first, NULL);
	must_eq(fixture_run(world, host, &fixture), 0);
}
