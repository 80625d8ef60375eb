/*
 * The few macros that every file leans on: assertions that stay on in releases, and the
 * type-checked way from an embedded member back to the object that holds it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Our own mistakes only: never for bytes that came from a client or a disk. Stays on in every
 * build. */
#define ensure(condition)                                                        \
	do {                                                                     \
		if (__builtin_expect(!(condition), 0))                           \
			ensure_failed(#condition, __FILE__, __LINE__, __func__); \
	} while (0)

__attribute__((cold, noreturn)) void ensure_failed(
	const char *condition, const char *file, int line, const char *function);

#define array_length(array)                                           \
	(sizeof(array) / sizeof((array)[0]) +                         \
		0 * sizeof(char[1 - 2 * __builtin_types_compatible_p( \
						__typeof__(array), __typeof__(&(array)[0]))]))

/* The object whose MEMBER is at POINTER; a pointer of another type does not compile. */
#define container_of(pointer, type, member)                                         \
	({                                                                          \
		__typeof__(((type *)0)->member) *member_pointer_ = (pointer);       \
		(type *)(void *)((char *)member_pointer_ - offsetof(type, member)); \
	})

#define min_of(a, b)                    \
	({                              \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ < b_ ? a_ : b_;      \
	})
#define max_of(a, b)                    \
	({                              \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ > b_ ? a_ : b_;      \
	})

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
