/*
 * What both machines promise, as programs: each case runs on a fresh machine, checks with ensure()
 * and ends with machine_exit(shard, 0). linux/contract_test.c and simulated/contract_test.c run the
 * same cases.
 */
#pragma once

#include "runtime/buffer.h"
#include "runtime/socket.h"

/* The program's argument. */
struct contract {
	const char *folder;	/* an empty folder of this case's own */
	struct address address; /* to listen on; port 0 */
	/* What the case made, if it did: freed by who ran it, when no shard runs any more. */
	struct buffer_budget *budget;
};

struct contract_case {
	const char *name;
	unsigned shard_count;
	void (*start)(struct shard *shard, void *contract);
};

extern const struct contract_case contract_cases[];
extern const unsigned contract_case_count;

/* Text for a case: FOLDER/NAME, from malloc. */
char *contract_path(const struct contract *contract, const char *name);

/* The cases, by file. */
#define CONTRACT_CASES(entry)                                                                      \
	entry(shards_posts_run_in_order, 1) entry(shards_late_tasks_wait_for_others, 1) entry(     \
		shards_timers_fire_in_order, 1) entry(shards_timers_move_and_stop,                 \
		1) entry(shards_clock_stands_still_in_a_step, 1) entry(shards_entropy_differs,     \
		1) entry(shards_messages_keep_their_order, 2) entry(shards_ping_pong,              \
		4) entry(shards_offload, 2) entry(fibers_wait_and_wake, 1) entry(fibers_many,      \
		1) entry(files_write_read_sync, 1) entry(files_many_are_synced, 1)                 \
		entry(files_errors, 1) entry(files_names, 1) entry(files_writes_keep_their_order,  \
			1) entry(files_replace, 1) entry(files_sync_all, 1) entry(files_lock,      \
			1) entry(sockets_echo, 1) entry(sockets_move_to_another_shard,             \
			3) entry(sockets_send_slices, 1) entry(sockets_slice_beyond_the_end, 1)    \
			entry(sockets_end_of_stream, 1) entry(sockets_close_cancels, 1) entry(     \
				sockets_peer_that_never_reads, 1) entry(sockets_peer_that_is_gone, \
				1) entry(sockets_refused, 1) entry(sockets_paused, 1)              \
				entry(sockets_resolve, 1) entry(buffers_keep_to_the_limit, 1)      \
					entry(buffers_are_waited_for_in_order, 1)                  \
						entry(buffers_waiters_may_change_their_mind, 1)    \
							entry(buffers_shared_by_shards, 3)         \
								entry(buffers_grow_and_move, 1)

#define CONTRACT_CASE_DECLARE(name, shards) void name(struct shard *shard, void *argument);
CONTRACT_CASES(CONTRACT_CASE_DECLARE)
#undef CONTRACT_CASE_DECLARE
