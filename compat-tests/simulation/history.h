/*
 * What model clients did and saw, and the judgement on it. The history lives outside of every
 * simulated process: nothing that crashes takes it along.
 *
 * A log is one partition of one topic as it was created: a topic that is deleted and made again
 * under its name has new logs. A value is known by its producer and its number: each producer
 * numbers the records that it sends to one log 0, 1, 2, .... The rules are checked as events come
 * in, and on the whole log at the end:
 *
 *  1. An offset holds one record for ever: what was acknowledged or read there is what is there.
 *  2. An acknowledged record is in the log, at the offset of its acknowledgement.
 *  3. No record is in the log twice, unless its producer has no id and sent it more than once.
 *  4. The records of a producer are in the log in the order of sending (of a producer without an
 *     id: where each appears first), without gaps before an acknowledged one.
 *  5. Offsets have no gaps.
 *  6. A consumer sees nothing at or above the high watermark it is told, and that never goes back.
 *  7. Bytes are what was sent.
 *  8. The log starts where it was told to by DeleteRecords, or before; once that was acknowledged,
 *     not before, until a crash.
 *
 * Compacted topics: 3 to 5 hold of what is there, and of each key the newest record is: a record that was known
 * to be there is there still, or one behind it with the same key.
 *
 * Where the test itself let bits rot nothing is judged from that batch to the end of its segment.
 */
#pragma once

#include "runtime/bytes.h"

enum {
	PRODUCERS_MAX = 12,
	VALUE_SIZE_MAX = 2048,
	VIOLATION_SIZE = 256,
	HISTORY_KEYS = 5, /* of each producer in a compacted log */
};

/* What a producer may rely on. */
enum history_promise {
	PROMISE_ONCE,	       /* with a producer id, resent until acknowledged */
	PROMISE_AT_LEAST_ONCE, /* without one, resent until acknowledged */
	PROMISE_AT_MOST_ONCE, /* acks=0: sent once, never acknowledged, in no order over connections */
};

struct history_value {
	int64_t acknowledged_offset; /* -1: acknowledged as a duplicate, without an offset */
	int64_t seen_offset;	     /* -1: never */
	bool is_acknowledged;
	bool was_resent;
};

struct history_values {
	struct history_value *values; /* by number */
	uint32_t count, capacity;
	uint32_t scanned; /* by the scan: the numbers below it are there, or need not be */
};

struct history_rot {
	int64_t first, end;
};

enum { ROTS_MAX = 8 };

struct history_log {
	struct history_values producers[PRODUCERS_MAX];
	uint64_t *offsets; /* producer << 32 | number of what is at each offset, as far as known */
	uint64_t offset_count, offset_capacity;
	int64_t start_asked, start_acknowledged;
	int64_t acknowledged_end; /* behind the highest acknowledged offset */
	struct history_rot rots[ROTS_MAX];
	unsigned rot_count;
	int64_t scan_start;
	int64_t scan_next; /* -1: the scan has not begun */
	int64_t newest[PRODUCERS_MAX][HISTORY_KEYS]; /* that the scan saw; -1 */
};

struct history {
	struct history_log **logs;
	unsigned log_count, log_capacity;
	bool is_compacted; /* all of them; a value's key is its number modulo HISTORY_KEYS */
	uint64_t superseded; /* offsets that a scan found compacted away */
	enum history_promise promises[PRODUCERS_MAX];
	uint64_t attempted, acknowledged, read, duplicates;
	char violation[VIOLATION_SIZE]; /* the first; empty: none */
};

/* A zeroed history is empty. */
void history_done(struct history *history);
/* COUNT more logs; the number of the first. */
unsigned history_logs_add(struct history *history, unsigned count);

/* The number of the next value of this producer in this log, which is now being sent. */
uint32_t history_attempt(struct history *history, unsigned log, unsigned producer);
/* COUNT values are sent again. */
void history_resend(
	struct history *history, unsigned log, unsigned producer, uint32_t number, unsigned count);
/* OFFSET is -1 when the broker said that it has the value, but no longer where. */
void history_acknowledge(
	struct history *history, unsigned log, unsigned producer, uint32_t number, int64_t offset);
/* A consumer or the scan saw these bytes at OFFSET. */
void history_see(struct history *history, unsigned log, int64_t offset, struct bytes value);

/* DeleteRecords up to OFFSET is asked for, and was answered. */
void history_start_ask(struct history *history, unsigned log, int64_t offset);
void history_start_acknowledge(struct history *history, unsigned log, int64_t offset);
/* A log start was told. FLOOR: start_acknowledged when that was asked for; 0 when there was a crash
 * since. */
void history_start_see(struct history *history, unsigned log, int64_t offset, int64_t floor);
/* A crash on a disk that lies: log starts may be older ones again. */
void history_starts_forget(struct history *history);

/* From FIRST to before END nothing is judged any more. */
void history_rot(struct history *history, unsigned log, int64_t first, int64_t end);
/* OFFSET itself, or where what is judged goes on behind it. */
int64_t history_rot_skip(const struct history *history, unsigned log, int64_t offset);

/* The scan at the end: from the log's start every offset in turn, by history_scan_see, then
 * history_scan_end. */
void history_scan_begin(struct history *history, unsigned log, int64_t start);
void history_scan_see(struct history *history, unsigned log, int64_t offset, struct bytes value);
/* Over what has rotted. */
void history_scan_skip(struct history *history, unsigned log, int64_t to);
void history_scan_end(struct history *history, unsigned log, int64_t log_end);

/* Something else went wrong. The first violation is kept. */
void history_violation(struct history *history, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static inline bool history_is_violated(const struct history *history)
{
	return history->violation[0] != '\0';
}

/* The value's bytes: from VALUE_SIZE_MIN to VALUE_SIZE_MAX, all of them following from who sent
 * it. */
enum { VALUE_SIZE_MIN = 16 };
size_t history_value_make(uint8_t *buffer, unsigned log, unsigned producer, uint32_t number);
