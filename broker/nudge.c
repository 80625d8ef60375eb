#include "broker/nudge.h"

static void arrived(struct shard *shard, struct task *task)
{
	struct nudge *nudge = container_of(task, struct nudge, task);
	void (*heard)(struct shard *, struct nudge *) = nudge->heard;

	/* Before it is looked what there is to do: what comes from now on may not be seen, and is told again. */
	__atomic_store_n(&nudge->is_on_its_way, false, __ATOMIC_SEQ_CST);
	heard(shard, nudge);
}

void nudge_send(struct nudge *nudge, struct shard *from, unsigned to,
	void (*heard)(struct shard *shard, struct nudge *nudge))
{
	if (__atomic_exchange_n(&nudge->is_on_its_way, true, __ATOMIC_SEQ_CST))
		return;
	nudge->heard = heard;
	nudge->task.run = arrived;
	shard_send(from, to, &nudge->task);
}
