/*
 * On which brokers the replicas of new partitions go: striped over racks and over the brokers in
 * each, unfenced ones first (Kafka: StripedReplicaPlacer). The leader is always on an unfenced
 * broker.
 */
#pragma once

#include "broker/controller/decision.h"

struct placement; /* in the decision's arena */

/* -EINVAL when REPLICATION_FACTOR cannot be reached, with Kafka's words in *RET_PROBLEM; -ENOMEM.
 */
int placement_new(const struct decision *decision, int replication_factor,
	struct placement **ret_placement, struct str *ret_problem);
/* The brokers of the next partition, REPLICATION_FACTOR of them, the preferred leader first. */
void placement_next(struct placement *placement, int32_t *replicas);
