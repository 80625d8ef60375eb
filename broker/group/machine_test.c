/*
 * The machine read as traces: events in, answers and records out. Each test has a machine, a log
 * that keeps what was appended, and asks that say how they were answered; at its end the log is
 * replayed into a second machine, which must be in the same state.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/group/machine_internal.h"

enum { RECORDS_MAX = 512, ASKS_MAX = 256 };

struct kept_record {
	int64_t producer_id;
	struct bytes key, value;
	int marker; /* 0: a record; 1: commit, 2: abort */
};

static struct {
	struct group_machine *machine;
	struct group_limits limits;
	struct group_budget budget;
	int64_t now_ms;
	struct kept_record log[RECORDS_MAX];
	int64_t log_end;
	struct arena arena;
	uint32_t ids;
	bool refused;	    /* of the last step */
	uint32_t forgotten; /* of all */
	bool answered[ASKS_MAX];
	struct group_ask *asks[ASKS_MAX];
	int ask_count;
} world;

static void world_begin(void)
{
	memset(&world, 0, sizeof(world));
	world.limits = (struct group_limits){
		.group_size_max = 100,
		.session_timeout_min_ms = 10,
		.session_timeout_max_ms = 60000,
		.initial_rebalance_delay_ms = 100,
		.metadata_size_max = 16,
		.retention_ms = 100000,
		.check_interval_ms = 50000,
		.record_size_max = 4096,
		.state_bytes_max = 1 << 20,
	};
	world.now_ms = 1000;
	arena_init(&world.arena, 64 << 20);
}

static struct bytes keep(struct bytes from)
{
	if (from.size < 0)
		return from;
	uint8_t *copy = arena_alloc(&world.arena, (size_t)from.size + 1);
	memcpy(copy, from.data, (size_t)from.size);
	return (struct bytes){.data = copy, .size = from.size};
}

static struct group_now now(void)
{
	return (struct group_now){.ms = world.now_ms, .wall_ms = 1700000000000 + world.now_ms};
}

static void step_end(struct group_step *step)
{
	struct list_node *node;

	world.refused = step->refused;
	world.forgotten += step->forgotten;
	for (const struct group_record *record = step->first; record; record = record->next)
		world.log[world.log_end++] = (struct kept_record){
			.producer_id = -1, .key = keep(record->key), .value = keep(record->value)};
	while ((node = list_pop_front(&step->answers))) {
		struct group_ask *ask = container_of(node, struct group_ask, node);
		for (int i = 0; i < world.ask_count; i++) {
			if (world.asks[i] == ask) {
				cr_assert(!world.answered[i], "answered twice");
				world.answered[i] = true;
			}
		}
	}
	group_step_end(step);
}

static void machine_make(void)
{
	struct group_step step;

	world.machine = group_machine_new(&world.limits, 7, &world.budget);
	group_step_begin(&step, now(), world.log_end);
	group_machine_loaded(world.machine, &step);
	step_end(&step);
}

static void replay_into(struct group_machine *machine)
{
	struct arena scratch;

	arena_init(&scratch, 1 << 20);
	for (int64_t i = 0; i < world.log_end; i++) {
		const struct kept_record *record = &world.log[i];
		if (record->marker)
			group_machine_replay_marker(
				machine, record->producer_id, record->marker == 1);
		else
			cr_assert_eq(group_machine_replay(machine, i, record->producer_id,
					     record->key, record->value, &scratch),
				0);
		arena_reset(&scratch);
	}
	arena_done(&scratch);
}

static struct str state_of(const struct group_machine *machine)
{
	return group_machine_print(machine, &world.arena);
}

static void unload(struct group_machine *machine)
{
	struct group_step step;

	group_step_begin(&step, now(), world.log_end);
	group_machine_unload(machine, &step, KAFKA_NOT_COORDINATOR);
	step_end(&step);
	group_machine_free(machine);
}

/* What the log says is what the machine has. */
static void check_replay(void)
{
	struct group_budget budget = {0};
	struct group_machine *second = group_machine_new(&world.limits, 99, &budget);

	replay_into(second);
	struct str first_state = state_of(world.machine), second_state = state_of(second);
	cr_assert(str_equal(first_state, second_state), "has:\n%.*s\nreplayed:\n%.*s",
		STR_ARGS(first_state), STR_ARGS(second_state));
	group_machine_free(second);
	cr_assert_eq(budget.bytes, 0);
	cr_assert_eq(budget.member_bytes, 0);
}

static void world_end(void)
{
	unload(world.machine);
	cr_assert_eq(
		world.budget.bytes, 0, "%zu bytes of state were not freed", world.budget.bytes);
	cr_assert_eq(world.budget.member_bytes, 0);
	for (int i = 0; i < world.ask_count; i++)
		cr_assert(world.answered[i] || world.asks[i]->out_of_memory,
			"ask %d was never answered", i);
	arena_done(&world.arena);
}

/* The machine goes and another one is loaded from the log. */
static void restart(void)
{
	struct group_step step;

	unload(world.machine);
	cr_assert_eq(world.budget.bytes, 0);
	world.machine = group_machine_new(&world.limits, 8, &world.budget);
	replay_into(world.machine);
	group_step_begin(&step, now(), world.log_end);
	group_machine_loaded(world.machine, &step);
	step_end(&step);
}

/* The log refused what was appended last: its first COUNT records are all that there is. */
static void fail_at(int64_t count)
{
	struct group_machine *failed = world.machine;
	struct group_step step;

	group_step_begin(&step, now(), world.log_end);
	group_machine_unload(failed, &step, KAFKA_NOT_COORDINATOR);
	step_end(&step);
	world.log_end = count;
	world.machine = group_machine_new(&world.limits, 8, &world.budget);
	replay_into(world.machine);
	group_machine_succeed(world.machine, failed);
	group_machine_free(failed);
	group_step_begin(&step, now(), world.log_end);
	group_machine_loaded(world.machine, &step);
	step_end(&step);
}

static void pass(int64_t ms)
{
	int64_t until = world.now_ms + ms;

	while (group_machine_next_deadline_ms(world.machine) <= until) {
		struct group_step step;
		world.now_ms = max_of(world.now_ms, group_machine_next_deadline_ms(world.machine));
		group_step_begin(&step, now(), world.log_end);
		group_machine_expire(world.machine, &step);
		step_end(&step);
	}
	world.now_ms = until;
}

/* ---- asks ---- */

static struct group_ask *ask_new(enum group_ask_kind kind, int16_t version, const char *group,
	const struct schema_struct *request, void **ret_message,
	const struct schema_struct *response)
{
	struct group_ask *ask = arena_new(&world.arena, struct group_ask);

	*ret_message = schema_new(request, &world.arena);
	ask->kind = kind;
	ask->version = version;
	ask->group_id = str_from(group);
	ask->client_id = STR("client");
	ask->client_host = STR("/10.0.0.1");
	store_be32(&ask->entropy.octets[12], ++world.ids);
	ask->message = *ret_message;
	ask->schema = response;
	ask->response = schema_new(response, &world.arena);
	ask->arena = &world.arena;
	cr_assert_lt(world.ask_count, ASKS_MAX);
	world.asks[world.ask_count++] = ask;
	return ask;
}

