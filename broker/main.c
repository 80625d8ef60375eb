/*
 * The `barnabas` program: reads the command line and the configuration, chooses the Linux machine
 * and runs the broker on it. Nothing else in the project knows which machine it runs on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/format.h"
#include "runtime/linux/machine.h"

enum {
	SET_MAX = 256, /* --set options */
	EXIT_USAGE = 2,
};

static int usage(FILE *to, int status)
{
	fputs("Barnabas: a message broker that speaks Apache Kafka's protocol and keeps Apache "
	      "Kafka's files.\n"
	      "\n"
	      "usage: barnabas serve [--config FILE] [--set NAME=VALUE]...\n"
	      "       barnabas format --cluster-id ID --config FILE [--standalone] "
	      "[--ignore-formatted] ...\n"
	      "       barnabas random-uuid\n"
	      "       barnabas version\n"
	      "\n"
	      "serve        run the broker until SIGTERM. Without --config: one node on "
	      "127.0.0.1:9092 that keeps its\n"
	      "             data in ./data and formats it on the first start\n"
	      "format       prepare the directories of log.dirs, as kafka-storage.sh format does\n"
	      "random-uuid  print a new cluster or directory id\n"
	      "\n"
	      "--config FILE       a server.properties, with Kafka's names\n"
	      "--set NAME=VALUE    a setting that wins over the file; may be given often\n",
		to);
	return status;
}

/* The whole of the file at PATH, malloc'ed. A negative errno after saying why. */
static int read_config_file(const char *path, char **ret_text, size_t *ret_size)
{
	char *text = NULL;
	size_t size = 0;
	struct stat status;
	int error = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) < 0) {
		error = -errno;
		goto out;
	}
	if (!S_ISREG(status.st_mode) || status.st_size > PROPERTIES_FILE_BYTES) {
		error = -EFBIG;
		goto out;
	}
	text = malloc((size_t)status.st_size + 1);
	if (!text) {
		error = -ENOMEM;
		goto out;
	}
	while (size < (size_t)status.st_size) {
		ssize_t n = read(fd, text + size, (size_t)status.st_size - size);
		if (n < 0) {
			error = -errno;
			goto out;
		}
		if (n == 0)
			break;
		size += (size_t)n;
	}
	*ret_text = text;
	*ret_size = size;
	text = NULL;
out:
	if (error < 0)
		fprintf(stderr, "barnabas: cannot read the configuration %s: %s\n", path,
			strerror(-error));
	free(text);
	if (fd >= 0)
		close(fd);
	return error;
}

struct serve_arguments {
	const char *config_path; /* NULL: embedded default */
	struct config_entry sets[SET_MAX];
	int32_t set_count;
};

static int parse_serve(int argc, char **argv, struct serve_arguments *ret)
{
	for (int i = 0; i < argc; i++) {
		const char *option = argv[i];
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (strcmp(option, "--config") != 0 && strcmp(option, "--set") != 0) {
			fprintf(stderr, "barnabas: serve has no option %s\n", option);
			return -EINVAL;
		}
		if (!value) {
			fprintf(stderr, "barnabas: %s wants a value\n", option);
			return -EINVAL;
		}
		i++;
		if (strcmp(option, "--config") == 0) {
			ret->config_path = value;
			continue;
		}
		if (ret->set_count == SET_MAX || properties_parse_argument(str_from(value),
							 &ret->sets[ret->set_count]) < 0) {
			fprintf(stderr, "barnabas: --set wants name=value, but was given %s\n",
				value);
			return -EINVAL;
		}
		ret->set_count++;
	}
	return 0;
}

