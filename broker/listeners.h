/*
 * The listeners, and who is let in: on the main shard. A connection is admitted when its address and
 * the broker have room for it (max.connections.per.ip, max.connections; Kafka: ConnectionQuotas), and
 * goes to a shard, round robin. Beyond max.connections the listeners pause, so that clients wait in
 * the system's queue; the inter-broker listener is never paused when there are others, and while it
 * brings the broker over the limit, the least active connections of the others are closed.
 */
#pragma once

#include "broker/state.h"

/* A connection's place among the limits; goes back to the main shard when it is closed. */
struct admission;

/* (fiber) Binds every broker listener of the configuration, so that the ports are known before the
 * registration names them. Who comes before listeners_serve waits. 0 or a negative errno, which was
 * logged. */
int listeners_open(struct broker *broker);
void listeners_serve(struct broker *broker);
void listeners_close(struct broker *broker);
/* The limits in broker->config may have changed. */
void listeners_limits_changed(struct broker *broker);

/* On SHARD: the connection is closed. NULL is allowed. */
void admission_end(struct broker_shard *shard, struct admission *admission);
