/*
 * Prints docs/configuration.md: the page that tells what every setting means, made from the table
 * that the broker itself reads. `ninja configuration-page` writes it; a test fails when it is
 * stale.
 */
#include <stdio.h>

#include "broker/config/config.h"

static const struct item {
	const char *section; /* NULL: a setting */
	enum setting_id id;
} items[] = {
#define SECTION(title)		   {.section = (title)},
#define SETTING(name, ...)	   {.id = SETTING_##name},
#define TOPIC_SETTING(name, ...)   {.id = TOPIC_SETTING_##name},
#define GROUP_SETTING(name, ...)   {.id = GROUP_SETTING_##name},
#define METRICS_SETTING(name, ...) {.id = METRICS_SETTING_##name},
#include "broker/config/settings.tbl"
};

static const char introduction[] =
	"# Configuration\n"
	"\n"
	"Barnabas reads Apache Kafka's `server.properties`, with Kafka's names and meanings:\n"
	"\n"
	"    barnabas serve --config server.properties --set num.partitions=3\n"
	"\n"
	"Without a file it serves on 127.0.0.1:9092 and keeps its data in `./data`. An unknown "
	"name is\n"
	"warned of together with the nearest one; `barnabas.strict.config=true` makes it an error. "
	"What\n"
	"has no effect says so, here and in the log when it is set. A wrong value stops the "
	"start.\n"
	"\n"
	"*Change* says when a new value counts: after a restart, or at once when it is changed "
	"with\n"
	"`kafka-configs` (for one broker, or for the whole cluster as well). This page is made "
	"from\n"
	"`broker/config/settings.tbl`; edit that.\n";

static const char *type_name(enum setting_type type)
{
	static const char *const names[] = {"", "boolean", "string", "int", "short", "long",
		"double", "list", "class", "password"};
	return names[type];
}

static const char *scope_name(enum setting_scope scope)
{
	static const char *const names[] = {
		"restart", "broker", "broker or cluster", "restart", "at once"};
	return names[scope];
}

static void print_default(const struct setting *row)
{
	if (row->required)
		printf("must be given");
	else if (!row->default_text)
		printf("–");
	else if (!row->default_text[0])
		printf("empty");
	else
		printf("`%s`", row->default_text);
}

static void print_setting(const struct setting *row, struct arena *arena)
{
	printf("| `%s` | %s | ", row->name, type_name(row->type));
	print_default(row);
	printf(" | %.*s | %s | %s", STR_ARGS(setting_range_words(row, arena)),
		scope_name(row->scope), row->documentation);
	if (row->synonym != SETTING_NONE)
		printf(" Without it `%s` counts.", setting_row(row->synonym)->name);
	if (row->effect == EFFECT_IGNORED)
		printf(" **Has no effect:** %s.", row->reason);
	else if (row->effect == EFFECT_REFUSED)
		printf(" **Any other value is refused:** %s.", row->reason);
	printf(" |\n");
}

int main(void)
{
	struct arena arena;
	int acting = 0;

	arena_init(&arena, 1 << 20);
	fputs(introduction, stdout);
	for (size_t i = 0; i < array_length(items); i++) {
		if (items[i].section) {
			printf("\n## %s\n\n| setting | type | default | valid | change | what it "
			       "does |\n"
			       "|---|---|---|---|---|---|\n",
				items[i].section);
			continue;
		}
		acting += setting_row(items[i].id)->effect == EFFECT_ACTS;
		print_setting(setting_row(items[i].id), &arena);
	}
	printf("\n%d settings, of which %d act.\n", (int)SETTING_COUNT, acting);
	arena_done(&arena);
	return 0;
}
