/*
 * .kafka_cleanshutdown: left in every log directory by a clean stop, taken away before the logs are
 * loaded, so that it never stands beside logs that were not closed. It tells the broker epoch of
 * the run that stopped cleanly: with it the controller knows that the replicas here lost nothing
 * (Kafka: CleanShutdownFileHandler).
 */
#pragma once

#include "runtime/bytes.h"

#define CLEAN_SHUTDOWN_FILE_NAME  ".kafka_cleanshutdown"
#define CLEAN_SHUTDOWN_FILE_LIMIT 4096
#define CLEAN_SHUTDOWN_TEXT_SIZE  64

/* Fills TEXT, NUL-terminated. */
void clean_shutdown_format(int64_t broker_epoch, char text[CLEAN_SHUTDOWN_TEXT_SIZE]);
/* -EBADMSG when it tells no epoch (an old release left an empty file): the stop counts as unclean
 * for the controller, though the logs were closed. */
int clean_shutdown_parse(struct str text, int64_t *ret_broker_epoch);
