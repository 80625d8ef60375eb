/* The table of protocol/errors.tbl, found by code: the codes run from -1 without a gap. */
#include "protocol/errors.h"

struct error_row {
	const char *name;
	struct str message;
	int code;
	bool retriable;
};

static const struct error_row rows[] = {
#define ERROR(code_, name_, retriable_, message_)                                       \
	{.name = #name_,                                                                \
		.message = {.data = (message_), .size = (int32_t)sizeof(message_) - 1}, \
		.code = (code_),                                                        \
		.retriable = (retriable_)},
#include "protocol/errors.tbl"
#undef ERROR
};

static const struct error_row *row_find(int code)
{
	int index = code - KAFKA_UNKNOWN_SERVER_ERROR;

	if (index < 0 || index >= (int)array_length(rows))
		return NULL;
	ensure(rows[index].code == code);
	return &rows[index];
}

const char *kafka_error_name(int code)
{
	const struct error_row *row = row_find(code);
	return row ? row->name : "UNKNOWN_ERROR_CODE";
}

struct str kafka_error_message(int code)
{
	const struct error_row *row = row_find(code);
	return row ? row->message : rows[0].message;
}

bool kafka_error_is_retriable(int code)
{
	const struct error_row *row = row_find(code);
	return row && row->retriable;
}

bool kafka_error_is_known(int code)
{
	return row_find(code) != NULL;
}
