/*
 * What the controller is told of this node's directories: which partition lies in which
 * (AssignReplicasToDirs, KIP-858), which have failed, and which are cordoned (in Kafka: by
 * heartbeats). Reports are the main shard's; they begin when the broker is registered.
 */
#pragma once

#include "runtime/shard.h"

struct broker;
struct fiber;
struct partition;

struct directory_reports {
	struct broker *broker;
	bool begun, stopping;

	struct list assignments; /* that wait to be told */
	struct timer timer; /* lets some come together */
	bool assigning;     /* an operation is with the controller */

	bool changed; /* failures or cordons that it doesn't know */
	bool telling; /* of them: a fiber runs */
	struct fiber *waiter;
};

void directory_reports_init(struct broker *broker);
/* (main shard) Before the registration: is there something that it should know before it leads? */
bool directory_reports_wait(const struct broker *broker);
/* (fiber, main shard) Registered: what waits is told, and has had its effect when this returns. */
void directory_reports_begin(struct broker *broker);
/* (fiber, main shard) Waits for what is under way; nothing more is told. */
void directory_reports_stop(struct broker *broker);

/* (home shard) The partition's log is open: told when the metadata names another directory, once. */
void directory_report_partition(struct partition *partition);
/* (main shard) A directory has failed, or the cordons have changed. */
void directory_reports_changed(struct broker *broker);
