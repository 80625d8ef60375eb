#include "broker/dispatch.h"

const struct handler_row handler_rows[] = {
#define HANDLER(name, handler, min_version, max_version, flags) \
	{API_##name, min_version, max_version, flags, handle_##handler},
#include "broker/dispatch.tbl"
#undef HANDLER
};

const unsigned handler_row_count = array_length(handler_rows);

/* The rows' places in the table, then for each key its place plus one: keys are few and dense. */
enum handler_place {
#define HANDLER(name, handler, min_version, max_version, flags) HANDLER_PLACE_##name,
#include "broker/dispatch.tbl"
#undef HANDLER
};

static const uint8_t handler_places[API_COUNT] = {
#define HANDLER(name, handler, min_version, max_version, flags) \
	[API_##name] = 1 + HANDLER_PLACE_##name,
#include "broker/dispatch.tbl"
#undef HANDLER
};

const struct handler_row *handler_find(int16_t key)
{
	if (key < 0 || key >= API_COUNT || handler_places[key] == 0)
		return NULL;
	return &handler_rows[handler_places[key] - 1];
}
