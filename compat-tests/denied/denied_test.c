/*
 * What a principal may not do is refused by every handler, in each place of the answer where Kafka
 * refuses it. The rows of denied.json say what is asked, what is denied and what the answer holds;
 * `run` holds the same rows against Apache Kafka. Here a whole broker runs in the simulation with
 * an authorizer that denies what a row says, and is asked in every version that is served.
 *
 * A row proves something only if its answer differs once the denial is gone; so each is asked again
 * without. And the table is complete only if every API, every version, and every kind of resource
 * and operation that some handler asks the authorizer for has a row that denies it; so a handler
 * without one fails the test.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/dispatch.h"
#include "broker/security/authorizer.h"
#include "broker/state.h"
#include "compat-tests/simulation/node.h"
#include "compat-tests/simulation/wire.h"
#include "protocol/batch_builder.h"
#include "protocol/errors.h"
#include "protocol/schema_json.h"
#include "runtime/simulated/world.h"
#include "runtime/uuid.h"

enum {
	APIS_MAX = 128,
	RESOURCES = RESOURCE_USER + 1,
	OPERATIONS = ACL_TWO_PHASE_COMMIT + 1,
	DENIALS_MAX = 8
};

#define PRINCIPAL      "User:ANONYMOUS"
#define CLIENT_ADDRESS "10.0.1.1"
#define PATIENCE_NS    (60 * NS_PER_S)

static const char *const operation_names[OPERATIONS] = {"UNKNOWN", "ANY", "ALL", "READ", "WRITE",
	"CREATE", "DELETE", "ALTER", "DESCRIBE", "CLUSTER_ACTION", "DESCRIBE_CONFIGS",
	"ALTER_CONFIGS", "IDEMPOTENT_WRITE", "CREATE_TOKENS", "DESCRIBE_TOKENS",
	"TWO_PHASE_COMMIT"};
static const char *const resource_names[RESOURCES] = {"UNKNOWN", "ANY", "TOPIC", "GROUP", "CLUSTER",
	"TRANSACTIONAL_ID", "DELEGATION_TOKEN", "USER"};

struct denial {
	enum acl_operation operation;
	enum acl_resource resource;
	char name[32]; /* "*": any */
	bool asked;
};

/* Nothing here is allocated by the processes of the world. */
static struct {
	json_t *rows;
	struct denial denials[DENIALS_MAX];
	unsigned denial_count;
	const struct api_row *api; /* being asked; NULL: setting up */
	bool asked[APIS_MAX][RESOURCES][OPERATIONS], denied[APIS_MAX][RESOURCES][OPERATIONS];
	uint8_t versions[APIS_MAX][64]; /* asked */
	struct uuid secret_id, open_id;
	uint8_t plain[256], transactional[256];
	size_t plain_size, transactional_size;
	char *problems;
	size_t problems_size;
	FILE *report;
	unsigned checks;
	bool is_done;
} test;

#define PROBLEM(...) (fprintf(test.report, __VA_ARGS__), fputc('\n', test.report))

/* ---- the authorizer ---- */

static bool denial_matches(const struct denial *denial, enum acl_operation operation,
	enum acl_resource resource, struct str name)
{
	return denial->operation == operation && denial->resource == resource &&
	       (strcmp(denial->name, "*") == 0 || str_equal(name, str_from(denial->name)));
}

static bool allows(const struct authorizer *authorizer, struct str principal, struct str host,
	enum acl_operation operation, enum acl_resource resource, struct str name)
{
	bool allowed = true;

	if (!str_equal(principal, STR(PRINCIPAL)) || !str_equal(host, STR(CLIENT_ADDRESS)))
		PROBLEM("asked about %.*s at %.*s", STR_ARGS(principal), STR_ARGS(host));
	if (!test.api)
		return true;
	test.asked[test.api->key][resource][operation] = true;
	for (unsigned i = 0; i < test.denial_count; i++) {
		if (!denial_matches(&test.denials[i], operation, resource, name))
			continue;
		test.denials[i].asked = true;
		test.denied[test.api->key][resource][operation] = true;
		allowed = false;
	}
	return allowed;
}

static const struct authorizer authorizer = {.allows = allows};

static int name_index(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	fprintf(stderr, "no such name: %s\n", name);
	abort();
}

