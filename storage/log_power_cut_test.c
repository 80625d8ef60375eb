/*
 * Power cuts wherever the order of changes of names matters: the disk is copied after each change that a log
 * makes, and of each copy the power is cut many times, with another choice of what survives of what was not
 * synced. What a log that is opened on the rest has must be what was promised when the copy was made.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/batch_records.h"
#include "runtime/hash.h"
#include "runtime/simulated/disk.h"
#include "storage/log_fixture.h"
#include "storage/log_internal.h"
#include "storage/partition_metadata.h"

enum {
	SEGMENT_SIZE = 2000,
	COPIES_MAX = 400,
	CUTS = 8,
	KEYS = 200,
	ABORTED_KEYS = 200, /* from here on */
	FEW_KEYS = 9,	    /* those of the first segments */
	SEGMENT_VERSIONS_MAX = 3,
};

struct promise {
	int64_t end;	      /* the log end is not before it */
	int64_t newest[KEYS]; /* the offset of a key's last record, -1; of compacted logs */
};

/* Hashes of a segment's files that belong together; 0 of an index that is empty or not there. */
struct segment_version {
	uint64_t data, transactions;
};

struct trial {
	/* A run that leaves what the next one finds, if there is one; the run that is watched; what opens the rest. */
	void (*prepare)(struct fixture *fixture), (*act)(struct fixture *fixture),
		(*look)(struct fixture *fixture);
	/* Before that, of a disk as it was cut. */
	void (*look_at_disk)(struct host *host, const struct promise *promise);
	bool compact;
	struct uuid topic_id;

	struct promise promise;
	int64_t recovery_point;
	struct segment_version versions[SEGMENT_VERSIONS_MAX]; /* that the first segment has had */
	uint32_t version_count;
	uint32_t copy_count;
	struct {
		struct disk *disk;
		struct promise *promise; /* when it was made */
	} copies[COPIES_MAX];
};

static void trial_fixture(struct trial *trial, void (*body)(struct fixture *), struct fixture *ret)
{
	fixture_init(ret, body, trial);
	ret->config.segment_size_bytes = SEGMENT_SIZE;
	ret->config.compact = trial->compact;
	ret->config.delete_old = !trial->compact;
	ret->config.min_cleanable_dirty_ratio = 0;
	ret->topic_id = trial->topic_id;
	ret->recovery_point = trial->recovery_point;
	ret->high_watermark = trial->promise.end;
}

static void copy_keep(struct trial *trial, const struct host *host)
{
	must_lt(trial->copy_count, COPIES_MAX);
	trial->copies[trial->copy_count].promise = malloc(sizeof(struct promise));
	*trial->copies[trial->copy_count].promise = trial->promise;
	trial->copies[trial->copy_count++].disk = host_disk_copy(host);
}

static void act(struct trial *trial)
{
	struct world *world = world_new(&(struct world_options){.seed = 3});
	struct host *host = world_host_new(world, "a", "10.0.0.1");
	struct fixture fixture;
	uint64_t changes;

	if (trial->prepare) {
		trial_fixture(trial, trial->prepare, &fixture);
		must_eq(fixture_run(world, host, &fixture), 0);
	}
	trial_fixture(trial, trial->act, &fixture);
	fixture.clean = trial->prepare != NULL;
	fixture.config.segment_size_bytes = 3 * SEGMENT_SIZE;
	fixture_start(host, &fixture);
	for (changes = host_change_count(host); host_is_running(host);) {
		must(world_step(world));
		if (host_change_count(host) != changes)
			copy_keep(trial, host);
		changes = host_change_count(host);
	}
	must_eq(host_exit_status(host), 0);
	world_free(world);
}

/* The power is cut on a copy, and every other time once more while what is left is recovered. */
static void cut(struct trial *trial, uint32_t copy, uint64_t seed)
{
	struct world *world = world_new(&(struct world_options){.seed = seed});
	struct host *host = world_host_new(world, "a", "10.0.0.1");
	struct disk *disk = disk_clone(trial->copies[copy].disk);
	struct fixture fixture;
	struct chooser chooser;

	chooser_init(&chooser, seed);
	disk_lose_power(disk, &chooser);
	host_disk_set(host, disk);
	disk_free(disk);
	trial->promise = *trial->copies[copy].promise;
	if (trial->look_at_disk)
		trial->look_at_disk(host, &trial->promise);
	trial_fixture(trial, trial->look, &fixture);
	if (seed % 2) {
		host_crash_at_change(host, 1 + seed / 2 % 19, CRASH_POWER);
		fixture_run(world, host, &fixture);
		host_crash_at_change(host, 0, CRASH_POWER);
	}
	must_eq(fixture_run(world, host, &fixture), 0, "copy %u of %u, seed %lu: open %d", copy,
		trial->copy_count, (unsigned long)seed, fixture.open_error);
	world_free(world);
}

