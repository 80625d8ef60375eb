/*
 * The controller on a simulated machine: a directory is formatted, started, used, stopped and
 * started again, crashed at every operation of the disk; what the log holds is compared with what
 * Apache Kafka 4.3.1 wrote in the same situation.
 */
#include "broker/controller/controller.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/controller/batch_file.h"
#include "broker/controller/formatter.h"
#include "broker/controller/snapshot.h"
#include "broker/observe/log.h"
#include "runtime/simulated/world.h"
#include "runtime/uuid.h"
#include "storage/log.h"

/* Criterion's assertions jump off the stack, which a fiber's step must not: these end the test's
 * process. */
#define must(condition)                                                                         \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)

enum { TOPICS_MAX = 64 };

/* What a test knows beyond the process. */
struct node {
	const char *const (*settings)[2];
	int setting_count;
	bool standalone;
	bool formatted;
	bool opens_at_once; /* after formatting */
	bool disk_fails;	/* errors are expected */
	int64_t previous_epoch; /* of the last clean stop; -1 */
	bool stops;		/* cleanly, after the body */
	void (*body)(struct node *node);
	struct str release_version;

	/* Of the run. */
	struct shard *shard;
	struct config *config; /* the process's own: it goes with its memory */
	struct controller *controller;
	struct logger logger;
	struct arena arena;
	int failures, published;
	int64_t published_offset;
	int open_error;
	char why[512];
	bool acknowledged[TOPICS_MAX]; /* topics whose creation was answered */
	int created;
};

static void sink(void *context, enum log_level level, const char *line, size_t size)
{
	if (getenv("CONTROLLER_TEST_LOG"))
		fwrite(line, 1, size, stderr);
}

static int64_t test_clock(void *context)
{
	return 0;
}

static struct config *config_with(const char *const (*settings)[2], int count)
{
	struct config_entry items[32] = {
		{STR("process.roles"), STR("broker,controller")},
		{STR("node.id"), STR("1")},
		{STR("listeners"), STR("PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093")},
		{STR("controller.listener.names"), STR("CONTROLLER")},
		{STR("listener.security.protocol.map"),
			STR("CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT")},
		{STR("log.dirs"), STR("/data")},
	};
	struct config_entries entries = {.items = items, .count = 6};
	struct config_report report;
	struct config *config;

	for (int i = 0; i < count; i++)
		items[entries.count++] =
			(struct config_entry){str_from(settings[i][0]), str_from(settings[i][1])};
	config_report_init(&report);
	must(config_new(&entries, 1, &report, &config) == 0);
	config_report_done(&report);
	return config;
}

static void published(void *argument, struct image *image)
{
	struct node *node = argument;

	must(image_version(image) > node->published_offset);
	node->published_offset = image_version(image);
	node->published++;
}

static void failed(void *argument, int error)
{
	((struct node *)argument)->failures++;
}

static struct uuid directory_of(struct shard *shard)
{
	char *data, id[UUID_TEXT_SIZE + 1] = "";
	struct uuid directory;
	size_t size;

	while (fiber_read_whole(shard, "/data/meta.properties", 65536, &data, &size) < 0)
		; /* the test's own read may be the one that fails */
	memcpy(id, strstr(data, "directory.id=") + 13, UUID_TEXT_SIZE);
	free(data);
	must(uuid_parse(str_from(id), &directory) == 0);
	return directory;
}

static int open_node(struct node *node, struct log_store *store)
{
	struct uuid directory_id = directory_of(node->shard);
	struct controller_directory directory = {
		.id = directory_id, .is_online = true};
	struct controller_open ask = {
		.folder = "/data",
		.directory_id = directory_id,
		.cluster_id = STR("4L6g3nShT-eMCtK--X86sw"),
		.node_id = 1,
		.incarnation_id = uuid_random(node->shard),
		.config = node->config,
		.store = store,
		.logger = &node->logger,
		.clean = node->previous_epoch >= 0,
		.published = published,
		.failed = failed,
		.argument = node,
	};
	struct controller_registration registration = {.rack = STR_NULL,
		.directories = &directory,
		.directory_count = 1,
		.previous_broker_epoch = node->previous_epoch};
	const char *why = NULL;
	int64_t epoch;
	int error = controller_open(node->shard, &ask, &node->arena, &node->controller, &why);

	snprintf(node->why, sizeof(node->why), "%s", why ? why : "");
	if (error < 0)
		return error;
	node->previous_epoch = -1;
	registration.listeners = config_advertised(node->config, &registration.listener_count);
	return controller_register(node->controller, &registration, &epoch);
}

