#include "broker/config/properties.h"

#include <errno.h>

struct reader {
	struct str file;
	int32_t at;
	int line; /* of the byte at AT */
};

static bool at_end(const struct reader *reader)
{
	return reader->at >= reader->file.size;
}

static char peek(const struct reader *reader)
{
	return reader->file.data[reader->at];
}

static bool is_line_end(char c)
{
	return c == '\n' || c == '\r';
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\f';
}

/* Over one line's end; "\r\n" is one. */
static void skip_line_end(struct reader *reader)
{
	if (peek(reader) == '\r' && reader->at + 1 < reader->file.size &&
		reader->file.data[reader->at + 1] == '\n')
		reader->at++;
	reader->at++;
	reader->line++;
}

static void skip_blanks(struct reader *reader)
{
	while (!at_end(reader) && is_blank(peek(reader)))
		reader->at++;
}

/* A backslash before the end of a line joins the next line to it, without that line's leading
 * blanks. */
static bool skip_continuation(struct reader *reader)
{
	if (at_end(reader) || peek(reader) != '\\' || reader->at + 1 >= reader->file.size ||
		!is_line_end(reader->file.data[reader->at + 1]))
		return false;
	reader->at++;
	skip_line_end(reader);
	skip_blanks(reader);
	return true;
}

