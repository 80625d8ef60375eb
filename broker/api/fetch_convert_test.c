/*
 * When a conversion for an old consumer waits for memory, and when it does not: each test runs one on
 * a shard of the simulated machine, beside others who hold the memory limit. The linker gives this
 * file's file_read and config_int (--wrap): every read fails, so that a conversion ends where it
 * begins, and the test sees that it began.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "broker/api/fetch_internal.h"
#include "broker/memory_limit.h"
#include "broker/state.h"
#include "runtime/fiber.h"
#include "runtime/simulated/world.h"

enum { LIMIT_BYTES = 8 << 20, LARGE_BYTES = 1 << 20, SMALL_BYTES = 10000, PARTS = 2 };

static struct {
	void (*scenario)(struct shard *shard);
	struct broker broker;
	struct broker_shard here;
	struct request request;
	struct fetch fetch;
	struct fetch_want want;
	struct fetch_part parts[PARTS];
	unsigned reads, converted;
	struct buffer_budget *charged; /* to which, as it was read */
	size_t charged_bytes;
} run;

void __wrap_file_read(struct shard *shard, struct file_op *op, struct file *file, void *buffer,
	size_t size, uint64_t offset);
int32_t __wrap_config_int(const struct config *config, enum setting_id id);

struct failed_read {
	struct task task;
	struct file_op *op;
};

static void read_fails(struct shard *shard, struct task *task)
{
	struct failed_read *failed = container_of(task, struct failed_read, task);
	struct file_op *op = failed->op;

	free(failed);
	op->result = -EIO;
	op->done(shard, op);
}

void __wrap_file_read(struct shard *shard, struct file_op *op, struct file *file, void *buffer,
	size_t size, uint64_t offset)
{
	struct failed_read *failed = malloc(sizeof(*failed));

	run.reads++;
	run.charged = run.request.arena.budget;
	run.charged_bytes = request_charged_bytes(&run.request);
	ensure(failed && run.charged_bytes >= 2 * size);
	*failed = (struct failed_read){.task.run = read_fails, .op = op};
	shard_post(shard, &failed->task);
}

int32_t __wrap_config_int(const struct config *config, enum setting_id id)
{
	ensure(id == SETTING_FETCH_MAX_BYTES);
	return 50 << 20;
}

static void converted(struct request *request)
{
	run.converted++;
}

/* Begins to convert what was read of two partitions, SIZE bytes of each. */
static void convert(struct shard *shard, size_t size)
{
	run.request = (struct request){.home = &run.here, .shard = &run.here, .version = 2};
	arena_init(&run.request.arena, 16 << 20);
	arena_charge_to(&run.request.arena, run.broker.budget, 8192);
	run.request.frame = buffer_new(shard, run.broker.budget, 1000);
	ensure(run.request.frame);
	run.fetch = (struct fetch){.request = &run.request,
		.shard = &run.here,
		.parts = run.parts,
		.part_count = PARTS};
	run.request.context = &run.fetch;
	for (unsigned i = 0; i < PARTS; i++)
		run.parts[i] = (struct fetch_part){.fetch = &run.fetch,
			.want = &run.want,
			.piece = {.size = size},
			.first_batch_size = (uint32_t)size};
}

static void begin(struct shard *shard)
{
	fetch_convert(&run.request, converted);
	fiber_sleep(shard, NS_PER_MS);
}

/* It has ended, and both parts have the error of their read. */
static bool both_were_read(void)
{
	for (unsigned i = 0; i < PARTS; i++)
		if (run.parts[i].error != KAFKA_KAFKA_STORAGE_ERROR)
			return false;
	return run.converted == 1 && run.reads == PARTS;
}

static void scenario_fiber(struct shard *shard, void *argument)
{
	run.scenario(shard);
	ensure(run.here.waiting_for_memory == 0);
	arena_discharge(&run.request.arena, shard);
	request_discharge(&run.request, run.request.beside_bytes);
	arena_done(&run.request.arena);
	buffer_unref(shard, run.request.frame);
	timer_stop(shard, &run.here.pressure);
	memory_limit_done(&run.broker); /* and nothing is charged any more */
	machine_exit(shard, 0);
}

