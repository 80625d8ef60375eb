#include "runtime/simulated/content.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/simulated/memory.h"

struct content_page_bytes {
	uint32_t references;
	uint8_t bytes[CONTENT_PAGE_SIZE];
};

static const uint8_t page_of_zeros[CONTENT_PAGE_SIZE];

static const uint8_t *page_view(const struct content_page_bytes *page)
{
	return page ? page->bytes : page_of_zeros;
}

static struct content_page_bytes *page_ref(struct content_page_bytes *page)
{
	if (page)
		page->references++;
	return page;
}

static void page_unref(struct content_page_bytes *page)
{
	if (page && --page->references == 0)
		free(page);
}

/* A page that only *PLACE holds, with the bytes that were there. */
static uint8_t *page_own(struct content_page_bytes **place)
{
	struct content_page_bytes *page = *place;

	if (page && page->references == 1)
		return page->bytes;
	*place = world_alloc(sizeof(**place));
	(*place)->references = 1;
	memcpy((*place)->bytes, page_view(page), CONTENT_PAGE_SIZE);
	page_unref(page);
	return (*place)->bytes;
}

static uint64_t round_up(uint64_t size)
{
	return (size + CONTENT_PAGE_SIZE - 1) / CONTENT_PAGE_SIZE * CONTENT_PAGE_SIZE;
}

void content_done(struct content *content)
{
	for (uint32_t i = 0; i < content->page_count; i++) {
		page_unref(content->pages[i].data);
		page_unref(content->pages[i].durable);
	}
	free(content->pages);
	free(content->dirty);
	memset(content, 0, sizeof(*content));
}

void content_clone(struct content *to, const struct content *from)
{
	*to = *from;
	to->pages = NULL;
	to->dirty = NULL;
	to->page_capacity = from->page_count;
	if (from->page_count > 0) {
		to->pages = world_alloc(from->page_count * sizeof(*to->pages));
		memcpy(to->pages, from->pages, from->page_count * sizeof(*to->pages));
		for (uint32_t i = 0; i < to->page_count; i++) {
			page_ref(to->pages[i].data);
			page_ref(to->pages[i].durable);
		}
	}
	to->dirty_capacity = from->dirty_count;
	if (from->dirty_count > 0) {
		to->dirty = world_alloc(from->dirty_count * sizeof(*to->dirty));
		memcpy(to->dirty, from->dirty, from->dirty_count * sizeof(*to->dirty));
	}
}

size_t content_read(const struct content *content, void *buffer, size_t size, uint64_t offset)
{
	uint8_t *to = buffer;
	size_t done = 0;

	if (offset >= content->size_bytes)
		return 0;
	size = min_of((uint64_t)size, content->size_bytes - offset);
	while (done < size) {
		uint64_t index = (offset + done) / CONTENT_PAGE_SIZE;
		size_t within = (offset + done) % CONTENT_PAGE_SIZE;
		size_t part = min_of(size - done, CONTENT_PAGE_SIZE - within);

		if (index < content->page_count)
			memcpy(to + done, page_view(content->pages[index].data) + within, part);
		else
			memset(to + done, 0, part);
		done += part;
	}
	return size;
}

/* The page is about to change: what is durable of it stays behind. */
static void page_soil(struct content *content, uint32_t index)
{
	struct content_page *page = &content->pages[index];

	if (!page->diverged) {
		page->diverged = true;
		page->durable = page_ref(page->data);
	}
	if (page->dirty)
		return;
	page->dirty = true;
	if (content->dirty_count == content->dirty_capacity) {
		content->dirty_capacity = max_of(16u, content->dirty_capacity * 2);
		content->dirty = world_realloc(
			content->dirty, content->dirty_capacity * sizeof(*content->dirty));
	}
	content->dirty[content->dirty_count++] = index;
}

static void page_data_drop(struct content *content, struct content_page *page)
{
	if (page->data)
		content->data_count--;
	page_unref(page->data);
	page->data = NULL;
}

static uint8_t *page_data_own(struct content *content, struct content_page *page)
{
	if (!page->data)
		content->data_count++;
	return page_own(&page->data);
}

static void pages_reach(struct content *content, uint64_t end)
{
	uint64_t count = round_up(end) / CONTENT_PAGE_SIZE;

	ensure(count < UINT32_MAX / 2);
	if (count <= content->page_count)
		return;
	if (count > content->page_capacity) {
		/* Doubled, so that a growing log is not copied for each of its pages. */
		content->page_capacity = max_of((uint32_t)count, content->page_capacity * 2);
		content->pages = world_realloc(
			content->pages, content->page_capacity * sizeof(*content->pages));
	}
	memset(content->pages + content->page_count, 0,
		(count - content->page_count) * sizeof(*content->pages));
	content->page_count = (uint32_t)count;
}

