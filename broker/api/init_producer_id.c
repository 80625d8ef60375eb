/*
 * InitProducerId, versions 0 to 6, for idempotent producers without a transactional id: a new
 * producer id with epoch 0, out of blocks that the controller gives (ProducerIdsRecord). Ids are
 * drawn on the main shard, so that each is given once.
 *
 * Transactional ids want the transaction coordinator, which is not served: UNSUPPORTED_VERSION ends
 * such a producer with a clear error, where a retriable one would let it wait for ever.
 */
#include <errno.h>

#include "broker/api/controller_call.h"

enum { PRODUCER_ID_NONE = -1, PRODUCER_EPOCH_NONE = -1 };

struct init_producer_id {
	struct list_node node; /* waits for a block */
	struct request *request;
};

static void ids_give(struct broker *broker);

static void ids_error_all(struct broker *broker, int16_t error)
{
	struct list_node *node;

	while ((node = list_pop_front(&broker->producer_ids.waiting))) {
		struct request *request =
			container_of(node, struct init_producer_id, node)->request;
		struct init_producer_id_response *response = request->response;
		response->error_code = error;
		response->producer_id = PRODUCER_ID_NONE;
		response->producer_epoch = PRODUCER_EPOCH_NONE;
		request_complete(request);
	}
}

static void ids_block_done(struct shard *shard, struct controller_op *op)
{
	struct broker *broker = op->authority;
	struct producer_id_blocks *ids = &broker->producer_ids;

	ids->asking = false;
	if (op->result < 0 || ids->response.error_code) {
		arena_reset(&ids->arena);
		/* Retriable: the client asks again. */
		ids_error_all(broker, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
		return;
	}
	ids->next = ids->response.producer_id_start;
	ids->end = ids->next + ids->response.producer_id_len;
	arena_reset(&ids->arena);
	ids_give(broker);
}

static void ids_ask(struct broker *broker)
{
	struct producer_id_blocks *ids = &broker->producer_ids;

	ids->asking = true;
	schema_init(&allocate_producer_ids_request_schema, &ids->request);
	schema_init(&allocate_producer_ids_response_schema, &ids->response);
	ids->request.broker_id = broker->node_id;
	ids->request.broker_epoch = broker->broker_epoch;
	ids->op = (struct controller_op){
		.kind = CONTROLLER_ALLOCATE_PRODUCER_IDS,
		.request = &ids->request,
		.response = &ids->response,
		.arena = &ids->arena,
		.authority = broker,
		.done = ids_block_done,
	};
	controller_submit(broker->controller, &ids->op);
}

static void ids_give(struct broker *broker)
{
	struct producer_id_blocks *ids = &broker->producer_ids;
	struct list_node *node;

	while (ids->next < ids->end && (node = list_pop_front(&ids->waiting))) {
		struct request *request =
			container_of(node, struct init_producer_id, node)->request;
		struct init_producer_id_response *response = request->response;
		response->producer_id = ids->next++;
		response->producer_epoch = 0;
		request_complete(request);
	}
	if (!list_is_empty(&ids->waiting) && !ids->asking)
		ids_ask(broker);
}

static void init_producer_id_on_main(struct request *request)
{
	struct broker *broker = request->shard->broker;
	struct init_producer_id *work = request->context;

	list_push_back(&broker->producer_ids.waiting, &work->node);
	ids_give(broker);
}

static void init_producer_id_refuse(struct request *request, int16_t error)
{
	struct init_producer_id_response *response = request->response;

	response->error_code = error;
	response->producer_id = PRODUCER_ID_NONE;
	response->producer_epoch = PRODUCER_EPOCH_NONE;
	request_complete(request);
}

/* May the principal write some topic, or is it allowed to write idempotently as such? Without an
 * authorizer: yes. */
static bool may_write_idempotently(struct request *request)
{
	if (authorize_cluster(request, ACL_IDEMPOTENT_WRITE))
		return true;
	for (const struct image_topic *topic = image_topic_at(request->image, 0); topic;
		topic = image_topic_next(request->image, topic)) {
		if (authorize(request, ACL_WRITE, RESOURCE_TOPIC, topic->name))
			return true;
	}
	return false;
}

void handle_init_producer_id(struct request *request)
{
	const struct init_producer_id_request *message = request->message;
	struct init_producer_id *work;

	if (!str_is_null(message->transactional_id)) {
		int16_t error = KAFKA_UNSUPPORTED_VERSION;
		if (!authorize(request, ACL_WRITE, RESOURCE_TRANSACTIONAL_ID,
			    message->transactional_id))
			error = KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
		else if (message->transactional_id.size == 0)
			error = KAFKA_INVALID_REQUEST;
		init_producer_id_refuse(request, error);
		return;
	}
	if (!may_write_idempotently(request)) {
		init_producer_id_refuse(request, KAFKA_CLUSTER_AUTHORIZATION_FAILED);
		return;
	}
	if ((message->producer_id == PRODUCER_ID_NONE) !=
		(message->producer_epoch == PRODUCER_EPOCH_NONE)) {
		init_producer_id_refuse(request, KAFKA_INVALID_REQUEST);
		return;
	}
	work = request_new(request, struct init_producer_id);
	if (!work) {
		request_out_of_memory(request);
		return;
	}
	work->request = request;
	request->context = work;
	request_move(request, SHARD_MAIN, init_producer_id_on_main);
}
