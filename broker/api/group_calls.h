/*
 * A request about several groups: one call for each, on whatever shards they live; FINISHED runs on
 * the request's shard when all are answered.
 */
#pragma once

#include "broker/group/coordinator.h"

struct group_calls {
	struct request *request;
	struct group_call *calls;
	uint32_t count, sent, pending; /* pending: sent and not answered */
	size_t answer_bytes;	       /* of those that are answered */
	bool is_too_large;	       /* the answers together: the request fails */
	void (*finished)(struct request *request);
};

/* Room for COUNT calls, in the request's arena; request->context is CALLS. False when it is
 * exhausted. */
bool group_calls_init(struct group_calls *calls, struct request *request, uint32_t count,
	void (*finished)(struct request *request));
/* The next one; at most COUNT times. Filled in with group_call_init by the caller. */
struct group_call *group_calls_next(struct group_calls *calls);
/* Sends all; FINISHED runs at once when there are none or none can be routed. */
void group_calls_go(struct group_calls *calls);
