/*
 * What the linux machine's pieces cost: `runtime_bench`. Not a test. Times are of the wall clock,
 * "cpu" is what all threads of the process used meanwhile, the kernel's share included.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "runtime/fiber.h"
#include "runtime/linux/machine.h"
#include "runtime/socket.h"

static double wall_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_s(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

struct bench {
	const char *name, *unit;
	unsigned shard_count;
	void (*start)(struct shard *shard, struct bench *bench);
	uint64_t count;	  /* of what the unit names; set by START or before */
	double wall, cpu; /* at the beginning */
	struct fiber *fiber;
	uint64_t left;
};

static void bench_begin(struct bench *bench)
{
	bench->cpu = cpu_s();
	bench->wall = wall_s();
}

static void bench_end(struct shard *shard, struct bench *bench)
{
	double wall = wall_s() - bench->wall, cpu = cpu_s() - bench->cpu;

	printf("%-44s %9.0f ns wall %9.0f ns cpu  %12.0f %s/s  %12.0f per cpu second\n",
		bench->name, wall / (double)bench->count * 1e9, cpu / (double)bench->count * 1e9,
		(double)bench->count / wall, bench->unit, (double)bench->count / cpu);
	machine_exit(shard, 0);
}

/* Steps that post themselves. */
struct repeated {
	struct task task;
	struct timer timer;
	struct bench *bench;
};

static struct repeated repeated[64];

static void repeated_run(struct shard *shard, struct task *task)
{
	struct repeated *own = container_of(task, struct repeated, task);

	if (own->bench->left-- == 1)
		bench_end(shard, own->bench);
	shard_post(shard, task);
}

static void posts_start(struct shard *shard, struct bench *bench)
{
	bench->left = bench->count;
	bench_begin(bench);
	for (unsigned i = 0; i < array_length(repeated); i++) {
		repeated[i] = (struct repeated){.task.run = repeated_run, .bench = bench};
		shard_post(shard, &repeated[i].task);
	}
}

static void never_fire(struct shard *shard, struct timer *timer)
{
}

/* Each step moves one of ten thousand timers, as a request moves its connection's time-out. */
static struct timer timers[10000];
static uint64_t timer_random = 88172645463325252ull;

static void timers_run(struct shard *shard, struct task *task)
{
	struct repeated *own = container_of(task, struct repeated, task);

	for (unsigned i = 0; i < 100; i++) {
		timer_random ^= timer_random << 13;
		timer_random ^= timer_random >> 7;
		timer_random ^= timer_random << 17;
		timer_set(shard, &timers[timer_random % array_length(timers)],
			shard_now_ns(shard) + 600 * NS_PER_S + (timer_random >> 40) % 1000);
	}
	own->bench->left -= 100;
	if (own->bench->left == 0)
		bench_end(shard, own->bench);
	else
		shard_post(shard, task);
}

static void timers_start(struct shard *shard, struct bench *bench)
{
	bench->left = bench->count;
	for (unsigned i = 0; i < array_length(timers); i++)
		timers[i] = (struct timer){.fire = never_fire};
	repeated[0] = (struct repeated){.task.run = timers_run, .bench = bench};
	bench_begin(bench);
	shard_post(shard, &repeated[0].task);
}

static void due_fire(struct shard *shard, struct timer *timer)
{
	struct repeated *own = container_of(timer, struct repeated, timer);

	if (own->bench->left-- == 1)
		bench_end(shard, own->bench);
	timer_set(shard, timer, shard_now_ns(shard) + 1000);
}

static void due_start(struct shard *shard, struct bench *bench)
{
	bench->left = bench->count;
	bench_begin(bench);
	for (unsigned i = 0; i < array_length(repeated); i++) {
		repeated[i] = (struct repeated){.timer.fire = due_fire, .bench = bench};
		timer_set(shard, &repeated[i].timer, shard_now_ns(shard) + 1000);
	}
}

/* One message, or many, to and fro between two shards. */
static void ping_run(struct shard *shard, struct task *task)
{
	struct repeated *own = container_of(task, struct repeated, task);

	if (shard_index(shard) == 0 && own->bench->left-- == 1)
		bench_end(shard, own->bench);
	shard_send(shard, 1 - shard_index(shard), task);
}

static void pings_start(struct shard *shard, struct bench *bench, unsigned at_once)
{
	bench->left = bench->count;
	bench_begin(bench);
	for (unsigned i = 0; i < at_once; i++) {
		repeated[i] = (struct repeated){.task.run = ping_run, .bench = bench};
		shard_send(shard, 1, &repeated[i].task);
	}
}

static void ping_start(struct shard *shard, struct bench *bench)
{
	pings_start(shard, bench, 1);
}

static void pings_64_start(struct shard *shard, struct bench *bench)
{
	pings_start(shard, bench, array_length(repeated));
}

/* Connections that send a hundred bytes to and fro; both ends on one shard. */
enum { ECHO_SIZE = 100 };

struct end {
	struct socket *socket;
	struct socket_op op;
	struct piece piece;
	char bytes[4096];
	struct bench *bench;
	bool is_client;
};

static void end_received(struct shard *shard, struct socket_op *op);

