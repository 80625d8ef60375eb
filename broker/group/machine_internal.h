/*
 * What the files of the machine share. See machine.h for the invariants.
 *
 *	        first join                delay over, all joined           leader's assignment
 *	EMPTY -------------> PREPARING --------------------> COMPLETING -------------> STABLE
 *	  ^                   |  ^  ^                            |                       |
 *	  |    nobody left    |  |  |   join, leave, expiry      |                       |
 *	  +-------------------+  |  +----------------------------+  join, leave, expiry  |
 *	                         +-------------------------------------------------------+
 *	DEAD: the machine is being unloaded.
 */
#pragma once

#include "broker/group/machine.h"
#include "protocol/errors.h"
#include "runtime/deadline.h"
#include "runtime/map.h"

enum group_state {
	GROUP_EMPTY,
	GROUP_PREPARING_REBALANCE,
	GROUP_COMPLETING_REBALANCE,
	GROUP_STABLE,
	GROUP_DEAD,
};

/* Of Kafka's protocols; only the classic one acts here, the others' groups are kept as they are in
 * the log. */
enum group_type { GROUP_CLASSIC, GROUP_CONSUMER, GROUP_SHARE, GROUP_STREAMS };

enum deadline_kind { DEADLINE_SESSION, DEADLINE_JOIN, DEADLINE_SYNC, DEADLINE_CLEANUP };

enum {
	NEW_MEMBER_JOIN_TIMEOUT_MS =
		5 * 60 *
		1000, /* a new member may wait so long in its first join (group.new... of Kafka) */
	CLEANUP_TOMBSTONES_MAX = 2000, /* of one step; the rest follows in the next */
};

struct group_protocol {
	struct str name;
	struct bytes metadata;
};

/* How many members speak a protocol. */
struct group_protocol_count {
	struct map_node node; /* by name */
	struct str name;
	uint32_t members;
	uint32_t votes;
	uint64_t mark; /* a member that names it twice counts once */
};

struct group_member {
	struct map_node node;	       /* by id, in the group's members or pending */
	struct map_node instance_node; /* by instance id */
	struct group *group;
	struct str id;
	struct str instance_id; /* null: a dynamic member */
	struct str client_id, client_host;
	int32_t rebalance_timeout_ms, session_timeout_ms;
	struct group_protocol
		*protocols; /* one block with all that it leads to; NULL for a pending member */
	int32_t protocol_count;
	struct bytes assignment; /* never null; own block when not empty */
	bool is_new;
	bool awaits_join, awaits_sync; /* also when nobody listens any more */
	bool sync_pending;	       /* has not asked for its assignment in this generation */
	struct group_ask *joining, *syncing;
	struct deadline session;
	struct list_node pending_node; /* of a pending member: by age, in the machine */
	size_t charged;		       /* of the budget's member_bytes */
};

struct group {
	struct map_node node; /* by id */
	struct group_machine *machine;
	struct str id;
	enum group_type type;
	bool recorded; /* the log has a group record, not only offsets */
	enum group_state state, previous;
	int64_t state_timestamp_ms; /* -1: never said */
	int32_t generation;
	int32_t generation_told; /* members heard of it from a machine that was thrown away */
	struct str protocol_type, protocol_name; /* null: none; own blocks */
	struct str leader_id;			 /* null: none; own block */
	struct map members, pending, instances;
	struct map protocols; /* struct group_protocol_count */
	uint32_t joined;      /* members that await the end of the join phase */
	uint32_t syncs_pending;
	bool new_member_added;
	bool initial_delay; /* what the join deadline means */
	int32_t delay_ms, remaining_ms;
	struct deadline join, sync;
	bool topics_known;	  /* of a consumer group: what its members subscribe to */
	struct map subscribed;	  /* struct group_subscribed */
	struct map topics;	  /* struct group_topic */
	uint32_t pending_offsets; /* of open transactions */
};

struct group_subscribed {
	struct map_node node;
	struct str name;
};

struct group_topic {
	struct map_node node; /* by name */
	struct group *group;
	struct str name;
	struct map partitions; /* struct group_offset */
};

struct offset_value {
	int64_t offset;
	int32_t leader_epoch; /* -1: none */
	int64_t commit_timestamp_ms;
	int64_t expire_timestamp_ms; /* -1: by retention */
	struct uuid topic_id;
	struct str metadata;   /* own block when not empty */
	int64_t record_offset; /* where it stands in the log */
};

