/*
 * Any bytes as what a client produces for one partition: judged, and when good assigned or rebuilt,
 * read record by record, and converted down. The first six bytes choose the rules. Checksums are
 * put right first (unless the rules say not to), or nearly nothing would get past them; a first
 * batch that claims a codec has its records compressed with it on one choice, so that inputs need
 * not learn to compress.
 */
#include <stdlib.h>
#include <zlib.h>

#include "protocol/batch_records.h"
#include "protocol/batch_validate.h"
#include "protocol/crc32c.h"
#include "protocol/message_set.h"

enum { LIMIT = 4 << 20, CHOICES = 6 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct compress_context *context;

static void checksums_repair(uint8_t *data, size_t size)
{
	struct batch_header header;
	int64_t batch_size;

	for (; (batch_size = batch_next(data, size, &header)) > 0;
		data += batch_size, size -= (size_t)batch_size)
		if (header.magic == 2)
			store_be32(
				data + BATCH_CRC, crc32c(0, data + BATCH_ATTRIBUTES,
							  (size_t)batch_size - BATCH_ATTRIBUTES));
		else
			store_be32(data + 12, (uint32_t)crc32_z(0, data + BATCH_MAGIC,
						      (size_t)batch_size - BATCH_MAGIC));
}

/* The first batch v2 with its records compressed by the codec it claims. */
static void first_compress(struct record_buffer *input)
{
	struct record_buffer packed;
	struct batch_header header;

	if (batch_next(input->data, input->size, &header) <= 0 || header.magic != 2 ||
		!compression_name(batch_compression(&header)))
		return;
	record_buffer_init(&packed, LIMIT);
	ensure(record_buffer_append(&packed, input->data, BATCH_HEADER_SIZE) == 0);
	ensure(compress_begin(context, batch_compression(&header),
		       compression_levels(batch_compression(&header)).standard, 2, &packed) == 0);
	ensure(compress_write(context, input->data + BATCH_HEADER_SIZE,
		       (size_t)header.size - BATCH_HEADER_SIZE) == 0);
	ensure(compress_end(context) == 0);
	store_be32(packed.data + BATCH_LENGTH, (uint32_t)packed.size - BATCH_OVERHEAD);
	record_buffer_done(input);
	*input = packed;
}

/* All records, whole or skimmed; how many, or the error. */
static int64_t records_count(
	const uint8_t *data, const struct batch_header *header, enum batch_records_mode mode)
{
	struct batch_records records;
	struct record record;
	int64_t count = 0;
	int result = batch_records_begin(&records, context, data, header, mode, LIMIT);

	if (result)
		return result;
	while ((result = batch_records_next(&records, &record)) > 0) {
		int32_t position = 0;

		for (int32_t i = 0; record.header_bytes.data && i < record.header_count; i++) {
			struct record_header unused;

			ensure(record_header_next(&record, &position, &unused) == 0);
		}
		count++;
	}
	batch_records_end(&records);
	return result ? result : count;
}

static void read_everything(const uint8_t *data, size_t size)
{
	struct batch_header header;
	int64_t batch_size;

	for (; (batch_size = batch_next(data, size, &header)) > 0;
		data += batch_size, size -= (size_t)batch_size) {
		int64_t whole = records_count(data, &header, BATCH_RECORDS_WHOLE);
		int64_t skimmed = records_count(data, &header, BATCH_RECORDS_SKIM);
		int64_t offset;

		/* They may stumble over different things, but not disagree on what is good. */
		ensure(whole < 0 ? skimmed < 0 : whole == skimmed);
		batch_max_timestamp_offset(context, data, &header, LIMIT, &offset);
	}
}

/* What became a batch of the log reads well and has a right checksum. */
static void result_check(
	const struct record_buffer *batch, const struct batch_verdict *verdict, int64_t base_offset)
{
	struct batch_header header;

	if (batch->size == 0) {
		ensure(verdict->record_count == 0);
		return;
	}
	ensure(batch_next(batch->data, batch->size, &header) == (int64_t)batch->size);
	ensure(batch_check(batch->data, &header) == 0);
	ensure(header.magic == 2);
	ensure(verdict->rebuild ? header.base_offset == base_offset : true);
	ensure(header.max_timestamp == verdict->max_timestamp);
	ensure(records_count(batch->data, &header, BATCH_RECORDS_WHOLE) == verdict->record_count);
}

static void produce(const struct batch_rules *rules, const struct record_buffer *input)
{
	struct batch_verdict verdict;
	struct record_buffer out;
	struct arena arena;

	record_buffer_init(&out, LIMIT);
	arena_init(&arena, 1 << 20);
	batch_validate(context, rules, input->data, input->size, &arena, &verdict);
	for (int32_t i = 0; i < min_of(verdict.record_error_listed, 3); i++)
		batch_record_error_text(rules, &verdict.record_errors[i], STR("t"), 0, &arena);
	batch_verdict_text(rules, &verdict, STR("t"), 0, &arena);
	if (!verdict.error && verdict.batch_count) {
		const int64_t base_offset = 1000;
		int error = 0;

		if (verdict.rebuild) {
			error = batch_rebuild(
				context, rules, &verdict, input->data, base_offset, 5, &out);
			ensure(!error || out.size == 0);
		} else {
			ensure(record_buffer_append(&out, input->data, verdict.valid_size) == 0);
			batch_assign(rules, &verdict, out.data, base_offset, 5);
		}
		if (!error)
			result_check(&out, &verdict, base_offset);
	}
	arena_done(&arena);
	record_buffer_done(&out);
}

static void down_convert(const struct record_buffer *input, uint8_t magic)
{
	struct record_buffer out;
	size_t converted;

	record_buffer_init(&out, LIMIT);
	if (message_set_down_convert(
		    context, input->data, input->size, magic, 0, LIMIT, &out, &converted) == 0) {
		struct batch_header header;
		size_t position = 0;

		ensure(converted <= input->size);
		while (position < out.size) {
			int64_t size =
				batch_next(out.data + position, out.size - position, &header);

			ensure(size > 0 && header.magic <= magic);
			position += (size_t)size;
		}
	}
	record_buffer_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct batch_rules rules = {.now_ms = 1700000000000, .decompressed_limit = LIMIT};
	struct record_buffer input;

	if (size < CHOICES)
		return 0;
	if (!context)
		context = compress_context_new();
	rules.produce_version = (int16_t)(data[0] % 14) - 1;
	rules.timestamp_type = data[1] & 1;
	rules.compacted = data[1] & 2;
	rules.origin = data[1] & 4 ? BATCH_ORIGIN_COORDINATOR : BATCH_ORIGIN_CLIENT;
	rules.timestamp_before_max_ms = data[1] & 8 ? 1000 : INT64_MAX;
	rules.timestamp_after_max_ms = data[1] & 16 ? 1000 : INT64_MAX;
	rules.compression = data[2] % 6 - 1;
	rules.compression_level =
		rules.compression < 0 ? 0 : compression_levels(rules.compression).standard;
	rules.batch_size_max = data[3] & 1 ? 200 : INT32_MAX;
	record_buffer_init(&input, LIMIT);
	if (record_buffer_append(&input, data + CHOICES, size - CHOICES) == 0) {
		if (data[4] & 1)
			first_compress(&input);
		if (!(data[4] & 2))
			checksums_repair(input.data, input.size);
		produce(&rules, &input);
		read_everything(input.data, input.size);
		down_convert(&input, data[5] & 1);
	}
	record_buffer_done(&input);
	return 0;
}
