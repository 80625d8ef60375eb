/*
 * DeleteRecords, versions 0 to 2 (KIP-107): the log start of each partition moves up to an offset;
 * -1 is the high watermark. What lies below cannot be read any more, and its segments go with the next
 * retention. The answer waits until the log start is written down, so that no crash brings records
 * back whose deletion was confirmed.
 */
#include "broker/api/api.h"
#include "broker/api/merge.h"
#include "broker/replication/checkpoints.h"
#include "broker/replication/log_rows.h"

enum { OFFSET_HIGH_WATERMARK = -1 };

struct delete_records_errand {
	struct errand errand;
	const struct image_topic *topic;
	int64_t offset;
	int16_t refused; /* Kafka's error that was known without asking the partition */
	uint32_t dir;	 /* of log.dirs, when the start was moved */
	struct delete_records_response_delete_records_partition_result *answer;
};

struct delete_records_work {
	struct errands errands;
	struct delete_records_errand *list;
	uint32_t count;
	struct log_start_wait wait;
	struct request *request;
	uint32_t *dirs; /* of those whose start was moved */
};

static int16_t delete_records_apply(
	struct delete_records_errand *errand, struct partition *partition)
{
	struct log *log = partition->log;
	int64_t offset =
		errand->offset == OFFSET_HIGH_WATERMARK ? log_high_watermark(log) : errand->offset;
	int16_t error = partition_leader_check(partition, -1);

	if (error)
		return error;
	/* A log that is only compacted is not cut from the front. */
	if (!log_config(log)->delete_old)
		return KAFKA_POLICY_VIOLATION;
	if (offset < 0)
		return KAFKA_OFFSET_OUT_OF_RANGE;
	if (log_start_advance(log, offset) < 0)
		return KAFKA_OFFSET_OUT_OF_RANGE;
	errand->answer->low_watermark = log_start(log);
	errand->dir = log_row_of(partition, partition->topic).dir;
	partition_changed(partition);
	return 0;
}

static void delete_records_at_home(struct errand *base, struct partition *partition)
{
	struct delete_records_errand *errand =
		container_of(base, struct delete_records_errand, errand);

	errand_return(base, delete_records_apply(errand, partition));
}

static void delete_records_written_down(struct log_start_wait *wait, const int *errors)
{
	struct delete_records_work *work = container_of(wait, struct delete_records_work, wait);

	for (uint32_t i = 0; i < work->count; i++) {
		struct delete_records_errand *errand = &work->list[i];

		if (errand->answer->error_code || (errors && errors[errand->dir] == 0))
			continue;
		errand->answer->error_code = KAFKA_KAFKA_STORAGE_ERROR;
		errand->answer->low_watermark = -1;
	}
	request_complete(work->request);
}

static void delete_records_write_down(struct request *request)
{
	struct delete_records_work *work = request->context;

	work->wait.done = delete_records_written_down;
	checkpoints_log_starts_wait(request->shard->broker, &work->wait);
}

static void delete_records_finished(struct request *request)
{
	struct delete_records_work *work = request->context;

	work->request = request;
	work->wait.dirs = work->dirs;
	for (uint32_t i = 0; i < work->count; i++) {
		work->list[i].answer->error_code = work->list[i].errand.error;
		if (!work->list[i].errand.error)
			work->dirs[work->wait.dir_count++] = work->list[i].dir;
	}
	if (work->wait.dir_count == 0) {
		request_complete(request);
		return;
	}
	request_move(request, SHARD_MAIN, delete_records_write_down);
}

static int16_t delete_records_topic_check(
	const struct request *request, const struct image_topic *topic, struct str name)
{
	if (!authorize(request, ACL_DELETE, RESOURCE_TOPIC, name))
		return KAFKA_TOPIC_AUTHORIZATION_FAILED;
	if (!topic)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	return topic_name_is_internal(name) ? KAFKA_INVALID_TOPIC_EXCEPTION : 0;
}

