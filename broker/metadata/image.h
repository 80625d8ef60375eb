/*
 * The metadata image: what one gets by applying the records of `__cluster_metadata` in order, and
 * nothing else. One immutable value that shares its structure with the versions before and after
 * it, so an update costs as much as the change; counted by references with atomic counters, so
 * every shard holds the version it was told of and lets go of it when it gets the next.
 *
 * Everything in it is kept as the record that a snapshot would hold: a partition is a
 * PartitionRecord with all changes merged in, a broker a RegisterBrokerRecord, a setting a
 * ConfigRecord. Accessors answer with views that live as long as the image is held.
 *
 *	struct image *image = image_new();
 *	error = image_apply(&image, &record, offset, &why);
 *	const struct image_topic *topic = image_topic_by_name(image, STR("orders"));
 *	const struct partition_record *partition = image_partition(topic, 3);
 */
#pragma once

#include "broker/metadata/feature.h"
#include "broker/metadata/record.h"
#include "runtime/persistent_map.h"

struct image;

/* Where in the log an image stands. */
struct image_position {
	int64_t offset;	      /* of the last record in it; -1 for the empty image */
	int32_t epoch;	      /* of that record's batch; -1 */
	int64_t timestamp_ms; /* of that batch; -1 */
};

/* ---- life ---- */

/* The empty image, one reference. */
struct image *image_new(void);
/* From any shard. NULL is allowed in unref. */
struct image *image_ref(struct image *image);
void image_unref(struct image *image);

/*
 * Replaces *IMAGE, one reference of which is the caller's, by the version with RECORD applied,
 * which stands at OFFSET of the log (-1: it comes from a snapshot). Others that hold the old
 * version keep it. 0, or -EBADMSG when the record does not fit the image (a change of a partition
 * that is not there), with the reason in *RET_WHY (static text); *IMAGE is then as it was. Records
 * that delimit transactions, and NoOp, change nothing here: see loader.h.
 */
int image_apply(struct image **image, const struct metadata_record *record, int64_t offset,
	const char **ret_why);
void image_position_set(struct image **image, struct image_position position);
/* kraft.version stands in control records, not in the image's own: the quorum says what it is. */
void image_kraft_version_set(struct image **image, int16_t level);

/*
 * The records that make this image out of the empty one, in the order and the versions in which
 * Kafka writes a snapshot at this metadata.version. What that version cannot say is left out, as in
 * Kafka; *RET_LOST (may be NULL) counts the records that lost something. EMIT is called with each
 * record in turn; a negative answer stops the walk and is returned.
 */
int image_to_records(const struct image *image,
	int (*emit)(const struct metadata_record *record, void *argument), void *argument,
	uint32_t *ret_lost);

/* ---- reading ---- */

struct image_position image_position(const struct image *image);
/* Grows with every version that is published: the offset of the last record. */
static inline int64_t image_version(const struct image *image)
{
	return image_position(image).offset;
}

/* 0 when no record has set it: an empty log. */
int16_t image_metadata_version(const struct image *image);
/* The finalized level of any feature, metadata.version and kraft.version too; 0 when it is not
 * finalized. */
int16_t image_feature_level(const struct image *image, struct str name);
bool image_elr_is_enabled(const struct image *image);

/* Brokers in order of id. A registration stays until it is removed; see fenced and
 * in_controlled_shutdown. */
const struct register_broker_record *image_broker(const struct image *image, int32_t broker_id);
bool image_broker_is_active(const struct image *image, int32_t broker_id);
uint32_t image_broker_count(const struct image *image);
const struct register_broker_record *image_broker_at(const struct image *image, uint32_t index);
/* Where the broker's RegisterBrokerRecord stood in the log: it has caught up when it read past it.
 * -1 when unknown (the image came from a snapshot). */
int64_t image_broker_registration_offset(const struct image *image, int32_t broker_id);
const struct register_controller_record *image_controller(
	const struct image *image, int32_t controller_id);
uint32_t image_controller_count(const struct image *image);
const struct register_controller_record *image_controller_at(
	const struct image *image, uint32_t index);

