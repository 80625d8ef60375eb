/* What every shard has, whichever machine drives it: a queue of steps and a heap of timers. */
#include "runtime/shard.h"

#include "runtime/machine_ops.h"

/* Before a late task has its turn in any case. */
enum { LATE_PASSED_MAX = 500 };
#define LATE_NS_MAX (NS_PER_MS / 2)

void shard_init(struct shard *shard, const struct machine_ops *ops, struct machine *machine,
	unsigned index, unsigned count)
{
	ensure(index < count);
	*shard = (struct shard){.ops = ops, .machine = machine, .index = index, .count = count};
	list_init(&shard->ready);
	list_init(&shard->late);
	list_init(&shard->fibers.all);
	list_init(&shard->fibers.idle);
}

void shard_done(struct shard *shard)
{
	/* Tasks and timers are not touched: their owners may have freed them since. */
	list_init(&shard->ready);
	list_init(&shard->late);
	shard->timers = (struct deadlines){};
	fibers_free_all(shard);
}

unsigned shard_index(const struct shard *shard)
{
	return shard->index;
}

unsigned shard_count(const struct shard *shard)
{
	return shard->count;
}

struct machine *shard_machine(const struct shard *shard)
{
	return shard->machine;
}

void *shard_context(const struct shard *shard)
{
	return shard->context;
}

void shard_context_set(struct shard *shard, void *context)
{
	shard->context = context;
}

uint64_t shard_now_ns(const struct shard *shard)
{
	return shard->now_ns;
}

int64_t shard_wall_ms(const struct shard *shard)
{
	return shard->ops->wall_ms(shard);
}

void shard_entropy(struct shard *shard, void *buffer, size_t size)
{
	shard->ops->entropy(shard, buffer, size);
}

void machine_exit(struct shard *shard, int status)
{
	shard->ops->exit(shard, status);
}

void shard_post(struct shard *shard, struct task *task)
{
	ensure(task->run);
	list_push_back(&shard->ready, &task->node);
}

void shard_post_late(struct shard *shard, struct task *task)
{
	ensure(task->run);
	if (list_is_empty(&shard->late)) {
		shard->late_since_ns = shard->now_ns;
		shard->late_passed = 0;
	}
	list_push_back(&shard->late, &task->node);
}

static bool late_is_due(struct shard *shard)
{
	return list_is_empty(&shard->ready) || ++shard->late_passed > LATE_PASSED_MAX ||
	       shard->now_ns - shard->late_since_ns > LATE_NS_MAX;
}

void shard_send(struct shard *from, unsigned to, struct task *task)
{
	ensure(to < from->count);
	if (to == from->index) {
		shard_post(from, task);
		return;
	}
	ensure(task->run);
	ensure(!list_node_is_linked(&task->node));
	from->ops->send(from, to, task);
}

bool shard_task_step(struct shard *shard)
{
	if (!list_is_empty(&shard->late) && late_is_due(shard)) {
		/* They have waited already: before all that is queued. */
		list_append_all(&shard->late, &shard->ready);
		list_append_all(&shard->ready, &shard->late);
	}
	struct list_node *node = list_pop_front(&shard->ready);

	if (!node)
		return false;
	struct task *task = container_of(node, struct task, node);
	shard->step_code = (const void *)(uintptr_t)task->run;
	task->run(shard, task);
	return true;
}
