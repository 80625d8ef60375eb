#include "broker/controller/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	RECORDS_PER_BATCH_MAX = 1024, /* as Kafka's RaftSnapshotWriter */
	BATCH_SIZE_SOFT_MAX = 1 << 20,
	BUFFER_SIZE_MAX = 64 << 20,
	SCRATCH_SIZE_MAX = 64 << 20,
};

/* ---- names ---- */

void snapshot_name_format(struct snapshot_id id, char name[SNAPSHOT_NAME_SIZE])
{
	snprintf(name, SNAPSHOT_NAME_SIZE, "%020lld-%010d.checkpoint", (long long)id.offset,
		id.epoch);
}

static bool parse_digits(const char *text, int count, int64_t *ret_number)
{
	int64_t number = 0;

	for (int i = 0; i < count; i++) {
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(number, 10, &number) ||
			__builtin_add_overflow(number, text[i] - '0', &number))
			return false;
	}
	*ret_number = number;
	return true;
}

bool snapshot_name_parse(const char *name, struct snapshot_id *ret_id)
{
	int64_t offset, epoch;

	if (strlen(name) != SNAPSHOT_NAME_SIZE - 1 || !parse_digits(name, 20, &offset) ||
		name[20] != '-' || !parse_digits(name + 21, 10, &epoch) || epoch > INT32_MAX ||
		strcmp(name + 31, ".checkpoint") != 0)
		return false;
	*ret_id = (struct snapshot_id){.offset = offset, .epoch = (int32_t)epoch};
	return true;
}

/* ---- control records ---- */

int control_record_append(struct batch_builder *batch, int64_t offset, int64_t timestamp_ms,
	int type, const struct schema_struct *schema, const void *message, struct arena *arena)
{
	uint8_t key[4];
	struct output output;
	int error;

	store_be16(key, 0);
	store_be16(key + 2, (uint16_t)type);
	output_init(&output, arena, 0);
	error = schema_encode(schema, 0, message, &output, NULL);
	if (error < 0)
		return error;
	return batch_builder_append(batch, offset, timestamp_ms, (struct bytes){key, sizeof(key)},
		output_bytes(&output), NULL, 0);
}

static int decode_control(const struct schema_struct *schema, const struct record *record,
	struct arena *arena, void **ret_message)
{
	void *message = schema_new(schema, arena);
	size_t consumed;
	int version, error;

	if (!message)
		return -ENOMEM;
	/* Each begins with the version that it is written in. */
	if (record->value.size < 2)
		return -EBADMSG;
	version = load_be16(record->value.data);
	if (!schema_plan_find(schema, version))
		return -EBADMSG;
	error = schema_decode(schema, version, record->value, arena, message, &consumed, NULL);
	if (error == 0)
		*ret_message = message;
	return error == 0 || error == -ENOMEM ? error : -EBADMSG;
}

/* RECORD's strings are views into its batch: the voters outlive it. */
static int keep_voters(struct voters_record *voters, struct arena *arena)
{
	for (int32_t i = 0; i < voters->voters_count; i++)
		for (int32_t j = 0; j < voters->voters[i].endpoints_count; j++) {
			struct voters_record_endpoint *endpoint = &voters->voters[i].endpoints[j];

			endpoint->name = arena_str(arena, endpoint->name);
			endpoint->host = arena_str(arena, endpoint->host);
			if (str_is_null(endpoint->name) || str_is_null(endpoint->host))
				return -ENOMEM;
		}
	return 0;
}

int control_record_read(const struct record *record, struct arena *arena,
	struct quorum_voters *voters, int64_t *ret_header_timestamp_ms, int *ret_type)
{
	void *message;
	int error = 0;

	if (record->key.size < 4)
		return -EBADMSG;
	*ret_type = load_be16(record->key.data + 2);
	switch (*ret_type) {
	case CONTROL_SNAPSHOT_HEADER:
		error = decode_control(&snapshot_header_record_schema, record, arena, &message);
		if (error == 0)
			*ret_header_timestamp_ms = ((struct snapshot_header_record *)message)
							   ->last_contained_log_timestamp;
		break;
	case CONTROL_KRAFT_VERSION:
		error = decode_control(&kraft_version_record_schema, record, arena, &message);
		if (error == 0)
			voters->kraft_version =
				((struct kraft_version_record *)message)->kraft_version;
		break;
	case CONTROL_VOTERS:
		error = decode_control(&voters_record_schema, record, arena, &message);
		if (error == 0)
			error = keep_voters(message, arena);
		if (error == 0)
			voters->voters = message;
		break;
	default:
		break;
	}
	return error;
}

/* ---- writing ---- */

static void writer_fail(struct snapshot_writer *writer, int error)
{
	if (writer->error == 0 && error < 0)
		writer->error = error;
}

