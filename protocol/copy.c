#include "protocol/copy.h"

#include "runtime/memory.h"

/* Walks a message twice in the same way: without a block it only measures, then it fills the block.
 */
struct copier {
	uint8_t *block; /* NULL while measuring */
	size_t used;
};

static void copy_struct(
	struct copier *copier, const struct schema_struct *schema, const void *from, void *to);

/* Room for COUNT things of SIZE bytes; NULL while measuring. */
static void *take(struct copier *copier, size_t count, size_t size)
{
	size_t at = (copier->used + 15) & ~(size_t)15;

	copier->used = at + count * size;
	return copier->block ? copier->block + at : NULL;
}

static void copy_bytes(struct copier *copier, const void *data, int32_t size, const void **ret_data)
{
	void *room;

	if (size <= 0)
		return;
	room = take(copier, 1, (size_t)size);
	if (room)
		*ret_data = memcpy(room, data, (size_t)size);
}

/* What a value leads to; its own bytes were copied with the struct or array it stands in. */
static void copy_content(struct copier *copier, enum schema_type type,
	const struct schema_struct *of, const void *from, void *to)
{
	const struct str *text = from;
	const struct bytes *bytes = from;
	const struct records *records = from;

	if (type == SCHEMA_STRING)
		copy_bytes(copier, text->data, text->size,
			to ? (const void **)&((struct str *)to)->data : NULL);
	else if (type == SCHEMA_BYTES)
		copy_bytes(copier, bytes->data, bytes->size,
			to ? (const void **)&((struct bytes *)to)->data : NULL);
	else if (type == SCHEMA_RECORDS)
		copy_bytes(copier, records->bytes.data, records->bytes.size,
			to ? (const void **)&((struct records *)to)->bytes.data : NULL);
	else if (type == SCHEMA_STRUCT)
		copy_struct(copier, of, from, to);
}

static void copy_array(
	struct copier *copier, const struct schema_field *field, const void *from, void *to)
{
	const uint8_t *elements;
	uint8_t *room;
	int32_t count;
	size_t size = schema_element_size(field);

	memcpy(&elements, from, sizeof(elements));
	memcpy(&count, (const uint8_t *)from + sizeof(elements), sizeof(count));
	if (count <= 0)
		return;
	room = take(copier, (size_t)count, size);
	if (room) {
		memcpy(room, elements, (size_t)count * size);
		memcpy(to, &room, sizeof(room));
	}
	for (int32_t i = 0; i < count; i++)
		copy_content(copier, field->element, field->of, elements + (size_t)i * size,
			room ? room + (size_t)i * size : NULL);
}

static void copy_pointed(
	struct copier *copier, const struct schema_field *field, const void *from, void *to)
{
	const void *pointed;
	void *room;

	memcpy(&pointed, from, sizeof(pointed));
	if (!pointed)
		return;
	room = take(copier, 1, field->of->size);
	if (room) {
		memcpy(room, pointed, field->of->size);
		memcpy(to, &room, sizeof(room));
	}
	copy_struct(copier, field->of, pointed, room);
}

static void copy_tags(
	struct copier *copier, const struct tagged_fields *from, struct tagged_fields *to)
{
	struct tagged_field *room;

	if (from->count <= 0)
		return;
	room = take(copier, (size_t)from->count, sizeof(*room));
	if (room)
		to->fields = memcpy(room, from->fields, (size_t)from->count * sizeof(*room));
	for (int32_t i = 0; i < from->count; i++)
		copy_bytes(copier, from->fields[i].data.data, from->fields[i].data.size,
			room ? (const void **)&room[i].data.data : NULL);
}

/* TO holds the same bytes as FROM already, and gets pointers of its own; NULL while measuring. */
static void copy_struct(
	struct copier *copier, const struct schema_struct *schema, const void *from, void *to)
{
	for (uint16_t i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];
		const void *member = (const uint8_t *)from + field->offset;
		void *target = to ? (uint8_t *)to + field->offset : NULL;

		if (field->type == SCHEMA_ARRAY)
			copy_array(copier, field, member, target);
		else if (field->type == SCHEMA_STRUCT && field->pointer)
			copy_pointed(copier, field, member, target);
		else
			copy_content(copier, field->type, field->of, member, target);
	}
	if (schema->tags_offset >= 0)
		copy_tags(copier, (const void *)((const uint8_t *)from + schema->tags_offset),
			to ? (void *)((uint8_t *)to + schema->tags_offset) : NULL);
}

void *schema_copy(const struct schema_struct *schema, const void *message, size_t prefix_size)
{
	struct copier copier = {.used = prefix_size + schema->size};
	size_t size;

	ensure(prefix_size % 16 == 0);
	copy_struct(&copier, schema, message, NULL);
	size = copier.used;
	copier.block = memory_new(size);
	copier.used = prefix_size + schema->size;
	memcpy(copier.block + prefix_size, message, schema->size);
	copy_struct(&copier, schema, message, copier.block + prefix_size);
	ensure(copier.used == size);
	return copier.block;
}
