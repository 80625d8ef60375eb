/*
 * A simulated file system: folders, files, names, space. Every call acts at once; when it happens,
 * and whether it fails, is the caller's to pick (see files.c).
 *
 * Invariants:
 *  1. A file's bytes are durable after disk_sync, a name after disk_sync_folder of its folder,
 *     and not before, though they may become so by themselves (write-out).
 *  2. A change of names (make, rename, unlink) survives a power cut wholly or not at all: a
 *     rename never loses the file, nor does it show it twice.
 *  3. Of the changes that were not synced any may survive, in any order, but for those of the
 *     same name: a later one survives only with the earlier.
 *  4. A file lives as long as something refers to it: a name as seen, a durable name, or an
 *     opening.
 */
#pragma once

#include "runtime/file.h"
#include "runtime/simulated/content.h"

struct disk;
struct inode;

struct disk *disk_new(uint64_t capacity_bytes);
void disk_free(struct disk *disk);
/* Without its openings and locks: what another process would find there. Shares the bytes. */
struct disk *disk_clone(const struct disk *disk);

/* FLAGS of enum file_flags. Counts an opening, and holds the lock when FILE_LOCK asks for it, until
 * disk_close. */
int disk_open(struct disk *disk, const char *path, unsigned flags, struct inode **ret);
void disk_close(struct disk *disk, struct inode *inode, unsigned flags);

/* Of its disk: the n-th file or folder that was made. */
uint64_t disk_file_number(const struct inode *inode);
uint64_t disk_file_size(const struct inode *inode);
int64_t disk_file_modified_ms(const struct inode *inode);
int64_t disk_read(const struct inode *inode, void *buffer, size_t size, uint64_t offset);
/* SIZE or -ENOSPC; then as much as fits was written. */
int64_t disk_write(
	struct disk *disk, struct inode *inode, const void *data, size_t size, uint64_t offset);
int disk_truncate(struct disk *disk, struct inode *inode, uint64_t size);
int disk_allocate(struct disk *disk, struct inode *inode, uint64_t size);
void disk_sync(struct inode *inode);
/* A sync that failed with EIO: what was dirty is in doubt. */
void disk_sync_fail(struct disk *disk, struct inode *inode, struct chooser *chooser);

int disk_rename(struct disk *disk, const char *from, const char *to);
int disk_unlink(struct disk *disk, const char *path);
int disk_make_folder(struct disk *disk, const char *path);
int disk_remove_folder(struct disk *disk, const char *path);
int disk_sync_folder(struct disk *disk, const char *path);
int disk_status(struct disk *disk, const char *path, uint64_t *ret_size_bytes,
	int64_t *ret_modified_ms, bool *ret_is_folder);
/* Calls EACH with every name in the folder, in byte order; ends early with what EACH returns when
 * that is not 0. */
int disk_list(struct disk *disk, const char *path,
	int (*each)(void *argument, const char *name, bool is_folder), void *argument);
int disk_rot(struct disk *disk, struct chooser *chooser, const char *path, uint64_t offset);

/* For the times that files show. */
void disk_wall_ms_set(struct disk *disk, int64_t wall_ms);
void disk_capacity_set(struct disk *disk, uint64_t bytes);
uint64_t disk_capacity_bytes(const struct disk *disk);
uint64_t disk_used_bytes(const struct disk *disk);

/* The system writes something out by itself: some dirty sectors, some of the oldest names. */
void disk_write_out(struct disk *disk, struct chooser *chooser);
/* The power goes and comes back. No opening may be left. */
void disk_lose_power(struct disk *disk, struct chooser *chooser);
