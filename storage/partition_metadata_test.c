#include "storage/partition_metadata.h"

#include <errno.h>

#include <criterion/criterion.h>

/* The text that Kafka writes for the metadata topic, to the byte. */
Test(partition_metadata, is_written_as_kafka_does)
{
	char text[PARTITION_METADATA_TEXT_SIZE + 1];
	struct uuid id;

	partition_metadata_format(&UUID_METADATA_TOPIC, text);
	cr_assert_str_eq(text, "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
	cr_assert_eq(partition_metadata_parse(str_from(text), &id), 0);
	cr_assert(uuid_equal(&id, &UUID_METADATA_TOPIC));
	cr_assert_eq(partition_metadata_parse(
			     STR("version:0\r\ntopic_id:AAAAAAAAAAAAAAAAAAAAAQ\n"), &id),
		0);
}

/* Each text breaks one rule. */
Test(partition_metadata, malformed_files_are_refused)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = {
		{"", -EBADMSG},
		{"version: 0", -EBADMSG},
		{"version: 0\n", -EBADMSG},
		{"version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ", -EPROTONOSUPPORT},
		{"version: x\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ", -EBADMSG},
		{"version: \ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ", -EBADMSG},
		{"topic_id: AAAAAAAAAAAAAAAAAAAAAQ\nversion: 0", -EBADMSG},
		{"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAA", -EBADMSG},
		{"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA", -EBADMSG},
	};
	struct uuid id;

	for (size_t i = 0; i < array_length(cases); i++)
		cr_assert_eq(partition_metadata_parse(str_from(cases[i].text), &id), cases[i].error,
			"%s", cases[i].text);
}
