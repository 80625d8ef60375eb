/*
 * A client's connection, for code that runs in a fiber: every call returns when it is done. Many
 * requests may be sent before the first answer is read; answers come in the order of the requests.
 * After any error the connection is of no more use: wire_close.
 */
#pragma once

#include "protocol/frame.h"
#include "runtime/fiber.h"
#include "runtime/socket.h"

enum { WIRE_PENDING_MAX = 16, WIRE_FRAME_SIZE_MAX = 4 << 20 };

struct wire {
	struct shard *shard;
	struct fiber *fiber;
	struct socket *socket; /* NULL: not connected */
	struct socket_op connect, send, receive;
	bool is_done; /* the operation that is waited for */
	struct timer deadline;
	bool timed_out;
	int32_t next_correlation_id;
	struct {
		const struct api_row *api;
		int version;
		int32_t correlation_id;
	} pending[WIRE_PENDING_MAX]; /* sent and not answered, oldest first */
	unsigned pending_count;
	uint64_t *answers; /* counted here by API key; NULL: nowhere */
};

/* 0 or a negative errno. */
int wire_open(struct wire *wire, struct shard *shard, const struct address *to);
void wire_close(struct wire *wire);

/* Sends a request that is not answered (Produce with acks=0). */
int wire_tell(
	struct wire *wire, struct arena *arena, enum api_key key, int version, const void *request);
/* Sends a request; its answer is read by wire_answer. */
int wire_ask(
	struct wire *wire, struct arena *arena, enum api_key key, int version, const void *request);
/* Reads the answer to the oldest request into RESPONSE, whose views live as long as ARENA.
 * -ETIMEDOUT, -ECONNRESET, -EPIPE, ...; -EBADMSG for an answer that is none. */
int wire_answer(struct wire *wire, struct arena *arena, void *response, uint64_t timeout_ns);
/* Both. No other request may be pending. */
int wire_call(struct wire *wire, struct arena *arena, enum api_key key, int version,
	const void *request, void *response, uint64_t timeout_ns);
