/*
 * Replicas of new partitions, given by hand or placed, and the PartitionRecords that make them:
 * what CreateTopics and CreatePartitions have in common.
 */
#pragma once

#include "broker/controller/partition_change.h"

struct assignment {
	struct assigned_partition {
		struct replicas
			replicas; /* the preferred leader first; count 0: not assigned yet */
	} * partitions;
	int32_t count;
};

/* COUNT partitions without replicas, in ARENA. */
int assignment_init(struct assignment *assignment, struct arena *arena, int32_t count);
/* Fills *RET_ERROR when the replicas can't be so (Kafka: validateManualPartitionAssignment); FACTOR
 * -1: any. 0 or -ENOMEM. */
int assignment_check(const struct decision *decision, struct replicas replicas, int32_t factor,
	struct decision_error *ret_error);
/* Is one of the replicas' brokers unfenced and staying? */
bool assignment_has_active(const struct decision *decision, struct replicas replicas);
/* Places all partitions. -EINVAL: FACTOR can't be reached, *RET_PROBLEM says why; null when nobody
 * is active. -ENOMEM. */
int assignment_place(const struct decision *decision, struct assignment *assignment, int32_t factor,
	struct str *ret_problem);
/* Appends a PartitionRecord for each, numbered from FIRST_PARTITION: the ISR are the active
 * replicas, the first of them leads. 0 or -ENOMEM. */
int assignment_write(const struct decision *decision, const struct assignment *assignment,
	const struct uuid *topic_id, int32_t first_partition);
