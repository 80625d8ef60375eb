/*
 * SyncGroup, Heartbeat and LeaveGroup: the assignments of a generation, and who is still there.
 * Follows Kafka's GroupMetadataManager (classicGroupSync, classicGroupHeartbeat,
 * classicGroupLeave).
 */
#include <stdlib.h>

#include "broker/group/machine_internal.h"

/* ---- SyncGroup ---- */

static void sync_respond(
	struct group_machine *machine, struct group_ask *ask, struct group_member *member)
{
	struct sync_group_response *response = ask->response;

	response->protocol_type = ask_str(ask, member->group->protocol_type);
	response->protocol_name = ask_str(ask, member->group->protocol_name);
	response->assignment = ask_bytes(ask, member->assignment);
	ask_answer(machine, ask);
}

static void sync_park(
	struct group_machine *machine, struct group_member *member, struct group_ask *ask)
{
	struct group_ask *older = member->syncing;

	/* The member asks again, on another connection. */
	if (older && group_ask_abandon(older))
		ask_refuse(machine, older, KAFKA_REBALANCE_IN_PROGRESS);
	member->awaits_sync = true;
	member->syncing = ask;
	ask->place = &member->syncing;
}

void classic_assignments_send(struct group *group, int16_t error)
{
	map_for_each(node, &group->members)
	{
		struct group_member *member = map_entry(node, struct group_member, node);
		struct group_ask *ask = member->syncing;
		if (!member->awaits_sync)
			continue;
		member->awaits_sync = false;
		if (ask && group_ask_abandon(ask)) {
			if (error)
				ask_refuse(group->machine, ask, error);
			else
				sync_respond(group->machine, ask, member);
		}
		classic_session_restart(member);
	}
}

void classic_assignments_reset(struct group *group, int16_t error)
{
	map_for_each(node, &group->members)
		group_member_assign(map_entry(node, struct group_member, node), (struct bytes){0});
	classic_assignments_send(group, error);
}

static void sync_pending_remove(struct group_member *member)
{
	struct group *group = member->group;

	if (!member->sync_pending)
		return;
	member->sync_pending = false;
	if (--group->syncs_pending == 0)
		deadline_stop(&group->machine->deadlines, &group->sync);
}

/* What the leader decided, in the order of members; who is left out gets nothing to read. */
static struct bytes *sync_assignments(
	struct group *group, const struct sync_group_request *message, struct arena *arena)
{
	struct bytes *list = arena_alloc_zero(arena, group->members.count, sizeof(*list));
	struct map given;
	uint32_t place = 0;
	struct given {
		struct map_node node;
		struct bytes assignment;
	} *entries = arena_alloc_zero(
		arena, (size_t)max_of(message->assignments_count, 1), sizeof(*entries));

	if (!list || !entries)
		return NULL;
	map_init(&given, group->machine->seed);
	for (int32_t i = 0; i < message->assignments_count; i++) {
		struct str id = message->assignments[i].member_id;
		struct given *known = map_find_entry(
			&given, id.data, (size_t)max_of(id.size, 0), struct given, node);
		if (!known) {
			known = &entries[i];
			map_insert(&given, &known->node, id.data, (size_t)max_of(id.size, 0));
		}
		known->assignment = message->assignments[i].assignment; /* the last one counts */
	}
	map_for_each(node, &group->members)
	{
		const struct group_member *member = map_entry(node, struct group_member, node);
		const struct given *found = map_find_entry(
			&given, member->id.data, (size_t)member->id.size, struct given, node);
		list[place++] =
			found && found->assignment.size > 0 ? found->assignment : (struct bytes){0};
	}
	map_done(&given);
	return list;
}

static void sync_lead(struct group_machine *machine, struct group *group,
	const struct sync_group_request *message)
{
	struct bytes *assignments = sync_assignments(group, message, &machine->step->arena);

	if (!assignments || record_group(machine, group, assignments) < 0) {
		/* Too large for the log (or for us): the members are told, and begin again. */
		classic_assignments_reset(group, KAFKA_UNKNOWN_SERVER_ERROR);
		classic_rebalance(group);
		return;
	}
	uint32_t place = 0;
	map_for_each(node, &group->members) group_member_assign(
		map_entry(node, struct group_member, node), assignments[place++]);
	classic_assignments_send(group, 0);
	group_state_set(group, GROUP_STABLE);
}

static bool sync_says_another(struct str said, struct str known)
{
	return !str_is_null(said) && !str_is_null(known) && !str_equal(said, known);
}

