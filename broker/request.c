#include "broker/request.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/connection.h"
#include "broker/dispatch.h"
#include "broker/observe/log.h"
#include "broker/state.h"
#include "protocol/frame.h"
#include "protocol/limits.h"

enum {
	REQUEST_CACHE_MAX = 256, /* free ones on a shard; they keep their arena's first block */
	REQUEST_UNCHARGED_MAX = 8 * 1024, /* of an ordinary one, which is not counted */
	/* Who has filled so much has used up its step, and encoding takes about as long. */
	REQUEST_STEP_BYTES = 256 * 1024,
};

struct request *request_new_from_frame(struct connection *connection, struct buffer *frame,
	struct bytes bytes, struct buffer_budget *budget)
{
	struct broker_shard *home = connection->shard;
	struct list_node *node = list_pop_front(&home->free_requests);
	struct request *request =
		node ? container_of(node, struct request, node) : malloc(sizeof(*request));

	if (!request)
		return NULL;
	struct arena arena = {0};
	if (node) {
		home->free_request_count--;
		arena = request->arena;
	} else {
		arena_init(&arena, 0);
	}
	*request = (struct request){
		.connection = connection,
		.home = home,
		.shard = home,
		.principal = connection->principal,
		.host = str_from(connection->host_text),
		.listener = connection->listener,
		.received_ns = shard_now_ns(home->shard),
		.frame = buffer_ref(frame),
		.arena = arena,
	};
	request->arena.limit_bytes =
		LIMIT_DECODE_ARENA_BYTES(bytes.size) + home->response_arena_bytes;
	arena_charge_to(&request->arena, budget, REQUEST_UNCHARGED_MAX);
	return request;
}

/* Tells the budget what has changed in BESIDE_BYTES. */
static void request_beside_settle(struct request *request)
{
	struct buffer_budget *budget = request->arena.budget;
	size_t charged = request->beside_charged_bytes;
	size_t held = request->beside_bytes > REQUEST_UNCHARGED_MAX ? request->beside_bytes : 0;

	if (held == charged)
		return;
	if (held > charged)
		buffer_budget_charge(budget, held - charged);
	else
		buffer_budget_discharge(request->shard->shard, budget, charged - held);
	__atomic_store_n(&request->beside_charged_bytes, held, __ATOMIC_RELAXED);
}

void request_charge(struct request *request, size_t size)
{
	request->beside_bytes += size;
	request_beside_settle(request);
}

void request_discharge(struct request *request, size_t size)
{
	ensure(request->beside_bytes >= size);
	request->beside_bytes -= size;
	request_beside_settle(request);
}

void request_charge_to(struct request *request, struct buffer_budget *budget)
{
	struct buffer_budget *before = request->arena.budget;
	size_t charged = request_charged_bytes(request);

	if (before == budget)
		return;
	request->arena.budget = budget;
	if (charged == 0)
		return;
	buffer_budget_charge(budget, charged);
	buffer_budget_discharge(request->shard->shard, before, charged);
}

static struct shared_answer_key request_share_key(const struct request *request)
{
	return (struct shared_answer_key){.api_key = request->api_key,
		.version = request->response_version,
		.listener = request->listener,
		.options = request->share_options};
}

bool request_answer_is_shared(struct request *request, uint32_t options)
{
	struct broker_shard *home = request->home;

	/* What an authorizer allows differs between principals. */
	if (home->broker->authorizer || request->shard != home || request->image != home->image)
		return false;
	request->share_options = options;
	struct shared_answer_key key = request_share_key(request);
	request->shared = shared_answer_find(&home->shared_answers, &key);
	request->shares = !request->shared;
	if (request->shared)
		request_charge(request, request->shared->size_bytes);
	return request->shared != NULL;
}

void request_free(struct request *request)
{
	struct broker_shard *home = request->home;

	if (request->noting) {
		/* The note to the other shard is still out; it frees the request when it comes
		 * back. */
		request->connection = NULL;
		return;
	}
	if (request->release)
		request->release(request);
	image_unref(request->image);
	shared_answer_unref(request->shared);
	request->shared = NULL;
	buffer_unref(home->shard, request->frame);
	request->frame = NULL;
	if (request_charged_bytes(request) > 0) {
		arena_discharge(&request->arena, home->shard);
		request_discharge(request, request->beside_bytes);
	}
	if (home->free_request_count < REQUEST_CACHE_MAX) {
		arena_reset(&request->arena);
		list_push_front(&home->free_requests, &request->node);
		home->free_request_count++;
	} else {
		arena_done(&request->arena);
		free(request);
	}
}

