/*
 * Formatting: what makes an empty directory one of a Kafka cluster (kafka-storage.sh format).
 */
#pragma once

#include "broker/config/config.h"
#include "runtime/fiber.h"

/* `barnabas format …` and `barnabas random-uuid`: ARGV[0] is the command. Runs a machine of its
 * own; returns the exit status. */
int format_main(int argc, char **argv);

/* (fiber) Formats the directories of an embedded default's configuration with a new cluster id. 0,
 * or a negative errno with *RET_WHY (in ARENA) for the operator; -EEXIST when one of them holds
 * something already. */
int format_embedded(struct shard *shard, const struct config *config, struct arena *arena,
	const char **ret_why);
