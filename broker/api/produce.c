/*
 * Produce, versions 0 to 13. Each partition's batches go to its home shard as a part, in place: the
 * log writes the very bytes that the connection received. Message sets of versions 0 to 2 (and of
 * old clients in later versions) are converted up first.
 *
 * Follows Kafka's KafkaApis.handleProduceRequest and ReplicaManager.appendRecords: per-partition
 * errors, acks=0 without a response but with a closed connection when something failed, acks=-1
 * refused when the in-sync replicas are too few.
 */
#include "broker/api/api.h"
#include "broker/api/merge.h"
#include "broker/replication/partition.h"
#include "protocol/batch.h"

struct produce;

struct produce_part {
	struct part part;
	struct log_append append;
	struct produce *produce;
	struct partition *partition; /* for the home shard */
	struct produce_response_partition_produce_response *answer;
	struct bytes records;
	int32_t leader_id, leader_epoch;
};

/* A partition that the request has named. */
struct produce_named {
	struct produce_response_partition_produce_response *answer;
	struct produce_part *part; /* NULL: refused so far */
};

struct produce {
	struct request *request;
	uint32_t pending; /* parts that have not come back */
	bool failed;	  /* some partition has an error */
	int16_t acks;
	struct produce_part *parts;
	uint32_t part_count;
	/* When there is more than one partition: */
	struct produce_named *named;
	uint32_t named_count;
	/* What Kafka does but doesn't tell: an append beside which the same partition was refused. */
	struct produce_response_partition_produce_response *untold;
};

static struct produce *produce_of(struct request *request)
{
	return request->context;
}

/* Only when the response has left, since record errors point into the operations that were refused. Good ones
 * hold nothing any more. */
static void produce_release(struct request *request)
{
	struct produce *produce = produce_of(request);

	for (uint32_t i = 0; i < produce->part_count; i++)
		log_append_done(&produce->parts[i].append);
}

static void produce_finish(struct request *request)
{
	struct produce *produce = produce_of(request);

	if (produce->acks == 0) {
		request->without_response = true;
		/* The client does not wait for an answer; closing is the one way to make it look
		 * again. */
		request->close_connection = produce->failed;
	}
	request_complete(request);
}

static bool produce_tells_log_start(int16_t error);

static void produce_part_answer(struct produce_part *part)
{
	struct produce_response_partition_produce_response *answer = part->answer;
	struct request *request = part->produce->request;
	const struct log_append *append = &part->append;
	int16_t error = part->part.error ? part->part.error : append->error_code;

	answer->error_code = error;
	answer->base_offset = error ? -1 : append->base_offset;
	answer->log_append_time_ms = error ? -1 : append->log_append_time_ms;
	answer->log_start_offset =
		part->part.error || !produce_tells_log_start(error) ? -1 : append->log_start;
	if (!error)
		return;
	part->produce->failed = true;
	if (part->part.error)
		return;
	request->release = produce_release;
	answer->error_message = str_from(append->error_message);
	if (append->record_error_count > 0) {
		answer->record_errors =
			schema_new_array(&produce_response_batch_index_and_error_message_schema,
				&request->arena, (int32_t)append->record_error_count);
		if (!answer->record_errors)
			return;
		answer->record_errors_count = (int32_t)append->record_error_count;
		for (uint32_t i = 0; i < append->record_error_count; i++) {
			answer->record_errors[i].batch_index = append->record_errors[i].batch_index;
			answer->record_errors[i].batch_index_error_message =
				str_from(append->record_errors[i].message);
		}
	}
	if (error == KAFKA_NOT_LEADER_OR_FOLLOWER) {
		answer->current_leader.leader_id = part->leader_id;
		answer->current_leader.leader_epoch = part->leader_epoch;
	}
}

static void produce_part_back(struct part *part)
{
	struct produce_part *produce_part = container_of(part, struct produce_part, part);
	struct produce *produce = produce_part->produce;

	produce_part_answer(produce_part);
	if (--produce->pending == 0)
		produce_finish(produce->request);
}

static void produce_appended(struct log_append *append)
{
	struct produce_part *part = container_of(append, struct produce_part, append);

	if (append->error_code == 0 && !append->duplicate)
		partition_advanced(part->partition);
	partition_unuse(part->partition);
	part_return_last(&part->part);
}

