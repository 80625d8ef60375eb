/* The image's entries and the orders in which its maps keep them. */
#include <stdlib.h>

#include "broker/metadata/image_internal.h"
#include "protocol/copy.h"
#include "runtime/uuid.h"

struct image_entry *entry_new(int type, const void *message)
{
	const struct record_row *row = record_find(RECORD_LOG_CLUSTER_METADATA, type);
	struct image_entry *entry = schema_copy(row->value, message, sizeof(*entry));

	entry->references = 1;
	entry->type = (int16_t)type;
	entry->offset = -1;
	return entry;
}

static void entry_ref(void *object)
{
	__atomic_add_fetch(&((struct image_entry *)object)->references, 1, __ATOMIC_RELAXED);
}

void entry_unref(void *object)
{
	struct image_entry *entry = object;

	if (__atomic_sub_fetch(&entry->references, 1, __ATOMIC_ACQ_REL) == 0)
		free(entry);
}

static int compare_integers(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

/* Kafka sorts strings by UTF-16 units; bytes of UTF-8 give the same order but for characters beyond
 * the basic plane, which the names kept here cannot have or where the order is not visible. */

static const void *feature_key(const void *object)
{
	return &((const struct feature_level_record *)entry_message(object))->name;
}

static int feature_compare(const void *key, const void *object)
{
	return str_compare(*(const struct str *)key, *(const struct str *)feature_key(object));
}

static const void *broker_key(const void *object)
{
	return &((const struct register_broker_record *)entry_message(object))->broker_id;
}

static int broker_compare(const void *key, const void *object)
{
	return compare_integers(*(const int32_t *)key, *(const int32_t *)broker_key(object));
}

static const void *controller_key(const void *object)
{
	return &((const struct register_controller_record *)entry_message(object))->controller_id;
}

static int controller_compare(const void *key, const void *object)
{
	return compare_integers(*(const int32_t *)key, *(const int32_t *)controller_key(object));
}

static const void *topic_key(const void *object)
{
	return &((const struct image_topic *)object)->id;
}

static int topic_compare(const void *key, const void *object)
{
	return uuid_compare(key, topic_key(object));
}

static void topic_ref(void *object)
{
	__atomic_add_fetch(&((struct image_topic *)object)->references, 1, __ATOMIC_RELAXED);
}

static void topic_unref(void *object)
{
	struct image_topic *topic = object;

	if (__atomic_sub_fetch(&topic->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	persistent_map_unref(&partition_map_type, topic->partitions);
	entry_unref(topic->record);
	free(topic);
}

static const void *topic_name_key(const void *object)
{
	return &((const struct topic_record *)entry_message(object))->name;
}

static int topic_name_compare(const void *key, const void *object)
{
	return str_compare(*(const struct str *)key, *(const struct str *)topic_name_key(object));
}

static int unified_name_compare(const void *key, const void *object)
{
	struct str a = *(const struct str *)key, b = *(const struct str *)topic_name_key(object);
	int32_t common = min_of(a.size, b.size);

	for (int32_t i = 0; i < common; i++) {
		unsigned char left = (unsigned char)(a.data[i] == '.' ? '_' : a.data[i]),
			      right = (unsigned char)(b.data[i] == '.' ? '_' : b.data[i]);

		if (left != right)
			return left < right ? -1 : 1;
	}
	return a.size != b.size ? compare_integers(a.size, b.size) : str_compare(a, b);
}

static const void *partition_key(const void *object)
{
	return &((const struct partition_record *)entry_message(object))->partition_id;
}

static int partition_compare(const void *key, const void *object)
{
	return compare_integers(*(const int32_t *)key, *(const int32_t *)partition_key(object));
}

static const void *record_key(const void *object)
{
	return entry_message(object);
}

static int config_compare(const void *key, const void *object)
{
	const struct config_record *a = key, *b = entry_message(object);
	int order = compare_integers(a->resource_type, b->resource_type);

	if (order == 0)
		order = str_compare(a->resource_name, b->resource_name);
	return order != 0 ? order : str_compare(a->name, b->name);
}

/* By entity as it was written (its parts are put into one order when they are stored), then by the
 * key. */
static int quota_compare(const void *key, const void *object)
{
	const struct client_quota_record *a = key, *b = entry_message(object);
	int32_t common = min_of(a->entity_count, b->entity_count);

	for (int32_t i = 0; i < common; i++) {
		int order = str_compare(a->entity[i].entity_type, b->entity[i].entity_type);

		if (order == 0)
			order = str_compare(a->entity[i].entity_name, b->entity[i].entity_name);
		if (order != 0)
			return order;
	}
	if (a->entity_count != b->entity_count)
		return compare_integers(a->entity_count, b->entity_count);
	return str_compare(a->key, b->key);
}

static const void *acl_key(const void *object)
{
	return &((const struct access_control_entry_record *)entry_message(object))->id;
}

static int acl_compare(const void *key, const void *object)
{
	return uuid_compare(key, acl_key(object));
}

static int scram_compare(const void *key, const void *object)
{
	const struct user_scram_credential_record *a = key, *b = entry_message(object);
	int order = compare_integers(a->mechanism, b->mechanism);

	return order != 0 ? order : str_compare(a->name, b->name);
}

static const void *token_key(const void *object)
{
	return &((const struct delegation_token_record *)entry_message(object))->token_id;
}

static int token_compare(const void *key, const void *object)
{
	return str_compare(*(const struct str *)key, *(const struct str *)token_key(object));
}

const struct persistent_map_type feature_map_type = {
	feature_compare, feature_key, entry_ref, entry_unref};
const struct persistent_map_type broker_map_type = {
	broker_compare, broker_key, entry_ref, entry_unref};
const struct persistent_map_type controller_map_type = {
	controller_compare, controller_key, entry_ref, entry_unref};
const struct persistent_map_type topic_map_type = {
	topic_compare, topic_key, topic_ref, topic_unref};
const struct persistent_map_type topic_name_map_type = {
	topic_name_compare, topic_name_key, entry_ref, entry_unref};
const struct persistent_map_type unified_name_map_type = {
	unified_name_compare, topic_name_key, entry_ref, entry_unref};
const struct persistent_map_type partition_map_type = {
	partition_compare, partition_key, entry_ref, entry_unref};
const struct persistent_map_type config_map_type = {
	config_compare, record_key, entry_ref, entry_unref};
const struct persistent_map_type quota_map_type = {
	quota_compare, record_key, entry_ref, entry_unref};
const struct persistent_map_type acl_map_type = {acl_compare, acl_key, entry_ref, entry_unref};
const struct persistent_map_type scram_map_type = {
	scram_compare, record_key, entry_ref, entry_unref};
const struct persistent_map_type token_map_type = {
	token_compare, token_key, entry_ref, entry_unref};
