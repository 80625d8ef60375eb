/*
 * Connections. Bytes are received into an inbox, whole frames become requests that look into it
 * without copying, requests run in the order of arrival and their responses leave in that order.
 *
 * Invariants:
 *  1. A request is decoded when it may start; until then it is bytes in the inbox, and nothing
 *     behind it is looked at. Requests run side by side only when all of them have
 *     HANDLER_OVERLAPS.
 *  2. Nothing is received while REQUESTS_MAX requests are unanswered, while the connection is
 *     muted, or while the memory limit has no room: the client is held back by TCP, nothing is
 *     dropped. Nothing is started while the client leaves answers unread, or while more memory is
 *     held than the limit allows. A connection that holds little itself waits only when the
 *     limit's reserve is used up, too (memory_limit.h).
 *  3. A frame's bytes stay where they were received as long as a request refers to them. An inbox
 *     that requests refer to is only filled behind them, never moved.
 *  4. A large frame's buffer grows with the bytes that really came, so that a promise costs
 *     nothing; it grows in place, so that every frame that the limit has room for can come.
 *  5. The memory of a connection goes when the socket is closed, no operation is outstanding and
 *     no request is left.
 *
 *	open --(peer's fault, idle, end of the stream with nothing pending)--> closed
 *	open --(drain, or a request that ends the connection)--> closing
 *	closing: answers what is pending --> closed
 *	closed --(last request done)--> freed
 */
#include "broker/connection.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/dispatch.h"
#include "broker/listeners.h"
#include "broker/observe/log.h"
#include "broker/state.h"
#include "protocol/frame.h"

enum {
	INBOX_SIZE_MIN = 1024,	  /* what an idle connection holds */
	FRAME_STEP = 1024 * 1024, /* a larger frame's buffer doubles as the bytes come */
	REQUESTS_MAX = 64,	  /* unanswered on one connection */
	SEND_REQUESTS_MAX = 32,	  /* answered by one send */
	UNSENT_MAX = 1024 * 1024, /* bytes of answers; beyond it no further request begins */
	PROGRESS_BYTES_MIN = 128 * 1024, /* of a send under way */
};

static void connection_pump(struct connection *connection);
static void connection_flush(struct connection *connection);
static void connection_free_when_done(struct connection *connection);

/* A step that touches a connection holds it, since anything in between may close it. An operation
 * that completes hands its hold over to the step. */
static void connection_hold(struct connection *connection)
{
	connection->outstanding++;
}

static void connection_let_go(struct connection *connection)
{
	ensure(connection->outstanding > 0);
	connection->outstanding--;
	connection_free_when_done(connection);
}

static uint32_t inbox_used(const struct connection *connection)
{
	return connection->inbox_end - connection->inbox_begin;
}

/* What the client did, for the operator, from the first bytes of something that isn't a frame. */
static const char *frame_guess(const uint8_t *data)
{
	if (memcmp(data, "GET ", 4) == 0 || memcmp(data, "POST", 4) == 0 ||
		memcmp(data, "HEAD", 4) == 0 || memcmp(data, "PUT ", 4) == 0)
		return "an HTTP request on a Kafka listener";
	if (data[0] == 0x16 && data[1] == 0x03)
		return "a TLS handshake on a plaintext listener: set security.protocol=PLAINTEXT "
		       "in the client, or use a TLS listener";
	return NULL;
}

static void connection_receive_done(struct shard *shard, struct socket_op *op);
static void connection_memory_ready(struct memory_waiter *waiter)
{
	struct connection *connection = container_of(waiter, struct connection, memory_waiter);

	connection_hold(connection);
	connection_pump(connection);
	connection_let_go(connection);
}

/* What its requests hold, with the buffers that they refer to; the last of these is told, too. */
static size_t connection_requests_bytes(
	const struct connection *connection, const struct buffer **ret_last)
{
	const struct buffer *last = NULL;
	size_t held = 0;

	list_for_each (node, &connection->requests) {
		const struct request *request = container_of(node, struct request, node);
		if (request->frame != last)
			held += request->frame->capacity;
		last = request->frame;
		held += request_charged_bytes(request);
	}
	*ret_last = last;
	return held;
}

