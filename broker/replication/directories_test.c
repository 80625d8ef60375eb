/*
 * Opening a partition's log in a directory of a simulated disk, which refuses an operation, and then
 * loses what was not synced.
 */
#include "broker/replication/directories.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "storage/log_fixture.h"
#include "storage/meta_properties.h"

enum { SEEDS = 20, RECORDS = 5, NONE_REFUSED = -1 };

static const struct uuid topic_id = {{7, 7}};
static struct world *world;
static struct host *host;

static void put_meta(void)
{
	static const struct uuid directory_id = {{1, 1}};
	struct meta_properties properties = {.version = 1,
		.cluster_id = STR("cluster"),
		.node_id = 1,
		.directory_id = directory_id};
	struct arena arena;

	arena_init(&arena, 1 << 16);
	struct str text = meta_properties_format(&arena, &properties, 0);
	must_eq(host_file_put(host, "d1/meta.properties", text.data, (size_t)text.size), 0);
	arena_done(&arena);
}

/* What the broker has of one partition: enough to open its log. */
struct place {
	struct broker broker;
	struct broker_shard shard;
	struct partition partition;
	struct log *log;
};

static void place_init(struct place *place, struct fixture *fixture)
{
	struct log_dirs_options options = {
		.paths = &STR("d1"), .count = 1, .metadata_path = STR("d1"), .node_id = 1};
	const char *why = NULL;
	struct arena arena;

	memset(place, 0, sizeof(*place));
	place->shard = (struct broker_shard){
		.shard = fixture->shard, .broker = &place->broker, .log_store = fixture->store};
	place->partition = (struct partition){.key = partition_key(&topic_id, 0),
		.folder = STR("new-0"),
		.topic = STR("new"),
		.directory_id = UUID_DIRECTORY_UNASSIGNED,
		.log_config = fixture->config};
	arena_init(&arena, 1 << 16);
	must_eq(log_dirs_open(fixture->shard, &options, &arena, &place->broker.log_dirs, &why), 0,
		"%s", why);
	arena_done(&arena);
}

static int place_open(struct place *place)
{
	struct log_recovery recovery;

	return directories_partition_open(&place->shard, &place->partition, &place->log, &recovery);
}

/* The N-th operation of the first attempt is refused; the second one gets a log, whose first records are
 * acknowledged as being on the disk. ARGUMENT: n, which is then NONE_REFUSED when there are no more. */
static void is_made_at_the_second_attempt(struct fixture *fixture)
{
	int *n = fixture->argument;
	struct place place;

	place_init(&place, fixture);
	host_fail_operation(host, (uint64_t)*n, ENOSPC);
	int error = place_open(&place);
	host_fail_operation(host, 0, 0);
	if (error == 0)
		*n = NONE_REFUSED;
	else
		must_eq(place_open(&place), 0, "after %d", error);
	must_eq(fixture_append_records(place.log, RECORDS, 1).error_code, 0);
}

static void has_its_records(struct fixture *fixture)
{
	struct place place;

	place_init(&place, fixture);
	must_eq(place_open(&place), 0);
	must_eq(log_end(place.log), RECORDS);
}

static void run(void (*body)(struct fixture *fixture), int *argument)
{
	struct fixture fixture;

	fixture_init(&fixture, body, argument);
	fixture.config.flush_messages = 1;
	fixture.closes = false;
	must_eq(fixture_run(world, host, &fixture), 0);
}

/* Whatever a failed attempt left of a new log, it is on the disk before an append is answered. */
Test(directories, a_log_that_was_half_made_is_synced_before_it_acknowledges)
{
	int most = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		for (int n = 1, refused = 0; refused != NONE_REFUSED; n++) {
			refused = n;
			world = world_new(
				&(struct world_options){.seed = seed, .disk_delay_max_ns = 200000});
			host = world_host_new(world, "a", "10.0.0.1");
			put_meta();
			run(is_made_at_the_second_attempt, &refused);
			host_crash(host, CRASH_POWER);
			run(has_its_records, NULL);
			world_free(world);
			most = max_of(most, refused);
		}
	}
	cr_assert_gt(most, 3, "only %d operations could be refused", most);
}
