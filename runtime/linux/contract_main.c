/*
 * The contract's cases one after the other in one process, without a test framework around them: so
 * that the leak checker sees the whole life of a machine, and so that it runs under the thread
 * sanitizer, with which criterion does not work.
 */
#include <stdio.h>
#include <string.h>

#include "runtime/linux/contract_run.h"

int main(int argc, char **argv)
{
	for (unsigned i = 0; i < contract_case_count; i++) {
		const struct contract_case *run = &contract_cases[i];

		if (argc > 1 && strcmp(argv[1], run->name) != 0)
			continue;
		ensure(linux_contract_run(run, 0) == 0);
		ensure(linux_contract_run(run, 1) == 0);
		ensure(linux_contract_run(run, 1 << 20) == 0);
		printf("%s\n", run->name);
	}
	return 0;
}
