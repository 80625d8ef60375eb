#include "inspection.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"
#include "runtime/fiber.h"
#include "runtime/simulated/memory.h"
#include "runtime/simulated/world.h"
#include "storage/log_dirs.h"

enum { NODE_ID = 1, READ_SIZE = 1 << 16, PRODUCER_ROWS_MAX = 256 };

/* One batch, as the log finds it. */
struct found_batch {
	int64_t base_offset, last_offset, max_timestamp;
	int64_t offset_by_time; /* of the first record at or behind max_timestamp */
	uint64_t position;	/* in its segment */
	int64_t epoch;		/* of its offset, as the log has it */
};
/* They are compared as bytes. */
_Static_assert(sizeof(struct found_batch) == 6 * sizeof(int64_t), "no padding");

struct found_log {
	char name[64];
	int64_t start, end;
	bool is_cut; /* its first segments were deleted, with producers that only they knew */
	struct found_batch *batches;
	uint32_t batch_count, batch_capacity;
	struct log_producer producers[PRODUCER_ROWS_MAX];
	uint32_t producer_count;
};

/* What one opening found. */
struct inspection {
	struct found_log *logs;
	uint32_t log_count;
	bool is_unformatted, starts_move, is_compacted;
	char problem[200]; /* empty: none */
	struct shard *shard;
};

static void problem_set(struct inspection *inspection, const struct found_log *log,
	const char *what, int64_t offset, int64_t value)
{
	if (inspection->problem[0] == '\0')
		snprintf(inspection->problem, sizeof(inspection->problem),
			"%s: %s at offset %" PRId64 " (%" PRId64 ")", log ? log->name : "the disk",
			what, offset, value);
}

/* ---- asking the log ---- */

struct read_wait {
	struct log_read op;
	struct inspection *inspection;
	struct fiber *fiber;
	bool is_done;
};

static void read_done(struct log_read *op)
{
	struct read_wait *wait = container_of(op, struct read_wait, op);

	wait->is_done = true;
	fiber_wake(wait->inspection->shard, wait->fiber);
}

/* Where the batch of OFFSET is. RET_DATA: the bytes of it and of those behind it, freed by the
 * caller; NULL when only the place is wanted. */
static int16_t batch_find(struct inspection *inspection, struct log *log, int64_t offset,
	uint32_t max_bytes, struct log_slice *ret_slice, uint8_t **ret_data)
{
	struct shard *shard = inspection->shard;
	struct read_wait wait = {
		.op = {.offset = offset,
			.end = log_readable_end(log),
			.max_bytes = max_bytes,
			.at_least_one = true,
			.done = read_done},
		.inspection = inspection,
		.fiber = fiber_current(shard),
	};

	log_read(log, &wait.op);
	while (!wait.is_done)
		fiber_wait(shard);
	*ret_slice = wait.op.slice;
	if (ret_data && wait.op.error_code == 0) {
		*ret_data = malloc(wait.op.slice.size + 1);
		ensure(*ret_data);
		ensure(wait.op.slice.size == 0 ||
			fiber_read(shard, wait.op.slice.file, *ret_data, wait.op.slice.size,
				wait.op.slice.position) == wait.op.slice.size);
	}
	file_unref(wait.op.slice.file);
	log_read_done(&wait.op);
	return wait.op.error_code;
}

struct time_wait {
	struct log_time_lookup op;
	struct inspection *inspection;
	struct fiber *fiber;
	bool is_done;
};

static void time_done(struct log_time_lookup *op)
{
	struct time_wait *wait = container_of(op, struct time_wait, op);

	wait->is_done = true;
	fiber_wake(wait->inspection->shard, wait->fiber);
}

static int64_t offset_by_time(struct inspection *inspection, struct log *log, int64_t timestamp_ms)
{
	struct shard *shard = inspection->shard;
	struct time_wait wait = {
		.op = {.timestamp_ms = timestamp_ms, .done = time_done},
		.inspection = inspection,
		.fiber = fiber_current(shard),
	};

	log_offset_for_time(log, &wait.op);
	while (!wait.is_done)
		fiber_wait(shard);
	return wait.op.error_code ? -100 - wait.op.error_code : wait.op.offset;
}

/* ---- noting ---- */

