#include "broker/metadata/record.h"

#include <errno.h>

#define FRAME_VERSION 1

void metadata_records_init(struct metadata_records *records, struct arena *arena)
{
	*records = (struct metadata_records){.arena = arena};
}

void metadata_records_append(struct metadata_records *records, const struct metadata_record *record)
{
	if (records->count == records->capacity) {
		int32_t capacity = max_of(records->capacity * 2, 16);
		struct metadata_record *items =
			arena_new_array(records->arena, struct metadata_record, (size_t)capacity);

		if (!items) {
			records->failure = -ENOMEM;
			return;
		}
		if (records->count > 0)
			memcpy(items, records->items, sizeof(*items) * (size_t)records->count);
		records->items = items;
		records->capacity = capacity;
	}
	records->items[records->count++] = *record;
}

void *metadata_records_add(struct metadata_records *records, int type, int version)
{
	const struct record_row *row = record_find(RECORD_LOG_CLUSTER_METADATA, type);
	void *message;

	ensure(row && schema_plan_find(row->value, version));
	message = schema_new(row->value, records->arena);
	if (!message) {
		records->failure = -ENOMEM;
		return NULL;
	}
	metadata_records_append(records,
		&(struct metadata_record){
			.type = (int16_t)type, .version = (int16_t)version, .message = message});
	return records->failure ? NULL : message;
}

/* An unsigned varint of at most 32 bits; false when it is cut off or too long. */
static bool take_varint(struct bytes *bytes, uint32_t *ret_value)
{
	uint32_t value = 0;

	for (int shift = 0; shift < 35 && bytes->size > 0; shift += 7) {
		uint8_t byte = *bytes->data++;

		bytes->size--;
		value |= (uint32_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

static void put_varint(struct output *output, uint32_t value)
{
	do {
		uint8_t *at = output_append(output, 1);

		if (!at)
			return;
		*at = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
		value >>= 7;
	} while (value > 0);
}

int metadata_record_decode(
	struct bytes value, struct arena *arena, struct metadata_record *ret, const char **ret_why)
{
	const struct record_row *row;
	struct codec_error codec_error;
	const char *ignored;
	uint32_t frame, type, version;
	size_t consumed;
	void *message;
	int error;

	if (!ret_why)
		ret_why = &ignored;
	*ret_why = "the record's frame is cut off";
	if (!take_varint(&value, &frame) || !take_varint(&value, &type) ||
		!take_varint(&value, &version))
		return -EBADMSG;
	*ret_why = "the record's frame is of another version than 1";
	if (frame != FRAME_VERSION)
		return -EPROTONOSUPPORT;
	*ret_why = "the record is of a type that this release does not know";
	row = type <= INT16_MAX ? record_find(RECORD_LOG_CLUSTER_METADATA, (int)type) : NULL;
	if (!row)
		return -EPROTONOSUPPORT;
	*ret_why = "the record is of a version that this release does not know";
	if (version > INT16_MAX || !schema_plan_find(row->value, (int)version))
		return -EPROTONOSUPPORT;
	*ret_why = "memory is out";
	message = schema_new(row->value, arena);
	if (!message)
		return -ENOMEM;
	error = schema_decode(
		row->value, (int)version, value, arena, message, &consumed, &codec_error);
	if (error < 0) {
		*ret_why = codec_error.reason;
		return error;
	}
	*ret_why = "bytes are left behind the record";
	if (consumed != (size_t)value.size)
		return -EBADMSG;
	*ret_why = NULL;
	*ret = (struct metadata_record){
		.type = (int16_t)type, .version = (int16_t)version, .message = message};
	return 0;
}

int metadata_record_encode(const struct metadata_record *record, struct output *output)
{
	const struct record_row *row = record_find(RECORD_LOG_CLUSTER_METADATA, record->type);

	ensure(row);
	put_varint(output, FRAME_VERSION);
	put_varint(output, (uint32_t)record->type);
	put_varint(output, (uint32_t)record->version);
	return schema_encode(row->value, record->version, record->message, output, NULL);
}

const char *metadata_record_name(int type)
{
	const struct record_row *row = record_find(RECORD_LOG_CLUSTER_METADATA, type);

	return row ? row->value->name : "unknown";
}
