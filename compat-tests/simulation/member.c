/*
 * The model member of a consumer group, by the classic protocol: joins, leads or follows, owns
 * partitions for a while, heartbeats, commits offsets and asks for those committed, and leaves,
 * falls silent, or joins anew. What is owned and committed goes to the group's history.
 *
 * The leader's assignment names its generation and one owner for each partition, so that an
 * assignment of another generation shows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "protocol/errors.h"

enum { ID_SIZE = 128 };

struct member {
	struct model *model;
	struct shard *shard;
	struct group_history *group;
	unsigned client;
	bool is_static; /* has a group.instance.id */
	char instance_id[32];
	struct model_connection connection;
	char member_id[ID_SIZE]; /* "": none yet */
	int32_t generation;
	bool owns[PARTITIONS_MAX];
};

static bool is_over(const struct member *member)
{
	return member->model->is_draining || history_is_violated(&member->model->history);
}

static struct str text(const char *string)
{
	return (struct str){string, (int32_t)strlen(string)};
}

static struct str instance_id(const struct member *member, bool is_known_to_version)
{
	return member->is_static && is_known_to_version ? text(member->instance_id) : STR_NULL;
}

static void id_forget(struct member *member)
{
	member->member_id[0] = '\0';
}

static void id_keep(struct member *member, struct str id)
{
	ensure(id.size < ID_SIZE);
	memcpy(member->member_id, id.data, (size_t)id.size);
	member->member_id[id.size] = '\0';
}

/* What every answer of a coordinator may say: true when the member goes on as it is. */
static bool code_is_good(struct member *member, const char *what, int code)
{
	switch (code) {
	case KAFKA_NONE:
		return true;
	case KAFKA_UNKNOWN_MEMBER_ID:
		id_forget(member);
		return false;
	case KAFKA_FENCED_INSTANCE_ID:
		/* An earlier join of ours, on a connection that was given up, came late. */
		id_forget(member);
		return false;
	case KAFKA_ILLEGAL_GENERATION:
	case KAFKA_REBALANCE_IN_PROGRESS:
		return false;
	default:
		if (code > 0 && model_can_retry(member->model, what, code))
			model_pause(member->shard);
		return false;
	}
}

/* ---- finding the coordinator ---- */

static bool coordinator_find(struct member *member)
{
	struct find_coordinator_request request;
	struct find_coordinator_response response;
	int version = (int)model_pick(member->shard, 7);
	struct str name = text(member->group->name);
	int code;

	schema_init(&find_coordinator_request_schema, &request);
	request.key = name;
	if (version >= 4) {
		request.key = STR("");
		request.coordinator_keys = &name;
		request.coordinator_keys_count = 1;
	}
	code = model_call(&member->connection, API_FIND_COORDINATOR, version, &request, &response);
	if (code)
		return false;
	code = response.error_code;
	if (version >= 4)
		code = response.coordinators_count == 1 ? response.coordinators[0].error_code
							: KAFKA_UNKNOWN_SERVER_ERROR;
	return code_is_good(member, "FindCoordinator", code);
}

/* ---- joining ---- */

/* Who owns what: the generation, then for each partition the place of its owner in the list. */
static struct bytes assignment_make(struct member *member, const bool *owned)
{
	unsigned count = member->model->topic.partition_count;
	uint8_t *data = arena_alloc(&member->connection.arena, 4 + count);

	ensure(data);
	store_be32(data, (uint32_t)member->generation);
	for (unsigned i = 0; i < count; i++)
		data[4 + i] = owned[i];
	return (struct bytes){.data = data, .size = (int32_t)(4 + count)};
}

static void assignments_make(struct member *member, const struct join_group_response *joined,
	struct sync_group_request *request)
{
	unsigned count = member->model->topic.partition_count;
	bool(*owned)[PARTITIONS_MAX] = arena_alloc_zero(
		&member->connection.arena, (size_t)joined->members_count, sizeof(*owned));

	ensure(owned);
	request->assignments = schema_new_array(&sync_group_request_assignment_schema,
		&member->connection.arena, joined->members_count);
	request->assignments_count = joined->members_count;
	ensure(request->assignments);
	for (unsigned i = 0; i < count; i++)
		owned[model_pick(member->shard, (uint32_t)joined->members_count)][i] = true;
	for (int32_t i = 0; i < joined->members_count; i++) {
		request->assignments[i].member_id = joined->members[i].member_id;
		request->assignments[i].assignment = assignment_make(member, owned[i]);
	}
}

