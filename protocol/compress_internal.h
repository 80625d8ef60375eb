/*
 * What the codecs share. Each codec has four steps for reading (begin, read, and what the context
 * frees) and three for writing; gzip and zstd stream into the caller's room, lz4 and snappy decode
 * whole blocks into the context's.
 */
#pragma once

#include <zlib.h>
#include <zstd.h>

#include "protocol/compress.h"
#include "protocol/record.h"

/* Working memory above this goes back to the system when a stream ends, so that one odd batch costs
 * nothing later. */
#define COMPRESS_KEEP_SIZE_MAX ((size_t)4 << 20)

/* A growable block of plain memory; its content is not kept when it grows. */
struct compress_block {
	uint8_t *data;
	size_t capacity;
	size_t size, position; /* decoded bytes, and how many of them were handed out */
};

struct decompress_stream {
	int compression;
	const uint8_t *next, *end; /* compressed bytes still to read */
	uint64_t left;		   /* bytes that may still come out */
	int result;		   /* 0 while it runs, 1 at the end, an error after one */

	bool zstd_frame_open;
	bool snappy_framed;
	bool lz4_block_checksum;
	size_t lz4_block_size_max;
};

struct compress_stream {
	int compression;
	int level;
	struct record_buffer *out;
	size_t pending; /* bytes in compress_context.pending_block */
	bool snappy_started;
};

struct compress_context {
	struct decompress_stream in;
	struct compress_stream out;

	z_stream inflate, deflate;
	bool inflate_ready, deflate_ready;
	int deflate_level;
	ZSTD_DCtx *zstd_in;
	ZSTD_CCtx *zstd_out;
	struct compress_block decoded;	     /* lz4, snappy: the block being read */
	struct compress_block pending_block; /* lz4, snappy: the block being written, before … */
	struct compress_block packed_block;  /* … and after compression */
	void *lz4_state, *lz4_hc_state;
	struct compress_block window; /* batch_records: decompressed bytes not yet consumed */
};

/* At least CAPACITY bytes in the block, or -ENOMEM. */
int compress_block_reserve(struct compress_block *block, size_t capacity);

/* Decode the next block into context->decoded. 0, or the end (1), or an error. */
int lz4_decompress_begin(struct compress_context *context, uint8_t magic);
int lz4_block_decode(struct compress_context *context);
int snappy_decompress_begin(struct compress_context *context);
int snappy_block_decode(struct compress_context *context);

int lz4_compress_begin(struct compress_context *context, uint8_t magic);
int lz4_compress_write(struct compress_context *context, const uint8_t *data, size_t size);
int lz4_compress_end(struct compress_context *context);
int snappy_compress_begin(struct compress_context *context);
int snappy_compress_write(struct compress_context *context, const uint8_t *data, size_t size);
int snappy_compress_end(struct compress_context *context);
