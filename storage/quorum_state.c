#include "storage/quorum_state.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

static int take_int32(const json_t *object, const char *name, int32_t *ret)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_integer(value) || json_integer_value(value) < INT32_MIN ||
		json_integer_value(value) > INT32_MAX)
		return -EBADMSG;
	*ret = (int32_t)json_integer_value(value);
	return 0;
}

static int take_voters(struct arena *arena, const json_t *object, struct quorum_state *state)
{
	const json_t *voters = json_object_get(object, "currentVoters");
	size_t count;

	state->voter_count = -1;
	if (json_is_null(voters))
		return 0;
	if (!json_is_array(voters))
		return -EBADMSG;
	count = json_array_size(voters);
	state->voters = arena_new_array(arena, int32_t, max_of(count, 1));
	if (!state->voters)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (take_int32(json_array_get(voters, i), "voterId", &state->voters[i]) < 0)
			return -EBADMSG;
	state->voter_count = (int32_t)count; /* bounded by the file's size */
	return 0;
}

static int take_voted_directory(const json_t *object, struct quorum_state *state)
{
	const json_t *id = json_object_get(object, "votedDirectoryId");

	if (!json_is_string(id) ||
		uuid_parse(str_from(json_string_value(id)), &state->voted_directory_id) < 0)
		return -EBADMSG;
	return 0;
}

static int take_fields(struct arena *arena, const json_t *object, struct quorum_state *state)
{
	int error = take_int32(object, "data_version", &state->version);

	if (error < 0)
		return error;
	if (state->version != 0 && state->version != 1)
		return -EPROTONOSUPPORT;
	if (take_int32(object, "leaderId", &state->leader_id) < 0 ||
		take_int32(object, "leaderEpoch", &state->leader_epoch) < 0 ||
		take_int32(object, "votedId", &state->voted_id) < 0)
		return -EBADMSG;
	if (state->leader_epoch < -1 || state->leader_id < -1 || state->voted_id < -1)
		return -EBADMSG;
	return state->version == 0 ? take_voters(arena, object, state)
				   : take_voted_directory(object, state);
}

int quorum_state_parse(struct arena *arena, struct str text, struct quorum_state *ret)
{
	struct quorum_state state = {.voter_count = -1};
	json_t *content;
	int error;

	if (text.size < 0 || text.size > QUORUM_STATE_FILE_LIMIT)
		return -EBADMSG;
	content = json_loadb(text.data, (size_t)text.size,
		JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, NULL);
	error = json_is_object(content) ? take_fields(arena, content, &state) : -EBADMSG;
	json_decref(content);
	if (error == 0)
		*ret = state;
	return error;
}

struct str quorum_state_format(struct arena *arena, const struct quorum_state *state)
{
	char voted_directory_id[UUID_TEXT_SIZE + 1];
	const char *voters = "";

	if (state->version == 1) {
		uuid_format(&state->voted_directory_id, voted_directory_id);
		return str_from(arena_printf(arena,
			"{\"leaderId\":%d,\"leaderEpoch\":%d,\"votedId\":%d,\"votedDirectoryId\":"
			"\"%s\",\"data_version\":1}",
			state->leader_id, state->leader_epoch, state->voted_id,
			voted_directory_id));
	}
	for (int32_t i = 0; voters && i < state->voter_count; i++)
		voters = arena_printf(
			arena, "%s%s{\"voterId\":%d}", voters, i > 0 ? "," : "", state->voters[i]);
	if (!voters)
		return STR_NULL;
	return str_from(arena_printf(arena,
		"{\"clusterId\":\"\",\"leaderId\":%d,\"leaderEpoch\":%d,\"votedId\":%d,"
		"\"appliedOffset\":0,\"currentVoters\":%s%s%s,"
		"\"data_version\":0}",
		state->leader_id, state->leader_epoch, state->voted_id,
		state->voter_count < 0 ? "null" : "[", voters, state->voter_count < 0 ? "" : "]"));
}
