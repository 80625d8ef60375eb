#include "reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/errors.h"

enum { FETCH_VERSION_OF_BATCHES = 4 }; /* before it, what is stored is converted to message sets */

void reader_init(struct reader *reader, struct model *model, struct shard *shard,
	const struct model_topic *topic)
{
	*reader = (struct reader){.topic = *topic, .max_wait_ms = 500};
	model_connection_init(&reader->connection, model, shard);
	reader->compress = compress_context_new();
	ensure(reader->compress);
	reader_topic_set(reader, topic);
}

void reader_done(struct reader *reader)
{
	model_connection_done(&reader->connection);
	compress_context_free(reader->compress);
}

static void session_forget(struct reader *reader)
{
	reader->session_id = reader->session_epoch = 0;
	for (unsigned i = 0; i < PARTITIONS_MAX; i++)
		reader->session_offsets[i] = -1;
}

void reader_topic_set(struct reader *reader, const struct model_topic *topic)
{
	reader->topic = *topic;
	memset(reader->next, 0, sizeof(reader->next));
	memset(reader->high_watermarks, 0, sizeof(reader->high_watermarks));
	session_forget(reader);
}

static struct str topic_name(const struct reader *reader)
{
	return (struct str){reader->topic.name, (int32_t)strlen(reader->topic.name)};
}

/* ---- what came ---- */

static void position_set(struct reader *reader, unsigned partition, int64_t offset)
{
	if (reader->is_scan && offset > reader->next[partition])
		history_scan_skip(&reader->connection.model->history,
			reader->topic.first_log + partition, offset);
	reader->next[partition] = offset;
}

/* The records from the wanted offset on. False after a violation. */
static bool batch_read(struct reader *reader, unsigned partition, const uint8_t *data,
	const struct batch_header *header, int64_t high_watermark)
{
	struct history *history = &reader->connection.model->history;
	unsigned log = reader->topic.first_log + partition;
	struct batch_records records;
	struct record record;
	int error = batch_check(data, header);

	if (!error)
		error = batch_records_begin(
			&records, reader->compress, data, header, BATCH_RECORDS_WHOLE, 16 << 20);
	if (error) {
		history_violation(history, "log %u offset %ld: a batch is damaged (%d)", log,
			(long)header->base_offset, error);
		return false;
	}
	if (header->last_offset >= high_watermark)
		history_violation(history, "log %u shows offset %ld, the high watermark is %ld",
			log, (long)header->last_offset, (long)high_watermark);
	while ((error = batch_records_next(&records, &record)) > 0) {
		if (record.offset < reader->next[partition])
			continue; /* the batch begins before what was asked for */
		if (reader->is_scan)
			history_scan_see(history, log, record.offset, record.value);
		else
			history_see(history, log, record.offset, record.value);
	}
	batch_records_end(&records);
	if (error < 0)
		history_violation(history, "log %u offset %ld: a batch has bad records (%d)", log,
			(long)header->base_offset, error);
	reader->next[partition] = header->last_offset + 1;
	return error == 0;
}

static void partition_read(struct reader *reader, unsigned partition,
	const struct fetch_response_partition_data *data, uint64_t crashes)
{
	struct model *model = reader->connection.model;
	struct history *history = &model->history;
	unsigned log = reader->topic.first_log + partition;
	const uint8_t *bytes = data->records.bytes.data;
	size_t size = (size_t)max_of(data->records.bytes.size, 0);
	struct batch_header header;
	int64_t step, skip;

	if (data->high_watermark < reader->high_watermarks[partition])
		history_violation(history, "log %u high watermark went from %ld to %ld", log,
			(long)reader->high_watermarks[partition], (long)data->high_watermark);
	reader->high_watermarks[partition] = data->high_watermark;
	/* Versions before 5 don't tell. */
	if (data->log_start_offset >= 0)
		history_start_see(history, log, data->log_start_offset,
			crashes == model->crashes ? reader->start_floors[partition] : 0);
	for (size_t at = 0;; at += (size_t)step) {
		skip = history_rot_skip(history, log, reader->next[partition]);
		if (skip != reader->next[partition]) {
			position_set(reader, partition, skip);
			return;
		}
		step = batch_next(bytes + at, size - at, &header);
		if (step == 0)
			return;
		if (step < 0) {
			history_violation(history, "log %u answered what is no batch", log);
			return;
		}
		if (!batch_read(reader, partition, bytes + at, &header, data->high_watermark))
			return;
	}
}

