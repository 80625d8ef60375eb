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

/* Each argument is evaluated once; both have the type that they were written with. */
#define min_of(a, b) min_of_unique_(a, b, __COUNTER__)
#define max_of(a, b) max_of_unique_(a, b, __COUNTER__)

/* The counter gives every use its own variables, so that uses nest without shadowing. */
#define min_of_unique_(a, b, unique) pick_of_(a, b, <, unique)
#define max_of_unique_(a, b, unique) pick_of_(a, b, >, unique)
#define pick_of_(a, b, order, unique)                                              \
	({                                                                         \
		__typeof__(a) a_##unique##_ = (a);                                 \
		__typeof__(b) b_##unique##_ = (b);                                 \
		a_##unique##_ order b_##unique##_ ? a_##unique##_ : b_##unique##_; \
	})

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
