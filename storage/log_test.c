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

static void run(struct fixture *fixture, void (*body)(struct fixture *fixture))
{
	fixture_init(fixture, body, NULL);
	must_eq(fixture_run(world, host, fixture), 0, "open %d close %d", fixture->open_error,
		fixture->close_error);
}

TestSuite(log, .init = world_begin, .fini = world_end);

static void appended_is_read(struct fixture *fixture)
{
	struct fixture_answer answer = fixture_append_records(fixture->log, 3, 1000);
	struct batch_header header;
	struct log_slice slice;
	uint8_t *data;

	must_eq(answer.error_code, 0);
	must_eq(answer.base_offset, 0);
	must_eq(answer.last_offset, 2);
	answer = fixture_append_records(fixture->log, 2, 2000);
	must_eq(answer.base_offset, 3);
	must_eq(log_end(fixture->log), 5);
	must_eq(log_readable_end(fixture->log), 5);
	/* In the middle of a batch: the batch comes whole. */
	must_eq(fixture_read(fixture->log, 1, 5, 1 << 20, true, &slice, &data), 0);
	must_eq(batch_next(data, slice.size, &header), slice.first_batch_size);
	must_eq(header.base_offset, 0);
	must_eq(batch_check(data, &header), 0);
	must_gt(slice.size, slice.first_batch_size);
	free(data);
	/* A bound in the middle of a batch leaves it out. */
	must_eq(fixture_read(fixture->log, 0, 4, 1 << 20, true, &slice, NULL), 0);
	must_eq(slice.size, slice.first_batch_size);
	must_eq(fixture_read(fixture->log, 0, 2, 1 << 20, true, &slice, NULL), 0);
	must_eq(slice.size, 0);
	/* Too few bytes: cut off, or the first one whole when that is asked. */
	must_eq(fixture_read(fixture->log, 0, 5, 10, false, &slice, NULL), 0);
	must_eq(slice.size, 10);
	must_eq(fixture_read(fixture->log, 0, 5, 10, true, &slice, NULL), 0);
	must_eq(slice.size, slice.first_batch_size);
	must_eq(fixture_read(fixture->log, 5, 5, 10, true, &slice, NULL), 0);
	must_eq(slice.size, 0);
	must_eq(fixture_read(fixture->log, 6, 6, 10, true, &slice, NULL),
		KAFKA_OFFSET_OUT_OF_RANGE);
	must_eq(fixture_read(fixture->log, -1, 6, 10, true, &slice, NULL),
		KAFKA_OFFSET_OUT_OF_RANGE);
}

Test(log, what_is_appended_is_read)
{
	struct fixture fixture;

	run(&fixture, appended_is_read);
}

static void many_segments(struct fixture *fixture)
{
	for (int i = 0; i < 200; i++)
		must_eq(fixture_append_records(fixture->log, 1 + i % 7, 1000 + i * 10).error_code,
			0);
	must_gt(log_segment_count(fixture->log), 5);
	must_eq(fixture_read_all(fixture->log, 0, NULL, NULL), 200);
	for (int64_t offset = 0; offset < log_end(fixture->log); offset += 13)
		must_gt(fixture_read_all(fixture->log, offset, NULL, NULL), 0);
}

static void many_segments_again(struct fixture *fixture)
{
	int64_t end = log_end(fixture->log);

	must_eq(fixture->recovery.segments_scanned, 0);
	must_eq(fixture_read_all(fixture->log, 0, NULL, NULL), 200);
	must_eq(fixture_append_records(fixture->log, 1, 9000).base_offset, end);
	must_eq(log_recovery_point(fixture->log), end);
}

static void many_segments_recovered(struct fixture *fixture)
{
	must_gt(fixture->recovery.segments_scanned, 5);
	must_eq(fixture->recovery.dropped_bytes, 0);
	must_eq(fixture_read_all(fixture->log, 0, NULL, NULL), 201);
}

Test(log, segments_roll_and_a_clean_start_scans_nothing)
{
	struct fixture fixture;

	run(&fixture, many_segments);
	fixture_init(&fixture, many_segments_again, NULL);
	fixture.clean = true;
	must_eq(fixture_run(world, host, &fixture), 0);
	run(&fixture, many_segments_recovered);
}

