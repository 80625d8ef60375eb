/*
 * Applying one record to the image, one function for each type. Each checks first that the record
 * fits, and only then changes anything, so a record is applied wholly or not at all (Kafka: the
 * replay methods of the *Delta classes, and the stricter ones of the controller's managers).
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/metadata/image_internal.h"
#include "runtime/memory.h"
#include "runtime/uuid.h"

/* Kafka: LeaderConstants, LeaderRecoveryState. */
enum { NO_LEADER_CHANGE = -2, RECOVERY_NO_CHANGE = -1, RECOVERED = 0, RECOVERING = 1 };

struct application {
	struct image **image;
	int64_t offset;
	const char *why;
};

static int unfit(struct application *application, const char *why)
{
	application->why = why;
	return -EBADMSG;
}

/* ---- brokers and controllers ---- */

static int apply_register_broker(
	struct application *application, const struct register_broker_record *record)
{
	struct image_entry *entry;

	if (record->broker_id < 0)
		return unfit(application, "a broker is registered with a negative id");
	entry = entry_new(CLUSTER_METADATA_REGISTER_BROKER, record);
	entry->offset = application->offset;
	persistent_map_put(&broker_map_type, &image_own(application->image)->brokers, entry);
	return 0;
}

static int apply_unregister_broker(
	struct application *application, const struct unregister_broker_record *record)
{
	const struct register_broker_record *broker =
		image_broker(*application->image, record->broker_id);

	if (!broker || broker->broker_epoch != record->broker_epoch)
		return unfit(
			application, "a broker is removed that is not registered with that epoch");
	persistent_map_remove(
		&broker_map_type, &image_own(application->image)->brokers, &record->broker_id);
	return 0;
}

static int apply_registration_change(
	struct application *application, const struct broker_registration_change_record *record)
{
	struct image *image = *application->image;
	const struct image_entry *before =
		persistent_map_get(&broker_map_type, image->brokers, &record->broker_id);
	struct register_broker_record broker;
	struct image_entry *entry;

	if (!before)
		return unfit(application, "a broker is changed that is not registered");
	broker = *(const struct register_broker_record *)entry_message(before);
	if (broker.broker_epoch != record->broker_epoch)
		return unfit(application,
			"a broker is changed with another epoch than its registration's");
	if (record->fenced < -1 || record->fenced > 1 || record->in_controlled_shutdown < 0 ||
		record->in_controlled_shutdown > 1)
		return unfit(application,
			"a broker is changed in a way that this release does not know");
	if (record->fenced != 0)
		broker.fenced = record->fenced > 0;
	if (record->in_controlled_shutdown)
		broker.in_controlled_shutdown = true;
	if (record->log_dirs_count > 0) {
		broker.log_dirs = record->log_dirs;
		broker.log_dirs_count = record->log_dirs_count;
	}
	if (record->cordoned_log_dirs_count >= 0) {
		broker.cordoned_log_dirs = record->cordoned_log_dirs;
		broker.cordoned_log_dirs_count = record->cordoned_log_dirs_count;
	}
	entry = entry_new(CLUSTER_METADATA_REGISTER_BROKER, &broker);
	entry->offset = before->offset;
	persistent_map_put(&broker_map_type, &image_own(application->image)->brokers, entry);
	return 0;
}

/* FenceBroker and UnfenceBroker, the forms of old releases. */
static int apply_fence(
	struct application *application, int32_t broker_id, int64_t epoch, int8_t fenced)
{
	struct broker_registration_change_record change;

	schema_init(&broker_registration_change_record_schema, &change);
	change.broker_id = broker_id;
	change.broker_epoch = epoch;
	change.fenced = fenced;
	return apply_registration_change(application, &change);
}

static int apply_register_controller(
	struct application *application, const struct register_controller_record *record)
{
	if (record->controller_id < 0)
		return unfit(application, "a controller is registered with a negative id");
	persistent_map_put(&controller_map_type, &image_own(application->image)->controllers,
		entry_new(CLUSTER_METADATA_REGISTER_CONTROLLER, record));
	return 0;
}

