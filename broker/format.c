/*
 * The command line of `barnabas format` and `barnabas random-uuid`. The work is the formatter's;
 * here are the options, named as kafka-storage.sh names them, and the little machine on which it
 * runs.
 */
#include "broker/format.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/controller/formatter.h"
#include "runtime/linux/machine.h"
#include "runtime/uuid.h"

enum { CONFIG_FILE_SIZE_MAX = 1 << 20, ARENA_SIZE_MAX = 64 << 20 };

struct format_job {
	struct format_options options;
	const char *config_path;
	bool is_uuid; /* random-uuid: print one and end */
	struct arena arena;
};

static void print_line(void *argument, const char *line)
{
	(void)argument;
	puts(line);
}

static int fail(const char *format, const char *what, const char *detail)
{
	fprintf(stderr, "barnabas: ");
	fprintf(stderr, format, what, detail);
	fputc('\n', stderr);
	return -EINVAL;
}

/* ---- options ---- */

enum option_kind {
	OPTION_CLUSTER_ID,
	OPTION_CONFIG,
	OPTION_STANDALONE,
	OPTION_NO_INITIAL_CONTROLLERS,
	OPTION_INITIAL_CONTROLLERS,
	OPTION_FEATURE,
	OPTION_RELEASE_VERSION,
	OPTION_IGNORE_FORMATTED,
	OPTION_ADD_SCRAM,
};

static const struct option_row {
	const char *name, *letter;
	enum option_kind kind;
	bool wants_value;
} option_table[] = {
	{"--cluster-id", "-t", OPTION_CLUSTER_ID, true},
	{"--config", "-c", OPTION_CONFIG, true},
	{"--standalone", "-s", OPTION_STANDALONE, false},
	{"--no-initial-controllers", "-N", OPTION_NO_INITIAL_CONTROLLERS, false},
	{"--initial-controllers", "-I", OPTION_INITIAL_CONTROLLERS, true},
	{"--feature", "-f", OPTION_FEATURE, true},
	{"--release-version", "-r", OPTION_RELEASE_VERSION, true},
	{"--ignore-formatted", "-g", OPTION_IGNORE_FORMATTED, false},
	{"--add-scram", "-S", OPTION_ADD_SCRAM, true},
};

/* The row of "--name", "--name=value" or "-n"; *RET_VALUE is set when the value is in the same
 * argument. */
static const struct option_row *find_option(const char *argument, const char **ret_value)
{
	const char *equals = strncmp(argument, "--", 2) == 0 ? strchr(argument, '=') : NULL;
	size_t size = equals ? (size_t)(equals - argument) : strlen(argument);

	*ret_value = equals ? equals + 1 : NULL;
	for (size_t i = 0; i < array_length(option_table); i++) {
		const struct option_row *row = &option_table[i];

		if ((strlen(row->name) == size && strncmp(row->name, argument, size) == 0) ||
			strcmp(row->letter, argument) == 0)
			return row;
	}
	return NULL;
}

static int take_option(struct format_job *job, const struct option_row *row, const char *value)
{
	struct format_options *options = &job->options;

	switch (row->kind) {
	case OPTION_CLUSTER_ID:
		options->cluster_id = str_from(value);
		return 0;
	case OPTION_CONFIG:
		job->config_path = value;
		return 0;
	case OPTION_STANDALONE:
		options->standalone = true;
		return 0;
	case OPTION_NO_INITIAL_CONTROLLERS:
		options->no_initial_controllers = true;
		return 0;
	case OPTION_INITIAL_CONTROLLERS:
		options->initial_controllers = str_from(value);
		return 0;
	case OPTION_RELEASE_VERSION:
		options->release_version = str_from(value);
		return 0;
	case OPTION_IGNORE_FORMATTED:
		options->ignore_formatted = true;
		return 0;
	case OPTION_FEATURE:
		if (options->feature_count == FORMAT_LIST_MAX)
			return fail("%s is given too often%s", row->name, "");
		options->features[options->feature_count++] = str_from(value);
		return 0;
	case OPTION_ADD_SCRAM:
		if (options->scram_count == FORMAT_LIST_MAX)
			return fail("%s is given too often%s", row->name, "");
		options->scram[options->scram_count++] = str_from(value);
		return 0;
	}
	return -EINVAL;
}

