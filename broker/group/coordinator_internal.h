/*
 * What coordinator.c and load.c share.
 */
#pragma once

#include "broker/group/coordinator.h"
#include "protocol/record_buffer.h"

enum group_partition_state {
	GROUP_PARTITION_WAITING, /* for the partition's log to be opened */
	GROUP_PARTITION_LOADING,
	GROUP_PARTITION_ACTIVE,
	GROUP_PARTITION_FAILED, /* tried again after a while */
};

struct group_load;

/* The coordinator of one partition of `__consumer_offsets`. */
struct group_partition {
	struct map_node node; /* by key */
	struct list_node leaving;
	struct partition_key key;
	struct group_coordinator *coordinator;
	struct broker_shard *shard;
	enum group_partition_state state;
	bool wanted; /* the image has it here */
	struct part part;
	bool part_out, partition_open;
	struct list_node load_wanted; /* in its turn */
	bool loading;		     /* a fiber reads the log */
	struct group_load *load;     /* what that fiber works on */
	struct partition *partition; /* while LOADING or ACTIVE */
	struct group_machine *machine;
	struct group_machine *failed; /* thrown away; until the log was read again */
	struct timer timer;  /* the machine's next deadline; FAILED: the next try */
	struct list appends; /* struct group_append, in order */
};

/* The records of one step on their way into the log, with the answers that rest on them. */
struct group_append {
	struct list_node node;
	struct group_partition *place;
	struct partition *partition;
	struct log_append op;
	struct record_buffer bytes;
	size_t counted; /* in the budget */
	struct compress_context *context;
	struct list answers;
};

struct group_coordinator {
	struct broker_shard *shard;
	struct map places;
	struct list leaving; /* not wanted any more, with something still under way */
	struct list loads_wanted; /* struct group_partition, in order */
	unsigned loads;		  /* under way */
	bool stopping;
};

struct group_now group_partition_now(const struct group_partition *place);
void group_step_start(struct group_partition *place, struct group_step *step);
/* Appends, answers, sets the timer. */
void group_step_finish(struct group_partition *place, struct group_step *step);
void group_limits_read(
	const struct broker_shard *shard, const struct log *log, struct group_limits *ret);
/* Waits for the partition's log, then loads. */
void group_partition_open(struct group_partition *place);
void group_partition_free_when_idle(struct group_partition *place);

/* (load.c) Reads the log in a fiber, in its turn; ends with ACTIVE or FAILED. */
void group_partition_load(struct group_partition *place);
/* It is not wanted any more, and may have waited for its turn. */
void group_partition_load_cancel(struct group_partition *place);
