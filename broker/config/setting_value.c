/*
 * From the text of a value to a typed, checked one and back, by the rules of Kafka's ConfigDef:
 * what it trims, which numbers it reads, how it splits lists, and the words with which it refuses.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/config/endpoint.h"
#include "broker/config/setting.h"

void config_problem_set(struct config_problem *problem, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(problem->text, sizeof(problem->text), format, arguments);
	va_end(arguments);
}

struct str str_trim(struct str text)
{
	while (text.size > 0 && (unsigned char)text.data[0] <= ' ') {
		text.data++;
		text.size--;
	}
	while (text.size > 0 && (unsigned char)text.data[text.size - 1] <= ' ')
		text.size--;
	return text;
}

bool str_split_next(struct str *rest, char separator, struct str *ret_item)
{
	if (str_is_null(*rest))
		return false;
	const char *end = rest->size > 0 ? memchr(rest->data, separator, (size_t)rest->size) : NULL;
	if (!end) {
		*ret_item = *rest;
		*rest = STR_NULL;
		return true;
	}
	ret_item->data = rest->data;
	ret_item->size = (int32_t)(end - rest->data);
	rest->data = end + 1;
	rest->size -= ret_item->size + 1;
	return true;
}

static bool str_equal_any_case(struct str a, struct str b)
{
	return a.size == b.size && (a.size <= 0 || strncasecmp(a.data, b.data, a.size) == 0);
}

__attribute__((format(printf, 4, 5))) static int value_refuse(const struct setting *row,
	struct str value, struct config_problem *problem, const char *format, ...)
{
	char why[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	if (setting_is_sensitive(row))
		value = STR("[hidden]");
	config_problem_set(problem, "Invalid value %.*s for configuration %s: %s", STR_ARGS(value),
		row->name, why);
	return -EINVAL;
}

static const char *type_name(enum setting_type type)
{
	static const char *const names[] = {"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG",
		"DOUBLE", "LIST", "CLASS", "PASSWORD"};
	return names[type];
}

/* Java's parseInt and its like: an optional sign and decimal digits, nothing else. */
static bool integer_parse(struct str text, int64_t least, int64_t most, int64_t *ret_value)
{
	bool negative = text.size > 0 && text.data[0] == '-';
	int64_t value = 0;
	int32_t i = text.size > 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0;

	if (i >= text.size)
		return false;
	for (; i < text.size; i++) {
		int digit = text.data[i] - '0';
		if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
			__builtin_sub_overflow(value, digit, &value))
			return false;
	}
	/* Kept negative so far, because there is one more negative number than positive ones. */
	if (!negative && __builtin_sub_overflow(0, value, &value))
		return false;
	*ret_value = value;
	return value >= least && value <= most;
}

/* Java's parseDouble: what strtod reads, but NaN and Infinity only as Java writes them, a suffix f
 * or d, and hexadecimal only with an exponent. */
static bool double_parse(struct str text, double *ret_value)
{
	char buffer[64];
	char *end;
	struct str digits = text;

	if (digits.size > 0 && (digits.data[0] == '-' || digits.data[0] == '+')) {
		digits.data++;
		digits.size--;
	}
	if (str_equal(digits, STR("NaN"))) {
		*ret_value = NAN;
		return true;
	}
	if (str_equal(digits, STR("Infinity"))) {
		*ret_value = text.data[0] == '-' ? -INFINITY : INFINITY;
		return true;
	}
	bool hexadecimal = digits.size > 1 && digits.data[0] == '0' && (digits.data[1] | 32) == 'x';
	int32_t size = text.size;
	if (size > 0 && strchr(hexadecimal ? "" : "fFdD", text.data[size - 1]) &&
		text.data[size - 1])
		size--;
	if (size <= 0 || size >= (int32_t)sizeof(buffer) || digits.size <= 0 ||
		!(isdigit((unsigned char)digits.data[0]) || digits.data[0] == '.'))
		return false;
	memcpy(buffer, text.data, (size_t)size);
	buffer[size] = '\0';
	if (strlen(buffer) != (size_t)size || (hexadecimal && !strpbrk(buffer, "pP")))
		return false;
	*ret_value = strtod(buffer, &end);
	return end == buffer + size && end != buffer;
}

