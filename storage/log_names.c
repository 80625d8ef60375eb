/*
 * When the names of a new log become durable. Kafka syncs what it makes at once; at ten thousand
 * partitions that is tens of thousands of journal commits which nobody waits for. Here it is done
 * with the first sync of what lies in the log; the folder that holds all the logs' is synced once for
 * all that were made in it since.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/log_internal.h"
#include "storage/partition_metadata.h"

/* A folder that logs are made in. Of the names that it got, in their order, the first SYNCED are
 * durable. */
struct log_parent {
	struct list_node node;
	uint64_t made, synced;
	char path[];
};

static struct log_parent *parent_find(struct log *log)
{
	struct log_store *store = log->store;
	struct log_parent *parent;

	list_for_each (node, &store->parents) {
		parent = container_of(node, struct log_parent, node);
		if (strcmp(parent->path, log->folder) == 0)
			return parent;
	}
	parent = calloc(1, sizeof(*parent) + strlen(log->folder) + 1);
	if (!parent)
		return NULL;
	strcpy(parent->path, log->folder);
	list_push_back(&store->parents, &parent->node);
	return parent;
}

void log_parents_free(struct log_store *store)
{
	struct list_node *node;

	while ((node = list_pop_front(&store->parents)))
		free(container_of(node, struct log_parent, node));
}

void log_names_unsynced(struct log *log)
{
	struct log_parent *parent = parent_find(log);

	log->names_unsynced = true;
	/* Without memory to count, it is synced for this log alone. */
	log->made_at = parent ? ++parent->made : UINT64_MAX;
}

/*
 * A process before this one may have been told that the file could not be written, and since then the
 * page cache shows what no sync will write: the same bytes are written again, in their place, which a
 * full disk has room for.
 */
static int owner_rewrite(struct log *log, const char *path, struct file *file)
{
	char *text;
	size_t size;
	int error = fiber_read_whole(log->shard, path, PARTITION_METADATA_FILE_LIMIT, &text, &size);

	if (error)
		return error;
	error = fiber_write(log->shard, file, text, size, 0);
	free(text);
	return error;
}

/* The file that says whose the log is, open and ready to be synced; NULL where there is none. */
static int owner_open(struct log *log, struct file **ret_file)
{
	char path[SEGMENT_PATH_SIZE_MAX];
	struct file *file;
	int error;

	*ret_file = NULL;
	snprintf(path, sizeof(path), "%s/" PARTITION_METADATA_FILE_NAME, log->path);
	error = fiber_open(log->shard, path, FILE_READ | FILE_WRITE, &file);
	if (error)
		return error == -ENOENT ? 0 : error;
	if (log->owner_in_doubt)
		error = owner_rewrite(log, path, file);
	if (error)
		file_unref(file);
	else
		*ret_file = file;
	return error;
}

/*
 * In any order: nothing that lies in the log counts before all of them are on the disk. With END, the file
 * that it ends with, its records go along.
 */
static int names_sync(struct log *log, struct file *owner, struct file *end)
{
	struct log_parent *parent = parent_find(log);
	uint64_t made = parent ? parent->made : 0, generation = log->generation;
	bool parent_is_synced = parent && parent->synced >= log->made_at;
	struct file *files[] = {owner, end};
	struct sync_ask asks[4] = {{.folder = log->path}};
	int64_t readable_end = log->readable_end;
	size_t count = 1;
	int error;

	for (size_t i = 0; i < array_length(files); i++)
		if (files[i])
			asks[count++].file = files[i];
	if (!parent_is_synced)
		asks[count++].folder = log->folder;
	error = fiber_sync_all(log->shard, asks, count);
	for (size_t i = 0; i < count; i++)
		if (asks[i].file && asks[i].error) {
			log_sync_failed(log, asks[i].error);
			return log->sync_error;
		}
	if (error)
		return error;
	if (parent && !parent_is_synced)
		parent->synced = max_of(parent->synced, made);
	if (end && log->generation == generation)
		log->durable_end = max_of(log->durable_end, readable_end);
	return 0;
}

static int names_sync_with(struct log *log, struct file *end)
{
	struct file *owner;
	int error;

	while (log->names_syncing)
		log_drain_wait(log);
	if (!log->names_unsynced)
		return 0;
	log->names_syncing = true;
	error = owner_open(log, &owner);
	if (!error)
		error = names_sync(log, owner, end);
	if (!error)
		log->names_unsynced = log->owner_in_doubt = false;
	file_unref(owner);
	log->names_syncing = false;
	log_drain_wake(log);
	return error;
}

int log_names_sync(struct log *log)
{
	return names_sync_with(log, NULL);
}

int log_names_sync_and_end(struct log *log)
{
	struct file *end = log_sync_end_file(log);
	int error = names_sync_with(log, end);

	file_unref(end);
	return error;
}
