/*
 * Committed offsets: commits, what transactions still hold back, fetches, deletion and expiry.
 * Follows Kafka's OffsetMetadataManager.
 */
#include "broker/group/machine_internal.h"

/* ---- the tables ---- */

static struct group_topic *group_topic_find(const struct group *group, struct str topic)
{
	return map_find_entry(&group->topics, topic.data, (size_t)max_of(topic.size, 0),
		struct group_topic, node);
}

struct group_offset *group_offset_find(
	const struct group *group, struct str topic, int32_t partition)
{
	const struct group_topic *found = group_topic_find(group, topic);

	return found ? map_find_entry(&found->partitions, &partition, sizeof(partition),
			       struct group_offset, node)
		     : NULL;
}

static struct group_offset *group_offset_make(
	struct group *group, struct str topic, int32_t partition)
{
	struct group_machine *machine = group->machine;
	struct group_topic *found = group_topic_find(group, topic);
	struct group_offset *offset;

	if (!found) {
		found = state_new(machine, sizeof(*found));
		found->group = group;
		found->name = state_str(machine, topic);
		map_init(&found->partitions, machine->seed);
		map_insert(
			&group->topics, &found->node, found->name.data, (size_t)found->name.size);
	}
	offset = map_find_entry(
		&found->partitions, &partition, sizeof(partition), struct group_offset, node);
	if (!offset) {
		offset = state_new(machine, sizeof(*offset));
		offset->topic = found;
		offset->partition = partition;
		map_insert(&found->partitions, &offset->node, &offset->partition,
			sizeof(offset->partition));
	}
	return offset;
}

static void offset_value_clear(struct group_machine *machine, struct offset_value *value)
{
	state_free(machine, (void *)(uintptr_t)value->metadata.data);
	*value = (struct offset_value){0};
}

static void offset_value_set(
	struct group_machine *machine, struct offset_value *place, const struct offset_value *value)
{
	struct str metadata = state_str(machine, value->metadata);

	state_free(machine, (void *)(uintptr_t)place->metadata.data);
	*place = *value;
	place->metadata = metadata;
}

/* Neither committed nor pending: it is nothing. */
static void offset_drop_if_unused(struct group_offset *offset)
{
	struct group_topic *topic = offset->topic;
	struct group *group = topic->group;
	struct group_machine *machine = group->machine;

	if (offset->committed || offset->pending > 0)
		return;
	offset_value_clear(machine, &offset->value);
	map_remove(&topic->partitions, &offset->node);
	state_free(machine, offset);
	if (topic->partitions.count > 0)
		return;
	map_remove(&group->topics, &topic->node);
	map_done(&topic->partitions);
	state_free(machine, (void *)(uintptr_t)topic->name.data);
	state_free(machine, topic);
}

void offset_apply(
	struct group *group, struct str topic, int32_t partition, const struct offset_value *value)
{
	struct group_offset *offset = group_offset_make(group, topic, partition);

	offset->committed = true;
	offset_value_set(group->machine, &offset->value, value);
}

/* ---- transactions ---- */

static void pending_free(struct group_transaction *transaction, struct pending_offset *pending)
{
	struct group_offset *target = pending->target;
	struct group_machine *machine = target->topic->group->machine;

	map_remove(&transaction->offsets, &pending->node);
	offset_value_clear(machine, &pending->value);
	state_free(machine, pending);
	target->pending--;
	target->topic->group->pending_offsets--;
	offset_drop_if_unused(target);
}

void offset_apply_pending(struct group *group, struct str topic, int32_t partition,
	const struct offset_value *value, int64_t producer_id)
{
	struct group_machine *machine = group->machine;
	struct group_offset *target = group_offset_make(group, topic, partition);
	struct group_transaction *transaction = map_find_entry(&machine->transactions, &producer_id,
		sizeof(producer_id), struct group_transaction, node);
	struct pending_offset *pending;

	if (!transaction) {
		transaction = state_new(machine, sizeof(*transaction));
		transaction->producer_id = producer_id;
		map_init(&transaction->offsets, machine->seed);
		map_insert(&machine->transactions, &transaction->node, &transaction->producer_id,
			sizeof(producer_id));
	}
	pending = map_find_entry(
		&transaction->offsets, &target, sizeof(target), struct pending_offset, node);
	if (!pending) {
		pending = state_new(machine, sizeof(*pending));
		pending->target = target;
		map_insert(&transaction->offsets, &pending->node, &pending->target,
			sizeof(pending->target));
		target->pending++;
		group->pending_offsets++;
	}
	offset_value_set(machine, &pending->value, value);
}

