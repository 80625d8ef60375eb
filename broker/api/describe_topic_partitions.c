/*
 * DescribeTopicPartitions, version 0 (KIP-966): topics in the order of their names, page by page,
 * with the eligible leader replicas. Follows Kafka's DescribeTopicPartitionsRequestHandler.
 */
#include <stdlib.h>

#include "broker/api/brokers.h"

struct page {
	struct request *request;
	int32_t room; /* partitions that still fit */
	bool full;
};

static void page_refuse(struct request *request, int16_t error)
{
	const struct describe_topic_partitions_request *message = request->message;
	struct describe_topic_partitions_response *response = request->response;
	int32_t count = max_of(message->topics_count, 0);

	response->topics = schema_new_array(
		&describe_topic_partitions_response_topic_schema, &request->arena, count);
	if (!response->topics) {
		request_out_of_memory(request);
		return;
	}
	response->topics_count = count;
	for (int32_t i = 0; i < count; i++) {
		response->topics[i].name = message->topics[i].name;
		response->topics[i].error_code = error;
	}
	request_complete(request);
}

static bool page_partition(struct request *request, const struct partition_record *record,
	struct describe_topic_partitions_response_partition *out)
{
	out->partition_index = record->partition_id;
	out->leader_epoch = record->leader_epoch;
	out->leader_id = broker_endpoint(request, record->leader) ? record->leader : -1;
	out->replica_nodes = record->replicas;
	out->replica_nodes_count = record->replicas_count;
	out->isr_nodes = record->isr;
	out->isr_nodes_count = record->isr_count;
	out->eligible_leader_replicas = record->eligible_leader_replicas;
	out->eligible_leader_replicas_count = max_of(record->eligible_leader_replicas_count, 0);
	out->last_known_elr = record->last_known_elr;
	out->last_known_elr_count = max_of(record->last_known_elr_count, 0);
	return partition_offline_replicas(
		request, record, &out->offline_replicas, &out->offline_replicas_count);
}

/* One topic from partition FIRST on, as far as the page goes. False when the arena is exhausted. */
static bool page_topic(struct page *page, const struct image_topic *topic, int32_t first)
{
	struct request *request = page->request;
	struct describe_topic_partitions_response *response = request->response;
	struct describe_topic_partitions_response_topic *out =
		&response->topics[response->topics_count++];
	int32_t count = (int32_t)image_partition_count(topic);
	int32_t end = (int32_t)min_of((int64_t)count, (int64_t)first + page->room);

	out->name = topic->name;
	out->topic_id = topic->id;
	out->is_internal = topic_name_is_internal(topic->name);
	out->topic_authorized_operations =
		authorized_operations(request, RESOURCE_TOPIC, topic->name);
	out->partitions = schema_new_array(&describe_topic_partitions_response_partition_schema,
		&request->arena, max_of(end - first, 0));
	if (!out->partitions)
		return false;
	for (int32_t i = first; i < end; i++) {
		if (!page_partition(request, image_partition_at(topic, (uint32_t)i),
			    &out->partitions[out->partitions_count++]))
			return false;
	}
	page->room -= out->partitions_count;
	if (end < count) {
		response->next_cursor = schema_new(
			&describe_topic_partitions_response_cursor_schema, &request->arena);
		if (!response->next_cursor)
			return false;
		response->next_cursor->topic_name = topic->name;
		response->next_cursor->partition_index = end;
		page->full = true;
	}
	return true;
}

static bool page_end(struct page *page, struct str next_topic)
{
	struct describe_topic_partitions_response *response = page->request->response;

	page->full = true;
	response->next_cursor = schema_new(
		&describe_topic_partitions_response_cursor_schema, &page->request->arena);
	if (!response->next_cursor)
		return false;
	response->next_cursor->topic_name = next_topic;
	response->next_cursor->partition_index = 0;
	return true;
}

