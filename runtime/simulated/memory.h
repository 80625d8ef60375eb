/*
 * Whose memory is whose. A process that crashes frees nothing, and its program can't be asked to
 * any more; in a world of one address space that memory would leak with each of thousands of
 * crashes, and nothing would show a pointer that survived its process. So executables that link the
 * simulated machine wrap malloc and its sisters (-Wl,--wrap, see meson.build): what is allocated
 * while a step of a host's process runs belongs to that process, and goes when the process goes,
 * as a kernel would take it. Under the address sanitizer any later touch of it is reported.
 *
 * Only the statically linked code is seen: what a shared library allocates for itself (a
 * compression context) is the library's; a program that crashes in the middle of its use leaks it.
 */
#pragma once

#include "runtime/base.h"

struct memory_owner {
	uint64_t id;
	uint64_t block_count;
	uint64_t size_bytes; /* as asked for */
};

/* Memory of the world itself, whoever runs; never NULL. Freed with free. */
void *world_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *world_alloc_zero(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *world_realloc(void *memory, size_t size) __attribute__((returns_nonnull));
char *world_strdup(const char *text) __attribute__((malloc, returns_nonnull));

void memory_owner_init(struct memory_owner *owner);
/* Frees whatever of the owner's was not freed. */
void memory_owner_done(struct memory_owner *owner);
/* From now on this thread allocates for OWNER; NULL: for nobody. Returns who it was before. */
struct memory_owner *memory_owner_enter(struct memory_owner *owner);
