/*
 * Names that come more than once in a request, found in n log n: a request may name a million of
 * them.
 */
#pragma once

#include "runtime/arena.h"

enum name_repeat { NAME_ONCE, NAME_REPEATED_FIRST, NAME_REPEATED_AGAIN };

/* Fills one enum name_repeat for each of COUNT names, each a struct str at the start of an element
 * of STRIDE bytes plus OFFSET. Null names are equal. 0 or -ENOMEM. */
int names_find_repeats(struct arena *arena, const void *elements, int32_t count, size_t stride,
	size_t offset, uint8_t **ret_repeats);

#define NAMES_FIND_REPEATS(arena, elements, count, member, ret_repeats)       \
	names_find_repeats((arena), (elements), (count), sizeof(*(elements)), \
		offsetof(__typeof__(*(elements)), member), (ret_repeats))
