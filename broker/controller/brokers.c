/*
 * Registrations of brokers and controllers, fencing, and the controlled shutdown (Kafka:
 * ClusterControlManager and the handleBroker… methods of ReplicationControlManager).
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/controller/partition_change.h"
#include "runtime/uuid.h"

/* What this release supports, as Kafka 4.3.1 tells it: a cluster's finalized levels must lie
 * within. The order is that of Kafka's registrations of controllers. */
static const char *const feature_order[] = {FEATURE_GROUP_VERSION, FEATURE_KRAFT_VERSION,
	FEATURE_METADATA_VERSION, FEATURE_SHARE_VERSION, FEATURE_STREAMS_VERSION,
	FEATURE_TRANSACTION_VERSION, FEATURE_ELR_VERSION};

static void feature_range(const char *name, int16_t *ret_min, int16_t *ret_max)
{
	const struct feature_row *row = feature_find(str_from(name));

	*ret_min = row ? 0 : METADATA_VERSION_MIN;
	*ret_max = row ? row->max_level : METADATA_VERSION_LATEST;
}

int decide_register_controller(const struct decision *decision, const struct uuid *incarnation_id,
	const struct listener_config *listeners, int32_t listener_count)
{
	struct register_controller_record *record;

	if (decision_level(decision) < METADATA_VERSION_3_7_IV0)
		return 0; /* this level has no such record */
	record = metadata_records_add(decision->records, CLUSTER_METADATA_REGISTER_CONTROLLER, 0);
	if (!record)
		return -ENOMEM;
	record->controller_id = decision->node_id;
	record->incarnation_id = *incarnation_id;
	record->end_points =
		schema_new_array(&register_controller_record_controller_endpoint_schema,
			decision->records->arena, max_of(listener_count, 1));
	record->features = schema_new_array(&register_controller_record_controller_feature_schema,
		decision->records->arena, (int32_t)array_length(feature_order));
	if (!record->end_points || !record->features)
		return -ENOMEM;
	for (int32_t i = 0; i < listener_count; i++) {
		struct register_controller_record_controller_endpoint *to;

		if (!listeners[i].is_controller)
			continue;
		to = &record->end_points[record->end_points_count++];
		to->name = listeners[i].name;
		to->host = listeners[i].advertised_host;
		to->port = listeners[i].advertised_port;
		to->security_protocol = (int16_t)listeners[i].protocol;
	}
	for (size_t i = 0; i < array_length(feature_order); i++) {
		struct register_controller_record_controller_feature *to =
			&record->features[record->features_count++];

		to->name = str_from(feature_order[i]);
		feature_range(
			feature_order[i], &to->min_supported_version, &to->max_supported_version);
	}
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	return uuid_compare(a, b);
}

static int fill_registration(const struct decision *decision,
	const struct controller_registration *registration, struct register_broker_record *record)
{
	record->end_points = schema_new_array(&register_broker_record_broker_endpoint_schema,
		decision->records->arena, max_of(registration->listener_count, 1));
	record->features = schema_new_array(&register_broker_record_broker_feature_schema,
		decision->records->arena, (int32_t)array_length(feature_order));
	record->log_dirs = arena_new_array(decision->records->arena, struct uuid,
		(size_t)max_of(registration->directory_count, 1));
	if (!record->end_points || !record->features || !record->log_dirs)
		return -ENOMEM;
	for (int32_t i = 0; i < registration->listener_count; i++) {
		const struct listener_config *from = &registration->listeners[i];
		struct register_broker_record_broker_endpoint *to;

		if (from->is_controller)
			continue;
		to = &record->end_points[record->end_points_count++];
		to->name = from->name;
		to->host = from->advertised_host;
		to->port = from->advertised_port;
		to->security_protocol = (int16_t)from->protocol;
	}
	for (size_t i = 0; i < array_length(feature_order); i++) {
		struct register_broker_record_broker_feature *to =
			&record->features[record->features_count++];

		to->name = str_from(feature_order[i]);
		feature_range(
			feature_order[i], &to->min_supported_version, &to->max_supported_version);
	}
	for (int32_t i = 0; i < registration->directory_count; i++)
		if (registration->directories[i].is_online)
			record->log_dirs[record->log_dirs_count++] =
				registration->directories[i].id;
	qsort(record->log_dirs, (size_t)record->log_dirs_count, sizeof(*record->log_dirs),
		compare_ids);
	/* At levels without directories they are not told. */
	if (decision_level(decision) < METADATA_VERSION_3_7_IV2)
		record->log_dirs_count = 0;
	return 0;
}