/* All that it holds, with an inbox of WANTED_INBOX bytes if that is not 0. */
static size_t connection_memory(const struct connection *connection, uint32_t wanted_inbox)
{
	const struct buffer *inbox = connection->inbox, *last;
	size_t held = connection_requests_bytes(connection, &last);

	if (wanted_inbox > 0)
		return held + wanted_inbox;
	return inbox && inbox != last ? held + inbox->capacity : held;
}

static bool connection_is_small(const struct connection *connection)
{
	return max_of(connection_memory(connection, connection->wanted_inbox),
		       connection->last_held_bytes) <= MEMORY_SMALL_MAX;
}

static void connection_wait_for_memory(struct connection *connection, size_t want)
{
	connection->memory_waiter.ready = connection_memory_ready;
	memory_wait(connection->shard, &connection->memory_waiter, want,
		connection_is_small(connection));
}

/* A large frame's buffer grows where it is, so that all of what is received never needs to be there
 * twice. */
static bool connection_inbox_grow(struct connection *connection, uint32_t want)
{
	struct shard *shard = connection->shard->shard;
	struct buffer *larger = buffer_grow(shard, connection->inbox, want);

	if (!larger) {
		connection_wait_for_memory(connection, buffer_growth(connection->inbox, want));
		return false;
	}
	connection->inbox = larger;
	return true;
}

/* An inbox with room for WANT bytes in all from inbox_begin on, for a frame of FRAME_SIZE (0: not
 * known yet); what is there already is kept. */
static bool connection_inbox_reserve(
	struct connection *connection, uint32_t want, uint32_t frame_size)
{
	struct buffer *inbox = connection->inbox;
	uint32_t used = inbox_used(connection);

	if (inbox && inbox->capacity - connection->inbox_begin >= want)
		return true;
	struct broker_shard *shard = connection->shard;
	connection->wanted_inbox = max_of(want, frame_size);
	if (inbox && buffer_is_unshared(inbox)) {
		/* Nobody else looks into it: move the rest to the front. */
		memmove(inbox->data, inbox->data + connection->inbox_begin, used);
		connection->inbox_begin = 0;
		connection->inbox_end = used;
		if (inbox->capacity >= want)
			return true;
		if (want > CONNECTION_INBOX_MAX && inbox->budget == shard->broker->budget)
			return connection_inbox_grow(connection, want);
	}
	struct buffer *larger = buffer_new(shard->shard, shard->broker->budget, want);
	if (!larger && connection_is_small(connection))
		larger = memory_reserve_buffer_new(shard, want);
	if (!larger) {
		connection_wait_for_memory(connection, want);
		return false;
	}
	if (used > 0)
		memcpy(larger->data, inbox->data + connection->inbox_begin, used);
	buffer_unref(shard->shard, inbox);
	connection->inbox = larger;
	connection->inbox_begin = 0;
	connection->inbox_end = used;
	return true;
}

/* Asks for more bytes, if there may be more. FRAME_SIZE is the whole of the frame at the head of
 * the inbox with its size field, 0 when not even that is there. */
static void connection_receive(struct connection *connection, uint32_t frame_size)
{
	uint32_t used = inbox_used(connection);
	uint32_t want;

	if (connection->receiving || connection->memory_waiter.is_waiting || connection->peer_ended)
		return;
	if (frame_size > connection->shard->inbox_size_max) {
		/* Exactly this frame: the next one begins in a fresh inbox. Promised bytes cost
		 * little until some have come. */
		want = used < CONNECTION_INBOX_MAX / 2
			       ? (uint32_t)CONNECTION_INBOX_MAX
			       : min_of(frame_size, max_of((uint32_t)FRAME_STEP, used * 2));
	} else {
		want = max_of(frame_size, max_of(connection->inbox_size, used + 4));
	}
	if (!connection_inbox_reserve(connection, want, frame_size))
		return;
	connection->receiving = true;
	connection_hold(connection);
	connection->receive.done = connection_receive_done;
	uint32_t room = frame_size > connection->shard->inbox_size_max
				? want - used
				: connection->inbox->capacity - connection->inbox_end;
	connection->receive_room = room;
	socket_receive(connection->socket, &connection->receive,
		connection->inbox->data + connection->inbox_end, room);
}

