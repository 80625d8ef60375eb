#include "protocol/batch_validate.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "protocol/batch_builder.h"
#include "protocol/batch_records.h"
#include "protocol/crc32c.h"
#include "protocol/message_set.h"

#define NOW INT64_C(1700000000000)

static struct compress_context *context;
static struct record_buffer in, out;
static struct arena arena;

static void setup(void)
{
	context = compress_context_new();
	record_buffer_init(&in, 1 << 20);
	record_buffer_init(&out, 1 << 20);
	arena_init(&arena, 1 << 20);
}

static void teardown(void)
{
	record_buffer_done(&in);
	record_buffer_done(&out);
	arena_done(&arena);
	compress_context_free(context);
}

TestSuite(batch_validate, .init = setup, .fini = teardown);

static struct batch_rules rules_usual(void)
{
	return (struct batch_rules){
		.now_ms = NOW,
		.timestamp_before_max_ms = INT64_MAX,
		.timestamp_after_max_ms = 3600000,
		.decompressed_limit = 1 << 24,
		.timestamp_type = TIMESTAMP_CREATE,
		.batch_size_max = 1 << 20,
		.compression = COMPRESSION_PRODUCER,
		.produce_version = 9,
	};
}

static struct bytes text(const char *from)
{
	return (struct bytes){.data = (const uint8_t *)from, .size = (int32_t)strlen(from)};
}

/* Three records at NOW+0, +2, +1 into IN. */
static uint8_t *batch_usual(const struct batch_options *options)
{
	static const int later_ms[] = {0, 2, 1};
	struct batch_builder builder;
	size_t start = in.size;

	cr_assert_eq(batch_builder_begin(&builder, options, context, &in), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(batch_builder_append(&builder, options->base_offset + i,
				     NOW + later_ms[i], text("key"), text("value"), NULL, 0),
			0);
	cr_assert_eq(batch_builder_end(&builder), 0);
	return in.data + start;
}

static void crc_update(uint8_t *batch)
{
	size_t size = load_be32(batch + BATCH_LENGTH) + BATCH_OVERHEAD;

	store_be32(batch + BATCH_CRC, crc32c(0, batch + BATCH_ATTRIBUTES, size - BATCH_ATTRIBUTES));
}

static struct batch_verdict validate(const struct batch_rules *rules)
{
	struct batch_verdict verdict;

	batch_validate(context, rules, in.data, in.size, &arena, &verdict);
	return verdict;
}

/* A good batch of every codec passes, is assigned in place, and keeps a right checksum. */
Test(batch_validate, accepts_and_assigns_in_place)
{
	for (int codec = 0; codec < COMPRESSION_COUNT; codec++)
		for (int type = TIMESTAMP_CREATE; type <= TIMESTAMP_LOG_APPEND; type++) {
			struct batch_options options = BATCH_OPTIONS_DEFAULT;
			struct batch_rules rules = rules_usual();
			struct batch_verdict verdict;
			struct batch_header header;

			options.compression = codec;
			options.level = compression_levels(codec).standard;
			rules.timestamp_type = type;
			in.size = 0;
			batch_usual(&options);
			verdict = validate(&rules);
			cr_assert_eq(verdict.error, 0);
			cr_assert_not(verdict.rebuild);
			cr_assert_eq(verdict.record_count, 3);
			cr_assert_eq(
				verdict.max_timestamp, type == TIMESTAMP_CREATE ? NOW + 2 : NOW);
			cr_assert_eq(verdict.max_timestamp_index, 1);
			batch_assign(&rules, &verdict, in.data, 500, 7);
			cr_assert_eq(batch_next(in.data, in.size, &header), in.size);
			cr_assert_eq(batch_check(in.data, &header), 0);
			cr_assert_eq(header.base_offset, 500);
			cr_assert_eq(header.last_offset, 502);
			cr_assert_eq(header.partition_leader_epoch, 7);
			cr_assert_eq(header.max_timestamp, verdict.max_timestamp);
			cr_assert_eq(batch_timestamp_type(&header), type);
		}
}

/* A wrong max timestamp in the header is put right from the records. */
Test(batch_validate, corrects_the_max_timestamp)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct batch_rules rules = rules_usual();
	struct batch_verdict verdict;
	struct batch_header header;
	uint8_t *batch = batch_usual(&options);

	store_be64(batch + BATCH_MAX_TIMESTAMP, 12345);
	crc_update(batch);
	verdict = validate(&rules);
	cr_assert_eq(verdict.error, 0);
	batch_assign(&rules, &verdict, in.data, 0, 0);
	cr_assert_gt(batch_next(in.data, in.size, &header), 0);
	cr_assert_eq(header.max_timestamp, NOW + 2);
	cr_assert_eq(batch_check(in.data, &header), 0);
}

