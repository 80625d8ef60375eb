#include "broker/metadata/image.h"

#include <errno.h>

#include <criterion/criterion.h>
#include <stdio.h>

static struct arena arena;

static void set_up(void)
{
	arena_init(&arena, 64 << 20);
}

static void tear_down(void)
{
	arena_done(&arena);
}

TestSuite(image, .init = set_up, .fini = tear_down);

/* Encoded and decoded on its way, so that what is tested is what a log would hold. */
static int apply(struct image **image, const struct metadata_record *record, int64_t offset,
	const char **ret_why)
{
	struct metadata_record decoded;
	struct output output;

	output_init(&output, &arena, 0);
	cr_assert_eq(metadata_record_encode(record, &output), 0, "%s",
		metadata_record_name(record->type));
	cr_assert_eq(metadata_record_decode(output_bytes(&output), &arena, &decoded, NULL), 0);
	return image_apply(image, &decoded, offset, ret_why);
}

static void apply_all(struct image **image, const struct metadata_records *records)
{
	for (int32_t i = 0; i < records->count; i++) {
		const char *why = "";

		cr_assert_eq(apply(image, &records->items[i], i, &why), 0, "record %d: %s", i, why);
	}
}

static int collect(const struct metadata_record *record, void *argument)
{
	struct output *output = argument;

	return metadata_record_encode(record, output);
}

/* An image as the bytes of its snapshot. */
static struct bytes snapshot_of(const struct image *image)
{
	struct output output;

	output_init(&output, &arena, 0);
	cr_assert_eq(image_to_records(image, collect, &output, NULL), 0);
	return output_bytes(&output);
}

static int apply_copy(const struct metadata_record *record, void *argument)
{
	const char *why = "";
	int error = apply(argument, record, -1, &why);

	cr_assert_eq(error, 0, "%s", why);
	return error;
}

static struct image *replay_snapshot(const struct image *image)
{
	struct image *copy = image_new();

	image_kraft_version_set(&copy, image_feature_level(image, STR(FEATURE_KRAFT_VERSION)));
	cr_assert_eq(image_to_records(image, apply_copy, &copy, NULL), 0);
	return copy;
}

static bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.size == b.size && memcmp(a.data, b.data, (size_t)a.size) == 0;
}

static struct uuid id_of(int number)
{
	struct uuid id = {{0x10, 0x20, 0x30, 0x40, 0x50}};

	store_be32(id.octets + 12, (uint32_t)number + 1000);
	return id;
}

static int32_t *int_list(int count, ...)
{
	int32_t *list = arena_new_array(&arena, int32_t, (size_t)count + 1);
	va_list values;

	va_start(values, count);
	for (int i = 0; i < count; i++)
		list[i] = va_arg(values, int);
	va_end(values);
	return list;
}

#define LIST(object, field, count, ...)                         \
	do {                                                    \
		(object)->field = int_list(count, __VA_ARGS__); \
		(object)->field##_count = (count);              \
	} while (0)

static void add_feature(struct metadata_records *records, const char *name, int level)
{
	struct feature_level_record *record =
		metadata_records_add(records, CLUSTER_METADATA_FEATURE_LEVEL, 0);

	record->name = str_from(name);
	record->feature_level = (int16_t)level;
}

static void add_topic(struct metadata_records *records, const char *name, int number)
{
	struct topic_record *record = metadata_records_add(records, CLUSTER_METADATA_TOPIC, 0);

	record->name = str_from(name);
	record->topic_id = id_of(number);
}

static struct partition_record *add_partition(
	struct metadata_records *records, int topic, int partition, int record_version)
{
	struct partition_record *record =
		metadata_records_add(records, CLUSTER_METADATA_PARTITION, record_version);

	record->topic_id = id_of(topic);
	record->partition_id = partition;
	LIST(record, replicas, 2, 1, 2);
	LIST(record, isr, 1, 1);
	record->leader = 1;
	record->leader_epoch = 0;
	record->partition_epoch = 0;
	if (record_version >= 1) {
		record->directories = arena_new_array(&arena, struct uuid, 2);
		record->directories_count = 2;
		record->directories[0] = id_of(501);
		record->directories[1] = id_of(502);
	}
	return record;
}

static struct register_broker_record *add_broker(
	struct metadata_records *records, int id, int version)
{
	struct register_broker_record *record =
		metadata_records_add(records, CLUSTER_METADATA_REGISTER_BROKER, version);

