/*
 * Settings: what each one is called, what values it takes and what it is for (settings.tbl), and
 * how the text of a value becomes a typed one. Everything here is constant data and pure functions.
 */
#pragma once

#include "runtime/arena.h"
#include "runtime/bytes.h"

/* Numbered as DescribeConfigs numbers the types of entries. */
enum setting_type {
	SETTING_TYPE_UNKNOWN = 0,
	SETTING_TYPE_BOOLEAN = 1,
	SETTING_TYPE_STRING = 2,
	SETTING_TYPE_INT = 3,
	SETTING_TYPE_SHORT = 4,
	SETTING_TYPE_LONG = 5,
	SETTING_TYPE_DOUBLE = 6,
	SETTING_TYPE_LIST = 7,
	SETTING_TYPE_CLASS = 8,
	SETTING_TYPE_PASSWORD = 9,
};

/* Numbered as the configuration APIs and ConfigRecord number resource types. */
enum config_resource {
	CONFIG_RESOURCE_UNKNOWN = 0,
	CONFIG_RESOURCE_TOPIC = 2,
	CONFIG_RESOURCE_BROKER = 4,
	CONFIG_RESOURCE_BROKER_LOGGER = 8,
	CONFIG_RESOURCE_CLIENT_METRICS = 16,
	CONFIG_RESOURCE_GROUP = 32,
};

enum setting_importance { IMPORTANCE_HIGH, IMPORTANCE_MEDIUM, IMPORTANCE_LOW };

enum setting_scope {
	SCOPE_READ_ONLY,
	SCOPE_PER_BROKER,
	SCOPE_CLUSTER_WIDE,
	SCOPE_INTERNAL,
	SCOPE_DYNAMIC,
};

enum setting_effect { EFFECT_ACTS, EFFECT_IGNORED, EFFECT_REFUSED };

enum setting_range_kind {
	RANGE_ANY,
	RANGE_NUMBER,		  /* min and max, either may be infinite */
	RANGE_GZIP_LEVEL,	  /* 1 to 9, or -1 */
	RANGE_ONE_OF,		  /* a string of WORDS */
	RANGE_ONE_OF_ANY_CASE,	  /* the same in any case */
	RANGE_NON_EMPTY,	  /* a string */
	RANGE_ANY_LIST,		  /* a list without empty items */
	RANGE_NON_EMPTY_LIST,	  /* at least one item */
	RANGE_LIST_OF,		  /* items of WORDS */
	RANGE_SOME_OF,		  /* at least one item of WORDS */
	RANGE_VOTERS,		  /* id@host:port */
	RANGE_SERVERS,		  /* host:port */
	RANGE_THROTTLED_REPLICAS, /* partition:broker, or one asterisk */
	RANGE_OFFSET_RESET,	  /* earliest, latest, by_duration:PnDTnHnMn.nS */
};

struct setting_range {
	enum setting_range_kind kind;
	double min, max;
	const char *words; /* separated by ", " */
};

/* The broker's settings first, then those of topics, groups and client metrics. */
enum setting_id {
#define SETTING(id, ...)	 SETTING_##id,
#define TOPIC_SETTING(id, ...)	 TOPIC_SETTING_##id,
#define GROUP_SETTING(id, ...)	 GROUP_SETTING_##id,
#define METRICS_SETTING(id, ...) METRICS_SETTING_##id,
#include "broker/config/settings.tbl"
#undef SETTING
#undef TOPIC_SETTING
#undef GROUP_SETTING
#undef METRICS_SETTING
	SETTING_COUNT,
	SETTING_NONE = SETTING_COUNT,
	SETTING_NO_SYNONYM = SETTING_NONE,

/* How many settings each resource has, and the id of its first. */
#define TOPIC_SETTING(...)
#define GROUP_SETTING(...)
#define METRICS_SETTING(...)
#define SETTING(...) +1
	BROKER_SETTING_COUNT = 0
#include "broker/config/settings.tbl"
#undef SETTING
#undef TOPIC_SETTING
#define SETTING(...)
#define TOPIC_SETTING(...) +1
	,
	TOPIC_SETTING_COUNT = 0
#include "broker/config/settings.tbl"
#undef TOPIC_SETTING
#undef GROUP_SETTING
#define TOPIC_SETTING(...)
#define GROUP_SETTING(...) +1
	,
	GROUP_SETTING_COUNT = 0
#include "broker/config/settings.tbl"
#undef SETTING
#undef TOPIC_SETTING
#undef GROUP_SETTING
#undef METRICS_SETTING
	,
	TOPIC_SETTING_FIRST = BROKER_SETTING_COUNT,
	GROUP_SETTING_FIRST = TOPIC_SETTING_FIRST + TOPIC_SETTING_COUNT,
	METRICS_SETTING_FIRST = GROUP_SETTING_FIRST + GROUP_SETTING_COUNT,
	METRICS_SETTING_COUNT = SETTING_COUNT - METRICS_SETTING_FIRST,
};

