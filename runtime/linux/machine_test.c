/* What only the real machine has: signals, threads that end, steps that take too long, CPU quotas.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/linux/internal.h"

struct stops {
	unsigned count;
	struct timer end;
};

static void stops_end(struct shard *shard, struct timer *timer)
{
	struct stops *stops = container_of(timer, struct stops, end);

	machine_exit(shard, (int)stops->count);
}

static void stops_start(struct shard *shard, void *argument)
{
	struct stops *stops = argument;

	stops->end.fire = stops_end;
	kill(getpid(), SIGTERM);
}

static void stops_stop(struct shard *shard, void *argument)
{
	struct stops *stops = argument;

	ensure(shard_index(shard) == 0);
	if (stops->count++ == 0)
		kill(getpid(), SIGINT);
	timer_set(shard, &stops->end, shard_now_ns(shard) + 10 * NS_PER_MS);
}

/* Two signals; the second one comes while the program stops: it is asked once. */
Test(linux_machine, is_asked_to_stop_once, .timeout = 30)
{
	struct stops stops = {0};
	struct program program = {.start = stops_start, .stop = stops_stop, .argument = &stops};
	struct linux_machine_options options = {.shard_count = 2};

	cr_assert_eq(linux_machine_run(&options, &program), 1);
}

static void restless_run(struct shard *shard, struct task *task)
{
	shard_post(shard, task);
}

static void restless_start(struct shard *shard, void *argument)
{
	struct task *task = argument;

	task->run = restless_run;
	shard_post(shard, task);
	kill(getpid(), SIGTERM);
}

static void restless_stop(struct shard *shard, void *argument)
{
	machine_exit(shard, 7);
}

/* Somebody's endless work does not keep a shard from hearing what happens outside. */
Test(linux_machine, hears_events_while_it_always_has_something_to_do, .timeout = 30)
{
	struct task task = {};
	struct program program = {
		.start = restless_start, .stop = restless_stop, .argument = &task};
	struct linux_machine_options options = {.shard_count = 1};

	cr_assert_eq(linux_machine_run(&options, &program), 7);
}

struct last_words {
	struct task leave, never;
	bool left;
};

static void never_run(struct shard *shard, struct task *task)
{
	ensure(!"a step ran after machine_exit");
}

static void leave_run(struct shard *shard, struct task *task)
{
	struct last_words *words = container_of(task, struct last_words, leave);

	ensure(shard_index(shard) == 2);
	words->never.run = never_run;
	shard_post(shard, &words->never);
	words->left = true;
	machine_exit(shard, 42);
	machine_exit(shard, 43);
}

static void leave_start(struct shard *shard, void *argument)
{
	struct last_words *words = argument;

	words->leave.run = leave_run;
	shard_send(shard, 2, &words->leave);
}

/* Exit from another shard, with a step still queued there: the first status comes back, all threads
 * are gone, and the machine can run again in the same process. */
Test(linux_machine, exits_from_any_shard, .timeout = 30)
{
	struct linux_machine_options options = {.shard_count = 4};

	for (int i = 0; i < 20; i++) {
		struct last_words words = {0};
		struct program program = {.start = leave_start, .argument = &words};

		cr_assert_eq(linux_machine_run(&options, &program), 42);
		cr_assert(words.left);
	}
	unsigned threads = 0;
	FILE *status = fopen("/proc/self/status", "r");
	char line[200];
	while (fgets(line, sizeof(line), status))
		sscanf(line, "Threads: %u", &threads);
	fclose(status);
	cr_assert_leq(threads, 2); /* criterion has one of its own */
}

static uint64_t stall_ns;
static char stall_expected[256];

/* On a busy machine other steps may take long too. */
static void stall_note(unsigned shard, uint64_t step_ns, const char *what)
{
	if (strcmp(what, stall_expected) == 0)
		stall_ns = step_ns;
}

struct slow {
	struct task slow, end;
};

static void slow_end(struct shard *shard, struct task *task)
{
	machine_exit(shard, 0);
}

static void slow_run(struct shard *shard, struct task *task)
{
	uint64_t start_ns = clock_now_ns();

	while (clock_now_ns() - start_ns < 8 * NS_PER_MS)
		;
	shard_post(shard, &container_of(task, struct slow, slow)->end);
}

static void slow_start(struct shard *shard, void *argument)
{
	struct slow *slow = argument;

	slow->slow.run = slow_run;
	slow->end.run = slow_end;
	shard_post(shard, &slow->slow);
}

/* A step of eight milliseconds is reported with its length and where its code lies. */
Test(linux_machine, reports_a_step_that_takes_too_long, .timeout = 30)
{
	struct slow slow = {0};
	struct program program = {.start = slow_start, .argument = &slow};
	struct linux_machine_options options = {.shard_count = 1, .stalled = stall_note};

	Dl_info info;

	cr_assert(dladdr((void *)(uintptr_t)slow_run, &info));
	snprintf(stall_expected, sizeof(stall_expected), "%s+0x%zx", info.dli_fname,
		(size_t)((char *)(uintptr_t)slow_run - (char *)info.dli_fbase));
	cr_assert_eq(linux_machine_run(&options, &program), 0);
	cr_assert_geq(stall_ns, 8 * NS_PER_MS);
}

