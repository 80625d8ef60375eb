/*
 * The checkpoints of the log directories, written while the broker runs and when it stops: from
 * where a log is recovered, where it starts, how far it is committed.
 */
#pragma once

#include "broker/state.h"

/* (fiber, main shard) Writes the checkpoints of all logs of all shards. */
int checkpoints_write(struct broker *broker);
/* (main shard) Does so from time to time until the broker stops. */
void checkpoints_start(struct broker *broker);
/* (fiber, main shard) Waits for one that runs; no more are made. */
void checkpoints_stop(struct broker *broker);
