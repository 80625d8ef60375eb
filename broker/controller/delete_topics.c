/*
 * DeleteTopics (Kafka: ControllerApis.deleteTopics, ReplicationControlManager.deleteTopics). Topics
 * are named, or told by id; a topic that is meant twice, in whatever way, is not deleted.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/controller/decision.h"
#include "broker/controller/names.h"
#include "runtime/uuid.h"

/* One topic as it was asked for. */
struct target {
	struct str name; /* null: asked for by id */
	struct uuid id;	 /* zero: asked for by name */
	const struct image_topic *topic;
	struct decision_error error;
	bool is_silent; /* said already, for another of the same kind */
};

struct deletion {
	const struct decision *decision;
	struct target *targets;
	int32_t count;
};

static int collect_targets(
	struct deletion *deletion, int version, const struct delete_topics_request *request)
{
	int32_t count = version >= 6 ? request->topics_count : request->topic_names_count;

	count = max_of(count, 0);
	deletion->targets =
		arena_new_array(deletion->decision->arena, struct target, (size_t)max_of(count, 1));
	if (!deletion->targets)
		return -ENOMEM;
	deletion->count = count;
	for (int32_t i = 0; i < count; i++) {
		struct target *target = &deletion->targets[i];

		target->error = DECISION_OK;
		target->name = version >= 6 ? request->topics[i].name : request->topic_names[i];
		if (version >= 6)
			target->id = request->topics[i].topic_id;
	}
	return 0;
}

static void refuse(struct target *target, const char *words)
{
	target->error =
		(struct decision_error){.code = KAFKA_INVALID_REQUEST, .message = str_from(words)};
}

static bool is_by_name(const struct target *target)
{
	return !str_is_null(target->name) && uuid_is_zero(&target->id);
}

static bool is_by_id(const struct target *target)
{
	return str_is_null(target->name) && !uuid_is_zero(&target->id);
}

static int find_repeated_names(struct deletion *deletion)
{
	struct str *names = arena_new_array(
		deletion->decision->arena, struct str, (size_t)max_of(deletion->count, 1));
	uint8_t *repeats;
	int error;

	if (!names)
		return -ENOMEM;
	/* A name beside an id is wrong by itself, and counts for no other. */
	for (int32_t i = 0; i < deletion->count; i++)
		names[i] = is_by_name(&deletion->targets[i]) ? deletion->targets[i].name : STR_NULL;
	error = names_find_repeats(
		deletion->decision->arena, names, deletion->count, sizeof(*names), 0, &repeats);
	if (error < 0)
		return error;
	for (int32_t i = 0; i < deletion->count; i++) {
		struct target *target = &deletion->targets[i];

		if (!is_by_name(target) || repeats[i] == NAME_ONCE)
			continue;
		refuse(target, "Duplicate topic name.");
		target->is_silent = repeats[i] == NAME_REPEATED_AGAIN;
	}
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	const struct target *left = *(struct target *const *)a, *right = *(struct target *const *)b;
	int order = uuid_compare(&left->id, &right->id);

	return order != 0 ? order : (left > right) - (left < right);
}

static int find_repeated_ids(struct deletion *deletion)
{
	struct target **sorted = arena_new_array(
		deletion->decision->arena, struct target *, (size_t)max_of(deletion->count, 1));
	int32_t count = 0;

	if (!sorted)
		return -ENOMEM;
	for (int32_t i = 0; i < deletion->count; i++)
		if (is_by_id(&deletion->targets[i]))
			sorted[count++] = &deletion->targets[i];
	qsort(sorted, (size_t)count, sizeof(*sorted), compare_ids);
	for (int32_t i = 1; i < count; i++) {
		if (!uuid_equal(&sorted[i - 1]->id, &sorted[i]->id))
			continue;
		refuse(sorted[i - 1], "Duplicate topic id.");
		refuse(sorted[i], "Duplicate topic id.");
		sorted[i]->is_silent = true;
	}
	return 0;
}

