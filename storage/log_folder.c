/*
 * What lies in a log's folder: whose it is, what a stop in the middle of a deletion or of
 * compaction left behind, and the segments. The listing is read once, and again when leftovers
 * changed it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/log_opening.h"
#include "storage/partition_metadata.h"

/* Whose folder it is: 0 and the id, zero when nothing says so; or a negative errno. */
static int folder_topic_id(struct log *log, const char *path, struct uuid *ret_id)
{
	char *text;
	size_t size;
	int error = fiber_read_whole(log->shard, path, PARTITION_METADATA_FILE_LIMIT, &text, &size);

	*ret_id = UUID_ZERO;
	if (error)
		return error == -ENOENT ? 0 : error;
	/* One that was torn before it was durable had no records behind it. */
	if (partition_metadata_parse((struct str){text, (int32_t)size}, ret_id) < 0)
		*ret_id = UUID_ZERO;
	free(text);
	return 0;
}

int opening_claim(struct opening *opening)
{
	char text[PARTITION_METADATA_TEXT_SIZE + 1], path[SEGMENT_PATH_SIZE_MAX];
	const struct uuid *topic_id = &opening->ask->topic_id;
	struct log *log = opening->log;
	struct uuid found = UUID_ZERO;
	int error = opening->ask->is_claimed ? opening_list(opening) : -ENOENT;

	if (error != -ENOENT)
		return error;
	error = fiber_make_folder(log->shard, log->path);
	opening->is_new = error == 0;
	if (opening->is_new)
		log_names_unsynced(log);
	else if (error == -EEXIST)
		error = opening_list(opening);
	if (error || uuid_is_zero(topic_id))
		return error;
	if ((size_t)snprintf(path, sizeof(path), "%s/" PARTITION_METADATA_FILE_NAME, log->path) >=
		sizeof(path))
		return -ENAMETOOLONG;
	if (!opening->is_new && opening_has_name(opening, PARTITION_METADATA_FILE_NAME))
		error = folder_topic_id(log, path, &found);
	if (error || uuid_equal(&found, topic_id))
		return error;
	if (!uuid_is_zero(&found))
		return -EEXIST;
	partition_metadata_format(topic_id, text);
	log_names_unsynced(log);
	return fiber_replace_unsynced(log->shard, path, text, strlen(text));
}

int opening_list(struct opening *opening)
{
	struct path_listing *listing;
	int error = fiber_list(opening->log->shard, opening->log->path, &listing);

	if (error)
		return error;
	path_listing_free(opening->listing);
	opening->listing = listing;
	return 0;
}

static int leftover_remove(struct opening *opening, const char *name)
{
	char path[SEGMENT_PATH_SIZE_MAX];
	int error;

	snprintf(path, sizeof(path), "%s/%s", opening->log->path, name);
	error = fiber_unlink(opening->log->shard, path);
	opening->recovery.leftovers_removed++;
	return error == -ENOENT ? 0 : error;
}

/* Metadata snapshots and their leavings belong to whoever writes them. */
static bool ends_with(const char *name, const char *ending)
{
	size_t size = strlen(name), ending_size = strlen(ending);

	return size >= ending_size && strcmp(name + size - ending_size, ending) == 0;
}

/* Behind the last whole batch of a .swap file, which a cleaner had finished and synced. */
static int swap_end(struct opening *opening, int64_t base_offset, int64_t *ret_end)
{
	struct log *log = opening->log;
	struct segment *segment = segment_new(log, base_offset);
	struct segment_window window = {0};
	struct batch_header header;
	uint64_t position = 0, size = 0;
	int error;

	if (!segment)
		return -ENOMEM;
	segment->state = LOG_FILE_SWAP;
	*ret_end = base_offset;
	error = segment_open_file(segment);
	if (!error)
		error = fiber_file_size(log->shard, segment->file, &size);
	while (!error) {
		error = segment_header(segment, &window, position, size, &header);
		if (error <= 0)
			break;
		*ret_end = header.last_offset + 1;
		position += (uint32_t)header.size;
		error = 0;
	}
	segment_unref(segment);
	return error == BATCH_ERROR_CORRUPT ? 0 : error;
}

/*
 * What a stop in the middle of a deletion or of compaction left: .deleted goes; a .cleaned file is
 * unfinished and goes, with .swap files at or behind it; other .swap files are finished and take
 * the place of what they cover.
 */
