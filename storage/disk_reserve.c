#include "storage/disk_reserve.h"

#include <errno.h>
#include <stdio.h>

#include "runtime/fiber.h"
#include "storage/log_dirs_internal.h"

enum {
	RESERVE_SIZE = 1 << 20, /* a start writes about 50 KiB */
	RESERVE_SIZE_MIN = 128 << 10,
	RESERVE_STEP = 64 << 10, /* what a start takes of it, at the most */
	PLENTY = 16, /* times the reserve */
};

static int reserve_path(char path[LOG_DIRS_PATH_SIZE], const char *folder)
{
	int size = snprintf(path, LOG_DIRS_PATH_SIZE, "%s/" DISK_RESERVE_FILE_NAME, folder);

	return size < 0 || size >= LOG_DIRS_PATH_SIZE ? -ENAMETOOLONG : 0;
}

static int reserve_allocate(struct shard *shard, const char *path, uint64_t size)
{
	struct file *file;
	int error = fiber_open(shard, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);

	if (error)
		return error;
	error = fiber_allocate(shard, file, size);
	file_unref(file);
	/* What was allocated before there was no more. */
	if (error)
		fiber_unlink(shard, path);
	return error;
}

int disk_reserve_make(struct shard *shard, const char *folder, bool last_bytes)
{
	char path[LOG_DIRS_PATH_SIZE];
	uint64_t size = 0, free_bytes;
	int error = reserve_path(path, folder);

	if (!error)
		error = fiber_space(shard, folder, &free_bytes);
	if (!error && fiber_path_status(shard, path, &size, NULL, NULL) == 0 &&
		size >= (free_bytes > PLENTY * (uint64_t)RESERVE_SIZE ? RESERVE_SIZE
								       : RESERVE_SIZE_MIN))
		return 0;
	if (!error && !last_bytes && free_bytes < PLENTY * (uint64_t)RESERVE_SIZE)
		error = -ENOSPC;
	if (error)
		return error;
	size = RESERVE_SIZE;
	do {
		error = reserve_allocate(shard, path, size);
		size -= RESERVE_STEP;
	} while (error == -ENOSPC && last_bytes && size >= RESERVE_SIZE_MIN);
	return error;
}

bool disk_reserve_is_needed(struct shard *shard, const char *folder)
{
	uint64_t free_bytes;

	return fiber_space(shard, folder, &free_bytes) == 0 && free_bytes < RESERVE_SIZE;
}

bool disk_reserve_release_if_short(struct shard *shard, const char *folder)
{
	char path[LOG_DIRS_PATH_SIZE];

	if (!disk_reserve_is_needed(shard, folder))
		return false;
	/* A file system may keep the blocks until it is durable that they are nobody's. */
	return reserve_path(path, folder) == 0 && fiber_unlink(shard, path) == 0 &&
	       fiber_sync_folder(shard, folder) == 0;
}