static void connection_received(struct connection *connection, int64_t result)
{
	if (connection->closed)
		return;
	if (result <= 0) {
		connection->peer_ended = true;
		/* A reset is an ordinary way for clients to go. One that has ended its side may
		 * still read what it asked for. */
		if (result < 0 || list_is_empty(&connection->requests))
			connection_close(connection, NULL);
		else
			connection->closing = true;
		return;
	}
	connection->inbox_end += (uint32_t)result;
	connection->active_ns = shard_now_ns(connection->shard->shard);
	connection->shard->metrics.bytes_in += (uint64_t)result;
	if (result == connection->receive_room && connection->inbox_size < CONNECTION_INBOX_MAX)
		connection->inbox_size *= 2;
	connection_pump(connection);
}

static void connection_receive_done(struct shard *shard, struct socket_op *op)
{
	struct connection *connection = container_of(op, struct connection, receive);

	connection->receiving = false;
	connection_received(connection, op->result);
	connection_let_go(connection);
}

/* A whole frame is there, whose request those that run do not allow to run beside them. What is no
 * request at all does not wait: it ends the connection. */
static bool connection_must_hold_back(const struct connection *connection)
{
	uint32_t used = inbox_used(connection);
	struct frame_peek peek;

	if (connection->running == 0 || used < 4)
		return false;
	const uint8_t *data = connection->inbox->data + connection->inbox_begin;
	uint32_t size = load_be32(data);
	if (size > used - 4)
		return false;
	struct bytes frame = {.data = data + 4, .size = (int32_t)size};
	const struct handler_row *row =
		frame_request_peek(frame, &peek) < 0 ? NULL : handler_find(peek.api_key);
	return row && (connection->running_alone > 0 || !(row->flags & HANDLER_OVERLAPS));
}

static void connection_start_request(struct connection *connection, struct request *request)
{
	connection->running++;
	if (!(request->handler->flags & HANDLER_OVERLAPS))
		connection->running_alone++;
	connection->progress_ns = shard_now_ns(connection->shard->shard);
	request_start(request);
}

/* Takes a request out of the queue and frees it. */
static void connection_request_end(struct connection *connection, struct request *request)
{
	list_remove(&request->node);
	connection->request_count--;
	if (request->state == REQUEST_DONE)
		connection->unsent_bytes -= request_charged_bytes(request);
	request_free(request);
	/* What it waits for may be little now that this has gone. */
	if (connection->memory_waiter.is_waiting && connection_is_small(connection))
		memory_wait_is_small(&connection->memory_waiter);
}

/* What another request may be charged to; NULL when there is no room to begin one: then this is seen
 * to again when there is. */
static struct buffer_budget *connection_room(struct connection *connection)
{
	struct broker_shard *shard = connection->shard;

	if (connection->memory_waiter.is_waiting || connection->unsent_bytes > UNSENT_MAX)
		return NULL;
	if (!buffer_budget_is_over(shard->broker->budget))
		return shard->broker->budget;
	connection->wanted_inbox = 0;
	struct buffer_budget *budget = memory_to_begin(shard, connection_is_small(connection));
	if (!budget)
		connection_wait_for_memory(connection, 1);
	return budget;
}

/* Why a frame of SIZE bytes is not received; NULL when it is. */
static const char *frame_refusal(const struct connection *connection, int32_t size)
{
	const struct broker_shard *shard = connection->shard;

	if (size < 0)
		return "a frame of negative size";
	if (size > shard->request_size_max)
		return "a frame larger than socket.request.max.bytes";
	if (!buffer_can_fit(shard->broker->budget, 4 + (size_t)size))
		return "a frame for which the memory limit has no room: raise "
		       "barnabas.memory.limit.bytes, and queued.max.request.bytes if it is set";
	return NULL;
}

/* Takes the next frame off the inbox, for a request that is charged to BUDGET. 1: a request was
 * started; 0: more bytes are needed, *RET_FRAME_SIZE as connection_receive wants it; -1: the
 * connection was closed. */
static int connection_take_frame(
	struct connection *connection, struct buffer_budget *budget, uint32_t *ret_frame_size)
{
	uint32_t used = inbox_used(connection);

	*ret_frame_size = 0;
	if (used < 4)
		return 0;
	const uint8_t *data = connection->inbox->data + connection->inbox_begin;
	int32_t size = (int32_t)load_be32(data);
	const char *reason = frame_refusal(connection, size);
	if (reason) {
		const char *guess = frame_guess(data);
		log_event(&connection->shard->logger, LOG_REQUEST_BAD,
			log_text("peer", connection->peer_text),
			log_text("saw", guess ? guess : reason), log_int("frame_size_bytes", size));
		connection_close(connection, NULL);
		return -1;
	}
	*ret_frame_size = 4 + (uint32_t)size;
	if (used < *ret_frame_size)
		return 0;

