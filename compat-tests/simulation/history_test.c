/* Each rule of the history: kept, and broken. */
#include "history.h"

#include <criterion/criterion.h>
#include <string.h>

static struct history history;
static uint8_t buffer[VALUE_SIZE_MAX];

static void begin(void)
{
	memset(&history, 0, sizeof(history));
	history_logs_add(&history, 2);
}

static void end(void)
{
	history_done(&history);
}

TestSuite(history, .init = begin, .fini = end);

static struct bytes value(unsigned partition, unsigned producer, uint32_t number)
{
	size_t size = history_value_make(buffer, partition, producer, number);

	return (struct bytes){.data = buffer, .size = (int32_t)size};
}

static void send_all(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(history_attempt(&history, 0, 1), i);
}

static void scan(const uint32_t *numbers, unsigned count, int64_t log_end)
{
	history_scan_begin(&history, 0, 0);
	for (unsigned i = 0; i < count; i++)
		history_scan_see(&history, 0, i, value(0, 1, numbers[i]));
	history_scan_end(&history, 0, log_end);
}

#define SCAN(log_end, ...)                                                 \
	do {                                                               \
		const uint32_t numbers_[] = {__VA_ARGS__};                 \
		scan(numbers_, (unsigned)array_length(numbers_), log_end); \
	} while (0)

static void expect(const char *part)
{
	cr_assert(strstr(history.violation, part), "\"%s\" has no \"%s\"", history.violation, part);
}

Test(history, accepts_what_is_as_it_should_be)
{
	send_all(4);
	history_acknowledge(&history, 0, 1, 0, 0);
	history_see(&history, 0, 1, value(0, 1, 1)); /* read before it is acknowledged */
	history_acknowledge(&history, 0, 1, 1, 1);
	history_acknowledge(&history, 0, 1, 2, -1);
	SCAN(3, 0, 1, 2); /* the last was never acknowledged */
	cr_assert_str_empty(history.violation);
}

Test(history, finds_a_lost_acknowledged_value)
{
	send_all(2);
	history_acknowledge(&history, 0, 1, 1, 1);
	SCAN(1, 0);
	expect("lost acknowledged value 1/1");
}

Test(history, finds_a_value_that_was_read_and_is_gone)
{
	send_all(2);
	history_see(&history, 0, 1, value(0, 1, 1));
	SCAN(1, 0);
	expect("lost offset 1");
}

Test(history, finds_a_duplicate)
{
	send_all(2);
	SCAN(3, 0, 1, 1);
	expect("value 1/1");
}

Test(history, finds_values_out_of_order)
{
	send_all(3);
	SCAN(3, 0, 2, 1);
	expect("holds value 1/2 where 1/1 should be");
}

Test(history, finds_a_gap_of_offsets)
{
	send_all(2);
	history_scan_begin(&history, 0, 0);
	history_scan_see(&history, 0, 0, value(0, 1, 0));
	history_scan_see(&history, 0, 2, value(0, 1, 1));
	expect("has offset 2 where 1 should be");
}

Test(history, finds_an_offset_that_changed)
{
	send_all(2);
	history_see(&history, 0, 0, value(0, 1, 0));
	history_acknowledge(&history, 0, 1, 1, 0);
	expect("offset 0 held value 1/0, and was acknowledged as 1/1");
}

Test(history, finds_an_acknowledgement_at_another_offset)
{
	send_all(1);
	history_acknowledge(&history, 0, 1, 0, 3);
	history_see(&history, 0, 4, value(0, 1, 0));
	expect("acknowledged at 3 is at 4");
}

Test(history, finds_bytes_that_changed)
{
	struct bytes bytes;

	send_all(1);
	bytes = value(0, 1, 0);
	buffer[bytes.size - 1] ^= 1;
	history_see(&history, 0, 0, bytes);
	expect("bytes nobody sent");
}

Test(history, finds_a_value_of_another_partition)
{
	send_all(1);
	history_see(&history, 1, 0, value(0, 1, 0));
	expect("bytes nobody sent");
}

Test(history, accepts_what_was_sent_twice_without_a_producer_id)
{
	history.promises[1] = PROMISE_AT_LEAST_ONCE;
	send_all(2);
	history_resend(&history, 0, 1, 0, 1);
	history_acknowledge(&history, 0, 1, 0, 1);
	SCAN(3, 0, 0, 1);
	cr_assert_str_empty(history.violation);
}

