#include "runtime/uuid.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void uuid_format(const struct uuid *id, char text[UUID_TEXT_SIZE + 1])
{
	uint32_t bits = 0;
	int bit_count = 0, at = 0;

	for (int i = 0; i < 16; i++) {
		bits = bits << 8 | id->octets[i];
		for (bit_count += 8; bit_count >= 6; bit_count -= 6)
			text[at++] = alphabet[bits >> (bit_count - 6) & 63];
	}
	text[at++] = alphabet[bits << (6 - bit_count) & 63];
	ensure(at == UUID_TEXT_SIZE);
	text[at] = '\0';
}

static int digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int uuid_parse(struct str text, struct uuid *ret_id)
{
	struct uuid id;
	uint32_t bits = 0;
	int bit_count = 0, at = 0;

	if (text.size == UUID_TEXT_SIZE + 2 && text.data[22] == '=' && text.data[23] == '=')
		text.size = UUID_TEXT_SIZE;
	if (text.size != UUID_TEXT_SIZE)
		return -EINVAL;
	for (int i = 0; i < UUID_TEXT_SIZE; i++) {
		int value = digit_value(text.data[i]);

		if (value < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)value;
		bit_count += 6;
		if (bit_count >= 8) {
			bit_count -= 8;
			id.octets[at++] = (uint8_t)(bits >> bit_count);
		}
	}
	ensure(at == 16);
	*ret_id = id;
	return 0;
}

bool uuid_is_reserved(const struct uuid *id)
{
	for (int i = 0; i < 15; i++)
		if (id->octets[i] != 0)
			return false;
	return id->octets[15] < 100;
}

bool uuid_from_entropy(const uint8_t entropy[16], struct uuid *ret_id)
{
	struct uuid id;

	memcpy(id.octets, entropy, 16);
	id.octets[6] = (uint8_t)((id.octets[6] & 0x0f) | 0x40); /* version 4 */
	id.octets[8] = (uint8_t)((id.octets[8] & 0x3f) | 0x80); /* the variant of RFC 4122 */
	/* A leading dash would read as an option on a command line. */
	if (uuid_is_reserved(&id) || id.octets[0] >> 2 == 62)
		return false;
	*ret_id = id;
	return true;
}

int uuid_compare(const struct uuid *a, const struct uuid *b)
{
	for (int half = 0; half < 16; half += 8) {
		int64_t left = (int64_t)load_be64(a->octets + half), right = (int64_t)load_be64(b->octets + half);

		if (left != right)
			return left < right ? -1 : 1;
	}
	return 0;
}
