/* Making and finding topics, and the clients of the main one that change it: who makes it, and who
 * deletes its oldest records. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "protocol/errors.h"

static struct str name_of(const struct model_topic *topic)
{
	return (struct str){topic->name, (int32_t)strlen(topic->name)};
}

static struct create_topics_request_creatable_topic *topic_make(
	const struct model *model, const struct model_topic *asked, struct arena *arena)
{
	struct create_topics_request_creatable_topic *topic =
		schema_new_array(&create_topics_request_creatable_topic_schema, arena, 1);
	struct create_topics_request_creatable_topic_config *configs =
		schema_new_array(&create_topics_request_creatable_topic_config_schema, arena, 8);
	int32_t count = 0;

	ensure(topic && configs);
	configs[count].name = STR("retention.ms");
	configs[count++].value = STR("-1");
	configs[count].name = STR("message.timestamp.after.max.ms");
	configs[count++].value = STR("9223372036854775807");
	configs[count].name = STR("index.interval.bytes");
	configs[count++].value = STR("1000");
	configs[count].name = STR("file.delete.delay.ms");
	configs[count++].value = STR("500");
	configs[count].name =
		model->has_many_rolls ? STR("internal.segment.bytes") : STR("segment.bytes");
	configs[count++].value = model->has_many_rolls ? STR("40000") : STR("1048576");
	if (model->history.is_compacted) {
		configs[count].name = STR("cleanup.policy");
		configs[count++].value = STR("compact");
		configs[count].name = STR("min.cleanable.dirty.ratio");
		configs[count++].value = STR("0.1");
		configs[count].name = STR("delete.retention.ms");
		configs[count++].value = STR("100");
	}
	topic->name = name_of(asked);
	topic->num_partitions = (int32_t)asked->partition_count;
	topic->replication_factor = 1;
	topic->configs = configs;
	topic->configs_count = count;
	return topic;
}

int model_topic_find(struct model_connection *connection, const char *name, struct uuid *ret_id,
	unsigned *ret_partition_count)
{
	struct metadata_request ask;
	struct metadata_response answer;
	int error;

	schema_init(&metadata_request_schema, &ask);
	ask.topics = schema_new_array(&metadata_request_topic_schema, &connection->arena, 1);
	ensure(ask.topics);
	ask.topics->name = (struct str){name, (int32_t)strlen(name)};
	ask.topics_count = 1;
	ask.allow_auto_topic_creation = false;
	error = model_call(connection, API_METADATA, 10 + (int)model_pick(connection->shard, 3),
		&ask, &answer);
	if (error)
		return error;
	if (answer.topics_count != 1)
		return KAFKA_UNKNOWN_SERVER_ERROR;
	*ret_id = answer.topics[0].topic_id;
	*ret_partition_count = (unsigned)answer.topics[0].partitions_count;
	return answer.topics[0].error_code;
}

int model_topic_create(struct model_connection *connection, struct model_topic *topic)
{
	struct model *model = connection->model;
	struct create_topics_request request;
	struct create_topics_response response;
	int error;

	schema_init(&create_topics_request_schema, &request);
	request.topics = topic_make(model, topic, &connection->arena);
	request.topics_count = 1;
	request.timeout_ms = 10000;
	error = model_call(connection, API_CREATE_TOPICS, 7, &request, &response);
	if (error)
		return error;
	if (response.topics_count != 1)
		return KAFKA_UNKNOWN_SERVER_ERROR;
	if (response.topics[0].error_code == KAFKA_NONE)
		model_topic_begin(model, topic, &response.topics[0].topic_id);
	return response.topics[0].error_code;
}

/* ---- who makes the main topic ---- */

