/*
 * ListOffsets, versions 0 to 11: by special timestamp from the partition's state, by time from its
 * indexes. Version 0 answers a list of segment boundaries ("old style offsets").
 */
#include "broker/api/api.h"
#include "broker/api/merge.h"

enum { LIST_OFFSETS_OLD_STYLE_MAX = 1024 }; /* offsets a partition in one answer of version 0 */

enum {
	TIMESTAMP_LATEST = -1,
	TIMESTAMP_EARLIEST = -2,
	TIMESTAMP_MAX = -3,
	TIMESTAMP_EARLIEST_LOCAL = -4,
	TIMESTAMP_LATEST_TIERED = -5,
	TIMESTAMP_EARLIEST_PENDING_UPLOAD = -6,
};

struct list_offsets_errand {
	struct errand errand;
	struct log_time_lookup lookup;
	const struct list_offsets_request_list_offsets_partition *ask;
	struct list_offsets_response_list_offsets_partition_response *answer;
	const struct image_topic *topic;
	int64_t end;	  /* what the asker may see: nothing at or behind it is answered */
	int64_t *offsets; /* version 0 */
	int32_t offsets_count;
};

struct list_offsets {
	struct errands errands;
	struct list_offsets_errand *list;
	uint32_t count;
};

static void list_offsets_set(
	struct list_offsets_errand *errand, int64_t timestamp, int64_t offset, int32_t epoch)
{
	errand->answer->timestamp = timestamp;
	errand->answer->offset = offset;
	if (errand->errand.errands->request->version >= 4)
		errand->answer->leader_epoch = epoch;
}

static void list_offsets_found(struct log_time_lookup *lookup)
{
	struct list_offsets_errand *errand =
		container_of(lookup, struct list_offsets_errand, lookup);
	struct partition *partition = errand->errand.partition;

	/* What lies behind the watermark is not there yet for this asker. */
	if (lookup->error_code == 0 && lookup->offset >= 0 && lookup->offset < errand->end)
		list_offsets_set(
			errand, lookup->found_timestamp_ms, lookup->offset, lookup->leader_epoch);
	else if (lookup->error_code == 0 && lookup->offset < 0 &&
		 errand->lookup.timestamp_ms == LOG_TIMESTAMP_MAX)
		list_offsets_set(errand, -1, -1, -1);
	partition_unuse(partition);
	errand_return(&errand->errand, lookup->error_code);
}

/* Version 0: offsets of segments, newest first, at most as many as asked; none behind what the
 * asker may see. */
static void list_offsets_old_style(struct list_offsets_errand *errand, struct partition *partition)
{
	int64_t timestamp = errand->ask->timestamp;
	int32_t room = min_of(
		max_of(errand->ask->max_num_offsets, 0), (int32_t)LIST_OFFSETS_OLD_STYLE_MAX);
	int64_t *offsets = errand->offsets + 1;
	int32_t count = log_segment_offsets_before(partition->log,
		timestamp == TIMESTAMP_LATEST	  ? INT64_MAX
		: timestamp == TIMESTAMP_EARLIEST ? INT64_MIN
						  : timestamp,
		offsets, room);
	int32_t hidden = 0;

	while (hidden < count && offsets[hidden] > errand->end)
		hidden++;
	errand->offsets = offsets + hidden;
	errand->offsets_count = count - hidden;
	if (hidden > 0) {
		*--errand->offsets = errand->end;
		errand->offsets_count++;
	}
	errand_return(&errand->errand, 0);
}

