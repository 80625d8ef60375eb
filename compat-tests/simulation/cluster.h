/*
 * A cluster of one node in a run: the node, its clients, what is done to them, and the end. Several
 * stand in one world beside each other, each with a host and a disk of its own.
 */
#pragma once

#include "model.h"
#include "node.h"
#include "run.h"
#include "runtime/simulated/choose.h"

enum { CLUSTER_CLIENTS_MAX = 24 };

/* What may happen to a node. */
enum harm {
	HARM_NONE,	/* clean stops only */
	HARM_KILL,	/* the process dies */
	HARM_POWER,	/* the power goes; every message is synced */
	HARM_DISK_LIES, /* EIO and ENOSPC besides, and either crash; every message is synced */
	HARM_COUNT,
};

extern const char *const harm_names[HARM_COUNT];

struct cluster {
	struct world *world;
	struct chooser *chooser; /* of the run: for what is done to it */
	struct run_result *result;
	enum harm harm;
	unsigned index, shards;
	struct model model;
	struct node_options options;
	struct program program;
	struct host *node;
	enum crash crash_how;			   /* the next one */
	uint64_t restart_at_ns;			   /* 0: it runs */
	uint64_t stop_at_ns;			   /* the next clean stop; UINT64_MAX: none more */
	uint64_t disk_free_at_ns, cut_heals_at_ns; /* UINT64_MAX: not full, no cut */
	uint64_t rot_at_ns;			   /* UINT64_MAX: no rot */
	unsigned rots;
	struct host *cut_client;
	bool is_calm; /* nothing is broken on purpose any more */
	bool is_inspected;
	unsigned client_count, producer_count, consumer_count, member_count, churner_count;
	struct host *clients[CLUSTER_CLIENTS_MAX];
	struct model_client arguments[CLUSTER_CLIENTS_MAX];
};

/* Draws what the cluster is. */
void cluster_init(struct cluster *cluster, struct chooser *chooser,
	const struct run_options *options, struct run_result *result, enum harm harm,
	unsigned index);
void cluster_done(struct cluster *cluster);
/* Appends what was drawn. */
void cluster_describe(const struct cluster *cluster, char *text, size_t size);

/* The node, and who makes its topic. */
void cluster_start(struct cluster *cluster, struct world *world);
/* All other clients. */
void cluster_clients_start(struct cluster *cluster);
bool cluster_clients_have_ended(const struct cluster *cluster);
/* Appends the names of those that have not. */
void cluster_clients_describe(const struct cluster *cluster, char *text, size_t size);
/* Between slices of time: a node that ended comes back after a while, and something is done to it
 * now and then. */
void cluster_look_after(struct cluster *cluster);
/* Nothing is broken any more, and clients finish what they began. */
void cluster_calm(struct cluster *cluster);
/* The node is asked to stop; then how it did. */
void cluster_stop(struct cluster *cluster);
void cluster_stopped(struct cluster *cluster);
void cluster_scan_start(struct cluster *cluster);
static inline bool cluster_has_failed(const struct cluster *cluster)
{
	return history_is_violated(&cluster->model.history);
}
