#include "storage/producer_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/codec.h"
#include "protocol/crc32c.h"
#include "protocol/errors.h"

/* Where the snapshot's checksum stands, and from where on it counts: behind version and checksum.
 */
enum {
	SNAPSHOT_VERSION = 1,
	SNAPSHOT_CRC_PLACE = 2,
	SNAPSHOT_CRC_FROM = 6,
	SNAPSHOT_ENTRY_SIZE = 46
};

void producer_state_init(struct producer_state *state, uint32_t limit)
{
	ensure(limit > 0);
	*state = (struct producer_state){.limit = limit};
	list_init(&state->used);
}

void producer_state_done(struct producer_state *state)
{
	for (uint32_t i = 0; i < state->count; i++)
		free(state->entries[i].entry);
	free(state->entries);
	free(state->ongoing.rows);
	free(state->unreplicated.rows);
	free(state->refused);
	producer_state_init(state, state->limit);
}

void producer_state_clear(struct producer_state *state, int64_t offset)
{
	producer_state_done(state);
	state->map_end = offset;
}

/* ---- the sorted arrays ---- */

/* The index of the first entry whose id is not below PRODUCER_ID. Ids are given in ascending order,
 * so look at the end. */
static uint32_t entry_place(const struct producer_state *state, int64_t producer_id)
{
	uint32_t low = 0, high = state->count;

	if (high > 0 && state->entries[high - 1].producer_id < producer_id)
		return high;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (state->entries[middle].producer_id < producer_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct producer_entry *entry_find(const struct producer_state *state, int64_t producer_id)
{
	if (state->found_last && state->found_last->producer_id == producer_id)
		return state->found_last;
	uint32_t place = entry_place(state, producer_id);

	return place < state->count && state->entries[place].producer_id == producer_id
		       ? state->entries[place].entry
		       : NULL;
}

const struct producer_entry *producer_state_find(
	const struct producer_state *state, int64_t producer_id)
{
	return entry_find(state, producer_id);
}

static void entry_free(struct producer_state *state, struct producer_entry *entry)
{
	if (state->found_last == entry)
		state->found_last = NULL;
	list_remove(&entry->used);
	free(entry);
}

static void entry_forget(struct producer_state *state, uint32_t place)
{
	entry_free(state, state->entries[place].entry);
	memmove(state->entries + place, state->entries + place + 1,
		(state->count - place - 1) * sizeof(*state->entries));
	state->count--;
}

static struct producer_entry *entry_new(struct producer_state *state, int64_t producer_id)
{
	struct producer_entry *entry;
	uint32_t place;

	if (state->count >= state->limit)
		list_for_each (node, &state->used) {
			entry = container_of(node, struct producer_entry, used);
			if (entry->transaction_first_offset < 0) {
				entry_forget(state, entry_place(state, entry->producer_id));
				break;
			}
		}
	if (state->count == state->capacity) {
		uint32_t capacity = state->capacity ? state->capacity * 2 : 4;
		void *entries = realloc(state->entries, capacity * sizeof(*state->entries));

		if (!entries)
			return NULL;
		state->entries = entries;
		state->capacity = capacity;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->producer_id = producer_id;
	entry->producer_epoch = NO_PRODUCER_EPOCH;
	entry->coordinator_epoch = -1;
	entry->last_timestamp = NO_TIMESTAMP;
	entry->transaction_first_offset = -1;
	place = entry_place(state, producer_id);
	memmove(state->entries + place + 1, state->entries + place,
		(state->count - place) * sizeof(*state->entries));
	state->entries[place] = (struct producer_place){producer_id, entry};
	state->count++;
	list_push_back(&state->used, &entry->used);
	return entry;
}

static uint32_t transaction_place(const struct producer_transactions *rows, int64_t first_offset)
{
	uint32_t place = rows->count;

	while (place > 0 && rows->rows[place - 1].first_offset >= first_offset)
		place--;
	return place;
}

static int transactions_reserve(struct producer_transactions *rows)
{
	uint32_t capacity = rows->capacity ? rows->capacity * 2 : 4;
	void *grown;

	if (rows->count < rows->capacity)
		return 0;
	grown = realloc(rows->rows, capacity * sizeof(*rows->rows));
	if (!grown)
		return -ENOMEM;
	rows->rows = grown;
	rows->capacity = capacity;
	return 0;
}

/* There is room. A row with the same first offset is replaced, as in a map. */
static void transactions_put(struct producer_transactions *rows, struct producer_transaction row)
{
	uint32_t place = transaction_place(rows, row.first_offset);

	if (place == rows->count || rows->rows[place].first_offset != row.first_offset) {
		ensure(rows->count < rows->capacity);
		memmove(rows->rows + place + 1, rows->rows + place,
			(rows->count - place) * sizeof(*rows->rows));
		rows->count++;
	}
	rows->rows[place] = row;
}

static bool transactions_remove(
	struct producer_transactions *rows, int64_t first_offset, struct producer_transaction *ret)
{
	uint32_t place = transaction_place(rows, first_offset);

	if (place == rows->count || rows->rows[place].first_offset != first_offset)
		return false;
	*ret = rows->rows[place];
	memmove(rows->rows + place, rows->rows + place + 1,
		(rows->count - place - 1) * sizeof(*rows->rows));
	rows->count--;
	return true;
}

/* ---- batches ---- */

static int32_t batch_first_sequence(const struct producer_batch *batch)
{
	/* Sequences wrap from 2^31-1 to 0. */
	int64_t first = (int64_t)batch->last_sequence - batch->offset_delta;

	return (int32_t)(first < 0 ? first + INT32_MAX + 1ll : first);
}

const struct producer_batch *producer_state_duplicate(
	struct producer_state *state, const struct batch_header *batch)
{
	struct producer_entry *entry = entry_find(state, batch->producer_id);

	state->found_last = entry;
	if (!entry || entry->producer_epoch != batch->producer_epoch)
		return NULL;
	for (uint8_t age = 0; age < entry->batch_count; age++) {
		const struct producer_batch *kept = producer_entry_batch(entry, age);

		if (batch_first_sequence(kept) == batch->base_sequence &&
			kept->last_sequence == batch_last_sequence(batch))
			return kept;
		/* What goes on behind the newest, as nearly all batches do, is none of those before. */
		if (age == 0 && batch->base_sequence == (int64_t)kept->last_sequence + 1)
			return NULL;
	}
	return NULL;
}

static void entry_epoch_set(struct producer_entry *entry, int16_t epoch)
{
	if (entry->producer_epoch != epoch)
		entry->batch_count = 0;
	entry->producer_epoch = epoch;
}

static void entry_batch_add(struct producer_entry *entry, const struct producer_batch *batch)
{
	entry->batches[entry->batch_next] = *batch;
	entry->batch_next = (uint8_t)((entry->batch_next + 1) % PRODUCER_BATCHES_KEPT);
	if (entry->batch_count < PRODUCER_BATCHES_KEPT)
		entry->batch_count++;
}

static int16_t sequence_check(const struct producer_entry *entry, const struct batch_header *batch)
{
	const struct producer_batch *newest = producer_entry_newest(entry);
	int32_t last;

	/* Nothing is known of the producer (its records may all be deleted): any sequence will do.
	 */
	if (entry->producer_epoch == NO_PRODUCER_EPOCH)
		return KAFKA_NONE;
	if (entry->producer_epoch != batch->producer_epoch)
		return batch->base_sequence == 0 ? KAFKA_NONE : KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
	last = newest ? newest->last_sequence : NO_SEQUENCE;
	if (batch->base_sequence == (int64_t)last + 1 ||
		(batch->base_sequence == 0 && last == INT32_MAX))
		return KAFKA_NONE;
	return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
}

/* ---- refused producers ---- */

static struct producer_refused *refused_find(
	const struct producer_state *state, int64_t producer_id)
{
	for (uint32_t i = 0; i < state->refused_count; i++)
		if (state->refused[i].producer_id == producer_id)
			return &state->refused[i];
	return NULL;
}

static void refused_forget(struct producer_state *state, int64_t producer_id)
{
	struct producer_refused *refused = refused_find(state, producer_id);

	if (!refused)
		return;
	state->refused_count--;
	memmove(refused, refused + 1,
		(size_t)(state->refused + state->refused_count - refused) * sizeof(*refused));
}

/* Sequences wrap, and no more than half of them are under way. */
static bool sequence_is_behind(int32_t sequence, int32_t other)
{
	uint32_t distance = ((uint32_t)sequence - (uint32_t)other) & INT32_MAX;

	return distance > 0 && distance <= INT32_MAX / 2;
}

void producer_state_refuse(struct producer_state *state, const struct batch_header *batch)
{
	struct producer_refused *refused = refused_find(state, batch->producer_id);

	if (entry_find(state, batch->producer_id))
		return; /* which tells what comes next */
	if (refused && refused->epoch == batch->producer_epoch &&
		!sequence_is_behind(refused->sequence, batch->base_sequence))
		return;
	refused_forget(state, batch->producer_id);
	if (state->refused_count == PRODUCERS_REFUSED_MAX)
		refused_forget(state, state->refused[0].producer_id);
	if (state->refused_count == state->refused_capacity) {
		uint32_t capacity = state->refused_capacity ? state->refused_capacity * 2 : 4;
		void *grown = realloc(state->refused, capacity * sizeof(*state->refused));

		if (!grown)
			return; /* without memory all we lose is the order of who is new */
		state->refused = grown;
		state->refused_capacity = capacity;
	}
	state->refused[state->refused_count++] = (struct producer_refused){
		.producer_id = batch->producer_id,
		.sequence = batch->base_sequence,
		.epoch = batch->producer_epoch,
	};
}

/* Of a producer without an entry: does BATCH come before one that it must follow? */
static bool refused_comes_first(
	const struct producer_state *state, const struct batch_header *batch)
{
	const struct producer_refused *refused = refused_find(state, batch->producer_id);

	return refused && refused->epoch == batch->producer_epoch &&
	       sequence_is_behind(batch->base_sequence, refused->sequence);
}

struct marker {
	int64_t timestamp;
	int32_t coordinator_epoch;
	bool abort;
};

/* 1 and the marker, 0 for a batch emptied by compaction, BATCH_ERROR_INVALID. */
static int marker_parse(
	const struct batch_header *batch, const uint8_t *data, struct marker *ret_marker)
{
	struct record record;
	int type;

	if (batch->record_count == 0)
		return 0;
	if (batch->size <= BATCH_HEADER_SIZE || batch_is_compressed(batch) ||
		record_parse(data + BATCH_HEADER_SIZE, (size_t)batch->size - BATCH_HEADER_SIZE,
			&record) < 0)
		return BATCH_ERROR_INVALID;
	/* Key: version, type; value: version, coordinator epoch. Later versions may append. */
	if (record.key.size < 4 || record.value.size < 6)
		return BATCH_ERROR_INVALID;
	type = load_be16(record.key.data + 2);
	if (type != CONTROL_ABORT && type != CONTROL_COMMIT)
		return BATCH_ERROR_INVALID;
	*ret_marker = (struct marker){
		.timestamp = batch_timestamp_type(batch) == TIMESTAMP_LOG_APPEND
				     ? batch->max_timestamp
				     : batch->base_timestamp + record.timestamp,
		.coordinator_epoch = (int32_t)load_be32(record.value.data + 2),
		.abort = type == CONTROL_ABORT,
	};
	return 1;
}

/*
 * KIP-890: with transaction version 2 each transaction has its own epoch, so a marker of the epoch
 * already seen is late, unless it repeats one whose transaction is over (the coordinator retries)
 * or the epochs are exhausted.
 */
static bool marker_epoch_is_fenced(
	const struct producer_entry *entry, int16_t epoch, int16_t transaction_version)
{
	if (transaction_version < 2)
		return epoch < entry->producer_epoch;
	if (epoch == entry->producer_epoch)
		return entry->transaction_first_offset >= 0 && epoch != INT16_MAX;
	return epoch < entry->producer_epoch;
}

static int16_t apply_marker(struct producer_state *state, struct producer_entry *entry,
	const struct batch_header *batch, const struct marker *marker, enum producer_check check,
	int16_t transaction_version, struct producer_change *change,
	struct producer_completed *completed)
{
	struct producer_transaction row;

	if (check != PRODUCER_TRUSTED) {
		if (marker_epoch_is_fenced(entry, batch->producer_epoch, transaction_version))
			return KAFKA_INVALID_PRODUCER_EPOCH;
		if (entry->coordinator_epoch > marker->coordinator_epoch)
			return KAFKA_TRANSACTION_COORDINATOR_FENCED;
	}
	if (entry->transaction_first_offset >= 0) {
		if (transactions_reserve(&state->unreplicated) < 0)
			return KAFKA_UNKNOWN_SERVER_ERROR;
		*completed = (struct producer_completed){
			.producer_id = entry->producer_id,
			.first_offset = entry->transaction_first_offset,
			.last_offset = batch->base_offset,
			.last_stable_offset = batch->base_offset + 1,
			.aborted = marker->abort,
		};
		for (uint32_t i = 0; i < state->ongoing.count; i++)
			if (state->ongoing.rows[i].producer_id != entry->producer_id) {
				completed->last_stable_offset = state->ongoing.rows[i].first_offset;
				break;
			}
		ensure(transactions_remove(&state->ongoing, entry->transaction_first_offset, &row));
		row.last_offset = batch->base_offset;
		transactions_put(&state->unreplicated, row);
		change->completed = true;
		change->completed_offset = row.first_offset;
	}
	entry_epoch_set(entry, batch->producer_epoch);
	entry->coordinator_epoch = marker->coordinator_epoch;
	entry->transaction_first_offset = -1;
	entry->last_timestamp = marker->timestamp;
	return KAFKA_NONE;
}

static int16_t apply_data(struct producer_state *state, struct producer_entry *entry,
	const struct batch_header *batch, enum producer_check check, struct producer_change *change)
{
	struct producer_batch kept = {
		.last_offset = batch->last_offset,
		.timestamp = batch->max_timestamp,
		.last_sequence = batch_last_sequence(batch),
		.offset_delta = (int32_t)(batch->last_offset - batch->base_offset),
	};
	int16_t error;

	if (check != PRODUCER_TRUSTED && batch->producer_epoch < entry->producer_epoch)
		return KAFKA_INVALID_PRODUCER_EPOCH;
	if (check == PRODUCER_CLIENT) {
		error = sequence_check(entry, batch);
		if (error)
			return error;
	}
	if (entry->transaction_first_offset >= 0 && !batch_is_transactional(batch))
		return KAFKA_INVALID_TXN_STATE;
	if (entry->transaction_first_offset < 0 && batch_is_transactional(batch)) {
		if (transactions_reserve(&state->ongoing) < 0)
			return KAFKA_UNKNOWN_SERVER_ERROR;
		transactions_put(&state->ongoing,
			(struct producer_transaction){entry->producer_id, batch->base_offset, -1});
		entry->transaction_first_offset = batch->base_offset;
		change->began = true;
		change->began_offset = batch->base_offset;
	}
	entry_epoch_set(entry, batch->producer_epoch);
	entry_batch_add(entry, &kept);
	entry->last_timestamp = batch->max_timestamp;
	return KAFKA_NONE;
}

static void change_note(struct producer_change *change, const struct producer_entry *entry)
{
	change->timestamp_before = entry->last_timestamp;
	change->transaction_before = entry->transaction_first_offset;
	change->coordinator_epoch_before = entry->coordinator_epoch;
	change->epoch_before = entry->producer_epoch;
	change->batch_count_before = entry->batch_count;
	change->batch_next_before = entry->batch_next;
	change->batch_before = entry->batches[entry->batch_next];
}

static void change_undo(const struct producer_change *change, struct producer_entry *entry)
{
	entry->last_timestamp = change->timestamp_before;
	entry->transaction_first_offset = change->transaction_before;
	entry->coordinator_epoch = change->coordinator_epoch_before;
	entry->producer_epoch = change->epoch_before;
	entry->batch_count = change->batch_count_before;
	entry->batch_next = change->batch_next_before;
	entry->batches[entry->batch_next] = change->batch_before;
}

int16_t producer_state_apply(struct producer_state *state, const struct batch_header *batch,
	const uint8_t *data, enum producer_check check, int16_t transaction_version,
	struct producer_change *ret_change, struct producer_completed *ret_completed)
{
	struct producer_entry *entry;
	struct marker marker = {0};
	bool is_marker = false;
	int16_t error;
	int found;

	ret_completed->producer_id = NO_PRODUCER_ID;
	ret_change->map_end_before = state->map_end;
	/* The rest means nothing until a producer was touched: most batches have none. */
	ret_change->touched = false;
	if (!batch_has_producer_id(batch))
		goto reflected;
	if (batch_is_control(batch)) {
		found = marker_parse(batch, data, &marker);
		if (found < 0)
			return KAFKA_CORRUPT_MESSAGE;
		is_marker = true;
		if (found == 0)
			goto reflected;
	}
	entry = entry_find(state, batch->producer_id);
	if (!entry && check == PRODUCER_CLIENT && refused_comes_first(state, batch))
		return KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER;
	ret_change->producer_id = batch->producer_id;
	ret_change->touched = true;
	ret_change->created = !entry;
	ret_change->began = ret_change->completed = false;
	if (entry) {
		change_note(ret_change, entry);
	} else {
		entry = entry_new(state, batch->producer_id);
		if (!entry)
			return KAFKA_UNKNOWN_SERVER_ERROR;
	}
	error = is_marker ? apply_marker(state, entry, batch, &marker, check, transaction_version,
				    ret_change, ret_completed)
			  : apply_data(state, entry, batch, check, ret_change);
	if (error) {
		if (ret_change->created)
			entry_forget(state, entry_place(state, batch->producer_id));
		return error;
	}
	list_remove(&entry->used);
	list_push_back(&state->used, &entry->used);
	if (ret_change->created)
		refused_forget(state, batch->producer_id);
reflected:
	state->map_end = batch->last_offset + 1;
	return KAFKA_NONE;
}

void producer_state_revert(struct producer_state *state, const struct producer_change *change)
{
	struct producer_transaction row;
	struct producer_entry *entry;

	state->map_end = change->map_end_before;
	if (!change->touched)
		return;
	entry = entry_find(state, change->producer_id);
	/* Pushed out or expired since: then there is nothing to take back but the transaction's
	 * rows. */
	if (change->began)
		transactions_remove(&state->ongoing, change->began_offset, &row);
	if (change->completed &&
		transactions_remove(&state->unreplicated, change->completed_offset, &row)) {
		row.last_offset = -1;
		/* A place was given back when it completed. */
		transactions_put(&state->ongoing, row);
	}
	if (!entry)
		return;
	if (change->created) {
		entry_forget(state, entry_place(state, change->producer_id));
		return;
	}
	change_undo(change, entry);
}

void producer_state_replicated(struct producer_state *state, int64_t offset)
{
	struct producer_transactions *rows = &state->unreplicated;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < rows->count; i++)
		if (rows->rows[i].last_offset >= offset)
			rows->rows[kept++] = rows->rows[i];
	rows->count = kept;
}

int64_t producer_state_first_unstable(const struct producer_state *state)
{
	int64_t first = -1;

	if (state->ongoing.count)
		first = state->ongoing.rows[0].first_offset;
	if (state->unreplicated.count &&
		(first < 0 || state->unreplicated.rows[0].first_offset < first))
		first = state->unreplicated.rows[0].first_offset;
	return first;
}

static bool entry_is_expired(
	const struct producer_entry *entry, int64_t now_ms, int64_t expiration_ms)
{
	return entry->transaction_first_offset < 0 &&
	       now_ms - entry->last_timestamp >= expiration_ms;
}

uint32_t producer_state_expire(struct producer_state *state, int64_t now_ms, int64_t expiration_ms)
{
	uint32_t kept = 0, count = state->count;

	for (uint32_t i = 0; i < count; i++) {
		if (entry_is_expired(state->entries[i].entry, now_ms, expiration_ms)) {
			entry_free(state, state->entries[i].entry);
		} else {
			state->entries[kept++] = state->entries[i];
		}
	}
	state->count = kept;
	return count - kept;
}

/* ---- snapshots ---- */

int producer_state_encode(const struct producer_state *state, uint8_t **ret_data, size_t *ret_size)
{
	struct producer_snapshot snapshot = {.producer_entries_count = (int32_t)state->count};
	size_t room = 64 + (size_t)state->count * SNAPSHOT_ENTRY_SIZE;
	struct output output;
	struct arena arena;
	uint8_t *data, version[2];
	int error;

	arena_init(&arena, 4096 + 4 * room + state->count * sizeof(*snapshot.producer_entries));
	snapshot.producer_entries = schema_new_array(
		&producer_snapshot_producer_entry_schema, &arena, (int32_t)state->count);
	error = -ENOMEM;
	if (!snapshot.producer_entries && state->count)
		goto out;
	for (uint32_t i = 0; i < state->count; i++) {
		const struct producer_entry *from = state->entries[i].entry;
		const struct producer_batch *last = producer_entry_newest(from);

		snapshot.producer_entries[i] = (struct producer_snapshot_producer_entry){
			.producer_id = from->producer_id,
			.epoch = from->producer_epoch,
			.last_sequence = last ? last->last_sequence : NO_SEQUENCE,
			.last_offset = last ? last->last_offset : -1,
			.offset_delta = last ? last->offset_delta : 0,
			.timestamp = from->last_timestamp,
			.coordinator_epoch = from->coordinator_epoch,
			.current_txn_first_offset = from->transaction_first_offset,
		};
	}
	output_init(&output, &arena, room);
	store_be16(version, SNAPSHOT_VERSION);
	data = output_append(&output, sizeof(version));
	if (!data)
		goto out;
	memcpy(data, version, sizeof(version));
	error = schema_encode(
		&producer_snapshot_schema, SNAPSHOT_VERSION, &snapshot, &output, NULL);
	if (error)
		goto out;
	ensure(output.size >= SNAPSHOT_CRC_FROM);
	store_be32(output.data + SNAPSHOT_CRC_PLACE,
		crc32c(0, output.data + SNAPSHOT_CRC_FROM, output.size - SNAPSHOT_CRC_FROM));
	data = malloc(output.size);
	error = -ENOMEM;
	if (!data)
		goto out;
	memcpy(data, output.data, output.size);
	*ret_data = data;
	*ret_size = output.size;
	error = 0;
out:
	arena_done(&arena);
	return error;
}

static int entry_load(
	struct producer_state *state, const struct producer_snapshot_producer_entry *from)
{
	struct producer_entry *entry = entry_find(state, from->producer_id);

	if (!entry)
		entry = entry_new(state, from->producer_id);
	if (!entry || transactions_reserve(&state->ongoing) < 0)
		return -ENOMEM;
	entry->producer_epoch = from->epoch;
	entry->coordinator_epoch = from->coordinator_epoch;
	entry->last_timestamp = from->timestamp;
	if (from->last_offset >= 0)
		entry_batch_add(entry, &(struct producer_batch){
					       .last_offset = from->last_offset,
					       .timestamp = from->timestamp,
					       .last_sequence = from->last_sequence,
					       .offset_delta = from->offset_delta,
				       });
	if (from->current_txn_first_offset >= 0) {
		entry->transaction_first_offset = from->current_txn_first_offset;
		transactions_put(&state->ongoing, (struct producer_transaction){from->producer_id,
							  from->current_txn_first_offset, -1});
	}
	return 0;
}

int producer_state_decode(struct producer_state *state, const uint8_t *data, size_t size,
	int64_t offset, int64_t now_ms, int64_t expiration_ms)
{
	struct producer_snapshot snapshot;
	struct arena arena;
	size_t consumed;
	int error;

	ensure(state->count == 0 && state->ongoing.count == 0);
	if (size < SNAPSHOT_CRC_FROM || size > INT32_MAX || load_be16(data) != SNAPSHOT_VERSION ||
		load_be32(data + SNAPSHOT_CRC_PLACE) !=
			crc32c(0, data + SNAPSHOT_CRC_FROM, size - SNAPSHOT_CRC_FROM))
		return -EBADMSG;
	arena_init(
		&arena, 4096 + size / SNAPSHOT_ENTRY_SIZE * 4 * sizeof(*snapshot.producer_entries));
	error = schema_decode(&producer_snapshot_schema, SNAPSHOT_VERSION,
		(struct bytes){.data = data + 2, .size = (int32_t)size - 2}, &arena, &snapshot,
		&consumed, NULL);
	for (int32_t i = 0; !error && i < snapshot.producer_entries_count; i++) {
		const struct producer_snapshot_producer_entry *from = &snapshot.producer_entries[i];

		if (from->current_txn_first_offset < 0 && now_ms - from->timestamp >= expiration_ms)
			continue;
		error = entry_load(state, from);
	}
	arena_done(&arena);
	if (error) {
		producer_state_clear(state, 0);
		return error == -ENOMEM ? -ENOMEM : -EBADMSG;
	}
	state->map_end = offset;
	return 0;
}
