#include "protocol/compress.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zstd.h>

#include "protocol/record.h"

enum { DATA_SIZE = 300000 };

static uint8_t *data_new(bool random)
{
	uint8_t *data = malloc(DATA_SIZE);
	uint32_t seed = 42;

	for (int i = 0; i < DATA_SIZE; i++) {
		seed = seed * 1664525 + 1013904223;
		data[i] = random ? (uint8_t)(seed >> 24) : (uint8_t) "abcdefgh"[seed >> 29];
	}
	return data;
}

/* Reads everything in pieces of CHUNK bytes; the size, or the error. */
static int64_t read_all(struct compress_context *context, int codec, uint8_t magic,
	const uint8_t *packed, size_t packed_size, uint64_t limit, uint8_t *to, size_t chunk)
{
	int64_t total = 0, size;
	int error = decompress_begin(context, codec, magic, packed, packed_size, limit);

	if (error)
		return error;
	while ((size = decompress_read(context, to + total, chunk)) > 0)
		total += size;
	decompress_end(context);
	return size < 0 ? size : total;
}

static void pack(struct compress_context *context, int codec, int level, uint8_t magic,
	const uint8_t *data, size_t size, size_t step, struct record_buffer *out)
{
	out->size = 0;
	cr_assert_eq(compress_begin(context, codec, level, magic, out), 0);
	for (size_t done = 0; done < size; done += step)
		cr_assert_eq(compress_write(context, data + done, min_of(step, size - done)), 0);
	cr_assert_eq(compress_end(context), 0);
}

/* Each codec, size, magic and step, compressible or not, through one context: what goes in comes
 * out. */
Test(compress, round_trips)
{
	static const size_t sizes[] = {0, 1, 100, 32768, 65536, 65537, DATA_SIZE};
	struct compress_context *context = compress_context_new();
	uint8_t *back = malloc(DATA_SIZE + 4096);
	struct record_buffer out;

	record_buffer_init(&out, 1 << 20);
	for (int random = 0; random < 2; random++) {
		uint8_t *data = data_new(random);

		for (int codec = 0; codec < COMPRESSION_COUNT; codec++)
			for (size_t s = 0; s < array_length(sizes); s++)
				for (uint8_t magic = 0; magic <= 2; magic++) {
					size_t size = sizes[s];
					int level = compression_levels(codec).standard;

					/* Java's reader refuses an empty raw snappy; a framed one
					 * is empty. */
					pack(context, codec, level, magic, data, size, 777, &out);
					if (codec != COMPRESSION_NONE && !random && size > 1000)
						cr_assert_lt(out.size, size);
					cr_assert_eq(read_all(context, codec, magic, out.data,
							     out.size, size, back, 4096),
						size, "%s %zu", compression_name(codec), size);
					cr_assert_eq(memcmp(back, data, size), 0);
				}
		free(data);
	}
	record_buffer_done(&out);
	free(back);
	compress_context_free(context);
}

/* Lowest, highest and standard level of each codec that has levels. */
Test(compress, takes_every_level)
{
	struct compress_context *context = compress_context_new();
	uint8_t *data = data_new(false), *back = malloc(DATA_SIZE + 1);
	struct record_buffer out;

	record_buffer_init(&out, 1 << 20);
	for (int codec = 1; codec < COMPRESSION_COUNT; codec++) {
		struct compression_levels levels = compression_levels(codec);
		int tried[] = {levels.min, levels.max, levels.standard};

		for (size_t i = 0; i < array_length(tried); i++) {
			pack(context, codec, tried[i], 2, data, 50000, 50000, &out);
			cr_assert_eq(read_all(context, codec, 2, out.data, out.size, 50000, back,
					     DATA_SIZE),
				50000);
			cr_assert_eq(memcmp(back, data, 50000), 0);
		}
	}
	record_buffer_done(&out);
	free(data);
	free(back);
	compress_context_free(context);
}

/* Cuts a compressed stream at every length: an error each time, never less than everything as if it
 * were all. */
