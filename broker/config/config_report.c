/*
 * What is told about a configuration, and the names under which settings may be given.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "broker/config/config_internal.h"

/* ---- Reports ---- */

enum { REPORT_ARENA_BYTES = 4 << 20 };

void config_report_init(struct config_report *report)
{
	*report = (struct config_report){0};
	arena_init(&report->arena, REPORT_ARENA_BYTES);
	report->last = &report->first;
}

void config_report_done(struct config_report *report)
{
	if (report)
		arena_done(&report->arena);
}

void config_report_add(struct config_report *report, enum config_severity severity, struct str name,
	const char *format, ...)
{
	char text[1536];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	report->errors += severity == CONFIG_ERROR;
	report->warnings += severity == CONFIG_WARNING;
	struct config_finding *finding = arena_new(&report->arena, struct config_finding);
	if (!finding)
		return; /* counted, if not told: a file of thousands of mistakes */
	finding->severity = severity;
	finding->name = arena_str(&report->arena, name);
	finding->text = arena_str(&report->arena, str_from(text));
	*report->last = finding;
	report->last = &finding->next;
}

struct config_finding *config_report_last(struct config_report *report)
{
	/* Only an arena that was full before the first finding leaves none: spare what is written.
	 */
	static _Thread_local struct config_finding spare;

	if (!report->first)
		return &spare;
	return container_of(report->last, struct config_finding, next);
}

/* ---- Names ---- */

int config_synonyms(struct str name, struct str ret_names[3])
{
	static const enum setting_id groups[][3] = {
		{SETTING_LOG_ROLL_MS, SETTING_LOG_ROLL_HOURS, SETTING_NONE},
		{SETTING_LOG_ROLL_JITTER_MS, SETTING_LOG_ROLL_JITTER_HOURS, SETTING_NONE},
		{SETTING_LOG_RETENTION_MS, SETTING_LOG_RETENTION_MINUTES,
			SETTING_LOG_RETENTION_HOURS},
	};

	/* The scheduler's interval stands in for the flush interval, but not the other way round.
	 */
	if (str_equal(name, STR("log.flush.interval.ms"))) {
		ret_names[0] = name;
		ret_names[1] = STR("log.flush.scheduler.interval.ms");
		return 2;
	}
	for (size_t i = 0; i < array_length(groups); i++) {
		int count = 0;
		bool member = false;
		for (int j = 0; j < 3 && groups[i][j] != SETTING_NONE; j++) {
			ret_names[count] = str_from(setting_row(groups[i][j])->name);
			member = member || str_equal(name, ret_names[count]);
			count++;
		}
		if (member)
			return count;
	}
	ret_names[0] = name;
	return 1;
}

bool config_listener_name_split(struct str name, struct str *ret_listener, struct str *ret_setting)
{
	struct str prefix = STR("listener.name.");

	if (name.size <= prefix.size || memcmp(name.data, prefix.data, (size_t)prefix.size) != 0)
		return false;
	struct str rest = {name.data + prefix.size, name.size - prefix.size};
	if (!str_split_next(&rest, '.', ret_listener) || str_is_null(rest) || rest.size == 0)
		return false;
	*ret_setting = rest;
	return true;
}

enum setting_id config_listener_setting_find(struct str setting)
{
	static const enum setting_id by_mechanism[] = {SETTING_CONNECTIONS_MAX_REAUTH_MS,
		SETTING_SASL_JAAS_CONFIG, SETTING_SASL_LOGIN_CALLBACK_HANDLER_CLASS,
		SETTING_SASL_LOGIN_CLASS, SETTING_SASL_SERVER_CALLBACK_HANDLER_CLASS};
	enum setting_id id = setting_find(CONFIG_RESOURCE_BROKER, setting);

	for (size_t i = 0; id == SETTING_NONE && i < array_length(by_mechanism); i++) {
		struct str known = str_from(setting_row(by_mechanism[i])->name);
		int32_t front = setting.size - known.size;
		if (front > 1 && setting.data[front - 1] == '.' &&
			memcmp(setting.data + front, known.data, (size_t)known.size) == 0)
			id = by_mechanism[i];
	}
	return id;
}
