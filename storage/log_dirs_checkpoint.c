/*
 * The checkpoints of the log directories: read at the start, replaced while the broker runs. A
 * checkpoint that is missing or damaged costs time, never records.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "runtime/fiber.h"
#include "runtime/hash.h"
#include "storage/checkpoint_file.h"
#include "storage/log_dirs_internal.h"

#define RECOVERY_POINT_FILE "recovery-point-offset-checkpoint"
#define LOG_START_FILE	    "log-start-offset-checkpoint"
#define HIGH_WATERMARK_FILE "replication-offset-checkpoint"
#define CLEANER_FILE	    "cleaner-offset-checkpoint"

enum checkpoint_kind {
	CHECKPOINT_RECOVERY_POINT,
	CHECKPOINT_LOG_START,
	CHECKPOINT_HIGH_WATERMARK,
	CHECKPOINT_CLEAN_END,
	CHECKPOINT_COUNT
};

static const char *const checkpoint_names[CHECKPOINT_COUNT] = {
	[CHECKPOINT_RECOVERY_POINT] = RECOVERY_POINT_FILE,
	[CHECKPOINT_LOG_START] = LOG_START_FILE,
	[CHECKPOINT_HIGH_WATERMARK] = HIGH_WATERMARK_FILE,
	[CHECKPOINT_CLEAN_END] = CLEANER_FILE,
};
static_assert(array_length(checkpoint_names) == LOG_DIR_CHECKPOINTS, "a hash of each");

static int64_t *checkpoint_field(struct log_dir_entry *entry, enum checkpoint_kind kind)
{
	return kind == CHECKPOINT_RECOVERY_POINT ? &entry->recovery_point
	       : kind == CHECKPOINT_LOG_START	 ? &entry->log_start
	       : kind == CHECKPOINT_CLEAN_END	 ? &entry->clean_end
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
	int error = log_dir_read(shard, &dirs->dirs[index], checkpoint_names[kind],
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
			struct entry_node *node = log_dirs_entry_in(
				dirs, index, rows[i].topic, rows[i].partition);
			if (node && rows[i].offset >= 0)
				*checkpoint_field(&node->entry, kind) = rows[i].offset;
			if (!node)
				dirs->lists_gone = true;
		}
	}
	arena_done(&arena);
	free(text);
	return 0;
}

int log_dir_read_checkpoints(struct shard *shard, struct log_dirs *dirs, uint32_t index)
{
	int error = 0;

	for (int kind = 0; kind < CHECKPOINT_COUNT && error == 0; kind++)
		error = dir_read_checkpoint(shard, dirs, index, kind);
	return error;
}

int log_dir_make_cleaner_checkpoint(struct shard *shard, const struct log_dir *dir)
{
	char path[LOG_DIRS_PATH_SIZE];
	struct file *file;
	int error = log_dir_path(path, dir, CLEANER_FILE);

	if (error == 0)
		error = fiber_open(shard, path, FILE_WRITE | FILE_CREATE, &file);
	if (error == 0)
		file_unref(file);
	return error;
}

static int64_t row_offset(const struct log_row *row, enum checkpoint_kind kind)
{
	return kind == CHECKPOINT_RECOVERY_POINT ? row->recovery_point
	       : kind == CHECKPOINT_LOG_START	 ? row->log_start
	       : kind == CHECKPOINT_CLEAN_END	 ? row->clean_end
						 : row->high_watermark;
}

/* TEXT becomes the checkpoint, durably, unless it is what was written last. */
static int checkpoint_replace(struct shard *shard, const struct log_dirs *dirs, struct log_dir *dir,
	enum checkpoint_kind kind, struct str text)
{
	uint64_t *written = &dir->checkpoint_hashes[kind];
	uint64_t hash = hash_bytes(text.data, (size_t)text.size, dirs->hash_seed);
	int error;

	if (hash != 0 && hash == *written)
		return 0;
	/* What failed may have left either. */
	*written = 0;
	error = log_dir_replace(shard, dir, checkpoint_names[kind], text);
	if (error == 0)
		*written = hash;
	return error;
}

