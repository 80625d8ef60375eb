/*
 * What all group coordinators of a broker keep in memory, counted in one place, so that a shard with
 * large groups is not short while others have room. The bound is group_limits.state_bytes_max:
 *
 *  1. New groups are taken up to three quarters of it, what adds to known groups up to all of it.
 *     Beyond, JoinGroup, SyncGroup and OffsetCommit are refused with COORDINATOR_NOT_AVAILABLE, which
 *     clients try again; what adds nothing (heartbeats, a member that joins again, a newer offset)
 *     goes on.
 *  2. Members of known groups may take a quarter of it whatever offsets take: consumers that are
 *     started anew come in.
 *  3. What the log holds was acknowledged, so it is loaded even where it is more than the bound (which
 *     was lowered, or another broker's was larger): everything in it is served, rules 1 and 2 apply to
 *     what would come on top, and the operator is told.
 *  4. Members that were given an id and do not join with it take a small share of each coordinator;
 *     beyond it the oldest are forgotten (join.c).
 *  5. Records on their way into the log are counted, as are all copies, headers and table entries.
 */
#pragma once

#include "runtime/base.h"

/* Zeroed to begin with; in the end all is given back. */
struct group_budget {
	size_t bytes;	     /* atomic */
	size_t member_bytes; /* atomic: of these, members' */
};

void group_budget_done(struct group_budget *budget);
void group_budget_add(struct group_budget *budget, size_t bytes);
void group_budget_sub(struct group_budget *budget, size_t bytes);
size_t group_budget_bytes(const struct group_budget *budget);
