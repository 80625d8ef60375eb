/*
 * Views of bytes that somebody else owns, and big-endian loads and stores. A view never owns
 * memory: it is valid as long as the buffer or arena it points into.
 */
#pragma once

#include <string.h>

#include "runtime/base.h"

/* Text, not NUL-terminated. SIZE in bytes; size -1 is Kafka's null, which differs from empty. */
struct str {
	const char *data;
	int32_t size;
};

/* Raw bytes. SIZE -1 is null. */
struct bytes {
	const uint8_t *data;
	int32_t size;
};

/* 16 bytes in network order, as on the wire. All zero: "no id". */
struct uuid {
	uint8_t octets[16];
};

#define STR(literal) ((struct str){.data = (literal), .size = (int32_t)sizeof(literal) - 1})
#define STR_NULL     ((struct str){.data = NULL, .size = -1})
#define BYTES_NULL   ((struct bytes){.data = NULL, .size = -1})
#define UUID_ZERO    ((struct uuid){{0}})

static inline struct str str_from(const char *text)
{
	return text ? (struct str){.data = text, .size = (int32_t)strlen(text)} : STR_NULL;
}

static inline bool str_is_null(struct str s)
{
	return s.size < 0;
}

/* Null equals only null. */
static inline bool str_equal(struct str a, struct str b)
{
	return a.size == b.size && (a.size <= 0 || memcmp(a.data, b.data, (size_t)a.size) == 0);
}

/* Byte order, shorter first where one begins the other; null before everything. Sign of the result
 * as memcmp's. */
static inline int str_compare(struct str a, struct str b)
{
	int32_t common = a.size < b.size ? a.size : b.size;
	int order = common > 0 ? memcmp(a.data, b.data, (size_t)common) : 0;
	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static inline bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool uuid_is_zero(const struct uuid *id)
{
	static const struct uuid zero;
	return uuid_equal(id, &zero);
}

/* For printf("%.*s", STR_ARGS(s)). */
#define STR_ARGS(s) ((s).size > 0 ? (int)(s).size : 0), ((s).size > 0 ? (s).data : "")

#define BYTES_LOAD_STORE(bits)                                            \
	static inline uint##bits##_t load_be##bits(const void *from)      \
	{                                                                 \
		uint##bits##_t value;                                     \
		memcpy(&value, from, sizeof(value));                      \
		return __builtin_bswap##bits(value);                      \
	}                                                                 \
	static inline void store_be##bits(void *to, uint##bits##_t value) \
	{                                                                 \
		value = __builtin_bswap##bits(value);                     \
		memcpy(to, &value, sizeof(value));                        \
	}
BYTES_LOAD_STORE(16)
BYTES_LOAD_STORE(32)
BYTES_LOAD_STORE(64)
#undef BYTES_LOAD_STORE

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "big-endian hosts are not supported");
_Static_assert(sizeof(struct uuid) == 16, "a uuid is 16 octets on the wire");
