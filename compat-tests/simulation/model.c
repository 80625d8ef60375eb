/* What all model clients share. */
#include "model.h"

#include <errno.h>
#include <string.h>

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

		if (error == 0) {
			wire->answers = model->coverage.answers;
			return true;
		}
		if (model->is_scanned || history_is_violated(&model->history))
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

void model_topic_begin(struct model *model, struct model_topic *topic, const struct uuid *id)
{
	topic->id = *id;
	topic->first_log = history_logs_add(&model->history, topic->partition_count);
}

void model_connection_init(
	struct model_connection *connection, struct model *model, struct shard *shard)
{
	*connection = (struct model_connection){.model = model, .shard = shard};
	arena_init(&connection->arena, 16 << 20);
}

void model_connection_done(struct model_connection *connection)
{
	model_connection_close(connection);
	arena_done(&connection->arena);
}

bool model_connection_open(struct model_connection *connection)
{
	if (!connection->is_connected)
		connection->is_connected =
			model_connect(connection->model, connection->shard, &connection->wire);
	return connection->is_connected;
}

void model_connection_close(struct model_connection *connection)
{
	if (connection->is_connected)
		wire_close(&connection->wire);
	connection->is_connected = false;
}

int model_call(struct model_connection *connection, enum api_key key, int version,
	const void *request, void *response)
{
	struct model *model = connection->model;
	int error;

	if (!model_connection_open(connection))
		return -ENOTCONN;
	error = wire_call(&connection->wire, &connection->arena, key, version, request, response,
		MODEL_TIMEOUT_NS);
	if (!error) {
		model->requests++;
		return 0;
	}
	if (error == -EBADMSG)
		history_violation(&model->history, "API %d version %d answered what is no answer",
			(int)key, version);
	model->broken_connections++;
	model_connection_close(connection);
	model_pause(connection->shard);
	return error;
}
