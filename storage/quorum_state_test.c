#include "storage/quorum_state.h"

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

TestSuite(quorum_state, .init = set_up, .fini = tear_down);

/* Files that Kafka wrote, of both versions, read and written back to the same bytes. */
Test(quorum_state, is_written_as_kafka_does)
{
	/* clang-format off */
	static const struct str texts[] = {
		STR("{\"clusterId\":\"\",\"leaderId\":1,\"leaderEpoch\":1,\"votedId\":-1,\"appliedOffset\":0,"
			"\"currentVoters\":[{\"voterId\":1}],\"data_version\":0}"),
		STR("{\"clusterId\":\"\",\"leaderId\":-1,\"leaderEpoch\":0,\"votedId\":2,\"appliedOffset\":0,"
			"\"currentVoters\":[{\"voterId\":1},{\"voterId\":2}],\"data_version\":0}"),
		STR("{\"clusterId\":\"\",\"leaderId\":-1,\"leaderEpoch\":-1,\"votedId\":-1,\"appliedOffset\":0,"
			"\"currentVoters\":[],\"data_version\":0}"),
		STR("{\"leaderId\":1,\"leaderEpoch\":3,\"votedId\":-1,"
			"\"votedDirectoryId\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"data_version\":1}"),
	};
	/* clang-format on */
	for (size_t i = 0; i < array_length(texts); i++) {
		struct quorum_state state;

		cr_assert_eq(quorum_state_parse(&arena, texts[i], &state), 0);
		cr_assert(str_equal(quorum_state_format(&arena, &state), texts[i]), "%.*s",
			STR_ARGS(texts[i]));
	}
}

/* Each text breaks one rule; the caller's struct stays as it was. */
Test(quorum_state, malformed_files_are_refused)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = {
		{"", -EBADMSG},
		{"[]", -EBADMSG},
		{"{}", -EBADMSG},
		{"{\"leaderId\":1,\"leaderEpoch\":3,\"votedId\":-1,\"data_version\":2}",
			-EPROTONOSUPPORT},
		{"{\"leaderId\":1,\"leaderEpoch\":3,\"votedId\":-1,\"data_version\":1}", -EBADMSG},
		{"{\"leaderId\":1,\"leaderEpoch\":3,\"votedId\":-1,\"data_version\":0}", -EBADMSG},
		{"{\"leaderId\":1,\"leaderEpoch\":3,\"votedId\":-1,\"currentVoters\":[1],\"data_"
		 "version\":0}",
			-EBADMSG},
		{"{\"leaderId\":1,\"leaderEpoch\":-2,\"votedId\":-1,\"currentVoters\":[],\"data_"
		 "version\":0}",
			-EBADMSG},
		{"{\"leaderId\":1,\"leaderEpoch\":2147483648,\"votedId\":-1,\"currentVoters\":[],"
		 "\"data_version\":0}",
			-EBADMSG},
		{"{\"leaderId\":1,\"leaderEpoch\":3,\"votedId\":-1,\"votedDirectoryId\":\"x\","
		 "\"data_version\":1}",
			-EBADMSG},
		{"{\"leaderId\":1,\"leaderEpoch\":3,\"votedId\":-1,\"votedDirec", -EBADMSG},
	};

	for (size_t i = 0; i < array_length(cases); i++) {
		struct quorum_state state = {.leader_id = 77};

		cr_assert_eq(quorum_state_parse(&arena, str_from(cases[i].text), &state),
			cases[i].error, "%s", cases[i].text);
		cr_assert_eq(state.leader_id, 77);
	}
}

/* Deep nesting must not use the stack up. */
Test(quorum_state, deep_nesting_is_refused)
{
	static char text[100001];
	struct quorum_state state;

	memset(text, '[', sizeof(text) - 1);
	cr_assert_eq(quorum_state_parse(&arena, str_from(text), &state), -EBADMSG);
}
