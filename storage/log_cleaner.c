/*
 * Which log of a store is compacted when, as Kafka's LogCleaner: the dirtiest of those whose dirty part is more
 * than min.cleanable.dirty.ratio of what may be compacted, or older than max.compaction.lag.ms; one after the
 * other, and a pause of log.cleaner.backoff.ms when there is none or one failed. A fiber that lives as long as
 * there is something to do; a timer between.
 */
#include <errno.h>
#include <stdlib.h>

#include "storage/log_internal.h"

enum { YIELD_LOGS = 1024 };

/* A store that may compact as soon as another is done looks again no later than that. */
#define SLOT_RETRY_NS NS_PER_S

struct candidate {
	struct log *log; /* with a fiber counted; NULL */
	struct log_cleanable range;
	double ratio;
};

static void log_release(struct log *log)
{
	if (log)
		log_fiber_end(log);
}

static double dirty_ratio(const struct log_cleanable *range)
{
	uint64_t total = range->clean_bytes + range->dirty_bytes;

	return total ? (double)range->dirty_bytes / (double)total : 0;
}

static bool is_wanted(const struct log *log, const struct log_cleanable *range)
{
	if (range->end <= range->first_dirty || range->dirty_bytes == 0)
		return false;
	return range->is_late || dirty_ratio(range) > log->config.min_cleanable_dirty_ratio;
}

/* A new reason is told once. */
static void cleaned_tell(struct log *log, const struct log_cleaning *cleaning)
{
	const struct log_cleaner_options *options = &log->store->cleaner;
	bool is_news = cleaning->error == 0 ||
		       (cleaning->error != -ECANCELED && cleaning->error != log->clean_error);

	if (cleaning->error != -ECANCELED)
		log->clean_error = cleaning->error;
	if (is_news && options->cleaned && !log->closing)
		options->cleaned(options->argument, log, cleaning);
}

static bool log_is_eligible(const struct log *log)
{
	return log->config.compact && !log->error && !log->closing && !log->uncleanable &&
	       log->segment_count > 1 &&
	       !(log->no_room && __atomic_load_n(log->no_room, __ATOMIC_RELAXED));
}

/* The dirtiest; the store's list may change while a log is looked at. */
static struct candidate dirtiest_find(struct log_store *store)
{
	struct candidate best = {0};
	struct list_node *node, *next;
	uint32_t seen = 0;

	for (node = list_first(&store->logs); node; node = next) {
		struct log *log = container_of(node, struct log, node);
		bool waits = ++seen % YIELD_LOGS == 0;
		struct log_cleanable range;
		int error;

		if (log->closing || (!waits && !log_is_eligible(log))) {
			next = list_next(&store->logs, node);
			continue;
		}
		log->fibers++;
		if (waits)
			fiber_yield(store->shard);
		error = log_is_eligible(log) ? log_cleanable(log, &range) : -ECANCELED;
		next = list_next(&store->logs, node);
		if (!error && !log->closing && is_wanted(log, &range) &&
			(!best.log || dirty_ratio(&range) > best.ratio)) {
			log_release(best.log);
			best = (struct candidate){
				.log = log, .range = range, .ratio = dirty_ratio(&range)};
			continue;
		}
		if (error && error != -ECANCELED && error != -EAGAIN) {
			if (error > -4000 && !log_error_is_passing(error) && !log->error)
				log_fail(log, error);
			cleaned_tell(log, &(struct log_cleaning){.error = error});
		}
		log_release(log);
	}
	return best;
}

static bool slot_take(struct log_store *store)
{
	uint32_t *running = store->cleaner.running, count;

	if (!running)
		return true;
	count = __atomic_load_n(running, __ATOMIC_RELAXED);
	while (count < store->cleaner.threads)
		if (__atomic_compare_exchange_n(running, &count, count + 1, false, __ATOMIC_RELAXED,
			    __ATOMIC_RELAXED))
			return true;
	return false;
}

static int candidate_clean(struct log_store *store, const struct candidate *candidate)
{
	const struct log_cleaner_options *options = &store->cleaner;
	struct log_cleaning cleaning;
	struct log_clean ask = {
		.range = candidate->range,
		.now_ms = shard_wall_ms(store->shard),
		.map_bytes = options->dedupe_buffer_bytes / options->threads,
		.io_buffer_bytes = options->io_buffer_bytes / options->threads,
		.load_factor = options->io_buffer_load_factor,
		.bytes_per_second = options->io_bytes_per_second / options->threads,
		.compress = store->cleaner_compress,
	};
	int error = log_clean(candidate->log, &ask, &cleaning);

	cleaned_tell(candidate->log, &cleaning);
	return error;
}

static void cleaner_timer_set(struct log_store *store, uint64_t wait_ns)
{
	timer_set(store->shard, &store->cleaner_timer, shard_now_ns(store->shard) + wait_ns);
}

static void cleaner_fiber(struct shard *shard, void *argument)
{
	struct log_store *store = argument;
	uint32_t *running = store->cleaner.running;
	uint64_t wait_ns = UINT64_MAX;
	struct candidate candidate;
	int error = 0;

	while (!error && store->cleaner.enabled) {
		candidate = dirtiest_find(store);
		if (!candidate.log)
			break;
		if (!slot_take(store)) {
			wait_ns = SLOT_RETRY_NS;
			error = -EBUSY;
		} else {
			error = candidate_clean(store, &candidate);
			if (running)
				__atomic_sub_fetch(running, 1, __ATOMIC_RELAXED);
		}
		log_release(candidate.log);
		/* Of a log that is uncleanable, or not there any more, the others take no harm. */
		if (error <= BATCH_ERROR_CORRUPT)
			error = 0;
	}
	wait_ns = min_of(wait_ns,
		(uint64_t)max_of(store->cleaner.backoff_ms, (int64_t)1) * NS_PER_MS);
	store->cleaner_runs = false;
	if (store->freed)
		log_store_free(store);
	else if (store->cleaner.enabled)
		cleaner_timer_set(store, wait_ns);
}

static void cleaner_fire(struct shard *shard, struct timer *timer)
{
	struct log_store *store = container_of(timer, struct log_store, cleaner_timer);

	if (!store->cleaner_compress)
		store->cleaner_compress = compress_context_new();
	store->cleaner_runs = store->cleaner_compress != NULL;
	if (store->cleaner_runs && fiber_start(shard, cleaner_fiber, store) == 0)
		return;
	store->cleaner_runs = false;
	cleaner_timer_set(store, NS_PER_S);
}

void log_store_cleaner_set(struct log_store *store, const struct log_cleaner_options *options)
{
	bool sooner = options->backoff_ms < store->cleaner.backoff_ms;

	ensure(options->threads > 0 && options->io_buffer_load_factor > 0 &&
		options->io_bytes_per_second > 0);
	store->cleaner = *options;
	store->cleaner_timer.fire = cleaner_fire;
	if (!store->cleaner.enabled)
		timer_stop(store->shard, &store->cleaner_timer);
	else if (!store->cleaner_runs && (sooner || !timer_is_set(&store->cleaner_timer)))
		cleaner_timer_set(store,
			(uint64_t)max_of(options->backoff_ms, (int64_t)1) * NS_PER_MS);
}

void log_cleaner_done(struct log_store *store)
{
	timer_stop(store->shard, &store->cleaner_timer);
	compress_context_free(store->cleaner_compress);
	store->cleaner_compress = NULL;
}
