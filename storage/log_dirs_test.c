#include "storage/log_dirs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/disk_reserve.h"
#include "storage/log_fixture.h"
#include "storage/meta_properties.h"

/* Directories d1 and d2 with the ids 1… and 2…, inside the simulated machine. */

static struct world *world;
static struct host *host;

static const struct uuid first_id = {{1, 1}}, second_id = {{2, 2}}, topic_a = {{7, 7}},
			 topic_b = {{8, 8}};

static void put(const char *path, const char *text)
{
	must_eq(host_file_put(host, path, text, strlen(text)), 0);
}

static void put_meta(const char *folder, const struct uuid *id)
{
	struct meta_properties properties = {
		.version = 1, .cluster_id = STR("cluster"), .node_id = 1, .directory_id = *id};
	char path[100];
	struct arena arena;

	arena_init(&arena, 1 << 16);
	struct str text = meta_properties_format(&arena, &properties, 0);
	snprintf(path, sizeof(path), "%s/meta.properties", folder);
	must_eq(host_file_put(host, path, text.data, (size_t)text.size), 0);
	arena_done(&arena);
}

/* A partition's folder in one of them, of TOPIC_ID. */
static void put_partition(const char *folder, const struct uuid *topic_id)
{
	char path[200], text[UUID_TEXT_SIZE + 100], id[UUID_TEXT_SIZE + 1];

	uuid_format(topic_id, id);
	snprintf(path, sizeof(path), "%s/partition.metadata", folder);
	snprintf(text, sizeof(text), "version: 0\ntopic_id: %s", id);
	put(path, text);
}

static void world_begin(void)
{
	world = world_new(&(struct world_options){.seed = 7, .disk_delay_max_ns = 200000});
	host = world_host_new(world, "a", "10.0.0.1");
	put_meta("d1", &first_id);
	put_meta("d2", &second_id);
}

static void world_end(void)
{
	world_free(world);
}

TestSuite(log_dirs, .init = world_begin, .fini = world_end);

/* ---- what the tests ask ---- */

static const struct str both[] = {STR("d1"), STR("d2")};

static int dirs_open(struct fixture *fixture, struct log_dirs **ret, char why[200])
{
	struct log_dirs_options options = {
		.paths = both, .count = 2, .metadata_path = STR("d1"), .node_id = 1};
	const char *text = NULL;
	struct arena arena;

	arena_init(&arena, 1 << 16);
	int error = log_dirs_open(fixture->shard, &options, &arena, ret, &text);
	snprintf(why, 200, "%s", text ? text : "");
	arena_done(&arena);
	return error;
}

static void run(void (*body)(struct fixture *fixture))
{
	struct fixture fixture;

	fixture_init(&fixture, body, NULL);
	must_eq(fixture_run(world, host, &fixture), 0, "open %d", fixture.open_error);
}

static bool exists(const char *path)
{
	void *data;
	size_t size;
	int error = host_file_get(host, path, &data, &size);

	if (error == 0)
		free(data);
	return error == 0;
}

static void note_failed(void *argument, const char *folder, int error)
{
	snprintf(argument, 100, "%s %d", folder, error);
}

/* ---- placing ---- */

