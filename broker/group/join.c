/*
 * JoinGroup and the join phase: who may come in, when a rebalance begins, when it is complete.
 * Follows Kafka's GroupMetadataManager (classicGroupJoin and what it calls), KIP-134 (initial
 * delay), KIP-345 (static members), KIP-394 (known member ids) and KIP-814 (static leaders skip the
 * assignment).
 */
#include <stdio.h>

#include "broker/group/machine_internal.h"
#include "runtime/uuid.h"

enum { KNOWN_MEMBER_ID_VERSION = 4, SKIP_ASSIGNMENT_VERSION = 9 };

/* ---- answers ---- */

static void join_response_members(
	struct group *group, struct group_ask *ask, struct join_group_response *response)
{
	response->members =
		ask_array(ask, &join_group_response_member_schema, (int32_t)group->members.count);
	if (!response->members)
		return;
	map_for_each(node, &group->members)
	{
		const struct group_member *member = map_entry(node, struct group_member, node);
		struct join_group_response_member *out =
			&response->members[response->members_count++];
		out->member_id = ask_str(ask, member->id);
		out->group_instance_id = ask_str(ask, member->instance_id);
		out->metadata = ask_bytes(ask, group_member_metadata(member, group->protocol_name));
	}
}

/* With the generation as it is; LEADER is said to lead. */
static void join_respond(struct group_machine *machine, struct group_ask *ask, struct group *group,
	struct group_member *member, struct str leader, bool members, bool skip_assignment)
{
	struct join_group_response *response = ask->response;

	response->generation_id = group->generation;
	response->protocol_type = ask_str(ask, group->protocol_type);
	response->protocol_name = ask_str(ask, group->protocol_name);
	if (ask->version < 7 && str_is_null(response->protocol_name))
		response->protocol_name = STR("");
	response->leader = ask_str(ask, leader);
	response->skip_assignment = skip_assignment;
	response->member_id = ask_str(ask, member->id);
	if (members)
		join_response_members(group, ask, response);
	ask_answer(machine, ask);
}

static void join_refuse(
	struct group_machine *machine, struct group_ask *ask, struct str member_id, int16_t error)
{
	struct join_group_response *response = ask->response;

	group_ask_fail(ask, error);
	response->member_id = ask_str(ask, member_id);
	ask_answer(machine, ask);
}

static struct group_ask *join_unpark(struct group_member *member)
{
	struct group_ask *ask = member->joining;

	if (ask)
		group_ask_abandon(ask);
	return ask;
}

/* The member waits for the end of the join phase no longer. */
static struct group_ask *join_end_wait(struct group_member *member)
{
	if (member->awaits_join)
		member->group->joined--;
	member->awaits_join = false;
	return join_unpark(member);
}

static void join_park(
	struct group_machine *machine, struct group_member *member, struct group_ask *ask)
{
	struct group_ask *older = join_unpark(member);

	/* The member asks again, on another connection: what it asked first has no answer of its
	 * own. */
	if (older)
		join_refuse(machine, older, member->id, KAFKA_REBALANCE_IN_PROGRESS);
	if (!member->awaits_join)
		member->group->joined++;
	member->awaits_join = true;
	member->joining = ask;
	ask->place = &member->joining;
}

void classic_join_answer(struct group_member *member, int16_t error)
{
	struct group_machine *machine = member->group->machine;
	struct group_ask *ask = join_end_wait(member);

	if (!ask)
		return;
	if (error)
		join_refuse(machine, ask, error == KAFKA_UNKNOWN_MEMBER_ID ? STR("") : member->id,
			error);
	else
		join_respond(machine, ask, member->group, member, member->group->leader_id,
			group_is_leader(member), false);
}

void classic_session_restart(struct group_member *member)
{
	struct group_machine *machine = member->group->machine;

	deadline_set(&machine->deadlines, &member->session,
		machine->now.ms + max_of(member->session_timeout_ms, 0));
}

/* ---- the join phase ---- */

static bool group_has_all_joined(const struct group *group)
{
	return group->joined == group->members.count && group->pending.count == 0;
}

static void join_deadline_set(struct group *group, int32_t delay_ms)
{
	struct group_machine *machine = group->machine;

	deadline_set(&machine->deadlines, &group->join, machine->now.ms + max_of(delay_ms, 0));
}

