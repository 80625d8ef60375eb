/*
 * lz4 frames as Kafka reads and writes them: independent blocks, no dictionaries, one frame; what
 * follows the end mark is not looked at and a content checksum is not verified. The frame code is
 * ours because message sets of magic 0 carry a header checksum computed over the wrong bytes (the
 * magic number included), which the library's frame code refuses.
 */
#include <errno.h>
#include <lz4.h>
#include <lz4hc.h>
#include <stdlib.h>

#include "protocol/compress_internal.h"

#define LZ4_FRAME_MAGIC	   0x184d2204u
#define LZ4_RAW_BLOCK_FLAG 0x80000000u

enum {
	LZ4_BLOCK_SIZE = 64 << 10, /* of what we write */
	LZ4_BLOCK_SIZE_CODE = 4 << 4,

	LZ4_FLAG_CONTENT_CHECKSUM = 1 << 2,
	LZ4_FLAG_CONTENT_SIZE = 1 << 3,
	LZ4_FLAG_BLOCK_CHECKSUM = 1 << 4,
	LZ4_FLAG_INDEPENDENT_BLOCKS = 1 << 5,
	LZ4_FLAG_VERSION_1 = 1 << 6,
	LZ4_FLAG_VERSION_MASK = 3 << 6,
	LZ4_FLAG_RESERVED_MASK = 3,
};

static uint32_t load_le32(const uint8_t *from)
{
	return __builtin_bswap32(load_be32(from));
}

static void store_le32(uint8_t *to, uint32_t value)
{
	store_be32(to, __builtin_bswap32(value));
}

static uint32_t rotate_left(uint32_t value, int bits)
{
	return value << bits | value >> (32 - bits);
}

/* XXH32 with seed 0, the checksum of lz4 frames. */
static uint32_t xxh32(const uint8_t *data, size_t size)
{
	static const uint32_t prime[] = {
		0, 2654435761u, 2246822519u, 3266489917u, 668265263u, 374761393u};
	const uint8_t *end = data + size;
	uint32_t hash = prime[5];

	if (size >= 16) {
		uint32_t lane[4] = {prime[1] + prime[2], prime[2], 0, -prime[1]};

		for (; end - data >= 16; data += 16)
			for (int i = 0; i < 4; i++)
				lane[i] = rotate_left(lane[i] + load_le32(data + 4 * i) * prime[2],
						  13) *
					  prime[1];
		hash = rotate_left(lane[0], 1) + rotate_left(lane[1], 7) +
		       rotate_left(lane[2], 12) + rotate_left(lane[3], 18);
	}
	hash += (uint32_t)size;
	for (; end - data >= 4; data += 4)
		hash = rotate_left(hash + load_le32(data) * prime[3], 17) * prime[4];
	for (; data < end; data++)
		hash = rotate_left(hash + *data * prime[5], 11) * prime[1];
	hash = (hash ^ hash >> 15) * prime[2];
	hash = (hash ^ hash >> 13) * prime[3];
	return hash ^ hash >> 16;
}

int lz4_decompress_begin(struct compress_context *context, uint8_t magic)
{
	struct decompress_stream *in = &context->in;
	size_t descriptor_size = 2;
	const uint8_t *descriptor;
	uint8_t flags, size_code;

	if (in->end - in->next < 7 || load_le32(in->next) != LZ4_FRAME_MAGIC)
		return BATCH_ERROR_DECOMPRESS;
	descriptor = in->next + 4;
	flags = descriptor[0];
	size_code = descriptor[1] >> 4;
	if ((flags & LZ4_FLAG_VERSION_MASK) != LZ4_FLAG_VERSION_1 ||
		(flags & LZ4_FLAG_RESERVED_MASK) || !(flags & LZ4_FLAG_INDEPENDENT_BLOCKS) ||
		(descriptor[1] & 0x8f) || size_code < 4)
		return BATCH_ERROR_DECOMPRESS;
	if (flags & LZ4_FLAG_CONTENT_SIZE)
		descriptor_size += 8;
	if ((size_t)(in->end - descriptor) <= descriptor_size)
		return BATCH_ERROR_DECOMPRESS;
	if (magic > 0 &&
		descriptor[descriptor_size] != (uint8_t)(xxh32(descriptor, descriptor_size) >> 8))
		return BATCH_ERROR_DECOMPRESS;
	in->next = descriptor + descriptor_size + 1;
	in->lz4_block_checksum = flags & LZ4_FLAG_BLOCK_CHECKSUM;
	in->lz4_block_size_max = (size_t)1 << (8 + 2 * size_code);
	return 0;
}

