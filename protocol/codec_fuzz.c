/*
 * Any bytes as any message: decoding must not fail in any way but by its error, must not take more
 * memory than its arena, and what it accepts must survive: encoded (unless its unknown tags are out
 * of order), decoded and encoded again it is the same, its copy too. The first three bytes choose
 * the message and its version.
 */
#include <errno.h>
#include <stdlib.h>

#include "protocol/codec.h"
#include "protocol/copy.h"
#include "protocol/limits.h"
#include "protocol/schema_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes encode(const struct schema_struct *schema, int version, const void *message,
	struct arena *arena, int *ret_rc)
{
	struct codec_error error = {0};
	struct output output;

	output_init(&output, arena, 0);
	*ret_rc = schema_encode(schema, version, message, &output, &error);
	ensure(*ret_rc == 0 || error.reason);
	return *ret_rc ? BYTES_NULL : output_bytes(&output);
}

static void ensure_equal(struct bytes a, struct bytes b)
{
	ensure(a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, (size_t)a.size) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct schema_struct *schema;
	struct codec_error error = {0};
	struct arena arena, room;
	struct bytes input, first;
	void *message, *again, *copy;
	size_t consumed = 0;
	int version, rc;

	if (size < 3 || size > 1 << 20)
		return 0;
	schema = schema_messages[load_be16(data) % SCHEMA_MESSAGE_COUNT];
	version = schema->min_version + data[2] % (schema->max_version - schema->min_version + 1);
	input = (struct bytes){.data = data + 3, .size = (int32_t)size - 3};
	arena_init(&arena, LIMIT_DECODE_ARENA_BYTES(input.size));
	/* What we make of it is ours to bound: long enough for all below. */
	arena_init(&room, (size_t)256 << 20);
	message = schema_new(schema, &room);
	again = schema_new(schema, &room);
	ensure(message && again);
	rc = schema_decode(schema, version, input, &arena, message, &consumed, &error);
	ensure(rc == 0 || ((rc == -EBADMSG || rc == -ENOMEM) && error.reason &&
				  error.position <= (size_t)input.size));
	ensure(consumed <= (size_t)input.size);
	if (rc)
		goto done;
	json_decref(schema_to_json(schema, version, message));
	first = encode(schema, version, message, &room, &rc);
	ensure(rc == 0 || rc == -EINVAL);
	if (rc)
		goto done;
	ensure(schema_decode(schema, version, first, &room, again, &consumed, &error) == 0);
	ensure(consumed == (size_t)first.size);
	ensure_equal(encode(schema, version, again, &room, &rc), first);
	copy = schema_copy(schema, again, 0);
	ensure_equal(encode(schema, version, copy, &room, &rc), first);
	free(copy);
done:
	arena_done(&arena);
	arena_done(&room);
	return 0;
}
