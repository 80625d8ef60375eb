/*
 * Consumers: connection c reads partition c modulo the partitions from its first offset, one request
 * at a time, as consumers do. The bytes of batches are thrown away unread; since producers of the
 * same shape wrote them, their number says which offset comes next. The partitions must be new ones
 * with nothing else in them.
 *
 * With STAMP the latency of the group is end to end: from when a batch was due at its producer
 * (produce.c, in this process) to when it arrived here.
 */
#include <stdlib.h>

#include "tools/benchmark/batches.h"

struct fetch_state {
	struct batch_shape shape;
};

struct consumer {
	struct arena arena;
	struct output output;
	int64_t offset, asked_offset;
	int32_t session_id, session_epoch;
};

/* Reads through a response; the first byte that is missing makes all that follows zero. */
struct reader {
	struct bytes data;
	int32_t at;
};

static const uint8_t *reader_take(struct reader *reader, int32_t size)
{
	static const uint8_t nothing[8];
	const uint8_t *at = reader->data.data + reader->at;

	if (size > reader->data.size - reader->at) {
		reader->at = reader->data.size;
		return nothing;
	}
	reader->at += size;
	return at;
}

static uint32_t reader_uvarint(struct reader *reader)
{
	uint32_t value = 0;

	for (int shift = 0; shift < 35; shift += 7) {
		uint8_t octet = *reader_take(reader, 1);

		value |= (uint32_t)(octet & 0x7f) << shift;
		if (!(octet & 0x80))
			break;
	}
	return value;
}

static void fetch_setup(struct group *group)
{
	struct fetch_state *state = calloc(1, sizeof(*state));
	struct bytes batch;

	if (!state || !group->options.topic)
		die("fetch wants a topic");
	if (group->options.inflight != 1)
		die("fetch has one request under way");
	batch = batch_make(&group->options, 1, &state->shape);
	free((void *)batch.data);
	group->state = state;
}

static bool fetch_next(struct connection *connection, uint64_t due_ns, struct request *ret)
{
	const struct group_options *options = &connection->group->options;
	struct consumer *consumer = connection->state;
	struct fetch_request_fetch_partition partition;
	struct fetch_request_fetch_topic topic;
	struct fetch_request request;
	bool is_incremental;

	if (!consumer) {
		consumer = connection->state = calloc(1, sizeof(*consumer));
		if (!consumer)
			die("out of memory");
		arena_init(&consumer->arena, 1 << 16);
		consumer->asked_offset = -1;
		consumer->session_epoch = options->session ? 0 : -1;
	}
	is_incremental = consumer->session_epoch > 0;
	schema_init(&fetch_request_fetch_partition_schema, &partition);
	partition.partition = (int32_t)(connection->index % options->partitions);
	partition.fetch_offset = consumer->offset;
	partition.partition_max_bytes = (int32_t)options->max_bytes;
	schema_init(&fetch_request_fetch_topic_schema, &topic);
	topic.topic = str_from(options->topic);
	topic.partitions = &partition;
	topic.partitions_count = 1;
	schema_init(&fetch_request_schema, &request);
	request.max_wait_ms = (int32_t)options->wait_ms;
	request.min_bytes = (int32_t)options->min_bytes;
	request.max_bytes = 50 << 20;
	request.session_id = consumer->session_id;
	request.session_epoch = consumer->session_epoch;
	request.topics = &topic;
	/* A session remembers what it was asked; only a new offset is said again. */
	request.topics_count = is_incremental && consumer->asked_offset == consumer->offset ? 0 : 1;
	consumer->asked_offset = consumer->offset;
	arena_reset(&consumer->arena);
	output_init(&consumer->output, &consumer->arena, 256);
	if (frame_request_encode(&consumer->output, api_find(API_FETCH), FETCH_VERSION,
		    (int32_t)(connection->asked & INT32_MAX), CLIENT_ID, &request, NULL))
		die("a Fetch request can't be made");
	*ret = (struct request){
		.data = output_bytes(&consumer->output),
		.correlation_id = (int32_t)(connection->asked & INT32_MAX),
		.partition = (uint32_t)partition.partition,
	};
	return true;
}

/* Latencies of BATCH_COUNT batches that begin at the consumer's offset. */
static void stamps_read(struct connection *connection, uint32_t partition, int64_t batch_count,
	int64_t records, uint64_t now_ns)
{
	struct group *group = connection->group;
	const struct consumer *consumer = connection->state;
	const struct engine *engine = group->engine;

	for (int64_t i = 0; i < batch_count; i++) {
		uint64_t number = (uint64_t)(consumer->offset / records + i);
		uint64_t due = engine->stamps[partition].due_ns[number % STAMP_COUNT];

		if (engine->is_measuring && due >= engine->measure_ns &&
			(!engine->is_over || due < engine->end_ns))
			histogram_add(&group->latency_ns, now_ns > due ? now_ns - due : 0);
	}
}

static void fetch_answer(struct connection *connection, struct pending *pending, struct bytes head,
	size_t size, uint64_t now_ns)
{
	struct group *group = connection->group;
	const struct fetch_state *state = group->state;
	struct consumer *consumer = connection->state;
	struct reader reader = {.data = head};
	int64_t high_watermark = 0, records_size = 0, batch_count;
	int error;

	if (group->options.unchecked) {
		pending->request.bytes = (int64_t)size;
		return;
	}
	reader_take(&reader, 4);	 /* correlation id */
	reader_take(&reader, 1);	 /* tags */
	reader_take(&reader, 4);	 /* throttle time */
	error = (int16_t)load_be16(reader_take(&reader, 2));
	if (error)
		die("fetch: error %d", error);
	consumer->session_id = (int32_t)load_be32(reader_take(&reader, 4));
	if (group->options.session && !consumer->session_id)
		die("fetch: the broker has no room for another fetch session");
	if (group->options.session)
		consumer->session_epoch++;
	if (reader_uvarint(&reader) > 1) {
		reader_take(&reader, (int32_t)reader_uvarint(&reader) - 1); /* the topic */
		reader_uvarint(&reader);				    /* partitions: one */
		reader_take(&reader, 4);				    /* its index */
		error = (int16_t)load_be16(reader_take(&reader, 2));
		if (error)
			die("fetch: partition %u answered error %d", pending->request.partition, error);
		high_watermark = (int64_t)load_be64(reader_take(&reader, 8));
		reader_take(&reader, 8 + 8);				    /* stable and first offset */
		reader_uvarint(&reader);				    /* aborted transactions: none */
		reader_take(&reader, 4);				    /* preferred replica */
		records_size = (int64_t)reader_uvarint(&reader) - 1;
		if (reader.at == reader.data.size)
			die("fetch: a response of %zu bytes is cut short", size);
	}
	if (records_size < 0 || (size_t)records_size > size)
		die("fetch: %ld bytes of records in %zu", (long)records_size, size);
	batch_count = records_size / (int64_t)state->shape.batch_size;
	if (records_size > 0 && batch_count == 0)
		die("fetch: %ld bytes are no batch of %zu", (long)records_size,
			state->shape.batch_size);
	if (group->options.stamp)
		stamps_read(connection, pending->request.partition, batch_count, state->shape.records,
			now_ns);
	pending->request.bytes = records_size;
	pending->request.records = batch_count * state->shape.records;
	consumer->offset += pending->request.records;
	if (group->options.wrap && consumer->offset >= high_watermark)
		consumer->offset = 0;
}

const struct workload fetch_workload = {
	.name = "fetch",
	.setup = fetch_setup,
	.next = fetch_next,
	.answer = fetch_answer,
	.own_latency = true,
};
