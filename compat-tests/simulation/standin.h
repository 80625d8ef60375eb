/*
 * The smallest broker that keeps all promises which the model clients check, and that can be told
 * to break one: the proof that the simulation finds what it is there to find. One topic, one shard.
 */
#pragma once

#include "runtime/shard.h"

enum standin_bug {
	STANDIN_CORRECT,
	STANDIN_ACK_BEFORE_WRITE,
	STANDIN_ACK_BEFORE_SYNC,
	STANDIN_FORGET_SEQUENCES,   /* retries are appended again */
	STANDIN_FORGET_ORDER,	    /* a batch is taken though the one before it is missing */
	STANDIN_SKIP_CRC,	    /* recovery takes torn batches */
	STANDIN_REUSE_OFFSET,	    /* recovery forgets the last batch's offsets */
	STANDIN_SHOW_UNSYNCED,	    /* consumers see what may still be lost */
	STANDIN_REUSE_PRODUCER_IDS, /* after a restart they begin again */
	STANDIN_BUG_COUNT,
};

extern const char *const standin_bug_names[STANDIN_BUG_COUNT];

struct standin_options {
	enum standin_bug bug;
	uint16_t port;
};

/* A program's start; ARGUMENT is struct standin_options. */
void standin_start(struct shard *shard, void *argument);
