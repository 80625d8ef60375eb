/*
 * IncrementalAlterConfigs and AlterConfigs. What a change of one resource comes to is
 * broker/config's to decide; here are the request around it (Kafka:
 * ControllerApis.handleIncrementalAlterConfigs), whether the resource exists, and the records.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/config/config_change.h"
#include "broker/controller/decision.h"

/* A resource of either request. */
struct resource {
	int8_t type;
	struct str name;
	struct config_changes changes;
	int32_t place;
	bool is_repeated; /* refused, each time that it is named */
	struct decision_error error;
};

static int compare_resources(const void *a, const void *b)
{
	const struct resource *left = *(struct resource *const *)a,
			      *right = *(struct resource *const *)b;
	int order = left->type != right->type
			    ? (left->type > right->type) - (left->type < right->type)
			    : str_compare(left->name, right->name);

	return order != 0 ? order : left->place - right->place;
}

static int find_repeats(const struct decision *decision, struct resource *resources, int32_t count)
{
	struct resource **sorted =
		arena_new_array(decision->arena, struct resource *, (size_t)max_of(count, 1));

	if (!sorted)
		return -ENOMEM;
	for (int32_t i = 0; i < count; i++)
		sorted[i] = &resources[i];
	qsort(sorted, (size_t)count, sizeof(*sorted), compare_resources);
	for (int32_t i = 1; i < count; i++)
		if (sorted[i - 1]->type == sorted[i]->type &&
			str_equal(sorted[i - 1]->name, sorted[i]->name))
			sorted[i - 1]->is_repeated = sorted[i]->is_repeated = true;
	return 0;
}

static bool parse_broker_id(struct str name, int32_t *ret_id)
{
	char digits[12], *end;
	long id;

	if (name.size <= 0 || name.size >= (int32_t)sizeof(digits))
		return false;
	memcpy(digits, name.data, (size_t)name.size);
	digits[name.size] = '\0';
	id = strtol(digits, &end, 10);
	*ret_id = (int32_t)id;
	return *end == '\0' && id >= 0 && id <= INT32_MAX;
}

static struct decision_error check_authority(
	const struct decision *decision, const struct resource *resource)
{
	switch (resource->type) {
	case CONFIG_RESOURCE_TOPIC:
		if (!decision_may(decision, ACL_ALTER_CONFIGS, RESOURCE_TOPIC, resource->name))
			return (struct decision_error){KAFKA_TOPIC_AUTHORIZATION_FAILED,
				STR("Topic authorization failed.")};
		return DECISION_OK;
	case CONFIG_RESOURCE_GROUP:
		if (!decision_may(decision, ACL_ALTER_CONFIGS, RESOURCE_GROUP, resource->name))
			return (struct decision_error){KAFKA_GROUP_AUTHORIZATION_FAILED,
				STR("Group authorization failed.")};
		return DECISION_OK;
	case CONFIG_RESOURCE_BROKER:
	case CONFIG_RESOURCE_CLIENT_METRICS:
		if (!decision_may(
			    decision, ACL_ALTER_CONFIGS, RESOURCE_CLUSTER, CLUSTER_RESOURCE_NAME))
			return (struct decision_error){KAFKA_CLUSTER_AUTHORIZATION_FAILED,
				STR("Cluster authorization failed.")};
		return DECISION_OK;
	default:
		return decision_error(decision, KAFKA_INVALID_REQUEST,
			"Unexpected resource type %d for resource %.*s", resource->type,
			STR_ARGS(resource->name));
	}
}

