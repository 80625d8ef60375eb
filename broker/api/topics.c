/*
 * What the handlers ask about topics' names, and how topics are made that nobody asked for by
 * CreateTopics.
 */
#include <stdio.h>

#include "broker/api/api.h"
#include "storage/names.h"

bool topic_name_is_valid(struct str name)
{
	if (name.size <= 0 || name.size > NAME_TOPIC_SIZE_MAX || str_equal(name, STR(".")) ||
		str_equal(name, STR("..")))
		return false;
	for (int32_t i = 0; i < name.size; i++) {
		char c = name.data[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '.' || c == '_' || c == '-'))
			return false;
	}
	return true;
}

bool topic_name_is_internal(struct str name)
{
	return str_equal(name, STR("__consumer_offsets")) ||
	       str_equal(name, STR("__transaction_state")) ||
	       str_equal(name, STR("__share_group_state"));
}

/* The settings of one of Kafka's own topics. */
struct internal_topic {
	struct str name;
	enum setting_id partitions, replication, segment_bytes, min_isr;
	const char *cleanup_policy, *compression;
};

static const struct internal_topic internal_topics[] = {
	{{"__consumer_offsets", 18}, SETTING_OFFSETS_TOPIC_NUM_PARTITIONS,
		SETTING_OFFSETS_TOPIC_REPLICATION_FACTOR, SETTING_OFFSETS_TOPIC_SEGMENT_BYTES,
		SETTING_NONE, "compact", "producer"},
	{{"__transaction_state", 19}, SETTING_TRANSACTION_STATE_LOG_NUM_PARTITIONS,
		SETTING_TRANSACTION_STATE_LOG_REPLICATION_FACTOR,
		SETTING_TRANSACTION_STATE_LOG_SEGMENT_BYTES, SETTING_TRANSACTION_STATE_LOG_MIN_ISR,
		"compact", "uncompressed"},
	{{"__share_group_state", 19}, SETTING_SHARE_COORDINATOR_STATE_TOPIC_NUM_PARTITIONS,
		SETTING_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR,
		SETTING_SHARE_COORDINATOR_STATE_TOPIC_SEGMENT_BYTES,
		SETTING_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR, "delete", "none"},
};

static bool topic_setting_add(struct request *request,
	struct create_topics_request_creatable_topic *topic, const char *name, const char *value)
{
	if (!value)
		return false;
	struct create_topics_request_creatable_topic_config *config =
		&topic->configs[topic->configs_count++];
	config->name = str_from(name);
	config->value = str_from(value);
	return true;
}

bool auto_topic_describe(struct request *request, struct str name,
	struct create_topics_request_creatable_topic *topic)
{
	const struct config *config = request->shard->config;
	struct arena *arena = &request->arena;

	topic->name = name;
	topic->num_partitions = -1;
	topic->replication_factor = -1;
	for (unsigned i = 0; i < array_length(internal_topics); i++) {
		const struct internal_topic *internal = &internal_topics[i];
		if (!str_equal(name, internal->name))
			continue;
		topic->num_partitions = config_int(config, internal->partitions);
		topic->replication_factor =
			(int16_t)config_value(config, internal->replication)->integer;
		topic->configs = schema_new_array(
			&create_topics_request_creatable_topic_config_schema, arena, 4);
		if (!topic->configs ||
			!topic_setting_add(
				request, topic, "cleanup.policy", internal->cleanup_policy) ||
			!topic_setting_add(
				request, topic, "compression.type", internal->compression) ||
			!topic_setting_add(request, topic, "segment.bytes",
				arena_printf(
					arena, "%d", config_int(config, internal->segment_bytes))))
			return false;
		if (internal->min_isr != SETTING_NONE &&
			!topic_setting_add(request, topic, "min.insync.replicas",
				arena_printf(arena, "%d", config_int(config, internal->min_isr))))
			return false;
	}
	return true;
}
