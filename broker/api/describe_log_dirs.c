/*
 * DescribeLogDirs, versions 0 to 5: each log directory with its logs' sizes and the space of its
 * file system. Partitions tell of their logs at home, those that are asked for or all; the main
 * shard, which owns the directories, puts the answer together.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/api/api.h"
#include "broker/replication/log_rows.h"
#include "runtime/fiber.h"

/* A partition that is asked for by name; such are awaited when they are only just being opened. */
struct row_errand {
	struct errand errand;
	struct log_row row; /* its topic's name is the request's */
};

struct describe_work {
	struct errands errands;
	struct row_errand *list;
	uint32_t count;
	struct log_row *rows;
	uint32_t row_count;
};

static int row_compare(const void *a, const void *b)
{
	const struct log_row *left = a, *right = b;
	int order = left->dir != right->dir ? (left->dir > right->dir ? 1 : -1)
					    : str_compare(left->topic, right->topic);

	return order ? order
		     : (left->partition > right->partition) - (left->partition < right->partition);
}

/* Sorted, and each once, however often it was named. */
static uint32_t rows_sort(struct log_row *rows, uint32_t count)
{
	uint32_t kept = 0;

	qsort(rows, count, sizeof(*rows), row_compare);
	for (uint32_t i = 0; i < count; i++) {
		if (kept == 0 || row_compare(&rows[i], &rows[kept - 1]) != 0)
			rows[kept++] = rows[i];
	}
	return kept;
}

struct space_wait {
	struct file_op op;
	struct fiber *fiber;
	bool done;
};

static void space_done(struct shard *shard, struct file_op *op)
{
	struct space_wait *wait = container_of(op, struct space_wait, op);

	wait->done = true;
	fiber_wake(shard, wait->fiber);
}

/* The rows of one directory, which are sorted, as topics. False when the arena is exhausted. */
static bool dir_fill(struct request *request, const struct log_row *rows, uint32_t count,
	struct describe_log_dirs_response_describe_log_dirs_result *out)
{
	int32_t topics = 0;

	for (uint32_t i = 0; i < count; i++)
		topics += i == 0 || !str_equal(rows[i].topic, rows[i - 1].topic);
	out->topics = schema_new_array(&describe_log_dirs_response_describe_log_dirs_topic_schema,
		&request->arena, topics);
	struct describe_log_dirs_response_describe_log_dirs_partition *partitions =
		schema_new_array(&describe_log_dirs_response_describe_log_dirs_partition_schema,
			&request->arena, (int32_t)count);
	if (!out->topics || !partitions)
		return false;
	struct describe_log_dirs_response_describe_log_dirs_topic *topic = NULL;
	for (uint32_t i = 0; i < count; i++) {
		if (!topic || !str_equal(rows[i].topic, rows[i - 1].topic)) {
			topic = &out->topics[out->topics_count++];
			topic->name = arena_str(&request->arena, rows[i].topic);
			if (str_is_null(topic->name))
				return false;
			topic->partitions = &partitions[i];
		}
		partitions[i].partition_index = rows[i].partition;
		partitions[i].partition_size = (int64_t)rows[i].size_bytes;
		topic->partitions_count++;
	}
	return true;
}

/* As Java's toAbsolutePath: the working folder before a relative path. */
static struct str dir_absolute_path(struct request *request, const struct log_dir *dir)
{
	const char *working = request->shard->broker->options.working_folder;

	if (dir->path[0] == '/' || !working)
		return str_from(dir->path);
	return str_from(arena_printf(&request->arena, "%s/%s", working, dir->path));
}

