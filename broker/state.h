/*
 * What a broker keeps: once in a process (struct broker), and for each shard (struct broker_shard).
 * The first is written before the shards start and only read afterwards, but for the parts that say
 * which shard they belong to. Only broker.c makes them; whoever works on them includes this and
 * never broker.h.
 */
#pragma once

#include "broker/config/config.h"
#include "broker/controller/controller.h"
#include "broker/group/budget.h"
#include "broker/metadata/image.h"
#include "broker/nudge.h"
#include "broker/observe/log.h"
#include "broker/replication/directory_reports.h"
#include "broker/replication/disk_room.h"
#include "broker/request.h"
#include "broker/shared_answer.h"
#include "runtime/map.h"

struct authorizer;
struct broker_shard;
struct controller;
struct fetch_session_cache;
struct group_coordinator;
struct log_dirs;
struct log_store;
struct fiber;
struct broker;

/* The shard on which the controller, the log directories' housekeeping and the listeners live. */
enum { SHARD_MAIN = 0 };

enum broker_phase {
	BROKER_STARTING, /* loading */
	BROKER_SERVING,
	BROKER_STOPPING, /* draining connections, then the controlled shutdown, then the logs */
};

struct broker_options {
	const struct config *config; /* static; the broker keeps a reference */
	uint64_t exec_ns; /* when the process began, by the monotonic clock; 0: not known */
	const char *working_folder; /* what relative paths of log.dirs are told to begin with; NULL:
				       nothing */
	bool format_if_empty;	    /* the embedded default formats its own directory */
	uint64_t backlog_bytes_max; /* of log_store_options, for each shard; 0: a default */
	logger_sink *sink;
	logger_clock *clock;
	void *sink_context;
	/* Runs when clients are served; see broker_listener(). NULL is allowed. */
	void (*serving)(struct broker *broker, void *argument);
	void *argument;
};

/* Read by metrics. */
struct broker_metrics {
	uint64_t bytes_in, bytes_out, requests;
};

struct broker_shard {
	struct shard *shard;
	struct broker *broker;
	unsigned index;
	uint64_t seed;
	struct logger logger;

	struct image *image; /* one reference: what this shard has been told last */
	const struct config
		*config;	   /* the effective one for that image: dynamic settings included */
	struct list image_waiters; /* parts that were routed by a newer image */

	struct list connections;
	unsigned connection_count;
	uint64_t connections_started;
	struct list free_requests;
	unsigned free_request_count;
	int32_t request_size_max;    /* socket.request.max.bytes */
	uint32_t inbox_size_max;     /* larger frames get a buffer of their own */
	unsigned waiting_for_memory; /* connections */
	bool reserve_used;	     /* by a connection of it, perhaps still */
	struct timer pressure;	     /* looks after them: see pressure.h */
	size_t response_arena_bytes; /* what a response may take beyond its request's allowance */
	uint64_t idle_max_ns;	     /* connections.max.idle.ms; 0: never */
	bool draining;		     /* no new connections */
	bool stopping;		     /* the logs are being closed */

	struct log_store *log_store;
	struct map partitions; /* struct partition by key: those whose home this shard is */
	struct map folders;    /* struct partition by folder: its owner */
	struct list leaving;   /* struct partition: deleted, a checkpoint may name it */
	struct list forgotten; /* likewise, and the checkpoints that are being written do not */
	struct nudge checkpoint_wanted, recovery_points_moved, room_lost; /* to the main shard */
	struct list partition_work;
	unsigned partition_fibers;
	struct fiber *partition_waiter;
	struct fetch_session_cache *fetch_sessions;
	struct shared_answers shared_answers; /* of IMAGE */
	struct group_coordinator *groups;
	struct broker_metrics metrics;
};

struct broker_listener {
	struct broker *broker;
	int index;		   /* in the configuration's listeners */
	struct listener *listener; /* NULL for a controller's */
	struct address address;
};

/* Producer ids that the controller gave to this node; of the main shard. */
struct producer_id_blocks {
	int64_t next, end;   /* what is left of the block */
	struct list waiting; /* requests for which none was left */
	bool asking;
	struct controller_op op;
	struct allocate_producer_ids_request request;
	struct allocate_producer_ids_response response;
	struct arena arena;
};

struct broker {
	struct broker_options options;
	unsigned shard_count;
	struct broker_shard *shards;
	/* The limit of memory: see memory_limit.h. */
	struct buffer_budget *budget;
	struct buffer_budget *reserve;	     /* NULL: none */
	const struct authorizer *authorizer; /* NULL allows everything */
	int32_t node_id;
	struct uuid incarnation_id;
	struct str cluster_id;

	/* Of the main shard. */
	enum broker_phase phase;
	bool stop_wanted, publishes;
	unsigned attaching;
	const struct config *config; /* with the dynamic settings that were published last */
	struct image *published;     /* the newest image */
	struct broker_listener *listeners;
	unsigned listener_count;
	bool listeners_paused;	   /* max.connections is reached */
	uint32_t connection_count; /* admitted */
	uint32_t excess_closing;   /* of these, looked for to be closed */
	struct map addresses;	   /* struct address_count of those */
	unsigned next_shard;	   /* for the next connection */
	struct list early;   /* connections that came before the logs were open */
	struct controller *controller;
	struct log_dirs *log_dirs;
	struct directory_reports directory_reports;
	struct disk_room disk_room;
	uint64_t pressure_round_ns; /* atomic: when memory was last looked for; see pressure.h */
	uint32_t cleaners_running; /* atomic: logs that are being compacted */
	struct group_budget group_budget; /* atomic */
	int64_t broker_epoch;
	struct producer_id_blocks producer_ids;
	struct timer checkpoint_timer;
	bool checkpoint_runs, checkpoint_is_due, checkpoint_stopped;
	uint64_t checkpoint_ended_ns;
	bool recovery_points_moved; /* far, since the last one began */
	struct list log_start_waits; /* struct log_start_wait, for the next run */
	struct fiber *checkpoint_waiter;
};

static inline struct broker_shard *broker_shard_of(struct shard *shard)
{
	return shard_context(shard);
}
