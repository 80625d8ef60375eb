#include "broker/group/coordinator_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/group/java_hash.h"
#include "protocol/batch_builder.h"
#include "runtime/fiber.h"

#define OFFSETS_TOPIC STR("__consumer_offsets")

enum {
	RELOAD_AFTER_MS = 1000,
	/* Groups may keep this share of the memory limit, all shards together. */
	STATE_SHARE = 4,
};

/* ---- which partition ---- */

int32_t group_partition_of(struct str group, int32_t partition_count)
{
	int32_t number = (int32_t)java_hash(group);

	/* Kafka's Utils.abs: the one number without a positive twin is 0. */
	number = number == INT32_MIN ? 0 : number < 0 ? -number : number;
	return number % partition_count;
}

int16_t group_id_check(struct str group_id)
{
	return group_id.size <= 0 ? KAFKA_INVALID_GROUP_ID : 0;
}

/* ---- answers ---- */

static void call_answered_back(struct shard *shard, struct task *task)
{
	struct group_call *call = container_of(task, struct group_call, task);

	call->answered(call);
}

/* The response may leave. */
static void call_release(struct broker_shard *here, struct group_call *call)
{
	if (!call->travels) {
		call->answered(call);
		return;
	}
	call->task.run = call_answered_back;
	shard_send(here->shard, call->request->shard->index, &call->task);
}

static void call_refuse(struct broker_shard *here, struct group_call *call, int16_t error)
{
	group_ask_fail(&call->ask, error);
	call_release(here, call);
}

/* Everything on the list; ERROR 0: as it was answered. */
static void answers_release(struct broker_shard *here, struct list *answers, int16_t error)
{
	struct list_node *node;

	while ((node = list_pop_front(answers))) {
		struct group_ask *ask = container_of(node, struct group_ask, node);
		if (error)
			group_ask_fail(ask, error);
		call_release(here, container_of(ask, struct group_call, ask));
	}
}

/* What a client is told of a failed append, as Kafka says it. */
static int16_t append_error_told(int16_t error)
{
	switch (error) {
	case KAFKA_UNKNOWN_TOPIC_OR_PARTITION:
	case KAFKA_NOT_ENOUGH_REPLICAS:
	case KAFKA_REQUEST_TIMED_OUT:
		return KAFKA_COORDINATOR_NOT_AVAILABLE;
	case KAFKA_NOT_LEADER_OR_FOLLOWER:
	case KAFKA_KAFKA_STORAGE_ERROR:
		return KAFKA_NOT_COORDINATOR;
	case KAFKA_MESSAGE_TOO_LARGE:
	case KAFKA_RECORD_LIST_TOO_LARGE:
	case KAFKA_INVALID_FETCH_SIZE:
		return KAFKA_UNKNOWN_SERVER_ERROR;
	default:
		return error;
	}
}

/* ---- steps ---- */

struct group_now group_partition_now(const struct group_partition *place)
{
	const struct shard *shard = place->shard->shard;

	return (struct group_now){
		.ms = (int64_t)(shard_now_ns(shard) / NS_PER_MS), .wall_ms = shard_wall_ms(shard)};
}

static void group_partition_timer_arm(struct group_partition *place)
{
	int64_t next_ms = group_machine_next_deadline_ms(place->machine);

	if (next_ms == INT64_MAX)
		timer_stop(place->shard->shard, &place->timer);
	else
		timer_set(place->shard->shard, &place->timer,
			(uint64_t)max_of(next_ms, (int64_t)0) * NS_PER_MS);
}

/* The state is ahead of a log that will not follow: it is thrown away, and read again in a while.
 */
static void group_partition_fail(struct group_partition *place, int16_t error)
{
	struct group_step step;

	if (place->state != GROUP_PARTITION_ACTIVE)
		return;
	place->state = GROUP_PARTITION_FAILED;
	group_step_begin(&step, group_partition_now(place), 0);
	group_machine_unload(place->machine, &step, KAFKA_NOT_COORDINATOR);
	answers_release(place->shard, &step.answers, 0);
	group_step_end(&step);
	place->failed = place->machine;
	place->machine = NULL;
	log_event(&place->shard->logger, LOG_GROUPS_FAILED, log_int("partition", place->key.index),
		log_text("error", kafka_error_name(error)));
	timer_set(place->shard->shard, &place->timer,
		shard_now_ns(place->shard->shard) + RELOAD_AFTER_MS * NS_PER_MS);
}

