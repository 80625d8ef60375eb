/* The front of asynchronous files: each call writes down what is asked and passes it to the
 * machine. */
#include "runtime/file.h"

#include "runtime/machine_ops.h"

void file_init(struct file *file, const struct machine_ops *ops)
{
	file->ops = ops;
	file->references = 1;
}

struct file *file_ref(struct file *file)
{
	ensure(__atomic_fetch_add(&file->references, 1, __ATOMIC_RELAXED) > 0);
	return file;
}

void file_unref(struct file *file)
{
	if (!file)
		return;
	uint32_t before = __atomic_fetch_sub(&file->references, 1, __ATOMIC_ACQ_REL);
	ensure(before > 0);
	if (before == 1)
		file->ops->file_close(file);
}

void file_op_task_run(struct shard *shard, struct task *task)
{
	struct file_op *op = container_of(task, struct file_op, task);
	struct file *file = op->ask.file;

	op->ask.file = NULL;
	file_unref(file);
	shard->step_code = (const void *)(uintptr_t)op->done;
	op->done(shard, op);
}

void file_op_complete(struct file_op *op, int64_t result)
{
	op->result = result;
	shard_post(op->ask.shard, &op->task);
}

/* For an op on an open FILE, which it keeps open until DONE runs; NULL for an op on a path. */
static void file_op_begin(
	struct file_op *op, struct shard *shard, enum file_op_kind kind, struct file *file)
{
	ensure(op->done);
	ensure(!list_node_is_linked(&op->task.node));
	op->task.run = file_op_task_run;
	op->result = 0;
	memset(&op->ask, 0, sizeof(op->ask));
	op->ask.shard = shard;
	op->ask.kind = (int)kind;
	op->ask.file = file ? file_ref(file) : NULL;
}

static void file_op_submit(struct file_op *op)
{
	op->ask.shard->ops->file_submit(op->ask.shard, op);
}

static void path_op_submit(struct file_op *op, struct shard *shard, enum file_op_kind kind,
	const char *path, const char *path_to)
{
	file_op_begin(op, shard, kind, NULL);
	op->ask.path = path;
	op->ask.path_to = path_to;
	file_op_submit(op);
}

void file_open(struct shard *shard, struct file_op *op, const char *path, unsigned flags)
{
	ensure(flags & (FILE_READ | FILE_WRITE));
	file_op_begin(op, shard, FILE_OP_OPEN, NULL);
	op->ask.path = path;
	op->ask.flags = (int)flags;
	file_op_submit(op);
}

void file_read(struct shard *shard, struct file_op *op, struct file *file, void *buffer,
	size_t size, uint64_t offset)
{
	file_op_begin(op, shard, FILE_OP_READ, file);
	op->ask.part = (struct iovec){.iov_base = buffer, .iov_len = size};
	op->ask.size = size;
	op->ask.offset = offset;
	file_op_submit(op);
}

void file_write(struct shard *shard, struct file_op *op, struct file *file,
	const struct iovec *parts, int part_count, uint64_t offset)
{
	ensure(part_count >= 0);
	file_op_begin(op, shard, FILE_OP_WRITE, file);
	op->ask.parts = parts;
	op->ask.part_count = part_count;
	for (int i = 0; i < part_count; i++)
		op->ask.size += parts[i].iov_len;
	op->ask.offset = offset;
	file_op_submit(op);
}

void file_sync(struct shard *shard, struct file_op *op, struct file *file)
{
	file_op_begin(op, shard, FILE_OP_SYNC, file);
	file_op_submit(op);
}

void file_truncate(struct shard *shard, struct file_op *op, struct file *file, uint64_t size)
{
	file_op_begin(op, shard, FILE_OP_TRUNCATE, file);
	op->ask.size = size;
	file_op_submit(op);
}

void file_allocate(struct shard *shard, struct file_op *op, struct file *file, uint64_t size)
{
	file_op_begin(op, shard, FILE_OP_ALLOCATE, file);
	op->ask.size = size;
	file_op_submit(op);
}

void file_status(struct shard *shard, struct file_op *op, struct file *file)
{
	file_op_begin(op, shard, FILE_OP_STATUS, file);
	file_op_submit(op);
}

int64_t file_read_cached(
	struct shard *shard, struct file *file, void *buffer, size_t size, uint64_t offset)
{
	return shard->ops->file_read_cached(shard, file, buffer, size, offset);
}

bool file_is_cached(struct shard *shard, struct file *file, uint64_t offset, uint64_t size)
{
	return shard->ops->file_is_cached(shard, file, offset, size);
}

void path_rename(struct shard *shard, struct file_op *op, const char *from, const char *to)
{
	path_op_submit(op, shard, PATH_OP_RENAME, from, to);
}

void path_unlink(struct shard *shard, struct file_op *op, const char *path)
{
	path_op_submit(op, shard, PATH_OP_UNLINK, path, NULL);
}

void path_make_folder(struct shard *shard, struct file_op *op, const char *path)
{
	path_op_submit(op, shard, PATH_OP_MAKE_FOLDER, path, NULL);
}

void path_remove_folder(struct shard *shard, struct file_op *op, const char *path)
{
	path_op_submit(op, shard, PATH_OP_REMOVE_FOLDER, path, NULL);
}

void path_sync(struct shard *shard, struct file_op *op, const char *folder)
{
	path_op_submit(op, shard, PATH_OP_SYNC, folder, NULL);
}

void path_list(struct shard *shard, struct file_op *op, const char *folder)
{
	path_op_submit(op, shard, PATH_OP_LIST, folder, NULL);
}

void path_status(struct shard *shard, struct file_op *op, const char *path)
{
	path_op_submit(op, shard, PATH_OP_STATUS, path, NULL);
}

void path_space(struct shard *shard, struct file_op *op, const char *path)
{
	path_op_submit(op, shard, PATH_OP_SPACE, path, NULL);
}

uint32_t files_reserved(const struct shard *shard)
{
	return shard->ops->files_reserved(shard);
}

uint32_t files_allowed(const struct shard *shard)
{
	return shard->ops->files_allowed(shard);
}

static void give_way_run(struct shard *shard, struct task *task)
{
	__atomic_store_n(&shard->give_way.is_asked, false, __ATOMIC_SEQ_CST);
	if (shard->give_way.step)
		shard->give_way.step(shard, shard->give_way.argument);
}

void files_give_way(
	struct shard *shard, void (*step)(struct shard *shard, void *argument), void *argument)
{
	shard->give_way.argument = argument;
	__atomic_store_n(&shard->give_way.step, step, __ATOMIC_SEQ_CST);
}

bool files_give_way_ask(struct shard *shard)
{
	if (!__atomic_load_n(&shard->give_way.step, __ATOMIC_SEQ_CST) ||
		__atomic_exchange_n(&shard->give_way.is_asked, true, __ATOMIC_SEQ_CST))
		return false;
	shard->give_way.task.run = give_way_run;
	return true;
}