/* ---- topics ---- */

static int apply_topic(struct application *application, const struct topic_record *record)
{
	struct image_topic *topic;
	struct image *image;

	if (record->name.size <= 0 || uuid_is_zero(&record->topic_id))
		return unfit(application, "a topic has no name or no id");
	if (image_topic_by_name(*application->image, record->name) ||
		image_topic_by_id(*application->image, &record->topic_id))
		return unfit(application, "a topic is made whose name or id is taken");
	topic = memory_new_object(struct image_topic);
	topic->references = 1;
	topic->record = entry_new(CLUSTER_METADATA_TOPIC, record);
	topic->name = ((const struct topic_record *)entry_message(topic->record))->name;
	topic->id = record->topic_id;
	image = image_own(application->image);
	topic_name_map_type.ref(topic->record);
	persistent_map_put(&topic_name_map_type, &image->topic_names, topic->record);
	unified_name_map_type.ref(topic->record);
	persistent_map_put(&unified_name_map_type, &image->unified_names, topic->record);
	persistent_map_put(&topic_map_type, &image->topics, topic);
	return 0;
}

static int apply_remove_topic(
	struct application *application, const struct remove_topic_record *record)
{
	struct image *image = *application->image;
	const struct image_topic *topic = image_topic_by_id(image, &record->topic_id);
	const struct config_record *config;
	struct image_entry *name_entry;

	if (!topic)
		return unfit(application, "a topic is removed that is not there");
	image = image_own(application->image);
	image->partition_count -= image_partition_count(topic);
	name_entry = topic->record;
	topic_name_map_type.ref(name_entry); /* its name is the key of what follows */
	persistent_map_remove(&topic_map_type, &image->topics, &record->topic_id);
	topic = NULL;
	while ((config = image_config_next(image, IMAGE_CONFIG_TOPIC,
			((const struct topic_record *)entry_message(name_entry))->name, NULL)) !=
		NULL)
		persistent_map_remove(&config_map_type, &image->configs, config);
	persistent_map_remove(
		&topic_name_map_type, &image->topic_names, topic_name_map_type.key(name_entry));
	persistent_map_remove(
		&unified_name_map_type, &image->unified_names, topic_name_map_type.key(name_entry));
	entry_unref(name_entry);
	return 0;
}

/* The topic with PARTITION put into it takes the old topic's place. */
static void partition_put(
	struct application *application, const struct uuid *topic_id, struct image_entry *partition)
{
	struct image *image = image_own(application->image);
	const struct image_topic *before = image_topic_by_id(image, topic_id);
	struct image_topic *topic = memory_new_object(struct image_topic);

	IMAGE_COPY(topic, before, record);
	topic->references = 1;
	topic_name_map_type.ref(topic->record);
	persistent_map_ref(topic->partitions);
	image->partition_count +=
		persistent_map_put(&partition_map_type, &topic->partitions, partition);
	persistent_map_put(&topic_map_type, &image->topics, topic);
}

static bool all_migrating(const struct uuid *directories, int32_t count)
{
	for (int32_t i = 0; i < count; i++)
		if (!uuid_is_zero(&directories[i]))
			return false;
	return true;
}

/*
 * Stores PARTITION in its one form: lists are never null, and there is a directory for each replica
 * (MIGRATING where none was said).
 */
