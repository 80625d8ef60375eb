/*
 * The model producers of the main topic. What one may rely on is told by its index (run.c): with a
 * producer id, up to five batches of a partition in flight, resent in order until each is
 * acknowledged; without one and acks=1, one batch at a time; or acks=0, where nothing is answered.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/errors.h"
#include "sending.h"

enum { WINDOW_MAX = 5 };

struct producer {
	struct model *model;
	struct shard *shard;
	unsigned index;
	enum history_promise promise;
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t sequences[PARTITIONS_MAX];
	bool is_known[PARTITIONS_MAX]; /* a partition has taken a batch with this id */
	struct compress_context *compress;
	struct model_connection connection;
	/* The round under way: batches of one partition. */
	unsigned partition, log, batch_count;
	struct sending batches[WINDOW_MAX];
};

static void batch_make(struct producer *producer, struct sending *batch)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	int32_t *sequence = &producer->sequences[producer->partition];

	if (producer->promise == PROMISE_ONCE) {
		options.producer_id = producer->producer_id;
		options.producer_epoch = producer->producer_epoch;
		options.base_sequence = *sequence;
	}
	sending_make(batch, producer->model, producer->shard, producer->compress, &options,
		producer->log, producer->index);
	*sequence = batch_sequence_add(*sequence, (int32_t)batch->record_count);
}

static int batch_ask(struct producer *producer, struct sending *batch, int version)
{
	int16_t acks = producer->promise == PROMISE_ONCE	    ? -1
		       : producer->promise == PROMISE_AT_LEAST_ONCE ? 1
								    : 0;

	uint64_t *events = producer->model->coverage.events;

	events[EVENT_BATCH_IDEMPOTENT] += acks == -1;
	events[EVENT_BATCH_RESENT] += acks == -1 && batch->was_sent;
	events[EVENT_BATCH_ACKS_1] += acks == 1;
	events[EVENT_BATCH_ACKS_0] += acks == 0;
	return sending_ask(batch, &producer->connection, &producer->model->topic, acks, version);
}

/* An answer came. */
static void batch_answer(
	struct producer *producer, struct sending *batch, const struct produce_response *response)
{
	struct model *model = producer->model;
	int code = sending_answer_code(batch, model, &model->topic, response);

	if (history_is_violated(&model->history))
		return;
	if (code == KAFKA_NONE) {
		sending_acknowledge(
			batch, model, response->responses[0].partition_responses[0].base_offset);
		producer->is_known[producer->partition] = true;
	} else if (code == KAFKA_DUPLICATE_SEQUENCE_NUMBER) {
		sending_acknowledge(batch, model, -1);
	} else if (code == KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER &&
		   producer->promise == PROMISE_ONCE) {
		batch->is_out_of_order = true;
	} else if (kafka_error_is_retriable(code)) {
		model_can_retry(model, "Produce", code);
	} else {
		history_violation(&model->history,
			"Produce of values %u/%u to %u/%u to log %u answered %s", producer->index,
			batch->first_number, producer->index,
			batch->first_number + batch->record_count - 1, producer->log,
			kafka_error_name(code));
	}
}

/*
 * What "out of order" meant, once all answers are here. Behind a batch that failed it is right.
 * Before one that was taken it means that the batch itself had been taken, and that the broker has
 * forgotten: after a clean stop it remembers only each producer's last batch, as Kafka does (the
 * scan will tell whether it is there). Else it is wrong.
 */
static void round_settle_order(struct producer *producer, struct sending **asked, unsigned count)
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
			sending_acknowledge(asked[i], producer->model, -1);
		else if (i < failed)
			history_violation(&producer->model->history,
				"log %u calls value %u/%u out of order", producer->log,
				producer->index, asked[i]->first_number);
	}
}

static void connection_broke(struct producer *producer, int error)
{
	if (error == -EBADMSG)
		history_violation(&producer->model->history, "Produce answered what is no answer");
	producer->model->broken_connections++;
	model_connection_close(&producer->connection);
}

/* Sends what is not acknowledged, in order, and reads what comes back. */
static void round_try(struct producer *producer)
{
	struct sending *asked[WINDOW_MAX];
	unsigned asked_count = 0;
	int error = 0;

	for (unsigned i = 0; i < producer->batch_count && !error; i++) {
		int version = 3 + (int)model_pick(producer->shard, 11);

		if (producer->batches[i].is_acknowledged ||
			(producer->promise == PROMISE_AT_MOST_ONCE &&
				producer->batches[i].was_sent))
			continue;
		producer->batches[i].is_out_of_order = false;
		error = batch_ask(producer, &producer->batches[i], version);
		asked[asked_count++] = &producer->batches[i];
	}
	for (unsigned i = 0; i < asked_count && !error; i++) {
		struct produce_response response;

		if (producer->promise == PROMISE_AT_MOST_ONCE)
			continue;
		error = wire_answer(&producer->connection.wire, &producer->connection.arena,
			&response, MODEL_TIMEOUT_NS);
		if (error)
			break;
		batch_answer(producer, asked[i], &response);
	}
	if (!error)
		round_settle_order(producer, asked, asked_count);
	if (error)
		connection_broke(producer, error);
	arena_reset(&producer->connection.arena);
}

