#include "standin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/batch.h"
#include "protocol/errors.h"
#include "protocol/frame.h"
#include "runtime/fiber.h"
#include "runtime/socket.h"

enum { PARTITIONS = 8, REMEMBERED = 5, REQUEST_SIZE_MAX = 4 << 20, PRODUCER_COUNT = 256 };

const char *const standin_bug_names[STANDIN_BUG_COUNT] = {
	"correct",
	"ack-before-write",
	"ack-before-sync",
	"forget-sequences",
	"forget-order",
	"skip-crc",
	"reuse-offset",
	"show-unsynced",
	"reuse-producer-ids",
};

/* What is known of one producer in one partition. */
struct known_producer {
	int64_t producer_id;
	unsigned count; /* of batches remembered, the newest last */
	struct known_batch {
		int32_t base_sequence, last_sequence;
		int64_t base_offset;
	} batches[REMEMBERED];
};

struct stored_batch {
	int64_t base_offset, last_offset;
	size_t position, size;
};

struct partition {
	struct file *file;
	bool is_busy;  /* an append is under way */
	uint8_t *data; /* the file's bytes */
	size_t size, capacity;
	struct stored_batch *batches;
	size_t batch_count, batch_capacity;
	int64_t end, high_watermark;
	struct known_producer producers[PRODUCER_COUNT];
};

struct standin {
	const struct standin_options *options;
	struct shard *shard;
	struct uuid topic_id;
	int32_t partition_count; /* 0: no topic */
	int64_t next_producer_id;
	bool is_replacing; /* one of the small files: one at a time */
	struct partition partitions[PARTITIONS];
};

struct connection {
	struct standin *standin;
	struct socket *socket;
	struct fiber *fiber;
	struct socket_op op;
	bool is_done;
};

static void must(struct standin *standin, int64_t result)
{
	/* As a broker whose only log directory fails. */
	if (result < 0) {
		machine_exit(standin->shard, 1);
		for (;;)
			fiber_wait(standin->shard);
	}
}

static struct known_producer *producer_find(struct partition *partition, int64_t producer_id)
{
	for (unsigned i = 0; i < PRODUCER_COUNT; i++) {
		struct known_producer *producer = &partition->producers[i];

		if (producer->count > 0 && producer->producer_id != producer_id)
			continue;
		producer->producer_id = producer_id;
		return producer;
	}
	ensure(false);
	return NULL;
}

static void producer_note(struct partition *partition, const struct batch_header *header)
{
	struct known_producer *producer;

	if (!batch_has_producer_id(header))
		return;
	producer = producer_find(partition, header->producer_id);
	if (producer->count == REMEMBERED) {
		memmove(producer->batches, producer->batches + 1,
			(REMEMBERED - 1) * sizeof(producer->batches[0]));
		producer->count--;
	}
	producer->batches[producer->count++] = (struct known_batch){
		header->base_sequence, batch_last_sequence(header), header->base_offset};
}

static void batch_note(
	struct partition *partition, const struct batch_header *header, const uint8_t *data)
{
	if (partition->size + (size_t)header->size > partition->capacity) {
		partition->capacity =
			max_of(partition->capacity * 2, partition->size + (size_t)header->size);
		partition->data = realloc(partition->data, partition->capacity);
		ensure(partition->data);
	}
	if (partition->batch_count == partition->batch_capacity) {
		partition->batch_capacity = max_of((size_t)64, partition->batch_capacity * 2);
		partition->batches = realloc(partition->batches,
			partition->batch_capacity * sizeof(*partition->batches));
		ensure(partition->batches);
	}
	memcpy(partition->data + partition->size, data, (size_t)header->size);
	partition->batches[partition->batch_count++] = (struct stored_batch){
		header->base_offset, header->last_offset, partition->size, (size_t)header->size};
	partition->size += (size_t)header->size;
	partition->end = header->last_offset + 1;
	producer_note(partition, header);
}

