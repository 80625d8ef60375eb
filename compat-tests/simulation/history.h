/*
 * What model clients did and saw, and the judgement on it. The history lives outside of every
 * simulated process: nothing that crashes takes it along.
 *
 * A value is known by its producer and its number: each producer numbers the records that it sends
 * to one partition 0, 1, 2, ..., and sends each exactly once (retries are the same sending). The
 * rules that are checked as events come in, and on the whole log at the end:
 *
 *  1. An offset holds one record for ever: what was acknowledged or read there is what is there.
 *  2. An acknowledged record is found in the log at the offset of its acknowledgement.
 *  3. No record is in the log twice (the producers are idempotent).
 *  4. The records of a producer are in the log in the order of sending, without gaps before an
 *     acknowledged one.
 *  5. Offsets have no gaps.
 *  6. A consumer sees nothing at or above the high watermark it is told, and that never goes back.
 *  7. Bytes are what was sent.
 */
#pragma once

#include "runtime/bytes.h"

enum { PARTITIONS_MAX = 8, PRODUCERS_MAX = 8, VIOLATION_SIZE = 256 };

struct history_value {
	bool is_acknowledged;
	int64_t acknowledged_offset; /* -1: acknowledged as a duplicate, without an offset */
	int64_t seen_offset;	     /* -1: never */
};

struct history_values {
	struct history_value *values; /* by number */
	uint32_t count, capacity;
};

struct history_partition {
	struct history_values producers[PRODUCERS_MAX];
	uint64_t *offsets; /* producer << 32 | number of what is at each offset, as far as known */
	uint64_t offset_count, offset_capacity;
	/* The log as the scan at the end reads it. */
	int64_t scan_next;
	uint32_t scan_numbers[PRODUCERS_MAX];
};

struct history {
	struct history_partition partitions[PARTITIONS_MAX];
	unsigned partition_count, producer_count;
	uint64_t attempted, acknowledged, read;
	char violation[VIOLATION_SIZE]; /* the first; empty: none */
};

void history_init(struct history *history, unsigned partition_count, unsigned producer_count);
void history_done(struct history *history);

/* The number of the next value of this producer in this partition, which is now being sent. */
uint32_t history_attempt(struct history *history, unsigned partition, unsigned producer);
/* OFFSET is -1 when the broker said that it has the value, but no longer where. */
void history_acknowledge(struct history *history, unsigned partition, unsigned producer,
	uint32_t number, int64_t offset);
/* A consumer or the scan saw these bytes at OFFSET. */
void history_see(struct history *history, unsigned partition, int64_t offset, struct bytes value);

/* The scan at the end: every offset from 0 in turn, by history_scan_see, then history_scan_end. */
void history_scan_begin(struct history *history, unsigned partition);
void history_scan_see(
	struct history *history, unsigned partition, int64_t offset, struct bytes value);
void history_scan_end(struct history *history, unsigned partition, int64_t log_end);

/* Something else went wrong. The first violation is kept. */
void history_violation(struct history *history, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The value's bytes: from 16 to VALUE_SIZE_MAX, all of them following from who sent it. */
enum { VALUE_SIZE_MIN = 16, VALUE_SIZE_MAX = 2048 };
size_t history_value_make(uint8_t *buffer, unsigned partition, unsigned producer, uint32_t number);
