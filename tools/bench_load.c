/*
 * The load generator of tools/bench: writes or reads a number of records through librdkafka as fast as it can and
 * prints bytes, seconds and, for producing, latencies from send to acknowledgement.
 *
 *     bench_load produce BOOTSTRAP TOPIC PARTITIONS RECORDS SIZE CODEC ACKS
 *     bench_load consume BOOTSTRAP TOPIC PARTITIONS RECORDS
 *
 * Prints one line: records, bytes of values, seconds, and the 50th, 99th and 99.9th percentile in microseconds.
 */
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LATENCY_SHARE = 16, IDLE_S = 60 }; /* one record in 16 is timed; a run that stands still for a minute ends */

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static long acknowledged, failed, timed;
static uint32_t *latencies_us;

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	(void)rk;
	(void)opaque;
	if (m->err)
		failed++;
	acknowledged++;
	if (m->_private)
		latencies_us[timed++] = (uint32_t)(now_us() - (uint64_t)(uintptr_t)m->_private);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *const *settings, int deliveries)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[512];
	rd_kafka_t *rk;

	for (; *settings; settings += 2) {
		if (rd_kafka_conf_set(conf, settings[0], settings[1], why, sizeof why)) {
			fprintf(stderr, "bench_load: %s\n", why);
			exit(1);
		}
	}
	if (deliveries)
		rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rk = rd_kafka_new(type, conf, why, sizeof why);
	if (!rk) {
		fprintf(stderr, "bench_load: %s\n", why);
		exit(1);
	}
	return rk;
}

static int produce(char **a)
{
	int partitions = atoi(a[2]), size = atoi(a[4]);
	long records = atol(a[3]);
	const char *settings[] = { "bootstrap.servers", a[0], "compression.codec", a[5], "acks", a[6], "linger.ms", "5",
				   "batch.size", "1000000", "batch.num.messages", "100000",
				   "queue.buffering.max.messages", "500000", "queue.buffering.max.kbytes", "262144", NULL };
	rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, settings, 1);
	rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, a[1], NULL);
	char *value = malloc((size_t)size + 4096);
	uint64_t began, seed = 88172645463325252ULL;

	latencies_us = malloc(sizeof *latencies_us * (size_t)(records / LATENCY_SHARE + 1));
	for (int i = 0; i < size + 4096; i++) { /* half of it compressible, as text is */
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		value[i] = (i / 8) % 2 ? 'x' : (char)('a' + seed % 26);
	}
	began = now_us();
	for (long i = 0; i < records;) {
		void *stamp = i % LATENCY_SHARE == 0 ? (void *)(uintptr_t)now_us() : NULL;

		if (!rd_kafka_produce(topic, (int)(i / 64 % partitions), RD_KAFKA_MSG_F_COPY, value + i % 4096, (size_t)size,
				      NULL, 0, stamp))
			i++;
		else
			rd_kafka_poll(rk, 1);
		if (i % 1024 == 0)
			rd_kafka_poll(rk, 0);
	}
	if (rd_kafka_flush(rk, IDLE_S * 1000) || failed) {
		fprintf(stderr, "bench_load: %ld of %ld acknowledged, %ld failed\n", acknowledged, records, failed);
		return 1;
	}
	double seconds = (double)(now_us() - began) / 1e6;

	qsort(latencies_us, (size_t)timed, sizeof *latencies_us, by_size);
	printf("%ld %ld %.3f %u %u %u\n", records, records * size, seconds, latencies_us[timed / 2],
	       latencies_us[timed * 99 / 100], latencies_us[timed * 999 / 1000]);
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(rk);
	return 0;
}

static int consume(char **a)
{
	int partitions = atoi(a[2]);
	long wanted = atol(a[3]), got = 0, bytes = 0;
	const char *settings[] = { "bootstrap.servers", a[0], "group.id", "bench", "auto.offset.reset", "earliest",
				   "enable.auto.commit", "false", "check.crcs", "false", "fetch.message.max.bytes", "4194304",
				   "queued.min.messages", "1000000", "queued.max.messages.kbytes", "262144", NULL };
	rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, settings, 0);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
	rd_kafka_queue_t *queue;
	rd_kafka_message_t *batch[1000];
	uint64_t began = now_us(), last = began;

	for (int p = 0; p < partitions; p++)
		rd_kafka_topic_partition_list_add(list, a[1], p)->offset = 0;
	rd_kafka_poll_set_consumer(rk);
	rd_kafka_assign(rk, list);
	queue = rd_kafka_queue_get_consumer(rk);
	while (got < wanted) {
		ssize_t n = rd_kafka_consume_batch_queue(queue, 200, batch, 1000);

		for (ssize_t i = 0; i < n; i++) {
			if (!batch[i]->err) {
				got++;
				bytes += (long)batch[i]->len;
				last = now_us();
			}
			rd_kafka_message_destroy(batch[i]);
		}
		if (now_us() - last > IDLE_S * 1000000ULL) {
			fprintf(stderr, "bench_load: %ld of %ld read\n", got, wanted);
			return 1;
		}
	}
	printf("%ld %ld %.3f 0 0 0\n", got, bytes, (double)(now_us() - began) / 1e6);
	rd_kafka_queue_destroy(queue);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 9 && !strcmp(argv[1], "produce"))
		return produce(argv + 2);
	if (argc == 6 && !strcmp(argv[1], "consume"))
		return consume(argv + 2);
	fprintf(stderr, "usage: bench_load produce|consume BOOTSTRAP TOPIC PARTITIONS RECORDS [SIZE CODEC ACKS]\n");
	return 2;
}