/* The request's topic at TOPIC_INDEX, into OUT; of a partition that is named again the last offset counts. */
static void delete_records_topic(struct request *request, struct merge *merge, int32_t topic_index,
	struct delete_records_response_delete_records_topic_result *out)
{
	const struct delete_records_request *message = request->message;
	const struct delete_records_request_delete_records_topic *in =
		&message->topics[topic_index];
	struct delete_records_work *work = request->context;
	const struct image_topic *topic = image_topic_by_name(request->image, in->name);
	int16_t error = delete_records_topic_check(request, topic, in->name);

	for (int32_t j = 0; j < in->partitions_count; j++) {
		int32_t index = in->partitions[j].partition_index;
		void **before = merge_partition(merge, merge_place(merge, topic_index), index);
		struct delete_records_errand *errand = *before;

		if (errand) {
			errand->offset = in->partitions[j].offset;
			continue;
		}
		errand = &work->list[work->count++];
		*before = errand;
		errand->offset = in->partitions[j].offset;
		errand->answer = &out->partitions[out->partitions_count++];
		errand->answer->partition_index = index;
		errand->answer->low_watermark = -1;
		errand->refused = error;
		if (!error && (index < 0 || index >= (int32_t)image_partition_count(topic)))
			errand->refused = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
		if (topic)
			errand->topic = topic;
	}
}

static bool delete_records_prepare(struct request *request, struct merge *merge)
{
	const struct delete_records_request *message = request->message;
	struct delete_records_response *response = request->response;
	struct delete_records_work *work = request->context;

	/* Answered by partitions: a topic without any is not in the answer. */
	for (int32_t i = 0; i < message->topics_count; i++) {
		if (message->topics[i].partitions_count > 0)
			merge_topic(merge, message->topics[i].name,
				message->topics[i].partitions_count);
		else
			merge_topic_left_out(merge);
	}
	response->topics_count = merge->place_count;
	response->topics =
		schema_new_array(&delete_records_response_delete_records_topic_result_schema,
			&request->arena, merge->place_count);
	work->list =
		request_new_array(request, struct delete_records_errand, merge->partition_count);
	work->dirs = request_new_array(request, uint32_t, merge->partition_count);
	if (!response->topics || !work->list || !work->dirs || !merge_partitions_init(merge))
		return false;
	for (int32_t i = 0; i < message->topics_count; i++) {
		int32_t place = merge_place(merge, i);
		if (place == MERGE_LEFT_OUT)
			continue;
		struct delete_records_response_delete_records_topic_result *out =
			&response->topics[place];

		if (!out->partitions) {
			out->name = message->topics[i].name;
			out->partitions = schema_new_array(
				&delete_records_response_delete_records_partition_result_schema,
				&request->arena, merge->sizes[place]);
			if (!out->partitions)
				return false;
		}
		delete_records_topic(request, merge, i, out);
	}
	return true;
}

void handle_delete_records(struct request *request)
{
	const struct delete_records_request *message = request->message;
	struct delete_records_work *work = request_new(request, struct delete_records_work);
	struct merge merge;

	request->context = work;
	if (!work || !merge_init(&merge, &request->arena, max_of(message->topics_count, 0),
			     request_seed(request))) {
		request_out_of_memory(request);
		return;
	}
	bool prepared = delete_records_prepare(request, &merge);
	merge_done(&merge);
	if (!prepared) {
		request_out_of_memory(request);
		return;
	}
	errands_init(&work->errands, request, delete_records_finished);
	for (uint32_t i = 0; i < work->count; i++) {
		struct delete_records_errand *errand = &work->list[i];
		errand->errand.error = errand->refused;
		if (!errand->refused)
			errand_prepare(&work->errands, &errand->errand, errand->topic,
				errand->answer->partition_index, delete_records_at_home);
	}
	errands_go(&work->errands);
}
