/*
 * Compaction against a model: every record that was appended, by its offset. A compacted log holds a part of
 * them, each at its offset and unchanged; who reads it from the start to the end knows of each key what he would
 * know from all of them; and what lies behind the compacted part is whole. So it must be after a crash, too, and
 * whatever operation fails.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/batch_records.h"
#include "protocol/errors.h"
#include "storage/log_fixture.h"
#include "storage/log_internal.h"

enum { RECORDS_MAX = 20000, KEYS = 12, ROUNDS = 3, BATCHES = 30, PRODUCERS = 4 };

struct model_record {
	int key; /* -1: a marker */
	bool is_tombstone, is_aborted, is_there;
	int64_t producer_id;
};

struct model {
	uint64_t random;
	struct model_record records[RECORDS_MAX];
	int64_t count; /* also those that are not acknowledged yet */
	int64_t durable_end;
	int64_t recovery_point, clean_end;
	int64_t cleaned_to; /* in this life */
	int cleanings;
	enum compression compression;
	int32_t sequences[PRODUCERS]; /* the next ones */
	bool with_transactions, with_tombstones;
	uint64_t map_bytes;
	struct fixture *fixture;
	int64_t seen; /* offset of the last one that was read */
};

static uint64_t pick(struct model *model, uint64_t below)
{
	model->random = model->random * 6364136223846793005ull + 1442695040888963407ull;
	return (model->random >> 33) % below;
}

static bool bytes_are(struct bytes bytes, const char *text, int size)
{
	return bytes.size == size && memcmp(bytes.data, text, (size_t)size) == 0;
}

/* A value that tells where it belongs. */
static int value_print(char *to, size_t size, int64_t offset, int key)
{
	return snprintf(to, size, "%lld of %d is what was written here, and nothing else",
		(long long)offset, key);
}

static uint8_t *batch_new(struct model *model, int64_t base, int count, int64_t producer_id,
	bool transactional, bool aborted, uint32_t *ret_size)
{
	struct compress_context *context = model->compression ? compress_context_new() : NULL;
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct batch_builder builder;
	struct record_buffer buffer;
	char key[16], value[128];
	uint8_t *bytes;

	record_buffer_init(&buffer, 1 << 20);
	options.compression = model->compression;
	options.level = compression_levels(model->compression).standard;
	options.producer_id = producer_id;
	options.producer_epoch = producer_id >= 0 ? 0 : NO_PRODUCER_EPOCH;
	options.base_sequence = producer_id >= 0 ? model->sequences[producer_id] : NO_SEQUENCE;
	options.transactional = transactional;
	must_eq(batch_builder_begin(&builder, &options, context, &buffer), 0);
	for (int i = 0; i < count; i++) {
		int number = (int)pick(model, KEYS);
		bool tombstone = model->with_tombstones && pick(model, 5) == 0;
		int size = value_print(value, sizeof(value), base + i, number);

		must_lt(model->count, RECORDS_MAX);
		model->records[model->count++] = (struct model_record){.key = number,
			.is_tombstone = tombstone,
			.is_aborted = aborted,
			.producer_id = producer_id};
		snprintf(key, sizeof(key), "key-%d", number);
		must_eq(batch_builder_append(&builder, i, 1000 + base + i,
				(struct bytes){(uint8_t *)key, (int32_t)strlen(key)},
				tombstone ? BYTES_NULL : (struct bytes){(uint8_t *)value, size},
				NULL, 0),
			0);
	}
	bytes = fixture_batch_take(&builder, &buffer, ret_size);
	compress_context_free(context);
	return bytes;
}

/* False when the log failed. */
static bool append(struct model *model, int64_t producer_id, bool transactional, bool aborted)
{
	struct log *log = model->fixture->log;
	int count = 1 + (int)pick(model, 5);
	struct fixture_answer answer;
	uint32_t size;
	uint8_t *bytes;

	/* What an earlier append left undecided when it failed. */
	model->count = log_end(log);
	bytes = batch_new(model, log_end(log), count, producer_id, transactional, aborted, &size);
	answer = fixture_append_bytes(log, APPEND_CLIENT, bytes, size, true);
	if (answer.error_code)
		return log_is_usable(log);
	must_eq(answer.last_offset + 1, model->count);
	if (producer_id >= 0)
		model->sequences[producer_id] += count;
	model->durable_end = model->count;
	log_high_watermark_set(log, log_readable_end(log));
	return true;
}

