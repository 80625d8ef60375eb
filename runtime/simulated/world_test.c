#include "runtime/simulated/world.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/fiber.h"
#include "runtime/simulated/disk.h"

/*
 * A program for most tests: a log of numbered records, each acknowledged when it is durable. It
 * recovers what is there at its start, and appends until it has LOG_RECORDS.
 */
enum { LOG_RECORDS = 12, RECORD_SIZE = 700 };

struct number_log {
	bool forgets_sync, forgets_folder;
	/* What the test knows, beyond the process. */
	unsigned acknowledged, recovered;
	bool is_corrupt;
	int error;
};

static void record_make(uint8_t *record, unsigned number)
{
	uint8_t sum = 0;

	for (unsigned i = 0; i < RECORD_SIZE - 1; i++) {
		record[i] = (uint8_t)(number * 31 + i);
		sum = (uint8_t)(sum * 5 + record[i]);
	}
	record[RECORD_SIZE - 1] = sum ^ 0xa5;
}

static unsigned number_log_recover(struct shard *shard, struct number_log *log, struct file *file)
{
	uint8_t *record = malloc(RECORD_SIZE), *wanted = malloc(RECORD_SIZE);
	unsigned count = 0;

	for (;; count++) {
		int64_t size =
			fiber_read(shard, file, record, RECORD_SIZE, (uint64_t)count * RECORD_SIZE);

		record_make(wanted, count);
		if (size < 0)
			log->error = (int)size;
		if (size < RECORD_SIZE || memcmp(record, wanted, RECORD_SIZE) != 0)
			break;
	}
	free(record);
	free(wanted);
	return count;
}

static void number_log_run(struct shard *shard, void *argument)
{
	struct number_log *log = argument;
	uint8_t *record = malloc(RECORD_SIZE);
	struct file *file;
	unsigned count;
	int error = fiber_open(shard, "data/log", FILE_READ | FILE_WRITE | FILE_CREATE, &file);

	if (error == -ENOENT) {
		error = fiber_make_folder(shard, "data");
		if (!error)
			error = fiber_sync_folder(shard, "/");
		if (!error)
			error = fiber_open(
				shard, "data/log", FILE_READ | FILE_WRITE | FILE_CREATE, &file);
	}
	if (!error && !log->forgets_folder)
		error = fiber_sync_folder(shard, "data");
	if (!error) {
		count = number_log_recover(shard, log, file);
		log->recovered = log->acknowledged = count;
		error = fiber_truncate(shard, file, (uint64_t)count * RECORD_SIZE);
		for (; !error && count < LOG_RECORDS; count++) {
			record_make(record, count);
			error = fiber_write(
				shard, file, record, RECORD_SIZE, (uint64_t)count * RECORD_SIZE);
			if (!error && !log->forgets_sync)
				error = fiber_sync(shard, file);
			if (!error)
				log->acknowledged = count + 1;
		}
		file_unref(file);
	}
	log->error = error;
	free(record);
	machine_exit(shard, error ? 1 : 0);
}

static void number_log_start(struct shard *shard, void *argument)
{
	cr_assert_eq(fiber_start(shard, number_log_run, argument), 0);
}

static const struct world_options quiet = {
	.network_delay_max_ns = 1000000,
	.disk_delay_max_ns = 200000,
};

static void run_to_the_end(struct world *world)
{
	while (world_step(world))
		;
}

/* Crashes at each change in turn, restarts, and counts how often an acknowledged record was not
 * recovered. */
