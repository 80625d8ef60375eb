/*
 * One segment of a log: the batches from its base offset to the next segment's, with its indexes.
 * Files are opened on need and closed by the store when too many are open; what is kept in memory
 * of a closed segment is this struct.
 */
#pragma once

#include "protocol/batch.h"
#include "storage/index_file.h"
#include "storage/names.h"
#include "storage/producer_state.h"

struct log;
struct log_aborted_transaction;

/*
 * Where the next batch goes and what the indexes know, as plain values: one copy follows what was
 * accepted, one what is written, and after a failed write the first is set back to the second.
 */
struct segment_tail {
	uint32_t size;	      /* bytes of the .log */
	uint32_t since_index; /* bytes behind the last index entry (Kafka counts from 0 after a
				 restart) */
	uint32_t offset_entries, time_entries;
	int64_t indexed_offset;	   /* of the last offset entry; -1 */
	int64_t indexed_timestamp; /* of the last time entry; -1 */
	int64_t max_timestamp;	   /* -1 */
	int64_t max_timestamp_offset;
	int64_t first_timestamp; /* the first batch's max timestamp, which the age is counted from;
				    -1 */
};

/* A row of the .txnindex, 34 bytes in the file: version 0, then these. */
struct segment_aborted {
	int64_t producer_id, first_offset, last_offset, last_stable_offset;
};
enum { SEGMENT_ABORTED_SIZE = 34 };

struct segment {
	struct log *log;
	int64_t base_offset;
	uint32_t references;
	enum log_file_state state; /* LIVE; DELETED once its files are renamed; of a cleaner CLEANED, then SWAP */
	struct segment_tail tail;  /* of what is written */
	bool tail_known; /* the timestamps in TAIL are (a closed segment's are read on need) */
	bool synced;	 /* closed, and nothing of it is unsynced */
	uint32_t checkpointed_size; /* bytes of it below the recovery point, when that lies in it */
	bool finishing;	 /* a fiber is about it */
	bool pinned; /* its files stay open: their names are about to change */
	struct index_file indexes[INDEX_KINDS];
	struct file *file; /* the .log; NULL while closed */
	bool aborted_loaded;
	uint32_t aborted_count, aborted_capacity;
	uint32_t aborted_written;	 /* rows that the file has */
	struct segment_aborted *aborted; /* valid when loaded */
	int64_t created_ms, modified_ms; /* wall clock */
	int64_t jitter_ms;
	struct list_node open_node; /* in the store's list, least recently used first */
	uint8_t open_files;
};

/* What advancing a tail over a batch adds to the indexes. */
struct segment_entries {
	bool offset_added, time_added;
	struct index_entry offset, time;
};

/* NULL without memory. One reference. */
struct segment *segment_new(struct log *log, int64_t base_offset);
struct segment *segment_ref(struct segment *segment);
void segment_unref(struct segment *segment);

/* The path of one of its files, as it is named now. TO has room for the log's path and
 * NAME_FILE_SIZE_MAX. */
enum { SEGMENT_PATH_SIZE_MAX = 4096 };
void segment_path(const struct segment *segment, enum log_file_kind kind, enum log_file_state state,
	char to[SEGMENT_PATH_SIZE_MAX]);

/* Notes a use, so that the store closes others first. */
void segment_touch(struct segment *segment);
/* Notes that one more of its files is open; others may be closed for it. */
void segment_opened(struct segment *segment);
/* Closes what is open and not being written. */
void segment_close_files(struct segment *segment);
void segment_close_indexes(struct segment *segment);
/* 0, or -EAGAIN in an ordinary step when the file is closed, or a negative errno. */
int segment_open_file(struct segment *segment);
/* SIZE bytes at POSITION, from the page cache or (in a fiber) the disk; fewer at the end of the
 * file. */
int64_t segment_read(struct segment *segment, void *to, size_t size, uint64_t position);

/* An empty tail of a segment that begins at BASE. */
struct segment_tail segment_tail_empty(int64_t base_offset);
/* BATCH goes to the end. CAPACITIES in entries. The rules of Kafka's LogSegment.append, to the
 * byte. */
void segment_tail_advance(struct segment_tail *tail, const struct batch_header *batch,
	uint32_t index_interval_bytes, const uint32_t capacities[INDEX_KINDS],
	struct segment_entries *ret_entries);
/* Puts the entries into the indexes. */
void segment_index(struct segment *segment, const struct segment_entries *entries);

/* A window over the batches of a segment, for scans. */
enum { SEGMENT_WINDOW_SIZE = 8192 };
struct segment_window {
	uint64_t position;
	uint32_t size;
	uint8_t bytes[SEGMENT_WINDOW_SIZE];
};

/* Empty. The bytes stay as they are: on hot paths clearing them would cost more than reading them. */
static inline void segment_window_init(struct segment_window *window)
{
	window->position = 0;
	window->size = 0;
}

/*
 * The header of the batch at POSITION. 1; 0 at END or when the last batch is cut off there;
 * BATCH_ERROR_CORRUPT; -EAGAIN; errnos.
 */
int segment_header(struct segment *segment, struct segment_window *window, uint64_t position,
	uint64_t end, struct batch_header *ret_header);

/*
 * The first batch in [.., END bytes) whose last offset is at or behind OFFSET. 1 and its place, 0
 * when there is none, errors as above.
 */
int segment_find(struct segment *segment, int64_t offset, uint64_t end, uint64_t *ret_position,
	struct batch_header *ret_header);

/* Reads the timestamps and counts that a closed segment's tail lacks. */
int segment_know_tail(struct segment *segment);
/* Its largest timestamp, or when it has none the time its file changed; -EAGAIN and errnos below 0.
 */
int segment_largest_timestamp(struct segment *segment, int64_t *ret_timestamp);

/* The rows of its transaction index; -EAGAIN in an ordinary step when they are not loaded. */
int segment_aborted_load(struct segment *segment);
/* Adds a row in memory; it is written by the next flush. The rows are loaded. -ENOMEM. */
int segment_aborted_add(struct segment *segment, const struct producer_completed *completed);
/* (fiber) Writes the rows that the file lacks; it is made when there is one. */
int segment_aborted_flush(struct segment *segment, bool sync);
/* (fiber) Drops rows whose marker is at or behind OFFSET. */
int segment_aborted_truncate(struct segment *segment, int64_t offset);

/* (fiber) Data, indexes and transaction index are on the disk. */
int segment_sync(struct segment *segment);
/* (fiber) Makes the files of an empty segment, replacing what lies there. The indexes are closed again:
 * most segments have nothing to put into them for a while. */
int segment_create(struct segment *segment);
/* (fiber) The same in a folder that has nothing of that name. */
int segment_create_first(struct segment *segment);
/* (fiber) Removes its files at once. */
int segment_unlink(struct segment *segment);
/* (fiber) It is not active any more: the last time entry, trimmed indexes. */
int segment_finish(struct segment *segment);
