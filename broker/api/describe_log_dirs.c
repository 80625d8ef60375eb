/*
 * DescribeLogDirs, versions 0 to 5: each log directory with its logs' sizes and the space of its
 * file system. Every shard tells of its own logs; the main shard, which owns the directories, puts
 * the answer together.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/api/api.h"
#include "broker/replication/log_rows.h"
#include "runtime/fiber.h"

static bool is_asked(void *argument, const struct partition *partition)
{
	const struct describe_log_dirs_request *message = argument;

	if (message->topics_count < 0)
		return true;
	for (int32_t i = 0; i < message->topics_count; i++) {
		if (!str_equal(message->topics[i].topic, partition->topic))
			continue;
		for (int32_t j = 0; j < message->topics[i].partitions_count; j++) {
			if (message->topics[i].partitions[j] == partition->key.index)
				return true;
		}
	}
	return false;
}

static int row_compare(const void *a, const void *b)
{
	const struct log_row *left = a, *right = b;
	int order = left->dir != right->dir ? (left->dir > right->dir ? 1 : -1)
					    : str_compare(left->topic, right->topic);

	return order ? order
		     : (left->partition > right->partition) - (left->partition < right->partition);
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

static int answer_fill(struct request *request, struct log_rows *rows)
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
	qsort(rows->rows, rows->count, sizeof(*rows->rows), row_compare);
	for (uint32_t i = 0; i < dirs; i++) {
		const struct log_dir *dir = log_dirs_at(broker->log_dirs, i);
		struct describe_log_dirs_response_describe_log_dirs_result *out =
			&response->results[response->results_count++];
		uint32_t end = from;

		while (end < rows->count && rows->rows[end].dir == i)
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
			if (!dir_fill(request, rows->rows + from, end - from, out))
				return -ENOMEM;
		}
		from = end;
	}
	return 0;
}

static void describe_fiber(struct shard *shard, void *argument)
{
	struct request *request = argument;
	struct log_rows rows;
	int error = log_rows_collect(
		request->shard->broker, is_asked, (void *)(uintptr_t)request->message, &rows);

	if (error == 0)
		error = answer_fill(request, &rows);
	log_rows_done(&rows);
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

void handle_describe_log_dirs(struct request *request)
{
	struct describe_log_dirs_response *response = request->response;

	if (!authorize_cluster(request, ACL_DESCRIBE)) {
		response->error_code = KAFKA_CLUSTER_AUTHORIZATION_FAILED;
		request_complete(request);
		return;
	}
	request_move(request, SHARD_MAIN, describe_on_main);
}
