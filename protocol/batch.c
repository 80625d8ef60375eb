#include "protocol/batch.h"

#include <errno.h>
#include <zlib.h>

#include "protocol/crc32c.h"
#include "protocol/errors.h"

/* The legacy entry behind the shared start: crc, magic, attributes, from magic 1 a timestamp, key,
 * value. */
enum {
	LEGACY_CRC = 12,
	LEGACY_ATTRIBUTES = 17,
	LEGACY_TIMESTAMP = 18,
	LEGACY_LENGTH_MIN = BATCH_SIZE_MIN - BATCH_OVERHEAD,
};

_Static_assert(BATCH_LENGTH == BATCH_BASE_OFFSET + 8, "");
_Static_assert(BATCH_PARTITION_LEADER_EPOCH == BATCH_LENGTH + 4, "");
_Static_assert(BATCH_PARTITION_LEADER_EPOCH == BATCH_OVERHEAD, "");
_Static_assert(BATCH_MAGIC == BATCH_PARTITION_LEADER_EPOCH + 4, "");
_Static_assert(BATCH_CRC == BATCH_MAGIC + 1 && BATCH_CRC == BATCH_PEEK_SIZE, "");
_Static_assert(BATCH_ATTRIBUTES == BATCH_CRC + 4, "");
_Static_assert(BATCH_LAST_OFFSET_DELTA == BATCH_ATTRIBUTES + 2, "");
_Static_assert(BATCH_BASE_TIMESTAMP == BATCH_LAST_OFFSET_DELTA + 4, "");
_Static_assert(BATCH_MAX_TIMESTAMP == BATCH_BASE_TIMESTAMP + 8, "");
_Static_assert(BATCH_PRODUCER_ID == BATCH_MAX_TIMESTAMP + 8, "");
_Static_assert(BATCH_PRODUCER_EPOCH == BATCH_PRODUCER_ID + 8, "");
_Static_assert(BATCH_BASE_SEQUENCE == BATCH_PRODUCER_EPOCH + 2, "");
_Static_assert(BATCH_RECORD_COUNT == BATCH_BASE_SEQUENCE + 4, "");
_Static_assert(BATCH_HEADER_SIZE == BATCH_RECORD_COUNT + 4, "");
_Static_assert(LEGACY_CRC + 4 == BATCH_MAGIC, "all magics keep the magic at one place");

static void header_parse_v2(const uint8_t *data, struct batch_header *header)
{
	header->base_offset = (int64_t)load_be64(data + BATCH_BASE_OFFSET);
	/* A hostile base may wrap; Java's addition does too, and what comes of it is checked by the
	 * caller. */
	header->last_offset =
		(int64_t)((uint64_t)header->base_offset +
			  (uint64_t)(int64_t)(int32_t)load_be32(data + BATCH_LAST_OFFSET_DELTA));
	header->partition_leader_epoch = (int32_t)load_be32(data + BATCH_PARTITION_LEADER_EPOCH);
	header->crc = load_be32(data + BATCH_CRC);
	header->attributes = (int16_t)load_be16(data + BATCH_ATTRIBUTES);
	header->base_timestamp = (int64_t)load_be64(data + BATCH_BASE_TIMESTAMP);
	header->max_timestamp = (int64_t)load_be64(data + BATCH_MAX_TIMESTAMP);
	header->producer_id = (int64_t)load_be64(data + BATCH_PRODUCER_ID);
	header->producer_epoch = (int16_t)load_be16(data + BATCH_PRODUCER_EPOCH);
	header->base_sequence = (int32_t)load_be32(data + BATCH_BASE_SEQUENCE);
	header->record_count = (int32_t)load_be32(data + BATCH_RECORD_COUNT);
}

