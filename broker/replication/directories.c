#include "broker/replication/directories.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/replication/directory_reports.h"
#include "runtime/fiber.h"

/* ---- opening ---- */

#define OPEN_RETRY_NS (100 * NS_PER_MS)

int directories_partition_open(struct broker_shard *shard, struct partition *partition,
	struct log **ret_log, struct log_recovery *ret_recovery)
{
	struct log_dirs *dirs = shard->broker->log_dirs;
	const struct log_dir_entry *entry = partition->entry;
	struct log_dir *dir = partition->dir;

	/* It has a place already when it is tried again. */
	if (!dir) {
		entry = log_dirs_take(dirs, partition->topic, partition->key.index);
		dir = entry ? log_dirs_at(dirs, entry->dir)
			    : log_dirs_place(dirs, &partition->directory_id);
	}
	if (!dir || !log_dir_is_online(dir))
		return -ENODEV;
	partition->entry = entry;
	partition->dir = dir;
	partition->is_listed = entry != NULL;
	struct log_open ask = {
		.folder = dir->path,
		.name = partition->folder.data,
		.topic = partition->topic,
		.topic_id = partition->key.topic_id,
		.is_claimed = entry && uuid_equal(&entry->topic_id, &partition->key.topic_id),
		.partition = partition->key.index,
		.config = partition->log_config,
		/* One that is new may be found half made by a second attempt, with nothing of it on the disk for sure. */
		.clean = entry && dir->clean,
		.recovery_point = entry ? entry->recovery_point : 0,
		.log_start = entry ? entry->log_start : 0,
		.high_watermark = entry ? entry->high_watermark : 0,
		.clean_end = entry ? entry->clean_end : 0,
		.no_room = &dir->no_room,
		.owner = partition,
	};
	for (;;) {
		int error = log_open(shard->log_store, &ask, ret_log, ret_recovery);

		if ((error != -EMFILE && error != -ENFILE) || partition->delete_wanted ||
			shard->draining || shard->stopping)
			return error;
		log_event(&shard->logger, LOG_FILES_SHORT, log_text("directory", dir->path),
			log_str("topic", partition->topic),
			log_int("partition", partition->key.index), log_errno("error", error));
		fiber_sleep(shard->shard, OPEN_RETRY_NS);
	}
}

/* ---- the start ---- */

void directories_say_offline(struct broker *broker)
{
	for (uint32_t i = 0; i < log_dirs_count(broker->log_dirs); i++) {
		const struct log_dir *dir = log_dirs_at(broker->log_dirs, i);

		if (!log_dir_is_online(dir))
			log_event(&broker->shards[SHARD_MAIN].logger, LOG_LOG_DIR_FAILED,
				log_text("directory", dir->path), log_errno("error", dir->error));
	}
}

/* Whose folder it is; NULL when the image knows no such replica here. As Kafka, a folder that does
 * not say whose it is is nobody's. */
static const struct partition_record *entry_owner(const struct broker *broker,
	const struct image *image, const struct log_dir_entry *entry)
{
	const struct image_topic *topic = image_topic_by_id(image, &entry->topic_id);
	const struct partition_record *partition =
		topic && str_equal(topic->name, entry->topic)
			? image_partition(topic, entry->partition)
			: NULL;

	return partition && partition_has_replica(partition, broker->node_id) ? partition : NULL;
}

static int stray_set_aside(struct broker *broker, struct log_dir_entry *entry)
{
	struct broker_shard *shard = &broker->shards[SHARD_MAIN];
	int error = log_dirs_set_aside(shard->shard, broker->log_dirs, entry);

	if (error != 0)
		return min_of(error, 0);
	log_event(&shard->logger, LOG_LOG_STRAY, log_str("topic", entry->topic),
		log_int("partition", entry->partition), log_uuid("topic_id", &entry->topic_id),
		log_text("directory", log_dirs_at(broker->log_dirs, entry->dir)->path));
	return 0;
}

static bool directories_all_online(struct log_dirs *dirs)
{
	for (uint32_t i = 0; i < log_dirs_count(dirs); i++)
		if (!log_dir_is_online(log_dirs_at(dirs, i)))
			return false;
	return true;
}

/*
 * A replica was moving to ENTRY's directory when the broker stopped. Kafka finishes the move when
 * the metadata names that directory. Where there is nothing else it would begin an empty log and cut
 * the copy back to that; here the copy is taken, unless the replica may be in a directory that is
 * not online: the copy may be an unfinished one.
 */
