#include "run.h"

#include <inttypes.h>
#include <stdlib.h>

#include "model.h"
#include "protocol/errors.h"
#include "runtime/simulated/choose.h"

enum { CONSUMERS_MAX = 3, CLIENTS_MAX = PRODUCERS_MAX + CONSUMERS_MAX + 2 };

/* What may happen to the node. */
enum harm {
	HARM_NONE,	/* clean stops only */
	HARM_KILL,	/* the process dies */
	HARM_POWER,	/* the power goes; every message is synced */
	HARM_DISK_LIES, /* EIO and ENOSPC besides, and either crash; every message is synced */
	HARM_COUNT,
};

static const char *const harm_names[HARM_COUNT] = {"stop", "kill", "power", "disk-lies"};

struct run {
	const struct run_options *options;
	struct run_result *result;
	struct chooser chooser; /* for what the run is; the world has its own */
	struct world_options faults;
	struct world *world;
	struct model model;
	enum harm harm;
	unsigned node_shards;
	struct host *node;
	uint64_t restart_at_ns; /* 0: it runs */
	bool is_calm;		/* nothing is broken on purpose any more */
	unsigned client_count;
	struct host *clients[CLIENTS_MAX];
	struct model_client arguments[CLIENTS_MAX];
};

static void run_set_up(struct run *run)
{
	struct chooser *chooser = &run->chooser;
	struct world_options *faults = &run->faults;
	unsigned producers = 1 + (unsigned)choose_below(chooser, 4);
	unsigned partitions = 1 + (unsigned)choose_below(chooser, 4);

	run->harm = (enum harm)choose_below(chooser, HARM_COUNT);
	run->node_shards = 1 + (unsigned)choose_below(chooser, run->options->node_shards_max);
	if (run->options->shard_count)
		run->node_shards = run->options->shard_count;
	faults->seed = run->options->seed;
	faults->network_delay_max_ns = choose_between(chooser, 10000, 20000000);
	faults->disk_delay_max_ns = choose_between(chooser, 10000, 10000000);
	if (choose_below(chooser, 2) == 0)
		faults->network_reset_ppm = 2000;
	if (choose_below(chooser, 2) == 0)
		faults->network_short_ppm = 200000;
	if (choose_below(chooser, 2) == 0)
		faults->cold_read_ppm = 300000;
	if (choose_below(chooser, 4) == 0)
		faults->clock_jump_ppm = 1000;
	if (choose_below(chooser, 3) == 0) {
		faults->stall_ppm = 2000;
		faults->stall_max_ns = 200 * NS_PER_MS;
	}
	faults->disk_write_out_ppm = 50000;
	if (run->harm == HARM_DISK_LIES) {
		faults->disk_error_ppm = 300;
		faults->disk_full_ppm = 300;
	}
	if (run->options->has_no_faults) {
		*faults = (struct world_options){.seed = run->options->seed,
			.network_delay_max_ns = 1000000,
			.disk_delay_max_ns = 1000000};
		run->harm = HARM_NONE;
	}
	history_init(&run->model.history, partitions, producers);
	run->model.syncs_each_message = run->harm >= HARM_POWER;
	snprintf(run->result->setting, sizeof(run->result->setting),
		"harm %s, %u shards, %u partitions, %u producers, network <= %" PRIu64
		" us%s%s, disk <= %" PRIu64 " us%s%s%s",
		harm_names[run->harm], run->node_shards, partitions, producers,
		faults->network_delay_max_ns / 1000, faults->network_reset_ppm ? ", resets" : "",
		faults->network_short_ppm ? ", short moves" : "", faults->disk_delay_max_ns / 1000,
		faults->cold_read_ppm ? ", cold reads" : "",
		faults->clock_jump_ppm ? ", clock jumps" : "", faults->stall_ppm ? ", stalls" : "");
}

static void run_node_start(struct run *run)
{
	host_start(run->node, run->node_shards, &run->options->node);
	run->result->restarts++;
}

static void client_start(struct run *run, const char *kind, unsigned index,
	void (*start)(struct shard *shard, void *argument))
{
	unsigned place = run->client_count++;
	struct program program = {.start = start, .argument = &run->arguments[place]};
	char name[32], address[32];

	ensure(place < CLIENTS_MAX);
	snprintf(name, sizeof(name), "%s-%u", kind, index);
	snprintf(address, sizeof(address), "10.0.1.%u", place + 1);
	run->arguments[place] = (struct model_client){.model = &run->model, .index = index};
	run->clients[place] = world_host_new(run->world, name, address);
	host_start(run->clients[place], 1, &program);
}

/* When the next crash comes, and how. */
static void crash_plan(struct run *run)
{
	enum crash how = CRASH_PROCESS;

	if (run->harm == HARM_NONE)
		return;
	if (run->harm == HARM_POWER ||
		(run->harm == HARM_DISK_LIES && choose_below(&run->chooser, 2) == 0))
		how = CRASH_POWER;
	host_crash_at_change(run->node, choose_between(&run->chooser, 1, 400), how);
}

/* A node that ended, for whatever reason, comes back after a while. */
static void node_look_after(struct run *run)
{
	uint64_t now_ns = world_now_ns(run->world);

	if (host_is_running(run->node)) {
		run->restart_at_ns = 0;
	} else if (run->restart_at_ns == 0) {
		run->result->crashes += host_exit_status(run->node) != 0;
		run->restart_at_ns = now_ns + 1 + choose_below(&run->chooser, 2 * NS_PER_S);
	} else if (now_ns >= run->restart_at_ns) {
		run->restart_at_ns = 0;
		run_node_start(run);
		if (!run->is_calm)
			crash_plan(run);
	}
}

