/*
 * Addresses as they stand in a configuration: listeners, advertised listeners, voters and servers.
 * Parsing only; nothing here resolves a name. Views point into the text that was parsed.
 */
#pragma once

#include "runtime/bytes.h"

/* Numbered as Kafka numbers them on the wire and in records. */
enum security_protocol {
	SECURITY_PLAINTEXT = 0,
	SECURITY_SSL = 1,
	SECURITY_SASL_PLAINTEXT = 2,
	SECURITY_SASL_SSL = 3,
};

/* NAME is empty for an address without one. HOST is empty for all interfaces, and without brackets
 * for IPv6. */
struct endpoint {
	struct str name;
	struct str host;
	uint16_t port;
};

struct quorum_voter {
	int32_t id;
	struct str host;
	uint16_t port;
};

/* "NAME://host:port"; "NAME://:port" and "NAME://[v6]:port" too. -EINVAL. */
int endpoint_parse(struct str text, struct endpoint *ret_endpoint);
/* "host:port", the host not empty. -EINVAL. */
int endpoint_parse_address(struct str text, struct endpoint *ret_endpoint);
/* Only characters that Kafka takes in names and addresses. */
bool endpoint_host_is_valid(struct str host);
/* "id@host:port". -EINVAL. */
int quorum_voter_parse(struct str text, struct quorum_voter *ret_voter);

/* By its name as Kafka writes it, in capitals. */
bool security_protocol_parse(struct str name, enum security_protocol *ret_protocol);
const char *security_protocol_name(enum security_protocol protocol);