/* Header fields changed one at a time (with a right checksum): the error that Kafka gives. */
Test(batch_validate, refuses_wrong_headers)
{
	static const struct {
		const char *what;
		int field, size;
		int64_t value;
		int error;
		bool internal_passes;
	} cases[] = {
		{"base offset", BATCH_BASE_OFFSET, 8, 1, BATCH_ERROR_INVALID, true},
		{"last offset delta low", BATCH_LAST_OFFSET_DELTA, 4, 1, BATCH_ERROR_INVALID, true},
		{"last offset delta negative", BATCH_LAST_OFFSET_DELTA, 4, -1, BATCH_ERROR_INVALID,
			true},
		{"last offset delta high", BATCH_LAST_OFFSET_DELTA, 4, 3, BATCH_ERROR_INVALID,
			true},
		{"record count", BATCH_RECORD_COUNT, 4, 2, BATCH_ERROR_INVALID, false},
		{"no record count", BATCH_RECORD_COUNT, 4, 0, BATCH_ERROR_INVALID, true},
		{"negative record count", BATCH_RECORD_COUNT, 4, -1, BATCH_ERROR_INVALID, false},
		{"control", BATCH_ATTRIBUTES, 2, BATCH_CONTROL, BATCH_ERROR_INVALID, true},
		{"unknown codec", BATCH_ATTRIBUTES, 2, 5, BATCH_ERROR_DECOMPRESS, false},
		{"not that codec", BATCH_ATTRIBUTES, 2, COMPRESSION_LZ4, BATCH_ERROR_DECOMPRESS,
			false},
		{"producer id without sequence", BATCH_PRODUCER_ID, 8, 5, BATCH_ERROR_INVALID,
			true},
		{"magic of the future", BATCH_MAGIC, 1, 3, BATCH_ERROR_CORRUPT, false},
		{"length below the header", BATCH_LENGTH, 4, 20, BATCH_ERROR_CORRUPT, false},
		{"negative length", BATCH_LENGTH, 4, -1, BATCH_ERROR_CORRUPT, false},
	};

	for (size_t i = 0; i < array_length(cases); i++) {
		struct batch_options options = BATCH_OPTIONS_DEFAULT;
		struct batch_rules rules = rules_usual();
		uint8_t *batch;

		in.size = 0;
		batch = batch_usual(&options);
		if (cases[i].size == 8)
			store_be64(batch + cases[i].field, (uint64_t)cases[i].value);
		else if (cases[i].size == 4)
			store_be32(batch + cases[i].field, (uint32_t)cases[i].value);
		else if (cases[i].size == 2)
			store_be16(batch + cases[i].field, (uint16_t)cases[i].value);
		else
			batch[cases[i].field] = (uint8_t)cases[i].value;
		if (cases[i].field != BATCH_LENGTH)
			crc_update(batch);
		cr_assert_eq(validate(&rules).error, cases[i].error, "%s", cases[i].what);
		rules.origin = BATCH_ORIGIN_COORDINATOR;
		cr_assert_eq(validate(&rules).error == 0, cases[i].internal_passes, "%s internally",
			cases[i].what);
	}
}

/* The checks in the order that decides which error wins. */
Test(batch_validate, refuses_what_the_version_or_the_topic_forbids)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct batch_rules rules = rules_usual();
	struct batch_header header;

	/* Nothing, or only a piece, is an error from version 3 and nothing to do before. */
	cr_assert_eq(validate(&rules).error, BATCH_ERROR_INVALID);
	batch_usual(&options);
	in.size--;
	cr_assert_eq(validate(&rules).error, BATCH_ERROR_INVALID);
	rules.produce_version = 2;
	cr_assert_eq(validate(&rules).error, 0);
	cr_assert_eq(validate(&rules).batch_count, 0);
	in.size = 0;

	/* Two batches; a piece behind a whole one is ignored. */
	rules = rules_usual();
	batch_usual(&options);
	batch_usual(&options);
	cr_assert_eq(validate(&rules).error, BATCH_ERROR_INVALID);
	rules.produce_version = 2;
	cr_assert_eq(validate(&rules).error, BATCH_ERROR_INVALID);
	in.size--;
	rules = rules_usual();
	cr_assert_eq(validate(&rules).error, 0);
	cr_assert_gt(batch_next(in.data, in.size, &header), 0);
	cr_assert_eq(validate(&rules).valid_size, (size_t)header.size);
	in.size = header.size;

	/* Size before checksum, checksum before content. */
	in.data[in.size - 1] ^= 1;
	cr_assert_eq(validate(&rules).error, BATCH_ERROR_CORRUPT);
	rules.batch_size_max = header.size - 1;
	cr_assert_eq(validate(&rules).error, BATCH_ERROR_TOO_LARGE);

	/* zstd from version 7, magic 2 from version 3. */
	in.size = 0;
	options.compression = COMPRESSION_ZSTD;
	options.level = 3;
	batch_usual(&options);
	rules = rules_usual();
	rules.produce_version = 6;
	cr_assert_eq(validate(&rules).error, BATCH_ERROR_COMPRESSION);
	rules.produce_version = 7;
	cr_assert_eq(validate(&rules).error, 0);
	in.size = 0;
	cr_assert_eq(message_write(&in, 1, 0, 0, NOW, text("k"), text("v")), 0);
	cr_assert_eq(validate(&rules).error, BATCH_ERROR_INVALID);
	rules.produce_version = 2;
	cr_assert_eq(validate(&rules).error, 0);
}

