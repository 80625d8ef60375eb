/*
 * Keeps the kernel from ever making us wait in write(): it does that when too much of memory is
 * dirty. So we count what we wrote to each device, and start writing it out long before.
 *
 * A write adds to its file's and its device's count. As a request to the disk costs the same for a
 * page as for a hundred, files wait until they have a large part, and are written out then, once a
 * sixteenth of the limit is dirty, until a thirty-second is. What ten thousand files have of some pages
 * each is left to the kernel, which writes out what is older than half a minute, until half of
 * the limit is dirty: then these are written out too, the longest dirty first, until three eighths are.
 * Beyond the limit itself writes are made by disk threads, which may wait. Counts err on the high
 * side: what the kernel wrote out by itself stays counted until we look at that file.
 *
 * sync_file_range reports a failed write-out once and then never again, not even to fdatasync through
 * another descriptor. So the device remembers which file it was, for as long as the process lives, and
 * every later sync of that file fails, also when it was closed and opened again meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "runtime/linux/internal.h"

struct write_out_failure {
	struct list_node node;
	uint64_t number; /* st_ino */
	int error;
};

int devices_init(struct machine *machine)
{
	list_init(&machine->devices);
	return -pthread_mutex_init(&machine->devices_lock, NULL);
}

void devices_done(struct machine *machine)
{
	struct list_node *node;

	while ((node = list_pop_front(&machine->devices))) {
		struct device *device = container_of(node, struct device, node);

		while ((node = list_pop_front(&device->failures)))
			free(container_of(node, struct write_out_failure, node));
		device_syncs_done(device);
		pthread_mutex_destroy(&device->lock);
		free(device);
	}
	pthread_mutex_destroy(&machine->devices_lock);
}

