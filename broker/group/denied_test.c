/*
 * What the principal may not do is refused by every handler of this room, with Kafka's error and
 * without asking any coordinator. The handlers run on a request made by hand; the linker gives
 * request_complete and group_call_send of this file in place of the real ones (--wrap), so that an
 * answer is seen where it is made.
 */
#include <criterion/criterion.h>

#include "broker/dispatch.h"
#include "broker/group/coordinator.h"

#define TOPIC_ID   ((struct uuid){{[15] = 200}})
#define OFFSETS_ID ((struct uuid){{[15] = 201}})

static struct {
	struct broker broker;
	struct broker_shard shard;
	struct request request;
	bool completed;
	unsigned calls;			     /* that were sent to coordinators */
	enum acl_resource denied;	     /* RESOURCE_ANY: all */
	enum acl_operation denied_operation; /* of that resource; ACL_ANY: all */
} world;

void __wrap_request_complete(struct request *request);
void __wrap_group_call_send(struct group_call *call);

void __wrap_request_complete(struct request *request)
{
	cr_assert(!world.completed, "completed twice");
	world.completed = true;
}

/* A coordinator that knows one group, and no offsets. */
void __wrap_group_call_send(struct group_call *call)
{
	world.calls++;
	if (call->ask.kind == GROUP_ASK_LIST) {
		struct list_groups_response *response = call->ask.response;
		response->groups = schema_new_array(
			&list_groups_response_listed_group_schema, call->ask.arena, 1);
		response->groups_count = 1;
		response->groups[0].group_id = STR("secret");
	}
	call->answered(call);
}

static bool allows(const struct authorizer *authorizer, struct str principal, struct str host,
	enum acl_operation operation, enum acl_resource resource, struct str name)
{
	if (world.denied != RESOURCE_ANY && world.denied != resource)
		return true;
	return world.denied_operation != ACL_ANY && world.denied_operation != operation;
}

static const struct authorizer authorizer = {.allows = allows};

static void apply(struct image **image, int type, const void *message, int64_t offset)
{
	struct metadata_record record = {.type = (int16_t)type, .version = 0, .message = message};
	const char *why = "";

	cr_assert_eq(image_apply(image, &record, offset, &why), 0, "%s", why);
}

static void topic_make(struct image **image, struct str name, struct uuid id, int64_t offset)
{
	static int32_t replicas[] = {1};
	struct topic_record topic = {.name = name, .topic_id = id};
	struct partition_record partition;

	schema_init(&partition_record_schema, &partition);
	partition.partition_id = 0;
	partition.topic_id = id;
	partition.replicas = partition.isr = replicas;
	partition.replicas_count = partition.isr_count = 1;
	partition.leader = 1;
	apply(image, CLUSTER_METADATA_TOPIC, &topic, offset);
	apply(image, CLUSTER_METADATA_PARTITION, &partition, offset + 1);
}

static void set_up(void)
{
	memset(&world, 0, sizeof(world));
	struct image *image = image_new();
	topic_make(&image, STR("t"), TOPIC_ID, 0);
	topic_make(&image, STR("__consumer_offsets"), OFFSETS_ID, 2);
	world.broker.authorizer = &authorizer;
	world.broker.shard_count = 1;
	world.broker.shards = &world.shard;
	world.shard.broker = &world.broker;
	world.shard.image = image;
	world.denied = RESOURCE_ANY;
	world.denied_operation = ACL_ANY;
	arena_init(&world.request.arena, 16 << 20);
}

static void tear_down(void)
{
	if (world.request.release)
		world.request.release(&world.request);
	image_unref(world.request.image);
	image_unref(world.shard.image);
	arena_done(&world.request.arena);
}

TestSuite(denied, .init = set_up, .fini = tear_down);

/* A default request of VERSION, to be filled in. */
static void *request_make(enum api_key key, int16_t version)
{
	struct request *request = &world.request;

	request->home = request->shard = &world.shard;
	request->handler = handler_find(key);
	request->api = api_find(key);
	request->api_key = key;
	request->version = request->response_version = version;
	request->principal = STR("User:eve");
	request->host = STR("10.0.0.9");
	request->image = image_ref(world.shard.image);
	request->state = REQUEST_RUNNING;
	request->message = schema_new(request->api->request, &request->arena);
	request->response = schema_new(request->api->response, &request->arena);
	return request->message;
}

