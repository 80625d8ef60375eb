#include "runtime/property_file.h"

#include <errno.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\f';
}

static bool is_line_end(char c)
{
	return c == '\n' || c == '\r';
}

/*
 * The next logical line: blanks in front, comments and empty lines are gone, continued lines are joined without the
 * backslash and the blanks that follow it. Returns its size, or -1 at the end of the text. Escapes are left in.
 */
static int32_t next_line(struct str text, int32_t *at, int32_t *line_number, char *out, int32_t *ret_first_line)
{
	int32_t size = 0;
	bool begun = false, comment = false, continued = false;

	*ret_first_line = *line_number;
	while (*at < text.size) {
		char c = text.data[*at];

		if (is_line_end(c)) {
			*at += c == '\r' && *at + 1 < text.size && text.data[*at + 1] == '\n' ? 2 : 1;
			(*line_number)++;
			if (begun && !comment && size > 0 && !continued)
				return size;
			if (!continued || comment)
				begun = comment = false;
			if (!begun)
				*ret_first_line = *line_number;
			/* A continued line goes on behind its blanks. */
			continued = false;
			if (begun)
				while (*at < text.size && is_blank(text.data[*at]))
					(*at)++;
			continue;
		}
		(*at)++;
		if (!begun) {
			if (is_blank(c))
				continue;
			begun = true;
			comment = c == '#' || c == '!';
		}
		if (comment)
			continue;
		if (c == '\\') {
			if (*at >= text.size || is_line_end(text.data[*at])) {
				continued = true;
				continue;
			}
			out[size++] = c;
			out[size++] = text.data[(*at)++];
			continue;
		}
		out[size++] = c;
	}
	return begun && !comment && size > 0 ? size : -1;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 32;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int32_t utf8_write(char *out, uint32_t point)
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

/* The four digits of \uXXXX at DATA, or -EINVAL. */
static int32_t utf16_unit(const char *data, int32_t size)
{
	int32_t unit = 0;

	if (size < 4)
		return -EINVAL;
	for (int i = 0; i < 4; i++) {
		int digit = hex_value(data[i]);

		if (digit < 0)
			return -EINVAL;
		unit = unit << 4 | digit;
	}
	return unit;
}

/*
 * One code point from the escape at DATA, whose backslash and u are behind us: Java's characters are UTF-16 units, so
 * two escapes may make one. Half a pair is no character. Returns the bytes read, or -EINVAL.
 */
static int32_t unescape_unicode(const char *data, int32_t size, uint32_t *ret_point)
{
	int32_t high = utf16_unit(data, size), low;

	if (high < 0)
		return high;
	*ret_point = (uint32_t)high;
	if (high < 0xd800 || high >= 0xe000)
		return 4;
	if (high >= 0xdc00 || size < 10 || data[4] != '\\' || data[5] != 'u')
		return -EINVAL;
	low = utf16_unit(data + 6, size - 6);
	if (low < 0xdc00 || low >= 0xe000)
		return -EINVAL;
	*ret_point = 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
	return 10;
}

/* Resolves the escapes of DATA in place; the new size, or -EINVAL. */
static int32_t unescape(char *data, int32_t size)
{
	int32_t to = 0;

	for (int32_t from = 0; from < size; from++) {
		char c = data[from];

		if (c != '\\' || from + 1 >= size) {
			data[to++] = c;
			continue;
		}
		c = data[++from];
		if (c == 'u') {
			uint32_t point;
			int32_t taken = unescape_unicode(data + from + 1, size - from - 1, &point);

			if (taken < 0)
				return -EINVAL;
			from += taken;
			to += utf8_write(data + to, point);
			continue;
		}
		data[to++] = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'f' ? '\f' : c;
	}
	return to;
}

static int parse_entry(char *line, int32_t size, struct property *ret)
{
	int32_t key_size = 0, value_at, value_size;
	bool separated = false;

	while (key_size < size && !is_blank(line[key_size]) && line[key_size] != '=' && line[key_size] != ':')
		key_size += line[key_size] == '\\' && key_size + 1 < size ? 2 : 1;
	for (value_at = key_size; value_at < size; value_at++) {
		if (is_blank(line[value_at]))
			continue;
		if (separated || (line[value_at] != '=' && line[value_at] != ':'))
			break;
		separated = true;
	}
	value_size = unescape(line + value_at, size - value_at);
	key_size = unescape(line, key_size);
	if (value_size < 0 || key_size < 0)
		return -EINVAL;
	ret->key = (struct str){.data = line, .size = key_size};
	ret->value = (struct str){.data = line + value_at, .size = value_size};
	return 0;
}

int property_file_parse(struct arena *arena, struct str text, struct property_file *ret, int32_t *ret_line)
{
	struct property_file properties = {0};
	int32_t at = 0, line_number = 1, first_line, size, lines = 1;
	char *room;

	if (text.size <= 0) {
		*ret = properties;
		return 0;
	}
	for (int32_t i = 0; i < text.size; i++)
		lines += is_line_end(text.data[i]);
	room = arena_alloc(arena, (size_t)text.size);
	properties.entries = arena_new_array(arena, struct property, (size_t)lines);
	if (!room || !properties.entries)
		return -ENOMEM;
	/* What a logical line leaves is never longer than what it was, so one copy of the text has room for all. */
	while ((size = next_line(text, &at, &line_number, room, &first_line)) >= 0) {
		struct property *entry = &properties.entries[properties.count];
		int error = parse_entry(room, size, entry);

		if (error < 0) {
			*ret_line = first_line;
			return error;
		}
		entry->line = first_line;
		properties.count++;
		room += size;
	}
	*ret = properties;
	return 0;
}

struct str property_file_get(const struct property_file *properties, struct str key)
{
	for (int32_t i = properties->count - 1; i >= 0; i--)
		if (str_equal(properties->entries[i].key, key))
			return properties->entries[i].value;
	return STR_NULL;
}

struct str property_file_escape(struct arena *arena, struct str text, bool is_key)
{
	struct str escaped = STR_NULL;
	int32_t size = 0;
	char *out = text.size > INT32_MAX / 2 ? NULL : arena_alloc(arena, (size_t)max_of(text.size, 0) * 2 + 1);

	if (!out)
		return escaped;
	for (int32_t i = 0; i < text.size; i++) {
		char c = text.data[i];

		if (c == '\t' || c == '\n' || c == '\r' || c == '\f') {
			out[size++] = '\\';
			c = c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : 'f';
		} else if (c == '\\' || c == '=' || c == ':' || c == '#' || c == '!' ||
			(c == ' ' && (is_key || i == 0))) {
			out[size++] = '\\';
		}
		out[size++] = c;
	}
	out[size] = '\0';
	escaped.data = out;
	escaped.size = size;
	return escaped;
}
