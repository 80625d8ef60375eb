#include "runtime/linux/contract_run.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/linux/machine.h"

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	return remove(path);
}

int linux_contract_run(const struct contract_case *run, uint64_t dirty_limit_bytes)
{
	const char *base = getenv("TMPDIR");
	char folder[256];
	struct contract contract = {.folder = folder};
	struct program program = {.start = run->start, .argument = &contract};
	struct linux_machine_options options = {
		.shard_count = run->shard_count, .dirty_limit_bytes = dirty_limit_bytes};

	snprintf(folder, sizeof(folder), "%s/barnabas-contract-XXXXXX", base ? base : "/tmp");
	ensure(mkdtemp(folder));
	ensure(address_parse("127.0.0.1", &contract.address));
	int status = linux_machine_run(&options, &program);
	buffer_budget_free(contract.budget);
	nftw(folder, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
	return status;
}
