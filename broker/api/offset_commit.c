/*
 * OffsetCommit, versions 0 to 10: a group keeps how far it has read. Topics are checked here, the
 * group decides in broker/group/offsets.c. Version 0 meant ZooKeeper; ours keep offsets where all
 * others do.
 */
#include "broker/group/coordinator.h"
#include "runtime/map.h"

enum { TOPIC_ID_VERSION = 10 };

struct offset_commit_work {
	struct group_call call;
	struct offset_commit_request checked;  /* what the group is asked */
	struct offset_commit_response refused; /* what was refused before */
};

/* A topic of the answer, once, however often the request named it. */
struct offset_commit_merged {
	struct map_node node; /* by name, or id */
	struct offset_commit_response_topic topic;
	int32_t room;
};

/* Counts the partitions of each topic, or with FILL puts them in. False when the arena is
 * exhausted. */
static bool offset_commit_merge(struct request *request, struct map *map,
	struct offset_commit_merged *list, const struct offset_commit_response_topic *topics,
	int32_t count, bool fill)
{
	bool by_id = request->version >= TOPIC_ID_VERSION;

	for (int32_t i = 0; i < count; i++) {
		const struct offset_commit_response_topic *from = &topics[i];
		const void *key =
			by_id ? (const void *)&from->topic_id : (const void *)from->name.data;
		size_t key_size =
			by_id ? sizeof(from->topic_id) : (size_t)max_of(from->name.size, 0);
		struct offset_commit_merged *merged =
			map_find_entry(map, key, key_size, struct offset_commit_merged, node);
		if (!merged) {
			merged = &list[map->count];
			merged->topic.name = from->name;
			merged->topic.topic_id = from->topic_id;
			map_insert(map, &merged->node, key, key_size);
		}
		if (!fill) {
			merged->room += from->partitions_count;
			continue;
		}
		struct offset_commit_response_topic *to = &merged->topic;
		if (!to->partitions) {
			to->partitions = schema_new_array(&offset_commit_response_partition_schema,
				&request->arena, merged->room);
			if (!to->partitions)
				return false;
		}
		if (from->partitions_count > 0)
			memcpy(to->partitions + to->partitions_count, from->partitions,
				sizeof(*to->partitions) * (size_t)from->partitions_count);
		to->partitions_count += from->partitions_count;
	}
	return true;
}

/* Only what the version knows a topic by. */
static void offset_commit_names(const struct request *request,
	struct offset_commit_response_topic *topics, int32_t count)
{
	for (int32_t i = 0; i < count; i++) {
		if (request->version >= TOPIC_ID_VERSION)
			topics[i].name = STR("");
		else
			topics[i].topic_id = UUID_ZERO;
	}
}

/* What was refused comes first, then the group's answers, each topic once; where nothing was, the
 * group's stand as they were asked for. So it is in Kafka. From version 10 on a topic is known by
 * its id alone. */
static void offset_commit_finish(struct group_call *call)
{
	struct offset_commit_work *work = container_of(call, struct offset_commit_work, call);
	struct request *request = call->request;
	struct offset_commit_response *response = call->ask.response;
	struct offset_commit_response_topic *own = response->topics;
	int32_t own_count = response->topics_count, count = 0;
	int32_t room = own_count + work->refused.topics_count;
	struct map map;

	if (work->refused.topics_count == 0) {
		offset_commit_names(request, own, own_count);
		return;
	}
	struct offset_commit_merged *list =
		request_new_array(request, struct offset_commit_merged, (size_t)room);
	response->topics =
		schema_new_array(&offset_commit_response_topic_schema, &request->arena, room);
	response->topics_count = 0;
	map_init(&map, request_seed(request));
	if (list && response->topics) {
		bool done = true;
		for (int fill = 0; fill < 2 && done; fill++)
			done = offset_commit_merge(request, &map, list, work->refused.topics,
				       work->refused.topics_count, fill) &&
			       offset_commit_merge(request, &map, list, own, own_count, fill);
		count = done ? (int32_t)map.count : 0;
	}
	map_done(&map);
	for (int32_t i = 0; i < count; i++)
		response->topics[response->topics_count++] = list[i].topic;
	offset_commit_names(request, response->topics, response->topics_count);
	call->ask.out_of_memory = room > 0 && count == 0;
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
	out->topic_id = in->topic_id;
	/* The record says which topic was meant, also when the request only names it. */
	if (topic)
		ask->topic_id = topic->id;
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
	if (ask->partitions_count > 0)
		work->checked.topics_count++;
	if (out->partitions_count > 0 || (error && count == 0))
		work->refused.topics_count++;
	return true;
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
	call->finish = offset_commit_finish;
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
	if (!work->checked.topics || !work->refused.topics) {
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
		group_call_complete(call);
		return;
	}
	group_call_one(call);
}
