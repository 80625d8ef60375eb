#include "protocol/batch_builder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "protocol/batch_records.h"
#include "protocol/crc32c.h"

static uint32_t seed;

static uint32_t random_below(uint32_t bound)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)seed * bound) >> 32);
}

static struct bytes random_bytes(uint8_t *room, uint32_t size_max)
{
	int32_t size = (int32_t)random_below(size_max + 2) - 1;

	for (int32_t i = 0; i < size; i++)
		room[i] = (uint8_t) "abcd"[random_below(4)];
	return (struct bytes){.data = size < 0 ? NULL : room, .size = size};
}

/* Appends record INDEX of the sequence that SEED begins, or (without a builder) compares it with
 * RECORD. */
static void record_step(struct batch_builder *builder, const struct record *record, int64_t offset,
	uint32_t value_size_max)
{
	static uint8_t key_room[64], value_room[200000], header_room[3][64];
	struct record_header headers[3];
	int32_t header_count = (int32_t)random_below(4), position = 0;
	int64_t timestamp = 1700000000000 + random_below(5000);
	struct bytes key = random_bytes(key_room, 60), value;

	value = random_bytes(value_room, value_size_max);
	for (int32_t i = 0; i < header_count; i++) {
		headers[i].key = STR("header");
		headers[i].value = random_bytes(header_room[i], 50);
	}
	if (builder) {
		cr_assert_eq(batch_builder_append(
				     builder, offset, timestamp, key, value, headers, header_count),
			0);
		return;
	}
	cr_assert_eq(record->offset, offset);
	cr_assert_eq(record->timestamp, timestamp);
	cr_assert_eq(record->key.size, key.size);
	cr_assert_eq(record->value.size, value.size);
	cr_assert_eq(record->header_count, header_count);
	if (key.size > 0 && record->key.data)
		cr_assert_eq(memcmp(record->key.data, key.data, (size_t)key.size), 0);
	if (value.size > 0 && record->value.data)
		cr_assert_eq(memcmp(record->value.data, value.data, (size_t)value.size), 0);
	for (int32_t i = 0; record->header_bytes.data && i < header_count; i++) {
		struct record_header header;

		cr_assert_eq(record_header_next(record, &position, &header), 0);
		cr_assert(str_equal(header.key, headers[i].key));
		cr_assert_eq(header.value.size, headers[i].value.size);
	}
}

/* Random records, some larger than the window, through every codec; read whole and skimmed, every
 * field compared. */
Test(batch_builder, records_come_back_through_every_codec)
{
	static const uint32_t sizes[] = {10, 1000, 150000};
	struct compress_context *context = compress_context_new();
	struct record_buffer buffer;

	record_buffer_init(&buffer, 16 << 20);
	for (int codec = 0; codec < COMPRESSION_COUNT; codec++)
		for (size_t s = 0; s < array_length(sizes); s++) {
			struct batch_options options = BATCH_OPTIONS_DEFAULT;
			struct batch_builder builder;
			struct batch_header header;
			int count = 30;

			options.base_offset = 1000;
			options.compression = codec;
			options.level = compression_levels(codec).standard;
			buffer.size = 0;
			cr_assert_eq(batch_builder_begin(&builder, &options, context, &buffer), 0);
			seed = 5;
			for (int i = 0; i < count; i++)
				record_step(&builder, NULL, 1000 + i, sizes[s]);
			cr_assert_eq(batch_builder_end(&builder), 0);
			cr_assert_eq(batch_next(buffer.data, buffer.size, &header), buffer.size);
			cr_assert_eq(batch_check(buffer.data, &header), 0);
			cr_assert_eq(header.record_count, count);
			cr_assert_eq(header.last_offset, 1000 + count - 1);

			for (int mode = BATCH_RECORDS_WHOLE; mode <= BATCH_RECORDS_SKIM; mode++) {
				struct batch_records records;
				struct record record;
				int result, read = 0;

				cr_assert_eq(batch_records_begin(&records, context, buffer.data,
						     &header, mode, UINT64_MAX),
					0);
				seed = 5;
				while ((result = batch_records_next(&records, &record)) > 0) {
					record_step(NULL, &record, 1000 + read, sizes[s]);
					read++;
				}
				cr_assert_eq(result, 0, "%s: %d", compression_name(codec), result);
				cr_assert_eq(read, count);
				batch_records_end(&records);
			}
		}
	record_buffer_done(&buffer);
	compress_context_free(context);
}

