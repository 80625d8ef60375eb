/*
 * Producers. A connection sends to partitions of its own: with no more connections than partitions,
 * connection c of C sends to c, c + C, c + 2C... in turn; with more, to c modulo the partitions.
 *
 * Without producer ids all requests are made before the run and only sent. Idempotent ones differ in
 * id and sequence: each connection has a copy for each request that may be unanswered, and writes
 * these fields and the checksum into it. Each connection owns its share of the ids and uses them in
 * turn; an id sends to one partition.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/batch.h"
#include "protocol/crc32c.h"
#include "tools/benchmark/batches.h"

enum {
	VARIANTS = 4,		  /* batches with other bytes, for each partition */
	VARIANT_BYTES = 64 << 20, /* of all frames; with more partitions there is one variant */
	RESPONSE_BYTES = 4096,
};

struct producer_id {
	int64_t id;
	int16_t epoch;
	int32_t sequence;
};

struct frame {
	struct bytes data;
	size_t batch_at;
};

struct produce_state {
	struct frame *frames; /* [partition * variants + variant] */
	uint32_t variants;
	struct batch_shape shape;
	size_t error_at; /* in a response */
	struct producer_id *ids;
};

/* A connection's copies for idempotent requests, one for each place of its ring. */
struct slots {
	struct frame *frames; /* data is writable */
};

static void receive_all(int fd, uint8_t *to, size_t size)
{
	if (recv(fd, to, size, MSG_WAITALL) != (ssize_t)size)
		die("the broker hung up");
}

/* One InitProducerId after the other, on a connection of its own. */
static void producer_ids_get(struct group *group, struct produce_state *state)
{
	const struct api_row *api = api_find(API_INIT_PRODUCER_ID);
	int fd = engine_connect(group->engine);
	const int version = 4;

	state->ids = calloc((size_t)group->options.producers, sizeof(*state->ids));
	for (int64_t i = 0; i < group->options.producers; i++) {
		struct init_producer_id_request request;
		struct init_producer_id_response response;
		struct response_header header;
		uint8_t received[RESPONSE_BYTES];
		struct output output;
		struct arena arena;
		struct bytes body;
		uint32_t size;

		arena_init(&arena, 1 << 16);
		output_init(&output, &arena, 256);
		schema_init(&init_producer_id_request_schema, &request);
		request.transactional_id = STR_NULL;
		if (frame_request_encode(&output, api, version, 1, CLIENT_ID, &request, NULL) ||
			send(fd, output.data, output.size, MSG_NOSIGNAL) != (ssize_t)output.size)
			die("InitProducerId can't be sent");
		receive_all(fd, received, FRAME_SIZE_PREFIX);
		size = load_be32(received);
		if (size > sizeof(received))
			die("InitProducerId: a response of %u bytes", size);
		receive_all(fd, received, size);
		if (frame_response_header_decode((struct bytes){received, (int32_t)size}, api, version,
			    &arena, &header, &body, NULL) ||
			schema_decode(api->response, version, body, &arena, &response, NULL, NULL))
			die("InitProducerId: no such response");
		if (response.error_code == 14 || response.error_code == 15) {
			usleep(10000); /* the coordinator is loading; ask again */
			i--;
		} else if (response.error_code) {
			die("InitProducerId: error %d", response.error_code);
		} else {
			state->ids[i] = (struct producer_id){
				.id = response.producer_id, .epoch = response.producer_epoch};
		}
		arena_done(&arena);
	}
	close(fd);
}

static void produce_setup(struct group *group)
{
	const struct group_options *options = &group->options;
	struct produce_state *state = calloc(1, sizeof(*state));
	size_t frame_count, names_size;

	if (!state || !options->topic)
		die("produce wants a topic");
	group->state = state;
	state->variants = options->partitions * VARIANTS *
					  max_of(options->batch_bytes, options->record_bytes) <=
				  VARIANT_BYTES
				  ? VARIANTS
				  : 1;
	frame_count = (size_t)options->partitions * state->variants;
	state->frames = calloc(frame_count, sizeof(*state->frames));
	for (size_t i = 0; i < frame_count; i++) {
		struct bytes batch = batch_make(options, i + 1, &state->shape);

		state->frames[i].data = produce_frame_make(options,
			(int32_t)(i / state->variants), batch, &state->frames[i].batch_at);
		free((void *)batch.data);
	}
	/* Correlation id and tags; one topic, its name; one partition, its index; the error. */
	names_size = strlen(options->topic);
	state->error_at = 4 + 1 + 1 + (names_size + 1 >= 128 ? 2 : 1) + names_size + 1 + 4;
	if (options->producers)
		producer_ids_get(group, state);
	if (options->producers && options->producers < options->connections)
		die("produce wants a producer id for each connection");
}

