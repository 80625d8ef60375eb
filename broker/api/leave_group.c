/*
 * LeaveGroup, versions 0 to 5: one member leaves (to version 2), or several are removed at once
 * (KIP-345); see broker/group/sync.c.
 */
#include "broker/group/coordinator.h"

enum { SEVERAL_MEMBERS_VERSION = 3 };

/* Before version 3 the one member's error is the request's. */
static void leave_group_finish(struct group_call *call)
{
	struct leave_group_response *response = call->ask.response;

	if (call->ask.version >= SEVERAL_MEMBERS_VERSION)
		return;
	if (!response->error_code && response->members_count == 1)
		response->error_code = response->members[0].error_code;
	response->members = NULL;
	response->members_count = 0;
}

void handle_leave_group(struct request *request)
{
	struct leave_group_request *message = request->message;
	struct group_call *call = request_new(request, struct group_call);
	bool several = request->version >= SEVERAL_MEMBERS_VERSION;

	if (call && !several)
		message->members = schema_new_array(
			&leave_group_request_member_identity_schema, &request->arena, 1);
	if (!call || (!several && !message->members)) {
		request_out_of_memory(request);
		return;
	}
	if (!several) {
		message->members_count = 1;
		message->members[0].member_id = message->member_id;
		message->members[0].group_instance_id = STR_NULL;
	}
	group_call_init(call, request, GROUP_ASK_LEAVE, message->group_id, message,
		&leave_group_response_schema, request->response);
	call->finish = leave_group_finish;
	if (!authorize(request, ACL_READ, RESOURCE_GROUP, message->group_id))
		group_call_refuse(call, KAFKA_GROUP_AUTHORIZATION_FAILED);
	else if (group_id_check(message->group_id))
		group_call_refuse(call, KAFKA_INVALID_GROUP_ID);
	else
		group_call_one(call);
}
