#include "protocol/batch_validate.h"

#include <errno.h>

#include "protocol/batch_builder.h"
#include "protocol/batch_records.h"
#include "protocol/message_set.h"

struct validation {
	struct compress_context *context;
	const struct batch_rules *rules;
	struct arena *arena;
	struct batch_verdict *verdict;
	int32_t record_errors_capacity;
	bool timestamp_error;
};

/* Whether something that calls itself a batch lies at DATA, as Kafka counts batches: only by its
 * length and magic. */
static bool batch_follows(const uint8_t *data, size_t size)
{
	return size >= BATCH_PEEK_SIZE &&
	       (int32_t)load_be32(data + BATCH_LENGTH) >= BATCH_SIZE_MIN - BATCH_OVERHEAD &&
	       data[BATCH_MAGIC] <= 2 &&
	       (size_t)load_be32(data + BATCH_LENGTH) <= size - BATCH_OVERHEAD;
}

/* What the API's version allows, before anything else is looked at
 * (ProduceRequest.validateRecords). */
static int version_check(const struct batch_rules *rules, const uint8_t *data, size_t size)
{
	const int16_t first_with_v2 = 3, first_with_zstd = 7;
	struct batch_header header;
	int64_t batch_size;

	if (rules->produce_version < first_with_v2)
		return 0;
	if (batch_follows(data, size) && data[BATCH_MAGIC] != 2)
		return BATCH_ERROR_INVALID;
	batch_size = batch_next(data, size, &header);
	if (batch_size <= 0)
		return batch_size < 0 ? (int)batch_size : BATCH_ERROR_INVALID;
	if (rules->produce_version < first_with_zstd) {
		if (!compression_name(batch_compression(&header)))
			return BATCH_ERROR_DECOMPRESS;
		if (batch_compression(&header) == COMPRESSION_ZSTD)
			return BATCH_ERROR_COMPRESSION;
	}
	data += batch_size;
	size -= (size_t)batch_size;
	if (batch_follows(data, size))
		return BATCH_ERROR_INVALID;
	return (int)batch_next(data, size, &header);
}

/* Sizes and checksums of all batches (UnifiedLog.analyzeAndValidateRecords). */
static int batches_check(const struct batch_rules *rules, const uint8_t *data, size_t size,
	struct batch_verdict *verdict)
{
	struct batch_header header;
	size_t position = 0;
	int64_t batch_size;

	while ((batch_size = batch_next(data + position, size - position, &header)) > 0) {
		int error;

		if (header.magic == 2 && rules->origin == BATCH_ORIGIN_CLIENT &&
			header.base_offset != 0)
			return BATCH_ERROR_INVALID;
		if (batch_size > rules->batch_size_max)
			return BATCH_ERROR_TOO_LARGE;
		error = batch_check(data + position, &header);
		if (error)
			return error;
		if (!compression_name(batch_compression(&header)))
			return BATCH_ERROR_DECOMPRESS;
		if (batch_is_compressed(&header))
			verdict->source_compression = batch_compression(&header);
		if (verdict->batch_count++ == 0)
			verdict->first = header;
		position += (size_t)batch_size;
	}
	verdict->valid_size = position;
	return (int)min_of(batch_size, (int64_t)0);
}

static int target_compression(const struct batch_rules *rules, const struct batch_verdict *verdict)
{
	return rules->compression == COMPRESSION_PRODUCER ? (int)verdict->source_compression
							  : rules->compression;
}

/* One batch's header against the rules (LogValidator.validateBatch). The log's format is magic 2.
 */
static int header_check(const struct batch_rules *rules, const struct batch_verdict *verdict,
	const struct batch_header *header)
{
	if (header->magic != verdict->first.magic)
		return BATCH_ERROR_INVALID;
	if (rules->origin != BATCH_ORIGIN_CLIENT)
		return 0;
	if (header->magic == 2) {
		int64_t offset_count = (int64_t)((uint64_t)header->last_offset -
						 (uint64_t)header->base_offset + 1);

		if (offset_count <= 0 || header->record_count <= 0 ||
			offset_count != header->record_count)
			return BATCH_ERROR_INVALID;
	}
	if (batch_is_control(header))
		return BATCH_ERROR_INVALID;
	if (batch_has_producer_id(header) && header->base_sequence < 0)
		return BATCH_ERROR_INVALID;
	return 0;
}

static bool timestamp_in_range(const struct batch_rules *rules, int64_t timestamp)
{
	/* Differences wrap as Java's do. */
	int64_t before = (int64_t)((uint64_t)rules->now_ms - (uint64_t)timestamp);
	int64_t after = (int64_t)((uint64_t)timestamp - (uint64_t)rules->now_ms);

	return before <= rules->timestamp_before_max_ms && after <= rules->timestamp_after_max_ms;
}

