/*
 * What producers send, made before the run: record batches with half of their bytes random, and
 * the Produce requests around them. Consumers use it to know how many records their bytes are.
 */
#pragma once

#include "tools/benchmark/engine.h"

/* The API versions that are spoken: the newest that name topics by their names. */
enum {
	PRODUCE_VERSION = 12,
	FETCH_VERSION = 12,
	/* Behind a batch: the tagged fields of its partition, the topic and the request, none. */
	PRODUCE_TAIL_SIZE = 3,
};
#define CLIENT_ID STR("bench")

struct batch_shape {
	size_t batch_size; /* as it is on the wire; of all batches of one shape without compression */
	size_t plain_size; /* before compression */
	int32_t records;
};

/* One batch as OPTIONS say, in fresh memory that is never freed. SEED: other bytes. */
struct bytes batch_make(const struct group_options *options, uint64_t seed, struct batch_shape *ret);

/*
 * A whole Produce request with one batch, in fresh memory that is never freed. RET_BATCH_AT gets
 * where the batch begins in it.
 */
struct bytes produce_frame_make(const struct group_options *options, int32_t partition,
	struct bytes batch, size_t *ret_batch_at);
