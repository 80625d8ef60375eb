/*
 * The table of what is served: one row an API. ApiVersions is made from it, so nothing is
 * advertised that has no handler. dispatch.tbl is the table.
 */
#pragma once

#include "broker/request.h"

enum handler_flags {
	HANDLER_OVERLAPS = 1, /* may run while an earlier request with the same flag still runs:
				 independent or ordered by its parts */
	HANDLER_BEFORE_AUTHENTICATION = 2,
	HANDLER_RAW = 4, /* decodes the body itself */
};

struct handler_row {
	int16_t key; /* enum api_key */
	int16_t min_version, max_version;
	uint8_t flags;
	void (*handle)(struct request *request);
};

/* NULL when the API isn't served. */
const struct handler_row *handler_find(int16_t key);
/* All rows in the order of their keys. */
extern const struct handler_row handler_rows[];
extern const unsigned handler_row_count;

/* handle_produce() and so on: one a row, in broker/api/. */
#define HANDLER(name, handler, min_version, max_version, flags) \
	void handle_##handler(struct request *request);
#include "broker/dispatch.tbl"
#undef HANDLER
