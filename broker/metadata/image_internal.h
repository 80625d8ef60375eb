/* What the files of the image share: its entries, its maps, and how their keys compare. */
#pragma once

#include "broker/metadata/image.h"

/* A record of a snapshot: this header, then the generated struct, in one block of schema_copy(). */
struct image_entry {
	uint32_t references; /* atomic */
	int16_t type;	     /* enum cluster_metadata_record */
	int16_t padding[5];
	int64_t offset; /* of the record in the log, for brokers; -1 when unknown */
	int64_t padding_2;
};
_Static_assert(sizeof(struct image_entry) % 16 == 0, "the message behind it is aligned");

static inline const void *entry_message(const struct image_entry *entry)
{
	return entry + 1;
}

static inline void *entry_message_mutable(struct image_entry *entry)
{
	return entry + 1;
}

/* Copies *FROM from member FIRST on. The count before it stays out: other shards change it
 * meanwhile. */
#define IMAGE_COPY(to, from, first)                                                                \
	memcpy(&(to)->first, &(from)->first, sizeof(*(to)) - offsetof(__typeof__(*(to)), first))

struct image {
	uint32_t references; /* atomic */
	struct image_position position;
	int16_t metadata_version; /* 0: none yet */
	int16_t kraft_version;
	int8_t zk_migration_state;	/* of the last ZkMigrationStateRecord; 0: none */
	int64_t next_producer_id;	/* 0: none yet */
	uint32_t partition_count;	/* of all topics */
	struct persistent_map features; /* entries of FeatureLevelRecord, but metadata.version */
	struct persistent_map brokers, controllers;
	struct persistent_map topics;	   /* struct image_topic by id */
	struct persistent_map topic_names; /* entries of TopicRecord by name */
	struct persistent_map
		unified_names; /* the same by name with dots for underscores, then by name */
	struct persistent_map configs, quotas, acls, scram_credentials, tokens;
};

extern const struct persistent_map_type feature_map_type, broker_map_type, controller_map_type,
	topic_map_type, topic_name_map_type, unified_name_map_type, partition_map_type,
	config_map_type, quota_map_type, acl_map_type, scram_map_type, token_map_type;

/* The key of a setting, a quota and a SCRAM credential is a record that has the key's fields. */

/* A copy of a decoded record's message, one reference. */
struct image_entry *entry_new(int type, const void *message);
void entry_unref(void *object);

/* *IMAGE itself when nobody else holds it, else a copy of its top that takes its place. */
struct image *image_own(struct image **image);
