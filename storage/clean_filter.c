#include "storage/clean_filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/batch_builder.h"
#include "protocol/batch_records.h"
#include "protocol/message_set.h"

/* All of a batch's records; errors of batch_records. */
static int records_begin(const struct clean_filter *filter, const uint8_t *data,
	const struct batch_header *header, struct batch_records *records)
{
	return batch_records_begin(records, filter->compress, data, header, BATCH_RECORDS_WHOLE,
		filter->decompressed_limit);
}

/* ---- transactions ---- */

/* A producer's transactions of which batches were met and no marker yet. */
struct clean_transaction {
	struct map_node node;
	int64_t producer_id;
	bool has_committed; /* batches of one that was not aborted */
	bool is_aborted, has_batches; /* ROW says which; some of it was met */
	struct segment_aborted row;
};

int clean_aborted_add(struct clean_aborted *list, const struct segment_aborted *row)
{
	if (list->count == list->capacity) {
		uint32_t capacity = list->capacity ? list->capacity * 2 : 8;
		void *rows = realloc(list->rows, capacity * sizeof(*list->rows));

		if (!rows)
			return -ENOMEM;
		list->rows = rows;
		list->capacity = capacity;
	}
	list->rows[list->count++] = *row;
	return 0;
}

void clean_transactions_init(struct clean_transactions *transactions, uint64_t seed)
{
	*transactions = (struct clean_transactions){0};
	map_init(&transactions->open, seed);
}

static void transaction_forget(
	struct clean_transactions *transactions, struct clean_transaction *transaction)
{
	map_remove(&transactions->open, &transaction->node);
	free(transaction);
}

void clean_transactions_done(struct clean_transactions *transactions)
{
	map_for_each_safe(node, &transactions->open)
		transaction_forget(transactions, map_entry(node, struct clean_transaction, node));
	map_done(&transactions->open);
	free(transactions->aborted.rows);
	free(transactions->kept.rows);
}

static int latest_first(const void *a, const void *b)
{
	const struct segment_aborted *one = a, *other = b;

	return (one->first_offset < other->first_offset) - (one->first_offset > other->first_offset);
}

int clean_transactions_add(
	struct clean_transactions *transactions, const struct clean_aborted *rows)
{
	struct clean_aborted *aborted = &transactions->aborted;

	for (uint32_t i = 0; i < rows->count; i++)
		if (clean_aborted_add(aborted, &rows->rows[i]) < 0)
			return -ENOMEM;
	if (rows->count > 0)
		qsort(aborted->rows, aborted->count, sizeof(*aborted->rows), latest_first);
	return 0;
}

static struct clean_transaction *transaction_find(
	const struct clean_transactions *transactions, int64_t producer_id)
{
	return map_find_entry(&transactions->open, &producer_id, sizeof(producer_id),
		struct clean_transaction, node);
}

/* NULL without memory. */
static struct clean_transaction *transaction_get(
	struct clean_transactions *transactions, int64_t producer_id)
{
	struct clean_transaction *transaction = transaction_find(transactions, producer_id);

	if (transaction)
		return transaction;
	transaction = calloc(1, sizeof(*transaction));
	if (!transaction)
		return NULL;
	transaction->producer_id = producer_id;
	map_insert(&transactions->open, &transaction->node, &transaction->producer_id,
		sizeof(transaction->producer_id));
	return transaction;
}

/* Aborted transactions that begin at or before OFFSET are open. A row may come with each segment that it
 * touches. */
static int transactions_advance(struct clean_transactions *transactions, int64_t offset)
{
	struct clean_aborted *aborted = &transactions->aborted;

	while (aborted->count > 0 && aborted->rows[aborted->count - 1].first_offset <= offset) {
		const struct segment_aborted *row = &aborted->rows[aborted->count - 1];
		struct clean_transaction *transaction =
			transaction_get(transactions, row->producer_id);

		if (!transaction)
			return -ENOMEM;
		if (!transaction->is_aborted) {
			transaction->is_aborted = true;
			transaction->has_batches = false;
			transaction->row = *row;
		}
		aborted->count--;
	}
	return 0;
}

