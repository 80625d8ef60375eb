/*
 * A shard tells another one that there is something to do. However often it does, one task is on its way, and
 * what is told after that has arrived is told anew.
 *
 *	static void heard(struct shard *shard, struct nudge *nudge)
 *	{
 *		struct broker_shard *teller = container_of(nudge, struct broker_shard, work_found);
 *		...
 *	}
 *	nudge_send(&teller->work_found, teller->shard, SHARD_MAIN, heard);
 */
#pragma once

#include "runtime/shard.h"

/* Of the shard that tells; zeroed, it is ready. */
struct nudge {
	struct task task;
	void (*heard)(struct shard *shard, struct nudge *nudge);
	bool is_on_its_way; /* atomic: then task and heard are the receiver's */
};

/* HEARD runs as a step of shard TO, which sees all that FROM did before. Always the same TO and HEARD. */
void nudge_send(struct nudge *nudge, struct shard *from, unsigned to,
	void (*heard)(struct shard *shard, struct nudge *nudge));
