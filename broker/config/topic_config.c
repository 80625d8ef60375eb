#include "broker/config/topic_config.h"

#include "broker/config/resource_values.h"

static int64_t number(const struct resource_values *values, enum setting_id id)
{
	const struct setting_value *value = resource_value(values, id);

	ensure(!value->is_null);
	return value->integer;
}

static bool policy_holds(const struct resource_values *values, struct str policy)
{
	struct str_list list = resource_value(values, TOPIC_SETTING_CLEANUP_POLICY)->list;

	for (int32_t i = 0; i < list.count; i++) {
		if (str_equal(list.items[i], policy))
			return true;
	}
	return false;
}

static void read_compression(struct topic_config *topic, const struct resource_values *values)
{
	static const struct {
		const char *name;
		enum topic_compression compression;
		enum setting_id level;
	} codecs[] = {
		{"uncompressed", TOPIC_COMPRESSION_NONE, SETTING_NONE},
		{"gzip", TOPIC_COMPRESSION_GZIP, TOPIC_SETTING_COMPRESSION_GZIP_LEVEL},
		{"snappy", TOPIC_COMPRESSION_SNAPPY, SETTING_NONE},
		{"lz4", TOPIC_COMPRESSION_LZ4, TOPIC_SETTING_COMPRESSION_LZ4_LEVEL},
		{"zstd", TOPIC_COMPRESSION_ZSTD, TOPIC_SETTING_COMPRESSION_ZSTD_LEVEL},
		{"producer", TOPIC_COMPRESSION_PRODUCER, SETTING_NONE},
	};
	struct str name = resource_value(values, TOPIC_SETTING_COMPRESSION_TYPE)->text;

	for (size_t i = 0; i < array_length(codecs); i++) {
		if (!str_equal(name, str_from(codecs[i].name)))
			continue;
		topic->compression = codecs[i].compression;
		topic->compression_level = codecs[i].level == SETTING_NONE
						   ? 0
						   : (int32_t)number(values, codecs[i].level);
		return;
	}
	ensure(!"a checked value names a codec");
}

static void topic_config_read(struct topic_config *topic, const struct resource_values *values)
{
	const struct setting_value *small =
		resource_value(values, TOPIC_SETTING_INTERNAL_SEGMENT_BYTES);

	*topic = (struct topic_config){
		.segment_bytes =
			(int32_t)(small->is_null ? number(values, TOPIC_SETTING_SEGMENT_BYTES)
						 : small->integer),
		.segment_ms = number(values, TOPIC_SETTING_SEGMENT_MS),
		.segment_jitter_ms = number(values, TOPIC_SETTING_SEGMENT_JITTER_MS),
		.segment_index_bytes = (int32_t)number(values, TOPIC_SETTING_SEGMENT_INDEX_BYTES),
		.index_interval_bytes = (int32_t)number(values, TOPIC_SETTING_INDEX_INTERVAL_BYTES),
		.preallocate = resource_value(values, TOPIC_SETTING_PREALLOCATE)->boolean,
		.flush_messages = number(values, TOPIC_SETTING_FLUSH_MESSAGES),
		.flush_ms = number(values, TOPIC_SETTING_FLUSH_MS),
		.cleanup_delete = policy_holds(values, STR("delete")),
		.cleanup_compact = policy_holds(values, STR("compact")),
		.retention_ms = number(values, TOPIC_SETTING_RETENTION_MS),
		.retention_bytes = number(values, TOPIC_SETTING_RETENTION_BYTES),
		.file_delete_delay_ms = number(values, TOPIC_SETTING_FILE_DELETE_DELAY_MS),
		.delete_retention_ms = number(values, TOPIC_SETTING_DELETE_RETENTION_MS),
		.min_compaction_lag_ms = number(values, TOPIC_SETTING_MIN_COMPACTION_LAG_MS),
		.max_compaction_lag_ms = number(values, TOPIC_SETTING_MAX_COMPACTION_LAG_MS),
		.min_cleanable_dirty_ratio =
			resource_value(values, TOPIC_SETTING_MIN_CLEANABLE_DIRTY_RATIO)->number,
		.max_message_bytes = (int32_t)number(values, TOPIC_SETTING_MAX_MESSAGE_BYTES),
		.log_append_time = str_equal(
			resource_value(values, TOPIC_SETTING_MESSAGE_TIMESTAMP_TYPE)->text,
			STR("LogAppendTime")),
		.timestamp_before_max_ms =
			number(values, TOPIC_SETTING_MESSAGE_TIMESTAMP_BEFORE_MAX_MS),
		.timestamp_after_max_ms =
			number(values, TOPIC_SETTING_MESSAGE_TIMESTAMP_AFTER_MAX_MS),
		.min_insync_replicas = (int32_t)number(values, TOPIC_SETTING_MIN_INSYNC_REPLICAS),
		.unclean_leader_election =
			resource_value(values, TOPIC_SETTING_UNCLEAN_LEADER_ELECTION_ENABLE)
				->boolean,
	};
	read_compression(topic, values);
}

/* Values of a topic are short: what does not fit was refused when it was set. */
enum { TOPIC_CONFIG_ARENA_BYTES = 1 << 20 };

void topic_config_init(struct topic_config *topic, const struct config *config,
	const struct config_entries *overrides, int32_t *ret_left_out)
{
	struct resource_values values;
	struct arena arena;

	arena_init(&arena, TOPIC_CONFIG_ARENA_BYTES);
	int error = resource_values_init(
		&values, CONFIG_RESOURCE_TOPIC, config, overrides, &arena, NULL, ret_left_out);
	if (error == 0)
		topic_config_read(topic, &values);
	arena_done(&arena);
	if (error < 0) {
		/* Out of memory, or values of a megabyte: the broker's settings alone need none to
		 * speak of. */
		const struct config_entries none = {0};
		arena_init(&arena, TOPIC_CONFIG_ARENA_BYTES);
		error = resource_values_init(
			&values, CONFIG_RESOURCE_TOPIC, config, &none, &arena, NULL, ret_left_out);
		ensure(error == 0);
		topic_config_read(topic, &values);
		arena_done(&arena);
		*ret_left_out = overrides->count;
	}
}
