/* The model consumer, and the scan at the end. */
#include <stdlib.h>
#include <string.h>

#include "protocol/errors.h"
#include "reader.h"

/* Judges what reader_fetch or reader_offsets answered; pauses before it is tried again. */
static bool answer_is_good(struct reader *reader, const char *what, int code)
{
	struct model *model = reader->connection.model;

	arena_reset(&reader->connection.arena);
	if (code > 0 && model_can_retry(model, what, code))
		model_pause(reader->connection.shard);
	return code == 0;
}

/* Up to the end as it is now: what waits at a session, or was missed by one, must come. */
static void consumer_read_to_end(struct reader *reader)
{
	struct model *model = reader->connection.model;
	int64_t ends[PARTITIONS_MAX];

	while (!history_is_violated(&model->history)) {
		if (answer_is_good(reader, "ListOffsets", reader_offsets(reader, -1, ends)))
			break;
	}
	while (!history_is_violated(&model->history) && !reader_has_reached(reader, ends))
		answer_is_good(reader, "Fetch", reader_fetch(reader));
}

static void consumer_run(struct shard *shard, void *argument)
{
	struct model_client *client = argument;
	struct model *model = client->model;
	struct reader *reader = malloc(sizeof(*reader));

	ensure(reader);
	reader_init(reader, model, shard, &model->topic);
	reader->uses_sessions = model_pick(shard, 2) == 0;
	if (model_pick(shard, 2) == 0)
		reader->max_wait_ms = 5;
	while ((!model->is_draining || model->producers_running > 0) &&
		!history_is_violated(&model->history)) {
		answer_is_good(reader, "Fetch", reader_fetch(reader));
		/* From the beginning again: what was read must still be there. */
		if (model_pick(shard, 60) == 0)
			memset(reader->next, 0, sizeof(reader->next));
	}
	consumer_read_to_end(reader);
	reader_done(reader);
	free(reader);
	machine_exit(shard, 0);
}

void model_consumer_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, consumer_run, argument) == 0);
}

/* ---- the scan ---- */

static void topic_scan(struct model *model, struct shard *shard, const struct model_topic *topic)
{
	struct reader *reader = malloc(sizeof(*reader));
	struct history *history = &model->history;
	int64_t ends[PARTITIONS_MAX] = {0}, starts[PARTITIONS_MAX] = {0};

	ensure(reader);
	reader_init(reader, model, shard, topic);
	reader->is_scan = true;
	reader->max_wait_ms = 1;
	while (!history_is_violated(history) &&
		!answer_is_good(reader, "ListOffsets", reader_offsets(reader, -2, starts)))
		;
	while (!history_is_violated(history) &&
		!answer_is_good(reader, "ListOffsets", reader_offsets(reader, -1, ends)))
		;
	for (unsigned i = 0; i < topic->partition_count; i++) {
		history_start_see(history, topic->first_log + i, starts[i],
			history->logs[topic->first_log + i]->start_acknowledged);
		history_scan_begin(history, topic->first_log + i, starts[i]);
		reader->next[i] = starts[i];
	}
	while (!history_is_violated(history) && !reader_has_reached(reader, ends))
		answer_is_good(reader, "Fetch", reader_fetch(reader));
	for (unsigned i = 0; i < topic->partition_count; i++)
		history_scan_end(history, topic->first_log + i, ends[i]);
	reader_done(reader);
	free(reader);
}

static void scan_run(struct shard *shard, void *argument)
{
	struct model_client *client = argument;
	struct model *model = client->model;

	topic_scan(model, shard, &model->topic);
	for (unsigned i = 0; i < model->survivor_count; i++)
		topic_scan(model, shard, &model->survivors[i]);
	model->coverage.events[EVENT_SUPERSEDED] += model->history.superseded;
	model_groups_scan(model, shard);
	model->is_scanned = true;
	machine_exit(shard, 0);
}

void model_scan_start(struct shard *shard, void *argument)
{
	ensure(fiber_start(shard, scan_run, argument) == 0);
}