void transaction_end(struct group_machine *machine, int64_t producer_id, bool committed)
{
	struct group_transaction *transaction = map_find_entry(&machine->transactions, &producer_id,
		sizeof(producer_id), struct group_transaction, node);

	if (!transaction)
		return;
	map_for_each_safe(node, &transaction->offsets)
	{
		struct pending_offset *pending = map_entry(node, struct pending_offset, node);
		struct group_offset *target = pending->target;
		/* A plain commit that came after the transactional one stays. */
		if (committed && (!target->committed || pending->value.record_offset >
								target->value.record_offset)) {
			offset_value_set(machine, &target->value, &pending->value);
			target->committed = true;
		}
		pending_free(transaction, pending);
	}
	map_remove(&machine->transactions, &transaction->node);
	map_done(&transaction->offsets);
	state_free(machine, transaction);
}

void offset_remove(struct group_offset *offset)
{
	struct group_machine *machine = offset->topic->group->machine;

	if (offset->committed) {
		offset->committed = false;
		offset_value_clear(machine, &offset->value);
	}
	if (offset->pending == 0) {
		offset_drop_if_unused(offset);
		return;
	}
	/* Also what open transactions would commit. The last of them takes the offset with it. */
	map_for_each_safe(node, &machine->transactions)
	{
		struct group_transaction *transaction =
			map_entry(node, struct group_transaction, node);
		struct pending_offset *pending = map_find_entry(&transaction->offsets, &offset,
			sizeof(offset), struct pending_offset, node);
		bool last = pending && offset->pending == 1;
		if (pending)
			pending_free(transaction, pending);
		if (last)
			return;
	}
}

void offsets_free(struct group *group)
{
	while (group->topics.count > 0) {
		struct group_topic *topic =
			map_entry(map_first(&group->topics), struct group_topic, node);
		offset_remove(map_entry(map_first(&topic->partitions), struct group_offset, node));
	}
}

/* ---- OffsetCommit ---- */

static int16_t commit_validate(
	const struct group *group, const struct offset_commit_request *message)
{
	int32_t generation = message->generation_id_or_member_epoch;

	if (group->type != GROUP_CLASSIC)
		return KAFKA_UNKNOWN_MEMBER_ID;
	if (generation < 0 && group->state == GROUP_EMPTY)
		return 0; /* the group only keeps offsets, or an operator sets them */
	if (generation >= 0 || message->member_id.size > 0 ||
		!str_is_null(message->group_instance_id)) {
		int16_t error = group_member_validate(
			group, message->member_id, message->group_instance_id);
		if (error)
			return error;
		if (generation != group->generation)
			return KAFKA_ILLEGAL_GENERATION;
	} else if (group->state != GROUP_EMPTY) {
		return KAFKA_UNKNOWN_MEMBER_ID;
	}
	return group->state == GROUP_COMPLETING_REBALANCE ? KAFKA_REBALANCE_IN_PROGRESS : 0;
}

/* When an offset with a retention of its own goes; never, when that is beyond all time. */
static int64_t expire_timestamp(const struct group_machine *machine, const struct group_ask *ask)
{
	int64_t retention_ms = ((const struct offset_commit_request *)ask->message)->retention_time_ms;
	int64_t expire_ms;

	if (retention_ms == -1 || ask->version < 2 || ask->version > 4)
		return -1;
	return __builtin_add_overflow(machine->now.wall_ms, retention_ms, &expire_ms) ? INT64_MAX
										       : expire_ms;
}

static struct offset_value commit_value(const struct group_machine *machine,
	const struct group_ask *ask, const struct offset_commit_request_topic *topic,
	const struct offset_commit_request_partition *partition, int64_t record_offset)
{
	return (struct offset_value){
		.offset = partition->committed_offset,
		.leader_epoch = partition->committed_leader_epoch,
		.commit_timestamp_ms = ask->version == 1 && partition->commit_timestamp != -1
					       ? partition->commit_timestamp
					       : machine->now.wall_ms,
		.expire_timestamp_ms = expire_timestamp(machine, ask),
		.topic_id = topic->topic_id,
		.metadata = str_is_null(partition->committed_metadata)
				    ? STR("")
				    : partition->committed_metadata,
		.record_offset = record_offset,
	};
}

static bool commit_is_refused(const struct group_machine *machine,
	const struct offset_commit_request_partition *partition)
{
	return partition->committed_metadata.size > machine->limits.metadata_size_max;
}

