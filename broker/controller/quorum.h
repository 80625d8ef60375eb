/*
 * The quorum of `__cluster_metadata`, as far as this node needs one: it is the only voter, so it
 * leads as soon as it has opened the log, and what it has synced is committed. Everything that a
 * quorum of several nodes keeps on disk is kept (elections in quorum-state, epochs, voters as
 * control records, snapshots), in Kafka's files.
 *
 * The seam for several nodes is here: the controller above asks to append and is told what is
 * committed; it does not know how many had to agree.
 *
 * Invariants:
 *  1. An epoch is durable before anything is told of it: its first records are, with the epoch in them.
 *     quorum-state follows, before the next append. One that is behind the log after a power cut, or
 *     missing, is no harm where there is no other voter: Kafka, too, goes on from the log's epoch then.
 *  2. quorum_append answers after the records are synced; what it answered 0 for is never lost.
 *  3. The log is trimmed only behind a snapshot that is durable under its name.
 */
#pragma once

#include "broker/controller/snapshot.h"
#include "broker/metadata/loader.h"
#include "storage/log.h"

struct quorum;
struct logger;

struct quorum_open {
	const char *folder; /* that holds __cluster_metadata-0; lives as long as the quorum */
	int32_t node_id;
	struct uuid directory_id; /* of that folder */
	const struct config *config;
	struct log_store *store;
	struct logger *logger;
	bool clean; /* the log was closed cleanly */
};

/*
 * (fiber) Opens the log and replays the newest snapshot and what follows into LOADER (which is
 * initialised here). -ENOTSUP: other nodes are voters too, or this one is none; -EBADMSG: something
 * is damaged or contradicts itself; -ENOMEM; the errno of a file. *RET_WHY in ARENA.
 */
int quorum_open(struct shard *shard, const struct quorum_open *ask, struct image_loader *loader,
	struct arena *arena, struct quorum **ret_quorum, const char **ret_why);
/*
 * (fiber) Becomes leader in a new epoch. The batch of the LeaderChange record is added to BUFFER: what
 * quorum_append is given first must begin with it, and makes quorum-state durable at the same time. RET: the
 * offset behind it.
 */
int quorum_lead(struct quorum *quorum, struct image_loader *loader, struct record_buffer *buffer,
	int64_t *ret_next_offset);

/* Of the next record. */
int64_t quorum_next_offset(const struct quorum *quorum);
int32_t quorum_epoch(const struct quorum *quorum);
int16_t quorum_kraft_version(const struct quorum *quorum);
int64_t quorum_committed(const struct quorum *quorum); /* the high watermark */
/* One voter. Its directory is zero with static voters. */
void quorum_voter(const struct quorum *quorum, int32_t *ret_id, struct uuid *ret_directory_id);

/*
 * (fiber) Appends whole batches, whose offsets go on from quorum_next_offset, and waits until they
 * are synced. 0 or a negative errno, after which the log is unusable.
 */
int quorum_append(struct quorum *quorum, uint8_t *batches, uint32_t size);

/* Has so much been appended, or so much time passed, that a snapshot is due? */
bool quorum_snapshot_is_due(const struct quorum *quorum);
/* (fiber) Writes IMAGE as a snapshot, then trims the log and old snapshots by
 * metadata.max.retention.bytes and .ms. */
int quorum_snapshot(struct quorum *quorum, const struct image *image);

/* (fiber) Closes the log and frees. */
int quorum_close(struct quorum *quorum);
void quorum_abandon(struct quorum *quorum);