struct group_offset {
	struct map_node node; /* by partition */
	struct group_topic *topic;
	int32_t partition;
	bool committed;
	uint32_t pending; /* in open transactions */
	struct offset_value value;
};

struct pending_offset {
	struct map_node node; /* by the address of its target */
	struct group_offset *target;
	struct offset_value value;
};

struct group_transaction {
	struct map_node node; /* by producer id */
	int64_t producer_id;
	struct map offsets; /* struct pending_offset */
};

struct group_machine {
	struct group_limits limits;
	struct map groups;
	struct map transactions;
	struct deadlines deadlines;
	struct deadline cleanup;
	uint64_t seed;
	uint64_t marks;
	struct group_budget *budget;
	struct list pending;	 /* struct group_member, of all groups, the oldest first */
	size_t pending_bytes;	 /* of these */
	struct group_step *step; /* while an event is handled */
	struct group_now now;
};

/* ---- memory of the state (budget.c) ---- */

/* Zeroed, counted against the budget; never NULL (runtime/memory.h). */
void *state_new(struct group_machine *machine, size_t size);
void state_free(struct group_machine *machine, void *block);
/* Copies into a block of its own; null stays null, empty needs none. */
struct str state_str(struct group_machine *machine, struct str from);
void state_str_set(struct group_machine *machine, struct str *place, struct str to);
struct bytes state_bytes_copy(struct group_machine *machine, struct bytes from);
void state_bytes_set(struct group_machine *machine, struct bytes *place, struct bytes to);
/* What a block counts; 0 for NULL. */
size_t state_size(const void *block);
/* What a block of SIZE bytes would count; 0 for none. */
size_t state_cost(size_t size);

/* May the request have us keep what it asks for? */
bool ask_has_room(struct group_machine *machine, const struct group_ask *ask);
/* Is there room for so many bytes more? */
bool budget_allows(const struct group_machine *machine, size_t bytes);
void budget_members_change(struct group_machine *machine, size_t from, size_t to);
/* What a group keeps, at the most, because a member speaks a protocol. */
size_t protocol_count_bytes(struct str name);
/* Are there so many pending members that the oldest must go? */
bool pending_is_full(const struct group_machine *machine);

/* ---- answers (machine.c) ---- */

/* The response is complete. */
void ask_answer(struct group_machine *machine, struct group_ask *ask);
void ask_refuse(struct group_machine *machine, struct group_ask *ask, int16_t error);
/* Into the ask's arena; on exhaustion it says so in the ask and gives an empty one. */
struct str ask_str(struct group_ask *ask, struct str from);
struct bytes ask_bytes(struct group_ask *ask, struct bytes from);
/* COUNT defaults of SCHEMA; NULL when the arena is exhausted, which the ask says then. */
void *ask_array(struct group_ask *ask, const struct schema_struct *schema, int32_t count);

/* ---- records (records.c) ---- */

/* 0, or -EMSGSIZE, -ENOMEM, -EINVAL: then nothing was added. */
int record_offset_commit(struct group_machine *machine, const struct group *group, struct str topic,
	int32_t partition, const struct offset_value *value);
int record_offset_tombstone(struct group_machine *machine, const struct group_offset *offset);
/* A member's assignment is that of ASSIGNMENTS, parallel to the members' order; NULL: its own. */
int record_group(
	struct group_machine *machine, struct group *group, const struct bytes *assignments);
int record_group_empty(struct group_machine *machine, struct group *group);
int record_group_tombstone(struct group_machine *machine, const struct group *group);
/* The offset that the next record gets. */
int64_t record_next_offset(const struct group_machine *machine);
/* None of the step's records so far. */
void records_discard(struct group_machine *machine);

/* ---- groups and members (group.c) ---- */

struct group *group_find(struct group_machine *machine, struct str id);
struct group *group_new(struct group_machine *machine, struct str id);
/* With its members and offsets. */
void group_free(struct group *group);
/* Of a machine that was thrown away: nothing stays of it but a generation, if it ever had one. */
void group_leave_generation(struct group *group);
/* Removes the group when nothing is left of it, or makes it one that only has offsets. */
void group_forget(struct group *group);
void group_state_set(struct group *group, enum group_state state);
const char *group_state_name(const struct group *group);
static inline bool group_is_empty(const struct group *group)
{
	return group->type == GROUP_CLASSIC && group->state == GROUP_EMPTY;
}
bool group_uses_consumer_protocol(const struct group *group);
/* Has the group members that read the topic? */
bool group_is_subscribed(const struct group *group, struct str topic);
void group_subscriptions_update(struct group *group);

