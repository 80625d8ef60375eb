/*
 * Listeners: from `listeners`, `advertised.listeners` and their protocols to a parsed array, with
 * an error for whatever does not fit together.
 */
#include <ctype.h>
#include <errno.h>

#include "broker/config/config_check.h"

struct str config_upper_copy(struct config_check *check, struct str text)
{
	struct str copy = arena_str(&check->config->arena, text);

	if (str_is_null(copy)) {
		check->out_of_memory = true;
		return STR("");
	}
	for (int32_t i = 0; i < copy.size; i++)
		((char *)copy.data)[i] = (char)toupper((unsigned char)copy.data[i]);
	return copy;
}

bool config_list_holds(struct str_list list, struct str item)
{
	for (int32_t i = 0; i < list.count; i++) {
		if (str_equal(list.items[i], item))
			return true;
	}
	return false;
}

const struct protocol_name *config_protocol_find(
	const struct config_check *check, struct str listener)
{
	for (int32_t i = 0; i < check->protocol_count; i++) {
		if (str_equal(check->protocols[i].name, listener))
			return &check->protocols[i];
	}
	return NULL;
}

static void protocol_add(
	struct config_check *check, struct str listener, enum security_protocol protocol)
{
	struct protocol_name *known = (struct protocol_name *)config_protocol_find(check, listener);

	if (!known)
		known = &check->protocols[check->protocol_count++];
	*known = (struct protocol_name){listener, protocol};
}

/* Does a listener, or the name of a controller's, show that something other than PLAINTEXT is in
 * use? Then a controller's listener must be mapped by hand. */
static bool names_show_security(const struct config_check *check, struct str_list controllers)
{
	struct str_list listeners = config_list(check->config, SETTING_LISTENERS);
	enum security_protocol protocol;

	for (int32_t i = 0; i < controllers.count; i++) {
		if (security_protocol_parse(controllers.items[i], &protocol) &&
			protocol != SECURITY_PLAINTEXT)
			return true;
	}
	for (int32_t i = 0; i < listeners.count; i++) {
		struct str rest = listeners.items[i], name;
		if (str_split_next(&rest, ':', &name) && security_protocol_parse(name, &protocol) &&
			protocol != SECURITY_PLAINTEXT)
			return true;
	}
	return false;
}

/* listener.security.protocol.map; when it is not given, controllers' listeners are PLAINTEXT. */
static void read_protocols(struct config_check *check)
{
	struct str rest = config_str(check->config, SETTING_LISTENER_SECURITY_PROTOCOL_MAP), item;
	struct str_list controllers = config_list(check->config, SETTING_CONTROLLER_LISTENER_NAMES);
	int32_t room = 1 + controllers.count;
	enum security_protocol protocol;

	for (int32_t i = 0; i < rest.size; i++)
		room += rest.data[i] == ',';
	check->protocols =
		arena_new_array(&check->config->arena, struct protocol_name, (size_t)room);
	if (!check->protocols) {
		check->out_of_memory = true;
		return;
	}
	if (str_trim(rest).size == 0)
		rest = STR_NULL;
	while (str_split_next(&rest, ',', &item)) {
		/* The last colon separates, as Kafka has it. */
		int32_t colon = item.size - 1;
		while (colon >= 0 && item.data[colon] != ':')
			colon--;
		struct str name = str_trim((struct str){item.data, max_of(colon, 0)});
		struct str value =
			str_trim((struct str){item.data + colon + 1, item.size - colon - 1});
		if (colon < 0 || name.size == 0)
			config_wrong(check, SETTING_LISTENER_SECURITY_PROTOCOL_MAP,
				"listener.security.protocol.map holds %.*s; entries have the form "
				"NAME:PROTOCOL",
				STR_ARGS(item));
		else if (!security_protocol_parse(config_upper_copy(check, value), &protocol))
			config_wrong(check, SETTING_LISTENER_SECURITY_PROTOCOL_MAP,
				"listener.security.protocol.map gives %.*s the protocol %.*s; it "
				"is "
				"one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
				STR_ARGS(name), STR_ARGS(value));
		else
			protocol_add(check, config_upper_copy(check, name), protocol);
	}
	if (config_is_set(check->config, SETTING_LISTENER_SECURITY_PROTOCOL_MAP) ||
		names_show_security(check, controllers))
		return;
	for (int32_t i = 0; i < controllers.count; i++) {
		if (!str_equal(controllers.items[i], STR("PLAINTEXT")))
			protocol_add(check, controllers.items[i], SECURITY_PLAINTEXT);
	}
}

static bool host_is_ipv6(struct str host)
{
	return host.size > 0 && memchr(host.data, ':', (size_t)host.size);
}

static bool host_is_ipv4(struct str host)
{
	int dots = 0;

	for (int32_t i = 0; i < host.size; i++) {
		if (host.data[i] == '.')
			dots++;
		else if (!isdigit((unsigned char)host.data[i]))
			return false;
	}
	return dots == 3;
}