static void size_set(struct content *content, uint64_t size)
{
	content->size_bytes = size;
	content->lowest_size_bytes = min_of(content->lowest_size_bytes, size);
}

void content_write(struct content *content, const void *data, size_t size, uint64_t offset)
{
	const uint8_t *from = data;

	if (size == 0)
		return;
	pages_reach(content, offset + size);
	for (size_t done = 0; done < size;) {
		uint32_t index = (uint32_t)((offset + done) / CONTENT_PAGE_SIZE);
		size_t within = (offset + done) % CONTENT_PAGE_SIZE;
		size_t part = min_of(size - done, CONTENT_PAGE_SIZE - within);

		page_soil(content, index);
		memcpy(page_data_own(content, &content->pages[index]) + within, from + done, part);
		done += part;
	}
	if (offset + size > content->size_bytes)
		size_set(content, offset + size);
}

/* Zeros behind SIZE, whatever was there. */
static void content_cut(struct content *content, uint64_t size)
{
	uint64_t whole = round_up(size) / CONTENT_PAGE_SIZE;
	size_t within = size % CONTENT_PAGE_SIZE;

	if (within && whole <= content->page_count && content->pages[whole - 1].data) {
		page_soil(content, (uint32_t)whole - 1);
		memset(page_data_own(content, &content->pages[whole - 1]) + within, 0,
			CONTENT_PAGE_SIZE - within);
	}
	for (uint64_t i = whole; i < content->page_count; i++) {
		if (!content->pages[i].data)
			continue;
		page_soil(content, (uint32_t)i);
		page_data_drop(content, &content->pages[i]);
	}
	content->allocated_bytes = min_of(content->allocated_bytes, size);
}

void content_truncate(struct content *content, uint64_t size)
{
	if (size < content->size_bytes)
		content_cut(content, size);
	size_set(content, size);
}

void content_allocate(struct content *content, uint64_t size)
{
	content->allocated_bytes = max_of(content->allocated_bytes, size);
	if (size > content->size_bytes)
		size_set(content, size);
}

static void page_clean(struct content_page *page)
{
	page_unref(page->durable);
	page->durable = NULL;
	page->diverged = page->dirty = false;
}

void content_sync(struct content *content)
{
	for (uint32_t i = 0; i < content->dirty_count; i++)
		page_clean(&content->pages[content->dirty[i]]);
	content->dirty_count = 0;
	content->durable_size_bytes = content->lowest_size_bytes = content->size_bytes;
}

static void page_revert(struct content *content, struct content_page *page)
{
	page_data_drop(content, page);
	page->data = page_ref(page->durable);
	if (page->data)
		content->data_count++;
	page_clean(page);
}

void content_sync_fail(struct content *content, struct chooser *chooser)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < content->dirty_count; i++) {
		uint32_t index = content->dirty[i];
		struct content_page *page = &content->pages[index];

		switch (choose_below(chooser, 3)) {
		case 0:
			content->dirty[kept++] = index;
			break;
		case 1:
			page->dirty = false; /* stranded */
			chooser->faults[FAULT_PAGE_FORGOTTEN]++;
			break;
		default:
			page_revert(content, page);
			break;
		}
	}
	content->dirty_count = kept;
}

/* SECTOR of the durable page becomes what is seen, or its first BYTES do. */
static void sector_settle(struct content_page *page, unsigned sector, size_t bytes)
{
	size_t at = (size_t)sector * CONTENT_SECTOR_SIZE;

	if (memcmp(page_view(page->data) + at, page_view(page->durable) + at, bytes) != 0)
		memcpy(page_own(&page->durable) + at, page_view(page->data) + at, bytes);
}

enum { SECTORS_PER_PAGE = CONTENT_PAGE_SIZE / CONTENT_SECTOR_SIZE, TORN_SECTOR_PPM = 20000 };

/* Each sector of the page that differs is written out KEEP_PPM times in a million. */
static void page_settle(struct content_page *page, struct chooser *chooser, uint32_t keep_ppm)
{
	for (unsigned sector = 0; sector < SECTORS_PER_PAGE; sector++) {
		size_t at = (size_t)sector * CONTENT_SECTOR_SIZE;

		if (page->data == page->durable ||
			memcmp(page_view(page->data) + at, page_view(page->durable) + at,
				CONTENT_SECTOR_SIZE) == 0)
			continue;
		if (keep_ppm > 0 && keep_ppm < CHANCE_CERTAIN_PPM &&
			choose_fault(chooser, FAULT_SECTOR_TORN, TORN_SECTOR_PPM))
			sector_settle(page, sector, choose_below(chooser, CONTENT_SECTOR_SIZE));
		else if (choose_chance(chooser, keep_ppm))
			sector_settle(page, sector, CONTENT_SECTOR_SIZE);
		else
			chooser->faults[FAULT_SECTOR_LOST]++;
	}
}

