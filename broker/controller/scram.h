/*
 * SCRAM credentials (RFC 5802) as `format --add-scram` is given them: from
 * SCRAM-SHA-256=[name=alice,password=secret] to the record that holds what a broker needs to check
 * a client, but not the password (Kafka: ScramParser).
 */
#pragma once

#include "broker/metadata/record.h"

enum scram_mechanism { SCRAM_SHA_256 = 1, SCRAM_SHA_512 = 2 };

/*
 * Fills RECORD, whose contents lie in ARENA or in TEXT. SALT_ENTROPY gives the salt when TEXT has
 * none. -EINVAL with the reason in *RET_WHY (in ARENA); -ENOMEM.
 */
int scram_parse(struct str text, const uint8_t salt_entropy[32], struct arena *arena,
	struct user_scram_credential_record *record, const char **ret_why);
