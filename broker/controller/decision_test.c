/*
 * Decisions on an image with two brokers, of which the second is fenced: each case is a request and
 * the code and words with which Apache Kafka 4.3.1 answers it.
 */
#include "broker/controller/partition_change.h"
#include "runtime/uuid.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>

static struct arena arena, records_arena;
static struct config *config;
static struct image *image;
static struct metadata_records records;
static uint64_t entropy_state;

static void entropy(void *context, void *buffer, size_t size)
{
	uint8_t *bytes = buffer;

	for (size_t i = 0; i < size; i++) {
		entropy_state = entropy_state * 6364136223846793005ull + 1442695040888963407ull;
		bytes[i] = (uint8_t)(entropy_state >> 33);
	}
}

static struct decision decision_now(const struct controller_op *op)
{
	metadata_records_init(&records, &records_arena);
	return (struct decision){.image = image,
		.config = config,
		.node_id = 1,
		.next_offset = 100,
		.op = op,
		.arena = &arena,
		.records = &records,
		.entropy = entropy};
}

/* What was decided becomes the image, as the controller would do it. */
static void apply(void)
{
	for (int32_t i = 0; i < records.count; i++) {
		const char *why = "";

		cr_assert_eq(image_apply(&image, &records.items[i], 100 + i, &why), 0, "%s", why);
	}
}

static void add_level(const char *name, int level)
{
	struct feature_level_record *record =
		metadata_records_add(&records, CLUSTER_METADATA_FEATURE_LEVEL, 0);

	record->name = str_from(name);
	record->feature_level = (int16_t)level;
}

static void add_broker(int id, bool fenced)
{
	static const char *const features[] = {
		FEATURE_METADATA_VERSION, FEATURE_ELR_VERSION, FEATURE_GROUP_VERSION};
	static const int16_t ranges[][2] = {{7, 30}, {0, 1}, {0, 1}};
	struct register_broker_record *record =
		metadata_records_add(&records, CLUSTER_METADATA_REGISTER_BROKER, 4);

	record->broker_id = id;
	record->broker_epoch = id * 10;
	record->fenced = fenced;
	record->rack = STR_NULL;
	record->log_dirs = arena_new_array(&records_arena, struct uuid, 1);
	record->log_dirs_count = 1;
	record->log_dirs[0].octets[0] = (uint8_t)id;
	record->features =
		schema_new_array(&register_broker_record_broker_feature_schema, &records_arena, 3);
	record->features_count = 3;
	for (int i = 0; i < 3; i++) {
		record->features[i].name = str_from(features[i]);
		record->features[i].min_supported_version = ranges[i][0];
		record->features[i].max_supported_version = ranges[i][1];
	}
}

static void set_up(void)
{
	struct config_entry items[] = {
		{STR("process.roles"), STR("broker,controller")},
		{STR("node.id"), STR("1")},
		{STR("listeners"), STR("PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093")},
		{STR("controller.listener.names"), STR("CONTROLLER")},
		{STR("controller.quorum.voters"), STR("1@127.0.0.1:9093")},
		{STR("log.dirs"), STR("/data")},
		{STR("num.partitions"), STR("3")},
	};
	struct config_entries entries = {.items = items, .count = array_length(items)};
	struct config_report report;

	arena_init(&arena, 64 << 20);
	arena_init(&records_arena, 64 << 20);
	config_report_init(&report);
	cr_assert_eq(config_new(&entries, 1, &report, &config), 0);
	config_report_done(&report);
	image = image_new();
	metadata_records_init(&records, &records_arena);
	add_level(FEATURE_METADATA_VERSION, METADATA_VERSION_LATEST);
	add_level(FEATURE_ELR_VERSION, 1);
	add_broker(1, false);
	add_broker(2, true);
	apply();
}

static void tear_down(void)
{
	image_unref(image);
	config_unref(config);
	arena_done(&arena);
	arena_done(&records_arena);
}

TestSuite(decision, .init = set_up, .fini = tear_down);

static bool same(struct str text, const char *expected)
{
	return str_equal(text, expected ? str_from(expected) : STR_NULL);
}

/* ---- CreateTopics ---- */

struct topic_ask {
	const char *name;
	int partitions, factor;
	const char *config_name, *config_value;
	int assignment_count;
	int assignments[3][3]; /* partition, and brokers; 0 for none */
};