/* Reads below the log's start are refused; then reading goes on at the start. */
static int start_seek(struct reader *reader)
{
	int64_t starts[PARTITIONS_MAX];
	int code = reader_offsets(reader, -2, starts);

	if (code)
		return code;
	for (unsigned i = 0; i < reader->topic.partition_count; i++)
		if (reader->next[i] < starts[i])
			position_set(reader, i, starts[i]);
	return 0;
}

/* ---- asking ---- */

/* What this request names: all partitions, or what the session does not know yet. */
static void partitions_fill(struct reader *reader, struct fetch_request *request, int version)
{
	struct arena *arena = &reader->connection.arena;
	struct shard *shard = reader->connection.shard;
	int32_t total = (int32_t)reader->topic.partition_count, count = 0;
	struct fetch_request_fetch_topic *topic =
		schema_new_array(&fetch_request_fetch_topic_schema, arena, 1);
	struct fetch_request_fetch_partition *partitions =
		schema_new_array(&fetch_request_fetch_partition_schema, arena, total);
	bool is_incremental = request->session_epoch > 0;

	ensure(topic && partitions);
	for (int32_t i = 0; i < total; i++) {
		reader->start_floors[i] =
			reader->connection.model->history.logs[reader->topic.first_log + i]
				->start_acknowledged;
		if (is_incremental && reader->session_offsets[i] == reader->next[i])
			continue;
		partitions[count].partition = i;
		partitions[count].fetch_offset = reader->next[i];
		partitions[count++].partition_max_bytes = 1 + (int32_t)model_pick(shard, 1 << 18);
		reader->session_offsets[i] = reader->next[i];
	}
	if (version >= 13)
		topic->topic_id = reader->topic.id;
	else
		topic->topic = topic_name(reader);
	topic->partitions = partitions;
	topic->partitions_count = count;
	request->topics = topic;
	request->topics_count = count > 0;
}

/* Sometimes a partition leaves the session, to come back with a later request. */
static void session_drop_one(struct reader *reader, struct fetch_request *request, int version)
{
	struct arena *arena = &reader->connection.arena;
	struct shard *shard = reader->connection.shard;
	struct fetch_request_forgotten_topic *topic;
	unsigned partition = model_pick(shard, reader->topic.partition_count);

	if (request->session_epoch <= 0 || model_pick(shard, 20) > 0)
		return;
	topic = schema_new_array(&fetch_request_forgotten_topic_schema, arena, 1);
	ensure(topic);
	if (version >= 13)
		topic->topic_id = reader->topic.id;
	else
		topic->topic = topic_name(reader);
	topic->partitions = arena_alloc(arena, sizeof(*topic->partitions));
	ensure(topic->partitions);
	topic->partitions[0] = (int32_t)partition;
	topic->partitions_count = 1;
	/* Not both in one request. */
	for (int32_t i = 0; request->topics_count && i < request->topics[0].partitions_count; i++)
		if (request->topics[0].partitions[i].partition == (int32_t)partition)
			return;
	request->forgotten_topics_data = topic;
	request->forgotten_topics_data_count = 1;
	reader->session_offsets[partition] = -1;
}

static struct fetch_request *fetch_make(struct reader *reader, int version)
{
	struct shard *shard = reader->connection.shard;
	struct fetch_request *request =
		schema_new(&fetch_request_schema, &reader->connection.arena);

