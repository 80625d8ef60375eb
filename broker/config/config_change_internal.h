/*
 * A change in the making: what config_change.c and config_change_broker.c share.
 */
#pragma once

#include "broker/config/config_change.h"
#include "broker/config/config_internal.h"

struct config_altering {
	const struct config_change_context *context;
	const struct config_changes *changes;
	struct arena *arena;
	struct config_records records;
	struct config_entries next; /* what will be set when the change is made */
	struct config_refusal *refusal;
	bool out_of_memory;
};

/* Words of any length, cut. False, for callers that return it. */
__attribute__((format(printf, 3, 4))) bool config_refuse(
	struct config_altering *change, enum kafka_error error, const char *format, ...);
bool config_no_memory(struct config_altering *change);

/* What a broker's dynamic settings must be. */
bool config_check_broker(struct config_altering *change);
