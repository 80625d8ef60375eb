/*
 * What is decided about replicas of partitions that are there: in which directories they live
 * (AssignReplicasToDirs, KIP-858), and who leads when an operator or the clock asks for an
 * election.
 */
#include <errno.h>

#include "broker/controller/partition_change.h"

/* One replica's move; *RET_CODE tells of a partition that can't be meant. */
static int assign_replica(const struct decision *decision,
	const struct register_broker_record *broker, const struct image_topic *topic, int32_t index,
	const struct uuid *directory, int16_t *ret_code)
{
	const struct partition_record *partition = topic ? image_partition(topic, index) : NULL;
	struct partition_change change;
	int error;

	*ret_code = KAFKA_NONE;
	if (!topic)
		*ret_code = KAFKA_UNKNOWN_TOPIC_ID;
	else if (!partition)
		*ret_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	else if (!partition_has_replica(partition, broker->broker_id))
		*ret_code = KAFKA_NOT_LEADER_OR_FOLLOWER;
	if (*ret_code != KAFKA_NONE)
		return 0;
	partition_change_init(&change, topic, partition);
	change.directory_broker_id = broker->broker_id;
	change.directory = *directory;
	error = partition_change_decide(decision, &change);
	/* A replica in a directory that is not online can't lead, nor be in sync. */
	if (error < 0 || broker_has_online_directory(broker, directory))
		return min_of(error, 0);
	return decide_leader_and_isr(decision, topic, partition, broker->broker_id, -1, -1);
}

int decide_assign_replicas_to_dirs(const struct decision *decision,
	const struct assign_replicas_to_dirs_request *request,
	struct assign_replicas_to_dirs_response *response)
{
	const struct register_broker_record *broker =
		image_broker(decision->image, request->broker_id);
	struct arena *arena = decision->arena;

	if (decision_level(decision) < METADATA_VERSION_3_7_IV2) {
		response->error_code = KAFKA_UNSUPPORTED_VERSION;
		return 0;
	}
	if (!broker || broker->broker_epoch != request->broker_epoch) {
		response->error_code = KAFKA_STALE_BROKER_EPOCH;
		return 0;
	}
	response->directories =
		schema_new_array(&assign_replicas_to_dirs_response_directory_data_schema, arena,
			max_of(request->directories_count, 1));
	if (!response->directories)
		return -ENOMEM;
	response->directories_count = 0;
	for (int32_t d = 0; d < request->directories_count; d++) {
		const struct assign_replicas_to_dirs_request_directory_data *from =
			&request->directories[d];
		struct assign_replicas_to_dirs_response_directory_data *to =
			&response->directories[response->directories_count++];

		to->id = from->id;
		to->topics = schema_new_array(&assign_replicas_to_dirs_response_topic_data_schema,
			arena, max_of(from->topics_count, 1));
		if (!to->topics)
			return -ENOMEM;
		to->topics_count = 0;
		for (int32_t t = 0; t < from->topics_count; t++) {
			const struct assign_replicas_to_dirs_request_topic_data *topic =
				&from->topics[t];
			struct assign_replicas_to_dirs_response_topic_data *result =
				&to->topics[to->topics_count++];

			result->topic_id = topic->topic_id;
			result->partitions = schema_new_array(
				&assign_replicas_to_dirs_response_partition_data_schema, arena,
				max_of(topic->partitions_count, 1));
			if (!result->partitions)
				return -ENOMEM;
			result->partitions_count = 0;
			for (int32_t p = 0; p < topic->partitions_count; p++) {
				struct assign_replicas_to_dirs_response_partition_data *partition =
					&result->partitions[result->partitions_count++];
				int error;

				partition->partition_index = topic->partitions[p].partition_index;
				error = assign_replica(decision, broker,
					image_topic_by_id(decision->image, &topic->topic_id),
					partition->partition_index, &from->id,
					&partition->error_code);
				if (error < 0)
					return error;
			}
		}
	}
	return 0;
}

/* ---- elections ---- */

enum { ELECTION_PREFERRED = 0, ELECTION_UNCLEAN = 1 };

static int elect_leader(const struct decision *decision, struct str name,
	const struct image_topic *topic, int32_t index, bool unclean,
	struct decision_error *ret_error)
{
	const struct partition_record *partition = topic ? image_partition(topic, index) : NULL;
	struct partition_change change;
	int changed;

	*ret_error = DECISION_OK;
	if (!topic) {
		*ret_error = decision_error(decision, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
			"No such topic as %.*s", STR_ARGS(name));
		return 0;
	}
	if (!partition) {
		*ret_error = decision_error(decision, KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
			"No such partition as %.*s-%d", STR_ARGS(name), index);
		return 0;
	}
	if (unclean ? partition->leader >= 0
		    : partition->replicas_count > 0 &&
				partition->leader == partition->replicas[0]) {
		*ret_error = (struct decision_error){KAFKA_ELECTION_NOT_NEEDED,
			STR("Leader election not needed for topic partition.")};
		return 0;
	}
	partition_change_init(&change, topic, partition);
	change.election = unclean ? ELECT_UNCLEAN : ELECT_PREFERRED;
	changed = partition_change_decide(decision, &change);
	if (changed < 0)
		return changed;
	if (changed == 0)
		*ret_error = unclean ? (struct decision_error){KAFKA_ELIGIBLE_LEADERS_NOT_AVAILABLE,
					       STR("Eligible topic partition leaders are not "
						   "available.")}
				     : (struct decision_error){KAFKA_PREFERRED_LEADER_NOT_AVAILABLE,
					       STR("The preferred leader was not available.")};
	return 0;
}

