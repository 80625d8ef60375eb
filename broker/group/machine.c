/*
 * The machine's life, its answers, and which event goes where.
 */
#include "broker/group/machine_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "protocol/batch.h"
#include "runtime/memory.h"

/* Beside its records a step has what it needs to make them: bounded by the largest request. */
#define STEP_ARENA_BYTES ((size_t)512 * 1024 * 1024)

/* ---- answers ---- */

void ask_answer(struct group_machine *machine, struct group_ask *ask)
{
	ensure(!ask->place);
	list_push_back(&machine->step->answers, &ask->node);
}

void ask_refuse(struct group_machine *machine, struct group_ask *ask, int16_t error)
{
	group_ask_fail(ask, error);
	ask_answer(machine, ask);
}

struct bytes ask_bytes(struct group_ask *ask, struct bytes from)
{
	if (from.size < 0)
		return BYTES_NULL;
	uint8_t *copy = arena_alloc(ask->arena, (size_t)from.size + 1);
	if (!copy) {
		ask->out_of_memory = true;
		return (struct bytes){.data = (const uint8_t *)"", .size = 0};
	}
	if (from.size > 0)
		memcpy(copy, from.data, (size_t)from.size);
	return (struct bytes){.data = copy, .size = from.size};
}

struct str ask_str(struct group_ask *ask, struct str from)
{
	struct bytes copy = ask_bytes(
		ask, (struct bytes){.data = (const uint8_t *)from.data, .size = from.size});

	return (struct str){.data = (const char *)copy.data, .size = copy.size};
}

void *ask_array(struct group_ask *ask, const struct schema_struct *schema, int32_t count)
{
	void *array = schema_new_array(schema, ask->arena, count);

	if (!array)
		ask->out_of_memory = true;
	return array;
}

static void fail_offset_commit(struct group_ask *ask, int16_t error)
{
	const struct offset_commit_request *message = ask->message;
	struct offset_commit_response *response = ask->response;

	response->topics =
		ask_array(ask, &offset_commit_response_topic_schema, message->topics_count);
	for (int32_t i = 0; response->topics && i < message->topics_count; i++) {
		const struct offset_commit_request_topic *in = &message->topics[i];
		struct offset_commit_response_topic *out =
			&response->topics[response->topics_count++];
		out->name = in->name;
		out->topic_id = in->topic_id;
		out->partitions = ask_array(
			ask, &offset_commit_response_partition_schema, in->partitions_count);
		for (int32_t j = 0; out->partitions && j < in->partitions_count; j++) {
			out->partitions[j].partition_index = in->partitions[j].partition_index;
			out->partitions[j].error_code = error;
			out->partitions_count++;
		}
	}
}

/* A member that is unknown is the member's error, not the request's (KIP-345). */
static void fail_leave(struct group_ask *ask, int16_t error)
{
	const struct leave_group_request *message = ask->message;
	struct leave_group_response *response = ask->response;

	if (error != KAFKA_UNKNOWN_MEMBER_ID) {
		response->error_code = error;
		return;
	}
	response->members = ask_array(
		ask, &leave_group_response_member_response_schema, message->members_count);
	for (int32_t i = 0; response->members && i < message->members_count; i++) {
		response->members[i].member_id = message->members[i].member_id;
		response->members[i].group_instance_id = message->members[i].group_instance_id;
		response->members[i].error_code = error;
		response->members_count++;
	}
}

void group_ask_fail(struct group_ask *ask, int16_t error)
{
	schema_init(ask->schema, ask->response);
	switch (ask->kind) {
	case GROUP_ASK_JOIN: {
		struct join_group_response *response = ask->response;
		response->error_code = error;
		response->protocol_name = ask->version < 7 ? STR("") : STR_NULL;
		break;
	}
	case GROUP_ASK_SYNC:
		((struct sync_group_response *)ask->response)->error_code = error;
		break;
	case GROUP_ASK_HEARTBEAT:
		/* A member's session does not run while its group is being loaded. */
		((struct heartbeat_response *)ask->response)->error_code =
			error == KAFKA_COORDINATOR_LOAD_IN_PROGRESS ? 0 : error;
		break;
	case GROUP_ASK_LEAVE:
		fail_leave(ask, error);
		break;
	case GROUP_ASK_OFFSET_COMMIT:
		fail_offset_commit(ask, error);
		break;
	case GROUP_ASK_OFFSET_FETCH: {
		struct offset_fetch_response_group *response = ask->response;
		response->group_id = ask->group_id;
		response->error_code = error;
		break;
	}
	case GROUP_ASK_OFFSET_DELETE:
		((struct offset_delete_response *)ask->response)->error_code = error;
		break;
	case GROUP_ASK_DESCRIBE: {
		struct describe_groups_response_described_group *response = ask->response;
		response->group_id = ask->group_id;
		response->error_code = error;
		break;
	}
	case GROUP_ASK_LIST:
		((struct list_groups_response *)ask->response)->error_code = error;
		break;
	case GROUP_ASK_DELETE: {
		struct delete_groups_response_deletable_group_result *response = ask->response;
		response->group_id = ask->group_id;
		response->error_code = error;
		break;
	}
	}
}

