/*
 * The model churner: makes a topic, fills it, reads it, deletes it while requests for it are under
 * way, and at once makes it again under the same name. It is alone with its topic's name, and asks
 * by topic id for what must not meet the next topic of that name: a request of a connection that it
 * gave up may still arrive.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/errors.h"
#include "reader.h"
#include "sending.h"

enum { LIVES_MAX = 256 };

struct churner {
	struct model *model;
	struct shard *shard;
	unsigned producer;
	struct compress_context *compress;
	struct reader reader;		   /* whose connection also creates and deletes */
	struct model_connection producing; /* what is under way at a deletion */
	struct uuid lives[LIVES_MAX];	   /* ids of all topics that it had */
	unsigned life_count;
	bool has_lost_create; /* one whose fate is not known: it may still make the topic */
};

static bool is_violated(const struct churner *churner)
{
	return history_is_violated(&churner->model->history);
}

static void retry_later(struct churner *churner, const char *what, int code)
{
	arena_reset(&churner->reader.connection.arena);
	if (code > 0)
		model_can_retry(churner->model, what, code);
	model_pause(churner->shard);
}

/* A topic begins its life: its id was never given before, and its logs are empty. */
static void life_begin(struct churner *churner, const struct model_topic *topic)
{
	for (unsigned i = 0; i < churner->life_count; i++)
		if (uuid_equal(&churner->lives[i], &topic->id))
			history_violation(&churner->model->history,
				"topic %s is back with the id it had when it was deleted",
				topic->name);
	if (churner->life_count < LIVES_MAX)
		churner->lives[churner->life_count++] = topic->id;
	reader_topic_set(&churner->reader, topic);
}

static void topic_make(struct churner *churner)
{
	struct model_topic topic = churner->reader.topic;
	struct model_connection *connection = &churner->reader.connection;

	while (!is_violated(churner)) {
		struct uuid id;
		int code = model_topic_create(connection, &topic);

		if (code == KAFKA_TOPIC_ALREADY_EXISTS && !churner->has_lost_create)
			history_violation(
				&churner->model->history, "topic %s is there already", topic.name);
		churner->has_lost_create |= code < 0 || kafka_error_is_retriable(code);
		/* An earlier try made it, perhaps with another number of partitions. */
		if (code == KAFKA_TOPIC_ALREADY_EXISTS) {
			unsigned count;

			code = model_topic_find(connection, topic.name, &id, &count);
			if (code == KAFKA_NONE && count <= PARTITIONS_MAX) {
				topic.partition_count = count;
				model_topic_begin(churner->model, &topic, &id);
			}
		}
		if (code == KAFKA_NONE) {
			arena_reset(&connection->arena);
			life_begin(churner, &topic);
			return;
		}
		retry_later(churner, "CreateTopics", code);
	}
}

static unsigned log_pick(struct churner *churner)
{
	const struct model_topic *topic = &churner->reader.topic;

	return topic->first_log + model_pick(churner->shard, topic->partition_count);
}

static void sending_begin(struct churner *churner, struct sending *sending)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;

	sending_make(sending, churner->model, churner->shard, churner->compress, &options,
		log_pick(churner), churner->producer);
}

/* One batch, until it is acknowledged. */
static void topic_fill(struct churner *churner)
{
	struct model_connection *connection = &churner->reader.connection;
	const struct model_topic *topic = &churner->reader.topic;
	struct sending sending;

	sending_begin(churner, &sending);
	while (!is_violated(churner) && !sending.is_acknowledged &&
		model_connection_open(connection)) {
		struct produce_response response;
		int code = sending_ask(&sending, connection, topic, -1, 13);

		if (!code)
			code = wire_answer(
				&connection->wire, &connection->arena, &response, MODEL_TIMEOUT_NS);
		if (code < 0) {
			churner->model->broken_connections++;
			model_connection_close(connection);
		} else {
			code = sending_answer_code(&sending, churner->model, topic, &response);
			if (code == KAFKA_NONE)
				sending_acknowledge(&sending, churner->model,
					response.responses[0].partition_responses[0].base_offset);
		}
		if (code)
			retry_later(churner, "Produce to a new topic", code);
		arena_reset(&connection->arena);
	}
	sending_done(&sending);
}

