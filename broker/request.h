/*
 * One request on its way through the broker: from the frame that a connection received, over
 * decoding, the handler and whatever it waits for, to the encoded response.
 *
 * Invariants:
 *  1. A request belongs to one shard at a time; it starts and ends on its connection's shard (its
 *     home). request_move takes it elsewhere, request_complete brings it home.
 *  2. Each request that was started is completed exactly once, also when its connection has gone:
 *     a handler need not care. What it parked on may look at request->abandoned (set on the home
 *     shard only) through its on_abandon hook.
 *  3. Everything that the handler allocates for the request comes from its arena and lives until
 *     the response has left; what lives elsewhere (file references, buffers) is freed by the
 *     RELEASE hook, on the home shard.
 *  4. From the decoded frame to the encoded response all that it holds is charged to the limit of
 *     memory, on whatever shard it is; but for the first REQUEST_UNCHARGED_MAX bytes of each.
 */
#pragma once

#include "protocol/codec.h"
#include "protocol/errors.h"
#include "runtime/arena.h"
#include "runtime/buffer.h"
#include "runtime/socket.h"

struct broker_shard;
struct connection;
struct image;
struct shared_answer;
struct handler_row;

enum request_state {
	REQUEST_QUEUED,	 /* behind earlier requests of its connection */
	REQUEST_RUNNING, /* the handler has it */
	REQUEST_DONE,	 /* the response is ready, or there is none to send */
};

struct request {
	struct list_node node; /* in its connection's queue */
	struct task task; /* its travels between shards; free for the handler while it runs at one
			     place */
	struct connection *connection;
	struct broker_shard *home;  /* of the connection */
	struct broker_shard *shard; /* where it is now */

	const struct handler_row *handler;
	const struct api_row *api;
	int16_t api_key, version, response_version;
	const char *bad_field;	  /* where the body could not be read; NULL otherwise */
	bool unsupported_version; /* of ApiVersions: answered in version 0 */
	int32_t correlation_id;
	struct str client_id;
	struct str principal; /* lives as long as the request */
	struct str host;      /* the client's address as a number, for the authorizer */
	int listener;	      /* index into the configuration's listeners */
	uint64_t received_ns;

	struct buffer *frame; /* holds the bytes that the decoded request looks into */
	struct bytes body;    /* behind the header */
	struct arena arena;
	size_t beside_bytes;	     /* of its memory outside the arena */
	size_t beside_charged_bytes; /* of those, to the budget */
	void *message;	/* the decoded request: struct NAME_request */
	void *response; /* struct NAME_response with its defaults; the handler fills it in */

	struct image *image; /* the metadata that the request was routed by: one reference */
	enum request_state state;
	bool abandoned;		  /* the connection has gone; for the home shard */
	bool away;		  /* moved to another shard; for the home shard */
	unsigned away_shard;	  /* which */
	struct task abandon_note; /* tells that shard; comes back before the request is freed */
	bool noting;
	bool without_response; /* acks=0 */
	bool close_connection; /* instead of a response (or after it) */
	int32_t throttle_ms;
	void (*moved)(struct request *request); /* where request_move or request_yield goes on */
	void (*on_abandon)(struct request *request); /* tells a parked handler to finish early;
							set with request_park */
	void (*release)(struct request *request); /* frees what isn't the arena's; called once, when
						     the response has left */
	void *context;				  /* the handler's own */

	struct shared_answer *shared; /* the response's body instead of RESPONSE: one reference */
	bool shares; /* others may get the body that is encoded, with the same options */
	uint32_t share_options;
	struct piece *pieces; /* the encoded response */
	uint32_t piece_count;
	size_t response_size;
};

/* Encodes the response and queues it behind those of earlier requests; from any shard, as the
 * handler's last act. A large one is encoded in a step of its own. */
void request_complete(struct request *request);
/* Says that the response follows from nothing but the version, the listener, the shard's image and
 * OPTIONS (the API's own). True when it was encoded for somebody else before: the handler goes on
 * with request_complete. Otherwise the handler makes it, and what it makes is kept for others. */
bool request_answer_is_shared(struct request *request, uint32_t options);
/* Ends it without a response and closes the connection: for what Kafka answers by disconnecting.
 * REASON is for the log. */
void request_disconnect(struct request *request, const char *reason);
/* Goes on with MOVED on shard TO (also when that's the current one: as a later step). */
void request_move(struct request *request, unsigned to, void (*moved)(struct request *request));
/* Goes on with RUN on this shard as a later step, so that others have their turn: for long work, which
 * is cut. A request that is parked stays so. */
void request_yield(struct request *request, void (*run)(struct request *request));
/* Out of arena or of another limit: answers by disconnecting, as there is no room to say more. */
void request_out_of_memory(struct request *request);

/* Frees what the shard keeps for reuse. */
void request_cache_done(struct broker_shard *home);

/* Arena shorthands: on exhaustion they return NULL, and the handler calls request_out_of_memory. */
#define request_alloc(request, size)		arena_alloc(&(request)->arena, (size))
#define request_new(request, type)		arena_new(&(request)->arena, type)
#define request_new_array(request, type, count) arena_new_array(&(request)->arena, type, (count))

/* For tables in memory whose keys a client chooses. */
uint32_t request_seed(const struct request *request);
/* Of the listener on which the request came. */
struct str request_listener_name(const struct request *request);
/* Its arena is charged to the limit of memory as it grows. SIZE bytes that are elsewhere but go with
 * it are so until it is freed, or for as long as they are there. */
void request_charge(struct request *request, size_t size);
void request_discharge(struct request *request, size_t size);
/* It waits, and ON_ABANDON may run on this shard when its client has gone; NULL: no longer. */
static inline void request_park(
	struct request *request, void (*on_abandon)(struct request *request))
{
	__atomic_store_n(&request->on_abandon, on_abandon, __ATOMIC_RELAXED);
}
/* Goes on with the newest image that this shard has been told of. */
void request_image_refresh(struct request *request);

/* From now on all that is charged for it is so to BUDGET, also what is charged already; on the shard
 * where it is. */
void request_charge_to(struct request *request, struct buffer_budget *budget);

/* For connection.c. Takes a reference of FRAME; what it holds is charged to BUDGET. NULL when memory
 * is out. */
struct request *request_new_from_frame(struct connection *connection, struct buffer *frame,
	struct bytes bytes, struct buffer_budget *budget);
/* Reads the header and decodes the body, then queues or answers; negative errno when the connection
 * must be closed. */
int request_parse(struct request *request, struct bytes bytes, const char **ret_reason);
void request_start(struct request *request);
/* The connection has gone: whoever has the request parked is told, wherever that is. */
void request_abandon(struct request *request);
void request_free(struct request *request);
/* What it holds that is charged to the limit of memory; at home, wherever the request is. */
static inline size_t request_charged_bytes(const struct request *request)
{
	return arena_charged_bytes(&request->arena) +
	       __atomic_load_n(&request->beside_charged_bytes, __ATOMIC_RELAXED);
}
/* It waits for something, and may be told to finish early; at home, wherever the request is. */
static inline bool request_is_parked(const struct request *request)
{
	return __atomic_load_n(&request->on_abandon, __ATOMIC_RELAXED);
}
