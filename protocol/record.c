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

int record_varlong_read(const uint8_t *data, size_t size, int64_t *ret_value)
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

/* What is left of a record's body while it is read. */
struct record_reader {
	const uint8_t *next, *end;
};

static inline bool read_varint(struct record_reader *reader, int32_t *ret_value)
{
	int used =
		record_varint_read(reader->next, (size_t)(reader->end - reader->next), ret_value);

	reader->next += used;
	return used != 0;
}

/* A size and that many bytes; every negative size is null, as in Kafka. */
static inline bool read_bytes(struct record_reader *reader, struct bytes *ret_bytes)
{
	int32_t size;

	if (!read_varint(reader, &size))
		return false;
	if (size < 0) {
		*ret_bytes = BYTES_NULL;
		return true;
	}
	if (size > reader->end - reader->next)
		return false;
	*ret_bytes = (struct bytes){.data = reader->next, .size = size};
	reader->next += size;
	return true;
}

static bool read_header(struct record_reader *reader, struct record_header *ret_header)
{
	struct bytes key;

	if (!read_bytes(reader, &key) || key.size < 0 || !read_bytes(reader, &ret_header->value))
		return false;
	ret_header->key = (struct str){.data = (const char *)key.data, .size = key.size};
	return true;
}

int64_t record_parse(const uint8_t *data, size_t size, struct record *ret_record)
{
	struct record_reader reader;
	struct record record = {.magic = 2};
	int32_t body_size, offset_delta;
	int used = record_varint_read(data, size, &body_size);

	if (!used || body_size < 1 || (size_t)body_size > size - (size_t)used)
		return BATCH_ERROR_INVALID;
	reader = (struct record_reader){.next = data + used, .end = data + used + body_size};
	record.attributes = (int8_t)*reader.next++;
	used = record_varlong_read(
		reader.next, (size_t)(reader.end - reader.next), &record.timestamp);
	if (!used)
		return BATCH_ERROR_INVALID;
	reader.next += used;
	if (!read_varint(&reader, &offset_delta) || !read_bytes(&reader, &record.key) ||
		!read_bytes(&reader, &record.value) || !read_varint(&reader, &record.header_count))
		return BATCH_ERROR_INVALID;
	/* A header takes two bytes at least, so a hostile count ends here or in the loop. */
	if (record.header_count < 0 || record.header_count > reader.end - reader.next)
		return BATCH_ERROR_INVALID;
	record.header_bytes =
		(struct bytes){.data = reader.next, .size = (int32_t)(reader.end - reader.next)};
	for (int32_t i = 0; i < record.header_count; i++) {
		struct record_header header;

		if (!read_header(&reader, &header))
			return BATCH_ERROR_INVALID;
	}
	if (reader.next != reader.end)
		return BATCH_ERROR_INVALID;
	record.offset = offset_delta;
	if (reader.end - data > INT32_MAX)
		return BATCH_ERROR_INVALID;
	record.size = (int32_t)(reader.end - data);
	*ret_record = record;
	return record.size;
}

int record_header_next(
	const struct record *record, int32_t *position, struct record_header *ret_header)
{
	const uint8_t *start = record->header_bytes.data;
	struct record_reader reader;

	ensure(*position >= 0 && *position <= max_of(record->header_bytes.size, 0));
	reader = (struct record_reader){
		.next = start + *position, .end = start + max_of(record->header_bytes.size, 0)};
	if (!read_header(&reader, ret_header))
		return BATCH_ERROR_INVALID;
	*position = (int32_t)(reader.next - start);
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
