#include "broker/api/fetch.h"

#include <errno.h>
#include <stdlib.h>

#include "runtime/buffer.h"
#include "runtime/hash.h"

enum {
	SESSION_NONE = 0,
	EPOCH_INITIAL = 0,
	EPOCH_FINAL = -1,
	SESSION_EVICTION_MS = 120000, /* unused for so long: stale. In use for so long: displaced by
					 one that is worth more */
	SESSIONS_SHARE = 4,	      /* of the memory limit, all shards together */
	ALLOCATION_BYTES = 16,	      /* what malloc keeps with each */
	MAP_BUCKETS_MIN = 8,	      /* of a map with more than one entry */
};

struct fetch_session_partition {
	struct map_node node; /* by key bytes */
	struct list_node order;
	struct fetch_key key; /* its name is behind the struct */
	int32_t current_leader_epoch;
	int64_t offset;
	int32_t last_fetched_epoch;
	int64_t log_start;
	int32_t max_bytes;
	/* What the client was told last. */
	int64_t high_watermark, local_log_start;
	uint8_t key_bytes[]; /* id or name, then the index */
};

struct fetch_session {
	struct map_node node;  /* by id */
	struct list_node used; /* least recently used first */
	int32_t id, epoch;
	uint64_t serial; /* no other session of the cache ever has it, as one may an id */
	bool uses_topic_ids, is_follower;
	int64_t created_ms, used_ms;
	struct map partitions;
	struct list order;
	size_t partition_bytes; /* of all of them */
};

struct fetch_session_cache {
	struct map sessions;
	struct list used;
	struct shard *shard;
	unsigned shard_index, shard_count;
	uint32_t slots;
	uint64_t seed, drawn;
	struct buffer_budget *budget;
	size_t bytes, bytes_max; /* of all sessions */
	size_t charged_bytes;	 /* to the budget: BYTES between any two calls from outside */
};

struct fetch_session_cache *fetch_session_cache_new(struct shard *shard, unsigned shard_index,
	unsigned shard_count, struct buffer_budget *budget, size_t limit_bytes, uint32_t slots,
	uint64_t seed)
{
	struct fetch_session_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	map_init(&cache->sessions, seed);
	list_init(&cache->used);
	cache->shard = shard;
	cache->shard_index = shard_index;
	cache->shard_count = shard_count;
	cache->slots = slots;
	cache->seed = seed;
	cache->budget = budget;
	cache->bytes_max = limit_bytes / SESSIONS_SHARE / shard_count;
	return cache;
}

/* ---- what sessions hold ---- */

/* Of a partition whose key has KEY_SIZE bytes. */
static size_t partition_bytes(uint32_t key_size)
{
	return sizeof(struct fetch_session_partition) + key_size + ALLOCATION_BYTES;
}

static size_t session_bytes(const struct fetch_session *session)
{
	return sizeof(*session) + ALLOCATION_BYTES + session->partition_bytes +
	       session->partitions.bucket_count * sizeof(struct map_node *);
}

/* Tells the budget what has changed since it was told last. */
static void cache_settle(struct fetch_session_cache *cache)
{
	if (cache->bytes > cache->charged_bytes)
		buffer_budget_charge(cache->budget, cache->bytes - cache->charged_bytes);
	else if (cache->bytes < cache->charged_bytes)
		buffer_budget_discharge(
			cache->shard, cache->budget, cache->charged_bytes - cache->bytes);
	cache->charged_bytes = cache->bytes;
}

static void session_partition_free(struct fetch_session_cache *cache, struct fetch_session *session,
	struct fetch_session_partition *partition)
{
	size_t bytes = partition_bytes(partition->node.key_size);

	map_remove(&session->partitions, &partition->node);
	list_remove(&partition->order);
	session->partition_bytes -= bytes;
	cache->bytes -= bytes;
	free(partition);
}

static void session_free(struct fetch_session_cache *cache, struct fetch_session *session)
{
	list_for_each_safe (node, &session->order)
		session_partition_free(
			cache, session, container_of(node, struct fetch_session_partition, order));
	cache->bytes -= session_bytes(session);
	map_done(&session->partitions);
	map_remove(&cache->sessions, &session->node);
	list_remove(&session->used);
	free(session);
}

void fetch_session_cache_free(struct fetch_session_cache *cache)
{
	if (!cache)
		return;
	list_for_each_safe (node, &cache->used)
		session_free(cache, container_of(node, struct fetch_session, used));
	ensure(cache->bytes == 0);
	cache_settle(cache);
	map_done(&cache->sessions);
	free(cache);
}

