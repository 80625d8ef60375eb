/*
 * One fiber decides and writes. It takes all operations that wait, decides them one after another
 * on the working image, appends their batches together, and only when those are synced publishes
 * the image and answers. While it waits for the disk more operations gather: they share the next
 * sync.
 *
 * The node's own decisions (registration, fencing, NoOp, elections by the clock) are operations
 * like any other, with a function in place of a request.
 */
#include "broker/controller/controller.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/controller/decision.h"
#include "broker/controller/quorum.h"
#include "broker/observe/log.h"
#include "runtime/fiber.h"
#include "runtime/memory.h"
#include "runtime/uuid.h"
#include "storage/disk_reserve.h"

enum {
	BATCH_BUFFER_SIZE_MAX = 256 << 20,
	ARENA_SIZE_MAX = 256 << 20, /* of the node's own decisions: one may touch every partition */
	OPERATIONS_PER_ROUND_MAX = 256,
};

enum controller_phase {
	CONTROLLER_RUNNING,
	CONTROLLER_STOPPING, /* no new operations; those that wait are refused */
	CONTROLLER_FAILED,   /* the log can't be written */
};

/* What a formatted directory begins with. */
struct bootstrap {
	struct metadata_records records;
	int16_t level;
};

struct controller {
	struct shard *shard;
	struct controller_open ask;
	struct config *config; /* effective: static, and what the image says of brokers */
	struct quorum *quorum;
	struct image_loader loader; /* what is decided */
	struct image *published;    /* what is committed */
	enum controller_phase phase;
	int64_t broker_epoch;
	struct uuid controller_incarnation_id; /* as Kafka: another than the broker's */

	bool ending;	     /* the fiber ends when nothing waits */
	struct list waiting; /* controller_op */
	struct fiber *fiber; /* decides and writes; NULL before it began and after its end */
	bool fiber_is_idle;
	struct fiber *closer; /* waits for the fiber's end */

	struct record_buffer buffer; /* batches of this round; before the first, of the new epoch */
	int64_t next_offset;	     /* behind them */
	struct arena scratch;	     /* of this round's encoding */
	bool broker_configs_changed;
	struct controller_directory *directories; /* of the node, as it last told */
	int32_t directory_count;
	bool snapshotting;

	struct arena decision_arena; /* records of the operation that is decided */
	struct arena bootstrap_arena; /* with its records; until the registration */
	struct bootstrap bootstrap;
	struct node_clock {
		struct timer timer;
		struct node_op *node_op;
		int64_t period_ms;
		bool is_out; /* its operation waits, or is decided */
	} no_op, elections;
};

/* An operation of the node's own. */
struct node_op {
	struct controller_op op;
	struct controller *controller;
	int (*decide)(
		struct controller *controller, const struct decision *decision, void *argument);
	void *argument;
	struct arena arena;
	struct fiber *waiter; /* NULL: nobody waits, and the op is for reuse or free */
	bool is_done;
};

/* ---- deciding ---- */

static void decision_entropy(void *context, void *buffer, size_t size)
{
	struct controller *controller = context;

	shard_entropy(controller->shard, buffer, size);
}

