/*
 * The controller of a node: the quorum's log of `__cluster_metadata`, and the decisions that go
 * into it. Everything here runs on one shard, the one that opened it; requests of other shards
 * come there first.
 *
 * An operation is a request that may write metadata. Decisions are made one after another, each
 * on the image that holds all records decided before it; records go to the log in batches that
 * are synced before anybody is told. Then, in this order: the new image is published, and the
 * operations in it are done. So whoever sees an answer finds its effect in the published image.
 *
 *	struct controller_open ask = {...};
 *	// In a fiber: publishes the first image; then this node joins its own cluster.
 *	error = controller_open(shard, &ask, &controller, &why);
 *	error = controller_register(controller, &registration);
 *	...
 *	op->kind = CONTROLLER_CREATE_TOPICS; op->request = ...; op->response = ...; op->done = ...;
 *	controller_submit(controller, op);
 *	...
 *	// In a fiber: the broker leaves, fenced.
 *	controller_shutdown(controller);
 *	controller_close(controller);
 */
#pragma once

#include "broker/config/config.h"
#include "broker/metadata/image.h"
#include "broker/security/authorizer.h"
#include "runtime/shard.h"

struct controller;
struct logger;
struct log_store;

enum controller_kind {
	/* With the generated structs of the API of that name as request and response. */
	CONTROLLER_CREATE_TOPICS,
	CONTROLLER_DELETE_TOPICS,
	CONTROLLER_CREATE_PARTITIONS,
	CONTROLLER_INCREMENTAL_ALTER_CONFIGS,
	CONTROLLER_ALTER_CONFIGS,
	CONTROLLER_ALLOCATE_PRODUCER_IDS,
	CONTROLLER_UPDATE_FEATURES,
	CONTROLLER_ASSIGN_REPLICAS_TO_DIRS,
	CONTROLLER_ELECT_LEADERS,
	CONTROLLER_UNREGISTER_BROKER,
	CONTROLLER_KIND_COUNT,
};

struct controller_op {
	/* What is asked. REQUEST, RESPONSE and ARENA stay the asker's and alive until DONE.
	 * RESPONSE holds its defaults (schema_init) and is filled in; what it leads to lies in
	 * ARENA or REQUEST. */
	enum controller_kind kind;
	int16_t version; /* of the API, as the request came */
	const void *request;
	void *response;
	struct arena *arena;
	/* May whoever asks do OPERATION (enum acl_operation) on the RESOURCE (enum acl_resource) of
	 * that name? NULL: everything. Called before DONE, on the controller's shard; unknown
	 * topics and denied ones are told apart as Kafka does. */
	bool (*may)(const struct controller_op *op, int operation, int resource, struct str name);
	void *authority; /* for MAY */
	void (*done)(struct shard *shard, struct controller_op *op);

	/*
	 * 0: RESPONSE is filled in, its errors are Kafka's. Negative: nothing was done and RESPONSE
	 * is as it was: -ENOMEM (the arena is exhausted), -ESHUTDOWN (the controller is stopping,
	 * or failed; the outcome is not known when it failed in mid-write: NOT_CONTROLLER tells a
	 * client to ask again).
	 */
	int result;

	struct list_node node; /* private */
	struct task task;      /* private */
};

/* One of log.dirs. */
struct controller_directory {
	struct uuid id; /* of its meta.properties; zero when that cannot be read */
	bool is_online;
	bool is_cordoned; /* takes no new replicas */
};

struct controller_open {
	/* The metadata log directory: `__cluster_metadata-0` and bootstrap.checkpoint are in it.
	 * Lives as long as the controller. */
	const char *folder;
	struct uuid directory_id; /* of that folder */
	struct str cluster_id;
	int32_t node_id;
	struct uuid incarnation_id;  /* of this process */
	const struct config *config; /* static; the controller keeps a reference */
	struct log_store *store;     /* of this shard, for the metadata log */
	struct logger *logger;
	bool clean; /* the last stop was clean: the log's end need not be scanned */

	/* A new version is there; the image stays the controller's, take a reference. A step of its
	 * own. */
	void (*published)(void *argument, struct image *image);
	/* The log can't be read or written any more: the process must end, as Kafka's does. ERROR
	 * is an errno. */
	void (*failed)(void *argument, int error);
	void *argument;
};

/*
 * (fiber) Opens the log, loads the newest snapshot and what follows it, and publishes that: it is on the
 * disk. Nothing is written yet; controller_register comes before any other operation. The quorum is
 * this node alone; a directory whose voters are others is refused with -ENOTSUP. -EBADMSG: the log
 * cannot be understood; -ENOENT: the directory is not formatted; -ENOMEM; or the errno of a file.
 * *RET_WHY (in ARENA) tells the operator.
 */
int controller_open(struct shard *shard, const struct controller_open *ask, struct arena *arena,
	struct controller **ret_controller, const char **ret_why);

struct controller_registration {
	/* Where clients reach this node: the listeners that are advertised, with the ports that
	 * they really have. */
	const struct listener_config *listeners;
	int32_t listener_count;
	struct str rack; /* null: none */
	const struct controller_directory *directories;
	int32_t directory_count;
	/* Of the last clean stop, equal in all directories; -1: the last stop was not clean. */
	int64_t previous_broker_epoch;
	bool stays_fenced; /* until controller_unfence */
};

/*
 * (fiber) Becomes the leader of a new epoch, writes what the first start of a formatted directory writes,
 * and registers this node as controller and broker, as Kafka does on each start. What the last
 * process left (a registration that was not fenced) is cleaned up at once: its locks are ours now,
 * so it is gone. Its logs are open: unless it is to stay fenced, the node becomes a leader again. All that
 * is one write, and one wait for the disk. *RET_EPOCH is the new broker epoch.
 */
int controller_register(struct controller *controller,
	const struct controller_registration *registration, int64_t *ret_epoch);
/* (fiber) For a node that stayed fenced. */
int controller_unfence(struct controller *controller);
/* (fiber) Directories of the registration have failed, or others are cordoned: what lay in those
 * that failed is led from elsewhere, if it can be. DIRECTORIES are all of them, as they are now. */
int controller_directories_changed(struct controller *controller,
	const struct controller_directory *directories, int32_t count);

/* On the controller's shard; the op comes back once. */
void controller_submit(struct controller *controller, struct controller_op *op);

/* The newest version; borrowed until the next one is published: whoever waits in between takes a
 * reference. */
struct image *controller_image(const struct controller *controller);
int64_t controller_broker_epoch(const struct controller *controller);

/* For DescribeQuorum. */
struct controller_quorum {
	int32_t leader_id, leader_epoch;
	int64_t high_watermark;
	int64_t log_end;
	int64_t last_fetch_ms; /* of the leader: now */
	int16_t kraft_version;
	int32_t voter_id;		/* the only one */
	struct uuid voter_directory_id; /* zero with static voters */
};
void controller_quorum_describe(const struct controller *controller, struct controller_quorum *ret);

/* (fiber) The controlled shutdown: no partition has its leader here afterwards, and the broker is
 * fenced. Clients are gone by now; operations that come later are refused. */
int controller_shutdown(struct controller *controller);
/* (fiber) Closes the log and frees. 0, or the errno with which the log could not be closed cleanly.
 */
int controller_close(struct controller *controller);
/* After the machine has stopped, without touching files. NULL is allowed. */
void controller_abandon(struct controller *controller);

/* Kafka's words for what is wrong with a topic's name; null when it is right. In ARENA. */
struct str topic_name_problem(struct arena *arena, struct str name);