static void batch_of(struct record_buffer *buffer, struct compress_context *context, int codec,
	int count, uint32_t value_size)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct batch_builder builder;

	options.compression = codec;
	options.level = compression_levels(codec).standard;
	buffer->size = 0;
	cr_assert_eq(batch_builder_begin(&builder, &options, context, buffer), 0);
	seed = 9;
	for (int i = 0; i < count; i++)
		record_step(&builder, NULL, i, value_size);
	cr_assert_eq(batch_builder_end(&builder), 0);
}

static int read_through(struct compress_context *context, const struct record_buffer *buffer,
	enum batch_records_mode mode, uint64_t limit)
{
	struct batch_records records;
	struct batch_header header;
	struct record record;
	int result;

	cr_assert_gt(batch_next(buffer->data, buffer->size, &header), 0);
	result = batch_records_begin(&records, context, buffer->data, &header, mode, limit);
	if (result)
		return result;
	while ((result = batch_records_next(&records, &record)) > 0)
		;
	batch_records_end(&records);
	return result;
}

/* A header that claims one record more or less than there are, or a negative number, is found in
 * both modes. */
Test(batch_builder, readers_doubt_the_record_count)
{
	static const int32_t lies[] = {1, 9, 11, INT32_MAX, -1, INT32_MIN};
	struct compress_context *context = compress_context_new();
	struct record_buffer buffer;

	record_buffer_init(&buffer, 1 << 20);
	for (int codec = 0; codec < COMPRESSION_COUNT; codec++)
		for (size_t i = 0; i < array_length(lies); i++)
			for (int mode = BATCH_RECORDS_WHOLE; mode <= BATCH_RECORDS_SKIM; mode++) {
				batch_of(&buffer, context, codec, 10, 100);
				cr_assert_eq(read_through(context, &buffer, mode, UINT64_MAX), 0);
				store_be32(buffer.data + BATCH_RECORD_COUNT, (uint32_t)lies[i]);
				cr_assert_eq(read_through(context, &buffer, mode, UINT64_MAX),
					BATCH_ERROR_INVALID, "%s %d", compression_name(codec),
					lies[i]);
			}
	record_buffer_done(&buffer);
	compress_context_free(context);
}

/* Any changed byte of the records ends in an error or in records, never in a fault; both modes
 * agree on which. */
Test(batch_builder, readers_survive_any_changed_byte)
{
	struct compress_context *context = compress_context_new();
	struct record_buffer buffer;

	record_buffer_init(&buffer, 1 << 20);
	for (int codec = 0; codec < COMPRESSION_COUNT; codec++) {
		batch_of(&buffer, context, codec, 5, 50);
		for (size_t i = BATCH_HEADER_SIZE; i < buffer.size; i++)
			for (int value = 0; value < 256; value += 17) {
				uint8_t before = buffer.data[i];
				int whole, skimmed;

				buffer.data[i] = (uint8_t)value;
				whole = read_through(context, &buffer, BATCH_RECORDS_WHOLE, 100000);
				skimmed =
					read_through(context, &buffer, BATCH_RECORDS_SKIM, 100000);
				cr_assert_eq(whole < 0, skimmed < 0);
				buffer.data[i] = before;
			}
	}
	record_buffer_done(&buffer);
	compress_context_free(context);
}

/* One record of 150 kB behind a limit of 100 kB. */
Test(batch_builder, readers_stop_at_the_limit)
{
	struct compress_context *context = compress_context_new();
	struct record_buffer buffer;

	record_buffer_init(&buffer, 1 << 24);
	for (int codec = 1; codec < COMPRESSION_COUNT; codec++) {
		batch_of(&buffer, context, codec, 20, 150000);
		cr_assert_eq(read_through(context, &buffer, BATCH_RECORDS_WHOLE, 100000),
			BATCH_ERROR_BOMB);
		cr_assert_eq(read_through(context, &buffer, BATCH_RECORDS_SKIM, 100000),
			BATCH_ERROR_BOMB);
	}
	record_buffer_done(&buffer);
	compress_context_free(context);
}

/* Every flag and number of the options stands in the header; the batch without records is no batch.
 */
