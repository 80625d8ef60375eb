/*
 * The configuration of this node: what the file and the command line say, over it what was changed
 * while running (KIP-226), each value parsed and checked once, then immutable. A change makes a new
 * struct config; shards swap their reference when they are told.
 *
 * Layers, the later winning: default < static (file, --set) < dynamic for the whole cluster <
 * dynamic for this broker. Topics and groups lie over it: topic_config.h, resource_values.h.
 *
 *	config_int(config, SETTING_NUM_PARTITIONS)
 */
#pragma once

#include "broker/config/endpoint.h"
#include "broker/config/properties.h"
#include "broker/config/setting.h"

struct config;

enum config_severity { CONFIG_NOTE, CONFIG_WARNING, CONFIG_ERROR };

/* Something to tell the operator. NAME is the setting meant, TEXT a sentence that stands alone. */
struct config_finding {
	struct config_finding *next;
	enum config_severity severity;
	bool unserved; /* an error only because Barnabas does not serve it yet */
	struct str name;
	struct str text;
};

/* What was found, in order. Zeroed is not ready: config_report_init. */
struct config_report {
	struct arena arena;
	struct config_finding *first, **last;
	int32_t errors, warnings;
	bool strict; /* unknown names are errors */
};

void config_report_init(struct config_report *report);
void config_report_done(struct config_report *report);

/* The static configuration from LAYERS of entries, of which later ones win. -EINVAL when REPORT
 * holds errors, -ENOMEM. *RET_CONFIG is one reference. */
int config_new(const struct config_entries *layers, int32_t layer_count,
	struct config_report *report, struct config **ret_config);

/* What `barnabas serve` runs with when it is given no file: one combined node that listens on
 * 127.0.0.1:9092 and keeps its data in ./data. OVERRIDES are --set's. */
int config_new_embedded(const struct config_entries *overrides, struct config_report *report,
	struct config **ret_config);

/* BASE's static layer with other dynamic ones. As Kafka does, what is not dynamic or not valid is
 * left out with a warning and the rest counts; -EINVAL when the whole is not valid (BASE stays in
 * use), -ENOMEM. */
int config_update(const struct config *base, const struct config_entries *cluster,
	const struct config_entries *broker, struct config_report *report,
	struct config **ret_config);

/* From any shard. */
struct config *config_ref(const struct config *config);
void config_unref(const struct config *config);

/* Constant time. The setting must be a broker's and of that type; the numbers, booleans and doubles
 * must not be null (config_is_null). STR serves STRING, CLASS and PASSWORD and may be null. */
bool config_bool(const struct config *config, enum setting_id id);
int32_t config_int(const struct config *config, enum setting_id id);
int64_t config_long(const struct config *config, enum setting_id id);
double config_double(const struct config *config, enum setting_id id);
struct str config_str(const struct config *config, enum setting_id id);
struct str_list config_list(const struct config *config, enum setting_id id);
bool config_is_null(const struct config *config, enum setting_id id);
/* Was it given, in whatever layer? */
bool config_is_set(const struct config *config, enum setting_id id);
const struct setting_value *config_value(const struct config *config, enum setting_id id);
/* The same for one listener: `listener.name.NAME.setting` before `setting`. */
const struct setting_value *config_listener_value(
	const struct config *config, struct str listener, enum setting_id id);

enum config_role { CONFIG_ROLE_BROKER = 1, CONFIG_ROLE_CONTROLLER = 2 };

struct listener_config {
	struct str name;	    /* in capitals */
	struct str host;	    /* empty: all interfaces */
	uint16_t port;		    /* 0: the system picks one */
	struct str advertised_host; /* what clients are told; empty: this machine's name */
	uint16_t advertised_port;   /* 0: the port that was picked */
	bool is_advertised;	    /* false when advertised.listeners leaves it out */
	enum security_protocol protocol;
	bool is_controller;
};

int32_t config_node_id(const struct config *config);
unsigned config_roles(const struct config *config); /* enum config_role */
/* What this node listens on, in the order of `listeners`. */
const struct listener_config *config_listeners(const struct config *config, int32_t *ret_count);
/* What its registration tells the cluster: broker listeners and controller listeners. */
const struct listener_config *config_advertised(const struct config *config, int32_t *ret_count);
const struct quorum_voter *config_voters(const struct config *config, int32_t *ret_count);
struct str_list config_log_dirs(const struct config *config);
struct str config_metadata_log_dir(const struct config *config);
/* The listener that brokers use among themselves. */
struct str config_inter_broker_listener(const struct config *config);
/* How many connections the client at ADDRESS (as text) may hold. */
int32_t config_connections_per_address(const struct config *config, struct str address);

/* Settings that can be given in several units, in milliseconds. */
int64_t config_log_retention_ms(const struct config *config); /* -1: for ever */
int64_t config_log_roll_ms(const struct config *config);
int64_t config_log_roll_jitter_ms(const struct config *config);
int64_t config_log_flush_ms(const struct config *config);