/* "RESOURCE OPERATION name" */
static void denial_add(const char *text)
{
	struct denial *denial = &test.denials[test.denial_count++];
	char resource[32], operation[32];

	ensure(test.denial_count <= DENIALS_MAX);
	*denial = (struct denial){0};
	cr_assert_eq(
		sscanf(text, "%31s %31s %31s", resource, operation, denial->name), 3, "%s", text);
	denial->resource = (enum acl_resource)name_index(resource_names, RESOURCES, resource);
	denial->operation = (enum acl_operation)name_index(operation_names, OPERATIONS, operation);
}

/* ---- messages from the table ---- */

/* "$secret", "$open" and "$none" stand for topic ids. */
static struct uuid id_of(const char *text)
{
	if (strcmp(text, "$secret") == 0)
		return test.secret_id;
	if (strcmp(text, "$open") == 0)
		return test.open_id;
	cr_assert_str_eq(text, "$none");
	return UUID_ZERO;
}

static struct bytes batch_of(const char *text)
{
	if (strcmp(text, "$batch") == 0)
		return (struct bytes){test.plain, (int32_t)test.plain_size};
	cr_assert_str_eq(text, "$transactional");
	return (struct bytes){test.transactional, (int32_t)test.transactional_size};
}

static void struct_fill(const struct schema_struct *schema, int version, const json_t *json,
	void *at, struct arena *arena);

static void value_fill(enum schema_type type, const struct schema_struct *of, int version,
	const json_t *json, void *at, struct arena *arena)
{
	switch (type) {
	case SCHEMA_BOOL:
		*(bool *)at = json_is_true(json);
		break;
	case SCHEMA_INT8:
		*(int8_t *)at = (int8_t)json_integer_value(json);
		break;
	case SCHEMA_INT16:
		*(int16_t *)at = (int16_t)json_integer_value(json);
		break;
	case SCHEMA_INT32:
		*(int32_t *)at = (int32_t)json_integer_value(json);
		break;
	case SCHEMA_INT64:
		*(int64_t *)at = json_integer_value(json);
		break;
	case SCHEMA_STRING:
		*(struct str *)at =
			json_is_null(json) ? STR_NULL : str_from(json_string_value(json));
		break;
	case SCHEMA_BYTES: /* what is in them does not matter */
		*(struct bytes *)at = (struct bytes){(const uint8_t *)"\0\0", 2};
		break;
	case SCHEMA_RECORDS:
		((struct records *)at)->bytes = batch_of(json_string_value(json));
		break;
	case SCHEMA_UUID:
		*(struct uuid *)at = id_of(json_string_value(json));
		break;
	case SCHEMA_STRUCT:
		struct_fill(of, version, json, at, arena);
		break;
	default:
		ensure(!"a type that no row needs yet");
	}
}

static void array_fill(const struct schema_field *field, int version, const json_t *json, void *at,
	struct arena *arena)
{
	size_t size = schema_element_size(field);
	int32_t count = json_is_null(json) ? -1 : (int32_t)json_array_size(json);
	uint8_t *elements = NULL;

	if (count > 0)
		elements = field->element == SCHEMA_STRUCT
				   ? schema_new_array(field->of, arena, count)
				   : arena_alloc_zero(arena, (size_t)count, size);
	for (int32_t i = 0; i < count; i++)
		value_fill((enum schema_type)field->element, field->of, version,
			json_array_get(json, (size_t)i), elements + size * (size_t)i, arena);
	memcpy(at, &elements, sizeof(elements));
	memcpy((uint8_t *)at + sizeof(elements), &count, sizeof(count));
}

/* Kafka's name with a small letter in front, as in its JSON. */
static const json_t *member_of(const json_t *json, const struct schema_field *field)
{
	char name[64];

	snprintf(name, sizeof(name), "%s", field->name);
	name[0] |= 0x20;
	return json_object_get(json, name);
}