static unsigned crashes_that_lose(bool forgets_sync, bool forgets_folder, enum crash how,
	uint64_t seeds, unsigned *ret_crashes)
{
	unsigned lost = 0, crashes = 0;

	for (uint64_t seed = 1; seed <= seeds; seed++) {
		for (uint64_t n = 1;; n++) {
			struct world_options options = quiet;
			struct number_log log = {
				.forgets_sync = forgets_sync, .forgets_folder = forgets_folder};
			struct program program = {.start = number_log_start, .argument = &log};
			unsigned acknowledged;

			options.seed = seed;
			struct world *world = world_new(&options);
			struct host *host = world_host_new(world, "a", "10.0.0.1");
			host_crash_at_change(host, n, how);
			host_start(host, 1, &program);
			run_to_the_end(world);
			cr_assert(!host_is_running(host));
			if (host_exit_status(host) == 0) {
				world_free(world);
				break;
			}
			crashes++;
			acknowledged = log.acknowledged;
			host_start(host, 1, &program);
			run_to_the_end(world);
			cr_assert_eq(host_exit_status(host), 0, "%d", log.error);
			cr_assert_eq(log.acknowledged, LOG_RECORDS);
			lost += log.recovered < acknowledged;
			world_free(world);
		}
	}
	*ret_crashes = crashes;
	return lost;
}

Test(world, a_crash_at_each_change_loses_nothing_acknowledged)
{
	unsigned crashes;

	cr_assert_eq(crashes_that_lose(false, false, CRASH_POWER, 20, &crashes), 0);
	cr_assert_gt(crashes, 20 * 2 * LOG_RECORDS);
	cr_assert_eq(crashes_that_lose(false, false, CRASH_PROCESS, 5, &crashes), 0);
}

Test(world, a_missing_sync_is_found_by_a_power_cut_and_only_by_that)
{
	unsigned crashes, lost = crashes_that_lose(true, false, CRASH_POWER, 5, &crashes);

	cr_assert_gt(lost, crashes / 10, "%u of %u", lost, crashes);
	cr_assert_eq(crashes_that_lose(true, false, CRASH_PROCESS, 5, &crashes), 0);
}

Test(world, a_missing_sync_of_the_folder_is_found)
{
	unsigned crashes, lost = crashes_that_lose(false, true, CRASH_POWER, 5, &crashes);

	cr_assert_gt(lost, crashes / 10, "%u of %u", lost, crashes);
}

Test(world, each_operation_can_be_made_to_fail)
{
	unsigned failures = 0;

	for (uint64_t n = 1;; n++) {
		struct world_options options = quiet;
		struct number_log log = {0};
		struct program program = {.start = number_log_start, .argument = &log};
		uint64_t blocks;

		options.seed = n;
		struct world *world = world_new(&options);
		struct host *host = world_host_new(world, "a", "10.0.0.1");
		host_fail_operation(host, n, EIO);
		host_start(host, 1, &program);
		run_to_the_end(world);
		cr_assert_eq(host_exit_memory(host, &blocks), 0, "%lu blocks after failure %lu",
			(unsigned long)blocks, (unsigned long)n);
		bool is_over = host_exit_status(host) == 0 && log.error == 0;
		/* The failed read of a recovery is the one error that it goes on after. */
		failures += host_exit_status(host) != 0;
		bool beyond = host_operation_count(host) < n;
		world_free(world);
		if (is_over && beyond)
			break;
	}
	cr_assert_gt(failures, 2 * LOG_RECORDS);
}

Test(world, the_disk_as_it_was_at_a_crash_can_be_recovered_many_times)
{
	struct world_options options = quiet;
	struct number_log log = {0};
	struct program program = {.start = number_log_start, .argument = &log};
	unsigned acknowledged;

	options.seed = 7;
	struct world *world = world_new(&options);
	struct host *host = world_host_new(world, "a", "10.0.0.1");
	host_crash_at_change(host, 15, CRASH_PROCESS);
	host_start(host, 1, &program);
	run_to_the_end(world);
	acknowledged = log.acknowledged;
	struct disk *disk = host_disk_copy(host);
	world_free(world);
	for (options.seed = 1; options.seed <= 50; options.seed++) {
		world = world_new(&options);
		host = world_host_new(world, "a", "10.0.0.1");
		host_disk_set(host, disk);
		host_crash(host, CRASH_POWER);
		host_start(host, 1, &program);
		run_to_the_end(world);
		cr_assert_geq(log.recovered, acknowledged);
		cr_assert_eq(log.acknowledged, LOG_RECORDS);
		world_free(world);
	}
	disk_free(disk);
}

