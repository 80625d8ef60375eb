/*
 * The one codec: reads and writes every message of the schema by its tables, as Kafka's generated
 * classes do.
 *
 * Decoding makes views: strings, bytes and records point into the input, which must outlive the
 * message; arrays and nullable structs lie in the arena. Encoding follows the pointers of the
 * message and keeps none of them, but for the EXTERNAL of records, which becomes a gap of the
 * output.
 *
 * A message that is filled by hand begins with schema_init(): a zeroed struct is not the default
 * message (many ids are -1, many strings null). The elements of arrays begin the same way, by
 * schema_new_array().
 *
 *	struct metadata_response response;
 *	schema_init(&metadata_response_schema, &response);
 *	response.brokers = schema_new_array(&metadata_response_broker_schema, arena, n);
 *	response.brokers_count = n;
 */
#pragma once

#include "protocol/messages.h"
#include "protocol/output.h"

/* Where and why a message could not be read or written; all strings are static. */
struct codec_error {
	const char *struct_name; /* Kafka's */
	const char *field;	 /* Kafka's; NULL when it is about the struct as a whole */
	const char *reason;
	size_t position; /* in bytes from the start of the input or output */
};

/*
 * Reads VERSION of a message from INPUT into MESSAGE, the C struct of SCHEMA. What the version
 * lacks gets its default. RET_CONSUMED (may be NULL) gets the size of the message in bytes; it is
 * for the caller to refuse what is left over. ERROR (may be NULL) is filled on failure. 0,
 * -EPROTONOSUPPORT (no such version), -EBADMSG (not such a message), -ENOMEM (the arena is
 * exhausted). Nothing is allocated before the input proves large enough to justify it.
 */
int schema_decode(const struct schema_struct *schema, int version, struct bytes input,
	struct arena *arena, void *message, size_t *ret_consumed, struct codec_error *error);

/*
 * Appends VERSION of MESSAGE to OUTPUT. 0, -EPROTONOSUPPORT (no such version), -EINVAL (the message
 * can't be said in this version: a field that it lacks is not at its default, null where it can't
 * be null, a string too long, tags unordered), -ENOMEM. After a failure OUTPUT ends in the middle
 * of the message. ERROR may be NULL.
 */
int schema_encode(const struct schema_struct *schema, int version, const void *message,
	struct output *output, struct codec_error *error);

/* The default message, or the default of a struct inside one. */
void schema_init(const struct schema_struct *schema, void *message);
/* COUNT defaults in a row; NULL when the arena is exhausted. */
void *schema_new_array(const struct schema_struct *schema, struct arena *arena, int32_t count);
/* One of them, for a nullable struct. */
void *schema_new(const struct schema_struct *schema, struct arena *arena);

/* Does the member of FIELD inside STRUCT_AT hold its default? */
bool schema_field_is_default(const struct schema_field *field, const void *struct_at);

/* NULL for a key that Kafka never had. */
const struct api_row *api_find(int key);
const struct record_row *record_find(enum record_log log, int type);

/* Is there such a version in the union of all that Kafka ever spoke? */
static inline bool api_has_version(const struct api_row *api, int version)
{
	return version >= api->min_version && version <= api->max_version;
}

/*
 * Versions of the headers around API's VERSION (which need not exist: an ApiVersions request of the
 * future has the newest header). Requests: 0 for ControlledShutdown v0, 2 when flexible, else 1.
 * Responses: 1 when flexible, else 0; always 0 for ApiVersions, whose answer must be readable to a
 * client that knows no versions yet.
 */
int request_header_version(const struct api_row *api, int version);
int response_header_version(const struct api_row *api, int version);
