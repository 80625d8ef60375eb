/*
 * What the logs of this node hold, gathered from all shards: for the checkpoints and for
 * DescribeLogDirs.
 */
#pragma once

#include "broker/replication/partition.h"
#include "storage/log_dirs.h"

struct log_rows {
	struct log_row *rows;
	uint32_t count;
	struct log_rows_part *parts; /* private: what each shard gave, with the names */
	unsigned part_count;	     /* private */
};

/* (fiber, main shard) A row for each partition that is online, all the while. The rows of one shard stand together.
 * 0 or -ENOMEM; log_rows_done in either case. */
int log_rows_collect(struct broker *broker, struct log_rows *ret_rows);
void log_rows_done(struct log_rows *rows);
/* (home shard) That of one partition, which is online. */
struct log_row log_row_of(const struct partition *partition, struct str topic);
