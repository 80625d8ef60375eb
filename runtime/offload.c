#include "runtime/offload.h"

#include "runtime/machine_ops.h"

void offload_op_task_run(struct shard *shard, struct task *task)
{
	struct offload_op *op = container_of(task, struct offload_op, task);

	shard->step_code = (const void *)(uintptr_t)op->done;
	op->done(shard, op);
}

void offload_op_complete(struct offload_op *op)
{
	shard_post(op->shard, &op->task);
}

void offload(struct shard *shard, struct offload_op *op)
{
	ensure(op->work && op->done);
	ensure(!list_node_is_linked(&op->task.node));
	op->task.run = offload_op_task_run;
	op->shard = shard;
	shard->ops->offload(shard, op);
}
