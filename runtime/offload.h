/*
 * Long computations (decompression, recompression, key derivation) off the loop: WORK runs on some
 * other thread and touches only what the op leads to; DONE runs as a step of the asking shard. The
 * simulated machine runs WORK on its one thread, later.
 */
#pragma once

#include "runtime/shard.h"

struct offload_op {
	struct task task; /* private */
	void (*work)(struct offload_op *op);
	void (*done)(struct shard *shard, struct offload_op *op);
	struct shard *shard; /* private */
};

void offload(struct shard *shard, struct offload_op *op);
