/*
 * SyncGroup, versions 0 to 5: a member asks for its assignment, and the leader brings those of all;
 * see broker/group/sync.c.
 */
#include "broker/group/coordinator.h"

enum { MANDATORY_PROTOCOL_VERSION = 5 };

void handle_sync_group(struct request *request)
{
	struct sync_group_request *message = request->message;
	struct group_call *call = request_new(request, struct group_call);

	if (!call) {
		request_out_of_memory(request);
		return;
	}
	group_call_init(call, request, GROUP_ASK_SYNC, message->group_id, message,
		&sync_group_response_schema, request->response);
	if (request->version >= MANDATORY_PROTOCOL_VERSION &&
		(str_is_null(message->protocol_type) || str_is_null(message->protocol_name)))
		group_call_refuse(call, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	else if (!authorize(request, ACL_READ, RESOURCE_GROUP, message->group_id))
		group_call_refuse(call, KAFKA_GROUP_AUTHORIZATION_FAILED);
	else if (group_id_check(message->group_id))
		group_call_refuse(call, KAFKA_INVALID_GROUP_ID);
	else
		group_call_one(call);
}