static int32_t list_count(struct str text)
{
	int32_t count = 1;

	for (int32_t i = 0; i < text.size; i++)
		count += text.data[i] == ',';
	return text.size > 0 ? count : 0;
}

/* TEXT is trimmed and copied already; items point into it. */
static int list_parse(struct str text, struct arena *arena, struct str_list *ret_list)
{
	int32_t count = list_count(text);
	struct str *items = arena_new_array(arena, struct str, (size_t)count + 1);
	struct str item;

	if (!items)
		return -ENOMEM;
	*ret_list = (struct str_list){.items = items};
	if (count == 0)
		return 0;
	while (str_split_next(&text, ',', &item))
		items[ret_list->count++] = str_trim(item);
	return 0;
}

/* Kafka drops what is named twice. Quadratic where items are not of a few words. */
static void list_drop_repeats(struct str_list *list)
{
	struct str *items = (struct str *)list->items;
	int32_t kept = 0;

	for (int32_t i = 0; i < list->count; i++) {
		bool repeated = false;
		for (int32_t j = 0; j < kept && !repeated; j++)
			repeated = str_equal(items[i], items[j]);
		if (!repeated)
			items[kept++] = items[i];
	}
	list->count = kept;
}

static bool words_hold(const char *words, struct str value, bool any_case)
{
	struct str rest = str_from(words), word;

	while (str_split_next(&rest, ',', &word)) {
		word = str_trim(word);
		if (any_case ? str_equal_any_case(word, value) : str_equal(word, value))
			return true;
	}
	return false;
}

/* As Kafka prints a limit: whole numbers without a point. */
static const char *limit_text(double limit, char text[32])
{
	snprintf(text, 32, limit == floor(limit) ? "%.0f" : "%g", limit);
	return text;
}

static int number_check(
	const struct setting *row, double number, struct str text, struct config_problem *problem)
{
	char limit[32];

	if (row->range.kind == RANGE_GZIP_LEVEL) {
		if (number != -1 && (number < 1 || number > 9))
			return value_refuse(
				row, text, problem, "Value must be between 1 and 9 or equal to -1");
		return 0;
	}
	if (row->range.kind != RANGE_NUMBER)
		return 0;
	if (number < row->range.min)
		return value_refuse(row, text, problem, "Value must be at least %s",
			limit_text(row->range.min, limit));
	if (number > row->range.max)
		return value_refuse(row, text, problem, "Value must be no more than %s",
			limit_text(row->range.max, limit));
	return 0;
}

/* P[nD][T[nH][nM][n[.n]S]], nothing negative: the durations that Kafka takes for share groups. */
static bool duration_is_valid(struct str text)
{
	static const char units[] = "DTHMS";
	const char *unit = units;
	int32_t at = 1, parts = 0;

	if (text.size < 3 || (text.data[0] | 32) != 'p')
		return false;
	while (at < text.size) {
		if ((text.data[at] | 32) == 't') {
			if (unit > units + 1)
				return false;
			unit = units + 2;
			parts = 0;
			at++;
			continue;
		}
		int32_t begin = at;
		bool point = false;
		while (at < text.size && (isdigit((unsigned char)text.data[at]) ||
						 (text.data[at] == '.' && at > begin && !point)))
			point |= text.data[at++] == '.';
		if (at == begin || at >= text.size || at - begin > 18)
			return false;
		const char *named = memchr(
			unit, toupper((unsigned char)text.data[at]), (size_t)(units + 5 - unit));
		if (!named || *named == 'T' || (unit == units && *named != 'D') ||
			(point && *named != 'S'))
			return false;
		unit = named + 1;
		parts++;
		at++;
	}
	return parts > 0;
}

