#include "wire.h"

#include <errno.h>

static void wire_wake(struct wire *wire)
{
	wire->is_done = true;
	fiber_wake(wire->shard, wire->fiber);
}

static void connect_done(struct shard *shard, struct socket_op *op)
{
	wire_wake(container_of(op, struct wire, connect));
}

static void send_done(struct shard *shard, struct socket_op *op)
{
	wire_wake(container_of(op, struct wire, send));
}

static void receive_done(struct shard *shard, struct socket_op *op)
{
	wire_wake(container_of(op, struct wire, receive));
}

/* Ends the operation under way: it comes back canceled. */
static void deadline_fire(struct shard *shard, struct timer *timer)
{
	struct wire *wire = container_of(timer, struct wire, deadline);

	wire->timed_out = true;
	socket_close(wire->socket);
	wire->socket = NULL;
}

static int64_t wire_wait(struct wire *wire, struct socket_op *op)
{
	while (!wire->is_done)
		fiber_wait(wire->shard);
	return wire->timed_out ? -ETIMEDOUT : op->result;
}

int wire_open(struct wire *wire, struct shard *shard, const struct address *to)
{
	int64_t result;

	*wire = (struct wire){.shard = shard, .fiber = fiber_current(shard)};
	wire->connect.done = connect_done;
	wire->send.done = send_done;
	wire->receive.done = receive_done;
	wire->deadline.fire = deadline_fire;
	socket_connect(shard, &wire->connect, to);
	result = wire_wait(wire, &wire->connect);
	if (result == 0)
		wire->socket = wire->connect.socket;
	return (int)result;
}

void wire_close(struct wire *wire)
{
	timer_stop(wire->shard, &wire->deadline);
	socket_close(wire->socket);
	wire->socket = NULL;
	wire->pending_count = 0;
}

int wire_tell(
	struct wire *wire, struct arena *arena, enum api_key key, int version, const void *request)
{
	const struct api_row *api = api_find(key);
	struct output output;
	struct codec_error codec_error;
	struct piece piece;
	int error;

	if (!wire->socket)
		return -ENOTCONN;
	output_init(&output, arena, 256);
	error = frame_request_encode(&output, api, version, wire->next_correlation_id, STR("model"),
		request, &codec_error);
	/* A request of ours that can't be said is our mistake. */
	ensure(error == 0);
	wire->next_correlation_id++;
	piece = (struct piece){.data = output.data, .size = output.size};
	wire->is_done = false;
	timer_set(wire->shard, &wire->deadline, shard_now_ns(wire->shard) + 30 * NS_PER_S);
	socket_send(wire->socket, &wire->send, &piece, 1);
	error = (int)wire_wait(wire, &wire->send);
	timer_stop(wire->shard, &wire->deadline);
	return error;
}

int wire_ask(
	struct wire *wire, struct arena *arena, enum api_key key, int version, const void *request)
{
	ensure(wire->pending_count < WIRE_PENDING_MAX);
	wire->pending[wire->pending_count].api = api_find(key);
	wire->pending[wire->pending_count].version = version;
	wire->pending[wire->pending_count++].correlation_id = wire->next_correlation_id;
	return wire_tell(wire, arena, key, version, request);
}

static int wire_read(struct wire *wire, uint8_t *to, size_t size)
{
	while (size > 0) {
		int64_t got;

		if (!wire->socket)
			return wire->timed_out ? -ETIMEDOUT : -ENOTCONN;
		wire->is_done = false;
		socket_receive(wire->socket, &wire->receive, to, size);
		got = wire_wait(wire, &wire->receive);
		if (got <= 0)
			return got < 0 ? (int)got : -ECONNRESET;
		to += got;
		size -= (size_t)got;
	}
	return 0;
}

static int wire_answer_read(struct wire *wire, struct arena *arena, void *response)
{
	const struct api_row *api = wire->pending[0].api;
	int version = wire->pending[0].version;
	int32_t correlation_id = wire->pending[0].correlation_id;
	struct response_header header;
	struct bytes frame, body;
	struct codec_error codec_error;
	uint8_t prefix[FRAME_SIZE_PREFIX], *data;
	size_t consumed;
	uint32_t size;
	int error = wire_read(wire, prefix, sizeof(prefix));

	if (error)
		return error;
	size = load_be32(prefix);
	if (size > WIRE_FRAME_SIZE_MAX || !(data = arena_alloc(arena, size)))
		return -EBADMSG;
	error = wire_read(wire, data, size);
	if (error)
		return error;
	frame = (struct bytes){.data = data, .size = (int32_t)size};
	error = frame_response_header_decode(
		frame, api, version, arena, &header, &body, &codec_error);
	if (error || header.correlation_id != correlation_id)
		return -EBADMSG;
	error = schema_decode(
		api->response, version, body, arena, response, &consumed, &codec_error);
	if (error || consumed != (size_t)body.size)
		return -EBADMSG;
	if (wire->answers)
		wire->answers[api->key]++;
	wire->pending_count--;
	memmove(wire->pending, wire->pending + 1, wire->pending_count * sizeof(*wire->pending));
	return 0;
}

int wire_answer(struct wire *wire, struct arena *arena, void *response, uint64_t timeout_ns)
{
	int error;

	ensure(wire->pending_count > 0);
	if (!wire->socket)
		return -ENOTCONN;
	timer_set(wire->shard, &wire->deadline, shard_now_ns(wire->shard) + timeout_ns);
	error = wire_answer_read(wire, arena, response);
	timer_stop(wire->shard, &wire->deadline);
	return error;
}

int wire_call(struct wire *wire, struct arena *arena, enum api_key key, int version,
	const void *request, void *response, uint64_t timeout_ns)
{
	int error;

	ensure(wire->pending_count == 0);
	error = wire_ask(wire, arena, key, version, request);
	return error ? error : wire_answer(wire, arena, response, timeout_ns);
}
