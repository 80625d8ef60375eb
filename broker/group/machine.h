/*
 * The group coordinator of one partition of `__consumer_offsets` as a function of events:
 * requests, deadlines and the records of the log go in; records to append, answers and the next
 * deadline come out. Nothing here knows of sockets, files, clocks or shards.
 *
 * Invariants:
 *  1. The state is ahead of the log by the records of steps whose append is under way. An answer
 *     may leave when the records of its own step and of all earlier ones are readable; when an
 *     append fails, the machine is thrown away and another one is loaded from the log.
 *  2. Replaying the records that were appended gives the same groups and offsets, but for what
 *     only lives in memory: joins under way, pending members, deadlines.
 *  3. A request is answered exactly once. One that is parked (JoinGroup, SyncGroup) stands in its
 *     member until then; it may be taken out by group_ask_abandon, and the member goes on without
 *     a listener, as in Kafka.
 *  4. Groups, members and offsets are visited in the order in which they came.
 *
 *	struct group_step step;
 *	group_step_begin(&step, now, log_end);
 *	group_machine_ask(machine, &step, ask);
 *	... append step.records, send step.answers when that is done,
 *	    set a timer for group_machine_next_deadline_ms
 *	group_step_end(&step);
 */
#pragma once

#include "broker/group/budget.h"
#include "protocol/codec.h"
#include "runtime/list.h"

struct group_machine;

struct group_limits {
	int32_t group_size_max;		/* group.max.size */
	int32_t session_timeout_min_ms; /* group.min.session.timeout.ms */
	int32_t session_timeout_max_ms;
	int32_t initial_rebalance_delay_ms;
	int32_t metadata_size_max; /* offset.metadata.max.bytes */
	int64_t retention_ms;	   /* offsets.retention.minutes */
	int64_t check_interval_ms; /* offsets.retention.check.interval.ms */
	uint32_t record_size_max;  /* of the batch that the records of a step become */
	size_t state_bytes_max;	   /* of the budget; see budget.h */
};

enum group_ask_kind {
	GROUP_ASK_JOIN,	     /* struct join_group_request, ..._response */
	GROUP_ASK_SYNC,	     /* struct sync_group_request, ..._response */
	GROUP_ASK_HEARTBEAT, /* struct heartbeat_request, ..._response */
	GROUP_ASK_LEAVE, /* struct leave_group_request with MEMBERS in every version, ..._response
			  */
	GROUP_ASK_OFFSET_COMMIT, /* struct offset_commit_request with checked topics, their names
				    filled in; ..._response */
	GROUP_ASK_OFFSET_FETCH, /* struct offset_fetch_request_group, offset_fetch_response_group */
	GROUP_ASK_OFFSET_DELETE, /* struct offset_delete_request with checked topics, ..._response
				  */
	GROUP_ASK_DESCRIBE,	 /* none, struct describe_groups_response_described_group */
	GROUP_ASK_LIST, /* struct list_groups_request, ..._response: the groups of this machine are
			   added */
	GROUP_ASK_DELETE, /* none, struct delete_groups_response_deletable_group_result */
};

struct group_ask {
	struct list_node node; /* among the answers of a step */
	enum group_ask_kind kind;
	int16_t version;
	struct str group_id;
	struct str client_id, client_host; /* as members are described: "/10.0.0.1" */
	struct uuid entropy;		   /* a random uuid, for a member id */
	bool require_stable;		   /* of OffsetFetch */
	const void *message;
	const struct schema_struct *schema; /* of the response */
	void *response;			    /* with its defaults; filled in when it is answered */
	struct arena *arena;		    /* for what the response leads to */
	bool out_of_memory;		    /* the arena was too small: there is no response */

	struct group_ask **place; /* private: where it is parked; NULL when it isn't */
};

/* The whole request fails with ERROR, as Kafka says it for its kind; overwrites what the response
 * says. */
void group_ask_fail(struct group_ask *ask, int16_t error);
/* Nobody listens any more. True when it was parked: it's the caller's again. */
bool group_ask_abandon(struct group_ask *ask);

struct group_now {
	int64_t ms;	 /* of a clock that never goes back */
	int64_t wall_ms; /* since the epoch */
};

struct group_record {
	struct group_record *next;
	struct bytes key;
	struct bytes value; /* null: a tombstone */
};

struct group_step {
	struct group_now now;
	int64_t log_end; /* the offset that the first record gets */
	struct arena arena;
	struct group_record *first, **last;
	uint32_t record_count;
	size_t record_bytes; /* of the batch that they become, at the most */
	struct list answers; /* struct group_ask, in order */
	/* For the operator. */
	bool refused;		  /* for want of room */
	struct str refused_group; /* the request's */
	uint32_t forgotten;	  /* pending members, before their time */
};

void group_step_begin(struct group_step *step, struct group_now now, int64_t log_end);
/* Frees the records. The answers must have been taken. */
void group_step_end(struct group_step *step);

/* BUDGET counts what machines that share it keep. SEED: for tables whose keys clients choose. */
struct group_machine *group_machine_new(
	const struct group_limits *limits, uint64_t seed, struct group_budget *budget);
/* No request is parked any more (group_machine_unload). NULL is allowed. */
void group_machine_free(struct group_machine *machine);

/* ---- loading ---- */

/* A record of the log at OFFSET. PRODUCER_ID: of a transactional batch; -1. 0, or -EBADMSG for a
 * record that cannot be read, which changes nothing. */
int group_machine_replay(struct group_machine *machine, int64_t offset, int64_t producer_id,
	struct bytes key, struct bytes value, struct arena *scratch);
/* The marker that ends a transaction of PRODUCER_ID. */
void group_machine_replay_marker(
	struct group_machine *machine, int64_t producer_id, bool committed);

/* ---- events ---- */

/* The log has been read to its end: members' sessions begin, expiry is scheduled. */
void group_machine_loaded(struct group_machine *machine, struct group_step *step);
/* FAILED, which was unloaded, was ahead of its log, and MACHINE has read that: a generation that members heard
 * of from FAILED is not given out again. */
void group_machine_succeed(struct group_machine *machine, const struct group_machine *failed);
void group_machine_ask(
	struct group_machine *machine, struct group_step *step, struct group_ask *ask);
/* The deadlines that are due; when their records would be too many, the rest stays due. */
void group_machine_expire(struct group_machine *machine, struct group_step *step);
/* The topic is gone: so are the offsets that were committed for it. False: there are more than one
 * step can say, and another is needed. */
bool group_machine_topic_deleted(struct group_machine *machine, struct group_step *step,
	struct str topic, const struct uuid *topic_id);
/* What is parked is answered with ERROR; the machine takes no more events, and keeps nothing but what
 * group_machine_succeed asks of it. */
void group_machine_unload(struct group_machine *machine, struct group_step *step, int16_t error);
/* By the clock of group_now.ms; INT64_MAX when none is set. */
int64_t group_machine_next_deadline_ms(const struct group_machine *machine);

/* ---- for tests and logs ---- */

uint32_t group_machine_group_count(const struct group_machine *machine);
/* All groups and offsets as text in ARENA, one line each: what two machines must agree on when one
 * replayed what the other appended. */
struct str group_machine_print(const struct group_machine *machine, struct arena *arena);
