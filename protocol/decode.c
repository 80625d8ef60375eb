/*
 * Bytes to structs: takes the steps of one version in wire order, then the tagged fields. Behaviour
 * follows the `read` methods that Kafka generates; where the code is stricter (sizes of tagged
 * fields must be true, counts must fit what is left), a comment says so. protocol/encode.c is the
 * mirror.
 */
#include <errno.h>

#include "protocol/codec_internal.h"
#include "protocol/limits.h"

struct decoder {
	const uint8_t *start, *next, *end;
	struct arena *arena;
	struct codec_error *error;
};

static size_t decoder_left(const struct decoder *d)
{
	return (size_t)(d->end - d->next);
}

/* Fills the error once, at the innermost place, and answers CODE. */
__attribute__((cold)) static int decode_fail(struct decoder *d, const struct schema_plan *plan,
	const struct schema_step *step, int code, const char *reason)
{
	const struct schema_field *field = step_field(plan, step);

	if (d->error)
		*d->error = (struct codec_error){.struct_name = plan->of->name,
			.field = field ? field->name : NULL,
			.reason = reason,
			.position = (size_t)(d->next - d->start)};
	return code;
}

#define FAIL(code, reason) decode_fail(d, plan, step, (code), (reason))
#define TRUNCATED	   FAIL(-EBADMSG, "the message ends too early")
#define NEED(count)                                              \
	do {                                                     \
		if (unlikely(decoder_left(d) < (size_t)(count))) \
			return TRUNCATED;                        \
	} while (0)

/* False when the varint is cut off or longer than 5 bytes. Bits above the 32nd are dropped, as
 * Kafka does. */
