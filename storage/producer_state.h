/*
 * What a log remembers of its producers (KIP-98): epochs, the last five batches of each for
 * duplicates and sequences, open transactions, and those decided but still above the high
 * watermark. Follows Kafka's ProducerStateManager and ProducerAppendInfo. A pure state machine:
 * batches come in, verdicts and changes come out, and a change can be taken back while its batch is
 * still in flight.
 *
 *  1. entries are sorted by producer id; ongoing and unreplicated are sorted by first offset.
 *  2. An entry with a transaction open is never forgotten, neither for age nor for room.
 *  3. A producer without an entry may have been refused: then nothing of it is taken but the batch
 *     that was refused first, or one before that. Without this the second of several batches under
 *     way would be taken, since of an unknown producer any sequence will do, and the first never
 *     again. It is remembered in memory only: a restart breaks the connections, and a client
 *     sends everything again in order.
 *  4. Changes are taken back in the reverse order of their making, and only the newest may be.
 */
#pragma once

#include "protocol/batch.h"
#include "runtime/list.h"

enum { PRODUCER_BATCHES_KEPT = 5 };

struct producer_batch {
	int64_t last_offset;
	int64_t timestamp;
	int32_t last_sequence;
	int32_t offset_delta; /* last offset - first offset */
};

struct producer_entry {
	int64_t producer_id;
	int64_t last_timestamp;
	int64_t transaction_first_offset; /* -1: none open */
	int32_t coordinator_epoch;	  /* -1: no marker seen */
	int16_t producer_epoch;
	uint8_t batch_count;
	uint8_t batch_next;    /* where the next one goes */
	struct list_node used; /* least recently used first */
	struct producer_batch batches[PRODUCER_BATCHES_KEPT]; /* a ring; see producer_entry_batch */
};

/* The batch that came AGE batches before the newest one, which is 0; AGE is below the count. */
static inline const struct producer_batch *producer_entry_batch(
	const struct producer_entry *entry, unsigned age)
{
	return &entry->batches[(entry->batch_next + 2 * PRODUCER_BATCHES_KEPT - 1 - age) %
			       PRODUCER_BATCHES_KEPT];
}

/* NULL when none is known. */
static inline const struct producer_batch *producer_entry_newest(const struct producer_entry *entry)
{
	return entry->batch_count ? producer_entry_batch(entry, 0) : NULL;
}

/* The id stands beside the entry, so that a search does not touch those that it passes. */
struct producer_place {
	int64_t producer_id;
	struct producer_entry *entry;
};

struct producer_transaction {
	int64_t producer_id;
	int64_t first_offset;
	int64_t last_offset; /* -1 while undecided */
};

struct producer_transactions {
	struct producer_transaction *rows;
	uint32_t count, capacity;
};

/* The first batch of a producer without an entry that was refused, and will come again. */
struct producer_refused {
	int64_t producer_id;
	int32_t sequence;
	int16_t epoch;
};

enum { PRODUCERS_REFUSED_MAX = 1024 };

struct producer_state {
	struct producer_place *entries;
	uint32_t count, capacity;
	struct producer_entry *found_last; /* a batch's producer is looked for by each stage; NULL */
	uint32_t limit; /* entries beyond it push out the least recently used */
	struct list used;
	struct producer_transactions ongoing, unreplicated;
	struct producer_refused *refused; /* oldest first; beyond the limit the oldest goes */
	uint32_t refused_count, refused_capacity;
	int64_t map_end; /* offsets below are reflected here */
};

/* A transaction that a marker decided. */
struct producer_completed {
	int64_t producer_id, first_offset, last_offset;
	int64_t last_stable_offset; /* as of this marker, for the transaction index */
	bool aborted;
};

/* What one batch did, to take it back. */
struct producer_change {
	int64_t producer_id;
	int64_t map_end_before;
	bool touched; /* the batch had a producer; only then is the rest set */
	bool created;
	bool began;	/* a transaction at began_offset */
	bool completed; /* a transaction whose first offset is completed_offset */
	int64_t began_offset, completed_offset;
	/* When not created: what the entry was, and what it had where the new batch went. */
	int64_t timestamp_before, transaction_before;
	int32_t coordinator_epoch_before;
	int16_t epoch_before;
	uint8_t batch_count_before, batch_next_before;
	struct producer_batch batch_before;
};

enum producer_check {
	PRODUCER_TRUSTED,     /* replicas and replay: nothing is refused */
	PRODUCER_COORDINATOR, /* epochs only */
	PRODUCER_CLIENT,      /* epochs and sequences */
};

void producer_state_init(struct producer_state *state, uint32_t limit);
void producer_state_done(struct producer_state *state);
/* Forgets everything; the map end becomes OFFSET. */
void producer_state_clear(struct producer_state *state, int64_t offset);

const struct producer_entry *producer_state_find(
	const struct producer_state *state, int64_t producer_id);
/* The batch with exactly these sequences when it is one of the last five; NULL. */
const struct producer_batch *producer_state_duplicate(
	struct producer_state *state, const struct batch_header *batch);

/*
 * Takes a batch with its offsets assigned; DATA is all of it (only control batches are looked
 * into). Kafka's error code, with nothing changed: INVALID_PRODUCER_EPOCH,
 * OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_TXN_STATE, TRANSACTION_COORDINATOR_FENCED, CORRUPT_MESSAGE
 * for a marker that cannot be read, UNKNOWN_SERVER_ERROR without memory; RET_CHANGE means nothing
 * then. RET_COMPLETED->producer_id is -1 when no transaction was decided.
 */
int16_t producer_state_apply(struct producer_state *state, const struct batch_header *batch,
	const uint8_t *data, enum producer_check check, int16_t transaction_version,
	struct producer_change *ret_change, struct producer_completed *ret_completed);
void producer_state_revert(struct producer_state *state, const struct producer_change *change);
/* BATCH was not taken, for no fault of its own; it has a producer, whose changes are reverted. */
void producer_state_refuse(struct producer_state *state, const struct batch_header *batch);

/* The high watermark or the log start moved: decided transactions below it are stable. */
void producer_state_replicated(struct producer_state *state, int64_t offset);
/* The first offset of the oldest transaction that is open or not yet replicated; -1. */
int64_t producer_state_first_unstable(const struct producer_state *state);
/* Forgets producers idle for EXPIRATION_MS. Returns how many. */
uint32_t producer_state_expire(struct producer_state *state, int64_t now_ms, int64_t expiration_ms);

/* The .snapshot file (version 1) in malloc'ed memory. 0, -ENOMEM. */
int producer_state_encode(const struct producer_state *state, uint8_t **ret_data, size_t *ret_size);
/*
 * Fills an empty state from a snapshot file and sets its map end. Producers that expired by NOW_MS
 * are left out. 0, -ENOMEM, -EBADMSG when it is damaged (the state is empty then).
 */
int producer_state_decode(struct producer_state *state, const uint8_t *data, size_t size,
	int64_t offset, int64_t now_ms, int64_t expiration_ms);