enum { CONTROL_ABORT = 0, CONTROL_COMMIT = 1 };

/* 1 and the type; 0 when the batch has no record any more; errors of batch_records. */
static int control_type(struct clean_filter *filter, const uint8_t *data,
	const struct batch_header *header, int *ret_type)
{
	struct batch_records records;
	struct record record;
	int result = records_begin(filter, data, header, &records);

	if (result < 0)
		return result;
	result = batch_records_next(&records, &record);
	if (result > 0) {
		if (record.key.size < 4)
			result = BATCH_ERROR_INVALID;
		else
			*ret_type = load_be16(record.key.data + 2);
	}
	batch_records_end(&records);
	return result;
}

/* A marker ends its producer's transaction. 1 when nothing of that was met, so that it may go; 0; errors. */
static int marker_meet(struct clean_filter *filter, const uint8_t *data,
	const struct batch_header *header)
{
	struct clean_transactions *transactions = &filter->transactions;
	struct clean_transaction *transaction;
	int error = transactions_advance(transactions, header->last_offset), type = -1;
	bool is_needless = true;

	if (error < 0)
		return error;
	error = control_type(filter, data, header, &type);
	if (error <= 0)
		return error < 0 ? error : 1;
	transaction = transaction_find(transactions, header->producer_id);
	switch (type) {
	case CONTROL_ABORT:
		if (!transaction || !transaction->is_aborted)
			return 1;
		is_needless = !transaction->has_batches;
		if (!is_needless && clean_aborted_add(&transactions->kept, &transaction->row) < 0)
			return -ENOMEM;
		transaction->is_aborted = false;
		break;
	case CONTROL_COMMIT:
		if (!transaction || !transaction->has_committed)
			return 1;
		transaction->has_committed = is_needless = false;
		break;
	default:
		return 0;
	}
	if (!transaction->is_aborted && !transaction->has_committed)
		transaction_forget(transactions, transaction);
	return is_needless;
}

/* 1 when the batch is of an aborted transaction; 0; -ENOMEM. */
static int data_meet(struct clean_filter *filter, const struct batch_header *header)
{
	struct clean_transactions *transactions = &filter->transactions;
	struct clean_transaction *transaction;
	int error = transactions_advance(transactions, header->last_offset);

	if (error < 0 || !batch_is_transactional(header))
		return error;
	transaction = transaction_get(transactions, header->producer_id);
	if (!transaction)
		return -ENOMEM;
	if (transaction->is_aborted) {
		transaction->has_batches = true;
		return 1;
	}
	transaction->has_committed = true;
	return 0;
}

static int batch_meet(
	struct clean_filter *filter, const uint8_t *data, const struct batch_header *header)
{
	return batch_is_control(header) ? marker_meet(filter, data, header)
					: data_meet(filter, header);
}

/* ---- what the map learns ---- */

static int batch_learn(
	struct clean_filter *filter, const uint8_t *data, const struct batch_header *header)
{
	struct key_map *map = &filter->map;
	struct batch_records records;
	struct record record;
	int result = batch_meet(filter, data, header);

	if (result < 0)
		return result;
	if (!batch_is_control(header) && result == 0) {
		result = records_begin(filter, data, header, &records);
		if (result < 0)
			return result;
		while ((result = batch_records_next(&records, &record)) > 0) {
			if (record.key.size < 0 || record.offset < filter->start_offset)
				continue;
			/* Inside old wrappers offsets may be anything. */
			if (record.offset <= map->latest_offset)
				result = BATCH_ERROR_CORRUPT;
			else if (key_map_put(map, record.key.data, (size_t)record.key.size,
					 record.offset))
				continue;
			break;
		}
		batch_records_end(&records);
		if (result != 0)
			return result;
	}
	if (header->last_offset >= filter->start_offset)
		map->latest_offset = max_of(map->latest_offset, header->last_offset);
	return 0;
}

