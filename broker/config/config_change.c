#include "broker/config/config_change.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/config/config_change_internal.h"
#include "broker/config/resource_values.h"

/* In Java's characters, each of which is a byte at least: a bound on what a record may hold. */
enum { CONFIG_VALUE_MAX = 32767 };

/* Comparisons of items while a list is changed. */
enum { LIST_WORK_MAX = 4 << 20 };

/* Of a broker, whose settings may have any name; of other resources all that there are. */
enum { CHANGES_MAX = 1000 };

bool config_refuse(struct config_altering *change, enum kafka_error error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(change->refusal->message, sizeof(change->refusal->message), format, arguments);
	va_end(arguments);
	change->refusal->error = error;
	return false;
}

bool config_no_memory(struct config_altering *change)
{
	change->out_of_memory = true;
	return false;
}

static int change_compare(const void *a, const void *b)
{
	const struct config_change *const *x = a, *const *y = b;

	return str_compare((*x)->name, (*y)->name);
}

/* Looking names up is quadratic further on. Where names are limited, too many of them hold one that
 * does not exist. */
static bool check_count(struct config_altering *change)
{
	enum config_resource resource = change->context->resource;

	if (change->changes->count <= CHANGES_MAX)
		return true;
	for (int32_t i = 0; i < change->changes->count; i++) {
		struct str name = change->changes->items[i].name;
		if (resource == CONFIG_RESOURCE_TOPIC &&
			setting_find(resource, name) == SETTING_NONE)
			return config_refuse(change, KAFKA_INVALID_CONFIG,
				"Unknown topic config name: %.*s", STR_ARGS(name));
	}
	return config_refuse(change, KAFKA_INVALID_REQUEST,
		"More than %d settings of one resource.", CHANGES_MAX);
}

/* No name twice, a value wherever one is needed, no operation that does not exist. */
static bool check_shape(struct config_altering *change)
{
	int32_t count = change->changes->count;
	const struct config_change **sorted =
		arena_new_array(change->arena, const struct config_change *, (size_t)count + 1);
	char names[512] = "";
	size_t used = 0;

	if (!sorted)
		return config_no_memory(change);
	for (int32_t i = 0; i < count; i++)
		sorted[i] = &change->changes->items[i];
	qsort(sorted, (size_t)count, sizeof(*sorted), change_compare);
	for (int32_t i = 1; i < count; i++) {
		if (str_equal(sorted[i - 1]->name, sorted[i]->name))
			return config_refuse(change, KAFKA_INVALID_REQUEST,
				"Error due to duplicate config keys");
	}
	for (int32_t i = 0; i < count; i++) {
		const struct config_change *one = &change->changes->items[i];
		if (one->operation == CONFIG_DELETE || !str_is_null(one->value))
			continue;
		if (used < sizeof(names))
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%.*s",
				used > 0 ? ", " : "", STR_ARGS(one->name));
	}
	if (used > 0)
		return config_refuse(
			change, KAFKA_INVALID_REQUEST, "Null value not supported for : %s", names);
	for (int32_t i = 0; i < count; i++) {
		int operation = change->changes->items[i].operation;
		if (operation < CONFIG_SET || operation > CONFIG_SUBTRACT)
			return config_refuse(change, KAFKA_INVALID_REQUEST,
				"Unknown operations type %d", operation);
	}
	return true;
}

/* What Kafka's controller says of a name only when it has the values. */
static bool check_name(struct config_altering *change)
{
	struct str problem = change->context->name_problem;

	if (change->context->resource_name.size == 0) {
		switch (change->context->resource) {
		case CONFIG_RESOURCE_TOPIC:
			return config_refuse(change, KAFKA_INVALID_REQUEST,
				"Default topic resources are not allowed.");
		case CONFIG_RESOURCE_GROUP:
			return config_refuse(change, KAFKA_INVALID_REQUEST,
				"Default group resources are not allowed.");
		case CONFIG_RESOURCE_CLIENT_METRICS:
			return config_refuse(change, KAFKA_INVALID_REQUEST,
				"Subscription name can't be empty");
		default:
			break;
		}
	}
	return problem.size <= 0 || config_refuse(change, KAFKA_INVALID_TOPIC_EXCEPTION, "%.*s",
					    STR_ARGS(problem));
}

