/*
 * The records of `__consumer_offsets`: made from the state, and the state out of them. A key begins
 * with the record's type in two bytes, a value with its version. Versions are those that
 * Kafka 4.3.1 writes: GroupMetadataValue 3, OffsetCommitValue 4, or 1 when the commit says itself
 * when it expires. Follows GroupCoordinatorRecordHelpers and the replay methods of Kafka's
 * managers.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/group/machine_internal.h"
#include "protocol/batch.h"

enum {
	GROUP_METADATA_VALUE_VERSION = 3,
	OFFSET_COMMIT_VALUE_VERSION = 4,
	OFFSET_COMMIT_VALUE_EXPIRING_VERSION = 1,
	/* Of a record beside key and value: lengths, attributes, deltas. */
	RECORD_OVERHEAD = 24,
};

enum record_type {
	RECORD_LEGACY_OFFSET_COMMIT = 0,
	RECORD_OFFSET_COMMIT = 1,
	RECORD_GROUP_METADATA = 2,
	RECORD_CONSUMER_GROUP_METADATA = 3,
	RECORD_SHARE_GROUP_METADATA = 11,
	RECORD_STREAMS_GROUP_METADATA = 17,
};

/* ---- writing ---- */

static int record_encode(struct arena *arena, int16_t prefix, const struct schema_struct *schema,
	int version, const void *message, struct bytes *ret)
{
	struct output output;

	output_init(&output, arena, 64);
	uint8_t *at = output_append(&output, 2);
	if (!at)
		return -ENOMEM;
	store_be16(at, (uint16_t)prefix);
	int error = schema_encode(schema, version, message, &output, NULL);
	if (error < 0)
		return error;
	if (output.size > INT32_MAX)
		return -EMSGSIZE;
	*ret = output_bytes(&output);
	return 0;
}

static int record_add(struct group_machine *machine, enum record_type type,
	const struct schema_struct *key_schema, const void *key,
	const struct schema_struct *value_schema, int value_version, const void *value)
{
	struct group_step *step = machine->step;
	struct group_record *record = arena_new(&step->arena, struct group_record);

	if (!record)
		return -ENOMEM;
	record->value = BYTES_NULL;
	int error = record_encode(&step->arena, (int16_t)type, key_schema, 0, key, &record->key);
	if (error == 0 && value)
		error = record_encode(&step->arena, (int16_t)value_version, value_schema,
			value_version, value, &record->value);
	if (error < 0)
		return error;
	size_t size =
		(size_t)record->key.size + (size_t)max_of(record->value.size, 0) + RECORD_OVERHEAD;
	if (step->record_bytes + size > machine->limits.record_size_max)
		return -EMSGSIZE;
	step->record_bytes += size;
	*step->last = record;
	step->last = &record->next;
	step->record_count++;
	return 0;
}

void records_discard(struct group_machine *machine)
{
	struct group_step *step = machine->step;

	step->first = NULL;
	step->last = &step->first;
	step->record_count = 0;
	step->record_bytes = BATCH_HEADER_SIZE;
}

int64_t record_next_offset(const struct group_machine *machine)
{
	return machine->step->log_end + machine->step->record_count;
}

static int record_offset(struct group_machine *machine, struct str group, struct str topic,
	int32_t partition, const struct offset_commit_value *value, int version)
{
	struct offset_commit_key key;

	schema_init(&offset_commit_key_schema, &key);
	key.group = group;
	key.topic = topic;
	key.partition = partition;
	return record_add(machine, RECORD_OFFSET_COMMIT, &offset_commit_key_schema, &key,
		&offset_commit_value_schema, version, value);
}

int record_offset_commit(struct group_machine *machine, const struct group *group, struct str topic,
	int32_t partition, const struct offset_value *from)
{
	struct offset_commit_value value;

	schema_init(&offset_commit_value_schema, &value);
	value.offset = from->offset;
	value.leader_epoch = from->leader_epoch;
	value.metadata = from->metadata;
	value.commit_timestamp = from->commit_timestamp_ms;
	value.expire_timestamp = from->expire_timestamp_ms;
	value.topic_id = from->topic_id;
	return record_offset(machine, group->id, topic, partition, &value,
		from->expire_timestamp_ms >= 0 ? OFFSET_COMMIT_VALUE_EXPIRING_VERSION
					       : OFFSET_COMMIT_VALUE_VERSION);
}

int record_offset_tombstone(struct group_machine *machine, const struct group_offset *offset)
{
	return record_offset(
		machine, offset->topic->group->id, offset->topic->name, offset->partition, NULL, 0);
}

static int record_group_value(struct group_machine *machine, struct group *group,
	const struct group_metadata_value *value)
{
	struct group_metadata_key key;

	schema_init(&group_metadata_key_schema, &key);
	key.group = group->id;
	int error = record_add(machine, RECORD_GROUP_METADATA, &group_metadata_key_schema, &key,
		&group_metadata_value_schema, GROUP_METADATA_VALUE_VERSION, value);
	if (error == 0)
		group->recorded = value != NULL;
	return error;
}

