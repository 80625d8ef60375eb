/*
 * DescribeConfigs, versions 0 to 4: every setting of a resource with its source and synonyms
 * (broker/config/config_describe.h). Follows Kafka's ConfigHelper.
 */
#include <stdlib.h>

#include "broker/api/api.h"
#include "broker/config/config_describe.h"
#include "broker/topic_settings.h"

struct described {
	int16_t error;
	struct str message; /* null: none */
	struct config_descriptions list;
};

/* May the resource be described? 0 or the error of its kind. */
static int16_t describe_configs_authorize(
	const struct request *request, int8_t type, struct str name)
{
	switch (type) {
	case CONFIG_RESOURCE_TOPIC:
		return authorize(request, ACL_DESCRIBE_CONFIGS, RESOURCE_TOPIC, name)
			       ? 0
			       : KAFKA_TOPIC_AUTHORIZATION_FAILED;
	case CONFIG_RESOURCE_GROUP:
		return authorize(request, ACL_DESCRIBE_CONFIGS, RESOURCE_GROUP, name)
			       ? 0
			       : KAFKA_GROUP_AUTHORIZATION_FAILED;
	default:
		return authorize_cluster(request, ACL_DESCRIBE_CONFIGS)
			       ? 0
			       : KAFKA_CLUSTER_AUTHORIZATION_FAILED;
	}
}

/* A broker's id as text; -1 when it is no number, with Kafka's words. */
static int32_t broker_id_of(struct request *request, struct str name, struct str *ret_message)
{
	char text[16], *end;

	if (name.size > 0 && name.size < (int32_t)sizeof(text)) {
		memcpy(text, name.data, (size_t)name.size);
		text[name.size] = '\0';
		long id = strtol(text, &end, 10);
		if (*end == '\0' && id >= 0 && id <= INT32_MAX)
			return (int32_t)id;
	}
	*ret_message = str_from(arena_printf(
		&request->arena, "Broker id must be an integer, but it is: %.*s", STR_ARGS(name)));
	return -1;
}

static int describe_resource(struct request *request,
	const struct describe_configs_request_describe_configs_resource *resource,
	struct described *ret)
{
	const struct config *config = request->shard->config;
	struct str name = resource->resource_name;
	struct config_entries own = {0};
	enum config_resource type = (enum config_resource)resource->resource_type;
	int error;

	if (type != CONFIG_RESOURCE_BROKER && type != CONFIG_RESOURCE_BROKER_LOGGER) {
		error = image_config_entries(
			request->image, resource->resource_type, name, &request->arena, &own);
		if (error < 0)
			return error;
	}
	switch (type) {
	case CONFIG_RESOURCE_TOPIC:
		if (!topic_name_is_valid(name)) {
			ret->error = KAFKA_INVALID_TOPIC_EXCEPTION;
			ret->message = topic_name_problem(&request->arena, name);
			return 0;
		}
		if (!image_topic_by_name(request->image, name)) {
			ret->error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
			return 0;
		}
		return config_describe(config, type, false, &own, &request->arena, &ret->list);
	case CONFIG_RESOURCE_BROKER: {
		if (name.size <= 0)
			return config_describe(
				config, type, true, &own, &request->arena, &ret->list);
		int32_t id = broker_id_of(request, name, &ret->message);
		if (id >= 0 && id == request->home->broker->node_id)
			return config_describe(
				config, type, false, &own, &request->arena, &ret->list);
		ret->error = KAFKA_INVALID_REQUEST;
		if (id >= 0)
			ret->message = str_from(arena_printf(&request->arena,
				"Unexpected broker id, expected %d or empty string, but received "
				"%.*s",
				request->home->broker->node_id, STR_ARGS(name)));
		return 0;
	}
	case CONFIG_RESOURCE_BROKER_LOGGER: {
		ret->error = KAFKA_INVALID_REQUEST;
		if (name.size <= 0) {
			ret->message = STR("Broker id must not be empty");
			return 0;
		}
		int32_t id = broker_id_of(request, name, &ret->message);
		if (id == request->home->broker->node_id)
			ret->error = 0; /* there are no log4j loggers here */
		else if (id >= 0)
			ret->message = str_from(arena_printf(&request->arena,
				"Unexpected broker id, expected %d but received %.*s",
				request->home->broker->node_id, STR_ARGS(name)));
		return 0;
	}
	case CONFIG_RESOURCE_CLIENT_METRICS:
	case CONFIG_RESOURCE_GROUP:
		if (name.size <= 0) {
			ret->error = KAFKA_INVALID_REQUEST;
			ret->message =
				type == CONFIG_RESOURCE_GROUP
					? STR("Group name must not be empty")
					: STR("Client metrics subscription name must not be empty");
			return 0;
		}
		return config_describe(config, type, false, &own, &request->arena, &ret->list);
	default:
		ret->error = KAFKA_INVALID_REQUEST;
		return 0;
	}
}

static bool is_wanted(
	const struct describe_configs_request_describe_configs_resource *resource, struct str name)
{
	if (resource->configuration_keys_count <= 0)
		return true;
	for (int32_t i = 0; i < resource->configuration_keys_count; i++) {
		if (str_equal(resource->configuration_keys[i], name))
			return true;
	}
	return false;
}

