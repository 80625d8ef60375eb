/* Buffers out of a budget that shards share. */
#include <stdlib.h>

#include "runtime/buffer.h"
#include "runtime/contract.h"

/* Fills the budget, finds it full, gives back; one buffer larger than all of it passes alone. */
void buffers_keep_to_the_limit(struct shard *shard, void *argument)
{
	struct contract *contract = argument;
	struct buffer_budget *budget = buffer_budget_new(shard_count(shard), 1 << 20);
	struct buffer *buffers[64];
	unsigned count = 0;

	contract->budget = budget;
	for (struct buffer *buffer; (buffer = buffer_new(shard, budget, 50000));) {
		ensure(buffer->capacity >= 50000 && buffer->capacity < 65000);
		memset(buffer->data, 0xaa, buffer->capacity);
		buffers[count++] = buffer;
		ensure(buffer_budget_used(budget) <= 1 << 20);
	}
	ensure(count >= 16 && count <= 20);
	ensure(!buffer_new(shard, budget, 5 << 20));
	buffer_ref(buffers[0]);
	buffer_unref(shard, buffers[0]);
	ensure(!buffer_new(shard, budget, 50000));
	while (count > 0)
		buffer_unref(shard, buffers[--count]);
	ensure(buffer_budget_used(budget) == 0);
	struct buffer *large = buffer_new(shard, budget, 5 << 20);
	ensure(large && large->capacity >= 5 << 20);
	ensure(!buffer_new(shard, budget, 1));
	buffer_unref(shard, large);
	/* Every class, by its bounds: never less than asked, never much more. */
	for (size_t size = 1; size < 900000; size += 1 + size / 7) {
		struct buffer *buffer = buffer_new(shard, budget, size);

		ensure(buffer && buffer->capacity >= size);
		ensure(buffer->capacity <= size + size / 4 + 512);
		buffer_unref(shard, buffer);
	}
	buffer_unref(shard, NULL);
	ensure(!buffer_new(shard, budget, SIZE_MAX));
	/* What lies elsewhere counts, and passes the limit when it must. */
	buffer_budget_charge(budget, 1 << 20);
	ensure(!buffer_budget_is_over(budget) && !buffer_new(shard, budget, 1));
	buffer_budget_charge(budget, 1 << 20);
	ensure(buffer_budget_is_over(budget));
	buffer_budget_discharge(shard, budget, 2 << 20);
	ensure(!buffer_budget_is_over(budget) && buffer_budget_used(budget) == 0);
	machine_exit(shard, 0);
}

struct queue {
	struct buffer_budget *budget;
	struct buffer *first;
	unsigned served;
	struct queued {
		struct buffer_waiter waiter;
		unsigned number;
		struct queue *queue;
	} waiters[4];
};

static void queued_ready(struct shard *shard, struct buffer_waiter *waiter)
{
	struct queued *queued = container_of(waiter, struct queued, waiter);
	struct queue *queue = queued->queue;
	static const unsigned order[] = {0, 1, 3}; /* the third was cancelled */

	ensure(queued->number == order[queue->served]);
	struct buffer *buffer = buffer_new(shard, queue->budget, waiter->size);
	ensure(buffer);
	queue->served++;
	buffer_unref(shard, buffer);
	if (queue->served < 3)
		return;
	free(queue);
	machine_exit(shard, 0);
}

/* A large one waits first, small ones behind it, one of them gives up. Nobody overtakes, not even
 * one who would fit. */
void buffers_are_waited_for_in_order(struct shard *shard, void *argument)
{
	struct contract *contract = argument;
	struct queue *queue = calloc(1, sizeof(*queue));

	queue->budget = contract->budget = buffer_budget_new(shard_count(shard), 100000);
	queue->first = buffer_new(shard, queue->budget, 60000);
	ensure(queue->first);
	for (unsigned i = 0; i < array_length(queue->waiters); i++) {
		struct queued *queued = &queue->waiters[i];

		queued->waiter.ready = queued_ready;
		queued->waiter.size = i == 0 ? 80000 : 1000;
		queued->number = i;
		queued->queue = queue;
		buffer_wait(shard, queue->budget, &queued->waiter);
	}
	ensure(!buffer_new(shard, queue->budget, 1000));
	buffer_wait_cancel(shard, &queue->waiters[2].waiter);
	buffer_wait_cancel(shard, &queue->waiters[2].waiter);
	buffer_unref(shard, queue->first);
	ensure(queue->served == 0);
}