/* The leader is one who joined; false when none did. */
static bool group_leader_elect(struct group *group)
{
	const struct group_member *leader = group_member_find(group, group->leader_id);

	if (str_is_null(group->leader_id))
		return false;
	if (leader && leader->awaits_join)
		return true;
	map_for_each(node, &group->members)
	{
		const struct group_member *member = map_entry(node, struct group_member, node);
		if (member->awaits_join) {
			state_str_set(group->machine, &group->leader_id, member->id);
			return true;
		}
	}
	return false;
}

static void join_complete(struct group *group)
{
	struct group_machine *machine = group->machine;

	deadline_stop(&machine->deadlines, &group->join);
	/* Dynamic members that have not come back are out; static ones are given until their
	 * session ends. */
	map_for_each_safe(node, &group->members)
	{
		struct group_member *member = map_entry(node, struct group_member, node);
		if (!member->awaits_join && str_is_null(member->instance_id))
			group_member_remove(member);
	}
	if (!group_leader_elect(group) && group->members.count > 0) {
		group->initial_delay = false;
		join_deadline_set(group, group_rebalance_timeout_ms(group));
		return;
	}
	group_generation_next(group);
	if (group->state == GROUP_EMPTY) {
		/* Nobody waits for it; a record that could not be made leaves the older one in the
		 * log. */
		record_group(machine, group, NULL);
		return;
	}
	map_for_each(node, &group->members)
	{
		struct group_member *member = map_entry(node, struct group_member, node);
		classic_join_answer(member, 0);
		classic_session_restart(member);
		member->is_new = false;
		member->sync_pending = true;
		group->syncs_pending++;
	}
	deadline_set(&machine->deadlines, &group->sync,
		machine->now.ms + max_of(group_rebalance_timeout_ms(group), 0));
}

void classic_join_expired(struct group *group)
{
	if (group->initial_delay && group->new_member_added && group->remaining_ms != 0) {
		/* More are coming: another delay, as long as the rebalance timeout lasts. */
		int32_t delay_ms = min_of(
			group->machine->limits.initial_rebalance_delay_ms, group->remaining_ms);
		group->new_member_added = false;
		group->remaining_ms = max_of(group->remaining_ms - group->delay_ms, 0);
		group->delay_ms = delay_ms;
		join_deadline_set(group, delay_ms);
		return;
	}
	join_complete(group);
}

static void rebalance_prepare(struct group *group)
{
	struct group_machine *machine = group->machine;
	bool initial = group->state == GROUP_EMPTY;

	if (group->state == GROUP_COMPLETING_REBALANCE)
		classic_assignments_reset(group, KAFKA_REBALANCE_IN_PROGRESS);
	map_for_each(node, &group->members) map_entry(node, struct group_member, node)
		->sync_pending = false;
	group->syncs_pending = 0;
	deadline_stop(&machine->deadlines, &group->sync);
	group->initial_delay = initial;
	if (initial) {
		group->delay_ms = machine->limits.initial_rebalance_delay_ms;
		group->remaining_ms =
			max_of(group_rebalance_timeout_ms(group) - group->delay_ms, 0);
		join_deadline_set(group, group->delay_ms);
		group_state_set(group, GROUP_PREPARING_REBALANCE);
		return;
	}
	group_state_set(group, GROUP_PREPARING_REBALANCE);
	if (group_has_all_joined(group))
		join_complete(group);
	else
		join_deadline_set(group, group_rebalance_timeout_ms(group));
}

void classic_complete_if_joined(struct group *group)
{
	/* The first join phase lasts its delay, whoever has come. */
	if (group->state == GROUP_PREPARING_REBALANCE && group->previous != GROUP_EMPTY &&
		group_has_all_joined(group))
		join_complete(group);
}

void classic_rebalance(struct group *group)
{
	if (group->state == GROUP_PREPARING_REBALANCE)
		classic_complete_if_joined(group);
	else
		rebalance_prepare(group);
}

/* ---- members that leave without a word ---- */

