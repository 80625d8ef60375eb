/* CreatePartitions (Kafka: ControllerApis.createPartitions,
 * ReplicationControlManager.createPartitions). */
#include <errno.h>

#include "broker/controller/assignment.h"
#include "broker/controller/names.h"

static int assign_by_hand(const struct decision *decision,
	const struct create_partitions_request_create_partitions_topic *topic,
	struct assignment *assignment, int32_t factor, int32_t first,
	struct decision_error *ret_error)
{
	for (int32_t i = 0; i < topic->assignments_count; i++) {
		struct replicas replicas = {
			topic->assignments[i].broker_ids, topic->assignments[i].broker_ids_count};
		int error = assignment_check(decision, replicas, factor, ret_error);

		if (error < 0 || ret_error->code != KAFKA_NONE)
			return error;
		if (!assignment_has_active(decision, replicas)) {
			*ret_error = decision_error(decision, KAFKA_INVALID_REPLICA_ASSIGNMENT,
				"All brokers specified in the manual partition assignment for "
				"partition %d are fenced or in "
				"controlled shutdown.",
				first + i);
			return 0;
		}
		assignment->partitions[i].replicas = replicas;
	}
	return 0;
}

static int assign(const struct decision *decision,
	const struct create_partitions_request_create_partitions_topic *topic,
	const struct image_topic *existing, struct assignment *assignment,
	struct decision_error *ret_error)
{
	int32_t first = (int32_t)image_partition_count(existing),
		factor = image_partition_at(existing, 0)->replicas_count;
	struct str problem = STR_NULL;
	int error;

	if (assignment_init(assignment, decision->records->arena, topic->count - first) < 0)
		return -ENOMEM;
	if (topic->assignments_count >= 0)
		return assign_by_hand(decision, topic, assignment, factor, first, ret_error);
	error = assignment_place(decision, assignment, factor, &problem);
	if (error != -EINVAL)
		return error;
	*ret_error = str_is_null(problem)
			     ? decision_error(decision, KAFKA_INVALID_REPLICATION_FACTOR,
				       "Unable to replicate the partition %d time(s): All brokers "
				       "are currently fenced or in "
				       "controlled shutdown.",
				       factor)
			     : (struct decision_error){KAFKA_INVALID_REPLICATION_FACTOR, problem};
	return 0;
}

static int create_partitions(const struct decision *decision,
	const struct create_partitions_request_create_partitions_topic *topic,
	struct decision_error *ret_error)
{
	const struct image_topic *existing = image_topic_by_name(decision->image, topic->name);
	int32_t records_before = decision->records->count;
	struct assignment assignment;
	int64_t count, additional;
	int error;

	*ret_error = DECISION_OK;
	if (!existing) {
		*ret_error = decision_error_bare(KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
		return 0;
	}
	count = image_partition_count(existing);
	additional = topic->count - count;
	if (additional == 0)
		*ret_error = decision_error(decision, KAFKA_INVALID_PARTITIONS,
			"Topic already has %lld partition(s).", (long long)count);
	else if (additional < 0)
		*ret_error = decision_error(decision, KAFKA_INVALID_PARTITIONS,
			"The topic %.*s currently has %lld partition(s); %d would not be an "
			"increase.",
			STR_ARGS(topic->name), (long long)count, topic->count);
	else if (topic->assignments_count >= 0 && topic->assignments_count != additional)
		*ret_error = decision_error(decision, KAFKA_INVALID_REPLICA_ASSIGNMENT,
			"Attempted to add %lld additional partition(s), but only %d assignment(s) "
			"were specified.",
			(long long)additional, topic->assignments_count);
	else if (count == 0)
		*ret_error = decision_error_bare(KAFKA_UNKNOWN_SERVER_ERROR);
	else if (additional > RECORDS_PER_OPERATION_MAX)
		*ret_error = decision_error(decision, KAFKA_POLICY_VIOLATION,
			"Unable to perform excessively large batch operation.");
	if (ret_error->code != KAFKA_NONE)
		return 0;
	error = assign(decision, topic, existing, &assignment, ret_error);
	if (error == 0 && ret_error->code == KAFKA_NONE)
		error = assignment_write(decision, &assignment, &existing->id, (int32_t)count);
	if (error < 0)
		decision->records->count = records_before;
	return error;
}

static void add_result(
	struct create_partitions_response *response, struct str name, struct decision_error error)
{
	struct create_partitions_response_create_partitions_topic_result *result =
		&response->results[response->results_count++];

	result->name = name;
	result->error_code = (int16_t)error.code;
	result->error_message = error.message;
}

int decide_create_partitions(const struct decision *decision,
	const struct create_partitions_request *request,
	struct create_partitions_response *response)
{
	uint8_t *repeats;
	int error = NAMES_FIND_REPEATS(
		decision->arena, request->topics, request->topics_count, name, &repeats);

	if (error < 0)
		return error;
	response->results =
		schema_new_array(&create_partitions_response_create_partitions_topic_result_schema,
			decision->arena, max_of(request->topics_count, 1));
	if (!response->results)
		return -ENOMEM;
	response->results_count = 0;
	for (int32_t i = 0; i < request->topics_count; i++)
		if (repeats[i] == NAME_REPEATED_FIRST)
			add_result(response, request->topics[i].name,
				decision_error(
					decision, KAFKA_INVALID_REQUEST, "Duplicate topic name."));
	for (int32_t i = 0; i < request->topics_count; i++)
		if (repeats[i] == NAME_ONCE &&
			!decision_may(decision, ACL_ALTER, RESOURCE_TOPIC, request->topics[i].name))
			add_result(response, request->topics[i].name,
				decision_error_bare(KAFKA_TOPIC_AUTHORIZATION_FAILED));
	for (int32_t i = 0; i < request->topics_count; i++) {
		struct decision_error wrong;

		if (repeats[i] != NAME_ONCE ||
			!decision_may(decision, ACL_ALTER, RESOURCE_TOPIC, request->topics[i].name))
			continue;
		error = create_partitions(decision, &request->topics[i], &wrong);
		if (error < 0)
			return error;
		if (decision->records->count > RECORDS_PER_OPERATION_MAX) {
			/* All or nothing: the records would be applied together. */
			decision->records->count = 0;
			response->results_count = 0;
			for (int32_t j = 0; j < request->topics_count; j++)
				add_result(response, request->topics[j].name,
					decision_error(decision, KAFKA_POLICY_VIOLATION,
						"Unable to perform excessively large batch "
						"operation."));
			return 0;
		}
		add_result(response, request->topics[i].name, wrong);
	}
	if (request->validate_only)
		decision->records->count = 0;
	return 0;
}
