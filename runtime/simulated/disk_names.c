/*
 * The names of a simulated disk: folders, their entries, and the changes that are not durable yet.
 * An entry knows what a process sees under its name and what a power cut would leave there; a
 * change stands between the two until a folder's sync, the journal or the power settles it.
 */
#include "runtime/simulated/disk_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/simulated/memory.h"

struct inode *inode_new(struct disk *disk, bool is_folder)
{
	struct inode *inode = world_alloc_zero(1, sizeof(*inode));

	inode->is_folder = is_folder;
	inode->number = ++disk->inodes_made;
	inode->modified_ms = disk->wall_ms;
	list_push_back(&disk->inodes, &inode->node);
	return inode;
}

static void entries_free(struct inode *inode)
{
	for (uint32_t i = 0; i < inode->entry_count; i++)
		free(inode->entries[i].name);
	free(inode->entries);
	inode->entries = NULL;
	inode->entry_count = inode->entry_capacity = 0;
}

void inode_free(struct disk *disk, struct inode *inode)
{
	disk->used_bytes -= content_charge_bytes(&inode->content);
	if (disk->last_written == inode)
		disk->last_written = NULL;
	content_done(&inode->content);
	entries_free(inode);
	list_remove(&inode->node);
	free(inode);
}

struct inode *inode_ref(struct inode *inode)
{
	if (inode)
		inode->references++;
	return inode;
}

void inode_unref(struct disk *disk, struct inode *inode)
{
	if (!inode || --inode->references > 0)
		return;
	for (uint32_t i = 0; i < inode->entry_count; i++) {
		inode_unref(disk, inode->entries[i].seen);
		inode_unref(disk, inode->entries[i].durable);
	}
	inode_free(disk, inode);
}

/* The place of NAME, or where it would go (then *RET_FOUND is false). */
static uint32_t entry_find(
	const struct inode *folder, const char *name, size_t size, bool *ret_found)
{
	uint32_t low = 0, high = folder->entry_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const char *other = folder->entries[middle].name;
		int order = strncmp(other, name, size);

		if (order == 0 && other[size] != '\0')
			order = 1;
		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_found = false;
	return low;
}

static struct entry *entry_get(struct inode *folder, const char *name)
{
	bool found;
	uint32_t place = entry_find(folder, name, strlen(name), &found);

	if (found)
		return &folder->entries[place];
	if (folder->entry_count == folder->entry_capacity) {
		folder->entry_capacity = max_of(8u, folder->entry_capacity * 2);
		folder->entries = world_realloc(
			folder->entries, folder->entry_capacity * sizeof(*folder->entries));
	}
	memmove(folder->entries + place + 1, folder->entries + place,
		(folder->entry_count - place) * sizeof(*folder->entries));
	folder->entry_count++;
	folder->entries[place] = (struct entry){.name = world_strdup(name)};
	return &folder->entries[place];
}

/* An entry with neither side is no entry. */
static void entry_drop_if_gone(struct inode *folder, struct entry *entry)
{
	if (entry->seen || entry->durable)
		return;
	free(entry->name);
	folder->entry_count--;
	memmove(entry, entry + 1,
		(size_t)(folder->entries + folder->entry_count - entry) * sizeof(*entry));
}

static struct inode *entry_seen(const struct inode *folder, const char *name, size_t size)
{
	bool found;
	uint32_t place = entry_find(folder, name, size, &found);

	return found ? folder->entries[place].seen : NULL;
}

static void entry_seen_set(
	struct disk *disk, struct inode *folder, const char *name, struct inode *inode)
{
	struct entry *entry = entry_get(folder, name);
	struct inode *before = entry->seen;

	entry->seen = inode_ref(inode);
	if (inode && inode->is_folder)
		inode->parent = folder;
	entry_drop_if_gone(folder, entry);
	folder->modified_ms = disk->wall_ms;
	inode_unref(disk, before);
}

static void entry_durable_set(
	struct disk *disk, struct inode *folder, const char *name, struct inode *inode)
{
	struct entry *entry = entry_get(folder, name);
	struct inode *before = entry->durable;

