/* What the files of the log know of one another; see README.md for the invariants that are numbered
 * there. */
#pragma once

#include <errno.h>

#include "protocol/compress.h"
#include "runtime/arena.h"
#include "runtime/fiber.h"
#include "storage/epoch_cache.h"
#include "storage/log.h"
#include "storage/segment.h"

enum {
	LOG_RING_SIZE =
		64, /* batches of the tail that are found without the disk; a power of two */
	LOG_WRITE_PARTS_MAX = 64,  /* operations gathered into one write */
	LOG_SCAN_SIZE = 256 << 10, /* read at a time in a recovery; a larger batch takes more */
	LOG_EPOCHS_FIBERS_MAX = 4, /* of one shard, that write leader epochs behind others' backs */
	LOG_LONG_SYNC_FIBERS_MAX = 256, /* of one shard; many, for files that wait share a sync */
	LOG_BACKLOG_FIBERS_MAX = 16, /* of one shard; likewise */
	LOG_LOOKUP_FIBERS_MAX = 32, /* questions of one shard that wait for the disk at a time */
};

/* A failed folder of log.dirs. */
struct log_folder {
	struct list_node node;
	char *path;
	int error;
};

struct log_store {
	struct shard *shard;
	struct log_store_options options;
	struct list logs; /* by opening */
	uint32_t log_count;
	struct list folders;	  /* those that failed */
	struct list folders_told; /* failed, to be told to the owner by the task */
	struct task folders_task;
	struct list open_segments; /* least recently used first */
	uint32_t open_files;
	struct compress_context *compress;
	struct list scan_buffers; /* struct log_scan_buffer, while logs are opened */
	uint32_t openings;	  /* logs that are being opened */
	struct list free_checks;  /* struct log_check, for checks on other threads */
	uint32_t free_check_count;
	struct list lookups; /* that need the disk */
	uint32_t lookup_fibers;
	struct list epochs; /* logs whose epochs have changed, each counted as a fiber of its log */
	uint32_t epochs_fibers;
	struct list long_syncs; /* logs, see log_long_sync.c */
	uint32_t long_sync_fibers;
	uint64_t backlog_bytes; /* of all logs, see log_backlog.c */
	struct list backlog;	/* the logs that have any, the longest waiting first */
	uint32_t backlog_count;
	uint32_t backlog_fibers; /* of the round that runs */
	uint32_t backlog_left;	 /* logs that it has not looked at */
	uint64_t backlog_share;	 /* bytes; logs with less are passed over */
	uint64_t backlog_not_before_ns, backlog_told_ns;
	bool backlog_moved; /* some recovery point in this round */
	struct list parents; /* struct log_parent, see log_names.c */
	struct list graves;	  /* struct log_grave, by time */
	struct list free_appends; /* struct log_append_private, for reuse */
	uint32_t free_append_count;
	struct timer housekeeping;
	bool housekeeping_runs, freed;
	uint64_t next_retention_ns, next_expiry_ns;
	struct log_cleaner_options cleaner; /* see log_cleaner.c */
	struct timer cleaner_timer;
	bool cleaner_runs;
	struct compress_context *cleaner_compress;
};

/* A buffer for reading what may be damaged, from one recovery to the next. */
struct log_scan_buffer {
	struct list_node node;
	uint8_t bytes[LOG_SCAN_SIZE];
};

/* What is to be unlinked. */
struct log_grave {
	struct list_node node;
	uint64_t due_ns;
	bool is_folder;
	char path[];
};

/* One batch of the tail. */
struct log_ring_entry {
	int64_t base_offset, last_offset;
	uint32_t position, size;
};

/* Fibers that wait their turn. */
struct log_waiter {
	struct list_node node;
	struct fiber *fiber;
};

struct log {
	struct list_node node; /* in the store */
	struct log_store *store;
	struct shard *shard;
	const bool *no_room; /* see log_open */
	void *owner;
	const char *folder;
	char *path, *topic_text;
	struct str topic;
	int32_t partition;
	struct log_config config;

