/*
 * `simulate`: runs seeds of the simulation, each twice, and compares the traces.
 *
 *	simulate --seed 1 --seeds 20 --steps 200000
 *
 * Each run is a process of its own, so that a broken invariant (which aborts) is a failed seed and
 * not the end of all. The seed of a failure is printed; running it alone with --verbose
 * shows the node's log, with --trace FILE every event.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node.h"
#include "run.h"
#include "standin.h"

/* What libraries allocate for themselves is not seen by the simulated process and goes missing with
 * it; what we allocate is. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libzstd\nleak:libz.so\nleak:liblz4\nleak:libjansson\n";
}

struct arguments {
	uint64_t seed, seeds, steps;
	unsigned shards;
	bool is_once, is_quiet, is_verbose, is_standin, ends_at_violation;
	const char *trace_path;
	const char *hashes_path;
	enum standin_bug standin_bug;
};

static int usage(FILE *to, int status)
{
	fputs("usage: simulate [--seed N] [--seeds COUNT] [--steps M] [--shards K] [--once]\n"
	      "                [--until-violation] [--quiet-world] [--trace FILE] [--hashes FILE]\n"
	      "                [--verbose] [--stand-in BUG]\n"
	      "\n"
	      "--seed N         the first seed (1)\n"
	      "--seeds COUNT    how many (1)\n"
	      "--steps M        steps of the world before it is drained and judged (100000)\n"
	      "--shards K       shards of the node; else the seed chooses 1 to 8\n"
	      "--once           each seed once instead of twice\n"
	      "--until-violation  ends with the first seed that breaks a rule\n"
	      "--verbose        the node's log lines\n"
	      "--quiet-world    no faults\n"
	      "--trace FILE     every event as a line (of the first run of each seed)\n"
	      "--hashes FILE    a line for each seed with its trace hash: to compare two builds\n"
	      "--stand-in BUG   instead of the broker a small one with a planted bug, or "
	      "'correct'\n",
		to);
	return status;
}

static bool number_parse(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno == 0 && *text && *end == '\0';
}

static bool bug_parse(const char *text, enum standin_bug *ret)
{
	for (int i = 0; i < STANDIN_BUG_COUNT; i++)
		if (strcmp(text, standin_bug_names[i]) == 0) {
			*ret = (enum standin_bug)i;
			return true;
		}
	return false;
}

static int arguments_parse(int argc, char **argv, struct arguments *ret)
{
	enum {
		SEED = 1,
		SEEDS,
		STEPS,
		SHARDS,
		ONCE,
		UNTIL,
		VERBOSE,
		QUIET,
		TRACE,
		HASHES,
		STAND_IN,
		HELP
	};
	static const struct option options[] = {
		{"seed", required_argument, NULL, SEED},
		{"seeds", required_argument, NULL, SEEDS},
		{"steps", required_argument, NULL, STEPS},
		{"shards", required_argument, NULL, SHARDS},
		{"once", no_argument, NULL, ONCE},
		{"until-violation", no_argument, NULL, UNTIL},
		{"verbose", no_argument, NULL, VERBOSE},
		{"quiet-world", no_argument, NULL, QUIET},
		{"trace", required_argument, NULL, TRACE},
		{"hashes", required_argument, NULL, HASHES},
		{"stand-in", required_argument, NULL, STAND_IN},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	uint64_t shards = 0;
	int option;

	*ret = (struct arguments){.seed = 1, .seeds = 1, .steps = 100000};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		bool is_good = true;

		switch (option) {
		case SEED:
			is_good = number_parse(optarg, &ret->seed);
			break;
		case SEEDS:
			is_good = number_parse(optarg, &ret->seeds);
			break;
		case STEPS:
			is_good = number_parse(optarg, &ret->steps);
			break;
		case SHARDS:
			is_good = number_parse(optarg, &shards) && shards >= 1 && shards <= 8;
			ret->shards = (unsigned)shards;
			break;
		case ONCE:
			ret->is_once = true;
			break;
		case UNTIL:
			ret->ends_at_violation = true;
			break;
		case VERBOSE:
			ret->is_verbose = true;
			break;
		case QUIET:
			ret->is_quiet = true;
			break;
		case TRACE:
			ret->trace_path = optarg;
			break;
		case HASHES:
			ret->hashes_path = optarg;
			break;
		case STAND_IN:
			is_good = bug_parse(optarg, &ret->standin_bug);
			ret->is_standin = true;
			break;
		case HELP:
			exit(usage(stdout, 0));
		default:
			is_good = false;
			break;
		}
		if (!is_good)
			return -EINVAL;
	}
	return optind == argc ? 0 : -EINVAL;
}

static void seed_run(const struct arguments *arguments, uint64_t seed, FILE *trace,
	struct run_result *ret_result)
{
	struct node_options node = {.is_verbose = arguments->is_verbose};
	struct standin_options standin = {.bug = arguments->standin_bug, .port = NODE_PORT};
	struct run_options options = {
		.seed = seed,
		.steps = arguments->steps,
		.shard_count = arguments->shards,
		.port = NODE_PORT,
		.trace = trace,
		.has_no_faults = arguments->is_quiet,
		.node = {.start = node_start, .stop = node_stop, .argument = &node},
		.node_shards_max = 8,
	};

	if (arguments->is_standin) {
		options.node = (struct program){.start = standin_start, .argument = &standin};
		options.node_shards_max = options.shard_count = 1;
	}
	run_seed(&options, ret_result);
}

/* In a child; false when it died. */
static bool seed_run_apart(const struct arguments *arguments, uint64_t seed, bool is_first,
	struct run_result *ret_result)
{
	int pipes[2], status;
	size_t size = 0;
	pid_t child;