	ensure(request);
	request->max_wait_ms = (int32_t)model_pick(shard, (uint32_t)reader->max_wait_ms);
	/* Who hardly waits takes whatever is shown. */
	request->min_bytes = reader->max_wait_ms < 10 ? 1 : (int32_t)model_pick(shard, 2000);
	request->max_bytes = 1 + (int32_t)model_pick(shard, 1 << 20);
	if (reader->uses_sessions) {
		request->session_id = reader->session_id;
		request->session_epoch = reader->session_epoch;
		reader->connection.model->coverage.events[EVENT_SESSION_FETCH] +=
			reader->session_epoch > 0;
	}
	partitions_fill(reader, request, version);
	session_drop_one(reader, request, version);
	return request;
}

/* The session after an answer. */
static void session_go_on(struct reader *reader, int32_t session_id)
{
	/* A broker without room for one gives none; then every request is a full one. */
	if (session_id == 0) {
		session_forget(reader);
		return;
	}
	if (reader->session_epoch > 0 && session_id != reader->session_id)
		history_violation(&reader->connection.model->history,
			"Fetch of session %d answered session %d", reader->session_id, session_id);
	reader->session_id = session_id;
	reader->session_epoch = reader->session_epoch == INT32_MAX ? 1 : reader->session_epoch + 1;
}

static int answer_read(
	struct reader *reader, const struct fetch_response *response, uint64_t crashes)
{
	bool is_out_of_range = false;
	int code = KAFKA_NONE;

	for (int32_t i = 0; i < response->responses_count; i++) {
		const struct fetch_response_fetchable_topic_response *topic =
			&response->responses[i];

		for (int32_t k = 0; k < topic->partitions_count; k++) {
			const struct fetch_response_partition_data *data = &topic->partitions[k];
			unsigned partition = (unsigned)data->partition_index;

			if (partition >= reader->topic.partition_count) {
				history_violation(&reader->connection.model->history,
					"Fetch answered partition %u", partition);
			} else if (data->error_code == KAFKA_OFFSET_OUT_OF_RANGE) {
				/* Only below the start; nothing else that was readable goes. */
				is_out_of_range = true;
				reader->connection.model->coverage.events[EVENT_BELOW_START]++;
				if (reader->next[partition] >=
					reader->connection.model->history
						.logs[reader->topic.first_log + partition]
						->start_asked)
					code = data->error_code;
			} else if (data->error_code != KAFKA_NONE) {
				int64_t skip = history_rot_skip(&reader->connection.model->history,
					reader->topic.first_log + partition,
					reader->next[partition]);

				if (skip != reader->next[partition])
					position_set(reader, partition, skip);
				else
					code = data->error_code;
			} else {
				partition_read(reader, partition, data, crashes);
			}
			/* What failed is asked again, and not left to the session. */
			if (data->error_code != KAFKA_NONE &&
				partition < reader->topic.partition_count)
				reader->session_offsets[partition] = -1;
		}
	}
	return code ? code : is_out_of_range ? start_seek(reader) : KAFKA_NONE;
}

/* A client of old times asks twice, and may be gone before the second answer is converted for it: the
 * first, which it did not read, makes its close a reset. */
static bool old_client_leaves(struct reader *reader, int version, struct fetch_request *request)
{
	struct model_connection *connection = &reader->connection;
	int error = 0;

	if (model_pick(connection->shard, 3) > 0 || !model_connection_open(connection))
		return false;
	for (unsigned i = 0; i < 2 && !error; i++)
		error = wire_ask(
			&connection->wire, &connection->arena, API_FETCH, version, request);
	if (!error)
		fiber_sleep(connection->shard, model_pick(connection->shard, 20000) * 1000);
	model_connection_close(connection);
	connection->model->coverage.events[EVENT_OLD_CLIENT_LEFT]++;
	return true;
}

/* What a conversion may say of records that a newer version hands out as they are. */
static bool is_of_conversion(int version, int error_code)
{
	return version < FETCH_VERSION_OF_BATCHES &&
	       (error_code == KAFKA_UNSUPPORTED_COMPRESSION_TYPE ||
		       error_code == KAFKA_CORRUPT_MESSAGE);
}