static void header_parse_legacy(const uint8_t *data, struct batch_header *header)
{
	header->last_offset = (int64_t)load_be64(data + BATCH_BASE_OFFSET);
	header->base_offset = header->last_offset;
	header->partition_leader_epoch = NO_LEADER_EPOCH;
	header->crc = load_be32(data + LEGACY_CRC);
	header->attributes = data[LEGACY_ATTRIBUTES];
	header->max_timestamp =
		header->magic == 0 ? NO_TIMESTAMP : (int64_t)load_be64(data + LEGACY_TIMESTAMP);
	header->base_timestamp = header->max_timestamp;
	header->producer_id = NO_PRODUCER_ID;
	header->producer_epoch = NO_PRODUCER_EPOCH;
	header->base_sequence = NO_SEQUENCE;
	header->record_count = -1;
}

bool batch_begins(const uint8_t *data, size_t available)
{
	if (available < BATCH_OVERHEAD)
		return true;
	if ((int32_t)load_be32(data + BATCH_LENGTH) < LEGACY_LENGTH_MIN)
		return false;
	return available < BATCH_PEEK_SIZE || data[BATCH_MAGIC] <= 2;
}

/* What stands before every magic's own fields. 0 with *RET_SIZE, the batch's; -EAGAIN when there is not
 * yet enough of it. */
static inline int header_begin(const uint8_t *data, size_t available, int32_t *ret_size)
{
	/* Offset, length, crc, magic, attributes, timestamp (from 1), key and value sizes. */
	static const uint8_t size_min[] = {BATCH_SIZE_MIN, BATCH_SIZE_MIN + 8, BATCH_HEADER_SIZE};
	int32_t length;
	uint8_t magic;

	if (available < BATCH_OVERHEAD)
		return -EAGAIN;
	length = (int32_t)load_be32(data + BATCH_LENGTH);
	if (length < LEGACY_LENGTH_MIN || length > INT32_MAX - BATCH_OVERHEAD)
		return BATCH_ERROR_CORRUPT;
	if (available < BATCH_PEEK_SIZE)
		return -EAGAIN;
	magic = data[BATCH_MAGIC];
	if (magic > 2 || length + BATCH_OVERHEAD < size_min[magic])
		return BATCH_ERROR_CORRUPT;
	if (available < size_min[magic])
		return -EAGAIN;
	*ret_size = length + BATCH_OVERHEAD;
	return 0;
}

static inline void header_fill(const uint8_t *data, int32_t size, struct batch_header *header)
{
	header->size = size;
	header->magic = data[BATCH_MAGIC];
	if (header->magic == 2)
		header_parse_v2(data, header);
	else
		header_parse_legacy(data, header);
}

int batch_header_parse(const uint8_t *data, size_t available, struct batch_header *ret_header)
{
	int32_t size;
	int error = header_begin(data, available, &size);

	if (!error)
		header_fill(data, size, ret_header);
	return error;
}

int64_t batch_next(const uint8_t *data, size_t size, struct batch_header *ret_header)
{
	int32_t batch_size;
	int error = header_begin(data, size, &batch_size);

	if (error)
		return error == -EAGAIN ? 0 : error;
	if ((size_t)batch_size > size)
		return 0;
	header_fill(data, batch_size, ret_header);
	return batch_size;
}

int batch_check(const uint8_t *data, const struct batch_header *header)
{
	uint32_t crc;

	if (header->magic == 2)
		crc = crc32c(0, data + BATCH_ATTRIBUTES, (size_t)header->size - BATCH_ATTRIBUTES);
	else
		crc = (uint32_t)crc32_z(0, data + BATCH_MAGIC, (size_t)header->size - BATCH_MAGIC);
	return crc == header->crc ? 0 : BATCH_ERROR_CORRUPT;
}

void batch_base_offset_set(uint8_t *data, int64_t base_offset)
{
	ensure(data[BATCH_MAGIC] == 2);
	store_be64(data + BATCH_BASE_OFFSET, (uint64_t)base_offset);
}

void batch_last_offset_set(uint8_t *data, int64_t last_offset)
{
	int32_t delta = 0;

	if (data[BATCH_MAGIC] == 2)
		delta = (int32_t)load_be32(data + BATCH_LAST_OFFSET_DELTA);
	store_be64(data + BATCH_BASE_OFFSET, (uint64_t)last_offset - (uint64_t)(int64_t)delta);
}