/* 0, or negative when they are more than one batch holds. */
static int commit_records(
	struct group_machine *machine, const struct group *group, const struct group_ask *ask)
{
	const struct offset_commit_request *message = ask->message;

	for (int32_t i = 0; i < message->topics_count; i++) {
		const struct offset_commit_request_topic *topic = &message->topics[i];
		for (int32_t j = 0; j < topic->partitions_count; j++) {
			const struct offset_commit_request_partition *partition =
				&topic->partitions[j];
			if (commit_is_refused(machine, partition))
				continue;
			struct offset_value value = commit_value(
				machine, ask, topic, partition, record_next_offset(machine));
			int error = record_offset_commit(
				machine, group, topic->name, partition->partition_index, &value);
			if (error < 0)
				return error;
		}
	}
	return 0;
}

size_t offsets_commit_growth(const struct group *group, const struct offset_commit_request *message)
{
	size_t bytes = 0;

	for (int32_t i = 0; i < message->topics_count; i++) {
		const struct offset_commit_request_topic *topic = &message->topics[i];

		if (!group || !group_topic_find(group, topic->name))
			bytes += state_cost(sizeof(struct group_topic)) +
				 state_cost((size_t)max_of(topic->name.size, 0));
		for (int32_t j = 0; j < topic->partitions_count; j++) {
			const struct offset_commit_request_partition *partition =
				&topic->partitions[j];
			size_t metadata =
				state_cost((size_t)max_of(partition->committed_metadata.size, 0));
			const struct group_offset *known =
				group ? group_offset_find(
						group, topic->name, partition->partition_index)
				      : NULL;

			if (!known)
				bytes += state_cost(sizeof(struct group_offset)) + metadata;
			else
				bytes += metadata -
					 min_of(metadata, state_size(known->value.metadata.data));
		}
	}
	return bytes;
}

void offsets_commit(struct group_machine *machine, struct group_ask *ask)
{
	const struct offset_commit_request *message = ask->message;
	struct offset_commit_response *response = ask->response;
	struct group *group = group_find(machine, ask->group_id);
	int16_t error = 0;

	if (!group) {
		if (message->generation_id_or_member_epoch >= 0)
			error = ask->version >= 9 ? KAFKA_GROUP_ID_NOT_FOUND
						  : KAFKA_ILLEGAL_GENERATION;
	} else {
		error = commit_validate(group, message);
	}
	if (error) {
		ask_refuse(machine, ask, error);
		return;
	}
	if (!group)
		group = group_new(machine, ask->group_id);
	struct group_member *member = group_member_find(group, message->member_id);
	if (member && (group->state == GROUP_STABLE || group->state == GROUP_PREPARING_REBALANCE))
		classic_session_restart(member);
	int64_t record_offset = record_next_offset(machine);
	if (commit_records(machine, group, ask) < 0) {
		/* All or nothing, as in Kafka. */
		records_discard(machine);
		ask_refuse(machine, ask, KAFKA_UNKNOWN_SERVER_ERROR);
		return;
	}
	response->topics =
		ask_array(ask, &offset_commit_response_topic_schema, message->topics_count);
	for (int32_t i = 0; i < message->topics_count; i++) {
		const struct offset_commit_request_topic *in = &message->topics[i];
		struct offset_commit_response_topic *out = NULL;
		if (response->topics) {
			out = &response->topics[response->topics_count++];
			out->name = in->name;
			out->topic_id = in->topic_id;
			out->partitions = ask_array(ask, &offset_commit_response_partition_schema,
				in->partitions_count);
		}
		for (int32_t j = 0; j < in->partitions_count; j++) {
			const struct offset_commit_request_partition *partition =
				&in->partitions[j];
			bool refused = commit_is_refused(machine, partition);
			if (!refused) {
				struct offset_value value =
					commit_value(machine, ask, in, partition, record_offset++);
				offset_apply(group, in->name, partition->partition_index, &value);
			}
			if (!out || !out->partitions)
				continue;
			out->partitions[j].partition_index = partition->partition_index;
			out->partitions[j].error_code =
				refused ? KAFKA_OFFSET_METADATA_TOO_LARGE : 0;
			out->partitions_count++;
		}
	}
	/* A new group of which every partition was refused stays, as in Kafka, though a restart would not bring it back: it
	 * goes when offsets are looked through for what expired. */
	ask_answer(machine, ask);
}

/* ---- OffsetFetch ---- */

