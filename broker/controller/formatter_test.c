/*
 * Formatting on a simulated machine: what is refused and why, and what a second run finds. What is
 * written is compared with Kafka's in controller_test.c, which starts on it. And what a power cut in the
 * middle leaves.
 */
#include "broker/controller/formatter.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/simulated/world.h"

struct ask {
	bool dynamic; /* no controller.quorum.voters */
	struct format_options options;
	int error;
	const char *why; /* how the reason begins */
};

struct run {
	const struct ask *ask;
	int error;
	char why[1024];
};

static struct config *config_make(bool dynamic)
{
	struct config_entry items[] = {
		{STR("process.roles"), STR("broker,controller")},
		{STR("node.id"), STR("1")},
		{STR("listeners"), STR("PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093")},
		{STR("controller.listener.names"), STR("CONTROLLER")},
		{STR("log.dirs"), STR("/data/a,/data/b")},
		{dynamic ? STR("controller.quorum.bootstrap.servers")
			 : STR("controller.quorum.voters"),
			dynamic ? STR("127.0.0.1:9093") : STR("1@127.0.0.1:9093")},
	};
	struct config_entries entries = {.items = items, .count = array_length(items)};
	struct config_report report;
	struct config *config;

	config_report_init(&report);
	if (config_new(&entries, 1, &report, &config) < 0)
		abort();
	config_report_done(&report);
	return config;
}

static void run_fiber(struct shard *shard, void *argument)
{
	struct run *run = argument;
	struct format_options options = run->ask->options;
	struct config *config = config_make(run->ask->dynamic);
	const char *why = NULL;
	struct arena arena;

	arena_init(&arena, 16 << 20);
	options.config = config;
	/* What the tables leave out is null, not empty. */
	if (!options.release_version.data)
		options.release_version = STR_NULL;
	if (!options.initial_controllers.data)
		options.initial_controllers = STR_NULL;
	if (!options.cluster_id.data)
		options.cluster_id = STR("4L6g3nShT-eMCtK--X86sw");
	run->error = formatter_run(shard, &options, &arena, &why);
	snprintf(run->why, sizeof(run->why), "%s", run->error < 0 && why ? why : "");
	arena_done(&arena);
	config_unref(config);
	machine_exit(shard, 0);
}

static void run_start(struct shard *shard, void *argument)
{
	if (fiber_start(shard, run_fiber, argument) < 0)
		abort();
}

static void format(struct world *world, struct host *host, struct run *run)
{
	struct program program = {.start = run_start, .argument = run};

	host_start(host, 1, &program);
	while (host_is_running(host))
		cr_assert(world_step(world));
}

#define VOTERS "1@localhost:9093:JEXY6aqfQz-4f32PT0raFA"

