/*
 * The broker as a program of a simulated host: everything it has is made in its first step, so that
 * it goes with the process.
 */
#pragma once

#include "runtime/shard.h"

enum { NODE_PORT = 9092 };
#define NODE_DATA "/data"

struct node_options {
	char address[16];	 /* "": 10.0.0.1 */
	bool syncs_each_message; /* log.flush.interval.messages=1 */
	int offsets_partitions;	 /* of __consumer_offsets; 0: one */
	int rebalance_delay_ms;
	uint64_t backlog_bytes_max; /* see struct broker_options */
	bool is_verbose;		     /* log lines go to standard error */
	const struct authorizer *authorizer; /* NULL allows everything */
};

/* A program's start and stop; ARGUMENT is struct node_options. */
void node_start(struct shard *shard, void *argument);
void node_stop(struct shard *shard, void *argument);
