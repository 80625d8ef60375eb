/*
 * Frames: what travels on a connection. Four bytes of size (big-endian, of what follows), a header,
 * a message. The header's version follows from the API and its version; this is where that is
 * decided, for both sides of a connection.
 */
#pragma once

#include "protocol/codec.h"

#define FRAME_SIZE_PREFIX 4

/* The fixed beginning of every request header, whatever its version. */
struct frame_peek {
	int16_t api_key;
	int16_t api_version;
	int32_t correlation_id;
};

/* FRAME is without its size. -EBADMSG when it is shorter than 8 bytes. The key and version may be
 * of no API we know. */
int frame_request_peek(struct bytes frame, struct frame_peek *ret_peek);

/*
 * Splits FRAME (without its size) into its header and the message's bytes. API must be the row of
 * the header's key (see frame_request_peek); the version need not exist. Errors as schema_decode.
 */
int frame_request_header_decode(struct bytes frame, const struct api_row *api, struct arena *arena,
	struct request_header *ret_header, struct bytes *ret_body, struct codec_error *error);

/* Appends a whole frame: size, header, message. A gap in it counts to its size. Errors as
 * schema_encode. */
int frame_request_encode(struct output *output, const struct api_row *api, int version,
	int32_t correlation_id, struct str client_id, const void *request,
	struct codec_error *error);
int frame_response_encode(struct output *output, const struct api_row *api, int version,
	int32_t correlation_id, const void *response, struct codec_error *error);

/* Splits a response FRAME (without its size); for our own clients: followers, brokers towards the
 * controller, tools. */
int frame_response_header_decode(struct bytes frame, const struct api_row *api, int version,
	struct arena *arena, struct response_header *ret_header, struct bytes *ret_body,
	struct codec_error *error);
