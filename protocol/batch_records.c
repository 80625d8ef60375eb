#include "protocol/batch_records.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/compress_internal.h"
#include "protocol/message_set.h"

enum { WINDOW_SIZE = 64 << 10 };

/* Moves what is left to the window's start and makes room behind it. */
static int window_room(struct batch_records *records, bool grow)
{
	struct compress_block *window = &records->context->window;
	size_t left = (size_t)(records->end - records->next);
	size_t capacity = window->capacity;

	if (left < capacity) {
		memmove(window->data, records->next, left);
	} else {
		uint8_t *data;

		ensure(grow);
		capacity *= 2;
		data = malloc(capacity);
		if (!data)
			return -ENOMEM;
		memcpy(data, records->next, left);
		free(window->data);
		window->data = data;
		window->capacity = capacity;
	}
	records->next = window->data;
	records->end = window->data + left;
	return 0;
}

/*
 * Tries to have SIZE bytes in a row at records->next. Fewer are there afterwards only at the end of
 * the stream, or, without GROW, when the window is full. The window grows with bytes that came,
 * never with sizes that were claimed.
 */
static int window_fill(struct batch_records *records, size_t size, bool grow)
{
	struct compress_block *window = &records->context->window;

	while (!records->ended && (size_t)(records->end - records->next) < size) {
		int64_t got;

		if (records->end == window->data + window->capacity) {
			int error;

			if (records->next == window->data && !grow)
				return 0;
			error = window_room(records, grow);
			if (error)
				return error;
		}
		got = decompress_read(records->context, (uint8_t *)records->end,
			(size_t)(window->data + window->capacity - records->end));
		if (got == -ENOMEM)
			return -ENOMEM;
		records->ended = got <= 0;
		records->broken = (int)min_of(got, (int64_t)0);
		records->end += max_of(got, (int64_t)0);
	}
	return 0;
}

/* The error for bytes that should be there and are not: the stream's own, if that is why. */
static int bytes_missing(const struct batch_records *records)
{
	return records->broken ? records->broken : BATCH_ERROR_INVALID;
}

static int stream_begin(struct batch_records *records, const uint8_t *from, size_t size)
{
	struct compress_block *window = &records->context->window;
	int error = compress_block_reserve(window, WINDOW_SIZE);

	if (error)
		return error;
	error = decompress_begin(records->context, batch_compression(&records->header),
		records->header.magic, from, size, records->limit);
	if (error)
		return error;
	records->ended = false;
	records->broken = 0;
	records->next = records->end = window->data;
	return 0;
}

/* Steps over SIZE bytes without keeping them. BATCH_ERROR_INVALID when the stream ends before. */
static int stream_skip(struct batch_records *records, int64_t size)
{
	for (;;) {
		int64_t here = min_of(size, (int64_t)(records->end - records->next));
		int error;

		records->next += here;
		size -= here;
		if (size == 0)
			return 0;
		error = window_fill(records, 1, false);
		if (error)
			return error;
		if (records->next == records->end)
			return bytes_missing(records);
	}
}

/* A number of the stream; *COUNTED grows by the bytes it took. */
static int stream_varlong(struct batch_records *records, int64_t *counted, int64_t *ret_value)
{
	int error = window_fill(records, RECORD_VARLONG_SIZE_MAX, false);
	int used;

	if (error)
		return error;
	used = record_varlong_read(
		records->next, (size_t)(records->end - records->next), ret_value);
	if (!used)
		return records->end - records->next < RECORD_VARINT_SIZE_MAX
			       ? bytes_missing(records)
			       : BATCH_ERROR_INVALID;
	records->next += used;
	*counted += used;
	return 0;
}

static int stream_varint(struct batch_records *records, int64_t *counted, int32_t *ret_value)
{
	int error = window_fill(records, RECORD_VARINT_SIZE_MAX, false);
	int used;

	if (error)
		return error;
	used = record_varint_read(records->next, (size_t)(records->end - records->next), ret_value);
	if (!used)
		return records->end - records->next < RECORD_VARINT_SIZE_MAX
			       ? bytes_missing(records)
			       : BATCH_ERROR_INVALID;
	records->next += used;
	*counted += used;
	return 0;
}

/* A size and that many bytes, stepped over. */
static int stream_bytes(struct batch_records *records, int64_t *counted, int32_t *ret_size)
{
	int error = stream_varint(records, counted, ret_size);

	if (error || *ret_size <= 0)
		return error;
	*counted += *ret_size;
	return stream_skip(records, *ret_size);
}

