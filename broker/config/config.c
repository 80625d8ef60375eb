#include "broker/config/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/config/config_internal.h"

/* Values that a foreign class would have read: no setting of ours, no mistake either. */
static bool is_passed_on(struct str name)
{
	static const char *const prefixes[] = {"config.providers.", "rsm.config.", "rlmm.config."};

	for (size_t i = 0; i < array_length(prefixes); i++) {
		struct str prefix = str_from(prefixes[i]);
		if (name.size > prefix.size &&
			memcmp(name.data, prefix.data, (size_t)prefix.size) == 0)
			return true;
	}
	return false;
}

/* ---- Layers ---- */

/* Sets NAME, which is there once at the most. Entries have room for it. */
static void entries_set(struct config_entries *entries, struct str name, struct str value)
{
	struct config_entry *known = (struct config_entry *)config_entries_find(entries, name);

	if (!known)
		known = &entries->items[entries->count++];
	*known = (struct config_entry){name, value};
}

static void entries_remove(struct config_entries *entries, struct str name)
{
	struct config_entry *known = (struct config_entry *)config_entries_find(entries, name);

	if (known)
		*known = entries->items[--entries->count];
}

/* A copy of LAYERS on top of each other in ARENA, with room for EXTRA more. */
static int entries_merge(struct arena *arena, const struct config_entries *layers,
	int32_t layer_count, int32_t extra, struct config_entries *ret_entries)
{
	int32_t room = extra;

	for (int32_t i = 0; i < layer_count; i++) {
		if (layers[i].count > PROPERTIES_ENTRIES)
			return -ENOMEM;
		room += layers[i].count;
	}
	*ret_entries = (struct config_entries){
		.items = arena_new_array(arena, struct config_entry, (size_t)room + 1)};
	if (!ret_entries->items)
		return -ENOMEM;
	for (int32_t i = 0; i < layer_count; i++) {
		for (int32_t j = 0; j < layers[i].count; j++) {
			const struct config_entry *entry = &layers[i].items[j];
			struct str name = arena_str(arena, entry->name);
			struct str value = arena_str(arena, entry->value);
			if (str_is_null(name) || str_is_null(value))
				return -ENOMEM;
			entries_set(ret_entries, name, value);
		}
	}
	return 0;
}

/* node.id and broker.id are one setting by two names: the one that is missing is added, as Kafka
 * does, so that both are shown. */
static void entries_add_node_id(struct config_entries *entries)
{
	const struct config_entry *node = config_entries_find(entries, STR("node.id"));
	const struct config_entry *broker = config_entries_find(entries, STR("broker.id"));

	if (node && !broker)
		entries_set(entries, STR("broker.id"), node->value);
	else if (broker && !node)
		entries_set(entries, STR("node.id"), broker->value);
}

/* Puts a dynamic layer on top: what it sets hides the same setting in other units below. */
static void entries_override(struct config_entries *effective, const struct config_entries *layer)
{
	struct str names[3];

	for (int32_t i = 0; i < layer->count; i++) {
		int count = config_synonyms(layer->items[i].name, names);
		for (int j = 0; j < count; j++)
			entries_remove(effective, names[j]);
		entries_set(effective, layer->items[i].name, layer->items[i].value);
	}
}

/* ---- Parsing ---- */

static void report_unknown(struct config_report *report, struct str name)
{
	const char *advice = setting_removed_advice(CONFIG_RESOURCE_BROKER, name);
	enum config_severity severity = report->strict ? CONFIG_ERROR : CONFIG_WARNING;

	if (is_passed_on(name)) {
		config_report_add(report, CONFIG_NOTE, name,
			"%.*s has no effect: it is meant for a Java plug-in", STR_ARGS(name));
		return;
	}
	if (advice) {
		config_report_add(report, CONFIG_WARNING, name, "%.*s is no longer a setting: %s",
			STR_ARGS(name), advice);
		return;
	}
	const char *nearest = setting_nearest(CONFIG_RESOURCE_BROKER, name);
	if (nearest)
		config_report_add(report, severity, name,
			"%.*s is not a known setting; did you mean %s?", STR_ARGS(name), nearest);
	else
		config_report_add(
			report, severity, name, "%.*s is not a known setting", STR_ARGS(name));
}