struct fickle {
	struct buffer_waiter large, small, late;
	struct timer timer;
	struct buffer_budget *budget;
	struct buffer *held;
};

static void fickle_late_ready(struct shard *shard, struct buffer_waiter *waiter)
{
	struct fickle *fickle = container_of(waiter, struct fickle, late);

	buffer_unref(shard, fickle->held);
	free(fickle);
	machine_exit(shard, 0);
}

static void fickle_late_fire(struct shard *shard, struct timer *timer)
{
	struct fickle *fickle = container_of(timer, struct fickle, timer);

	fickle->late.size = 1000;
	fickle->late.ready = fickle_late_ready;
	buffer_wait(shard, fickle->budget, &fickle->late);
}

static void fickle_small_ready(struct shard *shard, struct buffer_waiter *waiter)
{
	struct fickle *fickle = container_of(waiter, struct fickle, small);

	/* Does not take what it waited for. */
	fickle->timer.fire = fickle_late_fire;
	timer_set(shard, &fickle->timer, shard_now_ns(shard) + 2 * NS_PER_MS);
}

static void fickle_large_fire(struct shard *shard, struct timer *timer)
{
	struct fickle *fickle = container_of(timer, struct fickle, timer);

	buffer_wait_cancel(shard, &fickle->large);
}

static void fickle_large_ready(struct shard *shard, struct buffer_waiter *waiter)
{
	ensure(!"a waiter that gave up was served");
}

/* A large one holds up a small one and gives up: the small one is served although nothing came
 * back. One that waits while there is room, without having tried, is served too. Each when nothing
 * else has happened for a while. */
void buffers_waiters_may_change_their_mind(struct shard *shard, void *argument)
{
	struct contract *contract = argument;
	struct fickle *fickle = calloc(1, sizeof(*fickle));

	fickle->budget = contract->budget = buffer_budget_new(shard_count(shard), 100000);
	fickle->held = buffer_new(shard, fickle->budget, 60000);
	fickle->large.size = 80000;
	fickle->large.ready = fickle_large_ready;
	fickle->small.size = 1000;
	fickle->small.ready = fickle_small_ready;
	buffer_wait(shard, fickle->budget, &fickle->large);
	buffer_wait(shard, fickle->budget, &fickle->small);
	fickle->timer.fire = fickle_large_fire;
	timer_set(shard, &fickle->timer, shard_now_ns(shard) + 2 * NS_PER_MS);
}

enum { BUFFER_USERS = 24, BUFFER_TURNS = 300, BUFFER_LIMIT = 200000 };

/* Takes a buffer, waits if it must, sends it to the next shard, which lets it go; again and again.
 */
struct user {
	struct task task;
	struct buffer_waiter waiter;
	struct buffer *buffer;
	unsigned turns;
	uint32_t random;
	struct users *users;
};

struct users {
	struct buffer_budget *budget;
	unsigned ended; /* counted on shard 0 */
	struct user all[BUFFER_USERS];
};

static void user_ended(struct shard *shard, struct task *task)
{
	struct users *users = container_of(task, struct user, task)->users;

	if (++users->ended < BUFFER_USERS)
		return;
	ensure(buffer_budget_used(users->budget) == 0);
	free(users);
	machine_exit(shard, 0);
}

static void user_take(struct shard *shard, struct task *task);

static void user_let_go(struct shard *shard, struct task *task)
{
	struct user *user = container_of(task, struct user, task);

	ensure(buffer_budget_used(user->users->budget) <= BUFFER_LIMIT);
	for (unsigned i = 0; i < user->waiter.size; i += 512)
		ensure(user->buffer->data[i] == (uint8_t)user->turns);
	buffer_unref(shard, user->buffer);
	user->turns++;
	task->run = user->turns == BUFFER_TURNS ? user_ended : user_take;
	unsigned next =
		user->turns == BUFFER_TURNS ? 0 : (shard_index(shard) + 1) % shard_count(shard);
	shard_send(shard, next, task);
}

static void user_ready(struct shard *shard, struct buffer_waiter *waiter)
{
	struct user *user = container_of(waiter, struct user, waiter);

	user->buffer = buffer_new(shard, user->users->budget, waiter->size);
	if (!user->buffer) {
		buffer_wait(shard, user->users->budget, waiter);
		return;
	}
	memset(user->buffer->data, (int)user->turns, waiter->size);
	user->task.run = user_let_go;
	shard_send(shard, (shard_index(shard) + user->turns) % shard_count(shard), &user->task);
}

