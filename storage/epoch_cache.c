#include "storage/epoch_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void epoch_cache_done(struct epoch_cache *cache)
{
	free(cache->entries);
	*cache = (struct epoch_cache){0};
}

int epoch_cache_assign(struct epoch_cache *cache, int32_t epoch, int64_t start_offset)
{
	struct epoch_entry *last = cache->count ? &cache->entries[cache->count - 1] : NULL;

	ensure(epoch >= 0 && start_offset >= 0);
	if (last && last->epoch == epoch && last->start_offset <= start_offset)
		return 0;
	if (cache->count == cache->capacity) {
		uint32_t capacity = cache->capacity ? cache->capacity * 2 : 4;
		void *entries = realloc(cache->entries, capacity * sizeof(*cache->entries));

		if (!entries)
			return -ENOMEM;
		cache->entries = entries;
		cache->capacity = capacity;
	}
	while (cache->count > 0) {
		last = &cache->entries[cache->count - 1];
		if (last->epoch < epoch && last->start_offset < start_offset)
			break;
		cache->count--;
	}
	cache->entries[cache->count++] = (struct epoch_entry){epoch, start_offset};
	return 1;
}

bool epoch_cache_truncate_end(struct epoch_cache *cache, int64_t end_offset)
{
	uint32_t count = cache->count;

	while (cache->count > 0 && cache->entries[cache->count - 1].start_offset >= end_offset)
		cache->count--;
	return cache->count != count;
}

bool epoch_cache_truncate_start(struct epoch_cache *cache, int64_t start_offset)
{
	uint32_t below = 0;

	while (below < cache->count && cache->entries[below].start_offset <= start_offset)
		below++;
	if (below == 0 || (below == 1 && cache->entries[0].start_offset == start_offset))
		return false;
	cache->entries[below - 1].start_offset = start_offset;
	memmove(cache->entries, cache->entries + below - 1,
		(cache->count - below + 1) * sizeof(*cache->entries));
	cache->count -= below - 1;
	return true;
}

bool epoch_cache_clear(struct epoch_cache *cache)
{
	bool changed = cache->count > 0;

	cache->count = 0;
	return changed;
}

int32_t epoch_cache_latest(const struct epoch_cache *cache)
{
	return cache->count ? cache->entries[cache->count - 1].epoch : -1;
}

int32_t epoch_cache_at(const struct epoch_cache *cache, int64_t offset)
{
	for (uint32_t i = cache->count; i > 0; i--)
		if (cache->entries[i - 1].start_offset <= offset)
			return cache->entries[i - 1].epoch;
	return -1;
}

void epoch_cache_end_offset(const struct epoch_cache *cache, int32_t epoch, int64_t log_end,
	int32_t *ret_epoch, int64_t *ret_end_offset)
{
	uint32_t higher = 0;

	*ret_epoch = -1;
	*ret_end_offset = -1;
	if (epoch == -1)
		return; /* asked for no epoch */
	if (cache->count && epoch == epoch_cache_latest(cache)) {
		*ret_epoch = epoch;
		*ret_end_offset = log_end;
		return;
	}
	while (higher < cache->count && cache->entries[higher].epoch <= epoch)
		higher++;
	if (higher == cache->count)
		return;
	/* Below the first known epoch the data is gone already: its start is the best answer, as in
	 * Kafka. */
	*ret_epoch = higher == 0 ? epoch : cache->entries[higher - 1].epoch;
	*ret_end_offset = cache->entries[higher].start_offset;
}
