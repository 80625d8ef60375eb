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
	char listeners[96], advertised[64], offsets_partitions[16], rebalance_delay[16];
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
static struct config *node_config(struct node *node)
{
	const struct node_options *options = node->options;
	struct config_entry entries[] = {
		{STR("listeners"), {node->listeners, 0}},
		{STR("advertised.listeners"), {node->advertised, 0}},
		{STR("log.dirs"), STR(NODE_DATA)},
		{STR("offsets.topic.num.partitions"), {node->offsets_partitions, 0}},
		{STR("group.initial.rebalance.delay.ms"), {node->rebalance_delay, 0}},
		{STR("group.min.session.timeout.ms"), STR("500")},
		{STR("log.retention.check.interval.ms"), STR("300")},
		/* Clocks jump by days in a run; that a producer is forgotten after one is no bug. */
		{STR("producer.id.expiration.ms"), STR("2147483647")},
		{STR("log.cleaner.backoff.ms"), STR("200")},
		{STR("log.cleaner.dedupe.buffer.size"), STR("2000000")},
		{STR("log.flush.interval.messages"), STR("1")},
	};
	struct config_entries overrides = {
		entries, array_length(entries) - (options->syncs_each_message ? 0 : 1)};
	struct config_report report;
	struct config *config = NULL;

	entries[0].value.size = snprintf(node->listeners, sizeof(node->listeners),
		"PLAINTEXT://0.0.0.0:%d,CONTROLLER://127.0.0.1:9093", NODE_PORT);
	entries[1].value.size =
		snprintf(node->advertised, sizeof(node->advertised), "PLAINTEXT://%s:%d",
			options->address[0] ? options->address : "10.0.0.1", NODE_PORT);
	entries[3].value.size = snprintf(node->offsets_partitions, sizeof(node->offsets_partitions),
		"%d", max_of(options->offsets_partitions, 1));
	entries[4].value.size = snprintf(node->rebalance_delay, sizeof(node->rebalance_delay), "%d",
		options->rebalance_delay_ms);
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
	node->config = node_config(node);
	options.config = node->config;
	options.backlog_bytes_max = node->options->backlog_bytes_max;
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
