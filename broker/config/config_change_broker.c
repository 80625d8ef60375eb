/*
 * The part of a change that is a broker's: which settings can change while it runs, on which level,
 * and whether its configuration would still hold together.
 */
#include <errno.h>
#include <stdio.h>

#include "broker/config/config_change_internal.h"

/* "a, b" of those of NEXT for which WANTED holds; empty when there are none. */
static size_t names_where(const struct config_altering *change,
	bool (*wanted)(const struct config_altering *change, struct str name), char *text,
	size_t size)
{
	size_t used = 0;

	for (int32_t i = 0; i < change->next.count && used < size; i++) {
		struct str name = change->next.items[i].name;
		if (wanted(change, name))
			used += (size_t)snprintf(text + used, size - used, "%s%.*s",
				used > 0 ? ", " : "", STR_ARGS(name));
	}
	return used;
}

static bool is_not_dynamic(const struct config_altering *change, struct str name)
{
	enum setting_id id = setting_find(CONFIG_RESOURCE_BROKER, name);

	return id != SETTING_NONE && !setting_is_dynamic(setting_row(id));
}

static bool is_security_without_listener(const struct config_altering *change, struct str name)
{
	static const enum setting_id stores[] = {SETTING_SSL_KEY_PASSWORD,
		SETTING_SSL_KEYSTORE_CERTIFICATE_CHAIN, SETTING_SSL_KEYSTORE_KEY,
		SETTING_SSL_KEYSTORE_LOCATION, SETTING_SSL_KEYSTORE_PASSWORD,
		SETTING_SSL_KEYSTORE_TYPE, SETTING_SSL_TRUSTSTORE_CERTIFICATES,
		SETTING_SSL_TRUSTSTORE_LOCATION, SETTING_SSL_TRUSTSTORE_PASSWORD,
		SETTING_SSL_TRUSTSTORE_TYPE};
	enum setting_id id = setting_find(CONFIG_RESOURCE_BROKER, name);

	for (size_t i = 0; i < array_length(stores); i++) {
		if (id == stores[i])
			return true;
	}
	return false;
}

static bool is_per_broker(const struct config_altering *change, struct str name)
{
	enum setting_id id = setting_find(CONFIG_RESOURCE_BROKER, name);
	struct str listener, setting;

	if (!config_listener_name_split(name, &listener, &setting))
		return id != SETTING_NONE && setting_row(id)->scope == SCOPE_PER_BROKER;
	return !str_equal(setting, STR("max.connections")) &&
	       !str_equal(setting, STR("max.connection.creation.rate")) &&
	       !str_equal(setting, STR("num.network.threads"));
}

/* Listeners are bound at the start. Kafka can move them while it runs; we say that we cannot. */
static bool is_bound_at_start(const struct config_altering *change, struct str name)
{
	return str_equal(name, STR("listeners")) ||
	       str_equal(name, STR("listener.security.protocol.map"));
}

static bool check_broker_names(struct config_altering *change)
{
	char names[512];

	if (names_where(change, is_not_dynamic, names, sizeof(names)) > 0)
		return config_refuse(change, KAFKA_INVALID_REQUEST,
			"Cannot update these configs dynamically: [%s]", names);
	if (names_where(change, is_security_without_listener, names, sizeof(names)) > 0)
		return config_refuse(change, KAFKA_INVALID_REQUEST,
			"These security configs can be dynamically updated only per-listener using "
			"the listener prefix: [%s]",
			names);
	return true;
}

/* Types and ranges; what is in no row may be a plug-in's. */
static bool check_broker_types(struct config_altering *change)
{
	for (int32_t i = 0; i < change->next.count; i++) {
		const struct config_entry *entry = &change->next.items[i];
		struct str listener, setting = entry->name;
		struct setting_value value;
		struct config_problem problem;
		config_listener_name_split(entry->name, &listener, &setting);
		enum setting_id id = config_listener_setting_find(setting);
		if (id == SETTING_NONE)
			continue;
		int error = setting_parse(
			setting_row(id), entry->value, change->arena, &value, &problem);
		if (error == -ENOMEM)
			return config_no_memory(change);
		if (error < 0)
			return config_refuse(change, KAFKA_INVALID_REQUEST, "%s", problem.text);
		/* No Java class can be loaded here; for a client it is one that is not there. */
		const char *fallback = setting_row(id)->default_text;
		if (setting_row(id)->effect == EFFECT_REFUSED &&
			!str_equal(str_trim(entry->value), str_from(fallback)))
			return config_refuse(change, KAFKA_INVALID_REQUEST,
				"Invalid value %.*s for configuration %s: Class %.*s could not be "
				"found.",
				STR_ARGS(entry->value), setting_row(id)->name,
				STR_ARGS(entry->value));
	}
	return true;
}

