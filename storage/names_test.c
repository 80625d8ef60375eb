#include "storage/names.h"

#include <criterion/criterion.h>
#include <string.h>

Test(names, a_file_name_is_read_as_it_was_printed)
{
	static const enum log_file_kind kinds[] = {LOG_FILE_DATA, LOG_FILE_OFFSET_INDEX,
		LOG_FILE_TIME_INDEX, LOG_FILE_TRANSACTION_INDEX, LOG_FILE_SNAPSHOT};
	static const enum log_file_state states[] = {LOG_FILE_LIVE, LOG_FILE_DELETED,
		LOG_FILE_CLEANED, LOG_FILE_SWAP, LOG_FILE_TEMPORARY};
	char name[NAME_FILE_SIZE_MAX];

	for (size_t kind = 0; kind < array_length(kinds); kind++)
		for (size_t state = 0; state < array_length(states); state++) {
			log_file_name_print(name, 1234567890123, kinds[kind], states[state]);
			struct log_file_name parsed = log_file_name_parse(name);

			cr_assert_eq(parsed.base_offset, 1234567890123);
			cr_assert_eq(parsed.kind, kinds[kind]);
			cr_assert_eq(parsed.state, states[state]);
		}
	log_file_name_print(name, 42, LOG_FILE_TIME_INDEX, LOG_FILE_LIVE);
	cr_assert_str_eq(name, "00000000000000000042.timeindex");
}

Test(names, what_is_no_segment_file_has_no_offset)
{
	static const char *const names[] = {"42.log", "0000000000000000004x.log",
		"leader-epoch-checkpoint", "99999999999999999999.log", ".log",
		"00000000000000000042.txt", "00000000000000000000-0000000000.checkpoint"};

	for (size_t i = 0; i < array_length(names); i++)
		cr_assert_eq(log_file_name_parse(names[i]).base_offset, -1, "%s", names[i]);
}

Test(names, folders_are_told_apart)
{
	static const struct {
		const char *name;
		enum log_folder_kind kind;
		const char *topic;
		int32_t partition;
	} cases[] = {
		{"topic-3", LOG_FOLDER_PARTITION, "topic", 3},
		{"with-dashes-10", LOG_FOLDER_PARTITION, "with-dashes", 10},
		{"__cluster_metadata-0", LOG_FOLDER_PARTITION, "__cluster_metadata", 0},
		{"a.b-1.0123456789abcdef0123456789abcdef-delete", LOG_FOLDER_DELETE, "a.b", 1},
		{"a.b-1.0123456789abcdef0123456789abcdef-future", LOG_FOLDER_FUTURE, "a.b", 1},
		{"a.b-1.0123456789abcdef0123456789abcdef-stray", LOG_FOLDER_STRAY, "a.b", 1},
		{"lost+found", LOG_FOLDER_IGNORED, NULL, 0},
		{"remote-log-index-cache", LOG_FOLDER_IGNORED, NULL, 0},
		{"topic", LOG_FOLDER_FOREIGN, NULL, 0},
		{"topic-", LOG_FOLDER_FOREIGN, NULL, 0},
		{"-3", LOG_FOLDER_FOREIGN, NULL, 0},
		{"topic-3x", LOG_FOLDER_FOREIGN, NULL, 0},
		{"topic-99999999999", LOG_FOLDER_FOREIGN, NULL, 0},
		{"topic-delete", LOG_FOLDER_FOREIGN, NULL, 0},
	};

	for (size_t i = 0; i < array_length(cases); i++) {
		struct log_folder_name parsed = log_folder_name_parse(cases[i].name);

		cr_assert_eq(parsed.kind, cases[i].kind, "%s", cases[i].name);
		if (!cases[i].topic)
			continue;
		cr_assert(str_equal(parsed.topic, str_from(cases[i].topic)), "%s", cases[i].name);
		cr_assert_eq(parsed.partition, cases[i].partition, "%s", cases[i].name);
	}
}

Test(names, a_long_topic_is_cut_to_a_name_that_a_file_system_takes)
{
	char topic[NAME_TOPIC_SIZE_MAX + 1], name[NAME_FOLDER_SIZE_MAX + 1];
	struct uuid unique = {{1, 2, 3}};

	memset(topic, 't', NAME_TOPIC_SIZE_MAX);
	topic[NAME_TOPIC_SIZE_MAX] = 0;
	log_folder_name_print_suffixed(name, str_from(topic), 2147483647, &unique, "-delete");
	cr_assert_eq(strlen(name), NAME_FOLDER_SIZE_MAX);
	cr_assert_eq(log_folder_name_parse(name).kind, LOG_FOLDER_DELETE);
	log_folder_name_print_suffixed(name, STR("topic"), 3, &unique, "-stray");
	cr_assert_str_eq(name, "topic-3.01020300000000000000000000000000-stray");
}
