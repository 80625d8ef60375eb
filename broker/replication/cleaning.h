/*
 * Compaction as the settings want it (log.cleaner.*), and what the operator hears of it. Which log is compacted
 * when is decided in storage (log_cleaner.c), for each shard its own.
 */
#pragma once

#include "broker/state.h"

/* As shard->config says from now on. */
void cleaning_set(struct broker_shard *shard);
