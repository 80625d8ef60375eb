#include "broker/controller/partition_change.h"

#include <errno.h>

#include "runtime/uuid.h"

enum { NO_LEADER = -1, NO_LEADER_CHANGE = -2, RECOVERY_NO_CHANGE = -1, RECOVERING = 1 };

/* The lists while the change is made; room for all that can be in them. */
struct builder {
	const struct decision *decision;
	const struct partition_change *change;
	const struct partition_record *partition;
	struct partition_change_record *record;
	bool elr_enabled;
	struct replicas isr, replicas, removing, adding, elr;
};

bool replicas_contain(struct replicas replicas, int32_t id)
{
	for (int32_t i = 0; i < replicas.count; i++)
		if (replicas.ids[i] == id)
			return true;
	return false;
}

static bool replicas_equal(struct replicas a, struct replicas b)
{
	return a.count == b.count &&
	       (a.count <= 0 || memcmp(a.ids, b.ids, sizeof(*a.ids) * (size_t)a.count) == 0);
}

static bool replicas_contain_all(struct replicas whole, struct replicas part)
{
	for (int32_t i = 0; i < part.count; i++)
		if (!replicas_contain(whole, part.ids[i]))
			return false;
	return true;
}

#define REPLICAS_OF(partition, field) \
	((struct replicas){(partition)->field, (partition)->field##_count})

/* FROM without those that are in GONE; *RET stays in the arena. */
static int replicas_without(
	struct arena *arena, struct replicas from, struct replicas gone, struct replicas *ret)
{
	int32_t *ids = arena_new_array(arena, int32_t, (size_t)max_of(from.count, 1));
	int32_t count = 0;

	if (!ids)
		return -ENOMEM;
	for (int32_t i = 0; i < from.count; i++)
		if (!replicas_contain(gone, from.ids[i]))
			ids[count++] = from.ids[i];
	*ret = (struct replicas){ids, count};
	return 0;
}

void partition_change_init(struct partition_change *change, const struct image_topic *topic,
	const struct partition_record *partition)
{
	*change = (struct partition_change){
		.topic = topic,
		.partition = partition,
		.isr = REPLICAS_UNCHANGED,
		.directory_broker_id = -1,
		.leaving_broker_id = -1,
		.joining_broker_id = -1,
		.unclean_broker_id = -1,
	};
}

bool broker_has_online_directory(
	const struct register_broker_record *broker, const struct uuid *directory)
{
	if (uuid_equal(directory, &UUID_DIRECTORY_UNASSIGNED) ||
		uuid_equal(directory, &UUID_DIRECTORY_MIGRATING))
		return true;
	if (uuid_equal(directory, &UUID_DIRECTORY_LOST))
		return false;
	/* Registered before directories were known: a broker without any would have stopped. */
	if (broker->log_dirs_count == 0)
		return true;
	for (int32_t i = 0; i < broker->log_dirs_count; i++)
		if (uuid_equal(&broker->log_dirs[i], directory))
			return true;
	return false;
}

struct uuid default_directory(const struct decision *decision, int32_t broker_id)
{
	const struct register_broker_record *broker = image_broker(decision->image, broker_id);

	if (decision_level(decision) < METADATA_VERSION_3_7_IV2)
		return UUID_DIRECTORY_MIGRATING;
	if (!broker)
		return UUID_DIRECTORY_UNASSIGNED;
	if (broker->log_dirs_count == 0)
		return UUID_DIRECTORY_MIGRATING;
	return broker->log_dirs_count == 1 ? broker->log_dirs[0] : UUID_DIRECTORY_UNASSIGNED;
}

static bool is_acceptable_leader(const struct builder *builder, int32_t id)
{
	const struct partition_change *change = builder->change;
	const struct register_broker_record *broker = image_broker(builder->decision->image, id);
	struct uuid directory;

	if (!broker || id == change->leaving_broker_id || id == change->unclean_broker_id)
		return false;
	if (id != change->joining_broker_id && (broker->fenced || broker->in_controlled_shutdown))
		return false;
	directory = partition_directory_of(builder->partition, id);
	return broker_has_online_directory(broker, &directory);
}

static bool is_valid_leader(const struct builder *builder, int32_t id)
{
	return (replicas_contain(builder->isr, id) ||
		       (builder->isr.count == 0 && replicas_contain(builder->elr, id))) &&
	       is_acceptable_leader(builder, id);
}

static bool can_elect_last_known_leader(const struct builder *builder)
{
	return builder->elr_enabled && builder->elr.count == 0 && builder->isr.count == 0 &&
	       builder->partition->last_known_elr_count == 1 &&
	       is_acceptable_leader(builder, builder->partition->last_known_elr[0]);
}

static int32_t elect(const struct builder *builder, bool *ret_unclean)
{
	struct replicas replicas = builder->replicas;
	bool preferred = builder->change->election == ELECT_PREFERRED;

	*ret_unclean = false;
	if (preferred && replicas.count > 0 && is_valid_leader(builder, replicas.ids[0]))
		return replicas.ids[0];
	if (is_valid_leader(builder, builder->partition->leader))
		return builder->partition->leader;
	for (int32_t i = preferred; i < replicas.count; i++)
		if (is_valid_leader(builder, replicas.ids[i]))
			return replicas.ids[i];
	*ret_unclean = true;
	if (can_elect_last_known_leader(builder))
		return builder->partition->last_known_elr[0];
	if (builder->change->election == ELECT_UNCLEAN)
		for (int32_t i = 0; i < replicas.count; i++)
			if (is_acceptable_leader(builder, replicas.ids[i]))
				return replicas.ids[i];
	*ret_unclean = false;
	return NO_LEADER;
}

static int set_replicas(
	struct builder *builder, struct replicas from, int32_t **ret_ids, int32_t *ret_count)
{
	int32_t *ids = arena_new_array(
		builder->decision->records->arena, int32_t, (size_t)max_of(from.count, 1));

	if (!ids)
		return -ENOMEM;
	if (from.count > 0)
		memcpy(ids, from.ids, sizeof(*ids) * (size_t)from.count);
	*ret_ids = ids;
	*ret_count = from.count;
	return 0;
}

#define SET(builder, field, from) \
	set_replicas(builder, from, &(builder)->record->field, &(builder)->record->field##_count)

/* Whom the ISR loses while it is too small may still become leader without loss. */
static int populate_elr(struct builder *builder)
{
	struct arena *arena = builder->decision->records->arena;
	struct replicas isr = REPLICAS_OF(builder->partition, isr), elr = builder->elr;
	int32_t *ids, count = 0;

	if (!builder->elr_enabled)
		return 0;
	if (builder->isr.count >= decision_min_isr(builder->decision, builder->change->topic)) {
		builder->elr.count = 0;
		return 0;
	}
	ids = arena_new_array(arena, int32_t, (size_t)(elr.count + isr.count + 1));
	if (!ids)
		return -ENOMEM;
	for (int32_t i = 0; i < elr.count + isr.count; i++) {
		int32_t id = i < elr.count ? elr.ids[i] : isr.ids[i - elr.count];

		if (!replicas_contain(builder->isr, id) &&
			id != builder->change->unclean_broker_id &&
			!replicas_contain((struct replicas){ids, count}, id))
			ids[count++] = id;
	}
	builder->elr = (struct replicas){ids, count};
	return 0;
}

static int complete_reassignment(struct builder *builder)
{
	struct arena *arena = builder->decision->records->arena;
	struct replicas isr, replicas;

	if (builder->removing.count <= 0 && builder->adding.count <= 0)
		return 0;
	if (replicas_without(arena, builder->isr, builder->removing, &isr) < 0 ||
		replicas_without(arena, builder->replicas, builder->removing, &replicas) < 0)
		return -ENOMEM;
	if (isr.count == 0 || replicas.count == 0 || !replicas_contain_all(isr, builder->adding))
		return 0;
	/* The replication factor shrinks: all that stay must be in sync, or the ISR might fall
	 * below its minimum. */
	if (builder->adding.count < builder->removing.count && !replicas_contain_all(isr, replicas))
		return 0;
	builder->isr = isr;
	builder->replicas = replicas;
	builder->removing.count = 0;
	builder->adding.count = 0;
	return 0;
}

static int try_election(struct builder *builder)
{
	struct partition_change_record *record = builder->record;
	bool unclean;
	int32_t leader = elect(builder, &unclean);
	int32_t *only;

	if (leader == builder->partition->leader)
		return 0;
	only = arena_new_array(builder->decision->records->arena, int32_t, 1);
	if (!only)
		return -ENOMEM;
	*only = leader;
	if (replicas_contain(builder->elr, leader)) {
		builder->isr = (struct replicas){only, 1};
		if (replicas_without(builder->decision->records->arena, builder->elr, builder->isr,
			    &builder->elr) < 0)
			return -ENOMEM;
	}
	record->leader = leader;
	if (unclean) {
		/* The new leader may lack records, so nobody else is in sync with it. */
		record->isr = only;
		record->isr_count = 1;
		if (builder->partition->leader_recovery_state != RECOVERING)
			record->leader_recovery_state = RECOVERING;
	}
	return 0;
}

/* Others may have fetched what the replicas that leave still hold: an epoch tells them apart. */
static void bump_leader_epoch(struct builder *builder)
{
	if (builder->record->leader == NO_LEADER_CHANGE &&
		!replicas_contain_all(builder->replicas, REPLICAS_OF(builder->partition, replicas)))
		builder->record->leader = builder->partition->leader;
}

static void bump_leader_epoch_for_shrink(struct builder *builder)
{
	struct partition_change_record *record = builder->record;

	if (decision_level(builder->decision) >= METADATA_VERSION_3_6_IV0 ||
		record->leader != NO_LEADER_CHANGE || record->isr_count < 0)
		return;
	if (!replicas_contain_all((struct replicas){record->isr, record->isr_count},
		    REPLICAS_OF(builder->partition, isr)))
		record->leader = builder->partition->leader;
}

static int update_elr(struct builder *builder)
{
	if (builder->record->isr_count >= 0 || !builder->elr_enabled)
		builder->elr.count = 0;
	if (replicas_equal(builder->elr, REPLICAS_OF(builder->partition, eligible_leader_replicas)))
		return 0;
	return SET(builder, eligible_leader_replicas, builder->elr);
}

static int update_last_known_leader(struct builder *builder)
{
	const struct partition_record *partition = builder->partition;

	if (!builder->elr_enabled)
		return 0;
	if (builder->record->leader == NO_LEADER && partition->last_known_elr_count == 0)
		return SET(builder, last_known_elr, ((struct replicas){&partition->leader, 1}));
	if (builder->record->leader >= 0 && partition->last_known_elr_count > 0)
		return SET(builder, last_known_elr, ((struct replicas){NULL, 0}));
	return 0;
}

static int set_directories(struct builder *builder)
{
	const struct partition_record *partition = builder->partition;
	struct uuid *directories;
	int32_t count = builder->replicas.count;

	if (count == 0 || decision_level(builder->decision) < METADATA_VERSION_3_7_IV2)
		return 0;
	directories =
		arena_new_array(builder->decision->records->arena, struct uuid, (size_t)count);
	if (!directories)
		return -ENOMEM;
	for (int32_t i = 0; i < count; i++) {
		int32_t id = builder->replicas.ids[i];

		if (id == builder->change->directory_broker_id)
			directories[i] = builder->change->directory;
		else if (partition_has_replica(partition, id))
			directories[i] = partition_directory_of(partition, id);
		else
			directories[i] = default_directory(builder->decision, id);
	}
	if (count == partition->directories_count &&
		memcmp(directories, partition->directories, sizeof(*directories) * (size_t)count) ==
			0)
		return 0;
	builder->record->directories = directories;
	builder->record->directories_count = count;
	return 0;
}

static int set_assignment(struct builder *builder)
{
	int error = set_directories(builder);

	if (error < 0)
		return error;
	if (builder->replicas.count > 0 &&
		!replicas_equal(builder->replicas, REPLICAS_OF(builder->partition, replicas)) &&
		SET(builder, replicas, builder->replicas) < 0)
		return -ENOMEM;
	if (!replicas_equal(
		    builder->removing, REPLICAS_OF(builder->partition, removing_replicas)) &&
		SET(builder, removing_replicas, builder->removing) < 0)
		return -ENOMEM;
	if (!replicas_equal(builder->adding, REPLICAS_OF(builder->partition, adding_replicas)))
		return SET(builder, adding_replicas, builder->adding);
	return 0;
}

static int build(struct builder *builder)
{
	int error = complete_reassignment(builder);

	if (error == 0)
		error = populate_elr(builder);
	if (error == 0)
		error = try_election(builder);
	if (error < 0)
		return error;
	bump_leader_epoch(builder);
	error = update_elr(builder);
	if (error < 0)
		return error;
	if (builder->record->isr_count < 0 && (builder->isr.count > 0 || builder->elr_enabled) &&
		!replicas_equal(builder->isr, REPLICAS_OF(builder->partition, isr)) &&
		SET(builder, isr, builder->isr) < 0)
		return -ENOMEM;
	bump_leader_epoch_for_shrink(builder);
	error = update_last_known_leader(builder);
	return error < 0 ? error : set_assignment(builder);
}

static bool record_changes_something(const struct partition_change_record *record)
{
	return record->isr_count >= 0 || record->eligible_leader_replicas_count >= 0 ||
	       record->last_known_elr_count >= 0 || record->leader != NO_LEADER_CHANGE ||
	       record->replicas_count >= 0 || record->removing_replicas_count >= 0 ||
	       record->adding_replicas_count >= 0 ||
	       record->leader_recovery_state != RECOVERY_NO_CHANGE ||
	       record->directories_count >= 0;
}

int partition_change_decide(const struct decision *decision, const struct partition_change *change)
{
	const struct partition_record *partition = change->partition;
	struct builder builder = {
		.decision = decision,
		.change = change,
		.partition = partition,
		.elr_enabled = image_elr_is_enabled(decision->image),
		.isr = change->isr.count >= 0 ? change->isr : REPLICAS_OF(partition, isr),
		.replicas = REPLICAS_OF(partition, replicas),
		.removing = REPLICAS_OF(partition, removing_replicas),
		.adding = REPLICAS_OF(partition, adding_replicas),
		.elr = REPLICAS_OF(partition, eligible_leader_replicas),
	};
	int version = partition_record_version(decision_level(decision)), error;
	struct metadata_record item = {
		.type = CLUSTER_METADATA_PARTITION_CHANGE, .version = (int16_t)version};

	builder.record = schema_new(&partition_change_record_schema, decision->records->arena);
	if (!builder.record)
		return -ENOMEM;
	builder.record->topic_id = change->topic->id;
	builder.record->partition_id = partition->partition_id;
	error = build(&builder);
	if (error < 0)
		return error;
	if (!record_changes_something(builder.record))
		return 0;
	item.message = builder.record;
	metadata_records_append(decision->records, &item);
	return decision->records->failure < 0 ? decision->records->failure : 1;
}

static bool is_selected(const struct partition_record *partition,
	enum partition_selection selection, int32_t broker_id)
{
	switch (selection) {
	case WITH_BROKER_IN_ISR:
		return replicas_contain(REPLICAS_OF(partition, isr), broker_id);
	case WITH_BROKER_IN_ELR:
		return replicas_contain(
			REPLICAS_OF(partition, eligible_leader_replicas), broker_id);
	case WITHOUT_LEADER:
		return partition->leader == NO_LEADER;
	}
	return false;
}

int decide_leader_and_isr(const struct decision *decision, const struct image_topic *topic,
	const struct partition_record *partition, int32_t leaving_broker_id,
	int32_t joining_broker_id, int32_t unclean_broker_id)
{
	int32_t gone[] = {leaving_broker_id, unclean_broker_id};
	struct partition_change change;

	partition_change_init(&change, topic, partition);
	change.leaving_broker_id = leaving_broker_id;
	change.joining_broker_id = joining_broker_id;
	change.unclean_broker_id = unclean_broker_id;
	if (decision_unclean_election(decision, topic))
		change.election = ELECT_UNCLEAN;
	if (replicas_without(decision->records->arena, REPLICAS_OF(partition, isr),
		    (struct replicas){gone, 2}, &change.isr) < 0)
		return -ENOMEM;
	return min_of(partition_change_decide(decision, &change), 0);
}

int decide_leaders_and_isrs(const struct decision *decision, enum partition_selection selection,
	int32_t broker_id, int32_t leaving_broker_id, int32_t joining_broker_id,
	int32_t unclean_broker_id)
{
	for (const struct image_topic *topic = image_topic_at(decision->image, 0); topic;
		topic = image_topic_next(decision->image, topic)) {
		uint32_t count = image_partition_count(topic);

		for (uint32_t i = 0; i < count; i++) {
			const struct partition_record *partition = image_partition_at(topic, i);
			int error;

			if (!is_selected(partition, selection, broker_id))
				continue;
			error = decide_leader_and_isr(decision, topic, partition, leaving_broker_id,
				joining_broker_id, unclean_broker_id);
			if (error < 0)
				return error;
		}
	}
	return 0;
}

int decide_leaders_and_isrs_in(
	const struct decision *decision, int32_t broker_id, const struct uuid *directory)
{
	for (const struct image_topic *topic = image_topic_at(decision->image, 0); topic;
		topic = image_topic_next(decision->image, topic)) {
		uint32_t count = image_partition_count(topic);

		for (uint32_t i = 0; i < count; i++) {
			const struct partition_record *partition = image_partition_at(topic, i);
			struct uuid is_in = partition_directory_of(partition, broker_id);
			int error = !uuid_equal(&is_in, directory)
					    ? 0
					    : decide_leader_and_isr(decision, topic, partition,
						      broker_id, -1, -1);

			if (error < 0)
				return error;
		}
	}
	return 0;
}