Test(compress, notices_a_stream_that_ends_early)
{
	struct compress_context *context = compress_context_new();
	uint8_t *data = data_new(false), *back = malloc(DATA_SIZE + 1);
	struct record_buffer out;

	record_buffer_init(&out, 1 << 20);
	for (int codec = 1; codec < COMPRESSION_COUNT; codec++) {
		pack(context, codec, compression_levels(codec).standard, 2, data, 3000, 3000, &out);
		for (size_t cut = 0; cut < out.size; cut++) {
			uint8_t *copy = malloc(max_of(cut, (size_t)1));
			int64_t size;

			memcpy(copy, out.data, cut);
			size = read_all(context, codec, 2, copy, cut, DATA_SIZE, back, 1000);
			/* Framed snappy and zstd have no end mark: nothing at all is a whole
			 * stream. */
			if (!(codec == COMPRESSION_ZSTD && cut == 0) &&
				!(codec == COMPRESSION_SNAPPY && cut >= 16 && cut < 20))
				cr_assert_lt(size, 0, "%s at %zu", compression_name(codec), cut);
			else
				cr_assert_leq(size, 0);
			free(copy);
		}
	}
	record_buffer_done(&out);
	free(data);
	free(back);
	compress_context_free(context);
}

/* Ten million zeros behind a limit of ten thousand: the limit's bytes come, then the error, and it
 * stays. */
Test(compress, stops_bombs_at_the_limit)
{
	struct compress_context *context = compress_context_new();
	uint8_t *zeros = calloc(1, 10000000), *back = malloc(200000);
	struct record_buffer out;

	record_buffer_init(&out, 1 << 20);
	for (int codec = 1; codec < COMPRESSION_COUNT; codec++) {
		int64_t size, total = 0;

		pack(context, codec, compression_levels(codec).standard, 2, zeros, 10000000, 100000,
			&out);
		cr_assert_eq(decompress_begin(context, codec, 2, out.data, out.size, 10000), 0);
		while ((size = decompress_read(context, back, 200000)) > 0)
			total += size;
		cr_assert_eq(size, BATCH_ERROR_BOMB, "%s", compression_name(codec));
		cr_assert_leq(total, 10000);
		cr_assert_eq(decompress_read(context, back, 1), BATCH_ERROR_BOMB);
		decompress_end(context);
	}
	record_buffer_done(&out);
	free(zeros);
	free(back);
	compress_context_free(context);
}

/* Raw snappy blocks that claim gigabytes are refused before memory is taken; an honest raw block is
 * read. */
Test(compress, reads_raw_snappy_and_doubts_its_size)
{
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0, 'x'};
	struct compress_context *context = compress_context_new();
	uint8_t *data = data_new(false), *back = malloc(DATA_SIZE);
	size_t size = snappy_max_compressed_length(DATA_SIZE);
	uint8_t *raw = malloc(size);

	cr_assert_eq(snappy_compress((char *)data, DATA_SIZE, (char *)raw, &size), SNAPPY_OK);
	cr_assert_eq(read_all(context, COMPRESSION_SNAPPY, 1, raw, size, DATA_SIZE, back, 5000),
		DATA_SIZE);
	cr_assert_eq(memcmp(back, data, DATA_SIZE), 0);
	cr_assert_eq(read_all(context, COMPRESSION_SNAPPY, 1, raw, size, DATA_SIZE - 1, back, 5000),
		BATCH_ERROR_BOMB);
	cr_assert_eq(
		read_all(context, COMPRESSION_SNAPPY, 1, huge, sizeof(huge), UINT64_MAX, back, 10),
		BATCH_ERROR_DECOMPRESS);
	/* The claim is doubted before it is weighed against the limit. */
	cr_assert_eq(read_all(context, COMPRESSION_SNAPPY, 1, huge, sizeof(huge), 10, back, 10),
		BATCH_ERROR_DECOMPRESS);
	free(raw);
	free(data);
	free(back);
	compress_context_free(context);
}

/* Frames of the lz4 library with every checksum it can add are read, ours are read by the library;
 * a flipped block fails. */