void classic_session_expired(struct group_member *member)
{
	struct group *group = member->group;

	if (group_pending_find(group, member->id) == member) {
		group_member_remove(member);
		if (group->state == GROUP_PREPARING_REBALANCE && group_has_all_joined(group))
			join_complete(group);
		return;
	}
	/* Who waits for an answer of ours is not late; but a new member has a limit of its own. */
	if (!member->is_new && (member->awaits_join || member->awaits_sync))
		return;
	classic_join_answer(member, KAFKA_UNKNOWN_MEMBER_ID);
	if (member->awaits_sync) {
		struct group_ask *ask = member->syncing;
		if (ask && group_ask_abandon(ask))
			ask_refuse(group->machine, ask, KAFKA_UNKNOWN_MEMBER_ID);
	}
	group_member_remove(member);
	if (group->state == GROUP_STABLE || group->state == GROUP_COMPLETING_REBALANCE)
		classic_rebalance(group);
	else if (group->state == GROUP_PREPARING_REBALANCE && group_has_all_joined(group))
		join_complete(group);
}

/* Those who never come back with the id that they were given must not keep others out: when there
 * are too many, the sessions of the oldest end early: of GROUP, which makes another, so that one that
 * is flooded forgets its own; else of all. One that does come back is unknown, and joins anew. */
static void pending_forget(struct group_machine *machine, const struct group *group)
{
	while (pending_is_full(machine)) {
		struct map_node *own = group ? map_first(&group->pending) : NULL;
		classic_session_expired(own ? map_entry(own, struct group_member, node)
					    : container_of(list_first(&machine->pending),
						      struct group_member, pending_node));
		machine->step->forgotten++;
	}
}

/* ---- JoinGroup ---- */

static int32_t join_rebalance_timeout_ms(const struct group_ask *ask)
{
	const struct join_group_request *message = ask->message;

	/* Before KIP-62 one timeout was both. */
	return ask->version == 0 ? message->session_timeout_ms : message->rebalance_timeout_ms;
}

static void member_update(
	struct group_machine *machine, struct group_member *member, struct group_ask *ask)
{
	const struct join_group_request *message = ask->message;

	group_member_protocols_set(member, message->protocols, message->protocols_count);
	member->rebalance_timeout_ms = join_rebalance_timeout_ms(ask);
	member->session_timeout_ms = message->session_timeout_ms;
	join_park(machine, member, ask);
}

static void member_add(struct group_machine *machine, struct group *group, struct group_ask *ask,
	struct str member_id)
{
	const struct join_group_request *message = ask->message;
	struct group_member *member = group_member_new(group, member_id, message->group_instance_id,
		ask->client_id, ask->client_host, join_rebalance_timeout_ms(ask),
		message->session_timeout_ms);
	struct group_member *pending = group_pending_find(group, member_id);

	if (pending)
		group_member_remove(pending);
	group_member_protocols_set(member, message->protocols, message->protocols_count);
	member->is_new = true;
	if (group->state == GROUP_PREPARING_REBALANCE && group->previous == GROUP_EMPTY)
		group->new_member_added = true;
	if (group->members.count == 0)
		state_str_set(machine, &group->protocol_type, message->protocol_type);
	group_member_add(group, member);
	join_park(machine, member, ask);
	deadline_set(&machine->deadlines, &member->session,
		machine->now.ms + NEW_MEMBER_JOIN_TIMEOUT_MS);
	classic_rebalance(group);
}

/* A static member comes back without its id: it takes its old place, under a new id. */
static void member_replace(struct group_machine *machine, struct group_member *member,
	struct group_ask *ask, struct str new_id)
{
	struct group *group = member->group;
	struct str old_leader = arena_str(ask->arena, group->leader_id);

