/*
 * Open files. What cannot wait is done at once on the shard's thread: a read of cached bytes, a
 * write while the device has room for dirty bytes. The rest goes to disk threads.
 *
 * Write order: while a write of this file waits for a disk thread, later ones queue behind it, and
 * one disk thread at a time serves the queue.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/linux/internal.h"

enum {
	INLINE_READ_MAX = 1 << 20, /* copying more would hold up the loop */
	WRITE_PARTS = 64,	   /* of one writev */
};

void file_op_deliver(struct file_op *op, int64_t result)
{
	op->result = result;
	op->task.run = file_op_task_run;
	shard_deliver(linux_shard_of(op->ask.shard), &op->task);
}

/* Hands OP to POOL, to run RUN there. */
static void file_op_hand_over(
	struct file_op *op, struct pool *pool, void (*run)(struct shard *none, struct task *task))
{
	op->task.run = run;
	pool_submit(pool, &op->task);
}

static struct pool *disk_pool(struct machine *machine, const struct file_op *op)
{
	return op->is_chore ? &machine->chores : &machine->disk;
}

/* Reading. */

int64_t file_read_blocking(int fd, void *buffer, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = pread(fd, (char *)buffer + done, size - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (int64_t)done;
}

/*
 * Reads what is in memory. True when that settles the read, with its result in *RET (bytes up to
 * the end of the file, or an error); false when the rest, from *RET bytes on, has to come from the
 * disk.
 */
static bool file_read_nowait(
	struct linux_file *file, void *buffer, size_t size, uint64_t offset, int64_t *ret)
{
	size_t done = 0;

	*ret = 0;
	if (file->in_memory) {
		*ret = file_read_blocking(file->fd, buffer, size, offset);
		return true;
	}
	if (!__atomic_load_n(&file->has_nowait, __ATOMIC_RELAXED))
		return size == 0;
	while (done < size) {
		struct iovec part = {.iov_base = (char *)buffer + done, .iov_len = size - done};
		ssize_t got = preadv2(file->fd, &part, 1, (off_t)(offset + done), RWF_NOWAIT);

		if (got == 0)
			break;
		if (got > 0) {
			done += (size_t)got;
			*ret = (int64_t)done;
		} else if (errno == EAGAIN) {
			return false;
		} else if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) {
			__atomic_store_n(&file->has_nowait, false, __ATOMIC_RELAXED);
			return false;
		} else if (errno != EINTR) {
			*ret = -errno;
			break;
		}
	}
	return true;
}

static void file_op_read_run(struct shard *none, struct task *task)
{
	struct file_op *op = container_of(task, struct file_op, task);
	size_t done = (size_t)op->result;
	int64_t got = file_read_blocking(linux_file_of(op->ask.file)->fd,
		(char *)op->ask.part.iov_base + done, op->ask.size - done, op->ask.offset + done);

	file_op_deliver(op, got < 0 ? got : got + (int64_t)done);
}

static void file_op_read(struct linux_file *file, struct file_op *op)
{
	if (op->ask.size <= INLINE_READ_MAX && file_read_nowait(file, op->ask.part.iov_base,
						       op->ask.size, op->ask.offset, &op->result))
		file_op_complete(op, op->result);
	else
		file_op_hand_over(op, &file->machine->reads, file_op_read_run);
}

int64_t linux_file_read_cached(
	struct shard *shard, struct file *file, void *buffer, size_t size, uint64_t offset)
{
	int64_t result;

	if (size > INLINE_READ_MAX ||
		!file_read_nowait(linux_file_of(file), buffer, size, offset, &result))
		return -EAGAIN;
	return result;
}

/* cachestat(2) and its arguments, as in Linux 6.5 and later; the headers may be older. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
struct cache_range {
	uint64_t offset, size;
};
struct cache_status {
	uint64_t cached, dirty, writeback, evicted, recently_evicted; /* pages */
};

static bool file_byte_is_cached(struct linux_file *file, uint64_t offset)
{
	char byte;
	int64_t result;

	return file_read_nowait(file, &byte, 1, offset, &result);
}

/*
 * cachestat counts pages, also such as a read-ahead still fills; reading a byte of the last page
 * tells those apart. A kernel without cachestat gets a byte read from every page.
 */
