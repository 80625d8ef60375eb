/*
 * Syncs. One serves all that wait: those of one file share an fdatasync, and where several files of a
 * file system wait, one syncfs can serve them all, for a commit of the journal costs the same for one
 * file as for hundreds. A sync serves what was asked before it began, and so covers every write that
 * had completed then; what is asked meanwhile gathers for the next.
 *
 * syncfs is dear when others have much to write on that file system, so it is used only as long as it
 * measures better: fewer nanoseconds than as many fdatasyncs would take. And it tells nothing of single
 * files. So each file is asked afterwards whether any of its bytes failed to get written, which the
 * kernel answers from memory; and when syncfs itself reports an error, whosever it is, every file
 * gets its own fdatasync, and the answer of that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "runtime/linux/internal.h"

enum {
	/* After a syncfs that was dearer than fdatasyncs none is tried for as long as it took, and after
	 * each further one for twice as many times that, up to: */
	REGRET_FACTOR_MAX = 64,
	/* What was measured is believed for that long, then it is measured again. */
	BELIEVED_NS = NS_PER_S,
	/* A measurement's share of the average is one in so many. */
	AVERAGE_SHARE = 4,
	/* The average of files that wait is kept in parts of a file. */
	GATHERED_ONE = 16,
};

/*
 * Whether no error of syncfs can get lost. Since Linux 5.17 it reports what the file system says of its
 * journal. Of ext4 it is known that the device's own cache is flushed in any case, also when there is
 * nothing to commit.
 */
static bool syncfs_is_trusted(bool is_ext4)
{
	struct utsname name;
	unsigned major, minor;

	return is_ext4 && uname(&name) == 0 &&
	       sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 5 || (major == 5 && minor >= 17));
}

static void sync_worker_run(struct shard *none, struct task *task);

void device_syncs_init(struct device *device, bool is_ext4)
{
	struct device_syncs *syncs = &device->syncs;

	pthread_mutex_init(&syncs->lock, NULL);
	list_init(&syncs->waiting);
	list_init(&syncs->idle);
	for (unsigned i = 0; i < SYNC_WORKERS; i++) {
		syncs->workers[i] =
			(struct sync_worker){.device = device, .task.run = sync_worker_run};
		list_push_back(&syncs->idle, &syncs->workers[i].node);
	}
	syncs->regret_factor = 1;
	syncs->believed_ns = BELIEVED_NS;
	syncs->has_group = syncfs_is_trusted(is_ext4);
}

void device_syncs_done(struct device *device)
{
	pthread_mutex_destroy(&device->syncs.lock);
}

static uint64_t average(uint64_t before, uint64_t now)
{
	return before == 0 ? now : before - before / AVERAGE_SHARE + now / AVERAGE_SHARE;
}

/* Whether COUNT files are better served by a syncfs. Under the lock, as all that follows on syncs. */
static bool group_is_cheaper(const struct device_syncs *syncs, unsigned count)
{
	uint64_t now_ns;

	if (!syncs->has_group || count < 2 || syncs->single_ns == 0)
		return false;
	now_ns = clock_now_ns();
	if (now_ns < syncs->group_not_before_ns ||
		now_ns - syncs->single_measured_ns > syncs->believed_ns)
		return false;
	return now_ns - syncs->group_measured_ns > syncs->believed_ns ||
	       syncs->group_ns < count * syncs->single_ns;
}

static void group_measured(
	struct device_syncs *syncs, unsigned count, uint64_t began_ns, uint64_t ended_ns)
{
	uint64_t took_ns = ended_ns - began_ns;

	syncs->group_measured_ns = ended_ns;
	if (took_ns <= count * syncs->single_ns) {
		syncs->group_ns = average(syncs->group_ns, took_ns);
		syncs->regret_factor = 1;
		return;
	}
	/* What others had to write has been written now: the next may be cheap again. */
	syncs->group_ns = 0;
	syncs->group_not_before_ns = ended_ns + syncs->regret_factor * took_ns;
	syncs->regret_factor = min_of(syncs->regret_factor * 2, (unsigned)REGRET_FACTOR_MAX);
}

static void single_measured(
	struct device_syncs *syncs, unsigned beside, uint64_t began_ns, uint64_t ended_ns)
{
	/* Others ran at the same time, and each had its share of the disk. */
	syncs->single_ns = average(syncs->single_ns, max_of((ended_ns - began_ns) / beside, 1ull));
	syncs->single_measured_ns = ended_ns;
}

/*
 * A syncfs is alone. Where as many files have gathered lately as are better served by one, nothing runs
 * beside an fdatasync either: it is over soon, and who came meanwhile is served together.
 */
static bool sync_may_begin(const struct device_syncs *syncs)
{
	unsigned begun = syncs->running + syncs->queued;

	return !syncs->group_runs && begun < SYNC_WORKERS &&
	       (begun == 0 || !group_is_cheaper(syncs, syncs->gathered / GATHERED_ONE));
}

/* Unlocks, and hands as many workers to the disk threads as there is work for now. */
static void syncs_unlock_and_start(struct device *device)
{
	struct device_syncs *syncs = &device->syncs;
	struct list_node *node;
	struct list start;

	list_init(&start);
	while (syncs->queued < syncs->waiting_count && sync_may_begin(syncs)) {
		list_push_back(&start, list_pop_front(&syncs->idle));
		syncs->queued++;
	}
	pthread_mutex_unlock(&syncs->lock);
	while ((node = list_pop_front(&start)))
		pool_submit(&device->machine->disk,
			&container_of(node, struct sync_worker, node)->task);
}

static void sync_wait_add(struct device_syncs *syncs, struct linux_file *file)
{
	list_push_back(&syncs->waiting, &file->sync_node);
	syncs->waiting_count++;
}

