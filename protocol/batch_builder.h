/*
 * Writes one batch v2, record by record, at the end of a record buffer: for coordinators, the
 * metadata log, compaction, and whatever is rebuilt on its way in. Records are compressed as they
 * come.
 *
 *	struct batch_options options = BATCH_OPTIONS_DEFAULT;
 *	batch_builder_begin(&builder, &options, context, &buffer);
 *	batch_builder_append(&builder, offset, timestamp_ms, key, value, NULL, 0);
 *	batch_builder_end(&builder);
 */
#pragma once

#include "protocol/batch.h"

struct batch_options {
	int64_t base_offset;
	int64_t producer_id;
	int64_t log_append_time_ms; /* every record's time, when the type is LogAppendTime */
	int64_t delete_horizon_ms;  /* NO_TIMESTAMP when none; becomes the base timestamp */
	int32_t base_sequence;
	int32_t partition_leader_epoch;
	int16_t producer_epoch;
	enum timestamp_type timestamp_type;
	enum compression compression;
	int level; /* compression_levels(); ignored by codecs without levels */
	bool transactional, control;
};

#define BATCH_OPTIONS_DEFAULT                                                                   \
	{                                                                                       \
		.producer_id = NO_PRODUCER_ID, .log_append_time_ms = NO_TIMESTAMP,              \
		.delete_horizon_ms = NO_TIMESTAMP, .base_sequence = NO_SEQUENCE,                \
		.partition_leader_epoch = NO_LEADER_EPOCH, .producer_epoch = NO_PRODUCER_EPOCH, \
		.timestamp_type = TIMESTAMP_CREATE, .compression = COMPRESSION_NONE             \
	}

struct batch_builder {
	struct batch_options options;
	struct compress_context *context;
	struct record_buffer *out;
	size_t start; /* of the batch in out */
	int64_t base_timestamp, max_timestamp;
	int64_t last_offset;
	int64_t plain_size; /* of the records before compression */
	int32_t record_count;
};

/* CONTEXT may be NULL without compression. 0, -ENOBUFS, -ENOMEM; on errors OUT is as before. */
int batch_builder_begin(struct batch_builder *builder, const struct batch_options *options,
	struct compress_context *context, struct record_buffer *out);
/*
 * OFFSET is above the last one and within 2^31 of the base. 0, -ENOBUFS, -ENOMEM. Without
 * compression a failed append leaves the batch as it was, and it can be ended; with compression it
 * must be aborted.
 */
int batch_builder_append(struct batch_builder *builder, int64_t offset, int64_t timestamp_ms,
	struct bytes key, struct bytes value, const struct record_header *headers,
	int32_t header_count);
/* The same from a record that was read (magic 0 and 1 too); its own offset is ignored. */
int batch_builder_append_record(
	struct batch_builder *builder, int64_t offset, const struct record *record);
/* Bytes of the batch so far; with compression what came out of the codec yet. */
size_t batch_builder_size(const struct batch_builder *builder);
/* What the batch claims as last offset, when records at its end were dropped (compaction). Just
 * before the end. */
void batch_builder_last_offset_override(struct batch_builder *builder, int64_t last_offset);
/*
 * Writes the header; a batch without records vanishes from OUT, as in Kafka. Errors as append.
 */
int batch_builder_end(struct batch_builder *builder);
/* Takes back everything since begin. */
void batch_builder_abort(struct batch_builder *builder);

/*
 * Appends what compaction leaves of a batch whose records are all gone but whose producer state
 * must stay: a header with the offsets, sequence and max timestamp of FROM and no records. 0,
 * -ENOBUFS, -ENOMEM.
 */
int batch_empty_write(struct record_buffer *out, const struct batch_header *from);
