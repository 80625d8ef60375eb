import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/**
 * The Java client under test, of whichever version stands on the class path: what differs between versions (poll's
 * argument, headers, times) goes through Calls, so one source serves 0.9.0 to the newest. Takes commands on standard
 * input and answers each with one line, as README.md says.
 */
public class Client {
	static final long WAIT_MS = 120000;
	static String bootstrap;
	static BufferedReader in;

	/** 0.10 brought timestamps, 0.10.1 search by time, 0.11 headers and idempotence. */
	static final boolean TIMESTAMPS = Calls.find(ConsumerRecord.class, "timestamp") != null;
	static final boolean HEADERS = Calls.find(ConsumerRecord.class, "headers") != null;
	static final java.lang.reflect.Method POLL_DURATION = Calls.find(Consumer.class, "poll", java.time.Duration.class);
	static final java.lang.reflect.Method POLL_LONG = Calls.find(Consumer.class, "poll", long.class);

	static KafkaConsumer<byte[], byte[]> consumer(String group) {
		return consumer(group, "6000");
	}

	static KafkaConsumer<byte[], byte[]> consumer(String group, String sessionTimeout) {
		Properties p = new Properties();
		p.put("bootstrap.servers", bootstrap);
		p.put("auto.offset.reset", "earliest");
		p.put("enable.auto.commit", "false");
		p.put("fetch.max.wait.ms", "100");
		// Before 0.10.1 a record larger than this could not be read.
		p.put("max.partition.fetch.bytes", TIMESTAMPS && Calls.find(Consumer.class, "offsetsForTimes", Map.class) != null
			? "30000" : "6000000");
		p.put("session.timeout.ms", sessionTimeout);
		p.put("heartbeat.interval.ms", "500");
		if (group != null)
			p.put("group.id", group);
		return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
	}

	static KafkaProducer<byte[], byte[]> producer(String codec, boolean idempotent) {
		Properties p = new Properties();
		p.put("bootstrap.servers", bootstrap);
		p.put("acks", "all");
		p.put("linger.ms", "20");
		p.put("compression.type", codec);
		p.put("max.request.size", "20000000");
		p.put("retries", "1000");
		if (HEADERS)
			p.put("enable.idempotence", String.valueOf(idempotent));
		if (!idempotent)
			p.put("max.in.flight.requests.per.connection", "1");
		return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
	}

	@SuppressWarnings("unchecked")
	static ConsumerRecords<byte[], byte[]> poll(Consumer<byte[], byte[]> c) throws Exception {
		return (ConsumerRecords<byte[], byte[]>) (POLL_DURATION != null
			? POLL_DURATION.invoke(c, java.time.Duration.ofMillis(200)) : POLL_LONG.invoke(c, 200L));
	}

	static void equal(String what, Object found, Object wanted) throws Exception {
		if (!Objects.equals(found, wanted))
			throw new Exception(what + " is " + found + ", not " + wanted);
	}

	static void check(ConsumerRecord<byte[], byte[]> r, int i, long base, boolean withHeaders) throws Exception {
		equal("offset", r.offset(), (long) i);
		if (!Arrays.equals(r.key(), Records.key(i)))
			throw new Exception("key of " + i + " differs");
		if (!Arrays.equals(r.value(), Records.value(i)))
			throw new Exception("value of " + i + " differs: " + (r.value() == null ? -1 : r.value().length) + " bytes");
		if (base > 0 && TIMESTAMPS)
			equal("timestamp of " + i, Calls.call(r, "timestamp"), base + i * 1000L);
		if (HEADERS) {
			Map<String, String> found = new LinkedHashMap<>();
			for (Object h : (Iterable<?>) Calls.call(r, "headers"))
				found.put((String) Calls.call(h, "key"), new String((byte[]) Calls.call(h, "value"), StandardCharsets.UTF_8));
			equal("headers of " + i, found, withHeaders ? Records.headers(i) : new LinkedHashMap<>());
		}
	}

	/** A topic as some client wrote it, and the next record due from it. */
	static class Source {
		final long base;
		final boolean headers;
		int next;

		Source(String base, String headers, int next) {
			this.base = Long.parseLong(base);
			this.headers = headers.equals("1");
			this.next = next;
		}
	}

	static void consume(Consumer<byte[], byte[]> c, Map<String, Source> sources, int to) throws Exception {
		long deadline = System.currentTimeMillis() + WAIT_MS;
		int missing = 0;
		for (Source s : sources.values())
			missing += to - s.next;
		while (missing > 0) {
			for (ConsumerRecord<byte[], byte[]> r : poll(c)) {
				Source s = sources.get(r.topic());
				if (s.next >= to)
					continue;
				try {
					check(r, s.next, s.base, s.headers);
				} catch (Exception e) {
					throw new Exception(r.topic() + ": " + e.getMessage());
				}
				s.next++;
				missing--;
			}
			if (System.currentTimeMillis() > deadline)
				throw new Exception(missing + " records have not come in time");
		}
	}

