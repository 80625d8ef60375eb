/*
 * The bound on what lies past the recovery points, while time stands still: background syncs are an hour away.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "storage/log_fixture.h"
#include "storage/log_internal.h"

enum {
	LOGS = 20,
	VALUE_SIZE = 4000,
	BOUND = 100000,
	BATCHES = 600,
	HOUR_MS = 3600 * 1000,
};

static struct world *world;
static struct host *host;
static int told;

static void recovery_points_moved(void *argument)
{
	told++;
}

static void run(void (*body)(struct fixture *fixture), bool closes)
{
	struct fixture fixture;

	world = world_new(&(struct world_options){.seed = 1, .disk_delay_max_ns = 200000});
	host = world_host_new(world, "a", "10.0.0.1");
	fixture_init(&fixture, body, NULL);
	fixture.config.segment_size_bytes = 1 << 20;
	fixture.config.segment_index_size_bytes = 1 << 16; /* no roll */
	fixture.closes = closes;
	fixture.options.background_sync_ms = HOUR_MS;
	fixture.options.backlog_bytes_max = BOUND;
	fixture.options.recovery_points_moved = recovery_points_moved;
	told = 0;
	must_eq(fixture_run(world, host, &fixture), 0);
	world_free(world);
}

static void append(struct log *log, size_t value_size, int64_t from_ms)
{
	must_eq(fixture_append(log, &(struct fixture_batch){.count = 1,
					    .from_ms = from_ms,
					    .producer_id = -1,
					    .value_size = value_size})
			.error_code,
		0);
}

static uint64_t backlog_sum(struct log **logs)
{
	uint64_t sum = 0;

	for (int i = 0; i < LOGS; i++) {
		fixture_check_backlog(logs[i]);
		sum += logs[i]->backlog_bytes;
	}
	return sum;
}

static void logs_close(struct fixture *fixture, struct log **logs)
{
	for (int i = 0; i < LOGS; i++)
		must_eq(log_close(logs[i]), 0);
	must_eq(fixture->store->backlog_bytes, 0u);
}

/* Megabytes are written, and each batch leaves a round time for some syncs. */
static void much_is_written(struct fixture *fixture)
{
	struct log *logs[LOGS];

	fixture_open_more(fixture, logs, LOGS);
	for (int i = 0; i < BATCHES; i++) {
		append(logs[i % LOGS], VALUE_SIZE, 1 + i);
		must_leq(fixture->store->backlog_bytes, (uint64_t)BOUND + 2 * VALUE_SIZE);
		fiber_sleep(fixture->shard, 10 * NS_PER_MS);
	}
	must_eq(fixture->store->backlog_bytes, backlog_sum(logs));
	for (int i = 0; i < LOGS; i++)
		must_gt(log_recovery_point(logs[i]), BATCHES / LOGS / 2, "log %d", i);
	must_gt(told, 1);
	must_leq(told, 2 * BATCHES * VALUE_SIZE / BOUND);
	logs_close(fixture, logs);
}

Test(log_backlog, it_is_bounded_while_no_time_passes)
{
	run(much_is_written, true);
}

/* One log has nearly all of it. */
static void one_writes_most(struct fixture *fixture)
{
	struct log *logs[LOGS];

	fixture_open_more(fixture, logs, LOGS);
	for (int i = 0; i < LOGS - 1; i++)
		append(logs[i], 100, 1);
	for (int i = 0; i < BATCHES / 4; i++)
		append(logs[LOGS - 1], VALUE_SIZE, 1 + i);
	for (int i = 0; i < LOGS - 1; i++)
		must_eq(log_recovery_point(logs[i]), 0);
	must_gt(log_recovery_point(logs[LOGS - 1]), BATCHES / 8);
	/* Nor are the headers of all that read for their producers. */
	must_gt(logs[LOGS - 1]->snapshot_count, 0u);
	logs_close(fixture, logs);
}