/*
 * An echo server on every shard, and clients that check what comes back.
 */
enum { ECHO_PORT = 9092, ECHO_BUFFER = 3000, ECHO_TOTAL = 20000 };

struct echo_connection {
	struct socket *socket;
	struct task adopt;
	struct socket_op receive, send;
	struct piece piece;
	uint8_t buffer[ECHO_BUFFER];
};

struct echo_server {
	unsigned next_shard;
};

static void echo_receive(struct echo_connection *connection)
{
	socket_receive(connection->socket, &connection->receive, connection->buffer, ECHO_BUFFER);
}

static void echo_end(struct echo_connection *connection)
{
	socket_close(connection->socket);
	free(connection);
}

static void echo_sent(struct shard *shard, struct socket_op *op)
{
	struct echo_connection *connection = container_of(op, struct echo_connection, send);

	if (op->result < 0)
		echo_end(connection);
	else
		echo_receive(connection);
}

static void echo_received(struct shard *shard, struct socket_op *op)
{
	struct echo_connection *connection = container_of(op, struct echo_connection, receive);

	if (op->result <= 0) {
		echo_end(connection);
		return;
	}
	connection->piece = (struct piece){.data = connection->buffer, .size = (size_t)op->result};
	socket_send(connection->socket, &connection->send, &connection->piece, 1);
}

static void echo_adopt(struct shard *shard, struct task *task)
{
	struct echo_connection *connection = container_of(task, struct echo_connection, adopt);

	socket_attach(shard, connection->socket);
	echo_receive(connection);
}

static void echo_accepted(
	struct shard *shard, struct listener *listener, struct socket *socket, void *argument)
{
	struct echo_server *server = argument;
	struct echo_connection *connection = calloc(1, sizeof(*connection));

	connection->socket = socket;
	connection->adopt.run = echo_adopt;
	connection->receive.done = echo_received;
	connection->send.done = echo_sent;
	shard_send(shard, server->next_shard++ % shard_count(shard), &connection->adopt);
}

static void echo_start(struct shard *shard, void *argument)
{
	struct echo_server *server = calloc(1, sizeof(*server));
	struct listener_events events = {.accepted = echo_accepted, .argument = server};
	struct address address = {.port = ECHO_PORT};
	struct listener *listener;

	cr_assert_eq(listener_open(shard, &address, events, &listener), 0);
	cr_assert_eq(listener_address(listener).port, ECHO_PORT);
}

struct echo_client {
	struct address server;
	struct socket *socket;
	struct socket_op connect, send, receive;
	struct piece piece;
	uint8_t out[ECHO_BUFFER], in[ECHO_BUFFER];
	uint64_t sent, received;
	uint64_t *ret_total; /* the test's: bytes that came back right, over all connections */
	int *ret_error;
};

static void echo_client_fail(struct shard *shard, struct echo_client *client, int64_t error)
{
	*client->ret_error = (int)error;
	socket_close(client->socket);
	client->socket = NULL;
	machine_exit(shard, 1);
}

static void echo_client_send(struct echo_client *client)
{
	size_t size = min_of(ECHO_BUFFER, ECHO_TOTAL - client->sent);

	for (size_t i = 0; i < size; i++)
		client->out[i] = (uint8_t)((client->sent + i) * 7 >> 3);
	client->piece = (struct piece){.data = client->out, .size = size};
	client->sent += size;
	socket_send(client->socket, &client->send, &client->piece, 1);
}

static void echo_client_sent(struct shard *shard, struct socket_op *op)
{
	struct echo_client *client = container_of(op, struct echo_client, send);

	if (op->result == -ECANCELED)
		return;
	if (op->result < 0)
		echo_client_fail(shard, client, op->result);
	else if (client->sent < ECHO_TOTAL)
		echo_client_send(client);
}