/* What VERSION lacks keeps its default: one request serves all versions. */
static void struct_fill(const struct schema_struct *schema, int version, const json_t *json,
	void *at, struct arena *arena)
{
	size_t known = 0;

	for (unsigned i = 0; i < schema->field_count; i++) {
		const struct schema_field *field = &schema->fields[i];
		const json_t *member = member_of(json, field);

		if (!member)
			continue;
		known++;
		if (!schema_versions_contain(field->versions, version))
			continue;
		if (field->type == SCHEMA_ARRAY)
			array_fill(field, version, member, (uint8_t *)at + field->offset, arena);
		else
			value_fill((enum schema_type)field->type, field->of, version, member,
				(uint8_t *)at + field->offset, arena);
	}
	cr_assert_eq(known, json_object_size(json), "%s has no such field", schema->name);
}

static size_t batch_make(uint8_t *to, size_t size, bool transactional)
{
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct batch_builder builder;
	struct record_buffer buffer;
	size_t made;

	record_buffer_init(&buffer, size);
	options.transactional = transactional;
	if (transactional) {
		options.producer_id = 7;
		options.producer_epoch = 0;
		options.base_sequence = 0;
	}
	ensure(batch_builder_begin(&builder, &options, NULL, &buffer) == 0);
	ensure(batch_builder_append(&builder, 0, 1000, (struct bytes){(const uint8_t *)"k", 1},
		       (struct bytes){(const uint8_t *)"v", 1}, NULL, 0) == 0);
	ensure(batch_builder_end(&builder) == 0);
	made = buffer.size;
	ensure(made <= size);
	memcpy(to, buffer.data, made);
	record_buffer_done(&buffer);
	return made;
}

/* ---- answers ---- */

/* "$…" is a topic's id, a word of capitals one of Kafka's errors. */
static bool leaf_holds(const json_t *expected, const json_t *found)
{
	const char *text = json_string_value(expected);
	char id[UUID_TEXT_SIZE + 1];
	struct uuid value;

	if (text && text[0] == '$') {
		value = id_of(text);
		uuid_format(&value, id);
		return json_is_string(found) && strcmp(json_string_value(found), id) == 0;
	}
	if (text && json_is_integer(found))
		return strcmp(kafka_error_name((int)json_integer_value(found)), text) == 0;
	return json_equal(expected, found);
}

/* Does FOUND hold all of EXPECTED that its version has? Arrays are as long as expected, in any
 * order. */
static bool holds(const json_t *expected, const json_t *found)
{
	const char *name;
	json_t *value;

	if (json_is_object(expected)) {
		json_object_foreach((json_t *)(uintptr_t)expected, name, value)
		{
			const json_t *member = json_object_get(found, name);
			if (member && !holds(value, member))
				return false;
		}
		return true;
	}
	if (!json_is_array(expected))
		return leaf_holds(expected, found);
	if (json_array_size(expected) != json_array_size(found))
		return false;
	for (size_t i = 0; i < json_array_size(expected); i++) {
		bool any = false;
		for (size_t j = 0; j < json_array_size(found) && !any; j++)
			any = holds(json_array_get(expected, i), json_array_get(found, j));
		if (!any)
			return false;
	}
	return true;
}

/* Every fact that the row states about the answer. */
static bool answer_holds(const json_t *row, const json_t *answer)
{
	const json_t *expected = json_object_get(row, "expect");
	const char *absent = json_string_value(json_object_get(row, "absent"));
	bool held = !expected || holds(expected, answer);

	if (held && absent) {
		char *text = json_dumps(answer, JSON_COMPACT);
		held = !strstr(text, absent);
		free(text);
	}
	return held;
}

/* ---- the client ---- */

struct client {
	struct shard *shard;
	struct wire wire;
	struct arena arena;
};

/* One request; its answer as JSON, NULL when there was none. A broken connection is opened anew the
 * next time. */
static json_t *ask(
	struct client *client, const struct api_row *api, int version, const json_t *request)
{
	struct address node;
	void *message, *response;
	json_t *answer = NULL;
	int error = 0;

	arena_reset(&client->arena);
	message = schema_new(api->request, &client->arena);
	response = schema_new(api->response, &client->arena);
	struct_fill(api->request, version, request, message, &client->arena);
	if (!client->wire.socket) {
		ensure(address_parse("10.0.0.1", &node));
		node.port = NODE_PORT;
		error = wire_open(&client->wire, client->shard, &node);
	}
	if (!error)
		error = wire_call(&client->wire, &client->arena, (enum api_key)api->key, version,
			message, response, PATIENCE_NS);
	if (!error)
		answer = schema_to_json(api->response, version, response);
	else
		wire_close(&client->wire);
	return answer;
}

