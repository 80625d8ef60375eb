/* Kafka's error codes, all of them from protocol/errors.tbl. Inside the house errors are negative
 * ints; these go on the wire. */
#pragma once

#include "runtime/bytes.h"

enum kafka_error {
#define ERROR(code, name, retriable, message) KAFKA_##name = (code),
#include "protocol/errors.tbl"
#undef ERROR
};

/* Kafka's name, as NOT_LEADER_OR_FOLLOWER; "UNKNOWN_ERROR_CODE" for a code that is not in the
 * table. */
const char *kafka_error_name(int code);
/* One sentence; that of UNKNOWN_SERVER_ERROR for a code that is not in the table. */
struct str kafka_error_message(int code);
/* False for a code that is not in the table. */
bool kafka_error_is_retriable(int code);
bool kafka_error_is_known(int code);