static bool value_equals_default(const struct setting *row, struct str text)
{
	struct str trimmed = str_trim(text);

	return row->default_text ? str_equal(trimmed, str_from(row->default_text))
				 : trimmed.size == 0;
}

/* Tells what a setting that was given does not do. */
static void report_effect(
	struct config_report *report, struct str name, const struct setting *row, struct str text)
{
	bool same = value_equals_default(row, text);

	if (row->effect == EFFECT_IGNORED) {
		config_report_add(report, same ? CONFIG_NOTE : CONFIG_WARNING, name,
			"%.*s has no effect: %s", STR_ARGS(name), row->reason);
	} else if (row->effect == EFFECT_REFUSED && !same) {
		config_report_add(report, CONFIG_ERROR, name,
			"%.*s cannot be obeyed: %s; remove it to start without", STR_ARGS(name),
			row->reason);
		config_report_last(report)->unserved = true;
	}
}

static bool is_dynamic_entry(const struct config *config, struct str name)
{
	return config_entries_find(&config->layers[LAYER_CLUSTER], name) ||
	       config_entries_find(&config->layers[LAYER_BROKER], name);
}

/* What the file says was told when it was read; an update tells of what is new. */
static bool is_news(const struct config *config, struct str name)
{
	return !config->is_update || is_dynamic_entry(config, name);
}

static int parse_listener_setting(struct config *config, struct config_report *report,
	const struct config_entry *entry, struct str listener, struct str setting)
{
	struct config_problem problem;
	struct listener_setting *place = &config->listener_settings[config->listener_setting_count];
	enum setting_id id = config_listener_setting_find(setting);

	if (id == SETTING_NONE) {
		if (is_news(config, entry->name))
			report_unknown(report, entry->name);
		return 0;
	}
	int error = setting_parse(
		setting_row(id), entry->value, &config->arena, &place->value, &problem);
	if (error == -EINVAL) {
		config_report_add(report, CONFIG_ERROR, entry->name, "%.*s: %s",
			STR_ARGS(entry->name), problem.text);
		return 0;
	}
	if (error < 0)
		return error;
	place->listener = listener;
	place->id = id;
	config->listener_setting_count++;
	if (is_news(config, entry->name))
		report_effect(report, entry->name, setting_row(id), entry->value);
	return 0;
}

static int parse_default(struct config *config, struct config_report *report, enum setting_id id)
{
	const struct setting *row = setting_row(id);
	struct config_problem problem;

	if (row->required)
		config_report_add(report, CONFIG_ERROR, str_from(row->name), "%s must be given: %s",
			row->name, row->documentation);
	config->values[id].is_null = true;
	if (!row->default_text)
		return 0;
	int error = setting_parse(
		row, str_from(row->default_text), &config->arena, &config->values[id], &problem);
	/* A few of Kafka's own defaults lie outside of what may be given, which only matters when
	 * they are given: an empty list of voters. */
	ensure(error != -EINVAL);
	return error;
}

static int parse_entry(
	struct config *config, struct config_report *report, const struct config_entry *entry)
{
	struct config_problem problem;
	struct str listener, setting;
	enum setting_id id = setting_find(CONFIG_RESOURCE_BROKER, entry->name);

	if (config_listener_name_split(entry->name, &listener, &setting))
		return parse_listener_setting(config, report, entry, listener, setting);
	if (id == SETTING_NONE) {
		if (is_news(config, entry->name))
			report_unknown(report, entry->name);
		return 0;
	}
	if (setting_is_dynamic_only(id) &&
		config_entries_find(&config->layers[LAYER_STATIC], entry->name) &&
		!is_dynamic_entry(config, entry->name)) {
		if (is_news(config, entry->name))
			config_report_add(report, CONFIG_WARNING, entry->name,
				"%.*s has no effect here: it can only be set while the broker runs",
				STR_ARGS(entry->name));
		return parse_default(config, report, id);
	}
	int error = setting_parse(
		setting_row(id), entry->value, &config->arena, &config->values[id], &problem);
	if (error == -EINVAL) {
		config_report_add(report, CONFIG_ERROR, entry->name, "%s", problem.text);
		return 0;
	}
	if (error < 0)
		return error;
	config->is_set[id] = true;
	if (is_news(config, entry->name))
		report_effect(report, entry->name, setting_row(id), entry->value);
	return 0;
}