static void node_fiber(struct shard *shard, void *argument)
{
	struct node *node = argument;
	struct log_store_options store_options = {0};
	struct log_store *store;

	node->shard = shard;
	node->controller = NULL;
	node->config = config_with(node->settings, node->setting_count);
	node->published_offset = -1;
	arena_init(&node->arena, 64 << 20);
	logger_init(&node->logger, sink, NULL, test_clock, NULL);
	if (!node->formatted) {
		struct format_options options = {.config = node->config,
			.cluster_id = STR("4L6g3nShT-eMCtK--X86sw"),
			.initial_controllers = STR_NULL,
			.release_version = node->release_version,
			.standalone = node->standalone,
			.ignore_formatted = true,
			.opens_at_once = node->opens_at_once};
		const char *why = NULL;
		int error = formatter_run(shard, &options, &node->arena, &why);

		if (error < 0)
			fprintf(stderr, "format: %s (%d)\n", why, error);
		must(error == 0);
		node->formatted = true;
	}
	store = log_store_new(shard, &store_options);
	must(store);
	node->open_error = open_node(node, store);
	if (node->open_error == 0) {
		node->body(node);
		if (node->stops) {
			int64_t epoch = controller_broker_epoch(node->controller);
			int error = controller_shutdown(node->controller);
			int close_error = controller_close(node->controller);

			must((error == 0 && close_error == 0) || node->failures > 0 ||
				node->disk_fails);
			node->previous_epoch = error == 0 && close_error == 0 ? epoch : -1;
			log_store_free(store);
			arena_done(&node->arena);
			config_unref(node->config);
		}
	}
	machine_exit(shard, node->open_error == 0 ? 0 : 1);
}

static void node_start(struct shard *shard, void *argument)
{
	must(fiber_start(shard, node_fiber, argument) == 0);
}

/* Until the process ends. */
static int run(struct world *world, struct host *host, struct node *node)
{
	struct program program = {.start = node_start, .argument = node};

	host_start(host, 1, &program);
	while (host_is_running(host))
		must(world_step(world));
	return host_exit_status(host);
}

/* ---- operations as calls ---- */

struct call {
	struct controller_op op;
	struct fiber *fiber;
	bool done;
};

static void call_done(struct shard *shard, struct controller_op *op)
{
	struct call *call = container_of(op, struct call, op);

	call->done = true;
	fiber_wake(shard, call->fiber);
}

static int submit(struct node *node, enum controller_kind kind, int version, const void *request,
	void *response)
{
	struct call call = {.fiber = fiber_current(node->shard),
		.op = {.kind = kind,
			.version = (int16_t)version,
			.request = request,
			.response = response,
			.arena = &node->arena,
			.done = call_done}};

	controller_submit(node->controller, &call.op);
	while (!call.done)
		fiber_wait(node->shard);
	return call.op.result;
}

static int16_t create_topic(struct node *node, const char *name, int partitions)
{
	struct create_topics_request request;
	struct create_topics_response response;
	struct create_topics_request_creatable_topic topic;

	schema_init(&create_topics_request_schema, &request);
	schema_init(&create_topics_response_schema, &response);
	schema_init(&create_topics_request_creatable_topic_schema, &topic);
	topic.name = str_from(name);
	topic.num_partitions = partitions;
	topic.replication_factor = -1;
	request.topics = &topic;
	request.topics_count = 1;
	if (submit(node, CONTROLLER_CREATE_TOPICS, 7, &request, &response) != 0)
		return -1;
	must(response.topics_count == 1);
	return response.topics[0].error_code;
}

/* ---- what the log holds ---- */

/* One line a record, NoOp left out, in the words of Kafka's DumpLogSegments. */
static void describe(char *text, size_t size, const struct metadata_record *record)
{
	const struct partition_change_record *change = record->message;
	const struct broker_registration_change_record *registration = record->message;
	const struct feature_level_record *feature = record->message;
	size_t used = (size_t)snprintf(
		text, size, "%s v%d", metadata_record_name(record->type), record->version);

	if (record->type == CLUSTER_METADATA_FEATURE_LEVEL)
		snprintf(text + used, size - used, " %.*s=%d", STR_ARGS(feature->name),
			feature->feature_level);
	if (record->type == CLUSTER_METADATA_BROKER_REGISTRATION_CHANGE)
		snprintf(text + used, size - used, " fenced=%d shutdown=%d cordoned=%d",
			registration->fenced, registration->in_controlled_shutdown,
			registration->cordoned_log_dirs_count);
	if (record->type == CLUSTER_METADATA_PARTITION_CHANGE)
		snprintf(text + used, size - used, " isr=%d leader=%d elr=%d known=%d state=%d",
			change->isr_count, change->leader, change->eligible_leader_replicas_count,
			change->last_known_elr_count, change->leader_recovery_state);
}

