/*
 * DescribeProducers, version 0 (KIP-664): the producers that each partition's log remembers.
 */
#include <stdlib.h>

#include "broker/api/api.h"

struct producers_errand {
	struct errand errand;
	struct describe_producers_response_partition_response *answer;
	struct log_producer *rows; /* malloc'ed at the partition's home, freed with the request */
	uint32_t count;
};

struct producers_work {
	struct errands errands;
	struct producers_errand *list;
	uint32_t count;
};

static void producers_release(struct request *request)
{
	struct producers_work *work = request->context;

	for (uint32_t i = 0; i < work->count; i++)
		free(work->list[i].rows);
}

static void producers_at_home(struct errand *base, struct partition *partition)
{
	struct producers_errand *errand = container_of(base, struct producers_errand, errand);
	int16_t error = partition_leader_check(partition, -1);

	if (!error) {
		errand->count = log_producer_count(partition->log);
		errand->rows =
			malloc(max_of((size_t)errand->count, (size_t)1) * sizeof(*errand->rows));
		if (errand->rows)
			errand->count = min_of(errand->count,
				log_producers(partition->log, errand->rows, errand->count));
		else
			error = KAFKA_UNKNOWN_SERVER_ERROR;
	}
	errand_return(base, error);
}

static bool producers_fill(struct request *request, struct producers_errand *errand)
{
	struct describe_producers_response_partition_response *answer = errand->answer;

	answer->error_code = errand->errand.error;
	if (errand->errand.error)
		return true;
	answer->active_producers =
		schema_new_array(&describe_producers_response_producer_state_schema,
			&request->arena, (int32_t)errand->count);
	if (!answer->active_producers)
		return false;
	answer->active_producers_count = (int32_t)errand->count;
	for (uint32_t i = 0; i < errand->count; i++) {
		struct describe_producers_response_producer_state *to =
			&answer->active_producers[i];
		const struct log_producer *from = &errand->rows[i];
		to->producer_id = from->producer_id;
		to->producer_epoch = from->producer_epoch;
		to->last_sequence = from->last_sequence;
		to->last_timestamp = from->last_timestamp_ms;
		to->coordinator_epoch = from->coordinator_epoch;
		to->current_txn_start_offset = from->transaction_start_offset;
	}
	return true;
}

static void producers_finished(struct request *request)
{
	struct producers_work *work = request->context;

	for (uint32_t i = 0; i < work->count; i++) {
		if (!producers_fill(request, &work->list[i])) {
			request_out_of_memory(request);
			return;
		}
	}
	request_complete(request);
}

void handle_describe_producers(struct request *request)
{
	const struct describe_producers_request *message = request->message;
	struct describe_producers_response *response = request->response;
	struct producers_work *work = request_new(request, struct producers_work);
	int32_t topics = max_of(message->topics_count, 0);
	uint32_t partitions = 0;

	for (int32_t i = 0; i < topics; i++)
		partitions += (uint32_t)max_of(message->topics[i].partition_indexes_count, 0);
	response->topics = schema_new_array(
		&describe_producers_response_topic_response_schema, &request->arena, topics);
	if (!work || !response->topics ||
		!(work->list = request_new_array(request, struct producers_errand, partitions))) {
		request_out_of_memory(request);
		return;
	}
	response->topics_count = topics;
	request->context = work;
	request->release = producers_release;
	errands_init(&work->errands, request, producers_finished);
	for (int32_t i = 0; i < topics; i++) {
		const struct describe_producers_request_topic_request *in = &message->topics[i];
		struct describe_producers_response_topic_response *out = &response->topics[i];
		const struct image_topic *topic = image_topic_by_name(request->image, in->name);
		int32_t count = max_of(in->partition_indexes_count, 0);
		struct str problem = topic_name_problem(&request->arena, in->name);
		int16_t error = 0;

		if (!str_is_null(problem))
			error = KAFKA_INVALID_TOPIC_EXCEPTION;
		else if (!authorize(request, ACL_READ, RESOURCE_TOPIC, in->name))
			error = KAFKA_TOPIC_AUTHORIZATION_FAILED;
		else if (!topic)
			error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
		out->name = in->name;
		out->partitions =
			schema_new_array(&describe_producers_response_partition_response_schema,
				&request->arena, count);
		if (!out->partitions) {
			request_out_of_memory(request);
			return;
		}
		out->partitions_count = count;
		for (int32_t j = 0; j < count; j++) {
			struct describe_producers_response_partition_response *answer =
				&out->partitions[j];
			int32_t index = in->partition_indexes[j];
			int16_t partition_error = error;

			answer->partition_index = index;
			if (!error && (index < 0 || index >= (int32_t)image_partition_count(topic)))
				partition_error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
			if (partition_error) {
				answer->error_code = partition_error;
				/* Kafka explains what is wrong with a topic, not with a partition.
				 */
				if (error)
					answer->error_message =
						error == KAFKA_INVALID_TOPIC_EXCEPTION
							? problem
							: kafka_error_message(error);
				continue;
			}
			struct producers_errand *errand = &work->list[work->count++];
			errand->answer = answer;
			errand_prepare(&work->errands, &errand->errand, topic, index,
				producers_at_home);
		}
	}
	errands_go(&work->errands);
}
