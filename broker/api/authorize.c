/*
 * What a handler asks before it touches a resource: may this principal, from this host? Without an
 * authorizer everybody may do everything.
 */
#include "broker/api/api.h"
#include "broker/connection.h"

bool authorize(const struct request *request, enum acl_operation operation,
	enum acl_resource resource, struct str name)
{
	const struct authorizer *authorizer = request->home->broker->authorizer;

	return !authorizer || authorizer->allows(authorizer, request->principal, request->host,
				      operation, resource, name);
}

bool authorize_cluster(const struct request *request, enum acl_operation operation)
{
	return authorize(request, operation, RESOURCE_CLUSTER, CLUSTER_RESOURCE_NAME);
}

int32_t authorized_operations(
	const struct request *request, enum acl_resource resource, struct str name)
{
	int32_t operations = acl_operations_of(resource);

	for (int operation = 0; operation < 31; operation++) {
		if ((operations & (1 << operation)) &&
			!authorize(request, operation, resource, name))
			operations &= ~(1 << operation);
	}
	return operations;
}
