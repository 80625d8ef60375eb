#include "storage/log_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "storage/log_internal.h"

void fixture_init(struct fixture *fixture, void (*body)(struct fixture *fixture), void *argument)
{
	*fixture = (struct fixture){.body = body, .argument = argument, .closes = true};
	log_config_init(&fixture->config);
	fixture->config.segment_size_bytes = 8192;
	fixture->config.segment_index_size_bytes = 1024;
	fixture->config.index_interval_bytes = 500;
	fixture->config.timestamp_after_max_ms = INT64_MAX;
	fixture->config.retention_ms = -1;
	fixture->config.file_delete_delay_ms = 100;
	fixture->options.producer_id_expiration_ms = 86400000;
}

static void folder_failed(void *argument, const char *folder, int error)
{
	((struct fixture *)argument)->folder_error = error;
}

static void program_fiber(struct shard *shard, void *argument)
{
	struct fixture *fixture = argument;
	struct log_open ask = {
		.folder = "data",
		.name = "topic-0",
		.topic = STR("topic"),
		.config = fixture->config,
		.clean = fixture->clean,
		.recovery_point = fixture->recovery_point,
		.log_start = fixture->log_start,
		.high_watermark = fixture->high_watermark,
		.clean_end = fixture->clean_end,
		.topic_id = fixture->topic_id,
	};

	fixture->shard = shard;
	fixture->open_error = fiber_make_folder(shard, "data");
	if (fixture->open_error == -EEXIST)
		fixture->open_error = 0;
	if (!fixture->open_error)
		fixture->open_error = fiber_sync_folder(shard, "/");
	fixture->options.folder_failed = folder_failed;
	fixture->options.argument = fixture;
	fixture->store = log_store_new(shard, &fixture->options);
	if (!fixture->open_error)
		fixture->open_error =
			log_open(fixture->store, &ask, &fixture->log, &fixture->recovery);
	if (!fixture->open_error) {
		fixture->body(fixture);
		if (fixture->closes)
			fixture->close_error = log_close(fixture->log);
	}
	if (fixture->closes)
		log_store_free(fixture->store);
	machine_exit(shard, fixture->open_error || fixture->close_error ? 1 : 0);
}

static void program_start(struct shard *shard, void *argument)
{
	must_eq(fiber_start(shard, program_fiber, argument), 0);
}

void fixture_start(struct host *host, struct fixture *fixture)
{
	struct program program = {.start = program_start, .argument = fixture};

	fixture->log = NULL;
	fixture->folder_error = fixture->open_error = fixture->close_error = 0;
	host_start(host, 1, &program);
}

int fixture_run(struct world *world, struct host *host, struct fixture *fixture)
{
	fixture_start(host, fixture);
	while (host_is_running(host))
		must(world_step(world), "nothing can happen any more");
	return host_exit_status(host);
}

uint8_t *fixture_batch_take(
	struct batch_builder *builder, struct record_buffer *buffer, uint32_t *ret_size)
{
	uint8_t *bytes;

	must_eq(batch_builder_end(builder), 0);
	bytes = malloc(buffer->size);
	memcpy(bytes, buffer->data, buffer->size);
	*ret_size = (uint32_t)buffer->size;
	record_buffer_done(buffer);
	return bytes;
}

uint8_t *fixture_batch_new(const struct fixture_batch *batch, uint32_t *ret_size)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct compress_context *context = batch->compression ? compress_context_new() : NULL;
	size_t value_size = batch->value_size ? batch->value_size : FIXTURE_VALUE_SIZE;
	struct batch_builder builder;
	struct record_buffer buffer;
	char key[32], *value = malloc(value_size);
	uint8_t *bytes;

	record_buffer_init(&buffer, 64 << 20);
	options.producer_id = batch->producer_id;
	options.producer_epoch = batch->producer_id >= 0 ? batch->epoch : NO_PRODUCER_EPOCH;
	options.base_sequence = batch->producer_id >= 0 ? batch->sequence : NO_SEQUENCE;
	options.transactional = batch->transactional;
	options.compression = batch->compression;
	options.base_offset = batch->base_offset;
	options.partition_leader_epoch = batch->leader_epoch;
	options.level = compression_levels(batch->compression).standard;
	must_eq(batch_builder_begin(&builder, &options, context, &buffer), 0);
	for (int i = 0; i < batch->count; i++) {
		snprintf(key, sizeof(key), "%lld", (long long)(batch->from_ms + i));
		memset(value, 'a' + i % 26, value_size);
		must_eq(batch_builder_append(&builder, batch->base_offset + i, batch->from_ms + i,
				(struct bytes){(uint8_t *)key, (int32_t)strlen(key)},
				(struct bytes){(uint8_t *)value, (int32_t)value_size}, NULL, 0),
			0);
	}
	bytes = fixture_batch_take(&builder, &buffer, ret_size);
	compress_context_free(context);
	free(value);
	return bytes;
}

