/*
 * What a request holds is charged to the limit of memory, wherever it is: each test makes one from
 * a frame, as a connection does, and looks at the budget. There is no machine under it: the linker
 * gives this file's clock and messages in place of the runtime's (--wrap), so that a request on its
 * way to another shard is seen there.
 */
#include "broker/request.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "broker/connection.h"
#include "broker/state.h"
#include "protocol/frame.h"
#include "runtime/buffer.h"

static struct {
	struct broker broker;
	struct broker_shard shards[2];
	struct connection connection;
	struct buffer *frame;
	struct bytes bytes;
	unsigned sent_to;
	unsigned told; /* that the client has gone */
} world;

uint64_t __wrap_shard_now_ns(const struct shard *shard);
void __wrap_shard_send(struct shard *from, unsigned to, struct task *task);

uint64_t __wrap_shard_now_ns(const struct shard *shard)
{
	return 0;
}

void __wrap_shard_send(struct shard *from, unsigned to, struct task *task)
{
	world.sent_to = to;
}

/* Metadata of COUNT topics. */
static void frame_make(int count)
{
	struct metadata_request message;
	struct codec_error error;
	struct output output;
	struct arena arena;

	arena_init(&arena, 16 << 20);
	schema_init(&metadata_request_schema, &message);
	message.topics = schema_new_array(&metadata_request_topic_schema, &arena, count);
	message.topics_count = count;
	for (int i = 0; i < count; i++)
		message.topics[i].name = STR("a-topic");
	output_init(&output, &arena, 256);
	cr_assert_eq(frame_request_encode(
			     &output, api_find(API_METADATA), 9, 1, STR("test"), &message, &error),
		0);
	/* As a shard would take it, of which there is none. */
	world.frame = malloc(sizeof(*world.frame) + output.size);
	world.frame->references = 2;
	memcpy(world.frame->data, output.data, output.size);
	world.bytes =
		(struct bytes){.data = world.frame->data + 4, .size = (int32_t)output.size - 4};
	arena_done(&arena);
}

static struct request *request_make(int topics)
{
	const char *reason = NULL;

	frame_make(topics);
	struct request *request = request_new_from_frame(
		&world.connection, world.frame, world.bytes, world.broker.budget);
	cr_assert_not_null(request);
	cr_assert_eq(request_parse(request, world.bytes, &reason), 0, "%s", reason);
	return request;
}

/* The test's own reference keeps the buffer from going back to a shard. */
static void request_end(struct request *request)
{
	request_free(request);
	free(world.frame);
}

static size_t used(void)
{
	return buffer_budget_used(world.broker.budget);
}

static void set_up(void)
{
	memset(&world, 0, sizeof(world));
	world.broker.shard_count = 2;
	world.broker.shards = world.shards;
	world.broker.budget = buffer_budget_new(2, 1 << 20);
	for (unsigned i = 0; i < 2; i++) {
		world.shards[i].broker = &world.broker;
		world.shards[i].index = i;
		world.shards[i].response_arena_bytes = 64 << 20;
		list_init(&world.shards[i].free_requests);
	}
	world.connection.shard = &world.shards[0];
	list_init(&world.connection.requests);
}

static void tear_down(void)
{
	request_cache_done(&world.shards[0]);
	cr_expect_eq(used(), 0, "what is freed is given back");
	buffer_budget_free(world.broker.budget);
}

TestSuite(request, .init = set_up, .fini = tear_down);

Test(request, an_ordinary_one_is_not_counted)
{
	struct request *request = request_make(3);

	request_charge(request, 1000);
	cr_expect_eq(used(), 0);
	request_end(request);
}

Test(request, what_is_decoded_is_charged_before_it_starts)
{
	struct request *request = request_make(2000);

	cr_expect_gt(used(), 2000 * sizeof(struct metadata_request_topic));
	cr_expect_eq(used(), request_charged_bytes(request));
	request_end(request);
	cr_expect_eq(used(), 0);
	/* Its memory is kept for the next one, which begins with nothing charged. */
	request = request_make(3);
	cr_expect_eq(used(), 0);
	request_end(request);
}

Test(request, what_grows_on_another_shard_is_charged)
{
	struct request *request = request_make(2000);
	size_t before = used();

	request_move(request, 1, NULL);
	cr_expect_eq(world.sent_to, 1);
	request->shard = &world.shards[1];
	cr_assert_not_null(request_alloc(request, 300000));
	cr_expect_geq(used(), before + 300000);
	before = used();
	request_charge(request, 50000);
	cr_expect_eq(used(), before + 50000);
	request_discharge(request, 50000);
	cr_expect_eq(used(), before);
	request_charge(request, 50000);
	request_end(request);
}

static void told(struct request *request)
{
	world.told++;
}

/* What is parked can be ended by closing its connection; what is at work cannot. */
Test(request, one_that_is_parked_on_another_shard_is_held_by_its_connection)
{
	struct request *request = request_make(2000);

	request->state = REQUEST_RUNNING;
	list_push_back(&world.connection.requests, &request->node);
	request_move(request, 1, NULL);
	request->shard = &world.shards[1];
	cr_expect_eq(connection_held_bytes(&world.connection), 0, "at work");
	request_park(request, told);
	cr_expect_geq(connection_held_bytes(&world.connection), used());
	request_park(request, NULL);
	cr_expect_eq(connection_held_bytes(&world.connection), 0);
	list_remove(&request->node);
	request_end(request);
}
