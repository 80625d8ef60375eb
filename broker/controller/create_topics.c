/*
 * CreateTopics (Kafka: ControllerApis.createTopics, ReplicationControlManager.createTopics). Topics
 * are checked one by one; what is right is made although others in the request are wrong.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config/config_change.h"
#include "broker/config/config_describe.h"
#include "broker/controller/assignment.h"
#include "broker/controller/decision.h"
#include "broker/controller/names.h"
#include "broker/controller/placement.h"

enum { PARTITIONS_PER_REQUEST_MAX = 10000 };

struct creation {
	const struct decision *decision;
	const struct create_topics_request *request;
	const struct create_topics_request_creatable_topic *topic;
	struct create_topics_response_creatable_topic_result *result;
	struct assignment assignment; /* of all partitions */
	struct decision_error error;
};

/* Sets the topic's error; -EINVAL says that it is wrong, which the caller takes for "go on with the
 * next". */
static int refuse(struct creation *creation, struct decision_error error)
{
	creation->error = error;
	return -EINVAL;
}

#define REFUSE(code, ...) refuse(creation, decision_error(creation->decision, code, __VA_ARGS__))

static int check_name(struct creation *creation)
{
	const struct decision *decision = creation->decision;
	struct str name = creation->topic->name,
		   problem = topic_name_problem(decision->arena, name);
	const struct image_topic *other;

	if (image_topic_by_name(decision->image, name))
		return REFUSE(
			KAFKA_TOPIC_ALREADY_EXISTS, "Topic '%.*s' already exists.", STR_ARGS(name));
	other = image_topic_colliding(decision->image, name);
	if (other)
		return REFUSE(KAFKA_INVALID_TOPIC_EXCEPTION,
			"Topic '%.*s' collides with existing topic: %.*s", STR_ARGS(name),
			STR_ARGS(other->name));
	if (!str_is_null(problem))
		return refuse(
			creation, (struct decision_error){KAFKA_INVALID_TOPIC_EXCEPTION, problem});
	return 0;
}

/* So many bytes of the names of settings without a value are enough to say what is wrong. */
enum { NULLS_SIZE = 512 };

static int check_configs(struct creation *creation, struct config_entries *ret_entries)
{
	const struct create_topics_request_creatable_topic *topic = creation->topic;
	struct arena *arena = creation->decision->records->arena;
	const char *nulls = NULL; /* their names, the first ones */
	struct config_refusal *refusal;
	bool some_unknown = false;
	int error;

	ret_entries->items = arena_new_array(
		arena, struct config_entry, (size_t)max_of(topic->configs_count, 1));
	if (!ret_entries->items)
		return -ENOMEM;
	ret_entries->count = 0;
	for (int32_t i = 0; i < topic->configs_count; i++) {
		struct str name = topic->configs[i].name, value = topic->configs[i].value;
		int32_t at = 0;

		if (str_is_null(value) && nulls && strlen(nulls) >= NULLS_SIZE)
			continue;
		if (str_is_null(value)) {
			nulls = nulls ? arena_printf(arena, "%s,%.*s", nulls, STR_ARGS(name))
				      : arena_printf(arena, "%.*s", STR_ARGS(name));
			if (!nulls)
				return -ENOMEM;
			continue;
		}
		/* A name that comes twice has its last value. One that does not exist is enough for the
		 * refusal below, so that no more are kept than there are settings. */
		bool unknown = setting_find(CONFIG_RESOURCE_TOPIC, name) == SETTING_NONE;
		if (unknown && some_unknown)
			continue;
		some_unknown |= unknown;
		while (at < ret_entries->count && !str_equal(ret_entries->items[at].name, name))
			at++;
		ret_entries->items[at] = (struct config_entry){.name = name, .value = value};
		ret_entries->count = max_of(ret_entries->count, at + 1);
	}
	if (nulls)
		return REFUSE(KAFKA_INVALID_CONFIG,
			"Null value not supported for topic configs: %s", nulls);
	refusal = arena_new(arena, struct config_refusal);
	if (!refusal)
		return -ENOMEM;
	error = config_check_new_topic(creation->decision->config, ret_entries, arena, refusal);
	if (error < 0)
		return error;
	if (refusal->error != KAFKA_NONE)
		return REFUSE(refusal->error, "%s", refusal->message);
	return 0;
}

