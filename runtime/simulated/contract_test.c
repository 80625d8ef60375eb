/* The common contract on the simulated machine: each case with many seeds, with and without delays.
 */
#include "runtime/contract.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "runtime/simulated/world.h"

enum { SEEDS = 20 };

static bool host_has_ended(void *argument)
{
	return !host_is_running(argument);
}

static void contract_run(const struct contract_case *run, const struct world_options *options)
{
	struct contract contract = {.folder = "/contract"};
	struct program program = {.start = run->start, .argument = &contract};
	struct world *world = world_new(options);
	struct host *host = world_host_new(world, "a", "10.0.0.1");

	cr_assert(address_parse("127.0.0.1", &contract.address));
	cr_assert_eq(host_file_put(host, "/contract/x", "", 0), 0);
	host_file_remove(host, "/contract/x");
	host_start(host, run->shard_count, &program);
	cr_assert(world_run_until(world, host_has_ended, host, 600 * NS_PER_S),
		"%s did not end, seed %lu", run->name, (unsigned long)options->seed);
	cr_assert_eq(
		host_exit_status(host), 0, "%s, seed %lu", run->name, (unsigned long)options->seed);
	world_free(world);
}

ParameterizedTestParameters(contract, simulated)
{
	unsigned *indexes = cr_malloc(contract_case_count * sizeof(*indexes));

	for (unsigned i = 0; i < contract_case_count; i++)
		indexes[i] = i;
	return cr_make_param_array(unsigned, indexes, contract_case_count);
}

ParameterizedTest(unsigned *index, contract, simulated)
{
	const struct contract_case *run = &contract_cases[*index];

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct world_options options = {.seed = seed};

		contract_run(run, &options);
		options.network_delay_max_ns = 2000000;
		options.disk_delay_max_ns = 500000;
		options.network_short_ppm = 200000;
		options.disk_write_out_ppm = 100000;
		options.stall_ppm = 5000;
		options.stall_max_ns = 1000000;
		contract_run(run, &options);
	}
}