struct group_member *group_member_find(const struct group *group, struct str id);
struct group_member *group_pending_find(const struct group *group, struct str id);
struct group_member *group_instance_find(const struct group *group, struct str instance_id);
struct group_member *group_member_new(struct group *group, struct str id, struct str instance_id,
	struct str client_id, struct str client_host, int32_t rebalance_timeout_ms,
	int32_t session_timeout_ms);
void group_member_protocols_set(struct group_member *member,
	const struct join_group_request_protocol *protocols, int32_t count);
/* Counts it as it is now; behind each change of what it keeps. */
void group_member_charge(struct group_member *member);
void group_member_assign(struct group_member *member, struct bytes assignment);
void group_member_add(struct group *group, struct group_member *member);
void group_pending_add(struct group *group, struct group_member *member);
/* Of the members or the pending ones; frees it. Nothing of it is parked any more. */
void group_member_remove(struct group_member *member);
void group_member_id_set(struct group_member *member, struct str id);
struct bytes group_member_metadata(const struct group_member *member, struct str protocol);
bool group_member_speaks(const struct group_member *member,
	const struct join_group_request_protocol *protocols, int32_t count);
/* 0, UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID. */
int16_t group_member_validate(
	const struct group *group, struct str member_id, struct str instance_id);
static inline bool group_is_leader(const struct group_member *member)
{
	return str_equal(member->group->leader_id, member->id);
}
/* Could a member with these protocols be in the group? */
bool group_accepts_protocols(const struct group *group, struct str type,
	const struct join_group_request_protocol *protocols, int32_t count);
/* What most members prefer among what all speak; null when there is nothing. */
struct str group_protocol_vote(struct group *group);
int32_t group_rebalance_timeout_ms(const struct group *group);
void group_generation_next(struct group *group);

/* ---- the classic protocol ---- */

void classic_join(struct group_machine *machine, struct group_ask *ask);
void classic_sync(struct group_machine *machine, struct group_ask *ask);
void classic_heartbeat(struct group_machine *machine, struct group_ask *ask);
void classic_leave(struct group_machine *machine, struct group_ask *ask);
void classic_join_expired(struct group *group);
void classic_sync_expired(struct group *group);
void classic_session_expired(struct group_member *member);
void classic_loaded(struct group *group);
void classic_unload(struct group *group, int16_t error);
void classic_session_restart(struct group_member *member);
/* A rebalance begins, or the one under way may be complete. */
void classic_rebalance(struct group *group);
void classic_complete_if_joined(struct group *group);
void classic_join_answer(struct group_member *member, int16_t error);
void classic_assignments_reset(struct group *group, int16_t error);
void classic_assignments_send(struct group *group, int16_t error);

/* ---- offsets (offsets.c) ---- */

void offsets_commit(struct group_machine *machine, struct group_ask *ask);
/* What a commit adds to the state, at the most; GROUP: what it replaces there is taken off. NULL
 * asks for less work. */
size_t offsets_commit_growth(
	const struct group *group, const struct offset_commit_request *message);
void offsets_fetch(struct group_machine *machine, struct group_ask *ask);
void offsets_delete(struct group_machine *machine, struct group_ask *ask);
/* Tombstones for all of a group's offsets. */
int offsets_delete_all(struct group *group);
void offsets_free(struct group *group);
void offsets_cleanup(struct group_machine *machine);
struct group_offset *group_offset_find(
	const struct group *group, struct str topic, int32_t partition);
/* The state of a partition as the records say it. VALUE's metadata is copied. */
void offset_apply(
	struct group *group, struct str topic, int32_t partition, const struct offset_value *value);
void offset_apply_pending(struct group *group, struct str topic, int32_t partition,
	const struct offset_value *value, int64_t producer_id);
void offset_remove(struct group_offset *offset);
void transaction_end(struct group_machine *machine, int64_t producer_id, bool committed);

/* ---- groups as tools see them (admin.c) ---- */

void admin_describe(struct group_machine *machine, struct group_ask *ask);
void admin_list(struct group_machine *machine, struct group_ask *ask);
void admin_delete(struct group_machine *machine, struct group_ask *ask);
