/*
 * The seam between what both machines share and what each does its own way. Private to runtime/:
 * logic includes shard.h, file.h, socket.h, offload.h and fiber.h and never sees this.
 *
 * Shared (the .c files right here): the queue of steps, timers, fibers, buffers, the front of
 * every call in those headers. Each call fills its operation and passes it on through `struct
 * machine_ops`. An implementation embeds `struct shard`, `struct file`, `struct socket` and
 * `struct listener` as the FIRST member of its own objects, implements the ops, and drives its
 * shards:
 *
 *	shard->now_ns = ...;                    the clock, before each step
 *	if (!shard_timer_step(shard))           at most one due timer
 *		shard_task_step(shard);         at most one queued task
 *
 * An op that is asked on a shard is answered on that shard by file_op_complete and its sisters,
 * which queue the caller's DONE. They are never called for an op whose DONE has been queued.
 */
#pragma once

#include "runtime/offload.h"
#include "runtime/socket.h"

struct fiber;

struct machine_ops {
	/* Queues TASK on shard TO, which is not FROM; see shard_send. */
	void (*send)(struct shard *from, unsigned to, struct task *task);
	int64_t (*wall_ms)(const struct shard *shard);
	void (*entropy)(struct shard *shard, void *buffer, size_t size);
	void (*exit)(struct shard *shard, int status);

	/* Runs op->work later and elsewhere, then offload_op_complete. */
	void (*offload)(struct shard *shard, struct offload_op *op);
	/* A host name: numeric text and "every interface" were answered before. */
	void (*resolve)(struct shard *shard, struct resolve_op *op);

	/* By op->ask.kind (enum file_op_kind) and what else op->ask holds; ask.file is kept open by
	 * a reference of the op's own. */
	void (*file_submit)(struct shard *shard, struct file_op *op);
	uint32_t (*files_reserved)(const struct shard *shard);
	uint32_t (*files_allowed)(const struct shard *shard);
	int64_t (*file_read_cached)(
		struct shard *shard, struct file *file, void *buffer, size_t size, uint64_t offset);
	bool (*file_is_cached)(
		struct shard *shard, struct file *file, uint64_t offset, uint64_t size);
	/* The last reference is gone; from any thread. Frees the object. */
	void (*file_close)(struct file *file);

	int (*listener_open)(struct shard *shard, const struct address *address,
		struct listener_events events, struct listener **ret);
	struct address (*listener_address)(const struct listener *listener);
	void (*listener_pause)(struct listener *listener, bool paused);
	/* Frees the object. */
	void (*listener_close)(struct listener *listener);

	/* On success op->socket is set and attached to SHARD. */
	void (*socket_connect)(struct shard *shard, struct socket_op *op);
	void (*socket_attach)(struct socket *socket);
	struct address (*socket_peer)(const struct socket *socket);
	/* socket->receiving is OP: answer with socket_op_complete. */
	void (*socket_receive)(struct socket *socket, struct socket_op *op);
	/* socket->sending is OP. */
	void (*socket_send)(struct socket *socket, struct socket_op *op);
	/* Outstanding operations were completed before. Frees the object. */
	void (*socket_close)(struct socket *socket);
};

/* The common head of an implementation's shard. */
struct shard {
	const struct machine_ops *ops;
	struct machine *machine; /* the implementation's own */
	unsigned index, count;
	void *context;	       /* the program's */
	uint64_t now_ns;       /* set before each step */
	const void *step_code; /* address of the function that the last step ran, for reports */

	struct list ready;    /* tasks in the order in which they run */
	struct list late;     /* tasks that run when nothing else is ready */
	uint64_t late_since_ns; /* when the first of them was posted */
	unsigned late_passed;	/* steps that ran since */
	struct deadlines timers; /* by the monotonic clock, in nanoseconds */

	struct {
		void (*step)(struct shard *shard, void *argument); /* atomic */
		void *argument;
		bool is_asked; /* atomic: TASK is under way */
		struct task task;
	} give_way; /* see files_give_way */

	struct {
		struct fiber *running;
		struct list all;  /* started and not ended */
		struct list idle; /* stacks kept for reuse */
		unsigned idle_count;
	} fibers;
};

