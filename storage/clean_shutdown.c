#include "storage/clean_shutdown.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

void clean_shutdown_format(int64_t broker_epoch, char text[CLEAN_SHUTDOWN_TEXT_SIZE])
{
	snprintf(text, CLEAN_SHUTDOWN_TEXT_SIZE, "{\"version\":0,\"brokerEpoch\":%lld}",
		(long long)broker_epoch);
}

int clean_shutdown_parse(struct str text, int64_t *ret_broker_epoch)
{
	json_t *content, *epoch;
	int error = -EBADMSG;

	if (text.size < 0 || text.size > CLEAN_SHUTDOWN_FILE_LIMIT)
		return -EBADMSG;
	content = json_loadb(text.data, (size_t)text.size, JSON_REJECT_DUPLICATES, NULL);
	epoch = json_object_get(content, "brokerEpoch");
	if (json_is_integer(epoch)) {
		*ret_broker_epoch = json_integer_value(epoch);
		error = 0;
	}
	json_decref(content);
	return error;
}
