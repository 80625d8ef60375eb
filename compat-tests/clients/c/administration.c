/*
 * The administrative calls of librdkafka, each request waited for on a queue of its own. All of them exist in 2.0.
 */
#include "client.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SETTLE_S = 60 };

static rd_kafka_t *rk;
static rd_kafka_queue_t *queue;

/* The answer of the request that was just sent, or NULL with the failure written. The caller destroys it. */
static rd_kafka_event_t *answer(const char *what)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, WAIT_S * 1000);

	if (!event) {
		fail("%s: no answer", what);
		return NULL;
	}
	if (rd_kafka_event_error(event)) {
		fail("%s: %s", what, rd_kafka_event_error_string(event));
		rd_kafka_event_destroy(event);
		return NULL;
	}
	return event;
}

static rd_kafka_AdminOptions_t *patient(rd_kafka_admin_op_t operation)
{
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, operation);
	char reason[128];

	rd_kafka_AdminOptions_set_request_timeout(options, WAIT_S * 1000, reason, sizeof reason);
	return options;
}

static int topic_results(const char *what, const rd_kafka_topic_result_t **results, size_t count)
{
	if (count != 1)
		return fail("%s: %zu results", what, count);
	if (rd_kafka_topic_result_error(results[0]))
		return fail("%s: %s", what, rd_kafka_topic_result_error_string(results[0]));
	return 0;
}

static int create(const char *topic, int partitions)
{
	rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(topic, partitions, 1, failure, sizeof failure);
	rd_kafka_AdminOptions_t *options = patient(RD_KAFKA_ADMIN_OP_CREATETOPICS);
	const rd_kafka_topic_result_t **results;
	rd_kafka_event_t *event;
	size_t count;
	int status = -1;

	rd_kafka_NewTopic_set_config(t, "retention.ms", "70000");
	rd_kafka_CreateTopics(rk, &t, 1, options, queue);
	event = answer("CreateTopics");
	if (event) {
		results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
		status = topic_results("CreateTopics", results, count);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_NewTopic_destroy(t);
	rd_kafka_AdminOptions_destroy(options);
	return status;
}

static int delete_topic(const char *topic)
{
	rd_kafka_DeleteTopic_t *t = rd_kafka_DeleteTopic_new(topic);
	const rd_kafka_topic_result_t **results;
	rd_kafka_event_t *event;
	size_t count;
	int status = -1;

	rd_kafka_DeleteTopics(rk, &t, 1, NULL, queue);
	event = answer("DeleteTopics");
	if (event) {
		results = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
		status = topic_results("DeleteTopics", results, count);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_DeleteTopic_destroy(t);
	return status;
}

static int more_partitions(const char *topic, int total)
{
	rd_kafka_NewPartitions_t *p = rd_kafka_NewPartitions_new(topic, total, failure, sizeof failure);
	const rd_kafka_topic_result_t **results;
	rd_kafka_event_t *event;
	size_t count;
	int status = -1;

	rd_kafka_CreatePartitions(rk, &p, 1, NULL, queue);
	event = answer("CreatePartitions");
	if (event) {
		results = rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event), &count);
		status = topic_results("CreatePartitions", results, count);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_NewPartitions_destroy(p);
	return status;
}

/* `expected` 0: the topic must be gone. */
static int partitions_are(const char *topic, int expected)
{
	rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
	const rd_kafka_metadata_t *metadata;
	rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, handle, &metadata, WAIT_S * 1000);
	int found;

	rd_kafka_topic_destroy(handle);
	if (err)
		return fail("metadata: %s", rd_kafka_err2str(err));
	found = metadata->topics[0].partition_cnt;
	err = metadata->topics[0].err;
	rd_kafka_metadata_destroy(metadata);
	if (found != expected || (expected && err))
		return fail("%d partitions, not %d (%s)", found, expected, rd_kafka_err2name(err));
	return 0;
}

static int config_is(const char *topic, const char *name, const char *expected)
{
	rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
	const rd_kafka_ConfigResource_t **resources;
	const rd_kafka_ConfigEntry_t **entries;
	rd_kafka_event_t *event;
	size_t count;
	int status;

	rd_kafka_DescribeConfigs(rk, &resource, 1, NULL, queue);
	rd_kafka_ConfigResource_destroy(resource);
	event = answer("DescribeConfigs");
	if (!event)
		return -1;
	resources = rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
	status = fail("%s is not described", name);
	if (count == 1 && !rd_kafka_ConfigResource_error(resources[0])) {
		entries = rd_kafka_ConfigResource_configs(resources[0], &count);
		for (size_t i = 0; i < count; i++) {
			const char *value = rd_kafka_ConfigEntry_value(entries[i]);

			if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), name))
				continue;
			status = value && !strcmp(value, expected) ? 0 : fail("%s is %s, not %s", name, value, expected);
		}
	}
	rd_kafka_event_destroy(event);
	return status;
}

