/*
 * The model producer: idempotent, acks=all, up to five batches of a partition in flight, resent in
 * order until each is acknowledged.
 */
#include <errno.h>
#include <stdlib.h>

#include "model.h"
#include "protocol/batch_builder.h"
#include "protocol/errors.h"

enum { WINDOW_MAX = 5, BATCH_RECORDS_MAX = 8 };

/* A batch that was sent, or is to be. Its bytes never change: a retry is the same batch. */
struct batch {
	struct record_buffer bytes;
	uint32_t first_number;
	unsigned record_count;
	bool is_acknowledged;
	bool is_out_of_order; /* answered so in this try */
};

struct producer {
	struct model *model;
	struct shard *shard;
	unsigned index;
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t sequences[PARTITIONS_MAX];
	struct compress_context *compress;
	struct arena arena;
	struct wire wire;
	bool is_connected;
	/* The round under way: batches of one partition. */
	unsigned partition, batch_count;
	struct batch batches[WINDOW_MAX];
};

static void batch_make(struct producer *producer, struct batch *batch)
{
	struct history *history = &producer->model->history;
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct batch_builder builder;
	uint8_t value[VALUE_SIZE_MAX];
	int64_t now_ms = shard_wall_ms(producer->shard);

	batch->record_count = 1 + model_pick(producer->shard, BATCH_RECORDS_MAX);
	batch->is_acknowledged = false;
	record_buffer_init(&batch->bytes, 1 << 20);
	options.producer_id = producer->producer_id;
	options.producer_epoch = producer->producer_epoch;
	options.base_sequence = producer->sequences[producer->partition];
	/* Most batches plain; none with zstd, whose library keeps memory of its own beyond a crash.
	 */
	if (model_pick(producer->shard, 4) == 0)
		options.compression = COMPRESSION_LZ4;
	ensure(batch_builder_begin(&builder, &options, producer->compress, &batch->bytes) == 0);
	for (unsigned i = 0; i < batch->record_count; i++) {
		uint32_t number = history_attempt(history, producer->partition, producer->index);
		size_t size =
			history_value_make(value, producer->partition, producer->index, number);

		if (i == 0)
			batch->first_number = number;
		ensure(batch_builder_append(&builder, i, now_ms, BYTES_NULL,
			       (struct bytes){.data = value, .size = (int32_t)size}, NULL, 0) == 0);
	}
	ensure(batch_builder_end(&builder) == 0);
	producer->sequences[producer->partition] = batch_sequence_add(
		producer->sequences[producer->partition], (int32_t)batch->record_count);
}

static int batch_ask(struct producer *producer, const struct batch *batch, int version)
{
	struct produce_request request;
	struct produce_request_topic_produce_data *topic =
		schema_new_array(&produce_request_topic_produce_data_schema, &producer->arena, 1);
	struct produce_request_partition_produce_data *partition = schema_new_array(
		&produce_request_partition_produce_data_schema, &producer->arena, 1);

	ensure(topic && partition);
	schema_init(&produce_request_schema, &request);
	request.acks = -1;
	request.timeout_ms = 15000;
	request.topic_data = topic;
	request.topic_data_count = 1;
	if (version >= 13)
		topic->topic_id = producer->model->topic_id;
	else
		topic->name = MODEL_TOPIC;
	topic->partition_data = partition;
	topic->partition_data_count = 1;
	partition->index = (int32_t)producer->partition;
	partition->records.bytes =
		(struct bytes){.data = batch->bytes.data, .size = (int32_t)batch->bytes.size};
	producer->model->requests++;
	return wire_ask(&producer->wire, &producer->arena, API_PRODUCE, version, &request);
}

static void batch_acknowledge(struct producer *producer, struct batch *batch, int64_t base_offset)
{
	for (unsigned i = 0; i < batch->record_count; i++)
		history_acknowledge(&producer->model->history, producer->partition, producer->index,
			batch->first_number + i, base_offset < 0 ? -1 : base_offset + i);
	batch->is_acknowledged = true;
}

/* An answer came. */
static void batch_answer(
	struct producer *producer, struct batch *batch, const struct produce_response *response)
{
	struct model *model = producer->model;
	const struct produce_response_partition_produce_response *partition;
	int code;