uint32_t fetch_session_cache_count(const struct fetch_session_cache *cache)
{
	return cache->sessions.count;
}

size_t fetch_session_cache_bytes(const struct fetch_session_cache *cache)
{
	return cache->bytes;
}

unsigned fetch_session_shard(const struct request *request)
{
	const struct fetch_request *message = request->message;

	if (request->version < 7 || message->session_id <= SESSION_NONE)
		return request->home->index;
	return (unsigned)message->session_id % request->home->broker->shard_count;
}

/* ---- keys ---- */

enum { KEY_SIZE_MAX = 0x7fff + 4 };

static uint32_t key_size(const struct fetch_key *key, bool by_id)
{
	return (by_id ? 16u : (uint32_t)max_of(key->topic.size, 0)) + 4;
}

static void key_write(const struct fetch_key *key, bool by_id, uint8_t *to)
{
	uint32_t size = key_size(key, by_id) - 4;

	if (by_id)
		memcpy(to, key->topic_id.octets, 16);
	else if (size > 0)
		memcpy(to, key->topic.data, size);
	store_be32(to + size, (uint32_t)key->index);
}

static struct fetch_session_partition *session_find(
	struct fetch_session *session, const struct fetch_key *key)
{
	uint8_t bytes[KEY_SIZE_MAX];

	key_write(key, session->uses_topic_ids, bytes);
	return map_find_entry(&session->partitions, bytes, key_size(key, session->uses_topic_ids),
		struct fetch_session_partition, node);
}

static void session_partition_update(
	struct fetch_session_partition *partition, const struct fetch_want *want)
{
	partition->current_leader_epoch = want->current_leader_epoch;
	partition->offset = want->offset;
	partition->last_fetched_epoch = want->last_fetched_epoch;
	partition->log_start = want->log_start;
	partition->max_bytes = want->max_bytes;
}

static struct fetch_session_partition *session_add(struct fetch_session_cache *cache,
	struct fetch_session *session, const struct fetch_want *want)
{
	uint32_t size = key_size(&want->key, session->uses_topic_ids);
	size_t bytes_before = session_bytes(session);
	struct fetch_session_partition *partition = calloc(1, sizeof(*partition) + size);

	if (!partition)
		return NULL;
	key_write(&want->key, session->uses_topic_ids, partition->key_bytes);
	partition->key = want->key;
	/* The name is kept only where it is the key; with ids it is looked up in each request's
	 * image. */
	partition->key.topic =
		session->uses_topic_ids
			? STR_NULL
			: (struct str){(const char *)partition->key_bytes, (int32_t)size - 4};
	partition->high_watermark = -1;
	partition->local_log_start = -1;
	session_partition_update(partition, want);
	map_insert(&session->partitions, &partition->node, partition->key_bytes, size);
	list_push_back(&session->order, &partition->order);
	session->partition_bytes += partition_bytes(size);
	cache->bytes += session_bytes(session) - bytes_before; /* the map may have grown */
	return partition;
}

/* ---- the cache ---- */

static struct fetch_session *cache_find(struct fetch_session_cache *cache, int32_t id)
{
	return map_find_entry(&cache->sessions, &id, sizeof(id), struct fetch_session, node);
}

/* Is A worth more than B: followers count more, then more partitions do, as in Kafka. */
static bool session_is_worth_more(
	bool a_follower, uint32_t a_size, bool b_follower, uint32_t b_size)
{
	if (a_follower != b_follower)
		return a_follower;
	return a_size > b_size;
}

/* Who wants room: a session to be made, or one that grows. */
struct session_claim {
	const struct fetch_session *session; /* NULL: to be made */
	bool is_follower;
	uint32_t size; /* partitions */
	size_t bytes;  /* more than it has */
};

static bool session_is_stale(const struct fetch_session *session, int64_t now_ms)
{
	return now_ms - session->used_ms > SESSION_EVICTION_MS;
}

/* Sessions of consumers can be displaced by followers at once; by others when they are no longer
 * young. */
static bool session_gives_way(
	const struct fetch_session *session, const struct session_claim *claim, int64_t now_ms)
{
	bool old = session->used_ms - session->created_ms > SESSION_EVICTION_MS;

	if (session == claim->session)
		return false;
	if (session_is_stale(session, now_ms))
		return true;
	return (old || (claim->is_follower && !session->is_follower)) &&
	       session_is_worth_more(claim->is_follower, claim->size, session->is_follower,
		       session->partitions.count);
}

