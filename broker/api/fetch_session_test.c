/*
 * What fetch sessions hold and who gives way: each test plays clients that send fetches to a cache
 * of one shard, by fetch_plan_make, fetch_plan_settle and fetch_plan_rows as the handler calls them, and looks at
 * the sessions that they are given and at what the budget was charged. No partition is read: each
 * answers that nothing is new.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/api/fetch.h"
#include "broker/state.h"
#include "runtime/buffer.h"

enum {
	LIMIT_BYTES = 1 << 20,
	SHARE_BYTES = LIMIT_BYTES / 4,
	MINUTE_MS = 60000,
	FULL = 0, /* epochs */
	FINAL = -1,
};

static struct {
	struct broker broker;
	struct broker_shard shard;
	struct fetch_session_cache *cache;
	int64_t now_ms;
} world;

struct answer {
	int16_t error;
	int32_t session_id, partitions;
};

/* What a client says; topics have names before version 13. */
struct ask {
	int32_t session_id, epoch;
	const char *topic;
	int32_t from, count; /* partitions */
	int32_t forgotten;   /* of the first ones */
	int32_t replica_id;  /* 0: a consumer */
	bool by_id;
};

static struct answer fetch(struct ask ask)
{
	struct request request = {
		.version = ask.by_id ? 13 : 12, .home = &world.shard, .shard = &world.shard};
	struct fetch_request message;
	struct fetch_response response;
	struct fetch_request_fetch_topic topic;
	struct fetch_request_forgotten_topic forgotten;
	struct fetch_plan plan;

	arena_init(&request.arena, 64 << 20);
	request.message = &message;
	request.response = &response;
	schema_init(&fetch_request_schema, &message);
	schema_init(&fetch_response_schema, &response);
	schema_init(&fetch_request_fetch_topic_schema, &topic);
	schema_init(&fetch_request_forgotten_topic_schema, &forgotten);
	message.replica_id = ask.replica_id ? ask.replica_id : -1;
	message.session_id = ask.session_id;
	message.session_epoch = ask.epoch;
	message.topics = &topic;
	message.topics_count = ask.count > 0;
	topic.topic = forgotten.topic = ask.by_id ? STR("") : str_from(ask.topic);
	if (ask.by_id)
		topic.topic_id = forgotten.topic_id = (struct uuid){{[15] = 1}};
	topic.partitions =
		schema_new_array(&fetch_request_fetch_partition_schema, &request.arena, ask.count);
	topic.partitions_count = ask.count;
	for (int32_t i = 0; i < ask.count; i++)
		topic.partitions[i].partition = ask.from + i;
	message.forgotten_topics_data = &forgotten;
	message.forgotten_topics_data_count = ask.forgotten > 0;
	forgotten.partitions = arena_new_array(&request.arena, int32_t, (size_t)ask.forgotten);
	forgotten.partitions_count = ask.forgotten;
	for (int32_t i = 0; i < ask.forgotten; i++)
		forgotten.partitions[i] = i;

	cr_assert_eq(fetch_plan_make(world.cache, &request, world.now_ms, &plan), 0);
	struct fetch_response_partition_data *data = schema_new_array(
		&fetch_response_partition_data_schema, &request.arena, (int32_t)plan.want_count);
	cr_assert_eq(fetch_plan_settle(world.cache, &plan, &request, world.now_ms, data), 0);
	cr_assert_eq(fetch_plan_rows(&plan, &request, data), 0);
	struct answer answer = {.error = response.error_code, .session_id = response.session_id};
	for (int32_t i = 0; i < response.responses_count; i++)
		answer.partitions += response.responses[i].partitions_count;
	arena_done(&request.arena);
	cr_expect_eq(buffer_budget_used(world.broker.budget),
		fetch_session_cache_bytes(world.cache), "what is held is what is charged");
	cr_expect_leq(fetch_session_cache_bytes(world.cache), SHARE_BYTES);
	return answer;
}

/* The session that a full fetch of COUNT partitions is given; 0: none. */
static int32_t begin(int32_t count)
{
	struct answer answer = fetch((struct ask){.epoch = FULL, .topic = "t", .count = count});

	cr_expect_eq(answer.error, 0);
	cr_expect_eq(answer.partitions, count, "an answer to a full fetch names all");
	return answer.session_id;
}