static uint32_t partition_next(const struct connection *connection)
{
	const struct group_options *options = &connection->group->options;
	uint32_t partitions = (uint32_t)options->partitions;
	uint32_t connections = (uint32_t)options->connections;
	uint32_t own;

	if (connections > partitions)
		return connection->index % partitions;
	own = (partitions - connection->index + connections - 1) / connections;
	return connection->index + connections * (uint32_t)(connection->asked % own);
}

/* The request of the connection's next producer id, in the slot of its ring that becomes free. */
static const struct frame *idempotent_next(
	struct connection *connection, uint32_t *ret_partition)
{
	struct group *group = connection->group;
	const struct group_options *options = &group->options;
	struct produce_state *state = group->state;
	uint64_t connections = (uint64_t)options->connections;
	/* Ids INDEX, INDEX + CONNECTIONS... are this connection's. */
	uint64_t own = ((uint64_t)options->producers - connection->index + connections - 1) / connections;
	uint64_t number = connection->index + connections * (connection->asked % own);
	struct producer_id *id = &state->ids[number];
	uint32_t partition = (uint32_t)(number % (uint64_t)options->partitions);
	const struct frame *model = &state->frames[partition * state->variants];
	struct slots *slots = connection->state;
	struct frame *slot;
	uint8_t *data, *batch;
	uint8_t fields[BATCH_RECORD_COUNT - BATCH_PRODUCER_ID];
	uint32_t difference, crc;
	size_t behind;

	if (!slots) {
		slots = connection->state = calloc(1, sizeof(*slots));
		slots->frames = calloc((size_t)options->inflight, sizeof(*slots->frames));
	}
	slot = &slots->frames[connection->asked % (uint64_t)options->inflight];
	if (!slot->data.data || own > 1) {
		if (!slot->data.data)
			slot->data.data = malloc((size_t)model->data.size + 16);
		memcpy((uint8_t *)slot->data.data, model->data.data, (size_t)model->data.size);
		slot->data.size = model->data.size;
		slot->batch_at = model->batch_at;
	}
	data = (uint8_t *)slot->data.data;
	batch = data + slot->batch_at;
	store_be64(fields, (uint64_t)id->id);
	store_be16(fields + 8, (uint16_t)id->epoch);
	store_be32(fields + 10, (uint32_t)id->sequence);
	/* The checksum covers what lies behind it; only these fields of it change. */
	behind = (size_t)slot->data.size - slot->batch_at - PRODUCE_TAIL_SIZE -
		 BATCH_RECORD_COUNT;
	difference = crc32c(0, batch + BATCH_PRODUCER_ID, sizeof(fields)) ^
		     crc32c(0, fields, sizeof(fields));
	crc = load_be32(batch + BATCH_CRC) ^ crc32c_difference_shift(difference, behind);
	store_be32(batch + BATCH_CRC, crc);
	memcpy(batch + BATCH_PRODUCER_ID, fields, sizeof(fields));
	id->sequence = (int32_t)(((uint32_t)id->sequence + (uint32_t)state->shape.records) & INT32_MAX);
	*ret_partition = partition;
	return slot;
}

static bool produce_next(struct connection *connection, uint64_t due_ns, struct request *ret)
{
	struct group *group = connection->group;
	struct produce_state *state = group->state;
	const struct frame *frame;
	uint32_t partition;

	if (group->options.producers) {
		frame = idempotent_next(connection, &partition);
	} else {
		partition = partition_next(connection);
		frame = &state->frames[partition * state->variants +
				       (connection->asked & (state->variants - 1))];
	}
	*ret = (struct request){
		.data = frame->data,
		.correlation_id = (int32_t)partition,
		.partition = partition,
		.records = state->shape.records,
		.bytes = (int64_t)state->shape.plain_size,
	};
	if (group->options.stamp) {
		/* Only this connection sends to the partition, and its own partitions take turns. */
		uint64_t number = connection->asked /
				  (((uint64_t)group->options.partitions - connection->index +
					   (uint64_t)group->options.connections - 1) /
					  (uint64_t)group->options.connections);

		group->engine->stamps[partition].due_ns[number % STAMP_COUNT] = due_ns;
	}
	return true;
}

static void produce_answer(struct connection *connection, struct pending *pending,
	struct bytes head, size_t size, uint64_t now_ns)
{
	struct produce_state *state = connection->group->state;
	int error;

	if (connection->group->options.unchecked)
		return;
	if (size < state->error_at + 2)
		die("produce: a response of %zu bytes", size);
	error = (int16_t)load_be16(head.data + state->error_at);
	if (error)
		die("produce: partition %u answered error %d", pending->request.partition, error);
}

const struct workload produce_workload = {
	.name = "produce",
	.setup = produce_setup,
	.next = produce_next,
	.answer = produce_answer,
};