	struct bytes frame = {.data = data + 4, .size = size};
	struct request *request =
		request_new_from_frame(connection, connection->inbox, frame, budget);
	if (!request) {
		connection_close(connection, "out of memory for a request");
		return -1;
	}
	connection->inbox_begin += *ret_frame_size;
	int error = request_parse(request, frame, &reason);
	if (error < 0) {
		log_event(&connection->shard->logger, LOG_REQUEST_BAD,
			log_text("peer", connection->peer_text), log_text("saw", reason),
			log_int("api_key", request->api_key), log_int("version", request->version),
			log_text("api", request->api ? request->api->name : NULL),
			log_text("field", request->bad_field));
		request_free(request);
		connection_close(connection, NULL);
		return -1;
	}
	list_push_back(&connection->requests, &request->node);
	connection->request_count++;
	connection_start_request(connection, request);
	return 1;
}

/* Gives an inbox back that has nothing in it, so that idle connections hold little. */
static void connection_inbox_trim(struct connection *connection)
{
	if (inbox_used(connection) != 0 || connection->receiving || !connection->inbox)
		return;
	if (!buffer_is_unshared(connection->inbox) ||
		connection->inbox->capacity >
			2 * max_of(connection->inbox_size, (uint32_t)INBOX_SIZE_MIN)) {
		buffer_unref(connection->shard->shard, connection->inbox);
		connection->inbox = NULL;
	}
	connection->inbox_begin = connection->inbox_end = 0;
}

/* Starts and parses what can be, then asks for more bytes. Handlers may answer inside and come back
 * here: only the outermost call works. */
static void connection_pump(struct connection *connection)
{
	uint32_t frame_size = 0;

	if (connection->pumping || connection->closed)
		return;
	connection->pumping = true;
	while (!connection->closed) {
		if (connection->closing || connection->request_count >= REQUESTS_MAX ||
			timer_is_set(&connection->mute) || connection->receiving)
			break;
		connection->holds_back = connection_must_hold_back(connection);
		if (connection->holds_back)
			break;
		struct buffer_budget *budget = NULL;
		if (inbox_used(connection) >= 4 && !(budget = connection_room(connection)))
			break;
		int taken = connection_take_frame(connection, budget, &frame_size);
		if (taken == 0) {
			connection_inbox_trim(connection);
			connection_receive(connection, frame_size);
			break;
		}
	}
	connection->pumping = false;
}

/* A step that pumps again, so that answers given inside other connections' steps don't nest. */
static void connection_resume_run(struct shard *shard, struct task *task)
{
	struct connection *connection = container_of(task, struct connection, resume);

	connection->resume_queued = false;
	connection_pump(connection);
	connection_let_go(connection);
}

static void connection_resume(struct connection *connection)
{
	if (connection->resume_queued || connection->closed)
		return;
	connection->resume_queued = true;
	connection_hold(connection);
	connection->resume.run = connection_resume_run;
	shard_post(connection->shard->shard, &connection->resume);
}

static void connection_flush_run(struct shard *shard, struct task *task)
{
	struct connection *connection = container_of(task, struct connection, flush);

	connection->flush_queued = false;
	connection_flush(connection);
	connection_pump(connection); /* requests without an answer have made room */
	connection_let_go(connection);
}

/* Answers leave together with those of the requests behind them that take no longer: the client
 * and the network are woken once for all. */
static void connection_flush_late(struct connection *connection)
{
	if (connection->flush_queued || connection->closed)
		return;
	connection->flush_queued = true;
	connection_hold(connection);
	connection->flush.run = connection_flush_run;
	shard_post_late(connection->shard->shard, &connection->flush);
}

void connection_request_done(struct connection *connection, struct request *request)
{
	ensure(request->state == REQUEST_RUNNING);
	request->state = REQUEST_DONE;
	connection->last_held_bytes = request_charged_bytes(request);
	connection->unsent_bytes += connection->last_held_bytes;
	connection->running--;
	if (!(request->handler->flags & HANDLER_OVERLAPS))
		connection->running_alone--;
	if (connection->closed) {
		connection_request_end(connection, request);
		connection_free_when_done(connection);
		return;
	}
	if (request->throttle_ms > 0 && !connection->closing)
		timer_set(connection->shard->shard, &connection->mute,
			shard_now_ns(connection->shard->shard) +
				(uint64_t)request->throttle_ms * NS_PER_MS);
	if (connection->holds_back)
		connection_resume(connection);
	connection_flush_late(connection);
}

