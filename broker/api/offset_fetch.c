/*
 * OffsetFetch, versions 0 to 10: how far groups have read: one group to version 7, several from
 * version 8 on; topics by id from version 10 on. The groups answer in broker/group/offsets.c.
 */
#include "broker/api/group_calls.h"

enum { ALL_TOPICS_VERSION = 2, SEVERAL_GROUPS_VERSION = 8, TOPIC_ID_VERSION = 10 };

/* One group of the request: what its coordinator is asked, and what was refused before. */
struct offset_fetch_group {
	struct offset_fetch_request_group checked;
	struct offset_fetch_response_group answer;
	struct offset_fetch_response_topics *refused;
	int32_t refused_count;
	bool all; /* topics: those that the principal may not see are left out */
};

struct offset_fetch {
	struct group_calls calls;
	struct offset_fetch_group *groups;
	int32_t count;
};

static bool offset_fetch_refuse(struct request *request, struct offset_fetch_group *group,
	const struct offset_fetch_request_topics *topic, int16_t error)
{
	struct offset_fetch_response_topics *out = &group->refused[group->refused_count++];
	int32_t count = max_of(topic->partition_indexes_count, 0);

	out->name = topic->name;
	out->topic_id = topic->topic_id;
	out->partitions =
		schema_new_array(&offset_fetch_response_partitions_schema, &request->arena, count);
	if (!out->partitions)
		return false;
	out->partitions_count = count;
	for (int32_t i = 0; i < count; i++) {
		out->partitions[i].partition_index = topic->partition_indexes[i];
		out->partitions[i].committed_offset = -1;
		out->partitions[i].committed_leader_epoch = -1;
		out->partitions[i].metadata = STR("");
		out->partitions[i].error_code = error;
	}
	return true;
}

/* Which topics the group is asked about. False when the arena is exhausted. */
static bool offset_fetch_topics_check(struct request *request, struct offset_fetch_group *group)
{
	struct offset_fetch_request_group *checked = &group->checked;
	const struct offset_fetch_request_topics *topics = checked->topics;
	int32_t count = checked->topics_count;

	group->all = count < 0;
	if (group->all)
		return true;
	checked->topics =
		schema_new_array(&offset_fetch_request_topics_schema, &request->arena, count);
	checked->topics_count = 0;
	group->refused =
		schema_new_array(&offset_fetch_response_topics_schema, &request->arena, count);
	if (!checked->topics || !group->refused)
		return false;
	for (int32_t i = 0; i < count; i++) {
		struct offset_fetch_request_topics topic = topics[i];
		int16_t error = 0;
		if (request->version >= TOPIC_ID_VERSION) {
			const struct image_topic *known =
				image_topic_by_id(request->image, &topic.topic_id);
			if (known)
				topic.name = known->name;
			else
				error = KAFKA_UNKNOWN_TOPIC_ID;
		}
		if (!error && !authorize(request, ACL_DESCRIBE, RESOURCE_TOPIC, topic.name))
			error = KAFKA_TOPIC_AUTHORIZATION_FAILED;
		if (!error)
			checked->topics[checked->topics_count++] = topic;
		else if (!offset_fetch_refuse(request, group, &topic, error))
			return false;
	}
	return true;
}

/* What the coordinator said and what was refused, as this version says topics. */
static bool offset_fetch_topics_join(struct request *request, struct offset_fetch_group *group)
{
	struct offset_fetch_response_group *answer = &group->answer;
	int32_t count = 0;

	if (answer->error_code) {
		answer->topics = NULL;
		answer->topics_count = 0;
		return true;
	}
	struct offset_fetch_response_topics *topics =
		schema_new_array(&offset_fetch_response_topics_schema, &request->arena,
			answer->topics_count + group->refused_count);
	if (!topics)
		return false;
	for (int32_t i = 0; i < answer->topics_count; i++) {
		struct offset_fetch_response_topics *topic = &answer->topics[i];
		if (group->all) {
			const struct image_topic *known =
				image_topic_by_name(request->image, topic->name);
			if (!authorize(request, ACL_DESCRIBE, RESOURCE_TOPIC, topic->name))
				continue;
			if (request->version >= TOPIC_ID_VERSION && !known)
				continue; /* it has no id any more */
			topic->topic_id = known ? known->id : (struct uuid){{0}};
		}
		topics[count++] = *topic;
	}
	for (int32_t i = 0; i < group->refused_count; i++)
		topics[count++] = group->refused[i];
	for (int32_t i = 0; i < count; i++) {
		if (request->version >= TOPIC_ID_VERSION)
			topics[i].name = STR("");
		else
			topics[i].topic_id = (struct uuid){{0}};
	}
	answer->topics = topics;
	answer->topics_count = count;
	return true;
}

/* The one group of an old request: its error is the request's, or before version 2 that of each
 * partition. */
