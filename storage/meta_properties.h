/*
 * meta.properties: to which cluster and node a log directory belongs, and the directory's own id.
 * Version 1 is KRaft's; version 0 comes from clusters that once had ZooKeeper, where any field may
 * be missing and the node is broker.id.
 */
#pragma once

#include "runtime/arena.h"
#include "runtime/uuid.h"

#define META_PROPERTIES_FILE_NAME  "meta.properties"
#define META_PROPERTIES_FILE_LIMIT 65536

struct meta_properties {
	int32_t version;	  /* 0 or 1 */
	struct str cluster_id;	  /* null: none (version 0 only) */
	int32_t node_id;	  /* -1: none (version 0 only) */
	struct uuid directory_id; /* zero: none */
};

/* Views into ARENA. -EPROTONOSUPPORT: an unknown version; -EBADMSG: malformed, a field missing in
 * version 1, or a reserved directory id, with the reason in *ret_why (static text); -ENOMEM. */
int meta_properties_parse(
	struct arena *arena, struct str text, struct meta_properties *ret, const char **ret_why);
/* The file as Java writes it, dated WALL_MS (in UTC); size -1 when the arena is exhausted. */
struct str meta_properties_format(
	struct arena *arena, const struct meta_properties *properties, int64_t wall_ms);
