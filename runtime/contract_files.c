/* Files and names, mostly as fibers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/contract.h"
#include "runtime/fiber.h"

static void write_read_sync(struct shard *shard, void *argument)
{
	char *path = contract_path(argument, "data");
	char *big = malloc(3 << 20), *back = malloc(3 << 20);
	struct file *file;
	uint64_t size;
	char small[16];

	for (unsigned i = 0; i < 3 << 20; i++)
		big[i] = (char)(i * 31 + i / 1000);
	ensure(fiber_open(shard, path, FILE_READ | FILE_WRITE | FILE_CREATE, &file) == 0);
	ensure(fiber_write(shard, file, "0123456789", 10, 0) == 0);
	ensure(fiber_read(shard, file, small, 4, 3) == 4 && memcmp(small, "3456", 4) == 0);
	/* Short only at the end. */
	ensure(fiber_read(shard, file, small, sizeof(small), 8) == 2);
	ensure(fiber_read(shard, file, small, sizeof(small), 10) == 0);
	ensure(fiber_read(shard, file, small, sizeof(small), 5000) == 0);
	ensure(fiber_write(shard, file, big, 3 << 20, 10) == 0);
	ensure(fiber_sync(shard, file) == 0);
	ensure(fiber_file_size(shard, file, &size) == 0 && size == 10 + (3 << 20));
	ensure(fiber_read(shard, file, back, 3 << 20, 10) == 3 << 20);
	ensure(memcmp(big, back, 3 << 20) == 0);
	/* A hole reads as zeros. */
	ensure(fiber_truncate(shard, file, 4) == 0);
	ensure(fiber_write(shard, file, "x", 1, 8) == 0);
	ensure(fiber_read(shard, file, small, sizeof(small), 0) == 9);
	ensure(memcmp(small, "0123\0\0\0\0x", 9) == 0);
	ensure(fiber_allocate(shard, file, 100000) == 0);
	ensure(fiber_file_size(shard, file, &size) == 0 && size == 100000);
	ensure(fiber_allocate(shard, file, 10) == 0);
	ensure(fiber_allocate(shard, file, 0) == 0);
	ensure(fiber_file_size(shard, file, &size) == 0 && size == 100000);
	/* What is read from memory is right; whether it is in memory is the machine's affair. */
	int64_t cached = file_read_cached(shard, file, small, 9, 0);
	ensure(cached == -EAGAIN || (cached == 9 && memcmp(small, "0123\0\0\0\0x", 9) == 0));
	cached = file_read_cached(shard, file, small, sizeof(small), 99999);
	ensure(cached == -EAGAIN || cached == 1);
	file_unref(file);
	free(big);
	free(back);
	free(path);
	machine_exit(shard, 0);
}

/* Writes, reads at and behind the end, holes, truncation, allocation. */
void files_write_read_sync(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, write_read_sync, argument) == 0);
}

enum { SYNCED_FILES = 24, SYNCED_ROUNDS = 8 };

struct synced_files {
	struct contract *contract;
	unsigned begun, done;
};

static void write_and_sync(struct shard *shard, void *argument)
{
	struct synced_files *all = argument;
	char name[16], back[SYNCED_ROUNDS];
	struct file *file;

	snprintf(name, sizeof(name), "synced-%u", all->begun++);
	char *path = contract_path(all->contract, name);
	ensure(fiber_open(shard, path, FILE_READ | FILE_WRITE | FILE_CREATE, &file) == 0);
	for (unsigned i = 0; i < SYNCED_ROUNDS; i++) {
		ensure(fiber_write(shard, file, name + 7, 1, i) == 0);
		ensure(fiber_sync(shard, file) == 0);
	}
	ensure(fiber_read(shard, file, back, sizeof(back), 0) == SYNCED_ROUNDS);
	for (unsigned i = 0; i < SYNCED_ROUNDS; i++)
		ensure(back[i] == name[7]);
	file_unref(file);
	free(path);
	if (++all->done == SYNCED_FILES) {
		free(all);
		machine_exit(shard, 0);
	}
}

/* Syncs of many files at a time: each is answered, again and again. */
void files_many_are_synced(struct shard *shard, void *argument)
{
	struct synced_files *all = calloc(1, sizeof(*all));

	all->contract = argument;
	for (unsigned i = 0; i < SYNCED_FILES; i++)
		ensure(fiber_start(shard, write_and_sync, all) == 0);
}