	static void readAll(Map<String, Source> sources, int to) throws Exception {
		try (KafkaConsumer<byte[], byte[]> c = consumer(null)) {
			List<TopicPartition> partitions = new ArrayList<>();
			for (String topic : sources.keySet())
				partitions.add(new TopicPartition(topic, 0));
			c.assign(partitions);
			for (TopicPartition p : partitions)
				c.seek(p, sources.get(p.topic()).next);
			consume(c, sources, to);
		}
	}

	static void produce(String topic, String codec, int count, long base, boolean withHeaders, boolean idempotent)
		throws Exception {
		try (KafkaProducer<byte[], byte[]> producer = producer(codec, idempotent)) {
			List<Future<RecordMetadata>> sent = new ArrayList<>();
			for (int i = 0; i < count; i++) {
				ProducerRecord<byte[], byte[]> r = base > 0
					? ProducerRecord.class.getConstructor(String.class, Integer.class, Long.class, Object.class, Object.class)
						.newInstance(topic, 0, base + i * 1000L, Records.key(i), Records.value(i))
					: new ProducerRecord<>(topic, 0, Records.key(i), Records.value(i));
				if (withHeaders)
					for (Map.Entry<String, String> e : Records.headers(i).entrySet())
						Calls.call(Calls.call(r, "headers"), "add", e.getKey(), e.getValue().getBytes(StandardCharsets.UTF_8));
				sent.add(producer.send(r));
			}
			for (int i = 0; i < count; i++)
				equal("offset of record " + i, sent.get(i).get().offset(), (long) i);
		}
	}

	static void time(String topic, int index, int to, String base, String headers) throws Exception {
		TopicPartition tp = new TopicPartition(topic, 0);
		long start = Long.parseLong(base);
		try (KafkaConsumer<byte[], byte[]> c = consumer(null)) {
			Object found = ((Map<?, ?>) Calls.call(c, "offsetsForTimes",
				Collections.singletonMap(tp, start + index * 1000L - 500))).get(tp);
			equal("offset found by time", Calls.call(found, "offset"), (long) index);
			equal("timestamp found by time", Calls.call(found, "timestamp"), start + index * 1000L);
			equal("what is found after the last record", ((Map<?, ?>) Calls.call(c, "offsetsForTimes",
				Collections.singletonMap(tp, start + 100000000L))).get(tp), null);
		}
		readAll(new HashMap<>(Map.of(topic, new Source(base, headers, index))), to);
	}

	static void committed(String topic, String group, long wanted) throws Exception {
		TopicPartition tp = new TopicPartition(topic, 0);
		try (KafkaConsumer<byte[], byte[]> c = consumer(group)) {
			Object found = Calls.find(Consumer.class, "committed", Set.class) != null
				? ((Map<?, ?>) Calls.call(c, "committed", Collections.singleton(tp))).get(tp) : Calls.call(c, "committed", tp);
			equal("committed", found, new OffsetAndMetadata(wanted, "at " + wanted));
		}
	}

	/** A consumer in a group that polls in a thread of its own until it leaves. */
	static class Member extends Thread {
		final KafkaConsumer<byte[], byte[]> c;
		final String topic;
		volatile Set<Integer> partitions = new HashSet<>();
		volatile Exception failure;
		volatile boolean leaving;

		Member(String topic, String group) {
			this.topic = topic;
			c = consumer(group);
			start();
		}

		@Override
		public void run() {
			try {
				c.subscribe(Collections.singletonList(topic));
				while (!leaving) {
					poll(c);
					Set<Integer> now = new HashSet<>();
					for (TopicPartition p : c.assignment())
						now.add(p.partition());
					partitions = now;
				}
			} catch (Exception e) {
				failure = e;
			} finally {
				c.close();
			}
		}

		void leave() throws Exception {
			leaving = true;
			join();
			if (failure != null)
				throw failure;
		}
	}

	static void members(String topic, String group) throws Exception {
		Member a = new Member(topic, group), b = null;
		try {
			await(a, null, 4, 0);
			b = new Member(topic, group);
			await(a, b, 2, 2);
			b.leave();
			b = null;
			await(a, null, 4, 0);
		} finally {
			if (b != null)
				b.leave();
			a.leave();
		}
	}

	static void await(Member a, Member b, int first, int second) throws Exception {
		for (long deadline = System.currentTimeMillis() + WAIT_MS;; Thread.sleep(20)) {
			Set<Integer> one = a.partitions, two = b == null ? new HashSet<>() : b.partitions, both = new HashSet<>(one);
			both.addAll(two);
			if (one.size() == first && two.size() == second && both.size() == 4)
				return;
			if (System.currentTimeMillis() > deadline)
				throw new Exception("members have " + one + " and " + two);
		}
	}

