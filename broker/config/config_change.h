/*
 * What AlterConfigs and IncrementalAlterConfigs would do to a resource's settings: from what is set
 * now and the changes asked for to the records to write, or to the error code and the words with
 * which Kafka refuses. Follows ConfigAdminManager (the broker's part) and
 * ConfigurationControlManager with its validators (the controller's).
 */
#pragma once

#include "broker/config/config.h"
#include "protocol/errors.h"

/* Numbered as IncrementalAlterConfigs numbers them. */
enum config_operation {
	CONFIG_SET = 0,
	CONFIG_DELETE = 1,
	CONFIG_APPEND = 2,
	CONFIG_SUBTRACT = 3,
};

struct config_change {
	struct str name;
	int8_t operation; /* enum config_operation as it came: checked here */
	struct str value; /* may be null, as it came */
};

struct config_changes {
	const struct config_change *items;
	int32_t count;
};

/* On what the answer depends, beside the changes. */
struct config_change_context {
	const struct config *config; /* of this node, dynamic layers included */
	enum config_resource resource;
	struct str resource_name;      /* empty for a broker: all brokers */
	struct str name_problem; /* why nothing can have that name; empty or null: it can. Told before what
				    is wrong with values, behind what is wrong with operations */
	struct config_entries current; /* what is set on the resource now */
	bool elr_enabled;	       /* the feature level eligible.leader.replicas.version >= 1 */
	bool whole;		       /* AlterConfigs: what is not named is removed */
};

/* A value that is null removes the setting. */
struct config_record_value {
	struct str name;
	struct str value;
};

struct config_records {
	struct config_record_value *items;
	int32_t count;
};

struct config_refusal {
	enum kafka_error error; /* KAFKA_NONE: not refused */
	char message[1024];	/* Kafka's words */
};

/* 0 with the records that make the change (none when nothing differs), or with REFUSAL saying why
 * not. Whether the resource exists and the principal may change it is the caller's. Views into the
 * arguments and ARENA. -ENOMEM. */
int config_change(const struct config_change_context *context, const struct config_changes *changes,
	struct arena *arena, struct config_records *ret_records,
	struct config_refusal *ret_refusal);

/* The settings that a new topic is created with, as CreateTopics gives them: checked like a change
 * of a topic that has none. */
int config_check_new_topic(const struct config *config, const struct config_entries *settings,
	struct arena *arena, struct config_refusal *ret_refusal);
