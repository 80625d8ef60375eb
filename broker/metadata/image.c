/* The image's life, and reading it. */
#include "broker/metadata/image.h"

#include <stdlib.h>

#include "broker/metadata/image_internal.h"
#include "runtime/memory.h"

struct image *image_new(void)
{
	struct image *image = memory_new_object(struct image);

	image->references = 1;
	image->position = (struct image_position){.offset = -1, .epoch = -1, .timestamp_ms = -1};
	return image;
}

struct image *image_ref(struct image *image)
{
	__atomic_add_fetch(&image->references, 1, __ATOMIC_RELAXED);
	return image;
}

void image_unref(struct image *image)
{
	if (!image || __atomic_sub_fetch(&image->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	persistent_map_unref(&feature_map_type, image->features);
	persistent_map_unref(&broker_map_type, image->brokers);
	persistent_map_unref(&controller_map_type, image->controllers);
	persistent_map_unref(&topic_map_type, image->topics);
	persistent_map_unref(&topic_name_map_type, image->topic_names);
	persistent_map_unref(&unified_name_map_type, image->unified_names);
	persistent_map_unref(&config_map_type, image->configs);
	persistent_map_unref(&quota_map_type, image->quotas);
	persistent_map_unref(&acl_map_type, image->acls);
	persistent_map_unref(&scram_map_type, image->scram_credentials);
	persistent_map_unref(&token_map_type, image->tokens);
	free(image);
}

struct image *image_own(struct image **image)
{
	struct image *shared = *image, *copy;

	if (__atomic_load_n(&shared->references, __ATOMIC_ACQUIRE) == 1)
		return shared;
	copy = memory_new_object(struct image);
	IMAGE_COPY(copy, shared, position);
	copy->references = 1;
	persistent_map_ref(copy->features);
	persistent_map_ref(copy->brokers);
	persistent_map_ref(copy->controllers);
	persistent_map_ref(copy->topics);
	persistent_map_ref(copy->topic_names);
	persistent_map_ref(copy->unified_names);
	persistent_map_ref(copy->configs);
	persistent_map_ref(copy->quotas);
	persistent_map_ref(copy->acls);
	persistent_map_ref(copy->scram_credentials);
	persistent_map_ref(copy->tokens);
	image_unref(shared);
	*image = copy;
	return copy;
}

void image_position_set(struct image **image, struct image_position position)
{
	image_own(image)->position = position;
}

void image_kraft_version_set(struct image **image, int16_t level)
{
	image_own(image)->kraft_version = level;
}

struct image_position image_position(const struct image *image)
{
	return image->position;
}

/* The message of an entry, or NULL for no entry. */
static const void *message_of(const void *entry)
{
	return entry ? entry_message(entry) : NULL;
}

int16_t image_metadata_version(const struct image *image)
{
	return image->metadata_version;
}

int16_t image_feature_level(const struct image *image, struct str name)
{
	const struct feature_level_record *record;

	if (str_equal(name, STR(FEATURE_METADATA_VERSION)))
		return image->metadata_version;
	if (str_equal(name, STR(FEATURE_KRAFT_VERSION)))
		return image->kraft_version;
	record = message_of(persistent_map_get(&feature_map_type, image->features, &name));
	return record ? record->feature_level : 0;
}

bool image_elr_is_enabled(const struct image *image)
{
	return image_feature_level(image, STR(FEATURE_ELR_VERSION)) >= 1;
}

const struct register_broker_record *image_broker(const struct image *image, int32_t broker_id)
{
	return message_of(persistent_map_get(&broker_map_type, image->brokers, &broker_id));
}

bool image_broker_is_active(const struct image *image, int32_t broker_id)
{
	const struct register_broker_record *broker = image_broker(image, broker_id);

	return broker && !broker->fenced && !broker->in_controlled_shutdown;
}

uint32_t image_broker_count(const struct image *image)
{
	return persistent_map_count(image->brokers);
}

const struct register_broker_record *image_broker_at(const struct image *image, uint32_t index)
{
	return message_of(persistent_map_at(image->brokers, index));
}

int64_t image_broker_registration_offset(const struct image *image, int32_t broker_id)
{
	const struct image_entry *entry =
		persistent_map_get(&broker_map_type, image->brokers, &broker_id);

	return entry ? entry->offset : -1;
}

const struct register_controller_record *image_controller(
	const struct image *image, int32_t controller_id)
{
	return message_of(
		persistent_map_get(&controller_map_type, image->controllers, &controller_id));
}

uint32_t image_controller_count(const struct image *image)
{
	return persistent_map_count(image->controllers);
}

const struct register_controller_record *image_controller_at(
	const struct image *image, uint32_t index)
{
	return message_of(persistent_map_at(image->controllers, index));
}

/* The topic whose TopicRecord this is. */
static const struct image_topic *topic_of(
	const struct image *image, const struct image_entry *name_entry)
{
	const struct topic_record *record = message_of(name_entry);

	return record ? image_topic_by_id(image, &record->topic_id) : NULL;
}

const struct image_topic *image_topic_by_name(const struct image *image, struct str name)
{
	return topic_of(image, persistent_map_get(&topic_name_map_type, image->topic_names, &name));
}

const struct image_topic *image_topic_by_id(const struct image *image, const struct uuid *id)
{
	return persistent_map_get(&topic_map_type, image->topics, id);
}

uint32_t image_topic_count(const struct image *image)
{
	return persistent_map_count(image->topics);
}

uint32_t image_partition_count_all(const struct image *image)
{
	return image->partition_count;
}

const struct image_topic *image_topic_at(const struct image *image, uint32_t index)
{
	return topic_of(image, persistent_map_at(image->topic_names, index));
}

const struct image_topic *image_topic_from(const struct image *image, struct str name)
{
	return topic_of(
		image, persistent_map_at_or_after(&topic_name_map_type, image->topic_names, &name));
}

const struct image_topic *image_topic_next(
	const struct image *image, const struct image_topic *topic)
{
	return topic_of(image,
		persistent_map_after(&topic_name_map_type, image->topic_names, &topic->name));
}

static bool names_collide(struct str a, struct str b)
{
	if (a.size != b.size)
		return false;
	for (int32_t i = 0; i < a.size; i++)
		if ((a.data[i] == '.' ? '_' : a.data[i]) != (b.data[i] == '.' ? '_' : b.data[i]))
			return false;
	return true;
}

const struct image_topic *image_topic_colliding(const struct image *image, struct str name)
{
	/* Names that collide stand in a row, in the order of their bytes: on either side of NAME's
	 * own place. */
	char first_name[256];
	struct str first = {.data = first_name, .size = name.size};
	const struct image_entry *entry;

	if (name.size <= 0 || (size_t)name.size > sizeof(first_name))
		return NULL;
	/* A dot is below an underscore, so the name with dots alone is the first of its row. */
	for (int32_t i = 0; i < name.size; i++)
		first_name[i] = name.data[i] == '_' ? '.' : name.data[i];
	entry = persistent_map_at_or_after(&unified_name_map_type, image->unified_names, &first);
	while (entry) {
		const struct topic_record *record = entry_message(entry);

		if (!names_collide(record->name, name))
			return NULL;
		if (!str_equal(record->name, name))
			return topic_of(image, entry);
		entry = persistent_map_after(
			&unified_name_map_type, image->unified_names, &record->name);
	}
	return NULL;
}

uint32_t image_partition_count(const struct image_topic *topic)
{
	return persistent_map_count(topic->partitions);
}

const struct partition_record *image_partition(const struct image_topic *topic, int32_t partition)
{
	return message_of(persistent_map_get(&partition_map_type, topic->partitions, &partition));
}

const struct partition_record *image_partition_at(const struct image_topic *topic, uint32_t index)
{
	return message_of(persistent_map_at(topic->partitions, index));
}

struct uuid partition_directory_of(const struct partition_record *partition, int32_t broker_id)
{
	for (int32_t i = 0; i < partition->replicas_count && i < partition->directories_count; i++)
		if (partition->replicas[i] == broker_id)
			return partition->directories[i];
	return UUID_ZERO;
}

struct str image_config(
	const struct image *image, int8_t type, struct str resource, struct str name)
{
	struct config_record key = {.resource_type = type, .resource_name = resource, .name = name};
	const struct config_record *record =
		message_of(persistent_map_get(&config_map_type, image->configs, &key));

	return record ? record->value : STR_NULL;
}

const struct config_record *image_config_next(const struct image *image, int8_t type,
	struct str resource, const struct config_record *previous)
{
	struct config_record key = {.resource_type = type,
		.resource_name = resource,
		.name = previous ? previous->name : STR("")};
	const struct config_record *record = message_of(
		previous ? persistent_map_after(&config_map_type, image->configs, &key)
			 : persistent_map_at_or_after(&config_map_type, image->configs, &key));

	return record && record->resource_type == type && str_equal(record->resource_name, resource)
		       ? record
		       : NULL;
}

const struct config_record *image_config_at(const struct image *image, uint32_t index)
{
	return message_of(persistent_map_at(image->configs, index));
}

int64_t image_next_producer_id(const struct image *image)
{
	return image->next_producer_id;
}

const struct client_quota_record *image_quota_at(const struct image *image, uint32_t index)
{
	return message_of(persistent_map_at(image->quotas, index));
}

const struct access_control_entry_record *image_acl_at(const struct image *image, uint32_t index)
{
	return message_of(persistent_map_at(image->acls, index));
}

const struct user_scram_credential_record *image_scram_credential(
	const struct image *image, int8_t mechanism, struct str user)
{
	struct user_scram_credential_record key = {.mechanism = mechanism, .name = user};

	return message_of(persistent_map_get(&scram_map_type, image->scram_credentials, &key));
}

const struct user_scram_credential_record *image_scram_credential_at(
	const struct image *image, uint32_t index)
{
	return message_of(persistent_map_at(image->scram_credentials, index));
}

const struct delegation_token_record *image_token(const struct image *image, struct str token_id)
{
	return message_of(persistent_map_get(&token_map_type, image->tokens, &token_id));
}

const struct delegation_token_record *image_token_at(const struct image *image, uint32_t index)
{
	return message_of(persistent_map_at(image->tokens, index));
}

struct topics_diff {
	void (*changed)(
		void *argument, const struct image_topic *before, const struct image_topic *after);
	void *argument;
};

static void topics_diff_one(void *argument, void *before, void *after)
{
	const struct topics_diff *diff = argument;

	diff->changed(diff->argument, before, after);
}

void image_topics_diff(const struct image *before, const struct image *after,
	void (*changed)(void *argument, const struct image_topic *topic_before,
		const struct image_topic *topic_after),
	void *argument)
{
	struct topics_diff diff = {.changed = changed, .argument = argument};
	struct persistent_map none = {0};

	persistent_map_diff(&topic_map_type, before ? before->topics : none, after->topics,
		topics_diff_one, &diff);
}

struct configs_diff {
	int8_t type;
	void (*changed)(void *argument, struct str resource);
	void *argument;
	struct str last; /* null before the first */
};

/* In the order of their keys, so that a resource's settings come in a row. */
static void configs_diff_one(void *argument, void *before, void *after)
{
	struct configs_diff *diff = argument;
	const struct config_record *record = message_of(after ? after : before);

	if (record->resource_type != diff->type ||
		(!str_is_null(diff->last) && str_equal(diff->last, record->resource_name)))
		return;
	diff->last = record->resource_name;
	diff->changed(diff->argument, record->resource_name);
}

void image_configs_diff(const struct image *before, const struct image *after, int8_t type,
	void (*changed)(void *argument, struct str resource), void *argument)
{
	struct configs_diff diff = {
		.type = type, .changed = changed, .argument = argument, .last = STR_NULL};
	struct persistent_map none = {0};

	persistent_map_diff(&config_map_type, before ? before->configs : none, after->configs,
		configs_diff_one, &diff);
}
