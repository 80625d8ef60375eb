#include "runtime/contract.h"

#include <stdio.h>

#define CONTRACT_CASE_ROW(case_name, shards) \
	{.name = #case_name, .shard_count = (shards), .start = case_name},
const struct contract_case contract_cases[] = {CONTRACT_CASES(CONTRACT_CASE_ROW)};
#undef CONTRACT_CASE_ROW

const unsigned contract_case_count = array_length(contract_cases);

char *contract_path(const struct contract *contract, const char *name)
{
	char *path = NULL;

	ensure(asprintf(&path, "%s/%s", contract->folder, name) > 0);
	return path;
}