static void ask_go(struct group_ask *ask)
{
	struct group_step step;

	group_step_begin(&step, now(), world.log_end);
	group_machine_ask(world.machine, &step, ask);
	step_end(&step);
}

static bool is_answered(const struct group_ask *ask)
{
	for (int i = 0; i < world.ask_count; i++) {
		if (world.asks[i] == ask)
			return world.answered[i];
	}
	return false;
}

struct joining {
	int16_t version;
	const char *member, *instance, *type, *protocol, *second_protocol, *metadata;
	int32_t session_ms, rebalance_ms;
};

static struct group_ask *join_as(const char *group, struct joining joining)
{
	struct join_group_request *message;
	struct group_ask *ask = ask_new(GROUP_ASK_JOIN, joining.version ? joining.version : 9,
		group, &join_group_request_schema, (void **)&message, &join_group_response_schema);

	message->group_id = ask->group_id;
	message->member_id = joining.member ? str_from(joining.member) : STR("");
	message->group_instance_id = str_from(joining.instance);
	message->session_timeout_ms = joining.session_ms ? joining.session_ms : 1000;
	message->rebalance_timeout_ms = joining.rebalance_ms ? joining.rebalance_ms : 2000;
	message->protocol_type = str_from(joining.type ? joining.type : "test");
	message->protocols = schema_new_array(&join_group_request_protocol_schema, &world.arena, 2);
	message->protocols_count = joining.second_protocol ? 2 : 1;
	message->protocols[0].name = str_from(joining.protocol ? joining.protocol : "range");
	message->protocols[1].name = str_from(joining.second_protocol);
	struct str metadata = str_from(joining.metadata ? joining.metadata : "meta");
	message->protocols[0].metadata =
		(struct bytes){(const uint8_t *)metadata.data, metadata.size};
	ask_go(ask);
	return ask;
}

static const struct join_group_response *joined(const struct group_ask *ask)
{
	cr_assert(is_answered(ask), "the join is still parked");
	return ask->response;
}

static const char *text(struct str from)
{
	return arena_str(&world.arena, from).data;
}

/* A new dynamic member asks for its id; the join with that id is parked. */
static struct group_ask *join_new_member(const char *group, const char **ret_id)
{
	struct group_ask *first = join_as(group, (struct joining){0});

	cr_assert_eq(joined(first)->error_code, KAFKA_MEMBER_ID_REQUIRED);
	*ret_id = text(joined(first)->member_id);
	return join_as(group, (struct joining){.member = *ret_id});
}

static struct group_ask *sync_as(const char *group, const char *member, int32_t generation,
	int count, const char *const *pairs)
{
	struct sync_group_request *message;
	struct group_ask *ask = ask_new(GROUP_ASK_SYNC, 5, group, &sync_group_request_schema,
		(void **)&message, &sync_group_response_schema);

	message->group_id = ask->group_id;
	message->member_id = str_from(member);
	message->generation_id = generation;
	message->assignments =
		schema_new_array(&sync_group_request_assignment_schema, &world.arena, count);
	message->assignments_count = count;
	for (int i = 0; i < count; i++) {
		struct str assignment = str_from(pairs[2 * i + 1]);
		message->assignments[i].member_id = str_from(pairs[2 * i]);
		message->assignments[i].assignment =
			(struct bytes){(const uint8_t *)assignment.data, assignment.size};
	}
	ask_go(ask);
	return ask;
}

static const struct sync_group_response *synced(const struct group_ask *ask)
{
	cr_assert(is_answered(ask), "the sync is still parked");
	return ask->response;
}

static int16_t heartbeat(const char *group, const char *member, int32_t generation)
{
	struct heartbeat_request *message;
	struct group_ask *ask = ask_new(GROUP_ASK_HEARTBEAT, 4, group, &heartbeat_request_schema,
		(void **)&message, &heartbeat_response_schema);

	message->member_id = str_from(member);
	message->generation_id = generation;
	ask_go(ask);
	cr_assert(is_answered(ask));
	return ((struct heartbeat_response *)ask->response)->error_code;
}

static int16_t leave(const char *group, const char *member, const char *instance)
{
	struct leave_group_request *message;
	struct group_ask *ask = ask_new(GROUP_ASK_LEAVE, 5, group, &leave_group_request_schema,
		(void **)&message, &leave_group_response_schema);

	message->members =
		schema_new_array(&leave_group_request_member_identity_schema, &world.arena, 1);
	message->members_count = 1;
	message->members[0].member_id = str_from(member);
	message->members[0].group_instance_id = str_from(instance);
	ask_go(ask);
	cr_assert(is_answered(ask));
	const struct leave_group_response *response = ask->response;
	return response->error_code ? response->error_code : response->members[0].error_code;
}

static int16_t commit(const char *group, const char *member, int32_t generation, const char *topic,
	int64_t offset, const char *metadata)
{
	struct offset_commit_request *message;
	struct group_ask *ask = ask_new(GROUP_ASK_OFFSET_COMMIT, 9, group,
		&offset_commit_request_schema, (void **)&message, &offset_commit_response_schema);

	message->member_id = str_from(member);
	message->generation_id_or_member_epoch = generation;
	message->topics = schema_new_array(&offset_commit_request_topic_schema, &world.arena, 1);
	message->topics_count = 1;
	message->topics[0].name = str_from(topic);
	message->topics[0].partitions =
		schema_new_array(&offset_commit_request_partition_schema, &world.arena, 1);
	message->topics[0].partitions_count = 1;
	message->topics[0].partitions[0].committed_offset = offset;
	message->topics[0].partitions[0].committed_metadata = str_from(metadata);
	ask_go(ask);
	cr_assert(is_answered(ask));
	const struct offset_commit_response *response = ask->response;
	cr_assert_eq(response->topics_count, 1);
	return response->topics[0].partitions[0].error_code;
}

static const struct offset_fetch_response_partitions *fetch(
	const char *group, const char *topic, bool stable)
{
	struct offset_fetch_request_group *message;
	struct group_ask *ask =
		ask_new(GROUP_ASK_OFFSET_FETCH, 9, group, &offset_fetch_request_group_schema,
			(void **)&message, &offset_fetch_response_group_schema);
	static int32_t zero;

	message->topics = schema_new_array(&offset_fetch_request_topics_schema, &world.arena, 1);
	message->topics_count = 1;
	message->topics[0].name = str_from(topic);
	message->topics[0].partition_indexes = &zero;
	message->topics[0].partition_indexes_count = 1;
	ask->require_stable = stable;
	ask_go(ask);
	cr_assert(is_answered(ask));
	return &((struct offset_fetch_response_group *)ask->response)->topics[0].partitions[0];
}