static int assign_by_hand(struct creation *creation)
{
	const struct create_topics_request_creatable_topic *topic = creation->topic;
	const struct decision *decision = creation->decision;
	int32_t factor = -1, count = topic->assignments_count;

	if (topic->replication_factor != -1)
		return REFUSE(KAFKA_INVALID_REQUEST, "A manual partition assignment was specified, "
						     "but replication factor was not set to -1.");
	if (topic->num_partitions != -1)
		return REFUSE(KAFKA_INVALID_REQUEST, "A manual partition assignment was specified, "
						     "but numPartitions was not set to -1.");
	if (assignment_init(&creation->assignment, decision->records->arena, count) < 0)
		return -ENOMEM;
	for (int32_t i = 0; i < count; i++) {
		const struct create_topics_request_creatable_replica_assignment *given =
			&topic->assignments[i];
		int32_t partition = given->partition_index;
		struct replicas replicas = {given->broker_ids, given->broker_ids_count};
		bool is_in_range = partition >= 0 && partition < count;
		struct decision_error wrong;
		int error;

		if (is_in_range && creation->assignment.partitions[partition].replicas.count > 0)
			return REFUSE(KAFKA_INVALID_REPLICA_ASSIGNMENT,
				"Found multiple manual partition assignments for partition %d",
				partition);
		error = assignment_check(decision, replicas, factor, &wrong);
		if (error < 0)
			return error;
		if (wrong.code != KAFKA_NONE)
			return refuse(creation, wrong);
		factor = replicas.count;
		if (!assignment_has_active(decision, replicas))
			return REFUSE(KAFKA_INVALID_REPLICA_ASSIGNMENT,
				"All brokers specified in the manual partition assignment for "
				"partition %d are fenced or in "
				"controlled shutdown.",
				partition);
		if (!is_in_range)
			return REFUSE(KAFKA_INVALID_REPLICA_ASSIGNMENT,
				"partitions should be a consecutive 0-based integer sequence");
		creation->assignment.partitions[partition].replicas = replicas;
	}
	return 0;
}

static int assign_by_placement(struct creation *creation)
{
	const struct create_topics_request_creatable_topic *topic = creation->topic;
	const struct decision *decision = creation->decision;
	int32_t count = topic->num_partitions, factor = topic->replication_factor;
	struct str problem = STR_NULL;
	int error;

	if (factor < -1 || factor == 0)
		return REFUSE(KAFKA_INVALID_REPLICATION_FACTOR,
			"Replication factor must be larger than "
			"0, or -1 to use the default value.");
	if (count < -1 || count == 0)
		return REFUSE(KAFKA_INVALID_PARTITIONS,
			"Number of partitions was set to an invalid non-positive value.");
	if (count == -1)
		count = config_int(decision->config, SETTING_NUM_PARTITIONS);
	if (factor == -1)
		factor = config_int(decision->config, SETTING_DEFAULT_REPLICATION_FACTOR);
	if (assignment_init(&creation->assignment, decision->records->arena, count) < 0)
		return -ENOMEM;
	error = assignment_place(decision, &creation->assignment, factor, &problem);
	if (error == -EINVAL && str_is_null(problem))
		return REFUSE(KAFKA_INVALID_REPLICATION_FACTOR,
			"Unable to replicate the partition %d time(s): All brokers are currently "
			"fenced or in controlled "
			"shutdown.",
			factor);
	if (error == -EINVAL)
		return REFUSE(KAFKA_INVALID_REPLICATION_FACTOR,
			"Unable to replicate the partition %d time(s): %.*s", factor,
			STR_ARGS(problem));
	return error;
}

static int compare_configs(const void *a, const void *b)
{
	return str_compare(((const struct create_topics_response_creatable_topic_configs *)a)->name,
		((const struct create_topics_response_creatable_topic_configs *)b)->name);
}

