/*
 * (fiber) Walks the record batches of a range of a file, a segment of the metadata log or a
 * snapshot, in bounded memory: each batch is read whole, and checked before any of its records is
 * seen.
 */
#pragma once

#include "protocol/batch_records.h"
#include "runtime/fiber.h"

struct batch_file {
	struct shard *shard;
	struct file *file;
	uint64_t position, end; /* of the next batch; behind the last one */
	uint8_t *buffer;	/* holds the file's bytes from BUFFER_POSITION on */
	size_t buffer_size, buffer_capacity;
	uint64_t buffer_position;
};

/* The file is the caller's. */
void batch_file_init(struct batch_file *reader, struct shard *shard, struct file *file,
	uint64_t position, uint64_t end);
void batch_file_done(struct batch_file *reader);
/*
 * 1 with a batch, valid until the next call; 0 at the end, and where the last batch is cut off (the
 * caller looks at POSITION); BATCH_ERROR_CORRUPT; -ENOMEM; the errno of a read.
 */
int batch_file_next(
	struct batch_file *reader, const uint8_t **ret_data, struct batch_header *ret_header);
