/*
 * The broker's life: start, publishing of metadata, stop. What waits is written as fibers on the
 * main shard; what every shard does is sent to all of them with broker_on_shards.
 *
 *	starting: directories -> metadata log read -> its image to every shard
 *	          -> every log opened -> registered and unfenced -> serving
 *	stopping: listeners closed -> connections drained -> controlled shutdown
 *	          -> logs closed -> checkpoints -> clean mark -> exit 0
 *
 * A failure on the way up ends the process with a line that says what to do; one on the way down
 * leaves the clean mark out, so that the next start recovers.
 *
 * A start waits for the disk as seldom as it can. Clients are answered when all of it is durable, so that
 * what they are told (the cluster's id, topics, epochs) outlives a power cut; and before that, in this order:
 *	1. a format (formatter.c): everything but the name of meta.properties; that comes with 4;
 *	2. the clean mark is gone, before anything that it speaks for is changed;
 *	3. what recovery found in the metadata log, before its image decides what becomes of folders;
 *	4. the epoch's first records and the registration, in one write (controller_register), with
 *	   quorum-state and the names of a new log beside it.
 */
#include "broker/broker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/api/fetch.h"
#include "broker/connection.h"
#include "broker/controller/controller.h"
#include "broker/format.h"
#include "broker/group/coordinator.h"
#include "broker/listeners.h"
#include "broker/memory_limit.h"
#include "broker/replication/checkpoints.h"
#include "broker/replication/cleaning.h"
#include "broker/replication/directories.h"
#include "broker/topic_settings.h"
#include "broker/visit.h"
#include "runtime/fiber.h"
#include "storage/disk_reserve.h"
#include "storage/log_dirs.h"

enum {
	RESPONSE_ARENA_BYTES = 512 * 1024 * 1024,
	DRAIN_MAX_MS = 5000, /* pending requests may take so long at a stop */
};

/* ---- the image ---- */

struct image_message {
	struct task task;
	struct image *image;
	const struct config *config; /* with the dynamic settings of that image */
};

static void broker_shard_settings_read(struct broker_shard *shard)
{
	const struct config *config = shard->config;

	shard->request_size_max = config_int(config, SETTING_SOCKET_REQUEST_MAX_BYTES);
	int64_t idle_ms = config_long(config, SETTING_CONNECTIONS_MAX_IDLE_MS);
	shard->idle_max_ns = idle_ms < 0 ? 0 : (uint64_t)idle_ms * NS_PER_MS;
	if (shard->log_store)
		cleaning_set(shard);
}

static void image_message_run(struct shard *shard, struct task *task)
{
	struct image_message *message = container_of(task, struct image_message, task);
	struct broker_shard *here = broker_shard_of(shard);
	struct image *old = here->image;
	const struct config *old_config = here->config;

	/* Images come in order, as one sender's messages do. */
	here->image = message->image;
	shared_answers_clear(&here->shared_answers);
	here->config = message->config;
	free(message);
	broker_shard_settings_read(here);
	partitions_update(here, old, here->image, here->config != old_config);
	group_coordinator_update(here, old, here->image);
	config_unref(old_config);
	image_unref(old);
	parts_image_arrived(here);
}

static void broker_config_changed(void *argument, struct str broker)
{
	*(bool *)argument = true;
}