	if (response->responses_count != 1 ||
		response->responses[0].partition_responses_count != 1) {
		history_violation(
			&model->history, "Produce answered %d topics", response->responses_count);
		return;
	}
	partition = &response->responses[0].partition_responses[0];
	code = partition->error_code;
	if (partition->index != (int32_t)producer->partition)
		history_violation(
			&model->history, "Produce answered partition %d", partition->index);
	if (code == KAFKA_NONE || code == KAFKA_DUPLICATE_SEQUENCE_NUMBER) {
		model->duplicates += code == KAFKA_DUPLICATE_SEQUENCE_NUMBER;
		batch_acknowledge(
			producer, batch, code == KAFKA_NONE ? partition->base_offset : -1);
	} else if (code == KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER) {
		batch->is_out_of_order = true;
	} else if (kafka_error_is_retriable(code)) {
		model_can_retry(model, "Produce", code);
	} else {
		history_violation(&model->history,
			"Produce of values %u/%u to %u/%u to partition %u answered %s",
			producer->index, batch->first_number, producer->index,
			batch->first_number + batch->record_count - 1, producer->partition,
			kafka_error_name(code));
	}
}

/*
 * What "out of order" meant, once all answers are here. Behind a batch that failed it is right.
 * Before one that was taken it means that the batch itself had been taken, and that the broker has
 * forgotten: after a clean stop it remembers only each producer's last batch, as Kafka does (the
 * scan will tell whether it is there). Else it is wrong.
 */
static void round_settle_order(struct producer *producer, struct batch **asked, unsigned count)
{
	unsigned taken = 0, failed = count;

	for (unsigned i = 0; i < count; i++) {
		if (asked[i]->is_acknowledged)
			taken = i;
		else if (!asked[i]->is_out_of_order && i < failed)
			failed = i;
	}
	for (unsigned i = 0; i < count; i++) {
		if (asked[i]->is_acknowledged || !asked[i]->is_out_of_order)
			continue;
		if (i < taken)
			batch_acknowledge(producer, asked[i], -1);
		else if (i < failed)
			history_violation(&producer->model->history,
				"partition %u calls value %u/%u out of order", producer->partition,
				producer->index, asked[i]->first_number);
	}
}

/* Sends what is not acknowledged, in order, and reads what comes back. */
static void round_try(struct producer *producer)
{
	struct batch *asked[WINDOW_MAX];
	unsigned asked_count = 0;
	int error = 0;

	for (unsigned i = 0; i < producer->batch_count && !error; i++) {
		int version = 3 + (int)model_pick(producer->shard, 11);

		if (producer->batches[i].is_acknowledged)
			continue;
		producer->batches[i].is_out_of_order = false;
		error = batch_ask(producer, &producer->batches[i], version);
		asked[asked_count++] = &producer->batches[i];
	}
	for (unsigned i = 0; i < asked_count && !error; i++) {
		struct produce_response response;

		error = wire_answer(&producer->wire, &producer->arena, &response, MODEL_TIMEOUT_NS);
		if (error)
			break;
		batch_answer(producer, asked[i], &response);
	}
	if (!error)
		round_settle_order(producer, asked, asked_count);
	if (error == -EBADMSG)
		history_violation(&producer->model->history, "Produce answered what is no answer");
	if (error) {
		producer->model->broken_connections++;
		wire_close(&producer->wire);
		producer->is_connected = false;
	}
	arena_reset(&producer->arena);
}

/* The second batch before the first: the broker must not take it. Needs a broker that has seen an
 * earlier batch of this producer: of one it does not know it takes any sequence, as Kafka does. */
static void round_probe_order(struct producer *producer)
{
	struct produce_response response;
	struct batch *batch = &producer->batches[1];
	int error = batch_ask(producer, batch, 8);

	if (!error)
		error = wire_answer(&producer->wire, &producer->arena, &response, MODEL_TIMEOUT_NS);
	if (error) {
		producer->model->broken_connections++;
		wire_close(&producer->wire);
		producer->is_connected = false;
	} else {
		batch_answer(producer, batch, &response);
		if (batch->is_acknowledged)
			history_violation(&producer->model->history,
				"partition %u took value %u/%u before %u/%u", producer->partition,
				producer->index, batch->first_number, producer->index,
				producer->batches[0].first_number);
	}
	arena_reset(&producer->arena);
}

