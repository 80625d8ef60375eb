#include "runtime/property_file.h"

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

TestSuite(property_file, .init = set_up, .fini = tear_down);

/* One text with every form that Java's documentation names; expected pairs are what java.util.Properties loads. */
Test(property_file, reads_what_java_reads)
{
	static const char text[] = "# comment\n! another \\\nfruits   apple, banana, \\\n     pear, \\\n  \t mango\n"
				   "  a=1\r\nb : 2\rc 3\nempty=\nalone\nk\\ 1\\=x=y=z\\:\\\\\n#c\\\nd=\\u0041\\u00e9\\t|\n\n\\\nlast=\\";
	static const struct property expected[] = {
		{STR("fruits"), STR("apple, banana, pear, mango"), 3},
		{STR("a"), STR("1"), 6},
		{STR("b"), STR("2"), 7},
		{STR("c"), STR("3"), 8},
		{STR("empty"), STR(""), 9},
		{STR("alone"), STR(""), 10},
		{STR("k 1=x"), STR("y=z:\\"), 11},
		{STR("d"), STR("A\xc3\xa9\t|"), 13},
		{STR("last"), STR(""), 15},
	};
	struct property_file properties;
	int32_t line;

	cr_assert_eq(property_file_parse(&arena, STR(text), &properties, &line), 0);
	for (int32_t i = 0; i < properties.count; i++) {
		cr_assert_lt(i, (int32_t)array_length(expected));
		cr_assert(str_equal(properties.entries[i].key, expected[i].key), "key %d: %.*s", i,
			STR_ARGS(properties.entries[i].key));
		cr_assert(str_equal(properties.entries[i].value, expected[i].value), "value %d: %.*s", i,
			STR_ARGS(properties.entries[i].value));
		cr_assert_eq(properties.entries[i].line, expected[i].line, "line of %d: %d", i, properties.entries[i].line);
	}
	cr_assert_eq(properties.count, (int32_t)array_length(expected));
}

/* The last of two equal keys counts, a missing one is null. */
Test(property_file, the_last_value_counts)
{
	struct property_file properties;
	int32_t line;

	cr_assert_eq(property_file_parse(&arena, STR("a=1\na=2\n"), &properties, &line), 0);
	cr_assert(str_equal(property_file_get(&properties, STR("a")), STR("2")));
	cr_assert(str_is_null(property_file_get(&properties, STR("b"))));
}

/* A broken escape names its line. */
Test(property_file, refuses_a_broken_unicode_escape)
{
	struct property_file properties;
	int32_t line = 0;

	cr_assert_eq(property_file_parse(&arena, STR("a=1\nb=\\u12g4\n"), &properties, &line), -EINVAL);
	cr_assert_eq(line, 2);
	cr_assert_eq(property_file_parse(&arena, STR("b=\\u12"), &properties, &line), -EINVAL);
}

/* What is escaped and written reads back the same. */
Test(property_file, escapes_read_back)
{
	static const struct str values[] = {STR("plain"), STR(" lead"), STR("a=b:c#d!e\\f"), STR("t\tn\nr\r")};

	for (size_t i = 0; i < array_length(values); i++) {
		struct str key = property_file_escape(&arena, values[i], true), value = property_file_escape(&arena, values[i], false);
		char *text = arena_printf(&arena, "%.*s=%.*s\n", STR_ARGS(key), STR_ARGS(value));
		struct property_file properties;
		int32_t line;

		cr_assert_eq(property_file_parse(&arena, str_from(text), &properties, &line), 0);
		cr_assert_eq(properties.count, 1);
		cr_assert(str_equal(properties.entries[0].key, values[i]));
		cr_assert(str_equal(properties.entries[0].value, values[i]));
	}
}