static void fill_topic(
	struct create_topics_request_creatable_topic *topic, const struct topic_ask *ask)
{
	schema_init(&create_topics_request_creatable_topic_schema, topic);
	topic->name = str_from(ask->name);
	topic->num_partitions = ask->partitions;
	topic->replication_factor = (int16_t)ask->factor;
	if (ask->config_name) {
		topic->configs = schema_new_array(
			&create_topics_request_creatable_topic_config_schema, &arena, 1);
		topic->configs_count = 1;
		topic->configs[0].name = str_from(ask->config_name);
		topic->configs[0].value = str_from(ask->config_value);
	}
	if (ask->assignment_count > 0) {
		topic->assignments =
			schema_new_array(&create_topics_request_creatable_replica_assignment_schema,
				&arena, ask->assignment_count);
		topic->assignments_count = ask->assignment_count;
		for (int i = 0; i < ask->assignment_count; i++) {
			topic->assignments[i].partition_index = ask->assignments[i][0];
			topic->assignments[i].broker_ids = arena_new_array(&arena, int32_t, 2);
			topic->assignments[i].broker_ids_count = 0;
			for (int j = 1; j < 3; j++)
				if (ask->assignments[i][j])
					topic->assignments[i].broker_ids
						[topic->assignments[i].broker_ids_count++] =
						ask->assignments[i][j];
		}
	}
}

static struct create_topics_response create_topics(
	const struct topic_ask *asks, int count, bool validate_only, const struct controller_op *op)
{
	struct create_topics_request request;
	struct create_topics_response response;
	struct decision decision = decision_now(op);

	schema_init(&create_topics_request_schema, &request);
	schema_init(&create_topics_response_schema, &response);
	request.topics = schema_new_array(
		&create_topics_request_creatable_topic_schema, &arena, max_of(count, 1));
	request.topics_count = count;
	request.validate_only = validate_only;
	for (int i = 0; i < count; i++)
		fill_topic(&request.topics[i], &asks[i]);
	cr_assert_eq(decide_create_topics(&decision, &request, &response), 0);
	return response;
}

#define LONG_NAME                                                                                  \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaa"                                                                             \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaa"                                                                             \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