static void batch_note(struct inspection *inspection, struct found_log *found, struct log *log,
	const struct batch_header *header, uint64_t position)
{
	struct found_batch *batch;
	struct log_slice slice;
	int16_t code;

	if (found->batch_count == found->batch_capacity) {
		found->batch_capacity = max_of(64u, found->batch_capacity * 2);
		found->batches = world_realloc(
			found->batches, found->batch_capacity * sizeof(*found->batches));
	}
	batch = &found->batches[found->batch_count++];
	*batch = (struct found_batch){
		.base_offset = header->base_offset,
		.last_offset = header->last_offset,
		.max_timestamp = header->max_timestamp,
		.position = position,
		.epoch = log_epoch_at(log, max_of(header->base_offset, log_start(log))),
	};
	if (batch->epoch < 0 && inspection->starts_move)
		batch->epoch = header->partition_leader_epoch;
	if (batch->epoch != header->partition_leader_epoch)
		problem_set(inspection, found, "the leader epoch is not the batch's",
			header->base_offset, batch->epoch);
	/* Looked up alone, and by time: some of them, since each is a search. */
	if (found->batch_count % 4 != 1)
		return;
	code = batch_find(inspection, log, header->last_offset, 1, &slice, NULL);
	if (code || slice.position != position)
		problem_set(inspection, found, "a lookup finds another batch", header->last_offset,
			(int64_t)slice.position);
	batch->offset_by_time = offset_by_time(inspection, log, header->max_timestamp);
}

static void batches_note(struct inspection *inspection, struct found_log *found, struct log *log)
{
	int64_t offset = log_start(log);

	while (offset < log_readable_end(log) && inspection->problem[0] == '\0') {
		struct batch_header header;
		struct log_slice slice;
		uint8_t *data = NULL;
		int64_t size;
		int16_t code = batch_find(inspection, log, offset, READ_SIZE, &slice, &data);

		if (code) {
			problem_set(inspection, found, "it can't be read", offset, code);
			return;
		}
		/* A power cut took the end of a closed segment; in a compacted log a gap may be meant. */
		if (slice.size == 0 && inspection->is_compacted) {
			free(data);
			return;
		}
		size = 0;
		for (uint32_t at = 0; (size = batch_next(data + at, slice.size - at, &header)) > 0;
			at += (uint32_t)size) {
			if (batch_check(data + at, &header) < 0)
				problem_set(inspection, found, "a batch is damaged",
					header.base_offset, 0);
			batch_note(inspection, found, log, &header, slice.position + at);
			offset = header.last_offset + 1;
		}
		free(data);
		if (slice.size == 0 || size < 0) {
			problem_set(inspection, found, "no batch", offset, size);
			return;
		}
	}
}

static void log_note(struct inspection *inspection, struct log *log, const char *name)
{
	struct found_log *found;

	inspection->logs = world_realloc(
		inspection->logs, (inspection->log_count + 1) * sizeof(*inspection->logs));
	found = &inspection->logs[inspection->log_count++];
	memset(found, 0, sizeof(*found));
	snprintf(found->name, sizeof(found->name), "%s", name);
	found->start = log_start(log);
	found->end = log_readable_end(log);
	found->is_cut = log_first_segment_offset(log) > 0;
	found->producer_count = min_of(log_producers(log, found->producers, PRODUCER_ROWS_MAX),
		(uint32_t)PRODUCER_ROWS_MAX);
	batches_note(inspection, found, log);
}

/* ---- the program ---- */

static void folder_failed(void *argument, const char *folder, int error)
{
	problem_set(argument, NULL, "the folder failed", 0, error);
}

static void entry_inspect(struct inspection *inspection, struct log_store *store,
	struct log_dirs *dirs, const struct log_dir_entry *entry)
{
	struct log_dir *dir = log_dirs_at(dirs, entry->dir);
	char name[64];
	struct log_open ask = {
		.folder = dir->path,
		.name = name,
		.topic = entry->topic,
		.topic_id = entry->topic_id,
		.partition = entry->partition,
		.clean = dir->clean,
		.recovery_point = entry->recovery_point,
		.log_start = entry->log_start,
		.high_watermark = entry->high_watermark,
		.clean_end = entry->clean_end,
		.owner = inspection,
	};
	struct log *log;
	int error;