int record_group(
	struct group_machine *machine, struct group *group, const struct bytes *assignments)
{
	struct group_metadata_value value;
	uint32_t place = 0;

	schema_init(&group_metadata_value_schema, &value);
	value.protocol_type = str_is_null(group->protocol_type) ? STR("") : group->protocol_type;
	value.generation = group->generation;
	value.protocol = group->protocol_name;
	value.leader = group->leader_id;
	value.current_state_timestamp = group->state_timestamp_ms;
	value.members = schema_new_array(&group_metadata_value_member_metadata_schema,
		&machine->step->arena, (int32_t)group->members.count);
	if (!value.members)
		return -ENOMEM;
	map_for_each(node, &group->members)
	{
		const struct group_member *member = map_entry(node, struct group_member, node);
		struct group_metadata_value_member_metadata *out =
			&value.members[value.members_count++];
		out->member_id = member->id;
		out->group_instance_id = member->instance_id;
		out->client_id = member->client_id;
		out->client_host = member->client_host;
		out->rebalance_timeout = member->rebalance_timeout_ms;
		out->session_timeout = member->session_timeout_ms;
		out->subscription = group_member_metadata(member, group->protocol_name);
		out->assignment = assignments ? assignments[place] : member->assignment;
		place++;
	}
	return record_group_value(machine, group, &value);
}

int record_group_empty(struct group_machine *machine, struct group *group)
{
	struct group_metadata_value value;

	schema_init(&group_metadata_value_schema, &value);
	value.protocol_type = STR("");
	value.protocol = STR_NULL;
	value.leader = STR_NULL;
	value.generation = 0;
	value.current_state_timestamp = group->state_timestamp_ms;
	return record_group_value(machine, group, &value);
}

int record_group_tombstone(struct group_machine *machine, const struct group *group)
{
	return record_group_value(machine, (struct group *)(uintptr_t)group, NULL);
}

/* ---- replay ---- */

static int record_decode(const struct schema_struct *schema, int version, struct bytes from,
	struct arena *arena, void *message)
{
	return schema_decode(schema, version,
		       (struct bytes){.data = from.data + 2, .size = from.size - 2}, arena, message,
		       NULL, NULL) < 0
		       ? -EBADMSG
		       : 0;
}

static struct group *replay_group(struct group_machine *machine, struct str id)
{
	struct group *group = group_find(machine, id);

	return group ? group : group_new(machine, id);
}

static void replay_offset_value(struct group_machine *machine, int64_t producer_id,
	const struct offset_commit_key *key, const struct offset_value *value)
{
	struct group *group = replay_group(machine, key->group);

	if (producer_id < 0)
		offset_apply(group, key->topic, key->partition, value);
	else
		offset_apply_pending(group, key->topic, key->partition, value, producer_id);
}

static void replay_offset_tombstone(
	struct group_machine *machine, const struct offset_commit_key *key)
{
	struct group *group = group_find(machine, key->group);
	struct group_offset *offset =
		group ? group_offset_find(group, key->topic, key->partition) : NULL;

	if (!offset)
		return;
	offset_remove(offset);
	/* A group that was only there for its offsets. */
	if (!group->recorded && group->type == GROUP_CLASSIC && group->topics.count == 0)
		group_forget(group);
}

static int replay_offset(struct group_machine *machine, int type, int64_t offset,
	int64_t producer_id, struct bytes key_bytes, struct bytes value_bytes, struct arena *arena)
{
	struct offset_commit_key key;
	struct offset_value value = {
		.record_offset = offset, .leader_epoch = -1, .expire_timestamp_ms = -1};

	/* Both types have the same key. */
	if (record_decode(&offset_commit_key_schema, 0, key_bytes, arena, &key) < 0)
		return -EBADMSG;
	if (value_bytes.size < 0) {
		replay_offset_tombstone(machine, &key);
		return 0;
	}
	if (value_bytes.size < 2)
		return -EBADMSG;
	int version = (int16_t)load_be16(value_bytes.data);
	if (type == RECORD_LEGACY_OFFSET_COMMIT) {
		struct legacy_offset_commit_value from;
		if (record_decode(&legacy_offset_commit_value_schema, version, value_bytes, arena,
			    &from) < 0)
			return -EBADMSG;
		value.offset = from.offset;
		value.metadata = from.metadata;
		value.commit_timestamp_ms = from.commit_timestamp;
	} else {
		struct offset_commit_value from;
		if (record_decode(&offset_commit_value_schema, version, value_bytes, arena, &from) <
			0)
			return -EBADMSG;
		value.offset = from.offset;
		value.leader_epoch = from.leader_epoch;
		value.metadata = from.metadata;
		value.commit_timestamp_ms = from.commit_timestamp;
		value.expire_timestamp_ms = from.expire_timestamp;
		value.topic_id = from.topic_id;
	}
	replay_offset_value(machine, producer_id, &key, &value);
	return 0;
}