static int string_check(const struct setting *row, struct str value, struct config_problem *problem)
{
	struct str prefix = STR("by_duration:");

	switch (row->range.kind) {
	case RANGE_ONE_OF:
		if (!words_hold(row->range.words, value, false))
			return value_refuse(
				row, value, problem, "String must be one of: %s", row->range.words);
		return 0;
	case RANGE_ONE_OF_ANY_CASE:
		if (!words_hold(row->range.words, value, true))
			return value_refuse(row, value, problem,
				"String must be one of (case insensitive): %s", row->range.words);
		return 0;
	case RANGE_NON_EMPTY:
		if (value.size == 0)
			return value_refuse(row, value, problem, "String must be non-empty");
		return 0;
	case RANGE_OFFSET_RESET:
		if (str_equal(value, STR("earliest")) || str_equal(value, STR("latest")))
			return 0;
		if (value.size > prefix.size &&
			memcmp(value.data, prefix.data, (size_t)prefix.size) == 0 &&
			duration_is_valid(
				(struct str){value.data + prefix.size, value.size - prefix.size}))
			return 0;
		return value_refuse(row, value, problem,
			"Invalid value `%.*s` for configuration %s. The value must be either "
			"'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.",
			min_of(value.size, 200), value.data, row->name);
	default:
		return 0;
	}
}

/* "[a, b]", as Java prints a list, cut to SIZE. */
static struct str list_print(const struct str_list *list, char *text, size_t size)
{
	size_t used = (size_t)snprintf(text, size, "[");

	for (int32_t i = 0; i < list->count && used < size - 1; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%.*s", i > 0 ? ", " : "",
			STR_ARGS(list->items[i]));
	used = min_of(used, size - 1);
	used += (size_t)snprintf(text + used, size - used, "]");
	return (struct str){text, (int32_t)min_of(used, size - 1)};
}

static bool is_throttled_replica(struct str item)
{
	bool colon = false;

	item = str_trim(item);
	if (item.size == 0)
		return true;
	for (int32_t i = 0; i < item.size; i++) {
		bool separates = item.data[i] == ':' && !colon && i > 0 && i < item.size - 1;
		if (!separates && !isdigit((unsigned char)item.data[i]))
			return false;
		colon |= separates;
	}
	return colon;
}

static int throttled_replicas_check(
	const struct setting *row, const struct str_list *list, struct config_problem *problem)
{
	char text[256];
	int32_t stars = 0, others = 0;
	bool replicas = true;

	for (int32_t i = 0; i < list->count; i++) {
		bool star = str_equal(list->items[i], STR("*"));
		stars += star;
		others += !star && list->items[i].size > 0;
		replicas = replicas && is_throttled_replica(list->items[i]);
	}
	if (replicas || (stars == 1 && others == 0))
		return 0;
	return value_refuse(row, list_print(list, text, sizeof(text)), problem,
		"%s must be the literal '*' or a list of replicas in the following format: "
		"[partitionId]:[brokerId],[partitionId]:[brokerId],...",
		row->name);
}

static int servers_check(
	const struct setting *row, const struct str_list *list, struct config_problem *problem)
{
	for (int32_t i = 0; i < list->count; i++) {
		struct endpoint server;
		if (endpoint_parse_address(list->items[i], &server) < 0) {
			config_problem_set(problem,
				"Failed to parse host name from %.*s for the configuration %s. "
				"Each entry should be in the form \"{host}:{port}\"",
				STR_ARGS(list->items[i]), row->name);
			return -EINVAL;
		}
	}
	return 0;
}

static int voters_check(
	const struct setting *row, const struct str_list *list, struct config_problem *problem)
{
	for (int32_t i = 0; i < list->count; i++) {
		struct quorum_voter voter;
		if (quorum_voter_parse(list->items[i], &voter) < 0) {
			config_problem_set(problem,
				"Invalid configuration value for %s: %.*s. Each entry should be in "
				"the form `{id}@{host}:{port}`.",
				row->name, STR_ARGS(list->items[i]));
			return -EINVAL;
		}
	}
	return 0;
}

/* A value in the metadata has 32767 characters, so it holds no more items than this. */
enum { LIST_ITEMS_MAX = 16384, DISTINCT_ITEMS_MAX = 4096 };

static int list_too_long(const struct setting *row, int32_t count, struct config_problem *problem)
{
	config_problem_set(
		problem, "Configuration '%s' has %d values, which are too many.", row->name, count);
	return -EINVAL;
}

