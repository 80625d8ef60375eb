/*
 * One shard's share of the storage room: its logs, how many files are open, and the background
 * work. One fiber does the housekeeping of all logs, one after the other, so that thousands of logs
 * need no thousands of stacks; it wakes once a second while there are logs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/log_internal.h"

enum {
	OPEN_FILES_MIN = 8,
	PRODUCER_IDS_DEFAULT = 100000,
	BACKGROUND_SYNC_DEFAULT_MS = 10000
};
#define DECOMPRESSED_BYTES_DEFAULT (256ull << 20)
#define TICK_NS			   NS_PER_S

static void housekeeping_fire(struct shard *shard, struct timer *timer);
static void give_way(struct shard *shard, void *argument);

struct log_store *log_store_new(struct shard *shard, const struct log_store_options *options)
{
	struct log_store *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	store->shard = shard;
	store->options = *options;
	if (!store->options.producer_ids_max)
		store->options.producer_ids_max = PRODUCER_IDS_DEFAULT;
	if (!store->options.decompressed_bytes_max)
		store->options.decompressed_bytes_max = DECOMPRESSED_BYTES_DEFAULT;
	if (!store->options.background_sync_ms)
		store->options.background_sync_ms = BACKGROUND_SYNC_DEFAULT_MS;
	store->housekeeping.fire = housekeeping_fire;
	list_init(&store->logs);
	list_init(&store->folders);
	list_init(&store->folders_told);
	list_init(&store->open_segments);
	list_init(&store->lookups);
	list_init(&store->epochs);
	list_init(&store->long_syncs);
	list_init(&store->backlog);
	list_init(&store->parents);
	list_init(&store->graves);
	list_init(&store->free_appends);
	list_init(&store->scan_buffers);
	list_init(&store->free_checks);
	store->compress = compress_context_new();
	if (!store->compress) {
		free(store);
		return NULL;
	}
	files_give_way(shard, give_way, store);
	return store;
}

static void folders_free(struct list *folders)
{
	struct list_node *node;

	while ((node = list_pop_front(folders))) {
		struct log_folder *folder = container_of(node, struct log_folder, node);

		free(folder->path);
		free(folder);
	}
}

void log_store_free(struct log_store *store)
{
	struct list_node *node;

	if (!store)
		return;
	ensure(list_is_empty(&store->logs) && list_is_empty(&store->lookups));
	files_give_way(store->shard, NULL, NULL);
	ensure(store->backlog_bytes == 0 && list_is_empty(&store->backlog));
	if (store->housekeeping_runs || store->cleaner_runs || store->backlog_fibers) { /* they come to their end; then the last one frees */
		store->freed = true;
		return;
	}
	log_cleaner_done(store);
	timer_stop(store->shard, &store->housekeeping);
	folders_free(&store->folders);
	folders_free(&store->folders_told);
	while ((node = list_pop_front(&store->graves)))
		free(container_of(node, struct log_grave, node));
	while ((node = list_pop_front(&store->free_appends)))
		free(container_of(node, struct log_append_private, node));
	log_parents_free(store);
	log_checks_free(store);
	compress_context_free(store->compress);
	free(store);
}

struct shard *log_store_shard(const struct log_store *store)
{
	return store->shard;
}

static uint32_t open_files_max(const struct log_store *store)
{
	if (store->options.open_files_max)
		return store->options.open_files_max;
	return max_of(files_allowed(store->shard) / shard_count(store->shard),
		(uint32_t)OPEN_FILES_MIN);
}

void log_store_reap(struct log_store *store)
{
	uint32_t files_max = open_files_max(store);
	struct list_node *node;

	while (store->open_files > files_max) {
		node = list_first(&store->open_segments);
		/* The newest is in use by who just touched it. */
		if (!node || node == list_last(&store->open_segments))
			break;
		segment_close_files(container_of(node, struct segment, open_node));
	}
}

static void give_way(struct shard *shard, void *argument)
{
	log_store_reap(argument);
}

bool log_store_is_crowded(const struct log_store *store)
{
	return store->open_files > open_files_max(store) / 2;
}

void log_store_opening_begin(struct log_store *store)
{
	store->openings++;
}

void log_store_opening_end(struct log_store *store)
{
	struct list_node *node;

	ensure(store->openings > 0);
	if (--store->openings > 0)
		return;
	while ((node = list_pop_front(&store->scan_buffers)))
		free(container_of(node, struct log_scan_buffer, node));
}

int log_fiber_start(struct log *log, void (*body)(struct shard *shard, void *log))
{
	int error;

	log->fibers++;
	error = fiber_start(log->shard, body, log);
	if (error)
		log->fibers--;
	return error;
}

void log_fiber_end(struct log *log)
{
	ensure(log->fibers > 0);
	log->fibers--;
	log_drain_wake(log);
}

/* ---- what is to be unlinked ---- */

