/*
 * What several settings say together: roles and the quorum, the log directories, and pairs of
 * numbers that must fit (listeners: config_listeners.c). Follows Kafka's
 * KafkaConfig.validateValues; every mistake is reported, not only the first.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "broker/config/config_check.h"

static void read_roles(struct config_check *check)
{
	struct config *config = check->config;
	struct str_list roles = config_list(config, SETTING_PROCESS_ROLES);

	if (config_list_holds(roles, STR("broker")))
		config->roles |= CONFIG_ROLE_BROKER;
	if (config_list_holds(roles, STR("controller")))
		config->roles |= CONFIG_ROLE_CONTROLLER;
	if (config_int(config, SETTING_NODE_ID) != config_int(config, SETTING_BROKER_ID))
		config_wrong(check, SETTING_NODE_ID,
			"node.id is %d and broker.id is %d; they are one setting by two names, so "
			"remove broker.id",
			config_int(config, SETTING_NODE_ID), config_int(config, SETTING_BROKER_ID));
}

static void read_voters(struct config_check *check)
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
			config_wrong(check, SETTING_CONTROLLER_QUORUM_VOTERS,
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

static void check_controller(struct config_check *check)
{
	struct config *config = check->config;
	struct str_list names = config_list(config, SETTING_CONTROLLER_LISTENER_NAMES);

	if (config->voter_count > 0 && !is_voter(config))
		config_wrong(check, SETTING_CONTROLLER_QUORUM_VOTERS,
			"controller.quorum.voters must hold this node, whose id is %d, because "
			"process.roles makes it a controller",
			config_int(config, SETTING_NODE_ID));
	for (int32_t i = 0; i < names.count; i++) {
		if (!config_listener_find(
			    config->listeners, config->listener_count, names.items[i]))
			config_wrong(check, SETTING_CONTROLLER_LISTENER_NAMES,
				"controller.listener.names holds %.*s, which is not in listeners; "
				"a "
				"controller listens on all of them",
				STR_ARGS(names.items[i]));
	}
	for (int32_t i = 0; config->roles == CONFIG_ROLE_CONTROLLER && i < config->listener_count;
		i++) {
		if (!config->listeners[i].is_controller)
			config_wrong(check, SETTING_LISTENERS,
				"listeners holds %.*s, which is not in controller.listener.names; "
				"a "
				"node that is only a controller has no others",
				STR_ARGS(config->listeners[i].name));
	}
}

static void check_broker_only(struct config_check *check)
{
	struct config *config = check->config;
	struct str_list names = config_list(config, SETTING_CONTROLLER_LISTENER_NAMES);

	if (is_voter(config))
		config_wrong(check, SETTING_CONTROLLER_QUORUM_VOTERS,
			"controller.quorum.voters holds this node, whose id is %d, but "
			"process.roles does not make it a controller",
			config_int(config, SETTING_NODE_ID));
	for (int32_t i = 0; i < config->listener_count; i++) {
		if (config->listeners[i].is_controller)
			config_wrong(check, SETTING_LISTENERS,
				"listeners holds %.*s, which is in controller.listener.names; only "
				"a "
				"controller listens there",
				STR_ARGS(config->listeners[i].name));
	}
	for (int32_t i = 0; i < names.count; i++) {
		if (!config_protocol_find(check, config_upper_copy(check, names.items[i])))
			config_wrong(check, SETTING_CONTROLLER_LISTENER_NAMES,
				"controller.listener.names holds %.*s, which "
				"listener.security.protocol.map does not give a protocol",
				STR_ARGS(names.items[i]));
	}
	if (config_bool(config, SETTING_CONTROLLER_QUORUM_AUTO_JOIN_ENABLE))
		config_wrong(check, SETTING_CONTROLLER_QUORUM_AUTO_JOIN_ENABLE,
			"controller.quorum.auto.join.enable is for controllers; remove it");
}

static void check_quorum(struct config_check *check)
{
	struct config *config = check->config;

	if (config->voter_count == 0 &&
		config_list(config, SETTING_CONTROLLER_QUORUM_BOOTSTRAP_SERVERS).count == 0)
		config_wrong(check, SETTING_CONTROLLER_QUORUM_VOTERS,
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

static void read_log_dirs(struct config_check *check)
{
	struct config *config = check->config;
	bool several = !config_is_null(config, SETTING_LOG_DIRS);
	struct str_list cordoned = config_list(config, SETTING_CORDONED_LOG_DIRS);

	config->log_dirs = config_list(config, several ? SETTING_LOG_DIRS : SETTING_LOG_DIR);
	if (config->log_dirs.count == 0) {
		config_wrong(check, SETTING_LOG_DIRS, "log.dirs must hold at least one directory");
		return;
	}
	config->metadata_log_dir = config_is_null(config, SETTING_METADATA_LOG_DIR)
					   ? config->log_dirs.items[0]
					   : config_str(config, SETTING_METADATA_LOG_DIR);
	for (int32_t i = 0; i < cordoned.count; i++) {
		if (str_equal(cordoned.items[i], STR("*"))) {
			if (cordoned.count > 1)
				config_wrong(check, SETTING_CORDONED_LOG_DIRS,
					"cordoned.log.dirs holds * and other values; * means all");
		} else if (!config_list_holds(config->log_dirs, cordoned.items[i])) {
			config_wrong(check, SETTING_CORDONED_LOG_DIRS,
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

static void check_orders(struct config_check *check)
{
	for (size_t i = 0; i < array_length(orders); i++) {
		const struct order *order = &orders[i];
		int64_t smaller = config_value(check->config, order->smaller)->integer;
		int64_t larger = config_value(check->config, order->larger)->integer;
		if (order->strictly ? smaller >= larger : smaller > larger)
			config_wrong(check, order->smaller,
				"%s (%" PRId64 ") must be %s %s (%" PRId64 ")",
				setting_row(order->smaller)->name, smaller,
				order->strictly ? "less than" : "at most",
				setting_row(order->larger)->name, larger);
	}
}

static void check_times(struct config_check *check)
{
	const struct config *config = check->config;
	int64_t retention_ms = config_log_retention_ms(config);
	int64_t cleaners = config_int(config, SETTING_LOG_CLEANER_THREADS);

	if (config_log_roll_ms(config) < 1)
		config_wrong(check, SETTING_LOG_ROLL_MS, "log.roll.ms must be at least 1");
	if (config_log_roll_jitter_ms(config) < 0)
		config_wrong(
			check, SETTING_LOG_ROLL_JITTER_MS, "log.roll.jitter.ms must be at least 0");
	if (retention_ms == 0)
		config_wrong(check, SETTING_LOG_RETENTION_MS,
			"log.retention.ms (or .minutes, .hours) must be at least 1, or -1 for "
			"ever");
	if (cleaners < 1)
		config_wrong(check, SETTING_LOG_CLEANER_THREADS,
			"log.cleaner.threads must be at least 1");
	else if (config_long(config, SETTING_LOG_CLEANER_DEDUPE_BUFFER_SIZE) / cleaners <=
		 1024 * 1024)
		config_wrong(check, SETTING_LOG_CLEANER_DEDUPE_BUFFER_SIZE,
			"log.cleaner.dedupe.buffer.size must be more than 1 MiB for each of "
			"log.cleaner.threads");
	int64_t idle_ms = config_long(config, SETTING_CONNECTIONS_MAX_IDLE_MS);
	int delay_ms = config_int(config, SETTING_CONNECTION_FAILED_AUTHENTICATION_DELAY_MS);
	if (idle_ms >= 0 && delay_ms >= idle_ms)
		config_wrong(check, SETTING_CONNECTION_FAILED_AUTHENTICATION_DELAY_MS,
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

static void check_assignors(
	struct config_check *check, enum setting_id id, const char *const *known)
{
	struct str_list list = config_list(check->config, id);

	for (int32_t i = 0; i < list.count; i++) {
		bool found = false;
		for (int j = 0; known[j] && !found; j++)
			found = str_equal(list.items[i], str_from(known[j]));
		if (!found)
			config_wrong(check, id,
				"%s holds %.*s; Barnabas has these assignors: %s%s%s",
				setting_row(id)->name, STR_ARGS(list.items[i]), known[0],
				known == consumer_assignors ? ", " : "",
				known == consumer_assignors ? known[1] : "");
	}
}

static void check_codec(struct config_check *check, enum setting_id id)
{
	int32_t codec = config_int(check->config, id);

	if (codec < 0 || codec > 4)
		config_wrong(check, id,
			"%s is %d; it is 0 (none), 1 (gzip), 2 (snappy), 3 (lz4) or 4 (zstd)",
			setting_row(id)->name, codec);
}

static void check_limits(struct config_check *check)
{
	const struct config *config = check->config;
	int64_t queued = config_long(config, SETTING_QUEUED_MAX_REQUEST_BYTES);
	int64_t request = config_int(config, SETTING_SOCKET_REQUEST_MAX_BYTES);
	struct str rest = config_str(config, SETTING_MAX_CONNECTIONS_PER_IP_OVERRIDES);
	struct str address, count;
	bool overrides = false;

	if (queued > 0 && queued < request)
		config_wrong(check, SETTING_QUEUED_MAX_REQUEST_BYTES,
			"queued.max.request.bytes (%" PRId64 ") must be at least "
			"socket.request.max.bytes (%" PRId64 "), or -1",
			queued, request);
	while (override_next(&rest, &address, &count)) {
		overrides = true;
		if (address.size == 0 || !endpoint_host_is_valid(address) || count_parse(count) < 0)
			config_wrong(check, SETTING_MAX_CONNECTIONS_PER_IP_OVERRIDES,
				"max.connections.per.ip.overrides: entries have the form "
				"address:count");
	}
	if (config_int(config, SETTING_MAX_CONNECTIONS_PER_IP) == 0 && !overrides)
		config_wrong(check, SETTING_MAX_CONNECTIONS_PER_IP,
			"max.connections.per.ip can be 0 only when "
			"max.connections.per.ip.overrides "
			"lets some addresses in");
	if (!config_list_holds(config_list(config, SETTING_GROUP_COORDINATOR_REBALANCE_PROTOCOLS),
		    STR("classic")))
		config_wrong(check, SETTING_GROUP_COORDINATOR_REBALANCE_PROTOCOLS,
			"group.coordinator.rebalance.protocols must hold classic");
	check_codec(check, SETTING_OFFSETS_TOPIC_COMPRESSION_CODEC);
	check_codec(check, SETTING_SHARE_COORDINATOR_STATE_TOPIC_COMPRESSION_CODEC);
	check_assignors(check, SETTING_GROUP_CONSUMER_ASSIGNORS, consumer_assignors);
	check_assignors(check, SETTING_GROUP_SHARE_ASSIGNORS, share_assignors);
	if (config_list(config, SETTING_GROUP_SHARE_ASSIGNORS).count != 1)
		config_wrong(check, SETTING_GROUP_SHARE_ASSIGNORS,
			"group.share.assignors must hold exactly one assignor");
}

int config_derive(struct config *config, struct config_report *report)
{
	struct config_check check = {.config = config, .report = report};

	read_roles(&check);
	config_read_listeners(&check);
	if (!check.out_of_memory)
		read_voters(&check);
	if (check.out_of_memory)
		return -ENOMEM;
	config_read_inter_broker(&check);
	config_check_advertised(&check);
	config_check_early_start(&check);
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