Test(decision, create_topics_refuses_in_kafkas_words)
{
	static const struct {
		struct topic_ask ask;
		int code;
		const char *message;
	} cases[] = {
		{{"", -1, -1}, KAFKA_INVALID_TOPIC_EXCEPTION,
			"Topic name is invalid: the empty string is not allowed"},
		{{".", -1, -1}, KAFKA_INVALID_TOPIC_EXCEPTION,
			"Topic name is invalid: '.' is not allowed"},
		{{"..", -1, -1}, KAFKA_INVALID_TOPIC_EXCEPTION,
			"Topic name is invalid: '..' is not allowed"},
		{{"a b", -1, -1}, KAFKA_INVALID_TOPIC_EXCEPTION,
			"Topic name is invalid: 'a b' contains one or more characters other than "
			"ASCII alphanumerics, '.', '_' "
			"and '-'"},
		{{LONG_NAME, -1, -1}, KAFKA_INVALID_TOPIC_EXCEPTION,
			"Topic name is invalid: the length of '" LONG_NAME
			"' is longer than the max allowed length 249"},
		{{"there", -1, -1}, KAFKA_TOPIC_ALREADY_EXISTS, "Topic 'there' already exists."},
		{{"in_two.words", -1, -1}, KAFKA_INVALID_TOPIC_EXCEPTION,
			"Topic 'in_two.words' collides with existing topic: in.two.words"},
		{{"a", 1, 0}, KAFKA_INVALID_REPLICATION_FACTOR,
			"Replication factor must be larger than 0, or -1 to use the default "
			"value."},
		{{"a", 1, -2}, KAFKA_INVALID_REPLICATION_FACTOR,
			"Replication factor must be larger than 0, or -1 to use the default "
			"value."},
		{{"a", 0, 1}, KAFKA_INVALID_PARTITIONS,
			"Number of partitions was set to an invalid non-positive value."},
		{{"a", -5, 1}, KAFKA_INVALID_PARTITIONS,
			"Number of partitions was set to an invalid non-positive value."},
		{{"a", 1, 3}, KAFKA_INVALID_REPLICATION_FACTOR,
			"Unable to replicate the partition 3 time(s): The target replication "
			"factor of 3 cannot be reached "
			"because only 2 broker(s) are registered or some brokers have all their "
			"log directories cordoned."},
		{{"a", 1, -1, "retention.ms", NULL}, KAFKA_INVALID_CONFIG,
			"Null value not supported for topic configs: retention.ms"},
		{{"a", 1, -1, NULL, NULL, 1, {{0, 1}}}, KAFKA_INVALID_REQUEST,
			"A manual partition assignment was specified, but numPartitions was not "
			"set to -1."},
		{{"a", -1, 1, NULL, NULL, 1, {{0, 1}}}, KAFKA_INVALID_REQUEST,
			"A manual partition assignment was specified, but replication factor was "
			"not set to -1."},
		{{"a", -1, -1, NULL, NULL, 2, {{0, 1}, {0, 1}}}, KAFKA_INVALID_REPLICA_ASSIGNMENT,
			"Found multiple manual partition assignments for partition 0"},
		{{"a", -1, -1, NULL, NULL, 2, {{0, 1}, {2, 1}}}, KAFKA_INVALID_REPLICA_ASSIGNMENT,
			"partitions should be a consecutive 0-based integer sequence"},
		{{"a", -1, -1, NULL, NULL, 1, {{0}}}, KAFKA_INVALID_REPLICA_ASSIGNMENT,
			"The manual partition assignment includes an empty replica list."},
		{{"a", -1, -1, NULL, NULL, 1, {{0, 1, 1}}}, KAFKA_INVALID_REPLICA_ASSIGNMENT,
			"The manual partition assignment includes the broker 1 more than once."},
		{{"a", -1, -1, NULL, NULL, 1, {{0, 1, 9}}}, KAFKA_INVALID_REPLICA_ASSIGNMENT,
			"The manual partition assignment includes broker 9, but no such broker is "
			"registered."},
		{{"a", -1, -1, NULL, NULL, 2, {{0, 1}, {1, 1, 2}}},
			KAFKA_INVALID_REPLICA_ASSIGNMENT,
			"The manual partition assignment includes a partition with 2 replica(s), "
			"but this is not consistent with "
			"previous partitions, which have 1 replica(s)."},
		{{"a", -1, -1, NULL, NULL, 1, {{0, 2}}}, KAFKA_INVALID_REPLICA_ASSIGNMENT,
			"All brokers specified in the manual partition assignment for partition 0 "
			"are fenced or in controlled "
			"shutdown."},
	};
	static const struct topic_ask there[] = {{"there", 1, 1}, {"in.two.words", 1, 1}};

	create_topics(there, 2, false, NULL);
	apply();
	for (size_t i = 0; i < array_length(cases); i++) {
		struct create_topics_response response =
			create_topics(&cases[i].ask, 1, false, NULL);

		cr_assert_eq(response.topics_count, 1);
		cr_assert_eq(response.topics[0].error_code, cases[i].code, "case %zu: %d", i,
			response.topics[0].error_code);
		cr_assert(same(response.topics[0].error_message, cases[i].message),
			"case %zu: %.*s", i, STR_ARGS(response.topics[0].error_message));
		cr_assert_eq(records.count, 0);
	}
}

/* Defaults come from the configuration, the leader is the active broker, and the answer tells the
 * settings. */
Test(decision, create_topics_makes_what_was_asked)
{
	static const struct topic_ask ask = {"orders", -1, 2, "retention.ms", "77"};
	struct create_topics_response response = create_topics(&ask, 1, false, NULL);
	const struct image_topic *topic;
	const struct partition_record *partition;
	bool told = false;

	cr_assert_eq(response.topics[0].error_code, 0);
	cr_assert_eq(response.topics[0].num_partitions, 3);
	cr_assert_eq(response.topics[0].replication_factor, 2);
	for (int32_t i = 0; i < response.topics[0].configs_count; i++)
		told |= same(response.topics[0].configs[i].name, "retention.ms") &&
			same(response.topics[0].configs[i].value, "77") &&
			response.topics[0].configs[i].config_source == 1;
	cr_assert(told);
	apply();
	topic = image_topic_by_name(image, STR("orders"));
	cr_assert(uuid_equal(&topic->id, &response.topics[0].topic_id));
	cr_assert_eq(image_partition_count(topic), 3);
	for (int32_t i = 0; i < 3; i++) {
		partition = image_partition(topic, i);
		cr_assert_eq(partition->leader, 1);
		cr_assert_eq(partition->replicas_count, 2);
		cr_assert_eq(partition->isr_count, 1);
		cr_assert_eq(partition->leader_epoch, 0);
		cr_assert_eq(partition_directory_of(partition, 2).octets[0], 2);
	}
	cr_assert(same(
		image_config(image, IMAGE_CONFIG_TOPIC, STR("orders"), STR("retention.ms")), "77"));
}