	struct segment **segments; /* by base offset; the last one is active */
	uint32_t segment_count, segment_capacity;
	uint64_t closed_size_bytes; /* of all but the active one */

	int64_t start, high_watermark, readable_end, end, durable_end, recovery_point;
	int64_t files_start; /* no file holds records below, nor will a power cut bring one back */

	struct segment_tail accepted; /* of the active segment, with what is in flight */
	struct list queued;	      /* log_append: not looked at yet */
	struct list flying;  /* accepted, in order; the first write_count are being written */
	struct list durable; /* written, waiting for a sync */
	struct log_append *checking; /* the first in the queue, while another thread looks at it */
	uint32_t write_count;
	bool writing, write_is_due; /* the latter: WRITE_TASK is queued */
	struct task write_task;
	uint32_t holds; /* reasons for which no append is taken from the queue */
	bool opening, rolling;
	int64_t roll_offset; /* while rolling */
	struct file_op write_op, open_op;
	struct iovec parts[LOG_WRITE_PARTS_MAX];
	struct file *write_file;
	char *open_path; /* while opening */
	struct segment *open_segment;
	int error; /* a negative errno: its folder failed */
	int sync_error; /* a negative errno: a sync failed; ERROR follows */

	struct log_ring_entry *ring; /* of the active segment; NULL until something is appended */
	uint32_t ring_first, ring_count;

	struct producer_state producers;
	struct epoch_cache epochs;
	bool epochs_dirty, epochs_writing;
	struct list_node epochs_node; /* in the store's: a fiber is about to write them */
	int64_t *snapshots; /* offsets of the .snapshot files, ascending */
	uint32_t snapshot_count, snapshot_capacity;
	int64_t snapshot_offset; /* of the last one written */
	uint64_t snapshot_bytes; /* appended since */

	bool names_unsynced, names_syncing; /* see log_names_sync */
	bool owner_in_doubt; /* partition.metadata was found, and may never have been written */
	uint64_t made_at; /* its place among the names that its folder's parent got */

	struct list syncs; /* log_sync waiting */
	bool syncing;
	uint64_t unsynced_messages;
	uint64_t unsynced_since_ns; /* 0: nothing is unsynced */
	uint64_t backlog_bytes;	    /* past the recovery point; 0 after an error */
	struct list_node backlog_node;
	bool backlog_is_served;
	struct timer flush_timer;   /* for flush.ms, when that is sooner than the background */
	struct list_node long_sync_node; /* see log_long_sync.c */
	struct timer long_sync_timer;
	bool long_sync_wanted, long_flush_wanted;
	struct file_op sync_op;
	struct file *sync_file;
	int64_t sync_target;
	uint32_t sync_generation;

	bool busy; /* a fiber does housekeeping */
	struct list busy_waiters, drain_waiters;
	uint32_t fibers;     /* background fibers of this log, and lookups under way */
	uint32_t generation; /* counts what may invalidate places in segments: truncation, deletion
			      */
	bool closing, loading;
	int64_t clean_end; /* compacted up to here (cleaner-offset-checkpoint); 0: never */
	int clean_error;   /* of the last attempt to compact it */
	bool uncleanable;  /* its bytes are damaged, or make no sense: no more attempts */
	bool end_is_gap; /* a truncation in the middle of a batch: the last batch ends before the
			    log end */
};

struct log_append_private {
	struct list_node node;	   /* free list */
	uint8_t *bytes;		   /* what is written: op->records, or a rebuilt copy */
	uint32_t size;
	uint32_t change_count, completed_count, epoch_changes;
	int16_t check_error; /* Kafka's */
	bool rebuilt, checked, durable, arena_used;
	int64_t checked_end;		      /* the log end that its offsets continue */
	struct record_buffer buffer;	      /* the copy */
	struct producer_change *more_changes; /* of all batches but the first */
	struct producer_completed *more_completed;
	/* Retries that came while it was under way: they are answered with it. */
	struct log_append *duplicates, *next_duplicate;
	struct arena arena; /* texts of the answer */

