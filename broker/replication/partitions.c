/*
 * The partitions of one shard: opened, changed and deleted as the metadata says.
 *
 *	     the image names it           its log is open
 *	(none) ---------------> OPENING ------------------> ONLINE --(its directory fails)--> OFFLINE
 *	                         |  |  \--(it cannot be opened)----------------------------> OFFLINE
 *	                         |  |                 (for want of room: OPENING again when there is some)
 *	                         |  \-----(its directory is not online)--------------------> ABSENT
 *	                         |                             |                               |
 *	                         +------------(gone from the image)----------------------------+
 *	                                             |
 *	                                             v
 *	                                         DELETING --> (none)
 *
 * Logs are opened and deleted by a few fibers a shard that take partitions off a queue; one that
 * leaves the image while its log is being opened or used is deleted when that is over. A topic that
 * is deleted and made again has another id, so its partitions are others; but their folders have
 * the same names. So each folder has one owner, and a partition that comes later is its heir: its
 * log is opened when the owner is gone. Where a checkpoint may name the deleted log, which a start
 * after a crash would believe of the heir's, the owner keeps the name until the checkpoints were
 * written without it (DELETING --> LEAVING --> (none)); an heir asks for that at once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/replication/checkpoints.h"
#include "broker/replication/directories.h"
#include "broker/replication/directory_reports.h"
#include "broker/replication/partition.h"
#include "broker/topic_settings.h"
#include "runtime/fiber.h"
#include "storage/log_dirs.h"

enum {
	PARTITION_FIBERS_MAX = 16, /* opening or deleting logs at a time, on one shard */
	FORGET_STEP = 1000,	   /* partitions that are freed in one step */
};

/* ---- work on logs, in fibers ---- */

static void partitions_fiber(struct shard *shard, void *argument);

static void partition_work_queue(struct partition *partition)
{
	struct broker_shard *shard = partition->shard;

	if (partition->busy || list_node_is_linked(&partition->work))
		return;
	list_push_back(&shard->partition_work, &partition->work);
	/* Each has a handful of files open. */
	unsigned fibers_max = min_of((unsigned)PARTITION_FIBERS_MAX,
		max_of(files_reserved(shard->shard) / (16 * shard->broker->shard_count), 1u));
	if (shard->partition_fibers < fibers_max &&
		fiber_start(shard->shard, partitions_fiber, shard) == 0)
		shard->partition_fibers++;
	/* Without memory for a first fiber nothing could ever be opened. */
	ensure(shard->partition_fibers > 0);
}

void partition_use(struct partition *partition)
{
	partition->users++;
}

void partition_unuse(struct partition *partition)
{
	ensure(partition->users > 0);
	if (--partition->users == 0 && partition->delete_wanted)
		partition_work_queue(partition);
}

/* ---- folders ---- */

/* PARTITION becomes the owner of its folder, or an heir of who is. */
static void folder_claim(struct partition *partition)
{
	struct map *folders = &partition->shard->folders;
	struct str folder = partition->folder;
	struct partition *owner = map_find_entry(
		folders, folder.data, (size_t)folder.size, struct partition, folder_node);

	if (owner) {
		list_push_back(&owner->heirs, &partition->heir_node);
		if (list_node_is_linked(&owner->leaving))
			checkpoints_want(partition->shard);
	} else {
		map_insert(folders, &partition->folder_node, folder.data, (size_t)folder.size);
	}
}

static bool folder_is_owned(const struct partition *partition)
{
	return map_node_is_linked(&partition->folder_node);
}

/* The first heir takes over. */
static void folder_release(struct partition *partition)
{
	struct list_node *node;

	if (!folder_is_owned(partition)) {
		list_remove(&partition->heir_node);
		return;
	}
	map_remove(&partition->shard->folders, &partition->folder_node);
	node = list_pop_front(&partition->heirs);
	if (!node)
		return;
	struct partition *heir = container_of(node, struct partition, heir_node);
	folder_claim(heir);
	list_append_all(&heir->heirs, &partition->heirs);
	if (!partition->shard->stopping)
		partition_work_queue(heir);
}

