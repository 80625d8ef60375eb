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

/* Calls of one request that are out at a time: of a hundred thousand groups the answers come in
 * portions, and are counted as they come. */
enum { CALLS_OUT_MAX = 64 };

static void group_calls_finish(struct group_calls *calls)
{
	bool out_of_memory = calls->is_too_large;

	for (uint32_t i = 0; i < calls->sent && !out_of_memory; i++)
		out_of_memory = calls->calls[i].ask.out_of_memory;
	if (out_of_memory)
		request_out_of_memory(calls->request);
	else
		calls->finished(calls->request);
}

static void group_calls_answered(struct group_call *call);

/* Sends on; finishes when everything is answered. */
static void group_calls_step(struct group_calls *calls)
{
	calls->pending++; /* this step: whoever answers at once does not finish */
	while (calls->sent < calls->count && calls->pending <= CALLS_OUT_MAX &&
		!calls->is_too_large) {
		struct group_call *call = &calls->calls[calls->sent++];
		call->answered = group_calls_answered;
		if (call->routed || group_call_route(call)) {
			calls->pending++;
			group_call_send(call);
		} else {
			group_ask_fail(&call->ask, KAFKA_NOT_COORDINATOR);
		}
	}
	if (--calls->pending == 0)
		group_calls_finish(calls);
}

static void group_calls_answered(struct group_call *call)
{
	struct request *request = call->request;
	struct group_calls *calls = group_calls_of(request);

	calls->pending--;
	calls->answer_bytes += call->arena.used_bytes;
	calls->is_too_large |= calls->answer_bytes > request->home->response_arena_bytes;
	/* It goes with the request now. */
	request_charge(request, call->arena.used_bytes);
	arena_discharge(&call->arena, request->shard->shard);
	group_calls_step(calls);
}

void group_calls_go(struct group_calls *calls)
{
	group_calls_step(calls);
}