/* Is ID a session, whose next epoch is EPOCH; it moves on by one then. */
static bool goes_on(int32_t id, int32_t epoch)
{
	return fetch((struct ask){.session_id = id, .epoch = epoch}).error == 0;
}

static size_t held(void)
{
	return buffer_budget_used(world.broker.budget);
}

static void cache_begin(uint32_t slots)
{
	world.cache =
		fetch_session_cache_new(NULL, 0, 1, world.broker.budget, LIMIT_BYTES, slots, 42);
}

static void set_up(void)
{
	memset(&world, 0, sizeof(world));
	world.broker.shard_count = 1;
	world.broker.budget = buffer_budget_new(1, LIMIT_BYTES);
	world.shard.broker = &world.broker;
	world.now_ms = 1000000;
	cache_begin(1000);
}

/* A cache that goes away leaves nothing charged; the budget looks at that too. */
static void tear_down(void)
{
	fetch_session_cache_free(world.cache);
	cr_expect_eq(held(), 0);
	buffer_budget_free(world.broker.budget);
}

TestSuite(fetch_session, .init = set_up, .fini = tear_down);

Test(fetch_session, holds_what_it_is_charged_for_until_it_ends)
{
	int32_t id = begin(100);
	size_t one = held();

	cr_expect_neq(id, 0);
	cr_expect_gt(one, 100 * sizeof(struct fetch_key));
	cr_expect_neq(begin(100), 0);
	cr_expect_eq(held(), 2 * one);
	cr_expect_eq(fetch((struct ask){.session_id = id, .epoch = FINAL}).error, 0);
	cr_expect_eq(held(), one);
	cr_expect_eq(fetch_session_cache_count(world.cache), 1);
}

Test(fetch_session, is_charged_for_the_names_of_its_topics)
{
	char name[201] = "";
	struct answer answer;

	begin(100);
	size_t short_name = held();
	memset(name, 'n', sizeof(name) - 1);
	answer = fetch((struct ask){.epoch = FULL, .topic = name, .count = 100});
	cr_expect_neq(answer.session_id, 0);
	cr_expect_geq(held() - short_name, short_name + 100 * 199);
}

Test(fetch_session, is_charged_for_what_it_adds_and_no_more_for_what_it_forgets)
{
	for (int by_id = 0; by_id < 2; by_id++) {
		struct ask ask = {.epoch = FULL, .topic = "t", .count = 100, .by_id = by_id};
		int32_t id = fetch(ask).session_id;
		size_t before = held();

		cr_expect_neq(id, 0);
		ask = (struct ask){.session_id = id,
			.epoch = 1,
			.topic = "t",
			.from = 50,
			.count = 100,
			.by_id = by_id};
		cr_expect_eq(fetch(ask).error, 0);
		size_t larger = held();
		cr_expect_gt(larger, before + 50 * sizeof(struct fetch_key));
		ask = (struct ask){.session_id = id,
			.epoch = 2,
			.topic = "t",
			.forgotten = 100,
			.by_id = by_id};
		cr_expect_eq(fetch(ask).error, 0);
		cr_expect_lt(held(), before);
		/* All gone: it ends. */
		ask.epoch = 3;
		ask.forgotten = 150;
		cr_expect_eq(fetch(ask).session_id, 0);
		cr_expect_eq(held(), 0);
	}
}

Test(fetch_session, a_full_cache_of_bytes_answers_without_a_session)
{
	int32_t first = begin(100), last = first;
	uint32_t count = 1;

	while ((last = begin(100)) != 0)
		count++;
	cr_expect_gt(count, 5);
	cr_expect_lt(count, 100);
	cr_expect_eq(fetch_session_cache_count(world.cache), count);
	cr_expect(goes_on(first, 1), "those that are there keep their place");
	cr_expect_neq(begin(1), 0, "what still fits is made");
}

Test(fetch_session, one_beyond_the_whole_share_displaces_nobody)
{
	int32_t id = begin(100);

	world.now_ms += 10 * MINUTE_MS;
	cr_expect_eq(begin(10000), 0);
	cr_expect(goes_on(id, 1));
}