/* Blanks inside of a line, which may be continued. */
static void skip_inner_blanks(struct reader *reader)
{
	do
		skip_blanks(reader);
	while (skip_continuation(reader));
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* The four digits behind "\u". */
static bool read_unit(struct reader *reader, uint32_t *ret_unit)
{
	uint32_t unit = 0;

	if (reader->file.size - reader->at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(reader->file.data[reader->at + i]);
		if (digit < 0)
			return false;
		unit = unit << 4 | (uint32_t)digit;
	}
	reader->at += 4;
	*ret_unit = unit;
	return true;
}

static int32_t utf8_write(uint32_t point, char *out)
{
	if (point < 0x80) {
		out[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (char)(0xc0 | point >> 6);
		out[1] = (char)(0x80 | (point & 63));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (char)(0xe0 | point >> 12);
		out[1] = (char)(0x80 | (point >> 6 & 63));
		out[2] = (char)(0x80 | (point & 63));
		return 3;
	}
	out[0] = (char)(0xf0 | point >> 18);
	out[1] = (char)(0x80 | (point >> 12 & 63));
	out[2] = (char)(0x80 | (point >> 6 & 63));
	out[3] = (char)(0x80 | (point & 63));
	return 4;
}

/* What stands behind a backslash, as UTF-8 into OUT: never more bytes than were read. */
static int read_escape(
	struct reader *reader, char *out, int32_t *size, struct properties_problem *problem)
{
	uint32_t unit, low;
	char c = peek(reader);

	reader->at++;
	if (c != 'u') {
		out[(*size)++] = c == 't'   ? '\t'
				 : c == 'n' ? '\n'
				 : c == 'r' ? '\r'
				 : c == 'f' ? '\f'
					    : c;
		return 0;
	}
	if (!read_unit(reader, &unit)) {
		*problem = (struct properties_problem){
			reader->line, "\\u must be followed by four hexadecimal digits"};
		return -EINVAL;
	}
	/* Java's characters are UTF-16 units: a pair is one code point, half a pair is none. */
	if (unit >= 0xd800 && unit < 0xdc00 && reader->file.size - reader->at >= 6 &&
		memcmp(reader->file.data + reader->at, "\\u", 2) == 0) {
		struct reader pair = *reader;
		pair.at += 2;
		if (read_unit(&pair, &low) && low >= 0xdc00 && low < 0xe000) {
			*reader = pair;
			unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
		}
	}
	if (unit >= 0xd800 && unit < 0xe000) {
		*problem = (struct properties_problem){
			reader->line, "half a surrogate pair is no character"};
		return -EINVAL;
	}
	*size += utf8_write(unit, out + *size);
	return 0;
}

/* Reads a name (up to a blank, "=" or ":") or a value (up to the line's end) into OUT. */
static int read_text(struct reader *reader, bool name, char *out, int32_t *ret_size,
	struct properties_problem *problem)
{
	int32_t size = 0;

	while (!at_end(reader)) {
		if (skip_continuation(reader))
			continue;
		char c = peek(reader);
		if (is_line_end(c) || (name && (is_blank(c) || c == '=' || c == ':')))
			break;
		reader->at++;
		if (c == '\0') {
			*problem = (struct properties_problem){reader->line, "a zero byte"};
			return -EINVAL;
		}
		if (c != '\\') {
			out[size++] = c;
		} else if (!at_end(reader)) {
			int error = read_escape(reader, out, &size, problem);
			if (error < 0)
				return error;
		}
	}
	*ret_size = size;
	return 0;
}

/* Over empty lines and comments, to the next name. */
static bool skip_to_entry(struct reader *reader)
{
	for (;;) {
		skip_blanks(reader);
		if (at_end(reader))
			return false;
		if (is_line_end(peek(reader))) {
			skip_line_end(reader);
		} else if (peek(reader) == '#' || peek(reader) == '!') {
			while (!at_end(reader) && !is_line_end(peek(reader)))
				reader->at++;
		} else if (!skip_continuation(reader)) {
			return true;
		}
	}
}

const struct config_entry *config_entries_find(
	const struct config_entries *entries, struct str name)
{
	for (int32_t i = entries->count - 1; i >= 0; i--) {
		if (str_equal(entries->items[i].name, name))
			return &entries->items[i];
	}
	return NULL;
}

/* One entry into OUT, whose room is as many bytes as the file has left. */
static int read_entry(struct reader *reader, char *out, struct config_entry *ret_entry,
	struct properties_problem *problem)
{
	int32_t name_size, value_size;
	int error = read_text(reader, true, out, &name_size, problem);

	if (error < 0)
		return error;
	skip_inner_blanks(reader);
	if (!at_end(reader) && (peek(reader) == '=' || peek(reader) == ':')) {
		reader->at++;
		skip_inner_blanks(reader);
	}
	error = read_text(reader, false, out + name_size, &value_size, problem);
	if (error < 0)
		return error;
	ret_entry->name = (struct str){out, name_size};
	ret_entry->value = (struct str){out + name_size, value_size};
	return 0;
}

int properties_parse(struct str file, struct arena *arena, struct config_entries *ret_entries,
	struct properties_problem *ret_problem)
{
	struct reader reader = {.file = file, .line = 1};
	struct config_entries entries = {0};
	int32_t room = 0;

	if (file.size > PROPERTIES_FILE_BYTES) {
		*ret_problem = (struct properties_problem){0, "the file is longer than 1 MiB"};
		return -EFBIG;
	}
	/* Unescaped text is never longer than its source. */
	char *text = arena_alloc(arena, file.size > 0 ? (size_t)file.size : 1);
	if (!text)
		return -ENOMEM;
	while (skip_to_entry(&reader)) {
		struct config_entry entry;
		int error = read_entry(&reader, text, &entry, ret_problem);
		if (error < 0)
			return error;
		text += entry.name.size + entry.value.size;

		struct config_entry *known =
			(struct config_entry *)config_entries_find(&entries, entry.name);
		if (known) {
			known->value = entry.value;
			continue;
		}
		if (entries.count == PROPERTIES_ENTRIES) {
			*ret_problem = (struct properties_problem){
				reader.line, "more than 10000 settings"};
			return -EFBIG;
		}
		if (entries.count == room) {
			room = room ? 2 * room : 64;
			struct config_entry *grown =
				arena_new_array(arena, struct config_entry, (size_t)room);
			if (!grown)
				return -ENOMEM;
			if (entries.count > 0)
				memcpy(grown, entries.items,
					(size_t)entries.count * sizeof(*grown));
			entries.items = grown;
		}
		entries.items[entries.count++] = entry;
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