static void places(struct fixture *fixture)
{
	struct log_dirs *dirs;
	char why[200];

	must_eq(dirs_open(fixture, &dirs, why), 0, "%s", why);
	struct log_dir *d1 = log_dirs_at(dirs, 0), *d2 = log_dirs_at(dirs, 1);
	const struct uuid unknown = {{9}};

	/* The fewest, and the first of equals. d1 has one of the start. */
	must_eq(log_dirs_place(dirs, &UUID_DIRECTORY_UNASSIGNED), d2);
	must_eq(log_dirs_place(dirs, &UUID_DIRECTORY_UNASSIGNED), d1);
	must_eq(log_dirs_place(dirs, &UUID_DIRECTORY_UNASSIGNED), d2);
	/* The metadata's word counts, and a directory of old is none. */
	must_eq(log_dirs_place(dirs, &first_id), d1);
	must_eq(log_dirs_place(dirs, &unknown), d2);
	log_dirs_leave(d1);
	log_dirs_leave(d1);
	must_eq(log_dirs_place(dirs, &UUID_DIRECTORY_LOST), d1);
	/* Cordons hold for what is placed nowhere yet; alone, a directory takes everything. */
	log_dir_cordon(d1, true);
	for (int i = 0; i < 5; i++)
		must_eq(log_dirs_place(dirs, &UUID_DIRECTORY_UNASSIGNED), d2);
	must_eq(log_dirs_place(dirs, &first_id), d1);
	log_dir_cordon(d2, true);
	must_eq(log_dirs_place(dirs, &UUID_DIRECTORY_UNASSIGNED), NULL);
	must(log_dir_fail(d2, -EIO));
	must_not(log_dir_fail(d2, -EIO));
	must_eq(log_dirs_place(dirs, &UUID_DIRECTORY_UNASSIGNED), d1);
	/* It may lie in the one that is offline. */
	must_eq(log_dirs_place(dirs, &second_id), NULL);
	must_eq(log_dirs_place(dirs, &unknown), NULL);
	must_eq(log_dirs_place(dirs, &UUID_DIRECTORY_MIGRATING), NULL);
	must_eq(log_dirs_place(dirs, &first_id), d1);
	log_dirs_free(dirs);
}

/* New partitions are counted and spread; a known directory is kept, a lost one guessed at only
 * while all are online. */
Test(log_dirs, new_partitions_go_to_the_directory_with_the_fewest)
{
	put_partition("d1/a-0", &topic_a);
	run(places);
}

/* ---- the start ---- */

static void one_fails(struct fixture *fixture)
{
	int refused = 0, offline = 0;
	struct log_dirs *dirs;
	char why[200];

	for (uint64_t n = 1;; n++) {
		uint64_t before = host_operation_count(host);
		host_fail_operation(host, n, EIO);
		int error = dirs_open(fixture, &dirs, why);
		host_fail_operation(host, 0, 0);
		if (error < 0) {
			must_eq(error, -EIO);
			must(strstr(why, "d1"), "%s", why);
			refused++;
			continue;
		}
		must(log_dir_is_online(log_dirs_at(dirs, 0)));
		if (log_dir_is_online(log_dirs_at(dirs, 1))) {
			must_lt(host_operation_count(host) - before, n);
			break;
		}
		offline++;
		must_eq(log_dirs_previous_broker_epoch(dirs), -1);
		must_eq(log_dirs_mark_clean(fixture->shard, dirs, 5), 0);
		log_dirs_free(dirs);
	}
	/* What the last stop says: d1 was closed cleanly, d2 was not there. */
	must(log_dirs_at(dirs, 0)->clean);
	must_not(log_dirs_at(dirs, 1)->clean);
	must_eq(log_dirs_previous_broker_epoch(dirs), -1);
	log_dirs_free(dirs);
	must_gt(refused, 3);
	must_gt(offline, 3);
}

/* Every operation of the start fails once: the metadata's directory refuses the start, the other
 * one is offline and gets no clean mark. */
Test(log_dirs, a_directory_that_fails_at_the_start_is_offline)
{
	run(one_fails);
	must(exists("d1/cleaner-offset-checkpoint"));
}

static void is_refused(struct fixture *fixture)
{
	struct log_dirs *dirs;
	char why[200];

	must_eq(dirs_open(fixture, &dirs, why), -EINVAL);
	must(strstr(why, "d1/a-0 and d2/a-0"), "%s", why);
}

/* The same replica twice: nobody can say which one counts. */
Test(log_dirs, one_replica_in_two_directories_refuses_the_start)
{
	put_partition("d1/a-0", &topic_a);
	put_partition("d2/a-0", &topic_a);
	run(is_refused);
}