/* Nothing is written for a validation, a name given twice is refused once, and the metadata's own
 * name always. */
Test(decision, create_topics_looks_at_the_request_as_a_whole)
{
	static const struct topic_ask asks[] = {{"a", 1, 1}, {"twice", 1, 1}, {"b", 1, 1},
		{"twice", 1, 1}, {"__cluster_metadata", 1, 1}};
	static const struct topic_ask many = {"many", 10001, 1};
	struct create_topics_response response = create_topics(asks, 5, false, NULL);

	cr_assert_eq(response.topics_count, 4);
	cr_assert(same(response.topics[2].name, "twice"));
	cr_assert_eq(response.topics[2].error_code, KAFKA_INVALID_REQUEST);
	cr_assert(same(response.topics[2].error_message, "Duplicate topic name."));
	cr_assert(same(response.topics[3].error_message,
		"Creation of internal topic __cluster_metadata is prohibited."));
	cr_assert_eq(records.count, 4);
	response = create_topics(asks, 1, true, NULL);
	cr_assert_eq(response.topics[0].error_code, 0);
	cr_assert_eq(records.count, 0);
	response = create_topics(&many, 1, false, NULL);
	cr_assert_eq(response.topics[0].error_code, KAFKA_POLICY_VIOLATION);
	cr_assert(same(response.topics[0].error_message,
		"Excessively large number of partitions per request."));
	cr_assert_eq(create_topics(NULL, 0, false, NULL).topics_count, 0);
}

static bool may_only_mine(
	const struct controller_op *op, int operation, int resource, struct str name)
{
	return resource == RESOURCE_TOPIC && same(name, "mine") &&
	       operation != ACL_DESCRIBE_CONFIGS;
}

