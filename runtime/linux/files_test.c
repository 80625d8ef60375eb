/*
 * Files where they are hard: full, too large, failing, cold. The calls of the C library that matter
 * are replaced by ones that count, and fail or fall short when told to.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/fiber.h"
#include "runtime/linux/internal.h"

static int fdatasync_count, fdatasync_error;
static int write_out_count, write_out_error;
static int syncfs_count, syncfs_error;
static sem_t *fdatasync_gate; /* when set, an fdatasync waits for it */
static bool writes_fall_short;

int fdatasync(int fd)
{
	__atomic_fetch_add(&fdatasync_count, 1, __ATOMIC_SEQ_CST);
	sem_t *gate = __atomic_exchange_n(&fdatasync_gate, NULL, __ATOMIC_SEQ_CST);
	if (gate)
		sem_wait(gate);
	int error = __atomic_exchange_n(&fdatasync_error, 0, __ATOMIC_SEQ_CST);
	if (error) {
		errno = error;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

int syncfs(int fd)
{
	__atomic_fetch_add(&syncfs_count, 1, __ATOMIC_SEQ_CST);
	int error = __atomic_exchange_n(&syncfs_error, 0, __ATOMIC_SEQ_CST);
	if (error) {
		errno = error;
		return -1;
	}
	return (int)syscall(SYS_syncfs, fd);
}

int sync_file_range(int fd, off_t offset, off_t size, unsigned flags)
{
	__atomic_fetch_add(&write_out_count, 1, __ATOMIC_SEQ_CST);
	int error = __atomic_exchange_n(&write_out_error, 0, __ATOMIC_SEQ_CST);
	if (error) {
		errno = error;
		return -1;
	}
	return (int)syscall(SYS_sync_file_range, fd, offset, size, flags);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	static unsigned calls;
	struct iovec first = parts[0];

	if (!writes_fall_short)
		return syscall(SYS_pwritev, fd, parts, count, offset, 0);
	if (++calls % 7 == 0) {
		errno = EINTR;
		return -1;
	}
	/* Part of the first part that is not empty, or with luck one byte of the next. */
	while (first.iov_len == 0 && --count > 0)
		first = *++parts;
	first.iov_len = (first.iov_len + 1) / 2;
	return pwrite(fd, first.iov_base, first.iov_len, offset);
}

struct test {
	void (*body)(struct shard *shard, struct test *test);
	char path[64];
	struct file *file;
};

static void test_fiber(struct shard *shard, void *argument)
{
	struct test *test = argument;

	test->body(shard, test);
	machine_exit(shard, 0);
}

static void test_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, test_fiber, argument) == 0);
}

/* BODY as a fiber, with an empty file at test->path. */
static void test_run(
	void (*body)(struct shard *shard, struct test *test), uint64_t dirty_limit_bytes)
{
	struct test test = {.body = body, .path = "/tmp/barnabas-files-XXXXXX"};
	struct program program = {.start = test_start, .argument = &test};
	struct linux_machine_options options = {
		.shard_count = 1, .dirty_limit_bytes = dirty_limit_bytes};

	int fd = mkstemp(test.path);
	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(linux_machine_run(&options, &program), 0);
	unlink(test.path);
}

static void full_device(struct shard *shard, struct test *test)
{
	struct file *file;

	ensure(fiber_open(shard, "/dev/full", FILE_WRITE, &file) == 0);
	ensure(fiber_write(shard, file, "x", 1, 0) == -ENOSPC);
	file_unref(file);
}

/* A device without room, inline and on a disk thread. */
Test(linux_files, a_full_device_is_an_error_of_the_write, .timeout = 30)
{
	test_run(full_device, 0);
	test_run(full_device, 1);
}

static void size_limit(struct shard *shard, struct test *test)
{
	char *much = calloc(1, 100000);
	struct file *file;
	uint64_t size;

	ensure(fiber_open(shard, test->path, FILE_READ | FILE_WRITE, &file) == 0);
	ensure(fiber_write(shard, file, much, 60000, 0) == 0);
	ensure(fiber_write(shard, file, much, 100000, 60000) == -EFBIG);
	/* What fitted stays behind: the caller knows from where. */
	ensure(fiber_file_size(shard, file, &size) == 0 && size == 65536);
	ensure(fiber_write(shard, file, much, 10, 0) == 0);
	file_unref(file);
	free(much);
}

