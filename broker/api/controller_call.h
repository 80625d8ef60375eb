/*
 * A handler's question to the controller, which lives on the main shard: goes there, is decided and
 * written, and comes back when the shard has been told of the image with its effect.
 */
#pragma once

#include "broker/api/api.h"
#include "broker/controller/controller.h"

struct controller_call {
	struct task task;
	struct controller_op op;
	struct request *request;
	void (*done)(struct controller_call *call);
};

/*
 * MESSAGE and RESPONSE are the generated structs of KIND's API, RESPONSE with its defaults; both
 * live in the request's arena, as CALL does. DONE runs on the request's shard; call->op.result as
 * controller_op says. What the principal may not do is refused by the controller through the
 * handler's authorizer.
 */
void controller_call(struct controller_call *call, struct request *request,
	enum controller_kind kind, const void *message, void *response,
	void (*done)(struct controller_call *call));
/* The whole request is the controller's: passed on, and answered with what it filled in. */
void request_forward(struct request *request, enum controller_kind kind);
/* For what the broker needs itself, whoever the client is that made it need it: Kafka's own topics.
 */
void controller_call_as_broker(struct controller_call *call, struct request *request,
	enum controller_kind kind, const void *message, void *response,
	void (*done)(struct controller_call *call));
