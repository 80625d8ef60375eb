/*
 * The authorise step's seam. Every handler asks for every resource that it touches; the authorizer
 * that is set says yes or no. NULL allows everything, as Kafka without authorizer.class.name.
 */
#pragma once

#include "runtime/bytes.h"

/* Kafka's codes (org.apache.kafka.common.acl.AclOperation). */
enum acl_operation {
	ACL_UNKNOWN = 0,
	ACL_ANY = 1,
	ACL_ALL = 2,
	ACL_READ = 3,
	ACL_WRITE = 4,
	ACL_CREATE = 5,
	ACL_DELETE = 6,
	ACL_ALTER = 7,
	ACL_DESCRIBE = 8,
	ACL_CLUSTER_ACTION = 9,
	ACL_DESCRIBE_CONFIGS = 10,
	ACL_ALTER_CONFIGS = 11,
	ACL_IDEMPOTENT_WRITE = 12,
	ACL_CREATE_TOKENS = 13,
	ACL_DESCRIBE_TOKENS = 14,
	ACL_TWO_PHASE_COMMIT = 15,
};

/* Kafka's codes (org.apache.kafka.common.resource.ResourceType). */
enum acl_resource {
	RESOURCE_UNKNOWN = 0,
	RESOURCE_ANY = 1,
	RESOURCE_TOPIC = 2,
	RESOURCE_GROUP = 3,
	RESOURCE_CLUSTER = 4,
	RESOURCE_TRANSACTIONAL_ID = 5,
	RESOURCE_DELEGATION_TOKEN = 6,
	RESOURCE_USER = 7,
};

struct authorizer {
	/* Answers from memory. PRINCIPAL is "User:name", HOST numeric. Called from any shard. */
	bool (*allows)(const struct authorizer *authorizer, struct str principal, struct str host,
		enum acl_operation operation, enum acl_resource resource, struct str name);
};

#define CLUSTER_RESOURCE_NAME STR("kafka-cluster")

/* The bits of Kafka's authorized operations that a resource type has, when all are allowed
 * (Metadata, DescribeCluster, DescribeGroups). */
int32_t acl_operations_of(enum acl_resource resource);
