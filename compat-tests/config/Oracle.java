/*
 * What Apache Kafka itself makes of a configuration: reads scenarios from standard input, and for
 * each step prints one line, in the same form as probe.c prints ours. Nothing is started: the
 * classes that a broker and a controller would ask are asked directly.
 *
 * It sits in Kafka's package because ConfigurationControlManager is visible there only.
 */
package org.apache.kafka.controller;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Field;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.AbstractMap.SimpleImmutableEntry;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;

import kafka.server.ConfigAdminManager;
import kafka.server.ConfigHelper;
import kafka.server.ControllerConfigurationValidator;
import kafka.server.KafkaConfig;
import kafka.server.KafkaRaftServer;

import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.message.AlterConfigsRequestData;
import org.apache.kafka.common.message.DescribeConfigsRequestData.DescribeConfigsResource;
import org.apache.kafka.common.message.IncrementalAlterConfigsRequestData;
import org.apache.kafka.common.metadata.ConfigRecord;
import org.apache.kafka.common.metadata.FeatureLevelRecord;
import org.apache.kafka.common.requests.ApiError;
import org.apache.kafka.coordinator.group.GroupConfig;
import org.apache.kafka.metadata.ConfigRepository;
import org.apache.kafka.metadata.MetadataCache;
import org.apache.kafka.server.common.ApiMessageAndVersion;
import org.apache.kafka.server.common.EligibleLeaderReplicasVersion;
import org.apache.kafka.server.common.MetadataVersion;
import org.apache.kafka.server.config.AbstractKafkaConfig;
import org.apache.kafka.server.config.DynamicBrokerConfig;
import org.apache.kafka.server.config.DynamicConfig;
import org.apache.kafka.server.config.ServerTopicConfigSynonyms;
import org.apache.kafka.server.metrics.ClientMetricsConfigs;
import org.apache.kafka.storage.internals.log.LogConfig;

