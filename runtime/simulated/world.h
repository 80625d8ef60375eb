/*
 * The simulated machine: a world of hosts on one thread, from one seed. Each host has a disk and a
 * network address; a process on it is a machine of 1 to 8 shards that runs a program through the
 * same headers as on Linux. The world picks what happens next (which shard steps, which operation
 * completes, which byte of a torn write survives) with its one generator, and every pick goes into
 * the trace hash: the same seed gives the same hash.
 */
#pragma once

#include "runtime/socket.h"

struct world;
struct host;

/* Probabilities are in millionths per operation; 0 switches a fault off. */
struct world_options {
	uint64_t seed;
	uint64_t network_delay_max_ns, disk_delay_max_ns;
	uint32_t network_reset_ppm; /* a connection breaks */
	uint32_t network_short_ppm; /* a send or receive moves only part */
	uint32_t disk_error_ppm;    /* EIO */
	uint32_t disk_full_ppm;	    /* ENOSPC once */
	uint32_t clock_jump_ppm;    /* the wall clock jumps by up to an hour, either way */
	uint32_t cold_read_ppm;	    /* file_read_cached answers -EAGAIN */
};

struct world *world_new(const struct world_options *options);
void world_free(struct world *world);
void world_options_set(
	struct world *world, const struct world_options *options); /* seed is not changed */

/* ADDRESS is numeric, for instance "10.0.0.1"; host names resolve too. */
struct host *world_host_new(struct world *world, const char *name, const char *address);
/* Starts a process on the host. The program's start runs as a step. One process a host at a time.
 */
void host_start(struct host *host, unsigned shard_count, const struct program *program);
bool host_is_running(const struct host *host);
int host_exit_status(const struct host *host);
/* Runs the program's stop, as SIGTERM would. */
void host_terminate(struct host *host);

/* How a host dies. After either, connections are reset and host_start may be called again. */
enum crash {
	CRASH_PROCESS, /* kill -9: what was written stays, memory is gone */
	CRASH_POWER,   /* what was not synced is lost, torn by sector, or kept, as the seed says */
};
/* The process's memory cannot be freed by it any more: what it allocated through malloc leaks
 * unless the program was started with RECLAIM set by the test, which is then called to free it. */
void host_crash(struct host *host, enum crash how, void (*reclaim)(void *argument), void *argument);

/* Crashes the host inside its n-th file operation from now (1 is the next one). 0 takes it back.
 * The crash handler of the test runs as soon as that happens. */
void host_crash_at_operation(struct host *host, uint64_t n, enum crash how);
/* The n-th file operation from now fails with this errno. */
void host_fail_operation(struct host *host, uint64_t n, int error);
uint64_t host_operation_count(const struct host *host);
/* Flips bits in synced bytes of a file. */
int host_rot(struct host *host, const char *path, uint64_t offset);
void host_disk_capacity_set(struct host *host, uint64_t bytes);
/* Copies of the host's files in and out for tests, without steps. */
int host_file_put(struct host *host, const char *path, const void *data, size_t size);
int host_file_get(struct host *host, const char *path, void **ret_data, size_t *ret_size);

void world_partition(struct world *world, struct host *a, struct host *b, bool cut);

/* One step; false when nothing can happen any more. */
bool world_step(struct world *world);
/* Steps until DONE returns true, or time is up (false), or nothing can happen (false). */
bool world_run_until(
	struct world *world, bool (*done)(void *argument), void *argument, uint64_t duration_ns);
uint64_t world_now_ns(const struct world *world);
uint64_t world_steps(const struct world *world);
/* Over every pick and every completion so far. */
uint64_t world_trace_hash(const struct world *world);
/* Random bytes for the test's own choices, from the same generator. */
uint64_t world_random(struct world *world, uint64_t below);
