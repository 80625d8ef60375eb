#include "protocol/crc32c.h"

#include <criterion/criterion.h>
#include <string.h>

/* Bit by bit, straight from the definition: slow, and obviously right. */
static uint32_t crc32c_reference(uint32_t crc, const uint8_t *data, size_t size)
{
	crc = ~crc;
	while (size--) {
		crc ^= *data++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

static void random_fill(uint8_t *to, size_t size, uint32_t seed)
{
	for (size_t i = 0; i < size; i++) {
		seed = seed * 1664525 + 1013904223;
		to[i] = (uint8_t)(seed >> 24);
	}
}

/* The vectors of RFC 3720 B.4 and the usual check string, on every implementation. */
Test(crc32c, gives_the_published_values)
{
	uint8_t zeros[32] = {0}, ones[32], up[32], down[32];

	for (int i = 0; i < 32; i++) {
		ones[i] = 0xff;
		up[i] = (uint8_t)i;
		down[i] = (uint8_t)(31 - i);
	}
	const struct {
		const void *data;
		size_t size;
		uint32_t crc;
	} vectors[] = {
		{"", 0, 0},
		{"123456789", 9, 0xe3069283},
		{zeros, 32, 0x8a9136aa},
		{ones, 32, 0x62a8ab43},
		{up, 32, 0x46dd794e},
		{down, 32, 0x113fdb5c},
	};
	for (const struct crc32c_implementation *i = crc32c_implementations(); i->name; i++)
		for (size_t v = 0; v < array_length(vectors); v++)
			cr_assert_eq(i->update(0, vectors[v].data, vectors[v].size), vectors[v].crc,
				"%s, vector %zu", i->name, v);
}

/* Every alignment in a word, every length to beyond the short blocks, and lengths around the long
 * ones. */
Test(crc32c, implementations_agree_at_all_alignments_and_lengths)
{
	static uint8_t data[3 * 4096 * 2 + 1024];
	static const size_t long_lengths[] = {
		12287, 12288, 12289, 12288 + 767, 12288 + 768, 12288 + 769, 24576, 24577};

	random_fill(data, sizeof(data), 1);
	for (const struct crc32c_implementation *i = crc32c_implementations(); i->name; i++)
		for (size_t start = 0; start < 9; start++) {
			uint32_t expected = 7;

			for (size_t length = 0; length < 1700; length++) {
				cr_assert_eq(i->update(7, data + start, length), expected,
					"%s at %zu, %zu bytes", i->name, start, length);
				expected = crc32c_reference(expected, data + start + length, 1);
			}
			for (size_t l = 0; l < array_length(long_lengths); l++)
				cr_assert_eq(i->update(9, data + start, long_lengths[l]),
					crc32c_reference(9, data + start, long_lengths[l]),
					"%s at %zu, %zu bytes", i->name, start, long_lengths[l]);
		}
}

/* Random cuts: pieces in a row give the CRC of the whole. */
Test(crc32c, continues_from_any_cut)
{
	static uint8_t data[40000];
	uint32_t whole;

	random_fill(data, sizeof(data), 2);
	whole = crc32c(0, data, sizeof(data));
	for (size_t cut = 0; cut < sizeof(data); cut += 373)
		cr_assert_eq(crc32c(crc32c(0, data, cut), data + cut, sizeof(data) - cut), whole);
}

/* Replaces the first bytes of messages of many lengths and compares with a CRC over everything. */
Test(crc32c, difference_shift_replaces_a_beginning)
{
	static uint8_t data[20000], old[40];

	random_fill(data, sizeof(data), 3);
	for (size_t size = sizeof(old); size < sizeof(data); size += 997) {
		uint32_t before = crc32c(0, data, size), difference;

		memcpy(old, data, sizeof(old));
		random_fill(data, sizeof(old), (uint32_t)size);
		difference = crc32c(0, old, sizeof(old)) ^ crc32c(0, data, sizeof(old));
		cr_assert_eq(before ^ crc32c_difference_shift(difference, size - sizeof(old)),
			crc32c(0, data, size));
	}
}