static bool offset_fetch_answer_old(struct request *request, struct offset_fetch_group *group)
{
	const struct offset_fetch_request *message = request->message;
	struct offset_fetch_response *response = request->response;
	struct offset_fetch_response_group *answer = &group->answer;

	if (answer->error_code) {
		if (request->version >= ALL_TOPICS_VERSION) {
			response->error_code = answer->error_code;
			return true;
		}
		group->refused_count = 0;
		group->refused = schema_new_array(&offset_fetch_response_topics_schema,
			&request->arena, max_of(message->topics_count, 0));
		if (!group->refused)
			return false;
		for (int32_t i = 0; i < message->topics_count; i++) {
			struct offset_fetch_request_topics topic = {
				.name = message->topics[i].name,
				.partition_indexes = message->topics[i].partition_indexes,
				.partition_indexes_count =
					message->topics[i].partition_indexes_count,
			};
			if (!offset_fetch_refuse(request, group, &topic, answer->error_code))
				return false;
		}
		answer->topics = group->refused;
		answer->topics_count = group->refused_count;
	}
	response->topics = schema_new_array(
		&offset_fetch_response_topic_schema, &request->arena, answer->topics_count);
	if (!response->topics)
		return false;
	for (int32_t i = 0; i < answer->topics_count; i++) {
		const struct offset_fetch_response_topics *from = &answer->topics[i];
		struct offset_fetch_response_topic *to =
			&response->topics[response->topics_count++];
		to->name = from->name;
		to->partitions = schema_new_array(&offset_fetch_response_partition_schema,
			&request->arena, from->partitions_count);
		if (!to->partitions)
			return false;
		for (int32_t j = 0; j < from->partitions_count; j++) {
			struct offset_fetch_response_partition *partition =
				&to->partitions[to->partitions_count++];
			partition->partition_index = from->partitions[j].partition_index;
			partition->committed_offset = from->partitions[j].committed_offset;
			partition->committed_leader_epoch =
				from->partitions[j].committed_leader_epoch;
			partition->metadata = from->partitions[j].metadata;
			partition->error_code = from->partitions[j].error_code;
		}
	}
	return true;
}

static void offset_fetch_finished(struct request *request)
{
	struct offset_fetch_response *response = request->response;
	struct offset_fetch *work =
		container_of((struct group_calls *)request->context, struct offset_fetch, calls);
	bool done = true;

	for (int32_t i = 0; i < work->count && done; i++)
		done = offset_fetch_topics_join(request, &work->groups[i]);
	if (done && request->version < SEVERAL_GROUPS_VERSION) {
		done = offset_fetch_answer_old(request, &work->groups[0]);
	} else if (done) {
		response->groups = schema_new_array(
			&offset_fetch_response_group_schema, &request->arena, work->count);
		done = response->groups != NULL;
		for (int32_t i = 0; i < work->count && done; i++)
			response->groups[response->groups_count++] = work->groups[i].answer;
	}
	if (done)
		request_complete(request);
	else
		request_out_of_memory(request);
}

/* The one group of an old request as one of the newer ones. */
static bool offset_fetch_group_from_old(
	struct request *request, struct offset_fetch_request_group *group)
{
	const struct offset_fetch_request *message = request->message;
	int32_t count = message->topics_count;

	group->group_id = message->group_id;
	group->topics_count =
		count < 0 && request->version >= ALL_TOPICS_VERSION ? -1 : max_of(count, 0);
	if (group->topics_count < 0)
		return true;
	group->topics = schema_new_array(
		&offset_fetch_request_topics_schema, &request->arena, group->topics_count);
	if (!group->topics)
		return false;
	for (int32_t i = 0; i < group->topics_count; i++) {
		group->topics[i].name = message->topics[i].name;
		group->topics[i].partition_indexes = message->topics[i].partition_indexes;
		group->topics[i].partition_indexes_count =
			message->topics[i].partition_indexes_count;
	}
	return true;
}

void handle_offset_fetch(struct request *request)
{
	const struct offset_fetch_request *message = request->message;
	struct offset_fetch *work = request_new(request, struct offset_fetch);
	bool old = request->version < SEVERAL_GROUPS_VERSION;
	int32_t count = old ? 1 : max_of(message->groups_count, 0);

	if (!work ||
		!group_calls_init(&work->calls, request, (uint32_t)count, offset_fetch_finished) ||
		!(work->groups = request_new_array(
			  request, struct offset_fetch_group, (size_t)count))) {
		request_out_of_memory(request);
		return;
	}
	work->count = count;
	for (int32_t i = 0; i < count; i++) {
		struct offset_fetch_group *group = &work->groups[i];
		schema_init(&offset_fetch_request_group_schema, &group->checked);
		schema_init(&offset_fetch_response_group_schema, &group->answer);
		if (!old)
			group->checked = message->groups[i];
		if ((old && !offset_fetch_group_from_old(request, &group->checked)) ||
			!offset_fetch_topics_check(request, group)) {
			request_out_of_memory(request);
			return;
		}
		group->answer.group_id = group->checked.group_id;
		if (!authorize(request, ACL_DESCRIBE, RESOURCE_GROUP, group->checked.group_id)) {
			group->answer.error_code = KAFKA_GROUP_AUTHORIZATION_FAILED;
			continue;
		}
		struct group_call *call = group_calls_next(&work->calls);
		group_call_init(call, request, GROUP_ASK_OFFSET_FETCH, group->checked.group_id,
			&group->checked, &offset_fetch_response_group_schema, &group->answer);
		call->ask.require_stable = message->require_stable;
	}
	group_calls_go(&work->calls);
}
