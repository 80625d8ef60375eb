#include "group_history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/simulated/memory.h"

void group_history_init(struct group_history *group, struct history *history, unsigned index)
{
	memset(group, 0, sizeof(*group));
	group->history = history;
	snprintf(group->name, sizeof(group->name), "group-%u", index);
	for (unsigned i = 0; i < GROUP_PARTITIONS_MAX; i++)
		group->partitions[i].settled.offset = -1;
}

void group_history_done(struct group_history *group)
{
	free(group->owners);
	free(group->leaders);
}

/* ---- ownership ---- */

void group_history_lead(struct group_history *group, int32_t generation, unsigned client)
{
	for (unsigned i = 0; i < group->leader_count; i++)
		if (group->leaders[i].generation == generation) {
			if (group->leaders[i].client != client)
				history_violation(group->history,
					"%s generation %d is led by clients %u and %u", group->name,
					generation, group->leaders[i].client, client);
			return;
		}
	if (group->leader_count == group->leader_capacity) {
		group->leader_capacity = max_of(16u, group->leader_capacity * 2);
		group->leaders = world_realloc(
			group->leaders, group->leader_capacity * sizeof(*group->leaders));
	}
	group->leaders[group->leader_count++] = (struct group_leader){generation, client};
}

void group_history_own(
	struct group_history *group, int32_t generation, unsigned partition, unsigned client)
{
	for (unsigned i = 0; i < group->owner_count; i++) {
		const struct group_owner *owner = &group->owners[i];

		if (owner->generation != generation || owner->partition != partition)
			continue;
		if (owner->client != client)
			history_violation(group->history,
				"%s partition %u is owned by clients %u and %u in generation %d",
				group->name, partition, owner->client, client, generation);
		return;
	}
	if (group->owner_count == group->owner_capacity) {
		group->owner_capacity = max_of(64u, group->owner_capacity * 2);
		group->owners = world_realloc(
			group->owners, group->owner_capacity * sizeof(*group->owners));
	}
	group->owners[group->owner_count++] = (struct group_owner){generation, partition, client};
}

void group_history_end(struct group_history *group)
{
	int32_t last = -1;
	unsigned kept = 0;

	for (unsigned i = 0; i < group->owner_count; i++)
		last = max_of(last, group->owners[i].generation);
	for (unsigned i = 0; i < group->leader_count; i++)
		if (group->leaders[i].generation <= last)
			group->leaders[kept++] = group->leaders[i];
	group->leader_count = kept;
}

/* ---- commits ---- */

int64_t group_history_commit(struct group_history *group, unsigned partition, int32_t generation)
{
	int64_t offset;

	if (group->partitions[partition].doubt_count == GROUP_DOUBTS_MAX)
		return -1;
	offset = group->commits++;
	group->partitions[partition].doubts[group->partitions[partition].doubt_count++] =
		(struct group_commit){offset, generation};
	return offset;
}

/* True when it was one of those in doubt; it is none any more. */
static bool doubt_take(
	struct group_history *group, unsigned partition, int64_t offset, struct group_commit *ret)
{
	struct group_commit *doubts = group->partitions[partition].doubts;
	unsigned *count = &group->partitions[partition].doubt_count;

	for (unsigned i = 0; i < *count; i++) {
		if (doubts[i].offset != offset)
			continue;
		*ret = doubts[i];
		memmove(doubts + i, doubts + i + 1, (--*count - i) * sizeof(*doubts));
		return true;
	}
	return false;
}

static void commit_settle(
	struct group_history *group, unsigned partition, const struct group_commit *commit)
{
	struct group_commit *doubts = group->partitions[partition].doubts;
	unsigned kept = 0;

	for (unsigned i = 0; i < group->partitions[partition].doubt_count; i++)
		if (doubts[i].generation >= commit->generation)
			doubts[kept++] = doubts[i];
	group->partitions[partition].doubt_count = kept;
	group->partitions[partition].settled = *commit;
}

void group_history_acknowledge(struct group_history *group, unsigned partition, int64_t offset)
{
	struct group_commit commit;

	if (group->partitions[partition].settled.offset == offset)
		return; /* shown before it was acknowledged */
	/* A later generation's commit may have been acknowledged before this news came. */
	if (doubt_take(group, partition, offset, &commit))
		commit_settle(group, partition, &commit);
}

void group_history_refuse(struct group_history *group, unsigned partition, int64_t offset)
{
	struct group_commit commit;

	doubt_take(group, partition, offset, &commit);
}

void group_history_see(struct group_history *group, unsigned partition, int64_t offset)
{
	struct group_commit commit;

	if (offset == group->partitions[partition].settled.offset)
		return;
	if (doubt_take(group, partition, offset, &commit))
		commit_settle(group, partition, &commit);
	else
		history_violation(group->history,
			"%s partition %u has committed offset %" PRId64 " where %" PRId64
			" was acknowledged",
			group->name, partition, offset,
			group->partitions[partition].settled.offset);
}
