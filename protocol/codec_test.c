#include <criterion/criterion.h>
#include <errno.h>

#include "protocol/codec.h"
#include "protocol/limits.h"

static struct arena arena;

static void set_up(void)
{
	arena_init(&arena, 1 << 20);
}

static void tear_down(void)
{
	arena_done(&arena);
}

TestSuite(codec, .init = set_up, .fini = tear_down);

#define BYTES(...)                                              \
	((struct bytes){.data = (const uint8_t[]){__VA_ARGS__}, \
		.size = (int32_t)sizeof((const uint8_t[]){__VA_ARGS__})})

static struct output encode(const struct schema_struct *schema, int version, const void *message)
{
	struct output output;
	struct codec_error error = {0};

	output_init(&output, &arena, 0);
	cr_assert_eq(schema_encode(schema, version, message, &output, &error), 0, "%s.%s: %s",
		error.struct_name, error.field ? error.field : "", error.reason);
	return output;
}

static void assert_bytes(struct bytes got, struct bytes want)
{
	cr_assert_eq(got.size, want.size);
	cr_assert(got.size == 0 || memcmp(got.data, want.data, (size_t)want.size) == 0);
}

/* A produce request as an old client sends it, byte by byte. */
Test(codec, reads_an_old_version)
{
	struct bytes input = BYTES(0xff, 0xff, 0, 0, 0, 9,   /* acks -1, timeout 9 */
		0, 0, 0, 1, 0, 2, 'a', 'b',		     /* one topic "ab" */
		0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 3, 1, 2, 3, /* one partition 7 with 3 bytes */
		0xee);					     /* left over */
	struct produce_request request;
	struct output output;
	size_t consumed;

	cr_assert_eq(
		schema_decode(&produce_request_schema, 0, input, &arena, &request, &consumed, NULL),
		0);
	cr_assert_eq(consumed, (size_t)input.size - 1);
	cr_assert(str_is_null(request.transactional_id), "absent in version 0: its default");
	cr_assert(request.acks == -1 && request.timeout_ms == 9 && request.topic_data_count == 1);
	cr_assert(str_equal(request.topic_data[0].name, STR("ab")));
	cr_assert_eq(request.topic_data[0].partition_data[0].index, 7);
	cr_assert_eq(request.topic_data[0].partition_data[0].records.bytes.data, input.data + 26,
		"a view, not a copy");
	cr_assert_eq(request.topic_data[0].partition_data[0].records.bytes.size, 3);
	input.size--;
	output = encode(&produce_request_schema, 0, &request);
	assert_bytes(output_bytes(&output), input);
}

/* Compact lengths are one more than the length, 0 is null; tagged fields end every struct. */
Test(codec, reads_a_flexible_version)
{
	struct bytes input =
		BYTES(0, 0, 1, 0, 0, 0, 9, /* transactional id null, acks 1, timeout 9 */
			2, 3, 'a', 'b', 2, 0, 0, 0, 7, 4, 1, 2,
			3,		  /* topic "ab", partition 7 with 3 bytes */
			0, 0,		  /* no tags for the partition and topic */
			1, 100, 2, 8, 9); /* the request has tag 100 of 2 bytes */
	struct produce_request request;
	struct output output;

	cr_assert_eq(
		schema_decode(&produce_request_schema, 9, input, &arena, &request, NULL, NULL), 0);
	cr_assert_eq(request.topic_data[0].partition_data[0].records.bytes.size, 3);
	cr_assert_eq(request.unknown_tags.count, 1);
	cr_assert_eq(request.unknown_tags.fields[0].tag, 100);
	output = encode(&produce_request_schema, 9, &request);
	assert_bytes(output_bytes(&output), input);
}

/* Every prefix of a message is refused, none reads beyond its end (the sanitizer watches a copy of
 * the exact size). */
