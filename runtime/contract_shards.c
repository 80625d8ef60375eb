/* Steps, timers, messages, computations and fibers. */
#include <stdlib.h>

#include "runtime/contract.h"
#include "runtime/fiber.h"

/* Tasks note the order in which they ran. */
struct numbered {
	struct task task;
	unsigned number;
	struct order *order;
};

struct order {
	unsigned ran;
	struct numbered tasks[100];
	bool posted;
};

static void numbered_run(struct shard *shard, struct task *task)
{
	struct numbered *numbered = container_of(task, struct numbered, task);
	struct order *order = numbered->order;

	ensure(order->posted); /* never inside the call that queued it */
	ensure(numbered->number == order->ran);
	if (++order->ran == array_length(order->tasks)) {
		free(order);
		machine_exit(shard, 0);
	}
}

/* A hundred tasks, every other one by shard_send to the own shard: they run in the order of the
 * calls, after the step that made them. */
void shards_posts_run_in_order(struct shard *shard, void *argument)
{
	struct order *order = calloc(1, sizeof(*order));

	for (unsigned i = 0; i < array_length(order->tasks); i++) {
		order->tasks[i] =
			(struct numbered){.task.run = numbered_run, .number = i, .order = order};
		if (i % 2)
			shard_post(shard, &order->tasks[i].task);
		else
			shard_send(shard, shard_index(shard), &order->tasks[i].task);
	}
	order->posted = true;
}

struct late {
	struct task task, chain, again;
	unsigned chained;
};

enum { LATE_CHAIN = 20, LATE_RESTLESS = 100000 };

static void late_restless_run(struct shard *shard, struct task *task)
{
	struct late *late = container_of(task, struct late, chain);

	ensure(late->chained++ < LATE_RESTLESS);
	shard_post(shard, task);
}

static void late_again_run(struct shard *shard, struct task *task)
{
	/* The rest of it stays queued for ever: the process ends over it. */
	machine_exit(shard, 0);
}

static void late_run(struct shard *shard, struct task *task)
{
	struct late *late = container_of(task, struct late, task);

	ensure(late->chained == LATE_CHAIN);
	late->chain.run = late_restless_run;
	shard_post(shard, &late->chain);
	late->again.run = late_again_run;
	shard_post_late(shard, &late->again);
}

static void late_chain_run(struct shard *shard, struct task *task)
{
	struct late *late = container_of(task, struct late, chain);

	if (++late->chained < LATE_CHAIN)
		shard_post(shard, task);
}

/* A late task runs behind steps that were posted after it, and those that they post; but a shard that
 * always has something to do comes to it too. */
void shards_late_tasks_wait_for_others(struct shard *shard, void *argument)
{
	static struct late late;

	late = (struct late){.task.run = late_run, .chain.run = late_chain_run};
	shard_post_late(shard, &late.task);
	shard_post(shard, &late.chain);
}

struct alarm {
	struct timer timer;
	uint64_t deadline_ns;
	unsigned set_as; /* the how-manyth that was set */
	struct alarms *alarms;
};

struct alarms {
	unsigned fired;
	uint64_t last_ns;
	unsigned last_set_as;
	struct alarm alarms[200];
};

static void alarm_fire(struct shard *shard, struct timer *timer)
{
	struct alarm *alarm = container_of(timer, struct alarm, timer);
	struct alarms *alarms = alarm->alarms;

	ensure(!timer_is_set(timer));
	ensure(shard_now_ns(shard) >= alarm->deadline_ns);
	ensure(alarm->deadline_ns >= alarms->last_ns);
	if (alarm->deadline_ns == alarms->last_ns && alarms->fired > 0)
		ensure(alarm->set_as > alarms->last_set_as);
	alarms->last_ns = alarm->deadline_ns;
	alarms->last_set_as = alarm->set_as;
	if (++alarms->fired == array_length(alarms->alarms)) {
		free(alarms);
		machine_exit(shard, 0);
	}
}

/* Two hundred timers over twenty deadlines, set in a scattered order: they fire by deadline, equal
 * ones in the order of setting, none early. */
void shards_timers_fire_in_order(struct shard *shard, void *argument)
{
	struct alarms *alarms = calloc(1, sizeof(*alarms));
	uint64_t now_ns = shard_now_ns(shard);

	for (unsigned i = 0; i < array_length(alarms->alarms); i++) {
		struct alarm *alarm = &alarms->alarms[(i * 77) % array_length(alarms->alarms)];

		*alarm = (struct alarm){
			.timer.fire = alarm_fire,
			.deadline_ns = now_ns + (1 + (i * 13) % 20) * NS_PER_MS,
			.set_as = i,
			.alarms = alarms,
		};
		timer_set(shard, &alarm->timer, alarm->deadline_ns);
	}
}

