/*
 * Log lines: one line an event, for people or as JSON. What can be logged stands in log_events.tbl;
 * a line is an event's words and the fields given with it:
 *
 *	log_event(logger, LOG_LISTENING, log_str("listener", name), log_int("port", port));
 *
 * Nothing here allocates, blocks or fails: a line is made on the stack, values and lines beyond
 * their limits are cut (and say so), and the finished line goes to the sink that main or a test
 * gave. Values may come from clients: control bytes, quotes and bytes that are no UTF-8 are
 * escaped, so that nobody writes a second line or an escape sequence into an operator's terminal.
 *
 * A struct logger belongs to one shard.
 */
#pragma once

#include "runtime/bytes.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum log_event_id {
#define LOG_EVENT(id, level, limit, words) LOG_##id,
#include "broker/observe/log_events.tbl"
#undef LOG_EVENT
	LOG_EVENT_COUNT
};

enum {
	LOG_LINE_BYTES = 4096,	/* of a finished line, its newline included */
	LOG_VALUE_BYTES = 1024, /* of one value before escaping */
	LOG_WINDOW_MS = 10000,	/* the time over which limited events are counted */
	LOG_LIMIT_SLOTS = 64,	/* events and keys that are counted at a time */
};

/* LINE ends in a newline and is not NUL-terminated. */
typedef void logger_sink(void *context, enum log_level level, const char *line, size_t size);
/* Milliseconds since the Unix epoch. */
typedef int64_t logger_clock(void *context);

/* One event and key whose lines are counted. */
struct logger_slot {
	uint64_t key; /* hash of event and first field; 0: free */
	enum log_event_id event;
	int64_t window_start_ms;
	uint32_t passed, suppressed;
	char sample[64]; /* the first field's value, cut: names what was suppressed */
};

struct logger {
	logger_sink *sink;
	void *sink_context;
	logger_clock *clock;
	void *clock_context;
	enum log_level threshold; /* events below it are dropped */
	enum log_format format;
	struct logger_slot slots[LOG_LIMIT_SLOTS];
};

enum log_field_kind {
	LOG_FIELD_STR,
	LOG_FIELD_INT,
	LOG_FIELD_BOOL,
	LOG_FIELD_DOUBLE,
	LOG_FIELD_ERROR,
	LOG_FIELD_UUID,
};

/* A name and a value. NAME is one of ours: lower case, with its unit last. */
struct log_field {
	const char *name;
	enum log_field_kind kind;
	union {
		struct str text;
		int64_t integer;
		double number;
		struct uuid uuid;
	};
};

static inline struct log_field log_str(const char *name, struct str value)
{
	return (struct log_field){.name = name, .kind = LOG_FIELD_STR, .text = value};
}

static inline struct log_field log_text(const char *name, const char *value)
{
	return log_str(name, str_from(value));
}

static inline struct log_field log_int(const char *name, int64_t value)
{
	return (struct log_field){.name = name, .kind = LOG_FIELD_INT, .integer = value};
}

static inline struct log_field log_bool(const char *name, bool value)
{
	return (struct log_field){.name = name, .kind = LOG_FIELD_BOOL, .integer = value};
}

static inline struct log_field log_double(const char *name, double value)
{
	return (struct log_field){.name = name, .kind = LOG_FIELD_DOUBLE, .number = value};
}

/* ERROR is a negative errno; the line holds the system's words for it. */
static inline struct log_field log_errno(const char *name, int error)
{
	return (struct log_field){.name = name, .kind = LOG_FIELD_ERROR, .integer = error};
}

/* Printed as Kafka prints ids: 22 characters of URL-safe base64. */
static inline struct log_field log_uuid(const char *name, const struct uuid *value)
{
	return (struct log_field){.name = name, .kind = LOG_FIELD_UUID, .uuid = *value};
}

/* Sink and clock are kept, and must live as long as the log. */
void logger_init(struct logger *logger, logger_sink *sink, void *sink_context, logger_clock *clock,
	void *clock_context);

#define log_event(logger, event, ...)                                                \
	log_event_fields((logger), (event), (const struct log_field[]){__VA_ARGS__}, \
		sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

void log_event_fields(struct logger *logger, enum log_event_id event,
	const struct log_field *fields, size_t count);

/* Tells of every event that was suppressed and not yet told of. With ALL also of those whose window
 * is still open: for the end of the process. Call it from a timer otherwise. */
void logger_flush(struct logger *logger, bool all);

/* For the reference page and for tests. */
struct log_event_row {
	const char *name; /* lower case */
	enum log_level level;
	uint32_t limit; /* 0: none */
	const char *words;
};
const struct log_event_row *log_event_row(enum log_event_id event);

/* "debug", "info", "warn", "error"; "text", "json". False when TEXT is none of them. */
bool log_level_parse(struct str text, enum log_level *ret_level);
bool log_format_parse(struct str text, enum log_format *ret_format);
