/* Sockets where they are hard: no descriptors left, resets, cold files, peers of another kind. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "runtime/fiber.h"
#include "runtime/linux/internal.h"

static bool everything_is_cold, nobody_leaves;
static int send_buffer_bytes;

/* All that reads without waiting goes through here. */
ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	if (everything_is_cold) {
		errno = EAGAIN;
		return -1;
	}
	return syscall(SYS_preadv2, fd, parts, count, offset, 0, flags);
}

/* A peer outside the machine: an ordinary blocking socket. Connecting and small sends do not block
 * on the loopback, as the kernel completes them. */
static int raw_connect(const struct address *to)
{
	struct sockaddr_storage name;
	unsigned size = address_to_kernel(to, &name);
	int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ensure(fd >= 0);
	ensure(connect(fd, (struct sockaddr *)&name, size) == 0);
	return fd;
}

struct test {
	void (*body)(struct shard *shard, struct test *test);
	struct fiber *fiber;
	struct listener *listener;
	struct address address;
	struct socket *accepted[64];
	unsigned accepted_count, failed_count;
	int failed_error;
	char path[64];
};

static void test_accepted(
	struct shard *shard, struct listener *listener, struct socket *socket, void *argument)
{
	struct test *test = argument;

	socket_attach(shard, socket);
	ensure(test->accepted_count < array_length(test->accepted));
	test->accepted[test->accepted_count++] = socket;
	fiber_wake(shard, test->fiber);
}

static void test_failed(struct shard *shard, struct listener *listener, int error, void *argument)
{
	struct test *test = argument;

	test->failed_count++;
	test->failed_error = error;
	fiber_wake(shard, test->fiber);
}

static void test_listen(struct shard *shard, struct test *test, const char *address)
{
	struct listener_events events = {
		.accepted = test_accepted, .failed = test_failed, .argument = test};

	ensure(address_parse(address, &test->address));
	ensure(listener_open(shard, &test->address, events, &test->listener) == 0);
	test->address = listener_address(test->listener);
}

static void test_fiber(struct shard *shard, void *argument)
{
	struct test *test = argument;

	test->fiber = fiber_current(shard);
	test->body(shard, test);
	for (unsigned i = 0; i < test->accepted_count; i++)
		socket_close(test->accepted[i]);
	listener_close(test->listener);
	machine_exit(shard, 0);
}

static void test_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, test_fiber, argument) == 0);
}

static void test_run(void (*body)(struct shard *shard, struct test *test))
{
	struct test test = {.body = body, .path = "/tmp/barnabas-sockets-XXXXXX"};
	struct program program = {.start = test_start, .argument = &test};
	struct linux_machine_options options = {
		.shard_count = 1, .send_buffer_bytes = send_buffer_bytes};

	int fd = mkstemp(test.path);
	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(linux_machine_run(&options, &program), 0);
	unlink(test.path);
}

struct call {
	struct socket_op op;
	struct fiber *fiber;
	bool is_done;
};

static void call_done(struct shard *shard, struct socket_op *op)
{
	struct call *call = container_of(op, struct call, op);

	call->is_done = true;
	fiber_wake(shard, call->fiber);
}

static struct call call_begin(struct test *test)
{
	return (struct call){.op.done = call_done, .fiber = test->fiber};
}

static int64_t call_wait(struct shard *shard, struct call *call)
{
	while (!call->is_done)
		fiber_wait(shard);
	return call->op.result;
}

static void no_descriptors(struct shard *shard, struct test *test)
{
	int spare[64], count = 0;

	test_listen(shard, test, "127.0.0.1");
	for (int fd; (fd = dup(0)) >= 0;)
		spare[count++] = fd;
	ensure(errno == EMFILE && count > 2);
	close(spare[--count]);
	int client = raw_connect(&test->address); /* took the last one */
	while (test->failed_count == 0)
		fiber_wait(shard);
	ensure(test->failed_error == -EMFILE);
	/* Several retries later it has been said once, and nothing was accepted. */
	fiber_sleep(shard, 350 * NS_PER_MS);
	ensure(test->failed_count == 1 && test->accepted_count == 0);
	while (count > 0)
		close(spare[--count]);
	while (test->accepted_count == 0)
		fiber_wait(shard);
	/* And it goes on with the next one as if nothing had been. */
	int second = raw_connect(&test->address);
	while (test->accepted_count < 2)
		fiber_wait(shard);
	ensure(test->failed_count == 1);
	close(client);
	close(second);
}