/* The limit of a file's size lies inside a write: an error, not a signal, and others go on. */
Test(linux_files, a_write_that_fits_in_part_is_an_error, .timeout = 30)
{
	struct rlimit limit = {65536, 65536};

	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	test_run(size_limit, 0);
	test_run(size_limit, 1);
}

struct parts_write {
	struct file_op op;
	struct fiber *fiber;
	bool is_done;
};

static void parts_write_done(struct shard *shard, struct file_op *op)
{
	struct parts_write *write = container_of(op, struct parts_write, op);

	write->is_done = true;
	fiber_wake(shard, write->fiber);
}

static void short_writes(struct shard *shard, struct test *test)
{
	struct parts_write write = {.op.done = parts_write_done, .fiber = fiber_current(shard)};
	struct iovec parts[300];
	char bytes[300], expected[1000], back[1000];
	size_t size = 0;
	struct file *file;

	for (unsigned i = 0; i < array_length(parts); i++) {
		bytes[i] = (char)(i * 5);
		parts[i] = (struct iovec){.iov_base = bytes + i, .iov_len = i % 3 ? 1 : 0};
	}
	parts[150] = (struct iovec){.iov_base = bytes, .iov_len = 300};
	for (unsigned i = 0; i < array_length(parts); i++) {
		memcpy(expected + size, parts[i].iov_base, parts[i].iov_len);
		size += parts[i].iov_len;
	}
	ensure(fiber_open(shard, test->path, FILE_READ | FILE_WRITE, &file) == 0);
	writes_fall_short = true;
	file_write(shard, &write.op, file, parts, array_length(parts), 10);
	while (!write.is_done)
		fiber_wait(shard);
	ensure(write.op.result == (int64_t)size);
	ensure(fiber_read(shard, file, back, sizeof(back), 10) == (int64_t)size);
	ensure(memcmp(back, expected, size) == 0);
	file_unref(file);
}

/* Every pwritev writes half of what it is given, and some are interrupted: all of it arrives. */
Test(linux_files, short_writes_are_continued, .timeout = 30)
{
	test_run(short_writes, 0);
}

enum { SYNCS = 50 };

struct synced {
	struct file_op op;
	struct synced_all *all;
};

struct synced_all {
	struct fiber *fiber;
	unsigned done, failed;
	struct synced each[SYNCS];
};

static void synced_done(struct shard *shard, struct file_op *op)
{
	struct synced_all *all = container_of(op, struct synced, op)->all;

	if (op->result)
		all->failed++;
	if (++all->done == SYNCS)
		fiber_wake(shard, all->fiber);
}

static void many_syncs(struct shard *shard, struct test *test)
{
	struct synced_all all = {.fiber = fiber_current(shard)};
	struct file *file;

	ensure(fiber_open(shard, test->path, FILE_READ | FILE_WRITE, &file) == 0);
	ensure(fiber_write(shard, file, "x", 1, 0) == 0);
	fdatasync_count = 0;
	for (unsigned i = 0; i < SYNCS; i++) {
		all.each[i].all = &all;
		all.each[i].op.done = synced_done;
		file_sync(shard, &all.each[i].op, file);
	}
	while (all.done < SYNCS)
		fiber_wait(shard);
	ensure(all.failed == 0);
	/* The first may run before the others are asked; those are served by few. */
	ensure(fdatasync_count >= 1 && fdatasync_count < SYNCS / 2);
	int before = fdatasync_count;
	ensure(fiber_sync(shard, file) == 0);
	ensure(fdatasync_count == before + 1);
	file_unref(file);
}

/* Fifty syncs at once cost a few fdatasyncs; one that is asked later gets its own. */
Test(linux_files, syncs_that_wait_are_served_together, .timeout = 30)
{
	test_run(many_syncs, 0);
}

enum { GROUP = 20 };

struct group {
	struct file *files[GROUP];
	struct synced_all all;
};