/* Who may not is refused for that topic alone. */
Test(decision, denied_topics_are_refused)
{
	static const struct topic_ask asks[] = {{"mine", 1, 1}, {"theirs", 1, 1}};
	struct controller_op op = {.may = may_only_mine};
	struct create_topics_response response = create_topics(asks, 2, false, &op);

	cr_assert_eq(response.topics_count, 2);
	cr_assert_eq(response.topics[0].error_code, 0);
	cr_assert_eq(response.topics[0].topic_config_error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	cr_assert_eq(response.topics[0].configs_count, -1 * (response.topics[0].configs_count < 0));
	cr_assert_eq(response.topics[1].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
	cr_assert(same(response.topics[1].error_message, "Authorization failed."));
}

/* ---- DeleteTopics ---- */

static struct delete_topics_response delete_topics(
	const char *const *names, const struct uuid *ids, int count, const struct controller_op *op)
{
	struct delete_topics_request request;
	struct delete_topics_response response;
	struct decision decision = decision_now(op);

	schema_init(&delete_topics_request_schema, &request);
	schema_init(&delete_topics_response_schema, &response);
	request.topics =
		schema_new_array(&delete_topics_request_delete_topic_state_schema, &arena, count);
	request.topics_count = count;
	for (int i = 0; i < count; i++) {
		request.topics[i].name = str_from(names[i]);
		request.topics[i].topic_id = ids ? ids[i] : UUID_ZERO;
	}
	cr_assert_eq(decide_delete_topics(&decision, 6, &request, &response), 0);
	return response;
}

/* By name and by id, and each way to name one that can't be meant. */
Test(decision, delete_topics_by_name_and_id)
{
	static const struct topic_ask there[] = {{"a", 1, 1}, {"b", 1, 1}, {"c", 1, 1}};
	const char *names[] = {"a", NULL, "none", "twice", "twice", NULL, "both", NULL, "c", NULL};
	struct uuid ids[10] = {0}, b, c, unknown = {{1, 2, 3}};
	struct delete_topics_response response;

	create_topics(there, 3, false, NULL);
	apply();
	b = image_topic_by_name(image, STR("b"))->id;
	c = image_topic_by_name(image, STR("c"))->id;
	ids[1] = b;
	ids[5] = unknown;
	ids[6] = unknown;
	ids[9] = c;
	response = delete_topics(names, ids, 10, NULL);
	cr_assert_eq(response.responses_count, 8);
	cr_assert_eq(response.responses[0].error_code, 0);
	cr_assert_eq(response.responses[1].error_code, 0);
	cr_assert(same(response.responses[1].name, "b"));
	cr_assert_eq(response.responses[2].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	cr_assert(same(response.responses[3].error_message, "Duplicate topic name."));
	cr_assert_eq(response.responses[4].error_code, KAFKA_UNKNOWN_TOPIC_ID);
	cr_assert(same(response.responses[5].error_message,
		"You may not specify both topic name and topic id."));
	cr_assert(same(
		response.responses[6].error_message, "Neither topic name nor id were specified."));
	cr_assert(same(response.responses[7].error_message,
		"The provided topic name maps to an ID that was already supplied."));
	cr_assert_eq(records.count, 2);
	apply();
	cr_assert_eq(image_topic_count(image), 1);
}

/* ---- CreatePartitions ---- */

Test(decision, create_partitions_only_adds)
{
	static const struct topic_ask there = {"a", 2, 1};
	static const struct {
		const char *name;
		int count, code;
		const char *message;
	} cases[] = {
		{"a", 2, KAFKA_INVALID_PARTITIONS, "Topic already has 2 partition(s)."},
		{"a", 1, KAFKA_INVALID_PARTITIONS,
			"The topic a currently has 2 partition(s); 1 would not be an increase."},
		{"none", 3, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, NULL},
		{"a", 4, 0, NULL},
	};

	create_topics(&there, 1, false, NULL);
	apply();
	for (size_t i = 0; i < array_length(cases); i++) {
		struct create_partitions_request_create_partitions_topic topic;
		struct create_partitions_request request;
		struct create_partitions_response response;
		struct decision decision = decision_now(NULL);

		schema_init(&create_partitions_request_schema, &request);
		schema_init(&create_partitions_response_schema, &response);
		schema_init(&create_partitions_request_create_partitions_topic_schema, &topic);
		topic.name = str_from(cases[i].name);
		topic.count = cases[i].count;
		topic.assignments_count = -1;
		request.topics = &topic;
		request.topics_count = 1;
		cr_assert_eq(decide_create_partitions(&decision, &request, &response), 0);
		cr_assert_eq(response.results[0].error_code, cases[i].code);
		cr_assert(same(response.results[0].error_message, cases[i].message),
			"case %zu: %.*s", i, STR_ARGS(response.results[0].error_message));
	}
	cr_assert_eq(records.count, 2);
	apply();
	cr_assert_eq(image_partition(image_topic_by_name(image, STR("a")), 3)->leader, 1);
}

/* ---- settings ---- */

static struct incremental_alter_configs_response alter(
	int type, const char *resource, const char *name, int operation, const char *value)
{
	struct incremental_alter_configs_request_alterable_config alteration;
	struct incremental_alter_configs_request_alter_configs_resource asked;
	struct incremental_alter_configs_request request;
	struct incremental_alter_configs_response response;
	struct decision decision = decision_now(NULL);

	schema_init(&incremental_alter_configs_request_schema, &request);
	schema_init(&incremental_alter_configs_response_schema, &response);
	schema_init(&incremental_alter_configs_request_alter_configs_resource_schema, &asked);
	schema_init(&incremental_alter_configs_request_alterable_config_schema, &alteration);
	alteration.name = str_from(name);
	alteration.config_operation = (int8_t)operation;
	alteration.value = str_from(value);
	asked.resource_type = (int8_t)type;
	asked.resource_name = str_from(resource);
	asked.configs = &alteration;
	asked.configs_count = 1;
	request.resources = &asked;
	request.resources_count = 1;
	cr_assert_eq(decide_incremental_alter_configs(&decision, &request, &response), 0);
	return response;
}

/* A topic's setting is set, a topic that is not there refused, and a change of the minimum clears
 * the eligible leaders. */
Test(decision, settings_of_topics_are_changed)
{
	static const struct topic_ask there = {"a", 1, 1};
	struct incremental_alter_configs_response response;

	create_topics(&there, 1, false, NULL);
	apply();
	response = alter(2, "a", "retention.ms", 0, "5");
	cr_assert_eq(response.responses[0].error_code, 0);
	cr_assert_eq(records.count, 1);
	apply();
	cr_assert(
		same(image_config(image, IMAGE_CONFIG_TOPIC, STR("a"), STR("retention.ms")), "5"));
	response = alter(2, "a", "retention.ms", 1, NULL);
	apply();
	cr_assert(str_is_null(
		image_config(image, IMAGE_CONFIG_TOPIC, STR("a"), STR("retention.ms"))));
	response = alter(2, "a", "min.insync.replicas", 0, "1");
	cr_assert_eq(records.count, 2);
	cr_assert_eq(records.items[1].type, CLUSTER_METADATA_CLEAR_ELR);
	response = alter(2, "none", "retention.ms", 0, "5");
	cr_assert_eq(response.responses[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	cr_assert(same(response.responses[0].error_message, "The topic 'none' does not exist."));
	cr_assert_eq(records.count, 0);
	response = alter(2, "a", "no.such.setting", 0, "5");
	cr_assert_neq(response.responses[0].error_code, 0);
	/* What cannot be done to any topic is told before what is wrong with this one's name, and
	 * that before what is wrong with a value. */
	response = alter(2, "a/b", "retention.ms", 0, NULL);
	cr_assert_eq(response.responses[0].error_code, KAFKA_INVALID_REQUEST);
	response = alter(2, "a/b", "retention.ms", 3, "5");
	cr_assert_eq(response.responses[0].error_code, KAFKA_INVALID_CONFIG);
	response = alter(2, "a/b", "retention.ms", 0, "x");
	cr_assert_eq(response.responses[0].error_code, KAFKA_INVALID_TOPIC_EXCEPTION);
	/* Each broker changes only its own settings. */
	response = alter(4, "7", "log.cleaner.threads", 0, "2");
	cr_assert_eq(response.responses[0].error_code, KAFKA_INVALID_REQUEST);
	cr_assert(same(response.responses[0].error_message,
		"Unexpected broker id, expected 1, but received 7"));
}

/* ---- producer ids, features, brokers ---- */

/* Blocks follow one another; a stale epoch gets none. */
Test(decision, producer_ids_come_in_blocks)
{
	struct allocate_producer_ids_request request = {.broker_id = 1, .broker_epoch = 10};
	struct allocate_producer_ids_response response = {0};
	struct decision decision;

	for (int i = 0; i < 3; i++) {
		decision = decision_now(NULL);
		cr_assert_eq(decide_allocate_producer_ids(&decision, &request, &response), 0);
		cr_assert_eq(response.producer_id_start, i * 1000);
		cr_assert_eq(response.producer_id_len, 1000);
		apply();
	}
	request.broker_epoch = 9;
	decision = decision_now(NULL);
	cr_assert_eq(decide_allocate_producer_ids(&decision, &request, &response), 0);
	cr_assert_eq(response.error_code, KAFKA_STALE_BROKER_EPOCH);
	cr_assert_eq(records.count, 0);
}

Test(decision, features_change_only_where_all_support_it)
{
	static const struct {
		const char *name;
		int level, type, code;
		const char *message;
	} cases[] = {
		{"metadata.version", 31, 1, KAFKA_INVALID_UPDATE_VERSION,
			"Invalid update version 31 for feature metadata.version. Local controller "
			"1 only supports versions 7-30"},
		{"share.version", 1, 1, KAFKA_INVALID_UPDATE_VERSION,
			"Invalid update version 1 for feature share.version. Broker 1 does not "
			"support this feature."},
		{"no.version", 1, 1, KAFKA_INVALID_UPDATE_VERSION,
			"Invalid update version 1 for feature no.version. Local controller 1 does "
			"not support this feature."},
		{"no.version", 0, 1, KAFKA_INVALID_UPDATE_VERSION,
			"Invalid update version 0 for feature no.version. Feature no.version not "
			"found."},
		{"eligible.leader.replicas.version", 0, 1, KAFKA_INVALID_UPDATE_VERSION,
			"Invalid update version 0 for feature eligible.leader.replicas.version. "
			"Can't downgrade the version of this "
			"feature without setting the upgrade type to either safe or unsafe "
			"downgrade."},
		{"metadata.version", 29, 2, KAFKA_INVALID_UPDATE_VERSION,
			"Unsupported metadata.version downgrade from 30 to 29. Refusing to perform "
			"the requested downgrade because it "
			"might delete metadata information."},
		{"group.version", 1, 4, KAFKA_INVALID_UPDATE_VERSION,
			"Invalid update version 1 for feature group.version. The controller does "
			"not support the given upgrade type."},
		{"group.version", 1, 1, 0, NULL},
		{"eligible.leader.replicas.version", 0, 2, 0, NULL},
	};

	for (size_t i = 0; i < array_length(cases); i++) {
		struct update_features_request_feature_update_key update;
		struct update_features_request request;
		struct update_features_response response;
		struct decision decision = decision_now(NULL);
		char *expected = cases[i].message ? arena_printf(&arena,
							    "The update failed for all features "
							    "since the following feature had an "
							    "error: %s",
							    cases[i].message)
						  : NULL;

		schema_init(&update_features_request_schema, &request);
		schema_init(&update_features_response_schema, &response);
		schema_init(&update_features_request_feature_update_key_schema, &update);
		update.feature = str_from(cases[i].name);
		update.max_version_level = (int16_t)cases[i].level;
		update.upgrade_type = (int8_t)cases[i].type;
		request.feature_updates = &update;
		request.feature_updates_count = 1;
		cr_assert_eq(decide_update_features(&decision, 2, &request, &response), 0);
		cr_assert_eq(response.error_code, cases[i].code, "case %zu: %d %.*s", i,
			response.error_code, STR_ARGS(response.error_message));
		cr_assert(same(response.error_message, expected), "case %zu: %.*s", i,
			STR_ARGS(response.error_message));
		cr_assert_eq(records.count, cases[i].code == 0);
	}
}

/* A broker that returns after an unclean stop leaves every ISR, then leads what only it ever had,
 * recovering. */
Test(decision, an_unclean_return_leads_recovering)
{
	static const struct topic_ask there = {"a", 1, 1};
	struct controller_registration registration = {
		.rack = STR_NULL, .previous_broker_epoch = -1};
	struct controller_directory directory = {.id = {{1}}, .is_online = true};
	struct uuid incarnation = {{9}};
	const struct partition_record *partition;
	struct decision decision;

	create_topics(&there, 1, false, NULL);
	apply();
	decision = decision_now(NULL);
	cr_assert_eq(decide_fence_broker(&decision, 1), 0);
	apply();
	partition = image_partition(image_topic_by_name(image, STR("a")), 0);
	cr_assert_eq(partition->leader, -1);
	cr_assert_eq(partition->isr_count, 0);
	cr_assert_eq(partition->eligible_leader_replicas[0], 1);
	registration.directories = &directory;
	registration.directory_count = 1;
	decision = decision_now(NULL);
	cr_assert_eq(decide_register_broker(&decision, &incarnation, &registration), 0);
	apply();
	cr_assert_eq(image_broker(image, 1)->broker_epoch, 100);
	decision = decision_now(NULL);
	cr_assert_eq(decide_unfence_broker(&decision, 1), 0);
	apply();
	partition = image_partition(image_topic_by_name(image, STR("a")), 0);
	cr_assert_eq(partition->leader, 1);
	cr_assert_eq(partition->leader_recovery_state, 1);
	cr_assert_eq(partition->isr_count, 1);
	cr_assert_eq(partition->last_known_elr_count, 0);
}

/* A replica moves to another directory of its broker; one that the broker has lost can't lead. */
Test(decision, replicas_move_between_directories)
{
	static const struct topic_ask there = {"a", 1, 1};
	struct assign_replicas_to_dirs_request request;
	struct assign_replicas_to_dirs_response response;
	struct assign_replicas_to_dirs_request_directory_data directory;
	struct assign_replicas_to_dirs_request_topic_data topic;
	struct assign_replicas_to_dirs_request_partition_data partitions[2];
	struct decision decision;

	create_topics(&there, 1, false, NULL);
	apply();
	schema_init(&assign_replicas_to_dirs_request_schema, &request);
	schema_init(&assign_replicas_to_dirs_response_schema, &response);
	schema_init(&assign_replicas_to_dirs_request_directory_data_schema, &directory);
	schema_init(&assign_replicas_to_dirs_request_topic_data_schema, &topic);
	schema_init(&assign_replicas_to_dirs_request_partition_data_schema, &partitions[0]);
	partitions[1] = partitions[0];
	partitions[1].partition_index = 7;
	topic.topic_id = image_topic_by_name(image, STR("a"))->id;
	topic.partitions = partitions;
	topic.partitions_count = 2;
	directory.id = (struct uuid){{77, 1, 2, 3}};
	directory.topics = &topic;
	directory.topics_count = 1;
	request.broker_id = 1;
	request.broker_epoch = 10;
	request.directories = &directory;
	request.directories_count = 1;
	decision = decision_now(NULL);
	cr_assert_eq(decide_assign_replicas_to_dirs(&decision, &request, &response), 0);
	cr_assert_eq(response.error_code, 0);
	cr_assert_eq(response.directories[0].topics[0].partitions[0].error_code, 0);
	cr_assert_eq(response.directories[0].topics[0].partitions[1].error_code,
		KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	apply();
	cr_assert_eq(
		image_partition(image_topic_by_name(image, STR("a")), 0)->directories[0].octets[0],
		77);
	cr_assert_eq(image_partition(image_topic_by_name(image, STR("a")), 0)->leader, -1);
	request.broker_epoch = 11;
	decision = decision_now(NULL);
	cr_assert_eq(decide_assign_replicas_to_dirs(&decision, &request, &response), 0);
	cr_assert_eq(response.error_code, KAFKA_STALE_BROKER_EPOCH);
}

/* A directory fails: its partitions lose this leader, the registration is told what is left, and new
 * replicas go there at once. Two directories, a partition in each; the records and their order are
 * Kafka's. */
Test(decision, a_failed_directory_leads_nothing)
{
	static const struct topic_ask there = {"a", 2, 1};
	struct controller_registration registration = {
		.rack = STR_NULL, .previous_broker_epoch = 10};
	struct controller_directory directories[] = {
		{.id = {{5}}, .is_online = true}, {.id = {{4}}, .is_online = true}};
	const struct broker_registration_change_record *registered;
	const struct partition_change_record *change;
	struct uuid incarnation = {{9}};
	struct decision decision;

	registration.directories = directories;
	registration.directory_count = 2;
	decision = decision_now(NULL);
	cr_assert_eq(decide_register_broker(&decision, &incarnation, &registration), 0);
	apply();
	/* In the order of ids, as Kafka sorts them. */
	cr_assert_eq(image_broker(image, 1)->log_dirs[0].octets[0], 4);
	decision = decision_now(NULL);
	cr_assert_eq(decide_unfence_broker(&decision, 1), 0);
	apply();
	create_topics(&there, 1, false, NULL);
	apply();
	const struct image_topic *topic = image_topic_by_name(image, STR("a"));
	decision = decision_now(NULL);
	for (int i = 0; i < 2; i++) {
		struct partition_change_record *assigned = metadata_records_add(
			&records, CLUSTER_METADATA_PARTITION_CHANGE, 2);

		cr_assert(uuid_equal(&image_partition(topic, i)->directories[0],
			&UUID_DIRECTORY_UNASSIGNED));
		assigned->topic_id = topic->id;
		assigned->partition_id = i;
		assigned->directories = &directories[i].id;
		assigned->directories_count = 1;
	}
	apply();
	decision = decision_now(NULL);
	cr_assert_eq(decide_directories_online(&decision, 1, &directories[0].id, 1), 0);
	cr_assert_eq(records.count, 2);
	change = records.items[0].message;
	cr_assert_eq(records.items[0].type, CLUSTER_METADATA_PARTITION_CHANGE);
	cr_assert_eq(change->partition_id, 1);
	cr_assert_eq(change->leader, -1);
	cr_assert_eq(change->isr_count, 0);
	cr_assert_eq(change->eligible_leader_replicas[0], 1);
	registered = records.items[1].message;
	cr_assert_eq(records.items[1].type, CLUSTER_METADATA_BROKER_REGISTRATION_CHANGE);
	cr_assert_eq(records.items[1].version, 2);
	cr_assert_eq(registered->log_dirs_count, 1);
	cr_assert_eq(registered->log_dirs[0].octets[0], 5);
	apply();
	/* Told again, nothing is new. */
	decision = decision_now(NULL);
	cr_assert_eq(decide_directories_online(&decision, 1, &directories[0].id, 1), 0);
	cr_assert_eq(records.count, 0);
	decision = decision_now(NULL);
	cr_assert_eq(default_directory(&decision, 1).octets[0], 5);
}