void request_cache_done(struct broker_shard *home)
{
	struct list_node *node;

	while ((node = list_pop_front(&home->free_requests))) {
		struct request *request = container_of(node, struct request, node);
		arena_done(&request->arena);
		free(request);
	}
	home->free_request_count = 0;
}

int request_parse(struct request *request, struct bytes bytes, const char **ret_reason)
{
	struct frame_peek peek;

	if (frame_request_peek(bytes, &peek) < 0) {
		*ret_reason = "a frame too short for a request header";
		return -EBADMSG;
	}
	request->api_key = peek.api_key;
	request->version = peek.api_version;
	request->correlation_id = peek.correlation_id;
	request->handler = handler_find(peek.api_key);
	request->api = api_find(peek.api_key);
	if (!request->api) {
		*ret_reason = "an API key that Kafka does not have";
		return -EBADMSG;
	}
	if (!request->handler) {
		*ret_reason = "an API that this listener does not serve";
		return -EBADMSG;
	}
	bool too_new = request->version < request->handler->min_version ||
		       request->version > request->handler->max_version;
	if (too_new && peek.api_key != API_API_VERSIONS) {
		*ret_reason = "a version of an API that is not served";
		return -EBADMSG;
	}

	/* A client from the future asks ApiVersions first: its header is read as far as every
	 * header agrees. */
	struct request_header header;
	struct codec_error error;
	int result = frame_request_header_decode(
		bytes, request->api, &request->arena, &header, &request->body, &error);
	if (result < 0) {
		*ret_reason = "a request header that cannot be read";
		return result;
	}
	request->client_id = header.client_id;
	request->response_version = request->version;
	if (too_new) {
		request->unsupported_version = true;
		request->response_version = 0;
	}

	request->message = request_alloc(request, request->api->request->size);
	request->response = request_alloc(request, request->api->response->size);
	if (!request->message || !request->response) {
		*ret_reason = "a request that needs more memory than its size allows";
		return -ENOMEM;
	}
	schema_init(request->api->response, request->response);
	if (request->unsupported_version) {
		schema_init(request->api->request, request->message);
		return 0;
	}
	size_t consumed;
	result = schema_decode(request->api->request, request->version, request->body,
		&request->arena, request->message, &consumed, &error);
	if (result < 0) {
		request->bad_field = error.field ? error.field : error.struct_name;
		*ret_reason = error.reason;
		return result;
	}
	/* Kafka's parser ignores what follows a message; so do we, as some clients pad. */
	return 0;
}

void request_start(struct request *request)
{
	request->state = REQUEST_RUNNING;
	request->image = image_ref(request->shard->image);
	request->handler->handle(request);
}

uint32_t request_seed(const struct request *request)
{
	return (uint32_t)request->shard->seed ^ (uint32_t)request->correlation_id;
}

struct str request_listener_name(const struct request *request)
{
	int32_t count;
	const struct listener_config *listeners =
		config_listeners(request->home->broker->options.config, &count);

	ensure(request->listener < count);
	return listeners[request->listener].name;
}

void request_image_refresh(struct request *request)
{
	image_unref(request->image);
	request->image = image_ref(request->shard->image);
}

/* ---- travels ---- */

static void request_moved_run(struct shard *shard, struct task *task)
{
	struct request *request = container_of(task, struct request, task);

	request->shard = broker_shard_of(shard);
	if (request->shard == request->home)
		request->away = false;
	request->moved(request);
}

void request_yield(struct request *request, void (*run)(struct request *request))
{
	request->moved = run;
	request->task.run = request_moved_run;
	shard_post(request->shard->shard, &request->task);
}

void request_move(struct request *request, unsigned to, void (*moved)(struct request *request))
{
	/* From abroad there is only one way: home. So the home shard always knows where a request
	 * is. */
	ensure(request->shard == request->home || to == request->home->index);
	if (request->shard == request->home && to != request->home->index) {
		request->away = true;
		request->away_shard = to;
	}
	request->moved = moved;
	request_park(request, NULL);
	request->task.run = request_moved_run;
	shard_send(request->shard->shard, to, &request->task);
}

static void request_note_back(struct shard *shard, struct task *task)
{
	struct request *request = container_of(task, struct request, abandon_note);

	request->noting = false;
	if (!request->connection)
		request_free(request);
}

