#include "storage/log_dirs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/fiber.h"
#include "runtime/uuid.h"
#include "storage/clean_shutdown.h"
#include "storage/log_dirs_internal.h"
#include "storage/meta_properties.h"

#define LOCK_FILE_NAME "/.lock"

/* ---- reading one directory ---- */

int log_dir_path(char path[LOG_DIRS_PATH_SIZE], const struct log_dir *dir, const char *name)
{
	int size = snprintf(path, LOG_DIRS_PATH_SIZE, "%s/%s", dir->path, name);

	return size < 0 || size >= LOG_DIRS_PATH_SIZE ? -ENAMETOOLONG : 0;
}

int log_dir_read(struct shard *shard, const struct log_dir *dir, const char *name, size_t limit,
	char **ret_data, size_t *ret_size)
{
	char path[LOG_DIRS_PATH_SIZE];
	int error = log_dir_path(path, dir, name);

	return error < 0 ? error : fiber_read_whole(shard, path, limit, ret_data, ret_size);
}

int log_dir_replace(
	struct shard *shard, const struct log_dir *dir, const char *name, struct str text)
{
	char path[LOG_DIRS_PATH_SIZE];
	int error = log_dir_path(path, dir, name);

	return error < 0 ? error : fiber_replace(shard, path, text.data, (size_t)text.size);
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

/* A directory that was formatted before directories had ids gets one, as in Kafka. */
static int dir_name(struct shard *shard, struct log_dir *dir, struct arena *arena,
	struct meta_properties *properties)
{
	properties->directory_id = uuid_random(shard);
	struct str text = meta_properties_format(arena, properties, shard_wall_ms(shard));
	int error = text.size < 0
			    ? -ENOMEM
			    : log_dir_replace(shard, dir, META_PROPERTIES_FILE_NAME, text);

