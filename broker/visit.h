/*
 * The same work on every shard.
 */
#pragma once

#include "broker/state.h"

/* (fiber, main shard) Runs BODY in a fiber of every shard and waits for all of them; the first
 * error in the order of shards, or 0. */
int broker_visit_shards(struct broker *broker,
	int (*body)(struct broker_shard *shard, void *argument), void *argument);
