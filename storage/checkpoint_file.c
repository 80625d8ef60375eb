#include "storage/checkpoint_file.h"

#include <errno.h>
#include <stdio.h>

#define VERSION_LINE "0\n"
/* The longest "-2147483648" or "-9223372036854775808". */
#define INT32_TEXT_SIZE 11
#define INT64_TEXT_SIZE 20

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\f' || c == '\v';
}

/* The next line without its end ("\n", "\r\n" or the end of the text); false when there is none. */
static bool take_line(struct str *text, struct str *ret_line)
{
	const char *end;
	int32_t size;

	if (text->size <= 0)
		return false;
	end = memchr(text->data, '\n', (size_t)text->size);
	size = end ? (int32_t)(end - text->data) : text->size;
	*ret_line = (struct str){.data = text->data, .size = size};
	if (end)
		size++;
	text->data += size;
	text->size -= size;
	if (ret_line->size > 0 && ret_line->data[ret_line->size - 1] == '\r')
		ret_line->size--;
	return true;
}

/* The next field of a line, blanks between fields; false when there is none. */
static bool take_field(struct str *line, struct str *ret_field)
{
	int32_t size = 0;

	while (line->size > 0 && is_blank(line->data[0])) {
		line->data++;
		line->size--;
	}
	while (size < line->size && !is_blank(line->data[size]))
		size++;
	if (size == 0)
		return false;
	*ret_field = (struct str){.data = line->data, .size = size};
	line->data += size;
	line->size -= size;
	return true;
}

/* A decimal number with an optional sign, within LOW..HIGH. */
static int parse_number(struct str field, int64_t low, int64_t high, int64_t *ret_number)
{
	bool negative;
	int32_t at;
	int64_t number = 0; /* kept negative, so that the lowest value fits */

	if (field.size <= 0)
		return -EBADMSG;
	negative = field.data[0] == '-';
	at = negative || field.data[0] == '+';
	if (at == field.size)
		return -EBADMSG;
	for (; at < field.size; at++) {
		if (field.data[at] < '0' || field.data[at] > '9')
			return -EBADMSG;
		if (__builtin_mul_overflow(number, 10, &number) ||
			__builtin_sub_overflow(number, field.data[at] - '0', &number))
			return -EBADMSG;
	}
	if (!negative && __builtin_sub_overflow((int64_t)0, number, &number))
		return -EBADMSG;
	if (number < low || number > high)
		return -EBADMSG;
	*ret_number = number;
	return 0;
}

static int take_number(struct str *line, int64_t low, int64_t high, int64_t *ret_number)
{
	struct str field;

	return take_field(line, &field) ? parse_number(field, low, high, ret_number) : -EBADMSG;
}

static bool line_is_used_up(struct str line)
{
	struct str field;

	return !take_field(&line, &field);
}

/*
 * The version and the count. *ret_count is 0 when the text ends before it. The count is compared
 * with what the text can hold before anything is allocated for it.
 */
static int take_header(struct str *text, int32_t entry_size_min, int32_t *ret_count)
{
	struct str line;
	int64_t number;
	int error;

	*ret_count = 0;
	if (!take_line(text, &line))
		return 0;
	error = parse_number(line, INT32_MIN, INT32_MAX, &number);
	if (error < 0)
		return error;
	if (number != 0)
		return -EPROTONOSUPPORT;
	if (!take_line(text, &line))
		return 0;
	error = parse_number(line, 0, INT32_MAX, &number);
	if (error < 0)
		return error;
	if (number > (text->size + 1) / entry_size_min)
		return -EBADMSG;
	*ret_count = (int32_t)number;
	return 0;
}

int checkpoint_topic_offsets_parse(struct arena *arena, struct str text,
	struct checkpoint_topic_offset **ret, int32_t *ret_count)
{
	struct checkpoint_topic_offset *entries;
	struct str line;
	int32_t count;
	int error = take_header(&text, (int32_t)sizeof("t 0 0\n") - 1, &count);

