/* file.h and offload.h as calls that return when done: the operation lies on the fiber's stack. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/fiber.h"
#include "runtime/machine_ops.h"

struct fiber_file_op {
	struct file_op op;
	struct fiber *fiber;
};

static void fiber_file_op_done(struct shard *shard, struct file_op *op)
{
	fiber_unblock(container_of(op, struct fiber_file_op, op)->fiber);
}

static struct fiber_file_op fiber_file_op(struct shard *shard)
{
	ensure(fiber_current(shard));
	return (struct fiber_file_op){.op.done = fiber_file_op_done,
		.op.is_chore = fiber_asks_chores(shard),
		.fiber = fiber_current(shard)};
}

/* Asks by CALL(shard, &op, ...) and waits for DONE. */
#define FIBER_CALL(name, call, ...)                       \
	struct fiber_file_op name = fiber_file_op(shard); \
	call(shard, &name.op __VA_OPT__(, ) __VA_ARGS__); \
	fiber_block(shard)

int fiber_open(struct shard *shard, const char *path, unsigned flags, struct file **ret)
{
	FIBER_CALL(call, file_open, path, flags);
	if (call.op.result == 0)
		*ret = call.op.ret.file;
	return (int)call.op.result;
}

int64_t fiber_read(
	struct shard *shard, struct file *file, void *buffer, size_t size, uint64_t offset)
{
	FIBER_CALL(call, file_read, file, buffer, size, offset);
	return call.op.result;
}

int fiber_write(
	struct shard *shard, struct file *file, const void *data, size_t size, uint64_t offset)
{
	struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
	FIBER_CALL(call, file_write, file, &part, 1, offset);
	return call.op.result < 0 ? (int)call.op.result : 0;
}

int fiber_sync(struct shard *shard, struct file *file)
{
	FIBER_CALL(call, file_sync, file);
	return (int)call.op.result;
}

int fiber_truncate(struct shard *shard, struct file *file, uint64_t size)
{
	FIBER_CALL(call, file_truncate, file, size);
	return (int)call.op.result;
}

int fiber_allocate(struct shard *shard, struct file *file, uint64_t size)
{
	FIBER_CALL(call, file_allocate, file, size);
	return (int)call.op.result;
}

int fiber_file_size(struct shard *shard, struct file *file, uint64_t *ret_size)
{
	FIBER_CALL(call, file_status, file);
	if (call.op.result == 0)
		*ret_size = call.op.ret.status.size_bytes;
	return (int)call.op.result;
}

int fiber_rename(struct shard *shard, const char *from, const char *to)
{
	FIBER_CALL(call, path_rename, from, to);
	return (int)call.op.result;
}

int fiber_unlink(struct shard *shard, const char *path)
{
	FIBER_CALL(call, path_unlink, path);
	return (int)call.op.result;
}

int fiber_make_folder(struct shard *shard, const char *path)
{
	FIBER_CALL(call, path_make_folder, path);
	return (int)call.op.result;
}

int fiber_remove_folder(struct shard *shard, const char *path)
{
	FIBER_CALL(call, path_remove_folder, path);
	return (int)call.op.result;
}

int fiber_sync_folder(struct shard *shard, const char *folder)
{
	FIBER_CALL(call, path_sync, folder);
	return (int)call.op.result;
}

struct sync_wait {
	struct fiber *fiber;
	size_t count; /* not answered yet */
};

struct sync_part {
	struct file_op op;
	struct sync_wait *wait;
};

static void sync_part_done(struct shard *shard, struct file_op *op)
{
	struct sync_wait *wait = container_of(op, struct sync_part, op)->wait;

	if (--wait->count == 0)
		fiber_unblock(wait->fiber);
}

int fiber_sync_all(struct shard *shard, struct sync_ask *asks, size_t count)
{
	struct sync_wait wait = {.fiber = fiber_current(shard), .count = count};
	struct sync_part *parts;
	int error = 0;

	ensure(wait.fiber);
	if (count == 0)
		return 0;
	parts = calloc(count, sizeof(*parts));
	if (!parts)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		parts[i] = (struct sync_part){.op.done = sync_part_done,
			.op.is_chore = fiber_asks_chores(shard),
			.wait = &wait};
	/* Files first: where there is a journal, what they commit has most of the names in it. */
	for (size_t i = 0; i < count; i++)
		if (asks[i].file)
			file_sync(shard, &parts[i].op, asks[i].file);
	for (size_t i = 0; i < count; i++)
		if (!asks[i].file)
			path_sync(shard, &parts[i].op, asks[i].folder);
	fiber_block(shard);
	for (size_t i = 0; i < count; i++) {
		asks[i].error = (int)parts[i].op.result;
		error = error ? error : asks[i].error;
	}
	free(parts);
	return error;
}

int fiber_list(struct shard *shard, const char *folder, struct path_listing **ret)
{
	FIBER_CALL(call, path_list, folder);
	if (call.op.result == 0)
		*ret = call.op.ret.listing;
	return (int)call.op.result;
}

