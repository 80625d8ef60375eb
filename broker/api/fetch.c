/*
 * Fetch, versions 0 to 18. What is to be read comes from the request or its session
 * (fetch_session.h); each partition is read by a part on its home shard, which answers with a
 * slice of a segment file and touches no data. The slices are then trimmed to the limits of the
 * request in its order, and the connection sends them from the page cache.
 *
 * A long poll:
 *
 *	reading --(enough, an error, or no time left)--> recalling --(all are here)--> answered
 *	^  \
 *	|   (too little)
 *	|    v
 *	+--- watching: the parts without enough wait at their partitions
 *	(one     |
 *	came     +--(deadline, or the client has gone)--> recalling
 *	back)
 *
 * A fetch of more than FETCH_STEP partitions is cut into steps at both ends, so that other clients do not
 * wait for it. Before the reading its parts are made, FETCH_STEP a step; it counts as reading
 * until the last was, so that a client that goes meanwhile changes nothing before then. After the last part
 * came back, no longer to be told anything: filling in what each said, the session, the rows of the
 * response, and the encoding (request_complete) are a step each.
 *
 * Invariants:
 *  1. A part is here, away reading, or away watching; the fetch is answered only when all are
 *     here and no recall is under way, because parts live in the request.
 *  2. A part that watches carries the end it has seen, so that progress between its read and its
 *     arrival is not missed.
 *  3. Each slice holds one reference of its file until the response has left.
 *
 * Follows ReplicaManager.fetchMessages/readFromLog and DelayedFetch; legacy formats are converted
 * down for versions 0 to 3 (fetch_convert.c).
 */
#include "broker/api/fetch_internal.h"

/* What an answer takes in memory for each partition: its row, once as it is made and once in its
 * place, and its bytes in a buffer that doubles. Many polls may end at once, so it is charged while
 * they wait. */
enum { ANSWER_ROW_BYTES = 2 * sizeof(struct fetch_response_partition_data) + 2 * 64 };

enum { FETCH_STEP = 1000 }; /* partitions */

static void fetch_step(struct fetch *fetch);

/* ---- at the partition's home ---- */

static int64_t fetch_end(const struct fetch *fetch, const struct partition *partition)
{
	return fetch->read_committed ? log_last_stable_offset(partition->log)
				     : log_high_watermark(partition->log);
}

static void fetch_read_done(struct log_read *read)
{
	struct fetch_part *part = container_of(read, struct fetch_part, read);

	part->error = read->error_code;
	part->log_start = read->log_start;
	if (read->slice.size > 0) {
		part->piece = (struct piece){.file = read->slice.file,
			.offset = read->slice.position,
			.size = read->slice.size};
		part->first_batch_size = read->slice.first_batch_size;
	}
	partition_unuse(part->partition);
	part_return(&part->part);
}

