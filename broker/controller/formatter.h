/*
 * What `barnabas format` writes into empty log directories: meta.properties, bootstrap.checkpoint
 * with the features that the cluster begins with, and for a dynamic quorum its voters as a first
 * snapshot of the metadata log (Kafka: StorageTool, Formatter). A directory counts as formatted
 * when its meta.properties is there, so that is written last.
 */
#pragma once

#include "broker/config/config.h"
#include "runtime/fiber.h"

enum { FORMAT_LIST_MAX = 64 };

struct format_options {
	const struct config *config;
	struct str cluster_id;
	bool standalone, no_initial_controllers, ignore_formatted;
	struct str initial_controllers;	      /* id@host:port:directory,…; null: none */
	struct str release_version;	      /* null: the newest */
	struct str features[FORMAT_LIST_MAX]; /* name=level */
	int feature_count;
	struct str scram[FORMAT_LIST_MAX]; /* MECHANISM=[…] */
	int scram_count;
	/*
	 * Where the quorum is static, the metadata directory's meta.properties has its name on return, but
	 * perhaps not yet on the disk: whoever opens the new log syncs the directory with its first durable
	 * append, and tells nobody of the cluster before. A power cut in between leaves a directory that
	 * is formatted again, and a log that goes with any meta.properties.
	 */
	bool opens_at_once;
	/* Each line that tells what was done; NULL: silent. */
	void (*print)(void *argument, const char *line);
	void *argument;
};

/* (fiber) 0; -EINVAL: what was asked for can't be; -EEXIST: a directory is formatted already;
 * -ENOMEM; the errno of a file. *RET_WHY (in ARENA) for the operator. */
int formatter_run(struct shard *shard, const struct format_options *options, struct arena *arena,
	const char **ret_why);