static int decide(
	struct controller *controller, struct controller_op *op, const struct decision *decision)
{
	switch (op->kind) {
	case CONTROLLER_CREATE_TOPICS:
		return decide_create_topics(decision, op->request, op->response);
	case CONTROLLER_DELETE_TOPICS:
		return decide_delete_topics(decision, op->version, op->request, op->response);
	case CONTROLLER_CREATE_PARTITIONS:
		return decide_create_partitions(decision, op->request, op->response);
	case CONTROLLER_INCREMENTAL_ALTER_CONFIGS:
		return decide_incremental_alter_configs(decision, op->request, op->response);
	case CONTROLLER_ALTER_CONFIGS:
		return decide_alter_configs(decision, op->request, op->response);
	case CONTROLLER_ALLOCATE_PRODUCER_IDS:
		return decide_allocate_producer_ids(decision, op->request, op->response);
	case CONTROLLER_UPDATE_FEATURES:
		return decide_update_features(decision, op->version, op->request, op->response);
	case CONTROLLER_ASSIGN_REPLICAS_TO_DIRS:
		return decide_assign_replicas_to_dirs(decision, op->request, op->response);
	case CONTROLLER_ELECT_LEADERS:
		return decide_elect_leaders(decision, op->version, op->request, op->response);
	case CONTROLLER_UNREGISTER_BROKER:
		return decide_unregister_broker(decision, op->request, op->response);
	case CONTROLLER_KIND_COUNT: {
		struct node_op *node_op = container_of(op, struct node_op, op);

		return node_op->decide(controller, decision, node_op->argument);
	}
	}
	ensure(!"an operation of no known kind");
	return -EINVAL;
}

/* Where the next record goes: behind the log, and behind what this round holds already. */
struct round {
	int64_t next_offset;
	int64_t now_ms;
	struct list ops; /* decided, to be answered */
	bool failed;
};

enum { RECORDS_PER_TURN = 256 };

/* Between two records of many: others get their turn. Nobody else works on what the controller's fiber works on. */
static void records_yield(struct controller *controller, int32_t done)
{
	if (done % RECORDS_PER_TURN == RECORDS_PER_TURN - 1)
		fiber_yield(controller->shard);
}

/* RECORDS as batches of at most so many; none for an empty list. */
static int encode(
	struct controller *controller, struct round *round, const struct metadata_records *records)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct batch_builder batch;
	int64_t offset = round->next_offset;
	int error = 0;

	options.partition_leader_epoch = quorum_epoch(controller->quorum);
	for (int32_t i = 0; i < records->count && error == 0; i++) {
		struct output output;

		if (i % RECORDS_PER_OPERATION_MAX == 0) {
			options.base_offset = offset;
			error = batch_builder_begin(&batch, &options, NULL, &controller->buffer);
		}
		output_init(&output, &controller->scratch, 0);
		if (error == 0)
			error = metadata_record_encode(&records->items[i], &output);
		ensure(error != -EINVAL); /* a decision that no version of the record can say */
		if (error == 0)
			error = batch_builder_append(&batch, offset++, round->now_ms, BYTES_NULL,
				output_bytes(&output), NULL, 0);
		if (error == 0 &&
			(i + 1 == records->count || (i + 1) % RECORDS_PER_OPERATION_MAX == 0))
			error = batch_builder_end(&batch);
		records_yield(controller, i);
	}
	return error;
}

static void apply(
	struct controller *controller, struct round *round, const struct metadata_records *records)
{
	for (int32_t i = 0; i < records->count; i++) {
		const struct metadata_record *record = &records->items[i];
		const struct config_record *config = record->message;
		const char *why = NULL;
		int error =
			image_loader_apply(&controller->loader, record, round->next_offset++, &why);

		/* A decision must fit the image that it was made on. */
		ensure(error == 0);
		if (record->type == CLUSTER_METADATA_CONFIG &&
			config->resource_type == IMAGE_CONFIG_BROKER)
			controller->broker_configs_changed = true;
		records_yield(controller, i);
	}
	if (records->count > 0)
		image_loader_position_set(&controller->loader,
			(struct image_position){.offset = round->next_offset - 1,
				.epoch = quorum_epoch(controller->quorum),
				.timestamp_ms = round->now_ms});
}

static int entries_of(struct controller *controller, struct str resource, struct arena *arena,
	struct config_entries *ret)
{
	const struct config_record *record = NULL;
	int32_t count = 0;

	while ((record = image_config_next(
			controller->loader.image, IMAGE_CONFIG_BROKER, resource, record)) != NULL)
		count++;
	*ret = (struct config_entries){
		.items = arena_new_array(arena, struct config_entry, (size_t)max_of(count, 1))};
	if (!ret->items)
		return -ENOMEM;
	while ((record = image_config_next(
			controller->loader.image, IMAGE_CONFIG_BROKER, resource, record)) != NULL)
		ret->items[ret->count++] =
			(struct config_entry){.name = record->name, .value = record->value};
	return 0;
}