	/* From here on nothing is cleared for the next use: what says above that it is there is written
	 * before it is read. */
	struct batch_header first; /* of BYTES, once checked */
	struct segment_tail after; /* the accepted tail behind it */
	struct producer_change change;	     /* of the first batch */
	struct producer_completed completed; /* the first transaction that a marker of it decided */
};

/* ---- log.c ---- */

static inline struct segment *log_active(const struct log *log)
{
	return log->segments[log->segment_count - 1];
}

/* The index of the last segment whose base is at or below OFFSET; -1. */
int64_t log_segment_floor(const struct log *log, int64_t offset);
/* Behind the last offset of segment INDEX, as far as it is readable. */
int64_t log_segment_end(const struct log *log, uint32_t index);
int log_segment_add(struct log *log, struct segment *segment);
void log_segment_remove(struct log *log, uint32_t index);
/* SEGMENT takes the place of COUNT closed ones; references go along. */
void log_segments_replace(struct log *log, uint32_t from, uint32_t count, struct segment *segment);
void log_index_capacities(const struct log *log, uint32_t capacities[INDEX_KINDS]);
/* The folder has failed with ERROR (a negative errno): the owner hears of it, everything in flight
 * fails. */
void log_fail(struct log *log, int error);
/* Its folder has no room for what was to be written: the owner hears of it. */
void log_folder_full(const struct log *log);
void log_start_move(struct log *log, int64_t offset);

/* (fiber) Syncs. A full disk at this point is an I/O error: what was written may be lost, and must
 * not be tried again; once it has failed it fails for ever. */
int log_file_sync(struct log *log, struct file *file);
/*
 * (fiber) After a sync that failed with ERROR, and before log_fail, which may end the process. Linux
 * may now show the bytes from memory, take them for written and never write them: the next process
 * would find them, believe them, sync them with success, and lose them with the power. So a mark is
 * left for it, which lives in the same memory as those bytes.
 */
void log_sync_failed(struct log *log, int error);
/* (fiber) The mark: recovery believes no index, and writes again what it keeps past the recovery
 * point. Recovery itself makes it before it takes an index apart below the recovery point. */
int log_doubt_mark(struct log *log);
#define LOG_DOUBT_NAME "in-doubt"

/* One fiber at a time does housekeeping on a log. */
void log_busy_begin(struct log *log);
void log_busy_end(struct log *log);
/* (fiber) Waits until something that was under way is done: the caller looks again whether it is
 * what it waits for. */
void log_drain_wait(struct log *log);
void log_drain_wake(struct log *log);
/* (fiber) No append is taken and none is in flight until the release. */
void log_append_hold(struct log *log);
void log_append_release(struct log *log);

/* ---- log_append.c ---- */

void log_append_run(struct log *log);
/* Fails all that is queued, in flight or waiting to be durable. */
void log_append_fail_all(struct log *log, int16_t error_code);
/* Answers an operation that is in no list. */
void log_append_refuse(struct log_append *op, int16_t error_code);
/* What waits to be checked is refused with a retriable error. */
void log_append_refuse_queued(struct log *log);
/* The machine is short of something for now (memory, descriptors); the disk is all right. */
static inline bool log_error_is_passing(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}
/* What a failed sync means for the log: nothing that could pass. The kernel takes the pages that it could not
 * write for written, so another sync would succeed without them. */
static inline int log_sync_error(int error)
{
	return error == -ENOSPC || log_error_is_passing(error) ? -EIO : error;
}
void log_append_durable_done(struct log *log);
void log_ring_reset(struct log *log);
/* The batch in the ring that holds OFFSET or is the first behind it; NULL when the ring doesn't
 * know. */
const struct log_ring_entry *log_ring_find(const struct log *log, int64_t offset);

/* ---- log_check.c ---- */

