/*
 * The partitions' folders that the start finds in the log directories. The controller's metadata is
 * not known yet while they are scanned, so this only tells what is there; its reader decides what is
 * a stray and which of two folders of a moving replica counts.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/fiber.h"
#include "storage/log_dirs_internal.h"
#include "storage/partition_metadata.h"

#define METADATA_TOPIC STR("__cluster_metadata")

static size_t entry_key(
	uint8_t key[ENTRY_KEY_SIZE], uint32_t dir, struct str topic, int32_t partition)
{
	ensure(topic.size <= NAME_TOPIC_SIZE_MAX);
	memcpy(key, topic.data, (size_t)topic.size);
	store_be32(key + topic.size, (uint32_t)partition);
	store_be32(key + topic.size + 4, dir);
	return (size_t)topic.size + 8;
}

struct entry_node *log_dirs_entry_in(
	const struct log_dirs *dirs, uint32_t index, struct str topic, int32_t partition)
{
	uint8_t key[ENTRY_KEY_SIZE];
	size_t size;

	if (topic.size > NAME_TOPIC_SIZE_MAX)
		return NULL;
	size = entry_key(key, index, topic, partition);
	return map_find_entry(&dirs->entries, key, size, struct entry_node, node);
}

/* ---- the scan ---- */

static int entry_add(struct log_dirs *dirs, uint32_t dir, const char *name,
	const struct log_folder_name *parsed, struct entry_node **ret_node)
{
	struct entry_node *node;

	if (log_dirs_entry_in(dirs, dir, parsed->topic, parsed->partition))
		return -EEXIST;
	if (dirs->list_count == dirs->list_capacity) {
		uint32_t capacity = max_of(dirs->list_capacity * 2, 64u);
		struct entry_node **list =
			realloc(dirs->list, capacity * sizeof(struct entry_node *));
		if (!list)
			return -ENOMEM;
		dirs->list = list;
		dirs->list_capacity = capacity;
	}
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	memcpy(node->name, name, strlen(name));
	node->entry.topic = (struct str){node->name, parsed->topic.size};
	node->entry.partition = parsed->partition;
	node->entry.dir = dir;
	node->entry.is_future = parsed->kind == LOG_FOLDER_FUTURE;
	map_insert(&dirs->entries, &node->node, node->key,
		entry_key(node->key, dir, parsed->topic, parsed->partition));
	dirs->list[dirs->list_count++] = node;
	dirs->dirs[dir].partition_count++;
	*ret_node = node;
	return 0;
}

static int entry_read_topic_id(
	struct shard *shard, const struct log_dir *dir, struct entry_node *node)
{
	char name[NAME_FOLDER_SIZE_MAX + sizeof("/" PARTITION_METADATA_FILE_NAME)];
	char *text;
	size_t size;

	snprintf(name, sizeof(name), "%s/" PARTITION_METADATA_FILE_NAME, node->name);
	int error = log_dir_read(shard, dir, name, PARTITION_METADATA_FILE_LIMIT, &text, &size);
	if (error == -ENOENT)
		return 0;
	if (error < 0)
		return error;
	/* A file that was torn before it was durable had no records behind it: as if it were not
	 * there. */
	if (partition_metadata_parse((struct str){text, (int32_t)size}, &node->entry.topic_id) < 0)
		node->entry.topic_id = UUID_ZERO;
	free(text);
	return 0;
}

/* Another directory's folder of the same replica, NULL when there is none. A topic that was made
 * again while a directory was offline leaves a folder of the same name and another id there. */
static const struct entry_node *entry_twin(
	const struct log_dirs *dirs, const struct log_dir_entry *entry)
{
	for (uint32_t i = 0; i < entry->dir; i++) {
		const struct entry_node *other =
			log_dirs_entry_in(dirs, i, entry->topic, entry->partition);
		if (other && other->entry.is_future == entry->is_future &&
			uuid_equal(&other->entry.topic_id, &entry->topic_id))
			return other;
	}
	return NULL;
}

