#include "protocol/compress.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/compress_internal.h"

const char *compression_name(int compression)
{
	static const char *const names[COMPRESSION_COUNT] = {
		"none", "gzip", "snappy", "lz4", "zstd"};

	return compression >= 0 && compression < COMPRESSION_COUNT ? names[compression] : NULL;
}

struct compression_levels compression_levels(enum compression compression)
{
	static const struct compression_levels levels[COMPRESSION_COUNT] = {
		[COMPRESSION_GZIP] = {.min = 1, .max = 9, .standard = -1},
		[COMPRESSION_LZ4] = {.min = 1, .max = 17, .standard = 9},
		[COMPRESSION_ZSTD] = {.min = -131072, .max = 22, .standard = 3},
	};

	ensure(compression >= 0 && compression < COMPRESSION_COUNT);
	return levels[compression];
}

struct compress_context *compress_context_new(void)
{
	return calloc(1, sizeof(struct compress_context));
}

void compress_context_free(struct compress_context *context)
{
	if (!context)
		return;
	if (context->inflate_ready)
		inflateEnd(&context->inflate);
	if (context->deflate_ready)
		deflateEnd(&context->deflate);
	ZSTD_freeDCtx(context->zstd_in);
	ZSTD_freeCCtx(context->zstd_out);
	free(context->decoded.data);
	free(context->pending_block.data);
	free(context->packed_block.data);
	free(context->window.data);
	free(context->lz4_state);
	free(context->lz4_hc_state);
	free(context);
}

int compress_block_reserve(struct compress_block *block, size_t capacity)
{
	uint8_t *data;

	if (capacity <= block->capacity)
		return 0;
	data = malloc(capacity);
	if (!data)
		return -ENOMEM;
	free(block->data);
	block->data = data;
	block->capacity = capacity;
	return 0;
}

static void block_trim(struct compress_block *block)
{
	block->size = block->position = 0;
	if (block->capacity <= COMPRESS_KEEP_SIZE_MAX)
		return;
	free(block->data);
	*block = (struct compress_block){0};
}

static int gzip_decompress_begin(struct compress_context *context)
{
	const int gzip_only = 15 + 16; /* the largest window, and gzip's header but not zlib's */

	if (context->inflate_ready)
		return inflateReset(&context->inflate) == Z_OK ? 0 : BATCH_ERROR_DECOMPRESS;
	context->inflate = (z_stream){0};
	if (inflateInit2(&context->inflate, gzip_only) != Z_OK)
		return -ENOMEM;
	context->inflate_ready = true;
	return 0;
}

static int64_t gzip_read(struct compress_context *context, uint8_t *to, size_t capacity)
{
	enum { MEMBER_SIZE_MIN = 18 };
	struct decompress_stream *in = &context->in;
	z_stream *z = &context->inflate;
	size_t room = min_of(capacity, (size_t)INT32_MAX);

	z->next_out = to;
	z->avail_out = (uInt)room;
	while (z->avail_out == room) {
		size_t given = min_of((size_t)(in->end - in->next), (size_t)INT32_MAX);
		int result;

		z->next_in = (Bytef *)in->next;
		z->avail_in = (uInt)given;
		result = inflate(z, Z_NO_FLUSH);
		in->next += given - z->avail_in;
		if (result == Z_STREAM_END) {
			/* Members may follow one another; what is no member is ignored, as in Java.
			 */
			if (in->end - in->next < MEMBER_SIZE_MIN || in->next[0] != 0x1f ||
				in->next[1] != 0x8b) {
				in->result = 1;
				break;
			}
			inflateReset(z);
		} else if (result != Z_OK) {
			/* What came out before the damage is given first. */
			in->result = result == Z_MEM_ERROR ? -ENOMEM : BATCH_ERROR_DECOMPRESS;
			return z->avail_out < room ? (int64_t)(room - z->avail_out) : in->result;
		}
	}
	return (int64_t)(room - z->avail_out);
}

static int zstd_decompress_begin(struct compress_context *context)
{
	context->in.zstd_frame_open = false;
	if (!context->zstd_in)
		context->zstd_in = ZSTD_createDCtx();
	if (!context->zstd_in)
		return -ENOMEM;
	ZSTD_DCtx_reset(context->zstd_in, ZSTD_reset_session_only);
	return 0;
}