	record->broker_id = id;
	record->broker_epoch = id * 10;
	record->incarnation_id = id_of(id);
	record->rack = STR_NULL;
	record->end_points =
		schema_new_array(&register_broker_record_broker_endpoint_schema, &arena, 1);
	record->end_points_count = 1;
	record->end_points[0].name = STR("PLAINTEXT");
	record->end_points[0].host = STR("host");
	record->end_points[0].port = 9092;
	if (version >= 3) {
		record->log_dirs = arena_new_array(&arena, struct uuid, 1);
		record->log_dirs_count = 1;
		record->log_dirs[0] = id_of(500 + id);
	}
	return record;
}

static void add_config(struct metadata_records *records, int type, const char *resource,
	const char *name, const char *value)
{
	struct config_record *record = metadata_records_add(records, CLUSTER_METADATA_CONFIG, 0);

	record->resource_type = (int8_t)type;
	record->resource_name = str_from(resource);
	record->name = str_from(name);
	record->value = str_from(value);
}

/* At least one record of every type that leaves something in an image, at metadata.version LEVEL.
 */
static void add_everything(struct metadata_records *records, int level)
{
	int partition_version = partition_record_version(level);
	struct register_broker_record *broker;
	struct register_controller_record *controller;
	struct client_quota_record *quota;
	struct access_control_entry_record *acl;
	struct user_scram_credential_record *scram;
	struct delegation_token_record *token;
	struct producer_ids_record *ids;
	struct partition_record *partition;
	struct partition_change_record *change;
	struct zk_migration_state_record *migration;

	add_feature(records, FEATURE_METADATA_VERSION, level);
	if (level >= METADATA_VERSION_4_0_IV1)
		add_feature(records, FEATURE_ELR_VERSION, 1);
	if (level >= 22)
		add_feature(records, FEATURE_GROUP_VERSION, 1);
	broker = add_broker(records, 1, register_broker_record_version(level));
	broker->rack = STR("rack-a");
	if (level >= METADATA_VERSION_4_3_IV0) {
		broker->cordoned_log_dirs = broker->log_dirs;
		broker->cordoned_log_dirs_count = 1;
	}
	add_broker(records, 2, register_broker_record_version(level))->fenced = false;
	if (level >= METADATA_VERSION_3_7_IV0) {
		controller = metadata_records_add(records, CLUSTER_METADATA_REGISTER_CONTROLLER, 0);
		controller->controller_id = 1;
		controller->incarnation_id = id_of(77);
	}
	add_topic(records, "b.topic", 1);
	add_topic(records, "a_topic", 2);
	add_partition(records, 1, 0, partition_version);
	partition = add_partition(records, 1, 1, partition_version);
	if (partition_version >= 2) {
		LIST(partition, eligible_leader_replicas, 1, 2);
		LIST(partition, last_known_elr, 1, 1);
	}
	add_partition(records, 2, 0, partition_version)->leader_recovery_state = 1;
	change =
		metadata_records_add(records, CLUSTER_METADATA_PARTITION_CHANGE, partition_version);
	change->topic_id = id_of(2);
	change->partition_id = 0;
	change->leader = 2;
	LIST(change, isr, 2, 1, 2);
	LIST(change, adding_replicas, 1, 2);
	LIST(change, removing_replicas, 1, 1);
	add_config(records, IMAGE_CONFIG_TOPIC, "b.topic", "retention.ms", "5");
	add_config(records, IMAGE_CONFIG_TOPIC, "b.topic", "cleanup.policy", "compact");
	add_config(records, IMAGE_CONFIG_BROKER, "", "min.insync.replicas", "1");
	add_config(records, IMAGE_CONFIG_BROKER, "1", "log.cleaner.threads", "2");
	quota = metadata_records_add(records, CLUSTER_METADATA_CLIENT_QUOTA, 0);
	quota->entity = schema_new_array(&client_quota_record_entity_data_schema, &arena, 2);
	quota->entity_count = 2;
	quota->entity[0].entity_type = STR("user");
	quota->entity[0].entity_name = STR("alice");
	quota->entity[1].entity_type = STR("client-id");
	quota->entity[1].entity_name = STR_NULL;
	quota->key = STR("producer_byte_rate");
	quota->value = 1024.5;
	ids = metadata_records_add(records, CLUSTER_METADATA_PRODUCER_IDS, 0);
	ids->broker_id = 1;
	ids->next_producer_id = 4000;
	acl = metadata_records_add(records, CLUSTER_METADATA_ACCESS_CONTROL_ENTRY, 0);
	acl->id = id_of(9);
	acl->resource_type = 2;
	acl->resource_name = STR("b.topic");
	acl->principal = STR("User:alice");
	acl->host = STR("*");
	if (level >= METADATA_VERSION_3_5_IV2) {
		scram = metadata_records_add(records, CLUSTER_METADATA_USER_SCRAM_CREDENTIAL, 0);
		scram->name = STR("alice");
		scram->mechanism = 1;
		scram->salt = (struct bytes){.data = (const uint8_t *)"salt", .size = 4};
		scram->stored_key = scram->server_key = scram->salt;
		scram->iterations = 4096;
	}
	if (level >= METADATA_VERSION_3_6_IV2) {
		token = metadata_records_add(records, CLUSTER_METADATA_DELEGATION_TOKEN, 0);
		token->owner = STR("User:alice");
		token->requester = STR("User:alice");
		token->renewers = arena_new_array(&arena, struct str, 1);
		token->renewers_count = 1;
		token->renewers[0] = STR("User:bob");
		token->token_id = STR("t0");
	}
	if (level >= METADATA_VERSION_3_4_IV0) {
		migration = metadata_records_add(records, CLUSTER_METADATA_ZK_MIGRATION_STATE, 0);
		migration->zk_migration_state = 3;
	}
}