static int partition_store(struct application *application, struct partition_record *partition)
{
	struct uuid *migrating = NULL;

	if (all_migrating(partition->directories, partition->directories_count)) {
		migrating = memory_new(
			sizeof(*migrating) * (size_t)max_of(partition->replicas_count, 1));
		partition->directories = migrating;
		partition->directories_count = partition->replicas_count;
	}
	if (partition->directories_count != partition->replicas_count) {
		free(migrating);
		return unfit(
			application, "a partition has more or fewer directories than replicas");
	}
	partition->eligible_leader_replicas_count =
		max_of(partition->eligible_leader_replicas_count, 0);
	partition->last_known_elr_count = max_of(partition->last_known_elr_count, 0);
	partition_put(application, &partition->topic_id,
		entry_new(CLUSTER_METADATA_PARTITION, partition));
	free(migrating);
	return 0;
}

static int apply_partition(struct application *application, const struct partition_record *record)
{
	struct partition_record partition = *record;

	if (!image_topic_by_id(*application->image, &record->topic_id))
		return unfit(application, "a partition is made of a topic that is not there");
	if (record->partition_id < 0)
		return unfit(application, "a partition has a negative number");
	if (record->leader_recovery_state != RECOVERED &&
		record->leader_recovery_state != RECOVERING)
		return unfit(application,
			"a partition is in a recovery state that this release does not know");
	return partition_store(application, &partition);
}

static int apply_partition_change(
	struct application *application, const struct partition_change_record *change)
{
	const struct image_topic *topic = image_topic_by_id(*application->image, &change->topic_id);
	const struct partition_record *before =
		topic ? image_partition(topic, change->partition_id) : NULL;
	struct partition_record partition;

	if (!before)
		return unfit(application, "a partition is changed that is not there");
	if (change->leader_recovery_state != RECOVERY_NO_CHANGE &&
		change->leader_recovery_state != RECOVERED &&
		change->leader_recovery_state != RECOVERING)
		return unfit(application, "a partition is changed to a recovery state that this "
					  "release does not know");
	partition = *before;
	partition.partition_epoch++;
	if (change->leader != NO_LEADER_CHANGE) {
		partition.leader = change->leader;
		partition.leader_epoch++;
	}
	if (change->leader_recovery_state != RECOVERY_NO_CHANGE)
		partition.leader_recovery_state = change->leader_recovery_state;
#define MERGE(field)                                             \
	if (change->field##_count >= 0) {                        \
		partition.field = change->field;                 \
		partition.field##_count = change->field##_count; \
	}
	MERGE(replicas)
	MERGE(isr)
	MERGE(removing_replicas)
	MERGE(adding_replicas)
	MERGE(directories)
	MERGE(eligible_leader_replicas)
	MERGE(last_known_elr)
#undef MERGE
	return partition_store(application, &partition);
}

static void clear_topic_elr(struct application *application, const struct uuid *topic_id)
{
	const struct image_topic *topic = image_topic_by_id(*application->image, topic_id);
	uint32_t count = image_partition_count(topic);

	for (uint32_t i = 0; i < count; i++) {
		struct partition_record partition;

		topic = image_topic_by_id(*application->image, topic_id);
		partition = *image_partition_at(topic, i);
		if (partition.eligible_leader_replicas_count == 0 &&
			partition.last_known_elr_count == 0)
			continue;
		partition.eligible_leader_replicas_count = 0;
		partition.last_known_elr_count = 0;
		partition.partition_epoch++;
		partition_store(application, &partition);
	}
}

static int apply_clear_elr(struct application *application, const struct clear_elr_record *record)
{
	uint32_t count = image_topic_count(*application->image);

	if (record->topic_name.size > 0) {
		const struct image_topic *topic =
			image_topic_by_name(*application->image, record->topic_name);
		struct uuid id;

		if (!topic)
			return unfit(application,
				"eligible leaders are cleared of a topic that is not there");
		id = topic->id;
		clear_topic_elr(application, &id);
		return 0;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct uuid id = image_topic_at(*application->image, i)->id;

		clear_topic_elr(application, &id);
	}
	return 0;
}

/* ---- the rest ---- */

static int apply_feature_level(
	struct application *application, const struct feature_level_record *record)
{
	const struct feature_row *feature;
	struct image *image;