static void record_error_add(struct validation *validation, const struct record *record,
	int32_t index, enum batch_record_problem problem, bool skimmed)
{
	struct batch_verdict *verdict = validation->verdict;
	struct batch_record_error *list;

	if (problem == RECORD_PROBLEM_TIMESTAMP_RANGE || problem == RECORD_PROBLEM_TIMESTAMP_TYPE)
		validation->timestamp_error = true;
	verdict->record_error_count++;
	if (!validation->arena || verdict->record_error_listed + 1 < verdict->record_error_count)
		return;
	if (verdict->record_error_listed == validation->record_errors_capacity) {
		int32_t capacity = max_of(validation->record_errors_capacity * 2, 8);

		list = arena_new_array(validation->arena, struct batch_record_error, capacity);
		if (!list)
			return;
		if (verdict->record_error_listed)
			memcpy(list, verdict->record_errors,
				(size_t)verdict->record_error_listed * sizeof(*list));
		verdict->record_errors = list;
		validation->record_errors_capacity = capacity;
	}
	verdict->record_errors[verdict->record_error_listed++] = (struct batch_record_error){
		.index = index,
		.problem = problem,
		.offset = record->offset,
		.timestamp = record->timestamp,
		.key_size = record->key.size,
		.value_size = record->value.size,
		.skimmed = skimmed,
	};
}

/* One record against the rules (LogValidator.validateRecord): false when it was put on the list of
 * errors. */
static inline bool record_check(struct validation *validation, const struct batch_header *header,
	const struct record *record, int32_t index)
{
	const struct batch_rules *rules = validation->rules;
	enum batch_record_problem problem;
	bool skimmed;

	if (record->magic != header->magic)
		problem = RECORD_PROBLEM_MAGIC;
	else if (rules->compacted && record->key.size < 0)
		problem = RECORD_PROBLEM_NO_KEY;
	else if (rules->timestamp_type == TIMESTAMP_CREATE && record->timestamp != NO_TIMESTAMP) {
		if (timestamp_in_range(rules, record->timestamp))
			return true;
		problem = RECORD_PROBLEM_TIMESTAMP_RANGE;
	} else if (batch_timestamp_type(header) == TIMESTAMP_LOG_APPEND)
		problem = RECORD_PROBLEM_TIMESTAMP_TYPE;
	else
		return true;
	/* Kafka steps over keys and values only where it expects to keep the compressed bytes. */
	skimmed = header->magic == 2 && batch_is_compressed(header) &&
		  target_compression(rules, validation->verdict) == batch_compression(header);
	record_error_add(validation, record, index, problem, skimmed);
	return false;
}

/* All records of one batch. */
static int records_check(
	struct validation *validation, const uint8_t *data, const struct batch_header *header)
{
	struct batch_verdict *verdict = validation->verdict;
	struct batch_records records;
	struct record record;
	bool inner_messages = header->magic < 2 && batch_is_compressed(header);
	bool offsets_count_up = true;
	int32_t index = 0;
	int result = batch_records_begin(&records, validation->context, data, header,
		BATCH_RECORDS_SKIM, validation->rules->decompressed_limit);

	if (result)
		return result;
	while ((result = batch_records_next(&records, &record)) > 0) {
		/* The checksums that no batch's covers: those of messages inside a compressed one.
		 */
		if (inner_messages && record.magic == header->magic) {
			result = message_check(
				batch_records_encoded(&records, &record), (size_t)record.size);
			if (result)
				break;
		}
		if (verdict->record_count == INT32_MAX) {
			result = BATCH_ERROR_INVALID;
			break;
		}
		if (record_check(validation, header, &record, index)) {
			offsets_count_up &= record.offset == verdict->record_count;
			if (record.timestamp > verdict->max_timestamp) {
				verdict->max_timestamp = record.timestamp;
				verdict->max_timestamp_index = verdict->record_count;
			}
		}
		verdict->record_count++;
		index++;
	}
	batch_records_end(&records);
	if (result < 0) {
		/* A batch that cannot be read has no single records to blame. */
		verdict->record_error_count = verdict->record_error_listed = 0;
		return result;
	}
	if (verdict->record_error_count)
		return validation->timestamp_error ? BATCH_ERROR_TIMESTAMP : BATCH_ERROR_INVALID;
	/*
	 * Plain batches are taken with any offsets inside, and a rebuild repairs them. For
	 * compressed ones Kafka wants to rebuild too, and trips over having stepped over keys and
	 * values.
	 */
	if (batch_is_compressed(header) && !offsets_count_up && !verdict->rebuild)
		return BATCH_ERROR_UNEXPECTED;
	return 0;
}