static void fetch_at_home(struct part *part_base, struct partition *partition)
{
	struct fetch_part *part = container_of(part_base, struct fetch_part, part);
	const struct fetch *fetch = part->fetch;
	const struct fetch_want *want = part->want;

	part->leader = partition->leader;
	part->leader_epoch = partition->leader_epoch;
	part->high_watermark = log_high_watermark(partition->log);
	part->last_stable_offset = log_last_stable_offset(partition->log);
	part->log_start = log_start(partition->log);
	part->seen_end = fetch_end(fetch, partition);
	/* Here every negative epoch means that none is known; elsewhere only -1 does. */
	part->error = partition_leader_check(partition, max_of(want->current_leader_epoch, -1));
	if (!part->error && want->is_stranger)
		part->error = KAFKA_NOT_LEADER_OR_FOLLOWER;
	/* Those who want conversion know nothing of zstd: a topic with that codec is not for them, whatever is in
	 * it. */
	if (fetch->request->version < 4 &&
		log_config(partition->log)->compression == COMPRESSION_ZSTD)
		part->error = KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
	if (part->error) {
		part_return(part_base);
		return;
	}
	if (want->last_fetched_epoch >= 0) {
		/* The fetcher's log may have diverged from ours: it truncates to where they agree
		 * (KIP-595). */
		int32_t epoch;
		int64_t end;
		log_epoch_end_offset(partition->log, want->last_fetched_epoch, &epoch, &end);
		if (end < 0 || epoch < 0) {
			part->error = KAFKA_OFFSET_OUT_OF_RANGE;
			part_return(part_base);
			return;
		}
		if (epoch < want->last_fetched_epoch || end < want->offset) {
			part->diverging_epoch = epoch;
			part->diverging_end = end;
			part_return(part_base);
			return;
		}
	}
	/* Kafka's reader throws at a negative limit, which nobody expects, once there is something to read. */
	if ((want->max_bytes < 0 || fetch->max_bytes < 0) && want->offset >= part->log_start &&
		want->offset < part->seen_end) {
		part->error = KAFKA_UNKNOWN_SERVER_ERROR;
		part_return(part_base);
		return;
	}
	/* Nothing new: most partitions of a session. */
	if (want->offset == part->seen_end && want->offset >= part->log_start &&
		log_is_usable(partition->log)) {
		part_return(part_base);
		return;
	}
	part->read.offset = want->offset;
	part->read.end = part->seen_end;
	part->read.max_bytes =
		(uint32_t)max_of(min_of((int64_t)want->max_bytes, fetch->max_bytes), (int64_t)0);
	part->read.at_least_one = !fetch->hard_limit;
	part->read.aborted_wanted = fetch->read_committed;
	part->read.done = fetch_read_done;
	part->partition = partition;
	partition_use(partition);
	log_read(partition->log, &part->read);
}

static void fetch_watch_fired(struct partition_watch *watch, struct partition *partition)
{
	struct fetch_part *part = container_of(watch, struct fetch_part, watch);

	part->watched = false;
	part_return(&part->part);
}

static void fetch_watch_at_home(struct part *part_base, struct partition *partition)
{
	struct fetch_part *part = container_of(part_base, struct fetch_part, part);

	if (part->recall_seen || partition->leader_epoch != part->leader_epoch ||
		fetch_end(part->fetch, partition) != part->seen_end ||
		log_start(partition->log) != part->log_start) {
		part_return(part_base);
		return;
	}
	part->watched = true;
	part->watch.fire = fetch_watch_fired;
	partition_watch(partition, &part->watch);
}

static void fetch_recall_back(struct shard *shard, struct task *task)
{
	struct fetch_part *part = container_of(task, struct fetch_part, recall);

	part->recalling = false;
	part->fetch->away--;
	fetch_step(part->fetch);
}

static void fetch_recall_there(struct shard *shard, struct task *task)
{
	struct fetch_part *part = container_of(task, struct fetch_part, recall);

	part->recall_seen = true;
	if (part->watched) {
		part->watched = false;
		partition_watch_cancel(&part->watch);
		part_return(&part->part);
	}
	part->recall.run = fetch_recall_back;
	shard_send(shard, part->part.asker->index, &part->recall);
}

/* ---- at the asking shard ---- */

static void fetch_piece_drop(struct fetch_part *part)
{
	file_unref(part->piece.file);
	part->piece = (struct piece){0};
	part->first_batch_size = 0;
	log_read_done(&part->read);
	if (part->converted)
		record_buffer_done(part->converted);
}

static void fetch_part_back(struct part *part_base)
{
	struct fetch_part *part = container_of(part_base, struct fetch_part, part);
	struct fetch *fetch = part->fetch;

	if (part_base->error)
		part->error = part_base->error;
	if (part->state == FETCH_PART_READING)
		fetch->reading--;
	else
		part->dirty = true;
	part->state = FETCH_PART_HERE;
	fetch->away--;
	fetch_step(fetch);
}

