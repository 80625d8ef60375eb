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

#include "run.h"

/* What libraries allocate for themselves is not seen by the simulated process and goes missing with
 * it; what we allocate is. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libzstd\nleak:libz.so\nleak:liblz4\nleak:libjansson\n";
}

struct arguments {
	uint64_t seed, seeds, steps;
	unsigned shards, nodes;
	bool is_once, is_quiet, is_verbose, ends_at_violation, wants_coverage;
	const char *trace_path;
	const char *hashes_path;
};

static int usage(FILE *to, int status)
{
	fputs("usage: simulate [--seed N] [--seeds COUNT] [--steps M] [--shards K] [--once]\n"
	      "                [--nodes K] [--until-violation] [--quiet-world] [--trace FILE]\n"
	      "                [--hashes FILE] [--verbose] [--coverage]\n"
	      "\n"
	      "--seed N         the first seed (1)\n"
	      "--seeds COUNT    how many (1)\n"
	      "--steps M        steps of the world before it is drained and judged (100000)\n"
	      "--shards K       shards of each node; else the seed chooses 1 to 8\n"
	      "--nodes K        nodes, each a cluster of one; else the seed chooses 1 to 3\n"
	      "--once           each seed once instead of twice\n"
	      "--until-violation  ends with the first seed that breaks a rule\n"
	      "--verbose        the node's log lines\n"
	      "--quiet-world    no faults\n"
	      "--coverage       a class of faults or operations that never happened is a failure\n"
	      "--trace FILE     every event as a line (of the first run of each seed)\n"
	      "--hashes FILE    a line for each seed with its trace hash: to compare two builds\n",
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
		NODES,
		COVERAGE,
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
		{"nodes", required_argument, NULL, NODES},
		{"coverage", no_argument, NULL, COVERAGE},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	uint64_t shards = 0, nodes = 0;
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
		case NODES:
			is_good = number_parse(optarg, &nodes) && nodes >= 1 &&
				  nodes <= RUN_NODES_MAX;
			ret->nodes = (unsigned)nodes;
			break;
		case COVERAGE:
			ret->wants_coverage = true;
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
	struct run_options options = {
		.seed = seed,
		.steps = arguments->steps,
		.shard_count = arguments->shards,
		.node_count = arguments->nodes,
		.trace = trace,
		.is_verbose = arguments->is_verbose,
		.has_no_faults = arguments->is_quiet,
	};

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
	uint64_t passed, failed, equal, steps;
	struct run_result sum; /* of the first runs: the counts */
	double seconds;
};

static void sum_add(struct run_result *sum, const struct run_result *result)
{
	coverage_add(&sum->coverage, &result->coverage);
	sum->requests += result->requests;
	sum->acknowledged += result->acknowledged;
	sum->read += result->read;
	sum->broken_connections += result->broken_connections;
	sum->topics_deleted += result->topics_deleted;
	sum->starts_moved += result->starts_moved;
	sum->rebalances += result->rebalances;
	sum->commits += result->commits;
}

static void sum_print(const struct run_result *sum)
{
	coverage_print(&sum->coverage);
	printf("%" PRIu64 " requests, %" PRIu64 " broken connections, %" PRIu64
	       " records acknowledged, %" PRIu64 " read, %" PRIu64 " log starts moved, %" PRIu64
	       " topics deleted, %" PRIu64 " generations, %" PRIu64 " offsets committed\n",
		sum->requests, sum->broken_connections, sum->acknowledged, sum->read,
		sum->starts_moved, sum->topics_deleted, sum->rebalances, sum->commits);
}

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
	sum_add(&totals->sum, &first);
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
		       " starts, %" PRIu64 " records sent, %" PRIu64 " retriable errors, %" PRIu64
		       " sent twice, trace %016" PRIx64 "\n",
			seed, why[0] ? why : "good", first.setting, first.steps, first.virtual_ms,
			first.restarts, first.attempted, first.retriable_errors, first.duplicates,
			first.hash);
	/* The next seed's process must not inherit lines that it would write again. */
	fflush(NULL);
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
	sum_print(&totals.sum);
	if (arguments.wants_coverage)
		totals.failed += coverage_missing(&totals.sum.coverage);
	if (!arguments.is_once)
		printf("seeds run twice with equal traces: %" PRIu64 "\n", totals.equal);
	printf("%" PRIu64 " steps in %.1f s, %.2f million a second\n", totals.steps, totals.seconds,
		(double)totals.steps / totals.seconds / 1e6);
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", totals.passed, totals.failed);
	return totals.failed == 0 ? 0 : 1;
}
