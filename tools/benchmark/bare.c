#include "tools/benchmark/bare.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 64 };

void bare_die(const char *what)
{
	fprintf(stderr, "limits: %s: %s\n", what, strerror(errno));
	exit(1);
}

void bare_send(int fd, const void *data, size_t size, int flags)
{
	while (size > 0) {
		ssize_t n = send(fd, data, size, flags | MSG_NOSIGNAL);

		if (n < 0)
			bare_die("send");
		data = (const uint8_t *)data + n;
		size -= (size_t)n;
	}
}

void bare_answer(uint8_t *to, const uint8_t *correlation_id)
{
	store_be32(to, BARE_ANSWER_BYTES - 4);
	memcpy(to + 4, correlation_id, 4);
	memset(to + 8, 0, BARE_ANSWER_BYTES - 8);
}

bool bare_frames_receive(struct bare_framed_peer *peer,
	void (*serve)(struct bare_framed_peer *peer, const uint8_t *frame, size_t size))
{
	ssize_t n = recv(peer->bare.fd, peer->data + peer->size, BARE_FRAME_MAX - peer->size,
		MSG_DONTWAIT);
	size_t at = 0;

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return false;
	peer->size += (size_t)n;
	while (peer->size - at >= 4) {
		size_t size = load_be32(peer->data + at) + 4;

		if (size > BARE_FRAME_MAX) {
			errno = EMSGSIZE;
			bare_die("a request");
		}
		if (size > peer->size - at)
			break;
		serve(peer, peer->data + at, size);
		at += size;
	}
	memmove(peer->data, peer->data + at, peer->size - at);
	peer->size -= at;
	return true;
}

void bare_files_open(struct bare_files *files, const char *folder, unsigned count)
{
	struct rlimit limit;
	char path[4096];

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (count > BARE_FILES_MAX) {
		errno = EINVAL;
		bare_die("more files than there is room for");
	}
	for (files->count = 0; files->count < count; files->count++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%u", folder, files->count);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd < 0)
			bare_die(path);
		files->fds[files->count] = fd;
	}
}

static int listener_open(uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 4096) < 0)
		bare_die("listen");
	return fd;
}

static void peer_accept(int epoll, int listener, size_t peer_bytes)
{
	struct bare_peer *peer = calloc(1, peer_bytes);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
	int one = 1;

	if (!peer || (peer->fd = accept(listener, NULL, NULL)) < 0)
		bare_die("accept");
	setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	epoll_ctl(epoll, EPOLL_CTL_ADD, peer->fd, &event);
}

void bare_serve(uint16_t port, size_t peer_bytes, bool (*serve)(struct bare_peer *peer),
	void (*turn_end)(void))
{
	struct epoll_event events[EVENTS], event = {.events = EPOLLIN};
	int listener = listener_open(port), epoll = epoll_create1(EPOLL_CLOEXEC);

	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (bool is_more = false;;) {
		int n = epoll_wait(epoll, events, EVENTS, is_more ? 0 : -1);

		for (int i = 0; i < n; i++) {
			struct bare_peer *peer = events[i].data.ptr;

			if (!peer) {
				peer_accept(epoll, listener, peer_bytes);
			} else if (!serve(peer)) {
				close(peer->fd);
				free(peer);
			}
		}
		is_more = turn_end && n > 0;
		if (turn_end && n == 0)
			turn_end();
	}
}
