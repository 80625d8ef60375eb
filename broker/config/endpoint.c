#include "broker/config/endpoint.h"

#include <ctype.h>
#include <errno.h>

static const char *const protocol_names[] = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};

bool security_protocol_parse(struct str name, enum security_protocol *ret_protocol)
{
	for (size_t i = 0; i < array_length(protocol_names); i++) {
		if (str_equal(name, str_from(protocol_names[i]))) {
			*ret_protocol = (enum security_protocol)i;
			return true;
		}
	}
	return false;
}

const char *security_protocol_name(enum security_protocol protocol)
{
	ensure((size_t)protocol < array_length(protocol_names));
	return protocol_names[protocol];
}

bool endpoint_host_is_valid(struct str host)
{
	for (int32_t i = 0; i < host.size; i++) {
		char c = host.data[i];
		if (!isalnum((unsigned char)c) && !strchr("-%._:", c))
			return false;
		if (c == '\0')
			return false;
	}
	return true;
}

static bool number_parse(struct str text, uint32_t most, uint32_t *ret_number)
{
	uint64_t number = 0;

	if (text.size <= 0 || text.size > 10)
		return false;
	for (int32_t i = 0; i < text.size; i++) {
		if (!isdigit((unsigned char)text.data[i]))
			return false;
		number = number * 10 + (uint64_t)(text.data[i] - '0');
	}
	if (number > most)
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

static int host_port_parse(struct str text, struct endpoint *ret_endpoint)
{
	int32_t colon = text.size - 1;
	uint32_t port;

	while (colon >= 0 && text.data[colon] != ':')
		colon--;
	if (colon < 0)
		return -EINVAL;
	struct str host = {text.data, colon};
	struct str digits = {text.data + colon + 1, text.size - colon - 1};
	if (host.size > 0 && host.data[0] == '[') {
		if (host.size < 3 || host.data[host.size - 1] != ']')
			return -EINVAL;
		host.data++;
		host.size -= 2;
	}
	if (!endpoint_host_is_valid(host) || !number_parse(digits, UINT16_MAX, &port))
		return -EINVAL;
	*ret_endpoint = (struct endpoint){.name = STR(""), .host = host, .port = (uint16_t)port};
	return 0;
}

int endpoint_parse(struct str text, struct endpoint *ret_endpoint)
{
	int32_t mark = 0;

	while (mark + 3 <= text.size && memcmp(text.data + mark, "://", 3) != 0)
		mark++;
	if (mark == 0 || mark + 3 > text.size)
		return -EINVAL;
	struct str rest = {text.data + mark + 3, text.size - mark - 3};
	if (host_port_parse(rest, ret_endpoint) < 0)
		return -EINVAL;
	ret_endpoint->name = (struct str){text.data, mark};
	return 0;
}

int endpoint_parse_address(struct str text, struct endpoint *ret_endpoint)
{
	struct endpoint endpoint;

	if (host_port_parse(text, &endpoint) < 0 || endpoint.host.size == 0)
		return -EINVAL;
	*ret_endpoint = endpoint;
	return 0;
}

int quorum_voter_parse(struct str text, struct quorum_voter *ret_voter)
{
	const char *at = text.size > 0 ? memchr(text.data, '@', (size_t)text.size) : NULL;
	struct endpoint address;
	uint32_t id;

	if (!at)
		return -EINVAL;
	int32_t id_size = (int32_t)(at - text.data);
	struct str rest = {at + 1, text.size - id_size - 1};
	if (!number_parse((struct str){text.data, id_size}, INT32_MAX, &id) ||
		endpoint_parse_address(rest, &address) < 0)
		return -EINVAL;
	*ret_voter = (struct quorum_voter){
		.id = (int32_t)id, .host = address.host, .port = address.port};
	return 0;
}