bool group_ask_abandon(struct group_ask *ask)
{
	if (!ask->place)
		return false;
	*ask->place = NULL;
	ask->place = NULL;
	return true;
}

/* ---- steps ---- */

void group_step_begin(struct group_step *step, struct group_now now, int64_t log_end)
{
	*step = (struct group_step){
		.now = now, .log_end = log_end, .record_bytes = BATCH_HEADER_SIZE};
	step->last = &step->first;
	arena_init(&step->arena, STEP_ARENA_BYTES);
	list_init(&step->answers);
}

void group_step_end(struct group_step *step)
{
	ensure(list_is_empty(&step->answers));
	arena_done(&step->arena);
}

static void machine_enter(struct group_machine *machine, struct group_step *step)
{
	ensure(!machine->step);
	machine->step = step;
	machine->now = step->now;
}

static void machine_leave(struct group_machine *machine)
{
	machine->step = NULL;
}

/* ---- life ---- */

struct group_machine *group_machine_new(
	const struct group_limits *limits, uint64_t seed, struct group_budget *budget)
{
	struct group_machine *machine = memory_new_object(struct group_machine);

	machine->limits = *limits;
	machine->seed = seed;
	machine->budget = budget;
	list_init(&machine->pending);
	machine->cleanup.kind = DEADLINE_CLEANUP;
	map_init(&machine->groups, seed);
	map_init(&machine->transactions, seed);
	return machine;
}

static void transactions_free(struct group_machine *machine)
{
	map_for_each_safe(node, &machine->transactions)
	{
		struct group_transaction *transaction =
			map_entry(node, struct group_transaction, node);
		transaction_end(machine, transaction->producer_id, false);
	}
}

void group_machine_free(struct group_machine *machine)
{
	if (!machine)
		return;
	transactions_free(machine);
	map_for_each_safe(node, &machine->groups) group_free(map_entry(node, struct group, node));
	map_done(&machine->groups);
	map_done(&machine->transactions);
	free(machine);
}

/* ---- events ---- */

void group_machine_loaded(struct group_machine *machine, struct group_step *step)
{
	machine_enter(machine, step);
	map_for_each(node, &machine->groups) classic_loaded(map_entry(node, struct group, node));
	deadline_set(&machine->deadlines, &machine->cleanup,
		machine->now.ms + machine->limits.check_interval_ms);
	machine_leave(machine);
}

void group_machine_succeed(struct group_machine *machine, const struct group_machine *failed)
{
	map_for_each(node, &failed->groups)
	{
		const struct group *told = map_entry(node, struct group, node);
		struct group *group = group_find(machine, told->id);

		if (group && told->type == GROUP_CLASSIC)
			group->generation_told = max_of(told->generation, told->generation_told);
	}
}

void group_machine_ask(
	struct group_machine *machine, struct group_step *step, struct group_ask *ask)
{
	machine_enter(machine, step);
	if (!ask_has_room(machine, ask)) {
		step->refused = true;
		step->refused_group = ask->group_id;
		ask_refuse(machine, ask, KAFKA_COORDINATOR_NOT_AVAILABLE);
		machine_leave(machine);
		return;
	}
	switch (ask->kind) {
	case GROUP_ASK_JOIN:
		classic_join(machine, ask);
		break;
	case GROUP_ASK_SYNC:
		classic_sync(machine, ask);
		break;
	case GROUP_ASK_HEARTBEAT:
		classic_heartbeat(machine, ask);
		break;
	case GROUP_ASK_LEAVE:
		classic_leave(machine, ask);
		break;
	case GROUP_ASK_OFFSET_COMMIT:
		offsets_commit(machine, ask);
		break;
	case GROUP_ASK_OFFSET_FETCH:
		offsets_fetch(machine, ask);
		break;
	case GROUP_ASK_OFFSET_DELETE:
		offsets_delete(machine, ask);
		break;
	case GROUP_ASK_DESCRIBE:
		admin_describe(machine, ask);
		break;
	case GROUP_ASK_LIST:
		admin_list(machine, ask);
		break;
	case GROUP_ASK_DELETE:
		admin_delete(machine, ask);
		break;
	}
	machine_leave(machine);
}

void group_machine_expire(struct group_machine *machine, struct group_step *step)
{
	struct deadline *due;

	machine_enter(machine, step);
	while ((step->record_count == 0 ||
		       step->record_bytes <= machine->limits.record_size_max / 2) &&
		(due = deadline_pop(&machine->deadlines, machine->now.ms))) {
		switch ((enum deadline_kind)due->kind) {
		case DEADLINE_SESSION:
			classic_session_expired(container_of(due, struct group_member, session));
			break;
		case DEADLINE_JOIN:
			classic_join_expired(container_of(due, struct group, join));
			break;
		case DEADLINE_SYNC:
			classic_sync_expired(container_of(due, struct group, sync));
			break;
		case DEADLINE_CLEANUP:
			offsets_cleanup(machine);
			break;
		}
	}
	machine_leave(machine);
}