/* ---- a partition's life ---- */

static void partition_free(struct partition *partition)
{
	ensure(partition->users == 0 && !partition->log);
	ensure(list_is_empty(&partition->waiting) && list_is_empty(&partition->watchers));
	folder_release(partition);
	if (map_node_is_linked(&partition->node))
		map_remove(&partition->shard->partitions, &partition->node);
	list_remove(&partition->stop_node);
	list_remove(&partition->leaving);
	free(partition);
}

/* Its log is gone. It keeps its folder's name as long as a checkpoint may say something of that. */
static void partition_leave(struct partition *partition)
{
	struct broker_shard *shard = partition->shard;

	if (!partition->is_listed || !folder_is_owned(partition) ||
		!log_dir_is_online(partition->dir)) {
		partition_free(partition);
		return;
	}
	map_remove(&shard->partitions, &partition->node);
	list_push_back(&shard->leaving, &partition->leaving);
	if (!list_is_empty(&partition->heirs))
		checkpoints_want(shard);
}

void partitions_forget_begin(struct broker_shard *shard)
{
	list_append_all(&shard->forgotten, &shard->leaving);
}

void partitions_forget_end(struct broker_shard *shard, bool written)
{
	struct list_node *node;

	if (!written) {
		list_append_all(&shard->leaving, &shard->forgotten);
		return;
	}
	for (uint32_t i = 1; (node = list_first(&shard->forgotten)); i++) {
		partition_free(container_of(node, struct partition, leaving));
		if (i % FORGET_STEP == 0)
			fiber_yield(shard->shard);
	}
}

static void partition_log_open(struct partition *partition)
{
	struct broker_shard *shard = partition->shard;
	struct log_recovery recovery = {0};
	int error = directories_partition_open(shard, partition, &partition->log, &recovery);

	if (error == -ENOSPC) {
		/* The flag before the news, which may bring the room at once. */
		partition->state = PARTITION_OFFLINE;
		partition->awaits_room = true;
		disk_room_lost(shard, partition->dir->path);
		return;
	}
	if (error < 0) {
		partition->state =
			error == -ENODEV ? PARTITION_ABSENT : PARTITION_OFFLINE;
		log_event(&shard->logger, LOG_PARTITION_OFFLINE,
			log_str("topic", partition->topic),
			log_int("partition", partition->key.index),
			log_text("directory", partition->dir ? partition->dir->path : "not online"),
			log_errno("error", error));
		/* What lies there is another topic's: not this partition's to delete. */
		if (error == -EEXIST) {
			log_dirs_leave(partition->dir);
			partition->dir = NULL;
		}
		return;
	}
	if (recovery.dropped_bytes > 0)
		log_event(&shard->logger, LOG_LOG_TRUNCATED, log_str("topic", partition->topic),
			log_int("partition", partition->key.index),
			log_int("dropped_bytes", recovery.dropped_bytes),
			log_int("from_offset", recovery.dropped_from_offset),
			log_text("reason", recovery.reason));
	partition->state = PARTITION_ONLINE;
	/* They may have changed while it was opened. */
	log_config_set(partition->log, &partition->log_config);
	if (log_latest_epoch(partition->log) < partition->leader_epoch)
		log_epoch_assign(partition->log, partition->leader_epoch, log_end(partition->log));
	/* Alone in its in-sync set, all that is readable is committed. */
	if (partition->isr_count <= 1)
		log_high_watermark_set(partition->log, log_readable_end(partition->log));
	directory_report_partition(partition);
}

/* Its log could not be opened, or was not before its topic was deleted. What lies in its folder goes
 * all the same: the next topic of that name needs the place. */
