/*
 * What the codec knows of a message: the types behind the generated tables (protocol/messages.c,
 * made from protocol/schema/ by protocol/generate/). A struct holds the union of all versions; for
 * each version a plan lists the steps that read or write it in wire order, so that no version is
 * tested while bytes are walked.
 *
 * Reading order: schema_struct, schema_field (one for each member, all versions), schema_plan and
 * schema_step (one version).
 */
#pragma once

#include "runtime/bytes.h"

/* The bytes of record batches. On encoding, EXTERNAL stands for SIZE bytes that are not in memory:
 * see protocol/output.h. */
struct records {
	struct bytes bytes;
	void *external;
};

/* A tagged field that this version of the schema does not know: kept as it came, written back as it
 * was. */
struct tagged_field {
	uint32_t tag;
	struct bytes data;
};

struct tagged_fields {
	struct tagged_field *fields; /* ascending by tag when encoded */
	int32_t count;
};

enum schema_type {
	SCHEMA_BOOL, /* bool */
	SCHEMA_INT8, /* int8_t, and so on */
	SCHEMA_INT16,
	SCHEMA_UINT16,
	SCHEMA_INT32,
	SCHEMA_UINT32,
	SCHEMA_INT64,
	SCHEMA_FLOAT64, /* double */
	SCHEMA_UUID,	/* struct uuid */
	SCHEMA_STRING,	/* struct str */
	SCHEMA_BYTES,	/* struct bytes */
	SCHEMA_RECORDS, /* struct records */
	SCHEMA_STRUCT,	/* the struct itself; a pointer to it when some version may be null */
	SCHEMA_ARRAY,	/* T *name; int32_t name_count: in that order, count -1 is null */
};

struct schema_versions {
	int16_t low, high; /* inclusive; empty when low > high */
};

struct schema_field {
	const char *name;		/* Kafka's: ThrottleTimeMs */
	const struct schema_struct *of; /* of a struct, or of an array's elements */
	int64_t default_value;		/* integers and bool */
	struct schema_versions versions, nullable, tagged;
	uint16_t offset; /* of the member, in bytes */
	int16_t tag;	 /* -1: never tagged */
	uint8_t type;	 /* enum schema_type */
	uint8_t element; /* of an array */
	bool pointer;	 /* a struct that may be null */
	bool default_null;
	bool ignorable; /* dropped silently in versions that lack it */
	bool key;	/* tells elements of an array apart */
};

/* How a value stands on the wire in one version. The compact forms have lengths as unsigned
 * varints, plus one. */
enum schema_op {
	OP_BOOL,
	OP_INT8,
	OP_INT16,
	OP_UINT16,
	OP_INT32,
	OP_UINT32,
	OP_INT64,
	OP_FLOAT64,
	OP_UUID,
	OP_STRING,
	OP_COMPACT_STRING,
	OP_BYTES,
	OP_COMPACT_BYTES,
	OP_RECORDS,
	OP_COMPACT_RECORDS,
	OP_STRUCT,
	OP_STRUCT_POINTER,	  /* a byte below zero for null, else a byte and the struct */
	OP_TAGGED_STRUCT_POINTER, /* a varint, 0 for null, and the struct: what Kafka's classes do
				     in a tagged field */
	OP_ARRAY,
	OP_COMPACT_ARRAY,
};

struct schema_step {
	const struct schema_plan *plan; /* of a struct, or of an array's elements */
	uint16_t offset;		/* of the member, in bytes */
	uint16_t field;			/* its index in the struct's fields */
	uint8_t op, element_op;		/* enum schema_op */
	bool nullable;
};

struct schema_plan {
	const struct schema_struct *of;
	const struct schema_step *steps;  /* in wire order */
	const struct schema_step *tagged; /* ascending by tag */
	const uint16_t *absent; /* fields that must hold their default, as this version has no place
				   for them */
	uint32_t min_size;	/* of the shortest encoding, in bytes; at least 1 */
	uint16_t step_count, tagged_count, absent_count;
	bool flexible; /* tagged fields follow the steps */
};

struct schema_struct {
	const char *name; /* Kafka's */
	const struct schema_field *fields;
	const void *defaults; /* a struct whose members hold their defaults; NULL when that is all
				 zero */
	const struct schema_plan *const
		*plans; /* by version, from min_version on; NULL for a struct inside a message */
	uint32_t size;	/* of the C struct, in bytes */
	uint16_t field_count;
	int16_t min_version, max_version;
	int16_t tags_offset; /* of its struct tagged_fields unknown_tags; -1 when no version is
				flexible */
};

/* The plan of a message's VERSION, or NULL when it has no such version. */
static inline const struct schema_plan *schema_plan_find(
	const struct schema_struct *schema, int version)
{
	if (version < schema->min_version || version > schema->max_version)
		return NULL;
	return schema->plans[version - schema->min_version];
}

static inline bool schema_versions_contain(struct schema_versions versions, int version)
{
	return version >= versions.low && version <= versions.high;
}

/* Of one element of an array's FIELD in memory, in bytes. */
static inline size_t schema_element_size(const struct schema_field *field)
{
	switch ((enum schema_type)field->element) {
	case SCHEMA_BOOL:
	case SCHEMA_INT8:
		return 1;
	case SCHEMA_INT16:
	case SCHEMA_UINT16:
		return 2;
	case SCHEMA_INT32:
	case SCHEMA_UINT32:
		return 4;
	case SCHEMA_INT64:
	case SCHEMA_FLOAT64:
		return 8;
	case SCHEMA_UUID:
		return sizeof(struct uuid);
	case SCHEMA_STRING:
		return sizeof(struct str);
	case SCHEMA_BYTES:
		return sizeof(struct bytes);
	case SCHEMA_RECORDS:
		return sizeof(struct records);
	case SCHEMA_STRUCT:
		return field->of->size;
	case SCHEMA_ARRAY:
		break;
	}
	ensure(!"an array of arrays");
	return 0;
}

#define API_LISTENER_BROKER	1
#define API_LISTENER_CONTROLLER 2

/* One API. Rows stand in order of their keys, from 0 without a gap. */
struct api_row {
	const char *name; /* Kafka's: Produce */
	const struct schema_struct *request, *response;
	int16_t key;
	int16_t min_version, max_version; /* of both */
	uint8_t listeners;		  /* API_LISTENER_*; 0: spoken before, served nowhere now */
	bool newest_version_unstable; /* max_version is advertised only when unstable versions are
					 enabled */
};

/* A kind of record in one of the logs that brokers keep. */
struct record_row {
	const char *name;
	const struct schema_struct *key,
		*value; /* key NULL: records of this log have none, or another kind of key */
	int16_t type;	/* how the log tells its records apart */
	uint8_t log;	/* enum record_log */
};
