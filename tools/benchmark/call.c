/*
 * Requests from a file, sent in turn as they are: ApiVersions, Metadata, Heartbeat and whatever else
 * has the same answer every time. Every response must be as long as the first one of its request,
 * and without an error where the option says that the error code is.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tools/benchmark/batches.h"

struct call {
	struct bytes frame;
	int32_t correlation_id;
	size_t response_size; /* 0: not known yet */
};

struct call_state {
	struct call *calls;
	uint32_t count;
};

static void call_setup(struct group *group)
{
	struct call_state *state = calloc(1, sizeof(*state));
	FILE *file = fopen(group->options.frames ? group->options.frames : "", "re");
	uint8_t prefix[FRAME_SIZE_PREFIX];

	if (!state || !file)
		die("call wants a file of frames");
	while (fread(prefix, 1, sizeof(prefix), file) == sizeof(prefix)) {
		uint32_t size = load_be32(prefix);
		uint8_t *frame = malloc(size + sizeof(prefix));

		state->calls = realloc(state->calls, (state->count + 1) * sizeof(*state->calls));
		memcpy(frame, prefix, sizeof(prefix));
		if (size < 8 || fread(frame + sizeof(prefix), 1, size, file) != size)
			die("%s is cut short", group->options.frames);
		state->calls[state->count++] = (struct call){
			.frame = {frame, (int32_t)(size + sizeof(prefix))},
			.correlation_id = (int32_t)load_be32(frame + 8),
		};
	}
	if (state->count == 0)
		die("%s holds no request", group->options.frames);
	fclose(file);
	group->state = state;
}

static bool call_next(struct connection *connection, uint64_t due_ns, struct request *ret)
{
	struct call_state *state = connection->group->state;
	uint32_t number = (uint32_t)((connection->asked + connection->index) % state->count);

	*ret = (struct request){
		.data = state->calls[number].frame,
		.correlation_id = state->calls[number].correlation_id,
		.partition = number,
		.bytes = state->calls[number].frame.size,
	};
	return true;
}

static void call_answer(struct connection *connection, struct pending *pending, struct bytes head,
	size_t size, uint64_t now_ns)
{
	const struct group_options *options = &connection->group->options;
	struct call_state *state = connection->group->state;
	struct call *call = &state->calls[pending->request.partition];

	if (options->unchecked)
		return;
	if (!call->response_size)
		call->response_size = size;
	if (size != call->response_size)
		die("call: a response of %zu bytes after one of %zu", size, call->response_size);
	if (options->error_at >= 0 && (options->error_at + 2 > head.size ||
					      load_be16(head.data + options->error_at)))
		die("call: a response with an error");
}

const struct workload call_workload = {
	.name = "call",
	.setup = call_setup,
	.next = call_next,
	.answer = call_answer,
};
