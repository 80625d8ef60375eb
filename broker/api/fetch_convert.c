/*
 * Old consumers read old formats: what a partition's slice holds is read into memory and converted
 * down, one partition after the other, off the loop. As in Kafka 3.9 headers and control batches
 * are dropped, and zstd cannot be said in old formats.
 *
 * Many consumers may want that at once, so a conversion begins when the memory limit has room beside
 * what its own request holds. It waits for that, but not for long: what is waited for may be held by
 * requests that wait here too. Then, and when there is something to answer already, the rest is left
 * out: the client asks again, and that waits where it holds nothing.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/api/fetch_internal.h"
#include "broker/memory_limit.h"
#include "protocol/message_set.h"
#include "runtime/offload.h"

enum {
	/* Of one partition; a first batch that is larger comes whole. An old consumer asks again
	   for the rest. */
	CONVERT_SLICE_MAX = 4 * 1024 * 1024,
	CONVERT_GROWTH = 4, /* a converted batch is at most so many times larger, and */
	CONVERT_EXTRA = 64 * 1024,
	CONVERT_COPIES = 2, /* that are charged while it is made: what is read, and what is made */
	CONVERT_WAIT_MS = 500, /* for memory */
};

struct fetch_conversion {
	struct request *request;
	struct fetch *fetch;
	void (*converted)(struct request *request);
	uint32_t place; /* of the part under way */
	int64_t budget; /* bytes that may still be converted for this response */
	struct memory_waiter waiter;
	struct timer patience; /* while it waits */
	bool has_room;	       /* it has waited for it */
	bool gives_up;	       /* or in vain */
	bool has_answer;       /* something was converted */
	size_t charged_bytes; /* for what is read and its converted copy, while they are made */
	struct file_op read;
	struct offload_op work;
	struct compress_context *context;
	uint8_t *data;
	size_t size;
	int error;
};

static void conversion_next(struct fetch_conversion *conversion);

static struct fetch_part *conversion_part(struct fetch_conversion *conversion)
{
	return &conversion->fetch->parts[conversion->place];
}

static void conversion_work(struct offload_op *op)
{
	struct fetch_conversion *conversion = container_of(op, struct fetch_conversion, work);
	struct fetch_part *part = conversion_part(conversion);
	uint8_t magic = conversion->request->version < 2 ? 0 : 1;
	uint64_t decompressed_limit = (uint64_t)conversion->size * 1024 + CONVERT_EXTRA;
	size_t used;

	conversion->error =
		message_set_down_convert(conversion->context, conversion->data, conversion->size,
			magic, part->want->offset, decompressed_limit, part->converted, &used);
}

static void conversion_data_free(struct fetch_conversion *conversion)
{
	free(conversion->data);
	conversion->data = NULL;
	request_discharge(conversion->request, conversion->charged_bytes);
	conversion->charged_bytes = 0;
}

static void conversion_worked(struct shard *shard, struct offload_op *op)
{
	struct fetch_conversion *conversion = container_of(op, struct fetch_conversion, work);
	struct fetch_part *part = conversion_part(conversion);

	conversion_data_free(conversion);
	file_unref(part->piece.file);
	part->piece = (struct piece){0};
	request_charge(conversion->request, part->converted->capacity);
	if (conversion->error < 0) {
		part->error = batch_error_code(conversion->error);
	} else {
		part->piece.data = part->converted->data;
		part->piece.size = part->converted->size;
		conversion->budget -= (int64_t)part->converted->size;
		conversion->has_answer = true;
	}
	conversion->place++;
	conversion_next(conversion);
}

static void conversion_read_done(struct shard *shard, struct file_op *op)
{
	struct fetch_conversion *conversion = container_of(op, struct fetch_conversion, read);

	if (op->result < 0) {
		conversion_part(conversion)->error = KAFKA_KAFKA_STORAGE_ERROR;
		conversion_data_free(conversion);
		conversion->place++;
		conversion_next(conversion);
		return;
	}
	conversion->size = (size_t)op->result;
	conversion->work.work = conversion_work;
	conversion->work.done = conversion_worked;
	offload(shard, &conversion->work);
}

static void conversion_finish(struct fetch_conversion *conversion)
{
	compress_context_free(conversion->context);
	conversion->converted(conversion->request);
}