/* All files of the group are synced while an fdatasync of another one waits at the gate. */
static void group_sync(struct shard *shard, struct file *first, struct group *group)
{
	struct device_syncs *syncs = &linux_file_of(first)->device->syncs;
	sem_t gate;

	ensure(sem_init(&gate, 0, 0) == 0);
	group->all = (struct synced_all){.fiber = fiber_current(shard), .done = SYNCS - GROUP - 1};
	pthread_mutex_lock(&syncs->lock);
	syncs->has_group = true;
	syncs->single_ns = NS_PER_S;
	syncs->single_measured_ns = clock_now_ns();
	syncs->group_ns = 0;
	syncs->group_not_before_ns = 0;
	syncs->believed_ns = UINT64_MAX / 2;
	syncs->gathered = 1000;
	pthread_mutex_unlock(&syncs->lock);
	fdatasync_count = 0;
	syncfs_count = 0;
	__atomic_store_n(&fdatasync_gate, &gate, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i <= GROUP; i++) {
		struct synced *synced = &group->all.each[i];

		synced->all = &group->all;
		synced->op.done = synced_done;
		file_sync(shard, &synced->op, i == 0 ? first : group->files[i - 1]);
		while (i == 0 && __atomic_load_n(&fdatasync_count, __ATOMIC_SEQ_CST) == 0)
			fiber_sleep(shard, NS_PER_MS);
	}
	ensure(sem_post(&gate) == 0);
	while (group->all.done < SYNCS)
		fiber_wait(shard);
	ensure(sem_destroy(&gate) == 0);
}

static void group_syncs(struct shard *shard, struct test *test)
{
	struct group group;
	struct file *first;
	char path[80];

	ensure(fiber_open(shard, test->path, FILE_READ | FILE_WRITE, &first) == 0);
	for (unsigned i = 0; i < GROUP; i++) {
		snprintf(path, sizeof(path), "%s-%u", test->path, i);
		ensure(fiber_open(shard, path, FILE_WRITE | FILE_CREATE, &group.files[i]) == 0);
		ensure(fiber_write(shard, group.files[i], "x", 1, 0) == 0);
		ensure(fiber_unlink(shard, path) == 0);
	}
	group_sync(shard, first, &group);
	ensure(group.all.failed == 0);
	ensure(syncfs_count == 1 && fdatasync_count == 1);

	/* Of a syncfs that fails it is not known whom it concerns: each file is asked. */
	syncfs_error = EIO;
	group_sync(shard, first, &group);
	ensure(group.all.failed == 0);
	ensure(syncfs_count == 1 && fdatasync_count == 1 + GROUP);

	/* syncfs has told what went wrong with a file to somebody else: the file tells it still. */
	write_out_error = EIO;
	group_sync(shard, first, &group);
	ensure(group.all.failed == 1);
	ensure(syncfs_count == 1 && fdatasync_count == 1);
	group_sync(shard, first, &group);
	ensure(group.all.failed == 1); /* and does not forget */

	/* Others' bytes make it dear: then it is not used for a while. */
	struct device_syncs *syncs = &linux_file_of(first)->device->syncs;
	pthread_mutex_lock(&syncs->lock);
	syncs->group_not_before_ns = UINT64_MAX;
	pthread_mutex_unlock(&syncs->lock);
	syncfs_count = 0;
	for (unsigned i = 0; i < GROUP; i++)
		file_sync(shard, &group.all.each[i].op, group.files[i]);
	group.all.done = SYNCS - GROUP;
	while (group.all.done < SYNCS)
		fiber_wait(shard);
	ensure(syncfs_count == 0);
	for (unsigned i = 0; i < GROUP; i++)
		file_unref(group.files[i]);
	file_unref(first);
}

/* Many files that wait cost one syncfs; each is told of its own failures, and of no others'. */
Test(linux_files, files_that_wait_are_synced_together, .timeout = 30)
{
	test_run(group_syncs, 0);
}

static void failed_sync(struct shard *shard, struct test *test)
{
	struct file *file, *again;

	ensure(fiber_open(shard, test->path, FILE_READ | FILE_WRITE, &file) == 0);
	ensure(fiber_write(shard, file, "x", 1, 0) == 0);
	fdatasync_error = EIO;
	ensure(fiber_sync(shard, file) == -EIO);
	ensure(fiber_sync(shard, file) == -EIO);
	ensure(fiber_open(shard, test->path, FILE_READ | FILE_WRITE, &again) == 0);
	ensure(fiber_sync(shard, again) == 0);
	file_unref(again);
	file_unref(file);
}

/* The kernel says EIO once and then nothing: the file remembers. */
Test(linux_files, a_failed_sync_is_not_forgotten, .timeout = 30)
{
	test_run(failed_sync, 0);
}

