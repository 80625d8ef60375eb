#include "storage/log_dirs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/fiber.h"
#include "runtime/map.h"
#include "storage/checkpoint_file.h"
#include "storage/clean_shutdown.h"
#include "storage/meta_properties.h"
#include "storage/names.h"
#include "storage/partition_metadata.h"

enum {
	PATH_SIZE = 4096,
	ENTRY_KEY_SIZE = NAME_TOPIC_SIZE_MAX + 4,
};

#define LOCK_FILE_NAME	    "/.lock"
#define RECOVERY_POINT_FILE "recovery-point-offset-checkpoint"
#define LOG_START_FILE	    "log-start-offset-checkpoint"
#define HIGH_WATERMARK_FILE "replication-offset-checkpoint"
#define METADATA_TOPIC	    STR("__cluster_metadata")

struct entry_node {
	struct map_node node;
	struct log_dir_entry entry;
	char name[NAME_FOLDER_SIZE_MAX + 1]; /* of the folder */
	uint8_t key[ENTRY_KEY_SIZE];
};

struct log_dirs {
	struct log_dir *dirs;
	uint32_t count;
	uint32_t metadata;
	char *cluster_id;
	struct map entries; /* struct entry_node by topic and partition */
	struct entry_node **list;
	uint32_t list_count, list_capacity;
};

static size_t entry_key(uint8_t key[ENTRY_KEY_SIZE], struct str topic, int32_t partition)
{
	ensure(topic.size <= NAME_TOPIC_SIZE_MAX);
	memcpy(key, topic.data, (size_t)topic.size);
	store_be32(key + topic.size, (uint32_t)partition);
	return (size_t)topic.size + 4;
}

/* ---- reading one directory ---- */

/* PATH/NAME read whole; 0, -ENOENT and so on. */
static int read_in(struct shard *shard, const struct log_dir *dir, const char *name, size_t limit,
	char **ret_data, size_t *ret_size)
{
	char path[PATH_SIZE];
	int size = snprintf(path, sizeof(path), "%s/%s", dir->path, name);

	if (size < 0 || (size_t)size >= sizeof(path))
		return -ENAMETOOLONG;
	return fiber_read_whole(shard, path, limit, ret_data, ret_size);
}

static int replace_in(
	struct shard *shard, const struct log_dir *dir, const char *name, struct str text)
{
	char path[PATH_SIZE];
	int size = snprintf(path, sizeof(path), "%s/%s", dir->path, name);

	if (size < 0 || (size_t)size >= sizeof(path))
		return -ENAMETOOLONG;
	return fiber_replace(shard, path, text.data, (size_t)text.size);
}

static int dir_lock(
	struct shard *shard, struct log_dir *dir, struct arena *arena, const char **ret_why)
{
	int error = fiber_open(shard, dir->lock_path,
		FILE_READ | FILE_WRITE | FILE_CREATE | FILE_LOCK, &dir->lock);

	if (error == -EWOULDBLOCK || error == -EAGAIN || error == -EACCES) {
		*ret_why = arena_printf(arena,
			"another process has the lock of %s: stop it, or give this broker other "
			"log.dirs",
			dir->path);
		return -EBUSY;
	}
	if (error < 0)
		*ret_why = arena_printf(arena, "cannot lock %s: %s", dir->path, strerror(-error));
	return error;
}

