/*
 * ListGroups, versions 0 to 5: all groups of this broker, by state (KIP-518) and type (KIP-848);
 * each coordinator lists its own.
 */
#include "broker/api/group_calls.h"

struct list_groups {
	struct group_calls calls;
	struct list_groups_response *lists; /* parallel to the calls */
};

static void list_groups_finished(struct request *request)
{
	struct list_groups_response *response = request->response;
	struct list_groups *work =
		container_of((struct group_calls *)request->context, struct list_groups, calls);
	bool all = authorize_cluster(request, ACL_DESCRIBE);
	int32_t count = 0;

	for (uint32_t i = 0; i < work->calls.count; i++) {
		const struct list_groups_response *list = &work->lists[i];
		count += list->groups_count;
		/* A partition that is another's lists there. */
		if (list->error_code && list->error_code != KAFKA_NOT_COORDINATOR)
			response->error_code = list->error_code;
	}
	if (response->error_code)
		count = 0;
	response->groups =
		schema_new_array(&list_groups_response_listed_group_schema, &request->arena, count);
	if (!response->groups) {
		request_out_of_memory(request);
		return;
	}
	for (uint32_t i = 0; i < work->calls.count && count > 0; i++) {
		const struct list_groups_response *list = &work->lists[i];
		for (int32_t j = 0; j < list->groups_count; j++) {
			if (all || authorize(request, ACL_DESCRIBE, RESOURCE_GROUP,
					   list->groups[j].group_id))
				response->groups[response->groups_count++] = list->groups[j];
		}
	}
	request_complete(request);
}

void handle_list_groups(struct request *request)
{
	const struct list_groups_request *message = request->message;
	const struct image_topic *topic =
		image_topic_by_name(request->image, STR("__consumer_offsets"));
	struct list_groups *work = request_new(request, struct list_groups);
	uint32_t count = topic ? image_partition_count(topic) : 0;

	if (!work || !group_calls_init(&work->calls, request, count, list_groups_finished) ||
		!(work->lists = schema_new_array(
			  &list_groups_response_schema, &request->arena, (int32_t)count))) {
		request_out_of_memory(request);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct group_call *call = group_calls_next(&work->calls);
		group_call_init(call, request, GROUP_ASK_LIST, STR(""), message,
			&list_groups_response_schema, &work->lists[i]);
		group_call_route_to(call, topic, image_partition_at(topic, i)->partition_id);
	}
	group_calls_go(&work->calls);
}