/* Kafka: QuorumController.ConfigResourceExistenceChecker. */
static struct decision_error check_existence(
	const struct decision *decision, const struct resource *resource)
{
	int32_t id;

	if (resource->type == CONFIG_RESOURCE_BROKER && resource->name.size > 0) {
		if (!parse_broker_id(resource->name, &id))
			return decision_error(decision, KAFKA_INVALID_REQUEST,
				"Invalid broker name %.*s", STR_ARGS(resource->name));
		if (!image_broker(decision->image, id) && !image_controller(decision->image, id) &&
			id != decision->node_id)
			return decision_error(decision, KAFKA_BROKER_ID_NOT_REGISTERED,
				"No node with id %d found.", id);
	}
	if (resource->type == CONFIG_RESOURCE_TOPIC &&
		!image_topic_by_name(decision->image, resource->name))
		return decision_error(decision, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
			"The topic '%.*s' does not exist.", STR_ARGS(resource->name));
	return DECISION_OK;
}

static int current_entries(const struct decision *decision, const struct resource *resource,
	struct config_entries *ret_entries)
{
	const struct config_record *record = NULL;
	int32_t count = 0;

	while ((record = image_config_next(
			decision->image, resource->type, resource->name, record)) != NULL)
		count++;
	ret_entries->count = 0;
	ret_entries->items = arena_new_array(
		decision->records->arena, struct config_entry, (size_t)max_of(count, 1));
	if (!ret_entries->items)
		return -ENOMEM;
	while ((record = image_config_next(
			decision->image, resource->type, resource->name, record)) != NULL)
		ret_entries->items[ret_entries->count++] =
			(struct config_entry){.name = record->name, .value = record->value};
	return 0;
}

static int write_records(const struct decision *decision, const struct resource *resource,
	const struct config_records *changed)
{
	for (int32_t i = 0; i < changed->count; i++) {
		struct config_record *record =
			metadata_records_add(decision->records, CLUSTER_METADATA_CONFIG, 0);

		if (!record)
			return -ENOMEM;
		record->resource_type = resource->type;
		record->resource_name = resource->name;
		record->name = changed->items[i].name;
		record->value = changed->items[i].value;
	}
	return 0;
}

static int change_resource(const struct decision *decision, struct resource *resource, bool whole)
{
	struct config_change_context context = {
		.config = decision->config,
		.resource = (enum config_resource)resource->type,
		.resource_name = resource->name,
		.elr_enabled = image_elr_is_enabled(decision->image),
		.whole = whole,
	};
	struct config_refusal *refusal = arena_new(decision->records->arena, struct config_refusal);
	struct config_records changed;
	int error = refusal ? current_entries(decision, resource, &context.current) : -ENOMEM;

	if (resource->type == CONFIG_RESOURCE_TOPIC)
		context.name_problem = topic_name_problem(decision->arena, resource->name);
	if (error == 0)
		error = config_change(
			&context, &resource->changes, decision->records->arena, &changed, refusal);
	if (error < 0)
		return error;
	if (refusal->error != KAFKA_NONE) {
		resource->error = decision_error(decision, refusal->error, "%s", refusal->message);
		return 0;
	}
	resource->error = DECISION_OK;
	resource->error = check_existence(decision, resource);
	return resource->error.code == KAFKA_NONE ? write_records(decision, resource, &changed) : 0;
}

/* A change of the minimum decides anew who is eligible: the eligible leaders chosen under the old
 * one are forgotten. */
static int clear_elrs(const struct decision *decision)
{
	int32_t count = decision->records->count;

	if (!image_elr_is_enabled(decision->image))
		return 0;
	for (int32_t i = 0; i < count; i++) {
		const struct config_record *config = decision->records->items[i].message;
		struct clear_elr_record *clear;

		if (!str_equal(config->name, STR("min.insync.replicas")))
			continue;
		clear = metadata_records_add(decision->records, CLUSTER_METADATA_CLEAR_ELR, 0);
		if (!clear)
			return -ENOMEM;
		if (config->resource_type == IMAGE_CONFIG_TOPIC)
			clear->topic_name = config->resource_name;
	}
	return 0;
}