static void produce_at_home(struct part *part, struct partition *partition)
{
	struct produce_part *produce_part = container_of(part, struct produce_part, part);
	struct log_append *append = &produce_part->append;

	produce_part->leader_id = partition->leader;
	produce_part->leader_epoch = partition->leader_epoch;
	append->log_start = log_start(partition->log);
	int16_t error = partition_leader_check(partition, -1);
	if (!error && produce_part->produce->acks == -1 &&
		partition->isr_count < min_of(partition->min_isr, partition->replica_count))
		error = KAFKA_NOT_ENOUGH_REPLICAS;
	if (error) {
		append->error_code = error;
		append->base_offset = -1;
		part_return(part);
		return;
	}
	append->records = (uint8_t *)(uintptr_t)produce_part->records.data;
	append->size = (uint32_t)produce_part->records.size;
	append->origin = APPEND_CLIENT;
	append->produce_version = produce_part->produce->request->version;
	append->leader_epoch = partition->leader_epoch;
	append->done = produce_appended;
	produce_part->partition = partition;
	partition_use(partition);
	log_append(partition->log, append);
}

/* What Kafka's ProduceRequest.validateRecords refuses before anything is appended: 0 or the
 * partition's error. From version 3 on exactly one batch, of magic 2, and zstd not before
 * version 7. Nothing at all instead of records, which Kafka's handler fails on, is no record. */
static int16_t produce_records_check(const struct request *request, struct bytes records)
{
	struct batch_header header;
	int64_t size;

	if (records.size < 0)
		return KAFKA_INVALID_RECORD;
	if (request->version < 3)
		return 0;
	size = records.size > 0 ? batch_next(records.data, (size_t)records.size, &header) : 0;
	if (size == 0)
		return KAFKA_INVALID_RECORD;
	if (size < 0)
		return batch_error_code((int)size);
	if (header.magic != 2)
		return KAFKA_INVALID_RECORD;
	if (request->version < 7) {
		if (!compression_name(batch_compression(&header)))
			return batch_error_code(BATCH_ERROR_DECOMPRESS);
		if (batch_compression(&header) == COMPRESSION_ZSTD)
			return KAFKA_UNSUPPORTED_COMPRESSION_TYPE;
	}
	struct batch_header second;
	return batch_next(records.data + size, (size_t)(records.size - size), &second) == 0
		       ? 0
		       : KAFKA_INVALID_RECORD;
}

/* Kafka tells where the log starts only when the log itself refused the batch. */
static bool produce_tells_log_start(int16_t error)
{
	switch (error) {
	case KAFKA_CORRUPT_MESSAGE:
	case KAFKA_MESSAGE_TOO_LARGE:
	case KAFKA_RECORD_LIST_TOO_LARGE:
	case KAFKA_NOT_LEADER_OR_FOLLOWER:
	case KAFKA_UNKNOWN_TOPIC_OR_PARTITION:
	case KAFKA_KAFKA_STORAGE_ERROR:
		return false;
	default:
		return true;
	}
}

/* What is wrong with all partitions of a topic: 0, or Kafka's error. *RET_TOPIC is NULL when it
 * isn't known. */
static int16_t produce_topic_check(struct request *request,
	const struct produce_request_topic_produce_data *in, const struct image_topic **ret_topic)
{
	bool by_id = request->version >= 13;
	const struct image_topic *topic = by_id ? image_topic_by_id(request->image, &in->topic_id)
						: image_topic_by_name(request->image, in->name);
	struct str name = topic ? topic->name : in->name;

	*ret_topic = topic;
	if (by_id && !topic)
		return KAFKA_UNKNOWN_TOPIC_ID;
	if (!authorize(request, ACL_WRITE, RESOURCE_TOPIC, name))
		return KAFKA_TOPIC_AUTHORIZATION_FAILED;
	if (!topic)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	return 0;
}

/* What Kafka refuses when it appends, whatever the records are. */
static int16_t produce_append_check(
	const struct request *request, const struct image_topic *topic)
{
	const struct produce_request *message = request->message;

	if (message->acks < -1 || message->acks > 1)
		return KAFKA_INVALID_REQUIRED_ACKS;
	if (topic_name_is_internal(topic->name) &&
		!str_equal(request->client_id, STR("__admin_client")))
		return KAFKA_INVALID_TOPIC_EXCEPTION;
	return 0;
}