/* (fiber) What is left of a deleted topic goes now. */
static int remove_folder(struct shard *shard, const struct log_dir *dir, const char *name)
{
	char folder[LOG_DIRS_PATH_SIZE], path[LOG_DIRS_PATH_SIZE];
	struct path_listing *listing;
	int error = log_dir_path(folder, dir, name);

	if (error == 0)
		error = fiber_list(shard, folder, &listing);
	if (error < 0)
		return error;
	for (uint32_t i = 0; i < listing->count && error == 0; i++) {
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder,
			    listing->entries[i].name) >= sizeof(path))
			error = -ENAMETOOLONG;
		else
			error = fiber_unlink(shard, path);
	}
	path_listing_free(listing);
	return error < 0 ? error : fiber_remove_folder(shard, folder);
}

static int folder_found(struct shard *shard, struct log_dirs *dirs, uint32_t index,
	const char *name, struct arena *arena, const char **ret_why)
{
	const struct log_dir *dir = &dirs->dirs[index];
	struct log_folder_name parsed = log_folder_name_parse(name);
	const struct entry_node *twin;
	struct entry_node *node;
	int error;

	switch (parsed.kind) {
	case LOG_FOLDER_PARTITION:
	case LOG_FOLDER_FUTURE:
		if (str_equal(parsed.topic, METADATA_TOPIC))
			return 0;
		error = entry_add(dirs, index, name, &parsed, &node);
		if (error == -EEXIST) {
			*ret_why = arena_printf(arena,
				"%s holds two folders of %.*s-%d: keep the right one", dir->path,
				STR_ARGS(parsed.topic), parsed.partition);
			return -EINVAL;
		}
		if (error == 0)
			error = entry_read_topic_id(shard, dir, node);
		if (error < 0)
			return error;
		twin = entry_twin(dirs, &node->entry);
		if (!twin)
			return 0;
		*ret_why = arena_printf(arena,
			"%s/%s and %s/%s are the same replica: keep the one that did not fail last",
			dirs->dirs[twin->entry.dir].path, twin->name, dir->path, name);
		return -EINVAL;
	case LOG_FOLDER_DELETE:
		return remove_folder(shard, dir, name);
	case LOG_FOLDER_STRAY:
	case LOG_FOLDER_IGNORED:
		return 0;
	case LOG_FOLDER_FOREIGN:
		break;
	}
	*ret_why = arena_printf(arena,
		"%s holds a folder that is no partition's: %s. Move it away: "
		"log.dirs belong to the broker alone",
		dir->path, name);
	return -EINVAL;
}

int log_dir_scan(struct shard *shard, struct log_dirs *dirs, uint32_t index, struct arena *arena,
	const char **ret_why)
{
	struct path_listing *listing;
	int error = fiber_list(shard, dirs->dirs[index].path, &listing);

	if (error < 0)
		return error;
	for (uint32_t i = 0; i < listing->count && error == 0; i++)
		if (listing->entries[i].is_folder)
			error = folder_found(
				shard, dirs, index, listing->entries[i].name, arena, ret_why);
	path_listing_free(listing);
	return error;
}

/* ---- what was found ---- */

uint32_t log_dirs_entry_count(const struct log_dirs *dirs)
{
	return dirs->list_count;
}

struct log_dir_entry *log_dirs_entry_at(struct log_dirs *dirs, uint32_t index)
{
	ensure(index < dirs->list_count);
	return &dirs->list[index]->entry;
}

struct log_dir_entry *log_dirs_current(struct log_dirs *dirs, struct str topic, int32_t partition)
{
	for (uint32_t i = 0; i < dirs->count; i++) {
		struct entry_node *node = log_dirs_entry_in(dirs, i, topic, partition);

		if (node && !node->entry.is_gone && !node->entry.is_future)
			return &node->entry;
	}
	return NULL;
}

const struct log_dir_entry *log_dirs_take(
	struct log_dirs *dirs, struct str topic, int32_t partition)
{
	struct log_dir_entry *entry = log_dirs_current(dirs, topic, partition);

	if (entry)
		entry->is_gone = true;
	return entry;
}

/* (fiber) Durably, within its directory. */
static int entry_rename(struct shard *shard, struct log_dirs *dirs, struct entry_node *node,
	const char name[NAME_FOLDER_SIZE_MAX + 1])
{
	const struct log_dir *dir = &dirs->dirs[node->entry.dir];
	char from[LOG_DIRS_PATH_SIZE], to[LOG_DIRS_PATH_SIZE];
	int error = log_dir_path(from, dir, node->name);

	if (error == 0)
		error = log_dir_path(to, dir, name);
	if (error == 0)
		error = fiber_rename(shard, from, to);
	if (error == 0)
		error = fiber_sync_folder(shard, dir->path);
	if (error == 0) /* the topic's part of it, which the entry points to, is the same */
		memcpy(node->name, name, strlen(name) + 1);
	return error;
}

