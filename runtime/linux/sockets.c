/*
 * Sockets: non-blocking, edge-triggered, tried at once. The kernel tells of an edge only when
 * something new comes, so `readable` and `writable` remember that an attempt may succeed: set by an
 * event, cleared by an attempt that got less than it asked for.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/linux/internal.h"

static const uint8_t mapped_prefix[12] = {
	[10] = 0xff,
	[11] = 0xff,
};

unsigned address_to_kernel(const struct address *address, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (memcmp(address->octets, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)ret;

		v4->sin_family = AF_INET;
		v4->sin_port = htons(address->port);
		memcpy(&v4->sin_addr, address->octets + sizeof(mapped_prefix), 4);
		return sizeof(*v4);
	}
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(address->port);
	memcpy(&v6->sin6_addr, address->octets, 16);
	return sizeof(*v6);
}

struct address address_from_kernel(const struct sockaddr_storage *from)
{
	struct address address = {0};

	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;

		memcpy(address.octets, mapped_prefix, sizeof(mapped_prefix));
		memcpy(address.octets + sizeof(mapped_prefix), &v4->sin_addr, 4);
		address.port = ntohs(v4->sin_port);
	} else if (from->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;

		memcpy(address.octets, &v6->sin6_addr, 16);
		address.port = ntohs(v6->sin6_port);
	}
	return address;
}

static void socket_source_free(struct event_source *source)
{
	free(container_of(source, struct linux_socket, source));
}

static struct linux_socket *linux_socket_of(struct socket *socket)
{
	return container_of(socket, struct linux_socket, socket);
}

static void socket_receive_now(struct linux_socket *socket)
{
	struct socket_op *op = socket->socket.receiving;
	ssize_t got;

	do
		got = recv(socket->fd, op->ask.buffer, op->ask.size, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		socket->readable = false;
		return;
	}
	/* Less than asked for: that was all there is, unless the stream has ended behind it. */
	if (got > 0 && (size_t)got < op->ask.size && !socket->hung_up)
		socket->readable = false;
	socket_op_complete(op, got < 0 ? -errno : got);
}

static void socket_ready(struct linux_shard *shard, struct event_source *source, uint32_t events)
{
	struct linux_socket *socket = container_of(source, struct linux_socket, source);

	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		socket->hung_up = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		socket->readable = true;
		if (socket_op_is_open(socket->socket.receiving))
			socket_receive_now(socket);
	}
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		socket->writable = true;
		if (socket_op_is_open(socket->socket.sending))
			send_advance(shard, socket);
	}
}

static uint32_t sockets_open; /* atomic */

uint32_t linux_sockets_open(void)
{
	return __atomic_load_n(&sockets_open, __ATOMIC_RELAXED);
}

static void socket_close_descriptor(struct linux_socket *socket)
{
	close(socket->fd);
	__atomic_fetch_sub(&sockets_open, 1, __ATOMIC_RELAXED);
}

struct linux_socket *linux_socket_new(int fd, const struct address *peer)
{
	struct linux_socket *socket = calloc(1, sizeof(*socket));
	int on = 1;

	if (!socket) {
		close(fd);
		return NULL;
	}
	__atomic_fetch_add(&sockets_open, 1, __ATOMIC_RELAXED);
	socket->socket.ops = &linux_ops;
	socket->fd = fd;
	socket->peer = *peer;
	socket->source.ready = socket_ready;
	socket->source.free = socket_source_free;
	socket->again.run = send_again_run;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	return socket;
}

static int socket_watch(struct linux_shard *shard, struct linux_socket *socket)
{
	return loop_watch(
		shard, socket->fd, &socket->source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

void linux_socket_attach(struct socket *any)
{
	struct linux_socket *socket = linux_socket_of(any);

	socket->writable = true;
	/* Without memory in the kernel nothing will ever be heard: the first receive finds the
	 * socket shut down. */
	if (socket_watch(linux_shard_of(any->shard), socket) != 0) {
		shutdown(socket->fd, SHUT_RDWR);
		socket->readable = socket->hung_up = true;
	}
}

struct address linux_socket_peer(const struct socket *socket)
{
	return container_of((struct socket *)(uintptr_t)socket, struct linux_socket, socket)->peer;
}

void linux_socket_receive(struct socket *any, struct socket_op *op)
{
	struct linux_socket *socket = linux_socket_of(any);

	if (socket->readable)
		socket_receive_now(socket);
}

void linux_socket_send(struct socket *any, struct socket_op *op)
{
	send_advance(linux_shard_of(any->shard), linux_socket_of(any));
}

void linux_socket_close(struct socket *any)
{
	struct linux_socket *socket = linux_socket_of(any);

	socket_close_descriptor(socket); /* and with it what epoll watches */
	if (!any->shard) {
		free(socket);
		return;
	}
	struct linux_shard *shard = linux_shard_of(any->shard);
	send_abandon(shard, socket);
	loop_forget(shard, &socket->source);
}

static void connect_finish(struct linux_shard *shard, struct linux_socket *socket, int error)
{
	struct socket_op *op = socket->connecting;

	socket->connecting = NULL;
	if (error) {
		socket_close_descriptor(socket);
		loop_forget(shard, &socket->source);
	} else {
		socket->source.ready = socket_ready;
		socket->writable = true;
		op->socket = &socket->socket;
	}
	socket_op_complete(op, error);
}

static void connect_ready(struct linux_shard *shard, struct event_source *source, uint32_t events)
{
	struct linux_socket *socket = container_of(source, struct linux_socket, source);
	int error = 0;
	socklen_t size = sizeof(error);

	if (!(events & (EPOLLOUT | EPOLLHUP | EPOLLERR)))
		return;
	if (getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
		error = errno;
	/* What came together with the handshake shows no second edge. */
	socket->readable = (events & (EPOLLIN | EPOLLRDHUP)) != 0;
	socket->hung_up = (events & (EPOLLRDHUP | EPOLLHUP)) != 0;
	connect_finish(shard, socket, -error);
}

void linux_socket_connect(struct shard *any, struct socket_op *op)
{
	struct linux_shard *shard = linux_shard_of(any);
	struct sockaddr_storage address;
	unsigned address_size = address_to_kernel(&op->ask.address, &address);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		socket_op_complete(op, -errno);
		return;
	}
	struct linux_socket *socket = linux_socket_new(fd, &op->ask.address);
	if (!socket) {
		socket_op_complete(op, -ENOMEM);
		return;
	}
	socket->socket.shard = any;
	socket->connecting = op;
	socket->source.ready = connect_ready;
	int error = connect(fd, (struct sockaddr *)&address, address_size) == 0 ? 0 : -errno;
	if (error == 0 || error == -EINPROGRESS) {
		/* Also a connection that is made already reports itself by its first event. */
		error = socket_watch(shard, socket);
	}
	if (error)
		connect_finish(shard, socket, error);
}
