/*
 * partition.metadata: which topic, by id, a partition's folder belongs to. It must be durable
 * before any record in the folder is, since a folder whose topic id is not in the metadata is renamed
 * away at the next start: see log_names_sync.
 */
#pragma once

#include "runtime/uuid.h"

#define PARTITION_METADATA_FILE_NAME  "partition.metadata"
#define PARTITION_METADATA_FILE_LIMIT 4096
#define PARTITION_METADATA_TEXT_SIZE  (sizeof("version: 0\ntopic_id: ") - 1 + UUID_TEXT_SIZE)

/* Fills TEXT (no line end behind the id, as Kafka writes it) and a NUL. */
void partition_metadata_format(
	const struct uuid *topic_id, char text[PARTITION_METADATA_TEXT_SIZE + 1]);
/* -EPROTONOSUPPORT: another version than 0; -EBADMSG: malformed, or the id of no topic. */
int partition_metadata_parse(struct str text, struct uuid *ret_topic_id);
