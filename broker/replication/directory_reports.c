#include "broker/replication/directory_reports.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/metadata/feature.h"
#include "broker/replication/directories.h"
#include "runtime/fiber.h"
#include "runtime/uuid.h"
#include "storage/log_dirs.h"

/* As Kafka's AssignmentsManager: so long others are waited for, and so many go together. */
#define ASSIGNMENTS_DELAY_NS (100 * NS_PER_MS)
enum { ASSIGNMENTS_PER_REQUEST_MAX = 2250 };

/* ---- assignments ---- */

struct assignment {
	struct task task; /* on its way to the main shard; its node among those that wait */
	struct uuid topic_id;
	int32_t index;
	struct uuid directory_id;
};

static void assignments_due(struct shard *shard, struct timer *timer);

static void assignments_schedule(struct directory_reports *reports)
{
	struct shard *shard = reports->broker->shards[SHARD_MAIN].shard;

	if (!reports->begun || reports->stopping || reports->assigning ||
		timer_is_set(&reports->timer) || list_is_empty(&reports->assignments))
		return;
	timer_set(shard, &reports->timer, shard_now_ns(shard) + ASSIGNMENTS_DELAY_NS);
}

static void assignment_arrived(struct shard *shard, struct task *task)
{
	struct directory_reports *reports = &broker_shard_of(shard)->broker->directory_reports;

	list_push_back(&reports->assignments, &task->node);
	assignments_schedule(reports);
}

void directory_report_partition(struct partition *partition)
{
	struct broker_shard *shard = partition->shard;

	if (partition->state != PARTITION_ONLINE ||
		image_metadata_version(shard->image) < METADATA_VERSION_3_7_IV2)
		return;
	if (uuid_equal(&partition->directory_id, &partition->dir->id)) {
		partition->directory_told = false;
		return;
	}
	if (partition->directory_told)
		return;
	struct assignment *assignment = malloc(sizeof(*assignment));
	ensure(assignment);
	*assignment = (struct assignment){.task.run = assignment_arrived,
		.topic_id = partition->key.topic_id,
		.index = partition->key.index,
		.directory_id = partition->dir->id};
	partition->directory_told = true;
	shard_send(shard->shard, SHARD_MAIN, &assignment->task);
}

/* One request and what it needs, while it is with the controller. */
struct assigning {
	struct controller_op op;
	struct assign_replicas_to_dirs_request request;
	struct assign_replicas_to_dirs_response response;
	struct arena arena;
	struct directory_reports *reports;
	struct assignment *sorted[ASSIGNMENTS_PER_REQUEST_MAX];
};

static int assignment_compare(const void *a, const void *b)
{
	const struct assignment *left = *(struct assignment *const *)a;
	const struct assignment *right = *(struct assignment *const *)b;
	int order = uuid_compare(&left->directory_id, &right->directory_id);

	if (order == 0)
		order = uuid_compare(&left->topic_id, &right->topic_id);
	return order ? order : (left->index > right->index) - (left->index < right->index);
}

/* The request's tree out of sorted assignments. -ENOMEM when the arena is exhausted. */
static int request_fill(struct assigning *assigning, uint32_t count)
{
	struct assign_replicas_to_dirs_request *request = &assigning->request;
	struct assign_replicas_to_dirs_request_directory_data *directory = NULL;
	struct assign_replicas_to_dirs_request_topic_data *topic = NULL;
	struct assign_replicas_to_dirs_request_topic_data *topics = schema_new_array(
		&assign_replicas_to_dirs_request_topic_data_schema, &assigning->arena,
		(int32_t)count);
	struct assign_replicas_to_dirs_request_partition_data *partitions = schema_new_array(
		&assign_replicas_to_dirs_request_partition_data_schema, &assigning->arena,
		(int32_t)count);

	request->directories = schema_new_array(
		&assign_replicas_to_dirs_request_directory_data_schema, &assigning->arena,
		(int32_t)count);
	if (!topics || !partitions || !request->directories)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		const struct assignment *assignment = assigning->sorted[i];

		if (!directory || !uuid_equal(&directory->id, &assignment->directory_id)) {
			directory = &request->directories[request->directories_count++];
			directory->id = assignment->directory_id;
			directory->topics = topics;
			topic = NULL;
		}
		if (!topic || !uuid_equal(&topic->topic_id, &assignment->topic_id)) {
			topic = topics++;
			topic->topic_id = assignment->topic_id;
			topic->partitions = &partitions[i];
			directory->topics_count++;
		}
		partitions[i].partition_index = assignment->index;
		topic->partitions_count++;
	}
	return 0;
}