static int dir_write_checkpoint(struct shard *shard, struct log_dirs *dirs, uint32_t index,
	enum checkpoint_kind kind, const struct log_row *rows, uint32_t count)
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
			(kind == CHECKPOINT_LOG_START && !rows[i].log_start_moved) ||
			(kind == CHECKPOINT_CLEAN_END && rows[i].clean_end == 0))
			continue;
		list[filled++] = (struct checkpoint_topic_offset){.topic = rows[i].topic,
			.partition = rows[i].partition,
			.offset = row_offset(&rows[i], kind)};
	}
	struct str text = checkpoint_topic_offsets_format(&arena, list, filled);
	if (text.size >= 0)
		error = checkpoint_replace(shard, dirs, &dirs->dirs[index], kind, text);
out:
	arena_done(&arena);
	free(list);
	return error;
}

/* Without room the old file still stands: recovery reads more than it would have to. */
static bool write_fails_dir(int error)
{
	return error < 0 && error != -ENOMEM && error != -ENOSPC && error != -EMFILE &&
	       error != -ENFILE;
}

int log_dirs_write_checkpoints(struct shard *shard, struct log_dirs *dirs,
	const struct log_row *rows, uint32_t count,
	void (*failed)(void *argument, const char *folder, int error), void *argument)
{
	int first_error = 0;

	for (uint32_t i = 0; i < dirs->count; i++) {
		struct log_dir *dir = &dirs->dirs[i];
		int error = 0;

		/* This one is written in any case: a disk that has gone is found so, though nothing happens on it. */
		dir->checkpoint_hashes[CHECKPOINT_HIGH_WATERMARK] = 0;
		for (int kind = 0; kind < CHECKPOINT_COUNT && error == 0 && log_dir_is_online(dir);
			kind++)
			error = dir_write_checkpoint(shard, dirs, i, kind, rows, count);
		first_error = first_error ? first_error : error;
		if (write_fails_dir(error))
			failed(argument, dir->path, error);
	}
	return first_error;
}

void log_dirs_write_log_starts(struct shard *shard, struct log_dirs *dirs,
	const struct log_row *rows, uint32_t count, const bool *wanted, int *ret_errors,
	void (*failed)(void *argument, const char *folder, int error), void *argument)
{
	for (uint32_t i = 0; i < dirs->count; i++) {
		const struct log_dir *dir = &dirs->dirs[i];

		ret_errors[i] = 0;
		if (!wanted[i])
			continue;
		ret_errors[i] = -EIO;
		if (!log_dir_is_online(dir))
			continue;
		ret_errors[i] = dir_write_checkpoint(
			shard, dirs, i, CHECKPOINT_LOG_START, rows, count);
		if (write_fails_dir(ret_errors[i]))
			failed(argument, dir->path, ret_errors[i]);
	}
}

/* What is not listed is 0. */
static bool entry_is_listed(const struct log_dir_entry *entry)
{
	return entry->recovery_point != 0 || entry->log_start != 0 || entry->high_watermark != 0 ||
	       entry->clean_end != 0;
}

int log_dirs_forget_gone(struct shard *shard, struct log_dirs *dirs,
	void (*failed)(void *argument, const char *folder, int error), void *argument)
{
	struct log_row *rows = calloc(max_of(dirs->list_count, 1u), sizeof(*rows));
	bool lists_gone = dirs->lists_gone;
	uint32_t count = 0;
	int error = 0;

	if (!rows)
		return -ENOMEM;
	for (uint32_t i = 0; i < dirs->list_count; i++) {
		const struct log_dir_entry *entry = &dirs->list[i]->entry;

		if (!entry->is_gone)
			rows[count++] = (struct log_row){.topic = entry->topic,
				.partition = entry->partition,
				.dir = entry->dir,
				.recovery_point = entry->recovery_point,
				.log_start = entry->log_start,
				.high_watermark = entry->high_watermark,
				.clean_end = entry->clean_end,
				.log_start_moved = entry->log_start != 0};
		else
			lists_gone = lists_gone || entry_is_listed(entry);
	}
	if (lists_gone)
		error = log_dirs_write_checkpoints(shard, dirs, rows, count, failed, argument);
	free(rows);
	return error;
}