static void stray_is_set_aside(struct fixture *fixture)
{
	const struct log_dir_entry *taken;
	struct log_dirs *dirs;
	char why[200];

	must_eq(dirs_open(fixture, &dirs, why), 0, "%s", why);
	must_eq(log_dirs_entry_count(dirs), 2);
	struct log_dir_entry *old = log_dirs_entry_at(dirs, 0);
	must(uuid_equal(&old->topic_id, &topic_a));
	must_eq(log_dirs_set_aside(fixture->shard, dirs, old), 0);
	taken = log_dirs_take(dirs, STR("a"), 0);
	must(taken && uuid_equal(&taken->topic_id, &topic_b));
	must_eq(taken->dir, 1);
	/* Its checkpoint is that of its directory. */
	must_eq(taken->recovery_point, 22);
	must_eq(taken->clean_end, 9);
	/* Once: a topic made later in its name has nothing from the start. */
	must_eq(log_dirs_take(dirs, STR("a"), 0), NULL);
	log_dirs_free(dirs);
}

/* A topic was made again while a directory was offline: that directory's folder is of the old one. */
Test(log_dirs, folders_of_one_name_are_told_apart_by_their_topic)
{
	put_partition("d1/a-0", &topic_a);
	put_partition("d2/a-0", &topic_b);
	put("d1/recovery-point-offset-checkpoint", "0\n1\na 0 11\n");
	put("d2/recovery-point-offset-checkpoint", "0\n1\na 0 22\n");
	put("d1/cleaner-offset-checkpoint", "0\n1\na 0 7\n");
	put("d2/cleaner-offset-checkpoint", "0\n1\na 0 9\n");
	run(stray_is_set_aside);
	must_not(exists("d1/a-0/partition.metadata"));
	must(exists("d2/a-0/partition.metadata"));
}

static void future_is_promoted(struct fixture *fixture)
{
	struct log_dir_entry *future = NULL;
	struct log_dirs *dirs;
	char why[200];

	must_eq(dirs_open(fixture, &dirs, why), 0, "%s", why);
	for (uint32_t i = 0; i < log_dirs_entry_count(dirs); i++)
		if (log_dirs_entry_at(dirs, i)->is_future)
			future = log_dirs_entry_at(dirs, i);
	must(future);
	must(log_dirs_current(dirs, STR("a"), 0) != future);
	must_eq(log_dirs_promote(fixture->shard, dirs, future), 0);
	must_eq(log_dirs_current(dirs, STR("a"), 0), future);
	log_dirs_free(dirs);
}

/* Of a replica that moves both folders are there; the promoted one takes the place. */
Test(log_dirs, a_future_folder_takes_the_place_of_the_current_one)
{
	put_partition("d1/a-0", &topic_a);
	put_partition("d2/a-0.0123456789abcdef0123456789abcdef-future", &topic_a);
	run(future_is_promoted);
	must_not(exists("d1/a-0/partition.metadata"));
	must(exists("d2/a-0/partition.metadata"));
}

static void gets_an_id(struct fixture *fixture)
{
	struct log_dirs *dirs;
	char why[200];

	must_eq(dirs_open(fixture, &dirs, why), 0, "%s", why);
	struct uuid id = log_dirs_at(dirs, 1)->id;
	must_not(uuid_is_zero(&id));
	log_dirs_free(dirs);
	must_eq(dirs_open(fixture, &dirs, why), 0, "%s", why);
	must(uuid_equal(&id, &log_dirs_at(dirs, 1)->id));
	log_dirs_free(dirs);
}

/* A directory of before directories had ids is named once. */
Test(log_dirs, a_directory_without_an_id_gets_one)
{
	put_meta("d2", &UUID_ZERO);
	run(gets_an_id);
}

