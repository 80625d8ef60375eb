/*
 * DescribeCluster, versions 0 to 2: the brokers by the listener on which it was asked, and the
 * controller.
 */
#include "broker/api/brokers.h"

enum { ENDPOINT_BROKER = 1, ENDPOINT_CONTROLLER = 2 };

void handle_describe_cluster(struct request *request)
{
	const struct describe_cluster_request *message = request->message;
	struct describe_cluster_response *response = request->response;
	uint32_t count = image_broker_count(request->image);

	response->cluster_authorized_operations = INT32_MIN;
	if (request->version >= 1 && message->endpoint_type != ENDPOINT_BROKER) {
		if (message->endpoint_type == ENDPOINT_CONTROLLER) {
			response->error_code = KAFKA_MISMATCHED_ENDPOINT_TYPE;
			response->error_message = STR("The request was sent to an endpoint of type "
						      "BROKER, but we wanted an endpoint "
						      "of type CONTROLLER");
		} else {
			response->error_code = KAFKA_UNSUPPORTED_ENDPOINT_TYPE;
			response->error_message = str_from(arena_printf(&request->arena,
				"Unsupported endpoint type %d", message->endpoint_type));
		}
		request_complete(request);
		return;
	}
	if (message->include_cluster_authorized_operations)
		response->cluster_authorized_operations =
			authorize_cluster(request, ACL_DESCRIBE)
				? authorized_operations(
					  request, RESOURCE_CLUSTER, CLUSTER_RESOURCE_NAME)
				: 0;
	response->endpoint_type = ENDPOINT_BROKER;
	response->cluster_id = request->home->broker->cluster_id;
	response->controller_id = request->home->broker->node_id;
	response->brokers =
		schema_new_array(&describe_cluster_response_describe_cluster_broker_schema,
			&request->arena, (int32_t)count);
	if (!response->brokers) {
		request_out_of_memory(request);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct register_broker_record *broker = image_broker_at(request->image, i);
		bool fenced_wanted = request->version >= 2 && message->include_fenced_brokers;
		const struct register_broker_record_broker_endpoint *endpoint =
			broker_endpoint(request, broker->broker_id);
		if (!endpoint && !(fenced_wanted && broker->fenced))
			continue;
		struct describe_cluster_response_describe_cluster_broker *out =
			&response->brokers[response->brokers_count++];
		out->broker_id = broker->broker_id;
		out->host = endpoint ? endpoint->host : STR("");
		out->port = endpoint ? endpoint->port : -1;
		out->rack = broker->rack;
		out->is_fenced = broker->fenced;
	}
	request_complete(request);
}
