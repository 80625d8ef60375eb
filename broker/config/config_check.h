/*
 * What config_check.c and config_listeners.c share while a configuration is being checked.
 */
#pragma once

#include "broker/config/config_internal.h"

struct config_check {
	struct config *config;
	struct config_report *report;
	/* Listener names, in capitals, and what they stand for. */
	struct protocol_name {
		struct str name;
		enum security_protocol protocol;
	} * protocols;
	int32_t protocol_count;
	bool out_of_memory;
};

/* An error of the setting ID; then a format and its arguments. */
#define config_wrong(check, id, ...) \
	config_report_add(           \
		(check)->report, CONFIG_ERROR, str_from(setting_row(id)->name), __VA_ARGS__)

bool config_list_holds(struct str_list list, struct str item);
const struct protocol_name *config_protocol_find(
	const struct config_check *check, struct str listener);
const struct listener_config *config_listener_find(
	const struct listener_config *listeners, int32_t count, struct str name);
/* TEXT in capitals; empty, and out_of_memory set, when there is no room. */
struct str config_upper_copy(struct config_check *check, struct str text);

void config_read_listeners(struct config_check *check);
void config_read_inter_broker(struct config_check *check);
void config_check_advertised(struct config_check *check);
void config_check_early_start(struct config_check *check);
