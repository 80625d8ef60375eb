/*
 * Kafka's side of the batch comparison. `make FILE SEED COUNT` writes cases with Kafka's answers for protocol/batch_peer to
 * check; `read FILE` reads batches that batch_peer wrote and compares. Compiled once against each Kafka: @RECORDS@ is the
 * package of the record classes, which moved between the two.
 *
 * A file is a run of cases, all numbers big-endian, blobs and texts with an int32 size in front (-1 null):
 *	'R' blob records, int32 record count, int64 digest                            what Kafka reads
 *	'V' rules (see Rules.write), blob input, int16 error code, then               what a leader makes of it
 *	    without error: int8 rebuilt, int64 max timestamp, blob output, int32 record count, int64 digest
 *	    with error: int8 whether consumers could read the input, text message, int32 count, then for each int32 index, text message
 *	'D' int8 magic, int64 first offset, blob input, int16 error code, blob output, int32 record count, int64 digest
 */
import java.io.*;
import java.lang.reflect.Constructor;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.requests.ProduceResponse;
import org.apache.kafka.common.utils.*;
import org.apache.kafka.storage.internals.log.*;
import @RECORDS@.*;
import @RECORDS@.Record;

public class Batches {
    static final TopicPartition PARTITION = new TopicPartition("orders", 3);
    static final long NOW = 1700000000000L;
    static final CompressionType[] CODECS = CompressionType.values();

    final Random random;
    final DataOutputStream out;
    int cases;

    Batches(long seed, DataOutputStream out) {
        this.random = new Random(seed);
        this.out = out;
    }

    // ---- the digest of records: FNV-1a over every field, as batch_peer computes it

    static final class Digest {
        long hash = 0xcbf29ce484222325L;
        int count;

        void octet(int b) {
            hash = (hash ^ (b & 0xff)) * 0x100000001b3L;
        }

        void number(long n) {
            for (int shift = 56; shift >= 0; shift -= 8)
                octet((int) (n >>> shift));
        }

        void bytes(ByteBuffer b) {
            if (b == null) {
                number(-1);
                return;
            }
            b = b.duplicate();
            number(b.remaining());
            while (b.hasRemaining())
                octet(b.get());
        }

        void record(Record record) {
            count++;
            number(record.offset());
            number(record.timestamp());
            bytes(record.key());
            bytes(record.value());
            number(record.headers().length);
            for (Header header : record.headers()) {
                bytes(ByteBuffer.wrap(header.key().getBytes(StandardCharsets.UTF_8)));
                bytes(header.value() == null ? null : ByteBuffer.wrap(header.value()));
            }
        }

        void all(MemoryRecords records) {
            for (RecordBatch batch : records.batches()) {
                batch.ensureValid();
                for (Record record : batch)
                    record(record);
            }
        }
    }

    // ---- writing cases

    void blob(byte[] bytes) throws IOException {
        if (bytes == null) {
            out.writeInt(-1);
            return;
        }
        out.writeInt(bytes.length);
        out.write(bytes);
    }

    void text(String text) throws IOException {
        blob(text == null ? null : text.getBytes(StandardCharsets.UTF_8));
    }

