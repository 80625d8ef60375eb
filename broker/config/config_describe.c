#include "broker/config/config_describe.h"

#include <errno.h>

#include "broker/config/config_internal.h"
#include "broker/config/resource_values.h"

/* A broker's settings have three names at the most (log.retention.*), in three layers and their
 * default, and the resource's own. */
enum { SYNONYMS_MAX = 3 * (LAYER_COUNT + 1) + 1 };

struct synonyms {
	struct config_synonym items[SYNONYMS_MAX];
	int32_t count;
};

static void synonym_add(
	struct synonyms *synonyms, struct str name, struct str value, enum config_source source)
{
	ensure(synonyms->count < SYNONYMS_MAX);
	synonyms->items[synonyms->count++] = (struct config_synonym){name, value, source};
}

/* The names under which a broker's setting may have been given, NAME's own group: a listener's
 * setting falls back to the plain one. */
static int broker_names(struct str name, struct str ret_names[3])
{
	struct str listener, setting;

	if (config_listener_name_split(name, &listener, &setting)) {
		enum setting_id id = config_listener_setting_find(setting);
		ret_names[0] = name;
		ret_names[1] = id == SETTING_NONE ? setting : str_from(setting_row(id)->name);
		return 2;
	}
	return config_synonyms(name, ret_names);
}

/* The row that tells the type of a broker's entry, or NULL for a name that is no setting. */
static const struct setting *broker_row(struct str name)
{
	struct str names[3];
	int count = broker_names(name, names);

	for (int i = 0; i < count; i++) {
		enum setting_id id = setting_find(CONFIG_RESOURCE_BROKER, names[i]);
		if (id != SETTING_NONE && (i > 0 || str_equal(names[i], name)))
			return setting_row(id);
	}
	return NULL;
}

/* Whatever gives NAME its value, first what wins. What is in front of NAME itself is left out: an
 * entry shows nothing of settings that only hide it. */
static void broker_synonyms(const struct config *config, struct str name, bool sensitive,
	bool cluster_only, struct synonyms *synonyms)
{
	static const enum config_layer order[] = {LAYER_BROKER, LAYER_CLUSTER, LAYER_STATIC};
	static const enum config_source sources[] = {CONFIG_SOURCE_DYNAMIC_BROKER,
		CONFIG_SOURCE_DYNAMIC_CLUSTER, CONFIG_SOURCE_STATIC_BROKER};
	struct synonyms all = {.count = 0};
	struct str names[3];
	int count = broker_names(name, names);
	int32_t begin = 0;

	for (size_t i = 0; i < array_length(order); i++) {
		for (int j = 0; j < count; j++) {
			const struct config_entry *entry =
				config_entries_find(&config->layers[order[i]], names[j]);
			if (entry)
				synonym_add(&all, names[j], sensitive ? STR_NULL : entry->value,
					sources[i]);
		}
	}
	for (int j = 0; j < count; j++) {
		enum setting_id id = setting_find(CONFIG_RESOURCE_BROKER, names[j]);
		bool defined = id != SETTING_NONE && !setting_is_dynamic_only(id);
		const char *text = defined ? setting_row(id)->default_text : NULL;
		if (text)
			synonym_add(&all, names[j], sensitive ? STR_NULL : str_from(text),
				CONFIG_SOURCE_DEFAULT);
	}
	while (begin < all.count && !str_equal(all.items[begin].name, name))
		begin++;
	for (; begin < all.count; begin++) {
		if (!cluster_only || all.items[begin].source == CONFIG_SOURCE_DYNAMIC_CLUSTER)
			synonyms->items[synonyms->count++] = all.items[begin];
	}
}

static int describe_finish(struct config_description *description, const struct setting *row,
	const struct synonyms *synonyms, struct arena *arena)
{
	struct config_synonym *copy =
		arena_new_array(arena, struct config_synonym, (size_t)synonyms->count + 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, synonyms->items, (size_t)synonyms->count * sizeof(*copy));
	description->synonyms = copy;
	description->synonym_count = synonyms->count;
	description->source =
		synonyms->count > 0 ? synonyms->items[0].source : CONFIG_SOURCE_DEFAULT;
	description->type = row ? row->type : SETTING_TYPE_UNKNOWN;
	description->documentation = row ? str_from(row->documentation) : STR_NULL;
	return 0;
}

/* VALUE is null for a name that is no setting. */
static int describe_broker_entry(const struct config *config, struct str name,
	const struct setting_value *value, struct str text, bool cluster_only, struct arena *arena,
	struct config_description *description)
{
	const struct setting *row = broker_row(name);
	struct synonyms synonyms = {.count = 0};