static void scenario_start(struct shard *shard, void *argument)
{
	run.broker = (struct broker){.shard_count = 1, .shards = &run.here};
	run.here = (struct broker_shard){.shard = shard, .broker = &run.broker};
	list_init(&run.here.connections);
	shard_context_set(shard, &run.here);
	ensure(memory_limit_init(&run.broker, LIMIT_BYTES) == 0);
	ensure(fiber_start(shard, scenario_fiber, argument) == 0);
}

static void scenario_run(void (*scenario)(struct shard *shard))
{
	struct world *world = world_new(&(struct world_options){.seed = 1});
	struct host *host = world_host_new(world, "a", "10.0.0.1");
	struct program program = {.start = scenario_start};

	memset(&run, 0, sizeof(run));
	run.scenario = scenario;
	host_start(host, 1, &program);
	while (host_is_running(host))
		cr_assert(world_step(world));
	cr_assert_eq(host_exit_status(host), 0);
	world_free(world);
}

static void waits_for_others(struct shard *shard)
{
	struct buffer_budget *common = run.broker.budget;
	size_t others = buffer_budget_limit(common) + 1;

	convert(shard, LARGE_BYTES);
	buffer_budget_charge(common, others);
	begin(shard);
	ensure(run.reads == 0 && run.converted == 0 && run.here.waiting_for_memory == 1);
	buffer_budget_discharge(shard, common, others);
	fiber_sleep(shard, NS_PER_MS);
	ensure(both_were_read() && run.charged == common);
}

Test(fetch_convert, waits_until_others_give_memory_back)
{
	scenario_run(waits_for_others);
}

static void gives_up(struct shard *shard)
{
	struct buffer_budget *common = run.broker.budget;
	size_t others = buffer_budget_limit(common) + 1;

	convert(shard, LARGE_BYTES);
	buffer_budget_charge(common, others);
	begin(shard);
	fiber_sleep(shard, 400 * NS_PER_MS);
	ensure(run.converted == 0);
	fiber_sleep(shard, 200 * NS_PER_MS);
	ensure(run.converted == 1 && run.reads == 0);
	for (unsigned i = 0; i < PARTS; i++)
		ensure(run.parts[i].piece.size == 0 && !run.parts[i].error);
	buffer_budget_discharge(shard, common, others);
}

Test(fetch_convert, leaves_out_what_it_has_waited_for_in_vain)
{
	scenario_run(gives_up);
}

static void holds_it_itself(struct shard *shard)
{
	convert(shard, LARGE_BYTES);
	request_charge(&run.request, LIMIT_BYTES);
	ensure(buffer_budget_is_over(run.broker.budget));
	begin(shard);
	ensure(both_were_read());
}

Test(fetch_convert, does_not_wait_for_what_its_own_request_holds)
{
	scenario_run(holds_it_itself);
}

static void small_at_the_limit(struct shard *shard)
{
	struct buffer_budget *common = run.broker.budget;
	size_t others = buffer_budget_limit(common) + 1;

	convert(shard, SMALL_BYTES);
	buffer_budget_charge(common, others);
	begin(shard);
	ensure(both_were_read() && run.charged == run.broker.reserve);
	ensure(buffer_budget_used(run.broker.reserve) == request_charged_bytes(&run.request));
	buffer_budget_discharge(shard, common, others);
}

Test(fetch_convert, takes_of_the_reserve_when_it_is_small)
{
	scenario_run(small_at_the_limit);
}

static void large_from_the_reserve(struct shard *shard)
{
	struct buffer_budget *common = run.broker.budget, *reserve = run.broker.reserve;
	size_t others = buffer_budget_limit(common) + 1;

	convert(shard, LARGE_BYTES);
	request_charge_to(&run.request, reserve);
	request_charge(&run.request, 20000);
	ensure(buffer_budget_used(reserve) == 20000);
	buffer_budget_charge(common, others);
	begin(shard);
	ensure(run.reads == 0 && buffer_budget_used(reserve) == 0);
	buffer_budget_discharge(shard, common, others);
	fiber_sleep(shard, NS_PER_MS);
	ensure(both_were_read() && run.charged == common);
}

Test(fetch_convert, leaves_the_reserve_when_it_is_large)
{
	scenario_run(large_from_the_reserve);
}