int lz4_block_decode(struct compress_context *context)
{
	struct decompress_stream *in = &context->in;
	struct compress_block *block = &context->decoded;
	size_t size, behind = in->lz4_block_checksum ? 4 : 0;
	uint32_t word;
	int error;

	if (in->end - in->next < 4)
		return BATCH_ERROR_DECOMPRESS;
	word = load_le32(in->next);
	in->next += 4;
	size = word & ~LZ4_RAW_BLOCK_FLAG;
	if (size == 0)
		return 1;
	if (size > in->lz4_block_size_max || size + behind > (size_t)(in->end - in->next))
		return BATCH_ERROR_DECOMPRESS;
	if (in->lz4_block_checksum && xxh32(in->next, size) != load_le32(in->next + size))
		return BATCH_ERROR_DECOMPRESS;
	error = compress_block_reserve(block, in->lz4_block_size_max);
	if (error)
		return error;
	if (word & LZ4_RAW_BLOCK_FLAG) {
		memcpy(block->data, in->next, size);
		block->size = size;
	} else {
		int decoded = LZ4_decompress_safe((const char *)in->next, (char *)block->data,
			(int)size, (int)in->lz4_block_size_max);

		if (decoded < 0)
			return BATCH_ERROR_DECOMPRESS;
		block->size = (size_t)decoded;
	}
	in->next += size + behind;
	return 0;
}

int lz4_compress_begin(struct compress_context *context, uint8_t magic)
{
	uint8_t header[7];
	bool fast = context->out.level == compression_levels(COMPRESSION_LZ4).standard;
	void **state = fast ? &context->lz4_state : &context->lz4_hc_state;

	if (compress_block_reserve(&context->pending_block, LZ4_BLOCK_SIZE) ||
		compress_block_reserve(
			&context->packed_block, (size_t)LZ4_compressBound(LZ4_BLOCK_SIZE)))
		return -ENOMEM;
	if (!*state)
		*state = malloc((size_t)(fast ? LZ4_sizeofState() : LZ4_sizeofStateHC()));
	if (!*state)
		return -ENOMEM;

	store_le32(header, LZ4_FRAME_MAGIC);
	header[4] = LZ4_FLAG_VERSION_1 | LZ4_FLAG_INDEPENDENT_BLOCKS;
	header[5] = LZ4_BLOCK_SIZE_CODE;
	/* Readers of magic 0 expect the checksum of everything so far instead of the descriptor's
	 * two bytes. */
	header[6] = (uint8_t)((magic == 0 ? xxh32(header, 6) : xxh32(header + 4, 2)) >> 8);
	return record_buffer_append(context->out.out, header, sizeof(header));
}

static int block_write(struct compress_context *context)
{
	const char *from = (const char *)context->pending_block.data;
	char *to = (char *)context->packed_block.data;
	int size = (int)context->out.pending, room = (int)context->packed_block.capacity;
	bool fast = context->out.level == compression_levels(COMPRESSION_LZ4).standard;
	int packed;
	uint8_t word[4];
	int error;

	if (size == 0)
		return 0;
	packed = fast ? LZ4_compress_fast_extState(context->lz4_state, from, to, size, room, 1)
		      : LZ4_compress_HC_extStateHC(
				context->lz4_hc_state, from, to, size, room, context->out.level);
	ensure(packed > 0);
	context->out.pending = 0;
	if (packed >= size)
		store_le32(word, (uint32_t)size | LZ4_RAW_BLOCK_FLAG);
	else
		store_le32(word, (uint32_t)packed);
	error = record_buffer_append(context->out.out, word, sizeof(word));
	if (error)
		return error;
	return packed >= size ? record_buffer_append(context->out.out, from, (size_t)size)
			      : record_buffer_append(context->out.out, to, (size_t)packed);
}

int lz4_compress_write(struct compress_context *context, const uint8_t *data, size_t size)
{
	while (size) {
		size_t part = min_of(size, LZ4_BLOCK_SIZE - context->out.pending);

		memcpy(context->pending_block.data + context->out.pending, data, part);
		context->out.pending += part;
		data += part;
		size -= part;
		if (context->out.pending == LZ4_BLOCK_SIZE) {
			int error = block_write(context);

			if (error)
				return error;
		}
	}
	return 0;
}

int lz4_compress_end(struct compress_context *context)
{
	static const uint8_t end_mark[4];
	int error = block_write(context);

	return error ? error : record_buffer_append(context->out.out, end_mark, sizeof(end_mark));
}
