/*
 * The machine as the logic sees it. A process is a MACHINE with one or more SHARDS; a shard is one
 * thread with one event loop. Logic runs as short steps on its shard and never blocks; whatever
 * takes time is asked for here (and in file.h, socket.h, offload.h) and answered by a later step.
 * Two implementations stand behind these headers: linux/ and simulated/; only main and the tests
 * know which one runs.
 *
 * Rules that hold in both:
 *  1. No completion runs inside the call that asked for it: it is queued, and runs as its own
 *     step.
 *  2. An object belongs to one shard and is touched by steps of that shard only; shards talk with
 *     shard_send.
 *  3. Steps of one shard that were posted or sent earlier run earlier (per sender; but for
 *     shard_post_late). Timers that are due run in order of deadline, then of setting.
 *  4. Operation objects (task, timer, file_op, socket_op) belong to the caller, embed in its
 *     objects, and must stay alive until their callback ran; none of these calls allocates on the
 *     caller's behalf in a way that can fail.
 */
#pragma once

#include "runtime/bytes.h"
#include "runtime/deadline.h"
#include "runtime/list.h"

struct machine;
struct shard;

/* A step to run once. RUN may free or reuse the task. */
struct task {
	struct list_node node; /* private to the runtime while queued */
	void (*run)(struct shard *shard, struct task *task);
};

/* A deadline. Zeroed but for FIRE is ready to set. One timer is set at most once at a time; setting
 * again moves it. */
struct timer {
	struct deadline deadline; /* private */
	void (*fire)(struct shard *shard, struct timer *timer);
};

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

unsigned shard_index(const struct shard *shard);
unsigned shard_count(const struct shard *shard);
struct machine *shard_machine(const struct shard *shard);

/* What the program keeps for each shard; NULL until set. */
void *shard_context(const struct shard *shard);
void shard_context_set(struct shard *shard, void *context);

/* The monotonic clock, sampled at the beginning of the running step. Never goes back. */
uint64_t shard_now_ns(const struct shard *shard);
/* Milliseconds since the Unix epoch by the wall clock: it may jump. */
int64_t shard_wall_ms(const struct shard *shard);
/* Fills BUFFER with unpredictable bytes (simulated: from the seed). */
void shard_entropy(struct shard *shard, void *buffer, size_t size);

/* Runs TASK on this shard after the steps already queued. */
void shard_post(struct shard *shard, struct task *task);
/* Runs TASK on this shard when it has nothing else to do, at the latest after half a millisecond or 500
 * other steps: for what is better done once for many steps. */
void shard_post_late(struct shard *shard, struct task *task);
/* Runs TASK on shard TO (which may be FROM). Ownership of what embeds the task goes along: the
 * receiver may send it back, so the room for a reply is always there. Never fails, never blocks. */
void shard_send(struct shard *from, unsigned to, struct task *task);

void timer_set(struct shard *shard, struct timer *timer, uint64_t deadline_ns);
/* Does nothing when the timer is not set. */
void timer_stop(struct shard *shard, struct timer *timer);
static inline bool timer_is_set(const struct timer *timer)
{
	return deadline_is_set(&timer->deadline);
}

/* What a program gives the machine: START runs as the first step of shard 0; STOP as a step of
 * shard 0 when the process is asked to end (SIGTERM, SIGINT), once. The program ends the process
 * with machine_exit. */
struct program {
	void (*start)(struct shard *shard, void *argument);
	void (*stop)(struct shard *shard, void *argument);
	void *argument;
};

/* Ends the process (simulated: the host's process) with STATUS after the running step; nothing else
 * is run, files not synced stay unsynced. From any shard. */
void machine_exit(struct shard *shard, int status);