static bool check_resource(struct config_altering *change)
{
	const struct config_change_context *context = change->context;
	struct str name = context->resource_name;
	char id[16];

	switch (context->resource) {
	case CONFIG_RESOURCE_BROKER:
		if (name.size == 0)
			return true;
		for (int32_t i = 0; i < name.size; i++) {
			bool sign = i == 0 && name.size > 1 &&
				    (name.data[i] == '-' || name.data[i] == '+');
			if (!sign && (name.data[i] < '0' || name.data[i] > '9'))
				return config_refuse(change, KAFKA_INVALID_REQUEST,
					"Node id must be an integer, but it is: %.*s",
					STR_ARGS(name));
		}
		snprintf(id, sizeof(id), "%d", config_node_id(context->config));
		if (!str_equal(name, str_from(id)))
			return config_refuse(change, KAFKA_INVALID_REQUEST,
				"Unexpected broker id, expected %s, but received %.*s", id,
				STR_ARGS(name));
		return true;
	case CONFIG_RESOURCE_TOPIC:
	case CONFIG_RESOURCE_GROUP:
	case CONFIG_RESOURCE_CLIENT_METRICS:
		return true;
	default:
		return config_refuse(change, KAFKA_INVALID_REQUEST, "Unknown resource type %d",
			context->resource);
	}
}

/* ---- From operations to values ---- */

static bool parts_hold(const struct str *parts, int32_t count, struct str part)
{
	for (int32_t i = 0; i < count; i++) {
		if (str_equal(parts[i], part))
			return true;
	}
	return false;
}

static int32_t parts_count(struct str text)
{
	int32_t count = 1;

	for (int32_t i = 0; i < text.size; i++)
		count += text.data[i] == ',';
	return count;
}

/* Appends to or removes from a list, as texts between commas: what stands there stays as it is. */
static bool change_list(struct config_altering *change, const struct config_change *one,
	struct str old, struct str *ret_value)
{
	enum setting_id id = setting_find(change->context->resource, one->name);
	struct str rest, part;

	bool is_list = id != SETTING_NONE && setting_row(id)->type == SETTING_TYPE_LIST;
	if (!is_list && change->context->resource == CONFIG_RESOURCE_BROKER)
		return config_refuse(change, KAFKA_INVALID_CONFIG,
			"Config value %s is not allowed for config key: %.*s",
			one->operation == CONFIG_APPEND ? "append" : "subtract",
			STR_ARGS(one->name));
	/* Kafka's controller does not know the types of a subscription's settings. */
	if (!is_list || change->context->resource == CONFIG_RESOURCE_CLIENT_METRICS)
		return config_refuse(change, KAFKA_INVALID_CONFIG,
			"Can't %s to key %.*s because its type is not LIST.",
			one->operation == CONFIG_APPEND ? "APPEND" : "SUBTRACT",
			STR_ARGS(one->name));
	/* Lists of a client's making could be long, and the work grows with the product. */
	int64_t old_count = str_is_null(old) ? 0 : parts_count(old);
	if (old_count * parts_count(one->value) > LIST_WORK_MAX)
		return config_refuse(change, KAFKA_INVALID_CONFIG, "The list of %.*s is too long.",
			STR_ARGS(one->name));
	if (str_is_null(old))
		old = str_from(setting_row(id)->default_text);
	int32_t room = parts_count(one->value) + (str_is_null(old) ? 0 : parts_count(old));
	struct str *parts = arena_new_array(change->arena, struct str, (size_t)room);
	if (!parts)
		return config_no_memory(change);
	int32_t count = 0;
	int32_t size = 0;
	rest = old;
	while (str_split_next(&rest, ',', &part)) {
		if (part.size > 0)
			parts[count++] = part;
	}
	rest = one->value;
	while (str_split_next(&rest, ',', &part)) {
		if (one->operation == CONFIG_APPEND) {
			if (!parts_hold(parts, count, part))
				parts[count++] = part;
			continue;
		}
		for (int32_t i = 0; i < count; i++) {
			if (str_equal(parts[i], part)) {
				memmove(&parts[i], &parts[i + 1],
					(size_t)(count - i - 1) * sizeof(*parts));
				count--;
				break;
			}
		}
	}
	for (int32_t i = 0; i < count; i++)
		size += parts[i].size + 1;
	char *joined = arena_alloc(change->arena, (size_t)size + 1);
	if (!joined)
		return config_no_memory(change);
	size = 0;
	for (int32_t i = 0; i < count; i++) {
		if (i > 0)
			joined[size++] = ',';
		memcpy(joined + size, parts[i].data, (size_t)parts[i].size);
		size += parts[i].size;
	}
	joined[size] = '\0';
	*ret_value = (struct str){joined, size};
	return true;
}