static int list_check(
	const struct setting *row, struct str_list *list, struct config_problem *problem)
{
	enum setting_range_kind kind = row->range.kind;

	if (kind == RANGE_THROTTLED_REPLICAS)
		return throttled_replicas_check(row, list, problem);
	if (kind == RANGE_SERVERS)
		return servers_check(row, list, problem);
	if (kind == RANGE_VOTERS)
		return voters_check(row, list, problem);
	if (list->count == 0 && (kind == RANGE_NON_EMPTY_LIST || kind == RANGE_SOME_OF)) {
		const char *words = row->range.words;
		config_problem_set(problem,
			"Configuration '%s' must not be empty. Valid values include: %s%s%s",
			row->name, words ? "[" : "", words ? words : "any non-empty value",
			words ? "]" : "");
		return -EINVAL;
	}
	for (int32_t i = 0; i < list->count; i++) {
		if (list->items[i].size == 0) {
			config_problem_set(
				problem, "Configuration '%s' values must not be empty.", row->name);
			return -EINVAL;
		}
		if (row->range.words && !words_hold(row->range.words, list->items[i], false))
			return value_refuse(row, list->items[i], problem,
				"String must be one of: %s", row->range.words);
	}
	if (!row->range.words && list->count > DISTINCT_ITEMS_MAX)
		return list_too_long(row, list->count, problem);
	list_drop_repeats(list);
	return 0;
}

int setting_parse(const struct setting *row, struct str text, struct arena *arena,
	struct setting_value *ret_value, struct config_problem *ret_problem)
{
	struct setting_value value = {0};
	char shown[64];
	int error = 0;

	ensure(!str_is_null(text));
	struct str trimmed = str_trim(text);
	/* Kafka shows the text as it was given when it is of the wrong type, the value otherwise.
	 */
	switch (row->type) {
	case SETTING_TYPE_BOOLEAN:
		value.boolean = str_equal_any_case(trimmed, STR("true"));
		if (!value.boolean && !str_equal_any_case(trimmed, STR("false")))
			return value_refuse(row, text, ret_problem,
				"Expected value to be either true or false");
		break;
	case SETTING_TYPE_INT:
	case SETTING_TYPE_SHORT:
	case SETTING_TYPE_LONG: {
		int64_t most = row->type == SETTING_TYPE_INT	 ? INT32_MAX
			       : row->type == SETTING_TYPE_SHORT ? INT16_MAX
								 : INT64_MAX;
		if (!integer_parse(trimmed, -most - 1, most, &value.integer))
			return value_refuse(row, text, ret_problem, "Not a number of type %s",
				type_name(row->type));
		snprintf(shown, sizeof(shown), "%" PRId64, value.integer);
		error = number_check(row, (double)value.integer, str_from(shown), ret_problem);
		break;
	}
	case SETTING_TYPE_DOUBLE: {
		if (!double_parse(trimmed, &value.number))
			return value_refuse(row, text, ret_problem, "Not a number of type %s",
				type_name(row->type));
		struct str printed = setting_format(row, &value, arena);
		if (str_is_null(printed))
			return -ENOMEM;
		error = number_check(row, value.number, printed, ret_problem);
		break;
	}
	case SETTING_TYPE_PASSWORD:
	case SETTING_TYPE_STRING:
	case SETTING_TYPE_CLASS:
		value.text = arena_str(arena, trimmed);
		if (str_is_null(value.text))
			return -ENOMEM;
		if (row->type == SETTING_TYPE_CLASS && trimmed.size == 0)
			return value_refuse(row, text, ret_problem,
				"Class %.*s could not be found.", STR_ARGS(text));
		error = string_check(row, value.text, ret_problem);
		break;
	case SETTING_TYPE_LIST: {
		if (list_count(trimmed) > LIST_ITEMS_MAX)
			return list_too_long(row, list_count(trimmed), ret_problem);
		struct str copy = arena_str(arena, trimmed);
		if (str_is_null(copy))
			return -ENOMEM;
		error = list_parse(copy, arena, &value.list);
		if (error == 0)
			error = list_check(row, &value.list, ret_problem);
		break;
	}
	case SETTING_TYPE_UNKNOWN:
		ensure(!"a row has a type");
	}
	if (error < 0)
		return error;
	*ret_value = value;
	return 0;
}