static int parse_arguments(struct format_job *job, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *value;
		const struct option_row *row = find_option(argv[i], &value);
		int error;

		if (!row)
			return fail("format has no option %s%s", argv[i], "");
		if (row->wants_value && !value)
			value = ++i < argc ? argv[i] : NULL;
		if (row->wants_value && !value)
			return fail("%s wants a value%s", row->name, "");
		error = take_option(job, row, value);
		if (error < 0)
			return error;
	}
	if (str_is_null(job->options.cluster_id))
		return fail("format wants %s%s", "--cluster-id",
			"; `barnabas random-uuid` prints a new one");
	if (!job->config_path)
		return fail("format wants %s%s", "--config", "");
	if (job->options.standalone + job->options.no_initial_controllers +
			!str_is_null(job->options.initial_controllers) >
		1)
		return fail("only one of %s%s may be given",
			"--standalone, --no-initial-controllers and ", "--initial-controllers");
	return 0;
}

/* ---- running ---- */

static int load_config(struct shard *shard, struct format_job *job, struct config **ret_config)
{
	struct properties_problem problem;
	struct config_entries entries;
	struct config_report report;
	char *text;
	size_t size;
	int error = fiber_read_whole(shard, job->config_path, CONFIG_FILE_SIZE_MAX, &text, &size);

	if (error < 0)
		return fail(
			"cannot read the configuration %s: %s", job->config_path, strerror(-error));
	error = properties_parse(
		(struct str){.data = text, .size = (int32_t)size}, &job->arena, &entries, &problem);
	free(text);
	if (error < 0)
		return fail(
			"cannot read the configuration %s: %s", job->config_path, problem.words);
	config_report_init(&report);
	error = config_new(&entries, 1, &report, ret_config);
	for (const struct config_finding *finding = report.first; finding; finding = finding->next)
		if (finding->severity == CONFIG_ERROR && !finding->unserved)
			fprintf(stderr, "barnabas: %.*s\n", STR_ARGS(finding->text));
	config_report_done(&report);
	return error;
}

static void format_fiber(struct shard *shard, void *argument)
{
	struct format_job *job = argument;
	struct config *config = NULL;
	const char *why = NULL;
	char text[UUID_TEXT_SIZE + 1];
	struct uuid id;
	int error;

	if (job->is_uuid) {
		id = uuid_random(shard);
		uuid_format(&id, text);
		puts(text);
		machine_exit(shard, EXIT_SUCCESS);
		return;
	}
	error = load_config(shard, job, &config);
	if (error == 0) {
		job->options.config = config;
		error = formatter_run(shard, &job->options, &job->arena, &why);
		if (error < 0)
			fprintf(stderr, "barnabas: %s%s%s\n", why ? why : "formatting failed",
				error == -EINVAL || error == -EEXIST ? "" : ": ",
				error == -EINVAL || error == -EEXIST ? "" : strerror(-error));
		config_unref(config);
	}
	fflush(stdout);
	machine_exit(shard, error < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static void format_start(struct shard *shard, void *argument)
{
	if (fiber_start(shard, format_fiber, argument) < 0)
		machine_exit(shard, EXIT_FAILURE);
}

static void format_stop(struct shard *shard, void *argument)
{
	(void)argument;
	machine_exit(shard, EXIT_FAILURE);
}

int format_main(int argc, char **argv)
{
	struct linux_machine_options machine = {.shard_count = 1, .disk_threads = 1};
	struct format_job job = {
		.options = {.cluster_id = STR_NULL,
			.initial_controllers = STR_NULL,
			.release_version = STR_NULL,
			.print = print_line},
	};
	struct program program = {.start = format_start, .stop = format_stop, .argument = &job};
	int status;

	job.is_uuid = strcmp(argv[0], "random-uuid") == 0;
	if (!job.is_uuid && parse_arguments(&job, argc, argv) < 0)
		return EXIT_FAILURE;
	arena_init(&job.arena, ARENA_SIZE_MAX);
	status = linux_machine_run(&machine, &program);
	arena_done(&job.arena);
	if (status < 0)
		fprintf(stderr, "barnabas: the machine could not be started: %s\n",
			strerror(-status));
	return status < 0 ? EXIT_FAILURE : status;
}

int format_embedded(
	struct shard *shard, const struct config *config, struct arena *arena, const char **ret_why)
{
	char text[UUID_TEXT_SIZE + 1];
	struct uuid id = uuid_random(shard);
	struct format_options options = {
		.config = config,
		.initial_controllers = STR_NULL,
		.release_version = STR_NULL,
		.opens_at_once = true,
	};
	int32_t voters;

	uuid_format(&id, text);
	options.cluster_id = arena_str(arena, str_from(text));
	config_voters(config, &voters);
	/* Without voters in the configuration the node is a quorum by itself. */
	options.standalone = voters == 0;
	return str_is_null(options.cluster_id) ? -ENOMEM
					       : formatter_run(shard, &options, arena, ret_why);
}
