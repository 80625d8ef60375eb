/*
 * UpdateFeatures (Kafka: FeatureControlManager.updateFeatures). All updates of a request are made,
 * or none. A level is raised only to what every node says it supports.
 */
#include <errno.h>
#include <stdio.h>

#include "broker/controller/decision.h"

enum { UPGRADE = 1, SAFE_DOWNGRADE = 2, UNSAFE_DOWNGRADE = 3 };

struct update {
	const struct decision *decision;
	struct str name;
	int16_t level, current;
	int8_t type;
};

#define INVALID(update, ...) \
	invalid(update, decision_error((update)->decision, KAFKA_NONE, __VA_ARGS__).message)

static struct decision_error invalid(const struct update *update, struct str why)
{
	return decision_error(update->decision, KAFKA_INVALID_UPDATE_VERSION,
		"Invalid update version %d for feature %.*s. %.*s", update->level,
		STR_ARGS(update->name), STR_ARGS(why));
}

static struct str reason_not_supported(
	const struct update *update, const char *what, int32_t id, int16_t min, int16_t max)
{
	if (update->level >= min && update->level <= max)
		return STR_NULL;
	if (max == 0)
		return str_from(arena_printf(
			update->decision->arena, "%s %d does not support this feature.", what, id));
	if (min == max)
		return str_from(arena_printf(
			update->decision->arena, "%s %d only supports versions %d", what, id, min));
	return str_from(arena_printf(
		update->decision->arena, "%s %d only supports versions %d-%d", what, id, min, max));
}

/* Why this node, a broker or another controller doesn't support it; null when all do. */
static struct str find_reason(const struct update *update)
{
	const struct decision *decision = update->decision;
	const struct feature_row *row = feature_find(update->name);
	bool is_metadata = str_equal(update->name, STR(FEATURE_METADATA_VERSION));
	struct str reason = reason_not_supported(update, "Local controller", decision->node_id,
		is_metadata ? METADATA_VERSION_MIN : 0,
		(int16_t)(is_metadata ? METADATA_VERSION_LATEST
			  : row	      ? row->max_level
				      : 0));

	for (uint32_t i = 0; i < image_broker_count(decision->image) && str_is_null(reason); i++) {
		const struct register_broker_record *broker = image_broker_at(decision->image, i);
		int16_t min = 0, max = 0;

		for (int32_t j = 0; j < broker->features_count; j++)
			if (str_equal(broker->features[j].name, update->name)) {
				min = broker->features[j].min_supported_version;
				max = broker->features[j].max_supported_version;
			}
		reason = reason_not_supported(update, "Broker", broker->broker_id, min, max);
	}
	for (uint32_t i = 0; i < image_controller_count(decision->image) && str_is_null(reason);
		i++) {
		const struct register_controller_record *controller =
			image_controller_at(decision->image, i);
		int16_t min = 0, max = 0;

		if (controller->controller_id == decision->node_id)
			continue;
		for (int32_t j = 0; j < controller->features_count; j++)
			if (str_equal(controller->features[j].name, update->name)) {
				min = controller->features[j].min_supported_version;
				max = controller->features[j].max_supported_version;
			}
		reason = reason_not_supported(
			update, "Controller", controller->controller_id, min, max);
	}
	return reason;
}

static struct decision_error add_level(const struct update *update)
{
	struct feature_level_record *record =
		metadata_records_add(update->decision->records, CLUSTER_METADATA_FEATURE_LEVEL, 0);

	if (record) {
		record->name = update->name;
		record->feature_level = update->level;
	}
	return DECISION_OK;
}

static struct decision_error update_metadata_version(const struct update *update)
{
	if (update->level < update->current &&
		metadata_version_changed_between(update->current, update->level))
		return decision_error(update->decision, KAFKA_INVALID_UPDATE_VERSION,
			"Unsupported metadata.version downgrade from %d to %d. %s", update->current,
			update->level,
			update->type == UNSAFE_DOWNGRADE
				? "Unsafe metadata downgrade is not supported in this version."
				: "Refusing to perform the requested downgrade because it might "
				  "delete metadata "
				  "information.");
	return add_level(update);
}

static struct decision_error check_dependencies(
	const struct update *update, int proposed_metadata_version)
{
	const struct feature_row *row = feature_find(update->name);
	int16_t needs;

	/* Level 0 of a feature that nobody has ever heard of: supported, as every lack is. */
	if (!row)
		return INVALID(update, "Feature %.*s not found.", STR_ARGS(update->name));
	needs = row->needs_metadata_version[update->level];
	if (needs > proposed_metadata_version)
		return INVALID(update,
			"%s could not be set to %d because it depends on metadata.version level %d",
			row->name, update->level, needs);
	return DECISION_OK;
}