static void fetch_part_send(struct fetch_part *part, enum fetch_part_state state)
{
	part->state = state;
	part->fetch->away++;
	part->recall_seen = false;
	if (state == FETCH_PART_READING) {
		fetch_piece_drop(part);
		part->dirty = false;
		part->error = 0;
		part->left_out = false;
		part->diverging_epoch = -1;
		part->diverging_end = -1;
		part->part.at_home = fetch_at_home;
		part->fetch->reading++;
	} else {
		part->part.at_home = fetch_watch_at_home;
	}
	part->part.back = fetch_part_back;
	part_send(&part->part);
}

/* Gives each slice what the limits leave for it, in the order of the request; returns the bytes in
 * all. With APPLY the slices are cut. */
static int64_t fetch_trim(struct fetch *fetch, bool apply)
{
	int64_t remaining = fetch->max_bytes, total = 0;
	bool any = false;

	for (uint32_t i = 0; i < fetch->part_count; i++) {
		struct fetch_part *part = &fetch->parts[i];
		int64_t size = (int64_t)part->piece.size;
		if (size == 0 || part->error)
			continue;
		int64_t allowed = size;
		if (!fetch->hard_limit) {
			allowed = min_of((int64_t)part->want->max_bytes, remaining);
			if (!any)
				allowed = max_of(allowed, (int64_t)part->first_batch_size);
			/* A batch that doesn't fit is left out rather than cut: the client comes
			 * again. */
			part->left_out = allowed > 0 && (int64_t)part->first_batch_size > allowed;
			if ((int64_t)part->first_batch_size > allowed)
				allowed = 0;
			allowed = max_of(min_of(allowed, size), (int64_t)0);
		}
		if (allowed > 0)
			any = true;
		remaining = max_of(remaining - allowed, (int64_t)0);
		total += allowed;
		if (apply)
			part->piece.size = (size_t)allowed;
	}
	return total;
}

static bool fetch_has_answer(struct fetch *fetch)
{
	if (fetch->final || fetch->part_count == 0)
		return true;
	for (uint32_t i = 0; i < fetch->part_count; i++) {
		if (fetch->parts[i].error || fetch->parts[i].diverging_epoch >= 0)
			return true;
	}
	return fetch_trim(fetch, false) >= fetch->min_bytes;
}

static void fetch_recall_all(struct fetch *fetch)
{
	for (uint32_t i = 0; i < fetch->part_count; i++) {
		struct fetch_part *part = &fetch->parts[i];
		if (part->state != FETCH_PART_WATCHING || part->recalling)
			continue;
		part->recalling = true;
		fetch->away++;
		part->recall.run = fetch_recall_there;
		shard_send(fetch->shard->shard, part->part.home->index, &part->recall);
	}
}

static void fetch_answer(struct fetch *fetch);

/* Decides what comes next, whenever something has come back or time is up. */
static void fetch_step(struct fetch *fetch)
{
	if (fetch->reading > 0)
		return;
	if (!fetch->answering) {
		bool dirty = false;
		for (uint32_t i = 0; i < fetch->part_count; i++) {
			struct fetch_part *part = &fetch->parts[i];
			if (part->state == FETCH_PART_HERE && part->dirty) {
				fetch_part_send(part, FETCH_PART_READING);
				dirty = true;
			}
		}
		if (dirty)
			return;
		if (!fetch_has_answer(fetch)) {
			for (uint32_t i = 0; i < fetch->part_count; i++) {
				struct fetch_part *part = &fetch->parts[i];
				if (part->state == FETCH_PART_HERE)
					fetch_part_send(part, FETCH_PART_WATCHING);
			}
			if (!timer_is_set(&fetch->deadline))
				timer_set(
					fetch->shard->shard, &fetch->deadline, fetch->deadline_ns);
			return;
		}
		fetch->answering = true;
		timer_stop(fetch->shard->shard, &fetch->deadline);
		fetch_recall_all(fetch);
	}
	if (fetch->away == 0)
		fetch_answer(fetch);
}

static void fetch_time_is_up(struct shard *shard, struct timer *timer)
{
	struct fetch *fetch = container_of(timer, struct fetch, deadline);

	fetch->final = true;
	fetch_step(fetch);
}

