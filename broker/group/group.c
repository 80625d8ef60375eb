/*
 * A group and its members as containers: who is in it, what they speak, what they vote for. When
 * they come and go is said in join.c and its neighbours.
 */
#include "broker/group/java_hash.h"
#include "broker/group/machine_internal.h"

#define CONSUMER_PROTOCOL_TYPE STR("consumer")

/* ---- groups ---- */

struct group *group_find(struct group_machine *machine, struct str id)
{
	return map_find_entry(
		&machine->groups, id.data, (size_t)max_of(id.size, 0), struct group, node);
}

struct group *group_new(struct group_machine *machine, struct str id)
{
	struct group *group = state_new(machine, sizeof(*group));

	group->machine = machine;
	group->id = state_str(machine, id);
	group->state_timestamp_ms = -1;
	group->protocol_type = group->protocol_name = group->leader_id = STR_NULL;
	group->join.kind = DEADLINE_JOIN;
	group->sync.kind = DEADLINE_SYNC;
	map_init(&group->members, machine->seed);
	map_init(&group->pending, machine->seed);
	map_init(&group->instances, machine->seed);
	map_init(&group->protocols, machine->seed);
	map_init(&group->subscribed, machine->seed);
	map_init(&group->topics, machine->seed);
	map_insert(&machine->groups, &group->node, group->id.data, (size_t)group->id.size);
	return group;
}

static void group_subscriptions_clear(struct group *group)
{
	map_for_each_safe(node, &group->subscribed)
	{
		struct group_subscribed *subscribed =
			map_entry(node, struct group_subscribed, node);
		map_remove(&group->subscribed, node);
		state_free(group->machine, (void *)(uintptr_t)subscribed->name.data);
		state_free(group->machine, subscribed);
	}
	group->topics_known = false;
}

/* All that came from group records and joins; the offsets stay. */
static void group_clear(struct group *group)
{
	struct group_machine *machine = group->machine;

	map_for_each_safe(node, &group->members)
		group_member_remove(map_entry(node, struct group_member, node));
	map_for_each_safe(node, &group->pending)
		group_member_remove(map_entry(node, struct group_member, node));
	ensure(group->protocols.count == 0);
	group_subscriptions_clear(group);
	deadline_stop(&machine->deadlines, &group->join);
	deadline_stop(&machine->deadlines, &group->sync);
	state_str_set(machine, &group->protocol_type, STR_NULL);
	state_str_set(machine, &group->protocol_name, STR_NULL);
	state_str_set(machine, &group->leader_id, STR_NULL);
	group->type = GROUP_CLASSIC;
	group->recorded = false;
	group->state = group->previous = GROUP_EMPTY;
	group->state_timestamp_ms = -1;
	group->generation = 0;
	group->new_member_added = false;
}

void group_free(struct group *group)
{
	struct group_machine *machine = group->machine;

	offsets_free(group);
	group_clear(group);
	map_done(&group->members);
	map_done(&group->pending);
	map_done(&group->instances);
	map_done(&group->protocols);
	map_done(&group->subscribed);
	map_done(&group->topics);
	map_remove(&machine->groups, &group->node);
	state_free(machine, (void *)(uintptr_t)group->id.data);
	state_free(machine, group);
}

void group_leave_generation(struct group *group)
{
	int32_t generation = max_of(group->generation, group->generation_told);

	offsets_free(group);
	if (group->type != GROUP_CLASSIC || generation == 0) {
		group_free(group);
		return;
	}
	group_clear(group);
	group->state = GROUP_DEAD;
	group->generation = generation;
}

void group_forget(struct group *group)
{
	if (group->topics.count > 0)
		group_clear(group);
	else
		group_free(group);
}

void group_state_set(struct group *group, enum group_state state)
{
	group->previous = group->state;
	group->state = state;
	group->state_timestamp_ms = group->machine->now.wall_ms;
}

const char *group_state_name(const struct group *group)
{
	static const char *const names[] = {
		[GROUP_EMPTY] = "Empty",
		[GROUP_PREPARING_REBALANCE] = "PreparingRebalance",
		[GROUP_COMPLETING_REBALANCE] = "CompletingRebalance",
		[GROUP_STABLE] = "Stable",
		[GROUP_DEAD] = "Dead",
	};
	return names[group->state];
}

bool group_uses_consumer_protocol(const struct group *group)
{
	return str_equal(group->protocol_type, CONSUMER_PROTOCOL_TYPE);
}

int32_t group_rebalance_timeout_ms(const struct group *group)
{
	int32_t longest = 0;

	map_for_each(node, &group->members) longest =
		max_of(longest, map_entry(node, struct group_member, node)->rebalance_timeout_ms);
	return longest;
}