/* The settings of brokers have changed: decisions see what they come to. */
static void update_config(struct controller *controller)
{
	struct config_entries cluster, broker;
	struct config_report report;
	struct config *config;
	struct arena arena;
	char *node;

	controller->broker_configs_changed = false;
	arena_init(&arena, 16 << 20);
	config_report_init(&report);
	node = arena_printf(&arena, "%d", controller->ask.node_id);
	if (node && entries_of(controller, STR(""), &arena, &cluster) == 0 &&
		entries_of(controller, str_from(node), &arena, &broker) == 0 &&
		config_update(controller->ask.config, &cluster, &broker, &report, &config) == 0) {
		config_unref(controller->config);
		controller->config = config;
	}
	config_report_done(&report);
	arena_done(&arena);
}

static void decide_op(struct controller *controller, struct round *round, struct controller_op *op)
{
	size_t buffer_size = controller->buffer.size;
	struct metadata_records records;
	struct decision decision = {
		.image = controller->loader.image,
		.config = controller->config,
		.node_id = controller->ask.node_id,
		.next_offset = round->next_offset,
		.op = op->kind == CONTROLLER_KIND_COUNT ? NULL : op,
		.arena = op->arena,
		.records = &records,
		.entropy = decision_entropy,
		.entropy_context = controller,
	};

	metadata_records_init(&records, &controller->decision_arena);
	op->result = decide(controller, op, &decision);
	if (op->result == 0)
		op->result = records.failure;
	if (op->result == 0)
		op->result = encode(controller, round, &records);
	if (op->result == 0) {
		apply(controller, round, &records);
	} else {
		/* What was encoded of it is taken back: nothing of the operation happened. */
		controller->buffer.size = buffer_size;
		op->result = op->result == -ENOBUFS ? -ENOMEM : op->result;
	}

	arena_reset(&controller->decision_arena);
	if (controller->broker_configs_changed)
		update_config(controller);
}

/* ---- publishing ---- */

static void op_done_step(struct shard *shard, struct task *task)
{
	struct controller_op *op = container_of(task, struct controller_op, task);

	op->done(shard, op);
}

static void op_finish(struct controller *controller, struct controller_op *op)
{
	op->task.run = op_done_step;
	shard_post(controller->shard, &op->task);
}

static void publish(struct controller *controller)
{
	struct image *before = controller->published;

	controller->published = image_loader_visible(&controller->loader);
	if (controller->published != before)
		controller->ask.published(controller->ask.argument, controller->published);
	image_unref(before);
}

static void refuse_waiting(struct controller *controller)
{
	struct list_node *node;

	while ((node = list_pop_front(&controller->waiting)) != NULL) {
		struct controller_op *op = container_of(node, struct controller_op, node);

		op->result = -ESHUTDOWN;
		op_finish(controller, op);
	}
}

static void fail(struct controller *controller, int error)
{
	controller->phase = CONTROLLER_FAILED;
	refuse_waiting(controller);
	controller->ask.failed(controller->ask.argument, error);
}

/* ---- snapshots ---- */

static void snapshot_fiber(struct shard *shard, void *argument)
{
	struct controller *controller = argument;
	struct image *image = image_ref(controller->published);
	int error = quorum_snapshot(controller->quorum, image);

	image_unref(image);
	controller->snapshotting = false;
	if (error < 0 && controller->phase != CONTROLLER_FAILED) {
		log_event(controller->ask.logger, LOG_METADATA_FAILED,
			log_text("doing", "writing a snapshot"), log_errno("error", error));
		fail(controller, error);
	}
	if (controller->fiber && controller->fiber_is_idle)
		fiber_wake(shard, controller->fiber);
}

