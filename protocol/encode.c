/*
 * Structs to bytes: the mirror of protocol/decode.c. Behaviour follows the `write` methods that
 * Kafka generates.
 */
#include <errno.h>

#include "protocol/codec_internal.h"
#include "protocol/limits.h"

struct encoder {
	struct output *output;
	struct codec_error *error;
	size_t start; /* of the message in the output */
};

__attribute__((cold)) static int encode_fail(struct encoder *e, const struct schema_plan *plan,
	const struct schema_field *field, int code, const char *reason)
{
	if (e->error)
		*e->error = (struct codec_error){.struct_name = plan->of->name,
			.field = field ? field->name : NULL,
			.reason = reason,
			.position = e->output->size - e->start};
	return code;
}

#define FAIL(code, reason) encode_fail(e, plan, step_field(plan, step), (code), (reason))
#define EXHAUSTED	   FAIL(-ENOMEM, "the arena is exhausted")

static int varint_size(uint32_t value)
{
	int size = 1;

	for (; value >= 0x80; value >>= 7)
		size++;
	return size;
}

static void varint_store(uint8_t *to, uint32_t value)
{
	for (; value >= 0x80; value >>= 7)
		*to++ = (uint8_t)(value | 0x80);
	*to = (uint8_t)value;
}

static bool encode_varint(struct encoder *e, uint32_t value)
{
	uint8_t *to = output_append(e->output, (size_t)varint_size(value));

	if (!to)
		return false;
	varint_store(to, value);
	return true;
}

/* As decode_length: PLAIN bytes or compact (0), a negative length is null. */
static int encode_length(struct encoder *e, const struct schema_plan *plan,
	const struct schema_step *step, int plain, bool nullable, int32_t length)
{
	uint8_t *to;

	if (length < 0 && !nullable)
		return FAIL(-EINVAL, "null where it can't be null");
	length = max_of(length, -1);
	if (plain == 0)
		return encode_varint(e, (uint32_t)length + 1) ? 0 : EXHAUSTED;
	to = output_append(e->output, (size_t)plain);
	if (!to)
		return EXHAUSTED;
	if (plain == 2)
		store_be16(to, (uint16_t)length);
	else
		store_be32(to, (uint32_t)length);
	return 0;
}

static int encode_data(struct encoder *e, const struct schema_plan *plan,
	const struct schema_step *step, int plain, bool nullable, const void *data, int32_t size)
{
	int rc = encode_length(e, plan, step, plain, nullable, size);

	if (rc)
		return rc;
	if (size > 0) {
		uint8_t *to = output_append(e->output, (size_t)size);

		if (!to)
			return EXHAUSTED;
		memcpy(to, data, (size_t)size);
	}
	return 0;
}

static int encode_string(struct encoder *e, const struct schema_plan *plan,
	const struct schema_step *step, bool compact, bool nullable, struct str from)
{
	if (from.size > LIMIT_STRING_SIZE)
		return FAIL(-EINVAL, "a string is too long");
	return encode_data(e, plan, step, compact ? 0 : 2, nullable, from.data, from.size);
}

static int encode_records(struct encoder *e, const struct schema_plan *plan,
	const struct schema_step *step, bool compact, bool nullable, const struct records *from)
{
	int rc;

	if (!from->external)
		return encode_data(e, plan, step, compact ? 0 : 4, nullable, from->bytes.data,
			from->bytes.size);
	ensure(from->bytes.size >= 0);
	rc = encode_length(e, plan, step, compact ? 0 : 4, nullable, from->bytes.size);
	if (rc)
		return rc;
	return output_gap_add(e->output, from->external, from->bytes.size) ? EXHAUSTED : 0;
}

static int encode_struct(struct encoder *e, const struct schema_plan *plan, const void *from);