/* Records without key on a compacted topic, and out of the time range: which ones, and Kafka's
 * words. */
Test(batch_validate, names_the_records_to_blame)
{
	for (int codec = 0; codec <= COMPRESSION_ZSTD; codec += COMPRESSION_ZSTD) {
		struct batch_options options = BATCH_OPTIONS_DEFAULT;
		struct batch_rules rules = rules_usual();
		struct batch_builder builder;
		struct batch_verdict verdict;

		rules.compacted = true;
		rules.timestamp_before_max_ms = 1000;
		options.compression = codec;
		options.level = 3;
		in.size = 0;
		cr_assert_eq(batch_builder_begin(&builder, &options, context, &in), 0);
		for (int i = 0; i < 20; i++)
			cr_assert_eq(batch_builder_append(&builder, i, NOW,
					     i % 2 ? BYTES_NULL : text("key"), text("v"), NULL, 0),
				0);
		cr_assert_eq(batch_builder_end(&builder), 0);
		verdict = validate(&rules);
		cr_assert_eq(verdict.error, BATCH_ERROR_INVALID);
		cr_assert_eq(batch_error_code(verdict.error), 87);
		cr_assert_eq(verdict.record_error_count, 10);
		cr_assert_eq(verdict.record_error_listed, 10);
		cr_assert_eq(verdict.record_errors[9].index, 19);
		cr_assert(str_equal(batch_record_error_text(
					    &rules, &verdict.record_errors[0], STR("t"), 4, &arena),
			STR("Compacted topic cannot accept message without key in topic "
			    "partition t-4")));
		cr_assert(str_equal(batch_verdict_text(&rules, &verdict, STR("t"), 4, &arena),
			STR("One or more records have been rejected due to 10 record errors in "
			    "total, and only showing the first three errors at most: "
			    "[RecordError(batchIndex=1, message='Compacted topic cannot accept "
			    "message without key in topic partition t-4'), "
			    "RecordError(batchIndex=3, message='Compacted topic cannot accept "
			    "message without key in topic partition t-4'), "
			    "RecordError(batchIndex=5, message='Compacted topic cannot accept "
			    "message without key in topic partition t-4')]")));

		in.size = 0;
		cr_assert_eq(batch_builder_begin(&builder, &options, context, &in), 0);
		for (int i = 0; i < 4; i++)
			cr_assert_eq(batch_builder_append(&builder, i, NOW - 998 - i, text("key"),
					     text("v"), NULL, 0),
				0);
		cr_assert_eq(batch_builder_end(&builder), 0);
		verdict = validate(&rules);
		cr_assert_eq(verdict.error, BATCH_ERROR_TIMESTAMP);
		cr_assert_eq(verdict.record_error_count, 1);
		cr_assert_eq(verdict.record_errors[0].index, 3);
		cr_assert(str_equal(batch_record_error_text(
					    &rules, &verdict.record_errors[0], STR("t"), 4, &arena),
			STR("Timestamp 1699999998999 of message with offset 3 is out of range. The "
			    "timestamp should be within [1699999999000, 1700003600000]")));
	}
}

/* Too far ahead of the broker's clock by one millisecond; at the limit it passes. */
Test(batch_validate, refuses_records_from_the_future)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct batch_rules rules = rules_usual();

	batch_usual(&options);
	rules.timestamp_after_max_ms = 2;
	cr_assert_eq(validate(&rules).error, 0);
	rules.timestamp_after_max_ms = 1;
	cr_assert_eq(validate(&rules).error, BATCH_ERROR_TIMESTAMP);
	rules.timestamp_type = TIMESTAMP_LOG_APPEND;
	cr_assert_eq(validate(&rules).error, 0);
}

