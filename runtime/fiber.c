/*
 * Fibers: contexts of their own, switched to by a step of the shard and back when they wait.
 *
 *	         fiber_start                body returns
 *	(idle) --------------> queued --+--> running ------------> (idle)
 *	                         ^      step |
 *	                         |           v  fiber_park
 *	                         +-------- parked
 *	                   wake, op done, timer
 *
 * A fiber object lies at the upper end of its own stack's mapping, so that one mmap makes both.
 * Below the stack lies a page without access: an overflow faults instead of writing into a
 * neighbour.
 *
 * Address and thread sanitizers keep a notion of the current stack; they are told of every switch.
 */
#include "runtime/fiber.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/context.h"
#include "runtime/machine_ops.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define FIBER_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define FIBER_TSAN 1
#endif

#ifdef FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

enum {
	FIBER_STACK_SIZE = 256 * 1024, /* the fiber object included, the guard page not */
	FIBER_IDLE_MAX = 8,	       /* stacks kept for reuse on each shard */
};

struct fiber {
	struct list_node node; /* in the shard's list of all or of idle fibers */
	struct task task;      /* goes on with this fiber */
	struct timer timer;    /* of fiber_sleep */
	struct shard *shard;
	void (*body)(struct shard *shard, void *argument);
	void *argument;
	char *stack; /* the lowest usable byte */
	size_t stack_size;
	struct context context, resumer;
	bool in_wait; /* parked in fiber_wait */
	bool woken;   /* a wake came before the wait */
	bool ended;
	bool is_chore;
#ifdef FIBER_ASAN
	void *fake_stack, *resumer_fake_stack;
	const void *resumer_stack;
	size_t resumer_stack_size;
#endif
#ifdef FIBER_TSAN
	void *tsan_fiber, *tsan_resumer;
#endif
};

