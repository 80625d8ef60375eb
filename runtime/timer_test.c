#include <criterion/criterion.h>
#include <stdlib.h>

#include "runtime/machine_ops.h"

enum { TIMERS = 300, ROUNDS = 20000 };

static struct timer timers[TIMERS];
static bool is_set[TIMERS];
static uint64_t deadlines[TIMERS], orders[TIMERS], order;
static int fired;

static void note(struct shard *shard, struct timer *timer)
{
	fired = (int)(timer - timers);
}

/* The timer that a plain search finds to be the earliest, -1 when none is set. */
static int earliest(void)
{
	int first = -1;

	for (int i = 0; i < TIMERS; i++)
		if (is_set[i] &&
			(first < 0 || deadlines[i] < deadlines[first] ||
				(deadlines[i] == deadlines[first] && orders[i] < orders[first])))
			first = i;
	return first;
}

/* Sets, moves, stops and fires at random, beside a plain array that is searched: after each step
 * both have the same next deadline, and whenever one fires it is the one that the search finds. */
Test(timer, the_heap_agrees_with_a_search)
{
	struct shard shard;

	shard_init(&shard, NULL, NULL, 0, 1);
	srand(7);
	for (int i = 0; i < TIMERS; i++)
		timers[i].fire = note;
	for (int round = 0; round < ROUNDS; round++) {
		int i = rand() % TIMERS, first;

		switch (rand() % 5) {
		case 0:
			timer_stop(&shard, &timers[i]);
			is_set[i] = false;
			break;
		case 1:
			first = earliest();
			if (first < 0)
				break;
			shard.now_ns = deadlines[first] - 1;
			cr_assert_not(shard_timer_step(&shard));
			shard.now_ns++;
			cr_assert(shard_timer_step(&shard));
			cr_assert_eq(fired, first);
			is_set[first] = false;
			break;
		default:
			deadlines[i] = 1 + (uint64_t)(rand() % 1000);
			orders[i] = order++;
			timer_set(&shard, &timers[i], deadlines[i]);
			is_set[i] = true;
		}
		first = earliest();
		cr_assert_eq(
			shard_next_deadline_ns(&shard), first < 0 ? UINT64_MAX : deadlines[first]);
		cr_assert_eq(timer_is_set(&timers[i]), is_set[i]);
	}
	shard_done(&shard);
}