struct image_topic {
	uint32_t references;	    /* private */
	struct image_entry *record; /* private: the TopicRecord */
	struct str name;
	struct uuid id;
	struct persistent_map partitions; /* private: see image_partition */
};

/* NULL when there is none. */
const struct image_topic *image_topic_by_name(const struct image *image, struct str name);
const struct image_topic *image_topic_by_id(const struct image *image, const struct uuid *id);
uint32_t image_topic_count(const struct image *image);
uint32_t image_partition_count_all(const struct image *image);
/* The topic at INDEX in order of name, from 0; NULL behind the last. */
const struct image_topic *image_topic_at(const struct image *image, uint32_t index);
/* The first topic whose name is at or after NAME: for pages of answers that are sorted by name. */
const struct image_topic *image_topic_from(const struct image *image, struct str name);
/* The topic after TOPIC in order of name. */
const struct image_topic *image_topic_next(
	const struct image *image, const struct image_topic *topic);
/* A topic whose name is another's but for dots in place of underscores; NULL when there is none. */
const struct image_topic *image_topic_colliding(const struct image *image, struct str name);

/* Calls CHANGED for every topic that is not the same in both images: made (BEFORE NULL), deleted
 * (AFTER NULL), or with another partition state. BEFORE may be NULL as a whole: the empty image.
 * Costs as much as the difference. */
void image_topics_diff(const struct image *before, const struct image *after,
	void (*changed)(void *argument, const struct image_topic *topic_before,
		const struct image_topic *topic_after),
	void *argument);
/* The same for settings: calls CHANGED for every resource of TYPE (IMAGE_CONFIG_...) that has others in AFTER than
 * in BEFORE, once. */
void image_configs_diff(const struct image *before, const struct image *after, int8_t type,
	void (*changed)(void *argument, struct str resource), void *argument);

uint32_t image_partition_count(const struct image_topic *topic);
/* NULL when there is no such partition. */
const struct partition_record *image_partition(const struct image_topic *topic, int32_t partition);
/* The partition at INDEX in order of number, from 0; NULL behind the last. */
const struct partition_record *image_partition_at(const struct image_topic *topic, uint32_t index);
static inline bool partition_has_replica(
	const struct partition_record *partition, int32_t broker_id)
{
	for (int32_t i = 0; i < partition->replicas_count; i++)
		if (partition->replicas[i] == broker_id)
			return true;
	return false;
}
/* The directory of a broker's replica; zero when it has none here. */
struct uuid partition_directory_of(const struct partition_record *partition, int32_t broker_id);

/* Settings. TYPE as in ConfigResource (2 topic, 4 broker, …); the cluster's default for brokers has
 * the name "". */
enum { IMAGE_CONFIG_TOPIC = 2, IMAGE_CONFIG_BROKER = 4 };
/* The value, null when it is not set. */
struct str image_config(
	const struct image *image, int8_t type, struct str resource, struct str name);
/* The settings of one resource in order of name: NULL as PREVIOUS begins, NULL as answer ends. */
const struct config_record *image_config_next(const struct image *image, int8_t type,
	struct str resource, const struct config_record *previous);
/* All settings in order of type, resource, name. */
const struct config_record *image_config_at(const struct image *image, uint32_t index);

/* The first producer id of the next block; 0 when none was ever given. */
int64_t image_next_producer_id(const struct image *image);

/* In order of entity and key, id, mechanism and name, token id. NULL behind the last. */
const struct client_quota_record *image_quota_at(const struct image *image, uint32_t index);
const struct access_control_entry_record *image_acl_at(const struct image *image, uint32_t index);
const struct user_scram_credential_record *image_scram_credential(
	const struct image *image, int8_t mechanism, struct str user);
const struct user_scram_credential_record *image_scram_credential_at(
	const struct image *image, uint32_t index);
const struct delegation_token_record *image_token(const struct image *image, struct str token_id);
const struct delegation_token_record *image_token_at(const struct image *image, uint32_t index);