static struct decision_error update_feature(
	const struct update *update, int proposed_metadata_version)
{
	struct str reason;
	struct decision_error error;

	if (update->type < UPGRADE || update->type > UNSAFE_DOWNGRADE)
		return INVALID(update, "The controller does not support the given upgrade type.");
	if (update->level < 0)
		return INVALID(update, "A feature version cannot be less than 0.");
	reason = find_reason(update);
	if (!str_is_null(reason))
		return invalid(update, reason);
	if (update->level < update->current && update->type == UPGRADE)
		return INVALID(update, "Can't downgrade the version of this feature without "
				       "setting the upgrade type to either "
				       "safe or unsafe downgrade.");
	if (update->level > update->current && update->type != UPGRADE)
		return INVALID(update, "Can't downgrade to a newer version.");
	if (str_equal(update->name, STR(FEATURE_METADATA_VERSION)))
		return update_metadata_version(update);
	if (str_equal(update->name, STR(FEATURE_KRAFT_VERSION))) {
		if (update->level == update->current)
			return DECISION_OK;
		if (update->type != UPGRADE)
			return INVALID(update, "Can't downgrade the version of this feature.");
		/* The voters must first be known by their directories, which those of a static
		 * quorum are not. */
		return INVALID(update, "The controller.quorum.voters of this node are static: "
				       "kraft.version cannot be raised.");
	}
	error = check_dependencies(update, proposed_metadata_version);
	return error.code != KAFKA_NONE ? error : add_level(update);
}

/* Before eligible leaders are kept, the minimum must be one for the whole cluster (Kafka:
 * maybeGenerateElrSafetyRecords). */
static int add_elr_safety_records(const struct decision *decision)
{
	struct metadata_records *records = decision->records, updates = *records;
	const struct config_record *record;
	struct config_record *config;

	metadata_records_init(records, updates.arena);
	if (str_is_null(image_config(
		    decision->image, IMAGE_CONFIG_BROKER, STR(""), STR("min.insync.replicas")))) {
		config = metadata_records_add(records, CLUSTER_METADATA_CONFIG, 0);
		if (!config)
			return -ENOMEM;
		config->resource_type = IMAGE_CONFIG_BROKER;
		config->resource_name = STR("");
		config->name = STR("min.insync.replicas");
		config->value = str_from(arena_printf(decision->records->arena, "%d",
			config_int(decision->config, SETTING_MIN_INSYNC_REPLICAS)));
	}
	for (uint32_t i = 0; (record = image_config_at(decision->image, i)) != NULL; i++) {
		if (record->resource_type != IMAGE_CONFIG_BROKER ||
			record->resource_name.size == 0 ||
			!str_equal(record->name, STR("min.insync.replicas")))
			continue;
		config = metadata_records_add(records, CLUSTER_METADATA_CONFIG, 0);
		if (!config)
			return -ENOMEM;
		config->resource_type = IMAGE_CONFIG_BROKER;
		config->resource_name = record->resource_name;
		config->name = record->name;
		config->value = STR_NULL;
	}
	for (int32_t i = 0; i < updates.count; i++)
		metadata_records_append(records, &updates.items[i]);
	return records->failure;
}

static int add_results(const struct decision *decision,
	const struct update_features_request *request, struct update_features_response *response)
{
	response->results =
		schema_new_array(&update_features_response_updatable_feature_result_schema,
			decision->arena, max_of(request->feature_updates_count, 1));
	if (!response->results)
		return -ENOMEM;
	response->results_count = 0;
	for (int32_t i = 0; i < request->feature_updates_count; i++) {
		struct update_features_response_updatable_feature_result *result =
			&response->results[response->results_count++];

		result->feature = request->feature_updates[i].feature;
		result->error_message = STR("NONE"); /* what Kafka's word for no error comes to */
	}
	return 0;
}

int decide_update_features(const struct decision *decision, int version,
	const struct update_features_request *request, struct update_features_response *response)
{
	int metadata_version = decision_level(decision);
	bool elr_raised = false;

	if (!decision_may(decision, ACL_ALTER, RESOURCE_CLUSTER, CLUSTER_RESOURCE_NAME)) {
		response->error_code = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
		return 0;
	}
	for (int32_t i = 0; i < request->feature_updates_count; i++) {
		const struct update_features_request_feature_update_key *asked =
			&request->feature_updates[i];

		if (str_equal(asked->feature, STR(FEATURE_METADATA_VERSION)))
			metadata_version = asked->max_version_level;
		if (str_equal(asked->feature, STR(FEATURE_ELR_VERSION)))
			elr_raised = asked->max_version_level > 0;
	}
	for (int32_t i = 0; i < request->feature_updates_count; i++) {
		const struct update_features_request_feature_update_key *asked =
			&request->feature_updates[i];
		struct update update = {
			.decision = decision,
			.name = asked->feature,
			.level = asked->max_version_level,
			.current = image_feature_level(decision->image, asked->feature),
			/* Version 0 only knew whether a downgrade was allowed. */
			.type = version == 0 ? (asked->allow_downgrade ? SAFE_DOWNGRADE : UPGRADE)
					     : asked->upgrade_type,
		};
		struct decision_error error = update_feature(&update, metadata_version);

		if (error.code == KAFKA_NONE)
			continue;
		decision->records->count = 0;
		response->error_code = (int16_t)error.code;
		response->error_message = decision_error(decision, error.code,
			"The update failed for all features since the following feature had an "
			"error: %.*s",
			STR_ARGS(error.message))
						  .message;
		return 0;
	}
	if (decision->records->failure < 0)
		return decision->records->failure;
	response->error_message = STR_NULL;
	if (request->validate_only)
		decision->records->count = 0;
	else if (elr_raised && add_elr_safety_records(decision) < 0)
		return -ENOMEM;
	return version <= 1 ? add_results(decision, request, response) : 0;
}