static bool page_all(struct page *page, struct str cursor, int32_t cursor_partition)
{
	struct request *request = page->request;
	struct describe_topic_partitions_response *response = request->response;

	response->topics = schema_new_array(&describe_topic_partitions_response_topic_schema,
		&request->arena, min_of((int32_t)image_topic_count(request->image), page->room));
	if (!response->topics)
		return false;
	for (const struct image_topic *topic = image_topic_from(request->image, cursor);
		topic && !page->full; topic = image_topic_next(request->image, topic)) {
		if (!authorize(request, ACL_DESCRIBE, RESOURCE_TOPIC, topic->name))
			continue;
		if (page->room == 0)
			return page_end(page, topic->name);
		if (!page_topic(page, topic, str_equal(topic->name, cursor) ? cursor_partition : 0))
			return false;
	}
	return true;
}

static int name_compare(const void *a, const void *b)
{
	return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static bool page_named(struct page *page, struct str *names, int32_t count, struct str cursor,
	int32_t cursor_partition)
{
	struct request *request = page->request;
	struct describe_topic_partitions_response *response = request->response;
	int32_t i = 0;

	response->topics = schema_new_array(
		&describe_topic_partitions_response_topic_schema, &request->arena, count);
	if (!response->topics)
		return false;
	/* Those that may not be described come last. */
	for (; i < count && !page->full; i++) {
		const struct image_topic *topic = image_topic_by_name(request->image, names[i]);
		if (!authorize(request, ACL_DESCRIBE, RESOURCE_TOPIC, names[i]))
			continue;
		/* Whether the next one exists is told on the next page. */
		if (page->room == 0) {
			if (!page_end(page, names[i]))
				return false;
			continue;
		}
		if (!topic) {
			struct describe_topic_partitions_response_topic *out =
				&response->topics[response->topics_count++];
			out->name = names[i];
			out->error_code = topic_name_is_valid(names[i])
						  ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION
						  : KAFKA_INVALID_TOPIC_EXCEPTION;
			out->is_internal = topic_name_is_internal(names[i]);
			out->topic_authorized_operations =
				authorized_operations(request, RESOURCE_TOPIC, names[i]);
			continue;
		}
		if (!page_topic(page, topic, str_equal(names[i], cursor) ? cursor_partition : 0))
			return false;
	}
	for (i = 0; i < count; i++) {
		if (authorize(request, ACL_DESCRIBE, RESOURCE_TOPIC, names[i]))
			continue;
		struct describe_topic_partitions_response_topic *out =
			&response->topics[response->topics_count++];
		out->name = names[i];
		out->error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
	}
	return true;
}

void handle_describe_topic_partitions(struct request *request)
{
	const struct describe_topic_partitions_request *message = request->message;
	struct str cursor = message->cursor ? message->cursor->topic_name : STR("");
	int32_t cursor_partition = message->cursor ? message->cursor->partition_index : 0;
	int32_t limit =
		config_int(request->shard->config, SETTING_MAX_REQUEST_PARTITION_SIZE_LIMIT);
	struct page page = {.request = request,
		.room = max_of(min_of(limit, message->response_partition_limit), 1)};
	int32_t count = max_of(message->topics_count, 0), kept = 0;
	bool cursor_named = false, done;

	if (cursor_partition < 0) {
		page_refuse(request, KAFKA_INVALID_REQUEST);
		return;
	}
	if (count == 0) {
		done = page_all(&page, cursor, cursor_partition);
	} else {
		struct str *names = request_new_array(request, struct str, (size_t)count);
		if (!names) {
			request_out_of_memory(request);
			return;
		}
		for (int32_t i = 0; i < count; i++) {
			if (str_compare(message->topics[i].name, cursor) >= 0)
				names[kept++] = message->topics[i].name;
			cursor_named = cursor_named || str_equal(message->topics[i].name, cursor);
		}
		if (message->cursor && !cursor_named) {
			page_refuse(request, KAFKA_INVALID_REQUEST);
			return;
		}
		qsort(names, (size_t)kept, sizeof(*names), name_compare);
		int32_t unique = 0;
		for (int32_t i = 0; i < kept; i++) {
			if (unique == 0 || !str_equal(names[i], names[unique - 1]))
				names[unique++] = names[i];
		}
		done = page_named(&page, names, unique, cursor, cursor_partition);
	}
	if (done)
		request_complete(request);
	else
		request_out_of_memory(request);
}
