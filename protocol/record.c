#include "protocol/record.h"

int record_varint_read_slow(const uint8_t *data, size_t size, int32_t *ret_value)
{
	uint32_t raw = 0;

	for (int i = 0; i < RECORD_VARINT_SIZE_MAX && i < (int)min_of(size, (size_t)8); i++) {
		/* Like Kafka's reader, bits beyond the 32nd of the last byte are dropped. */
		raw |= (uint32_t)(data[i] & 0x7f) << (7 * i);
		if (data[i] < 0x80) {
			*ret_value = (int32_t)(raw >> 1 ^ -(raw & 1));
			return i + 1;
		}
	}
	return 0;
}

int record_varlong_read_slow(const uint8_t *data, size_t size, int64_t *ret_value)
{
	uint64_t raw = 0;

	for (int i = 0; i < RECORD_VARLONG_SIZE_MAX && i < (int)min_of(size, (size_t)16); i++) {
		raw |= (uint64_t)(data[i] & 0x7f) << (7 * i);
		if (data[i] < 0x80) {
			*ret_value = (int64_t)(raw >> 1 ^ -(raw & 1));
			return i + 1;
		}
	}
	return 0;
}

int record_varlong_write(uint8_t *to, int64_t value)
{
	uint64_t raw = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
	int size = 0;

	for (; raw >= 0x80; raw >>= 7)
		to[size++] = (uint8_t)(raw | 0x80);
	to[size++] = (uint8_t)raw;
	return size;
}

int record_varlong_size(int64_t value)
{
	uint64_t raw = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);

	return (70 - __builtin_clzll(raw | 1)) / 7;
}

/* Each takes something off the bytes from *NEXT to END, and moves *NEXT behind it; false when it isn't
 * all there. */
static inline bool take_varint(const uint8_t **next, const uint8_t *end, int32_t *ret_value)
{
	int used = record_varint_read(*next, (size_t)(end - *next), ret_value);

	*next += used;
	return used != 0;
}

static inline bool take_varlong(const uint8_t **next, const uint8_t *end, int64_t *ret_value)
{
	int used = record_varlong_read(*next, (size_t)(end - *next), ret_value);

	*next += used;
	return used != 0;
}

/* A size and that many bytes; every negative size is null, as in Kafka. */
static inline bool take_bytes(const uint8_t **next, const uint8_t *end, struct bytes *ret_bytes)
{
	int32_t size;

	if (!take_varint(next, end, &size))
		return false;
	if (size < 0) {
		*ret_bytes = BYTES_NULL;
		return true;
	}
	if (size > end - *next)
		return false;
	*ret_bytes = (struct bytes){.data = *next, .size = size};
	*next += size;
	return true;
}

static bool take_header(
	const uint8_t **next, const uint8_t *end, struct record_header *ret_header)
{
	struct bytes key;

	if (!take_bytes(next, end, &key) || key.size < 0 ||
		!take_bytes(next, end, &ret_header->value))
		return false;
	ret_header->key = (struct str){.data = (const char *)key.data, .size = key.size};
	return true;
}

/* Runs for every record that is produced: what is found stays in registers until all of it is good. */
int64_t record_parse(const uint8_t *data, size_t size, struct record *ret_record)
{
	const uint8_t *next = data, *end = data + size, *headers;
	int32_t body_size, offset_delta, header_count;
	struct bytes key, value;
	int64_t timestamp_delta;
	int8_t attributes;

	if (!take_varint(&next, end, &body_size) || body_size < 1 || body_size > end - next)
		return BATCH_ERROR_INVALID;
	end = next + body_size;
	attributes = (int8_t)*next++;
	if (!take_varlong(&next, end, &timestamp_delta) ||
		!take_varint(&next, end, &offset_delta) || !take_bytes(&next, end, &key) ||
		!take_bytes(&next, end, &value) || !take_varint(&next, end, &header_count))
		return BATCH_ERROR_INVALID;
	/* A header takes two bytes at least, so a hostile count ends here or in the loop. */
	if (header_count < 0 || header_count > end - next)
		return BATCH_ERROR_INVALID;
	headers = next;
	for (int32_t i = 0; i < header_count; i++) {
		struct record_header header;

		if (!take_header(&next, end, &header))
			return BATCH_ERROR_INVALID;
	}
	if (next != end || end - data > INT32_MAX)
		return BATCH_ERROR_INVALID;
	ret_record->offset = offset_delta;
	ret_record->timestamp = timestamp_delta;
	ret_record->key = key;
	ret_record->value = value;
	ret_record->header_count = header_count;
	ret_record->header_bytes = (struct bytes){.data = headers, .size = (int32_t)(end - headers)};
	ret_record->size = (int32_t)(end - data);
	ret_record->attributes = attributes;
	ret_record->magic = 2;
	return end - data;
}

int record_header_next(
	const struct record *record, int32_t *position, struct record_header *ret_header)
{
	const uint8_t *start = record->header_bytes.data, *next;

	ensure(*position >= 0 && *position <= max_of(record->header_bytes.size, 0));
	next = start + *position;
	if (!take_header(&next, start + max_of(record->header_bytes.size, 0), ret_header))
		return BATCH_ERROR_INVALID;
	*position = (int32_t)(next - start);
	return 0;
}

static int64_t sized_bytes_size(int64_t size)
{
	return record_varlong_size(size) + max_of(size, (int64_t)0);
}

int64_t record_headers_size(const struct record_header *headers, int32_t header_count)
{
	int64_t size = 0;

	for (int32_t i = 0; i < header_count; i++)
		size += sized_bytes_size(headers[i].key.size) +
			sized_bytes_size(headers[i].value.size);
	return size;
}

int64_t record_size(int64_t timestamp_delta, int32_t offset_delta, struct bytes key,
	struct bytes value, int64_t header_bytes_size, int32_t header_count)
{
	int64_t body = 1 + record_varlong_size(timestamp_delta) +
		       record_varlong_size(offset_delta) + sized_bytes_size(key.size) +
		       sized_bytes_size(value.size) + record_varlong_size(header_count) +
		       header_bytes_size;

	return record_varlong_size(body) + body;
}
