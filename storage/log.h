/*
 * One partition's log on disk: Kafka's segments, indexes, producer state and leader epochs,
 * written as Kafka writes them. A log belongs to one shard; every call here is made on that
 * shard. Hot calls (append, read, sync) take an operation object that the caller embeds and that
 * stays alive until its DONE step ran; no DONE runs inside the call. Calls marked (fiber) may
 * wait and must be made from a fiber; everything else answers at once from memory.
 *
 * Offsets of a log, always in this order (storage/README.md numbers the invariants):
 *
 *	log start <= high watermark <= readable end <= log end;   recovery point <= readable end
 *
 *	log start       first offset that may be read; moves by DeleteRecords and retention
 *	high watermark  set by the partition's owner; retention and the last stable offset stay
 *	                behind it
 *	readable end    behind the last batch whose write completed
 *	log end         behind the last batch accepted; moves inside log_append
 *	recovery point  everything before it is synced
 */
#pragma once

#include "protocol/batch.h"
#include "runtime/file.h"

struct log;
struct log_store;

/* Private to log_read.c: a question to a log that may have to wait for the disk. */
struct log_lookup {
	struct list_node node;
	struct task task;
	struct log *log;
	int (*attempt)(struct log_lookup *lookup);
	void (*answer)(struct log_lookup *lookup, int error);
};

/* ---- what one shard keeps for all its logs ---- */

struct log_store_options {
	uint32_t open_files_max; /* files kept open between uses; 0: the shard's part of what the machine
				    allows (files_allowed) */
	uint32_t producer_ids_max; /* remembered by one log, least recently used first out; 0: a
				      default */
	uint64_t decompressed_bytes_max;   /* of one batch while it is checked; 0: a default */
	int64_t producer_id_expiration_ms; /* producer.id.expiration.ms */
	int64_t producer_id_expiration_check_interval_ms; /* producer.id.expiration.check.interval.ms
							   */
	int64_t retention_check_interval_ms; /* log.retention.check.interval.ms; 0: the owner calls
						log_retain */
	int64_t background_sync_ms; /* unsynced bytes are synced at the latest this long after; 0: a
				       default */
	uint64_t backlog_bytes_max; /* more bytes than that past the recovery points of all its logs,
				       which a start after a crash reads, are synced at once; 0: the
				       shard's part of a default for the node */
	/*
	 * An I/O error on FOLDER (a path of log.dirs): the directory has failed (KIP-112), its logs
	 * answer KAFKA_STORAGE_ERROR from now on. Called once a directory and shard, as a step of
	 * its own.
	 */
	void (*folder_failed)(void *argument, const char *folder, int error);
	/* A write of an append found no room in FOLDER. May be NULL. */
	void (*folder_full)(void *argument, const char *folder);
	/* Recovery points have passed so much that they are worth being written down. May be NULL. */
	void (*recovery_points_moved)(void *argument);
	void *argument;
};

/* NULL without memory. */
struct log_store *log_store_new(struct shard *shard, const struct log_store_options *options);
/* No log of it is open any more. NULL is allowed. */
void log_store_free(struct log_store *store);
/* All logs in FOLDER (a path of log.dirs) answer KAFKA_STORAGE_ERROR from now on: another shard saw
 * it fail. */
void log_store_folder_fail(struct log_store *store, const char *folder);
struct shard *log_store_shard(const struct log_store *store);

/* ---- compaction ---- */

/* What came of compacting a log once. */
struct log_cleaning {
	int error; /* 0; a negative errno; BATCH_ERROR_CORRUPT and others: not tried again */
	int64_t from_offset, to_offset; /* what had not been compacted before */
	uint64_t read_bytes, written_bytes;
	uint64_t records_read, records_kept;
	uint32_t segments_before, segments_after;
	uint64_t duration_ns;
};

