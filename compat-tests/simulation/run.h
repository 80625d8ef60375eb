/*
 * One simulated run, from a seed: a node, clients, faults, crashes and restarts, and at the end the
 * scan. Everything that varies between runs is drawn from the seed.
 */
#pragma once

#include "runtime/simulated/world.h"

enum { RUN_TEXT_SIZE = 320 };

struct run_options {
	uint64_t seed;
	uint64_t steps;	      /* of the world, before it drains */
	unsigned shard_count; /* 0: the seed's */
	/* The node: a start and its argument, that may be started again and again. */
	struct program node;
	unsigned node_shards_max;
	uint16_t port;
	FILE *trace; /* NULL: none */
	bool verbose;
	bool has_no_faults; /* a quiet run, to begin with */
};

struct run_result {
	char violation[RUN_TEXT_SIZE]; /* empty: none */
	char setting[RUN_TEXT_SIZE];   /* what the seed chose */
	uint64_t hash, steps, virtual_ms;
	uint64_t crashes, restarts, requests;
	uint64_t attempted, acknowledged, read, duplicates, retriable_errors, broken_connections;
};

void run_seed(const struct run_options *options, struct run_result *ret_result);