static void trial_run(struct trial *trial)
{
	act(trial);
	must_gt(trial->copy_count, 5);
	for (uint32_t i = 0; i < trial->copy_count; i++)
		for (uint64_t j = 0; j < CUTS; j++)
			cut(trial, i, 1 + i * CUTS + j);
	for (uint32_t i = 0; i < trial->copy_count; i++) {
		disk_free(trial->copies[i].disk);
		free(trial->copies[i].promise);
	}
}

struct reading {
	int64_t end;   /* behind what was read */
	bool is_whole; /* nothing is missing between the first and the last */
	int64_t newest[KEYS];
};

/* Keys are timestamps (fixture_batch_new). */
static void batch_look(const struct batch_header *header, const uint8_t *data, void *argument)
{
	struct reading *reading = argument;
	struct batch_records records;
	struct record record;
	int found;

	must_geq(header->base_offset, reading->end);
	if (reading->end > 0 && header->base_offset > reading->end)
		reading->is_whole = false;
	reading->end = header->last_offset + 1;
	must_eq(batch_records_begin(&records, NULL, data, header, BATCH_RECORDS_WHOLE, 1 << 20), 0);
	while ((found = batch_records_next(&records, &record)) > 0)
		if (record.timestamp < KEYS)
			reading->newest[record.timestamp] = record.offset;
	must_eq(found, 0);
	batch_records_end(&records);
}

static struct reading end_look(struct fixture *fixture)
{
	const struct trial *trial = fixture->argument;
	struct reading reading = {.is_whole = true};

	memset(reading.newest, -1, sizeof(reading.newest));
	must_geq(log_end(fixture->log), trial->promise.end);
	must_geq(fixture_read_all(fixture->log, log_start(fixture->log), batch_look, &reading), 0);
	return reading;
}

static void whole_look(struct fixture *fixture)
{
	struct reading reading = end_look(fixture);

	must(reading.is_whole);
}

/* ---- a new log ---- */

static const struct uuid owner = {{1, 2, 3}};

static void new_log(struct fixture *fixture)
{
	struct trial *trial = fixture->argument;

	for (int i = 0; i < 3; i++) {
		must_eq(fixture_append_records(fixture->log, 5, 1).error_code, 0);
		must_eq(fixture_sync(fixture->log), 0);
		trial->promise.end = log_end(fixture->log);
	}
}

/* Records say whose they are. */
static void owner_look(struct host *host, const struct promise *promise)
{
	struct uuid found = UUID_ZERO;
	void *text;
	size_t size;

	if (promise->end == 0)
		return;
	must_eq(host_file_get(host, "data/topic-0/partition.metadata", &text, &size), 0);
	must_eq(partition_metadata_parse((struct str){text, (int32_t)size}, &found), 0);
	must(uuid_equal(&found, &owner));
	free(text);
}

Test(log_power_cut, what_was_synced_in_a_new_log_is_there_and_says_whose_it_is)
{
	struct trial trial = {
		.act = new_log, .look = whole_look, .look_at_disk = owner_look, .topic_id = owner};

	trial_run(&trial);
}

/* ---- segments that are deleted ---- */

static void segments_fill(struct fixture *fixture)
{
	struct trial *trial = fixture->argument;

	while (log_segment_count(fixture->log) < 5)
		must_eq(fixture_append_records(fixture->log, 5, 1).error_code, 0);
	trial->promise.end = log_end(fixture->log);
}

static void segments_delete(struct fixture *fixture)
{
	log_high_watermark_set(fixture->log, log_end(fixture->log));
	must_eq(log_start_advance(fixture->log, log_end(fixture->log)), 0);
	must_eq(log_retain(fixture->log), 0);
	fiber_sleep(fixture->shard, 2 * NS_PER_S);
}

/* Recovery is told of no start and no recovery point, as of a log that was just made. */
Test(log_power_cut, segments_that_are_deleted_leave_no_gap)
{
	struct trial trial = {.prepare = segments_fill, .act = segments_delete, .look = whole_look};

	trial_run(&trial);
}

/* ---- compaction ---- */

static void keys_append(struct fixture *fixture, int count, int first_key)
{
	struct trial *trial = fixture->argument;
	struct fixture_answer answer = fixture_append_records(fixture->log, count, first_key);

	must_eq(answer.error_code, 0);
	for (int i = 0; i < count; i++)
		trial->promise.newest[first_key + i] = answer.base_offset + i;
	trial->promise.end = answer.last_offset + 1;
}

