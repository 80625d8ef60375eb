/*
 * What disk.c (operations), disk_names.c (folders, names and their changes) and disk_fate.c (power
 * cuts, rot, copies) share of a simulated disk. Nobody else includes this.
 */
#pragma once

#include "runtime/simulated/disk.h"

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

/* A new file or folder that nothing refers to yet. */
struct inode *inode_new(struct disk *disk, bool is_folder);
void inode_free(struct disk *disk, struct inode *inode);

/* INODE may be NULL. The last reference frees it, with what only it still names. */
struct inode *inode_ref(struct inode *inode);
void inode_unref(struct disk *disk, struct inode *inode);

/* *RET_FOLDER and NAME: where the last component of PATH stands, or would (NAME is empty for the
 * root). *RET: what a process sees there, NULL when the folder is there but the name is not.
 * -ENOENT, -ENOTDIR, -ENAMETOOLONG. */
int path_find(struct disk *disk, const char *path, struct inode **ret_folder,
	char name[NAME_SIZE_MAX + 1], struct inode **ret);

/* The same for a file that must be there: -ENOENT, -EISDIR. */
int file_find(struct disk *disk, const char *path, struct inode **ret_folder,
	char name[NAME_SIZE_MAX + 1], struct inode **ret);

/* A change without sides, the newest; each side shows at once and is durable when the change is
 * committed. Committing and freeing both end the change. */
struct change *change_new(struct disk *disk);
void change_side_add(struct disk *disk, struct change *change, struct inode *folder,
	const char *name, struct inode *after);
void change_commit(struct disk *disk, struct change *change);
void change_free(struct disk *disk, struct change *change);

/* Whether both change the same name of the same folder. */
bool sides_touch(const struct change *a, const struct change *b);

/* INODE's content was charged with BEFORE bytes until now. */
static inline void charge_update(struct disk *disk, const struct inode *inode, uint64_t before)
{
	disk->used_bytes += content_charge_bytes(&inode->content) - before;
}