    static byte[] bytesOf(MemoryRecords records) {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    // ---- random batches

    ByteBuffer randomBytes(int max) {
        if (random.nextInt(8) == 0)
            return null;
        byte[] bytes = new byte[random.nextInt(max + 1)];
        if (random.nextBoolean())
            random.nextBytes(bytes);
        else
            for (int i = 0; i < bytes.length; i++)
                bytes[i] = (byte) ('a' + random.nextInt(3));
        return ByteBuffer.wrap(bytes);
    }

    Header[] randomHeaders(byte magic) {
        if (magic < 2 || random.nextInt(3) > 0)
            return Record.EMPTY_HEADERS;
        Header[] headers = new Header[random.nextInt(4)];
        for (int i = 0; i < headers.length; i++) {
            ByteBuffer value = randomBytes(20);
            headers[i] = new RecordHeader("h\u00e4" + i, value == null ? null : value.array());
        }
        return headers;
    }

    int randomSize() {
        int kind = random.nextInt(20);
        return kind == 0 ? 200000 : kind < 4 ? 5000 : 60;
    }

    TimestampType randomType() {
        return random.nextInt(4) == 0 ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME;
    }

    CompressionType randomCodec(byte magic) {
        return CODECS[random.nextInt(magic < 2 ? 4 : 5)];
    }

    /* One batch (or, for old magics without compression, a run of messages). */
    MemoryRecords randomRecords(byte magic, CompressionType codec, TimestampType type, long baseOffset, boolean gaps,
            boolean nullKeys, boolean producer) {
        int size = randomSize(), count = 1 + random.nextInt(size > 5000 ? 4 : 40);
        boolean control = false;
        MemoryRecordsBuilder builder = producer && magic == 2
                ? MemoryRecords.builder(ByteBuffer.allocate(1024), magic, Compression.of(codec).build(), type, baseOffset,
                        NOW + 7, 1000 + random.nextInt(1000), (short) random.nextInt(100), random.nextInt(100000),
                        random.nextBoolean(), control, random.nextInt(10))
                : MemoryRecords.builder(ByteBuffer.allocate(1024), magic, Compression.of(codec).build(), type, baseOffset,
                        NOW + 7);
        long offset = baseOffset;
        for (int i = 0; i < count; i++) {
            long timestamp = random.nextInt(30) == 0 ? -1 : NOW - 2000 + random.nextInt(2500);
            ByteBuffer key = randomBytes(30);
            if (key == null && !nullKeys)
                key = ByteBuffer.wrap(new byte[] {1});
            builder.appendWithOffset(offset, timestamp, key, randomBytes(size), randomHeaders(magic));
            offset += gaps && random.nextInt(5) == 0 ? 1 + random.nextInt(100) : 1;
        }
        return builder.build();
    }

    byte[] concatenated(List<byte[]> parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts)
            all.write(part, 0, part.length);
        return all.toByteArray();
    }

    // ---- 'R'

    void readCase() throws IOException {
        List<byte[]> parts = new ArrayList<>();
        long offset = random.nextInt(3) == 0 ? (1L << 40) + random.nextInt() : random.nextInt(1000);
        for (int i = random.nextInt(3); i >= 0; i--) {
            byte magic = (byte) random.nextInt(3);
            parts.add(bytesOf(randomRecords(magic, randomCodec(magic), randomType(), offset, true, true,
                    random.nextBoolean())));
            offset += 10000;
        }
        byte[] bytes = concatenated(parts);
        Digest digest = new Digest();
        digest.all(MemoryRecords.readableRecords(ByteBuffer.wrap(bytes)));
        out.writeByte('R');
        blob(bytes);
        out.writeInt(digest.count);
        out.writeLong(digest.hash);
    }

    // ---- 'V'

    static final class Rules {
        long beforeMaxMs, afterMaxMs, baseOffset;
        TimestampType type;
        boolean compacted;
        int codec; // -1: the producer's
        short version;
        int sizeMax;
        int leaderEpoch;
        boolean client;

        void write(DataOutputStream out) throws IOException {
            out.writeLong(NOW);
            out.writeLong(beforeMaxMs);
            out.writeLong(afterMaxMs);
            out.writeByte(type.id);
            out.writeByte(compacted ? 1 : 0);
            out.writeByte(codec);
            out.writeShort(version);
            out.writeInt(sizeMax);
            out.writeLong(baseOffset);
            out.writeInt(leaderEpoch);
            out.writeByte(client ? 1 : 0);
        }
    }

    static final class Verdict {
        Errors error = Errors.NONE;
        String message;
        Throwable thrown;
        List<ProduceResponse.RecordError> recordErrors = Collections.emptyList();
        boolean rebuilt;
        long maxTimestamp;
        MemoryRecords records; // null: nothing to append
    }

    static final Constructor<?> VALIDATOR = LogValidator.class.getConstructors()[0];
    static final Method VALIDATE_VERSION;
    static Object metadataVersion;

    static {
        try {
            Method found = null;
            for (Method method : ProduceRequest.class.getMethods())
                if (method.getName().equals("validateRecords"))
                    found = method;
            VALIDATE_VERSION = found;
            if (VALIDATOR.getParameterCount() > 12)
                metadataVersion = Class.forName("org.apache.kafka.server.common.MetadataVersion")
                        .getMethod("latestTesting").invoke(null);
        } catch (ReflectiveOperationException e) {
            throw new RuntimeException(e);
        }
    }

