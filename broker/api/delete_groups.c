/*
 * DeleteGroups, versions 0 to 2: groups without members, with their offsets; see
 * broker/group/admin.c.
 */
#include "broker/api/group_calls.h"
#include "runtime/map.h"

struct delete_groups {
	struct group_calls calls;
	struct delete_groups_response_deletable_group_result
		*results; /* parallel to the calls, then what was refused */
	uint32_t total;
};

static void delete_groups_finished(struct request *request)
{
	struct delete_groups_response *response = request->response;
	struct delete_groups *work =
		container_of((struct group_calls *)request->context, struct delete_groups, calls);

	response->results = work->results;
	response->results_count = (int32_t)work->total;
	request_complete(request);
}

/* The names once each, in order. */
static int32_t delete_groups_distinct(struct request *request, struct str *names)
{
	const struct delete_groups_request *message = request->message;
	int32_t count = 0;
	struct map seen;
	struct seen_name {
		struct map_node node;
	} *nodes = request_new_array(
		request, struct seen_name, (size_t)max_of(message->groups_names_count, 0));

	if (!nodes)
		return -1;
	map_init(&seen, request_seed(request));
	for (int32_t i = 0; i < message->groups_names_count; i++) {
		struct str name = message->groups_names[i];
		size_t size = (size_t)max_of(name.size, 0);
		if (map_find(&seen, name.data, size))
			continue;
		map_insert(&seen, &nodes[i].node, name.data, size);
		names[count++] = name;
	}
	map_done(&seen);
	return count;
}

void handle_delete_groups(struct request *request)
{
	const struct delete_groups_request *message = request->message;
	struct delete_groups *work = request_new(request, struct delete_groups);
	int32_t room = max_of(message->groups_names_count, 0), count = -1;
	struct str *names = request_new_array(request, struct str, (size_t)room);

	if (work && names)
		count = delete_groups_distinct(request, names);
	if (count < 0 ||
		!group_calls_init(&work->calls, request, (uint32_t)count, delete_groups_finished) ||
		!(work->results = schema_new_array(
			  &delete_groups_response_deletable_group_result_schema, &request->arena,
			  count))) {
		request_out_of_memory(request);
		return;
	}
	for (int32_t i = 0; i < count; i++) {
		if (!authorize(request, ACL_DELETE, RESOURCE_GROUP, names[i]))
			continue;
		struct delete_groups_response_deletable_group_result *result =
			&work->results[work->total++];
		group_call_init(group_calls_next(&work->calls), request, GROUP_ASK_DELETE, names[i],
			NULL, &delete_groups_response_deletable_group_result_schema, result);
		names[i] = STR_NULL;
	}
	for (int32_t i = 0; i < count; i++) {
		if (str_is_null(names[i]))
			continue;
		struct delete_groups_response_deletable_group_result *result =
			&work->results[work->total++];
		result->group_id = names[i];
		result->error_code = KAFKA_GROUP_AUTHORIZATION_FAILED;
	}
	group_calls_go(&work->calls);
}
