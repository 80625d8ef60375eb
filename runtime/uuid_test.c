#include "runtime/uuid.h"

#include <errno.h>

#include <criterion/criterion.h>

/* Texts that Kafka printed for these ids. */
Test(uuid, is_written_and_read_as_kafka_does)
{
	static const struct {
		struct uuid id;
		const char *text;
	} cases[] = {
		{UUID_ZERO, "AAAAAAAAAAAAAAAAAAAAAA"},
		{UUID_ONE, "AAAAAAAAAAAAAAAAAAAAAQ"},
		{{{0x24, 0x45, 0xd8, 0xe9, 0xaa, 0x9f, 0x43, 0x3f, 0xb8, 0x7f, 0x7d, 0x8f, 0x4f, 0x4a, 0xda, 0x14}},
			"JEXY6aqfQz-4f32PT0raFA"},
		{{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
			"_____________________w"},
	};

	for (size_t i = 0; i < array_length(cases); i++) {
		char text[UUID_TEXT_SIZE + 1];
		struct uuid id;

		uuid_format(&cases[i].id, text);
		cr_assert_str_eq(text, cases[i].text);
		cr_assert_eq(uuid_parse(str_from(text), &id), 0);
		cr_assert(uuid_equal(&id, &cases[i].id));
	}
}

/* Every other length and any foreign character is refused; padding is allowed. */
Test(uuid, refuses_what_is_no_id)
{
	static const char *const bad[] = {"", "A", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAA=",
		"AAAAAAAAAA AAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAA+/", "AAAAAAAAAAAAAAAAAAAAAA=A"};
	struct uuid id;

	for (size_t i = 0; i < array_length(bad); i++)
		cr_assert_eq(uuid_parse(str_from(bad[i]), &id), -EINVAL, "%s", bad[i]);
	cr_assert_eq(uuid_parse(STR_NULL, &id), -EINVAL);
	cr_assert_eq(uuid_parse(STR("AAAAAAAAAAAAAAAAAAAAAQ=="), &id), 0);
}

/* Entropy that would give a leading dash is refused; any other gets the bits of version 4. */
Test(uuid, random_ids_never_begin_with_a_dash)
{
	uint8_t entropy[16] = {0};
	struct uuid id;

	entropy[0] = 62 << 2;
	cr_assert_not(uuid_from_entropy(entropy, &id));
	entropy[0] = 0;
	cr_assert(uuid_from_entropy(entropy, &id));
	cr_assert_eq(id.octets[6], 0x40);
	cr_assert_eq(id.octets[8], 0x80);
	cr_assert_not(uuid_is_reserved(&id));
	cr_assert(uuid_is_reserved(&UUID_DIRECTORY_LOST));
}

/* The halves are signed, so an id with its first bit set sorts first. */
Test(uuid, sorts_as_two_signed_halves)
{
	struct uuid high = {{0x80}}, low = {{0x01}};

	cr_assert_lt(uuid_compare(&high, &low), 0);
	cr_assert_gt(uuid_compare(&low, &high), 0);
	cr_assert_eq(uuid_compare(&low, &low), 0);
}
