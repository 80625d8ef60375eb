/*
 * Brokers as a client sees them: by the listener on which it asked.
 */
#pragma once

#include "broker/api/api.h"

/* The endpoint of a broker that is up (registered, not fenced) for the request's listener; NULL
 * otherwise. */
const struct register_broker_record_broker_endpoint *broker_endpoint(
	const struct request *request, int32_t broker_id);
/* All of them for Metadata, in order of id. False when the arena is exhausted. */
bool brokers_alive(
	struct request *request, struct metadata_response_broker **ret_brokers, int32_t *ret_count);
/* Replicas that cannot serve: unknown, fenced, without the listener, or in a directory that is
 * offline. */
bool partition_offline_replicas(struct request *request, const struct partition_record *partition,
	int32_t **ret_replicas, int32_t *ret_count);
