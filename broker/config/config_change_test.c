#include "broker/config/config_change.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct arena arena;
static struct config *config;

static struct config_entries entries_from(const char *text)
{
	struct config_entries entries;
	struct properties_problem problem;

	cr_assert_eq(properties_parse(str_from(text), &arena, &entries, &problem), 0);
	return entries;
}

static void set_up(void)
{
	struct config_report report;
	struct config_entries none = {0};

	arena_init(&arena, 64 << 20);
	config_report_init(&report);
	cr_assert_eq(config_new_embedded(&none, &report, &config), 0);
	config_report_done(&report);
}

static void tear_down(void)
{
	config_unref(config);
	arena_done(&arena);
}

TestSuite(config_change, .init = set_up, .fini = tear_down);

static struct config_change_context topic_with(const char *current)
{
	return (struct config_change_context){.config = config,
		.resource = CONFIG_RESOURCE_TOPIC,
		.resource_name = STR("t"),
		.current = entries_from(current)};
}

/* That codes and words are Kafka's is compared in compat-tests/config. */
Test(config_change, gives_the_records_that_make_the_difference)
{
	struct config_change_context context = topic_with("retention.ms=5\nsegment.ms=6\n");
	struct config_change items[] = {{STR("retention.ms"), CONFIG_SET, STR("7")},
		{STR("segment.ms"), CONFIG_SET, STR("6")},
		{STR("cleanup.policy"), CONFIG_APPEND, STR("compact")}};
	struct config_changes changes = {items, 3};
	struct config_records records;
	struct config_refusal refusal;

	cr_assert_eq(config_change(&context, &changes, &arena, &records, &refusal), 0);
	cr_assert_eq(refusal.error, KAFKA_NONE, "%s", refusal.message);
	cr_assert_eq(records.count, 2);
	cr_assert(str_equal(records.items[0].value, STR("7")));
	cr_assert(str_equal(records.items[1].value, STR("delete,compact")));
	changes.count = 1;
	context.whole = true;
	cr_assert_eq(config_change(&context, &changes, &arena, &records, &refusal), 0);
	cr_assert_eq(records.count, 2);
	cr_assert(str_is_null(records.items[1].value), "segment.ms is not named, so it goes");
}

Test(config_change, refuses_all_when_one_is_wrong)
{
	struct config_change_context context = topic_with("");
	struct config_change items[] = {{STR("retention.ms"), CONFIG_SET, STR("7")},
		{STR("segment.ms"), CONFIG_SET, STR("zero")}};
	struct config_changes changes = {items, 2};
	struct config_records records;
	struct config_refusal refusal;

	cr_assert_eq(config_change(&context, &changes, &arena, &records, &refusal), 0);
	cr_assert_eq(refusal.error, KAFKA_INVALID_CONFIG);
	cr_assert_eq(records.count, 0);
	items[1] = (struct config_change){STR("x"), 77, STR("y")};
	cr_assert_eq(config_change(&context, &changes, &arena, &records, &refusal), 0);
	cr_assert_eq(refusal.error, KAFKA_INVALID_REQUEST);
	context.resource = CONFIG_RESOURCE_BROKER_LOGGER;
	cr_assert_eq(config_change(&context, &changes, &arena, &records, &refusal), 0);
	cr_assert_eq(refusal.error, KAFKA_INVALID_REQUEST);
}

/* A small request with very many names must not cost the square of their number. */
Test(config_change, a_request_of_many_names_costs_little, .timeout = 20)
{
	enum { MANY = 200000 };
	struct config_change *items = calloc(MANY, sizeof(*items));
	struct config_records records;
	struct config_refusal refusal;

	for (int i = 0; i < MANY; i++) {
		char name[16];
		snprintf(name, sizeof(name), "n%d", i);
		items[i] = (struct config_change){
			arena_str(&arena, str_from(name)), CONFIG_SET, STR("1")};
	}
	struct config_changes changes = {items, MANY};
	struct config_change_context context = topic_with("");
	cr_assert_eq(config_change(&context, &changes, &arena, &records, &refusal), 0);
	cr_assert_eq(refusal.error, KAFKA_INVALID_CONFIG);
	context.resource = CONFIG_RESOURCE_BROKER;
	context.resource_name = STR("1");
	cr_assert_eq(config_change(&context, &changes, &arena, &records, &refusal), 0);
	cr_assert_eq(refusal.error, KAFKA_INVALID_REQUEST);
	free(items);
}

/* A list of commas, appended to a list of commas. */
Test(config_change, a_long_list_costs_little, .timeout = 20)
{
	enum { SIZE = 1 << 20 };
	char *commas = malloc(SIZE + 1);
	struct config_records records;
	struct config_refusal refusal;

	memset(commas, ',', SIZE);
	commas[SIZE] = '\0';
	struct config_change item = {
		STR("leader.replication.throttled.replicas"), CONFIG_APPEND, {commas, SIZE}};
	struct config_changes changes = {&item, 1};
	struct config_change_context context =
		topic_with("leader.replication.throttled.replicas=0:1,1:2,2:3,3:4,4:5,5:6\n");
	cr_assert_eq(config_change(&context, &changes, &arena, &records, &refusal), 0);
	cr_assert_eq(refusal.error, KAFKA_INVALID_CONFIG);
	item.operation = CONFIG_SET;
	cr_assert_eq(config_change(&context, &changes, &arena, &records, &refusal), 0);
	cr_assert_eq(refusal.error, KAFKA_INVALID_CONFIG);
	free(commas);
}

Test(config_change, a_new_topic_is_checked_like_a_change)
{
	struct config_entries good = entries_from("cleanup.policy=compact\n");
	struct config_entries bad = entries_from("cleanup.policy=none\n");
	struct config_refusal refusal;

	cr_assert_eq(config_check_new_topic(config, &good, &arena, &refusal), 0);
	cr_assert_eq(refusal.error, KAFKA_NONE);
	cr_assert_eq(config_check_new_topic(config, &bad, &arena, &refusal), 0);
	cr_assert_eq(refusal.error, KAFKA_INVALID_CONFIG);
	cr_assert_str_eq(refusal.message, "Invalid value none for configuration cleanup.policy: "
					  "String must be one of: compact, delete");
}
