/*
 * OffsetDelete, version 0 (KIP-496): a group's offsets of topics that none of its members reads.
 * Topics are checked here, the group decides in broker/group/offsets.c.
 */
#include "broker/group/coordinator.h"

struct offset_delete_work {
	struct group_call call;
	struct offset_delete_request checked;
	struct offset_delete_response refused;
	int32_t *twins; /* of each topic that is asked: its place among the refused; -1 */
};

/* What was refused comes first, then the group's answers, a topic once. */
static void offset_delete_finish(struct group_call *call)
{
	struct offset_delete_work *work = container_of(call, struct offset_delete_work, call);
	struct offset_delete_response *response = call->ask.response;
	const struct offset_delete_response *refused = &work->refused;
	struct arena *arena = &call->request->arena;

	/* An error of the group as a whole says nothing of topics. */
	if (response->error_code || refused->topics_count == 0)
		return;
	struct offset_delete_response_topic *topics =
		schema_new_array(&offset_delete_response_topic_schema, arena,
			refused->topics_count + response->topics_count);
	if (!topics)
		return;
	int32_t count = refused->topics_count;
	memcpy(topics, refused->topics, sizeof(*topics) * (size_t)count);
	for (int32_t i = 0; i < response->topics_count; i++) {
		const struct offset_delete_response_topic *own = &response->topics[i];
		if (work->twins[i] < 0) {
			topics[count++] = *own;
			continue;
		}
		struct offset_delete_response_topic *twin = &topics[work->twins[i]];
		struct offset_delete_response_partition *both =
			schema_new_array(&offset_delete_response_partition_schema, arena,
				twin->partitions_count + own->partitions_count);
		if (!both)
			return;
		memcpy(both, twin->partitions, sizeof(*both) * (size_t)twin->partitions_count);
		memcpy(both + twin->partitions_count, own->partitions,
			sizeof(*both) * (size_t)own->partitions_count);
		twin->partitions = both;
		twin->partitions_count += own->partitions_count;
	}
	response->topics = topics;
	response->topics_count = count;
}

static bool offset_delete_topic(
	struct offset_delete_work *work, const struct offset_delete_request_topic *in)
{
	struct request *request = work->call.request;
	const struct image_topic *topic = image_topic_by_name(request->image, in->name);
	int32_t count = max_of(in->partitions_count, 0);
	struct offset_delete_request_topic *ask = &work->checked.topics[work->checked.topics_count];
	struct offset_delete_response_topic *out =
		&work->refused.topics[work->refused.topics_count];
	int16_t error = 0;

	if (!authorize(request, ACL_READ, RESOURCE_TOPIC, in->name))
		error = KAFKA_TOPIC_AUTHORIZATION_FAILED;
	else if (!topic)
		error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	ask->partitions =
		schema_new_array(&offset_delete_request_partition_schema, &request->arena, count);
	out->partitions =
		schema_new_array(&offset_delete_response_partition_schema, &request->arena, count);
	if (!ask->partitions || !out->partitions)
		return false;
	ask->name = out->name = in->name;
	for (int32_t i = 0; i < count; i++) {
		int32_t index = in->partitions[i].partition_index;
		if (!error && image_partition(topic, index)) {
			ask->partitions[ask->partitions_count++] = in->partitions[i];
			continue;
		}
		struct offset_delete_response_partition *answer =
			&out->partitions[out->partitions_count++];
		answer->partition_index = index;
		answer->error_code = error ? error : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	}
	if (ask->partitions_count > 0)
		work->twins[work->checked.topics_count++] =
			out->partitions_count > 0 ? work->refused.topics_count : -1;
	if (out->partitions_count > 0)
		work->refused.topics_count++;
	return true;
}

void handle_offset_delete(struct request *request)
{
	const struct offset_delete_request *message = request->message;
	struct offset_delete_work *work = request_new(request, struct offset_delete_work);
	int32_t topics = max_of(message->topics_count, 0);

	if (!work) {
		request_out_of_memory(request);
		return;
	}
	struct group_call *call = &work->call;
	group_call_init(call, request, GROUP_ASK_OFFSET_DELETE, message->group_id, &work->checked,
		&offset_delete_response_schema, request->response);
	call->finish = offset_delete_finish;
	if (!authorize(request, ACL_DELETE, RESOURCE_GROUP, message->group_id)) {
		group_call_refuse(call, KAFKA_GROUP_AUTHORIZATION_FAILED);
		return;
	}
	work->checked = *message;
	work->checked.topics =
		schema_new_array(&offset_delete_request_topic_schema, &request->arena, topics);
	work->checked.topics_count = 0;
	work->refused.topics =
		schema_new_array(&offset_delete_response_topic_schema, &request->arena, topics);
	work->twins = request_new_array(request, int32_t, (size_t)topics);
	if (!work->checked.topics || !work->refused.topics || !work->twins) {
		request_out_of_memory(request);
		return;
	}
	for (int32_t i = 0; i < topics; i++) {
		if (!offset_delete_topic(work, &message->topics[i])) {
			request_out_of_memory(request);
			return;
		}
	}
	if (group_id_check(message->group_id))
		group_call_refuse(call, KAFKA_INVALID_GROUP_ID);
	else
		group_call_one(call);
}
