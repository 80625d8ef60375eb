#include "run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "protocol/errors.h"

#define SLOW_DISK_DELAY_NS (500 * NS_PER_MS)

struct run {
	const struct run_options *options;
	struct run_result *result;
	struct chooser chooser; /* for what the run is; the world has its own */
	struct world_options faults;
	struct world *world;
	unsigned cluster_count;
	struct cluster clusters[RUN_NODES_MAX];
};

static void faults_draw(struct run *run, enum harm harm)
{
	struct chooser *chooser = &run->chooser;
	struct world_options *faults = &run->faults;

	faults->seed = run->options->seed;
	faults->network_delay_max_ns = choose_between(chooser, 10000, 20000000);
	faults->disk_delay_max_ns = choose_between(chooser, 10000, 10000000);
	/* A disk that is slow now and then. */
	if (choose_below(chooser, 4) == 0)
		faults->disk_delay_max_ns = SLOW_DISK_DELAY_NS;
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
	if (harm == HARM_DISK_LIES) {
		faults->disk_error_ppm = 300;
		faults->disk_sync_error_ppm = 3000;
		faults->disk_full_ppm = 300;
	}
	if (run->options->has_no_faults)
		*faults = (struct world_options){.seed = run->options->seed,
			.network_delay_max_ns = 1000000,
			.disk_delay_max_ns = 1000000};
}

static void run_set_up(struct run *run)
{
	struct chooser *chooser = &run->chooser;
	const struct world_options *faults = &run->faults;
	enum harm harm = (enum harm)choose_below(chooser, HARM_COUNT);
	char *setting = run->result->setting;

	if (run->options->has_no_faults)
		harm = HARM_NONE;
	faults_draw(run, harm);
	run->cluster_count =
		choose_below(chooser, 4) > 0 ? 1 : 2 + (unsigned)choose_below(chooser, 2);
	if (run->options->node_count)
		run->cluster_count = run->options->node_count;
	run->result->coverage.events[EVENT_NEIGHBOURS] += run->cluster_count > 1;
	run->result->coverage.events[EVENT_SLOW_DISK] +=
		faults->disk_delay_max_ns == SLOW_DISK_DELAY_NS;
	snprintf(setting, RUN_TEXT_SIZE,
		"harm %s, network <= %" PRIu64 " us%s%s, disk <= %" PRIu64 " us%s%s%s",
		harm_names[harm], faults->network_delay_max_ns / 1000,
		faults->network_reset_ppm ? ", resets" : "",
		faults->network_short_ppm ? ", short moves" : "", faults->disk_delay_max_ns / 1000,
		faults->cold_read_ppm ? ", cold reads" : "",
		faults->clock_jump_ppm ? ", clock jumps" : "", faults->stall_ppm ? ", stalls" : "");
	for (unsigned i = 0; i < run->cluster_count; i++) {
		cluster_init(&run->clusters[i], chooser, run->options, run->result, harm, i);
		cluster_describe(&run->clusters[i], setting, RUN_TEXT_SIZE);
	}
}

static const struct cluster *run_failed(const struct run *run)
{
	for (unsigned i = 0; i < run->cluster_count; i++)
		if (cluster_has_failed(&run->clusters[i]))
			return &run->clusters[i];
	return NULL;
}

static bool clients_have_ended(void *argument)
{
	const struct run *run = argument;

	for (unsigned i = 0; i < run->cluster_count; i++)
		if (!cluster_clients_have_ended(&run->clusters[i]))
			return false;
	return true;
}

/* Time passes in small slices, between which the nodes are looked after. */
static void run_slice(struct run *run)
{
	world_run_until(run->world, clients_have_ended, run, 5 * NS_PER_MS);
	for (unsigned i = 0; i < run->cluster_count; i++)
		cluster_look_after(&run->clusters[i]);
}

/* A run that hangs is a violation. */
static void cluster_hangs(struct cluster *cluster, uint64_t limit_s, const char *what)
{
	struct model *model = &cluster->model;
	char names[VIOLATION_SIZE / 2] = "";

	if (cluster_clients_have_ended(cluster))
		return;
	cluster_clients_describe(cluster, names, sizeof(names));
	history_violation(&model->history,
		"%s did not end in %" PRIu64 " s;%s still run; the last error was %s of %s", what,
		limit_s, names, kafka_error_name(model->last_error),
		model->last_error_of ? model->last_error_of : "nobody");
}

