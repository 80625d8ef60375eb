/* Walks the fields, not the plans: what matters here is what a version has, not how it lies on the
 * wire. */
#include "protocol/schema_json.h"

#include <ctype.h>
#include <stdlib.h>

#include "runtime/uuid.h"

#define FIELD_NAME_SIZE 128

/* How many bytes at the front of TEXT are one UTF-8 character; 0 when they are none. */
static int utf8_character_size(const uint8_t *text, int32_t left)
{
	uint8_t lead = text[0];
	int size = lead < 0x80			 ? 1
		   : lead >= 0xc2 && lead < 0xe0 ? 2
		   : (lead & 0xf0) == 0xe0	 ? 3
		   : lead >= 0xf0 && lead < 0xf5 ? 4
						 : 0;

	if (size == 0 || size > left)
		return 0;
	for (int i = 1; i < size; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than needed, half of a surrogate pair, or beyond the last character. */
	if ((lead == 0xe0 && text[1] < 0xa0) || (lead == 0xed && text[1] >= 0xa0) ||
		(lead == 0xf0 && text[1] < 0x90) || (lead == 0xf4 && text[1] >= 0x90))
		return 0;
	return size;
}

static json_t *json_text(struct str text)
{
	const uint8_t *from = (const uint8_t *)text.data;
	int32_t at = 0;
	size_t size = 0;
	char *clean;
	json_t *made;

	if (str_is_null(text))
		return json_null();
	clean = malloc((size_t)text.size * 3 + 1);
	if (!clean)
		return NULL;
	while (at < text.size) {
		int character = utf8_character_size(from + at, text.size - at);

		memcpy(clean + size, character ? (const char *)from + at : "\xef\xbf\xbd",
			(size_t)(character ? character : 3));
		size += (size_t)(character ? character : 3);
		at += character ? character : 1;
	}
	made = json_stringn_nocheck(clean, size);
	free(clean);
	return made;
}

static json_t *json_base64(struct bytes bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t size = 0;
	char *text;
	json_t *made;

	if (bytes.size < 0)
		return json_null();
	text = malloc((size_t)bytes.size / 3 * 4 + 5);
	if (!text)
		return NULL;
	for (int32_t at = 0; at < bytes.size; at += 3) {
		int32_t left = bytes.size - at;
		uint32_t three = (uint32_t)bytes.data[at] << 16 |
				 (left > 1 ? (uint32_t)bytes.data[at + 1] << 8 : 0) |
				 (left > 2 ? bytes.data[at + 2] : 0);

		text[size++] = digits[three >> 18];
		text[size++] = digits[three >> 12 & 63];
		text[size++] = left > 1 ? digits[three >> 6 & 63] : '=';
		text[size++] = left > 2 ? digits[three & 63] : '=';
	}
	made = json_stringn_nocheck(text, size);
	free(text);
	return made;
}

static json_t *struct_json(const struct schema_struct *schema, int version, const void *at);

/* One value of TYPE, a field's or an array's element. */
static json_t *value_json(
	enum schema_type type, const struct schema_struct *of, int version, const void *at)
{
	char text[UUID_TEXT_SIZE + 1];

	switch (type) {
	case SCHEMA_BOOL:
		return json_boolean(*(const bool *)at);
	case SCHEMA_INT8:
		return json_integer(*(const int8_t *)at);
	case SCHEMA_INT16:
		return json_integer(*(const int16_t *)at);
	case SCHEMA_UINT16:
		return json_integer(*(const uint16_t *)at);
	case SCHEMA_INT32:
		return json_integer(*(const int32_t *)at);
	case SCHEMA_UINT32:
		return json_integer(*(const uint32_t *)at);
	case SCHEMA_INT64:
		return json_integer(*(const int64_t *)at);
	case SCHEMA_FLOAT64:
		/* JSON has no infinities; null tells that there is no such number. */
		return __builtin_isfinite(*(const double *)at) ? json_real(*(const double *)at)
							       : json_null();
	case SCHEMA_UUID:
		uuid_format(at, text);
		return json_string(text);
	case SCHEMA_STRING:
		return json_text(*(const struct str *)at);
	case SCHEMA_BYTES:
		return json_base64(*(const struct bytes *)at);
	case SCHEMA_RECORDS:
		return ((const struct records *)at)->bytes.size < 0
			       ? json_null()
			       : json_integer(((const struct records *)at)->bytes.size);
	case SCHEMA_STRUCT:
		return struct_json(of, version, at);
	case SCHEMA_ARRAY:
		break;
	}
	ensure(!"an array is no element");
}

static json_t *array_json(const struct schema_field *field, int version, const void *member)
{
	const char *array;
	int32_t count;
	json_t *made;

	memcpy(&array, member, sizeof(array));
	memcpy(&count, (const char *)member + sizeof(array), sizeof(count));
	if (count < 0)
		return json_null();
	made = json_array();
	for (int32_t i = 0; made && i < count; i++) {
		json_t *element = value_json((enum schema_type)field->element, field->of, version,
			array + (size_t)i * schema_element_size(field));

		if (json_array_append_new(made, element)) {
			json_decref(made);
			made = NULL;
		}
	}
	return made;
}

static json_t *field_json(const struct schema_field *field, int version, const void *struct_at)
{
	const void *member = (const char *)struct_at + field->offset;

	if (field->type == SCHEMA_ARRAY)
		return array_json(field, version, member);
	if (field->pointer) {
		const void *inner;

		memcpy(&inner, member, sizeof(inner));
		return inner ? struct_json(field->of, version, inner) : json_null();
	}
	return value_json((enum schema_type)field->type, field->of, version, member);
}

static json_t *struct_json(const struct schema_struct *schema, int version, const void *at)
{
	json_t *made = json_object();

	for (int i = 0; made && i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];
		char name[FIELD_NAME_SIZE];
		bool size_only;

		if (!schema_versions_contain(field->versions, version))
			continue;
		if (schema_versions_contain(field->tagged, version) &&
			schema_field_is_default(field, at))
			continue;
		size_only =
			field->type == SCHEMA_RECORDS &&
			((const struct records *)(const void *)((const char *)at + field->offset))
					->bytes.size >= 0;
		snprintf(name, sizeof(name), "%c%s%s", tolower(field->name[0]), field->name + 1,
			size_only ? "SizeInBytes" : "");
		if (json_object_set_new(made, name, field_json(field, version, at))) {
			json_decref(made);
			made = NULL;
		}
	}
	return made;
}

json_t *schema_to_json(const struct schema_struct *schema, int version, const void *message)
{
	return schema_plan_find(schema, version) ? struct_json(schema, version, message) : NULL;
}
