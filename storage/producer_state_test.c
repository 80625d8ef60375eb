#include "storage/producer_state.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/batch_builder.h"
#include "protocol/errors.h"

static struct producer_state state;
static struct producer_change change;
static struct producer_completed completed;

static void begin(void)
{
	producer_state_init(&state, 100);
}

static void end(void)
{
	producer_state_done(&state);
}

TestSuite(producer_state, .init = begin, .fini = end);

static int16_t apply(
	int64_t producer_id, int16_t epoch, int32_t sequence, int count, bool transactional)
{
	struct batch_header batch = {
		.magic = 2,
		.producer_id = producer_id,
		.producer_epoch = epoch,
		.base_sequence = sequence,
		.base_offset = state.map_end,
		.last_offset = state.map_end + count - 1,
		.record_count = count,
		.max_timestamp = 1000 + state.map_end,
		.attributes = transactional ? BATCH_TRANSACTIONAL : 0,
	};

	return producer_state_apply(&state, &batch, NULL, PRODUCER_CLIENT, 0, &change, &completed);
}

static int16_t mark(
	int64_t producer_id, int16_t epoch, int32_t coordinator_epoch, bool aborts, int16_t version)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	uint8_t key[4] = {0, 0, 0, !aborts}, value[6] = {0};
	struct batch_builder builder;
	struct record_buffer buffer;
	struct batch_header header;
	int16_t error_code;

	record_buffer_init(&buffer, 4096);
	options.producer_id = producer_id;
	options.producer_epoch = epoch;
	options.base_offset = state.map_end;
	options.transactional = options.control = true;
	store_be32(value + 2, (uint32_t)coordinator_epoch);
	cr_assert_eq(batch_builder_begin(&builder, &options, NULL, &buffer), 0);
	cr_assert_eq(batch_builder_append(&builder, state.map_end, 5000,
			     (struct bytes){key, sizeof(key)}, (struct bytes){value, sizeof(value)},
			     NULL, 0),
		0);
	cr_assert_eq(batch_builder_end(&builder), 0);
	cr_assert_gt(batch_next(buffer.data, buffer.size, &header), 0);
	error_code = producer_state_apply(
		&state, &header, buffer.data, PRODUCER_COORDINATOR, version, &change, &completed);
	record_buffer_done(&buffer);
	return error_code;
}