static void put(const char *root, const char *path, const char *text)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
		slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		cr_assert(mkdir(full, 0777) == 0 || errno == EEXIST);
		*slash = '/';
	}
	FILE *file = fopen(full, "w");
	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	return remove(path);
}

struct quota_case {
	const char *what;
	const char *files[6]; /* path, content, ... */
	unsigned expected;    /* of 16 CPUs */
};

/* Trees as the kernel shows them, for both versions of cgroups, in and out of containers. */
Test(linux_machine, counts_the_cpus_that_a_quota_pays_for)
{
	static const struct quota_case cases[] = {
		{"no cgroups", {"/proc/x", ""}, 16},
		{"version 2 without a limit",
			{"/proc/self/cgroup", "0::/a\n", "/sys/fs/cgroup/a/cpu.max",
				"max 100000\n"},
			16},
		{"version 2, rounded up",
			{"/proc/self/cgroup", "0::/a\n", "/sys/fs/cgroup/a/cpu.max",
				"250000 100000\n"},
			3},
		{"version 2, the limit of a group above",
			{"/proc/self/cgroup", "0::/a/b/c\n", "/sys/fs/cgroup/a/b/cpu.max",
				"800000 100000\n", "/sys/fs/cgroup/a/cpu.max", "200000 100000\n"},
			2},
		{"version 2, in a container: the path is not there",
			{"/proc/self/cgroup", "0::/host/path\n", "/sys/fs/cgroup/cpu.max",
				"50000 100000\n"},
			1},
		{"version 1 below its controllers' names",
			{"/proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/d\n",
				"/sys/fs/cgroup/cpu,cpuacct/d/cpu.cfs_quota_us", "400000\n",
				"/sys/fs/cgroup/cpu,cpuacct/d/cpu.cfs_period_us", "100000\n"},
			4},
		{"version 1 without a limit",
			{"/proc/self/cgroup", "4:cpu:/d\n", "/sys/fs/cgroup/cpu/d/cpu.cfs_quota_us",
				"-1\n", "/sys/fs/cgroup/cpu/d/cpu.cfs_period_us", "100000\n"},
			16},
		{"cpuset is not cpu",
			{"/proc/self/cgroup", "4:cpuset:/d\n",
				"/sys/fs/cgroup/cpuset/d/cpu.cfs_quota_us", "100000\n",
				"/sys/fs/cgroup/cpuset/d/cpu.cfs_period_us", "100000\n"},
			16},
		{"more than there are",
			{"/proc/self/cgroup", "0::/\n", "/sys/fs/cgroup/cpu.max",
				"9900000 100000\n"},
			16},
	};

	for (unsigned i = 0; i < array_length(cases); i++) {
		char root[] = "/tmp/barnabas-cgroup-XXXXXX";

		cr_assert_not_null(mkdtemp(root));
		for (unsigned j = 0; j < array_length(cases[i].files) && cases[i].files[j]; j += 2)
			put(root, cases[i].files[j], cases[i].files[j + 1]);
		cr_expect_eq(cpus_by_quota(root, 16), cases[i].expected, "%s: %u", cases[i].what,
			cpus_by_quota(root, 16));
		nftw(root, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
	}
	cr_assert_geq(linux_usable_cpus(), 1);
}

struct memory_case {
	const char *what;
	const char *files[6]; /* path, content, ... */
	uint64_t expected;    /* of 1,000,000 bytes */
};

Test(linux_machine, counts_the_memory_that_a_group_may_have)
{
	static const struct memory_case cases[] = {
		{"no cgroups", {"/proc/x", ""}, 1000000},
		{"version 2 without a limit",
			{"/proc/self/cgroup", "0::/a\n", "/sys/fs/cgroup/a/memory.max", "max\n"},
			1000000},
		{"version 2, the limit of a group above",
			{"/proc/self/cgroup", "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max",
				"800000\n", "/sys/fs/cgroup/a/memory.max", "200000\n"},
			200000},
		{"version 1",
			{"/proc/self/cgroup", "5:memory:/m\n4:cpu:/d\n",
				"/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "300000\n"},
			300000},
		{"version 1 without a limit",
			{"/proc/self/cgroup", "5:memory:/m\n",
				"/sys/fs/cgroup/memory/m/memory.limit_in_bytes",
				"9223372036854771712\n"},
			1000000},
	};

	for (unsigned i = 0; i < array_length(cases); i++) {
		char root[] = "/tmp/barnabas-cgroup-XXXXXX";

		cr_assert_not_null(mkdtemp(root));
		for (unsigned j = 0; j < array_length(cases[i].files) && cases[i].files[j]; j += 2)
			put(root, cases[i].files[j], cases[i].files[j + 1]);
		cr_expect_eq(
			memory_by_limit(root, 1000000), cases[i].expected, "%s", cases[i].what);
		nftw(root, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
	}
	cr_assert_gt(linux_usable_memory(), 0);
}
