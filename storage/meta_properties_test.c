#include "storage/meta_properties.h"

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

TestSuite(meta_properties, .init = set_up, .fini = tear_down);

/* The file that Kafka's format command wrote at that second, to the byte. */
Test(meta_properties, is_written_as_kafka_does)
{
	static const struct str text = STR(
		"#\n#Fri Nov 20 21:14:11 UTC 2026\nnode.id=1\ndirectory.id=JEXY6aqfQz-4f32PT0raFA\n"
		"version=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\n");
	struct meta_properties properties;
	const char *why;

	cr_assert_eq(meta_properties_parse(&arena, text, &properties, &why), 0);
	cr_assert_eq(properties.version, 1);
	cr_assert_eq(properties.node_id, 1);
	cr_assert(str_equal(properties.cluster_id, STR("4L6g3nShT-eMCtK--X86sw")));
	cr_assert(str_equal(meta_properties_format(&arena, &properties, 1795209251000), text));
}

/* Without a version the file is of version 0, where all may be missing. */
Test(meta_properties, version_0_may_lack_everything)
{
	struct meta_properties properties;
	const char *why;

	cr_assert_eq(
		meta_properties_parse(&arena, STR("broker.id=3\nnode.id=4\n"), &properties, &why),
		0);
	cr_assert_eq(properties.version, 0);
	cr_assert_eq(properties.node_id, 3);
	cr_assert(str_is_null(properties.cluster_id));
	cr_assert(uuid_is_zero(&properties.directory_id));
	cr_assert(str_equal(meta_properties_format(&arena, &properties, 0),
		STR("#\n#Thu Jan 01 00:00:00 UTC 1970\nbroker.id=3\nversion=0\n")));
	cr_assert_eq(meta_properties_parse(&arena, STR(""), &properties, &why), 0);
	cr_assert_eq(properties.node_id, -1);
}

/* Each text breaks one rule. */
Test(meta_properties, malformed_files_are_refused)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = {
		{"version=1\nnode.id=1\n", -EBADMSG},
		{"version=1\ncluster.id=x\n", -EBADMSG},
		{"version=1\ncluster.id=x\nbroker.id=1\n", -EBADMSG},
		{"version=1\ncluster.id=x\nnode.id=one\n", -EBADMSG},
		{"version=1\ncluster.id=x\nnode.id=4294967296\n", -EBADMSG},
		{"version=2\ncluster.id=x\nnode.id=1\n", -EPROTONOSUPPORT},
		{"version=v1\n", -EBADMSG},
		{"version=1\ncluster.id=x\nnode.id=1\ndirectory.id=short\n", -EBADMSG},
		{"version=1\ncluster.id=x\nnode.id=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\n",
			-EBADMSG},
		{"a=\\uzzzz\n", -EBADMSG},
	};
	struct meta_properties properties;

	for (size_t i = 0; i < array_length(cases); i++) {
		const char *why = NULL;

		cr_assert_eq(
			meta_properties_parse(&arena, str_from(cases[i].text), &properties, &why),
			cases[i].error, "%s", cases[i].text);
		cr_assert_not_null(why);
	}
}
