#include "broker/config/setting.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define RANGE_ANY                 \
	{                         \
		.kind = RANGE_ANY \
	}
#define RANGE_AT_LEAST(least)                                         \
	{                                                             \
		.kind = RANGE_NUMBER, .min = (least), .max = INFINITY \
	}
#define RANGE_BETWEEN(least, most)                                  \
	{                                                           \
		.kind = RANGE_NUMBER, .min = (least), .max = (most) \
	}
#define RANGE_ONE_OF(list)                          \
	{                                           \
		.kind = RANGE_ONE_OF, .words = list \
	}
#define RANGE_ONE_OF_ANY_CASE(list)                          \
	{                                                    \
		.kind = RANGE_ONE_OF_ANY_CASE, .words = list \
	}
#define RANGE_LIST_OF(list)                          \
	{                                            \
		.kind = RANGE_LIST_OF, .words = list \
	}
#define RANGE_SOME_OF(list)                          \
	{                                            \
		.kind = RANGE_SOME_OF, .words = list \
	}
#define RANGE_PLAIN(range_kind)    \
	{                          \
		.kind = range_kind \
	}
#define RANGE_GZIP_LEVEL	 RANGE_PLAIN(RANGE_GZIP_LEVEL)
#define RANGE_NON_EMPTY		 RANGE_PLAIN(RANGE_NON_EMPTY)
#define RANGE_ANY_LIST		 RANGE_PLAIN(RANGE_ANY_LIST)
#define RANGE_NON_EMPTY_LIST	 RANGE_PLAIN(RANGE_NON_EMPTY_LIST)
#define RANGE_VOTERS		 RANGE_PLAIN(RANGE_VOTERS)
#define RANGE_SERVERS		 RANGE_PLAIN(RANGE_SERVERS)
#define RANGE_THROTTLED_REPLICAS RANGE_PLAIN(RANGE_THROTTLED_REPLICAS)
#define RANGE_OFFSET_RESET	 RANGE_PLAIN(RANGE_OFFSET_RESET)

/* Kinds and reasons of effects.tbl. */
#define EFFECT(id, effect_kind, why) EFFECT_KIND_##id = EFFECT_##effect_kind,
enum {
#include "broker/config/effects.tbl"
};
#undef EFFECT

#define EFFECT(id, effect_kind, why) EFFECT_ROW_##id,
enum {
#include "broker/config/effects.tbl"
	EFFECT_ROW_COUNT
};
#undef EFFECT

static const char *const effect_reasons[EFFECT_ROW_COUNT] = {
#define EFFECT(id, effect_kind, why) [EFFECT_ROW_##id] = (why),
#include "broker/config/effects.tbl"
#undef EFFECT
};

/* REQUIRED stands in the column of defaults; its address tells it from every text. No default reads
 * like it: a compiler may give equal constants one address. */
static const char required_mark[] = "(required)";
#define REQUIRED required_mark

struct setting_source {
	struct setting row;
	unsigned effect_row;
};

#define ROW(row_id, row_resource, row_name, row_type, row_default, row_range, row_importance, \
	row_scope, row_effect, row_synonym, words)                                            \
	[row_id] = {                                                                          \
		.row = {.name = row_name,                                                     \
			.resource = CONFIG_RESOURCE_##row_resource,                           \
			.type = SETTING_TYPE_##row_type,                                      \
			.default_text = row_default,                                          \
			.range = RANGE_##row_range,                                           \
			.importance = IMPORTANCE_##row_importance,                            \
			.scope = SCOPE_##row_scope,                                           \
			.effect = (enum setting_effect)EFFECT_KIND_##row_effect,              \
			.synonym = row_synonym,                                               \
			.documentation = words},                                              \
		.effect_row = EFFECT_ROW_##row_effect,                                        \
	},

