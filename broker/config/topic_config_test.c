#include "broker/config/topic_config.h"

#include <criterion/criterion.h>

static struct arena arena;

static struct config_entries entries_from(const char *text)
{
	struct config_entries entries;
	struct properties_problem problem;

	cr_assert_eq(properties_parse(str_from(text), &arena, &entries, &problem), 0);
	return entries;
}

static struct config *config_from(const char *text)
{
	struct config_report report;
	struct config *config;
	struct config_entries overrides;

	arena_init(&arena, 1 << 20);
	config_report_init(&report);
	overrides = entries_from(text);
	cr_assert_eq(config_new_embedded(&overrides, &report, &config), 0);
	config_report_done(&report);
	return config;
}

/* What Apache Kafka gives a topic on a broker with no settings at all. */
Test(topic_config, defaults_are_kafkas)
{
	struct config *config = config_from("");
	struct config_entries none = {0};
	struct topic_config topic;
	int32_t left_out;

	topic_config_init(&topic, config, &none, &left_out);
	cr_assert_eq(left_out, 0);
	cr_assert_eq(topic.segment_bytes, 1 << 30);
	cr_assert_eq(topic.segment_ms, 7ll * 24 * 3600 * 1000);
	cr_assert_eq(topic.segment_index_bytes, 10485760);
	cr_assert_eq(topic.index_interval_bytes, 4096);
	cr_assert_eq(topic.flush_messages, INT64_MAX);
	cr_assert_eq(topic.flush_ms, INT64_MAX);
	cr_assert(topic.cleanup_delete);
	cr_assert_not(topic.cleanup_compact);
	cr_assert_eq(topic.retention_ms, 7ll * 24 * 3600 * 1000);
	cr_assert_eq(topic.retention_bytes, -1);
	cr_assert_eq(topic.max_message_bytes, 1048588);
	cr_assert_eq(topic.compression, TOPIC_COMPRESSION_PRODUCER);
	cr_assert_eq(topic.timestamp_before_max_ms, INT64_MAX);
	cr_assert_eq(topic.timestamp_after_max_ms, 3600000);
	cr_assert_eq(topic.min_insync_replicas, 1);
	cr_assert_not(topic.log_append_time);
	config_unref(config);
	arena_done(&arena);
}

Test(topic_config, own_settings_win_over_the_brokers)
{
	struct config *config =
		config_from("log.retention.minutes=2\nlog.roll.hours=3\nmin.insync.replicas=2\n"
			    "compression.type=zstd\ncompression.zstd.level=7\nlog.flush.scheduler."
			    "interval.ms=9\n");
	struct config_entries own =
		entries_from("segment.ms=5\ncleanup.policy=compact, "
			     "delete\nmessage.timestamp.type=LogAppendTime\n"
			     "internal.segment.bytes=1000\nsegment.bytes=2000000\n");
	struct config_entries gzip = entries_from("compression.type=gzip\n");
	struct topic_config topic;
	int32_t left_out;

	topic_config_init(&topic, config, &own, &left_out);
	cr_assert_eq(left_out, 0);
	cr_assert_eq(topic.retention_ms, 120000);
	cr_assert_eq(topic.segment_ms, 5);
	cr_assert_eq(topic.segment_bytes, 1000);
	cr_assert_eq(topic.flush_ms, 9);
	cr_assert(topic.cleanup_compact && topic.cleanup_delete);
	cr_assert(topic.log_append_time);
	cr_assert_eq(topic.min_insync_replicas, 2);
	cr_assert_eq(topic.compression, TOPIC_COMPRESSION_ZSTD);
	cr_assert_eq(topic.compression_level, 7);
	topic_config_init(&topic, config, &gzip, &left_out);
	cr_assert_eq(topic.compression, TOPIC_COMPRESSION_GZIP);
	cr_assert_eq(topic.compression_level, -1);
	config_unref(config);
	arena_done(&arena);
}

/* Records of another release, or of before Kafka checked them. */
Test(topic_config, what_cannot_be_read_is_left_out)
{
	struct config *config = config_from("");
	struct config_entries own =
		entries_from("message.format.version=2.0\nsegment.bytes=14\nretention.ms=77\n");
	struct topic_config topic;
	int32_t left_out;

	topic_config_init(&topic, config, &own, &left_out);
	cr_assert_eq(left_out, 2);
	cr_assert_eq(topic.segment_bytes, 1 << 30);
	cr_assert_eq(topic.retention_ms, 77);
	config_unref(config);
	arena_done(&arena);
}
