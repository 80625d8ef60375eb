import java.io.*;
import java.lang.reflect.Constructor;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.utils.ImplicitLinkedHashCollection;

/**
 * Kafka's side of the comparison: fills its own message classes at random, and reads back what ours wrote. It goes by the
 * classes' own schemas, so it knows nothing of our notation.
 *
 *   Wire write LIST FILE SEED COUNT   COUNT messages of each "NAME VERSION" line of LIST that this Kafka has, into FILE;
 *                                     the lines that it does not have go to stdout
 *   Wire damage LIST FILE SEED COUNT  the same with bytes cut off or changed; in place of the JSON stands what Kafka made of
 *                                     them: 0 when it refused, else 1, what it left over (int), and what it wrote again
 *   Wire check FILE                   reads each message of FILE, writes it again, and compares
 *   Wire errors                       Kafka's table of error codes
 *
 * FILE holds entries: name (short size, bytes), version (short), message (int size, bytes), its JSON by Kafka's own
 * converter (int size, bytes; size 0 when the class has no converter).
 */
public class Wire {
    static final String[] PACKAGES = {
        "org.apache.kafka.common.message.",
        "org.apache.kafka.common.metadata.",
        "org.apache.kafka.coordinator.group.generated.",
        "org.apache.kafka.coordinator.transaction.generated.",
        "org.apache.kafka.coordinator.share.generated.",
        "org.apache.kafka.raft.generated.",
        "org.apache.kafka.server.log.remote.metadata.storage.generated.",
    };

    static Class<?> find(String name) {
        for (String prefix : PACKAGES)
            for (String suffix : new String[] {"Data", ""})
                try {
                    Class<?> found = Class.forName(prefix + name + suffix);
                    if (Message.class.isAssignableFrom(found))
                        return found;
                } catch (ClassNotFoundException absent) {
                    // the next name
                }
        return null;
    }

    static short bound(Class<?> type, String which) throws Exception {
        return type.getField(which + "_SUPPORTED_VERSION").getShort(null);
    }

    /**
     * Kafka's version of our VERSION, or -1. Until 3.9 the key of a coordinator's record had its record type for a version;
     * we call that version 0, as 4.x does.
     */
    static int versionOf(Class<?> type, String name, int version) throws Exception {
        short lowest = bound(type, "LOWEST"), highest = bound(type, "HIGHEST");
        if (name.endsWith("Key") && version == 0 && lowest == highest)
            return lowest;
        return version >= lowest && version <= highest ? version : -1;
    }

    static Random random;

    static int pick(int... choices) {
        return choices[random.nextInt(choices.length)];
    }

    /** Mostly short, now and then around the sizes where varints grow. */
    static int size() {
        return random.nextInt(40) == 0 ? pick(126, 127, 128, 300, 16382, 16383, 16384) : random.nextInt(12);
    }

    static byte[] bytes(int size) {
        byte[] made = new byte[size];
        random.nextBytes(made);
        return made;
    }

    static String string() {
        int size = size();
        StringBuilder made = new StringBuilder();
        while (made.length() < size)
            made.appendCodePoint(random.nextInt(8) == 0 ? pick(0, 0xe9, 0x20ac, 0x10348, 0x7ff, 0xffff) : 'a' + random.nextInt(26));
        return made.toString();
    }

    static long integer(int bits) {
        long value = random.nextInt(3) == 0 ? pick(0, 1, -1, 127, -128, Integer.MAX_VALUE, Integer.MIN_VALUE) : random.nextLong();
        return value << (64 - bits) >> (64 - bits);
    }

    static boolean isArray(Type type) {
        return type.isArray();
    }

    static String squeeze(String name) {
        return name.replace("_", "").toLowerCase(Locale.ROOT);
    }