static void maybe_snapshot(struct controller *controller)
{
	/* Not inside a transaction, as the records before its end would be missing behind the
	 * snapshot. */
	if (controller->snapshotting || controller->loader.before ||
		!quorum_snapshot_is_due(controller->quorum) ||
		controller->phase != CONTROLLER_RUNNING)
		return;
	controller->snapshotting = fiber_start(controller->shard, snapshot_fiber, controller) == 0;
}

/* ---- the round ---- */

static void run_round(struct controller *controller)
{
	struct round round = {
		.next_offset = controller->next_offset, .now_ms = shard_wall_ms(controller->shard)};
	struct list_node *node;
	int error = 0, count = 0;

	list_init(&round.ops);
	while (count++ < OPERATIONS_PER_ROUND_MAX &&
		(node = list_pop_front(&controller->waiting)) != NULL) {
		decide_op(controller, &round, container_of(node, struct controller_op, node));
		list_push_back(&round.ops, node);
	}
	arena_reset(&controller->scratch);
	if (controller->buffer.size > 0)
		error = quorum_append(controller->quorum, controller->buffer.data,
			(uint32_t)controller->buffer.size);
	controller->buffer.size = 0;
	controller->next_offset = quorum_next_offset(controller->quorum);
	if (error == 0)
		publish(controller);
	while ((node = list_pop_front(&round.ops)) != NULL) {
		struct controller_op *op = container_of(node, struct controller_op, node);

		if (error < 0)
			op->result = -ESHUTDOWN;
		op_finish(controller, op);
	}
	if (error < 0)
		fail(controller, error);
	else
		maybe_snapshot(controller);
}

static void controller_fiber(struct shard *shard, void *argument)
{
	struct controller *controller = argument;

	controller->fiber = fiber_current(shard);
	while (!controller->ending || !list_is_empty(&controller->waiting) ||
		controller->snapshotting) {
		if (!list_is_empty(&controller->waiting)) {
			if (controller->phase == CONTROLLER_FAILED)
				refuse_waiting(controller);
			else
				run_round(controller);
			continue;
		}
		controller->fiber_is_idle = true;
		fiber_wait(shard);
		controller->fiber_is_idle = false;
	}
	controller->fiber = NULL;
	if (controller->closer)
		fiber_wake(shard, controller->closer);
}

static void enqueue(struct controller *controller, struct controller_op *op)
{
	list_push_back(&controller->waiting, &op->node);
	if (controller->fiber && controller->fiber_is_idle)
		fiber_wake(controller->shard, controller->fiber);
}

void controller_submit(struct controller *controller, struct controller_op *op)
{
	op->node = (struct list_node){0};
	if (controller->phase != CONTROLLER_RUNNING) {
		op->result = -ESHUTDOWN;
		op_finish(controller, op);
		return;
	}
	enqueue(controller, op);
}

/* ---- the node's own operations ---- */

static void node_op_done(struct shard *shard, struct controller_op *op)
{
	struct node_op *node_op = container_of(op, struct node_op, op);

	node_op->is_done = true;
	if (node_op->waiter)
		fiber_wake(shard, node_op->waiter);
}

static void node_op_init(struct node_op *node_op, struct controller *controller,
	int (*decide_node)(
		struct controller *controller, const struct decision *decision, void *argument),
	void *argument)
{
	*node_op = (struct node_op){
		.controller = controller, .decide = decide_node, .argument = argument};
	arena_init(&node_op->arena, ARENA_SIZE_MAX);
	node_op->op.kind = CONTROLLER_KIND_COUNT;
	node_op->op.arena = &node_op->arena;
	node_op->op.done = node_op_done;
}

struct node_decision {
	int (*decide)(
		struct controller *controller, const struct decision *decision, void *argument);
	void *argument;
};

enum { NODE_DECISIONS_MAX = 6 };

/* (fiber) Decides one after the other, writes all at once, and waits. The first error: what the others
 * decided is written nevertheless. */