/* log.cleaner.*: one log of a store is compacted at a time, and THREADS of the node. */
struct log_cleaner_options {
	bool enabled;
	uint32_t threads; /* at least 1 */
	uint64_t dedupe_buffer_bytes; /* for the keys of all that are compacted at a time */
	uint32_t io_buffer_bytes;     /* likewise */
	double io_buffer_load_factor;
	double io_bytes_per_second; /* likewise */
	int64_t backoff_ms;
	uint32_t *running; /* atomic: how many logs of the node are being compacted; NULL: of the store alone */
	/* Each time a log was compacted; after failures when the reason is another than the last time. */
	void (*cleaned)(void *argument, struct log *log, const struct log_cleaning *cleaning);
	void *argument;
};

/* From now on; without it nothing is compacted. */
void log_store_cleaner_set(struct log_store *store, const struct log_cleaner_options *options);
/* Compacted up to there, for cleaner-offset-checkpoint; 0: never. */
int64_t log_clean_end(const struct log *log);
/* It was given up on: it has damaged batches, or others that make no sense. */
bool log_is_uncleanable(const struct log *log);

/* ---- configuration ---- */

/* The topic's settings, resolved. Kafka's names stand beside those that differ. */
struct log_config {
	int32_t segment_size_bytes; /* segment.bytes */
	int64_t segment_ms;
	int64_t segment_jitter_ms;
	int32_t segment_index_size_bytes; /* segment.index.bytes */
	int32_t index_interval_bytes;
	int64_t retention_ms;	      /* -1: for ever */
	int64_t retention_size_bytes; /* retention.bytes; -1: no limit */
	int64_t file_delete_delay_ms;
	int64_t flush_messages; /* INT64_MAX: never */
	int64_t flush_ms;	/* INT64_MAX: never */
	int32_t max_message_bytes;
	int64_t timestamp_before_max_ms; /* message.timestamp.before.max.ms */
	int64_t timestamp_after_max_ms;
	enum timestamp_type timestamp_type; /* message.timestamp.type */
	int8_t compression;		    /* enum compression, or LOG_COMPRESSION_PRODUCER */
	int32_t compression_level; /* of that codec; LOG_COMPRESSION_LEVEL_STANDARD: Kafka's default
				   */
	bool compact;		  /* cleanup.policy has "compact": records need keys */
	int64_t min_compaction_lag_ms, max_compaction_lag_ms;
	int64_t delete_retention_ms; /* of tombstones, from when they are first compacted on */
	double min_cleanable_dirty_ratio;
	bool delete_old;	  /* cleanup.policy has "delete": retention applies */
	bool preallocate;
};
enum { LOG_COMPRESSION_PRODUCER = -1, LOG_COMPRESSION_LEVEL_STANDARD = INT32_MIN };

/* Kafka's defaults. */
void log_config_init(struct log_config *config);
/* The one that __cluster_metadata has: no retention of its own, appends synced by who asks for it.
 */
void log_config_init_metadata(struct log_config *config);

/* ---- opening and closing (fiber) ---- */

struct log_open {
	const char *folder; /* the path in log.dirs that holds it; must live as long as the log */
	const char
		*name; /* of the partition's folder, "topic-3"; copied; made when it is not there */
	struct str topic; /* copied */
	int32_t partition;
	struct uuid
		topic_id; /* written to partition.metadata before the first append; zero: none */
	bool is_claimed; /* its folder was found, and says that it is TOPIC_ID's: not looked at again */
	struct log_config config;
	bool clean;		/* the last process shut down cleanly: nothing is scanned */
	int64_t recovery_point; /* of the checkpoint files; 0 when not listed */
	int64_t log_start;
	int64_t high_watermark;
	int64_t clean_end; /* cleaner-offset-checkpoint; 0 when not listed */
	bool durable_appends; /* they are asked for as durable: what recovery finds is synced before
				 it is shown. As with flush.messages */
	const bool *no_room; /* atomic: while it is true appends are refused as by a full disk, which
				they would fill; NULL: never. Lives as long as the log */
	void *owner;	      /* log_owner() */
};