static int parse_all(struct config *config, struct config_report *report)
{
	int error = 0;

	config->listener_settings = arena_new_array(
		&config->arena, struct listener_setting, (size_t)config->effective.count + 1);
	if (!config->listener_settings)
		return -ENOMEM;
	/* Whether unknown names are errors must be known before they are met. */
	const struct config_entry *strict =
		config_entries_find(&config->effective, STR("barnabas.strict.config"));
	report->strict = strict && str_equal(str_trim(strict->value), STR("true"));
	for (int32_t i = 0; i < config->effective.count && error == 0; i++)
		error = parse_entry(config, report, &config->effective.items[i]);
	for (unsigned id = 0; id < BROKER_SETTING_COUNT && error == 0; id++) {
		const char *name = setting_row((enum setting_id)id)->name;
		if (!config_entries_find(&config->effective, str_from(name)))
			error = parse_default(config, report, (enum setting_id)id);
	}
	return error;
}

/* ---- Building ---- */

static struct config *config_allocate(void)
{
	struct config *config = calloc(1, sizeof(*config));

	if (config) {
		atomic_init(&config->references, 1);
		arena_init(&config->arena, CONFIG_ARENA_BYTES);
	}
	return config;
}

/* From the layers to a usable configuration, or to errors in REPORT. Takes CONFIG. */
static int config_finish(
	struct config *config, struct config_report *report, struct config **ret_config)
{
	struct config_entries base = config->layers[LAYER_STATIC];
	int32_t errors_before = report->errors;
	int error = entries_merge(&config->arena, &base, 1,
		config->layers[LAYER_CLUSTER].count + config->layers[LAYER_BROKER].count,
		&config->effective);

	if (error == 0) {
		entries_override(&config->effective, &config->layers[LAYER_CLUSTER]);
		entries_override(&config->effective, &config->layers[LAYER_BROKER]);
		error = parse_all(config, report);
	}
	/* What is compared with other settings must be readable first. */
	if (error == 0 && report->errors == errors_before)
		error = config_derive(config, report);
	if (error == 0 && report->errors == errors_before)
		config_check_served(config, report);
	if (error == 0 && report->errors > errors_before)
		error = -EINVAL;
	if (error < 0) {
		config_unref(config);
		return error;
	}
	*ret_config = config;
	return 0;
}

int config_new(const struct config_entries *layers, int32_t layer_count,
	struct config_report *report, struct config **ret_config)
{
	struct config *config = config_allocate();

	if (!config)
		return -ENOMEM;
	int error = entries_merge(
		&config->arena, layers, layer_count, 1, &config->layers[LAYER_STATIC]);
	if (error < 0) {
		config_unref(config);
		return error;
	}
	entries_add_node_id(&config->layers[LAYER_STATIC]);
	return config_finish(config, report, ret_config);
}

/* A broker of its own, for one machine and one user: what differs from Kafka's defaults, which are
 * made for clusters. */
static const struct config_entry embedded_entries[] = {
#define EMBEDDED(name, value) {{name, sizeof(name) - 1}, {value, sizeof(value) - 1}},
#include "broker/config/embedded.tbl"
#undef EMBEDDED
};

int config_new_embedded(const struct config_entries *overrides, struct config_report *report,
	struct config **ret_config)
{
	struct config_entry completed[2];
	char listeners[1024], voters[64];
	struct config_entries layers[3] = {
		{(struct config_entry *)embedded_entries, array_length(embedded_entries)},
		{completed, 0},
		*overrides,
	};
	const struct config_entry *listens = config_entries_find(overrides, STR("listeners"));
	const struct config_entry *node = config_entries_find(overrides, STR("node.id"));

