#include "broker/replication/disk_room.h"

#include "broker/observe/log.h"
#include "broker/replication/partition.h"
#include "broker/state.h"
#include "broker/visit.h"
#include "runtime/fiber.h"
#include "storage/log_dirs.h"

#define LOOK_AGAIN_NS (500 * NS_PER_MS)

static int room_found(struct broker_shard *shard, void *dir)
{
	partitions_room_found(shard, dir);
	return 0;
}

/* Is it without room after that? */
static bool dir_look(struct broker *broker, struct log_dir *dir)
{
	struct broker_shard *shard = &broker->shards[SHARD_MAIN];
	uint64_t free_bytes;

	if (!log_dir_is_online(dir) || fiber_space(shard->shard, dir->path, &free_bytes) < 0)
		return false;
	if (free_bytes < DISK_ROOM_SHORT) {
		if (log_dir_room_set(dir, false))
			log_event(&shard->logger, LOG_DISK_FULL, log_text("directory", dir->path),
				log_int("free_bytes", (int64_t)free_bytes));
		return true;
	}
	if (free_bytes < DISK_ROOM_ENOUGH)
		return !log_dir_has_room(dir);
	if (log_dir_room_set(dir, true)) {
		broker->disk_room.found_ns = shard_now_ns(shard->shard);
		log_event(&shard->logger, LOG_DISK_HAS_ROOM, log_text("directory", dir->path),
			log_int("free_bytes", (int64_t)free_bytes));
		/* Without memory for the visit it is another time's. */
		if (broker_visit_shards(broker, room_found, dir) < 0)
			log_dir_room_set(dir, false);
	}
	return !log_dir_has_room(dir);
}

static void look_fiber(struct shard *shard, void *argument)
{
	struct broker *broker = argument;
	struct disk_room *room = &broker->disk_room;
	bool again;

	do {
		again = false;
		room->is_wanted = false;
		for (uint32_t i = 0; i < log_dirs_count(broker->log_dirs); i++)
			again = dir_look(broker, log_dirs_at(broker->log_dirs, i)) || again;
	} while (room->is_wanted && !room->stopped);
	room->runs = false;
	if (room->waiter)
		fiber_wake(shard, room->waiter);
	else if (again && !room->stopped)
		timer_set(shard, &room->timer, shard_now_ns(shard) + LOOK_AGAIN_NS);
}

void disk_room_check(struct broker *broker)
{
	struct disk_room *room = &broker->disk_room;
	struct shard *shard = broker->shards[SHARD_MAIN].shard;

	room->is_wanted = true;
	if (room->runs || room->stopped)
		return;
	timer_stop(shard, &room->timer);
	room->runs = true;
	if (fiber_start(shard, look_fiber, broker) == 0)
		return;
	room->runs = false;
	timer_set(shard, &room->timer, shard_now_ns(shard) + LOOK_AGAIN_NS);
}

static void look_due(struct shard *shard, struct timer *timer)
{
	disk_room_check(container_of(timer, struct broker, disk_room.timer));
}

static void look_wanted(struct shard *shard, struct nudge *nudge)
{
	struct broker *broker = container_of(nudge, struct broker_shard, room_lost)->broker;
	struct disk_room *room = &broker->disk_room;

	/* Free bytes are not all that a disk may be out of: then it is found to have room each time. */
	if (room->runs || room->found_ns == 0 ||
		shard_now_ns(shard) >= room->found_ns + LOOK_AGAIN_NS)
		disk_room_check(broker);
	else if (!room->stopped && !timer_is_set(&room->timer))
		timer_set(shard, &room->timer, shard_now_ns(shard) + LOOK_AGAIN_NS);
}

void disk_room_lost(void *argument, const char *folder)
{
	struct broker_shard *shard = argument;
	struct log_dir *dir = log_dirs_by_path(shard->broker->log_dirs, folder);

	ensure(dir);
	if (!log_dir_room_set(dir, false))
		return;
	log_event(&shard->logger, LOG_DISK_FULL, log_text("directory", folder));
	nudge_send(&shard->room_lost, shard->shard, SHARD_MAIN, look_wanted);
}

void disk_room_start(struct broker *broker)
{
	broker->disk_room.timer.fire = look_due;
}

void disk_room_stop(struct broker *broker)
{
	struct disk_room *room = &broker->disk_room;
	struct shard *shard = broker->shards[SHARD_MAIN].shard;

	room->stopped = true;
	timer_stop(shard, &room->timer);
	while (room->runs) {
		room->waiter = fiber_current(shard);
		fiber_wait(shard);
	}
	room->waiter = NULL;
}
