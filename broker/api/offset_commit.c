/*
 * OffsetCommit, versions 0 to 10: a group keeps how far it has read. Topics are checked here, the
 * group decides in broker/group/offsets.c. Version 0 meant ZooKeeper; ours keep offsets where all
 * others do.
 */
#include "broker/group/coordinator.h"

enum { TOPIC_ID_VERSION = 10 };

struct offset_commit_work {
	struct group_call call;
	struct offset_commit_request checked;  /* what the group is asked */
	struct offset_commit_response refused; /* what was refused before */
	int32_t *twins; /* of each topic that is asked: its place among the refused; -1 */
};

/* What was refused comes first, then the group's answers; a topic that is in both is one topic, as
 * in Kafka. */
static void offset_commit_finish(struct group_call *call)
{
	struct offset_commit_work *work = container_of(call, struct offset_commit_work, call);
	struct offset_commit_response *response = call->ask.response;
	struct offset_commit_response *refused = &work->refused;

	if (refused->topics_count == 0)
		return;
	struct arena *arena = &call->request->arena;
	struct offset_commit_response_topic *topics =
		schema_new_array(&offset_commit_response_topic_schema, arena,
			refused->topics_count + response->topics_count);
	if (!topics)
		return;
	int32_t count = refused->topics_count;
	memcpy(topics, refused->topics, sizeof(*topics) * (size_t)count);
	for (int32_t i = 0; i < response->topics_count; i++) {
		const struct offset_commit_response_topic *own = &response->topics[i];
		if (work->twins[i] < 0) {
			topics[count++] = *own;
			continue;
		}
		struct offset_commit_response_topic *twin = &topics[work->twins[i]];
		struct offset_commit_response_partition *both =
			schema_new_array(&offset_commit_response_partition_schema, arena,
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

/* One topic into what is refused and what is asked. False when the arena is exhausted. */
static bool offset_commit_topic(
	struct offset_commit_work *work, const struct offset_commit_request_topic *in)
{
	struct request *request = work->call.request;
	bool by_id = request->version >= TOPIC_ID_VERSION;
	const struct image_topic *topic = by_id ? image_topic_by_id(request->image, &in->topic_id)
						: image_topic_by_name(request->image, in->name);
	struct str name = by_id && topic ? topic->name : in->name;
	int32_t count = max_of(in->partitions_count, 0);
	struct offset_commit_request_topic *ask = &work->checked.topics[work->checked.topics_count];
	struct offset_commit_response_topic *out =
		&work->refused.topics[work->refused.topics_count];
	int16_t error = 0;

	if (by_id && !topic)
		error = KAFKA_UNKNOWN_TOPIC_ID;
	else if (!authorize(request, ACL_READ, RESOURCE_TOPIC, name))
		error = KAFKA_TOPIC_AUTHORIZATION_FAILED;
	else if (!topic)
		error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	ask->partitions =
		schema_new_array(&offset_commit_request_partition_schema, &request->arena, count);
	out->partitions =
		schema_new_array(&offset_commit_response_partition_schema, &request->arena, count);
	if (!ask->partitions || !out->partitions)
		return false;
	ask->name = out->name = name;
	ask->topic_id = out->topic_id =
		in->topic_id; /* zero before version 10: the record has none then */
	for (int32_t i = 0; i < count; i++) {
		const struct offset_commit_request_partition *partition = &in->partitions[i];
		bool known = !error && image_partition(topic, partition->partition_index);
		if (known) {
			ask->partitions[ask->partitions_count++] = *partition;
			continue;
		}
		struct offset_commit_response_partition *answer =
			&out->partitions[out->partitions_count++];
		answer->partition_index = partition->partition_index;
		answer->error_code = error ? error : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	}
	bool is_refused = out->partitions_count > 0 || (error && count == 0);
	if (ask->partitions_count > 0)
		work->twins[work->checked.topics_count++] =
			is_refused ? work->refused.topics_count : -1;
	if (is_refused)
		work->refused.topics_count++;
	return true;
}

/* From version 10 on a topic is known by its id alone. */
static void offset_commit_names_drop(struct group_call *call)
{
	struct offset_commit_response *response = call->ask.response;
	bool by_id = call->ask.version >= TOPIC_ID_VERSION;

	offset_commit_finish(call);
	for (int32_t i = 0; i < response->topics_count; i++) {
		if (by_id)
			response->topics[i].name = STR("");
		else
			response->topics[i].topic_id = (struct uuid){{0}};
	}
}

void handle_offset_commit(struct request *request)
{
	const struct offset_commit_request *message = request->message;
	struct offset_commit_work *work = request_new(request, struct offset_commit_work);
	int32_t topics = max_of(message->topics_count, 0);

	if (!work) {
		request_out_of_memory(request);
		return;
	}
	struct group_call *call = &work->call;
	group_call_init(call, request, GROUP_ASK_OFFSET_COMMIT, message->group_id, message,
		&offset_commit_response_schema, request->response);
	call->finish = offset_commit_names_drop;
	if (!authorize(request, ACL_READ, RESOURCE_GROUP, message->group_id)) {
		group_call_refuse(call, KAFKA_GROUP_AUTHORIZATION_FAILED);
		return;
	}
	work->checked = *message;
	work->checked.topics =
		schema_new_array(&offset_commit_request_topic_schema, &request->arena, topics);
	work->checked.topics_count = 0;
	work->refused.topics =
		schema_new_array(&offset_commit_response_topic_schema, &request->arena, topics);
	work->twins = request_new_array(request, int32_t, (size_t)topics);
	if (!work->checked.topics || !work->refused.topics || !work->twins) {
		request_out_of_memory(request);
		return;
	}
	call->ask.message = &work->checked;
	for (int32_t i = 0; i < topics; i++) {
		if (!offset_commit_topic(work, &message->topics[i])) {
			request_out_of_memory(request);
			return;
		}
	}
	if (work->checked.topics_count == 0) {
		offset_commit_names_drop(call);
		request_complete(request);
		return;
	}
	group_call_one(call);
}
