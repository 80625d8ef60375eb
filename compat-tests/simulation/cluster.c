#include "cluster.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "inspection.h"
#include "rot.h"

const char *const harm_names[HARM_COUNT] = {"stop", "kill", "power", "disk-lies"};

/* ---- what it is ---- */

static bool chance(struct chooser *chooser, uint64_t one_in)
{
	return choose_below(chooser, one_in) == 0;
}

static unsigned pick_between(struct chooser *chooser, unsigned first, unsigned last)
{
	return (unsigned)choose_between(chooser, first, last);
}

static void model_init(struct cluster *cluster, struct chooser *chooser)
{
	struct model *model = &cluster->model;

	snprintf(model->topic.name, sizeof(model->topic.name), "main");
	model->topic.partition_count = pick_between(chooser, 1, 4);
	model->has_many_rolls = chance(chooser, 2);
	model->deletes_records = chance(chooser, 2);
	model->group_count = pick_between(chooser, 1, GROUPS_MAX);
	cluster->producer_count = pick_between(chooser, 1, 4);
	cluster->consumer_count = pick_between(chooser, 1, 2);
	cluster->member_count = chance(chooser, 3) ? 0 : pick_between(chooser, 1, 4);
	cluster->churner_count = chance(chooser, 2) ? 0 : pick_between(chooser, 1, 2);
	for (unsigned i = 0; i < cluster->producer_count; i++)
		if (chance(chooser, 3))
			model->history.promises[i] =
				chance(chooser, 2) ? PROMISE_AT_LEAST_ONCE : PROMISE_AT_MOST_ONCE;
	for (unsigned i = MODEL_PRODUCERS_MAX; i < PRODUCERS_MAX; i++)
		model->history.promises[i] = PROMISE_AT_LEAST_ONCE;
	for (unsigned i = 0; i < model->group_count; i++)
		group_history_init(&model->groups[i], &model->history, i);
}

void cluster_init(struct cluster *cluster, struct chooser *chooser,
	const struct run_options *options, struct run_result *result, enum harm harm,
	unsigned index)
{
	bool rots;

	memset(cluster, 0, sizeof(*cluster));
	cluster->chooser = chooser;
	cluster->result = result;
	cluster->harm = harm;
	cluster->index = index;
	cluster->shards = pick_between(chooser, 1, 8);
	if (options->shard_count)
		cluster->shards = options->shard_count;
	cluster->disk_free_at_ns = cluster->cut_heals_at_ns = UINT64_MAX;
	cluster->stop_at_ns = choose_between(chooser, NS_PER_S, 30 * NS_PER_S);
	/* After a power cut the recovery point that a reader saw may be an older one again. */
	rots = chance(chooser, 4) && harm < HARM_POWER;
	cluster->rot_at_ns = rots && !options->has_no_faults
				     ? choose_between(chooser, NS_PER_S / 2, 3 * NS_PER_S)
				     : UINT64_MAX;
	cluster->is_inspected = !rots && chance(chooser, 2);
	model_init(cluster, chooser);
	if (rots)
		cluster->model.has_many_rolls = true;
	cluster->model.coverage.events[EVENT_ONE_SHARD] += cluster->shards == 1;
	cluster->model.coverage.events[EVENT_EIGHT_SHARDS] += cluster->shards == 8;
	snprintf(cluster->options.address, sizeof(cluster->options.address), "10.%u.0.1", index);
	cluster->options.syncs_each_message = harm >= HARM_POWER;
	cluster->options.offsets_partitions = (int)pick_between(chooser, 1, 3);
	/* So little that checkpoints follow each other, or so much that there are those of the time alone. */
	cluster->options.backlog_bytes_max = cluster->stop_at_ns % 2 ? 8192 : 0;
	cluster->options.rebalance_delay_ms = (int)choose_below(chooser, 2) * 500;
	/* What rots is judged by the segment, and what is only compacted is not cut from the front. */
	cluster->model.history.is_compacted = cluster->model.has_many_rolls &&
					      !cluster->model.deletes_records && !rots &&
					      chance(chooser, 2);
	cluster->model.coverage.events[EVENT_COMPACTED] += cluster->model.history.is_compacted;
	cluster->options.is_verbose = options->is_verbose;
	cluster->program = (struct program){
		.start = node_start, .stop = node_stop, .argument = &cluster->options};
	ensure(address_parse(cluster->options.address, &cluster->model.broker));
	cluster->model.broker.port = NODE_PORT;
}

void cluster_done(struct cluster *cluster)
{
	for (unsigned i = 0; i < cluster->model.group_count; i++)
		group_history_done(&cluster->model.groups[i]);
	history_done(&cluster->model.history);
}

