#include "broker/api/group_calls.h"

static struct group_calls *group_calls_of(struct request *request)
{
	return request->context;
}

static void group_calls_release(struct request *request)
{
	struct group_calls *calls = group_calls_of(request);

	for (uint32_t i = 0; i < calls->count; i++)
		group_call_done(&calls->calls[i]);
}

bool group_calls_init(struct group_calls *calls, struct request *request, uint32_t count,
	void (*finished)(struct request *request))
{
	*calls = (struct group_calls){.request = request, .finished = finished};
	calls->calls = request_new_array(request, struct group_call, count);
	if (!calls->calls)
		return false;
	request->context = calls;
	request->release = group_calls_release;
	return true;
}

struct group_call *group_calls_next(struct group_calls *calls)
{
	return &calls->calls[calls->count++];
}

static void group_calls_one_answered(struct group_calls *calls)
{
	if (--calls->pending > 0)
		return;
	for (uint32_t i = 0; i < calls->count; i++) {
		if (calls->calls[i].ask.out_of_memory) {
			request_out_of_memory(calls->request);
			return;
		}
	}
	calls->finished(calls->request);
}

static void group_calls_answered(struct group_call *call)
{
	group_calls_one_answered(group_calls_of(call->request));
}

void group_calls_go(struct group_calls *calls)
{
	calls->pending = calls->count + 1;
	for (uint32_t i = 0; i < calls->count; i++) {
		struct group_call *call = &calls->calls[i];
		call->answered = group_calls_answered;
		if (call->routed || group_call_route(call)) {
			group_call_send(call);
			continue;
		}
		group_ask_fail(&call->ask, KAFKA_NOT_COORDINATOR);
		calls->pending--;
	}
	group_calls_one_answered(calls);
}
