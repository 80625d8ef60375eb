/*
 * Asynchronous files over the disk of the host. An operation happens at one moment, picked when it
 * is asked for; a write may happen in two parts. Whether it fails is picked when it happens, and a
 * crash asked for at the n-th change happens right there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "runtime/simulated/world_internal.h"

struct open_file {
	struct file base; /* first */
	struct list_node node;
	struct machine *process;
	struct inode *inode;
	unsigned flags;
	uint64_t writes_end_ns; /* no write may happen before: writes keep their order */
};

struct file_wait {
	struct process_wait wait; /* first */
	struct file_op *op;
	uint64_t written;  /* so far */
	uint64_t split_at; /* of a write in two parts: where the second begins; else 0 */
	uint64_t end_ns;   /* when the second part happens */
};

enum { SPLIT_WRITE_PPM = 50000 };

static struct open_file *open_file_of(struct file *file)
{
	return (struct open_file *)(void *)file;
}

static bool op_changes_disk(const struct file_op *op)
{
	switch ((enum file_op_kind)op->ask.kind) {
	case FILE_OP_OPEN:
		return (op->ask.flags & (FILE_CREATE | FILE_TRUNCATE)) != 0;
	case FILE_OP_WRITE:
	case FILE_OP_SYNC:
	case FILE_OP_TRUNCATE:
	case FILE_OP_ALLOCATE:
	case PATH_OP_RENAME:
	case PATH_OP_UNLINK:
	case PATH_OP_MAKE_FOLDER:
	case PATH_OP_REMOVE_FOLDER:
	case PATH_OP_SYNC:
		return true;
	case FILE_OP_READ:
	case FILE_OP_STATUS:
	case PATH_OP_LIST:
	case PATH_OP_STATUS:
	case PATH_OP_SPACE:
		return false;
	}
	return false;
}

static int64_t op_open(struct machine *process, struct file_op *op)
{
	struct host *host = process->host;
	struct open_file *file;
	struct inode *inode;
	int error = disk_open(host->disk, op->ask.path, (unsigned)op->ask.flags, &inode);

	if (error)
		return error;
	file = world_alloc_zero(1, sizeof(*file));
	file_init(&file->base, op->ask.shard->ops);
	file->process = process;
	file->inode = inode;
	file->flags = (unsigned)op->ask.flags;
	list_push_back(&process->files, &file->node);
	op->ret.file = &file->base;
	return 0;
}

void files_close(struct file *base)
{
	struct open_file *file = open_file_of(base);

	list_remove(&file->node);
	disk_close(file->process->host->disk, file->inode, file->flags);
	free(file);
}

void files_process_end(struct machine *process)
{
	struct list_node *node;

	while ((node = list_first(&process->files)))
		files_close(&container_of(node, struct open_file, node)->base);
}

int64_t files_read_now(struct file *base, void *buffer, size_t size, uint64_t offset)
{
	const struct open_file *file = open_file_of(base);

	if (!(file->flags & FILE_READ))
		return -EBADF;
	return disk_read(file->inode, buffer, size, offset);
}

int64_t files_read_cached(
	struct shard *shard, struct file *file, void *buffer, size_t size, uint64_t offset)
{
	struct world *world = process_of(shard)->world;

	if (choose_fault(&world->chooser, FAULT_COLD_READ, world->options.cold_read_ppm))
		return -EAGAIN;
	return files_read_now(file, buffer, size, offset);
}

bool files_is_cached(struct shard *shard, struct file *file, uint64_t offset, uint64_t size)
{
	struct world *world = process_of(shard)->world;

	return !choose_fault(&world->chooser, FAULT_COLD_READ, world->options.cold_read_ppm);
}

static int64_t op_read(struct machine *process, struct file_op *op)
{
	int64_t result = files_read_now(
		op->ask.file, op->ask.part.iov_base, op->ask.part.iov_len, op->ask.offset);

	if (result > 0)
		chooser_note_bytes(
			&process->world->chooser, "read", op->ask.part.iov_base, (size_t)result);
	return result;
}

/* Writes what the op's parts hold from WAIT->written up to END. */
static int64_t op_write_until(struct machine *process, struct file_wait *wait, uint64_t end)
{
	struct file_op *op = wait->op;
	const struct open_file *file = open_file_of(op->ask.file);
	uint64_t part_start = 0;

	if (!(file->flags & FILE_WRITE))
		return -EBADF;
	for (int i = 0; i < op->ask.part_count && part_start < end; i++) {
		const struct iovec *part = &op->ask.parts[i];
		uint64_t part_end = part_start + part->iov_len;
		uint64_t from = max_of(wait->written, part_start), to = min_of(end, part_end);

		if (from < to) {
			const uint8_t *data = (const uint8_t *)part->iov_base + (from - part_start);
			int64_t result;

			chooser_note_bytes(&process->world->chooser, "write", data, to - from);
			result = disk_write(process->host->disk, file->inode, data, to - from,
				op->ask.offset + from);
			if (result < 0)
				return result;
			wait->written = to;
		}
		part_start = part_end;
	}
	return (int64_t)wait->written;
}