static void request_note_there(struct shard *shard, struct task *task)
{
	struct request *request = container_of(task, struct request, abandon_note);

	/* The hook is set and cleared on this shard alone: NULL when the request has left already.
	 */
	if (request->on_abandon)
		request->on_abandon(request);
	request->abandon_note.run = request_note_back;
	shard_send(shard, request->home->index, &request->abandon_note);
}

void request_abandon(struct request *request)
{
	request->abandoned = true;
	if (!request->away) {
		if (request->on_abandon)
			request->on_abandon(request);
		return;
	}
	request->noting = true;
	request->abandon_note.run = request_note_there;
	shard_send(request->home->shard, request->away_shard, &request->abandon_note);
}

/* ---- the answer ---- */

/* Frame size, response header, body; gaps become slices of files. 0 or a negative errno. */
static int request_encode(struct request *request)
{
	struct output output;
	struct codec_error error;
	struct response_header header;
	int result;

	output_init(&output, &request->arena, 256);
	uint8_t *size_field = output_append(&output, 4);
	if (!size_field)
		return -ENOMEM;
	schema_init(&response_header_schema, &header);
	header.correlation_id = request->correlation_id;
	result = schema_encode(&response_header_schema,
		response_header_version(request->api, request->response_version), &header, &output,
		&error);
	size_t body_at = output.size;
	if (result == 0 && !request->shared)
		result = schema_encode(request->api->response, request->response_version,
			request->response, &output, &error);
	if (result < 0) {
		log_event(&request->home->logger, LOG_REQUEST_FAILED,
			log_text("api", request->api->name),
			log_int("version", request->response_version),
			log_text("field", error.field ? error.field : error.struct_name),
			log_text("reason", error.reason));
		return result;
	}
	size_t shared_size = request->shared ? request->shared->size_bytes : 0;
	size_t total = output_total_size(&output) + shared_size - 4;
	if (total > INT32_MAX)
		return -EMSGSIZE;
	/* Of an image that is history by now, nobody else wants it. */
	if (request->shares && request->image == request->home->image) {
		struct shared_answer_key key = request_share_key(request);
		ensure(output.gap_count == 0);
		shared_answer_keep(&request->home->shared_answers, &key,
			(struct bytes){.data = output.data + body_at,
				.size = (int32_t)(output.size - body_at)});
	}
	store_be32(output.data, (uint32_t)total);
	request->response_size = total + 4;

	struct piece *pieces =
		request_alloc(request, sizeof(*pieces) * (size_t)(2 * output.gap_count + 2));
	if (!pieces)
		return -ENOMEM;
	uint32_t count = 0;
	size_t at = 0;
	for (int32_t i = 0; i < output.gap_count; i++) {
		const struct output_gap *gap = &output.gaps[i];
		if (gap->offset > at)
			pieces[count++] =
				(struct piece){.data = output.data + at, .size = gap->offset - at};
		pieces[count] = *(struct piece *)gap->external;
		pieces[count++].size = (size_t)gap->size;
		at = gap->offset;
	}
	if (output.size > at)
		pieces[count++] =
			(struct piece){.data = output.data + at, .size = output.size - at};
	if (request->shared)
		pieces[count++] = (struct piece){.data = request->shared->body, .size = shared_size};
	request->pieces = pieces;
	request->piece_count = count;
	return 0;
}

static void request_finish(struct request *request)
{
	if (!request->without_response && !request->abandoned && request_encode(request) < 0) {
		request->without_response = true;
		request->close_connection = true;
	}
	connection_request_done(request->connection, request);
}

void request_complete(struct request *request)
{
	ensure(request->state == REQUEST_RUNNING);
	request_park(request, NULL);
	if (request->shard == request->home && request->arena.used_bytes <= REQUEST_STEP_BYTES)
		request_finish(request);
	else
		request_move(request, request->home->index, request_finish);
}

void request_disconnect(struct request *request, const char *reason)
{
	log_event(&request->shard->logger, LOG_REQUEST_FAILED, log_text("api", request->api->name),
		log_int("version", request->version), log_str("client_id", request->client_id),
		log_text("reason", reason));
	request->without_response = true;
	request->close_connection = true;
	request_complete(request);
}

void request_out_of_memory(struct request *request)
{
	request_disconnect(request, "the answer needs more memory than a request may use");
}