/* Writes out what is in the buffer. */
static void writer_flush(struct snapshot_writer *writer)
{
	if (writer->error == 0 && writer->buffer.size > 0) {
		writer_fail(writer, fiber_write(writer->shard, writer->file, writer->buffer.data,
					    writer->buffer.size, writer->written));
		writer->written += writer->buffer.size;
	}
	writer->buffer.size = 0;
}

static void writer_open_batch(struct snapshot_writer *writer, bool control)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;

	options.base_offset = writer->next_offset;
	options.partition_leader_epoch = writer->epoch;
	options.control = control;
	writer_fail(writer, batch_builder_begin(&writer->batch, &options, NULL, &writer->buffer));
	writer->batch_is_open = writer->error == 0;
	writer->batch_count = 0;
}

static void writer_close_batch(struct snapshot_writer *writer)
{
	if (writer->batch_is_open && writer->error == 0) {
		writer_fail(writer, batch_builder_end(&writer->batch));
		writer_flush(writer);
	}
	writer->batch_is_open = false;
	arena_reset(&writer->scratch);
}

static void writer_add_control(struct snapshot_writer *writer, int type,
	const struct schema_struct *schema, const void *message)
{
	if (writer->error == 0)
		writer_fail(
			writer, control_record_append(&writer->batch, writer->next_offset++,
					writer->wall_ms, type, schema, message, &writer->scratch));
}

static void write_header(struct snapshot_writer *writer, int64_t last_timestamp_ms,
	const struct quorum_voters *voters)
{
	struct snapshot_header_record header;
	struct kraft_version_record kraft_version;

	schema_init(&snapshot_header_record_schema, &header);
	header.last_contained_log_timestamp = last_timestamp_ms;
	writer_open_batch(writer, true);
	writer_add_control(
		writer, CONTROL_SNAPSHOT_HEADER, &snapshot_header_record_schema, &header);
	if (voters && voters->kraft_version >= 1) {
		schema_init(&kraft_version_record_schema, &kraft_version);
		kraft_version.kraft_version = voters->kraft_version;
		writer_add_control(writer, CONTROL_KRAFT_VERSION, &kraft_version_record_schema,
			&kraft_version);
		if (voters->voters)
			writer_add_control(
				writer, CONTROL_VOTERS, &voters_record_schema, voters->voters);
	}
	writer_close_batch(writer);
}

void snapshot_writer_begin(struct snapshot_writer *writer, struct shard *shard, const char *path,
	int32_t epoch, int64_t last_timestamp_ms, const struct quorum_voters *voters)
{
	*writer = (struct snapshot_writer){
		.shard = shard, .epoch = epoch, .wall_ms = shard_wall_ms(shard)};
	arena_init(&writer->scratch, SCRATCH_SIZE_MAX);
	record_buffer_init(&writer->buffer, BUFFER_SIZE_MAX);
	if (asprintf(&writer->path, "%s", path) < 0)
		writer->path = NULL;
	if (asprintf(&writer->temporary_path, "%s.part", path) < 0)
		writer->temporary_path = NULL;
	if (!writer->path || !writer->temporary_path) {
		writer_fail(writer, -ENOMEM);
		return;
	}
	writer_fail(writer, fiber_open(shard, writer->temporary_path,
				    FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &writer->file));
	if (writer->error == 0)
		write_header(writer, last_timestamp_ms, voters);
}

int snapshot_writer_add(const struct metadata_record *record, void *argument)
{
	struct snapshot_writer *writer = argument;
	struct output output;

	if (writer->error < 0)
		return writer->error;
	if (!writer->batch_is_open)
		writer_open_batch(writer, false);
	output_init(&output, &writer->scratch, 0);
	writer_fail(writer, metadata_record_encode(record, &output));
	if (writer->error == 0)
		writer_fail(writer,
			batch_builder_append(&writer->batch, writer->next_offset++, writer->wall_ms,
				BYTES_NULL, output_bytes(&output), NULL, 0));
	if (++writer->batch_count >= RECORDS_PER_BATCH_MAX ||
		batch_builder_size(&writer->batch) >= BATCH_SIZE_SOFT_MAX)
		writer_close_batch(writer);
	return writer->error;
}

