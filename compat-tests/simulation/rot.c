#include "rot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"
#include "protocol/batch.h"

enum { SEGMENTS_MAX = 256 };

struct segments {
	int64_t bases[SEGMENTS_MAX]; /* ascending, as names sort */
	unsigned count;
};

static int segment_note(void *argument, const char *name, bool is_folder)
{
	struct segments *segments = argument;
	size_t size = strlen(name);

	if (!is_folder && size == 24 && strcmp(name + 20, ".log") == 0 &&
		segments->count < SEGMENTS_MAX)
		segments->bases[segments->count++] = strtoll(name, NULL, 10);
	return 0;
}

/* What the checkpoint file on the disk says; 0 when it says nothing. */
static int64_t recovery_point(struct host *node, const char *topic, unsigned partition)
{
	char wanted[64], *line;
	int64_t offset = 0;
	void *text;
	size_t size;

	if (host_file_get(node, NODE_DATA "/recovery-point-offset-checkpoint", &text, &size) != 0)
		return 0;
	snprintf(wanted, sizeof(wanted), "\n%s %u ", topic, partition);
	line = strstr(text, wanted);
	if (line)
		offset = strtoll(line + strlen(wanted), NULL, 10);
	free(text);
	return offset;
}

/* The base offset of the batch that has the byte at PLACE. */
static int64_t batch_at(const uint8_t *data, size_t size, size_t place)
{
	struct batch_header header;
	int64_t step, base = -1;

	for (size_t at = 0; at <= place; at += (size_t)step) {
		step = batch_next(data + at, size - at, &header);
		if (step <= 0)
			return -1;
		base = header.base_offset;
	}
	return base;
}

unsigned rot_do(struct host *node, struct model *model, struct chooser *chooser)
{
	unsigned partition = (unsigned)choose_below(chooser, model->topic.partition_count);
	unsigned log = model->topic.first_log + partition, pick;
	struct segments segments = {0};
	char folder[64], path[128];
	int64_t end, base;
	size_t size, place;
	void *data;

	if (!model->topic_is_made || model->history.logs[log]->rot_count == ROTS_MAX)
		return 0;
	snprintf(folder, sizeof(folder), NODE_DATA "/%s-%u", model->topic.name, partition);
	host_file_list(node, folder, segment_note, &segments);
	if (segments.count < 2)
		return 0;
	pick = (unsigned)choose_below(chooser, segments.count - 1);
	end = segments.bases[pick + 1];
	if (end > recovery_point(node, model->topic.name, partition))
		return 0;
	snprintf(path, sizeof(path), "%s/%020" PRId64 ".log", folder, segments.bases[pick]);
	if (host_file_get(node, path, &data, &size) != 0)
		return 0;
	place = (size_t)choose_below(chooser, size);
	base = size == 0 ? -1 : batch_at(data, size, place);
	free(data);
	if (base < 0 || host_rot(node, path, place) != 0)
		return 0;
	history_rot(&model->history, log, base, end);
	return 1;
}