static bool mark(struct model *model, int64_t producer_id, bool aborts)
{
	struct log *log = model->fixture->log;
	struct fixture_answer answer;
	uint32_t size;
	uint8_t *bytes = fixture_marker_new(producer_id, 0, aborts, &size);

	model->count = log_end(log);
	model->records[model->count++] = (struct model_record){.key = -1};
	answer = fixture_append_bytes(log, APPEND_COORDINATOR, bytes, size, true);
	if (answer.error_code)
		return log_is_usable(log);
	model->durable_end = model->count;
	log_high_watermark_set(log, log_readable_end(log));
	return true;
}

/* ---- what must hold ---- */

struct state {
	struct model *model;
	int64_t newest[KEYS]; /* of the records that were read */
	struct compress_context *context;
	int batches, empty_batches;
};

static void batch_look(const struct batch_header *header, const uint8_t *data, void *argument)
{
	struct state *state = argument;
	struct model *model = state->model;
	struct batch_records records;
	struct record record;
	char key[16], value[128];
	int found;

	state->batches++;
	must_gt(header->base_offset, model->seen);
	must_eq(batch_records_begin(&records, state->context, data, header, BATCH_RECORDS_WHOLE,
			1 << 20),
		0);
	if (header->record_count == 0)
		state->empty_batches++;
	while ((found = batch_records_next(&records, &record)) > 0) {
		const struct model_record *was = &model->records[record.offset];

		must_gt(record.offset, model->seen);
		must_lt(record.offset, model->count);
		model->seen = record.offset;
		model->records[record.offset].is_there = true;
		must_eq(was->key == -1, batch_is_control(header));
		if (was->key == -1)
			continue;
		must_eq(record.timestamp, 1000 + record.offset);
		must_eq(header->producer_id, was->producer_id);
		snprintf(key, sizeof(key), "key-%d", was->key);
		must(bytes_are(record.key, key, (int)strlen(key)));
		if (was->is_tombstone) {
			must_lt(record.value.size, 0);
		} else {
			int size = value_print(value, sizeof(value), record.offset, was->key);

			must(bytes_are(record.value, value, size));
		}
		if (!was->is_aborted)
			state->newest[was->key] = record.offset;
	}
	must_eq(found, 0);
	batch_records_end(&records);
	model->seen = header->last_offset;
}

/* False when the disk failed while it was read. */
static bool model_check(struct model *model, struct state *ret_state)
{
	struct log *log = model->fixture->log;
	struct state state = {.model = model, .context = compress_context_new()};
	int64_t newest[KEYS], end = log_readable_end(log);
	int read;

	memset(newest, -1, sizeof(newest));
	memset(state.newest, -1, sizeof(state.newest));
	model->seen = -1;
	for (int64_t i = 0; i < model->count; i++)
		model->records[i].is_there = false;
	must_geq(end, model->durable_end);
	read = fixture_read_all(log, log_start(log), batch_look, &state);
	compress_context_free(state.context);
	if (read < 0)
		return false;
	for (int64_t i = 0; i < end; i++) {
		const struct model_record *record = &model->records[i];

		if (i >= model->cleaned_to)
			must(record->is_there, "%ld is not there, and was not compacted", i);
		if (record->key >= 0 && !record->is_aborted)
			newest[record->key] = i;
	}
	for (int key = 0; key < KEYS; key++) {
		if (newest[key] >= 0 && model->records[newest[key]].is_tombstone &&
			state.newest[key] < 0)
			continue; /* no value, and not even its tombstone */
		must_eq(state.newest[key], newest[key], "key %d: %ld, not %ld", key,
			state.newest[key], newest[key]);
	}
	if (ret_state)
		*ret_state = state;
	return true;
}

/* ---- a life ---- */

static void checkpoints_note(struct model *model)
{
	model->recovery_point = log_recovery_point(model->fixture->log);
	model->clean_end = log_clean_end(model->fixture->log);
}

static int clean(struct model *model, struct log_cleaning *ret)
{
	struct log *log = model->fixture->log;
	struct log_clean ask = {
		.now_ms = shard_wall_ms(model->fixture->shard),
		.map_bytes = model->map_bytes,
		.io_buffer_bytes = 2 * 4096,
		.load_factor = 0.9,
		.bytes_per_second = 1e18,
		.compress = compress_context_new(),
	};
	struct log_cleaning cleaning;
	int error = log_cleanable(log, &ask.range);

	if (!error && ask.range.end > ask.range.first_dirty) {
		/* Known before: a crash may leave this or that. */
		model->cleaned_to = max_of(model->cleaned_to, ask.range.end);
		error = log_clean(log, &ask, &cleaning);
		if (!error) {
			model->cleanings++;
			must_gt(cleaning.to_offset, cleaning.from_offset);
			must_leq(cleaning.to_offset, ask.range.end);
			must_eq(log_clean_end(log), cleaning.to_offset);
		}
		if (ret)
			*ret = cleaning;
	}
	compress_context_free(ask.compress);
	return error;
}

