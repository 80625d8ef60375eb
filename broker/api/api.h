/*
 * What the handlers share: the authorise step, the look-up of topics by name or id, and errands to
 * many partitions at once.
 */
#pragma once

#include "broker/dispatch.h"
#include "broker/replication/partition.h"
#include "broker/security/authorizer.h"
#include "broker/state.h"
#include "protocol/errors.h"

/* Asks the authorizer whether the request's principal may do OPERATION; every resource that a
 * handler touches goes through here. */
bool authorize(const struct request *request, enum acl_operation operation,
	enum acl_resource resource, struct str name);
/* Of the cluster itself. */
bool authorize_cluster(const struct request *request, enum acl_operation operation);

/* The bits of what the principal may do with a resource: Kafka's "authorized operations". */
int32_t authorized_operations(
	const struct request *request, enum acl_resource resource, struct str name);

/* 1 to 249 ASCII letters, digits, '.', '_' and '-', but neither "." nor "..". */
bool topic_name_is_valid(struct str name);
/* The partitions, replication and settings with which the broker makes NAME by itself: its own
 * topics have theirs, others the defaults. */
bool auto_topic_describe(struct request *request, struct str name,
	struct create_topics_request_creatable_topic *topic);

/* Kafka's own topics, which ordinary clients may not write: __consumer_offsets, __transaction_state
 * (and __share_group_state). */
bool topic_name_is_internal(struct str name);

/*
 * Errands: one part for each partition that a request names; when all are back, FINISHED runs on
 * the request's shard. The owner's array of errands lives in the request's arena.
 *
 *	errands_init(&errands, request, finished);
 *	errand_prepare(&errands, &mine->errand, topic, index, at_home);   for each
 *	errands_go(&errands, first, count, stride)
 */
struct errand {
	struct part part;
	struct errands *errands;
	struct partition *partition; /* at home */
	int16_t error;		     /* the part's, or what at_home set */
	void (*at_home)(struct errand *errand, struct partition *partition);
};

struct errands {
	struct request *request;
	uint32_t pending;
	void (*finished)(struct request *request);
	struct list prepared; /* by part.node, in order */
};

void errands_init(struct errands *errands, struct request *request,
	void (*finished)(struct request *request));
void errand_prepare(struct errands *errands, struct errand *errand,
	const struct image_topic *topic, int32_t index, void (*at_home)(struct errand *errand, struct partition *partition));
/* Sends all that are prepared; FINISHED runs at once when there are none. */
void errands_go(struct errands *errands);
/* At home: done, with ERROR (0: none). */
void errand_return(struct errand *errand, int16_t error);