static int future_settle(struct broker *broker, struct log_dir_entry *entry,
	const struct partition_record *owner)
{
	struct broker_shard *shard = &broker->shards[SHARD_MAIN];
	struct log_dirs *dirs = broker->log_dirs;
	const struct log_dir *dir = log_dirs_at(dirs, entry->dir);
	struct uuid named = partition_directory_of(owner, broker->node_id);
	int error;

	if (!uuid_equal(&named, &dir->id) &&
		(log_dirs_current(dirs, entry->topic, entry->partition) ||
			!directories_all_online(dirs)))
		return 0;
	error = log_dirs_promote(shard->shard, dirs, entry);
	if (error < 0)
		return error;
	log_event(&shard->logger, LOG_LOG_MOVE_FINISHED, log_str("topic", entry->topic),
		log_int("partition", entry->partition), log_text("directory", dir->path));
	return 0;
}

int directories_settle(struct broker *broker, const struct image *image)
{
	struct broker_shard *shard = &broker->shards[SHARD_MAIN];
	struct log_dirs *dirs = broker->log_dirs;

	/* Strays first: what is left of a name is then one topic's. */
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < log_dirs_entry_count(dirs); i++) {
			struct log_dir_entry *entry = log_dirs_entry_at(dirs, i);
			struct log_dir *dir = log_dirs_at(dirs, entry->dir);
			const struct partition_record *owner = entry_owner(broker, image, entry);
			int error = 0;

			if (entry->is_gone || !log_dir_is_online(dir))
				continue;
			if (pass == 0 && !owner)
				error = stray_set_aside(broker, entry);
			else if (pass == 1 && owner && entry->is_future)
				error = future_settle(broker, entry, owner);
			if (error < 0 && dir == log_dirs_metadata(dirs))
				return error;
			if (error < 0)
				directory_failed(shard, dir->path, error);
		}
	}
	int error = log_dirs_forget_gone(shard->shard, dirs, directory_failed, shard);
	if (error < 0)
		log_event(&shard->logger, LOG_CHECKPOINT_FAILED, log_errno("error", error));
	return 0;
}

/* ---- failures ---- */

struct failure_message {
	struct task task;
	struct log_dir *dir;
	int error;
};

/* As Kafka: without any directory, or without the metadata's, there is nothing left to serve. */
static bool is_served_still(struct log_dirs *dirs)
{
	bool any = false;

	for (uint32_t i = 0; i < log_dirs_count(dirs); i++)
		any = any || log_dir_is_online(log_dirs_at(dirs, i));
	return any && log_dir_is_online(log_dirs_metadata(dirs));
}

static void failure_run(struct shard *shard, struct task *task)
{
	struct failure_message *message = container_of(task, struct failure_message, task);
	struct broker_shard *here = broker_shard_of(shard);
	struct log_dir *dir = message->dir;

	log_store_folder_fail(here->log_store, dir->path);
	partitions_directory_failed(here, dir);
	if (here->index == SHARD_MAIN && log_dir_fail(dir, message->error)) {
		log_event(&here->logger, LOG_LOG_DIR_FAILED, log_text("directory", dir->path),
			log_errno("error", message->error));
		if (is_served_still(here->broker->log_dirs))
			directory_reports_changed(here->broker);
		else
			machine_exit(shard, EXIT_FAILURE);
	}
	free(message);
}

void directory_failed(void *argument, const char *folder, int error)
{
	struct broker_shard *shard = argument;
	struct broker *broker = shard->broker;
	struct log_dir *dir = log_dirs_by_path(broker->log_dirs, folder);

	ensure(dir);
	for (unsigned i = 0; i < broker->shard_count; i++) {
		struct failure_message *message = malloc(sizeof(*message));
		ensure(message);
		*message = (struct failure_message){
			.task.run = failure_run, .dir = dir, .error = error};
		shard_send(shard->shard, i, &message->task);
	}
}

/* ---- cordons ---- */

bool directories_cordon(struct broker *broker)
{
	struct str_list names = config_list(broker->config, SETTING_CORDONED_LOG_DIRS);
	bool changed = false;

	for (uint32_t i = 0; i < log_dirs_count(broker->log_dirs); i++) {
		struct log_dir *dir = log_dirs_at(broker->log_dirs, i);
		bool cordoned = false;

		for (int32_t j = 0; j < names.count; j++)
			cordoned = cordoned || str_equal(names.items[j], STR("*")) ||
				   str_equal(names.items[j], str_from(dir->path));
		changed = changed || cordoned != log_dir_is_cordoned(dir);
		log_dir_cordon(dir, cordoned);
	}
	return changed;
}

void directories_describe(struct broker *broker, struct controller_directory *ret_directories)
{
	for (uint32_t i = 0; i < log_dirs_count(broker->log_dirs); i++) {
		const struct log_dir *dir = log_dirs_at(broker->log_dirs, i);

		ret_directories[i] = (struct controller_directory){.id = dir->id,
			.is_online = log_dir_is_online(dir),
			.is_cordoned = log_dir_is_cordoned(dir)};
	}
}
