/*
 * Our side of the comparison with Kafka's configuration: reads the same scenarios as Oracle.java
 * from standard input and prints a line for each step in the same form.
 *
 *	scenario	name
 *	static	name=value	(also: cluster, broker: dynamic; own: of a topic, group or subscription)
 *	start
 *	describe	broker | cluster | topic | group | metrics
 *	alter	broker | topic | group | metrics	resource name	elr	whole	operation:name=value …
 *	rows
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/config/config_change.h"
#include "broker/config/config_describe.h"

enum { ENTRIES_MAX = 256, STEP_MAX = 64, LINES_MAX = 1024 };

struct layer {
	struct config_entry items[ENTRIES_MAX];
	int32_t count;
};

static struct scenario {
	struct arena arena;
	struct layer fixed, cluster, broker, own;
} scenario;

static struct config_entries layer_entries(struct layer *layer)
{
	return (struct config_entries){layer->items, layer->count};
}

static void layer_add(struct layer *layer, char *text)
{
	struct config_entry entry;

	ensure(layer->count < ENTRIES_MAX);
	ensure(properties_parse_argument(str_from(text), &entry) == 0);
	layer->items[layer->count].name = arena_str(&scenario.arena, entry.name);
	layer->items[layer->count++].value = arena_str(&scenario.arena, entry.value);
}

static int text_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_sorted(char **lines, int count)
{
	qsort(lines, (size_t)count, sizeof(*lines), text_compare);
	for (int i = 0; i < count; i++)
		printf("%s%s", i > 0 ? "\t" : "", lines[i]);
	printf("\n");
}

static const char *text_or_null(struct str text)
{
	if (str_is_null(text))
		return "null";
	return arena_str(&scenario.arena, text).data;
}

/* The first error that Kafka would see too. */
static const struct config_finding *report_error(const struct config_report *report, bool unserved)
{
	for (const struct config_finding *finding = report->first; finding;
		finding = finding->next) {
		if (finding->severity == CONFIG_ERROR && finding->unserved == unserved)
			return finding;
	}
	return NULL;
}

static void start(void)
{
	struct config_report report;
	struct config *config = NULL;
	struct config_entries layer = layer_entries(&scenario.fixed);

	config_report_init(&report);
	int error = config_new(&layer, 1, &report, &config);
	const struct config_finding *wrong = report_error(&report, false);
	if (error == 0)
		printf("started\n");
	else if (wrong)
		printf("refused\t%s\n", text_or_null(wrong->text));
	else
		printf("unserved\t%s\n", text_or_null(report_error(&report, true)->text));
	config_unref(config);
	config_report_done(&report);
}

static struct config *layered_config(void)
{
	struct config_report report;
	struct config *config, *changed;
	struct config_entries fixed = layer_entries(&scenario.fixed);
	struct config_entries cluster = layer_entries(&scenario.cluster);
	struct config_entries broker = layer_entries(&scenario.broker);

	config_report_init(&report);
	int error = config_new(&fixed, 1, &report, &config);
	if (error == 0)
		error = config_update(config, &cluster, &broker, &report, &changed);
	if (error < 0) {
		printf("no configuration: %s\n", text_or_null(report.first->text));
		exit(1);
	}
	config_unref(config);
	config_report_done(&report);
	return changed;
}

static enum config_resource resource_parse(const char *name)
{
	return strcmp(name, "topic") == 0     ? CONFIG_RESOURCE_TOPIC
	       : strcmp(name, "group") == 0   ? CONFIG_RESOURCE_GROUP
	       : strcmp(name, "metrics") == 0 ? CONFIG_RESOURCE_CLIENT_METRICS
					      : CONFIG_RESOURCE_BROKER;
}

static void describe(const char *what)
{
	static char *lines[LINES_MAX];
	struct config *config = layered_config();
	struct config_descriptions all;
	struct config_entries own = layer_entries(&scenario.own);

	ensure(config_describe(config, resource_parse(what), strcmp(what, "cluster") == 0, &own,
		       &scenario.arena, &all) == 0);
	ensure(all.count <= LINES_MAX);
	for (int32_t i = 0; i < all.count; i++) {
		const struct config_description *entry = &all.items[i];
		char text[4096];
		int used = snprintf(text, sizeof(text), "%s=%s source=%d%s%s type=%d",
			text_or_null(entry->name), text_or_null(entry->value), entry->source,
			entry->is_sensitive ? " sensitive" : "",
			entry->is_read_only ? " read-only" : "", entry->type);
		for (int32_t j = 0; j < entry->synonym_count; j++)
			used += snprintf(text + used, sizeof(text) - (size_t)used, " {%s=%s %d}",
				text_or_null(entry->synonyms[j].name),
				text_or_null(entry->synonyms[j].value), entry->synonyms[j].source);
		ensure(used < (int)sizeof(text));
		lines[i] = (char *)arena_str(&scenario.arena, str_from(text)).data;
	}
	printf("described 0\t");
	print_sorted(lines, all.count);
	config_unref(config);
}

