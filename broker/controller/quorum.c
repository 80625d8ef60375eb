#include "broker/controller/quorum.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/config/config.h"
#include "broker/observe/log.h"
#include "protocol/errors.h"
#include "runtime/memory.h"
#include "storage/disk_reserve.h"
#include "storage/partition_metadata.h"
#include "storage/quorum_state.h"

#define METADATA_TOPIC	"__cluster_metadata"
#define METADATA_FOLDER METADATA_TOPIC "-0"

enum {
	PATH_SIZE = 4096,
	SCRATCH_SIZE = 64 << 20,
	LOG_READ_SIZE = 128 << 10, /* a step takes no longer than its records */
	STATE_FILES_MAX = 2,
};

struct kept_snapshot {
	struct snapshot_id id;
	uint64_t size_bytes;
	int64_t last_timestamp_ms; /* of the log behind it; -1 when not read */
};

struct quorum {
	struct shard *shard;
	struct quorum_open ask;
	char path[PATH_SIZE]; /* of __cluster_metadata-0 */
	struct arena arena;   /* the voters */
	struct log *log;
	struct quorum_voters voters;
	bool voters_are_logged;	  /* not only in the snapshot of the format */
	bool voters_in_bootstrap; /* that one was read */
	bool has_topic_id;	  /* partition.metadata is there */
	struct new_state {	  /* from quorum_lead to the second append */
		struct file *files[STATE_FILES_MAX]; /* state_names, under temporary names */
		size_t count;
		bool is_begun;	  /* a fiber makes it durable, or has done so */
		bool is_settling; /* it runs */
		int error;
		struct fiber *waiter;
	} new_state;
	int32_t epoch;
	int64_t next_offset;
	struct kept_snapshot *snapshots; /* ascending */
	uint32_t snapshot_count;
	uint64_t bytes_since_snapshot;
	uint64_t snapshot_time_ns;
};

static void path_in(const struct quorum *quorum, const char *name, char path[PATH_SIZE])
{
	int size = snprintf(path, PATH_SIZE, "%s/%s", quorum->path, name);

	ensure(size > 0 && size < PATH_SIZE);
}

static void temporary_path_in(const struct quorum *quorum, const char *name, char path[PATH_SIZE])
{
	int size = snprintf(path, PATH_SIZE, "%s/%s.tmp", quorum->path, name);

	ensure(size > 0 && size < PATH_SIZE);
}

/* ---- the log's operations as calls ---- */

struct append_wait {
	struct log_append op;
	struct shard *shard;
	struct fiber *fiber;
	bool done;
};

static void append_done(struct log_append *op)
{
	struct append_wait *wait = container_of(op, struct append_wait, op);

	wait->done = true;
	fiber_wake(wait->shard, wait->fiber);
}

static int16_t append_once(struct quorum *quorum, uint8_t *batches, uint32_t size, int64_t *ret_end)
{
	struct append_wait wait = {
		.shard = quorum->shard,
		.fiber = fiber_current(quorum->shard),
		.op = {.records = batches,
			.size = size,
			.origin = APPEND_RAFT_LEADER,
			.leader_epoch = quorum->epoch,
			.durable = true,
			.done = append_done},
	};

	log_append(quorum->log, &wait.op);
	while (!wait.done)
		fiber_wait(quorum->shard);
	/* The batches carried the offsets that their records were applied with. */
	ensure(wait.op.error_code != KAFKA_NONE || wait.op.base_offset == quorum->next_offset);
	*ret_end = wait.op.last_offset + 1;
	log_append_done(&wait.op);
	return wait.op.error_code;
}

static int append_part(struct quorum *quorum, uint8_t *batches, uint32_t size)
{
	int64_t end;
	int16_t error_code = append_once(quorum, batches, size, &end);

	/* Refused by a log that can go on: the disk is full, and the reserve is for this. */
	if (error_code != KAFKA_NONE && log_is_usable(quorum->log) &&
		disk_reserve_release_if_short(quorum->shard, quorum->ask.folder))
		error_code = append_once(quorum, batches, size, &end);
	if (error_code != KAFKA_NONE) {
		log_event(quorum->ask.logger, LOG_METADATA_FAILED, log_text("doing", "appending"),
			log_int("error_code", error_code), log_int("bytes", size));
		return -EIO;
	}
	quorum->next_offset = end;
	quorum->bytes_since_snapshot += size;
	log_high_watermark_set(quorum->log, end);
	return 0;
}