/* For every level: an image with something of everything, written as a snapshot and replayed, is
 * the same image. */
Test(image, a_snapshot_loses_nothing_at_any_level)
{
	for (int level = METADATA_VERSION_MIN; level <= METADATA_VERSION_LATEST; level++) {
		struct metadata_records records;
		struct image *image = image_new(), *copy;
		uint32_t lost = 99;
		struct output output;

		metadata_records_init(&records, &arena);
		add_everything(&records, level);
		apply_all(&image, &records);
		output_init(&output, &arena, 0);
		cr_assert_eq(image_to_records(image, collect, &output, &lost), 0);
		cr_assert_eq(lost, 0);
		copy = replay_snapshot(image);
		cr_assert(bytes_equal(snapshot_of(image), snapshot_of(copy)), "level %d", level);
		cr_assert_eq(image_partition_count_all(copy), 3);
		cr_assert_eq(image_topic_count(copy), 2);
		image_unref(copy);
		image_unref(image);
		arena_reset(&arena);
	}
}

/* What stands in a snapshot of 4.3, in Kafka's order. */
Test(image, a_snapshot_is_in_kafkas_order)
{
	static const int expected[] = {CLUSTER_METADATA_FEATURE_LEVEL,
		CLUSTER_METADATA_FEATURE_LEVEL, CLUSTER_METADATA_FEATURE_LEVEL,
		CLUSTER_METADATA_ZK_MIGRATION_STATE, CLUSTER_METADATA_REGISTER_BROKER,
		CLUSTER_METADATA_REGISTER_BROKER, CLUSTER_METADATA_REGISTER_CONTROLLER,
		CLUSTER_METADATA_TOPIC, CLUSTER_METADATA_PARTITION, CLUSTER_METADATA_PARTITION,
		CLUSTER_METADATA_TOPIC, CLUSTER_METADATA_PARTITION, CLUSTER_METADATA_CONFIG,
		CLUSTER_METADATA_CONFIG, CLUSTER_METADATA_CONFIG, CLUSTER_METADATA_CONFIG,
		CLUSTER_METADATA_CLIENT_QUOTA, CLUSTER_METADATA_PRODUCER_IDS,
		CLUSTER_METADATA_ACCESS_CONTROL_ENTRY, CLUSTER_METADATA_USER_SCRAM_CREDENTIAL,
		CLUSTER_METADATA_DELEGATION_TOKEN};
	struct metadata_records records;
	struct image *image = image_new();
	struct bytes bytes;
	size_t at = 0;

	metadata_records_init(&records, &arena);
	add_everything(&records, METADATA_VERSION_LATEST);
	apply_all(&image, &records);
	/* Every frame begins 1, type, version, and all are below 128 here: found by decoding what
	 * begins at each place. */
	bytes = snapshot_of(image);
	for (size_t i = 0; i < array_length(expected); i++) {
		const struct record_row *row =
			record_find(RECORD_LOG_CLUSTER_METADATA, bytes.data[at + 1]);
		void *message = schema_new(row->value, &arena);
		size_t consumed;

		cr_assert_eq(bytes.data[at], 1);
		cr_assert_eq(bytes.data[at + 1], expected[i], "record %zu is of type %d", i,
			bytes.data[at + 1]);
		cr_assert_eq(schema_decode(row->value, bytes.data[at + 2],
				     (struct bytes){.data = bytes.data + at + 3,
					     .size = bytes.size - (int32_t)at - 3},
				     &arena, message, &consumed, NULL),
			0);
		at += 3 + consumed;
	}
	cr_assert_eq(at, (size_t)bytes.size);
	image_unref(image);
}

