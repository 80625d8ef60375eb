/*
 * Records of the metadata log: decoded, listed, and as the bytes of a log record's value (a frame
 * version, the type and the version as varints, then the message; Kafka: AbstractApiMessageSerde).
 * Messages are the generated structs.
 */
#pragma once

#include "protocol/codec.h"

struct metadata_record {
	int16_t type;	 /* enum cluster_metadata_record */
	int16_t version; /* in which it is, or will be, written */
	const void *message;
};

/* A list that grows in an arena. The first failure sticks, so callers may look once at the end. */
struct metadata_records {
	struct arena *arena;
	struct metadata_record *items;
	int32_t count, capacity;
	int failure; /* 0 or -ENOMEM */
};

void metadata_records_init(struct metadata_records *records, struct arena *arena);
/* A default message at the end of the list, to be filled; NULL when the arena is exhausted. */
void *metadata_records_add(struct metadata_records *records, int type, int version);
/* The same with a message that is there already. */
void metadata_records_append(
	struct metadata_records *records, const struct metadata_record *record);

/* Views into VALUE and ARENA. -EBADMSG: malformed; -EPROTONOSUPPORT: a type or version that we
 * don't know; -ENOMEM. *RET_WHY (static text) says more; may be NULL. */
int metadata_record_decode(
	struct bytes value, struct arena *arena, struct metadata_record *ret, const char **ret_why);
/* 0, -ENOMEM, or -EINVAL when the message can't be said in its version: a mistake of ours. */
int metadata_record_encode(const struct metadata_record *record, struct output *output);

/* Kafka's name, "PartitionChangeRecord"; "unknown". */
const char *metadata_record_name(int type);
