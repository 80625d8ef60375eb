/*
 * The group coordinators of a shard: one for each partition of `__consumer_offsets` that lives
 * there. A coordinator loads its machine from the partition's log, gives it the requests and its
 * deadlines, appends the records that come out, and lets an answer go when everything that it
 * rests on is readable.
 *
 *	          partition open              log read
 *	WAITING ----------------> LOADING --------------> ACTIVE
 *	   ^                         |                      |
 *	   |                  cannot be read         an append failed
 *	   |                         v                      |
 *	   +----- a while later -- FAILED <-----------------+
 *
 * Handlers send calls; see broker/api/join_group.c (one group) and describe_groups.c (many).
 */
#pragma once

#include "broker/api/api.h"
#include "broker/group/machine.h"

struct group_coordinator;

/* The partition of `__consumer_offsets` that keeps GROUP: Java's hash of the string, as every
 * broker and client computes it. */
int32_t group_partition_of(struct str group, int32_t partition_count);

/* ---- life: called on the shard itself ---- */

/* NULL without memory. */
struct group_coordinator *group_coordinator_new(struct broker_shard *shard);
/* A new image: coordinators come and go, offsets of deleted topics are dropped. Behind
 * partitions_update. OLD may be NULL. */
void group_coordinator_update(
	struct broker_shard *shard, const struct image *old, const struct image *image);
/* The broker stops: what is parked is answered, everything else is refused from now on. */
void group_coordinator_stop(struct broker_shard *shard);
/* (fiber) After group_coordinator_stop; waits for what is still under way. NULL is allowed. */
void group_coordinator_free(struct group_coordinator *coordinator);

/* ---- calls ---- */

struct group_call {
	struct group_ask ask;
	struct request *request;
	struct uuid topic_id;
	int32_t index;
	int64_t image_offset;
	unsigned home;
	bool routed;
	/* The ask has its response: of several calls, on the request's shard. */
	void (*answered)(struct group_call *call);
	/* Of a request about one group, just before it is completed, wherever it is. May be NULL.
	 */
	void (*finish)(struct group_call *call);

	bool travels;	    /* private: one of several calls of its request */
	struct task task;   /* private */
	struct arena arena; /* private: of one of several */
};

/* Fills in what all asks have. RESPONSE holds its defaults. */
void group_call_init(struct group_call *call, struct request *request, enum group_ask_kind kind,
	struct str group_id, const void *message, const struct schema_struct *schema,
	void *response);
/* Where the group lives; false when the cluster has no `__consumer_offsets`, which is
 * NOT_COORDINATOR. */
bool group_call_route(struct group_call *call);
/* To one partition of TOPIC, `__consumer_offsets`, for what is asked of each. */
void group_call_route_to(struct group_call *call, const struct image_topic *topic, int32_t index);

/* For a request about one group: routes, moves the request, asks, and completes it. */
void group_call_one(struct group_call *call);
/* Completes it with what the response says already, or with an error instead. */
void group_call_complete(struct group_call *call);
void group_call_refuse(struct group_call *call, int16_t error);

/* For a request about several: each call has an arena of its own, ANSWERED runs on the request's
 * shard. */
void group_call_send(struct group_call *call);
/* Frees the call's arena; from the request's release hook. */
void group_call_done(struct group_call *call);

/* What a request that cannot be routed gets, 0 when it can be asked: an empty group id. */
int16_t group_id_check(struct str group_id);