Test(history, finds_a_duplicate_of_what_was_sent_once)
{
	history.promises[1] = PROMISE_AT_LEAST_ONCE;
	send_all(2);
	SCAN(3, 0, 0, 1);
	expect("value 1/0");
}

Test(history, accepts_any_order_of_what_is_sent_once_and_never_answered)
{
	history.promises[1] = PROMISE_AT_MOST_ONCE;
	send_all(3);
	SCAN(2, 2, 0);
	cr_assert_str_empty(history.violation);
}

Test(history, scans_from_where_records_were_deleted)
{
	send_all(4);
	for (unsigned i = 0; i < 4; i++)
		history_acknowledge(&history, 0, 1, i, i);
	history_start_ask(&history, 0, 2);
	history_scan_begin(&history, 0, 2);
	history_scan_see(&history, 0, 2, value(0, 1, 2));
	history_scan_see(&history, 0, 3, value(0, 1, 3));
	history_scan_end(&history, 0, 4);
	cr_assert_str_empty(history.violation);
}

Test(history, accepts_a_start_inside_of_a_batch_that_was_sent_again)
{
	history.promises[1] = PROMISE_AT_LEAST_ONCE;
	send_all(3);
	history_resend(&history, 0, 1, 0, 3);
	/* It stands at 0 to 2 too, which nobody was told. */
	for (unsigned i = 0; i < 3; i++)
		history_acknowledge(&history, 0, 1, i, 3 + i);
	history_start_ask(&history, 0, 2);
	history_scan_begin(&history, 0, 2);
	history_scan_see(&history, 0, 2, value(0, 1, 2));
	for (unsigned i = 0; i < 3; i++)
		history_scan_see(&history, 0, 3 + i, value(0, 1, i));
	history_scan_end(&history, 0, 6);
	cr_assert_str_empty(history.violation);
}

Test(history, finds_the_wrong_order_of_what_was_sent_again)
{
	history.promises[1] = PROMISE_AT_LEAST_ONCE;
	send_all(3);
	history_resend(&history, 0, 1, 0, 3);
	history_acknowledge(&history, 0, 1, 1, 3);
	history_start_ask(&history, 0, 1);
	history_scan_begin(&history, 0, 1);
	history_scan_see(&history, 0, 1, value(0, 1, 0));
	history_scan_see(&history, 0, 2, value(0, 1, 2));
	expect("misses value 1/1 before offset 2");
}

Test(history, finds_the_wrong_order_of_what_was_sent_once_at_the_start)
{
	history.promises[1] = PROMISE_AT_LEAST_ONCE;
	send_all(3);
	history_acknowledge(&history, 0, 1, 1, 3);
	history_start_ask(&history, 0, 2);
	history_scan_begin(&history, 0, 2);
	history_scan_see(&history, 0, 2, value(0, 1, 2));
	expect("misses value 1/1 before offset 2");
}

Test(history, finds_a_value_missing_behind_the_start)
{
	send_all(4);
	for (unsigned i = 0; i < 3; i++)
		history_acknowledge(&history, 0, 1, i, i);
	history_start_ask(&history, 0, 1);
	history_scan_begin(&history, 0, 1);
	history_scan_see(&history, 0, 1, value(0, 1, 1));
	history_scan_end(&history, 0, 2);
	expect("lost acknowledged value 1/2");
}

Test(history, finds_a_start_beyond_what_was_asked)
{
	history_start_ask(&history, 0, 5);
	history_start_see(&history, 0, 5, 0);
	cr_assert_str_empty(history.violation);
	history_start_see(&history, 0, 6, 0);
	expect("starts at 6");
}

Test(history, finds_a_start_that_went_back)
{
	history_start_ask(&history, 0, 5);
	history_start_acknowledge(&history, 0, 5);
	history_start_see(&history, 0, 4, history.logs[0]->start_acknowledged);
	expect("starts at 4");
}

Test(history, judges_nothing_where_bits_rotted)
{
	send_all(4);
	for (unsigned i = 0; i < 4; i++)
		history_acknowledge(&history, 0, 1, i, i);
	history_rot(&history, 0, 1, 3);
	cr_assert_eq(history_rot_skip(&history, 0, 0), 0);
	cr_assert_eq(history_rot_skip(&history, 0, 1), 3);
	history_scan_begin(&history, 0, 0);
	history_scan_see(&history, 0, 0, value(0, 1, 0));
	history_scan_skip(&history, 0, 3);
	history_scan_see(&history, 0, 3, value(0, 1, 3));
	history_scan_end(&history, 0, 4);
	cr_assert_str_empty(history.violation);
}
