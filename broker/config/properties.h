/*
 * server.properties as entries: runtime/property_file.h reads Java's syntax, here are the limits
 * and the rule that a name given again counts last. The bytes come from the caller; beyond ASCII
 * they are UTF-8, as Kafka takes them.
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

/* The entry of that name, or NULL. */
const struct config_entry *config_entries_find(
	const struct config_entries *entries, struct str name);