static json_t *ask_text(struct client *client, enum api_key key, int version, const char *text)
{
	json_t *request = json_loads(text, 0, NULL);
	json_t *answer = ask(client, api_find(key), version, request);

	json_decref(request);
	return answer;
}

static struct uuid id_in(const json_t *answer, size_t index)
{
	struct uuid id = UUID_ZERO;
	const json_t *topic = json_array_get(json_object_get(answer, "topics"), index);
	const char *text = json_string_value(json_object_get(topic, "topicId"));

	if (text)
		uuid_parse(str_from(text), &id);
	return id;
}

/* What the last row may have changed is as it should be: the topics secret and open are there, new
 * is not, and the group has committed for both. */
static void set_up(struct client *client)
{
	const struct api_row *api = test.api;
	json_t *answer;
	int tries = 0;

	test.api = NULL;
	json_decref(ask_text(
		client, API_DELETE_TOPICS, 5, "{\"topicNames\": [\"new\"], \"timeoutMs\": 10000}"));
	json_decref(ask_text(client, API_CREATE_TOPICS, 5,
		"{\"timeoutMs\": 10000, \"topics\": [{\"name\": \"secret\", \"numPartitions\": 1, "
		"\"replicationFactor\": 1},"
		"{\"name\": \"open\", \"numPartitions\": 1, \"replicationFactor\": 1}]}"));
	for (;;) {
		answer = ask_text(client, API_METADATA, 12,
			"{\"topics\": [{\"name\": \"secret\"}, {\"name\": \"open\"}], "
			"\"allowAutoTopicCreation\": false}");
		test.secret_id = id_in(answer, 0);
		test.open_id = id_in(answer, 1);
		json_decref(answer);
		if (!uuid_is_zero(&test.secret_id) && !uuid_is_zero(&test.open_id))
			break;
		ensure(++tries < 1000);
		fiber_sleep(client->shard, NS_PER_MS);
	}
	for (tries = 0;; tries++) {
		json_t *expected =
			json_loads("[[{\"errorCode\": 0}], [{\"errorCode\": 0}]]", 0, NULL);
		bool done;

		json_decref(ask_text(client, API_FIND_COORDINATOR, 3, "{\"key\": \"team\"}"));
		answer = ask_text(client, API_OFFSET_COMMIT, 8,
			"{\"groupId\": \"team\", \"generationIdOrMemberEpoch\": -1, \"topics\": ["
			"{\"name\": \"secret\", \"partitions\": [{\"partitionIndex\": 0, "
			"\"committedOffset\": 1}]},"
			"{\"name\": \"open\", \"partitions\": [{\"partitionIndex\": 0, "
			"\"committedOffset\": 1}]}]}");
		char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
		/* With members there, who is none of them cannot commit: what was committed stays.
		 */
		done = text &&
		       (strstr(text, "\"errorCode\":0") || strstr(text, "\"errorCode\":25") ||
			       strstr(text, "\"errorCode\":22"));
		free(text);
		json_decref(answer);
		json_decref(expected);
		if (done)
			break;
		ensure(tries < 1000);
		fiber_sleep(client->shard, NS_PER_MS);
	}
	test.api = api;
}

static void row_ask(
	struct client *client, const json_t *row, const struct api_row *api, int version)
{
	const char *what = json_string_value(json_array_get(json_object_get(row, "deny"), 0));
	json_t *deny = json_object_get(row, "deny"), *name, *answer;
	size_t i;

	set_up(client);
	test.denial_count = 0;
	json_array_foreach(deny, i, name) denial_add(json_string_value(name));
	test.api = api;
	test.versions[api->key][version] = 1;
	answer = ask(client, api, version, json_object_get(row, "request"));
	test.checks++;
	if (!answer || !answer_holds(row, answer)) {
		char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
		PROBLEM("%s v%d, denied %s: %s", api->name, version, what,
			text ? text : "no answer");
		free(text);
	}
	json_decref(answer);
	for (i = 0; i < test.denial_count; i++)
		if (!test.denials[i].asked)
			PROBLEM("%s v%d did not ask for %s", api->name, version,
				json_string_value(json_array_get(deny, i)));
	test.denial_count = 0;
	answer = ask(client, api, version, json_object_get(row, "request"));
	if (!answer || answer_holds(row, answer))
		PROBLEM("%s v%d answers the same when nothing is denied: %s", api->name, version,
			what);
	json_decref(answer);
	test.api = NULL;
}