static void echo_client_received(struct shard *shard, struct socket_op *op)
{
	struct echo_client *client = container_of(op, struct echo_client, receive);

	if (op->result == -ECANCELED)
		return;
	if (op->result <= 0) {
		echo_client_fail(shard, client, op->result);
		return;
	}
	for (int64_t i = 0; i < op->result; i++)
		cr_assert_eq(client->in[i], (uint8_t)((client->received + (uint64_t)i) * 7 >> 3));
	client->received += (uint64_t)op->result;
	*client->ret_total += (uint64_t)op->result;
	if (client->received < ECHO_TOTAL)
		socket_receive(client->socket, &client->receive, client->in, ECHO_BUFFER);
	else
		machine_exit(shard, 0);
}

static void echo_client_connected(struct shard *shard, struct socket_op *op)
{
	struct echo_client *client = container_of(op, struct echo_client, connect);

	if (op->result < 0) {
		echo_client_fail(shard, client, op->result);
		return;
	}
	client->socket = op->socket;
	cr_assert_eq(socket_peer(client->socket).port, ECHO_PORT);
	client->send.done = echo_client_sent;
	client->receive.done = echo_client_received;
	echo_client_send(client);
	socket_receive(client->socket, &client->receive, client->in, ECHO_BUFFER);
}

struct echo_test {
	uint64_t total;
	int error;
	struct address server;
};

static void echo_client_start(struct shard *shard, void *argument)
{
	struct echo_test *test = argument;
	struct echo_client *client = calloc(1, sizeof(*client));

	client->ret_total = &test->total;
	client->ret_error = &test->error;
	client->connect.done = echo_client_connected;
	socket_connect(shard, &client->connect, &test->server);
}

struct echo_world {
	struct world *world;
	struct host *server, *clients[3];
	struct echo_test test;
};

static const struct program echo_program = {.start = echo_start};

static void echo_world_make(struct echo_world *echo, const struct world_options *options)
{
	struct program client = {.start = echo_client_start, .argument = &echo->test};

	memset(echo, 0, sizeof(*echo));
	echo->world = world_new(options);
	echo->server = world_host_new(echo->world, "server", "10.0.0.1");
	cr_assert(address_parse("10.0.0.1", &echo->test.server));
	echo->test.server.port = ECHO_PORT;
	host_start(echo->server, 4, &echo_program);
	/* The listener is there before anybody asks. */
	world_run_until(echo->world, NULL, NULL, NS_PER_MS);
	for (unsigned i = 0; i < 3; i++) {
		char text[16];

		snprintf(text, sizeof(text), "10.0.1.%u", i + 1);
		echo->clients[i] = world_host_new(echo->world, text, text);
		host_start(echo->clients[i], 1, &client);
	}
}

static bool echo_clients_ended(void *argument)
{
	struct echo_world *echo = argument;

	for (unsigned i = 0; i < 3; i++)
		if (host_is_running(echo->clients[i]))
			return false;
	return true;
}

Test(world, bytes_arrive_whole_and_in_order_through_short_moves)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct world_options options = quiet;
		struct echo_world echo;

		options.seed = seed;
		options.network_short_ppm = 300000;
		echo_world_make(&echo, &options);
		cr_assert(world_run_until(echo.world, echo_clients_ended, &echo, 60 * NS_PER_S));
		cr_assert_eq(echo.test.total, 3 * ECHO_TOTAL);
		world_free(echo.world);
	}
}

static uint64_t echo_trace(uint64_t seed, unsigned *ret_errors)
{
	struct world_options options = quiet;
	struct echo_world echo;
	uint64_t hash;

	options.seed = seed;
	options.network_short_ppm = 100000;
	options.network_reset_ppm = 5000;
	options.stall_ppm = 10000;
	options.stall_max_ns = 5000000;
	echo_world_make(&echo, &options);
	world_run_until(echo.world, NULL, NULL, 2 * NS_PER_MS);
	host_crash(echo.server, seed % 2 ? CRASH_PROCESS : CRASH_POWER);
	cr_assert(world_run_until(echo.world, echo_clients_ended, &echo, 120 * NS_PER_S));
	*ret_errors += echo.test.error != 0;
	hash = world_trace_hash(echo.world);
	world_free(echo.world);
	return hash;
}