static void assignment_read(struct member *member, struct bytes assignment)
{
	struct history *history = &member->model->history;
	unsigned count = member->model->topic.partition_count;

	memset(member->owns, 0, sizeof(member->owns));
	/* Joined when the leader had decided already: it gets its share in the next generation. */
	if (assignment.size == 0)
		return;
	if (assignment.size != (int32_t)(4 + count)) {
		history_violation(history, "%s handed out %d bytes as an assignment",
			member->group->name, assignment.size);
		return;
	}
	if (load_be32(assignment.data) != (uint32_t)member->generation) {
		history_violation(history,
			"%s handed out the assignment of generation %u in generation %d",
			member->group->name, load_be32(assignment.data), member->generation);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		member->owns[i] = assignment.data[4 + i];
		if (member->owns[i])
			group_history_own(member->group, member->generation, i, member->client);
	}
}

static bool group_sync(
	struct member *member, const struct join_group_response *joined, bool is_leader)
{
	struct sync_group_request request;
	struct sync_group_response response;
	int version = (int)model_pick(member->shard, 6);
	int code;

	schema_init(&sync_group_request_schema, &request);
	request.group_id = text(member->group->name);
	request.generation_id = member->generation;
	request.member_id = text(member->member_id);
	request.group_instance_id = instance_id(member, version >= 3);
	request.protocol_type = STR("consumer");
	request.protocol_name = STR("model");
	if (is_leader && !joined->skip_assignment)
		assignments_make(member, joined, &request);
	code = model_call(&member->connection, API_SYNC_GROUP, version, &request, &response);
	if (!code)
		code = response.error_code;
	if (!code_is_good(member, "SyncGroup", code))
		return false;
	assignment_read(member, response.assignment);
	return !history_is_violated(&member->model->history);
}

static bool group_join(struct member *member)
{
	struct arena *arena = &member->connection.arena;
	struct join_group_request request;
	struct join_group_response response;
	int version = (int)model_pick(member->shard, 10);
	uint64_t lives = member->model->lives;
	bool is_leader;
	int code;

	if (member->is_static)
		version = max_of(version, 5);
	schema_init(&join_group_request_schema, &request);
	request.group_id = text(member->group->name);
	request.session_timeout_ms = 1000 + (int32_t)model_pick(member->shard, 5000);
	request.rebalance_timeout_ms = 1000 + (int32_t)model_pick(member->shard, 5000);
	request.member_id = text(member->member_id);
	request.group_instance_id = instance_id(member, true);
	request.protocol_type = STR("consumer");
	request.protocols = schema_new_array(&join_group_request_protocol_schema, arena, 1);
	request.protocols_count = 1;
	ensure(request.protocols);
	request.protocols[0].name = STR("model");
	/* Kafka answers a member that comes back unchanged without a rebalance. */
	request.protocols[0].metadata = (struct bytes){.data = (const uint8_t *)"any", .size = 3};
	code = model_call(&member->connection, API_JOIN_GROUP, version, &request, &response);
	if (!code)
		code = response.error_code;
	if (code == KAFKA_MEMBER_ID_REQUIRED) {
		id_keep(member, response.member_id);
		return false;
	}
	if (!code_is_good(member, "JoinGroup", code))
		return false;
	id_keep(member, response.member_id);
	member->generation = response.generation_id;
	member->model->coverage.events[EVENT_STATIC_JOIN] += member->is_static;
	is_leader = response.leader.size == response.member_id.size &&
		    memcmp(response.leader.data, response.member_id.data,
			    (size_t)response.leader.size) == 0;
	if (is_leader) {
		/* The answer of a process that has ended since tells of a generation that may be
		 * gone with it, and its number be another's. */
		if (lives == member->model->lives)
			group_history_lead(member->group, member->generation, member->client);
		member->model->rebalances++;
	}
	return group_sync(member, &response, is_leader);
}

/* ---- what a member does ---- */

static bool group_heartbeat(struct member *member)
{
	struct heartbeat_request request;
	struct heartbeat_response response;
	int version = (int)model_pick(member->shard, 5), code;

	schema_init(&heartbeat_request_schema, &request);
	request.group_id = text(member->group->name);
	request.generation_id = member->generation;
	request.member_id = text(member->member_id);
	request.group_instance_id = instance_id(member, version >= 3);
	code = model_call(&member->connection, API_HEARTBEAT, version, &request, &response);
	if (!code)
		code = response.error_code;
	return code_is_good(member, "Heartbeat", code);
}

