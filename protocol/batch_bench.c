/*
 * What a core does with batches: CRC32C by implementation and size, and judging, iterating,
 * building batches. Prints; nothing is asserted. Give the figures of the machine they were taken
 * on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "protocol/batch_builder.h"
#include "protocol/batch_records.h"
#include "protocol/batch_validate.h"
#include "protocol/crc32c.h"

static double seconds(void)
{
	struct timespec now;

	/* CPU time: other work on the machine shall not count. */
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void crc_bench(void)
{
	static const size_t sizes[] = {100, 1000, 16384, 1 << 20};
	static uint8_t data[1 << 20];

	for (const struct crc32c_implementation *i = crc32c_implementations(); i->name; i++)
		for (size_t s = 0; s < array_length(sizes); s++) {
			uint32_t crc = 0;
			uint64_t bytes = 0;
			double start = seconds(), elapsed;

			do {
				for (int turn = 0; turn < 100; turn++)
					crc = i->update(crc, data, sizes[s]);
				bytes += 100 * sizes[s];
				elapsed = seconds() - start;
			} while (elapsed < 0.2);
			printf("crc32c %-7s %8zu bytes: %6.2f GB/s (%08x)\n", i->name, sizes[s],
				(double)bytes / elapsed * 1e-9, crc);
		}
}

static struct compress_context *context;
static uint8_t value[100000];

static void batch_build(struct record_buffer *out, int codec, int count, int32_t value_size)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct batch_builder builder;

	options.compression = codec;
	options.level = compression_levels(codec).standard;
	out->size = 0;
	ensure(batch_builder_begin(&builder, &options, context, out) == 0);
	for (int i = 0; i < count; i++)
		ensure(batch_builder_append(&builder, i, 1700000000000 + i,
			       (struct bytes){.data = value, .size = 16},
			       (struct bytes){.data = value, .size = value_size}, NULL, 0) == 0);
	ensure(batch_builder_end(&builder) == 0);
}

static void batch_bench(int codec, int count, int32_t value_size)
{
	struct batch_rules rules = {.now_ms = 1700000000000,
		.timestamp_before_max_ms = INT64_MAX,
		.timestamp_after_max_ms = 3600000,
		.decompressed_limit = 1 << 28,
		.batch_size_max = 1 << 24,
		.compression = COMPRESSION_PRODUCER,
		.produce_version = 9};
	struct record_buffer out;
	struct batch_verdict verdict;
	uint64_t turns = 0;
	double start, elapsed;
	size_t size;

	record_buffer_init(&out, 1 << 24);
	batch_build(&out, codec, count, value_size);
	size = out.size;
	start = seconds();
	do {
		for (int turn = 0; turn < 20; turn++) {
			batch_validate(context, &rules, out.data, out.size, NULL, &verdict);
			ensure(verdict.error == 0);
		}
		turns += 20;
		elapsed = seconds() - start;
	} while (elapsed < 0.2);
	printf("%-7s %5d records of %6d bytes, batch %8zu: validate %10.0f ns, ",
		compression_name(codec), count, value_size, size, elapsed / (double)turns * 1e9);

	turns = 0;
	start = seconds();
	do {
		batch_build(&out, codec, count, value_size);
		turns++;
		elapsed = seconds() - start;
	} while (elapsed < 0.2);
	printf("build %10.0f ns\n", elapsed / (double)turns * 1e9);
	record_buffer_done(&out);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t) "abcdefghijklmnop"[i * 7 % 13];
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t) "abcdefghijklmnop"[i * 7 % 13];
	context = compress_context_new();
	ensure(context);
	crc_bench();
	for (int codec = 0; codec < COMPRESSION_COUNT; codec++) {
		batch_bench(codec, 1, 100);
		batch_bench(codec, 100, 100);
		batch_bench(codec, 1000, 1000);
	}
	compress_context_free(context);
	return 0;
}