	if (str_equal(record->name, STR(FEATURE_METADATA_VERSION))) {
		if (!metadata_version_find(record->feature_level))
			return unfit(application, "metadata.version is at a level that this "
						  "release does not support");
		image_own(application->image)->metadata_version = record->feature_level;
		return 0;
	}
	feature = feature_find(record->name);
	if (!feature || record->feature_level < 0 || record->feature_level > feature->max_level)
		return unfit(
			application, "a feature is at a level that this release does not support");
	if (str_equal(record->name, STR(FEATURE_KRAFT_VERSION)))
		return 0; /* control records say it */
	image = image_own(application->image);
	if (record->feature_level == 0)
		persistent_map_remove(&feature_map_type, &image->features, &record->name);
	else
		persistent_map_put(&feature_map_type, &image->features,
			entry_new(CLUSTER_METADATA_FEATURE_LEVEL, record));
	return 0;
}

static int apply_config(struct application *application, const struct config_record *record)
{
	struct image *image = image_own(application->image);

	if (str_is_null(record->value))
		persistent_map_remove(&config_map_type, &image->configs, record);
	else
		persistent_map_put(&config_map_type, &image->configs,
			entry_new(CLUSTER_METADATA_CONFIG, record));
	return 0;
}

static int apply_producer_ids(
	struct application *application, const struct producer_ids_record *record)
{
	if (record->next_producer_id <= 0 ||
		record->next_producer_id < (*application->image)->next_producer_id)
		return unfit(application, "producer ids go backwards");
	image_own(application->image)->next_producer_id = record->next_producer_id;
	return 0;
}

static int compare_entity_parts(const void *a, const void *b)
{
	const struct client_quota_record_entity_data *left = a, *right = b;

	return str_compare(left->entity_type, right->entity_type);
}

static int apply_client_quota(
	struct application *application, const struct client_quota_record *record)
{
	size_t size = sizeof(*record->entity) * (size_t)max_of(record->entity_count, 1);
	struct client_quota_record_entity_data *entity = memory_new(size);
	struct client_quota_record ordered = *record;
	struct image *image = image_own(application->image);

	/* An entity is a set: ("user", "client-id") is the same as ("client-id", "user"). */
	if (record->entity_count > 0)
		memcpy(entity, record->entity, size);
	qsort(entity, (size_t)max_of(record->entity_count, 0), sizeof(*entity),
		compare_entity_parts);
	ordered.entity = entity;
	if (record->remove)
		persistent_map_remove(&quota_map_type, &image->quotas, &ordered);
	else
		persistent_map_put(&quota_map_type, &image->quotas,
			entry_new(CLUSTER_METADATA_CLIENT_QUOTA, &ordered));
	free(entity);
	return 0;
}

static int apply_acl(
	struct application *application, const struct access_control_entry_record *record)
{
	persistent_map_put(&acl_map_type, &image_own(application->image)->acls,
		entry_new(CLUSTER_METADATA_ACCESS_CONTROL_ENTRY, record));
	return 0;
}

static int apply_remove_acl(
	struct application *application, const struct remove_access_control_entry_record *record)
{
	if (!persistent_map_get(&acl_map_type, (*application->image)->acls, &record->id))
		return unfit(application, "an access control entry is removed that is not there");
	persistent_map_remove(&acl_map_type, &image_own(application->image)->acls, &record->id);
	return 0;
}

static int apply_scram(
	struct application *application, const struct user_scram_credential_record *record)
{
	persistent_map_put(&scram_map_type, &image_own(application->image)->scram_credentials,
		entry_new(CLUSTER_METADATA_USER_SCRAM_CREDENTIAL, record));
	return 0;
}

static int apply_remove_scram(
	struct application *application, const struct remove_user_scram_credential_record *record)
{
	struct user_scram_credential_record key = {
		.mechanism = record->mechanism, .name = record->name};

	persistent_map_remove(
		&scram_map_type, &image_own(application->image)->scram_credentials, &key);
	return 0;
}