static void partition_recover(struct standin *standin, int32_t index)
{
	struct partition *partition = &standin->partitions[index];
	enum standin_bug bug = standin->options->bug;
	char path[32], *data;
	struct batch_header header;
	size_t size = 0, at = 0;
	int64_t step;

	snprintf(path, sizeof(path), "data/%d.log", index);
	must(standin, fiber_open(standin->shard, path, FILE_READ | FILE_WRITE | FILE_CREATE,
			      &partition->file));
	must(standin, fiber_sync_folder(standin->shard, "data"));
	must(standin, fiber_read_whole(standin->shard, path, 1 << 30, &data, &size));
	while ((step = batch_next((uint8_t *)data + at, size - at, &header)) > 0) {
		if (header.base_offset < partition->end || header.magic != 2 ||
			(bug != STANDIN_SKIP_CRC && batch_check((uint8_t *)data + at, &header)))
			break;
		batch_note(partition, &header, (uint8_t *)data + at);
		at += (size_t)step;
	}
	free(data);
	must(standin, fiber_truncate(standin->shard, partition->file, at));
	must(standin, fiber_sync(standin->shard, partition->file));
	partition->high_watermark = partition->end;
	if (bug == STANDIN_REUSE_OFFSET && partition->batch_count > 1)
		partition->end = partition->batches[partition->batch_count - 1].base_offset;
}

/* The offset of a batch that was taken before; -1 when it is new; else *RET_CODE is not NONE. */
static int64_t sequence_check(const struct standin *standin, struct partition *partition,
	const struct batch_header *header, int16_t *ret_code)
{
	enum standin_bug bug = standin->options->bug;
	const struct known_producer *producer = producer_find(partition, header->producer_id);
	int32_t wanted = 0;

	if (bug == STANDIN_FORGET_SEQUENCES)
		return -1;
	for (unsigned i = 0; i < producer->count; i++)
		if (producer->batches[i].base_sequence == header->base_sequence)
			return producer->batches[i].base_offset;
	if (producer->count > 0)
		wanted =
			batch_sequence_add(producer->batches[producer->count - 1].last_sequence, 1);
	if (header->base_sequence != wanted && bug != STANDIN_FORGET_ORDER)
		*ret_code = KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
	return -1;
}

static void partition_append(struct standin *standin, struct partition *partition,
	struct bytes records, struct produce_response_partition_produce_response *answer)
{
	enum standin_bug bug = standin->options->bug;
	struct shard *shard = standin->shard;
	struct batch_header header;
	size_t position, size = (size_t)max_of(records.size, 0);
	uint8_t *batch;

	if (batch_next(records.data, size, &header) != records.size || header.magic != 2 ||
		batch_check(records.data, &header)) {
		answer->error_code = KAFKA_CORRUPT_MESSAGE;
		return;
	}
	while (partition->is_busy)
		fiber_sleep(shard, 50000);
	answer->base_offset = sequence_check(standin, partition, &header, &answer->error_code);
	if (answer->base_offset >= 0 || answer->error_code != KAFKA_NONE)
		return;
	/* The request's bytes live no longer than the request. */
	batch = malloc(size);
	ensure(batch);
	memcpy(batch, records.data, size);
	batch_base_offset_set(batch, partition->end);
	batch_partition_leader_epoch_set(batch, 0);
	ensure(batch_header_parse(batch, size, &header) == 0);
	answer->base_offset = header.base_offset;
	partition->is_busy = true;
	position = partition->size;
	batch_note(partition, &header, batch);
	if (bug == STANDIN_SHOW_UNSYNCED)
		partition->high_watermark = partition->end;
	if (bug == STANDIN_ACK_BEFORE_WRITE) {
		/* A writer that nobody waits for: here it is simply late. */
		partition->high_watermark = partition->end;
		if (position % 3 == 0)
			must(standin, fiber_write(shard, partition->file, partition->data,
					      partition->size, 0));
	} else {
		must(standin, fiber_write(shard, partition->file, batch, size, position));
		if (bug != STANDIN_ACK_BEFORE_SYNC)
			must(standin, fiber_sync(shard, partition->file));
		partition->high_watermark = partition->end;
	}
	partition->is_busy = false;
	free(batch);
}