static const struct describe_groups_response_described_group *describe(
	const char *group, int16_t version)
{
	void *none;
	struct group_ask *ask =
		ask_new(GROUP_ASK_DESCRIBE, version, group, &describe_groups_request_schema, &none,
			&describe_groups_response_described_group_schema);

	ask_go(ask);
	return ask->response;
}

static int16_t delete_group(const char *group)
{
	void *none;
	struct group_ask *ask = ask_new(GROUP_ASK_DELETE, 2, group, &delete_groups_request_schema,
		&none, &delete_groups_response_deletable_group_result_schema);

	ask_go(ask);
	return ((struct delete_groups_response_deletable_group_result *)ask->response)->error_code;
}

/* Two members, stable in generation 1; the first leads. */
static void two_members(const char *group, const char **ret_a, const char **ret_b)
{
	struct group_ask *a = join_new_member(group, ret_a), *b = join_new_member(group, ret_b);

	cr_assert(!is_answered(a) && !is_answered(b));
	pass(200);
	cr_assert_eq(joined(a)->error_code, 0);
	cr_assert_eq(joined(a)->generation_id, 1);
	cr_assert_eq(joined(a)->members_count, 2);
	cr_assert_str_eq(text(joined(a)->leader), *ret_a);
	cr_assert_eq(joined(b)->members_count, 0);
	struct group_ask *follower = sync_as(group, *ret_b, 1, 0, NULL);
	cr_assert(!is_answered(follower));
	struct group_ask *leader =
		sync_as(group, *ret_a, 1, 2, (const char *[]){*ret_a, "left", *ret_b, "right"});
	cr_assert_eq(synced(leader)->error_code, 0);
	cr_assert_eq(synced(leader)->assignment.size, 4);
	cr_assert_eq(synced(follower)->assignment.size, 5);
}

/* ---- traces ---- */

Test(machine, members_join_and_get_their_assignments)
{
	const char *a, *b;

	world_begin();
	machine_make();
	two_members("g", &a, &b);
	cr_assert_eq(heartbeat("g", a, 1), 0);
	cr_assert_eq(heartbeat("g", a, 2), KAFKA_ILLEGAL_GENERATION);
	cr_assert_eq(heartbeat("g", "nobody", 1), KAFKA_UNKNOWN_MEMBER_ID);
	cr_assert_str_eq(text(describe("g", 5)->group_state), "Stable");
	check_replay();
	world_end();
}

Test(machine, a_restart_keeps_members_generation_and_assignments)
{
	/* What was appended is all that a second machine has; the members go on as if nothing had
	 * been. */
	const char *a, *b;

	world_begin();
	machine_make();
	two_members("g", &a, &b);
	restart();
	cr_assert_eq(heartbeat("g", a, 1), 0);
	cr_assert_eq(synced(sync_as("g", b, 1, 0, NULL))->assignment.size, 5);
	check_replay();
	/* Who does not come back is out after its session. */
	pass(900);
	cr_assert_eq(heartbeat("g", b, 1), 0);
	pass(200);
	cr_assert_eq(heartbeat("g", a, 1), KAFKA_UNKNOWN_MEMBER_ID);
	cr_assert_eq(heartbeat("g", b, 1), KAFKA_REBALANCE_IN_PROGRESS);
	world_end();
}

Test(machine, a_generation_that_the_log_refused_is_not_given_out_again)
{
	/* Its leader may still believe in it, and would hand out assignments to members of another. */
	const char *first, *second;
	struct group_ask *join;

	world_begin();
	machine_make();
	join = join_new_member("g", &first);
	pass(150);
	cr_assert_eq(joined(join)->generation_id, 1);
	int64_t log_end = world.log_end;
	sync_as("g", first, 1, 1, (const char *[]){first, "share"});
	cr_assert_gt(world.log_end, log_end);
	fail_at(log_end);
	cr_assert_eq(heartbeat("g", first, 1), KAFKA_UNKNOWN_MEMBER_ID);
	join = join_new_member("g", &second);
	pass(150);
	cr_assert_eq(joined(join)->generation_id, 2);
	world_end();
}

Test(machine, the_first_join_waits_for_more_as_long_as_they_come)
{
	/* Delay 100 ms; a member that comes within it begins another delay. */
	const char *a, *b;

	world_begin();
	machine_make();
	struct group_ask *first = join_new_member("g", &a);
	pass(60);
	struct group_ask *second = join_new_member("g", &b);
	pass(60);
	cr_assert(!is_answered(first), "the delay was not extended");
	pass(80);
	cr_assert_eq(joined(first)->members_count, 2);
	cr_assert_eq(joined(second)->generation_id, 1);
	world_end();
}

Test(machine, a_member_that_never_joins_with_its_id_expires)
{
	world_begin();
	machine_make();
	struct group_ask *ask = join_as("g", (struct joining){.session_ms = 500});
	cr_assert_eq(joined(ask)->error_code, KAFKA_MEMBER_ID_REQUIRED);
	const char *id = text(joined(ask)->member_id);
	pass(501);
	cr_assert_eq(joined(join_as("g", (struct joining){.member = id}))->error_code,
		KAFKA_UNKNOWN_MEMBER_ID);
	world_end();
}

Test(machine, a_rebalance_ends_without_those_who_do_not_come)
{
	const char *a, *b, *c;

	world_begin();
	machine_make();
	two_members("g", &a, &b);
	struct group_ask *third = join_new_member("g", &c);
	cr_assert_eq(heartbeat("g", a, 1), KAFKA_REBALANCE_IN_PROGRESS);
	struct group_ask *again = join_as("g", (struct joining){.member = a});
	cr_assert(!is_answered(third));
	/* Generous session, so that the rebalance timeout decides: heartbeats keep b in. */
	for (int i = 0; i < 4; i++) {
		pass(600);
		heartbeat("g", b, 1);
	}
	cr_assert_eq(joined(again)->generation_id, 2);
	cr_assert_eq(joined(again)->members_count, 2);
	cr_assert_eq(heartbeat("g", b, 2), KAFKA_UNKNOWN_MEMBER_ID);
	world_end();
}

Test(machine, the_last_member_that_leaves_leaves_an_empty_group)
{
	const char *a, *b;

	world_begin();
	machine_make();
	two_members("g", &a, &b);
	cr_assert_eq(commit("g", a, 1, "t", 7, "m"), 0);
	cr_assert_eq(leave("g", a, NULL), 0);
	cr_assert_eq(leave("g", b, NULL), 0);
	cr_assert_str_eq(text(describe("g", 5)->group_state), "Empty");
	cr_assert_eq(leave("g", b, NULL), KAFKA_UNKNOWN_MEMBER_ID);
	check_replay();
	cr_assert_eq(fetch("g", "t", false)->committed_offset, 7);
	world_end();
}