static void fetch_abandoned(struct request *request)
{
	struct fetch *fetch = request->context;

	timer_stop(fetch->shard->shard, &fetch->deadline);
	fetch->final = true;
	fetch_step(fetch);
}

/* ---- the response ---- */

static void fetch_release(struct request *request)
{
	struct fetch *fetch = request->context;

	for (uint32_t i = 0; i < fetch->part_count; i++)
		fetch_piece_drop(&fetch->parts[i]);
}

static bool fetch_fill_aborted(struct fetch *fetch, const struct fetch_part *part,
	struct fetch_response_partition_data *data)
{
	/* Null says that nothing was read, or not as read_committed; an empty list that nothing was aborted. Kafka says
	 * null too of what it left out as too large, though not where no bytes were left. */
	data->aborted_transactions_count = -1;
	if (!fetch->read_committed || part->error || part->diverging_epoch >= 0 || part->left_out)
		return true;
	data->aborted_transactions = schema_new_array(&fetch_response_aborted_transaction_schema,
		&fetch->request->arena, (int32_t)part->read.aborted_count);
	if (!data->aborted_transactions)
		return false;
	data->aborted_transactions_count = (int32_t)part->read.aborted_count;
	for (uint32_t i = 0; i < part->read.aborted_count; i++) {
		data->aborted_transactions[i].producer_id = part->read.aborted[i].producer_id;
		data->aborted_transactions[i].first_offset = part->read.aborted[i].first_offset;
	}
	return true;
}

static bool fetch_fill(struct fetch *fetch, const struct fetch_want *want,
	struct fetch_response_partition_data *data)
{
	struct fetch_part *part = want->part;

	data->partition_index = want->key.index;
	data->high_watermark = -1;
	data->last_stable_offset = -1;
	data->log_start_offset = -1;
	data->records.bytes = (struct bytes){.data = (const uint8_t *)"", .size = 0};
	if (!part) {
		data->error_code = want->refused;
		return true;
	}
	data->error_code = part->error;
	if (!fetch_fill_aborted(fetch, part, data))
		return false;
	if (part->error) {
		bool moved = part->error == KAFKA_NOT_LEADER_OR_FOLLOWER ||
			     part->error == KAFKA_FENCED_LEADER_EPOCH;
		if (moved && fetch->request->version >= 16) {
			data->current_leader.leader_id = part->leader;
			data->current_leader.leader_epoch = part->leader_epoch;
		}
		if (part->error == KAFKA_UNSUPPORTED_COMPRESSION_TYPE)
			data->records.bytes = BYTES_NULL;
		return true;
	}
	data->high_watermark = part->high_watermark;
	data->last_stable_offset = part->last_stable_offset;
	data->log_start_offset = part->log_start;
	if (part->diverging_epoch >= 0) {
		data->diverging_epoch.epoch = part->diverging_epoch;
		data->diverging_epoch.end_offset = part->diverging_end;
		return true;
	}
	if (part->piece.size > 0) {
		data->records.external = &part->piece;
		data->records.bytes.size = (int32_t)part->piece.size;
	}
	return true;
}

/* Goes on with NEXT, at once where there is little to do. */
static void fetch_next(struct fetch *fetch, void (*next)(struct request *request))
{
	if (fetch->plan.want_count > FETCH_STEP)
		request_yield(fetch->request, next);
	else
		next(fetch->request);
}

static void fetch_rows(struct request *request)
{
	struct fetch *fetch = request->context;

	if (fetch_plan_rows(&fetch->plan, request, fetch->answers) < 0)
		request_out_of_memory(request);
	else
		request_complete(request);
}

static void fetch_settle(struct request *request)
{
	struct fetch *fetch = request->context;

	if (fetch_plan_settle(request->shard->fetch_sessions, &fetch->plan, request,
		    shard_wall_ms(request->shard->shard), fetch->answers) < 0)
		request_out_of_memory(request);
	else
		fetch_next(fetch, fetch_rows);
}