static void look_up(struct deletion *deletion, struct target *target)
{
	const struct decision *decision = deletion->decision;
	bool by_id = is_by_id(target);
	bool cluster = decision_may(decision, ACL_DELETE, RESOURCE_CLUSTER, CLUSTER_RESOURCE_NAME);
	bool is_seen;
	struct str name;

	if (!by_id && !is_by_name(target)) {
		refuse(target, str_is_null(target->name)
				       ? "Neither topic name nor id were specified."
				       : "You may not specify both topic name and topic id.");
		return;
	}
	target->topic = by_id ? image_topic_by_id(decision->image, &target->id)
			      : image_topic_by_name(decision->image, target->name);
	if (by_id && !target->topic) {
		target->error = (struct decision_error){
			KAFKA_UNKNOWN_TOPIC_ID, STR("This server does not host this topic ID.")};
		return;
	}
	name = by_id ? target->topic->name : target->name;
	is_seen = cluster || decision_may(decision, ACL_DESCRIBE, RESOURCE_TOPIC, name);
	/* Who may not even see a topic must not learn whether its name exists, or its id's name. */
	if (is_seen && by_id)
		target->name = name;
	if (is_seen && !target->topic) {
		target->error = (struct decision_error){KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
			STR("This server does not host this topic-partition.")};
		return;
	}
	if ((!is_seen && !by_id) ||
		(!cluster && !decision_may(decision, ACL_DELETE, RESOURCE_TOPIC, name))) {
		target->topic = NULL;
		target->error = (struct decision_error){
			KAFKA_TOPIC_AUTHORIZATION_FAILED, STR("Topic authorization failed.")};
		return;
	}
	target->name = name;
	target->id = target->topic->id;
}

static int compare_topics(const void *a, const void *b)
{
	const struct target *left = *(struct target *const *)a, *right = *(struct target *const *)b;

	return left->topic != right->topic ? uuid_compare(&left->topic->id, &right->topic->id)
					   : (left > right) - (left < right);
}

/* A name and an id that mean the same topic. */
static int find_repeated_topics(struct deletion *deletion)
{
	struct target **sorted = arena_new_array(
		deletion->decision->arena, struct target *, (size_t)max_of(deletion->count, 1));
	int32_t count = 0;

	if (!sorted)
		return -ENOMEM;
	for (int32_t i = 0; i < deletion->count; i++)
		if (deletion->targets[i].topic)
			sorted[count++] = &deletion->targets[i];
	qsort(sorted, (size_t)count, sizeof(*sorted), compare_topics);
	for (int32_t i = 1; i < count; i++)
		if (sorted[i - 1]->topic == sorted[i]->topic) {
			refuse(sorted[i],
				"The provided topic name maps to an ID that was already supplied.");
			sorted[i]->topic = NULL;
			sorted[i - 1]->topic = NULL;
			sorted[i - 1]->is_silent = true;
		}
	return 0;
}

int decide_delete_topics(const struct decision *decision, int version,
	const struct delete_topics_request *request, struct delete_topics_response *response)
{
	struct deletion deletion = {.decision = decision};
	bool disabled = !config_bool(decision->config, SETTING_DELETE_TOPIC_ENABLE);
	int error = collect_targets(&deletion, version, request);

	if (error < 0)
		return error;
	response->responses =
		schema_new_array(&delete_topics_response_deletable_topic_result_schema,
			decision->arena, max_of(deletion.count, 1));
	if (!response->responses)
		return -ENOMEM;
	response->responses_count = 0;
	if (!disabled) {
		if ((error = find_repeated_names(&deletion)) < 0 ||
			(error = find_repeated_ids(&deletion)) < 0)
			return error;
		for (int32_t i = 0; i < deletion.count; i++)
			if (deletion.targets[i].error.code == KAFKA_NONE)
				look_up(&deletion, &deletion.targets[i]);
		error = find_repeated_topics(&deletion);
		if (error < 0)
			return error;
	}
	for (int32_t i = 0; i < deletion.count; i++) {
		const struct target *target = &deletion.targets[i];
		struct delete_topics_response_deletable_topic_result *result;

		if (target->is_silent && !disabled)
			continue;
		result = &response->responses[response->responses_count++];
		result->name = target->name;
		result->topic_id = target->id;
		result->error_code = (int16_t)target->error.code;
		result->error_message = target->error.message;
		if (disabled)
			result->error_code =
				version < 3 ? KAFKA_INVALID_REQUEST : KAFKA_TOPIC_DELETION_DISABLED;
		if (target->topic && target->error.code == KAFKA_NONE) {
			struct remove_topic_record *record = metadata_records_add(
				decision->records, CLUSTER_METADATA_REMOVE_TOPIC, 0);

			if (!record)
				return -ENOMEM;
			record->topic_id = target->topic->id;
		}
	}
	return 0;
}
