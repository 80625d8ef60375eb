/*
 * Snapshots of the producers: what one says was appended, whatever happens to the appends that were
 * on their way when it was taken.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "protocol/errors.h"
#include "storage/log_fixture.h"
#include "storage/log_internal.h"

enum { OPERATIONS = 8, KNOWN_PRODUCER = 42, REFUSED_PRODUCER = 43, LATER_PRODUCER = 44, LATER_BATCHES = 15 };

static struct world *world;
static struct host *host;

struct refusal {
	uint64_t operation; /* which one finds the disk full */
	bool refused;	    /* the append was */
	int64_t recovery_point;
};

static struct fixture_batch batch_of(int64_t producer_id, int32_t sequence)
{
	return (struct fixture_batch){
		.count = 2, .from_ms = 1000, .producer_id = producer_id, .sequence = sequence};
}

static void snapshot_beside_a_refusal(struct fixture *fixture)
{
	struct refusal *refusal = fixture->argument;
	struct fixture_batch known = batch_of(KNOWN_PRODUCER, 0),
			     refused = batch_of(REFUSED_PRODUCER, 0),
			     later = batch_of(LATER_PRODUCER, 0);
	struct log *log = fixture->log;
	struct fixture_sent sent;

	must_eq(fixture_append(log, &known).error_code, 0);
	must_eq(fixture_sync(log), 0);
	log_snapshot_want(log);
	host_fail_operation(host, refusal->operation, ENOSPC);
	fixture_send(fixture->log, &sent, &refused);
	log_checkpoint(log);
	refusal->refused = fixture_answer_wait(&sent) != 0;
	host_fail_operation(host, 0, 0);
	if (!log_is_usable(log))
		return; /* a sync found it full */
	for (int i = 0; i < LATER_BATCHES; i++) {
		must_eq(fixture_append(log, &later).error_code, 0);
		later.sequence += 2;
		later.from_ms += 2;
	}
	must_eq(log_checkpoint(log), 0);
	for (uint32_t i = 0; i < log->snapshot_count; i++)
		must_leq(log->snapshots[i], log_end(log));
	refusal->recovery_point = log_recovery_point(log);
}

static void nobody_is_invented(struct fixture *fixture)
{
	const struct refusal *refusal = fixture->argument;

	must_eq(log_producer_count(fixture->log), refusal->refused ? 2 : 3);
}

/* Whichever operation is refused, and then the process dies. */
Test(log_snapshot, a_producer_whose_append_was_refused_is_in_none)
{
	int refusals = 0;

	for (uint64_t n = 1; n <= OPERATIONS; n++) {
		struct refusal refusal = {.operation = n, .recovery_point = -1};
		struct fixture fixture;

		world = world_new(&(struct world_options){.seed = n, .disk_delay_max_ns = 200000});
		host = world_host_new(world, "a", "10.0.0.1");
		fixture_init(&fixture, snapshot_beside_a_refusal, &refusal);
		fixture.options.producer_id_expiration_ms = INT64_MAX;
		fixture.closes = false;
		must_eq(fixture_run(world, host, &fixture), 0);
		if (refusal.recovery_point >= 0) {
			refusals += refusal.refused;
			fixture_init(&fixture, nobody_is_invented, &refusal);
			fixture.options.producer_id_expiration_ms = INT64_MAX;
			fixture.recovery_point = refusal.recovery_point;
			must_eq(fixture_run(world, host, &fixture), 0);
		}
		world_free(world);
	}
	must_gt(refusals, 0);
}

static void snapshot_refused(struct fixture *fixture)
{
	const uint64_t *operation = fixture->argument;
	struct fixture_batch known = batch_of(KNOWN_PRODUCER, 0);

	must_eq(fixture_append(fixture->log, &known).error_code, 0);
	must_eq(fixture_sync(fixture->log), 0);
	fiber_sleep(fixture->shard, NS_PER_S);
	log_snapshot_want(fixture->log);
	host_fail_operation(host, *operation, ENOSPC);
	log_checkpoint(fixture->log);
	host_fail_operation(host, 0, 0);
}

static void producer_is_known(struct fixture *fixture)
{
	must_eq(log_producer_count(fixture->log), 1);
}

/* Each operation of a checkpoint that takes a snapshot finds the disk full. The log is closed then, and
 * without any snapshot a clean log is one without producers. */
Test(log_snapshot, one_that_found_no_room_is_taken_at_the_close)
{
	for (uint64_t n = 1; n <= OPERATIONS; n++) {
		struct fixture fixture;
		int status;

		world = world_new(&(struct world_options){.seed = n, .disk_delay_max_ns = 200000});
		host = world_host_new(world, "a", "10.0.0.1");
		fixture_init(&fixture, snapshot_refused, &n);
		fixture.options.producer_id_expiration_ms = INT64_MAX;
		status = fixture_run(world, host, &fixture);
		fixture_init(&fixture, producer_is_known, NULL);
		fixture.options.producer_id_expiration_ms = INT64_MAX;
		fixture.clean = status == 0;
		must_eq(fixture_run(world, host, &fixture), 0);
		world_free(world);
	}
}
