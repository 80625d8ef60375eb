import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/**
 * The Java client under test, of whichever version stands on the class path: what differs between versions (poll's
 * argument, headers) goes through reflection, so one source serves 0.10.2 to the newest. Takes commands on standard
 * input and answers each with one line; README.md describes both, and the records that every client writes alike.
 */
public class Client {
	static String bootstrap;
	static final Method POLL_LONG = method(Consumer.class, "poll", long.class);
	static final Method POLL_DURATION = method(Consumer.class, "poll", java.time.Duration.class);
	static final Method HEADERS_OUT = method(ProducerRecord.class, "headers");
	static final Method HEADERS_IN = method(ConsumerRecord.class, "headers");

	static Method method(Class<?> type, String name, Class<?>... arguments) {
		try {
			return type.getMethod(name, arguments);
		} catch (NoSuchMethodException e) {
			return null;
		}
	}

	static byte[] key(int i) {
		return i % 6 == 5 ? null : ("key-" + i).getBytes(StandardCharsets.UTF_8);
	}

	static byte[] value(int i) {
		if (i % 10 == 9)
			return null;
		int size = i == 38 ? 1000000 : new int[] {0, 1, 1024, 100}[i % 4];
		byte[] out = new byte[size];
		for (int j = 0; j < size; j++)
			out[j] = (byte) ('a' + (i * 31 + j * 7) % 26);
		return out;
	}

	static Map<String, String> headers(int i) {
		Map<String, String> out = new LinkedHashMap<>();
		if (i % 3 == 0) {
			out.put("h1", "v-" + i);
			out.put("h2", "");
		}
		return out;
	}

	static KafkaConsumer<byte[], byte[]> consumer(String group) {
		Properties p = new Properties();
		p.put("bootstrap.servers", bootstrap);
		p.put("auto.offset.reset", "earliest");
		p.put("enable.auto.commit", "false");
		p.put("fetch.max.wait.ms", "100");
		p.put("max.partition.fetch.bytes", "300000");
		if (group != null)
			p.put("group.id", group);
		return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
	}

	@SuppressWarnings("unchecked")
	static ConsumerRecords<byte[], byte[]> poll(Consumer<byte[], byte[]> c) throws Exception {
		return (ConsumerRecords<byte[], byte[]>) (POLL_DURATION != null
			? POLL_DURATION.invoke(c, java.time.Duration.ofMillis(200)) : POLL_LONG.invoke(c, 200L));
	}

	static void check(ConsumerRecord<byte[], byte[]> r, int i, long base, boolean withHeaders) throws Exception {
		if (r.offset() != i)
			throw new Exception("offset " + r.offset() + " where " + i + " was due");
		if (!Arrays.equals(r.key(), key(i)))
			throw new Exception("key of " + i + " differs");
		if (!Arrays.equals(r.value(), value(i)))
			throw new Exception("value of " + i + " differs: " + (r.value() == null ? -1 : r.value().length) + " bytes");
		if (base > 0 && r.timestamp() != base + i * 1000L)
			throw new Exception("timestamp of " + i + " is " + r.timestamp());
		if (HEADERS_IN != null) {
			Map<String, String> found = new LinkedHashMap<>();
			Iterable<?> rows = (Iterable<?>) HEADERS_IN.invoke(r);
			for (Object h : rows) {
				Method name = h.getClass().getMethod("key"), content = h.getClass().getMethod("value");
				name.setAccessible(true);
				content.setAccessible(true);
				found.put((String) name.invoke(h), new String((byte[]) content.invoke(h), StandardCharsets.UTF_8));
			}
			if (!found.equals(withHeaders ? headers(i) : new LinkedHashMap<>()))
				throw new Exception("headers of " + i + " are " + found);
		}
	}

	static void read(KafkaConsumer<byte[], byte[]> c, int from, int to, long base, boolean withHeaders) throws Exception {
		int next = from;
		long deadline = System.currentTimeMillis() + 40000;
		while (next < to) {
			for (ConsumerRecord<byte[], byte[]> r : poll(c)) {
				if (next < to)
					check(r, next, base, withHeaders);
				next++;
			}
			if (System.currentTimeMillis() > deadline)
				throw new Exception("only up to " + next + " of " + to + " in time");
		}
	}

