/*
 * Threads for what may block. They are started when there is work and none is idle.
 *
 * Whoever submits takes no lock: a thread of a nicer pool may be without a processor for long while it
 * holds one, and a loop would wait for it. So tasks are pushed onto a list without locks, newest first;
 * the threads move it to the queue, which is theirs. The semaphore counts tasks.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runtime/linux/internal.h"

static struct task *pool_next(struct pool *pool)
{
	struct list_node *node;

	pthread_mutex_lock(&pool->lock);
	if (list_is_empty(&pool->tasks))
		tasks_queue_pushed(&pool->tasks, &pool->pushed);
	node = list_pop_front(&pool->tasks);
	pthread_mutex_unlock(&pool->lock);
	return node ? container_of(node, struct task, node) : NULL;
}

static void *pool_thread(void *argument)
{
	struct pool *pool = argument;
	unsigned number = __atomic_fetch_add(&pool->threads_named, 1, __ATOMIC_RELAXED);
	struct task *task;
	char name[32];

	/* Its own name a thread sets by one system call, another's by three. */
	snprintf(name, sizeof(name), "%s-%u", pool->name, number);
	name[15] = '\0'; /* the kernel's limit */
	pthread_setname_np(pthread_self(), name);
	/* As well as can be: without it the same is done, less evenly. On Linux this is the thread's own. */
	if (pool->nice > 0)
		setpriority(PRIO_PROCESS, (id_t)gettid(),
			getpriority(PRIO_PROCESS, (id_t)gettid()) + pool->nice);
	for (;;) {
		while (sem_wait(&pool->more) != 0)
			ensure(errno == EINTR);
		task = pool_next(pool);
		if (!task)
			break; /* counted by pool_done */
		task->run(NULL, task);
		__atomic_sub_fetch(&pool->task_count, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Under the lock, or before there are others. */
static int pool_thread_start(struct pool *pool)
{
	int error = pthread_create(&pool->threads[pool->thread_count], NULL, pool_thread, pool);

	if (error)
		return -error;
	__atomic_store_n(&pool->thread_count, pool->thread_count + 1, __ATOMIC_RELAXED);
	return 0;
}

int pool_init(struct pool *pool, const char *name, unsigned thread_max, int nice)
{
	*pool = (struct pool){.thread_max = thread_max, .nice = nice};
	snprintf(pool->name, sizeof(pool->name), "%s", name);
	list_init(&pool->tasks);
	pool->threads = calloc(thread_max, sizeof(*pool->threads));
	if (!pool->threads)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	sem_init(&pool->more, 0, 0);
	/* One from the start, so that work can always be done; more when there is need. */
	int error = pool_thread_start(pool);
	if (error)
		pool_done(pool);
	return error;
}

void pool_done(struct pool *pool)
{
	if (!pool->threads)
		return;
	/* What still runs may submit more; but no new threads. */
	pthread_mutex_lock(&pool->lock);
	__atomic_store_n(&pool->thread_max, pool->thread_count, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->thread_count; i++)
		sem_post(&pool->more);
	for (unsigned i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	ensure(list_is_empty(&pool->tasks) && !pool->pushed);
	sem_destroy(&pool->more);
	pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	pool->threads = NULL;
}

/* One more than there is work for does no harm: it is started by whoever sees the need first. */
static void pool_grow(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	if (pool->thread_count < pool->thread_max)
		pool_thread_start(pool); /* without it the running ones get there later */
	pthread_mutex_unlock(&pool->lock);
}

void pool_submit(struct pool *pool, struct task *task)
{
	unsigned task_count = __atomic_add_fetch(&pool->task_count, 1, __ATOMIC_RELAXED);
	unsigned thread_count = __atomic_load_n(&pool->thread_count, __ATOMIC_RELAXED);

	task_push(&pool->pushed, task);
	sem_post(&pool->more);
	if (thread_count < task_count &&
		thread_count < __atomic_load_n(&pool->thread_max, __ATOMIC_RELAXED))
		pool_grow(pool);
}