static int append_parts(struct quorum *quorum, uint8_t *batches, uint32_t size)
{
	uint32_t part_max = (uint32_t)log_config(quorum->log)->segment_size_bytes, begin = 0,
		 end = 0;
	int error = 0;

	/* One append lies in one segment: what is larger goes in parts, each of whole batches. */
	while (error == 0 && begin < size) {
		struct batch_header header;
		int64_t batch_size =
			end < size ? batch_next(batches + end, size - end, &header) : 0;

		ensure(end == size || batch_size > 0);
		if (end < size &&
			(end == begin || end - begin + (uint64_t)batch_size <= part_max)) {
			end += (uint32_t)batch_size;
			continue;
		}
		error = append_part(quorum, batches + begin, end - begin);
		begin = end;
	}
	return error;
}

struct read_wait {
	struct log_read op;
	struct shard *shard;
	struct fiber *fiber;
	bool done;
};

static void read_done(struct log_read *op)
{
	struct read_wait *wait = container_of(op, struct read_wait, op);

	wait->done = true;
	fiber_wake(wait->shard, wait->fiber);
}

/* ---- replay ---- */

struct replay {
	struct quorum *quorum;
	struct image_loader *loader;
	struct arena *scratch;
	int64_t next_offset;
	struct image_position position;
	const char *why;
};

static int replay_snapshot_record(
	void *argument, const struct metadata_record *record, const char **ret_why)
{
	struct replay *replay = argument;

	return image_loader_apply(replay->loader, record, -1, ret_why);
}

static int replay_record(
	struct replay *replay, const struct batch_header *header, const struct record *record)
{
	struct metadata_record metadata;
	int64_t header_timestamp_ms;
	int type, error;

	if (batch_is_control(header)) {
		replay->why = "a control record is malformed";
		error = control_record_read(record, &replay->quorum->arena, &replay->quorum->voters,
			&header_timestamp_ms, &type);
		if (error == 0 && type == CONTROL_VOTERS)
			replay->quorum->voters_are_logged = true;
		return error;
	}
	error = metadata_record_decode(record->value, replay->scratch, &metadata, &replay->why);
	if (error == 0)
		error = image_loader_apply(replay->loader, &metadata, record->offset, &replay->why);
	arena_reset(replay->scratch);
	return error == -EPROTONOSUPPORT ? -EBADMSG : error;
}

static int replay_batch(
	struct replay *replay, const uint8_t *data, const struct batch_header *header)
{
	struct batch_records records;
	struct record record;
	int error;

	replay->why = "a batch cannot be read";
	if (batch_is_compressed(header) || header->magic < 2 ||
		batch_records_begin(&records, NULL, data, header, BATCH_RECORDS_WHOLE, INT32_MAX) <
			0)
		return -EBADMSG;
	while ((error = batch_records_next(&records, &record)) > 0) {
		if (record.offset < replay->next_offset)
			continue; /* the snapshot holds it */
		error = replay_record(replay, header, &record);
		if (error < 0)
			return error;
	}
	if (error < 0) {
		replay->why = "a batch cannot be read";
		return -EBADMSG;
	}
	batch_records_end(&records);
	replay->next_offset = header->last_offset + 1;
	replay->position = (struct image_position){.offset = header->last_offset,
		.epoch = header->partition_leader_epoch,
		.timestamp_ms = header->max_timestamp};
	return 0;
}

