/*
 * The effective values of a topic's or a group's settings: its own over what the broker's settings
 * give, each with where it came from. What typed structs, DescribeConfigs and the checks of changes
 * start from.
 */
#pragma once

#include "broker/config/config.h"

enum { RESOURCE_VALUES_MAX = 64 };

struct resource_values {
	enum config_resource resource;
	enum setting_id first, end; /* the resource's span of settings */
	struct setting_value values[RESOURCE_VALUES_MAX];
	bool overridden[RESOURCE_VALUES_MAX];
};

static inline const struct setting_value *resource_value(
	const struct resource_values *values, enum setting_id id)
{
	ensure(id >= values->first && id < values->end);
	return &values->values[id - values->first];
}

/* What the broker's settings give a topic's or group's setting that falls back to one of them. */
struct setting_value config_fallback(const struct config *config, enum setting_id id);

/* Fills VALUES for RESOURCE (topic, group or client metrics) from the broker's settings and OWN,
 * whose texts are copied into ARENA where they must be. Returns 0; with PROBLEM not NULL, -EINVAL
 * and words at the first of OWN that is unknown or not valid; without it such ones are left out and
 * counted. -ENOMEM. */
int resource_values_init(struct resource_values *values, enum config_resource resource,
	const struct config *config, const struct config_entries *own, struct arena *arena,
	struct config_problem *problem, int32_t *ret_left_out);
