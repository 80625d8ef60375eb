/*
 * Room that is held back on the disk of the metadata log, so that a broker can start, and decide, on
 * a disk that is otherwise full: a start writes a new epoch and registers before anything can be
 * deleted. A plain file in the log directory, which Apache Kafka passes over. See
 * docs/decisions/0005-a-reserve-on-the-disk.md.
 */
#pragma once

#include "runtime/shard.h"

#define DISK_RESERVE_FILE_NAME "barnabas-reserve"

/*
 * (fiber) FOLDER gets its reserve if there is none. With LAST_BYTES also when that takes the last
 * room there is, less than wanted if need be; else only where there is plenty. 0, or a negative errno
 * that means no more than that there is no reserve now.
 */
int disk_reserve_make(struct shard *shard, const char *folder, bool last_bytes);
/* (fiber) Is there less room than the reserve is to keep? Then what can wait must not write. */
bool disk_reserve_is_needed(struct shard *shard, const char *folder);
/* (fiber) Gives the reserve's room back when the disk has less than that left: before a start, and when the metadata log
 * was refused. False when there is room, or no reserve. */
bool disk_reserve_release_if_short(struct shard *shard, const char *folder);
