#include "protocol/message_set.h"

#include <errno.h>
#include <zlib.h>

#include "protocol/batch_records.h"

/* Where the parts of an entry lie, from its start. */
enum {
	MESSAGE_SIZE = 8,
	MESSAGE_CRC = 12,
	MESSAGE_MAGIC = 16,
	MESSAGE_ATTRIBUTES = 17,
	MESSAGE_TIMESTAMP = 18, /* magic 1 */
	MESSAGE_KEY_V0 = 18,
	MESSAGE_KEY_V1 = 26,
};

_Static_assert(
	MESSAGE_OVERHEAD_V0 == MESSAGE_KEY_V0 + 4 + 4, "key and value sizes end the overhead");
_Static_assert(
	MESSAGE_OVERHEAD_V1 == MESSAGE_KEY_V1 + 4 + 4, "key and value sizes end the overhead");

static int32_t message_overhead(uint8_t magic)
{
	return magic == 0 ? MESSAGE_OVERHEAD_V0 : MESSAGE_OVERHEAD_V1;
}

/* Size and bytes at *POSITION; every negative size is null. */
static bool sized_bytes_parse(
	const uint8_t *data, size_t size, size_t *position, struct bytes *ret_bytes)
{
	int32_t length;

	if (size - *position < 4)
		return false;
	length = (int32_t)load_be32(data + *position);
	*position += 4;
	if (length < 0) {
		*ret_bytes = BYTES_NULL;
		return true;
	}
	if ((size_t)length > size - *position)
		return false;
	*ret_bytes = (struct bytes){.data = data + *position, .size = length};
	*position += (size_t)length;
	return true;
}

int message_parse(const uint8_t *data, size_t size, struct record *ret_record)
{
	struct record record = {.header_bytes = {.data = NULL, .size = 0}};
	size_t position = MESSAGE_KEY_V0;

	if (size < MESSAGE_OVERHEAD_V0 || size > INT32_MAX)
		return BATCH_ERROR_UNEXPECTED;
	record.offset = (int64_t)load_be64(data);
	record.magic = data[MESSAGE_MAGIC];
	record.attributes = (int8_t)data[MESSAGE_ATTRIBUTES];
	record.timestamp = NO_TIMESTAMP;
	record.size = (int32_t)size;
	if (size < (size_t)message_overhead(record.magic))
		return BATCH_ERROR_UNEXPECTED;
	/* Inside a wrapper the magic may be anything; like Kafka we read it as 1, and validation
	 * refuses it. */
	if (record.magic > 0) {
		record.timestamp = (int64_t)load_be64(data + MESSAGE_TIMESTAMP);
		position = MESSAGE_KEY_V1;
	}
	if (!sized_bytes_parse(data, size, &position, &record.key) ||
		!sized_bytes_parse(data, size, &position, &record.value))
		return BATCH_ERROR_UNEXPECTED;
	*ret_record = record;
	return 0;
}

int message_check(const uint8_t *data, size_t size)
{
	if (size < MESSAGE_OVERHEAD_V0)
		return BATCH_ERROR_CORRUPT;
	return crc32_z(0, data + MESSAGE_MAGIC, size - MESSAGE_MAGIC) ==
			       load_be32(data + MESSAGE_CRC)
		       ? 0
		       : BATCH_ERROR_CORRUPT;
}

/* Everything but the key's and value's bytes and the checksum. */
static size_t message_head_write(uint8_t *to, uint8_t magic, uint8_t attributes, int64_t offset,
	int64_t timestamp, int64_t size, int32_t key_size)
{
	size_t position = MESSAGE_KEY_V0;

	store_be64(to, (uint64_t)offset);
	store_be32(to + MESSAGE_SIZE, (uint32_t)(size - BATCH_OVERHEAD));
	store_be32(to + MESSAGE_CRC, 0);
	to[MESSAGE_MAGIC] = magic;
	to[MESSAGE_ATTRIBUTES] = attributes;
	if (magic == 1) {
		store_be64(to + MESSAGE_TIMESTAMP, (uint64_t)timestamp);
		position = MESSAGE_KEY_V1;
	}
	store_be32(to + position, (uint32_t)key_size);
	return position + 4;
}

static int64_t message_size(uint8_t magic, struct bytes key, struct bytes value)
{
	return (int64_t)message_overhead(magic) + max_of(key.size, 0) + max_of(value.size, 0);
}

