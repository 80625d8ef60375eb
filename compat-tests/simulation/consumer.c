/* The model consumer, and the scan at the end: both read partitions and tell the history. */
#include <errno.h>
#include <stdlib.h>

#include "model.h"
#include "protocol/batch_records.h"
#include "protocol/errors.h"

struct consumer {
	struct model *model;
	struct shard *shard;
	struct compress_context *compress;
	struct arena arena;
	struct wire wire;
	bool is_connected;
	int64_t next[PARTITIONS_MAX];		 /* offsets to fetch */
	int64_t high_watermarks[PARTITIONS_MAX]; /* last told */
	bool is_scan;
};

static void consumer_disconnect(struct consumer *consumer)
{
	if (consumer->is_connected)
		wire_close(&consumer->wire);
	consumer->is_connected = false;
}

/* The records from the wanted offset on. False after a violation. */
static bool batch_read(struct consumer *consumer, unsigned partition, const uint8_t *data,
	const struct batch_header *header, int64_t high_watermark)
{
	struct history *history = &consumer->model->history;
	struct batch_records records;
	struct record record;
	int error = batch_check(data, header);

	if (!error)
		error = batch_records_begin(
			&records, consumer->compress, data, header, BATCH_RECORDS_WHOLE, 16 << 20);
	if (error) {
		history_violation(history, "partition %u offset %ld: a batch is damaged (%d)",
			partition, (long)header->base_offset, error);
		return false;
	}
	if (header->last_offset >= high_watermark)
		history_violation(history,
			"partition %u shows offset %ld, the high watermark is %ld", partition,
			(long)header->last_offset, (long)high_watermark);
	while ((error = batch_records_next(&records, &record)) > 0) {
		if (record.offset < consumer->next[partition])
			continue; /* the batch begins before what was asked for */
		if (consumer->is_scan)
			history_scan_see(history, partition, record.offset, record.value);
		else
			history_see(history, partition, record.offset, record.value);
	}
	batch_records_end(&records);
	if (error < 0)
		history_violation(history, "partition %u offset %ld: a batch has bad records (%d)",
			partition, (long)header->base_offset, error);
	consumer->next[partition] = header->last_offset + 1;
	return error == 0;
}

static void partition_read(struct consumer *consumer, unsigned partition,
	const struct fetch_response_partition_data *data)
{
	struct history *history = &consumer->model->history;
	const uint8_t *bytes = data->records.bytes.data;
	size_t size = (size_t)max_of(data->records.bytes.size, 0);
	struct batch_header header;
	int64_t step;

	if (data->high_watermark < consumer->high_watermarks[partition])
		history_violation(history, "partition %u high watermark went from %ld to %ld",
			partition, (long)consumer->high_watermarks[partition],
			(long)data->high_watermark);
	consumer->high_watermarks[partition] = data->high_watermark;
	if (data->log_start_offset > 0)
		history_violation(history, "partition %u starts at %ld", partition,
			(long)data->log_start_offset);
	for (size_t at = 0; (step = batch_next(bytes + at, size - at, &header)) != 0;
		at += (size_t)step) {
		if (step < 0) {
			history_violation(
				history, "partition %u answered what is no batch", partition);
			return;
		}
		if (!batch_read(consumer, partition, bytes + at, &header, data->high_watermark))
			return;
	}
}

static struct fetch_request *fetch_make(struct consumer *consumer, int version)
{
	struct model *model = consumer->model;
	struct arena *arena = &consumer->arena;
	int32_t count = (int32_t)model->history.partition_count;
	struct fetch_request *request = schema_new(&fetch_request_schema, arena);
	struct fetch_request_fetch_topic *topic =
		schema_new_array(&fetch_request_fetch_topic_schema, arena, 1);
	struct fetch_request_fetch_partition *partitions =
		schema_new_array(&fetch_request_fetch_partition_schema, arena, count);

	ensure(request && topic && partitions);
	request->max_wait_ms = (int32_t)model_pick(consumer->shard, 500);
	request->min_bytes = (int32_t)model_pick(consumer->shard, 2000);
	request->max_bytes = 1 + (int32_t)model_pick(consumer->shard, 1 << 20);
	request->topics = topic;
	request->topics_count = 1;
	if (version >= 13)
		topic->topic_id = model->topic_id;
	else
		topic->topic = MODEL_TOPIC;
	topic->partitions = partitions;
	topic->partitions_count = count;
	for (int32_t i = 0; i < count; i++) {
		partitions[i].partition = i;
		partitions[i].fetch_offset = consumer->next[i];
		partitions[i].partition_max_bytes =
			1 + (int32_t)model_pick(consumer->shard, 1 << 18);
	}
	return request;
}

/* 0, or an error of the connection. */
static int consumer_fetch(struct consumer *consumer)
{
	struct model *model = consumer->model;
	int version = 4 + (int)model_pick(consumer->shard, 14);
	struct fetch_response response;
	int error = wire_call(&consumer->wire, &consumer->arena, API_FETCH, version,
		fetch_make(consumer, version), &response, MODEL_TIMEOUT_NS);

	if (error)
		return error;
	model->requests++;
	if (response.error_code != KAFKA_NONE) {
		model_can_retry(model, "Fetch", response.error_code);
		return 0;
	}
	for (int32_t i = 0; i < response.responses_count; i++) {
		const struct fetch_response_fetchable_topic_response *topic =
			&response.responses[i];

		for (int32_t k = 0; k < topic->partitions_count; k++) {
			const struct fetch_response_partition_data *data = &topic->partitions[k];

			if (data->error_code != KAFKA_NONE)
				model_can_retry(model, "Fetch of a partition", data->error_code);
			else if ((uint32_t)data->partition_index < model->history.partition_count)
				partition_read(consumer, (unsigned)data->partition_index, data);
		}
	}
	return 0;
}

