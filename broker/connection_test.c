/*
 * When a connection has got nowhere: what the memory's limit goes by. Then connections on a shard of
 * the simulated machine, whose client writes frames: which requests begin, and which wait for what.
 * The linker gives this file's request_start in place of the broker's (--wrap), so that a request
 * runs until the test completes it.
 */
#include "broker/connection.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "broker/observe/log.h"
#include "broker/state.h"
#include "protocol/frame.h"
#include "runtime/fiber.h"
#include "runtime/simulated/world.h"

#define SECOND_NS (1000 * NS_PER_MS)

static struct connection sending_two(struct piece pieces[2])
{
	pieces[0] = (struct piece){.size = 1000};
	pieces[1] = (struct piece){.size = 10000000};
	return (struct connection){.sending = true,
		.send_pieces = pieces,
		.sending_pieces = 2,
		.sending_left = 10001000,
		.progress_ns = 10 * SECOND_NS};
}

Test(connection, is_stuck_when_it_has_got_nowhere_for_so_long)
{
	struct connection idle = {.progress_ns = 10 * SECOND_NS};
	struct piece pieces[2];
	struct connection sending = sending_two(pieces);

	cr_expect(!connection_is_stuck(&idle, 12 * SECOND_NS - 1, 2 * SECOND_NS));
	cr_expect(connection_is_stuck(&idle, 12 * SECOND_NS, 2 * SECOND_NS));
	cr_expect(!connection_is_stuck(&sending, 12 * SECOND_NS - 1, 2 * SECOND_NS));
	cr_expect(connection_is_stuck(&sending, 12 * SECOND_NS, 2 * SECOND_NS));
}

/* A large answer takes a slow client longer than that. */
Test(connection, is_not_stuck_while_an_answer_moves)
{
	struct piece pieces[2];
	struct connection connection = sending_two(pieces);
	uint64_t now_ns = 10 * SECOND_NS;

	pieces[0].size = 0;
	for (int i = 0; i < 10; i++) {
		now_ns += SECOND_NS;
		pieces[1].size -= 500000;
		cr_expect(!connection_is_stuck(&connection, now_ns, 2 * SECOND_NS));
	}
	/* A few bytes are not much. */
	pieces[1].size -= 1000;
	cr_expect(!connection_is_stuck(&connection, now_ns + SECOND_NS, 2 * SECOND_NS));
	pieces[1].size -= 1000;
	cr_expect(connection_is_stuck(&connection, now_ns + 2 * SECOND_NS, 2 * SECOND_NS));
}

/* As the broker's clock begins anywhere. */
Test(connection, is_not_stuck_before_its_time)
{
	struct connection connection = {.progress_ns = 5};

	cr_expect(!connection_is_stuck(&connection, 3, 2));
}

/* ---- on a shard ---- */

enum { LIMIT_BYTES = 8 << 20, SMALL_CLIENTS = 3 };

static struct {
	void (*scenario)(struct shard *shard);
	struct broker broker;
	struct broker_shard here;
	struct listener *listener;
	struct request *started[16]; /* that the test has not completed */
	unsigned started_count;
	char log[LOG_LINE_BYTES];
} run;

void __wrap_request_start(struct request *request);

void __wrap_request_start(struct request *request)
{
	request->state = REQUEST_RUNNING;
	ensure(run.started_count < array_length(run.started));
	run.started[run.started_count++] = request;
}

static void complete_first(void)
{
	struct request *request = run.started[0];

	run.started_count--;
	memmove(run.started, run.started + 1, run.started_count * sizeof(run.started[0]));
	request_complete(request);
}

/* Until what is on its way has come. */
static void settle(struct shard *shard)
{
	fiber_sleep(shard, 20 * NS_PER_MS);
}

/* A client that never reads: the answers are few. */
struct client {
	struct socket *socket;
	struct socket_op op;
	struct piece piece;
	struct fiber *fiber;
};

static void client_done(struct shard *shard, struct socket_op *op)
{
	fiber_wake(shard, container_of(op, struct client, op)->fiber);
}

static void client_sent(struct shard *shard, struct socket_op *op)
{
}

static struct client *client_new(struct shard *shard)
{
	struct client *client = calloc(1, sizeof(*client));
	struct address address = listener_address(run.listener);

