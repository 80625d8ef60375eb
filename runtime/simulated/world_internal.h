/*
 * What the files of the simulated machine share. The life of a step:
 *
 *	world_step
 *	  an event is due            -> event->fire: an operation happens, a message arrives, a
 *	                                timer is due; it queues completions on shards (process_touch)
 *	  else a shard has something -> one of them, picked, runs one task or timer
 *	  else                       -> time goes to the next event
 *
 * An end of a process, whatever the cause, goes through process_end, outside of its steps.
 */
#pragma once

#include "runtime/machine_ops.h"
#include "runtime/simulated/choose.h"
#include "runtime/simulated/disk.h"
#include "runtime/simulated/event.h"
#include "runtime/simulated/memory.h"
#include "runtime/simulated/world.h"

enum { HOSTS_MAX = 64, SHARDS_MAX = 8 };

struct world {
	struct chooser chooser;
	struct world_options options;
	struct event_queue events;
	uint64_t now_ns, step_count;
	struct host *hosts[HOSTS_MAX];
	unsigned host_count;
	struct process_shard *
		*runnable; /* in no order that means anything, but the same each run */
	unsigned runnable_count, runnable_capacity;
	struct process_shard *running; /* whose step runs now */
	struct memory_owner *outside;  /* who allocated before world_outside_begin */
	bool is_outside;
	bool cuts[HOSTS_MAX][HOSTS_MAX]; /* [from][to] */
	struct list links;
	uint64_t links_made;
};

struct host {
	struct world *world;
	unsigned index;
	char *name;
	struct address address;
	struct disk *disk;
	struct machine *process; /* NULL when none runs */
	uint64_t processes_made;
	int exit_status;
	uint64_t exit_memory_bytes, exit_memory_blocks;
	int64_t wall_skew_ms;
	uint16_t last_port;
	uint64_t operation_count, change_count;
	uint64_t crash_countdown, fail_countdown; /* 0: none */
	enum crash crash_how;
	int fail_error;
	uint32_t files_allowed;
	void (*ended)(struct host *host, void *argument);
	void *ended_argument;
};

/* One shard of a process. */
struct process_shard {
	struct shard base; /* first */
	struct machine *process;
	unsigned runnable_place; /* 1 + index in world->runnable; 0: not in it */
	bool stalled;
	struct event wake; /* at its earliest timer, or at the end of a stall */
	unsigned inbox_task_count;
	struct list inboxes[SHARDS_MAX]; /* by sender: order holds for each sender only */
};

/* A process: what the headers call a machine. */
struct machine {
	struct world *world;
	struct host *host;
	struct program program;
	struct memory_owner memory;
	uint64_t clock_base_ns; /* its monotonic clock at world time 0 */
	unsigned shard_count;
	struct task start_task, stop_task;
	bool is_ending;
	enum crash end_how;
	int end_status;
	struct list waits; /* struct process_wait: operations under way */
	struct list files, listeners, sockets;
	struct process_shard shards[SHARDS_MAX];
};

/* An operation under way, that goes when its process goes. */
struct process_wait {
	struct list_node node;
	struct event event;
	struct machine *process;
	void (*drop)(struct process_wait *wait); /* before it goes with its process; may be NULL */
};

static inline struct process_shard *shard_of(struct shard *shard)
{
	return (struct process_shard *)(void *)shard;
}

static inline struct machine *process_of(const struct shard *shard)
{
	return shard->machine;
}

/* Something was queued on the shard, or may be due there. */
void process_touch(struct process_shard *shard);
/* Runs FIRE after the delay, unless the process ends before; then WAIT is freed. */
void process_wait_start(struct machine *process, struct process_wait *wait,
	void (*fire)(struct world *world, struct event *event), uint64_t delay_ns);
/* The wait is over; the caller frees it. */
void process_wait_end(struct process_wait *wait);
/* The process is gone when this returns. Not inside one of its steps. */
void process_end(struct machine *process, enum crash how, int status);

/* Between 0 and the maximum, mostly short: the long ones are what reorders. */
uint64_t world_delay(struct world *world, uint64_t max_ns);
int64_t host_wall_ms(const struct host *host);

/* The parts of the ops table that live in files of their own. */
void files_submit(struct shard *shard, struct file_op *op);
int64_t files_read_cached(
	struct shard *shard, struct file *file, void *buffer, size_t size, uint64_t offset);
bool files_is_cached(struct shard *shard, struct file *file, uint64_t offset, uint64_t size);
void files_close(struct file *file);
/* For the network: bytes of an open file as they are now. */
int64_t files_read_now(struct file *file, void *buffer, size_t size, uint64_t offset);
void files_process_end(struct machine *process);

int network_listener_open(struct shard *shard, const struct address *address,
	struct listener_events events, struct listener **ret);
struct address network_listener_address(const struct listener *listener);
void network_listener_pause(struct listener *listener, bool paused);
void network_listener_close(struct listener *listener);
void network_connect(struct shard *shard, struct socket_op *op);
void network_attach(struct socket *socket);
struct address network_peer(const struct socket *socket);
void network_receive(struct socket *socket, struct socket_op *op);
void network_send(struct socket *socket, struct socket_op *op);
void network_close(struct socket *socket);
void network_resolve(struct shard *shard, struct resolve_op *op);
/* The process's sockets and listeners go as its kernel lets them go. */
void network_process_end(struct machine *process, enum crash how);
void network_done(struct world *world);