static void empty_goes(struct fixture *fixture)
{
	struct log_dirs *dirs;
	char why[200];

	must_eq(fiber_make_folder(fixture->shard, "d1/a-0"), 0);
	must_eq(fiber_make_folder(fixture->shard, "d1/b-0"), 0);
	must_eq(fiber_replace(fixture->shard, "d1/b-0/00000000000000000000.log", "x", 1), 0);
	must_eq(fiber_make_folder(fixture->shard, "d1/c-0"), 0);
	must_eq(fiber_replace(fixture->shard, "d1/c-0/00000000000000000000.log", "", 0), 0);
	must_eq(fiber_replace(fixture->shard, "d1/c-0/00000000000000000000.index", "\0", 1), 0);
	must_eq(fiber_replace(fixture->shard, "d1/c-0/partition.metadata", "vers", 4), 0);
	must_eq(dirs_open(fixture, &dirs, why), 0, "%s", why);
	must_eq(log_dirs_set_aside(fixture->shard, dirs, log_dirs_current(dirs, STR("a"), 0)), 1);
	must_eq(log_dirs_set_aside(fixture->shard, dirs, log_dirs_current(dirs, STR("b"), 0)), 0);
	must_eq(log_dirs_set_aside(fixture->shard, dirs, log_dirs_current(dirs, STR("c"), 0)), 1);
	must_eq(log_dirs_current(dirs, STR("a"), 0), NULL);
	must_eq(fiber_remove_folder(fixture->shard, "d1/c-0"), -ENOENT);
	must_eq(fiber_remove_folder(fixture->shard, "d1/a-0"), -ENOENT);
	log_dirs_free(dirs);
}

/* What a crash leaves of a folder that was just made needs no operator. */
Test(log_dirs, a_folder_without_records_is_removed_where_others_are_set_aside)
{
	run(empty_goes);
}

/* ---- checkpoints ---- */

static void checkpoint_fails(struct fixture *fixture)
{
	struct log_row rows[] = {{.topic = STR("a"), .partition = 0, .dir = 0},
		{.topic = STR("b"), .partition = 0, .dir = 1}};
	struct log_dirs *dirs;
	char why[200], failed[100] = "";

	must_eq(dirs_open(fixture, &dirs, why), 0, "%s", why);
	host_fail_operation(host, 1, EIO);
	must_eq(log_dirs_write_checkpoints(fixture->shard, dirs, rows, 2, note_failed, failed),
		-EIO);
	must_eq(strcmp(failed, "d1 -5"), 0, "%s", failed);
	log_dirs_free(dirs);
}

/* The owner is told which disk refused; the other directories get theirs. */
Test(log_dirs, a_checkpoint_that_fails_names_its_directory)
{
	run(checkpoint_fails);
	must(exists("d2/recovery-point-offset-checkpoint"));
	must_not(exists("d1/recovery-point-offset-checkpoint"));
}

static int rows_write(struct fixture *fixture, struct log_dirs *dirs, const struct log_row *rows)
{
	char failed[100];

	return log_dirs_write_checkpoints(fixture->shard, dirs, rows, 2, note_failed, failed);
}

static bool file_says(const char *path, const char *text)
{
	bool says;
	void *data;
	size_t size;

	must_eq(host_file_get(host, path, &data, &size), 0);
	says = size == strlen(text) && memcmp(data, text, size) == 0;
	free(data);
	return says;
}

static uint64_t operations_of_write(
	struct fixture *fixture, struct log_dirs *dirs, const struct log_row *rows)
{
	uint64_t before = host_operation_count(host);

	must_eq(rows_write(fixture, dirs, rows), 0);
	return host_operation_count(host) - before;
}

