/*
 * Kafka's side of the log comparison: makes a sequence of operations on one log, runs it on Kafka's UnifiedLog, and tells
 * what it reads in a folder, as text.
 *
 *	make FOLDER CASES SEED	a log in FOLDER/topic-0 and, in the file CASES, the operations that made it
 *	compact FOLDER CASES SEED	the same of a compacted log, with few keys, tombstones and compactions
 *	read FOLDER clean|unclean	what the log in FOLDER/topic-0 holds
 */
import java.io.DataOutputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.ScheduledFuture;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.common.RequestLocal;
import org.apache.kafka.server.storage.log.FetchIsolation;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.Cleaner;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogToClean;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.SkimpyOffsetMap;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.internals.log.VerificationGuard;
import org.apache.kafka.storage.internals.utils.Throttler;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

public class Logs {
	static final int APPEND = 1, ROLL = 2, TRUNCATE = 3, REOPEN = 4, COMPACT = 5, END = 0;
	static final int CLIENT = 0, COORDINATOR = 1, REPLICA = 2;

	/* What Kafka leaves to another thread is done at once: its writer of leader-epoch-checkpoint may meet the log's own, and
	 * one of the two does not find the file that it renames. */
	static KafkaScheduler scheduler = new KafkaScheduler(1) {
		@Override
		public ScheduledFuture<?> schedule(String name, Runnable task, long delayMs, long periodMs) {
			if (delayMs > 0 || periodMs >= 0)
				return super.schedule(name, task, delayMs, periodMs);
			task.run();
			return super.schedule(name, () -> {}, 0, -1);
		}
	};

	static boolean compacted;

	static UnifiedLog open(File folder, boolean clean, long recoveryPoint) throws Exception {
		Properties properties = new Properties();
		properties.put("internal.segment.bytes", "20000");
		properties.put("segment.index.bytes", "600");
		properties.put("index.interval.bytes", "1000");
		properties.put("segment.ms", "600000");
		properties.put("retention.ms", "-1");
		if (compacted) {
			properties.put("cleanup.policy", "compact");
			properties.put("delete.retention.ms", "20000");
		}
		File log = new File(folder, "topic-0");
		log.mkdirs();
		return UnifiedLog.create(log, new LogConfig(properties), 0, recoveryPoint, scheduler,
				new BrokerTopicStats(), Time.SYSTEM, 900000, new ProducerStateManagerConfig(86400000, false),
				600000, new LogDirFailureChannel(1), clean, Optional.empty());
	}

	static byte[] bytes(MemoryRecords records) {
		ByteBuffer buffer = records.buffer().duplicate();
		byte[] bytes = new byte[buffer.remaining()];
		buffer.get(bytes);
		return bytes;
	}

	/* As the cleaner's thread does it once; from where the next one goes on. */
	static long compact(UnifiedLog log, long dirty, int memory, long now) throws Exception {
		log.updateHighWatermark(log.logEndOffset());
		long end = Math.max(dirty, Math.min(log.lastStableOffset(), log.activeSegment().baseOffset()));
		LogToClean what = new LogToClean(log, dirty, end, false);
		if (what.cleanableBytes() == 0)
			return dirty;
		Cleaner cleaner = new Cleaner(0, new SkimpyOffsetMap(memory, "MD5"), 30000, 1000000, 0.9,
				new Throttler(Double.MAX_VALUE, 300, "bytes", "bytes", Time.SYSTEM), Time.SYSTEM, partition -> {});
		return cleaner.doClean(what, now).getKey();
	}

