/* Time, hosts, and the pick of what happens next. */
#include "runtime/simulated/world.h"

#include <errno.h>
#include <stdlib.h>

#include "runtime/simulated/world_internal.h"

/* Where the wall clock of every host starts: 2026-01-01T00:00:00Z. */
#define WORLD_WALL_START_MS  1767225600000ll
#define HOST_CAPACITY_BYTES  (1ull << 40)
#define FIRST_EPHEMERAL_PORT 32768

/* What one step of a shard takes: long enough that a loop that waits for a deadline gets there,
 * short beside a message. */
enum { STEP_MIN_NS = 256, STEP_SPREAD_NS = 1024 };

struct world *world_new(const struct world_options *options)
{
	struct world *world = world_alloc_zero(1, sizeof(*world));

	chooser_init(&world->chooser, options->seed);
	world->options = *options;
	list_init(&world->links);
	return world;
}

static void host_free(struct host *host)
{
	if (host->process)
		process_end(host->process, CRASH_PROCESS, -1);
	disk_free(host->disk);
	free(host->name);
	free(host);
}

void world_free(struct world *world)
{
	if (!world)
		return;
	for (unsigned i = 0; i < world->host_count; i++)
		world->hosts[i]->ended = NULL;
	for (unsigned i = 0; i < world->host_count; i++)
		host_free(world->hosts[i]);
	network_done(world);
	event_queue_done(&world->events);
	free(world->runnable);
	free(world);
}

void world_options_set(struct world *world, const struct world_options *options)
{
	uint64_t seed = world->options.seed;

	world->options = *options;
	world->options.seed = seed;
}

void world_trace_to(struct world *world, FILE *file)
{
	world->chooser.text = file;
}

struct host *world_host_new(struct world *world, const char *name, const char *address)
{
	struct host *host = world_alloc_zero(1, sizeof(*host));

	ensure(world->host_count < HOSTS_MAX);
	ensure(address_parse(address, &host->address));
	host->world = world;
	host->index = world->host_count;
	host->name = world_strdup(name);
	host->disk = disk_new(HOST_CAPACITY_BYTES);
	host->exit_status = -1;
	host->files_allowed = HOST_FILES_ALLOWED;
	host->last_port = FIRST_EPHEMERAL_PORT;
	host->wall_skew_ms = (int64_t)choose_below(&world->chooser, 2000) - 1000;
	world->hosts[world->host_count++] = host;
	return host;
}

const char *host_name(const struct host *host)
{
	return host->name;
}

bool host_is_running(const struct host *host)
{
	return host->process != NULL;
}

int host_exit_status(const struct host *host)
{
	return host->exit_status;
}

uint64_t host_exit_memory(const struct host *host, uint64_t *ret_block_count)
{
	if (ret_block_count)
		*ret_block_count = host->exit_memory_blocks;
	return host->exit_memory_bytes;
}

void host_on_end(
	struct host *host, void (*ended)(struct host *host, void *argument), void *argument)
{
	host->ended = ended;
	host->ended_argument = argument;
}

void host_crash_at_change(struct host *host, uint64_t n, enum crash how)
{
	host->crash_countdown = n;
	host->crash_how = how;
}

void host_fail_operation(struct host *host, uint64_t n, int error)
{
	host->fail_countdown = n;
	host->fail_error = error;
}

uint64_t host_operation_count(const struct host *host)
{
	return host->operation_count;
}

uint64_t host_change_count(const struct host *host)
{
	return host->change_count;
}

int host_rot(struct host *host, const char *path, uint64_t offset)
{
	chooser_note(&host->world->chooser, "rot", host->index, offset, 0);
	int error = disk_rot(host->disk, &host->world->chooser, path, offset);

	host->world->chooser.faults[FAULT_ROT] += error == 0;
	return error;
}

void host_disk_capacity_set(struct host *host, uint64_t bytes)
{
	disk_capacity_set(host->disk, bytes);
}

struct disk *host_disk_copy(const struct host *host)
{
	return disk_clone(host->disk);
}

void host_disk_set(struct host *host, const struct disk *disk)
{
	ensure(!host->process);
	disk_free(host->disk);
	host->disk = disk_clone(disk);
}

static void folders_make(struct disk *disk, char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		disk_make_folder(disk, path);
		*slash = '/';
	}
}

/* Every folder from the root to the file. */
static void folders_sync(struct disk *disk, char *path)
{
	disk_sync_folder(disk, "/");
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		disk_sync_folder(disk, path);
		*slash = '/';
	}
}

int host_file_put(struct host *host, const char *path, const void *data, size_t size)
{
	struct inode *inode;
	char *copy = world_strdup(path);
	int64_t written;
	int error;

	folders_make(host->disk, copy);
	error = disk_open(host->disk, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &inode);
	if (error) {
		free(copy);
		return error;
	}
	written = disk_write(host->disk, inode, data, size, 0);
	disk_sync(inode);
	disk_close(host->disk, inode, 0);
	folders_sync(host->disk, copy);
	free(copy);
	return written < 0 ? (int)written : 0;
}

int host_file_remove(struct host *host, const char *path)
{
	char *copy = world_strdup(path);
	int error = disk_unlink(host->disk, path);

	if (!error)
		folders_sync(host->disk, copy);
	free(copy);
	return error;
}