static struct setting_source sources[SETTING_COUNT] = {
#define SETTING(id, name, type, value, range, importance, scope, effect, words)        \
	ROW(SETTING_##id, BROKER, name, type, value, range, importance, scope, effect, \
		SETTING_NONE, words)
#define TOPIC_SETTING(id, name, type, value, range, importance, scope, effect, synonym, words) \
	ROW(TOPIC_SETTING_##id, TOPIC, name, type, value, range, importance, scope, effect,    \
		SETTING_##synonym, words)
#define GROUP_SETTING(id, name, type, value, range, importance, scope, effect, synonym, words) \
	ROW(GROUP_SETTING_##id, GROUP, name, type, value, range, importance, scope, effect,    \
		SETTING_##synonym, words)
#define METRICS_SETTING(id, name, type, value, range, importance, scope, effect, synonym, words) \
	ROW(METRICS_SETTING_##id, CLIENT_METRICS, name, type, value, range, importance, scope,   \
		effect, SETTING_##synonym, words)
#include "broker/config/settings.tbl"
#undef SETTING
#undef TOPIC_SETTING
#undef GROUP_SETTING
#undef METRICS_SETTING
};

static const struct removed_name {
	enum config_resource resource;
	const char *name;
	const char *advice;
} removed_names[] = {
#define REMOVED(of, name, advice) {CONFIG_RESOURCE_##of, name, advice},
#include "broker/config/removed.tbl"
#undef REMOVED
};

/* Open addressing over resource and name, filled before main runs and constant from then on. */
enum { INDEX_SIZE = 1024 };
_Static_assert(SETTING_COUNT * 2 <= INDEX_SIZE, "look-ups stay short");
static uint16_t name_index[INDEX_SIZE]; /* 1 + id; 0: free */

static uint32_t name_hash(enum config_resource resource, struct str name)
{
	uint32_t hash = 2166136261u ^ (uint32_t)resource;

	for (int32_t i = 0; i < name.size; i++)
		hash = (hash ^ (uint8_t)name.data[i]) * 16777619u;
	return hash ^ hash >> 15;
}

__attribute__((constructor)) static void settings_prepare(void)
{
	for (unsigned id = 0; id < SETTING_COUNT; id++) {
		struct setting *row = &sources[id].row;
		row->reason = effect_reasons[sources[id].effect_row];
		if (row->default_text == required_mark) {
			row->required = true;
			row->default_text = NULL;
		}
		ensure(setting_find(row->resource, str_from(row->name)) == SETTING_NONE);
		uint32_t at = name_hash(row->resource, str_from(row->name)) % INDEX_SIZE;
		while (name_index[at])
			at = (at + 1) % INDEX_SIZE;
		name_index[at] = (uint16_t)(id + 1);
	}
}

const struct setting *setting_row(enum setting_id id)
{
	ensure(id < SETTING_COUNT);
	return &sources[id].row;
}

enum setting_id setting_find(enum config_resource resource, struct str name)
{
	if (name.size <= 0)
		return SETTING_NONE;
	uint32_t at = name_hash(resource, name) % INDEX_SIZE;
	for (; name_index[at]; at = (at + 1) % INDEX_SIZE) {
		const struct setting *row = &sources[name_index[at] - 1].row;
		if (row->resource == resource && str_equal(str_from(row->name), name))
			return (enum setting_id)(name_index[at] - 1);
	}
	return SETTING_NONE;
}

bool setting_is_dynamic_only(enum setting_id id)
{
	return id == SETTING_LEADER_REPLICATION_THROTTLED_RATE ||
	       id == SETTING_FOLLOWER_REPLICATION_THROTTLED_RATE ||
	       id == SETTING_REPLICA_ALTER_LOG_DIRS_IO_MAX_BYTES_PER_SECOND;
}

enum setting_id setting_span(enum config_resource resource, enum setting_id *ret_first)
{
	switch (resource) {
	case CONFIG_RESOURCE_BROKER:
		*ret_first = (enum setting_id)0;
		return (enum setting_id)BROKER_SETTING_COUNT;
	case CONFIG_RESOURCE_TOPIC:
		*ret_first = (enum setting_id)TOPIC_SETTING_FIRST;
		return (enum setting_id)GROUP_SETTING_FIRST;
	case CONFIG_RESOURCE_GROUP:
		*ret_first = (enum setting_id)GROUP_SETTING_FIRST;
		return (enum setting_id)METRICS_SETTING_FIRST;
	case CONFIG_RESOURCE_CLIENT_METRICS:
		*ret_first = (enum setting_id)METRICS_SETTING_FIRST;
		return SETTING_COUNT;
	default:
		*ret_first = (enum setting_id)0;
		return (enum setting_id)0;
	}
}

const char *setting_removed_advice(enum config_resource resource, struct str name)
{
	for (size_t i = 0; i < array_length(removed_names); i++) {
		const struct removed_name *removed = &removed_names[i];
		struct str known = str_from(removed->name);
		bool prefix = known.data[known.size - 1] == '.';
		if (removed->resource == resource &&
			(prefix ? name.size > known.size &&
						memcmp(name.data, known.data, known.size) == 0
				: str_equal(name, known)))
			return removed->advice;
	}
	return NULL;
}

enum { NEAREST_NAME_BYTES = 80 };

/* Insertions, deletions, replacements and swaps of neighbours that turn A into B; more than LIMIT
 * comes back as LIMIT + 1. */
static int edit_distance(struct str a, struct str b, int limit)
{
	int rows[3][NEAREST_NAME_BYTES + 1];
	int *before = rows[0], *above = rows[1], *row = rows[2];

	if (abs(a.size - b.size) > limit)
		return limit + 1;
	for (int j = 0; j <= b.size; j++)
		above[j] = j;
	for (int i = 1; i <= a.size; i++) {
		int least = row[0] = i;
		for (int j = 1; j <= b.size; j++) {
			char x = a.data[i - 1], y = b.data[j - 1];
			int cost = above[j - 1] + (x != y);
			int longer = min_of(above[j], row[j - 1]) + 1;
			cost = min_of(cost, longer);
			if (i > 1 && j > 1 && x == b.data[j - 2] && a.data[i - 2] == y)
				cost = min_of(cost, before[j - 2] + 1);
			row[j] = cost;
			least = min_of(least, cost);
		}
		/* Two rows on, because a swap of neighbours looks one row further back. */
		if (least > limit + 1)
			return limit + 1;
		int *oldest = before;
		before = above;
		above = row;
		row = oldest;
	}
	return min_of(above[b.size], limit + 1);
}

const char *setting_nearest(enum config_resource resource, struct str name)
{
	char folded[NEAREST_NAME_BYTES];
	const char *nearest = NULL;
	enum setting_id id, end;

	if (name.size <= 0 || name.size > NEAREST_NAME_BYTES)
		return NULL;
	/* Names written with other separators or in capitals are near. */
	for (int32_t i = 0; i < name.size; i++) {
		char c = (char)tolower((unsigned char)name.data[i]);
		folded[i] = c == '_' || c == '-' ? '.' : c;
	}
	/* A third of a name may be wrong, but never more than five characters. */
	int limit = name.size < 3 ? 1 : name.size / 3;
	limit = min_of(limit, 5);
	for (end = setting_span(resource, &id); id < end; id++) {
		struct str known = str_from(setting_row(id)->name);
		if (known.size > NEAREST_NAME_BYTES || setting_row(id)->scope == SCOPE_INTERNAL)
			continue;
		int distance = edit_distance((struct str){folded, name.size}, known, limit);
		if (distance <= limit) {
			nearest = setting_row(id)->name;
			limit = distance - 1;
		}
	}
	return nearest;
}