static int partition_folder_delete(struct partition *partition)
{
	struct broker_shard *shard = partition->shard;

	if (!folder_is_owned(partition))
		return 0; /* somebody else's */
	if (!partition->dir) {
		const struct log_dir_entry *entry = log_dirs_take(
			shard->broker->log_dirs, partition->topic, partition->key.index);
		if (!entry)
			return 0;
		partition->dir = log_dirs_at(shard->broker->log_dirs, entry->dir);
	}
	if (!log_dir_is_online(partition->dir))
		return 0;
	return log_delete_unopened(shard->log_store, partition->dir->path, partition->topic,
		partition->key.index, partition->log_config.file_delete_delay_ms);
}

static void partition_log_delete(struct partition *partition)
{
	struct log *log = partition->log;
	/* In a directory that had failed it stays, and is set aside when that is back. */
	bool was_usable = !log || log_is_usable(log);
	int error;

	partition->log = NULL;
	error = log ? log_delete(log) : partition_folder_delete(partition);
	if (partition->dir)
		log_dirs_leave(partition->dir);
	if (error < 0 && was_usable)
		log_event(&partition->shard->logger, LOG_LOG_DIR_FAILED,
			log_str("topic", partition->topic),
			log_int("partition", partition->key.index), log_errno("error", error));
}

/* One piece of work on a partition; it may be gone afterwards. */
static void partition_work_run(struct partition *partition)
{
	partition->busy = true;
	if (partition->state == PARTITION_OPENING && !partition->delete_wanted) {
		partition_log_open(partition);
		parts_partition_ready(partition);
	}
	if (partition->delete_wanted) {
		partition->state = PARTITION_DELETING;
		parts_partition_ready(partition);
		partition_changed(partition);
		if (partition->users == 0) {
			partition_log_delete(partition);
			partition_leave(partition);
			return;
		}
		/* The last user queues it again. */
	}
	partition->busy = false;
}

static void partitions_fiber(struct shard *shard, void *argument)
{
	struct broker_shard *here = argument;
	struct list_node *node;

	fiber_is_chore(shard, true);
	while ((node = list_pop_front(&here->partition_work)))
		partition_work_run(container_of(node, struct partition, work));
	here->partition_fibers--;
	if (here->partition_fibers == 0 && here->partition_waiter)
		fiber_wake(shard, here->partition_waiter);
}

void partitions_settle(struct broker_shard *shard)
{
	while (shard->partition_fibers > 0) {
		shard->partition_waiter = fiber_current(shard->shard);
		fiber_wait(shard->shard);
	}
	shard->partition_waiter = NULL;
}

/* ---- what the metadata says ---- */

static struct partition *partition_new(
	struct broker_shard *shard, const struct image_topic *topic, int32_t index)
{
	size_t folder_size = (size_t)topic->name.size + sizeof("-2147483647");
	struct partition *partition = calloc(1, sizeof(*partition) + folder_size);

	/* Metadata that this shard cannot follow would make it answer wrongly for ever. */
	ensure(partition);
	char *folder = (char *)(partition + 1);
	int size = snprintf(folder, folder_size, "%.*s-%d", STR_ARGS(topic->name), index);
	partition->key = partition_key(&topic->id, index);
	partition->shard = shard;
	partition->folder = (struct str){folder, size};
	partition->topic = (struct str){folder, topic->name.size};
	partition->state = PARTITION_OPENING;
	list_init(&partition->heirs);
	list_init(&partition->waiting);
	list_init(&partition->watchers);
	map_insert(&shard->partitions, &partition->node, &partition->key, sizeof(partition->key));
	folder_claim(partition);
	return partition;
}

static void partition_settings_set(struct partition *partition, const struct topic_config *config)
{
	partition->min_isr = config->min_insync_replicas;
	log_config_from_topic(config, &partition->log_config);
	if (partition->log)
		log_config_set(partition->log, &partition->log_config);
}

