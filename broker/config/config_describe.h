/*
 * What DescribeConfigs shows of a resource: every setting with its value, where it came from, and
 * which other settings stand behind it, as Kafka's ConfigHelper makes them. Documentation is ours.
 */
#pragma once

#include "broker/config/config.h"

/* Numbered as DescribeConfigs numbers them. */
enum config_source {
	CONFIG_SOURCE_UNKNOWN = 0,
	CONFIG_SOURCE_TOPIC = 1,
	CONFIG_SOURCE_DYNAMIC_BROKER = 2,
	CONFIG_SOURCE_DYNAMIC_CLUSTER = 3,
	CONFIG_SOURCE_STATIC_BROKER = 4,
	CONFIG_SOURCE_DEFAULT = 5,
	CONFIG_SOURCE_BROKER_LOGGER = 6,
	CONFIG_SOURCE_CLIENT_METRICS = 7,
	CONFIG_SOURCE_GROUP = 8,
};

struct config_synonym {
	struct str name;
	struct str value; /* null when sensitive */
	enum config_source source;
};

struct config_description {
	struct str name;
	struct str value; /* null when sensitive, or not set */
	enum config_source source;
	bool is_sensitive;
	bool is_read_only;
	enum setting_type type;
	struct str documentation; /* null for a name that is no setting */
	const struct config_synonym *synonyms;
	int32_t synonym_count;
};

struct config_descriptions {
	struct config_description *items;
	int32_t count;
};

/* All entries of RESOURCE, in the order of the table; names that are no settings come last. OWN are
 * the resource's own settings (topic, group, client metrics; not read for brokers). With
 * CLUSTER_DEFAULT, and RESOURCE the broker, those of all brokers instead: only what is set. Views
 * into CONFIG, OWN and ARENA. -ENOMEM. */
int config_describe(const struct config *config, enum config_resource resource,
	bool cluster_default, const struct config_entries *own, struct arena *arena,
	struct config_descriptions *ret_descriptions);