void content_write_out(struct content *content, struct chooser *chooser)
{
	/* What lies behind a cut must not become durable before the cut does. */
	if (content->lowest_size_bytes < content->durable_size_bytes)
		return;
	if (content->dirty_count > 0) {
		uint64_t pick = choose_below(chooser, content->dirty_count);

		page_settle(&content->pages[content->dirty[pick]], chooser, 500000);
	}
	if (choose_chance(chooser, 500000)) {
		content->durable_size_bytes =
			choose_between(chooser, content->durable_size_bytes, content->size_bytes);
		content->lowest_size_bytes = content->durable_size_bytes;
	}
}

/* Between two sizes; the ends are what usually survives. */
static uint64_t size_between(
	struct chooser *chooser, uint64_t old, uint64_t seen, uint32_t keep_ppm)
{
	if (old == seen)
		return seen;
	if (keep_ppm > 0 && keep_ppm < CHANCE_CERTAIN_PPM && choose_chance(chooser, 250000))
		return choose_between(chooser, min_of(old, seen), max_of(old, seen));
	return choose_chance(chooser, keep_ppm) ? seen : old;
}

void content_lose_power(struct content *content, struct chooser *chooser)
{
	/* All, nothing, and half are the interesting shares, each as likely as any other. */
	static const uint32_t shares_ppm[] = {0, 100000, 500000, 900000, CHANCE_CERTAIN_PPM};
	uint32_t keep_ppm = shares_ppm[choose_below(chooser, array_length(shares_ppm))];
	uint64_t cut = content->lowest_size_bytes;
	bool was_cut = cut < content->durable_size_bytes;
	bool cut_kept = was_cut && choose_chance(chooser, keep_ppm);
	uint64_t size;

	if (was_cut && !cut_kept)
		size = content->durable_size_bytes;
	else
		size = size_between(chooser, was_cut ? cut : content->durable_size_bytes,
			content->size_bytes, keep_ppm);

	for (uint32_t i = 0; i < content->page_count; i++) {
		struct content_page *page = &content->pages[i];
		uint64_t start = (uint64_t)i * CONTENT_PAGE_SIZE;

		if (!page->diverged)
			continue;
		if (cut_kept && start + CONTENT_PAGE_SIZE > cut && page->durable) {
			/* What the cut took away cannot come back behind it. */
			size_t from = cut > start ? cut - start : 0;
			memset(page_own(&page->durable) + from, 0, CONTENT_PAGE_SIZE - from);
		}
		/* What was written behind a cut needs the cut. */
		if (page->dirty && !(was_cut && !cut_kept && start + CONTENT_PAGE_SIZE > cut))
			page_settle(page, chooser, keep_ppm);
		page_revert(content, page);
	}
	content->dirty_count = 0;
	content_cut(content, size);
	content->size_bytes = size;
	content_sync(content);
}

bool content_rot(struct content *content, struct chooser *chooser, uint64_t offset)
{
	struct content_page *page;
	uint8_t flip = (uint8_t)(1u << choose_below(chooser, 8));

	if (offset >= content->size_bytes)
		return false;
	pages_reach(content, offset + 1);
	page = &content->pages[offset / CONTENT_PAGE_SIZE];
	page_data_own(content, page)[offset % CONTENT_PAGE_SIZE] ^= flip;
	if (page->diverged)
		page_own(&page->durable)[offset % CONTENT_PAGE_SIZE] ^= flip;
	return true;
}

uint64_t content_charge_bytes(const struct content *content)
{
	uint64_t data = (uint64_t)content->data_count * CONTENT_PAGE_SIZE;

	return max_of(data, round_up(content->allocated_bytes));
}

uint64_t content_write_cost_bytes(const struct content *content, size_t size, uint64_t offset)
{
	uint64_t first = offset / CONTENT_PAGE_SIZE,
		 end = round_up(offset + size) / CONTENT_PAGE_SIZE;
	uint64_t fresh = 0, after;

	for (uint64_t i = first; i < end; i++)
		fresh += i >= content->page_count || !content->pages[i].data;
	after = ((uint64_t)content->data_count + fresh) * CONTENT_PAGE_SIZE;
	after = max_of(after, round_up(content->allocated_bytes));
	return after - content_charge_bytes(content);
}

bool content_is_dirty(const struct content *content)
{
	return content->dirty_count > 0 || content->size_bytes != content->durable_size_bytes ||
	       content->lowest_size_bytes < content->durable_size_bytes;
}