static bool fill_synonyms(struct request *request, const struct config_description *from,
	struct describe_configs_response_describe_configs_resource_result *to)
{
	to->synonyms = schema_new_array(&describe_configs_response_describe_configs_synonym_schema,
		&request->arena, from->synonym_count);
	if (!to->synonyms)
		return false;
	to->synonyms_count = from->synonym_count;
	for (int32_t i = 0; i < from->synonym_count; i++) {
		to->synonyms[i].name = from->synonyms[i].name;
		to->synonyms[i].value = from->synonyms[i].value;
		to->synonyms[i].source = (int8_t)from->synonyms[i].source;
	}
	return true;
}

static bool fill_result(struct request *request,
	const struct describe_configs_request_describe_configs_resource *resource,
	const struct described *described,
	struct describe_configs_response_describe_configs_result *out)
{
	const struct describe_configs_request *message = request->message;

	out->error_code = described->error;
	/* Kafka leaves the message empty, not null, where it has nothing to say. */
	out->error_message = str_is_null(described->message) ? STR("") : described->message;
	out->configs =
		schema_new_array(&describe_configs_response_describe_configs_resource_result_schema,
			&request->arena, described->error ? 0 : described->list.count);
	if (!out->configs)
		return false;
	for (int32_t i = 0; !described->error && i < described->list.count; i++) {
		const struct config_description *from = &described->list.items[i];
		if (!is_wanted(resource, from->name))
			continue;
		struct describe_configs_response_describe_configs_resource_result *to =
			&out->configs[out->configs_count++];
		to->name = from->name;
		to->value = from->value;
		to->read_only = from->is_read_only;
		/* Version 0 says only whether a value is the default. */
		to->is_default = request->version == 0 && from->source == CONFIG_SOURCE_DEFAULT;
		to->config_source = request->version == 0 ? -1 : (int8_t)from->source;
		to->is_sensitive = from->is_sensitive;
		if (request->version >= 3) {
			to->config_type = (int8_t)from->type;
			to->documentation =
				message->include_documentation ? from->documentation : STR_NULL;
		}
		if (request->version >= 1 && message->include_synonyms &&
			!fill_synonyms(request, from, to))
			return false;
	}
	return true;
}

static bool is_known_type(int8_t type)
{
	return type == CONFIG_RESOURCE_TOPIC || type == CONFIG_RESOURCE_BROKER ||
	       type == CONFIG_RESOURCE_BROKER_LOGGER || type == CONFIG_RESOURCE_CLIENT_METRICS ||
	       type == CONFIG_RESOURCE_GROUP;
}

/* One resource of a kind that doesn't exist makes the whole request wrong, as in Kafka. Null when
 * all exist. */
static struct str describe_configs_problem(struct request *request)
{
	const struct describe_configs_request *message = request->message;

	for (int32_t i = 0; i < message->resources_count; i++) {
		if (!is_known_type(message->resources[i].resource_type))
			return str_from(arena_printf(&request->arena,
				"Unexpected resource type %d for resource %.*s",
				message->resources[i].resource_type,
				STR_ARGS(message->resources[i].resource_name)));
	}
	return STR_NULL;
}

void handle_describe_configs(struct request *request)
{
	const struct describe_configs_request *message = request->message;
	struct describe_configs_response *response = request->response;
	int32_t count = max_of(message->resources_count, 0), filled = 0;
	struct str problem = describe_configs_problem(request);

	response->results = schema_new_array(
		&describe_configs_response_describe_configs_result_schema, &request->arena, count);
	if (!response->results) {
		request_out_of_memory(request);
		return;
	}
	response->results_count = count;
	for (int32_t i = 0; i < count && !str_is_null(problem); i++) {
		response->results[i].resource_type = message->resources[i].resource_type;
		response->results[i].resource_name = message->resources[i].resource_name;
		response->results[i].error_code = KAFKA_INVALID_REQUEST;
		response->results[i].error_message = problem;
	}
	if (!str_is_null(problem)) {
		request_complete(request);
		return;
	}
	/* Those that may be described first, as Kafka answers. */
	for (int refused = 0; refused < 2; refused++) {
		for (int32_t i = 0; i < count; i++) {
			const struct describe_configs_request_describe_configs_resource *resource =
				&message->resources[i];
			struct described described = {
				.error = describe_configs_authorize(
					request, resource->resource_type, resource->resource_name),
				.message = STR_NULL};
			if ((described.error != 0) != refused)
				continue;
			struct describe_configs_response_describe_configs_result *out =
				&response->results[filled++];
			out->resource_type = resource->resource_type;
			out->resource_name = resource->resource_name;
			if (refused)
				described.message = kafka_error_message(described.error);
			else if (describe_resource(request, resource, &described) < 0) {
				request_out_of_memory(request);
				return;
			}
			if (!fill_result(request, resource, &described, out)) {
				request_out_of_memory(request);
				return;
			}
		}
	}
	request_complete(request);
}
