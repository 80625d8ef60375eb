#include "storage/names.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *ending;
	enum log_file_kind kind;
} kinds[] = {
	{".log", LOG_FILE_DATA},
	{".index", LOG_FILE_OFFSET_INDEX},
	{".timeindex", LOG_FILE_TIME_INDEX},
	{".txnindex", LOG_FILE_TRANSACTION_INDEX},
	{".snapshot", LOG_FILE_SNAPSHOT},
};

static const struct {
	const char *ending;
	enum log_file_state state;
} states[] = {
	{".deleted", LOG_FILE_DELETED},
	{".cleaned", LOG_FILE_CLEANED},
	{".swap", LOG_FILE_SWAP},
	{".tmp", LOG_FILE_TEMPORARY},
};

enum { OFFSET_DIGITS = 20, UNIQUE_DIGITS = 32 };

static bool ends_with(const char *name, size_t size, const char *ending, size_t *ret_left)
{
	size_t ending_size = strlen(ending);

	if (size < ending_size || memcmp(name + size - ending_size, ending, ending_size) != 0)
		return false;
	*ret_left = size - ending_size;
	return true;
}

void log_file_name_print(char to[NAME_FILE_SIZE_MAX], int64_t base_offset, enum log_file_kind kind,
	enum log_file_state state)
{
	const char *ending = "", *state_ending = "";

	ensure(base_offset >= 0 && kind != LOG_FILE_OTHER);
	for (size_t i = 0; i < array_length(kinds); i++)
		if (kinds[i].kind == kind)
			ending = kinds[i].ending;
	for (size_t i = 0; i < array_length(states); i++)
		if (states[i].state == state)
			state_ending = states[i].ending;
	snprintf(to, NAME_FILE_SIZE_MAX, "%020lld%s%s", (long long)base_offset, ending,
		state_ending);
}

struct log_file_name log_file_name_parse(const char *name)
{
	struct log_file_name parsed = {.base_offset = -1};
	size_t size = strlen(name), left;
	int64_t offset = 0;

	for (size_t i = 0; i < array_length(states); i++)
		if (ends_with(name, size, states[i].ending, &left)) {
			parsed.state = states[i].state;
			size = left;
			break;
		}
	for (size_t i = 0; i < array_length(kinds); i++)
		if (ends_with(name, size, kinds[i].ending, &left)) {
			if (left != OFFSET_DIGITS)
				return parsed;
			for (size_t digit = 0; digit < left; digit++)
				if (name[digit] < '0' || name[digit] > '9' ||
					__builtin_mul_overflow(offset, 10, &offset) ||
					__builtin_add_overflow(offset, name[digit] - '0', &offset))
					return parsed;
			parsed.base_offset = offset;
			parsed.kind = kinds[i].kind;
			return parsed;
		}
	return parsed;
}

/* TOPIC-PARTITION: the number is behind the last dash. */
static bool partition_name_parse(const char *name, size_t size, struct log_folder_name *to)
{
	size_t dash = size;
	int64_t partition = 0;

	while (dash > 0 && name[dash - 1] != '-')
		dash--;
	if (dash < 2 || dash == size)
		return false;
	for (size_t i = dash; i < size; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		partition = partition * 10 + (name[i] - '0');
		if (partition > INT32_MAX)
			return false;
	}
	if (dash - 1 > NAME_TOPIC_SIZE_MAX)
		return false;
	to->topic = (struct str){.data = name, .size = (int32_t)dash - 1};
	to->partition = (int32_t)partition;
	return true;
}

struct log_folder_name log_folder_name_parse(const char *name)
{
	static const struct {
		const char *ending;
		enum log_folder_kind kind;
	} endings[] = {
		{"-delete", LOG_FOLDER_DELETE},
		{"-future", LOG_FOLDER_FUTURE},
		{"-stray", LOG_FOLDER_STRAY},
	};
	static const char *const ignored[] = {
		"lost+found", "remote-log-index-cache", "kraft-snapshots"};
	struct log_folder_name parsed = {.kind = LOG_FOLDER_FOREIGN};
	size_t size = strlen(name), left;

	for (size_t i = 0; i < array_length(ignored); i++)
		if (strcmp(name, ignored[i]) == 0) {
			parsed.kind = LOG_FOLDER_IGNORED;
			return parsed;
		}
	for (size_t i = 0; i < array_length(endings); i++)
		if (ends_with(name, size, endings[i].ending, &left)) {
			/* topic-3.<unique>: the topic may hold dots, the unique id may not. */
			while (left > 0 && name[left - 1] != '.')
				left--;
			if (left > 0 && partition_name_parse(name, left - 1, &parsed))
				parsed.kind = endings[i].kind;
			return parsed;
		}
	if (partition_name_parse(name, size, &parsed))
		parsed.kind = LOG_FOLDER_PARTITION;
	return parsed;
}

void log_folder_name_print_suffixed(char to[NAME_FOLDER_SIZE_MAX + 1], struct str topic,
	int32_t partition, const struct uuid *unique, const char *ending)
{
	char tail[80];
	int size, room;

	size = snprintf(tail, sizeof(tail), "-%d.", partition);
	for (size_t i = 0; i < sizeof(unique->octets); i++)
		size += snprintf(
			tail + size, sizeof(tail) - (size_t)size, "%02x", unique->octets[i]);
	size += snprintf(tail + size, sizeof(tail) - (size_t)size, "%s", ending);
	ensure((size_t)size < sizeof(tail));
	room = NAME_FOLDER_SIZE_MAX - size;
	snprintf(to, NAME_FOLDER_SIZE_MAX + 1, "%.*s%s", topic.size < room ? topic.size : room,
		topic.data, tail);
}
