/*
 * What groups make us keep: counted as it comes and goes, and what a request would add to it before
 * it is taken. See budget.h for the rules.
 */
#include <stdlib.h>

#include "broker/group/machine_internal.h"
#include "runtime/memory.h"

enum {
	/* What a block takes beside its own bytes, at the most: the allocator's word and rounding, and
	 * its place in the table that it stands in. */
	ALLOCATOR_BYTES = 16,
	TABLE_BYTES = 16,
	/* New groups leave so much of the room to those that are known. */
	KNOWN_SHARE = 4,
	/* And so much is for members, whatever offsets take. */
	MEMBERS_SHARE = 4,
	/* The pending members of one machine may take so much. */
	PENDING_SHARE = 256,
	PENDING_BYTES_MIN = 64 * 1024,
	MEMBER_ID_UUID_BYTES = 37, /* with the hyphen before it */
};

/* ---- what is counted ---- */

/* Before each block, so that what is freed can be counted. */
struct state_header {
	_Alignas(16) size_t size; /* as it was counted */
};

void group_budget_done(struct group_budget *budget)
{
	ensure(group_budget_bytes(budget) == 0);
	ensure(__atomic_load_n(&budget->member_bytes, __ATOMIC_RELAXED) == 0);
}

void group_budget_add(struct group_budget *budget, size_t bytes)
{
	__atomic_fetch_add(&budget->bytes, bytes, __ATOMIC_RELAXED);
}

void group_budget_sub(struct group_budget *budget, size_t bytes)
{
	ensure(__atomic_fetch_sub(&budget->bytes, bytes, __ATOMIC_RELAXED) >= bytes);
}

size_t group_budget_bytes(const struct group_budget *budget)
{
	return __atomic_load_n(&budget->bytes, __ATOMIC_RELAXED);
}

size_t state_cost(size_t size)
{
	return size ? sizeof(struct state_header) + size + ALLOCATOR_BYTES + TABLE_BYTES : 0;
}

void *state_new(struct group_machine *machine, size_t size)
{
	struct state_header *header = memory_new(sizeof(*header) + size);

	header->size = state_cost(max_of(size, (size_t)1));
	group_budget_add(machine->budget, header->size);
	return header + 1;
}

size_t state_size(const void *block)
{
	return block ? ((const struct state_header *)block - 1)->size : 0;
}

void state_free(struct group_machine *machine, void *block)
{
	if (!block)
		return;
	group_budget_sub(machine->budget, state_size(block));
	free((struct state_header *)block - 1);
}

void budget_members_change(struct group_machine *machine, size_t from, size_t to)
{
	size_t *bytes = &machine->budget->member_bytes;

	__atomic_fetch_add(bytes, to, __ATOMIC_RELAXED);
	ensure(__atomic_fetch_sub(bytes, from, __ATOMIC_RELAXED) >= from);
}

struct bytes state_bytes_copy(struct group_machine *machine, struct bytes from)
{
	if (from.size <= 0)
		return (struct bytes){.data = NULL, .size = from.size};
	uint8_t *copy = state_new(machine, (size_t)from.size);
	memcpy(copy, from.data, (size_t)from.size);
	return (struct bytes){.data = copy, .size = from.size};
}

struct str state_str(struct group_machine *machine, struct str from)
{
	struct bytes copy = state_bytes_copy(
		machine, (struct bytes){.data = (const uint8_t *)from.data, .size = from.size});

	return (struct str){.data = (const char *)copy.data, .size = copy.size};
}

/* TO may be (part of) what stands there. */
void state_bytes_set(struct group_machine *machine, struct bytes *place, struct bytes to)
{
	struct bytes old = *place;

	*place = state_bytes_copy(machine, to);
	state_free(machine, (void *)(uintptr_t)old.data);
}

void state_str_set(struct group_machine *machine, struct str *place, struct str to)
{
	struct str old = *place;

	*place = state_str(machine, to);
	state_free(machine, (void *)(uintptr_t)old.data);
}

/* ---- what a request would add ---- */

