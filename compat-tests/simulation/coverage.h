/*
 * What happened in runs: how often each fault struck, each thing was done to a node, and each request
 * was answered. A class that never happened over a whole budget of seeds is not tested, whatever the
 * seeds say.
 */
#pragma once

#include "protocol/messages.h"
#include "runtime/simulated/fault.h"

enum event {
	/* A node. */
	EVENT_KILL,
	EVENT_POWER_CUT,
	EVENT_CLEAN_STOP,
	EVENT_GAVE_UP, /* for its disk */
	EVENT_FULL_DISK,
	EVENT_SLOW_DISK, /* runs */
	EVENT_CUT,	 /* from one of its clients */
	EVENT_INSPECTION,
	EVENT_ONE_SHARD, /* runs of it, and of eight */
	EVENT_EIGHT_SHARDS,
	EVENT_NEIGHBOURS, /* runs with several nodes */
	EVENT_COMPACTED,  /* nodes whose topics are compacted */
	EVENT_SUPERSEDED, /* records that were compacted away */
	/* Clients. */
	EVENT_BATCH_IDEMPOTENT,
	EVENT_BATCH_RESENT, /* an idempotent one, whose answer was lost or an error */
	EVENT_BATCH_ACKS_1,
	EVENT_BATCH_ACKS_0,
	EVENT_OUT_OF_ORDER, /* a batch sent before its turn, to be refused */
	EVENT_SESSION_FETCH,
	EVENT_BELOW_START, /* a Fetch of what DeleteRecords took */
	EVENT_STATIC_JOIN,
	EVENT_OLD_CLIENT_LEFT, /* while its Fetch was under way */
	EVENT_COUNT,
};

enum { COVERAGE_APIS = 128 };

struct coverage {
	uint64_t faults[FAULT_COUNT];
	uint64_t events[EVENT_COUNT];
	uint64_t answers[COVERAGE_APIS]; /* by API key */
};

void coverage_add(struct coverage *coverage, const struct coverage *other);
void coverage_print(const struct coverage *coverage);
/* How many classes never happened, after naming each. */
unsigned coverage_missing(const struct coverage *coverage);
