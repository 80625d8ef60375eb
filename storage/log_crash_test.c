/*
 * A log under crashes and failing operations, against a model. The program appends batches of known
 * content, in part durably, rolls, truncates and moves the start; it is crashed at every n-th
 * change of the disk and opened again, and what is read must be what the model allows.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/errors.h"
#include "storage/log_fixture.h"

enum { BATCHES_MAX = 400, STEPS = 60 };

/* What a test knows beyond the process. Batches are told apart by their first timestamp. */
struct model {
	uint64_t random;
	struct {
		int64_t base_offset, last_offset, timestamp;
	} batches[BATCHES_MAX];
	int count;
	int64_t start, end;
	int64_t durable_end;		   /* acknowledged after a sync */
	int64_t acknowledged_end;	   /* acknowledged */
	int64_t recovery_point, log_start; /* as a checkpoint would have them */
	int64_t next_timestamp;
	bool truncating; /* a crash in the middle of it may leave either */
	int64_t truncate_to;
};

static uint64_t pick(struct model *model, uint64_t below)
{
	model->random = model->random * 6364136223846793005ull + 1442695040888963407ull;
	return (model->random >> 33) % below;
}

static void model_append(
	struct model *model, int64_t base_offset, int64_t last_offset, int64_t timestamp)
{
	must_lt(model->count, BATCHES_MAX);
	model->batches[model->count].base_offset = base_offset;
	model->batches[model->count].last_offset = last_offset;
	model->batches[model->count++].timestamp = timestamp;
	model->end = last_offset + 1;
}

static void model_truncate(struct model *model, int64_t offset)
{
	int64_t kept = 0;

	while (model->count > 0 && model->batches[model->count - 1].last_offset >= offset)
		model->count--;
	model->end = offset;
	/* An end in the middle of a batch is forgotten with the process. */
	if (model->count > 0)
		kept = model->batches[model->count - 1].last_offset + 1;
	model->durable_end = min_of(model->durable_end, kept);
	model->acknowledged_end = min_of(model->acknowledged_end, kept);
	model->recovery_point = min_of(model->recovery_point, offset);
	model->start = min_of(model->start, offset);
}

struct check {
	struct model *model;
	int next;
	bool began;
};

static void batch_check_model(
	const struct batch_header *header, const uint8_t *data, void *argument)
{
	struct check *check = argument;
	struct model *model = check->model;

	/* From the first one on none may be missing. */
	while (!check->began && check->next < model->count &&
		model->batches[check->next].last_offset < header->base_offset)
		check->next++;
	check->began = true;
	must_lt(check->next, model->count, "a batch at %ld that was never appended",
		header->base_offset);
	must_eq(model->batches[check->next].base_offset, header->base_offset);
	must_eq(model->batches[check->next].last_offset, header->last_offset);
	must_eq(model->batches[check->next].timestamp, header->base_timestamp);
	check->next++;
}

/* What is there begins at the start, has no gap, and reaches as far as it must. */
static void model_check(struct fixture *fixture, struct model *model, int64_t must_reach)
{
	struct check check = {.model = model};
	int64_t offset = log_start(fixture->log);

	must_geq(log_end(fixture->log), must_reach, "the log ends at %ld and had to reach %ld",
		log_end(fixture->log), must_reach);
	if (fixture_read_all(fixture->log, offset, batch_check_model, &check) < 0)
		return;
	/* Looked up one by one, too. */
	for (int i = 0; i < model->count; i++) {
		struct batch_header header;
		struct log_slice slice;
		int16_t error_code;
		uint8_t *data;

		if (model->batches[i].base_offset < offset ||
			model->batches[i].last_offset >= log_readable_end(fixture->log))
			continue;
		error_code = fixture_read(fixture->log, model->batches[i].last_offset,
			log_readable_end(fixture->log), 1, true, &slice, &data);
		if (error_code && !log_is_usable(fixture->log)) {
			free(data);
			return;
		}
		must_eq(error_code, 0);
		must_gt(batch_next(data, slice.size, &header), 0,
			"offset %ld, batch %d of %d, slice %u, log %ld..%ld",
			model->batches[i].last_offset, i, model->count, slice.size,
			log_start(fixture->log), log_readable_end(fixture->log));
		must_eq(header.base_timestamp, model->batches[i].timestamp,
			"offset %ld: %ld, not %ld; batch %ld..%ld; log %ld..%ld",
			model->batches[i].last_offset, header.base_timestamp,
			model->batches[i].timestamp, header.base_offset, header.last_offset,
			log_start(fixture->log), log_end(fixture->log));
		free(data);
	}
	must(log_start(fixture->log) <= log_high_watermark(fixture->log) &&
		log_high_watermark(fixture->log) <= log_readable_end(fixture->log) &&
		log_readable_end(fixture->log) <= log_end(fixture->log) &&
		log_recovery_point(fixture->log) <= log_readable_end(fixture->log));
}