bool group_machine_topic_deleted(struct group_machine *machine, struct group_step *step,
	struct str topic, const struct uuid *topic_id)
{
	bool all = true;

	machine_enter(machine, step);
	map_for_each_safe(node, &machine->groups)
	{
		struct group *group = map_entry(node, struct group, node);
		struct group_topic *found = map_find_entry(
			&group->topics, topic.data, (size_t)topic.size, struct group_topic, node);
		if (!found)
			continue;
		map_for_each_safe(offset_node, &found->partitions)
		{
			struct group_offset *offset =
				map_entry(offset_node, struct group_offset, node);
			/* Committed for a topic of that name that was made meanwhile. */
			if (offset->committed && !uuid_is_zero(&offset->value.topic_id) &&
				!uuid_is_zero(topic_id) &&
				!uuid_equal(&offset->value.topic_id, topic_id))
				continue;
			bool last = found->partitions.count == 1;
			if (record_offset_tombstone(machine, offset) < 0) {
				/* (One that is too large alone can never be told.) */
				all = step->record_count == 0;
				break;
			}
			offset_remove(offset);
			if (last)
				break; /* its topic went with it */
		}
		if (!all)
			break;
	}
	machine_leave(machine);
	return all;
}

void group_machine_unload(struct group_machine *machine, struct group_step *step, int16_t error)
{
	machine_enter(machine, step);
	map_for_each(node, &machine->groups)
		classic_unload(map_entry(node, struct group, node), error);
	deadline_stop(&machine->deadlines, &machine->cleanup);
	/* The next machine is loaded beside this one: what that does not need goes now. */
	transactions_free(machine);
	map_for_each_safe(node, &machine->groups)
		group_leave_generation(map_entry(node, struct group, node));
	machine_leave(machine);
}

int64_t group_machine_next_deadline_ms(const struct group_machine *machine)
{
	return deadline_next(&machine->deadlines);
}

uint32_t group_machine_group_count(const struct group_machine *machine)
{
	return machine->groups.count;
}

/* ---- as text ---- */

static void print(struct arena *arena, char **text, size_t *size, const char *line)
{
	size_t more = strlen(line);
	char *longer = arena_alloc(arena, *size + more + 1);

	ensure(longer);
	if (*size)
		memcpy(longer, *text, *size);
	memcpy(longer + *size, line, more + 1);
	*text = longer;
	*size += more;
}

struct str group_machine_print(const struct group_machine *machine, struct arena *arena)
{
	char *text = arena_printf(arena, "%s", "");
	size_t size = 0;

	map_for_each(node, &machine->groups)
	{
		const struct group *group = map_entry(node, struct group, node);
		print(arena, &text, &size,
			arena_printf(arena,
				"group %.*s %s generation=%d type=%.*s protocol=%.*s leader=%.*s\n",
				STR_ARGS(group->id), group_state_name(group), group->generation,
				STR_ARGS(group->protocol_type), STR_ARGS(group->protocol_name),
				STR_ARGS(group->leader_id)));
		map_for_each(member_node, &group->members)
		{
			const struct group_member *member =
				map_entry(member_node, struct group_member, node);
			struct bytes metadata = group_member_metadata(member, group->protocol_name);
			print(arena, &text, &size,
				arena_printf(arena,
					" member %.*s instance=%.*s client=%.*s host=%.*s "
					"timeouts=%d,%d metadata=%.*s assignment=%.*s\n",
					STR_ARGS(member->id), STR_ARGS(member->instance_id),
					STR_ARGS(member->client_id), STR_ARGS(member->client_host),
					member->rebalance_timeout_ms, member->session_timeout_ms,
					max_of(metadata.size, 0),
					metadata.data ? (const char *)metadata.data : "",
					max_of(member->assignment.size, 0),
					member->assignment.data
						? (const char *)member->assignment.data
						: ""));
		}
		map_for_each(topic_node, &group->topics)
		{
			const struct group_topic *topic =
				map_entry(topic_node, struct group_topic, node);
			map_for_each(offset_node, &topic->partitions)
			{
				const struct group_offset *offset =
					map_entry(offset_node, struct group_offset, node);
				print(arena, &text, &size,
					arena_printf(arena,
						" offset %.*s-%d %s %lld epoch=%d metadata=%.*s "
						"at=%lld expire=%lld pending=%u\n",
						STR_ARGS(topic->name), offset->partition,
						offset->committed ? "is" : "none",
						(long long)offset->value.offset,
						offset->value.leader_epoch,
						STR_ARGS(offset->value.metadata),
						(long long)offset->value.commit_timestamp_ms,
						(long long)offset->value.expire_timestamp_ms,
						offset->pending));
			}
		}
	}
	return (struct str){.data = text, .size = (int32_t)size};
}