static void checkpoints_repeat(struct fixture *fixture)
{
	struct log_row rows[] = {{.topic = STR("a"), .partition = 0, .dir = 0},
		{.topic = STR("b"), .partition = 0, .dir = 1}};
	uint64_t one_file;
	struct log_dirs *dirs;
	char why[200];

	must_eq(dirs_open(fixture, &dirs, why), 0, "%s", why);
	one_file = operations_of_write(fixture, dirs, rows) / 8;
	must_eq(operations_of_write(fixture, dirs, rows), 2 * one_file);
	rows[1].high_watermark = 5;
	must_eq(operations_of_write(fixture, dirs, rows), 2 * one_file);
	must(file_says("d2/replication-offset-checkpoint", "0\n1\nb 0 5\n"));
	rows[1].recovery_point = 5;
	must_eq(operations_of_write(fixture, dirs, rows), 3 * one_file);
	must(file_says("d2/recovery-point-offset-checkpoint", "0\n1\nb 0 5\n"));
	/* Each operation of a write may fail: what the file says then is not known, and what it said before is
	 * written again. */
	for (uint64_t n = 1; n <= one_file; n++) {
		rows[0].recovery_point = 7;
		host_fail_operation(host, n, ENOSPC);
		rows_write(fixture, dirs, rows);
		host_fail_operation(host, 0, 0);
		rows[0].recovery_point = 0;
		must_eq(rows_write(fixture, dirs, rows), 0);
		must(file_says("d1/recovery-point-offset-checkpoint", "0\n1\na 0 0\n"),
			"operation %lu", (unsigned long)n);
	}
	log_dirs_free(dirs);
}

/* The disk's operations are counted. */
Test(log_dirs, a_checkpoint_that_says_the_same_is_not_written)
{
	run(checkpoints_repeat);
}

static void disk_goes(struct fixture *fixture)
{
	struct log_row rows[] = {{.topic = STR("a"), .partition = 0, .dir = 0},
		{.topic = STR("b"), .partition = 0, .dir = 1}};
	struct log_dirs *dirs;
	char why[200], failed[100] = "";

	must_eq(dirs_open(fixture, &dirs, why), 0, "%s", why);
	must_eq(rows_write(fixture, dirs, rows), 0);
	must_eq(fiber_rename(fixture->shard, "d2", "away"), 0);
	must_lt(log_dirs_write_checkpoints(fixture->shard, dirs, rows, 2, note_failed, failed), 0);
	must_eq(strncmp(failed, "d2 ", 3), 0, "%s", failed);
	log_dirs_free(dirs);
}

Test(log_dirs, a_disk_that_has_gone_is_found_without_news)
{
	run(disk_goes);
}

/* ---- the reserve ---- */

/* Takes all the room there is, in a file of its own. */
static void fill_disk(struct fixture *fixture, int number)
{
	uint64_t size = 0;
	struct file *file;
	char path[100];

	snprintf(path, sizeof(path), "fill-%d", number);
	must_eq(fiber_open(fixture->shard, path, FILE_WRITE | FILE_CREATE, &file), 0);
	for (uint64_t more = 32 << 20; more >= 4096; more /= 2)
		if (fiber_allocate(fixture->shard, file, size + more) == 0)
			size += more;
	file_unref(file);
}

static void starts_on_a_full_disk(struct fixture *fixture)
{
	enum { START_BYTES = 48 << 10, STARTS_MAX = 100 };
	char *bytes = calloc(1, START_BYTES), path[100];
	int starts = 0;

	must(bytes);
	must_eq(disk_reserve_make(fixture->shard, "d1", true), 0);
	fill_disk(fixture, 0);
	must_eq(fiber_replace(fixture->shard, "d1/nothing", bytes, START_BYTES), -ENOSPC);
	for (; starts < STARTS_MAX; starts++) {
		disk_reserve_release_if_short(fixture->shard, "d1");
		snprintf(path, sizeof(path), "d1/start-%d", starts);
		if (fiber_replace(fixture->shard, path, bytes, START_BYTES) < 0)
			break;
		disk_reserve_make(fixture->shard, "d1", true);
		fill_disk(fixture, starts + 1);
	}
	must(starts >= 10 && starts < STARTS_MAX, "%d", starts);
	/* Nothing is held back where that would take the last room while the broker serves. */
	must_eq(disk_reserve_make(fixture->shard, "d1", false), -ENOSPC);
	free(bytes);
}

/* Others take what a start leaves, each time. */
Test(log_dirs, the_reserve_lasts_for_ten_starts_on_a_full_disk)
{
	host_disk_capacity_set(host, 32 << 20);
	run(starts_on_a_full_disk);
}
