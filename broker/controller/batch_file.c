#include "broker/controller/batch_file.h"

#include <errno.h>
#include <stdlib.h>

enum {
	READ_SIZE = 128 << 10,
	/* Kafka writes metadata in batches of up to 8 MiB; a larger size is damage. */
	BATCH_SIZE_MAX = 64 << 20,
};

void batch_file_init(struct batch_file *reader, struct shard *shard, struct file *file,
	uint64_t position, uint64_t end)
{
	*reader =
		(struct batch_file){.shard = shard, .file = file, .position = position, .end = end};
}

void batch_file_done(struct batch_file *reader)
{
	free(reader->buffer);
	reader->buffer = NULL;
}

/* Makes SIZE bytes from the position on stand in the buffer, or as many as there are; how many, or
 * an errno. */
static int64_t fill(struct batch_file *reader, size_t size)
{
	uint64_t left = reader->end - reader->position;
	size_t wanted = (size_t)min_of((uint64_t)max_of(size, (size_t)READ_SIZE), left);
	int64_t got;

	if (reader->position >= reader->buffer_position &&
		reader->position + min_of((uint64_t)size, left) <=
			reader->buffer_position + reader->buffer_size)
		return (int64_t)(reader->buffer_position + reader->buffer_size - reader->position);
	if (wanted > reader->buffer_capacity) {
		uint8_t *buffer = malloc(wanted);

		if (!buffer)
			return -ENOMEM;
		free(reader->buffer);
		reader->buffer = buffer;
		reader->buffer_capacity = wanted;
	}
	reader->buffer_size = 0;
	got = fiber_read(reader->shard, reader->file, reader->buffer, wanted, reader->position);
	if (got < 0)
		return got;
	reader->buffer_position = reader->position;
	reader->buffer_size = (size_t)got;
	return got;
}

int batch_file_next(
	struct batch_file *reader, const uint8_t **ret_data, struct batch_header *ret_header)
{
	int64_t available = fill(reader, BATCH_HEADER_SIZE);
	const uint8_t *data;
	int error;

	if (available < 0)
		return (int)available;
	if (available < BATCH_PEEK_SIZE)
		return 0;
	data = reader->buffer + (reader->position - reader->buffer_position);
	error = batch_header_parse(data, (size_t)available, ret_header);
	if (error == -EAGAIN)
		return 0;
	if (error < 0)
		return error;
	if (ret_header->size > BATCH_SIZE_MAX)
		return BATCH_ERROR_CORRUPT;
	available = fill(reader, (size_t)ret_header->size);
	if (available < 0)
		return (int)available;
	if (available < ret_header->size)
		return 0;
	data = reader->buffer + (reader->position - reader->buffer_position);
	error = batch_check(data, ret_header);
	if (error < 0)
		return error;
	reader->position += (uint64_t)ret_header->size;
	*ret_data = data;
	return 1;
}
