/* Sizes and headers around messages. */
#include "protocol/frame.h"

#include <errno.h>

int frame_request_peek(struct bytes frame, struct frame_peek *ret_peek)
{
	if (frame.size < 8)
		return -EBADMSG;
	*ret_peek = (struct frame_peek){
		.api_key = (int16_t)load_be16(frame.data),
		.api_version = (int16_t)load_be16(frame.data + 2),
		.correlation_id = (int32_t)load_be32(frame.data + 4),
	};
	return 0;
}

static struct bytes bytes_after(struct bytes all, size_t consumed)
{
	return (struct bytes){.data = all.data + consumed, .size = all.size - (int32_t)consumed};
}

int frame_request_header_decode(struct bytes frame, const struct api_row *api, struct arena *arena,
	struct request_header *ret_header, struct bytes *ret_body, struct codec_error *error)
{
	struct request_header header;
	struct frame_peek peek;
	size_t consumed;
	int rc;

	rc = frame_request_peek(frame, &peek);
	if (rc) {
		if (error)
			*error = (struct codec_error){.struct_name = request_header_schema.name,
				.reason = "the message ends too early"};
		return rc;
	}
	ensure(peek.api_key == api->key);
	rc = schema_decode(&request_header_schema, request_header_version(api, peek.api_version),
		frame, arena, &header, &consumed, error);
	if (rc)
		return rc;
	*ret_header = header;
	*ret_body = bytes_after(frame, consumed);
	return 0;
}

int frame_response_header_decode(struct bytes frame, const struct api_row *api, int version,
	struct arena *arena, struct response_header *ret_header, struct bytes *ret_body,
	struct codec_error *error)
{
	struct response_header header;
	size_t consumed;
	int rc = schema_decode(&response_header_schema, response_header_version(api, version),
		frame, arena, &header, &consumed, error);

	if (rc)
		return rc;
	*ret_header = header;
	*ret_body = bytes_after(frame, consumed);
	return 0;
}

static int frame_encode(struct output *output, const struct schema_struct *header_schema,
	int header_version, const void *header, const struct schema_struct *schema, int version,
	const void *message, struct codec_error *error)
{
	size_t start = output->size, start_total = output_total_size(output), size;
	int rc;

	if (!output_append(output, FRAME_SIZE_PREFIX))
		return -ENOMEM;
	rc = schema_encode(header_schema, header_version, header, output, error);
	if (rc == 0)
		rc = schema_encode(schema, version, message, output, error);
	if (rc)
		return rc;
	size = output_total_size(output) - start_total - FRAME_SIZE_PREFIX;
	if (size > INT32_MAX) {
		if (error)
			*error = (struct codec_error){.struct_name = schema->name,
				.reason = "the frame is too long",
				.position = size};
		return -EINVAL;
	}
	store_be32(output->data + start, (uint32_t)size);
	return 0;
}

int frame_request_encode(struct output *output, const struct api_row *api, int version,
	int32_t correlation_id, struct str client_id, const void *request,
	struct codec_error *error)
{
	struct request_header header = {
		.request_api_key = api->key,
		.request_api_version = (int16_t)version,
		.correlation_id = correlation_id,
		.client_id = client_id,
	};

	return frame_encode(output, &request_header_schema, request_header_version(api, version),
		&header, api->request, version, request, error);
}

int frame_response_encode(struct output *output, const struct api_row *api, int version,
	int32_t correlation_id, const void *response, struct codec_error *error)
{
	struct response_header header = {.correlation_id = correlation_id};

	return frame_encode(output, &response_header_schema, response_header_version(api, version),
		&header, api->response, version, response, error);
}
