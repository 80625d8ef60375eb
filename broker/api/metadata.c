/*
 * Metadata, versions 0 to 13. Answers from the request's image, by the listener on which it was
 * asked. Topics that are asked for by name and do not exist are made when client and configuration
 * allow it; unlike Kafka, which answers UNKNOWN_TOPIC_OR_PARTITION and lets the client ask again,
 * the answer waits for the new topic.
 *
 * Follows KafkaApis.handleTopicMetadataRequest and KRaftMetadataCache.
 */
#include "broker/api/api.h"
#include "broker/api/brokers.h"
#include "broker/api/controller_call.h"
#include "broker/api/name_index.h"

enum { OPERATIONS_NOT_ASKED = INT32_MIN };

struct metadata_work {
	struct controller_call call;
	struct create_topics_request create;
	struct create_topics_response created;
	struct name_index created_names; /* the place of each in CREATED; while the answer is made */
};

/* Node ids of those that are up for this listener; without FILTER all. */
static bool metadata_nodes(const struct request *request, struct arena *arena, const int32_t *from,
	int32_t from_count, bool filter, int32_t **ret_nodes, int32_t *ret_count)
{
	int32_t *nodes = arena_alloc(arena, sizeof(*nodes) * (size_t)max_of(from_count, 1));
	int32_t count = 0;

	if (!nodes)
		return false;
	for (int32_t i = 0; i < from_count; i++) {
		if (!filter || broker_endpoint(request, from[i]))
			nodes[count++] = from[i];
	}
	*ret_nodes = nodes;
	*ret_count = count;
	return true;
}

static bool metadata_partition(struct request *request, const struct partition_record *record,
	struct metadata_response_partition *out)
{
	bool filter = request->version == 0;

	out->partition_index = record->partition_id;
	out->leader_epoch = record->leader_epoch;
	if (!metadata_nodes(request, &request->arena, record->replicas, record->replicas_count,
		    filter, &out->replica_nodes, &out->replica_nodes_count) ||
		!metadata_nodes(request, &request->arena, record->isr, record->isr_count, filter,
			&out->isr_nodes, &out->isr_nodes_count) ||
		!partition_offline_replicas(
			request, record, &out->offline_replicas, &out->offline_replicas_count))
		return false;
	if (!broker_endpoint(request, record->leader)) {
		bool known = image_broker(request->image, record->leader) != NULL;
		out->error_code = known && request->version >= 6 ? KAFKA_LISTENER_NOT_FOUND
								 : KAFKA_LEADER_NOT_AVAILABLE;
		out->leader_id = -1;
		return true;
	}
	out->leader_id = record->leader;
	if (out->replica_nodes_count < record->replicas_count ||
		out->isr_nodes_count < record->isr_count)
		out->error_code = KAFKA_REPLICA_NOT_AVAILABLE;
	return true;
}

/* Told also of a topic that does not exist, so that it says nothing of whether it does. */
static void metadata_topic_operations(
	const struct request *request, struct str name, struct metadata_response_topic *out)
{
	const struct metadata_request *message = request->message;

	if (request->version >= 8 && message->include_topic_authorized_operations)
		out->topic_authorized_operations =
			authorized_operations(request, RESOURCE_TOPIC, name);
}

static bool metadata_topic(struct request *request, const struct image_topic *topic,
	struct metadata_response_topic *out)
{
	uint32_t count = image_partition_count(topic);

	out->name = topic->name;
	out->topic_id = topic->id;
	out->is_internal = topic_name_is_internal(topic->name);
	out->partitions = schema_new_array(
		&metadata_response_partition_schema, &request->arena, (int32_t)count);
	if (!out->partitions)
		return false;
	out->partitions_count = (int32_t)count;
	for (uint32_t i = 0; i < count; i++) {
		if (!metadata_partition(request, image_partition_at(topic, i), &out->partitions[i]))
			return false;
	}
	metadata_topic_operations(request, topic->name, out);
	return true;
}

static void metadata_topic_error(
	struct metadata_response_topic *out, struct str name, const struct uuid *id, int16_t error)
{
	out->error_code = error;
	out->name = name;
	if (id)
		out->topic_id = *id;
	out->is_internal = topic_name_is_internal(name);
}

static bool metadata_is_all_topics(const struct request *request)
{
	const struct metadata_request *message = request->message;

	return message->topics_count < 0 || (request->version == 0 && message->topics_count == 0);
}

static bool metadata_may_create(const struct request *request)
{
	const struct metadata_request *message = request->message;

	return message->allow_auto_topic_creation &&
	       config_bool(request->shard->config, SETTING_AUTO_CREATE_TOPICS_ENABLE) &&
	       !metadata_is_all_topics(request);
}

/* False when the arena is exhausted. */
static bool metadata_created_index(struct request *request, struct metadata_work *work)
{
	const struct metadata_request *message = request->message;
	const struct create_topics_response *created = &work->created;

	if (created->topics_count == 0)
		return true;
	if (!name_index_init(&work->created_names, &request->arena,
		    created->topics_count + message->topics_count, request->shard->seed))
		return false;
	for (int32_t i = 0; i < created->topics_count; i++)
		ensure(name_index_place(&work->created_names, created->topics[i].name) == i);
	return true;
}

