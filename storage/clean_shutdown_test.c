#include "storage/clean_shutdown.h"

#include <errno.h>

#include <criterion/criterion.h>

/* The text that Kafka writes, and the same number back. */
Test(clean_shutdown, is_written_as_kafka_does)
{
	char text[CLEAN_SHUTDOWN_TEXT_SIZE];
	int64_t epoch;

	clean_shutdown_format(11, text);
	cr_assert_str_eq(text, "{\"version\":0,\"brokerEpoch\":11}");
	clean_shutdown_format(INT64_MIN, text);
	cr_assert_eq(clean_shutdown_parse(str_from(text), &epoch), 0);
	cr_assert_eq(epoch, INT64_MIN);
	cr_assert_eq(clean_shutdown_parse(STR("{\"more\":[1],\"brokerEpoch\":5}\n"), &epoch), 0);
	cr_assert_eq(epoch, 5);
}

/* No epoch in any of these. */
Test(clean_shutdown, a_file_without_an_epoch_tells_none)
{
	static const char *const texts[] = {"", "{}", "[]", "{\"brokerEpoch\":\"5\"}",
		"{\"brokerEpoch\":null}", "{\"brokerEpoch\":5",
		"{\"brokerEpoch\":99999999999999999999}"};
	int64_t epoch;

	for (size_t i = 0; i < array_length(texts); i++)
		cr_assert_eq(
			clean_shutdown_parse(str_from(texts[i]), &epoch), -EBADMSG, "%s", texts[i]);
	cr_assert_eq(clean_shutdown_parse(STR_NULL, &epoch), -EBADMSG);
}