static void partition_record_set(struct partition *partition, const struct partition_record *record)
{
	bool new_epoch = partition->leader_epoch != record->leader_epoch;

	partition->leader = record->leader;
	partition->leader_epoch = record->leader_epoch;
	partition->partition_epoch = record->partition_epoch;
	partition->isr_count = record->isr_count;
	partition->replica_count = record->replicas_count;
	partition->directory_id = partition_directory_of(record, partition->shard->broker->node_id);
	if (new_epoch && partition->log) {
		if (log_latest_epoch(partition->log) < partition->leader_epoch)
			log_epoch_assign(
				partition->log, partition->leader_epoch, log_end(partition->log));
		partition_changed(partition);
	}
}

/* The partitions of one topic whose home is here and that have a replica on this broker. */
static void topic_update(
	struct broker_shard *shard, const struct image *image, const struct image_topic *topic)
{
	struct topic_config config;
	bool config_made = false;
	uint32_t count = image_partition_count(topic);

	for (uint32_t i = 0; i < count; i++) {
		const struct partition_record *record = image_partition_at(topic, i);
		if (partition_home(shard->broker->shard_count, topic->name,
			    record->partition_id) != shard->index ||
			!partition_has_replica(record, shard->broker->node_id))
			continue;
		if (!config_made) {
			topic_config_of_image(shard->config, image, topic->name, &config);
			config_made = true;
		}
		struct partition *partition =
			partition_find(shard, &topic->id, record->partition_id);
		bool is_new = !partition;
		if (is_new)
			partition = partition_new(shard, topic, record->partition_id);
		partition_record_set(partition, record);
		partition_settings_set(partition, &config);
		if (!is_new)
			directory_report_partition(partition);
		else if (folder_is_owned(partition))
			partition_work_queue(partition);
	}
}

static void topic_remove(struct broker_shard *shard, const struct image_topic *topic)
{
	uint32_t count = image_partition_count(topic);

	for (uint32_t i = 0; i < count; i++) {
		struct partition *partition = partition_find(
			shard, &topic->id, image_partition_at(topic, i)->partition_id);
		if (!partition)
			continue;
		partition->delete_wanted = true;
		partition_work_queue(partition);
	}
}

struct topics_change {
	struct broker_shard *shard;
	const struct image *image;
};

static void topic_changed(
	void *argument, const struct image_topic *before, const struct image_topic *after)
{
	struct topics_change *change = argument;

	if (before && (!after || !uuid_equal(&before->id, &after->id)))
		topic_remove(change->shard, before);
	if (after)
		topic_update(change->shard, change->image, after);
}

static void topic_settings_changed(void *argument, struct str name)
{
	struct topics_change *change = argument;
	const struct image_topic *topic = image_topic_by_name(change->image, name);
	uint32_t count = topic ? image_partition_count(topic) : 0;
	struct topic_config config;

	topic_config_of_image(change->shard->config, change->image, name, &config);
	for (uint32_t i = 0; i < count; i++) {
		struct partition *partition = partition_find(change->shard, &topic->id,
			image_partition_at(topic, i)->partition_id);

		if (partition && !partition->delete_wanted)
			partition_settings_set(partition, &config);
	}
}

void partitions_update(struct broker_shard *shard, const struct image *old,
	const struct image *image, bool settings_changed)
{
	struct topics_change change = {.shard = shard, .image = image};

	if (shard->stopping)
		return; /* the logs are being closed */
	image_topics_diff(old, image, topic_changed, &change);
	if (!settings_changed) {
		image_configs_diff(old, image, IMAGE_CONFIG_TOPIC, topic_settings_changed, &change);
		return;
	}
	/* Those of brokers are every topic's defaults; they change rarely. */
	map_for_each(node, &shard->partitions)
	{
		struct partition *partition = map_entry(node, struct partition, node);
		struct topic_config config;
		if (partition->delete_wanted)
			continue;
		topic_config_of_image(shard->config, image, partition->topic, &config);
		partition_settings_set(partition, &config);
	}
}

/* ---- the end ---- */

/*
 * A visit of every partition by some fibers side by side: what one waits for on the disk is written
 * along with what the others do.
 */
enum { STOP_FIBERS = 16 };