/* The second batch before the first: the broker must not take it. Needs a broker that has seen an
 * earlier batch of this producer: of one it does not know it takes any sequence, as Kafka does. */
static void round_probe_order(struct producer *producer)
{
	struct produce_response response;
	struct sending *batch = &producer->batches[1];
	int error = batch_ask(producer, batch, 8);

	producer->model->coverage.events[EVENT_OUT_OF_ORDER]++;
	if (!error)
		error = wire_answer(&producer->connection.wire, &producer->connection.arena,
			&response, MODEL_TIMEOUT_NS);
	if (error) {
		connection_broke(producer, error);
	} else {
		batch_answer(producer, batch, &response);
		if (batch->is_acknowledged)
			history_violation(&producer->model->history,
				"log %u took value %u/%u before %u/%u", producer->log,
				producer->index, batch->first_number, producer->index,
				producer->batches[0].first_number);
	}
	arena_reset(&producer->connection.arena);
}

static bool round_is_over(const struct producer *producer)
{
	if (history_is_violated(&producer->model->history))
		return true;
	for (unsigned i = 0; i < producer->batch_count; i++)
		if (producer->promise == PROMISE_AT_MOST_ONCE
				? !producer->batches[i].was_sent
				: !producer->batches[i].is_acknowledged)
			return false;
	return true;
}

/* May its records all be deleted? Then the broker has forgotten the producer. */
static bool round_can_probe(const struct producer *producer)
{
	return producer->promise == PROMISE_ONCE && producer->batch_count > 1 &&
	       producer->is_known[producer->partition] && !producer->model->deletes_records &&
	       model_pick(producer->shard, 20) == 0;
}

static void round_run(struct producer *producer)
{
	unsigned window = producer->promise == PROMISE_AT_LEAST_ONCE ? 1 : WINDOW_MAX;
	bool is_first_try = true;

	producer->partition = model_pick(producer->shard, producer->model->topic.partition_count);
	producer->log = producer->model->topic.first_log + producer->partition;
	producer->batch_count = 1 + model_pick(producer->shard, window);
	for (unsigned i = 0; i < producer->batch_count; i++)
		batch_make(producer, &producer->batches[i]);
	while (!round_is_over(producer)) {
		if (!model_connection_open(&producer->connection))
			break;
		if (is_first_try && round_can_probe(producer))
			round_probe_order(producer);
		else
			round_try(producer);
		is_first_try = false;
		if (!round_is_over(producer))
			model_pause(producer->shard);
	}
	for (unsigned i = 0; i < producer->batch_count; i++)
		sending_done(&producer->batches[i]);
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

static void producer_id_ask(struct producer *producer)
{
	struct init_producer_id_request request;
	struct init_producer_id_response response;
	int version = (int)model_pick(producer->shard, 6);
	int error;

	schema_init(&init_producer_id_request_schema, &request);
	request.transactional_id = STR_NULL;
	request.transaction_timeout_ms = 60000;
	error = model_call(
		&producer->connection, API_INIT_PRODUCER_ID, version, &request, &response);
	if (!error && response.error_code != KAFKA_NONE) {
		if (model_can_retry(producer->model, "InitProducerId", response.error_code))
			model_pause(producer->shard);
	} else if (!error) {
		producer->producer_id = response.producer_id;
		producer->producer_epoch = response.producer_epoch;
		memset(producer->sequences, 0, sizeof(producer->sequences));
		memset(producer->is_known, 0, sizeof(producer->is_known));
		producer_id_note(producer->model, response.producer_id);
	}
	arena_reset(&producer->connection.arena);
}

static void producer_run(struct shard *shard, void *argument)
{
	struct model_client *client = argument;
	struct model *model = client->model;
	struct producer *producer = calloc(1, sizeof(*producer));

	ensure(producer);
	producer->model = model;
	producer->shard = shard;
	producer->index = client->index;
	producer->promise = model->history.promises[client->index];
	producer->producer_id = -1;
	producer->compress = compress_context_new();
	model_connection_init(&producer->connection, model, shard);
	while (!model->is_draining && !history_is_violated(&model->history)) {
		if (producer->promise == PROMISE_ONCE && producer->producer_id < 0) {
			producer_id_ask(producer);
			continue;
		}
		round_run(producer);
		/* Sometimes it rests, sometimes it comes back on a new connection, and sometimes as
		 * a producer that nobody knows. */
		if (producer->promise == PROMISE_AT_MOST_ONCE || model_pick(shard, 4) == 0)
			model_pause(shard);
		if (model_pick(shard, 50) == 0)
			model_connection_close(&producer->connection);
		if (model_pick(shard, 100) == 0)
			producer->producer_id = -1;
	}
	model_connection_done(&producer->connection);
	compress_context_free(producer->compress);
	model->producers_running--;
	free(producer);
	machine_exit(shard, 0);
}

void model_producer_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, producer_run, argument) == 0);
}