static int entry_retire(struct shard *shard, struct log_dirs *dirs, struct log_dir_entry *entry,
	const char *ending)
{
	struct entry_node *node = container_of(entry, struct entry_node, entry);
	char name[NAME_FOLDER_SIZE_MAX + 1];
	struct uuid unique;

	shard_entropy(shard, &unique, sizeof(unique));
	log_folder_name_print_suffixed(name, entry->topic, entry->partition, &unique, ending);
	int error = entry_rename(shard, dirs, node, name);
	if (error == 0) {
		entry->is_gone = true;
		log_dirs_leave(&dirs->dirs[entry->dir]);
	}
	return error;
}

/* Nothing but what the making of a log leaves before the first record. 1, 0, or a negative errno. */
static int folder_has_nothing(struct shard *shard, const struct log_dir *dir, const char *name)
{
	char folder[LOG_DIRS_PATH_SIZE], path[LOG_DIRS_PATH_SIZE];
	struct path_listing *listing;
	uint64_t size = 0;
	int error = log_dir_path(folder, dir, name);

	if (error == 0)
		error = fiber_list(shard, folder, &listing);
	if (error < 0)
		return error;
	for (uint32_t i = 0; i < listing->count && error == 0 && size == 0; i++) {
		const char *file = listing->entries[i].name;
		struct log_file_name parsed = log_file_name_parse(file);

		if (strcmp(file, PARTITION_METADATA_FILE_NAME) == 0 ||
			strcmp(file, PARTITION_METADATA_FILE_NAME ".tmp") == 0 ||
			strcmp(file, "leader-epoch-checkpoint") == 0 ||
			strcmp(file, "leader-epoch-checkpoint.tmp") == 0)
			continue;
		if (parsed.base_offset != 0 || parsed.state != LOG_FILE_LIVE)
			size = 1;
		else if (parsed.kind == LOG_FILE_DATA)
			error = (size_t)snprintf(path, sizeof(path), "%s/%s", folder, file) >=
						sizeof(path)
					? -ENAMETOOLONG
					: fiber_path_status(shard, path, &size, NULL, NULL);
		else if (parsed.kind != LOG_FILE_OFFSET_INDEX && parsed.kind != LOG_FILE_TIME_INDEX)
			size = 1;
	}
	path_listing_free(listing);
	return error < 0 ? error : size == 0;
}

int log_dirs_set_aside(struct shard *shard, struct log_dirs *dirs, struct log_dir_entry *entry)
{
	struct entry_node *node = container_of(entry, struct entry_node, entry);
	struct log_dir *dir = &dirs->dirs[entry->dir];
	int nothing = uuid_is_zero(&entry->topic_id) ? folder_has_nothing(shard, dir, node->name) : 0;

	if (nothing > 0)
		nothing = remove_folder(shard, dir, node->name) < 0 ? 0 : 1;
	if (nothing > 0) {
		entry->is_gone = true;
		log_dirs_leave(dir);
		return 1;
	}
	return nothing < 0 ? nothing : entry_retire(shard, dirs, entry, "-stray");
}

int log_dirs_promote(struct shard *shard, struct log_dirs *dirs, struct log_dir_entry *future)
{
	struct log_dir_entry *current = log_dirs_current(dirs, future->topic, future->partition);
	struct entry_node *node = container_of(future, struct entry_node, entry);
	char name[NAME_FOLDER_SIZE_MAX + 1];
	int error = 0;

	ensure(future->is_future && !future->is_gone);
	/* The current one first: a crash between the two leaves the future alone, which is promoted
	 * then, where two current ones would refuse the start. */
	if (current)
		error = entry_retire(shard, dirs, current, "-delete");
	if (error == 0) {
		snprintf(name, sizeof(name), "%.*s-%d", STR_ARGS(future->topic), future->partition);
		error = entry_rename(shard, dirs, node, name);
	}
	if (error == 0)
		future->is_future = false;
	if (error == 0 && current)
		error = remove_folder(shard, &dirs->dirs[current->dir],
			container_of(current, struct entry_node, entry)->name);
	return error;
}
