/*
 * The image as the records of a snapshot, in Kafka's order (MetadataImage.write): features, brokers
 * and controllers, topics with their partitions, settings, quotas, producer ids, access control,
 * SCRAM, delegation tokens. The finalized metadata.version says in which version each is written,
 * and what it has no place for.
 */
#include "broker/metadata/image_internal.h"

struct walk {
	const struct image *image;
	int (*emit)(const struct metadata_record *record, void *argument);
	void *argument;
	int level; /* of metadata.version */
	uint32_t lost;
};

static int emit(struct walk *walk, int type, int version, const void *message)
{
	struct metadata_record record = {
		.type = (int16_t)type, .version = (int16_t)version, .message = message};

	return walk->emit(&record, walk->argument);
}

/* All entries of a map whose records have had no second version. */
static int emit_plain(struct walk *walk, struct persistent_map map)
{
	persistent_map_for_each (struct image_entry, entry, map) {
		int error = emit(walk, entry->type, 0, entry_message(entry));

		if (error < 0)
			return error;
	}
	return 0;
}

static int emit_features(struct walk *walk)
{
	struct feature_level_record record;
	struct zk_migration_state_record migration;
	int error;

	/* metadata.version comes first: it decides how what follows is read. */
	schema_init(&feature_level_record_schema, &record);
	record.name = STR(FEATURE_METADATA_VERSION);
	record.feature_level = (int16_t)walk->level;
	error = emit(walk, CLUSTER_METADATA_FEATURE_LEVEL, 0, &record);
	if (error < 0)
		return error;
	error = emit_plain(walk, walk->image->features);
	if (error < 0 || walk->image->zk_migration_state == 0 ||
		walk->level < METADATA_VERSION_3_4_IV0)
		return error;
	/* Written by releases up to 3.9; later ones skip it when they read it. */
	schema_init(&zk_migration_state_record_schema, &migration);
	migration.zk_migration_state = walk->image->zk_migration_state;
	return emit(walk, CLUSTER_METADATA_ZK_MIGRATION_STATE, 0, &migration);
}

static int emit_brokers(struct walk *walk)
{
	int version = register_broker_record_version(walk->level);

	persistent_map_for_each (struct image_entry, entry, walk->image->brokers) {
		struct register_broker_record broker =
			*(const struct register_broker_record *)entry_message(entry);
		bool lost = false;
		int error;

		if (version < 2 && broker.is_migrating_zk_broker) {
			broker.is_migrating_zk_broker = false;
			lost = true;
		}
		if (version < 3 && broker.log_dirs_count > 0) {
			broker.log_dirs_count = 0;
			lost = true;
		}
		if (version < 4 && broker.cordoned_log_dirs_count >= 0) {
			broker.cordoned_log_dirs_count = -1;
			lost = true;
		}
		walk->lost += lost;
		error = emit(walk, CLUSTER_METADATA_REGISTER_BROKER, version, &broker);
		if (error < 0)
			return error;
	}
	return 0;
}

static int emit_partition(struct walk *walk, const struct partition_record *stored)
{
	struct partition_record partition = *stored;
	int version = partition_record_version(walk->level);
	bool elr = version >= 2 && image_elr_is_enabled(walk->image);

	if (version < 1) {
		for (int32_t i = 0; i < partition.directories_count; i++)
			if (!uuid_is_zero(&partition.directories[i])) {
				walk->lost++;
				break;
			}
		partition.directories_count = 0;
	}
	if (!elr || partition.eligible_leader_replicas_count == 0)
		partition.eligible_leader_replicas_count = -1;
	if (!elr || partition.last_known_elr_count == 0)
		partition.last_known_elr_count = -1;
	return emit(walk, CLUSTER_METADATA_PARTITION, version, &partition);
}

static int emit_topics(struct walk *walk)
{
	persistent_map_for_each (struct image_topic, topic, walk->image->topics) {
		int error = emit(walk, CLUSTER_METADATA_TOPIC, 0, entry_message(topic->record));

		if (error < 0)
			return error;
		persistent_map_for_each (struct image_entry, partition, topic->partitions) {
			error = emit_partition(walk, entry_message(partition));
			if (error < 0)
				return error;
		}
	}
	return 0;
}

static int emit_producer_ids(struct walk *walk)
{
	struct producer_ids_record record;

	if (walk->image->next_producer_id == 0)
		return 0;
	schema_init(&producer_ids_record_schema, &record);
	record.broker_id = -1;
	record.broker_epoch = -1;
	record.next_producer_id = walk->image->next_producer_id;
	return emit(walk, CLUSTER_METADATA_PRODUCER_IDS, 0, &record);
}

/* MAP's entries when the level has a place for them, else they count as lost. */
static int emit_from_level(struct walk *walk, struct persistent_map map, int level)
{
	if (walk->level >= level)
		return emit_plain(walk, map);
	walk->lost += persistent_map_count(map);
	return 0;
}

int image_to_records(const struct image *image,
	int (*emit_record)(const struct metadata_record *record, void *argument), void *argument,
	uint32_t *ret_lost)
{
	struct walk walk = {.image = image,
		.emit = emit_record,
		.argument = argument,
		.level = image->metadata_version};
	int error;

	if (walk.level == 0)
		return 0; /* the empty image: every log begins with a level */
	if ((error = emit_features(&walk)) < 0 || (error = emit_brokers(&walk)) < 0 ||
		(error = emit_from_level(&walk, image->controllers, METADATA_VERSION_3_7_IV0)) <
			0 ||
		(error = emit_topics(&walk)) < 0 ||
		(error = emit_plain(&walk, image->configs)) < 0 ||
		(error = emit_plain(&walk, image->quotas)) < 0 ||
		(error = emit_producer_ids(&walk)) < 0 ||
		(error = emit_plain(&walk, image->acls)) < 0 ||
		(error = emit_from_level(
			 &walk, image->scram_credentials, METADATA_VERSION_3_5_IV2)) < 0 ||
		(error = emit_from_level(&walk, image->tokens, METADATA_VERSION_3_6_IV2)) < 0)
		return error;
	if (ret_lost)
		*ret_lost = walk.lost;
	return 0;
}
