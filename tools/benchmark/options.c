/* The options of a group of connections: one row each. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/benchmark/engine.h"

struct option {
	const char *name;
	size_t offset;
	bool is_text;
};

#define NUMBER(name) {#name, offsetof(struct group_options, name), false}
#define TEXT(name)   {#name, offsetof(struct group_options, name), true}

static const struct option options[] = {
	/* every kind */
	NUMBER(connections),
	NUMBER(inflight), /* unanswered requests of a connection */
	NUMBER(rate),	  /* requests a second of the whole group; 0: as many as are answered */
	NUMBER(count),	  /* requests of the whole group, then it is done; 0: until the time is over */
	NUMBER(unchecked),
	/* produce and fetch */
	TEXT(topic),
	NUMBER(partitions),
	NUMBER(record_bytes), /* of a record's value; a fetch says what was produced */
	NUMBER(batch_bytes),  /* of records before compression; at least one record */
	TEXT(codec),
	NUMBER(stamp), /* end-to-end latency: from when a batch was due to when it was fetched */
	/* produce */
	NUMBER(acks),
	NUMBER(producers), /* idempotent ones; 0: none */
	/* fetch */
	NUMBER(max_bytes),
	NUMBER(min_bytes),
	NUMBER(wait_ms),
	NUMBER(session), /* fetch sessions */
	NUMBER(wrap),	 /* begin again at the end of the log */
	/* call */
	TEXT(frames),	  /* file of whole requests, sent in turn */
	NUMBER(error_at), /* where a response (without its size) has its error code; -1: nowhere */
};

static const struct workload *const workloads[] = {
	&produce_workload, &fetch_workload, &call_workload};

static void option_set(char *text, struct group *group)
{
	char *value = strchr(text, '=');

	if (!value)
		die("%s has no value", text);
	*value++ = 0;
	for (size_t i = 0; i < array_length(options); i++) {
		void *at = (char *)&group->options + options[i].offset;
		char *end;

		if (strcmp(options[i].name, text) != 0)
			continue;
		if (options[i].is_text) {
			*(const char **)at = value;
			return;
		}
		*(int64_t *)at = strtoll(value, &end, 10);
		if (end == value || *end)
			die("%s=%s is no number", text, value);
		return;
	}
	die("there is no option %s", text);
}

void options_parse(char *text, struct group *group)
{
	char *rest, *kind = strtok_r(text, ",", &rest);

	group->options = (struct group_options){
		.connections = 1,
		.inflight = 1,
		.partitions = 1,
		.record_bytes = 1000,
		.codec = "none",
		.acks = -1,
		.max_bytes = 1 << 20,
		.min_bytes = 1,
		.wait_ms = 500,
		.error_at = -1,
	};
	for (size_t i = 0; kind && i < array_length(workloads); i++) {
		if (strcmp(workloads[i]->name, kind) == 0)
			group->workload = workloads[i];
	}
	if (!group->workload)
		die("there is no kind of load %s", kind ? kind : "''");
	for (char *option; (option = strtok_r(NULL, ",", &rest));)
		option_set(option, group);
	if (group->options.connections < 1 || group->options.inflight < 1 ||
		group->options.partitions < 1)
		die("%s: connections, inflight and partitions are at least 1", kind);
}