static int64_t main_clock(void *context)
{
	struct timespec now;

	(void)context;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Log lines go to standard error whole, so that lines of several shards don't mix. */
static void main_sink(void *context, enum log_level level, const char *line, size_t size)
{
	(void)context;
	(void)level;
	while (size > 0) {
		ssize_t n = write(STDERR_FILENO, line, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nowhere to say it */
		line += n;
		size -= (size_t)n;
	}
}

static void log_findings(struct logger *logger, const struct config_report *report)
{
	static const enum log_event_id events[] = {
		[CONFIG_NOTE] = LOG_CONFIG_NOTE,
		[CONFIG_WARNING] = LOG_CONFIG_WARNING,
		[CONFIG_ERROR] = LOG_CONFIG_ERROR,
	};

	for (const struct config_finding *finding = report->first; finding; finding = finding->next)
		log_event(logger, events[finding->severity], log_str("setting", finding->name),
			log_str("about", finding->text));
}

static int load_config(
	const struct serve_arguments *arguments, struct logger *logger, struct config **ret_config)
{
	struct config_entries layers[2] = {
		{0}, {(struct config_entry *)(uintptr_t)arguments->sets, arguments->set_count}};
	struct config_report report;
	struct arena arena;
	char *text = NULL;
	size_t size = 0;
	int error;

	config_report_init(&report);
	arena_init(&arena, 16 * PROPERTIES_FILE_BYTES);
	if (arguments->config_path) {
		struct properties_problem problem;
		error = read_config_file(arguments->config_path, &text, &size);
		if (error < 0)
			goto out;
		error = properties_parse(
			(struct str){text, (int32_t)size}, &arena, &layers[0], &problem);
		if (error < 0) {
			log_event(logger, LOG_CONFIG_ERROR,
				log_text("file", arguments->config_path),
				log_int("line", problem.line), log_text("about", problem.words));
			goto out;
		}
		error = config_new(layers, 2, &report, ret_config);
	} else {
		error = config_new_embedded(&layers[1], &report, ret_config);
	}
	log_findings(logger, &report);
out:
	free(text);
	arena_done(&arena);
	config_report_done(&report);
	return error;
}

/* As many open files as we may have: connections and segments need them, and the soft limit is
 * there for programs that use select(). */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Process time so far began at exec; what the loader did counts. */
static uint64_t exec_time_ns(void)
{
	struct timespec now, used;

	clock_gettime(CLOCK_MONOTONIC, &now);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec -
	       ((uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec);
}

static struct logger main_logger;

static void report_stall(unsigned shard, uint64_t step_ns, const char *what)
{
	/* Called on the loop that stalled; the line is made on its stack, the logger's slots are
	 * main's alone otherwise. */
	static _Thread_local struct logger logger;

	if (!logger.sink) {
		logger_init(&logger, main_sink, NULL, main_clock, NULL);
		logger.format = main_logger.format;
	}
	log_event(&logger, LOG_STEP_SLOW, log_text("step", what), log_int("shard", shard),
		log_double("ms", (double)step_ns / 1e6));
}

static int serve(int argc, char **argv)
{
	static struct serve_arguments arguments;
	uint64_t exec_ns = exec_time_ns();
	struct config *config = NULL;
	struct broker *broker = NULL;
	int status = EXIT_FAILURE;
	char *working_folder;

	logger_init(&main_logger, main_sink, NULL, main_clock, NULL);
	if (parse_serve(argc, argv, &arguments) < 0)
		return usage(stderr, EXIT_USAGE);
	if (load_config(&arguments, &main_logger, &config) < 0) {
		log_event(&main_logger, LOG_START_REFUSED,
			log_text("configuration", arguments.config_path ? arguments.config_path
									: "embedded default"));
		return EXIT_FAILURE;
	}
	log_format_parse(config_str(config, SETTING_BARNABAS_LOG_FORMAT), &main_logger.format);
	log_level_parse(config_str(config, SETTING_BARNABAS_LOG_LEVEL), &main_logger.threshold);
	raise_file_limit();
	working_folder = getcwd(NULL, 0);

	struct broker_options options = {
		.config = config,
		.exec_ns = exec_ns,
		.working_folder = working_folder,
		.format_if_empty = arguments.config_path == NULL,
		.sink = main_sink,
		.clock = main_clock,
	};
	struct linux_machine_options machine = {
		.shard_count = (unsigned)config_int(config, SETTING_BARNABAS_SHARDS),
		.send_buffer_bytes =
			max_of(config_int(config, SETTING_SOCKET_SEND_BUFFER_BYTES), 0),
		.stalled = report_stall,
	};
	int error = broker_new(&options, &broker);
	if (error == 0) {
		struct program program = broker_program(broker);
		error = linux_machine_run(&machine, &program);
		if (error >= 0)
			status = error;
	}
	if (error < 0)
		log_event(&main_logger, LOG_START_FAILED, log_errno("error", error));
	if (status != EXIT_SUCCESS)
		_exit(status); /* what is left of the broker goes with the process */
	broker_free(broker);
	config_unref(config);
	free(working_folder);
	return status;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr, EXIT_USAGE);
	const char *command = argv[1];
	if (strcmp(command, "serve") == 0)
		return serve(argc - 2, argv + 2);
	if (strcmp(command, "format") == 0 || strcmp(command, "random-uuid") == 0)
		return format_main(argc - 1, argv + 1);
	if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
		puts("barnabas " BARNABAS_VERSION);
		return EXIT_SUCCESS;
	}
	if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 ||
		strcmp(command, "-h") == 0)
		return usage(stdout, EXIT_SUCCESS);
	fprintf(stderr, "barnabas: there is no command %s\n", command);
	return usage(stderr, EXIT_USAGE);
}
