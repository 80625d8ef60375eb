/*
 * Stream sockets and listeners. A socket belongs to the shard that attached it; one receive and one
 * send may be under way at a time. As everywhere, completions come as later steps.
 */
#pragma once

#include "runtime/file.h"

struct listener;
struct socket;

/* An IP address and port; IPv4 is kept as an IPv4-mapped IPv6 address. */
struct address {
	uint8_t octets[16];
	uint16_t port;
};

/* Numeric text of either family into *RET, without a port; false when it is none. */
bool address_parse(const char *text, struct address *ret);
/* "127.0.0.1:9092" or "[::1]:9092" into BUFFER of at least ADDRESS_TEXT_SIZE. Returns BUFFER. */
enum { ADDRESS_TEXT_SIZE = 64 };
char *address_format(const struct address *address, char *buffer);
/* The number alone, without port. */
char *address_format_host(const struct address *address, char *buffer);

struct socket_op {
	struct task task; /* private */
	void (*done)(struct shard *shard, struct socket_op *op);
	int64_t result;	       /* bytes, 0, or negative errno; -ECANCELED when the socket was closed
				  meanwhile */
	struct socket *socket; /* socket_connect: the new socket, when result is 0 */
	/* Private. */
	struct {
		struct shard *shard;
		struct socket *socket; /* in whose slot the operation stands */
		void *buffer;
		size_t size;
		struct piece *pieces;
		uint32_t piece_count;
		struct address address;
	} ask;
};

/* A run of bytes to send: memory (FILE NULL) that stays alive until DONE, or a slice of a file (the
 * caller holds a reference until DONE). The implementation moves DATA/OFFSET and SIZE forward as it
 * sends. */
struct piece {
	const void *data;
	struct file *file;
	uint64_t offset;
	size_t size;
};

/* Resolves NAME (numeric or a host name; NULL or "" is every interface) to at most CAPACITY
 * addresses; RESULT is their count or a negative errno. */
struct resolve_op {
	struct task task; /* private */
	void (*done)(struct shard *shard, struct resolve_op *op);
	int64_t result;
	struct address *addresses;
	uint32_t capacity;
	struct shard *shard; /* private */
	const char *name;    /* stays valid until DONE */
};
void address_resolve(struct shard *shard, struct resolve_op *op, const char *name,
	struct address *addresses, uint32_t capacity);

/* Listens (port 0: the system picks; see listener_address). ACCEPTED runs on SHARD for each
 * connection, with a socket that no shard owns yet: pass it with shard_send and call socket_attach
 * where it shall live, or socket_close it. 0 or a negative errno. At the limit of open files the
 * listener pauses and calls FAILED (which may be NULL) with the errno, and goes on by itself when
 * there is room. */
struct listener_events {
	void (*accepted)(struct shard *shard, struct listener *listener, struct socket *socket,
		void *argument);
	void (*failed)(struct shard *shard, struct listener *listener, int error, void *argument);
	void *argument;
};
int listener_open(struct shard *shard, const struct address *address, struct listener_events events,
	struct listener **ret);
struct address listener_address(const struct listener *listener);
/* No connection is accepted while PAUSED: those that come wait in the system's queue, and are
 * accepted when it goes on. May be called from ACCEPTED. */
void listener_pause(struct listener *listener, bool paused);
void listener_close(struct listener *listener);

/* OP->socket is the new socket when the result is 0; it is attached to SHARD already. */
void socket_connect(struct shard *shard, struct socket_op *op, const struct address *to);
void socket_attach(struct shard *shard, struct socket *socket);
struct address socket_peer(const struct socket *socket);

/* Some bytes: RESULT between 1 and SIZE, 0 when the peer has ended its side. */
void socket_receive(struct socket *socket, struct socket_op *op, void *buffer, size_t size);
/* All pieces, in order; RESULT is 0 or a negative errno (-EPIPE, -ECONNRESET, and -ENODATA when a
 * file slice ended before its size). */
void socket_send(
	struct socket *socket, struct socket_op *op, struct piece *pieces, uint32_t piece_count);
/* Ends it at once; outstanding operations complete with -ECANCELED as later steps; the socket is
 * gone for the caller. */
void socket_close(struct socket *socket);