static void replay_member(struct group *group, const struct group_metadata_value *value,
	const struct group_metadata_value_member_metadata *from)
{
	/* One that stands there twice would be two members of one name. */
	if (group_member_find(group, from->member_id) ||
		group_instance_find(group, from->group_instance_id))
		return;
	struct group_member *member = group_member_new(group, from->member_id,
		from->group_instance_id, from->client_id, from->client_host,
		from->rebalance_timeout == -1 ? from->session_timeout : from->rebalance_timeout,
		from->session_timeout);
	struct join_group_request_protocol protocol = {
		.name = str_is_null(value->protocol) ? STR("") : value->protocol,
		.metadata = from->subscription};

	group_member_protocols_set(member, &protocol, 1);
	group_member_assign(member, from->assignment);
	group_member_add(group, member);
}

static int replay_group_metadata(struct group_machine *machine, struct bytes key_bytes,
	struct bytes value_bytes, struct arena *arena)
{
	struct group_metadata_key key;
	struct group_metadata_value value;
	struct group *group;

	if (record_decode(&group_metadata_key_schema, 0, key_bytes, arena, &key) < 0)
		return -EBADMSG;
	if (value_bytes.size < 0) {
		group = group_find(machine, key.group);
		if (group)
			group_forget(group);
		return 0;
	}
	if (value_bytes.size < 2 ||
		record_decode(&group_metadata_value_schema, (int16_t)load_be16(value_bytes.data),
			value_bytes, arena, &value) < 0)
		return -EBADMSG;
	group = group_find(machine, key.group);
	if (group)
		group_forget(group);
	group = replay_group(machine, key.group);
	group->recorded = true;
	group->generation = value.generation;
	if (value.protocol_type.size > 0)
		state_str_set(machine, &group->protocol_type, value.protocol_type);
	state_str_set(machine, &group->protocol_name, value.protocol);
	state_str_set(machine, &group->leader_id, value.leader);
	for (int32_t i = 0; i < value.members_count; i++)
		replay_member(group, &value, &value.members[i]);
	group->state = group->previous = group->members.count > 0 ? GROUP_STABLE : GROUP_EMPTY;
	group->state_timestamp_ms = value.current_state_timestamp;
	group_subscriptions_update(group);
	return 0;
}

/* Groups of the other protocols are known by name and type, so that the classic one leaves them
 * alone. */
static int replay_foreign(struct group_machine *machine, enum group_type type,
	const struct schema_struct *key_schema, struct bytes key_bytes, bool tombstone,
	struct arena *arena)
{
	/* The group's id is the first field of each of these keys. */
	struct str *key = arena_alloc_zero(arena, 1, key_schema->size);

	if (!key || record_decode(key_schema, 0, key_bytes, arena, key) < 0)
		return -EBADMSG;
	struct group *group = group_find(machine, *key);
	if (tombstone) {
		if (group && group->type == type)
			group_forget(group);
		return 0;
	}
	if (group && group->type == type)
		return 0;
	if (group)
		group_forget(group);
	group = replay_group(machine, *key);
	group->type = type;
	group->recorded = true;
	return 0;
}

int group_machine_replay(struct group_machine *machine, int64_t offset, int64_t producer_id,
	struct bytes key, struct bytes value, struct arena *scratch)
{
	if (key.size < 2)
		return -EBADMSG;
	int type = (int16_t)load_be16(key.data);
	switch (type) {
	case RECORD_LEGACY_OFFSET_COMMIT:
	case RECORD_OFFSET_COMMIT:
		return replay_offset(machine, type, offset, producer_id, key, value, scratch);
	case RECORD_GROUP_METADATA:
		return replay_group_metadata(machine, key, value, scratch);
	case RECORD_CONSUMER_GROUP_METADATA:
		return replay_foreign(machine, GROUP_CONSUMER, &consumer_group_metadata_key_schema,
			key, value.size < 0, scratch);
	case RECORD_SHARE_GROUP_METADATA:
		return replay_foreign(machine, GROUP_SHARE, &share_group_metadata_key_schema, key,
			value.size < 0, scratch);
	case RECORD_STREAMS_GROUP_METADATA:
		return replay_foreign(machine, GROUP_STREAMS, &streams_group_metadata_key_schema,
			key, value.size < 0, scratch);
	default:
		return 0; /* what belongs to such a group */
	}
}

void group_machine_replay_marker(struct group_machine *machine, int64_t producer_id, bool committed)
{
	transaction_end(machine, producer_id, committed);
}
