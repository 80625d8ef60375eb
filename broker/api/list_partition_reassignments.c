/*
 * ListPartitionReassignments, version 0: partitions whose replicas are being moved. With one node
 * there is nowhere to move to, but a directory that Kafka wrote may hold a reassignment under way.
 */
#include "broker/api/api.h"

static bool reassignment_is_asked(const struct list_partition_reassignments_request *message,
	struct str topic, int32_t partition)
{
	if (message->topics_count < 0)
		return true;
	for (int32_t i = 0; i < message->topics_count; i++) {
		if (!str_equal(message->topics[i].name, topic))
			continue;
		for (int32_t j = 0; j < message->topics[i].partition_indexes_count; j++) {
			if (message->topics[i].partition_indexes[j] == partition)
				return true;
		}
	}
	return false;
}

static bool reassignments_of(struct request *request, const struct image_topic *topic)
{
	struct list_partition_reassignments_response *response = request->response;
	struct list_partition_reassignments_response_ongoing_topic_reassignment *out = NULL;
	uint32_t count = image_partition_count(topic);

	for (uint32_t i = 0; i < count; i++) {
		const struct partition_record *record = image_partition_at(topic, i);
		if ((record->adding_replicas_count <= 0 && record->removing_replicas_count <= 0) ||
			!reassignment_is_asked(request->message, topic->name, record->partition_id))
			continue;
		if (!out) {
			out = &response->topics[response->topics_count++];
			out->name = topic->name;
			out->partitions = schema_new_array(
				&list_partition_reassignments_response_ongoing_partition_reassignment_schema,
				&request->arena, (int32_t)count);
			if (!out->partitions)
				return false;
		}
		struct list_partition_reassignments_response_ongoing_partition_reassignment *row =
			&out->partitions[out->partitions_count++];
		row->partition_index = record->partition_id;
		row->replicas = record->replicas;
		row->replicas_count = record->replicas_count;
		row->adding_replicas = record->adding_replicas;
		row->adding_replicas_count = max_of(record->adding_replicas_count, 0);
		row->removing_replicas = record->removing_replicas;
		row->removing_replicas_count = max_of(record->removing_replicas_count, 0);
	}
	return true;
}

void handle_list_partition_reassignments(struct request *request)
{
	struct list_partition_reassignments_response *response = request->response;

	if (!authorize_cluster(request, ACL_DESCRIBE)) {
		response->error_code = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
		response->error_message = kafka_error_message(KAFKA_CLUSTER_AUTHORIZATION_FAILED);
		request_complete(request);
		return;
	}
	response->error_message = STR_NULL;
	response->topics = schema_new_array(
		&list_partition_reassignments_response_ongoing_topic_reassignment_schema,
		&request->arena, (int32_t)image_topic_count(request->image));
	if (!response->topics) {
		request_out_of_memory(request);
		return;
	}
	for (const struct image_topic *topic = image_topic_at(request->image, 0); topic;
		topic = image_topic_next(request->image, topic)) {
		if (!reassignments_of(request, topic)) {
			request_out_of_memory(request);
			return;
		}
	}
	request_complete(request);
}
