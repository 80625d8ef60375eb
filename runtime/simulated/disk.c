/*
 * What processes ask of a simulated disk: its operations on files and folders, as a file system
 * answers them. See disk.h for what is promised when.
 */
#include "runtime/simulated/disk_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/simulated/memory.h"

static void file_truncate_now(struct disk *disk, struct inode *inode, uint64_t size)
{
	uint64_t before = content_charge_bytes(&inode->content);

	content_truncate(&inode->content, size);
	inode->modified_ms = disk->wall_ms;
	charge_update(disk, inode, before);
}

struct disk *disk_new(uint64_t capacity_bytes)
{
	struct disk *disk = world_alloc_zero(1, sizeof(*disk));

	list_init(&disk->inodes);
	list_init(&disk->changes);
	disk->capacity_bytes = capacity_bytes;
	disk->root = inode_ref(inode_new(disk, true));
	return disk;
}

void disk_free(struct disk *disk)
{
	if (!disk)
		return;
	list_for_each_safe (node, &disk->changes)
		change_free(disk, container_of(node, struct change, node));
	list_for_each_safe (node, &disk->inodes)
		inode_free(disk, container_of(node, struct inode, node));
	free(disk);
}

int disk_open(struct disk *disk, const char *path, unsigned flags, struct inode **ret)
{
	char name[NAME_SIZE_MAX + 1];
	struct inode *folder, *inode;
	int error = path_find(disk, path, &folder, name, &inode);

	if (error)
		return error;
	if (inode && inode->is_folder)
		return -EISDIR;
	if (inode && (flags & FILE_CREATE) && (flags & FILE_EXCLUSIVE))
		return -EEXIST;
	if (!inode && !(flags & FILE_CREATE))
		return -ENOENT;
	if (inode && (flags & FILE_LOCK) && inode->locked)
		return -EWOULDBLOCK;
	if (!inode) {
		inode = inode_new(disk, false);
		change_side_add(disk, change_new(disk), folder, name, inode);
	} else if ((flags & FILE_TRUNCATE) && disk_file_size(inode) > 0) {
		file_truncate_now(disk, inode, 0);
	}
	if (flags & FILE_LOCK)
		inode->locked = true;
	inode->openings++;
	*ret = inode_ref(inode);
	return 0;
}

void disk_close(struct disk *disk, struct inode *inode, unsigned flags)
{
	ensure(inode->openings > 0);
	inode->openings--;
	if (flags & FILE_LOCK)
		inode->locked = false;
	inode_unref(disk, inode);
}

uint64_t disk_file_number(const struct inode *inode)
{
	return inode->number;
}

uint64_t disk_file_size(const struct inode *inode)
{
	return inode->content.size_bytes;
}

int64_t disk_file_modified_ms(const struct inode *inode)
{
	return inode->modified_ms;
}

int64_t disk_read(const struct inode *inode, void *buffer, size_t size, uint64_t offset)
{
	return (int64_t)content_read(&inode->content, buffer, size, offset);
}

int64_t disk_write(
	struct disk *disk, struct inode *inode, const void *data, size_t size, uint64_t offset)
{
	uint64_t before = content_charge_bytes(&inode->content);
	uint64_t room = disk->capacity_bytes - min_of(disk->used_bytes, disk->capacity_bytes);
	size_t fits = size;

	/* Page by page, as a file system runs out of blocks. */
	while (fits > 0 && content_write_cost_bytes(&inode->content, fits, offset) > room) {
		size_t over = (offset + fits) % CONTENT_PAGE_SIZE;
		size_t cut = over ? over : CONTENT_PAGE_SIZE;

		fits -= min_of(fits, cut);
	}
	content_write(&inode->content, data, fits, offset);
	inode->modified_ms = disk->wall_ms;
	disk->last_written = inode;
	charge_update(disk, inode, before);
	return fits == size ? (int64_t)size : -ENOSPC;
}

int disk_truncate(struct disk *disk, struct inode *inode, uint64_t size)
{
	file_truncate_now(disk, inode, size);
	return 0;
}

int disk_allocate(struct disk *disk, struct inode *inode, uint64_t size)
{
	uint64_t before = content_charge_bytes(&inode->content);
	uint64_t room = disk->capacity_bytes - min_of(disk->used_bytes, disk->capacity_bytes);

	if (size > before && size - before > room)
		return -ENOSPC;
	content_allocate(&inode->content, size);
	inode->modified_ms = disk->wall_ms;
	charge_update(disk, inode, before);
	return 0;
}

void disk_sync(struct inode *inode)
{
	content_sync(&inode->content);
}

void disk_sync_fail(struct disk *disk, struct inode *inode, struct chooser *chooser)
{
	uint64_t before = content_charge_bytes(&inode->content);

	content_sync_fail(&inode->content, chooser);
	charge_update(disk, inode, before);
}

static bool folder_is_empty(const struct inode *folder)
{
	for (uint32_t i = 0; i < folder->entry_count; i++)
		if (folder->entries[i].seen)
			return false;
	return true;
}

