/*
 * Snappy in two shapes: one raw block, as some clients send it, and the framing of Java's snappy
 * library, which Kafka writes: a header of 16 bytes, then blocks with their size in front
 * (big-endian). A reader tells them apart by the header.
 */
#include <errno.h>
#include <snappy-c.h>

#include "protocol/compress_internal.h"
#include "runtime/library.h"

enum {
	SNAPPY_BLOCK_SIZE = 32 << 10, /* of what we write */
	SNAPPY_FRAME_HEADER_SIZE = 16,
	/* A copy of three bytes gives at most 64, so nothing honest grows more than this. */
	SNAPPY_RATIO_MAX = 22,
};

static const uint8_t frame_header[SNAPPY_FRAME_HEADER_SIZE] = {
	0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};

static struct {
	LIBRARY_FUNCTION(snappy_compress);
	LIBRARY_FUNCTION(snappy_max_compressed_length);
	LIBRARY_FUNCTION(snappy_uncompress);
	LIBRARY_FUNCTION(snappy_uncompressed_length);
} library;

/* Without the library there is no such codec here. */
static int snappy_need(void)
{
	static const struct library_function functions[] = {
		LIBRARY_ROW(library, snappy_compress),
		LIBRARY_ROW(library, snappy_max_compressed_length),
		LIBRARY_ROW(library, snappy_uncompress),
		LIBRARY_ROW(library, snappy_uncompressed_length),
	};
	static struct library snappy = {.file = "libsnappy.so.1",
		.functions = functions,
		.function_count = array_length(functions)};

	return library_need(&snappy) == 0 ? 0 : BATCH_ERROR_COMPRESSION;
}

/* Only the magic: like Java's reader, whatever versions follow it. */
static bool frame_header_match(const uint8_t *data, size_t size)
{
	return size >= SNAPPY_FRAME_HEADER_SIZE && memcmp(data, frame_header, 8) == 0;
}

int snappy_decompress_begin(struct compress_context *context)
{
	struct decompress_stream *in = &context->in;

	int error = snappy_need();

	if (error)
		return error;
	if (in->next == in->end)
		return BATCH_ERROR_DECOMPRESS;
	in->snappy_framed = frame_header_match(in->next, (size_t)(in->end - in->next));
	if (in->snappy_framed)
		in->next += SNAPPY_FRAME_HEADER_SIZE;
	return 0;
}

/* The size field of the next block, past headers of further streams glued behind the first. 1 at
 * the end. */
static int block_size_read(struct decompress_stream *in, size_t *ret_size)
{
	int32_t size;

	while (in->end - in->next >= 4) {
		if (frame_header_match(in->next, (size_t)(in->end - in->next))) {
			in->next += SNAPPY_FRAME_HEADER_SIZE;
			continue;
		}
		size = (int32_t)load_be32(in->next);
		in->next += 4;
		if (size < 0 || size > in->end - in->next)
			return BATCH_ERROR_DECOMPRESS;
		*ret_size = (size_t)size;
		return 0;
	}
	return 1;
}

int snappy_block_decode(struct compress_context *context)
{
	struct decompress_stream *in = &context->in;
	struct compress_block *block = &context->decoded;
	size_t size = (size_t)(in->end - in->next), decoded;
	int result;

	if (in->snappy_framed) {
		result = block_size_read(in, &size);
		if (result)
			return result;
	} else if (size == 0) {
		return 1;
	}
	if (library.snappy_uncompressed_length((const char *)in->next, size, &decoded) != SNAPPY_OK)
		return BATCH_ERROR_DECOMPRESS;
	/* The claimed size is judged before memory is spent on it. */
	if (decoded / SNAPPY_RATIO_MAX > size)
		return BATCH_ERROR_DECOMPRESS;
	if (decoded > in->left)
		return BATCH_ERROR_BOMB;
	result = compress_block_reserve(block, max_of(decoded, (size_t)SNAPPY_BLOCK_SIZE));
	if (result)
		return result;
	if (library.snappy_uncompress((const char *)in->next, size, (char *)block->data, &decoded) !=
		SNAPPY_OK)
		return BATCH_ERROR_DECOMPRESS;
	block->size = decoded;
	in->next += size;
	return 0;
}

int snappy_compress_begin(struct compress_context *context)
{
	int error = snappy_need();

	if (error)
		return error;
	if (compress_block_reserve(&context->pending_block, SNAPPY_BLOCK_SIZE) ||
		compress_block_reserve(
			&context->packed_block, library.snappy_max_compressed_length(SNAPPY_BLOCK_SIZE)))
		return -ENOMEM;
	return record_buffer_append(context->out.out, frame_header, sizeof(frame_header));
}

static int block_write(struct compress_context *context)
{
	size_t packed = context->packed_block.capacity;
	uint8_t size[4];
	int error;

	if (context->out.pending == 0)
		return 0;
	ensure(library.snappy_compress((const char *)context->pending_block.data, context->out.pending,
		       (char *)context->packed_block.data, &packed) == SNAPPY_OK);
	context->out.pending = 0;
	store_be32(size, (uint32_t)packed);
	error = record_buffer_append(context->out.out, size, sizeof(size));
	return error ? error
		     : record_buffer_append(context->out.out, context->packed_block.data, packed);
}

int snappy_compress_write(struct compress_context *context, const uint8_t *data, size_t size)
{
	while (size) {
		size_t part = min_of(size, SNAPPY_BLOCK_SIZE - context->out.pending);

		memcpy(context->pending_block.data + context->out.pending, data, part);
		context->out.pending += part;
		data += part;
		size -= part;
		if (context->out.pending == SNAPPY_BLOCK_SIZE) {
			int error = block_write(context);

			if (error)
				return error;
		}
	}
	return 0;
}

int snappy_compress_end(struct compress_context *context)
{
	return block_write(context);
}