	/* What nobody knows may be a secret. */
	*description = (struct config_description){
		.name = name,
		.value = STR_NULL,
		.is_sensitive = !row || setting_is_sensitive(row),
		.is_read_only =
			!row || !setting_is_dynamic(row) || !str_equal(str_from(row->name), name),
	};
	broker_synonyms(config, name, description->is_sensitive, cluster_only, &synonyms);
	if (!description->is_sensitive && value && !value->is_null) {
		description->value = setting_format(row, value, arena);
		if (str_is_null(description->value))
			return -ENOMEM;
	} else if (!description->is_sensitive && !value) {
		description->value = text;
	}
	return describe_finish(description, row, &synonyms, arena);
}

static int describe_broker(
	const struct config *config, struct arena *arena, struct config_descriptions *descriptions)
{
	int error = 0;

	for (unsigned id = 0; id < BROKER_SETTING_COUNT && error == 0; id++) {
		const struct setting *row = setting_row((enum setting_id)id);
		/* Settings for tests, and limits that only exist as dynamic ones, when they are
		 * set. */
		if ((row->scope != SCOPE_INTERNAL &&
			    !setting_is_dynamic_only((enum setting_id)id)) ||
			config->is_set[id])
			error = describe_broker_entry(config, str_from(row->name),
				&config->values[id], STR_NULL, false, arena,
				&descriptions->items[descriptions->count++]);
	}
	for (int32_t i = 0; i < config->effective.count && error == 0; i++) {
		const struct config_entry *entry = &config->effective.items[i];
		if (setting_find(CONFIG_RESOURCE_BROKER, entry->name) == SETTING_NONE)
			error = describe_broker_entry(config, entry->name, NULL, entry->value,
				false, arena, &descriptions->items[descriptions->count++]);
	}
	return error;
}

static int describe_cluster(
	const struct config *config, struct arena *arena, struct config_descriptions *descriptions)
{
	const struct config_entries *layer = &config->layers[LAYER_CLUSTER];
	int error = 0;

	for (int32_t i = 0; i < layer->count && error == 0; i++)
		error = describe_broker_entry(config, layer->items[i].name, NULL,
			layer->items[i].value, true, arena,
			&descriptions->items[descriptions->count++]);
	return error;
}

/* One setting of a topic, group or subscription. */
static int describe_value(const struct config *config, const struct resource_values *values,
	enum setting_id id, struct arena *arena, struct config_description *description)
{
	const struct setting *row = setting_row(id);
	const struct setting_value *value = resource_value(values, id);
	bool own = values->overridden[id - values->first];
	struct synonyms synonyms = {.count = 0};

	*description = (struct config_description){
		.name = str_from(row->name), .value = setting_format(row, value, arena)};
	if (str_is_null(description->value) && !value->is_null)
		return -ENOMEM;
	if (own)
		synonym_add(&synonyms, description->name, description->value,
			values->resource == CONFIG_RESOURCE_TOPIC   ? CONFIG_SOURCE_TOPIC
			: values->resource == CONFIG_RESOURCE_GROUP ? CONFIG_SOURCE_GROUP
								    : CONFIG_SOURCE_CLIENT_METRICS);
	if (row->synonym != SETTING_NONE)
		broker_synonyms(
			config, str_from(setting_row(row->synonym)->name), false, false, &synonyms);
	else if (values->resource == CONFIG_RESOURCE_GROUP && row->default_text)
		synonym_add(&synonyms, description->name, str_from(row->default_text),
			CONFIG_SOURCE_DEFAULT);
	return describe_finish(description, row, &synonyms, arena);
}

static int describe_values(const struct config *config, enum config_resource resource,
	const struct config_entries *own, struct arena *arena,
	struct config_descriptions *descriptions)
{
	struct resource_values *values = arena_new(arena, struct resource_values);
	int32_t left_out;

	if (!values)
		return -ENOMEM;
	int error = resource_values_init(values, resource, config, own, arena, NULL, &left_out);
	for (enum setting_id id = values->first; id < values->end && error == 0; id++) {
		if (setting_row(id)->scope != SCOPE_INTERNAL ||
			values->overridden[id - values->first])
			error = describe_value(config, values, id, arena,
				&descriptions->items[descriptions->count++]);
	}
	return error;
}

int config_describe(const struct config *config, enum config_resource resource,
	bool cluster_default, const struct config_entries *own, struct arena *arena,
	struct config_descriptions *ret_descriptions)
{
	struct config_descriptions descriptions = {0};
	int32_t room = (int32_t)BROKER_SETTING_COUNT + RESOURCE_VALUES_MAX +
		       config->effective.count + config->layers[LAYER_CLUSTER].count;
	int error;

	descriptions.items = arena_new_array(arena, struct config_description, (size_t)room);
	if (!descriptions.items)
		return -ENOMEM;
	if (resource != CONFIG_RESOURCE_BROKER)
		error = describe_values(config, resource, own, arena, &descriptions);
	else if (cluster_default)
		error = describe_cluster(config, arena, &descriptions);
	else
		error = describe_broker(config, arena, &descriptions);
	if (error == 0)
		*ret_descriptions = descriptions;
	return error;
}
