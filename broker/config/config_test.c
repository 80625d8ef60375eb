#include "broker/config/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

/* Builds from "name=value" lines and gives the findings as one text. */
struct built {
	struct arena arena;
	struct config_report report;
	struct config *config;
	int error;
	char findings[16384];
};

static void built_tell(struct built *built)
{
	size_t used = strlen(built->findings);

	for (struct config_finding *finding = built->report.first; finding; finding = finding->next)
		used += (size_t)snprintf(built->findings + used, sizeof(built->findings) - used,
			"%d %.*s\n", finding->severity, STR_ARGS(finding->text));
}

static struct config_entries entries_from(struct arena *arena, const char *text)
{
	struct config_entries entries;
	struct properties_problem problem;

	cr_assert_eq(properties_parse(str_from(text), arena, &entries, &problem), 0);
	return entries;
}

static void build(struct built *built, const char *text)
{
	memset(built, 0, sizeof(*built));
	arena_init(&built->arena, 1 << 20);
	config_report_init(&built->report);
	struct config_entries entries = entries_from(&built->arena, text);
	built->error = config_new(&entries, 1, &built->report, &built->config);
	built_tell(built);
}

static void built_done(struct built *built)
{
	config_unref(built->config);
	config_report_done(&built->report);
	arena_done(&built->arena);
}

#define BASE                                                                                 \
	"process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=CONTROLLER\n" \
	"controller.quorum.voters=1@localhost:9093\n"

#define GOOD BASE "listeners=PLAINTEXT://:9092,CONTROLLER://:9093\nlog.dirs=/d/a,/d/b\n"

Test(config, values_have_their_types)
{
	struct built built;

	build(&built, GOOD "num.partitions=7\nlog.retention.hours=2\nbroker.rack=r1\n");
	cr_assert_eq(built.error, 0, "%s", built.findings);
	const struct config *config = built.config;
	cr_assert_eq(config_int(config, SETTING_NUM_PARTITIONS), 7);
	cr_assert_eq(config_int(config, SETTING_OFFSETS_TOPIC_REPLICATION_FACTOR), 3);
	cr_assert_eq(config_log_retention_ms(config), 2 * 3600 * 1000);
	cr_assert_eq(config_log_roll_ms(config), 168ll * 3600 * 1000);
	cr_assert_eq(config_log_flush_ms(config), INT64_MAX);
	cr_assert(str_equal(config_str(config, SETTING_BROKER_RACK), STR("r1")));
	cr_assert(str_is_null(config_str(config, SETTING_INTER_BROKER_LISTENER_NAME)));
	cr_assert_eq(config_double(config, SETTING_LOG_CLEANER_MIN_CLEANABLE_RATIO), 0.5);
	cr_assert(config_bool(config, SETTING_AUTO_CREATE_TOPICS_ENABLE));
	cr_assert(config_is_set(config, SETTING_NUM_PARTITIONS));
	cr_assert_not(config_is_set(config, SETTING_NUM_IO_THREADS));
	cr_assert_eq(config_int(config, SETTING_BROKER_ID), 1, "follows node.id");
	cr_assert_eq(config_log_dirs(config).count, 2);
	cr_assert(str_equal(config_metadata_log_dir(config), STR("/d/a")));
	cr_assert_eq(config_roles(config), CONFIG_ROLE_BROKER | CONFIG_ROLE_CONTROLLER);
	built_done(&built);
}

Test(config, listeners_are_parsed)
{
	struct built built;
	int32_t count;

	build(&built,
		BASE "listeners=INTERNAL://[::1]:9092,external://10.0.0.1:9094,CONTROLLER://:9093\n"
		     "advertised.listeners=EXTERNAL://broker.example:443\n"
		     "inter.broker.listener.name=external\n"
		     "listener.security.protocol.map="
		     "INTERNAL:plaintext,EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT\n");
	cr_assert_eq(built.error, 0, "%s", built.findings);
	const struct listener_config *listeners = config_listeners(built.config, &count);
	cr_assert_eq(count, 3);
	cr_assert(str_equal(listeners[0].name, STR("INTERNAL")));
	cr_assert(str_equal(listeners[0].host, STR("::1")));
	cr_assert_not(listeners[0].is_advertised);
	cr_assert(str_equal(listeners[1].name, STR("EXTERNAL")));
	cr_assert(str_equal(listeners[1].host, STR("10.0.0.1")));
	cr_assert_eq(listeners[1].port, 9094);
	cr_assert(str_equal(listeners[1].advertised_host, STR("broker.example")));
	cr_assert_eq(listeners[1].advertised_port, 443);
	cr_assert(listeners[2].is_controller);
	cr_assert_eq(listeners[2].host.size, 0);
	config_advertised(built.config, &count);
	cr_assert_eq(count, 1);
	cr_assert(str_equal(config_inter_broker_listener(built.config), STR("EXTERNAL")));
	built_done(&built);
}