static void failed_write_out(struct shard *shard, struct test *test)
{
	char *much = calloc(1, 1 << 20);
	struct file *file;

	ensure(fiber_open(shard, test->path, FILE_READ | FILE_WRITE, &file) == 0);
	write_out_error = EIO;
	write_out_count = 0;
	for (unsigned i = 0; i < 8; i++)
		ensure(fiber_write(shard, file, much, 1 << 20, (uint64_t)i << 20) == 0);
	while (__atomic_load_n(&write_out_count, __ATOMIC_SEQ_CST) == 0)
		fiber_sleep(shard, NS_PER_MS);
	ensure(fiber_sync(shard, file) == -EIO);
	file_unref(file);
	ensure(fiber_open(shard, test->path, FILE_READ | FILE_WRITE, &file) == 0);
	ensure(fiber_sync(shard, file) == -EIO);
	file_unref(file);
	free(much);
}

/* A quarter of the limit is dirty, so a disk thread writes out; what it is told, a sync tells. */
Test(linux_files, a_failed_write_out_fails_the_sync, .timeout = 30)
{
	test_run(failed_write_out, 8 << 20);
}

static void dirty_count(struct shard *shard, struct test *test)
{
	uint64_t limit = 4 << 20;
	char *much = calloc(1, 1 << 20);
	struct file *file;

	ensure(fiber_open(shard, test->path, FILE_READ | FILE_WRITE, &file) == 0);
	struct device *device = linux_file_of(file)->device;
	for (unsigned i = 0; i < 64; i++)
		ensure(fiber_write(shard, file, much, 1 << 20, (uint64_t)i << 20) == 0);
	/* Sinks by itself to a thirty-second of the limit. */
	while (__atomic_load_n(&device->dirty_bytes, __ATOMIC_SEQ_CST) > limit / 32)
		fiber_sleep(shard, NS_PER_MS);
	ensure(fiber_write(shard, file, much, 1000, 0) == 0);
	ensure(fiber_sync(shard, file) == 0);
	/* A write-out that began before the sync counts its bytes off when it ends; by itself it
	 * would leave a thirty-second of the limit. */
	while (__atomic_load_n(&device->dirty_bytes, __ATOMIC_SEQ_CST) != 0)
		fiber_sleep(shard, NS_PER_MS);
	file_unref(file);
	free(much);
}

/* 64 MB through a limit of four: the count sinks by write-out, and to nothing by a sync. */
Test(linux_files, dirty_bytes_are_written_out, .timeout = 60)
{
	test_run(dirty_count, 4 << 20);
}

static void access_times(struct shard *shard, struct test *test)
{
	struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_nsec = UTIME_OMIT}};
	char byte = 'x';
	struct file *file;
	struct stat status;

	ensure(fiber_open(shard, test->path, FILE_READ | FILE_WRITE, &file) == 0);
	ensure(fiber_write(shard, file, &byte, 1, 0) == 0);
	ensure(utimensat(AT_FDCWD, test->path, long_ago, 0) == 0);
	ensure(fiber_read(shard, file, &byte, 1, 0) == 1);
	ensure(stat(test->path, &status) == 0 && status.st_atim.tv_sec == 1);
	file_unref(file);
}

Test(linux_files, reading_does_not_change_the_inode)
{
	test_run(access_times, 0);
}

enum { SMALL_FILES = 300, SMALL_SIZE = 7000 }; /* of a limit of 4 MB, where 8192 bytes are large */

static void small_files(struct shard *shard, struct test *test)
{
	uint64_t limit = 4 << 20;
	char *much = calloc(1, 1 << 20);
	struct file *large, *files[SMALL_FILES];
	char path[256];

	ensure(fiber_open(shard, test->path, FILE_READ | FILE_WRITE, &large) == 0);
	struct device *device = linux_file_of(large)->device;
	for (unsigned i = 0; i < SMALL_FILES; i++) {
		snprintf(path, sizeof(path), "%s-%u", test->path, i);
		ensure(fiber_open(shard, path, FILE_READ | FILE_WRITE | FILE_CREATE, &files[i]) ==
			0);
		unlink(path);
	}
	for (unsigned i = 0; i < 200; i++)
		ensure(fiber_write(shard, files[i], much, SMALL_SIZE, 0) == 0);
	ensure(!device->is_writing_out);
	/* A large one is written out beside them, and leaves them alone. */
	ensure(fiber_write(shard, large, much, 100000, 0) == 0);
	while (__atomic_load_n(&device->dirty_bytes, __ATOMIC_SEQ_CST) > 200 * SMALL_SIZE)
		fiber_sleep(shard, NS_PER_MS);
	ensure(__atomic_load_n(&device->dirty_bytes, __ATOMIC_SEQ_CST) == 200 * SMALL_SIZE);
	/* Half of the limit is too much. */
	for (unsigned i = 200; i < SMALL_FILES; i++)
		ensure(fiber_write(shard, files[i], much, SMALL_SIZE, 0) == 0);
	while (__atomic_load_n(&device->dirty_bytes, __ATOMIC_SEQ_CST) > limit / 8 * 3)
		fiber_sleep(shard, NS_PER_MS);
	for (unsigned i = 0; i < SMALL_FILES; i++)
		file_unref(files[i]);
	file_unref(large);
	free(much);
}

