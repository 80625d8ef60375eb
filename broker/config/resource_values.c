#include "broker/config/resource_values.h"

#include <errno.h>

_Static_assert((int)TOPIC_SETTING_COUNT <= RESOURCE_VALUES_MAX, "a topic's settings have room");
_Static_assert((int)GROUP_SETTING_COUNT <= RESOURCE_VALUES_MAX, "a group's settings have room");
_Static_assert(
	(int)METRICS_SETTING_COUNT <= RESOURCE_VALUES_MAX, "a subscription's settings have room");

struct setting_value config_fallback(const struct config *config, enum setting_id id)
{
	enum setting_id synonym = setting_row(id)->synonym;

	ensure(synonym != SETTING_NONE);
	/* Where the broker's setting is one of several units, all of them count. */
	switch (id) {
	case TOPIC_SETTING_SEGMENT_MS:
		return (struct setting_value){.integer = config_log_roll_ms(config)};
	case TOPIC_SETTING_SEGMENT_JITTER_MS:
		return (struct setting_value){.integer = config_log_roll_jitter_ms(config)};
	case TOPIC_SETTING_RETENTION_MS:
		return (struct setting_value){.integer = config_log_retention_ms(config)};
	case TOPIC_SETTING_FLUSH_MS:
		return (struct setting_value){.integer = config_log_flush_ms(config)};
	default:
		return *config_value(config, synonym);
	}
}

static int value_default(struct setting_value *value, enum setting_id id,
	const struct config *config, struct arena *arena)
{
	const struct setting *row = setting_row(id);
	struct config_problem problem;

	if (row->synonym != SETTING_NONE) {
		*value = config_fallback(config, id);
		return 0;
	}
	value->is_null = true;
	if (!row->default_text)
		return 0;
	int error = setting_parse(row, str_from(row->default_text), arena, value, &problem);
	ensure(error != -EINVAL);
	return error;
}

/* Kafka's words, which differ by resource. */
static int unknown_name(
	enum config_resource resource, struct str name, struct config_problem *problem)
{
	const char *words = resource == CONFIG_RESOURCE_TOPIC	? "Unknown topic config name"
			    : resource == CONFIG_RESOURCE_GROUP ? "Unknown group config name"
								: "Unknown client metrics "
								  "configuration";

	if (problem)
		config_problem_set(problem, "%s: %.*s", words, STR_ARGS(name));
	return -EINVAL;
}

int resource_values_init(struct resource_values *values, enum config_resource resource,
	const struct config *config, const struct config_entries *own, struct arena *arena,
	struct config_problem *problem, int32_t *ret_left_out)
{
	struct config_problem unread;
	int error = 0;

	*values = (struct resource_values){.resource = resource};
	values->end = setting_span(resource, &values->first);
	ensure(values->end > values->first && resource != CONFIG_RESOURCE_BROKER);
	*ret_left_out = 0;
	for (enum setting_id id = values->first; id < values->end && error == 0; id++)
		error = value_default(&values->values[id - values->first], id, config, arena);
	/* Names before values, as Kafka checks them. */
	for (int32_t i = 0; problem && i < own->count && error == 0; i++) {
		if (setting_find(resource, own->items[i].name) == SETTING_NONE)
			error = unknown_name(resource, own->items[i].name, problem);
	}
	for (int32_t i = 0; i < own->count && error == 0; i++) {
		enum setting_id id = setting_find(resource, own->items[i].name);
		int place = (int)id - (int)values->first;
		struct setting_value value;
		error = id == SETTING_NONE ? -EINVAL
					   : setting_parse(setting_row(id), own->items[i].value,
						     arena, &value, problem ? problem : &unread);
		if (error == 0) {
			values->values[place] = value;
			values->overridden[place] = true;
		} else if (error == -EINVAL && !problem) {
			error = 0;
			(*ret_left_out)++;
		}
	}
	return error;
}
