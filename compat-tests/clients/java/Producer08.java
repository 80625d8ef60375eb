import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The Java producer of 0.8.2, the first of its kind; a consumer came with 0.9. The commands are Client's. */
public class Producer08 {
	static KafkaProducer<byte[], byte[]> producer(String bootstrap, String codec) {
		Properties p = new Properties();
		p.put("bootstrap.servers", bootstrap);
		p.put("acks", "all");
		p.put("linger.ms", "20");
		p.put("compression.type", codec);
		p.put("max.request.size", "20000000");
		p.put("retries", "1000");
		return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
	}

	static void run(String bootstrap, String[] a, BufferedReader in) throws Exception {
		boolean produce = a[0].equals("produce");
		try (KafkaProducer<byte[], byte[]> producer = producer(bootstrap, produce ? a[2] : "none")) {
			if (produce) {
				int count = Integer.parseInt(a[3]);
				List<Future<RecordMetadata>> sent = new ArrayList<>();
				for (int i = 0; i < count; i++)
					sent.add(producer.send(new ProducerRecord<>(a[1], 0, Records.key(i), Records.value(i))));
				for (int i = 0; i < count; i++)
					if (sent.get(i).get().offset() != i)
						throw new Exception("record " + i + " got offset " + sent.get(i).get().offset());
			} else if (a[0].equals("large")) {
				int size = Integer.parseInt(a[2]);
				producer.send(new ProducerRecord<>(a[1], 0, null, Records.text(1, size))).get();
				try {
					producer.send(new ProducerRecord<>(a[1], 0, null, Records.text(1, 2 * size))).get();
					throw new Exception("a record of twice the size was taken");
				} catch (ExecutionException e) {
					if (!e.getCause().getClass().getSimpleName().equals("RecordTooLargeException"))
						throw e;
				}
			} else if (a[0].equals("through")) {
				int count = Integer.parseInt(a[3]);
				for (int i = 0; i < count; i++) {
					if (i == count / 2) {
						System.out.println("half");
						in.readLine();
					}
					producer.send(new ProducerRecord<>(a[1], 0, null, String.valueOf(i).getBytes())).get();
				}
			} else {
				throw new Exception("unknown command");
			}
		}
	}

	public static void main(String[] args) throws Exception {
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
		for (String line; (line = in.readLine()) != null;) {
			try {
				run(args[0], line.split(" "), in);
				System.out.println("ok");
			} catch (Throwable e) {
				System.out.println("FAIL " + String.valueOf(e).replace('\n', ' '));
			}
		}
	}
}