/* A level that has no place for something drops it and says so. */
Test(image, a_lower_level_counts_what_it_cannot_say)
{
	struct metadata_records records;
	struct image *image = image_new();
	struct output output;
	uint32_t lost = 0;

	metadata_records_init(&records, &arena);
	add_everything(&records, METADATA_VERSION_LATEST);
	add_feature(&records, FEATURE_METADATA_VERSION, METADATA_VERSION_MIN);
	apply_all(&image, &records);
	output_init(&output, &arena, 0);
	cr_assert_eq(image_to_records(image, collect, &output, &lost), 0);
	/* Two brokers, one controller, three partitions, one credential, one token. */
	cr_assert_eq(lost, 8);
	image_unref(image);
}

/* Each change is applied and looked at through the accessors. */
Test(image, changes_are_merged)
{
	struct metadata_records records;
	struct image *image = image_new();
	const struct partition_record *partition;
	const struct register_broker_record *broker;
	struct partition_change_record *change;
	struct broker_registration_change_record *registration;
	struct fence_broker_record *fence;
	const char *why;

	metadata_records_init(&records, &arena);
	add_everything(&records, METADATA_VERSION_LATEST);
	apply_all(&image, &records);
	partition = image_partition(image_topic_by_name(image, STR("a_topic")), 0);
	cr_assert_eq(partition->leader, 2);
	cr_assert_eq(partition->leader_epoch, 1);
	cr_assert_eq(partition->partition_epoch, 1);
	cr_assert_eq(partition->leader_recovery_state, 1);
	cr_assert_eq(partition->isr_count, 2);
	cr_assert_eq(partition->replicas_count, 2);
	cr_assert_eq(partition->adding_replicas[0], 2);

	records.count = 0;
	change = metadata_records_add(&records, CLUSTER_METADATA_PARTITION_CHANGE, 2);
	change->topic_id = id_of(2);
	change->partition_id = 0;
	change->isr_count = 0;
	change->leader = -1;
	LIST(change, last_known_elr, 1, 2);
	registration =
		metadata_records_add(&records, CLUSTER_METADATA_BROKER_REGISTRATION_CHANGE, 3);
	registration->broker_id = 1;
	registration->broker_epoch = 10;
	registration->fenced = -1;
	registration->in_controlled_shutdown = 1;
	registration->cordoned_log_dirs_count = 0;
	fence = metadata_records_add(&records, CLUSTER_METADATA_FENCE_BROKER, 0);
	fence->id = 2;
	fence->epoch = 20;
	apply_all(&image, &records);
	partition = image_partition(image_topic_by_name(image, STR("a_topic")), 0);
	cr_assert_eq(partition->leader, -1);
	cr_assert_eq(partition->leader_epoch, 2);
	cr_assert_eq(partition->isr_count, 0);
	cr_assert_eq(partition->last_known_elr[0], 2);
	broker = image_broker(image, 1);
	cr_assert_not(broker->fenced);
	cr_assert(broker->in_controlled_shutdown);
	cr_assert_eq(broker->cordoned_log_dirs_count, 0);
	cr_assert_eq(broker->log_dirs_count, 1);
	cr_assert_eq(image_broker_registration_offset(image, 1), 3);
	cr_assert(image_broker(image, 2)->fenced);
	cr_assert_not(image_broker_is_active(image, 2));

	records.count = 0;
	metadata_records_add(&records, CLUSTER_METADATA_CLEAR_ELR, 0);
	apply_all(&image, &records);
	partition = image_partition(image_topic_by_name(image, STR("a_topic")), 0);
	cr_assert_eq(partition->last_known_elr_count, 0);
	cr_assert_eq(partition->partition_epoch, 3);

	/* A broker that comes back with another epoch cannot be changed under the old one. */
	registration->broker_epoch = 11;
	cr_assert_eq(apply(&image,
			     &(struct metadata_record){
				     CLUSTER_METADATA_BROKER_REGISTRATION_CHANGE, 3, registration},
			     9, &why),
		-EBADMSG);
	cr_assert_eq(image_broker(image, 1)->broker_epoch, 10);
	image_unref(image);
}

