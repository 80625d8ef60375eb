/*
 * What happens when the memory for requests and answers (barnabas.memory.limit.bytes) is used up.
 * Connections that want more of it wait, and nothing is dropped as long as those who hold it get on:
 * that is ordinary back-pressure. But a client that never reads its answers, leaves a frame
 * unfinished, or polls for days over thousands of partitions would hold what it has for ever, and
 * all others would wait for it. So while somebody waits, connections that have got nowhere for
 * STUCK_MS are closed, those that hold most first; but none for which the broker itself has work to
 * do, since that is not the client's doing and closing would free nothing.
 */
#pragma once

#include "broker/state.h"

/* A connection of this shard has begun, or no longer has, to wait for memory. */
void pressure_waiting(struct broker_shard *shard);
void pressure_served(struct broker_shard *shard);
/* A connection of this shard was given something of the reserve (memory_limit.h): what lies there
 * idle is moved to the common part when that has room. */
void pressure_reserve_used(struct broker_shard *shard);
