#include "broker/controller/names.h"

#include <errno.h>
#include <stdlib.h>

struct placed_name {
	struct str name;
	int32_t place;
};

static int compare_names(const void *a, const void *b)
{
	const struct placed_name *left = a, *right = b;
	int order = str_compare(left->name, right->name);

	return order != 0 ? order : (left->place > right->place) - (left->place < right->place);
}

int names_find_repeats(struct arena *arena, const void *elements, int32_t count, size_t stride,
	size_t offset, uint8_t **ret_repeats)
{
	size_t room = (size_t)max_of(count, 1);
	struct placed_name *names = arena_new_array(arena, struct placed_name, room);
	uint8_t *repeats = arena_new_array(arena, uint8_t, room);

	if (!names || !repeats)
		return -ENOMEM;
	for (int32_t i = 0; i < count; i++) {
		memcpy(&names[i].name, (const uint8_t *)elements + (size_t)i * stride + offset,
			sizeof(names[i].name));
		names[i].place = i;
	}
	qsort(names, (size_t)max_of(count, 0), sizeof(*names), compare_names);
	for (int32_t i = 1; i < count; i++) {
		if (!str_equal(names[i - 1].name, names[i].name))
			continue;
		repeats[names[i].place] = NAME_REPEATED_AGAIN;
		if (repeats[names[i - 1].place] == NAME_ONCE)
			repeats[names[i - 1].place] = NAME_REPEATED_FIRST;
	}
	*ret_repeats = repeats;
	return 0;
}