/* The effective configuration changes only with broker settings in the metadata. */
static void broker_config_update(struct broker *broker, const struct image *image)
{
	struct broker_shard *main_shard = &broker->shards[SHARD_MAIN];
	struct config_report report;
	struct config *updated;
	struct arena arena;

	bool changed = false;

	image_configs_diff(
		broker->published, image, IMAGE_CONFIG_BROKER, broker_config_changed, &changed);
	if (!changed)
		return;
	config_report_init(&report);
	arena_init(&arena, 1 << 20);
	char *id = arena_printf(&arena, "%d", broker->node_id);
	struct config_entries cluster, own;
	if (id &&
		image_config_entries(image, IMAGE_CONFIG_BROKER, STR(""), &arena, &cluster) == 0 &&
		image_config_entries(image, IMAGE_CONFIG_BROKER, str_from(id), &arena, &own) == 0 &&
		config_update(broker->config, &cluster, &own, &report, &updated) == 0) {
		config_unref(broker->config);
		broker->config = updated;
		if (broker->publishes && directories_cordon(broker))
			directory_reports_changed(broker);
		if (broker->phase == BROKER_SERVING)
			listeners_limits_changed(broker);
	}
	for (const struct config_finding *finding = report.first; finding; finding = finding->next)
		log_event(&main_shard->logger, LOG_CONFIG_WARNING,
			log_str("setting", finding->name), log_str("about", finding->text));
	arena_done(&arena);
	config_report_done(&report);
}

/* The controller has applied records: every shard is told. */
static void broker_image_published(void *argument, struct image *image)
{
	struct broker *broker = argument;

	broker_config_update(broker, image);
	image_ref(image);
	image_unref(broker->published);
	broker->published = image;
	if (!broker->publishes)
		return; /* folders of topics that are gone must be set aside before any log is
			   opened */
	for (unsigned i = 0; i < broker->shard_count; i++) {
		struct image_message *message = malloc(sizeof(*message));
		ensure(message); /* a shard that is not told would serve wrong answers for ever */
		*message = (struct image_message){
			.task.run = image_message_run,
			.image = image_ref(image),
			.config = config_ref(broker->config),
		};
		shard_send(broker->shards[SHARD_MAIN].shard, i, &message->task);
	}
}

/* ---- start ---- */

static void broker_stop(struct shard *shard, void *argument);

static void broker_fail(struct broker *broker, enum log_event_id event, const char *why, int error)
{
	struct broker_shard *main_shard = &broker->shards[SHARD_MAIN];

	log_event(&main_shard->logger, event, log_text("why", why), log_errno("error", error));
	machine_exit(main_shard->shard, EXIT_FAILURE);
}

static void broker_controller_failed(void *argument, int error)
{
	struct broker *broker = argument;

	log_event(
		&broker->shards[SHARD_MAIN].logger, LOG_METADATA_FAILED, log_errno("error", error));
	machine_exit(broker->shards[SHARD_MAIN].shard, EXIT_FAILURE);
}

static void broker_logger_make(struct broker *broker, struct logger *logger)
{
	logger_init(logger, broker->options.sink, broker->options.sink_context,
		broker->options.clock, broker->options.sink_context);
	log_format_parse(config_str(broker->config, SETTING_BARNABAS_LOG_FORMAT), &logger->format);
	log_level_parse(config_str(broker->config, SETTING_BARNABAS_LOG_LEVEL), &logger->threshold);
}

/* Requests and answers share one limit, so the smaller of Kafka's limit and ours counts. */
static size_t broker_memory_limit(const struct config *config)
{
	int64_t ours = config_long(config, SETTING_BARNABAS_MEMORY_LIMIT_BYTES);
	int64_t requests = config_long(config, SETTING_QUEUED_MAX_REQUEST_BYTES);

	return (size_t)(requests > 0 ? min_of(requests, ours) : ours);
}

