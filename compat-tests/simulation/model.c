/* What all model clients share, and the one that makes the topic. */
#include "model.h"

#include <stdio.h>

#include "protocol/errors.h"

uint32_t model_pick(struct shard *shard, uint32_t below)
{
	uint32_t bits;

	shard_entropy(shard, &bits, sizeof(bits));
	return (uint32_t)((uint64_t)bits * below >> 32);
}

void model_pause(struct shard *shard)
{
	fiber_sleep(shard, (10 + model_pick(shard, 200)) * NS_PER_MS);
}

bool model_connect(struct model *model, struct shard *shard, struct wire *wire)
{
	for (;;) {
		int error = wire_open(wire, shard, &model->broker);

		if (error == 0)
			return true;
		if (model->is_scanned)
			return false;
		model->broken_connections++;
		model_pause(shard);
	}
}

bool model_can_retry(struct model *model, const char *what, int error_code)
{
	if (kafka_error_is_retriable(error_code)) {
		model->retriable_errors++;
		model->last_error = error_code;
		model->last_error_of = what;
		return true;
	}
	history_violation(&model->history, "%s answered %s", what, kafka_error_name(error_code));
	return false;
}

static struct create_topics_request_creatable_topic *topic_make(
	struct model *model, struct arena *arena)
{
	struct create_topics_request_creatable_topic *topic =
		schema_new_array(&create_topics_request_creatable_topic_schema, arena, 1);
	struct create_topics_request_creatable_topic_config *configs =
		schema_new_array(&create_topics_request_creatable_topic_config_schema, arena, 4);

	configs[0].name = STR("segment.bytes");
	configs[0].value = STR("1048576");
	configs[1].name = STR("retention.ms");
	configs[1].value = STR("-1");
	configs[2].name = STR("message.timestamp.after.max.ms");
	configs[2].value = STR("9223372036854775807");
	configs[3].name = STR("flush.messages");
	configs[3].value = STR("1");
	topic->name = MODEL_TOPIC;
	topic->num_partitions = (int32_t)model->history.partition_count;
	topic->replication_factor = 1;
	topic->configs = configs;
	topic->configs_count = model->syncs_each_message ? 4 : 3;
	return topic;
}

/* True when the topic is there. */
static bool topic_ask(struct model *model, struct wire *wire, struct arena *arena)
{
	struct create_topics_request create;
	struct create_topics_response created;
	struct metadata_request ask;
	struct metadata_response answer;
	int code;

	schema_init(&create_topics_request_schema, &create);
	create.topics = topic_make(model, arena);
	create.topics_count = 1;
	create.timeout_ms = 10000;
	if (wire_call(wire, arena, API_CREATE_TOPICS, 2 + (int)model_pick(wire->shard, 6), &create,
		    &created, MODEL_TIMEOUT_NS) != 0)
		return false;
	model->requests++;
	code = created.topics_count == 1 ? created.topics[0].error_code
					 : KAFKA_UNKNOWN_SERVER_ERROR;
	/* An earlier try may have made it, and its answer was lost. */
	if (code != KAFKA_NONE && code != KAFKA_TOPIC_ALREADY_EXISTS) {
		model_can_retry(model, "CreateTopics", code);
		return false;
	}
	schema_init(&metadata_request_schema, &ask);
	ask.topics = schema_new_array(&metadata_request_topic_schema, arena, 1);
	ask.topics->name = MODEL_TOPIC;
	ask.topics_count = 1;
	if (wire_call(wire, arena, API_METADATA, 10 + (int)model_pick(wire->shard, 3), &ask,
		    &answer, MODEL_TIMEOUT_NS) != 0)
		return false;
	model->requests++;
	code = answer.topics_count == 1 ? answer.topics[0].error_code : KAFKA_UNKNOWN_SERVER_ERROR;
	if (code == KAFKA_NONE &&
		answer.topics[0].partitions_count != (int32_t)model->history.partition_count)
		history_violation(&model->history, "Metadata has %d partitions",
			answer.topics[0].partitions_count);
	if (code != KAFKA_NONE) {
		model_can_retry(model, "Metadata", code);
		return false;
	}
	model->topic_id = answer.topics[0].topic_id;
	return true;
}

static void admin_run(struct shard *shard, void *argument)
{
	struct model_client *client = argument;
	struct model *model = client->model;
	struct arena arena;
	struct wire wire;

	arena_init(&arena, 8 << 20);
	while (!model->topic_is_made && model_connect(model, shard, &wire)) {
		model->topic_is_made = topic_ask(model, &wire, &arena);
		wire_close(&wire);
		arena_reset(&arena);
		if (!model->topic_is_made)
			model_pause(shard);
	}
	arena_done(&arena);
	machine_exit(shard, 0);
}

void model_admin_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, admin_run, argument) == 0);
}
