/*
 * What the files of the linux machine share: its objects, whole.
 *
 * Threads and what they touch:
 *  - a shard's thread: its linux_shard, its sockets and listeners; nobody else touches those but
 * for `inbox` and `asleep`;
 *  - pool threads: the operation they were handed until they deliver it to its shard's inbox, and
 *    what a linux_file keeps under its lock;
 *  - anyone: reference counts, dirty counters, machine->exiting.
 */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>

#include "runtime/linux/machine.h"
#include "runtime/machine_ops.h"

#define STALL_NS (5 * NS_PER_MS)

struct machine;
struct linux_shard;

/* A list that many push onto without locks, newest first. */
static inline void task_push(struct task **pushed, struct task *task)
{
	struct task *newest = __atomic_load_n(pushed, __ATOMIC_RELAXED);

	do
		task->node.next = newest ? &newest->node : NULL;
	while (!__atomic_compare_exchange_n(
		pushed, &newest, task, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

/* Moves all of it to the end of QUEUE, in the order in which it was pushed. */
static inline void tasks_queue_pushed(struct list *queue, struct task **pushed)
{
	struct task *newest = __atomic_exchange_n(pushed, NULL, __ATOMIC_ACQUIRE);
	struct list_node *oldest = NULL;

	for (struct list_node *node = newest ? &newest->node : NULL; node;) {
		struct list_node *older = node->next;

		node->next = oldest;
		oldest = node;
		node = older;
	}
	while (oldest) {
		struct list_node *newer = oldest->next;

		oldest->next = NULL;
		list_push_back(queue, oldest);
		oldest = newer;
	}
}

/*
 * A few threads that run tasks which may block. A task's RUN is called with a NULL shard, so that
 * it cannot touch one by accident; when it is done it hands the task on, usually by shard_deliver.
 */
struct pool {
	struct task *pushed; /* atomic: newest first */
	sem_t more;	     /* as many as there are tasks, and at the end as many as there are threads */
	pthread_mutex_t lock;
	struct list tasks;
	pthread_t *threads;
	unsigned thread_count, thread_max; /* changed under the lock, read by anyone */
	unsigned task_count; /* atomic: queued and running */
	unsigned threads_named; /* atomic */
	int nice;
	char name[12];
};

/* NICE is added to the process's own: its threads get out of the way of others by so much. */
int pool_init(struct pool *pool, const char *name, unsigned thread_max, int nice);
/* Runs what is still queued, then ends the threads. */
void pool_done(struct pool *pool);
void pool_submit(struct pool *pool, struct task *task);

/* On one device at most so many syncs run at a time. */
enum { SYNC_WORKERS = 4 };

/* The files of a device that wait for a sync, and what is known of how long one takes: syncs.c. */
struct device_syncs {
	pthread_mutex_t lock;
	struct list waiting; /* linux_files by sync_node, each with a reference */
	unsigned waiting_count;
	struct sync_worker {
		struct task task; /* given to the disk threads, or */
		struct list_node node; /* in `idle` */
		struct device *device;
	} workers[SYNC_WORKERS];
	struct list idle;
	unsigned queued, running; /* workers that wait for a disk thread, and that sync */
	bool has_group;		  /* syncfs may stand for many fdatasyncs here */
	bool group_runs;
	uint64_t single_ns, group_ns; /* averages: an fdatasync among others, a syncfs; 0: unknown */
	uint64_t single_measured_ns, group_measured_ns, group_not_before_ns;
	uint64_t believed_ns; /* how long a measurement is */
	unsigned regret_factor, gathered;
};

/*
 * A block device (or what st_dev calls one), and how many bytes written through us may not have
 * reached it yet.
 */
struct device {
	struct list_node node;
	struct machine *machine;
	uint64_t id;	      /* st_dev */
	bool in_memory;	      /* a file system without a disk */
	bool tells_status_at_once; /* fstat of an open file never waits */
	uint64_t dirty_bytes; /* atomic: the sum over its files, and over what is being written out
			       */
	pthread_mutex_t lock;
	struct list dirty_files; /* the longest dirty first */
	struct list large_files; /* those with so much that writing it out pays by itself */
	bool has_large;		 /* atomic: LARGE_FILES is not empty; changed under the lock */
	bool is_pressed;	 /* so much is dirty that small files are written out too */
	bool is_writing_out;	 /* atomic: WRITE_OUT is queued or runs; changed under the lock */
	struct task write_out;
	bool has_failures;     /* atomic: some file could not be written out; set under the lock */
	struct list failures;  /* struct write_out_failure: which, and why */
	int failure_of_all;    /* a negative errno when there was no memory to say which */
	struct device_syncs syncs;
};

struct linux_file {
	struct file file;
	struct machine *machine;
	struct device *device;
	int fd;
	bool has_nowait;	     /* atomic: RWF_NOWAIT works here */
	bool in_memory;		     /* of a file system without a disk: reading never blocks */
	uint64_t number;	     /* st_ino */
	int sync_error;		     /* atomic: sticky, what the kernel reports only once */
	pthread_mutex_t sync_lock;   /* one asks the kernel for its errors at a time */
	uint64_t dirty_bytes;	     /* atomic */
	struct list_node dirty_node; /* under the device's lock */
	pthread_mutex_t lock;	     /* for the rest */
	struct list writes;	     /* file_ops that wait for a disk thread, in order */
	struct pool *write_pool;     /* the first one's, while is_writing */
	struct list syncs;	     /* file_ops that wait for the next sync */
	bool is_writing;	     /* write_task is queued or runs; it holds a reference */
	bool is_syncing;	     /* waits for the device's next sync, or has its part in one */
	struct task write_task, close_task;
	struct list_node sync_node;  /* while is_syncing: under the lock of the device's syncs */
	struct list syncs_served;    /* by the sync that runs; the thread's that runs it, as */
	uint64_t sync_bytes;	     /* what it will make clean */
};

struct machine {
	struct linux_machine_options options;
	const struct program *program;
	unsigned shard_count;
	struct linux_shard *shards;
	struct pool disk;    /* writes, syncs, names */
	struct pool chores;  /* apart from `disk`, and nicer: what is_chore, but for syncs */
	struct pool reads;   /* apart from `disk`: cold reads never delay a write */
	struct pool compute; /* offload, resolve */
	pthread_mutex_t devices_lock;
	struct list devices;
	uint32_t descriptors_max, files_reserved; /* of them; the rest may be sockets */
	uint32_t files_open;			  /* atomic */
	bool exiting; /* atomic */
	int status;   /* valid once `exiting` */
	pthread_mutex_t exit_lock;
};

/* What epoll reports to: embedded in whatever has a descriptor. */
struct event_source {
	void (*ready)(struct linux_shard *shard, struct event_source *source, uint32_t events);
	struct event_source *next_dead;
	void (*free)(struct event_source *source);
};

struct linux_shard {
	struct shard shard;
	pthread_t thread;
	int epoll_fd, wake_fd, signal_fd;
	struct event_source wake_source, signal_source;
	struct task stop_task;
	/* Tasks from other threads, newest first, linked by node.next. */
	_Alignas(64) struct task *inbox; /* atomic */
	int asleep;			 /* atomic: a sender must wake it */
	_Alignas(64) uint64_t polled_ns; /* when events were last looked for */
	struct task round; /* runs behind what was queued before it; see loop.c */
	unsigned rounds;   /* counted since events were looked for */
	bool round_queued;
	struct event_source *dead; /* freed when no event of this turn can name them any more */
	struct chunk *free_chunks;
	unsigned chunk_count; /* free and in use */
	struct list chunk_waiters;
	uint8_t *small_slices; /* what send.c copies slices to; NULL until then */
	uint8_t entropy[256];
	unsigned entropy_left;
};

static inline struct linux_shard *linux_shard_of(struct shard *shard)
{
	return container_of(shard, struct linux_shard, shard);
}

extern const struct machine_ops linux_ops;

uint64_t clock_now_ns(void);

/* Queues TASK on the shard; from any thread. */
void shard_deliver(struct linux_shard *to, struct task *task);

int loop_init(struct linux_shard *shard);
void loop_done(struct linux_shard *shard);
/* Until machine->exiting. */
void loop_run(struct linux_shard *shard);
int loop_watch(struct linux_shard *shard, int fd, struct event_source *source, uint32_t events);
/* Events of this turn may still name SOURCE: they are ignored, then source->free is called. */
void loop_forget(struct linux_shard *shard, struct event_source *source);

/* files.c */
void linux_file_submit(struct shard *shard, struct file_op *op);
int64_t linux_file_read_cached(
	struct shard *shard, struct file *file, void *buffer, size_t size, uint64_t offset);
bool linux_file_is_cached(struct shard *shard, struct file *file, uint64_t offset, uint64_t size);
void linux_file_close(struct file *file);
static inline struct linux_file *linux_file_of(struct file *file)
{
	return container_of(file, struct linux_file, file);
}
/* From a disk thread: answers OP on its shard. */
void file_op_deliver(struct file_op *op, int64_t result);
/* Reads until SIZE or the end; may block. Bytes or a negative errno. */
int64_t file_read_blocking(int fd, void *buffer, size_t size, uint64_t offset);

/* paths.c: everything on names; runs on a disk thread and returns the result. */
int path_op_run(struct file_op *op);

/* dirty.c */
int devices_init(struct machine *machine);
void devices_done(struct machine *machine);
/* The device of a file's st_dev, where FD lies; NULL when memory is out. */
struct device *device_find(struct machine *machine, uint64_t id, int fd);
bool device_has_room(const struct device *device, uint64_t size);
/* SIZE bytes of FILE were written. */
void dirty_add(struct linux_file *file, uint64_t size);
/* Before a sync: the bytes it will cover; after it, whatever came of it, they are not dirty any
 * more. */
uint64_t dirty_take(struct linux_file *file);
void dirty_gone(struct linux_file *file, uint64_t size);
/* Before FILE is closed. */
void dirty_forget(struct linux_file *file);
/* Why bytes of the file may never reach the device, whatever descriptor they were written through: a
 * negative errno, or 0. */
int file_write_out_error(struct linux_file *file);

/* syncs.c */
void device_syncs_init(struct device *device, bool is_ext4);
void device_syncs_done(struct device *device);
void file_op_sync_submit(struct linux_file *file, struct file_op *op);

/* sockets.c, send.c, listeners.c */
int linux_listener_open(struct shard *shard, const struct address *address,
	struct listener_events events, struct listener **ret);
struct address linux_listener_address(const struct listener *listener);
void linux_listener_pause(struct listener *listener, bool paused);
void linux_listener_close(struct listener *listener);
void linux_socket_connect(struct shard *shard, struct socket_op *op);
void linux_socket_attach(struct socket *socket);
struct address linux_socket_peer(const struct socket *socket);
void linux_socket_receive(struct socket *socket, struct socket_op *op);
void linux_socket_send(struct socket *socket, struct socket_op *op);
void linux_socket_close(struct socket *socket);

struct linux_socket {
	struct socket socket;
	struct event_source source;
	int fd;
	struct address peer;
	struct socket_op *connecting; /* until the handshake has ended */
	bool readable;		      /* a receive may find something */
	bool hung_up;	    /* no further edge will come: keep reading until the end shows */
	bool writable;	    /* a send may find room */
	bool chunk_pending; /* a disk thread reads for us, or we wait for a chunk */
	struct chunk *chunk;
	struct list_node chunk_waiter;
	struct task again; /* goes on sending after other steps had their turn */
};

/* Takes over FD; NULL (and FD is closed) when memory is out. */
struct linux_socket *linux_socket_new(int fd, const struct address *peer);
/* In the whole process, as the limit of descriptors is. */
uint32_t linux_sockets_open(void);
/* machine.c: files_allowed; and, when more files are open than that, every shard is asked to close some. */
uint32_t machine_files_allowed(const struct machine *machine);
void machine_files_press(struct machine *machine);
/* Sends what can be sent now. */
void send_advance(struct linux_shard *shard, struct linux_socket *socket);
void send_again_run(struct shard *shard, struct task *task);
void send_abandon(struct linux_shard *shard, struct linux_socket *socket);
void chunks_free(struct linux_shard *shard);

/* The kernel's form of an address; returns its size. Mapped IPv4 becomes AF_INET. */
struct sockaddr_storage;
unsigned address_to_kernel(const struct address *address, struct sockaddr_storage *ret);
struct address address_from_kernel(const struct sockaddr_storage *from);

/* cgroup.c: ROOT is "" but in tests. */
unsigned cpus_by_quota(const char *root, unsigned cpus);
uint64_t memory_by_limit(const char *root, uint64_t bytes);

/* Offload and name resolution. */
void linux_offload(struct shard *shard, struct offload_op *op);
void linux_resolve(struct shard *shard, struct resolve_op *op);
