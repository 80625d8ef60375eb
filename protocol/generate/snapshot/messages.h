/* Made by protocol/generate/generate.py from protocol/schema/. Change those, not this. */

#pragma once

#include "protocol/schema.h"

enum api_key {
};

#define API_COUNT 0

extern const struct api_row api_table[API_COUNT];

/* The logs that brokers keep, by the kinds of records in them. */
enum record_log {
};

#define RECORD_COUNT 0

extern const struct record_row record_table[RECORD_COUNT];

#define SCHEMA_MESSAGE_COUNT 2

/* Every message there is, in order of their names' files. */
extern const struct schema_struct *const schema_messages[SCHEMA_MESSAGE_COUNT];

struct update_raft_voter_response_current_leader {
	int32_t leader_id;
	int32_t leader_epoch;
	struct str host;
	int32_t port;
	struct tagged_fields unknown_tags;
};

struct update_raft_voter_response {
	int32_t throttle_time_ms;
	int16_t error_code;
	struct update_raft_voter_response_current_leader current_leader;
	struct tagged_fields unknown_tags;
};

struct transaction_log_value_partitions_schema {
	struct str topic;
	int32_t *partition_ids;
	int32_t partition_ids_count;
	struct tagged_fields unknown_tags;
};

struct transaction_log_value {
	int64_t producer_id;
	int64_t previous_producer_id;
	int64_t next_producer_id;
	int16_t producer_epoch;
	int16_t next_producer_epoch;
	int32_t transaction_timeout_ms;
	int8_t transaction_status;
	struct transaction_log_value_partitions_schema *transaction_partitions;
	int32_t transaction_partitions_count;
	int64_t transaction_last_update_timestamp_ms;
	int64_t transaction_start_timestamp_ms;
	int16_t client_transaction_version;
	struct tagged_fields unknown_tags;
};

extern const struct schema_struct update_raft_voter_response_current_leader_schema;
extern const struct schema_struct update_raft_voter_response_schema;
extern const struct schema_struct transaction_log_value_partitions_schema_schema;
extern const struct schema_struct transaction_log_value_schema;