static void list_offsets_at_home(struct errand *base, struct partition *partition)
{
	struct list_offsets_errand *errand = container_of(base, struct list_offsets_errand, errand);
	const struct list_offsets_request *message = base->errands->request->message;
	struct log *log = partition->log;
	int16_t error = partition_leader_check(partition, errand->ask->current_leader_epoch);

	if (error) {
		errand_return(base, error);
		return;
	}
	if (message->replica_id != -1) /* a follower or a debugger: not bound by the watermark */
		errand->end = log_readable_end(log);
	else
		errand->end = message->isolation_level == 1 ? log_last_stable_offset(log)
							    : log_high_watermark(log);
	if (base->errands->request->version == 0) {
		list_offsets_old_style(errand, partition);
		return;
	}
	switch (errand->ask->timestamp) {
	case TIMESTAMP_LATEST:
		list_offsets_set(errand, -1, errand->end, partition->leader_epoch);
		break;
	case TIMESTAMP_EARLIEST:
	case TIMESTAMP_EARLIEST_LOCAL:
		list_offsets_set(errand, -1, log_start(log), log_epoch_at(log, log_start(log)));
		break;
	case TIMESTAMP_LATEST_TIERED:
	case TIMESTAMP_EARLIEST_PENDING_UPLOAD:
		/* Nothing is in a remote tier. */
		list_offsets_set(errand, -1, -1, -1);
		break;
	default:
		errand->lookup.timestamp_ms = errand->ask->timestamp == TIMESTAMP_MAX
						      ? (int64_t)LOG_TIMESTAMP_MAX
						      : errand->ask->timestamp;
		errand->lookup.done = list_offsets_found;
		partition_use(partition);
		log_offset_for_time(log, &errand->lookup);
		return;
	}
	errand_return(base, 0);
}

static void list_offsets_finished(struct request *request)
{
	struct list_offsets *work = request->context;

	for (uint32_t i = 0; i < work->count; i++) {
		struct list_offsets_errand *errand = &work->list[i];
		if (errand->answer->error_code)
			continue; /* it was not asked for */
		errand->answer->error_code = errand->errand.error;
		if (errand->errand.error) {
			list_offsets_set(errand, -1, -1, -1);
		} else if (request->version == 0) {
			errand->answer->old_style_offsets = errand->offsets;
			errand->answer->old_style_offsets_count = errand->offsets_count;
		}
	}
	request_complete(request);
}

/* The lowest version that may ask for a special timestamp; -1 for one that no version has. */
static int list_offsets_version_of(int64_t timestamp)
{
	switch (timestamp) {
	case TIMESTAMP_MAX:
		return 7;
	case TIMESTAMP_EARLIEST_LOCAL:
		return 8;
	case TIMESTAMP_LATEST_TIERED:
		return 9;
	case TIMESTAMP_EARLIEST_PENDING_UPLOAD:
		return 11;
	default:
		return timestamp < TIMESTAMP_EARLIEST_PENDING_UPLOAD ? -1 : 0;
	}
}

/* An isolation level that does not exist fails the whole request, in Kafka with the error of an
 * exception that nobody expected. */
static bool list_offsets_isolation_is_known(const struct request *request)
{
	const struct list_offsets_request *message = request->message;

	return request->version < 2 || message->isolation_level == 0 ||
	       message->isolation_level == 1;
}

static int16_t list_offsets_check(const struct request *request, const struct image_topic *topic,
	bool allowed, const struct list_offsets_request_list_offsets_partition *ask)
{
	int lowest = list_offsets_version_of(ask->timestamp);

	if (!list_offsets_isolation_is_known(request))
		return KAFKA_UNKNOWN_SERVER_ERROR;
	if (!allowed)
		return KAFKA_TOPIC_AUTHORIZATION_FAILED;
	if (lowest < 0 || lowest > request->version)
		return KAFKA_UNSUPPORTED_VERSION;
	if (!topic || ask->partition_index < 0 ||
		ask->partition_index >= (int32_t)image_partition_count(topic))
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	if (request->version == 0 && ask->max_num_offsets < 0)
		return KAFKA_UNKNOWN_SERVER_ERROR;
	return 0;
}

/* One partition that is asked for, into OUT; a repeated one makes the first wrong, as both can't be
 * answered. */
static bool list_offsets_ask(struct request *request, void **before,
	const struct image_topic *topic, bool allowed,
	const struct list_offsets_request_list_offsets_partition *ask,
	struct list_offsets_response_list_offsets_topic_response *out)
{
	struct list_offsets *work = request->context;
	struct list_offsets_response_list_offsets_partition_response *answer = *before;

