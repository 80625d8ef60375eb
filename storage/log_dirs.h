/*
 * The log directories of a node (log.dirs): locked while the process lives, checked against
 * meta.properties, scanned for partitions, with the checkpoints that say from where each log must
 * be recovered.
 *
 * Written by the main shard (open, strays, checkpoints). Other shards ask where a partition of
 * theirs lies (log_dirs_take), place new ones and take leave of deleted ones: what they share is
 * atomic, and an entry is its partition's home shard's alone.
 *
 * Invariants:
 *  1. The clean-shutdown file is gone, durably, before any log is opened, and comes back only
 *     when every log was closed.
 *  2. All directories have the same cluster and node, and each its own id.
 *  3. Nothing of ours lies in a log directory; a folder that is no partition's refuses the start,
 *     as in Kafka.
 */
#pragma once

#include "runtime/arena.h"
#include "runtime/file.h"
#include "storage/log.h"

struct log_dirs;

enum { LOG_DIR_CHECKPOINTS = 4 }; /* files of a directory */

struct log_dir {
	const char *path;
	struct uuid id;
	int error; /* atomic: 0, or the errno with which it failed: offline (KIP-112) */
	bool no_room;	  /* atomic: its disk is full; appends are refused */
	bool is_cordoned; /* atomic: takes no new partitions (cordoned.log.dirs) */
	bool clean;		  /* the last stop closed its logs */
	bool unopened;		  /* atomic: it holds a log that could not be opened, so the
				     next start has to look at it again: no clean mark */
	int64_t broker_epoch;	  /* of that stop; -1 */
	uint32_t partition_count; /* atomic: found or placed here */
	uint64_t
		checkpoint_hashes[LOG_DIR_CHECKPOINTS]; /* of what was written last; 0: not known */
	struct file *lock;
	char *lock_path;
};

/* A partition's folder as it was found. */
struct log_dir_entry {
	struct str topic;
	int32_t partition;
	struct uuid topic_id; /* of partition.metadata; zero when there is none */
	uint32_t dir;
	int64_t recovery_point, log_start, high_watermark,
		clean_end; /* of the checkpoints; 0 when not listed */
	bool is_future; /* the unfinished copy of a replica that moves to this directory */
	bool is_gone; /* set aside, or taken: by its partition, which may be deleted later */
};

struct log_dirs_options {
	const struct str *paths;
	uint32_t count;
	struct str metadata_path; /* the directory of __cluster_metadata; one of PATHS or another */
	int32_t node_id;
};

/*
 * (fiber) Locks and reads every directory. One that cannot be read is offline, unless it is the one
 * of the metadata or none would be left. 0 or: -ENOENT: not formatted; -EBUSY: another process has
 * the lock; -EINVAL: another node's or cluster's, or a foreign folder; -EIO and others. RET_WHY (in
 * ARENA) says it to the operator; of a directory that is offline, log_dir.error does.
 */
int log_dirs_open(struct shard *shard, const struct log_dirs_options *options, struct arena *arena,
	struct log_dirs **ret, const char **ret_why);
/* (fiber) Takes the clean-shutdown files away; after this logs may be opened. */
int log_dirs_unmark_clean(struct shard *shard, struct log_dirs *dirs);
/* Unlocks. NULL is allowed. */
void log_dirs_free(struct log_dirs *dirs);

struct str log_dirs_cluster_id(const struct log_dirs *dirs);
/* Of log.dirs; the metadata's directory counts only when it is one of them. */
uint32_t log_dirs_count(const struct log_dirs *dirs);
struct log_dir *log_dirs_at(struct log_dirs *dirs, uint32_t index);
/* The one that holds __cluster_metadata. */
struct log_dir *log_dirs_metadata(struct log_dirs *dirs);
struct log_dir *log_dirs_by_path(struct log_dirs *dirs, const char *path);
/* Of the last clean stop when every directory says the same; -1 otherwise. */
int64_t log_dirs_previous_broker_epoch(const struct log_dirs *dirs);

/* What the scan found, in the order of the directories' listings. */
uint32_t log_dirs_entry_count(const struct log_dirs *dirs);
struct log_dir_entry *log_dirs_entry_at(struct log_dirs *dirs, uint32_t index);
/* The partition's folder; NULL when there was none, or it was set aside or taken. */
struct log_dir_entry *log_dirs_current(struct log_dirs *dirs, struct str topic, int32_t partition);
/* The same, once. On the partition's home shard. */
const struct log_dir_entry *log_dirs_take(
	struct log_dirs *dirs, struct str topic, int32_t partition);
