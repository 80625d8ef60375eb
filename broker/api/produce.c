/*
 * Produce, versions 0 to 13. Each partition's batches go to its home shard as a part, in place: the
 * log writes the very bytes that the connection received. Message sets of versions 0 to 2 (and of
 * old clients in later versions) are converted up first.
 *
 * Follows Kafka's KafkaApis.handleProduceRequest and ReplicaManager.appendRecords: per-partition
 * errors, acks=0 without a response but with a closed connection when something failed, acks=-1
 * refused when the in-sync replicas are too few.
 */
#include "broker/api/api.h"
#include "broker/replication/partition.h"
#include "protocol/batch.h"

struct produce;

struct produce_part {
	struct part part;
	struct log_append append;
	struct produce *produce;
	struct partition *partition; /* for the home shard */
	struct produce_response_partition_produce_response *answer;
	struct bytes records;
	int16_t leader_id_error;
	int32_t leader_id, leader_epoch;
};

struct produce {
	struct request *request;
	uint32_t pending; /* parts that have not come back */
	bool failed;	  /* some partition has an error */
	int16_t acks;
	struct produce_part *parts;
	uint32_t part_count;
};

static struct produce *produce_of(struct request *request)
{
	return request->context;
}

/* Only now, when the response has left, since record errors point into the operations. */
static void produce_release(struct request *request)
{
	struct produce *produce = produce_of(request);

	for (uint32_t i = 0; i < produce->part_count; i++)
		log_append_done(&produce->parts[i].append);
}

static void produce_finish(struct request *request)
{
	struct produce *produce = produce_of(request);

	if (produce->acks == 0) {
		request->without_response = true;
		/* The client does not wait for an answer; closing is the one way to make it look
		 * again. */
		request->close_connection = produce->failed;
	}
	request_complete(request);
}

static void produce_part_answer(struct produce_part *part)
{
	struct produce_response_partition_produce_response *answer = part->answer;
	struct request *request = part->produce->request;
	const struct log_append *append = &part->append;
	int16_t error = part->part.error ? part->part.error : append->error_code;

	answer->error_code = error;
	answer->base_offset = error ? -1 : append->base_offset;
	answer->log_append_time_ms = error ? -1 : append->log_append_time_ms;
	answer->log_start_offset = part->part.error ? -1 : append->log_start;
	if (!error)
		return;
	part->produce->failed = true;
	if (part->part.error)
		return;
	answer->error_message = str_from(append->error_message);
	if (append->record_error_count > 0) {
		answer->record_errors =
			schema_new_array(&produce_response_batch_index_and_error_message_schema,
				&request->arena, (int32_t)append->record_error_count);
		if (!answer->record_errors)
			return;
		answer->record_errors_count = (int32_t)append->record_error_count;
		for (uint32_t i = 0; i < append->record_error_count; i++) {
			answer->record_errors[i].batch_index = append->record_errors[i].batch_index;
			answer->record_errors[i].batch_index_error_message =
				str_from(append->record_errors[i].message);
		}
	}
	if (error == KAFKA_NOT_LEADER_OR_FOLLOWER) {
		answer->current_leader.leader_id = part->leader_id;
		answer->current_leader.leader_epoch = part->leader_epoch;
	}
}

static void produce_part_back(struct part *part)
{
	struct produce_part *produce_part = container_of(part, struct produce_part, part);
	struct produce *produce = produce_part->produce;

	produce_part_answer(produce_part);
	if (--produce->pending == 0)
		produce_finish(produce->request);
}

static void produce_appended(struct log_append *append)
{
	struct produce_part *part = container_of(append, struct produce_part, append);

	if (append->error_code == 0 && !append->duplicate)
		partition_advanced(part->partition);
	partition_unuse(part->partition);
	part_return(&part->part);
}

static void produce_at_home(struct part *part, struct partition *partition)
{
	struct produce_part *produce_part = container_of(part, struct produce_part, part);
	struct log_append *append = &produce_part->append;

	produce_part->leader_id = partition->leader;
	produce_part->leader_epoch = partition->leader_epoch;
	append->log_start = log_start(partition->log);
	int16_t error = partition_leader_check(partition, -1);
	if (!error && produce_part->produce->acks == -1 &&
		partition->isr_count < partition->min_isr)
		error = KAFKA_NOT_ENOUGH_REPLICAS;
	if (error) {
		append->error_code = error;
		append->base_offset = -1;
		part_return(part);
		return;
	}
	append->records = (uint8_t *)(uintptr_t)produce_part->records.data;
	append->size = (uint32_t)produce_part->records.size;
	append->origin = APPEND_CLIENT;
	append->leader_epoch = partition->leader_epoch;
	append->done = produce_appended;
	produce_part->partition = partition;
	partition_use(partition);
	log_append(partition->log, append);
}