Test(world, the_same_seed_gives_the_same_run)
{
	uint64_t last = 0;
	unsigned errors = 0;

	for (uint64_t seed = 1; seed <= 30; seed++) {
		uint64_t hash = echo_trace(seed, &errors);

		cr_assert_eq(hash, echo_trace(seed, &errors), "seed %lu", (unsigned long)seed);
		cr_assert_neq(hash, last);
		last = hash;
	}
	cr_assert_gt(errors, 0, "no run met a fault");
}

Test(world, the_trace_hash_does_not_depend_on_the_compiler)
{
	/* A run's hash, written down. When the simulator changes, so may this number: print it, and
	 * see that gcc and clang, and a release build, agree on the new one. */
	unsigned errors = 0;

	cr_assert_eq(echo_trace(1, &errors), 0x1f778d3d6c5315b2ull, "it is %#lx",
		(unsigned long)echo_trace(1, &errors));
}

Test(world, a_cut_holds_bytes_back_and_breaks_what_waits_too_long)
{
	struct world_options options = quiet;
	struct echo_world echo;

	options.seed = 3;
	echo_world_make(&echo, &options);
	for (unsigned i = 0; i < 3; i++)
		world_partition(echo.world, echo.server, echo.clients[i], true);
	cr_assert(!world_run_until(echo.world, echo_clients_ended, &echo, 10 * NS_PER_S));
	cr_assert_eq(echo.test.total, 0);
	world_partition(echo.world, echo.server, echo.clients[0], false);
	cr_assert(world_run_until(echo.world, echo_clients_ended, &echo, 100 * NS_PER_S));
	cr_assert_eq(echo.test.total, ECHO_TOTAL);
	cr_assert_eq(host_exit_status(echo.clients[0]), 0);
	cr_assert_eq(host_exit_status(echo.clients[1]), 1);
	cr_assert_eq(echo.test.error, -ETIMEDOUT);
	world_free(echo.world);
}

Test(world, connecting_to_a_host_without_a_listener_is_refused)
{
	struct world_options options = quiet;
	struct echo_world echo;

	options.seed = 3;
	echo_world_make(&echo, &options);
	host_crash(echo.server, CRASH_PROCESS);
	cr_assert(world_run_until(echo.world, echo_clients_ended, &echo, 100 * NS_PER_S));
	cr_assert(echo.test.error == -ECONNREFUSED || echo.test.error == -ECONNRESET);
	world_free(echo.world);
}

/*
 * Messages between shards.
 */
struct order_message {
	struct task task;
	unsigned sender, number;
};

struct order_test {
	unsigned next[8];
	unsigned received, switches, last_sender;
};

static void order_received(struct shard *shard, struct task *task)
{
	struct order_message *message = container_of(task, struct order_message, task);
	struct order_test *test = shard_context(shard);

	cr_assert_eq(message->number, test->next[message->sender]);
	test->next[message->sender]++;
	test->received++;
	test->switches += test->last_sender != message->sender;
	test->last_sender = message->sender;
	free(message);
}

static void order_send_all(struct shard *shard, struct task *task)
{
	for (unsigned i = 0; i < 50; i++) {
		struct order_message *message = calloc(1, sizeof(*message));

		message->sender = shard_index(shard);
		message->number = i;
		message->task.run = order_received;
		shard_send(shard, 0, &message->task);
	}
	free(task);
}

static void order_start(struct shard *shard, void *argument)
{
	shard_context_set(shard, argument);
	for (unsigned i = 0; i < shard_count(shard); i++) {
		struct task *task = calloc(1, sizeof(*task));

		task->run = order_send_all;
		shard_send(shard, i, task);
	}
}