static void end_sent(struct shard *shard, struct socket_op *op)
{
	struct end *end = container_of(op, struct end, op);

	ensure(op->result == 0);
	op->done = end_received;
	socket_receive(end->socket, op, end->bytes, sizeof(end->bytes));
}

static void end_send(struct end *end)
{
	end->piece = (struct piece){.data = end->bytes, .size = ECHO_SIZE};
	end->op.done = end_sent;
	socket_send(end->socket, &end->op, &end->piece, 1);
}

static void end_received(struct shard *shard, struct socket_op *op)
{
	struct end *end = container_of(op, struct end, op);

	ensure(op->result == ECHO_SIZE);
	if (end->is_client && end->bench->left-- == 1)
		bench_end(shard, end->bench);
	end_send(end);
}

static void end_accepted(
	struct shard *shard, struct listener *listener, struct socket *socket, void *argument)
{
	struct end *end = calloc(1, sizeof(*end));

	socket_attach(shard, socket);
	end->socket = socket;
	end->bench = argument;
	end->op.done = end_received;
	socket_receive(socket, &end->op, end->bytes, sizeof(end->bytes));
}

static void end_connected(struct shard *shard, struct socket_op *op)
{
	struct end *end = container_of(op, struct end, op);

	ensure(op->result == 0);
	end->socket = op->socket;
	end_send(end);
}

static void echo_start(struct shard *shard, struct bench *bench, unsigned at_once)
{
	struct listener_events events = {.accepted = end_accepted, .argument = bench};
	struct listener *listener;
	struct address address;

	ensure(address_parse("127.0.0.1", &address));
	ensure(listener_open(shard, &address, events, &listener) == 0);
	address = listener_address(listener);
	bench->left = bench->count;
	bench_begin(bench);
	for (unsigned i = 0; i < at_once; i++) {
		struct end *end = calloc(1, sizeof(*end));

		end->bench = bench;
		end->is_client = true;
		end->op.done = end_connected;
		socket_connect(shard, &end->op, &address);
	}
}

static void echo_1_start(struct shard *shard, struct bench *bench)
{
	echo_start(shard, bench, 1);
}

static void echo_64_start(struct shard *shard, struct bench *bench)
{
	echo_start(shard, bench, 64);
}

/* Appends to a file, a kilobyte or sixteen at a time. */
static void append(struct shard *shard, struct bench *bench, size_t size, bool with_sync)
{
	char path[] = "/tmp/barnabas-bench-XXXXXX", *bytes = calloc(1, size);
	struct file *file;
	int fd = mkstemp(path);

	ensure(fd >= 0);
	close(fd);
	ensure(fiber_open(shard, path, FILE_READ | FILE_WRITE, &file) == 0);
	bench_begin(bench);
	for (uint64_t i = 0; i < bench->count; i++) {
		ensure(fiber_write(shard, file, bytes, size, i * size) == 0);
		if (with_sync)
			ensure(fiber_sync(shard, file) == 0);
	}
	file_unref(file);
	unlink(path);
	free(bytes);
	bench_end(shard, bench);
}

static void append_1k_fiber(struct shard *shard, void *argument)
{
	append(shard, argument, 1024, false);
}

static void append_16k_fiber(struct shard *shard, void *argument)
{
	append(shard, argument, 16384, false);
}

static void append_sync_fiber(struct shard *shard, void *argument)
{
	append(shard, argument, 1024, true);
}

static void append_1k_start(struct shard *shard, struct bench *bench)
{
	ensure(fiber_start(shard, append_1k_fiber, bench) == 0);
}

static void append_16k_start(struct shard *shard, struct bench *bench)
{
	ensure(fiber_start(shard, append_16k_fiber, bench) == 0);
}

static void append_sync_start(struct shard *shard, struct bench *bench)
{
	ensure(fiber_start(shard, append_sync_fiber, bench) == 0);
}

static void bench_program_start(struct shard *shard, void *argument)
{
	struct bench *bench = argument;

	bench->start(shard, bench);
}

int main(int argc, char **argv)
{
	static struct bench benches[] = {
		{"post a step", "steps", 1, posts_start, 5000000},
		{"move one of 10000 timers", "timers", 1, timers_start, 5000000},
		{"set a timer that fires", "timers", 1, due_start, 2000000},
		{"to another shard and back, one message", "pings", 2, ping_start, 50000},
		{"to another shard and back, 64 messages", "pings", 2, pings_64_start, 1000000},
		{"echo 100 bytes, 1 connection", "echoes", 1, echo_1_start, 100000},
		{"echo 100 bytes, 64 connections", "echoes", 1, echo_64_start, 300000},
		{"append 1 KiB", "appends", 1, append_1k_start, 200000},
		{"append 16 KiB", "appends", 1, append_16k_start, 40000},
		{"append 1 KiB and sync", "appends", 1, append_sync_start, 300},
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned i = 0; i < array_length(benches); i++) {
		struct bench *bench = &benches[i];
		struct linux_machine_options options = {.shard_count = bench->shard_count};
		struct program program = {.start = bench_program_start, .argument = bench};

		if (argc > 1 && !strstr(bench->name, argv[1]))
			continue;
		ensure(linux_machine_run(&options, &program) == 0);
	}
	return 0;
}