int decide_register_broker(const struct decision *decision, const struct uuid *incarnation_id,
	const struct controller_registration *registration)
{
	const struct register_broker_record *existing =
		image_broker(decision->image, decision->node_id);
	int64_t stored_epoch = existing ? existing->broker_epoch : -2;
	int32_t id = decision->node_id;
	struct register_broker_record *record;
	int error;

	if (image_elr_is_enabled(decision->image) &&
		stored_epoch != registration->previous_broker_epoch) {
		/* What was not synced may be lost: it can't be in any set of replicas that are
		 * known to be whole. */
		error = decide_leaders_and_isrs(decision, WITH_BROKER_IN_ISR, id, -1, -1, id);
		if (error == 0)
			error = decide_leaders_and_isrs(
				decision, WITH_BROKER_IN_ELR, id, -1, -1, id);
	} else {
		error = decide_leaders_and_isrs(decision, WITH_BROKER_IN_ISR, id, id, -1, -1);
	}
	if (error < 0)
		return error;
	record = metadata_records_add(decision->records, CLUSTER_METADATA_REGISTER_BROKER,
		register_broker_record_version(decision_level(decision)));
	if (!record)
		return -ENOMEM;
	record->broker_id = id;
	record->incarnation_id = *incarnation_id;
	record->broker_epoch = decision->next_offset;
	record->rack = registration->rack;
	record->fenced = true;
	return fill_registration(decision, registration, record);
}

static struct broker_registration_change_record *add_change(
	const struct decision *decision, int32_t broker_id, int version)
{
	struct broker_registration_change_record *record = metadata_records_add(
		decision->records, CLUSTER_METADATA_BROKER_REGISTRATION_CHANGE, version);

	if (record) {
		record->broker_id = broker_id;
		record->broker_epoch = image_broker(decision->image, broker_id)->broker_epoch;
	}
	return record;
}

int decide_fence_broker(const struct decision *decision, int32_t broker_id)
{
	struct broker_registration_change_record *record;
	int error;

	ensure(image_broker(decision->image, broker_id));
	error = decide_leaders_and_isrs(decision, WITH_BROKER_IN_ISR, broker_id, broker_id, -1, -1);
	if (error < 0)
		return error;
	record = add_change(decision, broker_id, 0);
	if (!record)
		return -ENOMEM;
	record->fenced = 1;
	return 0;
}

int decide_unfence_broker(const struct decision *decision, int32_t broker_id)
{
	struct broker_registration_change_record *record = add_change(decision, broker_id, 0);

	if (!record)
		return -ENOMEM;
	record->fenced = -1;
	return decide_leaders_and_isrs(decision, WITHOUT_LEADER, broker_id, -1, broker_id, -1);
}

static bool ids_contain(const struct uuid *ids, int32_t count, const struct uuid *id)
{
	for (int32_t i = 0; i < count; i++)
		if (uuid_equal(&ids[i], id))
			return true;
	return false;
}

/* Kafka: ReplicationControlManager.handleDirectoriesOffline. */
int decide_directories_online(const struct decision *decision, int32_t broker_id,
	const struct uuid *online, int32_t count)
{
	const struct register_broker_record *broker = image_broker(decision->image, broker_id);
	struct broker_registration_change_record *record;
	struct uuid *left;
	int32_t left_count = 0;
	int error;

	if (decision_level(decision) < METADATA_VERSION_3_7_IV2)
		return 0;
	left = arena_new_array(decision->records->arena, struct uuid,
		(size_t)max_of(broker->log_dirs_count, 1));
	if (!left)
		return -ENOMEM;
	for (int32_t i = 0; i < broker->log_dirs_count; i++) {
		if (ids_contain(online, count, &broker->log_dirs[i])) {
			left[left_count++] = broker->log_dirs[i];
			continue;
		}
		error = decide_leaders_and_isrs_in(decision, broker_id, &broker->log_dirs[i]);
		if (error < 0)
			return error;
	}
	if (left_count == broker->log_dirs_count)
		return 0;
	record = add_change(decision, broker_id, 2);
	if (!record)
		return -ENOMEM;
	record->log_dirs = left;
	record->log_dirs_count = left_count;
	return 0;
}

int decide_cordon(const struct decision *decision, int32_t broker_id,
	const struct uuid *directories, int32_t count)
{
	const struct register_broker_record *broker = image_broker(decision->image, broker_id);
	struct broker_registration_change_record *record;

	if (decision_level(decision) < METADATA_VERSION_4_3_IV0)
		return 0;
	/* Kafka compares them as sets. */
	if (broker->cordoned_log_dirs_count == count) {
		int32_t same = 0;

		for (int32_t i = 0; i < count; i++)
			same += ids_contain(broker->cordoned_log_dirs, count, &directories[i]);
		if (same == count)
			return 0;
	}
	record = add_change(decision, broker_id, 3);
	if (!record)
		return -ENOMEM;
	record->cordoned_log_dirs =
		arena_new_array(decision->records->arena, struct uuid, (size_t)max_of(count, 1));
	if (!record->cordoned_log_dirs)
		return -ENOMEM;
	for (int32_t i = 0; i < count; i++)
		record->cordoned_log_dirs[i] = directories[i];
	record->cordoned_log_dirs_count = count;
	return 0;
}

