/*
 * The place where batches are written: a run of bytes that grows up to a limit, or that lies in
 * memory the caller has lent. Whoever writes asks for room first and gets -ENOBUFS at the limit, so
 * nothing grows without bound.
 */
#pragma once

#include "runtime/bytes.h"

struct record_buffer {
	uint8_t *data;
	size_t size;	 /* bytes written */
	size_t capacity; /* bytes allocated or lent */
	size_t limit;	 /* size never passes it */
	bool lent;
};

/* Empty, on the heap, up to LIMIT bytes. */
void record_buffer_init(struct record_buffer *buffer, size_t limit);
/* Empty, over CAPACITY bytes at MEMORY, which stay the caller's. */
void record_buffer_init_lent(struct record_buffer *buffer, void *memory, size_t capacity);
void record_buffer_done(struct record_buffer *buffer);

/* Makes room for SIZE more bytes behind what is written. 0, -ENOBUFS at the limit, -ENOMEM. */
int record_buffer_reserve(struct record_buffer *buffer, size_t size);
/* Appends SIZE bytes. Errors as record_buffer_reserve. */
int record_buffer_append(struct record_buffer *buffer, const void *data, size_t size);
