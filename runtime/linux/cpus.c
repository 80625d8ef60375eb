/*
 * How many CPUs are really ours: what affinity leaves, and what the cgroup's quota pays for. A
 * quota is looked for at the process's group and at each group above it; the tightest counts. In a
 * container the group's path is often not below what is mounted; then the mount's root holds the
 * quota.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/linux/internal.h"

enum { CGROUP_PATH_SIZE = 4096 };

static bool file_read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");

	if (!file)
		return false;
	bool found = fgets(line, (int)size, file) != NULL;
	fclose(file);
	return found;
}

/* Version 2: "max 100000" or "150000 100000". Rounded up; 0: no limit. */
static unsigned quota_v2(const char *folder)
{
	char path[CGROUP_PATH_SIZE + 64], line[128];
	unsigned long long quota, period;

	snprintf(path, sizeof(path), "%s/cpu.max", folder);
	if (!file_read_line(path, line, sizeof(line)) ||
		sscanf(line, "%llu %llu", &quota, &period) != 2 || period == 0)
		return 0;
	return (unsigned)min_of((quota + period - 1) / period, 65536ull);
}

static unsigned quota_v1(const char *folder)
{
	char path[CGROUP_PATH_SIZE + 64], line[128];
	long long quota, period;

	snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", folder);
	if (!file_read_line(path, line, sizeof(line)))
		return 0;
	quota = atoll(line);
	snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", folder);
	if (quota <= 0 || !file_read_line(path, line, sizeof(line)))
		return 0;
	period = atoll(line);
	return period <= 0 ? 0 : (unsigned)min_of((quota + period - 1) / period, 65536ll);
}

/* The tightest quota from GROUP (which begins with a slash) up to MOUNT itself. */
static unsigned quota_up_from(const char *mount, const char *group,
	unsigned (*quota_of)(const char *folder), unsigned cpus)
{
	char folder[CGROUP_PATH_SIZE];
	size_t mount_size = strlen(mount);

	if ((size_t)snprintf(folder, sizeof(folder), "%s%s", mount, group) >= sizeof(folder))
		return cpus;
	for (;;) {
		unsigned quota = quota_of(folder);

		if (quota > 0 && quota < cpus)
			cpus = quota;
		char *slash = strrchr(folder, '/');
		if (!slash || (size_t)(slash - folder) < mount_size)
			return cpus;
		*slash = '\0';
	}
}

/* Whether the comma-separated CONTROLLERS name "cpu". */
static bool controls_cpu(const char *controllers)
{
	for (const char *at = controllers; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, "cpu", 3) == 0 && (at[3] == ',' || at[3] == '\0'))
			return true;
	}
	return false;
}

unsigned cpus_by_quota(const char *root, unsigned cpus)
{
	char path[CGROUP_PATH_SIZE], mount[CGROUP_PATH_SIZE], line[CGROUP_PATH_SIZE];

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	FILE *groups = fopen(path, "re");
	if (!groups)
		return cpus;
	/* "0::/path" is version 2; "4:cpu,cpuacct:/path" version 1. */
	while (fgets(line, sizeof(line), groups)) {
		line[strcspn(line, "\n")] = '\0';
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!group || group[1] != '/')
			continue;
		*group++ = '\0';
		controllers++;
		if (controllers[0] == '\0') {
			snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup", root);
			cpus = quota_up_from(mount, group, quota_v2, cpus);
		} else if (controls_cpu(controllers)) {
			snprintf(
				mount, sizeof(mount), "%s/sys/fs/cgroup/%.256s", root, controllers);
			if (access(mount, F_OK) != 0)
				snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/cpu", root);
			cpus = quota_up_from(mount, group, quota_v1, cpus);
		}
	}
	fclose(groups);
	return cpus;
}

unsigned linux_usable_cpus(void)
{
	unsigned cpus = 1;
	/* Large enough for any kernel: the call fails when its own mask is larger. */
	size_t size = CPU_ALLOC_SIZE(8192);
	cpu_set_t *set = CPU_ALLOC(8192);

	if (set && sched_getaffinity(0, size, set) == 0)
		cpus = (unsigned)CPU_COUNT_S(size, set);
	CPU_FREE(set);
	return cpus_by_quota("", max_of(cpus, 1u));
}