Test(machine, a_static_member_takes_its_place_again_without_a_rebalance)
{
	world_begin();
	machine_make();
	struct group_ask *first = join_as("g", (struct joining){.instance = "i"});
	pass(200);
	const char *old = text(joined(first)->member_id);
	cr_assert_eq(synced(sync_as("g", old, 1, 1, (const char *[]){old, "all"}))->error_code, 0);
	struct group_ask *again = join_as("g", (struct joining){.instance = "i"});
	cr_assert_eq(joined(again)->generation_id, 1);
	cr_assert(joined(again)->skip_assignment);
	const char *fresh = text(joined(again)->member_id);
	cr_assert_str_neq(old, fresh);
	cr_assert_eq(synced(sync_as("g", fresh, 1, 0, NULL))->assignment.size, 3);
	struct group_ask *fenced = join_as("g", (struct joining){.instance = "i", .member = old});
	cr_assert_eq(joined(fenced)->error_code, KAFKA_FENCED_INSTANCE_ID);
	check_replay();
	/* An operator removes it by its name. */
	cr_assert_eq(leave("g", "", "i"), 0);
	cr_assert_str_eq(text(describe("g", 5)->group_state), "Empty");
	world_end();
}

Test(machine, a_full_group_refuses_another_member)
{
	const char *a, *b;

	world_begin();
	world.limits.group_size_max = 2;
	machine_make();
	two_members("g", &a, &b);
	struct group_ask *third = join_as("g", (struct joining){.version = 3});
	cr_assert_eq(joined(third)->error_code, KAFKA_GROUP_MAX_SIZE_REACHED);
	world_end();
}

Test(machine, members_must_have_a_protocol_in_common)
{
	const char *a, *b;

	world_begin();
	machine_make();
	two_members("g", &a, &b);
	cr_assert_eq(joined(join_as("g", (struct joining){.protocol = "other"}))->error_code,
		KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	cr_assert_eq(joined(join_as("g", (struct joining){.type = "connect"}))->error_code,
		KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	cr_assert_eq(joined(join_as("h", (struct joining){.session_ms = 9}))->error_code,
		KAFKA_INVALID_SESSION_TIMEOUT);
	cr_assert_eq(joined(join_as("h", (struct joining){.member = "x"}))->error_code,
		KAFKA_UNKNOWN_MEMBER_ID);
	world_end();
}

Test(machine, equal_votes_are_decided_as_in_kafka)
{
	/* Whoever came first: of "roundrobin" and "range" the latter is the first in Java's hash map. */
	static const char *const names[] = {"roundrobin", "range"};

	for (int first = 0; first < 2; first++) {
		struct group_ask *asks[2];
		world_begin();
		machine_make();
		for (int i = 0; i < 2; i++)
			asks[i] = join_as("g", (struct joining){.version = 3,
						       .protocol = names[(first + i) % 2],
						       .second_protocol = names[(first + i + 1) % 2]});
		pass(200);
		for (int i = 0; i < 2; i++)
			cr_assert_str_eq(text(joined(asks[i])->protocol_name), "range");
		world_end();
	}
}

Test(machine, an_abandoned_join_leaves_its_member_in_the_group)
{
	/* The connection goes while the join is parked: nobody is answered, and the group goes on
	 * with the member. */
	const char *a;

	world_begin();
	machine_make();
	struct group_ask *ask = join_new_member("g", &a);
	cr_assert(group_ask_abandon(ask));
	world.answered[world.ask_count - 1] = true; /* the caller ends the request itself */
	cr_assert(!group_ask_abandon(ask));
	pass(200);
	cr_assert_str_eq(text(describe("g", 5)->group_state), "CompletingRebalance");
	struct group_ask *again = join_as("g", (struct joining){.member = a});
	cr_assert_eq(joined(again)->generation_id, 1);
	cr_assert_eq(joined(again)->members_count, 1);
	world_end();
}

Test(machine, a_member_that_does_not_sync_is_out_after_the_rebalance_timeout)
{
	const char *a, *b;

	world_begin();
	machine_make();
	struct group_ask *ask_a = join_new_member("g", &a), *ask_b = join_new_member("g", &b);
	pass(200);
	cr_assert_eq(joined(ask_a)->generation_id, 1);
	cr_assert_eq(joined(ask_b)->generation_id, 1);
	struct group_ask *waiting = sync_as("g", b, 1, 0, NULL);
	for (int i = 0; i < 4; i++) {
		pass(600);
		heartbeat("g", a, 1); /* alive, but without assignments */
	}
	cr_assert_eq(synced(waiting)->error_code, KAFKA_REBALANCE_IN_PROGRESS);
	cr_assert_eq(heartbeat("g", a, 1), KAFKA_UNKNOWN_MEMBER_ID);
	world_end();
}

Test(machine, assignments_too_large_for_the_log_begin_another_rebalance)
{
	const char *a;
	static char large[5000];

	world_begin();
	machine_make();
	struct group_ask *ask = join_new_member("g", &a);
	pass(200);
	cr_assert_eq(joined(ask)->generation_id, 1);
	memset(large, 'x', sizeof(large) - 1);
	cr_assert_eq(synced(sync_as("g", a, 1, 1, (const char *[]){a, large}))->error_code,
		KAFKA_UNKNOWN_SERVER_ERROR);
	cr_assert_eq(heartbeat("g", a, 1), KAFKA_REBALANCE_IN_PROGRESS);
	world_end();
}

Test(machine, commits_are_checked_kept_and_found_again)
{
	const char *a, *b;

	world_begin();
	machine_make();
	cr_assert_eq(commit("simple", "", -1, "t", 5, NULL), 0);
	cr_assert_eq(commit("simple", "", -1, "t", 6, "0123456789abcdef"), 0);
	cr_assert_eq(commit("simple", "", -1, "t", 7, "0123456789abcdefg"),
		KAFKA_OFFSET_METADATA_TOO_LARGE);
	cr_assert_eq(fetch("simple", "t", false)->committed_offset, 6);
	cr_assert_str_eq(text(fetch("simple", "t", false)->metadata), "0123456789abcdef");
	cr_assert_eq(fetch("simple", "u", false)->committed_offset, -1);
	cr_assert_eq(commit("unknown", "x", 3, "t", 1, ""), KAFKA_GROUP_ID_NOT_FOUND);
	two_members("g", &a, &b);
	cr_assert_eq(commit("g", "", -1, "t", 1, ""), KAFKA_UNKNOWN_MEMBER_ID);
	cr_assert_eq(commit("g", a, 0, "t", 1, ""), KAFKA_ILLEGAL_GENERATION);
	cr_assert_eq(commit("g", a, 1, "t", 1, ""), 0);
	check_replay();
	world_end();
}

Test(machine, offsets_expire_with_their_empty_group)
{
	world_begin();
	machine_make();
	cr_assert_eq(commit("g", "", -1, "t", 5, ""), 0);
	pass(99000);
	cr_assert_eq(fetch("g", "t", false)->committed_offset, 5);
	pass(52000);
	cr_assert_eq(fetch("g", "t", false)->committed_offset, -1);
	cr_assert_eq(group_machine_group_count(world.machine), 0);
	check_replay();
	world_end();
}

Test(machine, a_commit_that_was_refused_made_its_group)
{
	/* The second commit meets a group that does not know its member; a deletion and the passing of time find it too. */
	world_begin();
	machine_make();
	cr_assert_eq(commit("g", "", -1, "t", 5, "0123456789abcdefg"), KAFKA_OFFSET_METADATA_TOO_LARGE);
	cr_assert_eq(commit("g", "", 0, "t", 5, ""), KAFKA_UNKNOWN_MEMBER_ID);
	cr_assert_eq(delete_group("g"), 0);
	cr_assert_eq(commit("g", "", 0, "t", 5, ""), KAFKA_GROUP_ID_NOT_FOUND);
	cr_assert_eq(commit("g", "", -1, "t", 5, "0123456789abcdefg"), KAFKA_OFFSET_METADATA_TOO_LARGE);
	pass(99000);
	cr_assert_eq(group_machine_group_count(world.machine), 0);
	check_replay();
	world_end();
}

Test(machine, a_group_without_members_can_be_deleted)
{
	const char *a, *b;

	world_begin();
	machine_make();
	two_members("g", &a, &b);
	cr_assert_eq(delete_group("g"), KAFKA_NON_EMPTY_GROUP);
	cr_assert_eq(commit("g", a, 1, "t", 5, ""), 0);
	leave("g", a, NULL);
	leave("g", b, NULL);
	cr_assert_eq(delete_group("g"), 0);
	cr_assert_eq(delete_group("g"), KAFKA_GROUP_ID_NOT_FOUND);
	cr_assert_eq(describe("g", 6)->error_code, KAFKA_GROUP_ID_NOT_FOUND);
	cr_assert_str_eq(text(describe("g", 5)->group_state), "Dead");
	check_replay();
	world_end();
}

Test(machine, transactional_offsets_count_when_their_marker_says_so)
{
	/* Records as a transactional producer leaves them, replayed. */
	struct group_step step;

	world_begin();
	machine_make();
	commit("g", "", -1, "t", 5, "");
	commit("g", "", -1, "t", 9, "");
	/* The second commit becomes that of producer 7. */
	world.log[1].producer_id = 7;
	restart();
	cr_assert_eq(fetch("g", "t", false)->committed_offset, 5);
	cr_assert_eq(fetch("g", "t", true)->error_code, KAFKA_UNSTABLE_OFFSET_COMMIT);
	world.log[world.log_end++] = (struct kept_record){.producer_id = 7, .marker = 1};
	restart();
	cr_assert_eq(fetch("g", "t", true)->committed_offset, 9);
	world.log[world.log_end - 1].marker = 2;
	restart();
	cr_assert_eq(fetch("g", "t", true)->committed_offset, 5);
	group_step_begin(&step, now(), world.log_end);
	group_machine_topic_deleted(world.machine, &step, STR("t"), &(struct uuid){{0}});
	step_end(&step);
	cr_assert_eq(fetch("g", "t", false)->committed_offset, -1);
	world_end();
}

Test(machine, what_clients_make_us_keep_has_a_limit)
{
	world_begin();
	world.limits.state_bytes_max = 2000;
	machine_make();
	char name[16];
	int kept = 0;
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "g%d", i);
		kept += commit(name, "", -1, "t", 5, "") == 0;
	}
	cr_assert_gt(kept, 0);
	cr_assert_lt(kept, 10);
	world_end();
}