void cluster_describe(const struct cluster *cluster, char *text, size_t size)
{
	const struct model *model = &cluster->model;
	size_t used = strlen(text);

	snprintf(text + used, size - used,
		"; node %u: %u shards, %u partitions, %u producers, %u consumers, %u members of "
		"%u groups, %u churners%s%s%s%s",
		cluster->index, cluster->shards, model->topic.partition_count,
		cluster->producer_count, cluster->consumer_count, cluster->member_count,
		model->group_count, cluster->churner_count,
		model->has_many_rolls ? ", small segments" : "",
		model->deletes_records ? ", DeleteRecords" : "",
		model->history.is_compacted ? ", compaction" : "",
		cluster->rot_at_ns != UINT64_MAX ? ", rot" : "");
}

/* ---- its life ---- */

static void client_start(struct cluster *cluster, const char *kind, unsigned index,
	void (*start)(struct shard *shard, void *argument))
{
	unsigned place = cluster->client_count++;
	struct program program = {.start = start, .argument = &cluster->arguments[place]};
	char name[32], address[32];

	ensure(place < CLUSTER_CLIENTS_MAX);
	snprintf(name, sizeof(name), "%s-%u-%u", kind, cluster->index, index);
	snprintf(address, sizeof(address), "10.%u.1.%u", cluster->index, place + 1);
	cluster->arguments[place] = (struct model_client){.model = &cluster->model, .index = index};
	cluster->clients[place] = world_host_new(cluster->world, name, address);
	host_start(cluster->clients[place], 1, &program);
}

/* When the next crash comes, and how. */
static void crash_plan(struct cluster *cluster)
{
	/* A start makes a hundred changes; some crashes are in it, and some long behind it. */
	static const uint64_t spans[] = {150, 600, 1500, 4000};
	enum crash how = CRASH_PROCESS;
	uint64_t span = spans[choose_below(cluster->chooser, array_length(spans))];

	if (cluster->harm == HARM_NONE || cluster->is_calm)
		return;
	if (cluster->harm == HARM_POWER ||
		(cluster->harm == HARM_DISK_LIES && chance(cluster->chooser, 2)))
		how = CRASH_POWER;
	cluster->crash_how = how;
	host_crash_at_change(cluster->node, choose_between(cluster->chooser, 1, span), how);
}

static void node_run(struct cluster *cluster)
{
	host_start(cluster->node, cluster->shards, &cluster->program);
	cluster->result->restarts++;
	crash_plan(cluster);
}

void cluster_start(struct cluster *cluster, struct world *world)
{
	char name[16];

	cluster->world = world;
	snprintf(name, sizeof(name), "node-%u", cluster->index);
	cluster->node = world_host_new(world, name, cluster->options.address);
	node_run(cluster);
	client_start(cluster, "creator", 0, model_creator_start);
}

void cluster_clients_start(struct cluster *cluster)
{
	struct model *model = &cluster->model;

	model->producers_running = cluster->producer_count + cluster->churner_count;
	for (unsigned i = 0; i < cluster->producer_count; i++)
		client_start(cluster, "producer", i, model_producer_start);
	for (unsigned i = 0; i < cluster->consumer_count; i++)
		client_start(cluster, "consumer", i, model_consumer_start);
	for (unsigned i = 0; i < cluster->churner_count; i++)
		client_start(cluster, "churner", i, model_churner_start);
	for (unsigned i = 0; i < cluster->member_count; i++)
		client_start(cluster, "member", i, model_member_start);
	if (model->deletes_records)
		client_start(cluster, "trimmer", 0, model_trimmer_start);
}

void cluster_clients_describe(const struct cluster *cluster, char *text, size_t size)
{
	size_t used = strlen(text);

	for (unsigned i = 0; i < cluster->client_count && used < size; i++)
		if (host_is_running(cluster->clients[i]))
			used += (size_t)snprintf(
				text + used, size - used, " %s", host_name(cluster->clients[i]));
}

bool cluster_clients_have_ended(const struct cluster *cluster)
{
	for (unsigned i = 0; i < cluster->client_count; i++)
		if (host_is_running(cluster->clients[i]))
			return false;
	return true;
}

static void node_inspect(struct cluster *cluster)
{
	char why[VIOLATION_SIZE] = "";
	struct disk *disk;

	if (!cluster->is_inspected || cluster_has_failed(cluster))
		return;
	disk = host_disk_copy(cluster->node);
	cluster->model.coverage.events[EVENT_INSPECTION]++;
	if (!inspection_run(disk, cluster->model.deletes_records,
		    cluster->model.history.is_compacted, why, sizeof(why)))
		history_violation(&cluster->model.history, "%s", why);
	disk_free(disk);
}

