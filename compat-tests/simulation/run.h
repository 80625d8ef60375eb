/*
 * One simulated run, from a seed: one to three clusters of one node, their clients, faults, crashes
 * and restarts, and at the end the scans. Everything that varies between runs is drawn from the
 * seed.
 */
#pragma once

#include "coverage.h"
#include "runtime/simulated/world.h"

enum { RUN_TEXT_SIZE = 1024, RUN_NODES_MAX = 3, RUN_STOP_LIMIT_S = 300 };

struct run_options {
	uint64_t seed;
	uint64_t steps;	      /* of the world, before it drains */
	unsigned shard_count; /* 0: the seed's */
	unsigned node_count;  /* 0: the seed's */
	FILE *trace;	      /* NULL: none */
	bool is_verbose;      /* the nodes' log lines */
	bool has_no_faults;   /* a quiet run, to begin with */
};

struct run_result {
	char violation[RUN_TEXT_SIZE]; /* empty: none */
	char setting[RUN_TEXT_SIZE];   /* what the seed chose */
	uint64_t hash, steps, virtual_ms;
	uint64_t restarts, requests;
	uint64_t attempted, acknowledged, read, duplicates, retriable_errors, broken_connections;
	uint64_t topics_deleted, starts_moved, rebalances, commits;
	struct coverage coverage;
};

void run_seed(const struct run_options *options, struct run_result *ret_result);