/* ---- sending ---- */

static void connection_send_done(struct shard *shard, struct socket_op *op)
{
	struct connection *connection = container_of(op, struct connection, send);

	connection->sending = false;
	for (; connection->sending_count > 0; connection->sending_count--) {
		struct request *request =
			container_of(list_first(&connection->requests), struct request, node);
		connection->shard->metrics.bytes_out += request->response_size;
		connection_request_end(connection, request);
	}
	if (op->result < 0) {
		/* The client has gone, or a file that it read from was cut: either way it must
		 * connect again. */
		connection_close(connection,
			op->result == -ENODATA
				? "a slice of a log segment was truncated before it was sent"
				: NULL);
	} else {
		connection->active_ns = connection->progress_ns = shard_now_ns(shard);
		connection_flush(connection);
		connection_pump(connection);
	}
	connection_let_go(connection);
}

/* What the send under way has not handed over yet. */
static uint64_t connection_sending_left(const struct connection *connection)
{
	uint64_t left = 0;

	for (uint32_t i = 0; i < connection->sending_pieces; i++)
		left += connection->send_pieces[i].size;
	return left;
}

bool connection_is_stuck(struct connection *connection, uint64_t now_ns, uint64_t stuck_ns)
{
	if (connection->sending) {
		uint64_t left = connection_sending_left(connection);

		if (left + PROGRESS_BYTES_MIN <= connection->sending_left) {
			connection->sending_left = left;
			connection->progress_ns = now_ns;
		}
	}
	return now_ns - min_of(connection->progress_ns, now_ns) >= stuck_ns;
}

static bool connection_pieces_reserve(struct connection *connection, uint32_t count)
{
	if (count <= connection->send_capacity)
		return true;
	struct piece *pieces = realloc(connection->send_pieces, count * sizeof(*pieces));
	if (!pieces)
		return false;
	connection->send_pieces = pieces;
	connection->send_capacity = count;
	return true;
}

/* Sends the responses at the head of the queue that are ready, in one call. */
static void connection_flush(struct connection *connection)
{
	uint32_t pieces = 0, requests = 0;
	uint64_t bytes = 0;
	bool close_after = false;

	if (connection->sending || connection->closed)
		return;
	/* Requests without a response leave silently when it is their turn. */
	for (struct list_node *node; (node = list_first(&connection->requests));) {
		struct request *request = container_of(node, struct request, node);
		if (request->state != REQUEST_DONE || !request->without_response ||
			request->close_connection)
			break;
		connection_request_end(connection, request);
	}
	list_for_each (node, &connection->requests) {
		struct request *request = container_of(node, struct request, node);
		if (request->state != REQUEST_DONE || requests == SEND_REQUESTS_MAX)
			break;
		if (request->close_connection && request->without_response) {
			if (requests == 0)
				close_after = true;
			break;
		}
		if (request->without_response)
			break;
		if (!connection_pieces_reserve(connection, pieces + request->piece_count)) {
			if (requests > 0)
				break;
			connection_close(connection, "out of memory for a response");
			return;
		}
		memcpy(connection->send_pieces + pieces, request->pieces,
			request->piece_count * sizeof(struct piece));
		pieces += request->piece_count;
		bytes += request->response_size;
		requests++;
	}
	if (close_after) {
		connection_close(connection, NULL);
		return;
	}
	if (requests == 0) {
		if (connection->closing && list_is_empty(&connection->requests))
			connection_close(connection, NULL);
		return;
	}
	connection->sending = true;
	connection_hold(connection);
	connection->sending_count = requests;
	connection->sending_pieces = pieces;
	connection->sending_left = bytes;
	connection->send.done = connection_send_done;
	socket_send(connection->socket, &connection->send, connection->send_pieces, pieces);
}

/* ---- life ---- */

static void connection_mute_over(struct shard *shard, struct timer *timer)
{
	struct connection *connection = container_of(timer, struct connection, mute);

	connection_hold(connection);
	connection_pump(connection);
	connection_let_go(connection);
}

