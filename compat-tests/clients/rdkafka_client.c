/*
 * The librdkafka client under test: takes commands on standard input and answers each with one line. README.md
 * describes the commands and the records that every client writes alike.
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RECORD_SIZE_MAX = 1000000, WAIT_S = 40 };

static const char *bootstrap;
static char failure[512];
static char buffer[RECORD_SIZE_MAX];

#define FAIL(...) (snprintf(failure, sizeof failure, __VA_ARGS__), -1)

static int record_key(int i, char *out)
{
	return i % 6 == 5 ? -1 : sprintf(out, "key-%d", i);
}

static int record_value(int i, char *out)
{
	static const int sizes[] = { 0, 1, 1024, 100 };
	int size = i == 38 ? RECORD_SIZE_MAX : sizes[i % 4];

	if (i % 10 == 9)
		return -1;
	for (int j = 0; j < size; j++)
		out[j] = 'a' + (i * 31 + j * 7) % 26;
	return size;
}

static rd_kafka_t *client_new(rd_kafka_type_t type, const char *const *settings)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;

	rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, failure, sizeof failure);
	rd_kafka_conf_set(conf, "log_level", "2", failure, sizeof failure);
	for (; *settings; settings += 2) {
		if (rd_kafka_conf_set(conf, settings[0], settings[1], failure, sizeof failure)) {
			rd_kafka_conf_destroy(conf);
			return NULL;
		}
	}
	rk = rd_kafka_new(type, conf, failure, sizeof failure);
	if (!rk)
		rd_kafka_conf_destroy(conf);
	return rk;
}

static int delivered, misplaced;

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	(void)rk;
	(void)opaque;
	if (m->err) {
		misplaced = FAIL("%s", rd_kafka_err2str(m->err));
	} else if (m->offset != delivered) {
		misplaced = FAIL("record %d got offset %lld", delivered, (long long)m->offset);
	}
	delivered++;
}

static int produce(const char *topic, const char *codec, int count, long long base, int headers, int idempotent)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;
	char key[32], header[32];

	delivered = misplaced = 0;
	rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, NULL, 0);
	rd_kafka_conf_set(conf, "log_level", "2", NULL, 0);
	rd_kafka_conf_set(conf, "linger.ms", "20", NULL, 0);
	rd_kafka_conf_set(conf, "acks", "all", NULL, 0);
	rd_kafka_conf_set(conf, "enable.idempotence", idempotent ? "true" : "false", NULL, 0);
	rd_kafka_conf_set(conf, "message.timeout.ms", "40000", NULL, 0);
	rd_kafka_conf_set(conf, "message.max.bytes", "1048576", NULL, 0);
	if (rd_kafka_conf_set(conf, "compression.codec", codec, failure, sizeof failure)) {
		rd_kafka_conf_destroy(conf);
		return -1;
	}
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, failure, sizeof failure);
	if (!rk)
		return -1;
	for (int i = 0; i < count; i++) {
		int key_size = record_key(i, key), size = record_value(i, buffer);
		char *key_at = key_size < 0 ? NULL : key, *value_at = size < 0 ? NULL : buffer;
		size_t key_length = key_size < 0 ? 0 : key_size, value_length = size < 0 ? 0 : size;
		rd_kafka_headers_t *h = rd_kafka_headers_new(2);

		if (headers && i % 3 == 0) {
			sprintf(header, "v-%d", i);
			rd_kafka_header_add(h, "h1", -1, header, -1);
			rd_kafka_header_add(h, "h2", -1, "", 0);
		}
		rd_kafka_resp_err_t err = rd_kafka_producev(
			rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
			RD_KAFKA_V_KEY(key_at, key_length), RD_KAFKA_V_VALUE(value_at, value_length),
			RD_KAFKA_V_TIMESTAMP(base ? base + i * 1000LL : 0), RD_KAFKA_V_HEADERS(h), RD_KAFKA_V_END);

		if (err) {
			rd_kafka_headers_destroy(h);
			misplaced = FAIL("%s", rd_kafka_err2str(err));
			break;
		}
	}
	if (rd_kafka_flush(rk, WAIT_S * 1000))
		misplaced = FAIL("%d of %d records delivered", delivered, count);
	rd_kafka_destroy(rk);
	return misplaced;
}

static int message_check(const rd_kafka_message_t *m, int i, long long base, int headers)
{
	char key[32];
	int key_size = record_key(i, key), size = record_value(i, buffer);
	rd_kafka_timestamp_type_t type;
	rd_kafka_headers_t *h = NULL;

	if (m->offset != i)
		return FAIL("offset %lld where %d was due", (long long)m->offset, i);
	if ((m->key == NULL) != (key_size < 0) || (key_size > 0 && (m->key_len != (size_t)key_size || memcmp(m->key, key, key_size))))
		return FAIL("key of %d differs", i);
	if ((m->payload == NULL) != (size < 0) || (size >= 0 && (m->len != (size_t)size || memcmp(m->payload, buffer, size))))
		return FAIL("value of %d differs: %zu bytes", i, m->len);
	if (base && rd_kafka_message_timestamp(m, &type) != base + i * 1000LL)
		return FAIL("timestamp of %d is %lld", i, (long long)rd_kafka_message_timestamp(m, &type));
	rd_kafka_message_headers(m, &h);
	if ((h ? rd_kafka_header_cnt(h) : 0) != (headers && i % 3 == 0 ? 2 : 0))
		return FAIL("record %d has %zu headers", i, h ? rd_kafka_header_cnt(h) : 0);
	if (h && headers && i % 3 == 0) {
		const void *value;
		size_t value_size;

		sprintf(key, "v-%d", i);
		if (rd_kafka_header_get_last(h, "h1", &value, &value_size) || value_size != strlen(key) ||
		    memcmp(value, key, value_size) || rd_kafka_header_get_last(h, "h2", &value, &value_size) || value_size)
			return FAIL("headers of %d differ", i);
	}
	return 0;
}

static int consume(rd_kafka_t *rk, int from, int to, long long base, int headers)
{
	time_t deadline = time(NULL) + WAIT_S;

	for (int next = from; next < to;) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 200);
		int status = 0;

		if (m && !m->err)
			status = message_check(m, next++, base, headers);
		else if (m && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF && m->err != RD_KAFKA_RESP_ERR__TRANSPORT &&
			 m->err != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
			status = FAIL("%s", rd_kafka_message_errstr(m));
		if (m)
			rd_kafka_message_destroy(m);
		if (status)
			return status;
		if (time(NULL) > deadline)
			return FAIL("only up to %d of %d in time", next, to);
	}
	return 0;
}

static rd_kafka_t *consumer_new(const char *group)
{
	const char *settings[] = { "group.id", group, "auto.offset.reset", "earliest", "enable.auto.commit", "false",
				   "fetch.wait.max.ms", "100", "max.partition.fetch.bytes", "300000", NULL };
	rd_kafka_t *rk = client_new(RD_KAFKA_CONSUMER, settings);

	if (rk)
		rd_kafka_poll_set_consumer(rk);
	return rk;
}

static int read_from(const char *topic, long long offset, int from, int to, long long base, int headers)
{
	rd_kafka_t *rk = consumer_new("unused");
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	int status;

	if (!rk)
		return -1;
	rd_kafka_topic_partition_list_add(list, topic, 0)->offset = offset;
	rd_kafka_assign(rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	status = consume(rk, from, to, base, headers);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return status;
}

static int read_from_time(const char *topic, int index, int to, long long base, int headers)
{
	rd_kafka_t *rk = consumer_new("unused");
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_t *row = rd_kafka_topic_partition_list_add(list, topic, 0);
	rd_kafka_resp_err_t err;
	long long found;

	if (!rk)
		return -1;
	row->offset = base + index * 1000LL - 500;
	err = rd_kafka_offsets_for_times(rk, list, WAIT_S * 1000);
	found = row->offset;
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(rk);
	if (err)
		return FAIL("%s", rd_kafka_err2str(err));
	if (found != index)
		return FAIL("offset %lld found by time where %d was due", found, index);
	return read_from(topic, found, index, to, base, headers);
}

static int read_in_group(const char *topic, const char *group, int from, int to, long long base, int headers)
{
	rd_kafka_t *rk = consumer_new(group);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t err;
	int status;

	if (!rk)
		return -1;
	rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
	err = rd_kafka_subscribe(rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	status = err ? FAIL("%s", rd_kafka_err2str(err)) : consume(rk, from, to, base, headers);
	if (!status) {
		list = rd_kafka_topic_partition_list_new(1);
		rd_kafka_topic_partition_list_add(list, topic, 0)->offset = to;
		err = rd_kafka_commit(rk, list, 0);
		rd_kafka_topic_partition_list_destroy(list);
		if (err)
			status = FAIL("commit: %s", rd_kafka_err2str(err));
	}
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return status;
}

static int run(int n, char **a)
{
	if (n == 7 && !strcmp(a[0], "produce"))
		return produce(a[1], a[2], atoi(a[3]), atoll(a[4]), atoi(a[5]), atoi(a[6]));
	if (n == 6 && !strcmp(a[0], "read"))
		return read_from(a[1], atoll(a[2]), atoi(a[2]), atoi(a[3]), atoll(a[4]), atoi(a[5]));
	if (n == 6 && !strcmp(a[0], "time"))
		return read_from_time(a[1], atoi(a[2]), atoi(a[3]), atoll(a[4]), atoi(a[5]));
	if (n == 7 && !strcmp(a[0], "group"))
		return read_in_group(a[1], a[2], atoi(a[3]), atoi(a[4]), atoll(a[5]), atoi(a[6]));
	return FAIL("unknown command");
}

int main(int argc, char **argv)
{
	char line[1024];

	if (argc != 2)
		return 2;
	bootstrap = argv[1];
	while (fgets(line, sizeof line, stdin)) {
		char *words[16];
		int n = 0;

		for (char *word = strtok(line, " \n"); word && n < 16; word = strtok(NULL, " \n"))
			words[n++] = word;
		if (run(n, words))
			printf("FAIL %s\n", failure);
		else
			printf("ok\n");
		fflush(stdout);
	}
	return 0;
}
