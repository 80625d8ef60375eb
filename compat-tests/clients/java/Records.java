import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** The records that every client writes alike. */
class Records {
	static byte[] text(int i, int size) {
		byte[] out = new byte[size];
		for (int j = 0; j < size; j++)
			out[j] = (byte) ('a' + (i * 31 + j * 7L) % 26);
		return out;
	}

	static byte[] key(int i) {
		return i % 6 == 5 && i % 10 != 9 ? null : ("key-" + i).getBytes(StandardCharsets.UTF_8);
	}

	static byte[] value(int i) {
		return i % 10 == 9 ? null : text(i, i == 38 ? 120000 : new int[] {0, 1, 1024, 100}[i % 4]);
	}

	static Map<String, String> headers(int i) {
		Map<String, String> out = new LinkedHashMap<>();
		if (i % 3 == 0) {
			out.put("h1", "v-" + i);
			out.put("h2", "");
		}
		return out;
	}
}