Test(producer_state, sequences_go_on_without_a_gap_and_wrap)
{
	cr_assert_eq(apply(1, 0, 17, 3, false), 0, "of an unknown producer any sequence will do");
	cr_assert_eq(apply(1, 0, 20, 5, false), 0);
	cr_assert_eq(apply(1, 0, 26, 1, false), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
	cr_assert_eq(apply(1, 1, 1, 1, false), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
	cr_assert_eq(apply(1, 1, 0, 1, false), 0);
	cr_assert_eq(apply(1, 0, 25, 1, false), KAFKA_INVALID_PRODUCER_EPOCH);
	cr_assert_eq(apply(2, 0, INT32_MAX - 1, 3, false), 0);
	cr_assert_eq(apply(2, 0, 1, 1, false), 0, "from 2^31-1 to 0");
}

static void refuse(int64_t producer_id, int16_t epoch, int32_t sequence)
{
	producer_state_refuse(&state, &(struct batch_header){.magic = 2,
					      .producer_id = producer_id,
					      .producer_epoch = epoch,
					      .base_sequence = sequence});
}

Test(producer_state, an_unknown_producer_goes_on_with_what_was_refused_first)
{
	refuse(1, 0, 3);
	refuse(1, 0, 7);
	cr_assert_eq(state.count, 0);
	cr_assert_eq(apply(1, 0, 7, 1, false), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
	cr_assert_eq(apply(2, 0, 7, 1, false), 0, "others are not concerned");
	cr_assert_eq(apply(1, 0, 3, 4, false), 0);
	cr_assert_eq(apply(1, 0, 7, 1, false), 0);
	cr_assert_eq(state.refused_count, 0, "it has an entry now");
	refuse(1, 0, 100);
	cr_assert_eq(state.refused_count, 0);

	refuse(3, 0, INT32_MAX - 1);
	refuse(3, 0, 1);
	cr_assert_eq(apply(3, 0, 1, 1, false), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER, "it wrapped");
	cr_assert_eq(apply(3, 0, INT32_MAX - 3, 2, false), 0, "what is before it is not behind it");

	refuse(4, 0, 0);
	refuse(4, 1, 0);
	cr_assert_eq(apply(4, 1, 5, 1, false), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
	cr_assert_eq(apply(4, 1, 0, 5, false), 0);
}

Test(producer_state, of_refused_producers_only_so_many_are_remembered)
{
	for (int i = 0; i <= PRODUCERS_REFUSED_MAX; i++)
		refuse(i, 0, 0);
	cr_assert_eq(state.refused_count, PRODUCERS_REFUSED_MAX);
	cr_assert_eq(apply(0, 0, 9, 1, false), 0, "the oldest is forgotten");
	cr_assert_eq(apply(1, 0, 9, 1, false), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
}

Test(producer_state, the_last_five_batches_are_known_again)
{
	struct batch_header batch = {.magic = 2, .producer_id = 1, .record_count = 2};

	for (int i = 0; i < 7; i++)
		cr_assert_eq(apply(1, 0, i * 2, 2, false), 0);
	for (int i = 0; i < 7; i++) {
		const struct producer_batch *found;

		batch.base_sequence = i * 2;
		batch.base_offset = 0;
		batch.last_offset = 1;
		found = producer_state_duplicate(&state, &batch);
		cr_assert_eq(found != NULL, i >= 2, "batch %d", i);
		if (found)
			cr_assert_eq(found->last_offset, i * 2 + 1);
	}
	batch.last_offset = 0;
	cr_assert_null(producer_state_duplicate(&state, &batch), "half of a batch is no duplicate");
}

Test(producer_state, a_transaction_holds_offsets_unstable_until_it_is_replicated)
{
	cr_assert_eq(apply(1, 0, 0, 2, true), 0);
	cr_assert_eq(apply(2, 0, 0, 2, true), 0);
	cr_assert_eq(producer_state_first_unstable(&state), 0);
	cr_assert_eq(apply(1, 0, 2, 2, false), KAFKA_INVALID_TXN_STATE);
	cr_assert_eq(mark(1, 0, 7, true, 0), 0);
	cr_assert_eq(completed.producer_id, 1);
	cr_assert_eq(completed.first_offset, 0);
	cr_assert_eq(completed.last_offset, 4);
	cr_assert_eq(completed.last_stable_offset, 2, "the other one is still open");
	cr_assert(completed.aborted);
	producer_state_replicated(&state, 4);
	cr_assert_eq(producer_state_first_unstable(&state), 0);
	producer_state_replicated(&state, 5);
	cr_assert_eq(producer_state_first_unstable(&state), 2);
	cr_assert_eq(mark(1, 0, 6, true, 0), KAFKA_TRANSACTION_COORDINATOR_FENCED);
	cr_assert_eq(mark(2, 0, 7, false, 0), 0);
	producer_state_replicated(&state, 6);
	cr_assert_eq(producer_state_first_unstable(&state), -1);
}

/* KIP-890: with transaction version 2 the marker's epoch is above that of the data. */
Test(producer_state, a_late_marker_of_transaction_version_2_is_fenced)
{
	cr_assert_eq(apply(1, 3, 0, 2, true), 0);
	cr_assert_eq(mark(1, 3, 0, false, 2), KAFKA_INVALID_PRODUCER_EPOCH);
	cr_assert_eq(mark(1, 4, 0, false, 2), 0);
	cr_assert_eq(mark(1, 4, 0, false, 2), 0, "the coordinator may say it again");
	cr_assert_eq(completed.producer_id, NO_PRODUCER_ID);
	cr_assert_eq(mark(1, 3, 0, false, 2), KAFKA_INVALID_PRODUCER_EPOCH);
}

enum { REVERTED_IDS = 8 };

/* All that is kept of the batches of producers 0 to REVERTED_IDS - 1, the newest first. */
struct kept_batches {
	uint8_t counts[REVERTED_IDS];
	struct producer_batch batches[REVERTED_IDS][PRODUCER_BATCHES_KEPT];
};

static void batches_copy(struct kept_batches *to)
{
	memset(to, 0, sizeof(*to));
	for (int64_t id = 0; id < REVERTED_IDS; id++) {
		const struct producer_entry *entry = producer_state_find(&state, id);

		to->counts[id] = entry ? entry->batch_count : 0;
		for (unsigned age = 0; age < to->counts[id]; age++)
			to->batches[id][age] = *producer_entry_batch(entry, age);
	}
}

/* Every prefix of a random history is taken back, and the state is as it was: seen by its snapshot, and by the
 * batches that are kept. */
Test(producer_state, changes_are_taken_back_newest_first)
{
	enum { STEPS = 200 };
	static struct kept_batches batches[STEPS], now;
	static struct producer_change changes[STEPS];
	static uint8_t *before[STEPS];
	static size_t sizes[STEPS];
	static int64_t unstable[STEPS];
	unsigned random = 1;
	int count = 0;

	for (int i = 0; i < STEPS; i++) {
		uint8_t *data;
		size_t size;
		int64_t first = producer_state_first_unstable(&state);
		const struct producer_entry *entry;
		int64_t id;
		int16_t error_code;

		cr_assert_eq(producer_state_encode(&state, &data, &size), 0);
		batches_copy(&batches[count]);
		random = random * 1103515245 + 12345;
		id = random / 65536 % REVERTED_IDS;
		entry = producer_state_find(&state, id);
		if (entry && entry->transaction_first_offset >= 0 && random / 1024 % 3 == 0)
			error_code = mark(id, entry->producer_epoch, 0, random / 512 % 2, 0);
		else
			error_code = apply(id, entry ? entry->producer_epoch : 0,
				entry && entry->batch_count
					? producer_entry_newest(entry)->last_sequence + 1
					: 0,
				1 + random / 4096 % 3,
				entry && entry->transaction_first_offset >= 0 ? true
									      : random / 2048 % 2);
		cr_assert_eq(error_code, 0, "step %d: %d", i, error_code);
		changes[count] = change;
		before[count] = data;
		sizes[count] = size;
		unstable[count++] = first;
	}
	while (count > 0) {
		uint8_t *data;
		size_t size;

		count--;
		producer_state_revert(&state, &changes[count]);
		cr_assert_eq(producer_state_encode(&state, &data, &size), 0);
		cr_assert_eq(size, sizes[count], "step %d", count);
		cr_assert_eq(memcmp(data, before[count], size), 0, "step %d", count);
		batches_copy(&now);
		cr_assert_eq(memcmp(&now, &batches[count], sizeof(now)), 0, "step %d", count);
		cr_assert_eq(
			producer_state_first_unstable(&state), unstable[count], "step %d", count);
		free(data);
		free(before[count]);
	}
}

Test(producer_state, a_snapshot_brings_back_what_matters)
{
	struct producer_state loaded;
	uint8_t *data;
	size_t size;

	cr_assert_eq(apply(5, 2, 0, 3, false), 0);
	cr_assert_eq(apply(3, 1, 0, 3, true), 0);
	cr_assert_eq(producer_state_encode(&state, &data, &size), 0);
	cr_assert_eq(size, 2 + 4 + 4 + 2 * 46);
	producer_state_init(&loaded, 100);
	cr_assert_eq(producer_state_decode(&loaded, data, size, 6, 2000, INT64_MAX), 0);
	cr_assert_eq(loaded.count, 2);
	cr_assert_eq(loaded.map_end, 6);
	cr_assert_eq(loaded.entries[0].entry->producer_id, 3);
	cr_assert_eq(loaded.entries[0].entry->transaction_first_offset, 3);
	cr_assert_eq(producer_entry_newest(loaded.entries[1].entry)->last_sequence, 2);
	cr_assert_eq(producer_state_first_unstable(&loaded), 3);
	producer_state_clear(&loaded, 0);
	cr_assert_eq(producer_state_decode(&loaded, data, size, 6, 1000 + 86400000, 86400000), 0);
	cr_assert_eq(loaded.count, 1, "the idle one has expired; a transaction holds the other");
	/* Each damaged bit is seen, and so is each missing byte. */
	for (size_t i = 0; i < size; i++) {
		producer_state_clear(&loaded, 0);
		data[i] ^= 0x10;
		cr_assert_eq(producer_state_decode(&loaded, data, size, 6, 2000, INT64_MAX),
			-EBADMSG, "byte %zu", i);
		data[i] ^= 0x10;
		cr_assert_eq(producer_state_decode(&loaded, data, i, 6, 2000, INT64_MAX), -EBADMSG,
			"%zu bytes", i);
	}
	producer_state_done(&loaded);
	free(data);
}

Test(producer_state, idle_producers_go_and_the_number_of_the_others_is_bounded)
{
	for (int64_t id = 0; id < 100; id++)
		cr_assert_eq(apply(id, 0, 0, 1, id == 0), 0);
	cr_assert_eq(apply(1, 0, 1, 1, false), 0);
	cr_assert_eq(apply(200, 0, 0, 1, false), 0);
	cr_assert_eq(state.count, 100);
	cr_assert_not_null(producer_state_find(&state, 0), "it has a transaction open");
	cr_assert_not_null(producer_state_find(&state, 1), "it was used a moment ago");
	cr_assert_null(producer_state_find(&state, 2));
	cr_assert_eq(producer_state_expire(&state, 1000 + 50 + 10000, 10000), 48);
	cr_assert_not_null(producer_state_find(&state, 0));
}
