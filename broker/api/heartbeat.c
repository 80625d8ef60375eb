/*
 * Heartbeat, versions 0 to 4: a member is alive, and learns whether its group rebalances; see
 * broker/group/sync.c.
 */
#include "broker/group/coordinator.h"

void handle_heartbeat(struct request *request)
{
	struct heartbeat_request *message = request->message;
	struct group_call *call = request_new(request, struct group_call);

	if (!call) {
		request_out_of_memory(request);
		return;
	}
	group_call_init(call, request, GROUP_ASK_HEARTBEAT, message->group_id, message,
		&heartbeat_response_schema, request->response);
	if (!authorize(request, ACL_READ, RESOURCE_GROUP, message->group_id))
		group_call_refuse(call, KAFKA_GROUP_AUTHORIZATION_FAILED);
	else if (group_id_check(message->group_id))
		group_call_refuse(call, KAFKA_INVALID_GROUP_ID);
	else
		group_call_one(call);
}
