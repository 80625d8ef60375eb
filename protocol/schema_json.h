/*
 * Messages as JSON, in the shape of Kafka's own converters (DumpLogSegments prints records so):
 * names in camelCase, uuids as their 22 characters, bytes as base64, records as their size only.
 * For tools and logs, not for the wire.
 */
#pragma once

#include <jansson.h>

#include "protocol/codec.h"

/*
 * A new object with the fields that VERSION has; tagged fields only when they are not at their
 * defaults. Text that is no UTF-8 has U+FFFD in place of what is wrong. NULL when memory runs out
 * or the message has no such version.
 */
json_t *schema_to_json(const struct schema_struct *schema, int version, const void *message);
