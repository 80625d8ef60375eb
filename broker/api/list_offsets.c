/*
 * ListOffsets, versions 0 to 11: by special timestamp from the partition's state, by time from its
 * indexes. Version 0 answers a list of segment boundaries ("old style offsets").
 */
#include "broker/api/api.h"
#include "broker/api/seen.h"

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

void handle_list_offsets(struct request *request)
{
	const struct list_offsets_request *message = request->message;
	struct list_offsets_response *response = request->response;
	struct list_offsets *work = request_new(request, struct list_offsets);
	uint32_t partitions = 0;
	struct seen seen;

	for (int32_t i = 0; i < message->topics_count; i++)
		partitions += (uint32_t)max_of(message->topics[i].partitions_count, 0);
	int32_t topics = max_of(message->topics_count, 0);
	response->topics = schema_new_array(
		&list_offsets_response_list_offsets_topic_response_schema, &request->arena, topics);
	if (!work || !response->topics ||
		!seen_init(&seen, &request->arena, partitions, request_seed(request)) ||
		!(work->list = request_new_array(
			  request, struct list_offsets_errand, partitions))) {
		request_out_of_memory(request);
		return;
	}
	response->topics_count = topics;
	request->context = work;
	errands_init(&work->errands, request, list_offsets_finished);

	for (int32_t i = 0; i < topics; i++) {
		const struct list_offsets_request_list_offsets_topic *in = &message->topics[i];
		struct list_offsets_response_list_offsets_topic_response *out =
			&response->topics[i];
		const struct image_topic *topic = image_topic_by_name(request->image, in->name);
		bool allowed = authorize(request, ACL_DESCRIBE, RESOURCE_TOPIC, in->name);
		int32_t count = max_of(in->partitions_count, 0);

		out->name = in->name;
		out->partitions = schema_new_array(
			&list_offsets_response_list_offsets_partition_response_schema,
			&request->arena, count);
		if (!out->partitions) {
			request_out_of_memory(request);
			return;
		}
		out->partitions_count = count;
		for (int32_t j = 0; j < count; j++) {
			const struct list_offsets_request_list_offsets_partition *ask =
				&in->partitions[j];
			struct list_offsets_response_list_offsets_partition_response *answer =
				&out->partitions[j];
			int lowest = list_offsets_version_of(ask->timestamp);

			answer->partition_index = ask->partition_index;
			answer->timestamp = -1;
			answer->offset = -1;
			if (!allowed)
				answer->error_code = KAFKA_TOPIC_AUTHORIZATION_FAILED;
			else if (lowest < 0 || lowest > request->version)
				answer->error_code = KAFKA_UNSUPPORTED_VERSION;
			else if (!topic || ask->partition_index < 0 ||
				 ask->partition_index >= (int32_t)image_partition_count(topic))
				answer->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
			else if (request->version > 0 &&
				 seen_add(&seen, topic, ask->partition_index))
				answer->error_code = KAFKA_INVALID_REQUEST;
			if (answer->error_code)
				continue;
			struct list_offsets_errand *errand = &work->list[work->count++];
			errand->ask = ask;
			errand->answer = answer;
			if (request->version == 0) {
				/* As many as asked, but never more than a partition can have
				 * segments worth telling. */
				int32_t room = min_of(max_of(ask->max_num_offsets, 0),
					(int32_t)LIST_OFFSETS_OLD_STYLE_MAX);
				errand->offsets =
					request_new_array(request, int64_t, (size_t)room + 1);
				if (!errand->offsets) {
					request_out_of_memory(request);
					return;
				}
			}
			errand_prepare(&work->errands, &errand->errand, &topic->id,
				ask->partition_index, list_offsets_at_home);
		}
	}
	errands_go(&work->errands);
}