/* All of it, from the beginning. */
static void topic_read(struct churner *churner)
{
	struct reader *reader = &churner->reader;
	int64_t ends[PARTITIONS_MAX] = {0};
	int code = 1;

	memset(reader->next, 0, sizeof(reader->next));
	while (!is_violated(churner) && code) {
		code = reader_offsets(reader, -1, ends);
		if (code)
			retry_later(churner, "ListOffsets of a new topic", code);
	}
	while (!is_violated(churner) && !reader_has_reached(reader, ends)) {
		code = reader_fetch(reader);
		if (code)
			retry_later(churner, "Fetch of a new topic", code);
		arena_reset(&reader->connection.arena);
	}
}

/* Gone when this returns: asked for until the broker says so, or that it knows of no such topic. */
static void topic_delete(struct churner *churner)
{
	struct model_connection *connection = &churner->reader.connection;
	const struct model_topic *topic = &churner->reader.topic;
	bool was_asked = false;

	while (!is_violated(churner)) {
		struct delete_topics_request request;
		struct delete_topics_response response;
		int code;

		schema_init(&delete_topics_request_schema, &request);
		request.topics = schema_new_array(
			&delete_topics_request_delete_topic_state_schema, &connection->arena, 1);
		ensure(request.topics);
		request.topics->name = STR_NULL;
		request.topics->topic_id = topic->id;
		request.topics_count = 1;
		request.timeout_ms = 10000;
		code = model_call(connection, API_DELETE_TOPICS, 6, &request, &response);
		if (code == 0)
			code = response.responses_count == 1 ? response.responses[0].error_code
							     : KAFKA_UNKNOWN_SERVER_ERROR;
		if (code == KAFKA_NONE || (code == KAFKA_UNKNOWN_TOPIC_ID && was_asked)) {
			churner->model->topics_deleted++;
			arena_reset(&connection->arena);
			return;
		}
		if (code == KAFKA_UNKNOWN_TOPIC_ID)
			history_violation(
				&churner->model->history, "topic %s is lost", topic->name);
		was_asked = true;
		retry_later(churner, "DeleteTopics", code);
	}
}

/* Deletes the topic while a batch for it is under way, whose fate does not matter any more. */
static void topic_delete_under_way(struct churner *churner)
{
	struct model_connection *producing = &churner->producing;
	struct produce_response response;
	struct sending sending;
	int error = -1;

	if (model_connection_open(producing)) {
		sending_begin(churner, &sending);
		error = sending_ask(&sending, producing, &churner->reader.topic, -1, 13);
		sending_done(&sending);
	}
	topic_delete(churner);
	/* It may be asked for again before the answer is here. */
	if (!error && model_pick(churner->shard, 2) == 0)
		error = wire_answer(
			&producing->wire, &producing->arena, &response, MODEL_TIMEOUT_NS);
	else
		error = 1;
	if (error)
		model_connection_close(producing);
	arena_reset(&producing->arena);
}

/* True when the topic still lives: it is time to end. */
static bool life_run(struct churner *churner)
{
	struct shard *shard = churner->shard;

	churner->reader.topic.partition_count = 1 + model_pick(shard, 3);
	churner->reader.uses_sessions = model_pick(shard, 2) == 0;
	topic_make(churner);
	for (unsigned batches = model_pick(shard, 8); batches > 0 && !is_violated(churner);
		batches--)
		topic_fill(churner);
	if (model_pick(shard, 2) == 0)
		topic_read(churner);
	if (churner->model->is_draining)
		return true;
	if (model_pick(shard, 2) == 0)
		topic_delete_under_way(churner);
	else
		topic_delete(churner);
	if (model_pick(shard, 3) == 0)
		model_pause(shard);
	return false;
}

static void churner_run(struct shard *shard, void *argument)
{
	struct model_client *client = argument;
	struct model *model = client->model;
	struct churner *churner = calloc(1, sizeof(*churner));
	struct model_topic topic = {0};

	ensure(churner);
	churner->model = model;
	churner->shard = shard;
	churner->producer = MODEL_PRODUCERS_MAX + client->index;
	churner->compress = compress_context_new();
	snprintf(topic.name, sizeof(topic.name), "churn-%u", client->index);
	reader_init(&churner->reader, model, shard, &topic);
	model_connection_init(&churner->producing, model, shard);
	/* The last topic stays, for the scan. */
	while (!is_violated(churner) && !life_run(churner))
		;
	if (!is_violated(churner)) {
		ensure(model->survivor_count < array_length(model->survivors));
		model->survivors[model->survivor_count++] = churner->reader.topic;
	}
	model->producers_running--;
	model_connection_done(&churner->producing);
	reader_done(&churner->reader);
	compress_context_free(churner->compress);
	free(churner);
	machine_exit(shard, 0);
}

void model_churner_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, churner_run, argument) == 0);
}