static bool decode_varint(struct decoder *d, uint32_t *ret_value)
{
	uint32_t value = 0;

	for (int i = 0; i < LIMIT_VARINT_SIZE && d->next < d->end; i++) {
		uint8_t byte = *d->next++;

		value |= (uint32_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

/* A length or count, of PLAIN bytes (2 or 4) or compact (0): -1 is null. Never more than what is
 * left of the input. */
static int decode_length(struct decoder *d, const struct schema_plan *plan,
	const struct schema_step *step, int plain, bool nullable, int32_t *ret_length)
{
	int64_t length;

	if (plain == 0) {
		uint32_t value;

		if (!decode_varint(d, &value))
			return FAIL(-EBADMSG, "a malformed varint");
		length = (int32_t)(value - 1);
	} else {
		NEED(plain);
		length = plain == 2 ? (int16_t)load_be16(d->next) : (int32_t)load_be32(d->next);
		d->next += plain;
	}
	/* Kafka takes every negative length for null. */
	if (length < 0) {
		if (!nullable)
			return FAIL(-EBADMSG, "null where it can't be null");
		*ret_length = -1;
		return 0;
	}
	if ((uint64_t)length > decoder_left(d))
		return FAIL(-EBADMSG, "a length or count beyond the end of the message");
	*ret_length = (int32_t)length;
	return 0;
}

static int decode_string(struct decoder *d, const struct schema_plan *plan,
	const struct schema_step *step, bool compact, bool nullable, struct str *to)
{
	int32_t length = -1;
	int rc = decode_length(d, plan, step, compact ? 0 : 2, nullable, &length);

	if (rc)
		return rc;
	if (length > LIMIT_STRING_SIZE)
		return FAIL(-EBADMSG, "a string is too long");
	*to = (struct str){.data = length >= 0 ? (const char *)d->next : NULL, .size = length};
	if (length > 0)
		d->next += length;
	return 0;
}

static int decode_bytes(struct decoder *d, const struct schema_plan *plan,
	const struct schema_step *step, bool compact, bool nullable, struct bytes *to)
{
	int32_t length = -1;
	int rc = decode_length(d, plan, step, compact ? 0 : 4, nullable, &length);

	if (rc)
		return rc;
	*to = (struct bytes){.data = length >= 0 ? d->next : NULL, .size = length};
	if (length > 0)
		d->next += length;
	return 0;
}

static int decode_struct(struct decoder *d, const struct schema_plan *plan, void *to);

/* Bytes of one element in memory. */
static size_t element_memory_size(const struct schema_step *step)
{
	switch ((enum schema_op)step->element_op) {
	case OP_STRING:
	case OP_COMPACT_STRING:
		return sizeof(struct str);
	case OP_BYTES:
	case OP_COMPACT_BYTES:
		return sizeof(struct bytes);
	case OP_RECORDS:
	case OP_COMPACT_RECORDS:
		return sizeof(struct records);
	case OP_STRUCT:
		return step->plan->of->size;
	default:
		return element_wire_size(step);
	}
}

static int decode_array(struct decoder *d, const struct schema_plan *plan,
	const struct schema_step *step, void *member)
{
	int32_t count;
	size_t size = element_memory_size(step);
	void *array = NULL;
	int rc = decode_length(
		d, plan, step, step->op == OP_COMPACT_ARRAY ? 0 : 4, step->nullable, &count);

	if (rc)
		return rc;
	if (count > 0) {
		if ((size_t)count > decoder_left(d) / element_wire_size(step))
			return FAIL(-EBADMSG, "a length or count beyond the end of the message");
		array = arena_alloc(d->arena, (size_t)count * size);
		if (!array)
			return FAIL(-ENOMEM, "the arena is exhausted");
	}
	memcpy(member, &array, sizeof(array));
	memcpy((char *)member + sizeof(array), &count, sizeof(count));
	/* For elements of fixed size the bounds were checked above, all at once. */
	switch ((enum schema_op)step->element_op) {
	case OP_BOOL:
		for (int32_t i = 0; i < count; i++)
			((bool *)array)[i] = *d->next++ != 0;
		break;
	case OP_INT8:
		if (count > 0)
			memcpy(array, d->next, (size_t)count);
		d->next += max_of(count, 0);
		break;
	case OP_INT16:
	case OP_UINT16:
		for (int32_t i = 0; i < count; i++, d->next += 2)
			((uint16_t *)array)[i] = load_be16(d->next);
		break;
	case OP_INT32:
	case OP_UINT32:
		for (int32_t i = 0; i < count; i++, d->next += 4)
			((uint32_t *)array)[i] = load_be32(d->next);
		break;
	case OP_INT64:
	case OP_FLOAT64:
		for (int32_t i = 0; i < count; i++, d->next += 8)
			((uint64_t *)array)[i] = load_be64(d->next);
		break;
	case OP_UUID:
		if (count > 0)
			memcpy(array, d->next, (size_t)count * sizeof(struct uuid));
		d->next += (size_t)max_of(count, 0) * sizeof(struct uuid);
		break;
	case OP_STRING:
	case OP_COMPACT_STRING:
		for (int32_t i = 0; i < count && !rc; i++)
			rc = decode_string(d, plan, step, step->element_op == OP_COMPACT_STRING,
				false, (struct str *)array + i);
		break;
	case OP_BYTES:
	case OP_COMPACT_BYTES:
		for (int32_t i = 0; i < count && !rc; i++)
			rc = decode_bytes(d, plan, step, step->element_op == OP_COMPACT_BYTES,
				false, (struct bytes *)array + i);
		break;
	case OP_RECORDS:
	case OP_COMPACT_RECORDS:
		for (int32_t i = 0; i < count && !rc; i++) {
			struct records *records = (struct records *)array + i;

			records->external = NULL;
			rc = decode_bytes(d, plan, step, step->element_op == OP_COMPACT_RECORDS,
				false, &records->bytes);
		}
		break;
	case OP_STRUCT:
		for (int32_t i = 0; i < count && !rc; i++)
			rc = decode_struct(d, step->plan, (char *)array + (size_t)i * size);
		break;
	case OP_STRUCT_POINTER:
	case OP_TAGGED_STRUCT_POINTER:
	case OP_ARRAY:
	case OP_COMPACT_ARRAY:
		ensure(!"an element that the generator does not make");
	}
	return rc;
}

static int decode_struct_pointer(struct decoder *d, const struct schema_plan *plan,
	const struct schema_step *step, void *member)
{
	void *inner = NULL;
	bool is_null = false;

	if (step->op == OP_TAGGED_STRUCT_POINTER) {
		uint32_t present;

		if (!decode_varint(d, &present))
			return FAIL(-EBADMSG, "a malformed varint");
		is_null = (int32_t)present <= 0;
	} else if (step->nullable) {
		NEED(1);
		/* A negative byte is null; anything else announces the struct. */
		is_null = (int8_t)*d->next++ < 0;
	}
	if (is_null) {
		memcpy(member, &inner, sizeof(inner));
		return 0;
	}
	inner = arena_alloc(d->arena, step->plan->of->size);
	if (!inner)
		return FAIL(-ENOMEM, "the arena is exhausted");
	memcpy(member, &inner, sizeof(inner));
	return decode_struct(d, step->plan, inner);
}

/* Inlined into the loop over a struct's steps, which is where decoding spends its time. */
static inline __attribute__((always_inline)) int decode_step(
	struct decoder *d, const struct schema_plan *plan, const struct schema_step *step, void *to)
{
	void *member = (char *)to + step->offset;

	switch ((enum schema_op)step->op) {
	case OP_BOOL:
		NEED(1);
		*(bool *)member = *d->next++ != 0;
		return 0;
	case OP_INT8:
		NEED(1);
		*(uint8_t *)member = *d->next++;
		return 0;
	case OP_INT16:
	case OP_UINT16:
		NEED(2);
		*(uint16_t *)member = load_be16(d->next);
		d->next += 2;
		return 0;
	case OP_INT32:
	case OP_UINT32:
		NEED(4);
		*(uint32_t *)member = load_be32(d->next);
		d->next += 4;
		return 0;
	case OP_INT64:
	case OP_FLOAT64:
		NEED(8);
		*(uint64_t *)member = load_be64(d->next);
		d->next += 8;
		return 0;
	case OP_UUID:
		NEED(sizeof(struct uuid));
		memcpy(member, d->next, sizeof(struct uuid));
		d->next += sizeof(struct uuid);
		return 0;
	case OP_STRING:
		return decode_string(d, plan, step, false, step->nullable, member);
	case OP_COMPACT_STRING:
		return decode_string(d, plan, step, true, step->nullable, member);
	case OP_BYTES:
	case OP_COMPACT_BYTES:
		return decode_bytes(
			d, plan, step, step->op == OP_COMPACT_BYTES, step->nullable, member);
	case OP_RECORDS:
	case OP_COMPACT_RECORDS:
		((struct records *)member)->external = NULL;
		return decode_bytes(d, plan, step, step->op == OP_COMPACT_RECORDS, step->nullable,
			&((struct records *)member)->bytes);
	case OP_STRUCT:
		return decode_struct(d, step->plan, member);
	case OP_STRUCT_POINTER:
	case OP_TAGGED_STRUCT_POINTER:
		return decode_struct_pointer(d, plan, step, member);
	case OP_ARRAY:
	case OP_COMPACT_ARRAY:
		return decode_array(d, plan, step, member);
	}
	ensure(!"an op that the generator does not make");
}

/*
 * As Kafka: tags may come in any order, the last of equal known ones wins, unknown ones are kept as
 * they came. Stricter than Kafka: a known field must be as long as its declared size, where Kafka
 * reads on from wherever the field ended.
 */
static int decode_tagged(struct decoder *d, const struct schema_plan *plan, void *to)
{
	const struct schema_step *step = NULL;
	struct tagged_fields *unknown = (void *)((char *)to + plan->of->tags_offset);
	uint32_t count, tag, size;

	if (!decode_varint(d, &count))
		return FAIL(-EBADMSG, "a malformed varint");
	if (count == 0)
		return 0;
	/* A tag and a size take a byte each at least. */
	if (count > LIMIT_TAGGED_FIELDS || count > decoder_left(d) / 2)
		return FAIL(-EBADMSG, "too many tagged fields");
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *field_end, *message_end = d->end;
		int rc;

		step = NULL;
		if (!decode_varint(d, &tag) || !decode_varint(d, &size))
			return FAIL(-EBADMSG, "a malformed varint");
		if (size > decoder_left(d))
			return FAIL(-EBADMSG, "a tagged field beyond the end of the message");
		field_end = d->next + size;
		for (int at = 0; at < plan->tagged_count && !step; at++)
			if ((uint32_t)tagged_tag(plan, &plan->tagged[at]) == tag)
				step = &plan->tagged[at];
		if (!step) {
			for (int at = 0; at < plan->of->field_count; at++)
				if (plan->of->fields[at].tag >= 0 &&
					(uint32_t)plan->of->fields[at].tag == tag)
					return FAIL(
						-EBADMSG, "a tag that this version does not have");
			if (!unknown->fields) {
				unknown->fields =
					arena_new_array(d->arena, struct tagged_field, count - i);
				if (!unknown->fields)
					return FAIL(-ENOMEM, "the arena is exhausted");
			}
			unknown->fields[unknown->count++] = (struct tagged_field){
				.tag = tag, .data = {.data = d->next, .size = (int32_t)size}};
			d->next = field_end;
			continue;
		}
		d->end = field_end;
		rc = decode_step(d, plan, step, to);
		d->end = message_end;
		if (rc)
			return rc;
		if (d->next != field_end)
			return FAIL(-EBADMSG, "a tagged field is shorter than its size");
	}
	return 0;
}

static int decode_struct(struct decoder *d, const struct schema_plan *plan, void *to)
{
	schema_init(plan->of, to);
	for (int i = 0; i < plan->step_count; i++) {
		int rc = decode_step(d, plan, &plan->steps[i], to);
		if (unlikely(rc))
			return rc;
	}
	return plan->flexible ? decode_tagged(d, plan, to) : 0;
}

int schema_decode(const struct schema_struct *schema, int version, struct bytes input,
	struct arena *arena, void *message, size_t *ret_consumed, struct codec_error *error)
{
	const struct schema_plan *plan = schema_plan_find(schema, version);
	struct decoder decoder = {
		.start = input.data, .next = input.data, .arena = arena, .error = error};
	int rc;

	if (!plan) {
		if (error)
			*error = (struct codec_error){
				.struct_name = schema->name, .reason = "no such version"};
		return -EPROTONOSUPPORT;
	}
	/* An empty input may have no address; a message without fields is still read from it. */
	if (input.size <= 0)
		decoder.start = decoder.next = (const uint8_t *)"";
	decoder.end = decoder.next + max_of(input.size, 0);
	rc = decode_struct(&decoder, plan, message);
	if (rc == 0 && ret_consumed)
		*ret_consumed = (size_t)(decoder.next - decoder.start);
	return rc;
}