static bool cache_has_room(
	const struct fetch_session_cache *cache, const struct session_claim *claim)
{
	return (claim->session || cache->sessions.count < cache->slots) &&
	       claim->bytes <= cache->bytes_max && cache->bytes <= cache->bytes_max - claim->bytes;
}

/* Who goes first: what is stale, the longest unused before others, then what is worth least. */
static struct fetch_session *cache_find_victim(
	struct fetch_session_cache *cache, const struct session_claim *claim, int64_t now_ms)
{
	struct fetch_session *worst = NULL;

	list_for_each (node, &cache->used) {
		struct fetch_session *session = container_of(node, struct fetch_session, used);
		if (!session_gives_way(session, claim, now_ms))
			continue;
		if (session_is_stale(session, now_ms))
			return session;
		if (!worst || session_is_worth_more(worst->is_follower, worst->partitions.count,
				      session->is_follower, session->partitions.count))
			worst = session;
	}
	return worst;
}

/* Makes room for CLAIM. False when there would be none with all gone that give way to it: nobody
 * goes in vain, and where all are worth as much new clients would only take the places of those
 * that read for long, and these theirs. */
static bool cache_make_room(
	struct fetch_session_cache *cache, const struct session_claim *claim, int64_t now_ms)
{
	size_t bytes = 0;
	uint32_t count = 0;

	if (cache_has_room(cache, claim))
		return true;
	list_for_each (node, &cache->used) {
		struct fetch_session *session = container_of(node, struct fetch_session, used);
		if (session_gives_way(session, claim, now_ms)) {
			bytes += session_bytes(session);
			count++;
		}
	}
	if (claim->bytes > cache->bytes_max ||
		cache->bytes - bytes > cache->bytes_max - claim->bytes ||
		(!claim->session && cache->sessions.count - count >= cache->slots))
		return false;
	while (!cache_has_room(cache, claim)) {
		struct fetch_session *victim = cache_find_victim(cache, claim, now_ms);
		ensure(victim);
		session_free(cache, victim);
	}
	return true;
}

/* Unpredictable, positive, and says its shard. */
static int32_t cache_draw_id(struct fetch_session_cache *cache)
{
	for (;;) {
		uint32_t drawn = (uint32_t)hash_u64(cache->seed ^ ++cache->drawn) & INT32_MAX;
		drawn -= drawn % cache->shard_count;
		if (drawn > INT32_MAX - cache->shard_count)
			continue;
		int32_t id = (int32_t)(drawn + cache->shard_index);
		if (id != SESSION_NONE && !cache_find(cache, id))
			return id;
	}
}

static void session_touch(
	struct fetch_session_cache *cache, struct fetch_session *session, int64_t now_ms)
{
	session->used_ms = now_ms;
	list_remove(&session->used);
	list_push_back(&cache->used, &session->used);
}

static int32_t epoch_next(int32_t epoch)
{
	if (epoch < 0)
		return EPOCH_FINAL;
	return epoch == INT32_MAX ? 1 : epoch + 1;
}

/* ---- what a request reads ---- */

/* The request's partitions in order, each once: the last mention wins, at the place of the first.
 */
static int plan_read_request(struct fetch_plan *plan, struct request *request)
{
	const struct fetch_request *message = request->message;
	uint32_t count = 0, buckets = 8;

	for (int32_t i = 0; i < message->topics_count; i++)
		count += (uint32_t)max_of(message->topics[i].partitions_count, 0);
	while (buckets < count)
		buckets *= 2;
	plan->wants = request_new_array(request, struct fetch_want, count);
	struct fetch_want **set = request_new_array(request, struct fetch_want *, buckets);
	if (!plan->wants || !set)
		return -ENOMEM;
	uint64_t seed = request_seed(request);
	for (int32_t i = 0; i < message->topics_count; i++) {
		const struct fetch_request_fetch_topic *topic = &message->topics[i];
		uint64_t topic_hash = plan->uses_topic_ids
					      ? hash_bytes(&topic->topic_id, 16, seed)
					      : hash_bytes(topic->topic.data,
							(size_t)max_of(topic->topic.size, 0), seed);
		for (int32_t j = 0; j < topic->partitions_count; j++) {
			const struct fetch_request_fetch_partition *ask = &topic->partitions[j];
			struct fetch_want **bucket =
				&set[hash_u64(topic_hash + (uint32_t)ask->partition) &
					(buckets - 1)];
			struct fetch_want *want = *bucket;
			while (want &&
				!(want->key.index == ask->partition &&
					(plan->uses_topic_ids ? uuid_equal(&want->key.topic_id,
									&topic->topic_id)
							      : str_equal(want->key.topic,
									topic->topic))))
				want = want->next_same_hash;
			if (!want) {
				want = &plan->wants[plan->want_count++];
				want->key = (struct fetch_key){.topic_id = topic->topic_id,
					.topic = topic->topic,
					.index = ask->partition};
				want->next_same_hash = *bucket;
				*bucket = want;
			}
			want->current_leader_epoch = ask->current_leader_epoch;
			want->offset = ask->fetch_offset;
			want->last_fetched_epoch = ask->last_fetched_epoch;
			want->log_start = ask->log_start_offset;
			want->max_bytes = ask->partition_max_bytes;
		}
	}
	return 0;
}

