#include <criterion/criterion.h>

#include "protocol/errors.h"

/* A few codes against what clients have compiled in; the whole table is compared with Kafka's in
 * compat-tests/wire. */
Test(errors, codes_are_kafkas)
{
	cr_assert(KAFKA_UNKNOWN_SERVER_ERROR == -1 && KAFKA_NONE == 0);
	cr_assert(KAFKA_NOT_LEADER_OR_FOLLOWER == 6 && KAFKA_UNKNOWN_TOPIC_ID == 100);
	cr_assert_str_eq(kafka_error_name(6), "NOT_LEADER_OR_FOLLOWER");
	cr_assert_str_eq(kafka_error_name(-1), "UNKNOWN_SERVER_ERROR");
}

Test(errors, retriable_ones_are_told_apart)
{
	cr_assert(kafka_error_is_retriable(KAFKA_COORDINATOR_LOAD_IN_PROGRESS));
	cr_assert_not(kafka_error_is_retriable(KAFKA_OFFSET_OUT_OF_RANGE));
}

/* A newer broker may answer with codes that we have never heard of. */
Test(errors, unknown_codes_are_answered_not_trusted)
{
	cr_assert_not(kafka_error_is_known(-2));
	cr_assert_not(kafka_error_is_known(32767));
	cr_assert_str_eq(kafka_error_name(32767), "UNKNOWN_ERROR_CODE");
	cr_assert_not(kafka_error_is_retriable(32767));
	cr_assert(kafka_error_message(32767).size > 0);
	cr_assert(kafka_error_is_known(KAFKA_SHARE_SESSION_LIMIT_REACHED));
	cr_assert_not(kafka_error_is_known(KAFKA_SHARE_SESSION_LIMIT_REACHED + 1));
}
