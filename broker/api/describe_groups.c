/*
 * DescribeGroups, versions 0 to 6: state, protocol and members of classic groups; see
 * broker/group/admin.c.
 */
#include "broker/api/group_calls.h"

struct describe_groups {
	struct group_calls calls;
	struct describe_groups_response_described_group *described; /* parallel to the calls */
};

static void describe_groups_finished(struct request *request)
{
	const struct describe_groups_request *message = request->message;
	struct describe_groups_response *response = request->response;
	struct describe_groups *work =
		container_of((struct group_calls *)request->context, struct describe_groups, calls);

	/* What was refused stands there already. */
	for (uint32_t i = 0; i < work->calls.count; i++) {
		struct describe_groups_response_described_group *group = &work->described[i];
		if (request->version >= 3 && message->include_authorized_operations &&
			!group->error_code)
			group->authorized_operations =
				authorized_operations(request, RESOURCE_GROUP, group->group_id);
		response->groups[response->groups_count++] = *group;
	}
	request_complete(request);
}

void handle_describe_groups(struct request *request)
{
	const struct describe_groups_request *message = request->message;
	struct describe_groups_response *response = request->response;
	struct describe_groups *work = request_new(request, struct describe_groups);
	int32_t count = max_of(message->groups_count, 0);

	response->groups = schema_new_array(
		&describe_groups_response_described_group_schema, &request->arena, count);
	if (!work || !response->groups ||
		!group_calls_init(
			&work->calls, request, (uint32_t)count, describe_groups_finished) ||
		!(work->described =
				schema_new_array(&describe_groups_response_described_group_schema,
					&request->arena, count))) {
		request_out_of_memory(request);
		return;
	}
	for (int32_t i = 0; i < count; i++) {
		struct str name = message->groups[i];
		if (!authorize(request, ACL_DESCRIBE, RESOURCE_GROUP, name)) {
			struct describe_groups_response_described_group *refused =
				&response->groups[response->groups_count++];
			refused->group_id = name;
			refused->error_code = KAFKA_GROUP_AUTHORIZATION_FAILED;
			continue;
		}
		uint32_t place = work->calls.count;
		group_call_init(group_calls_next(&work->calls), request, GROUP_ASK_DESCRIBE, name,
			NULL, &describe_groups_response_described_group_schema,
			&work->described[place]);
	}
	group_calls_go(&work->calls);
}
