/*
 * Reads the partitions of a topic and tells the history: with fetch sessions (KIP-227) or without,
 * by name or by topic id, in any version. What the consumer, the scan and the churner share.
 */
#pragma once

#include "model.h"
#include "protocol/batch_records.h"

struct reader {
	struct model_connection connection;
	struct model_topic topic;
	struct compress_context *compress;
	int64_t next[PARTITIONS_MAX];		 /* offsets to fetch */
	int64_t high_watermarks[PARTITIONS_MAX]; /* last told */
	int64_t start_floors[PARTITIONS_MAX];	 /* what log starts must not be below */
	bool is_scan;
	int32_t max_wait_ms;
	/* The session: a version for its whole life, since names and ids don't mix in one. */
	bool uses_sessions;
	int32_t session_id, session_epoch; /* 0, 0: none, make one */
	int session_version;
	int64_t session_offsets[PARTITIONS_MAX]; /* last sent; -1: not in the session */
};

void reader_init(struct reader *reader, struct model *model, struct shard *shard,
	const struct model_topic *topic);
void reader_done(struct reader *reader);
/* The topic was deleted and made again: from the beginning of the new one. */
void reader_topic_set(struct reader *reader, const struct model_topic *topic);

/* One Fetch. Kafka's error code of the answer or of a partition, which is for the caller to judge
 * unless it is about the session or the log's start; 0; or a negative errno. */
int reader_fetch(struct reader *reader);
/* ListOffsets of every partition: -1 for the latest, -2 for the earliest. Kafka's error code, or a
 * negative errno. */
int reader_offsets(struct reader *reader, int64_t timestamp, int64_t ret_offsets[PARTITIONS_MAX]);
/* All partitions are read up to ENDS. */
bool reader_has_reached(const struct reader *reader, const int64_t ends[PARTITIONS_MAX]);