/* meta.properties must be there and say the same node and cluster in every directory. */
static int dir_identify(struct shard *shard, struct log_dirs *dirs, struct log_dir *dir,
	const struct log_dirs_options *options, struct arena *arena, const char **ret_why)
{
	struct meta_properties properties;
	const char *why = NULL;
	char *text;
	size_t size;
	int error = read_in(
		shard, dir, META_PROPERTIES_FILE_NAME, META_PROPERTIES_FILE_LIMIT, &text, &size);

	if (error == -ENOENT) {
		*ret_why = arena_printf(arena,
			"%s is not formatted: run `barnabas format` with this configuration first "
			"(or is a disk not mounted?)",
			dir->path);
		return -ENOENT;
	}
	if (error < 0) {
		*ret_why = arena_printf(
			arena, "cannot read %s/meta.properties: %s", dir->path, strerror(-error));
		return error;
	}
	error = meta_properties_parse(arena, (struct str){text, (int32_t)size}, &properties, &why);
	if (error < 0) {
		*ret_why = arena_printf(arena, "%s/meta.properties is not right: %s", dir->path,
			why ? why : strerror(-error));
		error = error == -ENOMEM ? error : -EINVAL;
		goto out;
	}
	error = -EINVAL;
	if (properties.node_id != options->node_id) {
		*ret_why = arena_printf(arena,
			"%s belongs to node.id %d, but this configuration says %d", dir->path,
			properties.node_id, options->node_id);
		goto out;
	}
	if (str_is_null(properties.cluster_id)) {
		*ret_why = arena_printf(arena, "%s/meta.properties names no cluster.id", dir->path);
		goto out;
	}
	if (!dirs->cluster_id) {
		dirs->cluster_id =
			strndup(properties.cluster_id.data, (size_t)properties.cluster_id.size);
		if (!dirs->cluster_id) {
			error = -ENOMEM;
			goto out;
		}
	} else if (!str_equal(str_from(dirs->cluster_id), properties.cluster_id)) {
		*ret_why = arena_printf(arena,
			"%s belongs to cluster %.*s, but another of log.dirs to %s", dir->path,
			STR_ARGS(properties.cluster_id), dirs->cluster_id);
		goto out;
	}
	for (struct log_dir *other = dirs->dirs; other < dir; other++) {
		if (!uuid_is_zero(&other->id) && uuid_equal(&other->id, &properties.directory_id)) {
			*ret_why = arena_printf(arena,
				"%s and %s have the same directory.id: is one a copy of the other?",
				other->path, dir->path);
			goto out;
		}
	}
	dir->id = properties.directory_id;
	error = 0;
out:
	free(text);
	return error;
}

static int dir_read_clean_mark(struct shard *shard, struct log_dir *dir)
{
	char *text;
	size_t size;
	int error = read_in(
		shard, dir, CLEAN_SHUTDOWN_FILE_NAME, CLEAN_SHUTDOWN_FILE_LIMIT, &text, &size);

	dir->broker_epoch = -1;
	if (error == -ENOENT)
		return 0;
	if (error < 0)
		return error;
	dir->clean = true;
	if (clean_shutdown_parse((struct str){text, (int32_t)size}, &dir->broker_epoch) < 0)
		dir->broker_epoch = -1;
	free(text);
	return 0;
}

static int entry_add(
	struct log_dirs *dirs, uint32_t dir, const char *name, const struct log_folder_name *parsed)
{
	struct entry_node *node;
	uint8_t key[ENTRY_KEY_SIZE];
	size_t key_size = entry_key(key, parsed->topic, parsed->partition);

	if (map_find(&dirs->entries, key, key_size))
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
	memcpy(node->key, key, key_size);
	node->entry.topic = (struct str){node->name, parsed->topic.size};
	node->entry.partition = parsed->partition;
	node->entry.dir = dir;
	map_insert(&dirs->entries, &node->node, node->key, key_size);
	dirs->list[dirs->list_count++] = node;
	dirs->dirs[dir].partition_count++;
	return 0;
}

static int entry_read_topic_id(
	struct shard *shard, const struct log_dir *dir, struct entry_node *node)
{
	char name[NAME_FOLDER_SIZE_MAX + sizeof("/" PARTITION_METADATA_FILE_NAME)];
	char *text;
	size_t size;