	static void large(String topic, int size) throws Exception {
		TopicPartition tp = new TopicPartition(topic, 0);
		try (KafkaProducer<byte[], byte[]> producer = producer("none", false)) {
			producer.send(new ProducerRecord<>(topic, 0, null, Records.text(1, size))).get();
			try {
				producer.send(new ProducerRecord<>(topic, 0, null, Records.text(1, 2 * size))).get();
				throw new Exception("a record of twice the size was taken");
			} catch (ExecutionException e) {
				if (!e.getCause().getClass().getSimpleName().equals("RecordTooLargeException"))
					throw e;
			}
		}
		try (KafkaConsumer<byte[], byte[]> c = consumer(null)) {
			c.assign(Collections.singletonList(tp));
			c.seek(tp, 0);
			for (long deadline = System.currentTimeMillis() + WAIT_MS; System.currentTimeMillis() < deadline;)
				for (ConsumerRecord<byte[], byte[]> r : poll(c)) {
					if (!Arrays.equals(r.value(), Records.text(1, size)))
						throw new Exception(r.value().length + " bytes came back, or others");
					return;
				}
			throw new Exception("it has not come in time");
		}
	}

	static void through(String topic, String group, int count, boolean idempotent) throws Exception {
		try (KafkaProducer<byte[], byte[]> producer = producer("none", idempotent);
			// Before 0.10.1 heartbeats are sent by poll alone, which rests here while others get ready.
			KafkaConsumer<byte[], byte[]> c = consumer(group, "30000")) {
			c.subscribe(Collections.singletonList(topic));
			int seen = 0;
			long position = 0;
			for (int from = 0; from < count; from += count / 2) {
				if (from > 0) {
					c.commitSync(Collections.singletonMap(new TopicPartition(topic, 0), new OffsetAndMetadata(from, "")));
					System.out.println("half");
					in.readLine();
				}
				int to = from + count / 2;
				long deadline = System.currentTimeMillis() + 2 * WAIT_MS;
				for (int i = from; i < to; i++)
					for (;;)
						try {
							producer.send(new ProducerRecord<>(topic, 0, null, String.valueOf(i).getBytes())).get();
							break;
						} catch (ExecutionException e) {
							if (System.currentTimeMillis() > deadline)
								throw e;
						}
				while (seen < to) {
					for (ConsumerRecord<byte[], byte[]> r : poll(c)) {
						if (r.offset() < position)
							continue; // read again after it had to join again
						position = r.offset() + 1;
						int n = Integer.parseInt(new String(r.value()));
						if (n == seen - 1 && !idempotent)
							continue; // sent again after an answer was lost
						equal("the record at " + r.offset(), n, seen);
						seen++;
					}
					if (System.currentTimeMillis() > deadline)
						throw new Exception("only " + seen + " of " + to + " came in time");
				}
			}
			c.commitSync(Collections.singletonMap(new TopicPartition(topic, 0), new OffsetAndMetadata(count, "")));
		}
	}

	static void run(String[] a) throws Exception {
		switch (a[0]) {
		case "produce":
			produce(a[1], a[2], Integer.parseInt(a[3]), Long.parseLong(a[4]), a[5].equals("1"), a[6].equals("1"));
			break;
		case "read":
			readAll(new HashMap<>(Map.of(a[1], new Source(a[4], a[5], Integer.parseInt(a[2])))), Integer.parseInt(a[3]));
			break;
		case "cross": {
			Map<String, Source> sources = new HashMap<>();
			for (int i = 2; i < a.length; i++) {
				String[] part = a[i].split(",");
				sources.put(part[0], new Source(part[1], part[2], 0));
			}
			readAll(sources, Integer.parseInt(a[1]));
			break;
		}
		case "time":
			time(a[1], Integer.parseInt(a[2]), Integer.parseInt(a[3]), a[4], a[5]);
			break;
		case "group":
			try (KafkaConsumer<byte[], byte[]> c = consumer(a[2])) {
				c.subscribe(Collections.singletonList(a[1]));
				int to = Integer.parseInt(a[4]);
				consume(c, Map.of(a[1], new Source(a[5], a[6], Integer.parseInt(a[3]))), to);
				c.commitSync(Collections.singletonMap(new TopicPartition(a[1], 0), new OffsetAndMetadata(to, "at " + to)));
			}
			break;
		case "committed":
			committed(a[1], a[2], Long.parseLong(a[3]));
			break;
		case "members":
			members(a[1], a[2]);
			break;
		case "large":
			large(a[1], Integer.parseInt(a[2]));
			break;
		case "through":
			through(a[1], a[2], Integer.parseInt(a[3]), a[4].equals("1"));
			break;
		case "admin": // its source is compiled only for the versions that have the classes
			Class.forName("Administration").getDeclaredMethod("run", String.class, String.class, String.class)
				.invoke(null, a[1], a[2], a[3]);
			break;
		default:
			throw new Exception("unknown command");
		}
	}

	public static void main(String[] args) throws Exception {
		bootstrap = args[0];
		in = new BufferedReader(new InputStreamReader(System.in));
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
