/* Long computations and name resolution on threads of their own pool. */
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>

#include "runtime/linux/internal.h"

static void offload_run(struct shard *none, struct task *task)
{
	struct offload_op *op = container_of(task, struct offload_op, task);

	op->work(op);
	op->task.run = offload_op_task_run;
	shard_deliver(linux_shard_of(op->shard), &op->task);
}

void linux_offload(struct shard *shard, struct offload_op *op)
{
	op->task.run = offload_run;
	pool_submit(&shard->machine->compute, &op->task);
}

static int resolve_error(int gai_error)
{
	switch (gai_error) {
	case EAI_SYSTEM:
		return errno ? -errno : -EIO;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_AGAIN:
		return -EAGAIN;
	default:
		return -ENOENT;
	}
}

static int64_t resolve_blocking(const char *name, struct address *addresses, uint32_t capacity)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *found;
	uint32_t count = 0;
	int error = getaddrinfo(name, NULL, &hints, &found);

	if (error == EAI_NONAME || error == EAI_ADDRFAMILY || error == EAI_NODATA) {
		/* A host with nothing but its loopback has no configured family at all. */
		hints.ai_flags = 0;
		error = getaddrinfo(name, NULL, &hints, &found);
	}
	if (error)
		return resolve_error(error);
	for (struct addrinfo *each = found; each && count < capacity; each = each->ai_next) {
		struct sockaddr_storage storage = {0};

		if (each->ai_family != AF_INET && each->ai_family != AF_INET6)
			continue;
		memcpy(&storage, each->ai_addr, each->ai_addrlen);
		addresses[count++] = address_from_kernel(&storage);
	}
	freeaddrinfo(found);
	return count > 0 ? (int64_t)count : -ENOENT;
}

static void resolve_run(struct shard *none, struct task *task)
{
	struct resolve_op *op = container_of(task, struct resolve_op, task);

	op->result = resolve_blocking(op->name, op->addresses, op->capacity);
	op->task.run = resolve_op_task_run;
	shard_deliver(linux_shard_of(op->shard), &op->task);
}

void linux_resolve(struct shard *shard, struct resolve_op *op)
{
	op->task.run = resolve_run;
	pool_submit(&shard->machine->compute, &op->task);
}