void shard_init(struct shard *shard, const struct machine_ops *ops, struct machine *machine,
	unsigned index, unsigned count);
/* Forgets what is queued and set, frees fibers and their stacks wherever they were. */
void shard_done(struct shard *shard);
/* Fires the first timer that is due at shard->now_ns; false when none is. */
bool shard_timer_step(struct shard *shard);
/* Runs the oldest queued task; false when none is queued. */
bool shard_task_step(struct shard *shard);
static inline bool shard_has_tasks(const struct shard *shard)
{
	return !list_is_empty(&shard->ready) || !list_is_empty(&shard->late);
}
/* Part of shard_done: every fiber's stack, also of those that still wait. */
void fibers_free_all(struct shard *shard);
/* What fiber_is_chore said of the running fiber. */
bool fiber_asks_chores(struct shard *shard);
/* For calls that wait for an operation: parks the running fiber, without regard to fiber_wake; and,
 * from a step, lets it go on at once. */
void fiber_block(struct shard *shard);
void fiber_unblock(struct fiber *fiber);
/* UINT64_MAX when no timer is set. */
uint64_t shard_next_deadline_ns(const struct shard *shard);

enum file_op_kind {
	FILE_OP_OPEN,  /* path, flags (enum file_flags) -> ret.file with one reference */
	FILE_OP_READ,  /* file, part, offset */
	FILE_OP_WRITE, /* file, parts, part_count, offset, size (their sum) */
	FILE_OP_SYNC,
	FILE_OP_TRUNCATE, /* file, size */
	FILE_OP_ALLOCATE, /* file, size */
	FILE_OP_STATUS,	  /* file -> ret.status */
	PATH_OP_RENAME,	  /* path, path_to */
	PATH_OP_UNLINK,
	PATH_OP_MAKE_FOLDER,
	PATH_OP_REMOVE_FOLDER,
	PATH_OP_SYNC,
	PATH_OP_LIST,	/* -> ret.listing */
	PATH_OP_STATUS, /* -> ret.status */
	PATH_OP_SPACE,	/* -> ret.space */
};

/* The common head of an implementation's open file. */
struct file {
	const struct machine_ops *ops;
	uint32_t references; /* atomic */
};

/* From any thread: true when shard->give_way.task is to be delivered to the shard now. */
bool files_give_way_ask(struct shard *shard);

void file_init(struct file *file, const struct machine_ops *ops); /* one reference */

/* Sets the result and queues DONE on op->ask.shard, which is the calling shard. */
void file_op_complete(struct file_op *op, int64_t result);
/* Only what the task has to run: for an implementation that carries the op home by itself. */
void file_op_task_run(struct shard *shard, struct task *task);

void offload_op_complete(struct offload_op *op);
void offload_op_task_run(struct shard *shard, struct task *task);
void resolve_op_complete(struct resolve_op *op, int64_t result);
void resolve_op_task_run(struct shard *shard, struct task *task);

/* A listing is built name by name and sorted at the end. */
struct path_listing_builder {
	struct path_listing_name {
		char *name;
		bool is_folder;
	} * names;
	uint32_t count, capacity;
};
int path_listing_add(struct path_listing_builder *builder, const char *name, bool is_folder);
/* Frees what the builder holds, whatever the result; NULL when memory is out. */
struct path_listing *path_listing_build(struct path_listing_builder *builder);
void path_listing_builder_done(struct path_listing_builder *builder);

/* The common head of an implementation's listener. */
struct listener {
	const struct machine_ops *ops;
	struct shard *shard;
	struct listener_events events;
};

/* The common head of an implementation's socket. An op stays in its slot until its DONE runs, so
 * that a close in between can take the result back: after socket_close every op answers -ECANCELED.
 */
struct socket {
	const struct machine_ops *ops;
	struct shard *shard; /* NULL until attached */
	struct socket_op *receiving, *sending;
};

/* Sets the result and queues DONE; for socket_connect set op->socket first. */
void socket_op_complete(struct socket_op *op, int64_t result);
/* True while an implementation still has to answer OP (its DONE is not queued yet). */
bool socket_op_is_open(const struct socket_op *op);