void classic_sync(struct group_machine *machine, struct group_ask *ask)
{
	const struct sync_group_request *message = ask->message;
	struct group *group = group_find(machine, ask->group_id);
	struct group_member *member;
	int16_t error;

	if (!group || group->type != GROUP_CLASSIC || group->state == GROUP_EMPTY)
		error = KAFKA_UNKNOWN_MEMBER_ID;
	else
		error = group_member_validate(
			group, message->member_id, message->group_instance_id);
	if (!error && message->generation_id != group->generation)
		error = KAFKA_ILLEGAL_GENERATION;
	if (!error && (sync_says_another(message->protocol_type, group->protocol_type) ||
			      sync_says_another(message->protocol_name, group->protocol_name)))
		error = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
	if (!error && group->state == GROUP_PREPARING_REBALANCE)
		error = KAFKA_REBALANCE_IN_PROGRESS;
	if (error) {
		ask_refuse(machine, ask, error);
		return;
	}
	member = group_member_find(group, message->member_id);
	if (group->state == GROUP_COMPLETING_REBALANCE) {
		sync_park(machine, member, ask);
		sync_pending_remove(member);
		if (group_is_leader(member))
			sync_lead(machine, group, message);
		return;
	}
	sync_pending_remove(member);
	sync_respond(machine, ask, member);
}

void classic_sync_expired(struct group *group)
{
	bool removed = false;

	if (group->state != GROUP_COMPLETING_REBALANCE && group->state != GROUP_STABLE)
		return;
	map_for_each_safe(node, &group->members)
	{
		struct group_member *member = map_entry(node, struct group_member, node);
		if (!member->sync_pending)
			continue;
		group_member_remove(member);
		removed = true;
	}
	if (removed)
		classic_rebalance(group);
}

/* ---- Heartbeat ---- */

void classic_heartbeat(struct group_machine *machine, struct group_ask *ask)
{
	const struct heartbeat_request *message = ask->message;
	struct group *group = group_find(machine, ask->group_id);
	int16_t error;

	if (!group || group->type != GROUP_CLASSIC)
		error = KAFKA_UNKNOWN_MEMBER_ID;
	else
		error = group_member_validate(
			group, message->member_id, message->group_instance_id);
	if (!error && message->generation_id != group->generation)
		error = KAFKA_ILLEGAL_GENERATION;
	if (error) {
		ask_refuse(machine, ask, error);
		return;
	}
	classic_session_restart(group_member_find(group, message->member_id));
	if (group->state == GROUP_PREPARING_REBALANCE)
		ask_refuse(machine, ask, KAFKA_REBALANCE_IN_PROGRESS);
	else
		ask_answer(machine, ask);
}

/* ---- LeaveGroup ---- */

/* 0, or the member's error. */
static int16_t leave_one(struct group_machine *machine, struct group *group,
	const struct leave_group_request_member_identity *who)
{
	struct group_member *member;

	if (who->member_id.size <= 0) {
		/* An operator removes a static member by its name. */
		member = group_instance_find(group, who->group_instance_id);
		if (!member)
			return KAFKA_UNKNOWN_MEMBER_ID;
	} else {
		member = group_pending_find(group, who->member_id);
		if (member) {
			group_member_remove(member);
			return 0;
		}
		int16_t error =
			group_member_validate(group, who->member_id, who->group_instance_id);
		if (error)
			return error;
		member = group_member_find(group, who->member_id);
	}
	classic_join_answer(member, KAFKA_UNKNOWN_MEMBER_ID);
	struct group_ask *syncing = member->syncing;
	if (syncing && group_ask_abandon(syncing))
		ask_refuse(machine, syncing, KAFKA_UNKNOWN_MEMBER_ID);
	group_member_remove(member);
	return 0;
}

void classic_leave(struct group_machine *machine, struct group_ask *ask)
{
	const struct leave_group_request *message = ask->message;
	struct leave_group_response *response = ask->response;
	struct group *group = group_find(machine, ask->group_id);
	bool left = false;

	if (!group || group->type != GROUP_CLASSIC) {
		ask_refuse(machine, ask, KAFKA_UNKNOWN_MEMBER_ID);
		return;
	}
	response->members = ask_array(
		ask, &leave_group_response_member_response_schema, message->members_count);
	for (int32_t i = 0; response->members && i < message->members_count; i++) {
		const struct leave_group_request_member_identity *who = &message->members[i];
		struct leave_group_response_member_response *out =
			&response->members[response->members_count++];
		out->member_id = who->member_id;
		out->group_instance_id = who->group_instance_id;
		out->error_code = leave_one(machine, group, who);
		left = left || out->error_code == 0;
	}
	ask_answer(machine, ask);
	if (left && group->state != GROUP_EMPTY)
		classic_rebalance(group);
}