static int run_node_ops(
	struct controller *controller, const struct node_decision *decisions, size_t count)
{
	struct node_op ops[NODE_DECISIONS_MAX];
	int error = 0;

	ensure(count <= NODE_DECISIONS_MAX);
	if (controller->phase == CONTROLLER_FAILED)
		return -ESHUTDOWN;
	for (size_t i = 0; i < count; i++) {
		node_op_init(&ops[i], controller, decisions[i].decide, decisions[i].argument);
		ops[i].waiter = fiber_current(controller->shard);
		enqueue(controller, &ops[i].op);
	}
	for (size_t i = 0; i < count; i++) {
		while (!ops[i].is_done)
			fiber_wait(controller->shard);
		error = error ? error : ops[i].op.result;
		arena_done(&ops[i].arena);
	}
	return error;
}

static int run_node_op(struct controller *controller,
	int (*decide_node)(
		struct controller *controller, const struct decision *decision, void *argument),
	void *argument)
{
	return run_node_ops(controller, &(struct node_decision){decide_node, argument}, 1);
}

static int decide_no_op(
	struct controller *controller, const struct decision *decision, void *argument)
{
	/* The last room of a full disk is for what somebody asks for. */
	if (disk_reserve_is_needed(controller->shard, controller->ask.folder))
		return 0;
	return metadata_records_add(decision->records, CLUSTER_METADATA_NO_OP, 0) ? 0 : -ENOMEM;
}

static int decide_elections(
	struct controller *controller, const struct decision *decision, void *argument)
{
	return decide_unclean_elections(decision);
}

/* An operation of the clock is back: its timer may send it again. */
static void clock_op_done(struct shard *shard, struct controller_op *op)
{
	struct node_op *node_op = container_of(op, struct node_op, op);

	arena_reset(&node_op->arena);
	((struct node_clock *)node_op->argument)->is_out = false;
}

/* Sends the operation unless the last one still waits, and sets the timer again. */
static void clock_fire(struct shard *shard, struct timer *timer)
{
	struct node_clock *clock = container_of(timer, struct node_clock, timer);
	struct controller *controller = clock->node_op->controller;

	if (controller->phase != CONTROLLER_RUNNING)
		return;
	if (!clock->is_out) {
		clock->is_out = true;
		enqueue(controller, &clock->node_op->op);
	}
	timer_set(shard, timer, shard_now_ns(shard) + (uint64_t)clock->period_ms * NS_PER_MS);
}

static void clock_start(struct controller *controller, struct node_clock *clock, int64_t period_ms,
	int (*decide_node)(
		struct controller *controller, const struct decision *decision, void *argument))
{
	clock->node_op = memory_new_object(struct node_op);
	node_op_init(clock->node_op, controller, decide_node, clock);
	clock->node_op->op.done = clock_op_done;
	clock->timer.fire = clock_fire;
	clock->period_ms = period_ms;
	if (period_ms > 0)
		timer_set(controller->shard, &clock->timer,
			shard_now_ns(controller->shard) + (uint64_t)period_ms * NS_PER_MS);
}

static void clock_done(struct node_clock *clock)
{
	if (!clock->node_op)
		return;
	arena_done(&clock->node_op->arena);
	free(clock->node_op);
}

static void stop_clocks(struct controller *controller)
{
	timer_stop(controller->shard, &controller->no_op.timer);
	timer_stop(controller->shard, &controller->elections.timer);
}

/* ---- opening ---- */

static int keep_record(void *argument, const struct metadata_record *record, const char **ret_why)
{
	struct bootstrap *bootstrap = argument;
	const struct feature_level_record *feature = record->message;

	if (record->type == CLUSTER_METADATA_FEATURE_LEVEL &&
		str_equal(feature->name, STR(FEATURE_METADATA_VERSION)))
		bootstrap->level = feature->feature_level;
	metadata_records_append(&bootstrap->records, record);
	return bootstrap->records.failure;
}

/* The records with which the directory was formatted; without the file, as Kafka, the newest level
 * and nothing more. */
