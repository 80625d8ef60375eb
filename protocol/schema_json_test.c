#include <criterion/criterion.h>

#include "protocol/schema_json.h"

static void assert_json(json_t *got, const char *want)
{
	char *text = json_dumps(got, JSON_COMPACT);

	cr_assert_str_eq(text, want);
	free(text);
	json_decref(got);
}

/* The shape that Kafka's tools print; what a version lacks is not there. */
Test(schema_json, a_record_reads_as_kafka_prints_it)
{
	struct topic_record topic;

	schema_init(&topic_record_schema, &topic);
	topic.name = STR("orders");
	topic.topic_id = (struct uuid){{[15] = 1}};
	assert_json(schema_to_json(&topic_record_schema, 0, &topic),
		"{\"name\":\"orders\",\"topicId\":\"AAAAAAAAAAAAAAAAAAAAAQ\"}");
}

/* Bytes of a client are no text by themselves: what is no UTF-8 must not make JSON that nobody can
 * read. */
Test(schema_json, text_that_is_no_utf8_is_replaced)
{
	struct sasl_handshake_request request;

	schema_init(&sasl_handshake_request_schema, &request);
	request.mechanism = STR("a\xff\xc3\xa9\xed\xa0\x80");
	assert_json(schema_to_json(&sasl_handshake_request_schema, 0, &request),
		"{\"mechanism\":\"a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}");
}

/* Lengths 0 to 3 end in two, one and no paddings. */
Test(schema_json, bytes_are_base64_and_records_their_size)
{
	struct sasl_authenticate_request request;
	static const char *const want[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="};
	struct produce_request_partition_produce_data data;
	struct produce_request_topic_produce_data topic;
	struct produce_request produce;
	char text[100];

	for (int32_t size = 0; size < 5; size++) {
		schema_init(&sasl_authenticate_request_schema, &request);
		request.auth_bytes =
			(struct bytes){.data = (const uint8_t *)"foobar", .size = size};
		snprintf(text, sizeof(text), "{\"authBytes\":\"%s\"}", want[size]);
		assert_json(schema_to_json(&sasl_authenticate_request_schema, 0, &request), text);
	}
	schema_init(&produce_request_schema, &produce);
	schema_init(&produce_request_topic_produce_data_schema, &topic);
	schema_init(&produce_request_partition_produce_data_schema, &data);
	data.records.bytes.size = 7;
	topic.partition_data = &data;
	topic.partition_data_count = 1;
	produce.topic_data = &topic;
	produce.topic_data_count = 1;
	assert_json(schema_to_json(&produce_request_schema, 0, &produce),
		"{\"acks\":0,\"timeoutMs\":0,\"topicData\":[{\"name\":\"\",\"partitionData\":[{"
		"\"index\":0,"
		"\"recordsSizeInBytes\":7}]}]}");
}

Test(schema_json, a_version_that_does_not_exist_gives_nothing)
{
	struct topic_record topic;

	schema_init(&topic_record_schema, &topic);
	cr_assert_null(schema_to_json(&topic_record_schema, 1, &topic));
}