	static void produce(String topic, String codec, int count, long base, boolean withHeaders, boolean idempotent)
		throws Exception {
		Properties p = new Properties();
		p.put("bootstrap.servers", bootstrap);
		p.put("acks", "all");
		p.put("linger.ms", "20");
		p.put("compression.type", codec);
		if (HEADERS_OUT != null) // as old as headers: 0.11
			p.put("enable.idempotence", String.valueOf(idempotent));
		try (KafkaProducer<byte[], byte[]> producer =
				new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
			List<Future<RecordMetadata>> sent = new ArrayList<>();
			for (int i = 0; i < count; i++) {
				ProducerRecord<byte[], byte[]> r = new ProducerRecord<>(topic, 0, base > 0 ? base + i * 1000L : null,
					key(i), value(i));
				if (withHeaders) {
					Object h = HEADERS_OUT.invoke(r);
					Method add = h.getClass().getMethod("add", String.class, byte[].class);
					add.setAccessible(true);
					for (Map.Entry<String, String> e : headers(i).entrySet())
						add.invoke(h, e.getKey(), e.getValue().getBytes(StandardCharsets.UTF_8));
				}
				sent.add(producer.send(r));
			}
			for (int i = 0; i < count; i++)
				if (sent.get(i).get().offset() != i)
					throw new Exception("record " + i + " got offset " + sent.get(i).get().offset());
		}
	}

	static void run(String[] a) throws Exception {
		TopicPartition tp = new TopicPartition(a[1], 0);
		switch (a[0]) {
		case "produce": // TOPIC CODEC COUNT BASE HEADERS IDEMPOTENT
			produce(a[1], a[2], Integer.parseInt(a[3]), Long.parseLong(a[4]), a[5].equals("1"), a[6].equals("1"));
			break;
		case "read": // TOPIC FROM TO BASE HEADERS
			try (KafkaConsumer<byte[], byte[]> c = consumer(null)) {
				c.assign(Collections.singletonList(tp));
				c.seek(tp, Long.parseLong(a[2]));
				read(c, Integer.parseInt(a[2]), Integer.parseInt(a[3]), Long.parseLong(a[4]), a[5].equals("1"));
			}
			break;
		case "time": // TOPIC INDEX TO BASE HEADERS: from half a second before record INDEX
			try (KafkaConsumer<byte[], byte[]> c = consumer(null)) {
				c.assign(Collections.singletonList(tp));
				int index = Integer.parseInt(a[2]);
				long base = Long.parseLong(a[4]);
				OffsetAndTimestamp found = c.offsetsForTimes(Collections.singletonMap(tp, base + index * 1000L - 500)).get(tp);
				if (found == null || found.offset() != index || found.timestamp() != base + index * 1000L)
					throw new Exception("found " + found);
				if (c.offsetsForTimes(Collections.singletonMap(tp, base + 100000000L)).get(tp) != null)
					throw new Exception("found a time after the last record");
				c.seek(tp, found.offset());
				read(c, index, Integer.parseInt(a[3]), base, a[5].equals("1"));
			}
			break;
		case "group": // TOPIC GROUP FROM TO BASE HEADERS: reads and commits TO
			try (KafkaConsumer<byte[], byte[]> c = consumer(a[2])) {
				c.subscribe(Collections.singletonList(a[1]));
				int to = Integer.parseInt(a[4]);
				read(c, Integer.parseInt(a[3]), to, Long.parseLong(a[5]), a[6].equals("1"));
				c.commitSync(Collections.singletonMap(tp, new OffsetAndMetadata(to, "at " + to)));
			}
			break;
		default:
			throw new Exception("unknown command");
		}
	}

	public static void main(String[] args) throws Exception {
		bootstrap = args[0];
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
		for (String line; (line = in.readLine()) != null;) {
			try {
				run(line.split(" "));
				System.out.println("ok");
			} catch (Throwable e) {
				Throwable cause = e instanceof java.lang.reflect.InvocationTargetException ? e.getCause() : e;
				System.out.println("FAIL " + String.valueOf(cause).replace('\n', ' '));
			}
		}
	}
}
