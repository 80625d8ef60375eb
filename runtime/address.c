/* IP addresses as text and back, and the part of resolution that needs no resolver. */
#include <arpa/inet.h>
#include <stdio.h>

#include "runtime/machine_ops.h"

static const uint8_t address_mapped_prefix[12] = {
	[10] = 0xff,
	[11] = 0xff,
};

bool address_parse(const char *text, struct address *ret)
{
	struct address address = {0};

	if (strchr(text, ':')) {
		if (inet_pton(AF_INET6, text, address.octets) != 1)
			return false;
	} else {
		memcpy(address.octets, address_mapped_prefix, sizeof(address_mapped_prefix));
		if (inet_pton(AF_INET, text, address.octets + sizeof(address_mapped_prefix)) != 1)
			return false;
	}
	*ret = address;
	return true;
}

static bool address_is_mapped(const struct address *address)
{
	return memcmp(address->octets, address_mapped_prefix, sizeof(address_mapped_prefix)) == 0;
}

char *address_format_host(const struct address *address, char *buffer)
{
	if (address_is_mapped(address))
		inet_ntop(AF_INET, address->octets + sizeof(address_mapped_prefix), buffer,
			ADDRESS_TEXT_SIZE);
	else
		inet_ntop(AF_INET6, address->octets, buffer, ADDRESS_TEXT_SIZE);
	return buffer;
}

char *address_format(const struct address *address, char *buffer)
{
	char host[ADDRESS_TEXT_SIZE];
	bool is_mapped = address_is_mapped(address);

	address_format_host(address, host);
	snprintf(buffer, ADDRESS_TEXT_SIZE, "%s%.46s%s:%u", is_mapped ? "" : "[", host,
		is_mapped ? "" : "]", address->port);
	return buffer;
}

void resolve_op_task_run(struct shard *shard, struct task *task)
{
	struct resolve_op *op = container_of(task, struct resolve_op, task);

	shard->step_code = (const void *)(uintptr_t)op->done;
	op->done(shard, op);
}

void resolve_op_complete(struct resolve_op *op, int64_t result)
{
	op->result = result;
	shard_post(op->shard, &op->task);
}

void address_resolve(struct shard *shard, struct resolve_op *op, const char *name,
	struct address *addresses, uint32_t capacity)
{
	ensure(op->done && capacity > 0);
	ensure(!list_node_is_linked(&op->task.node));
	op->task.run = resolve_op_task_run;
	op->shard = shard;
	op->addresses = addresses;
	op->capacity = capacity;
	op->name = name;
	if (!name || name[0] == '\0') {
		addresses[0] = (struct address){0}; /* "::", which listens on IPv4 too */
		resolve_op_complete(op, 1);
	} else if (address_parse(name, &addresses[0])) {
		resolve_op_complete(op, 1);
	} else {
		shard->ops->resolve(shard, op);
	}
}