/* The next slice of the log; 0 bytes at its end. */
static int replay_slice(struct replay *replay, uint32_t *ret_size)
{
	struct quorum *quorum = replay->quorum;
	struct read_wait wait = {
		.shard = quorum->shard,
		.fiber = fiber_current(quorum->shard),
		.op = {.offset = replay->next_offset,
			.end = log_readable_end(quorum->log),
			.max_bytes = LOG_READ_SIZE,
			.at_least_one = true,
			.done = read_done},
	};
	struct batch_file batches;
	struct batch_header header;
	const uint8_t *data;
	int error = 0, more = 0;

	log_read(quorum->log, &wait.op);
	while (!wait.done)
		fiber_wait(quorum->shard);
	replay->why = "the log cannot be read";
	if (wait.op.error_code != KAFKA_NONE)
		error = wait.op.error_code == KAFKA_OFFSET_OUT_OF_RANGE ? -EBADMSG : -EIO;
	*ret_size = error == 0 ? wait.op.slice.size : 0;
	if (*ret_size > 0) {
		batch_file_init(&batches, quorum->shard, wait.op.slice.file, wait.op.slice.position,
			wait.op.slice.position + wait.op.slice.size);
		while (error == 0 && (more = batch_file_next(&batches, &data, &header)) > 0)
			error = replay_batch(replay, data, &header);
		if (error == 0 && more < 0) {
			replay->why = "a batch is damaged";
			error = more == BATCH_ERROR_CORRUPT ? -EBADMSG : more;
		}
		quorum->bytes_since_snapshot += batches.position - wait.op.slice.position;
		batch_file_done(&batches);
		file_unref(wait.op.slice.file);
	}
	log_read_done(&wait.op);
	return error;
}

static int replay_log(struct replay *replay)
{
	struct quorum *quorum = replay->quorum;
	uint32_t size = 1;
	int error = 0;

	replay->why = "the log does not go on where the snapshot ends";
	if (replay->next_offset < log_start(quorum->log))
		return -EBADMSG;
	while (error == 0 && size > 0 && replay->next_offset < log_readable_end(quorum->log)) {
		int64_t before = replay->next_offset;

		error = replay_slice(replay, &size);
		replay->why = error == 0 ? "the log makes no progress" : replay->why;
		if (error == 0 && replay->next_offset == before)
			error = -EBADMSG;
	}
	return error;
}

/* ---- opening ---- */

static int add_snapshot(struct quorum *quorum, struct snapshot_id id)
{
	struct kept_snapshot *snapshots =
		realloc(quorum->snapshots, sizeof(*snapshots) * (quorum->snapshot_count + 1));

	if (!snapshots)
		return -ENOMEM;
	snapshots[quorum->snapshot_count++] =
		(struct kept_snapshot){.id = id, .last_timestamp_ms = -1};
	quorum->snapshots = snapshots;
	return 0;
}

/* The snapshots that are there, ascending as their names are; what a crash left of one is taken
 * away. */
static int find_snapshots(struct quorum *quorum)
{
	struct path_listing *listing;
	char path[PATH_SIZE];
	int error = fiber_list(quorum->shard, quorum->path, &listing);

	if (error == -ENOENT)
		return 0; /* the log makes its folder */
	if (error < 0)
		return error;
	for (uint32_t i = 0; i < listing->count && error == 0; i++) {
		const char *name = listing->entries[i].name;
		size_t size = strlen(name);
		struct snapshot_id id;

		path_in(quorum, name, path);
		quorum->has_topic_id |= strcmp(name, PARTITION_METADATA_FILE_NAME) == 0;
		if (size > 5 && strcmp(name + size - 5, ".part") == 0) {
			error = fiber_unlink(quorum->shard, path);
		} else if (snapshot_name_parse(name, &id)) {
			error = add_snapshot(quorum, id);
			if (error == 0)
				error = fiber_path_status(quorum->shard, path,
					&quorum->snapshots[quorum->snapshot_count - 1].size_bytes,
					&(int64_t){0}, &(bool){false});
		}
	}
	path_listing_free(listing);
	return error;
}

