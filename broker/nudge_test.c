#include "broker/nudge.h"

#include <criterion/criterion.h>

#include "runtime/fiber.h"
#include "runtime/simulated/world.h"

/* Shard 1 of a simulated process tells shard 0. A step is not left by a jump: ensure ends the process. */
static struct {
	struct nudge nudge;
	struct task tell;
	int told, heard;
	bool tells_again; /* as soon as it is heard */
} run;

static void heard(struct shard *shard, struct nudge *nudge)
{
	ensure(shard_index(shard) == 0 && nudge == &run.nudge);
	run.heard++;
	if (run.tells_again) {
		run.tells_again = false;
		nudge_send(&run.nudge, shard, 0, heard);
	}
}

static void tell(struct shard *shard, struct task *task)
{
	int before = run.heard;

	for (int i = 0; i < 5; i++)
		nudge_send(&run.nudge, shard, 0, heard);
	ensure(run.heard == before);
	run.told++;
}

/* How often it is heard of what shard 1 tells five times in a step. */
static int tell_and_count(struct shard *shard)
{
	int told = run.told, before = run.heard;

	run.tell.run = tell;
	shard_send(shard, 1, &run.tell);
	while (run.told == told || run.heard == before)
		fiber_sleep(shard, NS_PER_MS);
	fiber_sleep(shard, NS_PER_MS);
	return run.heard - before;
}

static void program_fiber(struct shard *shard, void *argument)
{
	ensure(tell_and_count(shard) == 1);
	ensure(tell_and_count(shard) == 1);
	/* What is told while it is heard is news. */
	run.tells_again = true;
	ensure(tell_and_count(shard) == 2);
	machine_exit(shard, 0);
}

static void program_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, program_fiber, argument) == 0);
}

Test(nudge, is_heard_once_of_what_was_told_before_and_again_of_what_comes_after)
{
	struct world *world = world_new(&(struct world_options){.seed = 1});
	struct host *host = world_host_new(world, "a", "10.0.0.1");
	struct program program = {.start = program_start};

	host_start(host, 2, &program);
	while (host_is_running(host))
		cr_assert(world_step(world));
	cr_assert_eq(host_exit_status(host), 0);
	world_free(world);
}