static size_t fiber_page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static struct fiber *fiber_new(void)
{
	size_t guard_size = fiber_page_size();
	char *mapping = mmap(NULL, guard_size + FIBER_STACK_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (mapping == MAP_FAILED)
		return NULL;
	if (mprotect(mapping, guard_size, PROT_NONE) != 0) {
		munmap(mapping, guard_size + FIBER_STACK_SIZE);
		return NULL;
	}
	size_t object_size = (sizeof(struct fiber) + 63) & ~(size_t)63;
	struct fiber *fiber =
		(struct fiber *)(void *)(mapping + guard_size + FIBER_STACK_SIZE - object_size);
	fiber->stack = mapping + guard_size;
	fiber->stack_size = FIBER_STACK_SIZE - object_size;
#ifdef FIBER_TSAN
	fiber->tsan_fiber = __tsan_create_fiber(0);
#endif
	return fiber;
}

static void fiber_free(struct fiber *fiber)
{
	size_t guard_size = fiber_page_size();
	char *mapping = fiber->stack - guard_size;

#ifdef FIBER_TSAN
	__tsan_destroy_fiber(fiber->tsan_fiber);
#endif
#ifdef FIBER_ASAN
	__asan_unpoison_memory_region(fiber->stack, fiber->stack_size);
#endif
	munmap(mapping, guard_size + FIBER_STACK_SIZE);
}

void fibers_free_all(struct shard *shard)
{
	struct list_node *node;

	ensure(!shard->fibers.running);
	while ((node = list_pop_front(&shard->fibers.all)))
		fiber_free(container_of(node, struct fiber, node));
	while ((node = list_pop_front(&shard->fibers.idle)))
		fiber_free(container_of(node, struct fiber, node));
	shard->fibers.idle_count = 0;
}

/* Out of the fiber, back to the step that resumed it. */
static void fiber_switch_out(struct fiber *fiber)
{
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(fiber->ended ? NULL : &fiber->fake_stack,
		fiber->resumer_stack, fiber->resumer_stack_size);
#endif
#ifdef FIBER_TSAN
	__tsan_switch_to_fiber(fiber->tsan_resumer, 0);
#endif
	context_switch(&fiber->context, &fiber->resumer);
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(
		fiber->fake_stack, &fiber->resumer_stack, &fiber->resumer_stack_size);
#endif
}

static void fiber_enter(void *argument)
{
	struct fiber *fiber = argument;

#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(NULL, &fiber->resumer_stack, &fiber->resumer_stack_size);
#endif
	fiber->body(fiber->shard, fiber->argument);
	fiber->ended = true;
	fiber_switch_out(fiber);
	ensure(!"an ended fiber was resumed");
}

/* From a step, never from a fiber: runs FIBER until it parks or ends. */
static void fiber_resume(struct fiber *fiber)
{
	struct shard *shard = fiber->shard;

	ensure(!shard->fibers.running);
	ensure(!list_node_is_linked(&fiber->task.node));
	shard->fibers.running = fiber;
	/* Whoever wakes it: what takes long is named by the fiber, not by that. */
	shard->step_code = (const void *)(uintptr_t)fiber->body;
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(&fiber->resumer_fake_stack, fiber->stack, fiber->stack_size);
#endif
#ifdef FIBER_TSAN
	fiber->tsan_resumer = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(fiber->tsan_fiber, 0);
#endif
	context_switch(&fiber->resumer, &fiber->context);
#ifdef FIBER_ASAN
	__sanitizer_finish_switch_fiber(fiber->resumer_fake_stack, NULL, NULL);
#endif
	shard->fibers.running = NULL;
	if (!fiber->ended)
		return;
	list_remove(&fiber->node);
	if (shard->fibers.idle_count < FIBER_IDLE_MAX) {
		list_push_front(&shard->fibers.idle, &fiber->node);
		shard->fibers.idle_count++;
	} else {
		fiber_free(fiber);
	}
}

static void fiber_task_run(struct shard *shard, struct task *task)
{
	struct fiber *fiber = container_of(task, struct fiber, task);

	fiber_resume(fiber);
}

static void fiber_timer_fire(struct shard *shard, struct timer *timer)
{
	struct fiber *fiber = container_of(timer, struct fiber, timer);

	fiber_resume(fiber);
}

int fiber_start(
	struct shard *shard, void (*body)(struct shard *shard, void *argument), void *argument)
{
	struct list_node *node = list_pop_front(&shard->fibers.idle);
	struct fiber *fiber;

	if (node) {
		shard->fibers.idle_count--;
		fiber = container_of(node, struct fiber, node);
	} else {
		fiber = fiber_new();
		if (!fiber)
			return -ENOMEM;
	}
#ifdef FIBER_ASAN
	/* The frames that the last body ended in were never left. */
	__asan_unpoison_memory_region(fiber->stack, fiber->stack_size);
#endif
	fiber->task.run = fiber_task_run;
	fiber->timer.fire = fiber_timer_fire;
	fiber->shard = shard;
	fiber->body = body;
	fiber->argument = argument;
	fiber->in_wait = fiber->woken = fiber->ended = fiber->is_chore = false;
	context_make(&fiber->context, fiber->stack, fiber->stack_size, fiber_enter, fiber);
	list_push_back(&shard->fibers.all, &fiber->node);
	shard_post(shard, &fiber->task);
	return 0;
}

struct fiber *fiber_current(struct shard *shard)
{
	return shard->fibers.running;
}

void fiber_is_chore(struct shard *shard, bool is_chore)
{
	ensure(shard->fibers.running);
	shard->fibers.running->is_chore = is_chore;
}

bool fiber_asks_chores(struct shard *shard)
{
	return shard->fibers.running->is_chore;
}

/* Parks the running fiber; whoever arranged to resume it has been told before. */
static void fiber_park(struct shard *shard)
{
	ensure(shard->fibers.running);
	fiber_switch_out(shard->fibers.running);
}

void fiber_wait(struct shard *shard)
{
	struct fiber *fiber = shard->fibers.running;

	ensure(fiber);
	if (!fiber->woken) {
		fiber->in_wait = true;
		fiber_park(shard);
	}
	fiber->woken = false;
}

void fiber_wake(struct shard *shard, struct fiber *fiber)
{
	ensure(fiber->shard == shard);
	fiber->woken = true;
	if (!fiber->in_wait)
		return;
	fiber->in_wait = false;
	shard_post(shard, &fiber->task);
}

void fiber_sleep(struct shard *shard, uint64_t duration_ns)
{
	struct fiber *fiber = shard->fibers.running;

	ensure(fiber);
	timer_set(shard, &fiber->timer, shard->now_ns + duration_ns);
	fiber_park(shard);
}

void fiber_yield(struct shard *shard)
{
	ensure(shard->fibers.running);
	shard_post(shard, &shard->fibers.running->task);
	fiber_park(shard);
}

void fiber_block(struct shard *shard)
{
	fiber_park(shard);
}

void fiber_unblock(struct fiber *fiber)
{
	fiber_resume(fiber);
}
