#include "sending.h"

#include <string.h>

#include "protocol/errors.h"

void sending_make(struct sending *sending, struct model *model, struct shard *shard,
	struct compress_context *compress, const struct batch_options *options, unsigned log,
	unsigned producer)
{
	struct batch_options chosen = *options;
	struct batch_builder builder;
	uint8_t value[VALUE_SIZE_MAX];
	int64_t now_ms = shard_wall_ms(shard);

	*sending = (struct sending){.log = log,
		.producer = producer,
		.record_count = 1 + model_pick(shard, BATCH_RECORDS_MAX)};
	record_buffer_init(&sending->bytes, 1 << 20);
	/* Most batches plain; none with zstd, whose library keeps memory of its own beyond a crash.
	 */
	if (model_pick(shard, 4) == 0)
		chosen.compression = COMPRESSION_LZ4;
	ensure(batch_builder_begin(&builder, &chosen, compress, &sending->bytes) == 0);
	for (unsigned i = 0; i < sending->record_count; i++) {
		uint32_t number = history_attempt(&model->history, log, producer);
		size_t size = history_value_make(value, log, producer, number);
		uint8_t key[2] = {(uint8_t)producer, (uint8_t)(number % HISTORY_KEYS)};

		if (i == 0)
			sending->first_number = number;
		ensure(batch_builder_append(&builder, i, now_ms,
			       model->history.is_compacted ? (struct bytes){key, sizeof(key)}
							   : BYTES_NULL,
			       (struct bytes){.data = value, .size = (int32_t)size}, NULL, 0) == 0);
	}
	ensure(batch_builder_end(&builder) == 0);
}

void sending_done(struct sending *sending)
{
	record_buffer_done(&sending->bytes);
}

int sending_ask(struct sending *sending, struct model_connection *connection,
	const struct model_topic *topic, int16_t acks, int version)
{
	struct arena *arena = &connection->arena;
	struct model *model = connection->model;
	struct produce_request request;
	struct produce_request_topic_produce_data *data =
		schema_new_array(&produce_request_topic_produce_data_schema, arena, 1);
	struct produce_request_partition_produce_data *partition =
		schema_new_array(&produce_request_partition_produce_data_schema, arena, 1);

	ensure(data && partition);
	schema_init(&produce_request_schema, &request);
	request.acks = acks;
	request.timeout_ms = 15000;
	request.topic_data = data;
	request.topic_data_count = 1;
	if (version >= 13)
		data->topic_id = topic->id;
	else
		data->name = (struct str){topic->name, (int32_t)strlen(topic->name)};
	data->partition_data = partition;
	data->partition_data_count = 1;
	partition->index = (int32_t)(sending->log - topic->first_log);
	partition->records.bytes =
		(struct bytes){.data = sending->bytes.data, .size = (int32_t)sending->bytes.size};
	if (sending->was_sent)
		history_resend(&model->history, sending->log, sending->producer,
			sending->first_number, sending->record_count);
	sending->was_sent = true;
	model->requests++;
	return acks == 0 ? wire_tell(&connection->wire, arena, API_PRODUCE, version, &request)
			 : wire_ask(&connection->wire, arena, API_PRODUCE, version, &request);
}

int sending_answer_code(const struct sending *sending, struct model *model,
	const struct model_topic *topic, const struct produce_response *response)
{
	const struct produce_response_partition_produce_response *partition;

	if (response->responses_count != 1 ||
		response->responses[0].partition_responses_count != 1) {
		history_violation(
			&model->history, "Produce answered %d topics", response->responses_count);
		return KAFKA_UNKNOWN_SERVER_ERROR;
	}
	partition = &response->responses[0].partition_responses[0];
	if (partition->index != (int32_t)(sending->log - topic->first_log))
		history_violation(
			&model->history, "Produce answered partition %d", partition->index);
	return partition->error_code;
}

void sending_acknowledge(struct sending *sending, struct model *model, int64_t base_offset)
{
	for (unsigned i = 0; i < sending->record_count; i++)
		history_acknowledge(&model->history, sending->log, sending->producer,
			sending->first_number + i, base_offset < 0 ? -1 : base_offset + i);
	sending->is_acknowledged = true;
}
