/*
 * A partition on its home shard, and parts: how a handler on any shard gets something done there.
 *
 * Invariants:
 *  1. A partition's log, epochs and watermarks are touched on its home shard alone;
 *     partition_home() says which that is, from the topic's name and the index, the same on every
 *     start with as many shards. So topics that have one name one after the other meet there, and
 *     the later one waits until the earlier one's folder is gone (partitions.c).
 *  2. A part goes there and comes back exactly once, whatever happens to the partition. A part
 *     that was routed by a newer image than the home shard has waits for that image; one that
 *     finds the partition still opening waits for its log.
 *  3. On a cluster of one the high watermark follows the readable end.
 *  4. A log is closed or deleted only when nobody uses it (partition_use) and no fiber works on
 *     it.
 */
#pragma once

#include "broker/state.h"
#include "storage/log.h"

struct log_dir;
struct log_dir_entry;

enum partition_state {
	PARTITION_OPENING, /* its log is being opened */
	PARTITION_ONLINE,
	PARTITION_OFFLINE,  /* its directory failed, or its log can't be read: KAFKA_STORAGE_ERROR */
	PARTITION_ABSENT,   /* its directory was offline from the start: NOT_LEADER_OR_FOLLOWER */
	PARTITION_DELETING, /* gone from the image; its log is being deleted */
};

/* Compared as bytes: built by partition_key() alone. */
struct partition_key {
	struct uuid topic_id;
	int32_t index;
	int32_t zero;
};

struct partition {
	struct map_node node;
	struct partition_key key;
	struct broker_shard *shard;
	struct str folder; /* "topic-3"; the partition's own copy, ends with a NUL */
	struct str topic;  /* its name: the beginning of FOLDER */
	enum partition_state state;
	struct log *log;     /* NULL unless it was opened */
	const struct log_dir_entry *entry; /* as the start found its folder; NULL when there was none */
	struct log_dir *dir; /* where its log is, or will be made; NULL before that is known */
	int32_t leader, leader_epoch, partition_epoch;
	int32_t isr_count, replica_count, min_isr;
	struct uuid directory_id; /* that the metadata names (UUID_DIRECTORY_…, or one's own) */
	struct log_config log_config;

	struct map_node folder_node; /* in the shard's folders, when it is its folder's owner */
	struct list heirs;	     /* later partitions of that folder, waiting for this one's end */
	struct list_node heir_node;  /* among them, when it is not */

	bool awaits_room; /* OFFLINE, until its directory's disk has room to open its log */
	bool is_listed; /* a checkpoint may name its log */
	struct list_node leaving; /* deleted, and a checkpoint still may; see partitions.c */
	struct list_node work; /* in the shard's queue for fibers */
	struct list_node stop_node; /* in a visit of all at the end */
	bool busy;	       /* a fiber has it */
	bool delete_wanted;
	bool directory_told; /* that its log is in another directory than the metadata says */
	uint32_t users;	      /* appends and reads under way */
	struct list waiting;  /* parts that came while it was opening */
	struct list watchers; /* struct partition_watch */
	bool notify_queued;
	struct task notify;
};

static inline struct partition_key partition_key(const struct uuid *topic_id, int32_t index)
{
	return (struct partition_key){.topic_id = *topic_id, .index = index};
}

unsigned partition_home(unsigned shard_count, struct str topic, int32_t index);
/* NULL when the shard has none. */
struct partition *partition_find(
	struct broker_shard *shard, const struct uuid *topic_id, int32_t index);

/* The log stays open between the two. */
void partition_use(struct partition *partition);
void partition_unuse(struct partition *partition);

/* ---- a shard's partitions ---- */

/* Brings them in line with a new image: opens new ones, deletes those that are gone, tells of new
 * epochs and settings. OLD may be NULL. */
void partitions_update(struct broker_shard *shard, const struct image *old,
	const struct image *image, bool settings_changed);
/* (fiber) Waits until no log is being opened or deleted. */
void partitions_settle(struct broker_shard *shard);
/* (fiber) Syncs every log, so that the checkpoints can tell their ends; 0, or the first negative
 * errno. */
int partitions_sync(struct broker_shard *shard);
/* (fiber) Closes every log for a clean stop; 0, or the first negative errno. */
int partitions_close(struct broker_shard *shard);
/*
 * Checkpoints know logs by their folders' names alone: what they say of a deleted one must be gone
 * before another may have its name. So: forget_begin on every shard, the checkpoints written without
 * them, forget_end, which tells whether that was done, and frees the names of those that were deleted
 * before forget_begin.
 */
void partitions_forget_begin(struct broker_shard *shard);
/* (fiber) */
void partitions_forget_end(struct broker_shard *shard, bool written);
/* DIR's disk has room again: what could not be opened for want of it is tried again. */
void partitions_room_found(struct broker_shard *shard, const struct log_dir *dir);
/* A directory has failed: its partitions answer KAFKA_STORAGE_ERROR. */
void partitions_directory_failed(struct broker_shard *shard, const struct log_dir *dir);

/* ---- parts ---- */

struct part {
	struct task task;
	struct list_node node; /* while it waits at home */
	struct broker_shard *asker;
	struct broker_shard *home;
	struct uuid topic_id;
	int32_t index;
	int64_t image_offset; /* image_position of the image that routed it */
	int16_t error;	      /* Kafka's: set when at_home could not be called */
	/* At the home shard, with the partition online. Ends in part_return, now or later. */
	void (*at_home)(struct part *part, struct partition *partition);
	/* On the asking shard again. */
	void (*back)(struct part *part);
};

/* Says whom the part is for: a partition of TOPIC, which is in ASKER's IMAGE. */
void part_address(struct part *part, struct broker_shard *asker, const struct image *image,
	const struct image_topic *topic, int32_t index);
/* From part->asker, after part_address, with at_home and back set. */
void part_send(struct part *part);
void part_return(struct part *part);
/* The same as the last act of a step that nobody of the asker's called: an asker on this shard has the part
 * back at once. */
void part_return_last(struct part *part);
/* An image has arrived: what waited for it goes on. */
void parts_image_arrived(struct broker_shard *shard);
/* A partition's state has changed: what waited for it goes on. */
void parts_partition_ready(struct partition *partition);

/* ---- progress ---- */

struct partition_watch {
	struct list_node node;
	/* Called once, unlinked; a watermark or the state of the partition has changed. */
	void (*fire)(struct partition_watch *watch, struct partition *partition);
};
void partition_watch(struct partition *partition, struct partition_watch *watch);
void partition_watch_cancel(struct partition_watch *watch);

/* The log's readable end moved: raises the high watermark and tells the watchers as a later step.
 */
void partition_advanced(struct partition *partition);
/* The log start or the state has changed: tells the watchers as a later step. */
void partition_changed(struct partition *partition);

/* Kafka's fencing of CurrentLeaderEpoch (-1: none given): 0, FENCED_LEADER_EPOCH or
 * UNKNOWN_LEADER_EPOCH, or NOT_LEADER_OR_FOLLOWER when the leader is another broker. */
int16_t partition_leader_check(const struct partition *partition, int32_t current_leader_epoch);