/* A record larger than the window: the same checks as record_parse, without ever holding it. */
static int record_skim(struct batch_records *records, struct record *ret_record)
{
	struct record record = {.magic = 2};
	int64_t prefix = 0, counted = 0;
	int32_t body_size, offset_delta, size;
	int error = stream_varint(records, &prefix, &body_size);

	if (!error)
		error = window_fill(records, 1, false);
	if (error)
		return error;
	if (body_size < 1)
		return BATCH_ERROR_INVALID;
	if (records->next == records->end)
		return bytes_missing(records);
	record.attributes = (int8_t)*records->next++;
	counted = 1;
	if ((error = stream_varlong(records, &counted, &record.timestamp)) ||
		(error = stream_varint(records, &counted, &offset_delta)) ||
		(error = stream_bytes(records, &counted, &record.key.size)) ||
		(error = stream_bytes(records, &counted, &record.value.size)) ||
		(error = stream_varint(records, &counted, &record.header_count)))
		return error;
	if (record.header_count < 0 || record.header_count > body_size - counted)
		return BATCH_ERROR_INVALID;
	for (int32_t i = 0; i < record.header_count; i++) {
		error = stream_bytes(records, &counted, &size);
		if (!error && size < 0)
			error = BATCH_ERROR_INVALID;
		if (!error)
			error = stream_bytes(records, &counted, &size);
		if (error)
			return error;
		if (counted > body_size)
			return BATCH_ERROR_INVALID;
	}
	if (counted != body_size)
		return BATCH_ERROR_INVALID;
	record.offset = offset_delta;
	record.size = (int32_t)min_of(prefix + body_size, (int64_t)INT32_MAX);
	record.header_bytes = BYTES_NULL;
	*ret_record = record;
	return 1;
}

static int next_v2(struct batch_records *records, struct record *ret_record)
{
	int64_t used;

	if (records->left == 0)
		return 0;
	if (records->compressed) {
		int32_t body_size;
		int error = window_fill(records, RECORD_VARINT_SIZE_MAX, false);
		int prefix;

		if (error)
			return error;
		prefix = record_varint_read(
			records->next, (size_t)(records->end - records->next), &body_size);
		if (!prefix && records->end - records->next < RECORD_VARINT_SIZE_MAX)
			return bytes_missing(records);
		if (!prefix || body_size < 1)
			return BATCH_ERROR_INVALID;
		error = window_fill(records, (size_t)prefix + (size_t)body_size,
			records->mode == BATCH_RECORDS_WHOLE);
		if (error)
			return error;
		if (records->end - records->next < (int64_t)prefix + body_size) {
			if (records->mode == BATCH_RECORDS_WHOLE)
				return bytes_missing(records);
			error = record_skim(records, ret_record);
			if (error < 0)
				return error;
			goto adjust;
		}
	}
	used = record_parse(records->next, (size_t)(records->end - records->next), ret_record);
	if (used < 0)
		return (int)used;
	records->next += used;
adjust:
	ret_record->offset =
		(int64_t)((uint64_t)ret_record->offset + (uint64_t)records->header.base_offset);
	ret_record->timestamp = batch_timestamp_type(&records->header) == TIMESTAMP_LOG_APPEND
					? records->header.max_timestamp
					: (int64_t)((uint64_t)ret_record->timestamp +
						    (uint64_t)records->header.base_timestamp);
	records->left--;
	if (records->left == 0) {
		/* The count said this was the last one: nothing may follow. */
		if (records->compressed) {
			int error = window_fill(records, 1, false);

			if (error)
				return error;
		}
		if (records->next != records->end)
			return BATCH_ERROR_INVALID;
		if (records->broken)
			return records->broken;
	}
	return 1;
}

/*
 * The next entry inside a compressed message set: 1, 0 at its end, or an error. An entry that is
 * cut off ends the set, as in Kafka.
 */
static int next_inner(struct batch_records *records, struct record *ret_record)
{
	int32_t size;
	int error = window_fill(records, BATCH_OVERHEAD, true);

	if (error)
		return error;
	if (records->end - records->next < BATCH_OVERHEAD)
		return records->broken;
	size = (int32_t)load_be32(records->next + BATCH_LENGTH);
	if (size < MESSAGE_OVERHEAD_V0 - BATCH_OVERHEAD || size > INT32_MAX - BATCH_OVERHEAD)
		return BATCH_ERROR_CORRUPT;
	error = window_fill(records, (size_t)size + BATCH_OVERHEAD, true);
	if (error)
		return error;
	if (records->end - records->next < (int64_t)size + BATCH_OVERHEAD)
		return records->broken;
	error = message_parse(records->next, (size_t)size + BATCH_OVERHEAD, ret_record);
	/* What doesn't fit because it is damaged is called damaged. */
	if (error && message_check(records->next, (size_t)size + BATCH_OVERHEAD))
		error = BATCH_ERROR_CORRUPT;
	if (error)
		return error;
	records->next += size + BATCH_OVERHEAD;
	return 1;
}