/* ---- what the members read ---- */

bool group_is_subscribed(const struct group *group, struct str topic)
{
	if (!group->topics_known)
		return group_uses_consumer_protocol(group);
	return map_find(&group->subscribed, topic.data, (size_t)topic.size) != NULL;
}

/* The topics of one subscription (a version in two bytes, then the message): false when it cannot
 * be read, when it is too large ever to be recorded, and when there is no room for what it names. */
static bool group_subscription_add(struct group *group, struct bytes metadata)
{
	struct consumer_protocol_subscription subscription;
	struct arena arena;
	bool read = false;

	if (metadata.size < 2 || (uint32_t)metadata.size > group->machine->limits.record_size_max)
		return false;
	arena_init(&arena, (size_t)metadata.size * 16 + 4096);
	/* Version 0 is the beginning of all others. */
	struct bytes body = {.data = metadata.data + 2, .size = metadata.size - 2};
	if ((int16_t)load_be16(metadata.data) >= 0 &&
		schema_decode(&consumer_protocol_subscription_schema, 0, body, &arena,
			&subscription, NULL, NULL) == 0) {
		read = true;
		for (int32_t i = 0; i < subscription.topics_count; i++) {
			struct str name = subscription.topics[i];
			if (map_find(&group->subscribed, name.data, (size_t)name.size))
				continue;
			if (!budget_allows(
				    group->machine, state_cost(sizeof(struct group_subscribed)) +
							    state_cost((size_t)name.size))) {
				read = false;
				break;
			}
			struct group_subscribed *subscribed =
				state_new(group->machine, sizeof(*subscribed));
			subscribed->name = state_str(group->machine, name);
			map_insert(&group->subscribed, &subscribed->node, subscribed->name.data,
				(size_t)name.size);
		}
	}
	arena_done(&arena);
	return read;
}

void group_subscriptions_update(struct group *group)
{
	group_subscriptions_clear(group);
	if (!group_uses_consumer_protocol(group))
		return;
	group->topics_known = true;
	if (group->members.count > 0 && str_is_null(group->protocol_name)) {
		group->topics_known = false;
		return;
	}
	map_for_each(node, &group->members)
	{
		const struct group_member *member = map_entry(node, struct group_member, node);
		if (!group_subscription_add(
			    group, group_member_metadata(member, group->protocol_name))) {
			group_subscriptions_clear(group);
			return;
		}
	}
}

/* ---- members ---- */

struct group_member *group_member_find(const struct group *group, struct str id)
{
	return map_find_entry(
		&group->members, id.data, (size_t)max_of(id.size, 0), struct group_member, node);
}

struct group_member *group_pending_find(const struct group *group, struct str id)
{
	return map_find_entry(
		&group->pending, id.data, (size_t)max_of(id.size, 0), struct group_member, node);
}

struct group_member *group_instance_find(const struct group *group, struct str instance_id)
{
	if (str_is_null(instance_id))
		return NULL;
	return map_find_entry(&group->instances, instance_id.data, (size_t)instance_id.size,
		struct group_member, instance_node);
}

struct group_member *group_member_new(struct group *group, struct str id, struct str instance_id,
	struct str client_id, struct str client_host, int32_t rebalance_timeout_ms,
	int32_t session_timeout_ms)
{
	struct group_machine *machine = group->machine;
	struct group_member *member = state_new(machine, sizeof(*member));

	member->group = group;
	member->id = state_str(machine, id);
	member->instance_id = state_str(machine, instance_id);
	member->client_id = state_str(machine, client_id);
	member->client_host = state_str(machine, client_host);
	member->rebalance_timeout_ms = rebalance_timeout_ms;
	member->session_timeout_ms = session_timeout_ms;
	member->session.kind = DEADLINE_SESSION;
	group_member_charge(member);
	return member;
}

void group_member_charge(struct group_member *member)
{
	struct group_machine *machine = member->group->machine;
	size_t bytes = state_size(member) + state_size(member->id.data) +
		       state_size(member->instance_id.data) + state_size(member->client_id.data) +
		       state_size(member->client_host.data) + state_size(member->protocols) +
		       state_size(member->assignment.data);

	for (int32_t i = 0; i < member->protocol_count; i++)
		bytes += protocol_count_bytes(member->protocols[i].name);
	budget_members_change(machine, member->charged, bytes);
	member->charged = bytes;
}

