/*
 * What a failed sync leaves: bytes in memory that the next process must not believe.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "protocol/errors.h"
#include "storage/log_fixture.h"
#include "storage/log_internal.h"

enum { SEEDS = 60 };

static struct world *world;
static struct host *host;

/* Closes what was recovered; how much there is, and that it goes on. */
static void found(struct fixture *fixture)
{
	*(int64_t *)fixture->argument = log_end(fixture->log);
	must_geq(fixture_read_all(fixture->log, 0, NULL, NULL), 1);
}

static void sync_fails(struct fixture *fixture)
{
	must_eq(fixture_append_records(fixture->log, 5, 1).error_code, 0);
	must_eq(fixture_sync(fixture->log), 0);
	fiber_sleep(fixture->shard, NS_PER_S);
	/* The write, then its sync. */
	host_fail_operation(host, 2, EIO);
	must_eq(fixture_append_records(fixture->log, 20, 6).error_code, KAFKA_KAFKA_STORAGE_ERROR);
	must_eq(fixture->folder_error, -EIO);
}

static void life(void (*body)(struct fixture *fixture), int64_t *end, int exit_status)
{
	struct fixture fixture;

	fixture_init(&fixture, body, end);
	fixture.config.flush_messages = 1;
	must_eq(fixture_run(world, host, &fixture), exit_status);
}

Test(log_sync, what_a_failed_sync_left_in_memory_is_written_again)
{
	int64_t end, later_end, longest = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		world = world_new(&(struct world_options){.seed = seed, .disk_delay_max_ns = 200000});
		host = world_host_new(world, "a", "10.0.0.1");
		life(sync_fails, NULL, 1);
		life(found, &end, 0);
		must_geq(end, 5);
		/* What was found was shown, and synced: now it stays. */
		host_crash(host, CRASH_POWER);
		life(found, &later_end, 0);
		must_eq(later_end, end, "seed %lu", (unsigned long)seed);
		longest = max_of(longest, end);
		world_free(world);
	}
	must_eq(longest, 25, "some find the bytes in memory");
}

struct shortage {
	uint64_t operation;
	bool ended, failed;
};

static void memory_is_short(struct fixture *fixture)
{
	struct shortage *shortage = fixture->argument;
	int16_t error_code;

	must_eq(fixture_append_records(fixture->log, 5, 1).error_code, 0);
	host_fail_operation(host, shortage->operation, ENOMEM);
	log_checkpoint(fixture->log);
	host_fail_operation(host, 0, 0);
	error_code = fixture_append_records(fixture->log, 5, 6).error_code;
	shortage->failed = fixture_sync(fixture->log) < 0;
	must_eq(shortage->failed, error_code != 0);
	shortage->ended = true;
}

/* Each operation of a checkpoint is refused in turn: the log goes on or says that it cannot, and nobody
 * waits for ever. A sync is not tried again, whatever it failed of. */
Test(log_sync, a_sync_that_memory_was_short_for_fails_the_log)
{
	int failures = 0;

	for (uint64_t n = 1; n <= 6; n++) {
		struct shortage shortage = {.operation = n};
		struct fixture fixture;

		world = world_new(&(struct world_options){.seed = n});
		host = world_host_new(world, "a", "10.0.0.1");
		fixture_init(&fixture, memory_is_short, &shortage);
		fixture_run(world, host, &fixture);
		must(shortage.ended, "operation %lu", (unsigned long)n);
		failures += shortage.failed;
		world_free(world);
	}
	must_geq(failures, 1);
}