	if (answer && request->version > 0 && list_offsets_isolation_is_known(request)) {
		answer->error_code = KAFKA_INVALID_REQUEST;
		return true;
	}
	answer = &out->partitions[out->partitions_count++];
	*before = answer;
	answer->partition_index = ask->partition_index;
	answer->timestamp = -1;
	answer->offset = -1;
	answer->error_code = list_offsets_check(request, topic, allowed, ask);
	if (answer->error_code)
		return true;
	struct list_offsets_errand *errand = &work->list[work->count++];
	errand->ask = ask;
	errand->answer = answer;
	errand->topic = topic;
	if (request->version == 0) {
		int32_t room = min_of(ask->max_num_offsets, (int32_t)LIST_OFFSETS_OLD_STYLE_MAX);
		errand->offsets = request_new_array(request, int64_t, (size_t)room + 1);
		return errand->offsets != NULL;
	}
	return true;
}

/* Version 0 answers topic by topic, as does a request that fails as a whole; others by partitions:
 * each topic once, if it has any. */
static void list_offsets_note_topics(const struct request *request, struct merge *merge)
{
	const struct list_offsets_request *message = request->message;

	bool apart = request->version == 0 || !list_offsets_isolation_is_known(request);

	for (int32_t i = 0; i < message->topics_count; i++) {
		if (apart)
			merge_topic_apart(merge, message->topics[i].partitions_count);
		else if (message->topics[i].partitions_count > 0)
			merge_topic(merge, message->topics[i].name,
				message->topics[i].partitions_count);
		else
			merge_topic_left_out(merge);
	}
}

static bool list_offsets_prepare(struct request *request, struct merge *merge)
{
	const struct list_offsets_request *message = request->message;
	struct list_offsets_response *response = request->response;
	struct list_offsets *work = request->context;

	list_offsets_note_topics(request, merge);
	response->topics_count = merge->place_count;
	response->topics =
		schema_new_array(&list_offsets_response_list_offsets_topic_response_schema,
			&request->arena, merge->place_count);
	work->list = request_new_array(request, struct list_offsets_errand, merge->partition_count);
	if (!response->topics || !work->list || !merge_partitions_init(merge))
		return false;
	for (int32_t i = 0; i < message->topics_count; i++) {
		const struct list_offsets_request_list_offsets_topic *in = &message->topics[i];
		int32_t place = merge_place(merge, i);
		if (place == MERGE_LEFT_OUT)
			continue;
		struct list_offsets_response_list_offsets_topic_response *out =
			&response->topics[place];
		const struct image_topic *topic = image_topic_by_name(request->image, in->name);
		bool allowed = authorize(request, ACL_DESCRIBE, RESOURCE_TOPIC, in->name);

		if (!out->partitions) {
			out->name = in->name;
			out->partitions = schema_new_array(
				&list_offsets_response_list_offsets_partition_response_schema,
				&request->arena, merge->sizes[place]);
			if (!out->partitions)
				return false;
		}
		for (int32_t j = 0; j < in->partitions_count; j++) {
			void **before = merge_partition(
				merge, place, in->partitions[j].partition_index);
			if (!list_offsets_ask(
				    request, before, topic, allowed, &in->partitions[j], out))
				return false;
		}
	}
	return true;
}

void handle_list_offsets(struct request *request)
{
	const struct list_offsets_request *message = request->message;
	struct list_offsets *work = request_new(request, struct list_offsets);
	struct merge merge;

	request->context = work;
	if (!work || !merge_init(&merge, &request->arena, max_of(message->topics_count, 0),
			     request_seed(request))) {
		request_out_of_memory(request);
		return;
	}
	bool prepared = list_offsets_prepare(request, &merge);
	merge_done(&merge);
	if (!prepared) {
		request_out_of_memory(request);
		return;
	}
	errands_init(&work->errands, request, list_offsets_finished);
	for (uint32_t i = 0; i < work->count; i++) {
		struct list_offsets_errand *errand = &work->list[i];
		/* One that was named again later is not asked for. */
		if (!errand->answer->error_code)
			errand_prepare(&work->errands, &errand->errand, errand->topic,
				errand->ask->partition_index, list_offsets_at_home);
	}
	errands_go(&work->errands);
}