static void fetch_respond(struct request *request)
{
	struct fetch *fetch = request->context;

	request_discharge(request, fetch->answer_bytes);
	fetch->answers = schema_new_array(&fetch_response_partition_data_schema, &request->arena,
		(int32_t)fetch->plan.want_count);
	if (!fetch->answers) {
		request_out_of_memory(request);
		return;
	}
	for (uint32_t i = 0; i < fetch->plan.want_count; i++) {
		if (!fetch_fill(fetch, &fetch->plan.wants[i], &fetch->answers[i])) {
			request_out_of_memory(request);
			return;
		}
	}
	fetch_next(fetch, fetch_settle);
}

static void fetch_answer(struct fetch *fetch)
{
	/* A conversion takes its time: nobody may ask for another answer meanwhile. */
	request_park(fetch->request, NULL);
	fetch_trim(fetch, true);
	if (fetch->request->version < 4)
		fetch_convert(fetch->request, fetch_respond);
	else
		fetch_next(fetch, fetch_respond);
}

/* ---- the request ---- */

/* What holds for all partitions of a topic; they mostly follow one another in a plan. */
struct fetch_topic {
	const struct fetch_key *key; /* NULL: none yet */
	const struct image_topic *topic;
	bool may_read;
};

static void fetch_topic_resolve(struct request *request, const struct fetch_plan *plan,
	const struct fetch_key *key, struct fetch_topic *found)
{
	if (found->key && uuid_equal(&found->key->topic_id, &key->topic_id) &&
		str_equal(found->key->topic, key->topic))
		return;
	found->key = key;
	found->topic = plan->uses_topic_ids ? image_topic_by_id(request->image, &key->topic_id)
					    : image_topic_by_name(request->image, key->topic);
	found->may_read = plan->is_follower
				  ? authorize_cluster(request, ACL_CLUSTER_ACTION)
				  : authorize(request, ACL_READ, RESOURCE_TOPIC,
					    found->topic ? found->topic->name : key->topic);
}

/* The topic of WANT in the image, and whether it may be read: Kafka's error, or 0. */
static int16_t fetch_resolve(struct request *request, const struct fetch_plan *plan,
	struct fetch_want *want, struct fetch_topic *found)
{
	const struct fetch_request *message = request->message;

	fetch_topic_resolve(request, plan, &want->key, found);
	const struct image_topic *topic = found->topic;
	if (plan->uses_topic_ids && !topic)
		return KAFKA_UNKNOWN_TOPIC_ID;
	if (!found->may_read)
		return KAFKA_TOPIC_AUTHORIZATION_FAILED;
	if (!topic || want->key.index < 0 ||
		want->key.index >= (int32_t)image_partition_count(topic))
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	want->topic = topic;
	want->is_stranger = plan->is_follower &&
			    !partition_has_replica(image_partition(topic, want->key.index),
				    request->version >= 15 ? message->replica_state.replica_id
							   : message->replica_id);
	return 0;
}

/* A request that Kafka fails as a whole, by an exception while it reads it: every partition gets
 * the error, or from version 13 on none is named. */
static void fetch_fail(struct request *request, int16_t error)
{
	const struct fetch_request *message = request->message;
	struct fetch_response *response = request->response;
	int32_t topics = request->version < 13 ? max_of(message->topics_count, 0) : 0;

	response->error_code = error;
	response->session_id = message->session_id;
	response->responses = schema_new_array(
		&fetch_response_fetchable_topic_response_schema, &request->arena, topics);
	if (!response->responses) {
		request_out_of_memory(request);
		return;
	}
	response->responses_count = topics;
	for (int32_t i = 0; i < topics; i++) {
		struct fetch_response_fetchable_topic_response *out = &response->responses[i];
		int32_t count = max_of(message->topics[i].partitions_count, 0);

		out->topic = message->topics[i].topic;
		out->partitions = schema_new_array(
			&fetch_response_partition_data_schema, &request->arena, count);
		if (!out->partitions) {
			request_out_of_memory(request);
			return;
		}
		out->partitions_count = count;
		for (int32_t j = 0; j < count; j++) {
			out->partitions[j].partition_index =
				message->topics[i].partitions[j].partition;
			out->partitions[j].error_code = error;
			out->partitions[j].high_watermark = -1;
			out->partitions[j].records.bytes =
				(struct bytes){.data = (const uint8_t *)"", .size = 0};
		}
	}
	request_complete(request);
}