/* Kafka sums up the sizes of messages that it will convert before it judges anything else of them.
 */
static int plain_messages_check(const uint8_t *data, size_t size)
{
	struct batch_header header;
	struct record record;
	int64_t batch_size;

	for (; (batch_size = batch_next(data, size, &header)) > 0;
		data += batch_size, size -= (size_t)batch_size)
		if (header.magic < 2 && message_parse(data, (size_t)batch_size, &record))
			return BATCH_ERROR_UNEXPECTED;
	return 0;
}

/* LogValidator.validateMessagesAndAssignOffsets without the assigning. */
static int content_check(struct validation *validation, const uint8_t *data)
{
	const struct batch_rules *rules = validation->rules;
	struct batch_verdict *verdict = validation->verdict;
	int target = target_compression(rules, verdict);
	struct batch_header header;
	int deferred = 0;

	/* Only uncompressed message sets may have several entries. */
	if ((verdict->first.magic == 2 || verdict->source_compression != COMPRESSION_NONE) &&
		verdict->batch_count > 1)
		return BATCH_ERROR_INVALID;
	verdict->rebuild = verdict->first.magic != 2 || target != (int)verdict->source_compression;
	if (verdict->source_compression == COMPRESSION_NONE && batch_is_control(&verdict->first))
		verdict->rebuild = false;
	if (target == COMPRESSION_NONE && verdict->source_compression == COMPRESSION_NONE &&
		verdict->first.magic < 2) {
		int error = plain_messages_check(data, verdict->valid_size);

		if (error)
			return error;
	}
	for (size_t position = 0; position < verdict->valid_size; position += header.size) {
		int error;

		if (position == 0)
			header = verdict->first;
		else
			ensure(batch_next(data + position, verdict->valid_size - position,
				       &header) > 0);
		error = header_check(rules, verdict, &header);
		if (!error)
			error = records_check(validation, data + position, &header);
		/* With a codec to change to, Kafka reads keys and values when all else is judged.
		 */
		if (error == BATCH_ERROR_UNEXPECTED && header.magic < 2 &&
			!batch_is_compressed(&header))
			deferred = error;
		else if (error)
			return error;
	}
	if (deferred)
		return deferred;
	if (rules->timestamp_type == TIMESTAMP_LOG_APPEND)
		verdict->max_timestamp = rules->now_ms;
	return 0;
}

void batch_validate(struct compress_context *context, const struct batch_rules *rules,
	const uint8_t *data, size_t size, struct arena *arena, struct batch_verdict *ret_verdict)
{
	static const uint8_t nothing[1];
	struct validation validation = {
		.context = context, .rules = rules, .arena = arena, .verdict = ret_verdict};

	*ret_verdict =
		(struct batch_verdict){.max_timestamp = NO_TIMESTAMP, .max_timestamp_index = -1};
	if (size == 0)
		data = nothing; /* null records of a request */
	ret_verdict->error = version_check(rules, data, size);
	if (!ret_verdict->error)
		ret_verdict->error = batches_check(rules, data, size, ret_verdict);
	if (!ret_verdict->error && ret_verdict->batch_count)
		ret_verdict->error = content_check(&validation, data);
}

void batch_assign(const struct batch_rules *rules, const struct batch_verdict *verdict,
	uint8_t *data, int64_t base_offset, int32_t leader_epoch)
{
	ensure(!verdict->error && !verdict->rebuild && verdict->batch_count == 1);
	batch_last_offset_set(data, base_offset + verdict->record_count - 1);
	batch_partition_leader_epoch_set(data, leader_epoch);
	if (batch_timestamp_type(&verdict->first) != rules->timestamp_type ||
		verdict->first.max_timestamp != verdict->max_timestamp)
		batch_max_timestamp_set(data, rules->timestamp_type, verdict->max_timestamp);
}

