import java.util.*;
import java.util.concurrent.Callable;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** The administrative client, 0.11 and newer; calls that came later are left out where they are missing. */
class Administration {
	static AdminClient client;

	static Object result(Object answer, String names) throws Exception {
		Object inner = Calls.call(answer, names);
		if (inner instanceof Map)
			inner = ((Map<?, ?>) inner).values().iterator().next();
		return Calls.call(inner, "get");
	}

	/** Asks again for a while: a change shows on a broker when its metadata has come, which may be after the answer. */
	static void settled(String what, Callable<?> asked, Object wanted) throws Exception {
		for (long deadline = System.currentTimeMillis() + 15000;; Thread.sleep(50))
			try {
				Client.equal(what, asked.call(), wanted);
				return;
			} catch (Exception e) {
				if (System.currentTimeMillis() > deadline)
					throw e;
			}
	}

	static int partitions(String topic) throws Exception {
		Object description = result(client.describeTopics(Collections.singletonList(topic)), "topicNameValues|values");
		return ((List<?>) Calls.call(description, "partitions")).size();
	}

	static String retention(ConfigResource resource) throws Exception {
		return client.describeConfigs(Collections.singleton(resource)).all().get().get(resource).get("retention.ms").value();
	}

	static boolean listed(String group) throws Exception {
		for (Object listing : (Collection<?>) result(Calls.call(client, "listConsumerGroups"), "all"))
			if (Calls.call(listing, "groupId").equals(group))
				return true;
		return false;
	}

	static void set(ConfigResource resource, String value) throws Exception {
		ConfigEntry entry = new ConfigEntry("retention.ms", value);
		Object answer;
		if (Calls.has(client, "incrementalAlterConfigs")) { // 2.3
			Class<?> type = Class.forName("org.apache.kafka.clients.admin.AlterConfigOp");
			Object set = Enum.valueOf((Class) Class.forName("org.apache.kafka.clients.admin.AlterConfigOp$OpType"), "SET");
			Object operation = type.getConstructors()[0].newInstance(entry, set);
			answer = Calls.call(client, "incrementalAlterConfigs",
				Collections.singletonMap(resource, Collections.singletonList(operation)));
		} else {
			answer = Calls.call(client, "alterConfigs", Collections.singletonMap(resource, new Config(Collections.singleton(entry))));
		}
		result(answer, "all");
	}

	static void run(String topic, String group, String empty) throws Exception {
		Properties p = new Properties();
		p.put("bootstrap.servers", Client.bootstrap);
		client = AdminClient.create(p);
		try {
			ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
			client.createTopics(Collections.singleton(new NewTopic(topic, 3, (short) 1)
				.configs(Collections.singletonMap("retention.ms", "70000")))).all().get();
			settled("partitions", () -> partitions(topic), 3);
			settled("retention.ms", () -> retention(resource), "70000");
			set(resource, "80000");
			settled("retention.ms", () -> retention(resource), "80000");
			if (Calls.has(client, "createPartitions")) { // 1.0
				Object more = Class.forName("org.apache.kafka.clients.admin.NewPartitions").getMethod("increaseTo", int.class)
					.invoke(null, 5);
				result(Calls.call(client, "createPartitions", Collections.singletonMap(topic, more)), "all");
				settled("partitions", () -> partitions(topic), 5);
			}
			Client.produce(topic, "none", 5, 0, false, false);
			if (Calls.has(client, "deleteRecords")) { // 1.1
				TopicPartition tp = new TopicPartition(topic, 0);
				Object before = Class.forName("org.apache.kafka.clients.admin.RecordsToDelete").getMethod("beforeOffset", long.class)
					.invoke(null, 3L);
				result(Calls.call(client, "deleteRecords", Collections.singletonMap(tp, before)), "all");
				try (KafkaConsumer<byte[], byte[]> c = Client.consumer(null)) {
					Client.equal("earliest offset", c.beginningOffsets(Collections.singleton(tp)).get(tp), 3L);
				}
			}
			if (Calls.has(client, "listConsumerGroups")) { // 2.0
				Client.equal("listing", listed(group), true);
				Object description = result(Calls.call(client, "describeConsumerGroups", Collections.singleton(group)),
					"describedGroups");
				Client.equal("state of the group",
					String.valueOf(Calls.call(description, "groupState|state")).toUpperCase(Locale.ROOT), "EMPTY");
				result(Calls.call(client, "deleteConsumerGroups", Collections.singleton(empty)), "all");
				Client.equal("listing", listed(empty), false);
			}
			client.deleteTopics(Collections.singleton(topic)).all().get();
			settled("listing of the topic", () -> client.listTopics().names().get().contains(topic), false);
		} finally {
			client.close();
		}
	}
}