	client->fiber = fiber_current(shard);
	client->op.done = client_done;
	socket_connect(shard, &client->op, &address);
	fiber_wait(shard);
	ensure(client->op.result == 0);
	client->socket = client->op.socket;
	settle(shard);
	return client;
}

/* A request of API without content, in a frame of SIZE bytes at least: what follows is ignored. */
static void client_send(
	struct shard *shard, struct client *client, int16_t api, int version, size_t size)
{
	const struct api_row *row = api_find(api);
	struct codec_error error;
	struct output output;
	struct arena *arena = calloc(1, sizeof(*arena));

	arena_init(arena, LIMIT_BYTES * 4);
	void *message = arena_alloc(arena, row->request->size);
	schema_init(row->request, message);
	output_init(&output, arena, 256);
	ensure(frame_request_encode(&output, row, version, 1, STR("test"), message, &error) == 0);
	size = max_of(size, output.size);
	uint8_t *bytes = arena_alloc_zero(arena, 1, size);
	memcpy(bytes, output.data, output.size);
	store_be32(bytes, (uint32_t)size - 4);
	client->piece = (struct piece){.data = bytes, .size = size};
	client->op.done = client_sent;
	socket_send(client->socket, &client->op, &client->piece, 1);
	settle(shard);
}

static void client_ask(struct shard *shard, struct client *client)
{
	client_send(shard, client, API_METADATA, 9, 0);
}

static void accepted(
	struct shard *shard, struct listener *listener, struct socket *socket, void *argument)
{
	connection_start(&run.here, socket, 0, NULL);
}

static void sink(void *context, enum log_level level, const char *line, size_t size)
{
	memcpy(run.log, line, min_of(size, sizeof(run.log) - 1));
}

static int64_t clock_ms(void *context)
{
	return 1000;
}

static void scenario_fiber(struct shard *shard, void *argument)
{
	struct address address = {0};

	ensure(address_parse("10.0.0.1", &address));
	ensure(listener_open(shard, &address, (struct listener_events){.accepted = accepted},
		       &run.listener) == 0);
	run.scenario(shard);
	while (run.started_count > 0)
		complete_first();
	list_for_each_safe (node, &run.here.connections)
		connection_close(container_of(node, struct connection, node), NULL);
	settle(shard);
	ensure(list_is_empty(&run.here.connections) && run.here.waiting_for_memory == 0);
	listener_close(run.listener);
	timer_stop(shard, &run.here.pressure);
	request_cache_done(&run.here);
	memory_limit_done(&run.broker); /* and nothing is charged any more */
	machine_exit(shard, 0);
}

static void scenario_start(struct shard *shard, void *argument)
{
	run.broker = (struct broker){.shard_count = 1, .shards = &run.here};
	run.here = (struct broker_shard){.shard = shard,
		.broker = &run.broker,
		.request_size_max = 16 << 20,
		.inbox_size_max = CONNECTION_INBOX_MAX,
		.response_arena_bytes = 1 << 20};
	list_init(&run.here.connections);
	list_init(&run.here.free_requests);
	logger_init(&run.here.logger, sink, NULL, clock_ms, NULL);
	shard_context_set(shard, &run.here);
	ensure(memory_limit_init(&run.broker, LIMIT_BYTES) == 0);
	ensure(fiber_start(shard, scenario_fiber, argument) == 0);
}

static void scenario_run(void (*scenario)(struct shard *shard))
{
	struct world *world = world_new(&(struct world_options){.seed = 1});
	struct host *host = world_host_new(world, "a", "10.0.0.1");
	struct program program = {.start = scenario_start};

	memset(&run, 0, sizeof(run));
	run.scenario = scenario;
	host_start(host, 1, &program);
	while (host_is_running(host))
		cr_assert(world_step(world));
	cr_assert_eq(host_exit_status(host), 0);
	world_free(world);
}

static void one_at_a_time(struct shard *shard)
{
	struct client *client = client_new(shard);

	client_ask(shard, client);
	client_ask(shard, client);
	client_send(shard, client, API_PRODUCE, 9, 0);
	client_send(shard, client, API_PRODUCE, 9, 0);
	ensure(run.started_count == 1);
	complete_first();
	settle(shard);
	ensure(run.started_count == 1 && run.started[0]->api_key == API_METADATA);
	complete_first();
	settle(shard);
	/* These may overlap, and neither waits for what the client reads. */
	ensure(run.started_count == 2 && run.started[1]->api_key == API_PRODUCE);
	client_ask(shard, client);
	complete_first();
	settle(shard);
	ensure(run.started_count == 1 && run.started[0]->api_key == API_PRODUCE);
	complete_first();
	settle(shard);
	ensure(run.started_count == 1 && run.started[0]->api_key == API_METADATA);
}