static void group_leave(struct member *member)
{
	struct leave_group_request request;
	struct leave_group_response response;
	int version = (int)model_pick(member->shard, 6), code;
	struct leave_group_request_member_identity *identity = schema_new_array(
		&leave_group_request_member_identity_schema, &member->connection.arena, 1);

	ensure(identity);
	schema_init(&leave_group_request_schema, &request);
	request.group_id = text(member->group->name);
	request.member_id = text(member->member_id);
	if (version >= 3) {
		request.member_id = STR("");
		identity->member_id = text(member->member_id);
		identity->group_instance_id = instance_id(member, true);
		request.members = identity;
		request.members_count = 1;
	}
	code = model_call(&member->connection, API_LEAVE_GROUP, version, &request, &response);
	if (!code)
		code_is_good(member, "LeaveGroup", response.error_code);
	id_forget(member);
}

/* An answer to a commit: what is in it for one partition. */
static bool commit_settle(struct member *member, unsigned partition, int64_t offset, int code)
{
	switch (code) {
	case KAFKA_NONE:
		member->model->commits++;
		group_history_acknowledge(member->group, partition, offset);
		return true;
	case KAFKA_UNKNOWN_MEMBER_ID:
	case KAFKA_ILLEGAL_GENERATION:
	case KAFKA_REBALANCE_IN_PROGRESS:
	case KAFKA_FENCED_INSTANCE_ID:
		group_history_refuse(member->group, partition, offset);
		return code_is_good(member, "OffsetCommit", code);
	default: /* it may have been written all the same */
		return code_is_good(member, "OffsetCommit", code);
	}
}

static bool offsets_commit(struct member *member)
{
	struct model *model = member->model;
	struct arena *arena = &member->connection.arena;
	struct offset_commit_request request;
	struct offset_commit_response response;
	struct offset_commit_request_topic *topic =
		schema_new_array(&offset_commit_request_topic_schema, arena, 1);
	struct offset_commit_request_partition *partitions =
		schema_new_array(&offset_commit_request_partition_schema, arena, PARTITIONS_MAX);
	int version = 1 + (int)model_pick(member->shard, 10), code;
	bool is_good = true;
	int32_t count = 0;

	ensure(topic && partitions);
	for (unsigned i = 0; i < model->topic.partition_count; i++) {
		if (!member->owns[i] || model_pick(member->shard, 2) == 0)
			continue;
		partitions[count].partition_index = (int32_t)i;
		partitions[count].committed_metadata = STR("");
		partitions[count].committed_offset =
			group_history_commit(member->group, i, member->generation);
		count += partitions[count].committed_offset >= 0;
	}
	if (count == 0)
		return true;
	schema_init(&offset_commit_request_schema, &request);
	request.group_id = text(member->group->name);
	request.generation_id_or_member_epoch = member->generation;
	request.member_id = text(member->member_id);
	request.group_instance_id = instance_id(member, version >= 7);
	request.topics = topic;
	request.topics_count = 1;
	if (version >= 10)
		topic->topic_id = model->topic.id;
	else
		topic->name = text(model->topic.name);
	topic->partitions = partitions;
	topic->partitions_count = count;
	code = model_call(&member->connection, API_OFFSET_COMMIT, version, &request, &response);
	if (code)
		return false;
	if (response.topics_count != 1 || response.topics[0].partitions_count != count) {
		history_violation(
			&model->history, "OffsetCommit answered %d topics", response.topics_count);
		return false;
	}
	for (int32_t i = 0; i < count && !history_is_violated(&model->history); i++)
		is_good &= commit_settle(member, (unsigned)partitions[i].partition_index,
			partitions[i].committed_offset,
			response.topics[0].partitions[i].error_code);
	return is_good;
}

static void offsets_fill(struct member *member, int version, struct offset_fetch_request *request,
	const int32_t *indexes, int32_t count)
{
	struct arena *arena = &member->connection.arena;
	const struct model_topic *main = &member->model->topic;
	struct offset_fetch_request_topic *topic;
	struct offset_fetch_request_group *group;

	schema_init(&offset_fetch_request_schema, request);
	if (version < 8) {
		topic = schema_new_array(&offset_fetch_request_topic_schema, arena, 1);
		ensure(topic);
		request->group_id = text(member->group->name);
		request->topics = topic;
		request->topics_count = 1;
		topic->name = text(main->name);
		topic->partition_indexes = (int32_t *)(uintptr_t)indexes;
		topic->partition_indexes_count = count;
		return;
	}
	group = schema_new_array(&offset_fetch_request_group_schema, arena, 1);
	ensure(group);
	group->topics = schema_new_array(&offset_fetch_request_topics_schema, arena, 1);
	ensure(group->topics);
	group->group_id = text(member->group->name);
	group->topics_count = 1;
	if (version >= 10)
		group->topics->topic_id = main->id;
	else
		group->topics->name = text(main->name);
	group->topics->partition_indexes = (int32_t *)(uintptr_t)indexes;
	group->topics->partition_indexes_count = count;
	request->groups = group;
	request->groups_count = 1;
}

