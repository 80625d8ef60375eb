#include "broker/config/setting.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct arena arena;

static void arena_open(void)
{
	arena_init(&arena, 1 << 20);
}

static void arena_close(void)
{
	arena_done(&arena);
}

TestSuite(setting, .init = arena_open, .fini = arena_close);

Test(setting, is_found_by_its_name_and_resource)
{
	for (unsigned id = 0; id < SETTING_COUNT; id++) {
		const struct setting *row = setting_row((enum setting_id)id);
		cr_assert_eq(setting_find(row->resource, str_from(row->name)), id, "%s", row->name);
		cr_assert_not_null(row->documentation);
		cr_assert_eq(row->reason == NULL, row->effect == EFFECT_ACTS, "%s", row->name);
	}
	cr_assert_eq(setting_find(CONFIG_RESOURCE_TOPIC, STR("num.partitions")), SETTING_NONE);
	cr_assert_eq(setting_find(CONFIG_RESOURCE_BROKER, STR("")), SETTING_NONE);
	cr_assert_eq(setting_find(CONFIG_RESOURCE_BROKER, STR_NULL), SETTING_NONE);
	/* The same name, another thing. */
	cr_assert_neq(setting_find(CONFIG_RESOURCE_TOPIC, STR("compression.type")),
		setting_find(CONFIG_RESOURCE_BROKER, STR("compression.type")));
}

/* Every default reads as a value and prints as itself; where it falls back, the types agree. */
Test(setting, defaults_are_valid)
{
	for (unsigned id = 0; id < SETTING_COUNT; id++) {
		const struct setting *row = setting_row((enum setting_id)id);
		struct setting_value value;
		struct config_problem problem;

		if (row->synonym != SETTING_NONE)
			cr_assert_eq(setting_row(row->synonym)->type, row->type, "%s", row->name);
		if (!row->default_text)
			continue;
		cr_assert_eq(
			setting_parse(row, str_from(row->default_text), &arena, &value, &problem),
			0, "%s: %s", row->name, problem.text);
		struct str printed = setting_format(row, &value, &arena);
		cr_assert(str_equal(printed, str_from(row->default_text)), "%s: %.*s", row->name,
			STR_ARGS(printed));
	}
}