static void dump_log(struct host *host, char *text, size_t size)
{
	struct batch_header header;
	struct arena arena;
	uint8_t *data;
	size_t file_size, used = 0;
	int64_t at, next = 0;

	must(host_file_get(host, "/data/__cluster_metadata-0/00000000000000000000.log",
		     (void **)&data, &file_size) == 0);
	arena_init(&arena, 64 << 20);
	text[0] = '\0';
	for (size_t position = 0;
		(at = batch_next(data + position, file_size - position, &header)) > 0;
		position += (size_t)at) {
		struct batch_records records;
		struct record record;

		must(batch_check(data + position, &header) == 0);
		must(header.base_offset == next);
		next = header.last_offset + 1;
		must(batch_records_begin(&records, NULL, data + position, &header,
			     BATCH_RECORDS_WHOLE, INT32_MAX) == 0);
		while (batch_records_next(&records, &record) > 0) {
			struct metadata_record metadata;
			char line[256] = "";

			if (batch_is_control(&header))
				snprintf(line, sizeof(line), "control %d",
					load_be16(record.key.data + 2));
			else {
				must(metadata_record_decode(
					     record.value, &arena, &metadata, NULL) == 0);
				if (metadata.type == CLUSTER_METADATA_NO_OP)
					continue;
				describe(line, sizeof(line), &metadata);
			}
			used += (size_t)snprintf(text + used, size - used, "%s\n", line);
			must(used < size);
		}
		batch_records_end(&records);
	}
	arena_done(&arena);
	free(data);
}

static struct world *world_make(uint64_t seed)
{
	struct world_options options = {.seed = seed, .disk_delay_max_ns = 1000000};

	return world_new(&options);
}

static const char *const static_voters[][2] = {{"controller.quorum.voters", "1@127.0.0.1:9093"}};
static const char *const dynamic_voters[][2] = {
	{"controller.quorum.bootstrap.servers", "127.0.0.1:9093"}};

static void create_t1(struct node *node)
{
	if (!image_topic_by_name(controller_image(node->controller), STR("t1")))
		must(create_topic(node, "t1", 2) == 0);
	fiber_sleep(node->shard, 1200 * NS_PER_MS);
}

#define BOOTSTRAP                                                                          \
	"BeginTransactionRecord v0\nFeatureLevelRecord v0 metadata.version=30\n"           \
	"FeatureLevelRecord v0 eligible.leader.replicas.version=1\nFeatureLevelRecord v0 " \
	"group.version=1\n"                                                                \
	"FeatureLevelRecord v0 share.version=1\nFeatureLevelRecord v0 streams.version=1\n" \
	"FeatureLevelRecord v0 transaction.version=2\nConfigRecord v0\nEndTransactionRecord v0\n"
#define REGISTRATION "RegisterControllerRecord v0\nRegisterBrokerRecord v4\n"
#define CHANGE	     "BrokerRegistrationChangeRecord "
#define CORDONED     CHANGE "v3 fenced=0 shutdown=0 cordoned=0\n"
#define UNFENCED     CHANGE "v0 fenced=-1 shutdown=0 cordoned=-1\n"
#define FENCED	     CHANGE "v0 fenced=1 shutdown=0 cordoned=-1\n"
#define FIRST_START  BOOTSTRAP REGISTRATION CORDONED UNFENCED
#define TWO_CHANGES(change) \
	"PartitionChangeRecord v2 " change "\nPartitionChangeRecord v2 " change "\n"
#define CREATION   "TopicRecord v0\nPartitionRecord v2\nPartitionRecord v2\n"
#define LEFT	   TWO_CHANGES("isr=0 leader=-1 elr=1 known=1 state=-1")
#define CLEAN_STOP CHANGE "v1 fenced=0 shutdown=1 cordoned=-1\n" LEFT FENCED
#define CLEAN_START                                               \
	"control 2\n" REGISTRATION CORDONED UNFENCED TWO_CHANGES( \
		"isr=1 leader=1 elr=0 known=0 state=-1")