static void group_append_free(struct group_append *append)
{
	log_append_done(&append->op);
	group_budget_sub(&append->place->shard->broker->group_budget, append->counted);
	record_buffer_done(&append->bytes);
	compress_context_free(append->context);
	free(append);
}

static void group_appended(struct log_append *op)
{
	struct group_append *append = container_of(op, struct group_append, op);
	struct group_partition *place = append->place;
	struct partition *partition = append->partition;
	int16_t error = op->error_code;

	list_remove(&append->node);
	if (!error)
		partition_advanced(partition);
	answers_release(place->shard, &append->answers, error ? append_error_told(error) : 0);
	group_append_free(append);
	if (error)
		group_partition_fail(place, error);
	partition_unuse(partition);
	if (!place->wanted)
		group_partition_free_when_idle(place);
}

/* The step's records as one batch, which is what an append takes. */
static int step_records_build(const struct group_partition *place, const struct group_step *step,
	struct group_append *append)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct batch_builder builder;
	int64_t offset = 0;
	int error;

	options.compression = (enum compression)config_int(
		place->shard->config, SETTING_OFFSETS_TOPIC_COMPRESSION_CODEC);
	if (options.compression != COMPRESSION_NONE && !(append->context = compress_context_new()))
		return -ENOMEM;
	if (options.compression != COMPRESSION_NONE)
		options.level = compression_levels(options.compression).standard;
	/* Compression may make little of it more. */
	record_buffer_init(&append->bytes, 2 * step->record_bytes + 65536);
	error = batch_builder_begin(&builder, &options, append->context, &append->bytes);
	for (const struct group_record *record = step->first; record && error == 0;
		record = record->next)
		error = batch_builder_append(
			&builder, offset++, step->now.wall_ms, record->key, record->value, NULL, 0);
	return error ? error : batch_builder_end(&builder);
}

static void step_append(struct group_partition *place, struct group_step *step)
{
	struct partition *partition = place->partition;
	struct group_append *append = calloc(1, sizeof(*append));
	int error = append ? step_records_build(place, step, append) : -ENOMEM;

	if (error < 0) {
		/* The state has changed already. */
		if (append) {
			record_buffer_done(&append->bytes);
			compress_context_free(append->context);
		}
		free(append);
		answers_release(place->shard, &step->answers, KAFKA_COORDINATOR_NOT_AVAILABLE);
		group_partition_fail(place, KAFKA_UNKNOWN_SERVER_ERROR);
		return;
	}
	append->place = place;
	append->partition = partition;
	append->counted = append->bytes.size;
	group_budget_add(&place->shard->broker->group_budget, append->counted);
	list_init(&append->answers);
	list_append_all(&append->answers, &step->answers);
	append->op = (struct log_append){
		.records = append->bytes.data,
		.size = (uint32_t)append->bytes.size,
		.origin = APPEND_COORDINATOR,
		.leader_epoch = partition->leader_epoch,
		.produce_version = -1,
		.done = group_appended,
	};
	list_push_back(&place->appends, &append->node);
	partition_use(partition);
	log_append(partition->log, &append->op);
}

void group_step_start(struct group_partition *place, struct group_step *step)
{
	group_step_begin(step, group_partition_now(place), log_end(place->partition->log));
}

/* What the operator must know of it. */
static void step_log(struct group_partition *place, const struct group_step *step)
{
	const struct broker *broker = place->shard->broker;
	int64_t memory = config_long(place->shard->config, SETTING_BARNABAS_MEMORY_LIMIT_BYTES);

	if (step->refused)
		log_event(&place->shard->logger, LOG_GROUPS_FULL,
			log_int("memory_limit_bytes", memory),
			log_int("groups_bytes", (int64_t)group_budget_bytes(&broker->group_budget)),
			log_int("allowed_bytes", memory / STATE_SHARE),
			log_str("group", step->refused_group));
	if (step->forgotten > 0)
		log_event(&place->shard->logger, LOG_GROUP_MEMBERS_FORGOTTEN,
			log_int("partition", place->key.index),
			log_int("members", step->forgotten));
}

void group_step_finish(struct group_partition *place, struct group_step *step)
{
	struct list_node *last = list_last(&place->appends);

	step_log(place, step);

	if (step->record_count > 0)
		step_append(place, step);
	else if (last)
		/* What is told rests on records that are still on their way. */
		list_append_all(
			&container_of(last, struct group_append, node)->answers, &step->answers);
	else
		answers_release(place->shard, &step->answers, 0);
	group_step_end(step);
	if (place->state == GROUP_PARTITION_ACTIVE)
		group_partition_timer_arm(place);
}

