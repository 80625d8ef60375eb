/*
 * Partitions meet log directories: where each log is opened, which folders belong to nobody, what is
 * cordoned, and what happens when a directory fails.
 */
#pragma once

#include "broker/replication/partition.h"
#include "storage/log_dirs.h"

/* (fiber, home shard) Opens the partition's log where it was found, or places and makes it;
 * partition->dir says where. -ENODEV when no directory that may hold it is online; else as
 * log_open, and a directory that fails by it is told by itself. */
int directories_partition_open(struct broker_shard *shard, struct partition *partition,
	struct log **ret_log, struct log_recovery *ret_recovery);

/* (main shard) Tells the operator of the directories that could not be read at the start. */
void directories_say_offline(struct broker *broker);
/*
 * (fiber, main shard) Before any log is opened: folders whose topic is not in IMAGE, or that have no
 * replica here, are set aside as "-stray"; and of a replica that was moving between directories the
 * new folder is taken when the metadata says that it is the one, or when it is all there is.
 */
int directories_settle(struct broker *broker, const struct image *image);

/* A directory (a path of log.dirs) failed with ERROR, seen by SHARD (a struct broker_shard): every
 * shard is told, its logs answer KAFKA_STORAGE_ERROR (KIP-112), and the controller gives what it
 * led to others. Without any directory, or without the metadata's, the process ends. */
void directory_failed(void *shard, const char *folder, int error);

/* What the controller is told of log.dirs: log_dirs_count() rows. */
void directories_describe(struct broker *broker, struct controller_directory *ret_directories);

/* (main shard) What cordoned.log.dirs says in broker->config from now on; true when that is new. */
bool directories_cordon(struct broker *broker);