/* One more partition for a session: -ENOSPC when there is no room for it. */
static int session_grow(struct fetch_session_cache *cache, struct fetch_session *session,
	const struct fetch_want *want, int64_t now_ms)
{
	uint32_t count = session->partitions.count;
	struct session_claim claim = {.session = session,
		.is_follower = session->is_follower,
		.size = count + 1,
		.bytes = partition_bytes(key_size(&want->key, session->uses_topic_ids))};

	if (count >= session->partitions.bucket_count)
		claim.bytes += sizeof(struct map_node *) *
			       max_of(session->partitions.bucket_count, (uint32_t)MAP_BUCKETS_MIN);
	if (!cache_make_room(cache, &claim, now_ms))
		return -ENOSPC;
	return session_add(cache, session, want) ? 0 : -ENOMEM;
}

/* The session takes over what the request adds, changes and forgets. */
static int session_apply(struct fetch_session_cache *cache, struct fetch_session *session,
	const struct fetch_plan *plan, const struct request *request, int64_t now_ms)
{
	const struct fetch_request *message = request->message;
	int error;

	for (uint32_t i = 0; i < plan->want_count; i++) {
		struct fetch_session_partition *partition =
			session_find(session, &plan->wants[i].key);
		if (partition) {
			session_partition_update(partition, &plan->wants[i]);
			continue;
		}
		error = session_grow(cache, session, &plan->wants[i], now_ms);
		if (error < 0)
			return error;
	}
	for (int32_t i = 0; i < message->forgotten_topics_data_count; i++) {
		const struct fetch_request_forgotten_topic *topic =
			&message->forgotten_topics_data[i];
		for (int32_t j = 0; j < topic->partitions_count; j++) {
			struct fetch_key key = {.topic_id = topic->topic_id,
				.topic = topic->topic,
				.index = topic->partitions[j]};
			struct fetch_session_partition *partition = session_find(session, &key);
			if (partition)
				session_partition_free(cache, session, partition);
		}
	}
	return 0;
}

/* All partitions of the session, in its order; copied, since the session may change before the
 * answer. */
static int plan_read_session(
	struct fetch_plan *plan, struct request *request, struct fetch_session *session)
{
	plan->wants = request_new_array(request, struct fetch_want, session->partitions.count);
	if (!plan->wants)
		return -ENOMEM;
	plan->want_count = 0;
	list_for_each (node, &session->order) {
		struct fetch_session_partition *partition =
			container_of(node, struct fetch_session_partition, order);
		struct fetch_want *want = &plan->wants[plan->want_count++];
		want->key = partition->key;
		if (!session->uses_topic_ids) {
			want->key.topic = arena_str(&request->arena, partition->key.topic);
			if (str_is_null(want->key.topic))
				return -ENOMEM;
		}
		want->current_leader_epoch = partition->current_leader_epoch;
		want->offset = partition->offset;
		want->last_fetched_epoch = partition->last_fetched_epoch;
		want->log_start = partition->log_start;
		want->max_bytes = partition->max_bytes;
		want->cached = partition;
	}
	plan->session_serial = session->serial;
	return 0;
}

static int plan_make(struct fetch_session_cache *cache, struct request *request, int64_t now_ms,
	struct fetch_plan *plan)
{
	const struct fetch_request *message = request->message;
	struct fetch_session *session = NULL;
	int error;