static int64_t zstd_read(struct compress_context *context, uint8_t *to, size_t capacity)
{
	struct decompress_stream *in = &context->in;
	ZSTD_outBuffer output = {.dst = to, .size = capacity};

	while (output.pos == 0) {
		ZSTD_inBuffer input = {.src = in->next, .size = (size_t)(in->end - in->next)};
		size_t result;

		if (input.size == 0 && !in->zstd_frame_open) {
			in->result = 1;
			break;
		}
		result = ZSTD_decompressStream(context->zstd_in, &output, &input);
		if (ZSTD_isError(result)) {
			in->result = BATCH_ERROR_DECOMPRESS;
			return output.pos ? (int64_t)output.pos : in->result;
		}
		if (output.pos == 0 && input.pos == 0)
			return BATCH_ERROR_DECOMPRESS; /* the frame ends too early */
		in->zstd_frame_open = result != 0;
		in->next += input.pos;
	}
	return (int64_t)output.pos;
}

static int64_t none_read(struct compress_context *context, uint8_t *to, size_t capacity)
{
	struct decompress_stream *in = &context->in;
	size_t size = min_of((size_t)(in->end - in->next), capacity);

	if (size == 0) {
		in->result = 1;
		return 0;
	}
	memcpy(to, in->next, size);
	in->next += size;
	return (int64_t)size;
}

/* Hands out the decoded block, and decodes the next when it is used up. */
static int64_t block_read(struct compress_context *context, uint8_t *to, size_t capacity)
{
	struct compress_block *block = &context->decoded;
	size_t size;

	while (block->position == block->size) {
		int result;

		block->position = block->size = 0;
		result = context->in.compression == COMPRESSION_LZ4 ? lz4_block_decode(context)
								    : snappy_block_decode(context);
		if (result < 0)
			return result;
		if (result > 0) {
			context->in.result = 1;
			return 0;
		}
	}
	size = min_of(capacity, block->size - block->position);
	memcpy(to, block->data + block->position, size);
	block->position += size;
	return (int64_t)size;
}

int decompress_begin(struct compress_context *context, int compression, uint8_t magic,
	const uint8_t *data, size_t size, uint64_t limit)
{
	context->in = (struct decompress_stream){.compression = compression,
		.next = data,
		.end = size ? data + size : data,
		.left = limit};
	context->decoded.size = context->decoded.position = 0;
	switch (compression) {
	case COMPRESSION_NONE:
		return 0;
	case COMPRESSION_GZIP:
		return context->in.result = gzip_decompress_begin(context);
	case COMPRESSION_SNAPPY:
		return context->in.result = snappy_decompress_begin(context);
	case COMPRESSION_LZ4:
		return context->in.result = lz4_decompress_begin(context, magic);
	case COMPRESSION_ZSTD:
		return context->in.result = zstd_decompress_begin(context);
	default:
		return context->in.result = BATCH_ERROR_DECOMPRESS;
	}
}

static int64_t codec_read(struct compress_context *context, uint8_t *to, size_t capacity)
{
	switch (context->in.compression) {
	case COMPRESSION_NONE:
		return none_read(context, to, capacity);
	case COMPRESSION_GZIP:
		return gzip_read(context, to, capacity);
	case COMPRESSION_ZSTD:
		return zstd_read(context, to, capacity);
	default:
		return block_read(context, to, capacity);
	}
}

int64_t decompress_read(struct compress_context *context, uint8_t *to, size_t capacity)
{
	struct decompress_stream *in = &context->in;
	uint8_t beyond;
	int64_t size;

	ensure(capacity > 0);
	if (in->result)
		return in->result < 0 ? in->result : 0;
	if (in->left == 0) {
		/* Only the end may follow. */
		size = codec_read(context, &beyond, 1);
		if (size > 0)
			size = BATCH_ERROR_BOMB;
	} else {
		size = codec_read(context, to, (size_t)min_of((uint64_t)capacity, in->left));
	}
	if (size < 0)
		in->result = (int)size;
	else
		in->left -= (uint64_t)size;
	return size;
}

void decompress_end(struct compress_context *context)
{
	context->in = (struct decompress_stream){.result = BATCH_ERROR_DECOMPRESS};
	block_trim(&context->decoded);
	if (context->zstd_in && ZSTD_sizeof_DCtx(context->zstd_in) > COMPRESS_KEEP_SIZE_MAX) {
		ZSTD_freeDCtx(context->zstd_in);
		context->zstd_in = NULL;
	}
}

/* At least one byte of room behind what is written, more where the limit allows. */
static int out_room(struct record_buffer *out, size_t *ret_room)
{
	enum { CHUNK = 4096 };

	if (out->capacity == out->size && record_buffer_reserve(out, CHUNK)) {
		int error = record_buffer_reserve(out, 1);

		if (error)
			return error;
	}
	*ret_room = out->capacity - out->size;
	return 0;
}