static void checkpoints_note(struct fixture *fixture, struct model *model)
{
	model->recovery_point = log_recovery_point(fixture->log);
	model->log_start = log_start(fixture->log);
}

static bool step(struct fixture *fixture, struct model *model)
{
	struct log *log = fixture->log;
	struct fixture_answer answer;
	uint64_t what = pick(model, 100);
	int count = 1 + (int)pick(model, 20);
	bool durable = pick(model, 4) == 0;
	int64_t offset;
	uint32_t size;
	uint8_t *bytes;

	if (what < 80) {
		bytes = fixture_batch_new(&(struct fixture_batch){.count = count,
						  .from_ms = model->next_timestamp,
						  .producer_id = what < 40 ? 7 : -1,
						  .sequence = (int32_t)model->next_timestamp},
			&size);
		/* Known to the model before: a crash may come between the write and its answer. */
		model_append(model, log_end(log), log_end(log) + count - 1, model->next_timestamp);
		model->next_timestamp += count;
		answer = fixture_append_bytes(
			log, what < 40 ? APPEND_COORDINATOR : APPEND_CLIENT, bytes, size, durable);
		if (answer.error_code) {
			/* What failed with its folder may or may not be on the disk. */
			if (log_is_usable(log))
				model_truncate(model, log_end(log));
			return false;
		}
		must_eq(answer.base_offset, model->batches[model->count - 1].base_offset);
		model->acknowledged_end = log_readable_end(log);
		if (durable)
			model->durable_end = answer.last_offset + 1;
	} else if (what < 85) {
		if (fixture_sync(log) < 0)
			return false;
		model->durable_end = log_readable_end(log);
	} else if (what < 88) {
		if (log_roll(log) < 0)
			return false;
	} else if (what < 91 && log_end(log) > log_start(log)) {
		offset = log_start(log) +
			 (int64_t)pick(model, (uint64_t)(log_end(log) - log_start(log)));
		offset = max_of(offset, log_end(log) - 40);
		model->truncating = true;
		model->truncate_to = offset;
		if (log_truncate(log, offset) < 0)
			return false;
		model_truncate(model, offset);
		model->truncating = false;
		/* A truncated log's checkpoint goes back with it. */
		checkpoints_note(fixture, model);
	} else if (what < 95) {
		log_high_watermark_set(log, log_readable_end(log));
		offset = log_start(log) +
			 (int64_t)pick(
				 model, (uint64_t)(log_readable_end(log) - log_start(log)) / 4 + 1);
		must_eq(log_start_advance(log, offset), 0);
		model->start = offset;
		checkpoints_note(fixture, model);
		if (log_retain(log) < 0)
			return false;
	} else {
		fiber_sleep(fixture->shard, 2 * NS_PER_S);
		checkpoints_note(fixture, model);
	}
	return true;
}

static void steps(struct fixture *fixture)
{
	struct model *model = fixture->argument;

	for (int i = 0; i < STEPS && log_is_usable(fixture->log); i++) {
		if (!step(fixture, model) && !log_is_usable(fixture->log))
			return;
		fixture_check_backlog(fixture->log);
	}
	model_check(fixture, model, model->acknowledged_end);
}

static enum crash crash_how;

static void after_crash(struct fixture *fixture)
{
	struct model *model = fixture->argument;
	int64_t must_reach =
		crash_how == CRASH_POWER ? model->durable_end : model->acknowledged_end;

	fixture_check_backlog(fixture->log);
	if (model->truncating) {
		struct model truncated = *model;

		model_truncate(&truncated, model->truncate_to);
		must_reach = min_of(must_reach, truncated.acknowledged_end);
	}
	must_reach = max_of(must_reach, model->log_start);
	must_geq(log_start(fixture->log), model->log_start);
	model_check(fixture, model, must_reach);
	must_eq(fixture_append_records(fixture->log, 1, 1).error_code, 0);
}

static void model_begin(struct model *model, struct fixture *fixture, uint64_t seed)
{
	*model = (struct model){.random = seed * 7919, .next_timestamp = 1};
	fixture_init(fixture, steps, model);
	fixture->config.segment_size_bytes = 5000;
	fixture->options.background_sync_ms = 1000;
	fixture->options.backlog_bytes_max = seed % 2 ? 4000 : 0;
}

static void reopen(struct fixture *fixture, struct model *model)
{
	fixture->body = after_crash;
	fixture->recovery_point = model->recovery_point;
	fixture->log_start = model->log_start;
	fixture->clean = false;
}

