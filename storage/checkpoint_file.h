/*
 * Kafka's checkpoint files: a version line, a count line, one line an entry.
 * recovery-point-offset-checkpoint, replication-offset-checkpoint, log-start-offset-checkpoint and
 * cleaner-offset-checkpoint hold "topic partition offset"; leader-epoch-checkpoint holds "epoch
 * offset". Pure functions over text: read the file with fiber_read_whole and CHECKPOINT_FILE_LIMIT,
 * replace it with fiber_replace.
 */
#pragma once

#include "runtime/arena.h"

/* Half a million partitions with long names. */
#define CHECKPOINT_FILE_LIMIT ((size_t)128 << 20)

struct checkpoint_topic_offset {
	struct str topic;
	int32_t partition;
	int64_t offset;
};

struct checkpoint_epoch_offset {
	int32_t epoch;
	int64_t offset; /* the first one of that epoch */
};

/*
 * Entries in the file's order, in ARENA, topics being views into TEXT. An empty text is an empty
 * list, as in Kafka. -EPROTONOSUPPORT: another version than 0; -EBADMSG: malformed, or not as many
 * entries as the count says; -ENOMEM.
 */
int checkpoint_topic_offsets_parse(struct arena *arena, struct str text,
	struct checkpoint_topic_offset **ret, int32_t *ret_count);
int checkpoint_epoch_offsets_parse(struct arena *arena, struct str text,
	struct checkpoint_epoch_offset **ret, int32_t *ret_count);

/* The file's text in ARENA; size -1 when it is exhausted. */
struct str checkpoint_topic_offsets_format(
	struct arena *arena, const struct checkpoint_topic_offset *entries, int32_t count);
struct str checkpoint_epoch_offsets_format(
	struct arena *arena, const struct checkpoint_epoch_offset *entries, int32_t count);
