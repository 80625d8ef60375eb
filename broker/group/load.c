/*
 * Loading a coordinator: the log of its partition from start to end, batch by batch, into a new
 * machine. Records that cannot be read are skipped and logged, as Kafka does: one broken record
 * must not take all groups of the partition away.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/group/coordinator_internal.h"
#include "protocol/batch_records.h"
#include "runtime/fiber.h"

enum {
	LOAD_CHUNK_BYTES = 1 << 20,
	LOAD_RETRY_MS = 1000,
	/* Of a shard: each has its buffers, and there may be very many partitions. */
	LOADS_AT_ONCE = 4,
	YIELD_BATCHES = 256, /* other steps come in between */
};
#define LOAD_DECOMPRESSED_MAX ((uint64_t)1 << 30)
#define LOAD_SCRATCH_BYTES    ((size_t)1 << 30)

struct group_load {
	struct log_read read;
	struct shard *shard;
	struct fiber *fiber;
	bool read_done;
	struct compress_context *context;
	struct arena scratch; /* of one record */
	uint8_t *data;
	size_t capacity;
	uint64_t records, skipped;
};

static void load_read_done(struct log_read *op)
{
	struct group_load *load = container_of(op, struct group_load, read);

	load->read_done = true;
	fiber_wake(load->shard, load->fiber);
}

/* The bytes at OFFSET, whole batches at the front; 0 bytes at the end. Their number or a negative
 * errno. */
static int64_t load_read(struct group_partition *place, struct group_load *load, int64_t offset)
{
	struct shard *shard = place->shard->shard;
	struct log *log = place->partition->log;

	load->read = (struct log_read){
		.offset = offset,
		.end = log_readable_end(log),
		.max_bytes = LOAD_CHUNK_BYTES,
		.at_least_one = true,
		.done = load_read_done,
	};
	load->read_done = false;
	log_read(log, &load->read);
	while (!load->read_done)
		fiber_wait(shard);
	struct log_slice slice = load->read.slice;
	int16_t error = load->read.error_code;
	log_read_done(&load->read);
	if (error)
		return -EIO;
	if (slice.size == 0)
		return 0;
	if (slice.size > load->capacity) {
		free(load->data);
		load->data = malloc(slice.size);
		load->capacity = load->data ? slice.size : 0;
	}
	int64_t size =
		load->data ? fiber_read(shard, slice.file, load->data, slice.size, slice.position)
			   : -ENOMEM;
	file_unref(slice.file);
	return size;
}

static void load_control(struct group_partition *place, const struct batch_header *header,
	const struct record *record)
{
	/* A control record's key: version, type. */
	if (record->key.size < 4)
		return;
	int type = (int16_t)load_be16(record->key.data + 2);
	if (type == CONTROL_COMMIT || type == CONTROL_ABORT)
		group_machine_replay_marker(
			place->machine, header->producer_id, type == CONTROL_COMMIT);
}

static int load_batch(struct group_partition *place, struct group_load *load, const uint8_t *data,
	const struct batch_header *header)
{
	int64_t producer_id = batch_is_transactional(header) ? header->producer_id : -1;
	struct batch_records records;
	struct record record;
	int result;

	if (batch_check(data, header) < 0)
		return -EBADMSG;
	result = batch_records_begin(
		&records, load->context, data, header, BATCH_RECORDS_WHOLE, LOAD_DECOMPRESSED_MAX);
	if (result < 0)
		return result;
	while ((result = batch_records_next(&records, &record)) > 0) {
		if (batch_is_control(header)) {
			load_control(place, header, &record);
			continue;
		}
		load->records++;
		if (group_machine_replay(place->machine, record.offset, producer_id, record.key,
			    record.value, &load->scratch) < 0)
			load->skipped++;
		arena_reset(&load->scratch);
	}
	batch_records_end(&records);
	return result;
}

static int load_log(struct group_partition *place, struct group_load *load)
{
	struct shard *shard = place->shard->shard;
	struct log *log = place->partition->log;
	int64_t offset = log_start(log);
	unsigned batches = 0;

	while (place->wanted && offset < log_readable_end(log)) {
		int64_t size = load_read(place, load, offset);
		int64_t position = 0, batch_size = 0, before = offset;
		struct batch_header header;
		if (size <= 0)
			return (int)size;
		while (place->wanted && (batch_size = batch_next(load->data + position,
						 (size_t)(size - position), &header)) > 0) {
			int error =
				header.last_offset >= offset
					? load_batch(place, load, load->data + position, &header)
					: 0;
			if (error < 0)
				return error;
			offset = header.last_offset + 1;
			position += batch_size;
			if (++batches % YIELD_BATCHES == 0)
				fiber_yield(shard);
		}
		if (batch_size < 0 || (offset == before && place->wanted))
			return -EBADMSG;
	}
	return 0;
}

