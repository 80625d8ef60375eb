#include "broker/shared_answer.h"

#include <stdlib.h>

void shared_answers_init(struct shared_answers *answers)
{
	list_init(&answers->used);
	answers->size_bytes = 0;
}

void shared_answers_done(struct shared_answers *answers)
{
	shared_answers_clear(answers);
}

static void answer_drop(struct shared_answers *answers, struct shared_answer *answer)
{
	list_remove(&answer->node);
	answers->size_bytes -= answer->size_bytes;
	shared_answer_unref(answer);
}

void shared_answers_clear(struct shared_answers *answers)
{
	list_for_each_safe (node, &answers->used)
		answer_drop(answers, container_of(node, struct shared_answer, node));
	ensure(answers->size_bytes == 0);
}

static bool key_equal(const struct shared_answer_key *a, const struct shared_answer_key *b)
{
	return a->api_key == b->api_key && a->version == b->version && a->listener == b->listener &&
	       a->options == b->options;
}

struct shared_answer *shared_answer_find(
	struct shared_answers *answers, const struct shared_answer_key *key)
{
	list_for_each (node, &answers->used) {
		struct shared_answer *answer = container_of(node, struct shared_answer, node);
		if (!key_equal(&answer->key, key))
			continue;
		list_remove(&answer->node);
		list_push_back(&answers->used, &answer->node);
		answer->references++;
		return answer;
	}
	return NULL;
}

void shared_answer_keep(
	struct shared_answers *answers, const struct shared_answer_key *key, struct bytes body)
{
	size_t size = (size_t)body.size;

	if (size > SHARED_ANSWERS_BYTES_MAX)
		return;
	struct shared_answer *answer = malloc(sizeof(*answer) + size);
	if (!answer)
		return;
	*answer = (struct shared_answer){.references = 1, .key = *key, .size_bytes = size};
	memcpy(answer->body, body.data, size);
	/* Requests that ran side by side may both have made it. */
	struct shared_answer *same = shared_answer_find(answers, key);
	if (same) {
		answer_drop(answers, same);
		shared_answer_unref(same);
	}
	while (answers->size_bytes + size > SHARED_ANSWERS_BYTES_MAX)
		answer_drop(answers,
			container_of(list_first(&answers->used), struct shared_answer, node));
	list_push_back(&answers->used, &answer->node);
	answers->size_bytes += size;
}

void shared_answer_unref(struct shared_answer *answer)
{
	if (!answer)
		return;
	ensure(answer->references > 0);
	if (--answer->references == 0)
		free(answer);
}