/* What each remove takes away, and what it leaves. */
Test(image, removed_things_are_gone)
{
	struct metadata_records records;
	struct image *image = image_new();
	struct remove_topic_record *topic;
	struct unregister_broker_record *broker;
	struct remove_access_control_entry_record *acl;
	struct remove_user_scram_credential_record *scram;
	struct remove_delegation_token_record *token;
	struct client_quota_record *quota;

	metadata_records_init(&records, &arena);
	add_everything(&records, METADATA_VERSION_LATEST);
	topic = metadata_records_add(&records, CLUSTER_METADATA_REMOVE_TOPIC, 0);
	topic->topic_id = id_of(1);
	broker = metadata_records_add(&records, CLUSTER_METADATA_UNREGISTER_BROKER, 0);
	broker->broker_id = 2;
	broker->broker_epoch = 20;
	acl = metadata_records_add(&records, CLUSTER_METADATA_REMOVE_ACCESS_CONTROL_ENTRY, 0);
	acl->id = id_of(9);
	scram = metadata_records_add(&records, CLUSTER_METADATA_REMOVE_USER_SCRAM_CREDENTIAL, 0);
	scram->name = STR("alice");
	scram->mechanism = 1;
	token = metadata_records_add(&records, CLUSTER_METADATA_REMOVE_DELEGATION_TOKEN, 0);
	token->token_id = STR("t0");
	quota = metadata_records_add(&records, CLUSTER_METADATA_CLIENT_QUOTA, 0);
	quota->entity = schema_new_array(&client_quota_record_entity_data_schema, &arena, 2);
	quota->entity_count = 2;
	quota->entity[0].entity_type = STR("client-id");
	quota->entity[0].entity_name = STR_NULL;
	quota->entity[1].entity_type = STR("user");
	quota->entity[1].entity_name = STR("alice");
	quota->key = STR("producer_byte_rate");
	quota->remove = true;
	add_config(&records, IMAGE_CONFIG_BROKER, "1", "log.cleaner.threads", NULL);
	add_feature(&records, FEATURE_GROUP_VERSION, 0);
	apply_all(&image, &records);

	cr_assert_null(image_topic_by_name(image, STR("b.topic")));
	cr_assert_null(image_topic_by_id(image, &topic->topic_id));
	cr_assert_eq(image_partition_count_all(image), 1);
	cr_assert_null(image_config_next(image, IMAGE_CONFIG_TOPIC, STR("b.topic"), NULL));
	cr_assert(str_equal(
		image_config(image, IMAGE_CONFIG_BROKER, STR(""), STR("min.insync.replicas")),
		STR("1")));
	cr_assert(str_is_null(
		image_config(image, IMAGE_CONFIG_BROKER, STR("1"), STR("log.cleaner.threads"))));
	cr_assert_null(image_broker(image, 2));
	cr_assert_null(image_acl_at(image, 0));
	cr_assert_null(image_scram_credential(image, 1, STR("alice")));
	cr_assert_null(image_token(image, STR("t0")));
	cr_assert_null(image_quota_at(image, 0));
	cr_assert_eq(image_feature_level(image, STR(FEATURE_GROUP_VERSION)), 0);
	image_unref(image);
}

/* Topics come in order of name, pages begin in the middle, and names that collide are found either
 * way round. */
Test(image, topics_are_found_in_order)
{
	static const char *const names[] = {"z", "a.b_c", "m", "a.c"};
	struct metadata_records records;
	struct image *image = image_new();

	metadata_records_init(&records, &arena);
	for (size_t i = 0; i < array_length(names); i++)
		add_topic(&records, names[i], (int)i);
	apply_all(&image, &records);
	cr_assert(str_equal(image_topic_at(image, 0)->name, STR("a.b_c")));
	cr_assert(str_equal(image_topic_from(image, STR("b"))->name, STR("m")));
	cr_assert(str_equal(
		image_topic_next(image, image_topic_from(image, STR("m")))->name, STR("z")));
	cr_assert_null(image_topic_next(image, image_topic_by_name(image, STR("z"))));
	cr_assert_null(image_topic_at(image, 4));
	cr_assert(str_equal(image_topic_colliding(image, STR("a_b.c"))->name, STR("a.b_c")));
	cr_assert(str_equal(image_topic_colliding(image, STR("a.b.c"))->name, STR("a.b_c")));
	cr_assert(str_equal(image_topic_colliding(image, STR("a_c"))->name, STR("a.c")));
	cr_assert_null(image_topic_colliding(image, STR("a.b_c")));
	cr_assert_null(image_topic_colliding(image, STR("a.d")));
	cr_assert_null(image_topic_colliding(image, STR("")));
	image_unref(image);
}