static void consumer_init(struct consumer *consumer, struct model *model, struct shard *shard)
{
	consumer->model = model;
	consumer->shard = shard;
	consumer->compress = compress_context_new();
	arena_init(&consumer->arena, 16 << 20);
}

static void consumer_done(struct consumer *consumer)
{
	consumer_disconnect(consumer);
	compress_context_free(consumer->compress);
	arena_done(&consumer->arena);
	free(consumer);
}

/* One request, with what goes before and after. */
static void consumer_step(struct consumer *consumer, int (*ask)(struct consumer *consumer))
{
	struct model *model = consumer->model;
	int error;

	if (!consumer->is_connected)
		consumer->is_connected = model_connect(model, consumer->shard, &consumer->wire);
	if (!consumer->is_connected)
		return;
	error = ask(consumer);
	if (error == -EBADMSG)
		history_violation(&model->history, "Fetch answered what is no answer");
	if (error) {
		model->broken_connections++;
		consumer_disconnect(consumer);
		model_pause(consumer->shard);
	}
	arena_reset(&consumer->arena);
}

static void consumer_run(struct shard *shard, void *argument)
{
	struct model_client *client = argument;
	struct model *model = client->model;
	struct consumer *consumer = calloc(1, sizeof(*consumer));

	ensure(consumer);
	consumer_init(consumer, model, shard);
	while (!model->is_draining && !model->history.violation[0]) {
		consumer_step(consumer, consumer_fetch);
		/* From the beginning again: what was read must still be there. */
		if (model_pick(shard, 30) == 0)
			memset(consumer->next, 0, sizeof(consumer->next));
	}
	consumer_done(consumer);
	model->consumers_running--;
	machine_exit(shard, 0);
}

void model_consumer_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, consumer_run, argument) == 0);
}

struct scan {
	struct consumer consumer; /* first */
	int64_t ends[PARTITIONS_MAX];
	unsigned known; /* partitions whose end is */
};

static int scan_ask_ends(struct consumer *consumer)
{
	struct scan *scan = container_of(consumer, struct scan, consumer);
	struct model *model = consumer->model;
	int32_t count = (int32_t)model->history.partition_count;
	struct list_offsets_request request;
	struct list_offsets_response response;
	struct list_offsets_request_list_offsets_topic *topic = schema_new_array(
		&list_offsets_request_list_offsets_topic_schema, &consumer->arena, 1);
	int version = 1 + (int)model_pick(consumer->shard, 10), error;

	schema_init(&list_offsets_request_schema, &request);
	request.replica_id = -1;
	request.topics = topic;
	request.topics_count = 1;
	topic->name = MODEL_TOPIC;
	topic->partitions = schema_new_array(
		&list_offsets_request_list_offsets_partition_schema, &consumer->arena, count);
	topic->partitions_count = count;
	for (int32_t i = 0; i < count; i++) {
		topic->partitions[i].partition_index = i;
		topic->partitions[i].timestamp = -1; /* the latest */
	}
	error = wire_call(&consumer->wire, &consumer->arena, API_LIST_OFFSETS, version, &request,
		&response, MODEL_TIMEOUT_NS);
	if (error)
		return error;
	model->requests++;
	scan->known = 0;
	for (int32_t i = 0; response.topics_count == 1 && i < response.topics[0].partitions_count;
		i++) {
		const struct list_offsets_response_list_offsets_partition_response *partition =
			&response.topics[0].partitions[i];

		if (partition->error_code != KAFKA_NONE) {
			model_can_retry(model, "ListOffsets", partition->error_code);
		} else if (partition->partition_index < count) {
			scan->ends[partition->partition_index] = partition->offset;
			scan->known++;
		}
	}
	if (scan->known < (unsigned)count)
		model_pause(consumer->shard);
	return 0;
}

static bool scan_is_over(const struct scan *scan)
{
	const struct model *model = scan->consumer.model;

	if (model->history.violation[0])
		return true;
	for (unsigned i = 0; i < model->history.partition_count; i++)
		if (scan->consumer.next[i] < scan->ends[i])
			return false;
	return true;
}

static void scan_run(struct shard *shard, void *argument)
{
	struct model_client *client = argument;
	struct model *model = client->model;
	struct scan *scan = calloc(1, sizeof(*scan));
	struct consumer *consumer = &scan->consumer;

	ensure(scan);
	consumer_init(consumer, model, shard);
	consumer->is_scan = true;
	for (unsigned i = 0; i < model->history.partition_count; i++)
		history_scan_begin(&model->history, i);
	while (scan->known < model->history.partition_count && !model->history.violation[0])
		consumer_step(consumer, scan_ask_ends);
	while (!scan_is_over(scan))
		consumer_step(consumer, consumer_fetch);
	for (unsigned i = 0; i < model->history.partition_count; i++)
		history_scan_end(&model->history, i, scan->ends[i]);
	model->is_scanned = true;
	consumer_done(consumer);
	machine_exit(shard, 0);
}

void model_scan_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, scan_run, argument) == 0);
}
