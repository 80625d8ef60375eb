/*
 * Parts: a handler's errands to partitions on their home shards (see partition.h).
 */
#include "broker/replication/partition.h"
#include "protocol/errors.h"
#include "runtime/hash.h"

unsigned partition_home(unsigned shard_count, struct str topic, int32_t index)
{
	/* Neighbouring partitions of a topic land on neighbouring shards. */
	uint64_t hash = hash_bytes(topic.data, (size_t)topic.size, 0);

	return (unsigned)((hash + (uint64_t)index) % shard_count);
}

void part_address(struct part *part, struct broker_shard *asker, const struct image *image,
	const struct image_topic *topic, int32_t index)
{
	struct broker *broker = asker->broker;

	part->asker = asker;
	part->home = &broker->shards[partition_home(broker->shard_count, topic->name, index)];
	part->topic_id = topic->id;
	part->index = index;
	part->image_offset = image_position(image).offset;
}

static void part_back_run(struct shard *shard, struct task *task)
{
	struct part *part = container_of(task, struct part, task);

	part->back(part);
}

void part_return(struct part *part)
{
	part->task.run = part_back_run;
	shard_send(part->home->shard, part->asker->index, &part->task);
}

void part_return_last(struct part *part)
{
	if (part->home == part->asker)
		part->back(part);
	else
		part_return(part);
}

static void part_refuse(struct part *part, int16_t error)
{
	part->error = error;
	part_return(part);
}

static void part_at_home(struct broker_shard *home, struct part *part)
{
	struct partition *partition;

	if (image_position(home->image).offset < part->image_offset) {
		list_push_back(&home->image_waiters, &part->node);
		return;
	}
	partition = partition_find(home, &part->topic_id, part->index);
	if (!partition) {
		part_refuse(part, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
		return;
	}
	switch (partition->state) {
	case PARTITION_OPENING:
		list_push_back(&partition->waiting, &part->node);
		break;
	case PARTITION_ONLINE:
		part->at_home(part, partition);
		break;
	case PARTITION_OFFLINE:
		part_refuse(part, KAFKA_KAFKA_STORAGE_ERROR);
		break;
	case PARTITION_ABSENT:
		part_refuse(part, KAFKA_NOT_LEADER_OR_FOLLOWER);
		break;
	case PARTITION_DELETING:
		part_refuse(part, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
		break;
	}
}

static void part_home_run(struct shard *shard, struct task *task)
{
	part_at_home(broker_shard_of(shard), container_of(task, struct part, task));
}

void part_send(struct part *part)
{
	part->error = 0;
	part->task.run = part_home_run;
	shard_send(part->asker->shard, part->home->index, &part->task);
}

void parts_image_arrived(struct broker_shard *shard)
{
	struct list waiters;
	struct list_node *node;

	list_init(&waiters);
	list_append_all(&waiters, &shard->image_waiters);
	while ((node = list_pop_front(&waiters)))
		part_at_home(shard, container_of(node, struct part, node));
}

void parts_partition_ready(struct partition *partition)
{
	struct list waiting;
	struct list_node *node;

	list_init(&waiting);
	list_append_all(&waiting, &partition->waiting);
	while ((node = list_pop_front(&waiting)))
		part_at_home(partition->shard, container_of(node, struct part, node));
}