/* Counts each protocol of MEMBER once, whatever it says. */
static void group_protocols_count(struct group_member *member, bool add)
{
	struct group *group = member->group;
	uint64_t mark = ++group->machine->marks;

	for (int32_t i = 0; i < member->protocol_count; i++) {
		struct str name = member->protocols[i].name;
		struct group_protocol_count *count = map_find_entry(&group->protocols, name.data,
			(size_t)name.size, struct group_protocol_count, node);
		if (!count) {
			if (!add)
				continue; /* named twice, and gone with the first */
			count = state_new(group->machine, sizeof(*count));
			count->name = state_str(group->machine, name);
			map_insert(&group->protocols, &count->node, count->name.data,
				(size_t)name.size);
		}
		if (count->mark == mark)
			continue;
		count->mark = mark;
		if (add) {
			count->members++;
			continue;
		}
		if (--count->members > 0)
			continue;
		map_remove(&group->protocols, &count->node);
		state_free(group->machine, (void *)(uintptr_t)count->name.data);
		state_free(group->machine, count);
	}
}

void group_member_protocols_set(struct group_member *member,
	const struct join_group_request_protocol *protocols, int32_t count)
{
	struct group_machine *machine = member->group->machine;
	bool counted = map_node_is_linked(&member->node);
	size_t size = sizeof(*member->protocols) * (size_t)count;

	for (int32_t i = 0; i < count; i++)
		size += (size_t)max_of(protocols[i].name.size, 0) +
			(size_t)max_of(protocols[i].metadata.size, 0);
	struct group_protocol *block = state_new(machine, size);
	uint8_t *bytes = (uint8_t *)(block + count);
	for (int32_t i = 0; i < count; i++) {
		size_t name_size = (size_t)max_of(protocols[i].name.size, 0);
		size_t metadata_size = (size_t)max_of(protocols[i].metadata.size, 0);
		if (name_size)
			memcpy(bytes, protocols[i].name.data, name_size);
		block[i].name =
			(struct str){.data = (const char *)bytes, .size = (int32_t)name_size};
		bytes += name_size;
		if (metadata_size)
			memcpy(bytes, protocols[i].metadata.data, metadata_size);
		block[i].metadata = (struct bytes){.data = bytes, .size = (int32_t)metadata_size};
		bytes += metadata_size;
	}
	if (counted)
		group_protocols_count(member, false);
	state_free(machine, member->protocols);
	member->protocols = block;
	member->protocol_count = count;
	group_member_charge(member);
	if (counted)
		group_protocols_count(member, true);
}

void group_member_assign(struct group_member *member, struct bytes assignment)
{
	state_bytes_set(member->group->machine, &member->assignment, assignment);
	group_member_charge(member);
}

static void group_member_link(struct group_member *member)
{
	struct group *group = member->group;

	map_insert(&group->members, &member->node, member->id.data, (size_t)member->id.size);
	if (!str_is_null(member->instance_id))
		map_insert(&group->instances, &member->instance_node, member->instance_id.data,
			(size_t)member->instance_id.size);
}

void group_member_add(struct group *group, struct group_member *member)
{
	group_member_link(member);
	group_protocols_count(member, true);
	if (str_is_null(group->leader_id))
		state_str_set(group->machine, &group->leader_id, member->id);
}

void group_pending_add(struct group *group, struct group_member *member)
{
	map_insert(&group->pending, &member->node, member->id.data, (size_t)member->id.size);
	list_push_back(&group->machine->pending, &member->pending_node);
	group->machine->pending_bytes += member->charged;
}

static void group_member_free(struct group_member *member)
{
	struct group_machine *machine = member->group->machine;

	ensure(!member->joining && !member->syncing);
	deadline_stop(&machine->deadlines, &member->session);
	budget_members_change(machine, member->charged, 0);
	state_free(machine, member->protocols);
	state_free(machine, (void *)(uintptr_t)member->assignment.data);
	state_free(machine, (void *)(uintptr_t)member->id.data);
	state_free(machine, (void *)(uintptr_t)member->instance_id.data);
	state_free(machine, (void *)(uintptr_t)member->client_id.data);
	state_free(machine, (void *)(uintptr_t)member->client_host.data);
	state_free(machine, member);
}

void group_member_remove(struct group_member *member)
{
	struct group *group = member->group;

	if (group_pending_find(group, member->id) == member) {
		map_remove(&group->pending, &member->node);
		list_remove(&member->pending_node);
		group->machine->pending_bytes -= member->charged;
		group_member_free(member);
		return;
	}
	group_protocols_count(member, false);
	map_remove(&group->members, &member->node);
	if (map_node_is_linked(&member->instance_node))
		map_remove(&group->instances, &member->instance_node);
	if (member->awaits_join)
		group->joined--;
	if (member->sync_pending)
		group->syncs_pending--;
	if (group_is_leader(member)) {
		struct map_node *first = map_first(&group->members);
		state_str_set(group->machine, &group->leader_id,
			first ? map_entry(first, struct group_member, node)->id : STR_NULL);
	}
	group_member_free(member);
}

