#include "node.h"

#include <stdio.h>
#include <stdlib.h>

#include "broker/broker.h"

/* Of one process. */
struct node {
	const struct node_options *options;
	struct shard *shard; /* for the clock of log lines */
	struct config *config;
	struct broker *broker;
};

static void node_log(void *context, enum log_level level, const char *line, size_t size)
{
	const struct node *node = context;

	if (node->options->is_verbose)
		fwrite(line, 1, size, stderr);
}

static int64_t node_clock(void *context)
{
	const struct node *node = context;

	return shard_wall_ms(node->shard);
}

/* What differs from a node that is started without a configuration. */
static struct config *node_config(void)
{
	static struct config_entry entries[] = {
		{STR("listeners"), STR("PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093")},
		{STR("advertised.listeners"), STR("PLAINTEXT://10.0.0.1:9092")},
		{STR("log.dirs"), STR("/data")},
	};
	struct config_entries overrides = {entries, array_length(entries)};
	struct config_report report;
	struct config *config = NULL;

	config_report_init(&report);
	if (config_new_embedded(&overrides, &report, &config) != 0) {
		for (const struct config_finding *finding = report.first; finding;
			finding = finding->next)
			fprintf(stderr, "%.*s: %.*s\n", STR_ARGS(finding->name),
				STR_ARGS(finding->text));
		ensure(false);
	}
	config_report_done(&report);
	return config;
}

void node_start(struct shard *shard, void *argument)
{
	struct node *node = calloc(1, sizeof(*node));
	struct broker_options options = {
		.format_if_empty = true,
		.working_folder = "/",
		.sink = node_log,
		.clock = node_clock,
		.sink_context = node,
	};
	struct program program;

	ensure(node);
	node->options = argument;
	node->shard = shard;
	node->config = node_config();
	options.config = node->config;
	ensure(broker_new(&options, &node->broker) == 0);
	node->broker->authorizer = node->options->authorizer;
	program = broker_program(node->broker);
	program.start(shard, program.argument);
}

/* The broker's own shard context leads back to it. */
void node_stop(struct shard *shard, void *argument)
{
	struct broker_shard *home = broker_shard_of(shard);
	struct program program;

	/* Before the broker has begun there is nothing to stop. */
	if (!home) {
		machine_exit(shard, 0);
		return;
	}
	program = broker_program(home->broker);
	program.stop(shard, program.argument);
}