/* What the topic's settings are in effect, for who may see it. */
static int describe(struct creation *creation, const struct config_entries *entries)
{
	struct create_topics_response_creatable_topic_result *result = creation->result;
	const struct decision *decision = creation->decision;
	struct config_descriptions descriptions;
	int error;

	if (!decision_may(decision, ACL_DESCRIBE_CONFIGS, RESOURCE_TOPIC, creation->topic->name)) {
		result->topic_config_error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
		return 0;
	}
	error = config_describe(decision->config, CONFIG_RESOURCE_TOPIC, false, entries,
		decision->records->arena, &descriptions);
	if (error < 0)
		return error;
	result->configs = schema_new_array(&create_topics_response_creatable_topic_configs_schema,
		decision->arena, descriptions.count);
	if (!result->configs)
		return -ENOMEM;
	for (int32_t i = 0; i < descriptions.count; i++) {
		const struct config_description *from = &descriptions.items[i];
		struct create_topics_response_creatable_topic_configs *to =
			&result->configs[result->configs_count++];

		to->name = arena_str(decision->arena, from->name);
		if (str_is_null(to->name))
			return -ENOMEM;
		to->value = arena_str(decision->arena, from->value);
		if (str_is_null(to->value) && !str_is_null(from->value))
			return -ENOMEM;
		to->read_only = from->is_read_only;
		to->config_source = (int8_t)from->source;
		to->is_sensitive = from->is_sensitive;
	}
	qsort(result->configs, (size_t)result->configs_count, sizeof(*result->configs),
		compare_configs);
	result->num_partitions = creation->assignment.count;
	result->replication_factor = (int16_t)creation->assignment.partitions[0].replicas.count;
	return 0;
}

static int write_records(struct creation *creation, const struct config_entries *entries)
{
	struct metadata_records *records = creation->decision->records;
	struct topic_record *topic = metadata_records_add(records, CLUSTER_METADATA_TOPIC, 0);

	if (!topic)
		return -ENOMEM;
	topic->name = creation->topic->name;
	topic->topic_id = creation->result->topic_id;
	for (int32_t i = 0; i < entries->count; i++) {
		struct config_record *config =
			metadata_records_add(records, CLUSTER_METADATA_CONFIG, 0);

		if (!config)
			return -ENOMEM;
		config->resource_type = IMAGE_CONFIG_TOPIC;
		config->resource_name = creation->topic->name;
		config->name = entries->items[i].name;
		config->value = entries->items[i].value;
	}
	/* A new topic has no eligible leaders to clear, but Kafka says so all the same. */
	for (int32_t i = 0; i < entries->count && image_elr_is_enabled(creation->decision->image);
		i++)
		if (str_equal(entries->items[i].name, STR("min.insync.replicas"))) {
			struct clear_elr_record *clear =
				metadata_records_add(records, CLUSTER_METADATA_CLEAR_ELR, 0);

			if (!clear)
				return -ENOMEM;
			clear->topic_name = creation->topic->name;
		}
	return assignment_write(
		creation->decision, &creation->assignment, &creation->result->topic_id, 0);
}

static int create_topic(struct creation *creation)
{
	const struct decision *decision = creation->decision;
	int32_t records_before = decision->records->count;
	struct config_entries entries;
	int error = check_name(creation);

	if (error == 0)
		error = check_configs(creation, &entries);
	if (error == 0)
		error = creation->topic->assignments_count > 0 ? assign_by_hand(creation)
							       : assign_by_placement(creation);
	if (error < 0)
		return error;
	creation->result->topic_id = decision_random_id(decision);
	error = describe(creation, &entries);
	if (error == 0)
		error = write_records(creation, &entries);
	if (error < 0)
		decision->records->count = records_before;
	return error;
}

static struct create_topics_response_creatable_topic_result *add_result(
	struct create_topics_response *response, struct str name)
{
	struct create_topics_response_creatable_topic_result *result =
		&response->topics[response->topics_count++];

	schema_init(&create_topics_response_creatable_topic_result_schema, result);
	result->name = name;
	result->error_message = STR_NULL;
	return result;
}