struct moved_timers {
	struct timer stopped, moved, last;
	bool moved_fired;
	uint64_t moved_to_ns;
};

static void stopped_fire(struct shard *shard, struct timer *timer)
{
	ensure(!"a stopped timer fired");
}

static void moved_fire(struct shard *shard, struct timer *timer)
{
	struct moved_timers *timers = container_of(timer, struct moved_timers, moved);

	ensure(!timers->moved_fired);
	ensure(shard_now_ns(shard) >= timers->moved_to_ns);
	timers->moved_fired = true;
}

static void last_fire(struct shard *shard, struct timer *timer)
{
	struct moved_timers *timers = container_of(timer, struct moved_timers, last);

	ensure(timers->moved_fired);
	free(timers);
	machine_exit(shard, 0);
}

/* One timer is stopped (twice), one moved later: the first never fires, the second once at its new
 * time. */
void shards_timers_move_and_stop(struct shard *shard, void *argument)
{
	struct moved_timers *timers = calloc(1, sizeof(*timers));
	uint64_t now_ns = shard_now_ns(shard);

	timers->stopped.fire = stopped_fire;
	timers->moved.fire = moved_fire;
	timers->last.fire = last_fire;
	timers->moved_to_ns = now_ns + 8 * NS_PER_MS;
	timer_set(shard, &timers->last, now_ns + 12 * NS_PER_MS);
	timer_set(shard, &timers->moved, now_ns + NS_PER_MS);
	timer_set(shard, &timers->stopped, now_ns + 2 * NS_PER_MS);
	ensure(timer_is_set(&timers->stopped));
	timer_stop(shard, &timers->stopped);
	ensure(!timer_is_set(&timers->stopped));
	timer_stop(shard, &timers->stopped);
	timer_set(shard, &timers->moved, timers->moved_to_ns);
}

/* The clock is the same at both ends of a step, however long it computes; the wall clock is
 * plausible. */
void shards_clock_stands_still_in_a_step(struct shard *shard, void *argument)
{
	uint64_t now_ns = shard_now_ns(shard);

	for (volatile unsigned i = 0; i < 1000000; i++)
		;
	ensure(shard_now_ns(shard) == now_ns);
	ensure(shard_wall_ms(shard) > 946684800000); /* the year 2000 */
	machine_exit(shard, 0);
}

/* Small and large requests: no two answers are alike, and no long run of zeros comes back. */
void shards_entropy_differs(struct shard *shard, void *argument)
{
	uint8_t small[64][16], large[2][1000];

	for (unsigned i = 0; i < array_length(small); i++) {
		shard_entropy(shard, small[i], sizeof(small[i]));
		for (unsigned j = 0; j < i; j++)
			ensure(memcmp(small[i], small[j], sizeof(small[i])) != 0);
	}
	shard_entropy(shard, large[0], sizeof(large[0]));
	shard_entropy(shard, large[1], sizeof(large[1]));
	ensure(memcmp(large[0], large[1], sizeof(large[0])) != 0);
	machine_exit(shard, 0);
}

enum { LETTERS = 1000 };

struct letter {
	struct task task;
	unsigned number;
	unsigned *expected; /* the receiver's */
	struct letter *all;
};

static void letter_free(struct shard *shard, struct task *task)
{
	struct letter *letter = container_of(task, struct letter, task);

	ensure(shard_index(shard) == 0);
	free(letter->expected);
	free(letter->all);
	machine_exit(shard, 0);
}

static void letter_read(struct shard *shard, struct task *task)
{
	struct letter *letter = container_of(task, struct letter, task);

	ensure(shard_index(shard) == 1);
	ensure(letter->number == (*letter->expected)++);
	if (letter->number == LETTERS - 1) {
		task->run = letter_free;
		shard_send(shard, 0, task);
	}
}

/* A thousand messages to another shard arrive in the order in which they were sent. */
void shards_messages_keep_their_order(struct shard *shard, void *argument)
{
	struct letter *letters = calloc(LETTERS, sizeof(*letters));
	unsigned *expected = calloc(1, sizeof(*expected));

	ensure(shard_count(shard) == 2);
	for (unsigned i = 0; i < LETTERS; i++) {
		letters[i] = (struct letter){
			.task.run = letter_read,
			.number = i,
			.expected = expected,
			.all = letters,
		};
		shard_send(shard, 1, &letters[i].task);
	}
}

struct ball {
	struct task task;
	unsigned hops;
	struct game *game;
};

struct game {
	struct ball balls[8];
	unsigned home; /* balls that are back at shard 0 for good */
};