static bool round_is_over(const struct producer *producer)
{
	if (producer->model->history.violation[0])
		return true;
	for (unsigned i = 0; i < producer->batch_count; i++)
		if (!producer->batches[i].is_acknowledged)
			return false;
	return true;
}

static void round_run(struct producer *producer)
{
	bool is_first_try = true;

	producer->partition = model_pick(producer->shard, producer->model->history.partition_count);
	producer->batch_count = 1 + model_pick(producer->shard, WINDOW_MAX);
	for (unsigned i = 0; i < producer->batch_count; i++)
		batch_make(producer, &producer->batches[i]);
	while (!round_is_over(producer)) {
		if (!producer->is_connected)
			producer->is_connected =
				model_connect(producer->model, producer->shard, &producer->wire);
		if (!producer->is_connected)
			break;
		if (is_first_try && producer->batch_count > 1 &&
			producer->batches[0].first_number > 0 &&
			model_pick(producer->shard, 20) == 0) {
			round_probe_order(producer);
			is_first_try = false;
			continue;
		}
		is_first_try = false;
		round_try(producer);
		if (!round_is_over(producer))
			model_pause(producer->shard);
	}
	for (unsigned i = 0; i < producer->batch_count; i++)
		record_buffer_done(&producer->batches[i].bytes);
}

static void producer_id_note(struct model *model, int64_t producer_id)
{
	for (unsigned i = 0; i < model->producer_id_count; i++)
		if (model->producer_ids[i] == producer_id)
			history_violation(&model->history, "producer id %ld was given out twice",
				(long)producer_id);
	if (model->producer_id_count < array_length(model->producer_ids))
		model->producer_ids[model->producer_id_count++] = producer_id;
}

static bool producer_id_ask(struct producer *producer)
{
	struct init_producer_id_request request;
	struct init_producer_id_response response;
	int version = (int)model_pick(producer->shard, 6);

	schema_init(&init_producer_id_request_schema, &request);
	request.transactional_id = STR_NULL;
	request.transaction_timeout_ms = 60000;
	producer->model->requests++;
	if (wire_call(&producer->wire, &producer->arena, API_INIT_PRODUCER_ID, version, &request,
		    &response, MODEL_TIMEOUT_NS) != 0)
		return false;
	if (response.error_code != KAFKA_NONE) {
		model_can_retry(producer->model, "InitProducerId", response.error_code);
		return false;
	}
	producer->producer_id = response.producer_id;
	producer->producer_epoch = response.producer_epoch;
	producer_id_note(producer->model, response.producer_id);
	return true;
}

static void producer_run(struct shard *shard, void *argument)
{
	struct model_client *client = argument;
	struct producer *producer = calloc(1, sizeof(*producer));

	ensure(producer);
	producer->model = client->model;
	producer->shard = shard;
	producer->index = client->index;
	producer->producer_id = -1;
	producer->compress = compress_context_new();
	arena_init(&producer->arena, 8 << 20);
	while (producer->producer_id < 0 && !producer->model->history.violation[0]) {
		if (!producer->is_connected)
			producer->is_connected =
				model_connect(producer->model, shard, &producer->wire);
		if (producer->is_connected && !producer_id_ask(producer)) {
			wire_close(&producer->wire);
			producer->is_connected = false;
			model_pause(shard);
		}
	}
	while (!producer->model->is_draining && !producer->model->history.violation[0]) {
		round_run(producer);
		/* Sometimes it rests, and sometimes it comes back on a new connection. */
		if (model_pick(shard, 4) == 0)
			model_pause(shard);
		if (producer->is_connected && model_pick(shard, 50) == 0) {
			wire_close(&producer->wire);
			producer->is_connected = false;
		}
	}
	if (producer->is_connected)
		wire_close(&producer->wire);
	compress_context_free(producer->compress);
	arena_done(&producer->arena);
	producer->model->producers_running--;
	free(producer);
	machine_exit(shard, 0);
}

void model_producer_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, producer_run, argument) == 0);
}