struct setting {
	const char *name;
	enum config_resource resource;
	enum setting_type type;
	bool required;
	const char *default_text; /* NULL: not set */
	struct setting_range range;
	enum setting_importance importance;
	enum setting_scope scope;
	enum setting_effect effect;
	const char *reason;	 /* why it is ignored or refused */
	enum setting_id synonym; /* the broker's setting that a topic's or group's falls back to */
	const char *documentation;
};

const struct setting *setting_row(enum setting_id id);

/* SETTING_NONE when RESOURCE has no setting of that name. */
enum setting_id setting_find(enum config_resource resource, struct str name);
/* The setting's name that is nearest to NAME by edit distance, or NULL when none is near. */
const char *setting_nearest(enum config_resource resource, struct str name);
/* What to do about a name that older releases knew, or NULL. */
const char *setting_removed_advice(enum config_resource resource, struct str name);

/* The ids of RESOURCE's settings: [*ret_first, return value). An empty range for other resources.
 */
enum setting_id setting_span(enum config_resource resource, enum setting_id *ret_first);

static inline bool setting_is_sensitive(const struct setting *row)
{
	return row->type == SETTING_TYPE_PASSWORD;
}

/* May it be changed while the broker runs? */
static inline bool setting_is_dynamic(const struct setting *row)
{
	return row->scope != SCOPE_READ_ONLY && row->scope != SCOPE_INTERNAL;
}

/* Kafka's broker definition leaves these out: they exist only as dynamic settings (throttles). */
bool setting_is_dynamic_only(enum setting_id id);

struct str_list {
	const struct str *items;
	int32_t count;
};

struct setting_value {
	bool is_null;
	union {
		bool boolean;
		int64_t integer; /* INT, SHORT, LONG */
		double number;
		struct str text; /* STRING, CLASS, PASSWORD */
		struct str_list list;
	};
};

/* Words for whoever gave a wrong value, and where a client sees them, Kafka's. Cut when too long.
 */
struct config_problem {
	char text[1024];
};

/* Reads TEXT as a value of ROW and checks it. Text and items are copied into ARENA. -EINVAL with
 * *RET_PROBLEM filled, or -ENOMEM. */
int setting_parse(const struct setting *row, struct str text, struct arena *arena,
	struct setting_value *ret_value, struct config_problem *ret_problem);

/* The text of VALUE as Kafka prints it, NUL-terminated; null for a null value, or when the arena is
 * full. */
struct str setting_format(
	const struct setting *row, const struct setting_value *value, struct arena *arena);

/* The valid values in words, for people: "at least 1". Empty when any will do. */
struct str setting_range_words(const struct setting *row, struct arena *arena);

/* TEXT without the bytes that Java's String.trim drops at both ends. */
struct str str_trim(struct str text);

/* Splits TEXT at SEPARATOR: *REST begins as TEXT and ends null. False when nothing is left. */
bool str_split_next(struct str *rest, char separator, struct str *ret_item);

__attribute__((format(printf, 2, 3))) void config_problem_set(
	struct config_problem *problem, const char *format, ...);
