/*
 * The event loop of a shard. A turn: what other threads sent, due timers, queued tasks, then, when
 * there was nothing more to run or enough was run, the kernel's events.
 *
 * Sleep and wake: a shard that is about to sleep says so in `asleep` and looks into its inbox once
 * more; a sender puts its task into the inbox first and looks at `asleep` then. Both are
 * sequentially consistent, so one of the two sees the other. Only a sender that saw it asleep pays
 * for the eventfd, and only one of several.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "runtime/linux/internal.h"

enum {
	TURN_TIMERS = 64,  /* fired before tasks get their turn */
	TURN_STEPS = 64,   /* tasks run before the inbox, timers and events are looked at */
	/* Taken from the kernel at once. What they bring (a socket's may be a handful of requests) is
	 * let through before more is taken, so that it is still in the caches at each of its steps: with
	 * 500 busy sockets, and 128 events every 200 µs whatever was queued, half of the time went into
	 * waiting for memory. Fewer than 32 leave each write too little to take along. */
	TURN_EVENTS = 32,
	TURN_ROUNDS = 8, /* in which it is through; what goes on beyond them is somebody's long work */
};
/* Events are looked for when nothing is queued, and at least this often: between short steps of long
 * work, and in any case. */
#define TURN_NS	    200000ull
#define TURN_NS_MAX 2000000ull

uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void loop_wake(struct linux_shard *shard)
{
	uint64_t one = 1;
	ssize_t ignored = write(shard->wake_fd, &one, sizeof(one)); /* full means: woken already */

	(void)ignored;
}

void shard_deliver(struct linux_shard *to, struct task *task)
{
	task_push(&to->inbox, task);
	if (__atomic_load_n(&to->asleep, __ATOMIC_SEQ_CST) &&
		__atomic_exchange_n(&to->asleep, 0, __ATOMIC_SEQ_CST))
		loop_wake(to);
}

static void loop_take_inbox(struct linux_shard *shard)
{
	if (__atomic_load_n(&shard->inbox, __ATOMIC_RELAXED))
		tasks_queue_pushed(&shard->shard.ready, &shard->inbox);
}

static void loop_report_stall(struct linux_shard *shard, uint64_t step_ns)
{
	struct machine *machine = shard->shard.machine;
	Dl_info info;
	char what[256];

	if (!machine->options.stalled)
		return;
	/* A name where the linker kept it, else what addr2line takes. */
	if (!dladdr(shard->shard.step_code, &info) || !info.dli_fname)
		snprintf(what, sizeof(what), "code at %p", shard->shard.step_code);
	else if (info.dli_sname && info.dli_saddr == shard->shard.step_code)
		snprintf(what, sizeof(what), "%s", info.dli_sname);
	else
		snprintf(what, sizeof(what), "%s+0x%zx", info.dli_fname,
			(size_t)((const char *)shard->shard.step_code - (char *)info.dli_fbase));
	machine->options.stalled(shard->shard.index, step_ns, what);
}

/* Between steps: the clock for the next one, and how long the last one took. */
static void loop_step_ended(struct linux_shard *shard)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t step_ns = now_ns - shard->shard.now_ns;

	if (step_ns > STALL_NS)
		loop_report_stall(shard, step_ns);
	shard->shard.now_ns = now_ns;
}

static bool loop_is_exiting(const struct linux_shard *shard)
{
	return __atomic_load_n(&shard->shard.machine->exiting, __ATOMIC_ACQUIRE);
}

static void loop_run_steps(struct linux_shard *shard)
{
	for (int i = 0; i < TURN_TIMERS && !loop_is_exiting(shard); i++) {
		if (!shard_timer_step(&shard->shard))
			break;
		loop_step_ended(shard);
	}
	for (int i = 0; i < TURN_STEPS && !loop_is_exiting(shard); i++) {
		if (!shard_task_step(&shard->shard))
			break;
		loop_step_ended(shard);
	}
}

static int loop_poll(struct linux_shard *shard, struct epoll_event *events, uint64_t timeout_ns)
{
	static bool has_pwait2 = true; /* since Linux 5.11; written by any shard, always to false */

	if (__atomic_load_n(&has_pwait2, __ATOMIC_RELAXED) && timeout_ns != 0) {
		struct timespec timeout = {
			.tv_sec = (time_t)(timeout_ns / NS_PER_S),
			.tv_nsec = (long)(timeout_ns % NS_PER_S),
		};
		int count = epoll_pwait2(shard->epoll_fd, events, TURN_EVENTS,
			timeout_ns == UINT64_MAX ? NULL : &timeout, NULL);

		if (count >= 0 || errno != ENOSYS)
			return count;
		__atomic_store_n(&has_pwait2, false, __ATOMIC_RELAXED);
	}
	int timeout_ms = -1;
	if (timeout_ns != UINT64_MAX)
		timeout_ms = (int)min_of((timeout_ns + NS_PER_MS - 1) / NS_PER_MS, 1000000ull);
	return epoll_wait(shard->epoll_fd, events, TURN_EVENTS, timeout_ms);
}