static int encode_array(struct encoder *e, const struct schema_plan *plan,
	const struct schema_step *step, const void *member)
{
	const void *array;
	int32_t count;
	uint8_t *to = NULL;
	int rc;

	memcpy(&array, member, sizeof(array));
	memcpy(&count, (const char *)member + sizeof(array), sizeof(count));
	rc = encode_length(
		e, plan, step, step->op == OP_COMPACT_ARRAY ? 0 : 4, step->nullable, count);
	if (rc || count <= 0)
		return rc;
	switch ((enum schema_op)step->element_op) {
	case OP_BOOL:
	case OP_INT8:
	case OP_INT16:
	case OP_UINT16:
	case OP_INT32:
	case OP_UINT32:
	case OP_INT64:
	case OP_FLOAT64:
	case OP_UUID:
		to = output_append(e->output, (size_t)count * element_wire_size(step));
		if (!to)
			return EXHAUSTED;
		break;
	default:
		break;
	}
	switch ((enum schema_op)step->element_op) {
	case OP_BOOL:
		for (int32_t i = 0; i < count; i++)
			to[i] = ((const bool *)array)[i];
		break;
	case OP_INT8:
		memcpy(to, array, (size_t)count);
		break;
	case OP_INT16:
	case OP_UINT16:
		for (int32_t i = 0; i < count; i++, to += 2)
			store_be16(to, ((const uint16_t *)array)[i]);
		break;
	case OP_INT32:
	case OP_UINT32:
		for (int32_t i = 0; i < count; i++, to += 4)
			store_be32(to, ((const uint32_t *)array)[i]);
		break;
	case OP_INT64:
	case OP_FLOAT64:
		for (int32_t i = 0; i < count; i++, to += 8)
			store_be64(to, ((const uint64_t *)array)[i]);
		break;
	case OP_UUID:
		memcpy(to, array, (size_t)count * sizeof(struct uuid));
		break;
	case OP_STRING:
	case OP_COMPACT_STRING:
		for (int32_t i = 0; i < count && !rc; i++)
			rc = encode_string(e, plan, step, step->element_op == OP_COMPACT_STRING,
				false, ((const struct str *)array)[i]);
		break;
	case OP_BYTES:
	case OP_COMPACT_BYTES:
		for (int32_t i = 0; i < count && !rc; i++)
			rc = encode_data(e, plan, step,
				step->element_op == OP_COMPACT_BYTES ? 0 : 4, false,
				((const struct bytes *)array)[i].data,
				((const struct bytes *)array)[i].size);
		break;
	case OP_RECORDS:
	case OP_COMPACT_RECORDS:
		for (int32_t i = 0; i < count && !rc; i++)
			rc = encode_records(e, plan, step, step->element_op == OP_COMPACT_RECORDS,
				false, (const struct records *)array + i);
		break;
	case OP_STRUCT:
		for (int32_t i = 0; i < count && !rc; i++)
			rc = encode_struct(e, step->plan,
				(const char *)array + (size_t)i * step->plan->of->size);
		break;
	case OP_STRUCT_POINTER:
	case OP_TAGGED_STRUCT_POINTER:
	case OP_ARRAY:
	case OP_COMPACT_ARRAY:
		ensure(!"an element that the generator does not make");
	}
	return rc;
}

static int encode_struct_pointer(struct encoder *e, const struct schema_plan *plan,
	const struct schema_step *step, const void *member)
{
	const void *inner;

	memcpy(&inner, member, sizeof(inner));
	if (!inner && !step->nullable)
		return FAIL(-EINVAL, "null where it can't be null");
	if (step->nullable) {
		uint8_t *to = output_append(e->output, 1);

		if (!to)
			return EXHAUSTED;
		*to = inner ? 1 : step->op == OP_TAGGED_STRUCT_POINTER ? 0 : 0xff;
	}
	return inner ? encode_struct(e, step->plan, inner) : 0;
}

/* Inlined into the loop over a struct's steps, as in decode.c. */
static inline __attribute__((always_inline)) int encode_step(struct encoder *e, const struct schema_plan *plan,
	const struct schema_step *step, const void *from)
{
	const void *member = (const char *)from + step->offset;
	uint8_t *to;

	switch ((enum schema_op)step->op) {
	case OP_BOOL:
		to = output_append(e->output, 1);
		if (!to)
			return EXHAUSTED;
		*to = *(const bool *)member;
		return 0;
	case OP_INT8:
		to = output_append(e->output, 1);
		if (!to)
			return EXHAUSTED;
		*to = *(const uint8_t *)member;
		return 0;
	case OP_INT16:
	case OP_UINT16:
		to = output_append(e->output, 2);
		if (!to)
			return EXHAUSTED;
		store_be16(to, *(const uint16_t *)member);
		return 0;
	case OP_INT32:
	case OP_UINT32:
		to = output_append(e->output, 4);
		if (!to)
			return EXHAUSTED;
		store_be32(to, *(const uint32_t *)member);
		return 0;
	case OP_INT64:
	case OP_FLOAT64:
		to = output_append(e->output, 8);
		if (!to)
			return EXHAUSTED;
		store_be64(to, *(const uint64_t *)member);
		return 0;
	case OP_UUID:
		to = output_append(e->output, sizeof(struct uuid));
		if (!to)
			return EXHAUSTED;
		memcpy(to, member, sizeof(struct uuid));
		return 0;
	case OP_STRING:
	case OP_COMPACT_STRING:
		return encode_string(e, plan, step, step->op == OP_COMPACT_STRING, step->nullable,
			*(const struct str *)member);
	case OP_BYTES:
	case OP_COMPACT_BYTES:
		return encode_data(e, plan, step, step->op == OP_COMPACT_BYTES ? 0 : 4,
			step->nullable, ((const struct bytes *)member)->data,
			((const struct bytes *)member)->size);
	case OP_RECORDS:
	case OP_COMPACT_RECORDS:
		return encode_records(
			e, plan, step, step->op == OP_COMPACT_RECORDS, step->nullable, member);
	case OP_STRUCT:
		return encode_struct(e, step->plan, member);
	case OP_STRUCT_POINTER:
	case OP_TAGGED_STRUCT_POINTER:
		return encode_struct_pointer(e, plan, step, member);
	case OP_ARRAY:
	case OP_COMPACT_ARRAY:
		return encode_array(e, plan, step, member);
	}
	ensure(!"an op that the generator does not make");
}

