#include "broker/controller/placement.h"

#include <errno.h>
#include <stdlib.h>

/* Some brokers in the order in which they are used; each epoch begins one further. */
struct ring {
	int32_t *ids;
	uint32_t count, index, offset, epoch;
};

struct rack {
	struct str name; /* null: brokers without a rack */
	struct ring fenced, unfenced;
};

struct placement {
	const struct decision *decision;
	struct rack *racks;
	uint32_t rack_count, unfenced_count, total_count;
	uint32_t epoch, offset;
	int replication_factor;
};

static bool is_usable(const struct register_broker_record *broker)
{
	if (broker->in_controlled_shutdown)
		return false;
	if (broker->cordoned_log_dirs_count <= 0)
		return true;
	for (int32_t i = 0; i < broker->log_dirs_count; i++) {
		bool cordoned = false;

		for (int32_t j = 0; j < broker->cordoned_log_dirs_count; j++)
			cordoned |= uuid_equal(&broker->log_dirs[i], &broker->cordoned_log_dirs[j]);
		if (!cordoned)
			return true;
	}
	return false;
}

/* Brokers without a rack come first, then by name. */
static int compare_racks(const void *a, const void *b)
{
	return str_compare(((const struct rack *)a)->name, ((const struct rack *)b)->name);
}

static int add_broker(struct placement *placement, const struct register_broker_record *broker,
	uint32_t broker_count)
{
	struct rack *rack = NULL;
	struct ring *ring;

	for (uint32_t i = 0; i < placement->rack_count && !rack; i++)
		if (str_equal(placement->racks[i].name, broker->rack))
			rack = &placement->racks[i];
	if (!rack) {
		rack = &placement->racks[placement->rack_count++];
		rack->name = broker->rack;
	}
	ring = broker->fenced ? &rack->fenced : &rack->unfenced;
	if (!ring->ids)
		ring->ids =
			arena_new_array(placement->decision->records->arena, int32_t, broker_count);
	if (!ring->ids)
		return -ENOMEM;
	ring->ids[ring->count++] = broker->broker_id; /* brokers come in order of id */
	placement->unfenced_count += !broker->fenced;
	placement->total_count++;
	return 0;
}

int placement_new(const struct decision *decision, int replication_factor,
	struct placement **ret_placement, struct str *ret_problem)
{
	uint32_t broker_count = image_broker_count(decision->image);
	struct placement *placement = arena_new(decision->records->arena, struct placement);

	if (!placement)
		return -ENOMEM;
	placement->decision = decision;
	placement->replication_factor = replication_factor;
	placement->racks =
		arena_new_array(decision->records->arena, struct rack, max_of(broker_count, 1u));
	if (!placement->racks)
		return -ENOMEM;
	for (uint32_t i = 0; i < broker_count; i++) {
		const struct register_broker_record *broker = image_broker_at(decision->image, i);
		int error = is_usable(broker) ? add_broker(placement, broker, broker_count) : 0;

		if (error < 0)
			return error;
	}
	if (replication_factor <= 0)
		*ret_problem = decision_error(decision, KAFKA_INVALID_REPLICATION_FACTOR,
			"Invalid replication factor %d: the replication factor must be positive.",
			replication_factor)
				       .message;
	else if (placement->unfenced_count == 0)
		*ret_problem = STR("All brokers are currently fenced, or have all their log "
				   "directories cordoned.");
	else if ((uint32_t)replication_factor > placement->total_count)
		*ret_problem = decision_error(decision, KAFKA_INVALID_REPLICATION_FACTOR,
			"The target replication factor of %d cannot be reached because only %u "
			"broker(s) are registered "
			"or some brokers have all their log directories cordoned.",
			replication_factor, placement->total_count)
				       .message;
	else
		goto fine;
	return -EINVAL;

fine:
	qsort(placement->racks, placement->rack_count, sizeof(*placement->racks), compare_racks);
	for (uint32_t i = 0; i < placement->rack_count; i++) {
		struct rack *rack = &placement->racks[i];

		if (rack->fenced.count > 0)
			rack->fenced.offset = decision_random_below(decision, rack->fenced.count);
		if (rack->unfenced.count > 0)
			rack->unfenced.offset =
				decision_random_below(decision, rack->unfenced.count);
	}
	placement->offset = decision_random_below(decision, placement->rack_count);
	*ret_placement = placement;
	return 0;
}

/* -1 when each broker of the ring was used in this epoch. */
static int32_t ring_next(struct ring *ring, uint32_t epoch)
{
	if (ring->count == 0)
		return -1;
	if (ring->epoch != epoch) {
		ring->epoch = epoch;
		ring->index = 0;
		ring->offset = (ring->offset + 1) % ring->count;
	}
	if (ring->index >= ring->count)
		return -1;
	return ring->ids[(ring->index++ + ring->offset) % ring->count];
}

static void ring_shuffle(const struct decision *decision, struct ring *ring)
{
	for (uint32_t i = ring->count; i > 1; i--) {
		uint32_t other = decision_random_below(decision, i);
		int32_t id = ring->ids[i - 1];

		ring->ids[i - 1] = ring->ids[other];
		ring->ids[other] = id;
	}
}

/* Every broker has led once: another order follows, so that the same pairs don't repeat. */
static void shuffle(struct placement *placement)
{
	for (uint32_t i = placement->rack_count; i > 1; i--) {
		uint32_t other = decision_random_below(placement->decision, i);
		struct rack rack = placement->racks[i - 1];

		placement->racks[i - 1] = placement->racks[other];
		placement->racks[other] = rack;
	}
	for (uint32_t i = 0; i < placement->rack_count; i++) {
		ring_shuffle(placement->decision, &placement->racks[i].fenced);
		ring_shuffle(placement->decision, &placement->racks[i].unfenced);
	}
}

void placement_next(struct placement *placement, int32_t *replicas)
{
	uint32_t rack_index, leader_rack;
	bool skip_leader_rack = true;

	if (placement->epoch == placement->unfenced_count && placement->unfenced_count > 1) {
		shuffle(placement);
		placement->epoch = 0;
	}
	if (placement->offset == placement->rack_count)
		placement->offset = 0;
	/* The leader: from the first rack on that has an unfenced broker left. */
	leader_rack = placement->offset;
	while ((replicas[0] = ring_next(
			&placement->racks[leader_rack].unfenced, placement->epoch)) < 0)
		leader_rack = (leader_rack + 1) % placement->rack_count;
	/* Followers: round the racks, passing the leader's by once. */
	rack_index = placement->offset;
	for (int i = 1; i < placement->replication_factor; i++) {
		int32_t id = -1;

		while (id < 0) {
			if (skip_leader_rack && rack_index == leader_rack) {
				skip_leader_rack = false;
			} else {
				struct rack *rack = &placement->racks[rack_index];

				id = ring_next(&rack->unfenced, placement->epoch);
				if (id < 0)
					id = ring_next(&rack->fenced, placement->epoch);
			}
			rack_index = (rack_index + 1) % placement->rack_count;
		}
		replicas[i] = id;
	}
	placement->epoch++;
	placement->offset++;
}