/* Makes the parts of the next wants, and reads when all are there. */
static void fetch_parts_begin(struct request *request)
{
	const struct fetch_request *message = request->message;
	struct fetch *fetch = request->context;
	uint32_t end = min_of(fetch->plan.want_count, fetch->begun + (uint32_t)FETCH_STEP);
	struct fetch_topic topic = {0};

	for (; fetch->begun < end; fetch->begun++) {
		struct fetch_want *want = &fetch->plan.wants[fetch->begun];
		/* What is refused doesn't shorten a long poll for the rest, as in Kafka. */
		want->refused = fetch_resolve(request, &fetch->plan, want, &topic);
		if (want->refused)
			continue;
		struct fetch_part *part = &fetch->parts[fetch->part_count++];
		*part = (struct fetch_part){
			.fetch = fetch, .want = want, .dirty = true, .diverging_epoch = -1};
		part_address(
			&part->part, fetch->shard, request->image, want->topic, want->key.index);
		want->part = part;
	}
	if (fetch->begun < fetch->plan.want_count) {
		request_yield(request, fetch_parts_begin);
		return;
	}
	/* Kafka looks at the isolation level when there is something to read. */
	if (fetch->part_count > 0 && request->version >= 4 && message->isolation_level != 0 &&
		message->isolation_level != 1) {
		request_park(request, NULL);
		fetch_fail(request, KAFKA_UNKNOWN_SERVER_ERROR);
		return;
	}
	fetch->reading--;
	fetch_step(fetch);
}

static void fetch_begin(struct request *request)
{
	const struct fetch_request *message = request->message;
	struct fetch *fetch = request_new(request, struct fetch);
	struct broker_shard *shard = request->shard;

	if (!fetch ||
		fetch_plan_make(shard->fetch_sessions, request, shard_wall_ms(shard->shard),
			&fetch->plan) < 0 ||
		!(fetch->parts = request_alloc(
			  request, fetch->plan.want_count * sizeof(struct fetch_part)))) {
		request_out_of_memory(request);
		return;
	}
	request->context = fetch;
	request->release = fetch_release;
	request_park(request, fetch_abandoned);
	fetch->request = request;
	fetch->shard = shard;
	fetch->answer_bytes = (size_t)fetch->plan.want_count * ANSWER_ROW_BYTES;
	request_charge(request, fetch->answer_bytes);
	fetch->read_committed = request->version >= 4 && message->isolation_level == 1;
	/* Before version 3 a partition's limit is hard: the client gets a cut batch and raises its
	 * limit. */
	fetch->hard_limit = request->version < 3;
	fetch->max_bytes = request->version < 3 ? INT32_MAX : message->max_bytes;
	if (!fetch->plan.is_follower)
		fetch->max_bytes = min_of(fetch->max_bytes,
			(int64_t)config_int(shard->config, SETTING_FETCH_MAX_BYTES));
	fetch->min_bytes = min_of((int64_t)message->min_bytes, fetch->max_bytes);
	fetch->final = message->max_wait_ms <= 0;
	fetch->deadline.fire = fetch_time_is_up;
	fetch->deadline_ns =
		shard_now_ns(shard->shard) + (uint64_t)max_of(message->max_wait_ms, 0) * NS_PER_MS;

	fetch->reading = 1;
	fetch_parts_begin(request);
}

void handle_fetch(struct request *request)
{
	unsigned shard = fetch_session_shard(request);

	if (shard == request->shard->index)
		fetch_begin(request);
	else
		request_move(request, shard, fetch_begin);
}