bool linux_file_is_cached(struct shard *shard, struct file *any, uint64_t offset, uint64_t size)
{
	static bool has_cachestat = true; /* written by any shard, always to false */
	struct linux_file *file = linux_file_of(any);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end = offset + size;

	if (file->in_memory || size == 0)
		return true;
	uint64_t first = offset / page, pages = (end + page - 1) / page - first;
	if (!file_byte_is_cached(file, end - 1))
		return false;
	if (pages > 1 && !file_byte_is_cached(file, offset))
		return false;
	if (pages <= 2)
		return true;
	if (__atomic_load_n(&has_cachestat, __ATOMIC_RELAXED)) {
		struct cache_range range = {.offset = offset, .size = size};
		struct cache_status status;
		struct stat file_status;

		if (syscall(SYS_cachestat, file->fd, &range, &status, 0) == 0) {
			if (status.cached >= pages)
				return true;
			/* What lies behind the end of the file has no pages, and needs none. */
			if (fstat(file->fd, &file_status) != 0 ||
				(uint64_t)file_status.st_size >= end)
				return false;
			end = (uint64_t)file_status.st_size;
			return end <= offset || status.cached >= (end + page - 1) / page - first;
		}
		if (errno == ENOSYS || errno == EPERM)
			__atomic_store_n(&has_cachestat, false, __ATOMIC_RELAXED);
	}
	for (uint64_t place = (first + 1) * page; place < end; place += page)
		if (!file_byte_is_cached(file, place))
			return false;
	return true;
}

/* Writing. */

static int64_t file_write_blocking(
	int fd, const struct iovec *parts, int part_count, uint64_t offset)
{
	uint64_t done = 0;
	size_t skip = 0; /* of parts[0] */

	while (part_count > 0) {
		struct iovec window[WRITE_PARTS];
		int count = min_of(part_count, (int)WRITE_PARTS);

		memcpy(window, parts, (size_t)count * sizeof(*window));
		window[0].iov_base = (char *)window[0].iov_base + skip;
		window[0].iov_len -= skip;
		ssize_t put = pwritev(fd, window, count, (off_t)(offset + done));
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		done += (uint64_t)put;
		size_t left = (size_t)put;
		bool moved = false;
		while (part_count > 0 && left >= parts->iov_len - skip) {
			left -= parts->iov_len - skip;
			skip = 0;
			parts++;
			part_count--;
			moved = true;
		}
		skip += left;
		if (!moved && put == 0)
			return -ENOSPC; /* no error and no progress: nothing else fits */
	}
	return (int64_t)done;
}

static int64_t file_op_write(struct linux_file *file, struct file_op *op)
{
	int64_t result =
		file_write_blocking(file->fd, op->ask.parts, op->ask.part_count, op->ask.offset);

	dirty_add(file, op->ask.size); /* also after an error: part of it may have been written */
	return result;
}

static void file_write_run(struct shard *none, struct task *task)
{
	struct linux_file *file = container_of(task, struct linux_file, write_task);

	pthread_mutex_lock(&file->lock);
	struct list_node *node = list_pop_front(&file->writes);
	file->is_writing = node != NULL;
	pthread_mutex_unlock(&file->lock);
	if (!node) {
		file_unref(&file->file);
		return;
	}
	struct file_op *op = container_of(node, struct file_op, task.node);
	file_op_deliver(op, file_op_write(file, op));
	pool_submit(file->write_pool, &file->write_task);
}

static void file_op_write_submit(struct linux_file *file, struct file_op *op)
{
	bool start = false;

	pthread_mutex_lock(&file->lock);
	/* Blocks of a new file, or a journal that is full of others' names, may make the loop wait: a chore can
	 * do without that. */
	bool wait = file->is_writing || op->is_chore ||
		    !device_has_room(file->device, op->ask.size);
	if (wait) {
		list_push_back(&file->writes, &op->task.node);
		start = !file->is_writing;
		if (start)
			file->write_pool = disk_pool(file->machine, op);
		file->is_writing = true;
	}
	pthread_mutex_unlock(&file->lock);
	if (!wait) {
		file_op_complete(op, file_op_write(file, op));
	} else if (start) {
		file_ref(&file->file);
		pool_submit(file->write_pool, &file->write_task);
	}
}

/* Opening, closing, and what else is rare. */

static void file_close_run(struct shard *none, struct task *task)
{
	struct linux_file *file = container_of(task, struct linux_file, close_task);

	if (file->device)
		dirty_forget(file);
	close(file->fd);
	__atomic_fetch_sub(&file->machine->files_open, 1, __ATOMIC_RELAXED);
	pthread_mutex_destroy(&file->lock);
	pthread_mutex_destroy(&file->sync_lock);
	free(file);
}

void linux_file_close(struct file *any)
{
	struct linux_file *file = linux_file_of(any);

	pool_submit(&file->machine->disk, &file->close_task);
}

static int file_lock(int fd)
{
	/* As Kafka's own lock is one of fcntl, the two exclude each other. */
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES || errno == EAGAIN ? -EWOULDBLOCK : -errno;
}