uint8_t *fixture_marker_new(int64_t producer_id, int16_t epoch, bool aborts, uint32_t *ret_size)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	uint8_t key[4] = {0, 0, 0, aborts ? 0 : 1}, value[6] = {0};
	struct batch_builder builder;
	struct record_buffer buffer;

	record_buffer_init(&buffer, 4096);
	options.producer_id = producer_id;
	options.producer_epoch = epoch;
	options.transactional = options.control = true;
	must_eq(batch_builder_begin(&builder, &options, NULL, &buffer), 0);
	must_eq(batch_builder_append(&builder, 0, 5000, (struct bytes){key, sizeof(key)},
			(struct bytes){value, sizeof(value)}, NULL, 0),
		0);
	return fixture_batch_take(&builder, &buffer, ret_size);
}

struct append_wait {
	struct log_append op;
	struct fiber *fiber;
	struct shard *shard;
};

static void append_done(struct log_append *op)
{
	struct append_wait *wait = container_of(op, struct append_wait, op);

	fiber_wake(wait->shard, wait->fiber);
}

static struct fixture_answer append(struct log *log, enum append_origin origin, uint8_t *bytes,
	uint32_t size, bool durable, int32_t epoch)
{
	struct shard *shard = log_store_shard(log_store_of(log));
	struct append_wait wait = {
		.op = {.records = bytes,
			.size = size,
			.origin = origin,
			.durable = durable,
			.leader_epoch = epoch,
			.produce_version = origin == APPEND_CLIENT ? 9 : -1,
			.done = append_done},
		.fiber = fiber_current(shard),
		.shard = shard,
	};
	struct fixture_answer answer;

	log_append(log, &wait.op);
	fiber_wait(shard);
	answer = (struct fixture_answer){
		.error_code = wait.op.error_code,
		.duplicate = wait.op.duplicate,
		.base_offset = wait.op.base_offset,
		.last_offset = wait.op.last_offset,
		.record_error_count = wait.op.record_error_count,
	};
	log_append_done(&wait.op);
	free(bytes);
	return answer;
}

struct fixture_answer fixture_append_bytes(
	struct log *log, enum append_origin origin, uint8_t *bytes, uint32_t size, bool durable)
{
	return append(log, origin, bytes, size, durable, 0);
}

struct fixture_answer fixture_append_replica(
	struct log *log, uint8_t *bytes, uint32_t size, int32_t epoch)
{
	return append(log, APPEND_REPLICA, bytes, size, false, epoch);
}

struct fixture_answer fixture_append(struct log *log, const struct fixture_batch *batch)
{
	uint32_t size;
	uint8_t *bytes = fixture_batch_new(batch, &size);

	return fixture_append_bytes(log, APPEND_CLIENT, bytes, size, false);
}

struct fixture_answer fixture_append_records(struct log *log, int count, int64_t from_ms)
{
	return fixture_append(log,
		&(struct fixture_batch){.count = count, .from_ms = from_ms, .producer_id = -1});
}

static void sent_answered(struct log_append *op)
{
	struct fixture_sent *sent = container_of(op, struct fixture_sent, op);

	sent->is_answered = true;
	sent->readable_end = log_readable_end(op->log);
	sent->durable_end = log_settled_end(op->log);
	if (sent->fiber)
		fiber_wake(sent->shard, sent->fiber);
}

void fixture_send(struct log *log, struct fixture_sent *sent, const struct fixture_batch *batch)
{
	uint32_t size;

	*sent = (struct fixture_sent){.shard = log_store_shard(log_store_of(log))};
	sent->bytes = fixture_batch_new(batch, &size);
	sent->op = (struct log_append){.records = sent->bytes,
		.size = size,
		.origin = APPEND_CLIENT,
		.produce_version = 9,
		.done = sent_answered};
	log_append(log, &sent->op);
}

int16_t fixture_answer_wait(struct fixture_sent *sent)
{
	sent->fiber = fiber_current(sent->shard);
	while (!sent->is_answered)
		fiber_wait(sent->shard);
	log_append_done(&sent->op);
	free(sent->bytes);
	return sent->op.error_code;
}

struct read_wait {
	struct log_read op;
	struct fiber *fiber;
	struct shard *shard;
};

static void read_done(struct log_read *op)
{
	struct read_wait *wait = container_of(op, struct read_wait, op);

	fiber_wake(wait->shard, wait->fiber);
}