static void run_until_clients_end(struct run *run, uint64_t limit_s, const char *what)
{
	uint64_t end_ns = world_now_ns(run->world) + limit_s * NS_PER_S;

	while (!clients_have_ended(run) && !run_failed(run)) {
		for (unsigned i = 0; world_now_ns(run->world) > end_ns && i < run->cluster_count;
			i++)
			cluster_hangs(&run->clusters[i], limit_s, what);
		run_slice(run);
	}
}

static void run_workload(struct run *run)
{
	for (unsigned i = 0; i < run->cluster_count; i++)
		cluster_start(&run->clusters[i], run->world);
	run_until_clients_end(run, 900, "making the topic");
	if (run_failed(run))
		return;
	for (unsigned i = 0; i < run->cluster_count; i++)
		cluster_clients_start(&run->clusters[i]);
	while (world_steps(run->world) < run->options->steps && !run_failed(run))
		run_slice(run);
}

static bool nodes_have_ended(void *argument)
{
	const struct run *run = argument;

	for (unsigned i = 0; i < run->cluster_count; i++)
		if (host_is_running(run->clusters[i].node))
			return false;
	return true;
}

static bool nodes_run(const struct run *run)
{
	for (unsigned i = 0; i < run->cluster_count; i++)
		if (!host_is_running(run->clusters[i].node))
			return false;
	return true;
}

/* No more faults; what was begun is finished; a clean stop and start; the scan. */
static void run_finish(struct run *run)
{
	struct world_options calm = {.network_delay_max_ns = NS_PER_MS,
		.disk_delay_max_ns = NS_PER_MS,
		.network_short_ppm = run->faults.network_short_ppm};

	world_options_set(run->world, &calm);
	for (unsigned i = 0; i < run->cluster_count; i++)
		cluster_calm(&run->clusters[i]);
	run_until_clients_end(run, 900, "draining");
	while (!nodes_run(run) && !run_failed(run))
		run_slice(run);
	if (run_failed(run))
		return;
	for (unsigned i = 0; i < run->cluster_count; i++)
		cluster_stop(&run->clusters[i]);
	world_run_until(run->world, nodes_have_ended, run, RUN_STOP_LIMIT_S * NS_PER_S);
	for (unsigned i = 0; i < run->cluster_count; i++)
		cluster_stopped(&run->clusters[i]);
	if (run_failed(run))
		return;
	for (unsigned i = 0; i < run->cluster_count; i++)
		cluster_scan_start(&run->clusters[i]);
	run_until_clients_end(run, 900, "the scan");
}

static void result_add(struct run_result *result, const struct cluster *cluster)
{
	const struct model *model = &cluster->model;

	result->requests += model->requests;
	result->attempted += model->history.attempted;
	result->acknowledged += model->history.acknowledged;
	result->read += model->history.read;
	result->duplicates += model->history.duplicates;
	result->retriable_errors += model->retriable_errors;
	result->broken_connections += model->broken_connections;
	result->topics_deleted += model->topics_deleted;
	result->starts_moved += model->starts_moved;
	result->rebalances += model->rebalances;
	result->commits += model->commits;
	coverage_add(&result->coverage, &model->coverage);
}

void run_seed(const struct run_options *options, struct run_result *ret_result)
{
	struct run *run = calloc(1, sizeof(*run));
	const struct cluster *failed;

	ensure(run);
	memset(ret_result, 0, sizeof(*ret_result));
	run->options = options;
	run->result = ret_result;
	chooser_init(&run->chooser, options->seed ^ 0x5eed);
	run_set_up(run);
	run->world = world_new(&run->faults);
	world_trace_to(run->world, options->trace);
	run_workload(run);
	if (!run_failed(run))
		run_finish(run);
	ret_result->hash = world_trace_hash(run->world) ^ run->chooser.hash;
	ret_result->steps = world_steps(run->world);
	ret_result->virtual_ms = world_now_ns(run->world) / NS_PER_MS;
	failed = run_failed(run);
	if (failed)
		snprintf(ret_result->violation, sizeof(ret_result->violation), "node %u: %s",
			failed->index, failed->model.history.violation);
	for (unsigned i = 0; i < run->cluster_count; i++)
		result_add(ret_result, &run->clusters[i]);
	for (unsigned i = 0; i < FAULT_COUNT; i++)
		ret_result->coverage.faults[i] = world_fault_count(run->world, (enum fault)i);
	world_free(run->world);
	for (unsigned i = 0; i < run->cluster_count; i++)
		cluster_done(&run->clusters[i]);
	free(run);
}
