/*
 * The simulated machine: a world of hosts on one thread, from one seed. Each host has a disk and a
 * network address; a process on it is a machine of 1 to 8 shards that runs a program through the
 * same headers as on Linux. The world picks what happens next (which shard steps, which operation
 * completes, which byte of a torn write survives) with its one generator, and every pick goes into
 * the trace hash: the same seed gives the same hash.
 *
 * Memory: what a program's steps allocate with malloc belongs to the process, and is freed when the
 * process ends, however it ends (see memory.h). So a program keeps nothing in static variables that
 * it allocated in a step, and what a test wants to keep beyond the process it allocates between
 * world_outside_begin and world_outside_end, or before the world runs.
 */
#pragma once

#include <stdio.h>

#include "runtime/simulated/fault.h"
#include "runtime/socket.h"

struct world;
struct host;
struct disk;

/* Probabilities are in millionths per operation; 0 switches a fault off. */
struct world_options {
	uint64_t seed;
	uint64_t network_delay_max_ns, disk_delay_max_ns;
	uint32_t network_reset_ppm;  /* a connection breaks */
	uint32_t network_short_ppm;  /* a send or receive moves only part */
	uint32_t disk_error_ppm;     /* EIO */
	uint32_t disk_sync_error_ppm; /* EIO of a file's sync, when that is more */
	uint32_t disk_full_ppm;	     /* ENOSPC once */
	uint32_t disk_write_out_ppm; /* after a write: the system makes something durable by itself
				      */
	uint32_t clock_jump_ppm;     /* the wall clock jumps by up to an hour, either way */
	uint32_t cold_read_ppm;	     /* file_read_cached answers -EAGAIN */
	uint32_t stall_ppm;	     /* after a step: the shard does not run for a while */
	uint64_t stall_max_ns;
};

struct world *world_new(const struct world_options *options);
void world_free(struct world *world);
/* The seed is not changed. */
void world_options_set(struct world *world, const struct world_options *options);
/* Every pick and event as a line of text, to find where two runs part. NULL: no more. */
void world_trace_to(struct world *world, FILE *file);

/* ADDRESS is numeric, for instance "10.0.0.1"; host names resolve too. */
struct host *world_host_new(struct world *world, const char *name, const char *address);
const char *host_name(const struct host *host);
/* Starts a process on the host. The program's start runs as a step. One process a host at a time.
 */
void host_start(struct host *host, unsigned shard_count, const struct program *program);
bool host_is_running(const struct host *host);
/* Of the last process: what it gave to machine_exit, or -1 when it crashed. */
int host_exit_status(const struct host *host);
/* Bytes and blocks that the last process had not freed when it ended; 0 after a tidy exit. */
uint64_t host_exit_memory(const struct host *host, uint64_t *ret_block_count);
/* Runs the program's stop, as SIGTERM would. Does nothing when no process runs. */
void host_terminate(struct host *host);

/* How a host dies. After either, connections break and host_start may be called again. */
enum crash {
	CRASH_PROCESS, /* kill -9: what was written stays, memory is gone */
	CRASH_POWER,   /* what was not synced is lost, torn by sector, or kept, as the seed says */
};
/* From outside a step, or inside one of the host's own: then the step still ends. */
void host_crash(struct host *host, enum crash how);
/* Runs when a process of the host ended, by exit or crash: the place to start it again. */
void host_on_end(
	struct host *host, void (*ended)(struct host *host, void *argument), void *argument);

/* Crashes the host inside the n-th operation from now (1 is the next one) that changes its disk:
 * before the change, after it, or where there is one, in its middle. 0 takes it back. */
void host_crash_at_change(struct host *host, uint64_t n, enum crash how);
/* The n-th file operation from now (reads count) fails with this errno (positive). 0 takes it back.
 */
void host_fail_operation(struct host *host, uint64_t n, int error);
uint64_t host_operation_count(const struct host *host);
/* Of these, how many changed the disk (or would have, but for an error). */
uint64_t host_change_count(const struct host *host);
/* Flips a bit in a byte of a file, also on the disk. -ENODATA beyond the end. */
int host_rot(struct host *host, const char *path, uint64_t offset);
void host_disk_capacity_set(struct host *host, uint64_t bytes);
/* files_allowed from now on (at first HOST_FILES_ALLOWED): how many descriptors connections leave is the caller's to say. */
void host_files_allow(struct host *host, uint32_t count);
enum { HOST_FILES_ALLOWED = 57344 };
/* The file system as it is now, also what of it is not durable: cheap, bytes are shared. For
 * disk.h's functions and for host_disk_set of any world; the caller frees it with disk_free. */
struct disk *host_disk_copy(const struct host *host);
/* Replaces the disk of a host without a process by a copy of DISK. */
void host_disk_set(struct host *host, const struct disk *disk);
/* Copies of the host's files in and out for tests, without steps. What is put is durable; missing
 * folders are made. RET_DATA is malloc'ed. */
int host_file_put(struct host *host, const char *path, const void *data, size_t size);
int host_file_remove(struct host *host, const char *path);
int host_file_get(struct host *host, const char *path, void **ret_data, size_t *ret_size);
/* Calls EACH with every name in the folder, in byte order, until it does not return 0. */
int host_file_list(struct host *host, const char *folder,
	int (*each)(void *argument, const char *name, bool is_folder), void *argument);
/* The wall clock of the host jumps. */
void host_clock_jump(struct host *host, int64_t by_ms);

/* Nothing passes between the two any more, or again. */
void world_partition(struct world *world, struct host *a, struct host *b, bool cut);
/* The same in one direction only. */
void world_partition_one_way(struct world *world, struct host *from, struct host *to, bool cut);

/* One step; false when nothing can happen any more. */
bool world_step(struct world *world);
/* Steps until DONE (which may be NULL) returns true, or the time is up (false). Time passes also
 * when nothing happens. */
bool world_run_until(
	struct world *world, bool (*done)(void *argument), void *argument, uint64_t duration_ns);
uint64_t world_now_ns(const struct world *world);
uint64_t world_steps(const struct world *world);
uint64_t world_fault_count(const struct world *world, enum fault fault);
/* Over every pick and every completion so far, and all bytes that were written, read or sent. */
uint64_t world_trace_hash(const struct world *world);
/* 0 <= result < BELOW, for the test's own choices, from the same generator. */
uint64_t world_random(struct world *world, uint64_t below);

/* In between, a step's allocations belong to the test. No nesting. */
void world_outside_begin(struct world *world);
void world_outside_end(struct world *world);