Test(batch_builder, writes_the_options)
{
	struct batch_options options = {
		.base_offset = 77,
		.producer_id = 123456789012,
		.producer_epoch = 4,
		.base_sequence = 99,
		.partition_leader_epoch = 6,
		.timestamp_type = TIMESTAMP_LOG_APPEND,
		.log_append_time_ms = 5000,
		.delete_horizon_ms = 4000,
		.transactional = true,
		.control = true,
	};
	struct batch_builder builder;
	struct batch_header header;
	struct record_buffer buffer;
	uint8_t empty[BATCH_HEADER_SIZE];

	record_buffer_init(&buffer, 1000);
	cr_assert_eq(batch_builder_begin(&builder, &options, NULL, &buffer), 0);
	cr_assert_eq(batch_builder_end(&builder), 0);
	cr_assert_eq(buffer.size, 0);

	cr_assert_eq(batch_builder_begin(&builder, &options, NULL, &buffer), 0);
	cr_assert_eq(batch_builder_append(&builder, 80, 4100, BYTES_NULL, BYTES_NULL, NULL, 0), 0);
	batch_builder_last_offset_override(&builder, 90);
	cr_assert_eq(batch_builder_end(&builder), 0);
	cr_assert_eq(batch_next(buffer.data, buffer.size, &header), buffer.size);
	cr_assert_eq(batch_check(buffer.data, &header), 0);
	cr_assert_eq(header.base_offset, 77);
	cr_assert_eq(header.last_offset, 90);
	cr_assert_eq(header.producer_id, 123456789012);
	cr_assert_eq(header.producer_epoch, 4);
	cr_assert_eq(header.base_sequence, 99);
	cr_assert_eq(header.partition_leader_epoch, 6);
	cr_assert_eq(header.max_timestamp, 5000);
	cr_assert_eq(batch_delete_horizon_ms(&header), 4000);
	cr_assert_eq(header.attributes, 0x78);

	record_buffer_done(&buffer);
	record_buffer_init_lent(&buffer, empty, sizeof(empty));
	cr_assert_eq(batch_empty_write(&buffer, &header), 0);
	cr_assert_eq(batch_next(buffer.data, buffer.size, &header), BATCH_HEADER_SIZE);
	cr_assert_eq(batch_check(buffer.data, &header), 0);
	cr_assert_eq(header.last_offset, 90);
	cr_assert_eq(header.record_count, 0);
	cr_assert_eq(header.max_timestamp, 5000);
	cr_assert_eq(header.base_timestamp, NO_TIMESTAMP);
}

/* Fills a buffer until an append fails: the batch is whole and can be ended without that record. */
Test(batch_builder, a_full_buffer_keeps_the_batch_whole)
{
	for (size_t limit = 0; limit < 300; limit++) {
		struct batch_options options = BATCH_OPTIONS_DEFAULT;
		struct batch_builder builder;
		struct batch_header header;
		struct record_buffer buffer;
		struct bytes value = {.data = (const uint8_t *)"0123456789", .size = 10};
		int count = 0, error;

		record_buffer_init(&buffer, limit);
		error = batch_builder_begin(&builder, &options, NULL, &buffer);
		if (limit < BATCH_HEADER_SIZE) {
			cr_assert_eq(error, -ENOBUFS);
			continue;
		}
		while (!batch_builder_append(&builder, count, 1, BYTES_NULL, value, NULL, 0))
			count++;
		cr_assert_eq(count, (limit - BATCH_HEADER_SIZE) / 17);
		cr_assert_eq(batch_builder_end(&builder), 0);
		if (count) {
			cr_assert_eq(batch_next(buffer.data, buffer.size, &header), buffer.size);
			cr_assert_eq(batch_check(buffer.data, &header), 0);
			cr_assert_eq(read_through(NULL, &buffer, BATCH_RECORDS_WHOLE, 0), 0);
		}
		record_buffer_done(&buffer);
	}
}

/* The offset of the first record that has the max timestamp. */
Test(batch_builder, finds_the_record_of_the_max_timestamp)
{
	static const int64_t times[] = {5, 9, 3, 9, 1};
	struct compress_context *context = compress_context_new();
	struct record_buffer buffer;

	record_buffer_init(&buffer, 10000);
	for (int codec = 0; codec < COMPRESSION_COUNT; codec++) {
		struct batch_options options = BATCH_OPTIONS_DEFAULT;
		struct batch_builder builder;
		struct batch_header header;
		int64_t offset;

		buffer.size = 0;
		options.compression = codec;
		options.level = compression_levels(codec).standard;
		options.base_offset = 40;
		cr_assert_eq(batch_builder_begin(&builder, &options, context, &buffer), 0);
		for (size_t i = 0; i < array_length(times); i++)
			cr_assert_eq(batch_builder_append(&builder, 40 + (int64_t)i, times[i],
					     BYTES_NULL, BYTES_NULL, NULL, 0),
				0);
		cr_assert_eq(batch_builder_end(&builder), 0);
		cr_assert_gt(batch_next(buffer.data, buffer.size, &header), 0);
		cr_assert_eq(
			batch_max_timestamp_offset(context, buffer.data, &header, 10000, &offset),
			1);
		cr_assert_eq(offset, 41);
	}
	record_buffer_done(&buffer);
	compress_context_free(context);
}
