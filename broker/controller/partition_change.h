/*
 * One change of a partition: from what it is and what is wanted of it (another ISR, other replicas,
 * an election) to the PartitionChangeRecord that brings it about, with leader, epochs, eligible
 * leader replicas (KIP-966) and recovery state as Kafka's PartitionChangeBuilder gives them.
 */
#pragma once

#include "broker/controller/decision.h"

enum election { ELECT_ONLINE, ELECT_PREFERRED, ELECT_UNCLEAN };

/* A list of broker ids; COUNT -1 in a target: as it is. */
struct replicas {
	const int32_t *ids;
	int32_t count;
};

#define REPLICAS_UNCHANGED ((struct replicas){.count = -1})

struct partition_change {
	/* What it is. */
	const struct image_topic *topic;
	const struct partition_record *partition;

	/* What is wanted. Zeroed but for the REPLICAS_UNCHANGED means no change. */
	enum election election;
	struct replicas isr;
	int32_t directory_broker_id; /* whose replica moves to DIRECTORY; -1: none */
	struct uuid directory;

	/* Who may lead: brokers that are active, without LEAVING and UNCLEAN (both -1 for none) and
	 * with JOINING. */
	int32_t leaving_broker_id, joining_broker_id, unclean_broker_id;
};

void partition_change_init(struct partition_change *change, const struct image_topic *topic,
	const struct partition_record *partition);
/* Appends the record, if anything changes: 1, else 0; -ENOMEM. */
int partition_change_decide(const struct decision *decision, const struct partition_change *change);

/* The directory of a new replica on a broker: its only one, or one that it will tell. */
struct uuid default_directory(const struct decision *decision, int32_t broker_id);
/* Is the broker's DIRECTORY one that it has online? Kafka: DirectoryId.isOnline. */
bool broker_has_online_directory(
	const struct register_broker_record *broker, const struct uuid *directory);

/* For the partitions that have a broker in their ISR, in their ELR, or no leader. */
enum partition_selection { WITH_BROKER_IN_ISR, WITH_BROKER_IN_ELR, WITHOUT_LEADER };
/* Kafka: generateLeaderAndIsrUpdates. Ids are -1 for none. 0 or -ENOMEM. */
int decide_leaders_and_isrs(const struct decision *decision, enum partition_selection selection,
	int32_t broker_id, int32_t leaving_broker_id, int32_t joining_broker_id,
	int32_t unclean_broker_id);

/* The same for the partitions that a broker has in one of its directories, which has failed. */
int decide_leaders_and_isrs_in(
	const struct decision *decision, int32_t broker_id, const struct uuid *directory);

/* The same for one partition. */
int decide_leader_and_isr(const struct decision *decision, const struct image_topic *topic,
	const struct partition_record *partition, int32_t leaving_broker_id,
	int32_t joining_broker_id, int32_t unclean_broker_id);

bool replicas_contain(struct replicas replicas, int32_t id);