struct listing_context {
	struct path_listing_builder builder;
};

static int listing_add(void *argument, const char *name, bool is_folder)
{
	struct listing_context *context = argument;

	return path_listing_add(&context->builder, name, is_folder);
}

/* The listing is the program's to free, so it is allocated as the program's. */
static int64_t op_list(struct machine *process, struct file_op *op)
{
	struct listing_context context = {0};
	struct memory_owner *before = memory_owner_enter(&process->memory);
	int error = disk_list(process->host->disk, op->ask.path, listing_add, &context);

	if (error) {
		path_listing_builder_done(&context.builder);
	} else {
		op->ret.listing = path_listing_build(&context.builder);
		error = op->ret.listing ? 0 : -ENOMEM;
	}
	memory_owner_enter(before);
	return error;
}

static int64_t op_file(struct machine *process, struct file_op *op)
{
	struct disk *disk = process->host->disk;
	const struct open_file *file = open_file_of(op->ask.file);

	switch ((enum file_op_kind)op->ask.kind) {
	case FILE_OP_READ:
		return op_read(process, op);
	case FILE_OP_SYNC:
		disk_sync(file->inode);
		return 0;
	case FILE_OP_TRUNCATE:
		if (!(file->flags & FILE_WRITE))
			return -EINVAL;
		return disk_truncate(disk, file->inode, op->ask.size);
	case FILE_OP_ALLOCATE:
		if (!(file->flags & FILE_WRITE))
			return -EBADF;
		return disk_allocate(disk, file->inode, op->ask.size);
	case FILE_OP_STATUS:
		op->ret.status.size_bytes = disk_file_size(file->inode);
		op->ret.status.modified_ms = disk_file_modified_ms(file->inode);
		op->ret.status.is_folder = false;
		return 0;
	default:
		ensure(false);
		return -EINVAL;
	}
}

static int64_t op_path(struct machine *process, struct file_op *op)
{
	struct disk *disk = process->host->disk;

	switch ((enum file_op_kind)op->ask.kind) {
	case FILE_OP_OPEN:
		return op_open(process, op);
	case PATH_OP_RENAME:
		return disk_rename(disk, op->ask.path, op->ask.path_to);
	case PATH_OP_UNLINK:
		return disk_unlink(disk, op->ask.path);
	case PATH_OP_MAKE_FOLDER:
		return disk_make_folder(disk, op->ask.path);
	case PATH_OP_REMOVE_FOLDER:
		return disk_remove_folder(disk, op->ask.path);
	case PATH_OP_SYNC:
		return disk_sync_folder(disk, op->ask.path);
	case PATH_OP_LIST:
		return op_list(process, op);
	case PATH_OP_STATUS:
		return disk_status(disk, op->ask.path, &op->ret.status.size_bytes,
			&op->ret.status.modified_ms, &op->ret.status.is_folder);
	case PATH_OP_SPACE: {
		uint64_t ignored_size;
		int64_t ignored_ms;
		bool ignored_kind;
		int error =
			disk_status(disk, op->ask.path, &ignored_size, &ignored_ms, &ignored_kind);

		op->ret.space.total_bytes = disk_capacity_bytes(disk);
		op->ret.space.free_bytes = disk_capacity_bytes(disk) -
					   min_of(disk_used_bytes(disk), disk_capacity_bytes(disk));
		return error;
	}
	default:
		ensure(false);
		return -EINVAL;
	}
}

static int64_t op_happen(struct machine *process, struct file_wait *wait)
{
	if (wait->op->ask.kind == FILE_OP_WRITE)
		return op_write_until(process, wait, wait->op->ask.size);
	return wait->op->ask.file ? op_file(process, wait->op) : op_path(process, wait->op);
}

/* What an operation leaves behind that fails, or whose process dies in its middle. */
static void op_happen_partly(struct machine *process, struct file_wait *wait)
{
	struct file_op *op = wait->op;
	struct chooser *chooser = &process->world->chooser;

	if (op->ask.kind == FILE_OP_WRITE)
		op_write_until(process, wait, choose_between(chooser, wait->written, op->ask.size));
	else if (op->ask.kind == FILE_OP_SYNC)
		disk_write_out(process->host->disk, chooser);
}

static int op_error_pick(struct machine *process, const struct file_op *op)
{
	struct host *host = process->host;
	const struct world_options *options = &process->world->options;
	struct chooser *chooser = &process->world->chooser;
	bool takes_space = op->ask.kind == FILE_OP_WRITE || op->ask.kind == FILE_OP_ALLOCATE ||
			   op->ask.kind == PATH_OP_MAKE_FOLDER ||
			   (op->ask.kind == FILE_OP_OPEN && (op->ask.flags & FILE_CREATE));
	uint32_t error_ppm = options->disk_error_ppm;

	if (op->ask.kind == FILE_OP_SYNC)
		error_ppm = max_of(error_ppm, options->disk_sync_error_ppm);
	if (host->fail_countdown > 0 && --host->fail_countdown == 0)
		return -host->fail_error;
	if (choose_chance(chooser, error_ppm))
		return -EIO;
	if (takes_space && choose_chance(chooser, options->disk_full_ppm))
		return -ENOSPC;
	return 0;
}

