/*
 * What the files log_dirs*.c share: log_dirs.c (the directories themselves, and where new partitions
 * go), log_dirs_entries.c (the folders found at the start), log_dirs_checkpoint.c (the checkpoints).
 */
#pragma once

#include "runtime/map.h"
#include "storage/log_dirs.h"
#include "storage/names.h"

enum {
	LOG_DIRS_PATH_SIZE = 4096,
	ENTRY_KEY_SIZE = NAME_TOPIC_SIZE_MAX + 8, /* topic, partition, directory */
};

struct entry_node {
	struct map_node node;
	struct log_dir_entry entry;
	char name[NAME_FOLDER_SIZE_MAX + 1]; /* of the folder */
	uint8_t key[ENTRY_KEY_SIZE];
};

struct log_dirs {
	struct log_dir *dirs;
	uint32_t count; /* of log.dirs, which hold partitions */
	uint32_t total; /* with the metadata's directory, last, when it is none of them */
	uint32_t metadata;
	char *cluster_id;
	struct map entries; /* struct entry_node by topic, partition and directory */
	struct entry_node **list;
	uint32_t list_count, list_capacity;
	uint64_t hash_seed;
	bool lists_gone; /* a checkpoint names a log that was not found */
};

/* The path of NAME in DIR; -ENAMETOOLONG. */
int log_dir_path(char path[LOG_DIRS_PATH_SIZE], const struct log_dir *dir, const char *name);
/* (fiber) NAME in DIR read whole; 0, -ENOENT and so on. */
int log_dir_read(struct shard *shard, const struct log_dir *dir, const char *name, size_t limit,
	char **ret_data, size_t *ret_size);
/* (fiber) NAME in DIR replaced, durably. */
int log_dir_replace(
	struct shard *shard, const struct log_dir *dir, const char *name, struct str text);

/* (fiber) Finds the partitions' folders of a directory; what was deleted goes. */
int log_dir_scan(struct shard *shard, struct log_dirs *dirs, uint32_t index, struct arena *arena,
	const char **ret_why);
/* The entry of a partition in the directory of that index, current or future; NULL. */
struct entry_node *log_dirs_entry_in(
	const struct log_dirs *dirs, uint32_t index, struct str topic, int32_t partition);
/* (fiber) What a directory's checkpoints say of its entries. */
int log_dir_read_checkpoints(struct shard *shard, struct log_dirs *dirs, uint32_t index);
/* (fiber) Kafka keeps an empty one before there are any checkpoints. */
int log_dir_make_cleaner_checkpoint(struct shard *shard, const struct log_dir *dir);