Test(fetch_session, one_that_outgrows_the_share_ends_and_its_client_reads_on_without)
{
	int32_t id = begin(100), other = begin(100);
	struct ask more = {.session_id = id, .epoch = 1, .topic = "t", .from = 100, .count = 5000};
	struct answer answer = fetch(more);

	cr_expect_eq(answer.error, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
	cr_expect_eq(answer.session_id, 0);
	cr_expect_eq(answer.partitions, 0);
	cr_expect_eq(fetch_session_cache_count(world.cache), 1);
	cr_expect(!goes_on(id, 2));
	cr_expect(goes_on(other, 1));
	/* What it does next, once and again. */
	cr_expect_eq(begin(5100), 0);
	cr_expect_eq(begin(5100), 0);
}

Test(fetch_session, one_that_grows_takes_the_place_of_what_is_stale_but_not_its_own)
{
	int32_t grows = begin(100), stale = begin(100);

	while (begin(100) != 0)
		continue;
	/* All are, itself first. */
	world.now_ms += 2 * MINUTE_MS + 1;
	struct ask more = {
		.session_id = grows, .epoch = 1, .topic = "t", .from = 100, .count = 100};
	cr_expect_eq(fetch(more).error, 0);
	cr_expect(!goes_on(stale, 1), "the oldest goes first");
	cr_expect(goes_on(grows, 2));
}

Test(fetch_session, stale_ones_make_way_for_new_ones)
{
	int32_t used = begin(300), idle = begin(100);

	while (begin(100) != 0)
		continue;
	world.now_ms += MINUTE_MS;
	cr_expect(goes_on(used, 1));
	world.now_ms += MINUTE_MS + 1;
	cr_expect_neq(begin(250), 0, "several make room together");
	cr_expect(!goes_on(idle, 1));
	cr_expect(goes_on(used, 2));
}

/* Two, of which one is old by now; both are in use. */
Test(fetch_session, an_old_one_makes_way_for_a_larger_one_only)
{
	int32_t old = begin(100), young, small, last = 0;
	int32_t epoch = 1;

	for (int i = 0; i < 3; i++) {
		world.now_ms += MINUTE_MS;
		cr_expect(goes_on(old, epoch++));
	}
	young = begin(50);
	while (begin(100) != 0)
		continue;
	while ((small = begin(1)) != 0)
		last = small;
	/* Room for the partition that the larger one has more. */
	cr_expect_eq(fetch((struct ask){.session_id = last, .epoch = FINAL}).error, 0);
	cr_expect_eq(begin(100), 0, "worth no more");
	cr_expect(goes_on(old, epoch++));
	cr_expect_eq(begin(400), 0, "what gives way is not enough: nobody goes in vain");
	cr_expect(goes_on(old, epoch++));
	cr_expect_neq(begin(101), 0);
	cr_expect(!goes_on(old, epoch));
	cr_expect(goes_on(young, 1));
}

Test(fetch_session, a_follower_displaces_consumers_at_once)
{
	struct ask follower = {.epoch = FULL, .topic = "t", .count = 100, .replica_id = 2};
	int32_t small = begin(50), id;

	while (begin(100) != 0)
		continue;
	while (begin(10) != 0)
		continue;
	id = fetch(follower).session_id;
	cr_expect_neq(id, 0);
	cr_expect(!goes_on(small, 1), "the one that is worth least");
	/* The cache fills with followers' sessions: they are worth the same. */
	while (fetch(follower).session_id != 0)
		continue;
	cr_expect_eq(begin(100), 0, "no consumer displaces them");
	cr_expect(fetch((struct ask){.session_id = id, .epoch = 1, .replica_id = 2}).error == 0);
}

Test(fetch_session, slots_limit_their_number)
{
	fetch_session_cache_free(world.cache);
	cache_begin(2);
	int32_t first = begin(1), second = begin(1);

	cr_expect_eq(begin(5), 0);
	world.now_ms += MINUTE_MS;
	cr_expect(goes_on(second, 1));
	world.now_ms += MINUTE_MS + 1;
	cr_expect_neq(begin(1), 0);
	cr_expect(!goes_on(first, 1));
	cr_expect(goes_on(second, 2));
	cr_expect_eq(fetch_session_cache_count(world.cache), 2);
}