	entry->durable = inode_ref(inode);
	entry_drop_if_gone(folder, entry);
	inode_unref(disk, before);
}

/* Walks PATH up to its last component, which goes to NAME (empty for the root itself). */
static int path_walk(struct disk *disk, const char *path, struct inode **ret_folder,
	char name[NAME_SIZE_MAX + 1])
{
	struct inode *folder = disk->root;

	name[0] = '\0';
	if (*path == '\0')
		return -ENOENT;
	for (;;) {
		size_t size;

		while (*path == '/')
			path++;
		if (*path == '\0')
			break;
		size = strcspn(path, "/");
		if (size > NAME_SIZE_MAX)
			return -ENAMETOOLONG;
		/* What was taken for the last component is a folder on the way. */
		if (name[0] != '\0') {
			struct inode *next = entry_seen(folder, name, strlen(name));

			if (!next)
				return -ENOENT;
			if (!next->is_folder)
				return -ENOTDIR;
			folder = next;
			name[0] = '\0';
		}
		if (size == 2 && path[0] == '.' && path[1] == '.') {
			if (folder->parent)
				folder = folder->parent;
		} else if (!(size == 1 && path[0] == '.')) {
			memcpy(name, path, size);
			name[size] = '\0';
		}
		path += size;
	}
	*ret_folder = folder;
	return 0;
}

/* *RET is NULL when the folder is there but the name is not. */
int path_find(struct disk *disk, const char *path, struct inode **ret_folder,
	char name[NAME_SIZE_MAX + 1], struct inode **ret)
{
	int error = path_walk(disk, path, ret_folder, name);

	if (error)
		return error;
	*ret = name[0] ? entry_seen(*ret_folder, name, strlen(name)) : *ret_folder;
	return 0;
}

int file_find(struct disk *disk, const char *path, struct inode **ret_folder,
	char name[NAME_SIZE_MAX + 1], struct inode **ret)
{
	int error = path_find(disk, path, ret_folder, name, ret);

	if (error)
		return error;
	if (!*ret)
		return -ENOENT;
	return (*ret)->is_folder ? -EISDIR : 0;
}

void change_free(struct disk *disk, struct change *change)
{
	list_remove(&change->node);
	disk->change_count--;
	for (unsigned i = 0; i < change->side_count; i++) {
		inode_unref(disk, change->sides[i].after);
		inode_unref(disk, change->sides[i].folder);
		free(change->sides[i].name);
	}
	free(change);
}

void change_commit(struct disk *disk, struct change *change)
{
	for (unsigned i = 0; i < change->side_count; i++) {
		struct change_side *side = &change->sides[i];

		entry_durable_set(disk, side->folder, side->name, side->after);
	}
	change_free(disk, change);
}

enum { CHANGES_MAX = 4096 };

struct change *change_new(struct disk *disk)
{
	struct change *change = world_alloc_zero(1, sizeof(*change));

	/* A journal is not endless: its oldest part gets written. */
	while (disk->change_count >= CHANGES_MAX)
		change_commit(disk, container_of(list_first(&disk->changes), struct change, node));
	list_push_back(&disk->changes, &change->node);
	disk->change_count++;
	return change;
}

/* Shows the change, and remembers it as not durable. */
void change_side_add(struct disk *disk, struct change *change, struct inode *folder,
	const char *name, struct inode *after)
{
	struct change_side *side = &change->sides[change->side_count++];

	side->folder = inode_ref(folder);
	side->name = world_strdup(name);
	side->after = inode_ref(after);
	entry_seen_set(disk, folder, name, after);
}

bool sides_touch(const struct change *a, const struct change *b)
{
	for (unsigned i = 0; i < a->side_count; i++)
		for (unsigned k = 0; k < b->side_count; k++)
			if (a->sides[i].folder == b->sides[k].folder &&
				strcmp(a->sides[i].name, b->sides[k].name) == 0)
				return true;
	return false;
}
