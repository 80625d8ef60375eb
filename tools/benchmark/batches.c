#include "tools/benchmark/batches.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "protocol/batch_builder.h"

enum {
	FRAME_BYTES_MAX = 64 << 20,
	PRODUCE_TIMEOUT_MS = 30000,
};

/* Half random, half a repeated letter, in turns of 32 bytes: what text-like codecs get out of it is
 * what they get out of much JSON. */
static void value_fill(uint8_t *value, size_t size, uint64_t *seed)
{
	for (size_t i = 0; i < size; i++) {
		*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		value[i] = i & 32 ? 'x' : (uint8_t)(*seed >> 56);
	}
}

static enum compression codec_find(const char *name)
{
	for (int codec = 0; codec < COMPRESSION_COUNT; codec++) {
		if (strcmp(compression_name(codec), name) == 0)
			return codec;
	}
	die("there is no codec %s", name);
}

struct bytes batch_make(const struct group_options *options, uint64_t seed, struct batch_shape *ret)
{
	struct batch_options batch_options = BATCH_OPTIONS_DEFAULT;
	struct compress_context *context = compress_context_new();
	struct record_buffer buffer;
	struct batch_builder builder;
	uint8_t *value = malloc((size_t)options->record_bytes + 1);
	struct timespec now;
	int64_t now_ms;
	int error;

	if (!context || !value)
		die("out of memory");
	clock_gettime(CLOCK_REALTIME, &now);
	now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	batch_options.compression = codec_find(options->codec);
	batch_options.level = compression_levels(batch_options.compression).standard;
	record_buffer_init(&buffer, FRAME_BYTES_MAX);
	error = batch_builder_begin(&builder, &batch_options, context, &buffer);
	do {
		value_fill(value, (size_t)options->record_bytes, &seed);
		if (!error)
			error = batch_builder_append(&builder, builder.record_count, now_ms, BYTES_NULL,
				(struct bytes){value, (int32_t)options->record_bytes}, NULL, 0);
	} while (!error && builder.plain_size + builder.plain_size / builder.record_count +
				   BATCH_HEADER_SIZE <= options->batch_bytes);
	*ret = (struct batch_shape){.plain_size = (size_t)builder.plain_size + BATCH_HEADER_SIZE,
		.records = builder.record_count};
	if (!error)
		error = batch_builder_end(&builder);
	if (error)
		die("a batch of %zu bytes can't be made: %d", ret->plain_size, error);
	ret->batch_size = buffer.size;
	free(value);
	compress_context_free(context);
	return (struct bytes){buffer.data, (int32_t)buffer.size};
}

struct bytes produce_frame_make(const struct group_options *options, int32_t partition,
	struct bytes batch, size_t *ret_batch_at)
{
	struct produce_request_partition_produce_data data;
	struct produce_request_topic_produce_data topic;
	struct produce_request request;
	struct output output;
	struct arena arena;
	uint8_t *frame;

	schema_init(&produce_request_partition_produce_data_schema, &data);
	data.index = partition;
	data.records.bytes = batch;
	schema_init(&produce_request_topic_produce_data_schema, &topic);
	topic.name = str_from(options->topic);
	topic.partition_data = &data;
	topic.partition_data_count = 1;
	schema_init(&produce_request_schema, &request);
	request.acks = (int16_t)options->acks;
	request.timeout_ms = PRODUCE_TIMEOUT_MS;
	request.topic_data = &topic;
	request.topic_data_count = 1;
	arena_init(&arena, FRAME_BYTES_MAX);
	output_init(&output, &arena, (size_t)batch.size + 256);
	if (frame_request_encode(&output, api_find(API_PRODUCE), PRODUCE_VERSION, partition, CLIENT_ID,
		    &request, NULL))
		die("a Produce request can't be made");
	frame = malloc(output.size);
	if (!frame)
		die("out of memory");
	memcpy(frame, output.data, output.size);
	*ret_batch_at = output.size - PRODUCE_TAIL_SIZE - (size_t)batch.size;
	ensure(memcmp(frame + *ret_batch_at, batch.data, (size_t)batch.size) == 0);
	arena_done(&arena);
	return (struct bytes){frame, (int32_t)output.size};
}
