#include "broker/topic_settings.h"

#include <errno.h>

int image_config_entries(const struct image *image, int8_t type, struct str resource,
	struct arena *arena, struct config_entries *ret)
{
	const struct config_record *record = NULL;
	int32_t count = 0;

	while ((record = image_config_next(image, type, resource, record)))
		count++;
	struct config_entry *items = arena_new_array(arena, struct config_entry, (size_t)count);
	if (!items)
		return -ENOMEM;
	count = 0;
	while ((record = image_config_next(image, type, resource, record)))
		items[count++] =
			(struct config_entry){.name = record->name, .value = record->value};
	*ret = (struct config_entries){.items = items, .count = count};
	return 0;
}

void topic_config_of_image(const struct config *config, const struct image *image, struct str topic,
	struct topic_config *ret)
{
	struct config_entries overrides = {0};
	int32_t left_out;
	struct arena arena;

	/* A topic has a few dozen settings at most; without memory for them it has the broker's. */
	arena_init(&arena, 1 << 16);
	if (image_config_entries(image, IMAGE_CONFIG_TOPIC, topic, &arena, &overrides) < 0)
		overrides = (struct config_entries){0};
	topic_config_init(ret, config, &overrides, &left_out);
	arena_done(&arena);
}

void log_config_from_topic(const struct topic_config *topic, struct log_config *ret)
{
	log_config_init(ret);
	ret->segment_size_bytes = topic->segment_bytes;
	ret->segment_ms = topic->segment_ms;
	ret->segment_jitter_ms = topic->segment_jitter_ms;
	ret->segment_index_size_bytes = topic->segment_index_bytes;
	ret->index_interval_bytes = topic->index_interval_bytes;
	ret->retention_ms = topic->retention_ms;
	ret->retention_size_bytes = topic->retention_bytes;
	ret->file_delete_delay_ms = topic->file_delete_delay_ms;
	ret->flush_messages = topic->flush_messages;
	/* The broker's default may be negative: at once. */
	ret->flush_ms = max_of(topic->flush_ms, (int64_t)0);
	ret->max_message_bytes = topic->max_message_bytes;
	ret->timestamp_before_max_ms = topic->timestamp_before_max_ms;
	ret->timestamp_after_max_ms = topic->timestamp_after_max_ms;
	ret->timestamp_type = topic->log_append_time ? TIMESTAMP_LOG_APPEND : TIMESTAMP_CREATE;
	ret->compression = topic->compression == TOPIC_COMPRESSION_PRODUCER
				   ? (int8_t)LOG_COMPRESSION_PRODUCER
				   : (int8_t)topic->compression;
	ret->compression_level = topic->compression_level;
	ret->compact = topic->cleanup_compact;
	ret->delete_old = topic->cleanup_delete;
	ret->min_compaction_lag_ms = topic->min_compaction_lag_ms;
	ret->max_compaction_lag_ms = topic->max_compaction_lag_ms;
	ret->delete_retention_ms = topic->delete_retention_ms;
	ret->min_cleanable_dirty_ratio = topic->min_cleanable_dirty_ratio;
	ret->preallocate = topic->preallocate;
}
