#include "protocol/record_buffer.h"

#include <errno.h>
#include <stdlib.h>

void record_buffer_init(struct record_buffer *buffer, size_t limit)
{
	*buffer = (struct record_buffer){.limit = limit};
}

void record_buffer_init_lent(struct record_buffer *buffer, void *memory, size_t capacity)
{
	*buffer = (struct record_buffer){
		.data = memory, .capacity = capacity, .limit = capacity, .lent = true};
}

void record_buffer_done(struct record_buffer *buffer)
{
	if (!buffer->lent)
		free(buffer->data);
	*buffer = (struct record_buffer){0};
}

int record_buffer_reserve(struct record_buffer *buffer, size_t size)
{
	size_t capacity;
	uint8_t *data;

	ensure(buffer->size <= buffer->limit);
	if (size <= buffer->capacity - buffer->size)
		return 0;
	if (size > buffer->limit - buffer->size)
		return -ENOBUFS;
	capacity = max_of(buffer->capacity * 2, buffer->size + size);
	capacity = max_of(capacity, (size_t)512);
	capacity = min_of(capacity, buffer->limit);
	data = realloc(buffer->data, capacity);
	if (!data)
		return -ENOMEM;
	buffer->data = data;
	buffer->capacity = capacity;
	return 0;
}

int record_buffer_append(struct record_buffer *buffer, const void *data, size_t size)
{
	int error = record_buffer_reserve(buffer, size);

	if (error)
		return error;
	if (size)
		memcpy(buffer->data + buffer->size, data, size);
	buffer->size += size;
	return 0;
}
