/*
 * What compaction keeps of a batch, by the rules of Kafka's Cleaner and CleanedTransactionMetadata.
 * Functions of their arguments: they run on whichever thread, over bytes that were read, and touch
 * nothing else.
 *
 * A record is kept when it is the newest of its key as far as the map knows, and if it is a tombstone until
 * its batch's delete horizon: the first cleaning that meets it sets that to now and delete.retention.ms.
 * Records without a key go. Of an aborted transaction all goes; a marker goes when nothing of its
 * transaction was met any more and its horizon has passed. The last batch of each producer stays, without
 * records if need be, since it has its epoch and sequence; so does the last batch before the upper bound of the
 * cleaning, so that it is known where the log was cleaned to. What loses nothing is copied byte for byte.
 */
#pragma once

#include "protocol/batch.h"
#include "runtime/map.h"
#include "storage/key_map.h"
#include "storage/segment.h"

/* The last record of a producer that is still known. */
struct clean_producer {
	int64_t producer_id;
	int64_t last_data_offset; /* -1: its last batch was a marker */
	int16_t epoch;
};

/* Rows of transaction indexes. */
struct clean_aborted {
	struct segment_aborted *rows;
	uint32_t count, capacity;
};
/* 0, -ENOMEM. */
int clean_aborted_add(struct clean_aborted *list, const struct segment_aborted *row);

/* Which transactions are open where the pass over the log stands. */
struct clean_transactions {
	struct clean_aborted aborted; /* that begin behind it, the latest first */
	struct map open;	      /* struct clean_transaction by producer id */
	struct clean_aborted kept;    /* whose marker stays: rows of the new index */
};

void clean_transactions_init(struct clean_transactions *transactions, uint64_t seed);
void clean_transactions_done(struct clean_transactions *transactions);
/* Rows of the next segment. 0, -ENOMEM. */
int clean_transactions_add(
	struct clean_transactions *transactions, const struct clean_aborted *rows);

struct clean_filter {
	/* What is asked. */
	struct compress_context *compress;
	uint64_t decompressed_limit;
	int64_t start_offset; /* of the map */
	int64_t upper_bound;
	int64_t now_ms, delete_retention_ms;
	bool keep_legacy_tombstones; /* magic 0 and 1 have no delete horizon */
	const struct clean_producer *producers; /* by id */
	uint32_t producer_count;

	struct key_map map;
	struct clean_transactions transactions;
	uint64_t records_read, records_kept;
};

/*
 * Enters the records of the whole batches among the SIZE bytes at DATA into the map. 0, 1 when it is full, or
 * BATCH_ERROR_CORRUPT and others of batch_records, -ENOMEM. *RET_USED: the batches' bytes; 0 when not even the
 * first is there whole.
 */
int clean_filter_learn(
	struct clean_filter *filter, const uint8_t *data, size_t size, size_t *ret_used);
/* Writes what is to be kept of them behind what OUT holds. 0 or errors as above, -ENOBUFS. */
int clean_filter_apply(struct clean_filter *filter, const uint8_t *data, size_t size,
	struct record_buffer *out, size_t *ret_used);