/* The response, which must be there and encode in its version. */
static const void *response_of(void)
{
	struct request *request = &world.request;
	struct codec_error error = {0};
	struct output output;

	request->handler->handle(request);
	cr_assert(world.completed, "no answer");
	output_init(&output, &request->arena, 64);
	cr_assert_eq(schema_encode(request->api->response, request->version, request->response,
			     &output, &error),
		0, "%s: %s", error.field, error.reason);
	return request->response;
}

Test(denied, join_group)
{
	struct join_group_request *message = request_make(API_JOIN_GROUP, 9);
	message->group_id = STR("g");
	world.denied = RESOURCE_GROUP;
	const struct join_group_response *response = response_of();
	cr_assert_eq(response->error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
}

Test(denied, sync_group)
{
	struct sync_group_request *message = request_make(API_SYNC_GROUP, 3);
	message->group_id = STR("g");
	world.denied = RESOURCE_GROUP;
	const struct sync_group_response *response = response_of();
	cr_assert_eq(response->error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
}

Test(denied, heartbeat)
{
	struct heartbeat_request *message = request_make(API_HEARTBEAT, 4);
	message->group_id = STR("g");
	world.denied = RESOURCE_GROUP;
	const struct heartbeat_response *response = response_of();
	cr_assert_eq(response->error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
}

Test(denied, leave_group)
{
	struct leave_group_request *message = request_make(API_LEAVE_GROUP, 1);
	message->group_id = STR("g");
	world.denied = RESOURCE_GROUP;
	const struct leave_group_response *response = response_of();
	cr_assert_eq(response->error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
}

static void commit_fill(struct offset_commit_request *message, struct arena *arena)
{
	message->group_id = STR("g");
	message->topics = schema_new_array(&offset_commit_request_topic_schema, arena, 1);
	message->topics_count = 1;
	message->topics[0].name = STR("t");
	message->topics[0].partitions =
		schema_new_array(&offset_commit_request_partition_schema, arena, 1);
	message->topics[0].partitions_count = 1;
}

Test(denied, offset_commit_of_a_group)
{
	commit_fill(request_make(API_OFFSET_COMMIT, 9), &world.request.arena);
	world.denied = RESOURCE_GROUP;
	const struct offset_commit_response *response = response_of();
	cr_assert_eq(
		response->topics[0].partitions[0].error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
}

Test(denied, offset_commit_of_a_topic)
{
	commit_fill(request_make(API_OFFSET_COMMIT, 9), &world.request.arena);
	world.denied = RESOURCE_TOPIC;
	const struct offset_commit_response *response = response_of();
	cr_assert_eq(
		response->topics[0].partitions[0].error_code, KAFKA_TOPIC_AUTHORIZATION_FAILED);
}

static void fetch_fill(struct offset_fetch_request *message, struct arena *arena)
{
	static int32_t zero;

	message->groups = schema_new_array(&offset_fetch_request_group_schema, arena, 1);
	message->groups_count = 1;
	message->groups[0].group_id = STR("g");
	message->groups[0].topics = schema_new_array(&offset_fetch_request_topics_schema, arena, 1);
	message->groups[0].topics_count = 1;
	message->groups[0].topics[0].name = STR("t");
	message->groups[0].topics[0].partition_indexes = &zero;
	message->groups[0].topics[0].partition_indexes_count = 1;
}

Test(denied, offset_fetch_of_a_group)
{
	fetch_fill(request_make(API_OFFSET_FETCH, 9), &world.request.arena);
	world.denied = RESOURCE_GROUP;
	const struct offset_fetch_response *response = response_of();
	cr_assert_eq(response->groups[0].error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
	cr_assert_eq(world.calls, 0);
}

Test(denied, offset_fetch_of_a_topic)
{
	fetch_fill(request_make(API_OFFSET_FETCH, 9), &world.request.arena);
	world.denied = RESOURCE_TOPIC;
	const struct offset_fetch_response *response = response_of();
	cr_assert_eq(response->groups[0].error_code, 0);
	cr_assert_eq(response->groups[0].topics[0].partitions[0].error_code,
		KAFKA_TOPIC_AUTHORIZATION_FAILED);
}

static void offset_delete_fill(struct offset_delete_request *message, struct arena *arena)
{
	message->group_id = STR("g");
	message->topics = schema_new_array(&offset_delete_request_topic_schema, arena, 1);
	message->topics_count = 1;
	message->topics[0].name = STR("t");
	message->topics[0].partitions =
		schema_new_array(&offset_delete_request_partition_schema, arena, 1);
	message->topics[0].partitions_count = 1;
}

Test(denied, offset_delete_of_a_group)
{
	offset_delete_fill(request_make(API_OFFSET_DELETE, 0), &world.request.arena);
	world.denied = RESOURCE_GROUP;
	const struct offset_delete_response *response = response_of();
	cr_assert_eq(response->error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
}

Test(denied, describe_groups)
{
	struct describe_groups_request *message = request_make(API_DESCRIBE_GROUPS, 6);
	struct str names[] = {STR("g")};
	message->groups = names;
	message->groups_count = 1;
	world.denied = RESOURCE_GROUP;
	const struct describe_groups_response *response = response_of();
	cr_assert_eq(response->groups_count, 1);
	cr_assert_eq(response->groups[0].error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
	cr_assert_eq(world.calls, 0);
}

Test(denied, describe_groups_operations)
{
	/* Only what the principal may do is listed. */
	struct describe_groups_request *message = request_make(API_DESCRIBE_GROUPS, 5);
	struct str names[] = {STR("g")};
	message->groups = names;
	message->groups_count = 1;
	message->include_authorized_operations = true;
	world.denied = RESOURCE_GROUP;
	world.denied_operation = ACL_DELETE;
	const struct describe_groups_response *response = response_of();
	cr_assert(!(response->groups[0].authorized_operations & (1 << ACL_DELETE)));
	cr_assert(response->groups[0].authorized_operations & (1 << ACL_READ));
}

Test(denied, list_groups)
{
	/* Who may not describe the cluster sees the groups that it may describe: here none. */
	request_make(API_LIST_GROUPS, 5);
	world.denied = RESOURCE_ANY;
	world.denied_operation = ACL_DESCRIBE;
	const struct list_groups_response *response = response_of();
	cr_assert_eq(response->groups_count, 0);
	cr_assert_eq(world.calls, 1);
}

Test(denied, list_groups_but_not_to_those_who_may_describe_the_cluster)
{
	request_make(API_LIST_GROUPS, 5);
	world.denied = RESOURCE_GROUP;
	const struct list_groups_response *response = response_of();
	cr_assert_eq(response->groups_count, 1);
}

Test(denied, delete_groups)
{
	struct delete_groups_request *message = request_make(API_DELETE_GROUPS, 2);
	struct str names[] = {STR("g"), STR("g")};
	message->groups_names = names;
	message->groups_names_count = 2;
	world.denied = RESOURCE_GROUP;
	const struct delete_groups_response *response = response_of();
	cr_assert_eq(response->results_count, 1);
	cr_assert_eq(response->results[0].error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
	cr_assert_eq(world.calls, 0);
}

Test(denied, find_coordinator)
{
	struct find_coordinator_request *message = request_make(API_FIND_COORDINATOR, 6);
	struct str names[] = {STR("g")};
	message->coordinator_keys = names;
	message->coordinator_keys_count = 1;
	world.denied = RESOURCE_GROUP;
	const struct find_coordinator_response *response = response_of();
	cr_assert_eq(response->coordinators[0].error_code, KAFKA_GROUP_AUTHORIZATION_FAILED);
	cr_assert_eq(response->coordinators[0].node_id, -1);
}

Test(denied, find_coordinator_of_a_transaction)
{
	struct find_coordinator_request *message = request_make(API_FIND_COORDINATOR, 2);
	message->key = STR("tx");
	message->key_type = 1;
	world.denied = RESOURCE_TRANSACTIONAL_ID;
	const struct find_coordinator_response *response = response_of();
	cr_assert_eq(response->error_code, KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
}