/* Each record does not fit the image: it is refused with a reason, and the image stays as it was.
 */
Test(image, records_that_do_not_fit_are_refused)
{
	struct metadata_records base, bad;
	struct image *image = image_new();
	struct bytes before;
	struct partition_change_record *change;
	struct partition_record *partition;
	struct unregister_broker_record *broker;

	metadata_records_init(&base, &arena);
	add_everything(&base, METADATA_VERSION_LATEST);
	apply_all(&image, &base);
	before = snapshot_of(image);

	metadata_records_init(&bad, &arena);
	add_topic(&bad, "b.topic", 50);
	add_topic(&bad, "new", 1);
	add_partition(&bad, 99, 0, 2);
	add_partition(&bad, 1, -1, 2);
	partition = add_partition(&bad, 1, 5, 2);
	partition->directories_count = 1;
	partition = add_partition(&bad, 1, 5, 2);
	partition->leader_recovery_state = 2;
	change = metadata_records_add(&bad, CLUSTER_METADATA_PARTITION_CHANGE, 2);
	change->topic_id = id_of(1);
	change->partition_id = 7;
	change = metadata_records_add(&bad, CLUSTER_METADATA_PARTITION_CHANGE, 2);
	change->topic_id = id_of(1);
	change->partition_id = 0;
	LIST(change, replicas, 3, 1, 2, 3);
	((struct remove_topic_record *)metadata_records_add(&bad, CLUSTER_METADATA_REMOVE_TOPIC, 0))
		->topic_id = id_of(99);
	broker = metadata_records_add(&bad, CLUSTER_METADATA_UNREGISTER_BROKER, 0);
	broker->broker_id = 1;
	broker->broker_epoch = 11;
	add_feature(&bad, FEATURE_METADATA_VERSION, 6);
	add_feature(&bad, FEATURE_GROUP_VERSION, 9);
	add_feature(&bad, "new.version", 1);
	((struct producer_ids_record *)metadata_records_add(&bad, CLUSTER_METADATA_PRODUCER_IDS, 0))
		->next_producer_id = 3000;
	metadata_records_add(&bad, CLUSTER_METADATA_REMOVE_ACCESS_CONTROL_ENTRY, 0);
	((struct clear_elr_record *)metadata_records_add(&bad, CLUSTER_METADATA_CLEAR_ELR, 0))
		->topic_name = STR("nope");

	for (int32_t i = 0; i < bad.count; i++) {
		const char *why = NULL;

		cr_assert_eq(apply(&image, &bad.items[i], 1, &why), -EBADMSG, "record %d", i);
		cr_assert_not_null(why);
	}
	cr_assert(bytes_equal(before, snapshot_of(image)));
	image_unref(image);
}

/*
 * Hundreds of topics are made, changed and removed at random. Versions kept on the way stay what
 * they were, byte for byte, and each, written as a snapshot and replayed, is the same image again.
 */
