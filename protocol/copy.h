/*
 * A message out of the buffer and arena that it was decoded into, into one block of its own: for
 * state that outlives the request or the log batch it came with.
 */
#pragma once

#include "protocol/schema.h"

/*
 * One block of memory_new(): PREFIX_SIZE zeroed bytes for the owner, then the struct of SCHEMA,
 * then everything that MESSAGE leads to. Given back with free(). The prefix is a multiple of 16
 * bytes, or 0.
 */
void *schema_copy(const struct schema_struct *schema, const void *message, size_t prefix_size);
