#include "broker/config/config_describe.h"

#include <criterion/criterion.h>

static struct arena arena;

static struct config_entries entries_from(const char *text)
{
	struct config_entries entries;
	struct properties_problem problem;

	cr_assert_eq(properties_parse(str_from(text), &arena, &entries, &problem), 0);
	return entries;
}

static struct config *config_from(const char *fixed, const char *cluster, const char *broker)
{
	struct config_report report;
	struct config *config, *changed;
	struct config_entries layers[3];

	arena_init(&arena, 8 << 20);
	config_report_init(&report);
	layers[0] = entries_from(fixed);
	layers[1] = entries_from(cluster);
	layers[2] = entries_from(broker);
	cr_assert_eq(config_new_embedded(&layers[0], &report, &config), 0);
	cr_assert_eq(config_update(config, &layers[1], &layers[2], &report, &changed), 0);
	config_unref(config);
	config_report_done(&report);
	return changed;
}

static const struct config_description *find(
	const struct config_descriptions *all, const char *name)
{
	for (int32_t i = 0; i < all->count; i++) {
		if (str_equal(all->items[i].name, str_from(name)))
			return &all->items[i];
	}
	return NULL;
}

/* That all of this is as Kafka shows it is compared in compat-tests/config; here are the promises.
 */
Test(config_describe, shows_every_layer_of_a_broker)
{
	struct config *config = config_from(
		"message.max.bytes=1000\n", "message.max.bytes=2000\n", "message.max.bytes=3000\n");
	struct config_descriptions all;
	struct config_entries none = {0};

	cr_assert_eq(
		config_describe(config, CONFIG_RESOURCE_BROKER, false, &none, &arena, &all), 0);
	const struct config_description *entry = find(&all, "message.max.bytes");
	cr_assert(str_equal(entry->value, STR("3000")));
	cr_assert_eq(entry->source, CONFIG_SOURCE_DYNAMIC_BROKER);
	cr_assert_eq(entry->synonym_count, 4);
	cr_assert_eq(entry->synonyms[1].source, CONFIG_SOURCE_DYNAMIC_CLUSTER);
	cr_assert_eq(entry->synonyms[2].source, CONFIG_SOURCE_STATIC_BROKER);
	cr_assert_eq(entry->synonyms[3].source, CONFIG_SOURCE_DEFAULT);
	cr_assert_not(entry->is_read_only);
	cr_assert(find(&all, "node.id")->is_read_only);
	cr_assert_eq(config_describe(config, CONFIG_RESOURCE_BROKER, true, &none, &arena, &all), 0);
	cr_assert_eq(all.count, 1);
	config_unref(config);
	arena_done(&arena);
}

Test(config_describe, never_shows_a_secret)
{
	struct config *config = config_from("ssl.keystore.password=hush\nmy.own.secret=hush\n"
					    "listener.name.x.plain.sasl.jaas.config=hush\n",
		"", "listener.name.x.ssl.key.password=hush\n");
	struct config_descriptions all;
	struct config_entries none = {0};
	int hidden = 0;

	cr_assert_eq(
		config_describe(config, CONFIG_RESOURCE_BROKER, false, &none, &arena, &all), 0);
	for (int32_t i = 0; i < all.count; i++) {
		cr_assert(!str_equal(all.items[i].value, STR("hush")));
		for (int32_t j = 0; j < all.items[i].synonym_count; j++) {
			cr_assert(!str_equal(all.items[i].synonyms[j].value, STR("hush")));
			hidden += all.items[i].is_sensitive;
		}
	}
	cr_assert_eq(hidden, 4);
	config_unref(config);
	arena_done(&arena);
}

Test(config_describe, shows_what_a_topic_falls_back_to)
{
	struct config *config = config_from("log.retention.ms=5\n", "", "");
	struct config_descriptions all;
	struct config_entries own = entries_from("segment.ms=7\n");

	cr_assert_eq(config_describe(config, CONFIG_RESOURCE_TOPIC, false, &own, &arena, &all), 0);
	cr_assert_null(find(&all, "internal.segment.bytes"));
	const struct config_description *entry = find(&all, "retention.ms");
	cr_assert_eq(entry->source, CONFIG_SOURCE_STATIC_BROKER);
	cr_assert(str_equal(entry->synonyms[0].name, STR("log.retention.ms")));
	entry = find(&all, "segment.ms");
	cr_assert_eq(entry->source, CONFIG_SOURCE_TOPIC);
	cr_assert_eq(entry->type, SETTING_TYPE_LONG);
	cr_assert(!str_is_null(entry->documentation));
	config_unref(config);
	arena_done(&arena);
}

/* Room for nothing: an error, nothing half done. */
Test(config_describe, says_when_there_is_no_memory)
{
	struct config *config = config_from("", "", "");
	struct config_entries none = {0};

	for (size_t limit = 0; limit < 40000; limit += 1111) {
		struct arena small;
		struct config_descriptions all = {0};
		arena_init(&small, limit);
		int error =
			config_describe(config, CONFIG_RESOURCE_BROKER, false, &none, &small, &all);
		cr_assert(error == -12 && all.count == 0);
		arena_done(&small);
	}
	config_unref(config);
	arena_done(&arena);
}