	if (error < 0)
		return error;
	entries = arena_new_array(arena, struct checkpoint_topic_offset, (size_t)max_of(count, 1));
	if (!entries)
		return -ENOMEM;
	for (int32_t i = 0; i < count; i++) {
		int64_t partition, offset;

		if (!take_line(&text, &line) || !take_field(&line, &entries[i].topic) ||
			take_number(&line, 0, INT32_MAX, &partition) < 0 ||
			take_number(&line, INT64_MIN, INT64_MAX, &offset) < 0 ||
			!line_is_used_up(line))
			return -EBADMSG;
		entries[i].partition = (int32_t)partition;
		entries[i].offset = offset;
	}
	if (take_line(&text, &line))
		return -EBADMSG;
	*ret = entries;
	*ret_count = count;
	return 0;
}

int checkpoint_epoch_offsets_parse(struct arena *arena, struct str text,
	struct checkpoint_epoch_offset **ret, int32_t *ret_count)
{
	struct checkpoint_epoch_offset *entries;
	struct str line;
	int32_t count;
	int error = take_header(&text, (int32_t)sizeof("0 0\n") - 1, &count);

	if (error < 0)
		return error;
	entries = arena_new_array(arena, struct checkpoint_epoch_offset, (size_t)max_of(count, 1));
	if (!entries)
		return -ENOMEM;
	for (int32_t i = 0; i < count; i++) {
		int64_t epoch, offset;

		if (!take_line(&text, &line) ||
			take_number(&line, INT32_MIN, INT32_MAX, &epoch) < 0 ||
			take_number(&line, INT64_MIN, INT64_MAX, &offset) < 0 ||
			!line_is_used_up(line))
			return -EBADMSG;
		entries[i].epoch = (int32_t)epoch;
		entries[i].offset = offset;
	}
	if (take_line(&text, &line))
		return -EBADMSG;
	*ret = entries;
	*ret_count = count;
	return 0;
}

/* Room for the header and for entries of ENTRIES_SIZE bytes at the most. */
static char *begin_text(struct arena *arena, size_t entries_size, int32_t count, int32_t *ret_at)
{
	size_t room = sizeof(VERSION_LINE) + INT32_TEXT_SIZE + 1 + entries_size;
	char *text = room > INT32_MAX ? NULL : arena_alloc(arena, room);

	if (text)
		*ret_at = sprintf(text, VERSION_LINE "%d\n", count);
	return text;
}

struct str checkpoint_topic_offsets_format(
	struct arena *arena, const struct checkpoint_topic_offset *entries, int32_t count)
{
	size_t entries_size = 0;
	int32_t at;
	char *text;

	for (int32_t i = 0; i < count; i++)
		entries_size += (size_t)entries[i].topic.size + 1 + INT32_TEXT_SIZE + 1 +
				INT64_TEXT_SIZE + 1;
	text = begin_text(arena, entries_size, count, &at);
	if (!text)
		return STR_NULL;
	for (int32_t i = 0; i < count; i++)
		at += sprintf(text + at, "%.*s %d %lld\n", STR_ARGS(entries[i].topic),
			entries[i].partition, (long long)entries[i].offset);
	return (struct str){.data = text, .size = at};
}

struct str checkpoint_epoch_offsets_format(
	struct arena *arena, const struct checkpoint_epoch_offset *entries, int32_t count)
{
	int32_t at;
	char *text = begin_text(
		arena, (size_t)count * (INT32_TEXT_SIZE + 1 + INT64_TEXT_SIZE + 1), count, &at);

	if (!text)
		return STR_NULL;
	for (int32_t i = 0; i < count; i++)
		at += sprintf(
			text + at, "%d %lld\n", entries[i].epoch, (long long)entries[i].offset);
	return (struct str){.data = text, .size = at};
}