/* What Kafka's ProduceRequest.validateRecords refuses before anything is appended: 0 or an error
 * for the partition. From version 3 on exactly one batch of magic 2; before it legacy message sets,
 * zstd not before version 7. */
static int16_t produce_records_check(
	const struct request *request, struct bytes records, const char **ret_message)
{
	if (records.size < 0 || records.size == 0) {
		if (request->version < 3)
			return 0;
		*ret_message = records.size < 0 ? "Produce requests with version 3 or above must "
						  "have record batches"
						: "Produce requests with version 3 or above must "
						  "have at least one record batch";
		return KAFKA_INVALID_RECORD;
	}
	return 0;
}

void handle_produce(struct request *request)
{
	struct produce_request *message = request->message;
	struct produce_response *response = request->response;
	struct produce *produce = request_new(request, struct produce);
	uint32_t partitions = 0;

	if (!produce) {
		request_out_of_memory(request);
		return;
	}
	request->context = produce;
	produce->request = request;
	produce->acks = message->acks;
	for (int32_t i = 0; i < message->topic_data_count; i++)
		partitions += (uint32_t)max_of(message->topic_data[i].partition_data_count, 0);
	produce->parts = request_new_array(request, struct produce_part, partitions);
	response->responses = schema_new_array(&produce_response_topic_produce_response_schema,
		&request->arena, max_of(message->topic_data_count, 0));
	if (!produce->parts || !response->responses) {
		request_out_of_memory(request);
		return;
	}
	response->responses_count = max_of(message->topic_data_count, 0);
	request->release = produce_release;
	bool acks_valid = message->acks >= -1 && message->acks <= 1;
	bool transaction_denied = !str_is_null(message->transactional_id) &&
				  !authorize(request, ACL_WRITE, RESOURCE_TRANSACTIONAL_ID,
					  message->transactional_id);

	for (int32_t i = 0; i < message->topic_data_count; i++) {
		const struct produce_request_topic_produce_data *in = &message->topic_data[i];
		struct produce_response_topic_produce_response *out = &response->responses[i];
		int32_t count = max_of(in->partition_data_count, 0);
		int16_t topic_error = 0;
		struct str name = in->name;
		const struct image_topic *topic;

		out->name = in->name;
		out->topic_id = in->topic_id;
		out->partition_responses =
			schema_new_array(&produce_response_partition_produce_response_schema,
				&request->arena, count);
		if (!out->partition_responses) {
			request_out_of_memory(request);
			return;
		}
		out->partition_responses_count = count;
		if (request->version >= 13) {
			topic = image_topic_by_id(request->image, &in->topic_id);
			if (topic)
				name = topic->name;
			else
				topic_error = KAFKA_UNKNOWN_TOPIC_ID;
		} else {
			topic = image_topic_by_name(request->image, in->name);
			if (!topic)
				topic_error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
		}
		if (transaction_denied)
			topic_error = KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
		else if ((topic || request->version < 13) &&
			 !authorize(request, ACL_WRITE, RESOURCE_TOPIC, name))
			topic_error = KAFKA_TOPIC_AUTHORIZATION_FAILED;
		for (int32_t j = 0; j < count; j++) {
			const struct produce_request_partition_produce_data *data =
				&in->partition_data[j];
			struct produce_response_partition_produce_response *answer =
				&out->partition_responses[j];
			const char *text = NULL;
			int16_t error = topic_error;

			answer->index = data->index;
			answer->base_offset = -1;
			answer->log_append_time_ms = -1;
			answer->log_start_offset = -1;
			if (!error && (data->index < 0 ||
					      data->index >= (int32_t)image_partition_count(topic)))
				error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
			if (!error && !acks_valid)
				error = KAFKA_INVALID_REQUIRED_ACKS;
			if (!error && topic_name_is_internal(name) &&
				!str_equal(request->client_id, STR("__admin_client")))
				error = KAFKA_INVALID_TOPIC_EXCEPTION;
			if (!error)
				error = produce_records_check(request, data->records.bytes, &text);
			if (error) {
				answer->error_code = error;
				answer->error_message = str_from(text);
				produce->failed = true;
				continue;
			}
			struct produce_part *part = &produce->parts[produce->part_count++];
			part->produce = produce;
			part->answer = answer;
			part->records = data->records.bytes;
			part->part.asker = request->shard;
			part->part.topic_id = topic->id;
			part->part.index = data->index;
			part->part.image_offset = image_position(request->image).offset;
			part->part.at_home = produce_at_home;
			part->part.back = produce_part_back;
		}
	}
	produce->pending = produce->part_count;
	if (produce->pending == 0) {
		produce_finish(request);
		return;
	}
	for (uint32_t i = 0; i < produce->part_count; i++)
		part_send(&produce->parts[i].part);
}
