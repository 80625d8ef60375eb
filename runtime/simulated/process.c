/* A process of a simulated host: its shards, its clock, its end. */
#include <errno.h>
#include <stdlib.h>

#include "runtime/simulated/world_internal.h"

#define CLOCK_JUMP_MAX_MS 3600000ll

static void runnable_add(struct world *world, struct process_shard *shard)
{
	if (shard->runnable_place)
		return;
	if (world->runnable_count == world->runnable_capacity) {
		world->runnable_capacity = max_of(16u, world->runnable_capacity * 2);
		world->runnable = world_realloc(
			world->runnable, world->runnable_capacity * sizeof(*world->runnable));
	}
	world->runnable[world->runnable_count++] = shard;
	shard->runnable_place = world->runnable_count;
}

static void runnable_remove(struct world *world, struct process_shard *shard)
{
	unsigned place = shard->runnable_place;
	struct process_shard *last;

	if (!place)
		return;
	last = world->runnable[--world->runnable_count];
	world->runnable[place - 1] = last;
	last->runnable_place = place;
	shard->runnable_place = 0;
}

void process_touch(struct process_shard *shard)
{
	struct machine *process = shard->process;
	struct world *world = process->world;
	uint64_t deadline_ns;

	/* While it runs its state is in motion; shard_step looks again when it ended. */
	if (shard->stalled || world->running == shard) {
		if (shard->stalled)
			runnable_remove(world, shard);
		return;
	}
	deadline_ns = shard_next_deadline_ns(&shard->base);
	if (deadline_ns != UINT64_MAX)
		deadline_ns = deadline_ns > process->clock_base_ns
				      ? deadline_ns - process->clock_base_ns
				      : 0;
	if (shard_has_tasks(&shard->base) || shard->inbox_task_count > 0 ||
		deadline_ns <= world->now_ns)
		runnable_add(world, shard);
	else
		runnable_remove(world, shard);
	if (deadline_ns == UINT64_MAX || deadline_ns <= world->now_ns)
		event_cancel(&world->events, &shard->wake);
	else if (!event_is_scheduled(&shard->wake) || shard->wake.time_ns != deadline_ns)
		event_schedule(&world->events, &shard->wake, deadline_ns);
}

static void shard_wake(struct world *world, struct event *event)
{
	struct process_shard *shard = container_of(event, struct process_shard, wake);

	shard->stalled = false;
	process_touch(shard);
}

void process_wait_start(struct machine *process, struct process_wait *wait,
	void (*fire)(struct world *world, struct event *event), uint64_t delay_ns)
{
	wait->process = process;
	wait->event.fire = fire;
	if (!list_node_is_linked(&wait->node))
		list_push_back(&process->waits, &wait->node);
	event_schedule(&process->world->events, &wait->event, process->world->now_ns + delay_ns);
}

void process_wait_end(struct process_wait *wait)
{
	list_remove(&wait->node);
	event_cancel(&wait->process->world->events, &wait->event);
}

static void process_send(struct shard *from, unsigned to, struct task *task)
{
	struct process_shard *target = &process_of(from)->shards[to];

	list_push_back(&target->inboxes[from->index], &task->node);
	target->inbox_task_count++;
	process_touch(target);
}

static int64_t process_wall_ms(const struct shard *shard)
{
	struct host *host = process_of(shard)->host;
	struct chooser *chooser = &host->world->chooser;

	if (choose_fault(chooser, FAULT_CLOCK_JUMP, host->world->options.clock_jump_ppm))
		host_clock_jump(host,
			(int64_t)choose_below(chooser, 2 * CLOCK_JUMP_MAX_MS) - CLOCK_JUMP_MAX_MS);
	return host_wall_ms(host);
}

static void process_entropy(struct shard *shard, void *buffer, size_t size)
{
	choose_bytes(&process_of(shard)->world->chooser, buffer, size);
}

/* The process ends when its step has ended. The first reason counts. */
static void process_end_later(struct machine *process, enum crash how, int status)
{
	if (process->is_ending)
		return;
	process->is_ending = true;
	process->end_how = how;
	process->end_status = status;
}

static void process_exit(struct shard *shard, int status)
{
	process_end_later(process_of(shard), CRASH_PROCESS, status);
}

struct offload_wait {
	struct process_wait wait; /* first */
	struct offload_op *op;
};

static void offload_fire(struct world *world, struct event *event)
{
	struct process_wait *wait = container_of(event, struct process_wait, event);
	struct offload_wait *offload = (struct offload_wait *)(void *)wait;
	struct machine *process = wait->process;
	struct offload_op *op = offload->op;

	process_wait_end(wait);
	free(offload);
	chooser_note(&world->chooser, "offload", process->host->index, op->shard->index, 0);
	memory_owner_enter(&process->memory);
	op->work(op);
	memory_owner_enter(NULL);
	offload_op_complete(op);
	process_touch(shard_of(op->shard));
}

static void process_offload(struct shard *shard, struct offload_op *op)
{
	struct machine *process = process_of(shard);
	struct offload_wait *offload = world_alloc_zero(1, sizeof(*offload));

	/* Computing takes time even in a world without delays: up to 100 us. */
	offload->op = op;
	process_wait_start(
		process, &offload->wait, offload_fire, world_delay(process->world, 100000));
}

