#include "tools/benchmark/engine.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
	RECEIVE_BYTES = 16384, /* of a larger response only the beginning is kept */
	SEND_PIECES = 64,      /* requests in one call */
	EVENTS = 256,
	DRAIN_S = 30,
	STILL_S = 60, /* a run without any response for so long is stuck */
};

#define NS_PER_S UINT64_C(1000000000)

void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("load: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

uint64_t engine_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The broker's CPU time so far, in seconds, and its resident memory. */
static void broker_sample(int pid, struct sample *sample)
{
	char path[64], line[1024], *at;
	unsigned long user, system;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file || !fgets(line, sizeof(line), file))
		die("the broker is gone");
	fclose(file);
	/* The name may hold anything; the fields begin behind its last parenthesis. */
	at = strrchr(line, ')');
	if (!at || sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			   &system) != 2)
		die("%s is not as expected", path);
	sample->broker_cpu_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%*u %lu", &sample->broker_rss_kb) != 1)
		die("the broker is gone");
	fclose(file);
	sample->broker_rss_kb *= (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static struct sample sample_now(const struct engine *engine)
{
	struct sample sample = {.at_ns = engine_now_ns()};
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	sample.load_cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	if (engine->broker_pid)
		broker_sample(engine->broker_pid, &sample);
	return sample;
}

int engine_connect(const struct engine *engine)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(engine->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("no connection to port %u: %s", engine->port, strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static uint32_t ring_at(const struct connection *connection, uint32_t position)
{
	uint32_t size = (uint32_t)connection->group->options.inflight;
	uint32_t at = connection->first + position;

	return at >= size ? at - size : at;
}

/* When request number N of an open loop is due. */
static uint64_t due_ns(const struct group *group, uint64_t n)
{
	return group->engine->start_ns +
	       (uint64_t)((double)n * (double)NS_PER_S / (double)group->options.rate);
}

/* Sends what the socket takes. */
static void connection_send(struct connection *connection)
{
	while (connection->unsent > 0) {
		struct iovec pieces[SEND_PIECES];
		int piece_count = min_of((int)connection->unsent, (int)SEND_PIECES);
		uint32_t from = connection->count - connection->unsent;
		ssize_t sent;

		for (int i = 0; i < piece_count; i++) {
			struct bytes data = connection->pendings[ring_at(connection, from + (uint32_t)i)]
						    .request.data;

			pieces[i] = (struct iovec){(void *)data.data, (size_t)data.size};
		}
		pieces[0].iov_base = (uint8_t *)pieces[0].iov_base + connection->sent_bytes;
		pieces[0].iov_len -= connection->sent_bytes;
		sent = sendmsg(connection->fd,
			&(struct msghdr){.msg_iov = pieces, .msg_iovlen = (size_t)piece_count},
			MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0) {
			if (errno == EAGAIN)
				return;
			die("%s: send: %s", connection->group->workload->name, strerror(errno));
		}
		for (int i = 0; i < piece_count && (size_t)sent >= pieces[i].iov_len; i++) {
			sent -= (ssize_t)pieces[i].iov_len;
			connection->unsent--;
			connection->sent_bytes = 0;
		}
		connection->sent_bytes += (size_t)sent;
	}
}

/* A request made now that was due at DUE; false when the connection can't or need not. */
static bool connection_ask(struct connection *connection, uint64_t due)
{
	struct group *group = connection->group;
	struct pending *pending;

	if (connection->count == (uint32_t)group->options.inflight)
		return false;
	if (group->options.count && group->sent == (uint64_t)group->options.count)
		return false;
	pending = &connection->pendings[ring_at(connection, connection->count)];
	pending->due_ns = due;
	if (!group->workload->next(connection, due, &pending->request))
		return false;
	connection->asked++;
	connection->count++;
	connection->unsent++;
	group->sent++;
	group->outstanding++;
	return true;
}

/* Asks and sends whatever this connection may at NOW. */
static void connection_pump(struct connection *connection, uint64_t now)
{
	struct group *group = connection->group;

	if (group->options.rate) {
		/* Its requests are every CONNECTIONS-th of the group's. What became due inside the
		 * window is asked even after it, or a broker that falls behind would be spared. */
		for (;;) {
			uint64_t n = connection->asked * (uint64_t)group->options.connections +
				     connection->index;
			uint64_t due = due_ns(group, n);

			if (due > now || (group->engine->is_over && due >= group->engine->end_ns) ||
				!connection_ask(connection, due))
				break;
		}
	} else if (!group->engine->is_over) {
		while (connection_ask(connection, now))
			;
	}
	connection_send(connection);
}

/* One whole response: HEAD is the beginning of its SIZE bytes. */
static void connection_answered(
	struct connection *connection, struct bytes head, size_t size, uint64_t now)
{
	struct group *group = connection->group;
	struct engine *engine = group->engine;
	struct pending *pending = &connection->pendings[connection->first];

	if (connection->count == connection->unsent)
		die("%s: a response to no request", group->workload->name);
	if (size < 4 || (int32_t)load_be32(head.data) != pending->request.correlation_id)
		die("%s: correlation id %d, wanted %d", group->workload->name,
			(int)load_be32(head.data), pending->request.correlation_id);
	group->workload->answer(connection, pending, head, size, now);
	group->done_requests++;
	group->outstanding--;
	if (engine->is_measuring && !engine->is_over) {
		group->requests++;
		group->records += (uint64_t)pending->request.records;
		group->bytes += (uint64_t)pending->request.bytes;
	}
	if (engine->is_measuring && !group->workload->own_latency &&
		pending->due_ns >= engine->measure_ns &&
		(!engine->end_ns || pending->due_ns < engine->end_ns))
		histogram_add(&group->latency_ns, now > pending->due_ns ? now - pending->due_ns : 0);
	connection->first = ring_at(connection, 1);
	connection->count--;
}

/* Takes the whole responses out of what was received. */
static void connection_split(struct connection *connection, uint64_t now)
{
	size_t at = 0;

	while (connection->received_size - at >= FRAME_SIZE_PREFIX) {
		size_t size = load_be32(connection->received + at);
		size_t have = connection->received_size - at - FRAME_SIZE_PREFIX;

		if (size > INT32_MAX)
			die("%s: a response of %zu bytes", connection->group->workload->name, size);
		if (have < size) {
			if (at == 0 && connection->received_size == RECEIVE_BYTES)
				connection->skip = size - have;
			break;
		}
		connection_answered(connection,
			(struct bytes){connection->received + at + FRAME_SIZE_PREFIX, (int32_t)size},
			size, now);
		at += FRAME_SIZE_PREFIX + size;
	}
	connection->received_size -= at;
	memmove(connection->received, connection->received + at, connection->received_size);
}

/* The rest of a large response: the kernel throws it away without copying it. */
static bool connection_skip(struct connection *connection)
{
	ssize_t n = recv(connection->fd, NULL, connection->skip, MSG_DONTWAIT | MSG_TRUNC);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		die("%s: the broker hung up", connection->group->workload->name);
	if (n < 0)
		return false;
	connection->skip -= (size_t)n;
	if (connection->skip == 0) {
		size_t head = connection->received_size - FRAME_SIZE_PREFIX;

		connection_answered(connection,
			(struct bytes){connection->received + FRAME_SIZE_PREFIX, (int32_t)head},
			load_be32(connection->received), engine_now_ns());
		connection->received_size = 0;
	}
	return true;
}

static void connection_receive(struct connection *connection)
{
	for (;;) {
		size_t room = RECEIVE_BYTES - connection->received_size;
		ssize_t n;

		if (connection->skip) {
			if (!connection_skip(connection))
				return;
			continue;
		}
		n = recv(connection->fd, connection->received + connection->received_size, room,
			MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			die("%s: the broker hung up", connection->group->workload->name);
		connection->received_size += (size_t)n;
		connection_split(connection, engine_now_ns());
		/* A read that did not fill the buffer emptied the socket: a later byte is a new event. */
		if ((size_t)n < room)
			return;
	}
}

static void connection_open(struct group *group, uint32_t index)
{
	struct connection *connection = &group->connections[index];
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};

	connection->group = group;
	connection->index = index;
	connection->fd = engine_connect(group->engine);
	connection->pendings = calloc((size_t)group->options.inflight, sizeof(*connection->pendings));
	connection->received = malloc(RECEIVE_BYTES);
	if (!connection->pendings || !connection->received)
		die("out of memory");
	if (epoll_ctl(group->engine->epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
		die("epoll_ctl: %s", strerror(errno));
}

static void window_begin(struct engine *engine)
{
	engine->begin = sample_now(engine);
	engine->is_measuring = true;
	engine->measure_ns = engine->begin.at_ns;
	engine->end_ns = engine->measure_ns + (uint64_t)(engine->seconds * (double)NS_PER_S);
}

static void window_end(struct engine *engine)
{
	engine->end = sample_now(engine);
	engine->is_over = true;
	engine->end_ns = min_of(engine->end_ns, engine->end.at_ns);
}

/* Has every group with a count answered it, and is there such a group? */
static bool counts_are_reached(const struct engine *engine)
{
	bool any = false;

	for (int i = 0; i < engine->group_count; i++) {
		const struct group *group = &engine->groups[i];

		if (!group->options.count)
			continue;
		if (group->done_requests < (uint64_t)group->options.count)
			return false;
		any = true;
	}
	return any;
}

static bool is_drained(const struct engine *engine)
{
	for (int i = 0; i < engine->group_count; i++) {
		const struct group *group = &engine->groups[i];

		/* A long poll at the end of the log may take its time; nobody waits for it. */
		if (group->outstanding && !group->workload->own_latency)
			return false;
	}
	return true;
}

/* Sends what an open loop owes at NOW; gives when the next request is due. */
static uint64_t groups_pace(struct engine *engine, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	for (int i = 0; i < engine->group_count; i++) {
		struct group *group = &engine->groups[i];
		uint64_t due;

		if (!group->options.rate)
			continue;
		while ((due = due_ns(group, group->due)) <= now)
			connection_pump(&group->connections[group->due++ %
							    (uint64_t)group->options.connections],
				now);
		next = min_of(next, due);
	}
	return next;
}

static void wait_for_events(struct engine *engine, uint64_t until_ns)
{
	struct epoll_event events[EVENTS];
	uint64_t now = engine_now_ns(), wait_ns = until_ns > now ? until_ns - now : 0;
	struct timespec timeout = {
		.tv_sec = (time_t)(wait_ns / NS_PER_S), .tv_nsec = (long)(wait_ns % NS_PER_S)};
	int n = epoll_pwait2(engine->epoll, events, EVENTS, &timeout, NULL);

	if (n < 0 && errno != EINTR)
		die("epoll_pwait2: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		struct connection *connection = events[i].data.ptr;

		if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			connection_receive(connection);
		connection_pump(connection, engine_now_ns());
	}
}

static void engine_open(struct engine *engine)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	/* Timers to the microsecond; the default slack of 50 would be part of every latency. */
	prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
	engine->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < engine->group_count; i++) {
		struct group *group = &engine->groups[i];

		group->engine = engine;
		group->connections =
			calloc((size_t)group->options.connections, sizeof(*group->connections));
		if (!group->connections)
			die("out of memory");
		group->workload->setup(group);
		for (uint32_t c = 0; c < group->options.connections; c++)
			connection_open(group, c);
	}
}

void engine_run(struct engine *engine)
{
	uint64_t done_before = 0, still_since;

	engine_open(engine);
	engine->start_ns = still_since = engine_now_ns();
	engine->measure_ns = engine->start_ns + (uint64_t)(engine->warmup_s * (double)NS_PER_S);
	for (;;) {
		uint64_t now = engine_now_ns(), next = UINT64_MAX, done = 0;

		if (!engine->is_measuring && now >= engine->measure_ns)
			window_begin(engine);
		if (engine->is_measuring && !engine->is_over &&
			(now >= engine->end_ns || counts_are_reached(engine)))
			window_end(engine);
		if (engine->is_over && is_drained(engine))
			return;
		if (engine->is_over && now - engine->end_ns > DRAIN_S * NS_PER_S)
			die("the broker does not keep up: requests wait %d s after the end", DRAIN_S);
		if (!engine->is_over)
			next = groups_pace(engine, now);
		for (int i = 0; i < engine->group_count; i++)
			done += engine->groups[i].done_requests;
		if (done != done_before) {
			done_before = done;
			still_since = now;
		} else if (now - still_since > STILL_S * NS_PER_S) {
			die("no response for %d s", STILL_S);
		}
		next = min_of(next, engine->is_measuring ? engine->end_ns : engine->measure_ns);
		wait_for_events(engine, engine->is_over ? now + NS_PER_S : next);
	}
}
