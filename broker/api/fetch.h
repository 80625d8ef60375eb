/*
 * What one fetch reads, and the sessions that remember it between requests (KIP-227). A session
 * lives on the shard that its id names; a fetch that uses it runs there.
 *
 * Invariants of a session:
 *  1. Its partitions are in the order of the next fetch; one that gave data goes to the end, so
 *     that none starves behind another.
 *  2. Its epoch goes up by one with each fetch that it accepts; an answer is made only when no
 *     other fetch has moved it meanwhile.
 *  3. The cache never holds more sessions than max.incremental.fetch.session.cache.slots, nor
 *     more bytes than a quarter of the memory limit: a new one takes the place of those that are
 *     stale, or worth less (smaller, and no follower's), or isn't made, and its client goes on
 *     with full fetches. One that wants to grow does the same, or ends: its client is told that
 *     it is not found, as of one that was evicted, and begins anew with a full fetch.
 *  4. What sessions hold is charged to the budget of requests and buffers, as long as they hold
 *     it.
 */
#pragma once

#include "broker/api/api.h"
#include "runtime/map.h"

struct fetch_part;
struct fetch_session;

/* Names a partition inside a plan or a session: the topic's id where the request gives ids, else
 * its name. */
struct fetch_key {
	struct uuid topic_id;
	struct str topic;
	int32_t index;
};

/* One partition of a fetch. */
struct fetch_want {
	struct list_node order;
	struct fetch_key key;
	int32_t current_leader_epoch;
	int64_t offset;
	int32_t last_fetched_epoch;
	int64_t log_start;
	int32_t max_bytes;
	struct fetch_want *next_same_hash; /* private to the plan's set */

	int16_t refused;	 /* Kafka's error that was known without asking the partition; 0 */
	bool is_stranger;	 /* a follower asks that is no replica */
	const struct image_topic *topic; /* in the request's image; NULL when refused */
	struct fetch_part *part; /* NULL when refused */
	struct fetch_session_partition *cached; /* of an incremental fetch; gone when the session has moved on */
};

enum fetch_kind {
	FETCH_SESSIONLESS,
	FETCH_FULL,	   /* makes a session when there is room */
	FETCH_INCREMENTAL, /* answers what changed */
	FETCH_ERROR,	   /* the session cannot be used */
};

struct fetch_plan {
	enum fetch_kind kind;
	int16_t error; /* of the whole */
	int32_t session_id, session_epoch;
	uint64_t session_serial; /* of an incremental fetch */
	struct fetch_want *wants;
	uint32_t want_count;
	bool uses_topic_ids, is_follower;
	uint32_t *
		told; /* indexes of the wants that the answer names, in its order; of fetch_plan_settle */
	uint32_t told_count;
};

/* Of one of SHARD_COUNT shards, whose own part of all slots are SLOTS, charged to BUDGET: all shards
 * together take a share of the memory limit, LIMIT_BYTES, at most. NULL without memory. */
struct fetch_session_cache *fetch_session_cache_new(struct shard *shard, unsigned shard_index,
	unsigned shard_count, struct buffer_budget *budget, size_t limit_bytes, uint32_t slots,
	uint64_t seed);
void fetch_session_cache_free(struct fetch_session_cache *cache);
uint32_t fetch_session_cache_count(const struct fetch_session_cache *cache);
/* Of all its sessions. */
size_t fetch_session_cache_bytes(const struct fetch_session_cache *cache);

/* The shard on which REQUEST must run: its session's, or its own. */
unsigned fetch_session_shard(const struct request *request);

/* What REQUEST reads; sessions are looked up and updated. -ENOMEM when the arena is exhausted. */
int fetch_plan_make(struct fetch_session_cache *cache, struct request *request, int64_t now_ms,
	struct fetch_plan *plan);

/* What the answers mean for sessions and for which of them are told: DATA[i] belongs to
 * plan->wants[i]. Makes the session of a full fetch; an incremental one keeps what has not changed
 * out. -ENOMEM. */
int fetch_plan_settle(struct fetch_session_cache *cache, struct fetch_plan *plan,
	struct request *request, int64_t now_ms, struct fetch_response_partition_data *data);
/* Afterwards, when it likes: those that are told become the response. -ENOMEM. */
int fetch_plan_rows(struct fetch_plan *plan, struct request *request,
	const struct fetch_response_partition_data *data);