	/* Who only says where clients connect, or which number the node has, need not repeat what
	 * concerns the controller inside of it. */
	if (node && !config_entries_find(overrides, STR("controller.quorum.voters"))) {
		snprintf(voters, sizeof(voters), "%.*s@127.0.0.1:9093",
			min_of(node->value.size, 16), node->value.data);
		completed[layers[1].count++] =
			(struct config_entry){STR("controller.quorum.voters"), str_from(voters)};
	}
	if (listens && !config_entries_find(overrides, STR("controller.listener.names")) &&
		listens->value.size > 0 && listens->value.size < 900 &&
		!memmem(listens->value.data, (size_t)listens->value.size, "CONTROLLER:", 11)) {
		snprintf(listeners, sizeof(listeners), "%.*s,CONTROLLER://127.0.0.1:0",
			STR_ARGS(listens->value));
		struct config_entry extended = {STR("listeners"), str_from(listeners)};
		struct config_entries last = {&extended, 1};
		struct config_entries all[4] = {layers[0], layers[1], layers[2], last};
		return config_new(all, 4, report, ret_config);
	}
	return config_new(layers, 3, report, ret_config);
}

/* Why ENTRY cannot be in a dynamic layer, or NULL when it can. */
static const char *dynamic_refusal(const struct config_entry *entry, bool per_broker)
{
	struct str listener, setting;
	bool of_listener = config_listener_name_split(entry->name, &listener, &setting);
	enum setting_id id = of_listener ? config_listener_setting_find(setting)
					 : setting_find(CONFIG_RESOURCE_BROKER, entry->name);

	if (id == SETTING_NONE)
		return NULL; /* custom settings are allowed, for plug-ins */
	if (!setting_is_dynamic(setting_row(id)) && !of_listener)
		return "it cannot be changed while the broker runs";
	if (!per_broker && (setting_row(id)->scope == SCOPE_PER_BROKER || of_listener))
		return "it can only be set for one broker";
	if (setting_row(id)->effect == EFFECT_REFUSED &&
		!value_equals_default(setting_row(id), entry->value))
		return setting_row(id)->reason;
	return NULL;
}

/* A layer from metadata records: what may be in it and can be read, copied. */
static int dynamic_layer(struct config *config, const struct config_entries *from, bool per_broker,
	struct config_report *report, struct config_entries *ret_layer)
{
	struct config_entries kept;
	int error = entries_merge(&config->arena, from, 1, 0, &kept);

	for (int32_t i = 0; error == 0 && i < kept.count; i++) {
		struct config_entry *entry = &kept.items[i];
		struct str listener, setting = entry->name;
		struct setting_value value;
		struct config_problem problem;
		const char *refusal = dynamic_refusal(entry, per_broker);

		config_listener_name_split(entry->name, &listener, &setting);
		enum setting_id id = config_listener_setting_find(setting);
		if (!refusal && id != SETTING_NONE) {
			error = setting_parse(
				setting_row(id), entry->value, &config->arena, &value, &problem);
			if (error == -EINVAL) {
				refusal = problem.text;
				error = 0;
			}
		}
		if (refusal) {
			config_report_add(report, CONFIG_WARNING, entry->name,
				"The dynamic value of %.*s is ignored: %s", STR_ARGS(entry->name),
				refusal);
			kept.items[i--] = kept.items[--kept.count];
		}
	}
	*ret_layer = kept;
	return error;
}

int config_update(const struct config *base, const struct config_entries *cluster,
	const struct config_entries *broker, struct config_report *report,
	struct config **ret_config)
{
	struct config *config = config_allocate();

	if (!config)
		return -ENOMEM;
	config->is_update = true;
	int error = entries_merge(
		&config->arena, &base->layers[LAYER_STATIC], 1, 0, &config->layers[LAYER_STATIC]);
	if (error == 0)
		error = dynamic_layer(
			config, cluster, false, report, &config->layers[LAYER_CLUSTER]);
	if (error == 0)
		error = dynamic_layer(config, broker, true, report, &config->layers[LAYER_BROKER]);
	if (error < 0) {
		config_unref(config);
		return error;
	}
	return config_finish(config, report, ret_config);
}

struct config *config_ref(const struct config *config)
{
	struct config *mutable = (struct config *)config;

	ensure(atomic_fetch_add_explicit(&mutable->references, 1, memory_order_relaxed) > 0);
	return mutable;
}

void config_unref(const struct config *config)
{
	struct config *mutable = (struct config *)config;

	if (!config)
		return;
	int before = atomic_fetch_sub_explicit(&mutable->references, 1, memory_order_acq_rel);
	ensure(before > 0);
	if (before == 1) {
		arena_done(&mutable->arena);
		free(mutable);
	}
}