static int16_t produce_partition_check(const struct request *request,
	const struct image_topic *topic, const struct produce_request_partition_produce_data *data)
{
	if (data->index < 0 || data->index >= (int32_t)image_partition_count(topic))
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	int16_t error = produce_records_check(request, data->records.bytes);
	return error ? error : produce_append_check(request, topic);
}

static struct produce_part *produce_part_add(struct produce *produce,
	const struct image_topic *topic, const struct produce_request_partition_produce_data *data,
	struct produce_response_partition_produce_response *answer)
{
	struct request *request = produce->request;
	struct produce_part *part = &produce->parts[produce->part_count++];

	part->produce = produce;
	part->answer = answer;
	part->records = data->records.bytes;
	part_address(&part->part, request->shard, request->image, topic, data->index);
	part->part.at_home = produce_at_home;
	part->part.back = produce_part_back;
	return part;
}

static void produce_refuse(
	struct produce *produce, struct produce_response_partition_produce_response *answer, int16_t error)
{
	answer->error_code = error;
	answer->error_message =
		error == KAFKA_CORRUPT_MESSAGE ? kafka_error_message(error) : STR_NULL;
	produce->failed = true;
}

/* A partition that was named before: the last records are appended, and an error is what is told:
 * that of records that cannot be read rather than that of an append. */
static void produce_partition_again(struct produce *produce, struct produce_named *named,
	const struct image_topic *topic, const struct produce_request_partition_produce_data *data,
	int16_t error)
{
	if (error) {
		bool late = topic && error == produce_append_check(produce->request, topic);
		if (!late || !named->answer->error_code)
			produce_refuse(produce, named->answer, error);
		if (named->part)
			named->part->answer = produce->untold;
	} else if (named->part) {
		named->part->records = data->records.bytes;
	} else {
		named->part = produce_part_add(produce, topic, data, produce->untold);
	}
}

/* One topic of the request into OUT: refused at once, or a part for each partition. MERGE is NULL when
 * the request names just one partition. */
static void produce_topic(struct produce *produce,
	const struct produce_request_topic_produce_data *in, int16_t refused, struct merge *merge,
	int32_t place, struct produce_response_topic_produce_response *out)
{
	struct request *request = produce->request;
	const struct image_topic *topic;
	int16_t topic_error = produce_topic_check(request, in, &topic);

	if (refused)
		topic_error = refused;
	for (int32_t j = 0; j < in->partition_data_count; j++) {
		const struct produce_request_partition_produce_data *data = &in->partition_data[j];
		struct produce_named only = {0}, *named = &only;
		int16_t error =
			topic_error ? topic_error : produce_partition_check(request, topic, data);

		if (merge) {
			void **before = merge_partition(merge, place, data->index);
			if (*before) {
				produce_partition_again(produce, *before, topic, data, error);
				continue;
			}
			*before = named = &produce->named[produce->named_count++];
		}
		named->answer = &out->partition_responses[out->partition_responses_count++];
		named->answer->index = data->index;
		named->answer->base_offset = -1;
		named->answer->log_append_time_ms = -1;
		named->answer->log_start_offset = -1;
		if (error) {
			produce_refuse(produce, named->answer, error);
			continue;
		}
		named->part = produce_part_add(produce, topic, data, named->answer);
	}
}

static struct str produce_topic_key(
	const struct request *request, const struct produce_request_topic_produce_data *topic)
{
	return request->version >= 13 ? (struct str){(const char *)&topic->topic_id,
						(int32_t)sizeof(topic->topic_id)}
				      : topic->name;
}

/* All topics of the request: each is answered once, and so is each partition. Kafka answers by partitions: a
 * topic without any is not in the answer. False when the arena is exhausted. */