int16_t fixture_read(struct log *log, int64_t offset, int64_t end, uint32_t max_bytes,
	bool at_least_one, struct log_slice *ret_slice, uint8_t **ret_data)
{
	struct shard *shard = log_store_shard(log_store_of(log));
	struct read_wait wait = {
		.op = {.offset = offset,
			.end = end,
			.max_bytes = max_bytes,
			.at_least_one = at_least_one,
			.done = read_done},
		.fiber = fiber_current(shard),
		.shard = shard,
	};

	log_read(log, &wait.op);
	fiber_wait(shard);
	*ret_slice = wait.op.slice;
	if (ret_data) {
		*ret_data = malloc(wait.op.slice.size + 1);
		if (wait.op.slice.size && wait.op.error_code == 0)
			/* A fault that the test ordered may hit this read; it comes once. */
			must(fiber_read(shard, wait.op.slice.file, *ret_data, wait.op.slice.size,
				     wait.op.slice.position) == wait.op.slice.size ||
				fiber_read(shard, wait.op.slice.file, *ret_data, wait.op.slice.size,
					wait.op.slice.position) == wait.op.slice.size);
	}
	file_unref(wait.op.slice.file);
	log_read_done(&wait.op);
	return wait.op.error_code;
}

int fixture_read_all(struct log *log, int64_t offset,
	void (*each)(const struct batch_header *header, const uint8_t *data, void *argument),
	void *argument)
{
	struct batch_header header;
	struct log_slice slice;
	uint8_t *data;
	int batches = 0;
	int64_t size;

	while (offset < log_readable_end(log)) {
		int16_t error_code =
			fixture_read(log, offset, log_readable_end(log), 3000, true, &slice, &data);

		if (error_code && !log_is_usable(log)) {
			free(data);
			return -1;
		}
		must_eq(error_code, 0, "offset %ld of %ld..%ld", offset, log_start(log),
			log_readable_end(log));
		if (slice.size == 0) {
			free(data);
			break; /* a truncated end in the middle of a batch */
		}
		for (uint32_t at = 0; (size = batch_next(data + at, slice.size - at, &header)) > 0;
			at += (uint32_t)size) {
			must_eq(batch_check(data + at, &header), 0);
			must_geq(header.last_offset, offset);
			if (each)
				each(&header, data + at, argument);
			offset = header.last_offset + 1;
			batches++;
		}
		free(data);
	}
	return batches;
}

struct time_wait {
	struct log_time_lookup op;
	struct fiber *fiber;
	struct shard *shard;
};

static void time_done(struct log_time_lookup *op)
{
	struct time_wait *wait = container_of(op, struct time_wait, op);

	fiber_wake(wait->shard, wait->fiber);
}

int64_t fixture_offset_for_time(struct log *log, int64_t timestamp_ms, int64_t *ret_timestamp)
{
	struct shard *shard = log_store_shard(log_store_of(log));
	struct time_wait wait = {
		.op = {.timestamp_ms = timestamp_ms, .done = time_done},
		.fiber = fiber_current(shard),
		.shard = shard,
	};

	log_offset_for_time(log, &wait.op);
	fiber_wait(shard);
	must_eq(wait.op.error_code, 0);
	if (ret_timestamp)
		*ret_timestamp = wait.op.found_timestamp_ms;
	return wait.op.offset;
}

struct sync_wait {
	struct log_sync op;
	struct fiber *fiber;
	struct shard *shard;
};

static void sync_done(struct log_sync *op)
{
	struct sync_wait *wait = container_of(op, struct sync_wait, op);

	fiber_wake(wait->shard, wait->fiber);
}

int fixture_sync(struct log *log)
{
	struct shard *shard = log_store_shard(log_store_of(log));
	struct sync_wait wait = {
		.op = {.done = sync_done}, .fiber = fiber_current(shard), .shard = shard};

	log_sync(log, &wait.op);
	fiber_wait(shard);
	return wait.op.result;
}

void fixture_open_more(struct fixture *fixture, struct log **ret_logs, int count)
{
	struct log_open ask = {.folder = "data", .topic = STR("topic"), .config = fixture->config};
	char name[32];

	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "topic-%d", i + 1);
		ask.name = name;
		ask.partition = i + 1;
		must_eq(log_open(fixture->store, &ask, &ret_logs[i], NULL), 0);
	}
}

/* In a fiber, so that what waits for the disk may find another recovery point: then it is looked at again. */
void fixture_check_backlog(struct log *log)
{
	struct segment_window window;
	struct batch_header header;
	int64_t recovery_point;
	uint64_t counted, bytes;
	uint32_t generation;

	do {
		recovery_point = log->recovery_point;
		generation = log->generation;
		counted = log->backlog_bytes;
		bytes = 0;
		for (uint32_t i = 0; i < log->segment_count && !log->error; i++) {
			struct segment *segment = segment_ref(log->segments[i]);
			uint64_t position = 0, size = segment->tail.size;

			segment_window_init(&window);
			while (segment_header(segment, &window, position, size, &header) > 0) {
				if (header.last_offset >= recovery_point)
					bytes += (uint64_t)header.size;
				position += (uint64_t)header.size;
			}
			segment_unref(segment);
		}
	} while (recovery_point != log->recovery_point || generation != log->generation ||
		 counted != log->backlog_bytes);
	must_eq(counted, bytes, "recovery point %ld of %ld", (long)recovery_point, (long)log->end);
}