static void alter(char **step, int count)
{
	static char *lines[LINES_MAX];
	struct config *config = layered_config();
	struct config_change changes[STEP_MAX];
	struct config_records records;
	struct config_refusal refusal;
	enum config_resource resource = resource_parse(step[1]);
	struct layer *current = resource != CONFIG_RESOURCE_BROKER ? &scenario.own
				: step[2][0]			   ? &scenario.broker
								   : &scenario.cluster;
	struct config_change_context context = {
		.config = config,
		.resource = resource,
		.resource_name = str_from(step[2]),
		.current = layer_entries(current),
		.elr_enabled = step[3][0] == '1',
		.whole = step[4][0] == '1',
	};

	for (int i = 5; i < count; i++) {
		struct str rest = str_from(strchr(step[i], ':') + 1), name;
		str_split_next(&rest, '=', &name);
		changes[i - 5] = (struct config_change){name, (int8_t)atoi(step[i]), rest};
	}
	struct config_changes all = {changes, count - 5};
	ensure(config_change(&context, &all, &scenario.arena, &records, &refusal) == 0);
	if (refusal.error != KAFKA_NONE) {
		printf("error %d\t%s\n", refusal.error, refusal.message);
	} else {
		for (int32_t i = 0; i < records.count; i++)
			lines[i] = arena_printf(&scenario.arena, "%s=%s",
				text_or_null(records.items[i].name),
				text_or_null(records.items[i].value));
		printf("altered\t");
		print_sorted(lines, records.count);
	}
	config_unref(config);
}

/* In the words of Kafka's validators. */
static void print_range(const struct setting *row)
{
	const struct setting_range *range = &row->range;
	const char *words = range->words ? range->words : "";

	switch (range->kind) {
	case RANGE_ANY:
		break;
	case RANGE_NUMBER:
		if (isinf(range->max))
			printf("Range [%.0f,...]", range->min);
		else
			printf("Range [%.0f,...,%.10g]", range->min, range->max);
		break;
	case RANGE_GZIP_LEVEL:
		printf("LambdaValidator [1,...,9] or -1");
		break;
	case RANGE_ONE_OF:
		printf("ValidString [%s]", words);
		break;
	case RANGE_ONE_OF_ANY_CASE:
		printf("CaseInsensitiveValidString (case insensitive) [%s]", words);
		break;
	case RANGE_NON_EMPTY:
		printf("NonEmptyString non-empty string");
		break;
	case RANGE_ANY_LIST:
		printf("ValidList ");
		break;
	case RANGE_NON_EMPTY_LIST:
		printf("ValidList not empty ");
		break;
	case RANGE_LIST_OF:
		printf("ValidList [%s]", words);
		break;
	case RANGE_SOME_OF:
		printf("ValidList not empty [%s]", words);
		break;
	case RANGE_VOTERS:
		printf("ControllerQuorumVotersValidator non-empty list");
		break;
	case RANGE_SERVERS:
		printf("ControllerQuorumBootstrapServersValidator non-empty list");
		break;
	case RANGE_THROTTLED_REPLICAS:
		printf("ThrottledReplicaListValidator "
		       "[partitionId]:[brokerId],[partitionId]:[brokerId],...");
		break;
	case RANGE_OFFSET_RESET:
		printf("Validator [latest, earliest, by_duration:PnDTnHnMn.nS]");
		break;
	}
}

static void rows(void)
{
	static const char *const types[] = {"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG",
		"DOUBLE", "LIST", "CLASS", "PASSWORD"};
	static const char *const importances[] = {"HIGH", "MEDIUM", "LOW"};
	static const char *const scopes[] = {
		"read-only", "per-broker", "cluster-wide", "read-only", "dynamic"};

	for (unsigned id = 0; id < SETTING_COUNT; id++) {
		const struct setting *row = setting_row((enum setting_id)id);
		const char *resource = row->resource == CONFIG_RESOURCE_BROKER	? "broker"
				       : row->resource == CONFIG_RESOURCE_TOPIC ? "topic"
				       : row->resource == CONFIG_RESOURCE_GROUP ? "group"
										: "metrics";
		const char *fallback = row->required	   ? "(required)"
				       : row->default_text ? row->default_text
							   : "null";
		printf("%s\t%s\t%s\t%s\t", resource, row->name, types[row->type], fallback);
		print_range(row);
		printf("\t%s\t%s\t%s\t%s\n", importances[row->importance],
			row->resource == CONFIG_RESOURCE_TOPIC ? "dynamic" : scopes[row->scope],
			row->scope == SCOPE_INTERNAL ? "internal" : "",
			row->synonym == SETTING_NONE ? "" : setting_row(row->synonym)->name);
	}
}

static int split(char *line, char **ret_step)
{
	int count = 0;

	for (char *at = line; at; count++) {
		ensure(count < STEP_MAX);
		ret_step[count] = at;
		at = strchr(at, '\t');
		if (at)
			*at++ = '\0';
	}
	return count;
}

int main(void)
{
	char *line = NULL, *step[STEP_MAX];
	size_t room = 0;
	ssize_t size;

	arena_init(&scenario.arena, 256 << 20);
	while ((size = getline(&line, &room, stdin)) >= 0) {
		if (size > 0 && line[size - 1] == '\n')
			line[size - 1] = '\0';
		int count = split(line, step);
		if (strcmp(step[0], "scenario") == 0) {
			arena_reset(&scenario.arena);
			scenario.fixed.count = scenario.cluster.count = 0;
			scenario.broker.count = scenario.own.count = 0;
		} else if (strcmp(step[0], "static") == 0) {
			layer_add(&scenario.fixed, step[1]);
		} else if (strcmp(step[0], "cluster") == 0) {
			layer_add(&scenario.cluster, step[1]);
		} else if (strcmp(step[0], "broker") == 0) {
			layer_add(&scenario.broker, step[1]);
		} else if (strcmp(step[0], "own") == 0) {
			layer_add(&scenario.own, step[1]);
		} else if (strcmp(step[0], "start") == 0) {
			start();
		} else if (strcmp(step[0], "describe") == 0) {
			describe(step[1]);
		} else if (strcmp(step[0], "alter") == 0) {
			alter(step, count);
		} else if (strcmp(step[0], "rows") == 0) {
			rows();
		} else {
			printf("unknown step %s\n", step[0]);
		}
		fflush(stdout);
	}
	free(line);
	arena_done(&scenario.arena);
	return 0;
}