/* Two listeners share a name, or a port without one being IPv4 and the other IPv6. */
static void check_distinct(struct config_check *check, enum setting_id id,
	const struct listener_config *listeners, int32_t count, bool ports_too)
{
	for (int32_t i = 0; i < count; i++) {
		for (int32_t j = 0; j < i; j++) {
			const struct listener_config *a = &listeners[j], *b = &listeners[i];
			if (str_equal(a->name, b->name))
				config_wrong(check, id, "%s names the listener %.*s twice",
					setting_row(id)->name, STR_ARGS(a->name));
			bool two_stacks = (host_is_ipv4(a->host) && host_is_ipv6(b->host)) ||
					  (host_is_ipv6(a->host) && host_is_ipv4(b->host));
			if (ports_too && a->port == b->port && a->port != 0 && !two_stacks)
				config_wrong(check, id,
					"%s has two listeners on port %u, %.*s and %.*s; each "
					"needs a "
					"port of its own, unless one is IPv4 and the other IPv6",
					setting_row(id)->name, a->port, STR_ARGS(a->name),
					STR_ARGS(b->name));
		}
	}
}

/* One setting's list of NAME://host:port. Hosts are views into the configuration's own copies. */
static struct listener_config *read_endpoints(
	struct config_check *check, enum setting_id id, int32_t *ret_count)
{
	struct str_list texts = config_list(check->config, id);
	struct str_list controllers = config_list(check->config, SETTING_CONTROLLER_LISTENER_NAMES);
	struct listener_config *listeners = arena_new_array(
		&check->config->arena, struct listener_config, (size_t)texts.count + 1);

	*ret_count = 0;
	if (!listeners) {
		check->out_of_memory = true;
		return NULL;
	}
	for (int32_t i = 0; i < texts.count; i++) {
		struct endpoint endpoint;
		if (endpoint_parse(texts.items[i], &endpoint) < 0) {
			config_wrong(check, id,
				"%s holds %.*s; entries have the form NAME://host:port",
				setting_row(id)->name, STR_ARGS(texts.items[i]));
			continue;
		}
		struct str name = config_upper_copy(check, endpoint.name);
		const struct protocol_name *protocol = config_protocol_find(check, name);
		if (!protocol) {
			config_wrong(check, id,
				"%s names the listener %.*s, which "
				"listener.security.protocol.map does not give a protocol",
				setting_row(id)->name, STR_ARGS(name));
			continue;
		}
		listeners[(*ret_count)++] = (struct listener_config){
			.name = name,
			.host = endpoint.host,
			.port = endpoint.port,
			.advertised_host = endpoint.host,
			.advertised_port = endpoint.port,
			.is_advertised = true,
			.protocol = protocol->protocol,
			.is_controller = config_list_holds(controllers, name),
		};
	}
	return listeners;
}

const struct listener_config *config_listener_find(
	const struct listener_config *listeners, int32_t count, struct str name)
{
	for (int32_t i = 0; i < count; i++) {
		if (str_equal(listeners[i].name, name))
			return &listeners[i];
	}
	return NULL;
}

void config_read_listeners(struct config_check *check)
{
	struct config *config = check->config;

	read_protocols(check);
	if (check->out_of_memory)
		return;
	config->listeners = read_endpoints(check, SETTING_LISTENERS, &config->listener_count);
	if (!config->listeners)
		return;
	check_distinct(check, SETTING_LISTENERS, config->listeners, config->listener_count, true);
	/* A controller is told by its machine's name where it listens on all addresses. */
	for (int32_t i = 0; i < config->listener_count; i++) {
		struct listener_config *listener = &config->listeners[i];
		if (listener->is_controller && str_equal(listener->host, STR("0.0.0.0")))
			listener->advertised_host = STR("");
	}
	if (config_is_null(config, SETTING_ADVERTISED_LISTENERS)) {
		config->advertised = config->listeners;
		config->advertised_count = config->listener_count;
		return;
	}
	config->advertised =
		read_endpoints(check, SETTING_ADVERTISED_LISTENERS, &config->advertised_count);
	if (!config->advertised)
		return;
	check_distinct(check, SETTING_ADVERTISED_LISTENERS, config->advertised,
		config->advertised_count, false);
	for (int32_t i = 0; i < config->listener_count; i++) {
		struct listener_config *listener = &config->listeners[i];
		const struct listener_config *told = config_listener_find(
			config->advertised, config->advertised_count, listener->name);
		/* Controllers' listeners are told even when the list leaves them out. */
		listener->is_advertised = told || listener->is_controller;
		if (told) {
			listener->advertised_host = told->host;
			listener->advertised_port = told->port;
		}
	}
}