void group_member_id_set(struct group_member *member, struct str id)
{
	struct group *group = member->group;
	bool leads = group_is_leader(member);

	map_remove(&group->members, &member->node);
	state_str_set(group->machine, &member->id, id);
	group_member_charge(member);
	map_insert(&group->members, &member->node, member->id.data, (size_t)member->id.size);
	if (leads)
		state_str_set(group->machine, &group->leader_id, member->id);
}

struct bytes group_member_metadata(const struct group_member *member, struct str protocol)
{
	for (int32_t i = 0; i < member->protocol_count; i++) {
		if (str_equal(member->protocols[i].name, protocol))
			return member->protocols[i].metadata;
	}
	return (struct bytes){.data = NULL, .size = 0};
}

bool group_member_speaks(const struct group_member *member,
	const struct join_group_request_protocol *protocols, int32_t count)
{
	if (member->protocol_count != count)
		return false;
	for (int32_t i = 0; i < count; i++) {
		const struct group_protocol *own = &member->protocols[i];
		int32_t size = max_of(protocols[i].metadata.size, 0);
		if (!str_equal(own->name, protocols[i].name) || own->metadata.size != size ||
			(size > 0 && memcmp(own->metadata.data, protocols[i].metadata.data,
					     (size_t)size) != 0))
			return false;
	}
	return true;
}

int16_t group_member_validate(
	const struct group *group, struct str member_id, struct str instance_id)
{
	if (!str_is_null(instance_id)) {
		const struct group_member *known = group_instance_find(group, instance_id);
		if (!known)
			return KAFKA_UNKNOWN_MEMBER_ID;
		if (!str_equal(known->id, member_id))
			return KAFKA_FENCED_INSTANCE_ID;
	}
	return group_member_find(group, member_id) ? 0 : KAFKA_UNKNOWN_MEMBER_ID;
}

/* ---- protocols ---- */

bool group_accepts_protocols(const struct group *group, struct str type,
	const struct join_group_request_protocol *protocols, int32_t count)
{
	if (group->state == GROUP_EMPTY)
		return type.size > 0 && count > 0;
	if (!str_equal(group->protocol_type, type))
		return false;
	for (int32_t i = 0; i < count; i++) {
		struct str name = protocols[i].name;
		const struct group_protocol_count *known = map_find_entry(&group->protocols,
			name.data, (size_t)name.size, struct group_protocol_count, node);
		/* Without members left (all were removed in mid-rebalance) nothing can be said in
		 * common. */
		if (known && known->members == group->members.count)
			return true;
		if (group->members.count == 0)
			return true;
	}
	return false;
}

struct str group_protocol_vote(struct group *group)
{
	const struct group_protocol_count *best = NULL;
	uint32_t best_place = 0, voted = 0;

	map_for_each(node, &group->protocols) map_entry(node, struct group_protocol_count, node)
		->votes = 0;
	map_for_each(node, &group->members)
	{
		const struct group_member *member = map_entry(node, struct group_member, node);
		for (int32_t i = 0; i < member->protocol_count; i++) {
			struct str name = member->protocols[i].name;
			struct group_protocol_count *count = map_find_entry(&group->protocols,
				name.data, (size_t)name.size, struct group_protocol_count, node);
			if (count->members < group->members.count)
				continue;
			count->votes++;
			break;
		}
	}
	map_for_each(node, &group->protocols)
		voted += map_entry(node, struct group_protocol_count, node)->votes > 0;
	map_for_each(node, &group->protocols)
	{
		const struct group_protocol_count *count =
			map_entry(node, struct group_protocol_count, node);
		uint32_t place = java_hash_place(count->name, voted);
		/* Of those with equally many votes Kafka takes the first in its hash map. */
		if (count->votes > 0 && (!best || count->votes > best->votes ||
						(count->votes == best->votes && place < best_place))) {
			best = count;
			best_place = place;
		}
	}
	return best ? best->name : STR_NULL;
}

void group_generation_next(struct group *group)
{
	/* Kafka's counter wraps as Java's int does. */
	group->generation =
		(int32_t)((uint32_t)max_of(group->generation, group->generation_told) + 1);
	group->generation_told = 0;
	state_str_set(group->machine, &group->protocol_name, group_protocol_vote(group));
	group_subscriptions_update(group);
	group_state_set(group, group->members.count > 0 ? GROUP_COMPLETING_REBALANCE : GROUP_EMPTY);
	map_for_each(node, &group->members) map_entry(node, struct group_member, node)
		->sync_pending = false;
	group->syncs_pending = 0;
}