	snprintf(name, sizeof(name), "%.*s-%d", STR_ARGS(entry->topic), entry->partition);
	log_config_init(&ask.config);
	ask.config.retention_ms = -1;
	ask.config.compact = inspection->is_compacted;
	error = log_open(store, &ask, &log, NULL);
	if (error) {
		problem_set(inspection, NULL, name, 0, error);
		return;
	}
	log_note(inspection, log, name);
	log_abandon(log);
}

static void inspect(struct shard *shard, void *argument)
{
	struct inspection *inspection = argument;
	struct str path = STR(NODE_DATA);
	struct log_dirs_options options = {
		.paths = &path, .count = 1, .metadata_path = path, .node_id = NODE_ID};
	struct log_store_options store_options = {.retention_check_interval_ms = 0,
		.folder_failed = folder_failed,
		.argument = inspection};
	struct log_dirs *dirs;
	struct log_store *store;
	struct arena arena;
	const char *why = "";
	int error;

	inspection->shard = shard;
	arena_init(&arena, 16 << 20);
	error = log_dirs_open(shard, &options, &arena, &dirs, &why);
	if (error == -ENOENT) {
		inspection->is_unformatted = true;
		machine_exit(shard, 0);
		return;
	}
	if (!error)
		error = log_dirs_unmark_clean(shard, dirs);
	if (error) {
		problem_set(inspection, NULL, why ? why : "it can't be opened", 0, error);
		machine_exit(shard, 0);
		return;
	}
	store = log_store_new(shard, &store_options);
	ensure(store);
	for (uint32_t i = 0; i < log_dirs_entry_count(dirs) && inspection->problem[0] == '\0'; i++)
		entry_inspect(inspection, store, dirs, log_dirs_entry_at(dirs, i));
	machine_exit(shard, 0);
}

static void inspect_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, inspect, argument) == 0);
}

/* ---- taking away what is derived ---- */

struct stripping {
	struct host *host;
	const char *folder;
	char (*names)[512];
	unsigned count, capacity;
};

static bool ends_with(const char *name, const char *ending)
{
	size_t size = strlen(name), ending_size = strlen(ending);

	return size >= ending_size && strcmp(name + size - ending_size, ending) == 0;
}

static int name_note(void *argument, const char *name, bool is_folder)
{
	struct stripping *stripping = argument;
	static const char *const endings[] = {
		".index", ".timeindex", ".txnindex", ".snapshot", "leader-epoch-checkpoint"};
	bool is_wanted = is_folder && strcmp(stripping->folder, NODE_DATA) == 0 &&
			 strncmp(name, "__cluster_metadata", strlen("__cluster_metadata")) != 0;

	for (unsigned i = 0; i < array_length(endings) && !is_folder; i++)
		is_wanted |= ends_with(name, endings[i]);
	if (!is_wanted)
		return 0;
	if (stripping->count == stripping->capacity) {
		stripping->capacity = max_of(16u, stripping->capacity * 2);
		stripping->names = world_realloc(
			stripping->names, stripping->capacity * sizeof(*stripping->names));
	}
	snprintf(stripping->names[stripping->count++], sizeof(*stripping->names), "%s/%s",
		stripping->folder, name);
	return 0;
}

static void derived_remove(struct host *host)
{
	struct stripping folders = {.host = host, .folder = NODE_DATA};

	host_file_list(host, NODE_DATA, name_note, &folders);
	for (unsigned i = 0; i < folders.count; i++) {
		struct stripping files = {.host = host, .folder = folders.names[i]};

		host_file_list(host, files.folder, name_note, &files);
		for (unsigned k = 0; k < files.count; k++)
			host_file_remove(host, files.names[k]);
		free(files.names);
	}
	free(folders.names);
	host_file_remove(host, NODE_DATA "/recovery-point-offset-checkpoint");
	host_file_remove(host, NODE_DATA "/.kafka_cleanshutdown");
}

/* ---- comparing ---- */

static void open_copy(const struct disk *disk, bool is_rebuilt, bool starts_move, bool is_compacted,
	struct inspection *ret_inspection)
{
	struct world_options options = {.seed = 1};
	struct world *world = world_new(&options);
	struct host *host = world_host_new(world, "inspected", "10.9.0.1");
	struct program program = {.start = inspect_start, .argument = ret_inspection};

