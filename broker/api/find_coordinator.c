/*
 * FindCoordinator, versions 0 to 6: which broker coordinates a group (or, from version 4 on, each
 * of several). `__consumer_offsets` is made when it does not exist; where Kafka answers
 * COORDINATOR_NOT_AVAILABLE and lets the client ask again, the answer waits for the topic.
 *
 * Follows KafkaApis.getCoordinator. Share groups have no coordinator here yet. Transactions have none
 * either, but are told of this broker, where InitProducerId says that they are not served: clients
 * end with that, while they ask again for ever after COORDINATOR_NOT_AVAILABLE.
 */
#include "broker/api/brokers.h"
#include "broker/api/controller_call.h"
#include "broker/group/coordinator.h"
#include "runtime/uuid.h"

enum coordinator_type { COORDINATOR_GROUP = 0, COORDINATOR_TRANSACTION = 1, COORDINATOR_SHARE = 2 };

enum { SEVERAL_KEYS_VERSION = 4, SHARE_VERSION = 6 };

struct find_coordinator {
	struct controller_call call;
	struct create_topics_request create;
	struct create_topics_response created;
};

struct found {
	int16_t error;
	int32_t node_id;
	struct str host;
	int32_t port;
};

static bool find_may(const struct request *request, int8_t type, struct str key)
{
	return type == COORDINATOR_GROUP
		       ? authorize(request, ACL_DESCRIBE, RESOURCE_GROUP, key)
		       : authorize(request, ACL_DESCRIBE, RESOURCE_TRANSACTIONAL_ID, key);
}

/* The topic that keeps what the coordinator knows is there, or need not be. */
static bool find_has_topic(const struct request *request)
{
	return image_topic_by_name(request->image, STR("__consumer_offsets")) != NULL;
}

/* group:topic id:partition */
static bool find_is_share_key(struct str key)
{
	int32_t first = -1, second = -1;
	struct uuid id;

	for (int32_t i = 0; i < key.size; i++) {
		if (key.data[i] != ':')
			continue;
		if (second >= 0)
			return false;
		*(first < 0 ? &first : &second) = i;
	}
	if (first <= 0 || second < 0 || second == key.size - 1 ||
		uuid_parse((struct str){key.data + first + 1, second - first - 1}, &id) < 0)
		return false;
	for (int32_t i = second + 1; i < key.size; i++) {
		if (key.data[i] < '0' || key.data[i] > '9')
			return false;
	}
	return true;
}

/* The leader of the partition that keeps the group; negative while there is none. */
static int32_t find_group_leader(const struct request *request, struct str group)
{
	const struct image_topic *topic =
		image_topic_by_name(request->image, STR("__consumer_offsets"));
	const struct partition_record *record =
		topic ? image_partition(topic, group_partition_of(group,
						       (int32_t)image_partition_count(topic)))
		      : NULL;

	return record ? record->leader : -1;
}

static struct found find_one(const struct request *request, struct str key)
{
	const struct find_coordinator_request *message = request->message;
	struct found found = {.node_id = -1, .host = STR(""), .port = -1};

	if (message->key_type < COORDINATOR_GROUP || message->key_type > COORDINATOR_SHARE) {
		found.error = KAFKA_INVALID_REQUEST;
		return found;
	}
	if (message->key_type == COORDINATOR_SHARE) {
		if (request->version < SHARE_VERSION || !find_is_share_key(key))
			found.error = KAFKA_INVALID_REQUEST;
		else if (!authorize_cluster(request, ACL_CLUSTER_ACTION))
			found.error = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
		else
			found.error = KAFKA_COORDINATOR_NOT_AVAILABLE;
		return found;
	}
	if (!find_may(request, message->key_type, key)) {
		found.error = message->key_type == COORDINATOR_GROUP
				      ? KAFKA_GROUP_AUTHORIZATION_FAILED
				      : KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
		return found;
	}
	int32_t node_id = message->key_type == COORDINATOR_GROUP
				  ? find_group_leader(request, key)
				  : request->home->broker->node_id;
	const struct register_broker_record_broker_endpoint *endpoint =
		node_id >= 0 ? broker_endpoint(request, node_id) : NULL;
	if (endpoint)
		return (struct found){
			.node_id = node_id, .host = endpoint->host, .port = endpoint->port};
	found.error = KAFKA_COORDINATOR_NOT_AVAILABLE;
	return found;
}

static void find_answer(struct request *request)
{
	const struct find_coordinator_request *message = request->message;
	struct find_coordinator_response *response = request->response;

	if (request->version < SEVERAL_KEYS_VERSION) {
		struct found found = find_one(request, message->key);
		response->error_code = found.error;
		if (request->version >= 1)
			response->error_message =
				found.error ? kafka_error_message(found.error) : STR("NONE");
		response->node_id = found.node_id;
		response->host = found.host;
		response->port = found.port;
		request_complete(request);
		return;
	}
	int32_t count = max_of(message->coordinator_keys_count, 0);
	response->coordinators = schema_new_array(
		&find_coordinator_response_coordinator_schema, &request->arena, count);
	if (!response->coordinators) {
		request_out_of_memory(request);
		return;
	}
	response->coordinators_count = count;
	for (int32_t i = 0; i < count; i++) {
		struct find_coordinator_response_coordinator *out = &response->coordinators[i];
		struct found found = find_one(request, message->coordinator_keys[i]);
		out->key = message->coordinator_keys[i];
		out->error_code = found.error;
		out->node_id = found.node_id;
		out->host = found.host;
		out->port = found.port;
		if (message->key_type < COORDINATOR_GROUP || message->key_type > COORDINATOR_SHARE)
			out->error_message = STR("No coordinator of that kind is known.");
	}
	request_complete(request);
}

static void find_topic_made(struct controller_call *call)
{
	/* Made, made by somebody else meanwhile, or impossible: the image says. */
	request_image_refresh(call->request);
	find_answer(call->request);
}

/* Does anybody who may ask, ask for a group? */
static bool find_wants_topic(const struct request *request)
{
	const struct find_coordinator_request *message = request->message;

	if (message->key_type != COORDINATOR_GROUP || find_has_topic(request))
		return false;
	if (request->version < SEVERAL_KEYS_VERSION)
		return find_may(request, COORDINATOR_GROUP, message->key);
	for (int32_t i = 0; i < message->coordinator_keys_count; i++) {
		if (find_may(request, COORDINATOR_GROUP, message->coordinator_keys[i]))
			return true;
	}
	return false;
}

void handle_find_coordinator(struct request *request)
{
	struct find_coordinator *work;

	if (!find_wants_topic(request)) {
		find_answer(request);
		return;
	}
	work = request_new(request, struct find_coordinator);
	if (!work) {
		request_out_of_memory(request);
		return;
	}
	schema_init(&create_topics_request_schema, &work->create);
	schema_init(&create_topics_response_schema, &work->created);
	work->create.timeout_ms = config_int(request->shard->config, SETTING_REQUEST_TIMEOUT_MS);
	work->create.topics =
		schema_new_array(&create_topics_request_creatable_topic_schema, &request->arena, 1);
	if (!work->create.topics ||
		!auto_topic_describe(request, STR("__consumer_offsets"), &work->create.topics[0])) {
		request_out_of_memory(request);
		return;
	}
	work->create.topics_count = 1;
	controller_call_as_broker(&work->call, request, CONTROLLER_CREATE_TOPICS, &work->create,
		&work->created, find_topic_made);
}
