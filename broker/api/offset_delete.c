/*
 * OffsetDelete, version 0 (KIP-496): a group's offsets of topics that none of its members reads.
 * Topics are checked here, the group decides in broker/group/offsets.c.
 */
#include "broker/api/merge.h"
#include "broker/group/coordinator.h"

struct offset_delete_work {
	struct group_call call;
	struct offset_delete_request checked;
	struct offset_delete_response refused;
};

/* Behind what OUT has of the topic. ROOM is for all of it. False when the arena is exhausted. */
static bool offset_delete_append(struct arena *arena, struct offset_delete_response_topic *out,
	const struct offset_delete_response_topic *from, int32_t room)
{
	if (!out->partitions) {
		out->name = from->name;
		out->partitions = schema_new_array(
			&offset_delete_response_partition_schema, arena, room);
	}
	if (!out->partitions)
		return false;
	memcpy(out->partitions + out->partitions_count, from->partitions,
		sizeof(*out->partitions) * (size_t)from->partitions_count);
	out->partitions_count += from->partitions_count;
	return true;
}

/* What was refused comes first, then the group's answers, each topic once. False when the arena is
 * exhausted. */
static bool offset_delete_merge(struct request *request, struct merge *merge,
	const struct offset_delete_response *refused, struct offset_delete_response *response)
{
	int32_t first = refused->topics_count, count = first + response->topics_count;
	struct offset_delete_response_topic *topics;

	for (int32_t i = 0; i < count; i++) {
		const struct offset_delete_response_topic *from =
			i < first ? &refused->topics[i] : &response->topics[i - first];
		merge_topic(merge, from->name, from->partitions_count);
	}
	topics = schema_new_array(
		&offset_delete_response_topic_schema, &request->arena, merge->place_count);
	if (!topics)
		return false;
	for (int32_t i = 0; i < count; i++) {
		int32_t place = merge_place(merge, i);
		if (!offset_delete_append(&request->arena, &topics[place],
			    i < first ? &refused->topics[i] : &response->topics[i - first],
			    merge->sizes[place]))
			return false;
	}
	response->topics = topics;
	response->topics_count = merge->place_count;
	return true;
}

static void offset_delete_finish(struct group_call *call)
{
	struct offset_delete_work *work = container_of(call, struct offset_delete_work, call);
	struct offset_delete_response *response = call->ask.response;
	struct request *request = call->request;
	struct merge merge;

	/* An error of the group as a whole says nothing of topics. */
	if (response->error_code || work->refused.topics_count == 0)
		return;
	call->ask.out_of_memory = !merge_init(&merge, &request->arena,
		work->refused.topics_count + response->topics_count, request_seed(request));
	if (call->ask.out_of_memory)
		return;
	call->ask.out_of_memory = !offset_delete_merge(request, &merge, &work->refused, response);
	merge_done(&merge);
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
		work->checked.topics_count++;
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
	if (!work->checked.topics || !work->refused.topics) {
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
