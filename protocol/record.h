/*
 * One record of a batch v2 (KIP-98), and the view of a record that readers get whatever the
 * batch's magic was:
 *
 *	size varint,
 *	attributes int8 (unused), timestamp delta varlong, offset delta varint,
 *	key size varint (-1 null), key, value size varint (-1 null), value,
 *	header count varint, for each: key size varint, key, value size varint (-1 null), value
 *
 * All variable-length numbers are zigzag. Nothing here allocates; views point into the bytes that
 * were parsed.
 */
#pragma once

#include "protocol/record_buffer.h"

enum timestamp_type {
	TIMESTAMP_NONE = -1, /* records of magic 0 have none */
	TIMESTAMP_CREATE = 0,
	TIMESTAMP_LOG_APPEND = 1,
};

#define NO_TIMESTAMP INT64_C(-1)

/* Errors of this room's record code, beside errno's. batch_error_code() gives Kafka's code for
 * each. */
enum batch_error {
	/* Sizes, magic or CRC are wrong: the bytes are damaged (CORRUPT_MESSAGE). */
	BATCH_ERROR_CORRUPT = -4001,
	/* Well received, but the content breaks a rule (INVALID_RECORD). */
	BATCH_ERROR_INVALID = -4002,
	/* A record's timestamp is out of range or of the wrong type (INVALID_TIMESTAMP). */
	BATCH_ERROR_TIMESTAMP = -4003,
	/* The codec is not allowed here (UNSUPPORTED_COMPRESSION_TYPE). */
	BATCH_ERROR_COMPRESSION = -4004,
	/* Producer state in a format that has no place for it (UNSUPPORTED_FOR_MESSAGE_FORMAT). */
	BATCH_ERROR_FORMAT = -4005,
	/* A batch is over max.message.bytes (MESSAGE_TOO_LARGE). */
	BATCH_ERROR_TOO_LARGE = -4006,
	/* The compressed bytes cannot be decompressed; Kafka has no code for that
	   (UNKNOWN_SERVER_ERROR). */
	BATCH_ERROR_DECOMPRESS = -4007,
	/* More decompressed bytes than the caller allows. Kafka knows no such limit
	   (INVALID_RECORD). */
	BATCH_ERROR_BOMB = -4008,
	/* What Kafka fails on without having a code for it (UNKNOWN_SERVER_ERROR). */
	BATCH_ERROR_UNEXPECTED = -4009,
};

/* Views into somebody else's bytes. HEADER_BYTES is the encoded headers without their count. */
struct record {
	int64_t offset;
	int64_t timestamp; /* NO_TIMESTAMP when there is none; the batch's where its type is
			      LogAppendTime */
	struct bytes key;
	struct bytes value;
	int32_t header_count;
	struct bytes header_bytes;
	int32_t size; /* as encoded, with its size field (legacy: with offset and size fields) */
	int8_t attributes;
	uint8_t magic; /* of this record: 0, 1 or 2 */
};

struct record_header {
	struct str key;
	struct bytes value;
};

/*
 * Reads one record from the SIZE bytes at DATA, which may hold more. Offset and timestamp are
 * filled as deltas: the caller adds the batch's bases. Returns the record's size in bytes,
 * BATCH_ERROR_INVALID when it is malformed or does not fit.
 */
int64_t record_parse(const uint8_t *data, size_t size, struct record *ret_record);

/*
 * Steps through the headers of a parsed record: start with *POSITION 0, call header_count times. 0
 * or, for headers that were not checked by record_parse, BATCH_ERROR_INVALID.
 */
int record_header_next(
	const struct record *record, int32_t *position, struct record_header *ret_header);

/* The encoded size of a record, size field included. */
int64_t record_size(int64_t timestamp_delta, int32_t offset_delta, struct bytes key,
	struct bytes value, int64_t header_bytes_size, int32_t header_count);
/* The encoded size of headers without their count. */
int64_t record_headers_size(const struct record_header *headers, int32_t header_count);

enum { RECORD_VARINT_SIZE_MAX = 5, RECORD_VARLONG_SIZE_MAX = 10 };

/* Zigzag variable-length numbers. The reader gives the bytes used, or 0 when there are too few or
 * the number is too long. */
int record_varlong_read_slow(const uint8_t *data, size_t size, int64_t *ret_value);
int record_varint_read_slow(const uint8_t *data, size_t size, int32_t *ret_value);
/* Returns the bytes written, at most RECORD_VARLONG_SIZE_MAX. */
int record_varlong_write(uint8_t *to, int64_t value);
int record_varlong_size(int64_t value);

static inline int record_varint_read(const uint8_t *data, size_t size, int32_t *ret_value)
{
	if (likely(size && data[0] < 0x80)) {
		*ret_value = (int32_t)(data[0] >> 1) ^ -(int32_t)(data[0] & 1);
		return 1;
	}
	if (likely(size > 1 && data[1] < 0x80)) {
		uint32_t raw = (data[0] & 0x7fu) | (uint32_t)data[1] << 7;

		*ret_value = (int32_t)(raw >> 1 ^ -(raw & 1));
		return 2;
	}
	return record_varint_read_slow(data, size, ret_value);
}

static inline int record_varlong_read(const uint8_t *data, size_t size, int64_t *ret_value)
{
	if (likely(size && data[0] < 0x80)) {
		*ret_value = (int64_t)(data[0] >> 1) ^ -(int64_t)(data[0] & 1);
		return 1;
	}
	return record_varlong_read_slow(data, size, ret_value);
}
