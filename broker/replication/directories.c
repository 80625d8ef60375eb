#include "broker/replication/directories.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/visit.h"
#include "runtime/fiber.h"
#include "storage/partition_metadata.h"

/* Does the folder at PATH belong to TOPIC_ID? It is made when it isn't there. 0 when it is ours;
 * -EAGAIN while an earlier topic of the same name is still being deleted from it. */
static int folder_claim(struct shard *shard, const char *parent, const char *path,
	const struct uuid *topic_id, bool was_scanned)
{
	char metadata[4096 + sizeof("/" PARTITION_METADATA_FILE_NAME)];
	struct uuid found;
	char *text;
	size_t size;
	int error = fiber_make_folder(shard, path);

	/* The log finds the folder made and does not see to its name any more. */
	if (error == 0)
		return fiber_sync_folder(shard, parent);
	if (error != -EEXIST)
		return error;
	snprintf(metadata, sizeof(metadata), "%s/" PARTITION_METADATA_FILE_NAME, path);
	error = fiber_read_whole(shard, metadata, PARTITION_METADATA_FILE_LIMIT, &text, &size);
	/* Made before a crash and not marked yet, or renamed away this moment. */
	if (error == -ENOENT)
		return was_scanned ? 0 : -EAGAIN;
	if (error < 0)
		return error;
	error = partition_metadata_parse((struct str){text, (int32_t)size}, &found);
	free(text);
	if (error < 0)
		return was_scanned ? 0 : error;
	return uuid_equal(&found, topic_id) ? 0 : -EAGAIN;
}

int directories_partition_open(struct broker_shard *shard, struct partition *partition,
	struct log **ret_log, struct log_recovery *ret_recovery)
{
	struct log_dirs *dirs = shard->broker->log_dirs;
	const struct log_dir_entry *entry =
		log_dirs_find(dirs, partition->topic, partition->key.index);
	struct log_dir *dir;
	char name[300];

	/* The scan is of the start: a topic of the same name that was made since has another id. */
	if (entry && !uuid_is_zero(&entry->topic_id) &&
		!uuid_equal(&entry->topic_id, &partition->key.topic_id))
		entry = NULL;
	dir = entry ? log_dirs_at(dirs, entry->dir)
		    : log_dirs_place(dirs, &partition->directory_id);
	if (!dir || dir->error)
		return -EIO;
	snprintf(name, sizeof(name), "%.*s-%d", STR_ARGS(partition->topic), partition->key.index);
	char path[4096];
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir->path, name) >= sizeof(path))
		return -ENAMETOOLONG;
	int error = folder_claim(
		shard->shard, dir->path, path, &partition->key.topic_id, entry != NULL);
	if (error < 0) {
		/* What the disk refuses fails the directory, as when a log can't be opened. */
		if (error != -EAGAIN && error != -ENOMEM)
			broker_folder_failed(shard, dir->path, error);
		return error;
	}
	struct log_open ask = {
		.folder = dir->path,
		.name = name,
		.topic = partition->topic,
		.topic_id = partition->key.topic_id,
		.partition = partition->key.index,
		.config = partition->log_config,
		.clean = entry ? dir->clean : true,
		.recovery_point = entry ? entry->recovery_point : 0,
		.log_start = entry ? entry->log_start : 0,
		.high_watermark = entry ? entry->high_watermark : 0,
		.owner = partition,
	};
	return log_open(shard->log_store, &ask, ret_log, ret_recovery);
}

int directories_set_strays_aside(struct broker *broker, const struct image *image)
{
	struct broker_shard *shard = &broker->shards[SHARD_MAIN];
	uint32_t count = log_dirs_entry_count(broker->log_dirs);

	for (uint32_t i = 0; i < count; i++) {
		struct log_dir_entry *entry = log_dirs_entry_at(broker->log_dirs, i);
		const struct image_topic *topic =
			uuid_is_zero(&entry->topic_id) ? image_topic_by_name(image, entry->topic)
						       : image_topic_by_id(image, &entry->topic_id);
		const struct partition_record *partition =
			topic ? image_partition(topic, entry->partition) : NULL;
		if (partition && partition_has_replica(partition, broker->node_id))
			continue;
		int error = log_dirs_set_aside(shard->shard, broker->log_dirs, entry);
		if (error < 0)
			return error;
		log_event(&shard->logger, LOG_LOG_STRAY, log_str("topic", entry->topic),
			log_int("partition", entry->partition),
			log_uuid("topic_id", &entry->topic_id),
			log_text("directory", log_dirs_at(broker->log_dirs, entry->dir)->path));
	}
	return 0;
}

/* ---- checkpoints ---- */

/* What one shard's logs say; names live in the rows' own block, since a topic may go while the
 * files are written. */
struct shard_rows {
	struct log_checkpoint_row *rows;
	char *names;
	uint32_t count;
};

struct checkpoint_work {
	struct shard_rows *shards;
};

