/*
 * Model clients: programs on simulated hosts of their own that use a broker as real clients do, and
 * write down in the history what they were told. Each runs as a fiber.
 */
#pragma once

#include "history.h"
#include "runtime/simulated/world.h"
#include "wire.h"

#define MODEL_TOPIC STR("model")
/* A client that waits longer gives the connection up and tries again. */
#define MODEL_TIMEOUT_NS (20 * NS_PER_S)

struct model {
	struct history history;
	struct address broker;
	struct uuid topic_id;
	bool syncs_each_message; /* the topic's flush.messages is 1 */
	bool topic_is_made;
	bool is_draining; /* nothing new is begun */
	bool is_scanned;
	unsigned producers_running, consumers_running;
	/* Errors met on the way, which are no violations: to see that faults were met at all. */
	uint64_t broken_connections, retriable_errors, duplicates, requests;
	int last_error; /* the last retriable one, and who got it */
	const char *last_error_of;
	int64_t producer_ids[1024]; /* every one that a broker gave out */
	unsigned producer_id_count;
};

/* Their arguments: what is not the same for all. */
struct model_client {
	struct model *model;
	unsigned index; /* of the producer, or of the consumer */
};

/* Makes the topic, however long it takes. */
/* Sends batches to all partitions until the model drains and everything sent is acknowledged. */
void model_producer_start(struct shard *shard, void *argument);
/* Reads all partitions from the beginning, and from where it was, again and again. */
void model_consumer_start(struct shard *shard, void *argument);
/* Reads every partition from 0 to its end, once, and judges. */
void model_scan_start(struct shard *shard, void *argument);
void model_admin_start(struct shard *shard, void *argument);

/* Connected, however long it takes; false when the model drains before. */
bool model_connect(struct model *model, struct shard *shard, struct wire *wire);
/* A retry after a while; not all at once. */
void model_pause(struct shard *shard);
/* 0 <= result < BELOW, from the seed. */
uint32_t model_pick(struct shard *shard, uint32_t below);
/* The connection broke, or an error came back that a client retries; false for any other error,
 * which is a violation then. */
bool model_can_retry(struct model *model, const char *what, int error_code);