/* Strangers make groups until no more are taken; then a known group makes offsets, until it may not
 * either. */
Test(machine, a_known_group_goes_on_when_no_new_one_is_taken)
{
	const int32_t generation = 1;
	const char *member, *other;
	char name[16];
	int i;

	world_begin();
	world.limits.state_bytes_max = 16000;
	world.limits.metadata_size_max = 100;
	machine_make();
	two_members("known", &member, &other);
	cr_assert_eq(commit("known", member, generation, "t", 1, "note"), 0);
	for (i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "g%d", i);
		if (commit(name, "", -1, "t", 5, "") != 0)
			break;
	}
	cr_assert_lt(i, 500);
	cr_assert_eq(commit("late", "", -1, "t", 5, ""), KAFKA_COORDINATOR_NOT_AVAILABLE);
	cr_assert_eq(heartbeat("known", member, generation), 0);
	cr_assert_eq(commit("known", member, generation, "another", 1, ""), 0);
	for (i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		if (commit("known", member, generation, name, 5, "") != 0)
			break;
	}
	cr_assert_lt(i, 500);
	/* What is left is too little for a topic; notes fill it. */
	for (i = i - 1; i >= 0; i--) {
		snprintf(name, sizeof(name), "t%d", i);
		if (commit("known", member, generation, name, 5, "0") != 0)
			break;
	}
	cr_assert_geq(i, 0);
	cr_assert(world.refused);
	cr_assert_eq(commit("known", member, generation, "t", 2, "note"), 0);
	cr_assert(!world.refused);
	cr_assert_eq(commit("known", member, generation, "t", 3,
			     "a note that is longer than what is left of all the room"),
		KAFKA_COORDINATOR_NOT_AVAILABLE);
	cr_assert_eq(heartbeat("known", member, generation), 0);
	world_end();
}

/* One answered ask less to remember, for tests with very many. */
static void ask_done(void)
{
	cr_assert(world.answered[world.ask_count - 1]);
	world.answered[--world.ask_count] = false;
}

/* Ids are asked for in one group and never used. The oldest are forgotten, so that they take a small
 * share; another group's member comes in as ever, and so does the last that was given an id. */
Test(machine, members_that_never_come_back_keep_nobody_out)
{
	const char *first, *last = NULL, *member, *other;

	world_begin();
	machine_make();
	first = text(joined(join_as("flooded", (struct joining){0}))->member_id);
	for (int i = 0; i < 5000; i++) {
		cr_assert_eq(joined(join_as("flooded", (struct joining){0}))->error_code,
			KAFKA_MEMBER_ID_REQUIRED);
		if (i == 4999)
			last = text(joined(world.asks[world.ask_count - 1])->member_id);
		ask_done();
	}
	cr_assert_gt(world.forgotten, 4000);
	cr_assert_lt(world.budget.bytes, 80 * 1024);
	two_members("known", &member, &other);
	cr_assert_eq(joined(join_as("flooded", (struct joining){.member = first}))->error_code,
		KAFKA_UNKNOWN_MEMBER_ID);
	struct group_ask *ask = join_as("flooded", (struct joining){.member = last});
	cr_assert(!is_answered(ask) || joined(ask)->error_code == 0);
	world_end();
}

