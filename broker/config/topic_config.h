/*
 * A topic's settings, fully resolved: its own (from the metadata's ConfigRecords) over the
 * broker's. A plain value: computed when the topic or the broker's configuration changes, read by
 * the log and by the handlers without a look-up.
 */
#pragma once

#include "broker/config/config.h"

/* Numbered as the attributes of record batches number codecs. */
enum topic_compression {
	TOPIC_COMPRESSION_NONE = 0, /* `uncompressed` */
	TOPIC_COMPRESSION_GZIP = 1,
	TOPIC_COMPRESSION_SNAPPY = 2,
	TOPIC_COMPRESSION_LZ4 = 3,
	TOPIC_COMPRESSION_ZSTD = 4,
	TOPIC_COMPRESSION_PRODUCER = 5, /* as the batches came */
};

struct topic_config {
	/* Segments. */
	int32_t segment_bytes; /* internal.segment.bytes where it is given */
	int64_t segment_ms;
	int64_t segment_jitter_ms;
	int32_t segment_index_bytes;
	int32_t index_interval_bytes;
	bool preallocate;

	/* Syncs. INT64_MAX: never because of this. */
	int64_t flush_messages;
	int64_t flush_ms;

	/* Deletion and compaction. -1: no limit. */
	bool cleanup_delete;
	bool cleanup_compact;
	int64_t retention_ms;
	int64_t retention_bytes;
	int64_t file_delete_delay_ms;
	int64_t delete_retention_ms;
	int64_t min_compaction_lag_ms;
	int64_t max_compaction_lag_ms;
	double min_cleanable_dirty_ratio;

	/* Records. */
	int32_t max_message_bytes;
	enum topic_compression compression;
	int32_t compression_level; /* of that codec; 0 where it has none */
	bool log_append_time;	   /* message.timestamp.type */
	int64_t timestamp_before_max_ms;
	int64_t timestamp_after_max_ms;

	/* Replication. */
	int32_t min_insync_replicas;
	bool unclean_leader_election;
};

/* OVERRIDES are the topic's own settings. One that is unknown or not valid (written by a later
 * release, say) is left out, and counted in *RET_LEFT_OUT. Needs no memory. */
void topic_config_init(struct topic_config *topic, const struct config *config,
	const struct config_entries *overrides, int32_t *ret_left_out);
