/*
 * Buffers and their budget.
 *
 * Invariants:
 *  1. budget->used is the sum of the capacities that are out, plus what is granted to the waiter
 *     whose READY runs, plus what is charged. It passes the limit only by one buffer that is
 *     alone, and by what is charged.
 *  2. Waiters draw tickets. Each shard publishes the ticket of its first waiter; only the shard
 *     with the smallest one serves. So waiters are served in order over all shards, without a
 *     lock.
 *  3. Who makes room looks at the tickets afterwards; who draws a ticket looks at the room
 *     afterwards. Both sequentially consistent, so that one of the two sees the other and pokes
 *     the shard.
 *
 * Capacities come in classes, four to each doubling. Freed buffers of the smaller classes are kept
 * for reuse by the shard that freed them, up to CACHE_BYTES; they are on top of the budget.
 */
#include "runtime/buffer.h"

#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BUFFER_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define BUFFER_ASAN 1
#endif
#ifdef BUFFER_ASAN
#include <sanitizer/asan_interface.h>
#endif

enum {
	CLASS_SMALLEST_BITS = 9, /* 512 bytes */
	CLASS_LARGEST_BITS = 22, /* 4 MiB */
	CLASS_COUNT = (CLASS_LARGEST_BITS - CLASS_SMALLEST_BITS) * 4 + 1,
	CACHE_BYTES = 4 << 20, /* of free buffers, on each shard */
	CLASSLESS_UNIT = 4096,
};
#define BUFFER_CAPACITY_MAX (UINT32_MAX - CLASSLESS_UNIT)

struct buffer_shard {
	_Alignas(64) struct list waiters;
	uint64_t first_ticket; /* atomic: of the first waiter, UINT64_MAX without one */
	bool is_poked;	       /* atomic: WAKE is on its way */
	struct task wake;
	struct buffer_budget *budget;
	size_t granted; /* to the waiter whose READY runs */
	struct buffer *free[CLASS_COUNT];
	size_t free_bytes;
};

struct buffer_budget {
	size_t limit_bytes;
	unsigned shard_count;
	_Alignas(64) size_t used; /* atomic */
	uint64_t tickets;	  /* atomic: drawn so far */
	unsigned waiting;	  /* atomic */
	struct buffer_shard shards[];
};

/* The smallest class that holds CAPACITY, which is at most the largest. */
static unsigned buffer_class(size_t capacity)
{
	if (capacity <= (size_t)1 << CLASS_SMALLEST_BITS)
		return 0;
	/* The doubling that it lies in, then the quarter of it, rounded up. */
	unsigned bits = 63 - (unsigned)__builtin_clzll(capacity - 1);
	unsigned quarter = (unsigned)((capacity - 1) >> (bits - 2)) - 3;

	return (bits - CLASS_SMALLEST_BITS) * 4 + quarter;
}

static size_t buffer_class_capacity(unsigned index)
{
	return (size_t)(4 + index % 4) << (CLASS_SMALLEST_BITS - 2 + index / 4);
}

static bool buffer_has_class(size_t capacity)
{
	return capacity <= (size_t)1 << CLASS_LARGEST_BITS;
}

/* What a buffer of at least CAPACITY bytes counts for. */
static size_t buffer_round(size_t capacity)
{
	if (buffer_has_class(capacity))
		return buffer_class_capacity(buffer_class(capacity));
	return (capacity + CLASSLESS_UNIT - 1) / CLASSLESS_UNIT * CLASSLESS_UNIT;
}

struct buffer_budget *buffer_budget_new(unsigned shard_count, size_t limit_bytes)
{
	struct buffer_budget *budget =
		aligned_alloc(64, sizeof(*budget) + shard_count * sizeof(struct buffer_shard));

	if (!budget)
		return NULL;
	memset(budget, 0, sizeof(*budget) + shard_count * sizeof(struct buffer_shard));
	budget->limit_bytes = limit_bytes;
	budget->shard_count = shard_count;
	for (unsigned i = 0; i < shard_count; i++) {
		list_init(&budget->shards[i].waiters);
		budget->shards[i].first_ticket = UINT64_MAX;
		budget->shards[i].budget = budget;
	}
	return budget;
}

void buffer_budget_free(struct buffer_budget *budget)
{
	if (!budget)
		return;
	ensure(buffer_budget_used(budget) == 0);
	for (unsigned i = 0; i < budget->shard_count; i++) {
		ensure(list_is_empty(&budget->shards[i].waiters));
		for (unsigned j = 0; j < CLASS_COUNT; j++)
			while (budget->shards[i].free[j]) {
				struct buffer *buffer = budget->shards[i].free[j];

				budget->shards[i].free[j] = buffer->next_free;
				free(buffer);
			}
	}
	free(budget);
}

size_t buffer_budget_used(const struct buffer_budget *budget)
{
	return __atomic_load_n(&budget->used, __ATOMIC_SEQ_CST);
}