void config_check_advertised(struct config_check *check)
{
	struct config *config = check->config;
	int32_t for_brokers = 0;

	for (int32_t i = 0; i < config->advertised_count; i++) {
		const struct listener_config *told = &config->advertised[i];
		bool everywhere = str_equal(told->advertised_host, STR("0.0.0.0"));
		if (everywhere)
			config_wrong(check, SETTING_ADVERTISED_LISTENERS,
				"advertised.listeners: %.*s would tell clients to connect to "
				"0.0.0.0; give the address by which they reach this machine",
				STR_ARGS(told->name));
		if (told->is_controller)
			continue;
		for_brokers++;
		if (config->roles & CONFIG_ROLE_BROKER &&
			!config_listener_find(
				config->listeners, config->listener_count, told->name))
			config_wrong(check, SETTING_ADVERTISED_LISTENERS,
				"advertised.listeners names %.*s, which is not in listeners",
				STR_ARGS(told->name));
	}
	if (config->roles & CONFIG_ROLE_BROKER && for_brokers == 0)
		config_wrong(check, SETTING_LISTENERS,
			"listeners has none for clients: all of them are in "
			"controller.listener.names");
}

void config_read_inter_broker(struct config_check *check)
{
	struct config *config = check->config;
	struct str name = config_str(config, SETTING_INTER_BROKER_LISTENER_NAME);

	if (!str_is_null(name) && config_is_set(config, SETTING_SECURITY_INTER_BROKER_PROTOCOL))
		config_wrong(check, SETTING_INTER_BROKER_LISTENER_NAME,
			"inter.broker.listener.name and security.inter.broker.protocol are both "
			"given; remove the latter");
	if (!str_is_null(name)) {
		config->inter_broker_listener = config_upper_copy(check, name);
		const struct protocol_name *protocol =
			config_protocol_find(check, config->inter_broker_listener);
		if (protocol)
			config->inter_broker_protocol = protocol->protocol;
		else
			config_wrong(check, SETTING_INTER_BROKER_LISTENER_NAME,
				"inter.broker.listener.name is %.*s, which "
				"listener.security.protocol.map does not give a protocol",
				STR_ARGS(name));
	} else {
		/* The listener is called as its protocol. */
		config->inter_broker_listener =
			config_str(config, SETTING_SECURITY_INTER_BROKER_PROTOCOL);
		ensure(security_protocol_parse(
			config->inter_broker_listener, &config->inter_broker_protocol));
	}
	const struct listener_config *told = config_listener_find(
		config->advertised, config->advertised_count, config->inter_broker_listener);
	if (config->roles & CONFIG_ROLE_BROKER && (!told || told->is_controller))
		config_wrong(check, SETTING_INTER_BROKER_LISTENER_NAME,
			"inter.broker.listener.name is %.*s, which is none of the broker listeners "
			"in advertised.listeners or listeners",
			STR_ARGS(config->inter_broker_listener));
	if (config->roles == CONFIG_ROLE_CONTROLLER && !str_is_null(name) && told &&
		told->is_controller)
		config_wrong(check, SETTING_INTER_BROKER_LISTENER_NAME,
			"inter.broker.listener.name must not be one of controller.listener.names "
			"when the node is only a controller");
	bool uses_sasl = config->inter_broker_protocol == SECURITY_SASL_PLAINTEXT ||
			 config->inter_broker_protocol == SECURITY_SASL_SSL;
	const struct setting_value *enabled = config_listener_value(
		config, config->inter_broker_listener, SETTING_SASL_ENABLED_MECHANISMS);
	if (uses_sasl && !config_list_holds(enabled->list,
				 config_str(config, SETTING_SASL_MECHANISM_INTER_BROKER_PROTOCOL)))
		config_wrong(check, SETTING_SASL_MECHANISM_INTER_BROKER_PROTOCOL,
			"sasl.mechanism.inter.broker.protocol must be one of "
			"sasl.enabled.mechanisms when brokers use SASL among themselves");
}

void config_check_early_start(struct config_check *check)
{
	struct config *config = check->config;
	struct str_list early = config_list(config, SETTING_EARLY_START_LISTENERS);
	struct str_list controllers = config_list(config, SETTING_CONTROLLER_LISTENER_NAMES);

	for (int32_t i = 0; i < early.count; i++) {
		if (!config_listener_find(
			    config->listeners, config->listener_count, early.items[i]) &&
			!config_list_holds(controllers, early.items[i]))
			config_wrong(check, SETTING_EARLY_START_LISTENERS,
				"early.start.listeners holds %.*s, which is in neither listeners "
				"nor "
				"controller.listener.names",
				STR_ARGS(early.items[i]));
	}
}

/* ---- What was derived ---- */

const struct listener_config *config_listeners(const struct config *config, int32_t *ret_count)
{
	*ret_count = config->listener_count;
	return config->listeners;
}

const struct listener_config *config_advertised(const struct config *config, int32_t *ret_count)
{
	*ret_count = config->advertised_count;
	return config->advertised;
}

struct str config_inter_broker_listener(const struct config *config)
{
	return config->inter_broker_listener;
}
