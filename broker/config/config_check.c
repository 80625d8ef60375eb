/*
 * What several settings say together: listeners and their addresses, roles and the quorum, the log
 * directories, and pairs of numbers that must fit. Follows Kafka's KafkaConfig.validateValues;
 * every mistake is reported, not only the first.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "broker/config/config_internal.h"

struct check {
	struct config *config;
	struct config_report *report;
	/* Listener names, in capitals, and what they stand for. */
	struct protocol_name {
		struct str name;
		enum security_protocol protocol;
	} * protocols;
	int32_t protocol_count;
	bool out_of_memory;
};

#define wrong(check, id, ...) \
	config_report_add(    \
		(check)->report, CONFIG_ERROR, str_from(setting_row(id)->name), __VA_ARGS__)

static struct str upper_copy(struct check *check, struct str text)
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

static bool list_holds(struct str_list list, struct str item)
{
	for (int32_t i = 0; i < list.count; i++) {
		if (str_equal(list.items[i], item))
			return true;
	}
	return false;
}

static const struct protocol_name *protocol_find(const struct check *check, struct str listener)
{
	for (int32_t i = 0; i < check->protocol_count; i++) {
		if (str_equal(check->protocols[i].name, listener))
			return &check->protocols[i];
	}
	return NULL;
}

static void protocol_add(struct check *check, struct str listener, enum security_protocol protocol)
{
	struct protocol_name *known = (struct protocol_name *)protocol_find(check, listener);

	if (!known)
		known = &check->protocols[check->protocol_count++];
	*known = (struct protocol_name){listener, protocol};
}

/* Does a listener, or the name of a controller's, show that something other than PLAINTEXT is in
 * use? Then a controller's listener must be mapped by hand. */
static bool names_show_security(const struct check *check, struct str_list controllers)
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
static void read_protocols(struct check *check)
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
			wrong(check, SETTING_LISTENER_SECURITY_PROTOCOL_MAP,
				"listener.security.protocol.map holds %.*s; entries have the form "
				"NAME:PROTOCOL",
				STR_ARGS(item));
		else if (!security_protocol_parse(upper_copy(check, value), &protocol))
			wrong(check, SETTING_LISTENER_SECURITY_PROTOCOL_MAP,
				"listener.security.protocol.map gives %.*s the protocol %.*s; it "
				"is "
				"one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
				STR_ARGS(name), STR_ARGS(value));
		else
			protocol_add(check, upper_copy(check, name), protocol);
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
static void check_distinct(struct check *check, enum setting_id id,
	const struct listener_config *listeners, int32_t count, bool ports_too)
{
	for (int32_t i = 0; i < count; i++) {
		for (int32_t j = 0; j < i; j++) {
			const struct listener_config *a = &listeners[j], *b = &listeners[i];
			if (str_equal(a->name, b->name))
				wrong(check, id, "%s names the listener %.*s twice",
					setting_row(id)->name, STR_ARGS(a->name));
			bool two_stacks = (host_is_ipv4(a->host) && host_is_ipv6(b->host)) ||
					  (host_is_ipv6(a->host) && host_is_ipv4(b->host));
			if (ports_too && a->port == b->port && a->port != 0 && !two_stacks)
				wrong(check, id,
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
	struct check *check, enum setting_id id, int32_t *ret_count)
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
			wrong(check, id, "%s holds %.*s; entries have the form NAME://host:port",
				setting_row(id)->name, STR_ARGS(texts.items[i]));
			continue;
		}
		struct str name = upper_copy(check, endpoint.name);
		const struct protocol_name *protocol = protocol_find(check, name);
		if (!protocol) {
			wrong(check, id,
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
			.is_controller = list_holds(controllers, name),
		};
	}
	return listeners;
}

static const struct listener_config *listener_find(
	const struct listener_config *listeners, int32_t count, struct str name)
{
	for (int32_t i = 0; i < count; i++) {
		if (str_equal(listeners[i].name, name))
			return &listeners[i];
	}
	return NULL;
}

static void read_listeners(struct check *check)
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
		const struct listener_config *told =
			listener_find(config->advertised, config->advertised_count, listener->name);
		/* Controllers' listeners are told even when the list leaves them out. */
		listener->is_advertised = told || listener->is_controller;
		if (told) {
			listener->advertised_host = told->host;
			listener->advertised_port = told->port;
		}
	}
}

