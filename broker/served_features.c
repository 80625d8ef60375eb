#include "broker/served_features.h"

#define FEATURE(name_text, lowest, highest)                                        \
	{                                                                          \
		.name = {name_text, sizeof(name_text) - 1}, .min_level = (lowest), \
		.max_level = (highest)                                             \
	}

const struct served_feature served_features[] = {
	FEATURE(FEATURE_ELR_VERSION, 0, 1),
	FEATURE(FEATURE_KRAFT_VERSION, 0, 1),
	FEATURE(FEATURE_METADATA_VERSION, METADATA_VERSION_MIN, METADATA_VERSION_LATEST),
};

const unsigned served_feature_count = array_length(served_features);