static void next_set(struct config_altering *change, struct str name, struct str value)
{
	struct config_entry *known =
		(struct config_entry *)config_entries_find(&change->next, name);

	if (str_is_null(value)) {
		if (known)
			*known = change->next.items[--change->next.count];
		return;
	}
	if (!known)
		known = &change->next.items[change->next.count++];
	*known = (struct config_entry){name, value};
}

/* A record where something differs; for brokers always, so that a key store is read again. */
static bool record_add(struct config_altering *change, struct str name, struct str value)
{
	const struct config_entry *current = config_entries_find(&change->context->current, name);
	struct str old = current ? current->value : STR_NULL;

	if (value.size > CONFIG_VALUE_MAX)
		return config_refuse(change, KAFKA_INVALID_CONFIG,
			"The configuration value cannot be added because it exceeds the maximum "
			"value size of 32767 bytes.");
	if (str_equal(old, value) && change->context->resource != CONFIG_RESOURCE_BROKER)
		return true;
	next_set(change, name, value);
	change->records.items[change->records.count++] = (struct config_record_value){name, value};
	return true;
}

static bool apply_operations(struct config_altering *change)
{
	const struct config_entries *current = &change->context->current;
	int32_t room = current->count + change->changes->count;

	change->next.items = arena_new_array(change->arena, struct config_entry, (size_t)room + 1);
	change->records.items =
		arena_new_array(change->arena, struct config_record_value, (size_t)room + 1);
	if (!change->next.items || !change->records.items)
		return config_no_memory(change);
	for (int32_t i = 0; i < current->count; i++)
		change->next.items[change->next.count++] = current->items[i];
	for (int32_t i = 0; i < change->changes->count; i++) {
		const struct config_change *one = &change->changes->items[i];
		const struct config_entry *old = config_entries_find(current, one->name);
		struct str value = one->operation == CONFIG_DELETE ? STR_NULL : one->value;
		if (one->operation >= CONFIG_APPEND &&
			!change_list(change, one, old ? old->value : STR_NULL, &value))
			return false;
		if (!record_add(change, one->name, value))
			return false;
	}
	for (int32_t i = 0; change->context->whole && i < current->count; i++) {
		bool named = false;
		for (int32_t j = 0; j < change->changes->count && !named; j++)
			named = str_equal(change->changes->items[j].name, current->items[i].name);
		if (!named && !record_add(change, current->items[i].name, STR_NULL))
			return false;
	}
	return true;
}

/* ---- What a topic's settings must be ---- */

static int64_t whole_number(const struct resource_values *values, enum setting_id id)
{
	return resource_value(values, id)->integer;
}