/* A wrong configuration, and what its findings must name. */
Test(config, refuses_what_does_not_fit_together)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{"", "process.roles must be given"},
		{"", "node.id must be given"},
		{GOOD "num.partitions=many", "Invalid value many for configuration num.partitions"},
		{GOOD "broker.id=2", "node.id is 1 and broker.id is 2"},
		{BASE "listeners=PLAINTEXT://:9092", "CONTROLLER, which is not in listeners"},
		{BASE "listeners=CONTROLLER://:9093", "has none for clients"},
		{BASE "listeners=PLAINTEXT:9092,CONTROLLER://:9093", "NAME://host:port"},
		{BASE "listeners=FOO://:1,CONTROLLER://:9093", "does not give a protocol"},
		{BASE "listeners=PLAINTEXT://:1,CONTROLLER://:1", "two listeners on port 1"},
		{BASE "listeners=PLAINTEXT://:1,PLAINTEXT://:2,CONTROLLER://:3", "twice"},
		{GOOD "advertised.listeners=PLAINTEXT://0.0.0.0:1", "0.0.0.0"},
		{GOOD "advertised.listeners=SSL://h:1", "SSL, which is not in listeners"},
		{GOOD "inter.broker.listener.name=SSL", "none of the broker listeners"},
		{GOOD "inter.broker.listener.name=X", "does not give a protocol"},
		{GOOD "listener.security.protocol.map=PLAINTEXT:PLAIN,CONTROLLER:PLAINTEXT",
			"the protocol PLAIN"},
		{"process.roles=broker,controller\nnode.id=2\ncontroller.listener.names=C\n"
		 "controller.quorum.voters=1@h:1\nlisteners=PLAINTEXT://:1,C://:2",
			"must hold this node, whose id is 2"},
		{"process.roles=broker,controller\nnode.id=2\ncontroller.listener.names=C\n"
		 "listeners=PLAINTEXT://:1,C://:2",
			"must say where the controllers are"},
		{GOOD "log.retention.ms=0", "log.retention.ms"},
		{GOOD "log.roll.ms=0", "log.roll.ms must be at least 1"},
		{GOOD "queued.max.request.bytes=100", "queued.max.request.bytes (100)"},
		{GOOD "max.connections.per.ip=0", "max.connections.per.ip can be 0 only"},
		{GOOD "max.connections.per.ip.overrides=1.2.3.4", "address:count"},
		{GOOD "replica.fetch.wait.max.ms=30001",
			"must be at most replica.socket.timeout.ms"},
		{GOOD "group.consumer.heartbeat.interval.ms=60000",
			"group.consumer.max.heartbeat.interval.ms"},
		{GOOD "cordoned.log.dirs=/d/c", "/d/c, which is not in log.dirs"},
		{GOOD "group.coordinator.rebalance.protocols=consumer", "must hold classic"},
		/* What is not served, and what would leave a door open. */
		{BASE "listeners=SSL://:1,PLAINTEXT://:2,CONTROLLER://:3\n"
		      "listener.security.protocol.map=SSL:SSL,PLAINTEXT:PLAINTEXT,"
		      "CONTROLLER:PLAINTEXT",
			"SSL asks for SSL, which is not served yet"},
		{GOOD "authorizer.class.name=org.apache.kafka.metadata.authorizer."
		      "StandardAuthorizer",
			"authorizer.class.name cannot be obeyed"},
		{GOOD "authorizer.class.name=com.example.Own", "cannot be obeyed"},
		{GOOD "principal.builder.class=com.example.Own", "cannot be obeyed"},
		{GOOD "listener.name.plaintext.ssl.engine.factory.class=com.example.Own",
			"cannot be obeyed"},
		{GOOD "remote.log.storage.system.enable=true", "cannot be obeyed"},
		{GOOD "barnabas.strict.config=true\nnum.partition=3",
			"did you mean num.partitions"},
	};

	for (size_t i = 0; i < array_length(cases); i++) {
		struct built built;
		build(&built, cases[i].text);
		cr_assert_eq(built.error, -EINVAL, "%s\n%s", cases[i].text, built.findings);
		cr_assert_null(built.config);
		cr_assert_not_null(strstr(built.findings, cases[i].words), "%s\n%s", cases[i].text,
			built.findings);
		built_done(&built);
	}
}

/* What only warns, and with which words. */
Test(config, tells_of_what_has_no_effect)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{GOOD "num.partition=3", "1 num.partition is not a known setting; did you mean"},
		{GOOD "something.else.altogether=1", "1 something.else.altogether is not a known"},
		{GOOD "zookeeper.connect=h:2181", "1 zookeeper.connect is no longer a setting"},
		{GOOD "num.network.threads=9",
			"1 num.network.threads has no effect: Barnabas runs"},
		{GOOD "num.network.threads=3", "0 num.network.threads has no effect"},
		{GOOD "listener.name.plaintext.sasl.enabled.mechanisms=PLAIN",
			"SASL is not served"},
		{GOOD "listener.name.x.plain.sasl.jaas.config=secret", "SASL is not served"},
		{GOOD "listener.name.x.nonsense=1", "listener.name.x.nonsense is not a known"},
		{GOOD "rsm.config.bucket=b", "meant for a Java plug-in"},
	};

	for (size_t i = 0; i < array_length(cases); i++) {
		struct built built;
		build(&built, cases[i].text);
		cr_assert_eq(built.error, 0, "%s\n%s", cases[i].text, built.findings);
		cr_assert_not_null(strstr(built.findings, cases[i].words), "%s\n%s", cases[i].text,
			built.findings);
		cr_assert_null(strstr(built.findings, "secret"));
		built_done(&built);
	}
}

