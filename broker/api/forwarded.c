/*
 * Requests that are the controller's business from beginning to end: passed on as they are, with
 * the principal's authority, and answered with what the controller filled in.
 */
#include <errno.h>

#include "broker/api/controller_call.h"

static void forwarded_done(struct controller_call *call)
{
	struct request *request = call->request;

	if (call->op.result == -ENOMEM)
		request_out_of_memory(request);
	else if (call->op.result < 0)
		/* The outcome may be unknown; the client asks again over another connection. */
		request_disconnect(request, "the controller is stopping");
	else
		request_complete(request);
}

void request_forward(struct request *request, enum controller_kind kind)
{
	struct controller_call *call = request_new(request, struct controller_call);

	if (!call) {
		request_out_of_memory(request);
		return;
	}
	controller_call(call, request, kind, request->message, request->response, forwarded_done);
}

void handle_create_topics(struct request *request)
{
	request_forward(request, CONTROLLER_CREATE_TOPICS);
}

void handle_delete_topics(struct request *request)
{
	request_forward(request, CONTROLLER_DELETE_TOPICS);
}

void handle_create_partitions(struct request *request)
{
	request_forward(request, CONTROLLER_CREATE_PARTITIONS);
}

void handle_update_features(struct request *request)
{
	request_forward(request, CONTROLLER_UPDATE_FEATURES);
}

void handle_elect_leaders(struct request *request)
{
	request_forward(request, CONTROLLER_ELECT_LEADERS);
}

void handle_alter_configs(struct request *request)
{
	request_forward(request, CONTROLLER_ALTER_CONFIGS);
}

void handle_incremental_alter_configs(struct request *request)
{
	request_forward(request, CONTROLLER_INCREMENTAL_ALTER_CONFIGS);
}