static bool check_topic(struct config_altering *change, const struct resource_values *values)
{
	int64_t least = whole_number(values, TOPIC_SETTING_MIN_COMPACTION_LAG_MS);
	int64_t most = whole_number(values, TOPIC_SETTING_MAX_COMPACTION_LAG_MS);
	const struct config_entry *was =
		config_entries_find(&change->context->current, STR("remote.storage.enable"));

	if (least > most)
		return config_refuse(change, KAFKA_INVALID_CONFIG,
			"conflict topic config setting min.compaction.lag.ms (%" PRId64
			") > max.compaction.lag.ms (%" PRId64 ")",
			least, most);
	if (resource_value(values, TOPIC_SETTING_REMOTE_STORAGE_ENABLE)->boolean)
		return config_refuse(change, KAFKA_INVALID_CONFIG,
			"Tiered Storage functionality is disabled in the broker. Topic cannot be "
			"configured with remote log storage.");
	/* A topic that another broker tiered: turning it off loses what is in remote storage. */
	if (was && str_equal(was->value, STR("true")) &&
		!resource_value(values, TOPIC_SETTING_REMOTE_LOG_DELETE_ON_DISABLE)->boolean)
		return config_refuse(change, KAFKA_INVALID_CONFIG,
			"It is invalid to disable remote storage without deleting remote data. If "
			"you want to keep the remote data and turn to read only, please set "
			"`remote.storage.enable=true,remote.log.copy.disable=true`. If you want to "
			"disable remote storage and delete all remote data, please set "
			"`remote.storage.enable=false,remote.log.delete.on.disable=true`.");
	return true;
}

/* ---- What a group's settings must be ---- */

static const struct group_range {
	enum setting_id id, least, most;
} group_ranges[] = {
#define GROUP_RANGE(id, least, most) {GROUP_SETTING_##id, SETTING_##least, SETTING_##most},
#define GROUP_BELOW(smaller, larger)
#include "broker/config/group_ranges.tbl"
#undef GROUP_RANGE
#undef GROUP_BELOW
};

static const struct group_order {
	enum setting_id smaller, larger;
} group_orders[] = {
#define GROUP_RANGE(id, least, most)
#define GROUP_BELOW(smaller, larger) {GROUP_SETTING_##smaller, GROUP_SETTING_##larger},
#include "broker/config/group_ranges.tbl"
#undef GROUP_RANGE
#undef GROUP_BELOW
};

static bool check_group(struct config_altering *change, const struct resource_values *values)
{
	const struct config *config = change->context->config;

	for (size_t i = 0; i < array_length(group_ranges); i++) {
		const struct group_range *range = &group_ranges[i];
		int64_t value = whole_number(values, range->id);
		if (range->least != SETTING_NONE &&
			value < config_value(config, range->least)->integer)
			return config_refuse(change, KAFKA_INVALID_CONFIG,
				"%s must be greater than or equal to %s",
				setting_row(range->id)->name, setting_row(range->least)->name);
		if (range->most != SETTING_NONE &&
			value > config_value(config, range->most)->integer)
			return config_refuse(change, KAFKA_INVALID_CONFIG,
				"%s must be less than or equal to %s", setting_row(range->id)->name,
				setting_row(range->most)->name);
	}
	for (size_t i = 0; i < array_length(group_orders); i++) {
		const struct group_order *order = &group_orders[i];
		if (whole_number(values, order->smaller) >= whole_number(values, order->larger))
			return config_refuse(change, KAFKA_INVALID_CONFIG,
				"%s must be greater than %s", setting_row(order->larger)->name,
				setting_row(order->smaller)->name);
	}
	return true;
}

/* ---- What a subscription to client metrics must be ---- */

/* Brackets that close, nothing repeated that is not there: enough of a regular expression's grammar
 * to refuse what no engine takes. */
static bool pattern_is_plausible(struct str pattern)
{
	int round = 0;
	bool square = false, something = false;

	for (int32_t i = 0; i < pattern.size; i++) {
		char c = pattern.data[i];
		if (c == '\\') {
			if (++i == pattern.size)
				return false;
			something = true;
		} else if (square) {
			square = c != ']' || pattern.data[i - 1] == '[';
		} else if (c == '[') {
			square = something = true;
		} else if (c == '(') {
			round++;
			something = i + 1 < pattern.size && pattern.data[i + 1] == '?';
		} else if (c == ')') {
			if (--round < 0)
				return false;
			something = true;
		} else if ((c == '*' || c == '+' || c == '?') && !something) {
			return false;
		} else {
			something = c != '|';
		}
	}
	return round == 0 && !square;
}

