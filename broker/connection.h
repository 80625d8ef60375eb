/*
 * A client's connection: frames in, responses out, in order. See connection.c for its states.
 */
#pragma once

#include "broker/memory_limit.h"
#include "broker/request.h"

struct admission;

/* What a busy connection's inbox grows to; larger frames get a buffer of their own. */
enum { CONNECTION_INBOX_MAX = 64 * 1024 };

struct connection {
	struct list_node node; /* in the shard's connections */
	struct broker_shard *shard;
	struct socket *socket;
	struct address peer;
	int listener;	      /* index into the configuration's listeners */
	struct admission *admission;
	struct str principal; /* who it is: "User:ANONYMOUS" until something authenticates it */
	char peer_text[ADDRESS_TEXT_SIZE], host_text[ADDRESS_TEXT_SIZE];
	uint64_t id;

	/* Receiving: the bytes [begin, end) of the inbox are not parsed yet. */
	struct buffer *inbox;
	uint32_t inbox_begin, inbox_end;
	struct socket_op receive;
	uint32_t inbox_size;   /* for the next inbox: grows with the traffic */
	uint32_t receive_room; /* that the receive under way was given */
	bool receiving, peer_ended;
	struct memory_waiter memory_waiter;
	uint32_t wanted_inbox; /* bytes that its next frame needs there; 0: it has them */
	struct task resume; /* begins what waited for the end of others */
	bool resume_queued;

	/* Requests in order of arrival, until their responses have left. */
	struct list requests;
	uint32_t request_count; /* in the list */
	uint32_t running;	/* of them, with a handler */
	uint32_t running_alone; /* of those, not to be overlapped */
	bool holds_back;	/* the next frame of the inbox waits for them */
	bool pumping;

	/* Sending: the pieces of the first SENDING_COUNT requests of the list. */
	struct socket_op send;
	struct piece *send_pieces;
	uint32_t send_capacity;
	uint32_t sending_count;
	uint32_t sending_pieces;
	uint64_t sending_left; /* bytes of them that were unsent when it was last looked */
	bool sending, flush_queued;
	struct task flush; /* sends what one turn of the loop has answered */

	bool closed;	      /* the socket is gone; waits for its operations and requests */
	uint32_t outstanding; /* operations and tasks that still point here */
	bool closing;	      /* closes when all earlier responses have left */
	struct timer mute;    /* throttled until then */
	struct timer idle;
	uint64_t active_ns;
	uint64_t progress_ns; /* when a request was taken, or answers had been sent: see also
				 connection_is_stuck */
	size_t unsent_bytes;  /* that answers hold which have not left */
	size_t last_held_bytes; /* by the request that was answered last: the next may be like it */
};

/* Takes a socket that has just been accepted, with its admission (NULL is allowed); runs on the
 * shard where it shall live. */
void connection_start(struct broker_shard *shard, struct socket *socket, int listener,
	struct admission *admission);
/* Closes at once. REASON goes to the log when it is a fault of the peer's, NULL when the end is
 * ordinary. */
void connection_close(struct connection *connection, const char *reason);
/* A running request has its response. */
void connection_request_done(struct connection *connection, struct request *request);
/* Memory that goes when it is closed; 0 while a request of it is at work in the broker. */
size_t connection_held_bytes(const struct connection *connection);
/* Has the connection got nowhere for STUCK_NS before NOW_NS, neither taken a request nor sent much of an
 * answer? Large answers to slow clients take long, and that is not it: each look sees how far they
 * are. To be asked from time to time. */
bool connection_is_stuck(struct connection *connection, uint64_t now_ns, uint64_t stuck_ns);
/* Nothing that it holds for requests to come is of the reserve any more; false when the common part
 * has no room for that. */
bool connection_leave_reserve(struct connection *connection);
/* No new requests are read; closes when the pending ones are answered. */
void connection_drain(struct connection *connection);