/* The text, and how it prints again; or the words with which Kafka refuses it. */
Test(setting, values_are_read_by_kafkas_rules)
{
	static const struct {
		const char *name, *text, *printed, *words;
	} cases[] = {
		{"num.partitions", " 12 ", "12", NULL},
		{"num.partitions", "+5", "5", NULL},
		{"num.partitions", "2147483647", "2147483647", NULL},
		{"num.partitions", "2147483648", NULL, "Not a number of type INT"},
		{"num.partitions", "0", NULL, "Value must be at least 1"},
		{"num.partitions", "1_0", NULL, "Not a number of type INT"},
		{"num.partitions", "", NULL, "Not a number of type INT"},
		{"num.partitions", "-", NULL, "Not a number of type INT"},
		{"num.partitions", "99999999999999999999999", NULL, "Not a number of type INT"},
		{"broker.id", "-2147483648", "-2147483648", NULL},
		{"log.retention.ms", "-9223372036854775808", "-9223372036854775808", NULL},
		{"log.retention.ms", "9223372036854775808", NULL, "Not a number of type LONG"},
		{"offsets.topic.replication.factor", "40000", NULL, "Not a number of type SHORT"},
		{"log.preallocate", "TRUE", "true", NULL},
		{"log.preallocate", " False ", "false", NULL},
		{"log.preallocate", "yes", NULL, "Expected value to be either true or false"},
		{"log.cleaner.io.max.bytes.per.second", "1e3", "1000.0", NULL},
		{"log.cleaner.io.max.bytes.per.second", "0x1p3", "8.0", NULL},
		{"log.cleaner.io.max.bytes.per.second", "0x10", NULL,
			"Not a number of type DOUBLE"},
		{"log.cleaner.io.max.bytes.per.second", "1f", "1.0", NULL},
		{"log.cleaner.io.max.bytes.per.second", "NaN", "NaN", NULL},
		{"log.cleaner.io.max.bytes.per.second", "nan", NULL, "Not a number of type DOUBLE"},
		{"log.cleaner.io.max.bytes.per.second", "-Infinity", "-Infinity", NULL},
		{"log.cleaner.io.max.bytes.per.second", "inf", NULL, "Not a number of type DOUBLE"},
		{"log.cleaner.io.max.bytes.per.second", "12345678", "1.2345678E7", NULL},
		{"log.cleaner.io.max.bytes.per.second", "0.0001", "1.0E-4", NULL},
		{"log.cleaner.io.max.bytes.per.second", "0.001", "0.001", NULL},
		{"log.cleaner.io.max.bytes.per.second", "9999999", "9999999.0", NULL},
		{"log.cleaner.io.max.bytes.per.second", "-0", "-0.0", NULL},
		{"log.cleaner.min.cleanable.ratio", "2", NULL, "Value must be no more than 1"},
		{"remote.log.manager.task.retry.jitter", "0.6", NULL,
			"Value must be no more than 0.5"},
		{"log.segment.bytes", "100", NULL, "Value must be at least 1048576"},
		{"compression.zstd.level", "-131073", NULL, "Value must be at least -131072"},
		{"compression.gzip.level", "0", NULL,
			"Value must be between 1 and 9 or equal to -1"},
		{"compression.gzip.level", "-1", "-1", NULL},
		{"compression.type", "GZIP", NULL,
			"String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"},
		{"group.consumer.migration.policy", "Upgrade", "Upgrade", NULL},
		{"group.consumer.migration.policy", "x", NULL, "(case insensitive): DISABLED"},
		{"log.cleanup.policy", "", "", NULL},
		{"log.cleanup.policy", "delete , compact", "delete,compact", NULL},
		{"log.cleanup.policy", "delete,delete", "delete", NULL},
		{"log.cleanup.policy", "delete,,compact", NULL,
			"Configuration 'log.cleanup.policy' values must not be empty."},
		{"log.cleanup.policy", "none", NULL,
			"Invalid value none for configuration log.cleanup.policy: String must be "
			"one of: compact, delete"},
		{"process.roles", "", NULL, "Valid values include: [broker, controller]"},
		{"listeners", "", NULL, "Valid values include: any non-empty value"},
		{"controller.quorum.voters", "", "", NULL},
		{"controller.quorum.voters", "1@a:9,2@[::1]:9", "1@a:9,2@[::1]:9", NULL},
		{"controller.quorum.voters", "x", NULL, "{id}@{host}:{port}"},
		{"controller.quorum.voters", "1@a:65536", NULL, "{id}@{host}:{port}"},
		{"controller.quorum.voters", "1@:1", NULL, "{id}@{host}:{port}"},
		{"controller.quorum.bootstrap.servers", "a", NULL, "{host}:{port}"},
		{"remote.log.metadata.manager.class.name", "", NULL, "String must be non-empty"},
		{"leader.replication.throttled.replicas", "0:1,1:2", "0:1,1:2", NULL},
		{"leader.replication.throttled.replicas", "*", "*", NULL},
		{"leader.replication.throttled.replicas", "0:1,x", NULL,
			"Invalid value [0:1, x] for"},
		{"leader.replication.throttled.replicas", "1:", NULL, "must be the literal '*'"},
		{"share.auto.offset.reset", "by_duration:PT1H30M", "by_duration:PT1H30M", NULL},
		{"share.auto.offset.reset", "by_duration:P1DT0.5S", "by_duration:P1DT0.5S", NULL},
		{"share.auto.offset.reset", "by_duration:-PT1H", NULL, "PnDTnHnMn.nS"},
		{"share.auto.offset.reset", "by_duration:PT", NULL, "PnDTnHnMn.nS"},
		{"share.auto.offset.reset", "by_duration:PT1M1H", NULL, "PnDTnHnMn.nS"},
	};

	for (size_t i = 0; i < array_length(cases); i++) {
		static const enum config_resource resources[] = {
			CONFIG_RESOURCE_BROKER, CONFIG_RESOURCE_TOPIC, CONFIG_RESOURCE_GROUP};
		enum setting_id id = SETTING_NONE;
		struct setting_value value;
		struct config_problem problem = {""};

		for (size_t j = 0; j < array_length(resources) && id == SETTING_NONE; j++)
			id = setting_find(resources[j], str_from(cases[i].name));
		cr_assert_neq(id, SETTING_NONE, "%s", cases[i].name);
		int error = setting_parse(
			setting_row(id), str_from(cases[i].text), &arena, &value, &problem);
		if (cases[i].words) {
			cr_assert_eq(error, -EINVAL, "%s=%s", cases[i].name, cases[i].text);
			cr_assert_not_null(strstr(problem.text, cases[i].words), "%s=%s: %s",
				cases[i].name, cases[i].text, problem.text);
			continue;
		}
		cr_assert_eq(error, 0, "%s=%s: %s", cases[i].name, cases[i].text, problem.text);
		struct str printed = setting_format(setting_row(id), &value, &arena);
		cr_assert(str_equal(printed, str_from(cases[i].printed)), "%s=%s: %.*s",
			cases[i].name, cases[i].text, STR_ARGS(printed));
	}
}

/* Splitting is linear, but dropping repeats is not: the number of items has a limit. */
Test(setting, a_list_of_thousands_is_refused)
{
	static char commas[9000];
	struct setting_value value;
	struct config_problem problem;

	memset(commas, ',', sizeof(commas) - 1);
	cr_assert_eq(setting_parse(setting_row(SETTING_LOG_DIRS), str_from(commas), &arena, &value,
			     &problem),
		-EINVAL);
}

Test(setting, an_unknown_name_meets_its_nearest)
{
	static const struct {
		const char *name, *nearest;
	} cases[] = {
		{"num.partition", "num.partitions"},
		{"NUM_PARTITIONS", "num.partitions"},
		{"log.retention.hour", "log.retention.hours"},
		{"lsiteners", "listeners"},
		{"message.max.byte", "message.max.bytes"},
		{"advertised.listener", "advertised.listeners"},
		{"barnabas.shard", "barnabas.shards"},
		{"something.else.altogether", NULL},
		{"x", NULL},
	};

	for (size_t i = 0; i < array_length(cases); i++) {
		const char *nearest =
			setting_nearest(CONFIG_RESOURCE_BROKER, str_from(cases[i].name));
		cr_assert_eq(nearest != NULL, cases[i].nearest != NULL, "%s: %s", cases[i].name,
			nearest);
		if (nearest)
			cr_assert_str_eq(nearest, cases[i].nearest);
	}
	cr_assert_not_null(
		setting_removed_advice(CONFIG_RESOURCE_BROKER, STR("zookeeper.connect")));
	cr_assert_not_null(
		setting_removed_advice(CONFIG_RESOURCE_TOPIC, STR("message.format.version")));
	cr_assert_null(setting_removed_advice(CONFIG_RESOURCE_BROKER, STR("zookeeper.")));
	cr_assert_null(setting_removed_advice(CONFIG_RESOURCE_BROKER, STR("num.partitions")));
}