static void add_error(
	struct create_topics_response *response, struct str name, struct decision_error error)
{
	struct create_topics_response_creatable_topic_result *result = add_result(response, name);

	result->error_code = (int16_t)error.code;
	result->error_message = error.message;
}

/* The whole request failed: every topic says so. */
static int refuse_all(const struct decision *decision, const struct create_topics_request *request,
	struct create_topics_response *response, struct decision_error error)
{
	decision->records->count = 0;
	response->topics_count = 0;
	for (int32_t i = 0; i < request->topics_count; i++)
		add_error(response, request->topics[i].name, error);
	return 0;
}

static bool is_too_large(
	const struct decision *decision, const struct create_topics_request *request)
{
	int64_t total = 0;

	for (int32_t i = 0; i < request->topics_count; i++) {
		const struct create_topics_request_creatable_topic *topic = &request->topics[i];

		if (topic->assignments_count > 0)
			total += topic->assignments_count;
		else if (topic->num_partitions == -1)
			total += config_int(decision->config, SETTING_NUM_PARTITIONS);
		else if (topic->num_partitions > 0)
			total += topic->num_partitions;
	}
	return total > PARTITIONS_PER_REQUEST_MAX;
}

static bool may_create(const struct decision *decision, struct str name)
{
	return decision_may(decision, ACL_CREATE, RESOURCE_CLUSTER, CLUSTER_RESOURCE_NAME) ||
	       decision_may(decision, ACL_CREATE, RESOURCE_TOPIC, name);
}

int decide_create_topics(const struct decision *decision,
	const struct create_topics_request *request, struct create_topics_response *response)
{
	uint8_t *repeats;
	int error;

	response->topics = schema_new_array(&create_topics_response_creatable_topic_result_schema,
		decision->arena, max_of(request->topics_count, 1));
	if (!response->topics)
		return -ENOMEM;
	response->topics_count = 0;
	error = NAMES_FIND_REPEATS(
		decision->arena, request->topics, request->topics_count, name, &repeats);
	if (error < 0)
		return error;
	if (is_too_large(decision, request))
		return refuse_all(decision, request, response,
			decision_error(decision, KAFKA_POLICY_VIOLATION,
				"Excessively large number of partitions per request."));
	for (int32_t i = 0; i < request->topics_count; i++) {
		struct creation creation = {.decision = decision,
			.request = request,
			.topic = &request->topics[i],
			.error = DECISION_OK};
		struct str name = creation.topic->name;

		if (repeats[i] != NAME_ONCE || str_equal(name, STR("__cluster_metadata")) ||
			!may_create(decision, name))
			continue;
		creation.result = add_result(response, name);
		error = create_topic(&creation);
		if (error < 0 && error != -EINVAL)
			return error;
		if (error < 0) {
			schema_init(&create_topics_response_creatable_topic_result_schema,
				creation.result);
			creation.result->name = name;
			creation.result->error_code = (int16_t)creation.error.code;
			creation.result->error_message = creation.error.message;
		}
		if (decision->records->count > RECORDS_PER_OPERATION_MAX)
			return refuse_all(decision, request, response,
				decision_error(decision, KAFKA_POLICY_VIOLATION,
					"Unable to perform excessively large batch operation."));
	}
	for (int32_t i = 0; i < request->topics_count; i++)
		if (repeats[i] == NAME_REPEATED_FIRST)
			add_error(response, request->topics[i].name,
				decision_error(
					decision, KAFKA_INVALID_REQUEST, "Duplicate topic name."));
	for (int32_t i = 0; i < request->topics_count; i++) {
		struct str name = request->topics[i].name;

		if (repeats[i] != NAME_ONCE)
			continue;
		if (str_equal(name, STR("__cluster_metadata")))
			add_error(response, name,
				decision_error(decision, KAFKA_INVALID_REQUEST,
					"Creation of internal topic __cluster_metadata is "
					"prohibited."));
		else if (!may_create(decision, name))
			add_error(response, name,
				decision_error(decision, KAFKA_TOPIC_AUTHORIZATION_FAILED,
					"Authorization failed."));
	}
	if (request->validate_only)
		decision->records->count = 0;
	return 0;
}