	if (error == 0)
		dir->id = properties->directory_id;
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
	int error = log_dir_read(
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
	error = uuid_is_zero(&dir->id) ? dir_name(shard, dir, arena, &properties) : 0;
out:
	free(text);
	return error;
}

static int dir_read_clean_mark(struct shard *shard, struct log_dir *dir)
{
	char *text;
	size_t size;
	int error = log_dir_read(
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
	/* What else lies in a directory of the metadata alone is nobody's concern, as in Kafka. */
	if (error < 0 || index >= options->count)
		return error;
	error = log_dir_scan(shard, dirs, index, arena, ret_why);
	if (error == 0)
		error = log_dir_read_checkpoints(shard, dirs, index);
	return error < 0 ? error : log_dir_make_cleaner_checkpoint(shard, dir);
}

/* Is it the directory's own trouble (as any IOException of Kafka's), or one that must stop the
 * start: it is not formatted, somebody else's, or memory is out? */
static bool is_disk_error(int error)
{
	return error != -ENOENT && error != -EBUSY && error != -EINVAL && error != -ENOMEM &&
	       error != -EMFILE && error != -ENFILE;
}

int log_dirs_open(struct shard *shard, const struct log_dirs_options *options, struct arena *arena,
	struct log_dirs **ret, const char **ret_why)
{
	struct log_dirs *dirs = calloc(1, sizeof(*dirs));
	uint32_t online = 0;
	int error = -ENOMEM;

	*ret_why = "out of memory";
	if (!dirs)
		return error;
	shard_entropy(shard, &dirs->hash_seed, sizeof(dirs->hash_seed));
	map_init(&dirs->entries, dirs->hash_seed);
	/* One more for the metadata directory when it is not in the list. */
	dirs->dirs = calloc((size_t)options->count + 1, sizeof(*dirs->dirs));
	if (!dirs->dirs)
		goto fail;
	dirs->metadata = UINT32_MAX;
	for (uint32_t i = 0; i <= options->count; i++) {
		struct str path = i < options->count ? options->paths[i] : options->metadata_path;
		struct log_dir *dir = &dirs->dirs[dirs->total];
		bool is_metadata = str_equal(path, options->metadata_path);

		if (i == options->count && dirs->metadata != UINT32_MAX)
			break;
		if (is_metadata)
			dirs->metadata = dirs->total;
		dirs->total++;
		dirs->count += i < options->count;
		dir->path = strndup(path.data, (size_t)path.size);
		dir->lock_path = malloc((size_t)path.size + sizeof(LOCK_FILE_NAME));
		if (!dir->path || !dir->lock_path)
			goto fail;
		sprintf(dir->lock_path, "%s%s", dir->path, LOCK_FILE_NAME);
		*ret_why = NULL;
		error = dir_open(shard, dirs, dirs->total - 1, options, arena, ret_why);
		if (error == 0) {
			online += i < options->count;
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
	/* Also one that keeps the metadata alone: its mark is from when it was one of log.dirs. */
	for (uint32_t i = 0; i < dirs->total; i++) {
		struct log_dir *dir = &dirs->dirs[i];
		char path[LOG_DIRS_PATH_SIZE];
		if (dir->error || !dir->clean)
			continue;
		int error = log_dir_path(path, dir, CLEAN_SHUTDOWN_FILE_NAME);
		if (error == 0)
			error = fiber_unlink(shard, path);
		if (error == 0)
			error = fiber_sync_folder(shard, dir->path);
		if (error < 0 && i == dirs->metadata)
			return error;
		if (error < 0)
			log_dir_fail(dir, error);
	}
	return 0;
}

int log_dirs_mark_clean(struct shard *shard, struct log_dirs *dirs, int64_t broker_epoch)
{
	char text[CLEAN_SHUTDOWN_TEXT_SIZE];
	int first_error = 0;

	clean_shutdown_format(broker_epoch, text);
	for (uint32_t i = 0; i < dirs->count; i++) {
		if (dirs->dirs[i].error || __atomic_load_n(&dirs->dirs[i].unopened, __ATOMIC_SEQ_CST))
			continue;
		int error =
			log_dir_replace(shard, &dirs->dirs[i], CLEAN_SHUTDOWN_FILE_NAME, str_from(text));
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
	for (uint32_t i = 0; dirs->dirs && i < dirs->total; i++) {
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
	for (uint32_t i = 0; i < dirs->total; i++) {
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

/* ---- placing ---- */

/* The online directory with the fewest partitions; NULL when all that are online are cordoned. A
 * cordon says where else to put things: alone, a directory takes them. */
static struct log_dir *least_loaded(struct log_dirs *dirs, uint32_t *ret_count)
{
	struct log_dir *best = NULL, *last_online = NULL;
	uint32_t online = 0;

	for (uint32_t i = 0; i < dirs->count; i++) {
		struct log_dir *dir = &dirs->dirs[i];
		uint32_t count = __atomic_load_n(&dir->partition_count, __ATOMIC_RELAXED);

		if (!log_dir_is_online(dir))
			continue;
		online++;
		last_online = dir;
		if (log_dir_is_cordoned(dir) || (best && count >= *ret_count))
			continue;
		best = dir;
		*ret_count = count;
	}
	if (online != 1)
		return best;
	*ret_count = __atomic_load_n(&last_online->partition_count, __ATOMIC_RELAXED);
	return last_online;
}

struct log_dir *log_dirs_place(struct log_dirs *dirs, const struct uuid *id)
{
	struct log_dir *dir;
	uint32_t count = 0;
	bool all_online = true;

	for (uint32_t i = 0; i < dirs->count; i++) {
		dir = &dirs->dirs[i];
		all_online = all_online && log_dir_is_online(dir);
		if (uuid_is_zero(id) || !uuid_equal(&dir->id, id))
			continue;
		if (!log_dir_is_online(dir))
			return NULL;
		__atomic_add_fetch(&dir->partition_count, 1, __ATOMIC_RELAXED);
		return dir;
	}
	if (!all_online && !uuid_equal(id, &UUID_DIRECTORY_UNASSIGNED))
		return NULL;
	/* Another shard may place one at the same time: then this one looks again. */
	do {
		dir = least_loaded(dirs, &count);
	} while (dir && !__atomic_compare_exchange_n(&dir->partition_count, &count, count + 1,
				false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return dir;
}

void log_dirs_leave(struct log_dir *dir)
{
	__atomic_sub_fetch(&dir->partition_count, 1, __ATOMIC_RELAXED);
}

bool log_dir_fail(struct log_dir *dir, int error)
{
	ensure(error < 0);
	return log_dir_is_online(dir) &&
	       (__atomic_store_n(&dir->error, error, __ATOMIC_RELAXED), true);
}

void log_dir_cordon(struct log_dir *dir, bool is_cordoned)
{
	__atomic_store_n(&dir->is_cordoned, is_cordoned, __ATOMIC_RELAXED);
}

