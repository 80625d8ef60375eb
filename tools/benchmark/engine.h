/*
 * The engine of the load generator: connections in groups, each group asking in its own way.
 *
 * A group is CONNECTIONS sockets that share a workload (produce.c, fetch.c, call.c). The workload
 * makes whole requests, encoded before they are needed, and judges whole responses; the engine
 * sends, receives, paces and measures. Everything runs in one thread: on the core that the broker
 * does not have, it must be several times faster than any broker.
 *
 * Pacing. Without a rate a group is a closed loop: each connection keeps INFLIGHT requests
 * unanswered. With a rate it is an open loop: request number n is due at n / rate, whatever the
 * broker does, and its latency runs from when it was due; requests that a slow broker keeps us from
 * sending in time count with all of their delay (no coordinated omission).
 *
 * Time.	start ---- warm-up ---- measure_ns ---- window ---- end_ns ---- drain
 * Counted are responses that come inside the window; latencies are those of requests that became
 * due inside it, whenever they are answered.
 *
 * A response that is not as expected ends the program: a benchmark of errors measures nothing.
 */
#pragma once

#include "protocol/frame.h"
#include "tools/benchmark/histogram.h"

struct connection;
struct group;

/* What a workload hands to the engine. DATA must stay as it is until the response has come. */
struct request {
	struct bytes data;
	int32_t correlation_id;
	uint32_t partition; /* for the workload's own use when the response comes */
	int64_t records;    /* what its response is worth in the results */
	int64_t bytes;
};

struct pending {
	struct request request;
	uint64_t due_ns;
};

struct workload {
	const char *name;
	/* Once, before any connection of the group exists. */
	void (*setup)(struct group *group);
	/* The next request of a connection; false when it has none before another response. */
	bool (*next)(struct connection *connection, uint64_t due_ns, struct request *ret);
	/*
	 * A response of SIZE bytes (without its size prefix) has come; HEAD is its beginning, or all
	 * of it. May correct what the pending request is worth.
	 */
	void (*answer)(struct connection *connection, struct pending *pending, struct bytes head,
		size_t size, uint64_t now_ns);
	bool own_latency; /* records latencies itself */
};

/* What `KIND,name=value,...` on the command line says; see options.c for the names. */
struct group_options {
	int64_t connections, inflight, rate, count;
	const char *topic;
	int64_t partitions, record_bytes, batch_bytes, acks, producers, stamp;
	const char *codec;
	int64_t max_bytes, min_bytes, wait_ms, session, wrap;
	const char *frames;
	int64_t error_at;
	int64_t unchecked; /* the other side is no broker */
};

struct group {
	const struct workload *workload;
	struct group_options options;
	struct engine *engine;
	void *state; /* the workload's */
	struct connection *connections;

	uint64_t sent;		/* requests of all connections */
	uint64_t due;		/* open loop: requests whose time has come */
	uint64_t outstanding;	/* sent or queued, not answered */
	uint64_t done_requests; /* answered, ever */
	/* What counts: inside the window. */
	uint64_t requests, records, bytes;
	struct histogram latency_ns;
};

struct connection {
	struct group *group;
	uint32_t index;
	int fd;
	uint64_t asked; /* requests made so far */
	void *state;	/* the workload's */

	struct pending *pendings; /* ring of options.inflight */
	uint32_t first, count;	  /* unanswered, the oldest first */
	uint32_t unsent;	  /* of them, the newest ones not completely sent */
	size_t sent_bytes;	  /* of the oldest unsent one */

	uint8_t *received;
	size_t received_size;
	size_t skip; /* bytes of a large response that are still to be thrown away */
};

/* The moment and the broker's state at one end of the window. */
struct sample {
	uint64_t at_ns;
	double broker_cpu_s, load_cpu_s;
	uint64_t broker_rss_kb;
};

struct engine {
	uint16_t port;
	int broker_pid; /* 0: nobody's CPU is measured */
	double warmup_s, seconds;
	struct group *groups;
	int group_count;

	int epoll;
	uint64_t start_ns, measure_ns, end_ns; /* end_ns 0: not known yet */
	bool is_measuring, is_over;
	struct sample begin, end;
	struct stamps *stamps; /* of end-to-end latency, one for each partition; see fetch.c */
};

/* When the n-th batch of a partition was due: the newest STAMP_COUNT of them. */
enum { STAMP_COUNT = 1 << 13 };
struct stamps {
	uint64_t due_ns[STAMP_COUNT];
};

extern const struct workload produce_workload, fetch_workload, call_workload;

/* Connects all groups, runs them to the end of the window and until everything is answered. */
void engine_run(struct engine *engine);
/* A blocking connection to the port, for what a workload asks before the run. */
int engine_connect(const struct engine *engine);
uint64_t engine_now_ns(void);

/* `KIND,name=value,...` into GROUP. */
void options_parse(char *text, struct group *group);

/* Says why and ends the program with status 1. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn, cold));