/* The crash that was asked for at this change. WAIT goes with its process. */
static void op_crash(struct machine *process, struct file_wait *wait)
{
	struct host *host = process->host;
	enum crash how = host->crash_how;

	switch (choose_below(&process->world->chooser, 3)) {
	case 0:
		break;
	case 1:
		op_happen_partly(process, wait);
		process->world->chooser.faults[FAULT_WRITE_TORN]++;
		break;
	default:
		op_happen(process, wait);
		/* Nobody can free a listing or a file now; the process's end does. */
		break;
	}
	process_end(process, how, -1);
}

/* In the text of a trace the numbers of an operation on names say little. */
static void path_trace(const struct world *world, const struct file_op *op, int64_t result)
{
	static const char *const names[] = {
		[FILE_OP_OPEN] = "open",
		[PATH_OP_RENAME] = "rename",
		[PATH_OP_UNLINK] = "unlink",
		[PATH_OP_MAKE_FOLDER] = "mkdir",
		[PATH_OP_REMOVE_FOLDER] = "rmdir",
		[PATH_OP_SYNC] = "sync",
	};

	if (unlikely(world->chooser.text != NULL) && !op->ask.file &&
		(size_t)op->ask.kind < array_length(names) && names[op->ask.kind])
		fprintf(world->chooser.text, "# %s %s%s%s = %" PRId64 "\n", names[op->ask.kind],
			op->ask.path, op->ask.kind == PATH_OP_RENAME ? " " : "",
			op->ask.kind == PATH_OP_RENAME ? op->ask.path_to : "", result);
}

static void file_wait_fire(struct world *world, struct event *event)
{
	struct file_wait *wait =
		(struct file_wait *)(void *)container_of(event, struct process_wait, event);
	struct machine *process = wait->wait.process;
	struct host *host = process->host;
	struct file_op *op = wait->op;
	struct shard *shard = op->ask.shard;
	int64_t result;

	disk_wall_ms_set(host->disk, host_wall_ms(host));
	if (wait->split_at > wait->written) {
		/* Others may see the first part alone, and a crash may leave it. */
		if (op_write_until(process, wait, wait->split_at) == (int64_t)wait->split_at) {
			process_wait_start(
				process, &wait->wait, file_wait_fire, wait->end_ns - world->now_ns);
			return;
		}
	}
	host->operation_count++;
	if (op_changes_disk(op)) {
		host->change_count++;
		if (host->crash_countdown > 0 && --host->crash_countdown == 0) {
			op_crash(process, wait);
			return;
		}
	}
	result = op_error_pick(process, op);
	if (result == 0) {
		result = op_happen(process, wait);
	} else {
		op_happen_partly(process, wait);
		if (op->ask.kind == FILE_OP_SYNC) {
			world->chooser.faults[FAULT_SYNC_FAILED]++;
			disk_sync_fail(
				host->disk, open_file_of(op->ask.file)->inode, &world->chooser);
		}
	}
	world->chooser.faults[FAULT_IO_ERROR] += result == -EIO;
	world->chooser.faults[FAULT_NO_SPACE] += result == -ENOSPC;
	if (op->ask.kind == FILE_OP_WRITE &&
		choose_chance(&world->chooser, world->options.disk_write_out_ppm))
		disk_write_out(host->disk, &world->chooser);
	if (op->ask.file)
		chooser_note(&world->chooser, "of",
			disk_file_number(open_file_of(op->ask.file)->inode), op->ask.offset,
			op->ask.size);
	path_trace(world, op, result);
	chooser_note(&world->chooser, "file", (uint64_t)op->ask.kind, (uint64_t)result,
		host->index << 8 | shard->index);
	process_wait_end(&wait->wait);
	free(wait);
	file_op_complete(op, result);
	process_touch(shard_of(shard));
}

void files_submit(struct shard *shard, struct file_op *op)
{
	struct machine *process = process_of(shard);
	struct world *world = process->world;
	struct file_wait *wait = world_alloc_zero(1, sizeof(*wait));
	uint64_t time_ns = world->now_ns + world_delay(world, world->options.disk_delay_max_ns);

	wait->op = op;
	if (op->ask.kind == FILE_OP_WRITE) {
		struct open_file *file = open_file_of(op->ask.file);

		time_ns = max_of(time_ns, file->writes_end_ns + 1);
		wait->end_ns = time_ns;
		if (world->options.disk_delay_max_ns > 0 && op->ask.size > 1 &&
			choose_chance(&world->chooser, SPLIT_WRITE_PPM)) {
			wait->split_at = choose_between(&world->chooser, 1, op->ask.size - 1);
			wait->end_ns += world_delay(world, world->options.disk_delay_max_ns);
		}
		file->writes_end_ns = wait->end_ns;
	}
	process_wait_start(process, &wait->wait, file_wait_fire, time_ns - world->now_ns);
}
