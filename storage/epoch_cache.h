/*
 * The leader epochs of a log: where each began. Sorted by epoch and by start offset alike. Kept in
 * memory; the log writes it to leader-epoch-checkpoint when it changed. Follows Kafka's
 * LeaderEpochFileCache.
 */
#pragma once

#include "runtime/base.h"

struct epoch_entry {
	int32_t epoch;
	int64_t start_offset;
};

/* Zeroed is empty. */
struct epoch_cache {
	struct epoch_entry *entries;
	uint32_t count, capacity;
};

void epoch_cache_done(struct epoch_cache *cache);

/*
 * EPOCH begins at START_OFFSET; entries that contradict it (a later epoch, or the same or a later
 * start) are dropped. 1 when something changed, 0 when it was known, -ENOMEM.
 */
int epoch_cache_assign(struct epoch_cache *cache, int32_t epoch, int64_t start_offset);
/* Drops what began at or behind END. True when something changed; so below. */
bool epoch_cache_truncate_end(struct epoch_cache *cache, int64_t end_offset);
/* The epoch at START becomes the first, beginning there. */
bool epoch_cache_truncate_start(struct epoch_cache *cache, int64_t start_offset);
bool epoch_cache_clear(struct epoch_cache *cache);

/* -1 when empty. */
int32_t epoch_cache_latest(const struct epoch_cache *cache);
/* The epoch of OFFSET, -1 when the log knows of none there. */
int32_t epoch_cache_at(const struct epoch_cache *cache, int64_t offset);
/* The largest epoch <= EPOCH and where it ended; -1 and -1 when not known. */
void epoch_cache_end_offset(const struct epoch_cache *cache, int32_t epoch, int64_t log_end,
	int32_t *ret_epoch, int64_t *ret_end_offset);