static int gzip_compress_begin(struct compress_context *context)
{
	const int gzip = 15 + 16, memory_standard = 8;

	if (context->deflate_ready && context->deflate_level == context->out.level)
		return deflateReset(&context->deflate) == Z_OK ? 0 : -ENOMEM;
	if (context->deflate_ready)
		deflateEnd(&context->deflate);
	context->deflate_ready = false;
	context->deflate = (z_stream){0};
	if (deflateInit2(&context->deflate, context->out.level, Z_DEFLATED, gzip, memory_standard,
		    Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	context->deflate_ready = true;
	context->deflate_level = context->out.level;
	return 0;
}

static int gzip_compress(
	struct compress_context *context, const uint8_t *data, size_t size, int flush)
{
	struct record_buffer *out = context->out.out;
	z_stream *z = &context->deflate;
	int result;

	do {
		size_t given = min_of(size, (size_t)INT32_MAX), room;
		int error = out_room(out, &room);

		if (error)
			return error;
		room = min_of(room, (size_t)INT32_MAX);
		z->next_in = (Bytef *)data;
		z->avail_in = (uInt)given;
		z->next_out = out->data + out->size;
		z->avail_out = (uInt)room;
		result = deflate(z, size == given ? flush : Z_NO_FLUSH);
		ensure(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR);
		out->size += room - z->avail_out;
		data += given - z->avail_in;
		size -= given - z->avail_in;
	} while (flush == Z_FINISH ? result != Z_STREAM_END : size > 0 || z->avail_out == 0);
	return 0;
}

static int zstd_compress_begin(struct compress_context *context)
{
	if (!context->zstd_out)
		context->zstd_out = ZSTD_createCCtx();
	if (!context->zstd_out)
		return -ENOMEM;
	ZSTD_CCtx_reset(context->zstd_out, ZSTD_reset_session_and_parameters);
	ZSTD_CCtx_setParameter(context->zstd_out, ZSTD_c_compressionLevel, context->out.level);
	return 0;
}

static int zstd_compress(struct compress_context *context, const uint8_t *data, size_t size,
	ZSTD_EndDirective directive)
{
	struct record_buffer *out = context->out.out;
	ZSTD_inBuffer input = {.src = data, .size = size};
	size_t left;

	do {
		ZSTD_outBuffer output;
		size_t room;
		int error = out_room(out, &room);

		if (error)
			return error;
		output = (ZSTD_outBuffer){.dst = out->data + out->size, .size = room};
		left = ZSTD_compressStream2(context->zstd_out, &output, &input, directive);
		if (ZSTD_isError(left))
			return -ENOMEM; /* the only way it fails on valid parameters */
		out->size += output.pos;
	} while (directive == ZSTD_e_end ? left > 0 : input.pos < input.size);
	return 0;
}

int compress_begin(struct compress_context *context, enum compression compression, int level,
	uint8_t magic, struct record_buffer *out)
{
	context->out =
		(struct compress_stream){.compression = compression, .level = level, .out = out};
	switch (compression) {
	case COMPRESSION_NONE:
		return 0;
	case COMPRESSION_GZIP:
		return gzip_compress_begin(context);
	case COMPRESSION_SNAPPY:
		return snappy_compress_begin(context);
	case COMPRESSION_LZ4:
		return lz4_compress_begin(context, magic);
	case COMPRESSION_ZSTD:
		return zstd_compress_begin(context);
	}
	ensure(!"a codec that exists");
	return 0;
}

int compress_write(struct compress_context *context, const void *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (context->out.compression) {
	case COMPRESSION_NONE:
		return record_buffer_append(context->out.out, data, size);
	case COMPRESSION_GZIP:
		return gzip_compress(context, data, size, Z_NO_FLUSH);
	case COMPRESSION_SNAPPY:
		return snappy_compress_write(context, data, size);
	case COMPRESSION_LZ4:
		return lz4_compress_write(context, data, size);
	default:
		return zstd_compress(context, data, size, ZSTD_e_continue);
	}
}

int compress_end(struct compress_context *context)
{
	static const uint8_t nothing[1];
	int error = 0;

	switch (context->out.compression) {
	case COMPRESSION_GZIP:
		error = gzip_compress(context, nothing, 0, Z_FINISH);
		break;
	case COMPRESSION_SNAPPY:
		error = snappy_compress_end(context);
		break;
	case COMPRESSION_LZ4:
		error = lz4_compress_end(context);
		break;
	case COMPRESSION_ZSTD:
		error = zstd_compress(context, nothing, 0, ZSTD_e_end);
		if (ZSTD_sizeof_CCtx(context->zstd_out) > COMPRESS_KEEP_SIZE_MAX) {
			ZSTD_freeCCtx(context->zstd_out);
			context->zstd_out = NULL;
		}
		break;
	default:
		break;
	}
	context->out = (struct compress_stream){0};
	return error;
}
