/*
 * DescribeGroups, ListGroups and DeleteGroups: groups as tools see them.
 */
#include <stdio.h>

#include "broker/group/machine_internal.h"

enum { GROUP_ID_NOT_FOUND_VERSION = 6 };

static const char *const group_type_names[] = {
	[GROUP_CLASSIC] = "classic",
	[GROUP_CONSUMER] = "consumer",
	[GROUP_SHARE] = "share",
	[GROUP_STREAMS] = "streams",
};

static void describe_members(struct group_ask *ask, const struct group *group,
	struct describe_groups_response_described_group *response)
{
	response->members = ask_array(ask, &describe_groups_response_described_group_member_schema,
		(int32_t)group->members.count);
	if (!response->members)
		return;
	map_for_each(node, &group->members)
	{
		const struct group_member *member = map_entry(node, struct group_member, node);
		struct describe_groups_response_described_group_member *out =
			&response->members[response->members_count++];
		out->member_id = ask_str(ask, member->id);
		out->group_instance_id = ask_str(ask, member->instance_id);
		out->client_id = ask_str(ask, member->client_id);
		out->client_host = ask_str(ask, member->client_host);
		out->member_assignment = ask_bytes(ask, member->assignment);
		/* In mid-rebalance no protocol is chosen whose metadata could be told. */
		if (group->state == GROUP_STABLE)
			out->member_metadata =
				ask_bytes(ask, group_member_metadata(member, group->protocol_name));
	}
}

void admin_describe(struct group_machine *machine, struct group_ask *ask)
{
	struct describe_groups_response_described_group *response = ask->response;
	const struct group *group = group_find(machine, ask->group_id);

	response->group_id = ask->group_id;
	if (!group || group->type != GROUP_CLASSIC) {
		response->group_state = STR("Dead");
		if (ask->version >= GROUP_ID_NOT_FOUND_VERSION) {
			response->error_code = KAFKA_GROUP_ID_NOT_FOUND;
			const char *format = group ? "Group %.*s is not a classic group."
						   : "Group %.*s not found.";
			char *text = arena_printf(ask->arena, format, STR_ARGS(ask->group_id));
			ask->out_of_memory = ask->out_of_memory || !text;
			response->error_message = str_from(text);
		}
		ask_answer(machine, ask);
		return;
	}
	response->group_state = str_from(group_state_name(group));
	response->protocol_type =
		str_is_null(group->protocol_type) ? STR("") : ask_str(ask, group->protocol_type);
	if (group->state == GROUP_STABLE)
		response->protocol_data = ask_str(ask, group->protocol_name);
	describe_members(ask, group, response);
	ask_answer(machine, ask);
}

/* ---- ListGroups ---- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool filter_has(const struct str *filter, int32_t count, const char *name)
{
	if (count <= 0)
		return true;
	for (int32_t i = 0; i < count; i++) {
		size_t size = strlen(name), at = 0;
		if (filter[i].size != (int32_t)size)
			continue;
		while (at < size && lower(filter[i].data[at]) == lower(name[at]))
			at++;
		if (at == size)
			return true;
	}
	return false;
}

void admin_list(struct group_machine *machine, struct group_ask *ask)
{
	const struct list_groups_request *message = ask->message;
	struct list_groups_response *response = ask->response;

	response->groups = ask_array(
		ask, &list_groups_response_listed_group_schema, (int32_t)machine->groups.count);
	map_for_each(node, &machine->groups)
	{
		const struct group *group = map_entry(node, struct group, node);
		bool classic = group->type == GROUP_CLASSIC;
		const char *type = group_type_names[group->type];
		/* Of the other protocols' groups only those without members are known to be so;
		 * they are told as they rest. */
		const char *state = classic ? group_state_name(group) : "Empty";
		if (!response->groups)
			break;
		if (!filter_has(message->states_filter, message->states_filter_count, state) ||
			!filter_has(message->types_filter, message->types_filter_count, type))
			continue;
		struct list_groups_response_listed_group *out =
			&response->groups[response->groups_count++];
		out->group_id = ask_str(ask, group->id);
		out->protocol_type = classic ? (str_is_null(group->protocol_type)
							       ? STR("")
							       : ask_str(ask, group->protocol_type))
				     : group->type == GROUP_CONSUMER ? STR("consumer")
				     : group->type == GROUP_SHARE    ? STR("share")
								     : STR("streams");
		out->group_state = str_from(state);
		out->group_type = str_from(type);
	}
	ask_answer(machine, ask);
}

/* ---- DeleteGroups ---- */

void admin_delete(struct group_machine *machine, struct group_ask *ask)
{
	struct delete_groups_response_deletable_group_result *response = ask->response;
	struct group *group = group_find(machine, ask->group_id);
	int16_t error = 0;

	response->group_id = ask->group_id;
	if (!group)
		error = KAFKA_GROUP_ID_NOT_FOUND;
	else if (!group_is_empty(group))
		error = KAFKA_NON_EMPTY_GROUP;
	else if (offsets_delete_all(group) < 0 || record_group_tombstone(machine, group) < 0)
		error = KAFKA_UNKNOWN_SERVER_ERROR;
	response->error_code = error;
	ask_answer(machine, ask);
	if (!error)
		group_forget(group);
}