static int read_bootstrap(
	struct controller *controller, struct arena *why_arena, const char **ret_why)
{
	struct bootstrap *bootstrap = &controller->bootstrap;
	struct arena *arena = &controller->bootstrap_arena;
	struct snapshot_reader reader = {.record = keep_record, .argument = bootstrap};
	struct snapshot_contents contents;
	struct feature_level_record *feature;
	char *path =
		arena_printf(arena, "%s/" BOOTSTRAP_CHECKPOINT_FILE_NAME, controller->ask.folder);
	const char *why = "memory is out";
	int error;

	metadata_records_init(&bootstrap->records, arena);
	bootstrap->level = 0;
	if (!path)
		return -ENOMEM;
	error = fiber_path_status(
		controller->shard, path, &(uint64_t){0}, &(int64_t){0}, &(bool){false});
	if (error == -ENOENT) {
		feature = metadata_records_add(
			&bootstrap->records, CLUSTER_METADATA_FEATURE_LEVEL, 0);
		if (!feature)
			return -ENOMEM;
		feature->name = STR(FEATURE_METADATA_VERSION);
		feature->feature_level = METADATA_VERSION_LATEST;
		return 0;
	}
	if (error == 0) {
		/* Records point into the file's buffer: they are kept, so their strings must be the
		 * arena's own. */
		error = snapshot_read(
			controller->shard, path, arena, arena, &reader, &contents, &why);
		if (error == 0 && bootstrap->level == 0) {
			why = "it sets no metadata.version";
			error = -EBADMSG;
		}
	}
	if (error < 0)
		*ret_why = arena_printf(why_arena, "%s cannot be used: %s", path, why);
	return error;
}

static int decide_activate(
	struct controller *controller, const struct decision *decision, void *argument)
{
	return decide_activation(
		decision, &controller->bootstrap.records, controller->loader.transaction_start);
}

static int open_quorum(struct controller *controller, struct arena *arena, const char **ret_why)
{
	struct quorum_open ask = {
		.folder = controller->ask.folder,
		.node_id = controller->ask.node_id,
		.directory_id = controller->ask.directory_id,
		.config = controller->ask.config,
		.store = controller->ask.store,
		.logger = controller->ask.logger,
		.clean = controller->ask.clean,
	};
	int error = quorum_open(
		controller->shard, &ask, &controller->loader, arena, &controller->quorum, ret_why);

	if (error < 0)
		return error;
	*ret_why = "the new leader epoch cannot be written";
	return quorum_lead(controller->quorum, &controller->loader, &controller->buffer,
		&controller->next_offset);
}

int controller_open(struct shard *shard, const struct controller_open *ask, struct arena *arena,
	struct controller **ret_controller, const char **ret_why)
{
	struct controller *controller = memory_new_object(struct controller);
	int error;

	controller->shard = shard;
	controller->ask = *ask;
	controller->ask.config = config_ref(ask->config);
	controller->config = config_ref(ask->config);
	controller->broker_epoch = -1;
	controller->controller_incarnation_id = uuid_random(shard);
	list_init(&controller->waiting);
	record_buffer_init(&controller->buffer, BATCH_BUFFER_SIZE_MAX);
	arena_init(&controller->scratch, BATCH_BUFFER_SIZE_MAX);
	arena_init(&controller->decision_arena, ARENA_SIZE_MAX);
	arena_init(&controller->bootstrap_arena, ARENA_SIZE_MAX);
	error = read_bootstrap(controller, arena, ret_why);
	if (error == 0)
		error = open_quorum(controller, arena, ret_why);
	*ret_why = error == 0 ? "memory is out" : *ret_why;
	if (error == 0) {
		update_config(controller);
		error = fiber_start(shard, controller_fiber, controller);
	}
	if (error < 0) {
		controller->phase = CONTROLLER_FAILED;
		controller_close(controller);
		return error;
	}
	publish(controller);
	log_event(ask->logger, LOG_METADATA_LOADED,
		log_int("offset", image_position(controller->published).offset),
		log_int("epoch", quorum_epoch(controller->quorum)),
		log_int("topics", image_topic_count(controller->published)),
		log_int("partitions", image_partition_count_all(controller->published)));
	*ret_controller = controller;
	return 0;
}

