/*
 * What happens to a simulated disk without anyone asking: write-out in the background, power cuts,
 * rot; and copies of a disk, for looking at what would be.
 */
#include "runtime/simulated/disk_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/simulated/memory.h"

int disk_rot(struct disk *disk, struct chooser *chooser, const char *path, uint64_t offset)
{
	char name[NAME_SIZE_MAX + 1];
	struct inode *folder, *inode;
	uint64_t before;
	int error = file_find(disk, path, &folder, name, &inode);

	if (error)
		return error;
	before = content_charge_bytes(&inode->content);
	if (!content_rot(&inode->content, chooser, offset))
		return -ENODATA;
	charge_update(disk, inode, before);
	return 0;
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
