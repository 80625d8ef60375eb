/*
 * What the members of one consumer group were told, and the judgement on it:
 *
 *  1. In one generation at most one member owns a partition, and nothing that a leader decided
 *     for another generation is handed out.
 *  2. A generation never comes back: its number has one leader.
 *  3. The committed offset of a partition is the one acknowledged last, or shown last, or one that
 *     was sent since and whose fate is not known. It is never lost and never an older one.
 *
 * Committed offsets are numbers that the history gives out, each once, so that each tells its
 * commit. A commit whose connection broke may still arrive, until a commit of a later generation
 * is acknowledged: then it is fenced.
 */
#pragma once

#include "history.h"

enum { GROUP_PARTITIONS_MAX = 8, GROUP_DOUBTS_MAX = 256 };

struct group_commit {
	int64_t offset; /* -1: none */
	int32_t generation;
};

struct group_owner {
	int32_t generation;
	unsigned partition;
	unsigned client;
};

struct group_leader {
	int32_t generation;
	unsigned client;
};

struct group_history {
	struct history *history; /* which has the violation */
	char name[16];
	int64_t commits; /* given out */
	struct {
		struct group_commit settled;
		struct group_commit doubts[GROUP_DOUBTS_MAX];
		unsigned doubt_count;
	} partitions[GROUP_PARTITIONS_MAX];
	struct group_owner *owners;
	unsigned owner_count, owner_capacity;
	struct group_leader *leaders;
	unsigned leader_count, leader_capacity;
};

void group_history_init(struct group_history *group, struct history *history, unsigned index);
void group_history_done(struct group_history *group);

/* CLIENT is told that it leads GENERATION, and that it owns PARTITION in it. */
void group_history_lead(struct group_history *group, int32_t generation, unsigned client);
void group_history_own(
	struct group_history *group, int32_t generation, unsigned partition, unsigned client);

/* The node's process ended, in whatever way. A generation is written down when its leader has
 * decided: one that nobody was told an assignment of may be gone with the process. */
void group_history_end(struct group_history *group);

/* A commit is being sent: its offset; -1 when too many are in doubt. */
int64_t group_history_commit(struct group_history *group, unsigned partition, int32_t generation);
void group_history_acknowledge(struct group_history *group, unsigned partition, int64_t offset);
/* It was refused, and will not be. */
void group_history_refuse(struct group_history *group, unsigned partition, int64_t offset);
/* OffsetFetch said so; asked for after the last event above. -1: nothing is committed. */
void group_history_see(struct group_history *group, unsigned partition, int64_t offset);
