/*
 * Ids as people and files see them: 22 characters of URL-safe base64, as Kafka prints them. The reserved ids that
 * stand for "no directory yet" and the like are here too, since files, records and requests all carry them.
 */
#pragma once

#include "runtime/shard.h"

#define UUID_TEXT_SIZE 22 /* without a NUL */

/* Writes 22 characters and a NUL. */
void uuid_format(const struct uuid *id, char text[UUID_TEXT_SIZE + 1]);
/* 22 characters, or 24 with their padding; -EINVAL for anything else. */
int uuid_parse(struct str text, struct uuid *ret_id);
/* Version 4 out of 16 bytes of entropy; false when they make an id that is reserved or whose text begins with a dash:
 * try again with others. */
bool uuid_from_entropy(const uint8_t entropy[16], struct uuid *ret_id);
static inline struct uuid uuid_random(struct shard *shard)
{
	uint8_t entropy[16];
	struct uuid id;

	do
		shard_entropy(shard, entropy, sizeof(entropy));
	while (!uuid_from_entropy(entropy, &id));
	return id;
}
/* One of the first 100, which have meanings of their own. */
bool uuid_is_reserved(const struct uuid *id);

/* Byte order, as Kafka sorts them: two signed 64-bit halves. Sign of the result as memcmp's. */
int uuid_compare(const struct uuid *a, const struct uuid *b);

#define UUID_ONE                 ((struct uuid){{[15] = 1}}) /* the id of the topic __cluster_metadata */
#define UUID_METADATA_TOPIC      UUID_ONE
/* Where a replica lives, when that is no directory's own id (Kafka's DirectoryId). */
#define UUID_DIRECTORY_MIGRATING UUID_ZERO
#define UUID_DIRECTORY_UNASSIGNED UUID_ONE
#define UUID_DIRECTORY_LOST      ((struct uuid){{[15] = 2}})