bool pending_is_full(const struct group_machine *machine)
{
	size_t room = machine->limits.state_bytes_max / PENDING_SHARE;

	return machine->pending_bytes > max_of(room, (size_t)PENDING_BYTES_MIN);
}

bool budget_allows(const struct group_machine *machine, size_t bytes)
{
	return group_budget_bytes(machine->budget) + bytes <= machine->limits.state_bytes_max;
}

size_t protocol_count_bytes(struct str name)
{
	return state_cost(sizeof(struct group_protocol_count)) +
	       state_cost((size_t)max_of(name.size, 0));
}

static size_t str_cost(struct str text)
{
	return state_cost((size_t)max_of(text.size, 0));
}

/* As group_member_charge counts them. */
static size_t join_protocols_bytes(const struct join_group_request *message)
{
	size_t size = 0, counts = 0;

	for (int32_t i = 0; i < message->protocols_count; i++) {
		const struct join_group_request_protocol *protocol = &message->protocols[i];

		size += sizeof(struct group_protocol) + (size_t)max_of(protocol->name.size, 0) +
			(size_t)max_of(protocol->metadata.size, 0);
		counts += protocol_count_bytes(protocol->name);
	}
	return state_cost(size) + counts;
}

static size_t join_growth(const struct group *group, const struct group_ask *ask)
{
	const struct join_group_request *message = ask->message;
	const struct group_member *known = NULL;
	size_t protocols = join_protocols_bytes(message);
	/* An id is made of the client's, or the instance's. */
	size_t id_size = (size_t)max_of(ask->client_id.size, 0) +
			 (size_t)max_of(message->group_instance_id.size, 0) + MEMBER_ID_UUID_BYTES;

	if (group)
		known = message->member_id.size > 0
				? group_member_find(group, message->member_id)
				: group_instance_find(group, message->group_instance_id);
	if (known) {
		size_t old = state_size(known->protocols);
		for (int32_t i = 0; i < known->protocol_count; i++)
			old += protocol_count_bytes(known->protocols[i].name);
		return protocols - min_of(protocols, old);
	}
	return protocols + state_cost(sizeof(struct group_member)) + 2 * state_cost(id_size) +
	       str_cost(message->group_instance_id) + str_cost(ask->client_id) +
	       str_cost(ask->client_host) + str_cost(message->protocol_type);
}

static size_t sync_growth(const struct group *group, const struct group_ask *ask)
{
	const struct sync_group_request *message = ask->message;
	size_t bytes = 0, old = 0;

	for (int32_t i = 0; i < message->assignments_count; i++)
		bytes += state_cost((size_t)max_of(message->assignments[i].assignment.size, 0));
	if (bytes == 0 || !group)
		return bytes;
	map_for_each(node, &group->members) old +=
		state_size(map_entry(node, struct group_member, node)->assignment.data);
	return bytes - min_of(bytes, old);
}

/* At the most; with GROUP, what is replaced there is taken off. */
static size_t ask_growth(const struct group *group, const struct group_ask *ask)
{
	switch (ask->kind) {
	case GROUP_ASK_JOIN:
		return join_growth(group, ask);
	case GROUP_ASK_SYNC:
		return sync_growth(group, ask);
	case GROUP_ASK_OFFSET_COMMIT:
		return offsets_commit_growth(group, ask->message);
	default:
		return 0;
	}
}

bool ask_has_room(struct group_machine *machine, const struct group_ask *ask)
{
	size_t room = machine->limits.state_bytes_max, bytes = group_budget_bytes(machine->budget);
	size_t growth = ask_growth(NULL, ask);
	const struct group *group;

	if (growth == 0 || bytes + growth + state_cost(sizeof(*group)) + str_cost(ask->group_id) <=
				   room - room / KNOWN_SHARE)
		return true;
	group = group_find(machine, ask->group_id);
	if (!group)
		return false;
	growth = ask_growth(group, ask);
	if (growth == 0 || bytes + growth <= room)
		return true;
	return ask->kind != GROUP_ASK_OFFSET_COMMIT &&
	       __atomic_load_n(&machine->budget->member_bytes, __ATOMIC_RELAXED) + growth <=
		       room / MEMBERS_SHARE;
}