    static final LogValidator.MetricsRecorder NO_METRICS = new LogValidator.MetricsRecorder() {
        public void recordInvalidMagic() { }
        public void recordInvalidOffset() { }
        public void recordInvalidSequence() { }
        public void recordInvalidChecksums() { }
        public void recordNoKeyCompactedTopic() { }
    };

    static final Time TIME = (Time) java.lang.reflect.Proxy.newProxyInstance(Batches.class.getClassLoader(),
            new Class<?>[] {Time.class}, (proxy, method, arguments) -> NOW);

    /* A field in 3.9, an accessor since. */
    static Object part(Object result, String name) throws ReflectiveOperationException {
        try {
            return result.getClass().getMethod(name).invoke(result);
        } catch (NoSuchMethodException e) {
            return result.getClass().getField(name).get(result);
        }
    }

    /* What ReplicaManager and UnifiedLog do around LogValidator, in their order. */
    static Verdict validate(Rules rules, byte[] input) throws Throwable {
        Verdict verdict = new Verdict();
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(input.clone()));
        try {
            if (rules.client)
                try {
                    VALIDATE_VERSION.invoke(null, rules.version, records);
                } catch (java.lang.reflect.InvocationTargetException e) {
                    throw e.getCause();
                }
            CompressionType source = CompressionType.NONE;
            int valid = 0;
            for (RecordBatch batch : records.batches()) {
                if (batch.magic() >= 2 && rules.client && batch.baseOffset() != 0)
                    throw new InvalidRecordException("base offset");
                if (batch.sizeInBytes() > rules.sizeMax)
                    throw new RecordTooLargeException("too large");
                if (!batch.isValid())
                    throw new CorruptRecordException("corrupt");
                valid += batch.sizeInBytes();
                if (batch.compressionType() != CompressionType.NONE)
                    source = batch.compressionType();
            }
            if (valid == 0)
                return verdict;
            ByteBuffer trimmed = records.buffer().duplicate();
            trimmed.limit(valid);
            records = MemoryRecords.readableRecords(trimmed);
            Compression target = Compression.of(rules.codec < 0 ? source : CODECS[rules.codec]).build();
            Object[] arguments = {records, PARTITION, TIME, source, target, rules.compacted, (byte) 2, rules.type,
                rules.beforeMaxMs, rules.afterMaxMs, rules.leaderEpoch,
                rules.client ? AppendOrigin.CLIENT : AppendOrigin.COORDINATOR, metadataVersion};
            LogValidator validator = (LogValidator) VALIDATOR.newInstance(
                    Arrays.copyOf(arguments, VALIDATOR.getParameterCount()));
            LogValidator.ValidationResult result = validator.validateMessagesAndAssignOffsets(
                    PrimitiveRef.ofLong(rules.baseOffset), NO_METRICS, BufferSupplier.NO_CACHING);
            verdict.records = (MemoryRecords) part(result, "validatedRecords");
            verdict.rebuilt = (Boolean) part(result, "messageSizeMaybeChanged");
            verdict.maxTimestamp = (Long) part(result, "maxTimestampMs");
            if (verdict.rebuilt)
                for (RecordBatch batch : verdict.records.batches())
                    if (batch.sizeInBytes() > rules.sizeMax)
                        throw new RecordTooLargeException("too large");
        } catch (RecordValidationException e) {
            verdict.error = Errors.forException(e.invalidException());
            verdict.message = e.invalidException().getMessage();
            verdict.recordErrors = e.recordErrors();
            verdict.thrown = e;
        } catch (Throwable e) {
            verdict.error = Errors.forException(e);
            verdict.thrown = e;
        }
        return verdict;
    }

    /* Puts the checksum of the first batch right, when there is a batch to speak of. */
    static void checksum(byte[] bytes) {
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        if (bytes.length < 26)
            return;
        int size = buffer.getInt(8) + 12;
        if (size < 26 || size > bytes.length)
            return;
        if (bytes[16] == 2 && size >= 61) {
            buffer.putInt(17, (int) Crc32C.compute(buffer, 21, size - 21));
        } else if (bytes[16] < 2) {
            java.util.zip.CRC32 crc = new java.util.zip.CRC32();
            crc.update(bytes, 16, size - 16);
            buffer.putInt(12, (int) crc.getValue());
        }
    }

    byte[] damaged(byte[] bytes) {
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        int[] fields8 = {0, 27, 35, 43}, fields4 = {8, 12, 17, 23, 53, 57};
        int[] odd4 = {0, 1, -1, 2, Integer.MAX_VALUE, Integer.MIN_VALUE, 100};
        long[] odd8 = {0, 1, -1, NOW, Long.MAX_VALUE, Long.MIN_VALUE, 5000};
        boolean repair = random.nextInt(10) > 0;
        switch (random.nextInt(7)) {
            case 0:
                if (bytes.length >= 61)
                    buffer.putLong(fields8[random.nextInt(fields8.length)], odd8[random.nextInt(odd8.length)]);
                break;
            case 1:
                int field = fields4[random.nextInt(fields4.length)], odd = odd4[random.nextInt(odd4.length)];
                // Kafka's own arithmetic overflows on the greatest length
                if (bytes.length >= 61 && !(field == 8 && odd == Integer.MAX_VALUE))
                    buffer.putInt(field, odd);
                break;
            case 2: // attributes
                if (bytes.length >= 61)
                    buffer.putShort(21, (short) (buffer.getShort(21) ^ (1 << random.nextInt(8))));
                break;
            case 3: // magic
                bytes[16] = (byte) random.nextInt(4);
                break;
            case 4: // cut off
                return Arrays.copyOf(bytes, random.nextInt(bytes.length));
            case 5: // something behind
                byte[] longer = Arrays.copyOf(bytes, bytes.length + 1 + random.nextInt(bytes.length));
                System.arraycopy(bytes, 0, longer, bytes.length, longer.length - bytes.length);
                return longer;
            case 6: // any byte of the content
                if (bytes.length > 61)
                    bytes[61 + random.nextInt(bytes.length - 61)] = (byte) random.nextInt(256);
                break;
        }
        if (repair)
            checksum(bytes);
        return bytes;
    }

    /* Whether a consumer could read all records, keys and values included. */
    static boolean readable(byte[] input) {
        try {
            new Digest().all(MemoryRecords.readableRecords(ByteBuffer.wrap(input)));
            return true;
        } catch (Throwable e) { // Errors too: snappy's, or out of memory
            return false;
        }
    }

    void validateCase(boolean damage) throws Throwable {
        Rules rules = new Rules();
        rules.version = (short) (downConvert == null ? 3 + random.nextInt(11) : random.nextInt(12));
        byte magic = rules.version >= 3 || random.nextInt(5) == 0 ? 2 : (byte) random.nextInt(2);
        if (damage && random.nextInt(20) == 0)
            magic = (byte) random.nextInt(3);
        rules.beforeMaxMs = random.nextInt(6) == 0 ? 1500 : Long.MAX_VALUE;
        rules.afterMaxMs = random.nextInt(6) == 0 ? 300 : 3600000;
        rules.type = randomType();
        rules.compacted = random.nextInt(6) == 0;
        rules.codec = random.nextInt(3) == 0 ? random.nextInt(5) : -1;
        rules.sizeMax = random.nextInt(10) == 0 ? 300 : 1 << 20;
        rules.baseOffset = random.nextInt(100000);
        rules.leaderEpoch = random.nextInt(50);
        rules.client = random.nextInt(8) > 0;
        if (!rules.client)
            rules.version = -1;
        CompressionType codec = randomCodec(magic);
        TimestampType type = random.nextInt(10) == 0 ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME;
        MemoryRecords records = randomRecords(magic, codec, type, 0, random.nextInt(15) == 0, !rules.compacted
                || random.nextInt(2) == 0, random.nextBoolean());
        byte[] input = bytesOf(records);
        if (damage)
            input = damaged(input);
        Verdict verdict = validate(rules, input);
        if (verdict.thrown instanceof OutOfMemoryError) {
            cases--; // Kafka believed a claimed size: no case
            return;
        }
        if (System.getenv("BATCHES_EXPLAIN") != null && verdict.thrown != null)
            System.out.println(cases + ": magic " + magic + " " + codec + " target " + rules.codec + " " + verdict.thrown
                    + " caused by " + verdict.thrown.getCause());
        out.writeByte('V');
        rules.write(out);
        blob(input);
        out.writeShort(verdict.error.code());
        if (verdict.error == Errors.NONE) {
            Digest digest = new Digest();
            boolean readable = true;
            if (verdict.records != null)
                try {
                    digest.all(verdict.records);
                } catch (Throwable e) {
                    readable = false; // accepted, and no consumer will be able to read it
                }
            out.writeByte(!readable ? 2 : verdict.rebuilt ? 1 : 0);
            out.writeLong(verdict.maxTimestamp);
            blob(verdict.records == null ? null : bytesOf(verdict.records));
            out.writeInt(digest.count);
            out.writeLong(digest.hash);
        } else {
            out.writeByte(readable(input) ? 1 : 0);
            text(verdict.message);
            out.writeInt(verdict.recordErrors.size());
            for (ProduceResponse.RecordError error : verdict.recordErrors) {
                out.writeInt(error.batchIndex);
                text(error.message);
            }
        }
    }

    // ---- 'D', with the Kafka that still can (and that still takes old Produce versions)

    static Method downConvert;

    void downCase() throws Throwable {
        List<byte[]> parts = new ArrayList<>();
        byte to = (byte) random.nextInt(2);
        long offset = random.nextInt(1000), firstOffset = offset + random.nextInt(20);
        for (int i = random.nextInt(3); i >= 0; i--) {
            byte magic = random.nextInt(4) == 0 ? (byte) random.nextInt(2) : 2;
            MemoryRecords records = randomRecords(magic, CODECS[random.nextInt(magic == 2 && random.nextInt(10) == 0 ? 5 : 4)],
                    randomType(), offset, true, true, random.nextBoolean());
            byte[] bytes = bytesOf(records);
            if (magic == 2 && random.nextInt(10) == 0) {
                bytes[22] |= 0x20;
                checksum(bytes);
            }
            parts.add(bytes);
            offset += 10000;
        }
        byte[] input = concatenated(parts), output = null;
        Digest digest = new Digest();
        Errors error = Errors.NONE;
        try {
            Object converted = downConvert.invoke(MemoryRecords.readableRecords(ByteBuffer.wrap(input)), to, firstOffset,
                    TIME);
            MemoryRecords records = (MemoryRecords) converted.getClass().getMethod("records").invoke(converted);
            output = bytesOf(records);
            digest.all(records);
        } catch (java.lang.reflect.InvocationTargetException e) {
            error = Errors.forException(e.getCause());
        }
        out.writeByte('D');
        out.writeByte(to);
        out.writeLong(firstOffset);
        blob(input);
        out.writeShort(error.code());
        blob(output);
        out.writeInt(digest.count);
        out.writeLong(digest.hash);
    }

    static void make(String file, long seed, int count) throws Throwable {
        try (DataOutputStream out = new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(Path.of(file))))) {
            Batches batches = new Batches(seed, out);
            for (Method method : MemoryRecords.class.getMethods())
                if (method.getName().equals("downConvert"))
                    downConvert = method;
            for (int i = 0; i < count; i++, batches.cases++)
                batches.readCase();
            for (int i = 0; i < 2 * count; i++, batches.cases++)
                batches.validateCase(i % 2 == 1);
            for (int i = 0; downConvert != null && i < count; i++, batches.cases++)
                batches.downCase();
        }
    }

    /* 'R' cases, written by batch_peer. */
    static void read(String file) throws IOException {
        int passed = 0, failed = 0, total = 0;
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(Files.newInputStream(Path.of(file))))) {
            for (int kind; (kind = in.read()) >= 0;) {
                if (kind != 'R')
                    throw new IOException("unknown case " + kind);
                byte[] bytes = new byte[in.readInt()];
                in.readFully(bytes);
                int count = in.readInt();
                long hash = in.readLong();
                Digest digest = new Digest();
                try {
                    digest.all(MemoryRecords.readableRecords(ByteBuffer.wrap(bytes)));
                    if (digest.count == count && digest.hash == hash) {
                        passed++;
                        total += count;
                        continue;
                    }
                    System.out.println("case " + (passed + failed) + ": " + digest.count + " records of " + count
                            + (digest.count == count ? ", other content" : ""));
                } catch (RuntimeException e) {
                    System.out.println("case " + (passed + failed) + ": " + e);
                }
                failed++;
            }
        }
        System.out.println("written by Barnabas, read by Kafka: " + total + " records in " + passed + " runs");
        System.out.println(passed + " passed, " + failed + " failed");
        if (failed > 0 || passed == 0)
            System.exit(1);
    }

    public static void main(String[] arguments) throws Throwable {
        if (arguments[0].equals("make"))
            make(arguments[1], Long.parseLong(arguments[2]), Integer.parseInt(arguments[3]));
        else
            read(arguments[1]);
    }
}