Test(config, a_file_without_surprises_has_no_findings)
{
	struct built built;

	build(&built, GOOD "num.partitions=7\n");
	cr_assert_str_eq(built.findings, "");
	built_done(&built);
}

/* Only what differs needs to be said; the controller inside goes along. */
Test(config, the_embedded_default_serves_a_node_of_its_own)
{
	static const struct {
		const char *overrides;
		int32_t node_id;
		uint16_t port;
	} cases[] = {{"", 1, 9092}, {"listeners=PLAINTEXT://127.0.0.1:21200", 1, 21200},
		{"node.id=5", 5, 9092}, {"node.id=5\nlisteners=PLAINTEXT://:1", 5, 1}};

	for (size_t i = 0; i < array_length(cases); i++) {
		struct arena arena;
		struct config_report report;
		struct config *config = NULL;
		int32_t count;

		arena_init(&arena, 1 << 20);
		config_report_init(&report);
		struct config_entries overrides = entries_from(&arena, cases[i].overrides);
		cr_assert_eq(config_new_embedded(&overrides, &report, &config), 0, "%s %.*s",
			cases[i].overrides, STR_ARGS(report.first->text));
		cr_assert_eq(config_node_id(config), cases[i].node_id);
		cr_assert_eq(config_listeners(config, &count)[0].port, cases[i].port);
		cr_assert_eq(count, 2);
		cr_assert_eq(config_voters(config, &count)[0].id, cases[i].node_id);
		cr_assert_eq(config_int(config, SETTING_OFFSETS_TOPIC_REPLICATION_FACTOR), 1);
		config_unref(config);
		config_report_done(&report);
		arena_done(&arena);
	}
}

/* Static, cluster-wide and per-broker values on top of each other. */
Test(config, dynamic_layers_win_over_the_file)
{
	struct built built;
	struct config *changed;

	build(&built,
		GOOD "log.retention.hours=2\nmessage.max.bytes=1000\nnum.io.threads=9\nx.y=1\n");
	cr_assert_eq(built.error, 0, "%s", built.findings);
	struct config_entries cluster = entries_from(&built.arena,
		"log.retention.ms=5000\nmessage.max.bytes=2000\nnum.partitions=9\n"
		"listeners=PLAINTEXT://:1\nlog.segment.bytes=1\n");
	struct config_entries broker = entries_from(&built.arena, "message.max.bytes=3000\n");
	cr_assert_eq(config_update(built.config, &cluster, &broker, &built.report, &changed), 0);
	cr_assert_eq(config_int(changed, SETTING_MESSAGE_MAX_BYTES), 3000);
	cr_assert_eq(config_log_retention_ms(changed), 5000);
	cr_assert_eq(config_int(changed, SETTING_LOG_RETENTION_HOURS), 168, "hidden by ms");
	cr_assert_eq(config_int(changed, SETTING_NUM_PARTITIONS), 1, "read-only");
	cr_assert_eq(config_int(changed, SETTING_LOG_SEGMENT_BYTES), 1 << 30, "out of range");
	cr_assert_eq(built.report.warnings, 2 + 3, "%d %s", built.report.warnings, built.findings);
	/* The old one is untouched, and lives as long as somebody holds it. */
	cr_assert_eq(config_int(built.config, SETTING_MESSAGE_MAX_BYTES), 1000);
	struct config *held = config_ref(changed);
	config_unref(changed);
	cr_assert_eq(config_int(held, SETTING_MESSAGE_MAX_BYTES), 3000);

	/* What the file said is not told again. */
	struct config_report again;
	struct config_entries none = {0};
	config_report_init(&again);
	cr_assert_eq(config_update(held, &none, &none, &again, &changed), 0);
	cr_assert_null(again.first);
	config_report_done(&again);
	cr_assert_eq(config_int(changed, SETTING_MESSAGE_MAX_BYTES), 1000, "removed again");
	config_unref(changed);
	config_unref(held);
	built_done(&built);
}

Test(config, limits_by_address)
{
	struct built built;

	build(&built, GOOD "max.connections.per.ip=10\n"
			   "max.connections.per.ip.overrides=127.0.0.1:3, fe80::1:4\n");
	cr_assert_eq(built.error, 0, "%s", built.findings);
	cr_assert_eq(config_connections_per_address(built.config, STR("127.0.0.1")), 3);
	cr_assert_eq(config_connections_per_address(built.config, STR("fe80::1")), 4);
	cr_assert_eq(config_connections_per_address(built.config, STR("127.0.0.2")), 10);
	built_done(&built);
}