size_t buffer_budget_limit(const struct buffer_budget *budget)
{
	return budget->limit_bytes;
}

void buffer_budget_charge(struct buffer_budget *budget, size_t size)
{
	__atomic_fetch_add(&budget->used, size, __ATOMIC_SEQ_CST);
}

static bool budget_fits(const struct buffer_budget *budget, size_t used, size_t size)
{
	return used == 0 || (used <= budget->limit_bytes && size <= budget->limit_bytes - used);
}

static bool budget_charge(struct buffer_budget *budget, size_t size)
{
	size_t used = __atomic_load_n(&budget->used, __ATOMIC_SEQ_CST);

	while (budget_fits(budget, used, size))
		if (__atomic_compare_exchange_n(&budget->used, &used, used + size, true,
			    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return true;
	return false;
}

/* The shard whose first waiter has waited longest; NULL when nobody waits. */
static struct buffer_shard *budget_next_shard(struct buffer_budget *budget)
{
	struct buffer_shard *next = NULL;
	uint64_t smallest = UINT64_MAX;

	if (__atomic_load_n(&budget->waiting, __ATOMIC_SEQ_CST) == 0)
		return NULL;
	for (unsigned i = 0; i < budget->shard_count; i++) {
		uint64_t ticket =
			__atomic_load_n(&budget->shards[i].first_ticket, __ATOMIC_SEQ_CST);

		if (ticket < smallest) {
			smallest = ticket;
			next = &budget->shards[i];
		}
	}
	return next;
}

static void buffer_wake_run(struct shard *shard, struct task *task);

/* Lets the shard that is next look whether there is room. */
static void budget_poke(struct shard *shard, struct buffer_budget *budget)
{
	struct buffer_shard *next = budget_next_shard(budget);

	if (!next || __atomic_exchange_n(&next->is_poked, true, __ATOMIC_SEQ_CST))
		return;
	next->wake.run = buffer_wake_run;
	shard_send(shard, (unsigned)(next - budget->shards), &next->wake);
}

static void budget_release(struct shard *shard, struct buffer_budget *budget, size_t size)
{
	size_t before = __atomic_fetch_sub(&budget->used, size, __ATOMIC_SEQ_CST);

	ensure(before >= size);
	budget_poke(shard, budget);
}

void buffer_budget_discharge(struct shard *shard, struct buffer_budget *budget, size_t size)
{
	budget_release(shard, budget, size);
}

static void buffer_shard_publish(struct buffer_shard *own)
{
	struct list_node *first = list_first(&own->waiters);
	uint64_t ticket =
		first ? container_of(first, struct buffer_waiter, node)->ticket : UINT64_MAX;

	__atomic_store_n(&own->first_ticket, ticket, __ATOMIC_SEQ_CST);
}

static void buffer_waiter_leave(struct buffer_shard *own, struct buffer_waiter *waiter)
{
	list_remove(&waiter->node);
	buffer_shard_publish(own);
	__atomic_fetch_sub(&own->budget->waiting, 1, __ATOMIC_SEQ_CST);
}

/* Serves the first waiter, if it is this shard's turn and there is room; then passes the turn on.
 */
static void buffer_wake_run(struct shard *shard, struct task *task)
{
	struct buffer_shard *own = container_of(task, struct buffer_shard, wake);
	struct buffer_budget *budget = own->budget;

	__atomic_store_n(&own->is_poked, false, __ATOMIC_SEQ_CST);
	if (budget_next_shard(budget) == own) {
		struct list_node *first = list_first(&own->waiters);
		struct buffer_waiter *waiter = container_of(first, struct buffer_waiter, node);
		size_t size = buffer_round(waiter->size);

		if (!budget_charge(budget, size))
			return; /* whoever makes room pokes again */
		buffer_waiter_leave(own, waiter);
		own->granted = size;
		waiter->ready(shard, waiter);
		size = own->granted;
		own->granted = 0;
		if (size > 0) {
			budget_release(shard, budget, size);
			return;
		}
	}
	budget_poke(shard, budget);
}

static struct buffer *buffer_take_free(struct buffer_shard *own, size_t capacity)
{
	unsigned index = buffer_class(capacity);
	struct buffer *buffer = own->free[index];

	if (!buffer)
		return NULL;
	own->free[index] = buffer->next_free;
	own->free_bytes -= buffer->capacity;
#ifdef BUFFER_ASAN
	__asan_unpoison_memory_region(buffer->data, buffer->capacity);
#endif
	return buffer;
}

/* Keeps BUFFER for the next one who wants its size; false when enough are kept. */
static bool buffer_keep_free(struct buffer_shard *own, struct buffer *buffer)
{
	if (!buffer_has_class(buffer->capacity) || own->free_bytes + buffer->capacity > CACHE_BYTES)
		return false;
	unsigned index = buffer_class(buffer->capacity);
	buffer->next_free = own->free[index];
	own->free[index] = buffer;
	own->free_bytes += buffer->capacity;
#ifdef BUFFER_ASAN
	__asan_poison_memory_region(buffer->data, buffer->capacity);
#endif
	return true;
}

/* Charges SIZE bytes: out of what was granted, or when nobody waits and there is room. */
static bool budget_take(struct shard *shard, struct buffer_budget *budget, size_t size)
{
	struct buffer_shard *own = &budget->shards[shard_index(shard)];

	ensure(shard_index(shard) < budget->shard_count);
	if (own->granted < size)
		return __atomic_load_n(&budget->waiting, __ATOMIC_SEQ_CST) == 0 &&
		       budget_charge(budget, size);
	/* What it takes less than it waited for goes back at once. */
	size_t rest = own->granted - size;

	own->granted = 0;
	if (rest > 0)
		budget_release(shard, budget, rest);
	return true;
}

struct buffer *buffer_new(struct shard *shard, struct buffer_budget *budget, size_t capacity)
{
	struct buffer_shard *own = &budget->shards[shard_index(shard)];
	struct buffer *buffer = NULL;

	if (capacity > BUFFER_CAPACITY_MAX)
		return NULL;
	capacity = buffer_round(capacity);
	if (!budget_take(shard, budget, capacity))
		return NULL;
	if (buffer_has_class(capacity))
		buffer = buffer_take_free(own, capacity);
	if (!buffer)
		buffer = malloc(sizeof(*buffer) + capacity);
	if (!buffer) {
		budget_release(shard, budget, capacity);
		return NULL;
	}
	buffer->references = 1;
	buffer->capacity = (uint32_t)capacity;
	buffer->budget = budget;
	buffer->next_free = NULL;
	return buffer;
}

size_t buffer_growth(const struct buffer *buffer, size_t capacity)
{
	if (capacity <= buffer->capacity)
		return 0;
	return buffer_round(min_of(capacity, (size_t)BUFFER_CAPACITY_MAX)) - buffer->capacity;
}

struct buffer *buffer_grow(struct shard *shard, struct buffer *buffer, size_t capacity)
{
	size_t growth = buffer_growth(buffer, capacity);

	ensure(buffer_is_unshared(buffer));
	if (growth == 0)
		return buffer;
	if (capacity > BUFFER_CAPACITY_MAX || !budget_take(shard, buffer->budget, growth))
		return NULL;
	struct buffer *larger = realloc(buffer, sizeof(*buffer) + buffer->capacity + growth);
	if (!larger) {
		budget_release(shard, buffer->budget, growth);
		return NULL;
	}
	larger->capacity += (uint32_t)growth;
	return larger;
}

bool buffer_move(struct shard *shard, struct buffer *buffer, struct buffer_budget *to)
{
	struct buffer_budget *from = buffer->budget;

	ensure(buffer_is_unshared(buffer));
	if (from == to)
		return true;
	if (!budget_take(shard, to, buffer->capacity))
		return false;
	buffer->budget = to;
	budget_release(shard, from, buffer->capacity);
	return true;
}

bool buffer_can_fit(const struct buffer_budget *budget, size_t capacity)
{
	return capacity <= BUFFER_CAPACITY_MAX && buffer_round(capacity) <= budget->limit_bytes;
}

void buffer_wait(struct shard *shard, struct buffer_budget *budget, struct buffer_waiter *waiter)
{
	struct buffer_shard *own = &budget->shards[shard_index(shard)];

	ensure(waiter->ready);
	waiter->budget = budget;
	waiter->ticket = __atomic_fetch_add(&budget->tickets, 1, __ATOMIC_SEQ_CST);
	list_push_back(&own->waiters, &waiter->node);
	__atomic_fetch_add(&budget->waiting, 1, __ATOMIC_SEQ_CST);
	buffer_shard_publish(own);
	/* The room may have come back in between. */
	if (budget_fits(budget, buffer_budget_used(budget), buffer_round(waiter->size)))
		budget_poke(shard, budget);
}

void buffer_wait_cancel(struct shard *shard, struct buffer_waiter *waiter)
{
	if (!list_node_is_linked(&waiter->node))
		return;
	struct buffer_budget *budget = waiter->budget;
	buffer_waiter_leave(&budget->shards[shard_index(shard)], waiter);
	budget_poke(shard, budget); /* the next one may be smaller */
}

struct buffer *buffer_ref(struct buffer *buffer)
{
	ensure(__atomic_fetch_add(&buffer->references, 1, __ATOMIC_RELAXED) > 0);
	return buffer;
}

void buffer_unref(struct shard *shard, struct buffer *buffer)
{
	if (!buffer)
		return;
	uint32_t before = __atomic_fetch_sub(&buffer->references, 1, __ATOMIC_ACQ_REL);
	ensure(before > 0);
	if (before > 1)
		return;
	struct buffer_budget *budget = buffer->budget;
	size_t capacity = buffer->capacity;
	if (!buffer_keep_free(&budget->shards[shard_index(shard)], buffer))
		free(buffer);
	budget_release(shard, budget, capacity);
}