/* A join phase that waits for pending members is over when they are forgotten. */
Test(machine, a_member_that_is_forgotten_keeps_no_join_phase_open)
{
	const char *id;

	world_begin();
	world.limits.initial_rebalance_delay_ms = 0;
	machine_make();
	join_new_member("g", &id);
	pass(1);
	cr_assert_eq(synced(sync_as("g", id, 1, 0, NULL))->error_code, 0);
	join_as("g", (struct joining){0}); /* given an id, and never seen again */
	struct group_ask *again = join_as("g", (struct joining){.member = id, .metadata = "new"});
	cr_assert(!is_answered(again));
	for (int i = 0; i < 5000 && !is_answered(again); i++) {
		char name[16];
		snprintf(name, sizeof(name), "h%d", i);
		join_as(name, (struct joining){.version = 4});
		if (!is_answered(again))
			world.log_end--; /* the log has room for a few */
		ask_done();
	}
	cr_assert_eq(joined(again)->error_code, 0);
	cr_assert_eq(joined(again)->generation_id, 2);
	world_end();
}

/* The step in which a new group is made also ends a join phase, with a record of its own. */
Test(machine, a_group_that_comes_as_another_forgets_has_its_record)
{
	const char *id;

	world_begin();
	world.limits.initial_rebalance_delay_ms = 0;
	machine_make();
	join_new_member("g", &id);
	pass(1);
	cr_assert_eq(synced(sync_as("g", id, 1, 0, NULL))->error_code, 0);
	join_as("g", (struct joining){0});
	cr_assert_eq(leave("g", id, NULL), 0); /* only the pending one keeps the join phase open */
	while (!pending_is_full(world.machine)) {
		join_as("flood", (struct joining){0});
		ask_done();
	}
	int64_t records = world.log_end;
	join_as("fresh", (struct joining){0});
	cr_assert_eq(world.forgotten, 1);
	cr_assert_eq(world.log_end, records + 2);
	world_end();
}

static struct group_ask *commit_many(const char *group, int count, struct str metadata)
{
	struct offset_commit_request *message;
	struct group_ask *ask = ask_new(GROUP_ASK_OFFSET_COMMIT, 9, group,
		&offset_commit_request_schema, (void **)&message, &offset_commit_response_schema);

	message->member_id = STR("");
	message->generation_id_or_member_epoch = -1;
	message->topics = schema_new_array(&offset_commit_request_topic_schema, &world.arena, 1);
	message->topics_count = 1;
	message->topics[0].name = STR("t");
	message->topics[0].partitions =
		schema_new_array(&offset_commit_request_partition_schema, &world.arena, count);
	message->topics[0].partitions_count = count;
	for (int i = 0; i < count; i++) {
		message->topics[0].partitions[i].partition_index = i;
		message->topics[0].partitions[i].committed_metadata = metadata;
	}
	ask_go(ask);
	return ask;
}

static int16_t commit_error(const struct group_ask *ask, int partition)
{
	const struct offset_commit_response *response = ask->response;

	return response->topics[0].partitions[partition].error_code;
}

static struct str text_of(char letter, int32_t size)
{
	char *data = arena_alloc(&world.arena, (size_t)size);

	memset(data, letter, (size_t)size);
	return (struct str){.data = data, .size = size};
}

/* One request, larger than all that is allowed, comes while there is room. */
Test(machine, what_a_request_would_add_is_known_before_it_is_taken)
{
	world_begin();
	world.limits.state_bytes_max = 64 << 10;
	world.limits.metadata_size_max = 4096;
	machine_make();
	cr_assert_eq(commit_error(commit_many("g", 100, text_of('m', 2000)), 99),
		KAFKA_COORDINATOR_NOT_AVAILABLE);
	cr_assert_eq(world.budget.bytes, 0);
	cr_assert_eq(world.log_end, 0);
	struct str metadata = text_of('m', 100000);
	cr_assert_eq(
		joined(join_as("g", (struct joining){.version = 3, .metadata = text(metadata)}))
			->error_code,
		KAFKA_COORDINATOR_NOT_AVAILABLE);
	cr_assert_eq(world.budget.bytes, 0);
	const char *a, *b;
	two_members("known", &a, &b);
	const char *pairs[] = {a, text(metadata), b, ""};
	size_t bytes = world.budget.bytes;
	cr_assert_eq(synced(sync_as("known", a, 1, 2, pairs))->error_code,
		KAFKA_COORDINATOR_NOT_AVAILABLE);
	cr_assert_eq(world.budget.bytes, bytes);
	world_end();
}

/* Each record of a commit has the group's id in it: a long one, many times. */
Test(machine, what_one_commit_writes_fits_into_a_batch_or_is_refused)
{
	world_begin();
	world.limits.record_size_max = 20000;
	machine_make();
	struct group_ask *ask = commit_many(text(text_of('g', 3000)), 20, STR(""));
	cr_assert_eq(commit_error(ask, 0), KAFKA_UNKNOWN_SERVER_ERROR);
	cr_assert_eq(commit_error(ask, 19), KAFKA_UNKNOWN_SERVER_ERROR);
	cr_assert_eq(world.log_end, 0);
	ask = commit_many(text(text_of('g', 3000)), 6, STR(""));
	cr_assert_eq(commit_error(ask, 5), 0);
	cr_assert_eq(world.log_end, 6);
	check_replay();
	world_end();
}

/* More tombstones than a batch holds come in several steps. */
Test(machine, what_a_deleted_topic_takes_along_is_told_in_several_steps)
{
	world_begin();
	machine_make();
	for (int i = 0; i < 60; i++) {
		char name[16];
		snprintf(name, sizeof(name), "g%d", i);
		cr_assert_eq(commit(name, "", -1, "gone", 1, ""), 0);
	}
	int64_t records = world.log_end;
	world.limits.record_size_max = 1000;
	restart();
	int steps = 0;
	bool all = false;
	while (!all) {
		struct group_step step;
		group_step_begin(&step, now(), world.log_end);
		all = group_machine_topic_deleted(world.machine, &step, STR("gone"), &UUID_ZERO);
		cr_assert_leq(step.record_bytes, 1000);
		step_end(&step);
		cr_assert_lt(steps++, 10);
	}
	cr_assert_gt(steps, 1);
	cr_assert_eq(world.log_end, records + 60);
	cr_assert_eq(fetch("g0", "gone", false)->committed_offset, -1);
	cr_assert_eq(fetch("g59", "gone", false)->committed_offset, -1);
	world_end();
}

/* Very many groups lose their members at once: their records come in several steps. */
Test(machine, sessions_that_end_together_are_told_in_several_steps)
{
	struct group_step step;
	int steps = 0;

	world_begin();
	world.limits.initial_rebalance_delay_ms = 0;
	machine_make();
	for (int i = 0; i < 60; i++) {
		char name[16];
		snprintf(name, sizeof(name), "g%d", i);
		join_as(name, (struct joining){.version = 3});
		pass(0);
	}
	int64_t records = world.log_end;
	world.limits.record_size_max = 1000;
	world.machine->limits.record_size_max = 1000;
	world.now_ms += 2000;
	while (group_machine_next_deadline_ms(world.machine) <= world.now_ms) {
		group_step_begin(&step, now(), world.log_end);
		group_machine_expire(world.machine, &step);
		step_end(&step);
		cr_assert_lt(steps++, 30);
	}
	cr_assert_gt(steps, 1);
	cr_assert_eq(world.log_end, records + 60);
	check_replay();
	world_end();
}