static void errors(struct shard *shard, void *argument)
{
	char *path = contract_path(argument, "there"),
	     *missing = contract_path(argument, "not/there");
	struct file *file = NULL;
	char byte;

	ensure(fiber_open(shard, path, FILE_READ, &file) == -ENOENT);
	ensure(!file);
	ensure(fiber_open(shard, missing, FILE_WRITE | FILE_CREATE, &file) == -ENOENT);
	ensure(fiber_open(shard, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file) == 0);
	ensure(fiber_write(shard, file, "abc", 3, 0) == 0);
	ensure(fiber_read(shard, file, &byte, 1, 0) == -EBADF);
	file_unref(file);
	ensure(fiber_open(shard, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file) ==
		-EEXIST);
	ensure(fiber_open(shard, path, FILE_READ, &file) == 0);
	ensure(fiber_write(shard, file, "x", 1, 0) == -EBADF);
	file_unref(file);
	ensure(fiber_open(shard, path, FILE_READ | FILE_WRITE | FILE_TRUNCATE, &file) == 0);
	ensure(fiber_read(shard, file, &byte, 1, 0) == 0);
	file_unref(file);
	ensure(fiber_unlink(shard, missing) == -ENOENT);
	ensure(fiber_rename(shard, missing, path) == -ENOENT);
	ensure(fiber_path_status(shard, missing, NULL, NULL, NULL) == -ENOENT);
	free(path);
	free(missing);
	machine_exit(shard, 0);
}

/* Each refusal has its errno, and fills nothing. */
void files_errors(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, errors, argument) == 0);
}

static void touch(struct shard *shard, const char *path)
{
	struct file *file;

	ensure(fiber_open(shard, path, FILE_WRITE | FILE_CREATE, &file) == 0);
	ensure(fiber_write(shard, file, "content", 7, 0) == 0);
	file_unref(file);
}

static void names(struct shard *shard, void *argument)
{
	struct contract *contract = argument;
	char *folder = contract_path(contract, "folder"), *zebra = contract_path(contract, "zebra");
	char *ant = contract_path(contract, "ant"),
	     *moved = contract_path(contract, "folder/moved");
	struct path_listing *listing;
	struct file *file;
	uint64_t size;
	int64_t modified_ms;
	bool is_folder;
	char bytes[8];

	ensure(fiber_list(shard, contract->folder, &listing) == 0);
	ensure(listing->count == 0);
	path_listing_free(listing);
	touch(shard, zebra);
	touch(shard, ant);
	ensure(fiber_make_folder(shard, folder) == 0);
	ensure(fiber_make_folder(shard, folder) == -EEXIST);
	ensure(fiber_list(shard, contract->folder, &listing) == 0);
	ensure(listing->count == 3);
	ensure(strcmp(listing->entries[0].name, "ant") == 0 && !listing->entries[0].is_folder);
	ensure(strcmp(listing->entries[1].name, "folder") == 0 && listing->entries[1].is_folder);
	ensure(strcmp(listing->entries[2].name, "zebra") == 0 && !listing->entries[2].is_folder);
	path_listing_free(listing);
	ensure(fiber_path_status(shard, ant, &size, &modified_ms, &is_folder) == 0);
	ensure(size == 7 && !is_folder && modified_ms > 946684800000);
	ensure(fiber_path_status(shard, folder, NULL, NULL, &is_folder) == 0 && is_folder);
	/* An open file follows its new name, replaces what stood there, and outlives being
	 * unlinked. */
	ensure(fiber_open(shard, ant, FILE_READ, &file) == 0);
	ensure(fiber_rename(shard, zebra, moved) == 0);
	ensure(fiber_rename(shard, ant, moved) == 0);
	ensure(fiber_sync_folder(shard, folder) == 0);
	ensure(fiber_sync_folder(shard, contract->folder) == 0);
	ensure(fiber_remove_folder(shard, folder) == -ENOTEMPTY);
	ensure(fiber_unlink(shard, moved) == 0);
	ensure(fiber_read(shard, file, bytes, sizeof(bytes), 0) == 7);
	file_unref(file);
	ensure(fiber_remove_folder(shard, folder) == 0);
	ensure(fiber_list(shard, folder, &listing) == -ENOENT);
	free(folder);
	free(zebra);
	free(ant);
	free(moved);
	machine_exit(shard, 0);
}

/* Folders, listings, renames over files, unlinking what is open. */
void files_names(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, names, argument) == 0);
}

enum { OVERWRITES = 300, OVERWRITE_SIZE = 70000 };

struct overwrites {
	struct file *file;
	char *path;
	unsigned done;
	bool asked;
	struct overwrite {
		struct file_op op;
		struct iovec parts[3];
		char text[16];
		char *bulk;
		struct overwrites *all;
	} writes[OVERWRITES];
	struct fiber *waiting;
};

static void overwrite_done(struct shard *shard, struct file_op *op)
{
	struct overwrite *write = container_of(op, struct overwrite, op);

	ensure(write->all->asked);
	ensure(op->result == (int64_t)op->ask.size && op->result > OVERWRITE_SIZE);
	if (++write->all->done == OVERWRITES)
		fiber_wake(shard, write->all->waiting);
}