	memset(ret_inspection, 0, sizeof(*ret_inspection));
	ret_inspection->starts_move = starts_move;
	ret_inspection->is_compacted = is_compacted;
	host_disk_set(host, disk);
	host_disk_capacity_set(host, 1ull << 40);
	if (is_rebuilt)
		derived_remove(host);
	host_start(host, 1, &program);
	while (host_is_running(host))
		if (!world_step(world)) {
			problem_set(ret_inspection, NULL, "it hangs", 0, 0);
			break;
		}
	world_free(world);
}

static void inspection_done(struct inspection *inspection)
{
	for (uint32_t i = 0; i < inspection->log_count; i++)
		free(inspection->logs[i].batches);
	free(inspection->logs);
}

/* A producer whose records are all deleted is known from a snapshot only. */
static const char *producers_compare(const struct found_log *found, const struct found_log *rebuilt)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < found->producer_count; i++) {
		const struct log_producer *a = &found->producers[i];
		const struct log_producer *b = &rebuilt->producers[at];

		if (at == rebuilt->producer_count || b->producer_id > a->producer_id) {
			if (!found->is_cut)
				return "a producer too many";
			continue;
		}
		if (b->producer_id < a->producer_id)
			return "a producer is missing";
		if (a->producer_epoch != b->producer_epoch ||
			a->last_sequence != b->last_sequence ||
			a->last_timestamp_ms != b->last_timestamp_ms ||
			a->coordinator_epoch != b->coordinator_epoch ||
			a->transaction_start_offset != b->transaction_start_offset)
			return "a producer's state";
		at++;
	}
	return at == rebuilt->producer_count ? NULL : "a producer is missing";
}

static const char *logs_compare(
	const struct found_log *found, const struct found_log *rebuilt, int64_t *ret_offset)
{
	*ret_offset = -1;
	if (strcmp(found->name, rebuilt->name) != 0)
		return "the name";
	if (found->start != rebuilt->start)
		return "the log start";
	if (found->end != rebuilt->end)
		return "the log end";
	if (found->batch_count != rebuilt->batch_count)
		return "the count of batches";
	for (uint32_t i = 0; i < found->batch_count; i++) {
		*ret_offset = found->batches[i].base_offset;
		if (memcmp(&found->batches[i], &rebuilt->batches[i], sizeof(*found->batches)) != 0)
			return found->batches[i].offset_by_time !=
					       rebuilt->batches[i].offset_by_time
				       ? "the offset found by time"
				       : "a batch";
	}
	*ret_offset = -1;
	return producers_compare(found, rebuilt);
}

bool inspection_run(const struct disk *disk, bool starts_move, bool is_compacted, char *ret_why,
	size_t size)
{
	struct inspection found, rebuilt;
	bool is_good = true;

	open_copy(disk, false, starts_move, is_compacted, &found);
	open_copy(disk, true, starts_move, is_compacted, &rebuilt);
	if (found.problem[0] || rebuilt.problem[0]) {
		snprintf(ret_why, size, "%s: %s", found.problem[0] ? "as found" : "rebuilt",
			found.problem[0] ? found.problem : rebuilt.problem);
		is_good = false;
	} else if (found.is_unformatted != rebuilt.is_unformatted ||
		   found.log_count != rebuilt.log_count) {
		snprintf(ret_why, size, "%u logs are found and %u rebuilt", found.log_count,
			rebuilt.log_count);
		is_good = false;
	}
	for (uint32_t i = 0; is_good && i < found.log_count; i++) {
		int64_t offset;
		const char *what = logs_compare(&found.logs[i], &rebuilt.logs[i], &offset);

		if (what) {
			snprintf(ret_why, size,
				"%s as found differs from what is rebuilt: %s (batch %" PRId64
				"; ends %" PRId64 " and %" PRId64 ")",
				found.logs[i].name, what, offset, found.logs[i].end,
				rebuilt.logs[i].end);
			is_good = false;
		}
	}
	inspection_done(&found);
	inspection_done(&rebuilt);
	return is_good;
}