static bool match_is_valid(struct str item)
{
	static const char *const known[] = {"client_instance_id", "client_id",
		"client_software_name", "client_software_version", "client_source_address",
		"client_source_port"};
	struct str rest = item, name, pattern, more;

	if (!str_split_next(&rest, '=', &name) || !str_split_next(&rest, '=', &pattern) ||
		str_split_next(&rest, '=', &more))
		return false;
	name = str_trim(name);
	pattern = str_trim(pattern);
	for (size_t i = 0; i < array_length(known); i++) {
		if (str_equal(name, str_from(known[i])))
			return pattern.size > 0 && pattern_is_plausible(pattern);
	}
	return false;
}

static bool check_client_metrics(
	struct config_altering *change, const struct resource_values *values)
{
	int64_t interval_ms = whole_number(values, METRICS_SETTING_INTERVAL_MS);
	struct str_list match = resource_value(values, METRICS_SETTING_MATCH)->list;

	if (interval_ms < 100 || interval_ms > 3600000)
		return config_refuse(change, KAFKA_INVALID_REQUEST,
			"Invalid value %" PRId64
			" for interval.ms, interval must be between 100 and 3600000 (1 hour)",
			interval_ms);
	for (int32_t i = 0; i < match.count; i++) {
		if (!match_is_valid(match.items[i]))
			return config_refuse(change, KAFKA_INVALID_CONFIG,
				"Illegal client matching pattern: %.*s", STR_ARGS(match.items[i]));
	}
	return true;
}

static bool check_values(struct config_altering *change)
{
	enum config_resource resource = change->context->resource;
	struct resource_values *values = arena_new(change->arena, struct resource_values);
	struct config_problem problem;
	int32_t left_out;

	if (!values)
		return config_no_memory(change);
	int error = resource_values_init(values, resource, change->context->config, &change->next,
		change->arena, &problem, &left_out);
	if (error == -ENOMEM)
		return config_no_memory(change);
	if (error < 0) {
		bool unknown = strncmp(problem.text, "Unknown client metrics", 22) == 0;
		return config_refuse(change, unknown ? KAFKA_INVALID_REQUEST : KAFKA_INVALID_CONFIG,
			"%s", problem.text);
	}
	return resource == CONFIG_RESOURCE_TOPIC   ? check_topic(change, values)
	       : resource == CONFIG_RESOURCE_GROUP ? check_group(change, values)
						   : check_client_metrics(change, values);
}

static int change_finish(struct config_altering *change, struct config_records *ret_records)
{
	if (change->out_of_memory)
		return -ENOMEM;
	*ret_records =
		change->refusal->error == KAFKA_NONE ? change->records : (struct config_records){0};
	return 0;
}

int config_change(const struct config_change_context *context, const struct config_changes *changes,
	struct arena *arena, struct config_records *ret_records, struct config_refusal *ret_refusal)
{
	struct config_altering change = {
		.context = context, .changes = changes, .arena = arena, .refusal = ret_refusal};

	*ret_refusal = (struct config_refusal){.error = KAFKA_NONE};
	bool good = check_shape(&change) && check_resource(&change) && check_count(&change) &&
		    apply_operations(&change) && check_name(&change);
	if (good && context->resource == CONFIG_RESOURCE_BROKER)
		config_check_broker(&change);
	else if (good)
		check_values(&change);
	return change_finish(&change, ret_records);
}

int config_check_new_topic(const struct config *config, const struct config_entries *settings,
	struct arena *arena, struct config_refusal *ret_refusal)
{
	const struct config_change_context context = {
		.config = config, .resource = CONFIG_RESOURCE_TOPIC, .resource_name = STR("new")};
	struct config_change *items =
		arena_new_array(arena, struct config_change, (size_t)settings->count + 1);
	struct config_records records;

	if (!items)
		return -ENOMEM;
	for (int32_t i = 0; i < settings->count; i++)
		items[i] = (struct config_change){
			settings->items[i].name, CONFIG_SET, settings->items[i].value};
	struct config_changes changes = {items, settings->count};
	return config_change(&context, &changes, arena, &records, ret_refusal);
}