int message_write(struct record_buffer *out, uint8_t magic, uint8_t attributes, int64_t offset,
	int64_t timestamp, struct bytes key, struct bytes value)
{
	int64_t size = message_size(magic, key, value);
	size_t position;
	uint8_t *to;
	int error;

	ensure(magic <= 1);
	if (size > INT32_MAX)
		return -ENOBUFS;
	error = record_buffer_reserve(out, (size_t)size);
	if (error)
		return error;
	to = out->data + out->size;
	position = message_head_write(
		to, magic, attributes, offset, timestamp, size, max_of(key.size, -1));
	if (key.size > 0)
		memcpy(to + position, key.data, (size_t)key.size);
	position += (size_t)max_of(key.size, 0);
	store_be32(to + position, (uint32_t)max_of(value.size, -1));
	if (value.size > 0)
		memcpy(to + position + 4, value.data, (size_t)value.size);
	store_be32(to + MESSAGE_CRC,
		(uint32_t)crc32_z(0, to + MESSAGE_MAGIC, (size_t)size - MESSAGE_MAGIC));
	out->size += (size_t)size;
	return 0;
}

/* The same entry into a compression stream. */
static int message_compress(struct compress_context *context, uint8_t magic, uint8_t attributes,
	int64_t offset, int64_t timestamp, struct bytes key, struct bytes value)
{
	uint8_t head[MESSAGE_OVERHEAD_V1], value_size[4];
	int64_t size = message_size(magic, key, value);
	size_t head_size;
	uint32_t crc;
	int error;

	if (size > INT32_MAX)
		return -ENOBUFS;
	head_size = message_head_write(
		head, magic, attributes, offset, timestamp, size, max_of(key.size, -1));
	store_be32(value_size, (uint32_t)max_of(value.size, -1));
	crc = (uint32_t)crc32_z(0, head + MESSAGE_MAGIC, head_size - MESSAGE_MAGIC);
	if (key.size > 0)
		crc = (uint32_t)crc32_z(crc, key.data, (size_t)key.size);
	crc = (uint32_t)crc32_z(crc, value_size, sizeof(value_size));
	if (value.size > 0)
		crc = (uint32_t)crc32_z(crc, value.data, (size_t)value.size);
	store_be32(head + MESSAGE_CRC, crc);
	error = compress_write(context, head, head_size);
	if (!error && key.size > 0)
		error = compress_write(context, key.data, (size_t)key.size);
	if (!error)
		error = compress_write(context, value_size, sizeof(value_size));
	if (!error && value.size > 0)
		error = compress_write(context, value.data, (size_t)value.size);
	return error;
}

/* One batch on its way down. */
struct down_conversion {
	struct compress_context *context;
	const struct batch_header *header;
	struct record_buffer *out;
	size_t start; /* of the wrapper in out */
	int64_t first_offset;
	int64_t base_offset, last_offset, max_timestamp;
	uint8_t magic;
	uint8_t type_attribute;
	bool started;
};

static int wrapper_begin(struct down_conversion *to, const struct record *first)
{
	size_t overhead = (size_t)message_overhead(to->magic);
	enum compression codec = batch_compression(to->header);
	int error;

	to->start = to->out->size;
	to->base_offset = first->offset;
	to->max_timestamp = NO_TIMESTAMP;
	error = record_buffer_reserve(to->out, overhead);
	if (error)
		return error;
	to->out->size += overhead;
	return compress_begin(
		to->context, codec, compression_levels(codec).standard, to->magic, to->out);
}

static int wrapper_end(struct down_conversion *to)
{
	uint8_t *entry;
	size_t size, position;
	int error = compress_end(to->context);

	if (error)
		return error;
	entry = to->out->data + to->start;
	size = to->out->size - to->start;
	if (size > INT32_MAX)
		return -ENOBUFS;
	position = message_head_write(entry, to->magic,
		(uint8_t)(batch_compression(to->header) | to->type_attribute), to->last_offset,
		to->max_timestamp, (int64_t)size, -1);
	store_be32(entry + position, (uint32_t)(size - (size_t)message_overhead(to->magic)));
	store_be32(entry + MESSAGE_CRC,
		(uint32_t)crc32_z(0, entry + MESSAGE_MAGIC, size - MESSAGE_MAGIC));
	return 0;
}

