/*
 * For the tests of the log: a program that opens logs inside the simulated machine, and the log's
 * operations as calls that a fiber waits for.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "protocol/batch_builder.h"
#include "runtime/fiber.h"
#include "runtime/simulated/world.h"
#include "storage/log.h"

enum { FIXTURE_VALUE_SIZE = 100 };

/* Criterion's assertions jump off the stack, which a fiber's step must not: these end the test's
 * process. */
#define must(condition, ...)                                                                    \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s. ", __FILE__, __LINE__, #condition); \
			__VA_OPT__(fprintf(stderr, __VA_ARGS__);)                               \
			fprintf(stderr, "\n");                                                  \
			abort();                                                                \
		}                                                                               \
	} while (0)
#define must_eq(a, b, ...)  must((a) == (b)__VA_OPT__(, ) __VA_ARGS__)
#define must_gt(a, b, ...)  must((a) > (b)__VA_OPT__(, ) __VA_ARGS__)
#define must_geq(a, b, ...) must((a) >= (b)__VA_OPT__(, ) __VA_ARGS__)
#define must_lt(a, b, ...)  must((a) < (b)__VA_OPT__(, ) __VA_ARGS__)
#define must_leq(a, b, ...) must((a) <= (b)__VA_OPT__(, ) __VA_ARGS__)
#define must_not(a, ...)    must(!(a)__VA_OPT__(, ) __VA_ARGS__)

/* What one run of the program does; BODY is a fiber's, with a store and, when OPENS, a log. */
struct fixture {
	void (*body)(struct fixture *fixture);
	void *argument;
	bool clean; /* what the log is told at opening */
	int64_t recovery_point, log_start, high_watermark, clean_end;
	struct uuid topic_id; /* zero: the folder does not say whose it is */
	struct log_config config;
	struct log_store_options options;
	bool closes; /* cleanly, at the end */

	struct shard *shard;
	struct log_store *store;
	struct log *log;
	struct log_recovery recovery;
	int folder_error; /* told by the store */
	int open_error, close_error;
};

/* Kafka's defaults but for small segments and indexes with an entry every 500 bytes. */
void fixture_init(struct fixture *fixture, void (*body)(struct fixture *fixture), void *argument);
/* Its process begins on HOST; the caller steps the world. */
void fixture_start(struct host *host, struct fixture *fixture);
/* Runs it on HOST until the process ends; its exit status. */
int fixture_run(struct world *world, struct host *host, struct fixture *fixture);

/* Records to append: COUNT of them with these timestamps (FROM_MS and one more each), values from a
 * number. */
struct fixture_batch {
	int count;
	int64_t from_ms;
	int64_t producer_id; /* -1: none */
	int32_t sequence;
	int16_t epoch;
	bool transactional;
	enum compression compression;
	size_t value_size;
	int64_t base_offset; /* for replicas */
	int32_t leader_epoch;
};
/* What BUILDER made in BUFFER, in malloc'ed memory; both are done. */
uint8_t *fixture_batch_take(
	struct batch_builder *builder, struct record_buffer *buffer, uint32_t *ret_size);
/* A batch in malloc'ed memory. */
uint8_t *fixture_batch_new(const struct fixture_batch *batch, uint32_t *ret_size);
/* A marker that ends PRODUCER_ID's transaction. */
uint8_t *fixture_marker_new(int64_t producer_id, int16_t epoch, bool aborts, uint32_t *ret_size);

struct fixture_answer {
	int16_t error_code;
	bool duplicate;
	int64_t base_offset, last_offset;
	uint32_t record_error_count;
};
/* Appends the bytes and waits; frees them. */
struct fixture_answer fixture_append_bytes(
	struct log *log, enum append_origin origin, uint8_t *bytes, uint32_t size, bool durable);
/* As a follower that knows of EPOCH. */
struct fixture_answer fixture_append_replica(
	struct log *log, uint8_t *bytes, uint32_t size, int32_t epoch);
struct fixture_answer fixture_append(struct log *log, const struct fixture_batch *batch);

/* An append that is not waited for at once. */
struct fixture_sent {
	struct log_append op;
	struct fiber *fiber; /* that waits for the answer */
	struct shard *shard;
	uint8_t *bytes;
	int64_t readable_end, durable_end; /* when it was answered */
	bool is_answered;
};
void fixture_send(struct log *log, struct fixture_sent *sent, const struct fixture_batch *batch);
/* Waits for the answer: Kafka's error code. SENT->op tells the offsets until it is sent again. */
int16_t fixture_answer_wait(struct fixture_sent *sent);

/* COUNT records of no producer. */
struct fixture_answer fixture_append_records(struct log *log, int count, int64_t from_ms);

/* Reads and waits. The slice's bytes are copied to malloc'ed memory when RET_DATA is not NULL. */
int16_t fixture_read(struct log *log, int64_t offset, int64_t end, uint32_t max_bytes,
	bool at_least_one, struct log_slice *ret_slice, uint8_t **ret_data);
/* Reads everything from OFFSET to the readable end, checks each batch's CRC, calls EACH with it;
 * how many, or -1 when the folder failed. */
int fixture_read_all(struct log *log, int64_t offset,
	void (*each)(const struct batch_header *header, const uint8_t *data, void *argument),
	void *argument);
/* -1 when there is none. */
int64_t fixture_offset_for_time(struct log *log, int64_t timestamp_ms, int64_t *ret_timestamp);
int fixture_sync(struct log *log);
/* COUNT logs beside the fixture's own, topic-1 and so on; the caller closes them. */
void fixture_open_more(struct fixture *fixture, struct log **ret_logs, int count);
/* What the log counts as past its recovery point is what its batches say. */
void fixture_check_backlog(struct log *log);
