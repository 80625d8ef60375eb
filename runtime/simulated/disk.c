#include "runtime/simulated/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/simulated/memory.h"

enum { NAME_SIZE_MAX = 255 };

/* One name of a folder. At least one of the two is set. */
struct entry {
	char *name;
	struct inode *seen;    /* NULL: not there for a process */
	struct inode *durable; /* NULL: not there after a power cut */
};

struct inode {
	struct list_node node; /* in disk->inodes */
	uint32_t references;   /* entries (seen and durable each), pending changes, openings */
	uint32_t openings;
	uint64_t number;
	bool is_folder, locked;
	bool marked; /* reached, while settling after a power cut */
	int64_t modified_ms;
	struct inode *parent; /* of a folder that has a name; NULL for the root */
	struct content content;
	struct entry *entries; /* by name */
	uint32_t entry_count, entry_capacity;
};

/* A change of names that is not durable yet; a rename has two sides. */
struct change {
	struct list_node node; /* in disk->changes, oldest first */
	bool marked;
	unsigned side_count;
	struct change_side {
		struct inode *folder;
		char *name;
		struct inode *after; /* NULL: the name goes */
	} sides[2];
};

struct disk {
	struct inode *root;
	struct list inodes;
	uint64_t inodes_made;
	struct list changes;
	uint32_t change_count;
	uint64_t capacity_bytes, used_bytes;
	int64_t wall_ms;
	struct inode *last_written; /* what write-out looks at; NULL when it is gone */
};

static struct inode *inode_new(struct disk *disk, bool is_folder)
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

static void inode_free(struct disk *disk, struct inode *inode)
{
	disk->used_bytes -= content_charge_bytes(&inode->content);
	if (disk->last_written == inode)
		disk->last_written = NULL;
	content_done(&inode->content);
	entries_free(inode);
	list_remove(&inode->node);
	free(inode);
}

static struct inode *inode_ref(struct inode *inode)
{
	if (inode)
		inode->references++;
	return inode;
}

static void inode_unref(struct disk *disk, struct inode *inode)
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
static int path_find(struct disk *disk, const char *path, struct inode **ret_folder,
	char name[NAME_SIZE_MAX + 1], struct inode **ret)
{
	int error = path_walk(disk, path, ret_folder, name);

	if (error)
		return error;
	*ret = name[0] ? entry_seen(*ret_folder, name, strlen(name)) : *ret_folder;
	return 0;
}

static void change_free(struct disk *disk, struct change *change)
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

static void change_commit(struct disk *disk, struct change *change)
{
	for (unsigned i = 0; i < change->side_count; i++) {
		struct change_side *side = &change->sides[i];

		entry_durable_set(disk, side->folder, side->name, side->after);
	}
	change_free(disk, change);
}

enum { CHANGES_MAX = 4096 };

static struct change *change_new(struct disk *disk)
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
static void change_side_add(struct disk *disk, struct change *change, struct inode *folder,
	const char *name, struct inode *after)
{
	struct change_side *side = &change->sides[change->side_count++];

	side->folder = inode_ref(folder);
	side->name = world_strdup(name);
	side->after = inode_ref(after);
	entry_seen_set(disk, folder, name, after);
}

static bool sides_touch(const struct change *a, const struct change *b)
{
	for (unsigned i = 0; i < a->side_count; i++)
		for (unsigned k = 0; k < b->side_count; k++)
			if (a->sides[i].folder == b->sides[k].folder &&
				strcmp(a->sides[i].name, b->sides[k].name) == 0)
				return true;
	return false;
}

static void charge_update(struct disk *disk, const struct inode *inode, uint64_t before)
{
	disk->used_bytes += content_charge_bytes(&inode->content) - before;
}

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
	int error = path_find(disk, path, &folder, name, &inode);

	if (error)
		return error;
	if (!inode)
		return -ENOENT;
	if (inode->is_folder)
		return -EISDIR;
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

