#include "broker/replication/checkpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/replication/directories.h"
#include "broker/replication/log_rows.h"
#include "broker/visit.h"
#include "runtime/fiber.h"
#include "storage/disk_reserve.h"
#include "storage/log_dirs.h"

/* Many logs that are cut at once have many files open for a moment. */
enum { LOG_STARTS_TRIES = 200 };
#define LOG_STARTS_RETRY_NS (50 * NS_PER_MS)
/* At the least between two writes when nothing waits for them. */
enum { RECOVERY_POINTS_INTERVAL_MS = 1000, INTERVAL_MIN_MS = 100 };

static int forget_begin(struct broker_shard *shard, void *argument)
{
	partitions_forget_begin(shard);
	return 0;
}

static int forget_end(struct broker_shard *shard, void *written)
{
	partitions_forget_end(shard, *(const bool *)written);
	return 0;
}

int checkpoints_write(struct broker *broker)
{
	struct broker_shard *shard = &broker->shards[SHARD_MAIN];
	struct log_rows rows;
	int error = broker_visit_shards(broker, forget_begin, NULL);

	if (error < 0)
		return error;
	error = log_rows_collect(broker, &rows);
	if (error == 0)
		error = log_dirs_write_checkpoints(shard->shard, broker->log_dirs, rows.rows,
			rows.count, directory_failed, shard);
	log_rows_done(&rows);
	bool written = error == 0;
	int forget_error = broker_visit_shards(broker, forget_end, &written);
	return error ? error : forget_error;
}

/* From the end of the last write on. */
static void checkpoint_timer_set(struct broker *broker)
{
	struct shard *shard = broker->shards[SHARD_MAIN].shard;
	/* Kafka writes the three files on three clocks; one file set at the shortest of them says
	 * no less. */
	const struct config *config = broker->options.config;
	int64_t interval_ms =
		config_long(config, SETTING_REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS);
	int64_t recovery_ms = config_int(config, SETTING_LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS);
	int64_t start_ms =
		config_int(config, SETTING_LOG_FLUSH_START_OFFSET_CHECKPOINT_INTERVAL_MS);

	interval_ms = min_of(interval_ms, recovery_ms);
	interval_ms = min_of(interval_ms, start_ms);
	if (broker->recovery_points_moved)
		interval_ms = min_of(interval_ms, (int64_t)RECOVERY_POINTS_INTERVAL_MS);
	interval_ms = max_of(interval_ms, (int64_t)INTERVAL_MIN_MS);
	timer_set(shard, &broker->checkpoint_timer,
		broker->checkpoint_ended_ns + (uint64_t)interval_ms * NS_PER_MS);
}

static void checkpoint_timer_start(struct broker *broker)
{
	broker->checkpoint_ended_ns = shard_now_ns(broker->shards[SHARD_MAIN].shard);
	checkpoint_timer_set(broker);
}

static void checkpoint_run_begin(struct broker *broker, void (*run)(struct shard *, void *));

/* ---- log starts that somebody waits for ---- */

static void log_start_waits_answer(struct list *waits, const int *errors)
{
	struct list_node *node;

	while ((node = list_pop_front(waits))) {
		struct log_start_wait *wait = container_of(node, struct log_start_wait, node);

		wait->done(wait, errors);
	}
}

/* False when descriptors were short: it may be tried again. */
static bool log_starts_write(struct broker *broker, struct list *waits, bool *wanted, int *errors)
{
	struct broker_shard *shard = &broker->shards[SHARD_MAIN];
	uint32_t dirs = log_dirs_count(broker->log_dirs);
	struct log_rows rows;
	bool done = true;
	int error;

	memset(errors, 0, dirs * sizeof(*errors));
	list_for_each (node, waits) {
		struct log_start_wait *wait = container_of(node, struct log_start_wait, node);

		for (uint32_t i = 0; i < wait->dir_count; i++)
			wanted[wait->dirs[i]] = true;
	}
	error = log_rows_collect(broker, &rows);
	if (error == 0)
		log_dirs_write_log_starts(shard->shard, broker->log_dirs, rows.rows, rows.count,
			wanted, errors, directory_failed, shard);
	for (uint32_t i = 0; i < dirs; i++) {
		if (error < 0)
			errors[i] = error;
		done = done && errors[i] != -EMFILE && errors[i] != -ENFILE;
	}
	log_rows_done(&rows);
	return done;
}

static void checkpoint_run_end(struct broker *broker);

static void log_starts_fiber(struct shard *shard, void *argument)
{
	struct broker *broker = argument;
	uint32_t dirs = log_dirs_count(broker->log_dirs);
	bool *wanted = calloc(dirs, sizeof(*wanted));
	int *errors = calloc(dirs, sizeof(*errors));
	struct list waits;

	list_init(&waits);
	list_append_all(&waits, &broker->log_start_waits);
	for (int i = 0; wanted && errors && i < LOG_STARTS_TRIES; i++) {
		if (log_starts_write(broker, &waits, wanted, errors) || broker->checkpoint_stopped)
			break;
		fiber_sleep(shard, LOG_STARTS_RETRY_NS);
	}
	for (uint32_t i = 0; wanted && errors && i < dirs; i++)
		if (errors[i] < 0)
			log_event(&broker->shards[SHARD_MAIN].logger, LOG_CHECKPOINT_FAILED,
				log_errno("error", errors[i]));
	log_start_waits_answer(&waits, wanted ? errors : NULL);
	free(errors);
	free(wanted);
	checkpoint_run_end(broker);
}

