/*
 * quorum-state: what this node promised in the elections of the metadata quorum. It is durable
 * before any promise or claim leaves the node, or the node may vote twice in an epoch. Version 0 is
 * for kraft.version 0 (static voters), version 1 for kraft.version 1 (voters are in the log).
 */
#pragma once

#include "runtime/arena.h"
#include "runtime/uuid.h"

#define QUORUM_STATE_FILE_NAME	"quorum-state"
#define QUORUM_STATE_FILE_LIMIT (1 << 20)

struct quorum_state {
	int32_t version;		/* 0 or 1 */
	int32_t leader_id;		/* -1: not known */
	int32_t leader_epoch;		/* -1: never had one */
	int32_t voted_id;		/* -1: no vote in this epoch */
	struct uuid voted_directory_id; /* version 1; zero with no vote */
	int32_t *voters; /* version 0: the static voters, as the last leader's epoch knew them;
			    count -1 for null */
	int32_t voter_count;
};

/* The voters in ARENA. -EPROTONOSUPPORT: another version; -EBADMSG: malformed; -ENOMEM. */
int quorum_state_parse(struct arena *arena, struct str text, struct quorum_state *ret);
/* One line of JSON, its fields in Kafka's order, in ARENA; size -1 when exhausted. */
struct str quorum_state_format(struct arena *arena, const struct quorum_state *state);
