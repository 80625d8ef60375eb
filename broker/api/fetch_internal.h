/*
 * The state of one running fetch: for fetch.c and fetch_convert.c.
 */
#pragma once

#include "broker/api/fetch.h"
#include "broker/replication/partition.h"

enum fetch_part_state { FETCH_PART_HERE, FETCH_PART_READING, FETCH_PART_WATCHING };

struct fetch_part {
	struct part part;
	struct partition_watch watch;
	struct task recall;
	struct log_read read;
	struct fetch *fetch;
	struct fetch_want *want;
	enum fetch_part_state state;
	bool recalling; /* the recall task is away */
	bool dirty;	/* to be read (again) */

	/* The home shard's. Not in one word with what the asking shard looks at meanwhile: that may
	 * be read by one load. */
	struct partition *partition;
	bool watched;	  /* linked to the partition */
	bool recall_seen; /* came before the watch was set */

	/* What the last read found. */
	int64_t high_watermark, last_stable_offset, log_start, seen_end;
	int16_t error;
	int32_t leader, leader_epoch;
	int32_t diverging_epoch;
	int64_t diverging_end;
	struct piece piece;		/* the slice; FILE holds a reference */
	struct record_buffer *converted; /* instead of the slice, for old versions; else NULL */
	uint32_t first_batch_size;
	bool left_out; /* not even the first batch fits in what the limits leave */
};

struct fetch {
	struct request *request;
	struct broker_shard *shard;
	struct fetch_plan plan; /* partitions in order, from the request or its session */
	struct fetch_part *parts;
	uint32_t part_count;
	struct fetch_response_partition_data *answers; /* of the plan's wants, when all are here */
	uint32_t away;	  /* parts and recalls that are not here */
	uint32_t reading; /* parts away reading, and one while not all wants have been begun */
	uint32_t begun;	  /* wants that were looked at */
	size_t answer_bytes; /* charged ahead for the answer, while there is none */
	int64_t min_bytes, max_bytes;
	bool read_committed, hard_limit, final, answering;
	struct timer deadline;
	uint64_t deadline_ns;
};

/*
 * Converts what was read to the message format that the request's version knows, then calls
 * CONVERTED: for versions 0 and 1 magic 0, for 2 and 3 magic 1. A partition that cannot be
 * converted gets Kafka's error.
 */
void fetch_convert(struct request *request, void (*converted)(struct request *request));
