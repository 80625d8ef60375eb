/* The common contract on the real machine: with ordinary options, and with a dirty limit so small
 * that every write goes to disk threads. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/contract.h"
#include "runtime/linux/machine.h"

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	return remove(path);
}

static int contract_run(unsigned index, uint64_t dirty_limit_bytes)
{
	const struct contract_case *run = &contract_cases[index];
	const char *base = getenv("TMPDIR");
	char folder[256];
	struct contract contract = {.folder = folder};
	struct program program = {.start = run->start, .argument = &contract};
	struct linux_machine_options options = {
		.shard_count = run->shard_count, .dirty_limit_bytes = dirty_limit_bytes};

	snprintf(folder, sizeof(folder), "%s/barnabas-contract-XXXXXX", base ? base : "/tmp");
	cr_assert_not_null(mkdtemp(folder));
	cr_assert(address_parse("127.0.0.1", &contract.address));
	int status = linux_machine_run(&options, &program);
	buffer_budget_free(contract.budget);
	nftw(folder, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
	return status;
}

static void indexes_free(struct criterion_test_params *parameters)
{
	cr_free(parameters->params);
}

static struct criterion_test_params indexes_make(void)
{
	unsigned *indexes = cr_malloc(contract_case_count * sizeof(*indexes));

	for (unsigned i = 0; i < contract_case_count; i++)
		indexes[i] = i;
	return cr_make_param_array(unsigned, indexes, contract_case_count, indexes_free);
}

ParameterizedTestParameters(linux_contract, holds)
{
	return indexes_make();
}

ParameterizedTest(unsigned *index, linux_contract, holds, .timeout = 60)
{
	cr_assert_eq(contract_run(*index, 0), 0, "%s", contract_cases[*index].name);
}

ParameterizedTestParameters(linux_contract, holds_when_every_write_waits)
{
	return indexes_make();
}

ParameterizedTest(unsigned *index, linux_contract, holds_when_every_write_waits, .timeout = 60)
{
	cr_assert_eq(contract_run(*index, 1), 0, "%s", contract_cases[*index].name);
}
