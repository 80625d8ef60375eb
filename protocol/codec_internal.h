/* What decode.c and encode.c share about steps. */
#pragma once

#include "protocol/codec.h"

static inline const struct schema_field *step_field(
	const struct schema_plan *plan, const struct schema_step *step)
{
	return step ? &plan->of->fields[step->field] : NULL;
}

static inline int16_t tagged_tag(const struct schema_plan *plan, const struct schema_step *step)
{
	return step_field(plan, step)->tag;
}

/* Bytes of one element on the wire at least; for elements of fixed size, exactly. */
static inline size_t element_wire_size(const struct schema_step *step)
{
	switch ((enum schema_op)step->element_op) {
	case OP_INT16:
	case OP_UINT16:
	case OP_STRING:
		return 2;
	case OP_INT32:
	case OP_UINT32:
	case OP_BYTES:
	case OP_RECORDS:
		return 4;
	case OP_INT64:
	case OP_FLOAT64:
		return 8;
	case OP_UUID:
		return 16;
	case OP_STRUCT:
		return step->plan->min_size;
	default:
		return 1;
	}
}