void checkpoints_log_starts_wait(struct broker *broker, struct log_start_wait *wait)
{
	/* Whose connection was cut off when the broker stopped: the stop writes the same files. */
	if (broker->checkpoint_stopped) {
		wait->done(wait, NULL);
		return;
	}
	list_push_back(&broker->log_start_waits, &wait->node);
	if (!broker->checkpoint_runs)
		checkpoint_run_begin(broker, log_starts_fiber);
}

/* ---- all of them, from time to time ---- */

static void checkpoint_fiber(struct shard *shard, void *argument)
{
	struct broker *broker = argument;
	int error;

	fiber_is_chore(shard, true);
	broker->recovery_points_moved = false;
	error = checkpoints_write(broker);

	if (error < 0)
		log_event(&broker->shards[SHARD_MAIN].logger, LOG_CHECKPOINT_FAILED,
			log_errno("error", error));
	else if (!broker->checkpoint_stopped)
		disk_reserve_make(
			shard, log_dirs_metadata(broker->log_dirs)->path, false);
	disk_room_check(broker);
	if (!broker->checkpoint_stopped)
		checkpoint_timer_start(broker);
	checkpoint_run_end(broker);
}

/* One at a time: both write the same files. */
static void checkpoint_run_end(struct broker *broker)
{
	struct shard *shard = broker->shards[SHARD_MAIN].shard;

	broker->checkpoint_runs = false;
	/* What is due goes first: those that wait for log starts may never end. */
	if (broker->checkpoint_is_due && !broker->checkpoint_stopped) {
		broker->checkpoint_is_due = false;
		checkpoint_run_begin(broker, checkpoint_fiber);
	} else if (!list_is_empty(&broker->log_start_waits)) {
		checkpoint_run_begin(broker, log_starts_fiber);
	} else if (broker->checkpoint_waiter) {
		fiber_wake(shard, broker->checkpoint_waiter);
	}
}

static void checkpoint_run_begin(struct broker *broker, void (*run)(struct shard *, void *))
{
	broker->checkpoint_runs = true;
	if (fiber_start(broker->shards[SHARD_MAIN].shard, run, broker) == 0)
		return;
	broker->checkpoint_runs = false;
	log_start_waits_answer(&broker->log_start_waits, NULL);
	if (!broker->checkpoint_stopped)
		checkpoint_timer_start(broker);
	if (broker->checkpoint_waiter)
		fiber_wake(broker->shards[SHARD_MAIN].shard, broker->checkpoint_waiter);
}

static void checkpoint_now(struct broker *broker)
{
	if (broker->checkpoint_runs)
		broker->checkpoint_is_due = true;
	else
		checkpoint_run_begin(broker, checkpoint_fiber);
}

static void checkpoint_due(struct shard *shard, struct timer *timer)
{
	checkpoint_now(container_of(timer, struct broker, checkpoint_timer));
}

static void checkpoint_wanted(struct shard *shard, struct nudge *nudge)
{
	struct broker *broker = container_of(nudge, struct broker_shard, checkpoint_wanted)->broker;

	if (!broker->checkpoint_timer.fire)
		broker->checkpoint_is_due = true; /* checkpoints_start */
	else if (!broker->checkpoint_stopped)
		checkpoint_now(broker);
}

void checkpoints_want(struct broker_shard *shard)
{
	nudge_send(&shard->checkpoint_wanted, shard->shard, SHARD_MAIN, checkpoint_wanted);
}

static void recovery_points_moved(struct shard *shard, struct nudge *nudge)
{
	struct broker *broker = container_of(nudge, struct broker_shard, recovery_points_moved)->broker;

	broker->recovery_points_moved = true;
	if (timer_is_set(&broker->checkpoint_timer))
		checkpoint_timer_set(broker);
}

void checkpoints_points_moved(void *argument)
{
	struct broker_shard *shard = argument;

	nudge_send(&shard->recovery_points_moved, shard->shard, SHARD_MAIN, recovery_points_moved);
}

void checkpoints_start(struct broker *broker)
{
	broker->checkpoint_timer.fire = checkpoint_due;
	if (!broker->checkpoint_is_due) {
		checkpoint_timer_start(broker);
		return;
	}
	broker->checkpoint_is_due = false;
	checkpoint_now(broker);
}

void checkpoints_stop(struct broker *broker)
{
	struct shard *shard = broker->shards[SHARD_MAIN].shard;

	broker->checkpoint_stopped = true;
	timer_stop(shard, &broker->checkpoint_timer);
	while (broker->checkpoint_runs) {
		broker->checkpoint_waiter = fiber_current(shard);
		fiber_wait(shard);
	}
	broker->checkpoint_waiter = NULL;
}
