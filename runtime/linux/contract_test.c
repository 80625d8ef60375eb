/* The common contract on the real machine: with ordinary options, and with a dirty limit so small
 * that every write goes to disk threads. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "runtime/linux/contract_run.h"

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
	cr_assert_eq(linux_contract_run(&contract_cases[*index], 0), 0, "%s",
		contract_cases[*index].name);
}

ParameterizedTestParameters(linux_contract, holds_when_every_write_waits)
{
	return indexes_make();
}

ParameterizedTest(unsigned *index, linux_contract, holds_when_every_write_waits, .timeout = 60)
{
	cr_assert_eq(linux_contract_run(&contract_cases[*index], 1), 0, "%s",
		contract_cases[*index].name);
}

ParameterizedTestParameters(linux_contract, holds_when_some_writes_wait)
{
	return indexes_make();
}

ParameterizedTest(unsigned *index, linux_contract, holds_when_some_writes_wait, .timeout = 60)
{
	cr_assert_eq(linux_contract_run(&contract_cases[*index], 1 << 20), 0, "%s",
		contract_cases[*index].name);
}