static void check_advertised(struct check *check)
{
	struct config *config = check->config;
	int32_t for_brokers = 0;

	for (int32_t i = 0; i < config->advertised_count; i++) {
		const struct listener_config *told = &config->advertised[i];
		bool everywhere = str_equal(told->advertised_host, STR("0.0.0.0"));
		if (everywhere)
			wrong(check, SETTING_ADVERTISED_LISTENERS,
				"advertised.listeners: %.*s would tell clients to connect to "
				"0.0.0.0; give the address by which they reach this machine",
				STR_ARGS(told->name));
		if (told->is_controller)
			continue;
		for_brokers++;
		if (config->roles & CONFIG_ROLE_BROKER &&
			!listener_find(config->listeners, config->listener_count, told->name))
			wrong(check, SETTING_ADVERTISED_LISTENERS,
				"advertised.listeners names %.*s, which is not in listeners",
				STR_ARGS(told->name));
	}
	if (config->roles & CONFIG_ROLE_BROKER && for_brokers == 0)
		wrong(check, SETTING_LISTENERS,
			"listeners has none for clients: all of them are in "
			"controller.listener.names");
}

static void read_inter_broker(struct check *check)
{
	struct config *config = check->config;
	struct str name = config_str(config, SETTING_INTER_BROKER_LISTENER_NAME);

	if (!str_is_null(name) && config_is_set(config, SETTING_SECURITY_INTER_BROKER_PROTOCOL))
		wrong(check, SETTING_INTER_BROKER_LISTENER_NAME,
			"inter.broker.listener.name and security.inter.broker.protocol are both "
			"given; remove the latter");
	if (!str_is_null(name)) {
		config->inter_broker_listener = upper_copy(check, name);
		const struct protocol_name *protocol =
			protocol_find(check, config->inter_broker_listener);
		if (protocol)
			config->inter_broker_protocol = protocol->protocol;
		else
			wrong(check, SETTING_INTER_BROKER_LISTENER_NAME,
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
	const struct listener_config *told = listener_find(
		config->advertised, config->advertised_count, config->inter_broker_listener);
	if (config->roles & CONFIG_ROLE_BROKER && (!told || told->is_controller))
		wrong(check, SETTING_INTER_BROKER_LISTENER_NAME,
			"inter.broker.listener.name is %.*s, which is none of the broker listeners "
			"in advertised.listeners or listeners",
			STR_ARGS(config->inter_broker_listener));
	if (config->roles == CONFIG_ROLE_CONTROLLER && !str_is_null(name) && told &&
		told->is_controller)
		wrong(check, SETTING_INTER_BROKER_LISTENER_NAME,
			"inter.broker.listener.name must not be one of controller.listener.names "
			"when the node is only a controller");
	bool uses_sasl = config->inter_broker_protocol == SECURITY_SASL_PLAINTEXT ||
			 config->inter_broker_protocol == SECURITY_SASL_SSL;
	const struct setting_value *enabled = config_listener_value(
		config, config->inter_broker_listener, SETTING_SASL_ENABLED_MECHANISMS);
	if (uses_sasl && !list_holds(enabled->list,
				 config_str(config, SETTING_SASL_MECHANISM_INTER_BROKER_PROTOCOL)))
		wrong(check, SETTING_SASL_MECHANISM_INTER_BROKER_PROTOCOL,
			"sasl.mechanism.inter.broker.protocol must be one of "
			"sasl.enabled.mechanisms when brokers use SASL among themselves");
}

static void check_early_start(struct check *check)
{
	struct config *config = check->config;
	struct str_list early = config_list(config, SETTING_EARLY_START_LISTENERS);
	struct str_list controllers = config_list(config, SETTING_CONTROLLER_LISTENER_NAMES);

	for (int32_t i = 0; i < early.count; i++) {
		if (!listener_find(config->listeners, config->listener_count, early.items[i]) &&
			!list_holds(controllers, early.items[i]))
			wrong(check, SETTING_EARLY_START_LISTENERS,
				"early.start.listeners holds %.*s, which is in neither listeners "
				"nor "
				"controller.listener.names",
				STR_ARGS(early.items[i]));
	}
}

static void read_roles(struct check *check)
{
	struct config *config = check->config;
	struct str_list roles = config_list(config, SETTING_PROCESS_ROLES);

	if (list_holds(roles, STR("broker")))
		config->roles |= CONFIG_ROLE_BROKER;
	if (list_holds(roles, STR("controller")))
		config->roles |= CONFIG_ROLE_CONTROLLER;
	if (config_int(config, SETTING_NODE_ID) != config_int(config, SETTING_BROKER_ID))
		wrong(check, SETTING_NODE_ID,
			"node.id is %d and broker.id is %d; they are one setting by two names, so "
			"remove broker.id",
			config_int(config, SETTING_NODE_ID), config_int(config, SETTING_BROKER_ID));
}

static void read_voters(struct check *check)
{
	struct config *config = check->config;
	struct str_list texts = config_list(config, SETTING_CONTROLLER_QUORUM_VOTERS);

	config->voters =
		arena_new_array(&config->arena, struct quorum_voter, (size_t)texts.count + 1);
	if (!config->voters) {
		check->out_of_memory = true;
		return;
	}
	for (int32_t i = 0; i < texts.count; i++) {
		struct quorum_voter voter;
		int32_t place = 0;
		ensure(quorum_voter_parse(texts.items[i], &voter) ==
			0); /* checked as it was read */
		if (str_equal(voter.host, STR("0.0.0.0")))
			wrong(check, SETTING_CONTROLLER_QUORUM_VOTERS,
				"controller.quorum.voters holds %.*s, and nobody can connect to "
				"0.0.0.0",
				STR_ARGS(texts.items[i]));
		while (place < config->voter_count && config->voters[place].id != voter.id)
			place++;
		config->voters[place] = voter;
		config->voter_count = max_of(config->voter_count, place + 1);
	}
}

static bool is_voter(const struct config *config)
{
	for (int32_t i = 0; i < config->voter_count; i++) {
		if (config->voters[i].id == config_int(config, SETTING_NODE_ID))
			return true;
	}
	return false;
}

static void check_controller(struct check *check)
{
	struct config *config = check->config;
	struct str_list names = config_list(config, SETTING_CONTROLLER_LISTENER_NAMES);

	if (config->voter_count > 0 && !is_voter(config))
		wrong(check, SETTING_CONTROLLER_QUORUM_VOTERS,
			"controller.quorum.voters must hold this node, whose id is %d, because "
			"process.roles makes it a controller",
			config_int(config, SETTING_NODE_ID));
	for (int32_t i = 0; i < names.count; i++) {
		if (!listener_find(config->listeners, config->listener_count, names.items[i]))
			wrong(check, SETTING_CONTROLLER_LISTENER_NAMES,
				"controller.listener.names holds %.*s, which is not in listeners; "
				"a "
				"controller listens on all of them",
				STR_ARGS(names.items[i]));
	}
	for (int32_t i = 0; config->roles == CONFIG_ROLE_CONTROLLER && i < config->listener_count;
		i++) {
		if (!config->listeners[i].is_controller)
			wrong(check, SETTING_LISTENERS,
				"listeners holds %.*s, which is not in controller.listener.names; "
				"a "
				"node that is only a controller has no others",
				STR_ARGS(config->listeners[i].name));
	}
}

static void check_broker_only(struct check *check)
{
	struct config *config = check->config;
	struct str_list names = config_list(config, SETTING_CONTROLLER_LISTENER_NAMES);

	if (is_voter(config))
		wrong(check, SETTING_CONTROLLER_QUORUM_VOTERS,
			"controller.quorum.voters holds this node, whose id is %d, but "
			"process.roles does not make it a controller",
			config_int(config, SETTING_NODE_ID));
	for (int32_t i = 0; i < config->listener_count; i++) {
		if (config->listeners[i].is_controller)
			wrong(check, SETTING_LISTENERS,
				"listeners holds %.*s, which is in controller.listener.names; only "
				"a "
				"controller listens there",
				STR_ARGS(config->listeners[i].name));
	}
	for (int32_t i = 0; i < names.count; i++) {
		if (!protocol_find(check, upper_copy(check, names.items[i])))
			wrong(check, SETTING_CONTROLLER_LISTENER_NAMES,
				"controller.listener.names holds %.*s, which "
				"listener.security.protocol.map does not give a protocol",
				STR_ARGS(names.items[i]));
	}
	if (config_bool(config, SETTING_CONTROLLER_QUORUM_AUTO_JOIN_ENABLE))
		wrong(check, SETTING_CONTROLLER_QUORUM_AUTO_JOIN_ENABLE,
			"controller.quorum.auto.join.enable is for controllers; remove it");
}

static void check_quorum(struct check *check)
{
	struct config *config = check->config;

	if (config->voter_count == 0 &&
		config_list(config, SETTING_CONTROLLER_QUORUM_BOOTSTRAP_SERVERS).count == 0)
		wrong(check, SETTING_CONTROLLER_QUORUM_VOTERS,
			"either controller.quorum.voters or controller.quorum.bootstrap.servers "
			"must say where the controllers are");
	if (config->roles & CONFIG_ROLE_CONTROLLER)
		check_controller(check);
	else
		check_broker_only(check);
	int heartbeat_ms = config_int(config, SETTING_BROKER_HEARTBEAT_INTERVAL_MS);
	int session_ms = config_int(config, SETTING_BROKER_SESSION_TIMEOUT_MS);
	if (heartbeat_ms > session_ms / 2)
		config_report_add(check->report, CONFIG_WARNING,
			STR("broker.heartbeat.interval.ms"),
			"broker.heartbeat.interval.ms (%d) should be at most half of "
			"broker.session.timeout.ms (%d), or a single late heartbeat fences the "
			"broker",
			heartbeat_ms, session_ms);
}

static void read_log_dirs(struct check *check)
{
	struct config *config = check->config;
	bool several = !config_is_null(config, SETTING_LOG_DIRS);
	struct str_list cordoned = config_list(config, SETTING_CORDONED_LOG_DIRS);

	config->log_dirs = config_list(config, several ? SETTING_LOG_DIRS : SETTING_LOG_DIR);
	if (config->log_dirs.count == 0) {
		wrong(check, SETTING_LOG_DIRS, "log.dirs must hold at least one directory");
		return;
	}
	config->metadata_log_dir = config_is_null(config, SETTING_METADATA_LOG_DIR)
					   ? config->log_dirs.items[0]
					   : config_str(config, SETTING_METADATA_LOG_DIR);
	for (int32_t i = 0; i < cordoned.count; i++) {
		if (str_equal(cordoned.items[i], STR("*"))) {
			if (cordoned.count > 1)
				wrong(check, SETTING_CORDONED_LOG_DIRS,
					"cordoned.log.dirs holds * and other values; * means all");
		} else if (!list_holds(config->log_dirs, cordoned.items[i])) {
			wrong(check, SETTING_CORDONED_LOG_DIRS,
				"cordoned.log.dirs holds %.*s, which is not in log.dirs",
				STR_ARGS(cordoned.items[i]));
		}
	}
}

static const struct order {
	enum setting_id smaller;
	bool strictly;
	enum setting_id larger;
} orders[] = {
#define AT_MOST				 false
#define BELOW				 true
#define ORDER(smaller, relation, larger) {SETTING_##smaller, relation, SETTING_##larger},
#include "broker/config/orders.tbl"
#undef ORDER
#undef AT_MOST
#undef BELOW
};

static void check_orders(struct check *check)
{
	for (size_t i = 0; i < array_length(orders); i++) {
		const struct order *order = &orders[i];
		int64_t smaller = config_value(check->config, order->smaller)->integer;
		int64_t larger = config_value(check->config, order->larger)->integer;
		if (order->strictly ? smaller >= larger : smaller > larger)
			wrong(check, order->smaller, "%s (%" PRId64 ") must be %s %s (%" PRId64 ")",
				setting_row(order->smaller)->name, smaller,
				order->strictly ? "less than" : "at most",
				setting_row(order->larger)->name, larger);
	}
}

static void check_times(struct check *check)
{
	const struct config *config = check->config;
	int64_t retention_ms = config_log_retention_ms(config);
	int64_t cleaners = config_int(config, SETTING_LOG_CLEANER_THREADS);

	if (config_log_roll_ms(config) < 1)
		wrong(check, SETTING_LOG_ROLL_MS, "log.roll.ms must be at least 1");
	if (config_log_roll_jitter_ms(config) < 0)
		wrong(check, SETTING_LOG_ROLL_JITTER_MS, "log.roll.jitter.ms must be at least 0");
	if (retention_ms == 0)
		wrong(check, SETTING_LOG_RETENTION_MS,
			"log.retention.ms (or .minutes, .hours) must be at least 1, or -1 for "
			"ever");
	if (cleaners < 1)
		wrong(check, SETTING_LOG_CLEANER_THREADS, "log.cleaner.threads must be at least 1");
	else if (config_long(config, SETTING_LOG_CLEANER_DEDUPE_BUFFER_SIZE) / cleaners <=
		 1024 * 1024)
		wrong(check, SETTING_LOG_CLEANER_DEDUPE_BUFFER_SIZE,
			"log.cleaner.dedupe.buffer.size must be more than 1 MiB for each of "
			"log.cleaner.threads");
	int64_t idle_ms = config_long(config, SETTING_CONNECTIONS_MAX_IDLE_MS);
	int delay_ms = config_int(config, SETTING_CONNECTION_FAILED_AUTHENTICATION_DELAY_MS);
	if (idle_ms >= 0 && delay_ms >= idle_ms)
		wrong(check, SETTING_CONNECTION_FAILED_AUTHENTICATION_DELAY_MS,
			"connection.failed.authentication.delay.ms (%d) must be less than "
			"connections.max.idle.ms (%" PRId64 ")",
			delay_ms, idle_ms);
}

/* The next "address:count"; false at the end. */
static bool override_next(struct str *rest, struct str *ret_address, struct str *ret_count)
{
	struct str item;

	if (str_is_null(*rest) || str_trim(*rest).size == 0 || !str_split_next(rest, ',', &item))
		return false;
	int32_t colon = item.size - 1;
	while (colon >= 0 && item.data[colon] != ':')
		colon--;
	*ret_address = str_trim((struct str){item.data, max_of(colon, 0)});
	*ret_count = str_trim((struct str){item.data + colon + 1, item.size - colon - 1});
	return true;
}

static int count_parse(struct str text)
{
	int64_t count = 0;

	if (text.size <= 0 || text.size > 10)
		return -1;
	for (int32_t i = 0; i < text.size; i++) {
		if (!isdigit((unsigned char)text.data[i]))
			return -1;
		count = count * 10 + text.data[i] - '0';
	}
	return count > INT32_MAX ? -1 : (int)count;
}

/* Assignors by their short name, or by the class that it stands for in Kafka. */
static const char *const consumer_assignors[] = {"uniform", "range",
	"org.apache.kafka.coordinator.group.assignor.UniformAssignor",
	"org.apache.kafka.coordinator.group.assignor.RangeAssignor", NULL};
static const char *const share_assignors[] = {
	"simple", "org.apache.kafka.coordinator.group.assignor.SimpleAssignor", NULL};

static void check_assignors(struct check *check, enum setting_id id, const char *const *known)
{
	struct str_list list = config_list(check->config, id);

	for (int32_t i = 0; i < list.count; i++) {
		bool found = false;
		for (int j = 0; known[j] && !found; j++)
			found = str_equal(list.items[i], str_from(known[j]));
		if (!found)
			wrong(check, id, "%s holds %.*s; Barnabas has these assignors: %s%s%s",
				setting_row(id)->name, STR_ARGS(list.items[i]), known[0],
				known == consumer_assignors ? ", " : "",
				known == consumer_assignors ? known[1] : "");
	}
}

static void check_codec(struct check *check, enum setting_id id)
{
	int32_t codec = config_int(check->config, id);

	if (codec < 0 || codec > 4)
		wrong(check, id,
			"%s is %d; it is 0 (none), 1 (gzip), 2 (snappy), 3 (lz4) or 4 (zstd)",
			setting_row(id)->name, codec);
}

static void check_limits(struct check *check)
{
	const struct config *config = check->config;
	int64_t queued = config_long(config, SETTING_QUEUED_MAX_REQUEST_BYTES);
	int64_t request = config_int(config, SETTING_SOCKET_REQUEST_MAX_BYTES);
	struct str rest = config_str(config, SETTING_MAX_CONNECTIONS_PER_IP_OVERRIDES);
	struct str address, count;
	bool overrides = false;

	if (queued > 0 && queued < request)
		wrong(check, SETTING_QUEUED_MAX_REQUEST_BYTES,
			"queued.max.request.bytes (%" PRId64 ") must be at least "
			"socket.request.max.bytes (%" PRId64 "), or -1",
			queued, request);
	while (override_next(&rest, &address, &count)) {
		overrides = true;
		if (address.size == 0 || !endpoint_host_is_valid(address) || count_parse(count) < 0)
			wrong(check, SETTING_MAX_CONNECTIONS_PER_IP_OVERRIDES,
				"max.connections.per.ip.overrides: entries have the form "
				"address:count");
	}
	if (config_int(config, SETTING_MAX_CONNECTIONS_PER_IP) == 0 && !overrides)
		wrong(check, SETTING_MAX_CONNECTIONS_PER_IP,
			"max.connections.per.ip can be 0 only when "
			"max.connections.per.ip.overrides "
			"lets some addresses in");
	if (!list_holds(config_list(config, SETTING_GROUP_COORDINATOR_REBALANCE_PROTOCOLS),
		    STR("classic")))
		wrong(check, SETTING_GROUP_COORDINATOR_REBALANCE_PROTOCOLS,
			"group.coordinator.rebalance.protocols must hold classic");
	check_codec(check, SETTING_OFFSETS_TOPIC_COMPRESSION_CODEC);
	check_codec(check, SETTING_SHARE_COORDINATOR_STATE_TOPIC_COMPRESSION_CODEC);
	check_assignors(check, SETTING_GROUP_CONSUMER_ASSIGNORS, consumer_assignors);
	check_assignors(check, SETTING_GROUP_SHARE_ASSIGNORS, share_assignors);
	if (config_list(config, SETTING_GROUP_SHARE_ASSIGNORS).count != 1)
		wrong(check, SETTING_GROUP_SHARE_ASSIGNORS,
			"group.share.assignors must hold exactly one assignor");
}

int config_derive(struct config *config, struct config_report *report)
{
	struct check check = {.config = config, .report = report};

	read_roles(&check);
	read_listeners(&check);
	if (!check.out_of_memory)
		read_voters(&check);
	if (check.out_of_memory)
		return -ENOMEM;
	read_inter_broker(&check);
	check_advertised(&check);
	check_early_start(&check);
	check_quorum(&check);
	read_log_dirs(&check);
	check_orders(&check);
	check_times(&check);
	check_limits(&check);
	return check.out_of_memory ? -ENOMEM : 0;
}

__attribute__((format(printf, 3, 4))) static void unserved(
	struct config_report *report, enum setting_id id, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	config_report_add(report, CONFIG_ERROR, str_from(setting_row(id)->name), "%s", text);
	config_report_last(report)->unserved = true;
}

void config_check_served(const struct config *config, struct config_report *report)
{
	for (int32_t i = 0; i < config->listener_count; i++) {
		const struct listener_config *listener = &config->listeners[i];
		if (listener->protocol != SECURITY_PLAINTEXT)
			unserved(report, SETTING_LISTENERS,
				"listeners: %.*s asks for %s, which is not served yet; only "
				"PLAINTEXT "
				"is",
				STR_ARGS(listener->name),
				security_protocol_name(listener->protocol));
	}
	if (config->roles != (CONFIG_ROLE_BROKER | CONFIG_ROLE_CONTROLLER))
		unserved(report, SETTING_PROCESS_ROLES,
			"process.roles must be broker,controller: nodes of several processes are "
			"not served yet");
	if (config->voter_count > 1)
		unserved(report, SETTING_CONTROLLER_QUORUM_VOTERS,
			"controller.quorum.voters names %d controllers: quorums of several are not "
			"served yet",
			config->voter_count);
}

/* ---- What was derived ---- */

int32_t config_node_id(const struct config *config)
{
	return config_int(config, SETTING_NODE_ID);
}

unsigned config_roles(const struct config *config)
{
	return config->roles;
}

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

const struct quorum_voter *config_voters(const struct config *config, int32_t *ret_count)
{
	*ret_count = config->voter_count;
	return config->voters;
}

struct str_list config_log_dirs(const struct config *config)
{
	return config->log_dirs;
}

struct str config_metadata_log_dir(const struct config *config)
{
	return config->metadata_log_dir;
}

struct str config_inter_broker_listener(const struct config *config)
{
	return config->inter_broker_listener;
}

int32_t config_connections_per_address(const struct config *config, struct str address)
{
	struct str rest = config_str(config, SETTING_MAX_CONNECTIONS_PER_IP_OVERRIDES);
	struct str known, count;

	while (override_next(&rest, &known, &count)) {
		if (str_equal(known, address))
			return count_parse(count);
	}
	return config_int(config, SETTING_MAX_CONNECTIONS_PER_IP);
}