/* The topic's batches were limited to less than any record takes: nothing can be told, and what is due
 * is done nevertheless. */
Test(machine, a_log_that_takes_no_record_keeps_nothing_due)
{
	struct group_step step;
	int steps = 0;

	world_begin();
	machine_make();
	join_as("g", (struct joining){.version = 3});
	pass(100);
	world.machine->limits.record_size_max = 100;
	world.now_ms += 2000;
	while (group_machine_next_deadline_ms(world.machine) <= world.now_ms) {
		group_step_begin(&step, now(), world.log_end);
		group_machine_expire(world.machine, &step);
		step_end(&step);
		cr_assert_lt(steps++, 10);
	}
	cr_assert_eq(group_find(world.machine, STR("g"))->members.count, 0);
	world_end();
}

/* The log was written under a larger limit: it is loaded and served, its members go on and may be
 * replaced, and nothing comes on top. */
Test(machine, what_is_acknowledged_is_loaded_and_served_beyond_the_limit)
{
	const char *a, *b, *c;

	world_begin();
	world.limits.metadata_size_max = 4096;
	world.limits.record_size_max = 1 << 20;
	machine_make();
	two_members("g", &a, &b);
	cr_assert_eq(commit_error(commit_many("kept", 30, text_of('m', 1000)), 29), 0);
	world.limits.state_bytes_max = 16 << 10;
	restart();
	cr_assert_gt(world.budget.bytes, 30000);
	cr_assert_eq(fetch("kept", "t", false)->committed_offset, 0);
	cr_assert_eq(fetch("kept", "t", false)->metadata.size, 1000);
	cr_assert_eq(heartbeat("g", a, 1), 0);
	cr_assert_eq(commit("g", a, 1, "t", 1, ""), KAFKA_COORDINATOR_NOT_AVAILABLE);
	cr_assert_eq(commit("new", "", -1, "t", 1, ""), KAFKA_COORDINATOR_NOT_AVAILABLE);
	cr_assert_eq(commit_error(commit_many("kept", 30, text_of('n', 1000)), 29), 0);
	/* The leader joins again, another member leaves, and its successor comes. */
	struct group_ask *again = join_as("g", (struct joining){.member = a});
	cr_assert(!is_answered(again));
	cr_assert_eq(leave("g", b, NULL), 0);
	cr_assert_eq(joined(again)->generation_id, 2);
	cr_assert_eq(synced(sync_as("g", a, 2, 1, (const char *[]){a, "all"}))->error_code, 0);
	struct group_ask *successor = join_new_member("g", &c);
	again = join_as("g", (struct joining){.member = a});
	cr_assert_eq(joined(again)->generation_id, 3);
	cr_assert_eq(joined(successor)->generation_id, 3);
	/* But a quarter of the limit is all that members get on top. */
	struct group_ask *large =
		join_as("g", (struct joining){.version = 3, .metadata = text(text_of('x', 5000))});
	cr_assert_eq(joined(large)->error_code, KAFKA_COORDINATOR_NOT_AVAILABLE);
	world_end();
}

/* Two shards' machines: what one keeps the other has not, and no shard has a part of its own. */
Test(machine, machines_share_one_limit)
{
	world_begin();
	world.limits.state_bytes_max = 40000;
	world.limits.metadata_size_max = 4096;
	world.limits.record_size_max = 1 << 20;
	struct group_machine *other = group_machine_new(&world.limits, 3, &world.budget);
	machine_make();
	cr_assert_eq(commit_error(commit_many("large", 20, text_of('m', 1000)), 19), 0);
	struct group_machine *first = world.machine;
	int64_t log_end = world.log_end;
	world.machine = other;
	cr_assert_eq(commit_error(commit_many("second", 20, text_of('m', 1000)), 19),
		KAFKA_COORDINATOR_NOT_AVAILABLE);
	cr_assert_eq(world.log_end, log_end);
	cr_assert_eq(commit("small", "", -1, "t", 1, ""), 0);
	unload(other);
	world.machine = first;
	world_end();
}

/* A machine that its log refused waits beside the one that is loaded in its place. */
Test(machine, a_machine_that_failed_keeps_little)
{
	const char *a, *b;
	struct group_step step;

	world_begin();
	world.limits.metadata_size_max = 4096;
	world.limits.record_size_max = 1 << 20;
	machine_make();
	two_members("g", &a, &b);
	cr_assert_eq(commit_error(commit_many("kept", 100, text_of('m', 1000)), 99), 0);
	cr_assert_gt(world.budget.bytes, 100000);
	group_step_begin(&step, now(), world.log_end);
	group_machine_unload(world.machine, &step, KAFKA_NOT_COORDINATOR);
	step_end(&step);
	cr_assert_lt(world.budget.bytes, 2000);
	cr_assert_eq(world.budget.member_bytes, 0);
	group_machine_free(world.machine);
	cr_assert_eq(world.budget.bytes, 0);
	machine_make();
	world_end();
}

/* A consumer says that it reads very many topics: each is some bytes on the wire, and an entry here.
 * When there is no room for them the group counts as one that may read anything. */
Test(machine, the_topics_that_a_group_reads_have_a_limit)
{
	enum { TOPICS = 1000 };
	struct join_group_request *message;
	struct group_ask *ask;
	const struct group *group;

	world_begin();
	world.limits.state_bytes_max = 64 << 10;
	world.limits.record_size_max = 1 << 20;
	world.limits.initial_rebalance_delay_ms = 0;
	machine_make();
	for (int topics = 10; topics <= TOPICS; topics += TOPICS - 10) {
		const char *name = topics == 10 ? "few" : "many";
		uint8_t *metadata = arena_alloc(&world.arena, 2 + 4 + 6 * (size_t)topics + 4);
		uint8_t *at = metadata;
		store_be16(at, 0);
		store_be32(at + 2, (uint32_t)topics);
		at += 6;
		for (int i = 0; i < topics; i++, at += 6) {
			char topic[5];
			snprintf(topic, sizeof(topic), "%04d", i);
			store_be16(at, 4);
			memcpy(at + 2, topic, 4);
		}
		store_be32(at, 0);
		ask = ask_new(GROUP_ASK_JOIN, 3, name, &join_group_request_schema,
			(void **)&message, &join_group_response_schema);
		message->group_id = ask->group_id;
		message->member_id = STR("");
		message->session_timeout_ms = message->rebalance_timeout_ms = 1000;
		message->protocol_type = STR("consumer");
		message->protocols =
			schema_new_array(&join_group_request_protocol_schema, &world.arena, 1);
		message->protocols_count = 1;
		message->protocols[0].name = STR("range");
		message->protocols[0].metadata =
			(struct bytes){metadata, (int32_t)(at + 4 - metadata)};
		ask_go(ask);
		pass(1);
		cr_assert_eq(joined(ask)->error_code, 0);
		group = group_find(world.machine, str_from(name));
		cr_assert_eq(group->topics_known, topics == 10);
		cr_assert(group_is_subscribed(group, STR("0001")));
		cr_assert_eq(group_is_subscribed(group, STR("other")), topics != 10);
		cr_assert_leq(world.budget.bytes, world.limits.state_bytes_max);
	}
	world_end();
}

