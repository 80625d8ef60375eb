/*
 * DeleteRecords, versions 0 to 2 (KIP-107): the log start of each partition moves up to an offset;
 * -1 is the high watermark. What lies below cannot be read from the moment of the answer on, and
 * its segments go with the next retention.
 */
#include "broker/api/api.h"

enum { OFFSET_HIGH_WATERMARK = -1 };

struct delete_records_errand {
	struct errand errand;
	int64_t offset;
	struct delete_records_response_delete_records_partition_result *answer;
};

struct delete_records_work {
	struct errands errands;
	struct delete_records_errand *list;
	uint32_t count;
};

static int16_t delete_records_apply(
	struct delete_records_errand *errand, struct partition *partition)
{
	struct log *log = partition->log;
	int64_t offset =
		errand->offset == OFFSET_HIGH_WATERMARK ? log_high_watermark(log) : errand->offset;
	int16_t error = partition_leader_check(partition, -1);

	if (error)
		return error;
	/* A log that is only compacted is not cut from the front. */
	if (!log_config(log)->delete_old)
		return KAFKA_POLICY_VIOLATION;
	if (offset < 0)
		return KAFKA_OFFSET_OUT_OF_RANGE;
	if (log_start_advance(log, offset) < 0)
		return KAFKA_OFFSET_OUT_OF_RANGE;
	errand->answer->low_watermark = log_start(log);
	partition_changed(partition);
	return 0;
}

static void delete_records_at_home(struct errand *base, struct partition *partition)
{
	struct delete_records_errand *errand =
		container_of(base, struct delete_records_errand, errand);

	errand_return(base, delete_records_apply(errand, partition));
}

static void delete_records_finished(struct request *request)
{
	struct delete_records_work *work = request->context;

	for (uint32_t i = 0; i < work->count; i++)
		work->list[i].answer->error_code = work->list[i].errand.error;
	request_complete(request);
}

void handle_delete_records(struct request *request)
{
	const struct delete_records_request *message = request->message;
	struct delete_records_response *response = request->response;
	struct delete_records_work *work = request_new(request, struct delete_records_work);
	int32_t topics = max_of(message->topics_count, 0);
	uint32_t partitions = 0;

	for (int32_t i = 0; i < topics; i++)
		partitions += (uint32_t)max_of(message->topics[i].partitions_count, 0);
	response->topics =
		schema_new_array(&delete_records_response_delete_records_topic_result_schema,
			&request->arena, topics);
	if (!work || !response->topics ||
		!(work->list = request_new_array(
			  request, struct delete_records_errand, partitions))) {
		request_out_of_memory(request);
		return;
	}
	response->topics_count = topics;
	request->context = work;
	errands_init(&work->errands, request, delete_records_finished);

	for (int32_t i = 0; i < topics; i++) {
		const struct delete_records_request_delete_records_topic *in = &message->topics[i];
		struct delete_records_response_delete_records_topic_result *out =
			&response->topics[i];
		const struct image_topic *topic = image_topic_by_name(request->image, in->name);
		int32_t count = max_of(in->partitions_count, 0);
		int16_t error = 0;

		if (!authorize(request, ACL_DELETE, RESOURCE_TOPIC, in->name))
			error = KAFKA_TOPIC_AUTHORIZATION_FAILED;
		else if (!topic)
			error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
		else if (topic_name_is_internal(in->name))
			error = KAFKA_INVALID_TOPIC_EXCEPTION;
		out->name = in->name;
		out->partitions = schema_new_array(
			&delete_records_response_delete_records_partition_result_schema,
			&request->arena, count);
		if (!out->partitions) {
			request_out_of_memory(request);
			return;
		}
		out->partitions_count = count;
		for (int32_t j = 0; j < count; j++) {
			struct delete_records_response_delete_records_partition_result *answer =
				&out->partitions[j];
			int32_t index = in->partitions[j].partition_index;

			answer->partition_index = index;
			answer->low_watermark = -1;
			answer->error_code = error;
			if (!error && (index < 0 || index >= (int32_t)image_partition_count(topic)))
				answer->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
			if (answer->error_code)
				continue;
			struct delete_records_errand *errand = &work->list[work->count++];
			errand->offset = in->partitions[j].offset;
			errand->answer = answer;
			errand_prepare(&work->errands, &errand->errand, &topic->id, index,
				delete_records_at_home);
		}
	}
	errands_go(&work->errands);
}
