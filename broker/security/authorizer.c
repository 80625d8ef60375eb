#include "broker/security/authorizer.h"

#define BIT(operation) (1 << (operation))

/* AclEntry.supportedOperations. */
int32_t acl_operations_of(enum acl_resource resource)
{
	switch (resource) {
	case RESOURCE_TOPIC:
		return BIT(ACL_READ) | BIT(ACL_WRITE) | BIT(ACL_CREATE) | BIT(ACL_DESCRIBE) |
		       BIT(ACL_DELETE) | BIT(ACL_ALTER) | BIT(ACL_DESCRIBE_CONFIGS) |
		       BIT(ACL_ALTER_CONFIGS);
	case RESOURCE_GROUP:
		return BIT(ACL_READ) | BIT(ACL_DESCRIBE) | BIT(ACL_DELETE) |
		       BIT(ACL_DESCRIBE_CONFIGS) | BIT(ACL_ALTER_CONFIGS);
	case RESOURCE_CLUSTER:
		return BIT(ACL_CREATE) | BIT(ACL_CLUSTER_ACTION) | BIT(ACL_DESCRIBE_CONFIGS) |
		       BIT(ACL_ALTER_CONFIGS) | BIT(ACL_IDEMPOTENT_WRITE) | BIT(ACL_ALTER) |
		       BIT(ACL_DESCRIBE);
	case RESOURCE_TRANSACTIONAL_ID:
		return BIT(ACL_DESCRIBE) | BIT(ACL_WRITE) | BIT(ACL_TWO_PHASE_COMMIT);
	case RESOURCE_DELEGATION_TOKEN:
		return BIT(ACL_DESCRIBE);
	case RESOURCE_USER:
		return BIT(ACL_CREATE_TOKENS) | BIT(ACL_DESCRIBE_TOKENS);
	default:
		return 0;
	}
}