static void ball_hop(struct shard *shard, struct task *task)
{
	struct ball *ball = container_of(task, struct ball, task);

	ball->hops++;
	if (ball->hops < 2000 || shard_index(shard) != 0) {
		shard_send(shard, (shard_index(shard) + 1) % shard_count(shard), task);
		return;
	}
	if (++ball->game->home == array_length(ball->game->balls)) {
		free(ball->game);
		machine_exit(shard, 0);
	}
}

/* Eight balls go round all shards at least two thousand times: none is lost, though shards fall
 * asleep and wake all the time. */
void shards_ping_pong(struct shard *shard, void *argument)
{
	struct game *game = calloc(1, sizeof(*game));

	for (unsigned i = 0; i < array_length(game->balls); i++) {
		game->balls[i] = (struct ball){.task.run = ball_hop, .game = game};
		shard_send(shard, i % shard_count(shard), &game->balls[i].task);
	}
}

struct sum {
	struct offload_op op;
	uint64_t result;
	bool asked;
};

static void sum_work(struct offload_op *op)
{
	struct sum *sum = container_of(op, struct sum, op);

	for (uint64_t i = 1; i <= 100000; i++)
		sum->result += i;
}

static void sum_done(struct shard *shard, struct offload_op *op)
{
	struct sum *sum = container_of(op, struct sum, op);

	ensure(shard_index(shard) == 0 && sum->asked);
	ensure(sum->result == 5000050000);
	free(sum);
	machine_exit(shard, 0);
}

/* The work is done elsewhere, its end is a step of the asking shard. */
void shards_offload(struct shard *shard, void *argument)
{
	struct sum *sum = calloc(1, sizeof(*sum));

	sum->op.work = sum_work;
	sum->op.done = sum_done;
	offload(shard, &sum->op);
	sum->asked = true;
}

struct meeting {
	struct fiber *waiting;
	unsigned stage;
};

static void meeting_first(struct shard *shard, void *argument)
{
	struct meeting *meeting = argument;

	meeting->waiting = fiber_current(shard);
	ensure(meeting->waiting);
	ensure(meeting->stage == 0);
	meeting->stage = 1;
	fiber_wait(shard);
	ensure(meeting->stage == 2);
	/* A wake that comes while something else is awaited is not lost. */
	uint64_t before_ns = shard_now_ns(shard);
	fiber_sleep(shard, 5 * NS_PER_MS);
	ensure(shard_now_ns(shard) - before_ns >= 5 * NS_PER_MS);
	ensure(meeting->stage == 3);
	fiber_wait(shard);
	free(meeting);
	machine_exit(shard, 0);
}

static void meeting_second(struct shard *shard, void *argument)
{
	struct meeting *meeting = argument;

	while (meeting->stage != 1)
		fiber_yield(shard);
	meeting->stage = 2;
	fiber_wake(shard, meeting->waiting);
	fiber_yield(shard);
	fiber_yield(shard);
	meeting->stage = 3;
	fiber_wake(shard, meeting->waiting);
}

/* Two fibers: one waits, the other wakes it, once while it waits and once before. */
void fibers_wait_and_wake(struct shard *shard, void *argument)
{
	struct meeting *meeting = calloc(1, sizeof(*meeting));

	ensure(!fiber_current(shard));
	ensure(fiber_start(shard, meeting_first, meeting) == 0);
	ensure(fiber_start(shard, meeting_second, meeting) == 0);
	ensure(meeting->stage == 0);
}

struct crowd {
	unsigned started, ended;
};

/* Touches a good part of the stack, and finds it untouched after others ran. */
static void crowd_member(struct shard *shard, void *argument)
{
	struct crowd *crowd = argument;
	volatile uint8_t own[64 * 1024];
	uint8_t mark = (uint8_t)++crowd->started;

	for (unsigned i = 0; i < sizeof(own); i++)
		own[i] = (uint8_t)(mark + i);
	fiber_yield(shard);
	fiber_sleep(shard, NS_PER_MS * (mark % 3));
	for (unsigned i = 0; i < sizeof(own); i++)
		ensure(own[i] == (uint8_t)(mark + i));
	if (++crowd->ended < 100) {
		if (crowd->started < 100)
			ensure(fiber_start(shard, crowd_member, crowd) == 0);
		return;
	}
	free(crowd);
	machine_exit(shard, 0);
}

/* A hundred fibers, fifty at a time: each has a stack of its own, also on one that was used before.
 */
void fibers_many(struct shard *shard, void *argument)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));

	for (unsigned i = 0; i < 50; i++)
		ensure(fiber_start(shard, crowd_member, crowd) == 0);
}