int decide_controlled_shutdown(const struct decision *decision, int32_t broker_id)
{
	struct broker_registration_change_record *record;

	if (!image_broker(decision->image, broker_id)->in_controlled_shutdown) {
		record = add_change(decision, broker_id, 1);
		if (!record)
			return -ENOMEM;
		record->in_controlled_shutdown = 1;
	}
	return decide_leaders_and_isrs(decision, WITH_BROKER_IN_ISR, broker_id, broker_id, -1, -1);
}

int decide_unregister_broker(const struct decision *decision,
	const struct unregister_broker_request *request,
	struct unregister_broker_response *response)
{
	const struct register_broker_record *broker =
		image_broker(decision->image, request->broker_id);
	struct unregister_broker_record *record;
	int32_t id = request->broker_id;
	int error;

	if (!decision_may(decision, ACL_ALTER, RESOURCE_CLUSTER, CLUSTER_RESOURCE_NAME)) {
		response->error_code = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
		return 0;
	}
	if (!broker) {
		struct decision_error wrong =
			decision_error(decision, KAFKA_BROKER_ID_NOT_REGISTERED,
				"Broker ID %d is not currently registered", id);

		response->error_code = (int16_t)wrong.code;
		response->error_message = wrong.message;
		return 0;
	}
	error = decide_leaders_and_isrs(decision, WITH_BROKER_IN_ISR, id, id, -1, -1);
	if (error == 0)
		error = decide_leaders_and_isrs(decision, WITH_BROKER_IN_ELR, id, id, -1, -1);
	if (error < 0)
		return error;
	record = metadata_records_add(decision->records, CLUSTER_METADATA_UNREGISTER_BROKER, 0);
	if (!record)
		return -ENOMEM;
	record->broker_id = id;
	record->broker_epoch = broker->broker_epoch;
	return 0;
}

int decide_activation(const struct decision *decision, const struct metadata_records *bootstrap,
	int64_t transaction_start_offset)
{
	struct begin_transaction_record *begin;
	struct abort_transaction_record *abort_record;
	bool is_empty = decision_level(decision) == 0, elr = false, transactions;
	int level = decision_level(decision);

	for (int32_t i = 0; i < bootstrap->count && is_empty; i++) {
		const struct feature_level_record *feature = bootstrap->items[i].message;

		if (bootstrap->items[i].type != CLUSTER_METADATA_FEATURE_LEVEL)
			continue;
		if (str_equal(feature->name, STR(FEATURE_METADATA_VERSION)))
			level = feature->feature_level;
		if (str_equal(feature->name, STR(FEATURE_ELR_VERSION)))
			elr = feature->feature_level > 0;
	}
	transactions = level >= METADATA_VERSION_3_6_IV1;
	if (transaction_start_offset >= 0) {
		abort_record = metadata_records_add(
			decision->records, CLUSTER_METADATA_ABORT_TRANSACTION, 0);
		if (!abort_record)
			return -ENOMEM;
		abort_record->reason = STR("Controller failover");
	}
	if (!is_empty)
		return 0;
	if (transactions) {
		begin = metadata_records_add(
			decision->records, CLUSTER_METADATA_BEGIN_TRANSACTION, 0);
		if (!begin)
			return -ENOMEM;
		begin->name = STR("Bootstrap records");
	}
	for (int32_t i = 0; i < bootstrap->count; i++)
		metadata_records_append(decision->records, &bootstrap->items[i]);
	if (elr) {
		/* With eligible leaders the minimum must be one for the whole cluster. */
		struct config_record *config =
			metadata_records_add(decision->records, CLUSTER_METADATA_CONFIG, 0);

		if (!config)
			return -ENOMEM;
		config->resource_type = IMAGE_CONFIG_BROKER;
		config->resource_name = STR("");
		config->name = STR("min.insync.replicas");
		config->value = str_from(arena_printf(decision->records->arena, "%d",
			config_int(decision->config, SETTING_MIN_INSYNC_REPLICAS)));
	}
	if (transactions &&
		!metadata_records_add(decision->records, CLUSTER_METADATA_END_TRANSACTION, 0))
		return -ENOMEM;
	return decision->records->failure;
}