Test(world, messages_keep_the_order_of_their_sender_and_mix_with_others)
{
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct world_options options = {.seed = seed};
		struct order_test test = {0};
		struct program program = {.start = order_start, .argument = &test};
		struct world *world = world_new(&options);
		struct host *host = world_host_new(world, "a", "10.0.0.1");

		host_start(host, 4, &program);
		run_to_the_end(world);
		cr_assert_eq(test.received, 4 * 50);
		cr_assert_gt(test.switches, 10);
		world_free(world);
	}
}

/*
 * Memory, time, speed.
 */
static void leaky_start(struct shard *shard, void *argument)
{
	void **kept = argument;
	char *text;

	shard_context_set(shard, malloc(1000));
	*kept = realloc(malloc(10), 5000);
	free(strdup("given back"));
	cr_assert_geq(asprintf(&text, "%d", 5), 0);
	if (*kept)
		machine_exit(shard, 3);
}

Test(world, the_memory_of_a_process_goes_with_it)
{
	/* The leak checker of a sanitized build sees to what is not counted here. */
	struct world_options options = {.seed = 1};
	void *kept = NULL;
	struct program program = {.start = leaky_start, .argument = &kept};
	struct world *world = world_new(&options);
	struct host *host = world_host_new(world, "a", "10.0.0.1");
	uint64_t blocks;

	host_start(host, 1, &program);
	run_to_the_end(world);
	cr_assert_eq(host_exit_status(host), 3);
	cr_assert_eq(host_exit_memory(host, &blocks), 6002);
	cr_assert_eq(blocks, 3);
	world_free(world);
}

struct tick_test {
	struct timer timer;
	struct task task;
	unsigned ticks;
	uint64_t last_ns;
	int64_t last_wall_ms, wall_back, wall_far;
};

static void tick(struct shard *shard, struct timer *timer)
{
	struct tick_test *test = container_of(timer, struct tick_test, timer);
	int64_t wall_ms = shard_wall_ms(shard);

	cr_assert_geq(shard_now_ns(shard), test->last_ns + 1000000);
	test->last_ns = shard_now_ns(shard);
	test->wall_back += wall_ms < test->last_wall_ms;
	test->wall_far += wall_ms > test->last_wall_ms + 60000;
	test->last_wall_ms = wall_ms;
	test->ticks++;
	timer_set(shard, timer, test->last_ns + 1000000);
}

static void tick_start(struct shard *shard, void *argument)
{
	struct tick_test *test = argument;

	test->timer.fire = tick;
	test->last_ns = shard_now_ns(shard);
	test->last_wall_ms = shard_wall_ms(shard);
	timer_set(shard, &test->timer, test->last_ns + 1000000);
}

Test(world, the_wall_clock_jumps_and_the_monotonic_does_not)
{
	struct world_options options = {.seed = 1, .clock_jump_ppm = 50000};
	struct tick_test test = {0};
	struct program program = {.start = tick_start, .argument = &test};
	struct world *world = world_new(&options);
	struct host *host = world_host_new(world, "a", "10.0.0.1");

	host_start(host, 1, &program);
	world_run_until(world, NULL, NULL, NS_PER_S);
	cr_assert(test.ticks > 900 && test.ticks <= 1000);
	cr_assert(test.wall_back > 5 && test.wall_far > 5);
	world_free(world);
}

Test(world, takes_many_steps_a_second)
{
	struct world_options options = quiet;
	struct echo_world echo;
	struct timespec begin, end;
	double seconds;
	uint64_t steps = 0;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	for (options.seed = 1; options.seed <= 100; options.seed++) {
		options.network_short_ppm = 900000;
		echo_world_make(&echo, &options);
		world_run_until(echo.world, echo_clients_ended, &echo, 60 * NS_PER_S);
		steps += world_steps(echo.world);
		world_free(echo.world);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	printf("simulated world: %lu steps in %.3f s of CPU, %.2f million a second\n",
		(unsigned long)steps, seconds, (double)steps / seconds / 1e6);
	cr_assert_gt(steps, 10000);
}