static bool main_topic_ask(struct model_connection *connection)
{
	struct model *model = connection->model;
	struct uuid id;
	unsigned partition_count;
	int code = model_topic_create(connection, &model->topic);

	if (code == KAFKA_NONE)
		return true;
	if (code < 0)
		return false;
	/* An earlier try may have made it, and its answer was lost. */
	if (code != KAFKA_TOPIC_ALREADY_EXISTS) {
		model_can_retry(model, "CreateTopics", code);
		return false;
	}
	code = model_topic_find(connection, model->topic.name, &id, &partition_count);
	if (code != KAFKA_NONE) {
		if (code > 0)
			model_can_retry(model, "Metadata", code);
		return false;
	}
	if (partition_count != model->topic.partition_count)
		history_violation(&model->history, "Metadata has %u partitions", partition_count);
	model_topic_begin(model, &model->topic, &id);
	return true;
}

static void creator_run(struct shard *shard, void *argument)
{
	struct model_client *client = argument;
	struct model *model = client->model;
	struct model_connection connection;

	model_connection_init(&connection, model, shard);
	while (!model->topic_is_made && !history_is_violated(&model->history)) {
		model->topic_is_made = main_topic_ask(&connection);
		arena_reset(&connection.arena);
		if (!model->topic_is_made)
			model_pause(shard);
	}
	model_connection_done(&connection);
	machine_exit(shard, 0);
}

void model_creator_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, creator_run, argument) == 0);
}

/* ---- who deletes its oldest records ---- */

static void start_move(struct model_connection *connection)
{
	struct model *model = connection->model;
	struct arena *arena = &connection->arena;
	unsigned partition = model_pick(connection->shard, model->topic.partition_count);
	unsigned log = model->topic.first_log + partition;
	const struct history_log *known = model->history.logs[log];
	struct delete_records_request request;
	struct delete_records_response response;
	struct delete_records_request_delete_records_topic *topic =
		schema_new_array(&delete_records_request_delete_records_topic_schema, arena, 1);
	struct delete_records_request_delete_records_partition *wanted =
		schema_new_array(&delete_records_request_delete_records_partition_schema, arena, 1);
	int64_t room = known->acknowledged_end - known->start_asked;
	uint64_t crashes = model->crashes;
	int code;

	if (room <= 0)
		return;
	ensure(topic && wanted);
	schema_init(&delete_records_request_schema, &request);
	request.topics = topic;
	request.topics_count = 1;
	request.timeout_ms = 10000;
	topic->name = name_of(&model->topic);
	topic->partitions = wanted;
	topic->partitions_count = 1;
	wanted->partition_index = (int32_t)partition;
	/* Not all of it at once: something must be left to be read. */
	wanted->offset = known->start_asked + model_pick(connection->shard, (uint32_t)room / 2 + 1);
	history_start_ask(&model->history, log, wanted->offset);
	if (model_call(connection, API_DELETE_RECORDS, (int)model_pick(connection->shard, 3),
		    &request, &response) != 0)
		return;
	if (response.topics_count != 1 || response.topics[0].partitions_count != 1) {
		history_violation(
			&model->history, "DeleteRecords answered %d topics", response.topics_count);
		return;
	}
	code = response.topics[0].partitions[0].error_code;
	if (code != KAFKA_NONE) {
		model_can_retry(model, "DeleteRecords", code);
		return;
	}
	if (response.topics[0].partitions[0].low_watermark != wanted->offset)
		history_violation(&model->history, "DeleteRecords to %ld answered %ld",
			(long)wanted->offset, (long)response.topics[0].partitions[0].low_watermark);
	model->starts_moved++;
	if (crashes == model->crashes)
		history_start_acknowledge(&model->history, log, wanted->offset);
}

static void trimmer_run(struct shard *shard, void *argument)
{
	struct model_client *client = argument;
	struct model *model = client->model;
	struct model_connection connection;

	model_connection_init(&connection, model, shard);
	while (!model->is_draining && !history_is_violated(&model->history)) {
		fiber_sleep(shard, (50 + model_pick(shard, 4000)) * NS_PER_MS);
		start_move(&connection);
		arena_reset(&connection.arena);
	}
	model_connection_done(&connection);
	machine_exit(shard, 0);
}

void model_trimmer_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, trimmer_run, argument) == 0);
}