int batch_rebuild(struct compress_context *context, const struct batch_rules *rules,
	const struct batch_verdict *verdict, const uint8_t *data, int64_t base_offset,
	int32_t leader_epoch, struct record_buffer *out)
{
	enum compression target = target_compression(rules, verdict);
	struct batch_options options = {
		.base_offset = base_offset,
		.producer_id = verdict->first.producer_id,
		.producer_epoch = verdict->first.producer_epoch,
		.base_sequence = verdict->first.base_sequence,
		.partition_leader_epoch = leader_epoch,
		.timestamp_type = rules->timestamp_type,
		.log_append_time_ms = rules->now_ms,
		.delete_horizon_ms = NO_TIMESTAMP,
		.compression = target,
		.level = rules->compression == COMPRESSION_PRODUCER
				 ? compression_levels(target).standard
				 : rules->compression_level,
		.transactional = batch_is_transactional(&verdict->first),
	};
	struct batch_builder builder;
	struct batch_header header;
	int64_t offset = base_offset;
	int error;

	ensure(!verdict->error && verdict->rebuild);
	/* Kafka's builder refuses producer state that is half there. */
	if (options.producer_id == NO_PRODUCER_ID
			? options.transactional
			: options.producer_epoch == NO_PRODUCER_EPOCH || options.base_sequence < 0)
		return BATCH_ERROR_UNEXPECTED;
	error = batch_builder_begin(&builder, &options, context, out);
	if (error)
		return error;
	for (size_t position = 0; !error && position < verdict->valid_size;
		position += header.size) {
		struct batch_records records;
		struct record record;

		ensure(batch_next(data + position, verdict->valid_size - position, &header) > 0);
		error = batch_records_begin(&records, context, data + position, &header,
			BATCH_RECORDS_WHOLE, rules->decompressed_limit);
		if (error)
			break;
		while ((error = batch_records_next(&records, &record)) > 0) {
			error = record.timestamp < NO_TIMESTAMP
					? BATCH_ERROR_UNEXPECTED
					: batch_builder_append_record(&builder, offset++, &record);
			if (error)
				break;
		}
		batch_records_end(&records);
	}
	if (!error)
		error = batch_builder_end(&builder);
	if (!error && batch_builder_size(&builder) > (size_t)rules->batch_size_max)
		error = BATCH_ERROR_TOO_LARGE;
	if (error)
		batch_builder_abort(&builder);
	return error;
}

static struct str text_of(char *text)
{
	return str_from(text);
}

struct str batch_record_error_text(const struct batch_rules *rules,
	const struct batch_record_error *error, struct str topic, int32_t partition,
	struct arena *arena)
{
	const char *class = error->skimmed ? "PartialDefaultRecord" : "DefaultRecord";

	switch (error->problem) {
	case RECORD_PROBLEM_NO_KEY:
		return text_of(arena_printf(arena,
			"Compacted topic cannot accept message without key in topic partition "
			"%.*s-%d",
			STR_ARGS(topic), (int)partition));
	case RECORD_PROBLEM_TIMESTAMP_RANGE:
		return text_of(arena_printf(arena,
			"Timestamp %lld of message with offset %lld is out of range. The "
			"timestamp should be within [%lld, %lld]",
			(long long)error->timestamp, (long long)error->offset,
			(long long)((uint64_t)rules->now_ms -
				    (uint64_t)rules->timestamp_before_max_ms),
			(long long)((uint64_t)rules->now_ms +
				    (uint64_t)rules->timestamp_after_max_ms)));
	case RECORD_PROBLEM_TIMESTAMP_TYPE:
		return text_of(arena_printf(arena,
			"Invalid timestamp type in message %s(offset=%lld, timestamp=%lld, "
			"key=%d bytes, value=%d bytes). Producer should not set timestamp type to "
			"LogAppendTime.",
			class, (long long)error->offset, (long long)error->timestamp,
			(int)(error->skimmed ? error->key_size : max_of(error->key_size, 0)),
			(int)(error->skimmed ? error->value_size : max_of(error->value_size, 0))));
	case RECORD_PROBLEM_MAGIC:
		return text_of(arena_printf(arena,
			"Record's magic does not match outer magic in topic partition %.*s-%d",
			STR_ARGS(topic), (int)partition));
	}
	return STR_NULL;
}

struct str batch_verdict_text(const struct batch_rules *rules, const struct batch_verdict *verdict,
	struct str topic, int32_t partition, struct arena *arena)
{
	char *text;

	if (verdict->record_error_count == 0)
		return STR_NULL;
	if (verdict->error == BATCH_ERROR_TIMESTAMP)
		return STR("One or more records have been rejected due to invalid timestamp");
	text = arena_printf(arena,
		"One or more records have been rejected due to %d record errors in total, and only "
		"showing the first three errors at most: [",
		(int)verdict->record_error_count);
	for (int32_t i = 0; text && i < min_of(verdict->record_error_listed, 3); i++) {
		struct str error = batch_record_error_text(
			rules, &verdict->record_errors[i], topic, partition, arena);

		text = arena_printf(arena, "%s%sRecordError(batchIndex=%d, message='%.*s')", text,
			i ? ", " : "", (int)verdict->record_errors[i].index, STR_ARGS(error));
	}
	if (text)
		text = arena_printf(arena, "%s]", text);
	return text_of(text);
}
