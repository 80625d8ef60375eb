#include "broker/api/brokers.h"

const struct register_broker_record_broker_endpoint *broker_endpoint(
	const struct request *request, int32_t broker_id)
{
	const struct register_broker_record *broker = image_broker(request->image, broker_id);
	struct str listener = request_listener_name(request);

	if (!broker || broker->fenced)
		return NULL;
	for (int32_t i = 0; i < broker->end_points_count; i++) {
		if (str_equal(broker->end_points[i].name, listener))
			return &broker->end_points[i];
	}
	return NULL;
}

bool brokers_alive(
	struct request *request, struct metadata_response_broker **ret_brokers, int32_t *ret_count)
{
	uint32_t count = image_broker_count(request->image);
	struct metadata_response_broker *brokers =
		schema_new_array(&metadata_response_broker_schema, &request->arena, (int32_t)count);
	int32_t alive = 0;

	if (!brokers)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const struct register_broker_record *record = image_broker_at(request->image, i);
		const struct register_broker_record_broker_endpoint *endpoint =
			broker_endpoint(request, record->broker_id);
		if (!endpoint)
			continue;
		brokers[alive].node_id = record->broker_id;
		brokers[alive].host = endpoint->host;
		brokers[alive].port = endpoint->port;
		brokers[alive].rack = record->rack;
		alive++;
	}
	*ret_brokers = brokers;
	*ret_count = alive;
	return true;
}

/* Kafka's reserved ids below 100 (unassigned, lost, migrating) say nothing of a directory's health,
 * but for "lost". */
static bool directory_is_online(
	const struct register_broker_record *broker, const struct uuid *directory)
{
	uint64_t high = load_be64(directory->octets), low = load_be64(directory->octets + 8);

	if (broker->log_dirs_count == 0)
		return true; /* a registration of before directories had ids */
	if (high == 0 && low < 100)
		return low != 1;
	for (int32_t i = 0; i < broker->log_dirs_count; i++) {
		if (uuid_equal(&broker->log_dirs[i], directory))
			return true;
	}
	return false;
}

bool partition_offline_replicas(struct request *request, const struct partition_record *partition,
	int32_t **ret_replicas, int32_t *ret_count)
{
	int32_t *replicas = request_alloc(
		request, sizeof(*replicas) * (size_t)max_of(partition->replicas_count, 1));
	int32_t count = 0;

	if (!replicas)
		return false;
	for (int32_t i = 0; i < partition->replicas_count; i++) {
		int32_t id = partition->replicas[i];
		const struct register_broker_record *broker = image_broker(request->image, id);
		struct uuid directory = partition_directory_of(partition, id);
		if (!broker || !broker_endpoint(request, id) ||
			!directory_is_online(broker, &directory))
			replicas[count++] = id;
	}
	*ret_replicas = replicas;
	*ret_count = count;
	return true;
}