/* The index files of a closed log have the entries that Kafka's rule gives, and end behind them. */
Test(log, indexes_are_trimmed_and_have_an_entry_every_interval)
{
	struct fixture fixture;
	uint8_t *data;
	size_t size;

	run(&fixture, many_segments);
	must_eq(host_file_get(
			host, "data/topic-0/00000000000000000000.index", (void **)&data, &size),
		0);
	must_gt(size, 8 * 5);
	must_eq(size % 8, 0);
	for (size_t at = 8; at < size; at += 8) {
		must_gt(load_be32(data + at), load_be32(data + at - 8));
		must_gt(load_be32(data + at + 4), load_be32(data + at - 4) + 500);
	}
	free(data);
	must_eq(host_file_get(
			host, "data/topic-0/00000000000000000000.timeindex", (void **)&data, &size),
		0);
	must_eq(size % 12, 0);
	for (size_t at = 12; at < size; at += 12)
		must_gt(load_be64(data + at), load_be64(data + at - 12));
	free(data);
}

static void by_time(struct fixture *fixture)
{
	int64_t timestamp;

	for (int i = 0; i < 100; i++)
		fixture_append(fixture->log,
			&(struct fixture_batch){.count = 5,
				.from_ms = 1000 + i * 10,
				.producer_id = -1,
				.compression = i % 2 ? COMPRESSION_ZSTD : COMPRESSION_NONE});
	/* Batch i has 1000+10i … 1004+10i at offsets 5i … 5i+4. */
	for (int64_t ms = 990; ms < 2010; ms += 3) {
		int64_t offset = fixture_offset_for_time(fixture->log, ms, &timestamp);
		int64_t batch = max_of((ms - 1000) / 10, 0ll),
			inside = max_of(ms - 1000 - batch * 10, 0ll);
		int64_t expected = inside > 4 ? (batch + 1) * 5 : batch * 5 + inside;

		if (ms > 1994)
			expected = -1;
		must_eq(offset, expected, "time %ld: %ld, not %ld", ms, offset, expected);
		if (offset >= 0)
			must_geq(timestamp, ms);
	}
	must_eq(fixture_offset_for_time(fixture->log, LOG_TIMESTAMP_MAX, &timestamp), 499);
	must_eq(timestamp, 1994);
	/* An older record behind doesn't change the answer. */
	fixture_append_records(fixture->log, 1, 50);
	must_eq(fixture_offset_for_time(fixture->log, LOG_TIMESTAMP_MAX, &timestamp), 499);
	must_eq(fixture_offset_for_time(fixture->log, 10, &timestamp), 0);
}

Test(log, an_offset_is_found_by_time_inside_of_batches)
{
	struct fixture fixture;

	run(&fixture, by_time);
}