/* The wrapper's checksum is right, that of a message inside is not. */
Test(batch_validate, checks_the_checksums_inside_a_compressed_set)
{
	struct batch_rules rules = rules_usual();
	struct bytes packed;

	rules.produce_version = 2;
	for (int flip = 0; flip < 2; flip++) {
		in.size = out.size = 0;
		cr_assert_eq(message_write(&in, 1, 0, 0, NOW, text("key"), text("value")), 0);
		in.data[in.size - 1] ^= (uint8_t)flip;
		cr_assert_eq(compress_begin(context, COMPRESSION_GZIP, 1, 1, &out), 0);
		cr_assert_eq(compress_write(context, in.data, in.size), 0);
		cr_assert_eq(compress_end(context), 0);
		packed = (struct bytes){.data = out.data, .size = (int32_t)out.size};
		in.size = 0;
		cr_assert_eq(
			message_write(&in, 1, COMPRESSION_GZIP, 0, NOW, BYTES_NULL, packed), 0);
		cr_assert_eq(validate(&rules).error, flip ? BATCH_ERROR_CORRUPT : 0);
	}
}

/* The topic's codec differs: decompressed, rebuilt, every record the same. */
Test(batch_validate, rebuilds_for_the_topics_codec)
{
	for (int source = 0; source < COMPRESSION_COUNT; source++)
		for (int target = 0; target < COMPRESSION_COUNT; target++) {
			struct batch_options options = BATCH_OPTIONS_DEFAULT;
			struct batch_rules rules = rules_usual();
			struct batch_verdict verdict;
			struct batch_header header;
			struct batch_records records;
			struct record record;

			options.compression = source;
			options.level = compression_levels(source).standard;
			options.producer_id = 44;
			options.producer_epoch = 2;
			options.base_sequence = 17;
			options.transactional = true;
			rules.compression = target;
			rules.compression_level = compression_levels(target).standard;
			in.size = out.size = 0;
			batch_usual(&options);
			verdict = validate(&rules);
			cr_assert_eq(verdict.error, 0);
			cr_assert_eq(verdict.rebuild, source != target);
			if (!verdict.rebuild)
				continue;
			cr_assert_eq(
				batch_rebuild(context, &rules, &verdict, in.data, 900, 3, &out), 0);
			cr_assert_eq(batch_next(out.data, out.size, &header), out.size);
			cr_assert_eq(batch_check(out.data, &header), 0);
			cr_assert_eq(batch_compression(&header), target);
			cr_assert_eq(header.base_offset, 900);
			cr_assert_eq(header.last_offset, 902);
			cr_assert_eq(header.producer_id, 44);
			cr_assert_eq(header.base_sequence, 17);
			cr_assert(batch_is_transactional(&header));
			cr_assert_eq(header.max_timestamp, NOW + 2);
			cr_assert_eq(batch_records_begin(&records, context, out.data, &header,
					     BATCH_RECORDS_WHOLE, 100000),
				0);
			for (int i = 0; i < 3; i++) {
				cr_assert_eq(batch_records_next(&records, &record), 1);
				cr_assert_eq(record.offset, 900 + i);
				cr_assert_eq(memcmp(record.value.data, "value", 5), 0);
			}
			cr_assert_eq(batch_records_next(&records, &record), 0);
			batch_records_end(&records);

			rules.batch_size_max = (int32_t)out.size - 1;
			out.size = 0;
			cr_assert_eq(
				batch_rebuild(context, &rules, &verdict, in.data, 900, 3, &out),
				BATCH_ERROR_TOO_LARGE);
			cr_assert_eq(out.size, 0);
		}
}

/* Messages of magic 0 and 1, plain and in wrappers, become one batch v2; the way back gives the
 * same messages. */
