#include "broker/observe/log.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static const struct log_event_row rows[LOG_EVENT_COUNT] = {
#define LOG_EVENT(id, event_level, event_limit, event_words) \
	[LOG_##id] = {.name = #id,                           \
		.level = LOG_LEVEL_##event_level,            \
		.limit = (event_limit),                      \
		.words = (event_words)},
#include "broker/observe/log_events.tbl"
#undef LOG_EVENT
};

const struct log_event_row *log_event_row(enum log_event_id event)
{
	ensure(event >= 0 && event < LOG_EVENT_COUNT);
	return &rows[event];
}

void logger_init(struct logger *logger, logger_sink *sink, void *sink_context, logger_clock *clock,
	void *clock_context)
{
	ensure(sink && clock);
	*logger = (struct logger){
		.sink = sink,
		.sink_context = sink_context,
		.clock = clock,
		.clock_context = clock_context,
		.threshold = LOG_LEVEL_INFO,
	};
}

bool log_level_parse(struct str text, enum log_level *ret_level)
{
	for (size_t i = 0; i < array_length(level_names); i++) {
		if (str_equal(text, str_from(level_names[i]))) {
			*ret_level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

bool log_format_parse(struct str text, enum log_format *ret_format)
{
	if (str_equal(text, STR("text")))
		*ret_format = LOG_FORMAT_TEXT;
	else if (str_equal(text, STR("json")))
		*ret_format = LOG_FORMAT_JSON;
	else
		return false;
	return true;
}

/* A line in the making. The last bytes are kept for the mark of a cut line, JSON's end and the
 * newline. */
struct line {
	char data[LOG_LINE_BYTES];
	size_t size;
	bool cut;
};

static const char cut_text[] = " [line cut]";
static const char cut_json[] = ",\"line_cut\":true";
enum { LINE_RESERVE = 32 };
_Static_assert(sizeof(cut_json) + 2 <= LINE_RESERVE, "the end of a cut line fits");
_Static_assert(sizeof(cut_text) + 2 <= LINE_RESERVE, "the end of a cut line fits");

/* All or nothing, so that an escape or a field is never torn. */
static bool line_append(struct line *line, const char *data, size_t size)
{
	if (line->cut || size > sizeof(line->data) - LINE_RESERVE - line->size) {
		line->cut = true;
		return false;
	}
	memcpy(line->data + line->size, data, size);
	line->size += size;
	return true;
}

__attribute__((format(printf, 2, 3))) static bool line_printf(
	struct line *line, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	int size = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	ensure(size >= 0 && size < (int)sizeof(text));
	return line_append(line, text, (size_t)size);
}

/* The length of the well-formed UTF-8 sequence at TEXT, 0 when there is none (RFC 3629: no overlong
 * forms, no surrogates, nothing beyond U+10FFFF). C1 controls count as ill-formed: terminals act on
 * them. */
static size_t utf8_sequence(const uint8_t *text, size_t size)
{
	if (text[0] < 0x80)
		return 1;
	size_t need = text[0] >= 0xc2 && text[0] <= 0xdf   ? 2
		      : text[0] >= 0xe0 && text[0] <= 0xef ? 3
		      : text[0] >= 0xf0 && text[0] <= 0xf4 ? 4
							   : 0;
	if (need == 0 || need > size)
		return 0;
	for (size_t i = 1; i < need; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((text[0] == 0xc2 && text[1] < 0xa0) || (text[0] == 0xe0 && text[1] < 0xa0) ||
		(text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf0 && text[1] < 0x90) ||
		(text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return need;
}

/* Writes TEXT inside quotes that the caller wrote. Ill-formed bytes become \xNN: in JSON the
 * backslash is escaped once more, so that what a reader decodes is the same text. */
static void line_escape(struct line *line, const char *text, size_t size, enum log_format format)
{
	const uint8_t *at = (const uint8_t *)text;
	const char *hex_mark = format == LOG_FORMAT_JSON ? "\\\\x" : "\\x";

	while (size > 0) {
		size_t step = utf8_sequence(at, size);
		if (step == 0 || *at < 0x20 || *at == 0x7f) {
			const char *short_form = *at == '\n'   ? "\\n"
						 : *at == '\r' ? "\\r"
						 : *at == '\t' ? "\\t"
							       : NULL;
			if (short_form)
				line_append(line, short_form, 2);
			else
				line_printf(line, "%s%02x", hex_mark, *at);
			step = 1;
		} else if (*at == '"' || *at == '\\') {
			char escaped[2] = {'\\', (char)*at};
			line_append(line, escaped, 2);
		} else {
			line_append(line, (const char *)at, step);
		}
		at += step;
		size -= step;
	}
}

static void line_quoted(struct line *line, struct str value, enum log_format format)
{
	size_t size = value.size > 0 ? (size_t)value.size : 0;
	size_t shown = min_of(size, (size_t)LOG_VALUE_BYTES);

	line_append(line, "\"", 1);
	line_escape(line, value.data, shown, format);
	if (shown < size)
		line_printf(line, "[%zu bytes more]", size - shown);
	line_append(line, "\"", 1);
}

/* Text of harmless characters stands without quotes in lines for people. */
static bool str_is_plain(struct str value)
{
	if (value.size <= 0 || value.size > LOG_VALUE_BYTES)
		return false;
	for (int32_t i = 0; i < value.size; i++) {
		unsigned char c = (unsigned char)value.data[i];
		if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
			return false;
	}
	return true;
}

static void line_uuid(struct line *line, const struct uuid *id)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char text[24];
	int size = 0;

	for (int i = 0; i < 16; i += 3) {
		uint32_t bits = (uint32_t)id->octets[i] << 16;
		if (i + 1 < 16)
			bits |= (uint32_t)id->octets[i + 1] << 8 | id->octets[i + 2];
		for (int shift = 18; shift >= 0 && size < 22; shift -= 6)
			text[size++] = digits[bits >> shift & 63];
	}
	line_printf(line, "\"%.*s\"", size, text);
}

static void line_value(struct line *line, const struct log_field *field, enum log_format format)
{
	switch (field->kind) {
	case LOG_FIELD_STR:
		if (str_is_null(field->text))
			line_append(line, "null", 4);
		else if (format == LOG_FORMAT_TEXT && str_is_plain(field->text))
			line_append(line, field->text.data, (size_t)field->text.size);
		else
			line_quoted(line, field->text, format);
		break;
	case LOG_FIELD_INT:
		line_printf(line, "%" PRId64, field->integer);
		break;
	case LOG_FIELD_BOOL:
		line_printf(line, "%s", field->integer ? "true" : "false");
		break;
	case LOG_FIELD_DOUBLE:
		/* JSON knows no infinities and no NaN. */
		if (field->number - field->number != 0)
			line_printf(line, "\"%f\"", field->number);
		else
			line_printf(line, "%.6g", field->number);
		break;
	case LOG_FIELD_ERROR: {
		char words[128];
		line_quoted(line, str_from(strerror_r((int)-field->integer, words, sizeof(words))),
			format);
		break;
	}
	case LOG_FIELD_UUID:
		line_uuid(line, &field->uuid);
		break;
	}
}

static void line_time(struct line *line, int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	int ms = (int)(wall_ms % 1000);
	struct tm tm;

	if (ms < 0) {
		ms += 1000;
		seconds--;
	}
	if (!gmtime_r(&seconds, &tm)) {
		line_printf(line, "%" PRId64, wall_ms);
		return;
	}
	line_printf(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
		tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, ms);
}

static void line_name(struct line *line, const char *name)
{
	for (; *name; name++) {
		char c = (char)tolower((unsigned char)*name);
		line_append(line, &c, 1);
	}
}

static void log_write(struct logger *logger, enum log_event_id event,
	const struct log_field *fields, size_t count, uint32_t suppressed)
{
	const struct log_event_row *row = &rows[event];
	bool json = logger->format == LOG_FORMAT_JSON;
	struct line line;

	line.size = 0;
	line.cut = false;
	line_append(&line, "{\"time\":\"", json ? 9 : 0);
	line_time(&line, logger->clock(logger->clock_context));
	if (json) {
		line_printf(&line, "\",\"level\":\"%s\",\"event\":\"", level_names[row->level]);
		line_name(&line, row->name);
		line_append(&line, "\",\"message\":", 12);
		line_quoted(&line, str_from(row->words), logger->format);
	} else {
		char level[8] = "";
		for (size_t i = 0; level_names[row->level][i]; i++)
			level[i] = (char)toupper((unsigned char)level_names[row->level][i]);
		line_printf(&line, " %-5s ", level);
		line_append(&line, row->words, strlen(row->words));
	}
	for (size_t i = 0; i < count && !line.cut; i++) {
		size_t before = line.size;
		line_printf(&line, json ? ",\"%s\":" : " %s=", fields[i].name);
		line_value(&line, &fields[i], logger->format);
		if (line.cut)
			line.size = before; /* a whole field less, rather than half of one */
	}
	if (suppressed > 0 && !line.cut)
		line_printf(&line, json ? ",\"suppressed\":%" PRIu32 : " suppressed=%" PRIu32,
			suppressed);

	const char *end = json ? "}\n" : "\n";
	const char *mark = !line.cut ? "" : json ? cut_json : cut_text;
	memcpy(line.data + line.size, mark, strlen(mark));
	line.size += strlen(mark);
	memcpy(line.data + line.size, end, strlen(end));
	line.size += strlen(end);
	ensure(line.size <= sizeof(line.data));
	logger->sink(logger->sink_context, row->level, line.data, line.size);
}

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *at = data;

	while (size-- > 0)
		hash = (hash ^ *at++) * 0x100000001b3ull;
	return hash;
}

static uint64_t event_key(enum log_event_id event, const struct log_field *first)
{
	uint64_t hash = hash_bytes(0xcbf29ce484222325ull, &event, sizeof(event));

	if (first && first->kind == LOG_FIELD_STR && first->text.size > 0)
		hash = hash_bytes(hash, first->text.data, (size_t)first->text.size);
	else if (first && first->kind == LOG_FIELD_UUID)
		hash = hash_bytes(hash, &first->uuid, sizeof(first->uuid));
	else if (first && first->kind != LOG_FIELD_STR)
		hash = hash_bytes(hash, &first->integer, sizeof(first->integer));
	return hash ? hash : 1;
}

/* Says how many lines of a slot were held back, and frees it. */
static void slot_close(struct logger *logger, struct logger_slot *slot)
{
	struct logger_slot closed = *slot;

	slot->key = 0;
	if (closed.suppressed > 0) {
		struct log_field key = log_text("last_key", closed.sample);
		log_write(logger, closed.event, &key, 1, closed.suppressed);
	}
}

/* The slot in which EVENT is counted; another event that held it is closed first. */
static struct logger_slot *slot_take(struct logger *logger, enum log_event_id event,
	const struct log_field *first, int64_t now_ms)
{
	uint64_t key = event_key(event, first);
	struct logger_slot *slot = &logger->slots[(key ^ key >> 32) % LOG_LIMIT_SLOTS];
	int64_t age_ms = now_ms - slot->window_start_ms;

	if (slot->key == key && age_ms >= 0 && age_ms < LOG_WINDOW_MS)
		return slot;
	if (slot->key)
		slot_close(logger, slot);
	*slot = (struct logger_slot){.key = key, .event = event, .window_start_ms = now_ms};
	if (first && first->kind == LOG_FIELD_STR)
		snprintf(slot->sample, sizeof(slot->sample), "%.*s", STR_ARGS(first->text));
	else if (first && first->kind == LOG_FIELD_INT)
		snprintf(slot->sample, sizeof(slot->sample), "%" PRId64, first->integer);
	return slot;
}

void log_event_fields(struct logger *logger, enum log_event_id event,
	const struct log_field *fields, size_t count)
{
	ensure(event >= 0 && event < LOG_EVENT_COUNT);
	const struct log_event_row *row = &rows[event];

	if (row->level < logger->threshold)
		return;
	if (row->limit > 0) {
		struct logger_slot *slot = slot_take(logger, event, count > 0 ? &fields[0] : NULL,
			logger->clock(logger->clock_context));
		if (slot->passed >= row->limit) {
			slot->suppressed++;
			return;
		}
		slot->passed++;
	}
	log_write(logger, event, fields, count, 0);
}

void logger_flush(struct logger *logger, bool all)
{
	int64_t now_ms = logger->clock(logger->clock_context);

	for (size_t i = 0; i < LOG_LIMIT_SLOTS; i++) {
		struct logger_slot *slot = &logger->slots[i];
		int64_t age_ms = now_ms - slot->window_start_ms;
		if (slot->key && (all || age_ms < 0 || age_ms >= LOG_WINDOW_MS))
			slot_close(logger, slot);
	}
}
