/* Operations on names; all of them run on a disk thread. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "runtime/linux/internal.h"

static int path_folder_sync(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int error = fsync(fd) == 0 ? 0 : -errno;
	close(fd);
	return error;
}

/* 1 when it is a folder, 0 when not; -ENOENT when it vanished since it was listed. */
static int path_entry_is_folder(DIR *folder, const struct dirent *entry)
{
	struct stat status;

	if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
		return entry->d_type == DT_DIR;
	if (fstatat(dirfd(folder), entry->d_name, &status, 0) != 0) {
		/* A link to nowhere is still a name. */
		if (errno == ENOENT && entry->d_type != DT_LNK)
			return -ENOENT;
		return 0;
	}
	return S_ISDIR(status.st_mode);
}

static int path_folder_list(const char *path, struct path_listing **ret)
{
	struct path_listing_builder builder = {0};
	DIR *folder = opendir(path);
	int error = 0;

	if (!folder)
		return -errno;
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(folder);
		if (!entry) {
			error = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		int is_folder = path_entry_is_folder(folder, entry);
		if (is_folder < 0)
			continue;
		error = path_listing_add(&builder, entry->d_name, is_folder != 0);
		if (error)
			break;
	}
	closedir(folder);
	if (error) {
		path_listing_builder_done(&builder);
		return error;
	}
	*ret = path_listing_build(&builder);
	return *ret ? 0 : -ENOMEM;
}

static int path_op_status(struct file_op *op)
{
	struct stat status;

	if (stat(op->ask.path, &status) != 0)
		return -errno;
	op->ret.status.size_bytes = (uint64_t)status.st_size;
	op->ret.status.modified_ms =
		(int64_t)status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1000000;
	op->ret.status.is_folder = S_ISDIR(status.st_mode);
	return 0;
}

static int path_op_space(struct file_op *op)
{
	struct statvfs space;

	if (statvfs(op->ask.path, &space) != 0)
		return -errno;
	op->ret.space.total_bytes = (uint64_t)space.f_blocks * space.f_frsize;
	op->ret.space.free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
	return 0;
}

int path_op_run(struct file_op *op)
{
	int result = 0;

	switch ((enum file_op_kind)op->ask.kind) {
	case PATH_OP_RENAME:
		result = rename(op->ask.path, op->ask.path_to);
		break;
	case PATH_OP_UNLINK:
		result = unlink(op->ask.path);
		break;
	case PATH_OP_MAKE_FOLDER:
		result = mkdir(op->ask.path, 0777);
		break;
	case PATH_OP_REMOVE_FOLDER:
		result = rmdir(op->ask.path);
		break;
	case PATH_OP_SYNC:
		return path_folder_sync(op->ask.path);
	case PATH_OP_LIST:
		return path_folder_list(op->ask.path, &op->ret.listing);
	case PATH_OP_STATUS:
		return path_op_status(op);
	case PATH_OP_SPACE:
		return path_op_space(op);
	default:
		ensure(!"an operation on a file was taken for one on a path");
	}
	return result == 0 ? 0 : -errno;
}
