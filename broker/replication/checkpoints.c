#include "broker/replication/checkpoints.h"

#include "broker/replication/directories.h"
#include "broker/replication/log_rows.h"
#include "runtime/fiber.h"
#include "storage/disk_reserve.h"
#include "storage/log_dirs.h"

int checkpoints_write(struct broker *broker)
{
	struct broker_shard *shard = &broker->shards[SHARD_MAIN];
	struct log_rows rows;
	int error = log_rows_collect(broker, &rows);

	if (error == 0)
		error = log_dirs_write_checkpoints(shard->shard, broker->log_dirs, rows.rows,
			rows.count, directory_failed, shard);
	log_rows_done(&rows);
	return error;
}

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

	timer_set(shard, &broker->checkpoint_timer,
		shard_now_ns(shard) + (uint64_t)max_of(interval_ms, (int64_t)100) * NS_PER_MS);
}

static void checkpoint_fiber(struct shard *shard, void *argument)
{
	struct broker *broker = argument;
	int error = checkpoints_write(broker);

	if (error < 0)
		log_event(&broker->shards[SHARD_MAIN].logger, LOG_CHECKPOINT_FAILED,
			log_errno("error", error));
	else if (!broker->checkpoint_stopped)
		disk_reserve_make(
			shard, log_dirs_metadata(broker->log_dirs)->path, false);
	broker->checkpoint_runs = false;
	if (broker->checkpoint_waiter)
		fiber_wake(shard, broker->checkpoint_waiter);
	else if (!broker->checkpoint_stopped)
		checkpoint_timer_set(broker);
}

static void checkpoint_due(struct shard *shard, struct timer *timer)
{
	struct broker *broker = container_of(timer, struct broker, checkpoint_timer);

	broker->checkpoint_runs = true;
	if (fiber_start(shard, checkpoint_fiber, broker) < 0) {
		broker->checkpoint_runs = false;
		checkpoint_timer_set(broker);
	}
}

void checkpoints_start(struct broker *broker)
{
	broker->checkpoint_timer.fire = checkpoint_due;
	checkpoint_timer_set(broker);
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