	static void make(File folder, File cases, long seed) throws Exception {
		Random random = new Random(seed);
		Map<Long, Integer> sequences = new HashMap<>();
		Map<Long, Boolean> open = new TreeMap<>();
		UnifiedLog log = open(folder, true, 0);
		long clean = 0;
		long now = System.currentTimeMillis() - 3000000;
		int epoch = 0;
		/* What compaction compresses anew: the other codecs' libraries are others here and there, and so are their bytes. */
		CompressionType[] types = compacted
				? new CompressionType[]{CompressionType.NONE, CompressionType.SNAPPY, CompressionType.LZ4}
				: CompressionType.values();

		try (DataOutputStream out = new DataOutputStream(new FileOutputStream(cases))) {
			out.writeInt(compacted ? 1 : 0);
			for (int step = 0; step < 400; step++) {
				int what = random.nextInt(100);
				now += random.nextInt(3000);
				if (random.nextInt(60) == 0)
					epoch++;
				if (compacted && step % 40 == 39) {
					int memory = random.nextBoolean() ? 20 * 24 : 100000;
					out.writeInt(COMPACT);
					out.writeLong(now);
					out.writeInt(memory);
					clean = compact(log, clean, memory, now);
				} else if (what < 90) {
					int origin = CLIENT;
					byte[] bytes;
					List<SimpleRecord> records = new ArrayList<>();
					int count = 1 + random.nextInt(12);
					for (int i = 0; i < count; i++) {
						byte[] value = new byte[random.nextInt(10) == 0 ? 0 : random.nextInt(300)];
						random.nextBytes(value);
						if (compacted)
							records.add(new SimpleRecord(now + random.nextInt(2000) - 1000,
									("k" + random.nextInt(60)).getBytes(),
									random.nextInt(4) == 0 ? null : value));
						else
							records.add(new SimpleRecord(now + random.nextInt(2000) - 1000,
									random.nextBoolean() ? null : ("k" + i).getBytes(), value));
					}
					SimpleRecord[] array = records.toArray(new SimpleRecord[0]);
					Compression compression = Compression.of(types[random.nextInt(types.length)]).build();
					long producer = 100 + random.nextInt(6);
					if (what < 35) {
						bytes = bytes(MemoryRecords.withRecords(compression, array));
					} else if (what < 55) {
						int sequence = sequences.getOrDefault(producer, 0);
						bytes = bytes(MemoryRecords.withIdempotentRecords(compression, producer, (short) 0,
								sequence, array));
						sequences.put(producer, sequence + count);
					} else if (what < 70) {
						producer += 50;
						int sequence = sequences.getOrDefault(producer, 0);
						bytes = bytes(MemoryRecords.withTransactionalRecords(compression, producer, (short) 0,
								sequence, array));
						sequences.put(producer, sequence + count);
						open.put(producer, true);
					} else if (what < 80 && !open.isEmpty()) {
						origin = COORDINATOR;
						producer = open.keySet().iterator().next();
						open.remove(producer);
						bytes = bytes(MemoryRecords.withEndTransactionMarker(now, producer, (short) 0,
								new EndTransactionMarker(
										random.nextBoolean() ? ControlRecordType.ABORT : ControlRecordType.COMMIT, 0)));
					} else {
						/* As a follower gets it: several batches, perhaps with a gap before them. */
						origin = REPLICA;
						ByteBuffer all = ByteBuffer.allocate(200000);
						long offset = log.logEndOffset() + random.nextInt(3);
						for (int batch = 0; batch < 1 + random.nextInt(4); batch++) {
							MemoryRecords one = MemoryRecords.withRecords(RecordBatch.MAGIC_VALUE_V2, offset,
									compression, TimestampType.CREATE_TIME, -1, (short) -1, -1, epoch, false,
									array);
							all.put(one.buffer().duplicate());
							offset += count + random.nextInt(2);
						}
						all.flip();
						bytes = bytes(MemoryRecords.readableRecords(all));
					}
					out.writeInt(APPEND);
					out.writeInt(origin);
					out.writeInt(epoch);
					out.writeInt(bytes.length);
					out.write(bytes);
					MemoryRecords given = MemoryRecords.readableRecords(ByteBuffer.wrap(bytes.clone()));
					if (origin == REPLICA)
						log.appendAsFollower(given, epoch);
					else
						log.appendAsLeader(given, epoch,
								origin == CLIENT ? AppendOrigin.CLIENT : AppendOrigin.COORDINATOR,
								RequestLocal.noCaching(), VerificationGuard.SENTINEL, (short) 0);
				} else if (what < 93) {
					out.writeInt(ROLL);
					log.roll();
				} else if (what < 95 && step > 100) {
					long offset = Math.max(0, log.logEndOffset() - random.nextInt(120));
					out.writeInt(TRUNCATE);
					out.writeLong(offset);
					log.updateHighWatermark(offset);
					log.truncateTo(offset);
					clean = Math.min(clean, offset);
					/* What its producers had may be gone: begin with new ones. */
					Map<Long, Integer> fresh = new HashMap<>();
					sequences = fresh;
					log.activeProducersWithLastSequence().forEach((id, last) -> fresh.put(id, last + 1));
					open.clear();
					log.activeProducers().forEach(p -> {
						if (p.currentTxnStartOffset() >= 0)
							open.put(p.producerId(), true);
					});
				} else if (what < 97) {
					out.writeInt(REOPEN);
					log.close();
					log = open(folder, true, log.logEndOffset());
				}
			}
			out.writeInt(END);
		}
		log.close();
	}

	static void read(File folder, boolean clean) throws Exception {
		UnifiedLog log = open(folder, clean, 0);
		log.updateHighWatermark(log.logEndOffset());
		long offset = log.logStartOffset();
		System.out.println("log " + log.logStartOffset() + " " + log.logEndOffset() + " " + log.lastStableOffset());
		while (offset < log.logEndOffset()) {
			long before = offset;
			for (RecordBatch batch : log.read(offset, 100000, FetchIsolation.LOG_END, true).records.batches()) {
				System.out.println("batch " + batch.baseOffset() + " " + batch.lastOffset() + " "
						+ batch.partitionLeaderEpoch() + " " + batch.checksum() + " " + batch.maxTimestamp());
				offset = batch.lastOffset() + 1;
			}
			if (offset == before)
				break;
		}
		log.activeProducers().stream().sorted((a, b) -> Long.compare(a.producerId(), b.producerId()))
				.forEach(p -> System.out.println("producer " + p.producerId() + " " + p.producerEpoch() + " "
						+ p.lastSequence() + " " + p.lastTimestamp() + " " + p.coordinatorEpoch() + " "
						+ p.currentTxnStartOffset()));
		log.collectAbortedTransactions(0, log.logEndOffset()).forEach(
				a -> System.out.println("aborted " + a.producerId() + " " + a.firstOffset()));
		log.leaderEpochCache().epochEntries().forEach(e -> System.out.println("epoch " + e.epoch() + " " + e.startOffset()));
		log.close();
	}

	public static void main(String[] arguments) throws Exception {
		scheduler.startup();
		compacted = arguments[0].equals("compact");
		if (!arguments[0].equals("read"))
			make(new File(arguments[1]), new File(arguments[2]), Long.parseLong(arguments[3]));
		else
			read(new File(arguments[1]), arguments[2].equals("clean"));
		scheduler.shutdown();
	}
}
