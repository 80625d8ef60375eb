/*
 * Checkpoints: the files that hold metadata as records. A snapshot of the image, `<end
 * offset>-<epoch>.checkpoint` beside the metadata log; bootstrap.checkpoint, with which a directory
 * is formatted; and the first snapshot of a dynamic quorum, which holds its voters. All begin with
 * a header and end with a footer, both control records (KIP-630).
 */
#pragma once

#include "broker/controller/batch_file.h"
#include "broker/metadata/image.h"
#include "protocol/batch_builder.h"

#define BOOTSTRAP_CHECKPOINT_FILE_NAME "bootstrap.checkpoint"

struct snapshot_id {
	int64_t offset; /* the log goes on here: one behind the last record in the snapshot */
	int32_t epoch;	/* of that last record */
};

#define SNAPSHOT_NAME_SIZE (20 + 1 + 10 + sizeof(".checkpoint"))

/* "00000000000000000042-0000000003.checkpoint", NUL-terminated. */
void snapshot_name_format(struct snapshot_id id, char name[SNAPSHOT_NAME_SIZE]);
/* False when NAME is not a snapshot's. */
bool snapshot_name_parse(const char *name, struct snapshot_id *ret_id);

/* What control records say of the quorum. The voters lie in the arena they were read into. */
struct quorum_voters {
	int16_t kraft_version;		    /* 0 when never said */
	const struct voters_record *voters; /* NULL when never said */
};

/* ---- writing (fiber) ---- */

struct snapshot_writer {
	struct shard *shard;
	struct file *file;
	char *path, *temporary_path;
	struct arena scratch;
	struct record_buffer buffer;
	struct batch_builder batch;
	bool batch_is_open;
	int32_t batch_count; /* records in the open batch */
	int64_t next_offset, wall_ms;
	uint64_t written; /* bytes in the file */
	int32_t epoch;
	int error; /* the first one */
};

/*
 * Begins PATH (first as PATH.part) with a header: the time of the last record in the log behind it,
 * and with kraft.version 1 that and the voters. Errors stick, and come out of
 * snapshot_writer_finish.
 */
void snapshot_writer_begin(struct snapshot_writer *writer, struct shard *shard, const char *path,
	int32_t epoch, int64_t last_timestamp_ms, const struct quorum_voters *voters);
/* Usable as EMIT of image_to_records. */
int snapshot_writer_add(const struct metadata_record *record, void *writer);
/* The footer; then the file is synced, gets its name, and the name is synced. Frees what begin took
 * in any case. */
int snapshot_writer_finish(struct snapshot_writer *writer, uint64_t *ret_size_bytes);
/*
 * The same in pieces, for who syncs several files together. The footer: now PATH.part, which is
 * returned, is whole and to be synced; NULL after an error. Then, unless ERROR came of that, the file gets
 * its name, which its folder's next sync makes durable; frees what begin took in any case.
 */
struct file *snapshot_writer_end(struct snapshot_writer *writer);
int snapshot_writer_name(struct snapshot_writer *writer, int error);

/* ---- reading (fiber) ---- */

struct snapshot_reader {
	int (*record)(void *argument, const struct metadata_record *record, const char **ret_why);
	void *argument;
};

struct snapshot_contents {
	int64_t last_timestamp_ms; /* of its header */
	struct quorum_voters voters;
	uint64_t size_bytes;
};

/*
 * Calls RECORD for each one. ARENA gets what CONTENTS points to; records live in it during the call
 * only when SCRATCH is another arena, which is reset as it goes. -EBADMSG: damaged, or cut off
 * before its footer, with the reason in *RET_WHY.
 */
int snapshot_read(struct shard *shard, const char *path, struct arena *arena, struct arena *scratch,
	const struct snapshot_reader *reader, struct snapshot_contents *ret, const char **ret_why);

/* ---- control records, also for the log ---- */

/* Appends a record with the key of TYPE (enum control_record) to BATCH. 0, -ENOMEM or -ENOBUFS. */
int control_record_append(struct batch_builder *batch, int64_t offset, int64_t timestamp_ms,
	int type, const struct schema_struct *schema, const void *message, struct arena *arena);
/* Takes what a control record says of the quorum into *VOTERS; others are passed over. 0, -EBADMSG,
 * -ENOMEM. */
int control_record_read(const struct record *record, struct arena *arena,
	struct quorum_voters *voters, int64_t *ret_header_timestamp_ms, int *ret_type);
