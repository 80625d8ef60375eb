/*
 * What a leader checks before it appends what a client sent for one partition, and how the bytes
 * become one batch v2 of the log: Kafka's ProduceRequest.validateRecords, the first half of
 * UnifiedLog.append (size, checksum) and LogValidator.
 *
 *	batch_validate()   judges the bytes without touching them: refused, good as they are,
 *	                   or to be rebuilt
 *	batch_assign()     good as they are: offset, leader epoch and timestamps are written
 *	                   into the bytes
 *	batch_rebuild()    message sets of magic 0 and 1, another codec than the topic's, inner
 *	                   offsets that don't count up: a new batch is written
 *
 * All three are functions of their arguments and may run on any thread with a context of its own.
 */
#pragma once

#include "protocol/batch.h"
#include "runtime/arena.h"

enum batch_origin {
	BATCH_ORIGIN_CLIENT,
	BATCH_ORIGIN_COORDINATOR, /* our own records: may be control batches, needn't start at
				     offset 0 */
};

/* The topic's compression.type: a codec, or what the producer chose. */
#define COMPRESSION_PRODUCER (-1)

struct batch_rules {
	int64_t now_ms;
	int64_t timestamp_before_max_ms; /* message.timestamp.before.max.ms */
	int64_t timestamp_after_max_ms;	 /* message.timestamp.after.max.ms */
	uint64_t decompressed_limit; /* bytes; what a rebuild may decompress, and a validation look
					at */
	enum timestamp_type timestamp_type; /* message.timestamp.type */
	enum batch_origin origin;
	int32_t batch_size_max;	 /* max.message.bytes; INT32_MAX for none */
	int compression;	 /* enum compression or COMPRESSION_PRODUCER */
	int compression_level;	 /* of that codec; codecs that producers choose are rebuilt at their
				    standard level */
	int16_t produce_version; /* of the request; -1 when the bytes come from no Produce request
				  */
	bool compacted;		 /* cleanup.policy has compact: records need keys */
};

/* Why one record was refused (KIP-467). */
enum batch_record_problem {
	RECORD_PROBLEM_NO_KEY,
	RECORD_PROBLEM_TIMESTAMP_RANGE,
	RECORD_PROBLEM_TIMESTAMP_TYPE,
	RECORD_PROBLEM_MAGIC,
};

struct batch_record_error {
	int32_t index; /* of the record in its batch */
	enum batch_record_problem problem;
	int64_t offset, timestamp;
	int32_t key_size, value_size; /* -1 null */
	bool skimmed;		      /* Kafka names another class in its text */
};

struct batch_verdict {
	int error; /* 0 or why all is refused: enum batch_error, -ENOMEM */
	/* With BATCH_ERROR_INVALID and BATCH_ERROR_TIMESTAMP: the records to blame, if it was
	 * single records. */
	int32_t record_error_count;
	int32_t record_error_listed; /* fewer when the arena was full */
	struct batch_record_error *record_errors;

	/* Of what is good. */
	int32_t batch_count; /* 0: nothing to append (allowed before Produce v3), nothing below is
				set */
	int32_t record_count;
	size_t valid_size; /* bytes of whole batches; a batch cut off at the end is left out, as in
			      Kafka */
	int64_t max_timestamp; /* after the append: now for LogAppendTime, NO_TIMESTAMP when no
				  record has one */
	int32_t max_timestamp_index; /* of the first record that has it, -1 when none has one */
	struct batch_header first;   /* as received */
	enum compression source_compression;
	bool rebuild;
};

/*
 * RULES and the SIZE bytes of one partition of a request, or of our own record batch. Errors of
 * single records are listed in ARENA (NULL: only counted). The verdict is always filled.
 */
void batch_validate(struct compress_context *context, const struct batch_rules *rules,
	const uint8_t *data, size_t size, struct arena *arena, struct batch_verdict *ret_verdict);

/* For a good verdict without rebuild: makes the batch at DATA the log's, beginning at BASE_OFFSET.
 */
void batch_assign(const struct batch_rules *rules, const struct batch_verdict *verdict,
	uint8_t *data, int64_t base_offset, int32_t leader_epoch);

/*
 * For a good verdict with rebuild: appends the new batch to OUT. DATA as validated. 0;
 * BATCH_ERROR_TOO_LARGE when the result passes batch_size_max; BATCH_ERROR_INVALID for records the
 * format has no place for; -ENOBUFS, -ENOMEM.
 */
int batch_rebuild(struct compress_context *context, const struct batch_rules *rules,
	const struct batch_verdict *verdict, const uint8_t *data, int64_t base_offset,
	int32_t leader_epoch, struct record_buffer *out);

/* Kafka's texts for the response: of one record (TOPIC and PARTITION as in the request) … */
struct str batch_record_error_text(const struct batch_rules *rules,
	const struct batch_record_error *error, struct str topic, int32_t partition,
	struct arena *arena);
/* … and of the partition; null when the error is not about single records. Data NULL and size -1
 * also without memory. */
struct str batch_verdict_text(const struct batch_rules *rules, const struct batch_verdict *verdict,
	struct str topic, int32_t partition, struct arena *arena);