/*
 * Where a partition without a folder goes, and counts it there. ID is the directory that the
 * metadata names: when it is one of these, it must be online. Otherwise (UUID_DIRECTORY_UNASSIGNED,
 * or a directory that is in log.dirs no more) it is the online one with the fewest partitions that
 * is not cordoned, the first of equals. NULL: there is none; or the partition may lie in a
 * directory that is offline, as only UNASSIGNED says that it was never placed. On any shard.
 */
struct log_dir *log_dirs_place(struct log_dirs *dirs, const struct uuid *id);
/* A partition of DIR was deleted, or could not be made. On any shard. */
void log_dirs_leave(struct log_dir *dir);
static inline bool log_dir_is_online(const struct log_dir *dir)
{
	return __atomic_load_n(&dir->error, __ATOMIC_RELAXED) == 0;
}
static inline bool log_dir_is_cordoned(const struct log_dir *dir)
{
	return __atomic_load_n(&dir->is_cordoned, __ATOMIC_RELAXED);
}
static inline bool log_dir_has_room(const struct log_dir *dir)
{
	return !__atomic_load_n(&dir->no_room, __ATOMIC_RELAXED);
}
/* On any shard. False when it was known. */
static inline bool log_dir_room_set(struct log_dir *dir, bool has_room)
{
	return __atomic_exchange_n(&dir->no_room, !has_room, __ATOMIC_RELAXED) == has_room;
}
/* (main shard) A directory failed. False when it had failed before. */
bool log_dir_fail(struct log_dir *dir, int error);
/* (main shard) What cordoned.log.dirs says of DIR now. */
void log_dir_cordon(struct log_dir *dir, bool is_cordoned);

/* (fiber) The folder belongs to no partition of the metadata: renamed to "…-stray", and left for
 * the operator. 1 when it does not say whose it is and has no records, as a crash leaves one that was
 * being made: it is just removed. */
int log_dirs_set_aside(struct shard *shard, struct log_dirs *dirs, struct log_dir_entry *entry);
/* (fiber) FUTURE becomes the partition's folder, and what was that is deleted. */
int log_dirs_promote(struct shard *shard, struct log_dirs *dirs, struct log_dir_entry *future);

/* One log, as the checkpoints of its directory and DescribeLogDirs tell of it. */
struct log_row {
	struct str topic; /* lives as long as the row is used */
	int32_t partition;
	uint32_t dir;
	int64_t recovery_point, log_start, high_watermark;
	int64_t clean_end; /* cleaner-offset-checkpoint lists only logs that were compacted */
	bool log_start_moved; /* log-start-offset-checkpoint lists only logs whose files do not
				 tell the start */
	uint64_t size_bytes;
};
/* (fiber) Replaces those checkpoint files that have news of every directory that is online, at least one of each
 * directory. The first error; FAILED is told of each directory whose disk refused. */
int log_dirs_write_checkpoints(struct shard *shard, struct log_dirs *dirs,
	const struct log_row *rows, uint32_t count,
	void (*failed)(void *argument, const char *folder, int error), void *argument);
/*
 * (fiber) Before logs are opened: replaces the checkpoints when they name logs that were not found, or
 * were set aside. A new log of such a name would be taken for what they tell, after a crash. Errors as
 * above, or -ENOMEM.
 */
int log_dirs_forget_gone(struct shard *shard, struct log_dirs *dirs,
	void (*failed)(void *argument, const char *folder, int error), void *argument);
/*
 * (fiber) Replaces log-start-offset-checkpoint in the directories that are WANTED, each to
 * RET_ERRORS: 0 when it is durable, -EIO of one that is offline; log_dirs_count() of both. FAILED as
 * above.
 */
void log_dirs_write_log_starts(struct shard *shard, struct log_dirs *dirs,
	const struct log_row *rows, uint32_t count, const bool *wanted, int *ret_errors,
	void (*failed)(void *argument, const char *folder, int error), void *argument);
/* (fiber) Every log was closed: the next start need not recover. */
int log_dirs_mark_clean(struct shard *shard, struct log_dirs *dirs, int64_t broker_epoch);
