#include "broker/controller/assignment.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/controller/placement.h"

int assignment_init(struct assignment *assignment, struct arena *arena, int32_t count)
{
	assignment->partitions =
		arena_new_array(arena, struct assigned_partition, (size_t)max_of(count, 1));
	assignment->count = count;
	return assignment->partitions ? 0 : -ENOMEM;
}

static int compare_ids(const void *a, const void *b)
{
	int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;

	return (left > right) - (left < right);
}

int assignment_check(const struct decision *decision, struct replicas replicas, int32_t factor,
	struct decision_error *ret_error)
{
	int32_t *sorted = arena_new_array(
		decision->records->arena, int32_t, (size_t)max_of(replicas.count, 1));

	if (!sorted)
		return -ENOMEM;
	*ret_error = DECISION_OK;
	if (replicas.count <= 0) {
		*ret_error = decision_error(decision, KAFKA_INVALID_REPLICA_ASSIGNMENT,
			"The manual partition assignment includes an empty replica list.");
		return 0;
	}
	memcpy(sorted, replicas.ids, sizeof(*sorted) * (size_t)replicas.count);
	qsort(sorted, (size_t)replicas.count, sizeof(*sorted), compare_ids);
	for (int32_t i = 0; i < replicas.count; i++) {
		if (!image_broker(decision->image, sorted[i])) {
			*ret_error = decision_error(decision, KAFKA_INVALID_REPLICA_ASSIGNMENT,
				"The manual partition assignment includes broker %d, but no such "
				"broker is registered.",
				sorted[i]);
			return 0;
		}
		if (i > 0 && sorted[i] == sorted[i - 1]) {
			*ret_error = decision_error(decision, KAFKA_INVALID_REPLICA_ASSIGNMENT,
				"The manual partition assignment includes the broker %d more than "
				"once.",
				sorted[i]);
			return 0;
		}
	}
	if (factor >= 0 && replicas.count != factor)
		*ret_error = decision_error(decision, KAFKA_INVALID_REPLICA_ASSIGNMENT,
			"The manual partition assignment includes a partition with %d replica(s), "
			"but this is not "
			"consistent with previous partitions, which have %d replica(s).",
			replicas.count, factor);
	return 0;
}

bool assignment_has_active(const struct decision *decision, struct replicas replicas)
{
	for (int32_t i = 0; i < replicas.count; i++)
		if (image_broker_is_active(decision->image, replicas.ids[i]))
			return true;
	return false;
}

int assignment_place(const struct decision *decision, struct assignment *assignment, int32_t factor,
	struct str *ret_problem)
{
	struct placement *placement;
	int error = placement_new(decision, factor, &placement, ret_problem);

	if (error < 0)
		return error;
	for (int32_t i = 0; i < assignment->count; i++) {
		int32_t *replicas =
			arena_new_array(decision->records->arena, int32_t, (size_t)factor);

		if (!replicas)
			return -ENOMEM;
		placement_next(placement, replicas);
		assignment->partitions[i].replicas = (struct replicas){replicas, factor};
		if (!assignment_has_active(decision, assignment->partitions[i].replicas)) {
			*ret_problem = STR_NULL;
			return -EINVAL;
		}
	}
	return 0;
}

int assignment_write(const struct decision *decision, const struct assignment *assignment,
	const struct uuid *topic_id, int32_t first_partition)
{
	int version = partition_record_version(decision_level(decision));

	for (int32_t i = 0; i < assignment->count; i++) {
		struct replicas replicas = assignment->partitions[i].replicas;
		struct partition_record *record = metadata_records_add(
			decision->records, CLUSTER_METADATA_PARTITION, version);

		if (!record)
			return -ENOMEM;
		record->topic_id = *topic_id;
		record->partition_id = first_partition + i;
		record->replicas =
			arena_new_array(decision->records->arena, int32_t, (size_t)replicas.count);
		record->isr =
			arena_new_array(decision->records->arena, int32_t, (size_t)replicas.count);
		record->directories = arena_new_array(
			decision->records->arena, struct uuid, (size_t)replicas.count);
		if (!record->replicas || !record->isr || !record->directories)
			return -ENOMEM;
		for (int32_t j = 0; j < replicas.count; j++) {
			record->replicas[record->replicas_count++] = replicas.ids[j];
			if (image_broker_is_active(decision->image, replicas.ids[j]))
				record->isr[record->isr_count++] = replicas.ids[j];
			record->directories[j] = default_directory(decision, replicas.ids[j]);
		}
		ensure(record->isr_count > 0);
		record->directories_count = version >= 1 ? replicas.count : 0;
		record->leader = record->isr[0];
		record->leader_epoch = 0;
		record->partition_epoch = 0;
	}
	return 0;
}