static uint32_t process_files_reserved(const struct shard *shard)
{
	return 8192;
}

static uint32_t process_files_allowed(const struct shard *shard)
{
	return process_of(shard)->host->files_allowed;
}

void host_files_allow(struct host *host, uint32_t count)
{
	struct machine *process = host->process;

	host->files_allowed = count;
	for (unsigned i = 0; process && i < process->shard_count; i++) {
		struct process_shard *shard = &process->shards[i];

		if (!files_give_way_ask(&shard->base))
			continue;
		shard_post(&shard->base, &shard->base.give_way.task);
		process_touch(shard);
	}
}

static const struct machine_ops process_ops = {
	.send = process_send,
	.wall_ms = process_wall_ms,
	.entropy = process_entropy,
	.exit = process_exit,
	.offload = process_offload,
	.resolve = network_resolve,
	.file_submit = files_submit,
	.files_reserved = process_files_reserved,
	.files_allowed = process_files_allowed,
	.file_read_cached = files_read_cached,
	.file_is_cached = files_is_cached,
	.file_close = files_close,
	.listener_open = network_listener_open,
	.listener_address = network_listener_address,
	.listener_pause = network_listener_pause,
	.listener_close = network_listener_close,
	.socket_connect = network_connect,
	.socket_attach = network_attach,
	.socket_peer = network_peer,
	.socket_receive = network_receive,
	.socket_send = network_send,
	.socket_close = network_close,
};

static void process_start_run(struct shard *shard, struct task *task)
{
	const struct program *program = &process_of(shard)->program;

	program->start(shard, program->argument);
}

static void process_stop_run(struct shard *shard, struct task *task)
{
	const struct program *program = &process_of(shard)->program;

	if (program->stop)
		program->stop(shard, program->argument);
	else
		machine_exit(shard, 0);
}

void host_start(struct host *host, unsigned shard_count, const struct program *program)
{
	struct world *world = host->world;
	struct machine *process;

	ensure(!host->process);
	ensure(shard_count >= 1 && shard_count <= SHARDS_MAX);
	process = world_alloc_zero(1, sizeof(*process));
	process->world = world;
	process->host = host;
	process->program = *program;
	process->shard_count = shard_count;
	/* Two processes never agree on what their clocks show, up to a year of uptime. */
	process->clock_base_ns = choose_below(&world->chooser, 365ull * 86400 * NS_PER_S);
	memory_owner_init(&process->memory);
	list_init(&process->waits);
	list_init(&process->files);
	list_init(&process->listeners);
	list_init(&process->sockets);
	for (unsigned i = 0; i < shard_count; i++) {
		struct process_shard *shard = &process->shards[i];

		shard_init(&shard->base, &process_ops, process, i, shard_count);
		shard->base.now_ns = process->clock_base_ns + world->now_ns;
		shard->process = process;
		shard->wake.fire = shard_wake;
		for (unsigned k = 0; k < shard_count; k++)
			list_init(&shard->inboxes[k]);
	}
	host->process = process;
	host->processes_made++;
	host->exit_status = -1;
	chooser_note(&world->chooser, "start", host->index, shard_count, host->processes_made);
	process->start_task.run = process_start_run;
	process->stop_task.run = process_stop_run;
	shard_post(&process->shards[0].base, &process->start_task);
	process_touch(&process->shards[0]);
}

void host_terminate(struct host *host)
{
	struct machine *process = host->process;

	if (!process || list_node_is_linked(&process->stop_task.node))
		return;
	chooser_note(&host->world->chooser, "terminate", host->index, 0, 0);
	shard_post(&process->shards[0].base, &process->stop_task);
	process_touch(&process->shards[0]);
}

void host_crash(struct host *host, enum crash how)
{
	struct machine *process = host->process;

	if (!process) {
		if (how == CRASH_POWER)
			disk_lose_power(host->disk, &host->world->chooser);
	} else if (host->world->running && host->world->running->process == process) {
		process_end_later(process, how, -1);
	} else {
		process_end(process, how, -1);
	}
}

static void shard_end(struct world *world, struct process_shard *shard)
{
	runnable_remove(world, shard);
	event_cancel(&world->events, &shard->wake);
	shard_done(&shard->base);
}

void process_end(struct machine *process, enum crash how, int status)
{
	struct host *host = process->host;
	struct world *world = host->world;
	struct list_node *node;

	ensure(!world->running || world->running->process != process);
	chooser_note(&world->chooser, "end", host->index, how, (uint64_t)status);
	host->exit_memory_bytes = process->memory.size_bytes;
	host->exit_memory_blocks = process->memory.block_count;
	while ((node = list_first(&process->waits))) {
		struct process_wait *wait = container_of(node, struct process_wait, node);

		if (wait->drop)
			wait->drop(wait);
		process_wait_end(wait);
		free(wait);
	}
	network_process_end(process, how);
	files_process_end(process);
	for (unsigned i = 0; i < process->shard_count; i++)
		shard_end(world, &process->shards[i]);
	memory_owner_done(&process->memory);
	free(process);
	host->process = NULL;
	host->exit_status = status;
	host->crash_countdown = host->fail_countdown = 0;
	if (how == CRASH_POWER)
		disk_lose_power(host->disk, &world->chooser);
	if (host->ended)
		host->ended(host, host->ended_argument);
}
