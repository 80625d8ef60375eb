/*
 * What the bare servers of limits.c have in common: a loop in one thread that is told when a peer has
 * sent something, files to write to, and an answer without content. Whatever goes wrong ends the
 * program: nothing here is more than a measure.
 */
#pragma once

#include "runtime/bytes.h"

enum {
	BARE_ANSWER_BYTES = 60, /* as a Produce response of one partition */
	BARE_FILES_MAX = 10000,
	BARE_FRAME_MAX = 16384, /* of a server that looks at whole requests */
};

/* Embedded in what a server knows of a connection. */
struct bare_peer {
	int fd;
};

/* The same, of a server that looks at whole requests. */
struct bare_framed_peer {
	struct bare_peer bare;
	size_t size; /* of what has come of the next requests */
	uint8_t data[BARE_FRAME_MAX];
};

/* One for each partition. */
struct bare_files {
	unsigned count;
	int fds[BARE_FILES_MAX];
};

/* Says what failed, with errno. */
__attribute__((noreturn)) void bare_die(const char *what);

/* Sends all, and blocks for it: the generator always reads. FLAGS are send()'s. */
void bare_send(int fd, const void *data, size_t size, int flags);

/* A response of BARE_ANSWER_BYTES at TO that says nothing but the correlation id. */
void bare_answer(uint8_t *to, const uint8_t *correlation_id);

/* Receives what has come, and has SERVE look at each request that is whole, with its size field. False
 * when the peer has gone. */
bool bare_frames_receive(struct bare_framed_peer *peer,
	void (*serve)(struct bare_framed_peer *peer, const uint8_t *frame, size_t size));

/* New files of the names 0 to COUNT - 1 in a folder that is there. */
void bare_files_open(struct bare_files *files, const char *folder, unsigned count);

/*
 * Serves 127.0.0.1:PORT for ever. Each connection has PEER_BYTES of zeros that begin with a struct
 * bare_peer; SERVE is called when it can be read, and returns false when it is to be closed. TURN_END,
 * where it is not NULL, is called whenever no peer has anything more to read.
 */
__attribute__((noreturn)) void bare_serve(uint16_t port, size_t peer_bytes,
	bool (*serve)(struct bare_peer *peer), void (*turn_end)(void));