#define START_AFTER_A_KILL                                                                       \
	"control 2\nRegisterControllerRecord v0\n" LEFT FENCED TWO_CHANGES(                      \
		"isr=-1 leader=-2 elr=0 known=-1 state=-1") "RegisterBrokerRecord v4\n" CORDONED \
		UNFENCED TWO_CHANGES("isr=1 leader=1 elr=-1 known=0 state=1")

/*
 * Formatted, started, a topic made, stopped, started, stopped, started, killed, started: the
 * records are those that Kafka wrote on the same path, but for the NoOps in between.
 */
static void expect_sequence(const char *const (*settings)[2], bool standalone, const char *first)
{
	struct world *world = world_make(1);
	struct host *host = world_host_new(world, "node", "10.0.0.1");
	struct node node = {.settings = settings,
		.setting_count = 1,
		.standalone = standalone,
		.previous_epoch = -1,
		.stops = true,
		.body = create_t1,
		.release_version = STR_NULL};
	static char text[1 << 20], expected[1 << 16];

	must(run(world, host, &node) == 0);
	must(run(world, host, &node) == 0);
	node.stops = false;
	must(run(world, host, &node) == 0);
	node.stops = true;
	must(run(world, host, &node) == 0);
	snprintf(expected, sizeof(expected), "%s%s", first,
		FIRST_START CREATION CLEAN_STOP CLEAN_START CLEAN_STOP CLEAN_START
			START_AFTER_A_KILL CLEAN_STOP);
	dump_log(host, text, sizeof(text));
	cr_assert_str_eq(text, expected);
	cr_assert_eq(node.failures, 0);
	world_free(world);
}

Test(controller, writes_what_kafka_writes_with_static_voters)
{
	expect_sequence(static_voters, false, "control 2\n");
}

Test(controller, writes_what_kafka_writes_with_dynamic_voters)
{
	expect_sequence(dynamic_voters, true, "control 2\ncontrol 5\ncontrol 6\n");
}

/* A directory of 3.9 stays one: no feature of later releases, records in the versions of then. */
Test(controller, a_directory_of_3_9_stays_at_its_level)
{
	struct world *world = world_make(1);
	struct host *host = world_host_new(world, "node", "10.0.0.1");
	struct node node = {.settings = static_voters,
		.setting_count = 1,
		.previous_epoch = -1,
		.stops = true,
		.body = create_t1,
		.release_version = STR("3.9.1")};
	static char text[1 << 20];

	must(run(world, host, &node) == 0);
	must(run(world, host, &node) == 0);
	dump_log(host, text, sizeof(text));
	cr_assert_str_eq(text,
		"control 2\nBeginTransactionRecord v0\nFeatureLevelRecord v0 "
		"metadata.version=21\nEndTransactionRecord v0\n"
		"RegisterControllerRecord v0\nRegisterBrokerRecord v3\n" CHANGE
		"v0 fenced=-1 shutdown=0 cordoned=-1\n"
		"TopicRecord v0\nPartitionRecord v1\nPartitionRecord v1\n" CHANGE
		"v1 fenced=0 shutdown=1 cordoned=-1\n"
		"PartitionChangeRecord v1 isr=-1 leader=-1 elr=-1 known=-1 state=-1\n"
		"PartitionChangeRecord v1 isr=-1 leader=-1 elr=-1 known=-1 state=-1\n" CHANGE
		"v0 fenced=1 shutdown=0 cordoned=-1\ncontrol 2\n"
		"RegisterControllerRecord v0\nRegisterBrokerRecord v3\n" CHANGE
		"v0 fenced=-1 shutdown=0 cordoned=-1\n"
		"PartitionChangeRecord v1 isr=-1 leader=1 elr=-1 known=-1 state=-1\n"
		"PartitionChangeRecord v1 isr=-1 leader=1 elr=-1 known=-1 state=-1\n" CHANGE
		"v1 fenced=0 shutdown=1 cordoned=-1\n"
		"PartitionChangeRecord v1 isr=-1 leader=-1 elr=-1 known=-1 state=-1\n"
		"PartitionChangeRecord v1 isr=-1 leader=-1 elr=-1 known=-1 state=-1\n" CHANGE
		"v0 fenced=1 shutdown=0 cordoned=-1\n");
	world_free(world);
}

/* ---- a full disk ---- */

enum { PLENTY_BYTES = 1 << 30, LITTLE_BYTES = 200 << 10 };

static struct host *full_host;