/* No descriptor is left: the listener says so once, waits, and accepts when there is one again. */
Test(linux_sockets, a_listener_survives_the_limit_of_open_files, .timeout = 30)
{
	struct rlimit limit = {40, 40};

	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	test_run(no_descriptors);
}

struct held_files {
	struct file *files[400];
	uint32_t count;
};

static void held_open(struct shard *shard, struct test *test, struct held_files *held, uint32_t count)
{
	while (held->count < count)
		ensure(fiber_open(shard, test->path, FILE_READ, &held->files[held->count++]) == 0);
}

static void held_give_way(struct shard *shard, void *argument)
{
	struct held_files *held = argument;

	while (held->count > files_allowed(shard))
		file_unref(held->files[--held->count]);
}

/* Of 400 descriptors 100 are kept for files. */
static void files_yield(struct shard *shard, struct test *test)
{
	struct held_files held = {0};
	int clients[20], count = 0;

	test_listen(shard, test, "127.0.0.1");
	ensure(files_reserved(shard) == 100 && files_allowed(shard) == 300);
	/* Files that nobody closes leave room for 10 connections: the next ones wait. */
	held_open(shard, test, &held, 340);
	while (count < 12)
		clients[count++] = raw_connect(&test->address);
	while (test->accepted_count < 10)
		fiber_wait(shard);
	fiber_sleep(shard, 20 * NS_PER_MS);
	ensure(test->accepted_count == 10);
	files_give_way(shard, held_give_way, &held);
	while (test->accepted_count < 12)
		fiber_wait(shard);
	while (held.count > 288)
		fiber_sleep(shard, NS_PER_MS);
	/* With all in use that is allowed, each connection takes one away. */
	held_open(shard, test, &held, 288);
	while (count < 20)
		clients[count++] = raw_connect(&test->address);
	while (test->accepted_count < 20 || held.count > 280)
		fiber_sleep(shard, NS_PER_MS);
	ensure(files_allowed(shard) == 280);
	files_give_way(shard, NULL, NULL);
	while (held.count > 0)
		file_unref(held.files[--held.count]);
	while (count > 0)
		close(clients[--count]);
}

/* What connections do not need is for files, which give way when they come. */
Test(linux_sockets, files_give_way_to_connections, .timeout = 30)
{
	struct rlimit limit = {400, 400};

	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	test_run(files_yield);
}

static void reset(struct shard *shard, struct test *test)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	struct call receiving, sending;
	struct piece piece;
	char byte;

	test_listen(shard, test, "127.0.0.1");
	int client = raw_connect(&test->address);
	while (test->accepted_count == 0)
		fiber_wait(shard);
	receiving = call_begin(test);
	socket_receive(test->accepted[0], &receiving.op, &byte, 1);
	fiber_yield(shard);
	ensure(!receiving.is_done);
	ensure(setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) == 0);
	close(client);
	ensure(call_wait(shard, &receiving) == -ECONNRESET);
	sending = call_begin(test);
	piece = (struct piece){.data = "x", .size = 1};
	socket_send(test->accepted[0], &sending.op, &piece, 1);
	ensure(call_wait(shard, &sending) == -EPIPE);
}

/* A reset while a receive waits is its error; a later send fails too. */
Test(linux_sockets, a_reset_is_an_error_of_the_operation, .timeout = 30)
{
	test_run(reset);
}

static void half_closed(struct shard *shard, struct test *test)
{
	struct call call;
	struct piece piece = {.data = "answer", .size = 6};
	char bytes[100];

	test_listen(shard, test, "127.0.0.1");
	int client = raw_connect(&test->address);
	ensure(write(client, "question", 8) == 8);
	shutdown(client, SHUT_WR);
	while (test->accepted_count == 0)
		fiber_wait(shard);
	call = call_begin(test);
	socket_receive(test->accepted[0], &call.op, bytes, sizeof(bytes));
	ensure(call_wait(shard, &call) == 8);
	call = call_begin(test);
	socket_receive(test->accepted[0], &call.op, bytes, sizeof(bytes));
	ensure(call_wait(shard, &call) == 0);
	call = call_begin(test);
	socket_send(test->accepted[0], &call.op, &piece, 1);
	ensure(call_wait(shard, &call) == 0);
	ensure(read(client, bytes, sizeof(bytes)) == 6);
	close(client);
}

