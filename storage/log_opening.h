/*
 * What the files that open a log share: log_open.c puts the steps together, log_folder.c knows the
 * files in the folder, log_recover.c reads what may be damaged, log_producers.c rebuilds the
 * producers.
 */
#pragma once

#include "storage/log_internal.h"

struct opening {
	struct log *log;
	const struct log_open *ask;
	struct log_recovery recovery;
	struct path_listing *listing;
	bool producers_loaded; /* recovery carries them along */
	bool sync_recovered;   /* what recovery finds is shown only when it is on the disk */
	bool in_doubt;	       /* see log_doubt_mark */
	bool is_new;	       /* its folder was made just now: LISTING is NULL, nothing lies in it */
};

/* ---- log_folder.c ---- */

/* (fiber) Makes the folder and says in it which topic's it is, or finds and lists it. Nothing is synced:
 * see log_names_sync. -EEXIST: it is another topic's. */
int opening_claim(struct opening *opening);
/* (fiber) Reads the folder's listing, again where there is one. */
int opening_list(struct opening *opening);
/* Is there a file of that name, by the listing? */
bool opening_has_name(const struct opening *opening, const char *name);
/* Is there a live file of KIND at BASE_OFFSET, by the listing? */
bool opening_has(const struct opening *opening, int64_t base_offset, enum log_file_kind kind);
/* (fiber) Removes and completes what a stop in the middle of a deletion or of compaction left. */
int opening_settle(struct opening *opening);
/* (fiber) The log's segments and producer snapshots, from the listing. */
int opening_segments_find(struct opening *opening);

/* ---- log_recover.c ---- */

/*
 * (fiber) Reads what lies past the recovery point, or has lost its indexes: makes indexes,
 * producers and epochs again, and drops from the first bad batch on. Sets where the log ends.
 */
int opening_recover(struct opening *opening, int64_t *ret_end);
/* (fiber) Removes the segments from index FROM on, before anybody has seen them. */
int opening_segments_drop(struct opening *opening, uint32_t from);