void file_op_sync_submit(struct linux_file *file, struct file_op *op)
{
	struct device_syncs *syncs = &file->device->syncs;

	pthread_mutex_lock(&file->lock);
	bool start = !file->is_syncing;
	list_push_back(&file->syncs, &op->task.node);
	file->is_syncing = true;
	pthread_mutex_unlock(&file->lock);
	if (!start)
		return;
	file_ref(&file->file);
	pthread_mutex_lock(&syncs->lock);
	sync_wait_add(syncs, file);
	syncs_unlock_and_start(file->device);
}

/* ---- a file's part; on a disk thread, without the device's lock ---- */

static void file_sync_failed(struct linux_file *file, int error)
{
	int none = 0;

	__atomic_compare_exchange_n(
		&file->sync_error, &none, error, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Whoever asked until now is served by what follows. */
static void file_sync_begin(struct linux_file *file)
{
	pthread_mutex_lock(&file->lock);
	list_append_all(&file->syncs_served, &file->syncs);
	pthread_mutex_unlock(&file->lock);
	file->sync_bytes = dirty_take(file);
}

/* True when somebody asked meanwhile; else the file's reference is gone. */
static bool file_sync_end(struct linux_file *file, int error)
{
	struct list_node *node;
	bool again;

	dirty_gone(file, file->sync_bytes);
	if (!error)
		error = file_write_out_error(file);
	if (error)
		file_sync_failed(file, error);
	error = __atomic_load_n(&file->sync_error, __ATOMIC_SEQ_CST);
	while ((node = list_pop_front(&file->syncs_served)))
		file_op_deliver(container_of(node, struct file_op, task.node), error);
	pthread_mutex_lock(&file->lock);
	again = file->is_syncing = !list_is_empty(&file->syncs);
	pthread_mutex_unlock(&file->lock);
	if (!again)
		file_unref(&file->file);
	return again;
}

static int file_sync_alone(struct linux_file *file)
{
	int error;

	pthread_mutex_lock(&file->sync_lock);
	do
		error = fdatasync(file->fd) == 0 ? 0 : -errno;
	while (error == -EINTR);
	pthread_mutex_unlock(&file->sync_lock);
	return error;
}

/*
 * After a syncfs: what the kernel noted against the file since this descriptor was asked last. The
 * range lies behind every file's end, so that there is nothing to wait for.
 */
static int file_sync_check(struct linux_file *file)
{
	int error;

	pthread_mutex_lock(&file->sync_lock);
	error = sync_file_range(file->fd, INT64_MAX / 2, 1, SYNC_FILE_RANGE_WAIT_BEFORE) == 0
			? 0
			: -errno;
	pthread_mutex_unlock(&file->sync_lock);
	return error;
}

/* ---- what a worker does ---- */

static void sync_single(struct device *device, struct linux_file *file)
{
	struct device_syncs *syncs = &device->syncs;
	uint64_t began_ns = clock_now_ns(), ended_ns;
	unsigned beside = ++syncs->running;
	int error;
	bool again;

	pthread_mutex_unlock(&syncs->lock);
	file_sync_begin(file);
	error = file_sync_alone(file);
	ended_ns = clock_now_ns();
	again = file_sync_end(file, error);
	pthread_mutex_lock(&syncs->lock);
	if (!error)
		single_measured(syncs, beside, began_ns, ended_ns);
	if (again)
		sync_wait_add(syncs, file);
	syncs->running--;
}

static void sync_group(struct device *device)
{
	struct device_syncs *syncs = &device->syncs;
	uint64_t began_ns = clock_now_ns(), ended_ns;
	unsigned count = syncs->waiting_count, again_count = 0;
	struct list group, again;
	struct list_node *node;
	int error, fd = -1;

	list_init(&group);
	list_init(&again);
	list_append_all(&group, &syncs->waiting);
	syncs->waiting_count = 0;
	syncs->group_runs = true;
	syncs->running++;
	pthread_mutex_unlock(&syncs->lock);
	list_for_each (at, &group) {
		struct linux_file *file = container_of(at, struct linux_file, sync_node);

		file_sync_begin(file);
		fd = file->fd;
	}
	error = syncfs(fd) == 0 ? 0 : -errno;
	ended_ns = clock_now_ns();
	while ((node = list_pop_front(&group))) {
		struct linux_file *file = container_of(node, struct linux_file, sync_node);

		if (file_sync_end(file, error ? file_sync_alone(file) : file_sync_check(file))) {
			list_push_back(&again, &file->sync_node);
			again_count++;
		}
	}
	pthread_mutex_lock(&syncs->lock);
	group_measured(syncs, count, began_ns, ended_ns);
	list_append_all(&syncs->waiting, &again);
	syncs->waiting_count += again_count;
	syncs->running--;
	syncs->group_runs = false;
}

static void sync_worker_run(struct shard *none, struct task *task)
{
	struct sync_worker *worker = container_of(task, struct sync_worker, task);
	struct device *device = worker->device;
	struct device_syncs *syncs = &device->syncs;

	pthread_mutex_lock(&syncs->lock);
	syncs->queued--;
	if (!list_is_empty(&syncs->waiting) && sync_may_begin(syncs)) {
		syncs->gathered = (unsigned)average(
			syncs->gathered, (uint64_t)syncs->waiting_count * GATHERED_ONE);
		if (group_is_cheaper(syncs, syncs->waiting_count)) {
			sync_group(device);
		} else {
			syncs->waiting_count--;
			sync_single(device, container_of(list_pop_front(&syncs->waiting),
						    struct linux_file, sync_node));
		}
	}
	list_push_back(&syncs->idle, &worker->node);
	syncs_unlock_and_start(device);
}
