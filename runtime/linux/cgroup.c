/*
 * How many CPUs and how much memory are really ours: what affinity and the machine leave, and what the
 * cgroup pays for. A limit is looked for at the process's group and at each group above it; the
 * tightest counts. In a container the group's path is often not below what is mounted; then the
 * mount's root holds the limit.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
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
static uint64_t cpus_v2(const char *folder)
{
	char path[CGROUP_PATH_SIZE + 64], line[128];
	unsigned long long quota, period;

	snprintf(path, sizeof(path), "%s/cpu.max", folder);
	if (!file_read_line(path, line, sizeof(line)) ||
		sscanf(line, "%llu %llu", &quota, &period) != 2 || period == 0)
		return 0;
	return min_of((quota + period - 1) / period, 65536ull);
}

static uint64_t cpus_v1(const char *folder)
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
	return period <= 0 ? 0 : (uint64_t)min_of((quota + period - 1) / period, 65536ll);
}

/* Version 2 says "max" where there is no limit, version 1 a number that no machine has. */
static uint64_t memory_at(const char *folder, const char *name)
{
	char path[CGROUP_PATH_SIZE + 64], line[128];
	unsigned long long bytes;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (!file_read_line(path, line, sizeof(line)) || sscanf(line, "%llu", &bytes) != 1)
		return 0;
	return bytes;
}

static uint64_t memory_v2(const char *folder)
{
	return memory_at(folder, "memory.max");
}

static uint64_t memory_v1(const char *folder)
{
	return memory_at(folder, "memory.limit_in_bytes");
}

/* What a folder of a controller's tree limits; 0: nothing. */
struct resource {
	const char *controller;
	uint64_t (*limit_v1)(const char *folder);
	uint64_t (*limit_v2)(const char *folder);
};

/* The tightest limit from GROUP (which begins with a slash) up to MOUNT itself. */
static uint64_t limit_up_from(const char *mount, const char *group,
	uint64_t (*limit_of)(const char *folder), uint64_t limit)
{
	char folder[CGROUP_PATH_SIZE];
	size_t mount_size = strlen(mount);

	if ((size_t)snprintf(folder, sizeof(folder), "%s%s", mount, group) >= sizeof(folder))
		return limit;
	for (;;) {
		uint64_t here = limit_of(folder);

		if (here > 0)
			limit = min_of(limit, here);
		char *slash = strrchr(folder, '/');
		if (!slash || (size_t)(slash - folder) < mount_size)
			return limit;
		*slash = '\0';
	}
}

/* Whether the comma-separated CONTROLLERS name NAME. */
static bool controls(const char *controllers, const char *name)
{
	size_t size = strlen(name);

	for (const char *at = controllers; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, size) == 0 && (at[size] == ',' || at[size] == '\0'))
			return true;
	}
	return false;
}

static uint64_t resource_limit(const char *root, const struct resource *resource, uint64_t limit)
{
	char path[CGROUP_PATH_SIZE], mount[CGROUP_PATH_SIZE], line[CGROUP_PATH_SIZE];

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	FILE *groups = fopen(path, "re");
	if (!groups)
		return limit;
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
			limit = limit_up_from(mount, group, resource->limit_v2, limit);
		} else if (controls(controllers, resource->controller)) {
			snprintf(
				mount, sizeof(mount), "%s/sys/fs/cgroup/%.256s", root, controllers);
			if (access(mount, F_OK) != 0)
				snprintf(mount, sizeof(mount), "%s/sys/fs/cgroup/%s", root,
					resource->controller);
			limit = limit_up_from(mount, group, resource->limit_v1, limit);
		}
	}
	fclose(groups);
	return limit;
}

unsigned cpus_by_quota(const char *root, unsigned cpus)
{
	static const struct resource cpu = {"cpu", cpus_v1, cpus_v2};

	return (unsigned)resource_limit(root, &cpu, cpus);
}

uint64_t memory_by_limit(const char *root, uint64_t bytes)
{
	static const struct resource memory = {"memory", memory_v1, memory_v2};

	return resource_limit(root, &memory, bytes);
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

uint64_t linux_usable_memory(void)
{
	struct sysinfo info;

	return sysinfo(&info) == 0 ? memory_by_limit("", (uint64_t)info.totalram * info.mem_unit)
				   : 0;
}
