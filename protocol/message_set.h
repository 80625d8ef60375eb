/*
 * Message sets: the entries of magic 0 and 1 that clients before 0.11 speak (Produce v0-v2, Fetch
 * v0-v3). An entry is
 *
 *	offset int64, size int32,
 *	crc int32 (zlib's, of what follows), magic int8, attributes int8,
 *	from magic 1 on: timestamp int64,
 *	key size int32 (-1 null), key, value size int32 (-1 null), value
 *
 * A compressed set is one entry (the wrapper) whose value is a compressed message set. Magic 0
 * has absolute offsets inside, magic 1 offsets relative to the first; the wrapper carries the
 * offset of the last.
 */
#pragma once

#include "protocol/batch.h"

/* Offset, size and the fixed fields, with both size fields and neither key nor value. */
enum {
	MESSAGE_OVERHEAD_V0 = 26,
	MESSAGE_OVERHEAD_V1 = 34,
};

/*
 * Reads one entry of magic 0 or 1 from the SIZE bytes at DATA, which must hold it whole (its size
 * field says how much that is). Its checksum is not looked at. Any magic above 0 is read as 1.
 * BATCH_ERROR_UNEXPECTED when key or value do not fit.
 */
int message_parse(const uint8_t *data, size_t size, struct record *ret_record);
/* The zlib checksum of a whole entry: 0 or BATCH_ERROR_CORRUPT. */
int message_check(const uint8_t *data, size_t size);

/* Appends one uncompressed entry. 0, -ENOBUFS, -ENOMEM. */
int message_write(struct record_buffer *out, uint8_t magic, uint8_t attributes, int64_t offset,
	int64_t timestamp, struct bytes key, struct bytes value);

/*
 * Converts the whole batches of the SIZE bytes at DATA to magic 0 or 1 behind what OUT holds, as
 * Kafka 3.9 does for old consumers: control batches and headers are dropped; batches that are old
 * enough already are copied; records of an uncompressed batch v2 below FIRST_OFFSET are dropped
 * (some clients rely on it). Stops before a batch that would pass OUT's limit.
 *
 * 0 and the bytes of DATA that were converted (a batch cut off at the end is left out); -ENOBUFS
 * when not even the first batch fits; BATCH_ERROR_COMPRESSION for zstd; errors of batch_records.
 * OUT keeps only whole converted batches.
 */
int message_set_down_convert(struct compress_context *context, const uint8_t *data, size_t size,
	uint8_t to_magic, int64_t first_offset, uint64_t decompressed_limit,
	struct record_buffer *out, size_t *ret_converted);

/*
 * What compaction leaves of a compressed batch of magic 0 or 1: a wrapper of the same codec with the records that
 * KEEP says yes to, behind what OUT holds; nothing when there are none. 0; errors of batch_records, -ENOBUFS; OUT
 * is as before then.
 */
int message_set_rewrap(struct compress_context *context, const uint8_t *data,
	const struct batch_header *header, uint64_t decompressed_limit,
	bool (*keep)(
		void *argument, const struct batch_header *header, const struct record *record),
	void *argument, struct record_buffer *out);