Test(compress, speaks_lz4_frames_with_the_library)
{
	struct compress_context *context = compress_context_new();
	uint8_t *data = data_new(false), *back = malloc(DATA_SIZE + 1);
	struct record_buffer out;
	LZ4F_preferences_t preferences = {
		.frameInfo = {.blockMode = LZ4F_blockIndependent,
			.blockSizeID = LZ4F_max256KB,
			.contentChecksumFlag = LZ4F_contentChecksumEnabled,
			.contentSize = DATA_SIZE,
			.blockChecksumFlag = LZ4F_blockChecksumEnabled}};
	size_t room = LZ4F_compressFrameBound(DATA_SIZE, &preferences), size, back_size, used;
	uint8_t *frame = malloc(room);
	LZ4F_dctx *library;

	size = LZ4F_compressFrame(frame, room, data, DATA_SIZE, &preferences);
	cr_assert_eq(read_all(context, COMPRESSION_LZ4, 2, frame, size, DATA_SIZE, back, 9999),
		DATA_SIZE);
	cr_assert_eq(memcmp(back, data, DATA_SIZE), 0);
	frame[30] ^= 1;
	cr_assert_eq(read_all(context, COMPRESSION_LZ4, 2, frame, size, DATA_SIZE, back, 9999),
		BATCH_ERROR_DECOMPRESS);

	record_buffer_init(&out, 1 << 20);
	pack(context, COMPRESSION_LZ4, 9, 1, data, DATA_SIZE, DATA_SIZE, &out);
	LZ4F_createDecompressionContext(&library, LZ4F_VERSION);
	back_size = DATA_SIZE;
	used = out.size;
	cr_assert_eq(LZ4F_decompress(library, back, &back_size, out.data, &used, NULL), 0);
	cr_assert_eq(back_size, DATA_SIZE);
	cr_assert_eq(memcmp(back, data, DATA_SIZE), 0);
	LZ4F_freeDecompressionContext(library);

	/* Magic 0 has another header checksum; each reader refuses the other's, but magic 0 takes
	 * any. */
	cr_assert_eq(
		read_all(context, COMPRESSION_LZ4, 0, out.data, out.size, DATA_SIZE, back, 999),
		DATA_SIZE);
	pack(context, COMPRESSION_LZ4, 9, 0, data, DATA_SIZE, DATA_SIZE, &out);
	cr_assert_eq(
		read_all(context, COMPRESSION_LZ4, 1, out.data, out.size, DATA_SIZE, back, 999),
		BATCH_ERROR_DECOMPRESS);
	/* The value that Kafka's old producers wrote for 64 KiB independent blocks. */
	cr_assert_eq(out.data[6], 0x1a);
	record_buffer_done(&out);
	free(frame);
	free(data);
	free(back);
	compress_context_free(context);
}

/* Gzip members and zstd frames one behind the other are one stream; rubbish behind gzip's end is
 * ignored as in Java. */
Test(compress, reads_streams_in_a_row)
{
	static const int codecs[] = {COMPRESSION_GZIP, COMPRESSION_SNAPPY, COMPRESSION_ZSTD};
	struct compress_context *context = compress_context_new();
	uint8_t *data = data_new(false), *back = malloc(DATA_SIZE + 1);
	struct record_buffer out, twice;

	record_buffer_init(&out, 1 << 20);
	record_buffer_init(&twice, 1 << 20);
	for (size_t i = 0; i < array_length(codecs); i++) {
		pack(context, codecs[i], compression_levels(codecs[i]).standard, 2, data, 5000, 500,
			&out);
		twice.size = 0;
		cr_assert_eq(record_buffer_append(&twice, out.data, out.size), 0);
		cr_assert_eq(record_buffer_append(&twice, out.data, out.size), 0);
		cr_assert_eq(read_all(context, codecs[i], 2, twice.data, twice.size, DATA_SIZE,
				     back, 999),
			10000, "%s", compression_name(codecs[i]));
		cr_assert_eq(memcmp(back + 5000, data, 5000), 0);
	}
	pack(context, COMPRESSION_GZIP, -1, 2, data, 5000, 500, &out);
	cr_assert_eq(record_buffer_append(&out, "rubbish that is no member", 25), 0);
	cr_assert_eq(
		read_all(context, COMPRESSION_GZIP, 2, out.data, out.size, DATA_SIZE, back, 999),
		5000);
	record_buffer_done(&out);
	record_buffer_done(&twice);
	free(data);
	free(back);
	compress_context_free(context);
}

/* Every limit of the output buffer below what is needed is an error, never a write beyond. */
Test(compress, respects_the_output_limit)
{
	struct compress_context *context = compress_context_new();
	uint8_t *data = data_new(true);

	for (int codec = 0; codec < COMPRESSION_COUNT; codec++)
		for (size_t limit = 0; limit < 900; limit += 7) {
			struct record_buffer out;
			int error;

			record_buffer_init(&out, limit);
			error = compress_begin(
				context, codec, compression_levels(codec).standard, 2, &out);
			if (!error)
				error = compress_write(context, data, 900);
			if (!error)
				error = compress_end(context);
			cr_assert_eq(error, -ENOBUFS, "%s %zu", compression_name(codec), limit);
			cr_assert_leq(out.size, limit);
			record_buffer_done(&out);
		}
	free(data);
	compress_context_free(context);
}