static int answer_fill(struct request *request, struct log_row *rows, uint32_t count)
{
	struct describe_log_dirs_response *response = request->response;
	struct broker *broker = request->shard->broker;
	struct shard *shard = request->shard->shard;
	uint32_t dirs = log_dirs_count(broker->log_dirs), from = 0;

	response->results =
		schema_new_array(&describe_log_dirs_response_describe_log_dirs_result_schema,
			&request->arena, (int32_t)dirs);
	if (!response->results)
		return -ENOMEM;
	count = rows_sort(rows, count);
	for (uint32_t i = 0; i < dirs; i++) {
		const struct log_dir *dir = log_dirs_at(broker->log_dirs, i);
		struct describe_log_dirs_response_describe_log_dirs_result *out =
			&response->results[response->results_count++];
		uint32_t end = from;

		while (end < count && rows[end].dir == i)
			end++;
		out->log_dir = dir_absolute_path(request, dir);
		out->is_cordoned = log_dir_is_cordoned(dir);
		if (!log_dir_is_online(dir)) {
			out->error_code = KAFKA_KAFKA_STORAGE_ERROR;
		} else {
			struct space_wait wait = {
				.op.done = space_done, .fiber = fiber_current(shard)};
			path_space(shard, &wait.op, dir->path);
			while (!wait.done)
				fiber_wait(shard);
			if (wait.op.result == 0) {
				out->total_bytes = (int64_t)min_of(
					wait.op.ret.space.total_bytes, (uint64_t)INT64_MAX);
				out->usable_bytes = (int64_t)min_of(
					wait.op.ret.space.free_bytes, (uint64_t)INT64_MAX);
			}
			if (!dir_fill(request, rows + from, end - from, out))
				return -ENOMEM;
		}
		from = end;
	}
	return 0;
}

static void describe_fiber(struct shard *shard, void *argument)
{
	struct request *request = argument;
	const struct describe_log_dirs_request *message = request->message;
	const struct describe_work *work = request->context;
	struct log_rows all = {0};
	int error;

	if (message->topics_count >= 0) {
		error = answer_fill(request, work->rows, work->row_count);
	} else {
		error = log_rows_collect(request->shard->broker, &all);
		if (error == 0)
			error = answer_fill(request, all.rows, all.count);
		log_rows_done(&all);
	}
	if (error < 0)
		request_out_of_memory(request);
	else
		request_complete(request);
}

static void describe_on_main(struct request *request)
{
	if (fiber_start(request->shard->shard, describe_fiber, request) < 0)
		request_out_of_memory(request);
}

static void row_at_home(struct errand *errand, struct partition *partition)
{
	struct row_errand *mine = container_of(errand, struct row_errand, errand);

	mine->row = log_row_of(partition, mine->row.topic);
	errand_return(errand, partition->delete_wanted ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : 0);
}

static void rows_finished(struct request *request)
{
	struct describe_work *work = request->context;

	for (uint32_t i = 0; i < work->count; i++) {
		if (!work->list[i].errand.error)
			work->rows[work->row_count++] = work->list[i].row;
	}
	request_move(request, SHARD_MAIN, describe_on_main);
}

/* Partitions that do not exist are left out of the answer, as in Kafka. */
static void rows_ask(struct request *request, struct describe_work *work)
{
	const struct describe_log_dirs_request *message = request->message;

	errands_init(&work->errands, request, rows_finished);
	for (int32_t i = 0; i < message->topics_count; i++) {
		const struct describe_log_dirs_request_describable_log_dir_topic *in =
			&message->topics[i];
		const struct image_topic *topic = image_topic_by_name(request->image, in->topic);

		for (int32_t j = 0; topic && j < in->partitions_count; j++) {
			struct row_errand *mine = &work->list[work->count];
			if (!image_partition(topic, in->partitions[j]))
				continue;
			work->count++;
			mine->row.topic = in->topic;
			errand_prepare(&work->errands, &mine->errand, topic, in->partitions[j],
				row_at_home);
		}
	}
	errands_go(&work->errands);
}

void handle_describe_log_dirs(struct request *request)
{
	const struct describe_log_dirs_request *message = request->message;
	struct describe_log_dirs_response *response = request->response;
	struct describe_work *work;
	uint32_t named = 0;

	if (!authorize_cluster(request, ACL_DESCRIBE)) {
		response->error_code = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
		request_complete(request);
		return;
	}
	if (message->topics_count < 0) {
		request_move(request, SHARD_MAIN, describe_on_main);
		return;
	}
	for (int32_t i = 0; i < message->topics_count; i++)
		named += (uint32_t)max_of(message->topics[i].partitions_count, 0);
	work = request_new(request, struct describe_work);
	if (!work || !(work->list = request_new_array(request, struct row_errand, named)) ||
		!(work->rows = request_new_array(request, struct log_row, named))) {
		request_out_of_memory(request);
		return;
	}
	request->context = work;
	rows_ask(request, work);
}