static void life(struct fixture *fixture)
{
	struct model *model = fixture->argument;

	model->fixture = fixture;
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < BATCHES; i++) {
			bool transactional = model->with_transactions && pick(model, 3) == 0;
			bool aborted = transactional && pick(model, 2) == 0;
			int64_t producer_id =
				transactional ? 1 + (int64_t)pick(model, PRODUCERS - 1)
					      : (int64_t)pick(model, 2) - 1;

			if (!append(model, producer_id, transactional, aborted))
				return;
			if (transactional && !mark(model, producer_id, aborted))
				return;
		}
		fiber_sleep(fixture->shard, 2 * NS_PER_S);
		checkpoints_note(model);
		if (!log_is_usable(fixture->log))
			return;
		for (int i = 0; i < 2; i++) {
			int error = clean(model, NULL);

			if (error && !log_is_usable(fixture->log))
				return;
			if (!model_check(model, NULL))
				return;
			fiber_sleep(fixture->shard, NS_PER_S);
			checkpoints_note(model);
		}
	}
}

static struct model *model_new(struct fixture *fixture, uint64_t seed)
{
	struct model *model = calloc(1, sizeof(*model));

	*model = (struct model){
		.random = seed * 7919,
		.with_tombstones = true,
		.map_bytes = seed % 3 == 1 ? 6 * 24 : 1 << 20,
		.compression = seed % 2 ? COMPRESSION_NONE : COMPRESSION_LZ4,
	};
	fixture_init(fixture, life, model);
	fixture->config.compact = true;
	fixture->config.delete_old = false;
	fixture->config.segment_size_bytes = 3000;
	fixture->config.delete_retention_ms = 500;
	fixture->config.min_cleanable_dirty_ratio = 0;
	fixture->options.background_sync_ms = 1000;
	return model;
}

static void reopen(struct fixture *fixture, struct model *model, bool clean_stop)
{
	fixture->clean = clean_stop;
	fixture->recovery_point = model->recovery_point;
	fixture->clean_end = model->clean_end;
	fixture->high_watermark = model->durable_end;
}

/* ---- without faults ---- */

Test(log_clean, what_is_superseded_goes_and_nothing_else)
{
	for (uint64_t seed = 1; seed <= 24; seed++) {
		struct world_options options = {.seed = seed,
			.disk_delay_max_ns = 200000,
			.cold_read_ppm = seed % 2 ? 500000 : 0};
		struct world *world = world_new(&options);
		struct host *host = world_host_new(world, "a", "10.0.0.1");
		struct fixture fixture;
		struct model *model = model_new(&fixture, seed);

		model->with_transactions = seed % 4 > 1;
		must_eq(fixture_run(world, host, &fixture), 0, "seed %lu", seed);
		must_gt(model->cleanings, ROUNDS / 2);
		/* And again, from what a clean stop left. */
		model->cleanings = 0;
		reopen(&fixture, model, seed % 3 > 0);
		must_eq(fixture_run(world, host, &fixture), 0, "seed %lu again", seed);
		must_gt(model->cleanings, ROUNDS / 2);
		free(model);
		world_free(world);
	}
}

/* Below the compacted end there is one record for each key, and none of a key that was deleted. */
static void compacted_fully(struct fixture *fixture)
{
	struct model *model = fixture->argument;
	struct log *log = fixture->log;
	struct log_cleaning cleaning;
	int64_t seen[KEYS];

	model->fixture = fixture;
	for (int i = 0; i < 300; i++)
		must(append(model, -1, false, false));
	must_eq(log_roll(log), 0);
	must(append(model, -1, false, false));
	must_eq(clean(model, &cleaning), 0);
	must_eq(cleaning.to_offset, log_active(log)->base_offset);
	must_gt(cleaning.segments_before, 10);
	must_lt(cleaning.written_bytes * 10, cleaning.read_bytes);
	fiber_sleep(fixture->shard, NS_PER_S);
	/* Tombstones go with the first cleaning behind their horizon. */
	must_eq(log_roll(log), 0);
	must(append(model, -1, false, false));
	must_eq(clean(model, &cleaning), 0);
	must_gt(cleaning.segments_before, 10);
	must_eq(cleaning.segments_after, 1);
	must(model_check(model, NULL));
	memset(seen, -1, sizeof(seen));
	for (int64_t i = 0; i < model->cleaned_to; i++) {
		const struct model_record *record = &model->records[i];

		if (!record->is_there)
			continue;
		must_eq(seen[record->key], -1, "key %d is there twice", record->key);
		seen[record->key] = i;
	}
	must_eq(clean(model, NULL), 0);
}