/* ---- this node's part in its cluster ---- */

static int decide_controller(
	struct controller *controller, const struct decision *decision, void *argument)
{
	const struct controller_registration *registration = argument;

	return decide_register_controller(decision, &controller->controller_incarnation_id,
		registration->listeners, registration->listener_count);
}

/* The last process of this node is gone, as its locks are ours: its session need not expire. */
static int decide_expire(
	struct controller *controller, const struct decision *decision, void *argument)
{
	const struct register_broker_record *broker =
		image_broker(decision->image, decision->node_id);

	return broker && !broker->fenced ? decide_fence_broker(decision, decision->node_id) : 0;
}

static int decide_broker(
	struct controller *controller, const struct decision *decision, void *argument)
{
	controller->broker_epoch = decision->next_offset;
	return decide_register_broker(decision, &controller->ask.incarnation_id, argument);
}

static void keep_directories(struct controller *controller,
	const struct controller_directory *directories, int32_t count)
{
	size_t size = sizeof(*directories) * (size_t)max_of(count, 1);

	free(controller->directories);
	controller->directories = memory_new(size);
	memcpy(controller->directories, directories, sizeof(*directories) * (size_t)count);
	controller->directory_count = count;
}

/* What Kafka's heartbeats tell of: the directories that take no new replicas. */
static int decide_cordoned(
	struct controller *controller, const struct decision *decision, void *argument)
{
	struct uuid *cordoned = arena_new_array(decision->records->arena, struct uuid,
		(size_t)max_of(controller->directory_count, 1));
	int32_t count = 0;

	if (!cordoned)
		return -ENOMEM;
	for (int32_t i = 0; i < controller->directory_count; i++)
		if (controller->directories[i].is_online && controller->directories[i].is_cordoned)
			cordoned[count++] = controller->directories[i].id;
	return decide_cordon(decision, decision->node_id, cordoned, count);
}

static int decide_offline(
	struct controller *controller, const struct decision *decision, void *argument)
{
	struct uuid *online = arena_new_array(
		decision->arena, struct uuid, (size_t)max_of(controller->directory_count, 1));
	int32_t count = 0;

	if (!online)
		return -ENOMEM;
	for (int32_t i = 0; i < controller->directory_count; i++)
		if (controller->directories[i].is_online)
			online[count++] = controller->directories[i].id;
	return decide_directories_online(decision, decision->node_id, online, count);
}

/* Two heartbeats of Kafka's, cordons and unfencing: the first one finds the broker still fenced. */
enum { UNFENCE_DECISIONS = 2 };

static int decide_unfence(
	struct controller *controller, const struct decision *decision, void *argument)
{
	return decide_unfence_broker(decision, decision->node_id);
}

int controller_register(struct controller *controller,
	const struct controller_registration *registration, int64_t *ret_epoch)
{
	void *argument = (void *)(uintptr_t)registration;
	const struct node_decision decisions[] = {
		{decide_activate, NULL},
		{decide_controller, argument},
		{decide_expire, NULL},
		{decide_broker, argument},
		{decide_cordoned, NULL},
		{decide_unfence, NULL},
	};
	size_t count = array_length(decisions) - (registration->stays_fenced ? UNFENCE_DECISIONS : 0);
	int error;

	keep_directories(
		controller, registration->directories, registration->directory_count);
	error = run_node_ops(controller, decisions, count);
	arena_done(&controller->bootstrap_arena);
	if (error < 0)
		return error;
	clock_start(controller, &controller->no_op,
		config_int(controller->ask.config, SETTING_METADATA_MAX_IDLE_INTERVAL_MS),
		decide_no_op);
	clock_start(controller, &controller->elections,
		config_long(controller->ask.config, SETTING_UNCLEAN_LEADER_ELECTION_INTERVAL_MS),
		decide_elections);
	*ret_epoch = controller->broker_epoch;
	return 0;
}

