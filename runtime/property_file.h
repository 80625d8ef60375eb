/*
 * Java's properties files: server.properties, meta.properties. Reading follows java.util.Properties: comments with #
 * or !, a key ended by = or : or a blank, lines continued by a backslash, the escapes \t \n \r \f \uXXXX.
 */
#pragma once

#include "runtime/arena.h"

struct property {
	struct str key, value;
	int32_t line; /* counted from 1: where it begins */
};

struct property_file {
	struct property *entries; /* in the order of the file; a key may come twice, the last one counts */
	int32_t count;
};

/* -ENOMEM when the arena is exhausted, -EINVAL with the line in *ret_line for a malformed \u escape. */
int property_file_parse(struct arena *arena, struct str text, struct property_file *ret, int32_t *ret_line);
/* The last value of KEY; null when it is not there. */
struct str property_file_get(const struct property_file *properties, struct str key);
/* TEXT with the escapes that Java writes, in the arena; size -1 when exhausted. */
struct str property_file_escape(struct arena *arena, struct str text, bool is_key);