/* First step on every shard: what it owns. */
static int broker_shard_open(struct broker_shard *shard, void *argument)
{
	struct broker *broker = shard->broker;
	struct log_store_options store = {
		.producer_id_expiration_ms =
			config_int(broker->config, SETTING_PRODUCER_ID_EXPIRATION_MS),
		.producer_id_expiration_check_interval_ms = config_int(
			broker->config, SETTING_PRODUCER_ID_EXPIRATION_CHECK_INTERVAL_MS),
		.retention_check_interval_ms =
			config_long(broker->config, SETTING_LOG_RETENTION_CHECK_INTERVAL_MS),
		.folder_failed = directory_failed,
		.folder_full = disk_room_lost,
		.recovery_points_moved = checkpoints_points_moved,
		.backlog_bytes_max = broker->options.backlog_bytes_max,
		.argument = shard,
	};
	uint64_t seed;
	int32_t slots =
		config_int(broker->config, SETTING_MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS);

	shard_entropy(shard->shard, &seed, sizeof(seed));
	shard->seed = seed;
	shared_answers_init(&shard->shared_answers);
	map_init(&shard->partitions, seed);
	map_init(&shard->folders, seed);
	shard->log_store = log_store_new(shard->shard, &store);
	shard->fetch_sessions = fetch_session_cache_new(shard->shard, shard->index,
		broker->shard_count, broker->budget, broker_memory_limit(broker->config),
		(uint32_t)max_of(slots / (int32_t)broker->shard_count, 1), seed);
	shard->groups = group_coordinator_new(shard);
	shard->config = config_ref(broker->config);
	broker_shard_settings_read(shard);
	return shard->log_store && shard->fetch_sessions && shard->groups ? 0 : -ENOMEM;
}

static int broker_shard_settle(struct broker_shard *shard, void *argument)
{
	partitions_settle(shard);
	return 0;
}

static int broker_open_directories(struct broker *broker, struct arena *arena)
{
	struct shard *shard = broker->shards[SHARD_MAIN].shard;
	struct str_list paths = config_log_dirs(broker->config);
	struct log_dirs_options options = {
		.paths = paths.items,
		.count = (uint32_t)paths.count,
		.metadata_path = config_metadata_log_dir(broker->config),
		.node_id = broker->node_id,
	};
	const char *why = NULL;
	int error = log_dirs_open(shard, &options, arena, &broker->log_dirs, &why);

	if (error == -ENOENT && broker->options.format_if_empty) {
		/* The embedded default keeps its own directory, which nobody mounts: it may be
		 * made. */
		error = format_embedded(shard, broker->config, arena, &why);
		if (error == 0)
			error = log_dirs_open(shard, &options, arena, &broker->log_dirs, &why);
	}
	if (error < 0) {
		broker_fail(broker, LOG_START_REFUSED, why, error);
		return error;
	}
	broker->cluster_id = log_dirs_cluster_id(broker->log_dirs);
	return 0;
}

static int broker_register(struct broker *broker, bool stays_fenced)
{
	int32_t count, told = 0;
	const struct listener_config *configs = config_listeners(broker->config, &count);
	struct listener_config *listeners = calloc((size_t)count, sizeof(*listeners));
	uint32_t dir_count = log_dirs_count(broker->log_dirs);
	struct controller_directory *directories = calloc(dir_count, sizeof(*directories));
	int error = -ENOMEM;

	if (!listeners || !directories)
		goto out;
	for (int32_t i = 0; i < count; i++) {
		if (!configs[i].is_advertised)
			continue;
		listeners[told] = configs[i];
		if (listeners[told].advertised_port == 0)
			listeners[told].advertised_port = broker->listeners[i].address.port;
		told++;
	}
	directories_describe(broker, directories);
	struct controller_registration registration = {
		.listeners = listeners,
		.listener_count = told,
		.rack = config_str(broker->config, SETTING_BROKER_RACK),
		.directories = directories,
		.directory_count = (int32_t)dir_count,
		.previous_broker_epoch = log_dirs_previous_broker_epoch(broker->log_dirs),
		.stays_fenced = stays_fenced,
	};
	error = controller_register(broker->controller, &registration, &broker->broker_epoch);
out:
	free(listeners);
	free(directories);
	return error;
}

static void broker_say_serving(struct broker *broker)
{
	struct broker_shard *main_shard = &broker->shards[SHARD_MAIN];
	int32_t count;
	const struct listener_config *configs = config_listeners(broker->config, &count);
	char text[512] = "";
	size_t size = 0;

	for (int32_t i = 0; i < count && size < sizeof(text); i++) {
		char address[ADDRESS_TEXT_SIZE];
		if (!broker->listeners[i].listener)
			continue;
		size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%.*s://%s",
			size ? "," : "", STR_ARGS(configs[i].name),
			address_format(&broker->listeners[i].address, address));
	}
	uint64_t now = shard_now_ns(main_shard->shard);
	log_event(&main_shard->logger, LOG_SERVING, log_text("listeners", text),
		log_double("ms_since_exec", broker->options.exec_ns
						    ? (double)(now - broker->options.exec_ns) / 1e6
						    : 0),
		log_int("node_id", broker->node_id), log_str("cluster_id", broker->cluster_id),
		log_int("partitions", image_partition_count_all(broker->published)),
		log_int("shards", broker->shard_count));
}