struct stop_visit {
	struct broker_shard *shard;
	struct list left;
	int (*each)(struct partition *partition);
	int first_error;
	unsigned running;
	struct fiber *waiter;
};

static void stop_visit_run(struct stop_visit *visit)
{
	struct list_node *node;

	while ((node = list_pop_front(&visit->left))) {
		int error = visit->each(container_of(node, struct partition, stop_node));

		if (error < 0 && visit->first_error == 0)
			visit->first_error = error;
	}
}

static void stop_visit_fiber(struct shard *shard, void *argument)
{
	struct stop_visit *visit = argument;

	stop_visit_run(visit);
	if (--visit->running == 0)
		fiber_wake(shard, visit->waiter);
}

static int partitions_visit(struct broker_shard *shard, int (*each)(struct partition *partition))
{
	struct stop_visit visit = {
		.shard = shard, .each = each, .waiter = fiber_current(shard->shard)};

	partitions_settle(shard);
	list_init(&visit.left);
	map_for_each(node, &shard->partitions) list_push_back(
		&visit.left, &map_entry(node, struct partition, node)->stop_node);
	while (visit.running < STOP_FIBERS &&
		fiber_start(shard->shard, stop_visit_fiber, &visit) == 0)
		visit.running++;
	/* Without memory for others this one does it alone; beside them it only waits, as their last
	 * wakes it. */
	if (visit.running == 0)
		stop_visit_run(&visit);
	while (visit.running > 0)
		fiber_wait(shard->shard);
	return visit.first_error;
}

struct sync_wait {
	struct log_sync op;
	struct fiber *fiber;
	bool done;
};

static void sync_done(struct log_sync *op)
{
	struct sync_wait *wait = container_of(op, struct sync_wait, op);

	wait->done = true;
	fiber_wake(log_store_shard(log_store_of(op->log)), wait->fiber);
}

static int partition_sync(struct partition *partition)
{
	struct shard *shard = partition->shard->shard;
	struct sync_wait wait = {.op.done = sync_done, .fiber = fiber_current(shard)};

	/* A log that was never opened was never recovered: no clean mark for its directory.
	 * A directory that failed gets none anyway. */
	if (partition->state == PARTITION_OFFLINE && partition->dir && !partition->log)
		__atomic_store_n(&partition->dir->unopened, true, __ATOMIC_SEQ_CST);
	if (partition->state != PARTITION_ONLINE)
		return 0;
	log_sync(partition->log, &wait.op);
	while (!wait.done)
		fiber_wait(shard);
	return wait.op.result;
}

int partitions_sync(struct broker_shard *shard)
{
	return partitions_visit(shard, partition_sync);
}

static int partition_close(struct partition *partition)
{
	int error = 0;

	while (partition->users > 0) /* connections have gone; only queued steps are left */
		fiber_yield(partition->shard->shard);
	if (partition->log) {
		error = log_close(partition->log);
		partition->log = NULL;
		if (partition->state != PARTITION_ONLINE)
			error = 0;
	}
	partition_free(partition);
	return error;
}

int partitions_close(struct broker_shard *shard)
{
	int error = partitions_visit(shard, partition_close);

	partitions_forget_begin(shard);
	partitions_forget_end(shard, true);
	return error;
}

void partitions_room_found(struct broker_shard *shard, const struct log_dir *dir)
{
	map_for_each(node, &shard->partitions)
	{
		struct partition *partition = map_entry(node, struct partition, node);
		if (!partition->awaits_room || partition->dir != dir || shard->stopping)
			continue;
		partition->awaits_room = false;
		partition->state = PARTITION_OPENING;
		partition_work_queue(partition);
	}
}

void partitions_directory_failed(struct broker_shard *shard, const struct log_dir *dir)
{
	map_for_each(node, &shard->partitions)
	{
		struct partition *partition = map_entry(node, struct partition, node);
		if (partition->state != PARTITION_ONLINE || partition->dir != dir)
			continue;
		partition->state = PARTITION_OFFLINE;
		partition_changed(partition);
	}
}