/* In the common part, but for what its own request holds, which waits for the conversion itself. */
static bool conversion_fits(const struct fetch_conversion *conversion)
{
	const struct request *request = conversion->request;
	const struct buffer_budget *budget = conversion->fetch->shard->broker->budget;
	size_t used = buffer_budget_used(budget), own = 0;

	if (request->arena.budget == budget)
		own += request_charged_bytes(request);
	if (request->frame->budget == budget)
		own += request->frame->capacity;
	return used - min_of(used, own) <= buffer_budget_limit(budget);
}

static void conversion_memory_ready(struct memory_waiter *waiter)
{
	struct fetch_conversion *conversion = container_of(waiter, struct fetch_conversion, waiter);

	timer_stop(conversion->fetch->shard->shard, &conversion->patience);
	conversion->has_room = true;
	conversion_next(conversion);
}

static void conversion_patience_ends(struct shard *shard, struct timer *timer)
{
	struct fetch_conversion *conversion =
		container_of(timer, struct fetch_conversion, patience);

	memory_wait_cancel(&conversion->waiter);
	conversion->has_room = conversion_fits(conversion);
	conversion->gives_up = !conversion->has_room;
	conversion_next(conversion);
}

/* True when the next one, of SIZE bytes, may begin; otherwise this is seen to again in a while. The
 * reserve is not for large ones, also where the request began with it. */
static bool conversion_has_room(struct fetch_conversion *conversion, size_t size)
{
	struct request *request = conversion->request;
	struct broker_shard *shard = conversion->fetch->shard;
	struct buffer_budget *common = shard->broker->budget;
	bool is_small = request_charged_bytes(request) + CONVERT_COPIES * size <= MEMORY_SMALL_MAX;

	if (!is_small)
		request_charge_to(request, common);
	if (conversion->has_room)
		return true;
	struct buffer_budget *budget =
		conversion_fits(conversion) ? common : memory_to_begin(shard, is_small);
	if (budget) {
		request_charge_to(request, budget);
		return true;
	}
	conversion->patience.fire = conversion_patience_ends;
	timer_set(shard->shard, &conversion->patience,
		shard_now_ns(shard->shard) + CONVERT_WAIT_MS * NS_PER_MS);
	conversion->waiter.ready = conversion_memory_ready;
	memory_wait(shard, &conversion->waiter, 1, is_small);
	return false;
}

/* Is a limit reached, so that the answer holds nothing more than what it has? */
static bool conversion_is_enough(const struct fetch_conversion *conversion)
{
	return conversion->gives_up || (conversion->budget <= 0 && conversion->place > 0) ||
	       (conversion->has_answer && buffer_budget_is_over(conversion->request->arena.budget));
}

static void conversion_next(struct fetch_conversion *conversion)
{
	struct fetch *fetch = conversion->fetch;
	struct shard *shard = fetch->shard->shard;

	for (; conversion->place < fetch->part_count; conversion->place++) {
		struct fetch_part *part = conversion_part(conversion);
		if (part->error || part->piece.size == 0)
			continue;
		size_t size = min_of(part->piece.size,
			(size_t)max_of((uint32_t)CONVERT_SLICE_MAX, part->first_batch_size));
		if (conversion_is_enough(conversion))
			size = 0;
		else if (!conversion_has_room(conversion, size))
			return;
		conversion->has_room = false;
		part->converted = request_new(conversion->request, struct record_buffer);
		conversion->data = size > 0 && part->converted ? malloc(size) : NULL;
		if (!conversion->data) {
			file_unref(part->piece.file);
			part->piece = (struct piece){0};
			continue;
		}
		conversion->charged_bytes = CONVERT_COPIES * size;
		request_charge(conversion->request, conversion->charged_bytes);
		record_buffer_init(part->converted, size * CONVERT_GROWTH + CONVERT_EXTRA);
		conversion->read.done = conversion_read_done;
		file_read(shard, &conversion->read, part->piece.file, conversion->data, size,
			part->piece.offset);
		return;
	}
	conversion_finish(conversion);
}

void fetch_convert(struct request *request, void (*converted)(struct request *request))
{
	struct fetch_conversion *conversion = request_new(request, struct fetch_conversion);
	struct fetch *fetch = request->context;

	if (!conversion || !(conversion->context = compress_context_new())) {
		request_out_of_memory(request);
		return;
	}
	conversion->request = request;
	conversion->fetch = fetch;
	conversion->converted = converted;
	conversion->budget = config_int(fetch->shard->config, SETTING_FETCH_MAX_BYTES);
	conversion_next(conversion);
}