static const struct api_row *api_named(const char *name)
{
	for (int key = 0; key < APIS_MAX; key++) {
		const struct api_row *api = api_find(key);
		if (api && strcmp(api->name, name) == 0)
			return api;
	}
	fprintf(stderr, "no such API: %s\n", name);
	abort();
}

static void client_run(struct shard *shard, void *argument)
{
	struct client client = {.shard = shard};
	json_t *row;
	size_t i;

	arena_init(&client.arena, 16 << 20);
	json_array_foreach(test.rows, i, row)
	{
		const struct api_row *api =
			api_named(json_string_value(json_object_get(row, "api")));
		const struct handler_row *handler = handler_find(api->key);
		const json_t *versions = json_object_get(row, "versions");
		int low = handler->min_version, high = handler->max_version;

		if (versions) {
			low = (int)json_integer_value(json_array_get(versions, 0));
			high = (int)json_integer_value(json_array_get(versions, 1));
		}
		for (int version = low; version <= high; version++)
			row_ask(&client, row, api, version);
	}
	wire_close(&client.wire);
	arena_done(&client.arena);
	test.is_done = true;
	machine_exit(shard, 0);
}

static void client_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, client_run, argument) == 0);
}

/* ---- the table is complete ---- */

static void table_check(void)
{
	for (unsigned i = 0; i < handler_row_count; i++) {
		const struct handler_row *handler = &handler_rows[i];
		const char *name = api_find(handler->key)->name;

		/* Says what the broker speaks, to whoever asks. */
		if (handler->key == API_API_VERSIONS)
			continue;
		for (int version = handler->min_version; version <= handler->max_version; version++)
			if (!test.versions[handler->key][version])
				PROBLEM("%s v%d has no row", name, version);
		for (int resource = 0; resource < RESOURCES; resource++)
			for (int operation = 0; operation < OPERATIONS; operation++)
				if (test.asked[handler->key][resource][operation] &&
					!test.denied[handler->key][resource][operation])
					PROBLEM("%s asks for %s %s, which no row denies", name,
						resource_names[resource],
						operation_names[operation]);
	}
}

static bool client_has_ended(void *argument)
{
	return test.is_done;
}

Test(denied, every_handler_and_every_resource)
{
	static const struct node_options node_options = {
		.authorizer = &authorizer, .is_verbose = false};
	const struct program node = {node_start, node_stop, (void *)(uintptr_t)&node_options};
	const struct program client = {.start = client_start};
	const struct world_options options = {
		.seed = 1, .network_delay_max_ns = 1000, .disk_delay_max_ns = 1000};
	struct world *world = world_new(&options);
	struct host *node_host = world_host_new(world, "node", "10.0.0.1");
	json_error_t error;

	test.report = open_memstream(&test.problems, &test.problems_size);
	test.rows = json_load_file(DENIED_TABLE, 0, &error);
	cr_assert(test.rows, "%s:%d: %s", DENIED_TABLE, error.line, error.text);
	test.plain_size = batch_make(test.plain, sizeof(test.plain), false);
	test.transactional_size = batch_make(test.transactional, sizeof(test.transactional), true);
	host_start(node_host, 2, &node);
	/* Until it listens. */
	world_run_until(world, NULL, NULL, NS_PER_S);
	host_start(world_host_new(world, "client", CLIENT_ADDRESS), 1, &client);
	world_run_until(world, client_has_ended, NULL, 100000 * NS_PER_S);
	cr_expect(test.is_done, "the client did not end");
	world_free(world);
	table_check();
	fclose(test.report);
	cr_expect(test.problems_size == 0, "%u answers, of which these are wrong:\n%s", test.checks,
		test.problems);
	fprintf(stderr, "%u denials checked\n", test.checks);
	free(test.problems);
	json_decref(test.rows);
}