int fiber_path_status(struct shard *shard, const char *path, uint64_t *ret_size_bytes,
	int64_t *ret_modified_ms, bool *ret_is_folder)
{
	FIBER_CALL(call, path_status, path);
	if (call.op.result == 0) {
		if (ret_size_bytes)
			*ret_size_bytes = call.op.ret.status.size_bytes;
		if (ret_modified_ms)
			*ret_modified_ms = call.op.ret.status.modified_ms;
		if (ret_is_folder)
			*ret_is_folder = call.op.ret.status.is_folder;
	}
	return (int)call.op.result;
}

int fiber_space(struct shard *shard, const char *path, uint64_t *ret_free_bytes)
{
	FIBER_CALL(call, path_space, path);
	if (call.op.result == 0)
		*ret_free_bytes = call.op.ret.space.free_bytes;
	return (int)call.op.result;
}

/* DONE belongs to the caller's op; it runs on the fiber after the wait. The fiber is found through
 * a wrapper around the op's own WORK. */
struct fiber_offload {
	struct offload_op op;
	struct offload_op *inner;
	struct fiber *fiber;
};

static void fiber_offload_work(struct offload_op *op)
{
	struct offload_op *inner = container_of(op, struct fiber_offload, op)->inner;

	inner->work(inner);
}

static void fiber_offload_done(struct shard *shard, struct offload_op *op)
{
	fiber_unblock(container_of(op, struct fiber_offload, op)->fiber);
}

void fiber_offload(struct shard *shard, struct offload_op *op)
{
	struct fiber_offload call = {
		.op = {.work = fiber_offload_work, .done = fiber_offload_done},
		.inner = op,
		.fiber = fiber_current(shard),
	};

	ensure(call.fiber);
	offload(shard, &call.op);
	fiber_block(shard);
	if (op->done)
		op->done(shard, op);
}

/* Grows the buffer while the file has more than its size promised, up to LIMIT. */
static int fiber_read_to_end(
	struct shard *shard, struct file *file, size_t limit, char **ret_data, size_t *ret_size)
{
	uint64_t size_bytes;
	int error = fiber_file_size(shard, file, &size_bytes);

	if (error)
		return error;
	if (size_bytes > limit)
		return -EFBIG;
	size_t capacity = (size_t)size_bytes, size = 0;
	char *data = malloc(capacity + 1);
	if (!data)
		return -ENOMEM;
	for (;;) {
		/* One byte more than expected, so that a short result proves the end. */
		int64_t got = fiber_read(shard, file, data + size, capacity - size + 1, size);

		if (got < 0) {
			free(data);
			return (int)got;
		}
		size += (size_t)got;
		if (size <= capacity)
			break;
		if (capacity >= limit) {
			free(data);
			return -EFBIG;
		}
		capacity = capacity > limit / 2 ? limit : 2 * capacity + 1;
		char *larger = realloc(data, capacity + 1);
		if (!larger) {
			free(data);
			return -ENOMEM;
		}
		data = larger;
	}
	data[size] = '\0';
	*ret_data = data;
	*ret_size = size;
	return 0;
}

int fiber_read_whole(
	struct shard *shard, const char *path, size_t limit, char **ret_data, size_t *ret_size)
{
	struct file *file;

	ensure(limit < SIZE_MAX);
	int error = fiber_open(shard, path, FILE_READ, &file);
	if (error)
		return error;
	error = fiber_read_to_end(shard, file, limit, ret_data, ret_size);
	file_unref(file);
	return error;
}

int fiber_write_new(struct shard *shard, const char *path, const void *data, size_t size,
	struct file **ret_file)
{
	struct file *file;
	int error = fiber_open(shard, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE, &file);

	if (error)
		return error;
	error = fiber_write(shard, file, data, size, 0);
	if (error)
		file_unref(file);
	else
		*ret_file = file;
	return error;
}

static int fiber_replace_by_rename(
	struct shard *shard, const char *path, const void *data, size_t size, bool sync)
{
	struct file *file = NULL;
	char *temporary;
	int error;

	if (asprintf(&temporary, "%s.tmp", path) < 0)
		return -ENOMEM;
	error = fiber_write_new(shard, temporary, data, size, &file);
	if (!error && sync)
		error = fiber_sync(shard, file);
	file_unref(file);
	if (!error)
		error = fiber_rename(shard, temporary, path);
	if (error)
		fiber_unlink(shard, temporary); /* as well as can be: the first error counts */
	free(temporary);
	return error;
}

int fiber_replace_unsynced(struct shard *shard, const char *path, const void *data, size_t size)
{
	return fiber_replace_by_rename(shard, path, data, size, false);
}

int fiber_replace(struct shard *shard, const char *path, const void *data, size_t size)
{
	const char *slash = strrchr(path, '/');
	char *folder = !slash ? strdup(".")
			      : strndup(path, slash == path ? 1 : (size_t)(slash - path));
	int error;

	if (!folder)
		return -ENOMEM;
	error = fiber_replace_by_rename(shard, path, data, size, true);
	if (!error)
		error = fiber_sync_folder(shard, folder);
	free(folder);
	return error;
}