static const struct thread_pool {
	enum setting_id id;
	const char *words; /* NULL: the usual ones */
} thread_pools[] = {
	{SETTING_NUM_IO_THREADS, NULL},
	{SETTING_NUM_NETWORK_THREADS, NULL},
	{SETTING_NUM_REPLICA_FETCHERS, NULL},
	{SETTING_NUM_RECOVERY_THREADS_PER_DATA_DIR, NULL},
	{SETTING_BACKGROUND_THREADS, NULL},
	{SETTING_LOG_CLEANER_THREADS, "Log cleaner threads"},
};

/* Kafka lets a pool of threads at most double or halve at once. Ours has none, but who sets them by
 * a tool shall see the same. */
static bool check_threads(struct config_altering *change, const struct config *next)
{
	for (size_t i = 0; i < array_length(thread_pools); i++) {
		const struct thread_pool *pool = &thread_pools[i];
		int32_t before = config_int(change->context->config, pool->id);
		int32_t after = config_int(next, pool->id);
		const char *name = setting_row(pool->id)->name;
		if (before == after)
			continue;
		if (after < 1)
			return pool->words
				       ? config_refuse(change, KAFKA_INVALID_REQUEST,
						 "%s should be at least 1", pool->words)
				       : config_refuse(change, KAFKA_INVALID_REQUEST,
						 "Dynamic thread count update validation failed "
						 "for %s=%d, value should be at least 1",
						 name, after);
		if (after < before / 2)
			return pool->words
				       ? config_refuse(change, KAFKA_INVALID_REQUEST,
						 "%s cannot be reduced to less than half the "
						 "current "
						 "value %d",
						 pool->words, before)
				       : config_refuse(change, KAFKA_INVALID_REQUEST,
						 "Dynamic thread count update validation failed "
						 "for "
						 "%s=%d, value should be at least half the current "
						 "value %d",
						 name, after, before);
		if (after > (int64_t)before * 2)
			return pool->words
				       ? config_refuse(change, KAFKA_INVALID_REQUEST,
						 "%s cannot be increased to more than double the "
						 "current value %d",
						 pool->words, before)
				       : config_refuse(change, KAFKA_INVALID_REQUEST,
						 "Dynamic thread count update validation failed "
						 "for "
						 "%s=%d, value should not be greater than double "
						 "the "
						 "current value %d",
						 name, after, before);
	}
	return true;
}

/* Would this node's configuration hold together with the new layer? */
static bool check_broker_whole(struct config_altering *change)
{
	const struct config *config = change->context->config;
	bool per_broker = change->context->resource_name.size > 0;
	struct config_report report;
	struct config *next = NULL;
	bool good = true;

	config_report_init(&report);
	int error =
		config_update(config, per_broker ? &config->layers[LAYER_CLUSTER] : &change->next,
			per_broker ? &change->next : &config->layers[LAYER_BROKER], &report, &next);
	if (error == -ENOMEM) {
		good = config_no_memory(change);
	} else if (error < 0) {
		struct config_finding *finding = report.first;
		while (finding && finding->severity != CONFIG_ERROR)
			finding = finding->next;
		good = config_refuse(change, KAFKA_INVALID_REQUEST, "%.*s",
			STR_ARGS(finding ? finding->text : STR("The configuration is not valid.")));
	} else {
		good = check_threads(change, next);
	}
	config_unref(next);
	config_report_done(&report);
	return good;
}

/* What the controller guards while eligible leader replicas are kept. */
static bool check_min_insync(struct config_altering *change)
{
	bool per_broker = change->context->resource_name.size > 0;

	for (int32_t i = 0; change->context->elr_enabled && i < change->records.count; i++) {
		const struct config_record_value *record = &change->records.items[i];
		if (!str_equal(record->name, STR("min.insync.replicas")))
			continue;
		if (per_broker)
			return config_refuse(change, KAFKA_INVALID_CONFIG,
				"Broker-level min.insync.replicas cannot be altered while ELR is "
				"enabled.");
		if (str_is_null(record->value))
			return config_refuse(change, KAFKA_INVALID_CONFIG,
				"Cluster-level min.insync.replicas cannot be removed while ELR is "
				"enabled.");
	}
	return true;
}

bool config_check_broker(struct config_altering *change)
{
	char names[512];

	if (!check_broker_names(change) || !check_broker_types(change))
		return false;
	if (change->context->resource_name.size == 0 &&
		names_where(change, is_per_broker, names, sizeof(names)) > 0)
		return config_refuse(change, KAFKA_INVALID_REQUEST,
			"Cannot update these configs at default cluster level, broker id must be "
			"specified: [%s]",
			names);
	if (names_where(change, is_bound_at_start, names, sizeof(names)) > 0)
		return config_refuse(change, KAFKA_INVALID_REQUEST,
			"Barnabas binds its listeners when it starts; change the file and restart: "
			"[%s]",
			names);
	return check_broker_whole(change) && check_min_insync(change);
}