Test(codec, a_truncated_message_is_refused)
{
	const uint8_t whole[] = {0, 0, 1, 0, 0, 0, 9, 2, 3, 'a', 'b', 2, 0, 0, 0, 7, 4, 1, 2, 3, 0,
		0, 1, 100, 2, 8, 9};
	struct produce_request request;

	for (int32_t size = 0; size < (int32_t)sizeof(whole); size++) {
		uint8_t *copy = malloc((size_t)size + 1);
		struct codec_error error = {0};

		memcpy(copy, whole, (size_t)size);
		cr_assert_eq(schema_decode(&produce_request_schema, 9,
				     (struct bytes){.data = copy, .size = size}, &arena, &request,
				     NULL, &error),
			-EBADMSG);
		cr_assert(error.reason && error.struct_name && error.position <= (size_t)size);
		free(copy);
	}
}

/* A count of 2^31-1, in each form: refused, and the arena does not grow. */
Test(codec, a_hostile_count_allocates_nothing)
{
	struct bytes plain = BYTES(0, 1, 0, 0, 0, 9, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0);
	struct bytes compact =
		BYTES(0, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0, 0, 0, 0, 0, 0);
	struct bytes tags =
		BYTES(0, 0, 1, 0, 0, 0, 9, 1, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0, 0, 0, 0, 0, 0);
	struct produce_request request;
	struct codec_error error;

	cr_assert_eq(
		schema_decode(&produce_request_schema, 0, plain, &arena, &request, NULL, &error),
		-EBADMSG);
	cr_assert_str_eq(error.field, "TopicData");
	cr_assert_eq(
		schema_decode(&produce_request_schema, 9, compact, &arena, &request, NULL, &error),
		-EBADMSG);
	cr_assert_eq(
		schema_decode(&produce_request_schema, 9, tags, &arena, &request, NULL, &error),
		-EBADMSG);
	cr_assert_str_eq(error.reason, "too many tagged fields");
	cr_assert_eq(arena.used_bytes, 0);
}

