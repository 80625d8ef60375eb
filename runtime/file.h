/*
 * Asynchronous files. Every call that can touch a disk takes a file_op that the caller owns, and
 * answers by its DONE step on the same shard with RESULT: what the system call returned, or a
 * negative errno. Nothing here blocks the loop: an implementation does inline what cannot block (a
 * write into the page cache under the dirty limit, a read that is cached) and hands the rest to
 * disk threads.
 *
 * Operations on one file that were asked for one after the other may complete in any order, but for
 * writes: two writes by the same shard to the same file take effect in the order asked. Paths must
 * stay valid until DONE.
 *
 * Durability is what POSIX promises and no more: data by file_sync, names by path_sync of the
 * folder. The simulated disk loses all else at a crash of the host.
 */
#pragma once

#include <sys/uio.h>

#include "runtime/shard.h"

struct file; /* an open file, counted by references: a response that still sends from it keeps it
		open */

struct file_op {
	struct task task; /* private */
	void (*done)(struct shard *shard, struct file_op *op);
	/* Nobody waits for it but a chore: it may take longer, so that what somebody does wait for is not
	 * held up by it. */
	bool is_chore;
	int64_t result; /* bytes moved, 0, or a negative errno */
	union {
		struct file *file; /* file_open: a new reference for the caller, when result is 0 */
		struct path_listing
			*listing; /* path_list: freed by the caller with path_listing_free */
		struct {
			uint64_t size_bytes;
			int64_t modified_ms; /* wall clock */
			bool is_folder;
		} status; /* path_status, file_status */
		struct {
			uint64_t total_bytes, free_bytes;
		} space; /* path_space: of the file system that holds the path */
	} ret;
	/* Private to the implementations: what was asked. */
	struct {
		struct shard *shard;
		struct file *file;
		const char *path, *path_to;
		const struct iovec *parts;
		struct iovec part;
		int part_count;
		int kind, flags;
		uint64_t offset, size;
	} ask;
};

enum file_flags {
	FILE_READ = 1,
	FILE_WRITE = 2,
	FILE_CREATE = 4,    /* made if it is not there */
	FILE_EXCLUSIVE = 8, /* -EEXIST if it is */
	FILE_TRUNCATE = 16,
	FILE_LOCK = 32, /* an exclusive advisory lock held while open; -EWOULDBLOCK when another
			   process has it */
};

void file_open(struct shard *shard, struct file_op *op, const char *path, unsigned flags);
/* Read until SIZE bytes or the end of the file: a short result means the end. */
void file_read(struct shard *shard, struct file_op *op, struct file *file, void *buffer,
	size_t size, uint64_t offset);
/* All of it or an error (a short write is retried inside; -ENOSPC may leave part of it behind). The
 * parts' array and memory stay untouched and alive until DONE. */
void file_write(struct shard *shard, struct file_op *op, struct file *file,
	const struct iovec *parts, int part_count, uint64_t offset);
/* fdatasync: covers what completed before it was asked. After a failure the unsynced bytes are in
 * doubt: every later sync of this open file fails too. */
void file_sync(struct shard *shard, struct file_op *op, struct file *file);
void file_truncate(struct shard *shard, struct file_op *op, struct file *file, uint64_t size);
/* Extends the file with zeros to at least SIZE, with disk space reserved. */
void file_allocate(struct shard *shard, struct file_op *op, struct file *file, uint64_t size);
void file_status(struct shard *shard, struct file_op *op, struct file *file);

/* Reads inline what needs no disk: as file_read, a short result means the end of the file; -EAGAIN
 * when some of it isn't in memory: then ask file_read. For index lookups and batch headers near the
 * tail. */
int64_t file_read_cached(
	struct shard *shard, struct file *file, void *buffer, size_t size, uint64_t offset);
/* True when all of the range is in memory, so that sending it cannot block. */
bool file_is_cached(struct shard *shard, struct file *file, uint64_t offset, uint64_t size);

/* From any shard. The last unref closes, without blocking the caller. NULL is allowed in unref. */
struct file *file_ref(struct file *file);
void file_unref(struct file *file);

void path_rename(struct shard *shard, struct file_op *op, const char *from, const char *to);
void path_unlink(struct shard *shard, struct file_op *op, const char *path);
void path_make_folder(
	struct shard *shard, struct file_op *op, const char *path); /* -EEXIST as mkdir */
void path_remove_folder(struct shard *shard, struct file_op *op, const char *path); /* as rmdir */
void path_sync(struct shard *shard, struct file_op *op,
	const char *folder); /* names in it become durable */
void path_list(struct shard *shard, struct file_op *op, const char *folder);
void path_status(struct shard *shard, struct file_op *op, const char *path);
void path_space(struct shard *shard, struct file_op *op, const char *path);

/* Names in a folder without "." and "..", sorted by bytes so that every run sees the same order. */
struct path_listing {
	uint32_t count;
	struct path_entry {
		const char *name;
		bool is_folder;
	} entries[];
};
void path_listing_free(struct path_listing *listing);

/* Descriptors that the whole machine's listeners leave to files: no connection is accepted that
 * would take one of them. */
uint32_t files_reserved(const struct shard *shard);
/*
 * How many files the whole machine may keep open from one use to the next, now: what connections do not
 * have and files_reserved does not keep, but never fewer than half of that. The rest is for files that are open
 * for a moment, and for the connections that come next.
 */
uint32_t files_allowed(const struct shard *shard);
/* From now on STEP runs, as a step of SHARD's, when more is open than is allowed any more, since connections came: to
 * close what it keeps open. One for each shard; NULL takes it back. */
void files_give_way(struct shard *shard, void (*step)(struct shard *shard, void *argument),
	void *argument);