/*
 * The size stands before the field, as a varint. One byte is kept for it; the rare field of 128
 * bytes or more moves up to make room. Tagged fields hold no records, so no gap lies behind the
 * place.
 */
static int encode_tagged_field(struct encoder *e, const struct schema_plan *plan,
	const struct schema_step *step, const void *from)
{
	size_t begin, size;
	int extra, rc;

	if (!encode_varint(e, (uint32_t)tagged_tag(plan, step)) || !output_append(e->output, 1))
		return EXHAUSTED;
	begin = e->output->size;
	rc = encode_step(e, plan, step, from);
	if (rc)
		return rc;
	size = e->output->size - begin;
	if (size > INT32_MAX)
		return FAIL(-EINVAL, "a tagged field is too long");
	extra = varint_size((uint32_t)size) - 1;
	if (extra > 0) {
		if (!output_append(e->output, (size_t)extra))
			return EXHAUSTED;
		memmove(e->output->data + begin + extra, e->output->data + begin, size);
	}
	varint_store(e->output->data + begin - 1, (uint32_t)size);
	return 0;
}

/* Writes the unknown fields from index AT on that belong before BEFORE, a tag that the schema
 * knows; -1: all. */
static int encode_unknown(struct encoder *e, const struct schema_plan *plan,
	const struct tagged_fields *unknown, int32_t *at, int32_t before)
{
	const struct schema_step *step = NULL;

	for (; *at < unknown->count; ++*at) {
		const struct tagged_field *field = &unknown->fields[*at];
		uint8_t *to;

		if (before >= 0 && field->tag >= (uint32_t)before) {
			if (field->tag == (uint32_t)before)
				return FAIL(-EINVAL, "an unknown tagged field has a known tag");
			return 0;
		}
		if (field->tag > INT32_MAX ||
			(*at > 0 && field->tag <= unknown->fields[*at - 1].tag))
			return FAIL(-EINVAL, "unknown tagged fields are not in ascending order");
		if (!encode_varint(e, field->tag) || !encode_varint(e, (uint32_t)field->data.size))
			return EXHAUSTED;
		if (field->data.size == 0)
			continue;
		to = output_append(e->output, (size_t)field->data.size);
		if (!to)
			return EXHAUSTED;
		memcpy(to, field->data.data, (size_t)field->data.size);
	}
	return 0;
}

static int encode_tagged(struct encoder *e, const struct schema_plan *plan, const void *from)
{
	const struct schema_step *step = NULL;
	const struct tagged_fields *unknown =
		(const void *)((const char *)from + plan->of->tags_offset);
	uint64_t present = 0; /* by index in plan->tagged; the generator makes no more than 64 */
	int32_t at = 0;
	int rc;

	for (int i = 0; i < plan->tagged_count; i++)
		if (!schema_field_is_default(step_field(plan, &plan->tagged[i]), from))
			present |= UINT64_C(1) << i;
	if (!encode_varint(e, (uint32_t)unknown->count + (uint32_t)__builtin_popcountll(present)))
		return EXHAUSTED;
	if (!present && unknown->count == 0)
		return 0;
	for (int i = 0; i < plan->tagged_count; i++) {
		step = &plan->tagged[i];
		rc = encode_unknown(e, plan, unknown, &at, tagged_tag(plan, step));
		if (rc)
			return rc;
		if (!(present & UINT64_C(1) << i))
			continue;
		rc = encode_tagged_field(e, plan, step, from);
		if (rc)
			return rc;
	}
	return encode_unknown(e, plan, unknown, &at, -1);
}

static int encode_struct(struct encoder *e, const struct schema_plan *plan, const void *from)
{
	for (int i = 0; i < plan->absent_count; i++) {
		const struct schema_field *field = &plan->of->fields[plan->absent[i]];

		if (!schema_field_is_default(field, from))
			return encode_fail(e, plan, field, -EINVAL,
				"not at its default in a version that lacks it");
	}
	for (int i = 0; i < plan->step_count; i++) {
		int rc = encode_step(e, plan, &plan->steps[i], from);
		if (unlikely(rc))
			return rc;
	}
	if (plan->flexible)
		return encode_tagged(e, plan, from);
	if (plan->of->tags_offset >= 0 &&
		((const struct tagged_fields *)(const void *)((const char *)from +
							      plan->of->tags_offset))
				->count > 0)
		return encode_fail(
			e, plan, NULL, -EINVAL, "tagged fields in a version that has none");
	return 0;
}

int schema_encode(const struct schema_struct *schema, int version, const void *message,
	struct output *output, struct codec_error *error)
{
	const struct schema_plan *plan = schema_plan_find(schema, version);
	struct encoder encoder = {.output = output, .error = error, .start = output->size};

	if (!plan) {
		if (error)
			*error = (struct codec_error){
				.struct_name = schema->name, .reason = "no such version"};
		return -EPROTONOSUPPORT;
	}
	return encode_struct(&encoder, plan, message);
}