static uint64_t file_hash(struct shard *shard, const char *path)
{
	uint64_t hash;
	char *data;
	size_t size;

	if (fiber_read_whole(shard, path, 1 << 20, &data, &size) < 0)
		return 0;
	hash = size > 0 ? hash_bytes(data, size, 1) : 0;
	free(data);
	return hash;
}

static struct segment_version version_read(struct shard *shard)
{
	return (struct segment_version){
		.data = file_hash(shard, "data/topic-0/00000000000000000000.log"),
		.transactions = file_hash(shard, "data/topic-0/00000000000000000000.txnindex")};
}

static void version_note(struct fixture *fixture)
{
	struct trial *trial = fixture->argument;

	must_lt(trial->version_count, SEGMENT_VERSIONS_MAX);
	trial->versions[trial->version_count++] = version_read(fixture->shard);
}

/* Of each segment a part is superseded by later ones; the first has an aborted transaction, too. */
static void keys_fill(struct fixture *fixture)
{
	struct trial *trial = fixture->argument;
	const struct fixture_batch aborted = {
		.count = 2, .from_ms = ABORTED_KEYS, .producer_id = 7, .transactional = true};
	uint32_t size;
	uint8_t *marker = fixture_marker_new(7, 0, true, &size);

	memset(trial->promise.newest, -1, sizeof(trial->promise.newest));
	must_eq(fixture_append(fixture->log, &aborted).error_code, 0);
	must_eq(fixture_append_bytes(fixture->log, APPEND_COORDINATOR, marker, size, true)
			.error_code,
		0);
	for (int i = 0; log_segment_count(fixture->log) < 9; i++) {
		keys_append(fixture, 5, 1);
		if (i % 3 == 0)
			keys_append(fixture, 1, 100 + i);
	}
	trial->recovery_point = trial->promise.end;
}

static void compact(struct fixture *fixture, uint64_t keys, struct log_cleaning *ret)
{
	struct log_clean ask = {.now_ms = shard_wall_ms(fixture->shard),
		.map_bytes = keys * 24,
		.io_buffer_bytes = 2 * 4096,
		.load_factor = 0.9,
		.bytes_per_second = 1e18,
		.compress = compress_context_new()};

	must_eq(log_checkpoint(fixture->log), 0); /* of indexes that were made anew */
	must_eq(log_cleanable(fixture->log, &ask.range), 0);
	must_eq(log_clean(fixture->log, &ask, ret), 0);
	compress_context_free(ask.compress);
}

/* The second begins where the first has ended, before anything else is synced. */
static void compact_twice(struct fixture *fixture)
{
	struct trial *trial = fixture->argument;
	struct log_cleaning cleaning;

	log_high_watermark_set(fixture->log, log_end(fixture->log));
	version_note(fixture);
	for (int i = 0; i < 2; i++) {
		compact(fixture, FEW_KEYS, &cleaning);
		must_lt(cleaning.to_offset, trial->promise.end / 2 * (i + 1));
		version_note(fixture);
		/* The first makes one segment of three, the second one of each. */
		fixture->log->config.segment_size_bytes = 1;
	}
	/* So that it can be told when the index of one is found beside the other. */
	must(trial->versions[1].transactions != 0 && trial->versions[2].transactions == 0);
}

static void newest_check(const struct trial *trial, const struct reading *reading)
{
	for (int key = 0; key < KEYS; key++)
		must_eq(reading->newest[key], trial->promise.newest[key], "key %d: %ld, not %ld",
			key, reading->newest[key], trial->promise.newest[key]);
}

static void newest_look(struct fixture *fixture)
{
	const struct trial *trial = fixture->argument;
	struct segment_version found = version_read(fixture->shard);
	struct reading reading = end_look(fixture);
	struct log_cleaning cleaning;
	bool is_known = false;

	newest_check(trial, &reading);
	/* An index may be lost and made anew: of an aborted transaction whose records are gone it says nothing. */
	for (uint32_t i = 0; i < trial->version_count; i++)
		is_known = is_known ||
			   (found.data == trial->versions[i].data &&
				   (found.transactions == 0 ||
					   found.transactions == trial->versions[i].transactions));
	must(is_known, "files of two versions of a segment are found together");
	/* Which finds segments that overlap. */
	compact(fixture, KEYS, &cleaning);
	reading = end_look(fixture);
	newest_check(trial, &reading);
}

Test(log_power_cut, a_compaction_loses_no_newest_record)
{
	struct trial trial = {
		.prepare = keys_fill, .act = compact_twice, .look = newest_look, .compact = true};

	trial_run(&trial);
}