/* Topics: one file with the id and the count of partitions, that is there or not. */
static void topic_load(struct standin *standin)
{
	char *data;
	size_t size;
	int error = fiber_make_folder(standin->shard, "data");

	must(standin, error == -EEXIST ? 0 : error);
	must(standin, fiber_sync_folder(standin->shard, "/"));
	error = fiber_read_whole(standin->shard, "data/ids", 100, &data, &size);
	if (error == 0) {
		ensure(size == 8);
		standin->next_producer_id = (int64_t)load_be64(data);
		free(data);
	} else {
		must(standin, error == -ENOENT ? 0 : error);
	}
	if (standin->options->bug == STANDIN_REUSE_PRODUCER_IDS)
		standin->next_producer_id = 0;
	error = fiber_read_whole(standin->shard, "data/topic", 100, &data, &size);
	if (error == -ENOENT)
		return;
	must(standin, error);
	ensure(size == sizeof(struct uuid) + 1);
	memcpy(&standin->topic_id, data, sizeof(struct uuid));
	standin->partition_count = data[sizeof(struct uuid)];
	free(data);
	for (int32_t i = 0; i < standin->partition_count; i++)
		partition_recover(standin, i);
}

static void file_replace(struct standin *standin, const char *path, const void *data, size_t size)
{
	must(standin, fiber_replace(standin->shard, path, data, size));
	standin->is_replacing = false;
}

static void file_replace_begin(struct standin *standin)
{
	while (standin->is_replacing)
		fiber_sleep(standin->shard, 50000);
	standin->is_replacing = true;
}

static void create_topics(struct standin *standin, struct arena *arena,
	const struct create_topics_request *request, struct create_topics_response *response)
{
	struct create_topics_response_creatable_topic_result *topic =
		schema_new_array(&create_topics_response_creatable_topic_result_schema, arena, 1);
	uint8_t file[sizeof(struct uuid) + 1];

	file_replace_begin(standin);
	response->topics = topic;
	response->topics_count = 1;
	topic->name = request->topics[0].name;
	if (standin->partition_count > 0) {
		topic->error_code = KAFKA_TOPIC_ALREADY_EXISTS;
		standin->is_replacing = false;
		return;
	}
	shard_entropy(standin->shard, &standin->topic_id, sizeof(standin->topic_id));
	memcpy(file, &standin->topic_id, sizeof(struct uuid));
	file[sizeof(struct uuid)] = (uint8_t)request->topics[0].num_partitions;
	file_replace(standin, "data/topic", file, sizeof(file));
	for (int32_t i = 0; i < request->topics[0].num_partitions; i++)
		partition_recover(standin, i);
	standin->partition_count = request->topics[0].num_partitions;
	topic->topic_id = standin->topic_id;
	topic->num_partitions = standin->partition_count;
	topic->replication_factor = 1;
}

static void metadata(struct standin *standin, struct arena *arena,
	const struct metadata_request *request, struct metadata_response *response)
{
	struct metadata_response_topic *topic =
		schema_new_array(&metadata_response_topic_schema, arena, 1);

	response->topics = topic;
	response->topics_count = 1;
	topic->name = request->topics[0].name;
	topic->topic_id = standin->topic_id;
	topic->error_code =
		standin->partition_count > 0 ? KAFKA_NONE : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	topic->partitions = schema_new_array(
		&metadata_response_partition_schema, arena, standin->partition_count);
	topic->partitions_count = standin->partition_count;
	for (int32_t i = 0; i < standin->partition_count; i++)
		topic->partitions[i].partition_index = i;
}

static void init_producer_id(struct standin *standin, struct init_producer_id_response *response)
{
	uint8_t file[8];

	file_replace_begin(standin);
	response->producer_id = standin->next_producer_id++;
	response->producer_epoch = 0;
	store_be64(file, (uint64_t)standin->next_producer_id);
	file_replace(standin, "data/ids", file, sizeof(file));
}