	*plan = (struct fetch_plan){.uses_topic_ids = request->version >= 13};
	plan->is_follower = (request->version >= 15 ? message->replica_state.replica_id
						    : message->replica_id) >= 0;
	plan->session_id = request->version >= 7 ? message->session_id : SESSION_NONE;
	plan->session_epoch = request->version >= 7 ? message->session_epoch : EPOCH_FINAL;
	error = plan_read_request(plan, request);
	if (error < 0)
		return error;
	if (plan->session_id != SESSION_NONE)
		session = cache_find(cache, plan->session_id);

	if (plan->session_epoch == EPOCH_INITIAL || plan->session_epoch == EPOCH_FINAL) {
		/* A full fetch ends the session that it names. */
		if (session)
			session_free(cache, session);
		plan->kind = plan->session_epoch == EPOCH_FINAL ? FETCH_SESSIONLESS : FETCH_FULL;
		plan->session_id = SESSION_NONE;
		return 0;
	}
	plan->kind = FETCH_ERROR;
	if (!session)
		plan->error = KAFKA_FETCH_SESSION_ID_NOT_FOUND;
	else if (session->epoch != plan->session_epoch)
		plan->error = KAFKA_INVALID_FETCH_SESSION_EPOCH;
	else if (session->uses_topic_ids != plan->uses_topic_ids)
		plan->error = KAFKA_FETCH_SESSION_TOPIC_ID_ERROR;
	if (plan->error) {
		plan->session_id = SESSION_NONE;
		plan->want_count = 0;
		return 0;
	}
	error = session_apply(cache, session, plan, request, now_ms);
	if (error < 0)
		session_free(cache, session);
	if (error == -ENOSPC) {
		/* As if it had been evicted: the client begins anew with a full fetch, and goes on
		 * with full fetches when there is no room for what it wants now. */
		plan->error = KAFKA_FETCH_SESSION_ID_NOT_FOUND;
		plan->session_id = SESSION_NONE;
		plan->want_count = 0;
		return 0;
	}
	if (error < 0)
		return error;
	if (session->partitions.count == 0) {
		session_free(cache, session);
		plan->kind = FETCH_SESSIONLESS;
		plan->session_id = SESSION_NONE;
		return 0;
	}
	session_touch(cache, session, now_ms);
	session->epoch = epoch_next(session->epoch);
	plan->kind = FETCH_INCREMENTAL;
	return plan_read_session(plan, request, session);
}

int fetch_plan_make(struct fetch_session_cache *cache, struct request *request, int64_t now_ms,
	struct fetch_plan *plan)
{
	int error = plan_make(cache, request, now_ms, plan);

	cache_settle(cache);
	return error;
}

/* ---- the answer ---- */

/* What a session of these partitions will hold. */
static size_t plan_session_bytes(const struct fetch_plan *plan)
{
	size_t bytes = sizeof(struct fetch_session) + ALLOCATION_BYTES;
	uint32_t buckets = MAP_BUCKETS_MIN;

	for (uint32_t i = 0; i < plan->want_count; i++)
		bytes += partition_bytes(key_size(&plan->wants[i].key, plan->uses_topic_ids));
	while (buckets < plan->want_count)
		buckets *= 2;
	return bytes + buckets * sizeof(struct map_node *);
}

static void session_create(struct fetch_session_cache *cache, struct fetch_plan *plan,
	int64_t now_ms, const struct fetch_response_partition_data *data)
{
	struct session_claim claim = {.is_follower = plan->is_follower,
		.size = plan->want_count,
		.bytes = plan_session_bytes(plan)};

	if (!cache_make_room(cache, &claim, now_ms))
		return;
	struct fetch_session *session = calloc(1, sizeof(*session));
	if (!session)
		return; /* a client does without */
	session->id = cache_draw_id(cache);
	session->serial = cache->drawn;
	session->epoch = epoch_next(EPOCH_INITIAL);
	session->uses_topic_ids = plan->uses_topic_ids;
	session->is_follower = plan->is_follower;
	session->created_ms = now_ms;
	map_init(&session->partitions, cache->seed);
	list_init(&session->order);
	map_insert(&cache->sessions, &session->node, &session->id, sizeof(session->id));
	session_touch(cache, session, now_ms);
	cache->bytes += session_bytes(session);
	for (uint32_t i = 0; i < plan->want_count; i++) {
		struct fetch_session_partition *partition =
			session_add(cache, session, &plan->wants[i]);
		if (!partition) {
			session_free(cache, session);
			cache_settle(cache);
			return;
		}
		partition->high_watermark = data[i].high_watermark;
		partition->local_log_start = data[i].log_start_offset;
	}
	cache_settle(cache);
	plan->session_id = session->id;
}