Test(log_backlog, logs_with_little_are_left_to_their_time)
{
	run(one_writes_most, true);
}

/* What comes, goes and is passed in other ways than by appends and checkpoints. */
static void count_is_followed(struct fixture *fixture)
{
	struct log *log = fixture->log;
	struct log_store *store = fixture->store;

	for (int i = 0; i < 8; i++)
		must_eq(fixture_append_records(log, 5, 1 + i).error_code, 0);
	fixture_check_backlog(log);
	must_gt(store->backlog_bytes, 0u);
	must_eq(log_checkpoint(log), 0);
	must_eq(store->backlog_bytes, 0u);
	must_eq(fixture_append_records(log, 5, 10).error_code, 0);
	fixture_check_backlog(log);
	/* Past the recovery point, then below it in the middle of a batch. */
	must_eq(log_truncate(log, 42), 0);
	fixture_check_backlog(log);
	must_eq(log_truncate(log, 32), 0);
	must_eq(store->backlog_bytes, 0u);
	must_eq(fixture_append_records(log, 5, 20).error_code, 0);
	fixture_check_backlog(log);
	must_gt(store->backlog_bytes, 0u);
	must_eq(log_roll(log), 0);
	must_eq(store->backlog_bytes, 0u);
	must_eq(fixture_append_records(log, 5, 30).error_code, 0);
	fixture_check_backlog(log);
	/* Back into a segment that was closed. */
	must_eq(log_truncate(log, 10), 0);
	must_eq(fixture_append_records(log, 5, 40).error_code, 0);
	fixture_check_backlog(log);
	must_eq(log_truncate_fully(log, 100), 0);
	must_eq(store->backlog_bytes, 0u);
	must_eq(fixture_append_records(log, 5, 50).error_code, 0);
	must_gt(store->backlog_bytes, 0u);
	must_eq(log_delete(log), 0);
	fixture->log = NULL;
	must_eq(store->backlog_bytes, 0u);
}

Test(log_backlog, it_follows_truncation_rolls_and_deletion)
{
	run(count_is_followed, false);
}

static void folder_fails(struct fixture *fixture)
{
	must_eq(fixture_append_records(fixture->log, 5, 1).error_code, 0);
	must_gt(fixture->store->backlog_bytes, 0u);
	log_store_folder_fail(fixture->store, "data");
	must_eq(fixture->store->backlog_bytes, 0u);
	log_close(fixture->log);
	fixture->log = NULL;
}

Test(log_backlog, a_failed_folder_has_none)
{
	run(folder_fails, false);
}

/* The disk takes no sync for now, nor is it asked again and again. */
static void nothing_can_be_synced(struct fixture *fixture)
{
	struct log *log = fixture->log;
	uint64_t began_ns;

	log->busy = true; /* by somebody who does not come to an end: no recovery point moves */
	for (int i = 0; i < 2 * BOUND / VALUE_SIZE; i++)
		append(log, VALUE_SIZE, 1 + i);
	must_eq(fixture->store->backlog_fibers, 1u);
	began_ns = shard_now_ns(fixture->shard);
	log->error = -ECANCELED;
	log_busy_end(log);
	fiber_sleep(fixture->shard, NS_PER_MS);
	log->error = 0;
	must_eq(log_recovery_point(log), 0);
	must_geq(fixture->store->backlog_not_before_ns, began_ns + NS_PER_S);
	must_eq(told, 0);
	append(log, VALUE_SIZE, 1000);
	must_eq(fixture->store->backlog_fibers, 0u);
	fiber_sleep(fixture->shard, NS_PER_S);
	append(log, VALUE_SIZE, 1001);
	fiber_sleep(fixture->shard, NS_PER_S);
	must_gt(log_recovery_point(log), 0);
	must_eq(fixture->store->backlog_bytes, 0u);
	must_eq(told, 1);
}

Test(log_backlog, a_round_in_vain_is_not_repeated_at_once)
{
	run(nothing_can_be_synced, true);
}
