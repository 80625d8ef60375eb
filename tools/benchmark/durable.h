/*
 * The bare server of durable loads: what the least is that has to happen before a producer is told that
 * its batch is on the disk. Each Produce request is received, checksummed and written to the next of so
 * many files; when nothing more has come, one sync is made for all that was written, and then they are
 * answered. A sync of one file is an fdatasync, one of several a syncfs: on ext4 the cheapest there is for
 * that (docs/benchmarks.md).
 */
#pragma once

#include "tools/benchmark/bare.h"

/* Serves 127.0.0.1:PORT for ever. */
__attribute__((noreturn)) void durable_serve(uint16_t port, const struct bare_files *files);
