/*
 * What the parts of the librdkafka client share: the broker's address, the failure of the current command, and how
 * clients are made. A command returns 0, or -1 with the failure written.
 */
#pragma once
#include <librdkafka/rdkafka.h>
#include <stdio.h>

enum { WAIT_S = 120 };

extern const char *bootstrap;
extern char failure[512];

/* Writes the failure; always -1. */
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* `settings` are pairs of name and value, ended by NULL. NULL with the failure written if librdkafka refuses them. */
rd_kafka_t *client_new(rd_kafka_type_t type, const char *const *settings);

/* Writes `count` records of the formula to partition 0; each must get the offset that is its index. */
int produce(const char *topic, const char *codec, int count, long long base, int headers, int idempotent);

/* Topics, their settings and partitions, records, groups: created, described, changed, deleted. */
int administration(const char *topic, const char *group, const char *empty_group);