/* What the controller said of a topic that it was asked to make; NULL when it wasn't asked. */
static const struct create_topics_response_creatable_topic_result *metadata_created(
	struct metadata_work *work, struct str name)
{
	int32_t place;

	if (work->created.topics_count == 0)
		return NULL;
	place = name_index_place(&work->created_names, name);
	return place < work->created.topics_count ? &work->created.topics[place] : NULL;
}

static int16_t metadata_missing_error(
	const struct request *request, struct metadata_work *work, struct str name)
{
	const struct create_topics_response_creatable_topic_result *created;

	if (!topic_name_is_valid(name))
		return KAFKA_INVALID_TOPIC_EXCEPTION;
	created = metadata_created(work, name);
	if (!created)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	/* Made, or made by somebody else meanwhile: the next answer has it. */
	if (created->error_code == 0 || created->error_code == KAFKA_TOPIC_ALREADY_EXISTS)
		return KAFKA_LEADER_NOT_AVAILABLE;
	return created->error_code;
}

static bool metadata_named_topic(struct request *request, struct metadata_work *work,
	const struct metadata_request_topic *ask, struct metadata_response_topic *out)
{
	bool by_id = !uuid_is_zero(&ask->topic_id);
	const struct image_topic *topic = by_id ? image_topic_by_id(request->image, &ask->topic_id)
						: image_topic_by_name(request->image, ask->name);
	struct str name = topic ? topic->name : ask->name;

	if (by_id && !topic) {
		metadata_topic_error(out, STR_NULL, &ask->topic_id, KAFKA_UNKNOWN_TOPIC_ID);
		return true;
	}
	if (!authorize(request, ACL_DESCRIBE, RESOURCE_TOPIC, name)) {
		/* The name of a topic that may not be described stays secret; ids are not. */
		metadata_topic_error(out, by_id ? STR_NULL : name, by_id ? &ask->topic_id : NULL,
			KAFKA_TOPIC_AUTHORIZATION_FAILED);
		return true;
	}
	if (topic)
		return metadata_topic(request, topic, out);
	if (metadata_may_create(request) && !authorize_cluster(request, ACL_CREATE) &&
		!authorize(request, ACL_CREATE, RESOURCE_TOPIC, name)) {
		metadata_topic_error(out, name, NULL, KAFKA_TOPIC_AUTHORIZATION_FAILED);
		return true;
	}
	metadata_topic_error(out, name, NULL, metadata_missing_error(request, work, name));
	metadata_topic_operations(request, name, out);
	return true;
}

static bool metadata_all_topics(struct request *request, struct metadata_response *response)
{
	uint32_t count = image_topic_count(request->image);
	const struct image_topic *topic = image_topic_at(request->image, 0);

	response->topics =
		schema_new_array(&metadata_response_topic_schema, &request->arena, (int32_t)count);
	if (!response->topics)
		return false;
	for (; topic; topic = image_topic_next(request->image, topic)) {
		if (!authorize(request, ACL_DESCRIBE, RESOURCE_TOPIC, topic->name))
			continue;
		if (!metadata_topic(request, topic, &response->topics[response->topics_count++]))
			return false;
	}
	return true;
}

static bool metadata_asks_by_id(const struct metadata_request *message)
{
	for (int32_t i = 0; i < message->topics_count; i++)
		if (!uuid_is_zero(&message->topics[i].topic_id))
			return true;
	return false;
}

/* Each topic once, in the order of the request. Where one is asked for by its id, those that have only a
 * name are passed over, as in Kafka. */
static bool metadata_asked_topics(
	struct request *request, struct metadata_work *work, struct metadata_response *response)
{
	const struct metadata_request *message = request->message;
	struct map seen;
	bool done = false, only_ids = metadata_asks_by_id(message);
	struct asked {
		struct map_node node;
	} *asked = request_new_array(request, struct asked, (size_t)message->topics_count);

	response->topics = schema_new_array(
		&metadata_response_topic_schema, &request->arena, message->topics_count);
	if (!response->topics || !asked || !metadata_created_index(request, work))
		return false;
	map_init(&seen, request_seed(request));
	for (int32_t i = 0; i < message->topics_count; i++) {
		const struct metadata_request_topic *ask = &message->topics[i];
		bool by_id = !uuid_is_zero(&ask->topic_id);
		const void *key =
			by_id ? (const void *)&ask->topic_id : (const void *)ask->name.data;
		size_t key_size = by_id ? sizeof(ask->topic_id) : (size_t)max_of(ask->name.size, 0);
		if ((only_ids && !by_id) || map_find(&seen, key, key_size))
			continue;
		map_insert(&seen, &asked[i].node, key, key_size);
		if (!metadata_named_topic(
			    request, work, ask, &response->topics[response->topics_count++]))
			goto out;
	}
	done = true;
out:
	map_done(&seen);
	if (work->created.topics_count > 0)
		name_index_done(&work->created_names);
	return done;
}