int opening_settle(struct opening *opening)
{
	struct log *log = opening->log;
	int64_t cleaned_from = INT64_MAX, swap_from = INT64_MAX, swap_to = -1, end;
	char from[SEGMENT_PATH_SIZE_MAX], to[SEGMENT_PATH_SIZE_MAX];
	struct log_file_name name;
	bool changed = false;
	int error = 0;

	for (uint32_t i = 0; i < opening->listing->count; i++) {
		name = log_file_name_parse(opening->listing->entries[i].name);
		if (name.state == LOG_FILE_CLEANED && name.base_offset >= 0)
			cleaned_from = min_of(cleaned_from, name.base_offset);
	}
	for (uint32_t i = 0; !error && i < opening->listing->count; i++) {
		const char *file = opening->listing->entries[i].name;

		name = log_file_name_parse(file);
		if (opening->listing->entries[i].is_folder)
			continue;
		if (name.state == LOG_FILE_SWAP && name.base_offset >= 0 &&
			name.base_offset < cleaned_from) {
			if (name.kind == LOG_FILE_DATA) {
				error = swap_end(opening, name.base_offset, &end);
				swap_from = min_of(swap_from, name.base_offset);
				swap_to = max_of(swap_to, end);
			}
			changed = true;
			continue;
		}
		if ((name.state == LOG_FILE_DELETED && !ends_with(file, ".checkpoint.deleted")) ||
			name.state == LOG_FILE_CLEANED || name.state == LOG_FILE_SWAP ||
			(name.state == LOG_FILE_TEMPORARY && name.base_offset >= 0) ||
			strcmp(file, "leader-epoch-checkpoint.tmp") == 0 ||
			strcmp(file, "partition.metadata.tmp") == 0) {
			error = leftover_remove(opening, file);
			changed = true;
		}
	}
	for (uint32_t i = 0; !error && i < opening->listing->count; i++) {
		const char *file = opening->listing->entries[i].name;

		name = log_file_name_parse(file);
		if (name.base_offset >= swap_from && name.base_offset < swap_to &&
			name.state == LOG_FILE_LIVE && name.kind != LOG_FILE_SNAPSHOT)
			error = leftover_remove(opening, file);
	}
	/* What was covered must not come back beside what covers it. */
	if (!error && swap_to >= 0)
		error = fiber_sync_folder(log->shard, log->path);
	for (uint32_t i = 0; !error && i < opening->listing->count; i++) {
		name = log_file_name_parse(opening->listing->entries[i].name);
		if (name.state != LOG_FILE_SWAP || name.base_offset < 0 ||
			name.base_offset >= cleaned_from)
			continue;
		snprintf(from, sizeof(from), "%s/%s", log->path, opening->listing->entries[i].name);
		snprintf(to, sizeof(to), "%.*s", (int)(strlen(from) - strlen(".swap")), from);
		error = fiber_rename(log->shard, from, to);
	}
	if (!error && changed)
		error = opening_list(opening);
	return error;
}

bool opening_has_name(const struct opening *opening, const char *name)
{
	for (uint32_t low = 0, high = opening->listing->count; low < high;) {
		uint32_t middle = low + (high - low) / 2;
		int order = strcmp(opening->listing->entries[middle].name, name);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

bool opening_has(const struct opening *opening, int64_t base_offset, enum log_file_kind kind)
{
	char name[NAME_FILE_SIZE_MAX];

	log_file_name_print(name, base_offset, kind, LOG_FILE_LIVE);
	return opening_has_name(opening, name);
}

int opening_segments_find(struct opening *opening)
{
	struct log *log = opening->log;
	char path[SEGMENT_PATH_SIZE_MAX];
	struct segment *segment;
	struct log_file_name name;
	uint64_t size;
	int64_t modified_ms;
	bool is_folder;
	int error = 0;

	for (uint32_t i = 0; !error && i < opening->listing->count; i++) {
		const char *file = opening->listing->entries[i].name;

		name = log_file_name_parse(file);
		if (opening->listing->entries[i].is_folder || name.base_offset < 0 ||
			name.state != LOG_FILE_LIVE) {
			opening->in_doubt |= strcmp(file, LOG_DOUBT_NAME) == 0;
			if (strcmp(file, "partition.metadata") != 0 &&
				strcmp(file, "leader-epoch-checkpoint") != 0 &&
				strcmp(file, "quorum-state") != 0 &&
				strcmp(file, LOG_DOUBT_NAME) != 0 &&
				!ends_with(file, ".checkpoint"))
				opening->recovery.files_skipped++;
			continue;
		}
		switch (name.kind) {
		case LOG_FILE_DATA:
			snprintf(path, sizeof(path), "%s/%s", log->path, file);
			error = fiber_path_status(
				log->shard, path, &size, &modified_ms, &is_folder);
			if (error)
				break;
			error = -EFBIG;
			if (size > INT32_MAX)
				break;
			error = -ENOMEM;
			segment = segment_new(log, name.base_offset);
			if (!segment)
				break;
			segment->tail.size = (uint32_t)size;
			segment->modified_ms = modified_ms;
			segment->synced = true;
			segment->aborted_loaded = !opening_has(
				opening, name.base_offset, LOG_FILE_TRANSACTION_INDEX);
			error = log_segment_add(log, segment);
			if (error)
				segment_unref(segment);
			break;
		case LOG_FILE_SNAPSHOT:
			error = log_snapshot_note(log, name.base_offset);
			break;
		case LOG_FILE_OFFSET_INDEX:
		case LOG_FILE_TIME_INDEX:
		case LOG_FILE_TRANSACTION_INDEX:
			if (!opening_has(opening, name.base_offset, LOG_FILE_DATA))
				error = leftover_remove(opening, file);
			break;
		case LOG_FILE_OTHER:
			break;
		}
	}
	return error;
}