Test(batch_validate, converts_message_sets_up_and_down)
{
	for (uint8_t magic = 0; magic <= 1; magic++)
		for (int codec = 0; codec < COMPRESSION_ZSTD; codec++) {
			struct batch_options options = BATCH_OPTIONS_DEFAULT;
			struct batch_rules rules = rules_usual();
			struct batch_verdict verdict;
			struct batch_header header;
			size_t converted;

			options.compression = codec;
			options.level = compression_levels(codec).standard;
			in.size = out.size = 0;
			batch_usual(&options);
			cr_assert_eq(message_set_down_convert(context, in.data, in.size, magic, 0,
					     1 << 20, &out, &converted),
				0);
			cr_assert_eq(converted, in.size);
			in.size = 0;
			cr_assert_eq(record_buffer_append(&in, out.data, out.size), 0);

			rules.produce_version = magic + 1;
			verdict = validate(&rules);
			cr_assert_eq(verdict.error, 0, "magic %d %s: %d", magic,
				compression_name(codec), verdict.error);
			cr_assert(verdict.rebuild);
			cr_assert_eq(verdict.record_count, 3);
			cr_assert_eq(verdict.batch_count, codec ? 1 : 3);
			cr_assert_eq(verdict.max_timestamp, magic ? NOW + 2 : NO_TIMESTAMP);
			out.size = 0;
			cr_assert_eq(
				batch_rebuild(context, &rules, &verdict, in.data, 0, 3, &out), 0);
			cr_assert_eq(batch_next(out.data, out.size, &header), out.size);
			cr_assert_eq(header.record_count, 3);
			cr_assert_eq(batch_compression(&header), codec);
			cr_assert_eq(header.max_timestamp, verdict.max_timestamp);

			/* A changed byte in a plain or inner message is found by its checksum. */
			in.data[in.size - 1] ^= 1;
			cr_assert_eq(validate(&rules).error, BATCH_ERROR_CORRUPT);
		}
}

/* Offsets inside a compressed batch that don't count up are refused, unless the topic's codec asks
 * for a rebuild anyway. */
Test(batch_validate, refuses_or_repairs_inner_offsets)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct batch_rules rules = rules_usual();
	struct batch_builder builder;
	struct batch_verdict verdict;
	struct batch_header header;
	uint8_t *batch;

	options.compression = COMPRESSION_GZIP;
	options.level = 1;
	cr_assert_eq(batch_builder_begin(&builder, &options, context, &in), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(
			batch_builder_append(&builder, 10 * i, NOW, text("k"), text("v"), NULL, 0),
			0);
	cr_assert_eq(batch_builder_end(&builder), 0);
	batch = in.data;
	store_be32(batch + BATCH_LAST_OFFSET_DELTA, 2);
	crc_update(batch);
	verdict = validate(&rules);
	cr_assert_eq(verdict.error, BATCH_ERROR_UNEXPECTED);
	rules.compression = COMPRESSION_NONE;
	verdict = validate(&rules);
	cr_assert_eq(verdict.error, 0);
	cr_assert(verdict.rebuild);
	cr_assert_eq(batch_rebuild(context, &rules, &verdict, in.data, 70, 0, &out), 0);
	cr_assert_gt(batch_next(out.data, out.size, &header), 0);
	cr_assert_eq(header.base_offset, 70);
	cr_assert_eq(header.last_offset, 72);
}

/* Down-conversion leaves out control batches, refuses zstd, and stops before a batch that does not
 * fit. */
Test(batch_validate, down_conversion_keeps_its_limits)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct record_buffer small;
	struct batch_header header;
	size_t converted, first_size;

	batch_usual(&options);
	first_size = in.size;
	options.control = true;
	batch_usual(&options);
	options.control = false;
	options.base_offset = 6;
	batch_usual(&options);
	cr_assert_eq(message_set_down_convert(
			     context, in.data, in.size, 1, 1, 1 << 20, &out, &converted),
		0);
	cr_assert_eq(converted, in.size);
	/* Two of the first batch (offset 0 is below the first asked for) and three of the last. */
	cr_assert_eq(out.size, 5 * (MESSAGE_OVERHEAD_V1 + 8));
	cr_assert_gt(batch_next(out.data, out.size, &header), 0);
	cr_assert_eq(header.last_offset, 1);

	record_buffer_init(&small, 3 * (MESSAGE_OVERHEAD_V1 + 8));
	cr_assert_eq(message_set_down_convert(
			     context, in.data, in.size, 1, 0, 1 << 20, &small, &converted),
		0);
	cr_assert_eq(converted, 2 * first_size);
	record_buffer_done(&small);
	record_buffer_init(&small, 3 * (MESSAGE_OVERHEAD_V1 + 8) - 1);
	cr_assert_eq(message_set_down_convert(
			     context, in.data, in.size, 1, 0, 1 << 20, &small, &converted),
		-ENOBUFS);
	cr_assert_eq(small.size, 0);
	record_buffer_done(&small);

	in.size = 0;
	options.compression = COMPRESSION_ZSTD;
	options.level = 3;
	batch_usual(&options);
	cr_assert_eq(message_set_down_convert(
			     context, in.data, in.size, 1, 0, 1 << 20, &out, &converted),
		BATCH_ERROR_COMPRESSION);
}
