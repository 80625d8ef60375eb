import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command-line tools one after another inside one JVM, since starting one takes longer than most of
 * them. A command on standard input is the main class, its arguments and, last, its standard input, separated by the
 * character 1 with new lines written as character 2; the answer is the tool's output in the same spelling.
 */
public class Tools {
	static class Ended extends RuntimeException {
	}

	/** The status that a tool ended with first: some catch what ends them and end again, with a failure. */
	static Integer status;

	public static void main(String[] args) throws Exception {
		PrintStream out = System.out;
		Exit.Procedure end = (code, message) -> {
			status = status == null ? code : status;
			throw new Ended();
		};
		Exit.setExitProcedure(end);
		Exit.setHaltProcedure(end);
		List<Runnable> hooks = new ArrayList<>(); // some tools close their clients there: run when the tool has ended
		Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
		for (String line; (line = in.readLine()) != null;) {
			String[] words = line.replace('\2', '\n').split("\1", -1);
			ByteArrayOutputStream output = new ByteArrayOutputStream();
			PrintStream captured = new PrintStream(output, true, "UTF-8");
			System.setOut(captured);
			System.setErr(captured);
			System.setIn(new ByteArrayInputStream(words[words.length - 1].getBytes(StandardCharsets.UTF_8)));
			status = null;
			try {
				Class.forName(words[0]).getMethod("main", String[].class).invoke(null,
					(Object) Arrays.copyOfRange(words, 1, words.length - 1));
			} catch (Throwable e) {
				if (status == null) {
					status = 99;
					e.printStackTrace(captured);
				}
			}
			for (Runnable hook : hooks)
				hook.run();
			hooks.clear();
			captured.flush();
			out.write(((status == null ? 0 : status) + "\1" + output.toString("UTF-8").replace('\n', '\2') + "\n").getBytes(StandardCharsets.UTF_8));
			out.flush();
		}
		System.exit(0);
	}
}