/* What opening found wrong and did about it; all zero after a clean start. */
struct log_recovery {
	int64_t scanned_bytes;	     /* read past the recovery point */
	int64_t dropped_bytes;	     /* behind the first bad batch, with whole segments behind it */
	int64_t dropped_from_offset; /* where the log ends because of that; -1 when nothing was
					dropped */
	uint32_t segments_scanned;
	uint32_t segments_dropped;
	uint32_t indexes_rebuilt;
	uint32_t leftovers_removed; /* .deleted, .cleaned, .swap, .tmp files */
	uint32_t files_skipped;	    /* not of a log; left alone */
	char reason[96];	    /* why the first bad batch is bad; "" */
};

/*
 * Opens a log, recovers it when the last shutdown was not clean, makes it when it is new.
 * RET_RECOVERY may be NULL. 0, -ENOMEM, -EEXIST when partition.metadata names another topic, or the
 * errno of what could not be read or written (the directory has failed then).
 */
int log_open(struct log_store *store, const struct log_open *ask, struct log **ret_log,
	struct log_recovery *ret_recovery);
/*
 * For a clean shutdown: waits for what is in flight, syncs, writes the producer snapshot, trims the
 * indexes, frees LOG. The log is freed whatever is returned; an error means that the next start
 * must not be told "clean".
 */
int log_close(struct log *log);
/* Frees at once and leaves the files as they are (the folder failed, or a test's crash). No
 * operation may be in flight. */
void log_abandon(struct log *log);

void *log_owner(const struct log *log);
struct log_store *log_store_of(const struct log *log);
struct str log_topic(const struct log *log);
int32_t log_partition(const struct log *log);
/* The path in log.dirs, and the whole path of the partition's folder. */
const char *log_folder(const struct log *log);
const char *log_path(const struct log *log);
const struct log_config *log_config(const struct log *log);
void log_config_set(struct log *log, const struct log_config *config);

/* ---- append ---- */

enum append_origin {
	APPEND_CLIENT,	    /* Produce: everything is checked, offsets are given here */
	APPEND_COORDINATOR, /* our own records, control batches too: offsets are given here,
			       producer epochs checked */
	APPEND_REPLICA,	    /* offsets and epochs are in the batches: they must continue the log */
	APPEND_RAFT_LEADER, /* the metadata log: offsets are given here, control batches allowed,
			       timestamps kept */
};

struct log_record_error {
	int32_t batch_index; /* of the record in its request, as Produce's RecordErrors */
	const char *message; /* lives as long as the operation; NULL */
};

struct log_append {
	/* What is asked. RECORDS is written in place (offsets, epochs, timestamps) and stays alive
	 * until DONE. */
	uint8_t *records;
	uint32_t size; /* bytes */
	enum append_origin origin;
	int32_t leader_epoch;	 /* put into the batches; APPEND_REPLICA: the batches keep theirs */
	bool durable;		 /* DONE comes after a sync that covers it */
	int16_t produce_version; /* of the Produce request; -1 for what comes from none */
	int16_t transaction_version; /* of the marker's request (KIP-890): 2 fences equal producer
					epochs; 0 when unknown */
	void (*done)(struct log_append *op);

	/*
	 * What came of it. ERROR_CODE is Kafka's (0: none); the rest is valid when it is 0, and
	 * LOG_START always. DUPLICATE: the batch was here already, the offsets are those it got
	 * then, nothing was written.
	 */
	int16_t error_code;
	bool duplicate;
	int64_t base_offset, last_offset; /* -1 when nothing was appended */
	int64_t log_append_time_ms;	  /* -1 unless message.timestamp.type is LogAppendTime */
	int64_t log_start;
	const char *error_message; /* for Produce's ErrorMessage; NULL; lives as long as the
				      operation */
	struct log_record_error *record_errors;
	uint32_t record_error_count;

