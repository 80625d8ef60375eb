#include "protocol/batch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <zlib.h>

#include "protocol/crc32c.h"

/* A batch of SIZE bytes with a right CRC; what stands in the records does not matter here. */
static void batch_fill(uint8_t *batch, int32_t size)
{
	for (int32_t i = 0; i < size; i++)
		batch[i] = (uint8_t)(i * 7);
	store_be64(batch + BATCH_BASE_OFFSET, 1000);
	store_be32(batch + BATCH_LENGTH, (uint32_t)size - BATCH_OVERHEAD);
	store_be32(batch + BATCH_PARTITION_LEADER_EPOCH, 5);
	batch[BATCH_MAGIC] = 2;
	store_be16(batch + BATCH_ATTRIBUTES, BATCH_TRANSACTIONAL | COMPRESSION_ZSTD);
	store_be32(batch + BATCH_LAST_OFFSET_DELTA, 9);
	store_be64(batch + BATCH_BASE_TIMESTAMP, 111);
	store_be64(batch + BATCH_MAX_TIMESTAMP, 222);
	store_be64(batch + BATCH_PRODUCER_ID, 77);
	store_be16(batch + BATCH_PRODUCER_EPOCH, 3);
	store_be32(batch + BATCH_BASE_SEQUENCE, INT32_MAX - 3);
	store_be32(batch + BATCH_RECORD_COUNT, 10);
	store_be32(batch + BATCH_CRC,
		crc32c(0, batch + BATCH_ATTRIBUTES, (size_t)size - BATCH_ATTRIBUTES));
}

/* Each field from its place; sequences wrap. */
Test(batch, header_gives_every_field)
{
	uint8_t batch[100];
	struct batch_header header;

	batch_fill(batch, sizeof(batch));
	cr_assert_eq(batch_header_parse(batch, BATCH_HEADER_SIZE, &header), 0);
	cr_assert_eq(header.base_offset, 1000);
	cr_assert_eq(header.last_offset, 1009);
	cr_assert_eq(header.size, 100);
	cr_assert_eq(header.partition_leader_epoch, 5);
	cr_assert_eq(header.magic, 2);
	cr_assert_eq(header.base_timestamp, 111);
	cr_assert_eq(header.max_timestamp, 222);
	cr_assert_eq(header.producer_id, 77);
	cr_assert_eq(header.producer_epoch, 3);
	cr_assert_eq(header.base_sequence, INT32_MAX - 3);
	cr_assert_eq(batch_last_sequence(&header), 5);
	cr_assert_eq(header.record_count, 10);
	cr_assert(batch_is_transactional(&header));
	cr_assert_not(batch_is_control(&header));
	cr_assert_eq(batch_compression(&header), COMPRESSION_ZSTD);
	cr_assert_eq(batch_timestamp_type(&header), TIMESTAMP_CREATE);
	cr_assert_eq(batch_delete_horizon_ms(&header), NO_TIMESTAMP);
	cr_assert_eq(batch_check(batch, &header), 0);
}

/* Three batches in a row, cut at every byte: only whole ones are given. */
Test(batch, walks_whole_batches_only)
{
	uint8_t run[100 + 61 + 200];
	struct batch_header header;

	batch_fill(run, 100);
	batch_fill(run + 100, 61);
	batch_fill(run + 161, 200);
	for (size_t end = 0; end <= sizeof(run); end++) {
		int count = 0;
		int64_t size;

		for (size_t position = 0;
			(size = batch_next(run + position, end - position, &header)) > 0;
			position += (size_t)size)
			count++;
		cr_assert_eq(size, 0);
		cr_assert_eq(count, (end >= 100) + (end >= 161) + (end >= 361));
	}
}

/* Lengths below the least of each magic, negative and overflowing ones, and magics of the future.
 */
Test(batch, refuses_impossible_headers)
{
	static const struct {
		int32_t length;
		uint8_t magic;
		int result;
	} cases[] = {
		{13, 0, BATCH_ERROR_CORRUPT},
		{14, 0, 0},
		{21, 1, BATCH_ERROR_CORRUPT},
		{22, 1, 0},
		{48, 2, BATCH_ERROR_CORRUPT},
		{49, 2, 0},
		{49, 3, BATCH_ERROR_CORRUPT},
		{49, 0xff, BATCH_ERROR_CORRUPT},
		{-1, 2, BATCH_ERROR_CORRUPT},
		{INT32_MIN, 2, BATCH_ERROR_CORRUPT},
		{INT32_MAX, 2, BATCH_ERROR_CORRUPT},
		{INT32_MAX - 12, 2, 0},
	};
	uint8_t bytes[BATCH_HEADER_SIZE];
	struct batch_header header;

	for (size_t i = 0; i < array_length(cases); i++) {
		batch_fill(bytes, sizeof(bytes));
		store_be32(bytes + BATCH_LENGTH, (uint32_t)cases[i].length);
		bytes[BATCH_MAGIC] = cases[i].magic;
		cr_assert_eq(batch_header_parse(bytes, sizeof(bytes), &header), cases[i].result,
			"case %zu", i);
		for (size_t available = 0; available < BATCH_SIZE_MIN; available++)
			cr_assert_leq(batch_header_parse(bytes, available, &header), 0);
	}
	cr_assert_eq(batch_header_parse(bytes, 11, &header), -EAGAIN);
}

