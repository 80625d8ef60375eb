#include "broker/group/java_hash.h"

/* The next UTF-16 units of a string in UTF-8: one, or a surrogate pair (ret_second not 0). Broken
 * bytes count as U+FFFD. */
static int32_t utf16_next(struct str text, int32_t at, uint16_t *ret_first, uint16_t *ret_second)
{
	const uint8_t *bytes = (const uint8_t *)text.data + at;
	int32_t left = text.size - at, size = 1;
	uint32_t point = bytes[0];

	*ret_second = 0;
	if (point >= 0xf0 && point < 0xf8)
		size = 4, point &= 0x07;
	else if (point >= 0xe0)
		size = 3, point &= 0x0f;
	else if (point >= 0xc0)
		size = 2, point &= 0x1f;
	else if (point >= 0x80)
		size = 0;
	for (int32_t i = 1; i < size && size > 0; i++) {
		if (i >= left || (bytes[i] & 0xc0) != 0x80) {
			size = 0;
			break;
		}
		point = point << 6 | (bytes[i] & 0x3f);
	}
	if (size == 0 || point > 0x10ffff) {
		*ret_first = 0xfffd;
		return 1;
	}
	if (point >= 0x10000) {
		*ret_first = (uint16_t)(0xd800 + ((point - 0x10000) >> 10));
		*ret_second = (uint16_t)(0xdc00 + ((point - 0x10000) & 0x3ff));
	} else {
		*ret_first = (uint16_t)point;
	}
	return size;
}

uint32_t java_hash(struct str text)
{
	uint32_t hash = 0;

	for (int32_t at = 0; at < text.size;) {
		uint16_t first, second;
		at += utf16_next(text, at, &first, &second);
		hash = hash * 31 + first;
		if (second)
			hash = hash * 31 + second;
	}
	return hash;
}

uint32_t java_hash_place(struct str text, uint32_t count)
{
	uint32_t hash = java_hash(text), places = 16;

	while (count > places / 4 * 3)
		places *= 2;
	return (hash ^ hash >> 16) & (places - 1);
}