	struct log_append_private *private_; /* of log_append.c */
	struct list_node node;		     /* private */
	struct task task;		     /* private */
	struct log *log;		     /* private */
	struct log_store *store;	     /* private */
};

/*
 * Appends the batches in op->records, in the order of calls. DONE runs when they are readable (or
 * durable), or refused. After DONE call log_append_done.
 */
void log_append(struct log *log, struct log_append *op);
/* From any shard. Frees what the answer points to. */
void log_append_done(struct log_append *op);

/* ---- read ---- */

/* Bytes of one segment. FILE is a reference that the holder gives back with file_unref; NULL when
 * SIZE is 0. */
struct log_slice {
	struct file *file;
	uint64_t position; /* in the file, of the first batch */
	uint32_t size;	   /* bytes; the last batch may be cut off, as Kafka's fetches end */
	uint32_t first_batch_size; /* SIZE is at least that when at_least_one was asked */
};

struct log_aborted_transaction {
	int64_t producer_id;
	int64_t first_offset;
};

struct log_read {
	/* What is asked. END is exclusive: log_readable_end, high watermark or last stable offset.
	 */
	int64_t offset;
	int64_t end;
	uint32_t max_bytes;
	bool at_least_one;   /* the first batch comes whole even when it is larger than max_bytes */
	bool aborted_wanted; /* for read_committed */
	void (*done)(struct log_read *op);

	/*
	 * Kafka's error code: 0, OFFSET_OUT_OF_RANGE (outside log start … log readable end),
	 * KAFKA_STORAGE_ERROR. At the end (offset == end, or no batch before END) the slice is
	 * empty.
	 */
	int16_t error_code;
	struct log_slice slice;
	struct log_aborted_transaction *aborted; /* freed by log_read_done */
	uint32_t aborted_count;
	int64_t log_start;

	struct log_lookup lookup; /* private */
};

void log_read(struct log *log, struct log_read *op);
/* From any shard. Frees the list of aborted transactions; the slice's file is the holder's. */
void log_read_done(struct log_read *op);

/* ---- offsets ---- */

int64_t log_start(const struct log *log);
int64_t log_high_watermark(const struct log *log);
int64_t log_readable_end(const struct log *log);
/* The readable end, but not beyond an append that still waits for its sync: what consumers may see
 * of a log that has no other replicas. */
int64_t log_settled_end(const struct log *log);
int64_t log_end(const struct log *log);
int64_t log_recovery_point(const struct log *log);
/* min(high watermark, first offset of the oldest transaction still open, or decided but not yet
 * below the watermark). */
int64_t log_last_stable_offset(const struct log *log);
/* Never goes back but by truncation; clamped to log start … readable end. Returns the new value. */
int64_t log_high_watermark_set(struct log *log, int64_t offset);

/*
 * DeleteRecords: reads below OFFSET fail from now on; segments wholly below it go with the next
 * retention. 0, -ERANGE beyond the high watermark. An offset at or below log start changes nothing.
 */
int log_start_advance(struct log *log, int64_t offset);

/* ListOffsets by time. */
struct log_time_lookup {
	/* LOG_TIMESTAMP_MAX: the first offset with the largest timestamp. */
	int64_t timestamp_ms;
	void (*done)(struct log_time_lookup *op);

	/* The first record with a timestamp at or behind the one asked; offset -1 when there is
	 * none. */
	int16_t error_code;
	int64_t offset;
	int64_t found_timestamp_ms;
	int32_t leader_epoch; /* of its batch; -1 */

	struct log_lookup lookup; /* private */
};
enum { LOG_TIMESTAMP_MAX = -3 };
void log_offset_for_time(struct log *log, struct log_time_lookup *op);

/*
 * What ListOffsets version 0 answers: starts of segments (and the log end, if the last one holds
 * anything) that were last written at or before TIMESTAMP_MS, newest first. INT64_MAX for all,
 * INT64_MIN for the first alone. Returns how many were written to OFFSETS.
 */
