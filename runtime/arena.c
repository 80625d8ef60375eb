#include "runtime/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/buffer.h"

enum { ARENA_ALIGNMENT = 16, ARENA_FIRST_BLOCK = 4096, ARENA_SMALL_BLOCK = 256, ARENA_LARGEST_BLOCK = 256 * 1024 };

struct arena_block {
	struct arena_block *older;
	size_t size; /* of the whole block, header included */
};

_Static_assert(sizeof(struct arena_block) % ARENA_ALIGNMENT == 0, "the payload must be aligned");

void arena_init(struct arena *arena, size_t limit_bytes)
{
	*arena = (struct arena){.limit_bytes = limit_bytes};
}

void arena_init_small(struct arena *arena, size_t limit_bytes)
{
	*arena = (struct arena){.limit_bytes = limit_bytes, .first_bytes = ARENA_SMALL_BLOCK};
}

/* As it was begun. */
static void arena_renew(struct arena *arena)
{
	*arena = (struct arena){.limit_bytes = arena->limit_bytes,
		.first_bytes = arena->first_bytes,
		.budget = arena->budget,
		.uncharged_bytes = arena->uncharged_bytes};
}

static void arena_free_chain(struct arena_block *block)
{
	while (block) {
		struct arena_block *older = block->older;
		free(block);
		block = older;
	}
}

void arena_done(struct arena *arena)
{
	if (!arena)
		return;
	ensure(arena->charged_bytes == 0);
	arena_free_chain(arena->blocks);
	arena_renew(arena);
}

void arena_reset(struct arena *arena)
{
	struct arena_block *oldest = arena->blocks;

	ensure(arena->charged_bytes == 0);
	if (!oldest)
		return;
	while (oldest->older) {
		struct arena_block *older = oldest->older;
		free(oldest);
		oldest = older;
	}
	if (oldest->size > ARENA_LARGEST_BLOCK) {
		free(oldest);
		arena_renew(arena);
		return;
	}
	arena->blocks = oldest;
	arena->next = (char *)oldest + sizeof(*oldest);
	arena->end = (char *)oldest + oldest->size;
	arena->used_bytes = oldest->size;
}

static void arena_charge(struct arena *arena)
{
	if (!arena->budget || arena->used_bytes <= arena->uncharged_bytes)
		return;
	buffer_budget_charge(arena->budget, arena->used_bytes - arena->charged_bytes);
	__atomic_store_n(&arena->charged_bytes, arena->used_bytes, __ATOMIC_RELAXED);
}

void arena_discharge(struct arena *arena, struct shard *shard)
{
	if (arena->charged_bytes == 0)
		return;
	buffer_budget_discharge(shard, arena->budget, arena->charged_bytes);
	__atomic_store_n(&arena->charged_bytes, 0, __ATOMIC_RELAXED);
}

/* Blocks double up to a bound, so that small requests stay small and large ones need few calls to
 * malloc. */
static bool arena_grow(struct arena *arena, size_t need)
{
	size_t size = arena->used_bytes;

	size_t first = arena->first_bytes ? arena->first_bytes : ARENA_FIRST_BLOCK;

	if (size < first)
		size = first;
	if (size > ARENA_LARGEST_BLOCK)
		size = ARENA_LARGEST_BLOCK;
	if (need > SIZE_MAX - sizeof(struct arena_block))
		return false;
	need += sizeof(struct arena_block);
	size = max_of(size, need);
	if (size > arena->limit_bytes - arena->used_bytes)
		size = need; /* the last room under the limit may be smaller than a doubled block */
	if (arena->used_bytes > arena->limit_bytes || size > arena->limit_bytes - arena->used_bytes)
		return false;

	struct arena_block *block = malloc(size);
	if (!block)
		return false;
	block->older = arena->blocks;
	block->size = size;
	arena->blocks = block;
	arena->next = (char *)block + sizeof(*block);
	arena->end = (char *)block + size;
	arena->used_bytes += size;
	arena_charge(arena);
	return true;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	if (size > SIZE_MAX - ARENA_ALIGNMENT)
		return NULL;
	size = (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
	if (size > (size_t)(arena->end - arena->next) || !arena->next) {
		if (!arena_grow(arena, size))
			return NULL;
	}
	void *memory = arena->next;
	arena->next += size;
	return memory;
}

void *arena_alloc_zero(struct arena *arena, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	void *memory = arena_alloc(arena, total);
	if (memory)
		memset(memory, 0, total);
	return memory;
}

struct str arena_str(struct arena *arena, struct str from)
{
	if (str_is_null(from))
		return STR_NULL;
	char *copy = arena_alloc(arena, (size_t)from.size + 1);
	if (!copy)
		return STR_NULL;
	if (from.size > 0)
		memcpy(copy, from.data, (size_t)from.size);
	copy[from.size] = '\0';
	return (struct str){.data = copy, .size = from.size};
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	int size = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (size < 0)
		return NULL;
	char *text = arena_alloc(arena, (size_t)size + 1);
	if (!text)
		return NULL;
	va_start(arguments, format);
	vsnprintf(text, (size_t)size + 1, format, arguments);
	va_end(arguments);
	return text;
}
