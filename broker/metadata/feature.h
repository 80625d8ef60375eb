/*
 * Features and their levels as Kafka finalizes them (KIP-584, KIP-1022): which there are, what a
 * level needs, with which release each became the default, and what the level of metadata.version
 * decides: the version in which every record is written.
 */
#pragma once

#include "runtime/bytes.h"

/* The levels of metadata.version that something depends on. */
enum metadata_version {
	METADATA_VERSION_MIN = 7,      /* 3.3-IV3 */
	METADATA_VERSION_3_4_IV0 = 8,  /* migration from ZooKeeper */
	METADATA_VERSION_3_5_IV2 = 11, /* SCRAM */
	METADATA_VERSION_3_6_IV0 = 12, /* no leader epoch bump when the ISR shrinks */
	METADATA_VERSION_3_6_IV1 = 13, /* transactions in the metadata log */
	METADATA_VERSION_3_6_IV2 = 14, /* delegation tokens */
	METADATA_VERSION_3_7_IV0 = 15, /* controller registration */
	METADATA_VERSION_3_7_IV2 = 17, /* replicas have directories */
	METADATA_VERSION_3_9_IV0 = 21, /* dynamic voters */
	METADATA_VERSION_4_0_IV1 = 23, /* eligible leader replicas */
	METADATA_VERSION_4_3_IV0 = 30, /* cordoned directories */
	METADATA_VERSION_LATEST = 30,  /* what a format without more words gives */
	METADATA_VERSION_LATEST_TESTING = 31,
};

struct metadata_version_row {
	int16_t level;
	const char *release;  /* "4.3" */
	const char *name;     /* "4.3-IV0" */
	bool changes_records; /* a downgrade below it might lose something */
};

/* NULL for a level that does not exist. */
const struct metadata_version_row *metadata_version_find(int level);
/* By "4.3-IV0", or by a release "4.3", "4.3.1" (its newest stable level). NULL when there is none.
 */
const struct metadata_version_row *metadata_version_parse(struct str text);
/* All of them from the oldest on. */
extern const struct metadata_version_row metadata_versions[];
extern const int metadata_version_count;
/* Is there a level between the two (TO excluded on the low side) whose records the lower one does
 * not know? */
bool metadata_version_changed_between(int a, int b);

static inline int16_t register_broker_record_version(int level)
{
	return level >= METADATA_VERSION_4_3_IV0   ? 4
	       : level >= METADATA_VERSION_3_7_IV2 ? 3
	       : level >= METADATA_VERSION_3_4_IV0 ? 2
						   : 1;
}

/* Of PartitionRecord and of PartitionChangeRecord. */
static inline int16_t partition_record_version(int level)
{
	return level >= METADATA_VERSION_4_0_IV1 ? 2 : level >= METADATA_VERSION_3_7_IV2 ? 1 : 0;
}

#define FEATURE_METADATA_VERSION    "metadata.version"
#define FEATURE_KRAFT_VERSION	    "kraft.version"
#define FEATURE_ELR_VERSION	    "eligible.leader.replicas.version"
#define FEATURE_GROUP_VERSION	    "group.version"
#define FEATURE_SHARE_VERSION	    "share.version"
#define FEATURE_STREAMS_VERSION	    "streams.version"
#define FEATURE_TRANSACTION_VERSION "transaction.version"

/* One feature but metadata.version: its levels are 0 to MAX. */
struct feature_row {
	const char *name;
	int16_t max_level;
	int16_t default_from[3]; /* by level: the metadata.version from which it is the default; 0:
				    none such */
	int16_t needs_metadata_version[3]; /* by level */
};

/* In order of name. */
#define FEATURE_COUNT 6
extern const struct feature_row feature_table[FEATURE_COUNT];
/* NULL for one that Kafka does not have (and for metadata.version). */
const struct feature_row *feature_find(struct str name);
/* The level that a cluster formatted at METADATA_VERSION begins with. */
int16_t feature_default_level(const struct feature_row *feature, int metadata_version);
