/*
 * Arenas: memory that lives and dies together (a request, a connection, one decode). Allocation
 * is a pointer bump, there is no free of a single object. An arena has a limit in bytes, so that
 * nothing a client sends can make it grow without bound: beyond the limit arena_alloc answers
 * NULL, and the caller turns that into an error for that client.
 *
 *	struct arena arena;
 *	arena_init(&arena, 1 << 20);
 *	struct thing *thing = arena_new(&arena, struct thing);
 *	if (!thing) ...
 *	arena_done(&arena);
 */
#pragma once

#include "runtime/bytes.h"

struct arena_block;
struct buffer_budget;
struct shard;

struct arena {
	struct arena_block *blocks; /* newest first */
	char *next, *end;	    /* free room in the newest block */
	size_t used_bytes;	    /* sum of the blocks' sizes */
	size_t limit_bytes;
	size_t first_bytes; /* of the first block; 0: a default */
	struct buffer_budget *budget; /* that its blocks are charged to; NULL: none */
	size_t uncharged_bytes;	      /* so much it may hold for nothing */
	size_t charged_bytes;	      /* atomic: others may look while its owner allocates */
};

void arena_init(struct arena *arena, size_t limit_bytes);
/* For one of very many, most of which hold next to nothing: begins with a small block. */
void arena_init_small(struct arena *arena, size_t limit_bytes);
void arena_done(struct arena *arena);
/* Everything allocated is gone; the first block is kept for the next use. */
void arena_reset(struct arena *arena);

/* From now on all that it holds is charged to BUDGET as it grows, on whatever thread that is, once
 * it holds more than UNCHARGED_BYTES. It is given back with arena_discharge before the arena is
 * reset or done. */
static inline void arena_charge_to(
	struct arena *arena, struct buffer_budget *budget, size_t uncharged_bytes)
{
	ensure(arena->charged_bytes == 0);
	arena->budget = budget;
	arena->uncharged_bytes = uncharged_bytes;
}
void arena_discharge(struct arena *arena, struct shard *shard);
static inline size_t arena_charged_bytes(const struct arena *arena)
{
	return __atomic_load_n(&arena->charged_bytes, __ATOMIC_RELAXED);
}

/* Uninitialised, aligned to 16 bytes; NULL when the arena's limit or the machine's memory is
 * reached. */
void *arena_alloc(struct arena *arena, size_t size);
/* COUNT times SIZE zeroed bytes, overflow checked; NULL as above. */
void *arena_alloc_zero(struct arena *arena, size_t count, size_t size);
/* A copy with a NUL behind it (not counted in size); null stays null. On exhaustion size is -1 and
 * data NULL. */
struct str arena_str(struct arena *arena, struct str from);
/* printf into the arena, NUL-terminated; NULL when exhausted. */
char *arena_printf(struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define arena_new(arena, type) ((type *)arena_alloc_zero((arena), 1, sizeof(type)))
#define arena_new_array(arena, type, count) \
	((type *)arena_alloc_zero((arena), (count), sizeof(type)))