static void group_partition_timer_fired(struct shard *shard, struct timer *timer)
{
	struct group_partition *place = container_of(timer, struct group_partition, timer);
	struct group_step step;

	if (place->state == GROUP_PARTITION_FAILED) {
		/* Appends that are still out decide what there is to read. */
		if (!list_is_empty(&place->appends))
			timer_set(shard, timer, shard_now_ns(shard) + RELOAD_AFTER_MS * NS_PER_MS);
		else
			group_partition_open(place);
		return;
	}
	if (place->state != GROUP_PARTITION_ACTIVE)
		return;
	group_step_start(place, &step);
	group_machine_expire(place->machine, &step);
	group_step_finish(place, &step);
}

/* ---- calls ---- */

void group_call_init(struct group_call *call, struct request *request, enum group_ask_kind kind,
	struct str group_id, const void *message, const struct schema_struct *schema,
	void *response)
{
	*call = (struct group_call){
		.request = request,
		.image_offset = image_position(request->image).offset,
		.ask =
			{
				.kind = kind,
				.version = request->version,
				.group_id = group_id,
				.client_id = str_is_null(request->client_id) ? STR("")
									     : request->client_id,
				.client_host = request->host,
				.message = message,
				.schema = schema,
				.response = response,
				.arena = &request->arena,
			},
	};
}

void group_call_route_to(struct group_call *call, const struct image_topic *topic, int32_t index)
{
	call->topic_id = topic->id;
	call->index = index;
	call->home = partition_home(call->request->home->broker->shard_count, topic->name, index);
	call->routed = true;
}

bool group_call_route(struct group_call *call)
{
	const struct image_topic *topic = image_topic_by_name(call->request->image, OFFSETS_TOPIC);

	if (!topic)
		return false;
	group_call_route_to(call, topic,
		group_partition_of(call->ask.group_id, (int32_t)image_partition_count(topic)));
	return true;
}