static void run_one(void (*body)(struct fixture *fixture), struct model *(*make)(struct fixture *))
{
	struct world_options options = {.seed = 5, .disk_delay_max_ns = 200000};
	struct world *world = world_new(&options);
	struct host *host = world_host_new(world, "a", "10.0.0.1");
	struct fixture fixture;
	struct model *model = make ? make(&fixture) : model_new(&fixture, 3);

	fixture.body = body;
	must_eq(fixture_run(world, host, &fixture), 0);
	free(model);
	world_free(world);
}

Test(log_clean, of_each_key_one_record_is_left)
{
	run_one(compacted_fully, NULL);
}

/* A producer that was silent since goes on with its next sequence, also after the log was read anew. */
static void producer_goes_on(struct fixture *fixture)
{
	struct model *model = fixture->argument;
	struct log *log = fixture->log;
	struct state state;

	model->fixture = fixture;
	must(append(model, 0, false, false));
	for (int i = 0; i < 200; i++)
		must(append(model, -1, false, false));
	must_eq(log_roll(log), 0);
	must(append(model, -1, false, false));
	must_eq(clean(model, NULL), 0);
	must(model_check(model, &state));
	must_gt(state.empty_batches, 0);
	must_eq(log_snapshots_remove(log, 0, INT64_MAX), 0);
	log->snapshot_offset = 0;
	log_busy_begin(log);
	must_eq(log_producers_load(log, log_end(log)), 0);
	log_busy_end(log);
	must_eq(log_producer_count(log), 1);
	must_eq(producer_entry_newest(log->producers.entries[0].entry)->last_sequence,
		model->sequences[0] - 1);
	must(append(model, 0, false, false));
	must_eq(model->durable_end, log_end(log));
}

Test(log_clean, a_silent_producers_last_sequence_survives)
{
	run_one(producer_goes_on, NULL);
}

static void damaged(struct fixture *fixture)
{
	struct model *model = fixture->argument;
	struct log *log = fixture->log;
	char path[SEGMENT_PATH_SIZE_MAX], before[64];
	struct log_cleaning cleaning;
	struct file *file;
	uint32_t count;

	model->fixture = fixture;
	for (int i = 0; i < 100; i++)
		must(append(model, -1, false, false));
	must_eq(log_roll(log), 0);
	must(append(model, -1, false, false));
	fiber_sleep(fixture->shard, 2 * NS_PER_S);
	count = log_segment_count(log);
	segment_path(log->segments[2], LOG_FILE_DATA, LOG_FILE_LIVE, path);
	must_eq(fiber_open(fixture->shard, path, FILE_READ | FILE_WRITE, &file), 0);
	must_eq(fiber_read(fixture->shard, file, before, 1, 200), 1);
	before[0] ^= 1;
	must_eq(fiber_write(fixture->shard, file, before, 1, 200), 0);
	file_unref(file);
	must_eq(clean(model, &cleaning), BATCH_ERROR_CORRUPT);
	must(log_is_uncleanable(log));
	must(log_is_usable(log));
	must_eq(log_segment_count(log), count);
	must_eq(log_clean_end(log), 0);
}

Test(log_clean, damaged_bytes_are_not_carried_on)
{
	run_one(damaged, NULL);
}

/* Who reads while segments change places, and long after, reads what was there. */
static void read_meanwhile(struct fixture *fixture)
{
	struct model *model = fixture->argument;
	struct log_slice slices[20];
	uint8_t *now, then[4096];
	uint32_t count = 0;

	model->fixture = fixture;
	for (int i = 0; i < 200; i++)
		must(append(model, -1, false, false));
	must_eq(log_roll(fixture->log), 0);
	must(append(model, -1, false, false));
	for (; count < array_length(slices); count++) {
		must_eq(fixture_read(fixture->log, 10 * count, log_readable_end(fixture->log), 4096,
				true, &slices[count], &now),
			0);
		free(now);
		file_ref(slices[count].file);
	}
	must_eq(clean(model, NULL), 0);
	fiber_sleep(fixture->shard, 5 * NS_PER_S);
	for (uint32_t i = 0; i < count; i++) {
		struct batch_header header;
		uint32_t size = min_of(slices[i].size, (uint32_t)sizeof(then));

		must_eq(fiber_read(fixture->shard, slices[i].file, then, size, slices[i].position),
			size);
		must_gt(batch_next(then, size, &header), 0);
		must_eq(batch_check(then, &header), 0);
		must(header.base_offset <= 10 * i && header.last_offset >= 10 * i);
		file_unref(slices[i].file);
	}
	/* Offsets that are gone are answered with what follows. */
	for (int64_t offset = 0; offset < log_readable_end(fixture->log); offset++) {
		struct batch_header header;
		struct log_slice slice;

		must_eq(fixture_read(fixture->log, offset, log_readable_end(fixture->log), 1, true,
				&slice, &now),
			0);
		must_gt(batch_next(now, slice.size, &header), 0);
		must_geq(header.last_offset, offset);
		free(now);
	}
}