/* Ports are taken early: where they are not free, nothing has been written. */
static int broker_open_metadata(struct broker *broker, struct arena *arena)
{
	struct shard *shard = broker->shards[SHARD_MAIN].shard;
	struct log_dir *metadata_dir = log_dirs_metadata(broker->log_dirs);
	struct controller_open open = {
		.folder = metadata_dir->path,
		.directory_id = metadata_dir->id,
		.cluster_id = broker->cluster_id,
		.node_id = broker->node_id,
		.incarnation_id = broker->incarnation_id,
		.config = broker->config,
		.store = broker->shards[SHARD_MAIN].log_store,
		.logger = &broker->shards[SHARD_MAIN].logger,
		.clean = metadata_dir->clean,
		.published = broker_image_published,
		.failed = broker_controller_failed,
		.argument = broker,
	};
	const char *why = NULL;
	int error = listeners_open(broker);

	if (error < 0) {
		machine_exit(shard, EXIT_FAILURE);
		return error;
	}
	disk_reserve_release_if_short(shard, metadata_dir->path);
	error = log_dirs_unmark_clean(shard, broker->log_dirs);
	if (error == 0)
		error = controller_open(shard, &open, arena, &broker->controller, &why);
	if (error < 0)
		broker_fail(broker,
			error == -ENOENT || error == -ENOTSUP ? LOG_START_REFUSED
							      : LOG_START_FAILED,
			why ? why : "the metadata log could not be opened", error);
	return error;
}

static int broker_open_logs(struct broker *broker)
{
	/* Settling waits for disks, and the controller may publish the next image meanwhile. */
	struct image *image = image_ref(controller_image(broker->controller));
	int error;

	directories_say_offline(broker);
	error = directories_settle(broker, image);
	image_unref(image);
	directories_cordon(broker);
	broker->publishes = true;
	broker_image_published(broker, controller_image(broker->controller));
	return error < 0 ? error : broker_visit_shards(broker, broker_shard_settle, NULL);
}

/* A replica that the metadata still sees in another directory could not lead: that is told first. */
static int broker_join(struct broker *broker)
{
	bool stays_fenced = directory_reports_wait(broker);
	int error = broker_register(broker, stays_fenced);

	if (error < 0)
		return error;
	directory_reports_begin(broker);
	return stays_fenced ? controller_unfence(broker->controller) : 0;
}

static void broker_serve(struct broker *broker)
{
	struct shard *shard = broker->shards[SHARD_MAIN].shard;

	/* Before clients take the room. Without it the broker serves as well. */
	disk_reserve_make(shard, log_dirs_metadata(broker->log_dirs)->path, true);
	checkpoints_start(broker);
	broker->phase = BROKER_SERVING;
	broker_say_serving(broker);
	if (broker->options.serving)
		broker->options.serving(broker, broker->options.argument);
	listeners_serve(broker);
	if (broker->stop_wanted)
		broker_stop(shard, broker);
}

static void broker_start_fiber(struct shard *shard, void *argument)
{
	struct broker *broker = argument;
	struct arena arena;
	int error;

	arena_init(&arena, 1 << 20);
	error = broker_visit_shards(broker, broker_shard_open, NULL);
	if (error < 0) {
		broker_fail(broker, LOG_START_FAILED, "out of memory", error);
		goto out;
	}
	if (broker_open_directories(broker, &arena) < 0)
		goto out;
	disk_room_start(broker);
	if (broker_open_metadata(broker, &arena) < 0)
		goto out;
	error = broker_open_logs(broker);
	if (error == 0)
		error = broker_join(broker);
	if (error < 0)
		broker_fail(broker, LOG_START_FAILED, "the logs or the registration", error);
	else
		broker_serve(broker);
out:
	arena_done(&arena);
}