/* Committed for a topic that was deleted, and made again under the same name. */
static bool fetch_is_of_another(const struct group_offset *offset, const struct uuid *topic_id)
{
	return !uuid_is_zero(topic_id) && !uuid_is_zero(&offset->value.topic_id) &&
	       !uuid_equal(topic_id, &offset->value.topic_id);
}

static void fetch_one(struct group_ask *ask, const struct group_offset *offset, int32_t partition,
	const struct uuid *topic_id, struct offset_fetch_response_partitions *out)
{
	out->partition_index = partition;
	out->committed_offset = -1;
	out->committed_leader_epoch = -1;
	out->metadata = STR("");
	if (!offset)
		return;
	if (ask->require_stable && offset->pending > 0) {
		out->error_code = KAFKA_UNSTABLE_OFFSET_COMMIT;
		return;
	}
	if (!offset->committed || fetch_is_of_another(offset, topic_id))
		return;
	out->committed_offset = offset->value.offset;
	out->committed_leader_epoch = offset->value.leader_epoch;
	out->metadata = ask_str(ask, offset->value.metadata);
}

static void fetch_all(struct group_ask *ask, const struct group *group,
	struct offset_fetch_response_group *response)
{
	response->topics = ask_array(ask, &offset_fetch_response_topics_schema,
		group ? (int32_t)group->topics.count : 0);
	if (!response->topics || !group)
		return;
	map_for_each(node, &group->topics)
	{
		const struct group_topic *topic = map_entry(node, struct group_topic, node);
		struct offset_fetch_response_topics *out =
			&response->topics[response->topics_count];
		out->name = ask_str(ask, topic->name);
		out->partitions = ask_array(ask, &offset_fetch_response_partitions_schema,
			(int32_t)topic->partitions.count);
		if (!out->partitions)
			return;
		map_for_each(offset_node, &topic->partitions)
		{
			const struct group_offset *offset =
				map_entry(offset_node, struct group_offset, node);
			if (!offset->committed)
				continue; /* only pending */
			/* The handler resolves the name; the first offset that has an id says which
			 * topic was meant. */
			if (uuid_is_zero(&out->topic_id))
				out->topic_id = offset->value.topic_id;
			fetch_one(ask, offset, offset->partition, &UUID_ZERO,
				&out->partitions[out->partitions_count++]);
		}
		if (out->partitions_count > 0)
			response->topics_count++;
	}
}

void offsets_fetch(struct group_machine *machine, struct group_ask *ask)
{
	const struct offset_fetch_request_group *message = ask->message;
	struct offset_fetch_response_group *response = ask->response;
	const struct group *group = group_find(machine, ask->group_id);

	response->group_id = ask->group_id;
	if (message->topics_count < 0) {
		fetch_all(ask, group, response);
		ask_answer(machine, ask);
		return;
	}
	response->topics =
		ask_array(ask, &offset_fetch_response_topics_schema, message->topics_count);
	for (int32_t i = 0; response->topics && i < message->topics_count; i++) {
		const struct offset_fetch_request_topics *in = &message->topics[i];
		struct offset_fetch_response_topics *out =
			&response->topics[response->topics_count++];
		out->name = in->name;
		out->topic_id = in->topic_id;
		out->partitions = ask_array(
			ask, &offset_fetch_response_partitions_schema, in->partition_indexes_count);
		for (int32_t j = 0; out->partitions && j < in->partition_indexes_count; j++) {
			int32_t index = in->partition_indexes[j];
			fetch_one(ask, group ? group_offset_find(group, in->name, index) : NULL,
				index, &in->topic_id, &out->partitions[out->partitions_count++]);
		}
	}
	ask_answer(machine, ask);
}

/* ---- OffsetDelete ---- */

static int16_t delete_one(
	struct group_machine *machine, struct group *group, struct str topic, int32_t partition)
{
	struct group_offset *offset = group_offset_find(group, topic, partition);

	if (!offset)
		return 0;
	if (record_offset_tombstone(machine, offset) < 0)
		return KAFKA_UNKNOWN_SERVER_ERROR;
	offset_remove(offset);
	return 0;
}

