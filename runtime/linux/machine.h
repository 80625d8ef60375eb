/* The real machine: epoll loops, disk threads, the kernel's files and sockets. Only main includes
 * this. */
#pragma once

#include "runtime/shard.h"

struct linux_machine_options {
	unsigned
		shard_count; /* 0: as many as the CPUs that affinity and the cgroup's quota allow */
	unsigned disk_threads;	    /* 0: a default */
	uint64_t dirty_limit_bytes; /* beyond that many unwritten bytes writes go to disk threads;
				       0: a default */
	int send_buffer_bytes; /* SO_SNDBUF of the connections that are accepted; 0: as the kernel likes */
	void (*stalled)(unsigned shard, uint64_t step_ns,
		const char *what); /* a step took over 5 ms; may be NULL */
};

/* Runs PROGRAM until machine_exit; returns its status, or a negative errno when the machine could
 * not be made. */
int linux_machine_run(const struct linux_machine_options *options, const struct program *program);
unsigned linux_usable_cpus(void);
/* Bytes of memory that the machine and the cgroup leave us; 0: unknown. */
uint64_t linux_usable_memory(void);