/* The id of the member whose join was parked: the answer says it, or the member in which it waits.
 */
static const char *random_member_of(const struct group_ask *ask)
{
	if (is_answered(ask))
		return joined(ask)->error_code ? NULL : text(joined(ask)->member_id);
	return text(container_of(ask->place, struct group_member, joining)->id);
}

/* Members at random come, sync, commit, beat, leave and fall silent. Whenever the group is at rest
 * its log is replayed. */
Test(machine, replay_agrees_after_random_histories)
{
	int replays = 0, generations = 0;

	for (unsigned seed = 1; seed <= 20; seed++) {
		world_begin();
		machine_make();
		unsigned random = seed * 2654435761u;
		const char *members[3] = {0};
		for (int i = 0; i < 60; i++) {
			random = random * 1664525 + 1013904223;
			unsigned who = (random >> 8) % array_length(members),
				 what = (random >> 16) % 12;
			const struct group *group = group_find(world.machine, STR("g"));
			int32_t generation = group ? group->generation : 0;
			const char *pairs[] = {members[0] ? members[0] : "", "zero",
				members[1] ? members[1] : "", "one"};
			if (!members[who] || what == 0)
				members[who] = random_member_of(join_as("g",
					(struct joining){.version = 3, .member = members[who]}));
			else if (what < 6)
				sync_as("g", members[who], generation, 2, pairs);
			else if (what < 8)
				commit("g", members[who], generation, who % 2 ? "t" : "u", i, "");
			else if (what == 8)
				heartbeat("g", members[who], generation);
			else if (what == 9 && leave("g", members[who], NULL) == 0)
				members[who] = NULL;
			else
				pass((random >> 20) % 400);
			group = group_find(world.machine, STR("g"));
			generations = max_of(generations, group ? group->generation : 0);
			if (group && group->state == GROUP_STABLE) {
				check_replay();
				replays++;
			}
		}
		world_end();
	}
	cr_assert_gt(replays, 50, "only %d replays: the histories are too dull", replays);
	cr_assert_gt(generations, 3);
}

/* As it was counted, and as it would be counted now. */
static size_t charged_bytes(struct group_member *member)
{
	size_t charged = member->charged;

	group_member_charge(member);
	cr_assert_eq(member->charged, charged);
	return charged;
}

/* What the machine counted is what it has, and no more than it may have. */
static void check_budget(void)
{
	size_t member_bytes = 0, pending_bytes = 0;
	uint32_t pending = 0, pending_listed = 0;

	map_for_each(group_node, &world.machine->groups)
	{
		const struct group *group = map_entry(group_node, struct group, node);
		map_for_each(node, &group->members) member_bytes +=
			charged_bytes(map_entry(node, struct group_member, node));
		map_for_each(node, &group->pending)
		{
			pending_bytes += charged_bytes(map_entry(node, struct group_member, node));
			pending++;
		}
	}
	list_for_each (node, &world.machine->pending)
		pending_listed++;
	cr_assert_eq(world.machine->pending_bytes, pending_bytes);
	cr_assert_eq(pending_listed, pending);
	cr_assert_eq(world.budget.member_bytes, member_bytes + pending_bytes);
	cr_assert_leq(world.budget.bytes, world.limits.state_bytes_max * 5 / 4);
}

static void random_event(unsigned what, unsigned which, const char **ids)
{
	static const char *const groups[] = {"a", "b", "c"}, *const instances[] = {NULL, NULL, "i"};
	const char *name = groups[which % array_length(groups)];
	const struct group *group = group_find(world.machine, str_from(name));
	const char **id = &ids[which / 4 % 8];
	struct group_step step;

	switch (what % 12) {
	case 0:
	case 1:
	case 2: {
		struct group_ask *ask = join_as(
			name, (struct joining){.version = what & 16 ? 3 : 9,
				      .member = what & 32 ? *id : NULL,
				      .instance = instances[which / 32 % array_length(instances)],
				      .second_protocol = what & 64 ? "sticky" : NULL,
				      .metadata = text(text_of('m', which / 128 % 900))});
		if (!is_answered(ask))
			*id = text(container_of(ask->place, struct group_member, joining)->id);
		else if (joined(ask)->member_id.size > 0)
			*id = text(joined(ask)->member_id);
		break;
	}
	case 3:
	case 4:
		sync_as(name, *id, group ? group->generation : 0, 1,
			(const char *[]){*id, text(text_of('s', which / 128 % 900))});
		break;
	case 5:
	case 6:
	case 7:
		commit(what & 16 ? name : *id, what & 16 ? *id : "",
			what & 16 && group ? group->generation : -1, which & 32 ? "t" : "u", which,
			text(text_of('o', which / 128 % 900)));
		break;
	case 8:
		leave(name, *id, NULL);
		break;
	case 9:
		group_step_begin(&step, now(), world.log_end);
		group_machine_topic_deleted(world.machine, &step, STR("t"), &UUID_ZERO);
		step_end(&step);
		break;
	case 10:
		if (what & 16)
			restart();
		else
			fail_at(world.log_end - (world.log_end > 0 && what & 32));
		break;
	default:
		pass(which % 1000);
	}
}

/* Groups at random grow and shrink where there is little room, and their log fails. */
Test(machine, what_is_counted_agrees_after_random_histories)
{
	int refused = 0, full = 0;

	for (unsigned seed = 1; seed <= 100; seed++) {
		const char *ids[8];
		world_begin();
		for (size_t i = 0; i < array_length(ids); i++)
			ids[i] = "nobody";
		world.limits.metadata_size_max = 4096;
		world.limits.group_size_max = 4;
		world.limits.state_bytes_max = 4000 + seed * 100;
		machine_make();
		unsigned random = seed * 2654435761u;
		for (int i = 0; i < 200; i++) {
			unsigned what = (random = random * 1664525 + 1013904223) >> 12;
			unsigned which = (random = random * 1664525 + 1013904223) >> 12;
			random_event(what, which, ids);
			check_budget();
			refused += world.refused;
			full += world.budget.bytes > world.limits.state_bytes_max / 4 * 3;
		}
		world_end();
	}
	cr_assert_gt(refused, 1000, "only %d were refused", refused);
	cr_assert_gt(full, 1000, "it was full %d times only", full);
}