/* Each is wrong in one way; the words are those of Kafka's storage tool. */
Test(formatter, wrong_wishes_are_refused_in_kafkas_words)
{
	static const struct ask asks[] = {
		{true, {.cluster_id = STR("x")}, -EINVAL,
			"Because controller.quorum.voters is not set on this controller, you must"},
		{false, {.standalone = true}, -EINVAL,
			"You cannot specify controller.quorum.voters and format the node with"},
		{false, {.initial_controllers = STR(VOTERS)}, -EINVAL,
			"You cannot specify controller.quorum.voters and"},
		{false, {.release_version = STR("2.8")}, -EINVAL,
			"Unknown metadata.version '2.8'."},
		{false, {.features = {STR("no.version=1")}, .feature_count = 1}, -EINVAL,
			"Unsupported feature: no.version."},
		{false, {.features = {STR("group.version")}, .feature_count = 1}, -EINVAL,
			"Can't parse feature=level string group.version: equals sign not found."},
		{false, {.features = {STR("group.version=x")}, .feature_count = 1}, -EINVAL,
			"Can't parse feature=level string group.version=x: unable to parse level "
			"as a short."},
		{false, {.features = {STR("group.version=2")}, .feature_count = 1}, -EINVAL,
			"No feature:group.version with feature level 2"},
		{false, {.features = {STR("metadata.version=31")}, .feature_count = 1}, -EINVAL,
			"metadata.version 4.4-IV0 is not yet stable."},
		{false,
			{.features = {STR("metadata.version=30")},
				.feature_count = 1,
				.release_version = STR("4.3")},
			-EINVAL,
			"Use --release-version instead of --feature metadata.version=X to avoid "
			"ambiguity."},
		{false, {.features = {STR("kraft.version=1")}, .feature_count = 1}, -EINVAL,
			"Cannot set kraft.version to 1 unless controller.quorum.voters is empty"},
		{true,
			{.features = {STR("kraft.version=0")},
				.feature_count = 1,
				.standalone = true},
			-EINVAL,
			"Cannot set kraft.version to 0 if controller.quorum.voters is empty"},
		{false,
			{.release_version = STR("3.9"),
				.features = {STR("eligible.leader.replicas.version=1")},
				.feature_count = 1},
			-EINVAL,
			"eligible.leader.replicas.version could not be set to 1 because it depends "
			"on metadata.version level 23"},
		{false,
			{.release_version = STR("3.4"),
				.scram = {STR("SCRAM-SHA-256=[name=a,password=b]")},
				.scram_count = 1},
			-EINVAL, "SCRAM is only supported in metadata.version 3.5-IV2 or later."},
		{true, {.initial_controllers = STR("1@localhost:9093")}, -EINVAL,
			"Failed to parse directory ID in dynamic voter string"},
		{true, {.initial_controllers = STR("x@localhost:9093:JEXY6aqfQz-4f32PT0raFA")},
			-EINVAL, "Failed to parse node id"},
		{true, {.initial_controllers = STR("1@localhost:70000:JEXY6aqfQz-4f32PT0raFA")},
			-EINVAL, "Invalid port"},
		{false, {.cluster_id = STR("")}, -EINVAL, "You must specify the cluster id."},
	};

	for (size_t i = 0; i < array_length(asks); i++) {
		struct world_options options = {.seed = i + 1};
		struct world *world = world_new(&options);
		struct host *host = world_host_new(world, "node", "10.0.0.1");
		struct run run = {.ask = &asks[i]};
		void *data;
		size_t size;

		format(world, host, &run);
		cr_assert_eq(run.error, asks[i].error, "case %zu: %d %s", i, run.error, run.why);
		cr_assert_eq(strncmp(run.why, asks[i].why, strlen(asks[i].why)), 0, "case %zu: %s",
			i, run.why);
		cr_assert_neq(host_file_get(host, "/data/a/meta.properties", &data, &size), 0);
		world_free(world);
	}
}

static void expect_file(struct host *host, const char *path, bool is_there)
{
	void *data;
	size_t size;
	int error = host_file_get(host, path, &data, &size);

	cr_assert_eq(error == 0, is_there, "%s", path);
	if (error == 0)
		free(data);
}

/* The second run is refused, unless it is told to pass over what is formatted; another cluster's
 * directory never is. */
Test(formatter, what_is_formatted_stays)
{
	static const struct ask first = {false, {.release_version = STR("4.3")}};
	static const struct ask again = {false, {.ignore_formatted = true}};
	static const struct ask other = {
		false, {.ignore_formatted = true, .cluster_id = STR("another")}};
	struct world_options options = {.seed = 1};
	struct world *world = world_new(&options);
	struct host *host = world_host_new(world, "node", "10.0.0.1");
	struct run run = {.ask = &first};

	format(world, host, &run);
	cr_assert_eq(run.error, 0, "%s", run.why);
	expect_file(host, "/data/a/meta.properties", true);
	expect_file(host, "/data/b/meta.properties", true);
	expect_file(host, "/data/b/bootstrap.checkpoint", true);
	expect_file(host, "/data/a/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint",
		false);
	format(world, host, &run);
	cr_assert_eq(run.error, -EEXIST);
	cr_assert_str_eq(run.why, "Log directory /data/a is already formatted. Use "
				  "--ignore-formatted to ignore this directory "
				  "and format the others.");
	host_file_remove(host, "/data/b/meta.properties");
	run.ask = &again;
	format(world, host, &run);
	cr_assert_eq(run.error, 0);
	expect_file(host, "/data/b/meta.properties", true);
	run.ask = &other;
	format(world, host, &run);
	cr_assert_eq(run.error, -EINVAL);
	cr_assert(
		strncmp(run.why, "Invalid cluster.id in: /data/a/meta.properties. Expected another",
			60) == 0);
	world_free(world);
}