Test(linux_files, small_files_are_left_to_the_kernel_until_half_of_the_limit_is_dirty,
	.timeout = 60)
{
	test_run(small_files, 4 << 20);
}

/*
 * Makes every page of the file cold; false where the file system has no disk below it. The kernel
 * keeps a page that another CPU still holds in a batch of its own, so it is asked until it has
 * dropped them all.
 */
static bool make_cold(struct shard *shard, struct file *file, uint64_t size)
{
	uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE), position = 0;

	ensure(fiber_sync(shard, file) == 0);
	if (linux_file_of(file)->in_memory)
		return false;
	while (position < size) {
		if (!file_is_cached(shard, file, position, 1)) {
			position += page_size;
			continue;
		}
		posix_fadvise(linux_file_of(file)->fd, 0, 0, POSIX_FADV_DONTNEED);
		fiber_sleep(shard, NS_PER_MS);
		position = 0;
	}
	return true;
}

static void cold_read(struct shard *shard, struct test *test)
{
	size_t size = 900000;
	char *bytes = malloc(size), *back = malloc(size);
	struct file *file;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(i ^ (i >> 9));
	ensure(fiber_open(shard, test->path, FILE_READ | FILE_WRITE, &file) == 0);
	ensure(fiber_write(shard, file, bytes, size, 0) == 0);
	ensure(file_is_cached(shard, file, 0, size));
	ensure(file_is_cached(shard, file, 0, 10 * size)); /* nothing there to be cold */
	ensure(file_read_cached(shard, file, back, size, 0) == (int64_t)size);
	if (make_cold(shard, file, size)) {
		ensure(!file_is_cached(shard, file, size / 2, 10));
		ensure(file_read_cached(shard, file, back, 100, 400000) == -EAGAIN);
		memset(back, 0, size);
		/* The first page comes back, the rest stays cold: a read inline that has to go on
		 * elsewhere. */
		ensure(fiber_read(shard, file, back, 1, 0) == 1);
	}
	ensure(fiber_read(shard, file, back, size, 0) == (int64_t)size);
	ensure(memcmp(bytes, back, size) == 0);
	ensure(file_read_cached(shard, file, back, 1000, size - 500) == 500);
	file_unref(file);
	free(bytes);
	free(back);
}

/* Bytes that were dropped from memory are reported so, and read by a disk thread. */
Test(linux_files, cold_bytes_are_known_as_such, .timeout = 30)
{
	test_run(cold_read, 0);
}

static void replaced(struct shard *shard, struct test *test)
{
	char *data;
	size_t size;

	fdatasync_count = 0;
	ensure(fiber_replace(shard, test->path, "new", 3) == 0);
	ensure(fdatasync_count == 1);
	fdatasync_error = EIO;
	ensure(fiber_replace(shard, test->path, "newer", 5) == -EIO);
	ensure(fiber_read_whole(shard, test->path, 100, &data, &size) == 0);
	ensure(size == 3 && memcmp(data, "new", 3) == 0);
	free(data);
	/* A file that says it is empty, and is not. */
	ensure(fiber_read_whole(shard, "/proc/self/status", 1 << 20, &data, &size) == 0);
	ensure(size > 100 && strlen(data) == size);
	free(data);
	ensure(fiber_read_whole(shard, "/proc/self/status", 100, &data, &size) == -EFBIG);
}

/* The new content is on disk before it takes the name; when it does not get there the old one
 * stays. */
Test(linux_files, a_file_is_replaced_as_a_whole, .timeout = 30)
{
	test_run(replaced, 0);
}
