/*
 * Rows are gathered by a fiber on each shard, a bounded number a step, so that clients of a shard with
 * very many logs do not wait for all of them. What exists is noted first, by key: a partition that goes
 * meanwhile is left out, one that comes has no row yet, just as if either had happened before or after
 * the whole. Each row says what its log says in one step; nothing is said of two logs at one time.
 */
#include "broker/replication/log_rows.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/visit.h"
#include "runtime/fiber.h"

enum { ROWS_STEP = 1000 }; /* in one step; each costs some hundred nanoseconds */

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

/* The keys of all partitions, and how many bytes their names have; NULL without memory. */
static struct partition_key *keys_note(
	const struct broker_shard *shard, uint32_t *ret_count, size_t *ret_name_bytes)
{
	struct partition_key *keys = malloc(max_of(shard->partitions.count, 1u) * sizeof(*keys));
	uint32_t count = 0;
	size_t name_bytes = 0;

	if (!keys)
		return NULL;
	map_for_each(node, &shard->partitions)
	{
		const struct partition *partition = map_entry(node, struct partition, node);
		keys[count++] = partition->key;
		name_bytes += (size_t)partition->topic.size;
	}
	*ret_count = count;
	*ret_name_bytes = name_bytes;
	return keys;
}

static int part_collect(struct broker_shard *shard, void *argument)
{
	struct log_rows_part *mine = &((struct log_rows_part *)argument)[shard->index];
	size_t name_bytes;
	uint32_t count;
	struct partition_key *keys = keys_note(shard, &count, &name_bytes);

	if (!keys)
		return -ENOMEM;
	mine->rows = malloc(max_of(count, 1u) * sizeof(*mine->rows));
	mine->names = malloc(max_of(name_bytes, (size_t)1));
	if (!mine->rows || !mine->names) {
		free(keys);
		return -ENOMEM;
	}
	char *name = mine->names;
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0 && i % ROWS_STEP == 0)
			fiber_yield(shard->shard);
		struct partition *partition =
			partition_find(shard, &keys[i].topic_id, keys[i].index);
		if (!partition || partition->state != PARTITION_ONLINE || partition->delete_wanted)
			continue;
		partition->is_listed = true;
		memcpy(name, partition->topic.data, (size_t)partition->topic.size);
		mine->rows[mine->count++] =
			log_row_of(partition, (struct str){name, partition->topic.size});
		name += partition->topic.size;
	}
	free(keys);
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