	snprintf(name, sizeof(name), "%s/" PARTITION_METADATA_FILE_NAME, node->name);
	int error = read_in(shard, dir, name, PARTITION_METADATA_FILE_LIMIT, &text, &size);
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

/* What is left of a deleted topic goes now. */
static int remove_folder(struct shard *shard, const struct log_dir *dir, const char *name)
{
	char folder[PATH_SIZE], path[PATH_SIZE];
	struct path_listing *listing;
	int error;

	if ((size_t)snprintf(folder, sizeof(folder), "%s/%s", dir->path, name) >= sizeof(folder))
		return -ENAMETOOLONG;
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

static int dir_scan(struct shard *shard, struct log_dirs *dirs, uint32_t index, struct arena *arena,
	const char **ret_why)
{
	struct log_dir *dir = &dirs->dirs[index];
	struct path_listing *listing;
	int error = fiber_list(shard, dir->path, &listing);

	if (error < 0)
		return error;
	for (uint32_t i = 0; i < listing->count && error == 0; i++) {
		const char *name = listing->entries[i].name;
		if (!listing->entries[i].is_folder)
			continue;
		struct log_folder_name parsed = log_folder_name_parse(name);
		switch (parsed.kind) {
		case LOG_FOLDER_PARTITION:
			if (str_equal(parsed.topic, METADATA_TOPIC))
				break;
			error = entry_add(dirs, index, name, &parsed);
			if (error == -EEXIST) {
				*ret_why = arena_printf(arena,
					"the folder %s is in two of log.dirs (the second is %s): "
					"keep the right one",
					name, dir->path);
				error = -EINVAL;
			} else if (error == 0) {
				error = entry_read_topic_id(
					shard, dir, dirs->list[dirs->list_count - 1]);
			}
			break;
		case LOG_FOLDER_DELETE:
			error = remove_folder(shard, dir, name);
			break;
		case LOG_FOLDER_FUTURE:
		case LOG_FOLDER_STRAY:
		case LOG_FOLDER_IGNORED:
			break;
		case LOG_FOLDER_FOREIGN:
			*ret_why = arena_printf(arena,
				"%s holds a folder that is no partition's: %s. Move it away: "
				"log.dirs belong to the broker alone",
				dir->path, name);
			error = -EINVAL;
			break;
		}
	}
	path_listing_free(listing);
	return error;
}

/* ---- checkpoints ---- */

enum checkpoint_kind {
	CHECKPOINT_RECOVERY_POINT,
	CHECKPOINT_LOG_START,
	CHECKPOINT_HIGH_WATERMARK,
	CHECKPOINT_COUNT
};

static const char *const checkpoint_names[CHECKPOINT_COUNT] = {
	[CHECKPOINT_RECOVERY_POINT] = RECOVERY_POINT_FILE,
	[CHECKPOINT_LOG_START] = LOG_START_FILE,
	[CHECKPOINT_HIGH_WATERMARK] = HIGH_WATERMARK_FILE,
};

static int64_t *checkpoint_field(struct log_dir_entry *entry, enum checkpoint_kind kind)
{
	return kind == CHECKPOINT_RECOVERY_POINT ? &entry->recovery_point
	       : kind == CHECKPOINT_LOG_START	 ? &entry->log_start
						 : &entry->high_watermark;
}

static int dir_read_checkpoint(
	struct shard *shard, struct log_dirs *dirs, uint32_t index, enum checkpoint_kind kind)
{
	struct checkpoint_topic_offset *rows;
	struct arena arena;
	int32_t count;
	char *text;
	size_t size;
	int error = read_in(shard, &dirs->dirs[index], checkpoint_names[kind],
		CHECKPOINT_FILE_LIMIT, &text, &size);

	if (error == -ENOENT)
		return 0;
	if (error < 0)
		return error;
	arena_init(&arena, CHECKPOINT_FILE_LIMIT);
	/* Without a checkpoint a log is recovered from its start: slower, never wrong. */
	if (checkpoint_topic_offsets_parse(
		    &arena, (struct str){text, (int32_t)size}, &rows, &count) == 0) {
		for (int32_t i = 0; i < count; i++) {
			uint8_t key[ENTRY_KEY_SIZE];
			if (rows[i].topic.size > NAME_TOPIC_SIZE_MAX)
				continue;
			size_t key_size = entry_key(key, rows[i].topic, rows[i].partition);
			struct entry_node *node = map_find_entry(
				&dirs->entries, key, key_size, struct entry_node, node);
			if (node && node->entry.dir == index && rows[i].offset >= 0)
				*checkpoint_field(&node->entry, kind) = rows[i].offset;
		}
	}
	arena_done(&arena);
	free(text);
	return 0;
}

static int64_t row_offset(const struct log_checkpoint_row *row, enum checkpoint_kind kind)
{
	return kind == CHECKPOINT_RECOVERY_POINT ? row->recovery_point
	       : kind == CHECKPOINT_LOG_START	 ? row->log_start
						 : row->high_watermark;
}

static int dir_write_checkpoint(struct shard *shard, struct log_dirs *dirs, uint32_t index,
	enum checkpoint_kind kind, const struct log_checkpoint_row *rows, uint32_t count)
{
	struct checkpoint_topic_offset *list = calloc(max_of(count, 1u), sizeof(*list));
	struct arena arena;
	int32_t filled = 0;
	int error = -ENOMEM;

	arena_init(&arena, CHECKPOINT_FILE_LIMIT);
	if (!list)
		goto out;
	for (uint32_t i = 0; i < count; i++) {
		if (rows[i].dir != index ||
			(kind == CHECKPOINT_LOG_START && !rows[i].log_start_moved))
			continue;
		list[filled++] = (struct checkpoint_topic_offset){.topic = rows[i].topic,
			.partition = rows[i].partition,
			.offset = row_offset(&rows[i], kind)};
	}
	struct str text = checkpoint_topic_offsets_format(&arena, list, filled);
	if (text.size < 0)
		goto out;
	error = replace_in(shard, &dirs->dirs[index], checkpoint_names[kind], text);
out:
	arena_done(&arena);
	free(list);
	return error;
}

int log_dirs_write_checkpoints(struct shard *shard, struct log_dirs *dirs,
	const struct log_checkpoint_row *rows, uint32_t count)
{
	int first_error = 0;

	for (uint32_t i = 0; i < dirs->count; i++) {
		for (int kind = 0; kind < CHECKPOINT_COUNT && dirs->dirs[i].error == 0; kind++) {
			int error = dir_write_checkpoint(shard, dirs, i, kind, rows, count);
			if (error == -ENOMEM || error == -ENOSPC) {
				/* The old file still stands: recovery reads more than it would have
				 * to. */
				first_error = first_error ? first_error : error;
				break;
			}
			if (error < 0) {
				dirs->dirs[i].error = error;
				first_error = first_error ? first_error : error;
			}
		}
	}
	return first_error;
}

/* ---- all of them ---- */

static int dir_open(struct shard *shard, struct log_dirs *dirs, uint32_t index,
	const struct log_dirs_options *options, struct arena *arena, const char **ret_why)
{
	struct log_dir *dir = &dirs->dirs[index];
	int error = dir_lock(shard, dir, arena, ret_why);

	if (error == -ENOENT)
		*ret_why = arena_printf(arena,
			"%s does not exist: run `barnabas format` with this configuration first",
			dir->path);
	if (error == 0)
		error = dir_identify(shard, dirs, dir, options, arena, ret_why);
	if (error == 0)
		error = dir_read_clean_mark(shard, dir);
	if (error == 0)
		error = dir_scan(shard, dirs, index, arena, ret_why);
	for (int kind = 0; kind < CHECKPOINT_COUNT && error == 0; kind++)
		error = dir_read_checkpoint(shard, dirs, index, kind);
	return error;
}

/* Is it the directory's own trouble, or one of the configuration that must stop the start? */
static bool is_disk_error(int error)
{
	return error == -EIO || error == -EROFS || error == -ENODEV || error == -ENXIO;
}

int log_dirs_open(struct shard *shard, const struct log_dirs_options *options, struct arena *arena,
	struct log_dirs **ret, const char **ret_why)
{
	struct log_dirs *dirs = calloc(1, sizeof(*dirs));
	uint32_t online = 0;
	int error = -ENOMEM;
	uint64_t seed;

	*ret_why = "out of memory";
	if (!dirs)
		return error;
	shard_entropy(shard, &seed, sizeof(seed));
	map_init(&dirs->entries, seed);
	/* One more for the metadata directory when it is not in the list. */
	dirs->dirs = calloc((size_t)options->count + 1, sizeof(*dirs->dirs));
	if (!dirs->dirs)
		goto fail;
	dirs->metadata = UINT32_MAX;
	for (uint32_t i = 0; i <= options->count; i++) {
		struct str path = i < options->count ? options->paths[i] : options->metadata_path;
		struct log_dir *dir = &dirs->dirs[dirs->count];
		bool is_metadata = str_equal(path, options->metadata_path);

		if (i == options->count && dirs->metadata != UINT32_MAX)
			break;
		if (is_metadata)
			dirs->metadata = dirs->count;
		dirs->count++;
		dir->path = strndup(path.data, (size_t)path.size);
		dir->lock_path = malloc((size_t)path.size + sizeof(LOCK_FILE_NAME));
		if (!dir->path || !dir->lock_path)
			goto fail;
		sprintf(dir->lock_path, "%s%s", dir->path, LOCK_FILE_NAME);
		*ret_why = NULL;
		error = dir_open(shard, dirs, dirs->count - 1, options, arena, ret_why);
		if (error == 0) {
			online++;
			continue;
		}
		if (!*ret_why)
			*ret_why = arena_printf(
				arena, "cannot read %s: %s", dir->path, strerror(-error));
		if (!is_disk_error(error) || is_metadata)
			goto fail;
		dir->error = error;
		error = -ENOMEM;
	}
	if (online == 0) {
		error = -EIO;
		goto fail;
	}
	*ret = dirs;
	return 0;
fail:
	log_dirs_free(dirs);
	return error;
}

int log_dirs_unmark_clean(struct shard *shard, struct log_dirs *dirs)
{
	for (uint32_t i = 0; i < dirs->count; i++) {
		struct log_dir *dir = &dirs->dirs[i];
		char path[PATH_SIZE];
		if (dir->error || !dir->clean)
			continue;
		if ((size_t)snprintf(path, sizeof(path), "%s/" CLEAN_SHUTDOWN_FILE_NAME,
			    dir->path) >= sizeof(path))
			return -ENAMETOOLONG;
		int error = fiber_unlink(shard, path);
		if (error == 0)
			error = fiber_sync_folder(shard, dir->path);
		if (error < 0)
			return error;
	}
	return 0;
}

int log_dirs_mark_clean(struct shard *shard, struct log_dirs *dirs, int64_t broker_epoch)
{
	char text[CLEAN_SHUTDOWN_TEXT_SIZE];
	int first_error = 0;

	clean_shutdown_format(broker_epoch, text);
	for (uint32_t i = 0; i < dirs->count; i++) {
		if (dirs->dirs[i].error)
			continue;
		int error =
			replace_in(shard, &dirs->dirs[i], CLEAN_SHUTDOWN_FILE_NAME, str_from(text));
		first_error = first_error ? first_error : error;
	}
	return first_error;
}

void log_dirs_free(struct log_dirs *dirs)
{
	if (!dirs)
		return;
	for (uint32_t i = 0; i < dirs->list_count; i++)
		free(dirs->list[i]);
	free(dirs->list);
	map_done(&dirs->entries);
	for (uint32_t i = 0; dirs->dirs && i < dirs->count; i++) {
		file_unref(dirs->dirs[i].lock);
		free((char *)(uintptr_t)dirs->dirs[i].path);
		free(dirs->dirs[i].lock_path);
	}
	free(dirs->dirs);
	free(dirs->cluster_id);
	free(dirs);
}

struct str log_dirs_cluster_id(const struct log_dirs *dirs)
{
	return str_from(dirs->cluster_id);
}

uint32_t log_dirs_count(const struct log_dirs *dirs)
{
	return dirs->count;
}

struct log_dir *log_dirs_at(struct log_dirs *dirs, uint32_t index)
{
	ensure(index < dirs->count);
	return &dirs->dirs[index];
}

struct log_dir *log_dirs_metadata(struct log_dirs *dirs)
{
	return &dirs->dirs[dirs->metadata];
}

struct log_dir *log_dirs_by_path(struct log_dirs *dirs, const char *path)
{
	for (uint32_t i = 0; i < dirs->count; i++) {
		if (strcmp(dirs->dirs[i].path, path) == 0)
			return &dirs->dirs[i];
	}
	return NULL;
}

int64_t log_dirs_previous_broker_epoch(const struct log_dirs *dirs)
{
	int64_t epoch = -1;

	for (uint32_t i = 0; i < dirs->count; i++) {
		const struct log_dir *dir = &dirs->dirs[i];
		if (dir->error || !dir->clean || dir->broker_epoch < 0 ||
			(epoch >= 0 && dir->broker_epoch != epoch))
			return -1;
		epoch = dir->broker_epoch;
	}
	return epoch;
}

uint32_t log_dirs_entry_count(const struct log_dirs *dirs)
{
	return dirs->list_count;
}

struct log_dir_entry *log_dirs_entry_at(struct log_dirs *dirs, uint32_t index)
{
	ensure(index < dirs->list_count);
	return &dirs->list[index]->entry;
}

const struct log_dir_entry *log_dirs_find(
	const struct log_dirs *dirs, struct str topic, int32_t partition)
{
	uint8_t key[ENTRY_KEY_SIZE];
	size_t size = entry_key(key, topic, partition);
	const struct entry_node *node =
		map_find_entry(&dirs->entries, key, size, struct entry_node, node);

	return node && !node->entry.is_stray ? &node->entry : NULL;
}

struct log_dir *log_dirs_place(struct log_dirs *dirs, const struct uuid *id)
{
	struct log_dir *best = NULL;
	uint32_t best_count = 0;

	for (uint32_t i = 0; i < dirs->count; i++) {
		struct log_dir *dir = &dirs->dirs[i];
		if (dir->error)
			continue;
		uint32_t count = __atomic_load_n(&dir->partition_count, __ATOMIC_RELAXED);
		if (!uuid_is_zero(id) && uuid_equal(&dir->id, id)) {
			best = dir;
			break;
		}
		if (!best || count < best_count) {
			best = dir;
			best_count = count;
		}
	}
	if (best)
		__atomic_add_fetch(&best->partition_count, 1, __ATOMIC_RELAXED);
	return best;
}

int log_dirs_set_aside(struct shard *shard, struct log_dirs *dirs, struct log_dir_entry *entry)
{
	struct entry_node *node = container_of(entry, struct entry_node, entry);
	const struct log_dir *dir = &dirs->dirs[entry->dir];
	char from[PATH_SIZE], to[PATH_SIZE], name[NAME_FOLDER_SIZE_MAX + 1];
	struct uuid unique;

	shard_entropy(shard, &unique, sizeof(unique));
	log_folder_name_print_suffixed(name, entry->topic, entry->partition, &unique, "-stray");
	if ((size_t)snprintf(from, sizeof(from), "%s/%s", dir->path, node->name) >= sizeof(from) ||
		(size_t)snprintf(to, sizeof(to), "%s/%s", dir->path, name) >= sizeof(to))
		return -ENAMETOOLONG;
	int error = fiber_rename(shard, from, to);
	if (error == 0)
		error = fiber_sync_folder(shard, dir->path);
	if (error == 0) {
		entry->is_stray = true;
		__atomic_sub_fetch(&dirs->dirs[entry->dir].partition_count, 1, __ATOMIC_RELAXED);
	}
	return error;
}