static bool file_ref_unless_closing(struct linux_file *file)
{
	uint32_t references = __atomic_load_n(&file->file.references, __ATOMIC_RELAXED);

	while (references > 0)
		if (__atomic_compare_exchange_n(&file->file.references, &references, references + 1,
			    true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	return false;
}

/* A file has a large part to write out. */
static uint64_t large_bytes(const struct device *device)
{
	return device->machine->options.dirty_limit_bytes / 512;
}

/* May write-out be due, as far as can be told without the lock? */
static bool write_out_is_due(const struct device *device, uint64_t dirty_bytes)
{
	uint64_t limit_bytes = device->machine->options.dirty_limit_bytes;

	return dirty_bytes > limit_bytes / 2 ||
	       (dirty_bytes > limit_bytes / 16 &&
		       __atomic_load_n(&device->has_large, __ATOMIC_SEQ_CST));
}

/* The node of the file to write out next, out of its list; NULL when enough is clean. Locked. */
static struct list_node *device_pop_dirty(struct device *device)
{
	uint64_t limit_bytes = device->machine->options.dirty_limit_bytes;
	uint64_t dirty_bytes = __atomic_load_n(&device->dirty_bytes, __ATOMIC_SEQ_CST);
	struct list_node *node = NULL;

	if (dirty_bytes > limit_bytes / 2)
		device->is_pressed = true;
	if (dirty_bytes <= limit_bytes / 8 * 3)
		device->is_pressed = false;
	if (dirty_bytes > limit_bytes / 32)
		node = list_pop_front(&device->large_files);
	if (!node && device->is_pressed)
		node = list_pop_front(&device->dirty_files);
	__atomic_store_n(
		&device->has_large, !list_is_empty(&device->large_files), __ATOMIC_SEQ_CST);
	return node;
}

/* The next file to write out, with a reference; NULL when enough is clean. */
static struct linux_file *device_next_dirty(struct device *device)
{
	struct linux_file *file = NULL;

	pthread_mutex_lock(&device->lock);
	while (!file) {
		struct list_node *node = device_pop_dirty(device);

		if (!node) {
			__atomic_store_n(&device->is_writing_out, false, __ATOMIC_RELAXED);
			break;
		}
		file = container_of(node, struct linux_file, dirty_node);
		if (!file_ref_unless_closing(file))
			file = NULL; /* closing takes care of its bytes */
	}
	pthread_mutex_unlock(&device->lock);
	return file;
}

int file_write_out_error(struct linux_file *file)
{
	struct device *device = file->device;
	int error;

	if (!__atomic_load_n(&device->has_failures, __ATOMIC_SEQ_CST))
		return 0;
	pthread_mutex_lock(&device->lock);
	error = device->failure_of_all;
	list_for_each (node, &device->failures) {
		struct write_out_failure *failure =
			container_of(node, struct write_out_failure, node);

		if (failure->number == file->number)
			error = failure->error;
	}
	pthread_mutex_unlock(&device->lock);
	return error;
}

static void write_out_failed(struct linux_file *file, int error)
{
	struct device *device = file->device;
	struct write_out_failure *failure;

	if (file_write_out_error(file))
		return;
	failure = malloc(sizeof(*failure));
	pthread_mutex_lock(&device->lock);
	if (failure) {
		*failure = (struct write_out_failure){.number = file->number, .error = error};
		list_push_back(&device->failures, &failure->node);
	} else {
		device->failure_of_all = error;
	}
	__atomic_store_n(&device->has_failures, true, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&device->lock);
}

static void device_write_out_run(struct shard *none, struct task *task)
{
	struct device *device = container_of(task, struct device, write_out);
	struct linux_file *file = device_next_dirty(device);

	if (!file)
		return;
	/* An fdatasync meanwhile would be told that all is well before we have said what is not. */
	pthread_mutex_lock(&file->sync_lock);
	uint64_t size = dirty_take(file);
	if (size > 0 &&
		sync_file_range(file->fd, 0, 0,
			SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				SYNC_FILE_RANGE_WAIT_AFTER) != 0 &&
		errno != ESPIPE && errno != EINVAL && errno != ENOSYS)
		write_out_failed(file, -errno);
	pthread_mutex_unlock(&file->sync_lock);
	dirty_gone(file, size);
	file_unref(&file->file);
	/* One file at a time, so that other work of the disk threads comes in between. */
	pool_submit(&device->machine->disk, &device->write_out);
}

/* What the kind of the file system says; of one that is not known nothing is promised. */
static void device_system_know(struct device *device, int fd)
{
	struct statfs system;
	bool is_ext4;

	if (fstatfs(fd, &system) != 0)
		system.f_type = 0;
	is_ext4 = system.f_type == EXT4_SUPER_MAGIC;
	device->in_memory = system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC;
	device->tells_status_at_once = device->in_memory || is_ext4 ||
				       system.f_type == XFS_SUPER_MAGIC ||
				       system.f_type == BTRFS_SUPER_MAGIC;
	device_syncs_init(device, is_ext4);
}

struct device *device_find(struct machine *machine, uint64_t id, int fd)
{
	struct device *device;

	pthread_mutex_lock(&machine->devices_lock);
	list_for_each (node, &machine->devices) {
		device = container_of(node, struct device, node);
		if (device->id == id)
			goto out;
	}
	device = calloc(1, sizeof(*device));
	if (!device)
		goto out;
	device->machine = machine;
	device->id = id;
	device->write_out.run = device_write_out_run;
	pthread_mutex_init(&device->lock, NULL);
	list_init(&device->dirty_files);
	list_init(&device->large_files);
	list_init(&device->failures);
	device_system_know(device, fd);
	list_push_back(&machine->devices, &device->node);
out:
	pthread_mutex_unlock(&machine->devices_lock);
	return device;
}

bool device_has_room(const struct device *device, uint64_t size)
{
	uint64_t limit_bytes = device->machine->options.dirty_limit_bytes;

	return size <= limit_bytes &&
	       __atomic_load_n(&device->dirty_bytes, __ATOMIC_RELAXED) <= limit_bytes - size;
}

/* Puts the file into the list where it belongs after its count grew. Locked. */
static void dirty_file_list(struct linux_file *file)
{
	struct device *device = file->device;

	list_remove(&file->dirty_node);
	if (__atomic_load_n(&file->dirty_bytes, __ATOMIC_SEQ_CST) >= large_bytes(device)) {
		list_push_back(&device->large_files, &file->dirty_node);
		__atomic_store_n(&device->has_large, true, __ATOMIC_SEQ_CST);
	} else {
		list_push_back(&device->dirty_files, &file->dirty_node);
	}
}

void dirty_add(struct linux_file *file, uint64_t size)
{
	struct device *device = file->device;
	uint64_t large = large_bytes(device);
	uint64_t device_bytes = __atomic_add_fetch(&device->dirty_bytes, size, __ATOMIC_SEQ_CST);
	uint64_t before_bytes = __atomic_fetch_add(&file->dirty_bytes, size, __ATOMIC_SEQ_CST);
	bool becomes_large = before_bytes < large && before_bytes + size >= large;
	bool start;

	if (before_bytes > 0 && !becomes_large &&
		(__atomic_load_n(&device->is_writing_out, __ATOMIC_RELAXED) ||
			!write_out_is_due(device, device_bytes)))
		return;
	pthread_mutex_lock(&device->lock);
	/* Between leaving its list and being written out a file is in none: what comes meanwhile goes
	 * along. After a sync it is still in one, with nothing. */
	bool is_listed = list_node_is_linked(&file->dirty_node);
	if (becomes_large ? is_listed || before_bytes == 0 : before_bytes == 0 && !is_listed)
		dirty_file_list(file);
	start = !device->is_writing_out && write_out_is_due(device, device_bytes) &&
		!(list_is_empty(&device->dirty_files) && list_is_empty(&device->large_files));
	if (start)
		__atomic_store_n(&device->is_writing_out, true, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&device->lock);
	if (start)
		pool_submit(&device->machine->disk, &device->write_out);
}

uint64_t dirty_take(struct linux_file *file)
{
	return __atomic_exchange_n(&file->dirty_bytes, 0, __ATOMIC_SEQ_CST);
}

void dirty_gone(struct linux_file *file, uint64_t size)
{
	uint64_t before = __atomic_fetch_sub(&file->device->dirty_bytes, size, __ATOMIC_SEQ_CST);

	ensure(before >= size);
}

void dirty_forget(struct linux_file *file)
{
	struct stat status;

	pthread_mutex_lock(&file->device->lock);
	list_remove(&file->dirty_node);
	pthread_mutex_unlock(&file->device->lock);
	uint64_t size = dirty_take(file);
	/* Nobody else will start it, and what is unlinked needs none. */
	if (size > 0 && fstat(file->fd, &status) == 0 && status.st_nlink > 0)
		sync_file_range(file->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	dirty_gone(file, size);
}
