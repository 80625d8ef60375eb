/*
 * JoinGroup, versions 0 to 9: a member wants to be in a group. The answer comes when the group's
 * join phase is over; see broker/group/join.c.
 */
#include "broker/group/coordinator.h"

void handle_join_group(struct request *request)
{
	struct join_group_request *message = request->message;
	struct join_group_response *response = request->response;
	struct group_call *call = request_new(request, struct group_call);
	/* As Java prints an address without a name: records and tools have it so. */
	const char *host = arena_printf(&request->arena, "/%.*s", STR_ARGS(request->host));

	if (!call || !host) {
		request_out_of_memory(request);
		return;
	}
	group_call_init(call, request, GROUP_ASK_JOIN, message->group_id, message,
		&join_group_response_schema, response);
	call->ask.client_host = str_from(host);
	if (!authorize(request, ACL_READ, RESOURCE_GROUP, message->group_id)) {
		group_call_refuse(call, KAFKA_GROUP_AUTHORIZATION_FAILED);
	} else if (group_id_check(message->group_id)) {
		group_ask_fail(&call->ask, KAFKA_INVALID_GROUP_ID);
		response->member_id = message->member_id;
		request_complete(request);
	} else {
		group_call_one(call);
	}
}