static bool produce_topics(struct produce *produce, int16_t refused, struct merge *merge)
{
	struct request *request = produce->request;
	const struct produce_request *message = request->message;
	struct produce_response *response = request->response;

	for (int32_t i = 0; i < message->topic_data_count; i++) {
		const struct produce_request_topic_produce_data *in = &message->topic_data[i];
		if (!merge)
			continue;
		if (in->partition_data_count > 0)
			merge_topic(merge, produce_topic_key(request, in),
				in->partition_data_count);
		else
			merge_topic_left_out(merge);
	}
	response->responses_count = merge ? merge->place_count : 1;
	response->responses = schema_new_array(&produce_response_topic_produce_response_schema,
		&request->arena, response->responses_count);
	if (!response->responses || (merge && !merge_partitions_init(merge)))
		return false;
	for (int32_t i = 0; i < message->topic_data_count; i++) {
		const struct produce_request_topic_produce_data *in = &message->topic_data[i];
		int32_t place = merge ? merge_place(merge, i) : 0;
		if (in->partition_data_count <= 0)
			continue;
		struct produce_response_topic_produce_response *out = &response->responses[place];
		if (!out->partition_responses) {
			out->name = in->name;
			out->topic_id = in->topic_id;
			out->partition_responses = schema_new_array(
				&produce_response_partition_produce_response_schema,
				&request->arena, merge ? merge->sizes[place] : 1);
			if (!out->partition_responses)
				return false;
		}
		produce_topic(produce, in, refused, merge, place, out);
	}
	return true;
}

/* Kafka looks at each partition's first batch before anything else, for transactions: 0, or the error of a
 * beginning that is none, and whether there is one of a transaction. */
static int16_t produce_first_batches(const struct produce_request *message, bool *ret_transactional)
{
	*ret_transactional = false;
	for (int32_t i = 0; i < message->topic_data_count; i++) {
		for (int32_t j = 0; j < message->topic_data[i].partition_data_count; j++) {
			struct bytes records =
				message->topic_data[i].partition_data[j].records.bytes;
			struct batch_header header;
			if (records.size <= 0)
				continue;
			if (!batch_begins(records.data, (size_t)records.size))
				return KAFKA_CORRUPT_MESSAGE;
			if (batch_next(records.data, (size_t)records.size, &header) > 0 &&
				batch_is_transactional(&header)) {
				*ret_transactional = true;
				return 0;
			}
		}
	}
	return 0;
}

/* What is wrong with the request as a whole: records that cannot be read, transactions that the principal may not
 * write, or that no coordinator has begun. */
static int16_t produce_whole_check(const struct request *request)
{
	const struct produce_request *message = request->message;
	bool transactional;
	int16_t error = produce_first_batches(message, &transactional);

	if (error || !transactional)
		return error;
	if (str_is_null(message->transactional_id) ||
		!authorize(
			request, ACL_WRITE, RESOURCE_TRANSACTIONAL_ID, message->transactional_id))
		return KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
	/* A batch of a transaction that nobody can end would hold the last stable offset for ever.
	 */
	return KAFKA_INVALID_TXN_STATE;
}

void handle_produce(struct request *request)
{
	struct produce_request *message = request->message;
	struct produce *produce = request_new(request, struct produce);
	int16_t refused = produce_whole_check(request);
	uint32_t partitions = 0;
	struct merge merge;
	bool prepared;

	for (int32_t i = 0; i < message->topic_data_count; i++)
		partitions += (uint32_t)max_of(message->topic_data[i].partition_data_count, 0);
	if (!produce ||
		!(produce->parts = request_new_array(request, struct produce_part, partitions))) {
		request_out_of_memory(request);
		return;
	}
	if (partitions != 1) {
		produce->named = request_new_array(request, struct produce_named, partitions);
		produce->untold = request_new(
			request, struct produce_response_partition_produce_response);
		if (!produce->named || !produce->untold) {
			request_out_of_memory(request);
			return;
		}
	}
	request->context = produce;
	produce->request = request;
	produce->acks = message->acks;
	if (partitions == 1) {
		prepared = produce_topics(produce, refused, NULL);
	} else {
		prepared = merge_init(&merge, &request->arena, max_of(message->topic_data_count, 0),
			request_seed(request));
		prepared = prepared && produce_topics(produce, refused, &merge);
		merge_done(&merge);
	}
	if (!prepared) {
		request_out_of_memory(request);
		return;
	}
	produce->pending = produce->part_count;
	if (produce->pending == 0) {
		produce_finish(request);
		return;
	}
	for (uint32_t i = 0; i < produce->part_count; i++)
		part_send(&produce->parts[i].part);
}