static void writes_keep_their_order(struct shard *shard, void *argument)
{
	struct overwrites *all = calloc(1, sizeof(*all));
	char *back = malloc(16 + OVERWRITE_SIZE);

	all->path = contract_path(argument, "over");
	all->waiting = fiber_current(shard);
	ensure(fiber_open(shard, all->path, FILE_READ | FILE_WRITE | FILE_CREATE, &all->file) == 0);
	for (unsigned i = 0; i < OVERWRITES; i++) {
		struct overwrite *write = &all->writes[i];

		write->all = all;
		write->op.done = overwrite_done;
		write->op.is_chore = i % 3 == 0;
		write->bulk = malloc(OVERWRITE_SIZE);
		memset(write->bulk, (int)i, OVERWRITE_SIZE);
		memset(write->text, (int)i, sizeof(write->text));
		write->parts[0] = (struct iovec){.iov_base = write->text, .iov_len = 16};
		write->parts[1] = (struct iovec){.iov_base = write->text, .iov_len = 0};
		write->parts[2] =
			(struct iovec){.iov_base = write->bulk, .iov_len = OVERWRITE_SIZE};
		file_write(shard, &write->op, all->file, write->parts, 3, 0);
	}
	all->asked = true;
	fiber_wait(shard);
	ensure(fiber_read(shard, all->file, back, 16 + OVERWRITE_SIZE, 0) == 16 + OVERWRITE_SIZE);
	for (unsigned i = 0; i < 16 + OVERWRITE_SIZE; i++)
		ensure(back[i] == (char)(OVERWRITES - 1));
	for (unsigned i = 0; i < OVERWRITES; i++)
		free(all->writes[i].bulk);
	file_unref(all->file);
	free(all->path);
	free(all);
	free(back);
	machine_exit(shard, 0);
}

/* Three hundred writes to the same place, asked at once, some of them chores: the last one's bytes stay, whole. Twenty
 * megabytes, so that a small dirty limit makes some wait for disk threads. */
void files_writes_keep_their_order(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, writes_keep_their_order, argument) == 0);
}

static void replace(struct shard *shard, void *argument)
{
	struct contract *contract = argument;
	char *path = contract_path(contract, "state");
	struct path_listing *listing;
	char *data;
	size_t size;

	ensure(fiber_read_whole(shard, path, 100, &data, &size) == -ENOENT);
	ensure(fiber_replace(shard, path, "first", 5) == 0);
	ensure(fiber_replace(shard, path, "the second", 10) == 0);
	ensure(fiber_read_whole(shard, path, 9, &data, &size) == -EFBIG);
	ensure(fiber_read_whole(shard, path, 10, &data, &size) == 0);
	ensure(size == 10 && strcmp(data, "the second") == 0);
	free(data);
	ensure(fiber_replace(shard, path, "", 0) == 0);
	ensure(fiber_read_whole(shard, path, 0, &data, &size) == 0);
	ensure(size == 0 && data[0] == '\0');
	free(data);
	ensure(fiber_list(shard, contract->folder, &listing) == 0);
	ensure(listing->count == 1);
	path_listing_free(listing);
	free(path);
	machine_exit(shard, 0);
}

/* A file is replaced twice and read whole; no temporary stays behind. */
void files_replace(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, replace, argument) == 0);
}

static void lock(struct shard *shard, void *argument)
{
	char *path = contract_path(argument, ".lock");
	struct file *holder, *other = NULL;

	unsigned flags = FILE_READ | FILE_WRITE | FILE_CREATE | FILE_LOCK;
	ensure(fiber_open(shard, path, flags, &holder) == 0);
	ensure(fiber_write(shard, holder, "mine", 4, 0) == 0);
	ensure(fiber_open(shard, path, flags, &other) == -EWOULDBLOCK);
	ensure(fiber_open(shard, path, flags | FILE_TRUNCATE, &other) == -EWOULDBLOCK);
	uint64_t size;
	ensure(fiber_file_size(shard, holder, &size) == 0 && size == 4);
	file_unref(holder);
	/* Closing takes its time. */
	while (fiber_open(shard, path, flags, &other) == -EWOULDBLOCK)
		fiber_sleep(shard, NS_PER_MS);
	ensure(other);
	file_unref(other);
	free(path);
	machine_exit(shard, 0);
}

/* A locked file refuses a second holder, unharmed, until the first one closes it. */
void files_lock(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, lock, argument) == 0);
}

static void sync_all(struct shard *shard, void *argument)
{
	struct contract *contract = argument;
	char *first = contract_path(contract, "first"), *second = contract_path(contract, "second"),
	     *nowhere = contract_path(contract, "nowhere");
	struct sync_ask asks[] = {
		{.folder = contract->folder}, {.error = 1}, {.folder = nowhere}, {.error = 1}};

	ensure(fiber_sync_all(shard, NULL, 0) == 0);
	ensure(fiber_write_new(shard, first, "one", 3, &asks[1].file) == 0);
	ensure(fiber_write_new(shard, second, "two", 3, &asks[3].file) == 0);
	ensure(fiber_sync_all(shard, asks, array_length(asks)) == -ENOENT);
	ensure(asks[0].error == 0 && asks[1].error == 0 && asks[3].error == 0);
	ensure(asks[2].error == -ENOENT);
	ensure(fiber_sync_all(shard, asks, 2) == 0);
	file_unref(asks[1].file);
	file_unref(asks[3].file);
	free(first);
	free(second);
	free(nowhere);
	machine_exit(shard, 0);
}

/* Files and folders are synced at once, and each is told of its own. */
void files_sync_all(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, sync_all, argument) == 0);
}
