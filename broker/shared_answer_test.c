#include "broker/shared_answer.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct bytes bytes_from(const char *text)
{
	return (struct bytes){.data = (const uint8_t *)text, .size = (int32_t)strlen(text)};
}

/* Each part of the key counts, and what is found is what was kept. */
Test(shared_answer, is_found_under_the_key_it_was_kept_for)
{
	struct shared_answers answers;
	struct shared_answer_key key = {.api_key = 18, .version = 3, .listener = 1, .options = 4};
	struct shared_answer_key others[] = {key, key, key, key};

	shared_answers_init(&answers);
	shared_answer_keep(&answers, &key, bytes_from("body"));
	others[0].api_key = 3;
	others[1].version = 4;
	others[2].listener = 0;
	others[3].options = 5;
	for (size_t i = 0; i < 4; i++)
		cr_assert_null(shared_answer_find(&answers, &others[i]), "key %zu", i);
	struct shared_answer *found = shared_answer_find(&answers, &key);
	cr_assert_not_null(found);
	cr_assert_eq(found->size_bytes, 4);
	cr_assert_eq(memcmp(found->body, "body", 4), 0);
	shared_answer_unref(found);
	shared_answers_done(&answers);
}

/* A request that is still being sent when the next image arrives: under the address sanitizer, the
 * body must neither be gone nor stay behind. */
Test(shared_answer, lives_on_in_a_request_when_it_is_dropped)
{
	struct shared_answers answers;
	struct shared_answer_key key = {.api_key = 18};

	shared_answers_init(&answers);
	shared_answer_keep(&answers, &key, bytes_from("old"));
	struct shared_answer *sent = shared_answer_find(&answers, &key);
	shared_answers_clear(&answers);
	cr_assert_null(shared_answer_find(&answers, &key));
	shared_answer_keep(&answers, &key, bytes_from("new"));
	shared_answer_keep(&answers, &key, bytes_from("newer"));
	cr_assert_eq(answers.size_bytes, 5);
	cr_assert_eq(memcmp(sent->body, "old", 3), 0);
	shared_answer_unref(sent);
	shared_answers_done(&answers);
}

/* Bodies of a third of the room: the fourth displaces the one that was used longest ago; one that is
 * larger than the room displaces nothing. */
Test(shared_answer, room_is_bounded)
{
	struct shared_answers answers;
	struct shared_answer_key key = {.api_key = 3};
	size_t size = SHARED_ANSWERS_BYTES_MAX / 3;
	uint8_t *body = calloc(1, SHARED_ANSWERS_BYTES_MAX + 1);

	shared_answers_init(&answers);
	for (key.version = 0; key.version < 3; key.version++)
		shared_answer_keep(&answers, &key, (struct bytes){.data = body, .size = (int32_t)size});
	key.version = 0;
	shared_answer_unref(shared_answer_find(&answers, &key));
	key.version = 3;
	shared_answer_keep(&answers, &key, (struct bytes){.data = body, .size = (int32_t)size});
	key.version = 4;
	shared_answer_keep(&answers, &key,
		(struct bytes){.data = body, .size = SHARED_ANSWERS_BYTES_MAX + 1});
	cr_assert_eq(answers.size_bytes, 3 * size);
	for (key.version = 0; key.version < 5; key.version++) {
		struct shared_answer *found = shared_answer_find(&answers, &key);
		cr_assert_eq(found != NULL, key.version != 1 && key.version != 4);
		shared_answer_unref(found);
	}
	shared_answers_done(&answers);
	free(body);
}
