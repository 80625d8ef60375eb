#include <criterion/criterion.h>
#include <errno.h>

#include "protocol/frame.h"

static struct arena arena;

static void set_up(void)
{
	arena_init(&arena, 1 << 20);
}

static void tear_down(void)
{
	arena_done(&arena);
}

TestSuite(frame, .init = set_up, .fini = tear_down);

/* Header versions of both directions, as Kafka's ApiKeys gives them. */
Test(frame, header_versions_follow_api_and_version)
{
	static const struct {
		int key, version, request, response;
	} cases[] = {
		{API_PRODUCE, 0, 1, 0},
		{API_PRODUCE, 8, 1, 0},
		{API_PRODUCE, 9, 2, 1},
		{API_CONTROLLED_SHUTDOWN, 0, 0, 0},
		{API_CONTROLLED_SHUTDOWN, 1, 1, 0},
		{API_CONTROLLED_SHUTDOWN, 3, 2, 1},
		{API_API_VERSIONS, 0, 1, 0},
		{API_API_VERSIONS, 3, 2, 0},
		{API_API_VERSIONS, 99, 2, 0},
		{API_SASL_HANDSHAKE, 1, 1, 0},
		{API_VOTE, 0, 2, 1},
	};

	for (size_t i = 0; i < array_length(cases); i++) {
		const struct api_row *api = api_find(cases[i].key);

		cr_expect_eq(request_header_version(api, cases[i].version), cases[i].request, "%s",
			api->name);
		cr_expect_eq(response_header_version(api, cases[i].version), cases[i].response,
			"%s", api->name);
	}
}

/* The client id keeps its old form in a flexible header: two bytes of length before it. */
Test(frame, a_request_is_framed_and_split_again)
{
	const struct api_row *api = api_find(API_API_VERSIONS);
	static const uint8_t want[] = {0, 0, 0, 18, 0, 18, 0, 3, 0, 0, 0, 42, 0, 2, 'm', 'e',
		0, /* header */
		2, 'n', 2, 'v', 0};
	struct api_versions_request request, again;
	struct request_header header;
	struct output output;
	struct bytes body, frame;
	size_t consumed;

	schema_init(&api_versions_request_schema, &request);
	request.client_software_name = STR("n");
	request.client_software_version = STR("v");
	output_init(&output, &arena, 0);
	cr_assert_eq(frame_request_encode(&output, api, 3, 42, STR("me"), &request, NULL), 0);
	cr_assert_eq(output.size, sizeof(want));
	cr_assert_eq(load_be32(output.data), output.size - 4);
	cr_assert_eq(memcmp(output.data, want, sizeof(want)), 0);
	frame = (struct bytes){.data = output.data + 4, .size = (int32_t)output.size - 4};
	cr_assert_eq(frame_request_header_decode(frame, api, &arena, &header, &body, NULL), 0);
	cr_assert(header.correlation_id == 42 && header.request_api_version == 3);
	cr_assert(str_equal(header.client_id, STR("me")));
	cr_assert_eq(schema_decode(api->request, 3, body, &arena, &again, &consumed, NULL), 0);
	cr_assert_eq(consumed, (size_t)body.size);
	cr_assert(str_equal(again.client_software_version, STR("v")));
}

/* The frame's size counts what will be sent from files. */
Test(frame, gaps_count_to_the_size_of_a_frame)
{
	const struct api_row *api = api_find(API_FETCH_SNAPSHOT);
	struct fetch_snapshot_response response;
	struct fetch_snapshot_response_topic_snapshot topic;
	struct fetch_snapshot_response_partition_snapshot partition;
	struct output output;
	int slice;

	schema_init(&fetch_snapshot_response_schema, &response);
	schema_init(&fetch_snapshot_response_topic_snapshot_schema, &topic);
	schema_init(&fetch_snapshot_response_partition_snapshot_schema, &partition);
	partition.unaligned_records = (struct records){.bytes.size = 5000, .external = &slice};
	topic.partitions = &partition;
	topic.partitions_count = 1;
	response.topics = &topic;
	response.topics_count = 1;
	output_init(&output, &arena, 64);
	cr_assert_eq(frame_response_encode(&output, api, 0, 1, &response, NULL), 0);
	cr_assert_eq(load_be32(output.data), output.size - 4 + 5000);
}

Test(frame, a_frame_shorter_than_a_header_is_refused)
{
	const struct api_row *api = api_find(API_FETCH);
	uint8_t bytes[] = {0, 1, 0, 12, 0, 0, 0, 1, 0, 5, 'a'};
	struct request_header header;
	struct frame_peek peek;
	struct bytes body;

	cr_assert_eq(frame_request_peek((struct bytes){.data = bytes, .size = 7}, &peek), -EBADMSG);
	cr_assert_eq(frame_request_peek((struct bytes){.data = bytes, .size = 8}, &peek), 0);
	cr_assert(peek.api_key == API_FETCH && peek.api_version == 12 && peek.correlation_id == 1);
	cr_assert_eq(
		frame_request_header_decode((struct bytes){.data = bytes, .size = sizeof(bytes)},
			api, &arena, &header, &body, NULL),
		-EBADMSG);
}