static void call_arrived(struct broker_shard *here, struct group_call *call)
{
	struct group_coordinator *coordinator = here->groups;
	struct partition_key key = partition_key(&call->topic_id, call->index);
	struct group_partition *place = map_find_entry(
		&coordinator->places, &key, sizeof(key), struct group_partition, node);
	bool writes = call->ask.kind == GROUP_ASK_JOIN || call->ask.kind == GROUP_ASK_SYNC ||
		      call->ask.kind == GROUP_ASK_OFFSET_COMMIT ||
		      call->ask.kind == GROUP_ASK_OFFSET_DELETE ||
		      call->ask.kind == GROUP_ASK_DELETE;
	struct group_step step;

	if (coordinator->stopping) {
		call_refuse(here, call, KAFKA_COORDINATOR_NOT_AVAILABLE);
		return;
	}
	if (!place || place->state == GROUP_PARTITION_FAILED) {
		bool behind = !place && image_position(here->image).offset < call->image_offset;
		call_refuse(here, call,
			behind ? KAFKA_COORDINATOR_LOAD_IN_PROGRESS : KAFKA_NOT_COORDINATOR);
		return;
	}
	if (place->state != GROUP_PARTITION_ACTIVE) {
		call_refuse(here, call, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
		return;
	}
	if (writes && place->partition->isr_count < place->partition->min_isr) {
		call_refuse(here, call, KAFKA_COORDINATOR_NOT_AVAILABLE);
		return;
	}
	if (call->ask.kind == GROUP_ASK_JOIN)
		shard_entropy(here->shard, &call->ask.entropy, sizeof(call->ask.entropy));
	group_step_start(place, &step);
	group_machine_ask(place->machine, &step, &call->ask);
	group_step_finish(place, &step);
}

/* ---- one group a request ---- */

static struct group_call *call_of(struct request *request)
{
	return request->context;
}

void group_call_complete(struct group_call *call)
{
	struct request *request = call->request;

	request_park(request, NULL);
	if (call->finish && !call->ask.out_of_memory)
		call->finish(call);
	if (call->ask.out_of_memory)
		request_out_of_memory(request);
	else
		request_complete(request);
}

static void call_one_abandoned(struct request *request)
{
	struct group_call *call = call_of(request);

	/* The member stays: a client that lost its connection comes back within its session. */
	if (group_ask_abandon(&call->ask))
		request_complete(request);
}

static void call_one_moved(struct request *request)
{
	struct group_call *call = call_of(request);

	request_park(request, call_one_abandoned);
	call_arrived(request->shard, call);
}

void group_call_one(struct group_call *call)
{
	struct request *request = call->request;

	request->context = call;
	call->answered = group_call_complete;
	if (!group_call_route(call))
		group_call_refuse(call, KAFKA_NOT_COORDINATOR);
	else
		request_move(request, call->home, call_one_moved);
}

void group_call_refuse(struct group_call *call, int16_t error)
{
	group_ask_fail(&call->ask, error);
	group_call_complete(call);
}

/* ---- several groups a request ---- */

static void call_travelled(struct shard *shard, struct task *task)
{
	call_arrived(broker_shard_of(shard), container_of(task, struct group_call, task));
}

void group_call_send(struct group_call *call)
{
	struct broker_shard *here = call->request->shard;

	call->travels = true;
	arena_init_small(&call->arena, here->response_arena_bytes);
	arena_charge_to(&call->arena, here->broker->budget, 0);
	call->ask.arena = &call->arena;
	call->task.run = call_travelled;
	shard_send(here->shard, call->home, &call->task);
}

void group_call_done(struct group_call *call)
{
	if (!call->travels)
		return;
	arena_discharge(&call->arena, call->request->home->shard);
	arena_done(&call->arena);
}

/* ---- coordinators come and go ---- */

struct group_coordinator *group_coordinator_new(struct broker_shard *shard)
{
	struct group_coordinator *coordinator = calloc(1, sizeof(*coordinator));

	if (!coordinator)
		return NULL;
	coordinator->shard = shard;
	map_init(&coordinator->places, shard->seed);
	list_init(&coordinator->leaving);
	list_init(&coordinator->loads_wanted);
	return coordinator;
}

void group_limits_read(
	const struct broker_shard *shard, const struct log *log, struct group_limits *ret)
{
	const struct config *config = shard->config;
	size_t memory = (size_t)config_long(config, SETTING_BARNABAS_MEMORY_LIMIT_BYTES);

	*ret = (struct group_limits){
		.group_size_max = config_int(config, SETTING_GROUP_MAX_SIZE),
		.session_timeout_min_ms = config_int(config, SETTING_GROUP_MIN_SESSION_TIMEOUT_MS),
		.session_timeout_max_ms = config_int(config, SETTING_GROUP_MAX_SESSION_TIMEOUT_MS),
		.initial_rebalance_delay_ms =
			config_int(config, SETTING_GROUP_INITIAL_REBALANCE_DELAY_MS),
		.metadata_size_max = config_int(config, SETTING_OFFSET_METADATA_MAX_BYTES),
		.retention_ms =
			(int64_t)config_int(config, SETTING_OFFSETS_RETENTION_MINUTES) * 60 * 1000,
		.check_interval_ms =
			config_long(config, SETTING_OFFSETS_RETENTION_CHECK_INTERVAL_MS),
		.record_size_max = (uint32_t)log_config(log)->max_message_bytes,
		.state_bytes_max = memory / STATE_SHARE,
	};
}

/* Its partition is open, or never will be. */
static void group_partition_part_back(struct part *part)
{
	struct group_partition *place = container_of(part, struct group_partition, part);

	place->part_out = false;
	if (!place->wanted) {
		group_partition_free_when_idle(place);
		return;
	}
	if (place->partition_open) {
		group_partition_load(place);
		return;
	}
	place->state = GROUP_PARTITION_FAILED;
	timer_set(place->shard->shard, &place->timer,
		shard_now_ns(place->shard->shard) + RELOAD_AFTER_MS * NS_PER_MS);
}

static void group_partition_at_home(struct part *part, struct partition *partition)
{
	struct group_partition *place = container_of(part, struct group_partition, part);

	place->partition_open = true;
	place->partition = partition;
	part_return(part);
}

void group_partition_open(struct group_partition *place)
{
	place->state = GROUP_PARTITION_WAITING;
	place->partition = NULL;
	place->partition_open = false;
	place->part_out = true;
	place->part = (struct part){
		.asker = place->shard,
		.home = place->shard,
		.topic_id = place->key.topic_id,
		.index = place->key.index,
		.image_offset = image_position(place->shard->image).offset,
		.at_home = group_partition_at_home,
		.back = group_partition_part_back,
	};
	part_send(&place->part);
}

static void group_partition_new(
	struct group_coordinator *coordinator, const struct partition_key *key)
{
	struct group_partition *place = calloc(1, sizeof(*place));

	ensure(place); /* without it the groups of the partition would be lost to their clients */
	place->coordinator = coordinator;
	place->shard = coordinator->shard;
	place->key = *key;
	place->wanted = true;
	place->timer.fire = group_partition_timer_fired;
	list_init(&place->appends);
	map_insert(&coordinator->places, &place->node, &place->key, sizeof(place->key));
	group_partition_open(place);
}

void group_partition_free_when_idle(struct group_partition *place)
{
	ensure(!place->wanted);
	if (place->part_out || place->loading || !list_is_empty(&place->appends))
		return;
	list_remove(&place->leaving);
	group_machine_free(place->failed);
	free(place);
}

/* Not a coordinator any more: the partition is gone, led by another, or the broker stops. */
static void group_partition_drop(struct group_partition *place, int16_t error)
{
	struct group_step step;

	place->wanted = false;
	timer_stop(place->shard->shard, &place->timer);
	group_partition_load_cancel(place);
	map_remove(&place->coordinator->places, &place->node);
	list_push_back(&place->coordinator->leaving, &place->leaving);
	if (place->machine && !place->loading) {
		group_step_begin(&step, group_partition_now(place), 0);
		group_machine_unload(place->machine, &step, error);
		answers_release(place->shard, &step.answers, 0);
		group_step_end(&step);
		group_machine_free(place->machine);
		place->machine = NULL;
	}
	place->state = GROUP_PARTITION_FAILED;
	group_partition_free_when_idle(place);
}

static void group_coordinator_topic_changed(
	void *argument, const struct image_topic *before, const struct image_topic *after)
{
	struct group_coordinator *coordinator = argument;

	if (!before || (after && uuid_equal(&before->id, &after->id)))
		return;
	map_for_each(node, &coordinator->places)
	{
		struct group_partition *place = map_entry(node, struct group_partition, node);
		bool all = false;
		while (!all && place->state == GROUP_PARTITION_ACTIVE) {
			struct group_step step;
			group_step_start(place, &step);
			all = group_machine_topic_deleted(
				place->machine, &step, before->name, &before->id);
			group_step_finish(place, &step);
		}
	}
}

static bool leads(
	const struct group_coordinator *coordinator, const struct image_topic *topic, int32_t index)
{
	const struct broker *broker = coordinator->shard->broker;
	const struct partition_record *record = topic ? image_partition(topic, index) : NULL;

	/* A leader that has not been elected yet (the broker is still fenced) will be this one, if
	 * it is the last that is known. */
	return record && partition_has_replica(record, broker->node_id) &&
	       partition_home(broker->shard_count, topic->name, index) ==
		       coordinator->shard->index &&
	       (record->leader == broker->node_id || record->leader == -1);
}

void group_coordinator_update(
	struct broker_shard *shard, const struct image *old, const struct image *image)
{
	struct group_coordinator *coordinator = shard->groups;
	const struct image_topic *topic = image_topic_by_name(image, OFFSETS_TOPIC);
	const struct image_topic *before = old ? image_topic_by_name(old, OFFSETS_TOPIC) : NULL;

	if (coordinator->stopping)
		return;
	if (topic != before) {
		map_for_each_safe(node, &coordinator->places)
		{
			struct group_partition *place =
				map_entry(node, struct group_partition, node);
			if (!topic || !uuid_equal(&place->key.topic_id, &topic->id) ||
				!leads(coordinator, topic, place->key.index))
				group_partition_drop(place, KAFKA_NOT_COORDINATOR);
		}
		for (uint32_t i = 0; topic && i < image_partition_count(topic); i++) {
			int32_t index = image_partition_at(topic, i)->partition_id;
			struct partition_key key = partition_key(&topic->id, index);
			if (leads(coordinator, topic, index) &&
				!map_find(&coordinator->places, &key, sizeof(key)))
				group_partition_new(coordinator, &key);
		}
	}
	if (old)
		image_topics_diff(old, image, group_coordinator_topic_changed, coordinator);
}

void group_coordinator_stop(struct broker_shard *shard)
{
	struct group_coordinator *coordinator = shard->groups;

	coordinator->stopping = true;
	map_for_each_safe(node, &coordinator->places) group_partition_drop(
		map_entry(node, struct group_partition, node), KAFKA_NOT_COORDINATOR);
}

void group_coordinator_free(struct group_coordinator *coordinator)
{
	if (!coordinator)
		return;
	ensure(coordinator->places.count == 0);
	while (!list_is_empty(&coordinator->leaving))
		fiber_yield(coordinator->shard->shard);
	map_done(&coordinator->places);
	free(coordinator);
}
