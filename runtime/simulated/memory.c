#include "runtime/simulated/memory.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The linker turns each call of malloc into __wrap_malloc, and __real_malloc into malloc. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **ret, size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
int __real_vasprintf(char **ret, const char *format, va_list values);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
void __wrap_free(void *memory);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **ret, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
int __wrap_vasprintf(char **ret, const char *format, va_list values);
int __wrap_asprintf(char **ret, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * The owned blocks of this thread, by address: open addressing with linear probing, at most half
 * full. Real time and the order of addresses never leave this file.
 */
struct block {
	void *memory; /* NULL: free place */
	struct memory_owner *owner;
	size_t size;
};

static _Thread_local struct {
	struct memory_owner *owner; /* who allocates now */
	struct block *blocks;
	size_t capacity, count; /* capacity is a power of two, or 0 */
	uint64_t owners_made;
} ledger;

static size_t block_home(const void *memory)
{
	return (size_t)(((uintptr_t)memory >> 4) * 0x9e3779b97f4a7c15ull >> 20) &
	       (ledger.capacity - 1);
}

static void block_place(struct block block)
{
	size_t i = block_home(block.memory);

	while (ledger.blocks[i].memory)
		i = (i + 1) & (ledger.capacity - 1);
	ledger.blocks[i] = block;
}

static void ledger_grow(void)
{
	struct block *old = ledger.blocks;
	size_t old_capacity = ledger.capacity;

	ledger.capacity = old_capacity ? old_capacity * 2 : 1024;
	ledger.blocks = __real_calloc(ledger.capacity, sizeof(*ledger.blocks));
	ensure(ledger.blocks);
	for (size_t i = 0; i < old_capacity; i++)
		if (old[i].memory)
			block_place(old[i]);
	__real_free(old);
}

static void *block_own(void *memory, size_t size)
{
	if (!memory || !ledger.owner)
		return memory;
	if (ledger.count >= ledger.capacity / 2)
		ledger_grow();
	block_place((struct block){.memory = memory, .owner = ledger.owner, .size = size});
	ledger.count++;
	ledger.owner->block_count++;
	ledger.owner->size_bytes += size;
	return memory;
}

/* The block's owner, who no longer has it; NULL when nobody had. */
static struct memory_owner *block_disown(void *memory)
{
	size_t mask = ledger.capacity - 1, i, hole;
	struct memory_owner *owner;

	if (!memory || ledger.count == 0)
		return NULL;
	for (i = block_home(memory); ledger.blocks[i].memory != memory; i = (i + 1) & mask)
		if (!ledger.blocks[i].memory)
			return NULL;
	owner = ledger.blocks[i].owner;
	owner->block_count--;
	owner->size_bytes -= ledger.blocks[i].size;
	ledger.count--;
	/* Close the gap: whoever probed past this place must still be found. */
	hole = i;
	for (i = (i + 1) & mask; ledger.blocks[i].memory; i = (i + 1) & mask) {
		size_t home = block_home(ledger.blocks[i].memory);

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		ledger.blocks[hole] = ledger.blocks[i];
		hole = i;
	}
	ledger.blocks[hole] = (struct block){0};
	return owner;
}

void *__wrap_malloc(size_t size)
{
	return block_own(__real_malloc(size), size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return block_own(__real_calloc(count, size), count * size);
}

void __wrap_free(void *memory)
{
	block_disown(memory);
	__real_free(memory);
}

void *__wrap_realloc(void *memory, size_t size)
{
	struct memory_owner *before = ledger.owner, *owner = block_disown(memory);
	void *moved = __real_realloc(memory, size);

	/* A block stays with whom it belongs, whoever makes it larger. */
	if (memory)
		ledger.owner = owner;
	block_own(moved ? moved : size ? memory : NULL, size);
	ledger.owner = before;
	return moved;
}

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	return __wrap_realloc(memory, total);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return block_own(__real_aligned_alloc(alignment, size), size);
}

int __wrap_posix_memalign(void **ret, size_t alignment, size_t size)
{
	int error = __real_posix_memalign(ret, alignment, size);

	if (error == 0)
		block_own(*ret, size);
	return error;
}

char *__wrap_strdup(const char *text)
{
	return block_own(__real_strdup(text), strlen(text) + 1);
}

char *__wrap_strndup(const char *text, size_t size)
{
	char *copy = __real_strndup(text, size);

	return copy ? block_own(copy, strlen(copy) + 1) : NULL;
}

int __wrap_vasprintf(char **ret, const char *format, va_list values)
{
	int size = __real_vasprintf(ret, format, values);

	if (size >= 0)
		block_own(*ret, (size_t)size + 1);
	return size;
}

int __wrap_asprintf(char **ret, const char *format, ...)
{
	va_list values;
	int size;

	va_start(values, format);
	size = __wrap_vasprintf(ret, format, values);
	va_end(values);
	return size;
}

void *world_alloc(size_t size)
{
	void *memory = __real_malloc(size ? size : 1);

	ensure(memory);
	return memory;
}

void *world_alloc_zero(size_t count, size_t size)
{
	void *memory = __real_calloc(count ? count : 1, size ? size : 1);

	ensure(memory);
	return memory;
}

void *world_realloc(void *memory, size_t size)
{
	memory = __real_realloc(memory, size ? size : 1);
	ensure(memory);
	return memory;
}

char *world_strdup(const char *text)
{
	char *copy = __real_strdup(text);

	ensure(copy);
	return copy;
}

void memory_owner_init(struct memory_owner *owner)
{
	*owner = (struct memory_owner){.id = ++ledger.owners_made};
}

void memory_owner_done(struct memory_owner *owner)
{
	ensure(ledger.owner != owner);
	/* Freeing moves blocks about in the table, so each find starts where the last one was. */
	for (size_t i = 0; owner->block_count > 0 && i < ledger.capacity;) {
		void *memory = ledger.blocks[i].memory;

		if (memory && ledger.blocks[i].owner == owner) {
			block_disown(memory);
			__real_free(memory);
		} else {
			i++;
		}
	}
	if (owner->block_count > 0) {
		/* A gap at the end of the table was closed over its edge. */
		memory_owner_done(owner);
		return;
	}
	if (ledger.count == 0) {
		__real_free(ledger.blocks);
		ledger.blocks = NULL;
		ledger.capacity = 0;
	}
}

struct memory_owner *memory_owner_enter(struct memory_owner *owner)
{
	struct memory_owner *before = ledger.owner;

	ledger.owner = owner;
	return before;
}