/* Must an incremental answer name this partition? Remembers what it says. */
static bool session_partition_answer(struct fetch_session *session,
	struct fetch_session_partition *partition, const struct fetch_response_partition_data *data)
{
	bool has_records = data->records.bytes.size > 0;
	bool respond = has_records || data->error_code || data->diverging_epoch.epoch >= 0 ||
		       data->preferred_read_replica >= 0;

	if (partition->high_watermark != data->high_watermark ||
		partition->local_log_start != data->log_start_offset)
		respond = true;
	partition->high_watermark = data->error_code ? -1 : data->high_watermark;
	partition->local_log_start = data->log_start_offset;
	if (has_records) {
		list_remove(&partition->order);
		list_push_back(&session->order, &partition->order);
	}
	return respond;
}

/* Wants in the order of the answer: what partitions said, then unknown topics, then what else was
 * refused at once. */
static int plan_order(const struct fetch_plan *plan, struct request *request, uint32_t **ret_order)
{
	uint32_t *order = request_new_array(request, uint32_t, plan->want_count);
	uint32_t count = 0;

	if (!order)
		return -ENOMEM;
	for (int group = 0; group < 3; group++) {
		for (uint32_t i = 0; i < plan->want_count; i++) {
			int16_t refused = plan->wants[i].refused;
			if ((refused == 0 ? 0 : refused == KAFKA_UNKNOWN_TOPIC_ID ? 1 : 2) == group)
				order[count++] = i;
		}
	}
	*ret_order = order;
	return 0;
}

int fetch_plan_settle(struct fetch_session_cache *cache, struct fetch_plan *plan,
	struct request *request, int64_t now_ms, struct fetch_response_partition_data *data)
{
	struct fetch_response *response = request->response;
	struct fetch_session *session = NULL;
	uint32_t *order;
	int error = plan_order(plan, request, &order);

	if (error < 0)
		return error;
	if (plan->kind == FETCH_INCREMENTAL) {
		session = cache_find(cache, plan->session_id);
		if (!session || session->serial != plan->session_serial ||
			session->epoch != epoch_next(plan->session_epoch)) {
			/* Another fetch has used it meanwhile. */
			response->error_code = KAFKA_INVALID_FETCH_SESSION_EPOCH;
			response->session_id = plan->session_id;
			return 0;
		}
	} else if (plan->kind == FETCH_FULL) {
		session_create(cache, plan, now_ms, data);
	}
	response->error_code = plan->error;
	response->session_id = plan->session_id;

	plan->told = order;
	for (uint32_t i = 0; i < plan->want_count; i++) {
		const struct fetch_want *want = &plan->wants[order[i]];
		/* In this epoch the session's partitions are still those that the plan saw. */
		if (session && !session_partition_answer(session, want->cached, &data[order[i]]))
			continue;
		order[plan->told_count++] = order[i];
	}
	return 0;
}

int fetch_plan_rows(struct fetch_plan *plan, struct request *request,
	const struct fetch_response_partition_data *data)
{
	struct fetch_response *response = request->response;
	const uint32_t *order = plan->told;
	uint32_t included = plan->told_count, topics = 0;

	/* Consecutive partitions of a topic share its entry. */
	for (uint32_t i = 0; i < included; i++) {
		const struct fetch_key *key = &plan->wants[order[i]].key;
		if (i == 0 ||
			!uuid_equal(&key->topic_id, &plan->wants[order[i - 1]].key.topic_id) ||
			!str_equal(key->topic, plan->wants[order[i - 1]].key.topic))
			topics++;
	}
	response->responses = schema_new_array(
		&fetch_response_fetchable_topic_response_schema, &request->arena, (int32_t)topics);
	struct fetch_response_partition_data *rows =
		request_alloc(request, sizeof(*rows) * max_of(included, 1u));
	if (!response->responses || !rows)
		return -ENOMEM;
	struct fetch_response_fetchable_topic_response *out = NULL;
	for (uint32_t i = 0; i < included; i++) {
		const struct fetch_key *key = &plan->wants[order[i]].key;
		if (!out || !uuid_equal(&key->topic_id, &out->topic_id) ||
			!str_equal(key->topic, out->topic)) {
			out = &response->responses[response->responses_count++];
			out->topic = key->topic;
			out->topic_id = key->topic_id;
			out->partitions = &rows[i];
		}
		rows[i] = data[order[i]];
		out->partitions_count++;
	}
	return 0;
}