Test(log_clean, readers_keep_what_they_read)
{
	run_one(read_meanwhile, NULL);
}

/* ---- with faults ---- */

static void after_fault(struct fixture *fixture)
{
	struct model *model = fixture->argument;

	model->fixture = fixture;
	/* What was on its way and did not come to be. */
	model->count = max_of(log_end(fixture->log), model->durable_end);
	must(model_check(model, NULL));
	for (int i = 0; i < 20; i++)
		must(append(model, -1, false, false));
	must_eq(log_roll(fixture->log), 0);
	must(append(model, -1, false, false));
	fiber_sleep(fixture->shard, 2 * NS_PER_S);
	must_eq(clean(model, NULL), 0);
	must(model_check(model, NULL));
}

static int crash_everywhere(enum crash how, uint64_t seeds, uint64_t stride)
{
	int crashes = 0;

	for (uint64_t seed = 1; seed <= seeds; seed++)
		for (uint64_t n = 1 + seed % stride;; n += stride) {
			struct world_options options = {
				.seed = seed + n, .disk_delay_max_ns = 200000};
			struct world *world = world_new(&options);
			struct host *host = world_host_new(world, "a", "10.0.0.1");
			struct fixture fixture;
			struct model *model = model_new(&fixture, seed);
			int status;

			host_crash_at_change(host, n, how);
			status = fixture_run(world, host, &fixture);
			if (status == 0) {
				free(model);
				world_free(world);
				break;
			}
			must_eq(status, -1, "seed %lu n %lu: open %d close %d", seed, n,
				fixture.open_error, fixture.close_error);
			crashes++;
			host_crash_at_change(host, 0, how);
			/* And once more while it is being recovered. */
			fixture.body = after_fault;
			reopen(&fixture, model, false);
			if (n % 2) {
				host_crash_at_change(host, 1 + n % 7, how);
				status = fixture_run(world, host, &fixture);
				host_crash_at_change(host, 0, how);
			}
			reopen(&fixture, model, false);
			status = fixture_run(world, host, &fixture);
			must_eq(status, 0, "seed %lu n %lu: open %d", seed, n, fixture.open_error);
			free(model);
			world_free(world);
		}
	return crashes;
}

Test(log_clean, a_killed_process_leaves_the_old_or_the_new)
{
	cr_assert_gt(crash_everywhere(CRASH_PROCESS, 2, 9), 30);
}

Test(log_clean, a_power_cut_leaves_the_old_or_the_new)
{
	cr_assert_gt(crash_everywhere(CRASH_POWER, 4, 9), 80);
}

static void fail_everywhere(int error, uint64_t seeds, uint64_t stride)
{
	for (uint64_t seed = 1; seed <= seeds; seed++)
		for (uint64_t n = 1;; n += stride) {
			struct world_options options = {
				.seed = seed + n, .disk_delay_max_ns = 200000};
			struct world *world = world_new(&options);
			struct host *host = world_host_new(world, "a", "10.0.0.1");
			struct fixture fixture;
			struct model *model = model_new(&fixture, seed);
			uint64_t operations;

			host_fail_operation(host, n, error);
			fixture_run(world, host, &fixture);
			operations = host_operation_count(host);
			host_fail_operation(host, 0, 0);
			fixture.body = after_fault;
			reopen(&fixture, model, false);
			if (fixture.open_error == 0)
				must_eq(fixture_run(world, host, &fixture), 0,
					"seed %lu n %lu: open %d", seed, n, fixture.open_error);
			free(model);
			world_free(world);
			if (operations < n)
				break;
		}
}

Test(log_clean, any_operation_may_fail_with_an_io_error)
{
	fail_everywhere(EIO, 2, 17);
}

Test(log_clean, any_operation_may_find_the_disk_full)
{
	fail_everywhere(ENOSPC, 2, 17);
}

Test(log_clean, any_operation_may_find_descriptors_short)
{
	fail_everywhere(EMFILE, 2, 17);
}
