#include "broker/config/properties.h"

#include <errno.h>

#include "runtime/property_file.h"

const struct config_entry *config_entries_find(
	const struct config_entries *entries, struct str name)
{
	for (int32_t i = entries->count - 1; i >= 0; i--) {
		if (str_equal(entries->items[i].name, name))
			return &entries->items[i];
	}
	return NULL;
}

/* The line on which the first zero byte stands: no text has one, and paths would end there. 0 when
 * there is none. */
static int zero_byte_line(struct str file)
{
	int line = 1;

	for (int32_t i = 0; i < file.size; i++) {
		if (file.data[i] == '\0')
			return line;
		line += file.data[i] == '\n';
	}
	return 0;
}

int properties_parse(struct str file, struct arena *arena, struct config_entries *ret_entries,
	struct properties_problem *ret_problem)
{
	struct property_file properties;
	struct config_entries entries = {0};
	int32_t line = 0;

	if (file.size > PROPERTIES_FILE_BYTES) {
		*ret_problem = (struct properties_problem){0, "the file is longer than 1 MiB"};
		return -EFBIG;
	}
	int zero_line = zero_byte_line(file);
	if (zero_line > 0) {
		*ret_problem = (struct properties_problem){zero_line, "there is a zero byte"};
		return -EINVAL;
	}
	int error = property_file_parse(arena, file, &properties, &line);
	if (error == -EINVAL)
		*ret_problem = (struct properties_problem){
			line, "\\u must be followed by four hexadecimal digits of a character"};
	if (error < 0)
		return error;
	if (properties.count > PROPERTIES_ENTRIES) {
		*ret_problem = (struct properties_problem){
			properties.entries[PROPERTIES_ENTRIES].line, "more than 10000 settings"};
		return -EFBIG;
	}
	entries.items = arena_new_array(arena, struct config_entry, (size_t)properties.count + 1);
	if (!entries.items)
		return -ENOMEM;
	for (int32_t i = 0; i < properties.count; i++) {
		const struct property *property = &properties.entries[i];
		struct config_entry *known =
			(struct config_entry *)config_entries_find(&entries, property->key);
		if (!known)
			known = &entries.items[entries.count++];
		*known = (struct config_entry){property->key, property->value};
	}
	*ret_entries = entries;
	return 0;
}

int properties_parse_argument(struct str text, struct config_entry *ret_entry)
{
	const char *mark = text.size > 0 ? memchr(text.data, '=', (size_t)text.size) : NULL;

	if (!mark || mark == text.data)
		return -EINVAL;
	int32_t size = (int32_t)(mark - text.data);
	*ret_entry = (struct config_entry){
		.name = {text.data, size},
		.value = {mark + 1, text.size - size - 1},
	};
	return 0;
}
