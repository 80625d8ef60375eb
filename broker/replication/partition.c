/*
 * One partition on its home shard, as the handlers see it: its progress, who watches it, and who may
 * lead it.
 */
#include "broker/replication/partition.h"

#include "protocol/errors.h"

struct partition *partition_find(
	struct broker_shard *shard, const struct uuid *topic_id, int32_t index)
{
	struct partition_key key = partition_key(topic_id, index);

	return map_find_entry(&shard->partitions, &key, sizeof(key), struct partition, node);
}

/* ---- progress ---- */

static void partition_notify_run(struct shard *shard, struct task *task)
{
	struct partition *partition = container_of(task, struct partition, notify);
	struct list watchers;
	struct list_node *node;

	partition->notify_queued = false;
	list_init(&watchers);
	list_append_all(&watchers, &partition->watchers);
	while ((node = list_pop_front(&watchers))) {
		struct partition_watch *watch = container_of(node, struct partition_watch, node);
		watch->fire(watch, partition);
	}
	partition_unuse(partition);
}

void partition_changed(struct partition *partition)
{
	if (partition->notify_queued || list_is_empty(&partition->watchers))
		return;
	partition->notify_queued = true;
	partition->notify.run = partition_notify_run;
	partition_use(partition); /* until the step ran */
	shard_post(partition->shard->shard, &partition->notify);
}

void partition_advanced(struct partition *partition)
{
	/* With flush.messages nobody sees what a power cut could still take, as in Kafka, which
	 * flushes before it moves the watermark. */
	if (partition->isr_count <= 1)
		log_high_watermark_set(partition->log, log_settled_end(partition->log));
	partition_changed(partition);
}

void partition_watch(struct partition *partition, struct partition_watch *watch)
{
	list_push_back(&partition->watchers, &watch->node);
}

void partition_watch_cancel(struct partition_watch *watch)
{
	list_remove(&watch->node);
}

int16_t partition_leader_check(const struct partition *partition, int32_t current_leader_epoch)
{
	if (current_leader_epoch != -1 && current_leader_epoch < partition->leader_epoch)
		return KAFKA_FENCED_LEADER_EPOCH;
	if (current_leader_epoch != -1 && current_leader_epoch > partition->leader_epoch)
		return KAFKA_UNKNOWN_LEADER_EPOCH;
	return partition->leader == partition->shard->broker->node_id
		       ? 0
		       : KAFKA_NOT_LEADER_OR_FOLLOWER;
}
