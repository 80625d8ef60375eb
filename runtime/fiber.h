/*
 * Fibers: code that reads from top to bottom although it waits. A fiber is a step that may stop
 * in the middle, on its own stack, until what it waits for has happened. They are for work that
 * is long and rarely hot: loading logs at start, recovery, deleting a topic, writing a snapshot,
 * formatting. The paths of Produce and Fetch do not use them.
 *
 * A fiber runs only on the shard that started it, between other steps; everything it saw before a
 * wait may have changed after it.
 *
 *	static void load(struct shard *shard, void *argument)
 *	{
 *		struct file *file;
 *		int error = fiber_open(shard, path, FILE_READ, &file);
 *		...
 *	}
 *	fiber_start(shard, load, argument);
 */
#pragma once

#include "runtime/file.h"
#include "runtime/offload.h"

struct fiber;

/* Queues BODY as a step; -ENOMEM when there is no memory for a stack. When BODY returns the fiber
 * is gone. */
int fiber_start(
	struct shard *shard, void (*body)(struct shard *shard, void *argument), void *argument);
/* The fiber that runs now; NULL in an ordinary step. */
struct fiber *fiber_current(struct shard *shard);
/* Stops the running fiber until fiber_wake. A wake that came before the wait is kept: the wait
 * returns at once. */
void fiber_wait(struct shard *shard);
/* Lets FIBER go on, as a queued step of its shard; call from that shard. */
void fiber_wake(struct shard *shard, struct fiber *fiber);
void fiber_sleep(struct shard *shard, uint64_t duration_ns);
/* Lets other steps run first: call in long loops. */
void fiber_yield(struct shard *shard);

/* What the running fiber asks of files from now on are chores (file_op.is_chore), or are not. A new fiber's
 * are not. */
void fiber_is_chore(struct shard *shard, bool is_chore);

/* file.h as calls that return when done: 0 (or bytes) or a negative errno. */
int fiber_open(struct shard *shard, const char *path, unsigned flags, struct file **ret);
int64_t fiber_read(
	struct shard *shard, struct file *file, void *buffer, size_t size, uint64_t offset);
int fiber_write(
	struct shard *shard, struct file *file, const void *data, size_t size, uint64_t offset);
int fiber_sync(struct shard *shard, struct file *file);
int fiber_truncate(struct shard *shard, struct file *file, uint64_t size);
int fiber_allocate(struct shard *shard, struct file *file, uint64_t size);
int fiber_file_size(struct shard *shard, struct file *file, uint64_t *ret_size);
int fiber_rename(struct shard *shard, const char *from, const char *to);
int fiber_unlink(struct shard *shard, const char *path);
int fiber_make_folder(struct shard *shard, const char *path);
int fiber_remove_folder(struct shard *shard, const char *path);
int fiber_sync_folder(struct shard *shard, const char *folder);
int fiber_list(struct shard *shard, const char *folder, struct path_listing **ret);
int fiber_path_status(struct shard *shard, const char *path, uint64_t *ret_size_bytes,
	int64_t *ret_modified_ms, bool *ret_is_folder);
/* Of the file system that holds PATH. */
int fiber_space(struct shard *shard, const char *path, uint64_t *ret_free_bytes);
void fiber_offload(struct shard *shard, struct offload_op *op);

/* A file to sync, or a folder. */
struct sync_ask {
	struct file *file; /* NULL: the folder */
	const char *folder;
	int error; /* its answer */
};

/* All at once, which a disk does in little more than the time of one. 0 or the first error, when all are
 * answered; -ENOMEM: none was asked for. */
int fiber_sync_all(struct shard *shard, struct sync_ask *asks, size_t count);

/* The whole file into malloc'ed memory with a NUL behind it; -EFBIG beyond LIMIT. */
int fiber_read_whole(
	struct shard *shard, const char *path, size_t limit, char **ret_data, size_t *ret_size);
/* Makes PATH anew of these bytes, and leaves it open; nothing is synced. */
int fiber_write_new(struct shard *shard, const char *path, const void *data, size_t size,
	struct file **ret_file);
/* Replaces PATH so that a crash at any point leaves the old or the new content: writes PATH.tmp,
 * syncs, renames, syncs the folder. */
int fiber_replace(struct shard *shard, const char *path, const void *data, size_t size);
/* The same for a crash of the process alone: nothing is synced. */
int fiber_replace_unsynced(
	struct shard *shard, const char *path, const void *data, size_t size);
