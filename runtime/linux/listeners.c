/*
 * Listeners: several connections accepted an event, so that a storm of them neither starves the
 * shard nor waits in the kernel. At the limit of open files, of which some are kept for files,
 * accepting pauses and is tried again by a timer; connections wait in the kernel's backlog
 * meanwhile. What files have beyond those they give back as connections come, a little ahead of them: at
 * most half of those that are kept is ever used for that, so that no file has to fail for it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/linux/internal.h"

enum { ACCEPTS_AT_ONCE = 16, BACKLOG = 4096, GIVE_WAY_TRIES = 100 };
#define ACCEPT_RETRY_NS	  (100 * NS_PER_MS)
#define GIVE_WAY_RETRY_NS NS_PER_MS

struct linux_listener {
	struct listener listener;
	struct event_source source;
	int fd;
	struct timer retry;
	bool is_closed;
	bool is_paused;	 /* by its owner */
	bool is_waiting; /* for room, until the retry */
	bool failure_reported; /* since the last connection that was accepted */
	unsigned give_way_waits; /* for files to be closed; since then, too */
};

static struct linux_listener *linux_listener_of(const struct listener *listener)
{
	return container_of(
		(struct listener *)(uintptr_t)listener, struct linux_listener, listener);
}

static int listener_watch(struct linux_listener *listener, bool on)
{
	struct linux_shard *shard = linux_shard_of(listener->listener.shard);
	struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.ptr = &listener->source};

	return epoll_ctl(shard->epoll_fd, EPOLL_CTL_MOD, listener->fd, &event) == 0 ? 0 : -errno;
}

static void listener_wait(struct linux_listener *listener, int error)
{
	struct shard *shard = listener->listener.shard;
	struct listener_events *events = &listener->listener.events;

	listener->is_waiting = true;
	listener_watch(listener, false);
	timer_set(shard, &listener->retry, shard->now_ns + ACCEPT_RETRY_NS);
	if (events->failed && !listener->failure_reported) {
		listener->failure_reported = true;
		events->failed(shard, &listener->listener, error, events->argument);
	}
}

/* Is there a descriptor for one more connection? Otherwise it is waited for. */
static bool listener_has_room(struct linux_listener *listener)
{
	struct shard *shard = listener->listener.shard;
	struct machine *machine = shard->machine;
	uint64_t sockets = linux_sockets_open();
	uint64_t files = __atomic_load_n(&machine->files_open, __ATOMIC_RELAXED);

	if (sockets + machine->files_reserved >= machine->descriptors_max) {
		listener_wait(listener, -EMFILE);
		return false;
	}
	if (sockets + files + machine->files_reserved / 2 < machine->descriptors_max)
		return true;
	machine_files_press(machine);
	if (listener->give_way_waits++ >= GIVE_WAY_TRIES) {
		listener_wait(listener, -EMFILE);
		return false;
	}
	listener->is_waiting = true;
	listener_watch(listener, false);
	timer_set(shard, &listener->retry, shard->now_ns + GIVE_WAY_RETRY_NS);
	return false;
}

static void listener_accept(struct linux_listener *listener)
{
	struct shard *shard = listener->listener.shard;
	struct listener_events *events = &listener->listener.events;

	for (int i = 0; i < ACCEPTS_AT_ONCE && !listener->is_closed && !listener->is_paused; i++) {
		struct machine *machine = shard->machine;
		struct sockaddr_storage from;
		if (!listener_has_room(listener))
			return;
		socklen_t from_size = sizeof(from);
		int fd = accept4(listener->fd, (struct sockaddr *)&from, &from_size,
			SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			struct address peer = address_from_kernel(&from);
			struct linux_socket *socket = linux_socket_new(fd, &peer);

			if (!socket) {
				listener_wait(listener, -ENOMEM);
				return;
			}
			listener->failure_reported = false;
			listener->give_way_waits = 0;
			if (__atomic_load_n(&machine->files_open, __ATOMIC_RELAXED) >
				machine_files_allowed(machine))
				machine_files_press(machine);
			events->accepted(
				shard, &listener->listener, &socket->socket, events->argument);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			listener_wait(listener, -errno);
			return;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return;
		}
		/* Anything else befell that one connection while it waited. */
	}
}

static void listener_ready(struct linux_shard *shard, struct event_source *source, uint32_t events)
{
	listener_accept(container_of(source, struct linux_listener, source));
}

static void listener_retry(struct shard *shard, struct timer *timer)
{
	struct linux_listener *listener = container_of(timer, struct linux_listener, retry);

	listener->is_waiting = false;
	listener_accept(listener);
	if (!listener->is_closed && !listener->is_paused && !listener->is_waiting)
		listener_watch(listener, true);
}

static void listener_source_free(struct event_source *source)
{
	free(container_of(source, struct linux_listener, source));
}

/* "::" takes IPv4 too, as long as the host knows IPv6 at all. */
static int listener_socket(const struct address *address, int send_buffer_bytes)
{
	struct sockaddr_storage name;
	unsigned name_size = address_to_kernel(address, &name);
	int fd = socket(name.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, off = 0;

	if (fd < 0 && errno == EAFNOSUPPORT && name.ss_family == AF_INET6 &&
		memcmp(address->octets, &in6addr_any, 16) == 0) {
		struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(address->port)};

		memcpy(&name, &v4, sizeof(v4));
		name_size = sizeof(v4);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (send_buffer_bytes > 0) /* which connections inherit */
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes, sizeof(int));
	if (name.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&name, name_size) != 0 || listen(fd, BACKLOG) != 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

int linux_listener_open(struct shard *shard, const struct address *address,
	struct listener_events events, struct listener **ret)
{
	struct linux_listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return -ENOMEM;
	struct machine *machine = linux_shard_of(shard)->shard.machine;
	int fd = listener_socket(address, machine->options.send_buffer_bytes);
	if (fd < 0) {
		free(listener);
		return fd;
	}
	listener->listener.ops = &linux_ops;
	listener->listener.shard = shard;
	listener->listener.events = events;
	listener->fd = fd;
	listener->retry.fire = listener_retry;
	listener->source.ready = listener_ready;
	listener->source.free = listener_source_free;
	int error = loop_watch(linux_shard_of(shard), fd, &listener->source, EPOLLIN);
	if (error) {
		close(fd);
		free(listener);
		return error;
	}
	*ret = &listener->listener;
	return 0;
}

struct address linux_listener_address(const struct listener *listener)
{
	struct sockaddr_storage name = {0};
	socklen_t size = sizeof(name);

	getsockname(linux_listener_of(listener)->fd, (struct sockaddr *)&name, &size);
	return address_from_kernel(&name);
}

void linux_listener_pause(struct listener *any, bool paused)
{
	struct linux_listener *listener = linux_listener_of(any);

	listener->is_paused = paused;
	if (!listener->is_waiting)
		listener_watch(listener, !paused);
}

void linux_listener_close(struct listener *any)
{
	struct linux_listener *listener = linux_listener_of(any);

	listener->is_closed = true;
	timer_stop(any->shard, &listener->retry);
	close(listener->fd);
	loop_forget(linux_shard_of(any->shard), &listener->source);
}