int disk_rename(struct disk *disk, const char *from, const char *to)
{
	char name_from[NAME_SIZE_MAX + 1], name_to[NAME_SIZE_MAX + 1];
	struct inode *folder_from, *folder_to, *moved, *replaced;
	struct change *change;
	int error = path_find(disk, from, &folder_from, name_from, &moved);

	if (!error)
		error = path_find(disk, to, &folder_to, name_to, &replaced);
	if (error)
		return error;
	if (!moved)
		return -ENOENT;
	if (!name_from[0] || !name_to[0])
		return -EBUSY;
	if (moved == replaced)
		return 0;
	for (struct inode *up = folder_to; up; up = up->parent)
		if (up == moved)
			return -EINVAL;
	if (replaced && replaced->is_folder && !moved->is_folder)
		return -EISDIR;
	if (replaced && !replaced->is_folder && moved->is_folder)
		return -ENOTDIR;
	if (replaced && replaced->is_folder && !folder_is_empty(replaced))
		return -ENOTEMPTY;
	change = change_new(disk);
	change_side_add(disk, change, folder_to, name_to, moved);
	change_side_add(disk, change, folder_from, name_from, NULL);
	return 0;
}

int disk_unlink(struct disk *disk, const char *path)
{
	char name[NAME_SIZE_MAX + 1];
	struct inode *folder, *inode;
	int error = file_find(disk, path, &folder, name, &inode);

	if (error)
		return error;
	change_side_add(disk, change_new(disk), folder, name, NULL);
	return 0;
}

int disk_make_folder(struct disk *disk, const char *path)
{
	char name[NAME_SIZE_MAX + 1];
	struct inode *folder, *inode;
	int error = path_find(disk, path, &folder, name, &inode);

	if (error)
		return error;
	if (inode)
		return -EEXIST;
	change_side_add(disk, change_new(disk), folder, name, inode_new(disk, true));
	return 0;
}

int disk_remove_folder(struct disk *disk, const char *path)
{
	char name[NAME_SIZE_MAX + 1];
	struct inode *folder, *inode;
	int error = path_find(disk, path, &folder, name, &inode);

	if (error)
		return error;
	if (!inode)
		return -ENOENT;
	if (!inode->is_folder)
		return -ENOTDIR;
	if (!name[0])
		return -EBUSY;
	if (!folder_is_empty(inode))
		return -ENOTEMPTY;
	change_side_add(disk, change_new(disk), folder, name, NULL);
	return 0;
}

static int folder_find(struct disk *disk, const char *path, struct inode **ret)
{
	char name[NAME_SIZE_MAX + 1];
	struct inode *folder;
	int error = path_find(disk, path, &folder, name, ret);

	if (error)
		return error;
	if (!*ret)
		return -ENOENT;
	return (*ret)->is_folder ? 0 : -ENOTDIR;
}

int disk_sync_folder(struct disk *disk, const char *path)
{
	struct inode *folder;
	int error = folder_find(disk, path, &folder);

	if (error)
		return error;
	/* Backwards: a change that a later one needs goes along with it. */
	for (struct list_node *node = list_last(&disk->changes);
		node && node != &disk->changes.head; node = node->previous) {
		struct change *change = container_of(node, struct change, node);

		change->marked = false;
		for (unsigned i = 0; i < change->side_count; i++)
			change->marked |= change->sides[i].folder == folder;
		for (struct list_node *later = node->next;
			!change->marked && later != &disk->changes.head; later = later->next) {
			struct change *other = container_of(later, struct change, node);

			/* Only a rename between folders reaches into another folder. */
			change->marked = other->marked && other->side_count == 2 &&
					 sides_touch(change, other);
		}
	}
	list_for_each_safe (node, &disk->changes) {
		struct change *change = container_of(node, struct change, node);

		if (change->marked)
			change_commit(disk, change);
	}
	return 0;
}

int disk_status(struct disk *disk, const char *path, uint64_t *ret_size_bytes,
	int64_t *ret_modified_ms, bool *ret_is_folder)
{
	char name[NAME_SIZE_MAX + 1];
	struct inode *folder, *inode;
	int error = path_find(disk, path, &folder, name, &inode);

	if (error)
		return error;
	if (!inode)
		return -ENOENT;
	*ret_size_bytes = inode->content.size_bytes;
	*ret_modified_ms = inode->modified_ms;
	*ret_is_folder = inode->is_folder;
	return 0;
}

int disk_list(struct disk *disk, const char *path,
	int (*each)(void *argument, const char *name, bool is_folder), void *argument)
{
	struct inode *folder;
	int error = folder_find(disk, path, &folder);

	for (uint32_t i = 0; !error && i < folder->entry_count; i++) {
		const struct entry *entry = &folder->entries[i];

		if (entry->seen)
			error = each(argument, entry->name, entry->seen->is_folder);
	}
	return error;
}

void disk_wall_ms_set(struct disk *disk, int64_t wall_ms)
{
	disk->wall_ms = wall_ms;
}

void disk_capacity_set(struct disk *disk, uint64_t bytes)
{
	disk->capacity_bytes = bytes;
}

uint64_t disk_capacity_bytes(const struct disk *disk)
{
	return disk->capacity_bytes;
}

uint64_t disk_used_bytes(const struct disk *disk)
{
	return disk->used_bytes;
}