static int next_legacy(struct batch_records *records, struct record *ret_record)
{
	int result;

	if (!records->compressed) {
		if (records->next == records->end)
			return 0;
		result = message_parse(
			records->next, (size_t)(records->end - records->next), ret_record);
		records->next = records->end;
		return result ? result : 1;
	}
	result = next_inner(records, ret_record);
	if (result <= 0)
		return result;
	/* A compressed message within a compressed one. */
	if (ret_record->attributes & BATCH_COMPRESSION_MASK)
		return compression_name(ret_record->attributes & BATCH_COMPRESSION_MASK)
			       ? BATCH_ERROR_INVALID
			       : BATCH_ERROR_UNEXPECTED;
	if (records->header.magic == 1)
		ret_record->offset =
			(int64_t)((uint64_t)ret_record->offset + (uint64_t)records->legacy_base);
	if (ret_record->magic == 1 &&
		batch_timestamp_type(&records->header) == TIMESTAMP_LOG_APPEND)
		ret_record->timestamp = records->header.max_timestamp;
	return 1;
}

int batch_records_next(struct batch_records *records, struct record *ret_record)
{
	return records->header.magic == 2 ? next_v2(records, ret_record)
					  : next_legacy(records, ret_record);
}

/*
 * The wrapper of magic 1 carries the last absolute offset and the messages relative ones, so one
 * pass over the set finds the last relative offset before the first message can be given. Magic 0
 * gets the pass too: like Kafka, no message of a set is given when a later one is damaged.
 */
static int legacy_wrapper_begin(struct batch_records *records)
{
	struct record wrapper, record;
	int64_t last_inner = 0;
	bool empty = true;
	int result;

	/* zstd came with magic 2. */
	if (batch_compression(&records->header) > COMPRESSION_LZ4)
		return BATCH_ERROR_INVALID;
	result = message_parse(records->data, (size_t)records->header.size, &wrapper);
	if (result)
		return result;
	if (wrapper.value.size < 0)
		return BATCH_ERROR_INVALID;
	result = stream_begin(records, wrapper.value.data, (size_t)wrapper.value.size);
	if (result)
		return result;
	while ((result = next_inner(records, &record)) > 0) {
		last_inner = record.offset;
		empty = false;
	}
	if (result == 0 && empty)
		result = BATCH_ERROR_INVALID;
	/* Some versions of librdkafka leave the wrapper's offset 0. */
	if (result == 0 && records->header.magic == 1 && records->header.last_offset != 0) {
		if (records->header.last_offset < last_inner)
			result = BATCH_ERROR_INVALID;
		records->legacy_base =
			(int64_t)((uint64_t)records->header.last_offset - (uint64_t)last_inner);
	}
	if (result)
		return result;
	return stream_begin(records, wrapper.value.data, (size_t)wrapper.value.size);
}

int batch_records_begin(struct batch_records *records, struct compress_context *context,
	const uint8_t *data, const struct batch_header *header, enum batch_records_mode mode,
	uint64_t limit)
{
	int error = 0;

	*records = (struct batch_records){
		.context = context,
		.data = data,
		.header = *header,
		.mode = mode,
		.compressed = batch_is_compressed(header),
		.limit = limit,
		.left = header->record_count,
		.next = data,
		.end = data + header->size,
	};
	ensure(context || !records->compressed);
	if (header->magic == 2) {
		if (header->record_count < 0)
			return BATCH_ERROR_INVALID;
		records->next += BATCH_HEADER_SIZE;
		/* Kafka's readers don't look behind the header of a batch without records. */
		if (records->compressed && header->record_count > 0)
			error = stream_begin(
				records, records->next, (size_t)(records->end - records->next));
	} else if (records->compressed) {
		error = legacy_wrapper_begin(records);
	}
	if (error)
		batch_records_end(records);
	return error;
}

const uint8_t *batch_records_encoded(
	const struct batch_records *records, const struct record *record)
{
	return records->next - record->size;
}

void batch_records_end(struct batch_records *records)
{
	struct compress_block *window;

	if (!records->compressed)
		return;
	decompress_end(records->context);
	window = &records->context->window;
	if (window->capacity > COMPRESS_KEEP_SIZE_MAX) {
		free(window->data);
		*window = (struct compress_block){0};
	}
}

int batch_max_timestamp_offset(struct compress_context *context, const uint8_t *data,
	const struct batch_header *header, uint64_t limit, int64_t *ret_offset)
{
	struct batch_records records;
	struct record record;
	int result;

	if (header->magic == 0)
		return 0;
	result = batch_records_begin(&records, context, data, header, BATCH_RECORDS_SKIM, limit);
	if (result)
		return result;
	while ((result = batch_records_next(&records, &record)) > 0)
		if (record.timestamp == header->max_timestamp) {
			*ret_offset = record.offset;
			break;
		}
	batch_records_end(&records);
	return result;
}
