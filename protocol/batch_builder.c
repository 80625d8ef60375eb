#include "protocol/batch_builder.h"

#include <errno.h>

#include "protocol/crc32c.h"

int batch_builder_begin(struct batch_builder *builder, const struct batch_options *options,
	struct compress_context *context, struct record_buffer *out)
{
	int error = record_buffer_reserve(out, BATCH_HEADER_SIZE);

	ensure(context || options->compression == COMPRESSION_NONE);
	ensure(!options->transactional || options->producer_id != NO_PRODUCER_ID);
	ensure(options->timestamp_type != TIMESTAMP_NONE);
	if (error)
		return error;
	*builder = (struct batch_builder){
		.options = *options,
		.context = context,
		.out = out,
		.start = out->size,
		.base_timestamp = options->delete_horizon_ms,
		.max_timestamp = NO_TIMESTAMP,
		.last_offset = options->base_offset - 1,
	};
	out->size += BATCH_HEADER_SIZE;
	if (options->compression == COMPRESSION_NONE)
		return 0;
	error = compress_begin(context, options->compression, options->level, 2, out);
	if (error)
		batch_builder_abort(builder);
	return error;
}

static int sink_write(struct batch_builder *builder, const void *data, size_t size)
{
	return builder->options.compression == COMPRESSION_NONE
		       ? record_buffer_append(builder->out, data, size)
		       : compress_write(builder->context, data, size);
}

static int sink_varint(struct batch_builder *builder, int64_t value)
{
	uint8_t bytes[RECORD_VARLONG_SIZE_MAX];

	return sink_write(builder, bytes, (size_t)record_varlong_write(bytes, value));
}

static int sink_bytes(struct batch_builder *builder, const void *data, int32_t size)
{
	int error = sink_varint(builder, max_of(size, -1));

	return error || size <= 0 ? error : sink_write(builder, data, (size_t)size);
}

/* The headers in one of two shapes: a list, or bytes that were read from another record. */
struct header_source {
	const struct record_header *list;
	struct bytes encoded;
	int32_t count;
};

static int record_write(struct batch_builder *builder, int64_t timestamp_delta,
	int32_t offset_delta, struct bytes key, struct bytes value,
	const struct header_source *headers, int64_t size)
{
	/* Size, attributes, both deltas and the key's size: everything before the key. */
	uint8_t head[RECORD_VARINT_SIZE_MAX * 3 + 1 + RECORD_VARLONG_SIZE_MAX];
	int64_t body_size = size - 1;
	int head_size, error;

	while (record_varlong_size(body_size) + body_size > size)
		body_size--;
	ensure(record_varlong_size(body_size) + body_size == size);
	head_size = record_varlong_write(head, body_size);
	head[head_size++] = 0; /* attributes: none are defined */
	head_size += record_varlong_write(head + head_size, timestamp_delta);
	head_size += record_varlong_write(head + head_size, offset_delta);
	head_size += record_varlong_write(head + head_size, max_of(key.size, -1));
	error = sink_write(builder, head, (size_t)head_size);
	if (!error && key.size > 0)
		error = sink_write(builder, key.data, (size_t)key.size);
	if (!error)
		error = sink_bytes(builder, value.data, value.size);
	if (!error)
		error = sink_varint(builder, headers->count);
	if (!error && !headers->list && headers->encoded.size > 0)
		error = sink_write(builder, headers->encoded.data, (size_t)headers->encoded.size);
	for (int32_t i = 0; !error && headers->list && i < headers->count; i++) {
		error = sink_bytes(builder, headers->list[i].key.data, headers->list[i].key.size);
		if (!error)
			error = sink_bytes(
				builder, headers->list[i].value.data, headers->list[i].value.size);
	}
	return error;
}

static int append(struct batch_builder *builder, int64_t offset, int64_t timestamp_ms,
	struct bytes key, struct bytes value, const struct header_source *headers,
	int64_t headers_size)
{
	int64_t timestamp_delta, size;
	int32_t offset_delta;
	int error;

	ensure(offset > builder->last_offset);
	ensure(offset - builder->options.base_offset <= INT32_MAX);
	if (builder->record_count == 0 && builder->options.delete_horizon_ms == NO_TIMESTAMP)
		builder->base_timestamp = timestamp_ms;
	timestamp_delta = (int64_t)((uint64_t)timestamp_ms - (uint64_t)builder->base_timestamp);
	offset_delta = (int32_t)(offset - builder->options.base_offset);
	size = record_size(timestamp_delta, offset_delta, key, value, headers_size, headers->count);
	if (size > INT32_MAX || builder->plain_size > INT32_MAX - size)
		return -ENOBUFS;
	if (builder->options.compression == COMPRESSION_NONE) {
		error = record_buffer_reserve(builder->out, (size_t)size);
		if (error)
			return error;
	}
	error = record_write(builder, timestamp_delta, offset_delta, key, value, headers, size);
	if (error)
		return error;
	builder->plain_size += size;
	builder->record_count++;
	builder->last_offset = offset;
	builder->max_timestamp = max_of(builder->max_timestamp, timestamp_ms);
	return 0;
}

