/* Listings of a folder: one block of memory, sorted by bytes so that every run sees the same order.
 */
#include <errno.h>
#include <stdlib.h>

#include "runtime/machine_ops.h"

int path_listing_add(struct path_listing_builder *builder, const char *name, bool is_folder)
{
	if (builder->count == builder->capacity) {
		uint32_t capacity = builder->capacity ? 2 * builder->capacity : 32;
		void *names = capacity < builder->capacity ? NULL
							   : reallocarray(builder->names, capacity,
								     sizeof(*builder->names));

		if (!names)
			return -ENOMEM;
		builder->names = names;
		builder->capacity = capacity;
	}
	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	builder->names[builder->count++] =
		(struct path_listing_name){.name = copy, .is_folder = is_folder};
	return 0;
}

void path_listing_builder_done(struct path_listing_builder *builder)
{
	for (uint32_t i = 0; i < builder->count; i++)
		free(builder->names[i].name);
	free(builder->names);
	*builder = (struct path_listing_builder){0};
}

static int path_listing_name_compare(const void *a, const void *b)
{
	return strcmp(((const struct path_listing_name *)a)->name,
		((const struct path_listing_name *)b)->name);
}

struct path_listing *path_listing_build(struct path_listing_builder *builder)
{
	size_t entries_size = builder->count * sizeof(struct path_entry);
	size_t text_size = 0;

	for (uint32_t i = 0; i < builder->count; i++)
		text_size += strlen(builder->names[i].name) + 1;
	struct path_listing *listing = malloc(sizeof(*listing) + entries_size + text_size);
	if (listing) {
		char *text = (char *)listing->entries + entries_size;

		if (builder->count > 0)
			qsort(builder->names, builder->count, sizeof(*builder->names),
				path_listing_name_compare);
		listing->count = builder->count;
		for (uint32_t i = 0; i < builder->count; i++) {
			listing->entries[i] = (struct path_entry){
				.name = text, .is_folder = builder->names[i].is_folder};
			text = stpcpy(text, builder->names[i].name) + 1;
		}
	}
	path_listing_builder_done(builder);
	return listing;
}

void path_listing_free(struct path_listing *listing)
{
	free(listing);
}