static bool run_has_failed(const struct run *run)
{
	return run->model.history.violation[0] != '\0';
}

static bool clients_have_ended(void *argument)
{
	const struct run *run = argument;

	for (unsigned i = 0; i < run->client_count; i++)
		if (host_is_running(run->clients[i]))
			return false;
	return true;
}

/* Time passes in small slices, between which a node that ended is started again. */
static void run_slice(struct run *run)
{
	world_run_until(run->world, clients_have_ended, run, 5 * NS_PER_MS);
	node_look_after(run);
}

/* A run that hangs is a violation. */
static void run_until_clients_end(struct run *run, uint64_t limit_s, const char *what)
{
	uint64_t end_ns = world_now_ns(run->world) + limit_s * NS_PER_S;

	while (!clients_have_ended(run) && !run_has_failed(run)) {
		if (world_now_ns(run->world) > end_ns)
			history_violation(&run->model.history,
				"%s did not end in %" PRIu64 " s; the last error was %s of %s",
				what, limit_s, kafka_error_name(run->model.last_error),
				run->model.last_error_of ? run->model.last_error_of : "nobody");
		run_slice(run);
	}
}

static void run_workload(struct run *run)
{
	unsigned consumers = 1 + (unsigned)choose_below(&run->chooser, CONSUMERS_MAX);
	uint64_t stop_at_steps = UINT64_MAX;

	run_node_start(run);
	crash_plan(run);
	client_start(run, "admin", 0, model_admin_start);
	run_until_clients_end(run, 900, "making the topic");
	if (run_has_failed(run))
		return;
	run->model.producers_running = run->model.history.producer_count;
	run->model.consumers_running = consumers;
	for (unsigned i = 0; i < run->model.history.producer_count; i++)
		client_start(run, "producer", i, model_producer_start);
	for (unsigned i = 0; i < consumers; i++)
		client_start(run, "consumer", i, model_consumer_start);
	while (world_steps(run->world) < run->options->steps && !run_has_failed(run)) {
		run_slice(run);
		/* Now and then it is stopped as an operator stops it. */
		if (stop_at_steps == UINT64_MAX)
			stop_at_steps = world_steps(run->world) +
					choose_between(&run->chooser, 5000, 100000);
		if (world_steps(run->world) >= stop_at_steps) {
			host_terminate(run->node);
			stop_at_steps = UINT64_MAX;
		}
	}
}

/* No more faults; what was begun is finished; a clean stop and start; the scan. */
static void run_finish(struct run *run)
{
	struct world_options calm = {.network_delay_max_ns = NS_PER_MS,
		.disk_delay_max_ns = NS_PER_MS,
		.network_short_ppm = run->faults.network_short_ppm};

	run->model.is_draining = true;
	run->is_calm = true;
	world_options_set(run->world, &calm);
	host_crash_at_change(run->node, 0, CRASH_PROCESS);
	run_until_clients_end(run, 900, "draining");
	if (run_has_failed(run))
		return;
	if (host_is_running(run->node)) {
		uint64_t end_ns = world_now_ns(run->world) + 300 * NS_PER_S;

		host_terminate(run->node);
		while (host_is_running(run->node) && world_now_ns(run->world) < end_ns)
			world_run_until(run->world, NULL, NULL, NS_PER_MS);
		if (host_is_running(run->node))
			history_violation(&run->model.history, "a clean stop took over 300 s");
		else if (host_exit_status(run->node) != 0)
			history_violation(&run->model.history, "a clean stop exited with %d",
				host_exit_status(run->node));
	}
	client_start(run, "scan", 0, model_scan_start);
	run_until_clients_end(run, 900, "the scan");
}

void run_seed(const struct run_options *options, struct run_result *ret_result)
{
	struct run *run = calloc(1, sizeof(*run));

	ensure(run);
	memset(ret_result, 0, sizeof(*ret_result));
	run->options = options;
	run->result = ret_result;
	chooser_init(&run->chooser, options->seed ^ 0x5eed);
	run_set_up(run);
	run->world = world_new(&run->faults);
	world_trace_to(run->world, options->trace);
	run->node = world_host_new(run->world, "node", "10.0.0.1");
	ensure(address_parse("10.0.0.1", &run->model.broker));
	run->model.broker.port = options->port;
	run_workload(run);
	if (!run_has_failed(run))
		run_finish(run);
	ret_result->hash = world_trace_hash(run->world);
	ret_result->steps = world_steps(run->world);
	ret_result->virtual_ms = world_now_ns(run->world) / NS_PER_MS;
	ret_result->requests = run->model.requests;
	ret_result->attempted = run->model.history.attempted;
	ret_result->acknowledged = run->model.history.acknowledged;
	ret_result->read = run->model.history.read;
	ret_result->duplicates = run->model.duplicates;
	ret_result->retriable_errors = run->model.retriable_errors;
	ret_result->broken_connections = run->model.broken_connections;
	snprintf(ret_result->violation, sizeof(ret_result->violation), "%s",
		run->model.history.violation);
	world_free(run->world);
	history_done(&run->model.history);
	free(run);
}