public class Oracle {
    private final Properties fixed = new Properties();
    private final Properties cluster = new Properties();
    private final Properties broker = new Properties();
    private final Properties own = new Properties();

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Oracle oracle = new Oracle();
        for (String line = in.readLine(); line != null; line = in.readLine())
            oracle.step(line.split("\t", -1));
    }

    private void step(String[] step) {
        switch (step[0]) {
            case "scenario":
                fixed.clear();
                cluster.clear();
                broker.clear();
                own.clear();
                break;
            case "static":
                set(fixed, step[1]);
                break;
            case "cluster":
                set(cluster, step[1]);
                break;
            case "broker":
                set(broker, step[1]);
                break;
            case "own":
                set(own, step[1]);
                break;
            case "rows":
                rows();
                return;
            default:
                System.out.println(answer(step));
        }
    }

    private static void set(Properties to, String entry) {
        int at = entry.indexOf('=');
        to.setProperty(entry.substring(0, at), entry.substring(at + 1));
    }

    private String answer(String[] step) {
        try {
            switch (step[0]) {
                case "start":
                    KafkaConfig.fromProps(fixed);
                    return "started";
                case "describe":
                    return describe(step[1]);
                case "alter":
                    return alter(step);
                default:
                    return "unknown step " + step[0];
            }
        } catch (Throwable e) {
            if (step[0].equals("start"))
                return "refused\t" + e.getMessage();
            return "threw " + e;
        }
    }

    private KafkaConfig config() {
        KafkaConfig config = KafkaConfig.fromProps(fixed);
        config.dynamicConfig().initialize(scala.Option.empty());
        config.dynamicConfig().updateDefaultConfig(cluster, false);
        config.dynamicConfig().updateBrokerConfig(config.nodeId(), broker, false);
        return config;
    }

    private ConfigRepository repository() {
        return new ConfigRepository() {
            @Override
            public Properties config(ConfigResource resource) {
                Properties copy = new Properties();
                if (resource.type() == ConfigResource.Type.BROKER)
                    copy.putAll(resource.name().isEmpty() ? cluster : broker);
                else
                    copy.putAll(own);
                return copy;
            }
        };
    }

    /* ---- DescribeConfigs ---- */

    private String describe(String what) {
        KafkaConfig config = config();
        MetadataCache cache = (MetadataCache) Proxy.newProxyInstance(Oracle.class.getClassLoader(),
            new Class<?>[] {MetadataCache.class}, (proxy, method, args) -> method.getName().equals("contains") ? true : null);
        DescribeConfigsResource resource = new DescribeConfigsResource()
            .setResourceType(type(what.equals("cluster") ? "broker" : what).id())
            .setResourceName(what.equals("cluster") ? "" : what.equals("broker") ? "" + config.nodeId() : "name");
        var results = new ConfigHelper(cache, config, repository()).describeConfigs(
            scala.jdk.javaapi.CollectionConverters.asScala(List.of(resource)).toList(), true, false);
        var result = results.head();
        TreeSet<String> lines = new TreeSet<>();
        for (var entry : result.configs()) {
            StringBuilder line = new StringBuilder();
            line.append(entry.name()).append('=').append(entry.value()).append(" source=").append(entry.configSource())
                .append(entry.isSensitive() ? " sensitive" : "").append(entry.readOnly() ? " read-only" : "")
                .append(" type=").append(entry.configType());
            for (var synonym : entry.synonyms())
                line.append(" {").append(synonym.name()).append('=').append(synonym.value()).append(' ')
                    .append(synonym.source()).append('}');
            lines.add(line.toString());
        }
        return "described " + result.errorCode() + "\t" + String.join("\t", lines);
    }

    private static ConfigResource.Type type(String name) {
        switch (name) {
            case "broker": return ConfigResource.Type.BROKER;
            case "topic": return ConfigResource.Type.TOPIC;
            case "group": return ConfigResource.Type.GROUP;
            case "metrics": return ConfigResource.Type.CLIENT_METRICS;
            default: throw new IllegalArgumentException(name);
        }
    }

    /* ---- AlterConfigs: alter, resource, name, elr, whole, then op:name=value ---- */

    private String alter(String[] step) throws Exception {
        KafkaConfig config = config();
        ConfigResource resource = new ConfigResource(type(step[1]), step[2]);
        boolean elr = step[3].equals("1");
        boolean whole = step[4].equals("1");
        ConfigAdminManager manager = new ConfigAdminManager(config.nodeId(), config, repository());
        Map<String, Map.Entry<OpType, String>> operations = new LinkedHashMap<>();
        Map<String, String> values = new LinkedHashMap<>();
        var incremental = new IncrementalAlterConfigsRequestData.AlterConfigsResource()
            .setResourceType(resource.type().id()).setResourceName(step[2]);
        var legacy = new AlterConfigsRequestData.AlterConfigsResource()
            .setResourceType(resource.type().id()).setResourceName(step[2]);
        for (int i = 5; i < step.length; i++) {
            int colon = step[i].indexOf(':');
            int equals = step[i].indexOf('=');
            byte operation = Byte.parseByte(step[i].substring(0, colon));
            String name = step[i].substring(colon + 1, equals < 0 ? step[i].length() : equals);
            String value = equals < 0 ? null : step[i].substring(equals + 1);
            incremental.configs().add(new IncrementalAlterConfigsRequestData.AlterableConfig()
                .setName(name).setConfigOperation(operation).setValue(value));
            legacy.configs().add(new AlterConfigsRequestData.AlterableConfig().setName(name).setValue(value));
            operations.put(name, new SimpleImmutableEntry<>(OpType.forId(operation), value));
            values.put(name, value);
        }
        ApiError early = null;
        if (whole) {
            AlterConfigsRequestData request = new AlterConfigsRequestData();
            request.resources().add(legacy);
            early = manager.preprocess(request).get(legacy);
        } else {
            IncrementalAlterConfigsRequestData request = new IncrementalAlterConfigsRequestData();
            request.resources().add(incremental);
            early = manager.preprocess(request, (type, name) -> true).get(incremental);
        }
        if (early != null)
            return "error " + early.error().code() + "\t" + early.message();

        ConfigurationControlManager controller = controller(config, elr);
        replay(controller, new ConfigResource(ConfigResource.Type.BROKER, ""), cluster);
        replay(controller, new ConfigResource(ConfigResource.Type.BROKER, "" + config.nodeId()), broker);
        if (resource.type() != ConfigResource.Type.BROKER)
            replay(controller, resource, own);
        ControllerResult<Map<ConfigResource, ApiError>> result = whole
            ? controller.legacyAlterConfigs(Map.of(resource, values), false, true)
            : controller.incrementalAlterConfigs(Map.of(resource, operations), false, true);
        ApiError error = result.response().get(resource);
        if (error.isFailure())
            return "error " + error.error().code() + "\t" + error.message();
        TreeSet<String> records = new TreeSet<>();
        for (ApiMessageAndVersion message : result.records()) {
            // A change of min.insync.replicas clears eligible leader replicas, too; that is the controller's to test.
            if (message.message() instanceof ConfigRecord) {
                ConfigRecord record = (ConfigRecord) message.message();
                records.add(record.name() + "=" + record.value());
            }
        }
        return "altered\t" + String.join("\t", records);
    }

    private static ConfigurationControlManager controller(KafkaConfig config, boolean elr) {
        FeatureControlManager features = new FeatureControlManager.Builder()
            .setQuorumFeatures(new QuorumFeatures(config.nodeId(), QuorumFeatures.defaultSupportedFeatureMap(true),
                List.of(config.nodeId()))).build();
        features.replay(new FeatureLevelRecord().setName(MetadataVersion.FEATURE_NAME)
            .setFeatureLevel(MetadataVersion.latestProduction().featureLevel()));
        features.replay(new FeatureLevelRecord().setName(EligibleLeaderReplicasVersion.FEATURE_NAME)
            .setFeatureLevel((short) (elr ? 1 : 0)));
        return new ConfigurationControlManager.Builder().setKafkaConfigSchema(KafkaRaftServer.configSchema())
            .setValidator(new ControllerConfigurationValidator(config)).setFeatureControl(features)
            .setStaticConfig(config.originals()).setNodeId(config.nodeId()).build();
    }

    private static void replay(ConfigurationControlManager controller, ConfigResource resource, Properties values) {
        for (String name : values.stringPropertyNames())
            controller.replay(new ConfigRecord().setResourceType(resource.type().id()).setResourceName(resource.name())
                .setName(name).setValue(values.getProperty(name)));
    }

    /* ---- The definitions ---- */

    private static void rows() {
        Map<String, String> modes = DynamicBrokerConfig.dynamicConfigUpdateModes();
        Map<String, ConfigDef.ConfigKey> brokers = new TreeMap<>(DynamicConfig.Broker.configKeys());
        brokers.putAll(AbstractKafkaConfig.CONFIG_DEF.configKeys());
        brokers.values().forEach(key -> row("broker", key, modes.getOrDefault(key.name, "read-only"), ""));
        LogConfig.configKeys().values().forEach(key -> row("topic", key, "dynamic",
            ServerTopicConfigSynonyms.TOPIC_CONFIG_SYNONYMS.getOrDefault(key.name, "")));
        GroupConfig.CONFIG_DEF.configKeys().values().forEach(key -> row("group", key, "dynamic",
            GroupConfig.ALL_GROUP_CONFIG_SYNONYMS.get(key.name).orElse("")));
        ClientMetricsConfigs.configDef().configKeys().values().forEach(key -> row("metrics", key, "dynamic", ""));
    }

    private static void row(String resource, ConfigDef.ConfigKey key, String scope, String synonym) {
        String fallback = key.hasDefault() ? ConfigDef.convertToString(key.defaultValue, key.type) : "(required)";
        System.out.println(String.join("\t", resource, key.name, key.type.name(), String.valueOf(fallback),
            range(key), key.importance.name(), scope, key.internalConfig ? "internal" : "", synonym));
    }

    private static String range(ConfigDef.ConfigKey key) {
        if (key.validator == null)
            return "";
        String kind = key.validator.getClass().getSimpleName();
        String words = key.validator.toString();
        if (kind.equals("NonNullValidator"))
            return ""; // what is written somewhere is never null
        if (!kind.equals("ValidList"))
            return kind + " " + words;
        try {
            Field empty = key.validator.getClass().getDeclaredField("isEmptyAllowed");
            empty.setAccessible(true);
            return kind + (empty.getBoolean(key.validator) ? "" : " not empty") + " " + words;
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }
}