/* The process is gone, and with it what it only remembered. */
static void node_ended(struct cluster *cluster)
{
	struct model *model = &cluster->model;
	uint64_t *events = model->coverage.events;

	/* Nothing but a failing disk is a reason to give up. */
	if (host_exit_status(cluster->node) > 0 && cluster->harm != HARM_DISK_LIES)
		history_violation(&model->history, "the node gave up with status %d",
			host_exit_status(cluster->node));
	model->lives++;
	for (unsigned i = 0; i < model->group_count; i++)
		group_history_end(&model->groups[i]);
	if (host_exit_status(cluster->node) != 0) {
		events[host_exit_status(cluster->node) > 0	? EVENT_GAVE_UP
			: cluster->crash_how == CRASH_POWER ? EVENT_POWER_CUT
							    : EVENT_KILL]++;
		model->crashes++;
		if (cluster->harm == HARM_DISK_LIES)
			history_starts_forget(&model->history);
		if (chance(cluster->chooser, 4))
			node_inspect(cluster);
	} else {
		events[EVENT_CLEAN_STOP]++;
	}
	cluster->restart_at_ns =
		world_now_ns(cluster->world) + 1 + choose_below(cluster->chooser, 2 * NS_PER_S);
}

/* The disk is full for a while; when the node has gone for that, somebody makes room. */
static void disk_fill(struct cluster *cluster, uint64_t now_ns)
{
	struct disk *disk;

	if (cluster->disk_free_at_ns != UINT64_MAX) {
		if (now_ns < cluster->disk_free_at_ns)
			return;
		host_disk_capacity_set(cluster->node, 1ull << 40);
		cluster->disk_free_at_ns = UINT64_MAX;
	} else if (cluster->harm == HARM_DISK_LIES && chance(cluster->chooser, 2000)) {
		disk = host_disk_copy(cluster->node);
		host_disk_capacity_set(cluster->node,
			disk_used_bytes(disk) + choose_below(cluster->chooser, 100000));
		disk_free(disk);
		cluster->disk_free_at_ns = now_ns + choose_below(cluster->chooser, 3 * NS_PER_S);
		cluster->model.coverage.events[EVENT_FULL_DISK]++;
	}
}

static void network_cut(struct cluster *cluster, uint64_t now_ns)
{
	if (cluster->cut_heals_at_ns != UINT64_MAX) {
		if (now_ns < cluster->cut_heals_at_ns)
			return;
		world_partition(cluster->world, cluster->node, cluster->cut_client, false);
		cluster->cut_heals_at_ns = UINT64_MAX;
	} else if (cluster->harm != HARM_NONE && chance(cluster->chooser, 1000)) {
		cluster->cut_client =
			cluster->clients[choose_below(cluster->chooser, cluster->client_count)];
		world_partition_one_way(cluster->world, cluster->node, cluster->cut_client, true);
		if (chance(cluster->chooser, 2))
			world_partition_one_way(
				cluster->world, cluster->cut_client, cluster->node, true);
		cluster->cut_heals_at_ns = now_ns + choose_below(cluster->chooser, 10 * NS_PER_S);
		cluster->model.coverage.events[EVENT_CUT]++;
	}
}

static void harm_do(struct cluster *cluster, uint64_t now_ns)
{
	disk_fill(cluster, now_ns);
	network_cut(cluster, now_ns);
	/* Now and then it is stopped as an operator stops it. */
	if (now_ns >= cluster->stop_at_ns) {
		cluster->stop_at_ns =
			now_ns + choose_between(cluster->chooser, NS_PER_S, 30 * NS_PER_S);
		host_terminate(cluster->node);
	}
	if (now_ns >= cluster->rot_at_ns && cluster->rots < ROTS_MAX) {
		cluster->rot_at_ns =
			now_ns + choose_between(cluster->chooser, NS_PER_S / 2, 3 * NS_PER_S);
		cluster->rots += rot_do(cluster->node, &cluster->model, cluster->chooser);
	}
}

void cluster_look_after(struct cluster *cluster)
{
	uint64_t now_ns = world_now_ns(cluster->world);

	if (host_is_running(cluster->node)) {
		cluster->restart_at_ns = 0;
	} else if (cluster->restart_at_ns == 0) {
		node_ended(cluster);
	} else if (now_ns >= cluster->restart_at_ns) {
		cluster->restart_at_ns = 0;
		node_run(cluster);
	}
	if (!cluster->is_calm)
		harm_do(cluster, now_ns);
}

/* ---- its end ---- */

void cluster_calm(struct cluster *cluster)
{
	cluster->model.is_draining = true;
	cluster->is_calm = true;
	host_disk_capacity_set(cluster->node, 1ull << 40);
	if (cluster->cut_client)
		world_partition(cluster->world, cluster->node, cluster->cut_client, false);
	host_crash_at_change(cluster->node, 0, CRASH_PROCESS);
}

void cluster_stop(struct cluster *cluster)
{
	host_terminate(cluster->node);
}

void cluster_stopped(struct cluster *cluster)
{
	if (host_is_running(cluster->node))
		history_violation(
			&cluster->model.history, "a clean stop took over %d s", RUN_STOP_LIMIT_S);
	else if (host_exit_status(cluster->node) != 0)
		history_violation(&cluster->model.history, "a clean stop exited with %d",
			host_exit_status(cluster->node));
	else
		node_inspect(cluster);
}

void cluster_scan_start(struct cluster *cluster)
{
	client_start(cluster, "scan", 0, model_scan_start);
}
