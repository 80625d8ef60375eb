/*
 * What link.c (bytes under way between two ends) and network.c (listeners, connecting, names) share
 * of a simulated network. Nobody else includes this; world_internal.h has what others call.
 */
#pragma once

#include "runtime/simulated/world_internal.h"

#define GIVE_UP_NS (30 * NS_PER_S)
#define RETRY_NS   (200 * NS_PER_MS)

struct link;

struct stream {
	uint8_t *ring; /* window_bytes; NULL until the first byte */
	uint64_t sent, arrived, received;
	bool end_sent, end_arrived;
	uint64_t cut_since_ns; /* 0: not held up */
	struct event arrival;
};

struct end {
	struct link *link;
	struct end *other;
	struct host *host;
	struct wire_socket *socket; /* NULL: closed, or not made yet */
	bool is_open;
	bool is_broken; /* the other side broke it, and that news has arrived */
	int error;
	struct stream out;	/* to the other end */
	struct event send_more; /* a send goes on */
	struct event break_news;
};

struct link {
	struct list_node node; /* in world->links */
	struct world *world;
	uint64_t number;
	uint32_t window_bytes;
	struct end ends[2]; /* the one who asked, the one who listened */
	struct address addresses[2];
};

struct wire_socket {
	struct socket base;    /* first */
	struct list_node node; /* in process->sockets */
	struct machine *process;
	struct end *end;
	struct wire_listener *listener; /* until ACCEPTED ran */
	struct list_node accept_node;
	struct task accept_task;
};

struct wire_listener {
	struct listener base;  /* first */
	struct list_node node; /* in process->listeners */
	struct machine *process;
	struct address address;
	struct list unaccepted;
	bool is_paused;
};

static inline uint64_t network_delay(struct world *world)
{
	return world_delay(world, world->options.network_delay_max_ns);
}

/* A link between the two hosts, with both ends open; its addresses are the caller's to set. */
struct link *link_new(struct world *world, struct host *asking, struct host *listening);
void link_free(struct link *link);

/* What has arrived at END goes to a receive that waits, if one does. */
void end_receive(struct end *end);
/* END's socket sends on, as far as the window allows. */
void end_send(struct end *end);
/* Nobody holds END any more. ABRUPT: what was sent and has not arrived is lost. May free the link. */
void end_close(struct end *end, bool abrupt);

struct wire_socket *wire_socket_new(
	struct machine *process, const struct machine_ops *ops, struct end *end);
/* Frees the socket and closes its end. */
void wire_socket_end(struct wire_socket *socket, bool abrupt);