static int config_set(const char *topic, const char *name, const char *value)
{
	rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
	const rd_kafka_ConfigResource_t **resources;
	rd_kafka_event_t *event;
	size_t count;
	int status = 0;

	rd_kafka_ConfigResource_set_config(resource, name, value);
	rd_kafka_AlterConfigs(rk, &resource, 1, NULL, queue);
	rd_kafka_ConfigResource_destroy(resource);
	event = answer("AlterConfigs");
	if (!event)
		return -1;
	resources = rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &count);
	if (count != 1 || rd_kafka_ConfigResource_error(resources[0]))
		status = fail("AlterConfigs: %s", rd_kafka_ConfigResource_error_string(resources[0]));
	rd_kafka_event_destroy(event);
	return status;
}

static int delete_records(const char *topic, int before)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	const rd_kafka_topic_partition_list_t *done;
	rd_kafka_DeleteRecords_t *request;
	rd_kafka_event_t *event;
	int64_t low, high;
	int status = 0;

	rd_kafka_topic_partition_list_add(list, topic, 0)->offset = before;
	request = rd_kafka_DeleteRecords_new(list);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_DeleteRecords(rk, &request, 1, NULL, queue);
	rd_kafka_DeleteRecords_destroy(request);
	event = answer("DeleteRecords");
	if (!event)
		return -1;
	done = rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
	if (done->elems[0].err || done->elems[0].offset != before)
		status = fail("DeleteRecords: %s, offset %lld", rd_kafka_err2name(done->elems[0].err), (long long)done->elems[0].offset);
	rd_kafka_event_destroy(event);
	if (!status && (rd_kafka_query_watermark_offsets(rk, topic, 0, &low, &high, WAIT_S * 1000) || low != before))
		status = fail("the earliest offset is %lld, not %d", (long long)low, before);
	return status;
}

static int group_is_listed(const char *group, int expected)
{
	const rd_kafka_ConsumerGroupListing_t **groups;
	rd_kafka_event_t *event;
	size_t count;
	int found = 0;

	rd_kafka_ListConsumerGroups(rk, NULL, queue);
	event = answer("ListConsumerGroups");
	if (!event)
		return -1;
	groups = rd_kafka_ListConsumerGroups_result_valid(rd_kafka_event_ListConsumerGroups_result(event), &count);
	for (size_t i = 0; i < count; i++)
		found |= !strcmp(rd_kafka_ConsumerGroupListing_group_id(groups[i]), group);
	rd_kafka_event_destroy(event);
	return found == expected ? 0 : fail("group %s is %slisted", group, found ? "" : "not ");
}

static int group_is_empty(const char *group)
{
	const rd_kafka_ConsumerGroupDescription_t **groups;
	rd_kafka_consumer_group_state_t state;
	rd_kafka_event_t *event;
	size_t count;

	rd_kafka_DescribeConsumerGroups(rk, &group, 1, NULL, queue);
	event = answer("DescribeConsumerGroups");
	if (!event)
		return -1;
	groups = rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(event), &count);
	state = rd_kafka_ConsumerGroupDescription_state(groups[0]);
	rd_kafka_event_destroy(event);
	return state == RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY ? 0 :
							      fail("the group is %s", rd_kafka_consumer_group_state_name(state));
}

static int delete_group(const char *group)
{
	rd_kafka_DeleteGroup_t *request = rd_kafka_DeleteGroup_new(group);
	const rd_kafka_group_result_t **results;
	rd_kafka_event_t *event;
	size_t count;
	int status = 0;

	rd_kafka_DeleteGroups(rk, &request, 1, NULL, queue);
	rd_kafka_DeleteGroup_destroy(request);
	event = answer("DeleteGroups");
	if (!event)
		return -1;
	results = rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &count);
	if (count != 1 || rd_kafka_group_result_error(results[0]))
		status = fail("DeleteGroups: %s", rd_kafka_error_string(rd_kafka_group_result_error(results[0])));
	rd_kafka_event_destroy(event);
	return status;
}

/* Asks again for a while: a change shows on a broker when its metadata has come, which may be after the answer. */
#define SETTLED(check)                                                                                                 \
	({                                                                                                             \
		time_t deadline = time(NULL) + SETTLE_S;                                                               \
		int outcome;                                                                                           \
                                                                                                                       \
		while ((outcome = (check)) && time(NULL) < deadline)                                                   \
			nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);                                    \
		outcome;                                                                                               \
	})

int administration(const char *topic, const char *group, const char *empty_group)
{
	const char *settings[] = { NULL };
	int status;

	rk = client_new(RD_KAFKA_PRODUCER, settings);
	if (!rk)
		return -1;
	queue = rd_kafka_queue_new(rk);
	status = create(topic, 3) || SETTLED(partitions_are(topic, 3)) ||
		 SETTLED(config_is(topic, "retention.ms", "70000")) || config_set(topic, "retention.ms", "80000") ||
		 SETTLED(config_is(topic, "retention.ms", "80000")) || more_partitions(topic, 5) ||
		 SETTLED(partitions_are(topic, 5)) || produce(topic, "none", 5, 0, 0, 0) ||
		 delete_records(topic, 3) || group_is_listed(group, 1) || group_is_empty(group) || delete_group(empty_group) ||
		 group_is_listed(empty_group, 0) || delete_topic(topic) || SETTLED(partitions_are(topic, 0));
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(rk);
	return status ? -1 : 0;
}