int disk_rot(struct disk *disk, struct chooser *chooser, const char *path, uint64_t offset)
{
	char name[NAME_SIZE_MAX + 1];
	struct inode *folder, *inode;
	uint64_t before;
	int error = path_find(disk, path, &folder, name, &inode);

	if (error)
		return error;
	if (!inode)
		return -ENOENT;
	if (inode->is_folder)
		return -EISDIR;
	before = content_charge_bytes(&inode->content);
	if (!content_rot(&inode->content, chooser, offset))
		return -ENODATA;
	charge_update(disk, inode, before);
	return 0;
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

void disk_write_out(struct disk *disk, struct chooser *chooser)
{
	if (disk->last_written)
		content_write_out(&disk->last_written->content, chooser);
	for (uint64_t n = choose_below(chooser, min_of(disk->change_count, 4u) + 1); n > 0; n--)
		change_commit(disk, container_of(list_first(&disk->changes), struct change, node));
}

/* Any change may be lost; what needs a lost one is lost with it. */
static void changes_settle(struct disk *disk, struct chooser *chooser)
{
	static const uint32_t shares_ppm[] = {0, 500000, 900000, CHANCE_CERTAIN_PPM};
	uint32_t keep_ppm = shares_ppm[choose_below(chooser, array_length(shares_ppm))];
	struct list lost;

	list_init(&lost);
	list_for_each_safe (node, &disk->changes) {
		struct change *change = container_of(node, struct change, node);
		bool keep = choose_chance(chooser, keep_ppm);

		list_for_each (earlier, &lost)
			keep = keep &&
			       !sides_touch(change, container_of(earlier, struct change, node));
		if (keep) {
			change_commit(disk, change);
		} else {
			chooser->faults[FAULT_NAME_LOST]++;
			list_remove(&change->node);
			list_push_back(&lost, &change->node);
		}
	}
	list_for_each_safe (node, &lost)
		change_free(disk, container_of(node, struct change, node));
}

/* Below FOLDER what is durable is what is seen. */
static void folder_settle(struct disk *disk, struct inode *folder, struct chooser *chooser)
{
	uint32_t kept = 0;

	folder->marked = true;
	for (uint32_t i = 0; i < folder->entry_count; i++) {
		struct entry entry = folder->entries[i];

		if (!entry.durable) {
			free(entry.name);
			continue;
		}
		entry.seen = entry.durable;
		folder->entries[kept++] = entry;
		entry.durable->references += 2;
		if (entry.durable->marked)
			continue;
		if (entry.durable->is_folder) {
			entry.durable->parent = folder;
			folder_settle(disk, entry.durable, chooser);
		} else {
			entry.durable->marked = true;
			content_lose_power(&entry.durable->content, chooser);
		}
	}
	folder->entry_count = kept;
}

void disk_lose_power(struct disk *disk, struct chooser *chooser)
{
	changes_settle(disk, chooser);
	list_for_each (node, &disk->inodes) {
		struct inode *inode = container_of(node, struct inode, node);

		ensure(inode->openings == 0 && !inode->locked);
		inode->references = 0;
		inode->marked = false;
	}
	disk->root->references = 1;
	folder_settle(disk, disk->root, chooser);
	disk->used_bytes = 0;
	list_for_each_safe (node, &disk->inodes) {
		struct inode *inode = container_of(node, struct inode, node);

		disk->used_bytes += content_charge_bytes(&inode->content);
		if (!inode->marked)
			inode_free(disk, inode);
	}
}

/* While cloning, each original knows its copy. */
struct inode_pair {
	const struct inode *from;
	struct inode *to;
};

static int pair_compare(const void *a, const void *b)
{
	const struct inode_pair *left = a, *right = b;

	return (left->from > right->from) - (left->from < right->from);
}

static struct inode *pair_find(
	const struct inode_pair *pairs, size_t count, const struct inode *from)
{
	struct inode_pair key = {.from = from}, *found;

	if (!from)
		return NULL;
	found = bsearch(&key, pairs, count, sizeof(*pairs), pair_compare);
	return found ? found->to : NULL;
}

static void inode_clone_into(
	struct inode *to, const struct inode *from, const struct inode_pair *pairs, size_t count)
{
	to->number = from->number;
	to->modified_ms = from->modified_ms;
	to->parent = pair_find(pairs, count, from->parent);
	content_clone(&to->content, &from->content);
	to->entry_count = to->entry_capacity = from->entry_count;
	to->entries = world_alloc(from->entry_count * sizeof(*to->entries));
	for (uint32_t i = 0; i < from->entry_count; i++)
		to->entries[i] = (struct entry){
			.name = world_strdup(from->entries[i].name),
			.seen = inode_ref(pair_find(pairs, count, from->entries[i].seen)),
			.durable = inode_ref(pair_find(pairs, count, from->entries[i].durable)),
		};
}

static void change_clone_into(
	struct disk *to, const struct change *from, const struct inode_pair *pairs, size_t count)
{
	struct change *change = change_new(to);

	change->side_count = from->side_count;
	for (unsigned i = 0; i < from->side_count; i++)
		change->sides[i] = (struct change_side){
			.folder = inode_ref(pair_find(pairs, count, from->sides[i].folder)),
			.name = world_strdup(from->sides[i].name),
			.after = inode_ref(pair_find(pairs, count, from->sides[i].after)),
		};
}

struct disk *disk_clone(const struct disk *disk)
{
	struct disk *copy = world_alloc_zero(1, sizeof(*copy));
	struct inode_pair *pairs;
	size_t count = 0, i = 0;

	list_init(&copy->inodes);
	list_init(&copy->changes);
	copy->capacity_bytes = disk->capacity_bytes;
	copy->used_bytes = disk->used_bytes;
	copy->wall_ms = disk->wall_ms;
	copy->inodes_made = disk->inodes_made;
	list_for_each (node, &disk->inodes)
		count++;
	pairs = world_alloc(count * sizeof(*pairs));
	list_for_each (node, &disk->inodes) {
		const struct inode *from = container_of(node, struct inode, node);

		pairs[i++] = (struct inode_pair){from, inode_new(copy, from->is_folder)};
	}
	qsort(pairs, count, sizeof(*pairs), pair_compare);
	for (i = 0; i < count; i++)
		inode_clone_into(pairs[i].to, pairs[i].from, pairs, count);
	list_for_each (node, &disk->changes)
		change_clone_into(copy, container_of(node, struct change, node), pairs, count);
	copy->root = inode_ref(pair_find(pairs, count, disk->root));
	copy->last_written = pair_find(pairs, count, disk->last_written);
	/* What only an opening kept alive is not there for the next process. */
	list_for_each_safe (node, &copy->inodes) {
		struct inode *inode = container_of(node, struct inode, node);

		if (inode->references == 0)
			inode_free(copy, inode);
	}
	free(pairs);
	return copy;
}