Test(connection, holds_a_frame_back_while_a_request_runs_that_is_not_overlapped)
{
	scenario_run(one_at_a_time);
}

static void little_at_the_limit(struct shard *shard)
{
	struct buffer_budget *common = run.broker.budget, *reserve = run.broker.reserve;
	struct client *small = client_new(shard), *large = client_new(shard);

	ensure(buffer_budget_limit(common) + buffer_budget_limit(reserve) == LIMIT_BYTES);
	buffer_budget_charge(common, buffer_budget_limit(common));
	client_send(shard, large, API_METADATA, 9, 200000);
	ensure(run.started_count == 0 && run.here.waiting_for_memory == 1);
	/* One that was there before, and those that come now. */
	client_ask(shard, small);
	ensure(run.started_count == 1);
	for (unsigned i = 0; i < SMALL_CLIENTS; i++)
		client_ask(shard, client_new(shard));
	ensure(run.started_count == 1 + SMALL_CLIENTS && run.here.waiting_for_memory == 1);
	ensure(buffer_budget_used(reserve) > 0);
	/* What its last request came to hold is held against it. */
	ensure(request_alloc(run.started[0], 300000));
	complete_first();
	settle(shard);
	client_ask(shard, small);
	ensure(run.started_count == SMALL_CLIENTS && run.here.waiting_for_memory == 2);
	/* The reserve has its limit. */
	buffer_budget_charge(reserve, buffer_budget_limit(reserve));
	struct client *late = client_new(shard);
	client_ask(shard, late);
	ensure(run.started_count == SMALL_CLIENTS && run.here.waiting_for_memory == 3);
	buffer_budget_discharge(shard, reserve, buffer_budget_limit(reserve));
	settle(shard);
	ensure(run.started_count == SMALL_CLIENTS + 1 && run.here.waiting_for_memory == 2);
	/* All are woken when there is room. */
	buffer_budget_discharge(shard, common, buffer_budget_limit(common));
	settle(shard);
	ensure(run.started_count == SMALL_CLIENTS + 3 && run.here.waiting_for_memory == 0);
	while (run.started_count > 0)
		complete_first();
	/* What lies idle in the reserve leaves it. */
	fiber_sleep(shard, SECOND_NS);
	ensure(buffer_budget_used(reserve) == 0 && !timer_is_set(&run.here.pressure));
}

Test(connection, that_holds_little_does_not_wait_for_those_that_fill_the_limit)
{
	scenario_run(little_at_the_limit);
}

static void little_again(struct shard *shard)
{
	struct buffer_budget *common = run.broker.budget;
	struct client *client = client_new(shard);

	/* Two frames that overlap, in an inbox each: more than a little, until one has gone. */
	client_send(shard, client, API_PRODUCE, 9, 40000);
	ensure(run.started_count == 1);
	buffer_budget_charge(common, buffer_budget_limit(common));
	client_send(shard, client, API_PRODUCE, 9, 40000);
	ensure(run.started_count == 1 && run.here.waiting_for_memory == 1);
	complete_first();
	settle(shard);
	ensure(run.started_count == 1 && run.here.waiting_for_memory == 0);
	buffer_budget_discharge(shard, common, buffer_budget_limit(common));
}

Test(connection, that_holds_little_again_waits_no_longer)
{
	scenario_run(little_again);
}

static void gone_while_it_waits(struct shard *shard)
{
	struct buffer_budget *common = run.broker.budget, *reserve = run.broker.reserve;

	buffer_budget_charge(common, buffer_budget_limit(common));
	buffer_budget_charge(reserve, buffer_budget_limit(reserve));
	client_new(shard);
	ensure(run.here.waiting_for_memory == 1);
	connection_close(
		container_of(list_first(&run.here.connections), struct connection, node), NULL);
	settle(shard);
	ensure(run.here.waiting_for_memory == 0 && run.here.connection_count == 0);
	buffer_budget_discharge(shard, common, buffer_budget_limit(common));
	buffer_budget_discharge(shard, reserve, buffer_budget_limit(reserve));
	settle(shard);
}

