/*
 * ApiVersions, versions 0 to 4. What is served is dispatch.tbl; feature levels are those whose APIs
 * we serve. A client that asks in a version of the future is answered in version 0 with
 * UNSUPPORTED_VERSION and the list, so that it can ask again.
 */
#include "broker/api/api.h"
#include "broker/dispatch.h"
#include "broker/served_features.h"

/* Kafka's rule for the client's name and version (KIP-511): a letter or digit at both ends, dots
 * and dashes inside. */
static bool software_name_is_valid(struct str name)
{
	if (name.size <= 0)
		return false;
	for (int32_t i = 0; i < name.size; i++) {
		char c = name.data[i];
		bool alphanumeric =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		bool inner = (c == '.' || c == '-') && i > 0 && i < name.size - 1;
		if (!alphanumeric && !inner)
			return false;
	}
	return true;
}

static bool fill_api_keys(struct request *request, struct api_versions_response *response)
{
	response->api_keys = schema_new_array(&api_versions_response_api_version_schema,
		&request->arena, (int32_t)handler_row_count);
	if (!response->api_keys)
		return false;
	response->api_keys_count = (int32_t)handler_row_count;
	for (unsigned i = 0; i < handler_row_count; i++) {
		response->api_keys[i].api_key = handler_rows[i].key;
		response->api_keys[i].min_version = handler_rows[i].min_version;
		response->api_keys[i].max_version = handler_rows[i].max_version;
	}
	return true;
}

static bool fill_features(struct request *request, struct api_versions_response *response)
{
	response->supported_features =
		schema_new_array(&api_versions_response_supported_feature_key_schema,
			&request->arena, (int32_t)served_feature_count);
	response->finalized_features =
		schema_new_array(&api_versions_response_finalized_feature_key_schema,
			&request->arena, (int32_t)served_feature_count);
	if (!response->supported_features || !response->finalized_features)
		return false;
	for (unsigned i = 0; i < served_feature_count; i++) {
		const struct served_feature *feature = &served_features[i];
		/* Kafka 3.x clients choke on a lowest level of 0 before version 4 of this API
		 * (KAFKA-17011): it is left out for them. */
		if (request->version >= 4 || feature->min_level > 0) {
			struct api_versions_response_supported_feature_key *supported =
				&response->supported_features[response->supported_features_count++];
			supported->name = feature->name;
			supported->min_version = feature->min_level;
			supported->max_version = feature->max_level;
		}
		int16_t level = min_of(
			image_feature_level(request->image, feature->name), feature->max_level);
		if (level > 0) {
			struct api_versions_response_finalized_feature_key *finalized =
				&response->finalized_features[response->finalized_features_count++];
			finalized->name = feature->name;
			finalized->max_version_level = level;
			finalized->min_version_level = level;
		}
	}
	response->finalized_features_epoch = image_position(request->image).offset;
	return true;
}

void handle_api_versions(struct request *request)
{
	const struct api_versions_request *message = request->message;
	struct api_versions_response *response = request->response;

	if (request->unsupported_version) {
		response->error_code = KAFKA_UNSUPPORTED_VERSION;
		/* Only the one row that the client needs, as in Kafka. */
		response->api_keys = schema_new_array(
			&api_versions_response_api_version_schema, &request->arena, 1);
		if (!response->api_keys) {
			request_out_of_memory(request);
			return;
		}
		response->api_keys_count = 1;
		response->api_keys[0].api_key = request->handler->key;
		response->api_keys[0].min_version = request->handler->min_version;
		response->api_keys[0].max_version = request->handler->max_version;
		request_complete(request);
		return;
	}
	if (request->version >= 3 &&
		(!software_name_is_valid(message->client_software_name) ||
			!software_name_is_valid(message->client_software_version))) {
		response->error_code = KAFKA_INVALID_REQUEST;
		request_complete(request);
		return;
	}
	if (request_answer_is_shared(request, 0)) {
		request_complete(request);
		return;
	}
	if (!fill_api_keys(request, response) ||
		(request->version >= 3 && !fill_features(request, response))) {
		request_out_of_memory(request);
		return;
	}
	request_complete(request);
}
