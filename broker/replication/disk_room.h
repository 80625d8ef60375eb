/*
 * Disks that are full. A write that finds no room is refused, and its producer tries again: but then
 * the reserve that the metadata log gave back (storage/disk_reserve.h) would be taken by whoever tries
 * first, and nothing could be decided or deleted any more. So a directory without room takes no
 * appends but the metadata's, until there is some.
 *
 *	 room --(a write finds none; less than DISK_ROOM_SHORT is free)--> no room
 *	no room --(DISK_ROOM_ENOUGH is free)--> room
 *
 * A log that could not be opened or made for want of room is tried again then; its partition is OFFLINE.
 *
 * The flag is log_dir.no_room. Any shard raises it, the main shard looks at the disks and lowers it.
 */
#pragma once

#include "runtime/shard.h"

struct broker;
struct fiber;

enum {
	DISK_ROOM_SHORT = 1 << 20, /* the reserve's size */
	DISK_ROOM_ENOUGH = 4 << 20,
};

struct disk_room {
	struct timer timer; /* while some directory has no room */
	bool runs, is_wanted, stopped;
	uint64_t found_ns; /* when one was last found to have room again */
	struct fiber *waiter;
};

/* log_store_options.folder_full, with the shard as its argument. */
void disk_room_lost(void *shard, const char *folder);
/* (main shard) Before logs are opened. */
void disk_room_start(struct broker *broker);
/* (main shard) Looks at all disks now. */
void disk_room_check(struct broker *broker);
/* (fiber, main shard) Looks no more; waits for one that runs. */
void disk_room_stop(struct broker *broker);