static void user_take(struct shard *shard, struct task *task)
{
	struct user *user = container_of(task, struct user, task);

	user->random = user->random * 1103515245 + 12345;
	user->waiter.size = 1 + (user->random >> 8) % (user->random % 5 ? 20000 : 190000);
	user_ready(shard, &user->waiter);
}

/* Twenty-four users on three shards want more than there is: the limit holds, and all get through.
 */
void buffers_shared_by_shards(struct shard *shard, void *argument)
{
	struct contract *contract = argument;
	struct users *users = calloc(1, sizeof(*users));

	users->budget = contract->budget = buffer_budget_new(shard_count(shard), BUFFER_LIMIT);
	for (unsigned i = 0; i < BUFFER_USERS; i++) {
		struct user *user = &users->all[i];

		*user = (struct user){
			.task.run = user_take,
			.waiter.ready = user_ready,
			.random = i,
			.users = users,
		};
		shard_send(shard, i % shard_count(shard), &user->task);
	}
}

struct growth {
	struct buffer_waiter waiter;
	struct buffer_budget *budget;
	struct buffer *buffer;
};

/* A buffer that grows is charged for what it grows by alone, keeps what is in it, and stays as it is
 * without room for that. One that moves to another budget counts there, if that has room. */
static void growth_ready(struct shard *shard, struct buffer_waiter *waiter)
{
	struct growth *growth = container_of(waiter, struct growth, waiter);
	struct buffer *buffer = buffer_grow(shard, growth->buffer, 4 << 20);

	ensure(buffer && buffer->capacity == 4 << 20 && buffer->data[0] == 0xaa);
	ensure(buffer_budget_used(growth->budget) == 4 << 20);
	buffer_unref(shard, buffer);
	ensure(buffer_budget_used(growth->budget) == 0);
	free(growth);
	machine_exit(shard, 0);
}

void buffers_grow_and_move(struct shard *shard, void *argument)
{
	struct contract *contract = argument;
	struct growth *growth = calloc(1, sizeof(*growth));
	struct buffer_budget *other = buffer_budget_new(shard_count(shard), 1 << 20);

	growth->budget = contract->budget = buffer_budget_new(shard_count(shard), 4 << 20);
	ensure(buffer_can_fit(growth->budget, 4 << 20));
	ensure(!buffer_can_fit(growth->budget, (4 << 20) + 1));
	ensure(!buffer_can_fit(growth->budget, SIZE_MAX));
	struct buffer *buffer = buffer_new(shard, growth->budget, 1 << 20);
	memset(buffer->data, 0xaa, buffer->capacity);
	/* More than half of the limit: a copy would not fit beside it. */
	ensure(buffer_growth(buffer, 3 << 20) == 2 << 20);
	buffer = buffer_grow(shard, buffer, 3 << 20);
	ensure(buffer && buffer->capacity == 3 << 20 && buffer->data[(1 << 20) - 1] == 0xaa);
	ensure(buffer_budget_used(growth->budget) == 3 << 20);
	ensure(buffer_growth(buffer, 1) == 0 && buffer_grow(shard, buffer, 1) == buffer);
	ensure(!buffer_grow(shard, buffer, SIZE_MAX));

	struct buffer *small = buffer_new(shard, other, 1000);
	size_t size = small->capacity;
	ensure(!buffer_move(shard, buffer, other) && buffer->budget == growth->budget);
	ensure(buffer_move(shard, small, growth->budget) && small->budget == growth->budget);
	ensure(buffer_budget_used(other) == 0);
	ensure(buffer_budget_used(growth->budget) == (3 << 20) + size);
	ensure(buffer_move(shard, small, growth->budget));

	ensure(!buffer_grow(shard, buffer, 4 << 20) && buffer->capacity == 3 << 20);
	growth->buffer = buffer;
	growth->waiter.ready = growth_ready;
	growth->waiter.size = buffer_growth(buffer, 4 << 20);
	buffer_wait(shard, growth->budget, &growth->waiter);
	/* Nothing takes what others wait for. */
	struct buffer *late = buffer_new(shard, other, 1000);
	ensure(!buffer_move(shard, late, growth->budget));
	buffer_unref(shard, late);
	buffer_budget_free(other);
	buffer_unref(shard, small);
}