static int apply_token(
	struct application *application, const struct delegation_token_record *record)
{
	persistent_map_put(&token_map_type, &image_own(application->image)->tokens,
		entry_new(CLUSTER_METADATA_DELEGATION_TOKEN, record));
	return 0;
}

static int apply_remove_token(
	struct application *application, const struct remove_delegation_token_record *record)
{
	persistent_map_remove(
		&token_map_type, &image_own(application->image)->tokens, &record->token_id);
	return 0;
}

static int apply_message(struct application *application, int type, const void *message)
{
	const struct fence_broker_record *fence = message;
	const struct unfence_broker_record *unfence = message;
	const struct zk_migration_state_record *migration = message;

	switch (type) {
	case CLUSTER_METADATA_REGISTER_BROKER:
		return apply_register_broker(application, message);
	case CLUSTER_METADATA_UNREGISTER_BROKER:
		return apply_unregister_broker(application, message);
	case CLUSTER_METADATA_BROKER_REGISTRATION_CHANGE:
		return apply_registration_change(application, message);
	case CLUSTER_METADATA_FENCE_BROKER:
		return apply_fence(application, fence->id, fence->epoch, 1);
	case CLUSTER_METADATA_UNFENCE_BROKER:
		return apply_fence(application, unfence->id, unfence->epoch, -1);
	case CLUSTER_METADATA_REGISTER_CONTROLLER:
		return apply_register_controller(application, message);
	case CLUSTER_METADATA_TOPIC:
		return apply_topic(application, message);
	case CLUSTER_METADATA_REMOVE_TOPIC:
		return apply_remove_topic(application, message);
	case CLUSTER_METADATA_PARTITION:
		return apply_partition(application, message);
	case CLUSTER_METADATA_PARTITION_CHANGE:
		return apply_partition_change(application, message);
	case CLUSTER_METADATA_CLEAR_ELR:
		return apply_clear_elr(application, message);
	case CLUSTER_METADATA_FEATURE_LEVEL:
		return apply_feature_level(application, message);
	case CLUSTER_METADATA_CONFIG:
		return apply_config(application, message);
	case CLUSTER_METADATA_PRODUCER_IDS:
		return apply_producer_ids(application, message);
	case CLUSTER_METADATA_CLIENT_QUOTA:
		return apply_client_quota(application, message);
	case CLUSTER_METADATA_ACCESS_CONTROL_ENTRY:
		return apply_acl(application, message);
	case CLUSTER_METADATA_REMOVE_ACCESS_CONTROL_ENTRY:
		return apply_remove_acl(application, message);
	case CLUSTER_METADATA_USER_SCRAM_CREDENTIAL:
		return apply_scram(application, message);
	case CLUSTER_METADATA_REMOVE_USER_SCRAM_CREDENTIAL:
		return apply_remove_scram(application, message);
	case CLUSTER_METADATA_DELEGATION_TOKEN:
		return apply_token(application, message);
	case CLUSTER_METADATA_REMOVE_DELEGATION_TOKEN:
		return apply_remove_token(application, message);
	case CLUSTER_METADATA_ZK_MIGRATION_STATE:
		image_own(application->image)->zk_migration_state = migration->zk_migration_state;
		return 0;
	case CLUSTER_METADATA_NO_OP:
	case CLUSTER_METADATA_BEGIN_TRANSACTION:
	case CLUSTER_METADATA_END_TRANSACTION:
	case CLUSTER_METADATA_ABORT_TRANSACTION:
		return 0;
	default:
		return unfit(application, "a record is of a type that this release does not know");
	}
}

int image_apply(struct image **image, const struct metadata_record *record, int64_t offset,
	const char **ret_why)
{
	struct application application = {.image = image, .offset = offset};
	int error = apply_message(&application, record->type, record->message);

	if (error < 0)
		*ret_why = application.why;
	return error;
}
