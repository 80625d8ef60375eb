/*
 * Heap memory for state that cannot be given up half-way: a tree node in the middle of an update,
 * an entry of the metadata image. Without it the process stops with a line that says so, and
 * replays its logs at the next start; that is safer than an image that lost a record. Memory that a
 * client's request asks for comes from arenas and pools, which have limits and answer NULL.
 */
#pragma once

#include "runtime/base.h"

/* SIZE zeroed bytes, aligned to 16; never NULL. Given back with free(). */
void *memory_new(size_t size);

#define memory_new_object(type) ((type *)memory_new(sizeof(type)))