static int read_quorum_state(struct quorum *quorum, struct arena *arena, const char **ret_why)
{
	struct quorum_state state;
	char path[PATH_SIZE], *data;
	size_t size;
	int error;

	path_in(quorum, QUORUM_STATE_FILE_NAME, path);
	error = fiber_read_whole(quorum->shard, path, QUORUM_STATE_FILE_LIMIT, &data, &size);
	if (error == -ENOENT)
		return 0; /* nobody has ever led */
	*ret_why = "quorum-state cannot be read";
	if (error < 0)
		return error;
	error = quorum_state_parse(
		arena, (struct str){.data = data, .size = (int32_t)size}, &state);
	free(data);
	*ret_why = "quorum-state is not one that this release understands";
	if (error < 0)
		return error == -EPROTONOSUPPORT ? -EBADMSG : error;
	quorum->epoch = max_of(state.leader_epoch, 0);
	return 0;
}

static void log_config_from(const struct config *config, struct log_config *ret)
{
	log_config_init_metadata(ret);
	ret->segment_size_bytes =
		config_is_null(config, SETTING_INTERNAL_METADATA_LOG_SEGMENT_BYTES)
			? config_int(config, SETTING_METADATA_LOG_SEGMENT_BYTES)
			: config_int(config, SETTING_INTERNAL_METADATA_LOG_SEGMENT_BYTES);
	ret->segment_ms = config_long(config, SETTING_METADATA_LOG_SEGMENT_MS);
}

static int open_log(struct quorum *quorum, int64_t log_start_floor)
{
	struct log_open open = {
		.folder = quorum->ask.folder,
		.name = METADATA_FOLDER,
		.topic = STR(METADATA_TOPIC),
		.partition = 0,
		.clean = quorum->ask.clean,
		.log_start = log_start_floor,
		.durable_appends = true,
		.owner = quorum,
	};
	struct log_recovery recovery;
	int error;

	log_config_from(quorum->ask.config, &open.config);
	error = log_open(quorum->ask.store, &open, &quorum->log, &recovery);
	if (error == 0 && recovery.dropped_from_offset >= 0)
		log_event(quorum->ask.logger, LOG_LOG_TRUNCATED, log_text("log", METADATA_FOLDER),
			log_int("from_offset", recovery.dropped_from_offset),
			log_int("bytes", recovery.dropped_bytes),
			log_text("reason", recovery.reason));
	return error;
}

/* Is this node the one and only voter? */
static int check_voters(struct quorum *quorum, struct arena *arena, const char **ret_why)
{
	const struct voters_record *voters = quorum->voters.voters;
	const struct quorum_voter *listed;
	int32_t count;

	if (quorum->voters.kraft_version >= 1 && voters) {
		if (voters->voters_count == 1 &&
			voters->voters[0].voter_id == quorum->ask.node_id &&
			uuid_equal(
				&voters->voters[0].voter_directory_id, &quorum->ask.directory_id))
			return 0;
		*ret_why = arena_printf(arena,
			"the metadata quorum has %d voters, and this release serves only a quorum "
			"of this node alone (node %d "
			"with the directory id in meta.properties)",
			voters->voters_count, quorum->ask.node_id);
		return -ENOTSUP;
	}
	listed = config_voters(quorum->ask.config, &count);
	if (count == 1 && listed[0].id == quorum->ask.node_id)
		return 0;
	*ret_why = count == 0 ? "controller.quorum.voters is not set and the directory was "
				"formatted without voters: format it "
				"with --standalone, or name this node in controller.quorum.voters"
			      : arena_printf(arena,
					"controller.quorum.voters names %d voters, and this "
					"release serves only a quorum of this "
					"node alone (node %d)",
					count, quorum->ask.node_id);
	return -ENOTSUP;
}

static int load_snapshot(struct quorum *quorum, struct replay *replay)
{
	struct kept_snapshot *newest = &quorum->snapshots[quorum->snapshot_count - 1];
	struct snapshot_reader reader = {.record = replay_snapshot_record, .argument = replay};
	struct snapshot_contents contents;
	char name[SNAPSHOT_NAME_SIZE], path[PATH_SIZE];
	int error;

	snapshot_name_format(newest->id, name);
	path_in(quorum, name, path);
	error = snapshot_read(quorum->shard, path, &quorum->arena, replay->scratch, &reader,
		&contents, &replay->why);
	if (error < 0)
		return error;
	newest->last_timestamp_ms = contents.last_timestamp_ms;
	quorum->voters = contents.voters;
	/* The format's snapshot stands before every record: its voters are written again into the
	 * log. */
	quorum->voters_are_logged = newest->id.offset > 0 && contents.voters.voters;
	replay->next_offset = newest->id.offset;
	if (newest->id.offset > 0)
		replay->position = (struct image_position){.offset = newest->id.offset - 1,
			.epoch = newest->id.epoch,
			.timestamp_ms = contents.last_timestamp_ms};
	return 0;
}