int reader_fetch(struct reader *reader)
{
	struct model_connection *connection = &reader->connection;
	struct model *model = connection->model;
	int version = FETCH_VERSION_OF_BATCHES + (int)model_pick(connection->shard, 14);
	uint64_t crashes = model->crashes;
	struct fetch_request *request;
	struct fetch_response response;
	int error;

	if (reader->uses_sessions) {
		if (reader->session_epoch == 0)
			reader->session_version = max_of(version, 7);
		version = reader->session_version;
	} else if (!reader->is_scan && model_pick(connection->shard, 8) == 0) {
		version = (int)model_pick(connection->shard, FETCH_VERSION_OF_BATCHES);
	}
	request = fetch_make(reader, version);
	if (version < FETCH_VERSION_OF_BATCHES && old_client_leaves(reader, version, request))
		return 0;
	error = model_call(connection, API_FETCH, version, request, &response);
	if (error) {
		/* What the broker made of the request is not known: a new session. */
		session_forget(reader);
		return error;
	}
	if (response.error_code == KAFKA_FETCH_SESSION_ID_NOT_FOUND ||
		response.error_code == KAFKA_INVALID_FETCH_SESSION_EPOCH) {
		model->retriable_errors++;
		if (reader->session_epoch == 0)
			history_violation(&model->history, "Fetch without a session answered %s",
				kafka_error_name(response.error_code));
		session_forget(reader);
		return 0;
	}
	if (response.error_code != KAFKA_NONE) {
		session_forget(reader);
		return response.error_code;
	}
	if (reader->uses_sessions)
		session_go_on(reader, response.session_id);
	error = answer_read(reader, &response, crashes);
	return is_of_conversion(version, error) ? 0 : error;
}

int reader_offsets(struct reader *reader, int64_t timestamp, int64_t ret_offsets[PARTITIONS_MAX])
{
	struct model_connection *connection = &reader->connection;
	int32_t count = (int32_t)reader->topic.partition_count;
	struct list_offsets_request request;
	struct list_offsets_response response;
	struct list_offsets_request_list_offsets_topic *topic = schema_new_array(
		&list_offsets_request_list_offsets_topic_schema, &connection->arena, 1);
	int error, code = KAFKA_NONE;
	int32_t known = 0;

	ensure(topic);
	schema_init(&list_offsets_request_schema, &request);
	request.replica_id = -1;
	request.topics = topic;
	request.topics_count = 1;
	topic->name = topic_name(reader);
	topic->partitions = schema_new_array(
		&list_offsets_request_list_offsets_partition_schema, &connection->arena, count);
	topic->partitions_count = count;
	ensure(topic->partitions);
	for (int32_t i = 0; i < count; i++) {
		topic->partitions[i].partition_index = i;
		topic->partitions[i].timestamp = timestamp;
	}
	error = model_call(connection, API_LIST_OFFSETS, 1 + (int)model_pick(connection->shard, 10),
		&request, &response);
	if (error)
		return error;
	for (int32_t i = 0; response.topics_count == 1 && i < response.topics[0].partitions_count;
		i++) {
		const struct list_offsets_response_list_offsets_partition_response *partition =
			&response.topics[0].partitions[i];

		if (partition->error_code != KAFKA_NONE) {
			code = partition->error_code;
		} else if (partition->partition_index < count) {
			ret_offsets[partition->partition_index] = partition->offset;
			known++;
		}
	}
	return code ? code : known < count ? KAFKA_UNKNOWN_SERVER_ERROR : KAFKA_NONE;
}

bool reader_has_reached(const struct reader *reader, const int64_t ends[PARTITIONS_MAX])
{
	for (unsigned i = 0; i < reader->topic.partition_count; i++)
		if (reader->next[i] < ends[i])
			return false;
	return true;
}
