#include "storage/checkpoint_file.h"

#include <errno.h>

#include <criterion/criterion.h>

static struct arena arena;

static void set_up(void)
{
	arena_init(&arena, 1 << 20);
}

static void tear_down(void)
{
	arena_done(&arena);
}

TestSuite(checkpoint_file, .init = set_up, .fini = tear_down);

/* Text as Kafka writes it, read and written back to the same bytes. */
Test(checkpoint_file, topic_offsets_round_trip)
{
	static const struct str text = STR(
		"0\n3\na.b_c 0 12\n__consumer_offsets 49 0\nt 2147483647 9223372036854775807\n");
	struct checkpoint_topic_offset *entries;
	int32_t count;

	cr_assert_eq(checkpoint_topic_offsets_parse(&arena, text, &entries, &count), 0);
	cr_assert_eq(count, 3);
	cr_assert(str_equal(entries[1].topic, STR("__consumer_offsets")));
	cr_assert_eq(entries[1].partition, 49);
	cr_assert_eq(entries[2].offset, INT64_MAX);
	cr_assert(str_equal(checkpoint_topic_offsets_format(&arena, entries, count), text));
}

Test(checkpoint_file, epoch_offsets_round_trip)
{
	static const struct str text = STR("0\n2\n0 0\n7 1234567890123\n");
	struct checkpoint_epoch_offset *entries;
	int32_t count;

	cr_assert_eq(checkpoint_epoch_offsets_parse(&arena, text, &entries, &count), 0);
	cr_assert_eq(count, 2);
	cr_assert_eq(entries[1].epoch, 7);
	cr_assert(str_equal(checkpoint_epoch_offsets_format(&arena, entries, count), text));
}

/* An empty file, or only a version, is an empty list; so is a count of none. */
Test(checkpoint_file, empty_files_are_empty_lists)
{
	static const char *const texts[] = {"", "0", "0\n", "0\n0", "0\n0\n"};
	struct checkpoint_topic_offset *entries;
	int32_t count = 7;

	for (size_t i = 0; i < array_length(texts); i++, count = 7) {
		cr_assert_eq(checkpoint_topic_offsets_parse(
				     &arena, str_from(texts[i]), &entries, &count),
			0);
		cr_assert_eq(count, 0);
	}
}

/* Each text breaks one rule. */
Test(checkpoint_file, malformed_files_are_refused)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = {
		{"1\n0\n", -EPROTONOSUPPORT},
		{"-1\n0\n", -EPROTONOSUPPORT},
		{"x\n0\n", -EBADMSG},
		{"0\n-1\n", -EBADMSG},
		{"0\n2147483647\nt 0 0\n", -EBADMSG},
		{"0\n2\nt 0 0\n", -EBADMSG},
		{"0\n0\nt 0 0\n", -EBADMSG},
		{"0\n1\nt 0 0\n\n", -EBADMSG},
		{"0\n1\nt 0\n", -EBADMSG},
		{"0\n1\nt 0 0 0\n", -EBADMSG},
		{"0\n1\nt -1 0\n", -EBADMSG},
		{"0\n1\nt 2147483648 0\n", -EBADMSG},
		{"0\n1\nt 0 9223372036854775808\n", -EBADMSG},
		{"0\n1\nt 0 1x\n", -EBADMSG},
		{"0\n1\nt 0 -\n", -EBADMSG},
	};
	struct checkpoint_topic_offset *entries;
	int32_t count;

	for (size_t i = 0; i < array_length(cases); i++)
		cr_assert_eq(checkpoint_topic_offsets_parse(
				     &arena, str_from(cases[i].text), &entries, &count),
			cases[i].error, "%s", cases[i].text);
}

/* The last line may lack its end, and numbers may be negative where Kafka allows it. */
Test(checkpoint_file, reads_what_kafka_reads)
{
	struct checkpoint_topic_offset *entries;
	int32_t count;

	cr_assert_eq(checkpoint_topic_offsets_parse(
			     &arena, STR("0\r\n1\r\nt  3\t-9223372036854775808"), &entries, &count),
		0);
	cr_assert_eq(count, 1);
	cr_assert_eq(entries[0].partition, 3);
	cr_assert_eq(entries[0].offset, INT64_MIN);
}

/* The arena is too small for the entries: an error, nothing filled. */
Test(checkpoint_file, says_when_memory_is_out)
{
	struct checkpoint_topic_offset *entries = NULL;
	struct arena small;
	int32_t count = -1;

	arena_init(&small, 16);
	cr_assert_eq(checkpoint_topic_offsets_parse(&small, STR("0\n1\nt 0 0\n"), &entries, &count),
		-ENOMEM);
	cr_assert_eq(count, -1);
	cr_assert(str_is_null(checkpoint_topic_offsets_format(&small, NULL, 0)));
	arena_done(&small);
}
