/*
 * Java's properties files, read as java.util.Properties reads them: comments, `=`, `:` or blanks
 * between name and value, lines continued by a backslash, escapes with \uXXXX. The bytes come from
 * the caller. Bytes beyond ASCII are taken as UTF-8 and kept as they are (Kafka reads its file as
 * UTF-8 too); an escape becomes UTF-8.
 */
#pragma once

#include "runtime/arena.h"
#include "runtime/bytes.h"

enum {
	PROPERTIES_FILE_BYTES = 1 << 20,
	PROPERTIES_ENTRIES = 10000,
};

struct config_entry {
	struct str name;
	struct str value;
};

struct config_entries {
	struct config_entry *items;
	int32_t count;
};

/* What is wrong, and on which line (the first is 1; 0 when the file as a whole is meant). */
struct properties_problem {
	int line;
	const char *words;
};

/* Entries in the order of their first appearance, a name that comes again with its last value.
 * Everything is copied into ARENA. -EINVAL with *RET_PROBLEM, -EFBIG beyond a limit (with
 * *RET_PROBLEM too), -ENOMEM. */
int properties_parse(struct str file, struct arena *arena, struct config_entries *ret_entries,
	struct properties_problem *ret_problem);

/* One "name=value" of the command line; the value is taken as it is, without escapes. Views into
 * TEXT. -EINVAL without a name or without "=". */
int properties_parse_argument(struct str text, struct config_entry *ret_entry);

/* The last entry of that name, or NULL. */
const struct config_entry *config_entries_find(
	const struct config_entries *entries, struct str name);
