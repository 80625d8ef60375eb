#include "broker/visit.h"

#include <errno.h>
#include <stdlib.h>

#include "runtime/fiber.h"

struct shard_visit {
	struct task task;
	struct visits *visits;
	struct broker_shard *shard;
};

struct visits {
	int (*body)(struct broker_shard *shard, void *argument);
	void *argument;
	struct fiber *waiter;
	unsigned pending;
	int error;
	struct shard_visit *list;
	int *errors;
};

static void visit_back(struct shard *shard, struct task *task)
{
	struct visits *visits = container_of(task, struct shard_visit, task)->visits;

	if (--visits->pending == 0)
		fiber_wake(shard, visits->waiter);
}

static void visit_fiber(struct shard *shard, void *argument)
{
	struct shard_visit *visit = argument;
	struct visits *visits = visit->visits;

	visits->errors[visit->shard->index] = visits->body(visit->shard, visits->argument);
	visit->task.run = visit_back;
	shard_send(shard, SHARD_MAIN, &visit->task);
}

static void visit_there(struct shard *shard, struct task *task)
{
	struct shard_visit *visit = container_of(task, struct shard_visit, task);
	int error = fiber_start(shard, visit_fiber, visit);

	if (error < 0) {
		visit->visits->errors[visit->shard->index] = error;
		visit->task.run = visit_back;
		shard_send(shard, SHARD_MAIN, &visit->task);
	}
}

int broker_visit_shards(struct broker *broker,
	int (*body)(struct broker_shard *shard, void *argument), void *argument)
{
	struct shard *main_shard = broker->shards[SHARD_MAIN].shard;
	struct visits visits = {
		.body = body,
		.argument = argument,
		.waiter = fiber_current(main_shard),
		.pending = broker->shard_count,
		.list = calloc(broker->shard_count, sizeof(struct shard_visit)),
		.errors = calloc(broker->shard_count, sizeof(int)),
	};
	int error = 0;

	if (!visits.list || !visits.errors) {
		free(visits.list);
		free(visits.errors);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < broker->shard_count; i++) {
		visits.list[i] = (struct shard_visit){
			.task.run = visit_there, .visits = &visits, .shard = &broker->shards[i]};
		shard_send(main_shard, i, &visits.list[i].task);
	}
	while (visits.pending > 0)
		fiber_wait(main_shard);
	for (unsigned i = 0; i < broker->shard_count && error == 0; i++)
		error = visits.errors[i];
	free(visits.list);
	free(visits.errors);
	return error;
}
