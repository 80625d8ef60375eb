/*
 * The checkpoints of the log directories, written while the broker runs and when it stops: from
 * where a log is recovered, where it starts, how far it is committed.
 */
#pragma once

#include "broker/state.h"

/* (fiber, main shard) Writes the checkpoints of all logs of all shards. */
int checkpoints_write(struct broker *broker);
/* (any shard) A deleted partition's folder is waited for: writes them soon. */
void checkpoints_want(struct broker_shard *shard);
/* (any shard; log_store_options) The recovery points have moved far: writes them within a second. */
void checkpoints_points_moved(void *shard);
/* (main shard) Does so from time to time until the broker stops. */
void checkpoints_start(struct broker *broker);

/* Who must not go on before log starts are durable. */
struct log_start_wait {
	struct list_node node;
	const uint32_t *dirs; /* places in log.dirs, as often as there are partitions */
	uint32_t dir_count;
	/* ERRORS by place in log.dirs: 0, or a negative errno of a directory that did not write them
	 * down; NULL when none did, for want of memory or because the broker stops. In a step or fiber of the main shard. */
	void (*done)(struct log_start_wait *wait, const int *errors);
};
/* (main shard) Writes down where the logs of WAIT's directories start as of now, and calls WAIT's
 * done: one write serves all that came while the one before it ran. */
void checkpoints_log_starts_wait(struct broker *broker, struct log_start_wait *wait);
/* (fiber, main shard) Waits for one that runs; no more are made. */
void checkpoints_stop(struct broker *broker);