/* Java's Double.toString: the shortest digits that read back as the same number, with a point, and
 * an exponent outside of [10^-3, 10^7). */
static void double_print(double number, char *text, size_t size)
{
	char digits[32];
	int precision = 1, exponent;

	if (isnan(number) || isinf(number)) {
		snprintf(text, size, isnan(number) ? "NaN" : number < 0 ? "-Infinity" : "Infinity");
		return;
	}
	if (number == 0) {
		snprintf(text, size, signbit(number) ? "-0.0" : "0.0");
		return;
	}
	do
		snprintf(digits, sizeof(digits), "%.*e", precision - 1, number);
	while (strtod(digits, NULL) != number && ++precision <= 17);
	exponent = atoi(strchr(digits, 'e') + 1);
	if (exponent >= -3 && exponent < 7) {
		snprintf(text, size, "%.*f", max_of(1, precision - 1 - exponent), number);
		return;
	}
	*strchr(digits, 'e') = '\0';
	snprintf(text, size, "%s%sE%d", digits, strchr(digits, '.') ? "" : ".0", exponent);
}

struct str setting_format(
	const struct setting *row, const struct setting_value *value, struct arena *arena)
{
	char text[64];
	size_t size = 0;

	if (value->is_null)
		return STR_NULL;
	switch (row->type) {
	case SETTING_TYPE_BOOLEAN:
		return value->boolean ? STR("true") : STR("false");
	case SETTING_TYPE_INT:
	case SETTING_TYPE_SHORT:
	case SETTING_TYPE_LONG:
		snprintf(text, sizeof(text), "%" PRId64, value->integer);
		return arena_str(arena, str_from(text));
	case SETTING_TYPE_DOUBLE:
		double_print(value->number, text, sizeof(text));
		return arena_str(arena, str_from(text));
	case SETTING_TYPE_LIST:
		break;
	default:
		return value->text;
	}
	for (int32_t i = 0; i < value->list.count; i++)
		size += (size_t)value->list.items[i].size + 1;
	char *joined = arena_alloc(arena, size + 1);
	if (!joined)
		return STR_NULL;
	size = 0;
	for (int32_t i = 0; i < value->list.count; i++) {
		struct str item = value->list.items[i];
		if (i > 0)
			joined[size++] = ',';
		memcpy(joined + size, item.data, (size_t)item.size);
		size += (size_t)item.size;
	}
	joined[size] = '\0';
	return (struct str){joined, (int32_t)size};
}

struct str setting_range_words(const struct setting *row, struct arena *arena)
{
	const struct setting_range *range = &row->range;
	char least[32], most[32];

	switch (range->kind) {
	case RANGE_ANY:
	case RANGE_ANY_LIST:
		return STR("");
	case RANGE_NUMBER:
		if (isinf(range->max))
			return str_from(
				arena_printf(arena, "at least %s", limit_text(range->min, least)));
		return str_from(arena_printf(arena, "%s to %s", limit_text(range->min, least),
			limit_text(range->max, most)));
	case RANGE_GZIP_LEVEL:
		return STR("1 to 9, or -1");
	case RANGE_ONE_OF:
		return str_from(arena_printf(arena, "one of %s", range->words));
	case RANGE_ONE_OF_ANY_CASE:
		return str_from(arena_printf(arena, "one of %s, in any case", range->words));
	case RANGE_NON_EMPTY:
		return STR("not empty");
	case RANGE_NON_EMPTY_LIST:
		return STR("a list that is not empty");
	case RANGE_LIST_OF:
		return str_from(arena_printf(arena, "any of %s", range->words));
	case RANGE_SOME_OF:
		return str_from(arena_printf(arena, "at least one of %s", range->words));
	case RANGE_VOTERS:
		return STR("entries of the form id@host:port");
	case RANGE_SERVERS:
		return STR("entries of the form host:port");
	case RANGE_THROTTLED_REPLICAS:
		return STR("entries of the form partition:broker, or *");
	case RANGE_OFFSET_RESET:
		return STR("earliest, latest, or by_duration: and an ISO 8601 duration");
	}
	return STR("");
}