	classic_join_answer(member, KAFKA_FENCED_INSTANCE_ID);
	if (member->syncing) {
		struct group_ask *syncing = member->syncing;
		group_ask_abandon(syncing);
		ask_refuse(machine, syncing, KAFKA_FENCED_INSTANCE_ID);
	}
	member->awaits_sync = false;
	group_member_id_set(member, new_id);
	member->is_new = false;
	if (member->sync_pending) {
		member->sync_pending = false;
		group->syncs_pending--;
	}
	classic_session_restart(member);
	member_update(machine, member, ask);
	if (group->state == GROUP_COMPLETING_REBALANCE) {
		rebalance_prepare(group);
		return;
	}
	if (group->state != GROUP_STABLE) {
		classic_complete_if_joined(group);
		return;
	}
	if (!str_equal(group->protocol_name, group_protocol_vote(group))) {
		classic_rebalance(group);
		return;
	}
	/* Nothing changes for the others: the group stays as it is, with the new id in the log. */
	int error = record_group(machine, group, NULL);
	struct group_ask *answer = join_end_wait(member);
	if (error < 0)
		join_refuse(machine, answer, STR(""), KAFKA_UNKNOWN_SERVER_ERROR);
	else if (ask->version >= SKIP_ASSIGNMENT_VERSION)
		join_respond(machine, answer, group, member, group->leader_id,
			group_is_leader(member), group_is_leader(member));
	else
		/* Who does not know that it may skip the assignment is told of another leader, so
		 * that it does not compute one. */
		join_respond(machine, answer, group, member, old_leader, false, false);
}

static struct str join_member_id(struct group_ask *ask)
{
	const struct join_group_request *message = ask->message;
	struct str prefix = str_is_null(message->group_instance_id) ? ask->client_id
								    : message->group_instance_id;
	const uint8_t *id = ask->entropy.octets;
	char *text = arena_printf(ask->arena,
		"%.*s-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		STR_ARGS(prefix), id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7], id[8],
		id[9], id[10], id[11], id[12], id[13], id[14], id[15]);

	return str_from(text);
}

