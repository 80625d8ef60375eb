/*
 * The feature levels that this broker serves: what it registers with and what ApiVersions reports.
 * A level stands here when the APIs behind it are served, so clients never switch to a protocol
 * that isn't there.
 */
#pragma once

#include "broker/metadata/feature.h"

struct served_feature {
	struct str name;
	int16_t min_level, max_level;
};

/* In order of name. */
extern const struct served_feature served_features[];
extern const unsigned served_feature_count;