/*
 * Judges the batches of OP, the first of the queue, and gives them their offsets: private->checked,
 * check_error, bytes, size. False: they take long, and another thread looks at them; log->checking
 * is OP until then, and log_append_run is called afterwards.
 */
bool log_append_check(struct log *log, struct log_append *op);
void log_checks_free(struct log_store *store);

/* ---- log_sync.c ---- */

void log_sync_run(struct log *log);
/* What is readable needs more than a sync of the active segment's file to be durable. */
bool log_sync_is_long(const struct log *log);
/* The file whose sync would make durable all that is readable, were it not for names; the caller's
 * reference. NULL: there is none, or more than one. */
struct file *log_sync_end_file(const struct log *log);
/* Such a sync has ended, or failed the log. */
void log_sync_done(struct log *log);
void log_sync_fail_all(struct log *log, int error);
/* (fiber) Data, indexes and epochs are on the disk up to the readable end of now; the recovery
 * point moves there. */
int log_checkpoint(struct log *log);
/* Sets the timer for flush.ms by what is unsynced, or stops it. */
void log_flush_schedule(struct log *log);
void log_flush_due(struct shard *shard, struct timer *timer);
/*
 * An epoch was added. The batches say so too, and behind the recovery point they are read again: so
 * leader-epoch-checkpoint is written with the next checkpoint, or when the log is closed.
 */
static inline void log_epochs_grown(struct log *log)
{
	log->epochs_dirty = true;
}
/* What the file says does not hold any more: begins to write it in the background. */
void log_epochs_changed(struct log *log);
/* (fiber) */
int log_epochs_write(struct log *log);
/* A snapshot of the producers as they are now, at their map end, while nothing is in flight that may be
 * taken back: *RET_DATA to be given to log_snapshot_write or log_snapshot_drop. */
int log_snapshot_take(struct log *log, uint8_t **ret_data, size_t *ret_size, int64_t *ret_offset);
/* (fiber) Frees DATA. */
int log_snapshot_write(struct log *log, uint8_t *data, size_t size, int64_t offset, bool sync);
/* It could not be written: the next checkpoint takes another. */
void log_snapshot_drop(struct log *log, uint8_t *data);
int log_snapshot_note(struct log *log, int64_t offset);
/* The next checkpoint takes a snapshot, however little was appended since the last. */
void log_snapshot_want(struct log *log);
/* (fiber) Removes the files of snapshots in [FROM, TO). */
int log_snapshots_remove(struct log *log, int64_t from, int64_t to);
/* (fiber) Removes snapshots that stand at no segment's start, but for the newest. */
int log_snapshots_tidy(struct log *log);
void log_snapshot_path(const struct log *log, int64_t offset, enum log_file_state state,
	char to[SEGMENT_PATH_SIZE_MAX]);

/* ---- log_names.c ---- */

/*
 * The names of a log that was made (its folder's, those of its first segment's files) and which topic it is
 * of are synced before anything in it is promised to be on the disk, and not before: most of the
 * partitions of a large topic get their first record much later. A power cut before that leaves any part
 * of it, without a record.
 */
void log_names_unsynced(struct log *log);
/* (fiber) They are on the disk. */
int log_names_sync(struct log *log);
/* (fiber) The same, and if that is all that lacks, what is readable now. No other sync of the log runs. */
int log_names_sync_and_end(struct log *log);
void log_parents_free(struct log_store *store);

/* ---- log_producers.c ---- */

/*
 * (fiber) Makes the producer state that of OFFSET: the newest snapshot at or below it, then the
 * batches from there on.
 */
int log_producers_load(struct log *log, int64_t offset);
/* (fiber) Writes a snapshot, so that what was read from batches need not be read again. */
int log_producers_keep(struct log *log);
/* ---- log_open.c ---- */

/* Forgets a log that nothing waits for. */
void log_free(struct log *log);
/* (fiber) Nothing is under way in it any more, and nothing new begins. */
void log_quiesce(struct log *log);

/* ---- log_retain.c ---- */

