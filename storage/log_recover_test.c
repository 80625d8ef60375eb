/*
 * Recovery's use of the indexes: what it reads less because of them, and what it must not believe, of
 * files that are missing and of those that an earlier recovery left half made.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "storage/log_fixture.h"
#include "storage/log_internal.h"

enum { BATCHES = 60, TIMES_MS = 1000, CHANGES = 40, ROLL_AT = 30 };

static struct world *world;
static struct host *host;

/* Two batches of each time: a lookup finds the first, if its entry is in the index. The first half of
 * them stands in a closed segment. */
static void equal_times(struct fixture *fixture)
{
	for (int i = 0; i < BATCHES; i++) {
		if (i == ROLL_AT)
			must_eq(log_roll(fixture->log), 0);
		must_eq(fixture_append_records(fixture->log, 1, TIMES_MS + i / 2).error_code, 0);
	}
	must_eq(fixture_sync(fixture->log), 0);
}

static void times_are_found(struct fixture *fixture)
{
	int64_t timestamp;

	must_eq(log_end(fixture->log), BATCHES);
	for (int i = 0; i < BATCHES / 2; i++)
		must_eq(fixture_offset_for_time(fixture->log, TIMES_MS + i, &timestamp), i * 2,
			"time %d", i);
}

static const struct missing_index {
	const char *file;
	int64_t recovery_point;
	bool clean; /* the first start behind the loss */
} missing_indexes[] = {
	/* The recovery point lies in its segment. */
	{"00000000000000000000.index", 20, false},
	{"00000000000000000000.timeindex", 20, false},
	{"00000000000000000030.index", 50, false},
	{"00000000000000000030.timeindex", 50, false},
	/* Its segment lies below the recovery point. */
	{"00000000000000000000.index", 50, false},
	{"00000000000000000000.timeindex", 50, false},
	{"00000000000000000000.timeindex", BATCHES, true},
	{"00000000000000000030.index", BATCHES, true},
	{"00000000000000000030.timeindex", BATCHES, true},
};

/* A file goes; the start that makes it anew dies at its n-th change of the disk; the next one finds
 * every time, as it is listed in the time index and found by the offset index. */
Test(log_recover, an_index_that_was_made_anew_in_part_is_not_believed, .timeout = 120)
{
	for (size_t i = 0; i < array_length(missing_indexes); i++) {
		const struct missing_index *missing = &missing_indexes[i];
		int crashes = 0;

		for (uint64_t n = 1; n <= CHANGES; n++) {
			struct fixture fixture;
			char path[128];

			world = world_new(
				&(struct world_options){.seed = n, .disk_delay_max_ns = 200000});
			host = world_host_new(world, "a", "10.0.0.1");
			fixture_init(&fixture, equal_times, NULL);
			fixture.config.segment_size_bytes = 1 << 20;
			must_eq(fixture_run(world, host, &fixture), 0);
			snprintf(path, sizeof(path), "data/topic-0/%s", missing->file);
			must_eq(host_file_remove(host, path), 0);
			fixture_init(&fixture, times_are_found, NULL);
			fixture.config.segment_size_bytes = 1 << 20;
			fixture.recovery_point = missing->recovery_point;
			fixture.clean = missing->clean;
			host_crash_at_change(host, n, n % 2 ? CRASH_PROCESS : CRASH_POWER);
			crashes += fixture_run(world, host, &fixture) != 0;
			host_crash_at_change(host, 0, CRASH_PROCESS);
			fixture.clean = false;
			must_eq(fixture_run(world, host, &fixture), 0, "case %zu change %lu", i,
				(unsigned long)n);
			world_free(world);
		}
		must_gt(crashes, 0);
	}
}

static void rising_times(struct fixture *fixture)
{
	for (int i = 0; i < BATCHES; i++)
		must_eq(fixture_append_records(fixture->log, 1, TIMES_MS + i).error_code, 0);
	must_eq(fixture_sync(fixture->log), 0);
	must_eq(log_checkpoint(fixture->log), 0);
}

/* As somebody sends who copies old records: nothing more goes into the time index. */
static void one_time(struct fixture *fixture)
{
	for (int i = 0; i < BATCHES; i++)
		must_eq(fixture_append_records(fixture->log, 1, TIMES_MS).error_code, 0);
	must_eq(fixture_sync(fixture->log), 0);
	must_eq(log_checkpoint(fixture->log), 0);
}

static void little_was_read(struct fixture *fixture)
{
	must_eq(log_end(fixture->log), BATCHES);
	must_leq(fixture->recovery.scanned_bytes, 2 * fixture->config.index_interval_bytes);
}

/* The process dies right behind a checkpoint: behind the last entries the indexes are all zeros. */
static void killed_behind(void (*body)(struct fixture *fixture))
{
	struct fixture fixture;

	world = world_new(&(struct world_options){.seed = 1});
	host = world_host_new(world, "a", "10.0.0.1");
	fixture_init(&fixture, body, NULL);
	fixture.config.segment_size_bytes = 1 << 20;
	fixture.closes = false;
	must_eq(fixture_run(world, host, &fixture), 0);
	fixture_init(&fixture, little_was_read, NULL);
	fixture.config.segment_size_bytes = 1 << 20;
	fixture.recovery_point = BATCHES;
	must_eq(fixture_run(world, host, &fixture), 0);
	world_free(world);
}

Test(log_recover, a_killed_process_costs_what_lies_past_the_recovery_point)
{
	killed_behind(rising_times);
}

Test(log_recover, equal_times_cost_no_more)
{
	killed_behind(one_time);
}

enum { LARGE_BATCHES = 40, LARGE_VALUE_MAX = 2 * LOG_SCAN_SIZE };

/* Of all sizes up to twice what recovery reads at a time. */
static size_t large_value_size(int number)
{
	return (size_t)number * 7919 * 13 % LARGE_VALUE_MAX;
}

static void large_batches(struct fixture *fixture)
{
	for (int i = 0; i < LARGE_BATCHES; i++) {
		struct fixture_batch batch = {.count = 1,
			.from_ms = TIMES_MS + i,
			.producer_id = -1,
			.value_size = large_value_size(i)};

		must_eq(fixture_append(fixture->log, &batch).error_code, 0);
	}
	must_eq(fixture_sync(fixture->log), 0);
}

static void all_was_read(struct fixture *fixture)
{
	must_eq(log_end(fixture->log), LARGE_BATCHES);
	must_eq(fixture->recovery.scanned_bytes, log_size_bytes(fixture->log));
	must_eq(fixture->recovery.dropped_from_offset, -1);
	must_eq(fixture_read_all(fixture->log, 0, NULL, NULL), LARGE_BATCHES);
}

/* Batches that begin in one piece that was read and end in another, and batches larger than a piece. */
Test(log_recover, batches_of_all_sizes_are_read_in_pieces)
{
	struct fixture fixture;

	world = world_new(&(struct world_options){.seed = 1});
	host = world_host_new(world, "a", "10.0.0.1");
	fixture_init(&fixture, large_batches, NULL);
	fixture.config.segment_size_bytes = 64 << 20;
	fixture.closes = false;
	must_eq(fixture_run(world, host, &fixture), 0);
	fixture_init(&fixture, all_was_read, NULL);
	fixture.config.segment_size_bytes = 64 << 20;
	must_eq(fixture_run(world, host, &fixture), 0);
	world_free(world);
}