static int load(
	struct quorum *quorum, struct replay *replay, struct arena *arena, const char **ret_why)
{
	int64_t floor = 0;
	int error;

	if (quorum->snapshot_count > 0) {
		error = load_snapshot(quorum, replay);
		if (error < 0) {
			*ret_why = arena_printf(
				arena, "the newest snapshot cannot be used: %s", replay->why);
			return error;
		}
		floor = quorum->snapshots[0].id.offset;
	}
	error = open_log(quorum, floor);
	if (error < 0) {
		*ret_why = "the log cannot be opened";
		return error;
	}
	/* A snapshot that was fetched, and then a crash before the log was cut. */
	if (error == 0 && log_end(quorum->log) < replay->next_offset)
		error = log_truncate_fully(quorum->log, replay->next_offset);
	if (error == 0)
		error = replay_log(replay);
	if (error < 0) {
		*ret_why = arena_printf(arena, "the log cannot be replayed at offset %lld: %s",
			(long long)replay->next_offset, replay->why);
		return error;
	}
	return check_voters(quorum, arena, ret_why);
}

int quorum_open(struct shard *shard, const struct quorum_open *ask, struct image_loader *loader,
	struct arena *arena, struct quorum **ret_quorum, const char **ret_why)
{
	struct quorum *quorum = memory_new_object(struct quorum);
	struct arena scratch;
	struct replay replay = {.quorum = quorum,
		.loader = loader,
		.scratch = &scratch,
		.position = {.offset = -1, .epoch = -1, .timestamp_ms = -1}};
	int error;

	quorum->shard = shard;
	quorum->ask = *ask;
	snprintf(quorum->path, sizeof(quorum->path), "%s/" METADATA_FOLDER, ask->folder);
	arena_init(&quorum->arena, SCRATCH_SIZE);
	arena_init(&scratch, SCRATCH_SIZE);
	image_loader_init(loader, NULL);
	*ret_why = "its folder cannot be made or read";
	error = read_quorum_state(quorum, &scratch, ret_why);
	if (error == 0)
		error = find_snapshots(quorum);
	if (error == 0)
		error = load(quorum, &replay, arena, ret_why);
	arena_done(&scratch);
	if (error < 0) {
		image_loader_done(loader);
		quorum_abandon(quorum);
		return error;
	}
	quorum->next_offset = log_end(quorum->log);
	/* What is in the log was committed by the only voter there is. */
	log_high_watermark_set(quorum->log, quorum->next_offset);
	quorum->epoch =
		max_of(quorum->epoch, max_of(log_latest_epoch(quorum->log), replay.position.epoch));
	quorum->snapshot_time_ns = shard_now_ns(shard);
	image_kraft_version_set(&loader->image, quorum->voters.kraft_version);
	image_loader_position_set(loader, replay.position);
	*ret_quorum = quorum;
	return 0;
}

/* ---- leading ---- */

static struct str quorum_state_text(struct quorum *quorum, struct arena *arena)
{
	struct quorum_state state = {
		.version = quorum->voters.kraft_version >= 1 ? 1 : 0,
		.leader_id = quorum->ask.node_id,
		.leader_epoch = quorum->epoch,
		.voted_id = -1,
		.voters = &quorum->ask.node_id,
		.voter_count = 1,
	};

	return quorum_state_format(arena, &state);
}

static const char *const state_names[STATE_FILES_MAX] = {
	QUORUM_STATE_FILE_NAME, PARTITION_METADATA_FILE_NAME};

static void new_state_drop(struct quorum *quorum)
{
	for (size_t i = 0; i < quorum->new_state.count; i++)
		file_unref(quorum->new_state.files[i]);
	quorum->new_state = (struct new_state){0};
}