static void folder_of(const char *path, char *folder, size_t size)
{
	const char *slash = strrchr(path, '/');

	snprintf(folder, size, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
}

struct file *snapshot_writer_end(struct snapshot_writer *writer)
{
	struct snapshot_footer_record footer;

	writer_close_batch(writer);
	if (writer->error == 0) {
		schema_init(&snapshot_footer_record_schema, &footer);
		writer_open_batch(writer, true);
		writer_add_control(
			writer, CONTROL_SNAPSHOT_FOOTER, &snapshot_footer_record_schema, &footer);
		writer_close_batch(writer);
	}
	return writer->error == 0 ? writer->file : NULL;
}

int snapshot_writer_name(struct snapshot_writer *writer, int error)
{
	writer_fail(writer, error);
	file_unref(writer->file);
	if (writer->error == 0)
		writer_fail(
			writer, fiber_rename(writer->shard, writer->temporary_path, writer->path));
	record_buffer_done(&writer->buffer);
	arena_done(&writer->scratch);
	free(writer->temporary_path);
	free(writer->path);
	return writer->error;
}

int snapshot_writer_finish(struct snapshot_writer *writer, uint64_t *ret_size_bytes)
{
	struct file *file = snapshot_writer_end(writer);
	char folder[4096];
	int error;

	if (writer->path)
		folder_of(writer->path, folder, sizeof(folder));
	error = snapshot_writer_name(writer, file ? fiber_sync(writer->shard, file) : 0);
	if (error == 0)
		error = fiber_sync_folder(writer->shard, folder);
	if (error == 0 && ret_size_bytes)
		*ret_size_bytes = writer->written;
	return error;
}

/* ---- reading ---- */

struct reading {
	struct arena *arena, *scratch;
	const struct snapshot_reader *reader;
	struct snapshot_contents contents;
	bool header_seen, footer_seen;
	const char *why;
};

static int read_control(struct reading *reading, const struct record *record)
{
	int type;
	int error = control_record_read(record, reading->arena, &reading->contents.voters,
		&reading->contents.last_timestamp_ms, &type);

	reading->why = "a control record is malformed";
	if (error < 0)
		return error;
	reading->header_seen |= type == CONTROL_SNAPSHOT_HEADER;
	reading->footer_seen |= type == CONTROL_SNAPSHOT_FOOTER;
	return 0;
}

static int read_data(struct reading *reading, const struct record *record)
{
	struct metadata_record metadata;
	struct bytes value = record->value;
	int error;

	if (reading->scratch == reading->arena) {
		/* The records are kept, and look into their bytes: these must outlive the file's
		 * buffer. */
		value.data = (const uint8_t *)arena_str(reading->arena,
			(struct str){.data = (const char *)value.data, .size = value.size})
				     .data;
		reading->why = "memory is out";
		if (value.size > 0 && !value.data)
			return -ENOMEM;
	}
	error = metadata_record_decode(value, reading->scratch, &metadata, &reading->why);

	if (error == 0)
		error = reading->reader->record(
			reading->reader->argument, &metadata, &reading->why);
	if (reading->scratch != reading->arena)
		arena_reset(reading->scratch);
	return error == -EPROTONOSUPPORT ? -EBADMSG : error;
}

static int read_batch(
	struct reading *reading, const uint8_t *data, const struct batch_header *header)
{
	struct batch_records records;
	struct record record;
	int error =
		batch_records_begin(&records, NULL, data, header, BATCH_RECORDS_WHOLE, INT32_MAX);

	reading->why = "a batch cannot be read";
	if (error < 0)
		return -EBADMSG;
	while ((error = batch_records_next(&records, &record)) > 0) {
		error = batch_is_control(header) ? read_control(reading, &record)
						 : read_data(reading, &record);
		if (error < 0)
			return error;
	}
	if (error < 0) {
		reading->why = "a batch cannot be read";
		return -EBADMSG;
	}
	batch_records_end(&records);
	return 0;
}

static int read_batches(struct reading *reading, struct batch_file *file)
{
	struct batch_header header;
	const uint8_t *data;
	int error;

	while ((error = batch_file_next(file, &data, &header)) > 0) {
		reading->why = "something stands behind the footer, or before the header";
		if (reading->footer_seen || (!reading->header_seen && !batch_is_control(&header)))
			return -EBADMSG;
		error = read_batch(reading, data, &header);
		if (error < 0)
			return error;
	}
	reading->why = "a batch is damaged";
	if (error == BATCH_ERROR_CORRUPT)
		return -EBADMSG;
	if (error < 0)
		return error;
	reading->why = "it is cut off";
	return reading->header_seen && reading->footer_seen && file->position == file->end
		       ? 0
		       : -EBADMSG;
}

int snapshot_read(struct shard *shard, const char *path, struct arena *arena, struct arena *scratch,
	const struct snapshot_reader *reader, struct snapshot_contents *ret, const char **ret_why)
{
	struct reading reading = {
		.arena = arena, .scratch = scratch, .reader = reader, .why = "it cannot be read"};
	struct batch_file batches;
	struct file *file;
	uint64_t size;
	int error = fiber_open(shard, path, FILE_READ, &file);

	if (error == 0) {
		error = fiber_file_size(shard, file, &size);
		if (error == 0) {
			batch_file_init(&batches, shard, file, 0, size);
			error = read_batches(&reading, &batches);
			batch_file_done(&batches);
			reading.contents.size_bytes = size;
		}
		file_unref(file);
	}
	if (error < 0)
		*ret_why = reading.why;
	else
		*ret = reading.contents;
	return error;
}