/* Data and the end of the stream came before anyone listened to the socket: both are found, and the
 * other direction still works. */
Test(linux_sockets, a_half_closed_peer_gets_its_answer, .timeout = 30)
{
	test_run(half_closed);
}

static void version_6(struct shard *shard, struct test *test)
{
	char text[ADDRESS_TEXT_SIZE];

	test_listen(shard, test, "::");
	struct address four = test->address, six = test->address;
	uint16_t port = test->address.port;
	ensure(address_parse("127.0.0.1", &four));
	ensure(address_parse("::1", &six));
	four.port = six.port = port;
	int first = raw_connect(&four);
	while (test->accepted_count == 0)
		fiber_wait(shard);
	struct address peer = socket_peer(test->accepted[0]);
	ensure(strcmp(address_format_host(&peer, text), "127.0.0.1") == 0);
	struct sockaddr_storage name;
	unsigned size = address_to_kernel(&six, &name);
	int second = socket(AF_INET6, SOCK_STREAM, 0);
	/* Only where the host has it. */
	if (second >= 0 && connect(second, (struct sockaddr *)&name, size) == 0) {
		while (test->accepted_count == 1)
			fiber_wait(shard);
		peer = socket_peer(test->accepted[1]);
		ensure(strncmp(address_format(&peer, text), "[::1]:", 6) == 0);
	}
	close(first);
	close(second);
}

/* "Every interface" takes clients of both families; an IPv4 client looks like one. */
Test(linux_sockets, every_interface_means_both_families, .timeout = 30)
{
	test_run(version_6);
}

static void send_buffers(struct shard *shard, struct test *test)
{
	int client, bytes;
	socklen_t size = sizeof(bytes);

	test_listen(shard, test, "127.0.0.1");
	client = raw_connect(&test->address);
	while (test->accepted_count == 0)
		fiber_wait(shard);
	ensure(getsockopt(container_of(test->accepted[0], struct linux_socket, socket)->fd,
		       SOL_SOCKET, SO_SNDBUF, &bytes, &size) == 0);
	/* The kernel doubles what it is told, for its own needs. */
	ensure((bytes == 2 * 50000) == (send_buffer_bytes == 50000));
	close(client);
}

Test(linux_sockets, what_is_accepted_has_the_send_buffer_that_was_asked_for, .timeout = 30)
{
	test_run(send_buffers);
	send_buffer_bytes = 50000;
	test_run(send_buffers);
}

enum { READERS = 50, COLD_SIZE = 3 << 20 };