/* An answer with all topics is the same for everybody who asks for as much about them. */
static bool metadata_is_shared(struct request *request)
{
	const struct metadata_request *message = request->message;

	return metadata_is_all_topics(request) &&
	       request_answer_is_shared(request,
		       (message->include_topic_authorized_operations ? 1u : 0u) |
			       (message->include_cluster_authorized_operations ? 2u : 0u));
}

static void metadata_answer(struct request *request)
{
	const struct metadata_request *message = request->message;
	struct metadata_response *response = request->response;
	struct metadata_work *work = request->context;
	bool done = metadata_is_all_topics(request)
			    ? metadata_all_topics(request, response)
			    : metadata_asked_topics(request, work, response);

	if (!done || !brokers_alive(request, &response->brokers, &response->brokers_count)) {
		request_out_of_memory(request);
		return;
	}
	response->cluster_id = request->home->broker->cluster_id;
	/* With KRaft any broker forwards to the controller: the one that was asked will do. */
	response->controller_id = request->home->broker->node_id;
	response->cluster_authorized_operations = OPERATIONS_NOT_ASKED;
	if (request->version >= 8 && request->version <= 10 &&
		message->include_cluster_authorized_operations)
		response->cluster_authorized_operations =
			authorize_cluster(request, ACL_DESCRIBE)
				? authorized_operations(
					  request, RESOURCE_CLUSTER, CLUSTER_RESOURCE_NAME)
				: 0;
	request_complete(request);
}

static void metadata_topics_made(struct controller_call *call)
{
	struct request *request = call->request;

	/* The answer is given from the image that has the new topics. */
	request_image_refresh(request);
	metadata_answer(request);
}

/* The topics that don't exist and may be made; false when the arena is exhausted. */
static bool metadata_collect_missing(struct request *request, struct metadata_work *work)
{
	const struct metadata_request *message = request->message;
	struct create_topics_request *create = &work->create;

	schema_init(&create_topics_request_schema, create);
	create->topics = schema_new_array(&create_topics_request_creatable_topic_schema,
		&request->arena, max_of(message->topics_count, 0));
	if (!create->topics)
		return false;
	create->timeout_ms = config_int(request->shard->config, SETTING_REQUEST_TIMEOUT_MS);
	struct name_index names;
	if (!name_index_init(&names, &request->arena, max_of(message->topics_count, 0),
		    request->shard->seed))
		return false;
	bool cluster_wide = authorize_cluster(request, ACL_CREATE), done = true;
	for (int32_t i = 0; i < message->topics_count && done; i++) {
		struct str name = message->topics[i].name;
		if (!uuid_is_zero(&message->topics[i].topic_id) || str_is_null(name) ||
			image_topic_by_name(request->image, name) || !topic_name_is_valid(name) ||
			!authorize(request, ACL_DESCRIBE, RESOURCE_TOPIC, name) ||
			(!cluster_wide && !authorize(request, ACL_CREATE, RESOURCE_TOPIC, name)) ||
			name_index_place(&names, name) < create->topics_count)
			continue;
		done = auto_topic_describe(request, name, &create->topics[create->topics_count++]);
	}
	name_index_done(&names);
	return done;
}

void handle_metadata(struct request *request)
{
	const struct metadata_request *message = request->message;
	struct metadata_response *response = request->response;
	struct metadata_work *work = request_new(request, struct metadata_work);

	if (!work) {
		request_out_of_memory(request);
		return;
	}
	request->context = work;
	schema_init(&create_topics_response_schema, &work->created);
	for (int32_t i = 0; i < message->topics_count; i++) {
		bool by_id = !uuid_is_zero(&message->topics[i].topic_id);
		if (request->version >= 12 || (!by_id && !str_is_null(message->topics[i].name)))
			continue;
		/* Ids came with version 12: an answer for each topic says that the request is
		 * wrong. */
		response->topics = schema_new_array(
			&metadata_response_topic_schema, &request->arena, message->topics_count);
		if (!response->topics) {
			request_out_of_memory(request);
			return;
		}
		response->topics_count = message->topics_count;
		for (int32_t j = 0; j < message->topics_count; j++) {
			struct str name = message->topics[j].name;
			metadata_topic_error(&response->topics[j],
				str_is_null(name) ? STR("") : name, &message->topics[j].topic_id,
				KAFKA_INVALID_REQUEST);
		}
		request_complete(request);
		return;
	}
	if (metadata_is_shared(request)) {
		request_complete(request);
		return;
	}
	if (!metadata_may_create(request)) {
		metadata_answer(request);
		return;
	}
	if (!metadata_collect_missing(request, work)) {
		request_out_of_memory(request);
		return;
	}
	if (work->create.topics_count == 0) {
		metadata_answer(request);
		return;
	}
	controller_call(&work->call, request, CONTROLLER_CREATE_TOPICS, &work->create,
		&work->created, metadata_topics_made);
}
