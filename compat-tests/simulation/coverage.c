#include "coverage.h"

#include <inttypes.h>
#include <stdio.h>

#include "protocol/codec.h"

static const char *const event_names[EVENT_COUNT] = {
	[EVENT_KILL] = "kills",
	[EVENT_POWER_CUT] = "power cuts",
	[EVENT_CLEAN_STOP] = "clean stops",
	[EVENT_GAVE_UP] = "nodes that gave up",
	[EVENT_FULL_DISK] = "full disks",
	[EVENT_SLOW_DISK] = "runs with a slow disk",
	[EVENT_CUT] = "cut networks",
	[EVENT_INSPECTION] = "disks inspected",
	[EVENT_ONE_SHARD] = "nodes of one shard",
	[EVENT_EIGHT_SHARDS] = "nodes of eight shards",
	[EVENT_NEIGHBOURS] = "runs with several nodes",
	[EVENT_BATCH_IDEMPOTENT] = "idempotent batches",
	[EVENT_BATCH_RESENT] = "idempotent batches sent again",
	[EVENT_BATCH_ACKS_1] = "batches with acks=1",
	[EVENT_BATCH_ACKS_0] = "batches with acks=0",
	[EVENT_OUT_OF_ORDER] = "batches before their turn",
	[EVENT_SESSION_FETCH] = "fetches in sessions",
	[EVENT_BELOW_START] = "fetches below the log start",
	[EVENT_STATIC_JOIN] = "static members",
	[EVENT_COMPACTED] = "nodes with compacted topics",
	[EVENT_SUPERSEDED] = "records compacted away",
	[EVENT_OLD_CLIENT_LEFT] = "old clients that left early",
};

/* What the model clients speak. */
static const enum api_key api_keys[] = {API_PRODUCE, API_FETCH, API_LIST_OFFSETS, API_METADATA,
	API_OFFSET_COMMIT, API_OFFSET_FETCH, API_FIND_COORDINATOR, API_JOIN_GROUP, API_HEARTBEAT,
	API_LEAVE_GROUP, API_SYNC_GROUP, API_CREATE_TOPICS, API_DELETE_TOPICS, API_DELETE_RECORDS,
	API_INIT_PRODUCER_ID};

void coverage_add(struct coverage *coverage, const struct coverage *other)
{
	for (unsigned i = 0; i < FAULT_COUNT; i++)
		coverage->faults[i] += other->faults[i];
	for (unsigned i = 0; i < EVENT_COUNT; i++)
		coverage->events[i] += other->events[i];
	for (unsigned i = 0; i < COVERAGE_APIS; i++)
		coverage->answers[i] += other->answers[i];
}

static void count_print(uint64_t count, const char *name, bool is_first)
{
	printf("%s%" PRIu64 " %s", is_first ? "" : ", ", count, name);
}

void coverage_print(const struct coverage *coverage)
{
	printf("faults: ");
	for (unsigned i = 0; i < FAULT_COUNT; i++)
		count_print(coverage->faults[i], fault_names[i], i == 0);
	printf("\nnodes and clients: ");
	for (unsigned i = 0; i < EVENT_COUNT; i++)
		count_print(coverage->events[i], event_names[i], i == 0);
	printf("\nanswers: ");
	for (unsigned i = 0; i < array_length(api_keys); i++)
		count_print(coverage->answers[api_keys[i]], api_find(api_keys[i])->name, i == 0);
	printf("\n");
}

static unsigned missing(uint64_t count, const char *name)
{
	if (count == 0)
		printf("never happened: %s\n", name);
	return count == 0;
}

unsigned coverage_missing(const struct coverage *coverage)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAULT_COUNT; i++)
		count += missing(coverage->faults[i], fault_names[i]);
	for (unsigned i = 0; i < EVENT_COUNT; i++)
		count += missing(coverage->events[i], event_names[i]);
	for (unsigned i = 0; i < array_length(api_keys); i++)
		count += missing(coverage->answers[api_keys[i]], api_find(api_keys[i])->name);
	return count;
}