int32_t log_segment_offsets_before(
	const struct log *log, int64_t timestamp_ms, int64_t *offsets, int32_t capacity);

/* ---- leader epochs ---- */

/* -1 when no epoch was ever given. */
int32_t log_latest_epoch(const struct log *log);
/* A leader begins EPOCH at the log end. 0 or -ENOMEM; written to disk in the background. */
int log_epoch_assign(struct log *log, int32_t epoch, int64_t start_offset);
/*
 * OffsetForLeaderEpoch: the largest epoch <= EPOCH with its end offset; both -1 when the log does
 * not know.
 */
void log_epoch_end_offset(
	const struct log *log, int32_t epoch, int32_t *ret_epoch, int64_t *ret_end_offset);
/* The epoch in which OFFSET was written; -1 when not known. */
int32_t log_epoch_at(const struct log *log, int64_t offset);

/* ---- producers ---- */

/* One row of DescribeProducers. */
struct log_producer {
	int64_t producer_id;
	int32_t producer_epoch;
	int32_t last_sequence;
	int64_t last_timestamp_ms;
	int32_t coordinator_epoch;
	int64_t transaction_start_offset; /* -1: no transaction is open */
};
uint32_t log_producer_count(const struct log *log);
/* Fills up to CAPACITY rows in order of producer id; returns how many there are. */
uint32_t log_producers(const struct log *log, struct log_producer *rows, uint32_t capacity);
/* True when PRODUCER_ID has a transaction open under PRODUCER_EPOCH. */
bool log_transaction_is_open(const struct log *log, int64_t producer_id, int16_t producer_epoch);

/* ---- durability ---- */

struct log_sync {
	void (*done)(struct log_sync *op);
	int result; /* 0, or a negative errno: the folder has failed */

	struct list_node node; /* private */
	struct task task;      /* private */
	struct log *log;       /* private */
	int64_t offset;	       /* private */
};
/* Everything before the present log end becomes durable. One sync of the disk serves all that wait.
 */
void log_sync(struct log *log, struct log_sync *op);

/* ---- housekeeping (fiber) ---- */

/* Closes the active segment and begins a new one at the log end, unless it is empty. */
int log_roll(struct log *log);
/* Drops everything at and behind OFFSET (a follower that diverged). Appends wait meanwhile. */
int log_truncate(struct log *log, int64_t offset);
/* Drops everything and begins anew at OFFSET. */
int log_truncate_fully(struct log *log, int64_t offset);
/* Retention by time and size, and what lies below log start. Also runs by itself where the store's
 * options say so. */
int log_retain(struct log *log);
/* Deletes whole segments below OFFSET and moves log start there: the metadata log behind a
 * snapshot. */
int log_delete_before(struct log *log, int64_t offset);
/*
 * Deletes the log: renamed to "topic-partition.uniqueid-delete", freed, and its files removed after
 * file.delete.delay.ms. LOG is gone whatever is returned.
 */
int log_delete(struct log *log);
/* (fiber) The same for the log of a partition in FOLDER that is not open, as one that could not be:
 * what lies there, whatever it is. 0 when nothing does. */
int log_delete_unopened(struct log_store *store, const char *folder, struct str topic,
	int32_t partition, int64_t delay_ms);

/* ---- sizes ---- */

uint64_t log_size_bytes(const struct log *log);
/* Where the oldest segment begins: at or before log start. */
int64_t log_first_segment_offset(const struct log *log);
/* The log start is further than the files tell, or than they would tell after a power cut: what is
 * below comes back unless the start is written down. */
bool log_start_is_untold(const struct log *log);
uint32_t log_segment_count(const struct log *log);
/* False once its folder failed: every append and read answers KAFKA_STORAGE_ERROR. */
bool log_is_usable(const struct log *log);
