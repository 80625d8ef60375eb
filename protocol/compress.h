/*
 * The codecs of record batches, as streams: decompression into whatever room the caller has,
 * compression into a record buffer. One context serves one shard; it keeps the codecs' working
 * memory between uses, so that nothing is allocated per record. A context holds one decompression
 * and one compression at a time (a rebuild needs both).
 */
#pragma once

#include "protocol/record_buffer.h"

enum compression {
	COMPRESSION_NONE = 0,
	COMPRESSION_GZIP = 1,
	COMPRESSION_SNAPPY = 2,
	COMPRESSION_LZ4 = 3,
	COMPRESSION_ZSTD = 4,
};

#define COMPRESSION_COUNT 5

/* Kafka's name ("none", "gzip"…); NULL for a codec that doesn't exist. */
const char *compression_name(int compression);

/* The levels that compression.{gzip,lz4,zstd}.level take, and what Kafka takes without one. Snappy
 * and none ignore it. */
struct compression_levels {
	int min, max, standard;
};
struct compression_levels compression_levels(enum compression compression);

struct compress_context;

/* NULL without memory. */
struct compress_context *compress_context_new(void);
void compress_context_free(struct compress_context *context);

/*
 * Starts to decompress the SIZE bytes at DATA, which stay in place until the end. MAGIC 0 accepts
 * the wrong frame checksum that lz4 message sets of magic 0 carry. At most LIMIT bytes come out;
 * the first byte beyond is BATCH_ERROR_BOMB before memory is spent on it. 0, -ENOMEM,
 * BATCH_ERROR_DECOMPRESS, or for a codec that doesn't exist BATCH_ERROR_DECOMPRESS, for one whose library
 * is not installed BATCH_ERROR_COMPRESSION.
 */
int decompress_begin(struct compress_context *context, int compression, uint8_t magic,
	const uint8_t *data, size_t size, uint64_t limit);
/*
 * The next bytes into TO: how many (1 to CAPACITY), 0 at the end, BATCH_ERROR_DECOMPRESS for bytes
 * that are no such stream or that end too early, BATCH_ERROR_BOMB, -ENOMEM. After an error or the
 * end it stays so.
 */
int64_t decompress_read(struct compress_context *context, uint8_t *to, size_t capacity);
/* Ends early or after the end; gives back working memory that is too large to keep. */
void decompress_end(struct compress_context *context);

/*
 * Starts to compress at the end of OUT at LEVEL (compression_levels). MAGIC 0 writes lz4 with the
 * wrong frame checksum its readers expect. COMPRESSION_NONE copies. 0, -ENOMEM, -ENOBUFS when OUT
 * is at its limit, BATCH_ERROR_COMPRESSION as above.
 */
int compress_begin(struct compress_context *context, enum compression compression, int level,
	uint8_t magic, struct record_buffer *out);
int compress_write(struct compress_context *context, const void *data, size_t size);
/* Writes what is pending and the end of the stream. */
int compress_end(struct compress_context *context);
