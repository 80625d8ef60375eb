/*
 * The machine as a whole: makes the shards and their threads, runs the program, and takes
 * everything down again. Shard 0 runs on the caller's thread.
 */
#include "runtime/linux/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "runtime/linux/internal.h"

enum {
	SHARDS_MAX = 256,
	DISK_THREADS = 4, /* for each of the three pools that touch disks */
	/*
	 * Making ten thousand folders keeps some processors busy for seconds, all of it in the kernel. The
	 * loops are to have a processor at once when they want one; and yet a thread that holds a lock of
	 * the file system must not be kept waiting for long.
	 */
	CHORES_NICE = 5,
	DIRTY_LIMIT = 512 << 20,
	FILES_RESERVED_MIN = 128, /* descriptors */
	FILES_RESERVED_MAX = 8192,
};

static void linux_send(struct shard *from, unsigned to, struct task *task)
{
	shard_deliver(&from->machine->shards[to], task);
}

static int64_t linux_wall_ms(const struct shard *shard)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void entropy_fetch(void *buffer, size_t size)
{
	while (size > 0) {
		ssize_t got = getrandom(buffer, size, 0);

		ensure(got > 0 || errno == EINTR);
		if (got > 0) {
			buffer = (char *)buffer + got;
			size -= (size_t)got;
		}
	}
}

static void linux_entropy(struct shard *any, void *buffer, size_t size)
{
	struct linux_shard *shard = linux_shard_of(any);

	if (size > sizeof(shard->entropy)) {
		entropy_fetch(buffer, size);
		return;
	}
	if (size > shard->entropy_left) {
		entropy_fetch(shard->entropy, sizeof(shard->entropy));
		shard->entropy_left = sizeof(shard->entropy);
	}
	shard->entropy_left -= (unsigned)size;
	memcpy(buffer, shard->entropy + shard->entropy_left, size);
	/* What was given out is never given again, nor to be found in memory. */
	explicit_bzero(shard->entropy + shard->entropy_left, size);
}

static void machine_wake_all(struct machine *machine)
{
	uint64_t one = 1;

	for (unsigned i = 0; i < machine->shard_count; i++) {
		ssize_t ignored = write(machine->shards[i].wake_fd, &one, sizeof(one));

		(void)ignored;
	}
}

static void machine_end(struct machine *machine, int status)
{
	pthread_mutex_lock(&machine->exit_lock);
	if (!machine->exiting) {
		machine->status = status; /* the first one counts */
		__atomic_store_n(&machine->exiting, true, __ATOMIC_SEQ_CST);
	}
	pthread_mutex_unlock(&machine->exit_lock);
	machine_wake_all(machine);
}

static uint32_t linux_files_reserved(const struct shard *shard)
{
	return shard->machine->files_reserved;
}

uint32_t machine_files_allowed(const struct machine *machine)
{
	uint64_t taken = (uint64_t)linux_sockets_open() + machine->files_reserved;
	uint32_t left = (uint32_t)(machine->descriptors_max - min_of(taken, machine->descriptors_max));

	return max_of(left, machine->files_reserved / 2);
}

static uint32_t linux_files_allowed(const struct shard *shard)
{
	return machine_files_allowed(shard->machine);
}

void machine_files_press(struct machine *machine)
{
	for (unsigned i = 0; i < machine->shard_count; i++)
		if (files_give_way_ask(&machine->shards[i].shard))
			shard_deliver(&machine->shards[i], &machine->shards[i].shard.give_way.task);
}

static void linux_exit(struct shard *shard, int status)
{
	machine_end(shard->machine, status);
}

const struct machine_ops linux_ops = {
	.send = linux_send,
	.wall_ms = linux_wall_ms,
	.entropy = linux_entropy,
	.exit = linux_exit,
	.offload = linux_offload,
	.resolve = linux_resolve,
	.file_submit = linux_file_submit,
	.files_reserved = linux_files_reserved,
	.files_allowed = linux_files_allowed,
	.file_read_cached = linux_file_read_cached,
	.file_is_cached = linux_file_is_cached,
	.file_close = linux_file_close,
	.listener_open = linux_listener_open,
	.listener_address = linux_listener_address,
	.listener_pause = linux_listener_pause,
	.listener_close = linux_listener_close,
	.socket_connect = linux_socket_connect,
	.socket_attach = linux_socket_attach,
	.socket_peer = linux_socket_peer,
	.socket_receive = linux_socket_receive,
	.socket_send = linux_socket_send,
	.socket_close = linux_socket_close,
};

static void start_task_run(struct shard *shard, struct task *task)
{
	const struct program *program = shard->machine->program;

	program->start(shard, program->argument);
}

/* What the process had before, put back at the end. */
struct process_state {
	sigset_t signals;
	struct sigaction pipe, file_size;
};

/* An eighth of the descriptors is for files whatever comes, but not less than FILES_RESERVED_MIN, unless
 * that were more than a quarter. Of the others they have what sockets leave. */