Test(image, versions_share_their_structure_and_stay_as_they_were)
{
	enum { STEPS = 1500, KEPT = 15, TOPICS = 120 };
	struct image *image = image_new(), *kept[KEPT];
	struct bytes bytes[KEPT];
	bool is_there[TOPICS] = {false};
	unsigned random = 11;
	int kept_count = 0;
	struct metadata_records records;

	metadata_records_init(&records, &arena);
	add_everything(&records, METADATA_VERSION_LATEST);
	apply_all(&image, &records);
	for (int step = 0; step < STEPS; step++) {
		int topic = 100 + (int)((random = random * 1664525 + 1013904223) >> 8) % TOPICS;

		metadata_records_init(&records, &arena);
		if (!is_there[topic - 100]) {
			add_topic(&records, arena_printf(&arena, "topic-%d", topic), topic);
			for (int i = 0; i < 3; i++)
				add_partition(&records, topic, i, 2);
			add_config(&records, IMAGE_CONFIG_TOPIC,
				arena_printf(&arena, "topic-%d", topic), "a", "b");
			is_there[topic - 100] = true;
		} else if ((random = random * 1664525 + 1013904223) >> 28 < 12) {
			struct partition_change_record *change = metadata_records_add(
				&records, CLUSTER_METADATA_PARTITION_CHANGE, 2);

			change->topic_id = id_of(topic);
			change->partition_id = step % 3;
			change->leader = step % 2 + 1;
		} else {
			((struct remove_topic_record *)metadata_records_add(
				 &records, CLUSTER_METADATA_REMOVE_TOPIC, 0))
				->topic_id = id_of(topic);
			is_there[topic - 100] = false;
		}
		apply_all(&image, &records);
		if (step % (STEPS / KEPT) == 0) {
			bytes[kept_count] = snapshot_of(image);
			kept[kept_count++] = image_ref(image);
		}
	}
	for (int i = 0; i < kept_count; i++) {
		struct image *copy = replay_snapshot(kept[i]);

		cr_assert(bytes_equal(bytes[i], snapshot_of(kept[i])));
		cr_assert(bytes_equal(bytes[i], snapshot_of(copy)));
		image_unref(copy);
		image_unref(kept[i]);
	}
	image_unref(image);
}

static void name_add(void *argument, struct str resource)
{
	char *names = argument;

	sprintf(names + strlen(names), "[%.*s]", STR_ARGS(resource));
}

/* Of each type by itself; a resource is named once, however many of its settings differ. */
Test(image, settings_that_differ_are_found)
{
	struct metadata_records records;
	struct image *image = image_new(), *before;
	char topics[100] = "", brokers[100] = "", all[100] = "";

	metadata_records_init(&records, &arena);
	add_everything(&records, METADATA_VERSION_LATEST);
	apply_all(&image, &records);
	before = image_ref(image);
	metadata_records_init(&records, &arena);
	add_config(&records, IMAGE_CONFIG_TOPIC, "a_topic", "retention.ms", "7");
	add_config(&records, IMAGE_CONFIG_TOPIC, "a_topic", "segment.ms", "7");
	add_config(&records, IMAGE_CONFIG_TOPIC, "b.topic", "retention.ms", NULL);
	add_config(&records, IMAGE_CONFIG_TOPIC, "c", "retention.ms", "9");
	apply_all(&image, &records);
	image_configs_diff(before, image, IMAGE_CONFIG_TOPIC, name_add, topics);
	cr_assert_str_eq(topics, "[a_topic][b.topic][c]");
	image_configs_diff(before, image, IMAGE_CONFIG_BROKER, name_add, brokers);
	cr_assert_str_eq(brokers, "");
	image_configs_diff(NULL, image, IMAGE_CONFIG_BROKER, name_add, all);
	cr_assert_str_eq(all, "[][1]");
	image_unref(before);
	image_unref(image);
}

/* Records that a newer Kafka might write, or a damaged log hold: refused when they are decoded. */
Test(image, foreign_records_are_refused)
{
	static const struct {
		const char *bytes;
		int size, error;
	} cases[] = {
		{"", 0, -EBADMSG},
		{"\x01", 1, -EBADMSG},
		{"\x01\x14", 2, -EBADMSG},
		{"\x01\x14\x00", 3, -EBADMSG},
		{"\x02\x14\x00\x00", 4, -EPROTONOSUPPORT},
		{"\x01\x7f\x00\x00", 4, -EPROTONOSUPPORT},
		{"\x01\x06\x00\x00", 4, -EPROTONOSUPPORT},
		{"\x01\x14\x01\x00", 4, -EPROTONOSUPPORT},
		{"\x01\x14\x00\x00\x00", 5, -EBADMSG},
		{"\x01\xff\xff\xff\xff\xff\x01\x00\x00", 9, -EBADMSG},
		{"\x01\x14\x00\x00", 4, 0},
	};

	for (size_t i = 0; i < array_length(cases); i++) {
		struct metadata_record record;
		const char *why = NULL;

		cr_assert_eq(metadata_record_decode(
				     (struct bytes){.data = (const uint8_t *)cases[i].bytes,
					     .size = cases[i].size},
				     &arena, &record, &why),
			cases[i].error, "case %zu", i);
		cr_assert_eq(why != NULL, cases[i].error != 0);
	}
}