/* Decides all resources; their errors are for the caller to write down. */
static int change_resources(const struct decision *decision, struct resource *resources,
	int32_t count, bool whole, bool validate_only)
{
	int error = find_repeats(decision, resources, count);

	for (int32_t i = 0; i < count && error == 0; i++) {
		struct resource *resource = &resources[i];

		resource->error = DECISION_OK;
		if (resource->is_repeated)
			resource->error = decision_error(
				decision, KAFKA_INVALID_REQUEST, "Duplicate resource.");
		else
			resource->error = check_authority(decision, resource);
		if (resource->error.code == KAFKA_NONE)
			error = change_resource(decision, resource, whole);
	}
	if (error == 0)
		error = clear_elrs(decision);
	if (validate_only)
		decision->records->count = 0;
	return error;
}

int decide_incremental_alter_configs(const struct decision *decision,
	const struct incremental_alter_configs_request *request,
	struct incremental_alter_configs_response *response)
{
	int32_t count = max_of(request->resources_count, 0);
	struct resource *resources =
		arena_new_array(decision->arena, struct resource, (size_t)max_of(count, 1));
	int error;

	response->responses = schema_new_array(
		&incremental_alter_configs_response_alter_configs_resource_response_schema,
		decision->arena, max_of(count, 1));
	if (!resources || !response->responses)
		return -ENOMEM;
	response->responses_count = 0;
	for (int32_t i = 0; i < count; i++) {
		const struct incremental_alter_configs_request_alter_configs_resource *from =
			&request->resources[i];
		struct config_change *changes = arena_new_array(decision->arena,
			struct config_change, (size_t)max_of(from->configs_count, 1));

		if (!changes)
			return -ENOMEM;
		for (int32_t j = 0; j < from->configs_count; j++)
			changes[j] = (struct config_change){from->configs[j].name,
				from->configs[j].config_operation, from->configs[j].value};
		resources[i] = (struct resource){.type = from->resource_type,
			.name = from->resource_name,
			.changes = {changes, max_of(from->configs_count, 0)},
			.place = i};
	}
	error = change_resources(decision, resources, count, false, request->validate_only);
	for (int32_t i = 0; i < count && error == 0; i++) {
		struct incremental_alter_configs_response_alter_configs_resource_response *to;

		to = &response->responses[response->responses_count++];
		to->error_code = (int16_t)resources[i].error.code;
		to->error_message = resources[i].error.message;
		to->resource_type = resources[i].type;
		to->resource_name = resources[i].name;
	}
	return error;
}

int decide_alter_configs(const struct decision *decision,
	const struct alter_configs_request *request, struct alter_configs_response *response)
{
	int32_t count = max_of(request->resources_count, 0);
	struct resource *resources =
		arena_new_array(decision->arena, struct resource, (size_t)max_of(count, 1));
	int error;

	response->responses =
		schema_new_array(&alter_configs_response_alter_configs_resource_response_schema,
			decision->arena, max_of(count, 1));
	if (!resources || !response->responses)
		return -ENOMEM;
	response->responses_count = 0;
	for (int32_t i = 0; i < count; i++) {
		const struct alter_configs_request_alter_configs_resource *from =
			&request->resources[i];
		struct config_change *changes = arena_new_array(decision->arena,
			struct config_change, (size_t)max_of(from->configs_count, 1));

		if (!changes)
			return -ENOMEM;
		for (int32_t j = 0; j < from->configs_count; j++)
			changes[j] = (struct config_change){
				from->configs[j].name, CONFIG_SET, from->configs[j].value};
		resources[i] = (struct resource){.type = from->resource_type,
			.name = from->resource_name,
			.changes = {changes, max_of(from->configs_count, 0)},
			.place = i};
	}
	error = change_resources(decision, resources, count, true, request->validate_only);
	for (int32_t i = 0; i < count && error == 0; i++) {
		struct alter_configs_response_alter_configs_resource_response *to;

		to = &response->responses[response->responses_count++];
		to->error_code = (int16_t)resources[i].error.code;
		to->error_message = resources[i].error.message;
		to->resource_type = resources[i].type;
		to->resource_name = resources[i].name;
	}
	return error;
}