/* The new epoch's quorum-state, and the first time partition.metadata. Neither gets its name before it has
 * its bytes on the disk. */
static int write_new_state(struct quorum *quorum)
{
	struct new_state *state = &quorum->new_state;
	size_t count = quorum->has_topic_id ? 1 : 2;
	char topic_id[PARTITION_METADATA_TEXT_SIZE + 1], temporary[PATH_SIZE];
	struct str texts[STATE_FILES_MAX];
	struct arena arena;
	int error = 0;

	arena_init(&arena, 1 << 16);
	texts[0] = quorum_state_text(quorum, &arena);
	partition_metadata_format(&UUID_METADATA_TOPIC, topic_id);
	texts[1] = str_from(topic_id);
	if (str_is_null(texts[0]))
		error = -ENOMEM;
	for (size_t i = 0; i < count && error == 0; i++) {
		temporary_path_in(quorum, state_names[i], temporary);
		error = fiber_write_new(quorum->shard, temporary, texts[i].data,
			(size_t)texts[i].size, &state->files[i]);
		state->count += error == 0;
	}
	arena_done(&arena);
	return error;
}

/* The names need no sync of their own: the epoch is in the log, and what is missing is written again. */
static int settle_new_state(struct quorum *quorum)
{
	struct new_state *state = &quorum->new_state;
	struct sync_ask asks[STATE_FILES_MAX] = {0};
	char path[PATH_SIZE], temporary[PATH_SIZE];
	int error;

	for (size_t i = 0; i < state->count; i++)
		asks[i].file = state->files[i];
	error = fiber_sync_all(quorum->shard, asks, state->count);
	for (size_t i = 0; i < state->count && error == 0; i++) {
		path_in(quorum, state_names[i], path);
		temporary_path_in(quorum, state_names[i], temporary);
		error = fiber_rename(quorum->shard, temporary, path);
	}
	quorum->has_topic_id |= error == 0;
	return error;
}

static void new_state_fiber(struct shard *shard, void *argument)
{
	struct quorum *quorum = argument;
	struct new_state *state = &quorum->new_state;

	state->error = settle_new_state(quorum);
	state->is_settling = false;
	if (state->waiter)
		fiber_wake(shard, state->waiter);
}

/* (fiber) What was begun is done. 0 also when nothing was. */
static int await_new_state(struct quorum *quorum)
{
	struct new_state *state = &quorum->new_state;
	int error;

	state->waiter = fiber_current(quorum->shard);
	while (state->is_settling)
		fiber_wait(quorum->shard);
	error = state->error;
	if (state->is_begun)
		new_state_drop(quorum);
	return error;
}

int quorum_append(struct quorum *quorum, uint8_t *batches, uint32_t size)
{
	struct new_state *state = &quorum->new_state;
	int error = state->is_begun ? await_new_state(quorum) : 0;

	if (error == 0)
		error = append_parts(quorum, batches, size);
	if (error < 0 || state->count == 0)
		return error;
	/* The first append of the epoch is there, and may be told of: nobody waits for what follows it. */
	error = fiber_start(quorum->shard, new_state_fiber, quorum);
	state->is_begun = state->is_settling = error == 0;
	return error;
}

/* The first batch of an epoch: who leads; and once after a format, kraft.version and the voters. */
static int build_leader_change(
	struct quorum *quorum, struct record_buffer *buffer, struct arena *arena, int64_t *ret_next)
{
	struct leader_change_message_voter voter;
	struct leader_change_message change;
	struct kraft_version_record kraft_version;
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct batch_builder batch;
	int64_t now_ms = shard_wall_ms(quorum->shard), offset = quorum->next_offset;
	int error;

