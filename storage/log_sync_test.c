/*
 * What a failed sync leaves: bytes in memory that the next process must not believe.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "protocol/errors.h"
#include "runtime/machine_ops.h"
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

/* ---- a new log ---- */

static void syncs_names_and_records(struct fixture *fixture)
{
	must_eq(fixture_append_records(fixture->log, 5, 1).error_code, 0);
	must(fixture->log->names_unsynced);
	must_eq(fixture->log->durable_end, 0);
	must_eq(log_names_sync_and_end(fixture->log), 0);
	must(!fixture->log->names_unsynced);
	must_eq(fixture->log->durable_end, 5);
	host_crash(host, CRASH_POWER);
}

/* Nothing has an order there, so that nobody waits for one after the other. */
Test(log_sync, the_names_of_a_new_log_and_its_records_are_synced_together)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct fixture fixture;
		int64_t end = -1;

		world = world_new(&(struct world_options){.seed = seed, .disk_delay_max_ns = 200000});
		host = world_host_new(world, "a", "10.0.0.1");
		fixture_init(&fixture, syncs_names_and_records, NULL);
		fixture_run(world, host, &fixture);
		life(found, &end, 0);
		must_eq(end, 5, "seed %lu", (unsigned long)seed);
		world_free(world);
	}
}

/* ---- what passes, and does not ---- */

struct shortage_without_end {
	bool ended;
};

/* Every operation of the disk is refused from now on, for a minute. */
static void descriptors_are_short(struct shard *shard, void *argument)
{
	struct shortage_without_end *shortage = argument;

	for (int i = 0; i < 60000 && !shortage->ended; i++) {
		host_fail_operation(host, 1, EMFILE);
		fiber_sleep(shard, NS_PER_MS);
	}
	host_fail_operation(host, 0, 0);
}

static void closes_meanwhile(struct fixture *fixture)
{
	struct shortage_without_end shortage = {0};
	struct fixture_sent sent = {0};
	uint64_t began_ns = shard_now_ns(fixture->shard);

	/* The write, then the file that says whose the log is, which is to be synced. */
	host_fail_operation(host, 2, EMFILE);
	fixture_send(fixture->log, &sent,
		&(struct fixture_batch){.count = 1, .from_ms = 1, .producer_id = -1});
	fiber_sleep(fixture->shard, 50 * NS_PER_MS);
	must_eq(log_readable_end(fixture->log), 1);
	must(fixture->log->names_unsynced);
	must_eq(fiber_start(fixture->shard, descriptors_are_short, &shortage), 0);
	fiber_sleep(fixture->shard, NS_PER_MS); /* it runs: the file cannot be opened */
	must_eq(log_close(fixture->log), -EMFILE);
	fixture->log = NULL;
	shortage.ended = true;
	must_eq(fixture_answer_wait(&sent), KAFKA_KAFKA_STORAGE_ERROR);
	must_leq(shard_now_ns(fixture->shard) - began_ns, NS_PER_S);
	fiber_sleep(fixture->shard, 2 * NS_PER_MS);
}

/* A sync that is tried again as long as somebody waits for it does not keep a log open. */
Test(log_sync, a_log_is_closed_though_its_sync_never_succeeds)
{
	struct fixture fixture;

	world = world_new(&(struct world_options){.seed = 1});
	host = world_host_new(world, "a", "10.0.0.1");
	fixture_init(&fixture, closes_meanwhile, NULL);
	fixture.config.flush_messages = 1;
	fixture.topic_id.octets[0] = 1;
	fixture.closes = false;
	must_eq(fixture_run(world, host, &fixture), 0);
	world_free(world);
}

/* ---- many logs at a time ---- */

enum { LOGS = 2 * LOG_LONG_SYNC_FIBERS_MAX };

struct crowd {
	struct log *logs[LOGS];
	struct fixture_sent sent[LOGS];
	uint32_t fibers_most;
};

static uint32_t fibers_count(struct shard *shard)
{
	uint32_t count = 0;

	list_for_each (node, &shard->fibers.all)
		count++;
	return count;
}

/* The names and the record of each log are on the disk, and it is told where that was asked for. */
static bool crowd_is_durable(const struct crowd *crowd)
{
	for (int i = 0; i < LOGS; i++)
		if (!crowd->sent[i].is_answered || crowd->logs[i]->names_unsynced ||
			crowd->logs[i]->durable_end < 1)
			return false;
	return true;
}

static void crowd_syncs(struct fixture *fixture)
{
	struct crowd *crowd = fixture->argument;

	fixture_open_more(fixture, crowd->logs, LOGS);
	for (int i = 0; i < LOGS; i++)
		fixture_send(crowd->logs[i], &crowd->sent[i],
			&(struct fixture_batch){.count = 1, .from_ms = 1, .producer_id = -1});
	while (!crowd_is_durable(crowd)) {
		fiber_sleep(fixture->shard, NS_PER_MS / 10);
		crowd->fibers_most = max_of(crowd->fibers_most, fibers_count(fixture->shard));
	}
	for (int i = 0; i < LOGS; i++) {
		must_eq(fixture_answer_wait(&crowd->sent[i]), 0);
		must_eq(log_close(crowd->logs[i]), 0);
	}
}

static void crowd_run(int64_t flush_messages, int64_t flush_ms)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));
	struct fixture fixture;

	world = world_new(&(struct world_options){.seed = 1, .disk_delay_max_ns = 200000});
	host = world_host_new(world, "a", "10.0.0.1");
	fixture_init(&fixture, crowd_syncs, crowd);
	fixture.config.flush_messages = flush_messages;
	fixture.config.flush_ms = flush_ms;
	must_eq(fixture_run(world, host, &fixture), 0);
	/* Leader epochs, housekeeping and the program have some, too. */
	must_leq(crowd->fibers_most, LOG_LONG_SYNC_FIBERS_MAX + 16);
	must_gt(crowd->fibers_most, LOG_LONG_SYNC_FIBERS_MAX / 2);
	free(crowd);
	world_free(world);
}

/* More logs than there are fibers get their first record at a time; fibers are counted meanwhile. */
Test(log_sync, many_new_logs_are_synced_by_some_fibers)
{
	crowd_run(1, INT64_MAX);
}

Test(log_sync, many_logs_are_flushed_by_some_fibers)
{
	crowd_run(INT64_MAX, 10);
}
