#include "protocol/copy.h"

#include <stdlib.h>

#include <criterion/criterion.h>

#include "protocol/codec.h"

static struct bytes encode(
	const struct schema_struct *schema, int version, const void *message, struct arena *arena)
{
	struct output output;

	output_init(&output, arena, 0);
	cr_assert_eq(schema_encode(schema, version, message, &output, NULL), 0);
	return output_bytes(&output);
}

/* A message with every kind of member is copied, its source overwritten: the copy still encodes to
 * the same bytes. */
Test(copy, shares_nothing_with_its_source)
{
	struct arena source_arena, arena;
	struct register_broker_record record, *copy;
	struct tagged_field tag = {
		.tag = 70, .data = {.data = (const uint8_t *)"later", .size = 5}};
	struct bytes before, after;
	uint8_t *block;

	arena_init(&source_arena, 1 << 20);
	arena_init(&arena, 1 << 20);
	schema_init(&register_broker_record_schema, &record);
	record.broker_id = 3;
	record.end_points =
		schema_new_array(&register_broker_record_broker_endpoint_schema, &source_arena, 2);
	record.end_points_count = 2;
	record.end_points[0].name = arena_str(&source_arena, STR("PLAINTEXT"));
	record.end_points[0].host = arena_str(&source_arena, STR("localhost"));
	record.end_points[1].name = arena_str(&source_arena, STR("X"));
	record.end_points[1].host = arena_str(&source_arena, STR(""));
	record.rack = STR_NULL;
	record.log_dirs = arena_new_array(&source_arena, struct uuid, 1);
	record.log_dirs_count = 1;
	record.log_dirs[0].octets[3] = 9;
	record.unknown_tags = (struct tagged_fields){.fields = &tag, .count = 1};
	before = encode(&register_broker_record_schema, 4, &record, &arena);

	block = schema_copy(&register_broker_record_schema, &record, 32);
	copy = (void *)(block + 32);
	for (int i = 0; i < 32; i++)
		cr_assert_eq(block[i], 0);
	memset(record.end_points, 0xee, sizeof(*record.end_points) * 2);
	arena_done(&source_arena);
	tag.data.data = NULL;
	after = encode(&register_broker_record_schema, 4, copy, &arena);
	cr_assert_eq(before.size, after.size);
	cr_assert_eq(memcmp(before.data, after.data, (size_t)before.size), 0);
	cr_assert(str_is_null(copy->rack));
	free(block);
	arena_done(&arena);
}

/* The default message of every schema is copied and encodes the same, in its newest version. */
Test(copy, works_for_every_message)
{
	for (size_t i = 0; i < SCHEMA_MESSAGE_COUNT; i++) {
		const struct schema_struct *schema = schema_messages[i];
		struct arena arena;
		struct output a, b;
		void *message, *copy;

		arena_init(&arena, 1 << 20);
		message = schema_new(schema, &arena);
		copy = schema_copy(schema, message, 0);
		output_init(&a, &arena, 0);
		output_init(&b, &arena, 0);
		/* Some defaults can't be encoded (a null that must be set): then neither can the
		 * copy. */
		cr_assert_eq(schema_encode(schema, schema->max_version, message, &a, NULL),
			schema_encode(schema, schema->max_version, copy, &b, NULL));
		cr_assert_eq(a.size, b.size);
		cr_assert(a.size == 0 || memcmp(a.data, b.data, a.size) == 0, "%s", schema->name);
		free(copy);
		arena_done(&arena);
	}
}
