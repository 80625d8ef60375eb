/* Defaults, and what is found in the tables. */
#include "protocol/codec.h"

void schema_init(const struct schema_struct *schema, void *message)
{
	if (schema->defaults)
		memcpy(message, schema->defaults, schema->size);
	else
		memset(message, 0, schema->size);
}

void *schema_new_array(const struct schema_struct *schema, struct arena *arena, int32_t count)
{
	char *array;

	ensure(count >= 0);
	array = arena_alloc_zero(arena, (size_t)max_of(count, 1), schema->size);
	if (array && schema->defaults)
		for (int32_t i = 0; i < count; i++)
			memcpy(array + (size_t)i * schema->size, schema->defaults, schema->size);
	return array;
}

void *schema_new(const struct schema_struct *schema, struct arena *arena)
{
	return schema_new_array(schema, arena, 1);
}

static bool struct_is_default(const struct schema_struct *schema, const void *at)
{
	/* Nearly always it is the very image. What differs may still be equal: padding, pointers to
	 * nothing. */
	if (schema->defaults && memcmp(at, schema->defaults, schema->size) == 0)
		return true;
	for (int i = 0; i < schema->field_count; i++)
		if (!schema_field_is_default(&schema->fields[i], at))
			return false;
	return schema->tags_offset < 0 ||
	       ((const struct tagged_fields *)(const void *)((const char *)at +
							     schema->tags_offset))
			       ->count == 0;
}

static bool length_is_default(const struct schema_field *field, int32_t length)
{
	return field->default_null ? length < 0 : length == 0;
}

bool schema_field_is_default(const struct schema_field *field, const void *struct_at)
{
	const void *member = (const char *)struct_at + field->offset;
	const void *inner = member;
	int32_t count;

	switch ((enum schema_type)field->type) {
	case SCHEMA_BOOL:
		return *(const bool *)member == (field->default_value != 0);
	case SCHEMA_INT8:
		return *(const int8_t *)member == field->default_value;
	case SCHEMA_INT16:
		return *(const int16_t *)member == field->default_value;
	case SCHEMA_UINT16:
		return *(const uint16_t *)member == field->default_value;
	case SCHEMA_INT32:
		return *(const int32_t *)member == field->default_value;
	case SCHEMA_UINT32:
		return *(const uint32_t *)member == field->default_value;
	case SCHEMA_INT64:
		return *(const int64_t *)member == field->default_value;
	case SCHEMA_FLOAT64:
		return *(const double *)member == 0;
	case SCHEMA_UUID:
		return uuid_is_zero(member);
	case SCHEMA_STRING:
		return length_is_default(field, ((const struct str *)member)->size);
	case SCHEMA_BYTES:
		return length_is_default(field, ((const struct bytes *)member)->size);
	case SCHEMA_RECORDS:
		return !((const struct records *)member)->external &&
		       length_is_default(field, ((const struct records *)member)->bytes.size);
	case SCHEMA_STRUCT:
		if (field->pointer) {
			memcpy(&inner, member, sizeof(inner));
			if (!inner || field->default_null)
				return !inner && field->default_null;
		}
		return struct_is_default(field->of, inner);
	case SCHEMA_ARRAY:
		memcpy(&count, (const char *)member + sizeof(void *), sizeof(count));
		return length_is_default(field, count);
	}
	ensure(!"a type that the generator does not make");
}

const struct api_row *api_find(int key)
{
	return key >= 0 && key < API_COUNT ? &api_table[key] : NULL;
}

const struct record_row *record_find(enum record_log log, int type)
{
	for (int i = 0; i < RECORD_COUNT; i++)
		if (record_table[i].log == log && record_table[i].type == type)
			return &record_table[i];
	return NULL;
}

/* The nearest version that exists decides for one that does not. */
static bool api_is_flexible(
	const struct api_row *api, const struct schema_struct *schema, int version)
{
	version = min_of(version, (int)api->max_version);
	version = max_of(version, (int)api->min_version);
	return schema_plan_find(schema, version)->flexible;
}

int request_header_version(const struct api_row *api, int version)
{
	if (api->key == API_CONTROLLED_SHUTDOWN && version == 0)
		return 0;
	return api_is_flexible(api, api->request, version) ? 2 : 1;
}

int response_header_version(const struct api_row *api, int version)
{
	if (api->key == API_API_VERSIONS)
		return 0;
	return api_is_flexible(api, api->response, version) ? 1 : 0;
}