static void connection_idle_check(struct shard *shard, struct timer *timer)
{
	struct connection *connection = container_of(timer, struct connection, idle);
	uint64_t deadline_ns = connection->active_ns + connection->shard->idle_max_ns;

	/* Who waits for an answer is not idle, unless it has ended its side: then it is hardly there. */
	if ((connection->running > 0 && !connection->peer_ended) || connection->sending)
		deadline_ns = shard_now_ns(shard) + connection->shard->idle_max_ns;
	if (shard_now_ns(shard) >= deadline_ns)
		connection_close(connection, NULL);
	else
		timer_set(shard, &connection->idle, deadline_ns);
}

void connection_start(struct broker_shard *shard, struct socket *socket, int listener,
	struct admission *admission)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection) {
		admission_end(shard, admission);
		socket_close(socket);
		return;
	}
	connection->shard = shard;
	connection->socket = socket;
	connection->peer = socket_peer(socket);
	connection->listener = listener;
	connection->admission = admission;
	connection->principal = STR("User:ANONYMOUS");
	connection->id = shard->connections_started++;
	connection->inbox_size = INBOX_SIZE_MIN;
	connection->active_ns = connection->progress_ns = shard_now_ns(shard->shard);
	connection->mute.fire = connection_mute_over;
	connection->idle.fire = connection_idle_check;
	address_format(&connection->peer, connection->peer_text);
	address_format_host(&connection->peer, connection->host_text);
	list_init(&connection->requests);
	list_push_back(&shard->connections, &connection->node);
	shard->connection_count++;
	socket_attach(shard->shard, socket);
	if (shard->idle_max_ns > 0)
		timer_set(shard->shard, &connection->idle,
			connection->active_ns + shard->idle_max_ns);
	connection_hold(connection);
	if (shard->draining)
		connection_close(connection, NULL);
	else
		connection_pump(connection);
	connection_let_go(connection);
}

void connection_close(struct connection *connection, const char *reason)
{
	struct shard *shard = connection->shard->shard;

	if (connection->closed)
		return;
	if (reason)
		log_event(&connection->shard->logger, LOG_CONNECTION_CLOSED,
			log_text("peer", connection->peer_text), log_text("reason", reason));
	connection->closed = true;
	admission_end(connection->shard, connection->admission);
	connection->admission = NULL;
	timer_stop(shard, &connection->mute);
	timer_stop(shard, &connection->idle);
	memory_wait_cancel(&connection->memory_waiter);
	socket_close(connection->socket);
	connection->socket = NULL;
	/* What runs is told and comes back; what is being sent is freed when the send has been
	 * cancelled; the rest goes now. */
	uint32_t place = 0;
	connection_hold(connection);
	list_for_each_safe (node, &connection->requests) {
		struct request *request = container_of(node, struct request, node);
		if (place++ < connection->sending_count)
			continue;
		if (request->state == REQUEST_RUNNING) {
			request_abandon(request);
		} else {
			connection_request_end(connection, request);
		}
	}
	connection_let_go(connection);
}

size_t connection_held_bytes(const struct connection *connection)
{
	list_for_each (node, &connection->requests) {
		const struct request *request = container_of(node, struct request, node);
		/* At work, not parked: its memory would stay until that is done. */
		if (request->state == REQUEST_RUNNING && !request_is_parked(request))
			return 0;
	}
	return connection_memory(connection, 0);
}

bool connection_leave_reserve(struct connection *connection)
{
	struct broker_shard *shard = connection->shard;
	struct buffer *inbox = connection->inbox;

	/* What requests look into goes back when they end. */
	if (!inbox || inbox->budget == shard->broker->budget || !buffer_is_unshared(inbox))
		return !inbox || inbox->budget == shard->broker->budget;
	return buffer_move(shard->shard, inbox, shard->broker->budget);
}

void connection_drain(struct connection *connection)
{
	connection->closing = true;
	connection_flush_late(connection);
}

static void connection_free_when_done(struct connection *connection)
{
	if (!connection->closed || connection->outstanding > 0 || connection->request_count > 0)
		return;
	struct broker_shard *shard = connection->shard;
	buffer_unref(shard->shard, connection->inbox);
	free(connection->send_pieces);
	list_remove(&connection->node);
	shard->connection_count--;
	free(connection);
}