int batch_builder_append(struct batch_builder *builder, int64_t offset, int64_t timestamp_ms,
	struct bytes key, struct bytes value, const struct record_header *headers,
	int32_t header_count)
{
	struct header_source source = {.list = headers, .count = header_count};

	ensure(header_count == 0 || headers);
	return append(builder, offset, timestamp_ms, key, value, &source,
		record_headers_size(headers, header_count));
}

int batch_builder_append_record(
	struct batch_builder *builder, int64_t offset, const struct record *record)
{
	struct header_source source = {
		.encoded = record->header_bytes, .count = record->header_count};

	return append(builder, offset, record->timestamp, record->key, record->value, &source,
		max_of(record->header_bytes.size, 0));
}

size_t batch_builder_size(const struct batch_builder *builder)
{
	return builder->out->size - builder->start;
}

void batch_builder_last_offset_override(struct batch_builder *builder, int64_t last_offset)
{
	ensure(last_offset >= builder->last_offset);
	ensure(last_offset - builder->options.base_offset <= INT32_MAX);
	builder->last_offset = last_offset;
}

static uint16_t options_attributes(const struct batch_options *options)
{
	uint16_t attributes = options->compression;

	if (options->timestamp_type == TIMESTAMP_LOG_APPEND)
		attributes |= BATCH_LOG_APPEND_TIME;
	if (options->transactional)
		attributes |= BATCH_TRANSACTIONAL;
	if (options->control)
		attributes |= BATCH_CONTROL;
	if (options->delete_horizon_ms != NO_TIMESTAMP)
		attributes |= BATCH_DELETE_HORIZON;
	return attributes;
}

static void header_write(const struct batch_builder *builder)
{
	const struct batch_options *options = &builder->options;
	uint8_t *batch = builder->out->data + builder->start;
	size_t size = batch_builder_size(builder);

	store_be64(batch + BATCH_BASE_OFFSET, (uint64_t)options->base_offset);
	store_be32(batch + BATCH_LENGTH, (uint32_t)(size - BATCH_OVERHEAD));
	store_be32(batch + BATCH_PARTITION_LEADER_EPOCH, (uint32_t)options->partition_leader_epoch);
	batch[BATCH_MAGIC] = 2;
	store_be16(batch + BATCH_ATTRIBUTES, options_attributes(options));
	store_be32(batch + BATCH_LAST_OFFSET_DELTA,
		(uint32_t)(builder->last_offset - options->base_offset));
	store_be64(batch + BATCH_BASE_TIMESTAMP, (uint64_t)builder->base_timestamp);
	store_be64(batch + BATCH_MAX_TIMESTAMP,
		(uint64_t)(options->timestamp_type == TIMESTAMP_LOG_APPEND
				   ? options->log_append_time_ms
				   : builder->max_timestamp));
	store_be64(batch + BATCH_PRODUCER_ID, (uint64_t)options->producer_id);
	store_be16(batch + BATCH_PRODUCER_EPOCH, (uint16_t)options->producer_epoch);
	store_be32(batch + BATCH_BASE_SEQUENCE, (uint32_t)options->base_sequence);
	store_be32(batch + BATCH_RECORD_COUNT, (uint32_t)builder->record_count);
	store_be32(batch + BATCH_CRC, crc32c(0, batch + BATCH_ATTRIBUTES, size - BATCH_ATTRIBUTES));
}

int batch_builder_end(struct batch_builder *builder)
{
	if (builder->record_count == 0) {
		batch_builder_abort(builder);
		return 0;
	}
	if (builder->options.compression != COMPRESSION_NONE) {
		int error = compress_end(builder->context);

		if (error)
			return error;
	}
	if (batch_builder_size(builder) > INT32_MAX)
		return -ENOBUFS;
	header_write(builder);
	return 0;
}

void batch_builder_abort(struct batch_builder *builder)
{
	builder->out->size = builder->start;
}

int batch_empty_write(struct record_buffer *out, const struct batch_header *from)
{
	struct batch_builder builder = {
		.options =
			{
				.base_offset = from->base_offset,
				.producer_id = from->producer_id,
				.producer_epoch = from->producer_epoch,
				.base_sequence = from->base_sequence,
				.partition_leader_epoch = from->partition_leader_epoch,
				.timestamp_type = batch_timestamp_type(from),
				.log_append_time_ms = from->max_timestamp,
				.delete_horizon_ms = NO_TIMESTAMP,
				.transactional = batch_is_transactional(from),
				.control = batch_is_control(from),
			},
		.out = out,
		.start = out->size,
		.base_timestamp = NO_TIMESTAMP,
		.max_timestamp = from->max_timestamp,
		.last_offset = from->last_offset,
	};
	int error = record_buffer_reserve(out, BATCH_HEADER_SIZE);

	ensure(from->magic == 2);
	if (error)
		return error;
	out->size += BATCH_HEADER_SIZE;
	header_write(&builder);
	return 0;
}