/* ---- stop ---- */

/* (fiber) Answers what was asked, lets no more in; after a while the rest is cut off. */
static int broker_shard_drain(struct broker_shard *shard, void *argument)
{
	uint64_t deadline_ns = shard_now_ns(shard->shard) + DRAIN_MAX_MS * NS_PER_MS;

	shard->draining = true;
	group_coordinator_stop(shard);
	while (!list_is_empty(&shard->connections)) {
		bool late = shard_now_ns(shard->shard) >= deadline_ns;
		list_for_each_safe (node, &shard->connections) {
			struct connection *connection = container_of(node, struct connection, node);
			if (late || connection->request_count == 0)
				connection_close(connection, NULL);
			else
				connection_drain(connection);
		}
		if (!list_is_empty(&shard->connections))
			fiber_sleep(shard->shard, NS_PER_MS);
	}
	return 0;
}

static int broker_shard_sync(struct broker_shard *shard, void *argument)
{
	shard->stopping = true;
	return partitions_sync(shard);
}

static int broker_shard_close(struct broker_shard *shard, void *argument)
{
	return partitions_close(shard);
}

/* The last visit: nothing comes to this shard any more. */
static int broker_shard_done(struct broker_shard *shard, void *argument)
{
	ensure(list_is_empty(&shard->connections) && list_is_empty(&shard->image_waiters));
	timer_stop(shard->shard, &shard->pressure);
	request_cache_done(shard);
	shared_answers_done(&shard->shared_answers);
	group_coordinator_free(shard->groups);
	fetch_session_cache_free(shard->fetch_sessions);
	log_store_free(shard->log_store);
	map_done(&shard->partitions);
	map_done(&shard->folders);
	image_unref(shard->image);
	config_unref(shard->config);
	return 0;
}

static void broker_stop_fiber(struct shard *shard, void *argument)
{
	struct broker *broker = argument;
	struct broker_shard *main_shard = &broker->shards[SHARD_MAIN];
	int64_t broker_epoch = broker->broker_epoch;

	listeners_close(broker);
	broker_visit_shards(broker, broker_shard_drain, NULL);
	directory_reports_stop(broker);
	int error = controller_shutdown(broker->controller);
	checkpoints_stop(broker);
	disk_room_stop(broker);
	/* Recovery points after the logs' last sync: closing syncs, and the checkpoint tells what
	 * closing reached. */
	int close_error = broker_visit_shards(broker, broker_shard_sync, NULL);
	if (close_error == 0)
		close_error = checkpoints_write(broker);
	if (close_error == 0)
		close_error = broker_visit_shards(broker, broker_shard_close, NULL);
	int log_error = controller_close(broker->controller);
	broker->controller = NULL;
	error = error ? error : close_error ? close_error : log_error;
	if (error == 0)
		error = log_dirs_mark_clean(shard, broker->log_dirs, broker_epoch);
	if (error < 0)
		log_event(&main_shard->logger, LOG_STOP_UNCLEAN, log_errno("error", error));
	log_event(&main_shard->logger, LOG_STOPPED, log_bool("clean", error == 0));
	/* Logs that a failing disk left open can't be taken apart; the process's end does that. */
	if (error < 0) {
		machine_exit(shard, EXIT_FAILURE);
		return;
	}
	broker_visit_shards(broker, broker_shard_done, NULL);
	log_dirs_free(broker->log_dirs);
	broker->log_dirs = NULL;
	machine_exit(shard, EXIT_SUCCESS);
}