    static java.lang.reflect.Field member(Class<?> type, String name) {
        for (java.lang.reflect.Field field : type.getDeclaredFields())
            if (!Modifier.isStatic(field.getModifiers()) && squeeze(field.getName()).equals(squeeze(name))) {
                field.setAccessible(true);
                return field;
            }
        throw new IllegalStateException(type + " has no member " + name);
    }

    @SuppressWarnings("unchecked")
    static Map<Integer, org.apache.kafka.common.protocol.types.Field> taggedFields(Type type) throws Exception {
        java.lang.reflect.Field fields = TaggedFields.class.getDeclaredField("fields");
        fields.setAccessible(true);
        return (Map<Integer, org.apache.kafka.common.protocol.types.Field>) fields.get(type);
    }

    static void fill(Message message, Schema schema) throws Exception {
        boolean flexible = false;
        Set<Integer> known = new HashSet<>();
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields) {
                flexible = true;
                for (Map.Entry<Integer, org.apache.kafka.common.protocol.types.Field> tagged : taggedFields(bound.def.type).entrySet()) {
                    known.add(tagged.getKey());
                    if (random.nextBoolean())
                        fillMember(message, tagged.getValue());
                    else if (random.nextBoolean())
                        nullStruct(message, tagged.getValue());
                }
            } else {
                fillMember(message, bound.def);
            }
        }
        if (flexible && random.nextInt(6) == 0) {
            int tag = 0;
            for (int i = random.nextInt(3); i >= 0; i--) {
                tag += 1 + (random.nextInt(3) == 0 ? random.nextInt(1 << 20) : random.nextInt(60));
                // Tags that some other version knows are no unknown ones.
                if (tag < 30)
                    tag += 30;
                message.unknownTaggedFields().add(new RawTaggedField(tag, bytes(size())));
            }
        }
    }

    /** Kafka's schemas do not tell whether the struct of a tagged field may be null; its class does, by bearing it. */
    static void nullStruct(Message message, org.apache.kafka.common.protocol.types.Field def) throws Exception {
        java.lang.reflect.Field member = member(message.getClass(), def.name);
        if (!Message.class.isAssignableFrom(member.getType()))
            return;
        Constructor<?> make = message.getClass().getDeclaredConstructor();
        make.setAccessible(true);
        Message probe = (Message) make.newInstance();
        member.set(probe, null);
        try {
            write(probe, probe.highestSupportedVersion());
        } catch (NullPointerException notNullable) {
            return;
        }
        member.set(message, null);
    }

    static void fillMember(Message message, org.apache.kafka.common.protocol.types.Field def) throws Exception {
        java.lang.reflect.Field member = member(message.getClass(), def.name);
        if (def.type.isNullable() && random.nextInt(4) == 0) {
            member.set(message, null);
            return;
        }
        Class<?> type = member.getType();
        if (isArray(def.type)) {
            @SuppressWarnings("unchecked")
            Collection<Object> all = ImplicitLinkedHashCollection.class.isAssignableFrom(type)
                ? (Collection<Object>) type.getDeclaredConstructor().newInstance() : new ArrayList<>();
            Type element = def.type.arrayElementType().get();
            Class<?> elementType = elementType(member);
            int count = random.nextInt(60) == 0 ? 130 : random.nextInt(4);
            if (Message.class.isAssignableFrom(elementType))
                count = Math.min(count, 3);
            for (int i = 0; i < count; i++)
                all.add(value(element, elementType));
            member.set(message, all);
            return;
        }
        Object value = value(def.type, type);
        if (type == int.class)
            member.setInt(message, ((Number) value).intValue());
        else
            member.set(message, value);
    }

    static Class<?> elementType(java.lang.reflect.Field member) {
        java.lang.reflect.Type generic = member.getGenericType();
        if (!(generic instanceof ParameterizedType))
            generic = member.getType().getGenericSuperclass();
        return (Class<?>) ((ParameterizedType) generic).getActualTypeArguments()[0];
    }

    static Object value(Type type, Class<?> java_) throws Exception {
        if (Message.class.isAssignableFrom(java_)) {
            Constructor<?> make = java_.getDeclaredConstructor();
            make.setAccessible(true);
            Message inner = (Message) make.newInstance();
            Type struct = type instanceof Schema ? type : unwrap(type);
            fill(inner, (Schema) struct);
            return inner;
        }
        if (java_ == boolean.class || java_ == Boolean.class)
            return random.nextBoolean();
        if (java_ == byte.class || java_ == Byte.class)
            return (byte) integer(8);
        if (java_ == short.class || java_ == Short.class)
            return (short) integer(16);
        if (java_ == int.class || java_ == Integer.class)
            return type == Type.UINT16 ? (int) (integer(16) & 0xffff) : (int) integer(32);
        if (java_ == long.class || java_ == Long.class)
            return type == Type.UNSIGNED_INT32 ? integer(32) & 0xffffffffL : integer(64);
        if (java_ == double.class || java_ == Double.class)
            return random.nextInt(4) == 0 ? (double) pick(0, 1, -1) : random.nextGaussian() * 1e9;
        if (java_ == String.class)
            return string();
        if (java_ == Uuid.class)
            return random.nextInt(4) == 0 ? Uuid.ZERO_UUID : new Uuid(random.nextLong(), random.nextLong());
        if (java_ == byte[].class)
            return bytes(size());
        if (java_ == ByteBuffer.class)
            return ByteBuffer.wrap(bytes(size()));
        if (java_.getSimpleName().equals("BaseRecords"))
            return records(ByteBuffer.wrap(bytes(size())));
        throw new IllegalStateException("no way to fill " + java_);
    }

    /** MemoryRecords has moved between packages. */
    static Object records(ByteBuffer buffer) throws Exception {
        Class<?> type;
        try {
            type = Class.forName("org.apache.kafka.common.record.MemoryRecords");
        } catch (ClassNotFoundException moved) {
            type = Class.forName("org.apache.kafka.common.record.internal.MemoryRecords");
        }
        return type.getMethod("readableRecords", ByteBuffer.class).invoke(null, buffer);
    }

    /** The schema inside of a nullable struct. */
    static Type unwrap(Type type) throws Exception {
        for (Class<?> at = type.getClass(); at != null; at = at.getSuperclass())
            for (java.lang.reflect.Field field : at.getDeclaredFields())
                if (Schema.class.isAssignableFrom(field.getType())) {
                    field.setAccessible(true);
                    return (Type) field.get(type);
                }
        throw new IllegalStateException("no schema in " + type.getClass());
    }

    static byte[] write(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        int size = message.size(cache, version);
        ByteBuffer buffer = ByteBuffer.allocate(size);
        message.write(new ByteBufferAccessor(buffer), cache, version);
        if (buffer.hasRemaining())
            throw new IllegalStateException("Kafka's size() and write() differ");
        return buffer.array();
    }

    static byte[] json(Message message, short version) throws Exception {
        Class<?> converter;
        try {
            converter = Class.forName(message.getClass().getName() + "JsonConverter");
        } catch (ClassNotFoundException none) {
            return new byte[0];
        }
        Object node = converter.getMethod("write", message.getClass(), short.class, boolean.class).invoke(null, message, version, false);
        return node.toString().getBytes(StandardCharsets.UTF_8);
    }

    /** Cut short, or up to three bytes changed: to anything, or to what lengths and nulls are made of. */
    static byte[] damage(byte[] bytes) {
        if (bytes.length == 0)
            return bytes;
        int how = random.nextInt(3);
        if (how == 0)
            return Arrays.copyOf(bytes, random.nextInt(bytes.length));
        for (int i = random.nextInt(3); i >= 0; i--)
            bytes[random.nextInt(bytes.length)] = (byte) (how == 1 ? random.nextInt(256) : pick(0, 1, 2, 127, 128, 255));
        return bytes;
    }

    static byte[] verdict(Class<?> type, byte[] bytes, short version) throws Exception {
        try {
            Message message = (Message) type.getDeclaredConstructor().newInstance();
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            message.read(new ByteBufferAccessor(buffer), version);
            byte[] again = write(message, version);
            return ByteBuffer.allocate(5 + again.length).put((byte) 1).putInt(buffer.remaining()).put(again).array();
        } catch (RuntimeException refused) {
            return new byte[] {0};
        }
    }

    static void writeAll(String list, String file, long seed, int count, boolean damaged) throws Exception {
        try (DataOutputStream out = new DataOutputStream(new BufferedOutputStream(new FileOutputStream(file), 1 << 20))) {
            for (String line : Files.readAllLines(Paths.get(list))) {
                String name = line.split(" ")[0];
                int ours = Integer.parseInt(line.split(" ")[1]);
                Class<?> type = find(name);
                int version = type == null ? -1 : versionOf(type, name, ours);
                if (version < 0) {
                    System.out.println(line);
                    continue;
                }
                Schema schema = ((Schema[]) type.getField("SCHEMAS").get(null))[version];
                random = new Random(seed ^ line.hashCode());
                for (int i = 0; i < count; i++) {
                    Message message = (Message) type.getDeclaredConstructor().newInstance();
                    // The first stays as it is made: Kafka's own defaults.
                    if (i > 0)
                        fill(message, schema);
                    byte[] bytes = write(message, (short) version);
                    if (damaged)
                        bytes = damage(bytes);
                    byte[] json = damaged ? verdict(type, bytes, (short) version) : json(message, (short) version);
                    out.writeUTF(name);
                    out.writeShort(ours);
                    out.writeInt(bytes.length);
                    out.write(bytes);
                    out.writeInt(json.length);
                    out.write(json);
                }
            }
        }
    }

    static void check(String file) throws Exception {
        long compared = 0, differ = 0, absent = 0;
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(new FileInputStream(file), 1 << 20))) {
            while (true) {
                String name;
                try {
                    name = in.readUTF();
                } catch (EOFException end) {
                    break;
                }
                int ours = in.readShort();
                byte[] bytes = new byte[in.readInt()];
                in.readFully(bytes);
                in.skipNBytes(in.readInt());
                Class<?> type = find(name);
                int version = type == null ? -1 : versionOf(type, name, ours);
                if (version < 0) {
                    absent++;
                    continue;
                }
                String problem = null;
                try {
                    Message message = (Message) type.getDeclaredConstructor().newInstance();
                    ByteBuffer buffer = ByteBuffer.wrap(bytes);
                    message.read(new ByteBufferAccessor(buffer), (short) version);
                    if (buffer.hasRemaining())
                        problem = buffer.remaining() + " bytes left over";
                    else if (!Arrays.equals(write(message, (short) version), bytes))
                        problem = "written back differently";
                } catch (RuntimeException refused) {
                    problem = refused.toString();
                }
                compared++;
                if (problem != null && differ++ < 20)
                    System.err.println(name + " version " + ours + ": Kafka: " + problem);
            }
        }
        System.out.println(compared + " " + differ + " " + absent);
        if (differ > 0)
            System.exit(1);
    }

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "write":
            case "damage":
                writeAll(arguments[1], arguments[2], Long.parseLong(arguments[3]), Integer.parseInt(arguments[4]),
                    arguments[0].equals("damage"));
                break;
            case "check":
                check(arguments[1]);
                break;
            case "errors":
                for (org.apache.kafka.common.protocol.Errors error : org.apache.kafka.common.protocol.Errors.values())
                    System.out.println(error.code() + " " + error.name() + " "
                        + (error.exception() instanceof org.apache.kafka.common.errors.RetriableException));
                break;
            default:
                throw new IllegalArgumentException(arguments[0]);
        }
    }
}