static void disk_stays_full(struct node *node)
{
	uint64_t free_bytes;

	must(fiber_space(node->shard, "/data", &free_bytes) == 0);
	host_disk_capacity_set(full_host, PLENTY_BYTES - free_bytes + LITTLE_BYTES);
	fiber_sleep(node->shard, 3 * 3600 * NS_PER_S);
	must(node->failures == 0);
	must(create_topic(node, "t1", 2) == 0);
}

/* The no-ops of hours would take more than the room there is. */
Test(controller, hours_on_a_full_disk_leave_the_room_to_who_asks)
{
	struct world *world = world_make(1);
	struct host *host = world_host_new(world, "node", "10.0.0.1");
	struct node node = {.settings = static_voters,
		.setting_count = 1,
		.previous_epoch = -1,
		.stops = true,
		.body = disk_stays_full,
		.release_version = STR_NULL};

	full_host = host;
	host_disk_capacity_set(host, PLENTY_BYTES);
	must(run(world, host, &node) == 0);
	cr_assert_eq(node.failures, 0);
	world_free(world);
}

/* ---- a start's waits ---- */

static void joins_in_one_write(struct node *node)
{
	/* What the log held, and the registration, unfenced. */
	must(node->published == 2);
}

static void expect_epoch(struct node *node)
{
	struct controller_quorum quorum;

	controller_quorum_describe(node->controller, &quorum);
	must(quorum.leader_epoch == ++node->created);
	fiber_sleep(node->shard, 100 * NS_PER_MS); /* nobody waits for the file either */
}

static void run_starts(void (*body)(struct node *node), const char *remove)
{
	struct world *world = world_make(1);
	struct host *host = world_host_new(world, "node", "10.0.0.1");
	struct node node = {.settings = static_voters,
		.setting_count = 1,
		.previous_epoch = -1,
		.body = body,
		.release_version = STR_NULL};

	for (int i = 0; i < 3; i++) {
		node.published = 0;
		must(run(world, host, &node) == 0);
		if (remove)
			must(host_file_remove(host, remove) == 0);
	}
	cr_assert_eq(node.failures, 0);
	world_free(world);
}

Test(controller, a_start_is_one_write)
{
	run_starts(joins_in_one_write, NULL);
}

/* A power cut may take the file: nobody waits for its name. */
Test(controller, an_epoch_outlives_the_file_that_tells_it)
{
	run_starts(expect_epoch, "/data/__cluster_metadata-0/quorum-state");
}

static struct host *host_of_test;

static void loses_power(struct node *node)
{
	host_crash(host_of_test, CRASH_POWER);
}

/* Nobody waited for the name of meta.properties alone; when a node serves it is there to stay. */
Test(controller, a_cluster_that_answers_keeps_its_id)
{
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct world *world = world_make(seed);
		struct host *host = host_of_test = world_host_new(world, "node", "10.0.0.1");
		struct node node = {.settings = static_voters,
			.setting_count = 1,
			.previous_epoch = -1,
			.opens_at_once = true,
			.body = loses_power,
			.release_version = STR_NULL};
		size_t size = 0;
		void *data;

		run(world, host, &node);
		cr_assert_eq(host_file_get(host, "/data/meta.properties", &data, &size), 0);
		cr_assert_gt(size, 50);
		free(data);
		world_free(world);
	}
}

/* ---- crashes ---- */

static void topic_name(char name[24], int number)
{
	snprintf(name, 24, "topic-%d", number);
}

static void create_some(struct node *node)
{
	const struct image *image = controller_image(node->controller);

	/* What was answered before is there. */
	for (int i = 0; i < node->created; i++) {
		char name[24];

		topic_name(name, i);
		must(!node->acknowledged[i] || image_topic_by_name(image, str_from(name)));
	}
	for (int i = 0; i < 4 && node->created < TOPICS_MAX; i++) {
		char name[24];
		int number = node->created++;

		topic_name(name, number);
		if (create_topic(node, name, 1) == 0)
			node->acknowledged[number] = true;
	}
}

/*
 * The host loses power inside its n-th file operation, for every n of a first start and of a later
 * one; then it starts again. What was answered before the crash is there, and the node serves.
 */