typedef int batch_visit(struct clean_filter *filter, const uint8_t *data,
	const struct batch_header *header, struct record_buffer *out);

static int batches_visit(struct clean_filter *filter, const uint8_t *data, size_t size,
	batch_visit *visit, struct record_buffer *out, size_t *ret_used)
{
	struct batch_header header;
	int64_t batch_size;
	size_t used = 0;
	int result;

	*ret_used = 0;
	while ((batch_size = batch_next(data + used, size - used, &header)) > 0) {
		/* Nothing is carried on, or left out, because of bytes that are damaged. */
		result = batch_check(data + used, &header);
		if (result == 0 && (header.last_offset < header.base_offset ||
					   (batch_is_transactional(&header) &&
						   header.producer_id == NO_PRODUCER_ID)))
			result = BATCH_ERROR_CORRUPT;
		if (result == 0)
			result = visit(filter, data + used, &header, out);
		if (result != 0)
			return result;
		used += (size_t)batch_size;
		*ret_used = used;
	}
	return batch_size < 0 ? (int)batch_size : 0;
}

static int learn_visit(struct clean_filter *filter, const uint8_t *data,
	const struct batch_header *header, struct record_buffer *out)
{
	return batch_learn(filter, data, header);
}

int clean_filter_learn(
	struct clean_filter *filter, const uint8_t *data, size_t size, size_t *ret_used)
{
	return batches_visit(filter, data, size, learn_visit, NULL, ret_used);
}

/* ---- what is kept ---- */

static int by_producer_id(const void *key, const void *row)
{
	int64_t id = *(const int64_t *)key, other = ((const struct clean_producer *)row)->producer_id;

	return (id > other) - (id < other);
}

static bool is_last_of_producer(const struct clean_filter *filter, const struct batch_header *header)
{
	const struct clean_producer *producer;

	if (!batch_has_producer_id(header) || filter->producer_count == 0)
		return false;
	producer = bsearch(&header->producer_id, filter->producers, filter->producer_count,
		sizeof(*filter->producers), by_producer_id);
	if (!producer)
		return false;
	if (producer->last_data_offset >= 0)
		return header->last_offset == producer->last_data_offset;
	return batch_is_control(header) && header->producer_epoch == producer->epoch;
}

static bool record_is_kept(const struct clean_filter *filter, const struct batch_header *header,
	const struct record *record)
{
	int64_t horizon_ms = batch_delete_horizon_ms(header);

	if (batch_is_control(header) || record->offset > filter->map.latest_offset)
		return true;
	if (record->key.size < 0)
		return false;
	if (record->offset <
		key_map_find(&filter->map, record->key.data, (size_t)record->key.size))
		return false;
	if (record->value.size >= 0)
		return true;
	if (header->magic < 2)
		return filter->keep_legacy_tombstones;
	return horizon_ms == NO_TIMESTAMP || filter->now_ms < horizon_ms;
}

/* What one look at a batch's records says. */
struct judgement {
	int64_t kept;
	bool loses, has_tombstones, is_mixed; /* the latter: of a magic that is not the batch's */
};

static int batch_judge(struct clean_filter *filter, const uint8_t *data,
	const struct batch_header *header, struct judgement *ret)
{
	int64_t before = INT64_MIN;
	struct batch_records records;
	struct record record;
	int result;

	*ret = (struct judgement){0};
	result = records_begin(filter, data, header, &records);
	if (result < 0)
		return result;
	while ((result = batch_records_next(&records, &record)) > 0) {
		if (record.offset <= before || record.offset > header->last_offset ||
			(header->magic >= 2 && record.offset < header->base_offset)) {
			result = BATCH_ERROR_CORRUPT;
			break;
		}
		before = record.offset;
		filter->records_read++;
		if (!record_is_kept(filter, header, &record)) {
			ret->loses = true;
			continue;
		}
		ret->kept++;
		ret->has_tombstones |= record.value.size < 0;
		ret->is_mixed |= record.magic != header->magic;
	}
	batch_records_end(&records);
	return result;
}