	schema_init(&leader_change_message_voter_schema, &voter);
	voter.voter_id = quorum->ask.node_id;
	schema_init(&leader_change_message_schema, &change);
	change.leader_id = quorum->ask.node_id;
	change.voters = change.granting_voters = &voter;
	change.voters_count = change.granting_voters_count = 1;
	options.base_offset = offset;
	options.partition_leader_epoch = quorum->epoch;
	options.control = true;
	error = batch_builder_begin(&batch, &options, NULL, buffer);
	if (error == 0)
		error = control_record_append(&batch, offset++, now_ms,
			CONTROL_LEADER_CHANGE_MESSAGE, &leader_change_message_schema, &change,
			arena);
	if (error == 0 && quorum->voters.kraft_version >= 1 && !quorum->voters_are_logged) {
		schema_init(&kraft_version_record_schema, &kraft_version);
		kraft_version.kraft_version = quorum->voters.kraft_version;
		error = control_record_append(&batch, offset++, now_ms, CONTROL_KRAFT_VERSION,
			&kraft_version_record_schema, &kraft_version, arena);
		if (error == 0)
			error = control_record_append(&batch, offset++, now_ms, CONTROL_VOTERS,
				&voters_record_schema, quorum->voters.voters, arena);
	}
	*ret_next = offset;
	return error == 0 ? batch_builder_end(&batch) : error;
}

int quorum_lead(struct quorum *quorum, struct image_loader *loader, struct record_buffer *buffer,
	int64_t *ret_next_offset)
{
	struct arena arena;
	int64_t now_ms = shard_wall_ms(quorum->shard), next;
	int error;

	quorum->epoch++;
	error = write_new_state(quorum);
	if (error < 0)
		return error;
	arena_init(&arena, 1 << 20);
	error = build_leader_change(quorum, buffer, &arena, &next);
	arena_done(&arena);
	if (error < 0)
		return error;
	quorum->voters_are_logged = true;
	image_loader_position_set(loader,
		(struct image_position){
			.offset = next - 1, .epoch = quorum->epoch, .timestamp_ms = now_ms});
	*ret_next_offset = next;
	return 0;
}

int64_t quorum_next_offset(const struct quorum *quorum)
{
	return quorum->next_offset;
}

int32_t quorum_epoch(const struct quorum *quorum)
{
	return quorum->epoch;
}

int16_t quorum_kraft_version(const struct quorum *quorum)
{
	return quorum->voters.kraft_version;
}

int64_t quorum_committed(const struct quorum *quorum)
{
	return log_high_watermark(quorum->log);
}

void quorum_voter(const struct quorum *quorum, int32_t *ret_id, struct uuid *ret_directory_id)
{
	*ret_id = quorum->ask.node_id;
	*ret_directory_id =
		quorum->voters.kraft_version >= 1 ? quorum->ask.directory_id : UUID_ZERO;
}

/* ---- snapshots ---- */

bool quorum_snapshot_is_due(const struct quorum *quorum)
{
	int64_t bytes_max = config_long(
		quorum->ask.config, SETTING_METADATA_LOG_MAX_RECORD_BYTES_BETWEEN_SNAPSHOTS);
	int64_t interval_ms =
		config_long(quorum->ask.config, SETTING_METADATA_LOG_MAX_SNAPSHOT_INTERVAL_MS);

	if (quorum->bytes_since_snapshot == 0)
		return false;
	return quorum->bytes_since_snapshot >= (uint64_t)bytes_max ||
	       (interval_ms > 0 && shard_now_ns(quorum->shard) - quorum->snapshot_time_ns >=
					   (uint64_t)interval_ms * NS_PER_MS);
}

static int delete_oldest(struct quorum *quorum)
{
	char name[SNAPSHOT_NAME_SIZE], path[PATH_SIZE];
	int error;

	/* First the log up to the next snapshot, then the snapshot: without it the log must begin
	 * where another ends. */
	error = log_delete_before(quorum->log, quorum->snapshots[1].id.offset);
	if (error < 0)
		return error;
	snapshot_name_format(quorum->snapshots[0].id, name);
	path_in(quorum, name, path);
	error = fiber_unlink(quorum->shard, path);
	if (error < 0)
		return error;
	memmove(quorum->snapshots, quorum->snapshots + 1,
		sizeof(*quorum->snapshots) * (quorum->snapshot_count - 1));
	quorum->snapshot_count--;
	return 0;
}

/* Reads when the log behind a snapshot ended; -1 when that can't be told. */
static int ignore_record(void *argument, const struct metadata_record *record, const char **ret_why)
{
	(void)argument;
	(void)record;
	(void)ret_why;
	return 0;
}