void log_store_bury(struct log_store *store, const char *path, bool is_folder, int64_t delay_ms)
{
	struct log_grave *grave = malloc(sizeof(*grave) + strlen(path) + 1);
	struct list_node *place = &store->graves.head;

	if (!grave)
		return;
	*grave = (struct log_grave){
		.due_ns = shard_now_ns(store->shard) + (uint64_t)max_of(delay_ms, 0) * NS_PER_MS,
		.is_folder = is_folder,
	};
	strcpy(grave->path, path);
	list_for_each (node, &store->graves)
		if (container_of(node, struct log_grave, node)->due_ns > grave->due_ns) {
			place = node;
			break;
		}
	list_insert_before(place, &grave->node);
	log_store_housekeeping_start(store);
}

static void folder_unlink(struct shard *shard, const char *folder)
{
	char path[SEGMENT_PATH_SIZE_MAX];
	struct path_listing *listing;

	if (fiber_list(shard, folder, &listing) < 0)
		return;
	for (uint32_t i = 0; i < listing->count; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, listing->entries[i].name);
		fiber_unlink(shard, path);
	}
	path_listing_free(listing);
	fiber_remove_folder(shard, folder);
}

static void graves_clear(struct log_store *store)
{
	struct list_node *node;

	while ((node = list_first(&store->graves))) {
		struct log_grave *grave = container_of(node, struct log_grave, node);

		if (grave->due_ns > shard_now_ns(store->shard))
			break;
		list_remove(node);
		/* What cannot be unlinked keeps its name and goes at the next start. */
		if (grave->is_folder)
			folder_unlink(store->shard, grave->path);
		else
			fiber_unlink(store->shard, grave->path);
		free(grave);
	}
}

/* ---- the housekeeping ---- */

static bool sync_is_due(const struct log *log, uint64_t now_ns)
{
	int64_t wait_ms = log->store->options.background_sync_ms;

	if (log->unsynced_since_ns == 0)
		return false;
	return now_ns - log->unsynced_since_ns >= (uint64_t)wait_ms * NS_PER_MS;
}

static void log_tend(struct log *log, bool retention, bool expiry)
{
	struct log_store *store = log->store;

	if (expiry && store->options.producer_id_expiration_ms > 0 && list_is_empty(&log->flying))
		producer_state_expire(&log->producers, shard_wall_ms(store->shard),
			store->options.producer_id_expiration_ms);
	if (sync_is_due(log, shard_now_ns(store->shard))) {
		log_checkpoint(log);
		/* The .log is wanted with the next record, its indexes every few megabytes. */
		if (log->segment_count > 0 && log_store_is_crowded(store))
			segment_close_indexes(log_active(log));
	}
	if (retention && !log->error)
		log_retain(log);
}

static bool is_due(uint64_t *next_ns, uint64_t now_ns, int64_t interval_ms)
{
	bool due;

	if (interval_ms <= 0)
		return false;
	due = *next_ns != 0 && now_ns >= *next_ns;
	if (due || *next_ns == 0)
		*next_ns = now_ns + (uint64_t)interval_ms * NS_PER_MS;
	return due;
}

static void housekeeping(struct shard *shard, void *argument)
{
	struct log_store *store = argument;
	uint64_t now_ns = shard_now_ns(shard);
	bool retention = is_due(
		&store->next_retention_ns, now_ns, store->options.retention_check_interval_ms);
	bool expiry = is_due(&store->next_expiry_ns, now_ns,
		store->options.producer_id_expiration_check_interval_ms);
	struct list_node *node, *next;

	fiber_is_chore(shard, true);
	for (node = list_first(&store->logs); node; node = next) {
		struct log *log = container_of(node, struct log, node);

		if (!log->error && !log->closing) {
			log->fibers++;
			log_tend(log, retention, expiry);
			next = list_next(&store->logs, node);
			log_fiber_end(log);
		} else {
			next = list_next(&store->logs, node);
		}
	}
	graves_clear(store);
	store->housekeeping_runs = false;
	if (store->freed) {
		log_store_free(store);
		return;
	}
	if (!list_is_empty(&store->logs) || !list_is_empty(&store->graves))
		timer_set(shard, &store->housekeeping, shard_now_ns(shard) + TICK_NS);
}

static void housekeeping_fire(struct shard *shard, struct timer *timer)
{
	struct log_store *store = container_of(timer, struct log_store, housekeeping);

	store->housekeeping_runs = true;
	if (fiber_start(shard, housekeeping, store) < 0) {
		store->housekeeping_runs = false;
		timer_set(shard, &store->housekeeping, shard_now_ns(shard) + TICK_NS);
	}
}

void log_store_housekeeping_start(struct log_store *store)
{
	if (!store->housekeeping_runs && !timer_is_set(&store->housekeeping))
		timer_set(store->shard, &store->housekeeping, shard_now_ns(store->shard) + TICK_NS);
}