static void offset_see(
	struct member *member, int32_t partition, int64_t offset, int code, int *ret_code)
{
	if (code)
		*ret_code = code;
	else if ((uint32_t)partition < member->model->topic.partition_count)
		group_history_see(member->group, (unsigned)partition, offset);
}

/* Whoever asks sees what is committed, one partition at a time: others may commit meanwhile, and
 * what was in doubt before the question is not after it. */
static bool offset_fetch(struct member *member, int32_t partition)
{
	struct offset_fetch_request request;
	struct offset_fetch_response response;
	int version = 1 + (int)model_pick(member->shard, 10), code;
	int64_t commits = member->group->commits;
	struct group_commit before = member->group->partitions[partition].settled;

	offsets_fill(member, version, &request, &partition, 1);
	code = model_call(&member->connection, API_OFFSET_FETCH, version, &request, &response);
	if (code)
		return false;
	/* Somebody else was told something in between: the answer may be older than that. */
	if (commits != member->group->commits ||
		before.offset != member->group->partitions[partition].settled.offset)
		return true;
	if (version < 8) {
		code = response.error_code;
		for (int32_t i = 0; !code && i < response.topics_count; i++)
			for (int32_t k = 0; k < response.topics[i].partitions_count; k++)
				offset_see(member, response.topics[i].partitions[k].partition_index,
					response.topics[i].partitions[k].committed_offset,
					response.topics[i].partitions[k].error_code, &code);
	} else if (response.groups_count != 1) {
		code = KAFKA_UNKNOWN_SERVER_ERROR;
	} else {
		const struct offset_fetch_response_group *group = &response.groups[0];

		code = group->error_code;
		for (int32_t i = 0; !code && i < group->topics_count; i++)
			for (int32_t k = 0; k < group->topics[i].partitions_count; k++)
				offset_see(member, group->topics[i].partitions[k].partition_index,
					group->topics[i].partitions[k].committed_offset,
					group->topics[i].partitions[k].error_code, &code);
	}
	return code_is_good(member, "OffsetFetch", code);
}

/* As long as the generation lives. */
static void generation_run(struct member *member)
{
	struct shard *shard = member->shard;

	for (;;) {
		bool is_good;

		arena_reset(&member->connection.arena);
		fiber_sleep(shard, (10 + model_pick(shard, 300)) * NS_PER_MS);
		if (is_over(member))
			return;
		switch (model_pick(shard, 8)) {
		case 0:
		case 1:
		case 2:
			is_good = offsets_commit(member);
			break;
		case 3:
			is_good = offset_fetch(member,
				(int32_t)model_pick(shard, member->model->topic.partition_count));
			break;
		default:
			is_good = group_heartbeat(member);
			break;
		}
		if (!is_good)
			return;
		if (model_pick(shard, 40) == 0) {
			group_leave(member);
			return;
		}
		/* As a process that dies: the session runs out. */
		if (model_pick(shard, 60) == 0) {
			model_connection_close(&member->connection);
			id_forget(member);
			fiber_sleep(shard, model_pick(shard, 10000) * NS_PER_MS);
			return;
		}
	}
}

static void member_init(struct member *member, struct model *model, struct shard *shard,
	unsigned group, unsigned client)
{
	*member = (struct member){
		.model = model, .shard = shard, .group = &model->groups[group], .client = client};
	snprintf(member->instance_id, sizeof(member->instance_id), "instance-%u", client);
	model_connection_init(&member->connection, model, shard);
}

static void member_run(struct shard *shard, void *argument)
{
	struct model_client *client = argument;
	struct model *model = client->model;
	struct member *member = malloc(sizeof(*member));

	ensure(member);
	member_init(member, model, shard, client->index % model->group_count, client->index);
	member->is_static = model_pick(shard, 3) == 0;
	while (!is_over(member)) {
		if (coordinator_find(member) && group_join(member))
			generation_run(member);
		arena_reset(&member->connection.arena);
	}
	model_connection_done(&member->connection);
	free(member);
	machine_exit(shard, 0);
}

void model_member_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, member_run, argument) == 0);
}

void model_groups_scan(struct model *model, struct shard *shard)
{
	struct member *member = malloc(sizeof(*member));

	ensure(member);
	for (unsigned i = 0; i < model->group_count; i++) {
		member_init(member, model, shard, i, 0);
		while (!history_is_violated(&model->history) && !coordinator_find(member))
			arena_reset(&member->connection.arena);
		for (unsigned k = 0; k < model->topic.partition_count; k++)
			while (!history_is_violated(&model->history) &&
				!offset_fetch(member, (int32_t)k))
				arena_reset(&member->connection.arena);
		model_connection_done(&member->connection);
	}
	free(member);
}
