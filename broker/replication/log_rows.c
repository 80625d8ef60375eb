#include "broker/replication/log_rows.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/visit.h"

/* What one shard's logs say; names live in its own block, since a topic may go while the rows are
 * used. */
struct log_rows_part {
	struct log_row *rows;
	char *names;
	uint32_t count;
};

struct log_row log_row_of(const struct partition *partition, struct str topic)
{
	const struct log *log = partition->log;

	return (struct log_row){
		.topic = topic,
		.partition = partition->key.index,
		.dir = (uint32_t)(partition->dir - log_dirs_at(partition->shard->broker->log_dirs, 0)),
		.recovery_point = log_recovery_point(log),
		.log_start = log_start(log),
		.high_watermark = log_high_watermark(log),
		.clean_end = log_clean_end(log),
		.log_start_moved = log_start_is_untold(log),
		.size_bytes = log_size_bytes(log),
	};
}

static int part_collect(struct broker_shard *shard, void *argument)
{
	struct log_rows_part *mine = &((struct log_rows_part *)argument)[shard->index];
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
		partition->is_listed = true;
		memcpy(name, partition->topic.data, (size_t)partition->topic.size);
		mine->rows[mine->count++] =
			log_row_of(partition, (struct str){name, partition->topic.size});
		name += partition->topic.size;
	}
	return 0;
}

int log_rows_collect(struct broker *broker, struct log_rows *ret_rows)
{
	struct log_rows *all = ret_rows;
	uint32_t count = 0;
	int error;

	*all = (struct log_rows){.parts = calloc(broker->shard_count, sizeof(*all->parts)),
		.part_count = broker->shard_count};
	if (!all->parts)
		return -ENOMEM;
	error = broker_visit_shards(broker, part_collect, all->parts);
	if (error < 0)
		return error;
	for (unsigned i = 0; i < all->part_count; i++)
		count += all->parts[i].count;
	all->rows = calloc(max_of(count, 1u), sizeof(*all->rows));
	if (!all->rows)
		return -ENOMEM;
	for (unsigned i = 0; i < all->part_count; i++) {
		memcpy(all->rows + all->count, all->parts[i].rows,
			all->parts[i].count * sizeof(*all->rows));
		all->count += all->parts[i].count;
	}
	return 0;
}

void log_rows_done(struct log_rows *rows)
{
	for (unsigned i = 0; rows->parts && i < rows->part_count; i++) {
		free(rows->parts[i].rows);
		free(rows->parts[i].names);
	}
	free(rows->parts);
	free(rows->rows);
	*rows = (struct log_rows){0};
}