static void broker_stop(struct shard *shard, void *argument)
{
	struct broker *broker = argument;

	broker->stop_wanted = true;
	if (broker->phase != BROKER_SERVING)
		return; /* the start looks when it is done */
	broker->phase = BROKER_STOPPING;
	log_event(&broker->shards[SHARD_MAIN].logger, LOG_STOPPING,
		log_int("connections", broker->shards[SHARD_MAIN].connection_count));
	if (fiber_start(shard, broker_stop_fiber, broker) < 0)
		machine_exit(shard, EXIT_FAILURE);
}

/* ---- the machine's first step ---- */

struct attach {
	struct task task;
	struct broker *broker;
	unsigned index;
};

static void attach_back(struct shard *shard, struct task *task)
{
	struct attach *attach = container_of(task, struct attach, task);
	struct broker *broker = attach->broker;

	free(attach);
	if (--broker->attaching == 0 && fiber_start(shard, broker_start_fiber, broker) < 0)
		machine_exit(shard, EXIT_FAILURE);
}

static void attach_there(struct shard *shard, struct task *task)
{
	struct attach *attach = container_of(task, struct attach, task);
	struct broker_shard *here = &attach->broker->shards[attach->index];

	here->shard = shard;
	shard_context_set(shard, here);
	task->run = attach_back;
	shard_send(shard, SHARD_MAIN, task);
}

static void broker_start(struct shard *shard, void *argument)
{
	struct broker *broker = argument;
	uint64_t seed;

	broker->shard_count = shard_count(shard);
	broker->shards = calloc(broker->shard_count, sizeof(*broker->shards));
	if (!broker->shards || memory_limit_init(broker, broker_memory_limit(broker->config)) < 0) {
		machine_exit(shard, EXIT_FAILURE);
		return;
	}
	shard_entropy(shard, &broker->incarnation_id, sizeof(broker->incarnation_id));
	shard_entropy(shard, &seed, sizeof(seed));
	map_init(&broker->addresses, seed); /* addresses are the clients' choice */
	for (unsigned i = 0; i < broker->shard_count; i++) {
		struct broker_shard *here = &broker->shards[i];
		here->broker = broker;
		here->index = i;
		here->response_arena_bytes = RESPONSE_ARENA_BYTES;
		here->inbox_size_max = CONNECTION_INBOX_MAX;
		list_init(&here->connections);
		list_init(&here->free_requests);
		list_init(&here->image_waiters);
		list_init(&here->partition_work);
		list_init(&here->leaving);
		list_init(&here->forgotten);
		map_init(&here->partitions, 0);
		map_init(&here->folders, 0);
		broker_logger_make(broker, &here->logger);
	}
	for (unsigned i = 0; i < broker->shard_count; i++) {
		struct attach *attach = calloc(1, sizeof(*attach));
		ensure(attach);
		*attach = (struct attach){.task.run = attach_there, .broker = broker, .index = i};
		broker->attaching++;
		shard_send(shard, i, &attach->task);
	}
}

/* ---- the object ---- */

int broker_new(const struct broker_options *options, struct broker **ret_broker)
{
	struct broker *broker = calloc(1, sizeof(*broker));

	if (!broker)
		return -ENOMEM;
	broker->options = *options;
	broker->config = config_ref(options->config);
	broker->node_id = config_node_id(options->config);
	list_init(&broker->early);
	list_init(&broker->log_start_waits);
	map_init(&broker->addresses, 0);
	directory_reports_init(broker);
	list_init(&broker->producer_ids.waiting);
	arena_init(&broker->producer_ids.arena, 1 << 20);
	*ret_broker = broker;
	return 0;
}

struct program broker_program(struct broker *broker)
{
	return (struct program){.start = broker_start, .stop = broker_stop, .argument = broker};
}

void broker_free(struct broker *broker)
{
	if (!broker)
		return;
	ensure(!broker->controller && !broker->log_dirs);
	group_budget_done(&broker->group_budget);
	memory_limit_done(broker);
	image_unref(broker->published);
	config_unref(broker->config);
	arena_done(&broker->producer_ids.arena);
	free(broker->listeners);
	map_done(&broker->addresses);
	free(broker->shards);
	free(broker);
}
