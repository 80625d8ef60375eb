#include "broker/config/properties.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Expected: name, value, name, value …; what java.util.Properties makes of the same text. */
static const struct {
	const char *text;
	const char *expected[9];
} cases[] = {
	{"a=b", {"a", "b"}},
	{"a : b", {"a", "b"}},
	{"a b", {"a", "b"}},
	{"a", {"a", ""}},
	{"  a = b ", {"a", "b "}},
	{"a\\ b=c", {"a b", "c"}},
	{"a\\\n  b=c", {"ab", "c"}},
	{"a=b\\\n   c", {"a", "bc"}},
	{"a=b\\\r\n c", {"a", "bc"}},
	{"#x\na=1", {"a", "1"}},
	{"!x\r\na=1", {"a", "1"}},
	{"#c\\\na=b", {"a", "b"}},
	{"a=\\u20ac", {"a", "\u20ac"}},
	{"a=\\ud83d\\ude00", {"a", "\U0001f600"}},
	{"a=\u00e4", {"a", "\u00e4"}},
	{"a==b", {"a", "=b"}},
	{"a=:b", {"a", ":b"}},
	{"a = = b", {"a", "= b"}},
	{"\\\n a=b", {"a", "b"}},
	{"a=b\\", {"a", "b"}},
	{"a=b\\\\", {"a", "b\\"}},
	{"=v", {"", "v"}},
	{":", {"", ""}},
	{"a=\\q", {"a", "q"}},
	{"a\\=b=c", {"a=b", "c"}},
	{"a\\\n=b", {"a", "b"}},
	{"a \\\n b", {"a", "b"}},
	{"a \\\n = b", {"a", "b"}},
	{"a=b\rc=d", {"a", "b", "c", "d"}},
	{"a=b\n\n\n", {"a", "b"}},
	{"\f a=b", {"a", "b"}},
	{"a=\\t\\n\\r\\f", {"a", "\t\n\r\f"}},
	{"a=b \\\n #c", {"a", "b #c"}},
	{"a\\\n\\\nb=c", {"ab", "c"}},
	{"\\#a=b", {"#a", "b"}},
	{"a=1\nb=2\na=3", {"a", "3", "b", "2"}},
	{"", {NULL}},
	{"# only a comment", {NULL}},
};

Test(properties, reads_what_java_reads)
{
	for (size_t i = 0; i < array_length(cases); i++) {
		struct arena arena;
		struct config_entries entries;
		struct properties_problem problem;
		/* A copy of the exact size: reading a byte too far is a fault. */
		struct str text = {cases[i].text, (int32_t)strlen(cases[i].text)};
		char *exact = malloc((size_t)text.size + (text.size == 0));
		memcpy(exact, text.data, (size_t)text.size);
		text.data = exact;

		arena_init(&arena, 1 << 20);
		cr_assert_eq(
			properties_parse(text, &arena, &entries, &problem), 0, "%s", cases[i].text);
		int32_t j = 0;
		for (; cases[i].expected[2 * j]; j++) {
			cr_assert_lt(j, entries.count, "%s", cases[i].text);
			cr_assert(str_equal(entries.items[j].name,
					  str_from(cases[i].expected[2 * j])),
				"%s: name %.*s", cases[i].text, STR_ARGS(entries.items[j].name));
			cr_assert(str_equal(entries.items[j].value,
					  str_from(cases[i].expected[2 * j + 1])),
				"%s: value %.*s", cases[i].text, STR_ARGS(entries.items[j].value));
		}
		cr_assert_eq(j, entries.count, "%s", cases[i].text);
		arena_done(&arena);
		free(exact);
	}
}

Test(properties, names_the_line_of_a_mistake)
{
	static const struct {
		const char *text;
		int line;
	} mistakes[] = {{"a=1\nb=\\u12", 2}, {"a=1\r\n\r\n#\nb=\\uzzzz", 4}, {"a=\\ud800", 1},
		{"a=\\ud800\\u0041", 1}, {"a=\\\n\\udc00", 1}};

	for (size_t i = 0; i < array_length(mistakes); i++) {
		struct arena arena;
		struct config_entries entries;
		struct properties_problem problem = {0};

		arena_init(&arena, 1 << 20);
		cr_assert_eq(
			properties_parse(str_from(mistakes[i].text), &arena, &entries, &problem),
			-EINVAL);
		cr_assert_eq(problem.line, mistakes[i].line, "%s", mistakes[i].text);
		cr_assert_not_null(problem.words);
		arena_done(&arena);
	}
}

/* A file of many entries and a long one: refused, with memory bounded by the arena. */
Test(properties, refuses_what_is_too_large)
{
	struct arena arena;
	struct config_entries entries;
	struct properties_problem problem;
	int32_t size = 0;
	char *text = malloc(PROPERTIES_FILE_BYTES + 1);

	arena_init(&arena, 8 << 20);
	memset(text, 'a', PROPERTIES_FILE_BYTES + 1);
	cr_assert_eq(properties_parse((struct str){text, PROPERTIES_FILE_BYTES + 1}, &arena,
			     &entries, &problem),
		-EFBIG);
	for (int i = 0; i <= PROPERTIES_ENTRIES; i++)
		size += sprintf(text + size, "k%d\n", i);
	cr_assert_eq(
		properties_parse((struct str){text, size}, &arena, &entries, &problem), -EFBIG);
	cr_assert_eq(properties_parse((struct str){text, size - 7}, &arena, &entries, &problem), 0);
	cr_assert_eq(entries.count, PROPERTIES_ENTRIES);
	arena_done(&arena);
	arena_init(&arena, 4096);
	cr_assert_eq(
		properties_parse((struct str){text, size}, &arena, &entries, &problem), -ENOMEM);
	arena_done(&arena);
	free(text);
}

Test(properties, arguments_are_taken_as_they_are)
{
	struct config_entry entry;

	cr_assert_eq(properties_parse_argument(STR("a=b=\\n "), &entry), 0);
	cr_assert(str_equal(entry.name, STR("a")));
	cr_assert(str_equal(entry.value, STR("b=\\n ")));
	cr_assert_eq(properties_parse_argument(STR("a="), &entry), 0);
	cr_assert_eq(properties_parse_argument(STR("a"), &entry), -EINVAL);
	cr_assert_eq(properties_parse_argument(STR("=b"), &entry), -EINVAL);
	cr_assert_eq(properties_parse_argument(STR(""), &entry), -EINVAL);
}