static int rows_collect(struct broker_shard *shard, void *argument)
{
	struct checkpoint_work *work = argument;
	struct shard_rows *mine = &work->shards[shard->index];
	struct log_dirs *dirs = shard->broker->log_dirs;
	size_t name_bytes = 0;

	map_for_each(node, &shard->partitions) name_bytes +=
		(size_t)map_entry(node, struct partition, node)->topic.size;
	mine->rows = calloc(max_of(shard->partitions.count, 1u), sizeof(*mine->rows));
	mine->names = malloc(max_of(name_bytes, (size_t)1));
	if (!mine->rows || !mine->names)
		return -ENOMEM;
	char *name = mine->names;
	map_for_each(node, &shard->partitions)
	{
		struct partition *partition = map_entry(node, struct partition, node);
		if (partition->state != PARTITION_ONLINE || partition->delete_wanted)
			continue;
		const struct log_dir *dir = log_dirs_by_path(dirs, log_folder(partition->log));
		ensure(dir);
		memcpy(name, partition->topic.data, (size_t)partition->topic.size);
		mine->rows[mine->count++] = (struct log_checkpoint_row){
			.topic = {name, partition->topic.size},
			.partition = partition->key.index,
			.dir = (uint32_t)(dir - log_dirs_at(dirs, 0)),
			.recovery_point = log_recovery_point(partition->log),
			.log_start = log_start(partition->log),
			.high_watermark = log_high_watermark(partition->log),
			.log_start_moved = log_start(partition->log) >
					   log_first_segment_offset(partition->log),
		};
		name += partition->topic.size;
	}
	return 0;
}

int directories_checkpoint(struct broker *broker)
{
	struct checkpoint_work work = {
		.shards = calloc(broker->shard_count, sizeof(struct shard_rows))};
	struct log_checkpoint_row *rows = NULL;
	uint32_t count = 0;
	int error = -ENOMEM;

	if (!work.shards)
		return error;
	error = broker_visit_shards(broker, rows_collect, &work);
	for (unsigned i = 0; i < broker->shard_count; i++)
		count += work.shards[i].count;
	if (error == 0) {
		rows = calloc(max_of(count, 1u), sizeof(*rows));
		error = rows ? 0 : -ENOMEM;
	}
	if (error == 0) {
		uint32_t filled = 0;
		for (unsigned i = 0; i < broker->shard_count; i++) {
			memcpy(rows + filled, work.shards[i].rows,
				work.shards[i].count * sizeof(*rows));
			filled += work.shards[i].count;
		}
		error = log_dirs_write_checkpoints(
			broker->shards[SHARD_MAIN].shard, broker->log_dirs, rows, count);
	}
	for (unsigned i = 0; i < broker->shard_count; i++) {
		free(work.shards[i].rows);
		free(work.shards[i].names);
	}
	free(work.shards);
	free(rows);
	return error;
}

static void checkpoint_timer_set(struct broker *broker)
{
	struct shard *shard = broker->shards[SHARD_MAIN].shard;
	/* Kafka writes the three files on three clocks; one file set at the shortest of them says
	 * no less. */
	const struct config *config = broker->options.config;
	int64_t interval_ms =
		config_long(config, SETTING_REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS);
	int64_t recovery_ms = config_int(config, SETTING_LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS);
	int64_t start_ms =
		config_int(config, SETTING_LOG_FLUSH_START_OFFSET_CHECKPOINT_INTERVAL_MS);

	interval_ms = min_of(interval_ms, recovery_ms);
	interval_ms = min_of(interval_ms, start_ms);

	timer_set(shard, &broker->checkpoint_timer,
		shard_now_ns(shard) + (uint64_t)max_of(interval_ms, (int64_t)100) * NS_PER_MS);
}

static void checkpoint_fiber(struct shard *shard, void *argument)
{
	struct broker *broker = argument;
	int error = directories_checkpoint(broker);

	if (error < 0)
		log_event(&broker->shards[SHARD_MAIN].logger, LOG_CHECKPOINT_FAILED,
			log_errno("error", error));
	broker->checkpoint_runs = false;
	if (broker->checkpoint_waiter)
		fiber_wake(shard, broker->checkpoint_waiter);
	else if (!broker->checkpoint_stopped)
		checkpoint_timer_set(broker);
}

static void checkpoint_due(struct shard *shard, struct timer *timer)
{
	struct broker *broker = container_of(timer, struct broker, checkpoint_timer);

	broker->checkpoint_runs = true;
	if (fiber_start(shard, checkpoint_fiber, broker) < 0) {
		broker->checkpoint_runs = false;
		checkpoint_timer_set(broker);
	}
}

void directories_checkpoint_start(struct broker *broker)
{
	broker->checkpoint_timer.fire = checkpoint_due;
	checkpoint_timer_set(broker);
}

void directories_checkpoint_stop(struct broker *broker)
{
	struct shard *shard = broker->shards[SHARD_MAIN].shard;

	broker->checkpoint_stopped = true;
	timer_stop(shard, &broker->checkpoint_timer);
	while (broker->checkpoint_runs) {
		broker->checkpoint_waiter = fiber_current(shard);
		fiber_wait(shard);
	}
	broker->checkpoint_waiter = NULL;
}
