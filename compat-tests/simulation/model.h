/*
 * Model clients: programs on simulated hosts of their own that use a broker as real clients do, and
 * write down in the histories what they were told. Each runs as a fiber. What they all share is the
 * model: one for each cluster.
 */
#pragma once

#include "coverage.h"
#include "group_history.h"
#include "history.h"
#include "runtime/simulated/world.h"
#include "wire.h"

enum {
	PARTITIONS_MAX = 8,
	MODEL_PRODUCERS_MAX =
		6, /* of the main topic; the producers behind them are the churners' */
	GROUPS_MAX = 2,
};
/* A client that waits longer gives the connection up and tries again. */
#define MODEL_TIMEOUT_NS (20 * NS_PER_S)

/* A topic as it was created once. */
struct model_topic {
	char name[16];
	struct uuid id;
	unsigned first_log; /* in the history: one for each partition */
	unsigned partition_count;
};

struct model {
	struct history history;
	struct group_history groups[GROUPS_MAX];
	unsigned group_count;
	struct address broker;
	struct model_topic topic; /* the main one, which lives as long as the run */
	bool topic_is_made;
	bool has_many_rolls; /* its segments are small */
	bool deletes_records;
	bool is_draining; /* nothing new is begun */
	bool is_scanned;
	unsigned producers_running; /* churners too */
	uint64_t crashes;	    /* of the node: what it only remembered is gone */
	uint64_t lives;		    /* of the node that have ended, by crash or by a clean stop */
	/* Topics of churners that exist at the end: the scan reads them too. */
	struct model_topic survivors[4];
	unsigned survivor_count;
	/* Errors met on the way, which are no violations: to see that faults were met at all. */
	uint64_t broken_connections, retriable_errors, requests, topics_deleted, rebalances,
		commits, starts_moved;
	struct coverage coverage;
	int last_error; /* the last retriable one, and who got it */
	const char *last_error_of;
	int64_t producer_ids[1024]; /* every one that a broker gave out */
	unsigned producer_id_count;
};

/* Their arguments: what is not the same for all. */
struct model_client {
	struct model *model;
	unsigned index; /* of its kind */
};

/* Programs' starts; ARGUMENT is struct model_client. */

/* Makes the main topic, however long it takes. */
void model_creator_start(struct shard *shard, void *argument);
/* Moves the starts of the main topic's logs until the model drains. */
void model_trimmer_start(struct shard *shard, void *argument);
/* Sends batches to all partitions until the model drains and everything sent is acknowledged. */
void model_producer_start(struct shard *shard, void *argument);
/* Reads all partitions from the beginning, and from where it was, again and again; ends when the
 * model drains and it has read all there is. */
void model_consumer_start(struct shard *shard, void *argument);
/* Makes, fills, reads and deletes topics of one name until the model drains. */
void model_churner_start(struct shard *shard, void *argument);
/* A member of group INDEX % group_count until the model drains. */
void model_member_start(struct shard *shard, void *argument);
/* Reads every partition from its start to its end, once, and all committed offsets, and judges. */
void model_scan_start(struct shard *shard, void *argument);

/* Part of the scan: what every group has committed. */
void model_groups_scan(struct model *model, struct shard *shard);

/* Connected, however long it takes; false when the model is over. */
bool model_connect(struct model *model, struct shard *shard, struct wire *wire);
/* A retry after a while; not all at once. */
void model_pause(struct shard *shard);
/* 0 <= result < BELOW, from the seed. */
uint32_t model_pick(struct shard *shard, uint32_t below);
/* A client retries ERROR_CODE; false for any other error, which is a violation then. */
bool model_can_retry(struct model *model, const char *what, int error_code);
/* The topic was made, with this id: it has logs now. */
void model_topic_begin(struct model *model, struct model_topic *topic, const struct uuid *id);

/* A step of a client that asks something: CLIENT's connection is made when there is none, and given
 * up when it broke. */
struct model_connection {
	struct model *model;
	struct shard *shard;
	struct arena arena;
	struct wire wire;
	bool is_connected;
};

void model_connection_init(
	struct model_connection *connection, struct model *model, struct shard *shard);
void model_connection_done(struct model_connection *connection);
/* False when the model is over. */
bool model_connection_open(struct model_connection *connection);
void model_connection_close(struct model_connection *connection);
/* One request and its answer; counts it. A broken connection is closed, and a pause made.
 * 0 or a negative errno. */
int model_call(struct model_connection *connection, enum api_key key, int version,
	const void *request, void *response);

/* ---- topics (topics.c) ---- */

/* CreateTopics: Kafka's error code, or a negative errno. The topic has its id when it is 0. */
int model_topic_create(struct model_connection *connection, struct model_topic *topic);
/* What Metadata says: Kafka's error code, or a negative errno. */
int model_topic_find(struct model_connection *connection, const char *name, struct uuid *ret_id,
	unsigned *ret_partition_count);
