/*
 * Record batches as they lie on the wire and on disk: the header of a batch v2 (KIP-98), and the
 * legacy entries of magic 0 and 1 seen through the same struct, so that whoever walks a log or a
 * request meets one kind of batch. Nothing here copies or allocates; setters write into the bytes
 * in place.
 *
 *	for (position = 0;
 *		(size = batch_next(data + position, end - position, &header)) > 0;
 *		position += size)
 *		...
 */
#pragma once

#include "protocol/compress.h"
#include "protocol/record.h"

/* Where a batch v2 keeps its fields, in bytes from its start; all numbers are big-endian. */
enum batch_field {
	BATCH_BASE_OFFSET = 0,
	BATCH_LENGTH = 8, /* of everything behind this field */
	BATCH_PARTITION_LEADER_EPOCH = 12,
	BATCH_MAGIC = 16,
	BATCH_CRC = 17, /* CRC32C of everything behind this field */
	BATCH_ATTRIBUTES = 21,
	BATCH_LAST_OFFSET_DELTA = 23,
	BATCH_BASE_TIMESTAMP = 27,
	BATCH_MAX_TIMESTAMP = 35,
	BATCH_PRODUCER_ID = 43,
	BATCH_PRODUCER_EPOCH = 51,
	BATCH_BASE_SEQUENCE = 53,
	BATCH_RECORD_COUNT = 57,
	BATCH_HEADER_SIZE = 61,

	/* What all magics share. */
	BATCH_OVERHEAD = 12,  /* offset and length, which length does not count */
	BATCH_PEEK_SIZE = 17, /* up to and with the magic */
	BATCH_SIZE_MIN = 26,  /* an empty message of magic 0 */
};

enum batch_attribute {
	BATCH_COMPRESSION_MASK = 0x07,
	BATCH_LOG_APPEND_TIME = 0x08,
	BATCH_TRANSACTIONAL = 0x10,
	BATCH_CONTROL = 0x20,
	BATCH_DELETE_HORIZON = 0x40, /* base_timestamp is the delete horizon (KIP-534) */
};

#define NO_PRODUCER_ID	  INT64_C(-1)
#define NO_PRODUCER_EPOCH ((int16_t)-1)
#define NO_SEQUENCE	  (-1)
#define NO_LEADER_EPOCH	  (-1)

struct batch_header {
	/* v2: offset of the first record. Magic 0 and 1 don't say it: equals last_offset there. */
	int64_t base_offset;
	int64_t last_offset;
	/* Magic 0 has no timestamps (NO_TIMESTAMP); magic 1 one, which is both. */
	int64_t base_timestamp;
	int64_t max_timestamp;
	int64_t producer_id;
	int32_t size; /* of the whole batch in bytes */
	int32_t partition_leader_epoch;
	int32_t base_sequence;
	int32_t record_count; /* as the header claims; -1 for magic 0 and 1 */
	uint32_t crc;
	int16_t producer_epoch;
	int16_t attributes;
	uint8_t magic;
};

/* Whether what is there of a batch can be the beginning of one, of any magic: its length and magic. */
bool batch_begins(const uint8_t *data, size_t available);

/*
 * Reads the header from the first AVAILABLE bytes of a batch; the rest of the batch need not be
 * there. 0, -EAGAIN when AVAILABLE is too little for this magic's header (BATCH_HEADER_SIZE is
 * enough for any; less is enough only when the batch itself is smaller), BATCH_ERROR_CORRUPT for an
 * impossible length or magic.
 */
int batch_header_parse(const uint8_t *data, size_t available, struct batch_header *ret_header);

/*
 * The next whole batch of the SIZE bytes at DATA: its size in bytes, 0 when there is none or the
 * last one is cut off (as fetch responses may end), BATCH_ERROR_CORRUPT as batch_header_parse.
 */
int64_t batch_next(const uint8_t *data, size_t size, struct batch_header *ret_header);

/* Recomputes the checksum over the batch's bytes. 0 or BATCH_ERROR_CORRUPT. DATA holds header->size
 * bytes. */
int batch_check(const uint8_t *data, const struct batch_header *header);

static inline int batch_compression(const struct batch_header *header)
{
	return header->attributes & BATCH_COMPRESSION_MASK;
}

static inline bool batch_is_compressed(const struct batch_header *header)
{
	return batch_compression(header) != COMPRESSION_NONE;
}

static inline enum timestamp_type batch_timestamp_type(const struct batch_header *header)
{
	if (header->magic == 0)
		return TIMESTAMP_NONE;
	return header->attributes & BATCH_LOG_APPEND_TIME ? TIMESTAMP_LOG_APPEND : TIMESTAMP_CREATE;
}

static inline bool batch_is_transactional(const struct batch_header *header)
{
	return header->magic >= 2 && (header->attributes & BATCH_TRANSACTIONAL);
}

static inline bool batch_is_control(const struct batch_header *header)
{
	return header->magic >= 2 && (header->attributes & BATCH_CONTROL);
}

static inline bool batch_has_producer_id(const struct batch_header *header)
{
	return header->producer_id > NO_PRODUCER_ID;
}

/* The time in ms until which tombstones of a compacted batch are kept, NO_TIMESTAMP when none is
 * set. */
static inline int64_t batch_delete_horizon_ms(const struct batch_header *header)
{
	return header->magic >= 2 && (header->attributes & BATCH_DELETE_HORIZON)
		       ? header->base_timestamp
		       : NO_TIMESTAMP;
}

/* Sequences wrap from 2^31-1 to 0. */
static inline int32_t batch_sequence_add(int32_t sequence, int32_t increment)
{
	return (int32_t)(((int64_t)sequence + increment) & INT32_MAX);
}

static inline int32_t batch_last_sequence(const struct batch_header *header)
{
	return header->base_sequence == NO_SEQUENCE
		       ? NO_SEQUENCE
		       : batch_sequence_add(header->base_sequence,
				 (int32_t)(header->last_offset - header->base_offset));
}

/*
 * In place, on checked bytes of a whole batch. Offset and epoch are outside the checksum: cheap.
 * Setting the last offset moves the whole batch (all magics); for v2 that writes the base offset.
 */
void batch_last_offset_set(uint8_t *data, int64_t last_offset);
void batch_base_offset_set(uint8_t *data, int64_t base_offset);
void batch_partition_leader_epoch_set(uint8_t *data, int32_t epoch);
/*
 * Magic 1 and 2. Nothing happens when both are already so; else the checksum is brought up to date
 * without reading the records (it must have been right before).
 */
void batch_max_timestamp_set(uint8_t *data, enum timestamp_type type, int64_t max_timestamp);

/* Kafka's error code for an error of enum batch_error (or any other negative error:
 * UNKNOWN_SERVER_ERROR). */
int16_t batch_error_code(int error);
