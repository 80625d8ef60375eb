/*
 * The bare server of end-to-end loads: what the least is that has to happen between a producer and a
 * consumer. Each Produce request of one batch is received, its batch checksummed and written to the
 * file of its partition, and answered; the batch is sent on, from memory, to the consumer whose Fetch
 * waits for the partition, in a whole response of the version that the generator speaks.
 */
#pragma once

#include "tools/benchmark/bare.h"

/* Serves 127.0.0.1:PORT for ever. One consumer a partition; there are as many as FILES. */
__attribute__((noreturn)) void relay_serve(uint16_t port, const struct bare_files *files);