static void join_new(struct group_machine *machine, struct group *group, struct group_ask *ask)
{
	const struct join_group_request *message = ask->message;
	struct str member_id = join_member_id(ask);
	struct group_member *member;

	if (str_is_null(member_id)) {
		ask->out_of_memory = true;
		ask_answer(machine, ask);
		return;
	}
	if (!group_accepts_protocols(
		    group, message->protocol_type, message->protocols, message->protocols_count)) {
		join_refuse(machine, ask, STR(""), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
		return;
	}
	member = group_instance_find(group, message->group_instance_id);
	if (member) {
		member_replace(machine, member, ask, member_id);
		return;
	}
	if (!str_is_null(message->group_instance_id) || ask->version < KNOWN_MEMBER_ID_VERSION) {
		member_add(machine, group, ask, member_id);
		return;
	}
	/* The member is told its id first, so that one that never comes back costs a session and
	 * not a rebalance. */
	struct group_member *pending = group_member_new(group, member_id, STR_NULL, STR(""),
		STR(""), message->session_timeout_ms, message->session_timeout_ms);
	group_pending_add(group, pending);
	classic_session_restart(pending);
	join_refuse(machine, ask, member_id, KAFKA_MEMBER_ID_REQUIRED);
}

static void join_known(struct group_machine *machine, struct group *group, struct group_ask *ask)
{
	const struct join_group_request *message = ask->message;
	struct group_member *member;

	if (!group_accepts_protocols(
		    group, message->protocol_type, message->protocols, message->protocols_count)) {
		join_refuse(machine, ask, message->member_id, KAFKA_INCONSISTENT_GROUP_PROTOCOL);
		return;
	}
	if (group_pending_find(group, message->member_id)) {
		if (!str_is_null(message->group_instance_id)) {
			/* An id that was given to a dynamic member cannot become a static one's. */
			join_refuse(machine, ask, STR(""), KAFKA_UNKNOWN_SERVER_ERROR);
			return;
		}
		member_add(machine, group, ask, message->member_id);
		return;
	}
	int16_t error =
		group_member_validate(group, message->member_id, message->group_instance_id);
	if (error) {
		join_refuse(machine, ask, message->member_id, error);
		return;
	}
	member = group_member_find(group, message->member_id);
	bool same = group_member_speaks(member, message->protocols, message->protocols_count);
	switch (group->state) {
	case GROUP_PREPARING_REBALANCE:
		break;
	case GROUP_COMPLETING_REBALANCE:
		if (!same)
			break;
		/* It did not get the answer. */
		join_respond(machine, ask, group, member, group->leader_id, group_is_leader(member),
			false);
		return;
	case GROUP_STABLE:
		/* A leader that joins again asks for a rebalance: what it reads may have changed.
		 */
		if (group_is_leader(member) || !same)
			break;
		join_respond(machine, ask, group, member, group->leader_id, false, false);
		return;
	default:
		join_refuse(machine, ask, message->member_id, KAFKA_UNKNOWN_MEMBER_ID);
		return;
	}
	member_update(machine, member, ask);
	classic_rebalance(group);
}

/* Is there room for it? */
static bool group_has_room(const struct group *group, struct str member_id)
{
	uint32_t most = (uint32_t)group->machine->limits.group_size_max;
	const struct group_member *member = group_member_find(group, member_id);

	switch (group->state) {
	case GROUP_PREPARING_REBALANCE:
		return (member && member->awaits_join) || group->joined < most;
	case GROUP_COMPLETING_REBALANCE:
	case GROUP_STABLE:
		return member || group->members.count < most;
	default:
		return true;
	}
}

void classic_join(struct group_machine *machine, struct group_ask *ask)
{
	const struct join_group_request *message = ask->message;
	struct group *group = group_find(machine, ask->group_id);
	bool unknown = message->member_id.size <= 0;
	bool is_new = !group;
	uint32_t records;

	if (message->session_timeout_ms < machine->limits.session_timeout_min_ms ||
		message->session_timeout_ms > machine->limits.session_timeout_max_ms) {
		join_refuse(machine, ask, message->member_id, KAFKA_INVALID_SESSION_TIMEOUT);
		return;
	}
	if (group && group->type != GROUP_CLASSIC) {
		join_refuse(machine, ask, message->member_id,
			group->type == GROUP_CONSUMER && !unknown
				? KAFKA_UNKNOWN_MEMBER_ID
				: KAFKA_INCONSISTENT_GROUP_PROTOCOL);
		return;
	}
	if (!group && !unknown) {
		join_refuse(machine, ask, message->member_id, KAFKA_UNKNOWN_MEMBER_ID);
		return;
	}
	/* (This may end the join phase of groups that waited for those who are forgotten.) */
	if (unknown)
		pending_forget(machine, group);
	records = machine->step->record_count;
	if (!group) {
		group = group_new(machine, ask->group_id);
		group->state_timestamp_ms = machine->now.wall_ms;
	}
	if (!group_has_room(group, message->member_id)) {
		struct group_member *out = group_member_find(group, message->member_id);
		if (!out)
			out = group_pending_find(group, message->member_id);
		if (out)
			group_member_remove(out);
		join_refuse(machine, ask, STR(""), KAFKA_GROUP_MAX_SIZE_REACHED);
	} else if (unknown) {
		join_new(machine, group, ask);
	} else {
		join_known(machine, group, ask);
	}
	/* A group's first record says that it is there, so that replay knows it before its first
	 * generation. */
	if (is_new && machine->step->record_count == records)
		record_group_empty(machine, group);
}

/* ---- the beginning and the end ---- */

void classic_loaded(struct group *group)
{
	if (group->type != GROUP_CLASSIC)
		return;
	map_for_each(node, &group->members)
		classic_session_restart(map_entry(node, struct group_member, node));
	/* The limit was lowered: a rebalance lets the members commit before some are turned away.
	 */
	if (group->members.count > (uint32_t)group->machine->limits.group_size_max)
		rebalance_prepare(group);
}

void classic_unload(struct group *group, int16_t error)
{
	struct group_machine *machine = group->machine;

	if (group->type != GROUP_CLASSIC)
		return;
	map_for_each(node, &group->members)
	{
		struct group_member *member = map_entry(node, struct group_member, node);
		classic_join_answer(member, error);
		struct group_ask *ask = member->syncing;
		if (ask && group_ask_abandon(ask))
			ask_refuse(machine, ask, error);
		member->awaits_sync = false;
		deadline_stop(&machine->deadlines, &member->session);
	}
	map_for_each(node, &group->pending) deadline_stop(
		&machine->deadlines, &map_entry(node, struct group_member, node)->session);
	deadline_stop(&machine->deadlines, &group->join);
	deadline_stop(&machine->deadlines, &group->sync);
	group->state = GROUP_DEAD;
}
