#include "storage/partition_metadata.h"

#include <errno.h>
#include <stdio.h>

void partition_metadata_format(
	const struct uuid *topic_id, char text[PARTITION_METADATA_TEXT_SIZE + 1])
{
	char id[UUID_TEXT_SIZE + 1];

	uuid_format(topic_id, id);
	snprintf(text, PARTITION_METADATA_TEXT_SIZE + 1, "version: 0\ntopic_id: %s", id);
}

/* The value of the next line, "NAME:" and blanks before it. */
static int take_value(struct str *text, struct str name, struct str *ret_value)
{
	const char *end = text->size > 0 ? memchr(text->data, '\n', (size_t)text->size) : NULL;
	struct str line = {
		.data = text->data, .size = end ? (int32_t)(end - text->data) : text->size};

	text->data += line.size + (end != NULL);
	text->size -= line.size + (end != NULL);
	if (line.size > 0 && line.data[line.size - 1] == '\r')
		line.size--;
	if (line.size <= name.size || memcmp(line.data, name.data, (size_t)name.size) != 0 ||
		line.data[name.size] != ':')
		return -EBADMSG;
	line.data += name.size + 1;
	line.size -= name.size + 1;
	while (line.size > 0 && (line.data[0] == ' ' || line.data[0] == '\t')) {
		line.data++;
		line.size--;
	}
	*ret_value = line;
	return 0;
}

int partition_metadata_parse(struct str text, struct uuid *ret_topic_id)
{
	struct str version, id;
	struct uuid topic_id;

	if (take_value(&text, STR("version"), &version) < 0)
		return -EBADMSG;
	if (!str_equal(version, STR("0")))
		return version.size > 0 &&
				       strspn(version.data, "0123456789") >= (size_t)version.size
			       ? -EPROTONOSUPPORT
			       : -EBADMSG;
	if (take_value(&text, STR("topic_id"), &id) < 0 || uuid_parse(id, &topic_id) < 0 ||
		uuid_is_zero(&topic_id))
		return -EBADMSG;
	*ret_topic_id = topic_id;
	return 0;
}
