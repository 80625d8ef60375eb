/*
 * The load generator: groups of connections against one port, for a time; the results as one line
 * of JSON.
 *
 *	load --port 9092 --pid 1234 --warmup 1 --seconds 5 produce,topic=a,connections=50,inflight=5
 *
 * Each further argument is a group: a kind (produce, fetch, call) and its options (options.c), which
 * run at the same time. CPU and memory are those of the process --pid during the window.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/benchmark/engine.h"

static void print_latency(const struct histogram *latency)
{
	const double quantiles[] = {0.5, 0.99, 0.999};
	const char *names[] = {"p50", "p99", "p999"};

	for (size_t i = 0; i < array_length(quantiles); i++)
		printf(", \"%s_us\": %.1f", names[i],
			(double)histogram_quantile(latency, quantiles[i]) / 1e3);
	printf(", \"max_us\": %.1f, \"latencies\": %lu", (double)latency->max / 1e3, latency->count);
}

static void print_results(const struct engine *engine)
{
	double seconds = (double)(engine->end.at_ns - engine->begin.at_ns) / 1e9;

	printf("{\"seconds\": %.6f, \"cpu_s\": %.3f, \"load_cpu_s\": %.3f, \"rss_kb\": %lu, "
	       "\"groups\": [",
		seconds, engine->end.broker_cpu_s - engine->begin.broker_cpu_s,
		engine->end.load_cpu_s - engine->begin.load_cpu_s, engine->end.broker_rss_kb);
	for (int i = 0; i < engine->group_count; i++) {
		const struct group *group = &engine->groups[i];

		printf("%s{\"kind\": \"%s\", \"requests\": %lu, \"records\": %lu, \"bytes\": %lu",
			i ? ", " : "", group->workload->name, group->requests, group->records,
			group->bytes);
		print_latency(&group->latency_ns);
		printf("}");
	}
	printf("]}\n");
}

int main(int argc, char **argv)
{
	/* Static: what it points to lives as long as the program. */
	static struct engine engine = {.seconds = 5};
	int at = 1;

	for (; at + 1 < argc && argv[at][0] == '-'; at += 2) {
		const char *value = argv[at + 1];

		if (strcmp(argv[at], "--port") == 0)
			engine.port = (uint16_t)atoi(value);
		else if (strcmp(argv[at], "--pid") == 0)
			engine.broker_pid = atoi(value);
		else if (strcmp(argv[at], "--warmup") == 0)
			engine.warmup_s = atof(value);
		else if (strcmp(argv[at], "--seconds") == 0)
			engine.seconds = atof(value);
		else
			die("there is no option %s", argv[at]);
	}
	if (!engine.port || at >= argc) {
		fputs("usage: load --port PORT [--pid PID] [--warmup S] [--seconds S] GROUP...\n", stderr);
		return 2;
	}
	engine.group_count = argc - at;
	engine.groups = calloc((size_t)engine.group_count, sizeof(*engine.groups));
	for (int i = 0; i < engine.group_count; i++) {
		options_parse(argv[at + i], &engine.groups[i]);
		if (engine.groups[i].options.stamp && !engine.stamps)
			engine.stamps = calloc((size_t)engine.groups[i].options.partitions,
				sizeof(*engine.stamps));
	}
	engine_run(&engine);
	print_results(&engine);
	return 0;
}