static int file_open_descriptor(const char *path, unsigned flags)
{
	int modes[4] = {
		[FILE_READ] = O_RDONLY, [FILE_WRITE] = O_WRONLY, [FILE_READ | FILE_WRITE] = O_RDWR};
	/* What somebody else has locked must not be cut before we know. */
	bool truncate_later = (flags & FILE_TRUNCATE) && (flags & FILE_LOCK);
	int fd = open(path,
		modes[flags & (FILE_READ | FILE_WRITE)] | O_CLOEXEC |
			(flags & FILE_CREATE ? O_CREAT : 0) |
			(flags & FILE_EXCLUSIVE ? O_EXCL : 0) |
			(flags & FILE_TRUNCATE && !truncate_later ? O_TRUNC : 0),
		0666);
	int error = 0;

	if (fd < 0)
		return -errno;
	/* Or each read after a write is a change of the inode, with its entry in the file system's
	 * journal. Who owns the file may ask for that; for others it stays as it is. */
	if (flags & FILE_READ)
		fcntl(fd, F_SETFL, O_NOATIME);
	if (flags & FILE_LOCK)
		error = file_lock(fd);
	if (!error && truncate_later && ftruncate(fd, 0) != 0)
		error = -errno;
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

static int64_t file_op_open(struct machine *machine, struct file_op *op)
{
	int fd = file_open_descriptor(op->ask.path, (unsigned)op->ask.flags);
	struct stat status;

	if (fd < 0)
		return fd;
	struct linux_file *file = calloc(1, sizeof(*file));
	int error = file ? 0 : -ENOMEM;
	if (!error && fstat(fd, &status) != 0)
		error = -errno;
	if (!error) {
		file->device = device_find(machine, status.st_dev, fd);
		error = file->device ? 0 : -ENOMEM;
	}
	if (error) {
		free(file);
		close(fd);
		return error;
	}
	file_init(&file->file, &linux_ops);
	file->machine = machine;
	file->fd = fd;
	file->number = status.st_ino;
	file->has_nowait = true;
	file->in_memory = file->device->in_memory;
	pthread_mutex_init(&file->lock, NULL);
	pthread_mutex_init(&file->sync_lock, NULL);
	list_init(&file->writes);
	list_init(&file->syncs);
	list_init(&file->syncs_served);
	file->write_task.run = file_write_run;
	file->close_task.run = file_close_run;
	__atomic_fetch_add(&machine->files_open, 1, __ATOMIC_RELAXED);
	op->ret.file = &file->file;
	return 0;
}

static int64_t file_op_status(struct linux_file *file, struct file_op *op)
{
	struct stat status;

	if (fstat(file->fd, &status) != 0)
		return -errno;
	op->ret.status.size_bytes = (uint64_t)status.st_size;
	op->ret.status.modified_ms =
		(int64_t)status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000;
	op->ret.status.is_folder = S_ISDIR(status.st_mode);
	return 0;
}

static void file_op_rare_run(struct shard *none, struct task *task)
{
	struct file_op *op = container_of(task, struct file_op, task);
	struct linux_file *file = op->ask.file ? linux_file_of(op->ask.file) : NULL;
	int64_t result;

	switch ((enum file_op_kind)op->ask.kind) {
	case FILE_OP_OPEN:
		result = file_op_open(op->ask.shard->machine, op);
		break;
	case FILE_OP_TRUNCATE:
		result = ftruncate(file->fd, (off_t)op->ask.size) == 0 ? 0 : -errno;
		break;
	case FILE_OP_ALLOCATE:
		/* Where the file system cannot reserve, this writes zeros. */
		result = op->ask.size == 0 ? 0 : -posix_fallocate(file->fd, 0, (off_t)op->ask.size);
		break;
	case FILE_OP_STATUS:
		result = file_op_status(file, op);
		break;
	default:
		result = path_op_run(op);
	}
	file_op_deliver(op, result);
}

void linux_file_submit(struct shard *shard, struct file_op *op)
{
	switch ((enum file_op_kind)op->ask.kind) {
	case FILE_OP_READ:
		file_op_read(linux_file_of(op->ask.file), op);
		break;
	case FILE_OP_WRITE:
		file_op_write_submit(linux_file_of(op->ask.file), op);
		break;
	case FILE_OP_SYNC:
		file_op_sync_submit(linux_file_of(op->ask.file), op);
		break;
	case FILE_OP_STATUS:
		if (linux_file_of(op->ask.file)->device->tells_status_at_once)
			file_op_complete(op, file_op_status(linux_file_of(op->ask.file), op));
		else
			file_op_hand_over(op, disk_pool(shard->machine, op), file_op_rare_run);
		break;
	default:
		file_op_hand_over(op, disk_pool(shard->machine, op), file_op_rare_run);
	}
}