Test(controller, what_was_answered_survives_a_crash_at_every_operation, .timeout = 100)
{
	for (uint64_t n = 1; n < 400; n++) {
		if (getenv("CONTROLLER_TEST_LOG"))
			fprintf(stderr, "n=%lu\n", (unsigned long)n);
		struct world *world = world_make(n);
		struct host *host = world_host_new(world, "node", "10.0.0.1");
		struct node node = {.settings = n % 2 ? static_voters : dynamic_voters,
			.setting_count = 1,
			.standalone = n % 2 == 0,
			.previous_epoch = -1,
			.opens_at_once = true,
			.stops = true,
			.body = create_some,
			.release_version = STR_NULL};
		bool crashed;

		host_crash_at_change(host, n, n % 3 ? CRASH_POWER : CRASH_PROCESS);
		crashed = run(world, host, &node) != 0;
		host_crash_at_change(host, 0, CRASH_POWER);
		/* Formatting may have been cut short: it is done again where meta.properties is
		 * missing. */
		node.formatted = false;
		node.previous_epoch = -1;
		must(run(world, host, &node) == 0);
		must(run(world, host, &node) == 0);
		cr_assert_eq(node.failures, 0);
		world_free(world);
		if (!crashed)
			return;
	}
	cr_assert_fail("the run has more file operations than the test thought");
}

/*
 * The n-th file operation fails, for every n: the start is refused, or the controller says that it
 * failed; nothing that was answered is lost, and the next start serves.
 */
Test(controller, a_failing_disk_is_told_and_loses_nothing, .timeout = 100)
{
	for (uint64_t n = 1; n < 600; n++) {
		struct world *world = world_make(n);
		struct host *host = world_host_new(world, "node", "10.0.0.1");
		struct node node = {.settings = n % 2 ? static_voters : dynamic_voters,
			.setting_count = 1,
			.standalone = n % 2 == 0,
			.previous_epoch = -1,
			.stops = true,
			.body = create_some,
			.release_version = STR_NULL};
		uint64_t operations;
		bool beyond;

		host_crash_at_change(host, 0, CRASH_POWER);
		/* A whole run first, so that formatting and first start are not what fails. */
		must(run(world, host, &node) == 0);
		operations = host_operation_count(host);
		host_fail_operation(host, n, n % 3 ? EIO : ENOSPC);
		node.disk_fails = true;
		run(world, host, &node);
		node.disk_fails = false;
		host_fail_operation(host, 0, 0);
		beyond = host_operation_count(host) - operations < n;
		node.previous_epoch = -1;
		node.failures = 0;
		must(run(world, host, &node) == 0);
		cr_assert_eq(node.failures, 0);
		world_free(world);
		if (beyond)
			return;
	}
	cr_assert_fail("the run has more file operations than the test thought");
}

/* ---- snapshots ---- */

static const char *const small_snapshots[][2] = {{"controller.quorum.voters", "1@127.0.0.1:9093"},
	{"metadata.log.max.record.bytes.between.snapshots", "3000"},
	{"metadata.max.retention.bytes", "30000"}, {"internal.metadata.log.segment.bytes", "12288"},
	{"metadata.max.idle.interval.ms", "50"}};

static void create_many(struct node *node)
{
	for (int i = 0; i < 40; i++) {
		char name[24];

		topic_name(name, node->created++);
		must(create_topic(node, name, 3) == 0);
		fiber_sleep(node->shard, 200 * NS_PER_MS);
	}
}

static void expect_all(struct node *node)
{
	must(image_topic_count(controller_image(node->controller)) == (uint32_t)node->created);
	must(image_partition_count_all(controller_image(node->controller)) ==
		(uint32_t)node->created * 3);
}

/* With small limits snapshots are written and the log is trimmed behind them; a start from a
 * snapshot gives the same image. */
Test(controller, starts_from_a_snapshot_when_the_log_was_trimmed, .timeout = 60)
{
	struct world *world = world_make(3);
	struct host *host = world_host_new(world, "node", "10.0.0.1");
	struct node node = {.settings = small_snapshots,
		.setting_count = 5,
		.previous_epoch = -1,
		.stops = true,
		.body = create_many,
		.release_version = STR_NULL};
	void *data = NULL;
	size_t size;

	must(run(world, host, &node) == 0);
	node.body = expect_all;
	must(run(world, host, &node) == 0);
	node.stops = false;
	must(run(world, host, &node) == 0);
	node.stops = true;
	must(run(world, host, &node) == 0);
	/* The beginning of the log is gone. */
	cr_assert_neq(host_file_get(host, "/data/__cluster_metadata-0/00000000000000000000.log",
			      &data, &size),
		0);
	free(data);
	cr_assert_eq(node.failures, 0);
	world_free(world);
}