/*
 * (fiber, busy) Takes the segments [FROM, TO) out of the log, then renames their files; they are
 * unlinked after file.delete.delay.ms. At least one segment stays.
 */
int log_segments_delete(struct log *log, uint32_t from, uint32_t to);
/* (fiber) Renames the files of a segment that is in the log no more; they are unlinked after
 * file.delete.delay.ms. On the disk the records go first. */
int log_segment_files_bury(struct segment *segment);

/* ---- log_clean.c ---- */

/* What could be compacted now. */
struct log_cleanable {
	int64_t first_dirty; /* compacted before */
	int64_t end;	     /* where a segment begins that must not be touched */
	uint64_t clean_bytes, dirty_bytes;
	bool is_late; /* max.compaction.lag.ms has passed */
};

struct log_clean {
	struct log_cleanable range;
	int64_t now_ms; /* what delete horizons are measured by */
	uint64_t map_bytes;
	uint32_t io_buffer_bytes;
	double load_factor;
	double bytes_per_second;
	struct compress_context *compress;
};

/* (fiber) 0; -EAGAIN when the log changes too quickly; or the errno of what could not be read. */
int log_cleanable(struct log *log, struct log_cleanable *ret);
/*
 * (fiber) Compacts it, or the part that the map has room for. 0; -ECANCELED: the log is closed, was truncated or
 * had segments deleted meanwhile, or is not compacted any more; BATCH_ERROR_CORRUPT and others: it was marked as
 * uncleanable; -ENOSPC and what else may pass; other errnos have failed the folder. The old or the new segments
 * stand in any case.
 */
int log_clean(struct log *log, const struct log_clean *ask, struct log_cleaning *ret);

/* ---- log_cleaner.c ---- */

void log_cleaner_done(struct log_store *store);

/* ---- log_backlog.c ---- */

/* Counts the log's bytes past its recovery point anew: whenever one of them comes, goes or is passed. */
void log_backlog_count(struct log *log);
/* The log is counted no more. */
void log_backlog_forget(struct log *log);
uint64_t log_backlog_bytes_max(const struct log_store *store);
/* Begins a round of checkpoints if there are too many bytes past recovery points. */
void log_backlog_bound(struct log_store *store);

/* ---- log_long_sync.c ---- */

/* Once a fiber is free: syncs the log's names or its segments, and calls log_sync_done. 0, -ENOMEM. */
int log_long_sync(struct log *log);
/* The same with a whole checkpoint, and without log_sync_done. */
int log_long_flush(struct log *log);
void log_long_sync_retry(struct shard *shard, struct timer *timer);

/* ---- log_roll.c ---- */

/* A new active segment at OFFSET, in a fiber of its own; nothing is in flight. Appends go on when
 * it is there. */
void log_roll_begin(struct log *log, int64_t offset);
/* (fiber) Finishes and syncs a segment that is not active any more and marked as finishing, so that
 * nobody else touches its files; the recovery point follows. */
int log_segment_close(struct log *log, struct segment *segment);

/* ---- log_store.c ---- */

/* Closes the files that were used the longest ago, down to what the store may keep open now. */
void log_store_reap(struct log_store *store);
/* More than half of that is open. */
bool log_store_is_crowded(const struct log_store *store);
/* Around the opening of a log: with the last one the buffers of recoveries go. */
void log_store_opening_begin(struct log_store *store);
void log_store_opening_end(struct log_store *store);
/* PATH is unlinked after the delay: a file, or a folder with all its files. Without memory it is
 * left for the next start. */
void log_store_bury(struct log_store *store, const char *path, bool is_folder, int64_t delay_ms);
const struct log_folder *log_store_folder_find(const struct log_store *store, const char *folder);
void log_store_housekeeping_start(struct log_store *store);
/* Runs BODY in a fiber of the log, which stays open until it returns. */
int log_fiber_start(struct log *log, void (*body)(struct shard *shard, void *log));
void log_fiber_end(struct log *log);
