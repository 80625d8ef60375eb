/*
 * Errands: what a request has to do at the home shards of some partitions, each a part that goes
 * there and comes back. Those of one request are prepared first and sent together; the last that
 * comes home finishes the request.
 */
#include "broker/api/api.h"

static void errand_back(struct part *part)
{
	struct errand *errand = container_of(part, struct errand, part);
	struct errands *errands = errand->errands;

	if (part->error)
		errand->error = part->error;
	if (--errands->pending == 0)
		errands->finished(errands->request);
}

static void errand_at_home(struct part *part, struct partition *partition)
{
	struct errand *errand = container_of(part, struct errand, part);

	errand->partition = partition;
	errand->at_home(errand, partition);
}

void errands_init(
	struct errands *errands, struct request *request, void (*finished)(struct request *request))
{
	*errands = (struct errands){.request = request, .finished = finished};
	list_init(&errands->prepared);
}

void errand_prepare(struct errands *errands, struct errand *errand,
	const struct image_topic *topic, int32_t index, void (*at_home)(struct errand *errand, struct partition *partition))
{
	struct request *request = errands->request;

	errand->errands = errands;
	errand->at_home = at_home;
	errand->part = (struct part){.at_home = errand_at_home, .back = errand_back};
	part_address(&errand->part, request->shard, request->image, topic, index);
	list_push_back(&errands->prepared, &errand->part.node);
	errands->pending++;
}

void errands_go(struct errands *errands)
{
	struct list_node *node;

	if (errands->pending == 0) {
		errands->finished(errands->request);
		return;
	}
	while ((node = list_pop_front(&errands->prepared)))
		part_send(container_of(node, struct part, node));
}

void errand_return(struct errand *errand, int16_t error)
{
	errand->error = error;
	part_return(&errand->part);
}
