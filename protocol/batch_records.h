/*
 * The records inside a batch, of any magic and codec, one by one in bounded memory: uncompressed
 * records are views into the batch, compressed ones are decompressed through a window that lives
 * in the caller's compress_context.
 *
 *	struct batch_records records;
 *	struct record record;
 *	error = batch_records_begin(&records, context, data, &header, BATCH_RECORDS_WHOLE, limit);
 *	while ((error = batch_records_next(&records, &record)) > 0)
 *		...
 *	batch_records_end(&records);
 */
#pragma once

#include "protocol/batch.h"

enum batch_records_mode {
	/* Keys, values and headers are there. Memory: up to twice the largest record, never more
	   than twice the limit. */
	BATCH_RECORDS_WHOLE,
	/*
	 * Only what validation needs: offset, timestamp, and the sizes of key and value, whose data
	 * may be NULL. Memory is the window, whatever the records' sizes. Magic 2 only; the legacy
	 * ones are given whole.
	 */
	BATCH_RECORDS_SKIM,
};

struct batch_records {
	struct compress_context *context;
	const uint8_t *data;
	struct batch_header header;
	enum batch_records_mode mode;
	bool compressed;
	bool ended; /* no more bytes will come out of the decompressor … */
	int broken; /* … because of this error, which counts once the bytes before it are used up */
	int32_t left;	     /* records of magic 2 still to come */
	int64_t legacy_base; /* what makes inner offsets of magic 1 absolute */
	uint64_t limit;
	/* Uncompressed: what is left of the batch. Compressed: what is left in the window. */
	const uint8_t *next, *end;
};

/*
 * DATA holds the whole batch that HEADER was read from and stays in place. CONTEXT may be NULL when
 * the batch is not compressed; it serves one iteration at a time. LIMIT bounds the decompressed
 * bytes. 0; BATCH_ERROR_INVALID when the batch is impossible before the first record (a negative
 * count, an empty message set, a codec that the magic doesn't have); BATCH_ERROR_CORRUPT,
 * BATCH_ERROR_DECOMPRESS, BATCH_ERROR_BOMB, -ENOMEM. After an error no _end is needed.
 */
int batch_records_begin(struct batch_records *records, struct compress_context *context,
	const uint8_t *data, const struct batch_header *header, enum batch_records_mode mode,
	uint64_t limit);
/*
 * 1 and a record, valid until the next call, with its absolute offset and its timestamp (the
 * batch's where the type is LogAppendTime); 0 at the end; errors as above, and BATCH_ERROR_INVALID
 * when the count and the bytes don't agree.
 */
int batch_records_next(struct batch_records *records, struct record *ret_record);
void batch_records_end(struct batch_records *records);
/* The encoded bytes of the record just given, record->size of them. Not for skimmed ones of
 * magic 2. */
const uint8_t *batch_records_encoded(
	const struct batch_records *records, const struct record *record);

/*
 * The first record whose timestamp is the batch's max timestamp, as ListOffsets for the max
 * timestamp wants it: 1 and its offset, 0 when there is none, errors as above.
 */
int batch_max_timestamp_offset(struct compress_context *context, const uint8_t *data,
	const struct batch_header *header, uint64_t limit, int64_t *ret_offset);
