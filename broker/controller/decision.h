/*
 * What a decision may look at, and what the decisions share. A decision is a pure function: from
 * the image, the request and a source of entropy to the records to append and the response. It
 * follows Kafka 4.3.1's controller managers in checks, their order, codes and words. It answers 0,
 * or -ENOMEM when the arena is exhausted; whatever a client did wrong stands in the response.
 */
#pragma once

#include "broker/config/config.h"
#include "broker/controller/controller.h"
#include "broker/metadata/image.h"
#include "protocol/errors.h"

/* No request may give more records than that, as they have to be applied together (Kafka:
 * MAX_RECORDS_PER_USER_OP). */
enum { RECORDS_PER_OPERATION_MAX = 10000 };

struct decision {
	const struct image *image;   /* all records decided so far are in it */
	const struct config *config; /* of this node */
	int32_t node_id;
	int64_t next_offset;		/* of the first record that this decision gives */
	const struct controller_op *op; /* for its authority; NULL: everything is allowed */
	struct arena *arena; /* for what the response leads to: it has the request's limit */
	/* Where the records go. Its arena also takes what the decision needs on its way: a small
	 * request may ask for thousands of partitions. */
	struct metadata_records *records;
	/* Fills with unpredictable bytes. */
	void (*entropy)(void *context, void *buffer, size_t size);
	void *entropy_context;
};

/* An error as it goes into a response. MESSAGE may be null. */
struct decision_error {
	enum kafka_error code;
	struct str message;
};

#define DECISION_OK ((struct decision_error){.code = KAFKA_NONE, .message = STR_NULL})

__attribute__((format(printf, 3, 4))) struct decision_error decision_error(
	const struct decision *decision, enum kafka_error code, const char *format, ...);
/* With no words of its own: null, where Kafka leaves them out. */
static inline struct decision_error decision_error_bare(enum kafka_error code)
{
	return (struct decision_error){.code = code, .message = STR_NULL};
}

bool decision_may(const struct decision *decision, int operation, int resource, struct str name);
struct uuid decision_random_id(const struct decision *decision);
/* 0 … below - 1. */
uint32_t decision_random_below(const struct decision *decision, uint32_t below);

/* The version of metadata.version that records follow. */
static inline int decision_level(const struct decision *decision)
{
	return image_metadata_version(decision->image);
}

/* The effective value of a topic's setting that brokers have too: the topic's, this node's, the
 * cluster's, the file's. */
int32_t decision_min_isr(const struct decision *decision, const struct image_topic *topic);
bool decision_unclean_election(const struct decision *decision, const struct image_topic *topic);


/* ---- the decisions ---- */

int decide_create_topics(const struct decision *decision,
	const struct create_topics_request *request, struct create_topics_response *response);
int decide_delete_topics(const struct decision *decision, int version,
	const struct delete_topics_request *request, struct delete_topics_response *response);
int decide_create_partitions(const struct decision *decision,
	const struct create_partitions_request *request,
	struct create_partitions_response *response);
int decide_incremental_alter_configs(const struct decision *decision,
	const struct incremental_alter_configs_request *request,
	struct incremental_alter_configs_response *response);
int decide_alter_configs(const struct decision *decision,
	const struct alter_configs_request *request, struct alter_configs_response *response);
int decide_allocate_producer_ids(const struct decision *decision,
	const struct allocate_producer_ids_request *request,
	struct allocate_producer_ids_response *response);
int decide_update_features(const struct decision *decision, int version,
	const struct update_features_request *request, struct update_features_response *response);
int decide_assign_replicas_to_dirs(const struct decision *decision,
	const struct assign_replicas_to_dirs_request *request,
	struct assign_replicas_to_dirs_response *response);
int decide_elect_leaders(const struct decision *decision, int version,
	const struct elect_leaders_request *request, struct elect_leaders_response *response);
int decide_unregister_broker(const struct decision *decision,
	const struct unregister_broker_request *request,
	struct unregister_broker_response *response);

/* ---- what the node decides about itself ---- */

/* The first records of a log, or what ends a transaction that the last leader left open (-1: none).
 * BOOTSTRAP are the records of bootstrap.checkpoint. */
int decide_activation(const struct decision *decision, const struct metadata_records *bootstrap,
	int64_t transaction_start_offset);
int decide_register_controller(const struct decision *decision, const struct uuid *incarnation_id,
	const struct listener_config *listeners, int32_t listener_count);
/* Registers a new incarnation; the broker epoch is decision->next_offset. */
int decide_register_broker(const struct decision *decision, const struct uuid *incarnation_id,
	const struct controller_registration *registration);
/* The broker's session has expired, or it asked to be fenced. */
int decide_fence_broker(const struct decision *decision, int32_t broker_id);
int decide_unfence_broker(const struct decision *decision, int32_t broker_id);
/* Of the broker's registered directories only these COUNT are still online. */
int decide_directories_online(const struct decision *decision, int32_t broker_id,
	const struct uuid *online, int32_t count);
/* The list of cordoned directories, as each first heartbeat tells it. */
int decide_cordon(const struct decision *decision, int32_t broker_id,
	const struct uuid *directories, int32_t count);
int decide_controlled_shutdown(const struct decision *decision, int32_t broker_id);
/* Leaderless partitions whose topics allow it get a leader out of sync (every
 * unclean.leader.election.interval.ms). */
int decide_unclean_elections(const struct decision *decision);
