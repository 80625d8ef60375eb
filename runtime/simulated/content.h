/*
 * The bytes of one simulated file: what a reader sees now, and what of it the disk would still have
 * after the power went.
 *
 * A page holds what is seen (data) and, from its first write after a sync on, what is durable. A
 * sync makes the two one again. Pages are counted by references and copied when written, so that a
 * durable page, and a clone of the whole disk, cost nothing until they differ. A missing page reads
 * as zeros; preallocated files have none.
 *
 * A page is in one of four states:
 *
 *	clean     durable content is what is seen
 *	dirty     seen and durable differ; the next sync writes it
 *	stranded  seen and durable differ, and nothing will write it: a sync failed, and the system
 *		  forgot that the page was dirty (what Linux does on several file systems)
 *	dropped   = clean, with the durable content: a sync failed, and the system threw the
 *		  page away
 *
 * What a power cut leaves of each sector (512 bytes) of a dirty page is the old bytes, the new, or
 * rarely a part of each; the size goes to any value on the way from the durable one to the seen
 * one. Bytes that only the new size covers read as zeros where the old bytes survive.
 */
#pragma once

#include "runtime/simulated/choose.h"

enum { CONTENT_PAGE_SIZE = 4096, CONTENT_SECTOR_SIZE = 512 };

struct content_page_bytes;

struct content_page {
	struct content_page_bytes *data;    /* NULL: zeros */
	struct content_page_bytes *durable; /* NULL: zeros; only while diverged */
	bool diverged, dirty;
};

struct content {
	struct content_page *pages;
	uint32_t page_count; /* up to the last page ever written */
	uint32_t page_capacity;
	uint32_t data_count; /* pages that have data */
	uint32_t *dirty;     /* indices of the dirty pages, each once */
	uint32_t dirty_count, dirty_capacity;
	uint64_t size_bytes; /* as seen */
	uint64_t durable_size_bytes;
	uint64_t lowest_size_bytes; /* since the last sync: below the durable size, there was a cut
				     */
	uint64_t allocated_bytes;   /* reserved by content_allocate */
};

/* A zeroed content is an empty file. */
void content_done(struct content *content);
/* Shares all pages. TO is zeroed. */
void content_clone(struct content *to, const struct content *from);

/* Bytes copied; fewer than SIZE only at the end of the file. */
size_t content_read(const struct content *content, void *buffer, size_t size, uint64_t offset);
void content_write(struct content *content, const void *data, size_t size, uint64_t offset);
void content_truncate(struct content *content, uint64_t size);
void content_allocate(struct content *content, uint64_t size);
void content_sync(struct content *content);
/* A sync that failed: each dirty page stays dirty, is stranded, or is dropped. */
void content_sync_fail(struct content *content, struct chooser *chooser);
/* The system writes some of the dirty sectors by itself. */
void content_write_out(struct content *content, struct chooser *chooser);
/* The power went: settles every sector and the size. All is clean then. */
void content_lose_power(struct content *content, struct chooser *chooser);
/* Flips a bit of the byte at OFFSET, on the disk and in memory; false beyond the end. */
bool content_rot(struct content *content, struct chooser *chooser, uint64_t offset);

/* What the file takes from the disk's capacity. */
uint64_t content_charge_bytes(const struct content *content);
/* How much more a write to this range would take. */
uint64_t content_write_cost_bytes(const struct content *content, size_t size, uint64_t offset);
bool content_is_dirty(const struct content *content);
