/*
 * OffsetForLeaderEpoch, versions 0 to 4 (KIP-101, KIP-320): where an epoch ended, so that a
 * follower or consumer finds the point from which its log and ours differ.
 */
#include "broker/api/api.h"

struct epoch_errand {
	struct errand errand;
	const struct offset_for_leader_epoch_request_offset_for_leader_partition *ask;
	struct offset_for_leader_epoch_response_epoch_end_offset *answer;
};

struct epoch_work {
	struct errands errands;
	struct epoch_errand *list;
	uint32_t count;
};

static void epoch_at_home(struct errand *base, struct partition *partition)
{
	struct epoch_errand *errand = container_of(base, struct epoch_errand, errand);
	int16_t error = partition_leader_check(partition, errand->ask->current_leader_epoch);
	int32_t epoch;
	int64_t end;

	if (!error) {
		log_epoch_end_offset(partition->log, errand->ask->leader_epoch, &epoch, &end);
		errand->answer->leader_epoch = epoch;
		errand->answer->end_offset = end;
	}
	errand_return(base, error);
}

static void epoch_finished(struct request *request)
{
	struct epoch_work *work = request->context;

	for (uint32_t i = 0; i < work->count; i++)
		work->list[i].answer->error_code = work->list[i].errand.error;
	request_complete(request);
}

void handle_offset_for_leader_epoch(struct request *request)
{
	const struct offset_for_leader_epoch_request *message = request->message;
	struct offset_for_leader_epoch_response *response = request->response;
	struct epoch_work *work = request_new(request, struct epoch_work);
	int32_t topics = max_of(message->topics_count, 0);
	uint32_t partitions = 0;

	for (int32_t i = 0; i < topics; i++)
		partitions += (uint32_t)max_of(message->topics[i].partitions_count, 0);
	response->topics = schema_new_array(
		&offset_for_leader_epoch_response_offset_for_leader_topic_result_schema,
		&request->arena, topics);
	if (!work || !response->topics ||
		!(work->list = request_new_array(request, struct epoch_errand, partitions))) {
		request_out_of_memory(request);
		return;
	}
	response->topics_count = topics;
	request->context = work;
	errands_init(&work->errands, request, epoch_finished);

	bool cluster_allowed = authorize_cluster(request, ACL_CLUSTER_ACTION);
	for (int32_t i = 0; i < topics; i++) {
		const struct offset_for_leader_epoch_request_offset_for_leader_topic *in =
			&message->topics[i];
		struct offset_for_leader_epoch_response_offset_for_leader_topic_result *out =
			&response->topics[i];
		const struct image_topic *topic = image_topic_by_name(request->image, in->topic);
		bool allowed = cluster_allowed ||
			       authorize(request, ACL_DESCRIBE, RESOURCE_TOPIC, in->topic);
		int32_t count = max_of(in->partitions_count, 0);

		out->topic = in->topic;
		out->partitions =
			schema_new_array(&offset_for_leader_epoch_response_epoch_end_offset_schema,
				&request->arena, count);
		if (!out->partitions) {
			request_out_of_memory(request);
			return;
		}
		out->partitions_count = count;
		for (int32_t j = 0; j < count; j++) {
			struct offset_for_leader_epoch_response_epoch_end_offset *answer =
				&out->partitions[j];
			int32_t index = in->partitions[j].partition;

			answer->partition = index;
			answer->leader_epoch = -1;
			answer->end_offset = -1;
			if (!allowed)
				answer->error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
			else if (!topic || index < 0 ||
				 index >= (int32_t)image_partition_count(topic))
				answer->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
			if (answer->error_code)
				continue;
			struct epoch_errand *errand = &work->list[work->count++];
			errand->ask = &in->partitions[j];
			errand->answer = answer;
			errand_prepare(
				&work->errands, &errand->errand, topic, index, epoch_at_home);
		}
	}
	errands_go(&work->errands);
}