/* 14 bytes can't hold 7 topics of at least 6 bytes: refused before the array is allocated. */
Test(codec, a_count_is_compared_with_what_its_elements_need)
{
	struct bytes input =
		BYTES(0, 1, 0, 0, 0, 9, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	struct produce_request request;

	cr_assert_eq(schema_decode(&produce_request_schema, 0, input, &arena, &request, NULL, NULL),
		-EBADMSG);
	cr_assert_eq(arena.used_bytes, 0);
}

/* An arena that is too small is the caller's limit, told apart from a bad message. */
Test(codec, an_exhausted_arena_is_told)
{
	uint8_t wide[10 + 6 * 1000] = {0, 1, 0, 0, 0, 9, 0, 0, 1000 >> 8, 1000 & 0xff};
	struct produce_request request;
	struct arena small;

	arena_init(&small, 8192);
	cr_assert_eq(schema_decode(&produce_request_schema, 0,
			     (struct bytes){.data = wide, .size = sizeof(wide)}, &small, &request,
			     NULL, NULL),
		-ENOMEM);
	arena_done(&small);
}

Test(codec, null_where_it_cannot_be_is_refused_both_ways)
{
	struct bytes input = BYTES(0, 1, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff);
	struct produce_request request;
	struct output output;
	struct codec_error error;

	cr_assert_eq(
		schema_decode(&produce_request_schema, 0, input, &arena, &request, NULL, &error),
		-EBADMSG);
	schema_init(&produce_request_schema, &request);
	request.topic_data_count = -1;
	output_init(&output, &arena, 0);
	cr_assert_eq(schema_encode(&produce_request_schema, 0, &request, &output, &error), -EINVAL);
	cr_assert_str_eq(error.field, "TopicData");
}

/* Kafka takes the varint for a signed number: what is below one, once one is taken off, is null. */
Test(codec, any_negative_compact_length_is_null)
{
	struct bytes input = BYTES(0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1, 0, 0, 0, 9, 1, 0);
	struct bytes largest = BYTES(0x80, 0x80, 0x80, 0x80, 0x08, 0, 1, 0, 0, 0, 9, 1, 0);
	struct produce_request request;

	cr_assert_eq(
		schema_decode(&produce_request_schema, 9, input, &arena, &request, NULL, NULL), 0);
	cr_assert(str_is_null(request.transactional_id));
	cr_assert_eq(
		schema_decode(&produce_request_schema, 9, largest, &arena, &request, NULL, NULL),
		-EBADMSG, "-2^31 less one is 2^31-1");
}

/* TransactionalId begins with version 3 and may not be dropped; LogStartOffset may be. */
Test(codec, a_value_that_a_version_lacks_is_an_error_unless_ignorable)
{
	struct produce_request request;
	struct produce_response response;
	struct output output;
	struct codec_error error;

	schema_init(&produce_request_schema, &request);
	request.transactional_id = STR("t");
	output_init(&output, &arena, 0);
	cr_assert_eq(schema_encode(&produce_request_schema, 2, &request, &output, &error), -EINVAL);
	cr_assert_str_eq(error.field, "TransactionalId");
	cr_assert_eq(schema_encode(&produce_request_schema, 3, &request, &output, &error), 0);
	schema_init(&produce_response_schema, &response);
	response.throttle_time_ms = 5;
	encode(&produce_response_schema, 0, &response);
}

Test(codec, versions_outside_of_the_range_are_refused)
{
	struct produce_request request;
	struct output output;

	schema_init(&produce_request_schema, &request);
	output_init(&output, &arena, 0);
	cr_assert_eq(schema_encode(&produce_request_schema, 14, &request, &output, NULL),
		-EPROTONOSUPPORT);
	cr_assert_eq(schema_encode(&produce_request_schema, -1, &request, &output, NULL),
		-EPROTONOSUPPORT);
	cr_assert_eq(
		schema_decode(&produce_request_schema, 14, BYTES(0), &arena, &request, NULL, NULL),
		-EPROTONOSUPPORT);
}

/* Kafka refuses longer strings on both sides. */
Test(codec, strings_end_at_32767_bytes)
{
	struct delete_topics_request request;
	struct output output;
	struct str long_name = {.data = calloc(1, 40000), .size = LIMIT_STRING_SIZE};

	schema_init(&delete_topics_request_schema, &request);
	request.topic_names = &long_name;
	request.topic_names_count = 1;
	output = encode(&delete_topics_request_schema, 4, &request);
	long_name.size++;
	output_init(&output, &arena, 0);
	cr_assert_eq(
		schema_encode(&delete_topics_request_schema, 4, &request, &output, NULL), -EINVAL);
	free((void *)(uintptr_t)long_name.data);
}

/* The request has tag 0 (ClusterId) and may have unknown ones, which must ascend and not use a
 * known tag. */
Test(codec, tagged_fields_are_written_in_order)
{
	struct fetch_request request;
	struct tagged_field unknown[] = {
		{.tag = 7, .data = {.data = (const uint8_t *)"x", .size = 1}},
		{.tag = 9, .data = {.data = (const uint8_t *)"y", .size = 1}}};
	struct output output;
	struct bytes end = BYTES(3, 0, 2, 2, 'c', 7, 1, 'x', 9, 1, 'y');

	schema_init(&fetch_request_schema, &request);
	request.cluster_id = STR("c");
	request.unknown_tags = (struct tagged_fields){.fields = unknown, .count = 2};
	output = encode(&fetch_request_schema, 13, &request);
	assert_bytes((struct bytes){.data = output.data + output.size - end.size, .size = end.size},
		end);
	unknown[1].tag = 7;
	cr_assert_eq(schema_encode(&fetch_request_schema, 13, &request, &output, NULL), -EINVAL,
		"twice the same");
	unknown[1].tag = 0x80000000;
	cr_assert_eq(schema_encode(&fetch_request_schema, 13, &request, &output, NULL), -EINVAL,
		"below zero to Kafka");
	unknown[0].tag = 0;
	cr_assert_eq(schema_encode(&fetch_request_schema, 13, &request, &output, NULL), -EINVAL,
		"a known tag");
	request.cluster_id = STR_NULL;
	cr_assert_eq(schema_encode(&fetch_request_schema, 4, &request, &output, NULL), -EINVAL,
		"not flexible");
}

/* Kafka keeps what is longer than 127 bytes too: the size is a varint of two bytes then. */
Test(codec, a_long_tagged_field_keeps_its_bytes)
{
	struct fetch_request request, again;
	struct output output;
	char text[1000];

	memset(text, 'c', sizeof(text));
	schema_init(&fetch_request_schema, &request);
	request.cluster_id = (struct str){.data = text, .size = sizeof(text)};
	output = encode(&fetch_request_schema, 13, &request);
	cr_assert_eq(schema_decode(&fetch_request_schema, 13, output_bytes(&output), &arena, &again,
			     NULL, NULL),
		0);
	cr_assert(str_equal(again.cluster_id, request.cluster_id));
}

/* A tagged field must fill its declared size: nothing is read from behind it, nothing inside is
 * skipped. */
Test(codec, the_size_of_a_tagged_field_must_be_true)
{
	struct api_versions_request request;

	cr_assert_eq(schema_decode(&vote_response_schema, 1, BYTES(0, 0, 1, 1, 0, 3, 1, 0, 0),
			     &arena, &(struct vote_response){0}, NULL, NULL),
		-EBADMSG, "an empty array of 1 byte in a field of 3");
	cr_assert_eq(schema_decode(&vote_response_schema, 1, BYTES(0, 0, 1, 1, 0, 0, 1), &arena,
			     &(struct vote_response){0}, NULL, NULL),
		-EBADMSG, "an empty array of 1 byte in a field of 0");
	cr_assert_eq(schema_decode(&vote_response_schema, 1, BYTES(0, 0, 1, 1, 0, 1, 1), &arena,
			     &(struct vote_response){0}, NULL, NULL),
		0);
	cr_assert_eq(
		schema_decode(&api_versions_request_schema, 3,
			BYTES(1, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0), &arena, &request, NULL, NULL),
		-EBADMSG, "a varint of six bytes");
}

/* Its default is an empty struct, not null: so null is written, and the empty struct is left out.
 */
Test(codec, a_nullable_struct_may_default_to_a_struct)
{
	struct consumer_group_member_metadata_value value, again;
	struct output with_null, with_default;

	schema_init(&consumer_group_member_metadata_value_schema, &value);
	cr_assert(value.classic_member_metadata);
	with_default = encode(&consumer_group_member_metadata_value_schema, 0, &value);
	value.classic_member_metadata = NULL;
	with_null = encode(&consumer_group_member_metadata_value_schema, 0, &value);
	/* One tagged field: tag 0, one byte, a varint of 0. */
	cr_assert_eq(with_null.size, with_default.size + 3);
	cr_assert_eq(memcmp(with_null.data + with_null.size - 4, "\1\0\1\0", 4), 0);
	cr_assert_eq(schema_decode(&consumer_group_member_metadata_value_schema, 0,
			     output_bytes(&with_null), &arena, &again, NULL, NULL),
		0);
	cr_assert(!again.classic_member_metadata);
}

/* Bytes that lie in a file leave a gap: their size is written before it, their bytes are not here.
 */
Test(codec, external_records_become_gaps)
{
	struct fetch_response response;
	struct fetch_response_fetchable_topic_response topic;
	struct fetch_response_partition_data partitions[2];
	struct output output;
	int slice;

	schema_init(&fetch_response_schema, &response);
	schema_init(&fetch_response_fetchable_topic_response_schema, &topic);
	for (int i = 0; i < 2; i++) {
		schema_init(&fetch_response_partition_data_schema, &partitions[i]);
		partitions[i].records.bytes.size = 1000;
		partitions[i].records.external = &slice;
	}
	topic.topic = STR("t");
	topic.partitions = partitions;
	topic.partitions_count = 2;
	response.responses = &topic;
	response.responses_count = 1;
	output = encode(&fetch_response_schema, 4, &response);
	cr_assert(output.gap_count == 2 && output.gaps_size == 2000);
	cr_assert(output.gaps[0].external == &slice && output.gaps[0].size == 1000);
	cr_assert_eq(load_be32(output.data + output.gaps[0].offset - 4), 1000);
	cr_assert_eq(load_be32(output.data + output.gaps[1].offset - 4), 1000);
	cr_assert_eq(output.gaps[1].offset, output.size);
	cr_assert_eq(output_total_size(&output), output.size + 2000);
}

/* Each n-th byte of room that is missing gives -ENOMEM and nothing worse. */
Test(codec, encoding_into_a_small_arena_fails_cleanly)
{
	struct fetch_request request;
	char text[3000] = {0};

	schema_init(&fetch_request_schema, &request);
	request.cluster_id = (struct str){.data = text, .size = sizeof(text)};
	for (size_t limit = 0; limit < 4096; limit += 512) {
		struct arena small;
		struct output output;

		arena_init(&small, limit);
		output_init(&output, &small, 0);
		cr_assert_eq(
			schema_encode(&fetch_request_schema, 13, &request, &output, NULL), -ENOMEM);
		cr_assert_eq(output.failure, -ENOMEM);
		arena_done(&small);
	}
}

/* Every message of every version: the default is encoded, read back, and encoded to the same bytes,
 * of min_size at least. */
Test(codec, every_default_message_survives)
{
	for (int i = 0; i < SCHEMA_MESSAGE_COUNT; i++) {
		const struct schema_struct *schema = schema_messages[i];

		for (int version = schema->min_version; version <= schema->max_version; version++) {
			void *message = schema_new(schema, &arena),
			     *again = schema_new(schema, &arena);
			struct output first = encode(schema, version, message), second;
			size_t consumed;

			cr_assert_eq(schema_decode(schema, version, output_bytes(&first), &arena,
					     again, &consumed, NULL),
				0);
			cr_assert_eq(consumed, first.size);
			cr_assert(first.size >= schema_plan_find(schema, version)->min_size ||
				  first.size == 0);
			second = encode(schema, version, again);
			assert_bytes(output_bytes(&second), output_bytes(&first));
			arena_reset(&arena);
		}
	}
}

/* The union that we promise to speak: 93 APIs with 361 versions, each row at its key. */
Test(codec, the_table_holds_every_api_and_version)
{
	int versions = 0;

	for (int key = 0; key < API_COUNT; key++) {
		const struct api_row *api = api_find(key);

		cr_assert_eq(api->key, key);
		cr_assert(api->request->min_version == api->min_version &&
			  api->response->max_version == api->max_version);
		versions += api->max_version - api->min_version + 1;
	}
	cr_assert_eq(API_COUNT, 93);
	cr_assert_eq(versions, 361);
	cr_assert_null(api_find(API_COUNT));
	cr_assert_null(api_find(-1));
	cr_assert(api_has_version(api_find(API_FETCH), 18) &&
		  !api_has_version(api_find(API_FETCH), 19));
	cr_assert_eq(api_find(API_VOTE)->listeners, API_LISTENER_CONTROLLER);
	cr_assert(api_find(API_INIT_PRODUCER_ID)->newest_version_unstable);
	cr_assert_str_eq(record_find(RECORD_LOG_CLUSTER_METADATA, CLUSTER_METADATA_PARTITION)->name,
		"PartitionRecord");
	cr_assert_null(record_find(RECORD_LOG_CLUSTER_METADATA, 6));
	cr_assert_eq(
		record_find(RECORD_LOG_CONTROL, CONTROL_COMMIT)->value, &end_txn_marker_schema);
}