void batch_partition_leader_epoch_set(uint8_t *data, int32_t epoch)
{
	ensure(data[BATCH_MAGIC] == 2);
	store_be32(data + BATCH_PARTITION_LEADER_EPOCH, (uint32_t)epoch);
}

static void max_timestamp_set_v2(uint8_t *data, enum timestamp_type type, int64_t max_timestamp)
{
	enum {
		CHANGED_END = BATCH_MAX_TIMESTAMP + 8,
		CHANGED_SIZE = CHANGED_END - BATCH_ATTRIBUTES
	};
	uint64_t behind = (uint64_t)load_be32(data + BATCH_LENGTH) + BATCH_OVERHEAD - CHANGED_END;
	uint32_t crc = load_be32(data + BATCH_CRC);
	uint32_t difference = crc32c(0, data + BATCH_ATTRIBUTES, CHANGED_SIZE);
	uint16_t attributes = load_be16(data + BATCH_ATTRIBUTES);

	/* Bits that mean nothing are dropped, as Kafka drops them when it writes the attributes
	 * anew. */
	attributes &=
		BATCH_COMPRESSION_MASK | BATCH_TRANSACTIONAL | BATCH_CONTROL | BATCH_DELETE_HORIZON;
	if (type == TIMESTAMP_LOG_APPEND)
		attributes |= BATCH_LOG_APPEND_TIME;
	store_be16(data + BATCH_ATTRIBUTES, attributes);
	store_be64(data + BATCH_MAX_TIMESTAMP, (uint64_t)max_timestamp);
	difference ^= crc32c(0, data + BATCH_ATTRIBUTES, CHANGED_SIZE);
	store_be32(data + BATCH_CRC, crc ^ crc32c_difference_shift(difference, behind));
}

static void max_timestamp_set_v1(uint8_t *data, enum timestamp_type type, int64_t max_timestamp)
{
	size_t size = (size_t)load_be32(data + BATCH_LENGTH) + BATCH_OVERHEAD;

	data[LEGACY_ATTRIBUTES] &= BATCH_COMPRESSION_MASK;
	if (type == TIMESTAMP_LOG_APPEND)
		data[LEGACY_ATTRIBUTES] |= BATCH_LOG_APPEND_TIME;
	store_be64(data + LEGACY_TIMESTAMP, (uint64_t)max_timestamp);
	store_be32(data + LEGACY_CRC, (uint32_t)crc32_z(0, data + BATCH_MAGIC, size - BATCH_MAGIC));
}

void batch_max_timestamp_set(uint8_t *data, enum timestamp_type type, int64_t max_timestamp)
{
	struct batch_header header;
	int error = batch_header_parse(data, BATCH_HEADER_SIZE, &header);

	ensure(!error && header.magic > 0 && type != TIMESTAMP_NONE);
	if (batch_timestamp_type(&header) == type && header.max_timestamp == max_timestamp)
		return;
	if (header.magic == 2)
		max_timestamp_set_v2(data, type, max_timestamp);
	else
		max_timestamp_set_v1(data, type, max_timestamp);
}

int16_t batch_error_code(int error)
{
	switch (error) {
	case 0:
		return KAFKA_NONE;
	case BATCH_ERROR_CORRUPT:
		return KAFKA_CORRUPT_MESSAGE;
	case BATCH_ERROR_TOO_LARGE:
		return KAFKA_MESSAGE_TOO_LARGE;
	case BATCH_ERROR_TIMESTAMP:
		return KAFKA_INVALID_TIMESTAMP;
	case BATCH_ERROR_FORMAT:
		return KAFKA_UNSUPPORTED_FOR_MESSAGE_FORMAT;
	case BATCH_ERROR_COMPRESSION:
		return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
	case BATCH_ERROR_INVALID:
	case BATCH_ERROR_BOMB:
		return KAFKA_INVALID_RECORD;
	default:
		return KAFKA_UNKNOWN_SERVER_ERROR;
	}
}
