/*
 * DescribeQuorum, versions 0 to 2: the state of the metadata log's quorum, which this node alone
 * makes up.
 */
#include "broker/api/api.h"

#define METADATA_TOPIC STR("__cluster_metadata")

static bool quorum_partition(
	struct request *request, struct describe_quorum_response_partition_data *out)
{
	struct broker *broker = request->shard->broker;
	struct controller_quorum quorum;

	controller_quorum_describe(broker->controller, &quorum);
	out->leader_id = quorum.leader_id;
	out->leader_epoch = quorum.leader_epoch;
	out->high_watermark = quorum.high_watermark;
	out->current_voters = schema_new_array(
		&describe_quorum_response_replica_state_schema, &request->arena, 1);
	if (!out->current_voters)
		return false;
	out->current_voters_count = 1;
	out->current_voters[0].replica_id = quorum.voter_id;
	out->current_voters[0].replica_directory_id = quorum.voter_directory_id;
	out->current_voters[0].log_end_offset = quorum.log_end;
	out->current_voters[0].last_fetch_timestamp = quorum.last_fetch_ms;
	out->current_voters[0].last_caught_up_timestamp = quorum.last_fetch_ms;
	return true;
}

static bool quorum_nodes(struct request *request, struct describe_quorum_response *response)
{
	const struct register_controller_record *controller =
		image_controller(request->image, request->home->broker->node_id);

	if (!controller)
		return true;
	response->nodes =
		schema_new_array(&describe_quorum_response_node_schema, &request->arena, 1);
	if (!response->nodes)
		return false;
	response->nodes_count = 1;
	response->nodes[0].node_id = controller->controller_id;
	response->nodes[0].listeners = schema_new_array(&describe_quorum_response_listener_schema,
		&request->arena, controller->end_points_count);
	if (!response->nodes[0].listeners)
		return false;
	response->nodes[0].listeners_count = controller->end_points_count;
	for (int32_t i = 0; i < controller->end_points_count; i++) {
		response->nodes[0].listeners[i].name = controller->end_points[i].name;
		response->nodes[0].listeners[i].host = controller->end_points[i].host;
		response->nodes[0].listeners[i].port = controller->end_points[i].port;
	}
	return true;
}

/* Kafka answers a request for anything but the one partition with an error for each. */
static bool quorum_asked_rightly(const struct describe_quorum_request *message)
{
	return message->topics_count == 1 &&
	       str_equal(message->topics[0].topic_name, METADATA_TOPIC) &&
	       message->topics[0].partitions_count == 1 &&
	       message->topics[0].partitions[0].partition_index == 0;
}

static void quorum_answer(struct request *request)
{
	const struct describe_quorum_request *message = request->message;
	struct describe_quorum_response *response = request->response;
	bool right = quorum_asked_rightly(message);

	response->topics = schema_new_array(&describe_quorum_response_topic_data_schema,
		&request->arena, max_of(message->topics_count, 0));
	if (!response->topics) {
		request_out_of_memory(request);
		return;
	}
	for (int32_t i = 0; i < message->topics_count; i++) {
		const struct describe_quorum_request_topic_data *in = &message->topics[i];
		struct describe_quorum_response_topic_data *out =
			&response->topics[response->topics_count++];
		int32_t count = max_of(in->partitions_count, 0);

		out->topic_name = in->topic_name;
		out->partitions = schema_new_array(
			&describe_quorum_response_partition_data_schema, &request->arena, count);
		if (!out->partitions) {
			request_out_of_memory(request);
			return;
		}
		out->partitions_count = count;
		for (int32_t j = 0; j < count; j++) {
			out->partitions[j].partition_index = in->partitions[j].partition_index;
			if (!right) {
				out->partitions[j].error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
				if (request->version >= 2)
					out->partitions[j].error_message = kafka_error_message(
						KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
			} else if (!quorum_partition(request, &out->partitions[j])) {
				request_out_of_memory(request);
				return;
			}
		}
	}
	if (request->version >= 2 && right && !quorum_nodes(request, response)) {
		request_out_of_memory(request);
		return;
	}
	request_complete(request);
}

void handle_describe_quorum(struct request *request)
{
	struct describe_quorum_response *response = request->response;

	if (!authorize_cluster(request, ACL_DESCRIBE)) {
		response->error_code = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
		if (request->version >= 2)
			response->error_message =
				kafka_error_message(KAFKA_CLUSTER_AUTHORIZATION_FAILED);
		request_complete(request);
		return;
	}
	request_move(request, SHARD_MAIN, quorum_answer);
}