static void descriptors_share(struct machine *machine)
{
	struct rlimit files;

	machine->descriptors_max = UINT32_MAX;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < UINT32_MAX)
		machine->descriptors_max = (uint32_t)files.rlim_cur;
	machine->files_reserved = min_of(machine->descriptors_max / 4,
		max_of(min_of(machine->descriptors_max / 8, (uint32_t)FILES_RESERVED_MAX),
			(uint32_t)FILES_RESERVED_MIN));
}

static void process_prepare(struct process_state *before)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct rlimit files;
	sigset_t stop;

	/* SIGTERM and SIGINT come through shard 0's descriptor; all threads inherit the mask. */
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	pthread_sigmask(SIG_BLOCK, &stop, &before->signals);
	/* Both are reported by the call that met them, too. */
	sigaction(SIGPIPE, &ignore, &before->pipe);
	sigaction(SIGXFSZ, &ignore, &before->file_size);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static void process_restore(const struct process_state *before)
{
	sigaction(SIGPIPE, &before->pipe, NULL);
	sigaction(SIGXFSZ, &before->file_size, NULL);
	pthread_sigmask(SIG_SETMASK, &before->signals, NULL);
}

static void machine_options_complete(struct linux_machine_options *options)
{
	if (options->shard_count == 0)
		options->shard_count = linux_usable_cpus();
	options->shard_count = min_of(options->shard_count, (unsigned)SHARDS_MAX);
	if (options->disk_threads == 0)
		options->disk_threads = DISK_THREADS;
	if (options->dirty_limit_bytes == 0) {
		uint64_t memory = linux_usable_memory();

		options->dirty_limit_bytes = DIRTY_LIMIT;
		/* The kernel makes writers wait at a share of memory: stay far below it. */
		if (memory > 0)
			options->dirty_limit_bytes =
				min_of(options->dirty_limit_bytes, memory / 32);
	}
}

static int machine_pools_init(struct machine *machine)
{
	unsigned disk_threads = machine->options.disk_threads;
	int error = pool_init(&machine->disk, "disk", disk_threads, 0);

	if (!error)
		error = pool_init(&machine->chores, "chore", disk_threads, CHORES_NICE);
	if (!error)
		error = pool_init(&machine->reads, "read", disk_threads, 0);
	if (!error)
		error = pool_init(&machine->compute, "compute", max_of(machine->shard_count, 2u), 0);
	return error;
}

static void *shard_thread(void *argument)
{
	loop_run(argument);
	return NULL;
}

static int machine_threads_run(struct machine *machine)
{
	unsigned started = 1;
	int error = 0;

	for (; started < machine->shard_count; started++) {
		struct linux_shard *shard = &machine->shards[started];
		char name[24];

		error = -pthread_create(&shard->thread, NULL, shard_thread, shard);
		if (error)
			break;
		snprintf(name, sizeof(name), "shard-%u", started);
		pthread_setname_np(shard->thread, name);
	}
	if (error)
		machine_end(machine, error);
	loop_run(&machine->shards[0]);
	for (unsigned i = 1; i < started; i++)
		pthread_join(machine->shards[i].thread, NULL);
	return error;
}

static struct linux_shard *shards_new(struct machine *machine)
{
	struct linux_shard *shards =
		aligned_alloc(64, machine->shard_count * sizeof(struct linux_shard));

	_Static_assert(sizeof(struct linux_shard) % 64 == 0, "shards share no cache line");
	if (!shards)
		return NULL;
	memset(shards, 0, machine->shard_count * sizeof(*shards));
	for (unsigned i = 0; i < machine->shard_count; i++) {
		shard_init(&shards[i].shard, &linux_ops, machine, i, machine->shard_count);
		shards[i].epoll_fd = shards[i].wake_fd = shards[i].signal_fd = -1;
	}
	return shards;
}

int linux_machine_run(const struct linux_machine_options *options, const struct program *program)
{
	struct machine machine = {.program = program};
	struct process_state before;
	struct task start = {.run = start_task_run};
	unsigned loops = 0;
	int error;

	ensure(program->start);
	machine.options = options ? *options : (struct linux_machine_options){0};
	machine_options_complete(&machine.options);
	machine.shard_count = machine.options.shard_count;
	process_prepare(&before);
	descriptors_share(&machine);
	pthread_mutex_init(&machine.exit_lock, NULL);
	error = devices_init(&machine);
	if (error)
		goto out;
	machine.shards = shards_new(&machine);
	error = machine.shards ? machine_pools_init(&machine) : -ENOMEM;
	while (!error && loops < machine.shard_count)
		error = loop_init(&machine.shards[loops++]);
	if (!error) {
		shard_post(&machine.shards[0].shard, &start);
		error = machine_threads_run(&machine);
	}
	/* Disk threads finish what they were asked: operations and files are still alive. */
	pool_done(&machine.compute);
	pool_done(&machine.reads);
	pool_done(&machine.chores); /* may give work to `disk` */
	pool_done(&machine.disk);
	while (loops > 0)
		loop_done(&machine.shards[--loops]);
	free(machine.shards);
	devices_done(&machine);
out:
	pthread_mutex_destroy(&machine.exit_lock);
	process_restore(&before);
	return error ? error : machine.status;
}
