/*
 * The newest offset of each key, in bounded memory: what compaction asks of every record. A key is
 * known by 128 bits of a keyed hash (SipHash-2-4), so that whoever chooses keys cannot choose two that
 * are taken for one, which would cost a record; open addressing, 24 bytes a key, nothing is removed.
 */
#pragma once

#include "runtime/base.h"

struct key_map_slot {
	uint64_t hash[2];
	int64_t next; /* the offset and one more; 0: empty */
};
enum { KEY_MAP_SLOT_SIZE = 24 };

struct key_map {
	struct key_map_slot *slots;
	uint32_t slot_count;
	uint32_t count, count_max;
	int64_t latest_offset; /* all records up to it are in the map; -1 */
	uint64_t secret[2];
};

/*
 * Room for KEYS keys, or for as many as MEMORY_BYTES hold when LOAD_FACTOR (above 0, at most 1) of the slots
 * are used; at least one. SECRET is random. 0 or -ENOMEM.
 */
int key_map_init(struct key_map *map, uint64_t keys, uint64_t memory_bytes, double load_factor,
	const uint64_t secret[2]);
void key_map_done(struct key_map *map);

/* OFFSET is above all that were put before. False when the map is full, even if the key is known, as in
 * Kafka. */
bool key_map_put(struct key_map *map, const void *key, size_t size, int64_t offset);
/* -1 when the key is not known. */
int64_t key_map_find(const struct key_map *map, const void *key, size_t size);
