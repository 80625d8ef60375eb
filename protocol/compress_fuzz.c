/*
 * Any bytes as any codec's: decompression ends, never gives more than its limit, never holds memory
 * that nothing came for. The first byte chooses codec and magic, the second the size of the reads.
 * What comes out is compressed and read back.
 */
#include <stdlib.h>

#include "protocol/compress.h"

enum { LIMIT = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t read_all(struct compress_context *context, int codec, uint8_t magic,
	const uint8_t *data, size_t size, size_t chunk, struct record_buffer *out)
{
	int64_t got = decompress_begin(context, codec, magic, data, size, LIMIT);

	out->size = 0;
	if (got < 0)
		return got;
	for (;;) {
		ensure(record_buffer_reserve(out, chunk) == 0);
		got = decompress_read(context, out->data + out->size, chunk);
		if (got <= 0)
			break;
		ensure((size_t)got <= chunk);
		out->size += (size_t)got;
		ensure(out->size <= LIMIT);
	}
	/* It stays as it ended. */
	ensure(decompress_read(context, out->data, 1) == got);
	decompress_end(context);
	return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct compress_context *context;
	struct record_buffer plain, packed, again;
	int codec;
	uint8_t magic;
	size_t chunk;

	if (size < 2)
		return 0;
	if (!context)
		context = compress_context_new();
	codec = data[0] & 7;
	magic = (data[0] >> 3) % 3;
	chunk = (size_t)1 << (data[1] & 15);
	record_buffer_init(&plain, 2 * LIMIT);
	record_buffer_init(&packed, 2 * LIMIT);
	record_buffer_init(&again, 2 * LIMIT);
	if (read_all(context, codec, magic, data + 2, size - 2, chunk, &plain) == 0) {
		ensure(compress_begin(context, codec, compression_levels(codec).standard, magic,
			       &packed) == 0);
		ensure(compress_write(context, plain.data, plain.size) == 0);
		ensure(compress_end(context) == 0);
		ensure(read_all(context, codec, magic, packed.data, packed.size, 4096, &again) ==
			0);
		ensure(again.size == plain.size);
		ensure(!plain.size || memcmp(again.data, plain.data, plain.size) == 0);
	}
	record_buffer_done(&plain);
	record_buffer_done(&packed);
	record_buffer_done(&again);
	return 0;
}