static void cold_slices(struct shard *shard, struct test *test)
{
	struct call *sends = calloc(READERS, sizeof(*sends)),
		    *receives = calloc(READERS, sizeof(*receives));
	struct piece *pieces = calloc(READERS, sizeof(*pieces));
	size_t *left = calloc(READERS, sizeof(*left));
	char *content = malloc(COLD_SIZE), *buffer = malloc(READERS * 65536);
	struct socket *clients[READERS];
	struct file *file;
	unsigned open = READERS;

	for (unsigned i = 0; i < COLD_SIZE; i++)
		content[i] = (char)(i + (i >> 11));
	ensure(fiber_open(shard, test->path, FILE_READ | FILE_WRITE, &file) == 0);
	ensure(fiber_write(shard, file, content, COLD_SIZE, 0) == 0);
	ensure(fiber_sync(shard, file) == 0);
	test_listen(shard, test, "127.0.0.1");
	for (unsigned i = 0; i < READERS; i++) {
		struct call connecting = call_begin(test);

		socket_connect(shard, &connecting.op, &test->address);
		ensure(call_wait(shard, &connecting) == 0);
		clients[i] = connecting.op.socket;
	}
	while (test->accepted_count < READERS)
		fiber_wait(shard);
	/* Each from another place, so that one reader's disk is not the next one's cache. */
	posix_fadvise(linux_file_of(file)->fd, 0, 0, POSIX_FADV_DONTNEED);
	for (unsigned i = 0; i < READERS; i++) {
		uint64_t offset = i * 40000;

		sends[i] = receives[i] = call_begin(test);
		pieces[i] =
			(struct piece){.file = file, .offset = offset, .size = COLD_SIZE - offset};
		left[i] = COLD_SIZE - offset;
		socket_send(test->accepted[i], &sends[i].op, &pieces[i], 1);
		socket_receive(clients[i], &receives[i].op, buffer + i * 65536, 65536);
		if (i % 10 == 0)
			posix_fadvise(linux_file_of(file)->fd, 0, 0, POSIX_FADV_DONTNEED);
	}
	/* Some leave while the disk reads for them: all before the first step of anyone's send, as
	 * a send that goes on may fit into the sockets' buffers as a whole. */
	for (unsigned i = 0; i < READERS && !nobody_leaves; i += 5) {
		socket_close(test->accepted[i]);
		test->accepted[i] = NULL;
	}
	while (open > 0) {
		fiber_wait(shard);
		for (unsigned i = 0; i < READERS; i++) {
			if (!receives[i].is_done || !clients[i])
				continue;
			int64_t got = receives[i].op.result;
			if (got > 0) {
				ensure(memcmp(buffer + i * 65536, content + COLD_SIZE - left[i],
					       (size_t)got) == 0);
				left[i] -= (size_t)got;
			}
			if (got <= 0 || left[i] == 0) {
				ensure(left[i] == 0 || (i % 5 == 0 && !nobody_leaves));
				socket_close(clients[i]);
				clients[i] = NULL;
				open--;
				continue;
			}
			receives[i] = call_begin(test);
			socket_receive(clients[i], &receives[i].op, buffer + i * 65536, 65536);
		}
	}
	for (unsigned i = 0; i < READERS; i++)
		ensure(call_wait(shard, &sends[i]) ==
			(i % 5 == 0 && !nobody_leaves ? -ECANCELED : 0));
	ensure(list_is_empty(&linux_shard_of(shard)->chunk_waiters));
	file_unref(file);
	free(sends);
	free(receives);
	free(pieces);
	free(left);
	free(content);
	free(buffer);
}

/* Fifty peers read a file that is not in memory, more than there are chunks; some go away
 * meanwhile. Every byte arrives at those who stay. */
Test(linux_sockets, cold_slices_are_sent_without_the_loop_waiting, .timeout = 60)
{
	test_run(cold_slices);
}

/* The same when nothing is ever found in memory: all goes through the chunks, of which there are
 * fewer than peers. */
Test(linux_sockets, readers_wait_in_line_for_chunks, .timeout = 60)
{
	everything_is_cold = nobody_leaves = true;
	test_run(cold_slices);
}

Test(linux_sockets, readers_leave_the_line_for_chunks, .timeout = 60)
{
	everything_is_cold = true;
	test_run(cold_slices);
}

struct local {
	struct resolve_op op;
	struct address addresses[4];
	struct test *test;
	bool is_done;
};

static void local_done(struct shard *shard, struct resolve_op *op)
{
	struct local *local = container_of(op, struct local, op);

	local->is_done = true;
	fiber_wake(shard, local->test->fiber);
}

static void resolves(struct shard *shard, struct test *test)
{
	struct local local = {.op.done = local_done, .test = test};
	char text[ADDRESS_TEXT_SIZE];

	test_listen(shard, test, "127.0.0.1");
	address_resolve(shard, &local.op, "localhost", local.addresses, 4);
	while (!local.is_done)
		fiber_wait(shard);
	ensure(local.op.result >= 1);
	address_format_host(&local.addresses[0], text);
	ensure(strcmp(text, "127.0.0.1") == 0 || strcmp(text, "::1") == 0);
}

/* By the system's resolver, off the loop. */
Test(linux_sockets, localhost_resolves, .timeout = 30)
{
	test_run(resolves);
}