static int64_t snapshot_timestamp(struct quorum *quorum, struct kept_snapshot *snapshot)
{
	struct snapshot_reader reader = {.record = ignore_record};
	struct snapshot_contents contents;
	char name[SNAPSHOT_NAME_SIZE], path[PATH_SIZE];
	struct arena arena;
	const char *why;

	if (snapshot->last_timestamp_ms >= 0)
		return snapshot->last_timestamp_ms;
	snapshot_name_format(snapshot->id, name);
	path_in(quorum, name, path);
	arena_init(&arena, SCRATCH_SIZE);
	if (snapshot_read(quorum->shard, path, &arena, &arena, &reader, &contents, &why) == 0)
		snapshot->last_timestamp_ms = contents.last_timestamp_ms;
	arena_done(&arena);
	return snapshot->last_timestamp_ms;
}

/* Kafka's KafkaMetadataLog.maybeClean: the newest snapshot always stays, and the log from the
 * oldest one kept. */
static int trim(struct quorum *quorum)
{
	int64_t bytes_max = config_long(quorum->ask.config, SETTING_METADATA_MAX_RETENTION_BYTES);
	int64_t age_max_ms = config_long(quorum->ask.config, SETTING_METADATA_MAX_RETENTION_MS);
	int error = 0;

	while (error == 0 && quorum->snapshot_count > 1) {
		uint64_t total = log_size_bytes(quorum->log);
		int64_t timestamp_ms =
			age_max_ms >= 0 ? snapshot_timestamp(quorum, &quorum->snapshots[0]) : -1;

		for (uint32_t i = 0; i < quorum->snapshot_count; i++)
			total += quorum->snapshots[i].size_bytes;
		if (!(bytes_max >= 0 && total > (uint64_t)bytes_max) &&
			!(age_max_ms >= 0 && timestamp_ms >= 0 &&
				shard_wall_ms(quorum->shard) - timestamp_ms > age_max_ms))
			return 0;
		error = delete_oldest(quorum);
	}
	return error;
}

int quorum_snapshot(struct quorum *quorum, const struct image *image)
{
	struct image_position position = image_position(image);
	struct snapshot_id id = {.offset = position.offset + 1, .epoch = position.epoch};
	uint64_t bytes_before = quorum->bytes_since_snapshot, size_bytes;
	struct snapshot_writer writer;
	char name[SNAPSHOT_NAME_SIZE], path[PATH_SIZE];
	uint32_t lost = 0;
	int error;

	if (quorum->snapshot_count > 0 &&
		quorum->snapshots[quorum->snapshot_count - 1].id.offset >= id.offset)
		return 0;
	snapshot_name_format(id, name);
	path_in(quorum, name, path);
	snapshot_writer_begin(
		&writer, quorum->shard, path, id.epoch, position.timestamp_ms, &quorum->voters);
	/* An error of the walk is the writer's, which remembers it. */
	image_to_records(image, snapshot_writer_add, &writer, &lost);
	error = snapshot_writer_finish(&writer, &size_bytes);
	if (error == 0)
		error = add_snapshot(quorum, id);
	if (error < 0)
		return error;
	quorum->snapshots[quorum->snapshot_count - 1].size_bytes = size_bytes;
	quorum->snapshots[quorum->snapshot_count - 1].last_timestamp_ms = position.timestamp_ms;
	quorum->bytes_since_snapshot -= min_of(bytes_before, quorum->bytes_since_snapshot);
	quorum->snapshot_time_ns = shard_now_ns(quorum->shard);
	return trim(quorum);
}

int quorum_close(struct quorum *quorum)
{
	int state_error = await_new_state(quorum);
	int error = log_close(quorum->log);

	quorum->log = NULL;
	quorum_abandon(quorum);
	return error < 0 ? error : state_error;
}

void quorum_abandon(struct quorum *quorum)
{
	if (!quorum)
		return;
	if (quorum->log)
		log_abandon(quorum->log);
	new_state_drop(quorum);
	free(quorum->snapshots);
	arena_done(&quorum->arena);
	free(quorum);
}
