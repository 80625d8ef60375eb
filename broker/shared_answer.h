/*
 * Answers that many clients get alike: their encoded bodies, kept by a shard until its next image.
 * ApiVersions, and Metadata of all topics, depend on nothing but the version, the listener and the
 * image; making and encoding them anew for each client cost most of their time. Of one shard alone,
 * and bounded: the one that was used longest ago goes first.
 */
#pragma once

#include "protocol/output.h"
#include "runtime/list.h"

/* All that an answer's body follows from, beside the shard's image. */
struct shared_answer_key {
	int16_t api_key, version;
	int32_t listener;
	uint32_t options; /* the API's own */
};

struct shared_answer {
	struct list_node node; /* in the cache; unlinked once it was dropped */
	uint32_t references;   /* of the cache and of requests */
	struct shared_answer_key key;
	size_t size_bytes;
	uint8_t body[];
};

struct shared_answers {
	struct list used; /* the one used last is at the end */
	size_t size_bytes;
};

enum { SHARED_ANSWERS_BYTES_MAX = 1024 * 1024 }; /* on one shard; a larger body isn't kept */

void shared_answers_init(struct shared_answers *answers);
void shared_answers_done(struct shared_answers *answers);
/* Another image: what was kept is history. Requests that still send it keep it alive. */
void shared_answers_clear(struct shared_answers *answers);
/* With a reference for the caller; NULL when there is none. */
struct shared_answer *shared_answer_find(
	struct shared_answers *answers, const struct shared_answer_key *key);
/* Keeps a copy of BODY, if it is not too large and there is memory. */
void shared_answer_keep(
	struct shared_answers *answers, const struct shared_answer_key *key, struct bytes body);
/* NULL is allowed. */
void shared_answer_unref(struct shared_answer *answer);