int host_file_get(struct host *host, const char *path, void **ret_data, size_t *ret_size)
{
	struct inode *inode;
	int error = disk_open(host->disk, path, FILE_READ, &inode);
	size_t size;

	if (error)
		return error;
	size = (size_t)disk_file_size(inode);
	*ret_data = world_alloc(size + 1);
	*ret_size = size;
	disk_read(inode, *ret_data, size, 0);
	((char *)*ret_data)[size] = '\0';
	disk_close(host->disk, inode, 0);
	return 0;
}

int host_file_list(struct host *host, const char *folder,
	int (*each)(void *argument, const char *name, bool is_folder), void *argument)
{
	return disk_list(host->disk, folder, each, argument);
}

void host_clock_jump(struct host *host, int64_t by_ms)
{
	chooser_note(&host->world->chooser, "clock", host->index, (uint64_t)by_ms, 0);
	host->wall_skew_ms += by_ms;
}

int64_t host_wall_ms(const struct host *host)
{
	return WORLD_WALL_START_MS + host->wall_skew_ms +
	       (int64_t)(host->world->now_ns / NS_PER_MS);
}

void world_partition_one_way(struct world *world, struct host *from, struct host *to, bool cut)
{
	chooser_note(&world->chooser, "cut", from->index, to->index, cut);
	world->cuts[from->index][to->index] = cut;
}

void world_partition(struct world *world, struct host *a, struct host *b, bool cut)
{
	world_partition_one_way(world, a, b, cut);
	world_partition_one_way(world, b, a, cut);
}

uint64_t world_delay(struct world *world, uint64_t max_ns)
{
	uint64_t bits;

	if (max_ns == 0)
		return 0;
	/* A delay of up to max, max/2, ... max/128, each as likely. */
	bits = choose_bits(&world->chooser);
	return (uint64_t)((unsigned __int128)bits * ((max_ns >> (bits & 7)) + 1) >> 64);
}

static void shard_step(struct world *world, struct process_shard *shard)
{
	struct machine *process = shard->process;
	struct shard *base = &shard->base;

	base->now_ns = process->clock_base_ns + world->now_ns;
	if (shard->inbox_task_count > 0) {
		unsigned senders[SHARDS_MAX], count = 0;

		for (unsigned i = 0; i < base->count; i++)
			if (!list_is_empty(&shard->inboxes[i]))
				senders[count++] = i;
		/* With work of its own it may let the messages wait. */
		uint64_t pick = choose_below(
			&world->chooser, count + (shard_has_tasks(base) ? 1 : 0));
		if (pick < count) {
			struct list_node *node = list_pop_front(&shard->inboxes[senders[pick]]);

			shard->inbox_task_count--;
			shard_post(base, container_of(node, struct task, node));
		}
	}
	chooser_note(&world->chooser, "step", process->host->index, base->index, world->now_ns);
	world->running = shard;
	memory_owner_enter(&process->memory);
	if (!shard_timer_step(base))
		shard_task_step(base);
	memory_owner_enter(NULL);
	ensure(!world->is_outside);
	world->running = NULL;
	if (process->is_ending) {
		process_end(process, process->end_how, process->end_status);
		return;
	}
	if (choose_fault(&world->chooser, FAULT_STALL, world->options.stall_ppm)) {
		shard->stalled = true;
		event_schedule(&world->events, &shard->wake,
			world->now_ns + world_delay(world, world->options.stall_max_ns));
	}
	process_touch(shard);
}

bool world_step(struct world *world)
{
	struct event *event = event_first(&world->events);

	ensure(!world->running);
	if (event && (event->time_ns <= world->now_ns || world->runnable_count == 0)) {
		world->now_ns = max_of(world->now_ns, event->time_ns);
		event_cancel(&world->events, event);
		event->fire(world, event);
	} else if (world->runnable_count > 0) {
		/* One draw for both: who runs, and how long that takes. */
		uint64_t bits = choose_bits(&world->chooser);
		unsigned pick = (unsigned)((bits >> 32) * world->runnable_count >> 32);

		world->now_ns += STEP_MIN_NS + bits % STEP_SPREAD_NS;
		shard_step(world, world->runnable[pick]);
	} else {
		return false;
	}
	world->step_count++;
	return true;
}

bool world_run_until(
	struct world *world, bool (*done)(void *argument), void *argument, uint64_t duration_ns)
{
	uint64_t end_ns = world->now_ns + duration_ns;

	for (;;) {
		const struct event *event = event_first(&world->events);

		if (done && done(argument))
			return true;
		if (world->now_ns >= end_ns)
			return false;
		if (world->runnable_count == 0 && (!event || event->time_ns > end_ns))
			world->now_ns = end_ns; /* whatever comes, comes later */
		else
			world_step(world);
	}
}

uint64_t world_now_ns(const struct world *world)
{
	return world->now_ns;
}

uint64_t world_fault_count(const struct world *world, enum fault fault)
{
	return world->chooser.faults[fault];
}

uint64_t world_steps(const struct world *world)
{
	return world->step_count;
}

uint64_t world_trace_hash(const struct world *world)
{
	return world->chooser.hash;
}

uint64_t world_random(struct world *world, uint64_t below)
{
	return choose_below(&world->chooser, below);
}

void world_outside_begin(struct world *world)
{
	ensure(!world->is_outside);
	world->is_outside = true;
	world->outside = memory_owner_enter(NULL);
}

void world_outside_end(struct world *world)
{
	ensure(world->is_outside);
	world->is_outside = false;
	memory_owner_enter(world->outside);
}