static int batch_rewrite(struct clean_filter *filter, const uint8_t *data,
	const struct batch_header *header, int64_t horizon_ms, struct record_buffer *out)
{
	enum compression codec = batch_compression(header);
	struct batch_options options = {
		.base_offset = header->base_offset,
		.producer_id = header->producer_id,
		.log_append_time_ms = batch_timestamp_type(header) == TIMESTAMP_LOG_APPEND
					      ? header->max_timestamp
					      : NO_TIMESTAMP,
		.delete_horizon_ms = horizon_ms,
		.base_sequence = header->base_sequence,
		.partition_leader_epoch = header->partition_leader_epoch,
		.producer_epoch = header->producer_epoch,
		.timestamp_type = batch_timestamp_type(header),
		.compression = codec,
		.level = compression_levels(codec).standard,
		.transactional = batch_is_transactional(header),
		.control = batch_is_control(header),
	};
	struct batch_builder builder;
	struct batch_records records;
	struct record record;
	int result = records_begin(filter, data, header, &records);

	if (result < 0)
		return result;
	result = batch_builder_begin(&builder, &options, filter->compress, out);
	if (result < 0) {
		batch_records_end(&records);
		return result;
	}
	while ((result = batch_records_next(&records, &record)) > 0) {
		if (!record_is_kept(filter, header, &record))
			continue;
		result = batch_builder_append_record(&builder, record.offset, &record);
		if (result < 0)
			break;
	}
	batch_records_end(&records);
	if (result == 0) {
		/* The last sequence follows from the last offset. */
		batch_builder_last_offset_override(&builder, header->last_offset);
		result = batch_builder_end(&builder);
	}
	if (result < 0)
		batch_builder_abort(&builder);
	return result;
}

static bool legacy_is_kept(void *argument, const struct batch_header *header,
	const struct record *record)
{
	return record_is_kept(argument, header, record);
}

static int batch_apply(struct clean_filter *filter, const uint8_t *data,
	const struct batch_header *header, struct record_buffer *out)
{
	int64_t horizon_ms = batch_delete_horizon_ms(header);
	int needless = batch_meet(filter, data, header), error;
	struct judgement judgement = {0};
	bool is_marker_alone = needless > 0 && batch_is_control(header);
	bool goes = needless > 0;

	if (needless < 0)
		return needless;
	if (batch_is_control(header))
		goes = goes && horizon_ms != NO_TIMESTAMP && horizon_ms <= filter->now_ms;
	if (!goes) {
		error = batch_judge(filter, data, header, &judgement);
		if (error < 0)
			return error;
	}
	filter->records_kept += (uint64_t)judgement.kept;
	if (judgement.kept > 0) {
		bool sets_horizon = (judgement.has_tombstones || is_marker_alone) &&
				    horizon_ms == NO_TIMESTAMP && header->magic >= 2;

		if (!judgement.loses && !judgement.is_mixed && !sets_horizon)
			return record_buffer_append(out, data, (size_t)header->size);
		if (header->magic < 2)
			return message_set_rewrap(filter->compress, data, header,
				filter->decompressed_limit, legacy_is_kept, filter, out);
		if (sets_horizon)
			horizon_ms = filter->delete_retention_ms > INT64_MAX - filter->now_ms
					     ? INT64_MAX
					     : filter->now_ms + filter->delete_retention_ms;
		return batch_rewrite(filter, data, header, horizon_ms, out);
	}
	if (header->magic >= 2 && (is_last_of_producer(filter, header) ||
					  header->last_offset + 1 == filter->upper_bound))
		return batch_empty_write(out, header);
	return 0;
}

int clean_filter_apply(struct clean_filter *filter, const uint8_t *data, size_t size,
	struct record_buffer *out, size_t *ret_used)
{
	return batches_visit(filter, data, size, batch_apply, out, ret_used);
}
