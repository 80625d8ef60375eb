#include "broker/api/controller_call.h"

static void call_back(struct shard *shard, struct task *task)
{
	struct controller_call *call = container_of(task, struct controller_call, task);

	call->done(call);
}

static void call_decided(struct shard *shard, struct controller_op *op)
{
	struct controller_call *call = container_of(op, struct controller_call, op);

	/* The image went to the asking shard before this does: messages of one sender keep their
	 * order. */
	call->task.run = call_back;
	shard_send(shard, call->request->shard->index, &call->task);
}

static bool call_may(const struct controller_op *op, int operation, int resource, struct str name)
{
	return authorize(op->authority, operation, resource, name);
}

static void call_there(struct shard *shard, struct task *task)
{
	struct controller_call *call = container_of(task, struct controller_call, task);

	controller_submit(broker_shard_of(shard)->broker->controller, &call->op);
}

static void controller_call_begin(struct controller_call *call, struct request *request,
	enum controller_kind kind, const void *message, void *response,
	void (*done)(struct controller_call *call), bool as_broker)
{
	call->request = request;
	call->done = done;
	call->op = (struct controller_op){
		.kind = kind,
		.version = request->version,
		.request = message,
		.response = response,
		.arena = &request->arena,
		.may = as_broker ? NULL : call_may,
		.authority = request,
		.done = call_decided,
	};
	call->task.run = call_there;
	shard_send(request->shard->shard, SHARD_MAIN, &call->task);
}

void controller_call(struct controller_call *call, struct request *request,
	enum controller_kind kind, const void *message, void *response,
	void (*done)(struct controller_call *call))
{
	controller_call_begin(call, request, kind, message, response, done, false);
}

void controller_call_as_broker(struct controller_call *call, struct request *request,
	enum controller_kind kind, const void *message, void *response,
	void (*done)(struct controller_call *call))
{
	controller_call_begin(call, request, kind, message, response, done, true);
}