static void produce(struct standin *standin, struct arena *arena,
	const struct produce_request *request, struct produce_response *response)
{
	struct produce_response_topic_produce_response *topic =
		schema_new_array(&produce_response_topic_produce_response_schema, arena, 1);
	struct produce_response_partition_produce_response *partition =
		schema_new_array(&produce_response_partition_produce_response_schema, arena, 1);
	const struct produce_request_partition_produce_data *data =
		request->topic_data[0].partition_data;

	response->responses = topic;
	response->responses_count = 1;
	topic->name = request->topic_data[0].name;
	topic->topic_id = request->topic_data[0].topic_id;
	topic->partition_responses = partition;
	topic->partition_responses_count = 1;
	partition->index = data->index;
	if (data->index < standin->partition_count)
		partition_append(
			standin, &standin->partitions[data->index], data->records.bytes, partition);
	else
		partition->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

static void fetch(struct standin *standin, struct arena *arena, const struct fetch_request *request,
	struct fetch_response *response)
{
	const struct fetch_request_fetch_topic *asked = request->topics;
	struct fetch_response_fetchable_topic_response *topic =
		schema_new_array(&fetch_response_fetchable_topic_response_schema, arena, 1);

	response->responses = topic;
	response->responses_count = 1;
	topic->topic = asked->topic;
	topic->topic_id = asked->topic_id;
	topic->partitions = schema_new_array(
		&fetch_response_partition_data_schema, arena, asked->partitions_count);
	topic->partitions_count = asked->partitions_count;
	for (int32_t i = 0; i < asked->partitions_count; i++) {
		const struct fetch_request_fetch_partition *want = &asked->partitions[i];
		struct partition *partition = &standin->partitions[want->partition];
		struct fetch_response_partition_data *data = &topic->partitions[i];

		data->partition_index = want->partition;
		data->high_watermark = data->last_stable_offset = partition->high_watermark;
		data->log_start_offset = 0;
		data->records.bytes = (struct bytes){.size = 0};
		for (size_t k = 0; k < partition->batch_count; k++) {
			const struct stored_batch *batch = &partition->batches[k];

			if (batch->last_offset < want->fetch_offset ||
				batch->last_offset >= partition->high_watermark)
				continue;
			/* One batch is an answer too. A copy: the bytes may move. */
			uint8_t *copy = arena_alloc(arena, batch->size);
			ensure(copy);
			memcpy(copy, partition->data + batch->position, batch->size);
			data->records.bytes = (struct bytes){copy, (int32_t)batch->size};
			break;
		}
	}
	if (standin->partition_count == 0)
		for (int32_t i = 0; i < asked->partitions_count; i++)
			topic->partitions[i].error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

static void list_offsets(struct standin *standin, struct arena *arena,
	const struct list_offsets_request *request, struct list_offsets_response *response)
{
	const struct list_offsets_request_list_offsets_topic *asked = request->topics;
	struct list_offsets_response_list_offsets_topic_response *topic = schema_new_array(
		&list_offsets_response_list_offsets_topic_response_schema, arena, 1);

	response->topics = topic;
	response->topics_count = 1;
	topic->name = asked->name;
	topic->partitions =
		schema_new_array(&list_offsets_response_list_offsets_partition_response_schema,
			arena, asked->partitions_count);
	topic->partitions_count = asked->partitions_count;
	for (int32_t i = 0; i < asked->partitions_count; i++) {
		int32_t index = asked->partitions[i].partition_index;

		topic->partitions[i].partition_index = index;
		topic->partitions[i].offset = standin->partitions[index].high_watermark;
		if (index >= standin->partition_count)
			topic->partitions[i].error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	}
}

static void answer_make(
	struct standin *standin, struct arena *arena, int key, const void *request, void *response)
{
	switch (key) {
	case API_CREATE_TOPICS:
		create_topics(standin, arena, request, response);
		break;
	case API_METADATA:
		metadata(standin, arena, request, response);
		break;
	case API_INIT_PRODUCER_ID:
		init_producer_id(standin, response);
		break;
	case API_PRODUCE:
		produce(standin, arena, request, response);
		break;
	case API_FETCH:
		fetch(standin, arena, request, response);
		break;
	default:
		ensure(key == API_LIST_OFFSETS);
		list_offsets(standin, arena, request, response);
		break;
	}
}

static void op_done(struct shard *shard, struct socket_op *op)
{
	struct connection *connection = container_of(op, struct connection, op);

	connection->is_done = true;
	fiber_wake(shard, connection->fiber);
}

static int64_t op_wait(struct connection *connection)
{
	while (!connection->is_done)
		fiber_wait(connection->standin->shard);
	return connection->op.result;
}

static bool read_all(struct connection *connection, uint8_t *to, size_t size)
{
	while (size > 0) {
		int64_t got;

		connection->is_done = false;
		socket_receive(connection->socket, &connection->op, to, size);
		got = op_wait(connection);
		if (got <= 0)
			return false;
		to += got;
		size -= (size_t)got;
	}
	return true;
}

/* Reads a request and answers it; false when the connection is over. */
static bool request_serve(struct connection *connection, struct arena *arena)
{
	uint8_t prefix[FRAME_SIZE_PREFIX], *data;
	struct frame_peek peek;
	struct request_header header;
	struct bytes frame, body;
	struct output output;
	size_t consumed;
	uint32_t size;

	if (!read_all(connection, prefix, sizeof(prefix)))
		return false;
	size = load_be32(prefix);
	ensure(size <= REQUEST_SIZE_MAX);
	data = arena_alloc(arena, size);
	ensure(data);
	if (!read_all(connection, data, size))
		return false;
	frame = (struct bytes){.data = data, .size = (int32_t)size};
	ensure(frame_request_peek(frame, &peek) == 0);
	const struct api_row *api = api_find(peek.api_key);
	ensure(frame_request_header_decode(frame, api, arena, &header, &body, NULL) == 0);
	void *request = schema_new(api->request, arena),
	     *response = schema_new(api->response, arena);
	ensure(schema_decode(
		       api->request, peek.api_version, body, arena, request, &consumed, NULL) == 0);
	answer_make(connection->standin, arena, peek.api_key, request, response);
	output_init(&output, arena, 0);
	ensure(frame_response_encode(
		       &output, api, peek.api_version, peek.correlation_id, response, NULL) == 0);
	struct piece piece = {.data = output.data, .size = output.size};
	connection->is_done = false;
	socket_send(connection->socket, &connection->op, &piece, 1);
	return op_wait(connection) == 0;
}

static void connection_run(struct shard *shard, void *argument)
{
	struct connection *connection = argument;
	struct arena arena;

	connection->fiber = fiber_current(shard);
	arena_init(&arena, 32 << 20);
	while (request_serve(connection, &arena))
		arena_reset(&arena);
	socket_close(connection->socket);
	arena_done(&arena);
	free(connection);
}

static void accepted(
	struct shard *shard, struct listener *listener, struct socket *socket, void *argument)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	ensure(connection);
	connection->standin = argument;
	connection->socket = socket;
	connection->op.done = op_done;
	socket_attach(shard, socket);
	ensure(fiber_start(shard, connection_run, connection) == 0);
}

static void standin_run(struct shard *shard, void *argument)
{
	struct standin *standin = calloc(1, sizeof(*standin));
	struct listener_events events = {.accepted = accepted, .argument = standin};
	struct address address = {0};
	struct listener *listener;

	ensure(standin);
	standin->options = argument;
	standin->shard = shard;
	topic_load(standin);
	address.port = standin->options->port;
	ensure(listener_open(shard, &address, events, &listener) == 0);
}

void standin_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, standin_run, argument) == 0);
}