	if (pipe(pipes) < 0 || (child = fork()) < 0) {
		perror("simulate");
		exit(1);
	}
	if (child == 0) {
		FILE *trace = is_first && arguments->trace_path ? fopen(arguments->trace_path, "w")
								: NULL;
		struct run_result result;

		close(pipes[0]);
		seed_run(arguments, seed, trace, &result);
		if (trace)
			fclose(trace);
		if (write(pipes[1], &result, sizeof(result)) != (ssize_t)sizeof(result))
			_exit(1);
		exit(0); /* not _exit: the leak checker has its say */
	}
	close(pipes[1]);
	while (size < sizeof(*ret_result)) {
		ssize_t got = read(pipes[0], (char *)ret_result + size, sizeof(*ret_result) - size);

		if (got <= 0 && !(got < 0 && errno == EINTR))
			break;
		size += got > 0 ? (size_t)got : 0;
	}
	close(pipes[0]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return size == sizeof(*ret_result) && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

struct totals {
	uint64_t passed, failed, equal, steps, crashes, acknowledged, read, requests;
	double seconds;
};

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void seed_judge(
	const struct arguments *arguments, uint64_t seed, FILE *hashes, struct totals *totals)
{
	struct run_result first = {0}, second = {0};
	double begin = now_seconds();
	bool is_good = seed_run_apart(arguments, seed, true, &first);
	const char *why = is_good ? first.violation : "the run died";

	totals->steps += first.steps;
	if (is_good && !arguments->is_once) {
		is_good = seed_run_apart(arguments, seed, false, &second);
		totals->steps += second.steps;
		if (!is_good)
			why = "the second run died";
		else if (first.hash != second.hash)
			why = "two runs of the seed differ";
		else
			totals->equal++;
	}
	totals->seconds += now_seconds() - begin;
	totals->crashes += first.crashes;
	totals->acknowledged += first.acknowledged;
	totals->read += first.read;
	totals->requests += first.requests;
	if (why[0] == '\0')
		totals->passed++;
	else
		totals->failed++;
	if (hashes)
		fprintf(hashes, "%" PRIu64 " %016" PRIx64 "\n", seed, first.hash);
	if (why[0] != '\0' || arguments->seeds == 1)
		printf("seed %" PRIu64 ": %s\n"
		       "  %s\n"
		       "  %" PRIu64 " steps, %" PRIu64 " ms of its time, %" PRIu64
		       " crashes, %" PRIu64 " starts, %" PRIu64 " requests, %" PRIu64
		       " records sent, %" PRIu64 " acknowledged, %" PRIu64 " read, %" PRIu64
		       " connections broke, %" PRIu64 " retriable errors, %" PRIu64
		       " duplicates, trace %016" PRIx64 "\n",
			seed, why[0] ? why : "good", first.setting, first.steps, first.virtual_ms,
			first.crashes, first.restarts, first.requests, first.attempted,
			first.acknowledged, first.read, first.broken_connections,
			first.retriable_errors, first.duplicates, first.hash);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct arguments arguments;
	struct totals totals = {0};
	FILE *hashes = NULL;

	if (arguments_parse(argc, argv, &arguments) < 0)
		return usage(stderr, 2);
	if (arguments.hashes_path && !(hashes = fopen(arguments.hashes_path, "w"))) {
		perror(arguments.hashes_path);
		return 1;
	}
	for (uint64_t i = 0;
		i < arguments.seeds && !(arguments.ends_at_violation && totals.failed > 0); i++)
		seed_judge(&arguments, arguments.seed + i, hashes, &totals);
	if (hashes)
		fclose(hashes);
	printf("%" PRIu64 " crashes, %" PRIu64 " requests, %" PRIu64
	       " records acknowledged, %" PRIu64 " read\n",
		totals.crashes, totals.requests, totals.acknowledged, totals.read);
	if (!arguments.is_once)
		printf("seeds run twice with equal traces: %" PRIu64 "\n", totals.equal);
	printf("%" PRIu64 " steps in %.1f s, %.2f million a second\n", totals.steps, totals.seconds,
		(double)totals.steps / totals.seconds / 1e6);
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", totals.passed, totals.failed);
	return totals.failed == 0 ? 0 : 1;
}
