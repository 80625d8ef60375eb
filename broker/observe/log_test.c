#include "broker/observe/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

/* A sink that keeps the last lines, and a clock that stands still until it is moved. */
struct capture {
	struct logger logger;
	int64_t now_ms;
	int lines;
	char last[LOG_LINE_BYTES + 1];
};

static void capture_line(void *context, enum log_level level, const char *line, size_t size)
{
	struct capture *capture = context;

	cr_assert_leq(size, LOG_LINE_BYTES);
	cr_assert_eq(line[size - 1], '\n');
	cr_assert_null(memchr(line, '\n', size - 1), "an event is one line");
	memcpy(capture->last, line, size);
	capture->last[size] = '\0';
	capture->lines++;
}

static int64_t capture_now(void *context)
{
	return ((struct capture *)context)->now_ms;
}

static void capture_init(struct capture *capture)
{
	*capture = (struct capture){.now_ms = 1700000000123};
	logger_init(&capture->logger, capture_line, capture, capture_now, capture);
}

/* Fields of each kind, in one line whose text is fixed here. */
Test(log, writes_one_line_for_people)
{
	struct capture capture;
	struct uuid id = {.octets = {[15] = 1}};

	capture_init(&capture);
	log_event(&capture.logger, LOG_LISTENING, log_text("listener", "PLAINTEXT"),
		log_text("host", "a b"), log_int("port", 9092), log_bool("tls", false),
		log_errno("cause", -ENOSPC), log_uuid("id", &id), log_str("rack", STR_NULL),
		log_double("seconds", 0.25));
	cr_assert_str_eq(capture.last, "2023-11-14T22:13:20.123Z INFO  Listening. "
				       "listener=PLAINTEXT host=\"a b\" port=9092 "
				       "tls=false cause=\"No space left on device\" "
				       "id=\"AAAAAAAAAAAAAAAAAAAAAQ\" rack=null "
				       "seconds=0.25\n");
	log_event(&capture.logger, LOG_STOPPED);
	cr_assert_str_eq(capture.last, "2023-11-14T22:13:20.123Z INFO  Stopped.\n");
}

/* The line is read back by a JSON parser, with bytes that would break a naive writer. */
Test(log, json_holds_any_bytes_of_a_client)
{
	struct capture capture;
	char hostile[256 + 16];
	json_error_t error;

	capture_init(&capture);
	capture.logger.format = LOG_FORMAT_JSON;
	for (int i = 0; i < 256; i++)
		hostile[i] = (char)i;
	memcpy(hostile + 256, "\xed\xa0\x80\xf4\x90\x80\x80\xc0\x80\xe2\x82\xac\xc2\x9b\xf0", 16);
	log_event(&capture.logger, LOG_REQUEST_BAD,
		log_str("from", (struct str){hostile, sizeof(hostile)}),
		log_double("infinite", __builtin_inf()), log_int("bytes", -1));
	json_t *line = json_loads(capture.last, 0, &error);
	cr_assert_not_null(line, "%s in %s", error.text, capture.last);
	cr_assert_str_eq(json_string_value(json_object_get(line, "level")), "warn");
	cr_assert_str_eq(json_string_value(json_object_get(line, "event")), "request_bad");
	cr_assert_eq(json_integer_value(json_object_get(line, "bytes")), -1);
	const char *from = json_string_value(json_object_get(line, "from"));
	cr_assert_not_null(strstr(from, "\\x1b"));
	cr_assert_not_null(
		strstr(from, "\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80\\xc0\\x80\u20ac\\xc2\\x9b\\xf0"));
	json_decref(line);
}

/* Every length around the limits of a value and of a line, in both formats: never longer than the
 * limit, always a whole line, and JSON stays JSON. */