void offsets_delete(struct group_machine *machine, struct group_ask *ask)
{
	const struct offset_delete_request *message = ask->message;
	struct offset_delete_response *response = ask->response;
	struct group *group = group_find(machine, ask->group_id);

	if (!group) {
		ask_refuse(machine, ask, KAFKA_GROUP_ID_NOT_FOUND);
		return;
	}
	if (group->type == GROUP_CLASSIC && group->state != GROUP_EMPTY &&
		!group_uses_consumer_protocol(group)) {
		/* What such a group reads is not known. */
		ask_refuse(machine, ask, KAFKA_NON_EMPTY_GROUP);
		return;
	}
	response->topics =
		ask_array(ask, &offset_delete_response_topic_schema, message->topics_count);
	for (int32_t i = 0; response->topics && i < message->topics_count; i++) {
		const struct offset_delete_request_topic *in = &message->topics[i];
		struct offset_delete_response_topic *out =
			&response->topics[response->topics_count++];
		bool subscribed =
			group->type != GROUP_CLASSIC || group_is_subscribed(group, in->name);
		out->name = in->name;
		out->partitions = ask_array(
			ask, &offset_delete_response_partition_schema, in->partitions_count);
		for (int32_t j = 0; out->partitions && j < in->partitions_count; j++) {
			int32_t index = in->partitions[j].partition_index;
			out->partitions[j].partition_index = index;
			out->partitions[j].error_code =
				subscribed ? KAFKA_GROUP_SUBSCRIBED_TO_TOPIC
					   : delete_one(machine, group, in->name, index);
			out->partitions_count++;
		}
	}
	ask_answer(machine, ask);
}

int offsets_delete_all(struct group *group)
{
	while (group->topics.count > 0) {
		struct group_topic *topic =
			map_entry(map_first(&group->topics), struct group_topic, node);
		struct group_offset *offset =
			map_entry(map_first(&topic->partitions), struct group_offset, node);
		int error = record_offset_tombstone(group->machine, offset);
		if (error < 0)
			return error;
		offset_remove(offset);
	}
	return 0;
}

/* ---- expiry ---- */

/* From when on the retention counts; false: nothing of the group expires now. */
static bool expiry_begin(
	const struct group *group, const struct group_offset *offset, int64_t *ret_ms)
{
	if (group->type != GROUP_CLASSIC)
		return false;
	*ret_ms = offset->value.commit_timestamp_ms;
	if (str_is_null(group->protocol_type))
		return true; /* it only keeps offsets */
	if (group->state == GROUP_EMPTY) {
		if (group->state_timestamp_ms != -1)
			*ret_ms = group->state_timestamp_ms;
		return true;
	}
	return group->state == GROUP_STABLE && group_uses_consumer_protocol(group) &&
	       group->topics_known;
}

static bool offset_is_expired(const struct group *group, const struct group_offset *offset)
{
	struct group_machine *machine = group->machine;
	int64_t begin_ms;

	if (!offset->committed || offset->pending > 0 ||
		group_is_subscribed(group, offset->topic->name) ||
		!expiry_begin(group, offset, &begin_ms))
		return false;
	/* Clients before 2.1 may say it themselves. */
	if (offset->value.expire_timestamp_ms != -1)
		return machine->now.wall_ms >= offset->value.expire_timestamp_ms;
	/* The beginning may be any number that a client said. */
	return begin_ms <= machine->now.wall_ms - machine->limits.retention_ms;
}

/* False when there were too many for one step. */
static bool cleanup_group(struct group *group)
{
	struct group_machine *machine = group->machine;

	map_for_each_safe(topic_node, &group->topics)
	{
		struct group_topic *topic = map_entry(topic_node, struct group_topic, node);
		uint32_t left = topic->partitions.count;
		map_for_each_safe(node, &topic->partitions)
		{
			struct group_offset *offset = map_entry(node, struct group_offset, node);
			if (!offset_is_expired(group, offset))
				continue;
			if (machine->step->record_count >= CLEANUP_TOMBSTONES_MAX)
				return false;
			if (record_offset_tombstone(machine, offset) < 0) {
				if (machine->step->record_count > 0)
					return false;
				continue; /* it is too large alone, and stays */
			}
			offset_remove(offset);
			if (--left == 0)
				break; /* the topic went with the last */
		}
	}
	if (group->topics.count == 0 && group_is_empty(group) && group->pending.count == 0) {
		if (record_group_tombstone(machine, group) < 0)
			return machine->step->record_count == 0;
		group_forget(group);
	}
	return true;
}

void offsets_cleanup(struct group_machine *machine)
{
	bool all = true;

	map_for_each_safe(node, &machine->groups)
	{
		struct group *group = map_entry(node, struct group, node);
		if (group->type == GROUP_CLASSIC && !cleanup_group(group)) {
			all = false;
			break;
		}
	}
	/* What is expired and gone costs nothing to pass again. */
	deadline_set(&machine->deadlines, &machine->cleanup,
		machine->now.ms +
			(all ? max_of(machine->limits.check_interval_ms, (int64_t)1) : 1));
}