static int elect_in_topic(const struct decision *decision, struct str name,
	const int32_t *partitions, int32_t count, bool all, bool unclean,
	struct elect_leaders_response_replica_election_result *result)
{
	const struct image_topic *topic = image_topic_by_name(decision->image, name);

	result->topic = name;
	result->partition_result = schema_new_array(
		&elect_leaders_response_partition_result_schema, decision->arena, max_of(count, 1));
	if (!result->partition_result)
		return -ENOMEM;
	result->partition_result_count = 0;
	for (int32_t i = 0; i < count; i++) {
		int32_t index =
			all ? image_partition_at(topic, (uint32_t)i)->partition_id : partitions[i];
		struct elect_leaders_response_partition_result *partition;
		struct decision_error wrong;
		int error = elect_leader(decision, name, topic, index, unclean, &wrong);

		if (error < 0)
			return error;
		if (all && wrong.code == KAFKA_ELECTION_NOT_NEEDED)
			continue;
		partition = &result->partition_result[result->partition_result_count++];
		partition->partition_id = index;
		partition->error_code = (int16_t)wrong.code;
		partition->error_message = wrong.message;
	}
	return 0;
}

/* Kafka says it for each partition too, which is all that version 0 has a place for. */
static int refuse_election(const struct decision *decision, int version,
	const struct elect_leaders_request *request, struct elect_leaders_response *response,
	enum kafka_error code)
{
	int32_t topics = max_of(request->topic_partitions_count, 0);

	if (version >= 1)
		response->error_code = (int16_t)code;
	response->replica_election_results =
		schema_new_array(&elect_leaders_response_replica_election_result_schema,
			decision->arena, max_of(topics, 1));
	if (!response->replica_election_results)
		return -ENOMEM;
	response->replica_election_results_count = topics;
	for (int32_t i = 0; i < topics; i++) {
		const struct elect_leaders_request_topic_partitions *asked =
			&request->topic_partitions[i];
		struct elect_leaders_response_replica_election_result *result =
			&response->replica_election_results[i];
		int32_t count = max_of(asked->partitions_count, 0);

		result->topic = asked->topic;
		result->partition_result =
			schema_new_array(&elect_leaders_response_partition_result_schema,
				decision->arena, max_of(count, 1));
		if (!result->partition_result)
			return -ENOMEM;
		result->partition_result_count = count;
		for (int32_t j = 0; j < count; j++) {
			result->partition_result[j].partition_id = asked->partitions[j];
			result->partition_result[j].error_code = (int16_t)code;
			result->partition_result[j].error_message = kafka_error_message(code);
		}
	}
	return 0;
}

int decide_elect_leaders(const struct decision *decision, int version,
	const struct elect_leaders_request *request, struct elect_leaders_response *response)
{
	bool all = request->topic_partitions_count < 0,
	     unclean = request->election_type == ELECTION_UNCLEAN;
	int32_t count =
		all ? (int32_t)image_topic_count(decision->image) : request->topic_partitions_count;

	if (!decision_may(decision, ACL_ALTER, RESOURCE_CLUSTER, CLUSTER_RESOURCE_NAME))
		return refuse_election(
			decision, version, request, response, KAFKA_CLUSTER_AUTHORIZATION_FAILED);
	if (request->election_type != ELECTION_PREFERRED && !unclean)
		return refuse_election(decision, version, request, response, KAFKA_INVALID_REQUEST);
	response->replica_election_results =
		schema_new_array(&elect_leaders_response_replica_election_result_schema,
			decision->arena, max_of(count, 1));
	if (!response->replica_election_results)
		return -ENOMEM;
	response->replica_election_results_count = 0;
	for (int32_t i = 0; i < count; i++) {
		const struct image_topic *topic =
			all ? image_topic_at(decision->image, (uint32_t)i) : NULL;
		const struct elect_leaders_request_topic_partitions *asked =
			all ? NULL : &request->topic_partitions[i];
		int error = elect_in_topic(decision, all ? topic->name : asked->topic,
			all ? NULL : asked->partitions,
			all ? (int32_t)image_partition_count(topic) : asked->partitions_count, all,
			unclean,
			&response->replica_election_results
				 [response->replica_election_results_count++]);

		if (error < 0)
			return error;
	}
	return 0;
}

int decide_unclean_elections(const struct decision *decision)
{
	enum { ELECTIONS_MAX = 1000 };

	for (const struct image_topic *topic = image_topic_at(decision->image, 0); topic;
		topic = image_topic_next(decision->image, topic)) {
		if (!decision_unclean_election(decision, topic))
			continue;
		for (uint32_t i = 0; i < image_partition_count(topic); i++) {
			const struct partition_record *partition = image_partition_at(topic, i);
			struct decision_error wrong;
			int error;

			if (partition->leader >= 0)
				continue;
			if (decision->records->count >= ELECTIONS_MAX)
				return 0;
			error = elect_leader(decision, topic->name, topic, partition->partition_id,
				true, &wrong);
			if (error < 0)
				return error;
		}
	}
	return 0;
}