static int crash_everywhere(enum crash how, uint64_t seeds)
{
	int crashes = 0;

	crash_how = how;
	for (uint64_t seed = 1; seed <= seeds; seed++)
		for (uint64_t n = 1;; n += 1 + seed % 3) {
			struct world_options options = {
				.seed = seed + n, .disk_delay_max_ns = 200000};
			struct world *world = world_new(&options);
			struct host *host = world_host_new(world, "a", "10.0.0.1");
			struct fixture fixture;
			struct model model;
			int status;

			model_begin(&model, &fixture, seed);
			host_crash_at_change(host, n, how);
			status = fixture_run(world, host, &fixture);
			if (status == 0) {
				world_free(world);
				break;
			}
			must_eq(status, -1, "seed %lu n %lu: open %d close %d", seed, n,
				fixture.open_error, fixture.close_error);
			crashes++;
			host_crash_at_change(host, 0, how);
			reopen(&fixture, &model);
			status = fixture_run(world, host, &fixture);
			must_eq(status, 0, "seed %lu n %lu: open %d", seed, n, fixture.open_error);
			world_free(world);
		}
	return crashes;
}

Test(log_crash, without_a_crash_the_log_is_as_the_model_says)
{
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct world_options options = {.seed = seed,
			.disk_delay_max_ns = 200000,
			.cold_read_ppm = seed % 2 ? 500000 : 0};
		struct world *world = world_new(&options);
		struct host *host = world_host_new(world, "a", "10.0.0.1");
		struct fixture fixture;
		struct model model;

		model_begin(&model, &fixture, seed);
		must_eq(fixture_run(world, host, &fixture), 0, "seed %lu", seed);
		fixture.clean = seed % 3 == 0;
		fixture.log_start = model.start;
		fixture.recovery_point = model.recovery_point;
		fixture.body = steps;
		must_eq(fixture_run(world, host, &fixture), 0, "seed %lu again", seed);
		world_free(world);
	}
}

Test(log_crash, a_killed_process_loses_nothing_acknowledged)
{
	cr_assert_gt(crash_everywhere(CRASH_PROCESS, 3), 75);
}

Test(log_crash, a_power_cut_loses_nothing_that_was_durable)
{
	cr_assert_gt(crash_everywhere(CRASH_POWER, 5), 150);
}

enum { DELETED_SEGMENTS = 8 };

/* Everything is durable; then all but the last segments go. */
static void segments_delete(struct fixture *fixture)
{
	int64_t *end = fixture->argument;

	while (log_segment_count(fixture->log) <= DELETED_SEGMENTS)
		must_eq(fixture_append_records(fixture->log, 10, 1).error_code, 0);
	must_eq(fixture_sync(fixture->log), 0);
	log_high_watermark_set(fixture->log, log_readable_end(fixture->log));
	*end = log_end(fixture->log);
	must_eq(log_start_advance(fixture->log, *end), 0);
	log_retain(fixture->log);
}

static void end_is_there(struct fixture *fixture)
{
	must_geq(log_end(fixture->log), *(int64_t *)fixture->argument);
}

/* At each change of the disk, with the checkpoints of a log that was just made. */
Test(log_crash, a_power_cut_while_segments_are_deleted_leaves_no_gap)
{
	for (uint64_t n = 1;; n++) {
		struct world_options options = {.seed = n, .disk_delay_max_ns = 200000};
		struct world *world = world_new(&options);
		struct host *host = world_host_new(world, "a", "10.0.0.1");
		struct fixture fixture;
		int64_t end = 0;
		int status;

		fixture_init(&fixture, segments_delete, &end);
		fixture.config.segment_size_bytes = 2000;
		host_crash_at_change(host, n, CRASH_POWER);
		status = fixture_run(world, host, &fixture);
		host_crash_at_change(host, 0, CRASH_POWER);
		fixture.body = end_is_there;
		must_eq(fixture_run(world, host, &fixture), 0);
		world_free(world);
		if (status == 0)
			break;
	}
}

/* Each file operation in turn fails with EIO or ENOSPC: the model holds while the log says it is
 * usable, and afterwards. */
static void fail_everywhere(int error, uint64_t seeds)
{
	/* A sync that failed may have lost what was written: then as after a power cut. */
	crash_how = CRASH_POWER;
	for (uint64_t seed = 1; seed <= seeds; seed++)
		for (uint64_t n = 1;; n += 3) {
			struct world_options options = {
				.seed = seed + n, .disk_delay_max_ns = 200000};
			struct world *world = world_new(&options);
			struct host *host = world_host_new(world, "a", "10.0.0.1");
			struct fixture fixture;
			struct model model;
			uint64_t operations;

			model_begin(&model, &fixture, seed);
			host_fail_operation(host, n, error);
			fixture_run(world, host, &fixture);
			operations = host_operation_count(host);
			host_fail_operation(host, 0, 0);
			reopen(&fixture, &model);
			if (fixture.open_error == 0)
				must_eq(fixture_run(world, host, &fixture), 0,
					"seed %lu n %lu: open %d", seed, n, fixture.open_error);
			world_free(world);
			if (operations < n)
				break;
		}
}

Test(log_crash, any_operation_may_fail_with_an_io_error)
{
	fail_everywhere(EIO, 2);
}

Test(log_crash, any_operation_may_find_the_disk_full)
{
	fail_everywhere(ENOSPC, 2);
}