Test(log, cuts_what_is_too_long_and_says_so)
{
	static char value[2 * LOG_LINE_BYTES];

	memset(value, '\\', sizeof(value));
	for (int format = 0; format < 2; format++) {
		struct capture capture;
		capture_init(&capture);
		capture.logger.format = (enum log_format)format;
		for (int32_t size = 0; size < 1200; size += 7) {
			struct str text = {value, size};
			log_event(&capture.logger, LOG_CONFIG_ERROR, log_str("a", text),
				log_str("b", text), log_str("c", text));
			if (format == LOG_FORMAT_JSON) {
				json_t *line = json_loads(capture.last, 0, NULL);
				cr_assert_not_null(line, "%s", capture.last);
				json_decref(line);
			}
		}
		cr_assert_not_null(strstr(capture.last, "bytes more]"), "%s", capture.last);
		cr_assert_not_null(strstr(capture.last, "line"), "%s", capture.last);
		cr_assert(strstr(capture.last, "line_cut") || strstr(capture.last, "[line cut]"));
	}
}

/* A flood from one key is counted, another key still gets its lines, and the count is told when the
 * window is over. */
Test(log, holds_back_a_flood_and_tells_how_many)
{
	struct capture capture;
	uint32_t limit = log_event_row(LOG_REQUEST_BAD)->limit;

	capture_init(&capture);
	for (int i = 0; i < 100; i++)
		log_event(&capture.logger, LOG_REQUEST_BAD, log_text("from", "10.0.0.1"));
	cr_assert_eq(capture.lines, limit);
	log_event(&capture.logger, LOG_REQUEST_BAD, log_text("from", "10.0.0.2"));
	cr_assert_eq(capture.lines, limit + 1);

	capture.now_ms += LOG_WINDOW_MS - 1;
	logger_flush(&capture.logger, false);
	cr_assert_eq(capture.lines, limit + 1, "the window is still open");
	capture.now_ms += 1;
	logger_flush(&capture.logger, false);
	cr_assert_eq(capture.lines, limit + 2);
	cr_assert_not_null(
		strstr(capture.last, "last_key=10.0.0.1 suppressed=95\n"), "%s", capture.last);
	logger_flush(&capture.logger, true);
	cr_assert_eq(capture.lines, limit + 2, "told once");
	log_event(&capture.logger, LOG_REQUEST_BAD, log_text("from", "10.0.0.1"));
	cr_assert_eq(capture.lines, limit + 3, "a new window begins");
}

/* More keys than slots, each beyond its limit: lines and suppressed counts add up to the events. */
Test(log, loses_no_count_when_keys_share_a_slot)
{
	struct capture capture;
	uint64_t told = 0;
	int before;

	capture_init(&capture);
	for (int key = 0; key < 1000; key++) {
		for (int i = 0; i < 20; i++) {
			before = capture.lines;
			log_event(&capture.logger, LOG_REQUEST_BAD, log_int("from", key));
			if (i > 0)
				cr_assert_leq(capture.lines - before, 1);
		}
	}
	before = capture.lines;
	logger_flush(&capture.logger, true);
	cr_assert_leq(capture.lines - before, LOG_LIMIT_SLOTS);
	for (int i = 0; i < LOG_LIMIT_SLOTS; i++)
		told += capture.logger.slots[i].key != 0;
	cr_assert_eq(told, 0);
	cr_assert_eq(capture.lines, 1000 * (int)log_event_row(LOG_REQUEST_BAD)->limit + 1000);
}

/* Events below the threshold make no line; the words of levels and formats are what the
 * configuration says. */
Test(log, obeys_its_threshold)
{
	struct capture capture;
	enum log_format format;

	capture_init(&capture);
	cr_assert(log_level_parse(STR("error"), &capture.logger.threshold));
	log_event(&capture.logger, LOG_STOPPED);
	cr_assert_eq(capture.lines, 0);
	log_event(&capture.logger, LOG_START_FAILED);
	cr_assert_eq(capture.lines, 1);
	cr_assert_not(log_level_parse(STR("loud"), &capture.logger.threshold));
	cr_assert(log_format_parse(STR("json"), &format));
	cr_assert_eq(format, LOG_FORMAT_JSON);
	cr_assert_not(log_format_parse(STR("xml"), &format));
}