/* Every single bit behind the checksum is covered; offset and leader epoch are not. */
Test(batch, check_finds_every_flipped_bit)
{
	uint8_t batch[100];
	struct batch_header header;

	batch_fill(batch, sizeof(batch));
	cr_assert_eq(batch_header_parse(batch, sizeof(batch), &header), 0);
	for (size_t bit = BATCH_ATTRIBUTES * 8; bit < sizeof(batch) * 8; bit++) {
		batch[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_eq(batch_check(batch, &header), BATCH_ERROR_CORRUPT);
		batch[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	batch_base_offset_set(batch, INT64_MAX - 9);
	batch_partition_leader_epoch_set(batch, 12345);
	cr_assert_eq(batch_header_parse(batch, sizeof(batch), &header), 0);
	cr_assert_eq(header.last_offset, INT64_MAX);
	cr_assert_eq(header.partition_leader_epoch, 12345);
	cr_assert_eq(batch_check(batch, &header), 0);
	batch_last_offset_set(batch, 50);
	cr_assert_eq(batch_header_parse(batch, sizeof(batch), &header), 0);
	cr_assert_eq(header.base_offset, 41);
}

/* Sets timestamps on batches of several sizes; the CRC is right without having been computed over
 * the records. */
Test(batch, max_timestamp_keeps_the_checksum_right)
{
	static uint8_t batch[100000];
	static const int32_t sizes[] = {61, 62, 100, 5000, 100000};
	struct batch_header header;

	for (size_t i = 0; i < array_length(sizes); i++) {
		batch_fill(batch, sizes[i]);
		batch_max_timestamp_set(batch, TIMESTAMP_LOG_APPEND, 1700000000000);
		cr_assert_eq(batch_header_parse(batch, sizeof(batch), &header), 0);
		cr_assert_eq(header.max_timestamp, 1700000000000);
		cr_assert_eq(batch_timestamp_type(&header), TIMESTAMP_LOG_APPEND);
		cr_assert(batch_is_transactional(&header));
		cr_assert_eq(batch_check(batch, &header), 0, "size %d", sizes[i]);
		batch_max_timestamp_set(batch, TIMESTAMP_CREATE, 5);
		cr_assert_eq(batch_header_parse(batch, sizeof(batch), &header), 0);
		cr_assert_eq(batch_timestamp_type(&header), TIMESTAMP_CREATE);
		cr_assert_eq(batch_check(batch, &header), 0);
	}
}

/* A message of magic 1 written by hand: same walk, same setters, the old checksum. */
Test(batch, legacy_messages_look_like_batches)
{
	uint8_t message[12 + 22 + 3] = {0};
	struct batch_header header;

	store_be64(message, 41);
	store_be32(message + 8, sizeof(message) - 12);
	message[16] = 1;
	message[17] = COMPRESSION_GZIP;
	store_be64(message + 18, 1234);
	store_be32(message + 26, (uint32_t)-1);
	store_be32(message + 30, 3);
	memcpy(message + 34, "abc", 3);
	store_be32(message + 12, (uint32_t)crc32(0, message + 16, sizeof(message) - 16));

	cr_assert_eq(batch_next(message, sizeof(message), &header), sizeof(message));
	cr_assert_eq(header.last_offset, 41);
	cr_assert_eq(header.max_timestamp, 1234);
	cr_assert_eq(header.record_count, -1);
	cr_assert_eq(header.producer_id, NO_PRODUCER_ID);
	cr_assert_eq(batch_compression(&header), COMPRESSION_GZIP);
	cr_assert_eq(batch_check(message, &header), 0);
	batch_last_offset_set(message, 99);
	batch_max_timestamp_set(message, TIMESTAMP_LOG_APPEND, 4321);
	cr_assert_eq(batch_next(message, sizeof(message), &header), sizeof(message));
	cr_assert_eq(header.last_offset, 99);
	cr_assert_eq(header.max_timestamp, 4321);
	cr_assert_eq(batch_timestamp_type(&header), TIMESTAMP_LOG_APPEND);
	cr_assert_eq(batch_check(message, &header), 0);
	message[36] ^= 1;
	cr_assert_eq(batch_check(message, &header), BATCH_ERROR_CORRUPT);
}
