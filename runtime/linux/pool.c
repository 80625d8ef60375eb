/* Threads for what may block. They are started when there is work and none is idle. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/linux/internal.h"

static void *pool_thread(void *argument)
{
	struct pool *pool = argument;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct list_node *node = list_pop_front(&pool->tasks);

		if (node) {
			struct task *task = container_of(node, struct task, node);

			pool->task_count--;
			pthread_mutex_unlock(&pool->lock);
			task->run(NULL, task);
			pthread_mutex_lock(&pool->lock);
		} else if (pool->stopping) {
			break;
		} else {
			pool->idle_count++;
			pthread_cond_wait(&pool->more, &pool->lock);
			pool->idle_count--;
		}
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static int pool_thread_start(struct pool *pool)
{
	int error = pthread_create(&pool->threads[pool->thread_count], NULL, pool_thread, pool);

	if (error)
		return -error;
	char name[24];
	snprintf(name, sizeof(name), "%s-%u", pool->name, pool->thread_count);
	name[15] = '\0'; /* the kernel's limit */
	pthread_setname_np(pool->threads[pool->thread_count], name);
	pool->thread_count++;
	return 0;
}

int pool_init(struct pool *pool, const char *name, unsigned thread_max)
{
	*pool = (struct pool){.thread_max = thread_max};
	snprintf(pool->name, sizeof(pool->name), "%s", name);
	list_init(&pool->tasks);
	pool->threads = calloc(thread_max, sizeof(*pool->threads));
	if (!pool->threads)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->more, NULL);
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
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->more);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	ensure(list_is_empty(&pool->tasks));
	pthread_cond_destroy(&pool->more);
	pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	pool->threads = NULL;
}

void pool_submit(struct pool *pool, struct task *task)
{
	pthread_mutex_lock(&pool->lock);
	list_push_back(&pool->tasks, &task->node);
	pool->task_count++;
	/* Those idle may have been signalled for earlier tasks already. Without a new thread the
	 * running ones get there later. */
	if (pool->task_count > pool->idle_count && pool->thread_count < pool->thread_max &&
		!pool->stopping)
		pool_thread_start(pool);
	pthread_mutex_unlock(&pool->lock);
	/* Who is woken must not find the lock taken: that would be two switches more. */
	pthread_cond_signal(&pool->more);
}