static void assigned(struct shard *shard, struct controller_op *op)
{
	struct assigning *assigning = container_of(op, struct assigning, op);
	struct directory_reports *reports = assigning->reports;

	/* An error of one partition says that its topic has gone meanwhile; the whole request is
	 * refused only when this process is on its way out. */
	arena_done(&assigning->arena);
	free(assigning);
	reports->assigning = false;
	assignments_schedule(reports);
	if (reports->waiter)
		fiber_wake(shard, reports->waiter);
}

static void assignments_send(struct directory_reports *reports)
{
	struct broker *broker = reports->broker;
	struct assigning *assigning = calloc(1, sizeof(*assigning));
	uint32_t count = 0;

	ensure(assigning); /* a replica that lies where nobody knows it may never lead */
	while (count < ASSIGNMENTS_PER_REQUEST_MAX && !list_is_empty(&reports->assignments))
		assigning->sorted[count++] = container_of(
			list_pop_front(&reports->assignments), struct assignment, task.node);
	qsort(assigning->sorted, count, sizeof(struct assignment *), assignment_compare);
	arena_init(&assigning->arena, 16 << 20);
	schema_init(&assign_replicas_to_dirs_request_schema, &assigning->request);
	schema_init(&assign_replicas_to_dirs_response_schema, &assigning->response);
	assigning->reports = reports;
	assigning->request.broker_id = broker->node_id;
	assigning->request.broker_epoch = broker->broker_epoch;
	assigning->op = (struct controller_op){
		.kind = CONTROLLER_ASSIGN_REPLICAS_TO_DIRS,
		.request = &assigning->request,
		.response = &assigning->response,
		.arena = &assigning->arena,
		.done = assigned,
	};
	ensure(request_fill(assigning, count) == 0);
	for (uint32_t i = 0; i < count; i++)
		free(assigning->sorted[i]);
	reports->assigning = true;
	controller_submit(broker->controller, &assigning->op);
}

static void assignments_due(struct shard *shard, struct timer *timer)
{
	assignments_send(container_of(timer, struct directory_reports, timer));
}

/* ---- failures and cordons ---- */

static int state_tell(struct broker *broker)
{
	struct log_dirs *dirs = broker->log_dirs;
	uint32_t count = log_dirs_count(dirs);
	struct controller_directory *directories = calloc(count, sizeof(*directories));
	int error;

	if (!directories)
		return -ENOMEM;
	directories_describe(broker, directories);
	error = controller_directories_changed(broker->controller, directories, (int32_t)count);
	free(directories);
	return error;
}

static void state_fiber(struct shard *shard, void *argument)
{
	struct directory_reports *reports = argument;

	while (reports->changed && !reports->stopping) {
		reports->changed = false;
		/* What the controller can't write ends the process; memory may come back. */
		if (state_tell(reports->broker) == -ENOMEM) {
			reports->changed = true;
			fiber_sleep(shard, ASSIGNMENTS_DELAY_NS);
		}
	}
	reports->telling = false;
	if (reports->waiter)
		fiber_wake(shard, reports->waiter);
}

void directory_reports_changed(struct broker *broker)
{
	struct directory_reports *reports = &broker->directory_reports;

	reports->changed = true;
	if (!reports->begun || reports->stopping || reports->telling)
		return;
	reports->telling =
		fiber_start(broker->shards[SHARD_MAIN].shard, state_fiber, reports) == 0;
}

/* ---- begin and end ---- */

static bool is_busy(const struct directory_reports *reports)
{
	return reports->assigning || reports->telling;
}

static void wait_idle(struct directory_reports *reports)
{
	struct shard *shard = reports->broker->shards[SHARD_MAIN].shard;

	while (is_busy(reports)) {
		reports->waiter = fiber_current(shard);
		fiber_wait(shard);
	}
	reports->waiter = NULL;
}

void directory_reports_init(struct broker *broker)
{
	struct directory_reports *reports = &broker->directory_reports;

	reports->broker = broker;
	reports->timer.fire = assignments_due;
	list_init(&reports->assignments);
}

bool directory_reports_wait(const struct broker *broker)
{
	return !list_is_empty(&broker->directory_reports.assignments) ||
	       broker->directory_reports.changed;
}

void directory_reports_begin(struct broker *broker)
{
	struct directory_reports *reports = &broker->directory_reports;

	reports->begun = true;
	/* A replica that the metadata still sees in another directory could not lead. */
	while (!list_is_empty(&reports->assignments)) {
		assignments_send(reports);
		wait_idle(reports);
	}
	if (reports->changed)
		directory_reports_changed(broker);
	wait_idle(reports);
}

void directory_reports_stop(struct broker *broker)
{
	struct directory_reports *reports = &broker->directory_reports;

	reports->stopping = true;
	timer_stop(broker->shards[SHARD_MAIN].shard, &reports->timer);
	wait_idle(reports);
	for (struct list_node *node; (node = list_pop_front(&reports->assignments));)
		free(container_of(node, struct assignment, task.node));
}