Test(connection, that_has_gone_waits_for_nothing)
{
	scenario_run(gone_while_it_waits);
}

/* ---- shedding ---- */

enum { STUCK_CLIENTS = 150, STUCK_FRAME_BYTES = 40000 };

/* Looks, in each step, how many connections have gone since the one before. */
struct watcher {
	struct task task;
	unsigned seen, most;
	bool stop;
};

static void watch(struct shard *shard, struct task *task)
{
	struct watcher *watcher = container_of(task, struct watcher, task);
	unsigned left = run.here.connection_count;

	watcher->most = max_of(watcher->most, watcher->seen - min_of(left, watcher->seen));
	watcher->seen = left;
	if (!watcher->stop)
		shard_post_late(shard, task);
}

/* A frame that never comes to its end. */
static void client_begin_frame(struct shard *shard, struct client *client)
{
	static uint8_t bytes[STUCK_FRAME_BYTES];

	store_be32(bytes, sizeof(bytes));
	client->piece = (struct piece){.data = bytes, .size = sizeof(bytes)};
	client->op.done = client_sent;
	socket_send(client->socket, &client->op, &client->piece, 1);
	settle(shard);
}

static void many_are_stuck(struct shard *shard)
{
	struct buffer_budget *common = run.broker.budget;
	struct watcher watcher = {.task.run = watch};
	struct client *waiter = client_new(shard);
	size_t used, left;

	for (unsigned i = 0; i < STUCK_CLIENTS; i++)
		client_begin_frame(shard, client_new(shard));
	ensure(run.here.connection_count == STUCK_CLIENTS + 1);
	used = buffer_budget_used(common);
	left = buffer_budget_limit(common) - used;
	buffer_budget_charge(common, left);
	client_send(shard, waiter, API_METADATA, 9, 200000);
	ensure(run.here.waiting_for_memory == 1);
	watcher.seen = run.here.connection_count;
	shard_post_late(shard, &watcher.task);
	for (unsigned i = 0; i < 500 && run.started_count == 0; i++)
		settle(shard);
	ensure(run.started_count == 1);
	watcher.stop = true;
	settle(shard);
	/* As many as hold half of the limit, and not all in one step. */
	unsigned gone = STUCK_CLIENTS + 1 - run.here.connection_count;
	ensure(gone * (used / STUCK_CLIENTS) >= buffer_budget_limit(common) / 2);
	ensure((gone - 2) * (used / STUCK_CLIENTS) < buffer_budget_limit(common) / 2);
	ensure(watcher.most > 0 && watcher.most < gone);
	ensure(watcher.most <= 64);
	buffer_budget_discharge(shard, common, left);
}

Test(connection, that_is_stuck_gives_way_to_those_that_wait)
{
	scenario_run(many_are_stuck);
}

static void large_frames(struct shard *shard)
{
	size_t limit_bytes = buffer_budget_limit(run.broker.budget);
	struct client *client = client_new(shard);

	/* A copy would never fit beside it. */
	client_send(shard, client, API_METADATA, 9, limit_bytes - 100000);
	for (unsigned i = 0; i < 100 && run.started_count == 0; i++)
		settle(shard);
	ensure(run.started_count == 1);
	ensure(buffer_budget_used(run.broker.budget) <= limit_bytes);
	complete_first();
	settle(shard);
	/* Others hold some of it: it goes on when that has come back. */
	buffer_budget_charge(run.broker.budget, limit_bytes / 2);
	client_send(shard, client, API_METADATA, 9, limit_bytes - 100000);
	settle(shard);
	ensure(run.started_count == 0 && run.here.waiting_for_memory == 1);
	buffer_budget_discharge(shard, run.broker.budget, limit_bytes / 2);
	for (unsigned i = 0; i < 100 && run.started_count == 0; i++)
		settle(shard);
	ensure(run.started_count == 1);
	complete_first();
	settle(shard);
	ensure(run.here.connection_count == 1 && run.log[0] == 0);
	client_send(shard, client, API_METADATA, 9, limit_bytes + 100000);
	ensure(run.here.connection_count == 0);
	ensure(strstr(run.log, "raise barnabas.memory.limit.bytes"));
}

Test(connection, receives_what_the_limit_can_hold_and_refuses_the_rest)
{
	scenario_run(large_frames);
}