static void group_load_free(struct group_partition *place)
{
	struct group_load *load = place->load;

	if (!load)
		return;
	compress_context_free(load->context);
	arena_done(&load->scratch);
	free(load->data);
	free(load);
	place->load = NULL;
}

/* As many of those that wait for their turn as there is room for. */
static void loads_begin(struct group_coordinator *coordinator);

static void load_is_over(struct group_coordinator *coordinator)
{
	coordinator->loads--;
	loads_begin(coordinator);
}

static void loaded_log(struct group_partition *place, const struct group_load *load, double ms)
{
	struct broker_shard *here = place->shard;
	struct group_limits limits;
	size_t bytes = group_budget_bytes(&here->broker->group_budget);

	if (load->records == 0)
		return;
	log_event(&here->logger, LOG_GROUPS_LOADED, log_int("partition", place->key.index),
		log_int("groups", group_machine_group_count(place->machine)),
		log_int("records", (int64_t)load->records),
		log_int("skipped_records", (int64_t)load->skipped), log_double("ms", ms));
	group_limits_read(here, place->partition->log, &limits);
	if (bytes > limits.state_bytes_max)
		log_event(&here->logger, LOG_GROUPS_LOADED_BEYOND,
			log_int("allowed_bytes", (int64_t)limits.state_bytes_max),
			log_int("groups_bytes", (int64_t)bytes));
}

static void load_fiber(struct shard *shard, void *argument)
{
	struct group_partition *place = argument;
	struct group_load *load = place->load;
	struct group_coordinator *coordinator = place->coordinator;
	struct partition *partition = place->partition;
	uint64_t began_ns = shard_now_ns(shard);
	struct group_step step;
	int error;

	load->shard = shard;
	load->fiber = fiber_current(shard);
	error = load_log(place, load);
	place->loading = false;
	if (error == 0 && place->wanted) {
		loaded_log(place, load, (double)(shard_now_ns(shard) - began_ns) / 1e6);
		place->state = GROUP_PARTITION_ACTIVE;
		group_load_free(place);
		if (place->failed)
			group_machine_succeed(place->machine, place->failed);
		group_machine_free(place->failed);
		place->failed = NULL;
		group_step_start(place, &step);
		group_machine_loaded(place->machine, &step);
		group_step_finish(place, &step);
		partition_unuse(partition);
		load_is_over(coordinator);
		return;
	}
	group_load_free(place);
	group_machine_free(place->machine);
	place->machine = NULL;
	partition_unuse(partition);
	load_is_over(coordinator);
	if (!place->wanted) {
		group_partition_free_when_idle(place);
		return;
	}
	log_event(&place->shard->logger, LOG_GROUPS_FAILED, log_int("partition", place->key.index),
		log_errno("error", error));
	place->state = GROUP_PARTITION_FAILED;
	timer_set(shard, &place->timer, shard_now_ns(shard) + LOAD_RETRY_MS * NS_PER_MS);
}

static void load_begin(struct group_partition *place)
{
	struct shard *shard = place->shard->shard;
	struct group_load *load = calloc(1, sizeof(*load));
	struct group_limits limits;

	place->load = load;
	if (load) {
		arena_init(&load->scratch, LOAD_SCRATCH_BYTES);
		load->context = compress_context_new();
	}
	group_limits_read(place->shard, place->partition->log, &limits);
	if (!load || !load->context || fiber_start(shard, load_fiber, place) < 0) {
		group_load_free(place);
		partition_unuse(place->partition);
		place->state = GROUP_PARTITION_FAILED;
		timer_set(shard, &place->timer, shard_now_ns(shard) + LOAD_RETRY_MS * NS_PER_MS);
		return;
	}
	place->coordinator->loads++;
	place->loading = true;
	place->machine =
		group_machine_new(&limits, place->shard->seed, &place->shard->broker->group_budget);
}

static void loads_begin(struct group_coordinator *coordinator)
{
	struct list_node *node;

	while (coordinator->loads < LOADS_AT_ONCE &&
		(node = list_pop_front(&coordinator->loads_wanted)))
		load_begin(container_of(node, struct group_partition, load_wanted));
}

void group_partition_load(struct group_partition *place)
{
	place->state = GROUP_PARTITION_LOADING;
	partition_use(place->partition);
	list_push_back(&place->coordinator->loads_wanted, &place->load_wanted);
	loads_begin(place->coordinator);
}

void group_partition_load_cancel(struct group_partition *place)
{
	if (!list_node_is_linked(&place->load_wanted))
		return;
	list_remove(&place->load_wanted);
	partition_unuse(place->partition);
}
