/*
 * Partitions meet log directories: where each log is opened, which folders belong to nobody, and
 * the checkpoints that are written while the broker runs.
 */
#pragma once

#include "broker/replication/partition.h"
#include "storage/log_dirs.h"

/* (fiber, home shard) Opens the partition's log where it was found, or makes it. Errors as
 * log_open; the directory's failure is told by itself. */
/* -EAGAIN while a deleted topic of the same name still has the folder: ask again later. */
int directories_partition_open(struct broker_shard *shard, struct partition *partition,
	struct log **ret_log, struct log_recovery *ret_recovery);

/* (fiber, main shard) Renames folders whose topic is not in IMAGE or that have no replica here, as
 * Kafka does at start. */
int directories_set_strays_aside(struct broker *broker, const struct image *image);

/* (fiber, main shard) Writes the checkpoints of all logs of all shards. */
int directories_checkpoint(struct broker *broker);
/* (main shard) Does so from time to time until the broker stops. */
void directories_checkpoint_start(struct broker *broker);
/* (fiber, main shard) Waits for one that runs; no more are made. */
void directories_checkpoint_stop(struct broker *broker);
