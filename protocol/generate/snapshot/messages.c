/* Made by protocol/generate/generate.py from protocol/schema/. Change those, not this. */

#include "protocol/messages.h"

#include <stddef.h>

#include "protocol/limits.h"

_Static_assert(2 <= LIMIT_NESTING, "messages nest deeper than the limit");

static const struct update_raft_voter_response_current_leader update_raft_voter_response_current_leader_default = {.leader_id = -1, .leader_epoch = -1};
static const struct schema_field update_raft_voter_response_current_leader_fields[] = {
	{.name = "LeaderId", .type = SCHEMA_INT32, .offset = offsetof(struct update_raft_voter_response_current_leader, leader_id), .versions = {0, 0}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1, .default_value = -1},
	{.name = "LeaderEpoch", .type = SCHEMA_INT32, .offset = offsetof(struct update_raft_voter_response_current_leader, leader_epoch), .versions = {0, 0}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1, .default_value = -1},
	{.name = "Host", .type = SCHEMA_STRING, .offset = offsetof(struct update_raft_voter_response_current_leader, host), .versions = {0, 0}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1},
	{.name = "Port", .type = SCHEMA_INT32, .offset = offsetof(struct update_raft_voter_response_current_leader, port), .versions = {0, 0}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1},
};
static const struct update_raft_voter_response update_raft_voter_response_default = {.current_leader = {.leader_id = -1, .leader_epoch = -1}};
static const struct schema_field update_raft_voter_response_fields[] = {
	{.name = "ThrottleTimeMs", .type = SCHEMA_INT32, .offset = offsetof(struct update_raft_voter_response, throttle_time_ms), .versions = {0, 0}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1},
	{.name = "ErrorCode", .type = SCHEMA_INT16, .offset = offsetof(struct update_raft_voter_response, error_code), .versions = {0, 0}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1},
	{.name = "CurrentLeader", .type = SCHEMA_STRUCT, .offset = offsetof(struct update_raft_voter_response, current_leader), .of = &update_raft_voter_response_current_leader_schema, .versions = {0, 0}, .nullable = {0, -1}, .tagged = {0, 0}, .tag = 0},
};
_Static_assert(offsetof(struct transaction_log_value_partitions_schema, partition_ids_count) == offsetof(struct transaction_log_value_partitions_schema, partition_ids) + sizeof(void *), "the count follows the array");
static const struct schema_field transaction_log_value_partitions_schema_fields[] = {
	{.name = "Topic", .type = SCHEMA_STRING, .offset = offsetof(struct transaction_log_value_partitions_schema, topic), .versions = {0, 1}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1},
	{.name = "PartitionIds", .type = SCHEMA_ARRAY, .offset = offsetof(struct transaction_log_value_partitions_schema, partition_ids), .element = SCHEMA_INT32, .versions = {0, 1}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1},
};
_Static_assert(offsetof(struct transaction_log_value, transaction_partitions_count) == offsetof(struct transaction_log_value, transaction_partitions) + sizeof(void *), "the count follows the array");
static const struct transaction_log_value transaction_log_value_default = {.previous_producer_id = -1, .next_producer_id = -1, .next_producer_epoch = -1};
static const struct schema_field transaction_log_value_fields[] = {
	{.name = "ProducerId", .type = SCHEMA_INT64, .offset = offsetof(struct transaction_log_value, producer_id), .versions = {0, 1}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1},
	{.name = "PreviousProducerId", .type = SCHEMA_INT64, .offset = offsetof(struct transaction_log_value, previous_producer_id), .versions = {1, 1}, .nullable = {0, -1}, .tagged = {1, 1}, .tag = 0, .default_value = -1},
	{.name = "NextProducerId", .type = SCHEMA_INT64, .offset = offsetof(struct transaction_log_value, next_producer_id), .versions = {1, 1}, .nullable = {0, -1}, .tagged = {1, 1}, .tag = 1, .default_value = -1},
	{.name = "ProducerEpoch", .type = SCHEMA_INT16, .offset = offsetof(struct transaction_log_value, producer_epoch), .versions = {0, 1}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1},
	{.name = "NextProducerEpoch", .type = SCHEMA_INT16, .offset = offsetof(struct transaction_log_value, next_producer_epoch), .versions = {1, 1}, .nullable = {0, -1}, .tagged = {1, 1}, .tag = 3, .default_value = -1},
	{.name = "TransactionTimeoutMs", .type = SCHEMA_INT32, .offset = offsetof(struct transaction_log_value, transaction_timeout_ms), .versions = {0, 1}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1},
	{.name = "TransactionStatus", .type = SCHEMA_INT8, .offset = offsetof(struct transaction_log_value, transaction_status), .versions = {0, 1}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1},
	{.name = "TransactionPartitions", .type = SCHEMA_ARRAY, .offset = offsetof(struct transaction_log_value, transaction_partitions), .element = SCHEMA_STRUCT, .of = &transaction_log_value_partitions_schema_schema, .versions = {0, 1}, .nullable = {0, 1}, .tagged = {0, -1}, .tag = -1},
	{.name = "TransactionLastUpdateTimestampMs", .type = SCHEMA_INT64, .offset = offsetof(struct transaction_log_value, transaction_last_update_timestamp_ms), .versions = {0, 1}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1},
	{.name = "TransactionStartTimestampMs", .type = SCHEMA_INT64, .offset = offsetof(struct transaction_log_value, transaction_start_timestamp_ms), .versions = {0, 1}, .nullable = {0, -1}, .tagged = {0, -1}, .tag = -1},
	{.name = "ClientTransactionVersion", .type = SCHEMA_INT16, .offset = offsetof(struct transaction_log_value, client_transaction_version), .versions = {1, 1}, .nullable = {0, -1}, .tagged = {1, 1}, .tag = 2},
};
static const struct schema_step update_raft_voter_response_current_leader_plan_0_steps[] = {
	{.op = OP_INT32, .offset = offsetof(struct update_raft_voter_response_current_leader, leader_id), .field = 0},
	{.op = OP_INT32, .offset = offsetof(struct update_raft_voter_response_current_leader, leader_epoch), .field = 1},
	{.op = OP_COMPACT_STRING, .offset = offsetof(struct update_raft_voter_response_current_leader, host), .field = 2},
	{.op = OP_INT32, .offset = offsetof(struct update_raft_voter_response_current_leader, port), .field = 3},
};
static const struct schema_plan update_raft_voter_response_current_leader_plan_0 = {
	.of = &update_raft_voter_response_current_leader_schema,
	.min_size = 14,
	.flexible = true,
	.steps = update_raft_voter_response_current_leader_plan_0_steps, .step_count = 4,
};
static const struct schema_step update_raft_voter_response_plan_0_steps[] = {
	{.op = OP_INT32, .offset = offsetof(struct update_raft_voter_response, throttle_time_ms), .field = 0},
	{.op = OP_INT16, .offset = offsetof(struct update_raft_voter_response, error_code), .field = 1},
};
static const struct schema_step update_raft_voter_response_plan_0_tagged[] = {
	{.op = OP_STRUCT, .offset = offsetof(struct update_raft_voter_response, current_leader), .field = 2, .plan = &update_raft_voter_response_current_leader_plan_0},
};
static const struct schema_plan update_raft_voter_response_plan_0 = {
	.of = &update_raft_voter_response_schema,
	.min_size = 7,
	.flexible = true,
	.steps = update_raft_voter_response_plan_0_steps, .step_count = 2,
	.tagged = update_raft_voter_response_plan_0_tagged, .tagged_count = 1,
};
static const struct schema_step transaction_log_value_partitions_schema_plan_0_steps[] = {
	{.op = OP_STRING, .offset = offsetof(struct transaction_log_value_partitions_schema, topic), .field = 0},
	{.op = OP_ARRAY, .offset = offsetof(struct transaction_log_value_partitions_schema, partition_ids), .field = 1, .element_op = OP_INT32},
};
static const struct schema_plan transaction_log_value_partitions_schema_plan_0 = {
	.of = &transaction_log_value_partitions_schema_schema,
	.min_size = 6,
	.steps = transaction_log_value_partitions_schema_plan_0_steps, .step_count = 2,
};
static const struct schema_step transaction_log_value_plan_0_steps[] = {
	{.op = OP_INT64, .offset = offsetof(struct transaction_log_value, producer_id), .field = 0},
	{.op = OP_INT16, .offset = offsetof(struct transaction_log_value, producer_epoch), .field = 3},
	{.op = OP_INT32, .offset = offsetof(struct transaction_log_value, transaction_timeout_ms), .field = 5},
	{.op = OP_INT8, .offset = offsetof(struct transaction_log_value, transaction_status), .field = 6},
	{.op = OP_ARRAY, .offset = offsetof(struct transaction_log_value, transaction_partitions), .field = 7, .plan = &transaction_log_value_partitions_schema_plan_0, .element_op = OP_STRUCT, .nullable = true},
	{.op = OP_INT64, .offset = offsetof(struct transaction_log_value, transaction_last_update_timestamp_ms), .field = 8},
	{.op = OP_INT64, .offset = offsetof(struct transaction_log_value, transaction_start_timestamp_ms), .field = 9},
};
static const uint16_t transaction_log_value_plan_0_absent[] = {
	1,
	2,
	4,
	10,
};
static const struct schema_plan transaction_log_value_plan_0 = {
	.of = &transaction_log_value_schema,
	.min_size = 35,
	.steps = transaction_log_value_plan_0_steps, .step_count = 7,
	.absent = transaction_log_value_plan_0_absent, .absent_count = 4,
};
static const struct schema_step transaction_log_value_partitions_schema_plan_1_steps[] = {
	{.op = OP_COMPACT_STRING, .offset = offsetof(struct transaction_log_value_partitions_schema, topic), .field = 0},
	{.op = OP_COMPACT_ARRAY, .offset = offsetof(struct transaction_log_value_partitions_schema, partition_ids), .field = 1, .element_op = OP_INT32},
};
static const struct schema_plan transaction_log_value_partitions_schema_plan_1 = {
	.of = &transaction_log_value_partitions_schema_schema,
	.min_size = 3,
	.flexible = true,
	.steps = transaction_log_value_partitions_schema_plan_1_steps, .step_count = 2,
};
static const struct schema_step transaction_log_value_plan_1_steps[] = {
	{.op = OP_INT64, .offset = offsetof(struct transaction_log_value, producer_id), .field = 0},
	{.op = OP_INT16, .offset = offsetof(struct transaction_log_value, producer_epoch), .field = 3},
	{.op = OP_INT32, .offset = offsetof(struct transaction_log_value, transaction_timeout_ms), .field = 5},
	{.op = OP_INT8, .offset = offsetof(struct transaction_log_value, transaction_status), .field = 6},
	{.op = OP_COMPACT_ARRAY, .offset = offsetof(struct transaction_log_value, transaction_partitions), .field = 7, .plan = &transaction_log_value_partitions_schema_plan_1, .element_op = OP_STRUCT, .nullable = true},
	{.op = OP_INT64, .offset = offsetof(struct transaction_log_value, transaction_last_update_timestamp_ms), .field = 8},
	{.op = OP_INT64, .offset = offsetof(struct transaction_log_value, transaction_start_timestamp_ms), .field = 9},
};
static const struct schema_step transaction_log_value_plan_1_tagged[] = {
	{.op = OP_INT64, .offset = offsetof(struct transaction_log_value, previous_producer_id), .field = 1},
	{.op = OP_INT64, .offset = offsetof(struct transaction_log_value, next_producer_id), .field = 2},
	{.op = OP_INT16, .offset = offsetof(struct transaction_log_value, client_transaction_version), .field = 10},
	{.op = OP_INT16, .offset = offsetof(struct transaction_log_value, next_producer_epoch), .field = 4},
};
static const struct schema_plan transaction_log_value_plan_1 = {
	.of = &transaction_log_value_schema,
	.min_size = 33,
	.flexible = true,
	.steps = transaction_log_value_plan_1_steps, .step_count = 7,
	.tagged = transaction_log_value_plan_1_tagged, .tagged_count = 4,
};
const struct schema_struct update_raft_voter_response_current_leader_schema = {
	.name = "CurrentLeader",
	.size = sizeof(struct update_raft_voter_response_current_leader),
	.field_count = 4,
	.min_version = 0,
	.max_version = 0,
	.fields = update_raft_voter_response_current_leader_fields,
	.defaults = &update_raft_voter_response_current_leader_default,
	.tags_offset = offsetof(struct update_raft_voter_response_current_leader, unknown_tags),
};
static const struct schema_plan *const update_raft_voter_response_plans[] = {
	&update_raft_voter_response_plan_0,
};
const struct schema_struct update_raft_voter_response_schema = {
	.name = "UpdateRaftVoterResponse",
	.size = sizeof(struct update_raft_voter_response),
	.field_count = 3,
	.min_version = 0,
	.max_version = 0,
	.fields = update_raft_voter_response_fields,
	.defaults = &update_raft_voter_response_default,
	.plans = update_raft_voter_response_plans,
	.tags_offset = offsetof(struct update_raft_voter_response, unknown_tags),
};
const struct schema_struct transaction_log_value_partitions_schema_schema = {
	.name = "PartitionsSchema",
	.size = sizeof(struct transaction_log_value_partitions_schema),
	.field_count = 2,
	.min_version = 0,
	.max_version = 1,
	.fields = transaction_log_value_partitions_schema_fields,
	.tags_offset = offsetof(struct transaction_log_value_partitions_schema, unknown_tags),
};
static const struct schema_plan *const transaction_log_value_plans[] = {
	&transaction_log_value_plan_0,
	&transaction_log_value_plan_1,
};
const struct schema_struct transaction_log_value_schema = {
	.name = "TransactionLogValue",
	.size = sizeof(struct transaction_log_value),
	.field_count = 11,
	.min_version = 0,
	.max_version = 1,
	.fields = transaction_log_value_fields,
	.defaults = &transaction_log_value_default,
	.plans = transaction_log_value_plans,
	.tags_offset = offsetof(struct transaction_log_value, unknown_tags),
};
const struct api_row api_table[API_COUNT] = {
};

const struct record_row record_table[RECORD_COUNT] = {
};

const struct schema_struct *const schema_messages[SCHEMA_MESSAGE_COUNT] = {
	&update_raft_voter_response_schema,
	&transaction_log_value_schema,
};
