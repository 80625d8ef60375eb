/* Runs a case of the common contract on a linux machine of its own, in a folder of its own. */
#pragma once

#include "runtime/contract.h"

/* The program's status; DIRTY_LIMIT_BYTES as in linux_machine_options. */
int linux_contract_run(const struct contract_case *run, uint64_t dirty_limit_bytes);