static uint64_t loop_timeout_ns(const struct linux_shard *shard)
{
	uint64_t deadline_ns = shard_next_deadline_ns(&shard->shard);

	if (shard_has_tasks(&shard->shard))
		return 0;
	if (deadline_ns == UINT64_MAX)
		return UINT64_MAX;
	return deadline_ns > shard->shard.now_ns ? deadline_ns - shard->shard.now_ns : 0;
}

/* Ends a round: all has run that was queued at its beginning. */
static void loop_round_run(struct shard *any, struct task *task)
{
	struct linux_shard *shard = linux_shard_of(any);

	shard->rounds++;
	shard->round_queued = !list_is_empty(&any->ready);
	if (shard->round_queued)
		shard_post(any, task);
}

/* Counts the rounds from here on. */
static void loop_rounds_count(struct linux_shard *shard)
{
	if (shard->round_queued)
		return;
	shard->round_queued = true;
	shard->round.run = loop_round_run;
	shard_post(&shard->shard, &shard->round);
}

static bool loop_events_are_due(struct linux_shard *shard)
{
	uint64_t since_ns = shard->shard.now_ns - shard->polled_ns;

	if (!shard_has_tasks(&shard->shard) || since_ns > TURN_NS_MAX)
		return true;
	if (since_ns <= TURN_NS)
		return false;
	loop_rounds_count(shard);
	return shard->rounds >= TURN_ROUNDS;
}

static void loop_free_dead(struct linux_shard *shard)
{
	while (shard->dead) {
		struct event_source *source = shard->dead;

		shard->dead = source->next_dead;
		source->free(source);
	}
}

static void loop_events(struct linux_shard *shard)
{
	struct epoll_event events[TURN_EVENTS];
	uint64_t timeout_ns = loop_timeout_ns(shard);

	if (timeout_ns != 0) {
		__atomic_store_n(&shard->asleep, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&shard->inbox, __ATOMIC_SEQ_CST) || loop_is_exiting(shard))
			timeout_ns = 0;
	}
	int count = loop_poll(shard, events, timeout_ns);
	__atomic_store_n(&shard->asleep, 0, __ATOMIC_RELAXED);
	ensure(count >= 0 || errno == EINTR);
	shard->polled_ns = shard->shard.now_ns = clock_now_ns();
	for (int i = 0; i < count && !loop_is_exiting(shard); i++) {
		struct event_source *source = events[i].data.ptr;

		shard->shard.step_code = (const void *)(uintptr_t)source->ready;
		source->ready(shard, source, events[i].events);
		loop_step_ended(shard);
	}
	loop_free_dead(shard);
	shard->rounds = 0;
}

void loop_run(struct linux_shard *shard)
{
	shard->polled_ns = shard->shard.now_ns = clock_now_ns();
	while (!loop_is_exiting(shard)) {
		loop_take_inbox(shard);
		loop_run_steps(shard);
		if (loop_events_are_due(shard))
			loop_events(shard);
	}
}

int loop_watch(struct linux_shard *shard, int fd, struct event_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(shard->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static void event_ignored(struct linux_shard *shard, struct event_source *source, uint32_t events)
{
}

void loop_forget(struct linux_shard *shard, struct event_source *source)
{
	source->ready = event_ignored;
	source->next_dead = shard->dead;
	shard->dead = source;
}

static void stop_task_run(struct shard *shard, struct task *task)
{
	const struct program *program = shard->machine->program;

	if (program->stop)
		program->stop(shard, program->argument);
	else
		machine_exit(shard, 0);
}

/* The program is asked to stop once, however often the signal comes. */
static void signal_ready(struct linux_shard *shard, struct event_source *source, uint32_t events)
{
	struct signalfd_siginfo info;

	while (read(shard->signal_fd, &info, sizeof(info)) == sizeof(info))
		if (!shard->stop_task.run) {
			shard->stop_task.run = stop_task_run;
			shard_post(&shard->shard, &shard->stop_task);
		}
}

int loop_init(struct linux_shard *shard)
{
	sigset_t signals;
	int error;

	shard->signal_fd = shard->wake_fd = -1;
	list_init(&shard->chunk_waiters);
	shard->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (shard->epoll_fd < 0)
		return -errno;
	shard->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (shard->wake_fd < 0)
		return -errno;
	/* Edge-triggered: each write wakes once, and nobody needs to read it. */
	shard->wake_source.ready = event_ignored;
	error = loop_watch(shard, shard->wake_fd, &shard->wake_source, EPOLLIN | EPOLLET);
	if (error || shard->shard.index != 0)
		return error;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	shard->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (shard->signal_fd < 0)
		return -errno;
	shard->signal_source.ready = signal_ready;
	return loop_watch(shard, shard->signal_fd, &shard->signal_source, EPOLLIN);
}

void loop_done(struct linux_shard *shard)
{
	loop_free_dead(shard);
	chunks_free(shard);
	shard_done(&shard->shard);
	if (shard->signal_fd >= 0)
		close(shard->signal_fd);
	if (shard->wake_fd >= 0)
		close(shard->wake_fd);
	if (shard->epoll_fd >= 0)
		close(shard->epoll_fd);
}