int controller_unfence(struct controller *controller)
{
	const struct node_decision decisions[UNFENCE_DECISIONS] = {
		{decide_cordoned, NULL},
		{decide_unfence, NULL},
	};

	return run_node_ops(controller, decisions, array_length(decisions));
}

int controller_directories_changed(struct controller *controller,
	const struct controller_directory *directories, int32_t count)
{
	keep_directories(controller, directories, count);
	int error = run_node_op(controller, decide_offline, NULL);

	return error < 0 ? error : run_node_op(controller, decide_cordoned, NULL);
}

struct image *controller_image(const struct controller *controller)
{
	return controller->published;
}

int64_t controller_broker_epoch(const struct controller *controller)
{
	return controller->broker_epoch;
}

/* ---- stopping ---- */

static bool has_leaderships(const struct decision *decision)
{
	for (const struct image_topic *topic = image_topic_at(decision->image, 0); topic;
		topic = image_topic_next(decision->image, topic))
		for (uint32_t i = 0; i < image_partition_count(topic); i++)
			if (image_partition_at(topic, i)->leader == decision->node_id)
				return true;
	return false;
}

static int decide_leave(
	struct controller *controller, const struct decision *decision, void *argument)
{
	/* A broker that leads nothing is fenced at once. */
	if (!image_broker_is_active(decision->image, decision->node_id) ||
		!has_leaderships(decision))
		return 0;
	return decide_controlled_shutdown(decision, decision->node_id);
}

int controller_shutdown(struct controller *controller)
{
	int error;

	if (controller->phase == CONTROLLER_FAILED)
		return -ESHUTDOWN;
	stop_clocks(controller);
	controller->phase = CONTROLLER_STOPPING;
	error = run_node_op(controller, decide_leave, NULL);
	return error < 0 ? error : run_node_op(controller, decide_expire, NULL);
}

static void controller_free(struct controller *controller)
{
	clock_done(&controller->no_op);
	clock_done(&controller->elections);
	free(controller->directories);
	if (controller->loader.image)
		image_loader_done(&controller->loader);
	image_unref(controller->published);
	config_unref(controller->config);
	config_unref(controller->ask.config);
	record_buffer_done(&controller->buffer);

	arena_done(&controller->scratch);
	arena_done(&controller->decision_arena);
	arena_done(&controller->bootstrap_arena);
	free(controller);
}

int controller_close(struct controller *controller)
{
	struct shard *shard = controller->shard;
	int error = 0;

	stop_clocks(controller);
	if (controller->phase == CONTROLLER_RUNNING)
		controller->phase = CONTROLLER_STOPPING;

	controller->ending = true;
	controller->closer = fiber_current(shard);
	if (controller->fiber && controller->fiber_is_idle)
		fiber_wake(shard, controller->fiber);
	while (controller->fiber)
		fiber_wait(shard);
	/* Operations that are done have their last step queued: it runs before this one goes on. */
	fiber_yield(shard);
	if (controller->quorum)
		error = quorum_close(controller->quorum);
	controller_free(controller);
	return error;
}

void controller_abandon(struct controller *controller)
{
	if (!controller)
		return;
	quorum_abandon(controller->quorum);
	controller_free(controller);
}

void controller_quorum_describe(const struct controller *controller, struct controller_quorum *ret)
{
	quorum_voter(controller->quorum, &ret->voter_id, &ret->voter_directory_id);
	ret->leader_id = controller->ask.node_id;
	ret->leader_epoch = quorum_epoch(controller->quorum);
	ret->high_watermark = quorum_committed(controller->quorum);
	ret->log_end = quorum_next_offset(controller->quorum);
	ret->last_fetch_ms = shard_wall_ms(controller->shard);
	ret->kraft_version = quorum_kraft_version(controller->quorum);
}