/* ---- Values ---- */

const struct setting_value *config_value(const struct config *config, enum setting_id id)
{
	ensure(id < BROKER_SETTING_COUNT);
	return &config->values[id];
}

static const struct setting_value *config_number(const struct config *config, enum setting_id id)
{
	const struct setting_value *value = config_value(config, id);

	ensure(!value->is_null);
	return value;
}

bool config_bool(const struct config *config, enum setting_id id)
{
	ensure(setting_row(id)->type == SETTING_TYPE_BOOLEAN);
	return config_number(config, id)->boolean;
}

int32_t config_int(const struct config *config, enum setting_id id)
{
	ensure(setting_row(id)->type == SETTING_TYPE_INT ||
		setting_row(id)->type == SETTING_TYPE_SHORT);
	return (int32_t)config_number(config, id)->integer;
}

int64_t config_long(const struct config *config, enum setting_id id)
{
	ensure(setting_row(id)->type == SETTING_TYPE_LONG);
	return config_number(config, id)->integer;
}

double config_double(const struct config *config, enum setting_id id)
{
	ensure(setting_row(id)->type == SETTING_TYPE_DOUBLE);
	return config_number(config, id)->number;
}

struct str config_str(const struct config *config, enum setting_id id)
{
	enum setting_type type = setting_row(id)->type;
	const struct setting_value *value = config_value(config, id);

	ensure(type == SETTING_TYPE_STRING || type == SETTING_TYPE_CLASS ||
		type == SETTING_TYPE_PASSWORD);
	return value->is_null ? STR_NULL : value->text;
}

struct str_list config_list(const struct config *config, enum setting_id id)
{
	const struct setting_value *value = config_value(config, id);

	ensure(setting_row(id)->type == SETTING_TYPE_LIST);
	return value->is_null ? (struct str_list){0} : value->list;
}

bool config_is_null(const struct config *config, enum setting_id id)
{
	return config_value(config, id)->is_null;
}

bool config_is_set(const struct config *config, enum setting_id id)
{
	ensure(id < BROKER_SETTING_COUNT);
	return config->is_set[id];
}

const struct setting_value *config_listener_value(
	const struct config *config, struct str listener, enum setting_id id)
{
	for (int32_t i = 0; i < config->listener_setting_count; i++) {
		const struct listener_setting *own = &config->listener_settings[i];
		if (own->id == id && own->listener.size == listener.size &&
			strncasecmp(own->listener.data, listener.data, (size_t)listener.size) == 0)
			return &own->value;
	}
	return config_value(config, id);
}

/* The first of several settings that is set counts, in its unit; the last one has a default. */
static int64_t first_set_ms(const struct config *config, enum setting_id ms,
	enum setting_id minutes, enum setting_id hours)
{
	if (!config_is_null(config, ms))
		return config_value(config, ms)->integer;
	if (minutes != SETTING_NONE && !config_is_null(config, minutes))
		return config_value(config, minutes)->integer * 60 * 1000;
	return config_number(config, hours)->integer * 3600 * 1000;
}

int64_t config_log_retention_ms(const struct config *config)
{
	int64_t ms = first_set_ms(config, SETTING_LOG_RETENTION_MS, SETTING_LOG_RETENTION_MINUTES,
		SETTING_LOG_RETENTION_HOURS);
	return ms < 0 ? -1 : ms;
}

int64_t config_log_roll_ms(const struct config *config)
{
	return first_set_ms(config, SETTING_LOG_ROLL_MS, SETTING_NONE, SETTING_LOG_ROLL_HOURS);
}

int64_t config_log_roll_jitter_ms(const struct config *config)
{
	return first_set_ms(
		config, SETTING_LOG_ROLL_JITTER_MS, SETTING_NONE, SETTING_LOG_ROLL_JITTER_HOURS);
}

int64_t config_log_flush_ms(const struct config *config)
{
	if (!config_is_null(config, SETTING_LOG_FLUSH_INTERVAL_MS))
		return config_long(config, SETTING_LOG_FLUSH_INTERVAL_MS);
	return config_long(config, SETTING_LOG_FLUSH_SCHEDULER_INTERVAL_MS);
}