/* A quorum by itself: the voters are the first snapshot, in the metadata's directory alone. */
Test(formatter, a_dynamic_quorum_has_its_voters_in_a_snapshot)
{
	static const struct ask ask = {true, {.standalone = true}};
	struct world_options options = {.seed = 1};
	struct world *world = world_new(&options);
	struct host *host = world_host_new(world, "node", "10.0.0.1");
	struct run run = {.ask = &ask};

	format(world, host, &run);
	cr_assert_eq(run.error, 0, "%s", run.why);
	expect_file(host, "/data/a/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint",
		true);
	expect_file(host, "/data/b/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint",
		false);
	world_free(world);
}

#define BOOTSTRAP	"/data/a/bootstrap.checkpoint"
#define VOTERS_SNAPSHOT "/data/a/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint"

/* Of a file; -1 when there is none. */
static int64_t file_size(struct host *host, const char *path)
{
	void *data;
	size_t size;

	if (host_file_get(host, path, &data, &size) != 0)
		return -1;
	free(data);
	return (int64_t)size;
}

/*
 * The power goes inside the n-th change to the disk, for every n, and takes along what it can of what was not
 * synced: what has its meta.properties has everything else, and the next run ends what this one began.
 */
Test(formatter, a_power_cut_leaves_nothing_or_a_formatted_directory, .timeout = 60)
{
	static const struct ask ask = {true, {.standalone = true}};
	static const struct ask again = {true, {.standalone = true, .ignore_formatted = true}};
	int64_t bootstrap_size = -1, voters_size = -1;
	bool crashed = true;

	for (uint64_t n = 0; crashed; n++)
		for (uint64_t seed = 1; seed <= 8; seed++) {
			struct world_options options = {.seed = seed};
			struct world *world = world_new(&options);
			struct host *host = world_host_new(world, "node", "10.0.0.1");
			struct run run = {.ask = &ask, .error = -EINPROGRESS};

			host_crash_at_change(host, n, CRASH_POWER);
			format(world, host, &run);
			crashed = run.error == -EINPROGRESS;
			cr_assert(crashed || run.error == 0, "%d", run.error);
			if (n == 0) { /* none: how it should be */
				bootstrap_size = file_size(host, BOOTSTRAP);
				voters_size = file_size(host, VOTERS_SNAPSHOT);
				crashed = true;
			}
			if (file_size(host, "/data/a/meta.properties") >= 0) {
				cr_assert_gt(file_size(host, "/data/a/meta.properties"), 50);
				cr_assert_eq(file_size(host, BOOTSTRAP), bootstrap_size);
				cr_assert_eq(file_size(host, VOTERS_SNAPSHOT), voters_size);
			}
			host_crash_at_change(host, 0, CRASH_POWER);
			run.ask = &again;
			format(world, host, &run);
			cr_assert_eq(run.error, 0, "change %d: %s", (int)n, run.why);
			cr_assert_eq(file_size(host, BOOTSTRAP), bootstrap_size);
			cr_assert_eq(file_size(host, VOTERS_SNAPSHOT), voters_size);
			expect_file(host, "/data/b/meta.properties", true);
			world_free(world);
		}
}
