/*
 * The inside of a struct config, for its siblings in this folder: config.c builds it,
 * config_check.c reads listeners and compares settings with each other, config_describe.c shows its
 * layers.
 */
#pragma once

#include <stdatomic.h>

#include "broker/config/config.h"

enum config_layer { LAYER_STATIC, LAYER_CLUSTER, LAYER_BROKER, LAYER_COUNT };

/* `listener.name.NAME.setting` or `listener.name.NAME.mechanism.setting`, parsed. */
struct listener_setting {
	struct str listener; /* as written, in lower case by convention */
	enum setting_id id;
	struct setting_value value;
};

struct config {
	atomic_int references;
	bool is_update; /* made by config_update: findings about the file were told before */
	struct arena arena;
	/* As given, each name once, the values untouched. */
	struct config_entries layers[LAYER_COUNT];
	/* The layers on top of each other, synonyms of what is overridden taken away. */
	struct config_entries effective;
	struct setting_value values[BROKER_SETTING_COUNT];
	bool is_set[BROKER_SETTING_COUNT];

	struct listener_setting *listener_settings;
	int32_t listener_setting_count;

	unsigned roles;
	struct listener_config *listeners;
	int32_t listener_count;
	struct listener_config *advertised;
	int32_t advertised_count;
	struct quorum_voter *voters;
	int32_t voter_count;
	struct str_list log_dirs;
	struct str metadata_log_dir;
	struct str inter_broker_listener;
	enum security_protocol inter_broker_protocol;
};

enum { CONFIG_ARENA_BYTES = 16 << 20 };

__attribute__((format(printf, 4, 5))) void config_report_add(struct config_report *report,
	enum config_severity severity, struct str name, const char *format, ...);

/* The finding that was added last. */
struct config_finding *config_report_last(struct config_report *report);

/* The settings that mean the same in other units, first the one that wins; NAME's own group, itself
 * among them. Returns how many (1 when it stands alone). */
int config_synonyms(struct str name, struct str ret_names[3]);

/* "listener.name.NAME.SETTING" taken apart: *RET_SETTING is what stands behind the name. */
bool config_listener_name_split(struct str name, struct str *ret_listener, struct str *ret_setting);
/* Which setting such a rest means, a mechanism in front of it allowed for. SETTING_NONE. */
enum setting_id config_listener_setting_find(struct str setting);

/* config_check.c: fills what is derived from VALUES, and adds an error for whatever does not fit
 * together. -ENOMEM. */
int config_derive(struct config *config, struct config_report *report);
/* What Kafka can do and Barnabas cannot yet. */
void config_check_served(const struct config *config, struct config_report *report);