static int record_down_convert(struct down_conversion *to, const struct record *record)
{
	if (record->timestamp < NO_TIMESTAMP)
		return BATCH_ERROR_INVALID; /* has no place in the old formats */
	if (!batch_is_compressed(to->header)) {
		if (record->offset < to->first_offset)
			return 0;
		return message_write(to->out, to->magic, to->type_attribute, record->offset,
			record->timestamp, record->key, record->value);
	}
	if (!to->started) {
		int error = wrapper_begin(to, record);

		if (error)
			return error;
		to->started = true;
	}
	to->last_offset = record->offset;
	to->max_timestamp = max_of(to->max_timestamp, record->timestamp);
	return message_compress(to->context, to->magic, to->type_attribute,
		to->magic == 0 ? record->offset
			       : (int64_t)((uint64_t)record->offset - (uint64_t)to->base_offset),
		record->timestamp, record->key, record->value);
}

static int batch_down_convert(struct compress_context *context, const uint8_t *data,
	const struct batch_header *header, uint8_t to_magic, int64_t first_offset,
	uint64_t decompressed_limit, struct record_buffer *out)
{
	struct down_conversion to = {
		.context = context,
		.header = header,
		.out = out,
		.first_offset = first_offset,
		.magic = to_magic,
		.type_attribute =
			to_magic > 0 && batch_timestamp_type(header) == TIMESTAMP_LOG_APPEND
				? BATCH_LOG_APPEND_TIME
				: 0,
	};
	struct batch_records records;
	struct record record;
	int result = batch_records_begin(
		&records, context, data, header, BATCH_RECORDS_WHOLE, decompressed_limit);

	if (result)
		return result;
	while ((result = batch_records_next(&records, &record)) > 0) {
		result = record_down_convert(&to, &record);
		if (result)
			break;
	}
	batch_records_end(&records);
	if (result == 0 && to.started)
		result = wrapper_end(&to);
	return result;
}

int message_set_down_convert(struct compress_context *context, const uint8_t *data, size_t size,
	uint8_t to_magic, int64_t first_offset, uint64_t decompressed_limit,
	struct record_buffer *out, size_t *ret_converted)
{
	struct batch_header header;
	size_t position = 0;
	int64_t batch_size;
	int error;

	ensure(to_magic <= 1);
	if (size == 0) { /* DATA may be NULL */
		*ret_converted = 0;
		return 0;
	}
	while ((batch_size = batch_next(data + position, size - position, &header)) > 0) {
		size_t before = out->size;

		if (batch_is_control(&header)) {
			error = 0;
		} else if (batch_compression(&header) == COMPRESSION_ZSTD) {
			error = BATCH_ERROR_COMPRESSION;
		} else if (header.magic <= to_magic) {
			error = record_buffer_append(out, data + position, (size_t)batch_size);
		} else {
			error = batch_down_convert(context, data + position, &header, to_magic,
				first_offset, decompressed_limit, out);
		}
		if (error) {
			out->size = before;
			if (error == -ENOBUFS && position > 0)
				break; /* what fits was converted */
			return error;
		}
		position += (size_t)batch_size;
	}
	if (batch_size < 0)
		return (int)batch_size;
	*ret_converted = position;
	return 0;
}

int message_set_rewrap(struct compress_context *context, const uint8_t *data,
	const struct batch_header *header, uint64_t decompressed_limit,
	bool (*keep)(
		void *argument, const struct batch_header *header, const struct record *record),
	void *argument, struct record_buffer *out)
{
	struct down_conversion to = {
		.context = context,
		.header = header,
		.out = out,
		.first_offset = INT64_MIN,
		.magic = header->magic,
		.type_attribute = header->magic > 0 &&
						  batch_timestamp_type(header) == TIMESTAMP_LOG_APPEND
					  ? BATCH_LOG_APPEND_TIME
					  : 0,
	};
	size_t before = out->size;
	struct batch_records records;
	struct record record;
	int result;

	ensure(header->magic <= 1);
	result = batch_records_begin(
		&records, context, data, header, BATCH_RECORDS_WHOLE, decompressed_limit);
	if (result)
		return result;
	while ((result = batch_records_next(&records, &record)) > 0) {
		result = keep(argument, header, &record) ? record_down_convert(&to, &record) : 0;
		if (result)
			break;
	}
	batch_records_end(&records);
	if (result == 0 && to.started)
		result = wrapper_end(&to);
	if (result)
		out->size = before;
	return result;
}