static void idempotent(struct fixture *fixture)
{
	struct fixture_batch batch = {.count = 3, .from_ms = 1000, .producer_id = 42};
	struct fixture_answer answer = fixture_append(fixture->log, &batch);

	must_eq(answer.error_code, 0);
	answer = fixture_append(fixture->log, &batch);
	must_eq(answer.error_code, 0);
	must(answer.duplicate);
	must_eq(answer.base_offset, 0);
	must_eq(answer.last_offset, 2);
	must_eq(log_end(fixture->log), 3);
	batch.sequence = 5;
	must_eq(fixture_append(fixture->log, &batch).error_code,
		KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
	batch.sequence = 3;
	must_eq(fixture_append(fixture->log, &batch).base_offset, 3);
	batch.epoch = 1;
	must_eq(fixture_append(fixture->log, &batch).error_code,
		KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
	batch.sequence = 0;
	must_eq(fixture_append(fixture->log, &batch).base_offset, 6);
	batch.epoch = 0;
	must_eq(fixture_append(fixture->log, &batch).error_code, KAFKA_INVALID_PRODUCER_EPOCH);
	must_eq(log_producer_count(fixture->log), 1);
}

static void idempotent_again(struct fixture *fixture)
{
	struct fixture_batch batch = {.count = 3, .from_ms = 1000, .producer_id = 42, .epoch = 1};
	struct fixture_answer answer = fixture_append(fixture->log, &batch);

	must(answer.duplicate);
	must_eq(answer.base_offset, 6);
	batch.sequence = 3;
	must_eq(fixture_append(fixture->log, &batch).error_code, 0);
}

Test(log, sequences_are_checked_and_remembered_across_restarts)
{
	struct fixture fixture;

	run(&fixture, idempotent);
	fixture_init(&fixture, idempotent_again, NULL);
	fixture.clean = true;
	fixture.options.producer_id_expiration_ms = 0; /* the records are from 1970 */
	must_eq(fixture_run(world, host, &fixture), 0);
}

static void transactions(struct fixture *fixture)
{
	struct fixture_batch batch = {
		.count = 2, .from_ms = 1000, .producer_id = 9, .transactional = true};
	struct log_producer row;
	uint32_t size;
	uint8_t *bytes;

	fixture_append_records(fixture->log, 1, 500);
	fixture_append(fixture->log, &batch);
	log_high_watermark_set(fixture->log, 3);
	must_eq(log_last_stable_offset(fixture->log), 1);
	must(log_transaction_is_open(fixture->log, 9, 0));
	must_eq(log_producers(fixture->log, &row, 1), 1);
	must_eq(row.transaction_start_offset, 1);
	batch.transactional = false;
	batch.sequence = 2;
	must_eq(fixture_append(fixture->log, &batch).error_code, KAFKA_INVALID_TXN_STATE);
	bytes = fixture_marker_new(9, 0, true, &size);
	must_eq(fixture_append_bytes(fixture->log, APPEND_COORDINATOR, bytes, size, false)
			.base_offset,
		3);
	/* Decided, but not below the high watermark yet. */
	must_eq(log_last_stable_offset(fixture->log), 1);
	log_high_watermark_set(fixture->log, 4);
	must_eq(log_last_stable_offset(fixture->log), 4);
}

Test(log, an_open_transaction_holds_the_last_stable_offset)
{
	struct fixture fixture;

	run(&fixture, transactions);
}

struct aborted_wait {
	struct log_read op;
	struct fiber *fiber;
	struct shard *shard;
};

static void aborted_done(struct log_read *op)
{
	struct aborted_wait *wait = container_of(op, struct aborted_wait, op);

	fiber_wake(wait->shard, wait->fiber);
}

static void aborted_expect(
	struct fixture *fixture, int64_t offset, uint32_t count, int64_t first_offset)
{
	struct aborted_wait wait = {
		.op = {.offset = offset,
			.end = log_readable_end(fixture->log),
			.max_bytes = 1 << 20,
			.aborted_wanted = true,
			.done = aborted_done},
		.fiber = fiber_current(fixture->shard),
		.shard = fixture->shard,
	};

	log_read(fixture->log, &wait.op);
	fiber_wait(fixture->shard);
	must_eq(wait.op.aborted_count, count, "from %ld: %u", offset, wait.op.aborted_count);
	if (count) {
		must_eq(wait.op.aborted[0].producer_id, 9);
		must_eq(wait.op.aborted[0].first_offset, first_offset);
	}
	file_unref(wait.op.slice.file);
	log_read_done(&wait.op);
}

static void aborted_check(struct fixture *fixture)
{
	aborted_expect(fixture, 0, 1, 1);
	aborted_expect(fixture, 3, 1, 1);
	aborted_expect(fixture, 4, 0, 0);
}

static void aborted_append(struct fixture *fixture)
{
	transactions(fixture);
	fixture_append_records(fixture->log, 1, 500);
	aborted_check(fixture);
}

Test(log, aborted_transactions_are_told_to_readers_also_after_a_restart)
{
	struct fixture fixture;

	run(&fixture, aborted_append);
	fixture_init(&fixture, aborted_check, NULL);
	fixture.clean = true;
	must_eq(fixture_run(world, host, &fixture), 0);
	/* And made anew from the batches when the index is gone with the crash. */
	run(&fixture, aborted_check);
}

static void truncation(struct fixture *fixture)
{
	for (int i = 0; i < 100; i++)
		fixture_append_records(fixture->log, 5, 1000 + i * 10);
	log_high_watermark_set(fixture->log, 500);
	must_eq(log_truncate(fixture->log, 303), 0);
	must_eq(log_end(fixture->log), 303);
	must_eq(log_high_watermark(fixture->log), 303);
	must_eq(fixture_read_all(fixture->log, 0, NULL, NULL), 60);
	must_eq(fixture_append_records(fixture->log, 5, 5000).base_offset, 303);
	must_eq(fixture_read_all(fixture->log, 0, NULL, NULL), 61);
	must_eq(fixture_offset_for_time(fixture->log, 1600, NULL), 303);
	must_eq(log_truncate_fully(fixture->log, 7000), 0);
	must_eq(log_start(fixture->log), 7000);
	must_eq(fixture_append_records(fixture->log, 5, 5000).base_offset, 7000);
	must_eq(fixture_read_all(fixture->log, 7000, NULL, NULL), 1);
	must_eq(log_segment_count(fixture->log), 1);
}

static void truncated_check(struct fixture *fixture)
{
	must_eq(log_start(fixture->log), 7000);
	must_eq(log_end(fixture->log), 7005);
}

Test(log, truncation_drops_the_end_and_appends_go_on_there)
{
	struct fixture fixture;

	run(&fixture, truncation);
	run(&fixture, truncated_check);
}

static void retention(struct fixture *fixture)
{
	struct log_config config = *log_config(fixture->log);
	int64_t now = shard_wall_ms(fixture->shard);
	uint32_t segments;

	for (int i = 0; i < 100; i++)
		fixture_append_records(fixture->log, 5, now - 100000 + i * 1000);
	segments = log_segment_count(fixture->log);
	config.retention_ms = 50000;
	log_config_set(fixture->log, &config);
	must_eq(log_retain(fixture->log), 0);
	must_eq(log_segment_count(fixture->log), segments, "nothing goes above the high watermark");
	log_high_watermark_set(fixture->log, 500);
	must_eq(log_retain(fixture->log), 0);
	must_lt(log_segment_count(fixture->log), segments);
	must_gt(log_start(fixture->log), 150);
	must_leq(log_start(fixture->log), 250);
	must_eq(fixture_read_all(fixture->log, log_start(fixture->log), NULL, NULL),
		(500 - log_start(fixture->log)) / 5);
	config.retention_ms = -1;
	config.retention_size_bytes = 20000;
	log_config_set(fixture->log, &config);
	must_eq(log_retain(fixture->log), 0);
	must_geq(log_size_bytes(fixture->log), 20000);
	must_lt(log_size_bytes(fixture->log), 20000 + 8192);
	/* DeleteRecords moves the start at once, inside of a segment too. */
	must_eq(log_start_advance(fixture->log, 497), 0);
	must_eq(log_start_advance(fixture->log, 501), -ERANGE);
	must_eq(log_retain(fixture->log), 0);
	must_eq(log_start(fixture->log), 497);
	must_leq(log_segment_count(fixture->log), 2);
	must_eq(fixture_read_all(fixture->log, 497, NULL, NULL), 1);
}

Test(log, retention_by_time_size_and_start)
{
	struct fixture fixture;

	run(&fixture, retention);
}

/* A record from the future must not keep its segment for ever: the time of its append counts. */
static void future(struct fixture *fixture)
{
	struct log_config config = *log_config(fixture->log);

	for (int i = 0; i < 20; i++)
		fixture_append_records(fixture->log, 5, INT64_MAX / 2);
	log_high_watermark_set(fixture->log, 100);
	config.retention_ms = 1000;
	log_config_set(fixture->log, &config);
	must_eq(log_retain(fixture->log), 0);
	must_eq(log_start(fixture->log), 0);
	fiber_sleep(fixture->shard, 5 * NS_PER_S);
	must_eq(log_retain(fixture->log), 0);
	must_eq(log_start(fixture->log), 100);
}

Test(log, retention_is_not_stopped_by_a_future_timestamp)
{
	struct fixture fixture;

	run(&fixture, future);
}

static struct fixture_answer replica_append(struct fixture *fixture, int32_t epoch)
{
	uint32_t size;
	uint8_t *bytes = fixture_batch_new(&(struct fixture_batch){.count = 10,
						   .producer_id = -1,
						   .from_ms = 1,
						   .base_offset = log_end(fixture->log),
						   .leader_epoch = epoch},
		&size);

	return fixture_append_replica(fixture->log, bytes, size, epoch);
}

static void epochs(struct fixture *fixture)
{
	int32_t epoch;
	int64_t end;

	for (int32_t leader = 3; leader < 6; leader++)
		must_eq(replica_append(fixture, leader).error_code, 0);
	must_eq(log_latest_epoch(fixture->log), 5);
	log_epoch_end_offset(fixture->log, 3, &epoch, &end);
	must_eq(epoch, 3);
	must_eq(end, 10);
	log_epoch_end_offset(fixture->log, 2, &epoch, &end);
	must_eq(epoch, 2);
	must_eq(end, 0);
	log_epoch_end_offset(fixture->log, 5, &epoch, &end);
	must_eq(end, 30);
	log_epoch_end_offset(fixture->log, 6, &epoch, &end);
	must_eq(epoch, -1);
	must_eq(log_epoch_at(fixture->log, 25), 5);
	must_eq(log_truncate(fixture->log, 20), 0);
	must_eq(log_latest_epoch(fixture->log), 4);
}

static void epochs_again(struct fixture *fixture)
{
	must_eq(log_latest_epoch(fixture->log), 4);
	must_eq(log_epoch_at(fixture->log, 9), 3);
}

Test(log, leader_epochs_follow_the_batches_and_are_kept)
{
	struct fixture fixture;

	run(&fixture, epochs);
	run(&fixture, epochs_again);
}

static void no_space(struct fixture *fixture)
{
	int failed = 0, done = 0;

	host_disk_capacity_set(host, 60000);
	for (int i = 0; i < 100; i++) {
		struct fixture_answer answer =
			fixture_append(fixture->log, &(struct fixture_batch){.count = 5,
							     .from_ms = 1000 + i,
							     .producer_id = 1,
							     .sequence = done * 5});

		if (answer.error_code) {
			must_eq(answer.error_code, KAFKA_KAFKA_STORAGE_ERROR);
			failed++;
			if (failed == 3)
				host_disk_capacity_set(host, 1 << 30);
		} else {
			done++;
		}
	}
	must_geq(failed, 3);
	must_gt(done, 50);
	must_eq(fixture->folder_error, 0);
	must_eq(fixture_read_all(fixture->log, 0, NULL, NULL), done);
}

Test(log, a_full_disk_refuses_appends_until_there_is_room)
{
	struct fixture fixture;

	run(&fixture, no_space);
}

static void write_error(struct fixture *fixture)
{
	struct log_slice slice;

	must_eq(fixture_append_records(fixture->log, 5, 1).error_code, 0);
	/* The new epoch is written behind it: the next operation shall be the append's. */
	fiber_sleep(fixture->shard, NS_PER_S);
	host_fail_operation(host, 1, EIO);
	must_eq(fixture_append_records(fixture->log, 5, 1).error_code, KAFKA_KAFKA_STORAGE_ERROR);
	must_eq(log_end(fixture->log), 5);
	fiber_yield(fixture->shard);
	must_eq(fixture->folder_error, -EIO);
	must_not(log_is_usable(fixture->log));
	must_eq(fixture_append_records(fixture->log, 5, 1).error_code, KAFKA_KAFKA_STORAGE_ERROR);
	must_eq(fixture_read(fixture->log, 0, 5, 100, true, &slice, NULL),
		KAFKA_KAFKA_STORAGE_ERROR);
}

Test(log, a_write_error_fails_the_folder)
{
	struct fixture fixture;

	fixture_init(&fixture, write_error, NULL);
	must_eq(fixture_run(world, host, &fixture), 1);
	must_eq(fixture.close_error, -EIO);
}

enum { CROWD = 40, CROWD_RECORDS = 20 };

struct crowd {
	struct log_append ops[CROWD];
	struct shard *shard;
	struct fiber *fiber;
	unsigned done;
};

static struct crowd crowd;

static void crowd_done(struct log_append *op)
{
	must_eq(op->error_code, 0);
	crowd.done++;
	fiber_wake(crowd.shard, crowd.fiber);
}

static void crowded(struct fixture *fixture)
{
	uint8_t *bytes[CROWD];

	crowd = (struct crowd){.shard = fixture->shard, .fiber = fiber_current(fixture->shard)};
	for (int i = 0; i < CROWD; i++) {
		uint32_t size;

		bytes[i] = fixture_batch_new(
			&(struct fixture_batch){
				.count = CROWD_RECORDS, .from_ms = i, .producer_id = -1},
			&size);
		crowd.ops[i] = (struct log_append){.records = bytes[i],
			.size = size,
			.origin = APPEND_CLIENT,
			.produce_version = 9,
			.done = crowd_done};
		log_append(fixture->log, &crowd.ops[i]);
	}
	while (crowd.done < CROWD)
		fiber_wait(fixture->shard);
	for (int i = 0; i < CROWD; i++) {
		log_append_done(&crowd.ops[i]);
		free(bytes[i]);
	}
	must_eq(log_end(fixture->log), CROWD * CROWD_RECORDS);
	must_gt(log_segment_count(fixture->log), CROWD / 4);
}

/* What waits while a segment is made fills more than that one segment. */
Test(log, appends_that_waited_for_a_roll_may_need_the_next_one)
{
	struct fixture fixture;

	run(&fixture, crowded);
}

static void deletion(struct fixture *fixture)
{
	fixture_append_records(fixture->log, 5, 1);
	must_eq(log_delete(fixture->log), 0);
	fiber_sleep(fixture->shard, 3 * NS_PER_S);
}

static bool is_deleted;

static void deletes(struct shard *shard, void *argument)
{
	must_eq(log_delete(argument), 0);
	is_deleted = true;
}

static void tends(struct shard *shard, void *argument)
{
	struct log *log = argument;

	log_busy_begin(log);
	log_busy_end(log);
	log_fiber_end(log);
}

/* The test's fiber has the log; the deletion asks for it next, and then housekeeping does. */
static void deletion_in_line(struct fixture *fixture)
{
	struct log *log = fixture->log;

	is_deleted = false;
	log_busy_begin(log);
	must_eq(fiber_start(fixture->shard, deletes, log), 0);
	fiber_yield(fixture->shard);
	must_eq(log_fiber_start(log, tends), 0);
	fiber_yield(fixture->shard);
	log_busy_end(log);
	while (!is_deleted)
		fiber_sleep(fixture->shard, NS_PER_MS);
	fiber_sleep(fixture->shard, 3 * NS_PER_S);
}

Test(log, a_deletion_lets_housekeeping_that_waits_have_its_turn, .timeout = 20)
{
	struct fixture fixture;

	fixture_init(&fixture, deletion_in_line, NULL);
	fixture.closes = false;
	must_eq(fixture_run(world, host, &fixture), 0);
}

static int name_count(void *argument, const char *name, bool is_folder)
{
	(*(int *)argument)++;
	return 0;
}

Test(log, a_deleted_log_leaves_nothing)
{
	struct fixture fixture;
	int names = 0;

	fixture_init(&fixture, deletion, NULL);
	fixture.closes = false;
	must_eq(fixture_run(world, host, &fixture), 0);
	host_file_list(host, "data", name_count, &names);
	must_eq(names, 0);
}

static void unopened_deletion(struct fixture *fixture)
{
	fixture_append_records(fixture->log, 5, 1);
	must_eq(log_close(fixture->log), 0);
	must_eq(log_delete_unopened(fixture->store, "data", STR("topic"), 0, 1000), 0);
	must_eq(log_delete_unopened(fixture->store, "data", STR("topic"), 0, 1000), 0);
	fiber_sleep(fixture->shard, 3 * NS_PER_S);
}

/* The second time there is nothing, as where a log was never made. */
Test(log, the_folder_of_a_log_that_is_not_open_goes_too)
{
	struct fixture fixture;
	int names = 0;

	fixture_init(&fixture, unopened_deletion, NULL);
	fixture.closes = false;
	must_eq(fixture_run(world, host, &fixture), 0);
	host_file_list(host, "data", name_count, &names);
	must_eq(names, 0);
}

static void folder_is_foreign(struct fixture *fixture)
{
	struct log_open ask = {.folder = "data",
		.name = "other-0",
		.topic = STR("other"),
		.topic_id = {{1, 2, 3}},
		.config = fixture->config};
	struct log *log;

	must_eq(log_open(fixture->store, &ask, &log, NULL), 0);
	must_eq(log_close(log), 0);
	must_eq(log_open(fixture->store, &ask, &log, NULL), 0);
	must_eq(log_close(log), 0);
	ask.topic_id.octets[0] = 9;
	must_eq(log_open(fixture->store, &ask, &log, NULL), -EEXIST);
	/* Who says that he has looked is believed; what has gone since is made. */
	ask.is_claimed = true;
	must_eq(log_open(fixture->store, &ask, &log, NULL), 0);
	must_eq(log_close(log), 0);
	ask.name = "gone-0";
	must_eq(log_open(fixture->store, &ask, &log, NULL), 0);
	must_eq(log_close(log), 0);
	ask.is_claimed = false;
	ask.topic_id.octets[0] = 1;
	must_eq(log_open(fixture->store, &ask, &log, NULL), -EEXIST);
}

/* partition.metadata is written by who makes the folder; another topic is kept out, and that is no
 * failure of the disk. */
Test(log, a_folder_of_another_topic_is_refused)
{
	struct fixture fixture;

	fixture_init(&fixture, folder_is_foreign, NULL);
	must_eq(fixture_run(world, host, &fixture), 0);
	must_eq(fixture.folder_error, 0);
}

static void files_give_way_in_turn(struct fixture *fixture)
{
	enum { LOGS = 30 };
	struct log *logs[LOGS];
	char name[20];

	for (int i = 0; i < LOGS; i++) {
		snprintf(name, sizeof(name), "wide-%d", i);
		struct log_open ask = {.folder = "data",
			.name = name,
			.topic = STR("wide"),
			.partition = i,
			.config = fixture->config};
		must_eq(log_open(fixture->store, &ask, &logs[i], NULL), 0);
		must_eq(fixture_append_records(logs[i], 1, 1).error_code, 0);
	}
	/* A new log holds its .log open, and nothing else. */
	must_eq(fixture->store->open_files, LOGS + 1);
	host_files_allow(host, 10);
	fiber_yield(fixture->shard);
	must_eq(fixture->store->open_files, 10);
	must(logs[LOGS - 1]->segments[0]->file && !logs[0]->segments[0]->file);
	must_eq(fixture_append_records(logs[0], 1, 2).error_code, 0);
	must_eq(fixture->store->open_files, 10);
	must(logs[0]->segments[0]->file);
	host_files_allow(host, 1000);
	for (int i = 0; i < LOGS; i++)
		must_eq(fixture_append_records(logs[i], 1, 3).error_code, 0);
	must_geq(fixture->store->open_files, LOGS);
	for (int i = 0; i < LOGS; i++)
		must_eq(log_close(logs[i]), 0);
}

/* What the machine allows now is what logs keep open: all of it, and no more once it is less. */
Test(log, files_give_way_when_connections_need_them)
{
	struct fixture fixture;

	fixture_init(&fixture, files_give_way_in_turn, NULL);
	must_eq(fixture_run(world, host, &fixture), 0);
}

static void flush_ms_acts(struct fixture *fixture)
{
	struct shard *shard = fixture->shard;

	for (int i = 0; i < 3; i++) {
		int64_t before = log_recovery_point(fixture->log);

		must_eq(fixture_append_records(fixture->log, 1, 1000).error_code, 0);
		fiber_sleep(shard, 15 * NS_PER_MS);
		must_eq(fixture_append_records(fixture->log, 1, 1000).error_code, 0);
		fiber_sleep(shard, 4 * NS_PER_MS);
		must_eq(log_recovery_point(fixture->log), before);
		/* 20 ms after the first one, with 200 us at the most for an operation. */
		fiber_sleep(shard, 4 * NS_PER_MS);
		must_eq(log_recovery_point(fixture->log), log_end(fixture->log));
	}
	/* Changed, it counts for what is unsynced already. */
	fixture->config.flush_ms = 5000;
	log_config_set(fixture->log, &fixture->config);
	must_eq(fixture_append_records(fixture->log, 1, 1000).error_code, 0);
	fiber_sleep(shard, 100 * NS_PER_MS);
	must_lt(log_recovery_point(fixture->log), log_end(fixture->log));
	fixture->config.flush_ms = 110;
	log_config_set(fixture->log, &fixture->config);
	fiber_sleep(shard, 15 * NS_PER_MS);
	must_eq(log_recovery_point(fixture->log), log_end(fixture->log));
	/* Without it the background alone syncs. */
	fixture->config.flush_ms = INT64_MAX;
	log_config_set(fixture->log, &fixture->config);
	must_eq(fixture_append_records(fixture->log, 1, 1000).error_code, 0);
	fiber_sleep(shard, 5 * NS_PER_S);
	must_lt(log_recovery_point(fixture->log), log_end(fixture->log));
}

/* flush.ms holds to the millisecond, from the oldest record that is not synced. */
Test(log, what_is_unsynced_is_synced_after_flush_ms)
{
	struct fixture fixture;

	fixture_init(&fixture, flush_ms_acts, NULL);
	fixture.config.flush_ms = 20;
	must_eq(fixture_run(world, host, &fixture), 0);
}
