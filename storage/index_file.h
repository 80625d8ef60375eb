/*
 * The offset and time indexes of a segment, as Kafka writes them:
 *
 *	.index      entries of 8 bytes:  offset - base (int32), position in the .log (int32)
 *	.timeindex  entries of 12 bytes: timestamp (int64), offset - base (int32)
 *
 * Entries are gathered in memory and written a page at a time; a lookup sees file, write in
 * flight and gathered tail as one array. Nothing else of an index is kept in memory: a lookup
 * reads pages of the file, which the page cache holds.
 *
 *  1. Entries [0, written) are in the file, [written, written + flying) in the write in flight,
 *     the rest in the tail.
 *  2. Keys ascend strictly.
 *  3. While its segment is active the file has its full size with a zero tail; else it ends
 *     behind the last entry.
 */
#pragma once

#include "runtime/file.h"

struct segment;

enum index_kind { INDEX_OFFSET, INDEX_TIME, INDEX_KINDS };
enum { INDEX_OFFSET_ENTRY_SIZE = 8, INDEX_TIME_ENTRY_SIZE = 12, INDEX_PAGE_SIZE = 4096 };

/* A decoded entry of either kind; an offset entry has no timestamp, a time entry no position. */
struct index_entry {
	int64_t offset;
	int64_t timestamp;
	uint32_t position;
};

struct index_file {
	struct segment *segment;
	struct file *file; /* NULL while closed */
	enum index_kind kind;
	bool counted; /* WRITTEN is known: the file's size was looked at */
	bool writing;
	bool unnamed; /* made anew and not whole yet: it has a temporary name */
	bool unsynced; /* what matters of the file changed since it was synced */
	uint32_t written;	/* entries in the file */
	uint32_t flying;	/* entries in the write in flight */
	uint32_t gathered;	/* entries in the tail */
	uint32_t tail_capacity; /* bytes */
	uint8_t *tail, *flight;
	struct file_op op;
	struct iovec part;
	struct file *op_file; /* a reference for the write */
};

/* A page of the file that the last reads were answered from. */
struct index_page {
	const struct index_file *index;
	uint32_t first, count; /* entries */
	uint8_t bytes[INDEX_PAGE_SIZE];
};

void index_file_init(struct index_file *index, struct segment *segment, enum index_kind kind);
/* No write is in flight. */
void index_file_done(struct index_file *index);
uint32_t index_file_count(const struct index_file *index);
static inline uint32_t index_entry_size(enum index_kind kind)
{
	return kind == INDEX_OFFSET ? INDEX_OFFSET_ENTRY_SIZE : INDEX_TIME_ENTRY_SIZE;
}
/* Entries for which a file of SIZE_BYTES (segment.index.bytes) has room. */
static inline uint32_t index_file_capacity(enum index_kind kind, int32_t size_bytes)
{
	return (uint32_t)size_bytes / index_entry_size(kind);
}

/*
 * The calls that read answer from memory and page cache; what needs the disk (opening the file,
 * too) waits in a fiber and is -EAGAIN in an ordinary step. Other errors are negative errnos.
 */
int index_file_open(struct index_file *index);
int index_file_entry(struct index_file *index, struct index_page *page, uint32_t slot,
	struct index_entry *ret_entry);
/* The last slot whose key (offset, timestamp) is at or below KEY; -1 when there is none. */
int index_file_floor(
	struct index_file *index, struct index_page *page, int64_t key, int64_t *ret_slot);
/* The first slot whose position (of an offset index) is at or behind POSITION; the count when there
 * is none. */
int index_file_position_ceiling(
	struct index_file *index, struct index_page *page, uint64_t position, int64_t *ret_slot);
/* The last slot whose OFFSET is at or below the one given; for the time index, whose key is the
 * timestamp. */
int index_file_offset_floor(
	struct index_file *index, struct index_page *page, int64_t offset, int64_t *ret_slot);

/* Gathers an entry behind the last one; a full page begins to be written. False without memory: the
 * entry is left out. */
bool index_file_append(struct index_file *index, const struct index_entry *entry);
/* Begins to write what is gathered, unless a write is in flight. The file is open. */
void index_file_flush_begin(struct index_file *index);

/* (fiber) Everything gathered is in the file. */
int index_file_flush(struct index_file *index);
/* (fiber) Keeps the first COUNT entries; a write in flight is waited for. */
int index_file_truncate(struct index_file *index, uint32_t count);
/* (fiber) Gives the file its full size with a zero tail. */
int index_file_extend(struct index_file *index, int32_t size_bytes);
/* (fiber) Flushes and ends the file behind the last entry. */
int index_file_trim(struct index_file *index);
/* (fiber) Makes it, without entries and with its full size, and leaves it closed. */
int index_file_create(struct index_file *index, int32_t size_bytes);
/* (fiber) What was flushed is durable; one that was made anew gets its name. */
int index_file_sync(struct index_file *index);
/*
 * (fiber) Begins an empty one; the index is not open. A start that finds both indexes of a segment
 * below the recovery point believes them: so the new one has a temporary name until it is whole.
 */
int index_file_renew(struct index_file *index);
